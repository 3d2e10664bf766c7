/*
 * Unit tests: the SRD transport as seen by a peer that sends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-srd.h"

#define MS      EFA_NSEC_PER_MSEC
#define EPOCH   1000

typedef struct Lone {
    Wire *w;
    End *e;
    EfaGid peer;
    uint32_t psn, una, ctx;
    uint64_t epoch;
    uint64_t dev_epoch;
} Lone;

/* The link comes up with the first message of the device. */
static Lone lone_new(EfaQpType type)
{
    Lone l = { .w = wire_new(), .peer = test_gid(2), .epoch = EPOCH,
               .ctx = 1 };
    EfaIoTxWqe wqe;
    WirePkt *p;
    End *first;

    wire_ghost(l.w, l.peer);
    l.e = end_new(host_new_on(1, l.w), type);
    first = end_new(l.e->h, EFA_QP_TYPE_SRD);
    wqe = wqe_send(1, create_ah_ok(first->h, first->pd, l.peer), 1);
    sq_post(first->qp, &wqe);
    settle();
    p = wire_take(l.w, 0);
    l.dev_epoch = p->hdr.src_epoch;
    wire_deliver(l.w, ghost_ack(p, EPOCH, 0));
    g_assert_cmpuint(cq_next(first->scq).status, ==, 0);
    g_free(p);
    return l;
}

static void lone_free(Lone *l)
{
    hosts_free();
    wire_free(l->w);
}

/* A request of the ghost, with the number after the last. */
static WirePkt *request(Lone *l, const void *data, size_t len)
{
    WirePkt *p = ghost_pkt(l->peer, test_gid(1), EFA_PKT_DATA, l->epoch);

    p->hdr.ctx = l->ctx;
    p->hdr.psn = l->psn++;
    p->hdr.una = l->una;
    p->hdr.dst_qpn = l->e->qp->num;
    p->hdr.src_qpn = 0x4242;
    pkt_payload(p, data, len);
    return p;
}

/* Deliver; the status of the only answer, -1 if there is none. */
static int ask(Lone *l, WirePkt *req)
{
    uint32_t psn = req->hdr.psn, ctx = req->hdr.ctx;
    uint64_t epoch = req->hdr.src_epoch;
    WirePkt *p;
    int status;

    wire_deliver(l->w, req);
    if (!wire_count(l->w)) {
        return -1;
    }
    g_assert_cmpuint(wire_count(l->w), ==, 1);
    p = wire_take(l->w, 0);
    g_assert_cmpuint(p->hdr.dst_epoch, ==, epoch);
    g_assert_cmpuint(p->hdr.src_epoch, ==, l->dev_epoch);
    g_assert_cmpuint(p->hdr.ctx, ==, ctx);
    status = ack_status(p, psn);
    g_assert_cmpint(status, >=, 0);
    g_free(p);
    return status;
}

static void post(Lone *l, uint16_t req, uint16_t len)
{
    rq_post(l->e->qp, req, &l->e->rx, 0, len);
}

static void test_deliver(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    WirePkt *p = request(&l, "hello", 5);
    EfaIoCdesc e;

    post(&l, 0x0802, 100);
    p->hdr.flags = 1;
    p->hdr.imm = 0xdeadbeef;
    memset(l.e->rx.p, 0x55, 100);
    g_assert_cmpint(ask(&l, p), ==, 0);
    e = cq_next(l.e->rcq);
    g_assert_cmphex(e.req_id, ==, 0x0802);
    g_assert_cmpuint(e.length, ==, 5);
    g_assert_cmphex(e.flags, ==, 1 | 2 << 1 | 1 << 3);
    g_assert_cmphex(e.imm, ==, 0xdeadbeef);
    g_assert_cmphex(e.ah, ==, EFA_IO_NO_AH);    /* none in this PD */
    g_assert_cmphex(e.src_qp_num, ==, 0x4242);
    g_assert_cmphex(e.qp_num, ==, l.e->qp->num);
    g_assert_cmpmem(e.src_addr, 16, l.peer.raw, 16);
    g_assert_cmpmem(l.e->rx.p, 6, "hello\x55", 6);
    lone_free(&l);
}

