/*
 * Simulator: every completion judged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define MSG_CHUNK       4096
#define MSG_SLOT_BITS   24

/* ---- records ---- */

SimMsg *msg_at(World *w, uint32_t slot)
{
    return (SimMsg *)w->msg_chunks->pdata[slot / MSG_CHUNK] +
           slot % MSG_CHUNK;
}

/*
 * An id: slot, generation, and a half that is different in each seed. The
 * first two fit an immediate.
 */
SimMsg *msg_new(World *w)
{
    uint32_t slot, low;
    SimMsg *m;

    if (w->free_msgs->len) {
        slot = g_array_index(w->free_msgs, uint32_t, w->free_msgs->len - 1);
        g_array_set_size(w->free_msgs, w->free_msgs->len - 1);
    } else {
        slot = w->num_msgs++;
        if (slot % MSG_CHUNK == 0) {
            g_ptr_array_add(w->msg_chunks, g_new0(SimMsg, MSG_CHUNK));
        }
    }
    m = msg_at(w, slot);
    low = (uint32_t)m->id + (1u << MSG_SLOT_BITS);
    low = (low & ~((1u << MSG_SLOT_BITS) - 1)) | slot;
    *m = (SimMsg) { .id = mix64(w->seed) << 32 | low };
    return m;
}

SimMsg *msg_by_id(World *w, uint32_t low)
{
    uint32_t slot = low & ((1u << MSG_SLOT_BITS) - 1);
    SimMsg *m;

    if (slot >= w->num_msgs) {
        return NULL;
    }
    m = msg_at(w, slot);
    return (uint32_t)m->id == low ? m : NULL;
}

static void msg_done(SimMsg *m)
{
    World *w = m->qp->node->w;

    if (w->plan.recycle) {
        uint32_t slot = m->id & ((1u << MSG_SLOT_BITS) - 1);

        g_array_append_val(w->free_msgs, slot);
    }
}

/* ---- payload ---- */

static inline uint64_t pattern_word(uint64_t id, uint32_t index)
{
    return index ? (id ^ index) * 0x9e3779b97f4a7c15ull + index : id;
}

void pattern_fill(uint8_t *p, uint64_t id, uint32_t len)
{
    uint32_t words = len / 8, i;
    uint64_t word;

    for (i = 0; i < words; i++) {
        word = pattern_word(id, i);
        memcpy(p + i * 8, &word, sizeof(word));
    }
    word = pattern_word(id, words);
    for (i = words * 8; i < len; i++, word >>= 8) {
        p[i] = word;
    }
}

uint32_t pattern_check(const uint8_t *p, uint64_t id, uint32_t len)
{
    uint32_t words = len / 8, i;
    uint64_t word, found;

    for (i = 0; i < words; i++) {
        memcpy(&found, p + i * 8, sizeof(found));
        word = found ^ pattern_word(id, i);
        if (word) {
            return i * 8 + __builtin_ctzll(word) / 8;
        }
    }
    word = pattern_word(id, words);
    for (i = words * 8; i < len; i++, word >>= 8) {
        if (p[i] != (uint8_t)word) {
            return i;
        }
    }
    return len;
}

/* A granule behind @p. */
static bool untouched(const uint8_t *p)
{
    uint64_t words[SIM_GRANULE / 8], any = 0;
    unsigned i;

    memcpy(words, p, sizeof(words));
    for (i = 0; i < ARRAY_SIZE(words); i++) {
        any |= words[i];
    }
    return !any;
}

/* ---- receives ---- */

static SimQp *qp_of(Node *n, const EfaIoCdesc *c)
{
    unsigned i;

    for (i = 0; i < n->w->plan.num_qps; i++) {
        if (n->qps[i] && n->qps[i]->num == c->qp_num) {
            return n->qps[i];
        }
    }
    sim_broken(n->w, n, NULL, NULL, "exactly once: completion (%s, status "
               "%u) for QP 0x%x, which does not exist",
               FIELD_EX8(c->flags, CDESC_FLAGS, Q_TYPE) == EFA_IO_SEND_QUEUE
               ? "send" : "receive", c->status, c->qp_num);
    return NULL;
}

