/*
 * Simulator: what applications do
 *
 * Random sends and RDMA to random peers, receives posted in time or not, and,
 * where the seed says so, requests that are wrong on purpose.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define BAD_PERCENT         8
#define SMALL_PERCENT       6
/* Between looks of an application that cannot go on. */
#define MAX_PAUSE           (50 * SIM_MSEC)
/* No copy of a packet is under way for longer. */
#define WINDOW_QUARANTINE   (2 * SIM_SEC)

/* ---- receives ---- */

static void refill_qp(SimQp *qp, bool generous)
{
    World *w = qp->node->w;
    const Plan *p = &w->plan;
    uint64_t missing = ~qp->recv_mask &
                       (p->depth == 64 ? ~0ull : (1ull << p->depth) - 1);

    while (missing) {
        unsigned i = __builtin_ctzll(missing);
        uint32_t capacity = p->mtu + EFA_UD_GRH_SIZE;
        unsigned pieces = 1;
        bool bad = false;

        missing &= missing - 1;
        if (!generous) {
            if ((p->faults & F_small) && rng_percent(&w->rng,
                                                     SMALL_PERCENT)) {
                capacity = rng_below(&w->rng, p->mtu);
                bad = rng_percent(&w->rng, 30);
            }
            pieces += !p->steady && rng_percent(&w->rng, 25);
        }
        verbs_post_recv(qp, i, capacity, bad, pieces);
    }
    verbs_ring(qp);
}

void workload_refill(Node *n, bool generous)
{
    const Plan *p = &n->w->plan;
    unsigned i;

    for (i = 0; n->up && i < p->num_qps; i++) {
        SimQp *qp = n->qps[i];

        if (qp && !qp->closed && (generous || !qp->starving) &&
            (unsigned)__builtin_popcountll(qp->recv_mask) <= p->depth * 3 / 4) {
            refill_qp(qp, generous);
        }
    }
}

/* ---- sends ---- */

/* What one request is made of before it is posted. */
typedef struct Draft {
    SimQp *qp;
    SimPeer *peer;
    SimMsg *msg;
    unsigned index;
    EfaIoTxWqe wqe;
} Draft;

static int take_bit(uint64_t *mask, unsigned count)
{
    uint64_t missing = ~*mask & (count >= 64 ? ~0ull : (1ull << count) - 1);
    int i;

    if (!missing) {
        return -1;
    }
    i = __builtin_ctzll(missing);
    *mask |= 1ull << i;
    return i;
}

static SimQp *pick_target(World *w, Node *to, uint8_t type)
{
    unsigned first = rng_below(&w->rng, w->plan.num_qps), i;

    for (i = 0; i < w->plan.num_qps; i++) {
        SimQp *qp = to->qps[(first + i) % w->plan.num_qps];

        if (qp && qp->type == type) {
            return qp;
        }
    }
    return NULL;
}

static uint32_t pick_length(World *w, uint32_t max)
{
    unsigned kind = rng_below(&w->rng, 100);

    if (w->plan.size >= 0) {
        return MIN(w->plan.size, max);
    }
    if (kind < 4) {
        return 0;
    } else if (kind < 30) {
        return rng_below(&w->rng, MIN(max, plan_inline_max(&w->plan)) + 1);
    } else if (kind < 40) {
        return max;
    } else if (kind < 80) {
        return rng_magnitude(&w->rng, 1, max);
    }
    return rng_below(&w->rng, max + 1);
}

static void draft_meta(Draft *d, uint8_t op)
{
    World *w = d->qp->node->w;
    SimMsg *m = d->msg;

    m->op = op;
    m->req_id = d->index | rng_next(&w->rng) << 6;
    d->wqe.meta = (EfaIoTxMeta) {
        .req_id = m->req_id,
        .ctrl1 = R_TX_CTRL1_META_DESC_MASK | op,
        .ctrl2 = R_TX_CTRL2_FIRST_MASK | R_TX_CTRL2_LAST_MASK |
                 R_TX_CTRL2_COMP_REQ_MASK,
        .dest_qp_num = m->dst ? m->dst->num : 0xfffe,
        .qkey = m->dst ? m->dst->qkey : 1,
        .ah = d->peer->ah,
    };
    if (!m->dst) {
        /* that peer has no such queue pair just now */
        m->expect |= 1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
        m->must_fail = d->qp->type == EFA_QP_TYPE_SRD;
    }
    if (!d->peer->have) {
        d->wqe.meta.ah = EFA_IO_NO_AH;
        m->expect |= 1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_AH;
        m->must_fail = true;
    }
    if (d->qp->closed) {
        m->expect |= 1u << EFA_IO_COMP_STATUS_FLUSHED;
        m->must_fail = true;
    }
}

