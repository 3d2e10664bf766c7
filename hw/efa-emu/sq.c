/*
 * EFA device model: send queues
 *
 * Data path specification, sections 2 and 13. A work request goes from the
 * doorbell (copied at once) over its checks to the transport; every way ends
 * in efa_sq_complete() or, without a completion, in efa_sq_release().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

static EfaTxMsg *efa_sq_take(EfaQp *qp)
{
    GList *link = g_queue_pop_head_link(&qp->free_msgs);
    EfaTxMsg *msg;

    if (link) {
        return link->data;
    }
    /* grows into the pool, so that its memory is touched when needed */
    msg = &qp->msgs[qp->msgs_touched++];
    msg->link.data = msg;
    msg->started_link.data = msg;
    msg->qp = qp;
    return msg;
}

static void efa_sq_unfence(EfaCore *core, EfaQp *qp);

static void efa_sq_release(EfaCore *core, EfaTxMsg *msg)
{
    EfaQp *qp = msg->qp;

    msg->state = EFA_TX_FREE;
    msg->ah = NULL;
    g_queue_push_head_link(&qp->free_msgs, &msg->link);
    qp->outstanding--;
    if (msg->started) {
        msg->started = false;
        g_queue_unlink(&qp->started, &msg->started_link);
        efa_sq_unfence(core, qp);
    }
}

static void efa_sq_count(EfaCore *core, const EfaTxMsg *msg, bool ok)
{
    EfaStats *stats = &core->stats;

    switch (msg->op) {
    case EFA_IO_RDMA_READ:
        stats->read_wrs += ok;
        stats->read_bytes += ok ? msg->length : 0;
        stats->read_wr_err += !ok;
        break;
    case EFA_IO_RDMA_WRITE:
        stats->write_wrs += ok;
        stats->write_bytes += ok ? msg->length : 0;
        stats->write_wr_err += !ok;
        break;
    case EFA_IO_SEND:
        stats->send_wrs += ok;
        stats->send_bytes += ok ? msg->length : 0;
        break;
    default:
        break;
    }
}

/* The event of QP_EVENTS that is the end of @msg; 0: none. */
static uint32_t efa_sq_event(const EfaTxMsg *msg, bool ok)
{
    static const uint32_t events[][2] = {
        [EFA_IO_SEND] = { R_QP_EVENTS_SEND_COMP_ERR_MASK,
                          R_QP_EVENTS_SEND_COMP_MASK },
        [EFA_IO_RDMA_READ] = { R_QP_EVENTS_READ_COMP_ERR_MASK,
                               R_QP_EVENTS_READ_COMP_MASK },
        [EFA_IO_RDMA_WRITE] = { R_QP_EVENTS_WRITE_COMP_ERR_MASK,
                                R_QP_EVENTS_WRITE_COMP_MASK },
    };

    return msg->op < ARRAY_SIZE(events) ? events[msg->op][ok] : 0;
}

void efa_sq_complete(EfaCore *core, EfaTxMsg *msg, EfaCompStatus status)
{
    EfaQp *qp = msg->qp;
    const EfaIoTxMeta *meta = &msg->wqe.meta;
    EfaIoCdesc cdesc = {
        .req_id = meta->req_id,
        .status = status,
        .qp_num = cpu_to_le16(qp->num),
    };

    if (qp->req_id_64) {
        memcpy(cdesc.req_id_ex, meta->req_id_ex, sizeof(cdesc.req_id_ex));
    }
    cdesc.flags = FIELD_DP8(cdesc.flags, CDESC_FLAGS, Q_TYPE,
                            EFA_IO_SEND_QUEUE);
    cdesc.flags = FIELD_DP8(cdesc.flags, CDESC_FLAGS, OP_TYPE, msg->op);
    efa_sq_count(core, msg, status == EFA_IO_COMP_STATUS_OK);
    if (status != EFA_IO_COMP_STATUS_OK) {
        trace_efa_send_failed(qp->num, le16_to_cpu(meta->req_id), status);
    }
    if (status != EFA_IO_COMP_STATUS_OK ||
        FIELD_EX8(meta->ctrl2, TX_CTRL2, COMP_REQ)) {
        efa_cq_post(core, qp->send_cq, qp->send_sub_cq, &cdesc);
    }
    efa_counter_event(core, qp, efa_sq_event(
                          msg, status == EFA_IO_COMP_STATUS_OK));
    efa_sq_release(core, msg);
}

