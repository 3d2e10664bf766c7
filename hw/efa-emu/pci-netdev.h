/*
 * EFA device model: the device as a client of QEMU's network layer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_NETDEV_H
#define HW_EFA_PCI_NETDEV_H

#include "net/net.h"
#include "efa-core.h"
#include "fabric-netdev.h"

/*
 * All of it happens under the BQL, as QEMU's network layer does: in the main
 * loop, and in a vCPU that rings a doorbell.
 */
typedef struct EfaNetdev {
    EfaFabric *fabric;      /* owned by the core */
    NICConf *conf;
    NICState *nic;
    EfaCore *core;
    void (*wake)(void *opaque);     /* have the device's work done soon */
    void *opaque;
    unsigned inside;        /* the core, on this thread */
} EfaNetdev;

/* @path_mtu has been checked. The fabric is to be given to @core. */
EfaNetdev *efa_netdev_new(NICConf *conf, const EfaGid *gid, uint32_t path_mtu,
                          EfaCore *core, void (*wake)(void *opaque),
                          void *opaque);
/* Plug @dev in: from now on frames may come. */
void efa_netdev_plug(EfaNetdev *n, DeviceState *dev);
/* What the network layer, and its monitor commands, take the link to be. */
void efa_netdev_set_link(EfaNetdev *n, bool up);
/* Unplug it; the fabric stays usable and reaches nobody. @n may be NULL. */
void efa_netdev_unplug(EfaNetdev *n);
/* When the core and its fabric are gone. @n may be NULL. */
void efa_netdev_free(EfaNetdev *n);

/*
 * Around calls into the core that may send: packets go out at the end of
 * efa_netdev_leave(), without the core's lock. @n may be NULL.
 */
void efa_netdev_enter(EfaNetdev *n);
void efa_netdev_leave(EfaNetdev *n);

#endif /* HW_EFA_PCI_NETDEV_H */
