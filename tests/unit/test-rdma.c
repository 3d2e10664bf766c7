/*
 * Unit tests: RDMA read, write and write with immediate data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"
#include "efa-srd.h"

#define MS          EFA_NSEC_PER_MSEC
#define BUF_SIZE    (256u << 10)
#define MTU         1024u

/* Two devices; a is the requester. */
static Pair pair_new_gen(uint8_t gen_a, uint8_t gen_b)
{
    EfaConfig a = test_config_of(1, gen_a);
    EfaConfig b = test_config_of(2, gen_b);
    uint32_t i;
    Pair p;

    a.mtu = b.mtu = MTU;
    p = pair_of(&a, &b, EFA_QP_TYPE_SRD);
    pair_meet(&p);
    pair_reg(&p, BUF_SIZE, gen_b < 2 ? 0 : PERM_REMOTE_WRITE |
                                           PERM_REMOTE_READ);
    for (i = 0; i < BUF_SIZE; i++) {
        p.local.p[i] = i * 7 + (i >> 8);
        p.remote.p[i] = 0x55;
    }
    return p;
}

static Pair pair_new(void)
{
    return pair_new_gen(2, 2);
}

static EfaIoTxWqe rdma(Pair *p, uint8_t op, uint16_t req, uint32_t len)
{
    return wqe_rdma(op, req, p->ah, p->b->qp->num, &p->local, &p->remote,
                    len);
}

static void post(Pair *p, EfaIoTxWqe wqe)
{
    sq_post(p->a->qp, &wqe);
    settle();
}

static uint8_t finish(Pair *p, uint16_t req)
{
    EfaIoCdesc e = cq_next(p->a->scq);

    g_assert_cmpuint(e.req_id, ==, req);
    return e.status;
}

static void check_copied(Pair *p, uint32_t len)
{
    g_assert_cmpmem(p->local.p, len, p->remote.p, len);
    g_assert_cmphex(p->remote.p[len], ==, 0x55);
}

static const uint32_t sizes[] = {
    0, 1, 7, MTU - 1, MTU, MTU + 1, 5 * MTU + 3, 64 * MTU, BUF_SIZE - 1,
};

static uint64_t write_stat(Host *h, unsigned index)
{
    return stat_get(h, EFA_ADMIN_GET_STATS_TYPE_RDMA_WRITE, index);
}

static uint64_t read_stat(Host *h, unsigned index)
{
    return stat_get(h, EFA_ADMIN_GET_STATS_TYPE_RDMA_READ, index);
}

static void test_write(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Pair p = pair_new();
        EfaIoCdesc e;

        post(&p, rdma(&p, EFA_IO_RDMA_WRITE, 0x404, sizes[i]));
        e = cq_next(p.a->scq);
        g_assert_cmphex(e.req_id, ==, 0x404);
        g_assert_cmpuint(e.status, ==, 0);
        g_assert_cmphex(e.flags, ==, 0x23);     /* 4.8 G */
        check_copied(&p, sizes[i]);
        assert_cq_empty(p.b->rcq);
        g_assert_cmpuint(write_stat(p.a->h, 0), ==, 1);
        g_assert_cmpuint(write_stat(p.a->h, 1), ==, sizes[i]);
        g_assert_cmpuint(write_stat(p.a->h, 2), ==, 0);
        g_assert_cmpuint(write_stat(p.b->h, 3), ==, sizes[i]);
        pair_free(&p);
    }
}

static void test_read(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Pair p = pair_new();
        EfaIoCdesc e;

        memcpy(p.remote.p, p.local.p, sizes[i]);
        memset(p.local.p, 0, BUF_SIZE);
        post(&p, rdma(&p, EFA_IO_RDMA_READ, 3, sizes[i]));
        e = cq_next(p.a->scq);
        g_assert_cmpuint(e.status, ==, 0);
        g_assert_cmphex(e.flags, ==, 0x13);
        check_copied(&p, sizes[i]);
        g_assert_cmphex(p.local.p[sizes[i]], ==, 0);
        assert_cq_empty(p.b->rcq);
        g_assert_cmpuint(read_stat(p.a->h, 0), ==, 1);
        g_assert_cmpuint(read_stat(p.a->h, 1), ==, sizes[i]);
        g_assert_cmpuint(read_stat(p.b->h, 3), ==, sizes[i]);
        pair_free(&p);
    }
}

