/*
 * Unit tests: how loss is found, and how much may be under way
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lone.h"
#include "efa-srd.h"

#define US  EFA_NSEC_PER_USEC

static uint64_t network(Lone *l, unsigned index)
{
    return stat_get(l->e->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK, index);
}

static EfaPeer *peer_of(Lone *l)
{
    return efa_peer_get(l->e->h->core, &l->peer);
}

/* Messages answered after @rtt, so that the device knows the distance. */
static void teach(Lone *l, int64_t rtt, unsigned count)
{
    while (count--) {
        WirePkt *p = lone_send(l, 1000);

        advance(rtt);
        lone_ack(l, p, EPOCH, 0);
        g_assert_cmpuint(cq_next(l->e->scq).req_id, ==, 1000);
        g_free(p);
    }
}

/* The timer follows the round trip: srtt + 4 rttvar, 10 ms at least. */
static void test_adaptive_timer(void)
{
    static const struct {
        int64_t rtt;
        unsigned samples;
        int64_t rto;
    } rows[] = {
        { 20 * US, 1, 10 * MS }, { 50 * MS, 1, 150 * MS },
        { 50 * MS, 30, 51 * MS }, { 0, 0, 100 * MS },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Lone l = lone_new();
        WirePkt *p;

        teach(&l, rows[i].rtt, rows[i].samples);
        p = lone_send(&l, 1);
        advance(rows[i].rto - 2 * MS);
        g_assert_cmpuint(wire_count(l.w), ==, 0);
        advance(4 * MS);
        g_assert_cmpuint(wire_count(l.w), ==, 1);
        g_assert_cmpuint(network(&l, ST_RETRANS_TIMEOUTS), ==, 1);
        g_free(p);
        lone_free(&l);
    }
}

/* What younger answers have overtaken is sent again long before the timer. */
static void test_overtaken(void)
{
    Lone l = lone_new();
    WirePkt *p[5], *again;
    unsigned i;

    teach(&l, 100 * US, 20);
    for (i = 0; i < 5; i++) {
        p[i] = lone_send(&l, i);
        advance(10 * US);
    }
    advance(60 * US);
    for (i = 1; i < 5; i++) {
        lone_ack(&l, p[i], EPOCH, 0);
        g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, i);
    }
    /* it may just be late */
    advance(300 * US);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    advance(300 * US);
    g_assert_cmpuint(wire_count(l.w), ==, 1);
    again = wire_take(l.w, 0);
    g_assert_cmpuint(again->hdr.psn, ==, p[0]->hdr.psn);
    g_assert_cmpuint(network(&l, ST_RETRANS_PKTS), ==, 1);
    g_assert_cmpuint(network(&l, ST_RETRANS_TIMEOUTS), ==, 0);
    lone_ack(&l, again, EPOCH, 0);
    g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, 0);
    g_free(again);
    for (i = 0; i < 5; i++) {
        g_free(p[i]);
    }
    lone_free(&l);
}

/* A round trip longer than any timer is learnt, and then waited for. */
static void test_long_way(void)
{
    Lone l = lone_new();
    unsigned round, copies = 0;

    for (round = 0; round < 60; round++) {
        WirePkt *p = lone_send(&l, round), *ack;
        unsigned sent_again;

        advance(200 * MS);
        sent_again = wire_drop_all(l.w);
        ack = ghost_ack(p, EPOCH, 0);
        ack->hdr.imm = copies;          /* they arrive after this answer */
        copies += sent_again;
        wire_deliver(l.w, ack);
        g_assert_cmpuint(cq_next(l.e->scq).req_id, ==, round);
        g_free(p);
    }
    g_assert_cmpuint(copies, <, 5);
    g_assert_cmpint(peer_of(&l)->srtt, >, 150 * MS);
    lone_free(&l);
}

/* A network that reorders much is given more time. */
static void test_patience(void)
{
    Lone l = lone_new();
    unsigned round, sent_again = 0;
    WirePkt *ack;

    teach(&l, 100 * US, 20);
    for (round = 0; round < 200; round++) {
        WirePkt *p[2];

        p[0] = lone_send(&l, 1);
        advance(US);
        p[1] = lone_send(&l, 2);
        advance(100 * US);
        lone_ack(&l, p[1], EPOCH, 0);
        /* the other one is always four milliseconds late */
        advance(4 * MS);
        sent_again += wire_drop_all(l.w);
        ack = ghost_ack(p[0], EPOCH, 0);
        ack->hdr.imm = sent_again;      /* it has all of them twice */
        wire_deliver(l.w, ack);
        cq_next(l.e->scq);
        cq_next(l.e->scq);
        advance(100 * US);
        g_free(p[0]);
        g_free(p[1]);
    }
    g_assert_cmpuint(sent_again, >, 0);
    g_assert_cmpuint(sent_again, <, 90);
    lone_free(&l);
}

