/*
 * Unit tests: admin commands but those of MRs and QPs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

/* One field changed in a good command, and what that leads to. */
typedef struct Row {
    const char *name;
    size_t offset;
    uint8_t size;
    uint64_t value;
    uint8_t status;
} Row;

#define ROW(_type, _name, _field, _value, _status) \
    { _name, offsetof(_type, _field), sizeof(((_type *)NULL)->_field), \
      _value, _status }

static void run_rows(Host *h, const void *good, const Row *rows, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        uint8_t cmd[64], status;

        memcpy(cmd, good, sizeof(cmd));
        memcpy(cmd + rows[i].offset, &rows[i].value, rows[i].size);
        status = admin_status(h, cmd);
        if (status != rows[i].status) {
            g_error("%s: status %u, not %u", rows[i].name, status,
                    rows[i].status);
        }
    }
}

/* ---- features ---- */

static void get_feature(Host *h, uint8_t id, void *out, size_t len)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = id);
    EfaAcqEntry cqe = admin(h, &cmd);
    size_t i;

    g_assert_cmpuint(cqe.status, ==, 0);
    memcpy(out, cqe.response, len);
    for (i = len; i < sizeof(cqe.response); i++) {
        g_assert_cmphex(cqe.response[i], ==, 0);
    }
}

static void test_device_attr(void)
{
    static const uint8_t guid[8] = { 2, 0, 0, 0xff, 0xfe, 0, 0, 9 };
    /*
     * RDMA read 1, RNR retry 2, data polling 4, RDMA write 8, unsolicited
     * write receive 0x10, event counters 0x20, 64-bit request ids 0x400
     */
    static const uint32_t caps[] = { 0, 3, 15, 0x43f, 0x43f };
    uint8_t gen;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg;
        EfaDeviceAttr a;
        Host *h;

        efa_config_init(&cfg, gen);
        cfg.gid = test_gid(1);
        memcpy(cfg.guid, guid, 8);
        h = host_new_cfg(&cfg);
        get_feature(h, EFA_ADMIN_DEVICE_ATTR, &a, sizeof(a));
        g_assert_cmphex(a.supported_features, ==, gen < 3 ? 0xfe : 0x2fe);
        g_assert_cmphex(a.page_size_cap, ==, 0x7ffff000);
        g_assert_cmpuint(a.admin_api_version, ==, 1);
        g_assert_cmpuint(a.db_bar, ==, 4);
        g_assert_cmpuint(a.phys_addr_width, ==, 48);
        g_assert_cmpuint(a.virt_addr_width, ==, 64);
        g_assert_cmphex(a.device_caps, ==, caps[gen]);
        g_assert_cmphex(a.max_rdma_size, ==, gen ? 0x40000000 : 0);
        g_assert_cmpmem(a.guid, 8, guid, 8);
        g_assert_cmpuint(a.max_link_speed_gbps, ==, gen < 3 ? 100 : 400);
        g_assert_cmpuint(a.reserved0 | a.reserved1, ==, 0);
        hosts_free();
    }
}

static void test_queue_attr(void)
{
    EfaConfig cfg = test_config(1);
    EfaQueueAttr1 a;
    Host *h;

    cfg.max_qp = 77;
    cfg.max_sq_depth = 512;
    cfg.max_rq_depth = 1024;
    cfg.max_cq = 99;
    cfg.max_cq_depth = 2048;
    cfg.max_mr = 1234;
    cfg.max_mr_pages = 4321;
    cfg.max_pd = 12;
    cfg.max_ah = 34;
    cfg.max_recv_sges = 3;
    h = host_new_cfg(&cfg);
    get_feature(h, EFA_ADMIN_QUEUE_ATTR_1, &a, sizeof(a));
    g_assert_cmpuint(a.max_qp, ==, 77);
    g_assert_cmpuint(a.max_sq_depth, ==, 512);
    g_assert_cmpuint(a.inline_buf_size, ==, 32);
    g_assert_cmpuint(a.max_rq_depth, ==, 1024);
    g_assert_cmpuint(a.max_cq, ==, 99);
    g_assert_cmpuint(a.max_cq_depth, ==, 2048);
    g_assert_cmpuint(a.sub_cqs_per_cq, ==, 1);
    g_assert_cmpuint(a.min_sq_depth, ==, 0);
    g_assert_cmpuint(a.max_wr_send_sges, ==, 2);
    g_assert_cmpuint(a.max_wr_recv_sges, ==, 3);
    g_assert_cmpuint(a.max_mr, ==, 1234);
    g_assert_cmpuint(a.max_mr_pages, ==, 4321);
    g_assert_cmpuint(a.max_pd, ==, 12);
    g_assert_cmpuint(a.max_ah, ==, 34);
    g_assert_cmpuint(a.max_llq_size, ==, 65536);
    g_assert_cmpuint(a.max_wr_rdma_sges, ==, 1);
    g_assert_cmpuint(a.max_tx_batch, ==, 0);
    hosts_free();
}

