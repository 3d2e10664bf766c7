/*
 * Unit tests: what newer generations add to work requests and completions
 *
 * Work requests of 128 bytes, RDMA writes that carry their data, request ids
 * of 64 bits, writes whose immediate data takes no receive request, service
 * levels.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

#define LEN 65536

typedef struct Pair {
    Wire *w;
    End *a, *b;
    Qp *qp;                     /* a's, as asked for */
    uint16_t ah;
    Buf remote;                 /* b's */
} Pair;

/* Request ids of 64 bits if @flags of CREATE_QP say so. */
static Cq *cq_new(End *e, uint8_t flags)
{
    CqOpts opts = {
        .req_id_64 = flags & R_CREATE_QP_FLAGS_SQ_64_BIT_REQ_ID_MASK,
    };

    return create_cq_ok(e->h, e->uar, &opts);
}

static Pair pair_new(uint8_t gen, uint32_t wqe_size, uint8_t flags)
{
    Pair p = { .w = wire_new() };
    EfaConfig cfg = test_config_of(1, gen);
    Host *a = host_new_raw(&cfg, p.w, NULL), *b;
    EfaCreateQpCmd cmd;
    Cq *cq;

    cfg.gid = test_gid(2);
    b = host_new_raw(&cfg, p.w, NULL);
    host_probe(a);
    host_probe(b);
    p.a = end_new(a, EFA_QP_TYPE_SRD);
    p.b = end_new(b, EFA_QP_TYPE_SRD);
    p.ah = create_ah_ok(a, p.a->pd, test_gid(2));
    create_ah_ok(b, p.b->pd, test_gid(1));
    p.remote = reg_buf(b, p.b->pd, LEN, PERM_LOCAL_WRITE | PERM_REMOTE_WRITE |
                       PERM_REMOTE_READ);
    cq = cq_new(p.a, flags);
    cmd = qp_cmd(a, p.a->pd, p.a->uar, EFA_QP_TYPE_SRD, cq, cq, 16, 16);
    cmd.send_queue_ring_size = 16 * wqe_size;
    cmd.flags = flags;
    p.qp = create_qp_cmd_ok(a, &cmd, cq, cq);
    qp_to_rts(p.qp);
    return p;
}

static void pair_free(Pair *p)
{
    hosts_free();
    wire_free(p->w);
}

static EfaIoCdesc run(Pair *p, const EfaIoTxWqe *wqe)
{
    sq_post(p->qp, wqe);
    return cq_next(p->qp->scq);
}

/* More than the ring holds, so that each slot and the wrap are seen. */
static void test_wide_ring(void)
{
    Pair p = pair_new(3, EFA_IO_WQE_SIZE_WIDE, 0);
    unsigned i;

    for (i = 0; i < 40; i++) {
        EfaIoTxWqe wqe = wqe_send(i, p.ah, p.b->qp->num);
        char text[EFA_IO_TX_INLINE_MAX_WIDE];

        memset(text, 'a' + i % 26, sizeof(text));
        wqe_inline(&wqe, text, sizeof(text));
        rq_post(p.b->qp, i, &p.b->rx, 0, 100);
        g_assert_cmpuint(run(&p, &wqe).status, ==, 0);
        g_assert_cmpuint(cq_next(p.b->rcq).length, ==, sizeof(text));
        g_assert_cmpmem(p.b->rx.p, sizeof(text), text, sizeof(text));
    }
    pair_free(&p);
}

