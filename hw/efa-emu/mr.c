/*
 * EFA device model: memory regions
 *
 * Control path specification, sections 5.7, 5.8 and 9.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/*
 * Runs of all regions together: 16 bytes of host memory each. A guest could
 * otherwise register one long list again and again.
 */
#define EFA_MR_MAX_RUNS     (32u << 20)

/* Page addresses fetched from the guest at a time. */
#define EFA_PBL_BATCH       512

/* A page list while it is walked: pages become runs. */
typedef struct EfaPblWalk {
    EfaCore *core;
    EfaAdminCmd *cmd;
    EfaMr *mr;
    uint64_t page_size;
    uint32_t page_num;
    uint64_t pages_done;
    uint32_t runs_allocated;
} EfaPblWalk;

/* Room for one more run; false if there are too many. */
static bool efa_pbl_room(EfaPblWalk *walk)
{
    EfaMr *mr = walk->mr;
    uint32_t more = MAX(4, walk->runs_allocated * 2);
    EfaMrRun *grown;

    if (walk->core->mr_runs + mr->num_runs >= EFA_MR_MAX_RUNS) {
        return false;
    }
    if (mr->num_runs < walk->runs_allocated) {
        return true;
    }
    grown = g_try_renew(EfaMrRun, mr->runs, more);
    if (!grown) {
        return false;
    }
    mr->runs = grown;
    walk->runs_allocated = more;
    return true;
}

static EfaAdminStatus efa_pbl_add(EfaPblWalk *walk, const uint64_t *pages,
                                  uint32_t count)
{
    EfaMr *mr = walk->mr;
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint64_t page = le64_to_cpu(pages[i]);
        uint64_t offset = walk->pages_done * walk->page_size;
        const EfaMrRun *last = mr->num_runs ? &mr->runs[mr->num_runs - 1]
                                            : NULL;

        if (page % walk->page_size ||
            !efa_dma_range_ok(page, walk->page_size)) {
            return efa_admin_fail(walk->cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                  EFA_EXT_MISALIGNED,
                                  "page %" PRIu64 " at 0x%" PRIx64,
                                  walk->pages_done, page);
        }
        walk->pages_done++;
        if (last && last->dma + (offset - last->offset) == page) {
            continue;
        }
        if (!efa_pbl_room(walk)) {
            return efa_admin_fail(walk->cmd,
                                  EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                                  EFA_EXT_NONE, "too many page runs in use");
        }
        mr->runs[mr->num_runs++] = (EfaMrRun) { offset, page };
    }
    return EFA_ADMIN_SUCCESS;
}

/* @count page addresses that lie in DMA memory, one behind the other. */
static EfaAdminStatus efa_pbl_read(EfaPblWalk *walk, uint64_t addr,
                                   uint32_t count)
{
    uint64_t pages[EFA_PBL_BATCH];
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;

    while (count && status == EFA_ADMIN_SUCCESS) {
        uint32_t n = MIN(count, EFA_PBL_BATCH);

        if (!efa_dma_read(walk->core, addr, pages, n * sizeof(*pages))) {
            return efa_admin_fail(walk->cmd, EFA_ADMIN_UNKNOWN_ERROR,
                                  EFA_EXT_DMA_FAULT,
                                  "page list at 0x%" PRIx64, addr);
        }
        status = efa_pbl_add(walk, pages, n);
        addr += n * sizeof(*pages);
        count -= n;
    }
    return status;
}

/*
 * 9.4: chunks of 510 pointers to 4 KiB pages of page addresses. All counts
 * come from the region's length; those in the list are hints that the driver
 * gets wrong.
 */
static EfaAdminStatus efa_pbl_read_chunks(EfaPblWalk *walk, uint64_t chunk)
{
    uint32_t pages_left = walk->page_num;
    uint64_t ptrs[EFA_CHUNK_PTRS];

    while (pages_left) {
        uint32_t ptrs_left = DIV_ROUND_UP(pages_left, EFA_CHUNK_PAGES_PER_PTR);
        uint32_t n = MIN(ptrs_left, EFA_CHUNK_PTRS);
        uint32_t i;

        if (!chunk || chunk % 8) {
            return efa_admin_fail(walk->cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                  EFA_EXT_MISALIGNED,
                                  "chunk at 0x%" PRIx64 " with %u pages to go",
                                  chunk, pages_left);
        }
        if (!efa_dma_read(walk->core, chunk, ptrs, n * sizeof(*ptrs))) {
            return efa_admin_fail(walk->cmd, EFA_ADMIN_UNKNOWN_ERROR,
                                  EFA_EXT_DMA_FAULT, "chunk at 0x%" PRIx64,
                                  chunk);
        }
        for (i = 0; i < n; i++) {
            uint32_t count = MIN(pages_left, EFA_CHUNK_PAGES_PER_PTR);
            uint64_t list = le64_to_cpu(ptrs[i]);
            EfaAdminStatus status;

            if (!list || list % 8) {
                return efa_admin_fail(walk->cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                      EFA_EXT_MISALIGNED,
                                      "page list at 0x%" PRIx64, list);
            }
            status = efa_pbl_read(walk, list, count);
            if (status != EFA_ADMIN_SUCCESS) {
                return status;
            }
            pages_left -= count;
        }
        if (pages_left) {
            EfaCtrlBuffInfo link;

            if (!efa_dma_read(walk->core, chunk + EFA_CHUNK_LINK_OFFSET, &link,
                              sizeof(link))) {
                return efa_admin_fail(walk->cmd, EFA_ADMIN_UNKNOWN_ERROR,
                                      EFA_EXT_DMA_FAULT,
                                      "link of chunk at 0x%" PRIx64, chunk);
            }
            chunk = efa_addr64(link.mem_addr_low, link.mem_addr_high);
        }
    }
    return EFA_ADMIN_SUCCESS;
}

