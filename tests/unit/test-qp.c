/*
 * Unit tests: queue pairs, their states, creation and doorbells
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

#define ST(_m)  R_MODIFY_QP_MASK_ ## _m ## _MASK

typedef struct Env {
    Host *h;
    uint16_t pd, uar;
    Cq *cq;
    Buf buf;
} Env;

static Env env_new(EfaConfig *cfg)
{
    EfaConfig def = test_config(1);
    Env v = { .h = host_new_cfg(cfg ? cfg : &def) };

    v.pd = alloc_pd_ok(v.h);
    v.uar = alloc_uar_ok(v.h);
    v.cq = create_cq_ok(v.h, v.uar, NULL);
    v.buf = reg_buf(v.h, v.pd, 4096, PERM_LOCAL_WRITE);
    return v;
}

static Qp *env_qp(Env *v, EfaQpType type)
{
    return create_qp_ok(v->h, v->pd, v->uar, type, v->cq, v->cq, 16, 16);
}

/* Bring a fresh QP into @state, which is not SQE. */
static void bring_to(Qp *qp, EfaQpState state)
{
    static const EfaQpState way[] = {
        EFA_QP_STATE_INIT, EFA_QP_STATE_RTR, EFA_QP_STATE_RTS,
        EFA_QP_STATE_SQD,
    };
    unsigned i;

    if (state == EFA_QP_STATE_ERR) {
        g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_INIT), ==, 0);
        g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_ERR), ==, 0);
        return;
    }
    for (i = 0; qp_query(qp).qp_state != state; i++) {
        g_assert_cmpuint(qp_to(qp, way[i]), ==, 0);
    }
}

/* 10.4: every pair of states; SQE is never entered (14, 26) */
static void test_transitions(void)
{
    static const char *const legal[EFA_QP_STATE_MAX] = {
        /* to:   RESET INIT RTR RTS SQD SQE ERR */
        [EFA_QP_STATE_RESET] = "xx.....",
        [EFA_QP_STATE_INIT]  = "xxx...x",
        [EFA_QP_STATE_RTR]   = "x..x..x",
        [EFA_QP_STATE_RTS]   = "x..xx.x",
        [EFA_QP_STATE_SQD]   = "x..xx.x",
        [EFA_QP_STATE_ERR]   = "x.....x",
    };
    static const EfaQpType types[] = { EFA_QP_TYPE_UD, EFA_QP_TYPE_SRD };
    unsigned t, from, to;

    for (t = 0; t < 2; t++) {
        Env v = env_new(NULL);

        for (from = 0; from < EFA_QP_STATE_MAX; from++) {
            for (to = 0; legal[from] && to < EFA_QP_STATE_MAX + 2; to++) {
                bool ok = to < EFA_QP_STATE_MAX && legal[from][to] == 'x';
                Qp *qp = env_qp(&v, types[t]);
                uint8_t status;

                bring_to(qp, from);
                status = qp_to(qp, to);
                if (status != (ok ? 0 : EFA_ADMIN_ILLEGAL_PARAMETER) ||
                    qp_query(qp).qp_state != (ok ? to : from)) {
                    g_error("type %u, %u to %u: status %u, now %u", types[t],
                            from, to, status, qp_query(qp).qp_state);
                }
                g_assert_cmpuint(qp_destroy(qp), ==, 0);
            }
        }
        hosts_free();
    }
}

