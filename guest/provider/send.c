// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: send requests
 *
 * WQEs are made in memory that is fast to write, and go to the device's in one
 * sweep: ibv_wr_start() takes the lock, each ibv_wr_ function stages a WQE,
 * ibv_wr_complete() copies all and rings. A batch that is refused or aborted
 * has never been there. ibv_post_send() is made of the same parts.
 */
#include <errno.h>
#include <string.h>
#include <util/mmio.h>
#include <util/udma_barrier.h>
#include "efa.h"
#include "ring.h"

/* ---- to the device ---- */

/*
 * Copy what is staged into the send queue, and announce it: no more at a time
 * than the device takes.
 */
static void efa_submit(struct efa_qp *qp)
{
	struct efa_sq *sq = &qp->sq;
	const uint8_t *from = sq->staged;
	struct efa_wq *wq = &sq->wq;
	uint16_t left = sq->num_staged;

	while (left) {
		uint16_t batch = min_t(uint16_t, left, sq->max_batch);

		if (efa_watches())
			efa_watch_db(qp, true, wq->pc, wq->pc + batch);
		/* Write-combining stores keep behind those to memory before. */
		mmio_wc_start();
		for (left -= batch; batch; batch--) {
			mmio_memcpy_x64(sq->llq + (size_t)sq->wqe_size *
					(wq->pc & wq->ring_mask), from, sq->wqe_size);
			from += sq->wqe_size;
			wq->pc++;
		}
		/* All of the WQEs reach the device before their doorbell. */
		mmio_flush_writes();
		mmio_write32(wq->db, wq->pc);
	}
	sq->num_staged = 0;
}

/* Nothing of it has happened. */
static void efa_drop_staged(struct efa_sq *sq)
{
	struct efa_wq *wq = &sq->wq;

	/* the slots are where they were taken from, in reverse */
	wq->num_free += sq->num_staged;
	sq->num_staged = 0;
}

/* ---- one WQE ---- */

static int efa_check_send(const struct efa_qp *qp, unsigned int flags)
{
	if (unlikely(flags & ~(IBV_SEND_SIGNALED | IBV_SEND_INLINE)))
		return efa_why(qp, EINVAL, "send flags 0x%x: EFA has SIGNALED and INLINE", flags);
	if (unlikely(!(flags & IBV_SEND_SIGNALED) && !qp->sq.signal_all))
		return efa_why(qp, EINVAL, "without IBV_SEND_SIGNALED: EFA completes all");
	if (unlikely(!qp->sq.wq.num_free))
		return efa_why(qp, ENOMEM, "the queue has its %u requests", qp->sq.wq.count);
	return 0;
}

static void efa_set_id(struct efa_sq *sq, struct efa_io_tx_meta_desc *meta, uint64_t wr_id)
{
	struct efa_wq *wq = &sq->wq;
	uint16_t slot;

	if (sq->wide_ids) {
		wq->num_free--;
		meta->req_id = htole16((uint16_t)wr_id);
		meta->req_id_ex[0] = htole16((uint16_t)(wr_id >> 16));
		meta->req_id_ex[1] = htole16((uint16_t)(wr_id >> 32));
		meta->req_id_ex[2] = htole16((uint16_t)(wr_id >> 48));
		return;
	}
	slot = wq->free[--wq->num_free];
	wq->wr_id[slot] = wr_id;
	meta->req_id = htole16(slot | wq->generation);
}

/* The next WQE, zero but for what all have; NULL and the error in @sq. */
static struct efa_io_tx_wqe *efa_stage(struct efa_qp *qp, uint64_t wr_id,
				       unsigned int flags, enum efa_io_op op)
{
	struct efa_sq *sq = &qp->sq;
	struct efa_io_tx_wqe *wqe;
	uint16_t at = sq->wq.pc + sq->num_staged;

	if (likely(!sq->err))
		sq->err = efa_check_send(qp, flags);
	if (unlikely(sq->err)) {
		sq->cur = NULL;
		return NULL;
	}
	wqe = (struct efa_io_tx_wqe *)(sq->staged + (size_t)sq->wqe_size *
				       sq->num_staged++);
	memset(wqe, 0, sq->wqe_size);
	efa_set_id(sq, &wqe->meta, wr_id);
	wqe->meta.ctrl1 = EFA_IO_TX_META_DESC | op;
	wqe->meta.ctrl2 = EFA_IO_TX_FIRST | EFA_IO_TX_LAST | EFA_IO_TX_COMP_REQ |
			  (efa_odd_round(at, sq->wq.ring_mask) ? EFA_IO_TX_PHASE : 0);
	sq->cur = wqe;
	return wqe;
}