/* Where the command has its list; page addresses start in @pages or there. */
static EfaAdminStatus efa_pbl_of(EfaAdminCmd *cmd, const EfaRegMrCmd *req,
                                 uint64_t page_num, EfaPbl *pbl)
{
    uint8_t flags = req->common.flags;
    uint32_t length = le32_to_cpu(req->pbl.length);

    *pbl = (EfaPbl) {
        .addr = efa_addr64(req->pbl.mem_addr_low, req->pbl.mem_addr_high),
    };
    if (!FIELD_EX8(flags, AQ_COMMON, CTRL_DATA)) {
        if (page_num > EFA_INLINE_PBL_PAGES) {
            return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                  EFA_EXT_OUT_OF_RANGE, "%" PRIu64 " pages do "
                                  "not fit the command", page_num);
        }
        pbl->form = EFA_PBL_INLINE;
        memcpy(pbl->pages, req->inline_pbl_array, sizeof(pbl->pages));
    } else if (FIELD_EX8(flags, AQ_COMMON, CTRL_DATA_INDIRECT)) {
        pbl->form = EFA_PBL_INDIRECT;
    } else if (!pbl->addr || pbl->addr % 8 ||
               length / sizeof(uint64_t) < page_num) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_MISALIGNED, "list of %u bytes at 0x%"
                              PRIx64 " for %" PRIu64 " pages", length,
                              pbl->addr, page_num);
    } else {
        pbl->form = EFA_PBL_DIRECT;
    }
    return EFA_ADMIN_SUCCESS;
}

static EfaAdminStatus efa_pbl_walk(EfaPblWalk *walk, const EfaPbl *pbl)
{
    switch (pbl->form) {
    case EFA_PBL_INLINE:
        return efa_pbl_add(walk, pbl->pages, walk->page_num);
    case EFA_PBL_DIRECT:
        return efa_pbl_read(walk, pbl->addr, walk->page_num);
    default:
        return efa_pbl_read_chunks(walk, pbl->addr);
    }
}

/* A length near 2^64 must not wrap. */
uint64_t efa_mr_count_pages(uint64_t iova, uint64_t length, uint8_t shift)
{
    uint64_t mask = (1ULL << shift) - 1;

    return (length >> shift) +
           (((length & mask) + (iova & mask) + mask) >> shift);
}

static uint64_t efa_reg_mr_pages(const EfaRegMrCmd *req)
{
    return efa_mr_count_pages(le64_to_cpu(req->iova),
                              le64_to_cpu(req->mr_length),
                              FIELD_EX8(req->flags, REG_MR_FLAGS,
                                        PHYS_PAGE_SIZE_SHIFT));
}

EfaAdminStatus efa_mr_map(EfaCore *core, EfaAdminCmd *cmd, EfaMr *mr,
                          uint8_t shift, const EfaPbl *pbl)
{
    EfaPblWalk walk = {
        .core = core, .cmd = cmd, .mr = mr, .page_size = 1ULL << shift,
        .page_num = efa_mr_count_pages(mr->iova, mr->length, shift),
    };
    EfaAdminStatus status = efa_pbl_walk(&walk, pbl);

    if (status != EFA_ADMIN_SUCCESS) {
        efa_mr_unmap(core, mr);
        return status;
    }
    mr->page_offset = mr->iova & (walk.page_size - 1);
    mr->runs = g_renew(EfaMrRun, mr->runs, mr->num_runs);
    core->mr_runs += mr->num_runs;
    mr->mapped_runs = mr->num_runs;
    return EFA_ADMIN_SUCCESS;
}

void efa_mr_unmap(EfaCore *core, EfaMr *mr)
{
    core->mr_runs -= mr->mapped_runs;
    mr->mapped_runs = 0;
    mr->num_runs = 0;
    g_clear_pointer(&mr->runs, g_free);
}

