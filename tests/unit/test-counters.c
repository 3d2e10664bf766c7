/*
 * Unit tests: event counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"
#include "efa-srd.h"

enum {
    SEND = R_QP_EVENTS_SEND_COMP_MASK,
    SEND_ERR = R_QP_EVENTS_SEND_COMP_ERR_MASK,
    RECV = R_QP_EVENTS_RECV_COMP_MASK,
    RECV_ERR = R_QP_EVENTS_RECV_COMP_ERR_MASK,
    READ = R_QP_EVENTS_READ_COMP_MASK,
    READ_ERR = R_QP_EVENTS_READ_COMP_ERR_MASK,
    WRITE = R_QP_EVENTS_WRITE_COMP_MASK,
    WRITE_ERR = R_QP_EVENTS_WRITE_COMP_ERR_MASK,
    REMOTE_READ = R_QP_EVENTS_REMOTE_READ_COMP_MASK,
    REMOTE_WRITE = R_QP_EVENTS_REMOTE_WRITE_COMP_MASK,
};

#define MTU     256
#define LEN     65536

static Pair pair_new_cfg(const EfaConfig *base)
{
    EfaConfig a = *base, b;
    Pair p;

    a.mtu = MTU;
    b = a;
    b.gid = test_gid(2);
    p = pair_of(&a, &b, EFA_QP_TYPE_SRD);
    pair_meet(&p);
    pair_reg(&p, LEN, PERM_REMOTE_READ | PERM_REMOTE_WRITE);
    g_assert_cmpuint(qp_modify(p.a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0,
                               0), ==, 0);
    return p;
}

static Pair pair_new(void)
{
    EfaConfig cfg = test_config_of(1, 3);

    return pair_new_cfg(&cfg);
}

/* ---- counters as a driver has them ---- */

typedef struct Counter {
    Host *h;
    uint32_t handle;
    const uint64_t *value;
} Counter;

static EfaCreateEventCounterCmd create_cmd(Host *h, uint16_t uar)
{
    return CMD(EfaCreateEventCounterCmd, EFA_ADMIN_CREATE_EVENT_COUNTER,
               .uar = uar, .paddr = host_alloc(h, 8, 8));
}

static Counter create(Host *h, uint16_t uar)
{
    EfaCreateEventCounterCmd cmd = create_cmd(h, uar);
    uint64_t *value = host_ptr(h, cmd.paddr);
    EfaEventCounterResp resp;

    *value = 77;
    admin_ok(h, &cmd, &resp, sizeof(resp));
    g_assert_cmpuint(*value, ==, 0);
    return (Counter) { h, resp.cntr_handle, value };
}

static uint8_t attach_op(const Counter *c, uint8_t opcode, uint32_t qp,
                         uint32_t events)
{
    EfaAttachEventCounterCmd cmd = CMD(EfaAttachEventCounterCmd, opcode,
                                       .cntr_handle = c->handle,
                                       .qp_handle = qp, .events = events);

    return admin_status(c->h, &cmd);
}

static uint8_t attach(const Counter *c, const Qp *qp, uint32_t events)
{
    return attach_op(c, EFA_ADMIN_ATTACH_EVENT_COUNTER, qp->handle, events);
}

static uint8_t detach(const Counter *c, const Qp *qp, uint32_t events)
{
    return attach_op(c, EFA_ADMIN_DETACH_EVENT_COUNTER, qp->handle, events);
}

static uint8_t modify(const Counter *c, uint8_t operation, uint64_t value)
{
    EfaModifyEventCounterCmd cmd = CMD(EfaModifyEventCounterCmd,
                                       EFA_ADMIN_MODIFY_EVENT_COUNTER,
                                       .cntr_handle = c->handle,
                                       .operation = operation,
                                       .value = value);

    return admin_status(c->h, &cmd);
}

static uint8_t destroy(const Counter *c)
{
    EfaEventCounterCmd cmd = CMD(EfaEventCounterCmd,
                                 EFA_ADMIN_DESTROY_EVENT_COUNTER,
                                 .cntr_handle = c->handle);

    return admin_status(c->h, &cmd);
}

