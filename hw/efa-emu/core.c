/*
 * EFA device model: life cycle, access to the host, the order of work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

typedef uint64_t EfaAnyWord __attribute__((may_alias, aligned(1)));
typedef uint32_t EfaAnyHalf __attribute__((may_alias, aligned(1)));
typedef uint64_t EfaWord __attribute__((may_alias));
typedef uint32_t EfaHalf __attribute__((may_alias));

/* The largest step that the alignment of @to allows; the bytes it takes. */
static size_t efa_copy_step(uint8_t *to, const uint8_t *from, size_t len)
{
    uintptr_t at = (uintptr_t)to;

    if (len >= 8 && at % 8 == 0) {
        qatomic_set((EfaWord *)to, *(const EfaAnyWord *)from);
        return 8;
    }
    if (len >= 4 && at % 4 == 0) {
        qatomic_set((EfaHalf *)to, *(const EfaAnyHalf *)from);
        return 4;
    }
    qatomic_set(to, *from);
    return 1;
}

void efa_copy_in_order(void *to, const void *from, size_t len)
{
    const uint8_t *s = from;
    uint8_t *d = to;
    size_t n;

    while (len) {
        if (len >= 64 && (uintptr_t)d % 8 == 0) {
            for (n = 0; n < 64; n += 8) {
                qatomic_set((EfaWord *)(d + n), *(const EfaAnyWord *)(s + n));
                /* in the order of the addresses */
                smp_wmb();
            }
        } else {
            n = efa_copy_step(d, s, len);
            /* likewise */
            smp_wmb();
        }
        d += n;
        s += n;
        len -= n;
    }
}

bool efa_dma_range_ok(uint64_t addr, uint64_t len)
{
    const uint64_t end = 1ULL << EFA_DMA_ADDR_WIDTH;

    return addr < end && len <= end - addr;
}

bool efa_dma_read(EfaCore *core, uint64_t addr, void *buf, size_t len)
{
    if (!efa_dma_range_ok(addr, len) ||
        !core->ops->dma_read(core->opaque, addr, buf, len)) {
        trace_efa_dma_fault("read", addr, len);
        return false;
    }
    return true;
}

bool efa_dma_write(EfaCore *core, uint64_t addr, const void *buf, size_t len)
{
    if (!efa_dma_range_ok(addr, len) ||
        !core->ops->dma_write(core->opaque, addr, buf, len)) {
        trace_efa_dma_fault("write", addr, len);
        return false;
    }
    return true;
}

bool efa_dma_publish(EfaCore *core, uint64_t addr, const void *entry,
                     size_t len, size_t publish)
{
    const uint8_t *bytes = entry;
    size_t tail = publish + sizeof(uint32_t);
    uint32_t word;

    if (publish && !efa_dma_write(core, addr, bytes, publish)) {
        return false;
    }
    if (len > tail &&
        !efa_dma_write(core, addr + tail, bytes + tail, len - tail)) {
        return false;
    }
    memcpy(&word, bytes + publish, sizeof(word));
    if (!efa_dma_range_ok(addr + publish, sizeof(word)) ||
        !core->ops->dma_publish32(core->opaque, addr + publish,
                                  le32_to_cpu(word))) {
        trace_efa_dma_fault("publish", addr, len);
        return false;
    }
    return true;
}

int64_t efa_now(EfaCore *core)
{
    return core->ops->clock_ns(core->opaque);
}

void efa_defer(EfaCore *core)
{
    core->ops->defer(core->opaque);
}

void efa_timer_at(EfaCore *core, int64_t deadline)
{
    if (deadline < core->timer_at) {
        core->timer_at = deadline;
        core->ops->timer(core->opaque, deadline);
    }
}

/* xorshift, Marsaglia 2003: good enough to shuffle, and the same anywhere */
uint32_t efa_random(EfaCore *core)
{
    uint32_t x = core->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    core->random = x;
    return x;
}

