/*
 * EFA device model: packets in Ethernet frames
 *
 * The layout of a frame, the MAC address that belongs to a GID, and how a
 * packet that is larger than a frame is cut and put together again. Described
 * in docs/fabric-netdev.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FRAME_H
#define HW_EFA_FRAME_H

#include "efa-fabric.h"

#define EFA_FRAME_ETHERTYPE     0x88b5  /* IEEE 802 local experimental 1 */
#define EFA_FRAME_MAGIC         0x4645
#define EFA_FRAME_VERSION       1
#define EFA_FRAME_ETH_SIZE      14
#define EFA_FRAME_MIN_SIZE      60      /* of a frame on the wire, no FCS */
#define EFA_FRAME_MAX_FRAGMENTS 64
#define EFA_FRAME_MIN_UNIT      256
/* Largest packet a frame header describes legally. */
#define EFA_FRAME_MAX_PACKET    (EFA_FRAME_MAX_FRAGMENTS * EFA_FRAME_MIN_UNIT)
/* Writable bytes that efa_frame_build() wants before and after a packet. */
#define EFA_FRAME_HEADROOM      sizeof(EfaFrameHdr)
#define EFA_FRAME_TAILROOM      EFA_FRAME_MIN_SIZE

typedef struct EfaMac {
    uint8_t raw[6];
} EfaMac;

/*
 * What precedes the bytes of a packet. Fragment @index carries those from
 * index * unit on, @unit of them or as many as are left: fragments cannot
 * overlap, and the length of a frame follows from its header whatever padding
 * is behind it. Little-endian but for @ethertype.
 */
typedef struct QEMU_PACKED EfaFrameHdr {
    EfaMac dst;
    EfaMac src;
    uint16_t ethertype;
    uint16_t magic;
    uint8_t version;
    uint8_t index;
    uint32_t id;            /* of the packet, unique to @src for long */
    uint16_t total;         /* bytes of the packet */
    uint16_t unit;          /* bytes of every fragment but the last */
} EfaFrameHdr;

QEMU_BUILD_BUG_ON(sizeof(EfaFrameHdr) != 26);
QEMU_BUILD_BUG_ON(offsetof(EfaFrameHdr, ethertype) != 12);
QEMU_BUILD_BUG_ON(offsetof(EfaFrameHdr, magic) != EFA_FRAME_ETH_SIZE);
QEMU_BUILD_BUG_ON(offsetof(EfaFrameHdr, id) != 18);
QEMU_BUILD_BUG_ON(offsetof(EfaFrameHdr, unit) != 24);

/* The address under which the device with @gid is reached. */
EfaMac efa_mac_from_gid(const EfaGid *gid);

/* ---- sending ---- */

typedef struct EfaFrameTx {
    EfaMac src;
    EfaMac dst;
    uint32_t id;
    uint16_t unit;
    uint8_t *packet;        /* with head and tail room */
    size_t len;
} EfaFrameTx;

/* Frames that @tx takes. */
static inline unsigned efa_frame_count(size_t len, size_t unit)
{
    return len <= unit ? 1 : DIV_ROUND_UP(len, unit);
}

/*
 * Frame number @index of @tx, to be sent before the next one is built: it is
 * made in place and its header lies where the end of its predecessor was.
 */
const uint8_t *efa_frame_build(const EfaFrameTx *tx, unsigned index,
                               size_t *frame_len);

/* ---- receiving ---- */

typedef enum EfaFrameVerdict {
    EFA_FRAME_OK,
    EFA_FRAME_FOREIGN,      /* for others, or of another protocol */
    EFA_FRAME_VERSION_BAD,
    EFA_FRAME_BAD,
} EfaFrameVerdict;

/* A frame that has been judged. */
typedef struct EfaFrameRx {
    EfaMac src;
    uint32_t id;
    uint16_t total;
    uint16_t unit;
    uint8_t index;
    uint8_t count;
    size_t len;
    const uint8_t *data;    /* in the frame that was judged */
} EfaFrameRx;

EfaFrameVerdict efa_frame_parse(const uint8_t *frame, size_t len,
                                const EfaMac *own, EfaFrameRx *rx);

/* ---- putting together ---- */

/* Unfinished packets, of one sender and of all: oldest are given up. */
#define EFA_REASM_MAX_PER_SENDER    16
#define EFA_REASM_MAX               256
#define EFA_REASM_TIMEOUT_NS        (2 * 1000 * EFA_NSEC_PER_MSEC)

typedef struct EfaReasm {
    GQueue partial;         /* newest first */
    uint64_t drops;         /* packets given up */
    uint64_t bad;           /* fragments that contradict others */
} EfaReasm;

void efa_reasm_init(EfaReasm *r);
void efa_reasm_destroy(EfaReasm *r);
/*
 * Add one of several fragments. When that completes the packet, its @rx->total
 * bytes, for the caller to g_free(); NULL otherwise.
 */
uint8_t *efa_reasm_add(EfaReasm *r, const EfaFrameRx *rx, int64_t now);
/* Give up packets that wait for too long. */
void efa_reasm_expire(EfaReasm *r, int64_t now);

#endif /* HW_EFA_FRAME_H */
