/*
 * Unit tests: two devices on a wire that talk to each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HARNESS_PAIR_H
#define HARNESS_PAIR_H

#include "harness.h"

typedef struct Pair {
    Wire *w;
    End *a, *b;
    uint16_t ah;                /* a's for b */
    uint16_t back;              /* b's for a, from pair_meet() on */
    Buf local;                  /* a's, from pair_reg() on */
    Buf remote;                 /* b's, from pair_reg() on */
} Pair;

/* Devices of these configurations with a QP of @type each; a has an AH. */
Pair pair_of(const EfaConfig *a, const EfaConfig *b, EfaQpType type);
/* The same with the configurations of test_config(). */
Pair pair_of_default(EfaQpType type);
/* b has an AH too, without which RDMA is refused. */
void pair_meet(Pair *p);
/* Regions of @len bytes at either end; a's peer may do @remote (PERM_*). */
void pair_reg(Pair *p, uint32_t len, uint8_t remote);
void pair_free(Pair *p);

/* An inline send of its own number. */
void pair_send(Pair *p, uint16_t req);

#endif /* HARNESS_PAIR_H */
