// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: queue pairs
 */
#include "efa.h"

static uint64_t efa_possible_ops(const struct efa_context *ctx, bool srd)
{
	uint64_t ops = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;

	if (srd && efa_has(ctx, EFA_ABI_CAP_RDMA_READ))
		ops |= IBV_QP_EX_WITH_RDMA_READ;
	if (srd && efa_has(ctx, EFA_ABI_CAP_RDMA_WRITE))
		ops |= IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
	return ops;
}

uint16_t efa_wqe_size(uint32_t max_inline, bool inline_write)
{
	return inline_write || max_inline > EFA_IO_TX_INLINE ? EFA_WQE_SIZE_WIDE : EFA_WQE_SIZE;
}

uint32_t efa_max_sq_wr(const struct efa_context *ctx, uint16_t wqe_size)
{
	return min_t(uint32_t, ctx->dev.max_sq_wr, efa_pow2down(ctx->told.max_llq_size / wqe_size));
}

static int efa_check_caps(const struct efa_context *ctx, const struct ibv_qp_cap *cap,
			  uint16_t wqe_size)
{
	if (cap->max_send_wr > efa_max_sq_wr(ctx, wqe_size) ||
	    cap->max_send_sge > min_t(uint16_t, ctx->dev.max_sq_sge, EFA_IO_TX_MAX_BUFS) ||
	    cap->max_recv_sge > ctx->dev.max_rq_sge)
		return EINVAL;
	if (cap->max_recv_wr && (!cap->max_recv_sge ||
				 cap->max_recv_wr > ctx->dev.max_rq_wr / cap->max_recv_sge))
		return EINVAL;
	return cap->max_inline_data > ctx->told.inline_buf_size_ex ? EINVAL : 0;
}

static int efa_check_qp(const struct efa_context *ctx, const struct ibv_qp_init_attr_ex *attr,
			const struct efadv_qp_init_attr *efa_attr)
{
	bool srd = attr->qp_type == IBV_QPT_DRIVER;

	if (!check_comp_mask(attr->comp_mask, IBV_QP_INIT_ATTR_PD |
			     IBV_QP_INIT_ATTR_SEND_OPS_FLAGS))
		return EOPNOTSUPP;
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD) || !attr->pd)
		return EINVAL;
	if (efa_attr && !srd)
		return EINVAL;
	if (srd ? !efa_attr || efa_attr->driver_qp_type != EFADV_QP_DRIVER_TYPE_SRD :
		  attr->qp_type != IBV_QPT_UD)
		return EOPNOTSUPP;
	if ((attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) &&
	    !check_comp_mask(attr->send_ops_flags, efa_possible_ops(ctx, srd)))
		return EOPNOTSUPP;
	return attr->recv_cq && attr->send_cq && !attr->srq ? 0 : EINVAL;
}

/* ---- queues ---- */

static int efa_wq_init(struct efa_wq *wq, uint32_t count, uint32_t entries, bool locked)
{
	struct efa_slots *slots = &wq->slots;

	slots->count = count;
	slots->mask = efa_pow2up(count) - 1;
	slots->free = calloc(slots->mask + 1, sizeof(*slots->free));
	wq->ring_mask = entries - 1;
	wq->wr_id = calloc(slots->mask + 1, sizeof(*wq->wr_id));
	efa_lock_init(&wq->lock, locked);
	return wq->wr_id && slots->free ? 0 : ENOMEM;
}

static void efa_wq_free(struct efa_context *ctx, struct efa_wq *wq)
{
	efa_unmap_db(ctx, &wq->db);
	pthread_spin_destroy(&wq->lock.spin);
	free(wq->slots.free);
	free(wq->wr_id);
}

/* Whatever is in the ring of completions is about requests of earlier. */
static void efa_wq_reset(struct efa_wq *wq)
{
	bool locked = efa_lock_once(&wq->cq->lock);

	efa_lock(&wq->lock);
	wq->pc = 0;
	wq->since = efa_sub_produced(wq->cq, wq->sub);
	efa_slots_reset(&wq->slots);
	efa_unlock(&wq->lock);
	if (locked)
		efa_unlock(&wq->cq->lock);
}

