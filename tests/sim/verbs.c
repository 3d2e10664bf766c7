/*
 * Simulator: objects and queues, as a driver and its provider keep them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define CMD(_type, _opcode, ...) \
    ((_type) { .common = { .opcode = (_opcode) }, __VA_ARGS__ })

static uint32_t pow2_up(uint32_t n)
{
    uint32_t size = 1;

    while (size < n) {
        size *= 2;
    }
    return size;
}

static uint32_t lay(uint32_t *end, uint32_t size, uint32_t align)
{
    uint32_t at = ROUND_UP(*end, align);

    /* a granule behind everything that the device may never touch */
    *end = at + ROUND_UP(size, SIM_GRANULE) + SIM_GRANULE;
    return at;
}

void layout_init(Layout *l, const Plan *plan)
{
    uint32_t queues = plan->num_qps * plan->depth, end = SIM_GRANULE;
    uint32_t cq_size = pow2_up(queues) * sizeof(EfaIoCdesc) * plan->sub_cqs;
    unsigned i;

    l->resp = lay(&end, 8, SIM_GRANULE);
    l->aq = lay(&end, 16 * EFA_AQ_ENTRY_SIZE, SIM_GRANULE);
    l->acq = lay(&end, 16 * EFA_ACQ_ENTRY_SIZE, SIM_GRANULE);
    l->aenq = lay(&end, 16 * EFA_AENQ_ENTRY_SIZE, SIM_GRANULE);
    l->scq = lay(&end, cq_size, SIM_GRANULE);
    l->rcq = lay(&end, cq_size, SIM_GRANULE);
    l->counters = lay(&end, NUM_COUNTERS * sizeof(uint64_t), SIM_GRANULE);
    for (i = 0; i < plan->num_qps; i++) {
        l->rq[i] = lay(&end, 2 * plan->depth * EFA_IO_RX_DESC_SIZE, 4096);
    }
    l->tx_stride = ROUND_UP(plan->mtu, SIM_GRANULE) + SIM_GRANULE;
    l->rx_stride = ROUND_UP(plan->mtu + EFA_UD_GRH_SIZE, SIM_GRANULE) +
                   SIM_GRANULE;
    l->big_stride = ROUND_UP(plan->rdma_max, SIM_GRANULE) + SIM_GRANULE;
    l->num_big = plan->rdma_percent
                 ? MAX(2, MIN(32, (256u << 10) / l->big_stride)) : 0;
    l->tx = lay(&end, queues * l->tx_stride, 4096);
    l->rx = lay(&end, queues * l->rx_stride, 4096);
    l->big = lay(&end, l->num_big * l->big_stride, 4096);
    l->win = lay(&end, l->num_big * l->big_stride, 4096);
    l->size = pow2_up(ROUND_UP(end, 4096));
    l->llq_size = pow2_up(plan->num_qps) * 65536;
}

/* ---- what lives as long as the device does ---- */

static void verbs_cq(Node *n, SimCq *cq, uint32_t ring)
{
    uint32_t depth = pow2_up(n->w->plan.num_qps * n->w->plan.depth);
    unsigned subs = n->w->plan.sub_cqs;
    uint32_t size = depth * subs * sizeof(EfaIoCdesc);
    EfaCreateCqCmd cmd = CMD(EfaCreateCqCmd, EFA_ADMIN_CREATE_CQ,
        .cq_caps_2 = sizeof(EfaIoCdesc) / 4 | R_CQ_CAPS_2_SET_SRC_ADDR_MASK,
        .sub_cq_depth = depth,
        .cq_ba_mem_addr_low = host_dma(ring),
        .cq_ba_mem_addr_high = host_dma(ring) >> 32,
        .num_sub_cqs = subs,
        .uar = n->uar);
    EfaCreateCqResp resp = { };

    memset(host_ptr(n, ring), 0, size);
    host_allow(n, ring, size, MAP_WRITE);
    host_admin_ok(n, &cmd, &resp, sizeof(resp));
    *cq = (SimCq) { .idx = resp.cq_idx, .ring = ring, .depth = depth,
                    .subs = subs };
}