/* Answers are cumulative: a lost one costs nothing. */
static void test_lost_ack(void)
{
    Wire *w = wire_new();
    End *a = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    End *b = end_new(host_new_on(2, w), EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(a->h, a->pd, test_gid(2));
    unsigned i;

    wire_auto(w, false);
    for (i = 0; i < 20; i++) {
        EfaIoTxWqe wqe = wqe_send(i, ah, b->qp->num);

        rq_post(b->qp, i, &b->rx, 0, 64);
        sq_post(a->qp, &wqe);
        settle();
        wire_deliver(w, wire_take(w, 0));
        if (i < 19) {
            g_assert_cmpuint(wire_drop_all(w), ==, 1);
        }
    }
    g_assert_cmpuint(wire_count(w), ==, 1);
    wire_deliver(w, wire_take(w, 0));
    for (i = 0; i < 20; i++) {
        g_assert_cmpuint(cq_next(a->scq).req_id, ==, i);
    }
    advance(5000 * MS);
    g_assert_cmpuint(wire_count(w), ==, 0);
    g_assert_cmpuint(stat_get(a->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK,
                              ST_RETRANS_PKTS), ==, 0);
    hosts_free();
    wire_free(w);
}

/* Bytes under way are limited; answers raise the limit, loss lowers it. */
static void test_window_bytes(void)
{
    Lone l = lone_new();
    Qp *qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD,
                          create_cq_ok(l.e->h, l.e->uar,
                                       &(CqOpts) { .depth = 2048 }),
                          l.e->rcq, 1024, 0);
    uint32_t mtu = l.e->h->cfg.mtu, before;
    EfaIoTxWqe wqe = wqe_send(0, l.ah, 0x77);
    WirePkt *p;
    unsigned i;

    wqe_sge(&wqe, &l.e->tx, 0, mtu);
    qp_to_rts(qp);
    for (i = 0; i < 600; i++) {
        sq_put(qp, &wqe);
    }
    sq_ring(qp);
    settle();
    g_assert_cmpuint(wire_count(l.w), ==, 16);
    /* each answer lets one in, and one more */
    for (i = 0; i < 16; i++) {
        p = wire_take(l.w, 0);
        lone_ack(&l, p, EPOCH, 0);
        g_free(p);
        g_assert_cmpuint(wire_count(l.w), ==, 16 + i + 1);
    }
    before = peer_of(&l)->cwnd;
    wire_drop_all(l.w);
    advance(12 * MS);
    g_assert_cmpuint(peer_of(&l)->cwnd, <, before * 3 / 4);
    g_assert_cmpuint(peer_of(&l)->cwnd, >, before / 2);
    /* silence does not empty it: what is lost is sent in its limits */
    g_assert_cmpuint(wire_count(l.w) * mtu, <, before);
    g_assert_cmpuint(wire_count(l.w), >=, 8);
    g_assert_cmpuint(peer_of(&l)->flight, <=, peer_of(&l)->cwnd);
    lone_free(&l);
}

/* A pair without traffic keeps no window. */
static void test_idle_memory(void)
{
    Lone l = lone_new();
    WirePkt *p[100];
    unsigned i;

    g_assert_null(peer_of(&l)->tx_slot);
    g_assert_null(peer_of(&l)->rx);
    for (i = 0; i < 60; i++) {
        p[i] = lone_send(&l, i);
    }
    g_assert_cmpuint(peer_of(&l)->tx_slots, ==, 64);
    for (i = 0; i < 60; i++) {
        lone_ack(&l, p[i], EPOCH, 0);
        cq_next(l.e->scq);
        g_free(p[i]);
    }
    g_assert_null(peer_of(&l)->tx_slot);
    g_assert_cmpuint(peer_of(&l)->flight, ==, 0);
    lone_free(&l);
}

