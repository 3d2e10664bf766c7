/*
 * EFA device model: SRD, the requester's half
 *
 * One context per pair of devices. Each message takes a PSN of its context,
 * is answered with a status of its own in any order, and is sent again until
 * it is. docs/srd.md has the rules.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

#define EFA_RTO_NS              (200 * EFA_NSEC_PER_MSEC)
#define EFA_RTO_MAX_BACKOFF     4
#define EFA_CONNECT_RETRY_NS    (20 * EFA_NSEC_PER_MSEC)
/* Retransmissions one look at a context makes. */
#define EFA_RETRANS_BURST       64
/* Refused messages one look judges. */
#define EFA_RNR_LOOKS           1024

#define EFA_RNR_MIN_NS          (100 * EFA_NSEC_PER_USEC)
#define EFA_RNR_MAX_NS          (10 * EFA_NSEC_PER_MSEC)
#define EFA_RNR_MAX_INFINITE_NS EFA_NSEC_PER_MSEC

static guint efa_gid_hash(gconstpointer key)
{
    uint64_t a, b;

    memcpy(&a, key, sizeof(a));
    memcpy(&b, (const char *)key + sizeof(a), sizeof(b));
    a ^= b * 0x9e3779b97f4a7c15ull;
    return a ^ (a >> 32);
}

static gboolean efa_gid_hash_equal(gconstpointer a, gconstpointer b)
{
    return efa_gid_equal(a, b);
}

EfaPeer *efa_peer_get(EfaCore *core, const EfaGid *gid)
{
    EfaPeer *peer = g_hash_table_lookup(core->peers, gid);

    if (!peer) {
        peer = g_new0(EfaPeer, 1);
        peer->gid = *gid;
        peer->is_self = efa_gid_equal(gid, &core->cfg.gid);
        peer->tx_ctx = ++core->last_ctx;
        peer->connect_at = INT64_MAX;
        peer->scan_at = INT64_MAX;
        peer->active_link.data = peer;
        peer->resume_link.data = peer;
        peer->ack_link.data = peer;
        g_queue_init(&peer->waiting);
        g_queue_init(&peer->rnr);
        g_hash_table_insert(core->peers, &peer->gid, peer);
    }
    return peer;
}

static void efa_peer_free(EfaCore *core, EfaPeer *peer)
{
    g_hash_table_remove(core->peers, &peer->gid);
    if (peer->active) {
        g_queue_unlink(&core->active, &peer->active_link);
    }
    if (peer->resume) {
        g_queue_unlink(&core->resume, &peer->resume_link);
    }
    efa_net_unqueue(core, peer);
    if (peer->link) {
        peer->link->client_data = NULL;
    }
    g_free(peer->tx_slot);
    g_free(peer->rx_slot);
    g_free(peer);
}

/* Is there work that a sender waits for? */
static bool efa_peer_busy(const EfaPeer *peer)
{
    return peer->tx_unacked || peer->waiting.length || peer->rnr.length;
}

/*
 * A peer is kept while handles name it or while it is connected: what it sent
 * must still be told from what it sends again.
 */
void efa_peer_maybe_free(EfaCore *core, EfaPeer *peer)
{
    if (!peer->ah_refs && !peer->is_self && !efa_peer_busy(peer) &&
        (!peer->link || peer->link->state == EFA_LINK_DOWN)) {
        efa_peer_free(core, peer);
    }
}

static void efa_peer_activate(EfaCore *core, EfaPeer *peer, int64_t when)
{
    if (!peer->active) {
        peer->active = true;
        g_queue_push_tail_link(&core->active, &peer->active_link);
    }
    efa_timer_at(core, when);
}

static void efa_peer_scan_at(EfaCore *core, EfaPeer *peer, int64_t when)
{
    if (when < peer->scan_at) {
        peer->scan_at = when;
        efa_peer_activate(core, peer, when);
    }
}

void efa_srd_mark_resume(EfaCore *core, EfaPeer *peer)
{
    if (!peer->resume && !g_queue_is_empty(&peer->waiting)) {
        peer->resume = true;
        g_queue_push_tail_link(&core->resume, &peer->resume_link);
    }
}

