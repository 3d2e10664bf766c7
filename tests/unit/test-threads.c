/*
 * Unit tests: vCPUs and the device's own thread at once
 *
 * The device's thread runs only when it is asked to: a wake-up or an event
 * that gets lost shows as a test that does not end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

#define VCPUS       3
#define MESSAGES    5000
#define AHEAD       16

typedef struct Vcpu {
    End *e;
    uint16_t ah;
    unsigned done;
    GThread *thread;
} Vcpu;

static bool stop;
static gint64 give_up;

static void check_time(void)
{
    if (g_get_monotonic_time() > give_up) {
        g_error("stuck: a wake-up or a completion is lost");
    }
}

/* Each vCPU drives a queue pair of its own; another one creates and destroys. */
static gpointer vcpu_main(gpointer opaque)
{
    Vcpu *v = opaque;
    unsigned sent = 0, received = 0;
    EfaIoCdesc e;

    while (v->done < MESSAGES || received < MESSAGES) {
        unsigned n = 0;

        while (sent < MESSAGES && sent - MIN(v->done, received) < AHEAD &&
               n++ < 4) {
            EfaIoTxWqe wqe = wqe_send(sent, v->ah, v->e->qp->num);

            rq_put(v->e->qp, sent, &v->e->rx, sent % AHEAD * 64, 64, true,
                   true);
            wqe_inline(&wqe, &sent, sizeof(sent));
            sq_put(v->e->qp, &wqe);
            sent++;
        }
        if (n) {
            rq_ring(v->e->qp);
            sq_ring(v->e->qp);
        }
        while (cq_take(v->e->scq, &e)) {
            g_assert_cmpuint(e.status, ==, 0);
            v->done++;
        }
        while (cq_take(v->e->rcq, &e)) {
            g_assert_cmpuint(e.status, ==, 0);
            g_assert_cmpuint(e.length, ==, sizeof(sent));
            received++;
        }
        check_time();
        g_thread_yield();
    }
    return NULL;
}

static gpointer device_main(gpointer opaque)
{
    Host *h = opaque;
    bool more = false;

    while (!qatomic_read(&stop)) {
        if (qatomic_xchg(&h->deferred, false) || more ||
            efa_core_pending(h->core)) {
            more = efa_core_run(h->core);
        } else {
            g_thread_yield();
        }
    }
    return NULL;
}

static void test_vcpus(void)
{
    Host *h = host_new(1);
    Vcpu v[VCPUS] = { };
    GThread *device;
    unsigned i, running = VCPUS;

    for (i = 0; i < VCPUS; i++) {
        v[i].e = end_new(h, EFA_QP_TYPE_SRD);
        v[i].ah = create_ah_ok(h, v[i].e->pd, test_gid(1));
    }
    stop = false;
    give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    device = g_thread_new("device", device_main, h);
    for (i = 0; i < VCPUS; i++) {
        v[i].thread = g_thread_new("vcpu", vcpu_main, &v[i]);
    }
    /* this one is the vCPU that creates and destroys */
    while (running) {
        uint16_t pd = alloc_pd_ok(h);

        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 0);
        for (i = 0, running = 0; i < VCPUS; i++) {
            running += qatomic_read(&v[i].done) < MESSAGES;
        }
        check_time();
        g_thread_yield();
    }
    for (i = 0; i < VCPUS; i++) {
        g_thread_join(v[i].thread);
    }
    qatomic_set(&stop, true);
    g_thread_join(device);
    g_assert_cmpuint(stat_get(h, EFA_ADMIN_GET_STATS_TYPE_MESSAGES, 1), ==,
                     VCPUS * MESSAGES);
    g_assert_cmpuint(stat_get(h, EFA_ADMIN_GET_STATS_TYPE_MESSAGES, 3), ==,
                     VCPUS * MESSAGES);
    hosts_free();
}

/* ---- events ---- */

#define EVENTS      30000
#define VECTOR      3
#define CQS         2           /* that share an event queue */
#define SWEEP       1500        /* turns of an empty loop, a few microseconds */

/*
 * One thread sends, one is the interrupt handler, one is the application that
 * sleeps until it is told. The sender waits until the application has seen the
 * last message, and then a little, each time a little longer: the completion
 * comes at every moment of falling asleep.
 */
typedef struct Sleeper {
    Host *h;
    End *e;
    uint16_t ah;
    Eq *eq;
    Cq *cq[CQS];
    Qp *from, *to[CQS];
    bool poll_last;             /* arm, poll, sleep; else sleep, arm, poll */
    unsigned events[CQS];       /* told by the handler */
    unsigned taken[CQS];        /* of these by the application */
    unsigned consumed;          /* messages */
} Sleeper;

static void spin(unsigned turns)
{
    while (turns--) {
        __asm__ volatile("");
    }
}

/* Others may have to run before anything changes, but not at once. */
static void wait_a_while(unsigned *idle)
{
    if (++*idle % 256 == 0) {
        check_time();
        g_thread_yield();
    }
}

