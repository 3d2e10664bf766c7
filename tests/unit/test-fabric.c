/*
 * Unit tests: what every fabric does
 *
 * One suite, run over each backend; where a backend promises less than
 * another, its FabricBackend says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fabric-harness.h"

#define HDR         sizeof(EfaPktHdr)
/* The largest message and its header. */
#define BIG         (HDR + 8928)

static const FabricBackend *const backends[] = {
    &fabric_shm,
    &fabric_netdev,
    &fabric_netdev_small,
    &fabric_netdev_large,
    &fabric_netdev_slow,
    &fabric_netdev_lossy,
};

/* Two nodes that verify what they get. */
static void verified_pair(Node **a, Node **b)
{
    node_pair(a, b);
    (*a)->verify = (*b)->verify = true;
}

static void free_both(Node *a, Node *b)
{
    node_free(a);
    node_free(b);
}

/* All of them arrived where they could, and none twice where that counts. */
static void check_received(Node *n, unsigned sent)
{
    if (fabric_backend->lossless) {
        g_assert_cmpuint(n->received, ==, sent);
    } else {
        g_assert_cmpuint(n->received, >, sent / 4);
    }
}

/* ---- links ---- */

static void test_identity(void)
{
    Node *a = node_new(1);
    EfaLink *l = node_link(a, 2), *m = node_link(a, 3);

    g_assert_true(l == node_link(a, 2));
    g_assert_true(l != m);
    g_assert_true(efa_gid_equal(&l->peer, gid(2)));
    g_assert_true(efa_gid_equal(&a->f->gid, gid(1)));
    g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    g_assert_null(l->client_data);
    g_assert_null(a->f->ops->reserve(a->f, l, HDR));
    g_assert_nonnull(a->f->ops->name);
    node_run(a);
    check_log(a, "");
    node_free(a);
}

/* Nobody there: those who can tell do, from a poll that they ask for. */
static void test_absent(void)
{
    Node *a = node_new(1);
    EfaLink *l = node_link(a, 2);

    node_run(a);
    node_connect(a, 2);
    g_assert_cmpint(l->state, ==, EFA_LINK_CONNECTING);
    check_log(a, "");
    g_assert_true(a->f->ops->pending(a->f));
    g_assert_true(node_awake(a));
    node_connect(a, 2);
    settle(a, NULL);
    if (fabric_backend->knows_peers) {
        check_log(a, "d0");
        g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    } else {
        check_log(a, "u");
        g_assert_cmpint(l->state, ==, EFA_LINK_UP);
        g_assert_true(packet_send(a, 2, 1, HDR));
        node_flush(a);
        settle(a, NULL);
        check_log(a, "");
    }
    node_connect(a, 2);
    settle(a, NULL);
    g_assert_true(!a->log->len == !fabric_backend->knows_peers);
    node_free(a);
}

/* To oneself, and to one peer too many. */
static void test_unreachable(void)
{
    Node *a = node_new(1);

    node_connect(a, 1);
    settle(a, NULL);
    check_log(a, fabric_backend->reaches_self ? "u" : "d0");
    node_free(a);
}

static void test_crossed(void)
{
    int order;

    for (order = 0; order < 4; order++) {
        Node *a = node_new(1), *b = node_new(2);

        a->verify = b->verify = true;
        b->echo = true;
        node_connect(a, 2);
        node_connect(b, 1);
        if (order < 2) {
            node_run(order ? a : b);
        } else {
            node_poll(order == 2 ? a : b, 1);
            node_poll(order == 2 ? b : a, 1);
        }
        settle(b, a);
        check_log(a, "u");
        check_log(b, "u");
        if (fabric_backend->lossless) {
            g_assert_true(packet_send(a, 2, 1, HDR + 1));
            node_flush(a);
            settle(a, b);
            g_assert_cmpuint(b->received, ==, 1);
            g_assert_cmpuint(a->received, ==, 1);
        }
        free_both(b, a);
    }
}

