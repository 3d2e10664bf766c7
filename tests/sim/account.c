/*
 * Simulator: what was counted, at the end of a seed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

/* @what is at least @least, and at most so many more. */
static void check_count(Node *n, const char *what, uint64_t device,
                        uint64_t least, uint64_t more)
{
    if (device < least || device - least > more) {
        sim_broken(n->w, n, NULL, NULL, "counters: the device says %" PRIu64
                   " %s, the application has seen %" PRIu64 " and up to %"
                   PRIu64 " silent", device, what, least, more);
    }
}

/* What the device has counted is what the applications have seen. */
static void check_statistics(Node *n)
{
    static const struct {
        const char *what;
        EfaStatsType type;
        unsigned index;
    } stats[] = {
        [EFA_IO_SEND] = { "sent", EFA_ADMIN_GET_STATS_TYPE_MESSAGES, 1 },
        [EFA_IO_RDMA_READ] = { "read", EFA_ADMIN_GET_STATS_TYPE_RDMA_READ,
                               0 },
        [EFA_IO_RDMA_WRITE] = { "written",
                                EFA_ADMIN_GET_STATS_TYPE_RDMA_WRITE, 0 },
    };
    unsigned op;

    for (op = 0; op < ARRAY_SIZE(stats); op++) {
        check_count(n, stats[op].what,
                    verbs_stat(n, stats[op].type, stats[op].index),
                    n->seen.ok[op], n->seen.silent[op]);
    }
    check_count(n, "received",
                verbs_stat(n, EFA_ADMIN_GET_STATS_TYPE_MESSAGES, 3),
                n->seen.sends_received, 0);
}

static void check_counters(Node *n)
{
    static const char *const names[] = {
#define X(_name, ...) #_name,
        SIM_COUNTERS(X)
#undef X
    };
    uint64_t silent = n->seen.silent[EFA_IO_SEND] +
                      n->seen.silent[EFA_IO_RDMA_READ] +
                      n->seen.silent[EFA_IO_RDMA_WRITE];
    unsigned i;

    if (!n->up) {
        return;
    }
    check_statistics(n);
    for (i = 0; verbs_has_counters(n) && i < NUM_COUNTERS; i++) {
        uint64_t more = i == COUNT_done ? silent
                        : i == COUNT_served
                          ? n->seen.aimed - n->seen.count[i] : 0;

        check_count(n, names[i], verbs_counter(n, i), n->seen.count[i], more);
    }
}

void check_end(World *w)
{
    const Event *next = events_peek(w->events);
    Totals *t = &w->t;
    uint32_t i;

    if (next) {
        sim_broken(w, NULL, NULL, NULL, "rest: %" PRIu64 " events are under "
                   "way long after the last request, of kind %u first",
                   events_left(w->events), event_kind(next));
    }
    for (i = 0; i < w->num_msgs && !w->plan.recycle; i++) {
        SimMsg *m = msg_at(w, i);

        if (m->state == MSG_POSTED && m->unsignaled) {
            t->silent++;
        } else if (m->state == MSG_POSTED) {
            sim_broken(w, m->qp->node, m->qp, m, "life: never completed");
        }
    }
    for (i = 0; i < w->plan.nodes && !w->broken; i++) {
        check_counters(&w->nodes[i]);
    }
    if (!w->plan.recycle &&
        t->posted != t->ok + t->failed + t->dropped + t->silent) {
        sim_broken(w, NULL, NULL, NULL, "counters: %" PRIu64 " posted, but %"
                   PRIu64 " done, %" PRIu64 " failed, %" PRIu64 " dropped, %"
                   PRIu64 " silent", t->posted, t->ok, t->failed, t->dropped,
                   t->silent);
    }
}
