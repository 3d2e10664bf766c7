/*
 * EFA device model: the shared memory fabric without a directory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FABRIC_SHM_H
#define HW_EFA_FABRIC_SHM_H

#include "efa-fabric.h"

/* A fabric that reaches only the device itself. Never fails. */
EfaFabric *efa_fabric_loopback_new(const EfaGid *gid,
                                   const EfaFabricClient *client,
                                   void *opaque);

#endif /* HW_EFA_FABRIC_SHM_H */