/* One counter a kind of event, of both ends. */
typedef struct Watch {
    Counter of[2][EFA_NUM_QP_EVENTS];
} Watch;

static Watch watch(Pair *p)
{
    End *end[] = { p->a, p->b };
    Watch w;
    unsigned i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; j < EFA_NUM_QP_EVENTS; j++) {
            w.of[i][j] = create(end[i]->h, end[i]->uar);
            g_assert_cmpuint(attach(&w.of[i][j], end[i]->qp, 1u << j), ==, 0);
        }
    }
    return w;
}

/* These events have happened once each since, and no others. */
static void happened(Watch *w, uint32_t at_a, uint32_t at_b)
{
    uint32_t want[] = { at_a, at_b };
    unsigned i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; j < EFA_NUM_QP_EVENTS; j++) {
            if (*w->of[i][j].value != (want[i] >> j & 1)) {
                g_error("event %u of end %u: %" PRIu64, j, i,
                        *w->of[i][j].value);
            }
            g_assert_cmpuint(modify(&w->of[i][j], EFA_COUNTER_SET, 0), ==, 0);
        }
    }
}

static uint8_t run(Pair *p, const EfaIoTxWqe *wqe)
{
    sq_post(p->a->qp, wqe);
    return cq_next(p->a->scq).status;
}

static EfaIoTxWqe send_wqe(const Pair *p)
{
    EfaIoTxWqe wqe = wqe_send(1, p->ah, p->b->qp->num);

    wqe_inline(&wqe, "x", 1);
    return wqe;
}

static EfaIoTxWqe rdma_wqe(const Pair *p, uint8_t op, uint32_t len)
{
    return wqe_rdma(op, 1, p->ah, p->b->qp->num, &p->local, &p->remote, len);
}

static void test_events(void)
{
    Pair p = pair_new();
    Watch w = watch(&p);
    EfaIoTxWqe wqe = send_wqe(&p);

    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    g_assert_cmpuint(run(&p, &wqe), ==, 0);
    happened(&w, SEND, RECV);

    /* no buffer, then one that cannot be written */
    g_assert_cmpuint(run(&p, &wqe), ==, 10);
    happened(&w, SEND_ERR, 0);
    rq_post(p.b->qp, 1, &p.b->tx, 0, 64);
    g_assert_cmpuint(run(&p, &wqe), ==, 12);
    happened(&w, SEND_ERR, RECV_ERR);

    wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 100);
    g_assert_cmpuint(run(&p, &wqe), ==, 0);
    happened(&w, WRITE, REMOTE_WRITE);
    wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 0);
    g_assert_cmpuint(run(&p, &wqe), ==, 0);
    happened(&w, WRITE, REMOTE_WRITE);
    wqe.rdma.remote.length = 5;
    g_assert_cmpuint(run(&p, &wqe), ==, 6);
    happened(&w, WRITE_ERR, 0);

    wqe = rdma_wqe(&p, EFA_IO_RDMA_READ, 100);
    g_assert_cmpuint(run(&p, &wqe), ==, 0);
    happened(&w, READ, REMOTE_READ);
    wqe.rdma.remote.rkey ^= 0x100;
    g_assert_cmpuint(run(&p, &wqe), ==, 7);
    happened(&w, READ_ERR, 0);

    wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 100);
    wqe_imm(&wqe, 5);
    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    g_assert_cmpuint(run(&p, &wqe), ==, 0);
    happened(&w, WRITE, REMOTE_WRITE | RECV);
    pair_free(&p);
}

/* A request without completion counts; one that is flushed is an error. */
static void test_silent_and_flushed(void)
{
    Pair p = pair_new();
    Watch w = watch(&p);
    EfaIoTxWqe wqe = send_wqe(&p);

    wqe.meta.ctrl2 &= ~R_TX_CTRL2_COMP_REQ_MASK;
    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    sq_post(p.a->qp, &wqe);
    assert_cq_empty(p.a->scq);
    happened(&w, SEND, RECV);

    wire_auto(p.w, false);
    sq_post(p.a->qp, &wqe);
    rq_post(p.a->qp, 1, &p.a->rx, 0, 64);
    g_assert_cmpuint(qp_to(p.a->qp, EFA_QP_STATE_ERR), ==, 0);
    happened(&w, SEND_ERR | RECV_ERR, 0);
    pair_free(&p);
}

