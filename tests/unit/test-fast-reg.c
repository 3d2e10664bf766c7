/*
 * Unit tests: regions that are registered by work request
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

#define PAGES   8

typedef struct Fast {
    Host *h;
    End *e;                     /* talks to itself */
    uint16_t ah;
    uint32_t key;               /* as allocated */
    uint64_t mem;               /* PAGES pages */
    uint64_t list;              /* their addresses */
    uint64_t iova;
} Fast;

static uint8_t alloc_mr(Host *h, uint16_t pd, uint32_t pages, uint32_t *key)
{
    EfaAllocMrCmd cmd = CMD(EfaAllocMrCmd, EFA_ADMIN_ALLOC_MR, .pd = pd,
                            .max_pages = pages);
    EfaAcqEntry cqe = admin(h, &cmd);
    EfaAllocMrResp resp;

    if (!cqe.status && key) {
        memcpy(&resp, cqe.response, sizeof(resp));
        g_assert_cmphex(resp.l_key, ==, resp.r_key);
        *key = resp.l_key;
    }
    return cqe.status;
}

static Fast fast_new(void)
{
    Fast f = { .h = host_new(1), .iova = 0x700000000000ull };
    unsigned i;

    f.e = end_new(f.h, EFA_QP_TYPE_SRD);
    f.ah = create_ah_ok(f.h, f.e->pd, test_gid(1));
    g_assert_cmpuint(alloc_mr(f.h, f.e->pd, PAGES, &f.key), ==, 0);
    /* free for the consumer's bits */
    g_assert_cmphex(f.key & 0xfff800ff, ==, 0);
    g_assert_cmphex(f.key, !=, 0);
    f.mem = host_alloc(f.h, PAGES * HOST_PAGE, HOST_PAGE);
    f.list = host_alloc(f.h, PAGES * 8, 8);
    for (i = 0; i < PAGES; i++) {
        /* backwards, so that each page is a run */
        ((uint64_t *)host_ptr(f.h, f.list))[i] =
            f.mem + (PAGES - 1 - i) * HOST_PAGE;
    }
    return f;
}

static EfaIoTxWqe fast_wqe(uint8_t op, uint16_t req, uint32_t key)
{
    return (EfaIoTxWqe) {
        .meta = {
            .req_id = req,
            .ctrl1 = R_TX_CTRL1_META_DESC_MASK | op,
            .ctrl2 = R_TX_CTRL2_FIRST_MASK | R_TX_CTRL2_LAST_MASK |
                     R_TX_CTRL2_COMP_REQ_MASK,
        },
        .fast_reg = { .lkey = key },
    };
}

/* All pages under @key, to be written by RDMA. */
static EfaIoTxWqe reg_wqe(const Fast *f, uint16_t req, uint32_t key)
{
    EfaIoTxWqe wqe = fast_wqe(EFA_IO_FAST_REG, req, key);

    wqe.fast_reg.permissions = PERM_LOCAL_WRITE | PERM_REMOTE_WRITE |
                               PERM_REMOTE_READ;
    wqe.fast_reg.flags = 12 | EFA_FAST_REG_PBL_DIRECT <<
                              R_FAST_REG_FLAGS_PBL_MODE_SHIFT;
    wqe.fast_reg.iova = f->iova;
    wqe.fast_reg.mr_length = PAGES * HOST_PAGE;
    wqe.fast_reg.pbl = f->list;
    return wqe;
}

static uint8_t run(Fast *f, const EfaIoTxWqe *wqe)
{
    EfaIoCdesc e;

    sq_post(f->e->qp, wqe);
    e = cq_next(f->e->scq);
    g_assert_cmpuint(e.req_id, ==, wqe->meta.req_id);
    g_assert_cmpuint(FIELD_EX8(e.flags, CDESC_FLAGS, OP_TYPE), ==,
                     FIELD_EX8(wqe->meta.ctrl1, TX_CTRL1, OP_TYPE));
    return e.status;
}

