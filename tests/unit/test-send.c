/*
 * Unit tests: send and receive work requests, from WQE to completion
 *
 * Everything goes to the device's own GID, through the whole transport.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

/* Two QPs of one PD on one device, and the way from a to b. */
typedef struct Pair {
    Host *h;
    End *a, *b;
    uint16_t ah;
} Pair;

static Pair pair_new(EfaQpType type)
{
    Pair p = { .h = host_new(1) };

    p.a = end_new(p.h, type);
    p.b = end_new(p.h, type);
    p.ah = create_ah_ok(p.h, p.a->pd, test_gid(1));
    return p;
}

static EfaIoTxWqe to_b(const Pair *p, uint16_t req)
{
    return wqe_send(req, p->ah, p->b->qp->num);
}

/* 2.9 A and 3.5 F, byte by byte; 4.8 I for what comes out */
static void test_vector_a(void)
{
    static const uint8_t vector[64] = {
        0x03, 0x04, 0x80, 0x1c, 0x12, 0x00, 0x02, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
        0x11, 0x11, 0x11, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x00, 0x04, 0x00, 0x00, 0x05, 0x00, 0x30, 0x00,
        0x00, 0x50, 0x34, 0x12, 0x00, 0x7f, 0x00, 0x00,
        0x10, 0x00, 0x00, 0x00, 0x06, 0x00, 0x30, 0x00,
        0x00, 0x60, 0x34, 0x12, 0x00, 0x7f, 0x00, 0x00,
    };
    static const uint8_t desc[32] = {
        0x00, 0x50, 0x34, 0x12, 0x00, 0x7f, 0x00, 0x00,
        0x03, 0x08, 0x40, 0x00, 0x05, 0x00, 0x30, 0x40,
        0x00, 0x60, 0x34, 0x12, 0x00, 0x7f, 0x00, 0x00,
        0x00, 0x00, 0xc0, 0x1f, 0x06, 0x00, 0x30, 0x80,
    };
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = { };
    EfaIoRxDesc rx[2];
    EfaIoCdesc e;
    unsigned i;
    /* the vector's numbers are replaced by ours, its layout is not */
    uint64_t addr[2] = { p.a->tx.iova, p.a->tx.iova + 0x1000 };

    memcpy(&wqe, vector, sizeof(vector));
    g_assert_cmphex(wqe.meta.req_id, ==, 0x0403);
    g_assert_cmphex(wqe.meta.dest_qp_num, ==, 0x12);
    g_assert_cmphex(wqe.meta.ah, ==, 7);
    g_assert_cmphex(wqe.sgl[1].lkey, ==, 0x300006);
    g_assert_cmphex(wqe.sgl[1].buf_addr_hi, ==, 0x7f00);
    memcpy(rx, desc, sizeof(rx));
    g_assert_cmphex(rx[0].req_id, ==, 0x0803);
    for (i = 0; i < 0x1010; i++) {
        p.a->tx.p[i] = i * 7;
    }
    wqe.meta.dest_qp_num = p.b->qp->num;
    wqe.meta.ah = p.ah;
    for (i = 0; i < 2; i++) {
        wqe.sgl[i].lkey = p.a->tx.key;
        wqe.sgl[i].buf_addr_lo = addr[i];
        wqe.sgl[i].buf_addr_hi = addr[i] >> 32;
        rx[i].lkey_ctrl = (rx[i].lkey_ctrl & 0xff000000) | p.b->rx.key;
        rx[i].buf_addr_lo = p.b->rx.iova + i * 0x1000;
        rx[i].buf_addr_hi = (p.b->rx.iova + i * 0x1000) >> 32;
    }
    memcpy(host_ptr(p.h, p.b->qp->rq_ring), rx, sizeof(rx));
    p.b->qp->rq_pc = 2;
    rq_ring(p.b->qp);
    sq_post(p.a->qp, &wqe);

    e = cq_next(p.b->rcq);
    {
        uint8_t want[32] = {
            0x03, 0x08, 0x00, 0x05, p.b->qp->num, p.b->qp->num >> 8,
            0x10, 0x04, 0xff, 0xff, p.a->qp->num, p.a->qp->num >> 8,
        };

        memcpy(want + 16, test_gid(1).raw, 16);
        g_assert_cmpmem(&e, 32, want, 32);
    }
    e = cq_next(p.a->scq);
    {
        uint8_t want[32] = {
            0x03, 0x04, 0x00, 0x03, p.a->qp->num, p.a->qp->num >> 8,
        };

        g_assert_cmpmem(&e, 32, want, 32);
    }
    /* 0x400 + 0x10 bytes from there, 64 + 8128 bytes of room here */
    for (i = 0; i < 0x410; i++) {
        uint32_t from = i < 0x400 ? i : 0x1000 + i - 0x400;
        uint32_t to = i < 64 ? i : 0x1000 + i - 64;

        g_assert_cmphex(p.b->rx.p[to], ==, (uint8_t)(from * 7));
    }
    g_assert_cmphex(p.b->rx.p[0x1000 + 0x410 - 64], ==, 0);
    hosts_free();
}

