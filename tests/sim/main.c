/*
 * Simulator: options, seeds, summary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

static const struct {
    const char *name, *what;
} breaks[] = {
    { "none", "" },
#define X(_name, _what) { #_name, _what },
    SIM_BREAKS(X)
#undef X
};

static const char *const fault_whats[] = {
#define X(_name, _what) _what,
    SIM_FAULTS(X)
#undef X
};

static void fault_list(GString *s, uint32_t faults)
{
    unsigned i;

    for (i = 0; i < SIM_NUM_FAULTS; i++) {
        if (faults >> i & 1) {
            g_string_append_printf(s, "%s%s", s->len ? "," : "",
                                   sim_fault_name(i));
        }
    }
    if (!s->len) {
        g_string_append(s, "none");
    }
}

char *sim_replay(const Options *opt, uint64_t seed)
{
    GString *s = g_string_new("build/tests/sim/efa-sim");

    if (opt->nodes) {
        g_string_append_printf(s, " --nodes %u", opt->nodes);
    }
    if (opt->peers) {
        g_string_append_printf(s, " --peers %u", opt->peers);
    }
    if (opt->messages) {
        g_string_append_printf(s, " --messages %u", opt->messages);
    }
    if (opt->size >= 0) {
        g_string_append_printf(s, " --size %" PRId64, opt->size);
    }
    if (opt->faults_given) {
        g_autoptr(GString) list = g_string_new(NULL);

        fault_list(list, opt->faults);
        g_string_append_printf(s, " --faults %s", list->str);
    }
    if (opt->defect) {
        g_string_append_printf(s, " --break %s", breaks[opt->defect].name);
    }
    g_string_append_printf(s, " --first-seed %" PRIu64 " --seeds 1 -v", seed);
    return g_string_free(s, FALSE);
}

static void say_plan(const World *w)
{
    const Plan *p = &w->plan;
    g_autoptr(GString) list = g_string_new(NULL);

    fault_list(list, p->faults);
    printf("seed %" PRIu64 ": %u nodes, %u peers, %u messages each, faults "
           "%s\n", w->seed, p->nodes, p->peers, p->messages, list->str);
    printf("  %s links, %u paths, latency %" PRId64 " ns, jitter %" PRId64
           " ns, loss %u ppm, doubled %u ppm, room %u\n",
           p->announce ? "announced" : "silent", p->paths, p->latency,
           p->jitter, p->loss_ppm, p->dup_ppm, p->room);
    printf("  generation %u, mtu %u, RDMA %u %% up to %u bytes, timeout %"
           PRId64 " ms, %u QPs of %u WQEs of %u bytes, CQs of %u rings%s, "
           "think %" PRId64 " ns\n",
           p->generation, p->mtu, p->rdma_percent, p->rdma_max,
           p->timeout / SIM_MSEC, p->num_qps, p->depth, p->wqe_size,
           p->sub_cqs, p->unsolicited ? ", unsolicited" : "",
           p->think);
}

static void say_statuses(const Totals *t)
{
    unsigned i;

    printf("  completions by status:");
    for (i = 0; i < ARRAY_SIZE(t->by_status); i++) {
        if (t->by_status[i]) {
            printf(" %u: %" PRIu64, i, t->by_status[i]);
        }
    }
    printf("\n");
}

/* One seed; its digest, and what broke, to be freed. */
static char *play(const Options *opt, uint64_t seed, Totals *sum,
                  uint64_t *digest)
{
    Plan plan;
    World *w;
    char *verdict = NULL;

    plan_draw(&plan, opt, seed);
    w = world_new(opt, &plan, seed);
    if (opt->verbose) {
        say_plan(w);
    }
    if (!world_play(w)) {
        verdict = g_steal_pointer(&w->verdict);
    }
    *digest = w->digest;
    if (opt->verbose) {
        printf("  %" PRIu64 " events, %" PRIu64 " packets, digest %016"
               PRIx64 ", ended at %" PRId64 ".%09" PRId64 " s\n",
               w->t.events, w->t.packets, w->digest, w->now / SIM_SEC,
               w->now % SIM_SEC);
        say_statuses(&w->t);
    }
    totals_add(sum, &w->t);
    world_free(w);
    return verdict;
}

static void say_verdict(const Options *opt, uint64_t seed,
                        const char *verdict)
{
    g_autofree char *replay = sim_replay(opt, seed);

    printf("BROKEN seed %" PRIu64 ": %s\nreplay: %s\n", seed, verdict,
           replay);
}

