/*
 * EFA device model: the fabric over an Ethernet
 *
 * Packets travel as frames of a protocol of their own. There are no
 * connections: a link is up as soon as somebody wants it or a packet has come
 * over it, and whether the peer is there is for the transport to find out.
 *
 * What the network layer and the core both touch, the two queues, is under a
 * lock of its own, so that frames can arrive and room can come at any moment,
 * even while we are sending: two devices may sit on one hub. Nothing is called
 * with that lock, and nothing of the network layer with the core's: a network
 * card's DMA may lead into our own registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-packet.h"
#include "fabric-netdev.h"

/* Packets on their way out: as much as a shared memory ring holds. */
#define NETDEV_OUTPUT_BYTES     (256 * 1024)
/* Frames that wait for ->poll(), by what they take of our memory. */
#define NETDEV_INPUT_BYTES      (2 * 1024 * 1024)
/* Frames that one transmit sends before others get a turn. */
#define NETDEV_BURST            64
/* A link must have been silent for that long to be given up for another. */
#define NETDEV_IDLE_NS          (10 * 1000 * EFA_NSEC_PER_MSEC)
/* Links that one new peer may cost. */
#define NETDEV_MAX_EVICTIONS    4
#define NETDEV_COMPLAINT_USEC   (1000 * 1000)

typedef struct NetdevLink {
    EfaLink link;
    EfaMac mac;
    GList node;             /* in ->up or ->connecting, by the state */
    GList wait_node;
    bool waits;             /* for room: in ->waiting */
    int64_t used;           /* when a packet last went either way */
} NetdevLink;

typedef struct NetdevPacket {
    GList node;
    EfaMac dst;
    uint32_t id;
    size_t size;            /* room for a packet */
    size_t len;
    unsigned frames;        /* sent of it */
    uint8_t bytes[];        /* head room, packet, tail room */
} NetdevPacket;

typedef struct NetdevFrame {
    GList node;
    EfaFrameRx rx;          /* ->data is ours */
    uint8_t bytes[];
} NetdevFrame;

typedef struct EfaFabricNetdev {
    EfaFabric fabric;
    const EfaNetdevOps *net;
    void *net_opaque;
    EfaMac mac;
    uint16_t unit;          /* bytes of a packet in one frame */

    /* under the core lock */
    bool in_poll;
    GHashTable *links;      /* EfaGid -> NetdevLink */
    NetdevLink overflow;    /* stands for every peer beyond the limit */
    GQueue up;              /* the one used last is the last */
    GQueue connecting;
    GQueue waiting;
    NetdevPacket *reserved;
    EfaReasm reasm;
    uint32_t next_id;
    bool tx_dirty;          /* committed since the last ->flush() */

    /* under this lock; those that ->pending() reads are atomic besides */
    EfaLock lock;
    GQueue input;           /* NetdevFrame */
    size_t input_bytes;
    bool input_full;        /* the host was told that there is no room */
    GQueue output;          /* NetdevPacket */
    size_t output_bytes;
    bool blocked;           /* the host takes no frames just now */
    bool transmitting;
    bool kicked;            /* and not polled since */
    bool want_room;         /* ->reserve() failed */
    bool room;              /* it would not any more */
    EfaNetdevStats stats;
    int64_t next_complaint;
} EfaFabricNetdev;

static EfaFabricNetdev *netdev_from(EfaFabric *f)
{
    return container_of(f, EfaFabricNetdev, fabric);
}

static NetdevLink *netdev_link_from(EfaLink *link)
{
    return container_of(link, NetdevLink, link);
}

/* Have ->poll() called, once; to be told to the host without the lock. */
static bool netdev_must_kick(EfaFabricNetdev *s)
{
    bool kick = !s->kicked;

    s->kicked = true;
    return kick;
}

static void netdev_kick(EfaFabricNetdev *s)
{
    bool kick;

    efa_lock(&s->lock);
    kick = netdev_must_kick(s);
    efa_unlock(&s->lock);
    if (kick) {
        s->net->kick(s->net_opaque);
    }
}

