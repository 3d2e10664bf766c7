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
#include "efa-srd.h"

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

/* The requester asks for what this device or this QP does not have. */
static EfaCompStatus efa_rx_mismatch(const EfaCore *core)
{
    return efa_can(core, EFA_CAP_FEATURE_MISMATCH)
           ? EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH
           : EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS;
}

/* Remote access: only for those who are known, only where they may. */
static EfaCompStatus efa_rx_rdma_check(EfaCore *core, const EfaQp *qp,
                                       const EfaRxMsg *msg, EfaMr **mr)
{
    bool read = msg->opcode == EFA_IO_RDMA_READ;
    const EfaPktRdma *rdma = &msg->rdma;

    *mr = NULL;
    if (read ? !efa_can(core, EFA_CAP_RDMA_READ)
             : !efa_can(core, EFA_CAP_RDMA_WRITE)) {
        return efa_rx_mismatch(core);
    }
    if (efa_can(core, EFA_CAP_KNOWN_PEER) &&
        efa_ah_reverse(core, qp->pd, msg->peer) == EFA_IO_NO_AH) {
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_UNKNOWN_PEER;
    }
    if (!rdma->length) {
        return EFA_IO_COMP_STATUS_OK;
    }
    /* the whole range, so that a bad one has no effect at all */
    *mr = efa_mr_find(core, qp->pd, rdma->rkey, rdma->addr, rdma->length,
                      read ? R_REG_MR_PERM_REMOTE_READ_ENABLE_MASK
                           : R_REG_MR_PERM_REMOTE_WRITE_ENABLE_MASK);
    return *mr ? EFA_IO_COMP_STATUS_OK
               : EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS;
}

/* ---- operations that event counters count at their target ---- */

/* Of one peer, and of all, that are under way. */
#define EFA_RX_MAX_OPS      4096
#define EFA_RX_MAX_ALL_OPS  65536

/* An operation of several segments, some of which are done. */
typedef struct EfaRxOp {
    GList link;             /* in peer->ops, the oldest first */
    uint32_t number;        /* of its message */
    uint32_t left;          /* bytes */
} EfaRxOp;

static void efa_rx_op_free(EfaCore *core, EfaPeer *peer, EfaRxOp *op)
{
    g_hash_table_remove(peer->op_by_number, GUINT_TO_POINTER(op->number));
    g_queue_unlink(&peer->ops, &op->link);
    core->rx_ops--;
    g_free(op);
}

static void efa_rx_forget_ops(EfaCore *core, EfaPeer *peer)
{
    while (peer->ops.length) {
        efa_rx_op_free(core, peer, peer->ops.head->data);
    }
    g_clear_pointer(&peer->op_by_number, g_hash_table_destroy);
}

/* One that was given up half way stays until it is the oldest of too many. */
static EfaRxOp *efa_rx_op_new(EfaCore *core, const EfaRxMsg *msg)
{
    EfaPeer *peer = msg->peer;
    EfaRxOp *op;

    if (!peer->op_by_number) {
        peer->op_by_number = g_hash_table_new(NULL, NULL);
    }
    if (peer->ops.length && (peer->ops.length >= EFA_RX_MAX_OPS ||
                             core->rx_ops >= EFA_RX_MAX_ALL_OPS)) {
        efa_rx_op_free(core, peer, peer->ops.head->data);
    }
    if (core->rx_ops >= EFA_RX_MAX_ALL_OPS) {
        return NULL;
    }
    op = g_new(EfaRxOp, 1);
    *op = (EfaRxOp) { .link = { .data = op }, .number = msg->number,
                      .left = msg->rdma.length };
    core->rx_ops++;
    g_queue_push_tail_link(&peer->ops, &op->link);
    g_hash_table_insert(peer->op_by_number, GUINT_TO_POINTER(op->number), op);
    return op;
}

/*
 * A segment of @msg's operation is done for the first time: @event happens
 * with the last one of them, in whatever order they come.
 */
static void efa_rx_count(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg,
                         uint32_t event)
{
    EfaPeer *peer = msg->peer;
    EfaRxOp *op = NULL;

    if (!efa_counter_wants(qp, event)) {
        return;
    }
    if (msg->rdma.seg_length == msg->rdma.length) {
        efa_counter_event(core, qp, event);
        return;
    }
    if (peer->op_by_number) {
        op = g_hash_table_lookup(peer->op_by_number,
                                 GUINT_TO_POINTER(msg->number));
    }
    op = op ?: efa_rx_op_new(core, msg);
    if (!op) {
        return;
    }
    op->left -= MIN(op->left, msg->rdma.seg_length);
    if (!op->left) {
        efa_rx_op_free(core, peer, op);
        efa_counter_event(core, qp, event);
    }
}

/* Reads are served again when an answer is lost. */
static void efa_rx_count_read(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg)
{
    uint32_t slot = EFA_SRD_SLOT(msg->psn);
    uint64_t *word = &msg->peer->rx->counted[slot / 64];

    if (!(*word >> (slot % 64) & 1)) {
        *word |= 1ull << (slot % 64);
        efa_rx_count(core, qp, msg, R_QP_EVENTS_REMOTE_READ_COMP_MASK);
    }
}

