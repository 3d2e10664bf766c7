/*
 * EFA device model: layouts of the admin queue, AENQ and event queues
 *
 * Control path specification, sections 4 to 8. All fields little-endian unless
 * said otherwise; field names are those of the public headers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_ADMIN_DEFS_H
#define HW_EFA_ADMIN_DEFS_H

#define EFA_AQ_ENTRY_SIZE       64
#define EFA_ACQ_ENTRY_SIZE      64
#define EFA_AENQ_ENTRY_SIZE     64
#define EFA_EQ_ENTRY_SIZE       16

typedef enum EfaAdminOpcode {
    EFA_ADMIN_CREATE_QP     = 1,
    EFA_ADMIN_MODIFY_QP     = 2,
    EFA_ADMIN_QUERY_QP      = 3,
    EFA_ADMIN_DESTROY_QP    = 4,
    EFA_ADMIN_CREATE_AH     = 5,
    EFA_ADMIN_DESTROY_AH    = 6,
    EFA_ADMIN_REG_MR        = 7,
    EFA_ADMIN_DEREG_MR      = 8,
    EFA_ADMIN_CREATE_CQ     = 9,
    EFA_ADMIN_DESTROY_CQ    = 10,
    EFA_ADMIN_GET_FEATURE   = 11,
    EFA_ADMIN_SET_FEATURE   = 12,
    EFA_ADMIN_GET_STATS     = 13,
    EFA_ADMIN_ALLOC_PD      = 14,
    EFA_ADMIN_DEALLOC_PD    = 15,
    EFA_ADMIN_ALLOC_UAR     = 16,
    EFA_ADMIN_DEALLOC_UAR   = 17,
    EFA_ADMIN_CREATE_EQ     = 18,
    EFA_ADMIN_DESTROY_EQ    = 19,
    EFA_ADMIN_ALLOC_MR      = 20,
    EFA_ADMIN_CREATE_EVENT_COUNTER  = 25,
    EFA_ADMIN_DESTROY_EVENT_COUNTER = 26,
    EFA_ADMIN_ATTACH_EVENT_COUNTER  = 27,
    EFA_ADMIN_MODIFY_EVENT_COUNTER  = 28,
    EFA_ADMIN_DETACH_EVENT_COUNTER  = 29,
} EfaAdminOpcode;

/* 4.6; errno given by the Linux driver */
typedef enum EfaAdminStatus {
    EFA_ADMIN_SUCCESS                       = 0,
    EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE   = 1,    /* ENOMEM */
    EFA_ADMIN_BAD_OPCODE                    = 2,    /* EINVAL */
    EFA_ADMIN_UNSUPPORTED_OPCODE            = 3,    /* EOPNOTSUPP */
    EFA_ADMIN_MALFORMED_REQUEST             = 4,    /* EINVAL */
    EFA_ADMIN_ILLEGAL_PARAMETER             = 5,    /* EINVAL */
    EFA_ADMIN_UNKNOWN_ERROR                 = 6,    /* EINVAL */
    EFA_ADMIN_RESOURCE_BUSY                 = 7,    /* EINVAL */
} EfaAdminStatus;

/* 13.3: ours, for debugging; the Linux driver never reads it */
typedef enum EfaAdminExtStatus {
    EFA_EXT_NONE            = 0,
    EFA_EXT_RESERVED_SET    = 1,
    EFA_EXT_UNKNOWN_ID      = 2,
    EFA_EXT_OUT_OF_RANGE    = 3,
    EFA_EXT_MISALIGNED      = 4,
    EFA_EXT_WRONG_OWNER     = 5,
    EFA_EXT_NOT_ENABLED     = 6,
    EFA_EXT_BUSY            = 7,
    EFA_EXT_DMA_FAULT       = 8,
    EFA_EXT_BAD_TRANSITION  = 9,
} EfaAdminExtStatus;

