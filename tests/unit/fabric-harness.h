/*
 * Unit tests: devices on a fabric, whichever it is
 *
 * A backend is one file that fills in a FabricBackend (backend-*.c); the
 * suite in test-fabric.c runs over each of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_FABRIC_HARNESS_H
#define EFA_TEST_FABRIC_HARNESS_H

#include "efa-osdep.h"
#include "efa-fabric.h"
#include "efa-packet.h"

/* A device: counts what it is told, and logs it as "u", "d0".."d3", "w". */
typedef struct Node {
    EfaFabric *f;
    void *backend;              /* the backend's */
    GMutex lock;
    GString *log;
    bool polling;               /* callbacks are made now or never */
    unsigned received;
    uint32_t next_seq;
    size_t last_len;
    uint8_t last[64];
    const EfaGid *reconnect;    /* connect to it at every link_down */
    unsigned make_links;        /* at every packet */
    bool echo;
    bool verify;                /* packets are of packet_send() */
    GArray *seen;               /* sequence numbers, with verify */
} Node;

typedef struct FabricBackend {
    const char *name;

    /* What it promises beyond the contract; the suite asserts no more. */
    bool knows_peers;           /* tells that one is absent, or goes */
    bool reaches_self;
    bool lossless;

    /* A fabric of its own for every test. */
    void (*begin)(void);
    void (*end)(void);
    /* Make @n->f for @gid, reporting to node_client and @n. */
    void (*attach)(Node *n, const EfaGid *gid);
    void (*detach)(Node *n);
    /* Would the thread of @n be woken? */
    bool (*awake)(Node *n);
    /* What @n's host does besides polling. Optional. */
    void (*pump)(Node *n);
} FabricBackend;

/* The one under test. */
extern const FabricBackend *fabric_backend;

extern const FabricBackend fabric_shm;
extern const FabricBackend fabric_netdev, fabric_netdev_small,
                           fabric_netdev_large, fabric_netdev_slow,
                           fabric_netdev_lossy;

/* backend-shm.c: the directory of the test */
extern char *shm_dir;

/* fe80::<n>; good until seven more are asked for. */
const EfaGid *gid(unsigned n);
unsigned count_fds(void);

/* What a node is to its fabric; three of its functions for other clients. */
extern const EfaFabricClient node_client;
void on_up(void *opaque, EfaLink *link);
void on_down(void *opaque, EfaLink *link, EfaLinkDownReason why);
void on_writable(void *opaque, EfaLink *link);

/* @n->f->client is node_client unless the test changes it. */
Node *node_new(unsigned id);
void node_free(Node *n);
EfaLink *node_link(Node *n, unsigned peer);
void node_connect(Node *n, unsigned peer);
bool node_send(Node *n, EfaLink *link, const void *data, size_t len);
/* One poll, and what its host does with it. */
bool node_poll(Node *n, unsigned budget);
void node_flush(Node *n);
bool node_awake(Node *n);
/* Poll until it sleeps, as a device's thread does. */
void node_run(Node *n);
void settle(Node *a, Node *b);
void check_log(Node *n, const char *want);
/* 1 connects to 2. */
void node_pair(Node **a, Node **b);

/*
 * A packet of @len bytes, header included, whose content follows from @seq;
 * false if there was no room. A node with ->verify checks all of it.
 */
bool packet_send(Node *n, unsigned peer, uint32_t seq, size_t len);
void packet_fill(uint8_t *packet, const EfaGid *src, const EfaGid *dst,
                 uint32_t seq, size_t len);
bool node_has_seen(Node *n, uint32_t seq);

/* Every test has a new fabric, and leaves no descriptor. */
void fabric_test_add(const FabricBackend *backend, const char *path,
                     void (*test)(void));

#endif /* EFA_TEST_FABRIC_HARNESS_H */
