/*
 * EFA device model: control registers, readless reads, reset
 *
 * Control path specification, sections 2 and 3.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define EFA_REG_UNREADABLE  UINT32_MAX

typedef struct EfaRegInfo {
    const char *name;
    bool readable;
    uint32_t reset;
    void (*write)(EfaCore *core, uint32_t value);
} EfaRegInfo;

static uint64_t efa_reg_pair(EfaCore *core, int lo, int hi)
{
    return core->regs[lo] | (uint64_t)core->regs[hi] << 32;
}

/*
 * A queue takes effect with its CAPS register (3.3): base and depth are
 * latched, counters and phase start over. A refused one stays off.
 */
static void efa_ring_setup(EfaCore *core, EfaAdminRing *ring, const char *name,
                           uint64_t base, uint16_t depth, uint32_t entry_size,
                           uint32_t want_size, uint8_t vector)
{
    memset(ring, 0, sizeof(*ring));
    if (depth == 0 || depth > 4096 || !is_power_of_2(depth) ||
        entry_size != want_size || vector >= core->cfg.num_vectors ||
        base == 0 || base % 8 ||
        !efa_dma_range_ok(base, (uint64_t)depth * entry_size)) {
        efa_guest_error("%s at 0x%" PRIx64 ", %u entries of %u bytes, vector "
                        "%u: refused", name, base, depth, entry_size, vector);
        return;
    }
    ring->live = true;
    ring->base = base;
    ring->depth = depth;
    ring->entry_size = entry_size;
    ring->vector = vector;
    trace_efa_ring_setup(name, base, depth, vector);
}

/* The ACQ must hold an answer to each command (13.1), whichever came last. */
static void efa_rings_check(EfaCore *core)
{
    if (core->acq.live && core->aq.live && core->acq.depth < core->aq.depth) {
        efa_guest_error("ACQ of %u entries is smaller than the AQ of %u: "
                        "refused", core->acq.depth, core->aq.depth);
        core->acq.live = false;
    }
}

static void efa_write_aq_caps(EfaCore *core, uint32_t value)
{
    uint32_t size = FIELD_EX32(value, AQ_CAPS, AQ_ENTRY_SIZE);
    bool wide = size == EFA_AQ_ENTRY_SIZE_V2 &&
                core->cfg.admin_version >= EFA_ADMIN_VERSION_V2;

    efa_ring_setup(core, &core->aq, "AQ",
                   efa_reg_pair(core, R_AQ_BASE_LO, R_AQ_BASE_HI),
                   FIELD_EX32(value, AQ_CAPS, AQ_DEPTH),
                   size, wide ? EFA_AQ_ENTRY_SIZE_V2 : EFA_AQ_ENTRY_SIZE, 0);
    efa_rings_check(core);
}

static void efa_write_acq_caps(EfaCore *core, uint32_t value)
{
    efa_ring_setup(core, &core->acq, "ACQ",
                   efa_reg_pair(core, R_ACQ_BASE_LO, R_ACQ_BASE_HI),
                   FIELD_EX32(value, ACQ_CAPS, ACQ_DEPTH),
                   FIELD_EX32(value, ACQ_CAPS, ACQ_ENTRY_SIZE),
                   EFA_ACQ_ENTRY_SIZE,
                   FIELD_EX32(value, ACQ_CAPS, ACQ_MSIX_VECTOR));
    efa_rings_check(core);
}

static void efa_write_aenq_caps(EfaCore *core, uint32_t value)
{
    efa_ring_setup(core, &core->aenq, "AENQ",
                   efa_reg_pair(core, R_AENQ_BASE_LO, R_AENQ_BASE_HI),
                   FIELD_EX32(value, AENQ_CAPS, AENQ_DEPTH),
                   FIELD_EX32(value, AENQ_CAPS, AENQ_ENTRY_SIZE),
                   EFA_AENQ_ENTRY_SIZE,
                   FIELD_EX32(value, AENQ_CAPS, AENQ_MSIX_VECTOR));
}

static void efa_write_aq_prod_db(EfaCore *core, uint32_t value)
{
    efa_admin_doorbell(core, value);
}

static void efa_write_aenq_cons_db(EfaCore *core, uint32_t value)
{
    if (core->aenq.prod - value > core->aenq.depth) {
        core->stats.bad_doorbells++;
        efa_guest_error("AENQ consumer counter %u is beyond the producer's %u",
                        value, core->aenq.prod);
        return;
    }
    core->aenq.cons = value;
}

static void efa_write_intr_mask(EfaCore *core, uint32_t value)
{
    if (!FIELD_EX32(value, INTR_MASK, EN)) {
        efa_admin_unmask(core);
    }
}

static void efa_write_dev_ctl(EfaCore *core, uint32_t value)
{
    uint32_t sts = core->regs[R_DEV_STS];

    if (FIELD_EX32(value, DEV_CTL, DEV_RESET)) {
        trace_efa_reset(FIELD_EX32(value, DEV_CTL, RESET_REASON));
        efa_reset_locked(core);
        core->regs[R_DEV_CTL] = value;
        core->regs[R_DEV_STS] = FIELD_DP32(core->regs[R_DEV_STS], DEV_STS,
                                           RESET_IN_PROGRESS, 1);
    } else if (FIELD_EX32(sts, DEV_STS, RESET_IN_PROGRESS)) {
        sts = FIELD_DP32(sts, DEV_STS, RESET_IN_PROGRESS, 0);
        core->regs[R_DEV_STS] = FIELD_DP32(sts, DEV_STS, RESET_FINISHED, 1);
    }
}

