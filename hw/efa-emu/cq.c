/*
 * EFA device model: completion queues and their notification
 *
 * Control path specification, sections 5.9, 5.10 and 8; data path
 * specification, sections 4 and 5.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

static void efa_cq_event(EfaCore *core, EfaCq *cq)
{
    cq->armed = false;
    cq->fired = true;
    cq->fired_sn = cq->arm_sn;
    cq->fired_at = cq->produced;
    if (cq->eq) {
        efa_eq_post(core, cq->eq, cq);
    }
}

/*
 * The phase goes with the first dword, stored last: everything the completion
 * vouches for is visible before it. The consumer index is a hint that may lag
 * for ever, so there is no flow control; an undersized ring is overwritten.
 */
void efa_cq_post(EfaCore *core, EfaCq *cq, uint16_t sub_cq,
                 EfaIoCdesc *cdesc)
{
    uint32_t prod = cq->prod[sub_cq];
    uint32_t slot = prod & (cq->depth - 1);
    uint64_t addr = cq->base +
        ((uint64_t)sub_cq * cq->depth + slot) * cq->entry_size;

    if (cq->dead) {
        return;
    }
    cdesc->flags = FIELD_DP8(cdesc->flags, CDESC_FLAGS, PHASE,
                             !((prod / cq->depth) & 1));
    cq->prod[sub_cq] = prod + 1;
    cq->produced++;
    trace_efa_cqe(cq->index, sub_cq, slot, le16_to_cpu(cdesc->qp_num),
                  le16_to_cpu(cdesc->req_id), cdesc->status, cdesc->flags);
    if (!efa_dma_publish(core, addr, cdesc, cq->entry_size, 0)) {
        return;
    }
    if (cq->armed) {
        efa_cq_event(core, cq);
    }
}

/*
 * 8.5: an arm whose number is that of the last arm that fired is stale; the
 * consumer has not seen that event yet. Otherwise completions that it neither
 * consumed nor was told of fire at once. One that was told by the last event
 * does not fire again: perftest takes the event, arms, polls, and posts again
 * for each event it gets.
 */
void efa_cq_doorbell(EfaCore *core, EfaCq *cq, uint32_t value)
{
    uint16_t consumer = FIELD_EX32(value, CQ_DB, CONSUMER_INDEX);
    uint16_t behind = cq->produced - consumer;
    uint8_t sn = FIELD_EX32(value, CQ_DB, CMD_SN);

    trace_efa_cq_doorbell(cq->index, consumer, cq->produced, sn,
                          FIELD_EX32(value, CQ_DB, ARM));
    /* a consumer that is ahead of us is taken to be level (data path, 13.1) */
    if (behind > 0x8000) {
        core->stats.bad_doorbells++;
        behind = 0;
    }
    if (!FIELD_EX32(value, CQ_DB, ARM) || !cq->db_valid) {
        return;
    }
    if (cq->fired && cq->fired_sn == sn) {
        return;
    }
    cq->arm_sn = sn;
    if (behind && !(cq->fired && cq->fired_at == cq->produced)) {
        efa_cq_event(core, cq);
    } else {
        cq->armed = true;
    }
}

void efa_cq_get(EfaCq *cq)
{
    cq->refs++;
}

void efa_cq_free(EfaCore *core, EfaCq *cq)
{
    cq->uar->refs--;
    efa_table_remove(&core->cqs, cq->index);
    g_free(cq->prod);
    g_free(cq);
}

void efa_cq_put(EfaCore *core, EfaCq *cq)
{
    if (--cq->refs == 0 && cq->dead) {
        efa_cq_free(core, cq);
    }
}

