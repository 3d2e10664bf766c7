/*
 * Fuzzing: Ethernet frames and how they become packets
 *
 * A device on an Ethernet within the program, beside a second one whose frames
 * can be had again. Input: the MTU (a byte), then operations.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fuzz.h"
#include "../unit/segment.h"

enum {
    OP_FRAME,       /* sender, id, index, unit and total (words), bytes behind,
                       changes of header and payload */
    OP_RAW,         /* length, bytes */
    OP_AGAIN,       /* which of the frames sent, length cut off, changes */
    OP_PACKET,      /* from (1 or 2), to, length (word) */
    OP_POLL,        /* which, budget */
    OP_TIME,        /* 2^n ns, n at most 40 */
    OP_NET,         /* lose, repeat, late, slow: one of so many */
    OP_LINK,        /* which, to whom */
};

typedef struct Fuzz {
    Node *n[2];
    uint32_t seq;
    bool spoilt;            /* a frame was not as its sender made it */
} Fuzz;

/* ---- the devices ---- */

static bool as_sent(const uint8_t *data, size_t len, const EfaPktHdr *hdr)
{
    g_autofree uint8_t *want = g_malloc(len);
    EfaGid src, dst;

    memcpy(src.raw, hdr->src_gid, sizeof(src.raw));
    memcpy(dst.raw, hdr->dst_gid, sizeof(dst.raw));
    packet_fill(want, &src, &dst, hdr->psn, len);
    return !memcmp(want, data, len);
}

static Fuzz *now;

static void on_receive(void *opaque, EfaLink *link, const uint8_t *data,
                       size_t len)
{
    Node *n = opaque;
    EfaPktHdr hdr;

    fuzz_check(n->polling && link->state == EFA_LINK_UP,
               "a packet outside of poll() or from a link that is not up");
    fuzz_check(len >= sizeof(hdr) && len <= EFA_FRAME_MAX_PACKET,
               "a packet of %zu bytes", len);
    memcpy(&hdr, data, sizeof(hdr));
    fuzz_check(!memcmp(hdr.src_gid, link->peer.raw, sizeof(hdr.src_gid)) &&
               !memcmp(hdr.dst_gid, n->f->gid.raw, sizeof(hdr.dst_gid)),
               "a packet with the wrong addresses");
    fuzz_check(now->spoilt || as_sent(data, len, &hdr),
               "packet %u was put together wrongly", hdr.psn);
}

static const EfaFabricClient client = {
    .receive = on_receive,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

/* ---- the wire ---- */

/* In memory of its own size: an overrun shows. */
static void inject(Fuzz *f, const uint8_t *frame, size_t len)
{
    g_autofree uint8_t *exact = g_memdup2(frame, len);

    segment_inject(exact, len);
}

static void patch_frame(Fuzz *f, In *in, uint8_t *frame, size_t len)
{
    size_t hdr = MIN(len, sizeof(EfaFrameHdr));

    if (hdr) {
        f->spoilt |= in_patch(in, frame, hdr);
    }
    if (len > hdr) {
        f->spoilt |= in_patch(in, frame + hdr, MIN(len - hdr, 224));
    }
}

static void op_frame(Fuzz *f, In *in)
{
    uint8_t packet[EFA_FRAME_MAX_PACKET], frame[2048] = { 0 };
    EfaGid src = *gid(3 + in_u8(in) % 3);
    uint8_t id = in_u8(in), index = in_u8(in) % EFA_FRAME_MAX_FRAGMENTS;
    EfaFrameHdr hdr = {
        .dst = efa_mac_from_gid(gid(1)),
        .src = efa_mac_from_gid(&src),
        .ethertype = cpu_to_be16(EFA_FRAME_ETHERTYPE),
        .magic = EFA_FRAME_MAGIC,
        .version = EFA_FRAME_VERSION,
        .id = id,
        .index = index,
        .unit = EFA_FRAME_MIN_UNIT + in_u16(in) % 1024,
    };
    size_t offset, len = 0;

    hdr.total = sizeof(EfaPktHdr) +
                in_u16(in) % (sizeof(packet) - sizeof(EfaPktHdr));
    packet_fill(packet, &src, gid(1), hdr.id, hdr.total);
    offset = hdr.index * hdr.unit;
    if (offset < hdr.total) {
        len = MIN(hdr.unit, hdr.total - offset);
        memcpy(frame + sizeof(hdr), packet + offset, len);
    }
    memcpy(frame, &hdr, sizeof(hdr));
    len += sizeof(hdr) + in_u8(in);
    patch_frame(f, in, frame, len);
    inject(f, frame, len);
}

static void op_raw(Fuzz *f, In *in)
{
    uint8_t frame[256], len = in_u8(in);

    in_bytes(in, frame, len);
    f->spoilt = true;
    inject(f, frame, len);
}

static void op_again(Fuzz *f, In *in)
{
    uint8_t which = in_u8(in), cut = in_u8(in);
    g_autofree uint8_t *copy = NULL;
    const uint8_t *frame;
    gsize len;

    if (segment.log->len) {
        frame = g_bytes_get_data(segment.log->pdata[which % segment.log->len],
                                 &len);
        copy = g_memdup2(frame, len);
        len -= MIN(cut, len);
        patch_frame(f, in, copy, len);
        inject(f, copy, len);
    }
}

static void op_packet(Fuzz *f, In *in)
{
    Node *n = f->n[in_u8(in) & 1];
    unsigned to = 1 + in_u8(in) % 6;
    size_t len = sizeof(EfaPktHdr) + in_u16(in) % 9200;

    node_connect(n, to);
    node_run(n);
    if (len <= n->f->max_packet && !efa_gid_equal(gid(to), &n->f->gid)) {
        packet_send(n, to, ++f->seq, len);
        node_flush(n);
    }
}

static void op_net(In *in)
{
    segment.lose = in_u8(in);
    segment.repeat = in_u8(in);
    segment.late = in_u8(in);
    segment.slow = in_u8(in);
}

static void fuzz_op(Fuzz *f, In *in)
{
    Node *n;

    switch (in_u8(in) & 7) {
    case OP_FRAME:
        op_frame(f, in);
        break;
    case OP_RAW:
        op_raw(f, in);
        break;
    case OP_AGAIN:
        op_again(f, in);
        break;
    case OP_PACKET:
        op_packet(f, in);
        break;
    case OP_POLL:
        n = f->n[in_u8(in) & 1];
        node_poll(n, in_u8(in));
        break;
    case OP_TIME:
        segment.now += 1ll << in_u8(in) % 41;
        break;
    case OP_NET:
        op_net(in);
        break;
    case OP_LINK:
        n = f->n[in_u8(in) & 1];
        node_connect(n, 1 + in_u8(in) % 6);
        break;
    }
}

static void no_complaints(const char *domain, GLogLevelFlags level,
                          const char *text, gpointer opaque)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, no_complaints, NULL);
    fabric_backend = &fabric_netdev;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, size };
    Fuzz f = { };
    unsigned i;

    now = &f;
    segment_begin(EFA_NETDEV_MIN_MTU + in_u8(&in) * 8);
    segment.record = true;
    for (i = 0; i < 2; i++) {
        f.n[i] = node_new(1 + i);
        f.n[i]->f->client = &client;
    }
    while (in.left) {
        fuzz_op(&f, &in);
        if (segment.log->len > 256) {
            break;
        }
    }
    settle(f.n[0], f.n[1]);
    for (i = 0; i < 2; i++) {
        node_free(f.n[i]);
    }
    segment_end();
    return 0;
}