static int efa_wq_find_sub(struct efa_wq *wq, struct ibv_cq *ibvcq, uint16_t sub)
{
	wq->cq = to_ecq(ibvcq);
	wq->sub = &wq->cq->sub[sub];
	return sub < wq->cq->num_sub ? 0 : EIO;
}

static int efa_sq_init(struct efa_context *ctx, struct efa_sq *sq,
		       struct ibv_qp_init_attr_ex *attr, bool inline_write, bool locked)
{
	struct ibv_qp_cap *cap = &attr->cap;
	uint32_t wqes = efa_pow2up(max_t(uint32_t, cap->max_send_wr, ctx->told.min_sq_wr));

	sq->wqe_size = efa_wqe_size(cap->max_inline_data, inline_write);
	sq->max_inline = cap->max_inline_data;
	sq->max_inline_rdma = inline_write ? cap->max_inline_data : 0;
	sq->max_rdma_sge = min_t(uint16_t, ctx->max_rdma_sge, 1);
	sq->max_batch = efa_max_batch(ctx->told.max_tx_batch, sq->wqe_size, ctx->told.min_sq_wr,
				      wqes);
	sq->implied = attr->sq_sig_all ? IBV_SEND_SIGNALED : 0;
	sq->wq.wide_ids = efa_has(ctx, EFA_ABI_CAP_64_BIT_ID);
	sq->wq.max_sge = cap->max_send_sge;
	sq->cur = &sq->refused;
	sq->staged = calloc(wqes, sq->wqe_size);
	if (!sq->staged)
		return ENOMEM;
	/* what there will be, as the verbs have it */
	cap->max_send_wr = wqes;
	return efa_wq_init(&sq->wq, wqes, wqes, locked);
}

static int efa_rq_init(struct efa_rq *rq, struct ibv_qp_cap *cap, bool locked)
{
	uint32_t descs = 0;

	if (cap->max_recv_wr) {
		descs = efa_pow2up(cap->max_recv_sge * cap->max_recv_wr);
		cap->max_recv_wr = descs / cap->max_recv_sge;
	}
	rq->ring_size = descs * sizeof(struct efa_io_rx_desc);
	rq->wq.max_sge = cap->max_recv_sge;
	return efa_wq_init(&rq->wq, cap->max_recv_wr, descs ?: 1, locked);
}

static void efa_qp_free(struct efa_qp *qp)
{
	if (qp->rq.ring)
		munmap(qp->rq.ring, qp->rq.ring_size);
	if (qp->sq.llq_map)
		munmap(qp->sq.llq_map, qp->sq.llq_size);
	efa_wq_free(qp->ctx, &qp->rq.wq);
	efa_wq_free(qp->ctx, &qp->sq.wq);
	free(qp->sq.staged);
	free(qp);
}

/* ---- creation ---- */

static int efa_qp_map(struct efa_context *ctx, struct efa_qp *qp,
		      const struct efa_abi_create_qp_resp *resp)
{
	struct efa_sq *sq = &qp->sq;
	struct efa_rq *rq = &qp->rq;
	void *ring = NULL;
	size_t llq = (size_t)sq->wqe_size * sq->wq.slots.count;
	int err;

	err = efa_wq_find_sub(&sq->wq, qp->vqp.qp.send_cq, resp->send_sub_cq_idx);
	err = err ?: efa_wq_find_sub(&rq->wq, qp->vqp.qp.recv_cq, resp->recv_sub_cq_idx);
	sq->llq_size = align(llq + resp->llq_desc_offset, ctx->page_size);
	err = err ?: efa_map(ctx, &sq->llq_map, resp->llq_desc_mmap_key, sq->llq_size, PROT_WRITE);
	err = err ?: efa_map_db(ctx, &sq->wq.db, resp->sq_db_mmap_key, resp->sq_db_offset);
	if (err)
		return err;
	sq->llq = (uint8_t *)sq->llq_map + resp->llq_desc_offset;
	if (!rq->ring_size)
		return 0;
	rq->ring_size = resp->rq_mmap_size;
	err = efa_map(ctx, &ring, resp->rq_mmap_key, rq->ring_size, PROT_WRITE);
	rq->ring = ring;
	return err ?: efa_map_db(ctx, &rq->wq.db, resp->rq_db_mmap_key, resp->rq_db_offset);
}

