/*
 * Unit tests: memory regions, their page lists and what may be done with them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-srd.h"

/* A sender in @pd, and somebody who takes what it sends. */
typedef struct Env {
    Host *h;
    uint16_t pd;
    End *a, *b;
    uint16_t ah;
    EfaConfig cfg;
} Env;

static Env env_new(EfaConfig *cfg)
{
    EfaConfig def = test_config(1);
    Env v = { .h = host_new_cfg(cfg ? cfg : &def) };

    v.a = end_new(v.h, EFA_QP_TYPE_SRD);
    v.b = end_new(v.h, EFA_QP_TYPE_SRD);
    v.pd = v.a->pd;
    v.ah = create_ah_ok(v.h, v.pd, test_gid(1));
    return v;
}

/* What the device finds at @addr under @key; the status of the send. */
static uint8_t fetch(Env *v, uint32_t key, uint64_t addr, uint32_t len,
                     void *out)
{
    EfaIoTxWqe wqe = wqe_send(1, v->ah, v->b->qp->num);
    Buf at = { .iova = addr, .key = key };
    EfaIoCdesc e;

    wqe_sge(&wqe, &at, 0, len);
    rq_post(v->b->qp, 1, &v->b->rx, 0, 16384);
    sq_post(v->a->qp, &wqe);
    e = cq_next(v->a->scq);
    if (e.status == 0) {
        memcpy(out, v->b->rx.p, len);
        cq_next(v->b->rcq);
    } else {
        /* take the unused buffer back, the short way */
        assert_cq_empty(v->b->rcq);
        v->b->qp->rq_pc = 0;
        g_assert_cmpuint(qp_to(v->b->qp, EFA_QP_STATE_RESET), ==, 0);
        qp_to_rts(v->b->qp);
    }
    return e.status;
}

static uint32_t reg_ok(Env *v, EfaRegMrCmd *cmd)
{
    EfaRegMrResp resp;

    admin_ok(v->h, cmd, &resp, sizeof(resp));
    g_assert_cmphex(resp.l_key, <, 1 << 24);
    return resp.l_key;
}

/* A list of pages in guest memory, in the form the driver would choose. */
typedef enum Form {
    INLINE,
    DIRECT,
    INDIRECT,
} Form;

/* The driver's length of the chunk with @left level-2 pages to go (9.4). */
static uint32_t chunk_length(uint32_t left)
{
    return left > EFA_CHUNK_PTRS ? 4092 : left % EFA_CHUNK_PTRS * 8 + 12;
}

typedef struct List {
    uint64_t chunk[8];
    uint32_t num_chunks;
    uint64_t pages;             /* the level-2 pages, contiguous */
} List;

static List make_chunks(Host *h, EfaRegMrCmd *cmd, const uint64_t *pages,
                        uint32_t num)
{
    uint32_t n = DIV_ROUND_UP(num, EFA_CHUNK_PAGES_PER_PTR), i, left = n;
    List l = { .num_chunks = DIV_ROUND_UP(n, EFA_CHUNK_PTRS) };

    l.pages = host_alloc(h, (size_t)n * 4096, 4096);
    memset(host_ptr(h, l.pages), 0xee, (size_t)n * 4096);
    memcpy(host_ptr(h, l.pages), pages, num * sizeof(*pages));
    g_assert_cmpuint(l.num_chunks, <=, G_N_ELEMENTS(l.chunk));
    for (i = 0; i < l.num_chunks; i++) {
        l.chunk[i] = host_alloc(h, EFA_CHUNK_SIZE, 4096);
        /* what the driver does not map may hold anything */
        memset(host_ptr(h, l.chunk[i]), 0xee, EFA_CHUNK_SIZE);
    }
    for (i = 0; i < n; i++) {
        ((uint64_t *)host_ptr(h, l.chunk[i / EFA_CHUNK_PTRS]))
            [i % EFA_CHUNK_PTRS] = l.pages + (uint64_t)i * 4096;
    }
    cmd->pbl = (EfaCtrlBuffInfo) { chunk_length(left), l.chunk[0],
                                   l.chunk[0] >> 32 };
    for (i = 0; i + 1 < l.num_chunks; i++) {
        EfaCtrlBuffInfo *link = (EfaCtrlBuffInfo *)
            ((uint8_t *)host_ptr(h, l.chunk[i]) + EFA_CHUNK_LINK_OFFSET);

        left -= EFA_CHUNK_PTRS;
        *link = (EfaCtrlBuffInfo) { chunk_length(left), l.chunk[i + 1],
                                    l.chunk[i + 1] >> 32 };
    }
    cmd->common.flags = R_AQ_COMMON_CTRL_DATA_MASK |
                        R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
    return l;
}

