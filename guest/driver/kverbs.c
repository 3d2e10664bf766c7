// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: work of kernel users
 *
 * What the provider does for a process: work requests go to the rings, and
 * completions come back as work completions. SRD completes in any order, so
 * the id that the device echoes names a slot, in which the request's own id
 * waits.
 *
 * Doorbells are rung, with a lock held, only while the life lasts in which
 * their queue was made: an end of it waits for whoever is about to. When the
 * device has been reset, what it still had is flushed here instead.
 *
 * Locks: of a CQ, then of a queue, never two of a kind.
 */
#include <linux/bitfield.h>
#include <linux/log2.h>
#include "efa.h"

/* ---- requests that wait for completion ---- */

static u16 efa_slot_id(const struct efa_wq *wq, u16 slot)
{
	return slot | wq->generation << order_base_2(wq->depth);
}

/* Ids of what was there before are unknown from now on. */
static void efa_wq_reset(struct efa_wq *wq)
{
	unsigned long flags;

	spin_lock_irqsave(&wq->lock, flags);
	bitmap_zero(wq->busy, wq->depth);
	wq->pc = 0;
	wq->generation++;
	spin_unlock_irqrestore(&wq->lock, flags);
}

static int efa_wq_init(struct efa_wq *wq, u16 depth, u16 entries)
{
	spin_lock_init(&wq->lock);
	wq->depth = depth;
	wq->mask = entries - 1;
	/* not what a QP of the same number had before */
	wq->generation = get_random_u32();
	wq->busy = bitmap_zalloc(max_t(u16, depth, 1), GFP_KERNEL);
	wq->wr_id = kvcalloc(max_t(u16, depth, 1), sizeof(u64), GFP_KERNEL);
	return wq->busy && wq->wr_id ? 0 : -ENOMEM;
}

static void efa_wq_exit(struct efa_wq *wq)
{
	bitmap_free(wq->busy);
	kvfree(wq->wr_id);
}

static int efa_wq_take(struct efa_wq *wq, u64 wr_id, u16 *id)
{
	unsigned long slot = find_first_zero_bit(wq->busy, wq->depth);

	if (slot >= wq->depth)
		return -ENOMEM;
	wq->wr_id[slot] = wr_id;
	smp_mb__before_atomic();	/* pairs with efa_wq_give() */
	set_bit(slot, wq->busy);
	*id = efa_slot_id(wq, slot);
	return 0;
}

/* Is @id one that the device has? Then it has it no more. */
static bool efa_wq_give(struct efa_wq *wq, u16 id, u64 *wr_id)
{
	u16 slot = id & (BIT(order_base_2(wq->depth)) - 1);

	if (slot >= wq->depth || !test_bit(slot, wq->busy) ||
	    efa_slot_id(wq, slot) != id)
		return false;
	smp_rmb();
	*wr_id = wq->wr_id[slot];
	clear_bit_unlock(slot, wq->busy);
	return true;
}

int efa_kernel_qp_cmd(struct efa_dev *dev, struct ib_qp_init_attr *attr,
		      struct efa_abi_create_qp *cmd)
{
	const struct efa_caps *caps = &dev->caps;
	struct ib_qp_cap *cap = &attr->cap;
	u32 sge = max(cap->max_recv_sge, 1u);
	u32 sq = roundup_pow_of_two(max3(cap->max_send_wr,
					 (u32)caps->min_sq_depth, 1u));
	u32 rq = cap->max_recv_wr ?
		 roundup_pow_of_two(cap->max_recv_wr * sge) : 0;

	memset(cmd, 0, sizeof(*cmd));
	if (sq > caps->max_sq_depth || rq > caps->max_rq_depth ||
	    sq * EFA_WQE_SIZE > caps->max_llq_size ||
	    max(sq, rq) > BIT(15) || cap->max_inline_data > EFA_IO_TX_INLINE ||
	    cap->max_send_sge > EFA_IO_TX_MAX_BUFS)
		return -EINVAL;
	cap->max_send_wr = sq;
	cap->max_recv_wr = rq / sge;
	cmd->sq_ring_size = sq * EFA_WQE_SIZE;
	cmd->rq_ring_size = rq * sizeof(struct efa_io_rx_desc);
	return 0;
}