static EfaCompStatus efa_rx_write(EfaCore *core, EfaQp *qp,
                                  const EfaRxMsg *msg)
{
    const EfaPktRdma *rdma = &msg->rdma;
    uint16_t req_id = 0;
    EfaMr *mr;
    EfaCompStatus status = efa_rx_rdma_check(core, qp, msg, &mr);
    bool ok = true;

    if (status == EFA_IO_COMP_STATUS_OK && msg->has_imm && !qp->unsolicited) {
        /* a buffer first: what is refused must leave no trace */
        status = efa_rq_take(core, qp, &req_id);
    }
    if (status != EFA_IO_COMP_STATUS_OK) {
        return status;
    }
    if (msg->length) {
        ok = efa_mr_write(core, mr, rdma->addr + rdma->offset, msg->payload,
                          msg->length);
        core->stats.write_recv_bytes += ok ? msg->length : 0;
    }
    if (msg->has_imm) {
        efa_rq_notify(core, qp, msg, req_id,
                      ok ? EFA_IO_COMP_STATUS_OK
                         : EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
    }
    if (ok) {
        efa_rx_count(core, qp, msg, R_QP_EVENTS_REMOTE_WRITE_COMP_MASK);
    }
    return ok ? EFA_IO_COMP_STATUS_OK
              : EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS;
}

/* The QP that may execute @msg, or NULL and why there is none. */
static EfaQp *efa_rx_qp(EfaCore *core, const EfaRxMsg *msg,
                        EfaCompStatus *status)
{
    EfaQp *qp = efa_qp_by_num(core, msg->dst_qpn);

    if (!qp || !efa_qp_can_receive(qp)) {
        *status = EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
        return NULL;
    }
    if (qp->type != EFA_QP_TYPE_SRD) {
        *status = efa_rx_mismatch(core);
        return NULL;
    }
    if (qp->qkey != msg->qkey) {
        core->stats.qkey_viol++;
        *status = EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
        return NULL;
    }
    return qp;
}

static EfaCompStatus efa_rx_execute(EfaCore *core, const EfaRxMsg *msg)
{
    EfaCompStatus status;
    EfaQp *qp = efa_rx_qp(core, msg, &status);

    if (!qp) {
        return status;
    }
    switch (msg->opcode) {
    case EFA_IO_SEND:
        return efa_rq_deliver(core, qp, msg, NULL);
    case EFA_IO_RDMA_WRITE:
        return efa_rx_write(core, qp, msg);
    default:
        return efa_rx_mismatch(core);
    }
}

/* ---- reads: answered with data, again each time they are asked for ---- */

/* A read that waits for room in the fabric. */
typedef struct EfaReadJob {
    GList link;
    EfaRxMsg msg;           /* without payload */
} EfaReadJob;

/* false: no room now. */
static bool efa_rx_read(EfaCore *core, const EfaRxMsg *msg)
{
    const EfaPktRdma *rdma = &msg->rdma;
    EfaPeer *peer = msg->peer;
    size_t len = sizeof(EfaPktHdr) + rdma->seg_length;
    EfaCompStatus status;
    EfaQp *qp = efa_rx_qp(core, msg, &status);
    EfaMr *mr = NULL;
    EfaPktHdr hdr;
    uint8_t *buf;

    if (qp) {
        status = efa_rx_rdma_check(core, qp, msg, &mr);
    }
    if (!qp || status != EFA_IO_COMP_STATUS_OK) {
        efa_net_queue_refusal(core, peer, msg->psn, status);
        return true;
    }
    buf = efa_net_reserve(core, peer, len);
    if (!buf) {
        return false;
    }
    if (rdma->seg_length &&
        !efa_mr_read(core, mr, rdma->addr + rdma->offset, buf + sizeof(hdr),
                     rdma->seg_length)) {
        efa_net_cancel(core, peer);
        efa_net_queue_refusal(core, peer, msg->psn,
                              EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS);
        return true;
    }
    efa_net_header(core, peer, EFA_PKT_READ_RESP, &hdr);
    hdr.payload_len = cpu_to_le32(rdma->seg_length);
    hdr.dst_epoch = cpu_to_le64(peer->rx_epoch);
    hdr.ctx = cpu_to_le32(peer->rx_ctx);
    hdr.psn = cpu_to_le32(msg->psn);
    memcpy(buf, &hdr, sizeof(hdr));
    core->stats.read_resp_bytes += rdma->seg_length;
    trace_efa_tx(EFA_PKT_READ_RESP, msg->src_qpn, msg->dst_qpn,
                 rdma->seg_length, msg->psn, 0);
    efa_net_commit(core, peer, len);
    efa_rx_count_read(core, qp, msg);
    return true;
}

bool efa_rx_resume_reads(EfaCore *core, EfaPeer *peer)
{
    EfaReadJob *job = peer->reads.head->data;
    /* one asked for twice may be answered, and over, by now */
    bool over = job->msg.psn - peer->rx_base >= EFA_SRD_WINDOW;

    if (!efa_net_up(core, peer) ||
        (!over && !efa_rx_read(core, &job->msg))) {
        return false;
    }
    g_queue_unlink(&peer->reads, &job->link);
    g_free(job);
    return true;
}

static void efa_rx_read_request(EfaCore *core, const EfaRxMsg *msg)
{
    EfaPeer *peer = msg->peer;
    EfaReadJob *job;

    if (!peer->reads.length && efa_rx_read(core, msg)) {
        return;
    }
    if (peer->reads.length >= EFA_SRD_WINDOW) {
        return;     /* more than the requester may ask for: it asks again */
    }
    job = g_new(EfaReadJob, 1);
    job->link = (GList) { .data = job };
    job->msg = *msg;
    job->msg.payload = NULL;
    g_queue_push_tail_link(&peer->reads, &job->link);
}

/* ---- the window ---- */

void efa_rx_forget(EfaCore *core, EfaPeer *peer)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&peer->reads))) {
        g_free(link->data);
    }
    efa_rx_forget_ops(core, peer);
    peer->rx_epoch = 0;
    peer->rx_ctx = 0;
}