static void test_modify_checks(void)
{
    const uint32_t state = ST(QP_STATE), cur = ST(CUR_QP_STATE);
    const struct {
        const char *name;
        EfaQpState from;
        uint32_t mask;
        EfaQpState to, cur_state;
        uint8_t rnr;
        uint8_t srd, ud;        /* status */
    } rows[] = {
        { "INIT without Q_Key", 0, state | cur, 1, 0, .srd = 5, .ud = 5 },
        { "INIT without current state", 0, state | ST(QKEY), 1 },
        { "RTS without PSN", 2, state | cur, 3, 2, .srd = 5, .ud = 5 },
        { "RTS with PSN", 2, state | cur | ST(SQ_PSN), 3, 2 },
        { "RTS again needs none", 3, state | cur, 3, 3 },
        { "RTS from SQD needs none", 4, state | cur, 3, 4 },
        { "current state lies: INIT", 3, state | cur, 4, 1, .srd = 5,
          .ud = 5 },
        { "current state lies: RESET", 3, state | cur, 4, 0, .srd = 5,
          .ud = 5 },
        { "current state lies: ERR", 3, state | cur, 4, 6, .srd = 5,
          .ud = 5 },
        { "current state 7", 3, state | cur, 4, 7, .srd = 5, .ud = 5 },
        { "current state overridden: SQE", 3, state | cur, 4, 5 },
        { "current state overridden: SQD", 3, state | cur, 3, 4 },
        { "mask bit 6", 0, 1 << 6, .srd = 4, .ud = 4 },
        { "mask bit 31", 0, 1u << 31, .srd = 4, .ud = 4 },
        { "state 7", 3, state, 7, .srd = 5, .ud = 5 },
        { "RNR retry 7", 3, ST(RNR_RETRY), .rnr = 7, .ud = 5 },
        { "RNR retry 0", 3, ST(RNR_RETRY), .rnr = 0, .ud = 5 },
        { "RNR retry 8", 3, ST(RNR_RETRY), .rnr = 8, .srd = 5, .ud = 5 },
        { "Q_Key alone", 3, ST(QKEY) },
        { "drained notify", 3, state | cur | ST(SQ_DRAINED_ASYNC_NOTIFY), 4,
          3 },
        { "nothing", 3, 0 },
    };
    unsigned i, t;
    Env v = env_new(NULL);

    for (t = 0; t < 2; t++) {
        for (i = 0; i < G_N_ELEMENTS(rows); i++) {
            Qp *qp = env_qp(&v, t ? EFA_QP_TYPE_SRD : EFA_QP_TYPE_UD);
            EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
                .modify_mask = rows[i].mask, .qp_handle = qp->handle,
                .qp_state = rows[i].to, .cur_qp_state = rows[i].cur_state,
                .qkey = QKEY, .rnr_retry = rows[i].rnr);
            uint8_t status;

            bring_to(qp, rows[i].from);
            status = admin_status(v.h, &cmd);
            if (status != (t ? rows[i].srd : rows[i].ud)) {
                g_error("%s, %s: status %u", t ? "SRD" : "UD", rows[i].name,
                        status);
            }
            if (status) {
                g_assert_cmpuint(qp_query(qp).qp_state, ==, rows[i].from);
            }
            g_assert_cmpuint(qp_destroy(qp), ==, 0);
        }
    }
    hosts_free();
}

/* Modify and query keep what was given; without the capability, status 3. */
static void test_attributes(void)
{
    EfaConfig cfg = test_config(1);
    Env v = env_new(NULL);
    Qp *qp = env_qp(&v, EFA_QP_TYPE_SRD);
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
        .modify_mask = ST(QP_STATE) | ST(SQ_PSN) | ST(RNR_RETRY) | ST(QKEY),
        .qp_handle = qp->handle, .qp_state = 3, .qkey = 0xfedcba98,
        .sq_psn = 0x00abcdef, .rnr_retry = 3);
    EfaQueryQpResp q = qp_query(qp);

    g_assert_cmpuint(q.rnr_retry, ==, 7);       /* the default: for ever */
    g_assert_cmpuint(q.qp_state, ==, 0);
    bring_to(qp, EFA_QP_STATE_RTR);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    q = qp_query(qp);
    g_assert_cmpuint(q.qp_state, ==, 3);
    g_assert_cmphex(q.qkey, ==, 0xfedcba98);
    g_assert_cmphex(q.sq_psn, ==, 0x00abcdef);
    g_assert_cmpuint(q.rnr_retry, ==, 3);
    g_assert_cmpuint(q.sq_draining, ==, 0);
    /* reserved2 of the request */
    cmd.modify_mask = ST(QKEY);
    cmd.reserved2 = 1;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, EFA_ADMIN_MALFORMED_REQUEST);
    hosts_free();

    efa_config_init(&cfg, 0);
    cfg.gid = test_gid(1);
    v = env_new(&cfg);
    qp = env_qp(&v, EFA_QP_TYPE_SRD);
    g_assert_cmpuint(qp_modify(qp, ST(RNR_RETRY), 0, 0, 1), ==,
                     EFA_ADMIN_UNSUPPORTED_OPCODE);
    g_assert_cmpuint(qp_query(qp).rnr_retry, ==, 0);
    hosts_free();
}