static EfaAdminStatus efa_create_cq_check(EfaCore *core, EfaAdminCmd *cmd,
                                          const EfaCreateCqCmd *req,
                                          uint64_t base)
{
    uint8_t words = FIELD_EX8(req->cq_caps_2, CQ_CAPS_2, CQ_ENTRY_SIZE_WORDS);
    bool src_addr = FIELD_EX8(req->cq_caps_2, CQ_CAPS_2, SET_SRC_ADDR);
    bool intr = FIELD_EX8(req->cq_caps_1, CQ_CAPS_1, INTERRUPT_MODE_ENABLED);
    uint16_t depth = le16_to_cpu(req->sub_cq_depth);
    uint16_t subs = le16_to_cpu(req->num_sub_cqs);
    const EfaEq *eq = efa_table_get(&core->eqs, le16_to_cpu(req->eqn));
    /* memory that the driver did not allocate begins anywhere (5.9) */
    uint32_t align = efa_can(core, EFA_CAP_EXT_MEM_CQ) ? words * 4 : 4096;

    if (req->reserved || FIELD_EX8(req->cq_caps_1, CQ_CAPS_1, RESERVED_LO) ||
        FIELD_EX8(req->cq_caps_1, CQ_CAPS_1, RESERVED_HI) ||
        FIELD_EX8(req->cq_caps_2, CQ_CAPS_2, RESERVED)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (FIELD_EX8(req->cq_caps_2, CQ_CAPS_2, SQ_COMP_64_BIT_REQ_ID) &&
        !efa_can(core, EFA_CAP_SQ_64_BIT_REQ_ID)) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "request ids of 64 bits");
    }
    if (FIELD_EX8(req->cq_caps_1, CQ_CAPS_1, VIRT)) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "virtual ring address");
    }
    if (!efa_table_get(&core->uars, le16_to_cpu(req->uar))) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "UAR %u",
                              le16_to_cpu(req->uar));
    }
    if ((words != 4 && words != 8) || (src_addr && words != 8)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "entries of %u words, source address %u", words,
                              src_addr);
    }
    if (!is_power_of_2(depth) || depth > core->cfg.max_cq_depth ||
        subs != core->cfg.sub_cqs_per_cq) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "%u sub-CQs of %u entries", subs, depth);
    }
    if (intr && !(eq && eq->completions)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              eq ? EFA_EXT_NOT_ENABLED : EFA_EXT_UNKNOWN_ID,
                              "EQ %u for completion events",
                              le16_to_cpu(req->eqn));
    }
    if (!base || base % align ||
        !efa_dma_range_ok(base, (uint64_t)depth * subs * words * 4)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_MISALIGNED, "ring at 0x%" PRIx64, base);
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_create_cq(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaCreateCqCmd *req = (const EfaCreateCqCmd *)&cmd->req;
    uint64_t base = efa_addr64(req->cq_ba_mem_addr_low,
                               req->cq_ba_mem_addr_high);
    EfaAdminStatus status = efa_create_cq_check(core, cmd, req, base);
    EfaCreateCqResp resp = { };
    EfaCq *cq;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    cq = g_new0(EfaCq, 1);
    cq->index = efa_table_add(&core->cqs, cq);
    if (cq->index == EFA_NO_INDEX) {
        g_free(cq);
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all %u are in use",
                              core->cqs.size);
    }
    cq->base = base;
    cq->depth = le16_to_cpu(req->sub_cq_depth);
    cq->entry_size = 4 * FIELD_EX8(req->cq_caps_2, CQ_CAPS_2,
                                   CQ_ENTRY_SIZE_WORDS);
    cq->num_sub_cqs = le16_to_cpu(req->num_sub_cqs);
    cq->set_src_addr = FIELD_EX8(req->cq_caps_2, CQ_CAPS_2, SET_SRC_ADDR);
    cq->req_id_64 = FIELD_EX8(req->cq_caps_2, CQ_CAPS_2,
                              SQ_COMP_64_BIT_REQ_ID);
    cq->prod = g_new0(uint32_t, cq->num_sub_cqs);
    cq->uar = efa_table_get(&core->uars, le16_to_cpu(req->uar));
    cq->uar->refs++;
    if (FIELD_EX8(req->cq_caps_1, CQ_CAPS_1, INTERRUPT_MODE_ENABLED)) {
        cq->eq = efa_table_get(&core->eqs, le16_to_cpu(req->eqn));
        /* Polled CQs get no doorbell: each poll would trap for nothing. */
        cq->db_valid = true;
    }

    resp.cq_idx = cpu_to_le16(cq->index);
    resp.sub_cq_actual_depth = req->sub_cq_depth;
    resp.db_offset = cpu_to_le32(cq->uar->index * EFA_DB_PAGE_SIZE +
                                 EFA_DB_PAGE_SIZE / 2 + cq->index * 4);
    resp.flags = cpu_to_le32(FIELD_DP32(0, CREATE_CQ_RESP_FLAGS, DB_VALID,
                                        cq->db_valid));
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_cq_create(cq->index, cq->depth, cq->entry_size, cq->num_sub_cqs,
                        cq->db_valid);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_destroy_cq(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaIdCmd *req = (const EfaIdCmd *)&cmd->req;
    uint16_t idx = le16_to_cpu(req->id);
    EfaCq *cq = efa_table_get(&core->cqs, idx);

    if (req->reserved) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!cq || cq->dead) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "CQ %u", idx);
    }
    trace_efa_object("CQ", "destroy", idx);
    if (cq->refs) {
        /* The driver frees the ring whatever we answer (5.10). */
        cq->dead = true;
        cq->armed = false;
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_BUSY, EFA_EXT_BUSY,
                              "CQ %u serves %u queues", idx, cq->refs);
    }
    efa_cq_free(core, cq);
    return EFA_ADMIN_SUCCESS;
}
