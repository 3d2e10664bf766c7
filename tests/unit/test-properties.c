/*
 * Unit tests: what a property makes of the device, as software sees it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

static void get_feature(Host *h, uint8_t id, void *out, size_t len)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = id);

    admin_ok(h, &cmd, out, len);
}

/* 14, 34: only the network's counters, and with the status that is let pass */
static void test_network_stats(void)
{
    unsigned type, off;

    for (off = 0; off < 2; off++) {
        EfaConfig cfg = test_config(1);
        Host *h;

        cfg.network_stats = off ? ON_OFF_AUTO_OFF : ON_OFF_AUTO_AUTO;
        h = host_new_cfg(&cfg);
        for (type = 0; type < 6; type++) {
            EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                                     .type = type);
            bool missing = type > 4 || (off && type == 4);

            g_assert_cmpuint(admin_status(h, &cmd), ==, missing ? 3 : 0);
        }
        hosts_free();
    }
}

/* 14, 29: one handle of a PD for one destination, once it is destroyed again */
static void test_unique_ah(void)
{
    EfaConfig cfg = test_config(1);
    EfaCreateAhCmd cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH);
    uint16_t pd, pd2, ah;
    EfaAcqEntry cqe;
    Host *h;

    cfg.unique_ah = ON_OFF_AUTO_ON;
    h = host_new_cfg(&cfg);
    pd = alloc_pd_ok(h);
    pd2 = alloc_pd_ok(h);
    ah = create_ah_ok(h, pd, test_gid(7));
    cmd.pd = pd;
    memcpy(cmd.dest_addr, test_gid(7).raw, 16);
    cqe = admin(h, &cmd);
    g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_ILLEGAL_PARAMETER);
    g_assert_cmpuint(cqe.extended_status, ==, EFA_EXT_BUSY);
    /* another destination, another PD */
    create_ah_ok(h, pd, test_gid(8));
    g_assert_cmpuint(create_ah_ok(h, pd2, test_gid(7)), !=, ah);
    /* what was refused was not counted */
    g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 0);
    g_assert_cmpuint(destroy_ah(h, pd, ah), ==, 5);
    create_ah_ok(h, pd, test_gid(7));
    hosts_free();
}

/* 6.8: as they were given, whatever a driver makes of them */
static void test_hints(void)
{
    EfaConfig cfg = test_config(1);
    EfaHwHints hints;
    Host *h;

    cfg.hint_mmio_read_ms = 65535;
    cfg.hint_watchdog_ms = 2;
    cfg.hint_admin_timeout = 30000;
    cfg.hint_poll_interval_ms = 4;
    h = host_new_cfg(&cfg);
    get_feature(h, EFA_ADMIN_HW_HINTS, &hints, sizeof(hints));
    g_assert_cmpuint(hints.mmio_read_timeout, ==, 65535);
    g_assert_cmpuint(hints.driver_watchdog_timeout, ==, 2);
    g_assert_cmpuint(hints.admin_completion_timeout, ==, 30000);
    g_assert_cmpuint(hints.poll_interval, ==, 4);
    hosts_free();
}

/* 2.2: units of 100 ms in CAPS, also after a reset */
static void test_timeouts(void)
{
    static const struct {
        uint16_t reset, admin;
        uint32_t caps;
    } rows[] = {
        { 500, 0, 0x0000300a }, { 100, 100, 0x00013002 },
        { 3100, 1500, 0x000f303e },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        EfaConfig cfg = test_config(1);
        Host *h;

        cfg.reset_timeout_ms = rows[i].reset;
        cfg.admin_timeout_ms = rows[i].admin;
        h = host_new_cfg(&cfg);
        g_assert_cmphex(reg_read(h, A_CAPS), ==, rows[i].caps);
        efa_core_reset(h->core);
        g_assert_cmphex(efa_core_reg_read(h->core, A_CAPS, 4), ==,
                        rows[i].caps);
        hosts_free();
    }
}

/*
 * 14, 37: told to software, which is to keep to it; a device that enforced it
 * would hang who does not (13.1).
 */