static void test_handles(void)
{
    Env v = env_new(NULL);
    Qp *qp = env_qp(&v, EFA_QP_TYPE_SRD);
    static const uint32_t bad[] = { 1, 255, 256, 0x10000, UINT32_MAX };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        EfaModifyQpCmd m = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
                               .qp_handle = qp->handle + bad[i]);
        EfaQpHandleCmd c = CMD(EfaQpHandleCmd, EFA_ADMIN_QUERY_QP,
                               .qp_handle = qp->handle + bad[i]);

        g_assert_cmpuint(admin_status(v.h, &m), ==, 5);
        g_assert_cmpuint(admin_status(v.h, &c), ==, 5);
        c.common.opcode = EFA_ADMIN_DESTROY_QP;
        g_assert_cmpuint(admin_status(v.h, &c), ==, 5);
    }
    g_assert_cmpuint(qp_destroy(qp), ==, 0);
    g_assert_cmpuint(qp_destroy(qp), ==, 5);
    hosts_free();
}

/* 13.2, CREATE_QP; each row changes one thing in a good command */
static void test_create_checks(void)
{
    typedef struct {
        const char *name;
        size_t offset;
        uint8_t size;
        uint64_t value;
        uint8_t status;
    } Row;
#define ROW(_name, _field, _value, _status) \
    { _name, offsetof(EfaCreateQpCmd, _field), \
      sizeof(((EfaCreateQpCmd *)NULL)->_field), _value, _status }
    static const Row rows[] = {
        ROW("PD", pd, 77, 5),
        ROW("UAR", uar, 77, 5),
        ROW("send CQ", send_cq_idx, 77, 5),
        ROW("receive CQ", recv_cq_idx, 77, 5),
        ROW("send CQ, upper half", send_cq_idx, 0x10000, 5),
        ROW("receive CQ, upper half", recv_cq_idx, 0x80000000, 5),
        ROW("type 0", qp_type, 0, 5),
        ROW("type 3", qp_type, 3, 5),
        ROW("sq_virt", flags, 1, 3),
        ROW("rq_virt", flags, 2, 3),
        ROW("unsolicited", flags, 4, 3),
        ROW("64-bit ids", flags, 8, 3),
        ROW("flag 4", flags, 0x10, 4),
        ROW("flag 7", flags, 0x80, 4),
        ROW("reserved", reserved, 1, 4),
        ROW("reserved2", reserved2, 0x80000000, 4),
        ROW("any service level", sl, 255, 0),
        ROW("SQ too deep", send_queue_depth, 8192, 5),
        ROW("RQ too deep", recv_queue_depth, 16384, 5),
        ROW("SQ without ring", send_queue_ring_size, 0, 5),
        ROW("RQ without ring", recv_queue_ring_size, 0, 5),
        ROW("32-byte WQEs", send_queue_ring_size, 512, 5),
        ROW("128-byte WQEs are not offered", send_queue_ring_size, 2048, 5),
        ROW("not a quotient", send_queue_ring_size, 1000, 5),
        ROW("SQ ring beyond 32 bits", send_queue_depth, 0x4000010, 5),
        ROW("SQ not a power of two", send_queue_depth, 15, 5),
        ROW("RQ ring no power of two", recv_queue_ring_size, 240, 5),
        ROW("RQ ring no multiple of 16", recv_queue_ring_size, 8, 5),
        ROW("RQ ring too small", recv_queue_ring_size, 64, 5),
        ROW("RQ ring huge", recv_queue_ring_size, 0x80000000, 5),
        ROW("RQ depth no power of two", recv_queue_depth, 5, 0),
        ROW("RQ depth 0 with a ring", recv_queue_depth, 0, 0),
        ROW("RQ at 0", rq_base_addr, 0, 5),
        ROW("RQ in mid-page", rq_base_addr, HOST_DMA_BASE + 16, 5),
        ROW("RQ beyond 48 bits", rq_base_addr, 1ull << 48, 5),
        ROW("RQ wraps", rq_base_addr, ~0xfffull, 5),
    };
    Env v = env_new(NULL);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        EfaCreateQpCmd cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq,
                                    v.cq, 16, 16);
        EfaAcqEntry cqe;

        memcpy((char *)&cmd + rows[i].offset, &rows[i].value, rows[i].size);
        cqe = admin(v.h, &cmd);
        if (cqe.status != rows[i].status) {
            g_error("%s: status %u", rows[i].name, cqe.status);
        }
        if (cqe.status) {
            static const uint8_t zero[56];

            g_assert_cmpmem(cqe.response, 56, zero, 56);
        }
    }
    hosts_free();
}

