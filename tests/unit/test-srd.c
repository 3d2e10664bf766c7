/*
 * Unit tests: the SRD transport, packet by packet
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"
#include "lone.h"
#include "efa-srd.h"

static void pair_recv(Pair *p, uint16_t req)
{
    rq_post(p->b->qp, req, &p->b->rx, (req % 64) * 64, 64);
}

static void pair_connect(Pair *p)
{
    pair_recv(p, 0);
    pair_send(p, 0);
    g_assert_cmpuint(cq_next(p->b->rcq).status, ==, 0);
    g_assert_cmpuint(cq_next(p->a->scq).status, ==, 0);
}

/* Two devices that know each other. */
static Pair pair_new(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);

    pair_connect(&p);
    wire_auto(p.w, false);
    return p;
}

static void deliver_all(Wire *w)
{
    while (wire_count(w)) {
        wire_deliver(w, wire_take(w, 0));
    }
}

/* ---- the requester ---- */

static void test_data_format(void)
{
    Lone l = lone_new();
    EfaIoTxWqe wqe = wqe_send(0x0403, l.ah, 0xabcd);
    WirePkt *p, *p2;
    static const uint8_t zero[12];

    wqe_sge(&wqe, &l.e->tx, 3, 5);
    wqe_imm(&wqe, 0xdeadbeef);
    memcpy(l.e->tx.p + 3, "hello", 5);
    sq_post(l.e->qp, &wqe);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, 1);
    p = wire_take(l.w, 0);
    g_assert_cmpuint(p->len, ==, sizeof(EfaPktHdr) + 5);
    g_assert_cmpuint(p->hdr.version, ==, EFA_PKT_VERSION);
    g_assert_cmpuint(p->hdr.type, ==, EFA_PKT_DATA);
    g_assert_cmpuint(p->hdr.opcode, ==, EFA_IO_SEND);
    g_assert_cmpuint(p->hdr.flags, ==, 1);
    g_assert_cmpuint(p->hdr.checksum_kind, ==, EFA_PKT_NO_CHECKSUM);
    g_assert_cmpmem(p->hdr.reserved, 3, zero, 3);
    g_assert_cmpuint(p->hdr.checksum, ==, 0);
    g_assert_cmpuint(p->hdr.payload_len, ==, 5);
    g_assert_cmphex(p->hdr.imm, ==, 0xdeadbeef);
    g_assert_cmphex(p->hdr.dst_qpn, ==, 0xabcd);
    g_assert_cmphex(p->hdr.src_qpn, ==, l.e->qp->num);
    g_assert_cmphex(p->hdr.qkey, ==, QKEY);
    g_assert_cmpuint(p->hdr.src_epoch, !=, 0);
    g_assert_cmpuint(p->hdr.dst_epoch, ==, 0);
    g_assert_cmpuint(p->hdr.psn, ==, p->hdr.una);
    g_assert_cmpmem(p->hdr.src_gid, 16, test_gid(1).raw, 16);
    g_assert_cmpmem(p->hdr.dst_gid, 16, test_gid(2).raw, 16);
    g_assert_cmpmem(p->hdr.reserved2, 4, zero, 4);
    g_assert_cmpmem(p->data + sizeof(EfaPktHdr), 5, "hello", 5);
    assert_cq_empty(l.e->scq);
    lone_ack(&l, p, EPOCH, 0);
    g_assert_cmphex(cq_next(l.e->scq).req_id, ==, 0x0403);

    /* from now on the peer's life is known, and so is its progress */
    p2 = lone_send(&l, 2);
    g_assert_cmpuint(p2->hdr.psn, ==, p->hdr.psn + 1);
    g_assert_cmpuint(p2->hdr.una, ==, p2->hdr.psn);
    g_assert_cmpuint(p2->hdr.dst_epoch, ==, EPOCH);
    g_assert_cmpuint(p2->hdr.ctx, ==, p->hdr.ctx);
    g_assert_cmpuint(p2->hdr.flags, ==, 0);
    g_free(p);
    g_free(p2);
    lone_free(&l);
}

