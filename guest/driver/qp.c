// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: queue pairs
 *
 * UD as in InfiniBand, and SRD, which has the states of UD and may say how
 * often to try again when the receiver is not ready. The send queue is device
 * memory that the process writes, the receive queue a ring in memory.
 */
#include <linux/log2.h>
#include "efa.h"

/* ---- creation ---- */

static int efa_check_init(const struct efa_dev *dev,
			  const struct ib_qp_init_attr *attr)
{
	const struct efa_caps *caps = &dev->caps;

	if (attr->qp_type != IB_QPT_UD && attr->qp_type != IB_QPT_DRIVER)
		return -EOPNOTSUPP;
	if (attr->srq || attr->create_flags)
		return -EOPNOTSUPP;
	if (attr->cap.max_send_wr > caps->max_sq_depth ||
	    attr->cap.max_recv_wr > caps->max_rq_depth ||
	    attr->cap.max_send_sge > caps->max_send_sge ||
	    attr->cap.max_recv_sge > caps->max_recv_sge ||
	    attr->cap.max_inline_data > caps->inline_size_ex)
		return -EINVAL;
	return 0;
}

static int efa_check_qp_cmd(const struct efa_dev *dev,
			    const struct ib_qp_init_attr *attr,
			    const struct efa_abi_create_qp *cmd)
{
	u16 known = 0;

	if (dev->caps.device_caps & EFA_CAP_UNSOLICITED_WRITE_RECV)
		known |= EFA_ABI_QP_UNSOLICITED;
	if (dev->caps.device_caps & EFA_CAP_64_BIT_REQ_ID)
		known |= EFA_ABI_QP_64_BIT_ID;
	if (cmd->comp_mask ||
	    memchr_inv(cmd->reserved_98, 0, sizeof(cmd->reserved_98)))
		return -EINVAL;
	if (cmd->flags & ~known)
		return -EOPNOTSUPP;
	if (attr->qp_type == IB_QPT_DRIVER &&
	    cmd->driver_qp_type != EFA_ABI_DRIVER_QP_SRD)
		return -EOPNOTSUPP;
	/* what the device would refuse, or we could not allocate */
	if (cmd->sq_ring_size > dev->caps.max_llq_size ||
	    cmd->rq_ring_size > 16ull *
			roundup_pow_of_two(max(dev->caps.max_rq_depth, 1u)))
		return -EINVAL;
	return 0;
}

static int efa_ask_for_qp(struct efa_dev *dev, struct efa_qp *qp,
			  const struct ib_qp_init_attr *attr,
			  const struct efa_abi_create_qp *cmd,
			  struct efa_create_qp_resp *resp)
{
	struct efa_create_qp_cmd req = {
		.pd = cpu_to_le16(to_epd(qp->ibqp.pd)->pdn),
		.qp_type = attr->qp_type == IB_QPT_UD ? EFA_QP_UD : EFA_QP_SRD,
		.rq_base_addr = cpu_to_le64(qp->rq_ring.dma),
		.send_cq_idx = cpu_to_le32(to_ecq(attr->send_cq)->idx),
		.recv_cq_idx = cpu_to_le32(to_ecq(attr->recv_cq)->idx),
		.send_queue_ring_size = cpu_to_le32(cmd->sq_ring_size),
		.send_queue_depth = cpu_to_le32(attr->cap.max_send_wr),
		.recv_queue_ring_size = cpu_to_le32(cmd->rq_ring_size),
		.recv_queue_depth = cpu_to_le32(attr->cap.max_recv_wr),
		.uar = cpu_to_le16(qp->uctx->uar),
		.sl = cmd->sl,
	};

	if (cmd->flags & EFA_ABI_QP_UNSOLICITED)
		req.flags |= EFA_CREATE_QP_UNSOLICITED;
	if (cmd->flags & EFA_ABI_QP_64_BIT_ID)
		req.flags |= EFA_CREATE_QP_64_BIT_REQ_ID;
	return efa_exec(dev, EFA_ADMIN_CREATE_QP, &req, sizeof(req), resp,
			sizeof(*resp));
}

