/*
 * Unit tests: impairments, and a device that sends under them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_SPRAY_H
#define EFA_TEST_SPRAY_H

#include "harness.h"

#define US      EFA_NSEC_PER_USEC
#define MS      EFA_NSEC_PER_MSEC
#define SEC     (1000 * MS)
#define MANY    2000
#define MAX_HELD 4096

static inline EfaImpairRule rule_for(unsigned peer)
{
    EfaImpairRule rule;

    efa_impair_rule_init(&rule);
    rule.has_peer = peer != 0;
    rule.peer = test_gid(peer);
    return rule;
}

static inline void impair_n(Host *h, EfaImpairRule *rules, size_t n)
{
    EfaImpair impair = { .num_rules = n, .rules = rules };
    GError *err = NULL;

    efa_core_set_impair(h->core, &impair, &err);
    g_assert_no_error(err);
    settle();
}

static inline void impair(Host *h, EfaImpairRule rule)
{
    impair_n(h, &rule, 1);
}

#define STAT(h, name)   (efa_core_impair_stats((h)->core).name)

/* ---- a device that sends datagrams to a peer the test plays ---- */

typedef struct Spray {
    Wire *w;
    End *e;
    Host *h;
    uint16_t ah[4];         /* of peers 2 and 3 */
    uint32_t next;
} Spray;

static inline void post(Spray *s, unsigned peer)
{
    EfaIoTxWqe wqe = wqe_send(s->next, s->ah[peer], 0x77);
    EfaIoCdesc e;

    wqe_inline(&wqe, &s->next, sizeof(s->next));
    s->next++;
    sq_post(s->e->qp, &wqe);
    settle();
    while (cq_poll(s->e->scq, &e)) {
        g_assert_cmpuint(e.status, ==, 0);
    }
}

static inline Spray spray_new_cfg(const EfaConfig *cfg)
{
    Spray s = { .w = wire_new() };
    unsigned i;

    s.h = host_new_raw(cfg, s.w, NULL);
    host_probe(s.h);
    s.e = end_new(s.h, EFA_QP_TYPE_UD);
    for (i = 2; i <= 3; i++) {
        wire_ghost(s.w, test_gid(i));
        s.ah[i] = create_ah_ok(s.h, s.e->pd, test_gid(i));
        post(&s, i);        /* makes the link */
    }
    wire_drop_all(s.w);
    s.next = 0;
    return s;
}

static inline Spray spray_new(void)
{
    EfaConfig cfg = test_config(1);

    return spray_new_cfg(&cfg);
}

static inline void spray_free(Spray *s)
{
    hosts_free();
    wire_free(s->w);
}

static inline uint32_t number_of(const WirePkt *pkt)
{
    uint32_t n;

    memcpy(&n, pkt->data + sizeof(EfaPktHdr), sizeof(n));
    return n;
}

/* The numbers of the packets on the wire, in order. */
static inline GArray *take_numbers(Wire *w)
{
    GArray *numbers = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    while (wire_count(w)) {
        WirePkt *pkt = wire_take(w, 0);
        uint32_t n = number_of(pkt);

        g_array_append_val(numbers, n);
        g_free(pkt);
    }
    return numbers;
}

/* What arrives of @count datagrams under @rule. */
static inline GArray *pattern(Spray *s, EfaImpairRule rule, unsigned count)
{
    impair(s->h, rule);
    s->next = 0;
    while (count--) {
        post(s, 2);
    }
    advance(SEC);
    return take_numbers(s->w);
}

static inline bool same(const GArray *a, const GArray *b)
{
    return a->len == b->len && !memcmp(a->data, b->data, a->len * 4);
}

/* ---- one datagram or message at a time ---- */

static inline void recv_one(End *e, uint16_t req)
{
    rq_post(e->qp, req, &e->rx, 0, 8192);
}

static inline void send_to(End *from, uint16_t ah, End *to, uint32_t value)
{
    EfaIoTxWqe wqe = wqe_send(value, ah, to->qp->num);

    wqe_inline(&wqe, &value, sizeof(value));
    sq_post(from->qp, &wqe);
    settle();
}

static inline unsigned count_received(End *e)
{
    EfaIoCdesc c;
    unsigned n = 0;

    settle();
    while (cq_poll(e->rcq, &c)) {
        g_assert_cmpuint(c.status, ==, 0);
        n++;
    }
    return n;
}

#endif /* EFA_TEST_SPRAY_H */
