/*
 * Unit tests: limits and capabilities, by generation and one by one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"

static void test_defaults(void)
{
    unsigned gen;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg;

        efa_config_init(&cfg, gen);
        efa_config_resolve(&cfg);
        g_assert_false(efa_config_check(&cfg, NULL));  /* GID still unset */
        cfg.gid = test_gid(1);
        g_assert_true(efa_config_check(&cfg, NULL));
        g_assert_true(is_power_of_2(efa_config_llq_bar_size(&cfg)));
        /* providers take the one for the other, libfabric creates such queues */
        g_assert_cmpuint(cfg.max_sq_depth * EFA_IO_WQE_SIZE, ==,
                         cfg.max_llq_size);
    }
}

/* Each generation can what the one before it could. */
static void test_growth(void)
{
    uint32_t before = 0;
    unsigned gen;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        EfaConfig cfg;
        uint32_t caps;

        efa_config_init(&cfg, gen);
        efa_config_resolve(&cfg);
        caps = efa_config_caps(&cfg);
        g_assert_cmphex(caps & before, ==, before);
        before = caps;
    }
    g_assert_cmphex(before & (1u << EFA_CAP_UNIQUE_AH), ==, 0);
}

static void expect(EfaConfig cfg, const char *what)
{
    GError *err = NULL;

    efa_config_resolve(&cfg);
    if (efa_config_check(&cfg, &err) || !strstr(err->message, what)) {
        g_error("%s: let through or not named: %s", what,
                err ? err->message : "");
    }
    g_assert_null(strchr(err->message, '\n'));
    g_clear_error(&err);
}

static void test_limits(void)
{
    EfaConfig cfg;

#define BAD(_field, _value, _what)      \
    cfg = test_config(1);               \
    cfg._field = _value;                \
    expect(cfg, _what)

    BAD(generation, EFA_NUM_GENERATIONS, "generation=5");
    BAD(num_vectors, 0, "vectors=0");
    BAD(mtu, 65496, "mtu=65496");
    BAD(max_qp, 257, "max-qp=257");
    BAD(max_sq_depth, 1000, "max-sq-depth=1000 must be a power of two");
    BAD(max_rq_depth, 65536, "max-rq-depth=65536");
    BAD(max_cq, 513, "max-cq=513");
    BAD(max_cq_depth, 65536, "max-cq-depth=65536");
    BAD(sub_cqs_per_cq, 65, "sub-cqs-per-cq=65");
    BAD(max_send_sges, 3, "max-send-sges=3");
    BAD(max_recv_sges, 17, "max-recv-sges=17");
    BAD(inline_size, 33, "inline-size=33");
    BAD(inline_size_ex, 81, "inline-size-ex=81");
    BAD(inline_size_ex, 31, "inline-size-ex=31");
    BAD(max_mr, 65537, "max-mr=65537");
    BAD(max_mr_pages, 1u << 29, "max-mr-pages=");
    BAD(page_size_cap, 0x200000, "page-size-cap=0x200000 must have bit 12");
    BAD(page_size_cap, 0x1400, "page-size-cap=0x1400");
    BAD(page_size_cap, 1ull << 48 | 4096, "page-size-cap=0x1000000001000");
    BAD(max_pd, 65536, "max-pd=65536");
    BAD(max_ah, 65536, "max-ah=65536");
    BAD(max_eq, 32, "max-eq=32 needs vectors=33");
    BAD(max_eq_depth, 256, "max-eq-depth=256");
    BAD(max_llq_size, 32768, "max-llq-size=32768");
    BAD(max_rdma_size, (1u << 30) + 1, "max-rdma-size=");
    BAD(max_event_counters, 65537, "max-event-counters=65537");
    BAD(admin_version, 4, "admin-version=4");
    BAD(min_sq_depth, 4097, "min-sq-depth=4097");
    BAD(max_sl, 256, "max-sl=256");
    BAD(event_counter_max, 0, "event-counter-max=0");
    BAD(reset_timeout_ms, 3200, "reset-timeout-ms=3200");
    BAD(reset_timeout_ms, 150, "reset-timeout-ms=150 must be a multiple");
    BAD(admin_timeout_ms, 1600, "admin-timeout-ms=1600");
    BAD(peer_timeout_ms, 0, "peer-timeout-ms=0");
    BAD(reorder, 1025, "reorder=1025");
#undef BAD
    cfg = test_config_of(1, 3);
    cfg.inline_size = 31;
    expect(cfg, "inline-size=31 with wide-wqe=on");
}

