/*
 * Unit tests: registers, readless reads, reset
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

static Host *raw_host(void)
{
    EfaConfig cfg = test_config(1);

    return host_new_raw(&cfg, NULL, NULL);
}

static const struct {
    uint32_t offset;
    const char *name;
    bool readable;
    uint32_t reset;
} regs[] = {
    { 0x00, "VERSION", true, 0x00000001 },
    { 0x04, "CONTROLLER_VERSION", true, 0x01000001 },
    { 0x08, "CAPS", true, 0x0000300a },
    { 0x0c, "hole" }, { 0x10, "AQ_BASE_LO" }, { 0x14, "AQ_BASE_HI" },
    { 0x18, "AQ_CAPS" }, { 0x1c, "hole" }, { 0x20, "ACQ_BASE_LO" },
    { 0x24, "ACQ_BASE_HI" }, { 0x28, "ACQ_CAPS" }, { 0x2c, "AQ_PROD_DB" },
    { 0x30, "hole" }, { 0x34, "AENQ_CAPS" }, { 0x38, "AENQ_BASE_LO" },
    { 0x3c, "AENQ_BASE_HI" }, { 0x40, "AENQ_CONS_DB" }, { 0x44, "hole" },
    { 0x48, "hole" }, { 0x4c, "INTR_MASK" }, { 0x50, "hole" },
    { 0x54, "DEV_CTL" },
    { 0x58, "DEV_STS", true, 0x00000001 },
    { 0x5c, "MMIO_REG_READ" }, { 0x60, "MMIO_RESP_LO" },
    { 0x64, "MMIO_RESP_HI" }, { 0x68, "EQ_DB" }, { 0x6c, "beyond the end" },
    { 0x3ffc, "end of the BAR" },
};

static void test_map(void)
{
    Host *h = raw_host();
    unsigned i;

    host_set_resp(h);
    for (i = 0; i < G_N_ELEMENTS(regs); i++) {
        uint32_t want = regs[i].readable ? regs[i].reset : UINT32_MAX;
        uint32_t plain = efa_core_reg_read(h->core, regs[i].offset, 4);
        uint32_t readless = reg_read(h, regs[i].offset);

        if (plain != want || readless != want) {
            g_error("%s: 0x%x, 0x%x, not 0x%x", regs[i].name, plain, readless,
                    want);
        }
    }
    hosts_free();
}

static void test_read_only(void)
{
    Host *h = raw_host();
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(regs); i++) {
        unsigned before = efa_native_guest_errors();

        if (regs[i].readable) {
            reg_write(h, regs[i].offset, ~regs[i].reset);
            g_assert_cmphex(efa_core_reg_read(h->core, regs[i].offset, 4), ==,
                            regs[i].reset);
            g_assert_cmpuint(efa_native_guest_errors(), >, before);
        } else if (!strcmp(regs[i].name, "hole") || regs[i].offset > A_EQ_DB) {
            reg_write(h, regs[i].offset, 1);
            g_assert_cmpuint(efa_native_guest_errors(), >, before);
        }
    }
    hosts_free();
}

static void test_access_size(void)
{
    static const unsigned sizes[] = { 1, 2, 8 };
    Host *h = raw_host();
    unsigned i;

    host_set_resp(h);
    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        unsigned before = efa_native_guest_errors();

        g_assert_cmphex(efa_core_reg_read(h->core, A_VERSION, sizes[i]), ==,
                        UINT64_MAX);
        efa_core_reg_write(h->core, A_DEV_CTL, 1, sizes[i]);
        g_assert_cmphex(reg_read(h, A_DEV_STS), ==, 1);
        g_assert_cmpuint(efa_native_guest_errors(), ==, before + 2);
    }
    for (i = 1; i < 4; i++) {
        g_assert_cmphex(efa_core_reg_read(h->core, A_VERSION + i, 4), ==,
                        UINT64_MAX);
        efa_core_reg_write(h->core, A_DEV_CTL + i, 1, 4);
        g_assert_cmphex(reg_read(h, A_DEV_STS), ==, 1);
        g_assert_cmphex(reg_read(h, A_VERSION + i), ==, UINT32_MAX);
    }
    hosts_free();
}

static void test_readless(void)
{
    Host *h = raw_host();
    uint64_t *resp;

    /* no address: dropped */
    h->dma_seen = false;
    reg_write(h, A_MMIO_REG_READ, A_VERSION << 16 | 7);
    g_assert_false(h->dma_seen);

    host_set_resp(h);
    resp = host_ptr(h, h->resp);
    resp[1] = 0x5555555555555555;
    /* exactly 8 bytes, in the order of 2.3; 0 and 0xffff are ids as good */
    reg_write(h, A_MMIO_REG_READ, A_CAPS << 16 | 0xffff);
    g_assert_cmphex(resp[0], ==, 0x0000300a0008ffffull);
    reg_write(h, A_MMIO_REG_READ, A_DEV_STS << 16);
    g_assert_cmphex(resp[0], ==, 0x0000000100580000ull);
    g_assert_cmphex(resp[1], ==, 0x5555555555555555);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);

    /* an offset with the top bits set is far away, not wrapped */
    reg_write(h, A_MMIO_REG_READ, 0xfffc0001);
    g_assert_cmphex(resp[0], ==, 0xfffffffffffc0001ull);

    /* a fault is lost, nothing worse */
    host_fault(h, FAULT_WRITE, h->resp, 8);
    reg_write(h, A_MMIO_REG_READ, A_CAPS << 16 | 9);
    host_fault(h, 0, 0, 0);
    g_assert_cmphex(resp[0], ==, 0xfffffffffffc0001ull);
    g_assert_cmphex(reg_read(h, A_CAPS), ==, 0x300a);

    /* a misaligned or impossible address is refused, not rounded */
    reg_write(h, A_MMIO_RESP_LO, (uint32_t)h->resp + 4);
    reg_write(h, A_MMIO_REG_READ, A_CAPS << 16 | 10);
    reg_write(h, A_MMIO_RESP_HI, 0xffffffff);
    reg_write(h, A_MMIO_REG_READ, A_CAPS << 16 | 11);
    g_assert_cmphex(resp[1], ==, 0x5555555555555555);
    hosts_free();
}