/* 4.1: bits of EfaAqCommon.flags */
FIELD(AQ_COMMON, PHASE, 0, 1)
FIELD(AQ_COMMON, CTRL_DATA, 1, 1)
FIELD(AQ_COMMON, CTRL_DATA_INDIRECT, 2, 1)
FIELD(AQ_COMMON, RESERVED, 3, 5)
/* bits of EfaAqCommon.command_id */
FIELD(AQ_COMMAND_ID, ID, 0, 12)

typedef struct QEMU_PACKED EfaAqCommon {
    uint16_t command_id;
    uint8_t opcode;
    uint8_t flags;
} EfaAqCommon;

typedef struct QEMU_PACKED EfaCtrlBuffInfo {
    uint32_t length;
    uint32_t mem_addr_low;
    uint32_t mem_addr_high;
} EfaCtrlBuffInfo;

typedef struct QEMU_PACKED EfaAqEntry {
    EfaAqCommon common;
    uint8_t data[60];
} EfaAqEntry;

/* 12.4: what the VERSION register says the admin queues have */
typedef enum EfaAdminVersion {
    EFA_ADMIN_VERSION_CHECKSUM  = 2,    /* completions have one */
    EFA_ADMIN_VERSION_V2        = 3,    /* and so may commands */
} EfaAdminVersion;

#define EFA_AQ_ENTRY_SIZE_V2    128

/* The form of a command with a checksum; payload is what data is above. */
typedef struct QEMU_PACKED EfaAqEntryV2 {
    EfaAqCommon common;
    uint16_t checksum;
    uint8_t payload_ver;
    uint8_t reserved[5];
    uint8_t payload[116];
} EfaAqEntryV2;

typedef struct QEMU_PACKED EfaAcqEntry {
    uint16_t command;
    uint8_t status;
    uint8_t flags;                      /* bit 0: phase */
    union {
        struct QEMU_PACKED {
            uint16_t extended_status;
            uint16_t sq_head_indx;
        };
        struct QEMU_PACKED {            /* from admin version 2 on */
            uint16_t checksum;
            uint16_t reserved;
        };
    };
    uint8_t response[56];
} EfaAcqEntry;

/* 5.1 */
FIELD(CREATE_QP_FLAGS, SQ_VIRT, 0, 1)
FIELD(CREATE_QP_FLAGS, RQ_VIRT, 1, 1)
FIELD(CREATE_QP_FLAGS, UNSOLICITED_WRITE_RECV, 2, 1)
FIELD(CREATE_QP_FLAGS, SQ_64_BIT_REQ_ID, 3, 1)
FIELD(CREATE_QP_FLAGS, RESERVED, 4, 4)

typedef enum EfaQpType {
    EFA_QP_TYPE_UD  = 1,
    EFA_QP_TYPE_SRD = 2,
} EfaQpType;

typedef struct QEMU_PACKED EfaCreateQpCmd {
    EfaAqCommon common;
    uint16_t pd;
    uint8_t qp_type;
    uint8_t flags;
    uint64_t sq_base_addr;
    uint64_t rq_base_addr;
    uint32_t send_cq_idx;
    uint32_t recv_cq_idx;
    uint32_t sq_l_key;
    uint32_t rq_l_key;
    uint32_t send_queue_ring_size;      /* bytes */
    uint32_t send_queue_depth;          /* WQEs */
    uint32_t recv_queue_ring_size;      /* bytes */
    uint32_t recv_queue_depth;          /* WQEs */
    uint16_t uar;
    uint8_t sl;
    uint8_t reserved;
    uint32_t reserved2;
} EfaCreateQpCmd;

typedef struct QEMU_PACKED EfaCreateQpResp {
    uint32_t qp_handle;
    uint16_t qp_num;
    uint16_t reserved;
    uint16_t send_sub_cq_idx;
    uint16_t recv_sub_cq_idx;
    uint32_t sq_db_offset;
    uint32_t rq_db_offset;
    uint32_t llq_descriptors_offset;
} EfaCreateQpResp;