static void test_create_edges(void)
{
    EfaConfig cfg = test_config(1);
    Env v;
    EfaCreateQpCmd cmd;
    uint16_t uar2;
    Cq *cq2;

    cfg.max_llq_size = 65536;
    cfg.max_sq_depth = 4096;
    v = env_new(&cfg);
    /* no SQ, no RQ, neither; the provider's rounding may leave one slot */
    create_qp_ok(v.h, v.pd, v.uar, EFA_QP_TYPE_UD, v.cq, v.cq, 0, 16);
    create_qp_ok(v.h, v.pd, v.uar, EFA_QP_TYPE_UD, v.cq, v.cq, 16, 0);
    create_qp_ok(v.h, v.pd, v.uar, EFA_QP_TYPE_UD, v.cq, v.cq, 0, 0);
    cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq, v.cq, 0, 0);
    cmd.send_queue_ring_size = 64;
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    /* the largest send queue that fits its window, and one that does not */
    create_qp_ok(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq, v.cq, 1024, 0);
    cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq, v.cq, 2048, 0);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    /* the CQs must be of the same UAR */
    uar2 = alloc_uar_ok(v.h);
    cq2 = create_cq_ok(v.h, uar2, NULL);
    cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, cq2, v.cq, 16, 16);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq, cq2, 16, 16);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
    cmd = qp_cmd(v.h, v.pd, uar2, EFA_QP_TYPE_SRD, cq2, cq2, 16, 16);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    hosts_free();
}

