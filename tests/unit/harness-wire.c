/*
 * Unit tests: a fabric in the test's hands
 *
 * What the devices send lies on the wire until the test delivers, drops,
 * doubles or reorders it; anything may be injected.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

typedef struct WireFabric WireFabric;

typedef struct WireLink {
    EfaLink link;
} WireLink;

/* Something a later poll() tells the client. */
typedef struct WireEvent {
    enum { EV_UP, EV_DOWN, EV_WRITABLE, EV_PACKET } kind;
    EfaLink *link;
    EfaLinkDownReason why;
    WirePkt *pkt;
} WireEvent;

struct WireFabric {
    EfaFabric fabric;
    Wire *wire;
    GPtrArray *links;
    GQueue events;
    WirePkt *reserved;
    bool starved;               /* a reserve was refused */
};

struct Wire {
    GPtrArray *fabrics;
    GArray *ghosts;
    GQueue packets;
    bool automatic;
    int room;
};

EfaFabric *wire_fabric(Wire *w, const EfaGid *gid,
                       const EfaFabricClient *client, void *opaque);

static WireFabric *find(Wire *w, const EfaGid *gid)
{
    unsigned i;

    for (i = 0; i < w->fabrics->len; i++) {
        WireFabric *wf = w->fabrics->pdata[i];

        if (efa_gid_equal(&wf->fabric.gid, gid)) {
            return wf;
        }
    }
    return NULL;
}

static bool is_ghost(Wire *w, const EfaGid *gid)
{
    unsigned i;

    for (i = 0; i < w->ghosts->len; i++) {
        if (efa_gid_equal(&g_array_index(w->ghosts, EfaGid, i), gid)) {
            return true;
        }
    }
    return false;
}

static EfaLink *wf_link_get(EfaFabric *f, const EfaGid *peer)
{
    WireFabric *wf = (WireFabric *)f;
    WireLink *l;
    unsigned i;

    for (i = 0; i < wf->links->len; i++) {
        l = wf->links->pdata[i];
        if (efa_gid_equal(&l->link.peer, peer)) {
            return &l->link;
        }
    }
    l = g_new0(WireLink, 1);
    l->link.peer = *peer;
    g_ptr_array_add(wf->links, l);
    return &l->link;
}

static void push(WireFabric *wf, WireEvent ev)
{
    g_queue_push_tail(&wf->events, g_memdup2(&ev, sizeof(ev)));
}

static void raise_link(WireFabric *wf, const EfaGid *peer)
{
    EfaLink *link = wf_link_get(&wf->fabric, peer);

    if (link->state != EFA_LINK_UP) {
        link->state = EFA_LINK_CONNECTING;
        push(wf, (WireEvent) { EV_UP, link });
    }
}

static void wf_connect(EfaFabric *f, EfaLink *link)
{
    WireFabric *wf = (WireFabric *)f;
    WireFabric *other = find(wf->wire, &link->peer);

    if (link->state != EFA_LINK_DOWN) {
        return;
    }
    if (other || is_ghost(wf->wire, &link->peer)) {
        raise_link(wf, &link->peer);
        if (other) {
            raise_link(other, &f->gid);
        }
    } else {
        link->state = EFA_LINK_CONNECTING;
        push(wf, (WireEvent) { EV_DOWN, link, EFA_LINK_ABSENT });
    }
}

static uint8_t *wf_reserve(EfaFabric *f, EfaLink *link, size_t len)
{
    WireFabric *wf = (WireFabric *)f;

    if (link->state != EFA_LINK_UP) {
        return NULL;
    }
    if (wf->wire->room == 0) {
        wf->starved = true;
        return NULL;
    }
    g_assert_cmpuint(len, <=, sizeof(wf->reserved->data));
    if (!wf->reserved) {
        wf->reserved = g_malloc(sizeof(*wf->reserved));
    }
    memset(wf->reserved->data, 0, len);
    return wf->reserved->data;
}

static void wf_commit(EfaFabric *f, EfaLink *link, size_t len)
{
    WireFabric *wf = (WireFabric *)f;
    WirePkt *pkt = wf->reserved;

    g_assert_nonnull(pkt);
    wf->reserved = NULL;
    pkt->src = f->gid;
    pkt->dst = link->peer;
    pkt->len = len;
    if (wf->wire->room > 0) {
        wf->wire->room--;
    }
    g_queue_push_tail(&wf->wire->packets, pkt);
}

static void wf_flush(EfaFabric *f)
{
}

static int wf_fd(EfaFabric *f)
{
    return -1;
}

