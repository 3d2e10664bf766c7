// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: the device and its port, as verbs see them
 */
#include "efa.h"

int efa_query_device(struct ib_device *ibdev, struct ib_device_attr *attr,
		     struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibdev);
	const struct efa_caps *caps = &dev->caps;
	struct efa_abi_query_device_resp resp = {};
	int err = efa_no_req(udata);

	if (err)
		return err;
	memset(attr, 0, sizeof(*attr));
	attr->max_mr_size = (u64)caps->max_mr_pages * PAGE_SIZE;
	attr->page_size_cap = caps->page_size_cap;
	attr->vendor_id = dev->pdev->vendor;
	attr->vendor_part_id = dev->pdev->device;
	attr->hw_ver = dev->pdev->subsystem_device;
	attr->max_qp = caps->max_qp;
	attr->max_cq = caps->max_cq;
	attr->max_pd = caps->max_pd;
	attr->max_mr = caps->max_mr;
	attr->max_ah = caps->max_ah;
	attr->max_cqe = caps->max_cq_depth;
	attr->max_qp_wr = min(caps->max_sq_depth, caps->max_rq_depth);
	attr->max_send_sge = caps->max_send_sge;
	attr->max_recv_sge = caps->max_recv_sge;
	attr->max_sge_rd = caps->max_rdma_sge;
	attr->max_pkeys = 1;

	resp.max_sq_wr = caps->max_sq_depth;
	resp.max_rq_wr = caps->max_rq_depth;
	resp.max_sq_sge = caps->max_send_sge;
	resp.max_rq_sge = caps->max_recv_sge;
	resp.max_rdma_size = caps->max_rdma_size;
	resp.device_caps = EFA_ABI_CAP_CQ_WITH_SGID;
	if (dev->num_eqs)
		resp.device_caps |= EFA_ABI_CAP_CQ_NOTIFICATIONS;
	if (caps->device_caps & EFA_CAP_RDMA_READ)
		resp.device_caps |= EFA_ABI_CAP_RDMA_READ;
	if (caps->device_caps & EFA_CAP_RNR_RETRY)
		resp.device_caps |= EFA_ABI_CAP_RNR_RETRY;
	if (caps->device_caps & EFA_CAP_DATA_POLLING_128)
		resp.device_caps |= EFA_ABI_CAP_DATA_POLLING_128;
	if (caps->device_caps & EFA_CAP_RDMA_WRITE)
		resp.device_caps |= EFA_ABI_CAP_RDMA_WRITE;
	if (caps->device_caps & EFA_CAP_UNSOLICITED_WRITE_RECV)
		resp.device_caps |= EFA_ABI_CAP_UNSOLICITED;
	if (caps->device_caps & EFA_CAP_64_BIT_REQ_ID)
		resp.device_caps |= EFA_ABI_CAP_64_BIT_ID;
	return efa_copy_resp(udata, &resp, sizeof(resp));
}

static void efa_link_speed(u16 gbps, struct ib_port_attr *attr)
{
	static const struct {
		u16 gbps;
		u8 width;
		u16 speed;
	} links[] = {
		{ 400, IB_WIDTH_8X, IB_SPEED_HDR },
		{ 200, IB_WIDTH_4X, IB_SPEED_HDR },
		{ 120, IB_WIDTH_12X, IB_SPEED_FDR10 },
		{ 100, IB_WIDTH_4X, IB_SPEED_EDR },
		{ 60, IB_WIDTH_12X, IB_SPEED_DDR },
		{ 50, IB_WIDTH_1X, IB_SPEED_HDR },
		{ 40, IB_WIDTH_4X, IB_SPEED_FDR10 },
		{ 30, IB_WIDTH_12X, IB_SPEED_SDR },
		{ 0, IB_WIDTH_1X, IB_SPEED_EDR },
	};
	unsigned int i = 0;

	while (gbps < links[i].gbps)
		i++;
	attr->active_width = links[i].width;
	attr->active_speed = links[i].speed;
}

static enum ib_mtu efa_mtu(u32 mtu)
{
	if (mtu >= 4096)
		return IB_MTU_4096;
	if (mtu >= 2048)
		return IB_MTU_2048;
	if (mtu >= 1024)
		return IB_MTU_1024;
	return mtu >= 512 ? IB_MTU_512 : IB_MTU_256;
}

static int efa_query_port(struct ib_device *ibdev, u32 port,
			  struct ib_port_attr *attr)
{
	const struct efa_caps *caps = &to_edev(ibdev)->caps;