/* Numbers: unique in their low bits, never soon the same again. */
static void test_numbers(void)
{
    EfaConfig cfg = test_config(1);
    Env v;
    Qp *qps[5];
    uint16_t uar2;
    uint32_t seen[65536 / 32] = { 0 };
    EfaCreateQpCmd cmd;
    unsigned i, low = 0;

    cfg.max_qp = 5;
    v = env_new(&cfg);
    for (i = 0; i < 5; i++) {
        qps[i] = env_qp(&v, EFA_QP_TYPE_SRD);
        g_assert_cmpuint(qps[i]->num, >, 1);
        g_assert_cmpuint(low & (1u << qps[i]->num % 8), ==, 0);
        low |= 1u << qps[i]->num % 8;
    }
    cmd = qp_cmd(v.h, v.pd, v.uar, EFA_QP_TYPE_SRD, v.cq, v.cq, 16, 16);
    g_assert_cmpuint(admin_status(v.h, &cmd), ==,
                     EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE);
    for (i = 0; i < 250; i++) {
        Qp *qp = qps[i % 5];

        g_assert_cmphex(seen[qp->num / 32] & (1u << qp->num % 32), ==, 0);
        seen[qp->num / 32] |= 1u << qp->num % 32;
        g_assert_cmpuint(qp_destroy(qp), ==, 0);
        qps[i % 5] = env_qp(&v, EFA_QP_TYPE_SRD);
    }
    /* a window belongs to its UAR until DEALLOC_UAR */
    for (i = 0; i < 5; i++) {
        g_assert_cmpuint(qp_destroy(qps[i]), ==, 0);
    }
    uar2 = alloc_uar_ok(v.h);
    {
        Cq *cq2 = create_cq_ok(v.h, uar2, NULL);
        EfaIdCmd d = CMD(EfaIdCmd, EFA_ADMIN_DESTROY_CQ, .id = v.cq->idx);

        cmd = qp_cmd(v.h, v.pd, uar2, EFA_QP_TYPE_SRD, cq2, cq2, 16, 16);
        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 1);
        g_assert_cmpuint(admin_status(v.h, &d), ==, 0);
        g_assert_cmpuint(id_cmd(v.h, EFA_ADMIN_DEALLOC_UAR, v.uar), ==, 0);
        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    }
    /* a reset frees them all, whoever had them */
    host_reset_handshake(v.h);
    host_admin_init(v.h);
    v.pd = alloc_pd_ok(v.h);
    v.uar = alloc_uar_ok(v.h);
    g_assert_cmpuint(v.uar, !=, uar2);
    v.cq = create_cq_ok(v.h, v.uar, NULL);
    for (i = 0; i < 5; i++) {
        env_qp(&v, EFA_QP_TYPE_SRD);
    }
    hosts_free();
}

/* Windows do not overlap, and a new owner finds zeroes. */
static void test_llq_windows(void)
{
    Env v = env_new(NULL);
    Qp *a = env_qp(&v, EFA_QP_TYPE_SRD), *b = env_qp(&v, EFA_QP_TYPE_SRD);
    uint32_t llq = a->llq, i;

    g_assert_cmpuint(llq % 65536, ==, 0);
    g_assert_cmpuint(b->llq % 65536, ==, 0);
    g_assert_cmpuint(llq, !=, b->llq);
    memset(v.h->llq + llq, 0xff, 65536);
    g_assert_cmpuint(qp_destroy(a), ==, 0);
    for (i = 0; i < 256; i++) {
        a = env_qp(&v, EFA_QP_TYPE_SRD);
        if (a->llq == llq) {
            break;
        }
        g_assert_cmpuint(qp_destroy(a), ==, 0);
    }
    g_assert_cmpuint(a->llq, ==, llq);
    for (i = 0; i < 16 * 64; i++) {
        g_assert_cmpuint(v.h->llq[llq + i], ==, 0);
    }
    hosts_free();
}

/* ---- work and states ---- */

typedef struct Talk {
    Host *h;
    End *a, *b;
    uint16_t ah;
} Talk;

static Talk talk_new(void)
{
    Talk t = { .h = host_new(1) };

    t.a = end_new(t.h, EFA_QP_TYPE_SRD);
    t.b = end_new(t.h, EFA_QP_TYPE_SRD);
    t.ah = create_ah_ok(t.h, t.a->pd, test_gid(1));
    return t;
}

static void talk_put(Talk *t, uint16_t req)
{
    EfaIoTxWqe wqe = wqe_send(req, t->ah, t->b->qp->num);

    sq_put(t->a->qp, &wqe);
}

