/*
 * EFA device model: packets in Ethernet frames
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-packet.h"
#include "frame.h"

/* Locally administered and unicast: two ranges that do not meet. */
#define MAC_FROM_EUI    0x02
#define MAC_FROM_HASH   0x06

EfaMac efa_mac_from_gid(const EfaGid *gid)
{
    static const uint8_t prefix[9] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02 };
    const uint8_t *g = gid->raw;
    uint64_t hash = 0xcbf29ce484222325ull;  /* FNV-1a */
    EfaMac mac;
    size_t i;

    if (!memcmp(g, prefix, sizeof(prefix)) && g[11] == 0xff && g[12] == 0xfe) {
        return (EfaMac) { { MAC_FROM_EUI, g[9], g[10], g[13], g[14], g[15] } };
    }
    for (i = 0; i < sizeof(gid->raw); i++) {
        hash = (hash ^ g[i]) * 0x100000001b3ull;
    }
    mac.raw[0] = MAC_FROM_HASH;
    for (i = 1; i < sizeof(mac.raw); i++) {
        mac.raw[i] = hash >> (64 - 8 * i);
    }
    return mac;
}

const uint8_t *efa_frame_build(const EfaFrameTx *tx, unsigned index,
                               size_t *frame_len)
{
    EfaFrameHdr hdr = {
        .dst = tx->dst,
        .src = tx->src,
        .ethertype = cpu_to_be16(EFA_FRAME_ETHERTYPE),
        .magic = cpu_to_le16(EFA_FRAME_MAGIC),
        .version = EFA_FRAME_VERSION,
        .index = index,
        .id = cpu_to_le32(tx->id),
        .total = cpu_to_le16(tx->len),
        .unit = cpu_to_le16(tx->unit),
    };
    size_t offset = (size_t)index * tx->unit;
    size_t len = MIN(tx->len - offset, tx->unit);
    uint8_t *frame = tx->packet + offset - sizeof(hdr);

    memcpy(frame, &hdr, sizeof(hdr));
    len += sizeof(hdr);
    if (len < EFA_FRAME_MIN_SIZE) {
        memset(frame + len, 0, EFA_FRAME_MIN_SIZE - len);
        len = EFA_FRAME_MIN_SIZE;
    }
    *frame_len = len;
    return frame;
}

EfaFrameVerdict efa_frame_parse(const uint8_t *frame, size_t len,
                                const EfaMac *own, EfaFrameRx *rx)
{
    EfaFrameHdr hdr;
    unsigned count;

    if (len < EFA_FRAME_ETH_SIZE) {
        return EFA_FRAME_BAD;
    }
    memset(&hdr, 0, sizeof(hdr));
    memcpy(&hdr, frame, MIN(len, sizeof(hdr)));
    if (memcmp(&hdr.dst, own, sizeof(hdr.dst)) ||
        hdr.ethertype != cpu_to_be16(EFA_FRAME_ETHERTYPE)) {
        return EFA_FRAME_FOREIGN;
    }
    if (len < sizeof(hdr) || le16_to_cpu(hdr.magic) != EFA_FRAME_MAGIC) {
        return EFA_FRAME_BAD;
    }
    if (hdr.version != EFA_FRAME_VERSION) {
        return EFA_FRAME_VERSION_BAD;
    }
    rx->src = hdr.src;
    rx->id = le32_to_cpu(hdr.id);
    rx->total = le16_to_cpu(hdr.total);
    rx->unit = le16_to_cpu(hdr.unit);
    rx->index = hdr.index;
    rx->data = frame + sizeof(hdr);
    if (rx->total < sizeof(EfaPktHdr) || rx->total > EFA_FRAME_MAX_PACKET ||
        rx->unit < EFA_FRAME_MIN_UNIT) {
        return EFA_FRAME_BAD;
    }
    count = efa_frame_count(rx->total, rx->unit);
    if (rx->index >= count) {
        return EFA_FRAME_BAD;
    }
    rx->count = count;
    rx->len = MIN(rx->total - rx->index * rx->unit, rx->unit);
    return rx->len <= len - sizeof(hdr) ? EFA_FRAME_OK : EFA_FRAME_BAD;
}