static void draft_imm(Draft *d)
{
    d->msg->has_imm = true;
    d->wqe.meta.ctrl1 |= R_TX_CTRL1_HAS_IMM_MASK;
    d->wqe.meta.immediate_data = d->msg->id;
}

static EfaIoTxBufDesc buf_desc(uint32_t offset, uint32_t len, uint32_t key)
{
    uint64_t addr = host_iova(offset);

    return (EfaIoTxBufDesc) { len, key, addr, addr >> 32 };
}

static void draft_send(Draft *d)
{
    Node *n = d->qp->node;
    World *w = n->w;
    SimMsg *m = d->msg;
    uint64_t id = m->copy_of ? m->copy_of->id : m->id;
    uint32_t buf = tx_buf(d->qp, d->index);

    m->len = m->copy_of ? m->copy_of->len : pick_length(w, w->plan.mtu);
    draft_meta(d, EFA_IO_SEND);
    /* what is too short to hold the id, carries it beside */
    if (m->copy_of ? m->copy_of->has_imm
                   : m->len < 8 || rng_percent(&w->rng, 25)) {
        draft_imm(d);
        d->wqe.meta.immediate_data = id;
    }
    if (m->len <= plan_inline_max(&w->plan) && rng_percent(&w->rng, 60)) {
        d->wqe.meta.ctrl1 |= R_TX_CTRL1_INLINE_MSG_MASK;
        d->wqe.meta.length = m->len;
        pattern_fill(d->wqe.inline_data, id, m->len);
        return;
    }
    pattern_fill(host_ptr(n, buf), id, m->len);
    host_allow(n, buf, m->len, MAP_READ);
    m->lkey_tx = m->len;
    if (m->len && rng_percent(&w->rng, 30)) {
        uint32_t first = rng_below(&w->rng, m->len);

        d->wqe.meta.length = 2;
        d->wqe.sgl[0] = buf_desc(buf, first, n->mr[MR_TX].key);
        d->wqe.sgl[1] = buf_desc(buf + first, m->len - first,
                                 n->mr[MR_TX].key);
    } else {
        d->wqe.meta.length = 1;
        d->wqe.sgl[0] = buf_desc(buf, m->len, n->mr[MR_TX].key);
    }
}

/* Memory of the target that no other message uses; false if there is none. */
static bool draft_rdma(Draft *d)
{
    Node *n = d->qp->node, *to = d->peer->node;
    World *w = n->w;
    SimMsg *m = d->msg;
    bool read = !verbs_can(n, EFA_IO_RDMA_WRITE) ||
                (verbs_can(n, EFA_IO_RDMA_READ) && rng_percent(&w->rng, 40));
    int big = take_bit(&n->big_mask, w->layout.num_big), win;
    uint64_t remote;

    if (big < 0) {
        return false;
    }
    win = take_bit(&to->win_mask, w->layout.num_big);
    if (win < 0) {
        n->big_mask &= ~(1ull << big);
        return false;
    }
    m->big = big + 1;
    m->win = win + 1;
    m->len = pick_length(w, w->plan.rdma_max);
    draft_meta(d, read ? EFA_IO_RDMA_READ : EFA_IO_RDMA_WRITE);
    if (!read && rng_percent(&w->rng, 40)) {
        draft_imm(d);
    }
    if (read) {
        pattern_fill(host_ptr(to, win_buf(w, win)), m->id, m->len);
        host_allow(to, win_buf(w, win), m->len, MAP_READ);
        host_allow(n, big_buf(w, big), m->len, MAP_WRITE);
    } else {
        pattern_fill(host_ptr(n, big_buf(w, big)), m->id, m->len);
        host_allow(n, big_buf(w, big), m->len, MAP_READ);
        host_allow(to, win_buf(w, win), m->len, MAP_WRITE);
    }
    remote = host_iova(win_buf(w, win));
    d->wqe.meta.length = 1;
    d->wqe.rdma.remote = (EfaIoRemoteMem) { m->len, to->mr[MR_WIN].key,
                                            remote, remote >> 32 };
    if (!read && w->plan.wqe_size == EFA_IO_WQE_SIZE_WIDE &&
        m->len <= EFA_IO_TX_INLINE_MAX_WIDE && rng_percent(&w->rng, 60)) {
        d->wqe.meta.ctrl1 |= R_TX_CTRL1_INLINE_MSG_MASK;
        d->wqe.meta.length = m->len;
        pattern_fill(d->wqe.rdma.inline_data, m->id, m->len);
    } else {
        d->wqe.rdma.local = buf_desc(big_buf(w, big), m->len,
                                     n->mr[MR_BIG].key);
    }
    to->seen.aimed++;
    return true;
}