/* Write @len bytes of tx to @offset of the region. */
static EfaIoTxWqe write_wqe(const Fast *f, uint16_t req, uint32_t key,
                            uint64_t offset, uint32_t len)
{
    Buf to = { .iova = f->iova + offset, .key = key };

    return wqe_rdma(EFA_IO_RDMA_WRITE, req, f->ah, f->e->qp->num, &f->e->tx,
                    &to, len);
}

static uint8_t write_to(Fast *f, uint32_t key, uint64_t offset, uint32_t len)
{
    EfaIoTxWqe wqe = write_wqe(f, 99, key, offset, len);

    return run(f, &wqe);
}

static void test_life(void)
{
    Fast f = fast_new();
    unsigned round;

    memset(f.e->tx.p, 0x5a, 5000);
    g_assert_cmpuint(write_to(&f, f.key, 0, 8), ==, 7);
    for (round = 1; round < 40; round++) {
        /* the consumer's 8 bits, and the driver's 4 */
        uint32_t key = f.key | round | (round & 15) << 20;
        EfaIoTxWqe wqe = reg_wqe(&f, round, key);
        uint8_t *second = host_ptr(f.h, f.mem + (PAGES - 2) * HOST_PAGE);

        g_assert_cmpuint(run(&f, &wqe), ==, 0);
        memset(second, 0, HOST_PAGE);
        g_assert_cmpuint(write_to(&f, key, HOST_PAGE - 1, 2), ==, 0);
        g_assert_cmphex(second[0], ==, 0x5a);
        g_assert_cmphex(second[1], ==, 0);
        g_assert_cmpuint(write_to(&f, key, 0, PAGES * HOST_PAGE), ==, 0);
        g_assert_cmpuint(write_to(&f, key, 1, PAGES * HOST_PAGE), ==, 7);
        /* no key but this one */
        g_assert_cmpuint(write_to(&f, f.key, 0, 8), ==, 7);
        g_assert_cmpuint(write_to(&f, key ^ 1, 0, 8), ==, 7);
        g_assert_cmpuint(write_to(&f, key ^ 0x100000, 0, 8), ==, 7);
        g_assert_cmpuint(write_to(&f, key | 1u << 24, 0, 8), ==, 7);
        g_assert_cmpuint(write_to(&f, key | 1u << 19, 0, 8), ==, 7);
        /* not twice */
        g_assert_cmpuint(run(&f, &wqe), ==, 5);

        wqe = fast_wqe(EFA_IO_FAST_INV, round, key ^ 1);
        g_assert_cmpuint(run(&f, &wqe), ==, 5);
        wqe.fast_reg.lkey = key;
        g_assert_cmpuint(run(&f, &wqe), ==, 0);
        g_assert_cmpuint(run(&f, &wqe), ==, 5);
        g_assert_cmpuint(write_to(&f, key, 0, 8), ==, 7);
    }
    /* deregistered by a key whose low bits have changed since (5.8) */
    g_assert_cmpuint(dereg(f.h, f.key | 7), ==, 0);
    g_assert_cmpuint(dereg(f.h, f.key), ==, 5);
    hosts_free();
}

/* What is deregistered while registered is gone as well. */
static void test_dereg(void)
{
    Fast f = fast_new();
    EfaIoTxWqe wqe = reg_wqe(&f, 1, f.key | 3);

    g_assert_cmpuint(run(&f, &wqe), ==, 0);
    g_assert_cmpuint(dereg(f.h, f.key | 3), ==, 0);
    g_assert_cmpuint(write_to(&f, f.key | 3, 0, 8), ==, 7);
    /* nothing of the kind is left in this PD */
    g_assert_cmpuint(run(&f, &wqe), ==, 3);
    hosts_free();
}

