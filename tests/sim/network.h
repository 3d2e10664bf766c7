/*
 * Simulator: packets and links, inside the network
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_SIM_NETWORK_H
#define EFA_SIM_NETWORK_H

#include "sim.h"

#define MAX_PACKET      10240
#define NUM_SIZES       4

typedef struct SimPkt SimPkt;
struct SimPkt {
    SimPkt *next;
    Node *src, *dst;
    uint64_t conn;
    uint32_t len;
    uint8_t size_class;
    uint8_t data[];
};

typedef struct SimLink {
    EfaLink link;
    Node *peer;
    uint64_t conn;              /* connection, announced links only */
    uint32_t under_way;         /* packets, while their number is limited */
    bool starved;
    bool heard;
    int64_t last_arrival;
    int64_t busy_until;
    int64_t losses[3];          /* times, the oldest first */
} SimLink;

typedef enum NoteKind {
    NOTE_UP,
    NOTE_ABSENT,
    NOTE_HANGUP,
    NOTE_WRITABLE,
} NoteKind;

/* Something to tell a client at its next poll. */
typedef struct LinkNote LinkNote;
struct LinkNote {
    LinkNote *next;
    Node *node;
    uint32_t boots;             /* of the node it is meant for */
    Node *peer;
    uint64_t conn;
    NoteKind kind;
};

struct SimPort {
    EfaFabric fabric;
    Node *node;
    SimLink **links;            /* open addressing by peer */
    unsigned num_links, size;
    SimPkt *inbox, **inbox_tail;
    LinkNote *notes, **notes_tail;
    SimPkt *reserved;
};

typedef struct Network {
    SimPkt *free[NUM_SIZES];
    GPtrArray *chunks;
    uint64_t conns;
    SimPkt *chatter;
} Network;

/* ---- links.c ---- */
SimPkt *pkt_new(Network *net, size_t len);
void pkt_free(Network *net, SimPkt *pkt);
SimPkt *pkt_dup(Network *net, const SimPkt *pkt);
/* Bytes that there is room for in @pkt. */
size_t pkt_size(const SimPkt *pkt);
/* The link to @peer if there is one; @port may be NULL. */
SimLink *port_find(SimPort *port, const Node *peer);
SimLink *port_link(SimPort *port, Node *peer);
Node *node_by_gid(World *w, const EfaGid *gid);
/* Tell @node something about its link to @peer after @delay. */
void note_later(Node *node, Node *peer, uint64_t conn, NoteKind kind,
                int64_t delay);
/* A packet is no longer under way: there is room for another. */
void link_release(World *w, const SimPkt *pkt);
/* It was lost: a cause of silence. */
void link_lost(World *w, const SimPkt *pkt);

#endif /* EFA_SIM_NETWORK_H */