/* The receive request tells the length and keeps its buffers untouched. */
static void test_write_imm(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Pair p = pair_new();
        EfaIoTxWqe wqe = rdma(&p, EFA_IO_RDMA_WRITE, 1, sizes[i]);
        EfaIoCdesc e;

        wqe_imm(&wqe, 0xdeadbeef);
        memset(p.b->rx.p, 0x66, 64);
        rq_post(p.b->qp, 0x802, &p.b->rx, 0, 64);
        post(&p, wqe);
        g_assert_cmpuint(finish(&p, 1), ==, 0);
        e = cq_next(p.b->rcq);
        g_assert_cmphex(e.req_id, ==, 0x802);
        g_assert_cmphex(e.flags, ==, 1 | 2 << 1 | 1 << 3 | 2 << 4);
        g_assert_cmphex(e.imm, ==, 0xdeadbeef);
        g_assert_cmpuint(e.length | e.length_hi << 16, ==, sizes[i]);
        g_assert_cmpuint(e.ah, !=, EFA_IO_NO_AH);
        g_assert_cmphex(p.b->rx.p[0], ==, 0x66);
        check_copied(&p, sizes[i]);
        assert_cq_empty(p.b->rcq);
        pair_free(&p);
    }
}

/* The segment that carries the immediate goes when the others are answered. */
static void test_imm_is_last(void)
{
    Pair p = pair_new();
    EfaIoTxWqe wqe = rdma(&p, EFA_IO_RDMA_WRITE, 1, 4 * MTU);
    unsigned i;

    wqe_imm(&wqe, 5);
    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    wire_auto(p.w, false);
    post(&p, wqe);
    g_assert_cmpuint(wire_count(p.w), ==, 3);
    for (i = 0; i < 3; i++) {
        WirePkt *pkt = wire_take(p.w, 0);

        g_assert_cmphex(pkt->hdr.flags, ==, 0);
        wire_deliver(p.w, pkt);
    }
    /* their answers, one of them a repetition of the others */
    while (wire_count(p.w) && !cq_poll(p.b->rcq, &(EfaIoCdesc) { })) {
        WirePkt *pkt = wire_take(p.w, 0);

        if (pkt->hdr.type == EFA_PKT_DATA) {
            g_assert_cmphex(pkt->hdr.flags, ==, 1);
            check_copied(&p, 3 * MTU);
        }
        wire_deliver(p.w, pkt);
    }
    check_copied(&p, 4 * MTU);
    wire_auto(p.w, true);
    g_assert_cmpuint(finish(&p, 1), ==, 0);
    pair_free(&p);
}

/* No buffer for the immediate: only that segment is tried again. */
static void test_imm_rnr(void)
{
    Pair p = pair_new();
    EfaIoTxWqe wqe = rdma(&p, EFA_IO_RDMA_WRITE, 1, 8 * MTU);
    uint64_t before;

    wqe_imm(&wqe, 5);
    post(&p, wqe);
    assert_cq_empty(p.a->scq);
    advance(5 * MS);
    before = stat_get(p.a->h, EFA_ADMIN_GET_STATS_TYPE_BASIC, ST_TX_PKTS);
    advance(5 * MS);
    /* one a millisecond */
    g_assert_cmpuint(stat_get(p.a->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                              ST_TX_PKTS) - before, ==, 5);
    check_copied(&p, 7 * MTU);
    rq_post(p.b->qp, 9, &p.b->rx, 0, 64);
    advance(MS);
    g_assert_cmpuint(finish(&p, 1), ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 9);
    check_copied(&p, 8 * MTU);

    /* a finite limit ends it */
    g_assert_cmpuint(qp_modify(p.a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0,
                               1), ==, 0);
    post(&p, wqe);
    advance(5 * MS);
    g_assert_cmpuint(finish(&p, 1), ==, 10);
    pair_free(&p);
}

/* ---- what is refused ---- */

typedef void (*Spoil)(Pair *p, EfaIoTxWqe *w);

