/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fast verbs cost: instructions of the process that calls them
 *
 * One device, which sends to itself. A round posts receive buffers and
 * requests, and polls for their completions; each of its steps is timed. A
 * row of the result is one step of rounds of one kind, the least of many of
 * them: interrupts make a step longer, never shorter.
 *
 * The clock is the TSC of a machine that counts instructions (QEMU's -icount
 * with shift=0); with any other clock this refuses to run.
 *
 * Prints a line for each row: its name, a tab, instructions.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS      64
#define WARM_ROUNDS 16          /* lazy binding, page faults, rings gone round */
#define TRIES       10000       /* of rounds, before we give up */
#define PATIENCE    100000      /* waits for one completion */
#define WAIT_TURNS  10000       /* of a loop, while the device completes */
#define BATCH       16
#define DEPTH       256
#define SIZE        64
#define INLINE_SIZE 32
#define BUFFER      256         /* of a receive buffer; a datagram has 40 more */
#define QKEY        0x11111111

/* ---- the clock ---- */

/* Into memory by itself: what the compiler puts around it is not timed. */
#define READ_CLOCK(to) \
    asm volatile("rdtsc\n\tmov %%eax, %0" : "=m"(to) : : "eax", "edx", "memory")

static uint32_t begun, ended;

/* What it takes to read the clock */
static uint32_t own_cost;

#define TIMED(step, statement) do {     \
        READ_CLOCK(begun);              \
        statement;                      \
        READ_CLOCK(ended);              \
        (step) = ended - begun - own_cost; \
    } while (0)

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Two instructions a turn */
static inline __attribute__((always_inline)) void turn_round(uint32_t turns)
{
    asm volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
}

static uint32_t time_loop(uint32_t turns)
{
    uint32_t least = UINT32_MAX, cost;

    for (int i = 0; i < ROUNDS; i++) {
        TIMED(cost, turn_round(turns));
        least = cost < least ? cost : least;
    }
    return least;
}

static void check_clock(void)
{
    uint32_t least = UINT32_MAX, cost, none;

    for (int i = 0; i < ROUNDS; i++) {
        TIMED(cost, );
        least = cost < least ? cost : least;
    }
    own_cost = least;
    none = time_loop(1);
    for (uint32_t turns = 2; turns <= 4096; turns *= 2) {
        if (time_loop(turns) - none != 2 * (turns - 1)) {
            fprintf(stderr, "the TSC does not count instructions: run this in a "
                            "machine with -icount shift=0\n");
            exit(1);
        }
    }
}

/* ---- the device and its objects ---- */

static struct {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_mr *mr;
    struct ibv_ah *ah;
    struct ibv_comp_channel *channel;
} device;

/*
 * A queue pair, which sends to itself, and its completion queues: SRD but for
 * UD; of one thread only, where the provider knows such; with events.
 */
enum kind { SRD, UD, ONE_THREAD, EVENTS, KINDS };

static struct {
    struct ibv_cq_ex *send_cq, *recv_cq;
    struct ibv_qp *qp;
    struct ibv_qp_ex *qpx;
} queues[KINDS];

static unsigned char memory[2 * BATCH * BUFFER] __attribute__((aligned(4096)));
#define OUT(i)  (memory + (i) * BUFFER)
#define IN(i)   (memory + (BATCH + (i)) * BUFFER)

static void open_device(void)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };

    if (!list || !list[0]) {
        die("no device");
    }
    device.context = ibv_open_device(list[0]);
    if (!device.context) {
        die("opening the device");
    }
    device.pd = ibv_alloc_pd(device.context);
    if (!device.pd) {
        die("the protection domain");
    }
    device.mr = ibv_reg_mr(device.pd, memory, sizeof(memory),
                           IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    if (!device.mr) {
        die("the memory region");
    }
    if (ibv_query_gid(device.context, 1, 0, &attr.grh.dgid)) {
        die("the GID");
    }
    device.ah = ibv_create_ah(device.pd, &attr);
    if (!device.ah) {
        die("the address handle");
    }
    device.channel = ibv_create_comp_channel(device.context);
    if (!device.channel || fcntl(device.channel->fd, F_SETFL, O_NONBLOCK)) {
        die("the completion channel");
    }
}

/* One thread's; where there are none such, the one that all have. */
static struct ibv_pd *make_pd(enum kind kind)
{
    struct ibv_td_init_attr attr = { };
    struct ibv_parent_domain_init_attr domain = { .pd = device.pd };
    struct ibv_pd *pd = NULL;

