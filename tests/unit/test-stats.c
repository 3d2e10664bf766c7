/*
 * Unit tests: what each kind of work adds to the statistics
 *
 * Control path specification, 5.13 and 11.2. Every counter of every type is
 * looked at: those that are not named must not move.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

#define MS      EFA_NSEC_PER_MSEC
#define LEN     300u
#define HDR     ((unsigned)sizeof(EfaPktHdr))

/* type and index in the response */
typedef enum Stat {
    TX_BYTES, TX_PKTS, RX_BYTES, RX_PKTS, RX_DROPS, QKEY_VIOL,
    SEND_BYTES = 8, SEND_WRS, RECV_BYTES, RECV_WRS,
    READ_WRS = 16, READ_BYTES, READ_WR_ERR, READ_RESP_BYTES,
    WRITE_WRS = 24, WRITE_BYTES, WRITE_WR_ERR, WRITE_RECV_BYTES,
    RETRANS_BYTES = 32, RETRANS_PKTS, RETRANS_TIMEOUTS, UNRESPONSIVE,
    IMPAIRED,
    NUM_STATS = 40,
    NONE,
} Stat;

static void read_all(Host *h, uint64_t stats[NUM_STATS])
{
    unsigned type;

    for (type = 0; type < NUM_STATS / 8; type++) {
        EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                                 .type = type);

        /* the response has room for 7 */
        admin_ok(h, &cmd, &stats[type * 8], 7 * sizeof(*stats));
        stats[type * 8 + 7] = 0;
    }
}

/* Two devices that have heard of each other; a is the requester. */
static void say_hello(Pair *p)
{
    EfaIoTxWqe wqe = wqe_send(1, p->ah, p->b->qp->num);

    rq_post(p->b->qp, 1, &p->b->rx, 0, 100);
    sq_post(p->a->qp, &wqe);
    g_assert_cmpuint(cq_next(p->a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(p->b->rcq).status, ==, 0);
}

static Pair pair_new(EfaQpType type)
{
    Pair p = pair_of_default(type);

    pair_meet(&p);
    pair_reg(&p, 65536, PERM_REMOTE_WRITE | PERM_REMOTE_READ);
    say_hello(&p);
    if (type == EFA_QP_TYPE_SRD) {
        g_assert_cmpuint(qp_modify(p.a->qp, R_MODIFY_QP_MASK_RNR_RETRY_MASK,
                                   0, 0, 0), ==, 0);
    }
    return p;
}

/* ---- work ---- */

static EfaIoTxWqe send_wqe(const Pair *p)
{
    EfaIoTxWqe wqe = wqe_send(1, p->ah, p->b->qp->num);

    wqe_sge(&wqe, &p->local, 0, LEN);
    return wqe;
}

static EfaIoTxWqe rdma_wqe(const Pair *p, uint8_t op, uint32_t len)
{
    return wqe_rdma(op, 1, p->ah, p->b->qp->num, &p->local, &p->remote, len);
}

static void post(Pair *p, EfaIoTxWqe wqe)
{
    sq_post(p->a->qp, &wqe);
    settle();
}

static void send_one(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->rx, 0, 1000);
    post(p, send_wqe(p));
}

static void silent_send(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.ctrl2 &= ~R_TX_CTRL2_COMP_REQ_MASK;
    rq_post(p->b->qp, 1, &p->b->rx, 0, 1000);
    post(p, wqe);
}

static void send_unready(Pair *p)
{
    post(p, send_wqe(p));
}

static void send_short(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->rx, 0, 10);
    post(p, send_wqe(p));
}

static void send_unwritable(Pair *p)
{
    rq_post(p->b->qp, 1, &p->b->tx, 0, 1000);
    post(p, send_wqe(p));
}

static void send_qkey(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.qkey++;
    post(p, wqe);
}

static void send_qpn(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.dest_qp_num ^= 0x100;
    post(p, wqe);
}

static void send_bad(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.ah = EFA_IO_NO_AH;
    post(p, wqe);
}

static void send_flushed(Pair *p)
{
    wire_auto(p->w, false);
    post(p, send_wqe(p));
    g_assert_cmpuint(qp_to(p->a->qp, EFA_QP_STATE_ERR), ==, 0);
    wire_auto(p->w, true);
}

static void write_one(Pair *p)
{
    post(p, rdma_wqe(p, EFA_IO_RDMA_WRITE, LEN));
}

