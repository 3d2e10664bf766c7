/*
 * EFA device model: reliability contexts and their life
 *
 * One for each device that this one has an address handle for, or that has
 * sent it something: made on demand, forgotten when nobody needs it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

#define EFA_CONNECT_RETRY_NS    (20 * EFA_NSEC_PER_MSEC)

/* Peers without address handle: so many, and until when they are kept. */
#define EFA_STRANGERS_MAX       4096
#define EFA_STRANGER_IDLE_NS    (60 * 1000 * EFA_NSEC_PER_MSEC)
#define EFA_EVICT_INTERVAL_NS   (1000 * EFA_NSEC_PER_MSEC)

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
        g_queue_init(&peer->inflight);
        g_queue_init(&peer->lost);
        g_queue_init(&peer->waiting);
        g_queue_init(&peer->datagrams);
        g_queue_init(&peer->rnr);
        g_queue_init(&peer->reads);
        efa_recovery_init(core, peer);
        g_hash_table_insert(core->peers, &peer->gid, peer);
    }
    return peer;
}

/* Segments without their messages: what a reset leaves. */
static void efa_peer_free_segs(GQueue *queue)
{
    GList *link;

    while ((link = g_queue_pop_head_link(queue))) {
        g_free(link->data);
    }
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
    efa_net_drop_held(core, peer);
    efa_net_unqueue(core, peer);
    efa_impair_forget(core, peer);
    efa_rx_forget(core, peer);
    efa_peer_free_segs(&peer->inflight);
    efa_peer_free_segs(&peer->lost);
    if (peer->link) {
        peer->link->client_data = NULL;
    }
    g_free(peer->tx_slot);
    g_free(peer->rx);
    g_free(peer);
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

/*
 * Forget strangers that have been silent for so long that nothing of theirs
 * can still be under way. Not often: looking at all of them takes time.
 */
static void efa_peer_evict(EfaCore *core, int64_t now)
{
    GHashTableIter iter;
    gpointer value;

    if (now < core->evict_at) {
        return;
    }
    core->evict_at = now + EFA_EVICT_INTERVAL_NS;
    g_hash_table_iter_init(&iter, core->peers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        EfaPeer *peer = value;

        if (!peer->ah_refs && !peer->is_self && !efa_peer_busy(peer) &&
            !peer->reads.length &&
            now - peer->heard >= EFA_STRANGER_IDLE_NS) {
            g_hash_table_iter_steal(&iter);
            efa_peer_free(core, peer);
        }
    }
}

EfaPeer *efa_peer_by_link(EfaCore *core, EfaLink *link)
{
    EfaPeer *peer = link->client_data;
    int64_t now = efa_now(core);
    unsigned i;

    for (i = 0; !peer && i < 2; i++) {
        unsigned count = g_hash_table_size(core->peers);

        if (count < EFA_STRANGERS_MAX + core->ahs.used ||
            g_hash_table_contains(core->peers, &link->peer)) {
            peer = efa_peer_get(core, &link->peer);
            peer->link = link;
            link->client_data = peer;
        } else {
            efa_peer_evict(core, now);
        }
    }
    if (peer) {
        peer->heard = now;
    }
    return peer;
}

static void efa_peer_activate(EfaCore *core, EfaPeer *peer, int64_t when)
{
    if (!peer->active) {
        peer->active = true;
        g_queue_push_tail_link(&core->active, &peer->active_link);
    }
    efa_timer_at(core, when);
}

void efa_peer_scan_at(EfaCore *core, EfaPeer *peer, int64_t when)
{
    if (when < peer->scan_at) {
        peer->scan_at = when;
        efa_peer_activate(core, peer, when);
    }
}

void efa_peer_need_link(EfaCore *core, EfaPeer *peer)
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

/*
 * Generations are the device's, not the peer's: one that is forgotten and
 * found again must not be taken for its former self.
 */
void efa_peer_new_context(EfaCore *core, EfaPeer *peer)
{
    peer->tx_ctx = ++core->last_ctx;
    peer->tx_una = 0;
    peer->tx_next = 0;
    peer->epoch = 0;
    peer->dups_told = 0;
}

static void efa_peer_end_msg(EfaCore *core, EfaTxMsg *msg,
                             EfaCompStatus status)
{
    efa_srd_cancel(core, msg);
    /* a datagram that went nowhere is a datagram sent (6.4) */
    efa_sq_complete(core, msg, efa_msg_is_ud(msg) ? EFA_IO_COMP_STATUS_OK
                                                  : status);
}

void efa_peer_abort(EfaCore *core, EfaPeer *peer, EfaCompStatus status)
{
    GList *link;

    if (efa_peer_busy(peer)) {
        trace_efa_abort(peer->inflight.length + peer->lost.length,
                        peer->waiting.length + peer->datagrams.length +
                        peer->rnr.length, status);
        core->stats.impaired_remote_conn_events++;
    }
    while ((link = g_queue_peek_head_link(&peer->rnr))) {
        efa_peer_end_msg(core, link->data, status);
    }
    while ((link = g_queue_peek_head_link(&peer->lost)) ||
           (link = g_queue_peek_head_link(&peer->inflight))) {
        efa_peer_end_msg(core, ((EfaTxSeg *)link->data)->msg, status);
    }
    while ((link = g_queue_peek_head_link(&peer->waiting)) ||
           (link = g_queue_peek_head_link(&peer->datagrams))) {
        efa_peer_end_msg(core, link->data, status);
    }
    efa_peer_new_context(core, peer);
    efa_recovery_init(core, peer);
}

EfaCompStatus efa_peer_silence(const EfaPeer *peer)
{
    return peer->ever_acked ? EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE
                            : EFA_IO_COMP_STATUS_LOCAL_ERROR_UNREACH_REMOTE;
}

/* Nobody is there to take them, and nobody promised to deliver them. */
static void efa_peer_drop_datagrams(EfaCore *core, EfaPeer *peer)
{
    GList *link;

    while ((link = g_queue_peek_head_link(&peer->datagrams))) {
        efa_peer_end_msg(core, link->data, EFA_IO_COMP_STATUS_OK);
    }
}

void efa_peer_link_up(EfaCore *core, EfaPeer *peer)
{
    peer->connect_at = INT64_MAX;
    efa_srd_mark_resume(core, peer);
}

void efa_peer_link_down(EfaCore *core, EfaPeer *peer, EfaLinkDownReason why)
{
    bool was_there = why == EFA_LINK_HANGUP || why == EFA_LINK_PROTOCOL;

    if (was_there) {
        /* It is gone for certain: no need to wait for a timeout (7.4). */
        if (efa_peer_busy(peer)) {
            core->stats.unresponsive_remote_events++;
        }
        efa_peer_abort(core, peer, efa_peer_silence(peer));
        /* nothing of the old connection can come any more, whatever the
         * clock of the one that follows says */
        efa_rx_forget(core, peer);
        efa_peer_maybe_free(core, peer);
        return;
    }
    efa_peer_drop_datagrams(core, peer);
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