void efa_sq_mark_ready(EfaCore *core, EfaQp *qp)
{
    if (!qp->ready && !g_queue_is_empty(&qp->pending) &&
        qp->state == EFA_QP_STATE_RTS) {
        qp->ready = true;
        g_queue_push_tail_link(&core->ready, &qp->ready_link);
    }
}

/*
 * Slots may be rewritten as soon as any completion appears, so all announced
 * WQEs are copied before the first is looked at (2.7).
 */
static void efa_sq_fetch(EfaQp *qp, uint16_t prod)
{
    while (qp->sq_db != prod) {
        uint32_t slot = qp->sq_db & (qp->sq_depth - 1);
        EfaTxMsg *msg = efa_sq_take(qp);

        memcpy(&msg->wqe, qp->llq + slot * qp->wqe_size, qp->wqe_size);
        msg->state = EFA_TX_PENDING;
        msg->op = FIELD_EX8(msg->wqe.meta.ctrl1, TX_CTRL1, OP_TYPE);
        msg->length = 0;
        msg->order = qp->next_order++;
        g_queue_push_tail_link(&qp->pending, &msg->link);
        qp->outstanding++;
        qp->sq_db++;
    }
}

void efa_sq_doorbell(EfaCore *core, EfaQp *qp, uint16_t prod)
{
    uint16_t count = prod - qp->sq_db;

    trace_efa_sq_doorbell(qp->num, qp->sq_db, prod, qp->outstanding);
    if (qp->state < EFA_QP_STATE_RTS) {
        efa_guest_error("QP 0x%x: send doorbell before RTS ignored", qp->num);
        core->stats.bad_doorbells++;
        return;
    }
    if (count + qp->outstanding > qp->sq_depth) {
        /* The announced requests cannot be told from overwritten ones. */
        efa_qp_fatal(core, qp, "more send requests announced than slots");
        return;
    }
    efa_sq_fetch(qp, prod);
    if (qp->state == EFA_QP_STATE_ERR) {
        efa_sq_flush(core, qp, true);
    } else {
        efa_sq_mark_ready(core, qp);
    }
}

static bool efa_sq_is_inline(const EfaTxMsg *msg)
{
    return FIELD_EX8(msg->wqe.meta.ctrl1, TX_CTRL1, INLINE_MSG);
}

/* Local buffers of the WQE; their number was checked. */
static unsigned efa_sq_sges(const EfaTxMsg *msg, const EfaIoTxBufDesc **sge)
{
    *sge = msg->op == EFA_IO_SEND ? msg->wqe.sgl : &msg->wqe.rdma.local;
    return efa_sq_is_inline(msg) ? 0 : le16_to_cpu(msg->wqe.meta.length);
}

static uint64_t efa_sge_addr(const EfaIoTxBufDesc *sge)
{
    return efa_addr64(sge->buf_addr_lo, sge->buf_addr_hi);
}

/* The local region an SGE names; *@mr is NULL for one of no length. */
static bool efa_sge_resolve(EfaCore *core, const EfaTxMsg *msg,
                            const EfaIoTxBufDesc *sge, EfaMr **mr)
{
    uint8_t perm = msg->op == EFA_IO_RDMA_READ
                   ? R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK : 0;

    *mr = NULL;
    if (!sge->length) {
        return true;
    }
    *mr = efa_mr_find(core, msg->qp->pd,
                      FIELD_EX32(le32_to_cpu(sge->lkey), TX_BUF_LKEY, LKEY),
                      efa_sge_addr(sge), le32_to_cpu(sge->length), perm);
    return *mr;
}

/* Does it end here, without a word to anybody? */
static bool efa_sq_is_local(const EfaTxMsg *msg)
{
    return msg->op == EFA_IO_FAST_REG || msg->op == EFA_IO_FAST_INV;
}