static void test_other_attrs(void)
{
    Host *h = host_new(0x1234);
    EfaNetworkAttr net;
    EfaEventQueueAttr eq;
    EfaHwHints hints;
    EfaAenqConfig aenq;
    EfaFeatureCmd set = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);

    get_feature(h, EFA_ADMIN_NETWORK_ATTR, &net, sizeof(net));
    g_assert_cmpmem(net.addr, 16, test_gid(0x1234).raw, 16);
    g_assert_cmpuint(net.mtu, ==, 8928);
    get_feature(h, EFA_ADMIN_EVENT_QUEUE_ATTR, &eq, sizeof(eq));
    g_assert_cmpuint(eq.max_eq, ==, 31);
    g_assert_true(is_power_of_2(eq.max_eq_depth));
    g_assert_cmpuint(eq.event_bitmask, ==, 1);
    get_feature(h, EFA_ADMIN_HW_HINTS, &hints, sizeof(hints));
    g_assert_cmpuint(hints.mmio_read_timeout | hints.poll_interval |
                     hints.admin_completion_timeout |
                     hints.driver_watchdog_timeout, ==, 0);
    get_feature(h, EFA_ADMIN_AENQ_CONFIG, &aenq, sizeof(aenq));
    g_assert_cmphex(aenq.supported_groups, ==, 0x1e);
    g_assert_cmphex(aenq.enabled_groups, ==, 0);
    set.raw[4] = 0x1e;
    g_assert_cmpuint(admin_status(h, &set), ==, 0);
    get_feature(h, EFA_ADMIN_AENQ_CONFIG, &aenq, sizeof(aenq));
    g_assert_cmphex(aenq.enabled_groups, ==, 0x1e);
    set.raw[4] = 0x1f;
    g_assert_cmpuint(admin_status(h, &set), ==, 5);
    set.raw[4] = 0x20;
    g_assert_cmpuint(admin_status(h, &set), ==, 5);
    get_feature(h, EFA_ADMIN_AENQ_CONFIG, &aenq, sizeof(aenq));
    g_assert_cmphex(aenq.enabled_groups, ==, 0x1e);
    /* no control buffer here */
    set.raw[4] = 0x1e;
    set.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    g_assert_cmpuint(admin_status(h, &set), ==, 4);
    host_reset_handshake(h);
    host_admin_init(h);
    get_feature(h, EFA_ADMIN_AENQ_CONFIG, &aenq, sizeof(aenq));
    g_assert_cmphex(aenq.enabled_groups, ==, 0);
    hosts_free();
}

static void test_feature_checks(void)
{
    Host *h = host_new(1);
    unsigned id;

    for (id = 0; id < 256; id++) {
        EfaFeatureCmd get = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                                .feature_id = id);
        EfaFeatureCmd set = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                                .feature_id = id);
        bool can_get = id >= 1 && id <= 7 && id != EFA_ADMIN_HOST_INFO;
        bool can_set = id == EFA_ADMIN_AENQ_CONFIG ||
                       id == EFA_ADMIN_HOST_INFO;

        g_assert_cmpuint(admin_status(h, &get), ==, can_get ? 0 : 3);
        if (!can_set) {
            g_assert_cmpuint(admin_status(h, &set), ==, 3);
        }
        get.reserved0 = 1;
        g_assert_cmpuint(admin_status(h, &get), ==, 4);
        get.reserved0 = 0;
        get.reserved16 = 0x8000;
        g_assert_cmpuint(admin_status(h, &get), ==, 4);
    }
    hosts_free();
}