static void efa_srd_need_link(EfaCore *core, EfaPeer *peer)
{
    EfaFabric *fabric = core->fabric;

    if (!peer->link) {
        EfaLink *link = fabric->ops->link_get(fabric, &peer->gid);

        if (!efa_gid_equal(&link->peer, &peer->gid)) {
            return;     /* too many peers: as if it were not there */
        }
        peer->link = link;
        link->client_data = peer;
    }
    if (peer->link->state == EFA_LINK_DOWN && peer->connect_at == INT64_MAX) {
        fabric->ops->connect(fabric, peer->link);
        /* the outcome is told by the backend's next poll */
        efa_defer(core);
    } else if (peer->link->state == EFA_LINK_UP) {
        /* it outlived a reset of ours, or the peer connected first */
        efa_srd_mark_resume(core, peer);
    }
}

static int64_t efa_srd_rto(const EfaPeer *peer)
{
    return EFA_RTO_NS << MIN(peer->backoff, EFA_RTO_MAX_BACKOFF);
}

static int64_t efa_peer_timeout(const EfaCore *core)
{
    return core->cfg.peer_timeout_ms * EFA_NSEC_PER_MSEC;
}

typedef enum EfaSendResult {
    EFA_SEND_DONE,      /* sent, or completed with a local error */
    EFA_SEND_NO_ROOM,
} EfaSendResult;

static void efa_srd_fill_header(EfaCore *core, const EfaTxMsg *msg,
                                EfaPktType type, EfaPktHdr *hdr)
{
    const EfaIoTxMeta *meta = &msg->wqe.meta;
    EfaPeer *peer = msg->ah->peer;
    uint32_t qkey = le32_to_cpu(meta->qkey);

    efa_net_header(core, peer, type, hdr);
    hdr->opcode = FIELD_EX8(meta->ctrl1, TX_CTRL1, OP_TYPE);
    if (FIELD_EX8(meta->ctrl1, TX_CTRL1, HAS_IMM)) {
        hdr->flags = FIELD_DP8(0, PKT_FLAGS, HAS_IMM, 1);
        hdr->imm = meta->immediate_data;
    }
    hdr->payload_len = cpu_to_le32(msg->length);
    hdr->dst_qpn = meta->dest_qp_num;
    hdr->src_qpn = cpu_to_le16(msg->qp->num);
    /* IBTA: with bit 31 set, the sending QP's own key is meant (6.5) */
    hdr->qkey = cpu_to_le32(qkey & 0x80000000u ? msg->qp->qkey : qkey);
    if (type == EFA_PKT_DATA) {
        hdr->dst_epoch = cpu_to_le64(peer->epoch);
        hdr->ctx = cpu_to_le32(peer->tx_ctx);
        hdr->psn = cpu_to_le32(msg->psn);
        hdr->una = cpu_to_le32(peer->tx_una);
    }
}

/*
 * Put @msg on the wire. *@error is the local error that keeps it from there;
 * false if there is no room now.
 */
static bool efa_srd_transmit(EfaCore *core, EfaTxMsg *msg, EfaPktType type,
                             EfaCompStatus *error)
{
    EfaPeer *peer = msg->ah->peer;
    size_t len = sizeof(EfaPktHdr) + msg->length;
    uint8_t *buf = efa_net_reserve(core, peer, len);
    EfaPktHdr hdr;

    if (!buf) {
        return false;
    }
    *error = efa_sq_gather(core, msg, buf + sizeof(hdr));
    if (*error != EFA_IO_COMP_STATUS_OK) {
        efa_net_cancel(core, peer);
        return true;
    }
    efa_srd_fill_header(core, msg, type, &hdr);
    memcpy(buf, &hdr, sizeof(hdr));
    efa_net_commit(core, peer, len);
    trace_efa_tx(type, le16_to_cpu(hdr.dst_qpn), msg->qp->num, msg->length,
                 msg->psn, msg->attempt);
    return true;
}

/* The PSN of @msg is answered, or nobody waits for the answer any more. */
static void efa_srd_clear_slot(EfaCore *core, EfaPeer *peer, EfaTxMsg *msg)
{
    peer->tx_slot[EFA_SLOT(msg->psn)] = NULL;
    peer->tx_unacked--;
    while (peer->tx_una != peer->tx_next &&
           !peer->tx_slot[EFA_SLOT(peer->tx_una)]) {
        peer->tx_una++;
    }
    efa_srd_mark_resume(core, peer);
}

