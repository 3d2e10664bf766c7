/*
 * Simulator: what may end badly, and why
 *
 * A request may only fail for something that really happened to it, to its
 * target or on the way there. What happened is in the ledger; this file says
 * which of it explains which status.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

/* Answers of a former life that may still be under way, and a margin. */
#define STALE_ANSWERS   SIM_SEC
/* Losses within the timeout that make silence believable. */
#define LOSSES_TO_SILENCE   3

bool cause_same_life(const SimMsg *m)
{
    return m->to->up && m->to->life == m->to_life;
}

static bool cause_cut(const SimMsg *m, int64_t since)
{
    const World *w = m->qp->node->w;
    uint32_t from = m->qp->node->index, to = m->to->index;
    unsigned i;

    for (i = 0; i < w->cuts->len; i++) {
        const Cut *c = &g_array_index(w->cuts, Cut, i);

        if (c->until >= since &&
            ((c->a == from && (c->b == SIM_ANY || c->b == to)) ||
             (c->a == to && (c->b == SIM_ANY || c->b == from)))) {
            return true;
        }
    }
    return false;
}

/* 13, 15: the peer was gone, out of reach, or very unlucky. */
static bool cause_silence(const SimMsg *m, uint8_t status)
{
    const World *w = m->qp->node->w;
    int64_t since = w->now - w->plan.timeout - w->plan.timeout / 4 -
                    100 * SIM_MSEC;

    if (m->to == m->qp->node) {
        return false;
    }
    if (status == EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE &&
        !network_heard(m->qp->node, m->to)) {
        return false;
    }
    return !m->to->up || m->to->changed_at >= since ||
           cause_cut(m, since) ||
           network_losses(m->qp->node, m->to, since) >= LOSSES_TO_SILENCE;
}

/* 8: our device took the peer for one that it is no longer. */
static bool cause_restart(const SimMsg *m)
{
    if (!cause_same_life(m) || m->to->changed_at >= m->posted - STALE_ANSWERS) {
        return true;
    }
    return m->known_life ? m->known_life != m->to_life : m->to_life > 1;
}

bool cause_exists(const SimMsg *m, uint8_t status)
{
    const Node *to = m->to;
    const SimPeer *back = &to->peers[to->w->inverse[m->peer]];

    if (m->expect & (1u << status)) {
        return true;
    }
    switch (status) {
    case EFA_IO_COMP_STATUS_OK:
        return !m->must_fail;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS:
        return m->op != EFA_IO_SEND &&
               (!cause_same_life(m) || to->mr[MR_WIN].lost_at >= m->posted);
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_ABORT:
        return cause_restart(m);
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN:
        return !cause_same_life(m) || !m->dst || m->dst->closed;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR:
        return m->qp->rnr_retry < 7 && m->dst &&
               !(m->op == EFA_IO_RDMA_WRITE && m->dst->unsolicited) &&
               (!m->dst->recv_mask || m->dst->empty_at >= m->posted);
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH:
        return m->op == EFA_IO_SEND && m->dst &&
               m->len > m->dst->least_capacity;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS:
        return m->dst && m->dst->rx_bad;
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH:
        /* in its next life the number may be that of a UD QP */
        return !cause_same_life(m);
    case EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE:
    case EFA_IO_COMP_STATUS_LOCAL_ERROR_UNREACH_REMOTE:
        return cause_silence(m, status);
    case EFA_IO_COMP_STATUS_REMOTE_ERROR_UNKNOWN_PEER:
        return m->op != EFA_IO_SEND &&
               (!cause_same_life(m) || !back->have ||
                back->made_at >= m->posted || back->lost_at >= m->posted);
    default:
        return false;
    }
}
