/*
 * Unit tests: completion queues of several rings, rings that overflow, and
 * who a completion says it is from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

#define GUARD   64              /* bytes around a ring that stay as they are */

/* One QP that sends to itself, on one CQ. */
typedef struct Self {
    Qp *qp;
    uint16_t sent;              /* messages so far */
} Self;

typedef struct Env {
    Host *h;
    End *e;                     /* for its PD, UAR and regions */
    uint16_t ah;
} Env;

static Env env_new(uint16_t subs)
{
    EfaConfig cfg = test_config_of(1, 0);
    Env v = { };

    cfg.sub_cqs_per_cq = subs;
    v.h = host_new_cfg(&cfg);
    v.e = end_new(v.h, EFA_QP_TYPE_SRD);
    v.ah = create_ah_ok(v.h, v.e->pd, test_gid(1));
    return v;
}

static Self self_new(Env *v, Cq *scq, Cq *rcq)
{
    Self s = { .qp = create_qp_ok(v->h, v->e->pd, v->e->uar, EFA_QP_TYPE_SRD,
                                  scq, rcq, 16, 16) };

    qp_to_rts(s.qp);
    return s;
}

/* One message: a completion each in the rings of its sender and receiver. */
static void say(Env *v, Self *s)
{
    EfaIoTxWqe wqe = wqe_send(s->sent, v->ah, s->qp->num);

    rq_post(s->qp, 0x8000 | s->sent, &v->e->rx, 0, 64);
    sq_post(s->qp, &wqe);
    settle();
    s->sent++;
}

static void check_entry(const EfaIoCdesc *e, const Self *s, uint16_t n,
                        bool receive)
{
    g_assert_cmpuint(e->status, ==, 0);
    g_assert_cmphex(e->qp_num, ==, s->qp->num);
    g_assert_cmphex(e->req_id, ==, receive ? 0x8000 | n : n);
    g_assert_cmpuint(COMP_TYPE(*e), ==, receive ? EFA_IO_RECV_QUEUE
                                                : EFA_IO_SEND_QUEUE);
}

/* A CQ whose memory is fenced in. */
static Cq *cq_guarded(Env *v, const CqOpts *opts)
{
    uint64_t front = host_alloc(v->h, GUARD, HOST_PAGE);
    Cq *cq = create_cq_ok(v->h, v->e->uar, opts);
    uint64_t back = host_alloc(v->h, GUARD, 1);

    g_assert_cmphex(back, ==, cq->ring +
                    cq->subs * cq->depth * cq->entry_size);
    memset(host_ptr(v->h, front), 0x77, HOST_PAGE);
    memset(host_ptr(v->h, back), 0x77, GUARD);
    return cq;
}

static void check_guards(const Cq *cq)
{
    uint64_t ends[] = { cq->ring - GUARD,
                        cq->ring + cq->subs * cq->depth * cq->entry_size };
    unsigned i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; j < GUARD; j++) {
            g_assert_cmphex(((uint8_t *)host_ptr(cq->h, ends[i]))[j], ==,
                            0x77);
        }
    }
}

/*
 * 4.1: each ring has its own index and phase. Rings of unlike age, in both
 * directions, of both sizes of entries.
 */
