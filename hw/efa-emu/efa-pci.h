/*
 * EFA device model: the PCI device, as its own files see it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_H
#define HW_EFA_PCI_H

#include "hw/pci/pci_device.h"
#include "net/net.h"
#include "qemu/bitmap.h"
#include "qom/object.h"
#include "system/iothread.h"
#include "system/runstate.h"
#include "efa-core.h"
#include "pci-netdev.h"

#define TYPE_EFA "efa"
OBJECT_DECLARE_SIMPLE_TYPE(EfaState, EFA)

#define EFA_MAX_VECTORS     256

struct EfaState {
    PCIDevice parent_obj;

    MemoryRegion regs;
    MemoryRegion llq;
    MemoryRegion doorbells;

    EfaCore *core;
    EfaFabric *fabric;          /* owned by the core */
    EfaNetdev *netdev;          /* NULL: another fabric */
    IOThread *iothread;         /* NULL with a vIOMMU or a netdev */
    AioContext *ctx;            /* where packets and timers are handled */
    bool attached;              /* the fabric's descriptor is watched */
    QEMUBH *run_bh;             /* in the iothread */
    QEMUTimer *timer;           /* in the iothread */
    QEMUBH *irq_bh;             /* in the main loop */
    VMChangeStateEntry *vmstate;
    Notifier machine_done;
    DECLARE_BITMAP(irq_pending, EFA_MAX_VECTORS);

    /* properties */
    EfaConfig cfg;
    char *gid;
    char *guid;
    char *fabric_dir;
    NICConf nic;
    uint32_t path_mtu;
    uint32_t poll_ns;
    EfaFaults faults;           /* until there is a core */
    EfaImpair impair;           /* likewise */
    bool link_down;             /* likewise */
};

/* pci-props.c: all properties, into @klass */
void efa_add_properties(ObjectClass *klass);
/* Free what they hold. */
void efa_clear_properties(EfaState *s);

#endif /* HW_EFA_PCI_H */