static void say_summary(const Totals *t, int64_t begin)
{
    uint64_t faults = t->lost + t->doubled + t->changed + t->cut +
                      t->refused + t->faults + t->planted;

    printf("%" PRIu64 " seeds, %" PRIu64 " packets, %" PRIu64 " faults "
           "injected, %" PRIu64 " messages delivered, %" PRIu64 " failed, "
           "%.1f s\n", t->seeds, t->packets, faults, t->received,
           t->failed + t->dropped,
           (g_get_monotonic_time() - begin) / 1e6);
}

static int play_seeds(const Options *opt)
{
    int64_t begin = g_get_monotonic_time();
    Totals sum = { };
    uint64_t seed, digest;
    int status = 0;

    for (seed = opt->first_seed;
         seed - opt->first_seed < opt->seeds && !status; seed++) {
        g_autofree char *verdict = play(opt, seed, &sum, &digest);

        if (verdict) {
            say_verdict(opt, seed, verdict);
            status = 1;
        }
    }
    if (opt->verbose && opt->seeds > 1) {
        say_statuses(&sum);
    }
    say_summary(&sum, begin);
    return status;
}

/* The same seed must give the same run, to the last event. */
static int play_twice(const Options *opt)
{
    int64_t begin = g_get_monotonic_time();
    Totals sum = { };
    uint64_t seed, first, second;

    for (seed = opt->first_seed; seed - opt->first_seed < opt->seeds;
         seed++) {
        g_autofree char *a = play(opt, seed, &sum, &first);
        g_autofree char *b = play(opt, seed, &sum, &second);

        if (a || b) {
            say_verdict(opt, seed, a ? a : b);
            return 1;
        }
        if (first != second) {
            printf("seed %" PRIu64 " runs differently the second time: "
                   "%016" PRIx64 ", then %016" PRIx64 "\n", seed, first,
                   second);
            return 1;
        }
    }
    say_summary(&sum, begin);
    return 0;
}

/* Each planted defect must be found in some of the seeds. */
static int self_test(const Options *opt)
{
    unsigned missed = 0, i;

    for (i = 1; i < ARRAY_SIZE(breaks); i++) {
        Options broken = *opt;
        g_autofree char *verdict = NULL;
        Totals sum = { };
        uint64_t seed = opt->first_seed, digest;

        broken.defect = i;
        for (; seed - opt->first_seed < opt->seeds && !verdict; seed++) {
            verdict = play(&broken, seed, &sum, &digest);
        }
        printf("%-18s %s\n", breaks[i].name,
               verdict ? verdict : "NOT FOUND");
        missed += !verdict;
    }
    printf("%u of %zu defects not found\n", missed, ARRAY_SIZE(breaks) - 1);
    return missed > 0;
}

/* ---- options ---- */

static bool parse_faults(Options *opt, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ",", 0);
    unsigned i, j;

    if (!strcmp(text, "mixed")) {
        return true;
    }
    opt->faults_given = true;
    for (i = 0; words[i]; i++) {
        for (j = 0; j < SIM_NUM_FAULTS; j++) {
            if (!strcmp(words[i], sim_fault_name(j))) {
                opt->faults |= 1u << j;
                break;
            }
        }
        if (j == SIM_NUM_FAULTS && strcmp(words[i], "none")) {
            fprintf(stderr, "efa-sim: --faults: '%s' is none; --help lists "
                    "them\n", words[i]);
            return false;
        }
    }
    return true;
}

static bool parse_break(Options *opt, const char *text)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(breaks); i++) {
        if (!strcmp(text, breaks[i].name)) {
            opt->defect = i;
            return true;
        }
    }
    fprintf(stderr, "efa-sim: --break: '%s' is none; --help lists them\n",
            text);
    return false;
}

static char *describe(void)
{
    GString *s = g_string_new("Faults (without --faults, or with "
                              "--faults mixed, each seed draws some):\n");
    unsigned i;

    for (i = 0; i < SIM_NUM_FAULTS; i++) {
        g_string_append_printf(s, "  %-9s %s\n", sim_fault_name(i),
                               fault_whats[i]);
    }
    g_string_append(s, "\nDefects for --break:\n");
    for (i = 1; i < ARRAY_SIZE(breaks); i++) {
        g_string_append_printf(s, "  %-18s %s\n", breaks[i].name,
                               breaks[i].what);
    }
    g_string_append(s, "\nExit status: 0, or 1 if an invariant was broken; "
                    "the last seed's replay\ncommand is printed then. "
                    "docs/simulator.md explains.\n");
    return g_string_free(s, FALSE);
}