static void ok_plain(Pair *p, EfaIoTxWqe *w) { }
static void ok_none(Pair *p, EfaIoTxWqe *w)
{
    w->meta.length = 0;
    w->rdma.remote.length = 0;
    w->rdma.remote.rkey = 0xbad;
}
static void ok_end(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.remote.buf_addr_lo += BUF_SIZE - 2 * MTU;
}
static void bad_rkey(Pair *p, EfaIoTxWqe *w) { w->rdma.remote.rkey ^= 0x100; }
static void bad_gen(Pair *p, EfaIoTxWqe *w) { w->rdma.remote.rkey ^= 1; }
static void bad_end(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.remote.buf_addr_lo += BUF_SIZE - 2 * MTU + 1;
}
static void bad_start(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.remote.buf_addr_lo--;
}
static void bad_wrap(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.remote.buf_addr_lo = 0xffffff00;
    w->rdma.remote.buf_addr_hi = 0xffffffff;
}
static void no_perm(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.remote.rkey = p->b->rx.key;
    w->rdma.remote.buf_addr_lo = p->b->rx.iova;
    w->rdma.remote.buf_addr_hi = p->b->rx.iova >> 32;
}
static void foreign_pd(Pair *p, EfaIoTxWqe *w)
{
    End *other = end_new(p->b->h, EFA_QP_TYPE_SRD);

    create_ah_ok(p->b->h, other->pd, test_gid(1));
    w->meta.dest_qp_num = other->qp->num;
}
static void unknown(Pair *p, EfaIoTxWqe *w)
{
    w->meta.dest_qp_num = end_new(p->b->h, EFA_QP_TYPE_SRD)->qp->num;
}
static void bad_qpn(Pair *p, EfaIoTxWqe *w) { w->meta.dest_qp_num ^= 0x300; }
static void bad_qkey(Pair *p, EfaIoTxWqe *w) { w->meta.qkey++; }
static void ud_dest(Pair *p, EfaIoTxWqe *w)
{
    w->meta.dest_qp_num = end_new(p->b->h, EFA_QP_TYPE_UD)->qp->num;
}
static void lengths(Pair *p, EfaIoTxWqe *w) { w->rdma.remote.length++; }
static void too_long(Pair *p, EfaIoTxWqe *w)
{
    p->a->h->core->cfg.max_rdma_size = 2 * MTU - 1;
}
static void two_sges(Pair *p, EfaIoTxWqe *w) { w->meta.length = 2; }
static void bad_lkey(Pair *p, EfaIoTxWqe *w) { w->rdma.local.lkey ^= 0x100; }
static void local_end(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.local.buf_addr_lo += BUF_SIZE - 2 * MTU + 1;
}
static void local_read_only(Pair *p, EfaIoTxWqe *w)
{
    w->rdma.local.lkey = p->a->tx.key;
    w->rdma.local.buf_addr_lo = p->a->tx.iova;
    w->rdma.local.buf_addr_hi = p->a->tx.iova >> 32;
}
static void inlined(Pair *p, EfaIoTxWqe *w)
{
    w->meta.ctrl1 |= R_TX_CTRL1_INLINE_MSG_MASK;
}
static void with_imm(Pair *p, EfaIoTxWqe *w) { wqe_imm(w, 1); }

static const struct {
    const char *name;
    Spoil spoil;
    uint8_t write, read;        /* status, of either operation */
} rows[] = {
    { "as it is", ok_plain, 0, 0 }, { "no length", ok_none, 0, 0 },
    { "up to the end", ok_end, 0, 0 },
    { "no such rkey", bad_rkey, 7, 7 }, { "stale rkey", bad_gen, 7, 7 },
    { "beyond the end", bad_end, 7, 7 }, { "before", bad_start, 7, 7 },
    { "around the end of addresses", bad_wrap, 7, 7 },
    { "without permission", no_perm, 7, 7 },
    { "foreign PD", foreign_pd, 7, 7 },
    { "unknown requester", unknown, 14, 14 },
    { "no such QP", bad_qpn, 9, 9 }, { "wrong Q_Key", bad_qkey, 9, 9 },
    { "UD QP there", ud_dest, 18, 18 },
    { "lengths differ", lengths, 6, 6 }, { "too long", too_long, 6, 6 },
    { "two buffers", two_sges, 2, 2 }, { "no such lkey", bad_lkey, 5, 5 },
    { "beyond the local end", local_end, 5, 5 },
    { "local buffer read-only", local_read_only, 0, 5 },
    { "inline", inlined, 2, 3 }, { "read with immediate", with_imm, 10, 3 },
};