/* ---- links ---- */

static guint netdev_gid_hash(gconstpointer key)
{
    uint64_t half[2];

    memcpy(half, key, sizeof(half));
    half[0] = (half[0] ^ half[1]) * 0x9e3779b97f4a7c15ull;
    return half[0] >> 32;
}

static gboolean netdev_gid_equal(gconstpointer a, gconstpointer b)
{
    return efa_gid_equal(a, b);
}

static void netdev_link_init(NetdevLink *l, const EfaGid *peer)
{
    l->link.peer = *peer;
    l->mac = efa_mac_from_gid(peer);
    l->node.data = l;
    l->wait_node.data = l;
}

static gboolean netdev_link_idle(gpointer key, gpointer value, gpointer opaque)
{
    const NetdevLink *l = value;

    return l->link.state == EFA_LINK_DOWN && !l->link.client_data;
}

static NetdevLink *netdev_link_new(EfaFabricNetdev *s, const EfaGid *peer)
{
    NetdevLink *l = g_new0(NetdevLink, 1);

    netdev_link_init(l, peer);
    g_hash_table_insert(s->links, &l->link.peer, l);
    return l;
}

static EfaLink *netdev_link_get(EfaFabric *f, const EfaGid *peer)
{
    EfaFabricNetdev *s = netdev_from(f);
    NetdevLink *l = g_hash_table_lookup(s->links, peer);

    if (l) {
        return &l->link;
    }
    if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS && !s->in_poll) {
        g_hash_table_foreach_remove(s->links, netdev_link_idle, NULL);
    }
    if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS) {
        return &s->overflow.link;
    }
    return &netdev_link_new(s, peer)->link;
}

static void netdev_unwait(EfaFabricNetdev *s, NetdevLink *l)
{
    if (l->waits) {
        l->waits = false;
        g_queue_unlink(&s->waiting, &l->wait_node);
    }
}

static void netdev_set_up(EfaFabricNetdev *s, NetdevLink *l)
{
    if (l->link.state == EFA_LINK_CONNECTING) {
        g_queue_unlink(&s->connecting, &l->node);
    }
    l->link.state = EFA_LINK_UP;
    l->used = s->net->clock_ns(s->net_opaque);
    g_queue_push_tail_link(&s->up, &l->node);
    s->fabric.client->link_up(s->fabric.opaque, &l->link);
}

static void netdev_set_down(EfaFabricNetdev *s, NetdevLink *l)
{
    if (l->link.state == EFA_LINK_UP) {
        g_queue_unlink(&s->up, &l->node);
    } else {
        g_queue_unlink(&s->connecting, &l->node);
    }
    netdev_unwait(s, l);
    l->link.state = EFA_LINK_DOWN;
    s->fabric.client->link_down(s->fabric.opaque, &l->link, EFA_LINK_ABSENT);
}

static void netdev_used(EfaFabricNetdev *s, NetdevLink *l)
{
    l->used = s->net->clock_ns(s->net_opaque);
    if (s->up.tail != &l->node) {
        g_queue_unlink(&s->up, &l->node);
        g_queue_push_tail_link(&s->up, &l->node);
    }
}

/* The table is full: let go of links that have been silent for long. */
static void netdev_evict(EfaFabricNetdev *s)
{
    int64_t now = s->net->clock_ns(s->net_opaque);
    unsigned i;

    for (i = 0; i < NETDEV_MAX_EVICTIONS && s->up.head; i++) {
        NetdevLink *l = s->up.head->data;

        if (now - l->used < NETDEV_IDLE_NS) {
            return;
        }
        netdev_set_down(s, l);
        if (netdev_link_idle(NULL, l, NULL)) {
            g_hash_table_remove(s->links, &l->link.peer);
            return;
        }
    }
}

