// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: completion queues
 *
 * Rings in memory that the device writes and the process reads; the process
 * has a doorbell of its own to ask for an event.
 */
#include <linux/bitfield.h>
#include <linux/log2.h>
#include "efa.h"

/* What the process asks for, judged before it is used. */
static int efa_check_cq(struct efa_dev *dev, const struct efa_cq *cq,
			const struct ib_cq_init_attr *attr,
			const struct efa_abi_create_cq *cmd)
{
	const u8 known = EFA_ABI_CQ_WITH_CHANNEL | EFA_ABI_CQ_WITH_SGID |
			 (dev->caps.device_caps & EFA_CAP_64_BIT_REQ_ID ?
			  EFA_ABI_CQ_WITH_64_BIT_ID : 0);

	if (attr->flags)
		return -EOPNOTSUPP;
	if (attr->cqe < 1 || cq->ibcq.cqe > dev->caps.max_cq_depth ||
	    cq->ibcq.cqe > U16_MAX || !is_power_of_2(cq->ibcq.cqe))
		return -EINVAL;
	if (cmd->comp_mask || (cmd->flags & ~known) ||
	    memchr_inv(cmd->reserved_58, 0, sizeof(cmd->reserved_58)))
		return -EINVAL;
	if (cmd->cq_entry_size != 16 && cmd->cq_entry_size != 32)
		return -EINVAL;
	if ((cmd->flags & EFA_ABI_CQ_WITH_SGID) && cmd->cq_entry_size != 32)
		return -EINVAL;
	if (cmd->num_sub_cqs != dev->caps.sub_cqs)
		return -EINVAL;
	if ((cmd->flags & EFA_ABI_CQ_WITH_CHANNEL) && !dev->num_eqs)
		return -EOPNOTSUPP;
	return 0;
}

static int efa_ask_for_cq(struct efa_dev *dev, struct efa_cq *cq,
			  const struct ib_cq_init_attr *attr,
			  const struct efa_abi_create_cq *cmd,
			  struct efa_create_cq_resp *resp)
{
	struct efa_create_cq_cmd req = {
		.cq_caps_2 = FIELD_PREP(EFA_CQ_ENTRY_WORDS,
					cmd->cq_entry_size / 4),
		.sub_cq_depth = cpu_to_le16(cq->ibcq.cqe),
		.cq_ba_low = cpu_to_le32(lower_32_bits(cq->ring.dma)),
		.cq_ba_high = cpu_to_le32(upper_32_bits(cq->ring.dma)),
		.num_sub_cqs = cpu_to_le16(cmd->num_sub_cqs),
		.uar = cpu_to_le16(cq->uctx->uar),
	};

	if (cmd->flags & EFA_ABI_CQ_WITH_SGID)
		req.cq_caps_2 |= EFA_CQ_SRC_ADDR;
	if (cmd->flags & EFA_ABI_CQ_WITH_64_BIT_ID)
		req.cq_caps_2 |= EFA_CQ_64_BIT_REQ_ID;
	if (cmd->flags & EFA_ABI_CQ_WITH_CHANNEL) {
		cq->eq = &dev->eqs[attr->comp_vector % dev->num_eqs];
		req.cq_caps_1 |= EFA_CQ_INTERRUPT;
		req.eqn = cpu_to_le16(cq->eq->eqn);
	}
	return efa_exec(dev, EFA_ADMIN_CREATE_CQ, &req, sizeof(req), resp,
			sizeof(*resp));
}

/* Tell the process where the ring is, and the doorbell if it needs one. */
static int efa_cq_map(struct efa_dev *dev, struct efa_cq *cq,
		      const struct efa_create_cq_resp *got,
		      struct efa_abi_create_cq_resp *resp)
{
	u32 db = le32_to_cpu(got->db_offset);
	int err;

	resp->cq_idx = cq->idx;
	resp->q_mmap_size = cq->ring.size;
	err = efa_ring_share(&cq->ring, cq->uctx, &resp->q_mmap_key);
	if (err || !(le32_to_cpu(got->flags) & EFA_CQ_DB_VALID))
		return err;
	resp->db_off = offset_in_page(db);
	resp->comp_mask |= EFA_ABI_CQ_RESP_DB_OFF;
	return efa_window_open(dev, &cq->db, cq->uctx, EFA_MMAP_DB, db,
			       sizeof(u32), &resp->db_mmap_key);
}

static int efa_cq_build(struct efa_dev *dev, struct efa_cq *cq,
			const struct ib_cq_init_attr *attr,
			const struct efa_abi_create_cq *cmd,
			struct efa_abi_create_cq_resp *resp)
{
	struct efa_create_cq_resp got;
	int err;

