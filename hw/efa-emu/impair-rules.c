/*
 * EFA device model: rules of impairment: defaults, checks, who is meant
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "impair.h"
#include "rules.h"

void efa_impair_rule_init(EfaImpairRule *rule)
{
#define SET_DEFAULT(_field, _name, _value, _min, _max)  ._field = _value,
    *rule = (EfaImpairRule) { EFA_IMPAIR_NUMBERS(SET_DEFAULT) };
#undef SET_DEFAULT
}

#define refuse(_errp, _rule, ...) \
    efa_rule_refuse((_errp), "impair", (_rule), __VA_ARGS__)

static bool efa_impair_check_numbers(const EfaImpairRule *rule, size_t n,
                                     GError **errp)
{
    const struct {
        const char *name;
        double value;
    } percents[] = {
#define PERCENT(_field, _name)  { _name, rule->_field },
        EFA_IMPAIR_PERCENTS(PERCENT)
#undef PERCENT
    };
    const struct {
        const char *name;
        uint32_t value, min, max;
    } numbers[] = {
#define NUMBER(_field, _name, _value, _min, _max) \
        { _name, rule->_field, _min, _max },
        EFA_IMPAIR_NUMBERS(NUMBER)
#undef NUMBER
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(percents); i++) {
        /* written so that NaN is refused */
        if (!(percents[i].value >= 0 && percents[i].value <= 100)) {
            return refuse(errp, n, "%s=%g is out of range: 0 to 100 percent",
                          percents[i].name, percents[i].value);
        }
    }
    for (i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (numbers[i].value < numbers[i].min ||
            numbers[i].value > numbers[i].max) {
            return refuse(errp, n, "%s=%u is out of range: %u to %u",
                          numbers[i].name, numbers[i].value, numbers[i].min,
                          numbers[i].max);
        }
    }
    if ((unsigned)rule->partition > EFA_PARTITION_BOTH) {
        return refuse(errp, n, "partition=%d is out of range: 0 to %d",
                      rule->partition, EFA_PARTITION_BOTH);
    }
    return true;
}

static bool efa_impair_same_peer(const EfaImpairRule *a,
                                 const EfaImpairRule *b)
{
    return a->has_peer == b->has_peer &&
           (!a->has_peer || efa_gid_equal(&a->peer, &b->peer));
}

bool efa_impair_check(const EfaImpair *impair, GError **errp)
{
    size_t i, j;

    if (impair->num_rules > EFA_IMPAIR_MAX_RULES) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "impair has %zu rules: no more than %d are possible",
                    impair->num_rules, EFA_IMPAIR_MAX_RULES);
        return false;
    }
    for (i = 0; i < impair->num_rules; i++) {
        const EfaImpairRule *rule = &impair->rules[i];
        g_autofree char *peer = rule->has_peer
                                ? efa_gid_to_string(&rule->peer) : NULL;

        if (peer && !efa_gid_is_unicast(&rule->peer)) {
            return refuse(errp, i, "peer=%s is no device's address", peer);
        }
        for (j = 0; j < i; j++) {
            if (efa_impair_same_peer(rule, &impair->rules[j])) {
                return refuse(errp, i, "rule %zu is for %s%s too", j,
                              peer ? "peer=" : "all peers", peer ?: "");
            }
        }
        if (!efa_impair_check_numbers(rule, i, errp)) {
            return false;
        }
    }
    return true;
}

void efa_impair_copy(EfaImpair *to, const EfaImpair *from)
{
    to->num_rules = from->num_rules;
    to->rules = g_memdup2(from->rules,
                          from->num_rules * sizeof(*from->rules));
}

void efa_impair_clear(EfaImpair *impair)
{
    g_free(impair->rules);
    *impair = (EfaImpair) { 0 };
}

const EfaImpairRule *efa_impair_find(const EfaImpair *impair,
                                     const EfaGid *peer)
{
    const EfaImpairRule *general = NULL;
    size_t i;

    for (i = 0; i < impair->num_rules; i++) {
        const EfaImpairRule *rule = &impair->rules[i];

        if (!rule->has_peer) {
            general = rule;
        } else if (efa_gid_equal(&rule->peer, peer)) {
            return rule;
        }
    }
    return general;
}
