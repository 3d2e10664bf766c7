/*
 * EFA device model: properties of the PCI device
 *
 * Limits and capabilities, which are the core's configuration (efa-config.h),
 * and what can be read and changed while the guest runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "efa-osdep.h"
#include "efa-pci.h"
#include "pci-faults.h"
#include "pci-impair.h"
#include "pci-info.h"

static void efa_get_impair(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaImpair impair;

    if (s->core) {
        efa_core_get_impair(s->core, &impair);
    } else {
        efa_impair_copy(&impair, &s->impair);
    }
    efa_impair_visit(v, name, &impair, errp);
    efa_impair_clear(&impair);
}

static void efa_set_impair(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaImpair impair;

    if (!efa_impair_visit(v, name, &impair, errp)) {
        return;
    }
    if (s->core) {
        efa_core_set_impair(s->core, &impair, NULL);
        efa_impair_clear(&impair);
    } else {
        efa_impair_clear(&s->impair);
        s->impair = impair;
    }
}

static void efa_get_impair_stats(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaImpairStats stats = { 0 };

    if (s->core) {
        stats = efa_core_impair_stats(s->core);
    }
    efa_impair_stats_visit(v, name, &stats, errp);
}

static void efa_get_faults(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaFaults faults;

    if (s->core) {
        efa_core_get_faults(s->core, &faults);
    } else {
        efa_faults_copy(&faults, &s->faults);
    }
    efa_faults_visit(v, name, &faults, errp);
    efa_faults_clear(&faults);
}

static void efa_set_faults(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaFaults faults;

    if (!efa_faults_visit(v, name, &faults, errp)) {
        return;
    }
    if (s->core) {
        efa_core_set_faults(s->core, &faults, NULL);
        efa_faults_clear(&faults);
    } else {
        efa_faults_clear(&s->faults);
        s->faults = faults;
    }
}

static void efa_get_fault_stats(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    g_autofree EfaFaultStats *stats = NULL;
    size_t num = s->faults.num_rules;

    if (s->core) {
        stats = efa_core_fault_stats(s->core, &num);
    } else {
        stats = g_new0(EfaFaultStats, num);
    }
    efa_fault_stats_visit(v, name, stats, num, errp);
}

static void efa_get_host_info(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    EfaState *s = EFA(obj);
    EfaDriverInfo info = { };

    if (s->core) {
        info = efa_core_driver_info(s->core);
    }
    efa_driver_info_visit(v, name, &info, errp);
}

static bool efa_get_link(Object *obj, Error **errp)
{
    EfaState *s = EFA(obj);

    return s->core ? efa_core_link(s->core) : !s->link_down;
}

static void efa_set_link(Object *obj, bool up, Error **errp)
{
    EfaState *s = EFA(obj);

    s->link_down = !up;
    if (s->core) {
        efa_core_set_link(s->core, up);
        efa_netdev_set_link(s->netdev, up);
    }
}

static const Property efa_properties[] = {
    DEFINE_PROP_UINT8("generation", EfaState, cfg.generation, 2),
    DEFINE_PROP_STRING("fabric", EfaState, fabric_dir),
    DEFINE_PROP_NETDEV("netdev", EfaState, nic.peers),
    DEFINE_PROP_UINT32("path-mtu", EfaState, path_mtu, EFA_NETDEV_DEFAULT_MTU),
    DEFINE_PROP_STRING("gid", EfaState, gid),
    DEFINE_PROP_STRING("guid", EfaState, guid),
#define DEFINE_LIMIT(_type, _field, _name, ...) \
    DEFINE_PROP_##_type(_name, EfaState, cfg._field, 0),
    EFA_CONFIG_GENERATION_LIMITS(DEFINE_LIMIT)
#undef DEFINE_LIMIT
#define DEFINE_LIMIT(_type, _field, _name, _value, ...) \
    DEFINE_PROP_##_type(_name, EfaState, cfg._field, _value),
    EFA_CONFIG_LIMITS(DEFINE_LIMIT)
#undef DEFINE_LIMIT
#define DEFINE_CAP(_id, _field, _name, ...) \
    DEFINE_PROP_ON_OFF_AUTO(_name, EfaState, cfg._field, ON_OFF_AUTO_AUTO),
    EFA_CONFIG_CAPS(DEFINE_CAP)
#undef DEFINE_CAP
    DEFINE_PROP_UINT32("poll-ns", EfaState, poll_ns, 0),
};

static const struct {
    const char *name;
    const char *description;
} efa_descriptions[] = {
    { "generation", "0 to 4: PCI device 1d0f:efa0 to 1d0f:efa4" },
    { "fabric", "Directory (mode 0700) through which the devices of one "
      "cluster find each other; without it, and without netdev, a device "
      "reaches only itself" },
    { "netdev", "Network backend (-netdev) that carries packets as Ethernet "
      "frames instead" },
    { "path-mtu", "With netdev: bytes behind the Ethernet header that all of "
      "the way carries, 576 to 65535; larger packets are split" },
    { "gid", "Address in the fabric, an IPv6 address; random if not given" },
    { "guid", "Node GUID, such as 0011:22ff:fe33:4455; made of the GID if not "
      "given" },
#define DESCRIBE_LIMIT(_type, _field, _name, _text) \
    { _name, _text "; 0: the generation's" },
    EFA_CONFIG_GENERATION_LIMITS(DESCRIBE_LIMIT)
#undef DESCRIBE_LIMIT
#define DESCRIBE_LIMIT(_type, _field, _name, _value, _text) { _name, _text },
    EFA_CONFIG_LIMITS(DESCRIBE_LIMIT)
#undef DESCRIBE_LIMIT
#define DESCRIBE_CAP(_id, _field, _name, _since, _text) \
    { _name, _text "; auto: as the generation has it" },
    EFA_CONFIG_CAPS(DESCRIBE_CAP)
#undef DESCRIBE_CAP
    { "impair", "What the network does to packets sent, a list of rules such "
      "as [{'loss': 5, 'delay-us': 100}]; see docs/impair.md" },
    { "impair-stats", "What it has done, in packets" },
    { "faults", "Which admin commands go wrong, a list of rules such as "
      "[{'opcode': 'create-qp', 'nth': 2, 'status': 'resource-busy'}]; see "
      "docs/faults.md" },
    { "fault-stats", "What each of its rules has seen" },
    { "link", "The cable is plugged in; off: every packet is lost, in and out, "
      "and the driver gets an event (NOTIFICATION, syndrome 1; 2 when it is on "
      "again). May be set at any time; set_link of a netdev does the same" },
    { "host-info", "What the driver has told of itself and its machine: os, "
      "os-type, kernel, kernel-version, driver-version, bdf, spec-version, "
      "flags; empty until it has" },
    { "poll-ns", "How long the device's thread looks for packets before it "
      "sleeps; without effect with netdev" },
};

void efa_add_properties(ObjectClass *klass)
{
    size_t i;

    device_class_set_props(DEVICE_CLASS(klass), efa_properties);
    object_class_property_add(klass, "impair", "EfaImpairRuleList",
                              efa_get_impair, efa_set_impair, NULL, NULL);
    object_class_property_add(klass, "impair-stats", "EfaImpairStats",
                              efa_get_impair_stats, NULL, NULL, NULL);
    object_class_property_add(klass, "faults", "EfaFaultRuleList",
                              efa_get_faults, efa_set_faults, NULL, NULL);
    object_class_property_add(klass, "fault-stats", "EfaFaultStatsList",
                              efa_get_fault_stats, NULL, NULL, NULL);
    object_class_property_add(klass, "host-info", "EfaDriverInfo",
                              efa_get_host_info, NULL, NULL, NULL);
    object_property_set_default_bool(
        object_class_property_add_bool(klass, "link", efa_get_link,
                                       efa_set_link), true);
    for (i = 0; i < ARRAY_SIZE(efa_descriptions); i++) {
        object_class_property_set_description(klass, efa_descriptions[i].name,
                                              efa_descriptions[i].description);
    }
}

void efa_clear_properties(EfaState *s)
{
    efa_faults_clear(&s->faults);
    efa_impair_clear(&s->impair);
}
