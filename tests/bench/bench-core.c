/*
 * Benchmark: the core without a guest
 *
 * Two devices over the shared memory fabric, each with a thread as in QEMU;
 * this thread is both guests. Beside each figure stands plain memcpy of as many
 * bytes at a time, out of and into memory of the same size, which is larger
 * than the caches next to the processor; the two are measured in turns, and
 * the best turn of each counts, for others may be at work on the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/harness.h"
#include <math.h>

#define MEMORY      (16u << 20)     /* of each side */
#define TURNS       5
#define SLOT        8192            /* of a receive buffer */

typedef struct Pair {
    End *from, *to;
    uint16_t ah;
    Buf src, dst;               /* MEMORY bytes */
} Pair;

typedef struct Work {
    const char *name;
    EfaIoOp op;
    uint32_t bytes;
    unsigned ahead;             /* work requests under way */
} Work;

static const Work works[] = {
    { "send", EFA_IO_SEND, 64, 1 },
    { "send", EFA_IO_SEND, 64, 16 },
    { "send", EFA_IO_SEND, 8192, 1 },
    { "send", EFA_IO_SEND, 8192, 16 },
    { "write", EFA_IO_RDMA_WRITE, 1u << 20, 1 },
    { "write", EFA_IO_RDMA_WRITE, 1u << 20, 4 },
    { "read", EFA_IO_RDMA_READ, 1u << 20, 4 },
};

typedef struct Result {
    double seconds;             /* for one, best turn */
    double copy;                /* the same of memcpy */
} Result;

static double turn_seconds = 0.2;
static bool json;

static double now(void)
{
    return g_get_monotonic_time() / 1e6;
}

/* ---- what is measured ---- */

static Pair pair_new(const char *dir)
{
    const uint8_t all = PERM_LOCAL_WRITE | PERM_REMOTE_WRITE |
                        PERM_REMOTE_READ;
    End *end[2];
    Pair p = { };
    unsigned i;

    for (i = 0; i < 2; i++) {
        EfaConfig cfg = test_config_of(1 + i, EFA_NUM_GENERATIONS - 1);
        Host *h = host_new_raw(&cfg, NULL, dir);

        host_probe(h);
        end[i] = end_new(h, EFA_QP_TYPE_SRD);
    }
    p.from = end[0];
    p.to = end[1];
    p.ah = create_ah_ok(p.from->h, p.from->pd, test_gid(2));
    create_ah_ok(p.to->h, p.to->pd, test_gid(1));
    p.src = reg_buf(p.from->h, p.from->pd, MEMORY, all);
    p.dst = reg_buf(p.to->h, p.to->pd, MEMORY, all);
    memset(p.src.p, 1, MEMORY);
    memset(p.dst.p, 2, MEMORY);
    host_thread_start(p.from->h);
    host_thread_start(p.to->h);
    return p;
}

static void post_recv(Pair *p, unsigned n)
{
    rq_post(p->to->qp, n, &p->dst, n * SLOT % MEMORY, SLOT);
}

static void post(Pair *p, const Work *w, unsigned n)
{
    uint64_t at = (uint64_t)n * w->bytes % MEMORY;
    Buf remote = p->dst;
    EfaIoTxWqe wqe;

    if (w->op == EFA_IO_SEND) {
        wqe = wqe_send(n, p->ah, p->to->qp->num);
        wqe_sge(&wqe, &p->src, at, w->bytes);
    } else {
        Buf local = p->src;

        local.iova += at;
        remote.iova += at;
        wqe = wqe_rdma(w->op, n, p->ah, p->to->qp->num, &local, &remote,
                       w->bytes);
    }
    sq_post(p->from->qp, &wqe);
}

/* True if one is done, of which the sender has heard. */
static bool reap(Pair *p, const Work *w, unsigned *received)
{
    EfaIoCdesc e;

    while (w->op == EFA_IO_SEND && cq_take(p->to->rcq, &e)) {
        g_assert_cmpuint(e.status, ==, 0);
        g_assert_cmpuint(e.length, ==, w->bytes);
        post_recv(p, (*received)++);
    }
    if (!cq_take(p->from->scq, &e)) {
        return false;
    }
    g_assert_cmpuint(e.status, ==, 0);
    return true;
}

