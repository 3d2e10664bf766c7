/*
 * Unit tests: devices on a fabric, whichever it is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fabric-harness.h"
#include <dirent.h>

const FabricBackend *fabric_backend;

const EfaGid *gid(unsigned n)
{
    static __thread EfaGid gids[8];
    EfaGid *g = &gids[n % 8];

    *g = (EfaGid) { { 0xfe, 0x80 } };
    g->raw[13] = n >> 16;
    g->raw[14] = n >> 8;
    g->raw[15] = n;
    return g;
}

unsigned count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* packets */

static uint8_t pattern(uint32_t seq, size_t i)
{
    return seq * 31 + i * 7 + (i >> 8);
}

void packet_fill(uint8_t *packet, const EfaGid *src, const EfaGid *dst,
                 uint32_t seq, size_t len)
{
    EfaPktHdr hdr = {
        .version = EFA_PKT_VERSION,
        .type = EFA_PKT_UD,
        .payload_len = cpu_to_le32(len - sizeof(hdr)),
        .psn = cpu_to_le32(seq),
    };
    size_t i;

    g_assert_cmpuint(len, >=, sizeof(hdr));
    memcpy(hdr.src_gid, src, sizeof(*src));
    memcpy(hdr.dst_gid, dst, sizeof(*dst));
    memcpy(packet, &hdr, sizeof(hdr));
    for (i = sizeof(hdr); i < len; i++) {
        packet[i] = pattern(seq, i);
    }
    efa_pkt_seal(packet, len);
}

bool packet_send(Node *n, unsigned peer, uint32_t seq, size_t len)
{
    EfaLink *link = node_link(n, peer);
    uint8_t *p = n->f->ops->reserve(n->f, link, len);

    if (p) {
        packet_fill(p, &n->f->gid, &link->peer, seq, len);
        n->f->ops->commit(n->f, link, len);
    }
    return p != NULL;
}

static void packet_check(Node *n, EfaLink *link, const uint8_t *data,
                         size_t len)
{
    EfaPktHdr hdr;
    uint32_t seq;
    size_t i;

    g_assert_cmpuint(len, >=, sizeof(hdr));
    memcpy(&hdr, data, sizeof(hdr));
    seq = le32_to_cpu(hdr.psn);
    g_assert_cmpuint(le32_to_cpu(hdr.payload_len), ==, len - sizeof(hdr));
    g_assert_cmpmem(hdr.src_gid, 16, &link->peer, 16);
    g_assert_cmpmem(hdr.dst_gid, 16, &n->f->gid, 16);
    for (i = sizeof(hdr); i < len; i++) {
        g_assert_cmphex(data[i], ==, pattern(seq, i));
    }
    g_array_append_val(n->seen, seq);
}

bool node_has_seen(Node *n, uint32_t seq)
{
    guint i;

    for (i = 0; i < n->seen->len; i++) {
        if (g_array_index(n->seen, uint32_t, i) == seq) {
            return true;
        }
    }
    return false;
}

/* the client */

bool node_send(Node *n, EfaLink *link, const void *data, size_t len)
{
    uint8_t *p = n->f->ops->reserve(n->f, link, len);

    if (p) {
        memcpy(p, data, len);
        n->f->ops->commit(n->f, link, len);
    }
    return p != NULL;
}

static void echo(Node *n, EfaLink *link, const uint8_t *data, size_t len)
{
    EfaPktHdr hdr;

    if (n->verify) {
        uint8_t *p = n->f->ops->reserve(n->f, link, len);

        memcpy(&hdr, data, sizeof(hdr));
        if (p) {
            packet_fill(p, &n->f->gid, &link->peer, le32_to_cpu(hdr.psn), len);
            n->f->ops->commit(n->f, link, len);
        }
    } else {
        node_send(n, link, data, len);
    }
}

static void on_receive(void *opaque, EfaLink *link, const uint8_t *data,
                       size_t len)
{
    Node *n = opaque;
    unsigned i;

    g_assert_true(n->polling);
    g_assert_cmpint(link->state, ==, EFA_LINK_UP);
    n->received++;
    n->last_len = len;
    memcpy(n->last, data, MIN(len, sizeof(n->last)));
    if (n->verify) {
        packet_check(n, link, data, len);
    }
    for (i = 0; i < n->make_links; i++) {
        const EfaGid *peer = gid(1000 + n->received * 10 + i);
        EfaLink *l = n->f->ops->link_get(n->f, peer);

        n->f->ops->connect(n->f, l);
    }
    if (n->echo) {
        echo(n, link, data, len);
    }
}