/* What GLib's option parser fills in. */
static struct {
    int nodes, peers, messages, most, least;
    int64_t first, seeds, size;
    gboolean verbose, twice, self, bench, footprint, scale;
    char *faults, *defect;
} cli = { .first = 1, .size = -1 };

/* Enough to meet with each planted defect. */
#define SELF_TEST_SEEDS 40

static const GOptionEntry cli_entries[] = {
    { "nodes", 0, 0, G_OPTION_ARG_INT, &cli.nodes,
      "devices (2 to 16, by seed)", "N" },
    { "peers", 0, 0, G_OPTION_ARG_INT, &cli.peers,
      "peers of each (1 to 7, by seed)", "K" },
    { "messages", 0, 0, G_OPTION_ARG_INT, &cli.messages,
      "messages of each node (by nodes)", "M" },
    { "size", 0, 0, G_OPTION_ARG_INT64, &cli.size,
      "bytes of a message (by seed)", "B" },
    { "first-seed", 0, 0, G_OPTION_ARG_INT64, &cli.first,
      "the first seed (1)", "S" },
    { "seeds", 0, 0, G_OPTION_ARG_INT64, &cli.seeds,
      "how many to play (1; 40 for --self-test)", "COUNT" },
    { "faults", 0, 0, G_OPTION_ARG_STRING, &cli.faults,
      "none, mixed, or names of faults", "LIST" },
    { "twice", 0, 0, G_OPTION_ARG_NONE, &cli.twice,
      "play each seed twice and compare", NULL },
    { "break", 0, 0, G_OPTION_ARG_STRING, &cli.defect,
      "plant a defect", "DEFECT" },
    { "self-test", 0, 0, G_OPTION_ARG_NONE, &cli.self,
      "plant each defect and expect it found", NULL },
    { "bench", 0, 0, G_OPTION_ARG_NONE, &cli.bench,
      "packets per second, without faults", NULL },
    { "footprint", 0, 0, G_OPTION_ARG_NONE, &cli.footprint,
      "memory of nodes and pairs", NULL },
    { "scale", 0, 0, G_OPTION_ARG_NONE, &cli.scale,
      "time and memory against node count", NULL },
    { "most", 0, 0, G_OPTION_ARG_INT, &cli.most,
      "--footprint fails above so many MiB", "MIB" },
    { "least", 0, 0, G_OPTION_ARG_INT, &cli.least,
      "--bench fails below so many packets/s", "RATE" },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &cli.verbose,
      "what each seed draws, digests", NULL },
    { NULL },
};

static bool parse(int *argc, char ***argv)
{
    GOptionContext *ctx = g_option_context_new(
        "- a cluster of EFA devices, simulated");
    g_autofree char *text = describe();
    g_autoptr(GError) err = NULL;
    bool ok;

    g_option_context_add_main_entries(ctx, cli_entries, NULL);
    g_option_context_set_description(ctx, text);
    ok = g_option_context_parse(ctx, argc, argv, &err);
    g_option_context_free(ctx);
    if (!ok || *argc > 1) {
        fprintf(stderr, "efa-sim: %s\n", ok ? "an argument too many"
                                            : err->message);
        return false;
    }
    if (cli.nodes < 0 || cli.nodes > 100000 ||
        cli.peers < 0 || cli.peers > 250 || cli.messages < 0 ||
        cli.most < 0 || cli.least < 0 || cli.seeds < 0 ||
        cli.size > EFA_MAX_MTU) {
        fprintf(stderr, "efa-sim: a number is out of range\n");
        return false;
    }
    return true;
}

static bool options_set(Options *opt)
{
    *opt = (Options) {
        .nodes = cli.nodes, .peers = cli.peers, .messages = cli.messages,
        .first_seed = cli.first, .size = cli.size,
        .seeds = cli.seeds ? cli.seeds : cli.self ? SELF_TEST_SEEDS : 1,
        .most_mib = cli.most, .least_rate = cli.least,
        .verbose = cli.verbose,
    };
    return (!cli.faults || parse_faults(opt, cli.faults)) &&
           (!cli.defect || parse_break(opt, cli.defect));
}

int main(int argc, char **argv)
{
    Options opt;

    if (!parse(&argc, &argv) || !options_set(&opt)) {
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cli.twice ? play_twice(&opt)
         : cli.self ? self_test(&opt)
         : cli.bench ? measure_bench(&opt)
         : cli.footprint ? measure_footprint(&opt)
         : cli.scale ? measure_scale(&opt)
         : play_seeds(&opt);
}
