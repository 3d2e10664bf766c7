/*
 * EFA device model: loss, time and the size of the window
 *
 * A segment is lost when one that was sent clearly later has been answered,
 * by more than the reordering seen so far explains (as RFC 8985, RACK, does
 * for TCP), or when nothing at all is answered for the retransmission timeout
 * (RFC 6298). What may be under way is limited by a window in bytes that
 * grows with answers and shrinks with loss.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define EFA_RTO_FIRST_NS        (100 * EFA_NSEC_PER_MSEC)
#define EFA_RTO_MIN_NS          (10 * EFA_NSEC_PER_MSEC)
#define EFA_RTO_MAX_NS          (500 * EFA_NSEC_PER_MSEC)
#define EFA_BACKOFF_MAX         6

/* An answer this much later than that to a younger segment is no surprise. */
#define EFA_REORDER_MIN_NS      (500 * EFA_NSEC_PER_USEC)
#define EFA_PATIENCE_MAX        6
#define EFA_PATIENCE_RTO_MAX    4
/*
 * Each copy sent speaks for a real loss, each that turns out to have been in
 * vain against it: only more than four in five make us wait longer. Where an
 * answer is lost as often as a request it is one in two.
 */
#define EFA_DOUBT_SENT          4
#define EFA_DOUBT_VAIN          5
#define EFA_DOUBT_MORE          20
#define EFA_DOUBT_LESS          (-8)
#define EFA_RESENT_MAX          16
/* So long after a loss it may turn out to have been none. */
#define EFA_UNDO_NS             (200 * EFA_NSEC_PER_MSEC)

/* Full packets that may always be under way, and at the start. */
#define EFA_CWND_MIN_PACKETS    8
#define EFA_CWND_FIRST_PACKETS  16
#define EFA_CWND_MAX            (8u << 20)

/* Refused messages one look judges, and those it sends again. */
#define EFA_RNR_LOOKS           1024
#define EFA_RNR_BURST           64
#define EFA_RNR_LOOK_NS         (100 * EFA_NSEC_PER_USEC)

static uint32_t efa_packet_bytes(const EfaCore *core)
{
    return core->cfg.mtu + sizeof(EfaPktHdr) + sizeof(EfaPktRdma);
}

void efa_recovery_init(EfaCore *core, EfaPeer *peer)
{
    peer->flight = 0;
    peer->cwnd = EFA_CWND_FIRST_PACKETS * efa_packet_bytes(core);
    peer->ssthresh = EFA_CWND_MAX;
    peer->cut_at = INT64_MIN / 2;
    peer->uncut = 0;
    peer->srtt = 0;
    peer->rttvar = 0;
    peer->min_rtt = INT64_MAX;
    peer->newest = INT64_MIN;
    peer->timed = INT64_MIN;
    peer->patience = 0;
    peer->doubt = 0;
    peer->resent = 0;
    peer->dups_told = 0;
    peer->backoff = 0;
}

bool efa_recovery_room(const EfaPeer *peer, uint32_t bytes)
{
    return !peer->flight || peer->flight + bytes <= peer->cwnd;
}

/* A round trip is hardly longer (RFC 6298); there must have been a sample. */
static int64_t efa_rtt_bound(const EfaPeer *peer)
{
    return peer->srtt + 4 * peer->rttvar;
}

static int64_t efa_rto(const EfaPeer *peer)
{
    int64_t rto = peer->srtt ? efa_rtt_bound(peer) : EFA_RTO_FIRST_NS;
    int64_t least = EFA_RTO_MIN_NS << MIN(peer->patience,
                                          EFA_PATIENCE_RTO_MAX);

    rto = MAX(rto, least) << peer->backoff;
    return MIN(rto, EFA_RTO_MAX_NS);
}

/* How far answers may be out of order without meaning a loss. */
static int64_t efa_tolerance(const EfaPeer *peer)
{
    return MAX(peer->srtt / 4, EFA_REORDER_MIN_NS << peer->patience);
}

static int64_t efa_peer_timeout(const EfaCore *core)
{
    return core->cfg.peer_timeout_ms * EFA_NSEC_PER_MSEC;
}

void efa_recovery_sent(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg,
                       int64_t now)
{
    if (seg->tries < UINT8_MAX) {
        seg->tries++;
    }
    if (seg->tries > 1) {
        peer->resent = MIN(peer->resent + 1, EFA_RESENT_MAX);
        peer->doubt = MAX(peer->doubt - EFA_DOUBT_SENT, EFA_DOUBT_LESS);
    }
    seg->sent = now;
    peer->flight += efa_srd_seg_bytes(seg);
    efa_peer_scan_at(core, peer, now + efa_rto(peer));
}