static void test_inline_page(void)
{
    Fast f = fast_new();
    EfaIoTxWqe wqe = reg_wqe(&f, 1, f.key);

    wqe.fast_reg.flags = 12;
    wqe.fast_reg.pbl = f.mem;
    g_assert_cmpuint(run(&f, &wqe), ==, 6);     /* one page only */
    wqe.fast_reg.iova += 100;
    wqe.fast_reg.mr_length = HOST_PAGE - 100;
    g_assert_cmpuint(run(&f, &wqe), ==, 0);
    f.e->tx.p[0] = 0x77;
    g_assert_cmpuint(write_to(&f, f.key, 100, 1), ==, 0);
    g_assert_cmphex(*(uint8_t *)host_ptr(f.h, f.mem + 100), ==, 0x77);
    g_assert_cmpuint(write_to(&f, f.key, 99, 1), ==, 7);
    hosts_free();
}

static void test_bad_requests(void)
{
    Fast f = fast_new();
    EfaIoTxWqe good = reg_wqe(&f, 1, f.key), wqe;

#define BAD(_status, ...)                               \
    wqe = good;                                         \
    __VA_ARGS__;                                        \
    g_assert_cmpuint(run(&f, &wqe), ==, _status)

    BAD(5, wqe.fast_reg.lkey = f.key + 0x100);
    BAD(5, wqe.fast_reg.lkey = f.e->rx.key);            /* not of the kind */
    BAD(5, wqe.fast_reg.lkey |= 1u << 24);
    BAD(2, wqe.fast_reg.permissions = 8);
    BAD(2, wqe.fast_reg.flags |= 0x80);
    BAD(2, wqe.fast_reg.flags |= 0x40);                 /* mode 3 */
    BAD(2, wqe.fast_reg.flags &= ~31);                  /* pages of a byte */
    BAD(6, wqe.fast_reg.mr_length = 0);
    BAD(6, wqe.fast_reg.mr_length++);                   /* a page too many */
    BAD(6, wqe.fast_reg.iova = UINT64_MAX - 100);
    BAD(6, wqe.fast_reg.mr_length = UINT64_MAX);
    BAD(6, wqe.fast_reg.iova = ~0xfffull;               /* wraps */
           wqe.fast_reg.mr_length = 2 * HOST_PAGE);
    BAD(5, wqe.fast_reg.pbl = 1ull << 47);              /* not there */
    BAD(2, wqe.meta.length = 1);
    BAD(2, wqe.meta.ctrl1 |= R_TX_CTRL1_INLINE_MSG_MASK);
    BAD(2, wqe_imm(&wqe, 1));
    BAD(2, wqe.meta.ctrl1 &= ~R_TX_CTRL1_META_DESC_MASK);
    ((uint64_t *)host_ptr(f.h, f.list))[3] |= 1;
    BAD(5, wqe = good);                                 /* misaligned page */
    ((uint64_t *)host_ptr(f.h, f.list))[3] &= ~1ull;
    BAD(0, wqe = good);
#undef BAD
    /* nothing is left of the pages of those that failed half-way */
    memset(f.e->tx.p, 0x5a, 2);
    g_assert_cmpuint(write_to(&f, f.key, 4 * HOST_PAGE - 1, 2), ==, 0);
    g_assert_cmphex(*(uint8_t *)host_ptr(f.h, f.mem + (PAGES - 4) * HOST_PAGE +
                                         HOST_PAGE - 1), ==, 0x5a);
    g_assert_cmphex(*(uint8_t *)host_ptr(f.h, f.mem + (PAGES - 5) * HOST_PAGE),
                    ==, 0x5a);
    hosts_free();
}

