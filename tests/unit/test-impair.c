/*
 * Unit tests: impairments
 *
 * Time is virtual and chance is seeded, so everything here is exact.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include <math.h>

#define US      EFA_NSEC_PER_USEC
#define MS      EFA_NSEC_PER_MSEC
#define SEC     (1000 * MS)
#define MANY    2000
#define MAX_HELD 4096

static EfaImpairRule rule_for(unsigned peer)
{
    EfaImpairRule rule;

    efa_impair_rule_init(&rule);
    rule.has_peer = peer != 0;
    rule.peer = test_gid(peer);
    return rule;
}

static void impair_n(Host *h, EfaImpairRule *rules, size_t n)
{
    EfaImpair impair = { .num_rules = n, .rules = rules };
    GError *err = NULL;

    efa_core_set_impair(h->core, &impair, &err);
    g_assert_no_error(err);
    settle();
}

static void impair(Host *h, EfaImpairRule rule)
{
    impair_n(h, &rule, 1);
}

#define STAT(h, name)   (efa_core_impair_stats((h)->core).name)

/* ---- a device that sends datagrams to a peer the test plays ---- */

typedef struct Spray {
    Wire *w;
    End *e;
    Host *h;
    uint16_t ah[4];         /* of peers 2 and 3 */
    uint32_t next;
} Spray;

static void post(Spray *s, unsigned peer)
{
    EfaIoTxWqe wqe = wqe_send(s->next, s->ah[peer], 0x77);
    EfaIoCdesc e;

    wqe_inline(&wqe, &s->next, sizeof(s->next));
    s->next++;
    sq_post(s->e->qp, &wqe);
    settle();
    while (cq_poll(s->e->scq, &e)) {
        g_assert_cmpuint(e.status, ==, 0);
    }
}

static Spray spray_new_cfg(const EfaConfig *cfg)
{
    Spray s = { .w = wire_new() };
    unsigned i;

    s.h = host_new_raw(cfg, s.w, NULL);
    host_probe(s.h);
    s.e = end_new(s.h, EFA_QP_TYPE_UD);
    for (i = 2; i <= 3; i++) {
        wire_ghost(s.w, test_gid(i));
        s.ah[i] = create_ah_ok(s.h, s.e->pd, test_gid(i));
        post(&s, i);        /* makes the link */
    }
    wire_drop_all(s.w);
    s.next = 0;
    return s;
}

static Spray spray_new(void)
{
    EfaConfig cfg = test_config(1);

    return spray_new_cfg(&cfg);
}

static void spray_free(Spray *s)
{
    hosts_free();
    wire_free(s->w);
}

static uint32_t number_of(const WirePkt *pkt)
{
    uint32_t n;

    memcpy(&n, pkt->data + sizeof(EfaPktHdr), sizeof(n));
    return n;
}

/* The numbers of the packets on the wire, in order. */
static GArray *take_numbers(Wire *w)
{
    GArray *numbers = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    while (wire_count(w)) {
        WirePkt *pkt = wire_take(w, 0);
        uint32_t n = number_of(pkt);

        g_array_append_val(numbers, n);
        g_free(pkt);
    }
    return numbers;
}

/* What arrives of @count datagrams under @rule. */
static GArray *pattern(Spray *s, EfaImpairRule rule, unsigned count)
{
    impair(s->h, rule);
    s->next = 0;
    while (count--) {
        post(s, 2);
    }
    advance(SEC);
    return take_numbers(s->w);
}

static bool same(const GArray *a, const GArray *b)
{
    return a->len == b->len && !memcmp(a->data, b->data, a->len * 4);
}

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

static void recv_one(End *e, uint16_t req)
{
    rq_post(e->qp, req, &e->rx, 0, 8192);
}

