/*
 * Unit tests: completion rings, event queues, asynchronous events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-srd.h"

#define MS      EFA_NSEC_PER_MSEC

typedef struct Env {
    Host *h;
    uint16_t pd, uar;
    Eq *eq;
} Env;

static Env env_new(EfaConfig *cfg)
{
    EfaConfig def = test_config(1);
    Env v = { .h = host_new_cfg(cfg ? cfg : &def) };

    v.pd = alloc_pd_ok(v.h);
    v.uar = alloc_uar_ok(v.h);
    v.eq = create_eq_ok(v.h, 512, 3);
    return v;
}

static Cq *env_cq(Env *v, uint16_t depth, uint8_t size, bool events)
{
    CqOpts opts = { .depth = depth, .entry_size = size,
                    .eq = events ? v->eq : NULL };

    return create_cq_ok(v->h, v->uar, &opts);
}

/* A QP that makes one completion in @cq with each kick(). */
static Qp *env_qp(Env *v, Cq *cq)
{
    Qp *qp = create_qp_ok(v->h, v->pd, v->uar, EFA_QP_TYPE_SRD, cq, cq, 64, 0);

    qp_to_rts(qp);
    return qp;
}

static void kick(Qp *qp, uint16_t req)
{
    EfaIoTxWqe wqe = wqe_send(req, 0, 0);

    wqe.meta.ctrl1 |= 15;       /* no such operation: status 3 at once */
    sq_post(qp, &wqe);
}

/* ---- completion rings ---- */

static void test_cq_wrap(void)
{
    static const uint8_t sizes[] = { 16, 32 };
    static const uint16_t depths[] = { 1, 2, 8, 64 };
    unsigned s, d, i;

    for (s = 0; s < 2; s++) {
        for (d = 0; d < G_N_ELEMENTS(depths); d++) {
            Env v = env_new(NULL);
            Cq *cq = env_cq(&v, depths[d], sizes[s], false);
            Qp *qp = env_qp(&v, cq);
            uint64_t end = cq->ring + depths[d] * sizes[s];

            memset(host_ptr(v.h, end), 0x77, 64);
            for (i = 0; i < 300; i++) {
                EfaIoCdesc e;

                kick(qp, i);
                g_assert_true(cq_poll(cq, &e));
                g_assert_cmpuint(e.req_id, ==, i);
                g_assert_cmpuint(e.status, ==, 3);
                g_assert_cmphex(e.qp_num, ==, qp->num);
                g_assert_false(depths[d] > 1 && cq_poll(cq, &e));
            }
            for (i = 0; i < 64; i++) {
                g_assert_cmphex(((uint8_t *)host_ptr(v.h, end))[i], ==, 0x77);
            }
            hosts_free();
        }
    }
}

/* The consumer index is a hint: no doorbell, no stop; full is overwritten. */
static void test_cq_overrun(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 8, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;
    unsigned i;

    for (i = 0; i < 12; i++) {
        kick(qp, i);
    }
    /* 8..11 lie over 0..3, in the other phase */
    memcpy(&e, host_ptr(v.h, cq->ring), 32);
    g_assert_cmpuint(e.req_id, ==, 8);
    g_assert_cmpuint(e.flags & 1, ==, 0);
    memcpy(&e, host_ptr(v.h, cq->ring + 4 * 32), 32);
    g_assert_cmpuint(e.req_id, ==, 4);
    /* absurd doorbells change nothing */
    db_write(v.h, cq->db, 0x1fff0000);
    db_write(v.h, cq->db, 0x0000ffff);
    kick(qp, 12);
    memcpy(&e, host_ptr(v.h, cq->ring + 4 * 32), 32);
    g_assert_cmpuint(e.req_id, ==, 12);
    hosts_free();
}