/* A user has no such region, and another PD's is not his. */
static void test_owner(void)
{
    Fast f = fast_new();
    End *user = end_new(f.h, EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = reg_wqe(&f, 1, f.key);
    uint32_t key;

    sq_post(user->qp, &wqe);
    g_assert_cmpuint(cq_next(user->scq).status, ==, 3);
    g_assert_cmpuint(alloc_mr(f.h, user->pd, 1, &key), ==, 0);
    sq_post(user->qp, &wqe);
    g_assert_cmpuint(cq_next(user->scq).status, ==, 5);
    /* nor can he take it away */
    g_assert_cmpuint(run(&f, &wqe), ==, 0);
    wqe = fast_wqe(EFA_IO_FAST_INV, 2, f.key);
    sq_post(user->qp, &wqe);
    g_assert_cmpuint(cq_next(user->scq).status, ==, 5);
    g_assert_cmpuint(write_to(&f, f.key, 0, 8), ==, 0);
    hosts_free();
}

/* UD has sends and nothing else. */
static void test_ud(void)
{
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_UD);
    EfaIoTxWqe wqe;
    uint32_t key;

    g_assert_cmpuint(alloc_mr(h, e->pd, 1, &key), ==, 0);
    wqe = fast_wqe(EFA_IO_FAST_INV, 1, key);
    sq_post(e->qp, &wqe);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 3);
    hosts_free();
}

/* An invalidation lets what came before it finish. */
static void test_fence(void)
{
    Wire *w = wire_new();
    Host *h = host_new_on(1, w);
    End *e = end_new(h, EFA_QP_TYPE_SRD), *peer;
    Fast f = { .h = h, .e = e };
    EfaIoTxWqe wqe;
    EfaIoCdesc c;

    peer = end_new(host_new_on(2, w), EFA_QP_TYPE_SRD);
    f.ah = create_ah_ok(h, e->pd, test_gid(2));
    g_assert_cmpuint(alloc_mr(h, e->pd, 1, &f.key), ==, 0);
    wqe = fast_wqe(EFA_IO_FAST_REG, 1, f.key);
    wqe.fast_reg.flags = 12;
    wqe.fast_reg.iova = 0x1000;
    wqe.fast_reg.mr_length = HOST_PAGE;
    wqe.fast_reg.pbl = host_alloc(h, HOST_PAGE, HOST_PAGE);
    sq_put(e->qp, &wqe);
    /* registered, used and invalidated in one go */
    wqe = wqe_send(2, f.ah, peer->qp->num);
    wqe_sge(&wqe, &(Buf) { .iova = 0x1000, .key = f.key }, 0, 64);
    sq_put(e->qp, &wqe);
    wqe = fast_wqe(EFA_IO_FAST_INV, 3, f.key);
    sq_put(e->qp, &wqe);
    wqe = wqe_send(4, f.ah, peer->qp->num);
    wqe_inline(&wqe, "x", 1);
    sq_put(e->qp, &wqe);
    wire_auto(w, false);
    sq_ring(e->qp);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 1);
    g_assert_cmpuint(c.status, ==, 0);
    assert_cq_empty(e->scq);        /* the send is under way */

    rq_post(peer->qp, 1, &peer->rx, 0, 64);
    rq_post(peer->qp, 2, &peer->rx, 64, 64);
    wire_auto(w, true);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 2);
    g_assert_cmpuint(c.status, ==, 0);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 3);
    g_assert_cmpuint(c.status, ==, 0);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 4);
    g_assert_cmpuint(c.status, ==, 0);

    /* flushed while it waits */
    wqe = wqe_send(5, f.ah, peer->qp->num);
    wqe_inline(&wqe, "x", 1);
    wire_auto(w, false);
    sq_put(e->qp, &wqe);
    wqe = fast_wqe(EFA_IO_FAST_INV, 6, f.key);
    sq_post(e->qp, &wqe);
    g_assert_cmpuint(qp_to(e->qp, EFA_QP_STATE_ERR), ==, 0);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 1);
    g_assert_cmpuint(cq_next(e->scq).status, ==, 1);
    hosts_free();
    wire_free(w);
}

/*
 * An invalidation that waits for a peer without buffers holds up nobody: not
 * even what was posted behind it.
 */
