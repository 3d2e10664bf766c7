/*
 * Fuzzing: admin commands that make sense, for the input to spoil
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static EfaAqEntry entry_of(const void *cmd)
{
    EfaAqEntry entry;

    memcpy(&entry, cmd, sizeof(entry));
    return entry;
}

static uint16_t pd_of(Guest *g)
{
    return g->end[0] ? g->end[0]->pd : 0;
}

static EfaAqEntry create_qp(Guest *g, uint8_t v)
{
    EfaCreateQpCmd cmd = CMD(EfaCreateQpCmd, EFA_ADMIN_CREATE_QP,
        .pd = pd_of(g),
        .qp_type = v & 1 ? EFA_QP_TYPE_UD : EFA_QP_TYPE_SRD,
        .rq_base_addr = guest_page(g, v >> 1),
        .send_cq_idx = v >> 5 & 1,
        .recv_cq_idx = v >> 6 & 1,
        .send_queue_ring_size = 16 * EFA_IO_WQE_SIZE,
        .send_queue_depth = 16,
        .recv_queue_ring_size = 16 * EFA_IO_RX_DESC_SIZE,
        .recv_queue_depth = 8,
        .uar = g->end[0] ? g->end[0]->uar : 0);

    return entry_of(&cmd);
}

static EfaAqEntry modify_qp(Guest *g, uint8_t v)
{
    uint32_t state = (v & 7) % EFA_QP_STATE_MAX;
    uint32_t mask = R_MODIFY_QP_MASK_QP_STATE_MASK;
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
        .qp_handle = guest_qp(g, v >> 3).handle,
        .qp_state = state,
        .qkey = QKEY);

    if (state == EFA_QP_STATE_INIT) {
        mask |= R_MODIFY_QP_MASK_QKEY_MASK;
    } else if (state == EFA_QP_STATE_RTS) {
        mask |= R_MODIFY_QP_MASK_SQ_PSN_MASK;
    }
    cmd.modify_mask = mask;
    return entry_of(&cmd);
}

/* Pages 0 and 1 hold a list of pages and a chunk: see guest_op(). */
static EfaAqEntry reg_mr(Guest *g, uint8_t v)
{
    uint64_t at = guest_page(g, v >> 2);
    EfaRegMrCmd cmd = mr_cmd(pd_of(g), at + HOST_IOVA_SHIFT + 16, 7000,
                             (v & 4 ? PERM_LOCAL_WRITE : 0) |
                             (v & 8 ? PERM_REMOTE_WRITE : 0) |
                             (v & 16 ? PERM_REMOTE_READ : 0));
    unsigned i;

    switch (v & 3) {
    case 0:
        for (i = 0; i < cmd.page_num; i++) {
            cmd.inline_pbl_array[i] = guest_page(g, (v >> 2) + i);
        }
        break;
    case 1:
        cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
        cmd.pbl = (EfaCtrlBuffInfo) { HOST_PAGE, g->pages, g->pages >> 32 };
        break;
    case 2:
        at = guest_page(g, 1);
        cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK |
                           R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
        cmd.pbl = (EfaCtrlBuffInfo) { HOST_PAGE, at, at >> 32 };
        break;
    case 3:
        cmd.flags = R_REG_MR_FLAGS_MEM_ADDR_PHY_MODE_EN_MASK;
        cmd.permissions &= PERM_LOCAL_WRITE;
        cmd.iova = at;
        cmd.page_num = 0;
        break;
    }
    return entry_of(&cmd);
}

static EfaAqEntry create_cq(Guest *g, uint8_t v)
{
    uint64_t ring = guest_page(g, v >> 3);
    EfaCreateCqCmd cmd = CMD(EfaCreateCqCmd, EFA_ADMIN_CREATE_CQ,
        .cq_caps_2 = v & 1 ? 4 : 8 | R_CQ_CAPS_2_SET_SRC_ADDR_MASK,
        .cq_caps_1 = v & 2 ? R_CQ_CAPS_1_INTERRUPT_MODE_ENABLED_MASK : 0,
        .sub_cq_depth = v & 4 ? 2 : 16,
        .cq_ba_mem_addr_low = ring,
        .cq_ba_mem_addr_high = ring >> 32,
        .num_sub_cqs = g->h->cfg.sub_cqs_per_cq);

    return entry_of(&cmd);
}

static EfaAqEntry create_eq(Guest *g, uint8_t v)
{
    uint64_t ring = guest_page(g, v);
    EfaCreateEqCmd cmd = CMD(EfaCreateEqCmd, EFA_ADMIN_CREATE_EQ,
        .depth = 64,
        .msix_vec = v >> 4 & 3,
        .caps = 4,
        .ba_mem_addr_low = ring,
        .ba_mem_addr_high = ring >> 32,
        .event_bitmask = 1);

    return entry_of(&cmd);
}

