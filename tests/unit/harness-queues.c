/*
 * Unit tests: the queues and regions of a driver and its users
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

/* ---- event queues ---- */

Eq *create_eq_ok(Host *h, uint16_t depth, uint8_t vector)
{
    Eq *eq = host_keep(h, g_new0(Eq, 1));
    EfaCreateEqCmd cmd = CMD(EfaCreateEqCmd, EFA_ADMIN_CREATE_EQ,
                             .depth = depth, .msix_vec = vector, .caps = 4,
                             .event_bitmask = 1);
    EfaIdResp resp;

    eq->h = h;
    eq->depth = depth;
    eq->vector = vector;
    eq->ring = host_alloc(h, depth * EFA_EQ_ENTRY_SIZE, HOST_PAGE);
    cmd.ba_mem_addr_low = eq->ring;
    cmd.ba_mem_addr_high = eq->ring >> 32;
    admin_ok(h, &cmd, &resp, sizeof(resp));
    eq->eqn = resp.id;
    return eq;
}

void eq_arm(Eq *eq)
{
    reg_write(eq->h, A_EQ_DB, eq->eqn | R_EQ_DB_ARM_MASK);
}

int eq_take(Eq *eq)
{
    EfaEqe *eqe = (EfaEqe *)host_ptr(eq->h, eq->ring) + eq->cons % eq->depth;

    if ((eqe->common & 1) != !(eq->cons / eq->depth & 1)) {
        return -1;
    }
    g_assert_cmphex(eqe->common & ~1u, ==, 0);
    g_assert_cmphex(eqe->reserved | eqe->reserved16 | eqe->reserved2, ==, 0);
    eq->cons++;
    return eqe->cqn;
}

/* ---- completion queues ---- */

EfaCreateCqCmd cq_cmd(Host *h, uint16_t uar, const CqOpts *opts)
{
    uint8_t size = opts && opts->entry_size ? opts->entry_size : 32;
    uint16_t depth = opts && opts->depth ? opts->depth : 256;
    uint64_t ring = host_alloc(h, (size_t)depth * size *
                               h->cfg.sub_cqs_per_cq, HOST_PAGE);
    EfaCreateCqCmd cmd = CMD(EfaCreateCqCmd, EFA_ADMIN_CREATE_CQ,
        .cq_caps_2 = size / 4,
        .sub_cq_depth = depth,
        .cq_ba_mem_addr_low = ring,
        .cq_ba_mem_addr_high = ring >> 32,
        .num_sub_cqs = h->cfg.sub_cqs_per_cq,
        .uar = uar);

    if (opts && opts->sgid) {
        cmd.cq_caps_2 |= R_CQ_CAPS_2_SET_SRC_ADDR_MASK;
    }
    if (opts && opts->req_id_64) {
        cmd.cq_caps_2 |= R_CQ_CAPS_2_SQ_COMP_64_BIT_REQ_ID_MASK;
    }
    if (opts && opts->eq) {
        cmd.cq_caps_1 = R_CQ_CAPS_1_INTERRUPT_MODE_ENABLED_MASK;
        cmd.eqn = opts->eq->eqn;
    }
    return cmd;
}

Cq *create_cq_ok(Host *h, uint16_t uar, const CqOpts *opts)
{
    Cq *cq = host_keep(h, g_new0(Cq, 1));
    EfaCreateCqCmd cmd = cq_cmd(h, uar, opts);
    EfaCreateCqResp resp;

    admin_ok(h, &cmd, &resp, sizeof(resp));
    g_assert_cmpuint(resp.sub_cq_actual_depth, ==, cmd.sub_cq_depth);
    g_assert_cmpuint(resp.db_offset / EFA_DB_PAGE_SIZE, ==, uar);
    g_assert_cmpuint(resp.db_offset % 4, ==, 0);
    cq->h = h;
    cq->idx = resp.cq_idx;
    cq->uar = uar;
    cq->db = resp.db_offset;
    cq->db_valid = resp.flags & 1;
    cq->ring = cmd.cq_ba_mem_addr_low |
               (uint64_t)cmd.cq_ba_mem_addr_high << 32;
    cq->depth = cmd.sub_cq_depth;
    cq->entry_size = (cmd.cq_caps_2 & 31) * 4;
    cq->subs = cmd.num_sub_cqs;
    return cq;
}

