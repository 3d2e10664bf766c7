/*
 * Fuzzing: packets of peers that may send anything
 *
 * A device with queue pairs, and two peers of which the input plays both.
 * Input: the byte of guest_new(), then operations of guest_op() and packets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define EPOCH   1000            /* the peers' lives */

/* As the operations of guest_op(): new ones go to the end. */
enum {
    PEER_PACKET = GUEST_OPS,    /* which, kind, length, changes of header and
                                   payload */
    PEER_ANSWER,                /* which waits, how, changes of both */
    PEER_RAW,                   /* which, length (word), bytes */
    PEER_LINK,                  /* which; bit 1: up, or down and why */
    PEER_DROP,                  /* all that waits */
    PEER_ROOM,                  /* as WIRE_ROOM */
};

typedef struct Peers {
    Guest *g;
    Wire *w;
    uint32_t psn[2];            /* the next of each peer */
    uint64_t epoch;             /* the device's as last seen */
} Peers;

/* A patch of the payload can reach this far. */
#define PATCHED     224

static void patch_packet(In *in, WirePkt *pkt)
{
    size_t payload = pkt->len - sizeof(pkt->hdr);

    in_patch(in, &pkt->hdr, sizeof(pkt->hdr));
    if (payload) {
        in_patch(in, pkt->data + sizeof(pkt->hdr), MIN(payload, PATCHED));
    }
}

static void deliver(Peers *p, WirePkt *pkt)
{
    wire_deliver(p->w, pkt);
    if (wire_count(p->w) > 64) {
        wire_drop_all(p->w);
    }
}

static void add_rdma(Peers *p, WirePkt *pkt, uint8_t op, uint16_t len,
                     bool last)
{
    const Buf *buf = &p->g->open[0];
    EfaPktRdma rdma = { .rkey = buf->key, .length = len, .addr = buf->iova,
                        .seg_length = len };

    rdma.addr += last ? buf->len - len : 0;
    pkt->hdr.opcode = op;
    pkt_payload(pkt, &rdma, sizeof(rdma));
    if (op == EFA_IO_RDMA_WRITE) {
        pkt->len += len;
        pkt->hdr.payload_len += len;
    }
}

/*
 * Kind: bits 2:0 what, 3 to the UD end, 4 immediate data, 5 RDMA at the end of
 * the region.
 */
static void op_packet(Peers *p, In *in)
{
    static const uint8_t types[] = {
        EFA_PKT_UD, EFA_PKT_DATA, EFA_PKT_DATA, EFA_PKT_DATA, EFA_PKT_ACK,
        EFA_PKT_RESET, EFA_PKT_READ_RESP, EFA_PKT_DATA,
    };
    unsigned who = in_u8(in) & 1;
    uint8_t kind = in_u8(in), type = types[kind & 7];
    uint16_t len = in_u16(in) % (EFA_MAX_MTU + 1);
    WirePkt *pkt = ghost_pkt(test_gid(2 + who), test_gid(1), type, EPOCH);

    pkt->hdr.dst_qpn = p->g->end[kind >> 3 & 1]->qp->num;
    pkt->hdr.src_qpn = 7;
    pkt->hdr.dst_epoch = p->epoch;
    pkt->hdr.psn = p->psn[who];
    pkt->hdr.una = p->psn[who];
    pkt->hdr.flags = kind >> 4 & 1;
    p->psn[who] += type == EFA_PKT_DATA;
    if ((kind & 7) == 2 || (kind & 7) == 3) {
        add_rdma(p, pkt, kind & 1 ? EFA_IO_RDMA_READ : EFA_IO_RDMA_WRITE, len,
                 kind & 32);
    } else if (type == EFA_PKT_ACK) {
        EfaPktAckMap map = { };

        pkt_payload(pkt, &map, sizeof(map));
    } else if (type != EFA_PKT_RESET) {
        pkt->len += len;
        pkt->hdr.payload_len = len;
    }
    patch_packet(in, pkt);
    if (pkt->hdr.checksum_kind == EFA_PKT_CRC32) {
        efa_pkt_seal(pkt->data, pkt->len);
    }
    deliver(p, pkt);
}

