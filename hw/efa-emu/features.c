/*
 * EFA device model: features and statistics
 *
 * Control path specification, sections 5.11 to 5.13 and 6.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

/* The capabilities that DEVICE_ATTR reports. */
static const struct {
    EfaCap cap;
    uint32_t bit;
} efa_device_caps[] = {
    { EFA_CAP_RDMA_READ, R_DEVICE_CAPS_RDMA_READ_MASK },
    { EFA_CAP_RNR_RETRY, R_DEVICE_CAPS_RNR_RETRY_MASK },
    { EFA_CAP_DATA_POLLING_128, R_DEVICE_CAPS_DATA_POLLING_128_MASK },
    { EFA_CAP_RDMA_WRITE, R_DEVICE_CAPS_RDMA_WRITE_MASK },
    { EFA_CAP_UNSOLICITED_WRITE_RECV,
      R_DEVICE_CAPS_UNSOLICITED_WRITE_RECV_MASK },
    { EFA_CAP_EVENT_COUNTERS, R_DEVICE_CAPS_EVENT_COUNTERS_MASK },
    { EFA_CAP_SQ_64_BIT_REQ_ID, R_DEVICE_CAPS_SQ_64_BIT_REQ_ID_MASK },
};

static uint32_t efa_reported_caps(const EfaCore *core)
{
    uint32_t caps = 0;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(efa_device_caps); i++) {
        if (efa_can(core, efa_device_caps[i].cap)) {
            caps |= efa_device_caps[i].bit;
        }
    }
    return caps;
}

static uint64_t efa_supported_features(const EfaCore *core);

static void efa_get_device_attr(EfaCore *core, void *resp)
{
    EfaDeviceAttr attr = {
        .supported_features = cpu_to_le64(efa_supported_features(core)),
        .page_size_cap = cpu_to_le64(core->cfg.page_size_cap),
        .fw_version = cpu_to_le32(1),
        .admin_api_version = cpu_to_le32(1),
        .device_version = cpu_to_le32(1),
        .db_bar = cpu_to_le16(4),
        .phys_addr_width = EFA_DMA_ADDR_WIDTH,
        .virt_addr_width = 64,
        .device_caps = cpu_to_le32(efa_reported_caps(core)),
        .max_link_speed_gbps = cpu_to_le16(core->cfg.link_speed_gbps),
    };

    if (efa_can(core, EFA_CAP_RDMA_READ) ||
        efa_can(core, EFA_CAP_RDMA_WRITE)) {
        attr.max_rdma_size = cpu_to_le32(core->cfg.max_rdma_size);
    }
    memcpy(attr.guid, core->cfg.guid, sizeof(attr.guid));
    memcpy(resp, &attr, sizeof(attr));
}

static void efa_get_queue_attr_1(EfaCore *core, void *resp)
{
    const EfaConfig *cfg = &core->cfg;
    EfaQueueAttr1 attr = {
        .max_qp = cpu_to_le32(cfg->max_qp),
        .max_sq_depth = cpu_to_le32(cfg->max_sq_depth),
        .inline_buf_size = cpu_to_le32(cfg->inline_size),
        .max_rq_depth = cpu_to_le32(cfg->max_rq_depth),
        .max_cq = cpu_to_le32(cfg->max_cq),
        .max_cq_depth = cpu_to_le32(cfg->max_cq_depth),
        .sub_cqs_per_cq = cpu_to_le16(cfg->sub_cqs_per_cq),
        .max_wr_send_sges = cpu_to_le16(cfg->max_send_sges),
        .max_wr_recv_sges = cpu_to_le16(cfg->max_recv_sges),
        .max_mr = cpu_to_le32(cfg->max_mr),
        .max_mr_pages = cpu_to_le32(cfg->max_mr_pages),
        .max_pd = cpu_to_le32(cfg->max_pd),
        .max_ah = cpu_to_le32(cfg->max_ah),
        .max_llq_size = cpu_to_le32(cfg->max_llq_size),
        .max_wr_rdma_sges = cpu_to_le16(EFA_IO_RDMA_NUM_BUFS),
        .min_sq_depth = cpu_to_le16(cfg->min_sq_depth),
        .max_tx_batch = cpu_to_le16(cfg->max_tx_batch),
    };

    memcpy(resp, &attr, sizeof(attr));
}

