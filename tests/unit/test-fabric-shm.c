/*
 * Unit tests: links of the shared memory fabric, what only it promises of their
 * traffic, and peers that die or turn hostile
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "shm-harness.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* links */

static void test_exchange(void)
{
    Node *a, *b;

    node_pair(&a, &b);
    g_assert_false(b->f->ops->pending(b->f));
    g_assert_false(node_awake(b));

    g_assert_true(node_send(a, node_link(a, 2), "hello", 5));
    g_assert_true(b->f->ops->pending(b->f));
    g_assert_false(node_awake(b));
    a->f->ops->flush(a->f);
    g_assert_true(node_awake(b));
    g_assert_true(node_poll(b, 1));
    g_assert_cmpuint(b->received, ==, 1);
    g_assert_cmpmem(b->last, b->last_len, "hello", 5);
    /* The consumer is awake: nobody need be woken. */
    g_assert_true(node_send(a, node_link(a, 2), "again", 5));
    g_assert_true(node_poll(b, 64));
    g_assert_cmpuint(b->received, ==, 2);
    node_run(b);
    g_assert_false(node_awake(b));

    b->echo = true;
    g_assert_true(node_send(a, node_link(a, 2), "echo", 4));
    a->f->ops->flush(a->f);
    settle(a, b);
    g_assert_cmpuint(a->received, ==, 1);
    node_free(a);
    node_free(b);
}

static void test_writable(void)
{
    Node *a, *b;
    EfaLink *l;
    uint8_t big[200] = { 0 };
    unsigned n, sent = 0;
    int round;

    node_pair(&a, &b);
    l = node_link(a, 2);
    g_assert_cmpuint(a->f->max_packet, >=, 16 * 1024);
    g_assert_null(a->f->ops->reserve(a->f, l, a->f->max_packet + 1));
    g_assert_nonnull(a->f->ops->reserve(a->f, l, a->f->max_packet));
    for (round = 0; round < 3; round++) {
        for (n = 0; node_send(a, l, big, sizeof(big)); n++) {
        }
        sent += n;
        g_assert_cmpuint(n, >, 700);
        a->f->ops->flush(a->f);
        node_run(a);
        check_log(a, "");
        g_assert_false(node_awake(a));
        /* Not before a quarter is free. */
        node_poll(b, n / 8);
        g_assert_false(node_awake(a));
        node_run(b);
        g_assert_cmpuint(b->received, ==, sent);
        g_assert_true(node_awake(a));
        g_assert_true(a->f->ops->pending(a->f));
        node_run(a);
        check_log(a, "w");
        g_assert_false(node_awake(a));
    }
    node_free(a);
    node_free(b);
}

/* Both connect before either polls; then in either order, or one at a time. */
static void test_crossed(void)
{
    int order;

    for (order = 0; order < 4; order++) {
        Node *a = node_new(1), *b = node_new(2);

        node_connect(a, 2);
        node_connect(b, 1);
        switch (order) {
        case 0:
            node_run(a);
            break;
        case 1:
            node_run(b);
            break;
        case 2:
            node_poll(a, 1);
            node_poll(b, 1);
            break;
        default:
            node_poll(b, 1);
            node_poll(a, 1);
            break;
        }
        settle(b, a);
        check_log(a, "u");
        check_log(b, "u");
        b->echo = true;
        g_assert_true(node_send(a, node_link(a, 2), "x", 1));
        a->f->ops->flush(a->f);
        settle(a, b);
        g_assert_cmpuint(b->received, ==, 1);
        g_assert_cmpuint(a->received, ==, 1);
        node_free(b);
        settle(a, NULL);
        check_log(a, "d1");
        node_free(a);
    }
}

/* What was sent before the sender went still arrives. */
static void test_hangup(void)
{
    Node *a, *b;
    EfaLink *l;

    node_pair(&a, &b);
    l = node_link(a, 2);
    g_assert_true(node_send(a, l, "bye", 3));
    node_free(a);
    g_assert_true(node_awake(b));
    settle(b, NULL);
    g_assert_cmpuint(b->received, ==, 1);
    check_log(b, "d1");
    g_assert_false(node_send(b, node_link(b, 1), "x", 1));
    node_connect(b, 1);
    settle(b, NULL);
    check_log(b, "d0");
    node_free(b);
}

