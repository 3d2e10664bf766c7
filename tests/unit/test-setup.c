/*
 * Unit tests: setting up the rings of the admin interface, right and wrong
 *
 * Control path specification, 3.3 and 13.1. What concerns AQ and ACQ alone is
 * in test-admin.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

/* A counter far ahead: as many commands as the ring holds, and no more. */
static void test_counter_jump(void)
{
    static const uint16_t jumps[] = { AQ_DEPTH, AQ_DEPTH + 1, 1000, 0x8000,
                                      0xffff };
    unsigned i, j;

    for (i = 0; i < G_N_ELEMENTS(jumps); i++) {
        Host *h = host_new(1);
        EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
        unsigned before = efa_native_guest_errors();
        EfaAcqEntry cqe;

        for (j = 0; j < AQ_DEPTH; j++) {
            aq_put(h, &cmd);
        }
        reg_write(h, A_AQ_PROD_DB, jumps[i]);
        settle();
        for (j = 0; acq_take(h, &cqe); j++) {
            g_assert_cmpuint(cqe.status, ==, 0);
        }
        g_assert_cmpuint(j, ==, AQ_DEPTH);
        g_assert_cmpint(efa_native_guest_errors() > before, ==, i > 0);
        /* and a driver that goes on as if nothing had happened is served */
        alloc_pd_ok(h);
        hosts_free();
    }
}

/* 13.1: before the queues are there a doorbell is nothing, and told of. */
static void test_early_doorbell(void)
{
    EfaConfig cfg = test_config(1);
    Host *h = host_new_raw(&cfg, NULL, NULL);
    unsigned i;

    h->aq = h->acq = HOST_DMA_BASE;
    for (i = 0; i < 4; i++) {
        unsigned errors = efa_native_guest_errors();
        uint64_t bad = h->core->stats.bad_doorbells;

        h->dma_seen = false;
        reg_write(h, A_AQ_PROD_DB, 1);
        g_assert_false(h->dma_seen);
        g_assert_cmpuint(efa_native_guest_errors(), ==, errors + 1);
        g_assert_cmpuint(h->core->stats.bad_doorbells, ==, bad + 1);
        g_assert_cmphex(efa_core_reg_read(h->core, A_DEV_STS, 4) &
                        R_DEV_STS_FATAL_ERROR_MASK, ==, 0);
        /* one of the two is not enough, whichever it is */
        efa_core_reset(h->core);
        if (i == 0) {
            reg_write_pair(h, A_AQ_BASE_LO, HOST_DMA_BASE);
            reg_write(h, A_AQ_CAPS, 64 << 16 | AQ_DEPTH);
        } else if (i == 1) {
            reg_write_pair(h, A_ACQ_BASE_LO, HOST_DMA_BASE);
            reg_write(h, A_ACQ_CAPS, 64 << 16 | AQ_DEPTH);
        }
    }
    /* what was rung then is not remembered */
    host_probe(h);
    alloc_pd_ok(h);
    hosts_free();
}

/* The vCPU that rings waits for some commands only; the rest is done soon. */
static void test_budget(void)
{
    const unsigned depth = 4096;
    Host *h = host_new(1);
    uint64_t aq = host_alloc(h, depth * 64, 4096);
    uint64_t acq = host_alloc(h, depth * 64, 4096);
    EfaAqEntry *cmd = host_ptr(h, aq);
    EfaAcqEntry *cqe = host_ptr(h, acq);
    unsigned i, done = 0;

    reg_write_pair(h, A_AQ_BASE_LO, aq);
    reg_write(h, A_AQ_CAPS, 64 << 16 | depth);
    reg_write_pair(h, A_ACQ_BASE_LO, acq);
    reg_write(h, A_ACQ_CAPS, 64 << 16 | depth);
    for (i = 0; i < depth; i++) {
        cmd[i] = CMD(EfaAqEntry, EFA_ADMIN_GET_STATS);
        cmd[i].common.flags = 1;
    }
    reg_write(h, A_AQ_PROD_DB, depth);
    while (done < depth && (cqe[done].flags & 1)) {
        done++;
    }
    g_assert_cmpuint(done, >, 0);
    g_assert_cmpuint(done, <=, EFA_ADMIN_BUDGET);
    settle();
    for (i = 0; i < depth; i++) {
        g_assert_cmpuint(cqe[i].flags, ==, 1);
        g_assert_cmpuint(cqe[i].status, ==, 0);
    }
    hosts_free();
}