/* The kernel's QP, and our view of it. */
static int efa_qp_make(struct efa_context *ctx, struct efa_qp *qp,
		       struct ibv_qp_init_attr_ex *attr, const struct efadv_qp_init_attr *efa_attr)
{
	EFA_PAIR(, ib_uverbs_create_qp_resp, efa_abi_create_qp_resp) resp = {};
	EFA_PAIR(, ibv_create_qp, efa_abi_create_qp) cmd = {
		.efa.sq_ring_size = qp->sq.wqe_size * qp->sq.wq.slots.count,
		.efa.rq_ring_size = qp->rq.ring_size,
		.efa.driver_qp_type = EFA_ABI_DRIVER_QP_SRD,
		.efa.sl = efa_attr ? efa_attr->sl : 0,
	};
	int err;

	if (efa_attr && (efa_attr->flags & EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV))
		cmd.efa.flags |= EFA_ABI_QP_UNSOLICITED;
	if (qp->sq.wq.wide_ids)
		cmd.efa.flags |= EFA_ABI_QP_64_BIT_ID;
	err = ibv_cmd_create_qp_ex(&ctx->vctx.context, &qp->vqp, attr, &cmd.ibv, sizeof(cmd),
				   &resp.ibv, sizeof(resp));
	if (err)
		return err;
	err = efa_qp_map(ctx, qp, &resp.efa);
	if (err)
		ibv_cmd_destroy_qp(&qp->vqp.qp);
	return err;
}

/* The device has forgotten everything that was posted. */
static void efa_qp_reset(struct efa_qp *qp)
{
	if (efa_watches())
		efa_watch_forget(qp);
	efa_wq_reset(&qp->sq.wq);
	efa_wq_reset(&qp->rq.wq);
}

/* Completions of its number find @wq from now on, or no more. */
static void efa_wq_own(struct efa_qp *qp, struct efa_wq *wq, bool own)
{
	struct efa_owner *owner = efa_owner(qp->ctx, qp->vqp.qp.qp_num, wq == &qp->sq.wq);
	bool locked = efa_lock_once(&wq->cq->lock);

	owner->wq = wq;
	atomic_store_explicit(&owner->from, own ? wq->sub : NULL, memory_order_release);
	if (locked)
		efa_unlock(&wq->cq->lock);
}

static void efa_qp_own(struct efa_qp *qp, bool own)
{
	efa_wq_own(qp, &qp->sq.wq, own);
	efa_wq_own(qp, &qp->rq.wq, own);
}

struct ibv_qp *efa_qp_new(struct efa_context *ctx, struct ibv_qp_init_attr_ex *attr,
			  const struct efadv_qp_init_attr *efa_attr)
{
	bool inline_write = efa_attr && (efa_attr->flags & EFADV_QP_FLAGS_INLINE_WRITE), locked;
	struct efa_qp *qp;
	int err;

	err = efa_check_qp(ctx, attr, efa_attr);
	err = err ?: efa_check_caps(ctx, &attr->cap,
				    efa_wqe_size(attr->cap.max_inline_data, inline_write));
	if (err)
		return efa_fail(err);
	qp = calloc(1, sizeof(*qp));
	if (!qp)
		return NULL;
	qp->ctx = ctx;
	locked = !to_epd(attr->pd)->td;
	err = efa_sq_init(ctx, &qp->sq, attr, inline_write, locked);
	err = err ?: efa_rq_init(&qp->rq, &attr->cap, locked);
	err = err ?: efa_qp_make(ctx, qp, attr, efa_attr);
	if (err) {
		efa_qp_free(qp);
		return efa_fail(err);
	}
	if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		efa_qp_fill_wr_ops(qp, attr->send_ops_flags);
		qp->vqp.comp_mask |= VERBS_QP_EX;
	}
	efa_qp_reset(qp);
	efa_qp_own(qp, true);
	atomic_fetch_add(&to_epd(attr->pd)->users, 1);
	return &qp->vqp.qp;
}