/* Is the completion's sender the one that posted @m? */
static void check_sender(SimQp *qp, const SimMsg *m, const EfaIoCdesc *c)
{
    Node *n = qp->node, *from = m->qp->node;
    const SimPeer *back = &n->peers[n->w->inverse[m->peer]];
    EfaGid gid = sim_gid(from->index);
    bool known = back->have ? c->ah == back->ah : c->ah == EFA_IO_NO_AH;

    if (c->src_qp_num != m->qp->num || !known ||
        (!back->have && c->status == 0 &&
         FIELD_EX8(c->flags, CDESC_FLAGS, OP_TYPE) == EFA_IO_SEND &&
         memcmp(c->src_addr, gid.raw, sizeof(gid.raw)))) {
        sim_broken(n->w, n, qp, m, "content: received from QP 0x%x, AH %u, "
                   "but sent by QP 0x%x, AH %u", c->src_qp_num, c->ah,
                   m->qp->num, back->have ? back->ah : EFA_IO_NO_AH);
    }
}

static void check_once(SimQp *qp, SimMsg *m)
{
    Node *n = qp->node;
    uint32_t refused =
        1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_QP_INTERNAL_ERROR |
        1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_UNSUPPORTED_OP |
        1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_AH |
        1u << EFA_IO_COMP_STATUS_LOCAL_ERROR_BAD_LENGTH |
        1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN |
        1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_RNR |
        1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH;
    bool ud_twice = qp->type == EFA_QP_TYPE_UD && (n->w->plan.faults & F_dup);

    if (m->exec_life == n->life && !ud_twice) {
        sim_broken(n->w, n, qp, m, "at most once: executed again");
    }
    if (m->state == MSG_DONE && (refused >> m->status & 1) &&
        cause_same_life(m)) {
        sim_broken(n->w, n, qp, m, "at most once: executed after its sender "
                   "was told that it failed with status %u", m->status);
    }
    m->exec_life = n->life;
}

/* The payload of @m is what its sender gave, and nothing else was touched. */
static void check_content(SimQp *qp, SimMsg *m, unsigned index,
                          const EfaIoCdesc *c)
{
    Node *n = qp->node;
    uint32_t grh = qp->type == EFA_QP_TYPE_UD ? EFA_UD_GRH_SIZE : 0;
    uint8_t *buf = host_ptr(n, rx_buf(qp, index));
    uint32_t wrong;

    if (c->length != m->len + grh) {
        sim_broken(n->w, n, qp, m, "content: %u bytes received", c->length);
        return;
    }
    wrong = pattern_check(buf + grh, m->id, m->len);
    if (wrong < m->len) {
        sim_broken(n->w, n, qp, m, "content: byte %u received is wrong",
                   wrong);
    }
    if (!untouched(buf + c->length)) {
        sim_broken(n->w, n, qp, m, "memory: something was written behind "
                   "the %u bytes of a received message", c->length);
    }
    memset(buf, 0, c->length);
}

static void check_written(SimQp *qp, SimMsg *m, const EfaIoCdesc *c)
{
    Node *n = qp->node;
    uint16_t high;
    uint32_t len, wrong;

    memcpy(&high, c->src_addr, sizeof(high));
    len = c->length | (uint32_t)high << 16;
    if (len != m->len) {
        sim_broken(n->w, n, qp, m, "content: %u bytes written", len);
    }
    if (!m->win || m->to_life != n->life) {
        return;
    }
    wrong = pattern_check(host_ptr(n, win_buf(n->w, m->win - 1)), m->id,
                          m->len);
    if (wrong < m->len) {
        sim_broken(n->w, n, qp, m, "content: byte %u is not in memory when "
                   "the immediate arrives", wrong);
    }
}

/* Which message is it? */
static SimMsg *check_identify(SimQp *qp, unsigned index, const EfaIoCdesc *c)
{
    World *w = qp->node->w;
    uint32_t grh = qp->type == EFA_QP_TYPE_UD ? EFA_UD_GRH_SIZE : 0;
    bool write = FIELD_EX8(c->flags, CDESC_FLAGS, OP_TYPE) ==
                 EFA_IO_RDMA_WRITE;
    bool has_imm = FIELD_EX8(c->flags, CDESC_FLAGS, HAS_IMM);
    uint64_t id = c->imm;
    SimMsg *m;

    if (!has_imm) {
        memcpy(&id, host_ptr(qp->node, rx_buf(qp, index)) + grh, sizeof(id));
    }
    m = msg_by_id(w, id);
    if (!m || (!has_imm && m->id != id) || m->has_imm != has_imm ||
        m->to != qp->node || m->dst != qp ||
        write != (m->op == EFA_IO_RDMA_WRITE) || m->op == EFA_IO_RDMA_READ) {
        sim_broken(w, qp->node, qp, m, "content: received %" PRIx64
                   " (op %u, immediate %u), which was not sent here", id,
                   write ? EFA_IO_RDMA_WRITE : EFA_IO_SEND, has_imm);
        return NULL;
    }
    return m;
}