/*
 * 2.3: the answer is one aligned 8-byte store whose first half carries the
 * request id, made before the write returns, so that the first poll sees it.
 */
static void efa_write_mmio_reg_read(EfaCore *core, uint32_t value)
{
    uint64_t addr = efa_reg_pair(core, R_MMIO_RESP_LO, R_MMIO_RESP_HI);
    uint16_t req_id = FIELD_EX32(value, MMIO_REG_READ, REQ_ID);
    uint16_t reg_off = FIELD_EX32(value, MMIO_REG_READ, REG_OFF);
    struct {
        uint16_t req_id;
        uint16_t reg_off;
        uint32_t reg_val;
    } resp;
    uint32_t reg_val = efa_reg_value(core, reg_off);

    if (!addr || addr % 8) {
        efa_guest_error("register read 0x%x: no response address", reg_off);
        return;
    }
    resp.req_id = cpu_to_le16(req_id);
    resp.reg_off = cpu_to_le16(reg_off);
    resp.reg_val = cpu_to_le32(reg_val);
    trace_efa_readless(reg_off, reg_val, req_id);
    efa_dma_publish(core, addr, &resp, sizeof(resp), 0);
}

static void efa_write_eq_db(EfaCore *core, uint32_t value)
{
    efa_eq_doorbell(core, value);
}

#define RO(_reg, _reset) \
    [R_##_reg] = { .name = #_reg, .readable = true, .reset = (_reset) }
#define WO(_reg, _write) \
    [R_##_reg] = { .name = #_reg, .write = (_write) }

static void efa_write_latch(EfaCore *core, uint32_t value)
{
    /* the value is kept by efa_reg_write(), nothing else happens */
}

static const EfaRegInfo efa_regs[EFA_REGS_END / 4] = {
    RO(VERSION, 0),
    RO(CONTROLLER_VERSION, 0x01000001),
    RO(CAPS, EFA_DMA_ADDR_WIDTH << R_CAPS_DMA_ADDR_WIDTH_SHIFT),
    RO(DEV_STS, R_DEV_STS_READY_MASK),
    WO(AQ_BASE_LO, efa_write_latch),
    WO(AQ_BASE_HI, efa_write_latch),
    WO(AQ_CAPS, efa_write_aq_caps),
    WO(ACQ_BASE_LO, efa_write_latch),
    WO(ACQ_BASE_HI, efa_write_latch),
    WO(ACQ_CAPS, efa_write_acq_caps),
    WO(AQ_PROD_DB, efa_write_aq_prod_db),
    WO(AENQ_CAPS, efa_write_aenq_caps),
    WO(AENQ_BASE_LO, efa_write_latch),
    WO(AENQ_BASE_HI, efa_write_latch),
    WO(AENQ_CONS_DB, efa_write_aenq_cons_db),
    WO(INTR_MASK, efa_write_intr_mask),
    WO(DEV_CTL, efa_write_dev_ctl),
    WO(MMIO_REG_READ, efa_write_mmio_reg_read),
    WO(MMIO_RESP_LO, efa_write_latch),
    WO(MMIO_RESP_HI, efa_write_latch),
    WO(EQ_DB, efa_write_eq_db),
};

uint32_t efa_reg_value(EfaCore *core, uint32_t addr)
{
    uint32_t index = addr / 4;

    if (addr % 4 || index >= ARRAY_SIZE(efa_regs) ||
        !efa_regs[index].readable) {
        efa_guest_error("register 0x%x cannot be read", addr);
        return EFA_REG_UNREADABLE;
    }
    return core->regs[index];
}

void efa_reg_write(EfaCore *core, uint32_t addr, uint32_t value)
{
    uint32_t index = addr / 4;

    if (index >= ARRAY_SIZE(efa_regs) || !efa_regs[index].write) {
        efa_guest_error("register 0x%x cannot be written", addr);
        return;
    }
    trace_efa_reg_write(addr, efa_regs[index].name, value);
    core->regs[index] = value;
    efa_regs[index].write(core, value);
}

void efa_reset_locked(EfaCore *core)
{
    uint32_t *caps;
    size_t i;

    efa_objects_reset(core);
    efa_srd_reset(core);
    /* the driver may give the vectors away now (3.2) */
    if (core->ops->irq_forget) {
        core->ops->irq_forget(core->opaque);
    }

    memset(&core->aq, 0, sizeof(core->aq));
    memset(&core->acq, 0, sizeof(core->acq));
    memset(&core->aenq, 0, sizeof(core->aenq));
    memset(&core->host_info, 0, sizeof(core->host_info));
    memset(&core->stats, 0, sizeof(core->stats));
    core->aenq_groups = 0;
    core->keep_alive_at = INT64_MAX;
    core->irq_while_masked = false;
    core->fatal = false;
    core->admin_left = false;
    for (i = 0; i < ARRAY_SIZE(efa_regs); i++) {
        core->regs[i] = efa_regs[i].reset;
    }
    core->regs[R_VERSION] = FIELD_DP32(0, VERSION, MINOR_VERSION,
                                       core->cfg.admin_version);
    caps = &core->regs[R_CAPS];
    *caps = FIELD_DP32(*caps, CAPS, RESET_TIMEOUT,
                       core->cfg.reset_timeout_ms / 100);
    *caps = FIELD_DP32(*caps, CAPS, ADMIN_CMD_TO,
                       core->cfg.admin_timeout_ms / 100);
}
