/*
 * Unit tests: memory regions of all page sizes, and of the greatest length
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

#define GIB     (1ull << 30)
#define IOVA    0x500000000000ull

/* A QP that reads from itself whatever is registered, and another to take it. */
typedef struct Env {
    Host *h;
    End *a, *b;
    uint16_t ah;
} Env;

static Env env_new(const EfaConfig *cfg, uint64_t mem_size)
{
    Env v = { .h = host_new_sized(cfg, NULL, NULL, mem_size) };

    host_probe(v.h);
    v.a = end_new(v.h, EFA_QP_TYPE_SRD);
    v.b = end_new(v.h, EFA_QP_TYPE_SRD);
    v.ah = create_ah_ok(v.h, v.a->pd, test_gid(1));
    return v;
}

/* @len bytes at @addr of the region @key, as a send finds them, or a status. */
static uint8_t fetch(Env *v, uint32_t key, uint64_t addr, uint32_t len,
                     void *out)
{
    EfaIoTxWqe wqe = wqe_send(1, v->ah, v->b->qp->num);
    Buf at = { .iova = addr, .key = key };
    uint8_t status;

    wqe_sge(&wqe, &at, 0, len);
    rq_post(v->b->qp, 1, &v->b->rx, 0, 4096);
    sq_post(v->a->qp, &wqe);
    status = cq_next(v->a->scq).status;
    if (status == 0) {
        g_assert_cmpuint(cq_next(v->b->rcq).length, ==, len);
        memcpy(out, v->b->rx.p, len);
    } else {
        assert_cq_empty(v->b->rcq);
        v->b->qp->rq_pc--;
        g_assert_cmpuint(qp_to(v->b->qp, EFA_QP_STATE_RESET), ==, 0);
        qp_to_rts(v->b->qp);
    }
    return status;
}

static EfaRegMrCmd cmd_of(const Env *v, uint8_t shift, uint64_t iova,
                          uint64_t length)
{
    return CMD(EfaRegMrCmd, EFA_ADMIN_REG_MR, .pd = v->a->pd,
               .mr_length = length, .flags = shift, .iova = iova,
               .page_num = efa_mr_count_pages(iova, length, shift));
}

static uint32_t reg_ok(Env *v, EfaRegMrCmd *cmd)
{
    EfaRegMrResp resp;

    admin_ok(v->h, cmd, &resp, sizeof(resp));
    return resp.l_key;
}

/* Two pages that are swapped; what crosses their border is of both. */
static void check_size(Env *v, uint8_t shift)
{
    uint64_t size = 1ull << shift;
    /* the second such page of memory on, out of the way of the queues */
    uint64_t first = HOST_DMA_BASE + MAX(size, 16ull << 20);
    EfaRegMrCmd cmd = cmd_of(v, shift, IOVA + 5, 2 * size - 10);
    uint32_t key;
    char got[8];

    cmd.inline_pbl_array[0] = first + size;
    cmd.inline_pbl_array[1] = first;
    memcpy(host_ptr(v->h, first + 2 * size - 4), "left", 4);
    memcpy(host_ptr(v->h, first), "half", 4);
    memcpy(host_ptr(v->h, first + size + 5), "head", 4);
    memcpy(host_ptr(v->h, first + size - 9), "tail", 4);
    key = reg_ok(v, &cmd);
    g_assert_cmpuint(fetch(v, key, IOVA + size - 4, 8, got), ==, 0);
    g_assert_cmpmem(got, 8, "lefthalf", 8);
    g_assert_cmpuint(fetch(v, key, IOVA + 5, 4, got), ==, 0);
    g_assert_cmpmem(got, 4, "head", 4);
    g_assert_cmpuint(fetch(v, key, IOVA + 2 * size - 9, 4, got), ==, 0);
    g_assert_cmpmem(got, 4, "tail", 4);
    g_assert_cmpuint(fetch(v, key, IOVA + 4, 4, got), ==, 5);
    g_assert_cmpuint(fetch(v, key, IOVA + 2 * size - 8, 4, got), ==, 5);
    g_assert_cmpuint(dereg(v->h, key), ==, 0);

    /* an address in mid-page is none of a page (13.2) */
    cmd.inline_pbl_array[1] += size / 2;
    g_assert_cmpuint(admin_status(v->h, &cmd), ==, 5);
}

