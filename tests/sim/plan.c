/*
 * Simulator: what a seed is about
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

static const char *const fault_names[] = {
#define X(_name, _what) #_name,
    SIM_FAULTS(X)
#undef X
};

const char *sim_fault_name(unsigned index)
{
    return fault_names[index];
}

static uint32_t draw_faults(Rng *rng)
{
    uint32_t faults = 0;
    unsigned i, percent = rng_below(rng, 3) * 25 + 15;

    for (i = 0; i < SIM_NUM_FAULTS; i++) {
        faults |= rng_percent(rng, percent) ? 1u << i : 0;
    }
    /* it mutes most checks: rarely */
    faults &= ~F_hostile;
    return rng_percent(rng, 4) ? faults | F_hostile : faults;
}

static void draw_network(Plan *p, Rng *rng)
{
    p->announce = rng_percent(rng, 50);
    p->fifo = rng_percent(rng, 30);
    p->paths = rng_percent(rng, 50) ? rng_range(rng, 2, 8) : 1;
    p->latency = rng_magnitude(rng, SIM_USEC, 5 * SIM_MSEC);
    p->jitter = rng_percent(rng, 60) ? rng_below(rng, p->latency) : 0;
    p->skew = rng_below(rng, p->latency / p->paths + 1);
    p->wake = rng_magnitude(rng, 100, 20 * SIM_USEC);
    if (rng_percent(rng, 30)) {
        /* 1 to 100 Gbit/s */
        p->byte_ps = rng_magnitude(rng, 80, 8000);
    }
    if (p->faults & F_loss) {
        p->loss_ppm = rng_magnitude(rng, 100, 200000);
    }
    if (p->faults & F_dup) {
        p->dup_ppm = rng_magnitude(rng, 1000, 200000);
    }
    if (p->faults & F_hostile) {
        p->hostile_ppm = rng_magnitude(rng, 100, 50000);
    }
    if (p->faults & F_full) {
        p->room = rng_percent(rng, 70) ? rng_range(rng, 2, 32) : 0;
        p->refuse_ppm = rng_percent(rng, 50) ? 50000 : 0;
    }
}

static void draw_device(Plan *p, Rng *rng)
{
    static const uint32_t mtus[] = { 256, 512, 1024, 1024, 4096, 8928 };

    p->generation = rng_percent(rng, 10) ? 0 : rng_range(rng, 1, 4);
    p->mtu = mtus[rng_below(rng, p->nodes > 100 ? 4 : ARRAY_SIZE(mtus))];
    p->rdma_max = p->mtu * rng_range(rng, 1, p->nodes > 100 ? 8 : 64);
    p->rdma_max = MIN(p->rdma_max, 65536);
    p->rdma_percent = rng_percent(rng, 70) ? rng_range(rng, 10, 80) : 0;
    p->reorder = rng_percent(rng, 50) ? rng_below(rng, 65) : 0;
    p->timeout = rng_range(rng, 1000, 5000) * SIM_MSEC;
    p->num_qps = rng_range(rng, 1, 3);
    p->depth = 4u << rng_below(rng, 5);
    p->sub_cqs = rng_percent(rng, 60) ? 1 : rng_range(rng, 2, SIM_MAX_SUBS);
    p->unsolicited = rng_percent(rng, 50);
    p->wqe_size = p->generation >= 3 && rng_percent(rng, 50)
                  ? EFA_IO_WQE_SIZE_WIDE : EFA_IO_WQE_SIZE;
    p->seed = rng_next(rng);
}

static void draw_applications(Plan *p, const Options *opt, Rng *rng)
{
    uint32_t acts = F_cut | F_crash | F_reset | F_qp | F_ah | F_mr;
    unsigned some = p->nodes > 400 ? 16000 / p->nodes : 60;

    p->messages = opt->messages ? opt->messages : MAX(some, 8);
    p->think = rng_magnitude(rng, 5 * SIM_USEC, 20 * SIM_MSEC);
    p->burst = rng_range(rng, 1, 8);
    p->size = opt->size;
    p->lazy = rng_percent(rng, 30);
    p->loopback = true;
    p->finite_rnr = rng_percent(rng, 50);
    if (p->faults & acts) {
        int64_t course = p->messages * p->think * 2 / (p->burst + 1);

        p->acts = 6 + p->nodes / 3;
        p->fault_period = 1 + course / p->acts;
        p->acts *= 2;
    }
}

void plan_draw(Plan *plan, const Options *opt, uint64_t seed)
{
    Rng rng;

    rng_seed(&rng, seed);
    *plan = (Plan) { .defect = opt->defect };
    plan->nodes = opt->nodes ? opt->nodes : rng_range(&rng, 2, 16);
    plan->peers = opt->peers ? opt->peers : rng_range(&rng, 1, 6);
    plan->faults = draw_faults(&rng);
    if (opt->faults_given) {
        plan->faults = opt->faults;
    }
    draw_network(plan, &rng);
    draw_device(plan, &rng);
    draw_applications(plan, opt, &rng);
}

void plan_quiet(Plan *plan, const Options *opt, unsigned nodes,
                unsigned peers, unsigned messages)
{
    *plan = (Plan) {
        .nodes = nodes,
        .peers = peers,
        .messages = messages,
        .paths = 4,
        .latency = 10 * SIM_USEC,
        .skew = SIM_USEC,
        .wake = 5 * SIM_USEC,
        .generation = 2,
        .mtu = MAX(256, opt->size),
        .rdma_max = 4096,
        .timeout = 5 * SIM_SEC,
        .num_qps = 1,
        .depth = 16,
        .sub_cqs = 1,
        .wqe_size = EFA_IO_WQE_SIZE,
        .think = 20 * SIM_USEC,
        .burst = 1,
        .size = opt->size >= 0 ? opt->size : 64,
        .steady = true,
        .recycle = true,
        .in_turn = true,
    };
}