/* An operation of many segments, in any order and twice, is one event. */
static void test_segments(void)
{
    static const uint8_t ops[] = { EFA_IO_RDMA_WRITE, EFA_IO_RDMA_READ };
    unsigned i, n;

    for (i = 0; i < 2; i++) {
        Pair p = pair_new();
        Watch w = watch(&p);
        EfaIoTxWqe wqe = rdma_wqe(&p, ops[i], 20 * MTU);

        wire_auto(p.w, false);
        sq_post(p.a->qp, &wqe);
        settle();
        n = wire_count(p.w);
        g_assert_cmpuint(n, >, 5);
        while (n--) {
            /* the last first */
            WirePkt *pkt = wire_take(p.w, n);

            wire_deliver(p.w, wire_dup(pkt));
            wire_deliver(p.w, pkt);
            if (n && ops[i] == EFA_IO_RDMA_WRITE) {
                g_assert_cmpuint(*w.of[1][9].value, ==, 0);
            }
        }
        wire_auto(p.w, true);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        happened(&w, i ? READ : WRITE, i ? REMOTE_READ : REMOTE_WRITE);
        pair_free(&p);
    }
}

/* Many writes at a time, their segments mixed. */
static void test_interleaved(void)
{
    Pair p = pair_new();
    Counter c = create(p.b->h, p.b->uar);
    unsigned i;

    g_assert_cmpuint(attach(&c, p.b->qp, REMOTE_WRITE), ==, 0);
    for (i = 0; i < 50; i++) {
        EfaIoTxWqe wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, (1 + i % 7) * MTU);

        sq_put(p.a->qp, &wqe);
    }
    sq_ring(p.a->qp);
    for (i = 0; i < 50; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    g_assert_cmpuint(*c.value, ==, 50);
    /* nothing is remembered of what is over */
    g_assert_cmpuint(efa_peer_get(p.b->h->core, &p.a->h->cfg.gid)->ops.length,
                     ==, 0);
    pair_free(&p);
}

/* Writes that are begun and never ended: bounded memory, and others count. */
static void test_unfinished(void)
{
    Pair p = pair_new();
    Counter c = create(p.b->h, p.b->uar);
    EfaGid ghost = test_gid(9);
    EfaPktRdma rdma = { .rkey = p.remote.key, .length = 2 * MTU,
                        .addr = p.remote.iova, .seg_length = MTU };
    uint8_t body[sizeof(rdma) + MTU] = { };
    EfaPeer *peer;
    unsigned i;

    g_assert_cmpuint(attach(&c, p.b->qp, REMOTE_WRITE), ==, 0);
    create_ah_ok(p.b->h, p.b->pd, ghost);
    wire_ghost(p.w, ghost);
    wire_raise(p.w, test_gid(2), ghost);
    peer = efa_peer_get(p.b->h->core, &ghost);
    memcpy(body, &rdma, sizeof(rdma));
    for (i = 0; i < 10000; i++) {
        WirePkt *pkt = ghost_pkt(ghost, test_gid(2), EFA_PKT_DATA, 1000);

        pkt->hdr.opcode = EFA_IO_RDMA_WRITE;
        pkt->hdr.dst_qpn = p.b->qp->num;
        pkt->hdr.psn = pkt->hdr.una = pkt->hdr.msg = i;
        pkt_payload(pkt, body, sizeof(body));
        wire_deliver(p.w, pkt);
        g_assert_cmpuint(peer->ops.length, <=, 4096);
    }
    g_assert_cmpuint(wire_drop_all(p.w), >, 0);
    g_assert_cmpuint(*c.value, ==, 0);
    {
        EfaIoTxWqe wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 3 * MTU);

        g_assert_cmpuint(run(&p, &wqe), ==, 0);
    }
    g_assert_cmpuint(*c.value, ==, 1);
    pair_free(&p);
}

