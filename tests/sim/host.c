/*
 * Simulator: guest memory, and how a driver talks to its device
 *
 * Every access of the device is held against what the guest has allowed at
 * that moment: rings, posted buffers, buffers of work under way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define AQ_DEPTH    16
#define AENQ_DEPTH  16
/* A device that asks for shorter ones all the time does not come to rest. */
#define MIN_TIMER   (10 * SIM_USEC)

void host_allow(Node *n, uint32_t offset, uint32_t len, uint8_t bits)
{
    uint32_t i;

    for (i = offset / SIM_GRANULE; i * SIM_GRANULE < offset + len; i++) {
        n->map[i] |= bits;
    }
}

void host_deny(Node *n, uint32_t offset, uint32_t len, uint8_t bits)
{
    uint32_t i;

    for (i = offset / SIM_GRANULE; i * SIM_GRANULE < offset + len; i++) {
        n->map[i] &= ~bits;
    }
}

static bool host_access(Node *n, uint64_t addr, size_t len, uint8_t bit)
{
    uint64_t offset = addr - SIM_DMA_BASE, i;
    uint32_t size = n->w->layout.size;
    const char *what = bit == MAP_WRITE ? "write" : "read";

    if (offset >= size || len > size - offset) {
        sim_broken(n->w, n, NULL, NULL, "memory: %s of %zu bytes at 0x%"
                   PRIx64 ", where there is none", what, len, addr);
        return false;
    }
    for (i = offset / SIM_GRANULE; i * SIM_GRANULE < offset + len; i++) {
        if (!(n->map[i] & bit)) {
            sim_broken(n->w, n, NULL, NULL, "memory: %s of %zu bytes at "
                       "offset 0x%" PRIx64 ", which the device may not touch",
                       what, len, offset);
            return false;
        }
    }
    return true;
}

static bool op_dma_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    Node *n = opaque;

    if (!host_access(n, addr, len, MAP_READ)) {
        return false;
    }
    memcpy(buf, n->mem + (addr - SIM_DMA_BASE), len);
    return true;
}

static bool op_dma_write(void *opaque, uint64_t addr, const void *buf,
                         size_t len)
{
    Node *n = opaque;
    World *w = n->w;
    uint64_t offset = addr - SIM_DMA_BASE;

    if (!host_access(n, addr, len, MAP_WRITE)) {
        return false;
    }
    if ((w->plan.defect == BREAK_forget && offset >= w->layout.big && len) ||
        (w->plan.defect == BREAK_miscount && offset >= w->layout.counters &&
         offset < w->layout.rq[0])) {
        return true;
    }
    efa_copy_in_order(n->mem + offset, buf, len);
    if (w->plan.defect == BREAK_overrun && offset >= w->layout.rx) {
        n->mem[offset + len] ^= 1;
    } else if (w->plan.defect == BREAK_stray_write && !w->defect_done &&
               offset >= w->layout.rx) {
        w->defect_done = true;
        op_dma_write(n, addr - SIM_GRANULE, "stray", 5);
    }
    return true;
}

static bool op_dma_publish32(void *opaque, uint64_t addr, uint32_t value)
{
    return op_dma_write(opaque, addr, &value, sizeof(value));
}

static bool op_dma_enabled(void *opaque)
{
    return true;
}

static void op_irq(void *opaque, unsigned vector)
{
    /* completions are polled for after every step of the device */
}

static int64_t op_clock_ns(void *opaque)
{
    return ((Node *)opaque)->w->now;
}

static uint64_t op_epoch(void *opaque)
{
    return ++((Node *)opaque)->w->epoch;
}

/*
 * Timers only ever move to an earlier moment or go off: an event that is
 * under way serves any later deadline too.
 */
static void op_timer(void *opaque, int64_t deadline)
{
    Node *n = opaque;

    n->timer_at = deadline;
    n->timer_fair = deadline - n->w->now >= MIN_TIMER;
    if (deadline < n->timer_queued) {
        n->timer_queued = deadline;
        world_at(n->w, deadline, EV_TIMER, n);
    }
}

static void op_defer(void *opaque)
{
    node_wake(opaque, SIM_USEC / 10);
}

const EfaHostOps host_ops = {
    .dma_read = op_dma_read,
    .dma_write = op_dma_write,
    .dma_publish32 = op_dma_publish32,
    .dma_enabled = op_dma_enabled,
    .irq = op_irq,
    .clock_ns = op_clock_ns,
    .epoch = op_epoch,
    .timer = op_timer,
    .defer = op_defer,
};

/* ---- registers ---- */

static void reg_write(Node *n, uint32_t offset, uint32_t value)
{
    efa_core_reg_write(n->core, offset, value, 4);
}

