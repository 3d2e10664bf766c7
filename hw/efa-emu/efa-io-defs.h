/*
 * EFA device model: layouts of work requests and completions
 *
 * Data path specification, sections 2 to 4. All fields little-endian; field
 * names are those of the public headers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_IO_DEFS_H
#define HW_EFA_IO_DEFS_H

#define EFA_IO_WQE_SIZE             64
#define EFA_IO_WQE_SIZE_WIDE        128
#define EFA_IO_RX_DESC_SIZE         16
#define EFA_IO_TX_DESC_NUM_BUFS     2
#define EFA_IO_RDMA_NUM_BUFS        1
#define EFA_IO_TX_INLINE_MAX        32
#define EFA_IO_TX_INLINE_MAX_WIDE   80
#define EFA_IO_NO_AH                0xffff
#define EFA_UD_GRH_SIZE             40

typedef enum EfaIoOp {
    EFA_IO_SEND         = 0,
    EFA_IO_RDMA_READ    = 1,
    EFA_IO_RDMA_WRITE   = 2,
    EFA_IO_FAST_REG     = 3,
    EFA_IO_FAST_INV     = 4,
} EfaIoOp;

typedef enum EfaIoQueueType {
    EFA_IO_SEND_QUEUE = 1,
    EFA_IO_RECV_QUEUE = 2,
} EfaIoQueueType;

/* 4.7 */
typedef enum EfaCompStatus {
    EFA_IO_COMP_STATUS_OK                               = 0,
    EFA_IO_COMP_STATUS_FLUSHED                          = 1,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR    = 2,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_UNSUPPORTED_OP       = 3,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_AH           = 4,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY         = 5,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH           = 6,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS         = 7,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_ABORT               = 8,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN        = 9,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR                 = 10,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH          = 11,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS          = 12,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE        = 13,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_UNKNOWN_PEER        = 14,
    EFA_IO_COMP_STATUS_LOCAL_ERROR_UNREACH_REMOTE       = 15,
    EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH    = 18,
} EfaCompStatus;

/* 2.3: bits of EfaIoTxMeta */
FIELD(TX_CTRL1, OP_TYPE, 0, 4)
FIELD(TX_CTRL1, HAS_IMM, 4, 1)
FIELD(TX_CTRL1, INLINE_MSG, 5, 1)
FIELD(TX_CTRL1, META_EXTENSION, 6, 1)
FIELD(TX_CTRL1, META_DESC, 7, 1)
FIELD(TX_CTRL2, PHASE, 0, 1)
FIELD(TX_CTRL2, FIRST, 2, 1)
FIELD(TX_CTRL2, LAST, 3, 1)
FIELD(TX_CTRL2, COMP_REQ, 4, 1)

typedef struct QEMU_PACKED EfaIoTxMeta {
    uint16_t req_id;
    uint8_t ctrl1;
    uint8_t ctrl2;
    uint16_t dest_qp_num;
    uint16_t length;
    uint32_t immediate_data;
    uint16_t ah;
    uint8_t ctrl3;
    uint8_t reserved;
    uint32_t qkey;
    uint8_t reserved2[6];
    uint16_t req_id_ex[3];
} EfaIoTxMeta;

FIELD(TX_BUF_LKEY, LKEY, 0, 24)

typedef struct QEMU_PACKED EfaIoTxBufDesc {
    uint32_t length;
    uint32_t lkey;                      /* b23:0 */
    uint32_t buf_addr_lo;
    uint32_t buf_addr_hi;
} EfaIoTxBufDesc;

/* 2.4: the far side of an RDMA operation */
typedef struct QEMU_PACKED EfaIoRemoteMem {
    uint32_t length;                    /* of the whole operation */
    uint32_t rkey;
    uint32_t buf_addr_lo;
    uint32_t buf_addr_hi;
} EfaIoRemoteMem;

/* 12.3: FAST_REG; FAST_INV has the key only */
FIELD(FAST_REG_FLAGS, PAGE_SHIFT, 0, 5)
FIELD(FAST_REG_FLAGS, PBL_MODE, 5, 2)
FIELD(FAST_REG_FLAGS, RESERVED, 7, 1)