/* ---- requests that are wrong on purpose ---- */

static void plant(Draft *d, EfaCompStatus status)
{
    d->msg->expect |= 1u << status;
    d->msg->must_fail = true;
}

/* It goes to no queue pair: an error, or silence from a UD one. */
static void plant_nowhere(Draft *d)
{
    d->msg->dst = NULL;
    if (d->qp->type == EFA_QP_TYPE_SRD) {
        plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN);
        /* by chance the number is that of a UD one */
        plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH);
    }
}

static void plant_meta(Draft *d, Rng *rng)
{
    static const uint8_t needed[] = { R_TX_CTRL2_FIRST_MASK,
                                      R_TX_CTRL2_LAST_MASK };
    EfaIoTxMeta *meta = &d->wqe.meta;

    switch (rng_below(rng, 6)) {
    case 0:
        meta->dest_qp_num ^= rng_range(rng, 1, 0xffff);
        meta->qkey ^= 0x55;
        plant_nowhere(d);
        break;
    case 1:
        meta->qkey ^= 1 + rng_below(rng, 0x7ffffffe);
        plant_nowhere(d);
        break;
    case 2:
        meta->ah = rng_percent(rng, 50) ? EFA_IO_NO_AH : 0xfff0;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_AH);
        break;
    case 3:
        meta->ctrl1 = (meta->ctrl1 & ~R_TX_CTRL1_OP_TYPE_MASK) |
                      rng_range(rng, EFA_IO_FAST_REG, 15);
        d->msg->bad_op = true;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_UNSUPPORTED_OP);
        break;
    case 4:
        meta->ctrl2 &= ~needed[rng_below(rng, 2)];
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR);
        break;
    default:
        meta->ctrl1 &= ~R_TX_CTRL1_META_DESC_MASK;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR);
        break;
    }
}

static void plant_send(Draft *d, Rng *rng)
{
    Node *n = d->qp->node;
    uint32_t mtu = n->w->plan.mtu;

    if (FIELD_EX8(d->wqe.meta.ctrl1, TX_CTRL1, INLINE_MSG)) {
        d->wqe.meta.length = plan_inline_max(&n->w->plan) + 1;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH);
        return;
    }
    if (!d->msg->len || rng_percent(rng, 30)) {
        d->wqe.meta.length = 2;
        d->wqe.sgl[0] = buf_desc(n->mr[MR_TX].offset, mtu,
                                 n->mr[MR_TX].key);
        d->wqe.sgl[1] = buf_desc(n->mr[MR_TX].offset, 1, n->mr[MR_TX].key);
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH);
        return;
    }
    d->wqe.meta.length = 1;
    d->wqe.sgl[0].length = d->msg->len;
    if (rng_percent(rng, 50)) {
        d->wqe.sgl[0].lkey ^= 0x800000;
    } else {
        d->wqe.sgl[0].buf_addr_lo = host_iova(n->mr[MR_TX].offset +
                                              n->mr[MR_TX].size - 1);
        d->wqe.sgl[0].length = 2;
    }
    plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
}