/* 5.19: events of a QP that a counter may count */
FIELD(QP_EVENTS, SEND_COMP, 0, 1)
FIELD(QP_EVENTS, SEND_COMP_ERR, 1, 1)
FIELD(QP_EVENTS, RECV_COMP, 2, 1)
FIELD(QP_EVENTS, RECV_COMP_ERR, 3, 1)
FIELD(QP_EVENTS, READ_COMP, 4, 1)
FIELD(QP_EVENTS, READ_COMP_ERR, 5, 1)
FIELD(QP_EVENTS, WRITE_COMP, 6, 1)
FIELD(QP_EVENTS, WRITE_COMP_ERR, 7, 1)
FIELD(QP_EVENTS, REMOTE_READ_COMP, 8, 1)
FIELD(QP_EVENTS, REMOTE_WRITE_COMP, 9, 1)
#define EFA_NUM_QP_EVENTS       10
#define EFA_QP_EVENTS_ALL       ((1u << EFA_NUM_QP_EVENTS) - 1)

typedef struct QEMU_PACKED EfaCreateEventCounterCmd {
    EfaAqCommon common;
    uint16_t uar;
    uint16_t reserved;
    uint64_t paddr;
    uint8_t reserved_tail[48];
} EfaCreateEventCounterCmd;

typedef struct QEMU_PACKED EfaEventCounterResp {
    uint32_t cntr_handle;
    uint32_t reserved;
} EfaEventCounterResp;

/* DESTROY_EVENT_COUNTER */
typedef struct QEMU_PACKED EfaEventCounterCmd {
    EfaAqCommon common;
    uint32_t cntr_handle;
    uint8_t reserved_tail[56];
} EfaEventCounterCmd;

typedef enum EfaCounterAttachType {
    EFA_COUNTER_ATTACH_QP   = 0,
} EfaCounterAttachType;

/* ATTACH_EVENT_COUNTER, DETACH_EVENT_COUNTER */
typedef struct QEMU_PACKED EfaAttachEventCounterCmd {
    EfaAqCommon common;
    uint32_t cntr_handle;
    uint8_t attach_type;
    uint8_t reserved[3];
    uint32_t qp_handle;
    uint32_t events;                    /* QP_EVENTS */
    uint8_t reserved_tail[44];
} EfaAttachEventCounterCmd;

typedef enum EfaCounterOp {
    EFA_COUNTER_SET = 0,
    EFA_COUNTER_ADD = 1,
} EfaCounterOp;

typedef struct QEMU_PACKED EfaModifyEventCounterCmd {
    EfaAqCommon common;
    uint32_t cntr_handle;
    uint8_t operation;
    uint8_t reserved[7];
    uint64_t value;
    uint8_t reserved_tail[40];
} EfaModifyEventCounterCmd;

/* 5.2 */
FIELD(MODIFY_QP_MASK, QP_STATE, 0, 1)
FIELD(MODIFY_QP_MASK, CUR_QP_STATE, 1, 1)
FIELD(MODIFY_QP_MASK, QKEY, 2, 1)
FIELD(MODIFY_QP_MASK, SQ_PSN, 3, 1)
FIELD(MODIFY_QP_MASK, SQ_DRAINED_ASYNC_NOTIFY, 4, 1)
FIELD(MODIFY_QP_MASK, RNR_RETRY, 5, 1)
FIELD(MODIFY_QP_MASK, RESERVED, 6, 26)

typedef enum EfaQpState {
    EFA_QP_STATE_RESET  = 0,
    EFA_QP_STATE_INIT   = 1,
    EFA_QP_STATE_RTR    = 2,
    EFA_QP_STATE_RTS    = 3,
    EFA_QP_STATE_SQD    = 4,
    EFA_QP_STATE_SQE    = 5,
    EFA_QP_STATE_ERR    = 6,
    EFA_QP_STATE_MAX,
} EfaQpState;

typedef struct QEMU_PACKED EfaModifyQpCmd {
    EfaAqCommon common;
    uint32_t modify_mask;
    uint32_t qp_handle;
    uint32_t qp_state;
    uint32_t cur_qp_state;
    uint32_t qkey;
    uint32_t sq_psn;
    uint8_t sq_drained_async_notify;
    uint8_t rnr_retry;
    uint16_t reserved2;
    uint8_t reserved_tail[32];
} EfaModifyQpCmd;

