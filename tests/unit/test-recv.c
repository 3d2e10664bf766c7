/*
 * Unit tests: receive queues, and what is special about datagrams
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

typedef struct Pair {
    Host *h;
    End *a, *b;
    uint16_t ah;
} Pair;

static Pair pair_new(EfaQpType type)
{
    Pair p = { .h = host_new(1) };

    p.a = end_new(p.h, type);
    p.b = end_new(p.h, type);
    p.ah = create_ah_ok(p.h, p.a->pd, test_gid(1));
    memset(p.b->rx.p, 0x55, p.b->rx.len);
    return p;
}

/* Send @len bytes 0, 1, 2... */
static void send_len(Pair *p, uint32_t len)
{
    EfaIoTxWqe wqe = wqe_send(len, p->ah, p->b->qp->num);
    uint32_t i;

    for (i = 0; i < len; i++) {
        p->a->tx.p[i] = i;
    }
    wqe_sge(&wqe, &p->a->tx, 0, len);
    sq_post(p->a->qp, &wqe);
    settle();
}

static uint64_t basic(Pair *p, unsigned index)
{
    return stat_get(p->h, EFA_ADMIN_GET_STATS_TYPE_BASIC, index);
}

/* ---- datagrams: 6.2 to 6.5 ---- */

static void test_ud_layout(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    uint8_t grh[40] = { 0x60, 0, 0, 0, 0x01, 0x2c, 0x1b, 0xff };
    EfaIoCdesc e;
    unsigned i;

    memcpy(grh + 8, test_gid(1).raw, 16);
    memcpy(grh + 24, test_gid(1).raw, 16);
    rq_post(p.b->qp, 7, &p.b->rx, 0, 340);
    send_len(&p, 300);
    e = cq_next(p.b->rcq);
    g_assert_cmpuint(e.length, ==, 340);
    g_assert_cmpuint(e.req_id, ==, 7);
    g_assert_cmpuint(e.status, ==, 0);
    g_assert_cmphex(e.src_qp_num, ==, p.a->qp->num);
    g_assert_cmpmem(p.b->rx.p, 40, grh, 40);
    for (i = 0; i < 300; i++) {
        g_assert_cmphex(p.b->rx.p[40 + i], ==, (uint8_t)i);
    }
    g_assert_cmphex(p.b->rx.p[340], ==, 0x55);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);

    /* nothing but the header; the header split; the longest */
    rq_post(p.b->qp, 8, &p.b->rx, 0, 40);
    send_len(&p, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).length, ==, 40);
    memset(p.b->rx.p, 0x55, 4096);
    rq_put(p.b->qp, 9, &p.b->rx, 0, 13, true, false);
    rq_put(p.b->qp, 9, &p.b->rx, 1000, 340 - 13, false, true);
    rq_ring(p.b->qp);
    send_len(&p, 300);
    g_assert_cmpuint(cq_next(p.b->rcq).length, ==, 340);
    g_assert_cmpmem(p.b->rx.p, 13, grh, 13);
    g_assert_cmphex(p.b->rx.p[13], ==, 0x55);
    g_assert_cmpmem(p.b->rx.p + 1000, 27, grh + 13, 27);
    g_assert_cmphex(p.b->rx.p[1027], ==, 0);
    g_assert_cmphex(p.b->rx.p[1028], ==, 1);
    rq_post(p.b->qp, 10, &p.b->rx, 0, 8928 + 40);
    send_len(&p, 8928);
    g_assert_cmpuint(cq_next(p.b->rcq).length, ==, 8968);
    hosts_free();
}

