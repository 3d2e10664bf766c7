/*
 * EFA device model: faults of admin commands as QOM properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "efa-osdep.h"
#include "pci-faults.h"
#include "pci-visit.h"

static const char *const efa_action_names[] = {
    [EFA_FAULT_STATUS] = "status",
    [EFA_FAULT_IGNORE] = "ignore",
    [EFA_FAULT_LOSE] = "lose",
    [EFA_FAULT_NO_INTERRUPT] = "no-interrupt",
};

static const QEnumLookup efa_action_lookup = {
    .array = efa_action_names,
    .size = ARRAY_SIZE(efa_action_names),
};

static const char *const efa_status_names[] = {
    [EFA_ADMIN_SUCCESS] = "success",
    [EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE] = "resource-allocation-failure",
    [EFA_ADMIN_BAD_OPCODE] = "bad-opcode",
    [EFA_ADMIN_UNSUPPORTED_OPCODE] = "unsupported-opcode",
    [EFA_ADMIN_MALFORMED_REQUEST] = "malformed-request",
    [EFA_ADMIN_ILLEGAL_PARAMETER] = "illegal-parameter",
    [EFA_ADMIN_UNKNOWN_ERROR] = "unknown-error",
    [EFA_ADMIN_RESOURCE_BUSY] = "resource-busy",
};

static const QEnumLookup efa_status_lookup = {
    .array = efa_status_names,
    .size = ARRAY_SIZE(efa_status_names),
};

static bool efa_visit_opcode(Visitor *v, EfaFaultRule *rule, Error **errp)
{
    g_autofree char *text = efa_opcode_to_string(rule->opcode);
    bool there = text != NULL;

    visit_optional(v, "opcode", &there);
    if (!there) {
        return true;
    }
    if (visit_is_input(v)) {
        g_clear_pointer(&text, g_free);
    }
    if (!visit_type_str(v, "opcode", &text, errp)) {
        return false;
    }
    if (visit_is_input(v)) {
        rule->opcode = efa_opcode_parse(text);
        if (!rule->opcode) {
            error_setg(errp, "opcode=%s is no admin command such as "
                       "create-qp", text);
            return false;
        }
    }
    return true;
}

static void efa_init_rule(void *item)
{
    efa_fault_rule_init(item);
}

static bool efa_visit_rule(Visitor *v, void *item, Error **errp)
{
    EfaFaultRule *rule = item;
    int action = rule->action, status = rule->status;

    if (!efa_visit_opcode(v, rule, errp) ||
        !efa_visit_enum(v, "action", &efa_action_lookup, &action, errp) ||
        !efa_visit_enum(v, "status", &efa_status_lookup, &status, errp)) {
        return false;
    }
    rule->action = action;
    rule->status = status;
    return efa_visit_uint16(v, "extended-status", &rule->extended_status,
                            errp) &&
           efa_visit_uint32(v, "nth", &rule->nth, errp) &&
           efa_visit_uint32(v, "count", &rule->count, errp);
}

static const EfaVisitArray efa_rule_array = {
    .size = sizeof(EfaFaultRule),
    .init = efa_init_rule,
    .members = efa_visit_rule,
};

bool efa_faults_visit(Visitor *v, const char *name, EfaFaults *faults,
                      Error **errp)
{
    g_autoptr(GError) err = NULL;

    if (!efa_visit_array(v, name, &efa_rule_array, (void **)&faults->rules,
                         &faults->num_rules, errp)) {
        return false;
    }
    if (visit_is_input(v) && !efa_faults_check(faults, &err)) {
        error_setg(errp, "%s", err->message);
        efa_faults_clear(faults);
        return false;
    }
    return true;
}

static bool efa_visit_stats(Visitor *v, void *item, Error **errp)
{
    EfaFaultStats *stats = item;

    return visit_type_uint64(v, "seen", &stats->seen, errp) &&
           visit_type_uint64(v, "fired", &stats->fired, errp);
}

static const EfaVisitArray efa_stats_array = {
    .size = sizeof(EfaFaultStats),
    .members = efa_visit_stats,
};

bool efa_fault_stats_visit(Visitor *v, const char *name, EfaFaultStats *stats,
                           size_t num, Error **errp)
{
    return efa_visit_array(v, name, &efa_stats_array, (void **)&stats, &num,
                           errp);
}
