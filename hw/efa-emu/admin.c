/*
 * EFA device model: admin submission and completion queues
 *
 * Control path specification, section 4. Commands run in order, inside the
 * doorbell write; each leads to a completion and an interrupt, whatever it
 * holds, because the driver gives the device up for good otherwise (4.5).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/* A command may bring a control buffer with it. */
#define CMD_CTRL_DATA       1
/* ... and this one as a list of pages. */
#define CMD_CTRL_INDIRECT   2

typedef struct EfaAdminOp {
    const char *name;
    EfaAdminHandler handler;    /* NULL: known, but not offered */
    uint8_t req_size;           /* bytes; the rest of the slot is zero */
    uint8_t flags;
    uint8_t needs;              /* 1 + EfaCap; 0: none */
} EfaAdminOp;

#define NEEDS(_cap)     .needs = 1 + EFA_CAP_##_cap

static const EfaAdminOp efa_admin_ops[] = {
    [EFA_ADMIN_CREATE_QP]   = { "CREATE_QP", efa_cmd_create_qp, 64 },
    [EFA_ADMIN_MODIFY_QP]   = { "MODIFY_QP", efa_cmd_modify_qp, 32 },
    [EFA_ADMIN_QUERY_QP]    = { "QUERY_QP", efa_cmd_query_qp, 8 },
    [EFA_ADMIN_DESTROY_QP]  = { "DESTROY_QP", efa_cmd_destroy_qp, 8 },
    [EFA_ADMIN_CREATE_AH]   = { "CREATE_AH", efa_cmd_create_ah, 24 },
    [EFA_ADMIN_DESTROY_AH]  = { "DESTROY_AH", efa_cmd_destroy_ah, 8 },
    [EFA_ADMIN_REG_MR]      = { "REG_MR", efa_cmd_reg_mr, 64,
                                CMD_CTRL_DATA | CMD_CTRL_INDIRECT },
    [EFA_ADMIN_DEREG_MR]    = { "DEREG_MR", efa_cmd_dereg_mr, 8 },
    [EFA_ADMIN_CREATE_CQ]   = { "CREATE_CQ", efa_cmd_create_cq, 28 },
    [EFA_ADMIN_DESTROY_CQ]  = { "DESTROY_CQ", efa_cmd_destroy_cq, 8 },
    [EFA_ADMIN_GET_FEATURE] = { "GET_FEATURE", efa_cmd_get_feature, 64 },
    [EFA_ADMIN_SET_FEATURE] = { "SET_FEATURE", efa_cmd_set_feature, 64,
                                CMD_CTRL_DATA },
    [EFA_ADMIN_GET_STATS]   = { "GET_STATS", efa_cmd_get_stats, 20 },
    [EFA_ADMIN_ALLOC_PD]    = { "ALLOC_PD", efa_cmd_alloc_pd, 4 },
    [EFA_ADMIN_DEALLOC_PD]  = { "DEALLOC_PD", efa_cmd_dealloc_pd, 8 },
    [EFA_ADMIN_ALLOC_UAR]   = { "ALLOC_UAR", efa_cmd_alloc_uar, 4 },
    [EFA_ADMIN_DEALLOC_UAR] = { "DEALLOC_UAR", efa_cmd_dealloc_uar, 8 },
    [EFA_ADMIN_CREATE_EQ]   = { "CREATE_EQ", efa_cmd_create_eq, 24 },
    [EFA_ADMIN_DESTROY_EQ]  = { "DESTROY_EQ", efa_cmd_destroy_eq, 8 },
    [EFA_ADMIN_ALLOC_MR]    = { "ALLOC_MR", efa_cmd_alloc_mr, 12,
                                NEEDS(FAST_REG) },
    [EFA_ADMIN_CREATE_EVENT_COUNTER]  = { "CREATE_EVENT_COUNTER",
                                          efa_cmd_create_event_counter, 16,
                                          NEEDS(EVENT_COUNTERS) },
    [EFA_ADMIN_DESTROY_EVENT_COUNTER] = { "DESTROY_EVENT_COUNTER",
                                          efa_cmd_destroy_event_counter, 8,
                                          NEEDS(EVENT_COUNTERS) },
    [EFA_ADMIN_ATTACH_EVENT_COUNTER]  = { "ATTACH_EVENT_COUNTER",
                                          efa_cmd_attach_event_counter, 20,
                                          NEEDS(EVENT_COUNTERS) },
    [EFA_ADMIN_MODIFY_EVENT_COUNTER]  = { "MODIFY_EVENT_COUNTER",
                                          efa_cmd_modify_event_counter, 24,
                                          NEEDS(EVENT_COUNTERS) },
    [EFA_ADMIN_DETACH_EVENT_COUNTER]  = { "DETACH_EVENT_COUNTER",
                                          efa_cmd_detach_event_counter, 20,
                                          NEEDS(EVENT_COUNTERS) },
};

