/*
 * EFA device model: what a device is configured to be
 *
 * Each limit and each capability is a property of the device. What is not
 * given has the generation's value; config.c has the table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_CONFIG_H
#define HW_EFA_CONFIG_H

#include "efa-fabric.h"

#define EFA_NUM_GENERATIONS     5
/* Doorbells of one UAR; no two UARs share such a page (section 10.6). */
#define EFA_DB_PAGE_SIZE        4096
#define EFA_MAX_UARS            256
/* Payload of one message; with the 40 bytes of UD it must fit a CQE. */
#define EFA_MAX_MTU             8928
#define EFA_DB_BAR_SIZE         (EFA_MAX_UARS * EFA_DB_PAGE_SIZE)
/* What a doorbell page has room for. */
#define EFA_DB_MAX_QPS          (EFA_DB_PAGE_SIZE / 2 / 8)
#define EFA_DB_MAX_CQS          (EFA_DB_PAGE_SIZE / 2 / 4)

/*
 * Limits that depend on the generation: X(property type, field, property
 * name, description). 0: the generation's.
 */
#define EFA_CONFIG_GENERATION_LIMITS(X)                                     \
    X(UINT32, mtu, "mtu", "Largest message in bytes")                       \
    X(UINT32, max_qp, "max-qp", "Queue pairs")                              \
    X(UINT32, max_sq_depth, "max-sq-depth",                                 \
      "Send work requests of one QP (power of two)")                        \
    X(UINT32, max_rq_depth, "max-rq-depth",                                 \
      "Receive descriptors of one QP (power of two)")                       \
    X(UINT32, max_cq, "max-cq", "Completion queues")                        \
    X(UINT32, max_cq_depth, "max-cq-depth",                                 \
      "Entries of one completion queue (power of two)")                     \
    X(UINT16, sub_cqs_per_cq, "sub-cqs-per-cq",                             \
      "Rings a completion queue consists of; libfabric expects 1 except "   \
      "from generation 0")                                                  \
    X(UINT16, max_send_sges, "max-send-sges", "Buffers of one send")        \
    X(UINT16, max_recv_sges, "max-recv-sges", "Buffers of one receive")     \
    X(UINT16, inline_size, "inline-size",                                   \
      "Bytes that a send of 64 bytes can carry in itself")                  \
    X(UINT16, inline_size_ex, "inline-size-ex",                             \
      "Bytes that a wide send or RDMA write can carry in itself")           \
    X(UINT32, max_mr, "max-mr", "Memory regions")                           \
    X(UINT32, max_mr_pages, "max-mr-pages", "Pages of one memory region")   \
    X(UINT64, page_size_cap, "page-size-cap",                               \
      "Page sizes of memory regions: bit n for 2^n bytes")                  \
    X(UINT32, max_pd, "max-pd", "Protection domains")                       \
    X(UINT32, max_ah, "max-ah", "Address handles")                          \
    X(UINT32, max_llq_size, "max-llq-size",                                 \
      "Device memory of one send queue in bytes (power of two)")            \
    X(UINT32, max_rdma_size, "max-rdma-size",                               \
      "Bytes of one RDMA read or write")                                    \
    X(UINT32, max_event_counters, "max-event-counters",                     \
      "Event counters; a completion counter of verbs takes two")            \
    X(UINT16, link_speed_gbps, "link-speed-gbps",                           \
      "Link speed that drivers from 6.13 on report")

/* Those that do not: X(type, field, property name, default, description). */
#define EFA_CONFIG_LIMITS(X)                                                \
    X(UINT32, num_vectors, "vectors", 32,                                   \
      "MSI-X table size: one vector for the admin queue, one for each "     \
      "event queue")                                                        \
    X(UINT32, max_eq, "max-eq", 31, "Event queues, fewer than vectors")     \
    X(UINT32, max_eq_depth, "max-eq-depth", 4096,                           \
      "Entries of an event queue (power of two, no less than max-cq)")      \
    X(UINT16, max_sl, "max-sl", 255, "Highest service level")               \
    X(UINT64, event_counter_max, "event-counter-max", UINT64_MAX,           \
      "Value after which an event counter goes on at 0")                    \
    X(UINT16, admin_version, "admin-version", 1,                            \
      "Of the admin queues: 1, 2 (completions have a checksum) or 3 (and "  \
      "commands may have 128 bytes)")      \
    X(UINT16, max_tx_batch, "max-tx-batch", 0,                              \
      "What software may write between two send doorbells, in units of 64 " \
      "bytes; 0: no limit. Reported, not enforced")                         \
    X(UINT16, min_sq_depth, "min-sq-depth", 0,                              \
      "Least number of send WQEs that software is to ask for. Reported, "   \
      "not enforced")                                                       \
    X(UINT16, hint_mmio_read_ms, "hint-mmio-read-ms", 0,                    \
      "Hint to the driver: how long a register read may take; 0: none")     \
    X(UINT16, hint_watchdog_ms, "hint-watchdog-ms", 0,                      \
      "Hint to the driver: period without keep-alive; 0: none")             \
    X(UINT16, hint_admin_timeout, "hint-admin-timeout", 0,                  \
      "Hint to the driver: how long a command may take, in ms to the "      \
      "header and in us to the driver; 0: none")                            \
    X(UINT16, hint_poll_interval_ms, "hint-poll-interval-ms", 0,            \
      "Hint to the driver: how often to look for a completion; 0: none")    \
    X(UINT16, reset_timeout_ms, "reset-timeout-ms", 500,                    \
      "How long a driver is to wait for a reset, a multiple of 100")        \
    X(UINT16, admin_timeout_ms, "admin-timeout-ms", 0,                      \
      "How long a driver is to wait for a command, a multiple of 100; 0: "  \
      "as long as it likes")                                                \
    X(UINT32, keep_alive_ms, "keep-alive-ms", 0,                            \
      "Period of keep-alive events to the driver, 0 = none")                \
    X(UINT32, peer_timeout_ms, "peer-timeout-ms", 5000,                     \
      "Silence after which a peer is given up and work towards it ends in " \
      "error")                                                              \
    X(UINT32, reorder, "reorder", 4,                                        \
      "How many later SRD packets may overtake one that has arrived with "  \
      "them; 0: none")                                                      \
    X(UINT32, seed, "seed", 1,                                              \
      "Of every random choice, so that a run can be repeated")

