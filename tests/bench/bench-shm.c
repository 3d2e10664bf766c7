/*
 * Benchmark: the shared memory fabric, beside what the host itself can do
 *
 * Packets: two threads, each with a backend of its own, one of which sends.
 * Transfers: two whole devices in one thread, RDMA write from the memory of
 * one to that of the other, which copies each byte twice. Every figure has its
 * counterpart measured in the same run: memcpy of as many bytes, and threads
 * that wake each other through an eventfd.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/harness.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define SECONDS         1.0
#define TRANSFER        (8u << 20)

static double now(void)
{
    return g_get_monotonic_time() / 1e6;
}

/* ---- packets ---- */

typedef struct Side {
    EfaFabric *f;
    EfaGid gid;
    EfaLink *link;
    GMutex lock;                /* stands for the core lock */
    uint64_t received;
    uint64_t polls;
    size_t len;
    bool up;
    bool stop;
} Side;

static void side_receive(void *opaque, EfaLink *link, const uint8_t *data,
                         size_t len)
{
    Side *s = opaque;

    qatomic_set(&s->received, s->received + 1);
}

static void side_up(void *opaque, EfaLink *link)
{
    qatomic_set(&((Side *)opaque)->up, true);
}

static void side_down(void *opaque, EfaLink *link, EfaLinkDownReason why)
{
}

static void side_writable(void *opaque, EfaLink *link)
{
}

static const EfaFabricClient side_client = {
    .receive = side_receive,
    .link_up = side_up,
    .link_down = side_down,
    .link_writable = side_writable,
};

/* As a device's thread: poll while there is something, then sleep. */
static void side_poll(Side *s)
{
    struct pollfd p = { .fd = s->f->ops->fd(s->f), .events = POLLIN };
    bool more;

    g_mutex_lock(&s->lock);
    more = s->f->ops->poll(s->f, 32);
    g_mutex_unlock(&s->lock);
    s->polls++;
    if (!more && !qatomic_read(&s->stop)) {
        poll(&p, 1, 10);
    }
}

static gpointer receiver(gpointer opaque)
{
    Side *s = opaque;

    while (!qatomic_read(&s->stop)) {
        side_poll(s);
    }
    return NULL;
}

static gpointer sender(gpointer opaque)
{
    Side *s = opaque;

    while (!qatomic_read(&s->stop)) {
        unsigned n;

        g_mutex_lock(&s->lock);
        for (n = 0; n < 32; n++) {
            uint8_t *buf = s->f->ops->reserve(s->f, s->link, s->len);

            if (!buf) {
                break;
            }
            memset(buf, n, s->len);
            s->f->ops->commit(s->f, s->link, s->len);
        }
        s->f->ops->flush(s->f);
        g_mutex_unlock(&s->lock);
        if (n < 32) {
            side_poll(s);       /* until there is room again */
        }
    }
    return NULL;
}

static void side_init(Side *s, const char *dir, unsigned n)
{
    GError *err = NULL;

    memset(s, 0, sizeof(*s));
    g_mutex_init(&s->lock);
    s->gid = test_gid(n);
    s->f = efa_fabric_shm_new(dir, &s->gid, &side_client, s, &err);
    g_assert_no_error(err);
}

static void sides_connect(Side *a, Side *b, const char *dir)
{
    side_init(a, dir, 1);
    side_init(b, dir, 2);
    a->link = a->f->ops->link_get(a->f, &b->gid);
    a->f->ops->connect(a->f, a->link);
    while (!a->up || !b->up) {
        a->f->ops->poll(a->f, 32);
        b->f->ops->poll(b->f, 32);
    }
}

/* Bytes a second, @len at a time, within buffers of @size. */
static double memcpy_rate(size_t len, size_t size)
{
    size_t done = 0;
    uint8_t *from = g_malloc(size), *to = g_malloc(size);
    double begin, took;

    memset(from, 1, size);
    memset(to, 2, size);
    begin = now();
    do {
        size_t at;

        for (at = 0; at + len <= size; at += len) {
            memcpy(to + at, from + at, len);
        }
        done += at;
        took = now() - begin;
    } while (took < SECONDS / 2);
    g_assert_cmpint(to[0], ==, 1);
    g_free(from);
    g_free(to);
    return done / took;
}