static void test_batch(void)
{
    EfaConfig cfg = test_config(1);
    EfaQueueAttr1 attr;
    EfaIoTxWqe wqe;
    unsigned i;
    Host *h;
    End *e;

    cfg.max_tx_batch = 3;
    cfg.min_sq_depth = 32;
    h = host_new_cfg(&cfg);
    get_feature(h, EFA_ADMIN_QUEUE_ATTR_1, &attr, sizeof(attr));
    g_assert_cmpuint(attr.max_tx_batch, ==, 3);
    g_assert_cmpuint(attr.min_sq_depth, ==, 32);
    e = end_new(h, EFA_QP_TYPE_SRD);
    create_qp_ok(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq, e->rcq, 16, 16);
    wqe = wqe_send(1, create_ah_ok(h, e->pd, test_gid(1)), e->qp->num);
    for (i = 0; i < 64; i++) {
        sq_put(e->qp, &wqe);
        rq_put(e->qp, i, &e->rx, 0, 8, true, true);
    }
    rq_ring(e->qp);
    sq_ring(e->qp);
    for (i = 0; i < 64; i++) {
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    }
    hosts_free();
}

/* 6.4: what a driver has to know of event counters; nothing without them */
static void test_counter_limits(void)
{
    unsigned off;

    for (off = 0; off < 2; off++) {
        EfaConfig cfg = test_config_of(1, 3);
        EfaQueueAttr2 attr;
        Host *h;

        cfg.max_event_counters = 77;
        cfg.event_counter_max = 0xffffffffffull;
        cfg.event_counters = off ? ON_OFF_AUTO_OFF : ON_OFF_AUTO_AUTO;
        h = host_new_cfg(&cfg);
        get_feature(h, EFA_ADMIN_QUEUE_ATTR_2, &attr, sizeof(attr));
        g_assert_cmphex(attr.supported_event_counter_qp_events, ==,
                        off ? 0 : 0x3ff);
        g_assert_cmpuint(attr.max_event_counters, ==, off ? 0 : 77);
        g_assert_cmphex(attr.event_counter_max_val, ==,
                        off ? 0 : 0xffffffffffull);
        g_assert_cmpuint(attr.inline_buf_size_ex, ==, 80);
        hosts_free();
    }
}

/* 13.2: what a work request may have at most is the device's to say */
static void test_wqe_limits(void)
{
    EfaConfig cfg = test_config_of(1, 3);
    EfaQueueAttr1 attr;
    EfaQueueAttr2 attr2;
    char data[80] = "";
    unsigned wide;
    Host *h;

    cfg.inline_size = 32;
    cfg.inline_size_ex = 48;
    cfg.max_send_sges = 1;
    h = host_new_cfg(&cfg);
    get_feature(h, EFA_ADMIN_QUEUE_ATTR_1, &attr, sizeof(attr));
    get_feature(h, EFA_ADMIN_QUEUE_ATTR_2, &attr2, sizeof(attr2));
    g_assert_cmpuint(attr.inline_buf_size, ==, 32);
    g_assert_cmpuint(attr.max_wr_send_sges, ==, 1);
    g_assert_cmpuint(attr2.inline_buf_size_ex, ==, 48);
    for (wide = 0; wide < 2; wide++) {
        End *e = end_new(h, EFA_QP_TYPE_SRD);
        EfaCreateQpCmd cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq,
                                    e->rcq, 16, 16);
        uint16_t max = wide ? 48 : 32, ah, len;
        EfaIoTxWqe wqe;
        Qp *qp;

        cmd.send_queue_ring_size <<= wide;
        qp = create_qp_cmd_ok(h, &cmd, e->scq, e->rcq);
        qp_to_rts(qp);
        ah = create_ah_ok(h, e->pd, test_gid(1));
        for (len = max - 1; len < max + 2; len++) {
            wqe = wqe_send(len, ah, e->qp->num);
            wqe_inline(&wqe, data, len);
            rq_post(e->qp, len, &e->rx, 0, 100);
            sq_post(qp, &wqe);
            g_assert_cmpuint(cq_next(e->scq).status, ==, len > max ? 6 : 0);
        }
        wqe = wqe_send(1, ah, e->qp->num);
        wqe_sge(&wqe, &e->tx, 0, 1);
        sq_post(qp, &wqe);
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
        wqe_sge(&wqe, &e->tx, 0, 1);
        sq_post(qp, &wqe);
        g_assert_cmpuint(cq_next(e->scq).status, ==, 2);
    }
    hosts_free();
}

