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

#define EFA_PKT_VERSION     1

typedef enum EfaPktType {
    EFA_PKT_UD      = 1,    /* unreliable datagram */
    EFA_PKT_DATA    = 2,    /* SRD request */
    EFA_PKT_ACK     = 3,    /* SRD acknowledgements, one status a message */
    EFA_PKT_RESET   = 4,    /* "the epoch you address is not mine" */
} EfaPktType;

FIELD(PKT_FLAGS, HAS_IMM, 0, 1)

typedef struct QEMU_PACKED EfaPktHdr {
    uint8_t version;
    uint8_t type;           /* EfaPktType */
    uint8_t opcode;         /* EfaIoOp: UD, DATA */
    uint8_t flags;
    uint32_t reserved;
    uint32_t payload_len;   /* bytes that follow the header */
    uint32_t imm;
    uint16_t dst_qpn;
    uint16_t src_qpn;
    uint32_t qkey;
    uint64_t src_epoch;     /* sender's life; a later one is greater */
    uint64_t dst_epoch;     /* receiver's life as known, 0 = unknown */
    uint32_t ctx;           /* DATA: generation of the sender's context;
                               ACK, RESET: of the context answered */
    uint32_t psn;           /* DATA */
    uint32_t una;           /* DATA: oldest PSN the sender still waits for */
    uint8_t src_gid[16];
    uint8_t dst_gid[16];
    uint8_t reserved2[12];
} EfaPktHdr;

/* payload of EFA_PKT_ACK: as many of these as fit payload_len */
typedef struct QEMU_PACKED EfaPktAck {
    uint32_t psn;
    uint8_t status;         /* EfaCompStatus */
    uint8_t reserved[3];
} EfaPktAck;

/* Acknowledgements a single packet carries at most. */
#define EFA_PKT_MAX_ACKS    64

QEMU_BUILD_BUG_ON(sizeof(EfaPktHdr) != 96);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, src_epoch) != 24);
QEMU_BUILD_BUG_ON(offsetof(EfaPktHdr, src_gid) != 52);
QEMU_BUILD_BUG_ON(sizeof(EfaPktAck) != 8);

#endif /* HW_EFA_PACKET_H */