static List set_list(Host *h, EfaRegMrCmd *cmd, Form form,
                     const uint64_t *pages, uint32_t num)
{
    List l = { };

    switch (form) {
    case INLINE:
        memcpy(cmd->inline_pbl_array, pages, num * sizeof(*pages));
        break;
    case DIRECT:
        l.pages = host_alloc(h, num * 8, 8);
        memcpy(host_ptr(h, l.pages), pages, num * 8);
        cmd->pbl = (EfaCtrlBuffInfo) { num * 8, l.pages, l.pages >> 32 };
        cmd->common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
        break;
    case INDIRECT:
        l = make_chunks(h, cmd, pages, num);
        break;
    }
    return l;
}

/* Every form, page sizes, and offsets into the first page; pages backwards. */
static void test_forms(void)
{
    static const struct {
        Form form;
        uint32_t num;
        uint8_t shift;
        uint32_t in_page;       /* of the IOVA */
        uint32_t cut;           /* bytes missing at the end */
    } rows[] = {
        { INLINE, 1, 12, 0, 0 }, { INLINE, 1, 12, 4095, 0 },
        { INLINE, 2, 12, 1, 4095 }, { INLINE, 4, 12, 100, 200 },
        { INLINE, 3, 16, 65535, 1 }, { INLINE, 2, 21, 12345, 7 },
        { DIRECT, 1, 12, 0, 0 }, { DIRECT, 4, 12, 0, 0 },
        { DIRECT, 5, 12, 4095, 4095 }, { DIRECT, 513, 12, 17, 1 },
        { DIRECT, 5, 21, 1, 1 },
        { INDIRECT, 1, 12, 0, 0 }, { INDIRECT, 5, 12, 9, 9 },
        { INDIRECT, 512, 12, 0, 0 }, { INDIRECT, 513, 12, 4095, 4095 },
        { INDIRECT, 6, 16, 1000, 1000 },
    };
    unsigned i, k;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Env v = env_new(NULL);
        uint64_t size = 1ull << rows[i].shift, span = size * rows[i].num;
        uint64_t mem = host_alloc(v.h, span, size), iova, length;
        uint8_t *p = host_ptr(v.h, mem);
        g_autofree uint64_t *pages = g_new(uint64_t, rows[i].num);
        g_autofree uint8_t *flat = g_malloc(span);
        EfaRegMrCmd cmd;
        uint32_t key;

        for (k = 0; k < rows[i].num; k++) {
            pages[k] = mem + (rows[i].num - 1 - k) * size;
        }
        for (k = 0; k < span; k += 4) {
            uint32_t word = k * 2654435761u;

            memcpy(p + k, &word, 4);
        }
        for (k = 0; k < rows[i].num; k++) {
            memcpy(flat + k * size, p + (rows[i].num - 1 - k) * size, size);
        }
        iova = 0x7f0000000000ull + rows[i].in_page;
        length = span - rows[i].in_page - rows[i].cut;
        cmd = mr_cmd(v.pd, iova, length, 0);
        cmd.flags = rows[i].shift;
        cmd.page_num = rows[i].num;
        set_list(v.h, &cmd, rows[i].form, pages, rows[i].num);
        key = reg_ok(&v, &cmd);

        /* a piece at each page boundary, and both ends */
        for (k = 0; k <= rows[i].num; k++) {
            uint64_t at = k * size;
            uint64_t from = at > rows[i].in_page + 100
                            ? at - 100 : rows[i].in_page;
            uint64_t to = MIN(from + 200, span - rows[i].cut);
            uint8_t got[200];

            if (to <= from) {
                continue;
            }
            g_assert_cmpuint(fetch(&v, key, iova - rows[i].in_page + from,
                                   to - from, got), ==, 0);
            if (memcmp(got, flat + from, to - from)) {
                g_error("form %d, %u pages of 2^%u: wrong bytes at %" PRIu64,
                        rows[i].form, rows[i].num, rows[i].shift, from);
            }
        }
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        hosts_free();
    }
}

/*
 * 14.2: 1,530 level-2 pages are three full chunks, and the driver gives the
 * last of them the length 12. With a page more or less it does not.
 */
