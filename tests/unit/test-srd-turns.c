/*
 * Unit tests: who sends next, when there is not room for all
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lone.h"
#include "efa-srd.h"

#define MTU     1024u
#define SIZE    (256u << 10)

/* Two devices that read from each other and write to each other. */
typedef struct Two {
    Wire *w;
    End *e[2];
    uint16_t ah[2];             /* for the other */
    Buf local[2];
    Buf remote[2];
} Two;

static Two two_new(void)
{
    Two t = { .w = wire_new() };
    unsigned i;

    for (i = 0; i < 2; i++) {
        EfaConfig cfg = test_config(i + 1);
        Host *h;

        cfg.mtu = MTU;
        h = host_new_raw(&cfg, t.w, NULL);
        host_probe(h);
        t.e[i] = end_new(h, EFA_QP_TYPE_SRD);
    }
    for (i = 0; i < 2; i++) {
        t.ah[i] = create_ah_ok(t.e[i]->h, t.e[i]->pd, test_gid(2 - i));
        t.local[i] = reg_buf(t.e[i]->h, t.e[i]->pd, SIZE, PERM_LOCAL_WRITE);
        t.remote[i] = reg_buf(t.e[i]->h, t.e[i]->pd, SIZE,
                              PERM_LOCAL_WRITE | PERM_REMOTE_WRITE |
                              PERM_REMOTE_READ);
    }
    return t;
}

static void two_free(Two *t)
{
    hosts_free();
    wire_free(t->w);
}

static void post_rdma(Two *t, unsigned from, uint8_t op, uint16_t req,
                      uint32_t len)
{
    EfaIoTxWqe wqe = wqe_rdma(op, req, t->ah[from], t->e[!from]->qp->num,
                              &t->local[from], &t->remote[!from], len);

    sq_post(t->e[from]->qp, &wqe);
}

/*
 * Both read, the first requests are lost, and the fabric is full when they
 * come again: answers need no window, so nobody waits for the other's.
 */
static void test_mutual_reads(void)
{
    Two t = two_new();
    unsigned n;

    wire_auto(t.w, false);
    post_rdma(&t, 0, EFA_IO_RDMA_READ, 1, 100 * MTU);
    post_rdma(&t, 1, EFA_IO_RDMA_READ, 2, 100 * MTU);
    settle();
    g_assert_cmpuint(wire_drop_all(t.w), >, 0);
    advance(105 * MS);
    n = wire_count(t.w);
    g_assert_cmpuint(n, >, 0);
    wire_room(t.w, 0);
    while (n--) {
        wire_deliver(t.w, wire_take(t.w, 0));
    }
    wire_auto(t.w, true);
    wire_room(t.w, -1);
    settle();
    g_assert_cmpuint(cq_next(t.e[0]->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(t.e[1]->scq).status, ==, 0);
    two_free(&t);
}

/* A peer that reads without end does not keep us from sending. */
static void test_reader(void)
{
    Two t = two_new();
    uint16_t req = 0;
    unsigned reads = 0, ms = 0, i;
    EfaIoTxWqe wqe;
    EfaIoCdesc e;

    rq_post(t.e[0]->qp, 1, &t.e[0]->rx, 0, 4096);
    for (i = 0; i < 8; i++) {
        post_rdma(&t, 0, EFA_IO_RDMA_READ, req++, 200 * MTU);
    }
    wire_room(t.w, 60);
    settle();
    wire_room(t.w, 0);
    wqe = wqe_send(7, t.ah[1], t.e[0]->qp->num);
    wqe_inline(&wqe, "x", 1);
    sq_post(t.e[1]->qp, &wqe);
    settle();
    while (!cq_poll(t.e[1]->scq, &e)) {
        g_assert_cmpuint(++ms, <, 100);
        wire_room(t.w, 40);
        settle();
        advance(MS);
        while (cq_poll(t.e[0]->scq, &e)) {
            g_assert_cmpuint(e.status, ==, 0);
            reads++;
            post_rdma(&t, 0, EFA_IO_RDMA_READ, req++, 200 * MTU);
        }
    }
    g_assert_cmpuint(e.req_id, ==, 7);
    g_assert_cmpuint(e.status, ==, 0);
    wire_room(t.w, -1);
    two_free(&t);
}

/* A datagram that found no room once does not wait for a message's window. */
static void test_datagrams_pass(void)
{
    Two t = two_new();
    Host *h = t.e[0]->h;
    Cq *cq = create_cq_ok(h, t.e[0]->uar, NULL);
    Qp *ud = create_qp_ok(h, t.e[0]->pd, t.e[0]->uar, EFA_QP_TYPE_UD, cq, cq,
                          64, 64);
    EfaIoTxWqe wqe = wqe_send(7, t.ah[0], 99);
    unsigned i;

    qp_to_rts(ud);
    wqe_inline(&wqe, "x", 1);
    wire_auto(t.w, false);
    post_rdma(&t, 0, EFA_IO_RDMA_WRITE, 1, 100 * MTU);
    settle();
    wire_room(t.w, 0);
    sq_post(ud, &wqe);
    assert_cq_empty(cq);
    wire_room(t.w, -1);
    settle();
    g_assert_cmpuint(cq_next(cq).status, ==, 0);
    for (i = 0; i < 10; i++) {
        sq_post(ud, &wqe);
        g_assert_cmpuint(cq_next(cq).status, ==, 0);
    }
    two_free(&t);
}

/* Several large messages take turns, a packet each. */
static void test_messages_in_turn(void)
{
    Two t = two_new();
    unsigned i, seen[2] = { 0 };

    wire_auto(t.w, false);
    wire_room(t.w, 0);
    post_rdma(&t, 0, EFA_IO_RDMA_WRITE, 0, 100 * MTU);
    post_rdma(&t, 0, EFA_IO_RDMA_WRITE, 1, 50 * MTU);
    settle();
    wire_room(t.w, 12);
    settle();
    g_assert_cmpuint(wire_count(t.w), ==, 12);
    for (i = 0; i < 12; i++) {
        WirePkt *p = wire_take(t.w, 0);
        EfaPktRdma ext;

        memcpy(&ext, p->data + sizeof(p->hdr), sizeof(ext));
        seen[ext.length == 50 * MTU]++;
        g_free(p);
    }
    g_assert_cmpuint(seen[0], ==, 6);
    g_assert_cmpuint(seen[1], ==, 6);
    wire_room(t.w, -1);
    wire_auto(t.w, true);
    two_free(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/srd-turns/mutual-reads", test_mutual_reads);
    g_test_add_func("/srd-turns/reader", test_reader);
    g_test_add_func("/srd-turns/datagrams-pass", test_datagrams_pass);
    g_test_add_func("/srd-turns/messages-in-turn", test_messages_in_turn);
    return g_test_run();
}