/* To ERR: all of both queues ends with 1; new work does too. */
static void test_flush_err(void)
{
    Talk t = talk_new();
    unsigned i;

    for (i = 0; i < 3; i++) {
        talk_put(&t, i);
    }
    sq_ring(t.a->qp);       /* started, refused: they wait */
    settle();
    for (i = 0; i < 3; i++) {
        rq_put(t.a->qp, 100 + i, &t.a->rx, 0, 64, true, false);
        rq_put(t.a->qp, 999, &t.a->rx, 0, 64, false, true);
    }
    rq_ring(t.a->qp);
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_ERR), ==, 0);
    for (i = 0; i < 3; i++) {
        EfaIoCdesc e = cq_next(t.a->scq);

        g_assert_cmpuint(e.req_id, ==, i);
        g_assert_cmpuint(e.status, ==, 1);
        g_assert_cmphex(e.flags & 6, ==, 2);
        e = cq_next(t.a->rcq);
        g_assert_cmpuint(e.req_id, ==, 100 + i);
        g_assert_cmpuint(e.status, ==, 1);
        g_assert_cmphex(e.flags & 6, ==, 4);
    }
    talk_put(&t, 50);
    sq_ring(t.a->qp);
    g_assert_cmpuint(cq_next(t.a->scq).status, ==, 1);
    rq_post(t.a->qp, 51, &t.a->rx, 0, 64);
    g_assert_cmpuint(cq_next(t.a->rcq).status, ==, 1);
    /* ERR again is legal, and empty */
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_ERR), ==, 0);
    assert_cq_empty(t.a->scq);
    assert_cq_empty(t.a->rcq);
    /* nothing of it is delivered later */
    rq_post(t.b->qp, 1, &t.b->rx, 0, 64);
    advance(1000 * EFA_NSEC_PER_MSEC);
    assert_cq_empty(t.b->rcq);
    hosts_free();
}

/* To RESET, and destroy: not a word, and counters from the start. */
static void test_reset_silent(void)
{
    Talk t = talk_new();
    unsigned i, round;

    for (round = 0; round < 3; round++) {
        for (i = 0; i < 5; i++) {
            talk_put(&t, i);
            rq_put(t.a->qp, i, &t.a->rx, 0, 64, true, true);
        }
        sq_ring(t.a->qp);
        rq_ring(t.a->qp);
        settle();
        g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_RESET), ==, 0);
        assert_cq_empty(t.a->scq);
        assert_cq_empty(t.a->rcq);
        /* doorbells in RESET mean nothing */
        db_write(t.h, t.a->qp->rq_db, 3);
        db_write(t.h, t.a->qp->sq_db, 3);
        qp_to_rts(t.a->qp);
        assert_cq_empty(t.a->scq);
    }
    rq_post(t.b->qp, 7, &t.b->rx, 0, 64);
    talk_put(&t, 42);
    sq_ring(t.a->qp);
    g_assert_cmpuint(cq_next(t.a->scq).req_id, ==, 42);
    g_assert_cmpuint(cq_next(t.b->rcq).req_id, ==, 7);

    for (i = 0; i < 5; i++) {
        talk_put(&t, i);
        rq_put(t.a->qp, i, &t.a->rx, 0, 64, true, true);
    }
    sq_ring(t.a->qp);
    rq_ring(t.a->qp);
    settle();
    g_assert_cmpuint(qp_destroy(t.a->qp), ==, 0);
    sq_ring(t.a->qp);
    rq_ring(t.a->qp);
    advance(1000 * EFA_NSEC_PER_MSEC);
    assert_cq_empty(t.a->scq);
    assert_cq_empty(t.a->rcq);
    hosts_free();
}

