/*
 * Unit tests: what one process of a guest cannot do with another one's things
 *
 * A process has a UAR, pages of doorbells and of send queues, and PDs. Control
 * path specification, 10.2, 10.5 and 13.2; data path specification, 13.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

#define LLQ_PAGE    65536       /* the largest page of a guest */

static uint64_t bad_doorbells(const Host *h)
{
    return h->core->stats.bad_doorbells;
}

/* Two processes of one guest, whose completions have events. */
typedef struct Two {
    Host *h;
    Eq *eq;
    End *e[2];
    Cq *cq[2];
    Qp *qp[2];
    uint16_t ah[2];
} Two;

static Two two_new(void)
{
    Two t = { .h = host_new(1) };
    CqOpts opts = { .depth = 64 };
    unsigned i;

    t.eq = opts.eq = create_eq_ok(t.h, 512, 3);
    eq_arm(t.eq);
    for (i = 0; i < 2; i++) {
        t.e[i] = end_new(t.h, EFA_QP_TYPE_SRD);
        t.cq[i] = create_cq_ok(t.h, t.e[i]->uar, &opts);
        t.qp[i] = create_qp_ok(t.h, t.e[i]->pd, t.e[i]->uar, EFA_QP_TYPE_SRD,
                               t.cq[i], t.cq[i], 16, 16);
        qp_to_rts(t.qp[i]);
        t.ah[i] = create_ah_ok(t.h, t.e[i]->pd, test_gid(1));
    }
    return t;
}

/* ---- doorbells ---- */

/* Everything that may be written into a page that is not one's own. */
static void test_foreign_doorbells(void)
{
    Two t = two_new();
    EfaIoTxWqe wqe = wqe_send(1, t.ah[0], t.qp[0]->num);
    uint16_t third = alloc_uar_ok(t.h);
    uint32_t pages[] = { t.e[1]->uar, third, third + 1, EFA_MAX_UARS - 1 };
    unsigned i, offset;
    EfaIoCdesc e;

    /* work and a completion that wait for the first one's doorbells */
    sq_put(t.qp[0], &wqe);
    rq_put(t.qp[0], 1, &t.e[0]->rx, 0, 64, true, true);
    for (i = 0; i < G_N_ELEMENTS(pages); i++) {
        for (offset = 0; offset < EFA_DB_PAGE_SIZE; offset += 4) {
            uint32_t at = pages[i] * EFA_DB_PAGE_SIZE + offset;
            uint64_t before = bad_doorbells(t.h);
            bool others = i == 0 &&
                          (at == t.qp[1]->sq_db || at == t.qp[1]->rq_db ||
                           at == t.cq[1]->db || at == t.e[1]->qp->sq_db ||
                           at == t.e[1]->qp->rq_db ||
                           at == t.e[1]->scq->db || at == t.e[1]->rcq->db);

            if (!others) {
                /* an arm and a producer counter at once */
                db_write(t.h, at, 1u << 31 | 1);
                g_assert_cmpuint(bad_doorbells(t.h), ==, before + 1);
            }
        }
    }
    settle();
    g_assert_false(cq_poll(t.cq[0], &e));
    g_assert_cmpint(eq_take(t.eq), ==, -1);
    g_assert_cmpuint(qp_query(t.qp[0]).qp_state, ==, EFA_QP_STATE_RTS);
    rq_ring(t.qp[0]);
    sq_ring(t.qp[0]);
    g_assert_cmpuint(cq_next(t.cq[0]).status, ==, 0);
    g_assert_cmpuint(cq_next(t.cq[0]).status, ==, 0);
    /* none of those arms was its own */
    g_assert_cmpint(eq_take(t.eq), ==, -1);
    hosts_free();
}

