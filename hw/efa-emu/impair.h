/*
 * EFA device model: impairments, as their users see them
 *
 * What a bad network does to packets between the transport and the fabric:
 * a list of rules, each for one peer or for all. docs/impair.md explains the
 * members to users.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_IMPAIR_H
#define HW_EFA_IMPAIR_H

#include "efa-fabric.h"

#define EFA_IMPAIR_MAX_RULES    256
#define EFA_IMPAIR_MAX_US       10000000    /* 10 s */
#define EFA_IMPAIR_MAX_LIMIT    4096

/* Directions in which nothing passes; bits. */
typedef enum EfaPartition {
    EFA_PARTITION_NONE  = 0,
    EFA_PARTITION_OUT   = 1,    /* what we send to the peer is lost */
    EFA_PARTITION_IN    = 2,    /* what the peer sends to us is lost */
    EFA_PARTITION_BOTH  = 3,
} EfaPartition;

/* Members that are probabilities, in percent: X(field, name). */
#define EFA_IMPAIR_PERCENTS(X)                                          \
    X(loss, "loss")                                                     \
    X(duplicate, "duplicate")                                           \
    X(reorder, "reorder")                                               \
    X(corrupt, "corrupt")

/* Members that are whole numbers: X(field, name, default, min, max). */
#define EFA_IMPAIR_NUMBERS(X)                                           \
    X(delay_us, "delay-us", 0, 0, EFA_IMPAIR_MAX_US)                    \
    X(jitter_us, "jitter-us", 0, 0, EFA_IMPAIR_MAX_US)                  \
    X(reorder_us, "reorder-us", 200, 1, EFA_IMPAIR_MAX_US)              \
    X(rate_mbps, "rate-mbps", 0, 0, 1000000)                            \
    X(limit, "limit", 1000, 1, EFA_IMPAIR_MAX_LIMIT)

typedef struct EfaImpairRule {
    bool has_peer;          /* else for every peer without a rule of its own */
    EfaGid peer;
    double loss;
    double duplicate;
    double reorder;
    double corrupt;
    uint32_t delay_us;
    uint32_t jitter_us;     /* delay is even between -jitter and +jitter */
    uint32_t reorder_us;    /* how long a reordered packet is held back */
    uint32_t rate_mbps;     /* 0: no cap */
    uint32_t limit;         /* packets that may be held when there is a cap */
    EfaPartition partition;
    bool has_seed;          /* else the device's */
    uint32_t seed;
} EfaImpairRule;

typedef struct EfaImpair {
    size_t num_rules;
    EfaImpairRule *rules;
} EfaImpair;

/* What happened, in packets: X(field, name). */
#define EFA_IMPAIR_STATS(X)                                             \
    X(lost, "lost")                     /* by "loss" */                 \
    X(partitioned, "partitioned")                                       \
    X(overflowed, "overflowed")         /* no room behind "rate-mbps" */ \
    X(duplicated, "duplicated")                                         \
    X(reordered, "reordered")                                           \
    X(corrupted, "corrupted")                                           \
    X(delayed, "delayed")               /* by delay, jitter or rate */  \
    X(discarded, "discarded")           /* held when link or device ended */ \
    X(checksum_drops, "checksum-drops") /* received damaged */          \
    X(unplugged, "unplugged")           /* the link was off */          \
    X(held, "held")                     /* just now */

typedef struct EfaImpairStats {
#define EFA_IMPAIR_STAT(field, name)    uint64_t field;
    EFA_IMPAIR_STATS(EFA_IMPAIR_STAT)
#undef EFA_IMPAIR_STAT
} EfaImpairStats;

/* A rule that does nothing, for all peers. */
void efa_impair_rule_init(EfaImpairRule *rule);

/* false and one line in @errp naming the rule, member, value and limits. */
bool efa_impair_check(const EfaImpair *impair, GError **errp);

/* @to is overwritten; efa_impair_clear() it later. */
void efa_impair_copy(EfaImpair *to, const EfaImpair *from);
void efa_impair_clear(EfaImpair *impair);

/* The rule that holds for @peer, or NULL. */
const EfaImpairRule *efa_impair_find(const EfaImpair *impair,
                                     const EfaGid *peer);

#endif /* HW_EFA_IMPAIR_H */
