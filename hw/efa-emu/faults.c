/*
 * EFA device model: faults of admin commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"
#include "rules.h"

void efa_fault_rule_init(EfaFaultRule *rule)
{
    *rule = (EfaFaultRule) {
        .action = EFA_FAULT_STATUS,
        .status = EFA_ADMIN_UNKNOWN_ERROR,
        .nth = 1,
        .count = 1,
    };
}

#define refuse(_errp, _rule, ...) \
    efa_rule_refuse((_errp), "faults", (_rule), __VA_ARGS__)

static bool efa_fault_check_rule(const EfaFaultRule *rule, size_t n,
                                 GError **errp)
{
    g_autofree char *name = efa_opcode_to_string(rule->opcode);

    if (rule->opcode && !name) {
        return refuse(errp, n, "opcode=%u is no admin command", rule->opcode);
    }
    if ((unsigned)rule->action >= EFA_FAULT_ACTIONS) {
        return refuse(errp, n, "action=%d is out of range: 0 to %d",
                      rule->action, EFA_FAULT_ACTIONS - 1);
    }
    if (rule->status == EFA_ADMIN_SUCCESS ||
        (unsigned)rule->status > EFA_ADMIN_RESOURCE_BUSY) {
        return refuse(errp, n, "status=%d is no status of a command that "
                      "went wrong: 1 to %d", rule->status,
                      EFA_ADMIN_RESOURCE_BUSY);
    }
    if (!rule->nth) {
        return refuse(errp, n, "nth=0: 1 is the next command");
    }
    return true;
}

bool efa_faults_check(const EfaFaults *faults, GError **errp)
{
    size_t i;

    if (faults->num_rules > EFA_FAULTS_MAX_RULES) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "faults has %zu rules: no more than %d are possible",
                    faults->num_rules, EFA_FAULTS_MAX_RULES);
        return false;
    }
    for (i = 0; i < faults->num_rules; i++) {
        if (!efa_fault_check_rule(&faults->rules[i], i, errp)) {
            return false;
        }
    }
    return true;
}

void efa_faults_copy(EfaFaults *to, const EfaFaults *from)
{
    to->num_rules = from->num_rules;
    to->rules = g_memdup2(from->rules,
                          from->num_rules * sizeof(*from->rules));
}

void efa_faults_clear(EfaFaults *faults)
{
    g_free(faults->rules);
    *faults = (EfaFaults) { 0 };
}

/* ---- the core's part, under its lock ---- */

void efa_faults_set(EfaCore *core, const EfaFaults *faults)
{
    efa_faults_destroy(core);
    efa_faults_copy(&core->faults, faults);
    core->fault_stats = g_new0(EfaFaultStats, faults->num_rules);
}

void efa_faults_destroy(EfaCore *core)
{
    efa_faults_clear(&core->faults);
    g_clear_pointer(&core->fault_stats, g_free);
}

/* Does @rule concern the @seen-th command, counted from 1? */
static bool efa_fault_is_due(const EfaFaultRule *rule, uint64_t seen)
{
    return seen >= rule->nth &&
           (!rule->count || seen - rule->nth < rule->count);
}

const EfaFaultRule *efa_fault_for(EfaCore *core, uint8_t opcode)
{
    const EfaFaultRule *found = NULL;
    size_t i;

    for (i = 0; i < core->faults.num_rules; i++) {
        const EfaFaultRule *rule = &core->faults.rules[i];
        EfaFaultStats *stats = &core->fault_stats[i];

        if (rule->opcode && rule->opcode != opcode) {
            continue;
        }
        stats->seen++;
        if (!found && efa_fault_is_due(rule, stats->seen)) {
            stats->fired++;
            found = rule;
        }
    }
    return found;
}
