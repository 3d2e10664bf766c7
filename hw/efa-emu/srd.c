/*
 * EFA device model: SRD, the requester's half
 *
 * A message goes out in segments of one packet each. Each segment takes a PSN
 * of the pair's context, is answered by itself in any order, and is sent
 * again until it is. docs/srd.md has the rules.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define EFA_TX_SLOTS_MIN        16u
/* Packets of each kind that a peer's turn sends. */
#define EFA_SEND_BURST          4

/* A driver that is loaded again takes about as long. */
#define EFA_SRD_PAUSE_NS        (100 * EFA_NSEC_PER_MSEC)

#define EFA_RNR_MIN_NS          (100 * EFA_NSEC_PER_USEC)
#define EFA_RNR_MAX_NS          (10 * EFA_NSEC_PER_MSEC)
#define EFA_RNR_MAX_INFINITE_NS EFA_NSEC_PER_MSEC

static bool efa_msg_is_rdma(const EfaTxMsg *msg)
{
    return msg->op != EFA_IO_SEND;
}

static bool efa_msg_has_imm(const EfaTxMsg *msg)
{
    return FIELD_EX8(msg->wqe.meta.ctrl1, TX_CTRL1, HAS_IMM);
}

/*
 * May the next segment go out? The last one of a write with immediate data is
 * what the responder acts upon: not before all the others are answered.
 */
static bool efa_msg_can_go_on(const EfaTxMsg *msg)
{
    return msg->segs_todo > 1 ||
           (msg->segs_todo == 1 &&
            !(msg->segs_open && msg->op == EFA_IO_RDMA_WRITE &&
              efa_msg_has_imm(msg)));
}

void efa_srd_mark_resume(EfaCore *core, EfaPeer *peer)
{
    if (!peer->resume &&
        (peer->waiting.length || peer->datagrams.length ||
         peer->lost.length || peer->reads.length)) {
        peer->resume = true;
        g_queue_push_tail_link(&core->resume, &peer->resume_link);
    }
}

/* ---- packets ---- */

static uint32_t efa_seg_ext(const EfaTxSeg *seg)
{
    return efa_msg_is_rdma(seg->msg) ? sizeof(EfaPktRdma) : 0;
}

/* Immediate data goes with the last segment. */
static bool efa_seg_has_imm(const EfaTxSeg *seg)
{
    return efa_msg_has_imm(seg->msg) &&
           seg->offset + seg->length == seg->msg->length;
}

/* Payload that travels with the request. */
static uint32_t efa_seg_payload(const EfaTxSeg *seg)
{
    return seg->msg->op == EFA_IO_RDMA_READ ? 0 : seg->length;
}

uint32_t efa_srd_seg_bytes(const EfaTxSeg *seg)
{
    return sizeof(EfaPktHdr) + efa_seg_ext(seg) + seg->length;
}

static void efa_seg_header(EfaCore *core, const EfaTxSeg *seg, EfaPktHdr *hdr)
{
    const EfaTxMsg *msg = seg->msg;
    const EfaIoTxMeta *meta = &msg->wqe.meta;
    EfaPeer *peer = msg->ah->peer;
    uint32_t qkey = le32_to_cpu(meta->qkey);

    efa_net_header(core, peer, efa_msg_is_ud(msg) ? EFA_PKT_UD : EFA_PKT_DATA,
                   hdr);
    hdr->opcode = msg->op;
    if (efa_seg_has_imm(seg)) {
        hdr->flags = FIELD_DP8(0, PKT_FLAGS, HAS_IMM, 1);
        hdr->imm = meta->immediate_data;
    }
    hdr->payload_len = cpu_to_le32(efa_seg_ext(seg) + efa_seg_payload(seg));
    hdr->dst_qpn = meta->dest_qp_num;
    hdr->src_qpn = cpu_to_le16(msg->qp->num);
    /* IBTA: with bit 31 set, the sending QP's own key is meant (6.5) */
    hdr->qkey = cpu_to_le32(qkey & 0x80000000u ? msg->qp->qkey : qkey);
    if (!efa_msg_is_ud(msg)) {
        hdr->dst_epoch = cpu_to_le64(peer->epoch);
        hdr->ctx = cpu_to_le32(peer->tx_ctx);
        hdr->psn = cpu_to_le32(seg->psn);
        hdr->una = cpu_to_le32(peer->tx_una);
        hdr->msg = cpu_to_le32(msg->number);
    }
}

