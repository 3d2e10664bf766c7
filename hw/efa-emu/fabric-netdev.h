/*
 * EFA device model: the fabric over an Ethernet, as its host sees it
 *
 * The host is whoever moves frames: QEMU's network layer, or a test. Here,
 * packets become frames and frames packets; docs/fabric-netdev.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FABRIC_NETDEV_H
#define HW_EFA_FABRIC_NETDEV_H

#include "efa-fabric.h"
#include "frame.h"

/* Bytes behind the Ethernet header that the way carries in one frame. */
#define EFA_NETDEV_MIN_MTU      576
#define EFA_NETDEV_MAX_MTU      65535
#define EFA_NETDEV_DEFAULT_MTU  1500

/* Beyond that many peers the one that was silent longest is let go. */
#define EFA_NETDEV_MAX_LINKS    16384

/* None may call into the core; only send() is called without its lock. */
typedef struct EfaNetdevOps {
    /*
     * Send a frame. It has been taken in any case; false: send no more until
     * efa_fabric_netdev_writable(), which may come before this returns. Called
     * from efa_fabric_netdev_transmit() only.
     */
    bool (*send)(void *opaque, const uint8_t *frame, size_t len);
    /* Call ->poll() and then efa_fabric_netdev_transmit() soon. */
    void (*kick)(void *opaque);
    /* Call efa_fabric_netdev_transmit() once you are out of the core. */
    void (*tx_ready)(void *opaque);
    /* Monotonic nanoseconds. */
    int64_t (*clock_ns)(void *opaque);
} EfaNetdevOps;

typedef struct EfaNetdevStats {
    uint64_t tx_frames, tx_packets;
    uint64_t rx_frames, rx_packets;
    uint64_t rx_foreign;        /* not for us: switches flood */
    uint64_t rx_bad;            /* for us, and malformed */
    uint64_t rx_no_room;        /* lost: frames came faster than polls */
    uint64_t reasm_drops;       /* packets of which a fragment never came */
    uint64_t link_drops;        /* packets of one peer too many */
} EfaNetdevStats;

/*
 * @path_mtu: EFA_NETDEV_MIN_MTU to EFA_NETDEV_MAX_MTU. Both opaques stay the
 * caller's. Never fails; ends with ->free().
 */
EfaFabric *efa_fabric_netdev_new(const EfaGid *gid, size_t path_mtu,
                                 const EfaNetdevOps *ops, void *ops_opaque,
                                 const EfaFabricClient *client, void *opaque);

/*
 * The following may be called at any moment, with the core lock or without,
 * also from inside send(): they never call the client.
 */

/* A frame has arrived. Copied; false: it was for us and there is no room. */
bool efa_fabric_netdev_input(EfaFabric *f, const uint8_t *frame, size_t len);
/* Is there room for a frame? If not, room_again() will tell when there is. */
bool efa_fabric_netdev_can_input(EfaFabric *f);
/* Was there no room, and is there now? Says so once; ask after ->poll(). */
bool efa_fabric_netdev_room_again(EfaFabric *f);
/* Frames can be sent again. */
void efa_fabric_netdev_writable(EfaFabric *f);

/* Send what waits; not with the core lock. */
void efa_fabric_netdev_transmit(EfaFabric *f);

EfaMac efa_fabric_netdev_mac(EfaFabric *f);
/* With the core lock. */
EfaNetdevStats efa_fabric_netdev_stats(EfaFabric *f);

#endif /* HW_EFA_FABRIC_NETDEV_H */
