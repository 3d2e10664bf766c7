/*
 * EFA device model: a network worse than the fabric
 *
 * Between the transport and the fabric, loopback included. A packet to an
 * impaired peer is written to a buffer of ours; when it is committed its fate
 * is decided: lost, passed on, held until its time has come, doubled, damaged.
 * What arrives is touched by partitions only.
 *
 * Held packets are bounded. Behind a bandwidth cap what does not fit is lost,
 * as in a router; else the transport is told that there is no room, and told
 * when there is some again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define EFA_IMPAIR_PATH_BYTES   (32u << 20)
#define EFA_IMPAIR_BYTES        (64u << 20)
#define EFA_IMPAIR_PACKETS      65536
#define EFA_IMPAIR_MAX_FLIPS    3
/* EfaImpairState.next_at: there is something to do at once. */
#define EFA_IMPAIR_NOW          INT64_MIN

struct EfaHeldPkt {
    GList link;             /* in path->held */
    int64_t time;           /* when it goes on */
    size_t len;
    uint8_t data[];
};

struct EfaImpairPath {
    GList link;             /* in core->impair.paths */
    EfaPeer *peer;
    const EfaImpairRule *rule;
    uint64_t random;
    int64_t free_at;        /* when the capped link has sent all so far */
    GQueue held;            /* by time */
    size_t held_bytes;
    bool blocked;           /* one whose time has come found no room */
    bool starved;           /* the transport was told that there is no room */
};

/* ---- chance ---- */

/* splitmix64: any state is a good one */
static uint64_t efa_impair_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Less than @n, which is small: the bias does not matter. */
static uint64_t efa_impair_below(EfaImpairPath *path, uint64_t n)
{
    return efa_impair_random(&path->random) % n;
}

static bool efa_impair_chance(EfaImpairPath *path, double percent)
{
    if (percent <= 0) {
        return false;       /* what is off does not use up the sequence */
    }
    return (efa_impair_random(&path->random) >> 11) * 0x1p-53 * 100 < percent;
}

/*
 * Each peer has a sequence of its own, so that what happens on one way does
 * not depend on the traffic on others; and so has each direction.
 */
static void efa_impair_seed(EfaCore *core, EfaImpairPath *path)
{
    const EfaGid *gids[] = { &core->cfg.gid, &path->peer->gid };
    const EfaImpairRule *rule = path->rule;
    uint64_t state = rule && rule->has_seed ? rule->seed : core->cfg.seed;
    uint64_t word;
    unsigned i;

    for (i = 0; i < 2 * ARRAY_SIZE(gids); i++) {
        memcpy(&word, gids[i / 2]->raw + i % 2 * sizeof(word), sizeof(word));
        state = efa_impair_random(&state) ^ le64_to_cpu(word);
    }
    path->random = state;
}

/* ---- paths ---- */

static EfaImpairPath *efa_impair_path(EfaCore *core, EfaPeer *peer)
{
    EfaImpairPath *path = peer->path;

    if (!path) {
        path = g_new0(EfaImpairPath, 1);
        path->link.data = path;
        path->peer = peer;
        path->rule = efa_impair_find(&core->impair.cfg, &peer->gid);
        efa_impair_seed(core, path);
        g_queue_push_tail_link(&core->impair.paths, &path->link);
        peer->path = path;
    }
    return path;
}

static void efa_impair_unhold(EfaCore *core, EfaImpairPath *path,
                              EfaHeldPkt *pkt)
{
    g_queue_unlink(&path->held, &pkt->link);
    path->held_bytes -= pkt->len;
    core->impair.held_bytes -= pkt->len;
    core->impair.stats.held--;
}

void efa_impair_drop(EfaCore *core, EfaPeer *peer)
{
    EfaImpairPath *path = peer->path;
    GList *link;

    if (!path) {
        return;
    }
    while ((link = path->held.head)) {
        efa_impair_unhold(core, path, link->data);
        g_free(link->data);
        core->impair.stats.discarded++;
    }
    path->blocked = false;
    path->free_at = 0;
    efa_impair_seed(core, path);
    /* whoever was refused for want of room looks again */
    core->impair.next_at = EFA_IMPAIR_NOW;
}