static void netdev_connect(EfaFabric *f, EfaLink *link)
{
    EfaFabricNetdev *s = netdev_from(f);
    NetdevLink *l = netdev_link_from(link);

    if (link->state != EFA_LINK_DOWN) {
        return;
    }
    link->state = EFA_LINK_CONNECTING;
    g_queue_push_tail_link(&s->connecting, &l->node);
    netdev_kick(s);
}

static void netdev_tell_connected(EfaFabricNetdev *s)
{
    /* A client that connects anew at once must not keep us here. */
    unsigned n = s->connecting.length;

    while (n-- && s->connecting.head) {
        NetdevLink *l = s->connecting.head->data;

        /* the way to ourselves leads through no network */
        if (l == &s->overflow ||
            efa_gid_equal(&l->link.peer, &s->fabric.gid)) {
            netdev_set_down(s, l);
        } else {
            netdev_set_up(s, l);
        }
    }
}

/* ---- sending ---- */

static bool netdev_has_room(const EfaFabricNetdev *s, size_t len)
{
    return s->output_bytes + len <= NETDEV_OUTPUT_BYTES;
}

static void netdev_prepare(EfaFabricNetdev *s, size_t len)
{
    NetdevPacket *p = s->reserved;

    if (p && p->size >= len) {
        return;
    }
    g_free(p);
    p = g_malloc(sizeof(*p) + EFA_FRAME_HEADROOM + len + EFA_FRAME_TAILROOM);
    p->node = (GList) { .data = p };
    p->size = len;
    p->frames = 0;
    s->reserved = p;
}

static uint8_t *netdev_reserve(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricNetdev *s = netdev_from(f);
    NetdevLink *l = netdev_link_from(link);
    bool room;

    if (link->state != EFA_LINK_UP || len > f->max_packet) {
        return NULL;
    }
    efa_lock(&s->lock);
    room = netdev_has_room(s, len);
    s->want_room |= !room;
    efa_unlock(&s->lock);
    if (room) {
        netdev_prepare(s, len);
        return s->reserved->bytes + EFA_FRAME_HEADROOM;
    }
    if (!l->waits) {
        l->waits = true;
        g_queue_push_tail_link(&s->waiting, &l->wait_node);
    }
    return NULL;
}

static void netdev_commit(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricNetdev *s = netdev_from(f);
    NetdevLink *l = netdev_link_from(link);
    NetdevPacket *p = s->reserved;

    if (link->state != EFA_LINK_UP || !p || len > p->size) {
        return;
    }
    s->reserved = NULL;
    s->tx_dirty = true;
    s->stats.tx_packets++;
    p->dst = l->mac;
    p->id = s->next_id++;
    p->len = len;
    netdev_used(s, l);
    efa_lock(&s->lock);
    s->output_bytes += len;
    g_queue_push_tail_link(&s->output, &p->node);
    efa_unlock(&s->lock);
}

static void netdev_flush(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);

    if (s->tx_dirty) {
        s->tx_dirty = false;
        s->net->tx_ready(s->net_opaque);
    }
}

/* The packet to go on with; marks the way as taken until the host has said. */
static NetdevPacket *netdev_next_packet(EfaFabricNetdev *s)
{
    NetdevPacket *p = NULL;

    efa_lock(&s->lock);
    if (!s->blocked && s->output.head) {
        p = s->output.head->data;
        s->blocked = true;
    }
    efa_unlock(&s->lock);
    return p;
}

static void netdev_send_frame(EfaFabricNetdev *s, NetdevPacket *p)
{
    EfaFrameTx tx = {
        .src = s->mac,
        .dst = p->dst,
        .id = p->id,
        .unit = s->unit,
        .packet = p->bytes + EFA_FRAME_HEADROOM,
        .len = p->len,
    };
    bool more, kick = false;
    const uint8_t *frame;
    size_t len;

    frame = efa_frame_build(&tx, p->frames, &len);
    more = s->net->send(s->net_opaque, frame, len);
    efa_lock(&s->lock);
    s->stats.tx_frames++;
    s->blocked &= !more;
    if (++p->frames == efa_frame_count(p->len, s->unit)) {
        g_queue_unlink(&s->output, &p->node);
        s->output_bytes -= p->len;
        g_free(p);
        if (s->want_room && s->output_bytes <= NETDEV_OUTPUT_BYTES / 2) {
            s->want_room = false;
            qatomic_set(&s->room, true);
            kick = netdev_must_kick(s);
        }
    }
    efa_unlock(&s->lock);
    if (kick) {
        s->net->kick(s->net_opaque);
    }
}

