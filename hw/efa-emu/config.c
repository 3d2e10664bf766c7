/*
 * EFA device model: what the device generations report, and what is legal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/* 4 KiB to 1 GiB */
#define PAGE_SIZES      0x7ffff000u
#define PAGE_SIZES_ALL  (((1ull << EFA_DMA_ADDR_WIDTH) - 1) & ~0xfffull)

typedef struct EfaGeneration {
#define X(_type, _field, ...) EfaConfig##_type _field;
    EFA_CONFIG_GENERATION_LIMITS(X)
#undef X
} EfaGeneration;

/* What all generations have in common; instances differ in the rest. */
#define COMMON                                  \
    .mtu = EFA_MAX_MTU,                         \
    .max_qp = EFA_DB_MAX_QPS,                   \
    .max_sq_depth = 4096,                       \
    .max_llq_size = 4096 * EFA_IO_WQE_SIZE,     \
    .max_rq_depth = 8192,                       \
    .max_cq = EFA_DB_MAX_CQS,                   \
    .max_cq_depth = 32768,                      \
    .max_send_sges = EFA_IO_TX_DESC_NUM_BUFS,   \
    .max_recv_sges = 2,                         \
    .inline_size = EFA_IO_TX_INLINE_MAX,        \
    .max_mr = 65535,                            \
    .max_mr_pages = 0x1800000,                  \
    .page_size_cap = PAGE_SIZES,                \
    .max_pd = 256,                              \
    .max_ah = 4096,                             \
    .max_rdma_size = 1u << 30,                  \
    .max_event_counters = 1024

/* A queue of WQEs of 128 bytes has half as many as one of 64. */
#define NARROW  .inline_size_ex = EFA_IO_TX_INLINE_MAX
#define WIDE    .inline_size_ex = EFA_IO_TX_INLINE_MAX_WIDE

static const EfaGeneration efa_generations[EFA_NUM_GENERATIONS] = {
    [0] = { COMMON, NARROW, .link_speed_gbps = 100, .sub_cqs_per_cq = 2 },
    [1] = { COMMON, NARROW, .link_speed_gbps = 100, .sub_cqs_per_cq = 1 },
    [2] = { COMMON, NARROW, .link_speed_gbps = 100, .sub_cqs_per_cq = 1 },
    [3] = { COMMON, WIDE, .link_speed_gbps = 400, .sub_cqs_per_cq = 1 },
    [4] = { COMMON, WIDE, .link_speed_gbps = 400, .sub_cqs_per_cq = 1 },
};

/* A capability is of no use without another. */
typedef struct EfaCapNeeds {
    EfaCap cap;
    EfaCap needs;
} EfaCapNeeds;

static const EfaCapNeeds efa_cap_needs[] = {
    { EFA_CAP_UNSOLICITED_WRITE_RECV, EFA_CAP_RDMA_WRITE },
    { EFA_CAP_INLINE_WRITE, EFA_CAP_RDMA_WRITE },
    { EFA_CAP_INLINE_WRITE, EFA_CAP_WIDE_WQE },
};

typedef struct EfaCapInfo {
    const char *name;
    size_t offset;              /* in EfaConfig */
    uint8_t since;
} EfaCapInfo;

static const EfaCapInfo efa_caps[EFA_NUM_CAPS] = {
#define X(_name, _field, _prop, _since, ...) \
    { _prop, offsetof(EfaConfig, _field), _since },
    EFA_CONFIG_CAPS(X)
#undef X
};

static OnOffAuto *efa_cap_of(EfaConfig *cfg, EfaCap cap)
{
    return (OnOffAuto *)((char *)cfg + efa_caps[cap].offset);
}

static bool efa_cap_on(const EfaConfig *cfg, EfaCap cap)
{
    const char *value = (const char *)cfg + efa_caps[cap].offset;

    return *(const OnOffAuto *)value == ON_OFF_AUTO_ON;
}

uint32_t efa_config_caps(const EfaConfig *cfg)
{
    uint32_t caps = 0;
    EfaCap cap;

    for (cap = 0; cap < EFA_NUM_CAPS; cap++) {
        caps |= (uint32_t)efa_cap_on(cfg, cap) << cap;
    }
    return caps;
}