static void give(Wire *w, WirePkt *pkt)
{
    WireFabric *wf = find(w, &pkt->dst);

    if (wf) {
        push(wf, (WireEvent) {
            .kind = EV_PACKET, .pkt = pkt,
            .link = wf_link_get(&wf->fabric, &pkt->src),
        });
    } else {
        g_free(pkt);
    }
}

static void pump(Wire *w)
{
    WirePkt *pkt;

    while (w->automatic && (pkt = g_queue_pop_head(&w->packets))) {
        if (is_ghost(w, &pkt->dst)) {
            /* the test's to answer */
            g_queue_push_head(&w->packets, pkt);
            return;
        }
        give(w, pkt);
    }
}

static bool wf_pending(EfaFabric *f)
{
    WireFabric *wf = (WireFabric *)f;

    pump(wf->wire);
    return !g_queue_is_empty(&wf->events);
}

static bool wf_poll(EfaFabric *f, unsigned budget)
{
    WireFabric *wf = (WireFabric *)f;
    WireEvent *ev;

    while (budget-- && (ev = g_queue_pop_head(&wf->events))) {
        switch (ev->kind) {
        case EV_UP:
            if (ev->link->state == EFA_LINK_CONNECTING) {
                ev->link->state = EFA_LINK_UP;
                f->client->link_up(f->opaque, ev->link);
            }
            break;
        case EV_DOWN:
            ev->link->state = EFA_LINK_DOWN;
            f->client->link_down(f->opaque, ev->link, ev->why);
            break;
        case EV_WRITABLE:
            f->client->link_writable(f->opaque, ev->link);
            break;
        case EV_PACKET:
            /* exactly so much memory: an overrun shows */
            if (ev->link->state == EFA_LINK_UP) {
                uint8_t *exact = g_memdup2(ev->pkt->data, ev->pkt->len);

                f->client->receive(f->opaque, ev->link, exact, ev->pkt->len);
                g_free(exact);
            }
            g_free(ev->pkt);
            break;
        }
        g_free(ev);
    }
    return !g_queue_is_empty(&wf->events);
}

static void wf_free(EfaFabric *f)
{
    WireFabric *wf = (WireFabric *)f;
    WireEvent *ev;

    while ((ev = g_queue_pop_head(&wf->events))) {
        g_free(ev->pkt);
        g_free(ev);
    }
    g_ptr_array_remove(wf->wire->fabrics, wf);
    g_ptr_array_free(wf->links, TRUE);
    g_free(wf->reserved);
    g_free(wf);
}

static const EfaFabricOps wire_ops = {
    .name = "test",
    .link_get = wf_link_get,
    .connect = wf_connect,
    .reserve = wf_reserve,
    .commit = wf_commit,
    .flush = wf_flush,
    .fd = wf_fd,
    .pending = wf_pending,
    .poll = wf_poll,
    .free = wf_free,
};

EfaFabric *wire_fabric(Wire *w, const EfaGid *gid,
                       const EfaFabricClient *client, void *opaque)
{
    WireFabric *wf = g_new0(WireFabric, 1);

    wf->fabric = (EfaFabric) {
        .ops = &wire_ops, .client = client, .opaque = opaque, .gid = *gid,
        .max_packet = sizeof(((WirePkt *)NULL)->data),
    };
    wf->wire = w;
    wf->links = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(w->fabrics, wf);
    return &wf->fabric;
}

Wire *wire_new(void)
{
    Wire *w = g_new0(Wire, 1);

    w->fabrics = g_ptr_array_new();
    w->ghosts = g_array_new(FALSE, FALSE, sizeof(EfaGid));
    w->automatic = true;
    w->room = -1;
    return w;
}

void wire_free(Wire *w)
{
    g_assert_cmpuint(w->fabrics->len, ==, 0);
    wire_drop_all(w);
    g_ptr_array_free(w->fabrics, TRUE);
    g_array_free(w->ghosts, TRUE);
    g_free(w);
}

void wire_auto(Wire *w, bool on)
{
    w->automatic = on;
}

void wire_room(Wire *w, int packets)
{
    unsigned i, j;

    w->room = packets;
    for (i = 0; i < w->fabrics->len && packets; i++) {
        WireFabric *wf = w->fabrics->pdata[i];

        for (j = 0; wf->starved && j < wf->links->len; j++) {
            push(wf, (WireEvent) { EV_WRITABLE, wf->links->pdata[j] });
        }
        wf->starved = false;
    }
}

void wire_ghost(Wire *w, EfaGid gid)
{
    g_array_append_val(w->ghosts, gid);
}

