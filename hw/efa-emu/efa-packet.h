/*
 * EFA device model: packets on the fabric
 *
 * One format for every backend, all fields little-endian, documented in
 * docs/packet-format.md. A receiver drops what it does not understand; a
 * version change is refused by the backend's handshake where it has one and
 * dropped here where it has none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PACKET_H
#define HW_EFA_PACKET_H

#include "efa-fabric.h"

#define EFA_PKT_VERSION     3

typedef enum EfaPktType {
    EFA_PKT_UD          = 1,    /* unreliable datagram */
    EFA_PKT_DATA        = 2,    /* SRD request: one segment of a message */
    EFA_PKT_ACK         = 3,    /* SRD acknowledgements, selective */
    EFA_PKT_RESET       = 4,    /* "the epoch you address is not mine" */
    EFA_PKT_READ_RESP   = 5,    /* what an RDMA read has asked for */
} EfaPktType;

typedef enum EfaPktChecksum {
    EFA_PKT_NO_CHECKSUM = 0,
    EFA_PKT_CRC32       = 0xc5, /* far from 0, see checksum.c */
} EfaPktChecksum;

FIELD(PKT_FLAGS, HAS_IMM, 0, 1)

typedef struct QEMU_PACKED EfaPktHdr {
    uint8_t version;
    uint8_t type;           /* EfaPktType */
    uint8_t opcode;         /* EfaIoOp: UD, DATA */
    uint8_t flags;
    uint8_t checksum_kind;  /* EfaPktChecksum */
    uint8_t reserved[3];
    uint32_t payload_len;   /* bytes that follow the header */
    uint32_t imm;           /* immediate data; ACK: requests that had been
                               answered before, so far */
    uint16_t dst_qpn;
    uint16_t src_qpn;
    uint32_t qkey;
    uint64_t src_epoch;     /* sender's life; a later one is greater */
    uint64_t dst_epoch;     /* receiver's life as known, 0 = unknown */
    uint32_t ctx;           /* DATA: generation of the sender's context;
                               answers: of the context answered */
    uint32_t psn;           /* DATA; READ_RESP: of the request;
                               ACK: where its bitmap begins */
    uint32_t una;           /* DATA: oldest PSN the sender still waits for */
    uint8_t src_gid[16];
    uint8_t dst_gid[16];
    uint32_t checksum;      /* 0 if there is none */
    uint32_t msg;           /* DATA: number of the message in its context */
    uint8_t reserved2[4];
} EfaPktHdr;

/*
 * Begins the payload of DATA with opcode RDMA_READ or RDMA_WRITE. A write's
 * bytes follow.
 */
typedef struct QEMU_PACKED EfaPktRdma {
    uint32_t rkey;
    uint32_t length;        /* of the whole operation */
    uint64_t addr;          /* where it begins */
    uint32_t offset;        /* of this segment */
    uint32_t seg_length;    /* of this segment; write: what follows */
} EfaPktRdma;

/* PSNs that a bitmap of answers spans, and a context's window. */
#define EFA_PKT_WINDOW      512

/*
 * Begins the payload of ACK: bit psn % EFA_PKT_WINDOW is set for each psn
 * from the header's on that was answered with OK.
 */
typedef struct QEMU_PACKED EfaPktAckMap {
    uint64_t ok[EFA_PKT_WINDOW / 64];
} EfaPktAckMap;

/* Behind it in an ACK: other answers, as many as fit payload_len. */
typedef struct QEMU_PACKED EfaPktAck {
    uint32_t psn;
    uint8_t status;         /* EfaCompStatus */
    uint8_t reserved[3];
} EfaPktAck;

/* Those that a single packet carries at most. */
#define EFA_PKT_MAX_ACKS    64

/* Bytes behind the header at most. */
#define EFA_PKT_MAX_PAYLOAD (sizeof(EfaPktRdma) + EFA_MAX_MTU)
/* The largest packet of all. */
#define EFA_PKT_MAX         (sizeof(EfaPktHdr) + EFA_PKT_MAX_PAYLOAD)

/* Give a complete packet of @len bytes, header included, its checksum. */
void efa_pkt_seal(uint8_t *pkt, size_t len);
/* Does it have a checksum, the right one? @len: a header's at least. */
bool efa_pkt_intact(const uint8_t *pkt, size_t len);

QEMU_BUILD_BUG_ON(sizeof(EfaPktHdr) != 96);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, src_epoch) != 24);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, src_gid) != 52);
QEMU_BUILD_BUG_ON(sizeof(EfaPktRdma) != 24);
QEMU_BUILD_BUG_ON(sizeof(EfaPktAckMap) != 64);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, checksum_kind) != 4);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, checksum) != 84);
QEMU_BUILD_BUG_ON(sizeof(EfaPktAck) != 8);

#endif /* HW_EFA_PACKET_H */
