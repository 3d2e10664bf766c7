/*
 * Unit tests: impairments
 *
 * Time is virtual and chance is seeded, so everything here is exact.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"
#include "spray.h"
#include <math.h>

/* ---- what each does ---- */

static void test_nothing(void)
{
    Spray s = spray_new();
    g_autoptr(GArray) got = NULL;

    got = pattern(&s, rule_for(0), 100);
    g_assert_cmpuint(got->len, ==, 100);
    g_assert_cmpuint(g_array_index(got, uint32_t, 57), ==, 57);
    g_assert_cmpuint(STAT(s.h, delayed), ==, 0);
    impair_n(s.h, NULL, 0);
    post(&s, 2);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    spray_free(&s);
}

static void test_loss(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) got = NULL;

    rule.loss = 10;
    got = pattern(&s, rule, MANY);
    g_assert_cmpuint(got->len + STAT(s.h, lost), ==, MANY);
    g_assert_cmpuint(STAT(s.h, lost), >, MANY / 10 * 8 / 10);
    g_assert_cmpuint(STAT(s.h, lost), <, MANY / 10 * 12 / 10);
    g_array_unref(got);
    rule.loss = 100;
    got = pattern(&s, rule, 100);
    g_assert_cmpuint(got->len, ==, 0);
    g_assert_cmpuint(STAT(s.h, lost), ==, 100);
    spray_free(&s);
}

static void test_duplicate(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) got = NULL;
    unsigned i, pairs = 0;

    rule.duplicate = 20;
    got = pattern(&s, rule, MANY);
    g_assert_cmpuint(got->len, ==, MANY + STAT(s.h, duplicated));
    g_assert_cmpuint(STAT(s.h, duplicated), >, MANY / 5 * 8 / 10);
    g_assert_cmpuint(STAT(s.h, duplicated), <, MANY / 5 * 12 / 10);
    for (i = 1; i < got->len; i++) {
        pairs += g_array_index(got, uint32_t, i) ==
                 g_array_index(got, uint32_t, i - 1);
    }
    g_assert_cmpuint(pairs, ==, STAT(s.h, duplicated));
    spray_free(&s);
}

static void test_delay(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);

    rule.delay_us = 1500;
    impair(s.h, rule);
    post(&s, 2);
    advance(500 * US);
    post(&s, 2);
    g_assert_cmpuint(STAT(s.h, held), ==, 2);
    advance(1000 * US - 1);
    g_assert_cmpuint(wire_count(s.w), ==, 0);
    advance(1);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    advance(500 * US - 1);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    advance(1);
    g_assert_cmpuint(wire_count(s.w), ==, 2);
    g_assert_cmpuint(STAT(s.h, delayed), ==, 2);
    g_assert_cmpuint(STAT(s.h, held), ==, 0);
    spray_free(&s);
}

static void test_jitter(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i, early, moved = 0;

    rule.delay_us = 1000;
    rule.jitter_us = 400;
    impair(s.h, rule);
    for (i = 0; i < 200; i++) {
        post(&s, 2);
    }
    advance(600 * US - 1);
    g_assert_cmpuint(wire_count(s.w), ==, 0);
    advance(400 * US);
    early = wire_count(s.w);
    g_assert_cmpuint(early, >, 70);
    g_assert_cmpuint(early, <, 130);
    advance(400 * US + 1);
    g_assert_cmpuint(wire_count(s.w), ==, 200);
    for (i = 0; i < 199; i++) {
        g_autofree WirePkt *pkt = wire_take(s.w, 0);

        moved += number_of(pkt) != i;
    }
    g_assert_cmpuint(moved, >, 100);
    spray_free(&s);
}

static void test_jitter_alone(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.jitter_us = 100;
    impair(s.h, rule);
    for (i = 0; i < 200; i++) {
        post(&s, 2);
    }
    /* half would have to leave before they were sent: they leave at once */
    g_assert_cmpuint(wire_count(s.w), >, 70);
    g_assert_cmpuint(wire_count(s.w), <, 130);
    advance(100 * US);
    g_assert_cmpuint(wire_count(s.w), ==, 200);
    spray_free(&s);
}

static void test_reorder(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i, at_once;

    rule.reorder = 25;
    rule.reorder_us = 300;
    impair(s.h, rule);
    for (i = 0; i < MANY; i++) {
        post(&s, 2);
    }
    at_once = wire_count(s.w);
    g_assert_cmpuint(STAT(s.h, reordered), >, MANY / 4 * 8 / 10);
    g_assert_cmpuint(STAT(s.h, reordered), <, MANY / 4 * 12 / 10);
    g_assert_cmpuint(at_once + STAT(s.h, reordered), ==, MANY);
    advance(300 * US - 1);
    g_assert_cmpuint(wire_count(s.w), ==, at_once);
    advance(1);
    g_assert_cmpuint(wire_count(s.w), ==, MANY);
    g_assert_cmpuint(STAT(s.h, delayed), ==, 0);
    spray_free(&s);
}

