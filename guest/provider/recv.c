// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: receive requests
 *
 * Buffers go into a ring in memory, one descriptor each; a doorbell says how
 * many there are.
 */
#include <errno.h>
#include <util/mmio.h>
#include <util/udma_barrier.h>
#include "efa.h"

static int efa_check_recv(const struct efa_qp *qp, const struct ibv_recv_wr *wr)
{
	const struct efa_wq *wq = &qp->rq.wq;

	if (unlikely(wr->num_sge > wq->max_sge || wr->num_sge < 1))
		return efa_why(qp, EINVAL, "%d SGEs, the queue takes 1 to %u",
			       wr->num_sge, wq->max_sge);
	if (unlikely(!wq->num_free))
		return efa_why(qp, ENOMEM, "the queue has its %u requests", wq->count);
	return 0;
}

static void efa_put_recv(struct efa_rq *rq, const struct ibv_recv_wr *wr)
{
	struct efa_wq *wq = &rq->wq;
	uint16_t slot = wq->free[--wq->num_free];
	int i;

	wq->wr_id[slot] = wr->wr_id;
	for (i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];
		uint32_t length = min_t(uint32_t, sge->length, UINT16_MAX);
		uint32_t ctrl = sge->lkey & EFA_IO_LKEY_MASK;

		if (!i)
			ctrl |= EFA_IO_RX_FIRST;
		if (i == wr->num_sge - 1)
			ctrl |= EFA_IO_RX_LAST;
		rq->ring[wq->pc++ & wq->ring_mask] = (struct efa_io_rx_desc) {
			.buf_addr_lo = htole32((uint32_t)sge->addr),
			.buf_addr_hi = htole32((uint32_t)(sge->addr >> 32)),
			.req_id = htole16(i ? 0 : slot | wq->generation),
			.length = htole16(length),
			.lkey_ctrl = htole32(ctrl),
		};
	}
}

int efa_post_recv(struct ibv_qp *ibvqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct efa_qp *qp = to_eqp(ibvqp);
	struct efa_wq *wq = &qp->rq.wq;
	uint16_t pc;
	int err = 0;

	efa_lock(&wq->lock);
	pc = wq->pc;
	if (unlikely(ibvqp->state == IBV_QPS_RESET || ibvqp->state == IBV_QPS_ERR))
		err = efa_why(qp, EINVAL, "the QP is in state %s",
			      ibvqp->state == IBV_QPS_ERR ? "ERR" : "RESET");
	for (; !err && wr; wr = wr->next) {
		err = efa_check_recv(qp, wr);
		if (unlikely(err))
			break;
		efa_put_recv(&qp->rq, wr);
		if (efa_watches())
			efa_watch_recv(qp, wr, wq->free[wq->num_free] | wq->generation);
	}
	if (unlikely(err)) {
		*bad = wr;
		efa_refused(qp, "ibv_post_recv", &wr->wr_id);
	}
	if (likely(wq->pc != pc)) {
		if (efa_watches())
			efa_watch_db(qp, false, pc, wq->pc);
		/* The descriptors are in memory before the device looks. */
		udma_to_device_barrier();
		mmio_write32(wq->db, wq->pc);
	}
	efa_unlock(&wq->lock);
	return err;
}