/* 2.9 D: inline; its upper id bits are not echoed without the capability */
static void test_vector_d(void)
{
    static const uint8_t vector[36] = {
        0x88, 0x77, 0xa0, 0x1c, 0x13, 0x00, 0x03, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
        0x11, 0x11, 0x11, 0x11, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0x61, 0x62, 0x63, 0x00,
    };
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = { };
    EfaIoCdesc e;

    memcpy(&wqe, vector, sizeof(vector));
    wqe.meta.dest_qp_num = p.b->qp->num;
    wqe.meta.ah = p.ah;
    memset(p.b->rx.p, 0x55, 16);
    rq_post(p.b->qp, 0x0802, &p.b->rx, 0, 8192);    /* 3.5 E */
    sq_post(p.a->qp, &wqe);
    e = cq_next(p.b->rcq);
    g_assert_cmphex(e.req_id, ==, 0x0802);
    g_assert_cmpuint(e.length, ==, 3);
    g_assert_cmpmem(p.b->rx.p, 4, "abc\x55", 4);
    e = cq_next(p.a->scq);
    g_assert_cmphex(e.req_id, ==, 0x7788);
    g_assert_cmphex(e.length, ==, 0);
    g_assert_cmphex(e.ah, ==, 0);
    g_assert_cmphex(e.src_qp_num, ==, 0);
    hosts_free();
}

/* ---- local checks: 13.2, 13.3 ---- */

typedef void (*Spoil)(Pair *p, EfaIoTxWqe *w);