/* Restarted with the same GID, seen before and after the old link's end. */
static void test_restart(void)
{
    Node *a, *b;
    int variant;

    for (variant = 0; variant < 4; variant++) {
        node_pair(&a, &b);
        node_free(a);
        if (variant & 1) {
            node_run(b);
            check_log(b, "d1");
        }
        a = node_new(1);
        if (variant & 2) {
            b->reconnect = gid(1);
        }
        node_connect(a, 2);
        settle(b, a);
        check_log(b, variant & 1 ? "u" : "d1u");
        check_log(a, "u");
        g_assert_true(node_send(b, node_link(b, 1), "x", 1));
        b->f->ops->flush(b->f);
        settle(a, b);
        g_assert_cmpuint(a->received, ==, 1);
        node_free(a);
        node_free(b);
    }
}

/* A process that is killed: no goodbye, its name is free again. */
static void test_killed(void)
{
    Node *a = node_new(1), *b;
    int ready[2], status;
    char c;
    pid_t pid;

    g_assert_cmpint(pipe(ready), ==, 0);
    pid = fork();
    if (!pid) {
        Node *child = node_new(2);

        g_assert_cmpint(write(ready[1], "x", 1), ==, 1);
        for (;;) {
            while (node_poll(child, 64)) {
            }
            g_usleep(1000);
        }
    }
    g_assert_cmpint(read(ready[0], &c, 1), ==, 1);
    node_connect(a, 2);
    while (!a->log->len) {
        node_run(a);
        g_usleep(1000);
    }
    check_log(a, "u");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    node_run(a);
    check_log(a, "d1");
    g_assert_true(exists(gid(2), ".sock"));

    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d0");
    b = node_new(2);
    node_connect(b, 1);
    settle(b, a);
    check_log(a, "u");
    check_log(b, "u");
    node_free(a);
    node_free(b);
    close(ready[0]);
    close(ready[1]);
}

/* The peer dies with the connection still in its backlog. */
static void test_dies_unaccepted(void)
{
    Node *a = node_new(1), *b = node_new(2);

    node_connect(a, 2);
    node_free(b);
    settle(a, NULL);
    check_log(a, "d1");

    /* ... and comes back and connects before that was noticed. */
    b = node_new(2);
    node_connect(a, 2);
    node_free(b);
    b = node_new(2);
    node_connect(b, 1);
    settle(a, b);
    settle(a, b);
    g_assert_cmpint(node_link(b, 1)->state, ==,
                    node_link(a, 2)->state);
    node_connect(b, 1);
    settle(a, b);
    g_assert_cmpint(node_link(a, 2)->state, ==, EFA_LINK_UP);
    node_free(a);
    node_free(b);
}

static void check_self(Node *n)
{
    EfaLink *l = node_link(n, 1);
    unsigned i;

    node_connect(n, 1);
    node_connect(n, 1);
    node_run(n);
    check_log(n, "u");
    g_assert_true(node_send(n, l, "self", 4));
    g_assert_true(n->f->ops->pending(n->f));
    g_assert_false(node_awake(n));
    n->f->ops->flush(n->f);
    g_assert_true(node_awake(n));
    node_run(n);
    g_assert_cmpmem(n->last, n->last_len, "self", 4);
    for (i = 0; node_send(n, l, n, 60); i++) {
    }
    g_assert_cmpuint(i, >, 1000);
    n->f->ops->flush(n->f);
    node_run(n);
    check_log(n, "w");
    g_assert_cmpuint(n->received, ==, i + 1);
    node_connect(n, 3);
    node_run(n);
    check_log(n, "d0");
    node_free(n);
}

static void test_self(void)
{
    Node *n = node_new(1);

    g_assert_cmpstr(n->f->ops->name, ==, "shm");
    check_self(n);
    n = g_new0(Node, 1);
    n->log = g_string_new(NULL);
    n->seen = g_array_new(false, false, sizeof(uint32_t));
    n->f = efa_fabric_none_new(gid(1), &node_client, n);
    g_assert_cmpstr(n->f->ops->name, ==, "none");
    check_self(n);
}

static void test_link_limit(void)
{
    Node *a = node_new(1), *b;
    EfaLink *over;
    unsigned i;

    for (i = 0; i < 4096; i++) {
        EfaLink *link = node_link(a, 100 + i);

        g_assert_true(efa_gid_equal(&link->peer, gid(100 + i)));
        link->client_data = a;
    }
    over = node_link(a, 2);
    g_assert_false(efa_gid_equal(&over->peer, gid(2)));
    a->f->ops->connect(a->f, over);
    settle(a, NULL);
    check_log(a, "d0");
    b = node_new(2);
    node_connect(b, 1);
    settle(a, b);
    check_log(a, "");
    check_log(b, "d2");
    node_free(a);
    node_free(b);
}

