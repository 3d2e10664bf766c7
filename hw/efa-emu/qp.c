/*
 * EFA device model: queue pairs and their states
 *
 * Control path specification, sections 5.1 to 5.4 and 10.4.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define TO(_state)      (1u << EFA_QP_STATE_##_state)

/* Legal next states, by state; the driver checks the same table. */
static const uint8_t efa_qp_next[EFA_QP_STATE_MAX] = {
    [EFA_QP_STATE_RESET] = TO(RESET) | TO(INIT),
    [EFA_QP_STATE_INIT]  = TO(RESET) | TO(INIT) | TO(RTR) | TO(ERR),
    [EFA_QP_STATE_RTR]   = TO(RESET) | TO(RTS) | TO(ERR),
    [EFA_QP_STATE_RTS]   = TO(RESET) | TO(RTS) | TO(SQD) | TO(ERR),
    [EFA_QP_STATE_SQD]   = TO(RESET) | TO(RTS) | TO(SQD) | TO(ERR),
    [EFA_QP_STATE_SQE]   = TO(RESET) | TO(RTS) | TO(ERR),
    [EFA_QP_STATE_ERR]   = TO(RESET) | TO(ERR),
};

static const char *const efa_qp_state_names[EFA_QP_STATE_MAX] = {
    "RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR",
};

/* QP number: generation above the bits that index the provider's table. */
static unsigned efa_qpn_bits(const EfaCore *core)
{
    unsigned bits = 0;

    while ((1u << bits) < core->cfg.max_qp) {
        bits++;
    }
    return bits;
}

EfaQp *efa_qp_by_num(EfaCore *core, uint16_t num)
{
    EfaQp *qp = efa_table_get(&core->qps,
                              num & ((1u << efa_qpn_bits(core)) - 1));

    return qp && qp->num == num ? qp : NULL;
}

EfaQp *efa_qp_by_handle(EfaCore *core, uint32_t handle)
{
    return handle <= UINT16_MAX ? efa_qp_by_num(core, handle) : NULL;
}

static void efa_qp_set_state(EfaCore *core, EfaQp *qp, EfaQpState state)
{
    trace_efa_qp_state(qp->num, efa_qp_state_names[qp->state],
                       efa_qp_state_names[state]);
    qp->state = state;
    switch (state) {
    case EFA_QP_STATE_RESET:
        efa_sq_flush(core, qp, false);
        qp->sq_db = 0;
        qp->rq_db = 0;
        qp->rq_head = 0;
        break;
    case EFA_QP_STATE_ERR:
        efa_sq_flush(core, qp, true);
        efa_rq_flush(core, qp);
        break;
    case EFA_QP_STATE_RTS:
        efa_sq_mark_ready(core, qp);
        break;
    default:
        break;
    }
}

void efa_qp_fatal(EfaCore *core, EfaQp *qp, const char *why)
{
    efa_guest_error("QP 0x%x goes to ERR: %s", qp->num, why);
    trace_efa_qp_fatal(qp->num, why);
    efa_qp_set_state(core, qp, EFA_QP_STATE_ERR);
}

void efa_qp_free(EfaCore *core, EfaQp *qp)
{
    efa_sq_flush(core, qp, false);
    if (qp->ready) {
        g_queue_unlink(&core->ready, &qp->ready_link);
    }
    efa_counters_detach(qp);
    qp->pd->refs--;
    qp->uar->refs--;
    efa_cq_put(core, qp->send_cq);
    efa_cq_put(core, qp->recv_cq);
    efa_table_remove(&core->qps, qp->index);
    g_free(qp->msgs);
    g_free(qp);
}