/* 13.2: operations that this device or this QP does not have. */
static EfaCompStatus efa_sq_check_op(EfaCore *core, const EfaTxMsg *msg)
{
    bool has_imm = FIELD_EX8(msg->wqe.meta.ctrl1, TX_CTRL1, HAS_IMM);
    bool possible;

    switch (msg->op) {
    case EFA_IO_SEND:
        return EFA_IO_COMP_STATUS_OK;
    case EFA_IO_RDMA_READ:
        possible = efa_can(core, EFA_CAP_RDMA_READ) && !has_imm &&
                   !efa_sq_is_inline(msg);
        break;
    case EFA_IO_RDMA_WRITE:
        possible = efa_can(core, EFA_CAP_RDMA_WRITE) &&
                   (efa_can(core, EFA_CAP_INLINE_WRITE) ||
                    msg->qp->wqe_size == EFA_IO_WQE_SIZE ||
                    !efa_sq_is_inline(msg));
        break;
    case EFA_IO_FAST_REG:
    case EFA_IO_FAST_INV:
        possible = msg->qp->pd->fast_mrs;
        break;
    default:
        possible = false;
        break;
    }
    if (!possible || msg->qp->type != EFA_QP_TYPE_SRD) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_UNSUPPORTED_OP;
    }
    if (efa_sq_is_local(msg)) {
        /* the rest is efa_fast_execute()'s to judge */
        return has_imm || efa_sq_is_inline(msg)
               ? EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR
               : EFA_IO_COMP_STATUS_OK;
    }
    /* what a write carries in itself has no room in 64 bytes */
    return efa_sq_is_inline(msg) && msg->qp->wqe_size == EFA_IO_WQE_SIZE
           ? EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR
           : EFA_IO_COMP_STATUS_OK;
}

/* 13.2: the meta descriptor. */
static EfaCompStatus efa_sq_check_meta(EfaCore *core, const EfaTxMsg *msg)
{
    const EfaIoTxMeta *meta = &msg->wqe.meta;
    uint16_t length = le16_to_cpu(meta->length);
    unsigned max_sges = msg->op == EFA_IO_SEND ? core->cfg.max_send_sges
                        : msg->op <= EFA_IO_RDMA_WRITE ? EFA_IO_RDMA_NUM_BUFS
                        : 0;
    EfaCompStatus status;

    if (!FIELD_EX8(meta->ctrl1, TX_CTRL1, META_DESC) ||
        FIELD_EX8(meta->ctrl1, TX_CTRL1, META_EXTENSION) ||
        !FIELD_EX8(meta->ctrl2, TX_CTRL2, FIRST) ||
        !FIELD_EX8(meta->ctrl2, TX_CTRL2, LAST)) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR;
    }
    status = efa_sq_check_op(core, msg);
    if (status != EFA_IO_COMP_STATUS_OK) {
        return status;
    }
    if (efa_sq_is_inline(msg)) {
        if (length > (msg->qp->wqe_size == EFA_IO_WQE_SIZE
                      ? core->cfg.inline_size : core->cfg.inline_size_ex)) {
            return EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH;
        }
    } else if (length > max_sges) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR;
    }
    return EFA_IO_COMP_STATUS_OK;
}

/* 13.3: the data. Sets the message's length. */
static EfaCompStatus efa_sq_check_data(EfaCore *core, EfaTxMsg *msg)
{
    const EfaIoTxBufDesc *sge;
    unsigned i, num_sges = efa_sq_sges(msg, &sge);
    uint64_t total = efa_sq_is_inline(msg)
                     ? le16_to_cpu(msg->wqe.meta.length) : 0;
    EfaMr *mr;

    for (i = 0; i < num_sges; i++) {
        if (!efa_sge_resolve(core, msg, &sge[i], &mr)) {
            return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
        }
        total += le32_to_cpu(sge[i].length);
    }
    if (msg->op == EFA_IO_SEND ? total > core->cfg.mtu
                               : total > core->cfg.max_rdma_size ||
            total != le32_to_cpu(msg->wqe.rdma.remote.length)) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH;
    }
    msg->length = total;
    return EFA_IO_COMP_STATUS_OK;
}

/*
 * Keys are looked up again for each segment: a region deregistered in between
 * must not be touched any more.
 */
static EfaCompStatus efa_sq_copy(EfaCore *core, const EfaTxMsg *msg,
                                 uint32_t offset, uint32_t length,
                                 uint8_t *to_host, const uint8_t *to_guest)
{
    const EfaIoTxBufDesc *sge;
    unsigned i, num_sges = efa_sq_sges(msg, &sge);

    for (i = 0; i < num_sges && length; i++) {
        uint32_t have = le32_to_cpu(sge[i].length);
        uint32_t skip = MIN(offset, have), n = MIN(have - skip, length);
        uint64_t addr = efa_sge_addr(&sge[i]) + skip;
        EfaMr *mr;

        if (!efa_sge_resolve(core, msg, &sge[i], &mr) ||
            (n && !(to_host ? efa_mr_read(core, mr, addr, to_host, n)
                            : efa_mr_write(core, mr, addr, to_guest, n)))) {
            return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
        }
        if (to_host) {
            to_host += n;
        } else {
            to_guest += n;
        }
        offset -= skip;
        length -= n;
    }
    return EFA_IO_COMP_STATUS_OK;
}