/* 13.1: no doorbell at all; ignored, and counted one by one. */
static void test_no_doorbells(void)
{
    Two t = two_new();
    const struct {
        const char *name;
        uint64_t addr;
        unsigned size;
    } rows[] = {
        { "1 byte", t.qp[0]->sq_db, 1 }, { "2 bytes", t.qp[0]->sq_db, 2 },
        { "8 bytes", t.qp[0]->sq_db, 8 },
        { "unaligned", t.qp[0]->sq_db + 1, 4 },
        { "unaligned by 2", t.qp[0]->sq_db + 2, 4 },
        { "CQ, 8 bytes", t.cq[0]->db & ~7u, 8 },
        { "no such QP", t.qp[0]->sq_db + 800, 4 },
        { "no such CQ", t.cq[0]->db + 400, 4 },
        { "behind the BAR", EFA_DB_BAR_SIZE, 4 },
        { "far behind the BAR", 1ull << 32, 4 },
    };
    EfaIoTxWqe wqe = wqe_send(1, t.ah[0], t.qp[0]->num);
    uint64_t before;
    unsigned i;

    sq_put(t.qp[0], &wqe);
    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        before = bad_doorbells(t.h);
        efa_core_doorbell_write(t.h->core, rows[i].addr, 1u << 31 | 1,
                                rows[i].size);
        if (bad_doorbells(t.h) != before + 1) {
            g_error("%s: counted %" PRIu64 " times", rows[i].name,
                    bad_doorbells(t.h) - before);
        }
    }
    assert_cq_empty(t.cq[0]);
    g_assert_cmpint(eq_take(t.eq), ==, -1);
    /* a queue pair that has no such queue */
    {
        Qp *qp = create_qp_ok(t.h, t.e[0]->pd, t.e[0]->uar,
                              EFA_QP_TYPE_SRD, t.cq[0], t.cq[0], 16, 0);

        qp_to_rts(qp);
        before = bad_doorbells(t.h);
        db_write(t.h, qp->rq_db, 1);
        g_assert_cmpuint(bad_doorbells(t.h), ==, before + 1);
        g_assert_cmpuint(qp_query(qp).qp_state, ==, EFA_QP_STATE_RTS);
    }
    before = bad_doorbells(t.h);
    reg_write(t.h, A_EQ_DB, (t.eq->eqn + 1) | R_EQ_DB_ARM_MASK);
    reg_write(t.h, A_AENQ_CONS_DB, 1);
    g_assert_cmpuint(bad_doorbells(t.h), ==, before + 2);
    hosts_free();
}

/* 10.2: a process keeps its mappings when its queues have gone. */
static void test_dead_queues(void)
{
    EfaConfig cfg = test_config(1);
    uint32_t sq_db, rq_db, cq_db;
    uint64_t before;
    uint16_t uar;
    End *e, *heir;
    Cq *cq;
    Host *h;

    cfg.max_cq = 4;
    cfg.max_qp = 4;
    h = host_new_cfg(&cfg);
    e = end_new(h, EFA_QP_TYPE_SRD);
    cq = create_cq_ok(h, e->uar, NULL);
    sq_db = e->qp->sq_db;
    rq_db = e->qp->rq_db;
    cq_db = cq->db;
    g_assert_cmpuint(qp_destroy(e->qp), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, cq->idx), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, e->scq->idx), ==, 0);
    heir = end_new(h, EFA_QP_TYPE_SRD);
    before = bad_doorbells(h);
    db_write(h, sq_db, 1);
    db_write(h, rq_db, 1);
    db_write(h, cq_db, 1u << 31);
    g_assert_cmpuint(bad_doorbells(h), ==, before + 3);
    assert_cq_empty(heir->scq);
    g_assert_cmpuint(qp_query(heir->qp).qp_state, ==, EFA_QP_STATE_RTS);

    /* the page is somebody else's only after DEALLOC_UAR, with all gone */
    uar = e->uar;
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_UAR, uar), ==, 7);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_CQ, e->rcq->idx), ==, 0);
    while (alloc_uar_ok(h) != EFA_MAX_UARS - 1) {
        ;
    }
    {
        EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_UAR);

        g_assert_cmpuint(admin_status(h, &cmd), ==, 1);
    }
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_UAR, uar), ==, 0);
    g_assert_cmpuint(alloc_uar_ok(h), ==, uar);
    hosts_free();
}

