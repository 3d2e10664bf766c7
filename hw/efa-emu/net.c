/*
 * EFA device model: packets in and out
 *
 * Between the transport and the fabric: headers, dispatch of what arrives,
 * collected answers, and the way to ourselves, which passes through the same
 * transport as any other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

/* Packets to ourselves that may wait: as much as a shm ring holds. */
#define EFA_LOOP_BYTES  (256 * 1024)

typedef struct EfaLoopPkt {
    GList link;
    size_t len;
    uint8_t data[];
} EfaLoopPkt;

bool efa_net_up(EfaCore *core, EfaPeer *peer)
{
    return peer->is_self || (peer->link && peer->link->state == EFA_LINK_UP);
}

static EfaLoopPkt *efa_net_loop_new(EfaCore *core, size_t len)
{
    EfaLoopPkt *pkt;

    if (core->loop_bytes + len > EFA_LOOP_BYTES) {
        return NULL;
    }
    pkt = g_malloc(sizeof(*pkt) + len);
    pkt->link = (GList) { .data = pkt };
    return pkt;
}

static void efa_net_loop_push(EfaCore *core, EfaLoopPkt *pkt, size_t len)
{
    pkt->len = len;
    core->loop_bytes += len;
    g_queue_push_tail_link(&core->loop, &pkt->link);
}

uint8_t *efa_net_reserve(EfaCore *core, EfaPeer *peer, size_t len)
{
    if (core->impair.on &&
        efa_impair_reserve(core, peer, len, &core->tx_buf)) {
        return core->tx_buf;
    }
    if (!peer->is_self) {
        core->tx_buf = core->fabric->ops->reserve(core->fabric, peer->link,
                                                  len);
    } else {
        core->loop_next = efa_net_loop_new(core, len);
        core->tx_buf = core->loop_next ? core->loop_next->data : NULL;
    }
    return core->tx_buf;
}

void efa_net_cancel(EfaCore *core, EfaPeer *peer)
{
    if (core->impair.reserved) {
        efa_impair_cancel(core);
    } else if (peer->is_self) {
        g_free(core->loop_next);
        core->loop_next = NULL;
    }
}

void efa_net_commit(EfaCore *core, EfaPeer *peer, size_t len)
{
    if (core->link_down) {
        core->impair.stats.unplugged++;
        efa_net_cancel(core, peer);
        return;
    }
    core->stats.tx_pkts++;
    core->stats.tx_bytes += len;
    if (core->fabric->checksum) {
        efa_pkt_seal(core->tx_buf, len);
    }
    if (core->impair.reserved) {
        efa_impair_commit(core, peer, len);
    } else if (peer->is_self) {
        efa_net_loop_push(core, core->loop_next, len);
        core->loop_next = NULL;
    } else {
        core->fabric->ops->commit(core->fabric, peer->link, len);
    }
}

bool efa_net_pass(EfaCore *core, EfaPeer *peer, const uint8_t *data,
                  size_t len)
{
    if (core->link_down) {
        core->impair.stats.unplugged++;
        return true;
    }
    if (peer->is_self) {
        EfaLoopPkt *pkt = efa_net_loop_new(core, len);

        if (!pkt) {
            return false;
        }
        memcpy(pkt->data, data, len);
        efa_net_loop_push(core, pkt, len);
    } else {
        uint8_t *buf = core->fabric->ops->reserve(core->fabric, peer->link,
                                                  len);

        if (!buf) {
            return false;
        }
        memcpy(buf, data, len);
        core->fabric->ops->commit(core->fabric, peer->link, len);
    }
    return true;
}

void efa_net_header(EfaCore *core, EfaPeer *peer, EfaPktType type,
                    EfaPktHdr *hdr)
{
    *hdr = (EfaPktHdr) {
        .version = EFA_PKT_VERSION,
        .type = type,
        .src_epoch = cpu_to_le64(core->epoch),
    };
    memcpy(hdr->src_gid, core->cfg.gid.raw, sizeof(hdr->src_gid));
    memcpy(hdr->dst_gid, peer->gid.raw, sizeof(hdr->dst_gid));
}

