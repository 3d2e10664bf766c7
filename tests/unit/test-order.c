/*
 * Unit tests: the order in which the guest sees what the device writes
 *
 * Control path specification, 14.1: an entry's payload, then the word that
 * makes it valid, then the interrupt. Data path specification, 7.7: all data
 * before the completion that vouches for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

static bool touches(const Host *h, unsigned i, uint64_t addr, size_t len)
{
    return !h->log[i].irq && h->log[i].addr < addr + len &&
           h->log[i].addr + h->log[i].len > addr;
}

/*
 * When the word at @publish of the entry went out: the last of its writes, of
 * which each byte had one.
 */
static unsigned published(const Host *h, const char *what, uint64_t entry,
                          size_t len, size_t publish)
{
    size_t written = 0;
    unsigned i, last = 0;

    g_assert_cmpuint(h->logged, <, G_N_ELEMENTS(h->log));
    for (i = 0; i < h->logged; i++) {
        if (touches(h, i, entry, len)) {
            g_assert_cmphex(h->log[i].addr, >=, entry);
            written += h->log[i].len;
            last = i;
        }
    }
    if (written != len || h->log[last].addr != entry + publish ||
        h->log[last].len != 4) {
        g_error("%s: %zu of %zu bytes, the last at 0x%" PRIx64, what, written,
                len, h->log[last].addr - entry);
    }
    return last;
}

/* All interrupts, and there must be one, are later than @when. */
static void irq_after(const Host *h, unsigned when)
{
    unsigned i, irqs = 0;

    for (i = 0; i < h->logged; i++) {
        if (h->log[i].irq) {
            g_assert_cmpuint(i, >, when);
            irqs++;
        }
    }
    g_assert_cmpuint(irqs, ==, 1);
}

/* All writes to [addr, addr + len) come before @when; how many bytes. */
static size_t data_before(const Host *h, unsigned when, uint64_t addr,
                          size_t len)
{
    size_t written = 0;
    unsigned i;

    for (i = 0; i < h->logged; i++) {
        if (touches(h, i, addr, len)) {
            g_assert_cmpuint(i, <, when);
            written += h->log[i].len;
        }
    }
    return written;
}

/* ---- control path ---- */

static void test_readless(void)
{
    Host *h = host_new(1);
    unsigned i;

    for (i = 0; i < 3; i++) {
        h->logged = 0;
        reg_read(h, A_CAPS);
        published(h, "readless response", h->resp, 8, 0);
    }
    hosts_free();
}

static void test_admin(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;
    unsigned i;

    for (i = 0; i < 2 * AQ_DEPTH; i++) {
        aq_put(h, &cmd);
        h->logged = 0;
        aq_ring(h);
        irq_after(h, published(h, "ACQ", h->acq + i % AQ_DEPTH * 64, 64, 0));
        g_assert_true(acq_take(h, &cqe));
    }
    hosts_free();
}

static void test_aenq(void)
{
    Host *h = host_new(1);
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);

    cmd.raw[4] = 0x1e;
    g_assert_cmpuint(admin_status(h, &cmd), ==, 0);
    h->logged = 0;
    efa_lock(&h->core->lock);
    efa_aenq_post(h->core, EFA_ADMIN_WARNING, 0);
    efa_unlock(&h->core->lock);
    irq_after(h, published(h, "AENQ", h->aenq, 64, 4));
    hosts_free();
}

/* ---- data path ---- */

/* A device that talks to itself, its completions with events. */
typedef struct Env {
    Host *h;
    End *e;
    Eq *eq;
    Cq *cq;
    Qp *qp;                     /* both queues complete in cq */
    uint16_t ah;
} Env;

static Env env_new(EfaQpType type, uint8_t entry_size)
{
    Env v = { .h = host_new(1) };
    CqOpts opts = { .entry_size = entry_size };

    v.eq = create_eq_ok(v.h, 512, 3);
    v.e = end_new(v.h, type);
    opts.eq = v.eq;
    v.cq = create_cq_ok(v.h, v.e->uar, &opts);
    v.qp = create_qp_ok(v.h, v.e->pd, v.e->uar, type, v.cq, v.cq, 16, 16);
    v.ah = create_ah_ok(v.h, v.e->pd, test_gid(1));
    qp_to_rts(v.qp);
    eq_arm(v.eq);
    cq_arm(v.cq);
    return v;
}