/* commands that name one object by a 32-bit handle: QUERY_QP, DESTROY_QP */
typedef struct QEMU_PACKED EfaQpHandleCmd {
    EfaAqCommon common;
    uint32_t qp_handle;
    uint8_t reserved_tail[56];
} EfaQpHandleCmd;

typedef struct QEMU_PACKED EfaQueryQpResp {
    uint32_t qp_state;
    uint32_t qkey;
    uint32_t sq_psn;
    uint8_t sq_draining;
    uint8_t rnr_retry;
    uint16_t reserved2;
} EfaQueryQpResp;

typedef struct QEMU_PACKED EfaCreateAhCmd {
    EfaAqCommon common;
    uint8_t dest_addr[16];              /* network order */
    uint16_t pd;
    uint16_t reserved;
    uint8_t reserved_tail[40];
} EfaCreateAhCmd;

/* commands that name one object by 16 bits and answer with none or one */
typedef struct QEMU_PACKED EfaIdCmd {
    EfaAqCommon common;
    uint16_t id;
    uint16_t reserved;                  /* DESTROY_AH: the PD */
    uint8_t reserved_tail[56];
} EfaIdCmd;

typedef struct QEMU_PACKED EfaIdResp {
    uint16_t id;
    uint16_t reserved;
} EfaIdResp;

/* 5.7 */
FIELD(REG_MR_FLAGS, PHYS_PAGE_SIZE_SHIFT, 0, 6)
FIELD(REG_MR_FLAGS, RESERVED, 6, 1)
FIELD(REG_MR_FLAGS, MEM_ADDR_PHY_MODE_EN, 7, 1)
FIELD(REG_MR_PERM, LOCAL_WRITE_ENABLE, 0, 1)
FIELD(REG_MR_PERM, REMOTE_WRITE_ENABLE, 1, 1)
FIELD(REG_MR_PERM, REMOTE_READ_ENABLE, 2, 1)
FIELD(REG_MR_PERM, RESERVED, 3, 5)

#define EFA_INLINE_PBL_PAGES        4
/* 9.4: a chunk of the indirect form always has this size */
#define EFA_CHUNK_SIZE              4096
#define EFA_CHUNK_PTRS              510
#define EFA_CHUNK_LINK_OFFSET       4080
#define EFA_CHUNK_PAGES_PER_PTR     512

typedef struct QEMU_PACKED EfaRegMrCmd {
    EfaAqCommon common;
    uint16_t pd;
    uint16_t reserved16_w1;
    union {
        uint64_t inline_pbl_array[EFA_INLINE_PBL_PAGES];
        EfaCtrlBuffInfo pbl;
    };
    uint64_t mr_length;
    uint8_t flags;
    uint8_t permissions;
    uint16_t reserved16_w5;
    uint32_t page_num;
    uint64_t iova;
} EfaRegMrCmd;

typedef struct QEMU_PACKED EfaRegMrResp {
    uint32_t l_key;
    uint32_t r_key;
    uint8_t validity;
    uint8_t recv_ic_id;
    uint8_t rdma_read_ic_id;
    uint8_t rdma_recv_ic_id;
} EfaRegMrResp;

typedef struct QEMU_PACKED EfaDeregMrCmd {
    EfaAqCommon common;
    uint32_t l_key;
    uint8_t reserved_tail[56];
} EfaDeregMrCmd;

/* 5.18 */
typedef struct QEMU_PACKED EfaAllocMrCmd {
    EfaAqCommon common;
    uint16_t pd;
    uint16_t reserved1;
    uint32_t max_pages;
    uint8_t reserved_tail[52];
} EfaAllocMrCmd;

typedef struct QEMU_PACKED EfaAllocMrResp {
    uint32_t l_key;
    uint32_t r_key;
} EfaAllocMrResp;

