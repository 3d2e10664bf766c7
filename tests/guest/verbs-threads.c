/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that share a queue pair and a completion queue, in a process that forks
 *
 * One device, one QP that sends to itself. Some threads post to it, others poll, one makes further QPs on the same CQ
 * and ends them; the main thread forks children that write over what they have of the buffers, or become another
 * program. Each half of each message is accounted for, and each byte that arrives is looked at.
 *
 * verbs-threads MESSAGES: of each thread that sends. Prints what there was; any error ends it with status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENDERS     4
#define POLLERS     3           /* of each kind one: classic, extended, with events */
#define WINDOW      16          /* messages of a sender that are under way */
#define DEPTH       (SENDERS * WINDOW)
#define SEND_DEPTH  (DEPTH / 2) /* of the queue: who finds it full tries again, and takes the place that another left */
#define POLLED      7           /* completions taken at once, at most */
#define BATCH       5           /* requests posted at once, at most */
#define WORDS       16          /* of a message, if it is not inline */
#define WORDS_INLINE 8
#define QKEY        0x11111111
#define WAIT_MS     10

#define CHECK(what, good) do {                                                          \
        if (!(good)) {                                                                  \
            fprintf(stderr, "%s:%d: %s: %s\n", __func__, __LINE__, what, strerror(errno)); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)
#define OK(what, err) CHECK(what, !(errno = (err)))

/* What a request is, above its number in wr_id */
enum kind { SEND = 1, RECV, OTHER_SEND, OTHER_RECV };

/* Halves of a message that are still to come */
enum { SENT = 1, ARRIVED = 2 };

struct message {
    uint32_t words[WORDS];      /* sender, number, and what these make */
};

struct slot {
    atomic_uint halves;
    uint32_t number;
};

static struct sender {
    pthread_t thread;
    unsigned int index;
    struct slot slots[WINDOW];
} senders[SENDERS];

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_mr *mr;
static struct ibv_ah *ah;
static struct ibv_comp_channel *channel;
static struct ibv_cq_ex *cq;
static struct ibv_qp *qp;
static struct buffers {
    struct message sent[SENDERS][WINDOW];
    struct message received[DEPTH];
    struct message other;
} *buffers;

static uint32_t messages;
static atomic_uint arrived, batches, forks, others, other_halves, senders_done;
static atomic_uint events, full;
static atomic_bool posted[DEPTH];
static atomic_bool finished;

/* ---- messages ---- */

static bool is_inline(uint32_t number)
{
    return number % 3 == 0;
}

static uint32_t words_of(uint32_t number)
{
    return is_inline(number) ? WORDS_INLINE : WORDS;
}

static uint32_t word(uint32_t sender, uint32_t number, uint32_t at)
{
    return (sender * 0x9e3779b9u + number) * 0x85ebca6bu + at * 0xc2b2ae35u;
}

static void write_message(struct message *message, uint32_t sender, uint32_t number)
{
    message->words[0] = sender;
    message->words[1] = number;
    for (uint32_t i = 2; i < WORDS; i++) {
        message->words[i] = word(sender, number, i);
    }
}

static void take_half(uint32_t sender, uint32_t number, unsigned int half)
{
    CHECK("there is such a sender", sender < SENDERS);
    struct slot *slot = &senders[sender].slots[number % WINDOW];

    CHECK("this message is under way", slot->number == number);
    CHECK("this half of it was still to come", atomic_fetch_and(&slot->halves, ~half) & half);
}

/* ---- receiving ---- */

static void post_recv(uint32_t index)
{
    struct ibv_sge sge = { (uintptr_t)&buffers->received[index], sizeof(struct message), mr->lkey };
    struct ibv_recv_wr wr = { .wr_id = (uint64_t)RECV << 32 | index, .sg_list = &sge, .num_sge = 1 }, *bad;

    CHECK("the buffer is ours", !atomic_exchange(&posted[index], true));
    OK("ibv_post_recv", ibv_post_recv(qp, &wr, &bad));
}

static void receive(uint32_t index, uint32_t len)
{
    struct message *message = &buffers->received[index];
    uint32_t sender = message->words[0], number = message->words[1];

    CHECK("the buffer was posted", index < DEPTH && atomic_exchange(&posted[index], false));
    CHECK("length", len == words_of(number) * sizeof(message->words[0]));
    for (uint32_t i = 2; i < words_of(number); i++) {
        CHECK("content", message->words[i] == word(sender, number, i));
    }
    post_recv(index);
    take_half(sender, number, ARRIVED);
    atomic_fetch_add(&arrived, 1);
}

