/*
 * Unit tests: links that come and go, and accesses that fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"
#include "efa-srd.h"

#define MS  EFA_NSEC_PER_MSEC

static void cut(Pair *p, EfaLinkDownReason why)
{
    wire_cut(p->w, test_gid(1), test_gid(2), why);
}

/* Lost for a moment, nobody knows why: what is under way goes on. */
static void test_flap(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);
    unsigned i;

    for (i = 0; i < 4; i++) {
        rq_post(p.b->qp, i, &p.b->rx, i * 8, 8);
    }
    wire_auto(p.w, false);
    pair_send(&p, 1);
    pair_send(&p, 2);
    g_assert_cmpuint(wire_drop_all(p.w), ==, 2);
    cut(&p, EFA_LINK_REFUSED);
    assert_cq_empty(p.a->scq);
    pair_send(&p, 3);
    wire_auto(p.w, true);
    advance(1000 * MS);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 0);
    }
    assert_cq_empty(p.b->rcq);
    pair_free(&p);
}

/* Every way a peer goes, with work in every state towards it. */
static void test_hangup_states(void)
{
    static const EfaLinkDownReason why[] = {
        EFA_LINK_HANGUP, EFA_LINK_PROTOCOL
    };
    unsigned i, j;

    for (i = 0; i < G_N_ELEMENTS(why); i++) {
        Pair p = pair_of_default(EFA_QP_TYPE_SRD);
        unsigned ended = 0;

        rq_post(p.b->qp, 0, &p.b->rx, 0, 64);
        pair_send(&p, 0);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        pair_send(&p, 1);            /* refused: waits for its turn */
        wire_auto(p.w, false);
        pair_send(&p, 2);            /* sent */
        wire_room(p.w, 0);
        pair_send(&p, 3);            /* waits for room */
        cut(&p, why[i]);
        for (j = 1; j < 4; j++) {
            EfaIoCdesc e = cq_next(p.a->scq);

            g_assert_cmpuint(e.status, ==, 13);
            ended |= 1u << e.req_id;    /* in any order */
        }
        g_assert_cmphex(ended, ==, 0xe);
        /* and no more */
        wire_drop_all(p.w);
        wire_room(p.w, -1);
        wire_auto(p.w, true);
        advance(10000 * MS);
        assert_cq_empty(p.a->scq);
        /* a hang-up without work in flight is nobody's error */
        cut(&p, why[i]);
        assert_cq_empty(p.a->scq);
        rq_post(p.b->qp, 4, &p.b->rx, 0, 64);
        pair_send(&p, 4);
        advance(100 * MS);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        pair_free(&p);
    }
}

/* The other machine is gone, and comes back under its GID. */
static void test_reborn(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);
    unsigned round;

    for (round = 0; round < 3; round++) {
        unsigned i;

        for (i = 0; i < 5; i++) {
            rq_post(p.b->qp, i, &p.b->rx, 0, 64);
            pair_send(&p, i);
            advance(30 * MS);
            g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
            g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, i);
        }
        wire_auto(p.w, false);
        pair_send(&p, 9);
        wire_drop_all(p.w);
        host_free(p.b->h);
        cut(&p, EFA_LINK_HANGUP);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 13);
        wire_auto(p.w, true);
        p.b = end_new(host_new_on(2, p.w), EFA_QP_TYPE_SRD);
    }
    pair_free(&p);
}

/* Gone with work under way, and not back when there is more. */
static void test_gone_for_good(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);
    int64_t timeout = p.a->h->cfg.peer_timeout_ms * MS;
    unsigned i;

    wire_auto(p.w, false);
    pair_send(&p, 1);
    pair_send(&p, 2);
    wire_drop_all(p.w);
    host_free(p.b->h);
    cut(&p, EFA_LINK_HANGUP);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 15);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 15);
    for (i = 3; i < 6; i++) {
        EfaIoTxWqe wqe = wqe_send(i, p.ah, 5);

        sq_post(p.a->qp, &wqe);
        advance(timeout - 100 * MS);
        assert_cq_empty(p.a->scq);
        advance(400 * MS);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 15);
    }
    pair_free(&p);
}

/* Both begin to talk at once. */
static void test_both_connect(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);
    uint16_t back = create_ah_ok(p.b->h, p.b->pd, test_gid(1));
    EfaIoTxWqe ab = wqe_send(1, p.ah, p.b->qp->num);
    EfaIoTxWqe ba = wqe_send(2, back, p.a->qp->num);

    rq_post(p.a->qp, 3, &p.a->rx, 0, 64);
    rq_post(p.b->qp, 4, &p.b->rx, 0, 64);
    sq_post(p.a->qp, &ab);
    sq_post(p.b->qp, &ba);
    g_assert_cmpuint(cq_next(p.a->scq).req_id, ==, 1);
    g_assert_cmpuint(cq_next(p.b->scq).req_id, ==, 2);
    g_assert_cmpuint(cq_next(p.a->rcq).req_id, ==, 3);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 4);
    pair_free(&p);
}