static void packets(size_t len)
{
    g_autofree char *dir = g_dir_make_tmp("efa-bench-XXXXXX", NULL);
    Side a, b;
    GThread *ta, *tb;
    double begin, took, rate, copy;

    sides_connect(&a, &b, dir);
    a.len = len;
    tb = g_thread_new("receiver", receiver, &b);
    ta = g_thread_new("sender", sender, &a);
    begin = now();
    g_usleep(SECONDS * 1e6);
    rate = qatomic_read(&b.received);
    took = now() - begin;
    qatomic_set(&a.stop, true);
    qatomic_set(&b.stop, true);
    g_thread_join(ta);
    g_thread_join(tb);
    rate /= took;
    copy = memcpy_rate(len, 256u << 10);    /* as large as the ring */
    printf("packets of %4zu bytes         %10.0f  %9.1f  %9.1f  %8.2f  %8.1f\n",
           len, rate, rate * len / 1e6, copy / 1e6, rate * len / copy,
           (double)b.received / MAX(1, b.polls));
    a.f->ops->free(a.f);
    b.f->ops->free(b.f);
    rmdir(dir);
}

/* ---- transfers between devices ---- */

static void transfer(void)
{
    g_autofree char *dir = g_dir_make_tmp("efa-bench-XXXXXX", NULL);
    EfaConfig cfg[2] = { test_config(1), test_config(2) };
    Host *h[2];
    End *e[2];
    Buf from, to;
    uint16_t ah;
    double begin, took, copy, bytes = 0;
    unsigned i;

    for (i = 0; i < 2; i++) {
        h[i] = host_new_raw(&cfg[i], NULL, dir);
        host_probe(h[i]);
        e[i] = end_new(h[i], EFA_QP_TYPE_SRD);
    }
    ah = create_ah_ok(h[0], e[0]->pd, test_gid(2));
    create_ah_ok(h[1], e[1]->pd, test_gid(1));
    from = reg_buf(h[0], e[0]->pd, TRANSFER, PERM_LOCAL_WRITE);
    to = reg_buf(h[1], e[1]->pd, TRANSFER,
                 PERM_LOCAL_WRITE | PERM_REMOTE_WRITE);
    memset(from.p, 0x5a, TRANSFER);
    begin = now();
    do {
        EfaIoTxWqe wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1, ah, e[1]->qp->num,
                                  &from, &to, TRANSFER);

        sq_post(e[0]->qp, &wqe);
        g_assert_cmpuint(cq_next(e[0]->scq).status, ==, 0);
        bytes += TRANSFER;
        took = now() - begin;
    } while (took < SECONDS);
    g_assert_cmpmem(from.p, TRANSFER, to.p, TRANSFER);
    copy = memcpy_rate(TRANSFER, TRANSFER);
    printf("%-28s %10s  %9.1f  %9.1f  %8.2f\n", "RDMA write of 8 MiB", "",
           bytes / took / 1e6, copy / 1e6, bytes / took / copy);
    hosts_free();
    rmdir(dir);
}

/* ---- nothing to do, nothing done ---- */

static void idle(void)
{
    g_autofree char *dir = g_dir_make_tmp("efa-bench-XXXXXX", NULL);
    struct rusage before, after;
    Side a, b;
    GThread *ta, *tb;

    sides_connect(&a, &b, dir);
    ta = g_thread_new("a", receiver, &a);
    tb = g_thread_new("b", receiver, &b);
    getrusage(RUSAGE_SELF, &before);
    g_usleep(SECONDS * 1e6);
    getrusage(RUSAGE_SELF, &after);
    qatomic_set(&a.stop, true);
    qatomic_set(&b.stop, true);
    g_thread_join(ta);
    g_thread_join(tb);
    printf("two idle devices: %.1f ms of CPU a second (they look every 10 "
           "ms here)\n",
           (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e3 +
           (after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e3 +
           (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e3 +
           (after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e3);
    a.f->ops->free(a.f);
    b.f->ops->free(b.f);
    rmdir(dir);
}

int main(void)
{
    printf("%-28s %10s  %9s  %9s  %8s  %8s\n", "", "packets/s", "MB/s",
           "memcpy", "ratio", "a poll");
    packets(sizeof(EfaPktHdr));
    packets(1024);
    packets(sizeof(EfaPktHdr) + EFA_MAX_MTU);
    transfer();
    idle();
    return 0;
}
