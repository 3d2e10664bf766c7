/*
 * Unit tests: the cable is pulled, and put back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

#define MS          EFA_NSEC_PER_MSEC
#define LOST(end)   efa_core_impair_stats((end)->h->core).unplugged

static Pair pair_new(EfaQpType type)
{
    Pair p = pair_of_default(type);
    unsigned i;

    for (i = 0; i < 16; i++) {
        rq_post(p.b->qp, i, &p.b->rx, i * 64, 64);
    }
    return p;
}

static void assert_arrives(Pair *p, uint16_t req)
{
    EfaIoCdesc sent = cq_next(p->a->scq);

    g_assert_cmpuint(sent.status, ==, 0);
    g_assert_cmpuint(sent.req_id, ==, req);
    g_assert_cmpuint(cq_next(p->b->rcq).status, ==, 0);
    assert_cq_empty(p->b->rcq);
}

/* At either end: nothing passes, and what was sent arrives afterwards. */
static void test_short(void)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new(EFA_QP_TYPE_SRD);
        End *off = i ? p.b : p.a;
        uint64_t sent, received;

        pair_send(&p, 1);
        assert_arrives(&p, 1);
        efa_core_set_link(off->h->core, false);
        g_assert_false(efa_core_link(off->h->core));
        sent = stat_get(off->h, EFA_ADMIN_GET_STATS_TYPE_BASIC, ST_TX_PKTS);
        received = stat_get(off->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                            ST_RX_PKTS);
        pair_send(&p, 2);
        advance(500 * MS);
        assert_cq_empty(p.a->scq);
        assert_cq_empty(p.b->rcq);
        g_assert_cmpuint(LOST(off), >, 0);
        g_assert_cmpuint(stat_get(off->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                                  ST_TX_PKTS), ==, sent);
        g_assert_cmpuint(stat_get(off->h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                                  ST_RX_PKTS), ==, received);
        efa_core_set_link(off->h->core, true);
        g_assert_true(efa_core_link(off->h->core));
        advance(2000 * MS);
        assert_arrives(&p, 2);
        pair_send(&p, 3);
        assert_arrives(&p, 3);
        pair_free(&p);
    }
}

/* Too long for the transport: the peer is given up, and found again. */
static void test_long(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);

    pair_send(&p, 1);
    assert_arrives(&p, 1);
    efa_core_set_link(p.a->h->core, false);
    pair_send(&p, 2);
    advance(10000 * MS);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 13);
    efa_core_set_link(p.a->h->core, true);
    pair_send(&p, 3);
    advance(1000 * MS);
    assert_arrives(&p, 3);
    pair_free(&p);
}

/* Datagrams are complete once they are sent, and lost. */
static void test_datagrams(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);

    efa_core_set_link(p.b->h->core, false);
    pair_send(&p, 1);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(LOST(p.b), ==, 1);
    efa_core_set_link(p.b->h->core, true);
    efa_core_set_link(p.a->h->core, false);
    pair_send(&p, 2);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(LOST(p.a), ==, 1);
    efa_core_set_link(p.a->h->core, true);
    assert_cq_empty(p.b->rcq);
    pair_send(&p, 3);
    assert_arrives(&p, 3);
    pair_free(&p);
}

/* What goes to the device itself takes the same way. */
static void test_to_oneself(void)
{
    End *e = end_new(host_new(1), EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = wqe_send(1, create_ah_ok(e->h, e->pd, test_gid(1)),
                              e->qp->num);

    rq_post(e->qp, 1, &e->rx, 0, 64);
    efa_core_set_link(e->h->core, false);
    sq_post(e->qp, &wqe);
    advance(100 * MS);
    assert_cq_empty(e->scq);
    assert_cq_empty(e->rcq);
    efa_core_set_link(e->h->core, true);
    advance(2000 * MS);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(e->rcq).status, ==, 0);
    hosts_free();
}

