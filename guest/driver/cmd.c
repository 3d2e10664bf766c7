// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: admin commands, one function each
 */
#include <linux/bitfield.h>
#include <linux/utsname.h>
#include "efa.h"

#define EFA_AENQ_GROUPS	(BIT(EFA_AENQ_FATAL_ERROR) | BIT(EFA_AENQ_WARNING) | \
			 BIT(EFA_AENQ_NOTIFICATION) | BIT(EFA_AENQ_KEEP_ALIVE))

int efa_exec(struct efa_dev *dev, enum efa_admin_opcode opcode,
	     const void *req, size_t req_len, void *resp, size_t resp_len)
{
	const struct efa_cmd cmd = {
		.opcode = opcode,
		.req = req,
		.req_len = req_len,
		.resp = resp,
		.resp_len = resp_len,
	};

	return efa_admin_exec(dev, &cmd);
}

/* ---- features ---- */

static int efa_get_feature(struct efa_dev *dev, enum efa_feature_id id,
			   void *resp, size_t resp_len)
{
	const struct efa_feature_cmd req = { .feature_id = id };
	int err;

	err = efa_exec(dev, EFA_ADMIN_GET_FEATURE, &req, sizeof(req), resp,
		       resp_len);
	if (err)
		dev_err(&dev->pdev->dev, "feature %u cannot be read: %d\n", id,
			err);
	return err;
}

static int efa_get_device_attr(struct efa_dev *dev, struct efa_caps *caps)
{
	struct efa_device_attr attr;
	int err;

	err = efa_get_feature(dev, EFA_FEATURE_DEVICE_ATTR, &attr,
			      sizeof(attr));
	if (err)
		return err;
	if (!le32_to_cpu(attr.admin_api_version)) {
		dev_err(&dev->pdev->dev, "the device has no admin API\n");
		return -EINVAL;
	}
	caps->features = le64_to_cpu(attr.supported_features);
	caps->page_size_cap = le64_to_cpu(attr.page_size_cap);
	caps->device_caps = le32_to_cpu(attr.device_caps);
	caps->max_rdma_size = le32_to_cpu(attr.max_rdma_size);
	caps->guid = attr.guid;
	caps->db_bar = le16_to_cpu(attr.db_bar) & 0xff;
	caps->link_gbps = le16_to_cpu(attr.max_link_speed_gbps);
	return 0;
}

static int efa_get_queue_attr(struct efa_dev *dev, struct efa_caps *caps)
{
	struct efa_queue_attr_1 attr;
	struct efa_queue_attr_2 more = {};
	int err;

	err = efa_get_feature(dev, EFA_FEATURE_QUEUE_ATTR_1, &attr,
			      sizeof(attr));
	if (err)
		return err;
	caps->max_qp = le32_to_cpu(attr.max_qp);
	caps->max_sq_depth = le32_to_cpu(attr.max_sq_depth);
	caps->max_rq_depth = le32_to_cpu(attr.max_rq_depth);
	caps->inline_size = le32_to_cpu(attr.inline_buf_size);
	caps->max_cq = le32_to_cpu(attr.max_cq);
	caps->max_cq_depth = le32_to_cpu(attr.max_cq_depth);
	caps->sub_cqs = le16_to_cpu(attr.sub_cqs_per_cq);
	caps->min_sq_depth = le16_to_cpu(attr.min_sq_depth);
	caps->max_tx_batch = le16_to_cpu(attr.max_tx_batch);
	caps->max_send_sge = le16_to_cpu(attr.max_wr_send_sges);
	caps->max_recv_sge = le16_to_cpu(attr.max_wr_recv_sges);
	caps->max_rdma_sge = le16_to_cpu(attr.max_wr_rdma_sges);
	caps->max_mr = le32_to_cpu(attr.max_mr);
	caps->max_mr_pages = le32_to_cpu(attr.max_mr_pages);
	caps->max_pd = le32_to_cpu(attr.max_pd);
	caps->max_ah = le32_to_cpu(attr.max_ah);
	caps->max_llq_size = le32_to_cpu(attr.max_llq_size);
	caps->inline_size_ex = caps->inline_size;
	if (!(caps->features & BIT_ULL(EFA_FEATURE_QUEUE_ATTR_2)))
		return 0;
	err = efa_get_feature(dev, EFA_FEATURE_QUEUE_ATTR_2, &more,
			      sizeof(more));
	if (!err && more.inline_buf_size_ex)
		caps->inline_size_ex = le16_to_cpu(more.inline_buf_size_ex);
	return err;
}

static int efa_get_network_attr(struct efa_dev *dev, struct efa_caps *caps)
{
	struct efa_network_attr attr;
	int err;

	err = efa_get_feature(dev, EFA_FEATURE_NETWORK_ATTR, &attr,
			      sizeof(attr));
	if (err)
		return err;
	memcpy(caps->gid.raw, attr.addr, sizeof(caps->gid.raw));
	caps->mtu = le32_to_cpu(attr.mtu);
	return 0;
}

static int efa_get_eq_attr(struct efa_dev *dev, struct efa_caps *caps)
{
	struct efa_event_queue_attr attr;
	int err;

	if (!(caps->features & BIT_ULL(EFA_FEATURE_EVENT_QUEUE_ATTR)))
		return 0;
	err = efa_get_feature(dev, EFA_FEATURE_EVENT_QUEUE_ATTR, &attr,
			      sizeof(attr));
	if (err)
		return err;
	caps->max_eq = le32_to_cpu(attr.max_eq);
	caps->max_eq_depth = le32_to_cpu(attr.max_eq_depth);
	if (caps->max_eq && (!is_power_of_2(caps->max_eq_depth) ||
			     caps->max_eq_depth > U16_MAX)) {
		dev_err(&dev->pdev->dev, "event queues of %u entries\n",
			caps->max_eq_depth);
		return -EINVAL;
	}
	return 0;
}