EfaCore *efa_core_new(const EfaConfig *cfg, const EfaHostOps *ops,
                      void *opaque, uint8_t *llq)
{
    EfaCore *core = g_new0(EfaCore, 1);

    efa_lock_init(&core->lock);
    efa_lock_init(&core->turn);
    efa_lock_init(&core->db_lock);
    core->cfg = *cfg;
    efa_config_resolve(&core->cfg);
    core->ops = ops;
    core->opaque = opaque;
    core->llq = llq;
    core->caps = efa_config_caps(&core->cfg);
    core->timer_at = INT64_MAX;
    /* never 0, and not the same for all devices of one seed */
    core->random = (cfg->seed * 0x9e3779b9u ^ cfg->gid.raw[15] << 8 ^
                    cfg->gid.raw[14] << 16) | 1;
    efa_objects_init(core);
    efa_impair_init(core);
    efa_srd_init(core);
    efa_reset_locked(core);
    return core;
}

void efa_core_free(EfaCore *core)
{
    efa_lock(&core->lock);
    efa_reset_locked(core);
    efa_srd_destroy(core);
    efa_impair_destroy(core);
    efa_faults_destroy(core);
    efa_objects_destroy(core);
    if (core->fabric) {
        core->fabric->ops->free(core->fabric);
    }
    g_free(core->rx_copy);
    efa_unlock(&core->lock);
    efa_lock_destroy(&core->db_lock);
    efa_lock_destroy(&core->turn);
    efa_lock_destroy(&core->lock);
    g_free(core);
}

void efa_core_set_fabric(EfaCore *core, EfaFabric *fabric)
{
    efa_lock(&core->lock);
    core->fabric = fabric;
    efa_unlock(&core->lock);
}

/*
 * What there is to do besides receiving: new sends, those that waited for
 * room, packets to ourselves, answers.
 */
static void efa_work(EfaCore *core, unsigned budget)
{
    if (core->admin_left) {
        efa_admin_run(core);
    }
    efa_impair_run(core, budget);
    /* answers first: what is small must not wait for room behind data */
    efa_net_send_acks(core);
    efa_sq_run(core, budget);
    efa_srd_resume(core, budget);
    efa_net_run_loop(core, budget);
    efa_net_send_acks(core);
    /* answers to ourselves are packets too */
    efa_net_run_loop(core, budget);
}

/*
 * Only when nothing is left to be received, or not for long: an answer that
 * has arrived must not be found missing. A vCPU leaves them to the iothread.
 */
static void efa_timers(EfaCore *core)
{
    int64_t now, srd, aenq;

    if (core->timer_at == INT64_MAX) {
        return;
    }
    now = efa_now(core);
    if (now >= core->timer_at) {
        core->timer_at = INT64_MAX;
        srd = efa_recovery_timers(core, now);
        aenq = efa_aenq_timer(core, now);
        efa_timer_at(core, MIN(MIN(srd, aenq), efa_impair_timer(core)));
    }
}

/* What could go on at once; the rest waits for a packet or a timer. */
static bool efa_work_left(const EfaCore *core)
{
    return core->ready.length || core->resume.length || core->loop.length ||
           core->admin_left || efa_impair_due(core);
}

static void efa_doorbell(EfaCore *core, uint32_t addr, uint32_t value)
{
    uint32_t uar = addr / EFA_DB_PAGE_SIZE;
    uint32_t offset = addr % EFA_DB_PAGE_SIZE;

    if (offset < EFA_DB_PAGE_SIZE / 2) {
        EfaQp *qp = efa_table_get(&core->qps, offset / 8);

        if (qp && qp->uar->index == uar) {
            if (offset & 4) {
                efa_rq_doorbell(core, qp, value);
            } else {
                efa_sq_doorbell(core, qp, value);
            }
            return;
        }
    } else {
        EfaCq *cq = efa_table_get(&core->cqs,
                                  (offset - EFA_DB_PAGE_SIZE / 2) / 4);

        if (cq && !cq->dead && cq->uar->index == uar) {
            efa_cq_doorbell(core, cq, value);
            return;
        }
    }
    /* Legal after a destroy: the process keeps its mapping (10.2). */
    core->stats.bad_doorbells++;
    trace_efa_doorbell_ignored(addr, value, "no such queue in that page");
}

