/*
 * EFA device model: faults of admin commands, as their users see them
 *
 * A list of rules: which command goes wrong, and how. docs/faults.md explains
 * the members to users.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FAULTS_H
#define HW_EFA_FAULTS_H

#include "efa-admin-defs.h"

#define EFA_FAULTS_MAX_RULES    256

typedef enum EfaFaultAction {
    EFA_FAULT_STATUS,       /* not carried out, answered with a status */
    EFA_FAULT_IGNORE,       /* not carried out, never answered */
    EFA_FAULT_LOSE,         /* carried out, never answered */
    EFA_FAULT_NO_INTERRUPT, /* carried out, answered without an interrupt */
    EFA_FAULT_ACTIONS,
} EfaFaultAction;

typedef struct EfaFaultRule {
    uint8_t opcode;             /* 0: every command */
    EfaFaultAction action;
    EfaAdminStatus status;      /* with EFA_FAULT_STATUS; not success */
    uint16_t extended_status;   /* likewise */
    uint32_t nth;               /* the first that goes wrong; 1: the next */
    uint32_t count;             /* how many do, from then on; 0: all */
} EfaFaultRule;

/* What a rule has seen of commands since it was set. */
typedef struct EfaFaultStats {
    uint64_t seen;              /* that it is about */
    uint64_t fired;             /* that went wrong by it */
} EfaFaultStats;

typedef struct EfaFaults {
    size_t num_rules;
    EfaFaultRule *rules;
} EfaFaults;

/* The next command of any kind is not carried out: unknown error. */
void efa_fault_rule_init(EfaFaultRule *rule);

/* false and one line in @errp naming the rule, member, value and limits. */
bool efa_faults_check(const EfaFaults *faults, GError **errp);

/* @to is overwritten; efa_faults_clear() it later. */
void efa_faults_copy(EfaFaults *to, const EfaFaults *from);
void efa_faults_clear(EfaFaults *faults);

/* "create-qp" of EFA_ADMIN_CREATE_QP, g_free() it; NULL: there is none. */
char *efa_opcode_to_string(uint8_t opcode);
/* The other way round; 0: no command is called so. */
uint8_t efa_opcode_parse(const char *text);

#endif /* HW_EFA_FAULTS_H */