static void test_inline_sizes(void)
{
    static const struct {
        uint32_t wqe_size;
        uint8_t op;
        uint16_t len;
        uint8_t status;
    } rows[] = {
        { 64, EFA_IO_SEND, 32, 0 }, { 64, EFA_IO_SEND, 33, 6 },
        { 128, EFA_IO_SEND, 0, 0 }, { 128, EFA_IO_SEND, 33, 0 },
        { 128, EFA_IO_SEND, 80, 0 }, { 128, EFA_IO_SEND, 81, 6 },
        { 128, EFA_IO_SEND, 65535, 6 },
        { 64, EFA_IO_RDMA_WRITE, 1, 2 }, { 128, EFA_IO_RDMA_WRITE, 0, 0 },
        { 128, EFA_IO_RDMA_WRITE, 80, 0 }, { 128, EFA_IO_RDMA_WRITE, 81, 6 },
        { 128, EFA_IO_RDMA_READ, 8, 3 },
    };
    static const char text[128] = "hello";
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Pair p = pair_new(3, rows[i].wqe_size, 0);
        EfaIoTxWqe wqe = rows[i].op == EFA_IO_SEND
            ? wqe_send(i, p.ah, p.b->qp->num)
            : wqe_rdma(rows[i].op, i, p.ah, p.b->qp->num, &p.a->tx, &p.remote,
                       rows[i].len);
        uint8_t status;

        wqe_inline(&wqe, text, rows[i].len);
        rq_post(p.b->qp, i, &p.b->rx, 0, 100);
        status = run(&p, &wqe).status;
        if (status != rows[i].status) {
            g_error("row %u: status %u, not %u", i, status, rows[i].status);
        }
        pair_free(&p);
    }
}

/* 2.9 C: "hello" in a write; the receiver sees nothing but its bytes. */
static void test_inline_write(void)
{
    static const uint8_t vector[EFA_IO_WQE_SIZE_WIDE] = {
        0x05, 0x04, 0xa2, 0x1d, 0x13, 0x00, 0x05, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
        0x11, 0x11, 0x11, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x05, 0x00, 0x00, 0x00, 0x09, 0x00, 0x30, 0x00,
        0x00, 0x00, 0x00, 0xaa, 0x00, 0x7f, 0x00, 0x00,
        0x68, 0x65, 0x6c, 0x6c, 0x6f,
    };
    Pair p = pair_new(3, EFA_IO_WQE_SIZE_WIDE, 0);
    EfaIoTxWqe wqe;
    EfaIoCdesc e;

    memcpy(&wqe, vector, sizeof(wqe));
    wqe.meta.dest_qp_num = p.b->qp->num;
    wqe.meta.ah = p.ah;
    wqe.rdma.remote.rkey = p.remote.key;
    wqe.rdma.remote.buf_addr_lo = p.remote.iova + 1000;
    wqe.rdma.remote.buf_addr_hi = p.remote.iova >> 32;
    e = run(&p, &wqe);
    g_assert_cmphex(e.req_id, ==, 0x405);
    g_assert_cmpuint(e.status, ==, 0);
    g_assert_cmphex(e.flags, ==, 0x23);
    g_assert_cmpmem(p.remote.p + 999, 7, "\0hello", 7);
    assert_cq_empty(p.b->rcq);

    /* the lengths must agree */
    wqe.rdma.remote.length = 6;
    g_assert_cmpuint(run(&p, &wqe).status, ==, 6);
    pair_free(&p);
}

/* 2.9 D: all four words come back, but only where the QP has them. */
static void test_long_ids(void)
{
    static const uint8_t vector[EFA_IO_WQE_SIZE] = {
        0x88, 0x77, 0xa0, 0x1c, 0x13, 0x00, 0x03, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
        0x11, 0x11, 0x11, 0x11, 0, 0, 0, 0, 0, 0,
        0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x61, 0x62, 0x63,
    };
    static const uint8_t with[16] = {
        0x88, 0x77, 0, 0x03, 0, 0, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    };
    static const uint8_t without[16] = { 0x88, 0x77, 0, 0x03 };
    unsigned i;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new(3, EFA_IO_WQE_SIZE,
                          i ? R_CREATE_QP_FLAGS_SQ_64_BIT_REQ_ID_MASK : 0);
        EfaIoTxWqe wqe = { };
        EfaIoCdesc e;

        memcpy(&wqe, vector, sizeof(vector));
        wqe.meta.dest_qp_num = p.b->qp->num;
        wqe.meta.ah = p.ah;
        rq_post(p.b->qp, 1, &p.b->rx, 0, 100);
        e = run(&p, &wqe);
        g_assert_cmphex(e.qp_num, ==, p.qp->num);
        e.qp_num = 0;
        e.flags &= ~R_CDESC_FLAGS_PHASE_MASK;
        g_assert_cmphex(e.flags, ==, 0x02);
        e.flags = 0x03;
        g_assert_cmpmem(&e, 16, i ? with : without, 16);
        /* an error names its request as well */
        wqe.meta.ah = 999;
        e = run(&p, &wqe);
        g_assert_cmpuint(e.status, ==, 4);
        g_assert_cmphex(e.req_id_ex[2], ==, i ? 0x1122 : 0);
        pair_free(&p);
    }
}