static void efa_seg_rdma(const EfaTxSeg *seg, EfaPktRdma *ext)
{
    const EfaIoRemoteMem *remote = &seg->msg->wqe.rdma.remote;

    *ext = (EfaPktRdma) {
        .rkey = remote->rkey,
        .length = remote->length,
        .addr = cpu_to_le64(efa_addr64(remote->buf_addr_lo,
                                       remote->buf_addr_hi)),
        .offset = cpu_to_le32(seg->offset),
        .seg_length = cpu_to_le32(seg->length),
    };
}

/*
 * Put @seg on the wire. *@error is the local error that keeps it from there;
 * false if there is no room now.
 */
static bool efa_seg_transmit(EfaCore *core, const EfaTxSeg *seg,
                             EfaCompStatus *error)
{
    EfaTxMsg *msg = seg->msg;
    EfaPeer *peer = msg->ah->peer;
    uint32_t ext = efa_seg_ext(seg), payload = efa_seg_payload(seg);
    size_t len = sizeof(EfaPktHdr) + ext + payload;
    uint8_t *buf = efa_net_reserve(core, peer, len);
    EfaPktHdr hdr;
    EfaPktRdma rdma;

    *error = EFA_IO_COMP_STATUS_OK;
    if (!buf) {
        return false;
    }
    if (payload) {
        *error = efa_sq_gather(core, msg, seg->offset, payload,
                               buf + sizeof(hdr) + ext);
    }
    if (*error != EFA_IO_COMP_STATUS_OK) {
        efa_net_cancel(core, peer);
        return true;
    }
    efa_seg_header(core, seg, &hdr);
    memcpy(buf, &hdr, sizeof(hdr));
    if (ext) {
        efa_seg_rdma(seg, &rdma);
        memcpy(buf + sizeof(hdr), &rdma, sizeof(rdma));
    }
    trace_efa_tx(hdr.type, le16_to_cpu(hdr.dst_qpn), msg->qp->num, payload,
                 seg->psn, seg->tries);
    efa_net_commit(core, peer, len);
    return true;
}

/* ---- the window ---- */

/* Room for tx_next, which the window allows. */
static void efa_window_fit(EfaPeer *peer)
{
    uint32_t used = peer->tx_next - peer->tx_una, psn, size;
    EfaTxSeg **grown;

    if (used < peer->tx_slots) {
        return;
    }
    size = MAX(peer->tx_slots * 2, EFA_TX_SLOTS_MIN);
    grown = g_new0(EfaTxSeg *, size);
    for (psn = peer->tx_una; psn != peer->tx_next; psn++) {
        grown[psn & (size - 1)] = peer->tx_slot[psn & (peer->tx_slots - 1)];
    }
    g_free(peer->tx_slot);
    peer->tx_slot = grown;
    peer->tx_slots = size;
}

static EfaTxSeg *efa_window_get(const EfaPeer *peer, uint32_t psn)
{
    return psn - peer->tx_una < peer->tx_next - peer->tx_una
           ? peer->tx_slot[psn & (peer->tx_slots - 1)] : NULL;
}

static void efa_window_add(EfaPeer *peer, EfaTxSeg *seg)
{
    uint32_t bit = EFA_SRD_SLOT(seg->psn);

    efa_window_fit(peer);
    peer->tx_slot[seg->psn & (peer->tx_slots - 1)] = seg;
    peer->tx_map[bit / 64] |= 1ull << (bit % 64);
    peer->tx_next = seg->psn + 1;
}

/* @seg is answered, or nobody waits for its answer any more. */
static void efa_window_remove(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg)
{
    uint32_t bit = EFA_SRD_SLOT(seg->psn);

    peer->tx_slot[seg->psn & (peer->tx_slots - 1)] = NULL;
    peer->tx_map[bit / 64] &= ~(1ull << (bit % 64));
    while (peer->tx_una != peer->tx_next &&
           !peer->tx_slot[peer->tx_una & (peer->tx_slots - 1)]) {
        peer->tx_una++;
    }
    if (peer->tx_una == peer->tx_next && peer->tx_slots > EFA_TX_SLOTS_MIN) {
        /* an idle pair keeps next to nothing */
        g_free(peer->tx_slot);
        peer->tx_slot = NULL;
        peer->tx_slots = 0;
    }
    if (seg->lost) {
        g_queue_unlink(&peer->lost, &seg->link);
    } else {
        g_queue_unlink(&peer->inflight, &seg->link);
        peer->flight -= efa_srd_seg_bytes(seg);
    }
    seg->msg->segs_open--;
    efa_srd_mark_resume(core, peer);
    g_free(seg);
}