/* 6.5: the sender always hears "sent"; who is told what on the other side */
static void test_ud_drops(void)
{
    Pair p = pair_new(EFA_QP_TYPE_UD);
    EfaIoTxWqe wqe = wqe_send(1, p.ah, p.b->qp->num);
    End *srd = end_new(p.h, EFA_QP_TYPE_SRD);
    uint64_t drops = 0;
    unsigned i;

    wqe_inline(&wqe, "x", 1);
    /* nothing posted */
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, ++drops);
    /* unknown QP, another generation, an SRD QP */
    wqe.meta.dest_qp_num = p.b->qp->num + 100;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    wqe.meta.dest_qp_num = p.b->qp->num + 256;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    rq_post(srd->qp, 1, &srd->rx, 0, 100);
    wqe.meta.dest_qp_num = srd->qp->num;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    assert_cq_empty(srd->rcq);
    drops += 3;
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, drops);

    /* too short for header and payload: not consumed */
    wqe.meta.dest_qp_num = p.b->qp->num;
    rq_post(p.b->qp, 1, &p.b->rx, 0, 40);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, ++drops);
    assert_cq_empty(p.b->rcq);
    wqe_inline(&wqe, "", 0);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 1);
    rq_post(p.b->qp, 2, &p.b->rx, 0, 39);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, ++drops);

    /* Q_Key: counted as such, not as a drop */
    wqe.meta.qkey++;
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(basic(&p, ST_QKEY_VIOL), ==, 1);
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, drops);
    wqe.meta.qkey--;

    /* states that do not receive */
    g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_RESET), ==, 0);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_INIT), ==, 0);
    rq_post(p.b->qp, 3, &p.b->rx, 0, 100);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(basic(&p, ST_RX_DROPS), ==, drops + 2);
    g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_RTR), ==, 0);
    sq_post(p.a->qp, &wqe);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 3);
    for (i = 0; i < 7; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    hosts_free();
}

/* To nobody: sent is sent, and it does not take a timeout to say so. */
static void test_ud_absent(void)
{
    Wire *w = wire_new();
    End *e = end_new(host_new_on(1, w), EFA_QP_TYPE_UD);
    uint16_t ah = create_ah_ok(e->h, e->pd, test_gid(9));
    EfaIoTxWqe wqe = wqe_send(1, ah, 5);
    unsigned i;

    for (i = 0; i < 5; i++) {
        sq_post(e->qp, &wqe);
    }
    for (i = 0; i < 5; i++) {
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    }
    g_assert_cmpuint(wire_count(w), ==, 0);
    hosts_free();
    wire_free(w);
}

/* Between two devices, unacknowledged, at most once. */
static void test_ud_wire(void)
{
    Wire *w = wire_new();
    End *a = end_new(host_new_on(1, w), EFA_QP_TYPE_UD);
    End *b = end_new(host_new_on(2, w), EFA_QP_TYPE_UD);
    uint16_t ah = create_ah_ok(a->h, a->pd, test_gid(2)), back;
    EfaIoTxWqe wqe = wqe_send(1, ah, b->qp->num);
    EfaIoCdesc e;
    WirePkt *pkt;

    rq_post(b->qp, 1, &b->rx, 0, 100);
    rq_post(b->qp, 2, &b->rx, 0, 100);
    sq_post(a->qp, &wqe);
    e = cq_next(b->rcq);
    g_assert_cmphex(e.ah, ==, 0xffff);
    g_assert_cmpmem(e.src_addr, 16, test_gid(1).raw, 16);
    g_assert_cmpmem(b->rx.p + 8, 16, test_gid(1).raw, 16);
    g_assert_cmpmem(b->rx.p + 24, 16, test_gid(2).raw, 16);
    g_assert_cmpuint(cq_next(a->scq).status, ==, 0);
    back = create_ah_ok(b->h, b->pd, test_gid(1));

    wire_auto(w, false);
    wqe_imm(&wqe, 0x01020304);
    wqe_inline(&wqe, "dgram", 5);
    sq_post(a->qp, &wqe);
    /* complete before anybody saw it */
    g_assert_cmpuint(cq_next(a->scq).status, ==, 0);
    g_assert_cmpuint(wire_count(w), ==, 1);
    pkt = wire_take(w, 0);
    g_assert_cmpuint(pkt->hdr.type, ==, EFA_PKT_UD);
    wire_deliver(w, pkt);
    g_assert_cmpuint(wire_count(w), ==, 0);
    e = cq_next(b->rcq);
    g_assert_cmphex(e.ah, ==, back);
    g_assert_cmphex(e.imm, ==, 0x01020304);
    g_assert_cmpmem(b->rx.p + 40, 5, "dgram", 5);
    advance(10000 * EFA_NSEC_PER_MSEC);
    g_assert_cmpuint(wire_count(w), ==, 0);
    hosts_free();
    wire_free(w);
}