/* At most once: a copy gets the first answer and touches nothing. */
static void test_duplicates(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    WirePkt *p = request(&l, "first", 5), *p2, *p3;
    unsigned i;

    post(&l, 1, 100);
    post(&l, 2, 4);
    g_assert_cmpint(ask(&l, wire_dup(p)), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).req_id, ==, 1);
    memset(l.e->rx.p, 0, 100);
    p2 = request(&l, "too long", 8);
    g_assert_cmpint(ask(&l, wire_dup(p2)), ==, 11);
    p3 = request(&l, "abc", 3);
    p3->hdr.qkey++;
    g_assert_cmpint(ask(&l, wire_dup(p3)), ==, 9);
    p3->hdr.qkey--;
    for (i = 0; i < 3; i++) {
        post(&l, 3 + i, 100);
        g_assert_cmpint(ask(&l, wire_dup(p)), ==, 0);
        g_assert_cmpint(ask(&l, wire_dup(p2)), ==, 11);
        /* also if it would succeed now */
        g_assert_cmpint(ask(&l, wire_dup(p3)), ==, 9);
    }
    assert_cq_empty(l.e->rcq);
    g_assert_cmpuint(l.e->rx.p[0], ==, 0);
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                              ST_QKEY_VIOL), ==, 1);
    /* what is before una is forgotten: silence, no second execution */
    l.una = l.psn;
    g_assert_cmpint(ask(&l, request(&l, "x", 1)), ==, 0);
    g_assert_cmpint(ask(&l, p), ==, -1);
    g_assert_cmpint(ask(&l, p2), ==, -1);
    g_free(p3);
    g_assert_cmpuint(cq_next(l.e->rcq).length, ==, 1);
    assert_cq_empty(l.e->rcq);
    lone_free(&l);
}

static void test_rnr(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    WirePkt *p = request(&l, "late", 4), *p1;

    g_assert_cmpint(ask(&l, wire_dup(p)), ==, 10);
    post(&l, 1, 100);
    /* the refused PSN stays refused: its answer may be on the way */
    g_assert_cmpint(ask(&l, wire_dup(p)), ==, 10);
    assert_cq_empty(l.e->rcq);
    p1 = request(&l, "late", 4);
    g_assert_cmpint(ask(&l, wire_dup(p1)), ==, 0);
    g_assert_cmpint(ask(&l, p1), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).req_id, ==, 1);
    assert_cq_empty(l.e->rcq);

    /* a leftover of the first try gets nothing new */
    g_assert_cmpint(ask(&l, p), ==, 10);
    assert_cq_empty(l.e->rcq);
    /* a refused message does not hold up the next */
    p = request(&l, "a", 1);
    g_assert_cmpint(ask(&l, p), ==, 10);
    post(&l, 2, 100);
    g_assert_cmpint(ask(&l, request(&l, "b", 1)), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).req_id, ==, 2);
    lone_free(&l);
}

static void test_reorder(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    WirePkt *p[EFA_SRD_WINDOW + 1];
    Qp *qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD,
                          l.e->scq,
                          create_cq_ok(l.e->h, l.e->uar,
                                       &(CqOpts) { .depth = 2048 }),
                          0, 1024);
    unsigned i, seen = 0;
    EfaIoCdesc e;

    qp_to_rts(qp);
    l.e->qp = qp;
    for (i = 0; i <= EFA_SRD_WINDOW; i++) {
        p[i] = request(&l, &i, sizeof(i));
        rq_put(qp, i, &l.e->rx, i * 4, 4, true, true);
    }
    rq_ring(qp);
    /* one beyond the window is not for now */
    g_assert_cmpint(ask(&l, wire_dup(p[EFA_SRD_WINDOW])), ==, -1);
    for (i = EFA_SRD_WINDOW; i-- > 0; ) {
        g_assert_cmpint(ask(&l, wire_dup(p[i])), ==, 0);
    }
    while (cq_poll(qp->rcq, &e)) {
        uint32_t value;

        memcpy(&value, l.e->rx.p + e.req_id * 4, 4);
        g_assert_cmpuint(value, ==, EFA_SRD_WINDOW - 1 - seen);
        seen++;
    }
    g_assert_cmpuint(seen, ==, EFA_SRD_WINDOW);
    p[EFA_SRD_WINDOW]->hdr.una = 1;
    g_assert_cmpint(ask(&l, wire_dup(p[EFA_SRD_WINDOW])), ==, 0);
    for (i = 0; i <= EFA_SRD_WINDOW; i++) {
        g_free(p[i]);
    }
    lone_free(&l);
}

