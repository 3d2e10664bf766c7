/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose are the pages of the BARs?
 *
 * A holder maps doorbells and send queues, destroys queue pairs, CQ and PD,
 * and keeps the mappings. Then others, in this process and in another, open
 * the device and make queue pairs until it has no more, and the holder's pages
 * must not be among theirs: by their page frames, which the kernel lists in
 * debugfs for each mapping of device memory, and by what each of them writes
 * into its send queues and finds there later. At first both are shown to
 * find what a context has mapped twice. With an argument, the holder waits
 * for a line of input first: the device is to be reset meanwhile.
 */
#include "uverbs.h"
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define FRAMES      "/sys/kernel/debug/x86/pat_memtype_list"
#define FRAMES_MAX  4096
#define PAGE        4096
#define HELD_QPS    4
#define OTHERS_MAX  300
#define ROUNDS      600         /* more than there are UARs, twice */
#define WITH_DB     1           /* private flag of a CQ */

struct range {
    uint64_t from, to;
};

struct frames {
    size_t count;
    struct range range[FRAMES_MAX];
};

/* A process's view of a queue pair: words of its pages */
struct pages {
    volatile uint32_t *sq_db, *rq_db, *llq;
    uint64_t llq_key;
};

struct user {
    int fd;
    uint32_t pd, cq, qp[HELD_QPS];
    volatile uint32_t *cq_db;
    struct pages pages[HELD_QPS];
    unsigned qps;
};

static struct user holder, others[OTHERS_MAX];
static unsigned num_others;

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- page frames ---- */

static int by_address(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return x->from != y->from ? (x->from < y->from ? -1 : 1)
                              : (x->to > y->to) - (x->to < y->to);
}

static void read_frames(struct frames *frames)
{
    FILE *file = fopen(FRAMES, "r");
    char line[200];

    frames->count = 0;
    if (!file) {
        fail(FRAMES);
    }
    while (fgets(line, sizeof(line), file)) {
        struct range *range = &frames->range[frames->count];

        if (sscanf(line, "PAT: [mem 0x%" SCNx64 "-0x%" SCNx64 "]",
                   &range->from, &range->to) == 2 &&
            ++frames->count == FRAMES_MAX) {
            errno = ENOSPC;
            fail(FRAMES);
        }
    }
    fclose(file);
    qsort(frames->range, frames->count, sizeof(frames->range[0]), by_address);
}

/* What has been mapped since @before */
static void read_new_frames(const struct frames *before, struct frames *news)
{
    size_t i, old = 0, count = 0;

    read_frames(news);
    for (i = 0; i < news->count; i++) {
        while (old < before->count &&
               by_address(&before->range[old], &news->range[i]) < 0) {
            old++;
        }
        if (old < before->count &&
            !by_address(&before->range[old], &news->range[i])) {
            old++;
        } else {
            news->range[count++] = news->range[i];
        }
    }
    news->count = count;
}

/* Of @frames, those that are still mapped */
static void keep_mapped(struct frames *frames)
{
    static struct frames now;
    size_t count = 0;

    read_frames(&now);
    for (size_t i = 0; i < frames->count; i++) {
        if (bsearch(&frames->range[i], now.range, now.count,
                    sizeof(now.range[0]), by_address)) {
            frames->range[count++] = frames->range[i];
        }
    }
    frames->count = count;
}

static unsigned count_shared(const struct frames *a, const struct frames *b)
{
    unsigned count = 0;

    for (size_t i = 0; i < a->count; i++) {
        for (size_t j = 0; j < b->count; j++) {
            count += a->range[i].from < b->range[j].to &&
                     b->range[j].from < a->range[i].to;
        }
    }
    return count;
}

/* ---- users of the device ---- */

static void *map(uint64_t key)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                      context.fd, key);

    if (page == MAP_FAILED) {
        fail("mmap");
    }
    return page;
}

/* A command that may be refused, whose answer begins with a handle */
static bool try(int verb, void *command, uint32_t *handle)
{
    int error = issue(&verbs[verb], command, verbs[verb].len);

    memcpy(handle, answer, sizeof(*handle));
    errno = error;
    return !error;
}

