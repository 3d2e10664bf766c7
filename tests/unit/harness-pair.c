/*
 * Unit tests: two devices on a wire that talk to each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-pair.h"

Pair pair_of(const EfaConfig *a, const EfaConfig *b, EfaQpType type)
{
    Pair p = { .w = wire_new() };
    Host *host_a = host_new_raw(a, p.w, NULL);
    Host *host_b = host_new_raw(b, p.w, NULL);

    host_probe(host_a);
    host_probe(host_b);
    p.a = end_new(host_a, type);
    p.b = end_new(host_b, type);
    p.ah = create_ah_ok(host_a, p.a->pd, b->gid);
    return p;
}

Pair pair_of_default(EfaQpType type)
{
    EfaConfig a = test_config(1), b = test_config(2);

    return pair_of(&a, &b, type);
}

void pair_meet(Pair *p)
{
    p->back = create_ah_ok(p->b->h, p->b->pd, p->a->h->cfg.gid);
}

void pair_reg(Pair *p, uint32_t len, uint8_t remote)
{
    p->local = reg_buf(p->a->h, p->a->pd, len, PERM_LOCAL_WRITE);
    p->remote = reg_buf(p->b->h, p->b->pd, len, PERM_LOCAL_WRITE | remote);
}

void pair_free(Pair *p)
{
    hosts_free();
    wire_free(p->w);
}

void pair_send(Pair *p, uint16_t req)
{
    EfaIoTxWqe wqe = wqe_send(req, p->ah, p->b->qp->num);

    wqe_inline(&wqe, &req, sizeof(req));
    sq_post(p->a->qp, &wqe);
    settle();
}
