/*
 * EFA device model: the core as its surroundings see it
 *
 * The core is everything of the device that is not QEMU: registers, admin
 * queue, objects, queues and transport. It owns one lock, which every
 * function below takes itself; they may be called from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_CORE_H
#define HW_EFA_CORE_H

#include "efa-config.h"
#include "faults.h"
#include "impair.h"

#define EFA_PCI_VENDOR_ID       0x1d0f
#define EFA_PCI_DEVICE_ID_BASE  0xefa0

#define EFA_REG_BAR_SIZE        (16 * 1024)

typedef struct EfaCore EfaCore;

/* What the driver has told of itself and its machine; zeros until it has. */
typedef struct EfaDriverInfo {
    char os[129];               /* both strings end with a zero */
    char kernel[33];
    uint32_t os_type;           /* 0: Linux */
    uint32_t kernel_version;
    uint32_t driver_version;
    uint16_t bdf;
    uint16_t spec_version;
    uint32_t flags;
} EfaDriverInfo;

/*
 * Copy so that other processors see the bytes in ascending order, each 8 or 4
 * aligned ones at once: software polls data that the device writes (data path
 * specification, 7.7). memcpy() promises no order.
 */
void efa_copy_in_order(void *to, const void *from, size_t len);

/*
 * What the core needs from its host. All are called with the core lock held
 * and must not call back into the core.
 */
typedef struct EfaHostOps {
    /*
     * Guest memory, by DMA address; written as efa_copy_in_order() does it.
     * false: fault, nothing is known of how much was transferred.
     */
    bool (*dma_read)(void *opaque, uint64_t addr, void *buf, size_t len);
    bool (*dma_write)(void *opaque, uint64_t addr, const void *buf,
                      size_t len);
    /* One aligned 32-bit store, visible to the guest after every earlier
     * dma_write. */
    bool (*dma_publish32)(void *opaque, uint64_t addr, uint32_t value);
    /* Is the device allowed to master the bus? */
    bool (*dma_enabled)(void *opaque);
    /* Raise MSI-X @vector, now or soon. */
    void (*irq)(void *opaque, unsigned vector);
    /* A reset: forget interrupts that have not been delivered. Optional. */
    void (*irq_forget)(void *opaque);
    /* Nanoseconds of guest-visible time, monotonic. */
    int64_t (*clock_ns)(void *opaque);
    /* A number that grows from one life of the device to the next, also
     * across restarts of the host. Optional: the wall clock. */
    uint64_t (*epoch)(void *opaque);
    /* Call efa_core_run() when clock_ns() reaches @deadline. */
    void (*timer)(void *opaque, int64_t deadline);
    /* Call efa_core_run() soon, from the device's own thread. */
    void (*defer)(void *opaque);
} EfaHostOps;

/*
 * @llq: the memory behind the LLQ BAR, efa_config_llq_bar_size() bytes, owned
 * by the caller and valid until efa_core_free(). @cfg must have passed
 * efa_config_check() once resolved. The core starts as after a reset, stopped.
 */
EfaCore *efa_core_new(const EfaConfig *cfg, const EfaHostOps *ops,
                      void *opaque, uint8_t *llq);
void efa_core_free(EfaCore *core);

/* What a fabric backend made for this core reports to, with @core. */
extern const EfaFabricClient efa_fabric_client;

/* Attach the backend (the core frees it). Exactly once, before use. */
void efa_core_set_fabric(EfaCore *core, EfaFabric *fabric);

/* Everything but PCI config space back to power-on: VM reset and FLR. */
void efa_core_reset(EfaCore *core);

/* While stopped the core touches neither guest memory nor the fabric. */
void efa_core_set_running(EfaCore *core, bool running);

/* Bus mastering may have been switched on: look for waiting work. */
void efa_core_dma_changed(EfaCore *core);

/* BAR 0; @size in bytes as the guest used it, anything but 4 is refused. */
uint64_t efa_core_reg_read(EfaCore *core, uint64_t addr, unsigned size);
void efa_core_reg_write(EfaCore *core, uint64_t addr, uint64_t value,
                        unsigned size);

/* Doorbell BAR. */
void efa_core_doorbell_write(EfaCore *core, uint64_t addr, uint64_t value,
                             unsigned size);

/*
 * What the network does to packets from now on (impair.h); chance and
 * counters begin anew, held packets go on at once. false and one line in
 * @errp if the rules are not legal: nothing has changed.
 */
bool efa_core_set_impair(EfaCore *core, const EfaImpair *impair,
                         GError **errp);
/* A copy of the rules in force; efa_impair_clear() it. */
void efa_core_get_impair(EfaCore *core, EfaImpair *impair);
EfaImpairStats efa_core_impair_stats(EfaCore *core);

/*
 * Which admin commands go wrong from now on (faults.h); a reset changes
 * nothing. false and one line in @errp if the rules are not legal.
 */
bool efa_core_set_faults(EfaCore *core, const EfaFaults *faults,
                         GError **errp);
/* A copy of the rules in force; efa_faults_clear() it. */
void efa_core_get_faults(EfaCore *core, EfaFaults *faults);
/* What each has seen, in their order, as many as @num; g_free() it. */
EfaFaultStats *efa_core_fault_stats(EfaCore *core, size_t *num);

/*
 * The cable: while it is out, every packet is lost, in and out and to
 * ourselves. The driver is told of each change; a reset changes nothing.
 */
void efa_core_set_link(EfaCore *core, bool up);
bool efa_core_link(EfaCore *core);

/* Of the device's present life: a reset forgets it. */
EfaDriverInfo efa_core_driver_info(EfaCore *core);

/*
 * Do deferred work: packets, timers, send queues. Bounded; true if some is
 * left and the caller should come back soon.
 */
bool efa_core_run(EfaCore *core);

/* Would efa_core_run() receive something? Without lock or system call. */
bool efa_core_pending(EfaCore *core);

#endif /* HW_EFA_CORE_H */