static void test_rate(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    /* 100 bytes at 8 Mbit/s */
    const int64_t each = 100 * US;
    unsigned i;

    rule.rate_mbps = 8;
    impair(s.h, rule);
    for (i = 0; i < 10; i++) {
        post(&s, 2);
    }
    for (i = 0; i < 10; i++) {
        g_assert_cmpuint(wire_count(s.w), ==, i);
        advance(each - 1);
        g_assert_cmpuint(wire_count(s.w), ==, i);
        advance(1);
    }
    g_assert_cmpuint(wire_count(s.w), ==, 10);
    /* an idle link saves nothing up */
    advance(SEC);
    post(&s, 2);
    post(&s, 2);
    advance(2 * each - 1);
    g_assert_cmpuint(wire_count(s.w), ==, 11);
    advance(1);
    g_assert_cmpuint(wire_count(s.w), ==, 12);
    spray_free(&s);
}

static void test_rate_overflow(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.rate_mbps = 8;
    rule.limit = 20;
    impair(s.h, rule);
    for (i = 0; i < 50; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(STAT(s.h, overflowed), ==, 30);
    g_assert_cmpuint(STAT(s.h, held), ==, 20);
    advance(SEC);
    g_assert_cmpuint(wire_count(s.w), ==, 20);
    spray_free(&s);
}

static void test_corrupt(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    unsigned i, damaged = 0, in_payload = 0;

    rule.corrupt = 30;
    impair(s.h, rule);
    for (i = 0; i < MANY; i++) {
        post(&s, 2);
    }
    g_assert_cmpuint(wire_count(s.w), ==, MANY);
    while (wire_count(s.w)) {
        g_autofree WirePkt *pkt = wire_take(s.w, 0);

        damaged += !efa_pkt_intact(pkt->data, pkt->len);
        in_payload += number_of(pkt) >= MANY;
    }
    g_assert_cmpuint(damaged, ==, STAT(s.h, corrupted));
    g_assert_cmpuint(damaged, >, MANY * 3 / 10 * 8 / 10);
    g_assert_cmpuint(damaged, <, MANY * 3 / 10 * 12 / 10);
    g_assert_cmpuint(in_payload, >, 0);
    g_assert_cmpuint(in_payload, <, damaged / 2);
    spray_free(&s);
}

/* ---- chance ---- */

static void test_seed(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) first = NULL, second = NULL, other = NULL, mine = NULL;

    rule.loss = 30;
    rule.duplicate = 10;
    rule.reorder = 20;
    rule.has_seed = true;
    rule.seed = 7;
    first = pattern(&s, rule, 500);
    second = pattern(&s, rule, 500);
    g_assert_true(same(first, second));
    rule.seed = 8;
    other = pattern(&s, rule, 500);
    g_assert_false(same(first, other));
    spray_free(&s);

    /* without one it is the device's */
    s = spray_new();
    rule.has_seed = false;
    mine = pattern(&s, rule, 500);
    g_array_unref(other);
    rule.has_seed = true;
    rule.seed = s.h->cfg.seed;
    other = pattern(&s, rule, 500);
    g_assert_true(same(mine, other));
    spray_free(&s);
}

/* What one peer is sent does not change another's luck. */
static void test_sequences_are_independent(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    g_autoptr(GArray) alone = NULL, both = NULL;
    unsigned i;

    rule.loss = 50;
    alone = pattern(&s, rule, 300);
    impair(s.h, rule);
    for (i = 0; i < 300; i++) {
        s.next = 1000;
        post(&s, 3);
        s.next = i;
        post(&s, 2);
    }
    both = take_numbers(s.w);
    for (i = 0; i < both->len; ) {
        if (g_array_index(both, uint32_t, i) == 1000) {
            g_array_remove_index(both, i);
        } else {
            i++;
        }
    }
    g_assert_true(same(alone, both));
    spray_free(&s);
}

/* ---- whom it concerns ---- */

