/*
 * Unit tests: devices on the shared memory fabric, and peers made by hand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_SHM_HARNESS_H
#define EFA_TEST_SHM_HARNESS_H

#include "efa-osdep.h"
#include "shm-handshake.h"

extern char *shm_dir;           /* a new one for every test */
extern unsigned shm_complaints; /* lines for the operator */

const EfaGid *gid(unsigned n);
/* The file in the directory that belongs to a GID. */
char *path_of(const EfaGid *g, const char *suffix);
bool exists(const EfaGid *g, const char *suffix);
unsigned count_fds(void);

/* A device: counts what it is told, and logs it as "u", "d0".."d3", "w". */
typedef struct Node {
    EfaFabric *f;
    GMutex lock;
    GString *log;
    unsigned received;
    uint32_t next_seq;
    size_t last_len;
    uint8_t last[64];
    const EfaGid *reconnect;    /* connect to it at every link_down */
    unsigned make_links;        /* at every packet */
    bool echo;
} Node;

/* What a node is to its fabric; three of its functions for other clients. */
extern const EfaFabricClient node_client;
void on_up(void *opaque, EfaLink *link);
void on_down(void *opaque, EfaLink *link, EfaLinkDownReason why);
void on_writable(void *opaque, EfaLink *link);

Node *node_new(unsigned id);
void node_free(Node *n);
EfaLink *node_link(Node *n, unsigned peer);
void node_connect(Node *n, unsigned peer);
bool node_send(Node *n, EfaLink *link, const void *data, size_t len);
bool node_awake(Node *n);
/* Poll until it sleeps, as a device's thread does. */
void node_run(Node *n);
void settle(Node *a, Node *b);
void check_log(Node *n, const char *want);
/* 1 connects to 2. */
void node_pair(Node **a, Node **b);

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