/* Work that waits for a link ends with its QP, too. */
static void test_waiting_flush(void)
{
    Wire *w = wire_new();
    End *e = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(e->h, e->pd, test_gid(9));
    EfaIoTxWqe wqe;
    unsigned i;

    for (i = 0; i < 10; i++) {
        wqe = wqe_send(i, ah, 5);
        sq_post(e->qp, &wqe);
    }
    settle();
    g_assert_cmpuint(qp_to(e->qp, EFA_QP_STATE_ERR), ==, 0);
    for (i = 0; i < 10; i++) {
        EfaIoCdesc c = cq_next(e->scq);

        g_assert_cmpuint(c.status, ==, 1);
        g_assert_cmpuint(c.req_id, ==, i);
    }
    g_assert_cmpuint(qp_to(e->qp, EFA_QP_STATE_RESET), ==, 0);
    qp_to_rts(e->qp);
    for (i = 0; i < 10; i++) {
        sq_post(e->qp, &wqe);
    }
    settle();
    g_assert_cmpuint(qp_destroy(e->qp), ==, 0);
    advance(20000 * MS);
    assert_cq_empty(e->scq);
    hosts_free();
    wire_free(w);
}

/* A QP that blocks the window and goes makes room for its neighbour. */
static void test_window_freed(void)
{
    Wire *w = wire_new();
    End *a = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    Qp *greedy = create_qp_ok(a->h, a->pd, a->uar, EFA_QP_TYPE_SRD, a->rcq,
                              a->rcq, 1024, 0);
    EfaIoTxWqe wqe;
    WirePkt *pkt;
    uint16_t ah;
    unsigned i;

    wire_ghost(w, test_gid(2));
    ah = create_ah_ok(a->h, a->pd, test_gid(2));
    qp_to_rts(greedy);
    for (i = 0; i < 600; i++) {
        wqe = wqe_send(i, ah, 5);
        sq_put(greedy, &wqe);
    }
    sq_ring(greedy);
    settle();
    wqe = wqe_send(7, ah, 5);
    sq_post(a->qp, &wqe);
    settle();
    wire_drop_all(w);
    g_assert_cmpuint(qp_destroy(greedy), ==, 0);
    settle();
    g_assert_cmpuint(wire_count(w), ==, 1);
    pkt = wire_take(w, 0);
    g_assert_cmpuint(pkt->hdr.src_qpn, ==, a->qp->num);
    g_free(pkt);
    hosts_free();
    wire_free(w);
}

/* SQD comes while most of what was announced has not been started. */
static void test_sqd_backlog(void)
{
    Wire *w = wire_new();
    End *a = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    Qp *qp = create_qp_ok(a->h, a->pd, a->uar, EFA_QP_TYPE_SRD, a->scq,
                          a->rcq, 256, 0);
    unsigned i, started;
    EfaIoTxWqe wqe;
    uint16_t ah;

    wire_ghost(w, test_gid(2));
    ah = create_ah_ok(a->h, a->pd, test_gid(2));
    wqe = wqe_send(0, ah, 5);
    sq_post(a->qp, &wqe);           /* brings the link up */
    settle();
    wire_drop_all(w);
    qp_to_rts(qp);
    for (i = 0; i < 256; i++) {
        sq_put(qp, &wqe);
    }
    sq_ring(qp);
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_SQD), ==, 0);
    started = wire_count(w);
    g_assert_cmpuint(started, <, 256);
    settle();
    g_assert_cmpuint(wire_count(w), ==, started);
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_RTS), ==, 0);
    settle();
    g_assert_cmpuint(wire_count(w), ==, 256);
    hosts_free();
    wire_free(w);
}

/* ---- one access after the other fails ---- */

typedef struct Scene {
    Host *h;
    End *e;
    Cq *cq;
    Eq *eq;
    EfaIoTxWqe wqe;
    EfaRegMrCmd reg;
    EfaFeatureCmd info;
} Scene;

