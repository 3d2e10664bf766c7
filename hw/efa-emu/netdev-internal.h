/*
 * EFA device model: what the files of the fabric over an Ethernet share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_NETDEV_INTERNAL_H
#define HW_EFA_NETDEV_INTERNAL_H

#include "efa-packet.h"
#include "fabric-netdev.h"

typedef struct NetdevLink {
    EfaLink link;
    EfaMac mac;
    GList node;             /* in ->up or ->connecting, by the state */
    GList wait_node;
    bool waits;             /* for room: in ->waiting */
    int64_t used;           /* when a packet last went either way */
} NetdevLink;

typedef struct NetdevPacket {
    GList node;
    EfaMac dst;
    uint32_t id;
    size_t size;            /* room for a packet */
    size_t len;
    unsigned frames;        /* sent of it */
    uint8_t bytes[];        /* head room, packet, tail room */
} NetdevPacket;

typedef struct NetdevFrame {
    GList node;
    EfaFrameRx rx;          /* ->data is ours */
    uint8_t bytes[];
} NetdevFrame;

typedef struct EfaFabricNetdev {
    EfaFabric fabric;
    const EfaNetdevOps *net;
    void *net_opaque;
    EfaMac mac;
    uint16_t unit;          /* bytes of a packet in one frame */

    /* under the core lock */
    bool in_poll;
    GHashTable *links;      /* EfaGid -> NetdevLink */
    NetdevLink overflow;    /* stands for every peer beyond the limit */
    GQueue up;              /* the one used last is the last */
    GQueue connecting;
    GQueue waiting;
    NetdevPacket *reserved;
    EfaReasm reasm;
    uint32_t next_id;
    bool tx_dirty;          /* committed since the last ->flush() */

    /* under this lock; those that ->pending() reads are atomic besides */
    EfaLock lock;
    GQueue input;           /* NetdevFrame */
    size_t input_bytes;
    bool input_full;        /* the host was told that there is no room */
    GQueue output;          /* NetdevPacket */
    size_t output_bytes;
    bool blocked;           /* the host takes no frames just now */
    bool transmitting;
    bool kicked;            /* and not polled since */
    bool want_room;         /* ->reserve() failed */
    bool room;              /* it would not any more */
    EfaNetdevStats stats;
    int64_t next_complaint;
} EfaFabricNetdev;

static inline EfaFabricNetdev *netdev_from(EfaFabric *f)
{
    return container_of(f, EfaFabricNetdev, fabric);
}

static inline NetdevLink *netdev_link_from(EfaLink *link)
{
    return container_of(link, NetdevLink, link);
}

/* Have ->poll() called, once; to be told to the host without the lock. */
static inline bool netdev_must_kick(EfaFabricNetdev *s)
{
    bool kick = !s->kicked;

    s->kicked = true;
    return kick;
}

/* fabric-netdev.c: links, under the core lock */
NetdevLink *efa_nd_find_link(EfaFabricNetdev *s, const EfaGid *peer);
/* One for a stranger, who may cost an idle one its place; NULL: too many. */
NetdevLink *efa_nd_add_link(EfaFabricNetdev *s, const EfaGid *peer);
/* Tell the client, unless it is up already. */
void efa_nd_set_up(EfaFabricNetdev *s, NetdevLink *l);
/* A packet went over it. */
void efa_nd_used(EfaFabricNetdev *s, NetdevLink *l);

/* netdev-tx.c: under the core lock */
uint8_t *efa_nd_reserve(EfaFabric *f, EfaLink *link, size_t len);
void efa_nd_commit(EfaFabric *f, EfaLink *link, size_t len);
void efa_nd_flush(EfaFabric *f);
/* There is room: tell those that wait for it. */
void efa_nd_tell_writable(EfaFabricNetdev *s);
void efa_nd_unwait(EfaFabricNetdev *s, NetdevLink *l);
void efa_nd_free_output(EfaFabricNetdev *s);

/* netdev-rx.c: under the core lock */
/*
 * Deliver up to @budget packets of @frames frames, which are there: it bounds
 * what is taken of a queue that grows meanwhile.
 */
void efa_nd_receive(EfaFabricNetdev *s, unsigned budget, unsigned frames);
void efa_nd_free_input(EfaFabricNetdev *s);

#endif /* HW_EFA_NETDEV_INTERNAL_H */