static WirePkt *read_response(const WirePkt *req)
{
    const EfaPktRdma *rdma = (const void *)(req->data + sizeof(req->hdr));
    WirePkt *pkt = ghost_pkt(req->dst, req->src, EFA_PKT_READ_RESP, EPOCH);

    pkt->hdr.dst_epoch = req->hdr.src_epoch;
    pkt->hdr.ctx = req->hdr.ctx;
    pkt->hdr.psn = req->hdr.psn;
    pkt->hdr.payload_len = MIN(rdma->seg_length, EFA_MAX_MTU);
    pkt->len += pkt->hdr.payload_len;
    return pkt;
}

/* How: 0 OK, 1 to 18 a status, 20 read data, 21 reset, 22 its own packet. */
static void op_answer(Peers *p, In *in)
{
    uint8_t which = in_u8(in), how = in_u8(in) % 23;
    WirePkt *req, *pkt;

    if (!wire_count(p->w)) {
        return;
    }
    req = wire_take(p->w, which % wire_count(p->w));
    p->epoch = req->hdr.src_epoch;
    if (how < 20) {
        pkt = ghost_ack(req, EPOCH, how);
    } else if (how == 20) {
        pkt = read_response(req);
    } else if (how == 21) {
        pkt = ghost_pkt(req->dst, req->src, EFA_PKT_RESET, EPOCH);
        pkt->hdr.dst_epoch = req->hdr.src_epoch;
        pkt->hdr.ctx = req->hdr.ctx;
    } else {
        pkt = wire_dup(req);
        pkt->src = req->dst;
        pkt->dst = req->src;
        memcpy(pkt->hdr.src_gid, pkt->src.raw, sizeof(pkt->hdr.src_gid));
        memcpy(pkt->hdr.dst_gid, pkt->dst.raw, sizeof(pkt->hdr.dst_gid));
    }
    g_free(req);
    patch_packet(in, pkt);
    deliver(p, pkt);
}

static void op_raw(Peers *p, In *in)
{
    WirePkt *pkt = ghost_pkt(test_gid(2 + (in_u8(in) & 1)), test_gid(1), 0, 0);
    size_t len = in_u16(in) % 512;

    pkt->len = MIN(len, in->left);
    in_bytes(in, pkt->data, pkt->len);
    deliver(p, pkt);
}

static void op_link(Peers *p, In *in)
{
    uint8_t arg = in_u8(in);
    EfaGid peer = test_gid(2 + (arg & 1));

    if (arg & 2) {
        wire_raise(p->w, test_gid(1), peer);
    } else {
        wire_cut(p->w, test_gid(1), peer, (arg >> 2) % 4);
    }
}

static void peer_op(Peers *p, uint8_t op, In *in)
{
    uint8_t arg;

    switch (op) {
    case PEER_PACKET:
        op_packet(p, in);
        break;
    case PEER_ANSWER:
        op_answer(p, in);
        break;
    case PEER_RAW:
        op_raw(p, in);
        break;
    case PEER_LINK:
        op_link(p, in);
        break;
    case PEER_DROP:
        wire_drop_all(p->w);
        break;
    case PEER_ROOM:
        arg = in_u8(in);
        wire_room(p->w, arg == 255 ? -1 : arg);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, size };
    uint8_t how = in_u8(&in);
    Peers p = { };

    host_now = 1000000000;
    host_epoch = 1000000;
    p.w = wire_new();
    wire_ghost(p.w, test_gid(2));
    wire_ghost(p.w, test_gid(3));
    p.g = guest_new(1, p.w, how);
    guest_populate(p.g);
    wire_raise(p.w, test_gid(1), test_gid(2));
    wire_raise(p.w, test_gid(1), test_gid(3));
    while (in.left) {
        uint8_t op = in_u8(&in);

        if (op & GUEST_OPS) {
            peer_op(&p, GUEST_OPS + (op & 7), &in);
        } else {
            guest_op(p.g, p.g, op & (GUEST_OPS - 1), &in);
        }
        settle();
    }
    guest_check(p.g);
    guest_free(p.g);
    wire_free(p.w);
    return 0;
}