static void test_long_ids_need(void)
{
    Pair p = pair_new(3, EFA_IO_WQE_SIZE, 0);
    Cq *shortid = create_cq_ok(p.a->h, p.a->uar, NULL);
    Cq *longid = cq_new(p.a, R_CREATE_QP_FLAGS_SQ_64_BIT_REQ_ID_MASK);
    EfaCreateQpCmd cmd = qp_cmd(p.a->h, p.a->pd, p.a->uar, EFA_QP_TYPE_SRD,
                                shortid, longid, 16, 16);

    cmd.flags = R_CREATE_QP_FLAGS_SQ_64_BIT_REQ_ID_MASK;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 5);
    cmd.send_cq_idx = longid->idx;
    cmd.recv_cq_idx = shortid->idx;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 0);
    /* a QP of short ids may use either */
    cmd.flags = 0;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 0);
    pair_free(&p);
}

/* 4.8 J: no request is taken, and none is needed. */
static void test_unsolicited(void)
{
    Pair p = pair_new(3, EFA_IO_WQE_SIZE, 0);
    Cq *cq = create_cq_ok(p.b->h, p.b->uar, NULL);
    EfaCreateQpCmd cmd = qp_cmd(p.b->h, p.b->pd, p.b->uar, EFA_QP_TYPE_SRD,
                                cq, cq, 16, 16);
    Buf from = reg_buf(p.a->h, p.a->pd, 128 * 1024, 0);
    Buf to = reg_buf(p.b->h, p.b->pd, 128 * 1024, PERM_LOCAL_WRITE |
                     PERM_REMOTE_WRITE);
    EfaIoTxWqe wqe;
    EfaIoCdesc e;
    Qp *qp;

    cmd.flags = R_CREATE_QP_FLAGS_UNSOLICITED_WRITE_RECV_MASK;
    qp = create_qp_cmd_ok(p.b->h, &cmd, cq, cq);
    qp_to_rts(qp);
    wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1, p.ah, qp->num, &from, &to,
                   128 * 1024);
    wqe_imm(&wqe, 0xdeadbeef);
    memset(from.p, 0x5a, from.len);
    rq_post(qp, 77, &p.b->rx, 0, 100);
    g_assert_cmpuint(run(&p, &wqe).status, ==, 0);
    g_assert_cmpmem(from.p, from.len, to.p, to.len);
    e = cq_next(cq);
    g_assert_cmpuint(e.req_id, ==, 0);
    g_assert_cmphex(e.flags, ==, 0xad);
    g_assert_cmphex(e.imm, ==, 0xdeadbeef);
    g_assert_cmpuint(e.length, ==, 0);
    g_assert_cmpuint(e.length_hi, ==, 2);
    g_assert_cmpuint(e.src_qp_num, ==, p.qp->num);

    /* the request that was there still is, for a send */
    wqe = wqe_send(2, p.ah, qp->num);
    wqe_inline(&wqe, "x", 1);
    g_assert_cmpuint(run(&p, &wqe).status, ==, 0);
    e = cq_next(cq);
    g_assert_cmpuint(e.req_id, ==, 77);
    g_assert_cmphex(e.flags & R_CDESC_FLAGS_UNSOLICITED_MASK, ==, 0);
    /* and what sends go on needing */
    g_assert_cmpuint(qp_modify(p.qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0, 0),
                     ==, 0);
    g_assert_cmpuint(run(&p, &wqe).status, ==, 10);
    pair_free(&p);
}

/* What a generation has not is refused by name. */
static void test_not_offered(void)
{
    Pair p = pair_new(2, EFA_IO_WQE_SIZE, 0);
    EfaCreateQpCmd cmd = qp_cmd(p.a->h, p.a->pd, p.a->uar, EFA_QP_TYPE_SRD,
                                p.a->scq, p.a->rcq, 16, 16);

    cmd.send_queue_ring_size *= 2;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 5);
    cmd.send_queue_ring_size /= 2;
    cmd.flags = R_CREATE_QP_FLAGS_UNSOLICITED_WRITE_RECV_MASK;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 3);
    cmd.flags = R_CREATE_QP_FLAGS_SQ_64_BIT_REQ_ID_MASK;
    g_assert_cmpuint(admin_status(p.a->h, &cmd), ==, 3);
    pair_free(&p);
}