static void test_chunk_quirk(void)
{
    static const uint32_t counts[] = {
        783359, 783360, 783361,         /* 1,530 and 1,531 level-2 pages */
        261120, 261121, 261119,         /* 510 and 511 */
    };
    unsigned i, k;

    for (i = 0; i < G_N_ELEMENTS(counts); i++) {
        Env v = env_new(NULL);
        uint32_t num = counts[i], used = 1000;
        uint64_t mem = host_alloc(v.h, used * 4096, 4096), iova = 0x10000000;
        g_autofree uint64_t *pages = g_new(uint64_t, num);
        EfaRegMrCmd cmd = mr_cmd(v.pd, iova, num * 4096ull, 0);
        uint32_t last = DIV_ROUND_UP(num, 512), key;
        uint32_t spots[] = { 0, 511, 512, 510 * 512 - 1, 510 * 512, num / 2,
                             num - 2, num - 1 };
        uint64_t list_end, chunk_end;
        List l;

        g_assert_cmpuint(cmd.page_num, ==, num);
        for (k = 0; k < used; k++) {
            memset(host_ptr(v.h, mem + k * 4096), k, 4096);
        }
        for (k = 0; k < num; k++) {
            pages[k] = mem + (uint64_t)(k * 7 % used) * 4096;
        }
        l = make_chunks(v.h, &cmd, pages, num);
        if (last % 510 == 0) {
            uint64_t prev = l.chunk[MAX(l.num_chunks, 2) - 2];
            EfaCtrlBuffInfo *link = (EfaCtrlBuffInfo *)
                ((uint8_t *)host_ptr(v.h, prev) + EFA_CHUNK_LINK_OFFSET);

            g_assert_cmpuint(l.num_chunks == 1 ? cmd.pbl.length
                                               : link->length, ==, 12);
        }
        /* behind the last pointer and the last page address: unmapped */
        chunk_end = l.chunk[l.num_chunks - 1] +
                    (last - 1) % 510 * 8 + 8;
        list_end = l.pages + num * 8ull;
        g_assert_cmpuint(l.chunk[l.num_chunks - 1], >, l.pages);
        host_fault(v.h, FAULT_READ, chunk_end, 4096);
        key = reg_ok(&v, &cmd);
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        if (num % 512) {
            host_fault(v.h, FAULT_READ, list_end, 8);
        }
        key = reg_ok(&v, &cmd);
        host_fault(v.h, 0, 0, 0);
        /* the list is the driver's again with the answer (9.4) */
        memset(host_ptr(v.h, l.pages), 0, (size_t)last * 4096);
        for (k = 0; k < G_N_ELEMENTS(spots); k++) {
            uint8_t got[2];
            uint32_t at = spots[k];

            if (at >= num) {
                continue;
            }
            g_assert_cmpuint(fetch(&v, key, iova + at * 4096ull, 1, got), ==,
                             0);
            if (got[0] != (uint8_t)(at * 7 % used)) {
                g_error("%u pages: page %u is another", num, at);
            }
        }
        g_assert_cmpuint(fetch(&v, key, iova + num * 4096ull, 1, spots), ==,
                         EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        hosts_free();
    }
}

/* ---- what is refused ---- */

typedef struct Row {
    const char *name;
    size_t offset;
    uint8_t size;
    uint64_t value;
    uint8_t status;
} Row;

#define ROW(_name, _field, _value, _status) \
    { _name, offsetof(EfaRegMrCmd, _field), \
      sizeof(((EfaRegMrCmd *)NULL)->_field), _value, _status }

/* The good one: 3 pages inline, IOVA in mid-page. */
static const Row rows[] = {
    ROW("as it is", reserved16_w1, 0, 0),
    ROW("PD", pd, 99, 5),
    ROW("reserved16_w1", reserved16_w1, 1, 4),
    ROW("reserved16_w5", reserved16_w5, 0x8000, 4),
    ROW("flags bit 5 is the page size's", flags, 0x2c, 5),
    ROW("flags bit 6", flags, 0x4c, 4),
    ROW("pages of 1 byte", flags, 0, 5),
    ROW("pages of 2 KiB", flags, 11, 5),
    ROW("pages of 2 GiB", flags, 31, 5),
    ROW("larger pages, too many", flags, 13, 5),
    ROW("local write", permissions, 1, 0),
    ROW("remote write", permissions, 2, 0),
    ROW("remote read", permissions, 4, 0),
    ROW("permission bit 3", permissions, 8, 5),
    ROW("permission bit 7", permissions, 0x80, 5),
    ROW("length 0", mr_length, 0, 5),
    ROW("a page shorter", mr_length, 4096, 5),
    ROW("a page longer", mr_length, 3 * 4096, 5),
    ROW("length 2^64 - 1", mr_length, UINT64_MAX, 5),
    ROW("length 2^63", mr_length, 1ull << 63, 5),
    ROW("page count too small", page_num, 2, 5),
    ROW("page count too large", page_num, 4, 5),
    ROW("page count huge", page_num, UINT32_MAX, 5),
    /* the stock driver leaves it at 0: the length says it all */
    ROW("page count missing", page_num, 0, 0),
    ROW("range wraps", iova, UINT64_MAX - 100, 5),
    ROW("IOVA 0", iova, 0x800, 0),
    ROW("misaligned page", inline_pbl_array[1], HOST_DMA_BASE + 0x1800, 5),
    ROW("page beyond 48 bits", inline_pbl_array[2], 1ull << 48, 5),
    ROW("last page below 48 bits", inline_pbl_array[2], (1ull << 48) - 4096,
        0),
    ROW("page at the top", inline_pbl_array[0], ~0xfffull, 5),
};

static EfaRegMrCmd good_cmd(Env *v)
{
    EfaRegMrCmd cmd = mr_cmd(v->pd, 0x7f0000000800, 2 * 4096 + 1, 0);
    unsigned i;

    for (i = 0; i < 3; i++) {
        cmd.inline_pbl_array[i] = HOST_DMA_BASE + 0x100000 + i * 0x10000;
    }
    return cmd;
}

static void test_checks(void)
{
    Env v = env_new(NULL);
    uint32_t used = v.h->core->mrs.used;
    uint64_t runs = v.h->core->mr_runs;
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        EfaRegMrCmd cmd = good_cmd(&v);
        EfaAcqEntry cqe;

        memcpy((char *)&cmd + rows[i].offset, &rows[i].value, rows[i].size);
        cqe = admin(v.h, &cmd);
        if (cqe.status != rows[i].status) {
            g_error("%s: status %u", rows[i].name, cqe.status);
        }
        if (!cqe.status) {
            uint32_t key;

            memcpy(&key, cqe.response, 4);
            g_assert_cmpuint(dereg(v.h, key), ==, 0);
        }
        /* nothing stays behind */
        g_assert_cmpuint(v.h->core->mrs.used, ==, used);
        g_assert_cmpuint(v.h->core->mr_runs, ==, runs);
    }
    hosts_free();
}