static void check_rings(uint16_t subs, uint16_t depth, uint8_t entry_size)
{
    const CqOpts opts = { .depth = depth, .entry_size = entry_size };
    Env v = env_new(subs);
    Cq *scq = cq_guarded(&v, &opts), *rcq = cq_guarded(&v, &opts);
    Self qps[8];
    uint64_t used[2] = { 0 };
    unsigned i, j, k;

    for (i = 0; i < 8; i++) {
        qps[i] = self_new(&v, scq, rcq);
        g_assert_cmpuint(qps[i].qp->send_sub, <, subs);
        g_assert_cmpuint(qps[i].qp->recv_sub, <, subs);
        used[0] |= 1ull << qps[i].qp->send_sub;
        used[1] |= 1ull << qps[i].qp->recv_sub;
    }
    /* 14, 17: the queues are spread over the rings */
    for (i = 0; i < 2; i++) {
        g_assert_cmpuint(__builtin_popcountll(used[i]), ==, MIN(subs, 8));
    }
    for (i = 0; i < 5 * depth; i++) {
        for (j = 0; j < 8; j++) {
            for (k = 0; k <= j % 3; k++) {
                EfaIoCdesc e;

                say(&v, &qps[j]);
                g_assert_true(cq_poll_sub(scq, qps[j].qp->send_sub, &e));
                check_entry(&e, &qps[j], qps[j].sent - 1, false);
                g_assert_true(cq_poll_sub(rcq, qps[j].qp->recv_sub, &e));
                check_entry(&e, &qps[j], qps[j].sent - 1, true);
                if (depth > 1) {
                    assert_cq_empty(scq);
                    assert_cq_empty(rcq);
                }
            }
        }
    }
    check_guards(scq);
    check_guards(rcq);
    hosts_free();
}

static void test_rings(void)
{
    static const uint16_t subs[] = { 1, 2, 4, 64 };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(subs); i++) {
        check_rings(subs[i], 1, 32);
        check_rings(subs[i], 4, 32);
        check_rings(subs[i], 16, 16);
    }
}

/* 8.4: the consumer index is of all rings together, and so is the arm. */
static void test_rings_armed(void)
{
    Env v = env_new(4);
    Eq *eq = create_eq_ok(v.h, 512, 3);
    const CqOpts opts = { .depth = 8, .eq = eq };
    Cq *cq = create_cq_ok(v.h, v.e->uar, &opts);
    Cq *other = create_cq_ok(v.h, v.e->uar, NULL);
    Self qps[4];
    EfaIoCdesc e;
    unsigned i;

    for (i = 0; i < 4; i++) {
        qps[i] = self_new(&v, cq, other);
    }
    for (i = 0; i < 40; i++) {
        eq_arm(eq);
        cq_arm(cq);
        g_assert_cmpint(eq_take(eq), ==, -1);
        /* whichever ring it is in */
        say(&v, &qps[i * 7 % 4]);
        g_assert_cmpint(eq_take(eq), ==, cq->idx);
        g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
        say(&v, &qps[(i * 7 + 1) % 4]);
        g_assert_cmpint(eq_take(eq), ==, -1);
        cq->sn++;
        /* one of the two is not taken: the arm tells of it at once */
        g_assert_true(cq_poll(cq, &e));
        cq_arm(cq);
        g_assert_cmpint(eq_take(eq), ==, cq->idx);
        cq->sn++;
        g_assert_true(cq_poll(cq, &e));
        assert_cq_empty(cq);
        eq_arm(eq);
        host_irqs(v.h, 3);
    }
    hosts_free();
}

/* ---- overflow (14, 16) ---- */