static void refuse(unsigned i, uint8_t op, uint8_t want)
{
    Pair p = pair_new();
    EfaIoTxWqe wqe = rdma(&p, op, i, 2 * MTU);
    uint8_t status;

    g_assert_cmpuint(qp_modify(p.a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0,
                               0), ==, 0);
    rows[i].spoil(&p, &wqe);
    post(&p, wqe);
    status = finish(&p, i);
    if (status != want) {
        g_error("%s %s: status %u, not %u", op == EFA_IO_RDMA_READ ? "read"
                : "write", rows[i].name, status, want);
    }
    if (want == 7) {
        /* no part of what is not allowed as a whole */
        g_assert_cmphex(p.remote.p[0], ==, 0x55);
        g_assert_cmphex(p.remote.p[BUF_SIZE - 1], ==, 0x55);
    }
    if (want) {
        g_assert_cmpuint(op == EFA_IO_RDMA_READ ? read_stat(p.a->h, 2)
                                                : write_stat(p.a->h, 2),
                         ==, 1);
    }
    g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
    /* nobody else has suffered */
    rdma(&p, op, 0, 1);
    p.a->h->core->cfg.max_rdma_size = 1 << 30;
    post(&p, rdma(&p, op, 77, 3 * MTU));
    g_assert_cmpuint(finish(&p, 77), ==, 0);
    pair_free(&p);
}

static void test_refusals(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        refuse(i, EFA_IO_RDMA_WRITE, rows[i].write);
        refuse(i, EFA_IO_RDMA_READ, rows[i].read);
    }
}

/* 3 from one's own device, 18 from another's. */
static void test_generations(void)
{
    static const struct {
        uint8_t a, b, write, read;
    } gens[] = {
        { 0, 2, 3, 3 }, { 1, 2, 3, 0 }, { 2, 2, 0, 0 }, { 3, 3, 0, 0 },
        { 2, 0, 18, 18 }, { 2, 1, 18, 7 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(gens); i++) {
        Pair p = pair_new_gen(gens[i].a, gens[i].b);

        post(&p, rdma(&p, EFA_IO_RDMA_WRITE, 1, 100));
        g_assert_cmpuint(finish(&p, 1), ==, gens[i].write);
        post(&p, rdma(&p, EFA_IO_RDMA_READ, 2, 100));
        g_assert_cmpuint(finish(&p, 2), ==, gens[i].read);
        pair_free(&p);
    }
}

/* A UD QP has no RDMA. */
static void test_ud(void)
{
    Pair p = pair_new();
    End *ud = end_new(p.a->h, EFA_QP_TYPE_UD);
    uint16_t ah = create_ah_ok(p.a->h, ud->pd, test_gid(2));
    uint8_t op;

    for (op = EFA_IO_RDMA_READ; op <= EFA_IO_RDMA_WRITE; op++) {
        EfaIoTxWqe wqe = wqe_rdma(op, 1, ah, p.b->qp->num, &ud->rx, &p.remote,
                                  8);

        sq_post(ud->qp, &wqe);
        g_assert_cmpuint(cq_next(ud->scq).status, ==, 3);
    }
    pair_free(&p);
}

/* ---- regions and queues that go away under way ---- */

static void half_way(Pair *p, uint8_t op)
{
    wire_auto(p->w, false);
    post(p, rdma(p, op, 1, 200 * MTU));
    wire_deliver(p->w, wire_take(p->w, 0));
}

static void test_dereg(void)
{
    static const uint8_t ops[] = { EFA_IO_RDMA_WRITE, EFA_IO_RDMA_READ };
    unsigned i;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new();

        half_way(&p, ops[i]);
        g_assert_cmpuint(dereg(p.b->h, p.remote.key), ==, 0);
        wire_auto(p.w, true);
        g_assert_cmpuint(finish(&p, 1), ==, 7);
        assert_cq_empty(p.a->scq);
        pair_free(&p);

        p = pair_new();
        half_way(&p, ops[i]);
        g_assert_cmpuint(dereg(p.a->h, p.local.key), ==, 0);
        wire_auto(p.w, true);
        g_assert_cmpuint(finish(&p, 1), ==, 5);
        assert_cq_empty(p.a->scq);
        pair_free(&p);
    }
}