static EfaAqEntry set_feature(Guest *g, uint8_t v)
{
    uint64_t at = guest_page(g, v >> 1);
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
        .feature_id = v & 1 ? EFA_ADMIN_HOST_INFO : EFA_ADMIN_AENQ_CONFIG);
    uint32_t groups = v >> 1;

    if (v & 1) {
        cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
        cmd.control_buffer = (EfaCtrlBuffInfo) { sizeof(EfaHostInfo), at,
                                                 at >> 32 };
    } else {
        memcpy(cmd.raw + offsetof(EfaAenqConfig, enabled_groups), &groups,
               sizeof(groups));
    }
    return entry_of(&cmd);
}

static EfaAqEntry create_ah(Guest *g, uint8_t v)
{
    EfaCreateAhCmd cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH,
                             .pd = pd_of(g));
    EfaGid gid = test_gid(v % 8);

    memcpy(cmd.dest_addr, gid.raw, sizeof(cmd.dest_addr));
    return entry_of(&cmd);
}

static EfaAqEntry alloc_mr(Guest *g, uint8_t v)
{
    EfaAllocMrCmd cmd = CMD(EfaAllocMrCmd, EFA_ADMIN_ALLOC_MR, .pd = pd_of(g),
                            .max_pages = 1 + v);

    return entry_of(&cmd);
}

static EfaAqEntry create_counter(Guest *g, uint8_t v)
{
    EfaCreateEventCounterCmd cmd = CMD(EfaCreateEventCounterCmd,
        EFA_ADMIN_CREATE_EVENT_COUNTER,
        .uar = g->end[0] ? g->end[0]->uar : 0,
        .paddr = guest_page(g, v >> 4) + 64 + v % 16 * 8);

    return entry_of(&cmd);
}

static EfaAqEntry attach_counter(Guest *g, uint8_t opcode, uint8_t v)
{
    EfaAttachEventCounterCmd cmd = CMD(EfaAttachEventCounterCmd, opcode,
        .cntr_handle = v & 7,
        .qp_handle = guest_qp(g, v >> 3).handle,
        .events = EFA_QP_EVENTS_ALL);

    return entry_of(&cmd);
}

static EfaAqEntry modify_counter(uint8_t v)
{
    EfaModifyEventCounterCmd cmd = CMD(EfaModifyEventCounterCmd,
        EFA_ADMIN_MODIFY_EVENT_COUNTER,
        .cntr_handle = v & 7,
        .operation = v >> 3 & 1,
        .value = UINT64_MAX << (v >> 4));

    return entry_of(&cmd);
}

static EfaAqEntry with_id(uint8_t opcode, uint32_t id, uint16_t second)
{
    EfaAqEntry cmd = CMD(EfaAqEntry, opcode);

    memcpy(cmd.data, &id, sizeof(id));
    if (second) {
        memcpy(cmd.data + 2, &second, sizeof(second));
    }
    return cmd;
}

EfaAqEntry guest_command(Guest *g, uint8_t opcode, uint8_t v)
{
    EfaFeatureCmd get = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = v);
    EfaGetStatsCmd stats = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                               .type = v);

    switch (opcode) {
    case EFA_ADMIN_CREATE_QP:
        return create_qp(g, v);
    case EFA_ADMIN_MODIFY_QP:
        return modify_qp(g, v);
    case EFA_ADMIN_QUERY_QP:
    case EFA_ADMIN_DESTROY_QP:
        return with_id(opcode, guest_qp(g, v).handle, 0);
    case EFA_ADMIN_CREATE_AH:
        return create_ah(g, v);
    case EFA_ADMIN_DESTROY_AH:
        return with_id(opcode, v, pd_of(g));
    case EFA_ADMIN_REG_MR:
        return reg_mr(g, v);
    case EFA_ADMIN_DEREG_MR:
        return with_id(opcode, v & 1 && g->end[0] ? g->open[v >> 1 & 1].key
                                                  : g->last_key, 0);
    case EFA_ADMIN_CREATE_CQ:
        return create_cq(g, v);
    case EFA_ADMIN_GET_FEATURE:
        return entry_of(&get);
    case EFA_ADMIN_SET_FEATURE:
        return set_feature(g, v);
    case EFA_ADMIN_GET_STATS:
        return entry_of(&stats);
    case EFA_ADMIN_CREATE_EQ:
        return create_eq(g, v);
    case EFA_ADMIN_ALLOC_MR:
        return alloc_mr(g, v);
    case EFA_ADMIN_CREATE_EVENT_COUNTER:
        return create_counter(g, v);
    case EFA_ADMIN_ATTACH_EVENT_COUNTER:
    case EFA_ADMIN_DETACH_EVENT_COUNTER:
        return attach_counter(g, opcode, v);
    case EFA_ADMIN_MODIFY_EVENT_COUNTER:
        return modify_counter(v);
    default:
        return with_id(opcode, v, 0);
    }
}

void guest_admin(Guest *g, EfaAqEntry *cmd)
{
    EfaAcqEntry cqe;

    aq_put(g->h, cmd);
    guest_reg_write(g, A_AQ_PROD_DB, g->h->aq_prod);
    settle();
    while (g->sane) {
        fuzz_check(acq_take(g->h, &cqe), "no answer to admin command %u",
                   cmd->common.opcode);
        if (cqe.command == g->h->cmd_id) {
            return;
        }
    }
}