static bool efa_next_doorbell(EfaCore *core, EfaDoorbell *db)
{
    bool found = false;

    efa_lock(&core->db_lock);
    if (core->db_count) {
        *db = core->db_queue[core->db_head++ % EFA_DB_QUEUE];
        qatomic_set(&core->db_count, core->db_count - 1);
        found = true;
    }
    efa_unlock(&core->db_lock);
    return found;
}

/* Act on what was rung, bounded: the ringers go on while we work. */
static void efa_drain_doorbells(EfaCore *core)
{
    unsigned budget = EFA_DB_QUEUE;
    EfaDoorbell db;

    while (budget-- && efa_next_doorbell(core, &db)) {
        efa_doorbell(core, db.addr, db.value);
    }
}

/* Take the core lock; doorbells rung before this call have taken effect. */
static void efa_core_lock(EfaCore *core)
{
    efa_lock(&core->turn);
    efa_lock(&core->lock);
    efa_unlock(&core->turn);
    efa_drain_doorbells(core);
}

/*
 * Give the core lock back. Whoever rang a doorbell meanwhile found it taken
 * and left the work to us.
 */
static void efa_core_unlock(EfaCore *core)
{
    do {
        efa_drain_doorbells(core);
        if (core->running && efa_work_left(core)) {
            efa_defer(core);
        }
        efa_unlock(&core->lock);
        smp_mb();
    } while (qatomic_read(&core->db_count) && efa_trylock(&core->lock));
}

static bool efa_queue_doorbell(EfaCore *core, uint32_t addr, uint32_t value)
{
    bool room;

    efa_lock(&core->db_lock);
    room = core->db_count < EFA_DB_QUEUE;
    if (room) {
        core->db_queue[(core->db_head + core->db_count) % EFA_DB_QUEUE] =
            (EfaDoorbell) { addr, value };
        qatomic_set(&core->db_count, core->db_count + 1);
    }
    efa_unlock(&core->db_lock);
    return room;
}

bool efa_core_run(EfaCore *core)
{
    bool more = false;

    efa_core_lock(core);
    if (core->running) {
        more = core->fabric->ops->poll(core->fabric, EFA_RUN_BUDGET);
        efa_net_release_held(core);
        efa_work(core, EFA_RUN_BUDGET);
        if (!more || ++core->busy_runs >= EFA_BUSY_RUNS) {
            core->busy_runs = 0;
            efa_timers(core);
        }
        core->fabric->ops->flush(core->fabric);
    }
    efa_core_unlock(core);
    return more;
}

void efa_core_reset(EfaCore *core)
{
    efa_core_lock(core);
    efa_reset_locked(core);
    efa_core_unlock(core);
}

bool efa_core_pending(EfaCore *core)
{
    return qatomic_read(&core->running) &&
           core->fabric->ops->pending(core->fabric);
}

/* A stopped core writes no events: what has changed is told later. */
static void efa_tell_link(EfaCore *core)
{
    if (core->running && core->link_was_down != core->link_down) {
        core->link_was_down = core->link_down;
        efa_aenq_post(core, EFA_ADMIN_NOTIFICATION,
                      core->link_down ? EFA_SYNDROME_LINK_DOWN
                                      : EFA_SYNDROME_LINK_UP);
    }
}

void efa_core_set_running(EfaCore *core, bool running)
{
    efa_core_lock(core);
    qatomic_set(&core->running, running);
    if (running) {
        efa_tell_link(core);
        efa_defer(core);
    }
    efa_core_unlock(core);
}

void efa_core_set_link(EfaCore *core, bool up)
{
    efa_core_lock(core);
    core->link_down = !up;
    efa_tell_link(core);
    efa_core_unlock(core);
}

bool efa_core_link(EfaCore *core)
{
    bool up;

    efa_core_lock(core);
    up = !core->link_down;
    efa_core_unlock(core);
    return up;
}

bool efa_core_set_impair(EfaCore *core, const EfaImpair *impair,
                         GError **errp)
{
    if (!efa_impair_check(impair, errp)) {
        return false;
    }
    efa_core_lock(core);
    efa_impair_set(core, impair);
    efa_core_unlock(core);
    return true;
}