static void ok_plain(Pair *p, EfaIoTxWqe *w) { }
static void ok_phase(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl2 ^= 1; }
static void ok_mbz(Pair *p, EfaIoTxWqe *w)
{
    w->meta.ctrl2 |= 0xe2;
    w->meta.ctrl3 = 0xff;
    w->meta.reserved = 0xff;
    memset(w->meta.reserved2, 0xff, sizeof(w->meta.reserved2));
}
static void ok_lkey_high(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].lkey |= 0xff000000;
}
static void ok_mtu(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].length = p->h->cfg.mtu;
}
static void ok_mtu_2(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].length = p->h->cfg.mtu - 1;
    wqe_sge(w, &p->a->tx, 65535, 1);
}
static void ok_inline_32(Pair *p, EfaIoTxWqe *w)
{
    wqe_inline(w, "0123456789abcdef0123456789abcdef", 32);
}
static void ok_empty_sge(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].length = 0;
    w->sgl[0].lkey = 0xbadbad;
}
static void ok_no_sge(Pair *p, EfaIoTxWqe *w) { w->meta.length = 0; }
static void ok_inline_0(Pair *p, EfaIoTxWqe *w) { wqe_inline(w, "", 0); }
static void ok_mr_end(Pair *p, EfaIoTxWqe *w)
{
    w->meta.length = 0;
    wqe_sge(w, &p->a->tx, 65536 - 8, 8);
}
static void no_meta(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 &= 0x7f; }
static void extension(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 |= 0x40; }
static void no_first(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl2 &= ~4; }
static void no_last(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl2 &= ~8; }
static void op_3(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 |= 3; }
static void op_4(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 |= 4; }
static void op_5(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 |= 5; }
static void op_15(Pair *p, EfaIoTxWqe *w) { w->meta.ctrl1 |= 15; }
static void inline_33(Pair *p, EfaIoTxWqe *w)
{
    ok_inline_32(p, w);
    w->meta.length = 33;
}
static void inline_max(Pair *p, EfaIoTxWqe *w)
{
    ok_inline_32(p, w);
    w->meta.length = 65535;
}
static void sges_3(Pair *p, EfaIoTxWqe *w) { w->meta.length = 3; }
static void sges_max(Pair *p, EfaIoTxWqe *w) { w->meta.length = 65535; }
static void ah_unknown(Pair *p, EfaIoTxWqe *w) { w->meta.ah++; }
static void ah_none(Pair *p, EfaIoTxWqe *w) { w->meta.ah = 0xffff; }
static void ah_other_pd(Pair *p, EfaIoTxWqe *w)
{
    w->meta.ah = create_ah_ok(p->h, p->b->pd, test_gid(1));
}
static void ah_destroyed(Pair *p, EfaIoTxWqe *w)
{
    w->meta.ah = create_ah_ok(p->h, p->a->pd, test_gid(9));
    g_assert_cmpuint(destroy_ah(p->h, p->a->pd, w->meta.ah), ==, 0);
}
static void key_unknown(Pair *p, EfaIoTxWqe *w) { w->sgl[0].lkey ^= 0x80; }
static void key_other_pd(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].lkey = p->b->tx.key;
}
static void key_gone(Pair *p, EfaIoTxWqe *w)
{
    g_assert_cmpuint(dereg(p->h, p->a->tx.key), ==, 0);
}
static void below(Pair *p, EfaIoTxWqe *w) { w->sgl[0].buf_addr_lo--; }
static void beyond(Pair *p, EfaIoTxWqe *w)
{
    w->meta.length = 0;
    wqe_sge(w, &p->a->tx, 65536 - 8, 9);
}
static void wraps(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].buf_addr_lo = w->sgl[0].buf_addr_hi = 0xffffffff;
}
static void huge_sge(Pair *p, EfaIoTxWqe *w) { w->sgl[0].length = 1u << 31; }
static void key_2nd(Pair *p, EfaIoTxWqe *w)
{
    wqe_sge(w, &p->b->tx, 0, 1);
}
static void over_mtu(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].length = p->h->cfg.mtu + 1;
}
static void over_mtu_2(Pair *p, EfaIoTxWqe *w)
{
    w->sgl[0].length = p->h->cfg.mtu;
    wqe_sge(w, &p->a->tx, 0, 1);
}
static void page_fault(Pair *p, EfaIoTxWqe *w)
{
    host_fault(p->h, FAULT_READ, p->a->tx.dma, 4096);
}
/* the order of the tables: the first failure wins */
static void meta_and_op(Pair *p, EfaIoTxWqe *w)
{
    no_meta(p, w);
    op_5(p, w);
}
static void op_and_ah(Pair *p, EfaIoTxWqe *w)
{
    op_5(p, w);
    ah_unknown(p, w);
}
static void ah_and_key(Pair *p, EfaIoTxWqe *w)
{
    ah_unknown(p, w);
    key_unknown(p, w);
}
static void key_and_mtu(Pair *p, EfaIoTxWqe *w)
{
    key_unknown(p, w);
    over_mtu(p, w);
}