/* One page as large as the memory: its address has no more to say. */
void verbs_mr(Node *n, unsigned which)
{
    SimMr *mr = &n->mr[which];
    uint8_t perm[NUM_MRS] = {
        [MR_RX] = R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK,
        [MR_BIG] = R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK,
        [MR_WIN] = R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK |
                   (verbs_can(n, EFA_IO_RDMA_WRITE)
                    ? R_REG_MR_PERM_REMOTE_WRITE_ENABLE_MASK : 0) |
                   (verbs_can(n, EFA_IO_RDMA_READ)
                    ? R_REG_MR_PERM_REMOTE_READ_ENABLE_MASK : 0),
    };
    EfaRegMrCmd cmd = CMD(EfaRegMrCmd, EFA_ADMIN_REG_MR, .pd = n->pd,
                          .mr_length = mr->size,
                          .flags = ctz32(n->w->layout.size),
                          .permissions = perm[which], .page_num = 1,
                          .iova = host_iova(mr->offset));
    EfaRegMrResp resp = { };

    cmd.inline_pbl_array[0] = SIM_DMA_BASE;
    host_admin_ok(n, &cmd, &resp, sizeof(resp));
    mr->key = resp.l_key;
    if (which == MR_WIN && (n->w->plan.faults & F_hostile)) {
        /* a peer that has the key may go anywhere in it */
        host_allow(n, mr->offset, mr->size, MAP_READ | MAP_WRITE);
    }
}

void verbs_dereg(Node *n, unsigned which)
{
    EfaDeregMrCmd cmd = CMD(EfaDeregMrCmd, EFA_ADMIN_DEREG_MR,
                            .l_key = n->mr[which].key);

    host_admin_ok(n, &cmd, NULL, 0);
    n->mr[which].lost_at = n->w->now;
    host_deny(n, n->mr[which].offset, n->mr[which].size,
              MAP_READ | MAP_WRITE);
}

static void verbs_attributes(Node *n)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = EFA_ADMIN_DEVICE_ATTR);
    EfaDeviceAttr attr = { };

    host_admin_ok(n, &cmd, &attr, sizeof(attr));
    n->caps = attr.device_caps;
}

bool verbs_can(const Node *n, uint8_t op)
{
    switch (op) {
    case EFA_IO_RDMA_READ:
        return FIELD_EX32(n->caps, DEVICE_CAPS, RDMA_READ);
    case EFA_IO_RDMA_WRITE:
        return FIELD_EX32(n->caps, DEVICE_CAPS, RDMA_WRITE);
    default:
        return op == EFA_IO_SEND;
    }
}

bool verbs_has_rdma(const Node *n)
{
    return n->w->layout.num_big && (verbs_can(n, EFA_IO_RDMA_READ) ||
                                    verbs_can(n, EFA_IO_RDMA_WRITE));
}

bool verbs_has_counters(const Node *n)
{
    return FIELD_EX32(n->caps, DEVICE_CAPS, EVENT_COUNTERS);
}

static void verbs_create_counters(Node *n)
{
    uint32_t at = n->w->layout.counters;
    unsigned i;

    host_allow(n, at, NUM_COUNTERS * sizeof(uint64_t), MAP_WRITE);
    for (i = 0; i < NUM_COUNTERS; i++) {
        EfaCreateEventCounterCmd cmd =
            CMD(EfaCreateEventCounterCmd, EFA_ADMIN_CREATE_EVENT_COUNTER,
                .uar = n->uar, .paddr = host_dma(at) + i * sizeof(uint64_t));
        EfaEventCounterResp resp = { };

        host_admin_ok(n, &cmd, &resp, sizeof(resp));
        n->counter[i] = resp.cntr_handle;
    }
}