static void write_imm(Pair *p)
{
    EfaIoTxWqe wqe = rdma_wqe(p, EFA_IO_RDMA_WRITE, LEN);

    wqe_imm(&wqe, 1);
    rq_post(p->b->qp, 1, &p->b->rx, 0, 10);
    post(p, wqe);
}

static void write_many(Pair *p)
{
    post(p, rdma_wqe(p, EFA_IO_RDMA_WRITE, 50000));
}

static void write_nothing(Pair *p)
{
    post(p, rdma_wqe(p, EFA_IO_RDMA_WRITE, 0));
}

static void write_refused(Pair *p)
{
    EfaIoTxWqe wqe = rdma_wqe(p, EFA_IO_RDMA_WRITE, LEN);

    wqe.rdma.remote.rkey ^= 0x100;
    post(p, wqe);
}

static void write_bad(Pair *p)
{
    EfaIoTxWqe wqe = rdma_wqe(p, EFA_IO_RDMA_WRITE, LEN);

    wqe.rdma.local.lkey ^= 0x100;
    post(p, wqe);
}

static void read_one(Pair *p)
{
    post(p, rdma_wqe(p, EFA_IO_RDMA_READ, LEN));
}

static void read_many(Pair *p)
{
    post(p, rdma_wqe(p, EFA_IO_RDMA_READ, 50000));
}

static void read_refused(Pair *p)
{
    EfaIoTxWqe wqe = rdma_wqe(p, EFA_IO_RDMA_READ, LEN);

    wqe.rdma.remote.rkey ^= 0x100;
    post(p, wqe);
}

static void read_bad(Pair *p)
{
    EfaIoTxWqe wqe = rdma_wqe(p, EFA_IO_RDMA_READ, LEN);

    wqe.rdma.local.lkey ^= 0x100;
    post(p, wqe);
}

static void read_flushed(Pair *p)
{
    wire_auto(p->w, false);
    post(p, rdma_wqe(p, EFA_IO_RDMA_READ, LEN));
    g_assert_cmpuint(qp_to(p->a->qp, EFA_QP_STATE_ERR), ==, 0);
    wire_drop_all(p->w);
    wire_auto(p->w, true);
}

static void ud_to_srd(Pair *p)
{
    EfaIoTxWqe wqe = send_wqe(p);

    wqe.meta.dest_qp_num = end_new(p->b->h, EFA_QP_TYPE_SRD)->qp->num;
    post(p, wqe);
}

/* The first copy is lost; the second one goes out with the timer. */
static void lose(Pair *p)
{
    wire_auto(p->w, false);
    rq_post(p->b->qp, 1, &p->b->rx, 0, 1000);
    post(p, send_wqe(p));
    g_assert_cmpuint(wire_drop_all(p->w), ==, 1);
    wire_auto(p->w, true);
    advance(200 * MS);
}

static void lose_write(Pair *p)
{
    wire_auto(p->w, false);
    post(p, rdma_wqe(p, EFA_IO_RDMA_WRITE, LEN));
    g_assert_cmpuint(wire_drop_all(p->w), ==, 1);
    wire_auto(p->w, true);
    advance(200 * MS);
}

/* The answer is lost: the work is done once, and asked for twice. */
static void lose_answer(Pair *p)
{
    wire_auto(p->w, false);
    rq_post(p->b->qp, 1, &p->b->rx, 0, 1000);
    post(p, send_wqe(p));
    wire_deliver(p->w, wire_take(p->w, 0));
    g_assert_cmpuint(wire_drop_all(p->w), ==, 1);
    wire_auto(p->w, true);
    advance(200 * MS);
}