/* Completions of a queue are in its ring, wherever others are. */
static void check_ring(SimQp *qp, const SimCq *cq, unsigned sub)
{
    unsigned found = cq->last_sub;

    if (qp->node->w->plan.defect == BREAK_wrong_ring) {
        found = (found + 1) % cq->subs;
    }
    if (found != sub) {
        sim_broken(qp->node->w, qp->node, qp, NULL, "exactly once: completion "
                   "in ring %u, the queue's is %u", found, sub);
    }
}

/* @m has arrived at @qp, whose receive @index is in its place if it is one. */
static void check_arrival(SimQp *qp, SimMsg *m, unsigned index,
                          const EfaIoCdesc *c)
{
    Node *n = qp->node;

    check_sender(qp, m, c);
    if (m->op == EFA_IO_SEND) {
        check_content(qp, m, index, c);
        n->seen.sends_received++;
    } else {
        check_written(qp, m, c);
    }
    check_once(qp, m);
    n->w->t.received++;
}

/* Immediate data that took no receive: only where that was agreed upon. */
static void check_unsolicited(SimQp *qp, const EfaIoCdesc *c)
{
    World *w = qp->node->w;
    SimMsg *m;

    if (!qp->unsolicited || c->req_id || c->status ||
        !FIELD_EX8(c->flags, CDESC_FLAGS, HAS_IMM)) {
        sim_broken(w, qp->node, qp, NULL, "content: unsolicited completion "
                   "of request 0x%x, status %u", c->req_id, c->status);
        return;
    }
    qp->node->seen.count[COUNT_received]++;
    m = check_identify(qp, 0, c);
    if (m && m->op != EFA_IO_RDMA_WRITE) {
        sim_broken(w, qp->node, qp, m, "content: a send is unsolicited");
    } else if (m && !(w->plan.faults & F_hostile)) {
        check_arrival(qp, m, 0, c);
    }
}

static void check_receive(Node *n, EfaIoCdesc *c)
{
    SimQp *qp = qp_of(n, c);
    unsigned index = c->req_id & (SIM_MAX_DEPTH - 1);
    SimRecv *r;
    SimMsg *m;

    if (!qp) {
        return;
    }
    check_ring(qp, &n->rcq, qp->recv_sub);
    if (n->w->plan.defect == BREAK_unmarked) {
        c->flags &= ~R_CDESC_FLAGS_UNSOLICITED_MASK;
    }
    if (FIELD_EX8(c->flags, CDESC_FLAGS, UNSOLICITED)) {
        check_unsolicited(qp, c);
        return;
    }
    r = &qp->recv[index];
    if (index >= n->w->plan.depth || !(qp->recv_mask >> index & 1) ||
        r->req_id != c->req_id) {
        sim_broken(n->w, n, qp, NULL, "exactly once: completion for receive "
                   "0x%x, which is not posted", c->req_id);
        return;
    }
    qp->recv_mask &= ~(1ull << index);
    host_deny(n, rx_buf(qp, index), r->capacity, MAP_WRITE);
    n->seen.count[c->status ? COUNT_spoiled : COUNT_received]++;
    if (c->status != EFA_IO_COMP_STATUS_OK) {
        bool right = c->status == EFA_IO_COMP_STATUS_FLUSHED ? qp->closed
                   : c->status == EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY
                     && r->bad;

        if (!right) {
            sim_broken(n->w, n, qp, NULL, "cause: receive 0x%x ends with "
                       "status %u for no reason", c->req_id, c->status);
        }
        memset(host_ptr(n, rx_buf(qp, index)), 0, r->capacity);
        return;
    }
    m = check_identify(qp, index, c);
    if (!m || (n->w->plan.faults & F_hostile)) {
        memset(host_ptr(n, rx_buf(qp, index)), 0, r->capacity);
        return;
    }
    if (m->op == EFA_IO_RDMA_WRITE && qp->unsolicited) {
        sim_broken(n->w, n, qp, m, "content: immediate data took a receive "
                   "of a queue pair that needs none");
    }
    check_arrival(qp, m, index, c);
}

/* ---- sends ---- */

/* A success promises that the data is where it belongs. */
static void check_success(SimMsg *m)
{
    Node *n = m->qp->node, *to = m->to;
    World *w = n->w;
    uint32_t wrong = m->len;

    if (m->qp->type == EFA_QP_TYPE_UD || m->copy_of) {
        return;
    }
    node_drain_receives(to);
    if (m->op == EFA_IO_SEND || m->has_imm) {
        if (!m->exec_life) {
            sim_broken(w, n, m->qp, m, "success: the receiver has no such "
                       "message");
        }
    } else if (m->op == EFA_IO_RDMA_READ) {
        wrong = pattern_check(host_ptr(n, big_buf(w, m->big - 1)), m->id,
                              m->len);
        w->t.received++;
    } else if (cause_same_life(m)) {
        wrong = pattern_check(host_ptr(to, win_buf(w, m->win - 1)), m->id,
                              m->len);
        w->t.received++;
    }
    if (wrong < m->len) {
        sim_broken(w, n, m->qp, m, "success: byte %u is not in memory",
                   wrong);
    }
}