int efa_kernel_qp_init(struct efa_qp *qp, const struct efa_abi_create_qp *cmd)
{
	int err = efa_wq_init(&qp->sq, qp->cap.max_send_wr,
			      cmd->sq_ring_size / EFA_WQE_SIZE);

	return err ?: efa_wq_init(&qp->rq, qp->cap.max_recv_wr,
				  cmd->rq_ring_size /
				  sizeof(struct efa_io_rx_desc));
}

int efa_kernel_qp_enter(struct efa_qp *qp)
{
	u32 qpn = qp->ibqp.qp_num;
	int err;

	err = xa_err(xa_store_irq(&to_ecq(qp->ibqp.send_cq)->qps, qpn, qp,
				  GFP_KERNEL));
	return err ?: xa_err(xa_store_irq(&to_ecq(qp->ibqp.recv_cq)->qps, qpn,
					  qp, GFP_KERNEL));
}

static void efa_leave_cq(struct efa_qp *qp, struct efa_cq *cq)
{
	unsigned long flags;

	spin_lock_irqsave(&cq->lock, flags);
	if (xa_load(&cq->qps, qp->ibqp.qp_num) == qp)
		xa_erase(&cq->qps, qp->ibqp.qp_num);
	spin_unlock_irqrestore(&cq->lock, flags);
}

void efa_kernel_qp_leave(struct efa_qp *qp)
{
	efa_leave_cq(qp, to_ecq(qp->ibqp.send_cq));
	efa_leave_cq(qp, to_ecq(qp->ibqp.recv_cq));
}

static void efa_reset_under(struct efa_cq *cq, struct efa_wq *wq)
{
	unsigned long flags;

	spin_lock_irqsave(&cq->lock, flags);
	efa_wq_reset(wq);
	spin_unlock_irqrestore(&cq->lock, flags);
}

void efa_kernel_qp_reset(struct efa_qp *qp)
{
	efa_reset_under(to_ecq(qp->ibqp.send_cq), &qp->sq);
	efa_reset_under(to_ecq(qp->ibqp.recv_cq), &qp->rq);
}

void efa_kernel_qp_exit(struct efa_qp *qp)
{
	efa_wq_exit(&qp->sq);
	efa_wq_exit(&qp->rq);
}

/* ---- send ---- */

static int efa_check_send(struct efa_qp *qp, const struct ib_send_wr *wr)
{
	const struct efa_ah *ah = to_eah(ud_wr(wr)->ah);

	if (wr->opcode != IB_WR_SEND && wr->opcode != IB_WR_SEND_WITH_IMM)
		return -EINVAL;
	/* there is no event that only solicited ones lead to */
	if (wr->send_flags & ~(IB_SEND_SIGNALED | IB_SEND_INLINE |
			       IB_SEND_SOLICITED))
		return -EINVAL;
	/* each has a slot, which a completion has to free */
	if (!qp->signal_all && !(wr->send_flags & IB_SEND_SIGNALED))
		return -EINVAL;
	if (wr->num_sge < 0 || wr->num_sge > qp->cap.max_send_sge)
		return -EINVAL;
	return ah->life == qp->life ? 0 : -EIO;
}

static int efa_fill_inline(const struct efa_qp *qp,
			   const struct ib_send_wr *wr, struct efa_io_tx_wqe *wqe)
{
	u32 len = 0;
	int i;

	for (i = 0; i < wr->num_sge; i++) {
		const struct ib_sge *sge = &wr->sg_list[i];

		if (sge->length > qp->cap.max_inline_data - len)
			return -EINVAL;
		memcpy(wqe->inline_data + len,
		       (void *)(uintptr_t)sge->addr, sge->length);
		len += sge->length;
	}
	wqe->meta.ctrl1 |= EFA_IO_TX_INLINE_MSG;
	wqe->meta.length = cpu_to_le16(len);
	return 0;
}

static int efa_fill_send(struct efa_qp *qp, const struct ib_send_wr *wr,
			 struct efa_io_tx_wqe *wqe)
{
	const struct ib_ud_wr *ud = ud_wr(wr);
	int i;

