/*
 * Simulator: the fabric between the devices
 *
 * A packet takes one of several paths, waits, and may be lost, doubled or
 * changed on the way. Links are of two kinds, by seed: announced ones tell of
 * a peer's death at once, as shared memory does; the others never tell
 * anything, as Ethernet does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "network.h"

/* ---- what the device calls ---- */

static EfaLink *net_link_get(EfaFabric *f, const EfaGid *peer)
{
    SimPort *port = (SimPort *)f;
    Node *node = node_by_gid(port->node->w, peer);

    /* a GID that no node has: nobody of ours sends there */
    return &port_link(port, node ? node : port->node)->link;
}

static void net_connect(EfaFabric *f, EfaLink *link)
{
    SimPort *port = (SimPort *)f;
    World *w = port->node->w;
    SimLink *l = (SimLink *)link, *far;
    int64_t delay = w->plan.latency + rng_below(&w->rng, 10 * SIM_USEC);

    if (link->state != EFA_LINK_DOWN) {
        return;
    }
    link->state = EFA_LINK_CONNECTING;
    if (!w->plan.announce) {
        note_later(port->node, l->peer, 0, NOTE_UP, delay);
        return;
    }
    l->conn = ++w->net->conns;
    far = l->peer->up ? port_link(l->peer->port, port->node) : NULL;
    if (!far || far->link.state != EFA_LINK_DOWN ||
        network_is_cut(w, port->node, l->peer) ||
        network_is_cut(w, l->peer, port->node)) {
        note_later(port->node, l->peer, l->conn, NOTE_ABSENT, delay);
        return;
    }
    far->link.state = EFA_LINK_CONNECTING;
    far->conn = l->conn;
    note_later(l->peer, port->node, l->conn, NOTE_UP, delay / 2);
    note_later(port->node, l->peer, l->conn, NOTE_UP, delay);
}

static uint8_t *net_reserve(EfaFabric *f, EfaLink *link, size_t len)
{
    SimPort *port = (SimPort *)f;
    World *w = port->node->w;
    SimLink *l = (SimLink *)link;

    if (link->state != EFA_LINK_UP) {
        return NULL;
    }
    if (len > MAX_PACKET) {
        sim_broken(w, port->node, NULL, NULL, "reserved a packet of %zu "
                   "bytes, the limit is %u", len, MAX_PACKET);
        return NULL;
    }
    if (w->plan.room && l->under_way >= w->plan.room) {
        l->starved = true;
        w->t.refused++;
        return NULL;
    }
    if (rng_ppm(&w->rng, w->plan.refuse_ppm)) {
        w->t.refused++;
        note_later(port->node, l->peer, l->conn, NOTE_WRITABLE,
                   rng_magnitude(&w->rng, SIM_USEC, 200 * SIM_USEC));
        return NULL;
    }
    if (port->reserved && pkt_size(port->reserved) < len) {
        pkt_free(w->net, port->reserved);
        port->reserved = NULL;
    }
    if (!port->reserved) {
        port->reserved = pkt_new(w->net, len);
    }
    return port->reserved->data;
}

/* When a packet that leaves now arrives. */
static int64_t net_arrival(World *w, SimLink *l, uint32_t len)
{
    const Plan *p = &w->plan;
    unsigned path = p->paths > 1 ? rng_below(&w->rng, p->paths) : 0;
    int64_t at = w->now;

    if (p->byte_ps) {
        l->busy_until = MAX(l->busy_until, at) + len * p->byte_ps / 1000;
        at = l->busy_until;
    }
    at += p->latency + path * p->skew;
    if (p->jitter) {
        at += rng_below(&w->rng, p->jitter);
    }
    if (p->fifo) {
        at = MAX(at, l->last_arrival + 1);
        l->last_arrival = at;
    }
    return at;
}

static void net_change(World *w, SimPkt *pkt)
{
    unsigned flips = rng_range(&w->rng, 1, 4);

    w->t.changed++;
    link_lost(w, pkt);
    while (flips--) {
        pkt->data[rng_below(&w->rng, pkt->len)] ^=
            1u << rng_below(&w->rng, 8);
    }
}