/* 3.4, word by word */
static void test_probe_trace(void)
{
    Host *h = raw_host();
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = EFA_ADMIN_DEVICE_ATTR);

    host_set_resp(h);
    g_assert_cmphex(reg_read(h, 0x58), ==, 0x00000001);
    g_assert_cmphex(reg_read(h, 0x08), ==, 0x0000300a);
    reg_write(h, 0x54, 0x00000001);
    host_set_resp(h);
    g_assert_cmphex(reg_read(h, 0x58), ==, 0x00000009);
    reg_write(h, 0x54, 0x00000000);
    /* the address survives the second write (3.2) */
    g_assert_cmphex(reg_read(h, 0x58) & 0x29, ==, 0x00000001);
    g_assert_cmphex(reg_read(h, 0x00), ==, 1);
    g_assert_cmphex(reg_read(h, 0x04), ==, 0x01000001);
    host_admin_init(h);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    hosts_free();
}

static void test_reset_reasons(void)
{
    Host *h = raw_host();
    uint32_t reason;

    for (reason = 0; reason < 16; reason++) {
        host_set_resp(h);
        reg_write(h, A_DEV_CTL, 1 | reason << 28);
        /* cleared with the write itself: this read goes nowhere */
        h->dma_seen = false;
        reg_write(h, A_MMIO_REG_READ, A_DEV_STS << 16 | 1);
        g_assert_false(h->dma_seen);
        host_set_resp(h);
        g_assert_cmphex(reg_read(h, A_DEV_STS), ==, 9);
        reg_write(h, A_DEV_CTL, 0);
        g_assert_cmphex(reg_read(h, A_DEV_STS) & 9, ==, 1);
    }
    /* neither AQ_RESTART nor an idle 0 do anything */
    reg_write(h, A_DEV_CTL, R_DEV_CTL_AQ_RESTART_MASK);
    g_assert_cmphex(reg_read(h, A_DEV_STS) & 0xf, ==, 1);
    reg_write(h, A_DEV_CTL, 0);
    g_assert_cmphex(reg_read(h, A_DEV_STS) & 0xf, ==, 1);
    hosts_free();
}