/* RFC 6298 */
static void efa_rtt_sample(EfaPeer *peer, int64_t rtt)
{
    rtt = MAX(rtt, 1);
    peer->min_rtt = MIN(peer->min_rtt, rtt);
    if (!peer->srtt) {
        peer->srtt = rtt;
        peer->rttvar = rtt / 2;
        return;
    }
    peer->rttvar += (ABS(peer->srtt - rtt) - peer->rttvar) / 4;
    peer->srtt += (rtt - peer->srtt) / 8;
    peer->srtt = MAX(peer->srtt, 1);
}

static void efa_cwnd_grow(EfaCore *core, EfaPeer *peer, uint32_t bytes)
{
    if (peer->cwnd < peer->ssthresh) {
        peer->cwnd += bytes;
    } else {
        peer->cwnd += MAX(1, (uint64_t)bytes * efa_packet_bytes(core) /
                             peer->cwnd);
    }
    peer->cwnd = MIN(peer->cwnd, EFA_CWND_MAX);
}

/* Once for all that was lost on the same way. */
static void efa_cwnd_cut(EfaCore *core, EfaPeer *peer, int64_t lost_sent,
                         int64_t now)
{
    if (lost_sent <= peer->cut_at) {
        return;
    }
    peer->uncut = MAX(peer->cwnd, now - peer->cut_at < EFA_UNDO_NS
                                  ? peer->uncut : 0);
    peer->cut_at = now;
    peer->cwnd = MAX(peer->cwnd / 10 * 7,
                     EFA_CWND_MIN_PACKETS * efa_packet_bytes(core));
    peer->ssthresh = peer->cwnd;
    trace_efa_window(peer->cwnd, peer->srtt);
}

static void efa_recovery_lose(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg,
                              int64_t now)
{
    trace_efa_lost(seg->psn, seg->tries, now - seg->sent, peer->patience,
                   peer->backoff);
    efa_cwnd_cut(core, peer, seg->sent, now);
    efa_srd_lose(core, peer, seg);
}

/* A network that doubles packets makes copies, too: no more than were sent. */
void efa_recovery_copies(EfaPeer *peer, uint32_t copies, int64_t now)
{
    copies = MIN(copies, peer->resent);
    if (!copies) {
        return;
    }
    if (now - peer->cut_at < EFA_UNDO_NS) {
        /* nothing was lost, so nothing was wrong with the window */
        peer->cwnd = MAX(peer->cwnd, peer->uncut);
        peer->ssthresh = MAX(peer->ssthresh, peer->uncut);
    }
    peer->uncut = 0;
    peer->resent -= copies;
    peer->doubt = MIN((int)(peer->doubt + copies * EFA_DOUBT_VAIN), INT8_MAX);
}

void efa_recovery_dups(EfaPeer *peer, uint32_t dups, int64_t now)
{
    /* the count may also come out of order */
    if ((int32_t)(dups - peer->dups_told) > 0) {
        efa_recovery_copies(peer, dups - peer->dups_told, now);
        peer->dups_told = dups;
    }
}

static void efa_recovery_learn(EfaPeer *peer)
{
    if (peer->doubt >= EFA_DOUBT_MORE && peer->patience < EFA_PATIENCE_MAX) {
        peer->patience++;
        peer->doubt = 0;
    } else if (peer->doubt <= EFA_DOUBT_LESS && peer->patience) {
        peer->patience--;
        peer->doubt = 0;
    }
}

void efa_recovery_answered(EfaCore *core, EfaPeer *peer, const EfaTxSeg *seg,
                           int64_t now)
{
    int64_t rtt = now - seg->sent;

    if (seg->tries == 1) {
        if (!seg->lost) {
            peer->timed = MAX(peer->timed, seg->sent);
        }
    } else if (rtt < peer->min_rtt) {
        /* that is the answer to a former copy */
        return;
    } else if (peer->srtt &&
               rtt <= efa_rtt_bound(peer) + EFA_REORDER_MIN_NS) {
        /* as fast as ever: one was lost, the way has not become longer */
        peer->backoff = 0;
    }
    peer->newest = MAX(peer->newest, seg->sent);
    efa_cwnd_grow(core, peer, efa_srd_seg_bytes(seg));
}

/*
 * One sample for each packet of answers, by the youngest segment that was
 * sent once: of copies nobody knows which one was answered (Karn), and older
 * ones may have waited for an answer that was lost. Until there is a sample
 * the timer that sufficed stays (RFC 6298), but see above.
 */
