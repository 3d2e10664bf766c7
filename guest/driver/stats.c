// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: statistics
 *
 * Those of the port come from the device, one command a kind; those of the
 * device are what the driver counts itself.
 */
#include "efa.h"

static const struct rdma_stat_desc efa_device_descs[EFA_DEVICE_COUNTS] = {
	[EFA_SUBMITTED_CMDS].name = "submitted_cmds",
	[EFA_COMPLETED_CMDS].name = "completed_cmds",
	[EFA_CMDS_ERR].name = "cmds_err",
	[EFA_NO_COMPLETION_CMDS].name = "no_completion_cmds",
	[EFA_KEEP_ALIVE_RCVD].name = "keep_alive_rcvd",
	[EFA_ALLOC_PD_ERR].name = "alloc_pd_err",
	[EFA_CREATE_QP_ERR].name = "create_qp_err",
	[EFA_CREATE_CQ_ERR].name = "create_cq_err",
	[EFA_REG_MR_ERR].name = "reg_mr_err",
	[EFA_ALLOC_UCONTEXT_ERR].name = "alloc_ucontext_err",
	[EFA_CREATE_AH_ERR].name = "create_ah_err",
	[EFA_MMAP_ERR].name = "mmap_err",
};

/* In the order of each answer; the groups behind each other. */
static const struct rdma_stat_desc efa_port_descs[] = {
	{ .name = "tx_bytes" }, { .name = "tx_pkts" }, { .name = "rx_bytes" },
	{ .name = "rx_pkts" }, { .name = "rx_drops" },
	{ .name = "send_bytes" }, { .name = "send_wrs" },
	{ .name = "recv_bytes" }, { .name = "recv_wrs" },
	{ .name = "rdma_read_wrs" }, { .name = "rdma_read_bytes" },
	{ .name = "rdma_read_wr_err" }, { .name = "rdma_read_resp_bytes" },
	{ .name = "rdma_write_wrs" }, { .name = "rdma_write_bytes" },
	{ .name = "rdma_write_wr_err" }, { .name = "rdma_write_recv_bytes" },
	{ .name = "retrans_bytes" }, { .name = "retrans_pkts" },
	{ .name = "retrans_timeout_events" },
	{ .name = "unresponsive_remote_events" },
	{ .name = "impaired_remote_conn_events" },
};

static const struct efa_stats_group {
	enum efa_stats_type type;
	unsigned int count;
} efa_stats_groups[] = {
	{ EFA_STATS_BASIC, 5 },
	{ EFA_STATS_MESSAGES, 4 },
	{ EFA_STATS_RDMA_READ, 4 },
	{ EFA_STATS_RDMA_WRITE, 4 },
	{ EFA_STATS_NETWORK, 5 },
};

struct rdma_hw_stats *efa_alloc_port_stats(struct ib_device *ibdev, u32 port)
{
	return rdma_alloc_hw_stats_struct(efa_port_descs,
					  ARRAY_SIZE(efa_port_descs),
					  RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

struct rdma_hw_stats *efa_alloc_device_stats(struct ib_device *ibdev)
{
	return rdma_alloc_hw_stats_struct(efa_device_descs,
					  ARRAY_SIZE(efa_device_descs),
					  RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

/* A kind that the device does not have stays at 0. */
static int efa_get_port_stats(struct efa_dev *dev, struct rdma_hw_stats *stats)
{
	struct efa_get_stats_resp resp;
	unsigned int i, j, at = 0;
	int err;

	for (i = 0; i < ARRAY_SIZE(efa_stats_groups); i++) {
		const struct efa_stats_group *group = &efa_stats_groups[i];
		const struct efa_get_stats_cmd req = { .type = group->type };

		err = efa_exec(dev, EFA_ADMIN_GET_STATS, &req, sizeof(req),
			       &resp, sizeof(resp));
		if (err && err != -EOPNOTSUPP)
			return err;
		for (j = 0; !err && j < group->count; j++)
			stats->value[at + j] = le64_to_cpu(resp.counter[j]);
		at += group->count;
	}
	return ARRAY_SIZE(efa_port_descs);
}

int efa_get_hw_stats(struct ib_device *ibdev, struct rdma_hw_stats *stats,
		     u32 port, int index)
{
	struct efa_dev *dev = to_edev(ibdev);
	int ret = -EIO;
	int i;

	if (!port) {
		for (i = 0; i < EFA_DEVICE_COUNTS; i++)
			stats->value[i] = atomic64_read(&dev->counts[i]);
		return EFA_DEVICE_COUNTS;
	}
	down_read(&dev->life_lock);
	if (dev->state == EFA_DEV_LIVE)
		ret = efa_get_port_stats(dev, stats);
	up_read(&dev->life_lock);
	return ret;
}