/* true: a planted defect took the packet */
static bool net_defect(World *w, SimPkt *pkt)
{
    switch (w->plan.defect) {
    case BREAK_corrupt:
        if (pkt->len > 220 && !w->defect_done) {
            pkt->data[pkt->len - 1] ^= 1;
            w->defect_done = true;
        }
        return false;
    case BREAK_swallow:
        return pkt->dst->index == 0 || pkt->src->index == 0;
    case BREAK_chatter:
        if (!w->net->chatter) {
            w->net->chatter = pkt_dup(w->net, pkt);
            world_at(w, w->now + SIM_SEC, EV_PACKET, w->net->chatter);
        }
        return false;
    default:
        return false;
    }
}

static void net_digest(World *w, const SimPkt *pkt)
{
    uint64_t word[4], lane[4] = { 1, 2, 3, 4 };
    uint32_t i, k;

    /* lanes, because a multiplication has to wait for the one before it */
    for (i = 0; i + sizeof(word) <= MIN(pkt->len, 160); i += sizeof(word)) {
        memcpy(word, pkt->data + i, sizeof(word));
        for (k = 0; k < 4; k++) {
            lane[k] = (lane[k] ^ word[k]) * 0x9e3779b97f4a7c15ull;
        }
    }
    world_digest(w, (uint64_t)pkt->src->index << 32 | pkt->dst->index);
    world_digest(w, lane[0] ^ lane[1] >> 7 ^ lane[2] << 9 ^ lane[3] >> 23);
    world_digest(w, pkt->len);
}

static void net_send(World *w, SimLink *l, SimPkt *pkt)
{
    const Plan *p = &w->plan;

    if (network_is_cut(w, pkt->src, pkt->dst)) {
        w->t.cut++;
        link_release(w, pkt);
        pkt_free(w->net, pkt);
        return;
    }
    if (rng_ppm(&w->rng, p->loss_ppm)) {
        w->t.lost++;
        link_lost(w, pkt);
        link_release(w, pkt);
        pkt_free(w->net, pkt);
        return;
    }
    if (rng_ppm(&w->rng, p->dup_ppm)) {
        w->t.doubled++;
        world_at(w, net_arrival(w, l, pkt->len) +
                    rng_magnitude(&w->rng, 1, SIM_MSEC),
                 EV_PACKET, pkt_dup(w->net, pkt));
    }
    if (rng_ppm(&w->rng, p->hostile_ppm)) {
        net_change(w, pkt);
    }
    world_at(w, net_arrival(w, l, pkt->len), EV_PACKET, pkt);
}

static void net_commit(EfaFabric *f, EfaLink *link, size_t len)
{
    SimPort *port = (SimPort *)f;
    World *w = port->node->w;
    SimLink *l = (SimLink *)link;
    SimPkt *pkt = port->reserved;

    port->reserved = NULL;
    pkt->src = port->node;
    pkt->dst = l->peer;
    pkt->conn = l->conn;
    pkt->len = len;
    l->under_way += w->plan.room > 0;
    w->t.packets++;
    w->t.bytes += len;
    net_digest(w, pkt);
    if (w->plan.defect && net_defect(w, pkt)) {
        link_release(w, pkt);
        pkt_free(w->net, pkt);
        return;
    }
    net_send(w, l, pkt);
}

static void net_flush(EfaFabric *f)
{
}

static int net_fd(EfaFabric *f)
{
    return -1;
}

static bool net_pending(EfaFabric *f)
{
    SimPort *port = (SimPort *)f;

    return port->inbox || port->notes;
}

void network_packet(World *w, void *ref)
{
    SimPkt *pkt = ref;
    SimPort *port = pkt->dst->port;

    if (pkt == w->net->chatter) {
        world_at(w, w->now + SIM_SEC, EV_PACKET, pkt);
        w->t.packets++;
        return;
    }
    if (!port) {
        link_lost(w, pkt);
        link_release(w, pkt);
        pkt_free(w->net, pkt);
        return;
    }
    pkt->next = NULL;
    *port->inbox_tail = pkt;
    port->inbox_tail = &pkt->next;
    pkt->dst->idle_runs = 0;
    node_wake(pkt->dst, w->plan.wake);
}

static void port_raise(SimPort *port, SimLink *l)
{
    if (l->link.state != EFA_LINK_UP) {
        l->link.state = EFA_LINK_UP;
        port->fabric.client->link_up(port->fabric.opaque, &l->link);
    }
}

static void port_lower(SimPort *port, SimLink *l, EfaLinkDownReason why)
{
    l->link.state = EFA_LINK_DOWN;
    l->under_way = 0;
    l->starved = false;
    port->fabric.client->link_down(port->fabric.opaque, &l->link, why);
}