/* ---- putting together ---- */

typedef struct EfaPartial {
    GList link;
    EfaMac src;
    uint32_t id;
    uint16_t total;
    uint16_t unit;
    unsigned missing;       /* fragments */
    uint64_t have;          /* a bit each */
    int64_t since;
    uint8_t *data;
} EfaPartial;

QEMU_BUILD_BUG_ON(EFA_FRAME_MAX_FRAGMENTS > 64);

static void efa_partial_free(EfaReasm *r, EfaPartial *p)
{
    g_queue_unlink(&r->partial, &p->link);
    g_free(p->data);
    g_free(p);
}

static void efa_partial_drop(EfaReasm *r, EfaPartial *p)
{
    r->drops++;
    efa_partial_free(r, p);
}

void efa_reasm_init(EfaReasm *r)
{
    memset(r, 0, sizeof(*r));
    g_queue_init(&r->partial);
}

void efa_reasm_destroy(EfaReasm *r)
{
    while (r->partial.head) {
        efa_partial_free(r, r->partial.head->data);
    }
}

void efa_reasm_expire(EfaReasm *r, int64_t now)
{
    while (r->partial.tail) {
        EfaPartial *oldest = r->partial.tail->data;

        if (now - oldest->since < EFA_REASM_TIMEOUT_NS) {
            break;
        }
        efa_partial_drop(r, oldest);
    }
}

/*
 * The packet that @rx belongs to, if any of it is there; *@of_sender and
 * *@oldest are only complete if there is none. What arrives is most often
 * part of the newest packet, so the search is short.
 */
static EfaPartial *efa_reasm_find(EfaReasm *r, const EfaFrameRx *rx,
                                  unsigned *of_sender, EfaPartial **oldest)
{
    GList *link;

    *of_sender = 0;
    *oldest = NULL;
    for (link = r->partial.head; link; link = link->next) {
        EfaPartial *p = link->data;

        if (!memcmp(&p->src, &rx->src, sizeof(p->src))) {
            if (p->id == rx->id) {
                return p;
            }
            ++*of_sender;
            *oldest = p;
        }
    }
    return NULL;
}

static EfaPartial *efa_partial_new(EfaReasm *r, const EfaFrameRx *rx,
                                   int64_t now)
{
    EfaPartial *p = g_new0(EfaPartial, 1);

    p->link.data = p;
    p->src = rx->src;
    p->id = rx->id;
    p->total = rx->total;
    p->unit = rx->unit;
    p->missing = rx->count;
    p->since = now;
    p->data = g_malloc(rx->total);
    g_queue_push_head_link(&r->partial, &p->link);
    return p;
}

uint8_t *efa_reasm_add(EfaReasm *r, const EfaFrameRx *rx, int64_t now)
{
    EfaPartial *p, *oldest;
    unsigned of_sender;
    uint8_t *packet;

    p = efa_reasm_find(r, rx, &of_sender, &oldest);
    if (!p) {
        /* One sender's excess is never at the expense of another's. */
        if (of_sender >= EFA_REASM_MAX_PER_SENDER) {
            efa_partial_drop(r, oldest);
        } else if (r->partial.length >= EFA_REASM_MAX) {
            efa_partial_drop(r, r->partial.tail->data);
        }
        p = efa_partial_new(r, rx, now);
    } else if (p->total != rx->total || p->unit != rx->unit) {
        r->bad++;
        return NULL;
    }
    if (p->have & 1ull << rx->index) {
        return NULL;    /* a copy */
    }
    p->have |= 1ull << rx->index;
    memcpy(p->data + rx->index * rx->unit, rx->data, rx->len);
    if (--p->missing) {
        return NULL;
    }
    packet = g_steal_pointer(&p->data);
    efa_partial_free(r, p);
    return packet;
}