void efa_core_get_impair(EfaCore *core, EfaImpair *impair)
{
    efa_core_lock(core);
    efa_impair_copy(impair, &core->impair.cfg);
    efa_core_unlock(core);
}

EfaImpairStats efa_core_impair_stats(EfaCore *core)
{
    EfaImpairStats stats;

    efa_core_lock(core);
    stats = core->impair.stats;
    efa_core_unlock(core);
    return stats;
}

bool efa_core_set_faults(EfaCore *core, const EfaFaults *faults,
                         GError **errp)
{
    if (!efa_faults_check(faults, errp)) {
        return false;
    }
    efa_core_lock(core);
    efa_faults_set(core, faults);
    efa_core_unlock(core);
    return true;
}

void efa_core_get_faults(EfaCore *core, EfaFaults *faults)
{
    efa_core_lock(core);
    efa_faults_copy(faults, &core->faults);
    efa_core_unlock(core);
}

EfaFaultStats *efa_core_fault_stats(EfaCore *core, size_t *num)
{
    EfaFaultStats *stats;

    efa_core_lock(core);
    *num = core->faults.num_rules;
    stats = g_memdup2(core->fault_stats, *num * sizeof(*stats));
    efa_core_unlock(core);
    return stats;
}

EfaDriverInfo efa_core_driver_info(EfaCore *core)
{
    EfaDriverInfo info = { };
    EfaHostInfo host;

    efa_core_lock(core);
    host = core->host_info;
    efa_core_unlock(core);
    memcpy(info.os, host.os_dist_str, sizeof(host.os_dist_str));
    memcpy(info.kernel, host.kernel_ver_str, sizeof(host.kernel_ver_str));
    info.os_type = le32_to_cpu(host.os_type);
    info.kernel_version = le32_to_cpu(host.kernel_ver);
    info.driver_version = le32_to_cpu(host.driver_ver);
    info.bdf = le16_to_cpu(host.bdf);
    info.spec_version = le16_to_cpu(host.spec_ver);
    info.flags = le32_to_cpu(host.flags);
    return info;
}

void efa_core_dma_changed(EfaCore *core)
{
    efa_core_lock(core);
    efa_admin_run(core);
    efa_core_unlock(core);
}

void efa_core_doorbell_write(EfaCore *core, uint64_t addr, uint64_t value,
                             unsigned size)
{
    if (size != 4 || addr % 4 || addr >= EFA_DB_BAR_SIZE) {
        efa_guest_error("doorbell 0x%" PRIx64 ": %u-byte access ignored",
                        addr, size);
        efa_core_lock(core);
        core->stats.bad_doorbells++;
        efa_core_unlock(core);
        return;
    }
    while (!efa_queue_doorbell(core, addr, value)) {
        /* rung faster than they are acted on: the ringer must wait */
        efa_core_lock(core);
        efa_core_unlock(core);
    }
    /* pairs with efa_core_unlock(): either we get the lock or it sees ours */
    smp_mb();
    if (efa_trylock(&core->lock)) {
        efa_drain_doorbells(core);
        if (core->running) {
            efa_work(core, EFA_INLINE_BUDGET);
            core->fabric->ops->flush(core->fabric);
        }
        efa_core_unlock(core);
    }
}

uint64_t efa_core_reg_read(EfaCore *core, uint64_t addr, unsigned size)
{
    uint64_t value;

    if (size != 4 || addr % 4) {
        efa_guest_error("register 0x%" PRIx64 ": %u-byte read", addr, size);
        return UINT64_MAX;
    }
    efa_core_lock(core);
    value = efa_reg_value(core, addr);
    efa_core_unlock(core);
    return value;
}

void efa_core_reg_write(EfaCore *core, uint64_t addr, uint64_t value,
                        unsigned size)
{
    if (size != 4 || addr % 4) {
        efa_guest_error("register 0x%" PRIx64 ": %u-byte write ignored",
                        addr, size);
        return;
    }
    efa_core_lock(core);
    efa_reg_write(core, addr, value);
    efa_core_unlock(core);
}
