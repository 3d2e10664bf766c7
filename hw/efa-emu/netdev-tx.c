/*
 * EFA device model: the fabric over an Ethernet: sending
 *
 * Packets wait in one queue for all peers, whose end is under the core lock
 * and whose head is not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "netdev-internal.h"

/* Packets on their way out: as much as a shared memory ring holds. */
#define NETDEV_OUTPUT_BYTES     (256 * 1024)
/* Frames that one transmit sends before others get a turn. */
#define NETDEV_BURST            64

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

uint8_t *efa_nd_reserve(EfaFabric *f, EfaLink *link, size_t len)
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

void efa_nd_commit(EfaFabric *f, EfaLink *link, size_t len)
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
    efa_nd_used(s, l);
    efa_lock(&s->lock);
    s->output_bytes += len;
    g_queue_push_tail_link(&s->output, &p->node);
    efa_unlock(&s->lock);
}

void efa_nd_flush(EfaFabric *f)
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

void efa_nd_unwait(EfaFabricNetdev *s, NetdevLink *l)
{
    if (l->waits) {
        l->waits = false;
        g_queue_unlink(&s->waiting, &l->wait_node);
    }
}

void efa_nd_tell_writable(EfaFabricNetdev *s)
{
    unsigned n = s->waiting.length;

    while (n-- && s->waiting.head) {
        NetdevLink *l = s->waiting.head->data;

        efa_nd_unwait(s, l);
        s->fabric.client->link_writable(s->fabric.opaque, &l->link);
    }
}

void efa_nd_free_output(EfaFabricNetdev *s)
{
    GList *node;

    while ((node = g_queue_pop_head_link(&s->output))) {
        g_free(node->data);
    }
    g_free(s->reserved);
}