bool cq_poll_sub(Cq *cq, unsigned sub, EfaIoCdesc *out)
{
    uint32_t pos = sub * cq->depth + cq->cons[sub] % cq->depth;

    memset(out, 0, sizeof(*out));
    memcpy(out, (uint8_t *)host_ptr(cq->h, cq->ring) + pos * cq->entry_size,
           cq->entry_size);
    if ((out->flags & 1) != !(cq->cons[sub] / cq->depth & 1)) {
        return false;
    }
    cq->cons[sub]++;
    cq->consumed++;
    return true;
}

bool cq_poll(Cq *cq, EfaIoCdesc *out)
{
    unsigned i;

    for (i = 0; i < cq->subs; i++) {
        if (cq_poll_sub(cq, i, out)) {
            return true;
        }
    }
    return false;
}

EfaIoCdesc cq_next(Cq *cq)
{
    EfaIoCdesc e;

    settle();
    if (!cq_poll(cq, &e)) {
        g_error("CQ %u: no completion where one must be", cq->idx);
    }
    return e;
}

void cq_arm(Cq *cq)
{
    db_write(cq->h, cq->db, 1u << 31 | (cq->sn & 3u) << 29 | cq->consumed);
}

/* ---- memory regions ---- */

EfaRegMrCmd mr_cmd(uint16_t pd, uint64_t iova, uint64_t len, uint8_t perm)
{
    uint64_t in_page = iova % HOST_PAGE;

    return CMD(EfaRegMrCmd, EFA_ADMIN_REG_MR, .pd = pd, .mr_length = len,
               .flags = 12, .permissions = perm, .iova = iova,
               .page_num = DIV_ROUND_UP(in_page + len, HOST_PAGE));
}

Buf reg_buf(Host *h, uint16_t pd, uint64_t len, uint8_t perm)
{
    Buf buf = { .dma = host_alloc(h, len, HOST_PAGE), .len = len };
    EfaRegMrCmd cmd = mr_cmd(pd, buf.dma + HOST_IOVA_SHIFT, len, perm);
    EfaRegMrResp resp;
    uint32_t i;

    buf.iova = cmd.iova;
    buf.p = host_ptr(h, buf.dma);
    if (cmd.page_num <= EFA_INLINE_PBL_PAGES) {
        for (i = 0; i < cmd.page_num; i++) {
            cmd.inline_pbl_array[i] = buf.dma + i * HOST_PAGE;
        }
    } else {
        uint64_t list = host_alloc(h, cmd.page_num * 8, 8);

        for (i = 0; i < cmd.page_num; i++) {
            ((uint64_t *)host_ptr(h, list))[i] = buf.dma + i * HOST_PAGE;
        }
        cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
        cmd.pbl = (EfaCtrlBuffInfo) { cmd.page_num * 8, list, list >> 32 };
    }
    admin_ok(h, &cmd, &resp, sizeof(resp));
    g_assert_cmphex(resp.l_key, <, 1 << 24);
    g_assert_cmpuint(resp.validity, ==, 0);
    buf.key = resp.l_key;
    return buf;
}

uint8_t dereg(Host *h, uint32_t key)
{
    EfaDeregMrCmd cmd = CMD(EfaDeregMrCmd, EFA_ADMIN_DEREG_MR, .l_key = key);

    return admin_status(h, &cmd);
}

/* ---- queue pairs ---- */

EfaCreateQpCmd qp_cmd(Host *h, uint16_t pd, uint16_t uar, EfaQpType type,
                      const Cq *scq, const Cq *rcq, uint32_t sq_depth,
                      uint32_t rq_descs)
{
    uint32_t rq_size = rq_descs * EFA_IO_RX_DESC_SIZE;

    return CMD(EfaCreateQpCmd, EFA_ADMIN_CREATE_QP, .pd = pd, .qp_type = type,
               .rq_base_addr = rq_size ? host_alloc(h, rq_size, HOST_PAGE) : 0,
               .send_cq_idx = scq->idx, .recv_cq_idx = rcq->idx,
               .send_queue_ring_size = sq_depth * EFA_IO_WQE_SIZE,
               .send_queue_depth = sq_depth,
               .recv_queue_ring_size = rq_size,
               .recv_queue_depth = rq_descs / h->cfg.max_recv_sges,
               .uar = uar);
}