	err = efa_ask_for_cq(dev, cq, attr, cmd, &got);
	if (err)
		return err;
	cq->idx = le16_to_cpu(got.cq_idx);
	/* processes know only what was asked for */
	err = cq->ibcq.uobject || le16_to_cpu(got.sub_cq_actual_depth) ==
				  cq->ibcq.cqe ? 0 : -EIO;
	if (!err)
		err = efa_cq_map(dev, cq, &got, resp);
	if (!err && cq->eq)
		err = xa_err(xa_store_irq(&dev->cqs, cq->idx, cq, GFP_KERNEL));
	if (err && efa_cmd_undo(dev, EFA_ADMIN_DESTROY_CQ, cq->idx))
		err = -EIO;	/* the caller waits until it is gone */
	return err;
}

/* No events of it any more; one may be on its way to the process. */
static void efa_cq_leave(struct efa_dev *dev, struct efa_cq *cq)
{
	if (cq->eq) {
		xa_cmpxchg_irq(&dev->cqs, cq->idx, cq, NULL, GFP_KERNEL);
		synchronize_irq(pci_irq_vector(dev->pdev, cq->eq->vector));
	}
}

static void efa_cq_release(struct efa_dev *dev, struct efa_cq *cq)
{
	efa_cq_leave(dev, cq);
	xa_destroy(&cq->qps);
	efa_window_close(&cq->db);
	efa_ring_free(dev, &cq->ring);
	efa_uctx_put(dev, cq->uctx);
	kfree(cq->counts);
}

static int efa_get_cq_cmd(struct efa_dev *dev, struct efa_cq *cq,
			  const struct ib_cq_init_attr *attr,
			  struct ib_udata *udata, struct efa_abi_create_cq *cmd)
{
	int err;

	cq->ibcq.cqe = attr->cqe;
	if (udata) {
		err = efa_copy_req(udata, cmd, sizeof(*cmd));
		return err ?: efa_check_cq(dev, cq, attr, cmd);
	}
	/* who waits for events would wait for ever */
	if (!dev->num_eqs && cq->ibcq.poll_ctx != IB_POLL_DIRECT)
		return -EOPNOTSUPP;
	*cmd = (struct efa_abi_create_cq) {
		.cq_entry_size = EFA_IO_CDESC_SIZE,
		.num_sub_cqs = dev->caps.sub_cqs,
		.flags = dev->num_eqs ? EFA_ABI_CQ_WITH_CHANNEL : 0,
	};
	if (attr->cqe)
		cq->ibcq.cqe = roundup_pow_of_two(attr->cqe);
	cq->counts = kcalloc(dev->caps.sub_cqs, sizeof(*cq->counts),
			     GFP_KERNEL);
	return cq->counts ? efa_check_cq(dev, cq, attr, cmd) : -ENOMEM;
}

int efa_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		  EFA_CQ_UDATA)
{
	struct ib_udata *udata = EFA_CQ_GET_UDATA;
	struct efa_dev *dev = to_edev(ibcq->device);
	struct efa_cq *cq = to_ecq(ibcq);
	struct efa_abi_create_cq_resp resp = {};
	struct efa_abi_create_cq cmd;
	int err = -EOPNOTSUPP;

	spin_lock_init(&cq->lock);
	xa_init_flags(&cq->qps, XA_FLAGS_LOCK_IRQ);
	if (EFA_CQ_GET_BUFFER)
		goto out;
	err = efa_get_cq_cmd(dev, cq, attr, udata, &cmd);
	if (!err)
		err = efa_ring_alloc(dev, &cq->ring,
				     (size_t)cmd.cq_entry_size * ibcq->cqe *
				     cmd.num_sub_cqs, udata ?
				     DMA_FROM_DEVICE : DMA_BIDIRECTIONAL);
	if (!err)
		err = efa_uctx_get(dev, udata, &cq->uctx);
	if (!err)
		err = efa_new_enter(dev, cq->uctx, &cq->life);
	if (err)
		goto out;
	err = efa_cq_build(dev, cq, attr, &cmd, &resp);
	efa_life_leave(dev);
	if (err) {
		efa_settle(dev, err);
		goto out;
	}
	err = efa_copy_resp(udata, &resp, sizeof(resp));
	if (err)
		efa_forget(dev, cq->life, EFA_ADMIN_DESTROY_CQ, cq->idx, NULL);
out:
	if (err) {
		efa_cq_release(dev, cq);
		efa_count(dev, EFA_CREATE_CQ_ERR);
	}
	return err;
}

int efa_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibcq->device);
	struct efa_cq *cq = to_ecq(ibcq);
	int err;

	efa_cq_leave(dev, cq);
	err = efa_forget(dev, cq->life, EFA_ADMIN_DESTROY_CQ, cq->idx,
			 ibcq->uobject);
	if (!err)
		efa_cq_release(dev, cq);
	return err;
}