static const struct {
    const char *name;
    Spoil spoil;
    uint8_t status;
} wqe_rows[] = {
    { "plain", ok_plain, 0 },
    { "phase is not looked at", ok_phase, 0 },
    { "MBZ bits are not looked at", ok_mbz, 0 },
    { "lkey b31:24", ok_lkey_high, 0 },
    { "as long as the MTU", ok_mtu, 0 },
    { "as long as the MTU, 2 SGEs", ok_mtu_2, 0 },
    { "32 bytes inline", ok_inline_32, 0 },
    { "SGE of length 0, any key", ok_empty_sge, 0 },
    { "no SGE", ok_no_sge, 0 },
    { "0 bytes inline", ok_inline_0, 0 },
    { "up to the last byte of the region", ok_mr_end, 0 },
    { "no meta_desc", no_meta, 2 },
    { "meta_extension", extension, 2 },
    { "no first", no_first, 2 },
    { "no last", no_last, 2 },
    { "fast reg", op_3, 3 },
    { "fast inv", op_4, 3 },
    { "operation 5", op_5, 3 },
    { "operation 15", op_15, 3 },
    { "33 bytes inline", inline_33, 6 },
    { "65535 bytes inline", inline_max, 6 },
    { "3 SGEs", sges_3, 2 },
    { "65535 SGEs", sges_max, 2 },
    { "unknown AH", ah_unknown, 4 },
    { "AH 0xffff", ah_none, 4 },
    { "AH of another PD", ah_other_pd, 4 },
    { "destroyed AH", ah_destroyed, 4 },
    { "unknown key", key_unknown, 5 },
    { "key of another PD", key_other_pd, 5 },
    { "deregistered key", key_gone, 5 },
    { "before the region", below, 5 },
    { "beyond the region", beyond, 5 },
    { "address wraps", wraps, 5 },
    { "2 GiB", huge_sge, 5 },
    { "second key of another PD", key_2nd, 5 },
    { "longer than the MTU", over_mtu, 6 },
    { "longer than the MTU, 2 SGEs", over_mtu_2, 6 },
    { "page not there", page_fault, 5 },
    { "meta before operation", meta_and_op, 2 },
    { "operation before AH", op_and_ah, 3 },
    { "AH before key", ah_and_key, 4 },
    { "key before length", key_and_mtu, 5 },
};

static void wqe_table(EfaQpType type)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(wqe_rows); i++) {
        Pair p = pair_new(type);
        EfaIoTxWqe wqe = to_b(&p, i);
        EfaIoCdesc e, rx;

        wqe_sge(&wqe, &p.a->tx, 0, 8);
        rq_post(p.b->qp, 1, &p.b->rx, 0, 16384);
        wqe_rows[i].spoil(&p, &wqe);
        /* sq_put() or's the phase in: keep the row's */
        sq_post(p.a->qp, &wqe);
        e = cq_next(p.a->scq);
        if (e.status != wqe_rows[i].status || e.req_id != i ||
            FIELD_EX8(e.flags, CDESC_FLAGS, Q_TYPE) != EFA_IO_SEND_QUEUE) {
            g_error("%s: status %u", wqe_rows[i].name, e.status);
        }
        host_fault(p.h, 0, 0, 0);
        settle();
        if (cq_poll(p.b->rcq, &rx) != !wqe_rows[i].status) {
            g_error("%s: sent although refused, or the reverse",
                    wqe_rows[i].name);
        }
        /* a failing request is only its own business */
        g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
        hosts_free();
    }
}

static void test_wqe_srd(void)
{
    wqe_table(EFA_QP_TYPE_SRD);
}

static void test_wqe_ud(void)
{
    wqe_table(EFA_QP_TYPE_UD);
}

/* comp_req = 0: silence on success, not on failure */
static void test_unsignalled(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = to_b(&p, 1);

    wqe.meta.ctrl2 &= ~R_TX_CTRL2_COMP_REQ_MASK;
    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    sq_post(p.a->qp, &wqe);
    cq_next(p.b->rcq);
    assert_cq_empty(p.a->scq);
    wqe.meta.req_id = 2;
    wqe.meta.dest_qp_num += 100;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 9);
    assert_cq_empty(p.a->scq);
    hosts_free();
}