static void test_limits(void)
{
    EfaConfig cfg = test_config(1);
    uint64_t pages[17];
    EfaRegMrCmd cmd;
    uint32_t key[4];
    unsigned i;
    Env v;

    cfg.max_mr_pages = 16;      /* as much as the ends need */
    cfg.max_mr = 7;             /* 4 are the ends' */
    v = env_new(&cfg);
    for (i = 0; i < 17; i++) {
        pages[i] = HOST_DMA_BASE + i * 4096;
    }
    /* five pages do not fit the command */
    cmd = mr_cmd(v.pd, 0x1000, 5 * 4096, 0);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    cmd = mr_cmd(v.pd, 0x1000, 17 * 4096, 0);
    set_list(v.h, &cmd, DIRECT, pages, 17);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    /* 16 TiB with a list that says so: judged before it is read */
    cmd = mr_cmd(v.pd, 0x1000, 1ull << 44, 0);
    set_list(v.h, &cmd, INDIRECT, pages, 7);
    cmd.page_num = 0;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    cmd = mr_cmd(v.pd, 0x1000, 16 * 4096, 0);
    set_list(v.h, &cmd, DIRECT, pages, 16);
    for (i = 0; i < 3; i++) {
        key[i] = reg_ok(&v, &cmd);
    }
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 1);
    g_assert_cmpuint(dereg(v.h, key[1]), ==, 0);
    key[3] = reg_ok(&v, &cmd);
    /* the slot is the same, the key is not */
    g_assert_cmphex(key[3] >> 8, ==, key[1] >> 8);
    g_assert_cmphex(key[3], !=, key[1]);
    g_assert_cmpuint(dereg(v.h, key[1]), ==, 5);
    g_assert_cmpuint(dereg(v.h, 0xffffffff), ==, 5);
    g_assert_cmpuint(dereg(v.h, key[3] | 1u << 24), ==, 5);
    g_assert_cmpuint(dereg(v.h, key[3]), ==, 0);
    g_assert_cmpuint(dereg(v.h, key[3]), ==, 5);
    hosts_free();
}