static void send_to(End *from, uint16_t ah, End *to, uint32_t value)
{
    EfaIoTxWqe wqe = wqe_send(value, ah, to->qp->num);

    wqe_inline(&wqe, &value, sizeof(value));
    sq_post(from->qp, &wqe);
    settle();
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

typedef struct Pair {
    Wire *w;
    End *a, *b;
    uint16_t a_to_b, b_to_a;
} Pair;

static Pair pair_new(EfaQpType type)
{
    Pair p = { .w = wire_new() };

    p.a = end_new(host_new_on(1, p.w), type);
    p.b = end_new(host_new_on(2, p.w), type);
    p.a_to_b = create_ah_ok(p.a->h, p.a->pd, test_gid(2));
    p.b_to_a = create_ah_ok(p.b->h, p.b->pd, test_gid(1));
    return p;
}

static void pair_free(Pair *p)
{
    hosts_free();
    wire_free(p->w);
}

static unsigned count_received(End *e)
{
    EfaIoCdesc c;
    unsigned n = 0;

    settle();
    while (cq_poll(e->rcq, &c)) {
        g_assert_cmpuint(c.status, ==, 0);
        n++;
    }
    return n;
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
        send_to(p.a, p.a_to_b, p.b, i);
        send_to(p.b, p.b_to_a, p.a, i);
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
        send_to(p.a, p.a_to_b, p.b, i);
        send_to(p.b, p.b_to_a, p.a, i);
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
    send_to(p.a, p.a_to_b, p.b, 1);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    rule.partition = EFA_PARTITION_IN;
    impair(p.a->h, rule);
    send_to(p.a, p.a_to_b, p.b, 2);
    advance(2 * SEC);
    assert_cq_empty(p.a->scq);
    impair_n(p.a->h, NULL, 0);
    advance(3 * SEC);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(count_received(p.b), ==, 2);

    rule.partition = EFA_PARTITION_OUT;
    impair(p.a->h, rule);
    send_to(p.a, p.a_to_b, p.b, 3);
    advance(6 * SEC);
    done = cq_next(p.a->scq);
    g_assert_cmpuint(done.status, ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE);
    impair_n(p.a->h, NULL, 0);
    send_to(p.a, p.a_to_b, p.b, 4);
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
            EfaIoTxWqe wqe = wqe_send(posted, p->a_to_b, p->b->qp->num);

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
    send_to(p.a, p.a_to_b, p.b, 1);
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
        send_to(p.a, p.a_to_b, p.b, i);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    g_assert_cmpuint(count_received(p.b), ==, 0);
    g_assert_cmpuint(STAT(p.a->h, corrupted), ==, 60);
    g_assert_cmpuint(STAT(p.b->h, checksum_drops), ==, 60);
    impair_n(p.a->h, NULL, 0);
    send_to(p.a, p.a_to_b, p.b, 1);
    g_assert_cmpuint(count_received(p.b), ==, 1);
    pair_free(&p);
}

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

/* ---- checksum ---- */

/* Every single bit counts, and so do up to three of them. */
static void test_checksum(void)
{
    static const size_t lens[] = { sizeof(EfaPktHdr), sizeof(EfaPktHdr) + 1,
                                   600, EFA_PKT_MAX };
    uint8_t pkt[EFA_PKT_MAX];
    size_t i, len, bit;
    unsigned n;

    for (i = 0; i < sizeof(pkt); i++) {
        pkt[i] = i * 31 >> 2;
    }
    for (i = 0; i < G_N_ELEMENTS(lens); i++) {
        len = lens[i];
        efa_pkt_seal(pkt, len);
        g_assert_true(efa_pkt_intact(pkt, len));
        efa_pkt_seal(pkt, len);
        g_assert_true(efa_pkt_intact(pkt, len));
        g_assert_false(len > sizeof(EfaPktHdr) &&
                       efa_pkt_intact(pkt, len - 1));
        for (bit = 0; bit < len * 8; bit += len > 600 ? 7 : 1) {
            pkt[bit / 8] ^= 1 << bit % 8;
            g_assert_false(efa_pkt_intact(pkt, len));
            pkt[bit / 8] ^= 1 << bit % 8;
        }
        for (n = 0; n < 2000; n++) {
            size_t a = g_test_rand_int_range(0, len * 8);
            size_t b = g_test_rand_int_range(0, len * 8);
            size_t c = g_test_rand_int_range(0, len * 8);

            pkt[a / 8] ^= 1 << a % 8;
            pkt[b / 8] ^= 1 << b % 8;
            pkt[c / 8] ^= 1 << c % 8;
            g_assert_false(efa_pkt_intact(pkt, len));
            pkt[a / 8] ^= 1 << a % 8;
            pkt[b / 8] ^= 1 << b % 8;
            pkt[c / 8] ^= 1 << c % 8;
        }
        g_assert_true(efa_pkt_intact(pkt, len));
    }
}

/* A datagram for @e, from the ghost that everybody trusts. */
static WirePkt *datagram(End *e)
{
    WirePkt *pkt = ghost_pkt(test_gid(2), test_gid(1), EFA_PKT_UD, 1000);

    pkt->hdr.dst_qpn = e->qp->num;
    pkt_payload(pkt, "datagram", 8);
    return pkt;
}

static void test_receiver(void)
{
    Spray s = spray_new();
    WirePkt *pkt = datagram(s.e);
    size_t bit, bits = pkt->len * 8;

    recv_one(s.e, 1);
    recv_one(s.e, 2);
    recv_one(s.e, 3);
    /* a checksum is looked at if there is one ... */
    efa_pkt_seal(pkt->data, pkt->len);
    for (bit = 0; bit < bits; bit++) {
        WirePkt *copy = wire_dup(pkt);

        copy->data[bit / 8] ^= 1 << bit % 8;
        wire_deliver(s.w, copy);
    }
    g_assert_cmpuint(count_received(s.e), ==, 0);
    g_assert_cmpuint(STAT(s.h, checksum_drops), ==, bits);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 1);
    wire_deliver(s.w, datagram(s.e));
    g_assert_cmpuint(count_received(s.e), ==, 1);
    /* ... and missed where the fabric may do damage */
    s.h->fabric->checksum = true;
    wire_deliver(s.w, datagram(s.e));
    g_assert_cmpuint(count_received(s.e), ==, 0);
    pkt = datagram(s.e);
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 1);
    /* what a checksum is right for is still judged */
    pkt = datagram(s.e);
    pkt->hdr.payload_len = 7;
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    pkt = datagram(s.e);
    pkt->len = sizeof(EfaPktHdr) - 1;
    wire_deliver(s.w, pkt);
    pkt = datagram(s.e);
    pkt->len = sizeof(pkt->data);
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 0);
    spray_free(&s);
}

