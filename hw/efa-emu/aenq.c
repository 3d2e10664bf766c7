/*
 * EFA device model: asynchronous event notification queue
 *
 * Control path specification, section 7.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

void efa_aenq_post(EfaCore *core, EfaAenqGroup group, uint16_t syndrome)
{
    EfaAdminRing *aenq = &core->aenq;
    uint64_t now = efa_now(core);
    uint32_t slot;
    EfaAenqEntry entry = {
        .group = cpu_to_le16(group),
        .syndrome = cpu_to_le16(syndrome),
        .timestamp_low = cpu_to_le32(now),
        .timestamp_high = cpu_to_le32(now >> 32),
    };

    if (!aenq->live || !(core->aenq_groups & (1u << group)) ||
        !core->ops->dma_enabled(core->opaque)) {
        return;
    }
    if (aenq->prod - aenq->cons >= aenq->depth) {
        core->stats.aenq_drops++;
        trace_efa_aenq_full(group);
        return;
    }
    slot = aenq->prod & (aenq->depth - 1);
    entry.flags = !((aenq->prod / aenq->depth) & 1);
    aenq->prod++;
    trace_efa_aenq_post(group, syndrome, slot);
    if (efa_dma_publish(core, aenq->base + slot * EFA_AENQ_ENTRY_SIZE, &entry,
                        sizeof(entry), offsetof(EfaAenqEntry, flags))) {
        efa_admin_irq(core, aenq->vector);
    }
}

void efa_aenq_configure(EfaCore *core, uint32_t groups)
{
    core->aenq_groups = groups;
    if (core->cfg.keep_alive_ms && (groups & (1u << EFA_ADMIN_KEEP_ALIVE))) {
        core->keep_alive_at = efa_now(core) +
                              core->cfg.keep_alive_ms * EFA_NSEC_PER_MSEC;
        efa_timer_at(core, core->keep_alive_at);
    } else {
        core->keep_alive_at = INT64_MAX;
    }
}

int64_t efa_aenq_timer(EfaCore *core, int64_t now)
{
    if (now >= core->keep_alive_at) {
        efa_aenq_post(core, EFA_ADMIN_KEEP_ALIVE, 0);
        core->keep_alive_at = now +
                              core->cfg.keep_alive_ms * EFA_NSEC_PER_MSEC;
    }
    return core->keep_alive_at;
}