/* ERR completes it once; a destroyed QP not at all; others go on. */
static void test_flush(void)
{
    static const uint8_t ops[] = { EFA_IO_RDMA_WRITE, EFA_IO_RDMA_READ };
    unsigned i, how;

    for (i = 0; i < 4; i++) {
        Pair p = pair_new();
        Qp *other = create_qp_ok(p.a->h, p.a->pd, p.a->uar, EFA_QP_TYPE_SRD,
                                 p.a->rcq, p.a->rcq, 4, 0);
        EfaIoTxWqe wqe;

        how = i / 2;
        qp_to_rts(other);
        half_way(&p, ops[i % 2]);
        if (how) {
            g_assert_cmpuint(qp_destroy(p.a->qp), ==, 0);
        } else {
            g_assert_cmpuint(qp_to(p.a->qp, EFA_QP_STATE_ERR), ==, 0);
            g_assert_cmpuint(finish(&p, 1), ==, 1);
        }
        wire_auto(p.w, true);
        advance(1000 * MS);
        assert_cq_empty(p.a->scq);
        wqe = rdma(&p, EFA_IO_RDMA_WRITE, 8, 100 * MTU);
        sq_post(other, &wqe);
        g_assert_cmpuint(cq_next(p.a->rcq).status, ==, 0);
        check_copied(&p, 100 * MTU);
        pair_free(&p);
    }
}

/* ---- reads under pressure ---- */

/* No room for the answers: kept, in bounds, and sent when there is. */
static void test_read_room(void)
{
    Pair p = pair_new();

    memcpy(p.remote.p, p.local.p, BUF_SIZE);
    memset(p.local.p, 0, BUF_SIZE);
    wire_auto(p.w, false);
    post(&p, rdma(&p, EFA_IO_RDMA_READ, 1, 100 * MTU));
    wire_room(p.w, 0);
    while (wire_count(p.w)) {
        WirePkt *ask = wire_take(p.w, 0);

        /* each asked for twice */
        wire_deliver(p.w, wire_dup(ask));
        wire_deliver(p.w, ask);
    }
    wire_auto(p.w, true);
    wire_room(p.w, -1);
    g_assert_cmpuint(finish(&p, 1), ==, 0);
    g_assert_cmpmem(p.local.p, 100 * MTU, p.remote.p, 100 * MTU);
    pair_free(&p);
}

/* One that is asked for without end, with no room: no more than a window. */
static void test_read_bound(void)
{
    Pair p = pair_new();
    EfaPeer *peer;
    WirePkt *ask;
    unsigned i;

    wire_auto(p.w, false);
    post(&p, rdma(&p, EFA_IO_RDMA_READ, 1, 10));
    ask = wire_take(p.w, 0);
    wire_room(p.w, 0);
    for (i = 0; i < 3 * EFA_SRD_WINDOW; i++) {
        wire_deliver(p.w, wire_dup(ask));
    }
    peer = efa_peer_get(p.b->h->core, &p.a->h->cfg.gid);
    g_assert_cmpuint(peer->reads.length, ==, EFA_SRD_WINDOW);
    g_free(ask);
    wire_auto(p.w, true);
    wire_room(p.w, -1);
    g_assert_cmpuint(finish(&p, 1), ==, 0);
    g_assert_cmpuint(peer->reads.length, ==, 0);
    pair_free(&p);
}