static void test_one_peer(void)
{
    Spray s = spray_new();
    EfaImpairRule rules[2] = { rule_for(0), rule_for(3) };
    WirePkt *pkt;

    rules[1].loss = 100;
    impair_n(s.h, &rules[1], 1);
    post(&s, 2);
    post(&s, 3);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    g_assert_cmpuint(STAT(s.h, lost), ==, 1);
    wire_drop_all(s.w);

    /* a rule of one's own wins, whatever their order */
    rules[0].delay_us = 1000;
    impair_n(s.h, rules, 2);
    post(&s, 2);
    post(&s, 3);
    g_assert_cmpuint(STAT(s.h, held), ==, 1);
    g_assert_cmpuint(STAT(s.h, lost), ==, 1);
    advance(MS);
    g_assert_cmpuint(wire_count(s.w), ==, 1);
    pkt = wire_take(s.w, 0);
    g_assert_cmpmem(pkt->dst.raw, 16, test_gid(2).raw, 16);
    g_free(pkt);
    spray_free(&s);
}

static void test_loopback(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(1));
    EfaImpairRule rule = rule_for(0);

    rule.delay_us = 100;
    impair(h, rule);
    recv_one(e, 1);
    send_to(e, ah, e, 5);
    advance(100 * US - 1);
    assert_cq_empty(e->rcq);
    advance(1);
    g_assert_cmpuint(cq_next(e->rcq).status, ==, 0);
    /* the answer takes its time too */
    advance(100 * US - 1);
    assert_cq_empty(e->scq);
    advance(1);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);

    /* a rule for another does not concern us */
    rule = rule_for(2);
    rule.loss = 100;
    impair(h, rule);
    recv_one(e, 2);
    send_to(e, ah, e, 6);
    g_assert_cmpuint(cq_next(e->rcq).status, ==, 0);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    hosts_free();
}

/* ---- two devices ---- */

static Pair pair_new(EfaQpType type)
{
    Pair p = pair_of_default(type);

    pair_meet(&p);
    return p;
}

static void check_partition(EfaPartition partition, bool out, bool in)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.partition = partition;
    impair(p.a->h, rule);
    for (i = 0; i < 3; i++) {
        recv_one(p.a, i);
        recv_one(p.b, i);
        send_to(p.a, p.ah, p.b, i);
        send_to(p.b, p.back, p.a, i);
    }
    g_assert_cmpuint(count_received(p.b), ==, out ? 0 : 3);
    g_assert_cmpuint(count_received(p.a), ==, in ? 0 : 3);
    g_assert_cmpuint(STAT(p.a->h, partitioned), ==, 3 * out + 3 * in);
    impair_n(p.a->h, NULL, 0);
    /* the counters of the last setting remain */
    g_assert_cmpuint(STAT(p.a->h, partitioned), ==, 3 * out + 3 * in);
    for (i = 0; i < 3; i++) {
        recv_one(p.a, i);
        recv_one(p.b, i);
        send_to(p.a, p.ah, p.b, i);
        send_to(p.b, p.back, p.a, i);
    }
    g_assert_cmpuint(count_received(p.b), ==, 3);
    g_assert_cmpuint(count_received(p.a), ==, 3);
    pair_free(&p);
}

static void test_partition(void)
{
    check_partition(EFA_PARTITION_NONE, false, false);
    check_partition(EFA_PARTITION_OUT, true, false);
    check_partition(EFA_PARTITION_IN, false, true);
    check_partition(EFA_PARTITION_BOTH, true, true);
}

/* A partition that heals in time costs time only; one that stays ends work. */
static void test_partition_srd(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaImpairRule rule = rule_for(0);
    EfaIoCdesc done;

    recv_one(p.b, 1);
    recv_one(p.b, 2);
    recv_one(p.b, 3);
    send_to(p.a, p.ah, p.b, 1);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    rule.partition = EFA_PARTITION_IN;
    impair(p.a->h, rule);
    send_to(p.a, p.ah, p.b, 2);
    advance(2 * SEC);
    assert_cq_empty(p.a->scq);
    impair_n(p.a->h, NULL, 0);
    advance(3 * SEC);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(count_received(p.b), ==, 2);

    rule.partition = EFA_PARTITION_OUT;
    impair(p.a->h, rule);
    send_to(p.a, p.ah, p.b, 3);
    advance(6 * SEC);
    done = cq_next(p.a->scq);
    g_assert_cmpuint(done.status, ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE);
    impair_n(p.a->h, NULL, 0);
    send_to(p.a, p.ah, p.b, 4);
    advance(SEC);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(count_received(p.b), ==, 1);
    pair_free(&p);
}

/* ---- SRD makes up for everything, UD for nothing ---- */