static void test_immediate(void)
{
    static const EfaQpType types[] = { EFA_QP_TYPE_UD, EFA_QP_TYPE_SRD };
    unsigned i;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new(types[i]);
        EfaIoTxWqe wqe = to_b(&p, 1);
        EfaIoCdesc e;

        /* without has_imm the field means nothing */
        wqe.meta.immediate_data = 0x12345678;
        rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
        rq_post(p.b->qp, 2, &p.b->rx, 0, 64);
        sq_post(p.a->qp, &wqe);
        e = cq_next(p.b->rcq);
        g_assert_cmphex(e.flags, ==, 0x05);
        g_assert_cmphex(e.imm, ==, 0);
        wqe_imm(&wqe, 0xcafef00d);
        sq_post(p.a->qp, &wqe);
        e = cq_next(p.b->rcq);
        g_assert_cmphex(e.flags, ==, 0x0d);
        g_assert_cmphex(e.imm, ==, 0xcafef00d);
        g_assert_cmphex(cq_next(p.a->scq).flags, ==, 0x03);
        g_assert_cmphex(cq_next(p.a->scq).flags, ==, 0x03);
        hosts_free();
    }
}

/* The WQE belongs to software again as soon as the doorbell returns. */
static void test_slot_reuse(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = to_b(&p, 0);
    uint64_t seen = 0;
    unsigned i;

    for (i = 0; i < 64; i++) {
        uint8_t data[4] = { i, i, i, i };

        wqe = to_b(&p, i);
        wqe_inline(&wqe, data, sizeof(data));
        sq_put(p.a->qp, &wqe);
    }
    sq_ring(p.a->qp);       /* nobody is ready: all of it waits */
    memset(p.h->llq + p.a->qp->llq, 0xff, 64 * 64);
    settle();
    assert_cq_empty(p.a->scq);
    for (i = 0; i < 64; i++) {
        rq_put(p.b->qp, i, &p.b->rx, i * 4, 4, true, true);
    }
    rq_ring(p.b->qp);
    advance(1000 * EFA_NSEC_PER_MSEC);
    for (i = 0; i < 64; i++) {
        EfaIoCdesc e = cq_next(p.a->scq);

        g_assert_cmpuint(e.status, ==, 0);
        g_assert_cmpuint(e.req_id, <, 64);
        seen |= 1ull << e.req_id;
        e = cq_next(p.b->rcq);
        g_assert_cmpuint(p.b->rx.p[e.req_id * 4], <, 64);
    }
    g_assert_cmphex(seen, ==, UINT64_MAX);
    hosts_free();
}

/* 100 times round a ring of 4; nothing beyond the doorbell is looked at. */
static void test_ring_wrap(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    Qp *a = create_qp_ok(p.h, p.a->pd, p.a->uar, EFA_QP_TYPE_SRD, p.a->scq,
                         p.a->rcq, 4, 0);
    Qp *b = create_qp_ok(p.h, p.b->pd, p.b->uar, EFA_QP_TYPE_SRD, p.b->scq,
                         p.b->rcq, 0, 4);
    unsigned i, j;

    qp_to_rts(a);
    qp_to_rts(b);
    for (i = 0; i < 400; i++) {
        unsigned n = 1 + i % 4;

        for (j = 0; j < n; j++) {
            EfaIoTxWqe wqe = wqe_send(i * 4 + j, p.ah, b->num);

            sq_put(a, &wqe);
            rq_put(b, i * 4 + j, &p.b->rx, 0, 8, true, true);
        }
        rq_ring(b);
        if (n < 4) {
            EfaIoTxWqe wqe = wqe_send(0xffff, p.ah, b->num);

            sq_put(a, &wqe);        /* written, not announced */
            a->sq_pc--;
        }
        sq_ring(a);
        sq_ring(a);                 /* unchanged: nothing happens */
        rq_ring(b);
        for (j = 0; j < n; j++) {
            EfaIoCdesc e = cq_next(p.a->scq);

            g_assert_cmpuint(e.status, ==, 0);
            g_assert_cmpuint(e.req_id, ==, i * 4 + j);
            g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, i * 4 + j);
        }
    }
    assert_cq_empty(p.a->scq);
    assert_cq_empty(p.b->rcq);
    hosts_free();
}