	attr->lmc = 1;
	attr->state = IB_PORT_ACTIVE;
	attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	attr->gid_tbl_len = 1;
	attr->pkey_tbl_len = 1;
	attr->max_vl_num = 1;
	attr->max_mtu = efa_mtu(caps->mtu);
	attr->active_mtu = attr->max_mtu;
	attr->max_msg_sz = caps->mtu;
	efa_link_speed(caps->link_gbps ?: 100, attr);
	return 0;
}

static int efa_query_gid(struct ib_device *ibdev, u32 port, int index,
			 union ib_gid *gid)
{
	*gid = to_edev(ibdev)->caps.gid;
	return 0;
}

static int efa_query_pkey(struct ib_device *ibdev, u32 port, u16 index,
			  u16 *pkey)
{
	if (index)
		return -EINVAL;
	*pkey = 0xffff;
	return 0;
}

static int efa_get_port_immutable(struct ib_device *ibdev, u32 port,
				  struct ib_port_immutable *immutable)
{
	immutable->gid_tbl_len = 1;
	immutable->pkey_tbl_len = 1;
	return 0;
}

/* Nobody is to take addresses of the device for those of an Ethernet. */
static enum rdma_link_layer efa_get_link_layer(struct ib_device *ibdev,
					       u32 port)
{
	return IB_LINK_LAYER_UNSPECIFIED;
}

/*
 * That there is one lets the device go while processes have it open: the core
 * takes BAR pages from them, and the pages of rings have counts of their own.
 */
static void efa_disassociate_ucontext(struct ib_ucontext *ibucontext)
{
}

static const struct ib_device_ops efa_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_EFA,
	.uverbs_abi_ver = EFA_ABI_VERSION,

	.query_device = efa_query_device,
	.query_port = efa_query_port,
	.query_gid = efa_query_gid,
	.query_pkey = efa_query_pkey,
	.get_port_immutable = efa_get_port_immutable,
	.get_link_layer = efa_get_link_layer,
	.alloc_hw_port_stats = efa_alloc_port_stats,
	.alloc_hw_device_stats = efa_alloc_device_stats,
	.get_hw_stats = efa_get_hw_stats,

	.alloc_ucontext = efa_alloc_ucontext,
	.dealloc_ucontext = efa_dealloc_ucontext,
	.disassociate_ucontext = efa_disassociate_ucontext,
	.mmap = efa_mmap,
	.mmap_free = efa_mmap_free,
	.alloc_pd = efa_alloc_pd,
	.dealloc_pd = efa_dealloc_pd,
	.create_ah = efa_create_ah,
	.create_user_ah = efa_create_ah,
	.destroy_ah = efa_destroy_ah,
	.reg_user_mr = efa_reg_user_mr,
	.reg_user_mr_dmabuf = efa_reg_user_mr_dmabuf,
	.get_dma_mr = efa_get_dma_mr,
	.dereg_mr = efa_dereg_mr,
#ifdef EFA_HAVE_CREATE_USER_CQ
	.create_user_cq = efa_create_cq,
#endif
	.create_cq = efa_create_cq,
	.destroy_cq = efa_destroy_cq,
	.poll_cq = efa_poll_cq,
	.req_notify_cq = efa_req_notify_cq,
	.create_qp = efa_create_qp,
	.modify_qp = efa_modify_qp,
	.query_qp = efa_query_qp,
	.destroy_qp = efa_destroy_qp,
	.post_send = efa_post_send,
	.post_recv = efa_post_recv,

	INIT_RDMA_OBJ_SIZE(ib_ah, efa_ah, ibah),
	INIT_RDMA_OBJ_SIZE(ib_cq, efa_cq, ibcq),
	INIT_RDMA_OBJ_SIZE(ib_pd, efa_pd, ibpd),
	INIT_RDMA_OBJ_SIZE(ib_qp, efa_qp, ibqp),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, efa_ucontext, ibucontext),
};

int efa_register(struct efa_dev *dev)
{
	struct ib_device *ibdev = &dev->ibdev;

	ibdev->node_type = RDMA_NODE_UNSPECIFIED;
	ibdev->node_guid = dev->caps.guid;
	ibdev->phys_port_cnt = 1;
	ibdev->num_comp_vectors = dev->num_eqs ?: 1;
	ibdev->dev.parent = &dev->pdev->dev;
	ibdev->driver_def = efa_mr_uapi;
	ib_set_device_ops(ibdev, &efa_ops);
	return ib_register_device(ibdev, "efa_%d", &dev->pdev->dev);
}
