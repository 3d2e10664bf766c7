/*
 * EFA device model: regions that are registered by work request
 *
 * Control path specification, section 5.18; data path specification, section
 * 12. A kernel user allocates a region once and maps pages into it, again and
 * again, by work requests. A user process cannot allocate one, so it has
 * nothing that these work requests could be about.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/*
 * The consumer owns bits 7:0 of a key (verbs) and bits 23:20 (the driver). Bit
 * 19 is clear, which no ordinary key's is (mr.c). What is left numbers the
 * regions from 1 on: no key is 0.
 */
#define EFA_FAST_SHIFT      8
#define EFA_FAST_NUMBERS    0x7ffu
#define EFA_FAST_FIXED      0xff080000u

/* Pages of one registration, and how many cost as much as a message. */
#define EFA_FAST_MAX_PAGES  65536u
#define EFA_FAST_COST_PAGES 64u

EfaMr *efa_fast_mr_of(const EfaCore *core, uint32_t key)
{
    uint32_t number = key >> EFA_FAST_SHIFT & EFA_FAST_NUMBERS;

    return number && !(key & EFA_FAST_FIXED)
           ? efa_table_get(&core->fast_mrs, number - 1) : NULL;
}

EfaAdminStatus efa_cmd_alloc_mr(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaAllocMrCmd *req = (const EfaAllocMrCmd *)&cmd->req;
    EfaPd *pd = efa_table_get(&core->pds, le16_to_cpu(req->pd));
    uint32_t max_pages = le32_to_cpu(req->max_pages);
    EfaAllocMrResp resp = { };
    EfaMr *mr;

    if (req->reserved1) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!pd) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "PD %u",
                              le16_to_cpu(req->pd));
    }
    if (!max_pages ||
        max_pages > MIN(core->cfg.max_mr_pages, EFA_FAST_MAX_PAGES)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE, "%u pages, %u is the "
                              "limit", max_pages,
                              MIN(core->cfg.max_mr_pages, EFA_FAST_MAX_PAGES));
    }
    mr = g_new0(EfaMr, 1);
    mr->index = efa_mr_room(core) ? efa_table_add(&core->fast_mrs, mr)
                                  : EFA_NO_INDEX;
    if (mr->index == EFA_NO_INDEX) {
        g_free(mr);
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                              EFA_EXT_NONE, "all are in use");
    }
    mr->fast = true;
    mr->max_pages = max_pages;
    mr->key = (mr->index + 1) << EFA_FAST_SHIFT;
    mr->pd = pd;
    pd->refs++;
    pd->fast_mrs++;
    resp.l_key = cpu_to_le32(mr->key);
    resp.r_key = cpu_to_le32(mr->key);
    memcpy(cmd->resp, &resp, sizeof(resp));
    trace_efa_mr_alloc(mr->key, max_pages);
    return EFA_ADMIN_SUCCESS;
}

static EfaCompStatus efa_fast_reg_check(const EfaCore *core, const EfaMr *mr,
                                        const EfaIoFastReg *req)
{
    uint64_t iova = le64_to_cpu(req->iova);
    uint64_t length = le64_to_cpu(req->mr_length);
    uint8_t shift = FIELD_EX8(req->flags, FAST_REG_FLAGS, PAGE_SHIFT);
    uint8_t mode = FIELD_EX8(req->flags, FAST_REG_FLAGS, PBL_MODE);
    uint64_t pages;

    if ((req->permissions & ~efa_mr_permissions(core)) ||
        FIELD_EX8(req->flags, FAST_REG_FLAGS, RESERVED) ||
        mode > EFA_FAST_REG_PBL_DIRECT ||
        !(core->cfg.page_size_cap >> shift & 1)) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR;
    }
    pages = efa_mr_count_pages(iova, length, shift);
    if (!length || iova + length < iova || pages > mr->max_pages ||
        (mode == EFA_FAST_REG_PBL_INLINE && pages > 1)) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH;
    }
    return EFA_IO_COMP_STATUS_OK;
}

static EfaCompStatus efa_fast_reg(EfaCore *core, const EfaPd *pd,
                                  const EfaIoFastReg *req)
{
    EfaAdminCmd cmd = { .name = "FAST_REG" };
    uint32_t key = le32_to_cpu(req->lkey);
    uint8_t shift = FIELD_EX8(req->flags, FAST_REG_FLAGS, PAGE_SHIFT);
    EfaMr *mr = efa_fast_mr_of(core, key);
    EfaPbl pbl = { .addr = le64_to_cpu(req->pbl), .pages = { req->pbl } };
    EfaCompStatus status;

    if (!mr || mr->pd != pd || mr->valid) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
    }
    status = efa_fast_reg_check(core, mr, req);
    if (status != EFA_IO_COMP_STATUS_OK) {
        return status;
    }
    pbl.form = FIELD_EX8(req->flags, FAST_REG_FLAGS, PBL_MODE) ==
               EFA_FAST_REG_PBL_INLINE ? EFA_PBL_INLINE : EFA_PBL_DIRECT;
    mr->iova = le64_to_cpu(req->iova);
    mr->length = le64_to_cpu(req->mr_length);
    mr->permissions = req->permissions;
    if (efa_mr_map(core, &cmd, mr, shift, &pbl) != EFA_ADMIN_SUCCESS) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
    }
    mr->key = key;
    mr->valid = true;
    trace_efa_mr_reg(mr->key, mr->iova, mr->length, mr->num_runs,
                     mr->permissions);
    return EFA_IO_COMP_STATUS_OK;
}

/* Back to the free state: no key opens it. */
static EfaCompStatus efa_fast_inv(EfaCore *core, const EfaPd *pd,
                                  const EfaIoFastReg *req)
{
    EfaMr *mr = efa_fast_mr_of(core, le32_to_cpu(req->lkey));

    if (!mr || mr->pd != pd || !mr->valid ||
        mr->key != le32_to_cpu(req->lkey)) {
        return EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY;
    }
    trace_efa_mr_dereg(mr->key);
    efa_mr_unmap(core, mr);
    mr->valid = false;
    return EFA_IO_COMP_STATUS_OK;
}

unsigned efa_fast_cost(const EfaIoFastReg *req)
{
    uint64_t pages = efa_mr_count_pages(le64_to_cpu(req->iova),
                                        le64_to_cpu(req->mr_length),
                                        FIELD_EX8(req->flags, FAST_REG_FLAGS,
                                                  PAGE_SHIFT));

    return 1 + MIN(pages, EFA_FAST_MAX_PAGES) / EFA_FAST_COST_PAGES;
}

EfaCompStatus efa_fast_execute(EfaCore *core, const EfaPd *pd, uint8_t op,
                               const EfaIoFastReg *req)
{
    return op == EFA_IO_FAST_REG ? efa_fast_reg(core, pd, req)
                                 : efa_fast_inv(core, pd, req);
}