/* A read is over when all of it was served, not when its end was. */
static void test_read_in_part(void)
{
    Pair p = pair_new();
    Counter c = create(p.b->h, p.b->uar);
    EfaIoTxWqe wqe = rdma_wqe(&p, EFA_IO_RDMA_READ, 8 * MTU);

    g_assert_cmpuint(attach(&c, p.b->qp, REMOTE_READ), ==, 0);
    wire_auto(p.w, false);
    sq_post(p.a->qp, &wqe);
    settle();
    wire_deliver(p.w, wire_take(p.w, wire_count(p.w) - 1));
    g_assert_cmpuint(*c.value, ==, 0);
    wire_auto(p.w, true);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(*c.value, ==, 1);
    pair_free(&p);
}

/*
 * Writes that are given up half way leave something behind, but no count of
 * one that goes on is lost for them. One that finds no buffer for its
 * immediate data at first is the same write when it does.
 */
static void test_half_writes(void)
{
    Pair p = pair_new();
    Counter c = create(p.b->h, p.b->uar);
    EfaIoTxWqe half = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 2 * MTU);
    EfaIoTxWqe whole = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 4 * MTU);
    unsigned i;

    g_assert_cmpuint(attach(&c, p.b->qp, REMOTE_WRITE), ==, 0);
    g_assert_cmpuint(qp_modify(p.a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0,
                               1), ==, 0);
    wqe_imm(&half, 5);
    sq_post(p.a->qp, &half);
    settle();
    rq_post(p.b->qp, 1, &p.b->rx, 0, 64);
    advance(20 * EFA_NSEC_PER_MSEC);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).imm, ==, 5);
    g_assert_cmpuint(*c.value, ==, 1);

    wire_auto(p.w, false);
    sq_post(p.a->qp, &whole);
    settle();
    wire_deliver(p.w, wire_take(p.w, 0));
    wire_auto(p.w, true);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(*c.value, ==, 2);

    for (i = 0; i < 4200; i++) {
        sq_post(p.a->qp, &half);
        advance(20 * EFA_NSEC_PER_MSEC);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 10);
    }
    g_assert_cmpuint(*c.value, ==, 2);
    for (i = 0; i < 50; i++) {
        sq_put(p.a->qp, &whole);
    }
    sq_ring(p.a->qp);
    for (i = 0; i < 50; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    g_assert_cmpuint(*c.value, ==, 52);
    pair_free(&p);
}

static void test_attach(void)
{
    Pair p = pair_new();
    Counter c = create(p.a->h, p.a->uar), d = create(p.a->h, p.a->uar);
    EfaIoTxWqe wqe = send_wqe(&p);
    unsigned i;

    /* two counters of one event, one counter of two events */
    g_assert_cmpuint(attach(&c, p.a->qp, SEND_ERR), ==, 0);
    g_assert_cmpuint(attach(&d, p.a->qp, SEND_ERR), ==, 0);
    g_assert_cmpuint(attach(&c, p.a->qp, WRITE_ERR), ==, 0);
    g_assert_cmpuint(run(&p, &wqe), ==, 10);
    wqe = rdma_wqe(&p, EFA_IO_RDMA_WRITE, 5);
    wqe.rdma.remote.length = 6;
    g_assert_cmpuint(run(&p, &wqe), ==, 6);
    g_assert_cmpuint(*c.value, ==, 2);
    g_assert_cmpuint(*d.value, ==, 1);

    g_assert_cmpuint(detach(&c, p.a->qp, WRITE_ERR), ==, 0);
    g_assert_cmpuint(detach(&c, p.a->qp, WRITE_ERR), ==, 5);
    g_assert_cmpuint(run(&p, &wqe), ==, 6);
    g_assert_cmpuint(*c.value, ==, 2);
    g_assert_cmpuint(detach(&c, p.a->qp, SEND_ERR), ==, 0);
    g_assert_cmpuint(detach(&c, p.a->qp, SEND_ERR), ==, 5);

    /* a QP has so many at most */
    for (i = 1; i < 32; i++) {
        Counter more = create(p.a->h, p.a->uar);

        g_assert_cmpuint(attach(&more, p.a->qp, SEND), ==, 0);
    }
    g_assert_cmpuint(attach(&c, p.a->qp, SEND), ==, 1);
    g_assert_cmpuint(qp_destroy(p.a->qp), ==, 0);
    pair_free(&p);
}