/* Is there anything in it? Drivers take it to mean wide work requests. */
static bool efa_has_queue_attr_2(const EfaCore *core)
{
    return efa_can(core, EFA_CAP_WIDE_WQE) ||
           efa_can(core, EFA_CAP_EVENT_COUNTERS);
}

static void efa_get_queue_attr_2(EfaCore *core, void *resp)
{
    const EfaConfig *cfg = &core->cfg;
    EfaQueueAttr2 attr = {
        .inline_buf_size_ex =
            cpu_to_le16(efa_can(core, EFA_CAP_WIDE_WQE) ? cfg->inline_size_ex
                                                        : cfg->inline_size),
    };

    if (efa_can(core, EFA_CAP_EVENT_COUNTERS)) {
        attr.supported_event_counter_qp_events =
            cpu_to_le32(EFA_QP_EVENTS_ALL);
        attr.max_event_counters = cpu_to_le32(cfg->max_event_counters);
        attr.event_counter_max_val = cpu_to_le64(cfg->event_counter_max);
    }
    memcpy(resp, &attr, sizeof(attr));
}

static void efa_get_network_attr(EfaCore *core, void *resp)
{
    EfaNetworkAttr attr = { .mtu = cpu_to_le32(core->cfg.mtu) };

    memcpy(attr.addr, core->cfg.gid.raw, sizeof(attr.addr));
    memcpy(resp, &attr, sizeof(attr));
}

static void efa_get_event_queue_attr(EfaCore *core, void *resp)
{
    EfaEventQueueAttr attr = {
        .max_eq = cpu_to_le32(core->cfg.max_eq),
        .max_eq_depth = cpu_to_le32(core->cfg.max_eq_depth),
        .event_bitmask = cpu_to_le32(R_EQ_EVENTS_COMPLETION_EVENTS_MASK),
    };

    memcpy(resp, &attr, sizeof(attr));
}

static void efa_get_aenq_config(EfaCore *core, void *resp)
{
    EfaAenqConfig attr = {
        .supported_groups = cpu_to_le32(EFA_AENQ_SUPPORTED_GROUPS),
        .enabled_groups = cpu_to_le32(core->aenq_groups),
    };

    memcpy(resp, &attr, sizeof(attr));
}

static void efa_get_hw_hints(EfaCore *core, void *resp)
{
    const EfaConfig *cfg = &core->cfg;
    /* zero keeps the driver's defaults */
    EfaHwHints hints = {
        .mmio_read_timeout = cpu_to_le16(cfg->hint_mmio_read_ms),
        .driver_watchdog_timeout = cpu_to_le16(cfg->hint_watchdog_ms),
        .admin_completion_timeout = cpu_to_le16(cfg->hint_admin_timeout),
        .poll_interval = cpu_to_le16(cfg->hint_poll_interval_ms),
    };

    memcpy(resp, &hints, sizeof(hints));
}

static EfaAdminStatus efa_set_aenq_config(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaFeatureCmd *req = (const EfaFeatureCmd *)&cmd->req;
    EfaAenqConfig config;
    uint32_t groups;

    if (FIELD_EX8(req->common.flags, AQ_COMMON, CTRL_DATA)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET,
                              "AENQ_CONFIG takes no control buffer");
    }
    memcpy(&config, req->raw, sizeof(config));
    groups = le32_to_cpu(config.enabled_groups);
    if (groups & ~EFA_AENQ_SUPPORTED_GROUPS) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "AENQ groups 0x%x, supported are 0x%x", groups,
                              EFA_AENQ_SUPPORTED_GROUPS);
    }
    efa_aenq_configure(core, groups);
    return EFA_ADMIN_SUCCESS;
}