static void verbs_attach_counters(SimQp *qp)
{
    static const uint32_t events[] = {
#define X(_name, _a, _b, _c) \
        [COUNT_##_name] = R_##_a##_MASK | R_##_b##_MASK | R_##_c##_MASK,
        SIM_COUNTERS(X)
#undef X
    };
    unsigned i;

    for (i = 0; i < NUM_COUNTERS; i++) {
        EfaAttachEventCounterCmd cmd =
            CMD(EfaAttachEventCounterCmd, EFA_ADMIN_ATTACH_EVENT_COUNTER,
                .cntr_handle = qp->node->counter[i],
                .qp_handle = qp->handle, .events = events[i]);

        host_admin_ok(qp->node, &cmd, NULL, 0);
    }
}

uint64_t verbs_counter(Node *n, unsigned which)
{
    uint64_t value;

    memcpy(&value, host_ptr(n, n->w->layout.counters +
                            which * sizeof(value)), sizeof(value));
    return value;
}

void verbs_open(Node *n)
{
    const Layout *l = &n->w->layout;
    uint32_t queues = n->w->plan.num_qps * n->w->plan.depth;
    EfaAqEntry pd = { .common = { .opcode = EFA_ADMIN_ALLOC_PD } };
    EfaAqEntry uar = { .common = { .opcode = EFA_ADMIN_ALLOC_UAR } };
    EfaIdResp id = { };
    unsigned i;

    verbs_attributes(n);
    host_admin_ok(n, &pd, &id, sizeof(id));
    n->pd = id.id;
    host_admin_ok(n, &uar, &id, sizeof(id));
    n->uar = id.id;
    verbs_cq(n, &n->scq, l->scq);
    verbs_cq(n, &n->rcq, l->rcq);
    n->mr[MR_TX] = (SimMr) { 0, l->tx, queues * l->tx_stride, INT64_MIN };
    n->mr[MR_RX] = (SimMr) { 0, l->rx, queues * l->rx_stride, INT64_MIN };
    n->mr[MR_BIG] = (SimMr) { 0, l->big, l->num_big * l->big_stride,
                              INT64_MIN };
    n->mr[MR_WIN] = (SimMr) { 0, l->win, l->num_big * l->big_stride,
                              INT64_MIN };
    for (i = 0; i < (verbs_has_rdma(n) ? NUM_MRS : MR_BIG); i++) {
        verbs_mr(n, i);
    }
    if (verbs_has_counters(n)) {
        verbs_create_counters(n);
    }
}

void verbs_ah(Node *n, unsigned peer)
{
    SimPeer *p = &n->peers[peer];
    EfaGid gid = sim_gid(p->node->index);
    EfaCreateAhCmd cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH,
                             .pd = n->pd);
    EfaIdResp resp = { };

    memcpy(cmd.dest_addr, gid.raw, sizeof(cmd.dest_addr));
    host_admin_ok(n, &cmd, &resp, sizeof(resp));
    p->ah = resp.id;
    p->have = true;
    p->made_at = n->w->now;
}

void verbs_destroy_ah(Node *n, unsigned peer)
{
    SimPeer *p = &n->peers[peer];
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_DESTROY_AH, .id = p->ah,
                       .reserved = n->pd);

    p->have = false;
    p->lost_at = n->w->now;
    host_admin_ok(n, &cmd, NULL, 0);
}

/* ---- queue pairs ---- */

static void verbs_modify(SimQp *qp, EfaQpState state, uint32_t mask)
{
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
                             .modify_mask = mask |
                                 R_MODIFY_QP_MASK_QP_STATE_MASK,
                             .qp_handle = qp->handle, .qp_state = state,
                             .qkey = qp->qkey, .rnr_retry = qp->rnr_retry);

    host_admin_ok(qp->node, &cmd, NULL, 0);
}

static void verbs_create_qp(SimQp *qp)
{
    Node *n = qp->node;
    unsigned depth = n->w->plan.depth;
    EfaCreateQpCmd cmd = CMD(EfaCreateQpCmd, EFA_ADMIN_CREATE_QP,
        .pd = n->pd, .qp_type = qp->type,
        .flags = qp->unsolicited
                 ? R_CREATE_QP_FLAGS_UNSOLICITED_WRITE_RECV_MASK : 0,
        .rq_base_addr = host_dma(qp->rq_ring),
        .send_cq_idx = n->scq.idx, .recv_cq_idx = n->rcq.idx,
        .send_queue_ring_size = depth * n->w->plan.wqe_size,
        .send_queue_depth = depth,
        .recv_queue_ring_size = qp->rq_descs * EFA_IO_RX_DESC_SIZE,
        .recv_queue_depth = depth, .uar = n->uar);
    EfaCreateQpResp resp = { };

    host_admin_ok(n, &cmd, &resp, sizeof(resp));
    qp->handle = resp.qp_handle;
    qp->num = resp.qp_num;
    qp->send_sub = resp.send_sub_cq_idx;
    qp->recv_sub = resp.recv_sub_cq_idx;
    qp->sq_db = resp.sq_db_offset;
    qp->rq_db = resp.rq_db_offset;
    qp->llq = resp.llq_descriptors_offset;
}