/* What a peer may answer is reported; what it may not is its error, 12. */
static void test_ack_status(void)
{
    static const uint8_t good[] = { 0, 7, 9, 11, 14, 18, 12 };
    static const uint8_t bad[] = {
        1, 2, 3, 4, 5, 6, 8, 13, 15, 16, 17, 19, 200, 255
    };
    Lone l = lone_new();
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(good) + G_N_ELEMENTS(bad); i++) {
        bool ok = i < G_N_ELEMENTS(good);
        uint8_t status = ok ? good[i] : bad[i - G_N_ELEMENTS(good)];
        WirePkt *p = lone_send(&l, 100 + i);
        EfaIoCdesc e;

        lone_ack(&l, p, EPOCH, status);
        e = cq_next(l.e->scq);
        g_assert_cmpuint(e.req_id, ==, 100 + i);
        if (e.status != (ok ? status : 12)) {
            g_error("answer %u is reported as %u", status, e.status);
        }
        g_free(p);
    }
    g_assert_cmpuint(qp_query(l.e->qp).qp_state, ==, EFA_QP_STATE_RTS);
    lone_free(&l);
}

typedef void (*Spoil)(WirePkt *p);

static void bad_version(WirePkt *p) { p->hdr.version++; }
static void bad_type_0(WirePkt *p) { p->hdr.type = 0; }
static void bad_type_6(WirePkt *p) { p->hdr.type = 6; }
static void bad_type_255(WirePkt *p) { p->hdr.type = 255; }
static void bad_short(WirePkt *p) { p->len = sizeof(EfaPktHdr) - 1; }
static void bad_empty(WirePkt *p) { p->len = 0; }
static void bad_len_more(WirePkt *p) { p->hdr.payload_len++; }
static void bad_len_less(WirePkt *p) { p->hdr.payload_len--; }
static void bad_len_huge(WirePkt *p) { p->hdr.payload_len = 0xfffffff8; }
static void bad_src_gid(WirePkt *p) { p->hdr.src_gid[15]++; }
static void bad_dst_gid(WirePkt *p) { p->hdr.dst_gid[0]++; }
static void bad_epoch(WirePkt *p) { p->hdr.dst_epoch++; }
static void bad_epoch_0(WirePkt *p) { p->hdr.dst_epoch = 0; }
static void bad_ctx(WirePkt *p) { p->hdr.ctx++; }
static void bad_ctx_old(WirePkt *p) { p->hdr.ctx--; }

/* The refusal behind the bitmap. */
static EfaPktAck *ack_of(WirePkt *p)
{
    return (EfaPktAck *)(p->data + sizeof(EfaPktHdr) + sizeof(EfaPktAckMap));
}

static void bad_psn(WirePkt *p) { p->hdr.psn++; ack_of(p)->psn++; }

static void bad_psn_before(WirePkt *p)
{
    p->hdr.psn -= EFA_SRD_WINDOW;
    ack_of(p)->psn--;
}

static void bad_psn_behind(WirePkt *p)
{
    p->hdr.psn += EFA_SRD_WINDOW;
    ack_of(p)->psn += EFA_SRD_WINDOW;
}

static void bad_ack_part(WirePkt *p) { p->len--; p->hdr.payload_len--; }
static void bad_ack_odd(WirePkt *p) { p->len += 7; p->hdr.payload_len += 7; }

static void bad_ack_many(WirePkt *p)
{
    struct {
        EfaPktAckMap map;
        EfaPktAck acks[EFA_PKT_MAX_ACKS + 1];
    } body;
    unsigned i;

    memcpy(&body.map, p->data + sizeof(EfaPktHdr), sizeof(body.map));
    for (i = 0; i < G_N_ELEMENTS(body.acks); i++) {
        body.acks[i] = *ack_of(p);
    }
    pkt_payload(p, &body, sizeof(body));
}

static void bad_ack_none(WirePkt *p)
{
    p->hdr.payload_len = 0;
    p->len = sizeof(EfaPktHdr);
}

static void bad_ack_map(WirePkt *p)
{
    p->hdr.payload_len = sizeof(EfaPktAckMap) - 8;
    p->len = sizeof(EfaPktHdr) + p->hdr.payload_len;
}