/* a peer that turns hostile */

typedef enum Scribble {
    SCRIBBLE_PROD,
    SCRIBBLE_PROD_ALIGN,
    SCRIBBLE_RECORD,
    SCRIBBLE_CONS,
    SCRIBBLE_CONS_WAITING,
    SCRIBBLE_MESSAGE,
    SCRIBBLE_CONS_MID_POLL,
    SCRIBBLE_MAX,
} Scribble;

static void check_scribble(Scribble what)
{
    EfaRingCtl *in, *out;
    Node *a, *b;
    EfaLink *l;
    Raw r;

    node_pair(&a, &b);
    raw_up(&r, a);
    l = node_link(a, 9);
    in = &r.map->ring[0];
    out = &r.map->ring[1];
    switch (what) {
    case SCRIBBLE_PROD:
        qatomic_set(&in->prod, 0x40000000);
        break;
    case SCRIBBLE_PROD_ALIGN:
        qatomic_set(&in->prod, 1);
        break;
    case SCRIBBLE_RECORD:
        raw_put(&r, "x", 1);
        ((EfaRingRecord *)((uint8_t *)r.map + EFA_SHM_HEADER_SIZE))->len = 9999;
        break;
    case SCRIBBLE_CONS:
        qatomic_set(&out->cons, (uint32_t)-64);
        while (node_send(a, l, "x", 1)) {
        }
        break;
    case SCRIBBLE_CONS_WAITING:
        while (node_send(a, l, "x", 1)) {
        }
        qatomic_set(&out->cons, 3);
        qatomic_set(&out->want_space, 0);
        break;
    case SCRIBBLE_CONS_MID_POLL:
        a->echo = true;
        while (node_send(a, l, "x", 1)) {
        }
        qatomic_set(&out->cons, 3);
        raw_put(&r, "x", 1);
        raw_put(&r, "x", 1);
        break;
    default:
        g_assert_cmpint(send(r.sock, "x", 1, 0), ==, 1);
        break;
    }
    node_run(a);
    check_log(a, "d3");
    g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    g_assert_true(raw_closed(&r));
    a->echo = false;

    /* The other link has not noticed, and this one may come back. */
    g_assert_true(node_send(b, node_link(b, 1), "still", 5));
    g_assert_true(node_send(a, node_link(a, 2), "there", 5));
    a->f->ops->flush(a->f);
    settle(a, b);
    g_assert_cmpmem(a->last, a->last_len, "still", 5);
    g_assert_cmpmem(b->last, b->last_len, "there", 5);
    check_log(a, "");
    check_log(b, "");
    raw_free(&r);
    raw_up(&r, a);
    raw_free(&r);
    node_free(a);
    node_free(b);
}

static void test_scribble(void)
{
    int i;

    for (i = 0; i < SCRIBBLE_MAX; i++) {
        check_scribble(i);
    }
}

/* volume */

#define MILLION     1000000
#define PACKET_LEN  128

static void on_count(void *opaque, EfaLink *link, const uint8_t *data,
                     size_t len)
{
    Node *n = opaque;
    uint32_t seq;

    memcpy(&seq, data, sizeof(seq));
    g_assert_cmpuint(len, ==, PACKET_LEN);
    g_assert_cmpuint(seq, ==, n->next_seq);
    n->next_seq++;
}

static const EfaFabricClient count_client = {
    .receive = on_count,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

static unsigned volume(void)
{
    return g_test_thorough() ? 10 * MILLION : MILLION;
}

static void test_million(void)
{
    uint8_t data[PACKET_LEN] = { 0 };
    Node *a, *b;
    EfaLink *l;
    int64_t t0, t1, tx = 0, rx = 0;
    uint32_t seq = 0, total = volume();

    node_pair(&a, &b);
    b->f->client = &count_client;
    l = node_link(a, 2);
    while (b->next_seq < total) {
        int i;

        t0 = g_get_monotonic_time();
        for (i = 0; i < 256 && seq < total; i++, seq++) {
            memcpy(data, &seq, sizeof(seq));
            g_assert_true(node_send(a, l, data, sizeof(data)));
        }
        a->f->ops->flush(a->f);
        t1 = g_get_monotonic_time();
        tx += t1 - t0;
        while (b->f->ops->pending(b->f)) {
            node_poll(b, 64);
        }
        rx += g_get_monotonic_time() - t1;
    }
    g_test_message("send %.1f ns, receive %.1f ns a packet",
                   tx * 1e3 / total, rx * 1e3 / total);
    node_free(a);
    node_free(b);
}

/* As a device runs it: every call under its lock, sleep on the descriptor. */

static gpointer receiver(gpointer opaque)
{
    Node *n = opaque;
    bool more = true;

    while (n->next_seq < volume()) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        g_mutex_lock(&n->lock);
        more = node_poll(n, 64);
        g_mutex_unlock(&n->lock);
    }
    return NULL;
}

