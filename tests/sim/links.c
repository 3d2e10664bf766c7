/*
 * Simulator: packets, links, and what is told about them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "network.h"

#define CHUNK_BYTES     65536

static const uint32_t pkt_sizes[NUM_SIZES] = { 256, 1280, 4608, MAX_PACKET };

EfaGid sim_gid(uint32_t index)
{
    EfaGid gid = { { 0xfe, 0x80 } };
    uint32_t be = GUINT32_TO_BE(index + 1);

    memcpy(gid.raw + 12, &be, sizeof(be));
    return gid;
}

Node *node_by_gid(World *w, const EfaGid *gid)
{
    uint32_t be, index;

    memcpy(&be, gid->raw + 12, sizeof(be));
    index = GUINT32_FROM_BE(be) - 1;
    return index < w->plan.nodes ? &w->nodes[index] : NULL;
}

/* ---- packets ---- */

SimPkt *pkt_new(Network *net, size_t len)
{
    unsigned c = 0;
    SimPkt *pkt;

    while (pkt_sizes[c] < len) {
        c++;
    }
    if (!net->free[c]) {
        size_t each = sizeof(SimPkt) + pkt_sizes[c], i;
        size_t count = MAX(1, CHUNK_BYTES / each);
        uint8_t *chunk = g_malloc(count * each);

        g_ptr_array_add(net->chunks, chunk);
        for (i = 0; i < count; i++) {
            pkt = (SimPkt *)(chunk + i * each);
            pkt->size_class = c;
            pkt->next = net->free[c];
            net->free[c] = pkt;
        }
    }
    pkt = net->free[c];
    net->free[c] = pkt->next;
    return pkt;
}

void pkt_free(Network *net, SimPkt *pkt)
{
    pkt->next = net->free[pkt->size_class];
    net->free[pkt->size_class] = pkt;
}

SimPkt *pkt_dup(Network *net, const SimPkt *pkt)
{
    SimPkt *copy = pkt_new(net, pkt->len);

    copy->src = pkt->src;
    copy->dst = pkt->dst;
    copy->conn = pkt->conn;
    copy->len = pkt->len;
    memcpy(copy->data, pkt->data, pkt->len);
    return copy;
}

size_t pkt_size(const SimPkt *pkt)
{
    return pkt_sizes[pkt->size_class];
}

/* ---- links ---- */

static SimLink **port_slot(SimPort *port, const Node *peer)
{
    unsigned i = peer->index * 0x9e3779b1u & (port->size - 1);

    while (port->links[i] && port->links[i]->peer != peer) {
        i = (i + 1) & (port->size - 1);
    }
    return &port->links[i];
}

SimLink *port_find(SimPort *port, const Node *peer)
{
    return port && port->size ? *port_slot(port, peer) : NULL;
}

static void port_grow(SimPort *port)
{
    SimLink **old = port->links;
    unsigned old_size = port->size, i;

    port->size = MAX(4, old_size * 2);
    port->links = g_new0(SimLink *, port->size);
    for (i = 0; i < old_size; i++) {
        if (old[i]) {
            *port_slot(port, old[i]->peer) = old[i];
        }
    }
    g_free(old);
}

SimLink *port_link(SimPort *port, Node *peer)
{
    SimLink *l = port_find(port, peer);

    if (!l) {
        if (port->num_links * 4 >= port->size * 3) {
            port_grow(port);
        }
        l = g_new0(SimLink, 1);
        l->link.peer = sim_gid(peer->index);
        l->peer = peer;
        *port_slot(port, peer) = l;
        port->num_links++;
    }
    return l;
}

void note_later(Node *node, Node *peer, uint64_t conn, NoteKind kind,
                int64_t delay)
{
    LinkNote *note = g_new0(LinkNote, 1);

    note->node = node;
    note->boots = node->boots;
    note->peer = peer;
    note->conn = conn;
    note->kind = kind;
    world_at(node->w, node->w->now + delay, EV_LINK, note);
}

void network_link_event(World *w, void *ref)
{
    LinkNote *note = ref;
    SimPort *port = note->node->port;

    if (!port || note->node->boots != note->boots) {
        g_free(note);
        return;
    }
    note->next = NULL;
    *port->notes_tail = note;
    port->notes_tail = &note->next;
    note->node->idle_runs = 0;
    node_wake(note->node, 0);
}

/* A packet of @src to @dst is no longer under way: there is room for one. */
void link_release(World *w, const SimPkt *pkt)
{
    SimLink *l;

    if (!w->plan.room) {
        return;
    }
    l = port_find(pkt->src->port, pkt->dst);
    if (!l || l->conn != pkt->conn || !l->under_way) {
        return;
    }
    l->under_way--;
    if (l->starved && l->under_way <= w->plan.room / 2) {
        l->starved = false;
        note_later(pkt->src, pkt->dst, l->conn, NOTE_WRITABLE, SIM_USEC);
    }
}

void link_lost(World *w, const SimPkt *pkt)
{
    SimLink *l = port_find(pkt->src->port, pkt->dst);

    if (l) {
        l->losses[0] = l->losses[1];
        l->losses[1] = l->losses[2];
        l->losses[2] = w->now;
    }
}

unsigned network_losses(Node *a, Node *b, int64_t since)
{
    SimLink *ways[] = { port_find(a->port, b), port_find(b->port, a) };
    unsigned count = 0, i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; ways[i] && j < 3; j++) {
            count += ways[i]->losses[j] > since;
        }
    }
    return MIN(count, 3);
}

bool network_heard(Node *a, Node *b)
{
    SimLink *l = port_find(a->port, b);

    return l && l->heard;
}

bool network_is_cut(const World *w, const Node *a, const Node *b)
{
    unsigned i;

    if (!w->live_cuts) {
        return false;
    }
    for (i = 0; i < w->cuts->len; i++) {
        const Cut *c = &g_array_index(w->cuts, Cut, i);

        if (c->until != INT64_MAX) {
            continue;
        }
        if ((c->forth && c->a == a->index &&
             (c->b == SIM_ANY || c->b == b->index)) ||
            (c->back && c->a == b->index &&
             (c->b == SIM_ANY || c->b == a->index))) {
            return true;
        }
    }
    return false;
}
