/*
 * EFA device model: the PCI device
 *
 * Everything QEMU: QOM type, BARs, MSI-X, DMA, threads. The
 * device itself is the core (efa-core.h).
 *
 * Threads: doorbells and registers come from a vCPU, which holds the BQL;
 * packets, timers and deferred work are handled in the device's iothread,
 * which does not. The core's own lock keeps them apart; it is always the
 * inner one. With a netdev, whose layer lives under the BQL, all of it happens
 * in the main loop. All DMA is marked as going to memory, so that it can never
 * reach an MMIO region, least of all ours. MSI-X is raised from the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/guest-random.h"
#include "qapi/error.h"
#include "block/aio-wait.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_bus.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "efa-osdep.h"
#include "efa-pci.h"

#define EFA_REG_BAR         0
#define EFA_MEM_BAR         2
#define EFA_DB_BAR          4
/* inside BAR 0, behind the registers */
#define EFA_MSIX_TABLE      0x2000
#define EFA_MSIX_PBA        0x3000
#define EFA_PCIE_CAP        0x80

/* ---- what the core asks of its host ---- */

static const MemTxAttrs efa_dma_attrs = { .memory = 1 };

/*
 * All DMA goes through mappings: what cannot be mapped directly (MMIO, ROM)
 * would need the BQL, which is the outer lock, and gives a fault instead. The
 * device has no bounce buffer (efa_realize).
 */
static bool efa_host_dma(EfaState *s, uint64_t addr, uint8_t *to_host,
                         const uint8_t *to_guest, size_t len)
{
    AddressSpace *as = pci_get_address_space(&s->parent_obj);

    while (len) {
        hwaddr n = len;
        void *p = address_space_map(as, addr, &n, !to_host, efa_dma_attrs);

        if (!p) {
            return false;
        }
        if (to_host) {
            memcpy(to_host, p, n);
            to_host += n;
        } else {
            efa_copy_in_order(p, to_guest, n);
            to_guest += n;
        }
        address_space_unmap(as, p, n, !to_host, n);
        addr += n;
        len -= n;
    }
    return true;
}

static bool efa_host_dma_read(void *opaque, uint64_t addr, void *buf,
                              size_t len)
{
    return efa_host_dma(opaque, addr, buf, NULL, len);
}

static bool efa_host_dma_write(void *opaque, uint64_t addr, const void *buf,
                               size_t len)
{
    return efa_host_dma(opaque, addr, NULL, buf, len);
}

static bool efa_host_dma_publish32(void *opaque, uint64_t addr, uint32_t value)
{
    EfaState *s = opaque;
    AddressSpace *as = pci_get_address_space(&s->parent_obj);
    hwaddr n = sizeof(value);
    uint32_t *p = address_space_map(as, addr, &n, true, efa_dma_attrs);

    if (!p) {
        return false;
    }
    if (n == sizeof(value)) {
        qatomic_store_release(p, cpu_to_le32(value));
    }
    address_space_unmap(as, p, n, true, n);
    return n == sizeof(value);
}

static bool efa_host_dma_enabled(void *opaque)
{
    EfaState *s = opaque;

    return pci_get_word(s->parent_obj.config + PCI_COMMAND) &
           PCI_COMMAND_MASTER;
}

static void efa_host_irq(void *opaque, unsigned vector)
{
    EfaState *s = opaque;

    set_bit_atomic(vector, s->irq_pending);
    qemu_bh_schedule(s->irq_bh);
}

/* Resets hold the BQL, as efa_irq_bh() does: none is half delivered. */
static void efa_host_irq_forget(void *opaque)
{
    EfaState *s = opaque;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->irq_pending); i++) {
        qatomic_set(&s->irq_pending[i], 0);
    }
}