/* A wide work request has room for a write's data; not every device takes it. */
static void test_inline_write_off(void)
{
    EfaConfig cfg = test_config_of(1, 3);
    EfaCreateQpCmd cmd;
    EfaIoTxWqe wqe;
    uint16_t ah;
    Host *h;
    End *e;
    Buf to;
    Qp *qp;

    cfg.inline_write = ON_OFF_AUTO_OFF;
    h = host_new_cfg(&cfg);
    e = end_new(h, EFA_QP_TYPE_SRD);
    to = reg_buf(h, e->pd, 4096, PERM_LOCAL_WRITE | PERM_REMOTE_WRITE);
    ah = create_ah_ok(h, e->pd, test_gid(1));
    cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq, e->rcq, 16, 16);
    cmd.send_queue_ring_size *= 2;
    qp = create_qp_cmd_ok(h, &cmd, e->scq, e->rcq);
    qp_to_rts(qp);
    wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1, ah, e->qp->num, &e->tx, &to, 8);
    sq_post(qp, &wqe);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    wqe_inline(&wqe, "8 bytes!", 8);
    sq_post(qp, &wqe);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 3);
    hosts_free();
}

/* 6.2: a size as soon as there is one of the two operations */
static void test_rdma_size(void)
{
    unsigned ops;

    for (ops = 0; ops < 4; ops++) {
        EfaConfig cfg = test_config(1);
        EfaDeviceAttr attr;
        Host *h;

        cfg.rdma_read = ops & 1 ? ON_OFF_AUTO_ON : ON_OFF_AUTO_OFF;
        cfg.rdma_write = ops & 2 ? ON_OFF_AUTO_ON : ON_OFF_AUTO_OFF;
        cfg.max_rdma_size = 1 << 20;
        h = host_new_cfg(&cfg);
        get_feature(h, EFA_ADMIN_DEVICE_ATTR, &attr, sizeof(attr));
        g_assert_cmpuint(attr.max_rdma_size, ==, ops ? 1 << 20 : 0);
        hosts_free();
    }
}

/* 13.2, REG_MR: permissions are those of the operations that there are */
static void test_permissions(void)
{
    static const uint8_t allowed[] = {
        PERM_LOCAL_WRITE, PERM_LOCAL_WRITE | PERM_REMOTE_READ, 7, 7, 7,
    };
    unsigned gen, perm;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg = test_config_of(1, gen);
        Host *h = host_new_cfg(&cfg);
        uint16_t pd = alloc_pd_ok(h);

        for (perm = 0; perm < 256; perm++) {
            EfaRegMrCmd cmd = mr_cmd(pd, 0x1000, 100, perm);
            uint8_t status;

            cmd.inline_pbl_array[0] = HOST_DMA_BASE;
            status = admin_status(h, &cmd);
            if (status != (perm & ~allowed[gen] ? 5 : 0)) {
                g_error("generation %u, permissions 0x%x: status %u", gen,
                        perm, status);
            }
        }
        hosts_free();
    }
}

/* 13.2, CREATE_QP: the quotients of ring and depth where WQEs may be wide */
static void test_wqe_sizes(void)
{
    static const struct {
        uint32_t depth, ring;
        uint8_t status;
    } rows[] = {
        { 16, 16 * 64, 0 }, { 16, 16 * 128, 0 }, { 16, 16 * 32, 5 },
        { 16, 16 * 192, 5 }, { 16, 16 * 256, 5 }, { 16, 16 * 128 + 64, 5 },
        { 12, 12 * 128, 5 }, { 1, 128, 0 }, { 0, 128, 0 }, { 0, 256, 5 },
        { 1024, 1024 * 64, 0 }, { 512, 512 * 128, 0 },
        { 1024, 1024 * 128, 5 },        /* beyond max-llq-size */
    };
    EfaConfig cfg = test_config_of(1, 3);
    Host *h = host_new_cfg(&cfg);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        EfaCreateQpCmd cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq,
                                    e->rcq, rows[i].depth, 16);
        uint8_t status;

        cmd.send_queue_ring_size = rows[i].ring;
        status = admin_status(h, &cmd);
        if (status != rows[i].status) {
            g_error("%u WQEs in %u bytes: status %u", rows[i].depth,
                    rows[i].ring, status);
        }
    }
    hosts_free();
}

