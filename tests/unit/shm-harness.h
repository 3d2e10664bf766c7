/*
 * Unit tests: devices on the shared memory fabric, and peers made by hand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_SHM_HARNESS_H
#define EFA_TEST_SHM_HARNESS_H

#include "fabric-harness.h"
#include "shm-handshake.h"

extern unsigned shm_complaints; /* lines for the operator */

/* The file in the directory that belongs to a GID. */
char *path_of(const EfaGid *g, const char *suffix);
bool exists(const EfaGid *g, const char *suffix);

/* A peer made by hand. */
typedef struct Raw {
    EfaShmHello hello;
    size_t len;                 /* of it */
    int sock;
    int fds[8];
    unsigned nfds;
    EfaShmHeader *map;
    EfaRingTx tx;
    EfaRingRx rx;
} Raw;

int raw_socket(unsigned id, bool server);
/* A faultless offer from @from to @to, for the test to spoil. */
void raw_init(Raw *r, unsigned from, unsigned to);
void raw_send(Raw *r);
int raw_status(Raw *r);
bool raw_closed(Raw *r);
void raw_free(Raw *r);
/* Peer 9 is by hand, connected to @n, which is 1. */
void raw_up(Raw *r, Node *n);
void raw_put(Raw *r, const void *data, size_t len);

void shm_test_init(int *argc, char ***argv);
/* Every test leaves no descriptor and no file. */
void shm_test_add(const char *path, void (*test)(void));

#endif /* EFA_TEST_SHM_HARNESS_H */