static void efa_msg_drop_segs(EfaCore *core, EfaPeer *peer, EfaTxMsg *msg)
{
    uint32_t psn;

    /* una may have left it far behind */
    psn = msg->first_psn - peer->tx_una < peer->tx_next - peer->tx_una
          ? msg->first_psn : peer->tx_una;
    for (; msg->segs_open && psn != peer->tx_next; psn++) {
        EfaTxSeg *seg = efa_window_get(peer, psn);

        if (seg && seg->msg == msg) {
            efa_window_remove(core, peer, seg);
        }
    }
}

void efa_srd_lose(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg)
{
    g_queue_unlink(&peer->inflight, &seg->link);
    peer->flight -= efa_srd_seg_bytes(seg);
    seg->lost = true;
    g_queue_push_tail_link(&peer->lost, &seg->link);
    efa_srd_mark_resume(core, peer);
}

/* ---- sending ---- */

static GQueue *efa_srd_queue(const EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;

    return efa_msg_is_ud(msg) ? &peer->datagrams : &peer->waiting;
}

static void efa_srd_wait(EfaTxMsg *msg)
{
    msg->state = EFA_TX_WAITING;
    g_queue_push_tail_link(efa_srd_queue(msg), &msg->link);
}

/* The next segment of @msg as it would be. */
static EfaTxSeg efa_msg_next_seg(EfaTxMsg *msg)
{
    uint32_t n = msg->segs_total - msg->segs_todo;
    uint32_t offset = n ? msg->seg_first + (n - 1) * msg->seg_size : 0;

    return (EfaTxSeg) {
        .msg = msg,
        .psn = msg->ah->peer->tx_next,
        .offset = offset,
        .length = MIN(msg->length - offset,
                      n ? msg->seg_size : msg->seg_first),
    };
}

/* End @msg, which is in none of its peer's queues, with @status. */
static void efa_msg_end(EfaCore *core, EfaTxMsg *msg, EfaCompStatus status)
{
    efa_msg_drop_segs(core, msg->ah->peer, msg);
    efa_sq_complete(core, msg, status);
}

typedef enum EfaSendResult {
    EFA_SEND_MORE,      /* one segment is out, the next may follow */
    EFA_SEND_STOP,      /* nothing to send now; perhaps completed */
    EFA_SEND_NO_ROOM,
} EfaSendResult;

/* Send the next segment of @msg, which is in none of its peer's queues. */
static EfaSendResult efa_srd_send_one(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;
    EfaTxSeg next = efa_msg_next_seg(msg), *seg;
    bool reliable = !efa_msg_is_ud(msg);
    EfaCompStatus error;
    int64_t now;

    if (!efa_net_up(core, peer) ||
        (reliable &&
         (peer->tx_next - peer->tx_una >= EFA_SRD_WINDOW ||
          peer->lost.length ||
          !efa_recovery_room(peer, efa_srd_seg_bytes(&next)))) ||
        !efa_seg_transmit(core, &next, &error)) {
        return EFA_SEND_NO_ROOM;
    }
    now = efa_now(core);
    if (peer->tx_una == peer->tx_next) {
        peer->progress = now;   /* nothing is awaited, so nothing is late */
    }
    if (error != EFA_IO_COMP_STATUS_OK || !reliable) {
        efa_msg_end(core, msg, error);
        return EFA_SEND_STOP;
    }
    seg = g_new(EfaTxSeg, 1);
    *seg = next;
    seg->link = (GList) { .data = seg };
    if (!msg->segs_open) {
        msg->first_psn = seg->psn;
    }
    msg->segs_open++;
    msg->segs_todo--;
    msg->state = EFA_TX_SENT;
    efa_window_add(peer, seg);
    g_queue_push_tail_link(&peer->inflight, &seg->link);
    efa_recovery_sent(core, peer, seg, now);
    return efa_msg_can_go_on(msg) ? EFA_SEND_MORE : EFA_SEND_STOP;
}

