/*
 * Unit tests: vCPUs and the device's own thread at once
 *
 * Each vCPU drives a queue pair of its own while another one issues admin
 * commands. The device's thread runs only when it is asked to: a wake-up that
 * gets lost shows as a test that does not end.
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

/* The phase first, then the rest: the device writes in the other order. */
static bool poll_cq(Cq *cq, EfaIoCdesc *out)
{
    uint32_t pos = cq->cons[0] % cq->depth;
    uint8_t *entry = host_ptr(cq->h, cq->ring + pos * 32);
    uint32_t word = qatomic_load_acquire((uint32_t *)entry);

    if ((word >> 24 & 1) != !(cq->cons[0] / cq->depth & 1)) {
        return false;
    }
    memcpy(out, entry, sizeof(*out));
    cq->cons[0]++;
    return true;
}

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
        while (poll_cq(v->e->scq, &e)) {
            g_assert_cmpuint(e.status, ==, 0);
            v->done++;
        }
        while (poll_cq(v->e->rcq, &e)) {
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/threads/vcpus", test_vcpus);
    return g_test_run();
}