/* 6.11: all that a device reports by default. */
static void test_page_sizes(void)
{
    EfaConfig cfg = test_config(1);
    Env v = env_new(&cfg, 4 * GIB);
    uint8_t shift;

    for (shift = 0; shift < 64; shift++) {
        EfaRegMrCmd cmd = cmd_of(&v, shift, IOVA, 1);

        if (v.h->cfg.page_size_cap >> shift & 1) {
            check_size(&v, shift);
        } else {
            g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
        }
    }
    g_assert_cmphex(v.h->cfg.page_size_cap, ==, 0x7ffff000);
    hosts_free();
}

/* ... and those that only a property gives it: page and region hold all. */
static void test_larger_pages(void)
{
    EfaConfig cfg = test_config(1);
    uint8_t shift;
    Env v;

    cfg.page_size_cap = ((1ull << 48) - 1) & ~0xfffull;
    v = env_new(&cfg, HOST_MEM_SIZE);
    for (shift = 31; shift < 48; shift++) {
        uint64_t mask = (1ull << shift) - 1;
        uint64_t spot = HOST_DMA_BASE + (32u << 20);
        uint64_t iova = (IOVA & ~mask) + (spot & mask);
        EfaRegMrCmd cmd = cmd_of(&v, shift, iova, 100);
        uint32_t key;
        char got[6];

        g_assert_cmpuint(cmd.page_num, ==, 1);
        memcpy(host_ptr(v.h, spot + 94), "theend", 6);
        cmd.inline_pbl_array[0] = spot & ~mask;
        key = reg_ok(&v, &cmd);
        g_assert_cmpuint(fetch(&v, key, iova + 94, 6, got), ==, 0);
        g_assert_cmpmem(got, 6, "theend", 6);
        g_assert_cmpuint(fetch(&v, key, iova + 95, 6, got), ==, 5);
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        /* the first address that is beyond 48 bits */
        cmd.inline_pbl_array[0] = 1ull << 48;
        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    }
    hosts_free();
}

/* One byte, wherever it lies in its page. */
static void test_one_byte(void)
{
    static const uint32_t offsets[] = { 0, 1, 63, 2048, 4094, 4095 };
    EfaConfig cfg = test_config(1);
    Env v = env_new(&cfg, HOST_MEM_SIZE);
    uint64_t page = host_alloc(v.h, HOST_PAGE, HOST_PAGE);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(offsets); i++) {
        EfaRegMrCmd cmd = cmd_of(&v, 12, IOVA + offsets[i], 1);
        uint32_t key;
        char got[2];

        cmd.inline_pbl_array[0] = page;
        *(char *)host_ptr(v.h, page + offsets[i]) = 'a' + i;
        key = reg_ok(&v, &cmd);
        g_assert_cmpuint(fetch(&v, key, cmd.iova, 1, got), ==, 0);
        g_assert_cmpint(got[0], ==, 'a' + i);
        g_assert_cmpuint(fetch(&v, key, cmd.iova, 2, got), ==, 5);
        g_assert_cmpuint(fetch(&v, key, cmd.iova - 1, 1, got), ==, 5);
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        /* no byte at all is refused, whatever the number of pages says */
        cmd.mr_length = 0;
        for (cmd.page_num = 0; cmd.page_num < 3; cmd.page_num++) {
            g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
        }
    }
    hosts_free();
}

/* ---- 96 GiB ---- */

#define LARGE       (96 * GIB)
#define LARGE_PAGES (LARGE / HOST_PAGE)
/* A page list, and the chunks that it takes (9.4), behind the large region. */
#define LIST        (HOST_DMA_BASE + HOST_MEM_SIZE + LARGE)
#define CHUNKS      (LIST + LARGE_PAGES * 8)
#define NUM_PTRS    (LARGE_PAGES / EFA_CHUNK_PAGES_PER_PTR)
#define NUM_CHUNKS  DIV_ROUND_UP(NUM_PTRS, EFA_CHUNK_PTRS)

/* Where page @n of the list is: no page is followed by its neighbour. */
static uint64_t scattered(uint64_t n)
{
    return HOST_DMA_BASE + HOST_MEM_SIZE +
           (LARGE_PAGES - 1 - n) * (uint64_t)HOST_PAGE;
}

static uint64_t in_a_row(uint64_t n)
{
    return HOST_DMA_BASE + HOST_MEM_SIZE + n * HOST_PAGE;
}

