/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA driver: the device's interface as far as the kernel uses it
 *
 * Registers, admin commands, events. All little-endian; names are those of
 * the public headers. A command is declared from its first byte behind the
 * common header on, a response likewise.
 */
#ifndef EFA_HW_H
#define EFA_HW_H

#include <linux/bits.h>
#include <linux/types.h>

#define EFA_REG_BAR		0
#define EFA_MEM_BAR		2

/* Registers in BAR 0; those marked R are read through memory only. */
enum efa_reg {
	EFA_REG_VERSION			= 0x00,	/* R */
	EFA_REG_CONTROLLER_VERSION	= 0x04,	/* R */
	EFA_REG_CAPS			= 0x08,	/* R */
	EFA_REG_AQ_BASE_LO		= 0x10,
	EFA_REG_AQ_BASE_HI		= 0x14,
	EFA_REG_AQ_CAPS			= 0x18,
	EFA_REG_ACQ_BASE_LO		= 0x20,
	EFA_REG_ACQ_BASE_HI		= 0x24,
	EFA_REG_ACQ_CAPS		= 0x28,
	EFA_REG_AQ_PROD_DB		= 0x2c,
	EFA_REG_AENQ_CAPS		= 0x34,
	EFA_REG_AENQ_BASE_LO		= 0x38,
	EFA_REG_AENQ_BASE_HI		= 0x3c,
	EFA_REG_AENQ_CONS_DB		= 0x40,
	EFA_REG_INTR_MASK		= 0x4c,
	EFA_REG_DEV_CTL			= 0x54,
	EFA_REG_DEV_STS			= 0x58,	/* R */
	EFA_REG_MMIO_REG_READ		= 0x5c,
	EFA_REG_MMIO_RESP_LO		= 0x60,
	EFA_REG_MMIO_RESP_HI		= 0x64,
	EFA_REG_EQ_DB			= 0x68,
};

#define EFA_CAPS_RESET_TIMEOUT		GENMASK(5, 1)	/* 100 ms */
#define EFA_CAPS_DMA_ADDR_WIDTH		GENMASK(15, 8)
#define EFA_CAPS_ADMIN_CMD_TO		GENMASK(19, 16)	/* 100 ms */
#define EFA_QUEUE_CAPS_DEPTH		GENMASK(15, 0)
#define EFA_QUEUE_CAPS_ENTRY_SIZE	GENMASK(23, 16)
#define EFA_DEV_CTL_DEV_RESET		BIT(0)
#define EFA_DEV_CTL_RESET_REASON	GENMASK(31, 28)
#define EFA_DEV_STS_READY		BIT(0)
#define EFA_DEV_STS_RESET_IN_PROGRESS	BIT(3)
#define EFA_REG_READ_REQ_ID		GENMASK(15, 0)
#define EFA_REG_READ_REG_OFF		GENMASK(31, 16)
#define EFA_EQ_DB_EQN			GENMASK(15, 0)
#define EFA_EQ_DB_ARM			BIT(31)

enum efa_reset_reason {
	EFA_RESET_NORMAL	= 0,
	EFA_RESET_ADMIN_TO	= 2,
	EFA_RESET_INIT_ERR	= 3,
	EFA_RESET_SHUTDOWN	= 6,
};

/* The answer to a register read. */
struct efa_reg_resp {
	__le16 req_id;
	__le16 reg_off;
	__le32 reg_val;
};

/* ---- admin queues ---- */

#define EFA_AQ_DEPTH		32
#define EFA_AENQ_DEPTH		16
#define EFA_ADMIN_ENTRY_SIZE	64

#define EFA_AQ_COMMAND_ID	GENMASK(11, 0)
#define EFA_AQ_PHASE		BIT(0)
#define EFA_AQ_CTRL_DATA	BIT(1)
#define EFA_AQ_CTRL_INDIRECT	BIT(2)
#define EFA_ACQ_PHASE		BIT(0)
#define EFA_AENQ_PHASE		BIT(0)

struct efa_aq_entry {
	__le16 command_id;
	u8 opcode;
	u8 flags;
	u8 data[60];
};

struct efa_acq_entry {
	__le16 command;
	u8 status;
	u8 flags;
	__le16 extended_status;
	__le16 sq_head_indx;
	u8 response[56];
};

