/*
 * EFA device model: event counters
 *
 * Control path specification, section 5.19: 64-bit counters in the guest's
 * memory that the device advances as events of QPs happen. They go beside
 * completions, never in place of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/* Counters of one QP: more than there are kinds of events, and bounded. */
#define EFA_QP_MAX_COUNTERS     32

struct EfaCounterUse {
    EfaCounter *counter;
    uint32_t events;            /* QP_EVENTS */
};

static bool efa_counter_set(EfaCore *core, EfaCounter *counter,
                            uint64_t value)
{
    uint64_t le = cpu_to_le64(value);

    counter->value = value;
    return efa_dma_write(core, counter->paddr, &le, sizeof(le));
}

static EfaAdminStatus efa_counter_fault(EfaAdminCmd *cmd, uint64_t paddr)
{
    return efa_admin_fail(cmd, EFA_ADMIN_UNKNOWN_ERROR, EFA_EXT_DMA_FAULT,
                          "counter at 0x%" PRIx64, paddr);
}

/* The greatest value is followed by 0. */
static uint64_t efa_counter_sum(const EfaCore *core, uint64_t a, uint64_t b)
{
    uint64_t max = core->cfg.event_counter_max;

    b = max == UINT64_MAX ? b : b % (max + 1);
    return b <= max - a ? a + b : a - (max - b) - 1;
}

void efa_counter_event(EfaCore *core, EfaQp *qp, uint32_t event)
{
    unsigned i;

    for (i = 0; i < qp->num_counters; i++) {
        EfaCounter *counter = qp->counters[i].counter;

        if (qp->counters[i].events & event) {
            efa_counter_set(core, counter,
                            efa_counter_sum(core, counter->value, 1));
        }
    }
}

bool efa_counter_wants(const EfaQp *qp, uint32_t event)
{
    unsigned i;

    for (i = 0; i < qp->num_counters; i++) {
        if (qp->counters[i].events & event) {
            return true;
        }
    }
    return false;
}

static EfaCounterUse *efa_counter_use(EfaQp *qp, const EfaCounter *counter)
{
    unsigned i;

    for (i = 0; i < qp->num_counters; i++) {
        if (qp->counters[i].counter == counter) {
            return &qp->counters[i];
        }
    }
    return NULL;
}

static void efa_counter_drop_use(EfaQp *qp, EfaCounterUse *use)
{
    use->counter->refs--;
    *use = qp->counters[--qp->num_counters];
}

void efa_counters_detach(EfaQp *qp)
{
    while (qp->num_counters) {
        efa_counter_drop_use(qp, qp->counters);
    }
    g_free(qp->counters);
}

void efa_counter_free(EfaCore *core, EfaCounter *counter)
{
    uint32_t i;

    for (i = 0; counter->refs && i < core->qps.size; i++) {
        EfaQp *qp = efa_table_get(&core->qps, i);
        EfaCounterUse *use = qp ? efa_counter_use(qp, counter) : NULL;

        if (use) {
            efa_counter_drop_use(qp, use);
        }
    }
    counter->uar->refs--;
    efa_table_remove(&core->counters, counter->index);
    g_free(counter);
}

/* ---- commands ---- */

EfaAdminStatus efa_cmd_create_event_counter(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaCreateEventCounterCmd *req =
        (const EfaCreateEventCounterCmd *)&cmd->req;
    EfaUar *uar = efa_table_get(&core->uars, le16_to_cpu(req->uar));
    uint64_t paddr = le64_to_cpu(req->paddr);
    EfaEventCounterResp resp = { };
    EfaCounter *counter;

    if (req->reserved) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!uar) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "UAR %u",
                              le16_to_cpu(req->uar));
    }
    if (!paddr || paddr % sizeof(uint64_t) ||
        !efa_dma_range_ok(paddr, sizeof(uint64_t))) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_MISALIGNED, "counter at 0x%" PRIx64,
                              paddr);
    }
    counter = g_new0(EfaCounter, 1);
    counter->index = efa_table_add(&core->counters, counter);
    if (counter->index == EFA_NO_INDEX) {
        g_free(counter);
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all %u are in use",
                              core->counters.size);
    }
    counter->uar = uar;
    counter->uar->refs++;
    counter->paddr = paddr;
    if (!efa_counter_set(core, counter, 0)) {
        efa_counter_free(core, counter);
        return efa_counter_fault(cmd, paddr);
    }
    resp.cntr_handle = cpu_to_le32(counter->index);
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_object("event counter", "create", counter->index);
    return EFA_ADMIN_SUCCESS;
}

static EfaCounter *efa_counter_by_handle(EfaCore *core, EfaAdminCmd *cmd,
                                         uint32_t handle,
                                         EfaAdminStatus *status)
{
    EfaCounter *counter = efa_table_get(&core->counters, handle);

    if (!counter) {
        *status = efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                 EFA_EXT_UNKNOWN_ID, "event counter %u",
                                 handle);
    }
    return counter;
}