static void test_million_threads(void)
{
    uint8_t data[PACKET_LEN] = { 0 };
    Node *a, *b;
    EfaLink *l;
    GThread *thread;
    uint32_t seq = 0, total = volume(), waits = 0;
    int64_t start = g_get_monotonic_time();

    node_pair(&a, &b);
    b->f->client = &count_client;
    l = node_link(a, 2);
    thread = g_thread_new("receiver", receiver, b);
    while (seq < total) {
        bool more, room = true;

        g_mutex_lock(&a->lock);
        while (seq < total && room) {
            memcpy(data, &seq, sizeof(seq));
            room = node_send(a, l, data, sizeof(data));
            seq += room;
            if (!(seq % 32)) {
                a->f->ops->flush(a->f);
            }
        }
        a->f->ops->flush(a->f);
        more = node_poll(a, 64);
        g_mutex_unlock(&a->lock);
        if (!room && !more) {
            struct pollfd p = { .fd = a->f->ops->fd(a->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
            waits++;
        }
    }
    g_thread_join(thread);
    g_test_message("%.1f ns a packet, %u waits for space",
                   (g_get_monotonic_time() - start) * 1e3 / total, waits);
    node_free(a);
    node_free(b);
}

/* One packet to and fro, both asleep in between: no wake-up may be lost. */

#define PINGS   5000

static void ping_run(Node *n, unsigned until)
{
    bool more = true;

    while (n->received < until) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        g_mutex_lock(&n->lock);
        more = node_poll(n, 64);
        g_mutex_unlock(&n->lock);
    }
}

static gpointer ponger(gpointer opaque)
{
    ping_run(opaque, PINGS);
    return NULL;
}

static void test_ping_threads(void)
{
    Node *a, *b;
    GThread *thread;
    unsigned i;

    node_pair(&a, &b);
    b->echo = true;
    thread = g_thread_new("ponger", ponger, b);
    for (i = 0; i < PINGS; i++) {
        g_mutex_lock(&a->lock);
        g_assert_true(node_send(a, node_link(a, 2), "ping", 4));
        a->f->ops->flush(a->f);
        g_mutex_unlock(&a->lock);
        ping_run(a, i + 1);
    }
    g_thread_join(thread);
    node_free(a);
    node_free(b);
}

/* Two devices that find each other at the same moment, in any interleaving. */

static gpointer find_other(gpointer opaque)
{
    Node *n = opaque;
    bool more = true;

    n->f->ops->connect(n->f, node_link(n, n->f->gid.raw[15] ^ 3));
    while (!n->log->len) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        more = node_poll(n, 64);
    }
    return NULL;
}

static void test_crossed_threads(void)
{
    int round;

    for (round = 0; round < 200; round++) {
        Node *a = node_new(1), *b = node_new(2);
        GThread *thread = g_thread_new("other", find_other, b);

        if (round % 4) {
            g_usleep(10 * (round % 16));
        }
        find_other(a);
        g_thread_join(thread);
        settle(a, b);
        check_log(a, "u");
        check_log(b, "u");
        node_free(a);
        node_free(b);
    }
}

int main(int argc, char **argv)
{
    shm_test_init(&argc, &argv);
    shm_test_add("/fabric-shm/exchange", test_exchange);
    shm_test_add("/fabric-shm/writable", test_writable);
    shm_test_add("/fabric-shm/crossed", test_crossed);
    shm_test_add("/fabric-shm/hangup", test_hangup);
    shm_test_add("/fabric-shm/restart", test_restart);
    shm_test_add("/fabric-shm/killed", test_killed);
    shm_test_add("/fabric-shm/dies-unaccepted", test_dies_unaccepted);
    shm_test_add("/fabric-shm/self", test_self);
    shm_test_add("/fabric-shm/link-limit", test_link_limit);
    shm_test_add("/fabric-shm/scribble", test_scribble);
    shm_test_add("/fabric-shm/million", test_million);
    shm_test_add("/fabric-shm/million-threads", test_million_threads);
    shm_test_add("/fabric-shm/ping-threads", test_ping_threads);
    shm_test_add("/fabric-shm/crossed-threads", test_crossed_threads);
    return g_test_run();
}
