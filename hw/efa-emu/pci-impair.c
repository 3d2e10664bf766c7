/*
 * EFA device model: impairments as QOM properties
 *
 * The visitors that QAPI would generate from a schema; the device brings its
 * own, since it does not edit QEMU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "efa-osdep.h"
#include "pci-impair.h"

/* laid out as GenericList */
typedef struct EfaImpairRuleList {
    struct EfaImpairRuleList *next;
    EfaImpairRule value;
} EfaImpairRuleList;

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

/* Members that are absent keep their default; all are shown. */
static bool efa_visit_numbers(Visitor *v, EfaImpairRule *rule, Error **errp)
{
    bool there;

#define VISIT(_type, _field, _name)                                     \
    there = true;                                                       \
    visit_optional(v, (_name), &there);                                 \
    if (there && !visit_type_##_type(v, (_name), &rule->_field, errp)) { \
        return false;                                                   \
    }
#define VISIT_PERCENT(_field, _name)    VISIT(number, _field, _name)
#define VISIT_NUMBER(_field, _name, _value, _min, _max) \
    VISIT(uint32, _field, _name)
    EFA_IMPAIR_PERCENTS(VISIT_PERCENT)
    EFA_IMPAIR_NUMBERS(VISIT_NUMBER)
#undef VISIT_NUMBER
#undef VISIT_PERCENT
#undef VISIT
    return true;
}

static bool efa_visit_members(Visitor *v, EfaImpairRule *rule, Error **errp)
{
    int partition = rule->partition;
    bool there = true;

    if (!efa_visit_peer(v, rule, errp) || !efa_visit_numbers(v, rule, errp)) {
        return false;
    }
    visit_optional(v, "partition", &there);
    if (there && !visit_type_enum(v, "partition", &partition,
                                  &efa_partition_lookup, errp)) {
        return false;
    }
    rule->partition = partition;
    visit_optional(v, "seed", &rule->has_seed);
    return !rule->has_seed || visit_type_uint32(v, "seed", &rule->seed, errp);
}

static bool efa_visit_rule(Visitor *v, EfaImpairRule *rule, Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    ok = efa_visit_members(v, rule, errp) && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static void efa_free_list(EfaImpairRuleList *list)
{
    while (list) {
        EfaImpairRuleList *next = list->next;

        g_free(list);
        list = next;
    }
}

/* The other form of @impair: what visitors walk along. */
static EfaImpairRuleList *efa_to_list(const EfaImpair *impair)
{
    EfaImpairRuleList *list = NULL;
    size_t i;

    for (i = impair->num_rules; i > 0; i--) {
        EfaImpairRuleList *first = g_new0(EfaImpairRuleList, 1);

        first->next = list;
        first->value = impair->rules[i - 1];
        list = first;
    }
    return list;
}

static void efa_from_list(const EfaImpairRuleList *list, EfaImpair *impair)
{
    const EfaImpairRuleList *l;
    size_t n = 0;

    for (l = list; l; l = l->next) {
        n++;
    }
    *impair = (EfaImpair) { .rules = g_new(EfaImpairRule, n) };
    for (l = list; l; l = l->next) {
        impair->rules[impair->num_rules++] = l->value;
    }
}

bool efa_impair_visit(Visitor *v, const char *name, EfaImpair *impair,
                      Error **errp)
{
    g_autoptr(GError) err = NULL;
    EfaImpairRuleList *list = NULL, *tail;
    bool ok = true;

    if (!visit_is_input(v)) {
        list = efa_to_list(impair);
    }
    if (!visit_start_list(v, name, (GenericList **)&list, sizeof(*list),
                          errp)) {
        efa_free_list(list);
        return false;
    }
    for (tail = list; tail && ok;
         tail = (void *)visit_next_list(v, (void *)tail, sizeof(*tail))) {
        if (visit_is_input(v)) {
            efa_impair_rule_init(&tail->value);
        }
        ok = efa_visit_rule(v, &tail->value, errp);
    }
    ok = ok && visit_check_list(v, errp);
    visit_end_list(v, (void **)&list);
    if (ok && visit_is_input(v)) {
        efa_from_list(list, impair);
        if (!efa_impair_check(impair, &err)) {
            error_setg(errp, "%s", err->message);
            efa_impair_clear(impair);
            ok = false;
        }
    }
    efa_free_list(list);
    return ok;
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