static void test_host_info(void)
{
    Host *h = host_new(1);
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_HOST_INFO);
    uint64_t buf = host_alloc(h, 256, 4096);
    EfaHostInfo *info = host_ptr(h, buf);

    memset(info, 'x', sizeof(*info));       /* strings without an end */
    cmd.control_buffer = (EfaCtrlBuffInfo) { 180, buf, buf >> 32 };
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);     /* flag missing */
    cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    h->max_read_end = 0;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    g_assert_cmphex(h->max_read_end, ==, buf + 180);
    cmd.control_buffer.length = 256;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    cmd.control_buffer.length = 179;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);
    cmd.control_buffer.length = 180;
    host_fault(h, FAULT_READ, buf + 179, 1);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 6);
    host_fault(h, 0, 0, 0);
    cmd.control_buffer.mem_addr_high = 0xffffffff;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 6);
    cmd.control_buffer.mem_addr_high = buf >> 32;
    cmd.common.flags |= R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);
    g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK, ==,
                    0);
    hosts_free();
}

/* 3.1, step 21: everything but 0 and 3 fails the probe. */
static void test_stats(void)
{
    Host *h = host_new(1);
    unsigned type;

    for (type = 0; type < 256; type++) {
        EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                                 .type = type);
        EfaAcqEntry cqe = admin(h, &cmd);
        unsigned i;

        g_assert_cmpuint(cqe.status, ==, type <= 4 ? 0 : 3);
        for (i = 0; i < 56; i++) {
            g_assert_cmpuint(cqe.response[i], ==, 0);
        }
        cmd.scope = 1;
        g_assert_cmpuint(admin_status(h, &cmd), ==, 3);
        cmd.scope = 0;
        cmd.scope_modifier = 1;
        g_assert_cmpuint(admin_status(h, &cmd), ==, 3);
    }
    hosts_free();
}

/* ---- PD, UAR ---- */

static void exhaust(Host *h, uint8_t alloc, uint8_t dealloc, unsigned max)
{
    EfaAqEntry cmd = CMD(EfaAqEntry, alloc);
    EfaIdCmd odd = CMD(EfaIdCmd, dealloc, .reserved = 1);
    g_autofree bool *seen = g_new0(bool, 65536);
    unsigned i;

    for (i = 0; i < max; i++) {
        EfaIdResp resp;

        admin_ok(h, &cmd, &resp, sizeof(resp));
        g_assert_cmpuint(resp.reserved, ==, 0);
        g_assert_false(seen[resp.id]);
        seen[resp.id] = true;
    }
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    g_assert_cmpuint(admin_status(h, &odd), ==, 4);
    for (i = 0; i < 65536; i += 997) {
        if (!seen[i]) {
            g_assert_cmpuint(id_cmd(h, dealloc, i), ==, 5);
        }
    }
    for (i = 0; i < 65536; i++) {
        if (seen[i]) {
            g_assert_cmpuint(id_cmd(h, dealloc, i), ==, 0);
            g_assert_cmpuint(id_cmd(h, dealloc, i), ==, 5);
        }
    }
    /* a number is used again as late as possible */
    {
        EfaIdResp a, b;

        admin_ok(h, &cmd, &a, sizeof(a));
        g_assert_cmpuint(id_cmd(h, dealloc, a.id), ==, 0);
        admin_ok(h, &cmd, &b, sizeof(b));
        g_assert_cmpuint(a.id, !=, b.id);
    }
}

static void test_pd(void)
{
    EfaConfig cfg = test_config(1);
    Host *h;
    uint16_t pd, ah;
    Buf buf;
    End *e;

    cfg.max_pd = 50;
    h = host_new_cfg(&cfg);
    exhaust(h, EFA_ADMIN_ALLOC_PD, EFA_ADMIN_DEALLOC_PD, 50);
    hosts_free();

    /* in use by one thing after the other */
    h = host_new(1);
    pd = alloc_pd_ok(h);
    buf = reg_buf(h, pd, 100, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 7);
    g_assert_cmpuint(dereg(h, buf.key), ==, 0);
    ah = create_ah_ok(h, pd, test_gid(2));
    create_ah_ok(h, pd, test_gid(2));
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 7);
    g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 7);
    g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 0);
    e = end_new(h, EFA_QP_TYPE_UD);
    g_assert_cmpuint(dereg(h, e->tx.key), ==, 0);
    g_assert_cmpuint(dereg(h, e->rx.key), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, e->pd), ==, 7);
    g_assert_cmpuint(qp_destroy(e->qp), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, e->pd), ==, 0);
    hosts_free();
}