struct efa_aenq_entry {
	__le16 group;
	__le16 syndrome;
	u8 flags;
	u8 reserved1[3];
	__le32 timestamp_low;
	__le32 timestamp_high;
	u8 data[48];
};

enum efa_admin_opcode {
	EFA_ADMIN_CREATE_QP	= 1,
	EFA_ADMIN_MODIFY_QP	= 2,
	EFA_ADMIN_QUERY_QP	= 3,
	EFA_ADMIN_DESTROY_QP	= 4,
	EFA_ADMIN_CREATE_AH	= 5,
	EFA_ADMIN_DESTROY_AH	= 6,
	EFA_ADMIN_REG_MR	= 7,
	EFA_ADMIN_DEREG_MR	= 8,
	EFA_ADMIN_CREATE_CQ	= 9,
	EFA_ADMIN_DESTROY_CQ	= 10,
	EFA_ADMIN_GET_FEATURE	= 11,
	EFA_ADMIN_SET_FEATURE	= 12,
	EFA_ADMIN_GET_STATS	= 13,
	EFA_ADMIN_ALLOC_PD	= 14,
	EFA_ADMIN_DEALLOC_PD	= 15,
	EFA_ADMIN_ALLOC_UAR	= 16,
	EFA_ADMIN_DEALLOC_UAR	= 17,
	EFA_ADMIN_CREATE_EQ	= 18,
	EFA_ADMIN_DESTROY_EQ	= 19,
	EFA_ADMIN_ALLOC_MR	= 20,
};

enum efa_admin_status {
	EFA_ADMIN_SUCCESS			= 0,
	EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE	= 1,
	EFA_ADMIN_UNSUPPORTED_OPCODE		= 3,
};

struct efa_ctrl_buff {
	__le32 length;
	__le32 mem_addr_low;
	__le32 mem_addr_high;
};

/* ---- commands: what follows the four common bytes ---- */

#define EFA_CREATE_QP_UNSOLICITED	BIT(2)
#define EFA_CREATE_QP_64_BIT_REQ_ID	BIT(3)

enum efa_qp_type {
	EFA_QP_UD	= 1,
	EFA_QP_SRD	= 2,
};

struct efa_create_qp_cmd {
	__le16 pd;
	u8 qp_type;
	u8 flags;
	__le64 sq_base_addr __packed;
	__le64 rq_base_addr __packed;
	__le32 send_cq_idx;
	__le32 recv_cq_idx;
	__le32 sq_l_key;
	__le32 rq_l_key;
	__le32 send_queue_ring_size;
	__le32 send_queue_depth;
	__le32 recv_queue_ring_size;
	__le32 recv_queue_depth;
	__le16 uar;
	u8 sl;
	u8 reserved;
	__le32 reserved2;
};

struct efa_create_qp_resp {
	__le32 qp_handle;
	__le16 qp_num;
	__le16 reserved;
	__le16 send_sub_cq_idx;
	__le16 recv_sub_cq_idx;
	__le32 sq_db_offset;
	__le32 rq_db_offset;
	__le32 llq_descriptors_offset;
};

#define EFA_MODIFY_QP_STATE		BIT(0)
#define EFA_MODIFY_QP_CUR_STATE		BIT(1)
#define EFA_MODIFY_QP_QKEY		BIT(2)
#define EFA_MODIFY_QP_SQ_PSN		BIT(3)
#define EFA_MODIFY_QP_SQ_DRAINED	BIT(4)
#define EFA_MODIFY_QP_RNR_RETRY		BIT(5)

struct efa_modify_qp_cmd {
	__le32 modify_mask;
	__le32 qp_handle;
	__le32 qp_state;
	__le32 cur_qp_state;
	__le32 qkey;
	__le32 sq_psn;
	u8 sq_drained_async_notify;
	u8 rnr_retry;
	__le16 reserved2;
};

/* QUERY_QP, DESTROY_QP, DEREG_MR: one handle or key of 32 bits */
struct efa_handle_cmd {
	__le32 handle;
};

struct efa_query_qp_resp {
	__le32 qp_state;
	__le32 qkey;
	__le32 sq_psn;
	u8 sq_draining;
	u8 rnr_retry;
	__le16 reserved2;
};

struct efa_create_ah_cmd {
	u8 dest_addr[16];
	__le16 pd;
	__le16 reserved;
};