static enum efa_io_op efa_op(const struct efa_io_tx_wqe *wqe)
{
	return wqe->meta.ctrl1 & 0xf;
}

static void efa_set_imm(struct efa_io_tx_wqe *wqe, __be32 imm)
{
	wqe->meta.ctrl1 |= EFA_IO_TX_HAS_IMM;
	wqe->meta.immediate_data = htole32(be32toh(imm));
}

static void efa_set_dest(struct efa_io_tx_wqe *wqe, const struct ibv_ah *ah,
			 uint32_t qpn, uint32_t qkey)
{
	wqe->meta.ah = htole16(container_of(ah, struct efa_ah, ibvah)->ahn);
	wqe->meta.dest_qp_num = htole16(qpn);
	wqe->meta.qkey = htole32(qkey);
}

static void efa_set_remote(struct efa_io_tx_wqe *wqe, uint32_t rkey, uint64_t addr)
{
	wqe->rdma.remote_mem.rkey = htole32(rkey);
	wqe->rdma.remote_mem.buf_addr_lo = htole32((uint32_t)addr);
	wqe->rdma.remote_mem.buf_addr_hi = htole32((uint32_t)(addr >> 32));
}

static void efa_set_buf(struct efa_io_tx_buf_desc *buf, uint32_t lkey,
			uint64_t addr, uint32_t length)
{
	buf->length = htole32(length);
	buf->lkey = htole32(lkey & EFA_IO_LKEY_MASK);
	buf->buf_addr_lo = htole32((uint32_t)addr);
	buf->buf_addr_hi = htole32((uint32_t)(addr >> 32));
}

static void efa_set_sges(struct efa_qp *qp, struct efa_io_tx_wqe *wqe,
			 size_t num, const struct ibv_sge *sge)
{
	struct efa_sq *sq = &qp->sq;
	bool send = efa_op(wqe) == EFA_IO_SEND;
	size_t max = send ? sq->wq.max_sge : sq->max_rdma_sge, i;
	uint32_t total = 0;

	if (unlikely(num > max)) {
		sq->err = efa_why(qp, EINVAL, "%zu SGEs, the queue takes %zu", num, max);
		return;
	}
	wqe->meta.length = htole16(num);
	for (i = 0; i < num; i++) {
		efa_set_buf(send ? &wqe->sgl[i] : &wqe->rdma.local_mem,
			    sge[i].lkey, sge[i].addr, sge[i].length);
		total += sge[i].length;
	}
	if (!send)
		wqe->rdma.remote_mem.length = htole32(total);
}

static void efa_set_inline(struct efa_qp *qp, struct efa_io_tx_wqe *wqe,
			   size_t num, const struct ibv_data_buf *buf)
{
	struct efa_sq *sq = &qp->sq;
	bool send = efa_op(wqe) == EFA_IO_SEND;
	size_t room = send ? sq->max_inline : sq->max_inline_rdma;
	uint8_t *to = send ? wqe->inline_data : wqe->rdma.inline_data;
	size_t total = 0, i;

	/* what was read cannot be in the request for it */
	if (unlikely(efa_op(wqe) == EFA_IO_RDMA_READ || (!send && !room))) {
		sq->err = efa_why(qp, EINVAL, "inline data, which the queue takes for sends only");
		return;
	}
	for (i = 0; i < num; i++) {
		if (unlikely(buf[i].length > room - total)) {
			sq->err = efa_why(qp, EINVAL, "%zu bytes of inline data, the queue takes "
					  "%zu", total + buf[i].length, room);
			return;
		}
		memcpy(to + total, buf[i].addr, buf[i].length);
		total += buf[i].length;
	}
	wqe->meta.ctrl1 |= EFA_IO_TX_INLINE_MSG;
	wqe->meta.length = htole16(total);
	if (!send)
		wqe->rdma.remote_mem.length = htole32(total);
}

/* ---- ibv_post_send ---- */

static int efa_check_state(const struct efa_qp *qp)
{
	enum ibv_qp_state state = qp->vqp.qp.state;

	if (likely(state == IBV_QPS_RTS || state == IBV_QPS_SQD))
		return 0;
	return efa_why(qp, EINVAL, "the QP is in state %d, not IBV_QPS_RTS (%d)", state,
		       IBV_QPS_RTS);
}