static const struct {
    const char *name;
    Spoil spoil;
} hostile_acks[] = {
    { "version", bad_version }, { "type 0", bad_type_0 },
    { "type 6", bad_type_6 }, { "type 255", bad_type_255 },
    { "truncated header", bad_short }, { "no bytes", bad_empty },
    { "longer than it says", bad_len_less },
    { "shorter than it says", bad_len_more },
    { "huge length", bad_len_huge }, { "foreign sender", bad_src_gid },
    { "foreign receiver", bad_dst_gid }, { "wrong epoch", bad_epoch },
    { "epoch 0", bad_epoch_0 }, { "future context", bad_ctx },
    { "old context", bad_ctx_old }, { "PSN never sent", bad_psn },
    { "PSN before", bad_psn_before },
    { "PSN a window away", bad_psn_behind },
    { "part of a status", bad_ack_part },
    { "a status and a half", bad_ack_odd },
    { "too many", bad_ack_many }, { "none", bad_ack_none },
    { "half a bitmap", bad_ack_map },
};

static void test_hostile_acks(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1);
    unsigned i;

    for (i = 0; i < 2 * G_N_ELEMENTS(hostile_acks); i++) {
        WirePkt *ack = ghost_ack(p, EPOCH, i % 2 ? 9 : 0);
        EfaIoCdesc e;

        hostile_acks[i / 2].spoil(ack);
        wire_deliver(l.w, ack);
        if (cq_poll(l.e->scq, &e)) {
            g_error("completed by an answer with: %s",
                    hostile_acks[i / 2].name);
        }
    }
    lone_ack(&l, p, EPOCH, 0);
    g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, 1);
    /* and a second copy of the good one is nothing */
    lone_ack(&l, p, EPOCH, 9);
    assert_cq_empty(l.e->scq);
    g_free(p);
    lone_free(&l);
}

/* Answers that come at once, until nothing is left of a long round trip. */
static void teach_quick(Lone *l)
{
    unsigned i;

    for (i = 0; i < 100; i++) {
        WirePkt *p = lone_send(l, 1000);

        lone_ack(l, p, EPOCH, 0);
        cq_next(l->e->scq);
        g_free(p);
    }
}