/* Is this call the one that sends? Others come from inside send(). */
static bool netdev_begin_transmit(EfaFabricNetdev *s)
{
    bool mine;

    efa_lock(&s->lock);
    mine = !s->transmitting;
    s->transmitting = true;
    efa_unlock(&s->lock);
    return mine;
}

void efa_fabric_netdev_transmit(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    unsigned budget = NETDEV_BURST;
    bool left;

    if (!netdev_begin_transmit(s)) {
        return;
    }
    while (budget--) {
        NetdevPacket *p = netdev_next_packet(s);

        if (!p) {
            break;
        }
        netdev_send_frame(s, p);
    }
    efa_lock(&s->lock);
    s->transmitting = false;
    left = s->output.head && !s->blocked;
    efa_unlock(&s->lock);
    if (left) {
        s->net->tx_ready(s->net_opaque);
    }
}

void efa_fabric_netdev_writable(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    bool left;

    efa_lock(&s->lock);
    s->blocked = false;
    left = s->output.head != NULL;
    efa_unlock(&s->lock);
    if (left) {
        s->net->tx_ready(s->net_opaque);
    }
}

/* ---- receiving ---- */

/* For the operator; nobody can flood the log. */
static void netdev_complain_version(EfaFabricNetdev *s, const uint8_t *frame)
{
    const EfaFrameHdr *hdr = (const EfaFrameHdr *)frame;
    const uint8_t *m = hdr->src.raw;
    int64_t now = g_get_monotonic_time();

    if (now >= s->next_complaint) {
        s->next_complaint = now + NETDEV_COMPLAINT_USEC;
        g_message("efa: frame of version %u from %02x:%02x:%02x:%02x:%02x:%02x"
                  " dropped, ours is %u: run one version of the device on all"
                  " hosts", hdr->version, m[0], m[1], m[2], m[3], m[4], m[5],
                  EFA_FRAME_VERSION);
    }
}

static size_t netdev_frame_cost(const NetdevFrame *fr)
{
    return sizeof(*fr) + fr->rx.len;
}

/* Takes the lock; true if the frame is to be copied. */
static bool netdev_judge(EfaFabricNetdev *s, const uint8_t *frame, size_t len,
                         EfaFrameRx *rx)
{
    EfaFrameVerdict verdict = efa_frame_parse(frame, len, &s->mac, rx);

    switch (verdict) {
    case EFA_FRAME_OK:
        s->stats.rx_frames++;
        return true;
    case EFA_FRAME_FOREIGN:
        s->stats.rx_foreign++;
        return false;
    case EFA_FRAME_VERSION_BAD:
        netdev_complain_version(s, frame);
        /* fall through */
    default:
        s->stats.rx_bad++;
        trace_efa_netdev_bad_frame(verdict, len);
        return false;
    }
}

bool efa_fabric_netdev_input(EfaFabric *f, const uint8_t *frame, size_t len)
{
    EfaFabricNetdev *s = netdev_from(f);
    bool room, kick = false;
    NetdevFrame *fr;
    EfaFrameRx rx;

    efa_lock(&s->lock);
    if (!netdev_judge(s, frame, len, &rx)) {
        efa_unlock(&s->lock);
        return true;
    }
    room = s->input_bytes < NETDEV_INPUT_BYTES;
    if (room) {
        fr = g_malloc(sizeof(*fr) + rx.len);
        memcpy(fr->bytes, rx.data, rx.len);
        fr->rx = rx;
        fr->rx.data = fr->bytes;
        fr->node = (GList) { .data = fr };
        g_queue_push_tail_link(&s->input, &fr->node);
        qatomic_set(&s->input_bytes, s->input_bytes + netdev_frame_cost(fr));
        kick = netdev_must_kick(s);
    } else {
        s->input_full = true;
        s->stats.rx_no_room++;
    }
    efa_unlock(&s->lock);
    if (kick) {
        s->net->kick(s->net_opaque);
    }
    return room;
}