/* A ring too small for its work is overwritten, and nothing else is. */
static void check_overflow(uint16_t subs, uint8_t entry_size)
{
    const CqOpts small = { .depth = 4, .entry_size = entry_size };
    Env v = env_new(subs);
    Cq *cq = cq_guarded(&v, &small), *ample = create_cq_ok(v.h, v.e->uar,
                                                           NULL);
    Self noisy = self_new(&v, cq, ample), quiet = self_new(&v, cq, ample);
    uint32_t ring_size = 4 * entry_size;
    uint8_t *mine = host_ptr(v.h, cq->ring + noisy.qp->send_sub * ring_size);
    unsigned i;

    /* in the rings of others too, as far as there are any */
    say(&v, &quiet);
    for (i = 0; i < 4 * 5 + 3; i++) {
        say(&v, &noisy);
    }
    for (i = 0; i < 4; i++) {
        uint8_t entry[32];
        EfaIoCdesc e = { };
        /* the newest that was written to that slot, in its phase */
        unsigned n = noisy.qp->send_sub == quiet.qp->send_sub ? 1 : 0;
        unsigned last = (4 * 5 + 3 + n - 1 - i) / 4 * 4 + i;

        memcpy(entry, mine + i * entry_size, entry_size);
        memcpy(&e, entry, entry_size);
        g_assert_cmpuint(e.flags & 1, ==, !(last / 4 & 1));
        check_entry(&e, &noisy, last - n, false);
    }
    check_guards(cq);
    if (quiet.qp->send_sub != noisy.qp->send_sub) {
        EfaIoCdesc e;

        g_assert_true(cq_poll_sub(cq, quiet.qp->send_sub, &e));
        check_entry(&e, &quiet, 0, false);
        g_assert_false(cq_poll_sub(cq, quiet.qp->send_sub, &e));
    }
    /* queue pairs, other queues and the device go on */
    g_assert_cmpuint(qp_query(noisy.qp).qp_state, ==, EFA_QP_STATE_RTS);
    for (i = 0; i < 4 * 5 + 4; i++) {
        g_assert_cmpuint(cq_next(ample).status, ==, 0);
    }
    assert_cq_empty(ample);
    g_assert_cmphex(reg_read(v.h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK, ==,
                    0);
    hosts_free();
}

static void test_overflow(void)
{
    check_overflow(1, 32);
    check_overflow(1, 16);
    check_overflow(2, 32);
    check_overflow(4, 16);
}

/* One who was overrun, and polls again, is told of what comes next. */
static void test_overflow_armed(void)
{
    Env v = env_new(1);
    Eq *eq = create_eq_ok(v.h, 512, 3);
    const CqOpts opts = { .depth = 2, .eq = eq };
    Cq *cq = create_cq_ok(v.h, v.e->uar, &opts);
    Cq *ample = create_cq_ok(v.h, v.e->uar, NULL);
    Self s = self_new(&v, cq, ample);
    unsigned i;

    eq_arm(eq);
    cq_arm(cq);
    for (i = 0; i < 9; i++) {
        say(&v, &s);
    }
    g_assert_cmpint(eq_take(eq), ==, cq->idx);
    g_assert_cmpint(eq_take(eq), ==, -1);
    /* it has lost count, and its index lags for ever */
    for (i = 0; i < 5; i++) {
        cq->sn++;
        cq_arm(cq);
        if (eq_take(eq) < 0) {
            say(&v, &s);
            g_assert_cmpint(eq_take(eq), ==, cq->idx);
        }
    }
    hosts_free();
}

/* ---- doorbell words (data path, 13.1) ---- */

static void test_doorbell_words(void)
{
    static const struct {
        const char *name;
        uint32_t word;
        int consumer;           /* relative to what was produced */
        bool now;               /* the arm fires at once */
        bool bogus;             /* counted as such */
    } rows[] = {
        { "plain", 0, 0, false, false },
        { "reserved bits", 0x1fff0000, 0, false, false },
        { "behind", 0, -1, true, false },
        { "behind, reserved bits", 0x1fff0000, -1, true, false },
        { "the largest ring behind", 0, -0x8000, true, false },
        { "ahead", 0, 1, false, true },
        { "far ahead", 0, 0x7fff, false, true },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Env v = env_new(1);
        Eq *eq = create_eq_ok(v.h, 512, 3);
        const CqOpts opts = { .depth = 8, .eq = eq };
        Cq *cq = create_cq_ok(v.h, v.e->uar, &opts);
        Self s = self_new(&v, cq, create_cq_ok(v.h, v.e->uar, NULL));
        uint64_t bogus = v.h->core->stats.bad_doorbells;

        say(&v, &s);
        say(&v, &s);
        db_write(v.h, cq->db, 1u << 31 | rows[i].word |
                              (uint16_t)(2 + rows[i].consumer));
        if ((eq_take(eq) == cq->idx) != rows[i].now) {
            g_error("%s: event %s", rows[i].name,
                    rows[i].now ? "missing" : "superfluous");
        }
        if (!rows[i].now) {
            say(&v, &s);
            g_assert_cmpint(eq_take(eq), ==, cq->idx);
        }
        g_assert_cmpuint(v.h->core->stats.bad_doorbells - bogus, ==,
                         rows[i].bogus);
        hosts_free();
    }
}

/* ---- numbers that are used again ---- */

/* A number is used again as late as possible: stale events stay stale (8.5). */
static void test_index_reuse(void)
{
    EfaConfig cfg = test_config(1);
    const unsigned max = 16;
    unsigned seen = 0, i;
    uint16_t uar, first;
    Cq *cq, *heir;
    CqOpts opts = { .depth = 8 };
    Host *h;
    Eq *eq;

    cfg.max_cq = max;
    h = host_new_cfg(&cfg);
    uar = alloc_uar_ok(h);
    eq = opts.eq = create_eq_ok(h, 512, 3);
    cq = create_cq_ok(h, uar, &opts);
    first = cq->idx;
    eq_arm(eq);
    cq_arm(cq);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, first), ==, 0);
    for (i = 0; i < max; i++) {
        heir = create_cq_ok(h, uar, &opts);
        if (i < max - 1) {
            g_assert_cmpuint(heir->idx, !=, first);
        }
        g_assert_false(seen >> heir->idx & 1);
        seen |= 1u << heir->idx;
        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, heir->idx), ==, 0);
    }
    g_assert_cmpuint(heir->idx, ==, first);
    /* the arm of the former owner is not the heir's */
    heir = create_cq_ok(h, uar, &opts);
    while (heir->idx != first) {
        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, heir->idx), ==, 0);
        heir = create_cq_ok(h, uar, &opts);
    }
    {
        uint16_t pd = alloc_pd_ok(h);
        Qp *qp = create_qp_ok(h, pd, uar, EFA_QP_TYPE_SRD, heir, heir, 4, 0);
        EfaIoTxWqe wqe = wqe_send(1, 0, 0);

        qp_to_rts(qp);
        sq_post(qp, &wqe);
        g_assert_cmpuint(cq_next(heir).status, ==, 4);
        g_assert_cmpint(eq_take(eq), ==, -1);
        g_assert_cmpuint(host_irqs(h, 3), ==, 0);
    }
    hosts_free();
}