/* 5.9 */
FIELD(CQ_CAPS_1, RESERVED_LO, 0, 5)
FIELD(CQ_CAPS_1, INTERRUPT_MODE_ENABLED, 5, 1)
FIELD(CQ_CAPS_1, VIRT, 6, 1)
FIELD(CQ_CAPS_1, RESERVED_HI, 7, 1)
FIELD(CQ_CAPS_2, CQ_ENTRY_SIZE_WORDS, 0, 5)
FIELD(CQ_CAPS_2, SET_SRC_ADDR, 5, 1)
FIELD(CQ_CAPS_2, SQ_COMP_64_BIT_REQ_ID, 6, 1)
FIELD(CQ_CAPS_2, RESERVED, 7, 1)
FIELD(CREATE_CQ_RESP_FLAGS, DB_VALID, 0, 1)

typedef struct QEMU_PACKED EfaCreateCqCmd {
    EfaAqCommon common;
    uint8_t cq_caps_1;
    uint8_t cq_caps_2;
    uint16_t sub_cq_depth;
    uint16_t eqn;
    uint16_t reserved;
    uint32_t cq_ba_mem_addr_low;
    uint32_t cq_ba_mem_addr_high;
    uint32_t l_key;
    uint16_t num_sub_cqs;
    uint16_t uar;
    uint8_t reserved_tail[36];
} EfaCreateCqCmd;

typedef struct QEMU_PACKED EfaCreateCqResp {
    uint16_t cq_idx;
    uint16_t sub_cq_actual_depth;
    uint32_t db_offset;
    uint32_t flags;
} EfaCreateCqResp;

/* 6 */
typedef enum EfaAdminFeature {
    EFA_ADMIN_DEVICE_ATTR       = 1,
    EFA_ADMIN_AENQ_CONFIG       = 2,
    EFA_ADMIN_NETWORK_ATTR      = 3,
    EFA_ADMIN_QUEUE_ATTR_1      = 4,
    EFA_ADMIN_HW_HINTS          = 5,
    EFA_ADMIN_HOST_INFO         = 6,
    EFA_ADMIN_EVENT_QUEUE_ATTR  = 7,
    EFA_ADMIN_QUEUE_ATTR_2      = 9,
} EfaAdminFeature;

typedef struct QEMU_PACKED EfaFeatureCmd {
    EfaAqCommon common;
    EfaCtrlBuffInfo control_buffer;
    uint8_t reserved0;
    uint8_t feature_id;
    uint16_t reserved16;
    uint8_t raw[44];
} EfaFeatureCmd;

FIELD(DEVICE_CAPS, RDMA_READ, 0, 1)
FIELD(DEVICE_CAPS, RNR_RETRY, 1, 1)
FIELD(DEVICE_CAPS, DATA_POLLING_128, 2, 1)
FIELD(DEVICE_CAPS, RDMA_WRITE, 3, 1)
FIELD(DEVICE_CAPS, UNSOLICITED_WRITE_RECV, 4, 1)
FIELD(DEVICE_CAPS, EVENT_COUNTERS, 5, 1)
FIELD(DEVICE_CAPS, SQ_64_BIT_REQ_ID, 10, 1)

typedef struct QEMU_PACKED EfaDeviceAttr {
    uint64_t supported_features;
    uint64_t page_size_cap;
    uint32_t fw_version;
    uint32_t admin_api_version;
    uint32_t device_version;
    uint16_t db_bar;
    uint8_t phys_addr_width;
    uint8_t virt_addr_width;
    uint32_t device_caps;
    uint32_t max_rdma_size;
    uint8_t guid[8];                    /* big-endian, as it lies in memory */
    uint16_t max_link_speed_gbps;
    uint16_t reserved0;
    uint32_t reserved1;
} EfaDeviceAttr;