/* Where the fabric asks for it, all that is sent has a checksum. */
static void test_sender(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    WirePkt *pkt;
    unsigned i;

    post(&s, 2);
    pkt = wire_take(s.w, 0);
    g_assert_cmpuint(pkt->hdr.checksum_kind, ==, EFA_PKT_NO_CHECKSUM);
    g_free(pkt);
    s.h->fabric->checksum = true;
    for (i = 0; i < 3; i++) {
        post(&s, 2);
        advance(MS);
        pkt = wire_take(s.w, 0);
        g_assert_true(efa_pkt_intact(pkt->data, pkt->len));
        g_free(pkt);
        rule.delay_us = i * 10;
        impair(s.h, rule);
    }
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
    g_test_add_func("/impair/fair", test_fair);
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
    g_test_add_func("/impair/hold-bound", test_hold_bound);
    g_test_add_func("/impair/fabric-full", test_fabric_full);
    g_test_add_func("/impair/fabric-full-at-once", test_fabric_full_at_once);
    g_test_add_func("/impair/loopback-full", test_loopback_full);
    g_test_add_func("/impair/reset", test_reset);
    g_test_add_func("/impair/link-down", test_link_down);
    g_test_add_func("/impair/stop", test_stop);
    g_test_add_func("/impair/clear", test_clear);
    g_test_add_func("/impair/validation", test_validation);
    g_test_add_func("/checksum/bits", test_checksum);
    g_test_add_func("/checksum/receiver", test_receiver);
    g_test_add_func("/checksum/sender", test_sender);
    return g_test_run();
}