static EfaSendResult efa_srd_try(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;
    bool reliable = msg->qp->type == EFA_QP_TYPE_SRD;
    EfaCompStatus error = EFA_IO_COMP_STATUS_OK;
    int64_t now = efa_now(core);

    if (!efa_net_up(core, peer) ||
        (reliable && peer->tx_next - peer->tx_una >= EFA_SRD_WINDOW)) {
        return EFA_SEND_NO_ROOM;
    }
    msg->psn = peer->tx_next;
    if (!efa_srd_transmit(core, msg, reliable ? EFA_PKT_DATA : EFA_PKT_UD,
                          &error)) {
        return EFA_SEND_NO_ROOM;
    }
    if (!peer->tx_unacked) {
        peer->progress = now;   /* nothing is awaited, so nothing is late */
    }
    if (error != EFA_IO_COMP_STATUS_OK || !reliable) {
        efa_sq_complete(core, msg, error);
        return EFA_SEND_DONE;
    }
    if (!peer->tx_slot) {
        peer->tx_slot = g_new0(EfaTxMsg *, EFA_SRD_WINDOW);
    }
    peer->tx_slot[EFA_SLOT(msg->psn)] = msg;
    peer->tx_next++;
    peer->tx_unacked++;
    msg->state = EFA_TX_SENT;
    msg->time = now;
    efa_peer_scan_at(core, peer, now + efa_srd_rto(peer));
    return EFA_SEND_DONE;
}

static bool efa_msg_is_ud(const EfaTxMsg *msg)
{
    return msg->qp->type == EFA_QP_TYPE_UD;
}

static void efa_srd_unwait(EfaPeer *peer, EfaTxMsg *msg)
{
    g_queue_unlink(&peer->waiting, &msg->link);
    peer->waiting_ud -= efa_msg_is_ud(msg);
}

void efa_srd_send(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;
    /* A datagram needs no window: it passes messages that wait for one. */
    bool first = efa_msg_is_ud(msg) ? !peer->waiting_ud
                                    : g_queue_is_empty(&peer->waiting);

    if (first && efa_srd_try(core, msg) == EFA_SEND_DONE) {
        return;
    }
    msg->state = EFA_TX_WAITING;
    msg->time = efa_now(core);
    if (g_queue_is_empty(&peer->waiting) && !peer->tx_unacked) {
        peer->progress = msg->time;
    }
    g_queue_push_tail_link(&peer->waiting, &msg->link);
    peer->waiting_ud += efa_msg_is_ud(msg);
    if (!efa_net_up(core, peer)) {
        efa_srd_need_link(core, peer);
    }
    efa_peer_scan_at(core, peer, msg->time + efa_peer_timeout(core));
}

/* Peers in turn, a message each, so that none starves. */
void efa_srd_resume(EfaCore *core, unsigned budget)
{
    GList *link;

    while (budget-- && (link = g_queue_pop_head_link(&core->resume))) {
        EfaPeer *peer = link->data;
        EfaTxMsg *msg = g_queue_peek_head(&peer->waiting);
        bool done = false;

        peer->resume = false;
        if (msg) {
            efa_srd_unwait(peer, msg);
            done = efa_srd_try(core, msg) == EFA_SEND_DONE;
        }
        if (msg && !done) {
            g_queue_push_head_link(&peer->waiting, &msg->link);
            peer->waiting_ud += efa_msg_is_ud(msg);
        } else {
            efa_srd_mark_resume(core, peer);
        }
    }
}

void efa_srd_cancel(EfaCore *core, EfaTxMsg *msg)
{
    EfaPeer *peer = msg->ah->peer;

    switch (msg->state) {
    case EFA_TX_WAITING:
        efa_srd_unwait(peer, msg);
        break;
    case EFA_TX_RNR:
        g_queue_unlink(&peer->rnr, &msg->link);
        break;
    default:
        efa_srd_clear_slot(core, peer, msg);
        break;
    }
}

/*
 * A new context: answers to the old one mean nothing any more. Generations
 * are the device's, not the peer's: one that is forgotten and found again
 * must not be taken for its former self.
 */
static void efa_srd_new_context(EfaCore *core, EfaPeer *peer)
{
    peer->tx_ctx = ++core->last_ctx;
    peer->tx_una = 0;
    peer->tx_next = 0;
    peer->epoch = 0;
    peer->backoff = 0;
}