/* One id of 16 bits, in commands and in responses; DESTROY_AH has the PD too */
struct efa_id {
	__le16 id;
	__le16 pd;
};

#define EFA_INLINE_PAGES	4
#define EFA_REG_MR_PHYSICAL	BIT(7)

struct efa_reg_mr_cmd {
	__le16 pd;
	__le16 reserved16_w1;
	union {
		__le64 pages[EFA_INLINE_PAGES] __packed;
		struct efa_ctrl_buff list;
	} pbl;
	__le64 mr_length __packed;
	u8 flags;
	u8 permissions;			/* as IB_ACCESS_ has them */
	__le16 reserved16_w5;
	__le32 page_num;
	__le64 iova __packed;
} __packed;

struct efa_reg_mr_resp {
	__le32 l_key;
	__le32 r_key;
	u8 validity;
	u8 recv_ic_id;
	u8 rdma_read_ic_id;
	u8 rdma_recv_ic_id;
};

#define EFA_CQ_INTERRUPT	BIT(5)		/* cq_caps_1 */
#define EFA_CQ_ENTRY_WORDS	GENMASK(4, 0)	/* cq_caps_2 */
#define EFA_CQ_SRC_ADDR		BIT(5)
#define EFA_CQ_64_BIT_REQ_ID	BIT(6)
#define EFA_CQ_DB_VALID		BIT(0)		/* flags of the response */

struct efa_create_cq_cmd {
	u8 cq_caps_1;
	u8 cq_caps_2;
	__le16 sub_cq_depth;
	__le16 eqn;
	__le16 reserved;
	__le32 cq_ba_low;
	__le32 cq_ba_high;
	__le32 l_key;
	__le16 num_sub_cqs;
	__le16 uar;
};

struct efa_create_cq_resp {
	__le16 cq_idx;
	__le16 sub_cq_actual_depth;
	__le32 db_offset;
	__le32 flags;
};

#define EFA_EQ_ENTRY_WORDS		4
#define EFA_EQ_COMPLETION_EVENTS	BIT(0)

struct efa_create_eq_cmd {
	__le16 depth;
	u8 msix_vec;
	u8 caps;
	__le32 ba_low;
	__le32 ba_high;
	__le32 event_bitmask;
	__le32 reserved;
};

enum efa_feature_id {
	EFA_FEATURE_DEVICE_ATTR		= 1,
	EFA_FEATURE_AENQ_CONFIG		= 2,
	EFA_FEATURE_NETWORK_ATTR	= 3,
	EFA_FEATURE_QUEUE_ATTR_1	= 4,
	EFA_FEATURE_HW_HINTS		= 5,
	EFA_FEATURE_HOST_INFO		= 6,
	EFA_FEATURE_EVENT_QUEUE_ATTR	= 7,
	EFA_FEATURE_QUEUE_ATTR_2	= 9,
};

struct efa_feature_cmd {
	struct efa_ctrl_buff control_buffer;
	u8 reserved0;
	u8 feature_id;
	__le16 reserved16;
	__le32 data[11];
};

#define EFA_CAP_RDMA_READ		BIT(0)
#define EFA_CAP_RNR_RETRY		BIT(1)
#define EFA_CAP_DATA_POLLING_128	BIT(2)
#define EFA_CAP_RDMA_WRITE		BIT(3)
#define EFA_CAP_UNSOLICITED_WRITE_RECV	BIT(4)
#define EFA_CAP_64_BIT_REQ_ID		BIT(10)

struct efa_device_attr {
	__le64 supported_features;
	__le64 page_size_cap;
	__le32 fw_version;
	__le32 admin_api_version;
	__le32 device_version;
	__le16 db_bar;
	u8 phys_addr_width;
	u8 virt_addr_width;
	__le32 device_caps;
	__le32 max_rdma_size;
	__be64 guid;
	__le16 max_link_speed_gbps;
	__le16 reserved0;
	__le32 reserved1;
};

struct efa_queue_attr_1 {
	__le32 max_qp;
	__le32 max_sq_depth;
	__le32 inline_buf_size;
	__le32 max_rq_depth;
	__le32 max_cq;
	__le32 max_cq_depth;
	__le16 sub_cqs_per_cq;
	__le16 min_sq_depth;
	__le16 max_wr_send_sges;
	__le16 max_wr_recv_sges;
	__le32 max_mr;
	__le32 max_mr_pages;
	__le32 max_pd;
	__le32 max_ah;
	__le32 max_llq_size;
	__le16 max_wr_rdma_sges;
	__le16 max_tx_batch;
};

