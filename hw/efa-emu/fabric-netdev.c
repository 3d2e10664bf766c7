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
#include "netdev-internal.h"

/* A link must have been silent for that long to be given up for another. */
#define NETDEV_IDLE_NS          (10 * 1000 * EFA_NSEC_PER_MSEC)
/* Links that one new peer may cost. */
#define NETDEV_MAX_EVICTIONS    4

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

void efa_nd_set_up(EfaFabricNetdev *s, NetdevLink *l)
{
    if (l->link.state == EFA_LINK_UP) {
        return;
    }
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
    efa_nd_unwait(s, l);
    l->link.state = EFA_LINK_DOWN;
    s->fabric.client->link_down(s->fabric.opaque, &l->link, EFA_LINK_ABSENT);
}

void efa_nd_used(EfaFabricNetdev *s, NetdevLink *l)
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

NetdevLink *efa_nd_find_link(EfaFabricNetdev *s, const EfaGid *peer)
{
    return g_hash_table_lookup(s->links, peer);
}

NetdevLink *efa_nd_add_link(EfaFabricNetdev *s, const EfaGid *peer)
{
    if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS) {
        netdev_evict(s);
    }
    if (g_hash_table_size(s->links) >= EFA_NETDEV_MAX_LINKS) {
        return NULL;
    }
    return netdev_link_new(s, peer);
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
            efa_nd_set_up(s, l);
        }
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
        efa_nd_tell_writable(s);
    }
    efa_nd_receive(s, budget, frames);
    efa_nd_flush(f);
    s->in_poll = false;
    return netdev_pending(f);
}

/* ---- creation ---- */

static void netdev_free(EfaFabric *f)
{
    EfaFabricNetdev *s = netdev_from(f);

    efa_nd_free_input(s);
    efa_nd_free_output(s);
    g_hash_table_destroy(s->links);
    efa_lock_destroy(&s->lock);
    g_free(s);
}

static const EfaFabricOps netdev_ops = {
    .name = "netdev",
    .link_get = netdev_link_get,
    .connect = netdev_connect,
    .reserve = efa_nd_reserve,
    .commit = efa_nd_commit,
    .flush = efa_nd_flush,
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
    s->links = g_hash_table_new_full(efa_gid_hash, efa_gid_hash_equal, NULL,
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