/*
 * After a pause the peer may be in another life than the one we know of, which
 * is no reason to fail what is sent now: begin anew, naming none.
 */
static void efa_srd_after_pause(EfaCore *core, EfaPeer *peer)
{
    if (peer->epoch && !efa_peer_busy(peer) &&
        efa_now(core) - peer->progress >= EFA_SRD_PAUSE_NS) {
        efa_peer_new_context(core, peer);
    }
}

void efa_srd_send(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;
    EfaSendResult result = EFA_SEND_NO_ROOM;
    int64_t now;

    if (!efa_msg_is_ud(msg)) {
        efa_srd_after_pause(core, peer);
    }
    if (g_queue_is_empty(efa_srd_queue(msg))) {
        result = efa_srd_send_one(core, msg);
        if (result == EFA_SEND_STOP) {
            return;
        }
    }
    now = efa_now(core);
    if (!efa_peer_busy(peer)) {
        peer->progress = now;
    }
    efa_srd_wait(msg);
    if (!efa_net_up(core, peer)) {
        efa_peer_need_link(core, peer);
    } else if (result == EFA_SEND_MORE) {
        efa_srd_mark_resume(core, peer);
    }
    efa_peer_scan_at(core, peer, now +
                     core->cfg.peer_timeout_ms * EFA_NSEC_PER_MSEC);
}

/* Send the oldest lost segment again; false if there is no room. */
static bool efa_srd_send_lost(EfaCore *core, EfaPeer *peer)
{
    EfaTxSeg *seg = peer->lost.head->data;
    EfaCompStatus error;

    if (!efa_net_up(core, peer) ||
        !efa_recovery_room(peer, efa_srd_seg_bytes(seg)) ||
        !efa_seg_transmit(core, seg, &error)) {
        return false;
    }
    if (error != EFA_IO_COMP_STATUS_OK) {
        EfaTxMsg *msg = seg->msg;

        efa_srd_cancel(core, msg);
        efa_sq_complete(core, msg, error);
        return true;
    }
    core->stats.retrans_pkts++;
    core->stats.retrans_bytes += efa_seg_payload(seg);
    g_queue_unlink(&peer->lost, &seg->link);
    seg->lost = false;
    g_queue_push_tail_link(&peer->inflight, &seg->link);
    efa_recovery_sent(core, peer, seg, efa_now(core));
    return true;
}

/* Some segments of @queue, in turn; false if there are none, or no room. */
static bool efa_srd_send_some(EfaCore *core, GQueue *queue)
{
    unsigned burst = EFA_SEND_BURST;
    bool sent = false;
    EfaTxMsg *msg;

    while (burst-- && (msg = g_queue_peek_head(queue))) {
        EfaSendResult result;

        g_queue_unlink(queue, &msg->link);
        result = efa_srd_send_one(core, msg);
        if (result == EFA_SEND_NO_ROOM) {
            /* it keeps its place */
            msg->state = EFA_TX_WAITING;
            g_queue_push_head_link(queue, &msg->link);
            break;
        }
        if (result == EFA_SEND_MORE) {
            efa_srd_wait(msg);
        }
        sent = true;
    }
    return sent;
}

/* What was lost goes before what is new; datagrams wait for neither. */
static bool efa_srd_turn_send(EfaCore *core, EfaPeer *peer)
{
    bool sent = efa_srd_send_some(core, &peer->datagrams);

    if (peer->lost.length) {
        return efa_srd_send_lost(core, peer) || sent;
    }
    return efa_srd_send_some(core, &peer->waiting) || sent;
}

/*
 * One turn of @peer: what it has asked for, which needs no window, and what
 * we want of it. Neither may starve the other. False if there is no room.
 */
static bool efa_srd_turn(EfaCore *core, EfaPeer *peer)
{
    unsigned burst = EFA_SEND_BURST;
    bool answered = false;

    while (burst-- && peer->reads.length && efa_rx_resume_reads(core, peer)) {
        answered = true;
    }
    return efa_srd_turn_send(core, peer) || answered;
}

