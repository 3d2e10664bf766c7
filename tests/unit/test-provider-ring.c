/*
 * Unit tests: arithmetic of the provider's rings and request ids
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include "../../guest/provider/ring.h"

static void test_powers(void)
{
    static const struct {
        uint32_t n, up, down;
    } cases[] = {
        { 0, 1, 0 }, { 1, 1, 1 }, { 2, 2, 2 }, { 3, 4, 2 }, { 4, 4, 4 },
        { 5, 8, 4 }, { 4095, 4096, 2048 }, { 4096, 4096, 4096 },
        { 4097, 8192, 4096 }, { 1u << 31, 1u << 31, 1u << 31 },
        { UINT32_MAX / 2, 1u << 31, 1u << 30 },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpuint(efa_pow2up(cases[i].n), ==, cases[i].up);
        g_assert_cmpuint(efa_pow2down(cases[i].n), ==, cases[i].down);
    }
}

/* Entries of one round have one phase, those of the next the other. */
static void test_phase(void)
{
    uint32_t depth, count;

    for (depth = 1; depth <= 1u << 15; depth <<= 1) {
        for (count = 0; count < 4 * depth; count++) {
            g_assert_cmpint(efa_odd_round(count, depth - 1), ==,
                            count / depth % 2);
        }
        /* counters of queues have 16 bits, those of completions 32 */
        g_assert_cmpint(efa_odd_round((uint16_t)(4 * depth - 1), depth - 1),
                        ==, 1);
        g_assert_cmpint(efa_odd_round(UINT32_MAX, depth - 1), ==, 1);
    }
}

/* Data path specification, 2.7. */
static void test_batch(void)
{
    static const struct {
        uint16_t tx_batch, wqe_size, min_sq;
        uint32_t wqes;
        uint16_t batch;
    } cases[] = {
        { 0, 64, 0, 4096, UINT16_MAX }, { 0, 128, 0, 1, UINT16_MAX },
        { 11, 64, 0, 16, 11 }, { 11, 128, 0, 16, 5 },
        { 0, 64, 16, 16, 15 }, { 20, 64, 16, 16, 15 }, { 3, 64, 16, 16, 3 },
        { 1, 128, 0, 16, 1 }, { 0, 64, 1, 1, 1 },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpuint(efa_max_batch(cases[i].tx_batch, cases[i].wqe_size,
                                       cases[i].min_sq, cases[i].wqes), ==,
                         cases[i].batch);
    }
}

#define SLOTS_MAX 64

typedef struct Slots {
    struct efa_slots s;
    uint16_t free[SLOTS_MAX];
    bool out[SLOTS_MAX];
    uint32_t num_out;
} Slots;

static void slots_init(Slots *t, uint32_t count)
{
    *t = (Slots) {
        .s = { .free = t->free, .count = count, .mask = efa_pow2up(count) - 1 },
    };
    efa_slots_reset(&t->s);
}

static void slots_take(Slots *t)
{
    uint32_t slot = efa_slots_take(&t->s);

    g_assert_cmpuint(slot, <, t->s.count);
    g_assert_false(t->out[slot]);
    t->out[slot] = true;
    t->num_out++;
}

static void slots_give(Slots *t, uint32_t slot)
{
    g_assert_true(efa_slots_give(&t->s, slot));
    t->out[slot] = false;
    t->num_out--;
}

/* Each is out once at a time, in whatever order they come back. */
static void test_slots_order(void)
{
    uint32_t count, i, num, round;

    for (count = 1; count <= SLOTS_MAX; count++) {
        Slots t;

        slots_init(&t, count);
        for (round = 0; round < 200; round++) {
            g_assert_cmpuint(efa_slots_left(&t.s), ==, count - t.num_out);
            num = g_test_rand_int_range(0, count - t.num_out + 1);
            for (i = 0; i < num; i++) {
                slots_take(&t);
            }
            for (i = 0; i < count; i++) {
                if (t.out[i] && g_test_rand_bit()) {
                    slots_give(&t, i);
                }
            }
        }
    }
}

/* What was taken for nothing is there again, whoever gave meanwhile. */
static void test_slots_untake(void)
{
    uint32_t i;
    Slots t;

    slots_init(&t, 4);
    for (i = 0; i < 4; i++) {
        slots_take(&t);
    }
    slots_give(&t, 2);
    slots_give(&t, 0);
    g_assert_cmpuint(efa_slots_take(&t.s), ==, 2);
    slots_give(&t, 3);
    efa_slots_untake(&t.s, 1);
    slots_give(&t, 1);
    g_assert_cmpuint(efa_slots_left(&t.s), ==, 4);
    for (i = 0; i < 4; i++) {
        slots_take(&t);
    }
    g_assert_cmpuint(efa_slots_left(&t.s), ==, 0);
}

/* A device that names what it does not have is not believed. */
static void test_slots_foreign(void)
{
    uint32_t id;
    Slots t;

    slots_init(&t, 5);
    for (id = 0; id <= UINT16_MAX; id++) {
        g_assert_false(efa_slots_give(&t.s, id));
    }
    efa_slots_take(&t.s);
    for (id = 5; id <= UINT16_MAX; id++) {
        g_assert_false(efa_slots_give(&t.s, id));
    }
    g_assert_true(efa_slots_give(&t.s, 4));
    g_assert_false(efa_slots_give(&t.s, 0));
}

typedef struct Turns {
    struct efa_slots *s;
    GAsyncQueue *out;       /* ids + 1 */
    int *owner;             /* of each slot: how often it is out */
} Turns;

#define TURNS 200000

static void *giver(void *opaque)
{
    Turns *t = opaque;
    int i;

    for (i = 0; i < TURNS; i++) {
        uint16_t id = GPOINTER_TO_UINT(g_async_queue_pop(t->out)) - 1;

        g_assert_cmpint(t->owner[id]--, ==, 1);
        g_assert_true(efa_slots_give(t->s, id));
    }
    return NULL;
}

/* One thread posts, another polls: no slot is lost, none is out twice. */
static void test_slots_threads(void)
{
    int owner[SLOTS_MAX] = {}, i;
    Turns t = { .out = g_async_queue_new(), .owner = owner };
    GThread *thread;
    Slots slots;

    slots_init(&slots, 6);
    t.s = &slots.s;
    thread = g_thread_new("giver", giver, &t);
    for (i = 0; i < TURNS; i++) {
        uint16_t id;

        while (!efa_slots_left(t.s)) {
            g_thread_yield();
        }
        id = efa_slots_take(t.s);
        g_assert_cmpint(owner[id]++, ==, 0);
        g_async_queue_push(t.out, GUINT_TO_POINTER(id + 1));
    }
    g_thread_join(thread);
    g_assert_cmpuint(efa_slots_left(t.s), ==, 6);
    g_async_queue_unref(t.out);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/provider-ring/powers", test_powers);
    g_test_add_func("/provider-ring/phase", test_phase);
    g_test_add_func("/provider-ring/batch", test_batch);
    g_test_add_func("/provider-ring/slots/order", test_slots_order);
    g_test_add_func("/provider-ring/slots/untake", test_slots_untake);
    g_test_add_func("/provider-ring/slots/foreign", test_slots_foreign);
    g_test_add_func("/provider-ring/slots/threads", test_slots_threads);
    return g_test_run();
}
