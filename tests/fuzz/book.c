/*
 * Fuzzing: what a guest has allowed its device, and whether the device heeds it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "book.h"

/* ---- what the guest has allowed ---- */

static void forget(Guest *g, RangeKind kind, uint32_t id)
{
    unsigned i = 0;

    while (i < g->ranges->len) {
        Range *r = &g_array_index(g->ranges, Range, i);

        if (r->kind == kind && r->id == id) {
            g_array_remove_index_fast(g->ranges, i);
        } else {
            i++;
        }
    }
}

void book_clear(Guest *g)
{
    g_array_set_size(g->ranges, 0);
    g_array_set_size(g->qps, 0);
    g_array_set_size(g->lists, 0);
    g->raw_wqes = false;
    g->aq_len = g->acq_len = g->aenq_len = 0;
    g->resp = 0;
    memset(g->base, 0, sizeof(g->base));
    g->cmd_open = false;
    g->murky = false;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

void book_look_for_overlap(Guest *g)
{
    bool acq = overlap(g->acq, g->acq_len, g->aenq, g->aenq_len);
    unsigned i;

    for (i = 0; i < g->ranges->len; i++) {
        const Range *r = &g_array_index(g->ranges, Range, i);

        acq |= r->kind != RANGE_MR &&
               overlap(g->acq, g->acq_len, r->lo, r->hi - r->lo);
    }
    g->sane &= !acq;
    g->murky |= acq;
    for (i = 0; i < g->lists->len; i++) {
        const FastList *l = &g_array_index(g->lists, FastList, i);

        g->murky |= overlap(g->aq, g->aq_len, l->addr, l->len);
    }
}

static void allow(Guest *g, RangeKind kind, uint32_t id, uint64_t addr,
                  uint64_t len, uint32_t entry)
{
    Range r = { kind, id, addr, addr + len, entry };

    g_array_append_val(g->ranges, r);
    book_look_for_overlap(g);
}

static bool within(uint64_t addr, size_t len, uint64_t lo, uint64_t size)
{
    return addr >= lo && addr - lo <= size && len <= size - (addr - lo);
}

/* *@alone: all that the device may write there is completions. */
static const Range *range_of(Guest *g, uint64_t addr, size_t len, bool *alone)
{
    const Range *found = NULL;
    unsigned i;

    *alone = true;
    for (i = 0; i < g->ranges->len; i++) {
        const Range *r = &g_array_index(g->ranges, Range, i);

        if (within(addr, len, r->lo, r->hi - r->lo)) {
            found = r;
            *alone &= r->kind == RANGE_CQ;
        }
    }
    return found;
}

/* ---- page lists, read when the device reads them ---- */

static bool peek(Guest *g, uint64_t addr, void *buf, size_t len)
{
    if (!within(addr, len, HOST_DMA_BASE, HOST_MEM_SIZE)) {
        return false;
    }
    memcpy(buf, host_ptr(g->h, addr), len);
    return true;
}

static void take_pages(Guest *g, uint64_t list, uint64_t n)
{
    while (n--) {
        uint64_t page = 0;

        if (!peek(g, list, &page, sizeof(page))) {
            return;
        }
        g_array_append_val(g->cmd_pages, page);
        list += sizeof(page);
    }
}

static void take_chunks(Guest *g, uint64_t chunk, uint64_t pages)
{
    while (pages) {
        unsigned i;

        for (i = 0; i < EFA_CHUNK_PTRS && pages; i++) {
            uint64_t n = MIN(pages, EFA_CHUNK_PAGES_PER_PTR), list = 0;

            if (!peek(g, chunk + i * 8, &list, sizeof(list))) {
                return;
            }
            take_pages(g, list, n);
            pages -= n;
        }
        if (!peek(g, chunk + EFA_CHUNK_LINK_OFFSET + 4, &chunk, 8)) {
            return;
        }
    }
}

static uint64_t region_pages(const EfaRegMrCmd *cmd)
{
    unsigned shift = cmd->flags & R_REG_MR_FLAGS_PHYS_PAGE_SIZE_SHIFT_MASK;
    uint64_t first = cmd->iova >> shift;

    return cmd->mr_length
           ? ((cmd->iova + cmd->mr_length - 1) >> shift) - first + 1 : 0;
}

/* As the device sees it: in either form, 64 bytes count. */
static EfaAqEntry read_command(Guest *g, uint64_t addr)
{
    const EfaAqEntryV2 *wide = host_ptr(g->h, addr);
    EfaAqEntry cmd;

    memcpy(&cmd, wide, sizeof(cmd));
    if (g->aq_entry == sizeof(*wide)) {
        memcpy(cmd.data, wide->payload, sizeof(cmd.data));
    }
    return cmd;
}

static void fetched(Guest *g, uint64_t addr)
{
    const EfaRegMrCmd *mr = (const EfaRegMrCmd *)&g->cmd;
    uint64_t n, list;
    uint8_t phase;

    fuzz_check(!g->cmd_open, "admin command %u was never completed",
               g->cmd.common.opcode);
    g->cmd = read_command(g, addr);
    phase = !(g->aq_taken / (g->aq_len / g->aq_entry) & 1);
    if ((g->cmd.common.flags & R_AQ_COMMON_PHASE_MASK) != phase) {
        return;         /* announced and not written */
    }
    g->aq_taken++;
    g->cmd_open = true;
    g_array_set_size(g->cmd_pages, 0);
    if (g->cmd.common.opcode != EFA_ADMIN_REG_MR) {
        return;
    }
    n = region_pages(mr);
    list = mr->pbl.mem_addr_low | (uint64_t)mr->pbl.mem_addr_high << 32;
    if (n > g->h->cfg.max_mr_pages) {
        return;
    }
    if (mr->common.flags & R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK) {
        take_chunks(g, list, n);
    } else if (mr->common.flags & R_AQ_COMMON_CTRL_DATA_MASK) {
        take_pages(g, list, n);
    } else {
        g_array_append_vals(g->cmd_pages, mr->inline_pbl_array,
                            MIN(n, EFA_INLINE_PBL_PAGES));
    }
}

/* ---- what successful commands change ---- */

static void allow_region(Guest *g, const EfaRegMrCmd *cmd, uint32_t key)
{
    unsigned shift = cmd->flags & R_REG_MR_FLAGS_PHYS_PAGE_SIZE_SHIFT_MASK;
    uint64_t size = 1ull << shift, left = cmd->mr_length;
    uint64_t offset = cmd->iova & (size - 1), lo = 0, len = 0;
    unsigned i;

    if (!(cmd->permissions & (PERM_LOCAL_WRITE | PERM_REMOTE_WRITE))) {
        return;
    }
    if (cmd->flags & R_REG_MR_FLAGS_MEM_ADDR_PHY_MODE_EN_MASK) {
        allow(g, RANGE_MR, key, cmd->iova, cmd->mr_length, 0);
        return;
    }
    fuzz_check(g->cmd_pages->len == region_pages(cmd),
               "a region of %" PRIu64 " pages was made from %u",
               region_pages(cmd), g->cmd_pages->len);
    for (i = 0; i < g->cmd_pages->len; i++) {
        uint64_t page = g_array_index(g->cmd_pages, uint64_t, i) + offset;
        uint64_t n = MIN(size - offset, left);

        if (len && lo + len != page) {
            allow(g, RANGE_MR, key, lo, len, 0);
            len = 0;
        }
        lo = len ? lo : page;
        len += n;
        left -= n;
        offset = 0;
    }
    allow(g, RANGE_MR, key, lo, len, 0);
}

static void made_cq(Guest *g, const EfaCreateCqCmd *cmd,
                    const EfaCreateCqResp *resp)
{
    uint32_t entry = (cmd->cq_caps_2 & 31) * 4;

    forget(g, RANGE_CQ, resp->cq_idx);
    allow(g, RANGE_CQ, resp->cq_idx,
          cmd->cq_ba_mem_addr_low | (uint64_t)cmd->cq_ba_mem_addr_high << 32,
          (uint64_t)entry * cmd->sub_cq_depth * cmd->num_sub_cqs, entry);
}

static void gone_qp(Guest *g, uint32_t handle)
{
    unsigned i;

    for (i = 0; i < g->qps->len; i++) {
        if (g_array_index(g->qps, QpId, i).handle == handle) {
            g_array_remove_index_fast(g->qps, i);
            return;
        }
    }
    fuzz_check(false, "QP handle 0x%x was destroyed and never made", handle);
}

static bool is_qp(Guest *g, uint16_t num)
{
    unsigned i;

    for (i = 0; i < g->qps->len; i++) {
        if (g_array_index(g->qps, QpId, i).num == num) {
            return true;
        }
    }
    return false;
}

static void made_qp(Guest *g, const EfaCreateQpResp *resp)
{
    QpId id = { resp->qp_handle, resp->qp_num };

    fuzz_check(!is_qp(g, id.num), "QP number 0x%x was given twice", id.num);
    g_array_append_val(g->qps, id);
}

/* Ranges that end even if the command is refused: see CQ destruction, 5.10. */
static void completed(Guest *g, const EfaAcqEntry *cqe)
{
    const EfaIdCmd *id = (const EfaIdCmd *)&g->cmd;
    bool ok = cqe->status == EFA_ADMIN_SUCCESS;
    const EfaCreateEqCmd *eq = (const EfaCreateEqCmd *)&g->cmd;
    const EfaCreateEventCounterCmd *counter =
        (const EfaCreateEventCounterCmd *)&g->cmd;

    fuzz_check(cqe->status <= EFA_ADMIN_RESOURCE_BUSY, "status %u",
               cqe->status);
    fuzz_check(cqe->command == (g->cmd.common.command_id & 0xfff),
               "command 0x%x completed as 0x%x", g->cmd.common.command_id,
               cqe->command);
    g->cmd_open = false;
    switch (g->cmd.common.opcode) {
    case EFA_ADMIN_CREATE_QP:
        if (ok) {
            made_qp(g, (const EfaCreateQpResp *)cqe->response);
        }
        break;
    case EFA_ADMIN_DESTROY_QP:
        if (ok) {
            gone_qp(g, ((const EfaQpHandleCmd *)&g->cmd)->qp_handle);
        }
        break;
    case EFA_ADMIN_REG_MR:
        if (ok) {
            g->last_key = ((const EfaRegMrResp *)cqe->response)->l_key;
            allow_region(g, (const EfaRegMrCmd *)&g->cmd, g->last_key);
        }
        break;
    case EFA_ADMIN_ALLOC_MR:
        if (ok) {
            g->fast_key = ((const EfaAllocMrResp *)cqe->response)->l_key;
        }
        break;
    case EFA_ADMIN_DEREG_MR:
        if (ok) {
            forget(g, RANGE_MR, ((const EfaDeregMrCmd *)&g->cmd)->l_key);
        }
        break;
    case EFA_ADMIN_CREATE_CQ:
        if (ok) {
            made_cq(g, (const EfaCreateCqCmd *)&g->cmd,
                    (const EfaCreateCqResp *)cqe->response);
        }
        break;
    case EFA_ADMIN_DESTROY_CQ:
        if (ok || cqe->status == EFA_ADMIN_RESOURCE_BUSY) {
            forget(g, RANGE_CQ, id->id);
        }
        break;
    case EFA_ADMIN_CREATE_EQ:
        if (ok) {
            allow(g, RANGE_EQ, ((const EfaIdResp *)cqe->response)->id,
                  eq->ba_mem_addr_low | (uint64_t)eq->ba_mem_addr_high << 32,
                  eq->depth * EFA_EQ_ENTRY_SIZE, 0);
        }
        break;
    case EFA_ADMIN_DESTROY_EQ:
        if (ok) {
            forget(g, RANGE_EQ, id->id);
        }
        break;
    case EFA_ADMIN_CREATE_EVENT_COUNTER:
        if (ok) {
            allow(g, RANGE_COUNTER,
                  ((const EfaEventCounterResp *)cqe->response)->cntr_handle,
                  counter->paddr, sizeof(uint64_t), 0);
        }
        break;
    case EFA_ADMIN_DESTROY_EVENT_COUNTER:
        if (ok) {
            forget(g, RANGE_COUNTER,
                   ((const EfaEventCounterCmd *)&g->cmd)->cntr_handle);
        }
        break;
    }
}

/* ---- what work requests change ---- */

/*
 * The pages stay allowed when the region is invalidated or goes: when that
 * takes effect is the device's to say.
 */
static void allow_fast(Guest *g, uint64_t page, uint8_t shift)
{
    bool alone;

    if (!range_of(g, page, 1ull << shift, &alone)) {
        allow(g, RANGE_MR, UINT32_MAX, page, 1ull << shift, 0);
    }
}

void book_wqe(Guest *g, const EfaIoTxWqe *wqe)
{
    const EfaIoFastReg *req = &wqe->fast_reg;
    FastList list = {
        .addr = req->pbl,
        .shift = FIELD_EX8(req->flags, FAST_REG_FLAGS, PAGE_SHIFT),
    };
    unsigned mode = FIELD_EX8(req->flags, FAST_REG_FLAGS, PBL_MODE);

    if (FIELD_EX8(wqe->meta.ctrl1, TX_CTRL1, OP_TYPE) != EFA_IO_FAST_REG) {
        return;
    }
    list.len = MIN((req->mr_length >> list.shift) + 2,
                   g->h->cfg.max_mr_pages) * 8;
    if (mode == EFA_FAST_REG_PBL_INLINE) {
        allow_fast(g, req->pbl, list.shift);
    } else {
        g_array_append_val(g->lists, list);
        book_look_for_overlap(g);
    }
}

/* The device reads what may be a list of pages. */
static void read_list(Guest *g, uint64_t addr, size_t len)
{
    unsigned i;

    for (i = 0; i < g->lists->len; i++) {
        FastList l = g_array_index(g->lists, FastList, i);
        size_t at;

        if (!within(addr, len, l.addr, l.len)) {
            continue;
        }
        for (at = 0; at + 8 <= len; at += 8) {
            uint64_t page;

            memcpy(&page, host_ptr(g->h, addr + at), sizeof(page));
            allow_fast(g, page, l.shift);
        }
    }
}

/* ---- what the device does ---- */

static void check_cqe(Guest *g, const Range *r, uint64_t addr)
{
    EfaIoCdesc e;
    uint8_t type;

    memcpy(&e, host_ptr(g->h, addr), 16);
    type = FIELD_EX8(e.flags, CDESC_FLAGS, Q_TYPE);
    fuzz_check(is_qp(g, e.qp_num), "a completion in CQ %u for QP 0x%x, which "
               "does not exist", r->id, e.qp_num);
    fuzz_check(type == EFA_IO_SEND_QUEUE || type == EFA_IO_RECV_QUEUE,
               "a completion of queue type %u", type);
    fuzz_check(e.status <= EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH,
               "a completion with status %u", e.status);
}

static void on_read(Guest *g, uint64_t addr, size_t len)
{
    if (g->cmd_open) {
        return;
    }
    if (len == g->aq_entry && within(addr, len, g->aq, g->aq_len) &&
        (addr - g->aq) % g->aq_entry == 0) {
        fetched(g, addr);
    } else {
        read_list(g, addr, len);
    }
}

static bool on_admin_rings(Guest *g, uint64_t addr, size_t len)
{
    return overlap(addr, len, g->aq, g->aq_len) ||
           overlap(addr, len, g->acq, g->acq_len);
}

static void on_write(Guest *g, uint64_t addr, size_t len)
{
    const EfaCreateEventCounterCmd *counter =
        (const EfaCreateEventCounterCmd *)&g->cmd;
    const Range *r;
    bool alone;

    if (g->cmd_open && len == sizeof(uint64_t) && addr == counter->paddr &&
        g->cmd.common.opcode == EFA_ADMIN_CREATE_EVENT_COUNTER) {
        return;
    }
    if (within(addr, len, g->acq, g->acq_len) && g->cmd_open) {
        /* the dword that makes an entry valid comes last */
        if ((addr - g->acq) % EFA_ACQ_ENTRY_SIZE == 0) {
            completed(g, host_ptr(g->h, addr));
        }
        return;
    }
    g->sane &= !on_admin_rings(g, addr, len);
    if (within(addr, len, g->resp, 8) ||
        within(addr, len, g->aenq, g->aenq_len)) {
        return;
    }
    r = range_of(g, addr, len, &alone);
    if (!r && g->raw_wqes) {
        return;
    }
    fuzz_check(r, "%zu bytes written to 0x%" PRIx64 ", which the device was "
               "never given", len, addr);
    if (alone && len == 4 && (addr - r->lo) % r->entry == 0) {
        check_cqe(g, r, addr);
    }
}

void book_access(Host *h, unsigned kind, uint64_t addr, size_t len, bool ok)
{
    Guest *g = h->watcher;

    if (!ok) {
        if (on_admin_rings(g, addr, len)) {
            g->sane = false;
            g->cmd_open = false;
        }
    } else if (g->murky) {
        /* who wrote there cannot be told */
        g->sane &= kind == FAULT_READ || !overlap(addr, len, g->aq, g->aq_len);
    } else if (kind == FAULT_READ) {
        on_read(g, addr, len);
    } else {
        on_write(g, addr, len);
    }
}

void guest_check(Guest *g)
{
    fuzz_check(g->murky || !g->cmd_open,
               "admin command %u was never completed", g->cmd.common.opcode);
}