static void test_uar(void)
{
    Host *h = host_new(1);
    End *e;

    exhaust(h, EFA_ADMIN_ALLOC_UAR, EFA_ADMIN_DEALLOC_UAR, EFA_MAX_UARS);
    e = end_new(h, EFA_QP_TYPE_UD);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_UAR, e->uar), ==, 7);
    g_assert_cmpuint(qp_destroy(e->qp), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_UAR, e->uar), ==, 7);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, e->scq->idx), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, e->rcq->idx), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_UAR, e->uar), ==, 0);
    hosts_free();
}

/* ---- AH ---- */

static void test_ah(void)
{
    EfaConfig cfg = test_config(1);
    EfaGid bad[] = { { { 0 } }, { { 0xff, 0x02 } }, { { 0xff } } };
    Host *h;
    uint16_t pd, pd2, ah, other;
    EfaCreateAhCmd cmd;
    unsigned i;

    cfg.max_ah = 4;
    h = host_new_cfg(&cfg);
    pd = alloc_pd_ok(h);
    pd2 = alloc_pd_ok(h);
    cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH, .pd = pd);
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        memcpy(cmd.dest_addr, bad[i].raw, 16);
        g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    }
    memcpy(cmd.dest_addr, test_gid(7).raw, 16);
    cmd.reserved = 1;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);
    cmd.reserved = 0;
    cmd.pd = 99;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);

    /* one destination, one number, as many references as creations */
    ah = create_ah_ok(h, pd, test_gid(7));
    for (i = 0; i < 10; i++) {
        g_assert_cmpuint(create_ah_ok(h, pd, test_gid(7)), ==, ah);
    }
    other = create_ah_ok(h, pd2, test_gid(7));
    g_assert_cmpuint(other, !=, ah);
    g_assert_cmpuint(destroy_ah(h, pd2, ah), ==, 5);
    g_assert_cmpuint(destroy_ah(h, pd, other), ==, 5);
    for (i = 0; i < 11; i++) {
        g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 0);
    }
    g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 5);
    g_assert_cmpuint(destroy_ah(h, pd, 0xffff), ==, 5);

    /* full, but not for a known destination */
    for (i = 0; i < 3; i++) {
        create_ah_ok(h, pd, test_gid(10 + i));
    }
    cmd.pd = pd;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    create_ah_ok(h, pd, test_gid(10));
    g_assert_cmpuint(destroy_ah(h, pd2, other), ==, 0);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    hosts_free();
}

/* Outstanding work ends with its handle, when the last reference goes. */
static void test_ah_flush(void)
{
    Wire *w = wire_new();
    Host *h = host_new_on(1, w);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah, ah2;
    EfaIoTxWqe wqe;
    unsigned i;

    wire_ghost(w, test_gid(2));
    ah = create_ah_ok(h, e->pd, test_gid(2));
    create_ah_ok(h, e->pd, test_gid(2));
    ah2 = create_ah_ok(h, e->pd, test_gid(3));      /* nobody there */
    for (i = 0; i < 4; i++) {
        wqe = wqe_send(i, i & 1 ? ah2 : ah, 0x55);
        sq_post(e->qp, &wqe);
    }
    settle();
    g_assert_cmpuint(destroy_ah(h, e->pd, ah), ==, 0);
    assert_cq_empty(e->scq);
    g_assert_cmpuint(destroy_ah(h, e->pd, ah), ==, 0);
    for (i = 0; i < 2; i++) {
        EfaIoCdesc c = cq_next(e->scq);

        g_assert_cmpuint(c.status, ==, 1);
        g_assert_cmpuint(c.req_id, ==, i * 2);
    }
    assert_cq_empty(e->scq);
    g_assert_cmpuint(destroy_ah(h, e->pd, ah2), ==, 0);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 1);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 1);
    advance(20000 * EFA_NSEC_PER_MSEC);
    assert_cq_empty(e->scq);
    hosts_free();
    wire_free(w);
}

