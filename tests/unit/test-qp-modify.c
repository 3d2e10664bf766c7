/*
 * Unit tests: MODIFY_QP and QUERY_QP, every change with every attribute
 *
 * Control path specification, 5.2, 5.3 and 10.4.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

#define ST(_m)  R_MODIFY_QP_MASK_ ## _m ## _MASK

#define NEW_QKEY    0x5a5a5a5au
#define NEW_PSN     0x00123456u
#define NEW_RNR     5

typedef struct Env {
    Host *h;
    End *e;
} Env;

static Env env_new(void)
{
    Env v = { .h = host_new(1) };

    v.e = end_new(v.h, EFA_QP_TYPE_SRD);
    return v;
}

static Qp *qp_in(Env *v, EfaQpType type, EfaQpState state)
{
    static const EfaQpState way[] = {
        EFA_QP_STATE_INIT, EFA_QP_STATE_RTR, EFA_QP_STATE_RTS,
        EFA_QP_STATE_SQD,
    };
    Qp *qp = create_qp_ok(v->h, v->e->pd, v->e->uar, type, v->e->scq,
                          v->e->rcq, 16, 16);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(way); i++) {
        if (qp_query(qp).qp_state == state ||
            (state == EFA_QP_STATE_ERR && i > 0)) {
            break;
        }
        g_assert_cmpuint(qp_to(qp, way[i]), ==, 0);
    }
    if (state == EFA_QP_STATE_ERR) {
        g_assert_cmpuint(qp_to(qp, state), ==, 0);
    }
    g_assert_cmpuint(qp_query(qp).qp_state, ==, state);
    return qp;
}

/* The device's table, less what the driver lets nobody ask for. */
static bool legal(EfaQpState from, EfaQpState to)
{
    static const char *const table[EFA_QP_STATE_MAX] = {
        /* to:   RESET INIT RTR RTS SQD SQE ERR */
        [EFA_QP_STATE_RESET] = "xx.....",
        [EFA_QP_STATE_INIT]  = "xxx...x",
        [EFA_QP_STATE_RTR]   = "x..x..x",
        [EFA_QP_STATE_RTS]   = "x..xx.x",
        [EFA_QP_STATE_SQD]   = "x..xx.x",
        [EFA_QP_STATE_ERR]   = "x.....x",
    };

    return table[from][to] == 'x';
}

/* What the specification wants with a change; without it, 5. */
static uint32_t required(EfaQpState from, EfaQpState to)
{
    return from == EFA_QP_STATE_RESET && to == EFA_QP_STATE_INIT ? ST(QKEY)
         : from == EFA_QP_STATE_RTR && to == EFA_QP_STATE_RTS ? ST(SQ_PSN)
         : 0;
}

static uint8_t expected(EfaQpType type, EfaQpState from, EfaQpState to,
                        uint32_t mask)
{
    uint32_t needs = required(from, to);

    if (type == EFA_QP_TYPE_UD && (mask & ST(RNR_RETRY))) {
        return EFA_ADMIN_ILLEGAL_PARAMETER;
    }
    if ((mask & ST(QP_STATE)) &&
        (!legal(from, to) || (mask & needs) != needs)) {
        return EFA_ADMIN_ILLEGAL_PARAMETER;
    }
    return EFA_ADMIN_SUCCESS;
}

/* One modify; all that a query tells before and after. */
static void check(Env *v, EfaQpType type, EfaQpState from, EfaQpState to,
                  uint32_t mask)
{
    Qp *qp = qp_in(v, type, from);
    EfaQueryQpResp before = qp_query(qp), after, want = before;
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
        .modify_mask = mask, .qp_handle = qp->handle, .qp_state = to,
        .cur_qp_state = from, .qkey = NEW_QKEY, .sq_psn = NEW_PSN,
        .sq_drained_async_notify = 1, .rnr_retry = NEW_RNR);
    uint8_t status = admin_status(v->h, &cmd);

    after = qp_query(qp);
    if (status == EFA_ADMIN_SUCCESS) {
        want.qp_state = mask & ST(QP_STATE) ? to : from;
        want.qkey = mask & ST(QKEY) ? NEW_QKEY : before.qkey;
        want.sq_psn = mask & ST(SQ_PSN) ? NEW_PSN : before.sq_psn;
        want.rnr_retry = mask & ST(RNR_RETRY) ? NEW_RNR : before.rnr_retry;
    }
    if (status != expected(type, from, to, mask) ||
        memcmp(&after, &want, sizeof(want))) {
        g_error("type %u, %u to %u, mask 0x%x: status %u, now state %u, Q_Key "
                "0x%x, PSN 0x%x, RNR retry %u", type, from, to, mask, status,
                after.qp_state, after.qkey, after.sq_psn, after.rnr_retry);
    }
    g_assert_cmpuint(qp_destroy(qp), ==, 0);
}

/* What is refused changes nothing at all. */
static void test_every_change(void)
{
    static const EfaQpType types[] = { EFA_QP_TYPE_UD, EFA_QP_TYPE_SRD };
    unsigned t, from, to, mask;

    for (t = 0; t < 2; t++) {
        Env v = env_new();

        for (from = 0; from < EFA_QP_STATE_MAX; from++) {
            for (to = 0; from != EFA_QP_STATE_SQE && to < EFA_QP_STATE_MAX;
                 to++) {
                for (mask = 0; mask < 64; mask++) {
                    check(&v, types[t], from, to, mask);
                }
            }
        }
        hosts_free();
    }
}