    if (kind != ONE_THREAD) {
        return device.pd;
    }
    domain.td = ibv_alloc_td(device.context, &attr);
    if (domain.td) {
        pd = ibv_alloc_parent_domain(device.context, &domain);
    }
    if (!pd && errno != EOPNOTSUPP) {
        die("a thread's domain");
    }
    return pd ? pd : device.pd;
}

static struct ibv_cq_ex *make_cq(enum kind kind)
{
    struct ibv_cq_init_attr_ex attr = {
        .cqe = DEPTH,
        .wc_flags = IBV_WC_EX_WITH_BYTE_LEN | IBV_WC_EX_WITH_QP_NUM |
                    IBV_WC_EX_WITH_SRC_QP,
        .channel = kind == EVENTS ? device.channel : NULL,
        .comp_mask = kind == ONE_THREAD ? IBV_CQ_INIT_ATTR_MASK_FLAGS : 0,
        .flags = kind == ONE_THREAD ? IBV_CREATE_CQ_ATTR_SINGLE_THREADED : 0,
    };
    struct ibv_cq_ex *cq = ibv_create_cq_ex(device.context, &attr);

    if (!cq && kind == ONE_THREAD && errno == EOPNOTSUPP) {
        attr.comp_mask = 0;
        cq = ibv_create_cq_ex(device.context, &attr);
    }
    if (!cq) {
        die("a completion queue");
    }
    return cq;
}

static struct ibv_qp *make_qp(enum kind kind, struct ibv_cq_ex *send,
                              struct ibv_cq_ex *recv)
{
    bool is_srd = kind != UD;
    struct ibv_qp_init_attr_ex attr = {
        .send_cq = ibv_cq_ex_to_cq(send),
        .recv_cq = ibv_cq_ex_to_cq(recv),
        .cap = {
            .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1,
            .max_recv_sge = 1, .max_inline_data = INLINE_SIZE,
        },
        .qp_type = is_srd ? IBV_QPT_DRIVER : IBV_QPT_UD,
        .sq_sig_all = 0,
        .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
        .pd = make_pd(kind),
        .send_ops_flags = IBV_QP_EX_WITH_SEND |
                          (is_srd ? IBV_QP_EX_WITH_RDMA_WRITE : 0),
    };
    struct efadv_qp_init_attr efa_attr = {
        .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD,
    };
    struct ibv_qp_attr state = { .port_num = 1, .qkey = QKEY };
    struct ibv_qp *qp;

    qp = is_srd
         ? efadv_create_qp_ex(device.context, &attr, &efa_attr, sizeof(efa_attr))
         : ibv_create_qp_ex(device.context, &attr);
    if (!qp) {
        die("a queue pair");
    }
    state.qp_state = IBV_QPS_INIT;
    errno = ibv_modify_qp(qp, &state, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
                          IBV_QP_PORT | IBV_QP_QKEY);
    if (!errno) {
        state.qp_state = IBV_QPS_RTR;
        errno = ibv_modify_qp(qp, &state, IBV_QP_STATE);
    }
    if (!errno) {
        state.qp_state = IBV_QPS_RTS;
        errno = ibv_modify_qp(qp, &state, IBV_QP_STATE | IBV_QP_SQ_PSN);
    }
    if (errno) {
        die("a queue pair's state");
    }
    return qp;
}

/* ---- rounds ---- */

enum step { POST_RECV, POST, POLL_SEND, POLL_RECV, POLL_NONE, ARM, STEPS };
enum post { BY_POST_SEND, BY_WR, BY_WR_INLINE, BY_WR_WRITE };
enum poll { BY_POLL_CQ, BY_START_POLL };

struct round {
    enum kind queues;
    enum post post;
    enum poll poll;
    int n;                      /* requests */
};

static struct ibv_recv_wr recv_wrs[BATCH];
static struct ibv_send_wr send_wrs[BATCH];
static struct ibv_sge recv_sges[BATCH], send_sges[BATCH];

