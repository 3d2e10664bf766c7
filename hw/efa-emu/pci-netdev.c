/*
 * EFA device model: the device as a client of QEMU's network layer
 *
 * Frames go to the network layer after the core has been left: on their way
 * they may be written by another device's DMA, which its guest may have led
 * into our registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "efa-osdep.h"
#include "efa-core.h"
#include "pci-netdev.h"

/* ---- what the fabric asks of its host ---- */

static void efa_netdev_sent(NetClientState *nc, ssize_t len)
{
    EfaNetdev *n = qemu_get_nic_opaque(nc);

    efa_fabric_netdev_writable(n->fabric);
}

static bool efa_netdev_send(void *opaque, const uint8_t *frame, size_t len)
{
    EfaNetdev *n = opaque;

    if (!n->nic) {
        return true;    /* into the void */
    }
    /* 0: a copy waits in a queue, and we shall be told */
    return qemu_send_packet_async(qemu_get_queue(n->nic), frame, len,
                                  efa_netdev_sent) != 0;
}

static void efa_netdev_kick(void *opaque)
{
    EfaNetdev *n = opaque;

    n->wake(n->opaque);
}

static void efa_netdev_tx_ready(void *opaque)
{
    EfaNetdev *n = opaque;

    if (!n->inside) {
        n->wake(n->opaque);
    }
}

static int64_t efa_netdev_clock_ns(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static const EfaNetdevOps efa_netdev_ops = {
    .send = efa_netdev_send,
    .kick = efa_netdev_kick,
    .tx_ready = efa_netdev_tx_ready,
    .clock_ns = efa_netdev_clock_ns,
};

/* ---- what the network layer asks of us ---- */

static bool efa_netdev_can_receive(NetClientState *nc)
{
    EfaNetdev *n = qemu_get_nic_opaque(nc);

    return efa_fabric_netdev_can_input(n->fabric);
}

static ssize_t efa_netdev_receive(NetClientState *nc, const uint8_t *frame,
                                  size_t len)
{
    EfaNetdev *n = qemu_get_nic_opaque(nc);

    return efa_fabric_netdev_input(n->fabric, frame, len) ? len : 0;
}

static void efa_netdev_link_changed(NetClientState *nc)
{
    EfaNetdev *n = qemu_get_nic_opaque(nc);

    efa_core_set_link(n->core, !nc->link_down);
}

static NetClientInfo efa_netdev_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
    .can_receive = efa_netdev_can_receive,
    .receive = efa_netdev_receive,
    .link_status_changed = efa_netdev_link_changed,
};

/* ---- life ---- */

EfaNetdev *efa_netdev_new(NICConf *conf, const EfaGid *gid, uint32_t path_mtu,
                          EfaCore *core, void (*wake)(void *opaque),
                          void *opaque)
{
    EfaNetdev *n = g_new0(EfaNetdev, 1);
    EfaMac mac;

    n->conf = conf;
    n->core = core;
    n->wake = wake;
    n->opaque = opaque;
    n->fabric = efa_fabric_netdev_new(gid, path_mtu, &efa_netdev_ops, n,
                                      &efa_fabric_client, core);
    mac = efa_fabric_netdev_mac(n->fabric);
    memcpy(conf->macaddr.a, mac.raw, sizeof(mac.raw));
    return n;
}

void efa_netdev_plug(EfaNetdev *n, DeviceState *dev)
{
    n->nic = qemu_new_nic(&efa_netdev_info, n->conf, "efa", dev->id,
                          &dev->mem_reentrancy_guard, n);
    qemu_format_nic_info_str(qemu_get_queue(n->nic), n->conf->macaddr.a);
}

void efa_netdev_set_link(EfaNetdev *n, bool up)
{
    if (n && n->nic) {
        qemu_get_queue(n->nic)->link_down = !up;
    }
}

void efa_netdev_unplug(EfaNetdev *n)
{
    if (n && n->nic) {
        /* the peer's queue would keep frames that tell us when they are gone */
        qemu_purge_queued_packets(qemu_get_queue(n->nic));
        qemu_del_nic(n->nic);
        n->nic = NULL;
    }
}

void efa_netdev_free(EfaNetdev *n)
{
    g_free(n);
}

void efa_netdev_enter(EfaNetdev *n)
{
    if (n) {
        n->inside++;
    }
}

void efa_netdev_leave(EfaNetdev *n)
{
    if (!n || --n->inside || !runstate_is_running()) {
        return;
    }
    efa_fabric_netdev_transmit(n->fabric);
    if (n->nic && efa_fabric_netdev_room_again(n->fabric)) {
        qemu_flush_queued_packets(qemu_get_queue(n->nic));
    }
}
