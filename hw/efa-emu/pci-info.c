/*
 * EFA device model: what the driver has told, as a QOM property
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "qapi/visitor.h"
#include "efa-osdep.h"
#include "pci-info.h"

static bool efa_visit_text(Visitor *v, const char *name, const char *text,
                           Error **errp)
{
    g_autofree char *copy = g_strdup(text);

    return visit_type_str(v, name, &copy, errp);
}

/* As lspci writes it; "" before the driver has told it. */
static bool efa_visit_bdf(Visitor *v, const EfaDriverInfo *info, Error **errp)
{
    g_autofree char *text = g_strdup_printf(
        "%02x:%02x.%x", PCI_BUS_NUM(info->bdf), PCI_SLOT(info->bdf),
        PCI_FUNC(info->bdf));

    return efa_visit_text(v, "bdf", info->bdf ? text : "", errp);
}

static bool efa_visit_spec(Visitor *v, const EfaDriverInfo *info, Error **errp)
{
    g_autofree char *text = g_strdup_printf(
        "%u.%u", info->spec_version >> 8, info->spec_version & 0xff);

    return efa_visit_text(v, "spec-version", info->spec_version ? text : "",
                          errp);
}

bool efa_driver_info_visit(Visitor *v, const char *name, EfaDriverInfo *info,
                           Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return false;
    }
    ok = efa_visit_text(v, "os", info->os, errp) &&
         visit_type_uint32(v, "os-type", &info->os_type, errp) &&
         efa_visit_text(v, "kernel", info->kernel, errp) &&
         visit_type_uint32(v, "kernel-version", &info->kernel_version,
                           errp) &&
         visit_type_uint32(v, "driver-version", &info->driver_version,
                           errp) &&
         efa_visit_bdf(v, info, errp) && efa_visit_spec(v, info, errp) &&
         visit_type_uint32(v, "flags", &info->flags, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}