/* 13.2: the rings; driver and provider pass them from the user unchecked. */
static const char *efa_qp_rings_check(const EfaCore *core,
                                      const EfaCreateQpCmd *req)
{
    const EfaConfig *cfg = &core->cfg;
    uint32_t sq_size = le32_to_cpu(req->send_queue_ring_size);
    uint32_t sq_depth = le32_to_cpu(req->send_queue_depth);
    uint32_t rq_size = le32_to_cpu(req->recv_queue_ring_size);
    uint32_t rq_depth = le32_to_cpu(req->recv_queue_depth);
    uint64_t rq_base = le64_to_cpu(req->rq_base_addr);
    uint32_t wqe_size = sq_depth ? sq_size / sq_depth : EFA_IO_WQE_SIZE;
    bool fits = wqe_size == EFA_IO_WQE_SIZE ||
                (wqe_size == EFA_IO_WQE_SIZE_WIDE &&
                 efa_can(core, EFA_CAP_WIDE_WQE));

    if (sq_depth > cfg->max_sq_depth || rq_depth > cfg->max_rq_depth) {
        return "queue depth beyond the limit";
    }
    if (sq_depth && (!fits || sq_size != sq_depth * wqe_size ||
                     sq_size > cfg->max_llq_size || !is_power_of_2(sq_size))) {
        return "send ring size does not fit its depth";
    }
    if (!sq_depth && sq_size > EFA_IO_WQE_SIZE_WIDE) {
        return "send ring without depth";
    }
    if (rq_depth && !rq_size) {
        return "receive depth without ring";
    }
    if (rq_size) {
        if (rq_size % EFA_IO_RX_DESC_SIZE || !is_power_of_2(rq_size) ||
            rq_size / EFA_IO_RX_DESC_SIZE < rq_depth ||
            rq_size / EFA_IO_RX_DESC_SIZE > cfg->max_rq_depth) {
            return "receive ring size does not fit its depth";
        }
        if (!rq_base || rq_base % 4096 || !efa_dma_range_ok(rq_base, rq_size)) {
            return "receive ring address";
        }
    }
    return NULL;
}

static EfaCq *efa_qp_cq(EfaCore *core, uint32_t idx, uint16_t uar)
{
    EfaCq *cq = efa_table_get(&core->cqs, idx);

    return cq && !cq->dead && cq->uar->index == uar ? cq : NULL;
}

/* What the device can, but this one is not to. */
static const char *efa_create_qp_option(const EfaCore *core,
                                        const EfaCreateQpCmd *req)
{
    if (FIELD_EX8(req->flags, CREATE_QP_FLAGS, SQ_VIRT) ||
        FIELD_EX8(req->flags, CREATE_QP_FLAGS, RQ_VIRT)) {
        return "virtual ring address";
    }
    if (FIELD_EX8(req->flags, CREATE_QP_FLAGS, UNSOLICITED_WRITE_RECV) &&
        !efa_can(core, EFA_CAP_UNSOLICITED_WRITE_RECV)) {
        return "unsolicited write receive";
    }
    if (FIELD_EX8(req->flags, CREATE_QP_FLAGS, SQ_64_BIT_REQ_ID) &&
        !efa_can(core, EFA_CAP_SQ_64_BIT_REQ_ID)) {
        return "request ids of 64 bits";
    }
    if (req->sl && !efa_can(core, EFA_CAP_SERVICE_LEVELS)) {
        return "service level";
    }
    return NULL;
}