/* End all of @queue, which is not the peer's any more. */
static void efa_srd_abort_queue(EfaCore *core, GQueue *queue,
                                EfaCompStatus status)
{
    GList *link;

    while ((link = g_queue_pop_head_link(queue))) {
        EfaTxMsg *msg = link->data;

        /* a datagram that went nowhere is a datagram sent (6.4) */
        efa_sq_complete(core, msg, efa_msg_is_ud(msg) ? EFA_IO_COMP_STATUS_OK
                                                      : status);
    }
}

/* Everything outstanding towards @peer ends with @status. */
static void efa_srd_abort(EfaCore *core, EfaPeer *peer, EfaCompStatus status)
{
    GQueue waiting = peer->waiting, rnr = peer->rnr;
    uint32_t psn;

    if (!efa_peer_busy(peer)) {
        efa_srd_new_context(core, peer);
        return;
    }
    trace_efa_abort(peer->tx_unacked, waiting.length + rnr.length, status);
    core->stats.impaired_remote_conn_events++;
    g_queue_init(&peer->waiting);
    g_queue_init(&peer->rnr);
    peer->waiting_ud = 0;
    efa_srd_abort_queue(core, &rnr, status);
    for (psn = peer->tx_una; psn != peer->tx_next; psn++) {
        EfaTxMsg *msg = peer->tx_slot[EFA_SLOT(psn)];

        if (msg) {
            peer->tx_slot[EFA_SLOT(psn)] = NULL;
            efa_sq_complete(core, msg, status);
        }
    }
    peer->tx_unacked = 0;
    efa_srd_new_context(core, peer);
    efa_srd_abort_queue(core, &waiting, status);
}

static EfaCompStatus efa_srd_silence(const EfaPeer *peer)
{
    return peer->ever_acked ? EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE
                            : EFA_IO_COMP_STATUS_LOCAL_ERROR_UNREACH_REMOTE;
}