/* The 16-bit doorbell counters wrap, for descriptors too; b31:16 is ignored. */
static void test_counter_wrap(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoCdesc e;
    unsigned i;

    for (i = 0; i < 66000; i++) {
        EfaIoTxWqe wqe = to_b(&p, i);

        rq_put(p.b->qp, i, &p.b->rx, 0, 8, true, true);
        db_write(p.h, p.b->qp->rq_db, p.b->qp->rq_pc | 0xabcd0000);
        sq_put(p.a->qp, &wqe);
        db_write(p.h, p.a->qp->sq_db, p.a->qp->sq_pc | 0x12340000);
        settle();
        g_assert_true(cq_poll(p.a->scq, &e));
        g_assert_cmpuint(e.req_id, ==, (uint16_t)i);
        g_assert_cmpuint(e.status, ==, 0);
        g_assert_true(cq_poll(p.b->rcq, &e));
        g_assert_cmpuint(e.req_id, ==, (uint16_t)i);
    }
    hosts_free();
}

/* Many and long: more than the loop holds; nothing may get stuck in it. */
static void test_loop_full(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    unsigned i;

    for (i = 0; i < 64; i++) {
        EfaIoTxWqe wqe = to_b(&p, i);

        wqe_sge(&wqe, &p.a->tx, 0, 8192);
        sq_put(p.a->qp, &wqe);
        rq_put(p.b->qp, i, &p.b->rx, 0, 8192, true, true);
    }
    rq_ring(p.b->qp);
    sq_ring(p.a->qp);
    for (i = 0; i < 64; i++) {
        g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 0);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    hosts_free();
}

/* The same with datagrams, which may not be lost on the way to oneself. */
static void test_loop_full_ud(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    unsigned i;

    for (i = 0; i < 64; i++) {
        EfaIoTxWqe wqe = to_b(&p, i);

        wqe_sge(&wqe, &p.a->tx, 0, 8192);
        sq_put(p.a->qp, &wqe);
        rq_put(p.b->qp, i, &p.b->rx, 0, 8192 + 40, true, true);
    }
    rq_ring(p.b->qp);
    sq_ring(p.a->qp);
    for (i = 0; i < 64; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 0);
    }
    hosts_free();
}

/* 8.2: who sent it is told by the handles of the receiver's own PD. */
static void test_reverse_lookup(void)
{
    static const EfaQpType types[] = { EFA_QP_TYPE_UD, EFA_QP_TYPE_SRD };
    static const uint8_t zero[16];
    unsigned i;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new(types[i]);
        CqOpts small = { .entry_size = 16 }, plain = { };
        Cq *cq16 = create_cq_ok(p.h, p.b->uar, &small);
        Cq *cq32 = create_cq_ok(p.h, p.b->uar, &plain);
        Qp *b16 = create_qp_ok(p.h, p.b->pd, p.b->uar, types[i], p.b->scq,
                               cq16, 0, 8);
        Qp *b32 = create_qp_ok(p.h, p.b->pd, p.b->uar, types[i], p.b->scq,
                               cq32, 0, 8);
        EfaIoTxWqe wqe = to_b(&p, 1);
        uint16_t ah;
        EfaIoCdesc e;

        qp_to_rts(b16);
        qp_to_rts(b32);
        rq_post(b16, 1, &p.b->rx, 0, 64);
        rq_post(b32, 1, &p.b->rx, 0, 64);
        rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
        rq_post(p.b->qp, 2, &p.b->rx, 0, 64);
        rq_post(p.b->qp, 3, &p.b->rx, 0, 64);

        /* a's PD knows the GID, b's does not */
        sq_post(p.a->qp, &wqe);
        e = cq_next(p.b->rcq);
        g_assert_cmphex(e.ah, ==, 0xffff);
        g_assert_cmpmem(e.src_addr, 16, test_gid(1).raw, 16);
        wqe.meta.dest_qp_num = b16->num;
        sq_post(p.a->qp, &wqe);
        g_assert_cmphex(cq_next(cq16).ah, ==, 0xffff);
        wqe.meta.dest_qp_num = b32->num;
        sq_post(p.a->qp, &wqe);
        e = cq_next(cq32);
        g_assert_cmphex(e.ah, ==, 0xffff);
        g_assert_cmpmem(e.src_addr, 16, zero, 16);

        ah = create_ah_ok(p.h, p.b->pd, test_gid(1));
        g_assert_cmphex(ah, !=, p.ah);
        wqe.meta.dest_qp_num = p.b->qp->num;
        sq_post(p.a->qp, &wqe);
        e = cq_next(p.b->rcq);
        g_assert_cmphex(e.ah, ==, ah);
        g_assert_cmphex(e.src_qp_num, ==, p.a->qp->num);
        g_assert_cmpmem(e.src_addr, 16, zero, 16);
        g_assert_cmpuint(destroy_ah(p.h, p.b->pd, ah), ==, 0);
        sq_post(p.a->qp, &wqe);
        g_assert_cmphex(cq_next(p.b->rcq).ah, ==, 0xffff);
        hosts_free();
    }
}