/* One more queue pair, with its pages mapped; false: the device has no more */
static bool add_qp(struct user *user)
{
    unsigned char command[512];
    struct pages *pages = &user->pages[user->qps];
    struct qp_answer efa;

    context.fd = user->fd;
    context.pd = user->pd;
    context.cq = user->cq;
    fill(QP, command);
    if (!try(QP, command, &user->qp[user->qps])) {
        if (errno != ENOMEM) {
            fail("CREATE_QP");
        }
        return false;
    }
    memcpy(&efa, answer + verbs[QP].core_resp, sizeof(efa));
    pages->sq_db = map(efa.sq_db_key);
    pages->rq_db = map(efa.rq_db_key);
    pages->llq_key = efa.llq_key;
    pages->llq = map(efa.llq_key);
    user->qps++;
    return true;
}

/* Open the device; false: it has no UAR any more */
static bool join(struct user *user)
{
    unsigned char command[512];
    struct cq_udata *private = &((struct cq_cmd *)command)->efa;
    struct cq_answer efa;
    uint32_t async_fd;
    struct open_answer about;

    memset(user, 0, sizeof(*user));
    open_device();
    user->fd = context.fd;
    fill(OPEN, command);
    if (!try(OPEN, command, &async_fd)) {
        if (errno != ENOMEM) {
            fail("GET_CONTEXT");
        }
        close(user->fd);
        return false;
    }
    close(async_fd);
    memcpy(&about, answer + verbs[OPEN].core_resp, sizeof(about));
    context.sub_cqs = about.sub_cqs_per_cq;
    user->pd = make(PD);
    fill(CQ, command);
    private->flags = WITH_DB;
    if (!try(CQ, command, &user->cq)) {
        fail("CREATE_CQ");
    }
    memcpy(&efa, answer + verbs[CQ].core_resp, sizeof(efa));
    user->cq_db = map(efa.db_key);
    return true;
}

static void destroy(uint32_t number, uint32_t handle)
{
    struct {
        struct ib_uverbs_cmd_hdr hdr;
        uint64_t response;
        uint32_t handle;
        uint32_t reserved;
    } command = {
        .hdr = {
            .command = number,
            .in_words = sizeof(command) / 4,
            .out_words = number == IB_USER_VERBS_CMD_DESTROY_CQ ? 2 : 1,
        },
        .response = (uintptr_t)answer,
        .handle = handle,
    };

    if (number == IB_USER_VERBS_CMD_DEALLOC_PD) {   /* has no response */
        command.hdr.in_words = 3;
        command.hdr.out_words = 0;
        memcpy(&command.response, &handle, sizeof(handle));
    }
    if (write(context.fd, &command, command.hdr.in_words * 4) < 0) {
        fail("destruction");
    }
}

static void destroy_objects(struct user *user)
{
    context.fd = user->fd;
    for (unsigned i = 0; i < user->qps; i++) {
        destroy(IB_USER_VERBS_CMD_DESTROY_QP, user->qp[i]);
    }
    destroy(IB_USER_VERBS_CMD_DESTROY_CQ, user->cq);
    destroy(IB_USER_VERBS_CMD_DEALLOC_PD, user->pd);
}

static void leave(struct user *user)
{
    munmap((void *)user->cq_db, PAGE);
    for (unsigned i = 0; i < user->qps; i++) {
        munmap((void *)user->pages[i].sq_db, PAGE);
        munmap((void *)user->pages[i].rq_db, PAGE);
        munmap((void *)user->pages[i].llq, PAGE);
    }
    close(user->fd);
}

/* ---- what is in the send queues ---- */

static void mark(struct user *user, uint32_t with)
{
    for (unsigned i = 0; i < user->qps; i++) {
        for (unsigned word = 0; word < PAGE / 4; word++) {
            user->pages[i].llq[word] = with + word;
        }
    }
}

static bool is_marked(const struct user *user, uint32_t with)
{
    for (unsigned i = 0; i < user->qps; i++) {
        for (unsigned word = 0; word < PAGE / 4; word++) {
            if (user->pages[i].llq[word] != with + word) {
                return false;
            }
        }
    }
    return true;
}

static uint32_t mark_of(unsigned other)
{
    return ((getpid() & 0xfff) << 9 | other) << 10;
}

static void mark_others(void)
{
    for (unsigned i = 0; i < num_others; i++) {
        mark(&others[i], mark_of(i));
    }
}

static void check_others(void)
{
    for (unsigned i = 0; i < num_others; i++) {
        if (!is_marked(&others[i], mark_of(i))) {
            printf("another's marks in a send queue\n");
            exit(1);
        }
    }
}

static void leave_others(void)
{
    for (unsigned i = 0; i < num_others; i++) {
        leave(&others[i]);
    }
}

/* ---- the other process ---- */

static int to_child[2], to_parent[2];

