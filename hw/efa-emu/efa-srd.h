/*
 * EFA device model: the transport
 *
 *   sq -> srd (segments, window) -> net (packets) -> fabric
 *              recovery (timers)
 *   rq, mr <- responder <- net
 *
 * docs/srd.md has the rules. Everything here is protected by the core lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_SRD_H
#define HW_EFA_SRD_H

#include "efa-internal.h"

/* Unanswered segments of one context. */
#define EFA_SRD_WINDOW          EFA_PKT_WINDOW
#define EFA_SRD_SLOT(psn)       ((psn) & (EFA_SRD_WINDOW - 1))
#define EFA_SRD_MAP_WORDS       (EFA_SRD_WINDOW / 64)

/* One packet's worth of a message that has a PSN and no answer yet. */
typedef struct EfaTxSeg {
    GList link;             /* in peer->inflight by time, or peer->lost */
    EfaTxMsg *msg;
    uint32_t psn;
    uint32_t offset;        /* of its first byte in the message */
    uint32_t length;
    bool lost;              /* to be sent again as soon as there is room */
    uint8_t tries;          /* transmissions, saturating */
    int64_t sent;           /* the last one */
} EfaTxSeg;

/* What a responder remembers of the window. */
typedef struct EfaRxWindow {
    uint64_t ok[EFA_SRD_MAP_WORDS]; /* as in EfaPktAckMap, host byte order */
    uint64_t counted[EFA_SRD_MAP_WORDS];    /* reads that were counted */
    uint8_t answer[EFA_SRD_WINDOW]; /* 0: none yet; else 1 + status */
} EfaRxWindow;

/*
 * The reliability context of one pair of devices: this one and the one with
 * @gid. Sending and receiving halves are independent. What only a pair that
 * talks needs is allocated when it does.
 */
struct EfaPeer {
    EfaGid gid;
    bool is_self;
    uint32_t ah_refs;
    EfaLink *link;          /* NULL: never needed, or is_self */
    int64_t connect_at;     /* when to try (again), INT64_MAX = no need */
    int64_t heard;          /* when a packet of it last came */
    bool ever_acked;
    bool active;            /* has timers to look at: in core->active */
    GList active_link;

    /* sending half */
    uint64_t epoch;         /* the peer's life, 0 = not known */
    uint32_t tx_ctx;        /* our context generation */
    uint32_t tx_una;
    uint32_t tx_next;
    uint32_t tx_msgs;       /* messages so far */
    EfaTxSeg **tx_slot;     /* tx_slots of them, by PSN */
    uint32_t tx_slots;      /* a power of two, or 0 */
    uint64_t tx_map[EFA_SRD_MAP_WORDS]; /* unanswered PSNs */
    GQueue inflight;        /* EfaTxSeg, oldest transmission first */
    GQueue lost;            /* EfaTxSeg to be sent again */
    GQueue waiting;         /* SRD EfaTxMsg with segments to send */
    GQueue datagrams;       /* UD EfaTxMsg: they need no window, only room */
    GQueue rnr;             /* EfaTxMsg, each to be sent anew at its time */
    bool resume;            /* room may have come: in core->resume */
    GList resume_link;

    /* how much may be under way, and for how long: recovery.c */
    uint32_t flight;        /* bytes of peer->inflight on the wire */
    uint32_t cwnd;          /* bytes that may be */
    uint32_t ssthresh;
    int64_t cut_at;         /* when cwnd was last reduced */
    uint32_t uncut;         /* what it was before that, if that was wrong */
    int64_t srtt;           /* ns; 0 = no sample yet */
    int64_t rttvar;
    int64_t min_rtt;
    int64_t newest;         /* transmission time of what was answered last */
    int64_t timed;          /* the same for the next sample; INT64_MIN: none */
    uint8_t patience;       /* doublings of the least time to wait */
    int8_t doubt;           /* above 0: what is sent again is mostly in vain */
    uint8_t resent;         /* copies that may have been */
    uint32_t dups_told;     /* copies that the peer says it had before */
    uint8_t backoff;        /* doublings of the retransmission timer */
    int64_t progress;       /* last sign of life, or first unanswered send */
    int64_t scan_at;        /* when to look at the timers */

    /* receiving half */
    uint64_t rx_epoch;
    uint32_t rx_ctx;
    uint32_t rx_base;
    uint32_t rx_dups;       /* requests that had been answered before */
    EfaRxWindow *rx;        /* once the peer has sent something */
    GQueue reads;           /* EfaReadJob: what waits for room to be sent */
    GQueue ops;             /* EfaRxOp: RDMA that is counted, half done */
    GHashTable *op_by_number;

    /* answers not sent yet */
    bool send_ack;
    uint32_t num_acks;
    EfaPktAck *acks;        /* EFA_PKT_MAX_ACKS, while there are any */
    bool send_reset;
    uint32_t reset_ctx;
    uint64_t reset_epoch;   /* addressee's life */
    bool ack_queued;        /* in core->acking */
    GList ack_link;

    EfaImpairPath *path;    /* impair.c's, NULL: never needed */
};

static inline bool efa_msg_is_ud(const EfaTxMsg *msg)
{
    return msg->qp->type == EFA_QP_TYPE_UD;
}

/* ---- peer.c: contexts and their life ---- */
EfaPeer *efa_peer_get(EfaCore *core, const EfaGid *gid);
/*
 * The peer of a link, made when somebody we do not know talks to us. NULL if
 * there are too many of those.
 */