/* Numbers wrap; white box: nobody sends 2^32 messages in a test. */
static void test_psn_wrap(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    unsigned i;

    l.psn = l.una = 0xfffffff0;
    for (i = 0; i < 64; i++) {
        post(&l, i, 64);
        g_assert_cmpint(ask(&l, request(&l, &i, 4)), ==, 0);
        l.una = l.psn - i % 8;
        g_assert_cmpuint(cq_next(l.e->rcq).req_id, ==, i);
    }
    /* nothing before una; una itself is not taken back */
    l.psn = l.una - 1;
    post(&l, 99, 64);
    g_assert_cmpint(ask(&l, request(&l, "x", 1)), ==, -1);
    l.psn = l.una - 1;
    l.una = l.psn;
    g_assert_cmpint(ask(&l, request(&l, "x", 1)), ==, -1);
    assert_cq_empty(l.e->rcq);
    lone_free(&l);
}

/* The window moves by more than its size: what is new is not taken for old. */
static void test_una_jump(void)
{
    static const uint32_t jumps[] = {
        EFA_SRD_WINDOW - 1, EFA_SRD_WINDOW, EFA_SRD_WINDOW + 1,
        100 * EFA_SRD_WINDOW + 3, 0x7fffffff,
    };
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    unsigned i, j;

    for (i = 0; i < G_N_ELEMENTS(jumps); i++) {
        uint32_t base = l.psn;

        for (j = 0; j < 20; j++) {
            post(&l, j, 64);
            g_assert_cmpint(ask(&l, request(&l, &j, 4)), ==, 0);
            g_assert_cmpuint(cq_next(l.e->rcq).req_id, ==, j);
        }
        l.psn = l.una = base + jumps[i];
    }
    lone_free(&l);
}

static void test_requester_psn_wrap(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = wqe_send(0, create_ah_ok(l.e->h, l.e->pd, l.peer), 5);
    EfaPeer *peer = efa_peer_get(l.e->h->core, &l.peer);
    WirePkt *p[64];
    unsigned i;

    peer->tx_una = peer->tx_next = 0xfffffff0;
    for (i = 0; i < 64; i++) {
        wqe.meta.req_id = i;
        sq_put(l.e->qp, &wqe);
    }
    sq_ring(l.e->qp);
    settle();
    for (i = 0; i < 64; i++) {
        p[i] = wire_take(l.w, 0);
        g_assert_cmpuint(p[i]->hdr.psn, ==, 0xfffffff0 + i);
    }
    for (i = 64; i-- > 0; ) {
        wire_deliver(l.w, ghost_ack(p[i], EPOCH, 0));
        g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, i);
        g_free(p[i]);
    }
    lone_free(&l);
}