/* ---- send queue windows ---- */

/* 10.5: no page, of whichever size, has windows of two processes. */
static void test_llq_pages(void)
{
    EfaConfig cfg = test_config_of(1, 3);
    uint16_t owner[64] = { 0 };
    unsigned i;
    Host *h;

    cfg.max_qp = 64;
    h = host_new_cfg(&cfg);
    for (i = 0; i < 21; i++) {
        End *e = end_new(h, EFA_QP_TYPE_UD);
        Qp *qps[] = {
            e->qp,
            create_qp_ok(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq, e->rcq,
                         1024, 0),
            create_qp_ok(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq, e->rcq, 1,
                         0),
        };
        unsigned j;

        for (j = 0; j < 3; j++) {
            uint32_t first = qps[j]->llq / LLQ_PAGE;
            uint32_t last = (qps[j]->llq + qps[j]->sq_depth *
                             qps[j]->wqe_size - 1) / LLQ_PAGE;

            for (; first <= last; first++) {
                g_assert_true(!owner[first] || owner[first] == e->uar + 1);
                owner[first] = e->uar + 1;
            }
        }
    }
    hosts_free();
}

/* ---- protection domains ---- */

/* What a QP of the first PD may not use, being the second one's. */
static void test_pds(void)
{
    static const struct {
        const char *name;
        uint8_t op;
        bool key, ah, buffer, rkey;     /* is the other one's */
        uint8_t status;
    } rows[] = {
        { "send", EFA_IO_SEND, .status = 0 },
        { "send, lkey", EFA_IO_SEND, .key = true, .status = 5 },
        { "send, AH", EFA_IO_SEND, .ah = true, .status = 4 },
        { "send, receive buffer", EFA_IO_SEND, .buffer = true, .status = 12 },
        { "write", EFA_IO_RDMA_WRITE, .status = 0 },
        { "write, lkey", EFA_IO_RDMA_WRITE, .key = true, .status = 5 },
        { "write, AH", EFA_IO_RDMA_WRITE, .ah = true, .status = 4 },
        { "write, rkey", EFA_IO_RDMA_WRITE, .rkey = true, .status = 7 },
        { "read", EFA_IO_RDMA_READ, .status = 0 },
        { "read, lkey", EFA_IO_RDMA_READ, .key = true, .status = 5 },
        { "read, AH", EFA_IO_RDMA_READ, .ah = true, .status = 4 },
        { "read, rkey", EFA_IO_RDMA_READ, .rkey = true, .status = 7 },
    };
    unsigned i, j;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Two t = two_new();
        EfaIoTxWqe wqe;
        Buf buf[2];
        uint8_t status;

        for (j = 0; j < 2; j++) {
            buf[j] = reg_buf(t.h, t.e[j]->pd, 4096, PERM_LOCAL_WRITE |
                             PERM_REMOTE_WRITE | PERM_REMOTE_READ);
        }
        if (rows[i].op == EFA_IO_SEND) {
            wqe = wqe_send(1, t.ah[rows[i].ah], t.qp[0]->num);
            wqe_sge(&wqe, &buf[rows[i].key], 0, 100);
        } else {
            wqe = wqe_rdma(rows[i].op, 1, t.ah[rows[i].ah], t.qp[0]->num,
                           &buf[rows[i].key], &buf[rows[i].rkey], 100);
        }
        /* the other end of the same PD */
        rq_post(t.e[0]->qp, 1, &buf[rows[i].buffer], 0, 100);
        wqe.meta.dest_qp_num = t.e[0]->qp->num;
        sq_post(t.qp[0], &wqe);
        status = cq_next(t.cq[0]).status;
        if (status != rows[i].status) {
            g_error("%s: status %u", rows[i].name, status);
        }
        hosts_free();
    }
}