static Scene scene_new(void)
{
    Scene s = { .h = host_new(1) };
    uint64_t list = host_alloc(s.h, 3 * 4096, 4096);
    uint64_t *words = host_ptr(s.h, list);
    CqOpts opts = { 0 };
    unsigned i;

    s.eq = create_eq_ok(s.h, 512, 1);
    s.e = end_new(s.h, EFA_QP_TYPE_SRD);
    opts.eq = s.eq;
    s.cq = create_cq_ok(s.h, s.e->uar, &opts);
    s.e->qp = create_qp_ok(s.h, s.e->pd, s.e->uar, EFA_QP_TYPE_SRD, s.cq,
                           s.cq, 16, 16);
    qp_to_rts(s.e->qp);
    s.wqe = wqe_send(1, create_ah_ok(s.h, s.e->pd, test_gid(1)),
                     s.e->qp->num);
    wqe_sge(&s.wqe, &s.e->tx, 4000, 300);
    wqe_sge(&s.wqe, &s.e->tx, 100, 100);
    s.reg = mr_cmd(s.e->pd, 0x1000, 600 * 4096, 0);
    s.reg.common.flags = R_AQ_COMMON_CTRL_DATA_MASK |
                         R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
    s.reg.pbl = (EfaCtrlBuffInfo) { 28, list, list >> 32 };
    words[0] = list + 4096;
    words[1] = list + 8192;
    for (i = 0; i < 600; i++) {
        words[512 + i] = HOST_DMA_BASE + i % 7 * 4096;
    }
    s.info = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                 .control_buffer = { 180, list, list >> 32 },
                 .feature_id = EFA_ADMIN_HOST_INFO);
    s.info.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    eq_arm(s.eq);
    return s;
}

/* Everything that makes the device touch memory; nothing is expected. */
static void scene_play(Scene *s)
{
    EfaAqEntry cmd;

    reg_write(s->h, A_MMIO_REG_READ, A_CAPS << 16 | 77);
    memcpy(&cmd, &s->reg, sizeof(cmd));
    aq_put(s->h, &cmd);
    memcpy(&cmd, &s->info, sizeof(cmd));
    aq_put(s->h, &cmd);
    aq_ring(s->h);
    cq_arm(s->cq);
    rq_put(s->e->qp, 1, &s->e->rx, 4000, 200, true, false);
    rq_put(s->e->qp, 1, &s->e->rx, 100, 200, false, true);
    rq_put(s->e->qp, 2, &s->e->rx, 0, 400, true, true);
    rq_ring(s->e->qp);
    sq_put(s->e->qp, &s->wqe);
    sq_put(s->e->qp, &s->wqe);
    sq_ring(s->e->qp);
    settle();
    advance(1000 * MS);
}

static void test_every_access(void)
{
    unsigned n, kind;

    for (n = 1; ; n++) {
        Scene s = scene_new();
        bool reached;
        End *e;

        s.h->fail_at = n;
        scene_play(&s);
        reached = s.h->fail_at == 0;
        s.h->fail_at = 0;
        if (!reached) {
            EfaIoCdesc c;

            /* all went well: the scene is what it is meant to be */
            for (kind = 0; kind < 4; kind++) {
                c = cq_next(s.cq);
                g_assert_cmpuint(c.status, ==, 0);
            }
            g_assert_cmpint(eq_take(s.eq), ==, s.cq->idx);
            g_assert_cmpuint(n, >, 20);
            hosts_free();
            return;
        }
        /* whatever broke: after a reset the device is as new */
        host_probe(s.h);
        e = end_new(s.h, EFA_QP_TYPE_SRD);
        s.wqe = wqe_send(5, create_ah_ok(s.h, e->pd, test_gid(1)),
                         e->qp->num);
        rq_post(e->qp, 6, &e->rx, 0, 64);
        sq_post(e->qp, &s.wqe);
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
        g_assert_cmpuint(cq_next(e->rcq).req_id, ==, 6);
        hosts_free();
    }
}

/*
 * Strangers without number: the table is bounded, those silent for a minute
 * make room, those we know are not touched.
 */
static void test_strangers(void)
{
    Wire *w = wire_new();
    End *e = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    EfaCore *core = e->h->core;
    unsigned i, count;

    create_ah_ok(e->h, e->pd, test_gid(2));
    for (i = 1000; i < 7000; i++) {
        wire_raise(w, test_gid(1), test_gid(i));
    }
    count = g_hash_table_size(core->peers);
    g_assert_cmpuint(count, ==, 4097);
    advance(59000 * MS);
    wire_raise(w, test_gid(1), test_gid(7001));
    g_assert_cmpuint(g_hash_table_size(core->peers), ==, count);
    advance(2000 * MS);
    wire_raise(w, test_gid(1), test_gid(7002));
    g_assert_cmpuint(g_hash_table_size(core->peers), ==, 2);
    g_assert_nonnull(g_hash_table_lookup(core->peers, &(EfaGid[]) {
        test_gid(2) }[0]));
    hosts_free();
    wire_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/links/flap", test_flap);
    g_test_add_func("/links/hangup-states", test_hangup_states);
    g_test_add_func("/links/reborn", test_reborn);
    g_test_add_func("/links/gone-for-good", test_gone_for_good);
    g_test_add_func("/links/both-connect", test_both_connect);
    g_test_add_func("/links/waiting-flush", test_waiting_flush);
    g_test_add_func("/links/window-freed", test_window_freed);
    g_test_add_func("/links/sqd-backlog", test_sqd_backlog);
    g_test_add_func("/links/every-access", test_every_access);
    g_test_add_func("/links/strangers", test_strangers);
    return g_test_run();
}
