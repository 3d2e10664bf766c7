/*
 * Unit tests: the fabric over an Ethernet: frames, fragments, and what a
 * hostile wire can do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "segment.h"

#define HDR         sizeof(EfaPktHdr)
#define MINUTE      (60 * 1000 * EFA_NSEC_PER_MSEC)

static unsigned complaints;

static const FabricBackend *small = &fabric_netdev_small;

/* ---- addresses ---- */

static EfaMac mac_of(const char *text)
{
    EfaGid g;

    g_assert_true(efa_gid_parse(text, &g));
    return efa_mac_from_gid(&g);
}

#define assert_mac(text, ...) do {                              \
        EfaMac got_ = mac_of(text);                             \
        EfaMac want_ = { { __VA_ARGS__ } };                     \
        g_assert_cmpmem(&got_, 6, &want_, 6);                   \
    } while (0)

static void test_mac(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(
        g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    unsigned i;

    /* those that efa-cluster and the device itself make: taken literally */
    assert_mac("fe80::2ab:cdff:fe01:203", 0x02, 0xab, 0xcd, 0x01, 0x02, 0x03);
    assert_mac("fe80::2ff:ffff:feff:ffff", 0x02, 0xff, 0xff, 0xff, 0xff, 0xff);
    /* any other: a hash, fixed for ever */
    assert_mac("fe80::1", 0x06, 0xa3, 0x60, 0xb1, 0x8e, 0xcd);
    for (i = 0; i < 20000; i++) {
        EfaMac mac = efa_mac_from_gid(gid(i));

        g_assert_cmphex(mac.raw[0], ==, 0x06);
        g_assert_true(g_hash_table_add(seen, g_bytes_new(&mac, sizeof(mac))));
    }
    g_assert_cmphex(mac_of("fe81::2ab:cdff:fe01:203").raw[0], ==, 0x06);
    g_assert_cmphex(mac_of("fe80::1:2ab:cdff:fe01:203").raw[0], ==, 0x06);
    g_assert_cmphex(mac_of("fe80::ab:cdff:fe01:203").raw[0], ==, 0x06);
    g_assert_cmphex(mac_of("fe80::2ab:cdfe:fe01:203").raw[0], ==, 0x06);
}

/* ---- frames as they are on the wire ---- */

static void check_frame(GBytes *bytes, Node *from, Node *to, uint8_t index,
                        uint16_t total, uint16_t unit)
{
    const uint8_t *f = g_bytes_get_data(bytes, NULL);
    EfaMac src = efa_mac_from_gid(&from->f->gid);
    EfaMac dst = efa_mac_from_gid(&to->f->gid);

    g_assert_cmpmem(f, 6, &dst, 6);
    g_assert_cmpmem(f + 6, 6, &src, 6);
    g_assert_cmphex(f[12], ==, 0x88);
    g_assert_cmphex(f[13], ==, 0xb5);
    g_assert_cmphex(f[14], ==, 0x45);
    g_assert_cmphex(f[15], ==, 0x46);
    g_assert_cmphex(f[16], ==, 1);
    g_assert_cmphex(f[17], ==, index);
    g_assert_cmphex(f[22] | f[23] << 8, ==, total);
    g_assert_cmphex(f[24] | f[25] << 8, ==, unit);
}

static uint32_t frame_id(GBytes *bytes)
{
    uint32_t id;

    memcpy(&id, (const uint8_t *)g_bytes_get_data(bytes, NULL) + 18, 4);
    return le32_to_cpu(id);
}

static void test_layout(void)
{
    uint8_t packet[HDR + 1024];
    Node *a, *b;
    uint32_t id;

    node_pair(&a, &b);
    segment.record = true;
    b->verify = true;
    /* 576 bytes behind the Ethernet header: 12 of ours, 564 of the packet */
    g_assert_true(packet_send(a, 2, 5, 564));
    g_assert_true(packet_send(a, 2, 6, 565));
    g_assert_true(packet_send(a, 2, 7, HDR + 1024));
    node_flush(a);
    g_assert_cmpuint(segment.log->len, ==, 5);
    id = frame_id(segment.log->pdata[0]);
    check_frame(segment.log->pdata[0], a, b, 0, 564, 564);
    g_assert_cmpuint(g_bytes_get_size(segment.log->pdata[0]), ==, 14 + 576);
    packet_fill(packet, gid(1), gid(2), 5, 564);
    g_assert_cmpmem((uint8_t *)g_bytes_get_data(segment.log->pdata[0], NULL) +
                    26, 564, packet, 564);
    check_frame(segment.log->pdata[1], a, b, 0, 565, 564);
    check_frame(segment.log->pdata[2], a, b, 1, 565, 564);
    g_assert_cmpuint(g_bytes_get_size(segment.log->pdata[2]), ==, 60);
    check_frame(segment.log->pdata[3], a, b, 0, HDR + 1024, 564);
    check_frame(segment.log->pdata[4], a, b, 1, HDR + 1024, 564);
    g_assert_cmphex(frame_id(segment.log->pdata[1]), ==, id + 1);
    g_assert_cmphex(frame_id(segment.log->pdata[2]), ==, id + 1);
    g_assert_cmphex(frame_id(segment.log->pdata[3]), ==, id + 2);
    node_run(b);
    g_assert_cmpuint(b->received, ==, 3);
    node_free(a);
    node_free(b);
}

/* ---- crafted frames ---- */

typedef struct Craft {
    EfaFrameHdr hdr;
    uint8_t packet[EFA_FRAME_MAX_PACKET];
    uint8_t frame[sizeof(EfaFrameHdr) + 65536];
} Craft;

/* A faultless packet from 9 to 1 of @len bytes, in units of @unit. */
static Craft *craft(uint32_t seq, size_t len, uint16_t unit)
{
    Craft *c = g_new0(Craft, 1);
    EfaGid src = *gid(9), dst = *gid(1);

    packet_fill(c->packet, &src, &dst, seq, len);
    c->hdr = (EfaFrameHdr) {
        .dst = efa_mac_from_gid(&dst),
        .src = efa_mac_from_gid(&src),
        .ethertype = cpu_to_be16(EFA_FRAME_ETHERTYPE),
        .magic = cpu_to_le16(EFA_FRAME_MAGIC),
        .version = EFA_FRAME_VERSION,
        .id = cpu_to_le32(seq),
        .total = cpu_to_le16(len),
        .unit = cpu_to_le16(unit),
    };
    return c;
}

/* The frame of fragment @index, with @bytes of the packet in it. */
static void craft_send_len(Craft *c, unsigned index, size_t bytes)
{
    size_t offset = (size_t)index * le16_to_cpu(c->hdr.unit);

    c->hdr.index = index;
    memset(c->frame, 0xee, sizeof(c->frame));
    memcpy(c->frame, &c->hdr, sizeof(c->hdr));
    if (offset < sizeof(c->packet)) {
        memcpy(c->frame + sizeof(c->hdr), c->packet + offset,
               MIN(bytes, sizeof(c->packet) - offset));
    }
    segment_inject(c->frame, sizeof(c->hdr) + bytes);
}

static void craft_send(Craft *c, unsigned index)
{
    size_t unit = le16_to_cpu(c->hdr.unit), total = le16_to_cpu(c->hdr.total);
    size_t offset = index * unit;

    craft_send_len(c, index, offset < total ? MIN(unit, total - offset) : 0);
}

static EfaNetdevStats stats(Node *n)
{
    return efa_fabric_netdev_stats(n->f);
}

/* In any order, with copies, with padding. */
static void test_reassembly(void)
{
    static const uint8_t order[][8] = {
        { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 2, 0, 3, 1 },
        { 1, 1, 0, 0, 3, 3, 1, 2 },
    };
    Node *a = node_new(1);
    unsigned i, j, want = 0;
    Craft *c;

    a->verify = true;
    for (i = 0; i < ARRAY_SIZE(order); i++) {
        c = craft(i, 1000, 256);
        for (j = 0; j < (i == 3 ? 8 : 4); j++) {
            craft_send(c, order[i][j]);
        }
        node_run(a);
        g_assert_cmpuint(a->received, ==, ++want);
        g_assert_cmpuint(a->last_len, ==, 1000);
        g_free(c);
    }
    /* padded: what is behind the packet does not count */
    c = craft(10, 1000, 256);
    for (j = 0; j < 4; j++) {
        craft_send_len(c, j, 700);
    }
    g_free(c);
    c = craft(11, HDR, 1000);
    craft_send_len(c, 0, 1000);
    node_run(a);
    g_assert_cmpuint(a->received, ==, want + 2);
    g_assert_cmpuint(a->last_len, ==, HDR);
    g_free(c);
    /* two packets' fragments mixed, from two senders with one id */
    c = craft(20, 1000, 256);
    craft_send(c, 0);
    craft_send(c, 1);
    c->hdr.src.raw[5]++;
    for (j = 0; j < 4; j++) {
        craft_send(c, j);
    }
    node_run(a);
    g_assert_cmpuint(a->received, ==, want + 3);
    c->hdr.src.raw[5]--;
    craft_send(c, 2);
    craft_send(c, 3);
    node_run(a);
    g_assert_cmpuint(a->received, ==, want + 4);
    g_free(c);
    g_assert_cmpuint(stats(a).rx_bad, ==, 0);
    node_free(a);
}

/* Each frame spoiled in one way: none is delivered, each is counted. */
static void test_malformed(void)
{
    Node *a = node_new(1);
    unsigned i, bad = 0;
    size_t len;

    a->verify = true;
    for (i = 0; i < 12; i++) {
        Craft *c = craft(i, 300, 1000);
        unsigned index = 0;

        len = 300;
        switch (i) {
        case 0:
            c->hdr.magic ^= 1;
            break;
        case 1:
            c->hdr.version++;
            break;
        case 2:
            len = 299;
            break;
        case 3:
            len = 0;
            break;
        case 4:
            index = 1;
            break;
        case 5:
            index = 255;
            break;
        case 6:
            c->hdr.total = cpu_to_le16(HDR - 1);
            break;
        case 7:
            c->hdr.total = 0;
            break;
        case 8:
            c->hdr.total = cpu_to_le16(EFA_FRAME_MAX_PACKET + 1);
            break;
        case 9:
            c->hdr.unit = 0;
            break;
        case 10:
            c->hdr.unit = cpu_to_le16(EFA_FRAME_MIN_UNIT - 1);
            break;
        default:
            c->hdr.total = cpu_to_le16(0xffff);
            c->hdr.unit = cpu_to_le16(0xffff);
            len = 65000;
            break;
        }
        craft_send_len(c, index, len);
        g_assert_cmpuint(stats(a).rx_bad, ==, ++bad);
        g_free(c);
    }
    node_run(a);
    g_assert_cmpuint(a->received, ==, 0);
    check_log(a, "");
    g_assert_cmpuint(complaints, ==, 1);
    node_free(a);
}

/* Every length from nothing on, and frames that are none of our business. */
static void test_truncated(void)
{
    Node *a = node_new(1);
    Craft *c = craft(1, 300, 1000);
    size_t len;

    memcpy(c->frame, &c->hdr, sizeof(c->hdr));
    for (len = 0; len < sizeof(c->hdr) + 300; len++) {
        uint8_t *exact = g_memdup2(c->frame, len);

        segment_inject(exact, len);
        g_free(exact);
    }
    g_assert_cmpuint(stats(a).rx_bad, ==, sizeof(c->hdr) + 300);
    c->hdr.ethertype = cpu_to_be16(0x0800);
    craft_send(c, 0);
    c->hdr.ethertype = cpu_to_be16(EFA_FRAME_ETHERTYPE);
    memset(&c->hdr.dst, 0xff, sizeof(c->hdr.dst));
    craft_send(c, 0);
    c->hdr.dst = efa_mac_from_gid(gid(2));
    craft_send(c, 0);
    g_assert_cmpuint(stats(a).rx_foreign, ==, 3);
    g_assert_cmpuint(stats(a).rx_frames, ==, 0);
    g_assert_false(a->f->ops->pending(a->f));
    g_free(c);
    node_free(a);
}

/* Whole packets whose header lies, and a damaged one of a stranger. */
static void test_addresses(void)
{
    Node *a = node_new(1);
    EfaPktHdr *hdr;
    unsigned i;

    for (i = 0; i < 7; i++) {
        Craft *c = craft(i, 300, 1000);

        hdr = (EfaPktHdr *)c->packet;
        switch (i) {
        case 0:
            memcpy(hdr->src_gid, gid(1), 16);
            break;
        case 1:
            memcpy(hdr->dst_gid, gid(2), 16);
            break;
        case 2:
            memset(hdr->src_gid, 0, 16);
            break;
        case 3:
            memset(hdr->src_gid, 0xff, 16);
            break;
        case 4:
            hdr->version++;
            break;
        case 5:
            memset(hdr->dst_gid, 0xff, 16);
            break;
        default:
            break;
        }
        efa_pkt_seal(c->packet, 300);
        c->packet[250] ^= i == 6;
        craft_send(c, 0);
        g_free(c);
    }
    node_run(a);
    g_assert_cmpuint(a->received, ==, 0);
    check_log(a, "");
    g_assert_cmpuint(stats(a).rx_bad, ==, 7);
    node_free(a);
}

/* Fragments that contradict each other, and what it costs: nothing. */
static void test_contradiction(void)
{
    Node *a = node_new(1);
    Craft *c = craft(1, 1000, 256);

    a->verify = true;
    craft_send(c, 0);
    c->hdr.total = cpu_to_le16(2000);
    craft_send(c, 1);
    c->hdr.total = cpu_to_le16(1000);
    c->hdr.unit = cpu_to_le16(400);
    craft_send(c, 1);
    node_run(a);
    g_assert_cmpuint(a->received, ==, 0);
    g_assert_cmpuint(stats(a).rx_bad, ==, 2);
    c->hdr.unit = cpu_to_le16(256);
    craft_send(c, 1);
    craft_send(c, 2);
    craft_send(c, 3);
    node_run(a);
    g_assert_cmpuint(a->received, ==, 1);
    g_free(c);
    node_free(a);
}

/* A fragment never comes: the rest is given up in time. */
static void test_timeout(void)
{
    Node *a = node_new(1);
    Craft *c = craft(1, 1000, 256);

    a->verify = true;
    craft_send(c, 0);
    craft_send(c, 1);
    craft_send(c, 2);
    node_run(a);
    segment.now += EFA_REASM_TIMEOUT_NS;
    node_run(a);
    g_assert_cmpuint(stats(a).reasm_drops, ==, 1);
    /* too late: the beginning of another, which fails in turn */
    craft_send(c, 3);
    node_run(a);
    g_assert_cmpuint(a->received, ==, 0);
    segment.now += EFA_REASM_TIMEOUT_NS;
    node_run(a);
    g_assert_cmpuint(stats(a).reasm_drops, ==, 2);
    g_free(c);
    node_free(a);
}

/* First fragments without end: one sender's are not another's trouble. */
static void test_fragment_flood(void)
{
    Node *a = node_new(1);
    Craft *honest = craft(1, 1000, 256);
    Craft *flood = craft(2, EFA_FRAME_MAX_PACKET, 256);
    unsigned i;

    a->verify = true;
    craft_send(honest, 0);
    flood->hdr.src.raw[0] ^= 0x40;
    for (i = 0; i < 3000; i++) {
        flood->hdr.id = cpu_to_le32(i);
        craft_send(flood, i % 64);
        node_run(a);
    }
    g_assert_cmpuint(stats(a).reasm_drops, ==,
                     3000 - EFA_REASM_MAX_PER_SENDER);
    for (i = 1; i < 4; i++) {
        craft_send(honest, i);
    }
    node_run(a);
    g_assert_cmpuint(a->received, ==, 1);
    /* from everywhere: bounded all the same */
    for (i = 0; i < 3000; i++) {
        flood->hdr.src.raw[4] = i >> 8;
        flood->hdr.src.raw[5] = i;
        craft_send(flood, 0);
        node_run(a);
    }
    g_assert_cmpuint(stats(a).reasm_drops, ==, 6000 - EFA_REASM_MAX);
    g_assert_cmpuint(stats(a).rx_bad, ==, 0);
    g_free(honest);
    g_free(flood);
    node_free(a);
}

/* Nobody polls: the queue ends somewhere, and goes on when there is room. */
static void test_input_flood(void)
{
    Node *a = node_new(1);
    Craft *c = craft(1, 1000, 1000);
    unsigned i;

    a->verify = true;
    for (i = 0; i < 100000 && efa_fabric_netdev_can_input(a->f); i++) {
        craft_send(c, 0);
    }
    g_assert_cmpuint(i, >, 1000);
    g_assert_cmpuint(i, <, 5000);
    g_assert_cmpuint(stats(a).rx_no_room, ==, 0);
    g_assert_false(efa_fabric_netdev_input(a->f, c->frame,
                                           sizeof(c->hdr) + 1000));
    g_assert_cmpuint(stats(a).rx_no_room, ==, 1);
    a->f->ops->poll(a->f, 0);
    g_assert_false(efa_fabric_netdev_room_again(a->f));
    a->polling = true;
    while (a->f->ops->poll(a->f, 64)) {
    }
    a->polling = false;
    g_assert_cmpuint(a->received, ==, i);
    g_assert_true(efa_fabric_netdev_room_again(a->f));
    g_assert_false(efa_fabric_netdev_room_again(a->f));
    g_assert_true(efa_fabric_netdev_can_input(a->f));
    g_free(c);
    node_free(a);
}

/* Senders by the thousand: links end at a limit, silent ones make room. */
static void test_link_flood(void)
{
    Node *a = node_new(1);
    Craft *c = craft(1, HDR, 256);
    EfaPktHdr *hdr = (EfaPktHdr *)c->packet;
    EfaLink *kept;
    unsigned i;

    node_connect(a, 0x20000);
    node_run(a);
    kept = node_link(a, 0x20000);
    kept->client_data = a;
    for (i = 1; i < EFA_NETDEV_MAX_LINKS + 100; i++) {
        memcpy(hdr->src_gid, gid(0x30000 + i), 16);
        efa_pkt_seal(c->packet, HDR);
        craft_send(c, 0);
        node_run(a);
    }
    g_assert_cmpuint(a->received, ==, EFA_NETDEV_MAX_LINKS - 1);
    g_assert_cmpuint(stats(a).link_drops, ==, 100);
    /* in use: not given up for a stranger */
    g_string_set_size(a->log, 0);
    segment.now += MINUTE;
    memcpy(hdr->src_gid, gid(0x30001), 16);
    craft_send(c, 0);
    node_run(a);
    check_log(a, "");
    memcpy(hdr->src_gid, gid(0x50000), 16);
    efa_pkt_seal(c->packet, HDR);
    craft_send(c, 0);
    node_run(a);
    /* that of the client is kept though it is down, another one made room */
    check_log(a, "d0d0u");
    g_assert_cmpint(kept->state, ==, EFA_LINK_DOWN);
    g_assert_true(kept == node_link(a, 0x20000));
    g_assert_cmpint(node_link(a, 0x30001)->state, ==, EFA_LINK_UP);
    g_assert_cmpuint(a->received, ==, EFA_NETDEV_MAX_LINKS + 1);
    g_free(c);
    node_free(a);
}

/* A life that ends in mid-packet does not spoil the next one's. */
static void test_restart(void)
{
    unsigned round;
    Node *a, *b;

    node_pair(&a, &b);
    b->verify = true;
    segment.lose = 4;
    for (round = 0; round < 50; round++) {
        packet_send(a, 2, round, HDR + 1000 + round);
        node_flush(a);
        node_free(a);
        a = node_new(1);
        node_connect(a, 2);
        settle(a, b);
    }
    g_assert_cmpuint(b->received, >, 0);
    node_free(a);
    node_free(b);
}

/* Random changes of good frames, and plain noise. */
static void test_random(void)
{
    uint32_t seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    unsigned i, rounds = g_test_thorough() ? 2000000 : 100000;
    Node *a = node_new(1);
    uint8_t frame[2000];

    for (i = 2; i < 5; i++) {
        node_connect(a, i);     /* others are strangers */
    }
    for (i = 0; i < rounds; i++) {
        size_t len = g_rand_int_range(rand, 0, sizeof(frame));
        size_t packet = g_rand_int_range(rand, HDR, EFA_FRAME_MAX_PACKET);
        unsigned changes = g_rand_int_range(rand, 0, 4);
        EfaFrameHdr hdr = {
            .dst = efa_mac_from_gid(gid(1)),
            .src = efa_mac_from_gid(gid(g_rand_int_range(rand, 2, 6))),
            .ethertype = cpu_to_be16(EFA_FRAME_ETHERTYPE),
            .magic = cpu_to_le16(EFA_FRAME_MAGIC),
            .version = EFA_FRAME_VERSION,
            .index = g_rand_int_range(rand, 0, 4),
            .id = cpu_to_le32(g_rand_int_range(rand, 0, 4)),
            .total = cpu_to_le16(packet),
            .unit = cpu_to_le16(g_rand_int_range(rand, 200, 2000)),
        };

        memset(frame, i, sizeof(frame));
        memcpy(frame, &hdr, sizeof(hdr));
        if (!hdr.index) {
            EfaGid src = *gid(g_rand_int_range(rand, 1, 5)), dst = *gid(1);

            packet_fill(frame + sizeof(hdr), &src, &dst, i, HDR);
        }
        while (changes--) {
            frame[g_rand_int_range(rand, 12, 26 + HDR)] = g_rand_int(rand);
        }
        segment_inject(frame, len);
        if (!(i % 16)) {
            node_run(a);
            segment.now += g_rand_int_range(rand, 0, 1000) *
                           EFA_NSEC_PER_MSEC;
        }
        g_assert_cmpuint(a->log->len, <, 4 * EFA_NETDEV_MAX_LINKS);
    }
    g_test_message("seed %u: %u packets", seed, a->received);
    node_free(a);
}

/* Frames from other threads while the device works. */

#define THREAD_FRAMES   20000

static gpointer injector(gpointer opaque)
{
    Node *n = opaque;
    Craft *c = craft(1, 1000, 256);
    unsigned i;

    for (i = 0; i < THREAD_FRAMES; i++) {
        c->hdr.id = cpu_to_le32(i);
        memcpy(c->frame, &c->hdr, sizeof(c->hdr));
        c->frame[offsetof(EfaFrameHdr, index)] = i % 4;
        memcpy(c->frame + offsetof(EfaFrameHdr, id), &(uint32_t){ i / 4 }, 4);
        memcpy(c->frame + sizeof(c->hdr), c->packet + i % 4 * 256,
               MIN(256, 1000 - i % 4 * 256));
        while (!efa_fabric_netdev_can_input(n->f)) {
            g_thread_yield();
        }
        efa_fabric_netdev_input(n->f, c->frame, sizeof(c->hdr) + 256);
        efa_fabric_netdev_writable(n->f);
    }
    g_free(c);
    return NULL;
}

static void test_threads(void)
{
    Node *a = node_new(1);
    GThread *thread = g_thread_new("injector", injector, a);
    unsigned sent = 0;

    a->verify = true;
    node_connect(a, 2);
    while (a->received < THREAD_FRAMES / 4) {
        node_poll(a, 16);
        sent += packet_send(a, 2, sent, HDR + 1000);
        node_flush(a);
    }
    g_thread_join(thread);
    g_assert_cmpuint(sent, >, 0);
    node_free(a);
}

static void on_message(const char *domain, GLogLevelFlags level,
                       const char *text, gpointer opaque)
{
    g_assert_null(strchr(text, '\n'));
    complaints++;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, on_message, NULL);
    g_test_add_func("/fabric-netdev/mac", test_mac);
    fabric_test_add(small, "/fabric-netdev/layout", test_layout);
    fabric_test_add(small, "/fabric-netdev/reassembly", test_reassembly);
    fabric_test_add(small, "/fabric-netdev/malformed", test_malformed);
    fabric_test_add(small, "/fabric-netdev/truncated", test_truncated);
    fabric_test_add(small, "/fabric-netdev/addresses", test_addresses);
    fabric_test_add(small, "/fabric-netdev/contradiction", test_contradiction);
    fabric_test_add(small, "/fabric-netdev/timeout", test_timeout);
    fabric_test_add(small, "/fabric-netdev/fragment-flood",
                    test_fragment_flood);
    fabric_test_add(small, "/fabric-netdev/input-flood", test_input_flood);
    fabric_test_add(small, "/fabric-netdev/link-flood", test_link_flood);
    fabric_test_add(small, "/fabric-netdev/restart", test_restart);
    fabric_test_add(small, "/fabric-netdev/random", test_random);
    fabric_test_add(small, "/fabric-netdev/threads", test_threads);
    return g_test_run();
}