static EfaAdminStatus efa_create_qp_check(EfaCore *core, EfaAdminCmd *cmd,
                                          const EfaCreateQpCmd *req)
{
    uint16_t uar = le16_to_cpu(req->uar);
    const char *option = efa_create_qp_option(core, req);
    const char *bad_ring;
    const EfaCq *send_cq;

    if (req->reserved || req->reserved2 ||
        FIELD_EX8(req->flags, CREATE_QP_FLAGS, RESERVED)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (option) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "%s", option);
    }
    if (!efa_table_get(&core->pds, le16_to_cpu(req->pd)) ||
        !efa_table_get(&core->uars, uar)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "PD %u, UAR %u",
                              le16_to_cpu(req->pd), uar);
    }
    send_cq = efa_qp_cq(core, le32_to_cpu(req->send_cq_idx), uar);
    if (!send_cq ||
        !efa_qp_cq(core, le32_to_cpu(req->recv_cq_idx), uar)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_WRONG_OWNER, "CQs %u and %u of UAR %u",
                              le32_to_cpu(req->send_cq_idx),
                              le32_to_cpu(req->recv_cq_idx), uar);
    }
    if (FIELD_EX8(req->flags, CREATE_QP_FLAGS, SQ_64_BIT_REQ_ID) &&
        !send_cq->req_id_64) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_NOT_ENABLED, "CQ %u has request ids of "
                              "16 bits", send_cq->index);
    }
    if (req->sl > core->cfg.max_sl) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "service level %u, the "
                              "highest is %u", req->sl, core->cfg.max_sl);
    }
    if (req->qp_type != EFA_QP_TYPE_UD && req->qp_type != EFA_QP_TYPE_SRD) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "type %u", req->qp_type);
    }
    bad_ring = efa_qp_rings_check(core, req);
    if (bad_ring) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "%s: SQ %u WQEs in %u bytes, RQ %u WQEs in %u "
                              "bytes at 0x%" PRIx64, bad_ring,
                              le32_to_cpu(req->send_queue_depth),
                              le32_to_cpu(req->send_queue_ring_size),
                              le32_to_cpu(req->recv_queue_depth),
                              le32_to_cpu(req->recv_queue_ring_size),
                              le64_to_cpu(req->rq_base_addr));
    }
    return EFA_ADMIN_SUCCESS;
}

typedef struct EfaLlqChoice {
    const EfaCore *core;
    uint32_t owner;
} EfaLlqChoice;

static bool efa_llq_owned(void *opaque, uint32_t index)
{
    const EfaLlqChoice *choice = opaque;

    return choice->core->llq_owner[index] == choice->owner;
}

/*
 * A window of the LLQ BAR may stay mapped in a process after its QP has gone,
 * so it keeps its UAR until DEALLOC_UAR: take one we own, else a free one.
 */
static uint32_t efa_qp_take_index(EfaCore *core, EfaQp *qp, uint16_t uar)
{
    EfaLlqChoice choice = { .core = core, .owner = uar + 1 };
    uint32_t index = efa_table_add_where(&core->qps, qp, efa_llq_owned,
                                         &choice);

    if (index == EFA_NO_INDEX) {
        choice.owner = 0;
        index = efa_table_add_where(&core->qps, qp, efa_llq_owned, &choice);
    }
    if (index != EFA_NO_INDEX) {
        core->llq_owner[index] = uar + 1;
    }
    return index;
}

static void efa_qp_setup(EfaCore *core, EfaQp *qp, const EfaCreateQpCmd *req)
{
    unsigned bits = efa_qpn_bits(core);
    unsigned gens = 1u << (16 - bits);
    uint16_t sub_cq = qp->index % core->cfg.sub_cqs_per_cq;

    /* Generations start at 1: software dislikes QP numbers 0 and 1. */
    qp->num = (1 + core->qps.gen[qp->index] % (gens - 1)) << bits | qp->index;
    qp->type = req->qp_type;
    qp->pd = efa_table_get(&core->pds, le16_to_cpu(req->pd));
    qp->pd->refs++;
    qp->uar = efa_table_get(&core->uars, le16_to_cpu(req->uar));
    qp->uar->refs++;
    qp->send_cq = efa_table_get(&core->cqs, le32_to_cpu(req->send_cq_idx));
    qp->recv_cq = efa_table_get(&core->cqs, le32_to_cpu(req->recv_cq_idx));
    efa_cq_get(qp->send_cq);
    efa_cq_get(qp->recv_cq);
    qp->send_sub_cq = sub_cq;
    qp->recv_sub_cq = sub_cq;
    if (efa_can(core, EFA_CAP_RNR_RETRY)) {
        qp->rnr_retry = EFA_RNR_RETRY_INFINITE;
    }
    qp->sl = req->sl;
    qp->unsolicited = FIELD_EX8(req->flags, CREATE_QP_FLAGS,
                                UNSOLICITED_WRITE_RECV);
    qp->req_id_64 = FIELD_EX8(req->flags, CREATE_QP_FLAGS, SQ_64_BIT_REQ_ID);
    qp->sq_depth = le32_to_cpu(req->send_queue_depth);
    qp->wqe_size = qp->sq_depth
                   ? le32_to_cpu(req->send_queue_ring_size) / qp->sq_depth
                   : EFA_IO_WQE_SIZE;
    qp->llq = core->llq + (size_t)qp->index * core->cfg.max_llq_size;
    qp->msgs = g_new0(EfaTxMsg, qp->sq_depth);
    g_queue_init(&qp->free_msgs);
    g_queue_init(&qp->pending);
    g_queue_init(&qp->started);
    g_queue_init(&qp->fenced);
    qp->ready_link.data = qp;
    qp->rq_base = le64_to_cpu(req->rq_base_addr);
    qp->rq_descs = le32_to_cpu(req->recv_queue_ring_size) /
                   EFA_IO_RX_DESC_SIZE;
    /* what a former owner wrote is nobody's business */
    memset(core->llq + (size_t)qp->index * core->cfg.max_llq_size, 0,
           qp->sq_depth * qp->wqe_size);
}

