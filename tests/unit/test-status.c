/*
 * Unit tests: each completion status, from the cause to the entry
 *
 * Data path specification, 4.7. The provider hands the status to the
 * application as vendor_err.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

#define MS      EFA_NSEC_PER_MSEC
#define REQ     0xc0de

/* Two devices; a is the requester, its QP of narrow request ids. */
static Pair pair_new(void)
{
    Pair p = pair_of_default(EFA_QP_TYPE_SRD);

    pair_reg(&p, 4096, PERM_REMOTE_WRITE | PERM_REMOTE_READ);
    return p;
}

static void post(Pair *p, EfaIoTxWqe wqe)
{
    sq_post(p->a->qp, &wqe);
    settle();
}

static EfaIoTxWqe send_wqe(const Pair *p)
{
    EfaIoTxWqe wqe = wqe_send(REQ, p->ah, p->b->qp->num);

    wqe_sge(&wqe, &p->local, 0, 100);
    return wqe;
}

static EfaIoTxWqe write_wqe(const Pair *p)
{
    return wqe_rdma(EFA_IO_RDMA_WRITE, REQ, p->ah, p->b->qp->num, &p->local,
                    &p->remote, 100);
}

static EfaIoTxWqe read_wqe(const Pair *p)
{
    return wqe_rdma(EFA_IO_RDMA_READ, REQ, p->ah, p->b->qp->num, &p->local,
                    &p->remote, 100);
}

/* A first message, so that the two have heard of each other. */
static void say_hello(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->rx, 0, 100);
    post(p, send_wqe(p));
    g_assert_cmpuint(cq_next(p->a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p->b->rcq).status, ==, 0);
}

/* ---- what leads to each ---- */

static void ok(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->rx, 0, 100);
    post(p, send_wqe(p));
}

static void flushed(Pair *p)
{
    post(p, send_wqe(p));
    g_assert_cmpuint(qp_to(p->a->qp, EFA_QP_STATE_ERR), ==, 0);
}

static void qp_internal_error(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.ctrl1 &= ~R_TX_CTRL1_META_DESC_MASK;
    post(p, wqe);
}

static void unsupported_op(Pair *p)
{
    EfaIoTxWqe wqe = read_wqe(p);

    wqe_imm(&wqe, 1);
    post(p, wqe);
}

static void invalid_ah(Pair *p)
{
    EfaIoTxWqe wqe = write_wqe(p);

    wqe.meta.ah = EFA_IO_NO_AH;
    post(p, wqe);
}

static void invalid_lkey(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.sgl[0].lkey ^= 0x100;
    post(p, wqe);
}

static void bad_length(Pair *p)
{
    EfaIoTxWqe wqe = write_wqe(p);

    wqe.rdma.remote.length--;
    post(p, wqe);
}

static void bad_address(Pair *p)
{
    EfaIoTxWqe wqe = read_wqe(p);

    create_ah_ok(p->b->h, p->b->pd, test_gid(1));
    wqe.rdma.remote.rkey ^= 0x100;
    post(p, wqe);
}

/* 7.4: the peer lives a new life; it was known in the former. */
static void abort_(Pair *p)
{
    say_hello(p);
    wire_auto(p->w, false);
    post(p, send_wqe(p));
    host_reset_handshake(p->b->h);
    host_admin_init(p->b->h);
    wire_auto(p->w, true);
}

static void bad_dest_qpn(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.dest_qp_num ^= 0x100;
    post(p, wqe);
}

static void rnr(Pair *p)
{
    g_assert_cmpuint(qp_modify(p->a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK, 0,
                               0, 0), ==, 0);
    post(p, send_wqe(p));
}

static void remote_bad_length(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->rx, 0, 99);
    post(p, send_wqe(p));
}

static void bad_status(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->tx, 0, 100);
    post(p, send_wqe(p));
}