static void port_tell(SimPort *port, const LinkNote *note)
{
    SimLink *l = port_link(port, note->peer);

    if (l->conn != note->conn) {
        return;         /* of a connection that is over */
    }
    switch (note->kind) {
    case NOTE_UP:
        if (l->link.state == EFA_LINK_CONNECTING) {
            port_raise(port, l);
        }
        break;
    case NOTE_ABSENT:
        if (l->link.state == EFA_LINK_CONNECTING) {
            port_lower(port, l, EFA_LINK_ABSENT);
        }
        break;
    case NOTE_HANGUP:
        if (l->link.state != EFA_LINK_DOWN) {
            port_lower(port, l, EFA_LINK_HANGUP);
        }
        break;
    case NOTE_WRITABLE:
        if (l->link.state == EFA_LINK_UP) {
            port->fabric.client->link_writable(port->fabric.opaque,
                                               &l->link);
        }
        break;
    }
}

static void port_deliver(SimPort *port, SimPkt *pkt)
{
    World *w = port->node->w;
    SimLink *l = port_link(port, pkt->src);

    link_release(w, pkt);
    if (w->plan.announce &&
        (l->conn != pkt->conn || l->link.state == EFA_LINK_DOWN)) {
        return;
    }
    port_raise(port, l);
    l->heard = true;
    port->fabric.client->receive(port->fabric.opaque, &l->link, pkt->data,
                                 pkt->len);
}

static bool net_poll(EfaFabric *f, unsigned budget)
{
    SimPort *port = (SimPort *)f;
    LinkNote *note;
    SimPkt *pkt;

    while ((note = port->notes)) {
        port->notes = note->next;
        if (!port->notes) {
            port->notes_tail = &port->notes;
        }
        port_tell(port, note);
        g_free(note);
    }
    while (budget-- && (pkt = port->inbox)) {
        port->inbox = pkt->next;
        if (!port->inbox) {
            port->inbox_tail = &port->inbox;
        }
        port_deliver(port, pkt);
        pkt_free(port->node->w->net, pkt);
    }
    return port->inbox || port->notes;
}

/* The node is dead: those who are told, learn of it. */
static void net_free(EfaFabric *f)
{
    SimPort *port = (SimPort *)f;
    World *w = port->node->w;
    unsigned i;

    port->node->port = NULL;
    for (i = 0; i < port->size; i++) {
        SimLink *l = port->links[i], *far;

        if (!l) {
            continue;
        }
        far = port_find(l->peer->port, port->node);
        if (w->plan.announce && far && far->conn == l->conn &&
            far->link.state != EFA_LINK_DOWN) {
            note_later(l->peer, port->node, far->conn, NOTE_HANGUP,
                       rng_magnitude(&w->rng, SIM_USEC, 100 * SIM_USEC));
        }
        g_free(l);
    }
    while (port->inbox) {
        SimPkt *pkt = port->inbox;

        port->inbox = pkt->next;
        link_release(w, pkt);
        pkt_free(w->net, pkt);
    }
    while (port->notes) {
        LinkNote *note = port->notes;

        port->notes = note->next;
        g_free(note);
    }
    if (port->reserved) {
        pkt_free(w->net, port->reserved);
    }
    g_free(port->links);
    g_free(port);
}

static const EfaFabricOps net_ops = {
    .name = "sim",
    .link_get = net_link_get,
    .connect = net_connect,
    .reserve = net_reserve,
    .commit = net_commit,
    .flush = net_flush,
    .fd = net_fd,
    .pending = net_pending,
    .poll = net_poll,
    .free = net_free,
};

EfaFabric *network_attach(Node *node)
{
    SimPort *port = g_new0(SimPort, 1);

    port->fabric.ops = &net_ops;
    port->fabric.client = &efa_fabric_client;
    port->fabric.opaque = node->core;
    port->fabric.gid = sim_gid(node->index);
    port->fabric.max_packet = MAX_PACKET;
    port->node = node;
    port->inbox_tail = &port->inbox;
    port->notes_tail = &port->notes;
    node->port = port;
    return &port->fabric;
}

void network_new(World *w)
{
    w->net = g_new0(Network, 1);
    w->net->chunks = g_ptr_array_new_with_free_func(g_free);
}

void network_free(World *w)
{
    g_ptr_array_free(w->net->chunks, TRUE);
    g_free(w->net);
}
