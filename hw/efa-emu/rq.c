/*
 * EFA device model: receive queues
 *
 * Data path specification, sections 3, 6.2 and 13.5.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

typedef struct EfaRxWqe {
    uint16_t req_id;
    unsigned num_descs;
    uint32_t capacity;          /* bytes */
    EfaIoRxDesc desc[EFA_MAX_RECV_SGES];
} EfaRxWqe;

typedef enum EfaRxPeek {
    EFA_RX_OK,
    EFA_RX_EMPTY,
    EFA_RX_BROKEN,              /* no `last' where there must be one */
} EfaRxPeek;

/*
 * Read the oldest WQE without consuming it. Only `last' delimits: libfabric
 * sets `first' in every descriptor (3.2).
 */
static EfaRxPeek efa_rq_peek(EfaCore *core, const EfaQp *qp, EfaRxWqe *wqe)
{
    uint16_t avail = qp->rq_db - qp->rq_head;
    unsigned i, limit = MIN(avail, core->cfg.max_recv_sges);

    wqe->capacity = 0;
    for (i = 0; i < limit; i++) {
        uint32_t slot = (uint16_t)(qp->rq_head + i) & (qp->rq_descs - 1);
        EfaIoRxDesc *desc = &wqe->desc[i];

        if (!efa_dma_read(core, qp->rq_base + slot * EFA_IO_RX_DESC_SIZE,
                          desc, sizeof(*desc))) {
            return EFA_RX_BROKEN;
        }
        wqe->capacity += le16_to_cpu(desc->length);
        if (FIELD_EX32(le32_to_cpu(desc->lkey_ctrl), RX_LKEY_CTRL, LAST)) {
            wqe->req_id = le16_to_cpu(wqe->desc[0].req_id);
            wqe->num_descs = i + 1;
            return EFA_RX_OK;
        }
    }
    return avail ? EFA_RX_BROKEN : EFA_RX_EMPTY;
}

void efa_rq_doorbell(EfaCore *core, EfaQp *qp, uint16_t prod)
{
    trace_efa_rq_doorbell(qp->num, qp->rq_db, prod, qp->rq_head);
    if (qp->state == EFA_QP_STATE_RESET || !qp->rq_descs) {
        core->stats.bad_doorbells++;
        return;
    }
    if ((uint16_t)(prod - qp->rq_head) > qp->rq_descs) {
        efa_qp_fatal(core, qp, "more receive descriptors than slots");
        return;
    }
    qp->rq_db = prod;
    if (qp->state == EFA_QP_STATE_ERR) {
        efa_rq_flush(core, qp);
    }
}

static void efa_rq_complete(EfaCore *core, EfaQp *qp, EfaIoCdesc *cdesc)
{
    cdesc->qp_num = cpu_to_le16(qp->num);
    cdesc->flags = FIELD_DP8(cdesc->flags, CDESC_FLAGS, Q_TYPE,
                             EFA_IO_RECV_QUEUE);
    efa_cq_post(core, qp->recv_cq, qp->recv_sub_cq, cdesc);
    efa_counter_event(core, qp, cdesc->status == EFA_IO_COMP_STATUS_OK
                                ? R_QP_EVENTS_RECV_COMP_MASK
                                : R_QP_EVENTS_RECV_COMP_ERR_MASK);
}

void efa_rq_flush(EfaCore *core, EfaQp *qp)
{
    EfaRxWqe wqe;

    while (efa_rq_peek(core, qp, &wqe) == EFA_RX_OK) {
        EfaIoCdesc cdesc = {
            .req_id = cpu_to_le16(wqe.req_id),
            .status = EFA_IO_COMP_STATUS_FLUSHED,
            .ah = cpu_to_le16(EFA_IO_NO_AH),
        };

        qp->rq_head += wqe.num_descs;
        efa_rq_complete(core, qp, &cdesc);
    }
    qp->rq_head = qp->rq_db;
}

static uint64_t efa_desc_addr(const EfaIoRxDesc *desc)
{
    return efa_addr64(desc->buf_addr_lo, desc->buf_addr_hi);
}

static EfaMr *efa_desc_mr(EfaCore *core, const EfaQp *qp,
                          const EfaIoRxDesc *desc)
{
    return efa_mr_find(core, qp->pd,
                       FIELD_EX32(le32_to_cpu(desc->lkey_ctrl), RX_LKEY_CTRL,
                                  LKEY),
                       efa_desc_addr(desc), le16_to_cpu(desc->length),
                       R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK);
}

/* All buffers are judged before the first byte is written. */
static bool efa_rq_buffers_ok(EfaCore *core, const EfaQp *qp,
                              const EfaRxWqe *wqe)
{
    unsigned i;

    for (i = 0; i < wqe->num_descs; i++) {
        if (wqe->desc[i].length && !efa_desc_mr(core, qp, &wqe->desc[i])) {
            return false;
        }
    }
    return true;
}