/* Peers in turn, so that none starves; @budget: packets, more or less. */
void efa_srd_resume(EfaCore *core, unsigned budget)
{
    unsigned turns = DIV_ROUND_UP(budget, EFA_SEND_BURST);
    GList *link;

    while (turns-- && (link = g_queue_pop_head_link(&core->resume))) {
        EfaPeer *peer = link->data;

        peer->resume = false;
        if (efa_srd_turn(core, peer)) {
            efa_srd_mark_resume(core, peer);
        }
    }
}

void efa_srd_cancel(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;

    if (msg->state == EFA_TX_WAITING) {
        g_queue_unlink(efa_srd_queue(msg), &msg->link);
    } else if (msg->state == EFA_TX_RNR) {
        g_queue_unlink(&peer->rnr, &msg->link);
    }
    efa_msg_drop_segs(core, peer, msg);
}

/* ---- answers ---- */

/* What a responder may answer; the rest is its error (status 12). */
static EfaCompStatus efa_srd_peer_status(const EfaTxSeg *seg, uint8_t status)
{
    const EfaTxMsg *msg = seg->msg;

    switch (status) {
    case EFA_IO_COMP_STATUS_OK:
        /* a read is answered with data, or refused */
        return msg->op == EFA_IO_RDMA_READ
               ? EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS : status;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR:
        /* only what takes a buffer can lack one */
        return msg->op == EFA_IO_SEND || efa_seg_has_imm(seg)
               ? status : EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_UNKNOWN_PEER:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH:
        return status;
    default:
        return EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS;
    }
}

/*
 * The responder had no buffer: try later, unless that was the last time. The
 * answer is final for its PSN and the next try is a new segment to the
 * transport, so that one that waits long holds up no window.
 */
static void efa_srd_rnr(EfaCore *core, EfaPeer *peer, EfaTxMsg *msg)
{
    bool infinite = msg->qp->rnr_retry == EFA_RNR_RETRY_INFINITE;
    int64_t delay = EFA_RNR_MIN_NS << MIN(msg->attempt, 7);

    if (!infinite && !msg->rnr_left) {
        efa_msg_end(core, msg, EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR);
        return;
    }
    if (!infinite) {
        msg->rnr_left--;
    }
    delay = MIN(delay, infinite ? EFA_RNR_MAX_INFINITE_NS : EFA_RNR_MAX_NS);
    trace_efa_rnr(msg->qp->num, msg->attempt, delay);
    if (msg->attempt < UINT16_MAX) {
        msg->attempt++;
    }
    msg->segs_todo++;
    msg->state = EFA_TX_RNR;
    msg->time = efa_now(core) + delay;
    g_queue_push_tail_link(&peer->rnr, &msg->link);
    efa_peer_scan_at(core, peer, msg->time);
}

/* @seg is answered with @status, which efa_srd_peer_status() has passed. */
static void efa_srd_answered(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg,
                             EfaCompStatus status, int64_t now)
{
    EfaTxMsg *msg = seg->msg;

    efa_recovery_answered(core, peer, seg, now);
    efa_window_remove(core, peer, seg);
    if (status == EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR) {
        efa_srd_rnr(core, peer, msg);
    } else if (status != EFA_IO_COMP_STATUS_OK) {
        efa_srd_cancel(core, msg);
        efa_sq_complete(core, msg, status);
    } else if (!msg->segs_open && !msg->segs_todo) {
        efa_sq_complete(core, msg, status);
    } else if (msg->state == EFA_TX_SENT && efa_msg_can_go_on(msg)) {
        efa_srd_wait(msg);
        efa_srd_mark_resume(core, peer);
    }
}

/*
 * Is this answer for the context in force? Learns the peer's epoch; a later
 * one than we knew means that the peer lost all it knew (status 8).
 */
static bool efa_srd_answer_valid(EfaCore *core, EfaPeer *peer,
                                 const EfaPktHdr *hdr)
{
    uint64_t epoch = le64_to_cpu(hdr->src_epoch);

    if (le64_to_cpu(hdr->dst_epoch) != core->epoch ||
        le32_to_cpu(hdr->ctx) != peer->tx_ctx || epoch < peer->epoch) {
        return false;
    }
    if (peer->epoch && peer->epoch != epoch) {
        trace_efa_peer_restarted(peer->epoch, epoch);
        efa_peer_abort(core, peer, EFA_IO_COMP_STATUS_REMOTE_ERROR_ABORT);
        return false;
    }
    return true;
}