/* What a responder may answer; the rest is its error (status 12). */
static EfaCompStatus efa_srd_peer_status(uint8_t status)
{
    switch (status) {
    case EFA_IO_COMP_STATUS_OK:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN:
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR:
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
 * answer is final for its PSN and the next try is a new message to the
 * transport, so that one that waits long holds up no window.
 */
static void efa_srd_rnr(EfaCore *core, EfaPeer *peer, EfaTxMsg *msg)
{
    bool infinite = msg->qp->rnr_retry == EFA_RNR_RETRY_INFINITE;
    int64_t delay = EFA_RNR_MIN_NS << MIN(msg->attempt, 7);

    if (!infinite && !msg->rnr_left) {
        efa_sq_complete(core, msg, EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR);
        return;
    }
    if (!infinite) {
        msg->rnr_left--;
    }
    delay = MIN(delay, infinite ? EFA_RNR_MAX_INFINITE_NS : EFA_RNR_MAX_NS);
    trace_efa_rnr(msg->qp->num, msg->psn, msg->attempt, delay);
    if (msg->attempt < UINT16_MAX) {
        msg->attempt++;
    }
    msg->state = EFA_TX_RNR;
    msg->time = efa_now(core) + delay;
    g_queue_push_tail_link(&peer->rnr, &msg->link);
    efa_peer_scan_at(core, peer, msg->time);
}

static void efa_srd_acked(EfaCore *core, EfaPeer *peer, const EfaPktAck *ack)
{
    uint32_t psn = le32_to_cpu(ack->psn);
    EfaCompStatus status = efa_srd_peer_status(ack->status);
    EfaTxMsg *msg;

    if (psn - peer->tx_una >= peer->tx_next - peer->tx_una) {
        return;     /* answered before, or never sent */
    }
    msg = peer->tx_slot[EFA_SLOT(psn)];
    if (!msg) {
        return;     /* a late copy */
    }
    efa_srd_clear_slot(core, peer, msg);
    if (status == EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR) {
        efa_srd_rnr(core, peer, msg);
    } else {
        efa_sq_complete(core, msg, status);
    }
}

/*
 * Is this answer for the context in force? Learns the peer's epoch; one that
 * differs from what we knew means that the peer lost all it knew (status 8).
 */
static bool efa_srd_answer_valid(EfaCore *core, EfaPeer *peer,
                                 const EfaPktHdr *hdr)
{
    uint64_t epoch = le64_to_cpu(hdr->src_epoch);

    if (le64_to_cpu(hdr->dst_epoch) != core->epoch ||
        le32_to_cpu(hdr->ctx) != peer->tx_ctx) {
        return false;
    }
    if (peer->epoch && peer->epoch != epoch) {
        trace_efa_peer_restarted(peer->epoch, epoch);
        efa_srd_abort(core, peer, EFA_IO_COMP_STATUS_REMOTE_ERROR_ABORT);
        return false;
    }
    return true;
}

void efa_srd_ack_received(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr,
                          const uint8_t *payload)
{
    EfaPktAck acks[EFA_PKT_MAX_ACKS];
    uint32_t i, len = le32_to_cpu(hdr->payload_len);

    if (len % sizeof(EfaPktAck) || len > sizeof(acks)) {
        core->stats.bad_packets++;
        return;
    }
    if (!efa_srd_answer_valid(core, peer, hdr)) {
        return;
    }
    memcpy(acks, payload, len);
    peer->epoch = le64_to_cpu(hdr->src_epoch);
    peer->ever_acked = true;
    peer->backoff = 0;
    peer->progress = efa_now(core);
    for (i = 0; i < len / sizeof(EfaPktAck); i++) {
        efa_srd_acked(core, peer, &acks[i]);
    }
}

void efa_srd_reset_received(EfaCore *core, EfaPeer *peer,
                            const EfaPktHdr *hdr)
{
    if (efa_srd_answer_valid(core, peer, hdr) && peer->epoch == 0) {
        /* We never named an epoch in this context: not an answer to us. */
        core->stats.bad_packets++;
    }
}

/* Try again what was refused for want of a buffer; the next such time. */
static int64_t efa_srd_retry_rnr(EfaCore *core, EfaPeer *peer, int64_t now)
{
    unsigned looks = MIN(peer->rnr.length, EFA_RNR_LOOKS);
    unsigned burst = EFA_RETRANS_BURST;
    int64_t next = INT64_MAX;

    if (peer->rnr.length > looks) {
        next = now + EFA_NSEC_PER_MSEC;
    }
    while (looks--) {
        GList *link = g_queue_pop_head_link(&peer->rnr);
        EfaTxMsg *msg = link->data;

        if (msg->time <= now && burst) {
            burst--;
            efa_srd_send(core, msg);
        } else {
            g_queue_push_tail_link(&peer->rnr, link);
            next = MIN(next, MAX(msg->time, now + EFA_RNR_MIN_NS));
        }
    }
    return next;
}

/* Send again what is due; the time of the next look. */
static int64_t efa_srd_retransmit(EfaCore *core, EfaPeer *peer, int64_t now)
{
    int64_t rto = efa_srd_rto(peer), next = INT64_MAX;
    unsigned burst = EFA_RETRANS_BURST;
    bool timeout = false;
    uint32_t psn;

    for (psn = peer->tx_una; psn != peer->tx_next; psn++) {
        EfaTxMsg *msg = peer->tx_slot[EFA_SLOT(psn)];
        EfaCompStatus error = EFA_IO_COMP_STATUS_OK;

        if (!msg) {
            continue;
        }
        if (msg->time + rto > now) {
            next = MIN(next, msg->time + rto);
            continue;
        }
        if (!burst || !efa_net_up(core, peer) ||
            !efa_srd_transmit(core, msg, EFA_PKT_DATA, &error)) {
            next = MIN(next, now + EFA_NSEC_PER_MSEC);
            continue;
        }
        burst--;
        if (error != EFA_IO_COMP_STATUS_OK) {
            efa_srd_clear_slot(core, peer, msg);
            efa_sq_complete(core, msg, error);
            continue;
        }
        timeout = true;
        core->stats.retrans_pkts++;
        core->stats.retrans_bytes += msg->length;
        msg->time = now;
        next = MIN(next, now + rto);
    }
    if (timeout) {
        peer->backoff++;
        core->stats.retrans_timeout_events++;
    }
    return next;
}

/* Does work depend on a sign of life? One that was refused has seen one. */
static bool efa_peer_waits(const EfaPeer *peer)
{
    return peer->tx_unacked || peer->waiting.length;
}

/* Nothing heard for too long, be it no answer or no way there at all. */
static bool efa_srd_given_up(EfaCore *core, EfaPeer *peer, int64_t now)
{
    if (!efa_peer_waits(peer) ||
        now - peer->progress < efa_peer_timeout(core)) {
        return false;
    }
    core->stats.unresponsive_remote_events++;
    efa_srd_abort(core, peer, efa_srd_silence(peer));
    return true;
}

static void efa_srd_peer_timers(EfaCore *core, EfaPeer *peer, int64_t now)
{
    if (now >= peer->connect_at) {
        peer->connect_at = INT64_MAX;
        if (efa_peer_busy(peer)) {
            efa_srd_need_link(core, peer);
        }
    }
    if (now >= peer->scan_at) {
        peer->scan_at = INT64_MAX;
        if (!efa_srd_given_up(core, peer, now)) {
            int64_t retry = efa_srd_retry_rnr(core, peer, now);
            int64_t resend = efa_srd_retransmit(core, peer, now);
            int64_t give_up = efa_peer_waits(peer)
                ? peer->progress + efa_peer_timeout(core) : INT64_MAX;

            peer->scan_at = MIN(MIN(peer->scan_at, give_up),
                                MIN(retry, resend));
        }
    }
}

int64_t efa_srd_timers(EfaCore *core, int64_t now)
{
    int64_t next = INT64_MAX;
    GList *link = core->active.head;

    while (link) {
        EfaPeer *peer = link->data;

        link = link->next;
        efa_srd_peer_timers(core, peer, now);
        if (peer->scan_at == INT64_MAX && peer->connect_at == INT64_MAX) {
            g_queue_unlink(&core->active, &peer->active_link);
            peer->active = false;
        }
        next = MIN(next, MIN(peer->scan_at, peer->connect_at));
    }
    return next;
}

/* Nobody is there to take them, and nobody promised to deliver them. */
static void efa_srd_drop_datagrams(EfaCore *core, EfaPeer *peer)
{
    GList *link = peer->waiting.head;

    while (link) {
        EfaTxMsg *msg = link->data;

        link = link->next;
        if (efa_msg_is_ud(msg)) {
            efa_srd_unwait(peer, msg);
            efa_sq_complete(core, msg, EFA_IO_COMP_STATUS_OK);
        }
    }
}

void efa_srd_link_up(EfaCore *core, EfaPeer *peer)
{
    peer->connect_at = INT64_MAX;
    efa_srd_mark_resume(core, peer);
}

void efa_srd_link_down(EfaCore *core, EfaPeer *peer, EfaLinkDownReason why)
{
    bool was_there = why == EFA_LINK_HANGUP || why == EFA_LINK_PROTOCOL;

    if (was_there) {
        /* It is gone for certain: no need to wait for a timeout (7.4). */
        if (efa_peer_busy(peer)) {
            core->stats.unresponsive_remote_events++;
        }
        efa_srd_abort(core, peer, efa_srd_silence(peer));
        /* nothing of the old connection can come any more, whatever the
         * clock of the one that follows says */
        peer->rx_epoch = 0;
        peer->rx_ctx = 0;
        efa_peer_maybe_free(core, peer);
        return;
    }
    efa_srd_drop_datagrams(core, peer);
    if (efa_peer_busy(peer)) {
        /* it may boot yet: try again until the timeout */
        peer->connect_at = efa_now(core) + EFA_CONNECT_RETRY_NS;
        efa_peer_activate(core, peer, peer->connect_at);
    } else {
        efa_peer_maybe_free(core, peer);
    }
}

/* A later life of this device has a greater epoch, also after a restart. */
static void efa_srd_new_epoch(EfaCore *core)
{
    uint64_t now = core->ops->epoch ? core->ops->epoch(core->opaque)
                                    : (uint64_t)g_get_real_time();

    core->epoch = MAX(now, core->epoch + 1);
}

void efa_srd_init(EfaCore *core)
{
    core->peers = g_hash_table_new(efa_gid_hash, efa_gid_hash_equal);
    g_queue_init(&core->ready);
    g_queue_init(&core->active);
    g_queue_init(&core->resume);
    g_queue_init(&core->acking);
    g_queue_init(&core->loop);
}

void efa_srd_reset(EfaCore *core)
{
    GHashTableIter iter;
    gpointer peer;

    efa_net_flush_loop(core);
    for (g_hash_table_iter_init(&iter, core->peers);
         g_hash_table_iter_next(&iter, NULL, &peer);
         g_hash_table_iter_init(&iter, core->peers)) {
        efa_peer_free(core, peer);
    }
    efa_srd_new_epoch(core);
}

void efa_srd_destroy(EfaCore *core)
{
    g_hash_table_destroy(core->peers);
}