static uint8_t create_with_sl(EfaConfig *cfg, uint8_t sl)
{
    Host *h = host_new_cfg(cfg);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    EfaCreateQpCmd cmd = qp_cmd(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq,
                                e->rcq, 16, 16);
    uint8_t status;

    cmd.sl = sl;
    status = admin_status(h, &cmd);
    hosts_free();
    return status;
}

static void test_service_levels(void)
{
    EfaConfig cfg = test_config_of(1, 3);

    g_assert_cmpuint(create_with_sl(&cfg, 255), ==, 0);
    cfg.max_sl = 8;
    g_assert_cmpuint(create_with_sl(&cfg, 8), ==, 0);
    g_assert_cmpuint(create_with_sl(&cfg, 9), ==, 5);
    cfg.service_levels = ON_OFF_AUTO_OFF;
    g_assert_cmpuint(create_with_sl(&cfg, 8), ==, 3);
    g_assert_cmpuint(create_with_sl(&cfg, 0), ==, 0);
}

/* Configured off: a request that lacks a feature is just an error there. */
static void test_mismatch(void)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        Wire *w = wire_new();
        EfaConfig cfg = test_config_of(1, 2);
        Host *a = host_new_raw(&cfg, w, NULL), *b;
        End *ea, *eb;
        EfaIoTxWqe wqe;

        cfg = test_config_of(2, 0);
        cfg.feature_mismatch = i ? ON_OFF_AUTO_ON : ON_OFF_AUTO_OFF;
        b = host_new_raw(&cfg, w, NULL);
        host_probe(a);
        host_probe(b);
        ea = end_new(a, EFA_QP_TYPE_SRD);
        eb = end_new(b, EFA_QP_TYPE_SRD);
        wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1,
                       create_ah_ok(a, ea->pd, test_gid(2)), eb->qp->num,
                       &ea->tx, &eb->rx, 100);
        sq_post(ea->qp, &wqe);
        g_assert_cmpuint(cq_next(ea->scq).status, ==, i ? 18 : 12);
        hosts_free();
        wire_free(w);
    }
}

/* RDMA from a stranger, where the device is told not to mind. */
static void test_strangers(void)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        Wire *w = wire_new();
        EfaConfig cfg = test_config(1);
        Host *a = host_new_raw(&cfg, w, NULL), *b;
        End *ea, *eb;
        EfaIoTxWqe wqe;
        Buf to;

        cfg = test_config(2);
        cfg.known_peer = i ? ON_OFF_AUTO_OFF : ON_OFF_AUTO_AUTO;
        b = host_new_raw(&cfg, w, NULL);
        host_probe(a);
        host_probe(b);
        ea = end_new(a, EFA_QP_TYPE_SRD);
        eb = end_new(b, EFA_QP_TYPE_SRD);
        to = reg_buf(b, eb->pd, 4096, PERM_LOCAL_WRITE | PERM_REMOTE_WRITE);
        wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1,
                       create_ah_ok(a, ea->pd, test_gid(2)), eb->qp->num,
                       &ea->tx, &to, 100);
        sq_post(ea->qp, &wqe);
        g_assert_cmpuint(cq_next(ea->scq).status, ==, i ? 0 : 14);
        hosts_free();
        wire_free(w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wide/ring", test_wide_ring);
    g_test_add_func("/wide/inline-sizes", test_inline_sizes);
    g_test_add_func("/wide/inline-write", test_inline_write);
    g_test_add_func("/wide/long-ids", test_long_ids);
    g_test_add_func("/wide/long-ids-need", test_long_ids_need);
    g_test_add_func("/wide/unsolicited", test_unsolicited);
    g_test_add_func("/wide/not-offered", test_not_offered);
    g_test_add_func("/wide/service-levels", test_service_levels);
    g_test_add_func("/wide/mismatch", test_mismatch);
    g_test_add_func("/wide/strangers", test_strangers);
    return g_test_run();
}