/* An RDMA request's own header; false if the packet makes no sense. */
static bool efa_net_rdma(EfaRxMsg *msg)
{
    EfaPktRdma *rdma = &msg->rdma;

    if (msg->length < sizeof(*rdma)) {
        return false;
    }
    memcpy(rdma, msg->payload, sizeof(*rdma));
    msg->payload += sizeof(*rdma);
    msg->length -= sizeof(*rdma);
    rdma->rkey = le32_to_cpu(rdma->rkey);
    rdma->length = le32_to_cpu(rdma->length);
    rdma->addr = le64_to_cpu(rdma->addr);
    rdma->offset = le32_to_cpu(rdma->offset);
    rdma->seg_length = le32_to_cpu(rdma->seg_length);
    return rdma->seg_length <= EFA_MAX_MTU &&
           rdma->offset <= rdma->length &&
           rdma->seg_length <= rdma->length - rdma->offset &&
           msg->length == (msg->opcode == EFA_IO_RDMA_WRITE
                           ? rdma->seg_length : 0);
}

static void efa_net_data(EfaCore *core, EfaRxMsg *msg, const EfaPktHdr *hdr)
{
    bool rdma = msg->opcode == EFA_IO_RDMA_READ ||
                msg->opcode == EFA_IO_RDMA_WRITE;

    if (rdma ? !efa_net_rdma(msg) : msg->length > EFA_MAX_MTU) {
        core->stats.bad_packets++;
        return;
    }
    efa_rx_data(core, msg, hdr);
}

static void efa_net_dispatch(EfaCore *core, EfaPeer *peer,
                             const EfaPktHdr *hdr, const uint8_t *payload)
{
    EfaRxMsg msg = {
        .peer = peer,
        .payload = payload,
        .length = le32_to_cpu(hdr->payload_len),
        .src_qpn = le16_to_cpu(hdr->src_qpn),
        .dst_qpn = le16_to_cpu(hdr->dst_qpn),
        .qkey = le32_to_cpu(hdr->qkey),
        .imm = le32_to_cpu(hdr->imm),
        .has_imm = FIELD_EX8(hdr->flags, PKT_FLAGS, HAS_IMM),
        .opcode = hdr->opcode,
        .psn = le32_to_cpu(hdr->psn),
        .number = le32_to_cpu(hdr->msg),
    };

    trace_efa_rx(hdr->type, msg.dst_qpn, msg.src_qpn, msg.length, msg.psn);
    switch (hdr->type) {
    case EFA_PKT_UD:
        efa_rx_ud(core, &msg);
        break;
    case EFA_PKT_DATA:
        efa_net_data(core, &msg, hdr);
        break;
    case EFA_PKT_ACK:
        efa_srd_ack_received(core, peer, hdr, payload);
        break;
    case EFA_PKT_READ_RESP:
        efa_srd_read_received(core, peer, hdr, payload);
        break;
    case EFA_PKT_RESET:
        efa_srd_reset_received(core, peer, hdr);
        break;
    default:
        core->stats.bad_packets++;
        break;
    }
}

/* ---- reordering ---- */

/* One in so many SRD packets steps back. */
#define EFA_HOLD_ODDS   8

/* A packet that has arrived and lets some that came behind it pass. */
typedef struct EfaHeld {
    EfaPeer *peer;
    unsigned passes;        /* how many more may pass */
    EfaPktHdr hdr;
    uint8_t payload[];
} EfaHeld;

void efa_net_release_held(EfaCore *core)
{
    EfaHeld *held = core->held;

    if (held) {
        core->held = NULL;
        efa_net_dispatch(core, held->peer, &held->hdr, held->payload);
        g_free(held);
    }
}

/*
 * SRD promises no order, so software that relies on one must find out. No
 * packet waits for one that has not arrived, so this costs no time.
 */
static void efa_net_in_any_order(EfaCore *core, EfaPeer *peer,
                                 const EfaPktHdr *hdr, const uint8_t *payload)
{
    uint32_t len = le32_to_cpu(hdr->payload_len);

    if (hdr->type != EFA_PKT_DATA || !core->cfg.reorder) {
        efa_net_dispatch(core, peer, hdr, payload);
    } else if (core->held) {
        efa_net_dispatch(core, peer, hdr, payload);
        if (core->held && --core->held->passes == 0) {
            efa_net_release_held(core);
        }
    } else if (efa_random(core) % EFA_HOLD_ODDS) {
        efa_net_dispatch(core, peer, hdr, payload);
    } else {
        core->held = g_malloc(sizeof(EfaHeld) + len);
        core->held->peer = peer;
        core->held->passes = 1 + efa_random(core) % core->cfg.reorder;
        core->held->hdr = *hdr;
        memcpy(core->held->payload, payload, len);
    }
}