static void plant_rdma(Draft *d, Rng *rng)
{
    Node *n = d->qp->node, *to = d->peer->node;
    EfaIoRdmaReq *req = &d->wqe.rdma;

    if (!d->msg->len ||
        FIELD_EX8(d->wqe.meta.ctrl1, TX_CTRL1, INLINE_MSG)) {
        return;     /* keys of nothing are not looked at */
    }
    switch (rng_below(rng, 5)) {
    case 0:
        req->remote.rkey ^= 0x800000;
        plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS);
        break;
    case 1:
        req->remote.rkey = to->mr[MR_RX].key;
        req->remote.buf_addr_lo = host_iova(to->mr[MR_RX].offset);
        plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS);
        break;
    case 2:
        req->remote.buf_addr_lo = host_iova(to->mr[MR_WIN].offset +
                                            to->mr[MR_WIN].size -
                                            d->msg->len + 1);
        plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_ADDRESS);
        break;
    case 3:
        req->remote.length++;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH);
        break;
    default:
        req->local.lkey = n->mr[MR_BIG].key ^ 0x800000;
        plant(d, EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
        break;
    }
}

static void draft_spoil(Draft *d)
{
    Rng *rng = &d->qp->node->w->rng;

    if (d->msg->must_fail) {
        return;     /* one reason is enough */
    }
    d->qp->node->w->t.planted++;
    if (rng_percent(rng, 60)) {
        plant_meta(d, rng);
    } else if (d->msg->op == EFA_IO_SEND) {
        plant_send(d, rng);
    } else {
        plant_rdma(d, rng);
    }
}

/* ---- posting ---- */

static void draft_post(Draft *d)
{
    World *w = d->qp->node->w;
    SimMsg *m = d->msg;

    m->posted = w->now;
    m->state = MSG_POSTED;
    m->to_life = m->to->up ? m->to->life : 0;
    m->known_life = d->peer->known_life;
    if (!w->plan.steady && d->qp->unsignaled < w->plan.depth / 4 &&
        rng_percent(&w->rng, 3)) {
        d->wqe.meta.ctrl2 &= ~R_TX_CTRL2_COMP_REQ_MASK;
        m->unsignaled = true;
        d->qp->unsignaled++;
        d->qp->node->seen.silent[m->op]++;
    }
    d->qp->sent[d->index] = m;
    w->t.posted++;
    verbs_post_send(d->qp, &d->wqe);
}

static bool draft_begin(Draft *d, Node *n)
{
    World *w = n->w;
    SimQp *qp = n->qps[rng_below(&w->rng, w->plan.num_qps)];
    unsigned peers = w->plan.active ? w->plan.active : w->plan.peers;
    unsigned peer = w->plan.in_turn ? n->left % peers
                                    : rng_below(&w->rng, peers);
    uint8_t type;
    int index;

    index = qp ? take_bit(&qp->sent_mask, w->plan.depth) : -1;
    if (index < 0) {
        return false;
    }
    d->qp = qp;
    d->peer = &n->peers[peer];
    d->index = index;
    d->msg = msg_new(w);
    d->msg->qp = qp;
    d->msg->to = d->peer->node;
    d->msg->peer = peer;
    type = qp->type;
    if ((w->plan.faults & F_bad) && w->plan.num_qps > 1 &&
        rng_percent(&w->rng, 2)) {
        /* a UD queue pair for an SRD message or the other way round */
        type = EFA_QP_TYPE_UD + EFA_QP_TYPE_SRD - type;
    }
    d->msg->dst = pick_target(w, d->peer->node, type);
    return true;
}

/* The wrong type of queue pair: no message ever gets there. */
static void draft_mismatch(Draft *d)
{
    if (d->msg->dst && d->msg->dst->type != d->qp->type) {
        d->msg->dst = NULL;
        if (d->qp->type == EFA_QP_TYPE_SRD) {
            plant(d, EFA_IO_COMP_STATUS_REMOTE_ERROR_FEATURE_MISMATCH);
            d->msg->expect |=
                1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN;
        }
    }
}

