/*
 * Simulator: clock, events, and the course of a seed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"
#include <stdarg.h>
#include <sys/mman.h>

void sim_broken(World *w, const Node *node, const SimQp *qp,
                const SimMsg *msg, const char *fmt, ...)
{
    GString *s;
    va_list ap;

    if (w->broken) {
        return;
    }
    if ((w->plan.faults & F_hostile) && !g_str_has_prefix(fmt, "memory:") &&
        !g_str_has_prefix(fmt, "control:")) {
        return;     /* whoever can change packets can do all that */
    }
    w->broken = true;
    s = g_string_new(NULL);
    va_start(ap, fmt);
    g_string_append_vprintf(s, fmt, ap);
    va_end(ap);
    g_string_append_printf(s, "; %" PRId64 ".%09" PRId64 " s",
                           w->now / SIM_SEC, w->now % SIM_SEC);
    if (node) {
        g_string_append_printf(s, ", node %u (life %u)", node->index,
                               node->life);
    }
    if (qp) {
        g_string_append_printf(s, ", QP 0x%x of node %u", qp->num,
                               qp->node->index);
    }
    if (msg) {
        g_string_append_printf(s, ", message %" PRIx64 " (op %u, %u bytes, "
                               "from node %u to %u, posted at %" PRId64
                               ".%09" PRId64 " s)", msg->id, msg->op,
                               msg->len, msg->qp->node->index,
                               msg->to ? msg->to->index : SIM_ANY,
                               msg->posted / SIM_SEC, msg->posted % SIM_SEC);
    }
    w->verdict = g_string_free(s, FALSE);
}

/* ---- events ---- */

void world_at(World *w, int64_t at, EventKind kind, void *ref)
{
    events_add(w->events, MAX(at, w->now), kind, ref);
}

static void world_dispatch(World *w, EventKind kind, void *ref)
{
    switch (kind) {
    case EV_PACKET:
        network_packet(w, ref);
        break;
    case EV_RUN:
        node_run(ref);
        break;
    case EV_TIMER:
        node_timer(ref);
        break;
    case EV_LINK:
        network_link_event(w, ref);
        break;
    case EV_APP:
        workload_tick(ref);
        break;
    case EV_BOOT:
        node_boot(ref);
        break;
    case EV_FAULT:
        faults_tick(w);
        break;
    case EV_UNCUT:
        faults_uncut(w, ref);
        break;
    case EV_WINDOW:
        workload_window_free(w, ref);
        break;
    }
}

void world_run(World *w, int64_t until, bool (*done)(World *w))
{
    const Event *next;

    while (!w->broken && (next = events_peek(w->events)) &&
           next->at <= until && !(done && done(w))) {
        Event ev = *next;

        events_pop(w->events);
        next = events_soon(w->events);
        if (next) {
            /* packets have cooled down on their way */
            __builtin_prefetch(next->ref);
        }
        w->now = ev.at;
        w->t.events++;
        world_digest(w, ev.at ^ ev.order << 40);
        world_dispatch(w, event_kind(&ev), ev.ref);
    }
}

/* ---- life ---- */

/*
 * Who talks to whom: node i to i + offset for each of a set of offsets that
 * holds the negative of each of its members, so that peers are mutual.
 */
static void world_draw_peers(World *w)
{
    unsigned n = w->plan.nodes, want = w->plan.peers, k = 0, i, j;
    g_autofree bool *used = g_new0(bool, n);

    used[0] = n > 1 && (!w->plan.loopback || want == 1);
    want = MIN(want, n - used[0]);
    w->offsets = g_new0(unsigned, want + 1);
    w->inverse = g_new0(unsigned, want + 1);
    while (k < want) {
        unsigned d = rng_below(&w->rng, n), back = (n - d) % n;

        if (used[d]) {
            continue;
        }
        used[d] = used[back] = true;
        w->offsets[k++] = d;
        if (d != back) {
            /* one more than was asked for, rather than one-sided */
            w->offsets[k++] = back;
        }
    }
    w->plan.peers = k;
    for (i = 0; i < k; i++) {
        for (j = 0; j < k; j++) {
            if ((w->offsets[i] + w->offsets[j]) % n == 0) {
                w->inverse[i] = j;
            }
        }
    }
}