/* What was asked for again and is answered by now is not read any more. */
static void test_read_over(void)
{
    Pair p = pair_new();
    WirePkt *ask;
    uint64_t bytes;

    wire_auto(p.w, false);
    post(&p, rdma(&p, EFA_IO_RDMA_READ, 1, 10));
    ask = wire_take(p.w, 0);
    wire_deliver(p.w, wire_dup(ask));
    wire_room(p.w, 0);
    wire_deliver(p.w, ask);
    wire_deliver(p.w, wire_take(p.w, 0));
    g_assert_cmpuint(finish(&p, 1), ==, 0);
    wire_room(p.w, 1);
    post(&p, rdma(&p, EFA_IO_RDMA_WRITE, 2, 10));
    wire_deliver(p.w, wire_take(p.w, 0));
    bytes = read_stat(p.b->h, 3);
    g_assert_cmpuint(bytes, ==, 10);
    wire_auto(p.w, true);
    wire_room(p.w, -1);
    g_assert_cmpuint(finish(&p, 2), ==, 0);
    g_assert_cmpuint(read_stat(p.b->h, 3), ==, 10);
    pair_free(&p);
}

/* A responder that lies ends the request, and only that. */
static void test_read_lies(void)
{
    static const uint8_t lies[] = { 0, 10, 1, 200 };
    EfaGid ghost = test_gid(9);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(lies) + 2; i++) {
        Pair p = pair_new();
        uint16_t ah = create_ah_ok(p.a->h, p.a->pd, ghost);
        EfaIoTxWqe wqe = rdma(&p, EFA_IO_RDMA_READ, 5, 10);
        WirePkt *req, *answer;

        wire_ghost(p.w, ghost);
        wqe.meta.ah = ah;
        post(&p, wqe);
        req = wire_take(p.w, 0);
        g_assert_cmpuint(req->hdr.payload_len, ==, sizeof(EfaPktRdma));
        if (i < G_N_ELEMENTS(lies)) {
            answer = ghost_ack(req, 1000, lies[i]);
        } else {
            answer = ghost_pkt(ghost, test_gid(1), EFA_PKT_READ_RESP, 1000);
            answer->hdr.dst_epoch = req->hdr.src_epoch;
            answer->hdr.ctx = req->hdr.ctx;
            answer->hdr.psn = req->hdr.psn;
            pkt_payload(answer, "0123456789a", i % 2 ? 9 : 11);
        }
        wire_deliver(p.w, answer);
        g_assert_cmpuint(finish(&p, 5), ==, 12);
        g_free(req);
        pair_free(&p);
    }
}

/* RDMA headers that make no sense are dropped. */
static void test_malformed(void)
{
    static const struct {
        uint32_t length, offset, seg;
        uint32_t payload;
    } bad[] = {
        { 100, 101, 0, 0 }, { 100, 0, 101, 101 }, { 100, 50, 51, 51 },
        { 100, UINT32_MAX, 2, 2 }, { 100, 0, 100, 99 }, { 100, 0, 0, 1 },
        { UINT32_MAX, 0, EFA_MAX_MTU + 1, 0 },
    };
    unsigned i, op;

    for (i = 0; i < G_N_ELEMENTS(bad) + 1; i++) {
        for (op = EFA_IO_RDMA_READ; op <= EFA_IO_RDMA_WRITE; op++) {
            Pair p = pair_new();
            EfaGid ghost = test_gid(9);
            WirePkt *req = ghost_pkt(ghost, test_gid(2), EFA_PKT_DATA, 1000);
            uint8_t body[sizeof(EfaPktRdma) + 200] = { };
            EfaPktRdma *ext = (EfaPktRdma *)body;

            wire_ghost(p.w, ghost);
            create_ah_ok(p.b->h, p.b->pd, ghost);
            wire_raise(p.w, test_gid(2), ghost);
            req->hdr.opcode = op;
            req->hdr.dst_qpn = p.b->qp->num;
            ext->rkey = p.remote.key;
            ext->addr = p.remote.iova;
            if (i < G_N_ELEMENTS(bad)) {
                ext->length = bad[i].length;
                ext->offset = bad[i].offset;
                ext->seg_length = bad[i].seg;
                pkt_payload(req, body, sizeof(*ext) + bad[i].payload);
            } else {
                pkt_payload(req, body, sizeof(*ext) - 1);
            }
            wire_deliver(p.w, req);
            g_assert_cmpuint(wire_count(p.w), ==, 0);
            g_assert_cmphex(p.remote.p[0], ==, 0x55);
            g_assert_cmpuint(p.b->h->core->stats.bad_packets, ==, 1);
            pair_free(&p);
        }
    }
}