/* ... and depths, where the ring would have room for more */
static void test_depths(void)
{
    EfaConfig cfg = test_config(1);
    uint32_t sq, rq;
    Host *h;
    End *e;

    cfg.max_sq_depth = 128;
    cfg.max_rq_depth = 256;
    h = host_new_cfg(&cfg);
    e = end_new(h, EFA_QP_TYPE_SRD);
    for (sq = 64; sq <= 256; sq *= 2) {
        for (rq = 128; rq <= 512; rq *= 2) {
            EfaCreateQpCmd cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD,
                                        e->scq, e->rcq, sq, rq);

            g_assert_cmpuint(admin_status(h, &cmd), ==,
                             sq > 128 || rq > 256 ? 5 : 0);
        }
    }
    for (rq = 1; rq < 16; rq *= 2) {
        EfaCreateQpCmd cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq,
                                    e->rcq, 64, 1);

        /* half a descriptor, for nothing */
        cmd.recv_queue_ring_size = rq;
        g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    }
    hosts_free();
}

/* 15.3: what libfabric and the provider take for granted */
static void test_expected(void)
{
    unsigned gen;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg;
        EfaQueueAttr1 a;
        EfaNetworkAttr net;
        EfaEventQueueAttr eq;
        EfaDeviceAttr dev;
        Host *h;

        efa_config_init(&cfg, gen);
        cfg.gid = test_gid(1);
        h = host_new_cfg(&cfg);
        get_feature(h, EFA_ADMIN_QUEUE_ATTR_1, &a, sizeof(a));
        get_feature(h, EFA_ADMIN_NETWORK_ATTR, &net, sizeof(net));
        get_feature(h, EFA_ADMIN_EVENT_QUEUE_ATTR, &eq, sizeof(eq));
        get_feature(h, EFA_ADMIN_DEVICE_ATTR, &dev, sizeof(dev));
        g_assert_cmpuint(a.sub_cqs_per_cq, ==, gen ? 1 : 2);
        g_assert_true(is_power_of_2(a.max_sq_depth));
        g_assert_true(is_power_of_2(a.max_rq_depth));
        g_assert_cmpuint(a.max_cq_depth, <=, 32768);
        g_assert_cmpuint(a.max_cq_depth, >=,
                         a.max_sq_depth + a.max_rq_depth);
        g_assert_cmpuint(a.max_wr_send_sges, ==, 2);
        g_assert_cmpuint(a.max_wr_recv_sges, ==, 2);
        g_assert_cmpuint(net.mtu, >=, 8192);
        g_assert_cmpuint(net.mtu, <=, 65495);
        g_assert_cmpuint(eq.max_eq, >=, 2);
        g_assert_cmpuint(eq.max_eq_depth, >=, a.max_cq);
        /* 14, 31 */
        g_assert_cmpuint(dev.fw_version, ==, 1);
        g_assert_cmpuint(dev.device_version, ==, 1);
        hosts_free();
    }
}

/* 13.2: features that can only be read, of every generation */
static void test_read_only_features(void)
{
    unsigned gen, id;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg = test_config_of(1, gen);
        Host *h = host_new_cfg(&cfg);

        for (id = 0; id < 12; id++) {
            EfaFeatureCmd get = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                                    .feature_id = id);
            EfaFeatureCmd set = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                                    .feature_id = id);
            bool there = (id >= 1 && id <= 7) ||
                         (id == EFA_ADMIN_QUEUE_ATTR_2 && gen >= 3);

            g_assert_cmpuint(admin_status(h, &get), ==,
                             there && id != EFA_ADMIN_HOST_INFO ? 0 : 3);
            if (id != EFA_ADMIN_AENQ_CONFIG && id != EFA_ADMIN_HOST_INFO) {
                g_assert_cmpuint(admin_status(h, &set), ==, 3);
            }
        }
        hosts_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/properties/network-stats", test_network_stats);
    g_test_add_func("/properties/unique-ah", test_unique_ah);
    g_test_add_func("/properties/hints", test_hints);
    g_test_add_func("/properties/timeouts", test_timeouts);
    g_test_add_func("/properties/batch", test_batch);
    g_test_add_func("/properties/counter-limits", test_counter_limits);
    g_test_add_func("/properties/wqe-limits", test_wqe_limits);
    g_test_add_func("/properties/inline-write-off", test_inline_write_off);
    g_test_add_func("/properties/rdma-size", test_rdma_size);
    g_test_add_func("/properties/permissions", test_permissions);
    g_test_add_func("/properties/wqe-sizes", test_wqe_sizes);
    g_test_add_func("/properties/depths", test_depths);
    g_test_add_func("/properties/expected", test_expected);
    g_test_add_func("/properties/read-only-features",
                    test_read_only_features);
    return g_test_run();
}