/* One mapping for all: untouched pages of it cost nothing. */
static void world_map(World *w)
{
    const Layout *l = &w->layout;
    size_t map_size = l->size / SIM_GRANULE;
    size_t each = l->size + l->llq_size + ROUND_UP(map_size, 4096);
    uint8_t *p;
    unsigned i;

    w->memory_size = each * w->plan.nodes;
    p = mmap(NULL, w->memory_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        g_error("cannot map %zu bytes for %u nodes", w->memory_size,
                w->plan.nodes);
    }
    madvise(p, w->memory_size, MADV_NOHUGEPAGE);
    w->memory = p;
    for (i = 0; i < w->plan.nodes; i++) {
        w->nodes[i].mem = p;
        w->nodes[i].llq = p + l->size;
        w->nodes[i].map = p + l->size + l->llq_size;
        p += each;
    }
}

World *world_new(const Options *opt, const Plan *plan, uint64_t seed)
{
    World *w = g_new0(World, 1);
    unsigned i;

    w->opt = opt;
    w->plan = *plan;
    w->seed = seed;
    w->now = SIM_SEC;
    rng_seed(&w->rng, seed ^ 0x5157a11edull);
    w->nodes = g_new0(Node, plan->nodes);
    w->msg_chunks = g_ptr_array_new_with_free_func(g_free);
    w->free_msgs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    w->cuts = g_array_new(FALSE, FALSE, sizeof(Cut));
    world_draw_peers(w);
    layout_init(&w->layout, &w->plan);
    world_map(w);
    w->events = events_new(w->now);
    network_new(w);
    for (i = 0; i < plan->nodes; i++) {
        node_init(w, i);
    }
    return w;
}

void world_free(World *w)
{
    const Event *ev;
    unsigned i;

    for (i = 0; i < w->plan.nodes; i++) {
        if (w->nodes[i].core) {
            efa_core_free(w->nodes[i].core);
        }
        g_free(w->nodes[i].peers);
    }
    while (w->all_qps) {
        SimQp *qp = w->all_qps;

        w->all_qps = qp->next;
        g_free(qp->sent);
        g_free(qp->recv);
        g_free(qp);
    }
    while ((ev = events_peek(w->events))) {
        if (event_kind(ev) == EV_LINK || event_kind(ev) == EV_WINDOW) {
            g_free(ev->ref);
        }
        events_pop(w->events);
    }
    events_free(w->events);
    network_free(w);
    munmap(w->memory, w->memory_size);
    g_ptr_array_free(w->msg_chunks, TRUE);
    g_array_free(w->free_msgs, TRUE);
    g_array_free(w->cuts, TRUE);
    g_free(w->offsets);
    g_free(w->inverse);
    g_free(w->nodes);
    g_free(w->verdict);
    g_free(w);
}

/* ---- the course of a seed ---- */

void world_boot(World *w)
{
    unsigned i;

    for (i = 0; i < w->plan.nodes && !w->broken; i++) {
        Node *n = &w->nodes[i];

        if (!w->plan.senders || i < w->plan.senders) {
            n->left = w->plan.messages;
        }
        w->posting += n->left > 0;
        node_boot(n);
    }
    if (w->plan.fault_period) {
        world_at(w, w->now + w->plan.fault_period, EV_FAULT, NULL);
    }
}

static bool world_posted(World *w)
{
    return !w->posting;
}

/* Heal everything, let nothing new begin. */
static void world_calm(World *w)
{
    unsigned i;

    w->final = true;
    w->plan.loss_ppm = w->plan.dup_ppm = w->plan.hostile_ppm = 0;
    w->plan.refuse_ppm = 0;
    faults_heal(w);
    for (i = 0; i < w->plan.nodes && !w->broken; i++) {
        Node *n = &w->nodes[i];

        n->left = 0;
        if (!n->up) {
            node_boot(n);
        }
        node_poll(n);
        workload_refill(n, true);
    }
}

bool world_play(World *w)
{
    int64_t limit = w->now + 4 * w->plan.timeout +
                    4 * w->plan.think * (w->plan.messages + 1);

    world_boot(w);
    world_run(w, limit, world_posted);
    if (!w->broken) {
        w->now = MIN(limit, w->now);
        world_calm(w);
        limit = w->now + 6 * w->plan.timeout + 60 * SIM_SEC;
        world_run(w, limit, NULL);
    }
    if (!w->broken) {
        check_end(w);
    }
    w->t.seeds = 1;
    return !w->broken;
}

void totals_add(Totals *sum, const Totals *t)
{
    const uint64_t *from = (const uint64_t *)t;
    uint64_t *to = (uint64_t *)sum;
    size_t i;

    for (i = 0; i < sizeof(*t) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}