static void test_retransmit(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 7);
    unsigned i;

    advance(99 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    advance(2 * MS);
    for (i = 0; i < 2; i++) {
        WirePkt *again;

        g_assert_cmpuint(wire_count(l.w), ==, 1);
        again = wire_take(l.w, 0);
        g_assert_cmpmem(again->data, again->len, p->data, p->len);
        g_free(again);
        /* the second one waits twice as long */
        if (!i) {
            advance(190 * MS);
            g_assert_cmpuint(wire_count(l.w), ==, 0);
            advance(20 * MS);
        }
    }
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK,
                              ST_RETRANS_PKTS), ==, 2);
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK,
                              ST_RETRANS_TIMEOUTS), ==, 2);
    lone_ack(&l, p, EPOCH, 0);
    g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, 7);
    advance(10000 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    g_free(p);
    /* which copy was answered is not known: it stays as patient as it was */
    p = lone_send(&l, 8);
    advance(399 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    lone_ack(&l, p, EPOCH, 0);
    g_free(p);
    /* now the round trip is known, and what was waited for is over */
    teach_quick(&l);
    p = lone_send(&l, 9);
    advance(9 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    advance(2 * MS);
    g_assert_cmpuint(wire_drop_all(l.w), ==, 1);
    lone_ack(&l, p, EPOCH, 0);
    g_free(p);
    lone_free(&l);
}

/* The payload of a retransmission is fetched again: no key, no data. */
static void test_retransmit_dereg(void)
{
    Lone l = lone_new();
    EfaIoTxWqe wqe = wqe_send(5, l.ah, 0x77);
    EfaIoCdesc e;

    wqe_sge(&wqe, &l.e->tx, 0, 100);
    sq_post(l.e->qp, &wqe);
    settle();
    g_assert_cmpuint(wire_drop_all(l.w), ==, 1);
    g_assert_cmpuint(dereg(l.e->h, l.e->tx.key), ==, 0);
    assert_cq_empty(l.e->scq);
    advance(201 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    e = cq_next(l.e->scq);
    g_assert_cmpuint(e.status, ==, EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
    lone_free(&l);
}

static void test_window(void)
{
    Lone l = lone_new();
    Qp *qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD,
                          create_cq_ok(l.e->h, l.e->uar,
                                       &(CqOpts) { .depth = 2048 }),
                          l.e->rcq, 1024, 0);
    EfaIoTxWqe wqe = wqe_send(0, l.ah, 0x77);
    WirePkt *pkts[700];
    unsigned i, done = 0;
    EfaIoCdesc e;

    qp_to_rts(qp);
    for (i = 0; i < 700; i++) {
        wqe.meta.req_id = i;
        sq_put(qp, &wqe);
    }
    sq_ring(qp);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, EFA_SRD_WINDOW);
    for (i = 0; i < EFA_SRD_WINDOW; i++) {
        pkts[i] = wire_take(l.w, 0);
    }
    /* a hole at the front keeps the window shut */
    lone_ack(&l, pkts[1], EPOCH, 0);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    lone_ack(&l, pkts[0], EPOCH, 0);
    g_assert_cmpuint(wire_count(l.w), ==, 2);
    for (i = 2; i < 700; i++) {
        if (i >= EFA_SRD_WINDOW) {
            pkts[i] = wire_take(l.w, 0);
        }
        g_assert_cmpuint(pkts[i]->hdr.psn - pkts[0]->hdr.psn, ==, i);
        lone_ack(&l, pkts[i], EPOCH, 0);
    }
    while (cq_poll(qp->scq, &e)) {
        g_assert_cmpuint(e.status, ==, 0);
        done++;
    }
    g_assert_cmpuint(done, ==, 700);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    for (i = 0; i < 700; i++) {
        g_free(pkts[i]);
    }
    lone_free(&l);
}

/* A link without room: messages wait for it, and go on in order. */
static void test_no_room(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 0);
    unsigned i;

    lone_ack(&l, p, EPOCH, 0);
    cq_next(l.e->scq);
    g_free(p);
    wire_room(l.w, 2);
    for (i = 1; i <= 5; i++) {
        lone_post(&l, i);
    }
    g_assert_cmpuint(wire_count(l.w), ==, 2);
    wire_room(l.w, -1);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, 5);
    for (i = 1; i <= 5; i++) {
        p = wire_take(l.w, 0);
        g_assert_cmpuint(p->hdr.psn, ==, i);
        lone_ack(&l, p, EPOCH, 0);
        g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, i);
        g_free(p);
    }
    lone_free(&l);
}

/* ---- the peer's end ---- */

/* 7.4: 15 from one that never answered, 13 from one that did. */
static void silent(unsigned messages, bool known)
{
    Lone l = lone_new();
    int64_t timeout = l.e->h->cfg.peer_timeout_ms * MS;
    unsigned i;

    if (known) {
        WirePkt *p = lone_send(&l, 99);

        lone_ack(&l, p, EPOCH, 0);
        cq_next(l.e->scq);
        g_free(p);
    }
    for (i = 0; i < messages; i++) {
        lone_post(&l, i);
    }
    advance(timeout - MS);
    assert_cq_empty(l.e->scq);
    /* the longest distance of two retransmissions is 0.5 s */
    advance(3300 * MS);
    for (i = 0; i < messages; i++) {
        EfaIoCdesc e = cq_next(l.e->scq);

        g_assert_cmpuint(e.req_id, ==, i);
        g_assert_cmpuint(e.status, ==, known ? 13 : 15);
    }
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK,
                              ST_UNRESPONSIVE), ==, 1);
    g_assert_cmpuint(qp_query(l.e->qp).qp_state, ==, EFA_QP_STATE_RTS);
    wire_drop_all(l.w);
    advance(20000 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    lone_free(&l);
}

/* It is the silence that counts, not the age of a message. */
static void test_slow_peer(void)
{
    Lone l = lone_new();
    int64_t timeout = l.e->h->cfg.peer_timeout_ms * MS;
    WirePkt *p[3];
    unsigned i;

    for (i = 0; i < 3; i++) {
        p[i] = lone_send(&l, i);
    }
    for (i = 1; i < 3; i++) {
        advance(timeout - 100 * MS);
        assert_cq_empty(l.e->scq);
        lone_ack(&l, p[i], EPOCH, 0);
        g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, i);
    }
    advance(timeout - 100 * MS);
    assert_cq_empty(l.e->scq);
    advance(3300 * MS);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 13);
    for (i = 0; i < 3; i++) {
        g_free(p[i]);
    }
    lone_free(&l);
}