/* ---- a bad network ---- */

/* Everything may be lost, doubled and overtaken; all ends well, once. */
static void test_storm(void)
{
    static const uint8_t ops[] = {
        EFA_IO_RDMA_WRITE, EFA_IO_RDMA_READ, EFA_IO_RDMA_WRITE,
    };
    unsigned seed, i, rounds;

    for (seed = 0; seed < 30; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Pair p = pair_new();
        EfaIoTxWqe wqe = rdma(&p, ops[seed % 3], seed, 150 * MTU + seed);
        EfaIoCdesc e;

        if (seed % 3 == 2) {
            wqe_imm(&wqe, seed);
            rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
        }
        if (seed % 3 == 1) {
            memcpy(p.remote.p, p.local.p, 150 * MTU + seed);
            memset(p.local.p, 0, BUF_SIZE);
        }
        wire_auto(p.w, false);
        post(&p, wqe);
        for (rounds = 0; !cq_poll(p.a->scq, &e); rounds++) {
            unsigned n = MIN(wire_count(p.w), 40);

            g_assert_cmpuint(rounds, <, 20000);
            for (i = 0; i < n && wire_count(p.w); i++) {
                WirePkt *pkt = wire_take(p.w, g_rand_int_range(
                    rand, 0, MIN(wire_count(p.w), 8)));

                if (g_rand_int_range(rand, 0, 10) == 0) {
                    wire_deliver(p.w, wire_dup(pkt));
                }
                if (g_rand_int_range(rand, 0, 10) == 0) {
                    g_free(pkt);
                } else {
                    wire_deliver(p.w, pkt);
                }
            }
            advance(MS);
        }
        g_assert_cmpuint(e.status, ==, 0);
        check_copied(&p, 150 * MTU + seed);
        if (seed % 3 == 2) {
            g_assert_cmphex(cq_next(p.b->rcq).imm, ==, seed);
        }
        wire_auto(p.w, true);
        advance(1000 * MS);
        assert_cq_empty(p.a->scq);
        assert_cq_empty(p.b->rcq);
        check_copied(&p, 150 * MTU + seed);
        pair_free(&p);
    }
}

/* To oneself: the same way. */
static void test_loopback(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(1));
    Buf from = reg_buf(h, e->pd, BUF_SIZE, PERM_LOCAL_WRITE);
    Buf to = reg_buf(h, e->pd, BUF_SIZE,
                     PERM_LOCAL_WRITE | PERM_REMOTE_WRITE);
    EfaIoTxWqe wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1, ah, e->qp->num, &from,
                              &to, BUF_SIZE);

    memset(from.p, 0x77, BUF_SIZE);
    sq_post(e->qp, &wqe);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    g_assert_cmpmem(from.p, BUF_SIZE, to.p, BUF_SIZE);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rdma/write", test_write);
    g_test_add_func("/rdma/read", test_read);
    g_test_add_func("/rdma/write-imm", test_write_imm);
    g_test_add_func("/rdma/imm-is-last", test_imm_is_last);
    g_test_add_func("/rdma/imm-rnr", test_imm_rnr);
    g_test_add_func("/rdma/refusals", test_refusals);
    g_test_add_func("/rdma/generations", test_generations);
    g_test_add_func("/rdma/ud", test_ud);
    g_test_add_func("/rdma/dereg", test_dereg);
    g_test_add_func("/rdma/flush", test_flush);
    g_test_add_func("/rdma/read-room", test_read_room);
    g_test_add_func("/rdma/read-bound", test_read_bound);
    g_test_add_func("/rdma/read-over", test_read_over);
    g_test_add_func("/rdma/read-lies", test_read_lies);
    g_test_add_func("/rdma/malformed", test_malformed);
    g_test_add_func("/rdma/storm", test_storm);
    g_test_add_func("/rdma/loopback", test_loopback);
    return g_test_run();
}