static void test_sub_cqs(void)
{
    EfaConfig cfg = test_config(1);
    unsigned i, j, used = 0;
    Env v;
    Cq *cq;

    efa_config_init(&cfg, 0);
    cfg.gid = test_gid(1);
    cfg.sub_cqs_per_cq = 4;
    v = env_new(&cfg);
    cq = env_cq(&v, 4, 16, false);
    for (i = 0; i < 8; i++) {
        Qp *qp = env_qp(&v, cq);

        g_assert_cmpuint(qp->send_sub, <, 4);
        g_assert_cmpuint(qp->recv_sub, <, 4);
        used |= 1u << qp->send_sub;
        for (j = 0; j < 9; j++) {
            EfaIoCdesc e;

            kick(qp, j);
            g_assert_true(cq_poll_sub(cq, qp->send_sub, &e));
            g_assert_cmpuint(e.req_id, ==, j);
            g_assert_false(cq_poll(cq, &e));
        }
    }
    g_assert_cmphex(used, ==, 0xf);
    hosts_free();
}

static void test_cq_fault(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 8, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;

    /* the ring cannot be written: nothing else happens to the QP */
    host_fault(v.h, FAULT_WRITE, cq->ring, 32);
    kick(qp, 0);
    host_fault(v.h, 0, 0, 0);
    memcpy(&e, host_ptr(v.h, cq->ring), 32);
    g_assert_cmphex(e.flags, ==, 0);
    kick(qp, 1);
    memcpy(&e, host_ptr(v.h, cq->ring + 32), 32);
    g_assert_cmpuint(e.req_id, ==, 1);
    g_assert_cmpuint(qp_query(qp).qp_state, ==, EFA_QP_STATE_RTS);
    hosts_free();
}

/* ---- 8.5 ---- */

static void test_arm(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;

    g_assert_true(cq->db_valid);
    eq_arm(v.eq);
    /* fresh: disarmed */
    kick(qp, 0);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    g_assert_true(cq_poll(cq, &e));

    /* armed and empty: one event with the next completion, not two */
    cq_arm(cq);
    cq_arm(cq);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    kick(qp, 1);
    kick(qp, 2);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    eq_arm(v.eq);

    /* stale: the number of the arm that fired */
    cq_arm(cq);
    kick(qp, 3);
    g_assert_cmpint(eq_take(v.eq), ==, -1);

    /* the event was taken, completions came after it: at once */
    cq->sn++;
    cq_arm(cq);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    eq_arm(v.eq);
    while (cq_poll(cq, &e)) {
        ;
    }
    cq->sn++;
    cq_arm(cq);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    kick(qp, 4);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
    eq_arm(v.eq);

    /* get event, arm, poll: what the event told of does not tell again */
    cq->sn++;
    cq_arm(cq);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    kick(qp, 5);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);

    /* the number wraps */
    cq->sn++;
    while (cq_poll(cq, &e)) {
        ;
    }
    g_assert_cmpuint(cq->sn & 3, ==, 0);
    cq_arm(cq);
    kick(qp, 6);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    hosts_free();
}

/* A consumer that lags (5.1) and one that claims too much still get events. */
static void test_arm_indexes(void)
{
    static const uint16_t claimed[] = { 0, 1, 2, 4, 0x8003, 0xffff };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(claimed); i++) {
        Env v = env_new(NULL);
        Cq *cq = env_cq(&v, 64, 32, true);
        Qp *qp = env_qp(&v, cq);
        int now;

        kick(qp, 0);
        kick(qp, 1);
        kick(qp, 2);            /* 3 produced */
        db_write(v.h, cq->db, 1u << 31 | 1u << 29 | claimed[i]);
        now = eq_take(v.eq);
        kick(qp, 3);
        if (now < 0 && eq_take(v.eq) != cq->idx) {
            g_error("an arm with consumer index %u is lost", claimed[i]);
        }
        if (claimed[i] < 3) {
            g_assert_cmpint(now, ==, cq->idx);
        }
        hosts_free();
    }
}

/* Without the arm bit, and on a CQ without events, nothing is armed. */
static void test_arm_not(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true), *mute = env_cq(&v, 64, 32, false);
    Qp *qp = env_qp(&v, cq), *qp2 = env_qp(&v, mute);

    g_assert_false(mute->db_valid);
    eq_arm(v.eq);
    db_write(v.h, cq->db, 0x7fff0000);
    kick(qp, 0);
    cq_arm(mute);
    kick(qp2, 0);
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    hosts_free();
}