static void fill_requests(const struct round *round)
{
    for (int i = 0; i < round->n; i++) {
        bool last = i == round->n - 1;

        recv_sges[i] = (struct ibv_sge) {
            (uintptr_t)IN(i), BUFFER, device.mr->lkey,
        };
        recv_wrs[i] = (struct ibv_recv_wr) {
            .wr_id = i, .next = last ? NULL : &recv_wrs[i + 1],
            .sg_list = &recv_sges[i], .num_sge = 1,
        };
        send_sges[i] = (struct ibv_sge) {
            (uintptr_t)OUT(i), SIZE, device.mr->lkey,
        };
        send_wrs[i] = (struct ibv_send_wr) {
            .wr_id = i, .next = last ? NULL : &send_wrs[i + 1],
            .sg_list = &send_sges[i], .num_sge = 1,
            .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED,
            .wr.ud = {
                .ah = device.ah, .remote_qkey = QKEY,
                .remote_qpn = queues[round->queues].qp->qp_num,
            },
        };
    }
}

static inline __attribute__((always_inline))
int post_wr(struct ibv_qp_ex *qpx, enum post post, int n)
{
    ibv_wr_start(qpx);
    for (int i = 0; i < n; i++) {
        qpx->wr_id = i;
        qpx->wr_flags = IBV_SEND_SIGNALED;
        if (post == BY_WR_WRITE) {
            ibv_wr_rdma_write(qpx, device.mr->rkey, (uintptr_t)IN(i));
        } else {
            ibv_wr_send(qpx);
        }
        ibv_wr_set_ud_addr(qpx, device.ah, qpx->qp_base.qp_num, QKEY);
        if (post == BY_WR_INLINE) {
            ibv_wr_set_inline_data(qpx, OUT(i), INLINE_SIZE);
        } else {
            ibv_wr_set_sge(qpx, device.mr->lkey, (uintptr_t)OUT(i), SIZE);
        }
    }
    return ibv_wr_complete(qpx);
}

static uint32_t post(const struct round *round)
{
    struct ibv_qp *qp = queues[round->queues].qp;
    struct ibv_qp_ex *qpx = queues[round->queues].qpx;
    struct ibv_send_wr *bad;
    uint32_t cost = 0;

    switch (round->post) {
    case BY_POST_SEND:
        TIMED(cost, errno = ibv_post_send(qp, send_wrs, &bad));
        break;
    case BY_WR:
        TIMED(cost, errno = post_wr(qpx, BY_WR, round->n));
        break;
    case BY_WR_INLINE:
        TIMED(cost, errno = post_wr(qpx, BY_WR_INLINE, round->n));
        break;
    case BY_WR_WRITE:
        TIMED(cost, errno = post_wr(qpx, BY_WR_WRITE, round->n));
        break;
    }
    if (errno) {
        die("posting");
    }
    return cost;
}

/* What a program asks of each completion */
static struct {
    uint64_t id;
    enum ibv_wc_status status;
    enum ibv_wc_opcode opcode;
    uint32_t len, qpn, src;
    unsigned int flags;
} seen[BATCH];

/* How many completions there were, up to n */
static inline __attribute__((always_inline))
int poll_extended(struct ibv_cq_ex *cq, int n)
{
    struct ibv_poll_cq_attr attr = { };
    int i = 0;

    if (ibv_start_poll(cq, &attr)) {
        return 0;
    }
    do {
        seen[i].id = cq->wr_id;
        seen[i].status = cq->status;
        seen[i].opcode = ibv_wc_read_opcode(cq);
        seen[i].len = ibv_wc_read_byte_len(cq);
        seen[i].qpn = ibv_wc_read_qp_num(cq);
        seen[i].src = ibv_wc_read_src_qp(cq);
        seen[i].flags = ibv_wc_read_wc_flags(cq);
    } while (++i < n && !ibv_next_poll(cq));
    ibv_end_poll(cq);
    return i;
}

static uint32_t poll_once(enum poll how, struct ibv_cq_ex *cq, int n, int *got)
{
    static struct ibv_wc wc[BATCH];
    struct ibv_cq *plain = ibv_cq_ex_to_cq(cq);
    uint32_t cost;

    if (how == BY_POLL_CQ) {
        TIMED(cost, *got = ibv_poll_cq(plain, n, wc));
    } else {
        TIMED(cost, *got = poll_extended(cq, n));
    }
    for (int i = 0; i < *got; i++) {
        if (how == BY_POLL_CQ ? wc[i].status : seen[i].status) {
            fprintf(stderr, "a completion has status %d\n",
                    how == BY_POLL_CQ ? wc[i].status : seen[i].status);
            exit(1);
        }
    }
    if (*got < 0) {
        die("polling");
    }
    return cost;
}