	wqe->meta.dest_qp_num = cpu_to_le16(ud->remote_qpn);
	wqe->meta.qkey = cpu_to_le32(ud->remote_qkey);
	wqe->meta.ah = cpu_to_le16(to_eah(ud->ah)->ahn);
	if (wr->opcode == IB_WR_SEND_WITH_IMM) {
		wqe->meta.ctrl1 |= EFA_IO_TX_HAS_IMM;
		wqe->meta.immediate_data =
			cpu_to_le32(be32_to_cpu(wr->ex.imm_data));
	}
	if (wr->send_flags & IB_SEND_INLINE)
		return efa_fill_inline(qp, wr, wqe);
	wqe->meta.length = cpu_to_le16(wr->num_sge);
	for (i = 0; i < wr->num_sge; i++) {
		const struct ib_sge *sge = &wr->sg_list[i];

		wqe->sgl[i] = (struct efa_io_tx_buf_desc) {
			.length = cpu_to_le32(sge->length),
			.lkey = cpu_to_le32(sge->lkey & EFA_IO_LKEY_MASK),
			.buf_addr = cpu_to_le64(sge->addr),
		};
	}
	return 0;
}

static int efa_send_one(struct efa_qp *qp, const struct ib_send_wr *wr)
{
	struct efa_io_tx_wqe wqe __aligned(8) = {
		.meta.ctrl1 = EFA_IO_TX_META_DESC,
	};
	struct efa_wq *sq = &qp->sq;
	int err = 0;
	u16 id;

	/* in the error state all is flushed, whatever it is */
	if (READ_ONCE(qp->state) != IB_QPS_ERR) {
		err = efa_check_send(qp, wr);
		if (!err)
			err = efa_fill_send(qp, wr, &wqe);
	}
	if (!err)
		err = efa_wq_take(sq, wr->wr_id, &id);
	if (err)
		return err;
	wqe.meta.req_id = cpu_to_le16(id);
	wqe.meta.ctrl2 = EFA_IO_TX_FIRST | EFA_IO_TX_LAST | EFA_IO_TX_COMP_REQ;
	/* the phase is odd in every other pass over the ring */
	if (sq->pc & (sq->mask + 1))
		wqe.meta.ctrl2 |= EFA_IO_TX_PHASE;
	__iowrite64_copy(qp->llq.io + (sq->pc & sq->mask) * EFA_WQE_SIZE, &wqe,
			 EFA_WQE_SIZE / sizeof(u64));
	sq->pc++;
	return 0;
}

static void efa_ring_sq(struct efa_qp *qp)
{
	wmb();	/* write-combining memory before the doorbell */
	writel(qp->sq.pc, qp->sq_db.io);
}

/* May @qp be given work? Not by the device, any more, unless @alive. */
static int efa_check_post(struct efa_qp *qp, enum ib_qp_state least,
			  bool *alive)
{
	enum ib_qp_state state = READ_ONCE(qp->state);

	*alive = efa_is_alive(to_edev(qp->ibqp.device), qp->life);
	/* so that a drain ends: it is flushed at once */
	if (!*alive && state != IB_QPS_ERR)
		return -EIO;
	return state < least ? -EINVAL : 0;
}

static void efa_kick(struct ib_cq *ibcq)
{
	if (ibcq->comp_handler)
		ibcq->comp_handler(ibcq, ibcq->cq_context);
}

int efa_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		  const struct ib_send_wr **bad)
{
	struct efa_dev *dev = to_edev(ibqp->device);
	struct efa_qp *qp = to_eqp(ibqp);
	unsigned int batch = dev->caps.max_tx_batch ?: U16_MAX;
	unsigned int pending = 0;
	unsigned long flags;
	bool alive;
	u16 id;
	int err;

	/* such a device must not be told of a whole ring at once */
	if (dev->caps.min_sq_depth)
		batch = min_t(unsigned int, batch, max_t(u16, qp->sq.mask, 1));
	spin_lock_irqsave(&qp->sq.lock, flags);
	err = efa_check_post(qp, IB_QPS_RTS, &alive);
	while (!err && wr) {
		err = alive ? efa_send_one(qp, wr) :
			      efa_wq_take(&qp->sq, wr->wr_id, &id);
		if (err)
			break;
		wr = wr->next;
		pending += alive;
		if (pending == batch) {
			efa_ring_sq(qp);
			pending = 0;
		}
	}
	if (pending)
		efa_ring_sq(qp);
	spin_unlock_irqrestore(&qp->sq.lock, flags);
	if (err)
		*bad = wr;
	if (!alive)
		efa_kick(ibqp->send_cq);
	return err;
}