static void handle_one(const struct ibv_wc *wc)
{
    uint32_t number = (uint32_t)wc->wr_id;

    CHECK(ibv_wc_status_str(wc->status), wc->status == IBV_WC_SUCCESS);
    switch (wc->wr_id >> 32 & 0xff) {
    case SEND:
        take_half(wc->wr_id >> 40, number, SENT);
        break;
    case RECV:
        receive(number, wc->byte_len);
        break;
    case OTHER_SEND:
        CHECK("the message was under way", atomic_fetch_and(&other_halves, ~SENT) & SENT);
        break;
    case OTHER_RECV:
        CHECK("the message was under way", atomic_fetch_and(&other_halves, ~ARRIVED) & ARRIVED);
        break;
    default:
        CHECK("a request of ours", false);
    }
}

static void handle(const struct ibv_wc *wc, int n)
{
    for (int i = 0; i < n; i++) {
        handle_one(&wc[i]);
    }
}

static bool poll_classic(void)
{
    struct ibv_wc wc[POLLED];
    int n = ibv_poll_cq(ibv_cq_ex_to_cq(cq), POLLED, wc);

    CHECK("ibv_poll_cq", n >= 0);
    handle(wc, n);
    return n > 0;
}

/* A request is the device's no more when the poll has gone on: only then are buffers posted again. */
static bool poll_extended(void)
{
    struct ibv_poll_cq_attr attr = {};
    struct ibv_wc wc[POLLED];
    int err = ibv_start_poll(cq, &attr), n = 0;

    if (err == ENOENT) {
        return false;
    }
    for (; !err; err = n < POLLED ? ibv_next_poll(cq) : ENOENT) {
        wc[n].wr_id = cq->wr_id;
        wc[n].status = cq->status;
        wc[n++].byte_len = ibv_wc_read_byte_len(cq);
    }
    CHECK("ibv_next_poll", err == ENOENT);
    ibv_end_poll(cq);
    handle(wc, n);
    return true;
}

/* The others may have taken what the event is about. */
static void sleep_and_poll(void)
{
    struct pollfd fd = { .fd = channel->fd, .events = POLLIN };
    struct ibv_cq *which;
    void *arg;

    OK("ibv_req_notify_cq", ibv_req_notify_cq(ibv_cq_ex_to_cq(cq), 0));
    poll_classic();
    if (poll(&fd, 1, WAIT_MS) > 0) {
        OK("ibv_get_cq_event", ibv_get_cq_event(channel, &which, &arg));
        ibv_ack_cq_events(which, 1);
        atomic_fetch_add(&events, 1);
    }
}

static void *poller(void *arg)
{
    uintptr_t kind = (uintptr_t)arg;

    while (!atomic_load(&finished)) {
        if (kind == 2) {
            sleep_and_poll();
        } else if (!(kind ? poll_extended() : poll_classic())) {
            sched_yield();
        }
    }
    return NULL;
}

/* ---- sending ---- */

static struct ibv_qp *create_qp(uint32_t sends, uint32_t buffers_posted)
{
    struct ibv_qp_init_attr_ex attr = {
        .send_cq = ibv_cq_ex_to_cq(cq), .recv_cq = ibv_cq_ex_to_cq(cq), .qp_type = IBV_QPT_DRIVER, .sq_sig_all = 1,
        .cap = { sends, buffers_posted, 1, 1, WORDS_INLINE * sizeof(uint32_t) },
        .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS, .pd = pd,
        .send_ops_flags = IBV_QP_EX_WITH_SEND,
    };
    struct efadv_qp_init_attr efa_attr = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
    struct ibv_qp *made = efadv_create_qp_ex(context, &attr, &efa_attr, sizeof(efa_attr));
    struct ibv_qp_attr states[] = {
        { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY }, { .qp_state = IBV_QPS_RTR },
        { .qp_state = IBV_QPS_RTS },
    };
    static const int masks[] = {
        IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY, IBV_QP_STATE, IBV_QP_STATE | IBV_QP_SQ_PSN,
    };

    CHECK("efadv_create_qp_ex", made);
    for (int i = 0; i < 3; i++) {
        OK("ibv_modify_qp", ibv_modify_qp(made, &states[i], masks[i]));
    }
    return made;
}