typedef enum EfaFastRegPblMode {
    EFA_FAST_REG_PBL_INLINE = 0,        /* one page, its address */
    EFA_FAST_REG_PBL_DIRECT = 1,        /* where the addresses are */
} EfaFastRegPblMode;

typedef struct QEMU_PACKED EfaIoFastReg {
    uint32_t lkey;                      /* with the consumer's bits */
    uint8_t permissions;                /* as in REG_MR */
    uint8_t flags;
    uint16_t reserved;
    uint64_t iova;
    uint64_t mr_length;
    uint64_t pbl;
} EfaIoFastReg;

typedef struct QEMU_PACKED EfaIoRdmaReq {
    EfaIoRemoteMem remote;
    union {
        EfaIoTxBufDesc local;
        uint8_t inline_data[EFA_IO_TX_INLINE_MAX_WIDE];
    };
} EfaIoRdmaReq;

/* Of 128 bytes; one of 64 bytes is its first half. */
typedef struct QEMU_PACKED EfaIoTxWqe {
    EfaIoTxMeta meta;
    union {
        EfaIoTxBufDesc sgl[EFA_IO_TX_DESC_NUM_BUFS];
        uint8_t inline_data[EFA_IO_TX_INLINE_MAX_WIDE];
        EfaIoRdmaReq rdma;
        EfaIoFastReg fast_reg;
    };
} EfaIoTxWqe;

/* 3.2 */
FIELD(RX_LKEY_CTRL, LKEY, 0, 24)
FIELD(RX_LKEY_CTRL, FIRST, 30, 1)
FIELD(RX_LKEY_CTRL, LAST, 31, 1)

typedef struct QEMU_PACKED EfaIoRxDesc {
    uint32_t buf_addr_lo;
    uint32_t buf_addr_hi;
    uint16_t req_id;
    uint16_t length;
    uint32_t lkey_ctrl;
} EfaIoRxDesc;

/* 4.2: bits of EfaIoCdesc.flags */
FIELD(CDESC_FLAGS, PHASE, 0, 1)
FIELD(CDESC_FLAGS, Q_TYPE, 1, 2)
FIELD(CDESC_FLAGS, HAS_IMM, 3, 1)
FIELD(CDESC_FLAGS, OP_TYPE, 4, 3)
FIELD(CDESC_FLAGS, UNSOLICITED, 7, 1)

/* The 32-byte completion; the 16-byte form is its first half. */
typedef struct QEMU_PACKED EfaIoCdesc {
    uint16_t req_id;
    uint8_t status;
    uint8_t flags;
    uint16_t qp_num;
    union {
        struct QEMU_PACKED {
            uint16_t length;            /* RX */
            uint16_t ah;                /* RX */
            uint16_t src_qp_num;        /* RX */
        };
        uint16_t req_id_ex[3];          /* TX: bits 63:16 of a 64-bit id */
    };
    uint32_t imm;                       /* RX */
    union {
        uint8_t src_addr[16];           /* RX: sender's GID if ah is unknown */
        uint16_t length_hi;             /* RX of an RDMA write: bits 31:16 */
    };
} EfaIoCdesc;

QEMU_BUILD_BUG_ON(sizeof(EfaIoTxMeta) != 32);
QEMU_BUILD_BUG_ON(offsetof(EfaIoTxMeta, req_id_ex) != 26);
QEMU_BUILD_BUG_ON(sizeof(EfaIoTxBufDesc) != 16);
QEMU_BUILD_BUG_ON(sizeof(EfaIoTxWqe) != EFA_IO_WQE_SIZE_WIDE);
QEMU_BUILD_BUG_ON(offsetof(EfaIoTxWqe, rdma.local) != 48);
QEMU_BUILD_BUG_ON(sizeof(EfaIoFastReg) != 32);
QEMU_BUILD_BUG_ON(sizeof(EfaIoRxDesc) != EFA_IO_RX_DESC_SIZE);
QEMU_BUILD_BUG_ON(sizeof(EfaIoCdesc) != 32);
QEMU_BUILD_BUG_ON(offsetof(EfaIoCdesc, req_id_ex) != 6);
QEMU_BUILD_BUG_ON(offsetof(EfaIoCdesc, imm) != 12);
QEMU_BUILD_BUG_ON(offsetof(EfaIoCdesc, src_addr) != 16);

#endif /* HW_EFA_IO_DEFS_H */