/* ---- receive ---- */

static int efa_recv_one(struct efa_qp *qp, const struct ib_recv_wr *wr)
{
	static const struct ib_sge none;
	struct efa_io_rx_desc *ring = qp->rq_ring.cpu;
	int i, num = max(wr->num_sge, 1);
	struct efa_wq *rq = &qp->rq;
	u16 id;
	int err;

	if (wr->num_sge < 0 || wr->num_sge > qp->cap.max_recv_sge)
		return -EINVAL;
	err = efa_wq_take(rq, wr->wr_id, &id);
	if (err)
		return err;
	for (i = 0; i < num; i++) {
		const struct ib_sge *sge = wr->num_sge ? &wr->sg_list[i] :
							 &none;
		struct efa_io_rx_desc *desc = &ring[rq->pc++ & rq->mask];

		desc->buf_addr = cpu_to_le64(sge->addr);
		desc->req_id = cpu_to_le16(id);
		desc->length = cpu_to_le16(min_t(u32, sge->length, U16_MAX));
		desc->lkey_ctrl =
			cpu_to_le32((sge->lkey & EFA_IO_LKEY_MASK) |
				    (i ? 0 : EFA_IO_RX_FIRST) |
				    (i == num - 1 ? EFA_IO_RX_LAST : 0));
	}
	return 0;
}

int efa_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		  const struct ib_recv_wr **bad)
{
	struct efa_qp *qp = to_eqp(ibqp);
	unsigned long flags;
	u16 before, id;
	bool alive;
	int err;

	spin_lock_irqsave(&qp->rq.lock, flags);
	before = qp->rq.pc;
	err = efa_check_post(qp, IB_QPS_INIT, &alive);
	while (!err && wr) {
		err = alive ? efa_recv_one(qp, wr) :
			      efa_wq_take(&qp->rq, wr->wr_id, &id);
		if (!err)
			wr = wr->next;
	}
	if (qp->rq.pc != before) {
		dma_wmb();	/* the ring before the doorbell */
		writel(qp->rq.pc, qp->rq_db.io);
	}
	spin_unlock_irqrestore(&qp->rq.lock, flags);
	if (err)
		*bad = wr;
	if (!alive)
		efa_kick(ibqp->recv_cq);
	return err;
}

/* ---- completions ---- */

#define EFA_WC_STATUS(name, value, wc) case value: return IB_WC_##wc;

static enum ib_wc_status efa_wc_status(u8 status)
{
	switch (status) {
	EFA_IO_COMP_STATUSES(EFA_WC_STATUS)
	default:
		return IB_WC_GENERAL_ERR;
	}
}

/* The next completion of any of the rings; only @take moves on. */
static const struct efa_io_cdesc *efa_next_cqe(struct efa_cq *cq, bool take)
{
	unsigned int i, n = to_edev(cq->ibcq.device)->caps.sub_cqs;
	const struct efa_io_cdesc *cqe;
	u32 depth = cq->ibcq.cqe;

	for (i = 0; i < n; i++) {
		u32 *count = &cq->counts[(cq->consumed + i) % n];
		bool phase = !(*count / depth & 1);

		cqe = cq->ring.cpu + EFA_IO_CDESC_SIZE *
		      ((count - cq->counts) * depth + *count % depth);
		if ((READ_ONCE(cqe->flags) & EFA_IO_CDESC_PHASE) != phase)
			continue;
		dma_rmb();	/* the phase was written last */
		*count += take;
		cq->consumed += take;
		return cqe;
	}
	return NULL;
}

/* False for a completion of what has ended meanwhile. */
static bool efa_fill_wc(struct efa_cq *cq, const struct efa_io_cdesc *cqe,
			struct ib_wc *wc)
{
	bool is_send = cqe->flags & EFA_IO_CDESC_Q_SEND;
	struct efa_qp *qp = xa_load(&cq->qps, le16_to_cpu(cqe->qp_num));

