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

#include "efa-fabric.h"
#include "impair.h"

#define EFA_PCI_VENDOR_ID       0x1d0f
#define EFA_PCI_DEVICE_ID_BASE  0xefa0
#define EFA_NUM_GENERATIONS     4

#define EFA_REG_BAR_SIZE        (16 * 1024)
/* Doorbells of one UAR; no two UARs share such a page (section 10.6). */
#define EFA_DB_PAGE_SIZE        4096
#define EFA_MAX_UARS            256
/* Payload of one message; with the 40 bytes of UD it must fit a CQE. */
#define EFA_MAX_MTU             8928
#define EFA_DB_BAR_SIZE         (EFA_MAX_UARS * EFA_DB_PAGE_SIZE)
/* What a doorbell page has room for. */
#define EFA_DB_MAX_QPS          (EFA_DB_PAGE_SIZE / 2 / 8)
#define EFA_DB_MAX_CQS          (EFA_DB_PAGE_SIZE / 2 / 4)

typedef struct EfaCore EfaCore;

/*
 * What the core needs from its host. All are called with the core lock held
 * and must not call back into the core.
 */
typedef struct EfaHostOps {
    /* Guest memory, by DMA address. false: fault, nothing is known of how
     * much was transferred. */
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

/* Limits and identity; each field is a property of the device. */
typedef struct EfaConfig {
    uint8_t generation;             /* 0..3: PCI device 0xefa0..0xefa3 */
    EfaGid gid;
    uint8_t guid[8];                /* big-endian node GUID */
    uint32_t num_vectors;           /* MSI-X table size */
    uint32_t mtu;                   /* bytes of payload in one message */
    uint32_t max_qp;
    uint32_t max_sq_depth;          /* WQEs */
    uint32_t max_rq_depth;          /* receive descriptors */
    uint32_t max_cq;
    uint32_t max_cq_depth;          /* entries of one sub-CQ */
    uint16_t sub_cqs_per_cq;
    uint16_t max_send_sges;
    uint16_t max_recv_sges;
    uint32_t max_mr;
    uint32_t max_mr_pages;
    uint32_t max_pd;
    uint32_t max_ah;
    uint32_t max_eq;
    uint32_t max_eq_depth;
    uint32_t max_llq_size;          /* bytes of one send queue */
    uint16_t link_speed_gbps;
    uint32_t keep_alive_ms;         /* AENQ keep-alive period, 0 = none */
    uint32_t peer_timeout_ms;       /* until a silent peer is given up */
    uint32_t max_rdma_size;         /* bytes of one RDMA operation */
    uint32_t reorder;               /* SRD packets that may overtake one */
    uint32_t seed;                  /* of every random choice */
} EfaConfig;

/*
 * Limits with their defaults, in one place for the core and for the device's
 * properties: X(property type, field, property name, default).
 */
#define EFA_CONFIG_LIMITS(X)                                            \
    X(UINT32, num_vectors, "vectors", 32)                               \
    X(UINT32, mtu, "mtu", EFA_MAX_MTU)                                  \
    X(UINT32, max_qp, "max-qp", EFA_DB_MAX_QPS)                         \
    X(UINT32, max_sq_depth, "max-sq-depth", 4096)                       \
    X(UINT32, max_rq_depth, "max-rq-depth", 8192)                       \
    X(UINT32, max_cq, "max-cq", EFA_DB_MAX_CQS)                         \
    X(UINT32, max_cq_depth, "max-cq-depth", 32768)                      \
    X(UINT16, sub_cqs_per_cq, "sub-cqs-per-cq", 1)                      \
    X(UINT16, max_send_sges, "max-send-sges", 2)                        \
    X(UINT16, max_recv_sges, "max-recv-sges", 2)                        \
    X(UINT32, max_mr, "max-mr", 65535)                                  \
    X(UINT32, max_mr_pages, "max-mr-pages", 0x1000000)                  \
    X(UINT32, max_pd, "max-pd", 256)                                    \
    X(UINT32, max_ah, "max-ah", 4096)                                   \
    X(UINT32, max_eq, "max-eq", 31)                                     \
    X(UINT32, max_eq_depth, "max-eq-depth", 4096)                       \
    X(UINT32, max_llq_size, "max-llq-size", 256 * 1024)                 \
    X(UINT16, link_speed_gbps, "link-speed-gbps", 100)                  \
    X(UINT32, peer_timeout_ms, "peer-timeout-ms", 5000)                 \
    X(UINT32, keep_alive_ms, "keep-alive-ms", 0)                        \
    X(UINT32, max_rdma_size, "max-rdma-size", 1u << 30)                 \
    X(UINT32, reorder, "reorder", 4)                                    \
    X(UINT32, seed, "seed", 1)

/* Fill @cfg with the defaults of @generation. */
void efa_config_init(EfaConfig *cfg, uint8_t generation);

/* false and one line in @errp naming the property, its value and limit. */
bool efa_config_check(const EfaConfig *cfg, GError **errp);

/* Bytes of the LLQ memory BAR: a power of two. */
uint64_t efa_config_llq_bar_size(const EfaConfig *cfg);

/*
 * @llq: the memory behind the LLQ BAR, efa_config_llq_bar_size() bytes, owned
 * by the caller and valid until efa_core_free(). @cfg must have passed
 * efa_config_check(). The core starts as after a reset, stopped.
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
 * Do deferred work: packets, timers, send queues. Bounded; true if some is
 * left and the caller should come back soon.
 */
bool efa_core_run(EfaCore *core);

/* Would efa_core_run() receive something? Without lock or system call. */
bool efa_core_pending(EfaCore *core);

#endif /* HW_EFA_CORE_H */
