/*
 * EFA device model: what the device generations report, and what is legal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

typedef struct EfaGeneration {
    uint32_t device_caps;
} EfaGeneration;

/* Capabilities by generation: those of section 6.2 that the model has. */
static const EfaGeneration efa_generations[EFA_NUM_GENERATIONS] = {
    [0] = { .device_caps = 0 },
    [1] = { .device_caps = R_DEVICE_CAPS_RNR_RETRY_MASK |
                           R_DEVICE_CAPS_RDMA_READ_MASK },
    [2] = { .device_caps = R_DEVICE_CAPS_RNR_RETRY_MASK |
                           R_DEVICE_CAPS_RDMA_READ_MASK |
                           R_DEVICE_CAPS_RDMA_WRITE_MASK },
    [3] = { .device_caps = R_DEVICE_CAPS_RNR_RETRY_MASK |
                           R_DEVICE_CAPS_RDMA_READ_MASK |
                           R_DEVICE_CAPS_RDMA_WRITE_MASK },
};

uint32_t efa_config_device_caps(const EfaConfig *cfg)
{
    return efa_generations[cfg->generation].device_caps;
}

void efa_config_init(EfaConfig *cfg, uint8_t generation)
{
#define SET_DEFAULT(_type, _field, _name, _value)   ._field = _value,
    *cfg = (EfaConfig) {
        .generation = generation,
        EFA_CONFIG_LIMITS(SET_DEFAULT)
    };
#undef SET_DEFAULT
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

bool efa_config_check(const EfaConfig *cfg, GError **errp)
{
    const struct {
        const char *name;
        uint64_t value, min, max;
        bool pow2;
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
        { "max-recv-sges", cfg->max_recv_sges, 1, 16 },
        { "max-mr", cfg->max_mr, 1, 65535 },
        { "max-mr-pages", cfg->max_mr_pages, 1, 1u << 28 },
        { "max-pd", cfg->max_pd, 1, 65535 },
        { "max-ah", cfg->max_ah, 1, 65535 },
        { "max-eq", cfg->max_eq, 0, 255 },
        { "max-eq-depth", cfg->max_eq_depth, 1, 32768, true },
        { "max-llq-size", cfg->max_llq_size, 65536, 1 << 21, true },
        { "peer-timeout-ms", cfg->peer_timeout_ms, 1, 3600 * 1000 },
        { "keep-alive-ms", cfg->keep_alive_ms, 0, 3600 * 1000 },
        { "max-rdma-size", cfg->max_rdma_size, EFA_MAX_MTU, 1u << 30 },
        { "reorder", cfg->reorder, 0, 1024 },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].value < limits[i].min ||
            limits[i].value > limits[i].max) {
            g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "%s=%" PRIu64 " is out of range: %" PRIu64
                        " to %" PRIu64, limits[i].name, limits[i].value,
                        limits[i].min, limits[i].max);
            return false;
        }
        if (limits[i].pow2 && !is_power_of_2(limits[i].value)) {
            g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "%s=%" PRIu64 " must be a power of two",
                        limits[i].name, limits[i].value);
            return false;
        }
    }
    if (cfg->max_eq >= cfg->num_vectors) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "max-eq=%u needs vectors=%u at least: one is the admin "
                    "queue's", cfg->max_eq, cfg->max_eq + 1);
        return false;
    }
    if (cfg->max_eq && cfg->max_eq_depth < cfg->max_cq) {
        /* One event a CQ can be outstanding (8.5): no room, no events. */
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "max-eq-depth=%u must not be below max-cq=%u",
                    cfg->max_eq_depth, cfg->max_cq);
        return false;
    }
    if (!efa_gid_is_unicast(&cfg->gid)) {
        g_autofree char *text = efa_gid_to_string(&cfg->gid);

        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "gid=%s cannot be a device's address: give a unicast "
                    "IPv6 address such as fe80::1", text);
        return false;
    }
    return true;
}