/* 2.7: in SQD doorbells are latched, in RTR and before they are nothing. */
static void test_sqd(void)
{
    Talk t = talk_new();
    unsigned i;

    talk_put(&t, 1);
    sq_ring(t.a->qp);           /* under way, not answered */
    settle();
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_SQD), ==, 0);
    g_assert_cmpuint(qp_query(t.a->qp).sq_draining, ==, 1);
    talk_put(&t, 2);
    talk_put(&t, 3);
    sq_ring(t.a->qp);
    for (i = 0; i < 3; i++) {
        rq_post(t.b->qp, i, &t.b->rx, 0, 64);
    }
    advance(100 * EFA_NSEC_PER_MSEC);
    g_assert_cmpuint(cq_next(t.a->scq).req_id, ==, 1);
    assert_cq_empty(t.a->scq);
    g_assert_cmpuint(qp_query(t.a->qp).sq_draining, ==, 0);
    /* it still receives */
    {
        EfaIoTxWqe wqe = wqe_send(9, create_ah_ok(t.h, t.b->pd, test_gid(1)),
                                  t.a->qp->num);

        rq_post(t.a->qp, 70, &t.a->rx, 0, 64);
        sq_post(t.b->qp, &wqe);
        g_assert_cmpuint(cq_next(t.a->rcq).req_id, ==, 70);
    }
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_RTS), ==, 0);
    g_assert_cmpuint(cq_next(t.a->scq).req_id, ==, 2);
    g_assert_cmpuint(cq_next(t.a->scq).req_id, ==, 3);
    /* what is latched in SQD is flushed by ERR */
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_SQD), ==, 0);
    talk_put(&t, 4);
    sq_ring(t.a->qp);
    assert_cq_empty(t.a->scq);
    g_assert_cmpuint(qp_to(t.a->qp, EFA_QP_STATE_ERR), ==, 0);
    g_assert_cmpuint(cq_next(t.a->scq).status, ==, 1);
    hosts_free();
}

static void test_early_doorbells(void)
{
    Talk t = talk_new();
    Env v = { .h = t.h, .pd = t.a->pd, .uar = t.a->uar, .cq = t.a->scq };
    Qp *qp = env_qp(&v, EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = wqe_send(5, t.ah, t.b->qp->num);

    rq_post(t.b->qp, 1, &t.b->rx, 0, 64);
    sq_put(qp, &wqe);
    for (;;) {
        EfaQpState state = qp_query(qp).qp_state;

        sq_ring(qp);
        if (state == EFA_QP_STATE_RTR) {
            break;
        }
        g_assert_cmpuint(qp_to(qp, state + 1), ==, 0);
    }
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_RTS), ==, 0);
    /* not latched: without a doorbell in RTS nothing goes out */
    advance(100 * EFA_NSEC_PER_MSEC);
    assert_cq_empty(t.a->scq);
    sq_ring(qp);
    g_assert_cmpuint(cq_next(t.a->scq).req_id, ==, 5);
    hosts_free();
}