/* 8.3 */
static void test_eq_arm(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;
    unsigned i;

    /* starts disarmed: the entry waits for the arm, which then fires */
    cq_arm(cq);
    kick(qp, 0);
    g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    eq_arm(v.eq);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    /* ... and stays disarmed */
    for (i = 1; i < 4; i++) {
        while (cq_poll(cq, &e)) {
            ;
        }
        cq->sn++;
        cq_arm(cq);
        kick(qp, i);
        g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
        g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    }
    /* several entries are one interrupt */
    eq_arm(v.eq);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    eq_arm(v.eq);
    eq_arm(v.eq);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    while (cq_poll(cq, &e)) {
        ;
    }
    cq->sn++;
    cq_arm(cq);
    kick(qp, 9);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    /* one arm is one interrupt; the next entry waits for the next arm */
    while (cq_poll(cq, &e)) {
        ;
    }
    cq->sn++;
    cq_arm(cq);
    kick(qp, 10);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    eq_arm(v.eq);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    /* without the arm bit, and for no EQ: nothing */
    reg_write(v.h, A_EQ_DB, v.eq->eqn);
    reg_write(v.h, A_EQ_DB, (v.eq->eqn + 1) | 1u << 31);
    reg_write(v.h, A_EQ_DB, 0xffff | 1u << 31);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    while (cq_poll(cq, &e)) {
        ;
    }
    cq->sn++;
    cq_arm(cq);
    kick(qp, 11);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    hosts_free();
}

/* INTR_MASK is the admin vector's, not the event queues' (14, 6). */
static void test_eq_unmasked(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);

    eq_arm(v.eq);
    cq_arm(cq);
    reg_write(v.h, A_INTR_MASK, 1);
    kick(qp, 0);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 1);
    hosts_free();
}

/* The phase through many laps; two CQs share the queue. */
static void test_eq_wrap(void)
{
    EfaConfig cfg = test_config(1);
    unsigned i;
    Env v;
    Cq *cqs[2];
    Qp *qps[2];

    cfg.max_cq = 8;
    cfg.max_eq_depth = 8;
    v = (Env) { .h = host_new_cfg(&cfg) };
    v.pd = alloc_pd_ok(v.h);
    v.uar = alloc_uar_ok(v.h);
    v.eq = create_eq_ok(v.h, 8, 31);
    for (i = 0; i < 2; i++) {
        cqs[i] = env_cq(&v, 16, 32, true);
        qps[i] = env_qp(&v, cqs[i]);
    }
    for (i = 0; i < 100; i++) {
        EfaIoCdesc e;
        Cq *cq = cqs[i & 1];

        eq_arm(v.eq);
        cq_arm(cq);
        kick(qps[i & 1], i);
        g_assert_cmpint(eq_take(v.eq), ==, cq->idx);
        g_assert_cmpint(eq_take(v.eq), ==, -1);
        g_assert_cmpuint(host_irqs(v.h, 31), ==, 1);
        g_assert_true(cq_poll(cq, &e));
        cq->sn++;
    }
    hosts_free();
}

/* 5.17: the shutdown path destroys EQs while CQs still name them. */
static void test_eq_destroy(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;
    Eq *other;

    eq_arm(v.eq);
    cq_arm(cq);
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DESTROY_EQ, v.eq->eqn), ==, 0);
    kick(qp, 0);
    g_assert_true(cq_poll(cq, &e));
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DESTROY_EQ, v.eq->eqn), ==, 5);
    /* a new EQ is not the old one's heir */
    other = create_eq_ok(v.h, 512, 4);
    eq_arm(other);
    eq_arm(v.eq);
    cq->sn++;
    cq_arm(cq);
    kick(qp, 1);
    g_assert_cmpint(eq_take(other), ==, -1);
    g_assert_cmpuint(host_irqs(v.h, 4), ==, 0);
    hosts_free();
}