struct efa_queue_attr_2 {
	__le16 inline_buf_size_ex;
	u8 reserved[6];
};

struct efa_network_attr {
	u8 addr[16];
	__le32 mtu;
};

struct efa_event_queue_attr {
	__le32 max_eq;
	__le32 max_eq_depth;
	__le32 event_bitmask;
};

struct efa_aenq_config {
	__le32 supported_groups;
	__le32 enabled_groups;
};

struct efa_hw_hints {
	__le16 mmio_read_timeout;		/* all in ms */
	__le16 driver_watchdog_timeout;
	__le16 admin_completion_timeout;
	__le16 poll_interval;
};

struct efa_host_info {
	char os_dist_str[128];
	__le32 os_type;
	char kernel_ver_str[32];
	__le32 kernel_ver;
	__le32 driver_ver;
	__le16 bdf;
	__le16 spec_ver;
	__le32 flags;
};

enum efa_aenq_group {
	EFA_AENQ_FATAL_ERROR	= 1,
	EFA_AENQ_WARNING	= 2,
	EFA_AENQ_NOTIFICATION	= 3,
	EFA_AENQ_KEEP_ALIVE	= 4,
};

enum efa_stats_type {
	EFA_STATS_BASIC		= 0,
	EFA_STATS_MESSAGES	= 1,
	EFA_STATS_RDMA_READ	= 2,
	EFA_STATS_RDMA_WRITE	= 3,
	EFA_STATS_NETWORK	= 4,
};

#define EFA_STATS_MAX	7	/* counters in one answer */

struct efa_get_stats_cmd {
	__le32 control_buffer[3];
	u8 type;
	u8 scope;
	__le16 scope_modifier;
};

struct efa_get_stats_resp {
	__le64 counter[EFA_STATS_MAX];
};

/* ---- page lists of the indirect form: always in units of 4 KiB ---- */

#define EFA_CHUNK_SIZE		4096
#define EFA_CHUNK_PTRS		510
#define EFA_PTRS_PER_PAGE	512

struct efa_chunk {
	__le64 ptr[EFA_CHUNK_PTRS];
	struct efa_ctrl_buff next;
	__le32 unused;
};

/* ---- event queues ---- */

#define EFA_EQE_PHASE		BIT(0)
#define EFA_EQE_EVENT_TYPE	GENMASK(8, 1)
#define EFA_EQE_COMPLETION	0

struct efa_eqe {
	__le32 common;
	__le32 reserved;
	__le16 cqn;
	__le16 reserved16;
	__le32 reserved2;
};

static_assert(sizeof(struct efa_aq_entry) == EFA_ADMIN_ENTRY_SIZE);
static_assert(sizeof(struct efa_acq_entry) == EFA_ADMIN_ENTRY_SIZE);
static_assert(sizeof(struct efa_aenq_entry) == EFA_ADMIN_ENTRY_SIZE);
static_assert(sizeof(struct efa_create_qp_cmd) == 60);
static_assert(sizeof(struct efa_create_qp_resp) == 24);
static_assert(sizeof(struct efa_modify_qp_cmd) == 28);
static_assert(sizeof(struct efa_create_ah_cmd) == 20);
static_assert(sizeof(struct efa_reg_mr_cmd) == 60);
static_assert(offsetof(struct efa_reg_mr_cmd, mr_length) == 36);
static_assert(sizeof(struct efa_create_cq_cmd) == 24);
static_assert(sizeof(struct efa_create_cq_resp) == 12);
static_assert(sizeof(struct efa_create_eq_cmd) == 20);
static_assert(sizeof(struct efa_feature_cmd) == 60);
static_assert(sizeof(struct efa_device_attr) == 56);
static_assert(sizeof(struct efa_queue_attr_1) == 56);
static_assert(sizeof(struct efa_network_attr) == 20);
static_assert(sizeof(struct efa_host_info) == 180);
static_assert(sizeof(struct efa_get_stats_cmd) == 16);
static_assert(sizeof(struct efa_chunk) == EFA_CHUNK_SIZE);
static_assert(sizeof(struct efa_eqe) == 16);

#endif /* EFA_HW_H */
