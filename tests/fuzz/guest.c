/*
 * Fuzzing: a guest that may do anything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "book.h"

/* ---- registers ---- */

void guest_reset(Guest *g)
{
    book_clear(g);
    g->sane = false;
}

static void latch(uint64_t *pair, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;

    *pair = (*pair & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static void set_ring(Guest *g, uint64_t *ring, uint32_t *len, uint64_t base,
                     uint32_t size)
{
    *ring = base;
    *len = size;
    book_look_for_overlap(g);
}

void guest_reg_write(Guest *g, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case A_AQ_BASE_LO:
    case A_AQ_BASE_HI:
        latch(&g->base[0], offset == A_AQ_BASE_HI, value);
        break;
    case A_ACQ_BASE_LO:
    case A_ACQ_BASE_HI:
        latch(&g->base[1], offset == A_ACQ_BASE_HI, value);
        break;
    case A_AENQ_BASE_LO:
    case A_AENQ_BASE_HI:
        latch(&g->base[2], offset == A_AENQ_BASE_HI, value);
        break;
    case A_AQ_CAPS:
        g->aq_entry = FIELD_EX32(value, AQ_CAPS, AQ_ENTRY_SIZE);
        set_ring(g, &g->aq, &g->aq_len, g->base[0],
                 (uint16_t)value * g->aq_entry);
        g->aq_taken = 0;
        break;
    case A_ACQ_CAPS:
        set_ring(g, &g->acq, &g->acq_len, g->base[1],
                 (uint16_t)value * EFA_ACQ_ENTRY_SIZE);
        break;
    case A_AENQ_CAPS:
        set_ring(g, &g->aenq, &g->aenq_len, g->base[2],
                 (uint16_t)value * EFA_AENQ_ENTRY_SIZE);
        break;
    case A_MMIO_RESP_LO:
    case A_MMIO_RESP_HI:
        latch(&g->resp, offset == A_MMIO_RESP_HI, value);
        break;
    case A_DEV_CTL:
        if (value & R_DEV_CTL_DEV_RESET_MASK) {
            guest_reset(g);
        }
        break;
    }
    reg_write(g->h, offset, value);
}

static void write_pair(Guest *g, uint32_t lo, uint64_t value)
{
    guest_reg_write(g, lo, value);
    guest_reg_write(g, lo + 4, value >> 32);
}

void guest_reprobe(Guest *g)
{
    Host *h = g->h;
    uint32_t entry = h->cfg.admin_version >= EFA_ADMIN_VERSION_V2
                     ? EFA_AQ_ENTRY_SIZE_V2 : EFA_AQ_ENTRY_SIZE;

    h->dma_on = true;
    h->fail_at = 0;
    guest_reg_write(g, A_DEV_CTL, R_DEV_CTL_DEV_RESET_MASK);
    write_pair(g, A_MMIO_RESP_LO, h->resp);
    guest_reg_write(g, A_DEV_CTL, 0);
    memset(host_ptr(h, h->aq), 0, AQ_DEPTH * EFA_AQ_ENTRY_SIZE_V2);
    memset(host_ptr(h, h->acq), 0, AQ_DEPTH * 64);
    h->aq_prod = 0;
    h->acq_cons = 0;
    write_pair(g, A_AQ_BASE_LO, h->aq);
    guest_reg_write(g, A_AQ_CAPS, entry << 16 | AQ_DEPTH);
    write_pair(g, A_ACQ_BASE_LO, h->acq);
    guest_reg_write(g, A_ACQ_CAPS, 64 << 16 | AQ_DEPTH);
    guest_reg_write(g, A_INTR_MASK, 0);
    write_pair(g, A_AENQ_BASE_LO, h->aenq);
    guest_reg_write(g, A_AENQ_CAPS, 64 << 16 | AENQ_DEPTH);
    g->sane = true;
}

/* ---- life ---- */

static EfaConfig guest_config(unsigned n, uint8_t how)
{
    EfaConfig cfg = test_config_of(n, (how & 7) % EFA_NUM_GENERATIONS);

    cfg.reorder = how & GUEST_REORDER ? 4 : 0;
    cfg.sub_cqs_per_cq = how & GUEST_SUB_CQS ? 2 : 1;
    cfg.num_vectors = 4;
    cfg.max_qp = 8;
    cfg.max_cq = 16;
    cfg.max_eq = 3;
    cfg.max_eq_depth = 64;
    cfg.max_mr = 32;
    cfg.max_mr_pages = 2048;
    cfg.max_pd = 8;
    cfg.max_ah = 8;
    cfg.max_rdma_size = 128 << 10;
    cfg.max_event_counters = 8;
    if (how & GUEST_ADMIN_V2) {
        cfg.admin_version = EFA_ADMIN_VERSION_V2;
    }
    cfg.peer_timeout_ms = 500;
    return cfg;
}

static void set_impair(Guest *g)
{
    EfaImpairRule rule;
    EfaImpair impair = { 1, &rule };

    efa_impair_rule_init(&rule);
    rule.loss = 10;
    rule.duplicate = 20;
    rule.reorder = 20;
    rule.corrupt = 5;
    rule.delay_us = 50;
    fuzz_check(efa_core_set_impair(g->h->core, &impair, NULL), "no impairment");
}

Guest *guest_new(unsigned n, Wire *wire, uint8_t how)
{
    Guest *g = g_new0(Guest, 1);
    EfaConfig cfg = guest_config(n, how);

    g->ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    g->qps = g_array_new(FALSE, FALSE, sizeof(QpId));
    g->lists = g_array_new(FALSE, FALSE, sizeof(FastList));
    g->cmd_pages = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g->h = host_new_raw(&cfg, wire, NULL);
    g->h->watch = book_access;
    g->h->watcher = g;
    g->h->resp = host_alloc(g->h, 8, HOST_PAGE);
    g->h->aq = host_alloc(g->h, AQ_DEPTH * EFA_AQ_ENTRY_SIZE_V2, HOST_PAGE);
    g->h->acq = host_alloc(g->h, AQ_DEPTH * 64, HOST_PAGE);
    g->h->aenq = host_alloc(g->h, AENQ_DEPTH * 64, HOST_PAGE);
    g->pages = host_alloc(g->h, GUEST_PAGES * HOST_PAGE, HOST_PAGE);
    guest_reprobe(g);
    if (how & GUEST_IMPAIR) {
        set_impair(g);
    }
    return g;
}

static uint8_t permissions(const EfaConfig *cfg)
{
    return PERM_LOCAL_WRITE |
           (cfg->rdma_read == ON_OFF_AUTO_ON ? PERM_REMOTE_READ : 0) |
           (cfg->rdma_write == ON_OFF_AUTO_ON ? PERM_REMOTE_WRITE : 0);
}

/*
 * An end with small completion queues, which an input can go round, one of them
 * with events, and with work requests of 128 bytes where there are such.
 */
static End *end_small(Guest *g, EfaQpType type)
{
    End *e = end_new(g->h, type);
    CqOpts opts = { .depth = 8, .sgid = true };
    bool wide = type == EFA_QP_TYPE_SRD &&
                g->h->cfg.wide_wqe == ON_OFF_AUTO_ON;
    EfaCreateQpCmd cmd;

    g_assert_cmpuint(qp_destroy(e->qp), ==, 0);
    e->scq = create_cq_ok(g->h, e->uar, &opts);
    opts.eq = g->eq;
    e->rcq = create_cq_ok(g->h, e->uar, &opts);
    cmd = qp_cmd(g->h, e->pd, e->uar, type, e->scq, e->rcq, 64, 64);
    if (wide) {
        cmd.send_queue_ring_size = 64 * EFA_IO_WQE_SIZE_WIDE;
        cmd.flags = R_CREATE_QP_FLAGS_UNSOLICITED_WRITE_RECV_MASK;
    }
    e->qp = create_qp_cmd_ok(g->h, &cmd, e->scq, e->rcq);
    qp_to_rts(e->qp);
    return e;
}

void guest_populate(Guest *g)
{
    static const EfaQpType types[GUEST_ENDS] = { EFA_QP_TYPE_SRD,
                                                 EFA_QP_TYPE_UD };
    unsigned i, j;

    g->eq = create_eq_ok(g->h, 64, 1);
    eq_arm(g->eq);
    for (i = 0; i < GUEST_ENDS; i++) {
        End *e = end_small(g, types[i]);

        g->end[i] = e;
        g->open[i] = reg_buf(g->h, e->pd, 16384, permissions(&g->h->cfg));
        for (j = 0; j < 4; j++) {
            rq_put(e->qp, j, &g->open[i], j * 4096, 2048, true, false);
            rq_put(e->qp, j, &e->rx, j * 8192, 8192, false, true);
        }
        rq_ring(e->qp);
    }
    for (i = 0; i < G_N_ELEMENTS(g->ah); i++) {
        g->ah[i] = create_ah_ok(g->h, g->end[0]->pd, test_gid(i + 1));
    }
}

void guest_free(Guest *g)
{
    book_clear(g);
    host_free(g->h);
    g_array_free(g->ranges, TRUE);
    g_array_free(g->qps, TRUE);
    g_array_free(g->lists, TRUE);
    g_array_free(g->cmd_pages, TRUE);
    g_free(g);
}

QpId guest_qp(Guest *g, uint8_t which)
{
    return g->qps->len ? g_array_index(g->qps, QpId, which % g->qps->len)
                       : (QpId) { };
}

uint64_t guest_page(Guest *g, uint8_t which)
{
    return g->pages + (which % GUEST_PAGES) * HOST_PAGE;
}