static int64_t efa_host_clock_ns(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void efa_host_timer(void *opaque, int64_t deadline)
{
    EfaState *s = opaque;

    timer_mod_ns(s->timer, deadline);
}

static void efa_host_defer(void *opaque)
{
    EfaState *s = opaque;

    qemu_bh_schedule(s->run_bh);
}

static const EfaHostOps efa_host_ops = {
    .dma_read = efa_host_dma_read,
    .dma_write = efa_host_dma_write,
    .dma_publish32 = efa_host_dma_publish32,
    .dma_enabled = efa_host_dma_enabled,
    .irq = efa_host_irq,
    .irq_forget = efa_host_irq_forget,
    .clock_ns = efa_host_clock_ns,
    .timer = efa_host_timer,
    .defer = efa_host_defer,
};

static void efa_irq_bh(void *opaque)
{
    EfaState *s = opaque;
    unsigned vector;

    for (vector = find_first_bit(s->irq_pending, s->cfg.num_vectors);
         vector < s->cfg.num_vectors;
         vector = find_next_bit(s->irq_pending, s->cfg.num_vectors,
                                vector + 1)) {
        if (bitmap_test_and_clear_atomic(s->irq_pending, vector, 1)) {
            msix_notify(&s->parent_obj, vector);
        }
    }
}

/* ---- the iothread ---- */

static void efa_run(void *opaque)
{
    EfaState *s = opaque;

    efa_netdev_enter(s->netdev);
    if (efa_core_run(s->core)) {
        qemu_bh_schedule(s->run_bh);
    }
    efa_netdev_leave(s->netdev);
}

static bool efa_poll(void *opaque)
{
    EfaState *s = opaque;

    return efa_core_pending(s->core);
}

static void efa_attach_fabric(void *opaque)
{
    EfaState *s = opaque;
    int fd = s->fabric->ops->fd(s->fabric);

    if (fd >= 0) {
        aio_set_fd_handler(s->ctx, fd, efa_run, NULL, efa_poll, efa_run, s);
    }
}

static void efa_detach_fabric(void *opaque)
{
    EfaState *s = opaque;
    int fd = s->fabric->ops->fd(s->fabric);

    if (fd >= 0) {
        aio_set_fd_handler(s->ctx, fd, NULL, NULL, NULL, NULL, NULL);
    }
    qemu_bh_cancel(s->run_bh);
}

/* A stopped core takes nothing from the fabric, so nobody may wait for it. */
static void efa_set_running(EfaState *s, bool running)
{
    efa_core_set_running(s->core, running);
    if (running != s->attached) {
        s->attached = running;
        aio_wait_bh_oneshot(s->ctx, running ? efa_attach_fabric
                                            : efa_detach_fabric, s);
    }
}

static void efa_vm_state(void *opaque, bool running, RunState state)
{
    trace_efa_pci_vm_state(running);
    efa_set_running(opaque, running);
}

/* ---- BARs ---- */

static uint64_t efa_regs_read(void *opaque, hwaddr addr, unsigned size)
{
    EfaState *s = opaque;

    return efa_core_reg_read(s->core, addr, size);
}

static void efa_regs_write(void *opaque, hwaddr addr, uint64_t value,
                           unsigned size)
{
    EfaState *s = opaque;

    efa_core_reg_write(s->core, addr, value, size);
}

static uint64_t efa_doorbells_read(void *opaque, hwaddr addr, unsigned size)
{
    efa_guest_error("doorbell 0x%" PRIx64 " cannot be read", (uint64_t)addr);
    return UINT64_MAX;
}

static void efa_doorbells_write(void *opaque, hwaddr addr, uint64_t value,
                                unsigned size)
{
    EfaState *s = opaque;

    efa_netdev_enter(s->netdev);
    efa_core_doorbell_write(s->core, addr, value, size);
    efa_netdev_leave(s->netdev);
}

/* The core judges sizes and alignment itself. */
#define EFA_ANY_ACCESS                                          \
    .endianness = DEVICE_LITTLE_ENDIAN,                         \
    .valid = { .min_access_size = 1, .max_access_size = 8,      \
               .unaligned = true },                             \
    .impl = { .min_access_size = 1, .max_access_size = 8,       \
              .unaligned = true }

static const MemoryRegionOps efa_regs_ops = {
    .read = efa_regs_read,
    .write = efa_regs_write,
    EFA_ANY_ACCESS
};

static const MemoryRegionOps efa_doorbells_ops = {
    .read = efa_doorbells_read,
    .write = efa_doorbells_write,
    EFA_ANY_ACCESS
};

static void efa_write_config(PCIDevice *pdev, uint32_t addr, uint32_t value,
                             int len)
{
    EfaState *s = EFA(pdev);

    pci_default_write_config(pdev, addr, value, len);
    if (pdev->exp.exp_cap) {
        pcie_cap_flr_write_config(pdev, addr, value, len);
    }
    if (range_covers_byte(addr, len, PCI_COMMAND) &&
        efa_host_dma_enabled(s)) {
        efa_core_dma_changed(s->core);
    }
}

/* ---- life cycle ---- */

/* Four groups of one to four hexadecimal digits. */
static bool efa_parse_guid(const char *text, uint8_t guid[8])
{
    g_auto(GStrv) groups = g_strsplit(text, ":", 5);
    unsigned i, j;

    if (g_strv_length(groups) != 4) {
        return false;
    }
    for (i = 0; i < 4; i++) {
        unsigned value = 0;

        for (j = 0; g_ascii_isxdigit(groups[i][j]); j++) {
            value = value << 4 | g_ascii_xdigit_value(groups[i][j]);
        }
        if (j < 1 || j > 4 || groups[i][j]) {
            return false;
        }
        stw_be_p(guid + 2 * i, value);
    }
    return true;
}

static bool efa_init_config(EfaState *s, Error **errp)
{
    g_autoptr(GError) err = NULL;
    EfaConfig *cfg = &s->cfg;

    if (s->gid) {
        if (!efa_gid_parse(s->gid, &cfg->gid)) {
            error_setg(errp, "gid=%s is not an IPv6 address such as "
                       "fe80::ff:fe00:1", s->gid);
            return false;
        }
    } else {
        static const uint8_t prefix[] = { 0xfe, 0x80 };
        uint8_t *eui = cfg->gid.raw + 8;

        memset(&cfg->gid, 0, sizeof(cfg->gid));
        memcpy(cfg->gid.raw, prefix, sizeof(prefix));
        qemu_guest_getrandom_nofail(eui, 8);
        eui[0] = 0x02;      /* locally administered EUI-64 */
        eui[3] = 0xff;
        eui[4] = 0xfe;
    }
    memcpy(cfg->guid, cfg->gid.raw + 8, sizeof(cfg->guid));
    if (s->guid && !efa_parse_guid(s->guid, cfg->guid)) {
        error_setg(errp, "guid=%s is not four groups of hexadecimal digits "
                   "such as 0011:22ff:fe33:4455", s->guid);
        return false;
    }
    efa_config_resolve(cfg);
    if (!efa_config_check(cfg, &err)) {
        error_setg(errp, "%s", err->message);
        return false;
    }
    return true;
}

static bool efa_init_bars(EfaState *s, Error **errp)
{
    PCIDevice *pdev = &s->parent_obj;
    const uint8_t type = PCI_BASE_ADDRESS_SPACE_MEMORY |
                         PCI_BASE_ADDRESS_MEM_TYPE_64;

    memory_region_init_io(&s->regs, OBJECT(s), &efa_regs_ops, s, "efa-regs",
                          EFA_REG_BAR_SIZE);
    /*
     * Send queues are RAM: a WQE stored there costs the guest nothing, only
     * the doorbell traps.
     */
    if (!memory_region_init_ram(&s->llq, OBJECT(s), "efa-llq",
                                efa_config_llq_bar_size(&s->cfg), errp)) {
        return false;
    }
    memory_region_init_io(&s->doorbells, OBJECT(s), &efa_doorbells_ops, s,
                          "efa-doorbells", EFA_DB_BAR_SIZE);
    pci_register_bar(pdev, EFA_REG_BAR, type, &s->regs);
    pci_register_bar(pdev, EFA_MEM_BAR,
                     type | PCI_BASE_ADDRESS_MEM_PREFETCH, &s->llq);
    pci_register_bar(pdev, EFA_DB_BAR, type, &s->doorbells);
    return msix_init(pdev, s->cfg.num_vectors, &s->regs, EFA_REG_BAR,
                     EFA_MSIX_TABLE, &s->regs, EFA_REG_BAR, EFA_MSIX_PBA, 0,
                     errp) == 0;
}

static bool efa_init_netdev(EfaState *s, Error **errp)
{
    const char *name = s->nic.peers.ncs[0]->name;

    if (s->fabric_dir) {
        error_setg(errp, "fabric=%s and netdev=%s: a device has one way to "
                   "its peers, give one of them", s->fabric_dir, name);
        return false;
    }
    if (s->nic.peers.queues > 1) {
        error_setg(errp, "netdev=%s has %d queues: a device uses one", name,
                   s->nic.peers.queues);
        return false;
    }
    if (s->path_mtu < EFA_NETDEV_MIN_MTU || s->path_mtu > EFA_NETDEV_MAX_MTU) {
        error_setg(errp, "path-mtu=%u: it must be %d to %d", s->path_mtu,
                   EFA_NETDEV_MIN_MTU, EFA_NETDEV_MAX_MTU);
        return false;
    }
    s->netdev = efa_netdev_new(&s->nic, &s->cfg.gid, s->path_mtu, s->core,
                               efa_host_defer, s);
    s->fabric = s->netdev->fabric;
    return true;
}

static bool efa_init_fabric(EfaState *s, Error **errp)
{
    g_autoptr(GError) err = NULL;

    if (s->nic.peers.ncs[0]) {
        if (!efa_init_netdev(s, errp)) {
            return false;
        }
    } else if (s->fabric_dir) {
        s->fabric = efa_fabric_shm_new(s->fabric_dir, &s->cfg.gid,
                                       &efa_fabric_client, s->core, &err);
    } else {
        s->fabric = efa_fabric_none_new(&s->cfg.gid, &efa_fabric_client,
                                        s->core);
    }
    if (!s->fabric) {
        error_setg(errp, "%s", err->message);
        return false;
    }
    efa_core_set_fabric(s->core, s->fabric);
    return true;
}

static bool efa_behind_iommu(EfaState *s)
{
    return pci_device_iommu_address_space(&s->parent_obj) !=
           &address_space_memory;
}

/* Too late for efa_init_context(): devices are made in their given order. */
static void efa_machine_done(Notifier *n, void *data)
{
    EfaState *s = container_of(n, EfaState, machine_done);

    if (s->iothread && efa_behind_iommu(s)) {
        error_report("an IOMMU must be given before the EFA devices behind "
                     "it, as in -device intel-iommu -device efa");
        exit(1);
    }
}

/*
 * A vIOMMU reports faults under the BQL, and the network layer has no other
 * lock: with one of them, all is done in the main loop.
 */
static bool efa_init_context(EfaState *s, Error **errp)
{
    static unsigned serial;
    g_autofree char *id = NULL;

    if (s->netdev || efa_behind_iommu(s)) {
        s->ctx = qemu_get_aio_context();
        return true;
    }
    id = g_strdup_printf("efa-%u", serial++);
    s->iothread = iothread_create(id, errp);
    if (!s->iothread) {
        return false;
    }
    object_property_set_int(OBJECT(s->iothread), "poll-max-ns", s->poll_ns,
                            &error_abort);
    s->ctx = iothread_get_aio_context(s->iothread);
    return true;
}

static bool efa_init_threads(EfaState *s, Error **errp)
{
    DeviceState *dev = DEVICE(s);
    unsigned vector;

    if (!efa_init_context(s, errp)) {
        return false;
    }
    /*
     * Unguarded on purpose: the guard is the device's, not the thread's, and
     * would lose work whenever a vCPU rings a doorbell at the same time.
     */
    s->run_bh = aio_bh_new(s->ctx, efa_run, s);
    s->timer = aio_timer_new(s->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, efa_run, s);
    s->irq_bh = qemu_bh_new_guarded(efa_irq_bh, s, &dev->mem_reentrancy_guard);
    for (vector = 0; vector < s->cfg.num_vectors; vector++) {
        msix_vector_use(&s->parent_obj, vector);
    }
    if (s->netdev) {
        efa_netdev_plug(s->netdev, dev);
        efa_netdev_set_link(s->netdev, efa_core_link(s->core));
    }
    s->vmstate = qemu_add_vm_change_state_handler(efa_vm_state, s);
    s->machine_done.notify = efa_machine_done;
    qemu_add_machine_init_done_notifier(&s->machine_done);
    efa_set_running(s, runstate_is_running());
    return true;
}

static void efa_cleanup(EfaState *s)
{
    if (s->vmstate) {
        qemu_del_vm_change_state_handler(s->vmstate);
        s->vmstate = NULL;
        qemu_remove_machine_init_done_notifier(&s->machine_done);
    }
    if (s->run_bh) {
        efa_set_running(s, false);
        timer_del(s->timer);
        aio_wait_bh_oneshot(s->ctx, efa_detach_fabric, s);
    }
    efa_netdev_unplug(s->netdev);
    if (s->core) {
        efa_core_free(s->core);
        s->core = NULL;
    }
    g_clear_pointer(&s->netdev, efa_netdev_free);
    if (s->run_bh) {
        timer_free(s->timer);
        qemu_bh_delete(s->run_bh);
        qemu_bh_delete(s->irq_bh);
        s->run_bh = NULL;
    }
    if (s->iothread) {
        iothread_destroy(s->iothread);
        s->iothread = NULL;
    }
    if (msix_present(&s->parent_obj)) {
        msix_uninit(&s->parent_obj, &s->regs, &s->regs);
    }
    /* the memory lives until nobody looks at it; its name may be used again */
    vmstate_unregister_ram(&s->llq, DEVICE(s));
}

static void efa_realize(PCIDevice *pdev, Error **errp)
{
    EfaState *s = EFA(pdev);
    uint16_t device_id;

    if (!efa_init_config(s, errp)) {
        return;
    }
    pci_get_address_space(pdev)->max_bounce_buffer_size = 0;
    device_id = EFA_PCI_DEVICE_ID_BASE + s->cfg.generation;
    pci_config_set_device_id(pdev->config, device_id);
    pci_set_word(pdev->config + PCI_SUBSYSTEM_VENDOR_ID, EFA_PCI_VENDOR_ID);
    pci_set_word(pdev->config + PCI_SUBSYSTEM_ID, device_id);
    if (pci_bus_is_express(pci_get_bus(pdev))) {
        if (pcie_endpoint_cap_init(pdev, EFA_PCIE_CAP) < 0) {
            error_setg(errp, "cannot add the PCI Express capability");
            return;
        }
        if (!pci_bus_is_root(pci_get_bus(pdev))) {
            pcie_cap_fill_link_ep_usp(pdev, QEMU_PCI_EXP_LNK_X8,
                                      QEMU_PCI_EXP_LNK_16GT);
        }
        pcie_cap_flr_init(pdev);
    }
    if (!efa_init_bars(s, errp)) {
        return;
    }
    s->core = efa_core_new(&s->cfg, &efa_host_ops, s,
                           memory_region_get_ram_ptr(&s->llq));
    efa_core_set_faults(s->core, &s->faults, NULL);     /* checked before */
    efa_core_set_impair(s->core, &s->impair, NULL);     /* likewise */
    efa_core_set_link(s->core, !s->link_down);
    if (!efa_init_fabric(s, errp) || !efa_init_threads(s, errp)) {
        efa_cleanup(s);
    }
}

static void efa_exit(PCIDevice *pdev)
{
    efa_cleanup(EFA(pdev));
}

static void efa_reset_hold(Object *obj, ResetType type)
{
    EfaState *s = EFA(obj);

    efa_core_reset(s->core);
}

static void efa_finalize(Object *obj)
{
    efa_clear_properties(EFA(obj));
}

/* A device with peers cannot move: they hold its memory. */
static const VMStateDescription efa_vmstate = {
    .name = TYPE_EFA,
    .unmigratable = 1,
};

static void efa_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    pc->realize = efa_realize;
    pc->exit = efa_exit;
    pc->config_write = efa_write_config;
    pc->vendor_id = EFA_PCI_VENDOR_ID;
    pc->device_id = EFA_PCI_DEVICE_ID_BASE;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    rc->phases.hold = efa_reset_hold;
    dc->desc = "Elastic Fabric Adapter";
    dc->vmsd = &efa_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    efa_add_properties(klass);
}

static const TypeInfo efa_info = {
    .name = TYPE_EFA,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(EfaState),
    .instance_finalize = efa_finalize,
    .class_init = efa_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void efa_register_types(void)
{
    type_register_static(&efa_info);
}

type_init(efa_register_types)
