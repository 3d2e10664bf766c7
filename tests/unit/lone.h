/*
 * Unit tests: one device, and a peer that the test plays
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_LONE_H
#define EFA_TEST_LONE_H

#include "harness.h"

#define MS      EFA_NSEC_PER_MSEC
#define EPOCH   1000            /* the ghost's life */

typedef struct Lone {
    Wire *w;
    End *e;
    EfaGid peer;
    uint16_t ah;
} Lone;

static inline Lone lone_new(void)
{
    Lone l = { .w = wire_new(), .peer = test_gid(2) };

    wire_ghost(l.w, l.peer);
    l.e = end_new(host_new_on(1, l.w), EFA_QP_TYPE_SRD);
    l.ah = create_ah_ok(l.e->h, l.e->pd, l.peer);
    return l;
}

static inline void lone_free(Lone *l)
{
    hosts_free();
    wire_free(l->w);
}

static inline void lone_post(Lone *l, uint16_t req)
{
    EfaIoTxWqe wqe = wqe_send(req, l->ah, 0x77);

    wqe_inline(&wqe, &req, sizeof(req));
    sq_post(l->e->qp, &wqe);
    settle();
}

/* Post and take the packet. */
static inline WirePkt *lone_send(Lone *l, uint16_t req)
{
    lone_post(l, req);
    return wire_take(l->w, wire_count(l->w) - 1);
}

static inline void lone_ack(Lone *l, const WirePkt *req, uint64_t epoch,
                     uint8_t status)
{
    wire_deliver(l->w, ghost_ack(req, epoch, status));
}

#endif /* EFA_TEST_LONE_H */
