/*
 * Unit tests: objects that go away while work with them is under way
 *
 * Data path specification, 7.6; control path specification, 5.4, 5.6 and 5.8.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

#define MS          EFA_NSEC_PER_MSEC
#define BUF_SIZE    (256u << 10)
#define MTU         1024u

/* Two devices; a is the requester. */
static Pair pair_new(EfaQpType type)
{
    EfaConfig a = test_config(1), b = test_config(2);
    Pair p;

    a.mtu = b.mtu = MTU;
    p = pair_of(&a, &b, type);
    pair_meet(&p);
    pair_reg(&p, BUF_SIZE, PERM_REMOTE_WRITE | PERM_REMOTE_READ);
    return p;
}

/* How far a request is. */
typedef enum Stage {
    LATCHED,                    /* announced in SQD, not looked at */
    WAITING,                    /* no room on the link */
    SENT,                       /* on the wire, not answered */
    REFUSED,                    /* sends: to be tried again, no buffer */
    NUM_STAGES
} Stage;

static const char *const stage_names[] = {
    "latched", "waiting", "sent", "refused",
};

typedef enum Work {
    SEND,
    WRITE,
    READ,
    NUM_WORKS
} Work;

static EfaIoTxWqe work_wqe(const Pair *p, Work work, uint16_t req)
{
    EfaIoTxWqe wqe;

    if (work != SEND) {
        return wqe_rdma(work == READ ? EFA_IO_RDMA_READ : EFA_IO_RDMA_WRITE,
                        req, p->ah, p->b->qp->num, &p->local, &p->remote,
                        100 * MTU);
    }
    wqe = wqe_send(req, p->ah, p->b->qp->num);
    wqe_sge(&wqe, &p->local, 0, 1000);
    return wqe;
}

/* Bring one request of @work as far as @stage; false: it never gets there. */
static bool bring_to(Pair *p, Work work, Stage stage, uint16_t req)
{
    EfaIoTxWqe wqe = work_wqe(p, work, req);

    if (stage == REFUSED && work != SEND) {
        return false;
    }
    if (stage == LATCHED) {
        g_assert_cmpuint(qp_to(p->a->qp, EFA_QP_STATE_SQD), ==, 0);
    }
    wire_auto(p->w, stage == REFUSED);
    wire_room(p->w, stage == WAITING ? 0 : -1);
    sq_post(p->a->qp, &wqe);
    assert_cq_empty(p->a->scq);
    if (stage == SENT && work != SEND) {
        /* half-way */
        wire_deliver(p->w, wire_take(p->w, 0));
    }
    return true;
}

/* Whatever held it up is over. */
static void go_on(Pair *p, Stage stage)
{
    if (stage == LATCHED) {
        g_assert_cmpuint(qp_to(p->a->qp, EFA_QP_STATE_RTS), ==, 0);
    }
    wire_room(p->w, -1);
    wire_auto(p->w, true);
    settle();
    advance(1000 * MS);
}

/* The link is up, and one knows of the other's life. */
static void say_hello(Pair *p)
{
    EfaIoTxWqe wqe = wqe_send(1, p->ah, p->b->qp->num);

    rq_post(p->b->qp, 1, &p->b->rx, 0, MTU);
    sq_post(p->a->qp, &wqe);
    g_assert_cmpuint(cq_next(p->a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p->b->rcq).status, ==, 0);
}

/* ---- address handles ---- */

static void check_ah(Work work, Stage stage)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    uint16_t other, req = 0x4000 | stage << 4 | work;
    EfaIoTxWqe wqe;
    EfaIoCdesc e;

    say_hello(&p);
    other = create_ah_ok(p.a->h, p.a->pd, test_gid(1));
    if (bring_to(&p, work, stage, req)) {
        /* a neighbour that does not use it, to oneself */
        rq_post(p.a->qp, 5, &p.a->rx, 0, MTU);
        wqe = wqe_send(77, other, p.a->qp->num);
        sq_post(p.a->qp, &wqe);
        settle();
        g_assert_cmpuint(destroy_ah(p.a->h, p.a->pd, p.ah), ==, 0);
        /* with the answer, not later */
        while (cq_poll(p.a->scq, &e) && e.req_id == 77) {
            g_assert_cmpuint(e.status, ==, 0);
        }
        if (e.req_id != req || e.status != 1) {
            g_error("%s, work %u: request 0x%x has status %u",
                    stage_names[stage], work, e.req_id, e.status);
        }
        go_on(&p, stage);
        while (cq_poll(p.a->scq, &e)) {
            g_assert_cmpuint(e.req_id, ==, 77);
            g_assert_cmpuint(e.status, ==, 0);
        }
        g_assert_cmpuint(cq_next(p.a->rcq).status, ==, 0);
        g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
    }
    pair_free(&p);
}