/* The driver hears of a peer that was given up. */
static void test_event(void)
{
    Lone l = lone_new();
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);
    EfaAenqConfig groups = { .enabled_groups = 0x1e };
    EfaAenqEntry e;

    memcpy(cmd.raw, &groups, sizeof(groups));
    admin_ok(l.e->h, &cmd, NULL, 0);
    lone_post(&l, 1);
    advance(4000 * MS);
    g_assert_false(aenq_take(l.e->h, &e));
    advance(2000 * MS);
    g_assert_true(aenq_take(l.e->h, &e));
    g_assert_cmpuint(e.group, ==, EFA_ADMIN_WARNING);
    g_assert_cmpuint(e.syndrome, ==, EFA_SYNDROME_UNRESPONSIVE);
    g_assert_false(aenq_take(l.e->h, &e));
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 15);
    lone_free(&l);
}

/* ---- reordering ---- */

/* The order in which @count messages, arrived at once, were placed. */
static void shuffle(uint32_t reorder, uint32_t seed, uint16_t *order,
                    unsigned count)
{
    Wire *w = wire_new();
    EfaConfig cfg = test_config(2);
    Host *h;
    End *a = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD), *b;
    uint16_t ah = create_ah_ok(a->h, a->pd, test_gid(2));
    unsigned i;

    cfg.reorder = reorder;
    cfg.seed = seed;
    h = host_new_raw(&cfg, w, NULL);
    host_probe(h);
    b = end_new(h, EFA_QP_TYPE_SRD);
    for (i = 0; i < count; i++) {
        EfaIoTxWqe wqe = wqe_send(i, ah, b->qp->num);

        wqe_imm(&wqe, i);
        rq_post(b->qp, i, &b->rx, 0, 64);
        sq_put(a->qp, &wqe);
    }
    sq_ring(a->qp);
    for (i = 0; i < count; i++) {
        EfaIoCdesc e = cq_next(b->rcq);

        g_assert_cmpuint(e.req_id, ==, i);      /* buffers keep their order */
        order[i] = e.imm;
    }
    assert_cq_empty(b->rcq);
    for (i = 0; i < count; i++) {
        g_assert_cmpuint(cq_next(a->scq).status, ==, 0);
    }
    hosts_free();
    wire_free(w);
}

static void test_reorder(void)
{
    uint16_t order[60], again[60];
    unsigned i, late = 0, most = 0;
    uint64_t seen = 0;

    shuffle(0, 1, order, 60);
    for (i = 0; i < 60; i++) {
        g_assert_cmpuint(order[i], ==, i);
    }
    shuffle(4, 1, order, 60);
    for (i = 0; i < 60; i++) {
        seen |= 1ull << order[i];
        if (i > order[i]) {
            late++;
            most = MAX(most, i - order[i]);
        }
    }
    g_assert_cmphex(seen, ==, (1ull << 60) - 1);
    g_assert_cmpuint(late, >=, 2);
    g_assert_cmpuint(late, <, 20);
    g_assert_cmpuint(most, <=, 4);
    shuffle(4, 1, again, 60);
    g_assert_cmpmem(order, sizeof(order), again, sizeof(again));
    shuffle(4, 2, again, 60);
    g_assert_cmpint(memcmp(order, again, sizeof(order)), !=, 0);
}

/* What steps back in a new pair is not lost, whatever comes behind it. */
static void test_reorder_first(void)
{
    uint16_t order[4];
    unsigned seed, i, late = 0;

    for (seed = 1; seed < 200; seed++) {
        int64_t begin = host_now;

        shuffle(4, seed, order, 4);
        for (i = 0; i < 4; i++) {
            late += order[i] != i;
        }
        g_assert_cmpint(host_now, ==, begin);
    }
    g_assert_cmpuint(late, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/recovery/adaptive-timer", test_adaptive_timer);
    g_test_add_func("/recovery/overtaken", test_overtaken);
    g_test_add_func("/recovery/long-way", test_long_way);
    g_test_add_func("/recovery/patience", test_patience);
    g_test_add_func("/recovery/lost-ack", test_lost_ack);
    g_test_add_func("/recovery/window-bytes", test_window_bytes);
    g_test_add_func("/recovery/idle-memory", test_idle_memory);
    g_test_add_func("/recovery/event", test_event);
    g_test_add_func("/recovery/reorder", test_reorder);
    g_test_add_func("/recovery/reorder-first", test_reorder_first);
    return g_test_run();
}