EfaCompStatus efa_sq_gather(EfaCore *core, const EfaTxMsg *msg,
                            uint32_t offset, uint32_t length, uint8_t *buf)
{
    if (efa_sq_is_inline(msg)) {
        const uint8_t *data = msg->op == EFA_IO_SEND
                              ? msg->wqe.inline_data
                              : msg->wqe.rdma.inline_data;

        memcpy(buf, data + offset, length);
        return EFA_IO_COMP_STATUS_OK;
    }
    return efa_sq_copy(core, msg, offset, length, buf, NULL);
}

EfaCompStatus efa_sq_scatter(EfaCore *core, const EfaTxMsg *msg,
                             uint32_t offset, uint32_t length,
                             const uint8_t *buf)
{
    return efa_sq_copy(core, msg, offset, length, NULL, buf);
}

#define EFA_POLLING_BLOCK   128

/*
 * Segments of RDMA may arrive in any order, but no aligned block of where the
 * data go is in two of them: somebody may poll it (7.7).
 */
static void efa_sq_segment(EfaCore *core, EfaTxMsg *msg)
{
    const EfaIoRdmaReq *rdma = &msg->wqe.rdma;
    uint32_t low = msg->op == EFA_IO_RDMA_READ
                   ? le32_to_cpu(rdma->local.buf_addr_lo)
                   : le32_to_cpu(rdma->remote.buf_addr_lo);

    msg->seg_size = core->cfg.mtu;
    msg->seg_first = msg->seg_size;
    if (msg->op != EFA_IO_SEND) {
        msg->seg_size -= msg->seg_size % EFA_POLLING_BLOCK;
        msg->seg_first = msg->seg_size - low % EFA_POLLING_BLOCK;
    }
    msg->segs_total = 1;
    if (msg->length > msg->seg_first) {
        msg->segs_total += DIV_ROUND_UP(msg->length - msg->seg_first,
                                        msg->seg_size);
    }
    msg->segs_todo = msg->segs_total;
    msg->segs_open = 0;
}

/* Section 13, in its order. Sets the message's length; @ah: for whom it is. */
static EfaCompStatus efa_sq_check(EfaCore *core, EfaTxMsg *msg, EfaAh **ah)
{
    EfaCompStatus status = efa_sq_check_meta(core, msg);

    *ah = NULL;
    if (status != EFA_IO_COMP_STATUS_OK || efa_sq_is_local(msg)) {
        return status;
    }
    *ah = efa_table_get(&core->ahs, le16_to_cpu(msg->wqe.meta.ah));
    if (!*ah || (*ah)->pd != msg->qp->pd) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_AH;
    }
    return efa_sq_check_data(core, msg);
}

static void efa_sq_fail(EfaCore *core, EfaTxMsg *msg, EfaCompStatus status)
{
    efa_guest_error("QP 0x%x: send request 0x%x fails with status %u",
                    msg->qp->num, le16_to_cpu(msg->wqe.meta.req_id), status);
    efa_sq_complete(core, msg, status);
}

/* A work request that ends here. */
static void efa_sq_execute(EfaCore *core, EfaTxMsg *msg)
{
    EfaCompStatus status = efa_fast_execute(core, msg->qp->pd, msg->op,
                                            &msg->wqe.fast_reg);

    if (status == EFA_IO_COMP_STATUS_OK) {
        efa_sq_complete(core, msg, status);
    } else {
        efa_sq_fail(core, msg, status);
    }
}

/*
 * An invalidation takes effect when all that came before it is done (12.3).
 * What comes behind it does not wait.
 */
static void efa_sq_unfence(EfaCore *core, EfaQp *qp)
{
    GList *link;

    while ((link = qp->fenced.head)) {
        EfaTxMsg *msg = link->data;
        const EfaTxMsg *oldest = qp->started.head ? qp->started.head->data
                                                  : NULL;

        if (oldest && (int32_t)(oldest->order - msg->order) < 0) {
            return;
        }
        g_queue_unlink(&qp->fenced, &msg->link);
        efa_sq_execute(core, msg);
    }
}