/* Tell the process where doorbells and queues are. */
static int efa_qp_map(struct efa_dev *dev, struct efa_qp *qp,
		      u32 sq_ring_size,
		      const struct efa_create_qp_resp *got,
		      struct efa_abi_create_qp_resp *resp)
{
	u32 llq = le32_to_cpu(got->llq_descriptors_offset);
	u32 sq_db = le32_to_cpu(got->sq_db_offset);
	u32 rq_db = le32_to_cpu(got->rq_db_offset);
	int err;

	resp->sq_db_offset = offset_in_page(sq_db);
	resp->llq_desc_offset = offset_in_page(llq);
	resp->send_sub_cq_idx = le16_to_cpu(got->send_sub_cq_idx);
	resp->recv_sub_cq_idx = le16_to_cpu(got->recv_sub_cq_idx);
	err = efa_window_open(dev, &qp->sq_db, qp->uctx, EFA_MMAP_DB, sq_db,
			      sizeof(u32), &resp->sq_db_mmap_key);
	if (!err)
		err = efa_window_open(dev, &qp->llq, qp->uctx, EFA_MMAP_LLQ,
				      llq, sq_ring_size,
				      &resp->llq_desc_mmap_key);
	if (err || !qp->rq_ring.cpu)
		return err;
	resp->rq_db_offset = offset_in_page(rq_db);
	resp->rq_mmap_size = qp->rq_ring.size;
	err = efa_window_open(dev, &qp->rq_db, qp->uctx, EFA_MMAP_DB, rq_db,
			      sizeof(u32), &resp->rq_db_mmap_key);
	return err ?: efa_ring_share(&qp->rq_ring, qp->uctx,
				     &resp->rq_mmap_key);
}

/* Events find it, and completions, if it is the kernel's. */
static int efa_qp_enter(struct efa_dev *dev, struct efa_qp *qp)
{
	int err = xa_err(xa_store(&dev->qps, qp->ibqp.qp_num, qp, GFP_KERNEL));

	return err || qp->ibqp.uobject ? err : efa_kernel_qp_enter(qp);
}

/* ... and do so no more. */
static void efa_qp_leave(struct efa_dev *dev, struct efa_qp *qp)
{
	xa_cmpxchg(&dev->qps, qp->ibqp.qp_num, qp, NULL, GFP_KERNEL);
	if (!qp->ibqp.uobject)
		efa_kernel_qp_leave(qp);
}

static int efa_qp_build(struct efa_dev *dev, struct efa_qp *qp,
			const struct ib_qp_init_attr *attr,
			const struct efa_abi_create_qp *cmd,
			struct efa_abi_create_qp_resp *resp)
{
	struct efa_create_qp_resp got;
	int err;

	err = efa_ask_for_qp(dev, qp, attr, cmd, &got);
	if (err)
		return err;
	qp->handle = le32_to_cpu(got.qp_handle);
	qp->ibqp.qp_num = le16_to_cpu(got.qp_num);
	err = efa_qp_map(dev, qp, cmd->sq_ring_size, &got, resp);
	if (!err)
		err = efa_qp_enter(dev, qp);
	if (err && efa_cmd_undo(dev, EFA_ADMIN_DESTROY_QP, qp->handle))
		err = -EIO;	/* the caller waits until it is gone */
	return err;
}

static void efa_qp_release(struct efa_dev *dev, struct efa_qp *qp)
{
	efa_qp_leave(dev, qp);
	if (!qp->ibqp.uobject)
		efa_kernel_qp_exit(qp);
	efa_window_close(&qp->rq_db);
	efa_window_close(&qp->llq);
	efa_window_close(&qp->sq_db);
	efa_ring_free(dev, &qp->rq_ring);
	efa_uctx_put(dev, qp->uctx);
}

static int efa_get_qp_cmd(struct efa_dev *dev,
			  struct ib_qp_init_attr *attr,
			  struct ib_udata *udata, struct efa_abi_create_qp *cmd)
{
	int err;