/* Another network, and another amount of room in it. */
static void churn(Pair *p)
{
    EfaImpairRule rule = rule_for(0);
    Host *h = g_test_rand_bit() ? p->a->h : p->b->h;

    wire_room(p->w, g_test_rand_bit() ? -1 : g_test_rand_int_range(0, 6));
    if (g_test_rand_int_range(0, 8)) {
        return;
    }
    rule.loss = g_test_rand_int_range(0, 20);
    rule.duplicate = g_test_rand_int_range(0, 50);
    rule.reorder = g_test_rand_int_range(0, 50);
    rule.corrupt = g_test_rand_int_range(0, 20);
    rule.delay_us = g_test_rand_int_range(0, 3000);
    rule.jitter_us = g_test_rand_int_range(0, 3000);
    rule.rate_mbps = g_test_rand_bit() ? 0 : g_test_rand_int_range(1, 100);
    rule.limit = g_test_rand_int_range(1, 64);
    impair_n(h, &rule, g_test_rand_bit());
}

static void flood(Pair *p, unsigned count, bool restless)
{
    g_autofree unsigned *seen = g_new0(unsigned, count);
    unsigned posted = 0, done = 0, got = 0, rx = 0, i;
    /* each its own: what is sent again is read again */
    Buf tx = reg_buf(p->a->h, p->a->pd, count * 512, 0);
    EfaIoCdesc c;

    for (; rx < 32; rx++) {
        rq_post(p->b->qp, rx, &p->b->rx, rx * 1024, 1024);
    }
    while (done < count || got < count) {
        while (posted < count && posted - done < 32) {
            uint32_t data[100];
            EfaIoTxWqe wqe = wqe_send(posted, p->ah, p->b->qp->num);

            for (i = 0; i < ARRAY_SIZE(data); i++) {
                data[i] = posted + i * 0x01010101;
            }
            memcpy(tx.p + posted * 512, data, sizeof(data));
            wqe_sge(&wqe, &tx, posted * 512, sizeof(data));
            sq_post(p->a->qp, &wqe);
            posted++;
        }
        advance(MS);
        if (restless) {
            churn(p);
        }
        while (cq_poll(p->a->scq, &c)) {
            g_assert_cmpuint(c.status, ==, 0);
            done++;
        }
        while (cq_poll(p->b->rcq, &c)) {
            const uint8_t *at = p->b->rx.p + c.req_id * 1024;
            uint32_t data[100];

            g_assert_cmpuint(c.status, ==, 0);
            memcpy(data, at, sizeof(data));
            g_assert_cmpuint(data[0], <, count);
            for (i = 0; i < ARRAY_SIZE(data); i++) {
                g_assert_cmphex(data[i], ==, data[0] + i * 0x01010101);
            }
            g_assert_cmpuint(seen[data[0]]++, ==, 0);
            got++;
            rq_post(p->b->qp, c.req_id, &p->b->rx, c.req_id * 1024, 1024);
        }
    }
    wire_room(p->w, -1);
    advance(SEC);
    assert_cq_empty(p->b->rcq);
}

static void test_srd_survives(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaImpairRule rule = rule_for(0);

    rule.loss = 5;
    rule.duplicate = 5;
    rule.reorder = 25;
    rule.corrupt = 2;
    rule.delay_us = 50;
    rule.jitter_us = 30;
    impair(p.a->h, rule);
    impair(p.b->h, rule);
    flood(&p, 1000, false);
    g_assert_cmpuint(STAT(p.a->h, lost), >, 0);
    g_assert_cmpuint(STAT(p.a->h, duplicated), >, 0);
    g_assert_cmpuint(STAT(p.a->h, reordered), >, 0);
    g_assert_cmpuint(STAT(p.a->h, corrupted), >, 0);
    g_assert_cmpuint(STAT(p.b->h, checksum_drops), ==,
                     STAT(p.a->h, corrupted));
    g_assert_cmpuint(STAT(p.a->h, checksum_drops), ==,
                     STAT(p.b->h, corrupted));
    pair_free(&p);
}

/* Nothing is forgotten, whatever changes while packets are held. */
static void test_churn(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);

    flood(&p, 3000, true);
    impair_n(p.a->h, NULL, 0);
    impair_n(p.b->h, NULL, 0);
    advance(SEC);
    g_assert_cmpuint(STAT(p.a->h, held), ==, 0);
    g_assert_cmpuint(STAT(p.b->h, held), ==, 0);
    pair_free(&p);
}

static void test_ud_may_arrive_twice(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    EfaImpairRule rule = rule_for(0);

    rule.duplicate = 100;
    impair(p.a->h, rule);
    recv_one(p.b, 1);
    recv_one(p.b, 2);
    send_to(p.a, p.ah, p.b, 1);
    g_assert_cmpuint(count_received(p.b), ==, 2);
    pair_free(&p);
}

