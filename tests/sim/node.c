/*
 * Simulator: the life of a host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"
#include <sys/mman.h>

/* Runs of a device without any cause but its own wish. */
#define MAX_IDLE_RUNS   10000

void node_init(World *w, uint32_t index)
{
    Node *n = &w->nodes[index];
    unsigned i;

    n->w = w;
    n->index = index;
    n->timer_at = n->timer_queued = INT64_MAX;
    n->peers = g_new0(SimPeer, w->plan.peers);
    for (i = 0; i < w->plan.peers; i++) {
        n->peers[i].node = &w->nodes[(index + w->offsets[i]) %
                                     w->plan.nodes];
        n->peers[i].lost_at = INT64_MIN;
    }
}

/* All limits as small as this host needs them: there are many hosts. */
static void node_config(const Node *n, EfaConfig *cfg)
{
    const Plan *p = &n->w->plan;
    GError *err = NULL;

    efa_config_init(cfg, p->generation);
    cfg->gid = sim_gid(n->index);
    cfg->num_vectors = 1;
    cfg->mtu = p->mtu;
    cfg->max_qp = n->w->layout.llq_size / 65536;
    cfg->max_sq_depth = SIM_MAX_DEPTH;
    cfg->max_rq_depth = 2 * SIM_MAX_DEPTH;
    cfg->max_cq = 2;
    cfg->sub_cqs_per_cq = 1;
    cfg->max_cq_depth = SIM_MAX_DEPTH * SIM_MAX_QPS;
    cfg->sub_cqs_per_cq = p->sub_cqs;
    cfg->max_event_counters = NUM_COUNTERS;
    cfg->max_mr = 16;
    cfg->max_pd = 1;
    cfg->max_ah = 2 * p->peers + 16;
    cfg->max_eq = 0;
    cfg->max_llq_size = 65536;
    cfg->peer_timeout_ms = p->timeout / SIM_MSEC;
    cfg->max_rdma_size = MAX(p->rdma_max, EFA_MAX_MTU);
    cfg->reorder = p->reorder;
    cfg->seed = p->seed + n->index;
    if (!efa_config_check(cfg, &err)) {
        g_error("configuration of a node: %s", err->message);
    }
}

static void node_begin(Node *n)
{
    unsigned i;

    n->life++;
    n->changed_at = n->w->now;
    memset(&n->seen, 0, sizeof(n->seen));
    host_probe(n);
    verbs_open(n);
    for (i = 0; i < n->w->plan.peers && !n->w->plan.no_handles; i++) {
        verbs_ah(n, i);
    }
    for (i = 0; i < n->w->plan.num_qps; i++) {
        verbs_qp(n, i);
    }
    workload_refill(n, true);
    if (n->left && !n->ticking) {
        n->ticking = true;
        n->pause = n->w->plan.think;
        world_at(n->w, n->w->now + 1 + rng_below(&n->w->rng,
                                                 n->w->plan.think),
                 EV_APP, n);
    }
}

void node_boot(Node *n)
{
    World *w = n->w;
    EfaConfig cfg;

    if (n->up) {
        return;
    }
    if (n->boots++) {
        /* new machine, new memory */
        madvise(n->mem, w->layout.size, MADV_DONTNEED);
        memset(n->map, 0, w->layout.size / SIM_GRANULE);
    }
    node_config(n, &cfg);
    n->timer_at = n->timer_queued = INT64_MAX;
    n->core = efa_core_new(&cfg, &host_ops, n, n->llq);
    efa_core_set_fabric(n->core, network_attach(n));
    efa_core_set_running(n->core, true);
    n->up = true;
    node_begin(n);
}

void node_crash(Node *n)
{
    EfaCore *core = n->core;

    if (!n->up) {
        return;
    }
    node_poll(n);
    n->up = false;
    n->changed_at = n->w->now;
    verbs_forget(n);
    efa_core_free(core);
    n->core = NULL;
    n->timer_at = n->timer_queued = INT64_MAX;
}

void node_reset(Node *n)
{
    node_poll(n);
    verbs_forget(n);
    memset(n->map, 0, n->w->layout.size / SIM_GRANULE);
    memset(host_ptr(n, n->w->layout.tx), 0,
           n->w->layout.size - n->w->layout.tx);
    node_begin(n);
}

void node_wake(Node *n, int64_t delay)
{
    if (!n->run_queued) {
        n->run_queued = true;
        world_at(n->w, n->w->now + delay, EV_RUN, n);
    }
}

void node_run(Node *n)
{
    n->run_queued = false;
    if (!n->core) {
        return;
    }
    if (++n->idle_runs > MAX_IDLE_RUNS) {
        sim_broken(n->w, n, NULL, NULL, "rest: the device asks to be run "
                   "again and again, and nothing comes of it");
        return;
    }
    if (efa_core_run(n->core) || n->w->plan.defect == BREAK_spin) {
        node_wake(n, SIM_USEC / 10);
    }
    node_poll(n);
}

void node_timer(Node *n)
{
    World *w = n->w;

    if (n->timer_queued != w->now) {
        return;     /* of a former life, or one that came too late */
    }
    n->timer_queued = INT64_MAX;
    if (!n->core) {
        return;
    }
    if (n->timer_at > w->now) {
        if (n->timer_at != INT64_MAX) {
            n->timer_queued = n->timer_at;
            world_at(w, n->timer_at, EV_TIMER, n);
        }
        return;
    }
    n->timer_at = INT64_MAX;
    if (n->timer_fair) {
        n->idle_runs = 0;
    }
    if (efa_core_run(n->core)) {
        node_wake(n, SIM_USEC / 10);
    }
    node_poll(n);
}

void node_drain_receives(Node *n)
{
    EfaIoCdesc c;

    while (n->core && verbs_poll(n, &n->rcq, &c)) {
        check_completion(n, &c, true);
    }
}

void node_poll(Node *n)
{
    World *w = n->w;
    EfaIoCdesc c;
    bool any = false;

    if (n->polling || !n->core) {
        return;
    }
    n->polling = true;
    node_drain_receives(n);
    while (verbs_poll(n, &n->scq, &c)) {
        any = true;
        if (w->plan.defect == BREAK_lose_completion && !w->defect_done) {
            w->defect_done = true;
            continue;
        }
        check_completion(n, &c, false);
        if (w->plan.defect == BREAK_double_completion && !w->defect_done) {
            w->defect_done = true;
            check_completion(n, &c, false);
        }
    }
    n->polling = false;
    if (w->broken) {
        return;
    }
    if (!w->plan.lazy || w->final) {
        workload_refill(n, w->final);
    }
    if (any && w->plan.steady) {
        workload_more(n);
    }
}