unsigned wire_count(Wire *w)
{
    return w->packets.length;
}

WirePkt *wire_take(Wire *w, unsigned n)
{
    g_assert_cmpuint(n, <, w->packets.length);
    return g_queue_pop_nth(&w->packets, n);
}

WirePkt *wire_dup(const WirePkt *pkt)
{
    return g_memdup2(pkt, sizeof(*pkt));
}

void wire_deliver(Wire *w, WirePkt *pkt)
{
    give(w, pkt);
    settle();
}

unsigned wire_drop_all(Wire *w)
{
    unsigned n = 0;
    WirePkt *pkt;

    while ((pkt = g_queue_pop_head(&w->packets))) {
        g_free(pkt);
        n++;
    }
    return n;
}

void wire_cut(Wire *w, EfaGid a, EfaGid b, EfaLinkDownReason why)
{
    const EfaGid *ends[] = { &a, &b };
    unsigned i;

    for (i = 0; i < 2; i++) {
        WireFabric *wf = find(w, ends[i]);

        if (wf) {
            push(wf, (WireEvent) {
                EV_DOWN, wf_link_get(&wf->fabric, ends[!i]), why
            });
        }
    }
    settle();
}

void wire_raise(Wire *w, EfaGid gid, EfaGid peer)
{
    raise_link(find(w, &gid), &peer);
    settle();
}

WirePkt *ghost_pkt(EfaGid src, EfaGid dst, EfaPktType type, uint64_t epoch)
{
    WirePkt *pkt = g_new0(WirePkt, 1);

    pkt->src = src;
    pkt->dst = dst;
    pkt->len = sizeof(pkt->hdr);
    pkt->hdr.version = EFA_PKT_VERSION;
    pkt->hdr.type = type;
    pkt->hdr.src_epoch = epoch;
    pkt->hdr.qkey = QKEY;
    pkt->hdr.ctx = 1;
    memcpy(pkt->hdr.src_gid, src.raw, 16);
    memcpy(pkt->hdr.dst_gid, dst.raw, 16);
    return pkt;
}

void pkt_payload(WirePkt *pkt, const void *data, size_t len)
{
    memcpy(pkt->data + sizeof(pkt->hdr), data, len);
    pkt->hdr.payload_len = len;
    pkt->len = sizeof(pkt->hdr) + len;
}

WirePkt *ghost_ack(const WirePkt *req, uint64_t epoch, uint8_t status)
{
    WirePkt *pkt = ghost_pkt(req->dst, req->src, EFA_PKT_ACK, epoch);
    uint32_t bit = req->hdr.psn % EFA_PKT_WINDOW;
    struct {
        EfaPktAckMap map;
        EfaPktAck ack;
    } body = { .ack = { .psn = req->hdr.psn, .status = status } };

    pkt->hdr.dst_epoch = req->hdr.src_epoch;
    pkt->hdr.ctx = req->hdr.ctx;
    pkt->hdr.psn = req->hdr.psn;
    if (status == EFA_IO_COMP_STATUS_OK) {
        body.map.ok[bit / 64] = 1ull << (bit % 64);
        pkt_payload(pkt, &body.map, sizeof(body.map));
    } else {
        pkt_payload(pkt, &body, sizeof(body));
    }
    return pkt;
}

int ack_status(const WirePkt *ack, uint32_t psn)
{
    const EfaPktAckMap *map = (const void *)(ack->data + sizeof(ack->hdr));
    const EfaPktAck *refused = (const void *)(map + 1);
    unsigned i, num, bit = psn % EFA_PKT_WINDOW;

    g_assert_cmpuint(ack->hdr.type, ==, EFA_PKT_ACK);
    g_assert_cmpuint(ack->hdr.payload_len, >=, sizeof(*map));
    num = (ack->hdr.payload_len - sizeof(*map)) / sizeof(*refused);
    g_assert_cmpuint(ack->hdr.payload_len, ==,
                     sizeof(*map) + num * sizeof(*refused));
    for (i = 0; i < num; i++) {
        g_assert_true(!refused[i].reserved[0] && !refused[i].reserved[1] &&
                      !refused[i].reserved[2]);
        if (refused[i].psn == psn) {
            g_assert_cmpuint(refused[i].status, !=, 0);
            return refused[i].status;
        }
    }
    if (psn - ack->hdr.psn < EFA_PKT_WINDOW &&
        (map->ok[bit / 64] >> (bit % 64) & 1)) {
        return EFA_IO_COMP_STATUS_OK;
    }
    return -1;
}