static void test_damage_is_loss(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    EfaImpairRule rule = rule_for(0);
    unsigned i;

    rule.corrupt = 100;
    impair(p.a->h, rule);
    recv_one(p.b, 1);
    for (i = 0; i < 60; i++) {
        send_to(p.a, p.ah, p.b, i);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    g_assert_cmpuint(count_received(p.b), ==, 0);
    g_assert_cmpuint(STAT(p.a->h, corrupted), ==, 60);
    g_assert_cmpuint(STAT(p.b->h, checksum_drops), ==, 60);
    impair_n(p.a->h, NULL, 0);
    send_to(p.a, p.ah, p.b, 1);
    g_assert_cmpuint(count_received(p.b), ==, 1);
    pair_free(&p);
}

/* ---- what is no setting ---- */

static void refused(EfaImpairRule *rules, size_t n, const char *text)
{
    Host *h = host_new(1);
    EfaImpair impair_ = { .num_rules = n, .rules = rules };
    g_autoptr(GError) err = NULL;
    EfaImpair now;

    g_assert_false(efa_core_set_impair(h->core, &impair_, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, text)) {
        g_error("\"%s\" does not say \"%s\"", err->message, text);
    }
    efa_core_get_impair(h->core, &now);
    g_assert_cmpuint(now.num_rules, ==, 0);
    efa_impair_clear(&now);
    hosts_free();
}

#define REFUSED(_field, _value, _text)              \
    do {                                            \
        EfaImpairRule rule_ = rule_for(2);          \
                                                    \
        rule_._field = (_value);                    \
        refused(&rule_, 1, (_text));                \
    } while (0)

static void test_validation(void)
{
    EfaImpairRule twice[2] = { rule_for(2), rule_for(2) };
    EfaImpairRule all_twice[2] = { rule_for(0), rule_for(0) };
    g_autofree EfaImpairRule *many = g_new0(EfaImpairRule, 257);

    REFUSED(loss, 100.5, "rule 0 of impair: loss=100.5 is out of range: 0 to "
            "100 percent");
    REFUSED(loss, -1, "loss=-1");
    REFUSED(loss, (double)NAN, "loss=");
    REFUSED(duplicate, 101, "duplicate=101");
    REFUSED(reorder, 101, "reorder=101");
    REFUSED(corrupt, 101, "corrupt=101");
    REFUSED(delay_us, 10000001, "delay-us=10000001 is out of range: 0 to "
            "10000000");
    REFUSED(jitter_us, 10000001, "jitter-us=");
    REFUSED(reorder_us, 0, "reorder-us=0 is out of range: 1 to");
    REFUSED(rate_mbps, 1000001, "rate-mbps=");
    REFUSED(limit, 0, "limit=0");
    REFUSED(limit, 4097, "limit=4097");
    REFUSED(partition, 4, "partition=4");
    REFUSED(peer.raw[0], 0xff, "peer=ff80::2");
    refused(twice, 2, "rule 1 of impair: rule 0 is for peer=fe80::2 too");
    refused(all_twice, 2, "rule 1 of impair: rule 0 is for all peers too");
    refused(many, 257, "impair has 257 rules: no more than 256");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/impair/nothing", test_nothing);
    g_test_add_func("/impair/loss", test_loss);
    g_test_add_func("/impair/duplicate", test_duplicate);
    g_test_add_func("/impair/delay", test_delay);
    g_test_add_func("/impair/jitter", test_jitter);
    g_test_add_func("/impair/jitter-alone", test_jitter_alone);
    g_test_add_func("/impair/reorder", test_reorder);
    g_test_add_func("/impair/rate", test_rate);
    g_test_add_func("/impair/rate-overflow", test_rate_overflow);
    g_test_add_func("/impair/corrupt", test_corrupt);
    g_test_add_func("/impair/seed", test_seed);
    g_test_add_func("/impair/independent", test_sequences_are_independent);
    g_test_add_func("/impair/one-peer", test_one_peer);
    g_test_add_func("/impair/loopback", test_loopback);
    g_test_add_func("/impair/partition", test_partition);
    g_test_add_func("/impair/partition-srd", test_partition_srd);
    g_test_add_func("/impair/srd-survives", test_srd_survives);
    g_test_add_func("/impair/churn", test_churn);
    g_test_add_func("/impair/ud-twice", test_ud_may_arrive_twice);
    g_test_add_func("/impair/damage-is-loss", test_damage_is_loss);
    g_test_add_func("/impair/validation", test_validation);
    return g_test_run();
}