EfaPeer *efa_peer_by_link(EfaCore *core, EfaLink *link);
/* Drop a peer nobody needs any more. */
void efa_peer_maybe_free(EfaCore *core, EfaPeer *peer);
/* Is there work that a sender waits for? */
static inline bool efa_peer_busy(const EfaPeer *peer)
{
    return peer->tx_una != peer->tx_next || peer->waiting.length ||
           peer->datagrams.length || peer->rnr.length;
}
/* Have the timers of @peer looked at by @when. */
void efa_peer_scan_at(EfaCore *core, EfaPeer *peer, int64_t when);
/* There is something to send and no way there. */
void efa_peer_need_link(EfaCore *core, EfaPeer *peer);
/*
 * Nothing is outstanding towards @peer: begin a new context, in which its life
 * is not known. Answers to the old one mean nothing any more; what was
 * learnt of the way there stays.
 */
void efa_peer_new_context(EfaCore *core, EfaPeer *peer);
/* Everything outstanding towards @peer ends with @status. */
void efa_peer_abort(EfaCore *core, EfaPeer *peer, EfaCompStatus status);
/* The status of work for a peer that does not answer. */
EfaCompStatus efa_peer_silence(const EfaPeer *peer);
void efa_peer_link_up(EfaCore *core, EfaPeer *peer);
void efa_peer_link_down(EfaCore *core, EfaPeer *peer, EfaLinkDownReason why);
void efa_srd_init(EfaCore *core);
void efa_srd_destroy(EfaCore *core);
/* Forget all peers and begin a new epoch. */
void efa_srd_reset(EfaCore *core);

/* ---- srd.c: the requester's half ---- */
/* Send a validated message: completes it at once (UD) or when answered. */
void efa_srd_send(EfaCore *core, EfaTxMsg *msg);
/* Forget @msg wherever it is; no completion. */
void efa_srd_cancel(EfaCore *core, EfaTxMsg *msg);
/* Let work go on where room has come. */
void efa_srd_resume(EfaCore *core, unsigned budget);
void efa_srd_mark_resume(EfaCore *core, EfaPeer *peer);
/* @seg did not arrive: it goes to peer->lost. */
void efa_srd_lose(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg);
void efa_srd_ack_received(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr,
                          const uint8_t *payload);
void efa_srd_read_received(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr,
                           const uint8_t *payload);
void efa_srd_reset_received(EfaCore *core, EfaPeer *peer,
                            const EfaPktHdr *hdr);
/* Bytes that @seg puts on the wire, the answer of a read included. */
uint32_t efa_srd_seg_bytes(const EfaTxSeg *seg);

/* ---- recovery.c: the window's size, loss and time ---- */
void efa_recovery_init(EfaCore *core, EfaPeer *peer);
/* May another @bytes go on the wire? */
bool efa_recovery_room(const EfaPeer *peer, uint32_t bytes);
/* @seg went on the wire; it has been put at the end of peer->inflight. */
void efa_recovery_sent(EfaCore *core, EfaPeer *peer, EfaTxSeg *seg,
                       int64_t now);
/* @seg is answered; it is still in its queue. */
void efa_recovery_answered(EfaCore *core, EfaPeer *peer, const EfaTxSeg *seg,
                           int64_t now);
/* The responder has had so many requests more than once, so far. */
void efa_recovery_dups(EfaPeer *peer, uint32_t dups, int64_t now);
/* So many answers came for what had been answered. */
void efa_recovery_copies(EfaPeer *peer, uint32_t copies, int64_t now);
/* All that one packet of answers has told is known: judge the rest. */
void efa_recovery_after_ack(EfaCore *core, EfaPeer *peer, int64_t now);
/* Timers due; returns the next deadline. */
int64_t efa_recovery_timers(EfaCore *core, int64_t now);

/* ---- responder.c ---- */
void efa_rx_ud(EfaCore *core, const EfaRxMsg *msg);
void efa_rx_data(EfaCore *core, const EfaRxMsg *msg, const EfaPktHdr *hdr);
/* Go on answering reads; true if one more could be tried. */
bool efa_rx_resume_reads(EfaCore *core, EfaPeer *peer);
/* Forget what @peer has asked for. */
void efa_rx_forget(EfaCore *core, EfaPeer *peer);

/* ---- net.c: packets in and out, loopback included ---- */
uint8_t *efa_net_reserve(EfaCore *core, EfaPeer *peer, size_t len);
void efa_net_commit(EfaCore *core, EfaPeer *peer, size_t len);
/* Give a reservation back. */
void efa_net_cancel(EfaCore *core, EfaPeer *peer);
/* false: nobody can take a packet for @peer just now. */
bool efa_net_up(EfaCore *core, EfaPeer *peer);
void efa_net_header(EfaCore *core, EfaPeer *peer, EfaPktType type,
                    EfaPktHdr *hdr);
/* Deliver packets to ourselves. */
void efa_net_run_loop(EfaCore *core, unsigned budget);
void efa_net_flush_loop(EfaCore *core);
/* Deliver what others were allowed to overtake. */
void efa_net_release_held(EfaCore *core);
/* Send the answers that were collected. */
void efa_net_send_acks(EfaCore *core);
/* The window of @peer has changed: tell it. */
void efa_net_want_ack(EfaCore *core, EfaPeer *peer);
/* Tell @peer that @psn was refused. */
void efa_net_queue_refusal(EfaCore *core, EfaPeer *peer, uint32_t psn,
                           uint8_t status);
void efa_net_queue_reset(EfaCore *core, EfaPeer *peer, const EfaPktHdr *hdr);
/* Forget the packet of @peer that others may overtake, if it is one of it. */
void efa_net_drop_held(EfaCore *core, EfaPeer *peer);
/* Forget what was to be answered to @peer. */
void efa_net_unqueue(EfaCore *core, EfaPeer *peer);

#endif /* HW_EFA_SRD_H */
