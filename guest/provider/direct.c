// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: the device without the provider
 *
 * For software that writes WQEs and reads completions itself: where the rings and doorbells are,
 * how deep they can be. Whoever uses a queue so does not use it by verbs as well.
 */
#include "efa.h"

int efadv_query_qp_wqs(struct ibv_qp *ibvqp, struct efadv_wq_attr *sq_attr,
		       struct efadv_wq_attr *rq_attr, uint32_t inlen)
{
	struct efadv_wq_attr sq = {}, rq = {};
	struct efa_qp *qp = to_eqp(ibvqp);
	int err;

	err = EFA_CHECK_OUT(ibvqp->context, sq_attr, max_batch, inlen);
	err = err ?: EFA_CHECK_OUT(ibvqp->context, rq_attr, max_batch, inlen);
	if (err)
		return err;
	sq.buffer = qp->sq.llq;
	sq.entry_size = qp->sq.wqe_size;
	sq.num_entries = qp->sq.wq.slots.count;
	sq.doorbell = qp->sq.wq.db.at;
	sq.max_batch = qp->sq.max_batch;
	sq.caps = qp->sq.wq.wide_ids ? EFADV_WQ_CAPS_64_BIT_REQ_ID : 0;
	if (qp->rq.ring) {
		rq.buffer = (uint8_t *)qp->rq.ring;
		rq.entry_size = sizeof(struct efa_io_rx_desc);
		rq.num_entries = qp->rq.wq.ring_mask + 1;
		rq.doorbell = qp->rq.wq.db.at;
		rq.max_batch = rq.num_entries;
	}
	memcpy(sq_attr, &sq, min_t(size_t, inlen, sizeof(sq)));
	memcpy(rq_attr, &rq, min_t(size_t, inlen, sizeof(rq)));
	return 0;
}

int efadv_query_cq(struct ibv_cq *ibvcq, struct efadv_cq_attr *attr, uint32_t inlen)
{
	struct efa_cq *cq = to_ecq(ibvcq);
	struct efadv_cq_attr out = {};
	int err = EFA_CHECK_OUT(ibvcq->context, attr, doorbell, inlen);

	if (err)
		return err;
	out.buffer = cq->buf;
	out.entry_size = sizeof(struct efa_io_cdesc);
	out.num_entries = cq->mask + 1;
	out.doorbell = cq->db.at;
	memcpy(attr, &out, min_t(size_t, inlen, sizeof(out)));
	return 0;
}

/* As efa_qp_new() would judge such a queue. */
int efadv_get_max_sq_depth(struct ibv_context *ibvctx, struct efadv_sq_depth_attr *attr,
			   uint32_t inlen)
{
	struct efa_context *ctx = to_ectx(ibvctx);
	int err = EFA_CHECK_ARG(ibvctx, attr, max_inline_data, inlen);
	bool inline_write;

	if (err)
		return -err;
	inline_write = attr->flags & EFADV_SQ_DEPTH_ATTR_INLINE_WRITE;
	if (attr->comp_mask)
		return -EINVAL;
	if (!check_comp_mask(attr->flags, EFADV_SQ_DEPTH_ATTR_INLINE_WRITE) ||
	    (inline_write && !efa_has(ctx, EFA_ABI_CAP_RDMA_WRITE)))
		return -EOPNOTSUPP;
	if (attr->max_send_sge > ctx->dev.max_sq_sge || attr->max_rdma_sge > ctx->max_rdma_sge ||
	    attr->max_inline_data > ctx->told.inline_buf_size_ex)
		return -EINVAL;
	return efa_max_sq_wr(ctx, efa_wqe_size(attr->max_inline_data, inline_write));
}

int efadv_get_max_rq_depth(struct ibv_context *ibvctx, struct efadv_rq_depth_attr *attr,
			   uint32_t inlen)
{
	struct efa_context *ctx = to_ectx(ibvctx);
	int err = EFA_CHECK_ARG(ibvctx, attr, max_recv_sge, inlen);

	if (err)
		return -err;
	if (attr->comp_mask || attr->max_recv_sge > ctx->dev.max_rq_sge)
		return -EINVAL;
	return ctx->dev.max_rq_wr / (attr->max_recv_sge ?: 1);
}

struct efadv_qp *efadv_qp_from_ibv_qp_ex(struct ibv_qp_ex *ibvqpx)
{
	return &to_eqp_ex(ibvqpx)->dv;
}