void efa_impair_forget(EfaCore *core, EfaPeer *peer)
{
    EfaImpairPath *path = peer->path;

    if (path) {
        efa_impair_drop(core, peer);
        g_queue_unlink(&core->impair.paths, &path->link);
        peer->path = NULL;
        g_free(path);
    }
}

/* ---- room ---- */

static bool efa_impair_fits(const EfaCore *core, const EfaImpairPath *path,
                            size_t len)
{
    return path->held.length < EFA_IMPAIR_MAX_LIMIT &&
           path->held_bytes + len <= EFA_IMPAIR_PATH_BYTES &&
           core->impair.stats.held < EFA_IMPAIR_PACKETS &&
           core->impair.held_bytes + len <= EFA_IMPAIR_BYTES;
}

static bool efa_impair_room(const EfaCore *core, const EfaImpairPath *path,
                            size_t len)
{
    bool router = path->rule && path->rule->rate_mbps;

    return !path->blocked && (router || efa_impair_fits(core, path, len));
}

bool efa_impair_reserve(EfaCore *core, EfaPeer *peer, size_t len,
                        uint8_t **buf)
{
    EfaImpairPath *path;

    efa_impair_cancel(core);
    *buf = NULL;
    if (!efa_net_up(core, peer)) {
        return true;
    }
    path = efa_impair_path(core, peer);
    if (!path->rule) {
        return false;
    }
    if (!efa_impair_room(core, path, len)) {
        path->starved = true;
        return true;
    }
    core->impair.reserved = g_malloc(sizeof(EfaHeldPkt) + len);
    *buf = core->impair.reserved->data;
    return true;
}

void efa_impair_cancel(EfaCore *core)
{
    g_free(core->impair.reserved);
    core->impair.reserved = NULL;
}

/* ---- the fate of a packet ---- */

static void efa_impair_damage(EfaImpairPath *path, EfaHeldPkt *pkt)
{
    unsigned flips = 1 + efa_impair_below(path, EFA_IMPAIR_MAX_FLIPS);
    uint64_t bit[EFA_IMPAIR_MAX_FLIPS];
    unsigned i, j;

    for (i = 0; i < flips; i++) {
        bit[i] = efa_impair_below(path, pkt->len * 8);
        for (j = 0; j < i && bit[j] != bit[i]; j++) {
            continue;
        }
        if (j == i) {       /* else it would be mended */
            pkt->data[bit[i] / 8] ^= 1u << bit[i] % 8;
        }
    }
}

static int64_t efa_impair_delay(EfaImpairPath *path)
{
    const EfaImpairRule *rule = path->rule;
    int64_t jitter = rule->jitter_us * EFA_NSEC_PER_USEC;
    int64_t delay = rule->delay_us * EFA_NSEC_PER_USEC;

    if (jitter) {
        delay += (int64_t)efa_impair_below(path, 2 * jitter + 1) - jitter;
    }
    return MAX(delay, 0);
}

static void efa_impair_hold(EfaCore *core, EfaImpairPath *path,
                            EfaHeldPkt *pkt)
{
    GList *before = path->held.tail;

    while (before && ((EfaHeldPkt *)before->data)->time > pkt->time) {
        before = before->prev;
    }
    g_queue_insert_after_link(&path->held, before, &pkt->link);
    path->held_bytes += pkt->len;
    core->impair.held_bytes += pkt->len;
    core->impair.stats.held++;
    if (!path->blocked) {
        core->impair.next_at = MIN(core->impair.next_at, pkt->time);
        efa_timer_at(core, pkt->time);
    }
}