/* 6.5: with bit 31 the sending QP's own key is meant */
static void test_qkey(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = to_b(&p, 1);
    uint32_t mask = R_MODIFY_QP_MASK_QKEY_MASK;

    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    rq_post(p.b->qp, 2, &p.b->rx, 0, 64);
    wqe.meta.qkey = QKEY + 1;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 9);
    wqe.meta.qkey = 0x80000000;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(qp_modify(p.a->qp, mask, 0, 0x5555, 0), ==, 0);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 9);
    g_assert_cmpuint(qp_modify(p.b->qp, mask, 0, 0x5555, 0), ==, 0);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    /* 0 is a key like any other */
    g_assert_cmpuint(qp_modify(p.b->qp, mask, 0, 0, 0), ==, 0);
    wqe.meta.qkey = 1;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 9);
    wqe.meta.qkey = 0;
    sq_post(p.a->qp, &wqe);
    assert_cq_empty(p.a->scq);  /* taken: it waits for a buffer */
    g_assert_cmpuint(stat_get(p.h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                              ST_QKEY_VIOL), ==, 3);
    hosts_free();
}

static void test_counters(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = to_b(&p, 1);
    unsigned i;

    for (i = 0; i < 5; i++) {
        EfaIoTxWqe w = wqe;

        wqe_sge(&w, &p.a->tx, 0, 100);
        rq_post(p.b->qp, 1, &p.b->rx, 0, 128);
        sq_post(p.a->qp, &w);
    }
    settle();
    wqe.meta.ah = 0xffff;
    sq_post(p.a->qp, &wqe);
    settle();
    g_assert_cmpuint(stat_get(p.h, 1, 0), ==, 500);     /* send_bytes */
    g_assert_cmpuint(stat_get(p.h, 1, 1), ==, 5);       /* send_wrs */
    g_assert_cmpuint(stat_get(p.h, 1, 2), ==, 500);     /* recv_bytes */
    g_assert_cmpuint(stat_get(p.h, 1, 3), ==, 5);       /* recv_wrs */
    g_assert_cmpuint(stat_get(p.h, 0, ST_TX_PKTS), >=, 10);
    g_assert_cmpuint(stat_get(p.h, 0, ST_TX_PKTS), ==,
                     stat_get(p.h, 0, ST_RX_PKTS));
    g_assert_cmpuint(stat_get(p.h, 0, ST_TX_BYTES), >, 500);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/send/vector-a", test_vector_a);
    g_test_add_func("/send/vector-d", test_vector_d);
    g_test_add_func("/send/wqe-srd", test_wqe_srd);
    g_test_add_func("/send/wqe-ud", test_wqe_ud);
    g_test_add_func("/send/unsignalled", test_unsignalled);
    g_test_add_func("/send/immediate", test_immediate);
    g_test_add_func("/send/slot-reuse", test_slot_reuse);
    g_test_add_func("/send/ring-wrap", test_ring_wrap);
    g_test_add_func("/send/counter-wrap", test_counter_wrap);
    g_test_add_func("/send/loop-full", test_loop_full);
    g_test_add_func("/send/loop-full-ud", test_loop_full_ud);
    g_test_add_func("/send/reverse-lookup", test_reverse_lookup);
    g_test_add_func("/send/qkey", test_qkey);
    g_test_add_func("/send/counters", test_counters);
    return g_test_run();
}