EfaAdminStatus efa_cmd_create_qp(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaCreateQpCmd *req = (const EfaCreateQpCmd *)&cmd->req;
    EfaAdminStatus status = efa_create_qp_check(core, cmd, req);
    EfaCreateQpResp resp = { };
    uint32_t db;
    EfaQp *qp;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    qp = g_new0(EfaQp, 1);
    qp->index = efa_qp_take_index(core, qp, le16_to_cpu(req->uar));
    if (qp->index == EFA_NO_INDEX) {
        g_free(qp);
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all %u are in use or bound to "
                              "other UARs", core->qps.size);
    }
    efa_qp_setup(core, qp, req);

    db = qp->uar->index * EFA_DB_PAGE_SIZE + qp->index * 8;
    resp.qp_handle = cpu_to_le32(qp->num);
    resp.qp_num = cpu_to_le16(qp->num);
    resp.send_sub_cq_idx = cpu_to_le16(qp->send_sub_cq);
    resp.recv_sub_cq_idx = cpu_to_le16(qp->recv_sub_cq);
    resp.sq_db_offset = cpu_to_le32(db);
    resp.rq_db_offset = cpu_to_le32(db + 4);
    resp.llq_descriptors_offset =
        cpu_to_le32(qp->index * core->cfg.max_llq_size);
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_qp_create(qp->num, qp->type, qp->pd->index, qp->uar->index,
                        qp->sq_depth, qp->rq_descs);
    return EFA_ADMIN_SUCCESS;
}

static EfaQp *efa_qp_of_cmd(EfaCore *core, EfaAdminCmd *cmd, uint32_t handle,
                            EfaAdminStatus *status)
{
    EfaQp *qp = efa_qp_by_handle(core, handle);

    if (!qp) {
        *status = efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                 EFA_EXT_UNKNOWN_ID, "QP handle %u", handle);
    }
    return qp;
}

/* Is the change of state that @req asks for one of the table? */
static EfaAdminStatus efa_modify_state_check(EfaAdminCmd *cmd, const EfaQp *qp,
                                             const EfaModifyQpCmd *req)
{
    uint32_t mask = le32_to_cpu(req->modify_mask);
    uint32_t next = le32_to_cpu(req->qp_state);
    uint32_t cur = le32_to_cpu(req->cur_qp_state);
    bool needs_qkey = qp->state == EFA_QP_STATE_RESET &&
                      next == EFA_QP_STATE_INIT;
    bool needs_psn = qp->state == EFA_QP_STATE_RTR &&
                     next == EFA_QP_STATE_RTS;

    if (next >= EFA_QP_STATE_MAX || !(efa_qp_next[qp->state] & (1u << next))) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_BAD_TRANSITION,
                              "QP 0x%x from %s to state %u", qp->num,
                              efa_qp_state_names[qp->state], next);
    }
    /* The caller may be behind when the device left RTR..SQE by itself. */
    if (FIELD_EX32(mask, MODIFY_QP_MASK, CUR_QP_STATE) && cur != qp->state &&
        (cur < EFA_QP_STATE_RTR || cur > EFA_QP_STATE_SQE)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_BAD_TRANSITION,
                              "QP 0x%x is in %s, not in state %u", qp->num,
                              efa_qp_state_names[qp->state], cur);
    }
    if ((needs_qkey && !FIELD_EX32(mask, MODIFY_QP_MASK, QKEY)) ||
        (needs_psn && !FIELD_EX32(mask, MODIFY_QP_MASK, SQ_PSN))) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_BAD_TRANSITION,
                              "QP 0x%x to state %u without %s", qp->num, next,
                              needs_qkey ? "Q_Key" : "PSN");
    }
    return EFA_ADMIN_SUCCESS;
}