static EfaAdminStatus efa_set_host_info(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaFeatureCmd *req = (const EfaFeatureCmd *)&cmd->req;
    uint32_t length = le32_to_cpu(req->control_buffer.length);
    uint64_t addr = efa_addr64(req->control_buffer.mem_addr_low,
                               req->control_buffer.mem_addr_high);
    EfaHostInfo info;

    if (!FIELD_EX8(req->common.flags, AQ_COMMON, CTRL_DATA) ||
        length < sizeof(info)) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_OUT_OF_RANGE,
                              "host info needs a control buffer of %zu bytes, "
                              "got %u", sizeof(info), length);
    }
    if (!efa_dma_read(core, addr, &info, sizeof(info))) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNKNOWN_ERROR, EFA_EXT_DMA_FAULT,
                              "host info at 0x%" PRIx64, addr);
    }
    info.os_dist_str[sizeof(info.os_dist_str) - 1] = '\0';
    info.kernel_ver_str[sizeof(info.kernel_ver_str) - 1] = '\0';
    core->host_info = info;
    trace_efa_host_info(info.os_dist_str, info.kernel_ver_str,
                        le32_to_cpu(info.driver_ver), le32_to_cpu(info.flags));
    return EFA_ADMIN_SUCCESS;
}

typedef struct EfaFeature {
    const char *name;
    void (*get)(EfaCore *core, void *resp);
    EfaAdminStatus (*set)(EfaCore *core, EfaAdminCmd *cmd);
    bool (*offered)(const EfaCore *core);   /* NULL: always */
} EfaFeature;

static const EfaFeature efa_features[] = {
    [EFA_ADMIN_DEVICE_ATTR]      = { "DEVICE_ATTR", efa_get_device_attr },
    [EFA_ADMIN_AENQ_CONFIG]      = { "AENQ_CONFIG", efa_get_aenq_config,
                                     efa_set_aenq_config },
    [EFA_ADMIN_NETWORK_ATTR]     = { "NETWORK_ATTR", efa_get_network_attr },
    [EFA_ADMIN_QUEUE_ATTR_1]     = { "QUEUE_ATTR_1", efa_get_queue_attr_1 },
    [EFA_ADMIN_HW_HINTS]         = { "HW_HINTS", efa_get_hw_hints },
    [EFA_ADMIN_HOST_INFO]        = { "HOST_INFO", NULL, efa_set_host_info },
    [EFA_ADMIN_EVENT_QUEUE_ATTR] = { "EVENT_QUEUE_ATTR",
                                     efa_get_event_queue_attr },
    [EFA_ADMIN_QUEUE_ATTR_2]     = { "QUEUE_ATTR_2", efa_get_queue_attr_2,
                                     .offered = efa_has_queue_attr_2 },
};

static bool efa_feature_offered(const EfaCore *core, uint8_t id)
{
    return id < ARRAY_SIZE(efa_features) && efa_features[id].name &&
           (!efa_features[id].offered || efa_features[id].offered(core));
}

static uint64_t efa_supported_features(const EfaCore *core)
{
    uint64_t features = 0;
    uint8_t id;

    for (id = 0; id < ARRAY_SIZE(efa_features); id++) {
        features |= (uint64_t)efa_feature_offered(core, id) << id;
    }
    return features;
}

static const EfaFeature *efa_feature(const EfaCore *core, EfaAdminCmd *cmd,
                                     EfaAdminStatus *status)
{
    const EfaFeatureCmd *req = (const EfaFeatureCmd *)&cmd->req;
    uint8_t id = req->feature_id;

    if (req->reserved0 || req->reserved16) {
        *status = efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                                 EFA_EXT_RESERVED_SET, "reserved field set");
        return NULL;
    }
    if (!efa_feature_offered(core, id)) {
        *status = efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                                 EFA_EXT_UNKNOWN_ID, "feature %u", id);
        return NULL;
    }
    trace_efa_feature(cmd->name, efa_features[id].name);
    return &efa_features[id];
}

