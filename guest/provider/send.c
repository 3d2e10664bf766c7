// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: send requests
 *
 * WQEs are made in memory that is fast to write, and go to the device's in one sweep:
 * ibv_wr_start() takes the lock, each ibv_wr_ function stages a WQE, ibv_wr_complete() copies all
 * and rings. A batch that is refused or aborted has never been there. ibv_post_send() has the same
 * parts.
 */
#include "efa.h"

/* Copy what is staged into the send queue, and announce as much at a time as the device takes. */
static inline ALWAYS_INLINE void efa_submit(struct efa_qp *qp, const char *call)
{
	struct efa_sq *sq = &qp->sq;
	const uint8_t *from = sq->staged;
	uint32_t pc = sq->wq.pc, end = pc + sq->num_staged, room = sq->max_batch, num;

	/* Write-combining stores keep behind those to memory before. */
	mmio_wc_start();
	while (pc != end) {
		mmio_memcpy_x64(sq->llq + (size_t)sq->wqe_size * (pc++ & sq->wq.ring_mask), from,
				sq->wqe_size);
		from += sq->wqe_size;
		if (pc != end && --room)
			continue;
		num = pc - sq->wq.pc;
		if (efa_watches())
			efa_watch_send(qp, call, from - (size_t)sq->wqe_size * num, num);
		sq->wq.pc = pc;
		/* All of the WQEs reach the device before their doorbell. */
		mmio_flush_writes();
		mmio_write32(sq->wq.db.at, (uint16_t)pc);
		if (pc == end)
			break;
		room = sq->max_batch;
		mmio_wc_start();	/* nor do they pass a doorbell */
	}
	sq->num_staged = 0;
}

/* Nothing of it has happened. */
static void efa_drop_staged(struct efa_sq *sq)
{
	efa_slots_untake(&sq->wq.slots, sq->num_staged);
	sq->num_staged = 0;
}

/* ---- one WQE ---- */

static inline int efa_check_send(const struct efa_qp *qp, unsigned int flags)
{
	/* there is nothing to choose but INLINE */
	if (unlikely(((flags | qp->sq.implied) & ~IBV_SEND_INLINE) != IBV_SEND_SIGNALED))
		return efa_why(qp, EINVAL, "send flags 0x%x: EFA wants SIGNALED, has INLINE, and "
			       "no others", flags);
	if (unlikely(!efa_slots_left(&qp->sq.wq.slots)))
		return efa_why(qp, ENOMEM, "the queue has its %u requests", qp->sq.wq.slots.count);
	return 0;
}

static inline void efa_set_id(struct efa_sq *sq, struct efa_io_tx_meta_desc *meta, uint64_t wr_id)
{
	uint16_t id = efa_slots_take(&sq->wq.slots);

	if (sq->wq.wide_ids) {
		id = (uint16_t)wr_id;
		meta->req_id_ex[0] = htole16((uint16_t)(wr_id >> 16));
		meta->req_id_ex[1] = htole16((uint16_t)(wr_id >> 32));
		meta->req_id_ex[2] = htole16((uint16_t)(wr_id >> 48));
	} else {
		sq->wq.wr_id[id] = wr_id;
	}
	meta->req_id = htole16(id);
}

/* The next WQE of a batch, zero but for what all have. */
static inline ALWAYS_INLINE struct efa_io_tx_wqe *efa_stage(struct efa_sq *sq, uint64_t wr_id,
							    enum efa_io_op op)
{
	uint32_t staged = sq->num_staged, at = sq->wq.pc + staged;
	struct efa_io_tx_wqe *wqe = (void *)(sq->staged + (size_t)sq->wqe_size * staged);

	sq->num_staged = staged + 1;
	memset(wqe, 0, EFA_WQE_SIZE);
	if (sq->wqe_size != EFA_WQE_SIZE)
		memset((uint8_t *)wqe + EFA_WQE_SIZE, 0, EFA_WQE_SIZE_WIDE - EFA_WQE_SIZE);
	efa_set_id(sq, &wqe->meta, wr_id);
	wqe->meta.ctrl1 = EFA_IO_TX_META_DESC | op;
	wqe->meta.ctrl2 = EFA_IO_TX_FIRST | EFA_IO_TX_LAST | EFA_IO_TX_COMP_REQ |
			  efa_odd_round(at, sq->wq.ring_mask) * EFA_IO_TX_PHASE;
	return wqe;
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
	wqe->rdma.remote_mem.buf_addr = htole64(addr);
}

