/*
 * Unit tests: a device's thread
 *
 * As the iothread in pci.c: it sleeps until the fabric's descriptor is
 * readable, a deadline has come or somebody has deferred work to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-thread.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

struct HostThread {
    GThread *thread;
    int kick;
    bool stop;
};

int64_t host_thread_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

void host_thread_kick(Host *h)
{
    g_assert_cmpint(eventfd_write(h->thread->kick, 1), ==, 0);
}

static void sleep_until_work(Host *h)
{
    int64_t left = qatomic_read(&h->deadline) - host_thread_now();
    struct timespec timeout = { .tv_sec = 1 };
    struct pollfd fds[] = {
        { .fd = h->thread->kick, .events = POLLIN },
        { .fd = h->fabric->ops->fd(h->fabric), .events = POLLIN },
    };
    eventfd_t count;

    if (left < 1000000000) {
        timeout = (struct timespec) { .tv_nsec = MAX(left, 0) };
    }
    ppoll(fds, G_N_ELEMENTS(fds), &timeout, NULL);
    if (fds[0].revents) {
        eventfd_read(h->thread->kick, &count);
    }
}

/* It has come; a vCPU may be setting another one meanwhile. */
static void forget_deadline(Host *h)
{
    int64_t due = qatomic_read(&h->deadline);

    if (due <= host_thread_now()) {
        __atomic_compare_exchange_n(&h->deadline, &due, INT64_MAX, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
}

static gpointer thread_main(gpointer opaque)
{
    Host *h = opaque;
    bool more = false;

    while (!qatomic_read(&h->thread->stop)) {
        if (!more) {
            sleep_until_work(h);
        }
        qatomic_set(&h->deferred, false);
        forget_deadline(h);
        more = efa_core_run(h->core);
    }
    return NULL;
}

void host_thread_start(Host *h)
{
    struct HostThread *t = g_new0(struct HostThread, 1);

    t->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert_cmpint(t->kick, >=, 0);
    h->thread = t;
    t->thread = g_thread_new("device", thread_main, h);
}

void host_thread_stop(Host *h)
{
    struct HostThread *t = h->thread;

    qatomic_set(&t->stop, true);
    host_thread_kick(h);
    g_thread_join(t->thread);
    close(t->kick);
    g_clear_pointer(&h->thread, g_free);
}

/* The phase first, then the rest: the device writes in the other order. */
bool cq_take(Cq *cq, EfaIoCdesc *out)
{
    uint32_t pos = cq->cons[0] % cq->depth;
    uint8_t *entry = host_ptr(cq->h, cq->ring + pos * cq->entry_size);
    uint32_t word = qatomic_load_acquire((uint32_t *)entry);

    if ((word >> 24 & 1) != !(cq->cons[0] / cq->depth & 1)) {
        return false;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out, entry, cq->entry_size);
    cq->cons[0]++;
    cq->consumed++;
    return true;
}