/*
 * Capabilities, on or off, or as the generation has them: X(name, field,
 * property name, first generation, description). EFA_CAP_NEVER: only where
 * asked for.
 */
#define EFA_CAP_NEVER   EFA_NUM_GENERATIONS
#define EFA_CONFIG_CAPS(X)                                                  \
    X(RDMA_READ, rdma_read, "rdma-read", 1, "RDMA read")                    \
    X(RNR_RETRY, rnr_retry, "rnr-retry", 1,                                 \
      "Try again when the receiver has no buffer")                          \
    X(RDMA_WRITE, rdma_write, "rdma-write", 2, "RDMA write")                \
    X(DATA_POLLING_128, data_polling_128, "data-polling-128", 2,            \
      "Each aligned 128 bytes of data are written in order and once")       \
    X(UNSOLICITED_WRITE_RECV, unsolicited_write_recv,                       \
      "unsolicited-write-recv", 3,                                          \
      "RDMA writes with immediate data that take no receive request")       \
    X(WIDE_WQE, wide_wqe, "wide-wqe", 3, "Work requests of 128 bytes")      \
    X(INLINE_WRITE, inline_write, "inline-write", 3,                        \
      "RDMA writes that carry their data in the work request")              \
    X(SQ_64_BIT_REQ_ID, sq_64_bit_req_id, "sq-64-bit-req-id", 3,            \
      "Request ids of 64 bits in send queues")                              \
    X(EVENT_COUNTERS, event_counters, "event-counters", 3,                  \
      "Completion counters in the guest's memory")                          \
    X(EXT_MEM_CQ, ext_mem_cq, "ext-mem-cq", 0,                              \
      "Completion queues in memory that begins anywhere in a page")         \
    X(SERVICE_LEVELS, service_levels, "service-levels", 0,                  \
      "Queue pairs of other service levels than 0")                         \
    X(NETWORK_STATS, network_stats, "network-stats", 0,                     \
      "Statistics of the network: retransmissions, lost peers")             \
    X(FEATURE_MISMATCH, feature_mismatch, "feature-mismatch", 0,            \
      "Tell a requester that asks for what we do not have: status 18 "      \
      "instead of 12")                                                      \
    X(KNOWN_PEER, known_peer, "known-peer", 0,                              \
      "RDMA only for those to whom we have an address handle")              \
    X(FAST_REG, fast_reg, "fast-reg", 0,                                    \
      "Regions that kernel users register by work request")                 \
    X(UNIQUE_AH, unique_ah, "unique-ah", EFA_CAP_NEVER,                     \
      "Refuse a second address handle of a PD for one destination")

typedef enum EfaCap {
#define X(_name, ...) EFA_CAP_##_name,
    EFA_CONFIG_CAPS(X)
#undef X
    EFA_NUM_CAPS
} EfaCap;

typedef uint16_t EfaConfigUINT16;
typedef uint32_t EfaConfigUINT32;
typedef uint64_t EfaConfigUINT64;

typedef struct EfaConfig {
    uint8_t generation;             /* PCI device 0xefa0 + generation */
    EfaGid gid;
    uint8_t guid[8];                /* big-endian node GUID */
#define X(_type, _field, ...) EfaConfig##_type _field;
    EFA_CONFIG_GENERATION_LIMITS(X)
    EFA_CONFIG_LIMITS(X)
#undef X
#define X(_name, _field, ...) OnOffAuto _field;
    EFA_CONFIG_CAPS(X)
#undef X
} EfaConfig;

/* Fill @cfg with the defaults of @generation; capabilities stay AUTO. */
void efa_config_init(EfaConfig *cfg, uint8_t generation);

/* Give what is 0 or AUTO the generation's value, as far as the rest allows. */
void efa_config_resolve(EfaConfig *cfg);

/*
 * Is a resolved @cfg legal? Else one line in @errp that names the property,
 * its value and its limit.
 */
bool efa_config_check(const EfaConfig *cfg, GError **errp);

/* Capabilities of a resolved @cfg: bit EfaCap. */
uint32_t efa_config_caps(const EfaConfig *cfg);

/* Bytes of the LLQ memory BAR: a power of two. */
uint64_t efa_config_llq_bar_size(const EfaConfig *cfg);

#endif /* HW_EFA_CONFIG_H */