static void efa_set_buf(struct efa_io_tx_buf_desc *buf, uint32_t lkey,
			uint64_t addr, uint32_t length)
{
	buf->length = htole32(length);
	buf->lkey = htole32(lkey & EFA_IO_LKEY_MASK);
	buf->buf_addr = htole64(addr);
}

static inline ALWAYS_INLINE int efa_set_sges(const struct efa_qp *qp, struct efa_io_tx_wqe *wqe,
					     enum efa_io_op op, size_t num,
					     const struct ibv_sge *sge)
{
	size_t max = op == EFA_IO_SEND ? qp->sq.wq.max_sge : qp->sq.max_rdma_sge, i;

	if (unlikely(num > max))
		return efa_why(qp, EINVAL, "%zu SGEs, the queue takes %zu", num, max);
	wqe->meta.length = htole16(num);
	if (op == EFA_IO_SEND) {
		for (i = 0; i < num; i++)
			efa_set_buf(&wqe->sgl[i], sge[i].lkey, sge[i].addr, sge[i].length);
	} else if (num) {
		efa_set_buf(&wqe->rdma.local_mem, sge->lkey, sge->addr, sge->length);
		wqe->rdma.remote_mem.length = htole32(sge->length);
	}
	return 0;
}

/* One more of the buffers whose bytes are in the WQE itself. */
static inline ALWAYS_INLINE int efa_add_inline(const struct efa_qp *qp, struct efa_io_tx_wqe *wqe,
					       enum efa_io_op op, const void *addr, size_t length)
{
	uint8_t *to = op == EFA_IO_SEND ? wqe->inline_data : wqe->rdma.inline_data;
	size_t room = op == EFA_IO_SEND ? qp->sq.max_inline : qp->sq.max_inline_rdma;
	size_t before = le16toh(wqe->meta.length);

	/* what was read cannot be in the request for it */
	if (unlikely(op == EFA_IO_RDMA_READ || (op == EFA_IO_RDMA_WRITE && !room)))
		return efa_why(qp, EINVAL, "inline data, which the queue takes for sends only");
	if (unlikely(length > room || before > room - length))
		return efa_why(qp, EINVAL, "%zu bytes of inline data, the queue takes %zu",
			       before + length, room);
	if (likely(length))
		memcpy(to + before, addr, length);
	wqe->meta.ctrl1 |= EFA_IO_TX_INLINE_MSG;
	wqe->meta.length = htole16(before + length);
	if (op != EFA_IO_SEND)
		wqe->rdma.remote_mem.length = htole32(before + length);
	return 0;
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

static __attribute__((noinline)) int efa_inline_sges(const struct efa_qp *qp,
						     struct efa_io_tx_wqe *wqe,
						     const struct ibv_send_wr *wr)
{
	int i, err = 0;

	for (i = 0; i < wr->num_sge && !err; i++)
		err = efa_add_inline(qp, wqe, EFA_IO_SEND,
				     (void *)(uintptr_t)wr->sg_list[i].addr, wr->sg_list[i].length);
	return err;
}

static inline int efa_post_one(struct efa_qp *qp, const struct ibv_send_wr *wr)
{
	struct efa_sq *sq = &qp->sq;
	struct efa_io_tx_wqe *wqe;
	int err;

	if (unlikely(wr->opcode != IBV_WR_SEND && wr->opcode != IBV_WR_SEND_WITH_IMM))
		return efa_why(qp, EINVAL, "opcode %d: only ibv_wr_ functions have others than "
			       "sends on EFA", wr->opcode);
	err = efa_check_send(qp, wr->send_flags);
	if (unlikely(err))
		return err;
	wqe = efa_stage(sq, wr->wr_id, EFA_IO_SEND);
	efa_set_dest(wqe, wr->wr.ud.ah, wr->wr.ud.remote_qpn, wr->wr.ud.remote_qkey);
	if (wr->opcode == IBV_WR_SEND_WITH_IMM)
		efa_set_imm(wqe, wr->imm_data);
	err = wr->send_flags & IBV_SEND_INLINE ? efa_inline_sges(qp, wqe, wr) :
	      efa_set_sges(qp, wqe, EFA_IO_SEND, wr->num_sge, wr->sg_list);
	if (unlikely(err)) {
		/* only this one has not happened */
		efa_slots_untake(&sq->wq.slots, 1);
		sq->num_staged--;
	}
	return err;
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
		efa_refused(qp, "ibv_post_send", wr ? &wr->wr_id : NULL);
	}
	efa_submit(qp, "ibv_post_send");
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
	sq->cur = &sq->refused;
}