static void test_silent_one(void)
{
    silent(1, false);
}

static void test_silent_some(void)
{
    silent(3, false);
}

static void test_silent_one_known(void)
{
    silent(1, true);
}

static void test_silent_some_known(void)
{
    silent(3, true);
}

/* Nobody under that GID: retried until the timeout, then 15. */
static void test_absent(void)
{
    Wire *w = wire_new();
    End *e = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(e->h, e->pd, test_gid(9));
    EfaIoTxWqe wqe = wqe_send(1, ah, 0x77);
    int64_t timeout = e->h->cfg.peer_timeout_ms * MS;
    End *late;

    sq_post(e->qp, &wqe);
    advance(timeout - 10 * MS);
    assert_cq_empty(e->scq);
    advance(300 * MS);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 15);

    /* one that boots before the timeout gets the message */
    sq_post(e->qp, &wqe);
    advance(1000 * MS);
    assert_cq_empty(e->scq);
    late = end_new(host_new_on(9, w), EFA_QP_TYPE_SRD);
    advance(100 * MS);
    g_assert_cmpuint(cq_next(e->scq).status, ==,
                     EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN);
    g_assert_nonnull(late);
    hosts_free();
    wire_free(w);
}

/* Gone for certain: at once, for this peer only, and the QP goes on. */
static void hangup(bool known)
{
    Lone l = lone_new();
    EfaGid other = test_gid(3);
    uint16_t ah2;
    EfaIoTxWqe wqe;
    uint32_t ctx;
    WirePkt *p;
    unsigned i;

    wire_ghost(l.w, other);
    ah2 = create_ah_ok(l.e->h, l.e->pd, other);
    p = lone_send(&l, 1);
    if (known) {
        lone_ack(&l, p, EPOCH, 0);
        cq_next(l.e->scq);
        lone_post(&l, 1);
    }
    ctx = p->hdr.ctx;
    g_free(p);
    wqe = wqe_send(2, ah2, 0x77);
    sq_post(l.e->qp, &wqe);
    settle();
    wire_drop_all(l.w);
    for (i = 0; i < 2; i++) {
        EfaIoCdesc e;

        wire_cut(l.w, test_gid(1), l.peer, EFA_LINK_HANGUP);
        e = cq_next(l.e->scq);
        g_assert_cmpuint(e.req_id, ==, 1);
        g_assert_cmpuint(e.status, ==, known ? 13 : 15);
        assert_cq_empty(l.e->scq);
        g_assert_cmpuint(qp_query(l.e->qp).qp_state, ==, EFA_QP_STATE_RTS);

        /* what follows is a new context over a new link */
        p = lone_send(&l, 1);
        g_assert_cmpuint(p->hdr.ctx, !=, ctx);
        g_assert_cmpuint(p->hdr.dst_epoch, ==, 0);
        ctx = p->hdr.ctx;
        g_free(p);
    }
    lone_free(&l);
}

static void test_hangup_unknown(void)
{
    hangup(false);
}

static void test_hangup_known(void)
{
    hangup(true);
}

