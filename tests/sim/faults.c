/*
 * Simulator: what happens to nodes, objects and the ways between them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define MAX_CUTS    4

static void fault_cut(World *w, Node *n)
{
    Cut c = { .a = n->index, .b = SIM_ANY, .from = w->now,
              .until = INT64_MAX };
    unsigned way = rng_below(&w->rng, 3);
    int64_t length = rng_magnitude(&w->rng, SIM_MSEC, 2 * w->plan.timeout);

    if (w->live_cuts >= MAX_CUTS) {
        return;
    }
    if (rng_percent(&w->rng, 70)) {
        c.b = n->peers[rng_below(&w->rng, w->plan.peers)].node->index;
    }
    c.forth = way != 0;
    c.back = way != 1;
    g_array_append_val(w->cuts, c);
    w->live_cuts++;
    world_at(w, w->now + length, EV_UNCUT, GUINT_TO_POINTER(w->cuts->len));
}

static void end_cut(World *w, Cut *c)
{
    if (c->until == INT64_MAX) {
        c->until = w->now;
        w->live_cuts--;
    }
}

void faults_uncut(World *w, void *number)
{
    end_cut(w, &g_array_index(w->cuts, Cut, GPOINTER_TO_UINT(number) - 1));
}

void faults_heal(World *w)
{
    unsigned i;

    for (i = 0; i < w->cuts->len; i++) {
        end_cut(w, &g_array_index(w->cuts, Cut, i));
    }
}

static void fault_crash(World *w, Node *n)
{
    node_crash(n);
    if (rng_percent(&w->rng, 85)) {
        world_at(w, w->now + rng_magnitude(&w->rng, SIM_MSEC,
                                           2 * w->plan.timeout), EV_BOOT, n);
    }
}

static void fault_qp(World *w, Node *n)
{
    unsigned slot = rng_below(&w->rng, w->plan.num_qps);
    SimQp *qp = n->qps[slot];
    unsigned how = rng_below(&w->rng, 5);

    node_poll(n);
    if (qp && !qp->closed && how < 2) {
        verbs_qp_error(qp);
        return;
    }
    if (qp) {
        verbs_destroy_qp(qp, how == 2);
    }
    if (!n->qps[slot] && (!qp || how < 4)) {
        verbs_qp(n, slot);
        workload_refill(n, false);
    }
}

/* Note that @status may now end what @touched says is touched. */
static void expect_all(Node *n, uint32_t statuses,
                       bool (*touched)(const SimMsg *m, unsigned which),
                       unsigned which)
{
    unsigned i, j;

    for (i = 0; i < n->w->plan.num_qps; i++) {
        for (j = 0; n->qps[i] && j < n->w->plan.depth; j++) {
            SimMsg *m = n->qps[i]->sent[j];

            if (m && touched(m, which)) {
                m->expect |= statuses;
            }
        }
    }
}

static bool uses_peer(const SimMsg *m, unsigned peer)
{
    return m->peer == peer;
}

static bool uses_mr(const SimMsg *m, unsigned which)
{
    return which == MR_TX ? m->lkey_tx : which == MR_BIG && m->big;
}

static void fault_ah(World *w, Node *n)
{
    unsigned peer = rng_below(&w->rng, w->plan.peers);

    node_poll(n);
    if (!n->peers[peer].have) {
        verbs_ah(n, peer);
    } else if (n->handles_lost < w->plan.peers + 8) {
        /* few enough: a number that is used again would mean another peer */
        n->handles_lost++;
        expect_all(n, 1u << EFA_IO_COMP_STATUS_FLUSHED, uses_peer, peer);
        verbs_destroy_ah(n, peer);
    }
}

static void fault_mr(World *w, Node *n)
{
    unsigned which = rng_below(&w->rng, verbs_has_rdma(n) ? NUM_MRS : MR_BIG);
    unsigned i, j;

    node_poll(n);
    expect_all(n, 1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY, uses_mr,
               which);
    for (i = 0; which == MR_RX && i < w->plan.num_qps; i++) {
        SimQp *qp = n->qps[i];

        for (j = 0; qp && j < w->plan.depth; j++) {
            if (qp->recv_mask >> j & 1) {
                qp->recv[j].bad = true;
                qp->rx_bad = true;
            }
        }
    }
    verbs_dereg(n, which);
    verbs_mr(n, which);
    /* before anything else is received, what was cannot be written */
    node_poll(n);
}

void faults_tick(World *w)
{
    static const struct {
        uint32_t fault;
        void (*act)(World *w, Node *n);
    } acts[] = {
        { F_cut, fault_cut },
        { F_crash, fault_crash },
        { F_qp, fault_qp },
        { F_ah, fault_ah },
        { F_mr, fault_mr },
        { F_reset, NULL },
    };
    Node *n = &w->nodes[rng_below(&w->rng, w->plan.nodes)];
    unsigned first = rng_below(&w->rng, ARRAY_SIZE(acts)), i;

    if (w->final || !w->plan.acts) {
        return;
    }
    w->plan.acts--;
    world_at(w, w->now + rng_range(&w->rng, 1, 2 * w->plan.fault_period),
             EV_FAULT, NULL);
    for (i = 0; n->up && i < ARRAY_SIZE(acts); i++) {
        unsigned act = (first + i) % ARRAY_SIZE(acts);

        if (!(w->plan.faults & acts[act].fault)) {
            continue;
        }
        w->t.faults++;
        if (acts[act].act) {
            acts[act].act(w, n);
        } else {
            node_reset(n);
        }
        break;
    }
}