static bool workload_one(Node *n, SimMsg *copy_of)
{
    World *w = n->w;
    Draft d = { };
    bool rdma;

    if (!draft_begin(&d, n)) {
        return false;
    }
    if (copy_of) {
        d.msg->copy_of = copy_of;
        d.msg->peer = copy_of->peer;
        d.msg->to = copy_of->to;
        d.msg->dst = copy_of->dst;
        d.peer = &n->peers[copy_of->peer];
    }
    rdma = d.qp->type == EFA_QP_TYPE_SRD && verbs_has_rdma(n) &&
           d.peer->node->up && d.peer->node != n && !copy_of &&
           rng_percent(&w->rng, w->plan.rdma_percent);
    if (!rdma || !draft_rdma(&d)) {
        draft_send(&d);
    }
    draft_mismatch(&d);
    if ((w->plan.faults & F_bad) && rng_percent(&w->rng, BAD_PERCENT)) {
        draft_spoil(&d);
    }
    draft_post(&d);
    if (w->plan.defect == BREAK_twice && !copy_of &&
        d.msg->op == EFA_IO_SEND && w->plan.num_qps == 1) {
        workload_one(n, d.msg);
    }
    return true;
}

static void workload_ring(Node *n)
{
    unsigned i;

    for (i = 0; i < n->w->plan.num_qps; i++) {
        if (n->qps[i]) {
            verbs_ring(n->qps[i]);
        }
    }
    node_poll(n);
}

/* As many requests as there are slots: a node that is never idle. */
void workload_more(Node *n)
{
    if (n->left) {
        while (n->left && workload_one(n, NULL)) {
            n->left--;
        }
        n->w->posting -= !n->left;
        workload_ring(n);
    }
}

void workload_tick(Node *n)
{
    World *w = n->w;
    unsigned burst, i;

    n->ticking = false;
    if (!n->up || w->final) {
        return;
    }
    if (w->plan.steady) {
        workload_more(n);
        return;
    }
    node_poll(n);
    for (i = 0; (w->plan.faults & F_rnr) && i < w->plan.num_qps; i++) {
        if (n->qps[i] && rng_percent(&w->rng, 5)) {
            n->qps[i]->starving = !n->qps[i]->starving;
        }
    }
    workload_refill(n, false);
    burst = rng_range(&w->rng, 1, w->plan.burst);
    n->pause = MIN(n->pause * 2, MAX_PAUSE);
    while (burst-- && n->left && workload_one(n, NULL)) {
        n->pause = w->plan.think;
        w->posting -= --n->left == 0;
    }
    workload_ring(n);
    if (n->left || w->plan.lazy || (w->plan.faults & F_rnr)) {
        n->ticking = true;
        world_at(w, w->now + rng_below(&w->rng, 2 * n->pause), EV_APP, n);
    }
}

/* ---- the window ---- */

typedef struct WindowSlot {
    Node *node;
    uint32_t life;
    unsigned slot;
} WindowSlot;

/*
 * What is over for its sender may still be under way to its receiver; its
 * place there stays reserved until that is over, too.
 */
void workload_window_release(SimMsg *m, bool now)
{
    World *w = m->qp->node->w;
    WindowSlot *ws = g_new0(WindowSlot, 1);

    ws->node = m->to;
    ws->life = m->to->life;
    ws->slot = m->win - 1;
    m->win = 0;
    if (now) {
        workload_window_free(w, ws);
    } else {
        world_at(w, w->now + WINDOW_QUARANTINE, EV_WINDOW, ws);
    }
}

void workload_window_free(World *w, void *ref)
{
    WindowSlot *ws = ref;

    if (ws->node->life == ws->life && ws->node->up &&
        !(w->plan.faults & F_hostile)) {
        host_deny(ws->node, win_buf(w, ws->slot), w->plan.rdma_max,
                  MAP_READ | MAP_WRITE);
    }
    if (ws->node->life == ws->life && ws->node->up) {
        memset(host_ptr(ws->node, win_buf(w, ws->slot)), 0,
               w->plan.rdma_max);
        ws->node->win_mask &= ~(1ull << ws->slot);
    }
    g_free(ws);
}