static void efa_recovery_sample(EfaPeer *peer, int64_t now)
{
    if (peer->timed != INT64_MIN) {
        efa_rtt_sample(peer, now - peer->timed);
        peer->timed = INT64_MIN;
        peer->backoff = 0;
    }
}

/* Lose what younger answers have overtaken; when to look again. */
static int64_t efa_recovery_overtaken(EfaCore *core, EfaPeer *peer,
                                      int64_t now)
{
    int64_t tolerance = efa_tolerance(peer);
    GList *link;

    while ((link = peer->inflight.head)) {
        EfaTxSeg *seg = link->data;
        int64_t due = seg->sent + peer->srtt + tolerance;

        if (seg->sent >= peer->newest) {
            break;
        }
        if (due > now) {
            return due;
        }
        efa_recovery_lose(core, peer, seg, now);
    }
    return INT64_MAX;
}

void efa_recovery_after_ack(EfaCore *core, EfaPeer *peer, int64_t now)
{
    int64_t again;

    efa_recovery_sample(peer, now);
    efa_recovery_learn(peer);
    again = efa_recovery_overtaken(core, peer, now);
    peer->progress = now;
    if (again != INT64_MAX) {
        efa_peer_scan_at(core, peer, again);
    }
}

/* Nothing was answered for too long; when to look again. */
static int64_t efa_recovery_timeout(EfaCore *core, EfaPeer *peer, int64_t now)
{
    int64_t rto = efa_rto(peer);
    bool timeout = false;
    GList *link;

    while ((link = peer->inflight.head)) {
        EfaTxSeg *seg = link->data;

        if (seg->sent + rto > now) {
            break;
        }
        efa_recovery_lose(core, peer, seg, now);
        timeout = true;
    }
    if (timeout) {
        core->stats.retrans_timeout_events++;
        peer->backoff = MIN(peer->backoff + 1, EFA_BACKOFF_MAX);
    }
    return link ? ((EfaTxSeg *)link->data)->sent + rto : INT64_MAX;
}

/* Try again what was refused for want of a buffer; the next such time. */
static int64_t efa_recovery_rnr(EfaCore *core, EfaPeer *peer, int64_t now)
{
    unsigned looks = MIN(peer->rnr.length, EFA_RNR_LOOKS);
    unsigned burst = EFA_RNR_BURST;
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
            next = MIN(next, MAX(msg->time, now + EFA_RNR_LOOK_NS));
        }
    }
    return next;
}

/* Does work depend on a sign of life? One that was refused has seen one. */
static bool efa_peer_waits(const EfaPeer *peer)
{
    return peer->tx_una != peer->tx_next || peer->waiting.length ||
           peer->datagrams.length;
}

/* Nothing heard for too long, be it no answer or no way there at all. */
static bool efa_recovery_give_up(EfaCore *core, EfaPeer *peer, int64_t now)
{
    if (!efa_peer_waits(peer) ||
        now - peer->progress < efa_peer_timeout(core)) {
        return false;
    }
    core->stats.unresponsive_remote_events++;
    efa_aenq_post(core, EFA_ADMIN_WARNING, EFA_SYNDROME_UNRESPONSIVE);
    efa_peer_abort(core, peer, efa_peer_silence(peer));
    return true;
}

static void efa_recovery_peer(EfaCore *core, EfaPeer *peer, int64_t now)
{
    if (now >= peer->connect_at) {
        peer->connect_at = INT64_MAX;
        if (efa_peer_busy(peer)) {
            efa_peer_need_link(core, peer);
        }
    }
    if (now >= peer->scan_at) {
        peer->scan_at = INT64_MAX;
        if (!efa_recovery_give_up(core, peer, now)) {
            int64_t rnr = efa_recovery_rnr(core, peer, now);
            int64_t overtaken = efa_recovery_overtaken(core, peer, now);
            int64_t timeout = efa_recovery_timeout(core, peer, now);
            int64_t give_up = efa_peer_waits(peer)
                ? peer->progress + efa_peer_timeout(core) : INT64_MAX;

            peer->scan_at = MIN(MIN(peer->scan_at, give_up),
                                MIN(rnr, MIN(overtaken, timeout)));
        }
    }
}

int64_t efa_recovery_timers(EfaCore *core, int64_t now)
{
    int64_t next = INT64_MAX;
    GList *link = core->active.head;

    while (link) {
        EfaPeer *peer = link->data;

        link = link->next;
        efa_recovery_peer(core, peer, now);
        if (peer->scan_at == INT64_MAX && peer->connect_at == INT64_MAX) {
            g_queue_unlink(&core->active, &peer->active_link);
            peer->active = false;
        }
        next = MIN(next, MIN(peer->scan_at, peer->connect_at));
    }
    return next;
}