static void test_fence_blocks_nobody(void)
{
    Wire *w = wire_new();
    Host *h = host_new_on(1, w);
    End *e = end_new(h, EFA_QP_TYPE_SRD), *deaf, *good;
    uint16_t to_deaf, to_good;
    EfaIoTxWqe wqe;
    EfaIoCdesc c;
    uint32_t key;

    deaf = end_new(host_new_on(2, w), EFA_QP_TYPE_SRD);
    good = end_new(host_new_on(3, w), EFA_QP_TYPE_SRD);
    to_deaf = create_ah_ok(h, e->pd, test_gid(2));
    to_good = create_ah_ok(h, e->pd, test_gid(3));
    g_assert_cmpuint(alloc_mr(h, e->pd, 1, &key), ==, 0);
    rq_post(good->qp, 1, &good->rx, 0, 64);
    wqe = wqe_send(2, to_deaf, deaf->qp->num);
    wqe_inline(&wqe, "x", 1);
    sq_put(e->qp, &wqe);
    wqe = fast_wqe(EFA_IO_FAST_INV, 3, key);
    sq_put(e->qp, &wqe);
    wqe = fast_wqe(EFA_IO_FAST_INV, 4, key);
    sq_put(e->qp, &wqe);
    wqe = wqe_send(5, to_good, good->qp->num);
    wqe_inline(&wqe, "y", 1);
    sq_post(e->qp, &wqe);
    g_assert_cmpuint(cq_next(e->scq).req_id, ==, 5);
    advance(1000 * EFA_NSEC_PER_MSEC);
    assert_cq_empty(e->scq);

    rq_post(deaf->qp, 1, &deaf->rx, 0, 64);
    advance(100 * EFA_NSEC_PER_MSEC);
    g_assert_cmpuint(cq_next(e->scq).req_id, ==, 2);
    c = cq_next(e->scq);
    g_assert_cmpuint(c.req_id, ==, 3);
    g_assert_cmpuint(c.status, ==, 5);      /* never registered */
    g_assert_cmpuint(cq_next(e->scq).req_id, ==, 4);
    hosts_free();
    wire_free(w);
}

/* No key of one kind is ever one of the other, whatever consumers choose. */
static void test_keys_apart(void)
{
    Host *h = host_new(1);
    uint16_t pd = alloc_pd_ok(h);
    EfaRegMrCmd cmd = mr_cmd(pd, HOST_DMA_BASE, 64, 0);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    uint32_t i, key;

    cmd.inline_pbl_array[0] = HOST_DMA_BASE;
    for (i = 0; i < 65000; i++) {
        EfaRegMrResp resp;

        admin_ok(h, &cmd, &resp, sizeof(resp));
        g_assert_cmphex(resp.l_key & 0xff080000, ==, 0x80000);
        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(resp.l_key)));
    }
    /* they leave room for the other kind, as far as there is any */
    for (i = 0; i < 535; i++) {
        g_assert_cmpuint(alloc_mr(h, pd, 1, &key), ==, 0);
        g_assert_cmphex(key & 0xfff800ff, ==, 0);
    }
    g_assert_cmpuint(alloc_mr(h, pd, 1, &key), ==, 1);
    hosts_free();
}

/* An index is of use again under 128 keys, one after the other. */
static void test_generations(void)
{
    EfaConfig cfg = test_config(1);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    uint16_t pd;
    unsigned i;
    Host *h;

    cfg.max_mr = 1;
    h = host_new_cfg(&cfg);
    pd = alloc_pd_ok(h);
    for (i = 0; i < 128; i++) {
        Buf b = reg_buf(h, pd, 1, 0);

        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(b.key)));
        g_assert_cmpuint(dereg(h, b.key), ==, 0);
        g_assert_cmpuint(dereg(h, b.key), ==, 5);
    }
    hosts_free();
}