bool efa_fabric_netdev_can_input(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    bool room;

    efa_lock(&s->lock);
    room = s->input_bytes < NETDEV_INPUT_BYTES;
    s->input_full |= !room;
    efa_unlock(&s->lock);
    return room;
}

bool efa_fabric_netdev_room_again(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    bool again;

    efa_lock(&s->lock);
    again = s->input_full && s->input_bytes < NETDEV_INPUT_BYTES / 2;
    s->input_full &= !again;
    efa_unlock(&s->lock);
    return again;
}

static NetdevFrame *netdev_take_frame(EfaFabricNetdev *s)
{
    NetdevFrame *fr = NULL;
    GList *node;

    efa_lock(&s->lock);
    node = g_queue_pop_head_link(&s->input);
    if (node) {
        fr = node->data;
        qatomic_set(&s->input_bytes, s->input_bytes - netdev_frame_cost(fr));
    }
    efa_unlock(&s->lock);
    return fr;
}

static void netdev_count_bad(EfaFabricNetdev *s)
{
    efa_lock(&s->lock);
    s->stats.rx_bad++;
    efa_unlock(&s->lock);
}

/* The link of a packet's sender, up; NULL if nobody is to see the packet. */
static NetdevLink *netdev_sender(EfaFabricNetdev *s, const uint8_t *packet,
                                 size_t len)
{
    EfaGid src, dst;
    EfaPktHdr hdr;
    NetdevLink *l;

    memcpy(&hdr, packet, sizeof(hdr));
    memcpy(src.raw, hdr.src_gid, sizeof(src.raw));
    memcpy(dst.raw, hdr.dst_gid, sizeof(dst.raw));
    if (hdr.version != EFA_PKT_VERSION || !efa_gid_is_unicast(&src) ||
        efa_gid_equal(&src, &s->fabric.gid) ||
        !efa_gid_equal(&dst, &s->fabric.gid)) {
        netdev_count_bad(s);
        return NULL;
    }
    l = g_hash_table_lookup(s->links, &src);
    if (!l) {
        /* damage must not make up peers; the client sees to the rest */
        if (!efa_pkt_intact(packet, len)) {
            netdev_count_bad(s);
            return NULL;
        }
        if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS) {
            netdev_evict(s);
        }
        if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS) {
            s->stats.link_drops++;
            return NULL;
        }
        l = netdev_link_new(s, &src);
    }
    if (l->link.state != EFA_LINK_UP) {
        netdev_set_up(s, l);
    }
    return l;
}

static void netdev_deliver(EfaFabricNetdev *s, const uint8_t *packet,
                           size_t len)
{
    NetdevLink *l = netdev_sender(s, packet, len);

    if (l) {
        s->stats.rx_packets++;
        netdev_used(s, l);
        s->fabric.client->receive(s->fabric.opaque, &l->link, packet, len);
    }
}

/* True if the frame was the last of a packet. */
static bool netdev_receive_frame(EfaFabricNetdev *s, const NetdevFrame *fr,
                                 int64_t now)
{
    uint8_t *packet;

    if (fr->rx.count == 1) {
        netdev_deliver(s, fr->bytes, fr->rx.len);
        return true;
    }
    packet = efa_reasm_add(&s->reasm, &fr->rx, now);
    if (!packet) {
        return false;
    }
    netdev_deliver(s, packet, fr->rx.total);
    g_free(packet);
    return true;
}