Qp *create_qp_cmd_ok(Host *h, EfaCreateQpCmd *cmd, Cq *scq, Cq *rcq)
{
    Qp *qp = host_keep(h, g_new0(Qp, 1));
    EfaCreateQpResp resp;

    admin_ok(h, cmd, &resp, sizeof(resp));
    *qp = (Qp) {
        .h = h, .handle = resp.qp_handle, .num = resp.qp_num, .pd = cmd->pd,
        .uar = cmd->uar, .type = cmd->qp_type, .sq_db = resp.sq_db_offset,
        .rq_db = resp.rq_db_offset, .llq = resp.llq_descriptors_offset,
        .send_sub = resp.send_sub_cq_idx, .recv_sub = resp.recv_sub_cq_idx,
        .rq_ring = cmd->rq_base_addr, .sq_depth = cmd->send_queue_depth,
        .wqe_size = cmd->send_queue_depth
                    ? cmd->send_queue_ring_size / cmd->send_queue_depth
                    : EFA_IO_WQE_SIZE,
        .rq_descs = cmd->recv_queue_ring_size / EFA_IO_RX_DESC_SIZE,
        .scq = scq, .rcq = rcq,
    };
    g_assert_cmpuint(qp->sq_db / EFA_DB_PAGE_SIZE, ==, qp->uar);
    g_assert_cmpuint(qp->rq_db / EFA_DB_PAGE_SIZE, ==, qp->uar);
    g_assert_cmpuint(qp->llq % qp->wqe_size, ==, 0);
    g_assert_cmpuint(qp->llq + (uint64_t)cmd->send_queue_ring_size, <=,
                     efa_config_llq_bar_size(&h->cfg));
    return qp;
}

Qp *create_qp_ok(Host *h, uint16_t pd, uint16_t uar, EfaQpType type, Cq *scq,
                 Cq *rcq, uint32_t sq_depth, uint32_t rq_descs)
{
    EfaCreateQpCmd cmd = qp_cmd(h, pd, uar, type, scq, rcq, sq_depth,
                                rq_descs);

    return create_qp_cmd_ok(h, &cmd, scq, rcq);
}

uint8_t qp_modify(Qp *qp, uint32_t mask, EfaQpState state, uint32_t qkey,
                  uint8_t rnr_retry)
{
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
                             .modify_mask = mask, .qp_handle = qp->handle,
                             .qp_state = state, .qkey = qkey,
                             .rnr_retry = rnr_retry);
    uint8_t status;

    if (mask & R_MODIFY_QP_MASK_CUR_QP_STATE_MASK) {
        cmd.cur_qp_state = qp_query(qp).qp_state;
    }
    status = admin_status(qp->h, &cmd);
    if (status == EFA_ADMIN_SUCCESS && state == EFA_QP_STATE_RESET &&
        (mask & R_MODIFY_QP_MASK_QP_STATE_MASK)) {
        qp->sq_pc = 0;
        qp->rq_pc = 0;
    }
    return status;
}

uint8_t qp_to(Qp *qp, EfaQpState state)
{
    uint32_t mask = R_MODIFY_QP_MASK_QP_STATE_MASK |
                    R_MODIFY_QP_MASK_CUR_QP_STATE_MASK;

    if (state == EFA_QP_STATE_INIT) {
        mask |= R_MODIFY_QP_MASK_QKEY_MASK;
    } else if (state == EFA_QP_STATE_RTS) {
        mask |= R_MODIFY_QP_MASK_SQ_PSN_MASK;
    }
    return qp_modify(qp, mask, state, QKEY, 0);
}

void qp_to_rts(Qp *qp)
{
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_INIT), ==, 0);
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_RTR), ==, 0);
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_RTS), ==, 0);
}

EfaQueryQpResp qp_query(Qp *qp)
{
    EfaQpHandleCmd cmd = CMD(EfaQpHandleCmd, EFA_ADMIN_QUERY_QP,
                             .qp_handle = qp->handle);
    EfaQueryQpResp resp;

    admin_ok(qp->h, &cmd, &resp, sizeof(resp));
    return resp;
}

uint8_t qp_destroy(Qp *qp)
{
    EfaQpHandleCmd cmd = CMD(EfaQpHandleCmd, EFA_ADMIN_DESTROY_QP,
                             .qp_handle = qp->handle);

    return admin_status(qp->h, &cmd);
}

/* ---- work requests ---- */

EfaIoTxWqe wqe_send(uint16_t req_id, uint16_t ah, uint16_t dest_qpn)
{
    return (EfaIoTxWqe) {
        .meta = {
            .req_id = req_id,
            .ctrl1 = R_TX_CTRL1_META_DESC_MASK,
            .ctrl2 = R_TX_CTRL2_FIRST_MASK | R_TX_CTRL2_LAST_MASK |
                     R_TX_CTRL2_COMP_REQ_MASK,
            .dest_qp_num = dest_qpn,
            .ah = ah,
            .qkey = QKEY,
        },
    };
}