/* Buffers of a request that has ended. */
static void check_release(SimMsg *m, unsigned index, bool done)
{
    Node *n = m->qp->node;
    World *w = n->w;

    if (m->lkey_tx) {
        host_deny(n, tx_buf(m->qp, index), m->len, MAP_READ);
    }
    if (m->big) {
        host_deny(n, big_buf(w, m->big - 1), m->len, MAP_READ | MAP_WRITE);
        n->big_mask &= ~(1ull << (m->big - 1));
        m->big = 0;
    }
    if (m->win && m->to->life == m->to_life) {
        /* a late copy of a write that is done must not be executed */
        workload_window_release(m, done && m->op == EFA_IO_RDMA_WRITE);

    }
}

static void check_learn(SimMsg *m, uint8_t status)
{
    SimPeer *peer = &m->qp->node->peers[m->peer];
    uint32_t remote = 1u << EFA_IO_COMP_STATUS_OK |
                      1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_DEST_QPN |
                      1u << EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_LENGTH;

    if ((remote >> status & 1) && m->qp->type == EFA_QP_TYPE_SRD &&
        cause_same_life(m)) {
        peer->known_life = m->to_life;
    }
}

static void check_send(Node *n, const EfaIoCdesc *c)
{
    SimQp *qp = qp_of(n, c);
    unsigned index = c->req_id & (SIM_MAX_DEPTH - 1);
    World *w = n->w;
    uint8_t status = c->status;
    SimMsg *m;

    if (!qp) {
        return;
    }
    check_ring(qp, &n->scq, qp->send_sub);
    m = index < w->plan.depth ? qp->sent[index] : NULL;
    if (!m || m->req_id != c->req_id) {
        sim_broken(w, n, qp, NULL, "exactly once: completion (status %u) for "
                   "request 0x%x, which is not outstanding", status,
                   c->req_id);
        return;
    }
    if (w->plan.defect == BREAK_false_success && status) {
        status = 0;
    } else if (w->plan.defect == BREAK_false_error && !w->defect_done) {
        status = EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE;
        w->defect_done = true;
    }
    node_drain_receives(m->to);
    if (!cause_exists(m, status)) {
        sim_broken(w, n, qp, m, "cause: ends with status %u for no reason",
                   status);
    }
    if (m->unsignaled && !status) {
        sim_broken(w, n, qp, m, "exactly once: a completion that was not "
                   "asked for");
    }
    if (!status) {
        check_success(m);
        n->seen.ok[m->op]++;
        n->seen.count[COUNT_done]++;
        w->t.ok++;
    } else {
        n->seen.count[COUNT_failed] += !m->bad_op;
        w->t.failed++;
    }
    if (!c->status && m->op != EFA_IO_SEND && cause_same_life(m)) {
        m->to->seen.count[COUNT_served]++;
    }
    w->t.by_status[status & 31]++;
    check_learn(m, status);
    m->state = MSG_DONE;
    m->status = status;
    qp->sent[index] = NULL;
    qp->sent_mask &= ~(1ull << index);
    check_release(m, index, !status);
    msg_done(m);
}

void check_completion(Node *n, EfaIoCdesc *c, bool receive)
{
    uint8_t type = FIELD_EX8(c->flags, CDESC_FLAGS, Q_TYPE);

    world_digest(n->w, (uint64_t)c->req_id << 32 | (uint64_t)c->status << 24 |
                       (uint64_t)c->qp_num << 8 | c->flags);
    if (type != (receive ? EFA_IO_RECV_QUEUE : EFA_IO_SEND_QUEUE)) {
        sim_broken(n->w, n, NULL, NULL, "exactly once: completion of queue "
                   "type %u in the wrong ring", type);
        return;
    }
    if (receive) {
        check_receive(n, c);
    } else {
        check_send(n, c);
    }
}

void check_drop(SimMsg *m)
{
    SimQp *qp = m->qp;
    unsigned index = m->req_id & (SIM_MAX_DEPTH - 1);

    m->state = MSG_DROPPED;
    qp->node->w->t.dropped++;
    qp->sent[index] = NULL;
    check_release(m, index, false);
}