/* @frames: bounds what is taken of a queue that grows meanwhile. */
static void netdev_receive(EfaFabricNetdev *s, unsigned budget,
                           unsigned frames)
{
    int64_t now = s->net->clock_ns(s->net_opaque);

    while (budget && frames--) {
        NetdevFrame *fr = netdev_take_frame(s);

        budget -= netdev_receive_frame(s, fr, now);
        g_free(fr);
    }
    efa_reasm_expire(&s->reasm, now);
}

static void netdev_tell_writable(EfaFabricNetdev *s)
{
    unsigned n = s->waiting.length;

    while (n-- && s->waiting.head) {
        NetdevLink *l = s->waiting.head->data;

        netdev_unwait(s, l);
        s->fabric.client->link_writable(s->fabric.opaque, &l->link);
    }
}

static int netdev_fd(EfaFabric *f)
{
    return -1;
}

static bool netdev_pending(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);

    return qatomic_read(&s->input_bytes) || qatomic_read(&s->room) ||
           qatomic_read(&s->connecting.length);
}

static bool netdev_poll(EfaFabric *f, unsigned budget)
{
    EfaFabricNetdev *s = netdev_from(f);
    unsigned frames;
    bool room;

    if (s->in_poll) {
        return true;
    }
    s->in_poll = true;
    efa_lock(&s->lock);
    s->kicked = false;
    room = s->room;
    qatomic_set(&s->room, false);
    frames = s->input.length;
    efa_unlock(&s->lock);

    netdev_tell_connected(s);
    if (room) {
        netdev_tell_writable(s);
    }
    netdev_receive(s, budget, frames);
    netdev_flush(f);
    s->in_poll = false;
    return netdev_pending(f);
}

/* ---- creation ---- */

static void netdev_free(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    GList *node;

    while ((node = g_queue_pop_head_link(&s->input))) {
        g_free(node->data);
    }
    while ((node = g_queue_pop_head_link(&s->output))) {
        g_free(node->data);
    }
    g_free(s->reserved);
    efa_reasm_destroy(&s->reasm);
    g_hash_table_destroy(s->links);
    efa_lock_destroy(&s->lock);
    g_free(s);
}

static const EfaFabricOps netdev_ops = {
    .name = "netdev",
    .link_get = netdev_link_get,
    .connect = netdev_connect,
    .reserve = netdev_reserve,
    .commit = netdev_commit,
    .flush = netdev_flush,
    .fd = netdev_fd,
    .pending = netdev_pending,
    .poll = netdev_poll,
    .free = netdev_free,
};

EfaFabric *efa_fabric_netdev_new(const EfaGid *gid, size_t path_mtu,
                                 const EfaNetdevOps *ops, void *ops_opaque,
                                 const EfaFabricClient *client, void *opaque)
{
    static const EfaGid nobody;
    EfaFabricNetdev *s = g_new0(EfaFabricNetdev, 1);

    s->fabric.ops = &netdev_ops;
    s->fabric.client = client;
    s->fabric.opaque = opaque;
    s->fabric.gid = *gid;
    s->fabric.max_packet = EFA_FRAME_MAX_PACKET;
    s->fabric.checksum = true;
    s->net = ops;
    s->net_opaque = ops_opaque;
    s->mac = efa_mac_from_gid(gid);
    s->unit = path_mtu - (sizeof(EfaFrameHdr) - EFA_FRAME_ETH_SIZE);
    /* what a former life left half sent must not be taken for ours */
    s->next_id = g_random_int();
    s->links = g_hash_table_new_full(netdev_gid_hash, netdev_gid_equal, NULL,
                                     g_free);
    netdev_link_init(&s->overflow, &nobody);
    efa_reasm_init(&s->reasm);
    efa_lock_init(&s->lock);
    return &s->fabric;
}

EfaMac efa_fabric_netdev_mac(EfaFabric *f)
{
    return netdev_from(f)->mac;
}

EfaNetdevStats efa_fabric_netdev_stats(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);
    EfaNetdevStats stats;

    efa_lock(&s->lock);
    stats = s->stats;
    efa_unlock(&s->lock);
    stats.reasm_drops = s->reasm.drops;
    stats.rx_bad += s->reasm.bad;
    return stats;
}