/* Receives may be posted from INIT on, and are used from RTR on. */
static void test_receive_early(void)
{
    Talk t = talk_new();
    Env v = { .h = t.h, .pd = t.b->pd, .uar = t.b->uar, .cq = t.b->rcq };
    Qp *qp = env_qp(&v, EFA_QP_TYPE_SRD);
    EfaIoTxWqe wqe = wqe_send(1, t.ah, qp->num);

    bring_to(qp, EFA_QP_STATE_INIT);
    rq_post(qp, 33, &t.b->rx, 0, 64);
    sq_post(t.a->qp, &wqe);
    g_assert_cmpuint(cq_next(t.a->scq).status, ==, 9);
    g_assert_cmpuint(qp_to(qp, EFA_QP_STATE_RTR), ==, 0);
    sq_post(t.a->qp, &wqe);
    g_assert_cmpuint(cq_next(t.a->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(t.b->rcq).req_id, ==, 33);
    hosts_free();
}

/* ---- 13.1 ---- */

static void test_sq_overrun(void)
{
    Talk t = talk_new();
    unsigned i;

    for (i = 0; i < 60; i++) {
        talk_put(&t, i);
    }
    sq_ring(t.a->qp);           /* not answered: 60 of 64 are taken */
    settle();
    for (i = 60; i < 64; i++) {
        talk_put(&t, i);
    }
    sq_ring(t.a->qp);
    settle();
    g_assert_cmpuint(qp_query(t.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
    talk_put(&t, 64);
    sq_ring(t.a->qp);
    g_assert_cmpuint(qp_query(t.a->qp).qp_state, ==, EFA_QP_STATE_ERR);
    for (i = 0; i < 64; i++) {
        g_assert_cmpuint(cq_next(t.a->scq).status, ==, 1);
    }
    assert_cq_empty(t.a->scq);
    hosts_free();

    t = talk_new();
    db_write(t.h, t.a->qp->sq_db, 65);
    g_assert_cmpuint(qp_query(t.a->qp).qp_state, ==, EFA_QP_STATE_ERR);
    assert_cq_empty(t.a->scq);
    hosts_free();
}

static void test_rq_overrun(void)
{
    Talk t = talk_new();
    unsigned i;

    for (i = 0; i < 64; i++) {
        rq_put(t.b->qp, i, &t.b->rx, 0, 64, true, true);
    }
    rq_ring(t.b->qp);
    g_assert_cmpuint(qp_query(t.b->qp).qp_state, ==, EFA_QP_STATE_RTS);
    db_write(t.h, t.b->qp->rq_db, 65);
    g_assert_cmpuint(qp_query(t.b->qp).qp_state, ==, EFA_QP_STATE_ERR);
    for (i = 0; i < 64; i++) {
        EfaIoCdesc e = cq_next(t.b->rcq);

        g_assert_cmpuint(e.status, ==, 1);
        g_assert_cmpuint(e.req_id, ==, i);
    }
    assert_cq_empty(t.b->rcq);
    hosts_free();
}

/* Doorbells that are nobody's, and those of the wrong page. */
static void test_stray_doorbells(void)
{
    Talk t = talk_new();
    uint16_t uar2 = alloc_uar_ok(t.h);
    uint32_t other = uar2 * EFA_DB_PAGE_SIZE + t.a->qp->sq_db % 4096;
    static const unsigned sizes[] = { 1, 2, 8 };
    unsigned i;

    rq_post(t.b->qp, 1, &t.b->rx, 0, 64);
    talk_put(&t, 1);
    db_write(t.h, other, 1);
    db_write(t.h, t.a->qp->sq_db + 400, 1);
    db_write(t.h, EFA_DB_BAR_SIZE - 4, 0xffffffff);
    efa_core_doorbell_write(t.h->core, EFA_DB_BAR_SIZE, 1, 4);
    efa_core_doorbell_write(t.h->core, 1ull << 32, 1, 4);
    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        efa_core_doorbell_write(t.h->core, t.a->qp->sq_db, 1, sizes[i]);
        efa_core_doorbell_write(t.h->core, t.a->qp->sq_db + 1 + i, 1, 4);
    }
    assert_cq_empty(t.a->scq);
    for (i = 0; i < EFA_DB_PAGE_SIZE; i += 4) {
        db_write(t.h, uar2 * EFA_DB_PAGE_SIZE + i, 0x8000ffff);
    }
    assert_cq_empty(t.a->scq);
    g_assert_cmpuint(qp_query(t.a->qp).qp_state, ==, EFA_QP_STATE_RTS);
    sq_ring(t.a->qp);
    g_assert_cmpuint(cq_next(t.a->scq).status, ==, 0);
    hosts_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qp/transitions", test_transitions);
    g_test_add_func("/qp/modify-checks", test_modify_checks);
    g_test_add_func("/qp/attributes", test_attributes);
    g_test_add_func("/qp/handles", test_handles);
    g_test_add_func("/qp/create-checks", test_create_checks);
    g_test_add_func("/qp/create-edges", test_create_edges);
    g_test_add_func("/qp/numbers", test_numbers);
    g_test_add_func("/qp/llq-windows", test_llq_windows);
    g_test_add_func("/qp/flush-err", test_flush_err);
    g_test_add_func("/qp/reset-silent", test_reset_silent);
    g_test_add_func("/qp/sqd", test_sqd);
    g_test_add_func("/qp/early-doorbells", test_early_doorbells);
    g_test_add_func("/qp/receive-early", test_receive_early);
    g_test_add_func("/qp/sq-overrun", test_sq_overrun);
    g_test_add_func("/qp/rq-overrun", test_rq_overrun);
    g_test_add_func("/qp/stray-doorbells", test_stray_doorbells);
    return g_test_run();
}