/* QPs that it counts for go on without: the driver frees the memory. */
EfaAdminStatus efa_cmd_destroy_event_counter(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaEventCounterCmd *req = (const EfaEventCounterCmd *)&cmd->req;
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    EfaCounter *counter =
        efa_counter_by_handle(core, cmd, le32_to_cpu(req->cntr_handle),
                              &status);

    if (counter) {
        trace_efa_object("event counter", "destroy", counter->index);
        efa_counter_free(core, counter);
    }
    return status;
}

EfaAdminStatus efa_cmd_modify_event_counter(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaModifyEventCounterCmd *req =
        (const EfaModifyEventCounterCmd *)&cmd->req;
    uint64_t value = le64_to_cpu(req->value);
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    EfaCounter *counter =
        efa_counter_by_handle(core, cmd, le32_to_cpu(req->cntr_handle),
                              &status);
    unsigned i;

    if (!counter) {
        return status;
    }
    for (i = 0; i < sizeof(req->reserved); i++) {
        if (req->reserved[i]) {
            return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                  EFA_EXT_RESERVED_SET, "reserved field set");
        }
    }
    switch (req->operation) {
    case EFA_COUNTER_SET:
        break;
    case EFA_COUNTER_ADD:
        value = efa_counter_sum(core, counter->value, value);
        break;
    default:
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "operation %u",
                              req->operation);
    }
    if (value > core->cfg.event_counter_max) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "value %" PRIu64
                              ", the greatest is %" PRIu64, value,
                              core->cfg.event_counter_max);
    }
    return efa_counter_set(core, counter, value)
           ? EFA_ADMIN_SUCCESS : efa_counter_fault(cmd, counter->paddr);
}

/* What ATTACH and DETACH name: a counter and a QP of one UAR, events. */
static EfaAdminStatus efa_attach_check(EfaCore *core, EfaAdminCmd *cmd,
                                       const EfaAttachEventCounterCmd *req,
                                       EfaCounter **counter, EfaQp **qp)
{
    uint32_t events = le32_to_cpu(req->events);
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;

    if (req->reserved[0] || req->reserved[1] || req->reserved[2]) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    *counter = efa_counter_by_handle(core, cmd, le32_to_cpu(req->cntr_handle),
                                     &status);
    if (!*counter) {
        return status;
    }
    *qp = efa_qp_by_handle(core, le32_to_cpu(req->qp_handle));
    if (req->attach_type != EFA_COUNTER_ATTACH_QP || !events ||
        (events & ~EFA_QP_EVENTS_ALL)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "type %u, events 0x%x",
                              req->attach_type, events);
    }
    if (!*qp || (*qp)->uar != (*counter)->uar) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              *qp ? EFA_EXT_WRONG_OWNER : EFA_EXT_UNKNOWN_ID,
                              "QP handle %u", le32_to_cpu(req->qp_handle));
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_attach_event_counter(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaAttachEventCounterCmd *req =
        (const EfaAttachEventCounterCmd *)&cmd->req;
    uint32_t events = le32_to_cpu(req->events);
    EfaCounterUse *use;
    EfaCounter *counter;
    EfaQp *qp;
    EfaAdminStatus status = efa_attach_check(core, cmd, req, &counter, &qp);

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    use = efa_counter_use(qp, counter);
    if (!use) {
        if (qp->num_counters == EFA_QP_MAX_COUNTERS) {
            return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                                  EFA_EXT_NONE, "QP 0x%x has %u counters",
                                  qp->num, qp->num_counters);
        }
        qp->counters = g_renew(EfaCounterUse, qp->counters,
                               qp->num_counters + 1);
        use = &qp->counters[qp->num_counters++];
        *use = (EfaCounterUse) { .counter = counter };
        counter->refs++;
    }
    use->events |= events;
    trace_efa_counter_attach(counter->index, qp->num, use->events);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_detach_event_counter(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaAttachEventCounterCmd *req =
        (const EfaAttachEventCounterCmd *)&cmd->req;
    uint32_t events = le32_to_cpu(req->events);
    EfaCounterUse *use;
    EfaCounter *counter;
    EfaQp *qp;
    EfaAdminStatus status = efa_attach_check(core, cmd, req, &counter, &qp);

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    use = efa_counter_use(qp, counter);
    if (!use || (events & ~use->events)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "counter %u does not count "
                              "events 0x%x of QP 0x%x", counter->index, events,
                              qp->num);
    }
    use->events &= ~events;
    trace_efa_counter_attach(counter->index, qp->num, use->events);
    if (!use->events) {
        efa_counter_drop_use(qp, use);
    }
    return EFA_ADMIN_SUCCESS;
}