static uint32_t reg_read(Node *n, uint32_t offset)
{
    struct {
        uint16_t req_id, reg_off;
        uint32_t reg_val;
    } *resp = host_ptr(n, n->w->layout.resp);
    uint16_t seq = ++n->rr_seq;

    reg_write(n, A_MMIO_REG_READ, offset << 16 | seq);
    if (resp->req_id != seq) {
        sim_broken(n->w, n, NULL, NULL, "control: register 0x%x gives no "
                   "answer",
                   offset);
    }
    return resp->reg_val;
}

static void reg_write_pair(Node *n, uint32_t lo, uint64_t value)
{
    reg_write(n, lo, value);
    reg_write(n, lo + 4, value >> 32);
}

void host_doorbell(Node *n, uint32_t offset, uint32_t value)
{
    n->idle_runs = 0;
    efa_core_doorbell_write(n->core, offset, value, 4);
}

void host_probe(Node *n)
{
    const Layout *l = &n->w->layout;

    host_allow(n, l->resp, 8, MAP_WRITE);
    host_allow(n, l->aq, AQ_DEPTH * EFA_AQ_ENTRY_SIZE, MAP_READ);
    host_allow(n, l->acq, AQ_DEPTH * EFA_ACQ_ENTRY_SIZE, MAP_WRITE);
    host_allow(n, l->aenq, AENQ_DEPTH * EFA_AENQ_ENTRY_SIZE, MAP_WRITE);
    memset(host_ptr(n, l->aq), 0, AQ_DEPTH * EFA_AQ_ENTRY_SIZE);
    memset(host_ptr(n, l->acq), 0, AQ_DEPTH * EFA_ACQ_ENTRY_SIZE);
    n->aq_prod = 0;
    n->acq_cons = 0;

    reg_write(n, A_DEV_CTL, R_DEV_CTL_DEV_RESET_MASK);
    reg_write(n, A_MMIO_RESP_HI, host_dma(l->resp) >> 32);
    reg_write(n, A_MMIO_RESP_LO, host_dma(l->resp));
    reg_write(n, A_DEV_CTL, 0);
    if (!(reg_read(n, A_DEV_STS) & R_DEV_STS_READY_MASK)) {
        sim_broken(n->w, n, NULL, NULL, "control: the device is not ready");
    }
    reg_write_pair(n, A_AQ_BASE_LO, host_dma(l->aq));
    reg_write(n, A_AQ_CAPS, EFA_AQ_ENTRY_SIZE << 16 | AQ_DEPTH);
    reg_write_pair(n, A_ACQ_BASE_LO, host_dma(l->acq));
    reg_write(n, A_ACQ_CAPS, EFA_ACQ_ENTRY_SIZE << 16 | AQ_DEPTH);
    reg_write(n, A_INTR_MASK, 0);
    reg_write_pair(n, A_AENQ_BASE_LO, host_dma(l->aenq));
    reg_write(n, A_AENQ_CAPS, EFA_AENQ_ENTRY_SIZE << 16 | AENQ_DEPTH);
    reg_write(n, A_AENQ_CONS_DB, 0);
}

/* ---- admin queue ---- */

uint8_t host_admin(Node *n, void *cmd, void *resp, size_t len)
{
    const Layout *l = &n->w->layout;
    EfaAqEntry *entry = cmd;
    EfaAqEntry *slot = (EfaAqEntry *)host_ptr(n, l->aq) +
                       n->aq_prod % AQ_DEPTH;
    const EfaAcqEntry *cqe = (EfaAcqEntry *)host_ptr(n, l->acq) +
                             n->acq_cons % AQ_DEPTH;
    uint8_t phase = !(n->acq_cons / AQ_DEPTH & 1);

    n->cmd_id = (n->cmd_id + 1) & 0xfff;
    n->idle_runs = 0;
    entry->common.command_id = n->cmd_id;
    entry->common.flags = (entry->common.flags & ~1) |
                          !(n->aq_prod / AQ_DEPTH & 1);
    *slot = *entry;
    reg_write(n, A_AQ_PROD_DB, ++n->aq_prod);
    if ((cqe->flags & 1) != phase || cqe->command != n->cmd_id) {
        sim_broken(n->w, n, NULL, NULL, "control: admin command %u gets no "
                   "answer",
                   entry->common.opcode);
        return EFA_ADMIN_UNKNOWN_ERROR;
    }
    n->acq_cons++;
    if (resp) {
        memcpy(resp, cqe->response, len);
    }
    return cqe->status;
}

void host_admin_ok(Node *n, void *cmd, void *resp, size_t len)
{
    uint8_t status = host_admin(n, cmd, resp, len);

    if (status != EFA_ADMIN_SUCCESS) {
        sim_broken(n->w, n, NULL, NULL, "control: admin command %u is refused "
                   "with status %u", ((EfaAqEntry *)cmd)->common.opcode, status);
    }
}