/* Everything alive, traffic under way: then a reset, then silence. */
static void test_reset_alive(void)
{
    Host *h = host_new(1);
    Eq *eq = create_eq_ok(h, 512, 1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    CqOpts opts = { .eq = eq };
    Cq *cq = create_cq_ok(h, e->uar, &opts);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(1));
    EfaIoTxWqe wqe = wqe_send(1, ah, e->qp->num);
    uint16_t old_num = e->qp->num, old_cq = e->rcq->idx;
    End *e2;
    int i;

    g_assert_nonnull(cq);
    eq_arm(eq);
    wqe_inline(&wqe, "x", 1);
    for (i = 0; i < 8; i++) {
        sq_put(e->qp, &wqe);        /* RNR: they stay outstanding */
    }
    sq_ring(e->qp);
    settle();

    host_reset_handshake(h);
    host_irqs(h, 0);
    h->dma_seen = false;
    advance(20000 * EFA_NSEC_PER_MSEC);
    sq_ring(e->qp);
    rq_ring(e->qp);
    cq_arm(cq);
    eq_arm(eq);
    settle();
    g_assert_false(h->dma_seen);
    g_assert_cmpuint(host_irqs(h, 1), ==, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);

    /* all tables are empty again, and stale numbers stay stale */
    host_admin_init(h);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, e->pd), ==,
                     EFA_ADMIN_ILLEGAL_PARAMETER);
    g_assert_cmpuint(qp_destroy(e->qp), ==, EFA_ADMIN_ILLEGAL_PARAMETER);
    g_assert_cmpuint(dereg(h, e->rx.key), ==, EFA_ADMIN_ILLEGAL_PARAMETER);
    for (i = 0; i < 7; i++) {
        g_assert_cmpuint(stat_get(h, EFA_ADMIN_GET_STATS_TYPE_BASIC, i), ==,
                         0);
    }
    e2 = end_new(h, EFA_QP_TYPE_SRD);
    g_assert_cmphex(e2->qp->num, !=, old_num);
    g_assert_cmpuint(e2->rcq->idx, !=, old_cq);
    ah = create_ah_ok(h, e2->pd, test_gid(1));
    rq_post(e2->qp, 9, &e2->rx, 0, 64);
    wqe = wqe_send(2, ah, e2->qp->num);
    wqe_inline(&wqe, "ab", 2);
    sq_post(e2->qp, &wqe);
    g_assert_cmpuint(cq_next(e2->rcq).length, ==, 2);
    g_assert_cmpuint(cq_next(e2->scq).status, ==, 0);
    hosts_free();
}

/* A function level reset does the same without any handshake. */
static void test_core_reset(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_UD);

    efa_core_reset(h->core);
    h->dma_seen = false;
    sq_ring(e->qp);
    aq_ring(h);
    g_assert_false(h->dma_seen);
    g_assert_cmphex(efa_core_reg_read(h->core, A_DEV_STS, 4), ==, 1);
    host_probe(h);
    end_new(h, EFA_QP_TYPE_SRD);
    hosts_free();
}

/* Nothing moves while the VM is stopped; what was rung is done later. */
static void test_stopped(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(1));
    EfaIoTxWqe wqe = wqe_send(1, ah, e->qp->num);

    rq_post(e->qp, 1, &e->rx, 0, 64);
    efa_core_set_running(h->core, false);
    h->dma_seen = false;
    sq_post(e->qp, &wqe);
    advance(1000 * EFA_NSEC_PER_MSEC);
    efa_core_run(h->core);
    g_assert_false(h->dma_seen);
    efa_core_set_running(h->core, true);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/regs/map", test_map);
    g_test_add_func("/regs/read-only", test_read_only);
    g_test_add_func("/regs/access-size", test_access_size);
    g_test_add_func("/regs/readless", test_readless);
    g_test_add_func("/regs/probe-trace", test_probe_trace);
    g_test_add_func("/regs/reset-reasons", test_reset_reasons);
    g_test_add_func("/regs/reset-alive", test_reset_alive);
    g_test_add_func("/regs/core-reset", test_core_reset);
    g_test_add_func("/regs/stopped", test_stopped);
    return g_test_run();
}