/*
 * The packet as it may be used: with a checksum, which damage on the way does
 * not survive, a copy, since the sender might change what was summed up. NULL
 * if it is damaged, which is as good as lost.
 */
static const uint8_t *efa_net_verify(EfaCore *core, const uint8_t *data,
                                     size_t len)
{
    uint8_t kind = data[offsetof(EfaPktHdr, checksum_kind)];

    if (kind == EFA_PKT_NO_CHECKSUM && !core->fabric->checksum) {
        return data;
    }
    if (!core->rx_copy) {
        core->rx_copy = g_malloc(EFA_PKT_MAX);
    }
    memcpy(core->rx_copy, data, len);
    if (!efa_pkt_intact(core->rx_copy, len)) {
        core->impair.stats.checksum_drops++;
        trace_efa_rx_damaged(kind, len);
        return NULL;
    }
    return core->rx_copy;
}

/* @peer is whom the fabric proved to be the sender. */
static void efa_net_input(EfaCore *core, EfaPeer *peer, const uint8_t *data,
                          size_t len)
{
    EfaPktHdr hdr;

    if (core->link_down) {
        core->impair.stats.unplugged++;
        return;
    }
    if (core->impair.on && efa_impair_blocks_input(core, peer, len)) {
        return;
    }
    core->stats.rx_pkts++;
    core->stats.rx_bytes += len;
    if (len < sizeof(hdr) || len > EFA_PKT_MAX) {
        core->stats.bad_packets++;
        return;
    }
    data = efa_net_verify(core, data, len);
    if (!data) {
        return;
    }
    memcpy(&hdr, data, sizeof(hdr));
    if (hdr.version != EFA_PKT_VERSION ||
        le32_to_cpu(hdr.payload_len) != len - sizeof(hdr) ||
        memcmp(hdr.src_gid, peer->gid.raw, sizeof(hdr.src_gid)) ||
        memcmp(hdr.dst_gid, core->cfg.gid.raw, sizeof(hdr.dst_gid))) {
        core->stats.bad_packets++;
        trace_efa_rx_bad(hdr.version, hdr.type, len);
        return;
    }
    efa_net_in_any_order(core, peer, &hdr, data + sizeof(hdr));
}

void efa_net_run_loop(EfaCore *core, unsigned budget)
{
    GList *link;

    while (budget-- && (link = g_queue_pop_head_link(&core->loop))) {
        EfaLoopPkt *pkt = link->data;
        EfaPeer *self = efa_peer_get(core, &core->cfg.gid);

        core->loop_bytes -= pkt->len;
        efa_net_input(core, self, pkt->data, pkt->len);
        efa_impair_writable(core, self);
        efa_srd_mark_resume(core, self);
        g_free(pkt);
    }
    efa_net_release_held(core);
}

void efa_net_flush_loop(EfaCore *core)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&core->loop))) {
        g_free(link->data);
    }
    core->loop_bytes = 0;
    g_free(core->held);
    core->held = NULL;
}

/* ---- answers ---- */

static void efa_net_want_answer(EfaCore *core, EfaPeer *peer)
{
    if (!peer->ack_queued) {
        peer->ack_queued = true;
        g_queue_push_tail_link(&core->acking, &peer->ack_link);
    }
}

void efa_net_drop_held(EfaCore *core, EfaPeer *peer)
{
    if (core->held && core->held->peer == peer) {
        g_free(core->held);
        core->held = NULL;
    }
}

void efa_net_unqueue(EfaCore *core, EfaPeer *peer)
{
    peer->send_ack = false;
    peer->num_acks = 0;
    g_free(peer->acks);
    peer->acks = NULL;
    peer->send_reset = false;
    if (peer->ack_queued) {
        peer->ack_queued = false;
        g_queue_unlink(&core->acking, &peer->ack_link);
    }
}

/* The window as the requester is to know it, and what was refused. */
static void efa_net_fill_ack(EfaPeer *peer, EfaPktHdr *hdr, uint8_t *payload)
{
    EfaPktAckMap map = { };
    unsigned i;

    for (i = 0; peer->rx && i < EFA_SRD_MAP_WORDS; i++) {
        map.ok[i] = cpu_to_le64(peer->rx->ok[i]);
    }
    hdr->psn = cpu_to_le32(peer->rx_base);
    hdr->imm = cpu_to_le32(peer->rx_dups);
    hdr->dst_epoch = cpu_to_le64(peer->rx_epoch);
    hdr->ctx = cpu_to_le32(peer->rx_ctx);
    memcpy(payload, &map, sizeof(map));
    if (peer->num_acks) {
        memcpy(payload + sizeof(map), peer->acks,
               peer->num_acks * sizeof(EfaPktAck));
    }
    peer->send_ack = false;
    peer->num_acks = 0;
}