uint8_t efa_mr_permissions(const EfaCore *core)
{
    uint8_t allowed = R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK;

    if (efa_can(core, EFA_CAP_RDMA_WRITE)) {
        allowed |= R_REG_MR_PERM_REMOTE_WRITE_ENABLE_MASK;
    }
    if (efa_can(core, EFA_CAP_RDMA_READ)) {
        allowed |= R_REG_MR_PERM_REMOTE_READ_ENABLE_MASK;
    }
    return allowed;
}

static EfaAdminStatus efa_reg_mr_check(EfaCore *core, EfaAdminCmd *cmd,
                                       const EfaRegMrCmd *req)
{
    uint64_t length = le64_to_cpu(req->mr_length);
    uint64_t iova = le64_to_cpu(req->iova);
    uint32_t page_num = le32_to_cpu(req->page_num);
    uint8_t shift = FIELD_EX8(req->flags, REG_MR_FLAGS, PHYS_PAGE_SIZE_SHIFT);
    uint8_t allowed = efa_mr_permissions(core);
    uint64_t want = efa_reg_mr_pages(req);

    if (req->reserved16_w1 || req->reserved16_w5 ||
        FIELD_EX8(req->flags, REG_MR_FLAGS, RESERVED)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!efa_table_get(&core->pds, le16_to_cpu(req->pd))) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "PD %u",
                              le16_to_cpu(req->pd));
    }
    if (req->permissions & ~allowed) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_NOT_ENABLED,
                              "permissions 0x%x, possible are 0x%x",
                              req->permissions, allowed);
    }
    if (!length || iova + length < iova) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "0x%" PRIx64 " bytes at "
                              "0x%" PRIx64, length, iova);
    }
    if (FIELD_EX8(req->flags, REG_MR_FLAGS, MEM_ADDR_PHY_MODE_EN)) {
        if (page_num > 1 ||
            (req->permissions & ~R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK)) {
            return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                                  EFA_EXT_OUT_OF_RANGE,
                                  "physical mode: %u pages, permissions 0x%x",
                                  page_num, req->permissions);
        }
        return EFA_ADMIN_SUCCESS;
    }
    if (!(core->cfg.page_size_cap >> shift & 1)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "page size 2^%u", shift);
    }
    /* The stock driver leaves page_num at 0: the length says it all. */
    if ((page_num && page_num != want) || want > core->cfg.max_mr_pages) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "%u pages, the region needs %" PRIu64
                              " and %u is the limit", page_num, want,
                              core->cfg.max_mr_pages);
    }
    return EFA_ADMIN_SUCCESS;
}

/*
 * Keys of 24 bits. Those of regions that are registered by work request have
 * bit 19 clear (fast-reg.c). The others have it set, the index in what the
 * former leave to their number and their users, and seven bits that change
 * with each use of that index.
 */
#define EFA_KEY_ORDINARY    (1u << 19)
#define EFA_KEY_GENERATION  0x7fu

static uint32_t efa_mr_make_key(uint32_t index, uint8_t gen)
{
    return EFA_KEY_ORDINARY | (index & 0x7ff) << 8 |
           (index >> 11 & 0xf) << 20 | (index >> 15 & 1) << 7 |
           (gen & EFA_KEY_GENERATION);
}

static uint32_t efa_mr_key_index(uint32_t key)
{
    return (key >> 8 & 0x7ff) | (key >> 20 & 0xf) << 11 | (key >> 7 & 1) << 15;
}

void efa_mr_free(EfaCore *core, EfaMr *mr)
{
    efa_mr_unmap(core, mr);
    mr->pd->refs--;
    mr->pd->fast_mrs -= mr->fast;
    efa_table_remove(mr->fast ? &core->fast_mrs : &core->mrs, mr->index);
    g_free(mr);
}

bool efa_mr_room(const EfaCore *core)
{
    return core->mrs.used + core->fast_mrs.used < core->cfg.max_mr;
}

static EfaAdminStatus efa_mr_fill(EfaCore *core, EfaAdminCmd *cmd, EfaMr *mr,
                                  const EfaRegMrCmd *req)
{
    uint64_t page_num = efa_reg_mr_pages(req);
    EfaAdminStatus status;
    EfaPbl pbl;

    status = efa_pbl_of(cmd, req, page_num, &pbl);
    if (status == EFA_ADMIN_SUCCESS) {
        core->admin_pages += page_num;
        status = efa_mr_map(core, cmd, mr,
                            FIELD_EX8(req->flags, REG_MR_FLAGS,
                                      PHYS_PAGE_SIZE_SHIFT), &pbl);
    }
    return status;
}