/*
 * Find the requester's context: a later epoch, or a later context of the same
 * epoch, begins anew; an earlier one is a leftover on the wire.
 */
static bool efa_rx_context(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr)
{
    uint64_t epoch = le64_to_cpu(hdr->src_epoch);
    uint32_t ctx = le32_to_cpu(hdr->ctx);

    if (peer->rx && epoch == peer->rx_epoch && ctx == peer->rx_ctx) {
        return true;
    }
    if (epoch < peer->rx_epoch ||
        (epoch == peer->rx_epoch && (int32_t)(ctx - peer->rx_ctx) < 0)) {
        return false;
    }
    efa_net_unqueue(core, peer);
    efa_rx_forget(core, peer);
    g_free(peer->rx);
    peer->rx = g_new0(EfaRxWindow, 1);
    peer->rx_epoch = epoch;
    peer->rx_ctx = ctx;
    peer->rx_base = le32_to_cpu(hdr->una);
    peer->rx_dups = 0;
    trace_efa_rx_context(epoch, ctx, peer->rx_base);
    return true;
}

/* Answers before @una are known to the requester: forget them. */
static void efa_rx_advance(EfaPeer *peer, uint32_t una)
{
    uint32_t ahead = una - peer->rx_base;
    EfaRxWindow *rx = peer->rx;
    uint32_t i;

    if ((int32_t)ahead <= 0) {
        return;
    }
    if (ahead >= EFA_SRD_WINDOW) {
        memset(rx, 0, sizeof(*rx));
    }
    for (i = 0; ahead < EFA_SRD_WINDOW && i < ahead; i++) {
        uint32_t slot = EFA_SRD_SLOT(peer->rx_base + i);

        rx->answer[slot] = 0;
        rx->ok[slot / 64] &= ~(1ull << (slot % 64));
        rx->counted[slot / 64] &= ~(1ull << (slot % 64));
    }
    peer->rx_base = una;
}

static void efa_rx_answer(EfaCore *core, EfaPeer *peer, uint32_t psn,
                          EfaCompStatus status)
{
    uint32_t slot = EFA_SRD_SLOT(psn);

    peer->rx->answer[slot] = 1 + status;
    if (status == EFA_IO_COMP_STATUS_OK) {
        peer->rx->ok[slot / 64] |= 1ull << (slot % 64);
    }
}

/* Tell the answer that is known: in the bitmap, or by itself. */
static void efa_rx_tell(EfaCore *core, EfaPeer *peer, uint32_t psn)
{
    uint8_t status = peer->rx->answer[EFA_SRD_SLOT(psn)] - 1;

    if (status == EFA_IO_COMP_STATUS_OK) {
        efa_net_want_ack(core, peer);
    } else {
        efa_net_queue_refusal(core, peer, psn, status);
    }
}

void efa_rx_data(EfaCore *core, const EfaRxMsg *msg, const EfaPktHdr *hdr)
{
    EfaPeer *peer = msg->peer;
    uint64_t dst_epoch = le64_to_cpu(hdr->dst_epoch);

    if (dst_epoch && dst_epoch != core->epoch) {
        efa_net_queue_reset(core, peer, hdr);
        return;
    }
    if (!efa_rx_context(core, peer, hdr)) {
        trace_efa_rx_stale(msg->psn, "context");
        return;
    }
    efa_rx_advance(peer, le32_to_cpu(hdr->una));
    if (msg->psn - peer->rx_base >= EFA_SRD_WINDOW) {
        peer->rx_dups += (int32_t)(msg->psn - peer->rx_base) < 0;
        trace_efa_rx_stale(msg->psn, "window");
        return;
    }
    if (peer->rx->answer[EFA_SRD_SLOT(msg->psn)]) {
        peer->rx_dups++;
        trace_efa_rx_stale(msg->psn, "answered before");
    } else if (msg->opcode == EFA_IO_RDMA_READ) {
        efa_rx_read_request(core, msg);
        return;
    } else {
        efa_rx_answer(core, peer, msg->psn, efa_rx_execute(core, msg));
    }
    efa_rx_tell(core, peer, msg->psn);
}