static void say(const int pipe[2])
{
    if (write(pipe[1], "", 1) != 1) {
        fail("pipe");
    }
}

static void await(const int pipe[2])
{
    char byte;

    if (read(pipe[0], &byte, 1) != 1) {
        fail("the other process");
    }
}

static void join_others(unsigned max)
{
    while (num_others < max && join(&others[num_others])) {
        add_qp(&others[num_others]);
        num_others++;
    }
}

static void be_child(void)
{
    close(to_child[1]);
    close(to_parent[0]);
    await(to_child);
    join_others(OTHERS_MAX / 3);
    mark_others();
    say(to_parent);
    await(to_child);
    check_others();
    say(to_parent);
    await(to_child);    /* with all of it still open and mapped */
    exit(0);
}

static pid_t start_child(void)
{
    pid_t child;

    if (pipe(to_child) || pipe(to_parent) || (child = fork()) < 0) {
        fail("fork");
    }
    if (!child) {
        be_child();
    }
    close(to_child[0]);
    close(to_parent[1]);
    return child;
}

/* ---- the scenes ---- */

static void hold(struct frames *held)
{
    static struct frames before, news;
    volatile uint32_t *again;

    read_frames(&before);
    if (!join(&holder)) {
        fail("holder");
    }
    while (holder.qps < HELD_QPS) {
        if (!add_qp(&holder)) {
            fail("holder");
        }
    }
    read_new_frames(&before, held);

    /* that what is shared would be found */
    read_frames(&before);
    again = map(holder.pages[0].llq_key);
    read_new_frames(&before, &news);
    again[0] = ~holder.pages[0].llq[0];
    printf("the same twice: %u frames shared, content %s\n",
           count_shared(&news, held),
           again[0] == holder.pages[0].llq[0] ? "shared" : "apart");
    munmap((void *)again, PAGE);

    destroy_objects(&holder);
}

static void show_held(struct frames *held)
{
    keep_mapped(held);
    mark(&holder, 0);
    printf("held: %zu frames, a doorbell reads 0x%x\n", held->count,
           *holder.pages[0].sq_db);
    fflush(stdout);
}

static void crowd(const struct frames *held)
{
    static struct frames before, news;
    unsigned qps = 0;

    read_frames(&before);
    say(to_child);
    await(to_parent);
    join_others(OTHERS_MAX);
    read_new_frames(&before, &news);
    for (unsigned i = 0; i < num_others; i++) {
        qps += others[i].qps;
    }
    printf("others: %u contexts, %u queue pairs, %u frames shared\n",
           num_others + OTHERS_MAX / 3, qps + OTHERS_MAX / 3,
           count_shared(&news, held));
    mark_others();
    printf("holder: content %s\n", is_marked(&holder, 0) ? "kept" : "lost");
    mark(&holder, 1 << 31);
    check_others();
    say(to_child);
    await(to_parent);
    printf("others: content kept\n");
}

/* Once the holder has let go, its pages are others'. */
static void reuse(const struct frames *held)
{
    static struct frames before, news;
    unsigned qps = 0;

    leave(&holder);
    read_frames(&before);
    if (!join(&holder)) {
        fail("no UAR after the holder's end");
    }
    while (qps < HELD_QPS && add_qp(&holder)) {
        qps++;
    }
    read_new_frames(&before, &news);
    printf("afterwards: %u queue pairs, frames shared: %s\n", qps,
           count_shared(&news, held) ? "yes" : "no");
    leave(&holder);
}

/* In turns with and without destruction, and as a process that just ends */
static void come_and_go(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        pid_t child = i % 16 ? 0 : fork();

        if (child > 0) {
            waitpid(child, NULL, 0);
            continue;
        }
        if (!join(&holder) || !add_qp(&holder)) {
            fail("no UAR or no queue pair left");
        }
        if (!(i % 16)) {
            _exit(0);
        }
        if (i % 2) {
            destroy_objects(&holder);
        }
        leave(&holder);
    }
    printf("%u rounds\n", ROUNDS);
}

int main(int argc, char **argv)
{
    static struct frames held;
    pid_t child = start_child();

    (void)argv;
    hold(&held);
    show_held(&held);
    if (argc > 1) {
        getchar();
        show_held(&held);
    }
    crowd(&held);
    if (argc == 1) {
        reuse(&held);
    }
    say(to_child);
    if (waitpid(child, NULL, 0) != child) {
        fail("the other process");
    }
    leave_others();
    come_and_go();
    return 0;
}