static void efa_config_resolve_limits(EfaConfig *cfg)
{
    const EfaGeneration *gen =
        &efa_generations[MIN(cfg->generation, EFA_NUM_GENERATIONS - 1)];

#define X(_type, _field, ...) cfg->_field = cfg->_field ?: gen->_field;
    EFA_CONFIG_GENERATION_LIMITS(X)
#undef X
}

void efa_config_init(EfaConfig *cfg, uint8_t generation)
{
#define X(_type, _field, _name, _value, ...)   ._field = _value,
    *cfg = (EfaConfig) {
        .generation = generation,
        EFA_CONFIG_LIMITS(X)
    };
#undef X
    efa_config_resolve_limits(cfg);
}

void efa_config_resolve(EfaConfig *cfg)
{
    bool automatic[EFA_NUM_CAPS];
    EfaCap cap;
    size_t i;

    efa_config_resolve_limits(cfg);
    for (cap = 0; cap < EFA_NUM_CAPS; cap++) {
        OnOffAuto *value = efa_cap_of(cfg, cap);

        automatic[cap] = *value == ON_OFF_AUTO_AUTO;
        if (automatic[cap]) {
            *value = cfg->generation >= efa_caps[cap].since ? ON_OFF_AUTO_ON
                                                            : ON_OFF_AUTO_OFF;
        }
    }
    for (i = 0; i < ARRAY_SIZE(efa_cap_needs); i++) {
        cap = efa_cap_needs[i].cap;
        if (automatic[cap] && !efa_cap_on(cfg, efa_cap_needs[i].needs)) {
            *efa_cap_of(cfg, cap) = ON_OFF_AUTO_OFF;
        }
    }
}

uint64_t efa_config_llq_bar_size(const EfaConfig *cfg)
{
    uint64_t want = (uint64_t)cfg->max_qp * cfg->max_llq_size;
    uint64_t size = 4096;

    while (size < want) {
        size *= 2;
    }
    return size;
}

static bool G_GNUC_PRINTF(2, 3) efa_config_error(GError **errp,
                                                 const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL, text);
    return false;
}

/* Each value by itself. */
static bool efa_config_check_limits(const EfaConfig *cfg, GError **errp)
{
    const struct {
        const char *name;
        uint64_t value, min, max;
        bool pow2;
        uint32_t unit;
    } limits[] = {
        { "generation", cfg->generation, 0, EFA_NUM_GENERATIONS - 1 },
        { "vectors", cfg->num_vectors, 1, 256 },
        { "mtu", cfg->mtu, 256, EFA_MAX_MTU },
        { "max-qp", cfg->max_qp, 1, EFA_DB_MAX_QPS },
        { "max-sq-depth", cfg->max_sq_depth, 1, 32768, true },
        { "max-rq-depth", cfg->max_rq_depth, 1, 32768, true },
        { "max-cq", cfg->max_cq, 1, EFA_DB_MAX_CQS },
        { "max-cq-depth", cfg->max_cq_depth, 1, 32768, true },
        { "sub-cqs-per-cq", cfg->sub_cqs_per_cq, 1, 64 },
        { "max-send-sges", cfg->max_send_sges, 1, EFA_IO_TX_DESC_NUM_BUFS },
        { "max-recv-sges", cfg->max_recv_sges, 1, EFA_MAX_RECV_SGES },
        { "inline-size", cfg->inline_size, 1, EFA_IO_TX_INLINE_MAX },
        { "inline-size-ex", cfg->inline_size_ex, cfg->inline_size,
          EFA_IO_TX_INLINE_MAX_WIDE },
        { "max-mr", cfg->max_mr, 1, 65535 },
        { "max-mr-pages", cfg->max_mr_pages, 1, 1u << 28 },
        { "max-pd", cfg->max_pd, 1, 65535 },
        { "max-ah", cfg->max_ah, 1, 65535 },
        { "max-eq", cfg->max_eq, 0, 255 },
        { "max-eq-depth", cfg->max_eq_depth, 1, 32768, true },
        { "max-llq-size", cfg->max_llq_size, 65536, 1 << 22, true },
        { "max-rdma-size", cfg->max_rdma_size, EFA_MAX_MTU, 1u << 30 },
        { "max-event-counters", cfg->max_event_counters, 1, 65536 },
        { "max-sl", cfg->max_sl, 0, 255 },
        { "admin-version", cfg->admin_version, 1, 3 },
        { "event-counter-max", cfg->event_counter_max, 1, UINT64_MAX },
        { "reset-timeout-ms", cfg->reset_timeout_ms, 100, 3100, false, 100 },
        { "admin-timeout-ms", cfg->admin_timeout_ms, 0, 1500, false, 100 },
        { "peer-timeout-ms", cfg->peer_timeout_ms, 1, 3600 * 1000 },
        { "keep-alive-ms", cfg->keep_alive_ms, 0, 3600 * 1000 },
        { "reorder", cfg->reorder, 0, 1024 },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].value < limits[i].min ||
            limits[i].value > limits[i].max) {
            return efa_config_error(errp, "%s=%" PRIu64 " is out of range: %"
                                    PRIu64 " to %" PRIu64, limits[i].name,
                                    limits[i].value, limits[i].min,
                                    limits[i].max);
        }
        if (limits[i].pow2 && !is_power_of_2(limits[i].value)) {
            return efa_config_error(errp, "%s=%" PRIu64 " must be a power of "
                                    "two", limits[i].name, limits[i].value);
        }
        if (limits[i].unit && limits[i].value % limits[i].unit) {
            return efa_config_error(errp, "%s=%" PRIu64 " must be a multiple "
                                    "of %u", limits[i].name, limits[i].value,
                                    limits[i].unit);
        }
    }
    return true;
}