static void test_direct_checks(void)
{
    Env v = env_new(NULL);
    uint64_t pages[600];
    EfaRegMrCmd good, cmd;
    List l;
    unsigned i;

    for (i = 0; i < 600; i++) {
        pages[i] = HOST_DMA_BASE + i * 8192;
    }
    good = mr_cmd(v.pd, 0x1000, 600 * 4096, 0);
    l = set_list(v.h, &good, DIRECT, pages, 600);

    cmd = good;
    cmd.pbl.length--;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    cmd.pbl.length = 0;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    cmd = good;
    cmd.pbl.length += 8;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    cmd = good;
    cmd.pbl.mem_addr_low = cmd.pbl.mem_addr_high = 0;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    cmd = good;
    cmd.pbl.mem_addr_low += 4;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    cmd = good;
    cmd.pbl.mem_addr_high = 0xffff;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    cmd.pbl.mem_addr_high = 0xffffffff;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    host_fault(v.h, FAULT_READ, l.pages + 599 * 8, 8);
    g_assert_cmpuint(admin_status(v.h, &good), ==, 6);
    host_fault(v.h, 0, 0, 0);
    ((uint64_t *)host_ptr(v.h, l.pages))[599] |= 1;
    g_assert_cmpuint(admin_status(v.h, &good), ==, 5);
    g_assert_cmphex(reg_read(v.h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK, ==,
                    0);
    hosts_free();
}

static void test_chain_checks(void)
{
    const uint32_t num = 2 * 510 * 512 + 1;     /* three chunks */
    Env v = env_new(NULL);
    g_autofree uint64_t *pages = g_new(uint64_t, num);
    EfaRegMrCmd cmd = mr_cmd(v.pd, 0x1000, num * 4096ull, 0);
    EfaCtrlBuffInfo *link, keep;
    uint64_t *ptrs, was;
    unsigned i;
    List l;

    for (i = 0; i < num; i++) {
        pages[i] = HOST_DMA_BASE + i % 100 * 4096;
    }
    l = make_chunks(v.h, &cmd, pages, num);
    g_assert_cmpuint(l.num_chunks, ==, 3);
    link = (EfaCtrlBuffInfo *)((uint8_t *)host_ptr(v.h, l.chunk[1]) +
                               EFA_CHUNK_LINK_OFFSET);
    keep = *link;
    g_assert_cmpuint(dereg(v.h, reg_ok(&v, &cmd)), ==, 0);

    /* no length is believed */
    link->length = 0xffffffff;
    cmd.pbl.length = 0;
    g_assert_cmpuint(dereg(v.h, reg_ok(&v, &cmd)), ==, 0);
    /* the chain ends early, nowhere, in mid-word */
    *link = (EfaCtrlBuffInfo) { };
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    *link = keep;
    link->mem_addr_low += 4;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    *link = keep;
    link->mem_addr_high = 0xffff;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    link->mem_addr_high = 0xffffffff;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    /* a circle is no endless loop: the count ends it */
    *link = (EfaCtrlBuffInfo) { 12, l.chunk[0], l.chunk[0] >> 32 };
    g_assert_cmpuint(dereg(v.h, reg_ok(&v, &cmd)), ==, 0);
    *link = keep;
    host_fault(v.h, FAULT_READ, l.chunk[1] + EFA_CHUNK_LINK_OFFSET + 4, 4);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    host_fault(v.h, FAULT_READ, l.chunk[2], 8);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    host_fault(v.h, 0, 0, 0);

    ptrs = host_ptr(v.h, l.chunk[1]);
    was = ptrs[509];
    ptrs[509] = 0;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    ptrs[509] = was + 4;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    ptrs[509] = 1ull << 47;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 6);
    ptrs[509] = was;
    cmd.pbl.mem_addr_low = cmd.pbl.mem_addr_high = 0;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    /* indirect without ctrl_data */
    cmd.common.flags = R_AQ_COMMON_CTRL_DATA_INDIRECT_MASK;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 4);
    hosts_free();
}

/* ---- what is allowed ---- */