/* 5.10: whatever DESTROY_CQ answers, the ring and the events are silent. */
static void test_cq_destroy(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;

    eq_arm(v.eq);
    cq_arm(cq);
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DESTROY_CQ, cq->idx), ==,
                     EFA_ADMIN_RESOURCE_BUSY);
    kick(qp, 0);
    cq_arm(cq);
    kick(qp, 1);
    g_assert_false(cq_poll(cq, &e));
    g_assert_cmpint(eq_take(v.eq), ==, -1);
    g_assert_cmpuint(host_irqs(v.h, 3), ==, 0);
    /* no new QP on it, no second destroy; the UAR stays in use */
    {
        EfaCreateQpCmd cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, cq, cq,
                                    16, 0);

        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    }
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DESTROY_CQ, cq->idx), ==, 5);
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DEALLOC_UAR, v.uar), ==, 7);
    g_assert_cmpuint(qp_destroy(qp), ==, 0);
    g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DEALLOC_UAR, v.uar), ==, 0);
    hosts_free();
}

static void test_eq_fault(void)
{
    Env v = env_new(NULL);
    Cq *cq = env_cq(&v, 64, 32, true);
    Qp *qp = env_qp(&v, cq);
    EfaIoCdesc e;

    eq_arm(v.eq);
    cq_arm(cq);
    host_fault(v.h, FAULT_WRITE, v.eq->ring, 16);
    kick(qp, 0);
    host_fault(v.h, 0, 0, 0);
    g_assert_true(cq_poll(cq, &e));
    cq->sn++;
    cq_arm(cq);
    kick(qp, 1);
    g_assert_true(cq_poll(cq, &e));
    hosts_free();
}

/* ---- AENQ ---- */

static uint8_t enable(Host *h, uint32_t groups)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);

    memcpy(cmd.raw + 4, &groups, 4);
    return admin_status(h, &cmd);
}

/* What the device reports by itself, from inside. */
static void post(Host *h, EfaAenqGroup group, uint16_t syndrome)
{
    efa_lock(&h->core->lock);
    efa_aenq_post(h->core, group, syndrome);
    efa_unlock(&h->core->lock);
}

static void test_aenq(void)
{
    Host *h = host_new(1);
    EfaAenqEntry a;
    static const uint8_t zero[48];
    unsigned i;

    /* nothing before a group is enabled */
    post(h, EFA_ADMIN_WARNING, 1);
    g_assert_false(aenq_take(h, &a));
    g_assert_cmpuint(enable(h, 1u << EFA_ADMIN_WARNING), ==, 0);
    post(h, EFA_ADMIN_NOTIFICATION, 1);
    g_assert_false(aenq_take(h, &a));
    host_irqs(h, 0);

    host_now = 0x123456789ab;
    for (i = 0; i < 100; i++) {
        post(h, EFA_ADMIN_WARNING, i);
        g_assert_cmpuint(host_irqs(h, 0), ==, 1);
        g_assert_true(aenq_take(h, &a));
        g_assert_cmpuint(a.group, ==, EFA_ADMIN_WARNING);
        g_assert_cmpuint(a.syndrome, ==, i);
        g_assert_cmphex(a.flags & ~1, ==, 0);
        g_assert_cmphex(a.timestamp_low, ==, 0x456789ab);
        g_assert_cmphex(a.timestamp_high, ==, 0x123);
        g_assert_cmpmem(a.inline_data_w4, 48, zero, 48);
        g_assert_false(aenq_take(h, &a));
        reg_write(h, A_AENQ_CONS_DB, h->aenq_cons);
    }
    hosts_free();
}