typedef struct QEMU_PACKED EfaQueueAttr1 {
    uint32_t max_qp;
    uint32_t max_sq_depth;
    uint32_t inline_buf_size;
    uint32_t max_rq_depth;
    uint32_t max_cq;
    uint32_t max_cq_depth;
    uint16_t sub_cqs_per_cq;
    uint16_t min_sq_depth;
    uint16_t max_wr_send_sges;
    uint16_t max_wr_recv_sges;
    uint32_t max_mr;
    uint32_t max_mr_pages;
    uint32_t max_pd;
    uint32_t max_ah;
    uint32_t max_llq_size;
    uint16_t max_wr_rdma_sges;
    uint16_t max_tx_batch;
} EfaQueueAttr1;

/* Drivers up to amzn 3.1.0 know the first field only. */
typedef struct QEMU_PACKED EfaQueueAttr2 {
    uint16_t inline_buf_size_ex;
    uint8_t reserved[6];
    uint32_t supported_event_counter_qp_events;
    uint32_t max_event_counters;
    uint64_t event_counter_max_val;
} EfaQueueAttr2;

typedef struct QEMU_PACKED EfaNetworkAttr {
    uint8_t addr[16];                   /* network order */
    uint32_t mtu;
} EfaNetworkAttr;

typedef struct QEMU_PACKED EfaEventQueueAttr {
    uint32_t max_eq;
    uint32_t max_eq_depth;
    uint32_t event_bitmask;
} EfaEventQueueAttr;

typedef struct QEMU_PACKED EfaAenqConfig {
    uint32_t supported_groups;
    uint32_t enabled_groups;
} EfaAenqConfig;

typedef struct QEMU_PACKED EfaHwHints {
    uint16_t mmio_read_timeout;
    uint16_t driver_watchdog_timeout;
    uint16_t admin_completion_timeout;
    uint16_t poll_interval;
} EfaHwHints;

typedef struct QEMU_PACKED EfaHostInfo {
    char os_dist_str[128];
    uint32_t os_type;
    char kernel_ver_str[32];
    uint32_t kernel_ver;
    uint32_t driver_ver;
    uint16_t bdf;
    uint16_t spec_ver;
    uint32_t flags;
} EfaHostInfo;

/* 5.13 */
typedef enum EfaStatsType {
    EFA_ADMIN_GET_STATS_TYPE_BASIC      = 0,
    EFA_ADMIN_GET_STATS_TYPE_MESSAGES   = 1,
    EFA_ADMIN_GET_STATS_TYPE_RDMA_READ  = 2,
    EFA_ADMIN_GET_STATS_TYPE_RDMA_WRITE = 3,
    EFA_ADMIN_GET_STATS_TYPE_NETWORK    = 4,
} EfaStatsType;

typedef struct QEMU_PACKED EfaGetStatsCmd {
    EfaAqCommon common;
    uint32_t inline_data_w1[3];
    uint8_t type;
    uint8_t scope;
    uint16_t scope_modifier;
    uint8_t reserved_tail[44];
} EfaGetStatsCmd;

/* 5.16 */
FIELD(EQ_CAPS, ENTRY_SIZE_WORDS, 0, 5)
FIELD(EQ_CAPS, RESERVED, 5, 3)
FIELD(EQ_EVENTS, COMPLETION_EVENTS, 0, 1)
FIELD(EQ_EVENTS, RESERVED, 1, 31)

typedef struct QEMU_PACKED EfaCreateEqCmd {
    EfaAqCommon common;
    uint16_t depth;
    uint8_t msix_vec;
    uint8_t caps;
    uint32_t ba_mem_addr_low;
    uint32_t ba_mem_addr_high;
    uint32_t event_bitmask;
    uint32_t reserved;
    uint8_t reserved_tail[40];
} EfaCreateEqCmd;

/* 7 */
typedef enum EfaAenqGroup {
    EFA_ADMIN_FATAL_ERROR   = 1,
    EFA_ADMIN_WARNING       = 2,
    EFA_ADMIN_NOTIFICATION  = 3,
    EFA_ADMIN_KEEP_ALIVE    = 4,
} EfaAenqGroup;

