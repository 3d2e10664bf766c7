/*
 * EFA device model: impairments as QOM properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "efa-osdep.h"
#include "pci-impair.h"
#include "pci-visit.h"

static const char *const efa_partition_names[] = {
    [EFA_PARTITION_NONE] = "none",
    [EFA_PARTITION_OUT] = "out",
    [EFA_PARTITION_IN] = "in",
    [EFA_PARTITION_BOTH] = "both",
};

static const QEnumLookup efa_partition_lookup = {
    .array = efa_partition_names,
    .size = ARRAY_SIZE(efa_partition_names),
};

static bool efa_visit_peer(Visitor *v, EfaImpairRule *rule, Error **errp)
{
    g_autofree char *text = NULL;

    visit_optional(v, "peer", &rule->has_peer);
    if (!rule->has_peer) {
        return true;
    }
    if (!visit_is_input(v)) {
        text = efa_gid_to_string(&rule->peer);
    }
    if (!visit_type_str(v, "peer", &text, errp)) {
        return false;
    }
    if (visit_is_input(v) && !efa_gid_parse(text, &rule->peer)) {
        error_setg(errp, "peer=%s is not an IPv6 address such as "
                   "fe80::ff:fe00:1", text);
        return false;
    }
    return true;
}

static void efa_init_rule(void *item)
{
    efa_impair_rule_init(item);
}

static bool efa_visit_rule(Visitor *v, void *item, Error **errp)
{
    EfaImpairRule *rule = item;
    int partition = rule->partition;
    bool ok;

    ok = efa_visit_peer(v, rule, errp) &&
#define VISIT_PERCENT(_field, _name) \
        efa_visit_number(v, (_name), &rule->_field, errp) &&
        EFA_IMPAIR_PERCENTS(VISIT_PERCENT)
#undef VISIT_PERCENT
#define VISIT_NUMBER(_field, _name, _value, _min, _max) \
        efa_visit_uint32(v, (_name), &rule->_field, errp) &&
        EFA_IMPAIR_NUMBERS(VISIT_NUMBER)
#undef VISIT_NUMBER
        efa_visit_enum(v, "partition", &efa_partition_lookup, &partition,
                       errp);
    if (!ok) {
        return false;
    }
    rule->partition = partition;
    visit_optional(v, "seed", &rule->has_seed);
    return !rule->has_seed || visit_type_uint32(v, "seed", &rule->seed, errp);
}

static const EfaVisitArray efa_rule_array = {
    .size = sizeof(EfaImpairRule),
    .init = efa_init_rule,
    .members = efa_visit_rule,
};

bool efa_impair_visit(Visitor *v, const char *name, EfaImpair *impair,
                      Error **errp)
{
    g_autoptr(GError) err = NULL;

    if (!efa_visit_array(v, name, &efa_rule_array, (void **)&impair->rules,
                         &impair->num_rules, errp)) {
        return false;
    }
    if (visit_is_input(v) && !efa_impair_check(impair, &err)) {
        error_setg(errp, "%s", err->message);
        efa_impair_clear(impair);
        return false;
    }
    return true;
}

bool efa_impair_stats_visit(Visitor *v, const char *name,
                            EfaImpairStats *stats, Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return false;
    }
#define VISIT_STAT(_field, _name) \
        visit_type_uint64(v, (_name), &stats->_field, errp) &&
    ok = EFA_IMPAIR_STATS(VISIT_STAT) visit_check_struct(v, errp);
#undef VISIT_STAT
    visit_end_struct(v, NULL);
    return ok;
}
