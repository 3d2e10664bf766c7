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
	if (wr->num_sge > qp->rq.wq.max_sge || wr->num_sge < 1)
		return EINVAL;
	return qp->rq.wq.num_free ? 0 : ENOMEM;
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

int efa_post_recv(struct ibv_qp *ibvqp, struct ibv_recv_wr *wr,
		  struct ibv_recv_wr **bad)
{
	struct efa_qp *qp = to_eqp(ibvqp);
	struct efa_wq *wq = &qp->rq.wq;
	int err = 0;

	efa_lock(&wq->lock);
	if (unlikely(ibvqp->state == IBV_QPS_RESET ||
		     ibvqp->state == IBV_QPS_ERR)) {
		err = EINVAL;
		*bad = wr;
		goto out;
	}
	for (; wr; wr = wr->next) {
		err = efa_check_recv(qp, wr);
		if (unlikely(err)) {
			*bad = wr;
			break;
		}
		efa_put_recv(&qp->rq, wr);
	}
	if (likely(wq->db)) {
		/* The descriptors are in memory before the device looks. */
		udma_to_device_barrier();
		mmio_write32(wq->db, wq->pc);
	}
out:
	efa_unlock(&wq->lock);
	return err;
}