/* As a list of requests */
static void post_list(struct sender *sender, uint32_t number, uint32_t count)
{
    struct ibv_send_wr wr[BATCH] = {}, *bad = wr;
    struct ibv_sge sge[BATCH];
    int err;

    for (uint32_t i = 0; i < count; i++) {
        sge[i].addr = (uintptr_t)&buffers->sent[sender->index][(number + i) % WINDOW];
        sge[i].length = words_of(number + i) * sizeof(uint32_t);
        sge[i].lkey = mr->lkey;
        wr[i].wr_id = (uint64_t)sender->index << 40 | (uint64_t)SEND << 32 | (number + i);
        wr[i].next = i + 1 < count ? &wr[i + 1] : NULL;
        wr[i].sg_list = &sge[i];
        wr[i].num_sge = 1;
        wr[i].opcode = IBV_WR_SEND;
        wr[i].send_flags = is_inline(number + i) ? IBV_SEND_INLINE : 0;
        wr[i].wr.ud.ah = ah;
        wr[i].wr.ud.remote_qpn = qp->qp_num;
        wr[i].wr.ud.remote_qkey = QKEY;
    }
    while ((err = ibv_post_send(qp, bad, &bad)) == ENOMEM) {
        atomic_fetch_add(&full, 1);
        sched_yield();
    }
    OK("ibv_post_send", err);
}

/* By the extended functions: all or nothing */
static int try_extended(struct sender *sender, uint32_t number, uint32_t count)
{
    struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(qp);

    ibv_wr_start(ex);
    if (number % 11 == 0) {
        ibv_wr_send(ex);
        ibv_wr_abort(ex);
        ibv_wr_start(ex);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = &buffers->sent[sender->index][(number + i) % WINDOW];
        uint32_t len = words_of(number + i) * sizeof(uint32_t);

        ex->wr_id = (uint64_t)sender->index << 40 | (uint64_t)SEND << 32 | (number + i);
        ex->wr_flags = 0;
        ibv_wr_send(ex);
        ibv_wr_set_ud_addr(ex, ah, qp->qp_num, QKEY);
        if (is_inline(number + i)) {
            ibv_wr_set_inline_data(ex, message, len);
        } else {
            ibv_wr_set_sge(ex, mr->lkey, (uintptr_t)message, len);
        }
    }
    return ibv_wr_complete(ex);
}

static void post_extended(struct sender *sender, uint32_t number, uint32_t count)
{
    int err;

    while ((err = try_extended(sender, number, count)) == ENOMEM) {
        atomic_fetch_add(&full, 1);
        sched_yield();
    }
    OK("ibv_wr_complete", err);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    uint32_t number = 0, count;

    for (; number < messages; number += count) {
        count = 1 + number % BATCH;
        if (count > messages - number) {
            count = messages - number;
        }
        for (uint32_t i = number; i < number + count; i++) {
            struct slot *slot = &sender->slots[i % WINDOW];

            while (atomic_load(&slot->halves)) {
                sched_yield();
            }
            write_message(&buffers->sent[sender->index][i % WINDOW], sender->index, i);
            slot->number = i;
            atomic_store(&slot->halves, SENT | ARRIVED);
        }
        /* The last ones find that the others have been there, however slow the machine is. */
        while (number + count == messages && (atomic_load(&others) < 2 || atomic_load(&forks) < 2)) {
            sched_yield();
        }
        (sender->index % 2 ? post_list : post_extended)(sender, number, count);
        atomic_fetch_add(&batches, 1);
    }
    atomic_fetch_add(&senders_done, 1);
    return NULL;
}

/* ---- other objects, and other processes ---- */

/* Queue pairs on the same CQ that come and go, with a message each */
static void *make_others(void *arg)
{
    (void)arg;
    while (atomic_load(&senders_done) < SENDERS) {
        struct ibv_qp *other = create_qp(1, 1);
        struct ibv_mr *own = ibv_reg_mr(pd, &buffers->other, sizeof(struct message), IBV_ACCESS_LOCAL_WRITE);
        uint32_t data = 0;
        CHECK("ibv_reg_mr", own);
        struct ibv_sge in = { (uintptr_t)&buffers->other, sizeof(struct message), own->lkey };
        struct ibv_sge out = { (uintptr_t)&data, sizeof(data), 0 };
        struct ibv_recv_wr recv = { .wr_id = (uint64_t)OTHER_RECV << 32, .sg_list = &in, .num_sge = 1 }, *bad_recv;
        struct ibv_send_wr send = {
            .wr_id = (uint64_t)OTHER_SEND << 32, .sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND,
            .send_flags = IBV_SEND_INLINE,
            .wr.ud = { .ah = ah, .remote_qpn = other->qp_num, .remote_qkey = QKEY },
        }, *bad_send;

        atomic_store(&other_halves, SENT | ARRIVED);
        OK("ibv_post_recv", ibv_post_recv(other, &recv, &bad_recv));
        OK("ibv_post_send", ibv_post_send(other, &send, &bad_send));
        while (atomic_load(&other_halves)) {
            sched_yield();
        }
        OK("ibv_destroy_qp", ibv_destroy_qp(other));
        OK("ibv_dereg_mr", ibv_dereg_mr(own));
        atomic_fetch_add(&others, 1);
    }
    return NULL;
}