/* What is of no use without another goes with it, unless it was asked for. */
static void test_needs(void)
{
    EfaConfig cfg = test_config_of(1, 3);

    cfg.rdma_write = ON_OFF_AUTO_OFF;
    efa_config_resolve(&cfg);
    g_assert_cmpint(cfg.inline_write, ==, ON_OFF_AUTO_OFF);
    g_assert_cmpint(cfg.unsolicited_write_recv, ==, ON_OFF_AUTO_OFF);
    g_assert_cmpint(cfg.wide_wqe, ==, ON_OFF_AUTO_ON);
    g_assert_true(efa_config_check(&cfg, NULL));

    cfg = test_config_of(1, 3);
    cfg.wide_wqe = ON_OFF_AUTO_OFF;
    cfg.inline_write = ON_OFF_AUTO_ON;
    expect(cfg, "inline-write=on needs wide-wqe=on");
    cfg = test_config_of(1, 1);
    cfg.unsolicited_write_recv = ON_OFF_AUTO_ON;
    expect(cfg, "unsolicited-write-recv=on needs rdma-write=on");
}

/* The newest on the oldest, and the other way round. */
static void test_one_by_one(void)
{
    EfaConfig cfg = test_config_of(1, 0);

    cfg.rdma_read = ON_OFF_AUTO_ON;
    cfg.sq_64_bit_req_id = ON_OFF_AUTO_ON;
    efa_config_resolve(&cfg);
    g_assert_cmphex(efa_config_caps(&cfg) & (1u << EFA_CAP_RDMA_READ |
                                             1u << EFA_CAP_RDMA_WRITE |
                                             1u << EFA_CAP_SQ_64_BIT_REQ_ID),
                    ==, 1u << EFA_CAP_RDMA_READ |
                        1u << EFA_CAP_SQ_64_BIT_REQ_ID);
    cfg = test_config_of(1, 4);
    cfg.rdma_read = ON_OFF_AUTO_OFF;
    efa_config_resolve(&cfg);
    g_assert_cmphex(efa_config_caps(&cfg) & (1u << EFA_CAP_RDMA_READ |
                                             1u << EFA_CAP_RDMA_WRITE),
                    ==, 1u << EFA_CAP_RDMA_WRITE);
}

/* ---- docs/device.md has these tables ---- */

static char *limits_table(void)
{
    GString *out = g_string_new("|---|---|---|---|---|---|\n");
    EfaConfig cfg[EFA_NUM_GENERATIONS];
    unsigned gen;

    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {
        efa_config_init(&cfg[gen], gen);
    }
#define X(_type, _field, _name, ...)                                    \
    g_string_append_printf(out, "| `%s` |", _name);                     \
    for (gen = 0; gen < EFA_NUM_GENERATIONS; gen++) {                   \
        g_string_append_printf(out, !strcmp(_name, "page-size-cap")     \
                               ? " 0x%" PRIx64 " |" : " %" PRIu64 " |", \
                               (uint64_t)cfg[gen]._field);              \
    }                                                                   \
    g_string_append_c(out, '\n');
    EFA_CONFIG_GENERATION_LIMITS(X)
#undef X
    return g_string_free(out, FALSE);
}

static char *constants_table(void)
{
    GString *out = g_string_new("|---|---|---|\n");

#define X(_type, _field, _name, _value, _text)                          \
    g_string_append_printf(out, "| `%s` | %" PRIu64 " | %s |\n", _name, \
                           (uint64_t)_value, _text);
    EFA_CONFIG_LIMITS(X)
#undef X
    return g_string_free(out, FALSE);
}

static char *caps_table(void)
{
    GString *out = g_string_new("|---|---|---|\n");

#define X(_id, _field, _name, _since, _text)                            \
    g_string_append_printf(out, "| `%s` | ", _name);                    \
    if (_since == EFA_CAP_NEVER) {                                      \
        g_string_append(out, "none");                                   \
    } else {                                                            \
        g_string_append_printf(out, "%u", _since);                      \
    }                                                                   \
    g_string_append_printf(out, " | %s |\n", _text);
    EFA_CONFIG_CAPS(X)
#undef X
    return g_string_free(out, FALSE);
}

static void test_documented(void)
{
    char *(*const tables[])(void) = {
        limits_table, constants_table, caps_table,
    };
    g_autofree char *text = NULL;
    unsigned i;

    g_assert_true(g_file_get_contents(DEVICE_MD, &text, NULL, NULL));
    for (i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_autofree char *table = tables[i]();

        if (!strstr(text, table)) {
            g_error("%s does not have this table:\n%s", DEVICE_MD, table);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/defaults", test_defaults);
    g_test_add_func("/config/growth", test_growth);
    g_test_add_func("/config/limits", test_limits);
    g_test_add_func("/config/needs", test_needs);
    g_test_add_func("/config/one-by-one", test_one_by_one);
    g_test_add_func("/config/documented", test_documented);
    return g_test_run();
}