static void test_ah(void)
{
    unsigned work, stage;

    for (work = 0; work < NUM_WORKS; work++) {
        for (stage = 0; stage < NUM_STAGES; stage++) {
            check_ah(work, stage);
        }
    }
}

/* Kernel's requests name no handle: number 0 in them means nothing. */
static void test_ah_and_fast_reg(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(2));
    EfaAllocMrCmd cmd = CMD(EfaAllocMrCmd, EFA_ADMIN_ALLOC_MR, .pd = e->pd,
                            .max_pages = 1);
    EfaIoTxWqe wqe = wqe_send(3, 0, 0);
    EfaAllocMrResp resp;
    EfaIoCdesc c;

    g_assert_cmpuint(ah, ==, 0);
    admin_ok(h, &cmd, &resp, sizeof(resp));
    wqe.meta.ctrl1 |= EFA_IO_FAST_REG;
    wqe.fast_reg = (EfaIoFastReg) {
        .lkey = resp.l_key, .flags = 12, .mr_length = HOST_PAGE,
        .pbl = HOST_DMA_BASE,
    };
    g_assert_cmpuint(qp_to(e->qp, EFA_QP_STATE_SQD), ==, 0);
    sq_post(e->qp, &wqe);
    g_assert_cmpuint(destroy_ah(h, e->pd, ah), ==, 0);
    assert_cq_empty(e->scq);
    g_assert_cmpuint(qp_to(e->qp, EFA_QP_STATE_RTS), ==, 0);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 3);
    g_assert_cmpuint(c.status, ==, 0);
    hosts_free();
}

/* A number in another PD's request names no handle, then or later. */
static void test_ah_of_another(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD), *other;
    uint16_t ah = create_ah_ok(h, e->pd, test_gid(2));
    EfaIoTxWqe wqe = wqe_send(3, ah, 1);

    other = end_new(h, EFA_QP_TYPE_SRD);
    g_assert_cmpuint(qp_to(other->qp, EFA_QP_STATE_SQD), ==, 0);
    sq_post(other->qp, &wqe);
    g_assert_cmpuint(destroy_ah(h, e->pd, ah), ==, 0);
    assert_cq_empty(other->scq);
    g_assert_cmpuint(qp_to(other->qp, EFA_QP_STATE_RTS), ==, 0);
    g_assert_cmpuint(cq_next(other->scq).status, ==, 4);
    hosts_free();
}

/* Datagrams that found no room: flushed with their handle, or their QP. */
static void test_datagrams(void)
{
    unsigned how;

    for (how = 0; how < 3; how++) {
        Pair p = pair_new(EFA_QP_TYPE_UD);
        EfaIoTxWqe wqe = wqe_send(9, p.ah, p.b->qp->num);

        sq_post(p.a->qp, &wqe);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        wire_room(p.w, 0);
        sq_post(p.a->qp, &wqe);
        assert_cq_empty(p.a->scq);
        if (how == 0) {
            g_assert_cmpuint(destroy_ah(p.a->h, p.a->pd, p.ah), ==, 0);
        } else if (how == 1) {
            g_assert_cmpuint(qp_to(p.a->qp, EFA_QP_STATE_ERR), ==, 0);
        } else {
            g_assert_cmpuint(qp_destroy(p.a->qp), ==, 0);
        }
        if (how < 2) {
            g_assert_cmpuint(cq_next(p.a->scq).status, ==, 1);
        }
        rq_post(p.b->qp, 1, &p.b->rx, 0, MTU);
        go_on(&p, WAITING);
        assert_cq_empty(p.a->scq);
        assert_cq_empty(p.b->rcq);
        pair_free(&p);
    }
}

/* The responder's handle for us goes half-way: then we are a stranger (14). */
static void test_ah_of_responder(void)
{
    unsigned work;

    for (work = WRITE; work <= READ; work++) {
        Pair p = pair_new(EFA_QP_TYPE_SRD);

        say_hello(&p);
        bring_to(&p, work, SENT, 3);
        g_assert_cmpuint(destroy_ah(p.b->h, p.b->pd, p.back), ==, 0);
        go_on(&p, SENT);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 14);
        assert_cq_empty(p.a->scq);
        pair_free(&p);
    }
}

/* ---- queue pairs ---- */

/*
 * More is announced at once than a doorbell may start: the queue pair waits
 * for its next turn when it goes, or stops.
 */