/* ---- who sent it (4.4, 8.2) ---- */

/* Known in this PD: its number. Unknown: its address, if there is room. */
static void test_senders(void)
{
    Wire *w = wire_new();
    End *b = end_new(host_new_on(1, w), EFA_QP_TYPE_SRD);
    End *a[3];
    uint16_t ah[3], back;
    static const uint8_t zero[16];
    unsigned i, round;

    for (i = 0; i < 3; i++) {
        a[i] = end_new(host_new_on(2 + i, w), EFA_QP_TYPE_SRD);
        ah[i] = create_ah_ok(a[i]->h, a[i]->pd, test_gid(1));
    }
    /* another PD's handles are nobody's business */
    create_ah_ok(b->h, alloc_pd_ok(b->h), test_gid(2));
    back = create_ah_ok(b->h, b->pd, test_gid(3));
    for (round = 0; round < 2; round++) {
        for (i = 0; i < 3; i++) {
            EfaIoTxWqe wqe = wqe_send(i, ah[i], b->qp->num);
            bool known = round == 0 && i == 1;
            EfaIoCdesc e;

            rq_post(b->qp, i, &b->rx, 0, 64);
            sq_post(a[i]->qp, &wqe);
            e = cq_next(b->rcq);
            g_assert_cmphex(e.ah, ==, known ? back : EFA_IO_NO_AH);
            g_assert_cmpmem(e.src_addr, 16,
                            known ? zero : test_gid(2 + i).raw, 16);
            g_assert_cmphex(e.src_qp_num, ==, a[i]->qp->num);
        }
        g_assert_cmpuint(destroy_ah(b->h, b->pd, back), ==,
                         round == 0 ? 0 : 5);
    }
    hosts_free();
    wire_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cq/rings", test_rings);
    g_test_add_func("/cq/rings-armed", test_rings_armed);
    g_test_add_func("/cq/overflow", test_overflow);
    g_test_add_func("/cq/overflow-armed", test_overflow_armed);
    g_test_add_func("/cq/doorbell-words", test_doorbell_words);
    g_test_add_func("/cq/index-reuse", test_index_reuse);
    g_test_add_func("/cq/senders", test_senders);
    return g_test_run();
}