/* Syndromes: the public headers name none. */
enum {
    /* of WARNING */
    EFA_SYNDROME_UNRESPONSIVE = 1,  /* a peer was given up */
    /* of NOTIFICATION */
    EFA_SYNDROME_LINK_DOWN = 1,
    EFA_SYNDROME_LINK_UP = 2,
};

#define EFA_AENQ_SUPPORTED_GROUPS \
    (1u << EFA_ADMIN_FATAL_ERROR | 1u << EFA_ADMIN_WARNING | \
     1u << EFA_ADMIN_NOTIFICATION | 1u << EFA_ADMIN_KEEP_ALIVE)

typedef struct QEMU_PACKED EfaAenqEntry {
    uint16_t group;
    uint16_t syndrome;
    uint8_t flags;                      /* bit 0: phase */
    uint8_t reserved1[3];
    uint32_t timestamp_low;
    uint32_t timestamp_high;
    uint8_t inline_data_w4[48];
} EfaAenqEntry;

/* 8.1 */
FIELD(EQE_COMMON, PHASE, 0, 1)
FIELD(EQE_COMMON, EVENT_TYPE, 1, 8)

typedef struct QEMU_PACKED EfaEqe {
    uint32_t common;
    uint32_t reserved;
    uint16_t cqn;
    uint16_t reserved16;
    uint32_t reserved2;
} EfaEqe;

QEMU_BUILD_BUG_ON(sizeof(EfaAqEntry) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaAqEntryV2) != EFA_AQ_ENTRY_SIZE_V2);
QEMU_BUILD_BUG_ON(offsetof(EfaAqEntryV2, payload) != 12);
QEMU_BUILD_BUG_ON(sizeof(EfaAcqEntry) != EFA_ACQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaAcqEntry, response) != 8);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateQpCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaCreateQpCmd, uar) != 56);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateQpResp) != 24);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateEventCounterCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaEventCounterResp) != 8);
QEMU_BUILD_BUG_ON(sizeof(EfaEventCounterCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaAttachEventCounterCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaModifyEventCounterCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaModifyEventCounterCmd, value) != 16);
QEMU_BUILD_BUG_ON(sizeof(EfaModifyQpCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaModifyQpCmd, rnr_retry) != 29);
QEMU_BUILD_BUG_ON(sizeof(EfaQpHandleCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaQueryQpResp) != 16);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateAhCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaIdCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaIdResp) != 4);
QEMU_BUILD_BUG_ON(sizeof(EfaRegMrCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaRegMrCmd, mr_length) != 40);
QEMU_BUILD_BUG_ON(offsetof(EfaRegMrCmd, iova) != 56);
QEMU_BUILD_BUG_ON(sizeof(EfaRegMrResp) != 12);
QEMU_BUILD_BUG_ON(sizeof(EfaAllocMrCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaDeregMrCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateCqCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaCreateCqCmd, uar) != 26);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateCqResp) != 12);
QEMU_BUILD_BUG_ON(sizeof(EfaFeatureCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaFeatureCmd, feature_id) != 17);
QEMU_BUILD_BUG_ON(sizeof(EfaDeviceAttr) != 56);
QEMU_BUILD_BUG_ON(sizeof(EfaQueueAttr1) != 56);
QEMU_BUILD_BUG_ON(sizeof(EfaQueueAttr2) != 24);
QEMU_BUILD_BUG_ON(sizeof(EfaNetworkAttr) != 20);
QEMU_BUILD_BUG_ON(sizeof(EfaEventQueueAttr) != 12);
QEMU_BUILD_BUG_ON(sizeof(EfaHwHints) != 8);
QEMU_BUILD_BUG_ON(sizeof(EfaHostInfo) != 180);
QEMU_BUILD_BUG_ON(sizeof(EfaGetStatsCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaCreateEqCmd) != EFA_AQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaAenqEntry) != EFA_AENQ_ENTRY_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaEqe) != EFA_EQ_ENTRY_SIZE);

#endif /* HW_EFA_ADMIN_DEFS_H */