/* What must fit together. */
static bool efa_config_check_sums(const EfaConfig *cfg, GError **errp)
{
    if (cfg->max_eq >= cfg->num_vectors) {
        return efa_config_error(errp, "max-eq=%u needs vectors=%u at least: "
                                "one is the admin queue's", cfg->max_eq,
                                cfg->max_eq + 1);
    }
    if (cfg->max_eq && cfg->max_eq_depth < cfg->max_cq) {
        /* One event a CQ can be outstanding (8.5): no room, no events. */
        return efa_config_error(errp, "max-eq-depth=%u must not be below "
                                "max-cq=%u", cfg->max_eq_depth, cfg->max_cq);
    }
    if (cfg->min_sq_depth > cfg->max_sq_depth) {
        return efa_config_error(errp, "min-sq-depth=%u must not be above "
                                "max-sq-depth=%u", cfg->min_sq_depth,
                                cfg->max_sq_depth);
    }
    if (efa_cap_on(cfg, EFA_CAP_WIDE_WQE) &&
        cfg->inline_size < EFA_IO_TX_INLINE_MAX) {
        return efa_config_error(errp, "inline-size=%u with wide-wqe=on: "
                                "providers take wide requests for more than "
                                "%u bytes only", cfg->inline_size,
                                EFA_IO_TX_INLINE_MAX);
    }
    if (!(cfg->page_size_cap & 4096) ||
        (cfg->page_size_cap & ~PAGE_SIZES_ALL)) {
        return efa_config_error(errp, "page-size-cap=0x%" PRIx64 " must have "
                                "bit 12, and none but 12 to %u",
                                cfg->page_size_cap, EFA_DMA_ADDR_WIDTH - 1);
    }
    return true;
}

static bool efa_config_check_caps(const EfaConfig *cfg, GError **errp)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(efa_cap_needs); i++) {
        EfaCap cap = efa_cap_needs[i].cap, needs = efa_cap_needs[i].needs;

        if (efa_cap_on(cfg, cap) && !efa_cap_on(cfg, needs)) {
            return efa_config_error(errp, "%s=on needs %s=on",
                                    efa_caps[cap].name, efa_caps[needs].name);
        }
    }
    return true;
}

bool efa_config_check(const EfaConfig *cfg, GError **errp)
{
    if (!efa_config_check_limits(cfg, errp) ||
        !efa_config_check_sums(cfg, errp) ||
        !efa_config_check_caps(cfg, errp)) {
        return false;
    }
    if (!efa_gid_is_unicast(&cfg->gid)) {
        g_autofree char *text = efa_gid_to_string(&cfg->gid);

        return efa_config_error(errp, "gid=%s cannot be a device's address: "
                                "give a unicast IPv6 address such as fe80::1",
                                text);
    }
    return true;
}