/* Post @wqe of @qp; the completion, the event and the interrupt in order. */
static unsigned run(Env *v, Qp *qp, const EfaIoTxWqe *wqe)
{
    unsigned cqe, eqe;

    v->h->logged = 0;
    sq_post(qp, wqe);
    settle();
    cqe = published(v->h, "CQ", v->cq->ring, v->cq->entry_size, 0);
    eqe = published(v->h, "EQ", v->eq->ring, 16, 0);
    g_assert_cmpuint(eqe, >, cqe);
    irq_after(v->h, eqe);
    return cqe;
}

static void check_receive(EfaQpType type, uint8_t entry_size)
{
    Env v = env_new(type, entry_size);
    uint32_t grh = type == EFA_QP_TYPE_UD ? EFA_UD_GRH_SIZE : 0;
    EfaIoTxWqe wqe = wqe_send(1, v.ah, v.qp->num);
    unsigned cqe;

    wqe_sge(&wqe, &v.e->tx, 0, 150);
    rq_put(v.qp, 1, &v.e->rx, 0, 100, true, false);
    rq_put(v.qp, 1, &v.e->rx, 5000, 100, false, true);
    rq_ring(v.qp);
    cqe = run(&v, v.e->qp, &wqe);
    g_assert_cmpuint(data_before(v.h, cqe, v.e->rx.dma, v.e->rx.len), ==,
                     150 + grh);
    hosts_free();
}

static void test_receive(void)
{
    check_receive(EFA_QP_TYPE_UD, 32);
    check_receive(EFA_QP_TYPE_UD, 16);
    check_receive(EFA_QP_TYPE_SRD, 32);
    check_receive(EFA_QP_TYPE_SRD, 16);
}

/* The immediate comes after all of its write, however many segments. */
static void test_write_imm(void)
{
    Env v = env_new(EFA_QP_TYPE_SRD, 32);
    const uint32_t len = 5 * EFA_MAX_MTU + 1;
    Buf to = reg_buf(v.h, v.e->pd, len, PERM_LOCAL_WRITE | PERM_REMOTE_WRITE);
    EfaIoTxWqe wqe = wqe_rdma(EFA_IO_RDMA_WRITE, 1, v.ah, v.qp->num, &v.e->tx,
                              &to, len);
    unsigned cqe;

    wqe_imm(&wqe, 1);
    rq_post(v.qp, 1, &v.e->rx, 0, 64);
    cqe = run(&v, v.e->qp, &wqe);
    g_assert_cmpuint(data_before(v.h, cqe, to.dma, to.len), ==, len);
    hosts_free();
}

/* The requester's completion vouches for a read here and a write there. */
static void test_rdma(void)
{
    static const uint8_t ops[] = { EFA_IO_RDMA_READ, EFA_IO_RDMA_WRITE };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(ops); i++) {
        Env v = env_new(EFA_QP_TYPE_SRD, 32);
        const uint32_t len = 5 * EFA_MAX_MTU + 1;
        uint8_t perm = PERM_LOCAL_WRITE | PERM_REMOTE_WRITE |
                       PERM_REMOTE_READ;
        Buf from = reg_buf(v.h, v.e->pd, len, perm);
        Buf to = reg_buf(v.h, v.e->pd, len, perm);
        bool read = ops[i] == EFA_IO_RDMA_READ;
        EfaIoTxWqe wqe = wqe_rdma(ops[i], 1, v.ah, v.e->qp->num,
                                  read ? &to : &from, read ? &from : &to,
                                  len);
        unsigned cqe = run(&v, v.qp, &wqe);

        g_assert_cmpuint(data_before(v.h, cqe, to.dma, to.len), ==, len);
        hosts_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/order/readless", test_readless);
    g_test_add_func("/order/admin", test_admin);
    g_test_add_func("/order/aenq", test_aenq);
    g_test_add_func("/order/receive", test_receive);
    g_test_add_func("/order/write-imm", test_write_imm);
    g_test_add_func("/order/rdma", test_rdma);
    return g_test_run();
}