static void efa_inline_sges(struct efa_qp *qp, struct efa_io_tx_wqe *wqe,
			    const struct ibv_send_wr *wr)
{
	struct ibv_data_buf buf[EFA_IO_TX_MAX_BUFS];
	int i;

	if (wr->num_sge > EFA_IO_TX_MAX_BUFS) {
		qp->sq.err = efa_why(qp, EINVAL, "%d SGEs inline, %d are possible", wr->num_sge,
				     EFA_IO_TX_MAX_BUFS);
		return;
	}
	for (i = 0; i < wr->num_sge; i++) {
		buf[i].addr = (void *)(uintptr_t)wr->sg_list[i].addr;
		buf[i].length = wr->sg_list[i].length;
	}
	efa_set_inline(qp, wqe, wr->num_sge, buf);
}

static int efa_post_one(struct efa_qp *qp, const struct ibv_send_wr *wr)
{
	struct efa_sq *sq = &qp->sq;
	struct efa_io_tx_wqe *wqe;

	if (wr->opcode != IBV_WR_SEND && wr->opcode != IBV_WR_SEND_WITH_IMM)
		return efa_why(qp, EINVAL, "opcode %d: only ibv_wr_ functions have others than "
			       "sends on EFA", wr->opcode);
	sq->err = 0;
	wqe = efa_stage(qp, wr->wr_id, wr->send_flags, EFA_IO_SEND);
	if (!wqe)
		return sq->err;
	efa_set_dest(wqe, wr->wr.ud.ah, wr->wr.ud.remote_qpn, wr->wr.ud.remote_qkey);
	if (wr->opcode == IBV_WR_SEND_WITH_IMM)
		efa_set_imm(wqe, wr->imm_data);
	if (wr->send_flags & IBV_SEND_INLINE)
		efa_inline_sges(qp, wqe, wr);
	else
		efa_set_sges(qp, wqe, wr->num_sge, wr->sg_list);
	if (sq->err) {
		/* only this one has not happened */
		sq->wq.num_free++;
		sq->num_staged--;
	}
	return sq->err;
}

int efa_post_send(struct ibv_qp *ibvqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct efa_qp *qp = to_eqp(ibvqp);
	int err;

	efa_lock(&qp->sq.wq.lock);
	err = efa_check_state(qp);
	for (; !err && wr; wr = wr->next) {
		err = efa_post_one(qp, wr);
		if (unlikely(err))
			break;
	}
	if (unlikely(err)) {
		*bad = wr;
		efa_refused(qp, "ibv_post_send", &wr->wr_id);
	}
	if (efa_watches())
		efa_watch_send(qp, "ibv_post_send");
	efa_submit(qp);
	efa_unlock(&qp->sq.wq.lock);
	return err;
}

/* ---- ibv_wr_ ---- */

static void efa_wr_start(struct ibv_qp_ex *ex)
{
	struct efa_sq *sq = &to_eqp_ex(ex)->sq;

	efa_lock(&sq->wq.lock);
	sq->num_staged = 0;
	sq->err = efa_check_state(to_eqp_ex(ex));
	sq->cur = NULL;
}

static int efa_wr_complete(struct ibv_qp_ex *ex)
{
	struct efa_qp *qp = to_eqp_ex(ex);
	struct efa_sq *sq = &qp->sq;
	int err = sq->err;

	if (likely(!err)) {
		if (efa_watches())
			efa_watch_send(qp, "ibv_wr_complete");
		efa_submit(qp);
	} else {
		efa_refused(qp, "ibv_wr_complete", NULL);
		efa_drop_staged(sq);
	}
	efa_unlock(&sq->wq.lock);
	return err;
}

static void efa_wr_abort(struct ibv_qp_ex *ex)
{
	struct efa_sq *sq = &to_eqp_ex(ex)->sq;

	efa_drop_staged(sq);
	efa_unlock(&sq->wq.lock);
}

static void efa_wr_send(struct ibv_qp_ex *ex)
{
	efa_stage(to_eqp_ex(ex), ex->wr_id, ex->wr_flags, EFA_IO_SEND);
}

static void efa_wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
	struct efa_io_tx_wqe *wqe = efa_stage(to_eqp_ex(ex), ex->wr_id, ex->wr_flags, EFA_IO_SEND);

	if (wqe)
		efa_set_imm(wqe, imm);
}