/* Lives and contexts: a later one begins anew, an earlier one is dead. */
static void test_contexts(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    WirePkt *p, *reset;
    unsigned i;

    for (i = 0; i < 16; i++) {
        post(&l, i, 64);
    }
    l.ctx = 5;
    l.psn = l.una = 100;
    g_assert_cmpint(ask(&l, request(&l, "a", 1)), ==, 0);
    l.ctx = 4;
    g_assert_cmpint(ask(&l, request(&l, "b", 1)), ==, -1);
    l.ctx = 6;
    l.psn = l.una = 0;
    g_assert_cmpint(ask(&l, request(&l, "c", 1)), ==, 0);
    l.epoch = EPOCH - 1;
    g_assert_cmpint(ask(&l, request(&l, "d", 1)), ==, -1);
    l.epoch = EPOCH + 1;
    l.ctx = 1;
    l.psn = l.una = 0;
    g_assert_cmpint(ask(&l, request(&l, "e", 1)), ==, 0);
    /* the right addressee, then a life of ours that is over */
    p = request(&l, "f", 1);
    p->hdr.dst_epoch = l.dev_epoch;
    g_assert_cmpint(ask(&l, p), ==, 0);
    p = request(&l, "g", 1);
    p->hdr.dst_epoch = l.dev_epoch - 1;
    wire_deliver(l.w, p);
    g_assert_cmpuint(wire_count(l.w), ==, 1);
    reset = wire_take(l.w, 0);
    g_assert_cmpuint(reset->hdr.type, ==, EFA_PKT_RESET);
    g_assert_cmpuint(reset->hdr.payload_len, ==, 0);
    g_assert_cmpuint(reset->hdr.ctx, ==, 1);
    g_assert_cmpuint(reset->hdr.dst_epoch, ==, EPOCH + 1);
    g_assert_cmpuint(reset->hdr.src_epoch, ==, l.dev_epoch);
    g_free(reset);
    for (i = 0; i < 4; i++) {
        cq_next(l.e->rcq);
    }
    assert_cq_empty(l.e->rcq);
    lone_free(&l);
}

/* 13.4 */
static void test_refusals(void)
{
    static const struct {
        const char *name;
        EfaQpState state;
        uint8_t opcode;
        bool wrong_qpn, wrong_gen, wrong_qkey;
        int16_t status;
    } rows[] = {
        { "RTS", EFA_QP_STATE_RTS, .status = 0 },
        { "RTR", EFA_QP_STATE_RTR, .status = 0 },
        { "SQD", EFA_QP_STATE_SQD, .status = 0 },
        { "INIT", EFA_QP_STATE_INIT, .status = 9 },
        { "RESET", EFA_QP_STATE_RESET, .status = 9 },
        { "ERR", EFA_QP_STATE_ERR, .status = 9 },
        { "no such QP", EFA_QP_STATE_RTS, .wrong_qpn = true, .status = 9 },
        { "generation", EFA_QP_STATE_RTS, .wrong_gen = true, .status = 9 },
        { "Q_Key", EFA_QP_STATE_RTS, .wrong_qkey = true, .status = 9 },
        { "fast reg", EFA_QP_STATE_RTS, EFA_IO_FAST_REG, .status = 18 },
        { "opcode 255", EFA_QP_STATE_RTS, 255, .status = 18 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Lone l = lone_new(EFA_QP_TYPE_SRD);
        WirePkt *p = request(&l, "abc", 3);
        EfaIoCdesc e;
        int status;

        post(&l, 1, 64);
        switch (rows[i].state) {
        case EFA_QP_STATE_RTR:
        case EFA_QP_STATE_INIT:
            g_assert_cmpuint(qp_to(l.e->qp, EFA_QP_STATE_RESET), ==, 0);
            g_assert_cmpuint(qp_to(l.e->qp, EFA_QP_STATE_INIT), ==, 0);
            post(&l, 1, 64);
            if (rows[i].state == EFA_QP_STATE_RTR) {
                g_assert_cmpuint(qp_to(l.e->qp, EFA_QP_STATE_RTR), ==, 0);
            }
            break;
        case EFA_QP_STATE_RTS:
            break;
        default:
            g_assert_cmpuint(qp_to(l.e->qp, rows[i].state), ==, 0);
            while (cq_poll(l.e->rcq, &e)) {
                g_assert_cmpuint(e.status, ==, 1);
            }
            break;
        }
        p->hdr.opcode = rows[i].opcode;
        p->hdr.dst_qpn += rows[i].wrong_qpn * 100;
        p->hdr.dst_qpn += rows[i].wrong_gen << 8;
        p->hdr.qkey += rows[i].wrong_qkey;
        status = ask(&l, p);
        if (status != rows[i].status ||
            cq_poll(l.e->rcq, &e) != (rows[i].status == 0)) {
            g_error("%s: answered with %d", rows[i].name, status);
        }
        lone_free(&l);
    }
}

/* A UD QP is no SRD QP, and the other way round. */
static void test_type_mismatch(void)
{
    Lone l = lone_new(EFA_QP_TYPE_UD);
    WirePkt *p;

    post(&l, 1, 100);
    g_assert_cmpint(ask(&l, request(&l, "abc", 3)), ==, 18);
    /* nor is there RDMA by datagram */
    p = request(&l, "abc", 3);
    p->hdr.type = EFA_PKT_UD;
    p->hdr.opcode = EFA_IO_RDMA_WRITE;
    g_assert_cmpint(ask(&l, p), ==, -1);
    assert_cq_empty(l.e->rcq);
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                              ST_RX_DROPS), ==, 1);
    lone_free(&l);

    l = lone_new(EFA_QP_TYPE_SRD);
    post(&l, 1, 100);
    p = request(&l, "abc", 3);
    p->hdr.type = EFA_PKT_UD;
    g_assert_cmpint(ask(&l, p), ==, -1);
    assert_cq_empty(l.e->rcq);
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                              ST_RX_DROPS), ==, 1);
    lone_free(&l);
}