/* Bits that mean nothing yet, with all the others or alone. */
static void test_mask_bits(void)
{
    Env v = env_new();
    Qp *qp = qp_in(&v, EFA_QP_TYPE_SRD, EFA_QP_STATE_RTS);
    unsigned bit;

    for (bit = 6; bit < 32; bit++) {
        g_assert_cmpuint(qp_modify(qp, 1u << bit, 0, 1, 0), ==, 4);
        g_assert_cmpuint(qp_modify(qp, 1u << bit | ST(QKEY), 0, 1, 0), ==, 4);
    }
    g_assert_cmphex(qp_query(qp).qkey, ==, QKEY);
    hosts_free();
}

/* States that there are none of, some like others in their low bits. */
static void test_no_states(void)
{
    static const uint32_t states[] = { 7, 8, 31, 32, 33, 0x101, UINT32_MAX };
    Env v = env_new();
    Qp *qp = qp_in(&v, EFA_QP_TYPE_SRD, EFA_QP_STATE_RESET);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(states); i++) {
        g_assert_cmpuint(qp_modify(qp, ST(QP_STATE) | ST(QKEY), states[i],
                                   NEW_QKEY, 0), ==, 5);
        g_assert_cmpuint(qp_query(qp).qp_state, ==, EFA_QP_STATE_RESET);
        g_assert_cmpuint(qp_query(qp).qkey, ==, 0);
    }
    hosts_free();
}

/* 5.3: a transition that the device made by itself shows. */
static void test_own_transition(void)
{
    Env v = env_new();
    Qp *qp = qp_in(&v, EFA_QP_TYPE_SRD, EFA_QP_STATE_RTS);

    db_write(v.h, qp->sq_db, 17);       /* more than the ring holds */
    g_assert_cmpuint(qp_query(qp).qp_state, ==, EFA_QP_STATE_ERR);
    /* the driver still believes in RTS: it may only begin anew */
    {
        EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
            .modify_mask = ST(QP_STATE) | ST(CUR_QP_STATE),
            .qp_handle = qp->handle, .qp_state = EFA_QP_STATE_SQD,
            .cur_qp_state = EFA_QP_STATE_RTS);

        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 5);
        cmd.qp_state = EFA_QP_STATE_RESET;
        g_assert_cmpuint(admin_status(v.h, &cmd), ==, 0);
    }
    g_assert_cmpuint(qp_query(qp).qp_state, ==, EFA_QP_STATE_RESET);
    hosts_free();
}

/* Data path, 13.1: receives announced in RESET are not there afterwards. */
static void test_receive_in_reset(void)
{
    Env v = env_new();
    Qp *qp = qp_in(&v, EFA_QP_TYPE_SRD, EFA_QP_STATE_RESET);
    EfaIoTxWqe wqe = wqe_send(1, create_ah_ok(v.h, v.e->pd, test_gid(1)),
                              qp->num);

    rq_post(qp, 1, &v.e->rx, 0, 64);
    qp_to_rts(qp);
    g_assert_cmpuint(qp_modify(v.e->qp, ST(RNR_RETRY), 0, 0, 0), ==, 0);
    sq_post(v.e->qp, &wqe);
    g_assert_cmpuint(cq_next(v.e->scq).status, ==, 10);
    rq_ring(qp);
    sq_post(v.e->qp, &wqe);
    g_assert_cmpuint(cq_next(v.e->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(v.e->rcq).req_id, ==, 1);
    hosts_free();
}

/* Data path, 6.5: states in which a datagram is taken, or dropped. */
static void test_ud_states(void)
{
    unsigned state;

    for (state = 0; state < EFA_QP_STATE_MAX; state++) {
        bool takes = state >= EFA_QP_STATE_RTR && state <= EFA_QP_STATE_SQD;
        EfaIoTxWqe wqe;
        EfaIoCdesc e;
        End *from;
        Env v;
        Qp *qp;

        if (state == EFA_QP_STATE_SQE) {
            continue;
        }
        v = env_new();
        from = end_new(v.h, EFA_QP_TYPE_UD);
        qp = qp_in(&v, EFA_QP_TYPE_UD, state);
        if (state > EFA_QP_STATE_RESET && state < EFA_QP_STATE_ERR) {
            rq_post(qp, 1, &v.e->rx, 0, 64);
        }
        wqe = wqe_send(1, create_ah_ok(v.h, from->pd, test_gid(1)), qp->num);
        /* bit 31: the sender's own key */
        wqe.meta.qkey = 0x80000000u;
        sq_post(from->qp, &wqe);
        g_assert_cmpuint(cq_next(from->scq).status, ==, 0);
        settle();
        g_assert_cmpint(cq_poll(v.e->rcq, &e), ==, takes);
        g_assert_cmpuint(stat_get(v.h, EFA_ADMIN_GET_STATS_TYPE_BASIC,
                                  ST_RX_DROPS), ==, !takes);
        hosts_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qp-modify/every-change", test_every_change);
    g_test_add_func("/qp-modify/mask-bits", test_mask_bits);
    g_test_add_func("/qp-modify/no-states", test_no_states);
    g_test_add_func("/qp-modify/own-transition", test_own_transition);
    g_test_add_func("/qp-modify/receive-in-reset", test_receive_in_reset);
    g_test_add_func("/qp-modify/ud-states", test_ud_states);
    return g_test_run();
}