void wqe_sge(EfaIoTxWqe *wqe, const Buf *buf, uint64_t offset, uint32_t len)
{
    uint64_t addr = buf->iova + offset;

    wqe->sgl[wqe->meta.length++] = (EfaIoTxBufDesc) {
        .length = len, .lkey = buf->key, .buf_addr_lo = addr,
        .buf_addr_hi = addr >> 32,
    };
}

void wqe_inline(EfaIoTxWqe *wqe, const void *data, uint16_t len)
{
    wqe->meta.ctrl1 |= R_TX_CTRL1_INLINE_MSG_MASK;
    wqe->meta.length = len;
    memcpy(wqe->meta.ctrl1 & R_TX_CTRL1_OP_TYPE_MASK ? wqe->rdma.inline_data
                                                     : wqe->inline_data,
           data, MIN(len, EFA_IO_TX_INLINE_MAX_WIDE));
}

void wqe_imm(EfaIoTxWqe *wqe, uint32_t imm)
{
    wqe->meta.ctrl1 |= R_TX_CTRL1_HAS_IMM_MASK;
    wqe->meta.immediate_data = imm;
}

EfaIoTxWqe wqe_rdma(uint8_t op, uint16_t req_id, uint16_t ah,
                    uint16_t dest_qpn, const Buf *local, const Buf *remote,
                    uint32_t len)
{
    EfaIoTxWqe wqe = wqe_send(req_id, ah, dest_qpn);

    wqe.meta.ctrl1 |= op;
    wqe.meta.length = 1;
    wqe.rdma.remote = (EfaIoRemoteMem) {
        .length = len, .rkey = remote->key, .buf_addr_lo = remote->iova,
        .buf_addr_hi = remote->iova >> 32,
    };
    wqe.rdma.local = (EfaIoTxBufDesc) {
        .length = len, .lkey = local->key, .buf_addr_lo = local->iova,
        .buf_addr_hi = local->iova >> 32,
    };
    return wqe;
}

void sq_put(Qp *qp, const EfaIoTxWqe *wqe)
{
    EfaIoTxMeta *slot = (EfaIoTxMeta *)(qp->h->llq + qp->llq +
                                        qp->sq_pc % qp->sq_depth *
                                        qp->wqe_size);

    memcpy(slot, wqe, qp->wqe_size);
    slot->ctrl2 |= qp->sq_pc / qp->sq_depth & 1;
    qp->sq_pc++;
}

void sq_ring(Qp *qp)
{
    db_write(qp->h, qp->sq_db, qp->sq_pc);
}

void sq_post(Qp *qp, const EfaIoTxWqe *wqe)
{
    sq_put(qp, wqe);
    sq_ring(qp);
}

void rq_put(Qp *qp, uint16_t req_id, const Buf *buf, uint64_t offset,
            uint16_t len, bool first, bool last)
{
    EfaIoRxDesc *slot = (EfaIoRxDesc *)host_ptr(qp->h, qp->rq_ring) +
                        qp->rq_pc % qp->rq_descs;
    uint64_t addr = buf->iova + offset;

    *slot = (EfaIoRxDesc) {
        .buf_addr_lo = addr, .buf_addr_hi = addr >> 32, .req_id = req_id,
        .length = len,
        .lkey_ctrl = buf->key | (uint32_t)first << 30 | (uint32_t)last << 31,
    };
    qp->rq_pc++;
}

void rq_ring(Qp *qp)
{
    db_write(qp->h, qp->rq_db, qp->rq_pc);
}

void rq_post(Qp *qp, uint16_t req_id, const Buf *buf, uint64_t offset,
             uint16_t len)
{
    rq_put(qp, req_id, buf, offset, len, true, true);
    rq_ring(qp);
}

End *end_new(Host *h, EfaQpType type)
{
    End *e = host_keep(h, g_new0(End, 1));
    CqOpts opts = { .sgid = true };

    e->h = h;
    e->pd = alloc_pd_ok(h);
    e->uar = alloc_uar_ok(h);
    e->scq = create_cq_ok(h, e->uar, &opts);
    e->rcq = create_cq_ok(h, e->uar, &opts);
    e->qp = create_qp_ok(h, e->pd, e->uar, type, e->scq, e->rcq, 64, 64);
    e->tx = reg_buf(h, e->pd, 65536, 0);
    e->rx = reg_buf(h, e->pd, 65536, PERM_LOCAL_WRITE);
    qp_to_rts(e->qp);
    return e;
}