/* Of all n completions at once; 0: they were not there yet, but are taken. */
static uint32_t poll_all(enum poll how, struct ibv_cq_ex *cq, int n)
{
    int got, left;
    uint32_t cost = poll_once(how, cq, n, &got);

    if (got == n) {
        return cost;
    }
    for (int i = 0; i < PATIENCE * n; i++) {
        left = n - got;
        poll_once(how, cq, left, &got);
        got += n - left;
        if (got == n) {
            return 0;
        }
        turn_round(WAIT_TURNS);
    }
    fprintf(stderr, "a completion does not come\n");
    exit(1);
}

/* As who waits for events does: ask for one more, having taken what came. */
static uint32_t arm(struct ibv_cq_ex *cq)
{
    struct ibv_cq *plain;
    void *context;
    uint32_t cost;

    while (!ibv_get_cq_event(device.channel, &plain, &context)) {
        ibv_ack_cq_events(plain, 1);
    }
    TIMED(cost, errno = ibv_req_notify_cq(ibv_cq_ex_to_cq(cq), 0));
    if (errno) {
        die("asking for an event");
    }
    return cost;
}

/* Its steps' costs; 0: not known of this round */
static void run(const struct round *round, uint32_t *cost)
{
    struct ibv_qp *qp = queues[round->queues].qp;
    struct ibv_cq_ex *send_cq = queues[round->queues].send_cq;
    struct ibv_cq_ex *recv_cq = queues[round->queues].recv_cq;
    bool is_received = round->post != BY_WR_WRITE;
    struct ibv_recv_wr *bad;
    int got;

    memset(cost, 0, STEPS * sizeof(*cost));
    if (is_received) {
        TIMED(cost[POST_RECV], errno = ibv_post_recv(qp, recv_wrs, &bad));
        if (errno) {
            die("posting receive buffers");
        }
    }
    cost[POST] = post(round);
    turn_round(WAIT_TURNS);       /* not asleep: an idle machine's clock jumps */
    cost[POLL_SEND] = poll_all(round->poll, send_cq, round->n);
    if (is_received) {
        cost[POLL_RECV] = poll_all(round->poll, recv_cq, round->n);
    }
    cost[POLL_NONE] = poll_once(round->poll, send_cq, 1, &got);
    if (got) {
        fprintf(stderr, "a completion too many\n");
        exit(1);
    }
    if (round->queues == EVENTS) {
        cost[ARM] = arm(recv_cq);
    }
}

/* ---- rows ---- */