/* The first packet of a stranger: the link is told to be up before it. */
static void test_stranger(void)
{
    Node *a, *b;
    unsigned i;

    node_pair(&a, &b);
    b->verify = true;
    for (i = 0; i < 10; i++) {
        g_assert_true(packet_send(a, 2, i, HDR + i));
    }
    node_flush(a);
    settle(a, b);
    check_received(b, 10);
    g_assert_cmpint(node_link(b, 1)->state, ==, EFA_LINK_UP);
    check_log(b, fabric_backend->knows_peers ? "" : "u");
    free_both(a, b);
}

/* A peer that goes and comes back with the same address. */
static void test_return(void)
{
    Node *a, *b;
    unsigned i, round;

    verified_pair(&a, &b);
    for (round = 0; round < 3; round++) {
        node_free(b);
        settle(a, NULL);
        if (fabric_backend->knows_peers) {
            check_log(a, "d1");
            g_assert_null(a->f->ops->reserve(a->f, node_link(a, 2), HDR));
        } else {
            check_log(a, "");
            /* into the void */
            g_assert_true(packet_send(a, 2, 4711, BIG));
            node_flush(a);
            settle(a, NULL);
        }
        b = node_new(2);
        b->verify = true;
        node_connect(a, 2);
        settle(a, b);
        g_assert_cmpint(node_link(a, 2)->state, ==, EFA_LINK_UP);
        for (i = 0; i < 8; i++) {
            g_assert_true(packet_send(a, 2, round * 8 + i, BIG));
        }
        node_flush(a);
        settle(a, b);
        check_received(b, 8);
        g_assert_false(node_has_seen(b, 4711));
        g_string_set_size(a->log, 0);
    }
    free_both(a, b);
}

static void test_many_links(void)
{
    Node *hub = node_new(1), *spoke[40];
    unsigned i, round;

    hub->verify = hub->echo = true;
    for (i = 0; i < ARRAY_SIZE(spoke); i++) {
        spoke[i] = node_new(10 + i);
        spoke[i]->verify = true;
        node_connect(spoke[i], 1);
    }
    for (round = 0; round < 4; round++) {
        for (i = 0; i < ARRAY_SIZE(spoke); i++) {
            node_run(spoke[i]);
            node_run(hub);
        }
    }
    for (round = 0; round < 8; round++) {
        for (i = 0; i < ARRAY_SIZE(spoke); i++) {
            g_assert_true(packet_send(spoke[i], 1, i * 100 + round, HDR + i));
            node_flush(spoke[i]);
        }
        for (i = 0; i < ARRAY_SIZE(spoke); i++) {
            settle(hub, spoke[i]);
        }
    }
    for (i = 0; i < ARRAY_SIZE(spoke); i++) {
        if (fabric_backend->lossless) {
            g_assert_cmpuint(spoke[i]->received, ==, 8);
            g_assert_true(node_has_seen(spoke[i], i * 100));
        }
        node_free(spoke[i]);
    }
    check_received(hub, 8 * ARRAY_SIZE(spoke));
    node_free(hub);
}

/* More addresses than a device has links for. */
static void test_link_limit(void)
{
    Node *a = node_new(1);
    EfaLink *over = NULL;
    unsigned i;

    for (i = 0; i < 100000 && !over; i++) {
        EfaLink *l = node_link(a, 100 + i);

        if (!efa_gid_equal(&l->peer, gid(100 + i))) {
            over = l;
        }
        l->client_data = a;
    }
    g_assert_nonnull(over);
    over->client_data = NULL;
    g_assert_cmpuint(i, >, 4000);
    a->f->ops->connect(a->f, over);
    settle(a, NULL);
    check_log(a, "d0");
    g_assert_null(a->f->ops->reserve(a->f, over, HDR));
    /* what is not referred to is forgotten for others */
    node_link(a, 100)->client_data = NULL;
    g_assert_true(efa_gid_equal(&node_link(a, 3)->peer, gid(3)));
    node_free(a);
}

