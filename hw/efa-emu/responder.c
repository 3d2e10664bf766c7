/*
 * EFA device model: the responder's half of the transport
 *
 * Decides for each request once, remembers the answer as long as the
 * requester may ask again, and repeats it then: at most once (data path
 * specification, 13.4).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/* 6.2: what generic software expects in front of a datagram's payload. */
static void efa_ud_grh(const EfaCore *core, const EfaRxMsg *msg,
                       uint8_t grh[EFA_UD_GRH_SIZE])
{
    uint16_t length = cpu_to_be16(msg->length);

    memset(grh, 0, EFA_UD_GRH_SIZE);
    grh[0] = 0x60;
    memcpy(grh + 4, &length, sizeof(length));
    grh[6] = 0x1b;
    grh[7] = 0xff;
    memcpy(grh + 8, msg->peer->gid.raw, 16);
    memcpy(grh + 24, core->cfg.gid.raw, 16);
}

/* 6.5: whatever does not fit is dropped without a word to the sender. */
void efa_rx_ud(EfaCore *core, const EfaRxMsg *msg)
{
    EfaQp *qp = efa_qp_by_num(core, msg->dst_qpn);
    uint8_t grh[EFA_UD_GRH_SIZE];
    EfaCompStatus status;

    if (!qp || qp->type != EFA_QP_TYPE_UD || !efa_qp_can_receive(qp) ||
        msg->opcode != EFA_IO_SEND) {
        core->stats.rx_drops++;
        trace_efa_rx_drop(msg->dst_qpn, "no QP to take it");
        return;
    }
    if (qp->qkey != msg->qkey) {
        core->stats.qkey_viol++;
        trace_efa_rx_drop(msg->dst_qpn, "Q_Key");
        return;
    }
    efa_ud_grh(core, msg, grh);
    status = efa_rq_deliver(core, qp, msg, grh);
    if (status != EFA_IO_COMP_STATUS_OK) {
        core->stats.rx_drops++;
        trace_efa_rx_drop(msg->dst_qpn, "no buffer for it");
    }
}

static EfaCompStatus efa_rx_srd(EfaCore *core, const EfaRxMsg *msg)
{
    EfaQp *qp = efa_qp_by_num(core, msg->dst_qpn);

    if (!qp || !efa_qp_can_receive(qp)) {
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
    }
    if (qp->type != EFA_QP_TYPE_SRD || msg->opcode != EFA_IO_SEND) {
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH;
    }
    if (qp->qkey != msg->qkey) {
        core->stats.qkey_viol++;
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
    }
    return efa_rq_deliver(core, qp, msg, NULL);
}

/*
 * Find the requester's context: a later epoch, or a later context of the same
 * epoch, begins anew; an earlier one is a leftover on the wire.
 */
static bool efa_rx_context(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr)
{
    uint64_t epoch = le64_to_cpu(hdr->src_epoch);
    uint32_t ctx = le32_to_cpu(hdr->ctx);

    if (peer->rx_slot && epoch == peer->rx_epoch && ctx == peer->rx_ctx) {
        return true;
    }
    if (epoch < peer->rx_epoch ||
        (epoch == peer->rx_epoch && (int32_t)(ctx - peer->rx_ctx) < 0)) {
        return false;
    }
    if (!peer->rx_slot) {
        peer->rx_slot = g_new0(EfaRxSlot, EFA_SRD_WINDOW);
    }
    memset(peer->rx_slot, 0, EFA_SRD_WINDOW * sizeof(*peer->rx_slot));
    efa_net_unqueue(core, peer);
    peer->rx_epoch = epoch;
    peer->rx_ctx = ctx;
    peer->rx_base = le32_to_cpu(hdr->una);
    trace_efa_rx_context(epoch, ctx, peer->rx_base);
    return true;
}

/* Answers before @una are known to the requester: forget them. */
static void efa_rx_advance(EfaPeer *peer, uint32_t una)
{
    uint32_t ahead = una - peer->rx_base;
    uint32_t i;

    if ((int32_t)ahead <= 0) {
        return;
    }
    for (i = 0; i < MIN(ahead, EFA_SRD_WINDOW); i++) {
        peer->rx_slot[EFA_SLOT(peer->rx_base + i)].answered = false;
    }
    peer->rx_base = una;
}

void efa_rx_data(EfaCore *core, const EfaRxMsg *msg, const EfaPktHdr *hdr)
{
    EfaPeer *peer = msg->peer;
    uint64_t dst_epoch = le64_to_cpu(hdr->dst_epoch);
    uint32_t psn = le32_to_cpu(hdr->psn);
    EfaPktAck ack = { .psn = hdr->psn };
    EfaRxSlot *slot;

    if (dst_epoch && dst_epoch != core->epoch) {
        efa_net_queue_reset(core, peer, hdr);
        return;
    }
    if (!efa_rx_context(core, peer, hdr)) {
        trace_efa_rx_stale(psn, "context");
        return;
    }
    efa_rx_advance(peer, le32_to_cpu(hdr->una));
    if (psn - peer->rx_base >= EFA_SRD_WINDOW) {
        trace_efa_rx_stale(psn, "window");
        return;
    }

    slot = &peer->rx_slot[EFA_SLOT(psn)];
    if (slot->answered) {
        trace_efa_rx_stale(psn, "answered before");
    } else {
        slot->status = efa_rx_srd(core, msg);
        slot->answered = true;
    }
    ack.status = slot->status;
    efa_net_queue_ack(core, peer, &ack);
}