static void hang_up(Pair *p)
{
    wire_auto(p->w, false);
    post(p, send_wqe(p));
    wire_cut(p->w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
    wire_auto(p->w, true);
}

/* Nobody had anything to say to it: not even that it is gone. */
static void idle_hang_up(Pair *p)
{
    wire_cut(p->w, test_gid(1), test_gid(2), EFA_LINK_HANGUP);
}

typedef struct Delta {
    Stat stat;
    uint64_t by;
} Delta;

#define MAX_DELTAS  5

typedef struct Row {
    const char *name;
    EfaQpType type;
    void (*work)(Pair *p);
    Delta a[MAX_DELTAS], b[MAX_DELTAS];     /* the rest is 0 */
    bool lossy;                 /* not all that is sent arrives */
} Row;

static const Row rows[] = {
    { "UD", EFA_QP_TYPE_UD, send_one,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN }, { TX_BYTES, HDR + LEN },
        { TX_PKTS, 1 } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN } } },
    { "UD, no completion", EFA_QP_TYPE_UD, silent_send,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN } } },
    { "UD, no buffer", EFA_QP_TYPE_UD, send_unready,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { RX_DROPS, 1 } } },
    { "UD, buffer too small", EFA_QP_TYPE_UD, send_short,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { RX_DROPS, 1 } } },
    { "UD, buffer not writable", EFA_QP_TYPE_UD, send_unwritable,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { RX_DROPS, 1 } } },
    { "UD, no such QP", EFA_QP_TYPE_UD, send_qpn,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { RX_DROPS, 1 } } },
    { "UD, an SRD QP there", EFA_QP_TYPE_UD, ud_to_srd,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { RX_DROPS, 1 } } },
    { "UD, Q_Key", EFA_QP_TYPE_UD, send_qkey,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } }, { { QKEY_VIOL, 1 } } },
    { "UD, bad handle", EFA_QP_TYPE_UD, send_bad },

    { "send", EFA_QP_TYPE_SRD, send_one,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN }, { TX_BYTES, HDR + LEN },
        { TX_PKTS, 1 } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN }, { TX_PKTS, 1 } } },
    { "send, no completion", EFA_QP_TYPE_SRD, silent_send,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN } } },
    { "send, no buffer", EFA_QP_TYPE_SRD, send_unready },
    { "send, buffer too small", EFA_QP_TYPE_SRD, send_short },
    { "send, buffer not writable", EFA_QP_TYPE_SRD, send_unwritable },
    { "send, no such QP", EFA_QP_TYPE_SRD, send_qpn },
    { "send, Q_Key", EFA_QP_TYPE_SRD, send_qkey, { }, { { QKEY_VIOL, 1 } } },
    { "send, bad handle", EFA_QP_TYPE_SRD, send_bad },
    { "send, flushed", EFA_QP_TYPE_SRD, send_flushed },

    { "write", EFA_QP_TYPE_SRD, write_one,
      { { WRITE_WRS, 1 }, { WRITE_BYTES, LEN },
        { TX_BYTES, HDR + sizeof(EfaPktRdma) + LEN } },
      { { WRITE_RECV_BYTES, LEN } } },
    { "write with immediate", EFA_QP_TYPE_SRD, write_imm,
      { { WRITE_WRS, 1 }, { WRITE_BYTES, LEN } },
      { { WRITE_RECV_BYTES, LEN } } },
    { "write of many segments", EFA_QP_TYPE_SRD, write_many,
      { { WRITE_WRS, 1 }, { WRITE_BYTES, 50000 }, { TX_PKTS, 6 } },
      { { WRITE_RECV_BYTES, 50000 } } },
    { "write of nothing", EFA_QP_TYPE_SRD, write_nothing,
      { { WRITE_WRS, 1 } } },
    { "write, refused", EFA_QP_TYPE_SRD, write_refused,
      { { WRITE_WR_ERR, 1 } } },
    { "write, bad key", EFA_QP_TYPE_SRD, write_bad, { { WRITE_WR_ERR, 1 } } },

    { "read", EFA_QP_TYPE_SRD, read_one,
      { { READ_WRS, 1 }, { READ_BYTES, LEN },
        { TX_BYTES, HDR + sizeof(EfaPktRdma) } },
      { { READ_RESP_BYTES, LEN }, { TX_BYTES, HDR + LEN } } },
    { "read of many segments", EFA_QP_TYPE_SRD, read_many,
      { { READ_WRS, 1 }, { READ_BYTES, 50000 }, { TX_PKTS, 6 } },
      { { READ_RESP_BYTES, 50000 }, { TX_PKTS, 6 } } },
    { "read, refused", EFA_QP_TYPE_SRD, read_refused,
      { { READ_WR_ERR, 1 } } },
    { "read, bad key", EFA_QP_TYPE_SRD, read_bad, { { READ_WR_ERR, 1 } } },
    { "read, flushed", EFA_QP_TYPE_SRD, read_flushed,
      { { READ_WR_ERR, 1 } }, { }, true },

    { "lost", EFA_QP_TYPE_SRD, lose,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN }, { RETRANS_PKTS, 1 },
        { RETRANS_BYTES, LEN }, { RETRANS_TIMEOUTS, 1 } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN } }, true },
    { "write, lost", EFA_QP_TYPE_SRD, lose_write,
      { { WRITE_WRS, 1 }, { WRITE_BYTES, LEN }, { RETRANS_PKTS, 1 },
        { RETRANS_BYTES, LEN }, { RETRANS_TIMEOUTS, 1 } },
      { { WRITE_RECV_BYTES, LEN } }, true },
    { "answer lost", EFA_QP_TYPE_SRD, lose_answer,
      { { SEND_WRS, 1 }, { SEND_BYTES, LEN }, { RETRANS_PKTS, 1 },
        { RETRANS_BYTES, LEN }, { RETRANS_TIMEOUTS, 1 } },
      { { RECV_WRS, 1 }, { RECV_BYTES, LEN } }, true },
    { "peer gone", EFA_QP_TYPE_SRD, hang_up,
      { { UNRESPONSIVE, 1 }, { IMPAIRED, 1 } }, { }, true },
    { "peer gone, nothing to say", EFA_QP_TYPE_SRD, idle_hang_up, { }, { },
      true },
};