/* Seconds for one work request. */
static double run_work(Pair *p, const Work *w, unsigned *received)
{
    unsigned sent = 0, done = 0;
    double begin = now(), took;
    bool more = true;

    do {
        while (more && sent - done < w->ahead) {
            post(p, w, sent++);
        }
        if (reap(p, w, received)) {
            done++;
        } else {
            g_thread_yield();   /* there may be fewer processors than threads */
        }
        took = now() - begin;
        more = took < turn_seconds;
    } while (more || done < sent);
    /* what was sent has been received: sends are acknowledged after that */
    return took / done;
}

static double run_copy(Pair *p, uint32_t bytes)
{
    unsigned n = 0;
    double begin = now(), took;

    do {
        uint64_t at = (uint64_t)n++ * bytes % MEMORY;

        memcpy(p->dst.p + at, p->src.p + at, bytes);
        took = now() - begin;
    } while (took < turn_seconds);
    return took / n;
}

/* The clock's own cost is no part of a small copy. */
static double run_small_copy(Pair *p, uint32_t bytes)
{
    const unsigned batch = MEMORY / bytes;
    unsigned n = 0, i;
    double begin = now(), took;

    do {
        for (i = 0; i < batch; i++) {
            memcpy(p->dst.p + i * bytes, p->src.p + i * bytes, bytes);
        }
        n += batch;
        took = now() - begin;
    } while (took < turn_seconds);
    return took / n;
}

static Result measure(Pair *p, const Work *w, unsigned *received)
{
    Result r = { INFINITY, INFINITY };
    unsigned i;

    for (i = 0; i < TURNS; i++) {
        r.seconds = MIN(r.seconds, run_work(p, w, received));
        r.copy = MIN(r.copy, w->bytes < 65536 ? run_small_copy(p, w->bytes)
                                              : run_copy(p, w->bytes));
    }
    return r;
}

static double measure_admin(Host *h)
{
    double best = INFINITY;
    unsigned i;

    for (i = 0; i < TURNS; i++) {
        double begin = now(), took;
        unsigned n = 0;

        do {
            g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, alloc_pd_ok(h)),
                             ==, 0);
            n += 2;
            took = now() - begin;
        } while (took < turn_seconds);
        best = MIN(best, took / n);
    }
    return best;
}

/* ---- what is said of it ---- */

static void say(const Work *w, Result r, bool last)
{
    double rate = w->bytes / r.seconds / 1e6;

    if (json) {
        printf("  {\"name\": \"%s\", \"bytes\": %u, \"outstanding\": %u, "
               "\"per_second\": %.1f, \"ns\": %.1f, \"mb_per_second\": %.3f, "
               "\"memcpy_mb_per_second\": %.1f, \"of_memcpy\": %.7f}%s\n",
               w->name, w->bytes, w->ahead, 1 / r.seconds, r.seconds * 1e9,
               rate, w->bytes / r.copy / 1e6, r.copy / r.seconds,
               last ? "" : ",");
    } else {
        printf("%-6s %8u %12u %12.0f %12.0f %10.1f %10.1f %10.3f\n", w->name,
               w->bytes, w->ahead, 1 / r.seconds, r.seconds * 1e9, rate,
               w->bytes / r.copy / 1e6, r.copy / r.seconds);
    }
}

static void run_all(Pair *p)
{
    unsigned i, received;

    for (received = 0; received < 32; received++) {
        post_recv(p, received);
    }
    if (json) {
        printf("{\"work_requests\": [\n");
    } else {
        printf("%-6s %8s %12s %12s %12s %10s %10s %10s\n", "", "bytes",
               "outstanding", "a second", "ns", "MB/s", "memcpy", "ratio");
    }
    for (i = 0; i < G_N_ELEMENTS(works); i++) {
        say(&works[i], measure(p, &works[i], &received),
            i == G_N_ELEMENTS(works) - 1);
    }
}

static void say_admin(double seconds)
{
    if (json) {
        printf("], \"admin_commands\": {\"per_second\": %.1f, \"ns\": %.1f}}\n",
               1 / seconds, seconds * 1e9);
    } else {
        printf("admin commands: %.0f a second, %.0f ns each\n", 1 / seconds,
               seconds * 1e9);
    }
}

static void parse(int *argc, char ***argv)
{
    GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "For programs", NULL },
        { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &turn_seconds,
          "Of each turn, of which there are 5 for each figure", "S" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &err)) {
        fprintf(stderr, "bench-core: %s\n", err->message);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    g_autofree char *dir = NULL;
    Pair p;

    parse(&argc, &argv);
    dir = g_dir_make_tmp("efa-bench-XXXXXX", NULL);
    p = pair_new(dir);
    run_all(&p);
    say_admin(measure_admin(p.from->h));
    hosts_free();
    rmdir(dir);
    return 0;
}