	if (!udata)
		return efa_kernel_qp_cmd(dev, attr, cmd);
	if (udata->inlen < offsetofend(struct efa_abi_create_qp,
				       driver_qp_type))
		return -EINVAL;
	err = efa_copy_req(udata, cmd, sizeof(*cmd));
	return err ?: efa_check_qp_cmd(dev, attr, cmd);
}

int efa_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *attr,
		  struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibqp->device);
	struct efa_qp *qp = to_eqp(ibqp);
	struct efa_abi_create_qp_resp resp = {};
	struct efa_abi_create_qp cmd;
	int err;

	err = efa_check_init(dev, attr);
	if (!err)
		err = efa_get_qp_cmd(dev, attr, udata, &cmd);
	if (!err && cmd.rq_ring_size)
		err = efa_ring_alloc(dev, &qp->rq_ring, cmd.rq_ring_size,
				     udata ? DMA_TO_DEVICE :
					     DMA_BIDIRECTIONAL);
	if (err)
		goto out;
	qp->life = to_epd(ibqp->pd)->life;
	/* in another life its number is another's */
	if (to_ecq(attr->send_cq)->life != qp->life ||
	    to_ecq(attr->recv_cq)->life != qp->life)
		err = -EIO;
	qp->state = IB_QPS_RESET;
	qp->cap = attr->cap;
	qp->signal_all = attr->sq_sig_type == IB_SIGNAL_ALL_WR;
	if (!err && !udata)
		err = efa_kernel_qp_init(qp, &cmd);
	if (!err)
		err = efa_uctx_get(dev, udata, &qp->uctx);
	if (!err)
		err = efa_life_enter(dev, qp->life);
	if (err)
		goto out;
	err = efa_qp_build(dev, qp, attr, &cmd, &resp);
	efa_life_leave(dev);
	if (err) {
		efa_settle(dev, err);
		goto out;
	}
	err = efa_copy_resp(udata, &resp, sizeof(resp));
	if (err)
		efa_forget(dev, qp->life, EFA_ADMIN_DESTROY_QP, qp->handle,
			   NULL);
out:
	if (err) {
		efa_qp_release(dev, qp);
		efa_count(dev, EFA_CREATE_QP_ERR);
	}
	return err;
}

int efa_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibqp->device);
	struct efa_qp *qp = to_eqp(ibqp);
	int err;

	efa_qp_leave(dev, qp);
	err = efa_forget(dev, qp->life, EFA_ADMIN_DESTROY_QP, qp->handle,
			 ibqp->uobject);
	if (!err)
		efa_qp_release(dev, qp);
	return err;
}

/* ---- states ---- */

#define EFA_MODIFY_MASK (IB_QP_STATE | IB_QP_CUR_STATE | \
			 IB_QP_EN_SQD_ASYNC_NOTIFY | IB_QP_PKEY_INDEX | \
			 IB_QP_PORT | IB_QP_QKEY | IB_QP_SQ_PSN | \
			 IB_QP_RNR_RETRY)

/* As UD, and how often to try again can be said on the way to RTS. */
static bool efa_srd_modify_is_ok(enum ib_qp_state from, enum ib_qp_state to,
				 int mask)
{
	if ((mask & IB_QP_RNR_RETRY) &&
	    !(from == IB_QPS_RTR && to == IB_QPS_RTS))
		return false;
	return ib_modify_qp_is_ok(from, to, IB_QPT_UD, mask & ~IB_QP_RNR_RETRY);
}

static int efa_check_modify(struct efa_dev *dev, struct efa_qp *qp,
			    const struct ib_qp_attr *attr, int mask,
			    enum ib_qp_state from, enum ib_qp_state to)
{
	bool ok;

	if (mask & ~EFA_MODIFY_MASK)
		return -EOPNOTSUPP;
	if (qp->ibqp.qp_type == IB_QPT_DRIVER)
		ok = efa_srd_modify_is_ok(from, to, mask);
	else
		ok = ib_modify_qp_is_ok(from, to, IB_QPT_UD, mask);
	if (!ok)
		return -EINVAL;
	if ((mask & IB_QP_PORT) && attr->port_num != 1)
		return -EINVAL;
	if ((mask & IB_QP_PKEY_INDEX) && attr->pkey_index)
		return -EOPNOTSUPP;
	return 0;
}