/* Long lists are read a few at a time, not all inside one doorbell. */
static void test_long_lists(void)
{
    const unsigned pages = 8192;
    Host *h = host_new(1);
    End *e = end_new(h, EFA_QP_TYPE_SRD);
    uint64_t list = host_alloc(h, pages * 8, 8);
    unsigned i, done = 0;
    EfaIoCdesc c;

    for (i = 0; i < pages; i++) {
        ((uint64_t *)host_ptr(h, list))[i] = HOST_DMA_BASE + i % 2 * HOST_PAGE;
    }
    for (i = 0; i < 32; i++) {
        EfaIoTxWqe wqe;
        uint32_t key;

        g_assert_cmpuint(alloc_mr(h, e->pd, pages, &key), ==, 0);
        wqe = fast_wqe(EFA_IO_FAST_REG, i, key);
        wqe.fast_reg.flags = 12 | EFA_FAST_REG_PBL_DIRECT <<
                                  R_FAST_REG_FLAGS_PBL_MODE_SHIFT;
        wqe.fast_reg.mr_length = pages * (uint64_t)HOST_PAGE;
        wqe.fast_reg.pbl = list;
        sq_put(e->qp, &wqe);
    }
    sq_ring(e->qp);
    while (cq_poll(e->scq, &c)) {
        g_assert_cmpuint(c.status, ==, 0);
        done++;
    }
    g_assert_cmpuint(done, ==, 1);
    for (; done < 32; done++) {
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
    }
    hosts_free();
}

static void test_alloc(void)
{
    Host *h = host_new(1);
    uint16_t pd = alloc_pd_ok(h);
    EfaAllocMrCmd cmd = CMD(EfaAllocMrCmd, EFA_ADMIN_ALLOC_MR, .pd = pd,
                            .max_pages = 1, .reserved1 = 1);
    EfaConfig cfg = test_config(2);
    uint32_t key;
    unsigned i;

    g_assert_cmpuint(alloc_mr(h, 99, 1, NULL), ==, 5);
    g_assert_cmpuint(alloc_mr(h, pd, 0, NULL), ==, 5);
    g_assert_cmpuint(alloc_mr(h, pd, 65537, NULL), ==, 5);
    g_assert_cmpuint(alloc_mr(h, pd, 65536, &key), ==, 0);
    g_assert_cmpuint(admin_status(h, &cmd), ==, 4);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 7);
    g_assert_cmpuint(dereg(h, key), ==, 0);
    g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, pd), ==, 0);
    /* 13.2: as many as there are regions */
    cfg.max_mr = 3;
    h = host_new_cfg(&cfg);
    pd = alloc_pd_ok(h);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(alloc_mr(h, pd, 1, &key), ==, 0);
    }
    g_assert_cmpuint(alloc_mr(h, pd, 1, NULL), ==, 1);
    g_assert_cmpuint(dereg(h, key), ==, 0);
    g_assert_cmpuint(alloc_mr(h, pd, 1, NULL), ==, 0);
    cfg.gid = test_gid(3);
    cfg.fast_reg = ON_OFF_AUTO_OFF;
    h = host_new_cfg(&cfg);
    g_assert_cmpuint(alloc_mr(h, alloc_pd_ok(h), 1, NULL), ==, 3);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fast-reg/alloc", test_alloc);
    g_test_add_func("/fast-reg/life", test_life);
    g_test_add_func("/fast-reg/dereg", test_dereg);
    g_test_add_func("/fast-reg/inline-page", test_inline_page);
    g_test_add_func("/fast-reg/bad-requests", test_bad_requests);
    g_test_add_func("/fast-reg/owner", test_owner);
    g_test_add_func("/fast-reg/fence", test_fence);
    g_test_add_func("/fast-reg/fence-blocks-nobody", test_fence_blocks_nobody);
    g_test_add_func("/fast-reg/ud", test_ud);
    g_test_add_func("/fast-reg/keys-apart", test_keys_apart);
    g_test_add_func("/fast-reg/generations", test_generations);
    g_test_add_func("/fast-reg/long-lists", test_long_lists);
    return g_test_run();
}