static const struct row {
    const char *name;
    struct round round;
    enum step step;
} rows[] = {
    { "ibv_post_send", { SRD, BY_POST_SEND, BY_POLL_CQ, 1 }, POST },
    { "ibv_post_send, chain of 16",
      { SRD, BY_POST_SEND, BY_POLL_CQ, BATCH }, POST },
    { "ibv_wr send", { SRD, BY_WR, BY_POLL_CQ, 1 }, POST },
    { "ibv_wr send, inline", { SRD, BY_WR_INLINE, BY_POLL_CQ, 1 }, POST },
    { "ibv_wr send, batch of 16", { SRD, BY_WR, BY_POLL_CQ, BATCH }, POST },
    { "ibv_wr RDMA write", { SRD, BY_WR_WRITE, BY_POLL_CQ, 1 }, POST },
    { "ibv_wr RDMA write, batch of 16",
      { SRD, BY_WR_WRITE, BY_POLL_CQ, BATCH }, POST },
    { "ibv_post_recv", { SRD, BY_WR, BY_POLL_CQ, 1 }, POST_RECV },
    { "ibv_post_recv, chain of 16",
      { SRD, BY_WR, BY_POLL_CQ, BATCH }, POST_RECV },
    { "ibv_poll_cq, nothing", { SRD, BY_WR, BY_POLL_CQ, 1 }, POLL_NONE },
    { "ibv_poll_cq, a send", { SRD, BY_WR, BY_POLL_CQ, 1 }, POLL_SEND },
    { "ibv_poll_cq, a write", { SRD, BY_WR_WRITE, BY_POLL_CQ, 1 }, POLL_SEND },
    { "ibv_poll_cq, a receive", { SRD, BY_WR, BY_POLL_CQ, 1 }, POLL_RECV },
    { "ibv_poll_cq, 16 sends", { SRD, BY_WR, BY_POLL_CQ, BATCH }, POLL_SEND },
    { "ibv_poll_cq, 16 receives",
      { SRD, BY_WR, BY_POLL_CQ, BATCH }, POLL_RECV },
    { "ibv_start_poll, nothing", { SRD, BY_WR, BY_START_POLL, 1 }, POLL_NONE },
    { "ibv_start_poll, a send", { SRD, BY_WR, BY_START_POLL, 1 }, POLL_SEND },
    { "ibv_start_poll, a receive",
      { SRD, BY_WR, BY_START_POLL, 1 }, POLL_RECV },
    { "ibv_start_poll, 16 sends",
      { SRD, BY_WR, BY_START_POLL, BATCH }, POLL_SEND },
    { "ibv_start_poll, 16 receives",
      { SRD, BY_WR, BY_START_POLL, BATCH }, POLL_RECV },
    { "UD: ibv_post_send", { UD, BY_POST_SEND, BY_POLL_CQ, 1 }, POST },
    { "UD: ibv_wr send", { UD, BY_WR, BY_POLL_CQ, 1 }, POST },
    { "UD: ibv_post_recv", { UD, BY_WR, BY_POLL_CQ, 1 }, POST_RECV },
    { "UD: ibv_poll_cq, a send", { UD, BY_WR, BY_POLL_CQ, 1 }, POLL_SEND },
    { "UD: ibv_poll_cq, a receive", { UD, BY_WR, BY_POLL_CQ, 1 }, POLL_RECV },
    { "one thread: ibv_post_send",
      { ONE_THREAD, BY_POST_SEND, BY_POLL_CQ, 1 }, POST },
    { "one thread: ibv_wr send", { ONE_THREAD, BY_WR, BY_POLL_CQ, 1 }, POST },
    { "one thread: ibv_post_recv",
      { ONE_THREAD, BY_WR, BY_POLL_CQ, 1 }, POST_RECV },
    { "one thread: ibv_poll_cq, nothing",
      { ONE_THREAD, BY_WR, BY_POLL_CQ, 1 }, POLL_NONE },
    { "one thread: ibv_poll_cq, a send",
      { ONE_THREAD, BY_WR, BY_POLL_CQ, 1 }, POLL_SEND },
    { "one thread: ibv_poll_cq, a receive",
      { ONE_THREAD, BY_WR, BY_POLL_CQ, 1 }, POLL_RECV },
    { "one thread: ibv_start_poll, a send",
      { ONE_THREAD, BY_WR, BY_START_POLL, 1 }, POLL_SEND },
    { "events: ibv_req_notify_cq", { EVENTS, BY_WR, BY_POLL_CQ, 1 }, ARM },
    { "events: ibv_poll_cq, a send",
      { EVENTS, BY_WR, BY_POLL_CQ, 1 }, POLL_SEND },
    { "events: ibv_poll_cq, a receive",
      { EVENTS, BY_WR, BY_POLL_CQ, 1 }, POLL_RECV },
    { "events: ibv_poll_cq, 16 receives",
      { EVENTS, BY_WR, BY_POLL_CQ, BATCH }, POLL_RECV },
    { "events: ibv_start_poll, a receive",
      { EVENTS, BY_WR, BY_START_POLL, 1 }, POLL_RECV },
};

static uint32_t least(const struct row *row)
{
    uint32_t found = UINT32_MAX, cost[STEPS];
    int known = 0;

    fill_requests(&row->round);
    for (int i = 0; i < TRIES && known < ROUNDS; i++) {
        run(&row->round, cost);
        if (i >= WARM_ROUNDS && cost[row->step]) {
            found = cost[row->step] < found ? cost[row->step] : found;
            known++;
        }
    }
    if (known < ROUNDS) {
        fprintf(stderr, "%s: the completions are always late\n", row->name);
        exit(1);
    }
    return found;
}

int main(void)
{
    check_clock();
    open_device();
    for (enum kind kind = 0; kind < KINDS; kind++) {
        queues[kind].send_cq = make_cq(kind);
        queues[kind].recv_cq = make_cq(kind);
        queues[kind].qp = make_qp(kind, queues[kind].send_cq,
                                  queues[kind].recv_cq);
        queues[kind].qpx = ibv_qp_to_qp_ex(queues[kind].qp);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        printf("%s\t%u\n", rows[i].name, least(&rows[i]));
        fflush(stdout);
    }
    return 0;
}