EfaAdminStatus efa_admin_fail(EfaAdminCmd *cmd, EfaAdminStatus status,
                              EfaAdminExtStatus ext, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    cmd->ext = ext;
    efa_guest_error("%s refused with status %u: %s", cmd->name, status, why);
    trace_efa_admin_refused(cmd->name, status, why);
    return status;
}

/* The signal of vector @vector for an entry of the ACQ or AENQ. */
void efa_admin_irq(EfaCore *core, uint8_t vector)
{
    if (FIELD_EX32(core->regs[R_INTR_MASK], INTR_MASK, EN)) {
        core->irq_while_masked = true;
        return;
    }
    trace_efa_irq(vector);
    core->ops->irq(core->opaque, vector);
}

void efa_admin_unmask(EfaCore *core)
{
    if (core->irq_while_masked) {
        core->irq_while_masked = false;
        efa_admin_irq(core, core->acq.vector);
    }
}

static EfaAdminStatus efa_admin_check(EfaCore *core, const EfaAdminOp *op,
                                      EfaAdminCmd *cmd)
{
    uint8_t flags = cmd->req.common.flags;
    const uint8_t *bytes = (const uint8_t *)&cmd->req;
    bool ctrl = FIELD_EX8(flags, AQ_COMMON, CTRL_DATA);
    bool indirect = FIELD_EX8(flags, AQ_COMMON, CTRL_DATA_INDIRECT);
    size_t i;

    if (core->fatal) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNKNOWN_ERROR, EFA_EXT_NONE,
                              "the device is in fatal error state");
    }
    if (!op->handler || (op->needs && !efa_can(core, op->needs - 1))) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "not offered");
    }
    if (FIELD_EX8(flags, AQ_COMMON, RESERVED) ||
        (ctrl && !(op->flags & CMD_CTRL_DATA)) ||
        (indirect && !(ctrl && (op->flags & CMD_CTRL_INDIRECT)))) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "flags 0x%x", flags);
    }
    for (i = op->req_size; i < sizeof(cmd->req); i++) {
        if (bytes[i]) {
            return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                  EFA_EXT_RESERVED_SET,
                                  "byte %zu of the request is not zero", i);
        }
    }
    return EFA_ADMIN_SUCCESS;
}

/* NULL: unknown */
static const EfaAdminOp *efa_admin_op(uint8_t opcode)
{
    return opcode < ARRAY_SIZE(efa_admin_ops) && efa_admin_ops[opcode].name
           ? &efa_admin_ops[opcode] : NULL;
}

char *efa_opcode_to_string(uint8_t opcode)
{
    const EfaAdminOp *op = efa_admin_op(opcode);
    char *text = op ? g_ascii_strdown(op->name, -1) : NULL;

    return text ? g_strdelimit(text, "_", '-') : NULL;
}