SimQp *verbs_qp(Node *n, unsigned slot)
{
    World *w = n->w;
    const Plan *p = &w->plan;
    SimQp *qp = g_new0(SimQp, 1);
    uint32_t to_rts = R_MODIFY_QP_MASK_SQ_PSN_MASK;

    qp->node = n;
    qp->life = n->life;
    qp->slot = slot;
    qp->type = slot && slot == p->num_qps - 1 ? EFA_QP_TYPE_UD
                                              : EFA_QP_TYPE_SRD;
    /* bit 31 would mean the sender's own key */
    qp->qkey = rng_next(&w->rng) & 0x7fffffff;
    qp->rq_ring = w->layout.rq[slot];
    qp->rq_descs = 2 * p->depth;
    qp->sent = g_new0(SimMsg *, p->depth);
    qp->recv = g_new0(SimRecv, p->depth);
    qp->least_capacity = UINT32_MAX;
    qp->empty_at = w->now;
    qp->rnr_retry = 7;
    qp->next = w->all_qps;
    w->all_qps = qp;
    if (qp->type == EFA_QP_TYPE_SRD && p->finite_rnr &&
        FIELD_EX32(n->caps, DEVICE_CAPS, RNR_RETRY)) {
        qp->rnr_retry = rng_below(&w->rng, 8);
        to_rts |= R_MODIFY_QP_MASK_RNR_RETRY_MASK;
    }
    if (!FIELD_EX32(n->caps, DEVICE_CAPS, RNR_RETRY)) {
        qp->rnr_retry = 0;
    }
    qp->unsolicited = p->unsolicited && qp->type == EFA_QP_TYPE_SRD &&
                      FIELD_EX32(n->caps, DEVICE_CAPS,
                                 UNSOLICITED_WRITE_RECV) &&
                      rng_percent(&w->rng, 50);
    host_allow(n, qp->rq_ring, qp->rq_descs * EFA_IO_RX_DESC_SIZE, MAP_READ);
    verbs_create_qp(qp);
    if (verbs_has_counters(n)) {
        verbs_attach_counters(qp);
    }
    verbs_modify(qp, EFA_QP_STATE_INIT, R_MODIFY_QP_MASK_QKEY_MASK);
    verbs_modify(qp, EFA_QP_STATE_RTR, 0);
    verbs_modify(qp, EFA_QP_STATE_RTS, to_rts);
    n->qps[slot] = qp;
    return qp;
}

/* What is outstanding may now end as flushed. */
static void verbs_expect_flush(SimQp *qp)
{
    unsigned i;

    for (i = 0; i < qp->node->w->plan.depth; i++) {
        if (qp->sent[i]) {
            qp->sent[i]->expect |= 1u << EFA_IO_COMP_STATUS_FLUSHED;
        }
    }
}

void verbs_qp_error(SimQp *qp)
{
    qp->closed = true;
    verbs_expect_flush(qp);
    verbs_modify(qp, EFA_QP_STATE_ERR, 0);
    node_poll(qp->node);
}

/* The device has no part in its buffers any more. */
static void verbs_abandon(SimQp *qp)
{
    unsigned i;

    qp->closed = true;
    qp->gone = true;
    for (i = 0; i < qp->node->w->plan.depth; i++) {
        host_deny(qp->node, rx_buf(qp, i), qp->node->w->layout.rx_stride,
                  MAP_WRITE);
        memset(host_ptr(qp->node, rx_buf(qp, i)), 0,
               qp->recv_mask >> i & 1 ? qp->recv[i].capacity : 0);
        if (qp->sent[i]) {
            check_drop(qp->sent[i]);
        }
    }
    qp->sent_mask = 0;
    qp->recv_mask = 0;
}

void verbs_destroy_qp(SimQp *qp, bool reset)
{
    Node *n = qp->node;
    EfaQpHandleCmd cmd = CMD(EfaQpHandleCmd, EFA_ADMIN_DESTROY_QP,
                             .qp_handle = qp->handle);

    node_poll(n);
    qp->closed = true;
    verbs_expect_flush(qp);
    if (reset) {
        verbs_modify(qp, EFA_QP_STATE_RESET, 0);
        node_poll(n);
        verbs_abandon(qp);
    }
    host_admin_ok(n, &cmd, NULL, 0);
    /* what came before the answer is tolerated, nothing after it */
    node_poll(n);
    if (!reset) {
        verbs_abandon(qp);
    }
    n->qps[qp->slot] = NULL;
}