static void test_bounds(void)
{
    const uint64_t iova = 0x7f0000000800;
    const uint32_t len = 2 * 4096 + 1;
    const struct {
        const char *name;
        uint64_t addr;
        uint32_t len;
        uint8_t status;
    } access[] = {
        { "all of it", iova, len, 0 },
        { "first byte", iova, 1, 0 },
        { "last byte", iova + len - 1, 1, 0 },
        { "one before", iova - 1, 1, 5 },
        { "one behind", iova + len, 1, 5 },
        { "one too long", iova, len + 1, 5 },
        { "over the end", iova + len - 1, 2, 5 },
        { "over the start", iova - 1, 2, 5 },
        { "its page, but before it", 0x7f0000000000, 16, 5 },
        { "in the page after", iova + len + 4096, 1, 5 },
        { "far behind", iova + (1ull << 40), 1, 5 },
        { "far away", 0, 1, 5 },
        { "wraps", UINT64_MAX, 2, 5 },
        { "nothing, anywhere", 0xdead, 0, 0 },
    };
    Env v = env_new(NULL);
    EfaRegMrCmd cmd = good_cmd(&v);
    uint32_t key = reg_ok(&v, &cmd);
    uint8_t *got = g_malloc(16384);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(access); i++) {
        uint8_t status = fetch(&v, key, access[i].addr, access[i].len, got);

        if (status != access[i].status) {
            g_error("%s: status %u", access[i].name, status);
        }
    }
    /* only with the very key: generation, index */
    g_assert_cmpuint(fetch(&v, key ^ 1, iova, 1, got), ==, 5);
    g_assert_cmpuint(fetch(&v, key + 256, iova, 1, got), ==, 5);
    g_assert_cmpuint(fetch(&v, 0xffffff, iova, 1, got), ==, 5);
    g_assert_cmpuint(dereg(v.h, key), ==, 0);
    g_assert_cmpuint(fetch(&v, key, iova, 1, got), ==, 5);
    g_free(got);
    hosts_free();
}

/* 9.7: addresses are DMA addresses, with a page in the list or none. */
static void test_physical(void)
{
    Env v = env_new(NULL);
    uint64_t mem = host_alloc(v.h, 4096, 4096);
    unsigned pages;

    memcpy(host_ptr(v.h, mem + 100), "physical", 8);
    for (pages = 0; pages < 3; pages++) {
        EfaRegMrCmd cmd = CMD(EfaRegMrCmd, EFA_ADMIN_REG_MR, .pd = v.pd,
                              .mr_length = 1ull << 48, .flags = 0x80,
                              .permissions = 1, .page_num = pages);
        uint8_t got[8];
        uint32_t key;

        if (pages == 2) {
            g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
            break;
        }
        key = reg_ok(&v, &cmd);
        g_assert_cmpuint(fetch(&v, key, mem + 100, 8, got), ==, 0);
        g_assert_cmpmem(got, 8, "physical", 8);
        g_assert_cmpuint(fetch(&v, key, 1ull << 48, 1, got), ==, 5);
        g_assert_cmpuint(fetch(&v, key, (1ull << 48) - 8, 8, got), ==, 5);
        cmd.permissions = 2;
        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    }
    hosts_free();
}

/* Keys through 600 lives of one slot: never the last one's. */
static void test_generations(void)
{
    EfaConfig cfg = test_config(1);
    uint32_t last = 0, i;
    Env v;

    cfg.max_mr = 5;
    v = env_new(&cfg);
    for (i = 0; i < 600; i++) {
        EfaRegMrCmd cmd = good_cmd(&v);
        uint32_t key = reg_ok(&v, &cmd);

        g_assert_cmphex(key, !=, last);
        g_assert_cmpuint(dereg(v.h, last), !=, 0);
        g_assert_cmpuint(dereg(v.h, key), ==, 0);
        last = key;
    }
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mr/forms", test_forms);
    g_test_add_func("/mr/chunk-quirk", test_chunk_quirk);
    g_test_add_func("/mr/checks", test_checks);
    g_test_add_func("/mr/limits", test_limits);
    g_test_add_func("/mr/direct-checks", test_direct_checks);
    g_test_add_func("/mr/chain-checks", test_chain_checks);
    g_test_add_func("/mr/bounds", test_bounds);
    g_test_add_func("/mr/physical", test_physical);
    g_test_add_func("/mr/generations", test_generations);
    return g_test_run();
}
