/*
 * Unit tests: an Ethernet within the program
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_SEGMENT_H
#define EFA_TEST_SEGMENT_H

#include "fabric-harness.h"
#include "fabric-netdev.h"

typedef struct Segment {
    GPtrArray *ports;           /* Port */
    size_t mtu;                 /* of devices that attach */
    unsigned lose;              /* one frame of so many; 0: none */
    unsigned repeat;            /* as often, one comes twice */
    unsigned late;              /* as often, one is held back by one */
    unsigned slow;              /* a port takes so many frames at a time */
    unsigned frames;
    int64_t now;
    GByteArray *held;
    GByteArray *last;           /* the frame sent last, before any loss */
    bool record;                /* all of them: */
    GPtrArray *log;             /* GBytes */
} Segment;

/* A device's host. */
typedef struct Port {
    Segment *segment;
    EfaFabric *f;
    bool kicked;
    bool tx_ready;
    unsigned taken;             /* frames since it was last pumped */
    bool refused;
    unsigned depth;             /* of send() within send() */
    GQueue backlog;             /* GBytes for which there was no room */
} Port;

extern Segment segment;         /* the test's */
extern const EfaNetdevOps port_ops;

void segment_begin(size_t mtu);
void segment_end(void);
Port *node_port(Node *n);
/* Put a frame on the wire. */
void segment_inject(const uint8_t *frame, size_t len);

#endif /* EFA_TEST_SEGMENT_H */