typedef void (*Spoil)(WirePkt *p);

static void bad_version(WirePkt *p) { p->hdr.version++; }
static void bad_type_0(WirePkt *p) { p->hdr.type = 0; }
static void bad_type_255(WirePkt *p) { p->hdr.type = 255; }
static void bad_short(WirePkt *p) { p->len = sizeof(EfaPktHdr) - 1; }
static void bad_empty(WirePkt *p) { p->len = 0; }
static void bad_len_more(WirePkt *p) { p->hdr.payload_len++; }
static void bad_len_less(WirePkt *p) { p->hdr.payload_len--; }
static void bad_len_huge(WirePkt *p) { p->hdr.payload_len = UINT32_MAX; }
static void bad_src_gid(WirePkt *p) { p->hdr.src_gid[15]++; }
static void bad_dst_gid(WirePkt *p) { p->hdr.dst_gid[15]++; }

static void test_malformed(void)
{
    static const struct {
        const char *name;
        Spoil spoil;
    } rows[] = {
        { "version", bad_version }, { "type 0", bad_type_0 },
        { "type 255", bad_type_255 }, { "truncated", bad_short },
        { "no bytes", bad_empty }, { "shorter than it says", bad_len_more },
        { "longer than it says", bad_len_less }, { "huge", bad_len_huge },
        { "foreign sender", bad_src_gid }, { "foreign receiver", bad_dst_gid },
    };
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    unsigned i;

    post(&l, 1, 64);
    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        WirePkt *p = request(&l, "abc", 3);
        EfaIoCdesc e;

        l.psn--;
        rows[i].spoil(p);
        wire_deliver(l.w, p);
        if (wire_count(l.w) || cq_poll(l.e->rcq, &e)) {
            g_error("taken in spite of: %s", rows[i].name);
        }
    }
    g_assert_cmpint(ask(&l, request(&l, "abc", 3)), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).length, ==, 3);
    lone_free(&l);
}

/* More bytes than any device sends are no packet; never more than was posted. */
static void test_oversized(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    g_autofree uint8_t *big = g_malloc(16000);

    memset(big, 0xee, 16000);
    memset(l.e->rx.p, 0, 65536);
    post(&l, 1, 8927);
    g_assert_cmpint(ask(&l, request(&l, big, 16000)), ==, -1);
    g_assert_cmpint(ask(&l, request(&l, big, 8929)), ==, -1);
    g_assert_cmpint(ask(&l, request(&l, big, 8928)), ==, 11);
    g_assert_cmpuint(l.e->rx.p[0], ==, 0);
    g_assert_cmpint(ask(&l, request(&l, big, 8927)), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).length, ==, 8927);
    g_assert_cmpuint(l.e->rx.p[8926], ==, 0xee);
    g_assert_cmpuint(l.e->rx.p[8927], ==, 0);
    post(&l, 2, 8928);
    g_assert_cmpint(ask(&l, request(&l, big, 8928)), ==, 0);
    g_assert_cmpuint(l.e->rx.p[8927], ==, 0xee);
    g_assert_cmpuint(l.e->rx.p[8928], ==, 0);
    lone_free(&l);
}