/* Destroyed while QPs count on it, and QPs destroyed while counted. */
static void test_destroy(void)
{
    Pair p = pair_new();
    Counter c = create(p.a->h, p.a->uar), d = create(p.a->h, p.a->uar);
    EfaIoTxWqe wqe = send_wqe(&p);

    g_assert_cmpuint(attach(&c, p.a->qp, SEND_ERR), ==, 0);
    g_assert_cmpuint(attach(&d, p.a->qp, SEND_ERR), ==, 0);
    g_assert_cmpuint(destroy(&c), ==, 0);
    g_assert_cmpuint(destroy(&c), ==, 5);
    g_assert_cmpuint(efa_qp_by_num(p.a->h->core, p.a->qp->num)->num_counters,
                     ==, 1);
    g_assert_cmpuint(run(&p, &wqe), ==, 10);
    g_assert_cmpuint(*c.value, ==, 0);
    g_assert_cmpuint(*d.value, ==, 1);
    g_assert_cmpuint(qp_destroy(p.a->qp), ==, 0);
    g_assert_cmpuint(detach(&d, p.a->qp, SEND_ERR), ==, 5);

    /* it keeps its UAR */
    g_assert_cmpuint(destroy(&d), ==, 0);
    d = create(p.a->h, alloc_uar_ok(p.a->h));
    g_assert_cmpuint(id_cmd(p.a->h, EFA_ADMIN_DEALLOC_UAR, p.a->uar + 1), ==,
                     7);
    g_assert_cmpuint(destroy(&d), ==, 0);
    g_assert_cmpuint(id_cmd(p.a->h, EFA_ADMIN_DEALLOC_UAR, p.a->uar + 1), ==,
                     0);
    pair_free(&p);
}

/* Sets, additions, events: after the greatest value comes 0. */
static void test_values(void)
{
    EfaConfig cfg = test_config_of(1, 3);
    unsigned i;

    for (i = 0; i < 2; i++) {
        uint64_t max = i ? UINT64_MAX : 9;
        EfaIoTxWqe wqe;
        Counter c;
        Pair p;

        cfg.event_counter_max = max;
        p = pair_new_cfg(&cfg);
        wqe = send_wqe(&p);
        c = create(p.a->h, p.a->uar);
        g_assert_cmpuint(attach(&c, p.a->qp, SEND_ERR), ==, 0);
        g_assert_cmpuint(modify(&c, EFA_COUNTER_SET, max), ==, 0);
        g_assert_cmpuint(*c.value, ==, max);
        g_assert_cmpuint(run(&p, &wqe), ==, 10);
        g_assert_cmpuint(*c.value, ==, 0);
        g_assert_cmpuint(modify(&c, EFA_COUNTER_ADD, max), ==, 0);
        g_assert_cmpuint(*c.value, ==, max);
        g_assert_cmpuint(modify(&c, EFA_COUNTER_ADD, 3), ==, 0);
        g_assert_cmpuint(*c.value, ==, 2);
        if (!i) {
            g_assert_cmpuint(modify(&c, EFA_COUNTER_SET, 10), ==, 5);
            g_assert_cmpuint(modify(&c, EFA_COUNTER_ADD, 1234567), ==, 0);
            g_assert_cmpuint(*c.value, ==, 9);
        }
        g_assert_cmpuint(modify(&c, 2, 0), ==, 5);
        pair_free(&p);
    }
}

