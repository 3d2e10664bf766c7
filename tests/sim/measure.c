/*
 * Simulator: speed and memory
 *
 * Nothing goes wrong here; what is measured is what devices cost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"
#include <malloc.h>
#include <time.h>

#define BAR_WIDTH   40

static int64_t resident(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        if (fscanf(f, "%ld %ld", &ignored, &pages) != 2) {
            pages = 0;
        }
        fclose(f);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static bool fail(World *w)
{
    if (w->broken) {
        printf("BROKEN: %s\n", w->verdict);
    }
    return w->broken;
}

/*
 * Let everything come to rest; seconds of processor time, which neighbours on
 * the machine disturb less than real time, or less than 0 if broken.
 */
static double run(World *w)
{
    clock_t begin = clock();

    world_run(w, INT64_MAX - 1, NULL);
    return fail(w) ? -1 : (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* ---- packets per second ---- */

int measure_bench(const Options *opt)
{
    unsigned nodes = opt->nodes ? opt->nodes : 16;
    unsigned peers = opt->peers ? opt->peers : 4;
    unsigned messages = opt->messages ? opt->messages : 2000000 / nodes;
    Plan plan;
    World *w;
    double seconds, rate = 0;

    plan_quiet(&plan, opt, nodes, peers, messages);
    w = world_new(opt, &plan, opt->first_seed);
    world_boot(w);
    seconds = run(w);
    if (seconds > 0) {
        rate = w->t.packets / seconds;
        printf("%u nodes, %u peers, %" PRId64 " bytes: %" PRIu64
               " messages, %" PRIu64 " packets, %.2f s: %.0f packets/s, "
               "%.0f messages/s\n", nodes, plan.peers, plan.size,
               w->t.ok, w->t.packets, seconds, rate, w->t.ok / seconds);
    }
    world_free(w);
    return seconds <= 0 || rate < opt->least_rate;
}

/* ---- memory ---- */

typedef struct Footprint {
    int64_t start, nodes, handles, active;  /* resident bytes after each */
    double seconds;
    uint64_t packets;
    unsigned peers;
    bool broken;
} Footprint;

/*
 * @nodes with handles for @peers, of which the first @senders use @active
 * each, with @messages to every one.
 */
static Footprint footprint(const Options *opt, unsigned nodes, unsigned peers,
                           unsigned senders, unsigned active,
                           unsigned messages)
{
    Footprint fp = { };
    Plan plan;
    World *w;
    unsigned i, j;

    malloc_trim(0);
    fp.start = resident();
    plan_quiet(&plan, opt, nodes, peers, active * messages);
    plan.size = 8;
    plan.depth = 16;
    plan.senders = senders;
    plan.active = active;
    plan.no_handles = true;
    /* all at once would be a storm of packets, and memory for them */
    plan.think = 200 * SIM_MSEC;
    w = world_new(opt, &plan, opt->first_seed);
    world_boot(w);
    fp.nodes = resident();
    for (i = 0; i < nodes && !w->broken; i++) {
        for (j = 0; j < w->plan.peers; j++) {
            verbs_ah(&w->nodes[i], j);
        }
    }
    fp.handles = resident();
    fp.seconds = run(w);
    fp.active = resident();
    fp.packets = w->t.packets;
    fp.peers = w->plan.peers;
    fp.broken = w->broken;
    world_free(w);
    return fp;
}

int measure_footprint(const Options *opt)
{
    unsigned nodes = opt->nodes ? opt->nodes : 10000;
    unsigned peers = opt->peers ? opt->peers : 16;
    Footprint fp = footprint(opt, nodes, peers, nodes, peers, 1);
    double pairs = (double)nodes * fp.peers;
    double mib = (fp.active - fp.start) / 1048576.0;

    if (fp.broken) {
        return 1;
    }
    printf("%u nodes with %u peers each, every pair used once: %.0f MiB "
           "resident\n", nodes, fp.peers, mib);
    printf("a node                        %8.0f bytes, its memory included\n",
           (double)(fp.nodes - fp.start) / nodes);
    printf("an idle pair (a handle)       %8.0f bytes at each end\n",
           (fp.handles - fp.nodes) / pairs);
    printf("an active pair, on top of it  %8.0f bytes at each end\n",
           (fp.active - fp.handles) / pairs);
    return opt->most_mib && mib > opt->most_mib;
}

/* ---- cost against size ---- */

typedef struct Row {
    unsigned x;
    double ms, kib;
} Row;

static void plot(const char *title, const char *x, const Row *rows,
                 unsigned count, bool memory)
{
    double most = 0;
    unsigned i;

    for (i = 0; i < count; i++) {
        most = MAX(most, memory ? rows[i].kib : rows[i].ms);
    }
    printf("\n# %s\n", title);
    for (i = 0; i < count; i++) {
        double value = memory ? rows[i].kib : rows[i].ms;
        int width = most > 0 ? value / most * BAR_WIDTH + 0.5 : 0;

        printf("# %8u %s |%.*s %.1f\n", rows[i].x, x, width,
               "########################################", value);
    }
}

/* Always the same traffic, in a larger and larger crowd. */
static bool scale_nodes(const Options *opt)
{
    static const unsigned sizes[] = { 100, 300, 1000, 3000, 10000 };
    Row rows[ARRAY_SIZE(sizes)];
    unsigned i;

    printf("nodes\thandles\tactive_pairs\tpackets\trun_ms\tKiB_per_node\n");
    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        Footprint fp = footprint(opt, sizes[i], 16, 64, 16, 200);

        if (fp.broken) {
            return false;
        }
        rows[i] = (Row) { sizes[i], fp.seconds * 1000,
                          (fp.active - fp.start) / 1024.0 / sizes[i] };
        printf("%u\t%u\t%u\t%" PRIu64 "\t%.1f\t%.1f\n", sizes[i],
               sizes[i] * fp.peers, 64 * fp.peers, fp.packets, rows[i].ms,
               rows[i].kib);
    }
    plot("milliseconds for the same traffic among more and more nodes",
         "nodes", rows, ARRAY_SIZE(sizes), false);
    return true;
}

/* The same nodes and handles, more and more of which are used. */
static bool scale_pairs(const Options *opt)
{
    static const unsigned actives[] = { 1, 2, 4, 8, 16 };
    Row rows[ARRAY_SIZE(actives)];
    unsigned i, nodes = 1000;

    printf("\nnodes\thandles\tactive_pairs\tpackets\trun_ms\tactive_KiB\n");
    for (i = 0; i < ARRAY_SIZE(actives); i++) {
        Footprint fp = footprint(opt, nodes, 16, nodes, actives[i], 10);

        if (fp.broken) {
            return false;
        }
        rows[i] = (Row) { nodes * actives[i], fp.seconds * 1000,
                          (fp.active - fp.handles) / 1024.0 };
        printf("%u\t%u\t%u\t%" PRIu64 "\t%.1f\t%.0f\n", nodes,
               nodes * fp.peers, rows[i].x, fp.packets, rows[i].ms,
               rows[i].kib);
    }
    plot("milliseconds against active pairs", "pairs", rows,
         ARRAY_SIZE(actives), false);
    plot("KiB that activity adds, against active pairs", "pairs", rows,
         ARRAY_SIZE(actives), true);
    return true;
}

int measure_scale(const Options *opt)
{
    return !(scale_nodes(opt) && scale_pairs(opt));
}