/* 8.5: all entries, then the arm, somewhat later now and then. */
static void handle_irq(Sleeper *s, unsigned pause)
{
    Eq *eq = s->eq;

    for (;;) {
        uint64_t at = eq->ring + eq->cons % eq->depth * EFA_EQ_ENTRY_SIZE;
        uint32_t word = qatomic_load_acquire((uint32_t *)host_ptr(s->h, at));
        int cqn;

        if ((word & 1) != !(eq->cons / eq->depth & 1)) {
            break;
        }
        cqn = eq_take(eq);
        g_assert_true(cqn == s->cq[0]->idx || cqn == s->cq[1]->idx);
        qatomic_set(&s->events[cqn == s->cq[1]->idx],
                    s->events[cqn == s->cq[1]->idx] + 1);
    }
    spin(pause);
    eq_arm(eq);
}

static gpointer irq_main(gpointer opaque)
{
    Sleeper *s = opaque;
    unsigned taken = 0, idle = 0;

    while (!qatomic_read(&stop)) {
        unsigned irqs = qatomic_read(&s->h->irqs[VECTOR]);

        if (irqs != taken) {
            taken = irqs;
            handle_irq(s, irqs % 4 ? 0 : irqs % SWEEP);
        } else {
            wait_a_while(&idle);
        }
    }
    return NULL;
}

static unsigned drain(Sleeper *s, Cq *cq)
{
    unsigned n = 0;
    EfaIoCdesc e;

    while (cq_take(cq, &e)) {
        g_assert_cmpuint(e.status, ==, 0);
        n++;
    }
    qatomic_set(&s->consumed, s->consumed + n);
    return n;
}

/* Woken for @cq, or at the start: until it may sleep again. */
static void wake(Sleeper *s, Cq *cq)
{
    if (s->poll_last) {
        drain(s, cq);
        do {
            cq_arm(cq);
        } while (drain(s, cq));
    } else {
        cq_arm(cq);
        drain(s, cq);
    }
}

static gpointer app_main(gpointer opaque)
{
    Sleeper *s = opaque;
    unsigned i, idle = 0;

    while (s->consumed < EVENTS) {
        for (i = 0; i < CQS; i++) {
            if (qatomic_read(&s->events[i]) != s->taken[i]) {
                s->taken[i]++;
                s->cq[i]->sn++;
                wake(s, s->cq[i]);
            }
        }
        wait_a_while(&idle);
    }
    return NULL;
}

/* For a while to both in turn, for a while several times to the same one. */
static Qp *next_target(const Sleeper *s, unsigned sent)
{
    return s->to[(sent / 64 % 2 ? sent : sent / 3) % CQS];
}

static gpointer sender_main(gpointer opaque)
{
    Sleeper *s = opaque;
    unsigned sent, idle = 0;

    for (sent = 0; sent < EVENTS; sent++) {
        Qp *to = next_target(s, sent);
        EfaIoTxWqe wqe = wqe_send(sent, s->ah, to->num);

        wqe.meta.ctrl2 &= ~R_TX_CTRL2_COMP_REQ_MASK;
        rq_post(to, sent, &s->e->rx, 0, 64);
        /* one may still be under way when the next one goes */
        while (qatomic_read(&s->consumed) + sent % 2 < sent) {
            wait_a_while(&idle);
        }
        spin(sent * 7 % SWEEP);
        sq_post(s->from, &wqe);
    }
    return NULL;
}

static void check_events(bool poll_last)
{
    Sleeper s = { .h = host_new(1), .poll_last = poll_last };
    GThread *threads[4];
    CqOpts opts = { .depth = 64 };
    unsigned i;

    s.e = end_new(s.h, EFA_QP_TYPE_SRD);
    s.ah = create_ah_ok(s.h, s.e->pd, test_gid(1));
    s.eq = opts.eq = create_eq_ok(s.h, 512, VECTOR);
    s.from = s.e->qp;
    eq_arm(s.eq);
    for (i = 0; i < CQS; i++) {
        s.cq[i] = create_cq_ok(s.h, s.e->uar, &opts);
        s.to[i] = create_qp_ok(s.h, s.e->pd, s.e->uar, EFA_QP_TYPE_SRD,
                               s.e->scq, s.cq[i], 0, 64);
        qp_to_rts(s.to[i]);
        wake(&s, s.cq[i]);
    }
    stop = false;
    give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    threads[0] = g_thread_new("device", device_main, s.h);
    threads[1] = g_thread_new("handler", irq_main, &s);
    threads[2] = g_thread_new("application", app_main, &s);
    threads[3] = g_thread_new("sender", sender_main, &s);
    g_thread_join(threads[3]);
    g_thread_join(threads[2]);
    qatomic_set(&stop, true);
    g_thread_join(threads[1]);
    g_thread_join(threads[0]);
    g_assert_cmpuint(s.consumed, ==, EVENTS);
    /* else nobody ever slept */
    g_assert_cmpuint(s.taken[0], >, EVENTS / 20);
    g_assert_cmpuint(s.taken[1], >, EVENTS / 20);
    hosts_free();
}

static void test_arm_poll_sleep(void)
{
    check_events(true);
}

static void test_sleep_arm_poll(void)
{
    check_events(false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/threads/vcpus", test_vcpus);
    g_test_add_func("/threads/arm-poll-sleep", test_arm_poll_sleep);
    g_test_add_func("/threads/sleep-arm-poll", test_sleep_arm_poll);
    return g_test_run();
}