static void test_bad_commands(void)
{
    Pair p = pair_new();
    Host *h = p.a->h;
    Counter c = create(h, p.a->uar), none = { h, 999 };
    Counter other = create(h, alloc_uar_ok(h));
    EfaCreateEventCounterCmd cmd = create_cmd(h, 99);
    EfaModifyEventCounterCmd mod = CMD(EfaModifyEventCounterCmd,
                                       EFA_ADMIN_MODIFY_EVENT_COUNTER,
                                       .cntr_handle = c.handle,
                                       .reserved = { 1 });
    EfaAttachEventCounterCmd att = CMD(EfaAttachEventCounterCmd,
                                       EFA_ADMIN_ATTACH_EVENT_COUNTER,
                                       .cntr_handle = c.handle,
                                       .qp_handle = p.a->qp->handle,
                                       .events = SEND, .attach_type = 1);
    unsigned i;

    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.uar = p.a->uar;
    cmd.paddr = 0;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.paddr = HOST_DMA_BASE + 4;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.paddr = 1ull << 48;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 5);
    cmd.paddr = HOST_DMA_BASE;
    cmd.reserved = 1;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);

    /* not to be reached, when it is made and later */
    cmd.reserved = 0;
    cmd.paddr = 1ull << 47;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 6);
    cmd.paddr = HOST_DMA_BASE;
    host_fault(h, FAULT_WRITE, HOST_DMA_BASE + ((uint8_t *)c.value - h->mem),
               8);
    g_assert_cmpuint(modify(&c, EFA_COUNTER_SET, 3), ==, 6);
    host_fault(h, 0, 0, 0);

    g_assert_cmpuint(modify(&none, EFA_COUNTER_SET, 0), ==, 5);
    g_assert_cmpuint(admin_status(h, &mod), ==, 4);
    g_assert_cmpuint(destroy(&none), ==, 5);
    g_assert_cmpuint(attach(&none, p.a->qp, SEND), ==, 5);
    g_assert_cmpuint(attach(&c, p.a->qp, 0), ==, 5);
    g_assert_cmpuint(attach(&c, p.a->qp, 1u << 10), ==, 5);
    g_assert_cmpuint(attach_op(&c, EFA_ADMIN_ATTACH_EVENT_COUNTER, 99, SEND),
                     ==, 5);
    /* of another process */
    g_assert_cmpuint(attach(&other, p.a->qp, SEND), ==, 5);
    g_assert_cmpuint(admin_status(h, &att), ==, 5);
    att.attach_type = 0;
    for (i = 0; i < 3; i++) {
        att.reserved[i] = 1;
        g_assert_cmpuint(admin_status(h, &att), ==, 4);
        att.reserved[i] = 0;
    }

    for (i = 2; i < 1024; i++) {
        create(h, p.a->uar);
    }
    g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    pair_free(&p);
}

static void test_not_offered(void)
{
    Host *h = host_new(1);
    uint8_t op;

    for (op = EFA_ADMIN_CREATE_EVENT_COUNTER;
         op <= EFA_ADMIN_DETACH_EVENT_COUNTER; op++) {
        EfaAqEntry cmd = CMD(EfaAqEntry, op);

        g_assert_cmpuint(admin_status(h, &cmd), ==, 3);
    }
    hosts_free();
}

/* A device reset ends it: nothing is written any more. */
static void test_reset(void)
{
    Pair p = pair_new();
    Counter c = create(p.b->h, p.b->uar);

    g_assert_cmpuint(attach(&c, p.b->qp, RECV), ==, 0);
    host_reset_handshake(p.b->h);
    p.b->h->dma_seen = false;
    g_assert_cmpuint(*c.value, ==, 0);
    host_probe(p.b->h);
    g_assert_cmpuint(modify(&c, EFA_COUNTER_SET, 5), ==, 5);
    g_assert_cmpuint(*c.value, ==, 0);
    pair_free(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/counters/events", test_events);
    g_test_add_func("/counters/silent-and-flushed", test_silent_and_flushed);
    g_test_add_func("/counters/segments", test_segments);
    g_test_add_func("/counters/interleaved", test_interleaved);
    g_test_add_func("/counters/read-in-part", test_read_in_part);
    g_test_add_func("/counters/half-writes", test_half_writes);
    g_test_add_func("/counters/unfinished", test_unfinished);
    g_test_add_func("/counters/attach", test_attach);
    g_test_add_func("/counters/destroy", test_destroy);
    g_test_add_func("/counters/values", test_values);
    g_test_add_func("/counters/bad-commands", test_bad_commands);
    g_test_add_func("/counters/not-offered", test_not_offered);
    g_test_add_func("/counters/reset", test_reset);
    return g_test_run();
}