void on_up(void *opaque, EfaLink *link)
{
    Node *n = opaque;

    g_assert_true(n->polling);
    g_assert_cmpint(link->state, ==, EFA_LINK_UP);
    g_string_append_c(n->log, 'u');
}

void on_down(void *opaque, EfaLink *link, EfaLinkDownReason why)
{
    Node *n = opaque;

    g_assert_true(n->polling);
    g_assert_cmpint(link->state, !=, EFA_LINK_UP);
    g_assert_null(n->f->ops->reserve(n->f, link, 10));
    g_string_append_printf(n->log, "d%d", why);
    if (n->reconnect) {
        EfaLink *l = n->f->ops->link_get(n->f, n->reconnect);

        n->reconnect = NULL;
        n->f->ops->connect(n->f, l);
    }
}

void on_writable(void *opaque, EfaLink *link)
{
    Node *n = opaque;

    g_assert_true(n->polling);
    g_string_append_c(n->log, 'w');
}

const EfaFabricClient node_client = {
    .receive = on_receive,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

Node *node_new(unsigned id)
{
    Node *n = g_new0(Node, 1);

    n->log = g_string_new(NULL);
    n->seen = g_array_new(false, false, sizeof(uint32_t));
    g_mutex_init(&n->lock);
    fabric_backend->attach(n, gid(id));
    g_assert_nonnull(n->f);
    return n;
}

void node_free(Node *n)
{
    fabric_backend->detach(n);
    g_string_free(n->log, TRUE);
    g_array_free(n->seen, TRUE);
    g_mutex_clear(&n->lock);
    g_free(n);
}

EfaLink *node_link(Node *n, unsigned peer)
{
    return n->f->ops->link_get(n->f, gid(peer));
}

void node_connect(Node *n, unsigned peer)
{
    n->f->ops->connect(n->f, node_link(n, peer));
}

static void node_pump(Node *n)
{
    if (fabric_backend->pump) {
        fabric_backend->pump(n);
    }
}

bool node_poll(Node *n, unsigned budget)
{
    bool more;

    n->polling = true;
    more = n->f->ops->poll(n->f, budget);
    n->polling = false;
    node_pump(n);
    return more;
}

void node_flush(Node *n)
{
    n->f->ops->flush(n->f);
    node_pump(n);
}

bool node_awake(Node *n)
{
    return fabric_backend->awake(n);
}

void node_run(Node *n)
{
    unsigned rounds = 0;

    do {
        while (node_poll(n, 64)) {
            g_assert_cmpuint(rounds++, <, 100000);
        }
        g_assert_cmpuint(rounds++, <, 100000);
    } while (node_awake(n));
}

void settle(Node *a, Node *b)
{
    int i;

    for (i = 0; i < 4; i++) {
        node_run(a);
        if (b) {
            node_run(b);
        }
    }
}

void check_log(Node *n, const char *want)
{
    g_assert_cmpstr(n->log->str, ==, want);
    g_string_set_size(n->log, 0);
}

void node_pair(Node **a, Node **b)
{
    *a = node_new(1);
    *b = node_new(2);
    node_connect(*a, 2);
    settle(*a, *b);
    check_log(*a, "u");
    if (fabric_backend->knows_peers) {
        check_log(*b, "u");
    }
}

/* the program */

typedef struct Case {
    const FabricBackend *backend;
    void (*test)(void);
} Case;

static void run_case(gconstpointer opaque)
{
    const Case *c = opaque;
    unsigned fds = count_fds();

    fabric_backend = c->backend;
    fabric_backend->begin();
    c->test();
    g_assert_cmpuint(count_fds(), ==, fds);
    fabric_backend->end();
}

void fabric_test_add(const FabricBackend *backend, const char *path,
                     void (*test)(void))
{
    Case *c = g_new(Case, 1);

    c->backend = backend;
    c->test = test;
    g_test_add_data_func_full(path, c, run_case, g_free);
}
