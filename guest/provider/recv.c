// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: receive requests
 *
 * Buffers go into a ring in memory, one descriptor each; a doorbell says how many there are.
 */
#include "efa.h"

static inline int efa_check_recv(const struct efa_qp *qp, const struct ibv_recv_wr *wr)
{
	const struct efa_wq *wq = &qp->rq.wq;

	if (unlikely(wr->num_sge - 1u >= wq->max_sge))
		return efa_why(qp, EINVAL, "%d SGEs, the queue takes 1 to %u",
			       wr->num_sge, wq->max_sge);
	if (unlikely(!efa_slots_left(&wq->slots)))
		return efa_why(qp, ENOMEM, "the queue has its %u requests", wq->slots.count);
	return 0;
}

static inline void efa_put_recv(struct efa_qp *qp, const struct ibv_recv_wr *wr)
{
	struct efa_rq *rq = &qp->rq;
	const struct ibv_sge *sge = wr->sg_list, *last = sge + wr->num_sge - 1;
	uint16_t id = efa_slots_take(&rq->wq.slots);
	uint32_t ctrl = EFA_IO_RX_FIRST, pc = rq->wq.pc;
	struct efa_io_rx_desc *desc;

	rq->wq.wr_id[id] = wr->wr_id;
	do {
		desc = &rq->ring[pc++ & rq->wq.ring_mask];
		if (sge == last)
			ctrl |= EFA_IO_RX_LAST;
		desc->buf_addr = htole64(sge->addr);
		desc->req_id = htole16(id);
		desc->length = htole16(min_t(uint32_t, sge->length, UINT16_MAX));
		desc->lkey_ctrl = htole32((sge->lkey & EFA_IO_LKEY_MASK) | ctrl);
		ctrl = 0;
	} while (sge++ != last);
	rq->wq.pc = pc;
	if (efa_watches())
		efa_watch_recv(qp, wr, id);
}

int efa_post_recv(struct ibv_qp *ibvqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct efa_qp *qp = to_eqp(ibvqp);
	struct efa_wq *wq = &qp->rq.wq;
	uint32_t before;
	int err = 0;

	efa_lock(&wq->lock);
	before = wq->pc;
	if (unlikely(ibvqp->state == IBV_QPS_RESET || ibvqp->state == IBV_QPS_ERR))
		err = efa_why(qp, EINVAL, "the QP is in state %s",
			      ibvqp->state == IBV_QPS_ERR ? "ERR" : "RESET");
	for (; !err && wr; wr = wr->next) {
		err = efa_check_recv(qp, wr);
		if (unlikely(err))
			break;
		efa_put_recv(qp, wr);
	}
	if (unlikely(err)) {
		*bad = wr;
		efa_refused(qp, "ibv_post_recv", wr ? &wr->wr_id : NULL);
	}
	if (likely(wq->pc != before)) {
		if (efa_watches())
			efa_watch_rq_db(qp, before);
		/* The descriptors are in memory before the device looks. */
		udma_to_device_barrier();
		mmio_write32(wq->db.at, (uint16_t)wq->pc);
	}
	efa_unlock(&wq->lock);
	return err;
}