/* 8: the peer lives a new life, as its answer or its RESET shows. */
static void test_restart(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1), *p2, *reset;
    uint32_t ctx = p->hdr.ctx;

    lone_ack(&l, p, EPOCH, 0);
    cq_next(l.e->scq);
    g_free(p);

    p = lone_send(&l, 2);
    p2 = lone_send(&l, 3);
    lone_ack(&l, p2, EPOCH + 5, 0);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 8);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 8);
    assert_cq_empty(l.e->scq);
    g_free(p);
    g_free(p2);

    p = lone_send(&l, 4);
    g_assert_cmpuint(p->hdr.ctx, ==, ctx + 1);
    g_assert_cmpuint(p->hdr.dst_epoch, ==, 0);
    /* a RESET proves nothing while no life was named */
    reset = ghost_pkt(l.peer, test_gid(1), EFA_PKT_RESET, EPOCH + 5);
    reset->hdr.dst_epoch = p->hdr.src_epoch;
    reset->hdr.ctx = p->hdr.ctx;
    wire_deliver(l.w, wire_dup(reset));
    assert_cq_empty(l.e->scq);
    lone_ack(&l, p, EPOCH + 5, 0);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 0);
    g_free(p);

    p = lone_send(&l, 5);
    g_assert_cmpuint(p->hdr.dst_epoch, ==, EPOCH + 5);
    /* one for another context, another addressee, from the known life */
    reset->hdr.src_epoch = EPOCH + 9;
    reset->hdr.ctx--;
    wire_deliver(l.w, wire_dup(reset));
    reset->hdr.ctx++;
    reset->hdr.dst_epoch++;
    wire_deliver(l.w, wire_dup(reset));
    reset->hdr.dst_epoch--;
    reset->hdr.src_epoch = EPOCH + 5;
    wire_deliver(l.w, wire_dup(reset));
    assert_cq_empty(l.e->scq);
    reset->hdr.src_epoch = EPOCH + 9;
    wire_deliver(l.w, reset);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 8);
    g_free(p);
    lone_free(&l);
}

/* The whole story with a device that is reset under traffic. */
static void test_peer_reset(void)
{
    Pair p = pair_new();

    pair_send(&p, 1);
    host_reset_handshake(p.b->h);
    host_admin_init(p.b->h);
    deliver_all(p.w);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 8);
    wire_auto(p.w, true);
    p.b = end_new(p.b->h, EFA_QP_TYPE_SRD);
    pair_recv(&p, 4);
    pair_send(&p, 2);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 4);
    pair_free(&p);
}

/* What is sent after a pause does not fail because of a reset in the pause. */
static void test_reset_in_pause(void)
{
    Pair p = pair_new();

    wire_auto(p.w, true);
    pair_recv(&p, 1);
    pair_send(&p, 1);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);

    host_reset_handshake(p.b->h);
    host_admin_init(p.b->h);
    p.b = end_new(p.b->h, EFA_QP_TYPE_SRD);
    pair_recv(&p, 2);
    advance(99 * MS);
    pair_send(&p, 2);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 8);
    pair_send(&p, 3);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 2);

    host_reset_handshake(p.b->h);
    host_admin_init(p.b->h);
    p.b = end_new(p.b->h, EFA_QP_TYPE_SRD);
    pair_recv(&p, 3);
    advance(101 * MS);
    pair_send(&p, 4);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 3);
    pair_free(&p);
}

/* A pause in which something is outstanding is none. */
static void test_no_pause(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1);
    uint32_t ctx = p->hdr.ctx;

    lone_ack(&l, p, EPOCH, 0);
    cq_next(l.e->scq);
    g_free(p);
    g_free(lone_send(&l, 2));
    advance(400 * MS);
    g_assert_cmpuint(wire_drop_all(l.w), >, 0);
    p = lone_send(&l, 3);
    g_assert_cmpuint(p->hdr.ctx, ==, ctx);
    g_assert_cmpuint(p->hdr.dst_epoch, ==, EPOCH);
    g_free(p);
    lone_free(&l);
}

/*
 * The peer is forgotten with its last handle once the link is gone; its memory
 * of us is not. What is sent later must be taken for new.
 */