/* Hints are in milliseconds; 0 keeps what we have. */
static int efa_get_hints(struct efa_dev *dev)
{
	struct efa_hw_hints hints;
	u32 ms;
	int err;

	err = efa_get_feature(dev, EFA_FEATURE_HW_HINTS, &hints,
			      sizeof(hints));
	if (err)
		return err;
	ms = le16_to_cpu(hints.mmio_read_timeout);
	if (ms)
		dev->regs.timeout_us = ms * USEC_PER_MSEC;
	ms = le16_to_cpu(hints.admin_completion_timeout);
	if (ms)
		dev->admin.hint_ms = dev->admin.timeout_ms = ms;
	return 0;
}

int efa_cmd_get_caps(struct efa_dev *dev, struct efa_caps *caps)
{
	const u64 needed = BIT_ULL(EFA_FEATURE_QUEUE_ATTR_1) |
			   BIT_ULL(EFA_FEATURE_NETWORK_ATTR) |
			   BIT_ULL(EFA_FEATURE_HW_HINTS) |
			   BIT_ULL(EFA_FEATURE_AENQ_CONFIG);
	int err;

	err = efa_get_device_attr(dev, caps);
	if (err)
		return err;
	if ((caps->features & needed) != needed) {
		dev_err(&dev->pdev->dev, "features 0x%llx, 0x%llx are needed\n",
			caps->features, needed);
		return -EOPNOTSUPP;
	}
	err = efa_get_queue_attr(dev, caps);
	if (!err)
		err = efa_get_network_attr(dev, caps);
	if (!err)
		err = efa_get_eq_attr(dev, caps);
	if (!err)
		err = efa_get_hints(dev);
	return err;
}

int efa_cmd_enable_aenq(struct efa_dev *dev)
{
	struct efa_feature_cmd req = { .feature_id = EFA_FEATURE_AENQ_CONFIG };
	struct efa_aenq_config config;
	int err;

	err = efa_get_feature(dev, EFA_FEATURE_AENQ_CONFIG, &config,
			      sizeof(config));
	if (err)
		return err;
	if ((le32_to_cpu(config.supported_groups) & EFA_AENQ_GROUPS) !=
	    EFA_AENQ_GROUPS)
		return -EOPNOTSUPP;
	/* supported groups, enabled groups */
	req.data[1] = cpu_to_le32(EFA_AENQ_GROUPS);
	return efa_exec(dev, EFA_ADMIN_SET_FEATURE, &req, sizeof(req), NULL,
			0);
}

static void efa_fill_host_info(struct efa_dev *dev, struct efa_host_info *info)
{
	const struct pci_dev *pdev = dev->pdev;

	strscpy(info->os_dist_str, utsname()->release,
		sizeof(info->os_dist_str));
	strscpy(info->kernel_ver_str, utsname()->version,
		sizeof(info->kernel_ver_str));
	info->kernel_ver = cpu_to_le32(LINUX_VERSION_CODE);
	info->bdf = cpu_to_le16(pdev->bus->number << 8 | pdev->devfn);
	info->spec_ver = cpu_to_le16(2 << 8);
}

/* A courtesy: a device that does not want it loses nothing. */
void efa_cmd_host_info(struct efa_dev *dev)
{
	struct efa_feature_cmd req = { .feature_id = EFA_FEATURE_HOST_INFO };
	const struct efa_cmd cmd = {
		.opcode = EFA_ADMIN_SET_FEATURE,
		.flags = EFA_AQ_CTRL_DATA,
		.req = &req,
		.req_len = sizeof(req),
	};
	struct efa_host_info *info;
	dma_addr_t dma;

	if (!(dev->caps.features & BIT_ULL(EFA_FEATURE_HOST_INFO)))
		return;
	info = dma_alloc_coherent(&dev->pdev->dev, sizeof(*info), &dma,
				  GFP_KERNEL);
	if (!info)
		return;
	efa_fill_host_info(dev, info);
	req.control_buffer.length = cpu_to_le32(sizeof(*info));
	req.control_buffer.mem_addr_low = cpu_to_le32(lower_32_bits(dma));
	req.control_buffer.mem_addr_high = cpu_to_le32(upper_32_bits(dma));
	efa_admin_exec(dev, &cmd);
	dma_free_coherent(&dev->pdev->dev, sizeof(*info), info, dma);
}

/* ---- objects ---- */

int efa_cmd_alloc(struct efa_dev *dev, enum efa_admin_opcode opcode, u16 *id)
{
	struct efa_id resp;
	int err = efa_exec(dev, opcode, NULL, 0, &resp, sizeof(resp));

	if (!err)
		*id = le16_to_cpu(resp.id);
	return err;
}

int efa_cmd_free(struct efa_dev *dev, enum efa_admin_opcode opcode, u32 handle)
{
	const struct efa_handle_cmd req = { .handle = cpu_to_le32(handle) };

	return efa_exec(dev, opcode, &req, sizeof(req), NULL, 0);
}

int efa_cmd_undo(struct efa_dev *dev, enum efa_admin_opcode opcode, u32 handle)
{
	int err = efa_cmd_free(dev, opcode, handle);

	if (err)
		efa_schedule_recovery(dev);
	return err;
}