EfaAdminStatus efa_cmd_get_feature(EfaCore *core, EfaAdminCmd *cmd)
{
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    const EfaFeature *feature = efa_feature(core, cmd, &status);

    if (!feature) {
        return status;
    }
    if (!feature->get) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "%s cannot be read",
                              feature->name);
    }
    feature->get(core, cmd->resp);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_set_feature(EfaCore *core, EfaAdminCmd *cmd)
{
    EfaAdminStatus status = EFA_ADMIN_SUCCESS;
    const EfaFeature *feature = efa_feature(core, cmd, &status);

    if (!feature) {
        return status;
    }
    if (!feature->set) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "%s cannot be set",
                              feature->name);
    }
    return feature->set(core, cmd);
}

#define STAT(_field)    offsetof(EfaStats, _field)
#define STAT_END        SIZE_MAX

/* Counters in the order of the response. */
static const size_t efa_stats_basic[] = {
    STAT(tx_bytes), STAT(tx_pkts), STAT(rx_bytes), STAT(rx_pkts),
    STAT(rx_drops), STAT(qkey_viol), STAT_END
};
static const size_t efa_stats_messages[] = {
    STAT(send_bytes), STAT(send_wrs), STAT(recv_bytes), STAT(recv_wrs),
    STAT_END
};
static const size_t efa_stats_network[] = {
    STAT(retrans_bytes), STAT(retrans_pkts), STAT(retrans_timeout_events),
    STAT(unresponsive_remote_events), STAT(impaired_remote_conn_events),
    STAT_END
};
static const size_t efa_stats_read[] = {
    STAT(read_wrs), STAT(read_bytes), STAT(read_wr_err),
    STAT(read_resp_bytes), STAT_END
};
static const size_t efa_stats_write[] = {
    STAT(write_wrs), STAT(write_bytes), STAT(write_wr_err),
    STAT(write_recv_bytes), STAT_END
};

static const size_t *const efa_stats_types[] = {
    [EFA_ADMIN_GET_STATS_TYPE_BASIC]      = efa_stats_basic,
    [EFA_ADMIN_GET_STATS_TYPE_MESSAGES]   = efa_stats_messages,
    /* all zero on a device without RDMA, but the sets exist */
    [EFA_ADMIN_GET_STATS_TYPE_RDMA_READ]  = efa_stats_read,
    [EFA_ADMIN_GET_STATS_TYPE_RDMA_WRITE] = efa_stats_write,
    [EFA_ADMIN_GET_STATS_TYPE_NETWORK]    = efa_stats_network,
};

/*
 * Status 3 for whatever is not there: any other error fails the driver's
 * probe (3.1, step 21).
 */
EfaAdminStatus efa_cmd_get_stats(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaGetStatsCmd *req = (const EfaGetStatsCmd *)&cmd->req;
    uint64_t *out = (uint64_t *)cmd->resp;
    const size_t *offset;

    if (req->type >= ARRAY_SIZE(efa_stats_types) ||
        (req->type == EFA_ADMIN_GET_STATS_TYPE_NETWORK &&
         !efa_can(core, EFA_CAP_NETWORK_STATS))) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_UNKNOWN_ID, "statistics type %u",
                              req->type);
    }
    if (req->scope || req->scope_modifier) {
        return efa_admin_fail(cmd, EFA_ADMIN_UNSUPPORTED_OPCODE,
                              EFA_EXT_NOT_ENABLED, "statistics scope %u/%u",
                              req->scope, le16_to_cpu(req->scope_modifier));
    }
    for (offset = efa_stats_types[req->type]; *offset != STAT_END; offset++) {
        uint64_t value;

        memcpy(&value, (char *)&core->stats + *offset, sizeof(value));
        *out++ = cpu_to_le64(value);
    }
    return EFA_ADMIN_SUCCESS;
}