/* Callbacks may make links, connect and send. */
static void test_callbacks(void)
{
    Node *a, *b;
    int i;

    verified_pair(&a, &b);
    b->make_links = 3;
    b->echo = true;
    for (i = 0; i < 20; i++) {
        g_assert_true(packet_send(a, 2, i, HDR + 10));
    }
    node_flush(a);
    settle(b, a);
    check_received(a, fabric_backend->lossless ? 20 : 8);
    if (fabric_backend->lossless) {
        g_assert_cmpuint(b->log->len, ==,
                         fabric_backend->knows_peers ? 2 * 60 : 61);
    }
    free_both(a, b);
}

/* ---- packets ---- */

static void test_sizes(void)
{
    static const size_t sizes[] = {
        HDR, HDR + 1, HDR + 8, 255, 256, 257, 563, 564, 565, 1128, 1129, 1487,
        1488, 1489, 1500, 2976, 2977, 4096 + HDR, BIG - 1, BIG,
    };
    Node *a, *b;
    size_t i, largest;
    unsigned sent = 0;

    verified_pair(&a, &b);
    b->echo = true;
    largest = a->f->max_packet;
    g_assert_cmpuint(largest, >=, BIG);
    g_assert_null(a->f->ops->reserve(a->f, node_link(a, 2), largest + 1));
    for (i = 0; i <= ARRAY_SIZE(sizes); i++) {
        size_t len = i < ARRAY_SIZE(sizes) ? sizes[i] : largest;

        g_assert_true(packet_send(a, 2, ++sent, len));
        node_flush(a);
        settle(a, b);
        if (fabric_backend->lossless) {
            g_assert_cmpuint(b->received, ==, sent);
            g_assert_cmpuint(b->last_len, ==, len);
            g_assert_cmpuint(a->received, ==, sent);
            g_assert_cmpuint(a->last_len, ==, len);
        }
    }
    /* a reservation that is not committed is void */
    g_assert_nonnull(a->f->ops->reserve(a->f, node_link(a, 2), largest));
    g_assert_true(packet_send(a, 2, ++sent, HDR));
    node_flush(a);
    settle(a, b);
    check_received(b, sent);
    free_both(a, b);
}

static void test_budget(void)
{
    Node *a, *b;
    int i;

    verified_pair(&a, &b);
    for (i = 0; i < 100; i++) {
        g_assert_true(packet_send(a, 2, i, HDR + 500));
    }
    node_flush(a);
    node_run(a);
    g_assert_true(node_poll(b, 0));
    g_assert_cmpuint(b->received, ==, 0);
    g_assert_true(node_poll(b, 40));
    if (fabric_backend->lossless) {
        g_assert_cmpuint(b->received, ==, 40);
    }
    g_assert_cmpuint(b->received, <=, 40);
    node_run(b);
    check_received(b, 100);
    free_both(a, b);
}

/* The peer that is not polled: room ends, and comes back. */
static void test_writable(void)
{
    unsigned round, sent = 0;
    Node *a, *b;

    verified_pair(&a, &b);
    for (round = 0; round < 3; round++) {
        unsigned n;

        for (n = 0; packet_send(a, 2, sent + n, BIG); n++) {
            g_assert_cmpuint(n, <, 1000);
        }
        sent += n;
        g_assert_cmpuint(n, >, 20);
        check_log(a, "");
        node_flush(a);
        settle(a, b);
        check_log(a, "w");
        check_received(b, sent);
        g_assert_true(packet_send(a, 2, sent++, BIG));
        node_flush(a);
        settle(a, b);
        check_log(a, "");
    }
    free_both(a, b);
}

