/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA driver: what libibverbs' provider and the driver tell each other
 *
 * Driver id RDMA_DRIVER_EFA, ABI version 1. Requests and responses only grow
 * at their end; what is reserved is zero.
 */
#ifndef EFA_ABI_H
#define EFA_ABI_H

#include <linux/types.h>
#include <rdma/ib_user_ioctl_cmds.h>

#define EFA_ABI_VERSION	1

/* supported_caps: limits that the provider heeds */
#define EFA_ABI_KNOWS_TX_BATCH		(1 << 0)
#define EFA_ABI_KNOWS_MIN_SQ_WR		(1 << 1)

struct efa_abi_alloc_ucontext {
	__u32 supported_caps;
	__u8 reserved_20[4];
};

/* cmds_supp_udata_mask: verbs with private data */
#define EFA_ABI_UDATA_QUERY_DEVICE	(1 << 0)
#define EFA_ABI_UDATA_CREATE_AH		(1 << 1)

struct efa_abi_alloc_ucontext_resp {
	__u32 comp_mask;
	__u32 cmds_supp_udata_mask;
	__u16 sub_cqs_per_cq;
	__u16 inline_buf_size;
	__u32 max_llq_size;		/* bytes */
	__u16 max_tx_batch;		/* units of 64 bytes */
	__u16 min_sq_wr;
	__u16 inline_buf_size_ex;
	__u8 reserved_b0[2];
};

struct efa_abi_alloc_pd_resp {
	__u32 comp_mask;
	__u16 pdn;
	__u8 reserved_30[2];
};

#define EFA_ABI_CQ_WITH_CHANNEL		(1 << 0)
#define EFA_ABI_CQ_WITH_SGID		(1 << 1)
#define EFA_ABI_CQ_WITH_64_BIT_ID	(1 << 2)

struct efa_abi_create_cq {
	__u32 comp_mask;
	__u32 cq_entry_size;
	__u16 num_sub_cqs;
	__u8 flags;
	__u8 reserved_58[5];
};

#define EFA_ABI_CQ_RESP_DB_OFF		(1 << 0)

struct efa_abi_create_cq_resp {
	__u32 comp_mask;
	__u8 reserved_20[4];
	__aligned_u64 q_mmap_key;
	__aligned_u64 q_mmap_size;
	__u16 cq_idx;
	__u8 reserved_d0[2];
	__u32 db_off;			/* in its page */
	__aligned_u64 db_mmap_key;
};

#define EFA_ABI_DRIVER_QP_SRD		0

#define EFA_ABI_QP_UNSOLICITED		(1 << 0)
#define EFA_ABI_QP_64_BIT_ID		(1 << 1)

struct efa_abi_create_qp {
	__u32 comp_mask;
	__u32 rq_ring_size;		/* bytes */
	__u32 sq_ring_size;
	__u32 driver_qp_type;
	__u16 flags;
	__u8 sl;
	__u8 reserved_98[5];
};

struct efa_abi_create_qp_resp {
	__u32 comp_mask;
	__u32 rq_db_offset;		/* each in its page */
	__u32 sq_db_offset;
	__u32 llq_desc_offset;
	__aligned_u64 rq_mmap_key;
	__aligned_u64 rq_mmap_size;
	__aligned_u64 rq_db_mmap_key;
	__aligned_u64 sq_db_mmap_key;
	__aligned_u64 llq_desc_mmap_key;
	__u16 send_sub_cq_idx;
	__u16 recv_sub_cq_idx;
	__u8 reserved_1e0[4];
};

struct efa_abi_create_ah_resp {
	__u32 comp_mask;
	__u16 efa_address_handle;
	__u8 reserved_30[2];
};

/* device_caps */
#define EFA_ABI_CAP_RDMA_READ		(1 << 0)
#define EFA_ABI_CAP_RNR_RETRY		(1 << 1)
#define EFA_ABI_CAP_CQ_NOTIFICATIONS	(1 << 2)
#define EFA_ABI_CAP_CQ_WITH_SGID	(1 << 3)
#define EFA_ABI_CAP_DATA_POLLING_128	(1 << 4)
#define EFA_ABI_CAP_RDMA_WRITE		(1 << 5)
#define EFA_ABI_CAP_UNSOLICITED		(1 << 6)
#define EFA_ABI_CAP_CQ_EXT_MEM		(1 << 7)
#define EFA_ABI_CAP_COMP_CNTR		(1 << 8)
#define EFA_ABI_CAP_64_BIT_ID		(1 << 9)

struct efa_abi_query_device_resp {
	__u32 comp_mask;
	__u32 max_sq_wr;
	__u32 max_rq_wr;
	__u16 max_sq_sge;
	__u16 max_rq_sge;
	__u32 max_rdma_size;
	__u32 device_caps;
};

/* The driver's own method of memory regions, and its attributes. */
enum {
	EFA_ABI_METHOD_MR_QUERY = 1U << UVERBS_ID_NS_SHIFT,
};

enum {
	EFA_ABI_ATTR_MR_HANDLE = 1U << UVERBS_ID_NS_SHIFT,
	EFA_ABI_ATTR_MR_VALIDITY,
	EFA_ABI_ATTR_MR_RECV_IC,
	EFA_ABI_ATTR_MR_RDMA_READ_IC,
	EFA_ABI_ATTR_MR_RDMA_RECV_IC,
};

/* More attributes for the creation of a completion counter: two buffers. */
enum {
	EFA_ABI_ATTR_CNTR_COMP_BUFFER = 1U << UVERBS_ID_NS_SHIFT,
	EFA_ABI_ATTR_CNTR_ERR_BUFFER,
};

static_assert(sizeof(struct efa_abi_alloc_ucontext_resp) == 24, "layout");
static_assert(sizeof(struct efa_abi_create_cq) == 16, "layout");
static_assert(sizeof(struct efa_abi_create_cq_resp) == 40, "layout");
static_assert(sizeof(struct efa_abi_create_qp) == 24, "layout");
static_assert(sizeof(struct efa_abi_create_qp_resp) == 64, "layout");
static_assert(sizeof(struct efa_abi_query_device_resp) == 24, "layout");

#endif /* EFA_ABI_H */
