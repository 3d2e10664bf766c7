/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA: work requests and completions, for kernel and user space
 *
 * Data path specification, sections 2 to 5. All little-endian; fields bear the
 * public header's names; buf_addr is its buf_addr_lo and buf_addr_hi.
 */
#ifndef EFA_IO_H
#define EFA_IO_H

#include <linux/types.h>

#define EFA_WQE_SIZE		64
#define EFA_WQE_SIZE_WIDE	128
#define EFA_IO_TX_INLINE	32	/* bytes in a WQE of 64 */
#define EFA_IO_TX_INLINE_WIDE	80	/* in one of 128 */
#define EFA_IO_TX_MAX_BUFS	2

enum efa_io_op {
	EFA_IO_SEND,
	EFA_IO_RDMA_READ,
	EFA_IO_RDMA_WRITE,
};

/* ctrl1 */
#define EFA_IO_TX_OP_MASK	0xf
#define EFA_IO_TX_HAS_IMM	(1 << 4)
#define EFA_IO_TX_INLINE_MSG	(1 << 5)
#define EFA_IO_TX_META_DESC	(1 << 7)
/* ctrl2 */
#define EFA_IO_TX_PHASE		(1 << 0)
#define EFA_IO_TX_FIRST		(1 << 2)
#define EFA_IO_TX_LAST		(1 << 3)
#define EFA_IO_TX_COMP_REQ	(1 << 4)
/* ctrl3 */
#define EFA_IO_TX_HINTS		3

struct efa_io_tx_meta_desc {
	__le16 req_id;
	__u8 ctrl1;
	__u8 ctrl2;
	__le16 dest_qp_num;
	__le16 length;		/* inline bytes, else how many buffers */
	__le32 immediate_data;
	__le16 ah;
	__u8 ctrl3;
	__u8 reserved;
	__le32 qkey;
	__u8 reserved2[6];
	__le16 req_id_ex[3];
};

struct efa_io_tx_buf_desc {
	__le32 length;
	__le32 lkey;		/* 24 bits */
	__le64 buf_addr;
};

struct efa_io_remote_mem_addr {
	__le32 length;
	__le32 rkey;
	__le64 buf_addr;
};

/* A WQE of 128 bytes; one of 64 ends before the second half. */
struct efa_io_tx_wqe {
	struct efa_io_tx_meta_desc meta;
	union {
		struct efa_io_tx_buf_desc sgl[EFA_IO_TX_MAX_BUFS];
		__u8 inline_data[EFA_IO_TX_INLINE_WIDE];
		struct {
			struct efa_io_remote_mem_addr remote_mem;
			union {
				struct efa_io_tx_buf_desc local_mem;
				__u8 inline_data[EFA_IO_TX_INLINE_WIDE];
			};
		} rdma;
	};
};

static inline enum efa_io_op efa_io_tx_op(const struct efa_io_tx_wqe *wqe)
{
	return wqe->meta.ctrl1 & EFA_IO_TX_OP_MASK;
}

#define EFA_IO_LKEY_MASK	0xffffff
#define EFA_IO_RX_FIRST		(1u << 30)
#define EFA_IO_RX_LAST		(1u << 31)

struct efa_io_rx_desc {
	__le64 buf_addr;
	__le16 req_id;
	__le16 length;
	__le32 lkey_ctrl;
};

/* flags of a completion */
#define EFA_IO_CDESC_PHASE	(1 << 0)
#define EFA_IO_CDESC_Q_SEND	(1 << 1)
#define EFA_IO_CDESC_HAS_IMM	(1 << 3)
#define EFA_IO_CDESC_OP_SHIFT	4
#define EFA_IO_CDESC_OP_MASK	7
#define EFA_IO_CDESC_UNSOLICITED (1 << 7)

#define EFA_IO_AH_UNKNOWN	0xffff

#define EFA_IO_CDESC_SIZE	16

/*
 * A completion of 32 bytes: of a send, or of what was received; one of
 * EFA_IO_CDESC_SIZE ends before the second half.
 */
struct efa_io_cdesc {
	__le16 req_id;
	__u8 status;
	__u8 flags;
	__le16 qp_num;
	union {
		__le16 req_id_ex[3];	/* of a send */
		struct {
			__le16 length;
			__le16 ah;
			__le16 src_qp_num;
		} rx;
	};
	__le32 imm;
	union {
		__le16 length_hi;	/* of an RDMA write */
		__u8 src_addr[16];	/* if ah is EFA_IO_AH_UNKNOWN */
	};
};

static inline int efa_io_op_of(const struct efa_io_cdesc *cd)
{
	return cd->flags >> EFA_IO_CDESC_OP_SHIFT & EFA_IO_CDESC_OP_MASK;
}

/*
 * What a completion says of its request, and what verbs call that, after IB_WC_
 * in the kernel and IBV_WC_ in user space. All others are a GENERAL_ERR.
 */
#define EFA_IO_COMP_STATUSES(X) \
	X(OK,				 0, SUCCESS) \
	X(FLUSHED,			 1, WR_FLUSH_ERR) \
	X(LOCAL_QP_INTERNAL_ERROR,	 2, LOC_QP_OP_ERR) \
	X(LOCAL_UNSUPPORTED_OP,		 3, LOC_QP_OP_ERR) \
	X(LOCAL_INVALID_AH,		 4, LOC_QP_OP_ERR) \
	X(LOCAL_INVALID_LKEY,		 5, LOC_PROT_ERR) \
	X(LOCAL_BAD_LENGTH,		 6, LOC_LEN_ERR) \
	X(REMOTE_BAD_ADDRESS,		 7, REM_ACCESS_ERR) \
	X(REMOTE_ABORT,			 8, REM_ABORT_ERR) \
	X(REMOTE_BAD_DEST_QPN,		 9, REM_INV_RD_REQ_ERR) \
	X(REMOTE_RNR,			10, RNR_RETRY_EXC_ERR) \
	X(REMOTE_BAD_LENGTH,		11, REM_INV_REQ_ERR) \
	X(REMOTE_BAD_STATUS,		12, BAD_RESP_ERR) \
	X(LOCAL_UNRESP_REMOTE,		13, RESP_TIMEOUT_ERR) \
	X(REMOTE_UNKNOWN_PEER,		14, REM_OP_ERR) \
	X(LOCAL_UNREACH_REMOTE,		15, RESP_TIMEOUT_ERR) \
	X(REMOTE_FEATURE_MISMATCH,	18, REM_INV_REQ_ERR)

enum efa_io_comp_status {
#define EFA_IO_COMP_STATUS(name, value, wc) EFA_IO_COMP_##name = value,
	EFA_IO_COMP_STATUSES(EFA_IO_COMP_STATUS)
#undef EFA_IO_COMP_STATUS
};

/* the doorbell of a CQ: bits 15:0 count what was consumed */
#define EFA_IO_CQ_DB_SN_SHIFT	29
#define EFA_IO_CQ_DB_SN_MASK	3
#define EFA_IO_CQ_DB_ARM	(1u << 31)

static_assert(sizeof(struct efa_io_tx_meta_desc) == 32, "layout");
static_assert(sizeof(struct efa_io_tx_wqe) == 128, "layout");
static_assert(sizeof(struct efa_io_rx_desc) == 16, "layout");
static_assert(sizeof(struct efa_io_cdesc) == 32, "layout");

#endif /* EFA_IO_H */