/* ---- 13.5 ---- */

typedef struct Desc {
    uint16_t len;
    int key;                    /* 0 good, 1 unknown, 2 other PD, 3 no write */
    uint8_t ctrl;               /* 1 first, 2 last, others: b29:24 */
    int32_t shift;              /* of the address */
} Desc;

static const struct {
    const char *name;
    EfaQpType type;
    uint32_t send;
    Desc d[3];
    uint8_t tx;                 /* the sender's status */
    int rx;                     /* the receiver's, -1: no completion */
    bool err;                   /* QP in ERR afterwards */
} rx_rows[] = {
    { "exact", 2, 100, { { 100, 0, 3 } }, 0, 0 },
    { "room left", 2, 100, { { 200, 0, 3 } }, 0, 0 },
    { "two", 2, 100, { { 60, 0, 1 }, { 60, 0, 2 } }, 0, 0 },
    { "first everywhere", 2, 100, { { 60, 0, 1 }, { 60, 0, 3 } }, 0, 0 },
    { "first nowhere", 2, 100, { { 60, 0, 0 }, { 60, 0, 2 } }, 0, 0 },
    { "MBZ bits", 2, 100, { { 100, 0, 0x3f << 2 | 3 } }, 0, 0 },
    { "empty one first", 2, 100, { { 0, 1, 1 }, { 100, 0, 2 } }, 0, 0 },
    { "empty one last", 2, 100, { { 100, 0, 1 }, { 0, 1, 2 } }, 0, 0 },
    { "no bytes into no room", 2, 0, { { 0, 1, 3 } }, 0, 0 },
    { "too short", 2, 100, { { 99, 0, 3 } }, 11, -1 },
    { "two too short", 2, 100, { { 50, 0, 1 }, { 49, 0, 2 } }, 11, -1 },
    { "unknown key", 2, 100, { { 100, 1, 3 } }, 12, 5 },
    { "key of another PD", 2, 100, { { 100, 2, 3 } }, 12, 5 },
    { "no local write", 2, 100, { { 100, 3, 3 } }, 12, 5 },
    { "before the region", 2, 100, { { 100, 0, 3, -1 } }, 12, 5 },
    { "beyond the region", 2, 100, { { 100, 0, 3, 65536 - 99 } }, 12, 5 },
    { "second key, needed", 2, 100, { { 50, 0, 1 }, { 50, 1, 2 } }, 12, 5 },
    { "second key, not needed", 2, 50, { { 50, 0, 1 }, { 50, 1, 2 } }, 12,
      5 },
    { "no last in three", 2, 100, { { 40, 0, 1 }, { 40, 0, 0 },
      { 40, 0, 0 } }, 9, -1, true },
    { "last one too late", 2, 100, { { 40, 0, 1 }, { 40, 0, 0 },
      { 40, 0, 2 } }, 9, -1, true },
    { "UD exact", 1, 100, { { 140, 0, 3 } }, 0, 0 },
    { "UD too short", 1, 100, { { 139, 0, 3 } }, 0, -1 },
    { "UD unknown key", 1, 100, { { 140, 1, 3 } }, 0, 5 },
    { "UD no last", 1, 100, { { 40, 0, 1 }, { 40, 0, 0 }, { 60, 0, 0 } }, 0,
      -1, true },
};