struct ibv_qp *efa_qp_new_in(struct ibv_pd *ibvpd, struct ibv_qp_init_attr *attr,
			     const struct efadv_qp_init_attr *efa_attr)
{
	struct ibv_qp_init_attr_ex ex = {};
	struct ibv_qp *qp;

	memcpy(&ex, attr, sizeof(*attr));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD;
	ex.pd = ibvpd;
	qp = efa_qp_new(to_ectx(ibvpd->context), &ex, efa_attr);
	if (qp)
		memcpy(attr, &ex, sizeof(*attr));
	return qp;
}

static struct ibv_qp *efa_create_qp_ex(struct ibv_context *ibvctx, struct ibv_qp_init_attr_ex *attr)
{
	return efa_qp_new(to_ectx(ibvctx), attr, NULL);
}

static struct ibv_qp *efa_create_qp(struct ibv_pd *ibvpd, struct ibv_qp_init_attr *attr)
{
	return efa_qp_new_in(ibvpd, attr, NULL);
}

/* ---- states ---- */

static int efa_modify_qp(struct ibv_qp *ibvqp, struct ibv_qp_attr *attr, int mask)
{
	struct ibv_modify_qp cmd = {};
	int err;

	err = ibv_cmd_modify_qp(ibvqp, attr, mask, &cmd, sizeof(cmd));
	if (err || !(mask & IBV_QP_STATE))
		return err;
	ibvqp->state = attr->qp_state;
	if (attr->qp_state == IBV_QPS_RESET)
		efa_qp_reset(to_eqp(ibvqp));
	return 0;
}

static int efa_query_qp(struct ibv_qp *ibvqp, struct ibv_qp_attr *attr, int mask,
			struct ibv_qp_init_attr *init)
{
	struct ibv_query_qp cmd;

	return ibv_cmd_query_qp(ibvqp, attr, mask, init, &cmd, sizeof(cmd));
}

static int efa_query_qp_data_in_order(struct ibv_qp *ibvqp, enum ibv_wr_opcode op,
				      uint32_t flags)
{
	int caps = efa_has(to_ectx(ibvqp->context), EFA_ABI_CAP_DATA_POLLING_128) ?
		   IBV_QUERY_QP_DATA_IN_ORDER_ALIGNED_128_BYTES : 0;

	/* asked without RETURN_CAPS: for the whole message, which is never */
	return flags & IBV_QUERY_QP_DATA_IN_ORDER_RETURN_CAPS ? caps : 0;
}

static int efa_destroy_qp(struct ibv_qp *ibvqp)
{
	struct efa_qp *qp = to_eqp(ibvqp);
	int err;

	/* Before another QP can have the number, and the CQs can be destroyed. */
	efa_qp_own(qp, false);
	if (efa_watches())
		efa_watch_forget(qp);
	err = ibv_cmd_destroy_qp(ibvqp);
	if (err) {
		efa_qp_own(qp, true);
		return err;
	}
	atomic_fetch_sub(&to_epd(ibvqp->pd)->users, 1);
	efa_qp_free(qp);
	return 0;
}

const struct verbs_context_ops efa_qp_ops = {
	.create_qp = efa_create_qp,
	.create_qp_ex = efa_create_qp_ex,
	.destroy_qp = efa_destroy_qp,
	.modify_qp = efa_modify_qp,
	.post_recv = efa_post_recv,
	.post_send = efa_post_send,
	.query_qp = efa_query_qp,
	.query_qp_data_in_order = efa_query_qp_data_in_order,
};