/* The answers to @psn and those behind it on the wire: how many. */
static unsigned count_acks(Lone *l, uint32_t ctx, uint32_t psn, int status)
{
    unsigned seen = 0;

    while (wire_count(l->w)) {
        WirePkt *p = wire_take(l->w, 0);

        g_assert_cmpuint(p->hdr.ctx, ==, ctx);
        while (ack_status(p, psn + seen) == status) {
            seen++;
        }
        g_free(p);
    }
    return seen;
}

/* Answers are collected; what finds no room comes later, or on demand. */
static void test_ack_room(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    Qp *qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD,
                          l.e->scq, l.e->rcq, 0, 256);
    WirePkt *p;
    unsigned i;

    qp_to_rts(qp);
    l.e->qp = qp;
    for (i = 0; i < 110; i++) {
        post(&l, i, 64);
    }
    /* successes all fit the bitmap */
    wire_room(l.w, 0);
    for (i = 0; i < 100; i++) {
        wire_deliver(l.w, request(&l, "x", 1));
    }
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    wire_room(l.w, -1);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, 1);
    g_assert_cmpuint(count_acks(&l, 1, 0, 0), ==, 100);

    /* of refusals only so many are remembered: asked again, answered */
    wire_room(l.w, 0);
    for (i = 0; i < 100; i++) {
        p = request(&l, "x", 1);
        p->hdr.dst_qpn++;
        wire_deliver(l.w, p);
    }
    wire_room(l.w, -1);
    settle();
    g_assert_cmpuint(count_acks(&l, 1, 100, 9), ==, EFA_PKT_MAX_ACKS);
    l.psn = 100 + EFA_PKT_MAX_ACKS;
    g_assert_cmpint(ask(&l, request(&l, "x", 1)), ==, 9);

    /* answers to an old context are not sent as ones to the new */
    l.psn = 200;
    wire_room(l.w, 0);
    wire_deliver(l.w, request(&l, "x", 1));
    l.ctx = 2;
    l.psn = l.una = 5;
    wire_deliver(l.w, request(&l, "x", 1));
    wire_room(l.w, -1);
    settle();
    g_assert_cmpuint(count_acks(&l, 2, 5, 0), ==, 1);

    /* nor over a link that was lost meanwhile */
    wire_room(l.w, 0);
    wire_deliver(l.w, request(&l, "x", 1));
    wire_cut(l.w, test_gid(1), l.peer, EFA_LINK_HANGUP);
    wire_room(l.w, -1);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    p = request(&l, "x", 1);
    wire_deliver(l.w, p);       /* the link is down: it is not heard */
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    lone_free(&l);
}

/* Random nonsense from a peer: survived, and the next good one arrives. */
static void test_fuzz(void)
{
    Lone l = lone_new(EFA_QP_TYPE_SRD);
    g_autoptr(GRand) rand = g_rand_new_with_seed(4711);
    unsigned i, j, posted = 0, taken = 0;
    EfaIoCdesc e;

    for (i = 0; i < 20000; i++) {
        WirePkt *p = request(&l, "fuzzy data", 10);
        unsigned bytes = g_rand_int_range(rand, 1, 6);

        l.una = l.psn;
        if (i % 16 == 0) {
            l.epoch++;      /* a wild context number may have come before */
        }
        p->hdr.type = g_rand_int_range(rand, 0, 6);
        for (j = 0; j < bytes; j++) {
            unsigned at = g_rand_int_range(rand, 2, 52);

            /* not its life: a later one would outdate the good one */
            if (at >= 24 && at < 32) {
                continue;
            }
            p->data[at] = g_rand_int(rand);
        }
        if (g_rand_int_range(rand, 0, 4)) {
            p->hdr.payload_len = p->len - sizeof(p->hdr);
        }
        if (posted < 32) {
            post(&l, i, 64);
            posted++;
        }
        wire_deliver(l.w, p);
        wire_drop_all(l.w);
        while (cq_poll(l.e->rcq, &e)) {
            g_assert_cmpuint(e.qp_num, ==, l.e->qp->num);
            posted--;
            taken++;
        }
    }
    /* else this tested nothing */
    g_assert_cmpuint(taken, >, 100);
    l.epoch++;
    l.psn = l.una = 0;
    post(&l, 1, 64);
    g_assert_cmpint(ask(&l, request(&l, "good", 4)), ==, 0);
    g_assert_cmpuint(cq_next(l.e->rcq).length, ==, 4);
    lone_free(&l);
}