/* Where the next byte of a message goes. */
typedef struct EfaScatter {
    const EfaRxWqe *wqe;
    unsigned desc;
    uint32_t used;              /* bytes of that descriptor */
} EfaScatter;

static bool efa_scatter(EfaCore *core, const EfaQp *qp, EfaScatter *to,
                        const uint8_t *data, uint32_t len)
{
    while (len) {
        const EfaIoRxDesc *desc = &to->wqe->desc[to->desc];
        uint32_t room = le16_to_cpu(desc->length) - to->used;
        uint32_t n = MIN(room, len);

        if (!room) {
            to->desc++;
            to->used = 0;
            continue;
        }
        if (!efa_mr_write(core, efa_desc_mr(core, qp, desc),
                          efa_desc_addr(desc) + to->used, data, n)) {
            return false;
        }
        to->used += n;
        data += n;
        len -= n;
    }
    return true;
}

/* The oldest receive request, or the status for who needs one. */
static EfaCompStatus efa_rq_oldest(EfaCore *core, EfaQp *qp, EfaRxWqe *wqe)
{
    switch (efa_rq_peek(core, qp, wqe)) {
    case EFA_RX_OK:
        return EFA_IO_COMP_STATUS_OK;
    case EFA_RX_BROKEN:
        efa_qp_fatal(core, qp, "receive request without an end");
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
    default:
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR;
    }
}

/* What a receive completion says of the sender. */
static void efa_rq_describe(EfaCore *core, const EfaQp *qp,
                            const EfaRxMsg *msg, uint32_t length,
                            EfaIoCdesc *cdesc)
{
    uint16_t ah = efa_ah_reverse(core, qp->pd, msg->peer);
    bool write = msg->opcode == EFA_IO_RDMA_WRITE;

    cdesc->flags = FIELD_DP8(0, CDESC_FLAGS, OP_TYPE, msg->opcode);
    cdesc->length = cpu_to_le16(length);
    cdesc->ah = cpu_to_le16(ah);
    cdesc->src_qp_num = cpu_to_le16(msg->src_qpn);
    if (msg->has_imm) {
        cdesc->imm = cpu_to_le32(msg->imm);
        cdesc->flags = FIELD_DP8(cdesc->flags, CDESC_FLAGS, HAS_IMM, 1);
    }
    if (write) {
        cdesc->length_hi = cpu_to_le16(length >> 16);
    } else if (ah == EFA_IO_NO_AH && qp->recv_cq->set_src_addr) {
        memcpy(cdesc->src_addr, msg->peer->gid.raw, sizeof(cdesc->src_addr));
    }
}

EfaCompStatus efa_rq_deliver(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg,
                             const uint8_t *grh)
{
    uint32_t grh_len = grh ? EFA_UD_GRH_SIZE : 0;
    uint32_t total = msg->length + grh_len;
    EfaScatter to = { };
    EfaIoCdesc cdesc = { };
    EfaRxWqe wqe;
    EfaCompStatus status = efa_rq_oldest(core, qp, &wqe);

    if (status != EFA_IO_COMP_STATUS_OK) {
        return status;
    }
    if (total > wqe.capacity) {
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH;
    }
    qp->rq_head += wqe.num_descs;
    efa_rq_describe(core, qp, msg, total, &cdesc);
    cdesc.req_id = cpu_to_le16(wqe.req_id);

    to.wqe = &wqe;
    if (!efa_rq_buffers_ok(core, qp, &wqe) ||
        !efa_scatter(core, qp, &to, grh, grh_len) ||
        !efa_scatter(core, qp, &to, msg->payload, msg->length)) {
        efa_guest_error("QP 0x%x: buffers of receive request 0x%x cannot be "
                        "written", qp->num, wqe.req_id);
        cdesc.status = EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
        efa_rq_complete(core, qp, &cdesc);
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS;
    }
    core->stats.recv_wrs++;
    core->stats.recv_bytes += msg->length;
    efa_rq_complete(core, qp, &cdesc);
    return EFA_IO_COMP_STATUS_OK;
}

EfaCompStatus efa_rq_take(EfaCore *core, EfaQp *qp, uint16_t *req_id)
{
    EfaRxWqe wqe;
    EfaCompStatus status = efa_rq_oldest(core, qp, &wqe);

    if (status == EFA_IO_COMP_STATUS_OK) {
        qp->rq_head += wqe.num_descs;
        *req_id = wqe.req_id;
    }
    return status;
}

void efa_rq_notify(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg,
                   uint16_t req_id, EfaCompStatus status)
{
    EfaIoCdesc cdesc = { };

    efa_rq_describe(core, qp, msg, msg->rdma.length, &cdesc);
    cdesc.flags = FIELD_DP8(cdesc.flags, CDESC_FLAGS, UNSOLICITED,
                            qp->unsolicited);
    cdesc.req_id = cpu_to_le16(req_id);
    cdesc.status = status;
    efa_rq_complete(core, qp, &cdesc);
}