static EfaAdminStatus efa_modify_qp_check(EfaCore *core, EfaAdminCmd *cmd,
                                          const EfaQp *qp,
                                          const EfaModifyQpCmd *req)
{
    uint32_t mask = le32_to_cpu(req->modify_mask);

    if (FIELD_EX32(mask, MODIFY_QP_MASK, RESERVED) || req->reserved2) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "mask 0x%x", mask);
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, RNR_RETRY)) {
        if (!efa_can(core, EFA_CAP_RNR_RETRY)) {
            return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                                  EFA_EXT_NOT_ENABLED, "RNR retry");
        }
        if (req->rnr_retry > EFA_RNR_RETRY_INFINITE ||
            qp->type != EFA_QP_TYPE_SRD) {
            return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                  EFA_EXT_OUT_OF_RANGE,
                                  "RNR retry %u on a QP of type %u",
                                  req->rnr_retry, qp->type);
        }
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, QP_STATE)) {
        return efa_modify_state_check(cmd, qp, req);
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_modify_qp(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaModifyQpCmd *req = (const EfaModifyQpCmd *)&cmd->req;
    uint32_t mask = le32_to_cpu(req->modify_mask);
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    EfaQp *qp = efa_qp_of_cmd(core, cmd, le32_to_cpu(req->qp_handle),
                              &status);

    if (!qp) {
        return status;
    }
    status = efa_modify_qp_check(core, cmd, qp, req);
    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, QKEY)) {
        qp->qkey = le32_to_cpu(req->qkey);
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, SQ_PSN)) {
        qp->sq_psn = le32_to_cpu(req->sq_psn);
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, RNR_RETRY)) {
        qp->rnr_retry = req->rnr_retry;
    }
    if (FIELD_EX32(mask, MODIFY_QP_MASK, QP_STATE)) {
        efa_qp_set_state(core, qp, le32_to_cpu(req->qp_state));
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_query_qp(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaQpHandleCmd *req = (const EfaQpHandleCmd *)&cmd->req;
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    const EfaQp *qp = efa_qp_of_cmd(core, cmd, le32_to_cpu(req->qp_handle),
                                    &status);
    EfaQueryQpResp resp = { };

    if (!qp) {
        return status;
    }
    resp.qp_state = cpu_to_le32(qp->state);
    resp.qkey = cpu_to_le32(qp->qkey);
    resp.sq_psn = cpu_to_le32(qp->sq_psn);
    /* work that was started and is not answered; the rest waits for RTS */
    resp.sq_draining = qp->state == EFA_QP_STATE_SQD &&
                       qp->outstanding > g_queue_get_length(
                           (GQueue *)&qp->pending);
    resp.rnr_retry = qp->rnr_retry;
    memcpy(cmd->resp, &resp, sizeof(resp));
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_destroy_qp(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaQpHandleCmd *req = (const EfaQpHandleCmd *)&cmd->req;
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    EfaQp *qp = efa_qp_of_cmd(core, cmd, le32_to_cpu(req->qp_handle),
                              &status);

    if (!qp) {
        return status;
    }
    trace_efa_object("QP", "destroy", qp->num);
    efa_qp_free(core, qp);
    return EFA_ADMIN_SUCCESS;
}