/* The same over the shared memory fabric as it is. */
static void test_shm(void)
{
    g_autofree char *dir = g_dir_make_tmp(NULL, NULL);
    EfaConfig ca = test_config(1), cb = test_config(2);
    Host *ha, *hb;
    End *a, *b;
    uint16_t ah;
    unsigned i, round;

    ha = host_new_raw(&ca, NULL, dir);
    hb = host_new_raw(&cb, NULL, dir);
    host_probe(ha);
    host_probe(hb);
    a = end_new(ha, EFA_QP_TYPE_SRD);
    b = end_new(hb, EFA_QP_TYPE_SRD);
    ah = create_ah_ok(ha, a->pd, test_gid(2));
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 64; i++) {
            rq_put(b->qp, i, &b->rx, i * 1000, 1000, true, true);
        }
        rq_ring(b->qp);
        for (i = 0; i < 64; i++) {
            EfaIoTxWqe wqe = wqe_send(i, ah, b->qp->num);

            memset(a->tx.p + i * 1000, round + i, 1000);
            wqe_sge(&wqe, &a->tx, i * 1000, 1000);
            sq_put(a->qp, &wqe);
        }
        sq_ring(a->qp);
        for (i = 0; i < 64; i++) {
            EfaIoCdesc e = cq_next(b->rcq);

            g_assert_cmpuint(e.length, ==, 1000);
            g_assert_cmpuint(b->rx.p[e.req_id * 1000 + 999], ==,
                             (uint8_t)(round + e.req_id));
            g_assert_cmpuint(cq_next(a->scq).status, ==, 0);
        }
    }
    /* the peer dies with a message under way */
    for (i = 0; i < 4; i++) {
        EfaIoTxWqe wqe = wqe_send(i, ah, b->qp->num);

        sq_put(a->qp, &wqe);
    }
    sq_ring(a->qp);
    host_free(hb);
    for (i = 0; i < 4; i++) {
        g_assert_cmpuint(cq_next(a->scq).status, ==, 13);
    }
    hosts_free();
    g_assert_cmpint(rmdir(dir), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/srd-responder/deliver", test_deliver);
    g_test_add_func("/srd-responder/duplicates", test_duplicates);
    g_test_add_func("/srd-responder/rnr", test_rnr);
    g_test_add_func("/srd-responder/reorder", test_reorder);
    g_test_add_func("/srd-responder/psn-wrap", test_psn_wrap);
    g_test_add_func("/srd-responder/una-jump", test_una_jump);
    g_test_add_func("/srd-responder/requester-psn-wrap",
                    test_requester_psn_wrap);
    g_test_add_func("/srd-responder/contexts", test_contexts);
    g_test_add_func("/srd-responder/refusals", test_refusals);
    g_test_add_func("/srd-responder/type-mismatch", test_type_mismatch);
    g_test_add_func("/srd-responder/malformed", test_malformed);
    g_test_add_func("/srd-responder/oversized", test_oversized);
    g_test_add_func("/srd-responder/ack-room", test_ack_room);
    g_test_add_func("/srd-responder/fuzz", test_fuzz);
    g_test_add_func("/srd-responder/shm", test_shm);
    return g_test_run();
}
