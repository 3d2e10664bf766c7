/*
 * EFA device model: event queues
 *
 * Control path specification, sections 5.16, 5.17 and 8.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

static void efa_eq_irq(EfaCore *core, EfaEq *eq)
{
    eq->armed = false;
    eq->pending = false;
    trace_efa_irq(eq->vector);
    core->ops->irq(core->opaque, eq->vector);
}

/*
 * There is no consumer index: the ring cannot overflow because each CQ has
 * one event outstanding at most (8.5) and the ring is no smaller than the
 * number of CQs.
 */
void efa_eq_post(EfaCore *core, EfaEq *eq, const EfaCq *cq)
{
    uint32_t slot = eq->prod & (eq->depth - 1);
    uint32_t phase = !((eq->prod / eq->depth) & 1);
    EfaEqe eqe = {
        .common = cpu_to_le32(FIELD_DP32(0, EQE_COMMON, PHASE, phase)),
        .cqn = cpu_to_le16(cq->index),
    };

    eq->prod++;
    trace_efa_eq_post(eq->index, cq->index, slot, eq->armed);
    if (!efa_dma_publish(core, eq->base + slot * EFA_EQ_ENTRY_SIZE, &eqe,
                         sizeof(eqe), 0)) {
        return;
    }
    if (eq->armed) {
        efa_eq_irq(core, eq);
    } else {
        eq->pending = true;
    }
}

void efa_eq_doorbell(EfaCore *core, uint32_t value)
{
    uint32_t eqn = FIELD_EX32(value, EQ_DB, EQN);
    EfaEq *eq = efa_table_get(&core->eqs, eqn);

    if (!eq) {
        core->stats.bad_doorbells++;
        efa_guest_error("EQ doorbell for EQ %u which does not exist", eqn);
        return;
    }
    if (!FIELD_EX32(value, EQ_DB, ARM)) {
        return;
    }
    /*
     * An entry may have been written after the handler's last look and before
     * this arm: interrupt once more rather than lose it (8.3).
     */
    trace_efa_eq_arm(eqn, eq->pending);
    if (eq->pending) {
        efa_eq_irq(core, eq);
    } else {
        eq->armed = true;
    }
}

static EfaAdminStatus efa_create_eq_check(EfaCore *core, EfaAdminCmd *cmd,
                                          const EfaCreateEqCmd *req,
                                          uint64_t base)
{
    uint16_t depth = le16_to_cpu(req->depth);

    if (req->reserved || FIELD_EX8(req->caps, EQ_CAPS, RESERVED)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!is_power_of_2(depth) || depth > core->cfg.max_eq_depth ||
        FIELD_EX8(req->caps, EQ_CAPS, ENTRY_SIZE_WORDS) !=
        EFA_EQ_ENTRY_SIZE / 4) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "%u entries of %u words", depth,
                              FIELD_EX8(req->caps, EQ_CAPS, ENTRY_SIZE_WORDS));
    }
    if (le32_to_cpu(req->event_bitmask) &
        ~R_EQ_EVENTS_COMPLETION_EVENTS_MASK) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_NOT_ENABLED, "events 0x%x",
                              le32_to_cpu(req->event_bitmask));
    }
    if (req->msix_vec >= core->cfg.num_vectors) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "vector %u of %u",
                              req->msix_vec, core->cfg.num_vectors);
    }
    if (!base || base % EFA_EQ_ENTRY_SIZE ||
        !efa_dma_range_ok(base, (uint64_t)depth * EFA_EQ_ENTRY_SIZE)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_MISALIGNED, "ring at 0x%" PRIx64, base);
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_create_eq(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaCreateEqCmd *req = (const EfaCreateEqCmd *)&cmd->req;
    uint64_t base = efa_addr64(req->ba_mem_addr_low, req->ba_mem_addr_high);
    EfaAdminStatus status = efa_create_eq_check(core, cmd, req, base);
    EfaIdResp resp = { };
    EfaEq *eq;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    if (core->eqs.used >= core->cfg.max_eq) {
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all %u are in use",
                              core->cfg.max_eq);
    }
    eq = g_new0(EfaEq, 1);
    eq->index = efa_table_add(&core->eqs, eq);
    eq->base = base;
    eq->depth = le16_to_cpu(req->depth);
    eq->vector = req->msix_vec;
    eq->completions = FIELD_EX32(le32_to_cpu(req->event_bitmask), EQ_EVENTS,
                                 COMPLETION_EVENTS);
    resp.id = cpu_to_le16(eq->index);
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_object("EQ", "create", eq->index);
    return EFA_ADMIN_SUCCESS;
}

/* CQs that still refer to it just stop producing events (5.17). */
EfaAdminStatus efa_cmd_destroy_eq(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaIdCmd *req = (const EfaIdCmd *)&cmd->req;
    uint16_t eqn = le16_to_cpu(req->id);
    EfaEq *eq = efa_table_get(&core->eqs, eqn);
    uint32_t i;

    if (req->reserved) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!eq) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "EQ %u", eqn);
    }
    for (i = 0; i < core->cqs.size; i++) {
        EfaCq *cq = efa_table_get(&core->cqs, i);

        if (cq && cq->eq == eq) {
            cq->eq = NULL;
        }
    }
    efa_table_remove(&core->eqs, eqn);
    g_free(eq);
    trace_efa_object("EQ", "destroy", eqn);
    return EFA_ADMIN_SUCCESS;
}