static void unresp_remote(Pair *p)
{
    say_hello(p);
    wire_auto(p->w, false);
    post(p, write_wqe(p));
    wire_cut(p->w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
}

static void unknown_peer(Pair *p)
{
    post(p, read_wqe(p));
}

static void unreach_remote(Pair *p)
{
    EfaIoTxWqe wqe = read_wqe(p);

    wqe.meta.ah = create_ah_ok(p->a->h, p->a->pd, test_gid(9));
    post(p, wqe);
    advance(p->a->h->cfg.peer_timeout_ms * MS + 1000 * MS);
}

static void feature_mismatch(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.dest_qp_num = end_new(p->b->h, EFA_QP_TYPE_UD)->qp->num;
    post(p, wqe);
}

static const struct {
    const char *name;
    uint8_t status;
    uint8_t op;
    void (*cause)(Pair *p);
} tx_rows[] = {
    { "OK", 0, EFA_IO_SEND, ok },
    { "FLUSHED", 1, EFA_IO_SEND, flushed },
    { "LOCAL_ERROR_QP_INTERNAL_ERROR", 2, EFA_IO_SEND, qp_internal_error },
    { "LOCAL_ERROR_UNSUPPORTED_OP", 3, EFA_IO_RDMA_READ, unsupported_op },
    { "LOCAL_ERROR_INVALID_AH", 4, EFA_IO_RDMA_WRITE, invalid_ah },
    { "LOCAL_ERROR_INVALID_LKEY", 5, EFA_IO_SEND, invalid_lkey },
    { "LOCAL_ERROR_BAD_LENGTH", 6, EFA_IO_RDMA_WRITE, bad_length },
    { "REMOTE_ERROR_BAD_ADDRESS", 7, EFA_IO_RDMA_READ, bad_address },
    { "REMOTE_ERROR_ABORT", 8, EFA_IO_SEND, abort_ },
    { "REMOTE_ERROR_BAD_DEST_QPN", 9, EFA_IO_SEND, bad_dest_qpn },
    { "REMOTE_ERROR_RNR", 10, EFA_IO_SEND, rnr },
    { "REMOTE_ERROR_BAD_LENGTH", 11, EFA_IO_SEND, remote_bad_length },
    { "REMOTE_ERROR_BAD_STATUS", 12, EFA_IO_SEND, bad_status },
    { "LOCAL_ERROR_UNRESP_REMOTE", 13, EFA_IO_RDMA_WRITE, unresp_remote },
    { "REMOTE_ERROR_UNKNOWN_PEER", 14, EFA_IO_RDMA_READ, unknown_peer },
    { "LOCAL_ERROR_UNREACH_REMOTE", 15, EFA_IO_RDMA_READ, unreach_remote },
    { "REMOTE_ERROR_FEATURE_MISMATCH", 18, EFA_IO_SEND, feature_mismatch },
};

/* One entry, its status and nothing in it that is not of a send's (4.3). */
static void test_tx(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(tx_rows); i++) {
        Pair p = pair_new();
        EfaIoCdesc e, want = {
            .req_id = REQ, .status = tx_rows[i].status,
            .qp_num = p.a->qp->num,
        };

        want.flags = FIELD_DP8(1, CDESC_FLAGS, Q_TYPE, EFA_IO_SEND_QUEUE);
        want.flags = FIELD_DP8(want.flags, CDESC_FLAGS, OP_TYPE,
                               tx_rows[i].op);
        tx_rows[i].cause(&p);
        e = cq_next(p.a->scq);
        if (e.status != tx_rows[i].status) {
            g_error("%s: status %u", tx_rows[i].name, e.status);
        }
        g_assert_cmpmem(&e, sizeof(e), &want, sizeof(want));
        wire_drop_all(p.w);
        assert_cq_empty(p.a->scq);
        /* what went wrong with one request is only that one's business */
        g_assert_cmpuint(qp_query(p.a->qp).qp_state, ==,
                         tx_rows[i].status == 1 ? EFA_QP_STATE_ERR
                                                : EFA_QP_STATE_RTS);
        pair_free(&p);
    }
}

/* 15, 29: receives know three. */
static void test_rx(void)
{
    static const struct {
        uint8_t status;
        void (*cause)(Pair *p);
        uint16_t length;
    } rows[] = {
        { 0, ok, 100 }, { 5, bad_status, 100 }, { 1, NULL, 0 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Pair p = pair_new();
        EfaIoCdesc e;

        if (rows[i].cause) {
            rows[i].cause(&p);
        } else {
            rq_post(p.b->qp, 1, &p.b->rx, 0, 100);
            g_assert_cmpuint(qp_to(p.b->qp, EFA_QP_STATE_ERR), ==, 0);
        }
        e = cq_next(p.b->rcq);
        g_assert_cmpuint(e.status, ==, rows[i].status);
        g_assert_cmpuint(e.req_id, ==, 1);
        g_assert_cmphex(e.flags, ==,
                        FIELD_DP8(1, CDESC_FLAGS, Q_TYPE,
                                  EFA_IO_RECV_QUEUE));
        g_assert_cmphex(e.qp_num, ==, p.b->qp->num);
        g_assert_cmpuint(e.length, ==, rows[i].length);
        g_assert_cmphex(e.ah, ==, EFA_IO_NO_AH);
        assert_cq_empty(p.b->rcq);
        pair_free(&p);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/status/tx", test_tx);
    g_test_add_func("/status/rx", test_rx);
    return g_test_run();
}