/* Pass it on at once if that is its time and nothing is before it. */
static bool efa_impair_pass(EfaCore *core, EfaImpairPath *path,
                            EfaHeldPkt *pkt, int64_t now)
{
    GList *first = path->held.head;

    if (pkt->time > now || path->blocked ||
        (first && ((EfaHeldPkt *)first->data)->time <= now)) {
        return false;
    }
    path->blocked = !efa_net_pass(core, path->peer, pkt->data, pkt->len);
    return !path->blocked;
}

/* A packet that is not lost by chance, or its double. */
static void efa_impair_forward(EfaCore *core, EfaImpairPath *path,
                               EfaHeldPkt *pkt)
{
    const EfaImpairRule *rule = path->rule;
    EfaImpairStats *stats = &core->impair.stats;
    int64_t now = efa_now(core);

    pkt->time = now;
    if (rule->rate_mbps) {
        if (path->held.length >= rule->limit ||
            !efa_impair_fits(core, path, pkt->len)) {
            stats->overflowed++;
            trace_efa_impair("overflow", pkt->len, 0);
            g_free(pkt);
            return;
        }
        path->free_at = MAX(path->free_at, now) +
                        pkt->len * 8 * 1000 / rule->rate_mbps;
        pkt->time = path->free_at;
    }
    pkt->time += efa_impair_delay(path);
    stats->delayed += pkt->time > now;
    if (efa_impair_chance(path, rule->reorder)) {
        stats->reordered++;
        pkt->time += rule->reorder_us * EFA_NSEC_PER_USEC;
    }
    if (efa_impair_chance(path, rule->corrupt)) {
        stats->corrupted++;
        efa_impair_damage(path, pkt);
    }
    if (efa_impair_pass(core, path, pkt, now)) {
        g_free(pkt);
    } else {
        trace_efa_impair("hold", pkt->len, pkt->time - now);
        efa_impair_hold(core, path, pkt);
    }
}

static EfaHeldPkt *efa_impair_double(const EfaHeldPkt *pkt)
{
    EfaHeldPkt *copy = g_malloc(sizeof(*pkt) + pkt->len);

    copy->link = (GList) { .data = copy };
    copy->len = pkt->len;
    memcpy(copy->data, pkt->data, pkt->len);
    return copy;
}

void efa_impair_commit(EfaCore *core, EfaPeer *peer, size_t len)
{
    EfaImpairPath *path = peer->path;
    EfaHeldPkt *pkt = core->impair.reserved;

    core->impair.reserved = NULL;
    pkt->link = (GList) { .data = pkt };
    pkt->len = len;
    if (path->rule->partition & EFA_PARTITION_OUT) {
        core->impair.stats.partitioned++;
        trace_efa_impair("partition out", len, 0);
        g_free(pkt);
        return;
    }
    if (efa_impair_chance(path, path->rule->loss)) {
        core->impair.stats.lost++;
        trace_efa_impair("loss", len, 0);
        g_free(pkt);
        return;
    }
    if (path->rule->corrupt > 0 && !core->fabric->checksum) {
        efa_pkt_seal(pkt->data, len);
    }
    if (efa_impair_chance(path, path->rule->duplicate)) {
        core->impair.stats.duplicated++;
        efa_impair_forward(core, path, efa_impair_double(pkt));
    }
    efa_impair_forward(core, path, pkt);
}

bool efa_impair_blocks_input(EfaCore *core, EfaPeer *peer, size_t len)
{
    const EfaImpairRule *rule = efa_impair_path(core, peer)->rule;

    if (!rule || !(rule->partition & EFA_PARTITION_IN)) {
        return false;
    }
    core->impair.stats.partitioned++;
    trace_efa_impair("partition in", len, 0);
    return true;
}

/* ---- as time goes by ---- */