	memset(wc, 0, sizeof(*wc));
	if (!qp || &cq->ibcq != (is_send ? qp->ibqp.send_cq :
					   qp->ibqp.recv_cq))
		return false;
	wc->qp = &qp->ibqp;
	wc->port_num = 1;
	wc->vendor_err = cqe->status;
	wc->status = efa_wc_status(cqe->status);
	wc->opcode = IB_WC_SEND;
	if (!is_send) {
		wc->opcode = efa_io_op_of(cqe) == EFA_IO_RDMA_WRITE ?
			     IB_WC_RECV_RDMA_WITH_IMM : IB_WC_RECV;
		wc->byte_len = le16_to_cpu(cqe->rx.length);
		wc->src_qp = le16_to_cpu(cqe->rx.src_qp_num);
		wc->slid = le16_to_cpu(cqe->rx.ah);
		if (cqe->flags & EFA_IO_CDESC_HAS_IMM) {
			wc->wc_flags = IB_WC_WITH_IMM;
			wc->ex.imm_data = cpu_to_be32(le32_to_cpu(cqe->imm));
		}
	}
	/* Last: then another may be posted, and the entry written over. */
	return efa_wq_give(is_send ? &qp->sq : &qp->rq,
			   le16_to_cpu(cqe->req_id), &wc->wr_id);
}

/* What the device had when it was reset; none of @wc: only see if there is. */
static int efa_flush_wq(struct efa_qp *qp, struct efa_wq *wq,
			enum ib_wc_opcode opcode, int num, struct ib_wc *wc)
{
	unsigned long slot;
	int got = 0;

	for_each_set_bit(slot, wq->busy, wq->depth) {
		if (got == num)
			break;
		smp_rmb();	/* pairs with efa_wq_take() */
		if (wc) {
			wc[got] = (struct ib_wc) {
				.wr_id = wq->wr_id[slot],
				.status = IB_WC_WR_FLUSH_ERR,
				.vendor_err = EFA_IO_COMP_FLUSHED,
				.opcode = opcode,
				.qp = &qp->ibqp,
				.port_num = 1,
			};
			clear_bit_unlock(slot, wq->busy);
		}
		got++;
	}
	return got;
}

static int efa_flush_cq(struct efa_cq *cq, int num, struct ib_wc *wc)
{
	struct efa_qp *qp;
	unsigned long i;
	int got = 0;

	if (cq->life >= READ_ONCE(to_edev(cq->ibcq.device)->first_held))
		return 0;
	xa_for_each(&cq->qps, i, qp) {
		if (qp->ibqp.send_cq == &cq->ibcq)
			got += efa_flush_wq(qp, &qp->sq, IB_WC_SEND, num - got,
					    wc ? wc + got : NULL);
		if (qp->ibqp.recv_cq == &cq->ibcq)
			got += efa_flush_wq(qp, &qp->rq, IB_WC_RECV, num - got,
					    wc ? wc + got : NULL);
	}
	return got;
}

int efa_poll_cq(struct ib_cq *ibcq, int num, struct ib_wc *wc)
{
	struct efa_cq *cq = to_ecq(ibcq);
	const struct efa_io_cdesc *cqe;
	unsigned long flags;
	int got = 0;

	spin_lock_irqsave(&cq->lock, flags);
	while (got < num) {
		cqe = efa_next_cqe(cq, true);
		if (!cqe)
			break;
		got += efa_fill_wc(cq, cqe, wc + got);
	}
	if (got < num)
		got += efa_flush_cq(cq, num - got, wc + got);
	spin_unlock_irqrestore(&cq->lock, flags);
	return got;
}

int efa_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags notify)
{
	struct efa_cq *cq = to_ecq(ibcq);
	unsigned long flags;
	int ret = 0;

	if (!cq->eq || !cq->db.io)
		return -EOPNOTSUPP;
	spin_lock_irqsave(&cq->lock, flags);
	if (efa_is_alive(to_edev(ibcq->device), cq->life))
		writel((cq->consumed & 0xffff) |
		       (READ_ONCE(cq->events) & EFA_IO_CQ_DB_SN_MASK) <<
		       EFA_IO_CQ_DB_SN_SHIFT | EFA_IO_CQ_DB_ARM, cq->db.io);
	if (notify & IB_CQ_REPORT_MISSED_EVENTS)
		ret = efa_next_cqe(cq, false) || efa_flush_cq(cq, 1, NULL);
	spin_unlock_irqrestore(&cq->lock, flags);
	return ret;
}