/* ---- EQ ---- */

static void test_create_eq(void)
{
#define EQROW(...) ROW(EfaCreateEqCmd, __VA_ARGS__)
    static const Row rows[] = {
        EQROW("depth 0", depth, 0, 5),
        EQROW("depth 3", depth, 3, 5),
        EQROW("depth 8192", depth, 8192, 5),
        EQROW("depth 1", depth, 1, 0),
        EQROW("entries of 0 words", caps, 0, 5),
        EQROW("entries of 8 words", caps, 8, 5),
        EQROW("caps bit 5", caps, 0x24, 4),
        EQROW("caps bit 7", caps, 0x84, 4),
        EQROW("reserved", reserved, 0x80000000, 4),
        EQROW("event 1", event_bitmask, 3, 5),
        EQROW("event 31", event_bitmask, 0x80000000, 5),
        EQROW("vector 32 of 32", msix_vec, 32, 5),
        EQROW("vector 255", msix_vec, 255, 5),
        EQROW("vector 0 is legal", msix_vec, 0, 0),
        EQROW("ring in mid-entry", ba_mem_addr_low, 0x1008, 5),
        EQROW("ring beyond 48 bits", ba_mem_addr_high, 0x10000, 5),
    };
    EfaConfig cfg = test_config(1);
    Host *h = host_new(1);
    uint64_t ring = host_alloc(h, 65536, 4096);
    EfaCreateEqCmd cmd = CMD(EfaCreateEqCmd, EFA_ADMIN_CREATE_EQ,
        .depth = 512, .msix_vec = 1, .caps = 4, .event_bitmask = 1,
        .ba_mem_addr_low = ring, .ba_mem_addr_high = ring >> 32);
    unsigned i;

    run_rows(h, &cmd, rows, G_N_ELEMENTS(rows));
    cmd.ba_mem_addr_low = cmd.ba_mem_addr_high = 0;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_EQ, 500), ==, 5);
    hosts_free();

    cfg.max_eq = 3;
    h = host_new_cfg(&cfg);
    for (i = 0; i < 3; i++) {
        create_eq_ok(h, 512, i + 1);
    }
    cmd.ba_mem_addr_low = ring;
    cmd.ba_mem_addr_high = ring >> 32;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_EQ, 0), ==, 0);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    {
        EfaIdCmd odd = CMD(EfaIdCmd, EFA_ADMIN_DESTROY_EQ, .id = 1,
                           .reserved = 1);

        g_assert_cmpuint(admin_status(h, &odd), ==, 4);
    }
    hosts_free();

    cfg.max_eq = 0;
    h = host_new_cfg(&cfg);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    hosts_free();
}

/* ---- CQ ---- */