static void test_descriptors(void)
{
    unsigned i, j;

    for (i = 0; i < G_N_ELEMENTS(rx_rows); i++) {
        Pair p = pair_new(rx_rows[i].type);
        uint32_t keys[] = { p.b->rx.key, 0xabcdef, p.a->rx.key,
                            p.b->tx.key };
        EfaIoRxDesc *ring = host_ptr(p.h, p.b->qp->rq_ring);
        EfaIoCdesc e;

        for (j = 0; j < 3; j++) {
            const Desc *d = &rx_rows[i].d[j];
            uint64_t addr = p.b->rx.iova + d->shift;

            if (d->shift == 0) {
                addr += j * 1000;
            }
            if (d->key == 3) {
                addr = p.b->tx.iova;
            } else if (d->key == 2) {
                addr = p.a->rx.iova;
            }
            if (!d->len && !d->ctrl && !d->key) {
                break;
            }
            ring[j] = (EfaIoRxDesc) {
                addr, addr >> 32, 70 + j, d->len,
                keys[d->key] | (uint32_t)(d->ctrl & 1) << 30 |
                (uint32_t)(d->ctrl >> 1 & 1) << 31 |
                (uint32_t)(d->ctrl >> 2) << 24,
            };
        }
        p.b->qp->rq_pc = j;
        rq_ring(p.b->qp);
        send_len(&p, rx_rows[i].send);
        e = cq_next(p.a->scq);
        if (e.status != rx_rows[i].tx) {
            g_error("%s: sender's status %u", rx_rows[i].name, e.status);
        }
        if (rx_rows[i].err) {
            g_assert_cmpuint(qp_query(p.b->qp).qp_state, ==,
                             EFA_QP_STATE_ERR);
            /* what is posted now is flushed, whatever lies before it */
            while (cq_poll(p.b->rcq, &e)) {
                g_assert_cmpuint(e.status, ==, 1);
            }
            rq_post(p.b->qp, 99, &p.b->rx, 0, 100);
            e = cq_next(p.b->rcq);
            g_assert_cmpuint(e.req_id, ==, 99);
            g_assert_cmpuint(e.status, ==, 1);
            hosts_free();
            continue;
        }
        g_assert_cmpuint(qp_query(p.b->qp).qp_state, ==, EFA_QP_STATE_RTS);
        if (cq_poll(p.b->rcq, &e) != (rx_rows[i].rx >= 0)) {
            g_error("%s: completion missing or superfluous",
                    rx_rows[i].name);
        }
        if (rx_rows[i].rx < 0) {
            /* still there, for a shorter one */
            send_len(&p, 0);
            g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 70);
        } else {
            g_assert_cmpuint(e.status, ==, rx_rows[i].rx);
            g_assert_cmpuint(e.req_id, ==, 70);
        }
        if (rx_rows[i].rx == 5) {
            /* nothing of it was written */
            for (j = 0; j < 4096; j++) {
                g_assert_cmphex(p.b->rx.p[j], ==, 0x55);
            }
        }
        hosts_free();
    }
}

/* Scatter over every split, a WQE over the end of the ring. */
static void test_scatter(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    Qp *qp = create_qp_ok(p.h, p.b->pd, p.b->uar, EFA_QP_TYPE_SRD, p.b->scq,
                          p.b->rcq, 0, 8);
    unsigned i, j;

    qp_to_rts(qp);
    p.b->qp = qp;
    rq_post(qp, 999, &p.b->rx, 0, 64);      /* make it odd */
    send_len(&p, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 999);
    for (i = 0; i <= 64; i++) {
        EfaIoCdesc e;

        memset(p.b->rx.p, 0x55, 4096);
        rq_put(qp, i, &p.b->rx, 100, i, true, false);
        rq_put(qp, 0, &p.b->rx, 1000, 64 - i, false, true);
        rq_ring(qp);
        send_len(&p, 64);
        e = cq_next(p.b->rcq);
        g_assert_cmpuint(e.req_id, ==, i);
        g_assert_cmpuint(e.length, ==, 64);
        for (j = 0; j < 64; j++) {
            g_assert_cmphex(p.b->rx.p[j < i ? 100 + j : 1000 + j - i], ==, j);
        }
        g_assert_cmphex(p.b->rx.p[100 + i], ==, 0x55);
        g_assert_cmphex(p.b->rx.p[1000 + 64 - i], ==, 0x55);
        g_assert_cmphex(p.b->rx.p[99], ==, 0x55);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    }
    hosts_free();
}

