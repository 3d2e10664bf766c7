/*
 * Fuzzing: work requests, doorbells and what becomes of them
 *
 * Two devices with queue pairs in each other's reach. Input: the byte of
 * guest_new(), then operations of guest_op(), at the second device if bit 7 is
 * set, and of the wire between them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum {
    WIRE_AUTO = GUEST_OPS,  /* bit 0: packets arrive by themselves */
    WIRE_ROOM,              /* packets before the links are full; 255: any */
    WIRE_DELIVER,           /* which one that is under way */
    WIRE_DROP,
    WIRE_DOUBLE,
    WIRE_CUT,               /* why */
};

static void wire_op(Wire *w, uint8_t op, In *in)
{
    uint8_t arg = in_u8(in);
    unsigned waiting = wire_count(w);

    switch (op) {
    case WIRE_AUTO:
        wire_auto(w, arg & 1);
        break;
    case WIRE_ROOM:
        wire_room(w, arg == 255 ? -1 : arg);
        break;
    case WIRE_DELIVER:
        if (waiting) {
            wire_deliver(w, wire_take(w, arg % waiting));
        }
        break;
    case WIRE_DROP:
        if (waiting) {
            g_free(wire_take(w, arg % waiting));
        }
        break;
    case WIRE_DOUBLE:
        if (waiting) {
            WirePkt *pkt = wire_take(w, arg % waiting);

            wire_deliver(w, wire_dup(pkt));
            wire_deliver(w, pkt);
        }
        break;
    case WIRE_CUT:
        wire_cut(w, test_gid(1), test_gid(2), arg % (EFA_LINK_PROTOCOL + 1));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, size };
    uint8_t how = in_u8(&in);
    Guest *g[2];
    Wire *w;
    unsigned i;

    host_now = 1000000000;
    host_epoch = 1000000;
    w = wire_new();
    for (i = 0; i < 2; i++) {
        g[i] = guest_new(i + 1, w, how);
        guest_populate(g[i]);
    }
    settle();
    while (in.left) {
        uint8_t op = in_u8(&in);
        unsigned who = op >> 7;

        if (op & GUEST_OPS) {
            wire_op(w, GUEST_OPS + (op & 7), &in);
        } else {
            guest_op(g[who], g[!who], op & (GUEST_OPS - 1), &in);
        }
        settle();
    }
    /* all that can end does */
    wire_room(w, -1);
    wire_auto(w, true);
    advance(2000 * EFA_NSEC_PER_MSEC);
    for (i = 0; i < 2; i++) {
        guest_check(g[i]);
        guest_free(g[i]);
    }
    wire_free(w);
    return 0;
}