/* One packet of answers; false if there is no room for it. */
static bool efa_net_send_answer(EfaCore *core, EfaPeer *peer, EfaPktType type)
{
    size_t payload = type == EFA_PKT_ACK
                     ? sizeof(EfaPktAckMap) +
                       peer->num_acks * sizeof(EfaPktAck) : 0;
    size_t len = sizeof(EfaPktHdr) + payload;
    uint8_t *buf = efa_net_reserve(core, peer, len);
    EfaPktHdr hdr;

    if (!buf) {
        return false;
    }
    trace_efa_answer(type, peer->num_acks);
    efa_net_header(core, peer, type, &hdr);
    hdr.payload_len = cpu_to_le32(payload);
    if (type == EFA_PKT_ACK) {
        efa_net_fill_ack(peer, &hdr, buf + sizeof(hdr));
    } else {
        hdr.dst_epoch = cpu_to_le64(peer->reset_epoch);
        hdr.ctx = cpu_to_le32(peer->reset_ctx);
        peer->send_reset = false;
    }
    memcpy(buf, &hdr, sizeof(hdr));
    efa_net_commit(core, peer, len);
    return true;
}

void efa_net_want_ack(EfaCore *core, EfaPeer *peer)
{
    peer->send_ack = true;
    efa_net_want_answer(core, peer);
}

void efa_net_queue_refusal(EfaCore *core, EfaPeer *peer, uint32_t psn,
                           uint8_t status)
{
    if (peer->num_acks == EFA_PKT_MAX_ACKS &&
        !efa_net_send_answer(core, peer, EFA_PKT_ACK)) {
        return;     /* no room: the requester will ask again */
    }
    if (!peer->acks) {
        peer->acks = g_new(EfaPktAck, EFA_PKT_MAX_ACKS);
    }
    peer->acks[peer->num_acks++] = (EfaPktAck) {
        .psn = cpu_to_le32(psn), .status = status,
    };
    efa_net_want_ack(core, peer);
}

void efa_net_queue_reset(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr)
{
    peer->send_reset = true;
    peer->reset_ctx = le32_to_cpu(hdr->ctx);
    peer->reset_epoch = le64_to_cpu(hdr->src_epoch);
    efa_net_want_answer(core, peer);
}

void efa_net_send_acks(EfaCore *core)
{
    GList *link = core->acking.head;

    while (link) {
        EfaPeer *peer = link->data;

        link = link->next;
        if (!efa_net_up(core, peer) ||
            ((!peer->send_ack ||
              efa_net_send_answer(core, peer, EFA_PKT_ACK)) &&
             (!peer->send_reset ||
              efa_net_send_answer(core, peer, EFA_PKT_RESET)))) {
            efa_net_unqueue(core, peer);
        }
        /* else: when the link is writable again */
    }
}

/* ---- what the fabric reports ---- */

static void efa_net_receive(void *opaque, EfaLink *link, const uint8_t *data,
                            size_t len)
{
    EfaCore *core = opaque;
    EfaPeer *peer = efa_peer_by_link(core, link);

    if (peer) {
        efa_net_input(core, peer, data, len);
    } else {
        core->stats.bad_packets++;
    }
}

static void efa_net_link_up(void *opaque, EfaLink *link)
{
    EfaCore *core = opaque;
    EfaPeer *peer = efa_peer_by_link(core, link);

    if (peer) {
        efa_peer_link_up(core, peer);
    }
}

static void efa_net_link_down(void *opaque, EfaLink *link,
                              EfaLinkDownReason why)
{
    EfaCore *core = opaque;

    if (link->client_data) {
        efa_net_drop_held(core, link->client_data);
        efa_net_unqueue(core, link->client_data);
        efa_impair_drop(core, link->client_data);
        efa_peer_link_down(core, link->client_data, why);
    }
}

static void efa_net_link_writable(void *opaque, EfaLink *link)
{
    EfaCore *core = opaque;

    if (link->client_data) {
        efa_impair_writable(core, link->client_data);
        efa_srd_mark_resume(core, link->client_data);
    }
}

const EfaFabricClient efa_fabric_client = {
    .receive = efa_net_receive,
    .link_up = efa_net_link_up,
    .link_down = efa_net_link_down,
    .link_writable = efa_net_link_writable,
};