uint8_t efa_opcode_parse(const char *text)
{
    unsigned opcode;

    for (opcode = 0; opcode < ARRAY_SIZE(efa_admin_ops); opcode++) {
        g_autofree char *name = efa_opcode_to_string(opcode);

        if (!g_strcmp0(name, text)) {
            return opcode;
        }
    }
    return 0;
}

static EfaAdminStatus efa_admin_execute(EfaCore *core, EfaAdminCmd *cmd)
{
    uint8_t opcode = cmd->req.common.opcode;
    const EfaAdminOp *op = efa_admin_op(opcode);
    EfaAdminStatus status;

    if (!op) {
        return efa_admin_fail(cmd, EFA_ADMIN_BAD_OPCODE, EFA_EXT_UNKNOWN_ID,
                              "opcode %u is unknown", opcode);
    }
    status = efa_admin_check(core, op, cmd);
    if (status == EFA_ADMIN_SUCCESS) {
        status = op->handler(core, cmd);
    }
    return status;
}

/* The rings cannot be used: told in DEV_STS, ends with the next reset. */
static void efa_set_fatal(EfaCore *core, const char *why)
{
    if (!core->fatal) {
        core->fatal = true;
        core->regs[R_DEV_STS] = FIELD_DP32(core->regs[R_DEV_STS], DEV_STS,
                                           FATAL_ERROR, 1);
        efa_guest_error("fatal error: %s", why);
        trace_efa_fatal(why);
        efa_aenq_post(core, EFA_ADMIN_FATAL_ERROR, 0);
    }
}

/* 12.4: CRC-16/USB of the whole entry, with 0 in place of the checksum. */
static uint16_t efa_admin_checksum(const void *entry, size_t len)
{
    const uint8_t *p = entry;
    uint16_t crc = UINT16_MAX;
    unsigned bit;

    while (len--) {
        crc ^= *p++;
        for (bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
        }
    }
    return ~crc;
}

static void efa_admin_complete(EfaCore *core, const EfaAdminCmd *cmd,
                               EfaAdminStatus status, bool irq)
{
    EfaAdminRing *acq = &core->acq;
    uint32_t slot = acq->prod & (acq->depth - 1);
    uint8_t phase = !((acq->prod / acq->depth) & 1);
    EfaAcqEntry cqe = {
        .command = cmd->req.common.command_id &
                   cpu_to_le16(R_AQ_COMMAND_ID_ID_MASK),
        .status = status,
        .flags = phase,
        .extended_status = cpu_to_le16(cmd->ext),
        .sq_head_indx = cpu_to_le16(core->aq.cons),
    };

    if (status == EFA_ADMIN_SUCCESS) {
        memcpy(cqe.response, cmd->resp, sizeof(cqe.response));
    }
    if (core->cfg.admin_version >= EFA_ADMIN_VERSION_CHECKSUM) {
        /* older drivers read neither it nor what it takes the place of */
        cqe.checksum = 0;
        cqe.reserved = 0;
        cqe.checksum = cpu_to_le16(efa_admin_checksum(&cqe, sizeof(cqe)));
    }
    acq->prod++;
    trace_efa_admin_complete(cmd->name,
                             le16_to_cpu(cqe.command), status, cmd->ext);
    if (!efa_dma_publish(core, acq->base + slot * EFA_ACQ_ENTRY_SIZE, &cqe,
                         sizeof(cqe), 0)) {
        efa_set_fatal(core, "the ACQ cannot be written");
        return;
    }
    if (irq) {
        efa_admin_irq(core, acq->vector);
    }
}