/* Pass on what is due; when to look at this path again. */
static int64_t efa_impair_release(EfaCore *core, EfaImpairPath *path,
                                  int64_t now, unsigned *budget)
{
    EfaHeldPkt *pkt;

    while (!path->blocked && path->held.head) {
        pkt = path->held.head->data;
        if (pkt->time > now) {
            return pkt->time;
        }
        if (!*budget) {
            return EFA_IMPAIR_NOW;
        }
        if (!efa_net_pass(core, path->peer, pkt->data, pkt->len)) {
            path->blocked = true;   /* until efa_impair_writable() */
            break;
        }
        --*budget;
        efa_impair_unhold(core, path, pkt);
        g_free(pkt);
    }
    return INT64_MAX;
}

/* Tell those who were refused and would not be now; forget what is over. */
static void efa_impair_settle(EfaCore *core)
{
    EfaImpairState *s = &core->impair;
    GList *link = s->paths.head;

    while (link) {
        EfaImpairPath *path = link->data;

        link = link->next;
        if (path->starved && efa_impair_room(core, path, EFA_PKT_MAX)) {
            path->starved = false;
            efa_srd_mark_resume(core, path->peer);
        }
        if (!s->cfg.num_rules && !path->held.length && !path->starved) {
            efa_impair_forget(core, path->peer);
        }
    }
    s->on = s->cfg.num_rules || s->paths.length;
}

void efa_impair_run(EfaCore *core, unsigned budget)
{
    EfaImpairState *s = &core->impair;
    unsigned n = s->paths.length;
    int64_t next = INT64_MAX, now;

    if (s->next_at == INT64_MAX) {
        return;
    }
    now = efa_now(core);
    if (now < s->next_at) {
        return;
    }
    while (n--) {
        /* in turn: whoever comes after the end of the budget is next */
        GList *link = s->paths.head;
        bool had_none = !budget;
        int64_t again = efa_impair_release(core, link->data, now, &budget);

        next = MIN(next, again);
        if (again == EFA_IMPAIR_NOW && had_none) {
            break;
        }
        g_queue_unlink(&s->paths, link);
        g_queue_push_tail_link(&s->paths, link);
    }
    efa_impair_settle(core);
    s->next_at = next;
    if (next != INT64_MAX && next != EFA_IMPAIR_NOW) {
        efa_timer_at(core, next);
    }
}

bool efa_impair_due(const EfaCore *core)
{
    return core->impair.next_at == EFA_IMPAIR_NOW;
}

int64_t efa_impair_timer(const EfaCore *core)
{
    return efa_impair_due(core) ? INT64_MAX : core->impair.next_at;
}

void efa_impair_writable(EfaCore *core, EfaPeer *peer)
{
    if (peer->path && peer->path->blocked) {
        peer->path->blocked = false;
        core->impair.next_at = EFA_IMPAIR_NOW;
    }
}

/* ---- settings ---- */

void efa_impair_init(EfaCore *core)
{
    g_queue_init(&core->impair.paths);
    core->impair.next_at = INT64_MAX;
}

void efa_impair_destroy(EfaCore *core)
{
    efa_impair_cancel(core);
    efa_impair_clear(&core->impair.cfg);
}

void efa_impair_set(EfaCore *core, const EfaImpair *impair)
{
    EfaImpairState *s = &core->impair;
    int64_t now = efa_now(core);
    GList *link, *held;

    efa_impair_cancel(core);
    efa_impair_clear(&s->cfg);
    efa_impair_copy(&s->cfg, impair);
    s->on = true;
    if (impair->num_rules) {
        /* counters are those of a setting, and outlive it */
        s->stats = (EfaImpairStats) { .held = s->stats.held };
    }
    for (link = s->paths.head; link; link = link->next) {
        EfaImpairPath *path = link->data;

        path->rule = efa_impair_find(&s->cfg, &path->peer->gid);
        path->free_at = 0;
        efa_impair_seed(core, path);
        /* what the former setting held goes on now */
        for (held = path->held.head; held; held = held->next) {
            ((EfaHeldPkt *)held->data)->time = now;
        }
    }
    s->next_at = EFA_IMPAIR_NOW;
}
