/*
 * Simulator: what happens when
 *
 * Most events are packets that arrive within microseconds. They go into a
 * wheel of short ticks, which costs the same however many there are; the tick
 * that has come is sorted. What is further off waits in a heap. Events of the
 * same moment come in the order in which they were added.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define TICK_BITS       7           /* 128 ns */
#define WHEEL_TICKS     4096        /* half a millisecond, a power of two */
#define NONE            UINT32_MAX

typedef struct Entry {
    Event ev;
    uint32_t next;
} Entry;

typedef struct EventList {
    Event *ev;
    size_t len, size;
} EventList;

struct Events {
    uint64_t serial;
    uint64_t left;

    /* of the current tick, sorted, those from pos on to come */
    EventList now;
    size_t pos;
    int64_t tick;

    /* later ones in reach: lists of entries, and which ticks have any */
    uint32_t head[WHEEL_TICKS];
    uint64_t used[WHEEL_TICKS / 64];
    uint64_t in_wheel;
    Entry *entries;
    uint32_t num_entries, entries_size, free;

    EventList heap;
};

Events *events_new(int64_t now)
{
    Events *e = g_new0(Events, 1);

    memset(e->head, 0xff, sizeof(e->head));
    e->free = NONE;
    e->tick = now >> TICK_BITS;
    return e;
}

void events_free(Events *e)
{
    g_free(e->now.ev);
    g_free(e->heap.ev);
    g_free(e->entries);
    g_free(e);
}

uint64_t events_left(const Events *e)
{
    return e->left;
}

static inline bool before(const Event *a, const Event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void list_grow(EventList *l)
{
    if (l->len == l->size) {
        l->size = MAX(64, l->size * 2);
        l->ev = g_renew(Event, l->ev, l->size);
    }
    l->len++;
}

/* ---- the far future: a heap ---- */

static void heap_add(EventList *h, const Event *ev)
{
    size_t i;

    list_grow(h);
    for (i = h->len - 1; i && before(ev, &h->ev[(i - 1) / 2]);
         i = (i - 1) / 2) {
        h->ev[i] = h->ev[(i - 1) / 2];
    }
    h->ev[i] = *ev;
}

static Event heap_take(EventList *h)
{
    Event first = h->ev[0], last = h->ev[--h->len];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < h->len) {
        if (child + 1 < h->len && before(&h->ev[child + 1], &h->ev[child])) {
            child++;
        }
        if (!before(&h->ev[child], &last)) {
            break;
        }
        h->ev[i] = h->ev[child];
        i = child;
    }
    h->ev[i] = last;
    return first;
}

/* ---- the current tick ---- */

/* From the end: what is added last is mostly the latest. */
static void now_insert(Events *e, const Event *ev)
{
    size_t i;

    list_grow(&e->now);
    for (i = e->now.len - 1; i > e->pos && before(ev, &e->now.ev[i - 1]);
         i--) {
        e->now.ev[i] = e->now.ev[i - 1];
    }
    e->now.ev[i] = *ev;
}

/* ---- the wheel ---- */

static void wheel_add(Events *e, const Event *ev)
{
    uint32_t slot = (ev->at >> TICK_BITS) & (WHEEL_TICKS - 1);
    uint32_t i = e->free;

    if (i != NONE) {
        e->free = e->entries[i].next;
    } else {
        if (e->num_entries == e->entries_size) {
            e->entries_size = MAX(256, e->entries_size * 2);
            e->entries = g_renew(Entry, e->entries, e->entries_size);
        }
        i = e->num_entries++;
    }
    e->entries[i] = (Entry) { *ev, e->head[slot] };
    e->head[slot] = i;
    e->used[slot / 64] |= 1ull << slot % 64;
    e->in_wheel++;
}

/* The first tick after the current one that has events. */
static int64_t wheel_next(const Events *e)
{
    uint32_t slot = (e->tick + 1) & (WHEEL_TICKS - 1), word = slot / 64;
    uint64_t bits = e->used[word] & (~0ull << slot % 64);

    while (!bits) {
        word = (word + 1) % ARRAY_SIZE(e->used);
        bits = e->used[word];
    }
    return e->tick + 1 +
           ((word * 64 + __builtin_ctzll(bits) - slot) & (WHEEL_TICKS - 1));
}

static void wheel_take(Events *e)
{
    uint32_t slot = e->tick & (WHEEL_TICKS - 1);
    uint32_t i = e->head[slot], next;

    for (; i != NONE; i = next) {
        next = e->entries[i].next;
        now_insert(e, &e->entries[i].ev);
        e->entries[i].next = e->free;
        e->free = i;
        e->in_wheel--;
    }
    e->head[slot] = NONE;
    e->used[slot / 64] &= ~(1ull << slot % 64);
}

/* Go to the next tick that has events. */
static bool events_turn(Events *e)
{
    int64_t tick = INT64_MAX;

    e->pos = e->now.len = 0;
    if (e->in_wheel) {
        tick = wheel_next(e);
    }
    if (e->heap.len) {
        tick = MIN(tick, e->heap.ev[0].at >> TICK_BITS);
    }
    if (tick == INT64_MAX) {
        return false;
    }
    e->tick = tick;
    wheel_take(e);
    while (e->heap.len && e->heap.ev[0].at >> TICK_BITS == tick) {
        Event ev = heap_take(&e->heap);

        now_insert(e, &ev);
    }
    return true;
}

/* ---- all together ---- */

void events_add(Events *e, int64_t at, EventKind kind, void *ref)
{
    Event ev = { at, e->serial++ << EV_KIND_BITS | kind, ref };
    int64_t ticks = (at >> TICK_BITS) - e->tick;

    e->left++;
    if (ticks <= 0) {
        /* the current tick may be ahead of the clock */
        now_insert(e, &ev);
    } else if (ticks < WHEEL_TICKS) {
        wheel_add(e, &ev);
    } else {
        heap_add(&e->heap, &ev);
    }
}

const Event *events_peek(Events *e)
{
    if (e->pos == e->now.len && !events_turn(e)) {
        return NULL;
    }
    return &e->now.ev[e->pos];
}

void events_pop(Events *e)
{
    e->pos++;
    e->left--;
}

const Event *events_soon(const Events *e)
{
    return e->pos < e->now.len ? &e->now.ev[e->pos] : NULL;
}