/* Room is asked for by several links at once: each is told. */
static void test_writable_many(void)
{
    Node *a = node_new(1), *peer[5];
    unsigned i, j;

    a->verify = true;
    for (i = 0; i < 5; i++) {
        peer[i] = node_new(10 + i);
        peer[i]->verify = true;
        node_connect(a, 10 + i);
        settle(a, peer[i]);
    }
    g_string_set_size(a->log, 0);
    for (i = 0; i < 5; i++) {
        for (j = 0; packet_send(a, 10 + i, j, BIG); j++) {
        }
        g_assert_false(packet_send(a, 10 + i, j, BIG));
    }
    node_flush(a);
    for (i = 0; i < 5; i++) {
        settle(a, peer[i]);
    }
    check_log(a, "wwwww");
    for (i = 0; i < 5; i++) {
        g_assert_true(packet_send(a, 10 + i, j, HDR));
    }
    node_free(a);
    for (i = 0; i < 5; i++) {
        node_free(peer[i]);
    }
}

/* A third node, on the same wire, sees nothing of it. */
static void test_privacy(void)
{
    Node *a, *b, *c;
    unsigned i;

    verified_pair(&a, &b);
    c = node_new(3);
    for (i = 0; i < 20; i++) {
        g_assert_true(packet_send(a, 2, i, HDR + i * 100));
    }
    node_flush(a);
    settle(a, b);
    node_run(c);
    check_received(b, 20);
    g_assert_cmpuint(c->received, ==, 0);
    check_log(c, "");
    free_both(a, b);
    node_free(c);
}

/* Both ways at once, of all sizes, with whatever room there is. */
static void test_bidirectional(void)
{
    Node *n[2];
    unsigned sent[2] = { 0, 0 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    unsigned round, i;

    verified_pair(&n[0], &n[1]);
    for (round = 0; round < 500; round++) {
        for (i = 0; i < 2; i++) {
            unsigned burst = g_rand_int_range(rand, 0, 40);
            size_t max = g_rand_boolean(rand) ? HDR + 64 : BIG;

            while (burst-- &&
                   packet_send(n[i], 2 - i, sent[i],
                               g_rand_int_range(rand, HDR, max))) {
                sent[i]++;
            }
            node_flush(n[i]);
            if (g_rand_boolean(rand)) {
                node_poll(n[i], 16);
            }
        }
    }
    for (i = 0; i < 8; i++) {
        node_flush(n[0]);
        settle(n[0], n[1]);
    }
    check_received(n[1], sent[0]);
    check_received(n[0], sent[1]);
    free_both(n[0], n[1]);
}

/* Ends with links up, packets under way, a reservation open. */
static void test_free_busy(void)
{
    Node *a, *b;
    unsigned i;

    verified_pair(&a, &b);
    for (i = 0; i < 30; i++) {
        packet_send(a, 2, i, BIG);
        packet_send(b, 1, i, BIG);
    }
    node_flush(a);
    node_poll(b, 3);
    node_connect(a, 5);
    a->f->ops->reserve(a->f, node_link(a, 2), BIG);
    node_free(a);
    node_run(b);
    node_free(b);
}

static const struct {
    const char *name;
    void (*test)(void);
} tests[] = {
    { "identity", test_identity },
    { "absent", test_absent },
    { "unreachable", test_unreachable },
    { "crossed", test_crossed },
    { "stranger", test_stranger },
    { "return", test_return },
    { "many-links", test_many_links },
    { "link-limit", test_link_limit },
    { "callbacks", test_callbacks },
    { "sizes", test_sizes },
    { "budget", test_budget },
    { "writable", test_writable },
    { "writable-many", test_writable_many },
    { "privacy", test_privacy },
    { "bidirectional", test_bidirectional },
    { "free-busy", test_free_busy },
};

/* Lines for the operator are none of this suite's business. */
static void on_message(const char *domain, GLogLevelFlags level,
                       const char *text, gpointer opaque)
{
}

int main(int argc, char **argv)
{
    size_t i, j;

    g_test_init(&argc, &argv, NULL);
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, on_message, NULL);
    for (i = 0; i < ARRAY_SIZE(backends); i++) {
        for (j = 0; j < ARRAY_SIZE(tests); j++) {
            g_autofree char *path = g_strdup_printf(
                "/fabric/%s/%s", backends[i]->name, tests[j].name);

            fabric_test_add(backends[i], path, tests[j].test);
        }
    }
    return g_test_run();
}