static void efa_sq_start(EfaCore *core, EfaTxMsg *msg)
{
    const EfaIoTxMeta *meta = &msg->wqe.meta;
    EfaQp *qp = msg->qp;
    EfaCompStatus status;
    EfaAh *ah;

    trace_efa_send_wqe(msg->qp->num, le16_to_cpu(meta->req_id),
                       meta->ctrl1, meta->ctrl2, le16_to_cpu(meta->ah),
                       le16_to_cpu(meta->dest_qp_num));
    status = efa_sq_check(core, msg, &ah);
    if (status != EFA_IO_COMP_STATUS_OK) {
        efa_sq_fail(core, msg, status);
        return;
    }
    if (msg->op == EFA_IO_FAST_REG) {
        efa_sq_execute(core, msg);
        return;
    }
    if (msg->op == EFA_IO_FAST_INV) {
        msg->state = EFA_TX_FENCED;
        g_queue_push_tail_link(&qp->fenced, &msg->link);
        efa_sq_unfence(core, qp);
        return;
    }
    msg->started = true;
    g_queue_push_tail_link(&qp->started, &msg->started_link);
    msg->ah = ah;
    msg->number = ah->peer->tx_msgs++;
    efa_sq_segment(core, msg);
    msg->attempt = 0;
    msg->rnr_left = qp->rnr_retry;
    efa_srd_send(core, msg);
}

/* What starting @msg costs, in messages. */
static unsigned efa_sq_cost(const EfaTxMsg *msg)
{
    return msg->op == EFA_IO_FAST_REG ? efa_fast_cost(&msg->wqe.fast_reg) : 1;
}

/* Round robin over the QPs, one request at a time, so that none starves. */
void efa_sq_run(EfaCore *core, unsigned budget)
{
    GList *link;

    while (budget && (link = g_queue_pop_head_link(&core->ready))) {
        EfaQp *qp = link->data;
        GList *head;

        qp->ready = false;
        if (qp->state == EFA_QP_STATE_RTS) {
            head = g_queue_pop_head_link(&qp->pending);
            if (head) {
                budget -= MIN(budget, efa_sq_cost(head->data));
                efa_sq_start(core, head->data);
            }
            efa_sq_mark_ready(core, qp);
        }
    }
}

static void efa_sq_end(EfaCore *core, EfaTxMsg *msg, bool completion)
{
    if (msg->state == EFA_TX_PENDING) {
        g_queue_unlink(&msg->qp->pending, &msg->link);
    } else if (msg->state == EFA_TX_FENCED) {
        g_queue_unlink(&msg->qp->fenced, &msg->link);
    } else {
        efa_srd_cancel(core, msg);
    }
    if (completion) {
        efa_sq_complete(core, msg, EFA_IO_COMP_STATUS_FLUSHED);
    } else {
        efa_sq_release(core, msg);
    }
}

void efa_sq_flush(EfaCore *core, EfaQp *qp, bool completions)
{
    uint32_t i;

    /* before what they wait for: they are not to be executed */
    while (!g_queue_is_empty(&qp->fenced)) {
        efa_sq_end(core, g_queue_peek_head(&qp->fenced), completions);
    }
    for (i = 0; i < qp->msgs_touched && qp->outstanding; i++) {
        EfaTxMsg *msg = &qp->msgs[i];

        if (msg->state != EFA_TX_FREE && msg->state != EFA_TX_PENDING) {
            efa_sq_end(core, msg, completions);
        }
    }
    while (!g_queue_is_empty(&qp->pending)) {
        efa_sq_end(core, g_queue_peek_head(&qp->pending), completions);
    }
}

/* Does @msg, of a QP of the PD of @ah, depend on it? */
static bool efa_sq_uses_ah(const EfaTxMsg *msg, const EfaAh *ah)
{
    return msg->state == EFA_TX_PENDING
           ? !efa_sq_is_local(msg) &&
             le16_to_cpu(msg->wqe.meta.ah) == ah->index
           : msg->state != EFA_TX_FREE && msg->ah == ah;
}

void efa_sq_flush_ah(EfaCore *core, EfaAh *ah)
{
    uint32_t i, j;

    for (i = 0; i < core->qps.size; i++) {
        EfaQp *qp = efa_table_get(&core->qps, i);

        if (!qp || qp->pd != ah->pd) {
            continue;
        }
        for (j = 0; j < qp->msgs_touched && qp->outstanding; j++) {
            if (efa_sq_uses_ah(&qp->msgs[j], ah)) {
                efa_sq_end(core, &qp->msgs[j], true);
            }
        }
    }
}