static void test_create_cq(void)
{
#define CQROW(...) ROW(EfaCreateCqCmd, __VA_ARGS__)
    static const Row rows[] = {
        CQROW("UAR", uar, 99, 5),
        CQROW("caps_1 bit 0", cq_caps_1, 1, 4),
        CQROW("caps_1 bit 4", cq_caps_1, 16, 4),
        CQROW("caps_1 bit 7", cq_caps_1, 128, 4),
        CQROW("virt", cq_caps_1, 64, 3),
        CQROW("64-bit ids", cq_caps_2, 0x48, 3),
        CQROW("caps_2 bit 7", cq_caps_2, 0x88, 4),
        CQROW("reserved", reserved, 1, 4),
        CQROW("entries of 0 words", cq_caps_2, 0, 5),
        CQROW("entries of 5 words", cq_caps_2, 5, 5),
        CQROW("entries of 16 words", cq_caps_2, 16, 5),
        CQROW("entries of 4 words", cq_caps_2, 4, 0),
        CQROW("source address, 4 words", cq_caps_2, 0x24, 5),
        CQROW("source address, 8 words", cq_caps_2, 0x28, 0),
        CQROW("depth 0", sub_cq_depth, 0, 5),
        CQROW("depth 3", sub_cq_depth, 3, 5),
        CQROW("depth 1", sub_cq_depth, 1, 0),
        CQROW("depth 32768", sub_cq_depth, 32768, 0),
        CQROW("0 sub-CQs", num_sub_cqs, 0, 5),
        CQROW("2 sub-CQs", num_sub_cqs, 2, 5),
        CQROW("events of no EQ", cq_caps_1, 32, 5),
        CQROW("in mid-entry", cq_ba_mem_addr_low, 0x1010, 5),
        CQROW("on an entry", cq_ba_mem_addr_low, 0x1020, 0),
        CQROW("beyond 48 bits", cq_ba_mem_addr_high, 0x10000, 5),
        CQROW("any EQ without events", eqn, 0xffff, 0),
    };
    EfaConfig cfg = test_config(1);
    Host *h = host_new(1);
    uint16_t uar = alloc_uar_ok(h), depth;
    EfaCreateCqCmd cmd = cq_cmd(h, uar, NULL);
    EfaCreateCqResp resp;
    unsigned i;

    run_rows(h, &cmd, rows, G_N_ELEMENTS(rows));
    cmd.cq_ba_mem_addr_low = cmd.cq_ba_mem_addr_high = 0;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    /* a ring that reaches beyond what can be addressed */
    cmd.cq_ba_mem_addr_low = 0xffffffe0;
    cmd.cq_ba_mem_addr_high = 0xffff;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.sub_cq_depth = 1;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    {
        EfaIdCmd odd = CMD(EfaIdCmd, EFA_ADMIN_DESTROY_CQ, .id = 1,
                           .reserved = 1);

        g_assert_cmpuint(admin_status(h, &odd), ==, 4);
        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, 511), ==, 5);
        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, 0xffff), ==, 5);
    }
    hosts_free();

    /* the depth that was asked for, and doorbells that do not collide */
    cfg.max_cq = 20;
    cfg.max_cq_depth = 1024;
    h = host_new_cfg(&cfg);
    uar = alloc_uar_ok(h);
    cmd = cq_cmd(h, uar, NULL);
    for (i = 0; i < 20; i++) {
        depth = 1u << i % 11;
        cmd.sub_cq_depth = depth;
        admin_ok(h, &cmd, &resp, sizeof(resp));
        g_assert_cmpuint(resp.sub_cq_actual_depth, ==, depth);
        g_assert_cmpuint(resp.flags, ==, 0);
        g_assert_cmpuint(resp.db_offset, ==, uar * 4096 + 2048 + i * 4);
    }
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    cmd.sub_cq_depth = 2048;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    hosts_free();
}

/* 13.2: an EQ that was not made for completion events serves no CQ. */
static void test_cq_needs_events(void)
{
    Host *h = host_new(1);
    uint16_t uar = alloc_uar_ok(h);
    Eq *eq = create_eq_ok(h, 512, 1);
    CqOpts opts = { .eq = eq };
    EfaCreateCqCmd cmd = cq_cmd(h, uar, &opts);
    EfaCreateEqCmd mute = CMD(EfaCreateEqCmd, EFA_ADMIN_CREATE_EQ,
        .depth = 512, .msix_vec = 1, .caps = 4,
        .ba_mem_addr_low = eq->ring, .ba_mem_addr_high = eq->ring >> 32);
    EfaIdResp resp;

    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    admin_ok(h, &mute, &resp, sizeof(resp));
    cmd.eqn = resp.id;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.eqn = resp.id + 1;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/objects/device-attr", test_device_attr);
    g_test_add_func("/objects/queue-attr", test_queue_attr);
    g_test_add_func("/objects/other-attrs", test_other_attrs);
    g_test_add_func("/objects/feature-checks", test_feature_checks);
    g_test_add_func("/objects/host-info", test_host_info);
    g_test_add_func("/objects/stats", test_stats);
    g_test_add_func("/objects/pd", test_pd);
    g_test_add_func("/objects/uar", test_uar);
    g_test_add_func("/objects/ah", test_ah);
    g_test_add_func("/objects/ah-flush", test_ah_flush);
    g_test_add_func("/objects/create-eq", test_create_eq);
    g_test_add_func("/objects/create-cq", test_create_cq);
    g_test_add_func("/objects/cq-needs-events", test_cq_needs_events);
    return g_test_run();
}
