/*
 * Unit tests: data that software polls
 *
 * With data polling each aligned 128 bytes of a transfer appear in order and
 * once: who sees the last 8 of them may use the others (data path
 * specification, 7.7).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

#define LINE    128
#define LEN     (16 * 1024)

static Pair pair_new(uint8_t gen, uint32_t mtu)
{
    uint8_t perm = PERM_REMOTE_READ | (gen >= 2 ? PERM_REMOTE_WRITE : 0);
    EfaConfig a = test_config_of(1, gen), b = test_config_of(2, gen);
    Pair p;

    a.mtu = b.mtu = mtu;
    p = pair_of(&a, &b, EFA_QP_TYPE_SRD);
    pair_meet(&p);
    pair_reg(&p, LEN, perm);
    return p;
}

/*
 * Segments of an operation at these offsets end between blocks of where the
 * data go, whoever of the two has the capability: the target may.
 */
static void check_segments(uint8_t op, uint32_t local, uint32_t remote,
                           uint8_t gen)
{
    const uint32_t mtu = 1000, len = 5000;
    Pair p = pair_new(gen, mtu);
    uint64_t polled = op == EFA_IO_RDMA_READ ? local : remote;
    EfaIoTxWqe wqe = wqe_rdma(op, 1, p.ah, p.b->qp->num, &p.local, &p.remote,
                              len);
    uint32_t total = 0, i, count;

    wqe.rdma.local.buf_addr_lo += local;
    wqe.rdma.remote.buf_addr_lo += remote;
    wire_auto(p.w, false);
    sq_post(p.a->qp, &wqe);
    settle();
    count = wire_count(p.w);
    g_assert_cmpuint(count, >, 4);
    for (i = 0; i < count; i++) {
        WirePkt *pkt = wire_take(p.w, 0);
        EfaPktRdma rdma;

        memcpy(&rdma, pkt->data + sizeof(pkt->hdr), sizeof(rdma));
        g_assert_cmpuint(rdma.offset, ==, total);
        g_assert_cmpuint(rdma.seg_length, <=, mtu);
        total += rdma.seg_length;
        if (total < len) {
            g_assert_cmpuint((polled + total) % LINE, ==, 0);
        }
        wire_deliver(p.w, pkt);
    }
    g_assert_cmpuint(total, ==, len);
    wire_auto(p.w, true);
    g_assert_cmpuint(cq_next(p.a->scq).status, ==, 0);
    pair_free(&p);
}

static void test_segments(void)
{
    check_segments(EFA_IO_RDMA_WRITE, 0, 0, 2);
    check_segments(EFA_IO_RDMA_WRITE, 0, 8, 2);
    check_segments(EFA_IO_RDMA_WRITE, 50, 127, 3);
    check_segments(EFA_IO_RDMA_READ, 0, 0, 2);
    check_segments(EFA_IO_RDMA_READ, 127, 50, 2);
    check_segments(EFA_IO_RDMA_READ, 8, 0, 1);
}

/* All lengths and alignments, and not a byte beyond. */
static void test_copy(void)
{
    uint8_t from[256], to[256], want[256];
    unsigned at, src, len, i;

    for (i = 0; i < sizeof(from); i++) {
        from[i] = i + 1;
    }
    for (at = 0; at < 17; at++) {
        for (src = 0; src < 17; src++) {
            for (len = 0; len < 100; len++) {
                memset(to, 0xee, sizeof(to));
                memset(want, 0xee, sizeof(want));
                memcpy(want + at, from + src, len);
                efa_copy_in_order(to + at, from + src, len);
                g_assert_cmpmem(to, sizeof(to), want, sizeof(want));
            }
        }
    }
}

/* ---- one who polls, while data come again and again ---- */

#define ROUNDS  20000

typedef struct Poll {
    const volatile uint64_t *line;      /* of LINES lines */
    uint64_t seen;                      /* rounds */
    bool torn;
    bool stop;
} Poll;

#define LINES   (LEN / LINE)

static gpointer poll_main(gpointer opaque)
{
    const unsigned words = LINE / sizeof(uint64_t);
    Poll *poll = opaque;
    unsigned i = 0, j;

    while (!qatomic_read(&poll->stop)) {
        const volatile uint64_t *line = poll->line + i * words;
        uint64_t flag = line[words - 1];

        smp_rmb();
        for (j = 0; j < words - 1; j++) {
            /* a later round may have begun, an earlier one must be over */
            poll->torn |= line[j] < flag;
        }
        poll->seen = MAX(poll->seen, flag);
        i = (i + 1) % LINES;
    }
    return NULL;
}

static void poll_round(Pair *p, uint8_t op, uint64_t round)
{
    Buf *from = op == EFA_IO_RDMA_READ ? &p->remote : &p->local;
    EfaIoTxWqe wqe = wqe_rdma(op, round, p->ah, p->b->qp->num, &p->local,
                              &p->remote, LEN);
    uint64_t *words = (uint64_t *)from->p;
    unsigned i;

    for (i = 0; i < LEN / sizeof(uint64_t); i++) {
        words[i] = round;
    }
    sq_post(p->a->qp, &wqe);
    g_assert_cmpuint(cq_next(p->a->scq).status, ==, 0);
}

/* The litmus test that the capability takes, by write and by read. */
static void test_litmus(void)
{
    static const uint8_t ops[] = { EFA_IO_RDMA_WRITE, EFA_IO_RDMA_READ };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(ops); i++) {
        Pair p = pair_new(2, 8928);
        Buf *to = ops[i] == EFA_IO_RDMA_READ ? &p.local : &p.remote;
        Poll poll = { .line = (const volatile uint64_t *)to->p };
        GThread *thread = g_thread_new("poll", poll_main, &poll);
        uint64_t round;

        for (round = 1; round <= ROUNDS; round++) {
            poll_round(&p, ops[i], round);
        }
        qatomic_set(&poll.stop, true);
        g_thread_join(thread);
        g_assert_false(poll.torn);
        g_assert_cmpuint(poll.seen, >, 1);
        pair_free(&p);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/polling/segments", test_segments);
    g_test_add_func("/polling/copy", test_copy);
    g_test_add_func("/polling/litmus", test_litmus);
    return g_test_run();
}