void verbs_forget(Node *n)
{
    unsigned i;

    for (i = 0; i < n->w->plan.num_qps; i++) {
        if (n->qps[i]) {
            verbs_abandon(n->qps[i]);
            n->qps[i] = NULL;
        }
    }
    for (i = 0; i < n->w->plan.peers; i++) {
        n->peers[i].have = false;
        n->peers[i].lost_at = n->w->now;
        n->peers[i].known_life = 0;
    }
    n->big_mask = 0;
    n->win_mask = 0;
    n->handles_lost = 0;
}

/* ---- work requests and completions ---- */

void verbs_post_send(SimQp *qp, const EfaIoTxWqe *wqe)
{
    unsigned depth = qp->node->w->plan.depth;
    uint32_t size = qp->node->w->plan.wqe_size;
    EfaIoTxMeta *slot = (EfaIoTxMeta *)(qp->node->llq + qp->llq +
                                        qp->sq_pc % depth * size);

    memcpy(slot, wqe, size);
    slot->ctrl2 |= qp->sq_pc / depth & 1;
    qp->sq_pc++;
}

static void verbs_put_desc(SimQp *qp, uint16_t req_id, uint32_t offset,
                           uint16_t len, uint32_t key, bool first, bool last)
{
    EfaIoRxDesc *slot = (EfaIoRxDesc *)host_ptr(qp->node, qp->rq_ring) +
                        qp->rq_pc++ % qp->rq_descs;
    uint64_t addr = host_iova(offset);

    *slot = (EfaIoRxDesc) {
        .buf_addr_lo = addr, .buf_addr_hi = addr >> 32, .req_id = req_id,
        .length = len,
        .lkey_ctrl = key | (uint32_t)first << 30 | (uint32_t)last << 31,
    };
}

void verbs_post_recv(SimQp *qp, unsigned index, uint32_t capacity, bool bad,
                     unsigned pieces)
{
    Node *n = qp->node;
    SimRecv *r = &qp->recv[index];
    /* a region that the device may not write, instead of an unknown one */
    uint32_t key = n->mr[bad ? MR_TX : MR_RX].key;
    uint32_t offset = rx_buf(qp, index), split = capacity / 3;

    r->req_id = index | rng_next(&n->w->rng) << 6;
    r->capacity = capacity;
    r->bad = bad;
    if (!qp->recv_mask) {
        qp->empty_at = n->w->now;
    }
    qp->recv_mask |= 1ull << index;
    qp->rx_bad |= bad;
    qp->least_capacity = MIN(qp->least_capacity, capacity);
    if (!bad) {
        host_allow(n, offset, capacity, MAP_WRITE);
    }
    if (pieces == 1) {
        verbs_put_desc(qp, r->req_id, offset, capacity, key, true, true);
    } else {
        verbs_put_desc(qp, r->req_id, offset, split, key, true, false);
        verbs_put_desc(qp, r->req_id, offset + split, capacity - split, key,
                       false, true);
    }
}

void verbs_ring(SimQp *qp)
{
    if (qp->rq_rung != qp->rq_pc) {
        qp->rq_rung = qp->rq_pc;
        host_doorbell(qp->node, qp->rq_db, qp->rq_pc);
    }
    if (qp->sq_rung != qp->sq_pc) {
        qp->sq_rung = qp->sq_pc;
        host_doorbell(qp->node, qp->sq_db, qp->sq_pc);
    }
}

static bool verbs_poll_ring(Node *n, SimCq *cq, unsigned sub, EfaIoCdesc *out)
{
    uint32_t *cons = &cq->cons[sub];
    const EfaIoCdesc *slot = (EfaIoCdesc *)host_ptr(n, cq->ring) +
                             sub * cq->depth + (*cons & (cq->depth - 1));

    if ((slot->flags & 1) != !(*cons / cq->depth & 1)) {
        return false;
    }
    *out = *slot;
    (*cons)++;
    return true;
}

/* As the provider: on from the ring behind the last that had something. */
bool verbs_poll(Node *n, SimCq *cq, EfaIoCdesc *out)
{
    unsigned i;

    for (i = 1; i <= cq->subs; i++) {
        unsigned sub = (cq->last_sub + i) % cq->subs;

        if (verbs_poll_ring(n, cq, sub, out)) {
            cq->last_sub = sub;
            return true;
        }
    }
    return false;
}

uint64_t verbs_stat(Node *n, EfaStatsType type, unsigned index)
{
    EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                             .type = type);
    uint64_t values[7] = { };

    host_admin_ok(n, &cmd, values, sizeof(values));
    return values[index];
}