/* Only what the doorbell announced is there, in the order of posting. */
static void test_announced(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    unsigned i;

    for (i = 0; i < 10; i++) {
        rq_put(p.b->qp, i, &p.b->rx, 0, 64, true, true);
    }
    db_write(p.h, p.b->qp->rq_db, 4);
    for (i = 0; i < 5; i++) {
        send_len(&p, i);
    }
    for (i = 0; i < 4; i++) {
        g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, i);
    }
    assert_cq_empty(p.b->rcq);
    rq_ring(p.b->qp);
    advance(10 * EFA_NSEC_PER_MSEC);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 4);
    assert_cq_empty(p.b->rcq);
    hosts_free();
}

/* Buffers and descriptors that cannot be reached. */
static void test_faults(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);

    rq_post(p.b->qp, 1, &p.b->rx, 0, 100);
    rq_post(p.b->qp, 2, &p.b->rx, 0, 100);
    host_fault(p.h, FAULT_WRITE, p.b->rx.dma + 50, 1);
    send_len(&p, 100);
    host_fault(p.h, 0, 0, 0);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 12);
    g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 5);
    g_assert_cmpuint(qp_query(p.b->qp).qp_state, ==, EFA_QP_STATE_RTS);
    send_len(&p, 100);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p.b->rcq).req_id, ==, 2);

    rq_post(p.b->qp, 3, &p.b->rx, 0, 100);
    host_fault(p.h, FAULT_READ, p.b->qp->rq_ring, 4096);
    send_len(&p, 100);
    host_fault(p.h, 0, 0, 0);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 9);
    g_assert_cmpuint(qp_query(p.b->qp).qp_state, ==, EFA_QP_STATE_ERR);
    hosts_free();
}

/* Deregistered between post and arrival: not touched. */
static void test_dereg_posted(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);

    rq_post(p.b->qp, 1, &p.b->rx, 0, 100);
    g_assert_cmpuint(dereg(p.h, p.b->rx.key), ==, 0);
    send_len(&p, 10);
    g_assert_cmpuint(cq_next(p.b->rcq).status, ==, 5);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 12);
    g_assert_cmphex(p.b->rx.p[0], ==, 0x55);
    hosts_free();
}

/* As many SGEs as the device allows, and one more. */
static void test_max_sges(void)
{
    EfaConfig cfg = test_config(1);
    Pair p = { 0 };
    unsigned i, n;

    cfg.max_recv_sges = 16;
    for (n = 16; n <= 17; n++) {
        p.h = host_new_cfg(&cfg);
        p.a = end_new(p.h, EFA_QP_TYPE_SRD);
        p.b = end_new(p.h, EFA_QP_TYPE_SRD);
        p.ah = create_ah_ok(p.h, p.a->pd, test_gid(1));
        for (i = 0; i < n; i++) {
            rq_put(p.b->qp, 1, &p.b->rx, i * 100, 10, !i, i == n - 1);
        }
        rq_ring(p.b->qp);
        send_len(&p, 160);
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, n == 16 ? 0 : 9);
        if (n == 16) {
            g_assert_cmpuint(cq_next(p.b->rcq).length, ==, 160);
            g_assert_cmphex(p.b->rx.p[1509], ==, 159);
        }
        hosts_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/recv/ud-layout", test_ud_layout);
    g_test_add_func("/recv/ud-drops", test_ud_drops);
    g_test_add_func("/recv/ud-absent", test_ud_absent);
    g_test_add_func("/recv/ud-wire", test_ud_wire);
    g_test_add_func("/recv/descriptors", test_descriptors);
    g_test_add_func("/recv/scatter", test_scatter);
    g_test_add_func("/recv/announced", test_announced);
    g_test_add_func("/recv/faults", test_faults);
    g_test_add_func("/recv/dereg-posted", test_dereg_posted);
    g_test_add_func("/recv/max-sges", test_max_sges);
    return g_test_run();
}