EfaAdminStatus efa_cmd_reg_mr(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaRegMrCmd *req = (const EfaRegMrCmd *)&cmd->req;
    EfaAdminStatus status = efa_reg_mr_check(core, cmd, req);
    EfaRegMrResp resp = { };
    EfaMr *mr;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    if (!efa_mr_room(core)) {
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all %u are in use",
                              core->cfg.max_mr);
    }
    mr = g_new0(EfaMr, 1);
    mr->iova = le64_to_cpu(req->iova);
    mr->length = le64_to_cpu(req->mr_length);
    mr->permissions = req->permissions;
    mr->physical = FIELD_EX8(req->flags, REG_MR_FLAGS, MEM_ADDR_PHY_MODE_EN);
    if (!mr->physical) {
        status = efa_mr_fill(core, cmd, mr, req);
    }
    if (status != EFA_ADMIN_SUCCESS) {
        g_free(mr);
        return status;
    }
    mr->index = efa_table_add(&core->mrs, mr);
    mr->valid = true;
    mr->pd = efa_table_get(&core->pds, le16_to_cpu(req->pd));
    mr->pd->refs++;
    mr->key = efa_mr_make_key(mr->index, core->mrs.gen[mr->index]);
    resp.l_key = cpu_to_le32(mr->key);
    resp.r_key = cpu_to_le32(mr->key);
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_mr_reg(mr->key, mr->iova, mr->length, mr->num_runs,
                     mr->permissions);
    return EFA_ADMIN_SUCCESS;
}

static EfaMr *efa_mr_by_key(EfaCore *core, uint32_t key)
{
    EfaMr *mr = key & EFA_KEY_ORDINARY
                ? efa_table_get(&core->mrs, efa_mr_key_index(key))
                : efa_fast_mr_of(core, key);

    return mr && mr->key == key ? mr : NULL;
}

EfaAdminStatus efa_cmd_dereg_mr(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaDeregMrCmd *req = (const EfaDeregMrCmd *)&cmd->req;
    uint32_t key = le32_to_cpu(req->l_key);
    EfaMr *mr = efa_mr_by_key(core, key);

    if (!mr && !(key & EFA_KEY_ORDINARY)) {
        /* the consumer may have changed its part of the key since (5.8) */
        mr = efa_fast_mr_of(core, key);
    }
    if (!mr) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "key 0x%x", key);
    }
    trace_efa_mr_dereg(mr->key);
    efa_mr_free(core, mr);
    return EFA_ADMIN_SUCCESS;
}

EfaMr *efa_mr_find(EfaCore *core, const EfaPd *pd, uint32_t key,
                   uint64_t addr, uint64_t len, uint8_t perm)
{
    EfaMr *mr = efa_mr_by_key(core, key);

    if (!mr || !mr->valid || mr->pd != pd || (mr->permissions & perm) != perm ||
        addr < mr->iova || addr - mr->iova > mr->length ||
        len > mr->length - (addr - mr->iova)) {
        trace_efa_mr_violation(key, addr, len, perm);
        return NULL;
    }
    return mr;
}

/* The run that holds @offset; the first one has offset 0. */
static uint32_t efa_mr_run(const EfaMr *mr, uint64_t offset)
{
    uint32_t lo = 0, hi = mr->num_runs;

    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (mr->runs[mid].offset <= offset) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool efa_mr_copy(EfaCore *core, const EfaMr *mr, uint64_t addr,
                        uint8_t *to_host, const uint8_t *to_guest, size_t len)
{
    uint64_t offset;
    uint32_t i;

    if (mr->physical) {
        return to_host ? efa_dma_read(core, addr, to_host, len)
                       : efa_dma_write(core, addr, to_guest, len);
    }
    offset = addr - mr->iova + mr->page_offset;
    for (i = efa_mr_run(mr, offset); len; i++) {
        const EfaMrRun *run = &mr->runs[i];
        uint64_t end = i + 1 < mr->num_runs ? run[1].offset : UINT64_MAX;
        size_t n = MIN(len, end - offset);
        uint64_t dma = run->dma + (offset - run->offset);

        if (to_host) {
            if (!efa_dma_read(core, dma, to_host, n)) {
                return false;
            }
            to_host += n;
        } else {
            if (!efa_dma_write(core, dma, to_guest, n)) {
                return false;
            }
            to_guest += n;
        }
        offset += n;
        len -= n;
    }
    return true;
}

bool efa_mr_read(EfaCore *core, const EfaMr *mr, uint64_t addr, void *buf,
                 size_t len)
{
    return efa_mr_copy(core, mr, addr, buf, NULL, len);
}

bool efa_mr_write(EfaCore *core, const EfaMr *mr, uint64_t addr,
                  const void *buf, size_t len)
{
    return efa_mr_copy(core, mr, addr, NULL, buf, len);
}