static void efa_wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	struct efa_io_tx_wqe *wqe = efa_stage(to_eqp_ex(ex), ex->wr_id,
					      ex->wr_flags, EFA_IO_RDMA_READ);

	if (wqe)
		efa_set_remote(wqe, rkey, addr);
}

static void efa_wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	struct efa_io_tx_wqe *wqe = efa_stage(to_eqp_ex(ex), ex->wr_id,
					      ex->wr_flags, EFA_IO_RDMA_WRITE);

	if (wqe)
		efa_set_remote(wqe, rkey, addr);
}

static void efa_wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, __be32 imm)
{
	struct efa_io_tx_wqe *wqe = efa_stage(to_eqp_ex(ex), ex->wr_id,
					      ex->wr_flags, EFA_IO_RDMA_WRITE);

	if (wqe) {
		efa_set_remote(wqe, rkey, addr);
		efa_set_imm(wqe, imm);
	}
}

static void efa_wr_set_ud_addr(struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
	struct efa_sq *sq = &to_eqp_ex(ex)->sq;

	if (likely(sq->cur))
		efa_set_dest(sq->cur, ah, qpn, qkey);
}

static void efa_wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct ibv_sge sge = {
		.addr = addr, .length = length, .lkey = lkey,
	};
	struct efa_qp *qp = to_eqp_ex(ex);

	if (likely(qp->sq.cur))
		efa_set_sges(qp, qp->sq.cur, 1, &sge);
}

static void efa_wr_set_sge_list(struct ibv_qp_ex *ex, size_t num, const struct ibv_sge *sge)
{
	struct efa_qp *qp = to_eqp_ex(ex);

	if (likely(qp->sq.cur))
		efa_set_sges(qp, qp->sq.cur, num, sge);
}

static void efa_wr_set_inline_data(struct ibv_qp_ex *ex, void *addr, size_t length)
{
	const struct ibv_data_buf buf = { .addr = addr, .length = length };
	struct efa_qp *qp = to_eqp_ex(ex);

	if (likely(qp->sq.cur))
		efa_set_inline(qp, qp->sq.cur, 1, &buf);
}

static void efa_wr_set_inline_data_list(struct ibv_qp_ex *ex, size_t num,
					const struct ibv_data_buf *buf)
{
	struct efa_qp *qp = to_eqp_ex(ex);

	if (likely(qp->sq.cur))
		efa_set_inline(qp, qp->sq.cur, num, buf);
}

#if EFA_EFADV >= 7
static void efa_wr_set_hints(struct efadv_qp *dv, uint32_t hints)
{
	struct efa_sq *sq = &container_of(dv, struct efa_qp, dv)->sq;

	if (likely(sq->cur))
		sq->cur->meta.ctrl3 |= hints & EFA_IO_TX_HINTS;
}

void efa_qp_fill_dv_ops(struct efa_qp *qp, uint64_t wr_flags)
{
	if (wr_flags & EFADV_WR_EX_WITH_PROCESSING_HINTS)
		qp->dv.wr_set_processing_hints = efa_wr_set_hints;
}
#endif

void efa_qp_fill_wr_ops(struct efa_qp *qp, uint64_t send_ops)
{
	struct ibv_qp_ex *ex = &qp->vqp.qp_ex;

	ex->wr_start = efa_wr_start;
	ex->wr_complete = efa_wr_complete;
	ex->wr_abort = efa_wr_abort;
	if (send_ops & IBV_QP_EX_WITH_SEND)
		ex->wr_send = efa_wr_send;
	if (send_ops & IBV_QP_EX_WITH_SEND_WITH_IMM)
		ex->wr_send_imm = efa_wr_send_imm;
	if (send_ops & IBV_QP_EX_WITH_RDMA_READ)
		ex->wr_rdma_read = efa_wr_rdma_read;
	if (send_ops & IBV_QP_EX_WITH_RDMA_WRITE)
		ex->wr_rdma_write = efa_wr_rdma_write;
	if (send_ops & IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM)
		ex->wr_rdma_write_imm = efa_wr_rdma_write_imm;
	ex->wr_set_ud_addr = efa_wr_set_ud_addr;
	ex->wr_set_sge = efa_wr_set_sge;
	ex->wr_set_sge_list = efa_wr_set_sge_list;
	ex->wr_set_inline_data = efa_wr_set_inline_data;
	ex->wr_set_inline_data_list = efa_wr_set_inline_data_list;
}
