/*
 * Unit tests: what impairments hold back: how much, for how long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "spray.h"

/* ---- bounds ---- */

static void test_hold_bound(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    EfaIoCdesc e;
    unsigned i, sent = 0;

    rule.delay_us = 1000000;
    impair(s.h, rule);
    for (i = 0; i < MAX_HELD; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(STAT(s.h, held), ==, MAX_HELD);
    /* these must wait for room, as if a ring were full */
    for (i = 0; i < 50; i++) {
        EfaIoTxWqe wqe = wqe_send(i, s.ah[2], 0x77);

        wqe_inline(&wqe, &s.next, sizeof(s.next));
        s.next++;
        sq_post(s.e->qp, &wqe);
    }
    assert_cq_empty(s.e->scq);
    g_assert_cmpuint(STAT(s.h, held), ==, MAX_HELD);
    /* no message for another peer waits with them */
    post(&s, 3);
    g_assert_cmpuint(STAT(s.h, held), ==, MAX_HELD + 1);
    /* a new setting lets all of them go */
    impair(s.h, rule_for(3));
    g_assert_cmpuint(wire_count(s.w), ==, MAX_HELD + 51);
    while (cq_poll(s.e->scq, &e)) {
        sent++;
    }
    g_assert_cmpuint(sent, ==, 50);
    wire_drop_all(s.w);

    /* the same, and time is what makes room */
    impair(s.h, rule);
    for (i = 0; i < MAX_HELD + 50; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(STAT(s.h, held), ==, MAX_HELD);
    advance(SEC);
    g_assert_cmpuint(wire_count(s.w), ==, MAX_HELD);
    g_assert_cmpuint(STAT(s.h, held), ==, 50);
    advance(SEC);
    g_assert_cmpuint(wire_count(s.w), ==, MAX_HELD + 50);
    spray_free(&s);
}

static void test_fabric_full(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) got = NULL;
    unsigned i;

    rule.delay_us = 10;
    impair(s.h, rule);
    for (i = 0; i < 10; i++) {
        post(&s, 2);
    }
    wire_room(s.w, 4);
    advance(MS);
    g_assert_cmpuint(wire_count(s.w), ==, 4);
    /* what is behind those without room waits, in order */
    for (i = 0; i < 10; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(STAT(s.h, held), ==, 6);
    wire_room(s.w, 5);
    settle();
    g_assert_cmpuint(wire_count(s.w), ==, 9);
    wire_room(s.w, -1);
    advance(10 * US);
    got = take_numbers(s.w);
    g_assert_cmpuint(got->len, ==, 20);
    for (i = 0; i < 20; i++) {
        g_assert_cmpuint(g_array_index(got, uint32_t, i), ==, i);
    }
    spray_free(&s);
}

/* Packets that are lost, or pass at once, find the fabric full as well. */
static void test_fabric_full_at_once(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.loss = 50;
    impair(s.h, rule);
    wire_room(s.w, 0);
    for (i = 0; i < 50; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(STAT(s.h, held), ==, 1);
    wire_room(s.w, -1);
    settle();
    g_assert_cmpuint(STAT(s.h, held), ==, 0);
    g_assert_cmpuint(wire_count(s.w) + STAT(s.h, lost), ==, 50);
    spray_free(&s);
}

/* More than the way to oneself holds; it empties only by our own work. */
static void test_loopback_full(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(1));
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.delay_us = 100;
    impair(h, rule);
    for (i = 0; i < 60; i++) {
        EfaIoTxWqe wqe = wqe_send(i, ah, e->qp->num);

        recv_one(e, i);
        wqe_sge(&wqe, &e->tx, 0, 8192);
        sq_put(e->qp, &wqe);
    }
    sq_ring(e->qp);
    advance(MS);
    g_assert_cmpuint(count_received(e), ==, 60);
    for (i = 0; i < 60; i++) {
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    }
    hosts_free();
}

/* ---- life ---- */

static void test_reset(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    EfaImpair now;

    rule.delay_us = 1000;
    impair(s.h, rule);
    post(&s, 2);
    post(&s, 3);
    efa_core_reset(s.h->core);
    g_assert_cmpuint(STAT(s.h, held), ==, 0);
    g_assert_cmpuint(STAT(s.h, discarded), ==, 2);
    advance(SEC);
    g_assert_cmpuint(wire_count(s.w), ==, 0);
    /* the network is as bad as it was */
    efa_core_get_impair(s.h->core, &now);
    g_assert_cmpuint(now.num_rules, ==, 1);
    g_assert_cmpuint(now.rules[0].delay_us, ==, 1000);
    efa_impair_clear(&now);
    spray_free(&s);
}

static GArray *spray_100(Spray *s)
{
    unsigned i;

    for (i = 0; i < 100; i++) {
        post(s, 2);
    }
    advance(SEC);
    return take_numbers(s->w);
}

static void test_link_down(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) first = NULL, again = NULL;

    rule.delay_us = 1000;
    impair(s.h, rule);
    post(&s, 2);
    post(&s, 3);
    wire_cut(s.w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
    g_assert_cmpuint(STAT(s.h, discarded), ==, 1);
    advance(MS);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    post(&s, 2);
    advance(MS);
    g_assert_cmpuint(wire_count(s.w), ==, 2);
    wire_drop_all(s.w);

    /* chance begins anew with the connection */
    rule.loss = 50;
    impair(s.h, rule);
    s.next = 0;
    first = spray_100(&s);
    wire_cut(s.w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
    s.next = 0;
    again = spray_100(&s);
    g_assert_true(same(first, again));
    spray_free(&s);
}

static void test_stop(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);

    rule.delay_us = 1000;
    impair(s.h, rule);
    post(&s, 2);
    efa_core_set_running(s.h->core, false);
    advance(SEC);
    g_assert_cmpuint(wire_count(s.w), ==, 0);
    efa_core_set_running(s.h->core, true);
    settle();
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    spray_free(&s);
}

static void test_clear(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    EfaImpair now;

    rule.delay_us = 1000000;
    impair(s.h, rule);
    post(&s, 2);
    post(&s, 2);
    g_assert_cmpuint(wire_count(s.w), ==, 0);
    impair_n(s.h, NULL, 0);
    g_assert_cmpuint(wire_count(s.w), ==, 2);
    post(&s, 2);
    g_assert_cmpuint(wire_count(s.w), ==, 3);
    efa_core_get_impair(s.h->core, &now);
    g_assert_cmpuint(now.num_rules, ==, 0);
    efa_impair_clear(&now);
    /* a new setting counts anew */
    impair(s.h, rule_for(0));
    g_assert_cmpuint(STAT(s.h, delayed), ==, 0);
    spray_free(&s);
}

/* Much for one peer does not hold up a packet for another. */
static void test_fair(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    EfaGid other = test_gid(3);
    unsigned i, at = UINT_MAX;

    rule.delay_us = 1000;
    impair(s.h, rule);
    post(&s, 2);
    post(&s, 3);
    for (i = 1; i < 2000; i++) {
        post(&s, 2);
    }
    advance(1000 * US);
    for (i = 0; wire_count(s.w); i++) {
        WirePkt *pkt = wire_take(s.w, 0);

        if (efa_gid_equal(&pkt->dst, &other)) {
            at = i;
        }
        g_free(pkt);
    }
    g_assert_cmpuint(i, ==, 2001);
    g_assert_cmpuint(at, <, 100);
    spray_free(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/impair-bounds/fair", test_fair);
    g_test_add_func("/impair-bounds/hold-bound", test_hold_bound);
    g_test_add_func("/impair-bounds/fabric-full", test_fabric_full);
    g_test_add_func("/impair-bounds/fabric-full-at-once", test_fabric_full_at_once);
    g_test_add_func("/impair-bounds/loopback-full", test_loopback_full);
    g_test_add_func("/impair-bounds/reset", test_reset);
    g_test_add_func("/impair-bounds/link-down", test_link_down);
    g_test_add_func("/impair-bounds/stop", test_stop);
    g_test_add_func("/impair-bounds/clear", test_clear);
    return g_test_run();
}