static void test_forgotten_peer(void)
{
    Pair p = pair_new();
    uint16_t req;

    create_ah_ok(p.b->h, p.b->pd, test_gid(1));
    wire_auto(p.w, true);
    wire_cut(p.w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
    g_assert_cmpuint(destroy_ah(p.a->h, p.a->pd, p.ah), ==, 0);
    p.ah = create_ah_ok(p.a->h, p.a->pd, test_gid(2));
    for (req = 1; req < 4; req++) {
        EfaIoCdesc e;

        pair_recv(&p, req);
        pair_send(&p, req);
        advance(100 * MS);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        settle();
        /* "sent" without "received": a duplicate of another life */
        g_assert_true(cq_poll(p.b->rcq, &e));
        g_assert_cmpuint(e.req_id, ==, req);
    }
    pair_free(&p);
}

/* QP and AH go away with messages on the wire: late answers hit nobody. */
static void test_cancel(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1), *p2, *p3;

    p2 = lone_send(&l, 2);
    g_assert_cmpuint(qp_destroy(l.e->qp), ==, 0);
    lone_ack(&l, p, EPOCH, 0);
    assert_cq_empty(l.e->scq);
    l.e->qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD,
                           l.e->scq, l.e->rcq, 64, 64);
    qp_to_rts(l.e->qp);
    p3 = lone_send(&l, 3);
    /* the given up PSNs are not waited for */
    g_assert_cmpuint(p3->hdr.una, ==, p3->hdr.psn);
    lone_ack(&l, p2, EPOCH, 0);
    assert_cq_empty(l.e->scq);
    lone_ack(&l, p3, EPOCH, 0);
    g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, 3);
    g_free(p);
    g_free(p2);
    g_free(p3);
    advance(10000 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    lone_free(&l);
}

/* One that waits for a buffer holds up nobody, however much is sent. */
static void test_rnr_window(void)
{
    Pair p = pair_new();
    Qp *deaf = create_qp_ok(p.b->h, p.b->pd, p.b->uar, EFA_QP_TYPE_SRD,
                            p.b->scq, p.b->rcq, 16, 16);
    EfaIoTxWqe wqe = wqe_send(9999, p.ah, deaf->num);
    unsigned i;

    qp_to_rts(deaf);
    wire_auto(p.w, true);
    sq_post(p.a->qp, &wqe);
    settle();
    for (i = 0; i < 3 * EFA_SRD_WINDOW; i++) {
        pair_recv(&p, i);
        pair_send(&p, i);
        settle();
        g_assert_cmpuint(cq_next(p.a->scq).req_id, ==, i);
        g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, i);
    }
    /* and it is delivered when there is one */
    rq_post(deaf, 77, &p.b->rx, 0, 64);
    advance(2 * MS);
    g_assert_cmpuint(cq_next(p.a->scq).req_id, ==, 9999);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 77);
    pair_free(&p);
}

/* The link outlives our reset; what is sent after it goes out at once. */
static void test_own_reset(void)
{
    Pair p = pair_new();

    wire_auto(p.w, true);
    pair_recv(&p, 1);
    pair_send(&p, 1);
    settle();
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 1);

    host_reset_handshake(p.a->h);
    host_admin_init(p.a->h);
    p.a = end_new(p.a->h, EFA_QP_TYPE_SRD);
    p.ah = create_ah_ok(p.a->h, p.a->pd, test_gid(2));
    pair_recv(&p, 2);
    pair_send(&p, 2);
    settle();
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 2);
    pair_free(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/srd/data-format", test_data_format);
    g_test_add_func("/srd/ack-status", test_ack_status);
    g_test_add_func("/srd/hostile-acks", test_hostile_acks);
    g_test_add_func("/srd/retransmit", test_retransmit);
    g_test_add_func("/srd/retransmit-dereg", test_retransmit_dereg);
    g_test_add_func("/srd/window", test_window);
    g_test_add_func("/srd/no-room", test_no_room);
    g_test_add_func("/srd/silent-one", test_silent_one);
    g_test_add_func("/srd/silent-some", test_silent_some);
    g_test_add_func("/srd/silent-one-known", test_silent_one_known);
    g_test_add_func("/srd/silent-some-known", test_silent_some_known);
    g_test_add_func("/srd/slow-peer", test_slow_peer);
    g_test_add_func("/srd/absent", test_absent);
    g_test_add_func("/srd/hangup-unknown", test_hangup_unknown);
    g_test_add_func("/srd/hangup-known", test_hangup_known);
    g_test_add_func("/srd/restart", test_restart);
    g_test_add_func("/srd/reset-in-pause", test_reset_in_pause);
    g_test_add_func("/srd/no-pause", test_no_pause);
    g_test_add_func("/srd/peer-reset", test_peer_reset);
    g_test_add_func("/srd/own-reset", test_own_reset);
    g_test_add_func("/srd/rnr-window", test_rnr_window);
    g_test_add_func("/srd/forgotten-peer", test_forgotten_peer);
    g_test_add_func("/srd/cancel", test_cancel);
    return g_test_run();
}