/* A packet that a bad network holds back is lost if its time comes then. */
static void test_held(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    EfaImpairRule rule;
    EfaImpair impair = { 1, &rule };

    efa_impair_rule_init(&rule);
    rule.delay_us = 10000;
    g_assert_true(efa_core_set_impair(p.a->h->core, &impair, NULL));
    pair_send(&p, 1);
    efa_core_set_link(p.a->h->core, false);
    advance(20 * MS);
    g_assert_cmpuint(LOST(p.a), ==, 1);
    pair_send(&p, 2);
    advance(20 * MS);
    g_assert_cmpuint(LOST(p.a), ==, 2);
    g_assert_cmpuint(efa_core_impair_stats(p.a->h->core).held, ==, 0);
    assert_cq_empty(p.b->rcq);
    efa_core_set_link(p.a->h->core, true);
    pair_send(&p, 3);
    advance(20 * MS);
    g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 0);
    assert_cq_empty(p.b->rcq);
    pair_free(&p);
}

static void enable_notifications(Host *h)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);
    EfaAenqConfig groups = { .enabled_groups = 1u << EFA_ADMIN_NOTIFICATION };

    memcpy(cmd.raw, &groups, sizeof(groups));
    admin_ok(h, &cmd, NULL, 0);
    host_irqs(h, 0);
}

static void assert_told(Host *h, uint16_t syndrome)
{
    EfaAenqEntry e;

    g_assert_true(aenq_take(h, &e));
    g_assert_cmpuint(e.group, ==, EFA_ADMIN_NOTIFICATION);
    g_assert_cmpuint(e.syndrome, ==, syndrome);
    g_assert_cmpuint(host_irqs(h, 0), ==, 1);
}

#define assert_not_told(h) do {                                         \
        EfaAenqEntry e_;                                                \
        g_assert_false(aenq_take((h), &e_));                            \
        g_assert_cmpuint(host_irqs((h), 0), ==, 0);                     \
    } while (0)

/* The driver hears of every change, once, while its machine runs. */
static void test_events(void)
{
    Host *h = host_new(1);

    host_irqs(h, 0);
    efa_core_set_link(h->core, false);
    efa_core_set_link(h->core, true);
    assert_not_told(h);         /* not asked for */
    enable_notifications(h);
    efa_core_set_link(h->core, true);
    assert_not_told(h);
    efa_core_set_link(h->core, false);
    assert_told(h, EFA_SYNDROME_LINK_DOWN);
    efa_core_set_link(h->core, false);
    assert_not_told(h);
    efa_core_set_link(h->core, true);
    assert_told(h, EFA_SYNDROME_LINK_UP);

    efa_core_set_running(h->core, false);
    h->dma_seen = false;
    efa_core_set_link(h->core, false);
    g_assert_false(h->dma_seen);
    efa_core_set_running(h->core, true);
    assert_told(h, EFA_SYNDROME_LINK_DOWN);
    efa_core_set_running(h->core, false);
    efa_core_set_link(h->core, true);
    efa_core_set_link(h->core, false);
    efa_core_set_running(h->core, true);
    assert_not_told(h);         /* there is nothing to tell */
    hosts_free();
}

/* A reset of the device puts no cable in. */
static void test_reset(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);

    efa_core_set_link(p.b->h->core, false);
    host_probe(p.b->h);
    g_assert_false(efa_core_link(p.b->h->core));
    pair_send(&p, 1);
    g_assert_cmpuint(LOST(p.b), >, 0);
    pair_free(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cable/short", test_short);
    g_test_add_func("/cable/long", test_long);
    g_test_add_func("/cable/datagrams", test_datagrams);
    g_test_add_func("/cable/to-oneself", test_to_oneself);
    g_test_add_func("/cable/held", test_held);
    g_test_add_func("/cable/events", test_events);
    g_test_add_func("/cable/reset", test_reset);
    return g_test_run();
}