static void test_waiting_turn(void)
{
    unsigned how;

    for (how = 0; how < 3; how++) {
        Pair p = pair_new(EFA_QP_TYPE_UD);
        Host *h = p.a->h;
        Qp *qp = create_qp_ok(h, p.a->pd, p.a->uar, EFA_QP_TYPE_UD, p.a->scq,
                              p.a->rcq, 128, 0);
        EfaIoTxWqe wqe = wqe_send(1, p.ah, p.b->qp->num);
        unsigned sent = 0, i;
        EfaIoCdesc e;

        sq_post(p.a->qp, &wqe);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        qp_to_rts(qp);
        for (i = 0; i < 128; i++) {
            sq_put(qp, &wqe);
        }
        sq_ring(qp);
        while (cq_poll(p.a->scq, &e)) {
            sent++;
        }
        g_assert_cmpuint(sent, >, 0);
        g_assert_cmpuint(sent, <, 128);
        g_assert_cmpuint(how == 0 ? qp_destroy(qp)
                         : qp_to(qp, how == 1 ? EFA_QP_STATE_RESET
                                              : EFA_QP_STATE_ERR), ==, 0);
        for (i = sent; how == 2 && i < 128; i++) {
            g_assert_cmpuint(cq_next(p.a->scq).status, ==, 1);
        }
        assert_cq_empty(p.a->scq);
        sq_post(p.a->qp, &wqe);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
        pair_free(&p);
    }
}

static void check_responder(Work work, Stage stage, EfaQpState state)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    uint16_t num = p.b->qp->num;
    EfaIoCdesc e;
    Qp *heir;

    say_hello(&p);
    if (bring_to(&p, work, stage, 3)) {
        if (state == EFA_QP_STATE_MAX) {
            g_assert_cmpuint(qp_destroy(p.b->qp), ==, 0);
        } else {
            g_assert_cmpuint(qp_to(p.b->qp, state), ==, 0);
        }
        /* one that would take it, if it were for it */
        heir = create_qp_ok(p.b->h, p.b->pd, p.b->uar, EFA_QP_TYPE_SRD,
                            p.b->scq, p.b->rcq, 16, 16);
        g_assert_cmphex(heir->num, !=, num);
        qp_to_rts(heir);
        rq_post(heir, 1, &p.b->rx, 0, MTU);
        go_on(&p, stage);
        e = cq_next(p.a->scq);
        if (e.status != 9) {
            g_error("%s, work %u, state %u: status %u", stage_names[stage],
                    work, state, e.status);
        }
        assert_cq_empty(p.a->scq);
        assert_cq_empty(p.b->rcq);
        g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
    }
    pair_free(&p);
}

static void test_responder(void)
{
    static const EfaQpState states[] = {
        EFA_QP_STATE_RESET, EFA_QP_STATE_ERR, EFA_QP_STATE_MAX
    };
    unsigned work, stage, i;

    for (work = 0; work < NUM_WORKS; work++) {
        for (stage = 0; stage < NUM_STAGES; stage++) {
            for (i = 0; i < G_N_ELEMENTS(states); i++) {
                check_responder(work, stage, states[i]);
            }
        }
    }
}

/* 7.5: RDMA is served by a QP that only receives, or drains. */
static void test_rdma_states(void)
{
    static const EfaQpState states[] = {
        EFA_QP_STATE_RTR, EFA_QP_STATE_RTS, EFA_QP_STATE_SQD,
    };
    unsigned work, i;

    for (work = 0; work < NUM_WORKS; work++) {
        for (i = 0; i < G_N_ELEMENTS(states); i++) {
            Pair p = pair_new(EFA_QP_TYPE_SRD);
            EfaIoTxWqe wqe = work_wqe(&p, work, 1);

            g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_RESET), ==, 0);
            g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_INIT), ==, 0);
            while (qp_query(p.b->qp).qp_state != states[i]) {
                g_assert_cmpuint(qp_to(p.b->qp,
                                       qp_query(p.b->qp).qp_state + 1), ==,
                                 0);
            }
            rq_post(p.b->qp, 1, &p.b->rx, 0, MTU);
            sq_post(p.a->qp, &wqe);
            g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
            pair_free(&p);
        }
    }
}

/* ---- regions ---- */

/* No access to @buf since. */
static void guard(Host *h, const Buf *buf)
{
    g_assert_cmpuint(dereg(h, buf->key), ==, 0);
    host_fault(h, FAULT_READ | FAULT_WRITE, buf->dma, buf->len);
}

