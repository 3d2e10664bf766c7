/*
 * EFA device model: the fabric over an Ethernet: receiving
 *
 * Frames are judged and copied whenever they come, and made into packets by
 * ->poll().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "netdev-internal.h"

/* Frames that wait for ->poll(), by what they take of our memory. */
#define NETDEV_INPUT_BYTES      (2 * 1024 * 1024)
#define NETDEV_COMPLAINT_USEC   (1000 * 1000)

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
    l = efa_nd_find_link(s, &src);
    if (!l) {
        /* damage must not make up peers; the client sees to the rest */
        if (!efa_pkt_intact(packet, len)) {
            netdev_count_bad(s);
            return NULL;
        }
        l = efa_nd_add_link(s, &src);
        if (!l) {
            s->stats.link_drops++;
            return NULL;
        }
    }
    efa_nd_set_up(s, l);
    return l;
}

static void netdev_deliver(EfaFabricNetdev *s, const uint8_t *packet,
                           size_t len)
{
    NetdevLink *l = netdev_sender(s, packet, len);

    if (l) {
        s->stats.rx_packets++;
        efa_nd_used(s, l);
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

void efa_nd_receive(EfaFabricNetdev *s, unsigned budget, unsigned frames)
{
    int64_t now = s->net->clock_ns(s->net_opaque);

    while (budget && frames--) {
        NetdevFrame *fr = netdev_take_frame(s);

        budget -= netdev_receive_frame(s, fr, now);
        g_free(fr);
    }
    efa_reasm_expire(&s->reasm, now);
}

void efa_nd_free_input(EfaFabricNetdev *s)
{
    GList *node;

    while ((node = g_queue_pop_head_link(&s->input))) {
        g_free(node->data);
    }
    efa_reasm_destroy(&s->reasm);
}