static void write_list(Host *h, uint64_t (*page)(uint64_t))
{
    uint64_t *list = host_ptr(h, LIST), i;

    for (i = 0; i < LARGE_PAGES; i++) {
        list[i] = page(i);
    }
}

static void write_chunks(Host *h)
{
    uint64_t i;

    for (i = 0; i < NUM_PTRS; i++) {
        uint64_t *chunk = host_ptr(h, CHUNKS + i / EFA_CHUNK_PTRS *
                                      EFA_CHUNK_SIZE);

        chunk[i % EFA_CHUNK_PTRS] = LIST + i * 4096;
    }
    for (i = 0; i + 1 < NUM_CHUNKS; i++) {
        uint64_t next = CHUNKS + (i + 1) * EFA_CHUNK_SIZE;

        *(EfaCtrlBuffInfo *)host_ptr(h, CHUNKS + i * EFA_CHUNK_SIZE +
                                        EFA_CHUNK_LINK_OFFSET) =
            (EfaCtrlBuffInfo) { 4092, next, next >> 32 };
    }
}

static EfaRegMrCmd large_cmd(const Env *v, bool direct)
{
    uint64_t at = direct ? LIST : CHUNKS;
    EfaRegMrCmd cmd = cmd_of(v, 12, IOVA, LARGE);

    cmd.pbl = (EfaCtrlBuffInfo) { direct ? LARGE_PAGES * 8 : 4092, at,
                                  at >> 32 };
    cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    if (!direct) {
        cmd.common.flags |= R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
    }
    return cmd;
}

/* Both ends, and both sides of each border of a chunk. */
static void check_large(Env *v, uint32_t key, uint64_t (*page)(uint64_t))
{
    const uint64_t of_chunk = EFA_CHUNK_PTRS * EFA_CHUNK_PAGES_PER_PTR;
    uint64_t at;

    for (at = 0; at < LARGE_PAGES + of_chunk; at += of_chunk) {
        uint64_t right = MIN(at, LARGE_PAGES - 1), left = right ? right - 1 : 0;
        uint64_t i;

        for (i = left; i <= right; i++) {
            uint64_t got;

            memcpy(host_ptr(v->h, page(i) + 8), &i, sizeof(i));
            g_assert_cmpuint(fetch(v, key, IOVA + i * HOST_PAGE + 8, 8, &got),
                             ==, 0);
            g_assert_cmphex(got, ==, i);
        }
    }
    g_assert_cmpuint(fetch(v, key, IOVA + LARGE, 1, &at), ==, 5);
}

static void test_96_gib(void)
{
    EfaConfig cfg = test_config(1);
    Env v = env_new(&cfg, HOST_MEM_SIZE + LARGE + LARGE_PAGES * 8 +
                          NUM_CHUNKS * EFA_CHUNK_SIZE);
    uint64_t runs = v.h->core->mr_runs;
    EfaRegMrCmd cmd = large_cmd(&v, false);
    uint32_t key;

    g_assert_cmpuint(LARGE_PAGES, ==, cfg.max_mr_pages);
    write_chunks(v.h);
    write_list(v.h, scattered);
    key = reg_ok(&v, &cmd);
    g_assert_cmpuint(v.h->core->mr_runs - runs, ==, LARGE_PAGES);
    check_large(&v, key, scattered);
    /* a second one is too much for the host, which is none the worse (13.1) */
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 1);
    g_assert_cmpuint(v.h->core->mr_runs - runs, ==, LARGE_PAGES);
    check_large(&v, key, scattered);

    /* in a row they cost nothing, and the list may be one */
    write_list(v.h, in_a_row);
    g_assert_cmpuint(dereg(v.h, key), ==, 0);
    cmd = large_cmd(&v, true);
    key = reg_ok(&v, &cmd);
    g_assert_cmpuint(v.h->core->mr_runs - runs, ==, 1);
    check_large(&v, key, in_a_row);
    g_assert_cmpuint(dereg(v.h, key), ==, 0);
    g_assert_cmpuint(v.h->core->mr_runs, ==, runs);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mr-large/page-sizes", test_page_sizes);
    g_test_add_func("/mr-large/larger-pages", test_larger_pages);
    g_test_add_func("/mr-large/one-byte", test_one_byte);
    g_test_add_func("/mr-large/96-gib", test_96_gib);
    return g_test_run();
}