static void check_local(Work work, Stage stage)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoCdesc e;

    say_hello(&p);
    if (bring_to(&p, work, stage, 3)) {
        if (stage == SENT && work == SEND) {
            /* lost: it has to be read again */
            wire_drop_all(p.w);
        }
        guard(p.a->h, &p.local);
        rq_post(p.b->qp, 1, &p.b->rx, 0, MTU);
        go_on(&p, stage);
        e = cq_next(p.a->scq);
        if (e.status != 5 || p.a->h->fault_hits) {
            g_error("%s, work %u: status %u, %u accesses", stage_names[stage],
                    work, e.status, p.a->h->fault_hits);
        }
        assert_cq_empty(p.a->scq);
        assert_cq_empty(p.b->rcq);
    }
    pair_free(&p);
}

/* The requester's region: 5, whatever the request has come to. */
static void test_dereg_local(void)
{
    unsigned work, stage;

    for (work = 0; work < NUM_WORKS; work++) {
        for (stage = 0; stage < NUM_STAGES; stage++) {
            check_local(work, stage);
        }
    }
}

/* The responder's: 7, or 12 and 5 for a receive buffer. */
static void test_dereg_remote(void)
{
    unsigned work, stage;

    for (work = 0; work < NUM_WORKS; work++) {
        for (stage = 0; stage < REFUSED; stage++) {
            Pair p = pair_new(EFA_QP_TYPE_SRD);
            EfaIoCdesc e;

            say_hello(&p);
            bring_to(&p, work, stage, 3);
            rq_post(p.b->qp, 4, &p.b->rx, 0, MTU);
            guard(p.b->h, work == SEND ? &p.b->rx : &p.remote);
            go_on(&p, stage);
            e = cq_next(p.a->scq);
            if (e.status != (work == SEND ? 12 : 7) || p.b->h->fault_hits) {
                g_error("%s, work %u: status %u, %u accesses",
                        stage_names[stage], work, e.status,
                        p.b->h->fault_hits);
            }
            if (work == SEND) {
                g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 5);
            }
            assert_cq_empty(p.b->rcq);
            pair_free(&p);
        }
    }
}

/* Reads that wait for room to be answered read nothing any more. */
static void test_dereg_read_job(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = work_wqe(&p, READ, 1);

    say_hello(&p);
    wire_auto(p.w, false);
    sq_post(p.a->qp, &wqe);
    settle();
    wire_room(p.w, 0);
    while (wire_count(p.w)) {
        wire_deliver(p.w, wire_take(p.w, 0));
    }
    guard(p.b->h, &p.remote);
    go_on(&p, WAITING);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 7);
    g_assert_cmpuint(p.b->h->fault_hits, ==, 0);
    pair_free(&p);
}

/* 13.3, 13.4: pages that are there no more, on either side. */
static void test_page_faults(void)
{
    static const struct {
        Work work;
        bool remote;
        uint8_t status;
    } rows[] = {
        { SEND, false, 5 }, { WRITE, false, 5 }, { READ, false, 5 },
        { SEND, true, 12 }, { WRITE, true, 7 }, { READ, true, 7 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Pair p = pair_new(EFA_QP_TYPE_SRD);
        EfaIoTxWqe wqe = work_wqe(&p, rows[i].work, 1);
        Host *h = rows[i].remote ? p.b->h : p.a->h;
        Buf *buf = !rows[i].remote ? &p.local
                   : rows[i].work == SEND ? &p.b->rx : &p.remote;

        say_hello(&p);
        rq_post(p.b->qp, 4, &p.b->rx, 0, MTU);
        host_fault(h, FAULT_READ | FAULT_WRITE, buf->dma, buf->len);
        sq_post(p.a->qp, &wqe);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, rows[i].status);
        assert_cq_empty(p.a->scq);
        if (rows[i].status == 12) {
            g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 5);
        }
        host_fault(h, 0, 0, 0);
        g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
        g_assert_cmpuint(qp_query(p.b->qp).qp_state, ==, EFA_QP_STATE_RTS);
        say_hello(&p);
        pair_free(&p);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/in-flight/ah", test_ah);
    g_test_add_func("/in-flight/ah-and-fast-reg", test_ah_and_fast_reg);
    g_test_add_func("/in-flight/ah-of-another", test_ah_of_another);
    g_test_add_func("/in-flight/datagrams", test_datagrams);
    g_test_add_func("/in-flight/ah-of-responder", test_ah_of_responder);
    g_test_add_func("/in-flight/waiting-turn", test_waiting_turn);
    g_test_add_func("/in-flight/responder", test_responder);
    g_test_add_func("/in-flight/rdma-states", test_rdma_states);
    g_test_add_func("/in-flight/dereg-local", test_dereg_local);
    g_test_add_func("/in-flight/dereg-remote", test_dereg_remote);
    g_test_add_func("/in-flight/dereg-read-job", test_dereg_read_job);
    g_test_add_func("/in-flight/page-faults", test_page_faults);
    return g_test_run();
}