int efa_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		  struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibqp->device);
	struct efa_qp *qp = to_eqp(ibqp);
	enum ib_qp_state from = mask & IB_QP_CUR_STATE ? attr->cur_qp_state
							: qp->state;
	enum ib_qp_state to = mask & IB_QP_STATE ? attr->qp_state : from;
	struct efa_modify_qp_cmd req = { .qp_handle = cpu_to_le32(qp->handle) };
	u32 what = 0;
	int err;

	err = efa_no_req(udata);
	if (err)
		return err;
	err = efa_check_modify(dev, qp, attr, mask, from, to);
	if (err)
		return err;
	if (mask & IB_QP_STATE) {
		what |= EFA_MODIFY_QP_STATE | EFA_MODIFY_QP_CUR_STATE;
		req.qp_state = cpu_to_le32(to);
		req.cur_qp_state = cpu_to_le32(from);
	}
	if (mask & IB_QP_EN_SQD_ASYNC_NOTIFY) {
		what |= EFA_MODIFY_QP_SQ_DRAINED;
		req.sq_drained_async_notify = !!attr->en_sqd_async_notify;
	}
	if (mask & IB_QP_QKEY) {
		what |= EFA_MODIFY_QP_QKEY;
		req.qkey = cpu_to_le32(attr->qkey);
	}
	if (mask & IB_QP_SQ_PSN) {
		what |= EFA_MODIFY_QP_SQ_PSN;
		req.sq_psn = cpu_to_le32(attr->sq_psn);
	}
	if (mask & IB_QP_RNR_RETRY) {
		what |= EFA_MODIFY_QP_RNR_RETRY;
		req.rnr_retry = attr->rnr_retry;
	}
	req.modify_mask = cpu_to_le32(what);

	err = efa_life_enter(dev, qp->life);
	if (!err) {
		err = efa_exec(dev, EFA_ADMIN_MODIFY_QP, &req, sizeof(req),
			       NULL, 0);
		if (!err)
			WRITE_ONCE(qp->state, to);
		if (!err && to == IB_QPS_RESET && !ibqp->uobject)
			efa_kernel_qp_reset(qp);
		efa_life_leave(dev);
	}
	/* so that what a device had that is lost can be drained */
	if (err && to == IB_QPS_ERR && !ibqp->uobject) {
		err = efa_settle(dev, err);
		if (!err)
			WRITE_ONCE(qp->state, to);
	}
	return err;
}

#define EFA_QUERY_MASK (IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | \
			IB_QP_QKEY | IB_QP_SQ_PSN | IB_QP_CAP | \
			IB_QP_RNR_RETRY)

int efa_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		 struct ib_qp_init_attr *init)
{
	struct efa_dev *dev = to_edev(ibqp->device);
	struct efa_qp *qp = to_eqp(ibqp);
	struct efa_handle_cmd req = { .handle = cpu_to_le32(qp->handle) };
	struct efa_query_qp_resp resp;
	int err;

	if (mask & ~EFA_QUERY_MASK)
		return -EOPNOTSUPP;
	memset(attr, 0, sizeof(*attr));
	memset(init, 0, sizeof(*init));
	err = efa_life_enter(dev, qp->life);
	if (err)
		return err;
	err = efa_exec(dev, EFA_ADMIN_QUERY_QP, &req, sizeof(req), &resp,
		       sizeof(resp));
	efa_life_leave(dev);
	if (err)
		return err;
	attr->qp_state = le32_to_cpu(resp.qp_state);
	attr->cur_qp_state = attr->qp_state;
	attr->qkey = le32_to_cpu(resp.qkey);
	attr->sq_psn = le32_to_cpu(resp.sq_psn);
	attr->sq_draining = resp.sq_draining;
	attr->rnr_retry = resp.rnr_retry;
	attr->port_num = 1;
	attr->cap = qp->cap;

	init->qp_type = ibqp->qp_type;
	init->recv_cq = ibqp->recv_cq;
	init->send_cq = ibqp->send_cq;
	init->qp_context = ibqp->qp_context;
	init->cap = attr->cap;
	return 0;
}