static void check(const Row *row, const char *who, const Delta *want,
                  const uint64_t *before, const uint64_t *after)
{
    unsigned i, j;

    for (i = 0; i < NUM_STATS; i++) {
        uint64_t by = after[i] - before[i], expect = 0;
        bool named = false;

        for (j = 0; j < MAX_DELTAS && want[j].by; j++) {
            if (want[j].stat == i) {
                expect = want[j].by;
                named = true;
            }
        }
        /* packets and bytes move with everything */
        if (by != expect && (named || i > RX_PKTS)) {
            g_error("%s, %s: type %u, counter %u has moved by %" PRIu64
                    ", not %" PRIu64, row->name, who, i / 8, i % 8, by,
                    expect);
        }
    }
}

static void test_work(void)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row *row = &rows[i];
        Pair p = pair_new(row->type);
        uint64_t a[2][NUM_STATS], b[2][NUM_STATS];

        read_all(p.a->h, a[0]);
        read_all(p.b->h, b[0]);
        row->work(&p);
        settle();
        read_all(p.a->h, a[1]);
        read_all(p.b->h, b[1]);
        check(row, "requester", row->a, a[0], a[1]);
        check(row, "responder", row->b, b[0], b[1]);
        if (!row->lossy) {
            /* what one has sent the other has received */
            g_assert_cmpuint(a[1][TX_PKTS], ==, b[1][RX_PKTS]);
            g_assert_cmpuint(a[1][TX_BYTES], ==, b[1][RX_BYTES]);
            g_assert_cmpuint(b[1][TX_PKTS], ==, a[1][RX_PKTS]);
            g_assert_cmpuint(b[1][TX_BYTES], ==, a[1][RX_BYTES]);
        }
        wire_drop_all(p.w);
        pair_free(&p);
    }
}

/* A peer that falls silent: one event each, however much was under way. */
static void test_silence(void)
{
    Pair p = pair_new(EFA_QP_TYPE_SRD);
    uint64_t before[NUM_STATS], after[NUM_STATS];
    unsigned i;

    read_all(p.a->h, before);
    wire_auto(p.w, false);
    for (i = 0; i < 5; i++) {
        post(&p, send_wqe(&p));
        post(&p, rdma_wqe(&p, EFA_IO_RDMA_READ, LEN));
    }
    advance(p.a->h->cfg.peer_timeout_ms * MS + 1000 * MS);
    for (i = 0; i < 10; i++) {
        g_assert_cmpuint(cq_next(p.a->scq).status, ==, 13);
    }
    read_all(p.a->h, after);
    g_assert_cmpuint(after[UNRESPONSIVE] - before[UNRESPONSIVE], ==, 1);
    g_assert_cmpuint(after[IMPAIRED] - before[IMPAIRED], ==, 1);
    g_assert_cmpuint(after[RETRANS_TIMEOUTS], >, before[RETRANS_TIMEOUTS]);
    g_assert_cmpuint(after[RETRANS_PKTS], >, before[RETRANS_PKTS]);
    /* a read that is asked for again carries nothing */
    g_assert_cmpuint(after[RETRANS_BYTES] * 2, ==,
                     after[RETRANS_PKTS] * LEN);
    g_assert_cmpuint(after[READ_WR_ERR] - before[READ_WR_ERR], ==, 5);
    g_assert_cmpuint(after[SEND_WRS], ==, before[SEND_WRS]);
    /* 14, 33: a reset of the device clears them all */
    host_reset_handshake(p.a->h);
    host_admin_init(p.a->h);
    read_all(p.a->h, after);
    for (i = 0; i < NUM_STATS; i++) {
        g_assert_cmpuint(after[i], ==, 0);
    }
    wire_drop_all(p.w);
    pair_free(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stats/work", test_work);
    g_test_add_func("/stats/silence", test_silence);
    return g_test_run();
}
