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

/* It lies above the slot, and is another one for the next QP. */
static void test_generation(void)
{
    unsigned bits, use;

    for (bits = 0; bits <= 15; bits++) {
        uint16_t mask = (1u << bits) - 1;

        for (use = 0; use < 256; use++) {
            uint16_t one = efa_generation(mask, use);

            g_assert_cmphex(one & mask, ==, 0);
            g_assert_cmphex(one, !=, efa_generation(mask, use + 1));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/provider-ring/powers", test_powers);
    g_test_add_func("/provider-ring/phase", test_phase);
    g_test_add_func("/provider-ring/batch", test_batch);
    g_test_add_func("/provider-ring/generation", test_generation);
    return g_test_run();
}
