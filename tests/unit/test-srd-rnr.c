/*
 * Unit tests: receivers that are not ready, and how long one waits for a peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lone.h"

static void rnr_limit(uint8_t retries)
{
    Lone l = lone_new();
    unsigned i;
    WirePkt *p;

    g_assert_cmpuint(qp_modify(l.e->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0, 0,
                               retries), ==, 0);
    lone_post(&l, 1);
    for (i = 0; i <= retries; i++) {
        int64_t delay = MIN(100000 << i, 10 * MS);

        g_assert_cmpuint(wire_count(l.w), ==, 1);
        p = wire_take(l.w, 0);
        /* each try is a message of its own to the transport */
        g_assert_cmpuint(p->hdr.psn, ==, i);
        g_assert_cmpuint(p->hdr.una, ==, i);
        lone_ack(&l, p, EPOCH, 10);
        /* a second copy of the refusal is not a second refusal */
        lone_ack(&l, p, EPOCH, 10);
        g_free(p);
        if (i < retries) {
            assert_cq_empty(l.e->scq);
            advance(delay - 1000);
            g_assert_cmpuint(wire_count(l.w), ==, 0);
            advance(1000);
        }
    }
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 10);
    advance(100 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    g_assert_cmpuint(stat_get(l.e->h, EFA_ADMIN_GET_STATS_TYPE_NETWORK,
                              ST_RETRANS_PKTS), ==, 0);
    lone_free(&l);
}

static void test_rnr_finite(void)
{
    uint8_t i;

    for (i = 0; i < 7; i++) {
        rnr_limit(i);
    }
}

/* 7, the default, never ends and never waits more than a millisecond. */
static void test_rnr_infinite(void)
{
    Lone l = lone_new();
    unsigned i;
    WirePkt *p;

    lone_post(&l, 1);
    for (i = 0; i < 70000; i++) {
        g_assert_cmpuint(wire_count(l.w), ==, 1);
        p = wire_take(l.w, 0);
        g_assert_cmpuint(p->hdr.psn, ==, i);
        lone_ack(&l, p, EPOCH, 10);
        g_free(p);
        advance(MS);
    }
    assert_cq_empty(l.e->scq);
    p = wire_take(l.w, 0);
    lone_ack(&l, p, EPOCH, 0);
    g_free(p);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 0);
    /* the next message begins with the first delay */
    p = lone_send(&l, 2);
    lone_ack(&l, p, EPOCH, 10);
    g_free(p);
    advance(99000);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    advance(1000);
    g_assert_cmpuint(wire_count(l.w), ==, 1);
    lone_free(&l);
}

/* What waits for its next try is given up with its QP, in either way. */
static void test_rnr_flush(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1);

    lone_ack(&l, p, EPOCH, 10);
    g_free(p);
    g_assert_cmpuint(qp_to(l.e->qp, EFA_QP_STATE_ERR), ==, 0);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 1);
    g_assert_cmpuint(qp_to(l.e->qp, EFA_QP_STATE_RESET), ==, 0);
    qp_to_rts(l.e->qp);
    p = lone_send(&l, 2);
    lone_ack(&l, p, EPOCH, 10);
    g_free(p);
    g_assert_cmpuint(qp_destroy(l.e->qp), ==, 0);
    advance(1000 * MS);
    g_assert_cmpuint(wire_count(l.w), ==, 0);
    assert_cq_empty(l.e->scq);
    lone_free(&l);
}