/* 14.2: two handles for one destination are one that lives as long. */
static void test_shared_handle(void)
{
    Two t = two_new();
    uint16_t again = create_ah_ok(t.h, t.e[0]->pd, test_gid(1));
    EfaIoTxWqe wqe = wqe_send(1, t.ah[0], t.qp[0]->num);
    unsigned i;

    g_assert_cmpuint(again, ==, t.ah[0]);
    for (i = 0; i < 2; i++) {
        rq_post(t.qp[0], 1, &t.e[0]->rx, 0, 64);
        sq_post(t.qp[0], &wqe);
        g_assert_cmpuint(cq_next(t.cq[0]).status, ==, 0);
        g_assert_cmpuint(cq_next(t.cq[0]).status, ==, 0);
        if (i == 0) {
            g_assert_cmpuint(destroy_ah(t.h, t.e[0]->pd, again), ==, 0);
        }
    }
    g_assert_cmpuint(destroy_ah(t.h, t.e[0]->pd, again), ==, 0);
    sq_post(t.qp[0], &wqe);
    g_assert_cmpuint(cq_next(t.cq[0]).status, ==, 4);
    hosts_free();
}

/* ---- what had the number before ---- */

/* An EQ's stale arm, and a QP's stale handle, find nobody for long. */
static void test_stale_numbers(void)
{
    EfaConfig cfg = test_config(1);
    Host *h;
    Eq *eq, *other;
    End *e;
    Qp *qp;
    unsigned i;

    cfg.max_eq = 8;
    cfg.max_qp = 8;
    h = host_new_cfg(&cfg);
    eq = create_eq_ok(h, 512, 1);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DESTROY_EQ, eq->eqn), ==, 0);
    for (i = 0; i < 7; i++) {
        uint64_t before = bad_doorbells(h);

        other = create_eq_ok(h, 512, 2);
        g_assert_cmpuint(other->eqn, !=, eq->eqn);
        eq_arm(eq);
        g_assert_cmpuint(bad_doorbells(h), ==, before + 1);
    }

    e = end_new(h, EFA_QP_TYPE_SRD);
    qp = e->qp;
    g_assert_cmpuint(qp_destroy(qp), ==, 0);
    for (i = 0; i < 8; i++) {
        create_qp_ok(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq, e->rcq, 4, 4);
        g_assert_cmpuint(qp_destroy(qp), ==, 5);
        g_assert_cmpuint(qp_modify(qp, 0, 0, 0, 0), ==, 5);
    }
    hosts_free();
}

/* Who makes and destroys queue pairs all day takes no window from others. */
static void test_churn(void)
{
    EfaConfig cfg = test_config(1);
    uint16_t last = 0;
    unsigned i;
    End *e;
    Host *h;

    cfg.max_qp = 8;
    h = host_new_cfg(&cfg);
    e = end_new(h, EFA_QP_TYPE_SRD);
    for (i = 0; i < 1000; i++) {
        Qp *qp = create_qp_ok(h, e->pd, e->uar, EFA_QP_TYPE_SRD, e->scq,
                              e->rcq, 4, 4);

        g_assert_cmphex(qp->num, !=, last);
        last = qp->num;
        g_assert_cmpuint(qp_destroy(qp), ==, 0);
    }
    for (i = 0; i < 6; i++) {
        end_new(h, EFA_QP_TYPE_SRD);
    }
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isolation/foreign-doorbells", test_foreign_doorbells);
    g_test_add_func("/isolation/no-doorbells", test_no_doorbells);
    g_test_add_func("/isolation/dead-queues", test_dead_queues);
    g_test_add_func("/isolation/llq-pages", test_llq_pages);
    g_test_add_func("/isolation/pds", test_pds);
    g_test_add_func("/isolation/shared-handle", test_shared_handle);
    g_test_add_func("/isolation/stale-numbers", test_stale_numbers);
    g_test_add_func("/isolation/churn", test_churn);
    return g_test_run();
}