static void efa_srd_heard(EfaPeer *peer, const EfaPktHdr *hdr)
{
    peer->epoch = le64_to_cpu(hdr->src_epoch);
    peer->ever_acked = true;
}

/* All PSNs that the bitmap says were answered with OK, oldest first. */
static void efa_srd_ack_map(EfaCore *core, EfaPeer *peer, uint32_t base,
                            const EfaPktAckMap *map, int64_t now)
{
    uint32_t first = EFA_SRD_SLOT(peer->tx_una);
    uint64_t from = UINT64_MAX << (first % 64);
    unsigned i;

    /* the word that the window begins in also holds its end */
    for (i = 0; i <= EFA_SRD_MAP_WORDS; i++) {
        unsigned at = (first / 64 + i) % EFA_SRD_MAP_WORDS;
        uint64_t word = le64_to_cpu(map->ok[at]) & peer->tx_map[at] &
                        (i == 0 ? from : i == EFA_SRD_MAP_WORDS ? ~from
                                                                : UINT64_MAX);

        while (word) {
            uint32_t slot = at * 64 + ctz64(word);
            uint32_t psn = base + EFA_SRD_SLOT(slot - base);
            EfaTxSeg *seg = efa_window_get(peer, psn);

            word &= word - 1;
            if (seg) {
                efa_srd_answered(core, peer, seg, efa_srd_peer_status(
                                     seg, EFA_IO_COMP_STATUS_OK), now);
                /* one answer may have ended segments of others */
                word &= peer->tx_map[at];
            }
        }
    }
}

void efa_srd_ack_received(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr,
                          const uint8_t *payload)
{
    uint32_t i, len = le32_to_cpu(hdr->payload_len);
    EfaPktAck acks[EFA_PKT_MAX_ACKS];
    int64_t now = efa_now(core);
    EfaPktAckMap map;

    if (len < sizeof(map) || (len - sizeof(map)) % sizeof(EfaPktAck) ||
        len - sizeof(map) > sizeof(acks)) {
        core->stats.bad_packets++;
        return;
    }
    if (!efa_srd_answer_valid(core, peer, hdr)) {
        return;
    }
    len -= sizeof(map);
    memcpy(&map, payload, sizeof(map));
    memcpy(acks, payload + sizeof(map), len);
    efa_srd_heard(peer, hdr);
    efa_recovery_dups(peer, le32_to_cpu(hdr->imm), now);
    efa_srd_ack_map(core, peer, le32_to_cpu(hdr->psn), &map, now);
    for (i = 0; i < len / sizeof(EfaPktAck); i++) {
        EfaTxSeg *seg = efa_window_get(peer, le32_to_cpu(acks[i].psn));

        if (seg) {
            efa_srd_answered(core, peer, seg,
                             efa_srd_peer_status(seg, acks[i].status), now);
        }
    }
    efa_recovery_after_ack(core, peer, now);
}

void efa_srd_read_received(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr,
                           const uint8_t *payload)
{
    int64_t now = efa_now(core);
    EfaCompStatus status;
    EfaTxSeg *seg;

    if (!efa_srd_answer_valid(core, peer, hdr)) {
        return;
    }
    efa_srd_heard(peer, hdr);
    seg = efa_window_get(peer, le32_to_cpu(hdr->psn));
    if (seg) {
        if (seg->msg->op != EFA_IO_RDMA_READ ||
            le32_to_cpu(hdr->payload_len) != seg->length) {
            status = EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS;
        } else {
            status = efa_sq_scatter(core, seg->msg, seg->offset, seg->length,
                                    payload);
        }
        efa_srd_answered(core, peer, seg, status, now);
    } else {
        efa_recovery_copies(peer, 1, now);
    }
    efa_recovery_after_ack(core, peer, now);
}

void efa_srd_reset_received(EfaCore *core, EfaPeer *peer,
                            const EfaPktHdr *hdr)
{
    if (efa_srd_answer_valid(core, peer, hdr) && peer->epoch == 0) {
        /* We never named an epoch in this context: not an answer to us. */
        core->stats.bad_packets++;
    }
}