static int efa_wr_complete(struct ibv_qp_ex *ex)
{
	struct efa_qp *qp = to_eqp_ex(ex);
	struct efa_sq *sq = &qp->sq;
	int err = sq->err;

	if (likely(!err)) {
		efa_submit(qp, "ibv_wr_complete");
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

/* If this or an earlier one of the batch is refused, it is filled in all the same. */
static inline ALWAYS_INLINE struct efa_io_tx_wqe *efa_wr_stage(struct ibv_qp_ex *ex,
							       enum efa_io_op op)
{
	struct efa_qp *qp = to_eqp_ex(ex);
	struct efa_sq *sq = &qp->sq;

	if (likely(!sq->err))
		sq->err = efa_check_send(qp, ex->wr_flags);
	sq->cur = likely(!sq->err) ? efa_stage(sq, ex->wr_id, op) : &sq->refused;
	return sq->cur;
}

static void efa_wr_send(struct ibv_qp_ex *ex)
{
	efa_wr_stage(ex, EFA_IO_SEND);
}

static void efa_wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
	efa_set_imm(efa_wr_stage(ex, EFA_IO_SEND), imm);
}

static void efa_wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	efa_set_remote(efa_wr_stage(ex, EFA_IO_RDMA_READ), rkey, addr);
}

static void efa_wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	efa_set_remote(efa_wr_stage(ex, EFA_IO_RDMA_WRITE), rkey, addr);
}

static void efa_wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, __be32 imm)
{
	struct efa_io_tx_wqe *wqe = efa_wr_stage(ex, EFA_IO_RDMA_WRITE);

	efa_set_remote(wqe, rkey, addr);
	efa_set_imm(wqe, imm);
}

static void efa_wr_set_ud_addr(struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
	efa_set_dest(to_eqp_ex(ex)->sq.cur, ah, qpn, qkey);
}

static inline void efa_wr_set_sge_list(struct ibv_qp_ex *ex, size_t num, const struct ibv_sge *sge)
{
	struct efa_sq *sq = &to_eqp_ex(ex)->sq;

	if (likely(!sq->err))
		sq->err = efa_set_sges(to_eqp_ex(ex), sq->cur, efa_io_tx_op(sq->cur), num, sge);
}

static void efa_wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct ibv_sge sge = { .addr = addr, .length = length, .lkey = lkey };

	efa_wr_set_sge_list(ex, 1, &sge);
}

static inline void efa_wr_set_inline_data_list(struct ibv_qp_ex *ex, size_t num,
					       const struct ibv_data_buf *buf)
{
	struct efa_sq *sq = &to_eqp_ex(ex)->sq;
	size_t i;

	sq->cur->meta.length = 0;
	for (i = 0; i < num && likely(!sq->err); i++)
		sq->err = efa_add_inline(to_eqp_ex(ex), sq->cur, efa_io_tx_op(sq->cur),
					 buf[i].addr, buf[i].length);
}

static void efa_wr_set_inline_data(struct ibv_qp_ex *ex, void *addr, size_t length)
{
	const struct ibv_data_buf buf = { .addr = addr, .length = length };

	efa_wr_set_inline_data_list(ex, 1, &buf);
}

#if EFA_EFADV >= 7
static void efa_wr_set_hints(struct efadv_qp *dv, uint32_t hints)
{
	container_of(dv, struct efa_qp, dv)->sq.cur->meta.ctrl3 |= hints & EFA_IO_TX_HINTS;
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
#if EFA_EFADV >= 7
	qp->dv.wr_set_processing_hints = efa_wr_set_hints;
#endif
}