/* The same by the length of page lists: one command may be many. */
static void test_page_budget(void)
{
    const uint32_t pages = EFA_ADMIN_PAGES + 1;
    Host *h = host_new(1);
    EfaRegMrCmd cmd = mr_cmd(alloc_pd_ok(h), 0x1000, pages * 4096ull, 0);
    uint64_t at = host_alloc(h, pages * 8ull, 4096), *list = host_ptr(h, at);
    EfaAcqEntry cqe;
    unsigned i;

    for (i = 0; i < pages; i++) {
        list[i] = i * 4096ull;
    }
    cmd.pbl = (EfaCtrlBuffInfo) { pages * 8, at, at >> 32 };
    cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    for (i = 0; i < 3; i++) {
        EfaAqEntry entry;

        memcpy(&entry, &cmd, sizeof(entry));
        aq_put(h, &entry);
    }
    aq_ring(h);
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmpuint(cqe.status, ==, 0);
    g_assert_false(acq_take(h, &cqe));
    settle();
    for (i = 1; i < 3; i++) {
        g_assert_true(acq_take(h, &cqe));
        g_assert_cmpuint(cqe.status, ==, 0);
    }
    hosts_free();
}

/* An AENQ that is refused gets no event; commands are none the worse. */
static void test_aenq(void)
{
    static const struct {
        const char *name;
        uint64_t base;
        uint32_t caps;
        bool works;
    } rows[] = {
        { "good", HOST_DMA_BASE + 0x10000, 0x00400010, true },
        { "depth 0", HOST_DMA_BASE + 0x10000, 0x00400000 },
        { "depth 17", HOST_DMA_BASE + 0x10000, 0x00400011 },
        { "depth 8192", HOST_DMA_BASE + 0x10000, 0x00402000 },
        { "depth 4096", HOST_DMA_BASE + 0x10000, 0x00401000, true },
        { "entries of 32", HOST_DMA_BASE + 0x10000, 0x00200010 },
        { "entries of 128", HOST_DMA_BASE + 0x10000, 0x00800010 },
        { "vector 32 of 32", HOST_DMA_BASE + 0x10000, 0x20400010 },
        { "vector 31 of 32", HOST_DMA_BASE + 0x10000, 0x1f400010, true },
        { "no base", 0, 0x00400010 },
        { "base in mid-word", HOST_DMA_BASE + 0x10004, 0x00400010 },
        { "base beyond 48 bits", 1ull << 48, 0x00400010 },
        { "end beyond 48 bits", (1ull << 48) - 512, 0x00400010 },
        { "base wraps", ~0xfffull, 0x00400010 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host *h = host_new(1);
        EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                                .feature_id = EFA_ADMIN_AENQ_CONFIG);
        unsigned vector = rows[i].caps >> 24;

        reg_write_pair(h, A_AENQ_BASE_LO, rows[i].base);
        reg_write(h, A_AENQ_CAPS, rows[i].caps);
        cmd.raw[4] = 0x1e;
        g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
        host_irqs(h, vector % 32);
        h->dma_seen = false;
        efa_lock(&h->core->lock);
        efa_aenq_post(h->core, EFA_ADMIN_WARNING, 0);
        efa_unlock(&h->core->lock);
        if (h->dma_seen != rows[i].works ||
            host_irqs(h, vector % 32) != rows[i].works) {
            g_error("%s: %s", rows[i].name,
                    h->dma_seen ? "works" : "does not work");
        }
        g_assert_cmpint(h->core->aenq.live, ==, rows[i].works);
        alloc_pd_ok(h);
        hosts_free();
    }
}

/* 3.2: the driver may give its vectors away with the first write. */
static void test_reset_interrupts(void)
{
    Host *h = host_new(1);
    unsigned before = h->irqs_forgotten;

    reg_write(h, A_DEV_CTL, R_DEV_CTL_DEV_RESET_MASK);
    g_assert_cmpuint(h->irqs_forgotten, ==, before + 1);
    reg_write(h, A_DEV_CTL, 0);
    g_assert_cmpuint(h->irqs_forgotten, ==, before + 1);
    efa_core_reset(h->core);
    g_assert_cmpuint(h->irqs_forgotten, ==, before + 2);
    hosts_free();
}

/* 14, 2: told after the first reset that was completed, and from then on. */
static void test_reset_finished(void)
{
    EfaConfig cfg = test_config(1);
    Host *h = host_new_raw(&cfg, NULL, NULL);
    unsigned i;

    host_set_resp(h);
    g_assert_cmphex(reg_read(h, A_DEV_STS), ==, R_DEV_STS_READY_MASK);
    for (i = 0; i < 2; i++) {
        host_reset_handshake(h);
        g_assert_cmphex(reg_read(h, A_DEV_STS), ==, R_DEV_STS_READY_MASK |
                        R_DEV_STS_RESET_FINISHED_MASK);
    }
    /* 14, 3: after FLR all is as after power-on */
    efa_core_reset(h->core);
    g_assert_cmphex(efa_core_reg_read(h->core, A_DEV_STS, 4), ==,
                    R_DEV_STS_READY_MASK);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/setup/counter-jump", test_counter_jump);
    g_test_add_func("/setup/early-doorbell", test_early_doorbell);
    g_test_add_func("/setup/budget", test_budget);
    g_test_add_func("/setup/page-budget", test_page_budget);
    g_test_add_func("/setup/aenq", test_aenq);
    g_test_add_func("/setup/reset-interrupts", test_reset_interrupts);
    g_test_add_func("/setup/reset-finished", test_reset_finished);
    return g_test_run();
}