/* A command in either form becomes one of 64 bytes; the rest is not used. */
static EfaAdminStatus efa_admin_decode(EfaAdminCmd *cmd, EfaAqEntryV2 *entry,
                                       size_t size)
{
    uint16_t checksum = le16_to_cpu(entry->checksum);
    size_t i;

    if (size == sizeof(cmd->req)) {
        memcpy(&cmd->req, entry, sizeof(cmd->req));
        return EFA_ADMIN_SUCCESS;
    }
    cmd->req.common = entry->common;
    memcpy(cmd->req.data, entry->payload, sizeof(cmd->req.data));
    entry->checksum = 0;
    if (checksum != efa_admin_checksum(entry, sizeof(*entry))) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST, EFA_EXT_NONE,
                              "checksum 0x%04x", checksum);
    }
    if (entry->payload_ver) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_NOT_ENABLED, "payload of version %u",
                              entry->payload_ver);
    }
    for (i = sizeof(cmd->req.data); i < sizeof(entry->payload); i++) {
        if (entry->payload[i]) {
            return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                  EFA_EXT_RESERVED_SET,
                                  "byte %zu of the payload is not zero", i);
        }
    }
    return EFA_ADMIN_SUCCESS;
}

/* One command of @aq, from its slot to its completion. */
static void efa_admin_command(EfaCore *core, EfaAqEntryV2 *entry)
{
    const EfaAdminOp *op = efa_admin_op(entry->common.opcode);
    EfaAdminCmd cmd = { .name = op ? op->name : "opcode" };
    const EfaFaultRule *fault = NULL;
    EfaAdminStatus status;

    status = efa_admin_decode(&cmd, entry, core->aq.entry_size);
    if (status == EFA_ADMIN_SUCCESS) {
        fault = efa_fault_for(core, entry->common.opcode);
    }
    if (fault) {
        trace_efa_admin_fault(cmd.name, le16_to_cpu(entry->common.command_id),
                              fault->action);
    }
    if (fault && fault->action == EFA_FAULT_IGNORE) {
        return;
    }
    if (fault && fault->action == EFA_FAULT_STATUS) {
        status = fault->status;
        cmd.ext = fault->extended_status;
    } else if (status == EFA_ADMIN_SUCCESS) {
        status = efa_admin_execute(core, &cmd);
    }
    if (!fault || fault->action != EFA_FAULT_LOSE) {
        efa_admin_complete(core, &cmd, status,
                           !fault || fault->action != EFA_FAULT_NO_INTERRUPT);
    }
}

void efa_admin_run(EfaCore *core)
{
    EfaAdminRing *aq = &core->aq;
    unsigned commands = 0;

    core->admin_left = false;
    core->admin_pages = 0;
    while (aq->live && core->acq.live && (uint16_t)aq->cons != aq->prod &&
           core->ops->dma_enabled(core->opaque)) {
        uint64_t addr = aq->base +
            (uint64_t)(aq->cons & (aq->depth - 1)) * aq->entry_size;
        uint8_t phase = !((aq->cons / aq->depth) & 1);
        EfaAqEntryV2 entry;

        if (commands++ == EFA_ADMIN_BUDGET ||
            core->admin_pages > EFA_ADMIN_PAGES) {
            /* The writer of the doorbell holds the BQL: go on without it. */
            core->admin_left = true;
            return;
        }
        if (!efa_dma_read(core, addr, &entry, aq->entry_size)) {
            efa_set_fatal(core, "the AQ cannot be read");
            return;
        }
        if (FIELD_EX8(entry.common.flags, AQ_COMMON, PHASE) != phase) {
            efa_guest_error("AQ entry %u announced but not written: phase",
                            aq->cons);
            return;
        }
        aq->cons = (uint16_t)(aq->cons + 1);
        trace_efa_admin_cmd(entry.common.opcode,
                            le16_to_cpu(entry.common.command_id));
        efa_admin_command(core, &entry);
    }
}

void efa_admin_doorbell(EfaCore *core, uint16_t prod)
{
    EfaAdminRing *aq = &core->aq;

    if (!aq->live || !core->acq.live) {
        core->stats.bad_doorbells++;
        efa_guest_error("AQ doorbell before the queues are set up");
        return;
    }
    if ((uint16_t)(prod - aq->cons) > aq->depth) {
        efa_guest_error("AQ doorbell %u is more than %u entries ahead",
                        prod, aq->depth);
    }
    aq->prod = prod;
    efa_admin_run(core);
}