static void test_aenq_overflow(void)
{
    Host *h = host_new(1);
    EfaAenqEntry a;
    unsigned i;

    g_assert_cmpuint(enable(h, 0x1e), ==, 0);
    for (i = 0; i < AENQ_DEPTH + 5; i++) {
        post(h, EFA_ADMIN_WARNING, i);
    }
    for (i = 0; i < AENQ_DEPTH; i++) {
        g_assert_true(aenq_take(h, &a));
        g_assert_cmpuint(a.syndrome, ==, i);    /* the new ones are lost */
    }
    g_assert_false(aenq_take(h, &a));
    /* absurd counters: beyond the producer, a lap behind */
    reg_write(h, A_AENQ_CONS_DB, AENQ_DEPTH + 1);
    reg_write(h, A_AENQ_CONS_DB, 0xffffffff);
    post(h, EFA_ADMIN_WARNING, 100);
    g_assert_false(aenq_take(h, &a));
    reg_write(h, A_AENQ_CONS_DB, 3);
    for (i = 0; i < 5; i++) {
        post(h, EFA_ADMIN_FATAL_ERROR, i);
    }
    for (i = 0; i < 3; i++) {
        g_assert_true(aenq_take(h, &a));
        g_assert_cmpuint(a.group, ==, EFA_ADMIN_FATAL_ERROR);
    }
    g_assert_false(aenq_take(h, &a));
    /* nor do they undo what was consumed */
    reg_write(h, A_AENQ_CONS_DB, h->aenq_cons);
    reg_write(h, A_AENQ_CONS_DB, h->aenq_cons + 1000);
    post(h, EFA_ADMIN_WARNING, 7);
    g_assert_true(aenq_take(h, &a));
    g_assert_cmpuint(a.syndrome, ==, 7);
    hosts_free();
}

static void test_keep_alive(void)
{
    EfaConfig cfg = test_config(1);
    EfaAenqEntry a;
    unsigned i;
    Host *h;

    /* off by default */
    h = host_new(1);
    g_assert_cmpuint(enable(h, 0x1e), ==, 0);
    advance(10000 * MS);
    g_assert_false(aenq_take(h, &a));
    hosts_free();

    cfg.keep_alive_ms = 1000;
    h = host_new_cfg(&cfg);
    advance(5000 * MS);
    g_assert_false(aenq_take(h, &a));
    g_assert_cmpuint(enable(h, 0x1e), ==, 0);
    for (i = 0; i < 40; i++) {
        advance(999 * MS);
        g_assert_false(aenq_take(h, &a));
        advance(1 * MS);
        g_assert_true(aenq_take(h, &a));
        g_assert_cmpuint(a.group, ==, EFA_ADMIN_KEEP_ALIVE);
        reg_write(h, A_AENQ_CONS_DB, h->aenq_cons);
    }
    /* off again, by group and by reset */
    g_assert_cmpuint(enable(h, 0x0e), ==, 0);
    advance(5000 * MS);
    g_assert_false(aenq_take(h, &a));
    g_assert_cmpuint(enable(h, 0x1e), ==, 0);
    host_reset_handshake(h);
    h->dma_seen = false;
    advance(5000 * MS);
    g_assert_false(h->dma_seen);
    hosts_free();
}

/* The mask holds the AENQ's interrupt back, too. */
static void test_aenq_masked(void)
{
    Host *h = host_new(1);

    g_assert_cmpuint(enable(h, 0x1e), ==, 0);
    host_irqs(h, 0);
    reg_write(h, A_INTR_MASK, 1);
    post(h, EFA_ADMIN_WARNING, 1);
    post(h, EFA_ADMIN_WARNING, 2);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    reg_write(h, A_INTR_MASK, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 1);
    reg_write(h, A_INTR_MASK, 1);
    reg_write(h, A_INTR_MASK, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/events/cq-wrap", test_cq_wrap);
    g_test_add_func("/events/cq-overrun", test_cq_overrun);
    g_test_add_func("/events/sub-cqs", test_sub_cqs);
    g_test_add_func("/events/cq-fault", test_cq_fault);
    g_test_add_func("/events/arm", test_arm);
    g_test_add_func("/events/arm-indexes", test_arm_indexes);
    g_test_add_func("/events/arm-not", test_arm_not);
    g_test_add_func("/events/eq-arm", test_eq_arm);
    g_test_add_func("/events/eq-unmasked", test_eq_unmasked);
    g_test_add_func("/events/eq-wrap", test_eq_wrap);
    g_test_add_func("/events/eq-destroy", test_eq_destroy);
    g_test_add_func("/events/cq-destroy", test_cq_destroy);
    g_test_add_func("/events/eq-fault", test_eq_fault);
    g_test_add_func("/events/aenq", test_aenq);
    g_test_add_func("/events/aenq-overflow", test_aenq_overflow);
    g_test_add_func("/events/keep-alive", test_keep_alive);
    g_test_add_func("/events/aenq-masked", test_aenq_masked);
    return g_test_run();
}