/* What is written in a child is its own; Linux that does not see to that keeps the buffers from it altogether. */
static void fork_one(uint32_t number)
{
    int status;
    pid_t child = fork();

    CHECK("fork", child >= 0);
    if (!child) {
        if (number % 2) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        if (ibv_is_fork_initialized() == IBV_FORK_UNNEEDED) {
            memset(buffers, 0xa5, sizeof(*buffers));
        }
        _exit(0);
    }
    CHECK("waitpid", waitpid(child, &status, 0) == child);
    CHECK("the child ended well", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    atomic_fetch_add(&forks, 1);
}

/* ---- all ---- */

static void set_up(void)
{
    struct ibv_cq_init_attr_ex cq_attr = { .cqe = 2 * DEPTH + 2, .wc_flags = IBV_WC_EX_WITH_BYTE_LEN };
    struct ibv_ah_attr ah_attr = { .is_global = 1, .port_num = 1 };
    struct ibv_device **devices = ibv_get_device_list(NULL);

    CHECK("a device", devices && devices[0]);
    CHECK("ibv_open_device", context = ibv_open_device(devices[0]));
    ibv_free_device_list(devices);
    CHECK("ibv_alloc_pd", pd = ibv_alloc_pd(context));
    CHECK("ibv_create_comp_channel", channel = ibv_create_comp_channel(context));
    cq_attr.channel = channel;
    CHECK("ibv_create_cq_ex", cq = ibv_create_cq_ex(context, &cq_attr));
    buffers = mmap(NULL, sizeof(*buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK("mmap", buffers != MAP_FAILED);
    CHECK("ibv_reg_mr", mr = ibv_reg_mr(pd, buffers, sizeof(*buffers), IBV_ACCESS_LOCAL_WRITE));
    OK("ibv_query_gid", ibv_query_gid(context, 1, 0, &ah_attr.grh.dgid));
    CHECK("ibv_create_ah", ah = ibv_create_ah(pd, &ah_attr));
    qp = create_qp(SEND_DEPTH, DEPTH);
    for (uint32_t i = 0; i < DEPTH; i++) {
        post_recv(i);
    }
}

static void tear_down(void)
{
    OK("ibv_destroy_qp", ibv_destroy_qp(qp));
    OK("ibv_destroy_ah", ibv_destroy_ah(ah));
    OK("ibv_dereg_mr", ibv_dereg_mr(mr));
    OK("ibv_destroy_cq", ibv_destroy_cq(ibv_cq_ex_to_cq(cq)));
    OK("ibv_destroy_comp_channel", ibv_destroy_comp_channel(channel));
    OK("ibv_dealloc_pd", ibv_dealloc_pd(pd));
    OK("ibv_close_device", ibv_close_device(context));
    munmap(buffers, sizeof(*buffers));
    /* what the provider has not freed, nothing shall point to */
    context = NULL, pd = NULL, mr = NULL, ah = NULL, channel = NULL, cq = NULL, qp = NULL;
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    OK("pthread_create", pthread_create(thread, NULL, run, arg));
}

static bool under_way(void)
{
    for (uint32_t i = 0; i < DEPTH; i++) {
        if (atomic_load(&senders[i / WINDOW].slots[i % WINDOW].halves)) {
            return true;
        }
    }
    return atomic_load(&senders_done) < SENDERS;
}

int main(int argc, char **argv)
{
    pthread_t pollers[POLLERS], maker;

    CHECK("an argument", argc == 2 && (messages = strtoul(argv[1], NULL, 0)));
    OK("ibv_fork_init", ibv_fork_init());
    set_up();
    for (uintptr_t i = 0; i < POLLERS; i++) {
        start(&pollers[i], poller, (void *)i);
    }
    for (unsigned int i = 0; i < SENDERS; i++) {
        senders[i].index = i;
        start(&senders[i].thread, send_all, &senders[i]);
    }
    start(&maker, make_others, NULL);
    for (uint32_t i = 0; under_way(); i++) {
        fork_one(i);
        usleep(WAIT_MS * 1000);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    pthread_join(maker, NULL);
    atomic_store(&finished, true);
    for (int i = 0; i < POLLERS; i++) {
        pthread_join(pollers[i], NULL);
    }
    tear_down();
    CHECK("all messages arrived", arrived == SENDERS * messages);
    printf("messages=%u batches=%u events=%u full=%u others=%u forks=%u fork_status=%d\n", arrived, batches, events,
           full, others, forks, ibv_is_fork_initialized());
    return 0;
}