/* A thousand refused messages: the window is free, and all arrive at last. */
static void test_rnr_many(void)
{
    Lone l = lone_new();
    Cq *cq = create_cq_ok(l.e->h, l.e->uar, &(CqOpts) { .depth = 4096 });
    Qp *qp = create_qp_ok(l.e->h, l.e->pd, l.e->uar, EFA_QP_TYPE_SRD, cq, cq,
                          1024, 0);
    EfaIoTxWqe wqe = wqe_send(0, l.ah, 0x99);
    unsigned i, tries = 0, done = 0;
    EfaIoCdesc e;
    WirePkt *p;

    qp_to_rts(qp);
    for (i = 0; i < 1000; i++) {
        wqe.meta.req_id = i;
        sq_put(qp, &wqe);
    }
    sq_ring(qp);
    settle();
    for (i = 0; i < 1000; i++) {
        p = wire_take(l.w, 0);
        lone_ack(&l, p, EPOCH, 10);
        g_free(p);
    }
    /* a neighbour's message goes at once */
    p = lone_send(&l, 1);
    g_assert_cmphex(p->hdr.src_qpn, ==, l.e->qp->num);
    lone_ack(&l, p, EPOCH, 0);
    g_free(p);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 0);
    while (done < 1000 && tries < 5000) {
        advance(MS);
        while (wire_count(l.w)) {
            p = wire_take(l.w, 0);
            lone_ack(&l, p, EPOCH, tries++ % 3 ? 0 : 10);
            g_free(p);
        }
        while (cq_poll(cq, &e)) {
            g_assert_cmpuint(e.status, ==, 0);
            done++;
        }
    }
    g_assert_cmpuint(done, ==, 1000);
    lone_free(&l);
}

/*
 * The time that the peer has is counted from the first message it does not
 * answer, whatever happened before: refusals, a hang-up, hours of silence.
 */
static void test_patience(void)
{
    Lone l = lone_new();
    int64_t timeout = l.e->h->cfg.peer_timeout_ms * MS;
    unsigned i;
    WirePkt *p;

    for (i = 0; i < 3; i++) {
        p = lone_send(&l, 1);
        switch (i) {
        case 0:
            lone_ack(&l, p, EPOCH, 10);
            advance(MS);
            g_free(p);
            p = wire_take(l.w, 0);
            lone_ack(&l, p, EPOCH, 0);
            g_assert_cmpuint(cq_next(l.e->scq).status, ==, 0);
            break;
        case 1:
            wire_cut(l.w, test_gid(1), l.peer, EFA_LINK_HANGUP);
            g_assert_cmpuint(cq_next(l.e->scq).status, ==, 13);
            break;
        case 2:
            advance(timeout + 3300 * MS);
            g_assert_cmpuint(cq_next(l.e->scq).status, ==, 13);
            break;
        }
        g_free(p);
        wire_drop_all(l.w);
        advance(10 * timeout);
        lone_post(&l, 2);
        advance(timeout - MS);
        assert_cq_empty(l.e->scq);
        advance(3300 * MS);
        g_assert_cmpuint(cq_next(l.e->scq).status, ==, 13);
        wire_drop_all(l.w);
    }
    lone_free(&l);
}

/* An answer to a try that was not made yet is a lie. */
static void test_rnr_lie(void)
{
    Lone l = lone_new();
    WirePkt *p = lone_send(&l, 1);

    lone_ack(&l, p, EPOCH, 10);
    p->hdr.psn++;
    lone_ack(&l, p, EPOCH, 0);
    assert_cq_empty(l.e->scq);
    g_free(p);
    advance(MS);
    p = wire_take(l.w, 0);
    lone_ack(&l, p, EPOCH, 0);
    g_assert_cmpuint(cq_next(l.e->scq).status, ==, 0);
    g_free(p);
    lone_free(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/srd-rnr/rnr-finite", test_rnr_finite);
    g_test_add_func("/srd-rnr/rnr-infinite", test_rnr_infinite);
    g_test_add_func("/srd-rnr/rnr-flush", test_rnr_flush);
    g_test_add_func("/srd-rnr/rnr-many", test_rnr_many);
    g_test_add_func("/srd-rnr/rnr-lie", test_rnr_lie);
    g_test_add_func("/srd-rnr/patience", test_patience);
    return g_test_run();
}
