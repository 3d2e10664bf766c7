// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: completion queues
 *
 * The rings are memory of the kernel's, or in a dma-buf; the device writes them and we only read.
 * A CQ with a channel has a doorbell, by which the process asks for an event.
 */
#include "efa.h"

#define EFA_CQ_MASKS	(IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD)

static int efa_check_cq(const struct efa_context *ctx, const struct ibv_cq_init_attr_ex *attr,
			const struct efa_cq_opts *opts)
{
	if (!check_comp_mask(attr->comp_mask, EFA_CQ_MASKS) ||
	    !check_comp_mask(attr->wc_flags, IBV_WC_STANDARD_FLAGS))
		return EOPNOTSUPP;
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) && !check_comp_mask(attr->flags,
			     IBV_CREATE_CQ_ATTR_SINGLE_THREADED))
		return EOPNOTSUPP;
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) &&
	    (!attr->parent_domain || !to_epd(attr->parent_domain)->inner))
		return EINVAL;
	if (((opts->wc_flags & EFADV_WC_EX_WITH_SGID) && !efa_has(ctx, EFA_ABI_CAP_CQ_WITH_SGID)) ||
	    ((opts->wc_flags & EFADV_WC_EX_WITH_IS_UNSOLICITED) &&
	     !efa_has(ctx, EFA_ABI_CAP_UNSOLICITED)) ||
	    (opts->external && !efa_has(ctx, EFA_ABI_CAP_CQ_EXT_MEM)))
		return EOPNOTSUPP;
	if (attr->channel && !efa_has(ctx, EFA_ABI_CAP_CQ_NOTIFICATIONS))
		return EOPNOTSUPP;
	return attr->cqe && attr->cqe <= ctx->max_cqe ? 0 : EINVAL;
}

static size_t efa_cq_ring_size(const struct efa_cq *cq)
{
	return (cq->mask + 1) * sizeof(struct efa_io_cdesc);
}

static int efa_cq_map(struct efa_context *ctx, struct efa_cq *cq, const struct efa_cq_opts *opts,
		      const struct efa_abi_create_cq_resp *resp)
{
	uint8_t *buf = opts->buffer;
	unsigned int i;
	int err = 0;

	cq->cqn = resp->cq_idx;
	if (!opts->external) {
		cq->map_size = resp->q_mmap_size;
		err = efa_map(ctx, &cq->map, resp->q_mmap_key, cq->map_size, PROT_READ);
		buf = cq->map;
	} else if (!buf) {
		/* A ring that others see: whoever polls here finds nothing. */
		buf = cq->nothing = calloc(cq->num_sub, efa_cq_ring_size(cq));
	}
	if (!buf)
		return err ?: ENOMEM;
	cq->buf = opts->external ? opts->buffer : buf;
	for (i = 0; i < cq->num_sub; i++)
		cq->sub[i].buf = buf + i * efa_cq_ring_size(cq);
	if (!(resp->comp_mask & EFA_ABI_CQ_RESP_DB_OFF))
		return 0;
	return efa_map_db(ctx, &cq->db, resp->db_mmap_key, resp->db_off);
}

static void efa_cq_free(struct efa_context *ctx, struct efa_cq *cq)
{
	efa_unmap_db(ctx, &cq->db);
	if (cq->map)
		munmap(cq->map, cq->map_size);
	if (cq->pd)
		atomic_fetch_sub(&cq->pd->users, 1);
	pthread_spin_destroy(&cq->lock.spin);
	free(cq->nothing);
	free(cq);
}

static int efa_cq_make(struct efa_context *ctx, struct efa_cq *cq,
		       const struct ibv_cq_init_attr_ex *attr, const struct efa_cq_opts *opts)
{
	EFA_PAIR(, ib_uverbs_ex_create_cq_resp, efa_abi_create_cq_resp) resp = {};
	EFA_PAIR(, ibv_create_cq_ex, efa_abi_create_cq) cmd = {
		.efa.cq_entry_size = sizeof(struct efa_io_cdesc),
		.efa.num_sub_cqs = cq->num_sub,
	};
	struct ibv_cq_init_attr_ex rounded = *attr;
	struct verbs_create_cq_prov_attr *prov = NULL;
	uint32_t cmd_flags = 0;
	int err;
#if EFA_EFADV >= 7
	struct verbs_create_cq_prov_attr external = {
		.buffer.length = opts->length,
		.buffer.dmabuf.offset = opts->offset,
		.buffer.dmabuf.fd = opts->fd,
	};

	if (opts->external) {
		if (opts->length < efa_cq_ring_size(cq) * cq->num_sub)
			return EINVAL;
		prov = &external;
		cmd_flags = CREATE_CQ_CMD_FLAGS_WITH_MEM_DMABUF;
	}
#endif
	rounded.cqe = cq->mask + 1;
	if (attr->channel)
		cmd.efa.flags |= EFA_ABI_CQ_WITH_CHANNEL;
	if (opts->wc_flags & EFADV_WC_EX_WITH_SGID)
		cmd.efa.flags |= EFA_ABI_CQ_WITH_SGID;
	if (efa_has(ctx, EFA_ABI_CAP_64_BIT_ID))
		cmd.efa.flags |= EFA_ABI_CQ_WITH_64_BIT_ID;
	err = ibv_cmd_create_cq_ex(&ctx->vctx.context, &rounded, prov, &cq->vcq, &cmd.ibv,
				   sizeof(cmd), &resp.ibv, sizeof(resp), cmd_flags);
	if (err)
		return err;
	err = efa_cq_map(ctx, cq, opts, &resp.efa);
	if (err)
		ibv_cmd_destroy_cq(&cq->vcq.cq);
	return err;
}

struct ibv_cq_ex *efa_cq_new(struct efa_context *ctx, struct ibv_cq_init_attr_ex *attr,
			     const struct efa_cq_opts *opts)
{
	bool one_thread = (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
			  (attr->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED);
	int err = efa_check_cq(ctx, attr, opts);
	struct efa_cq *cq;

	if (err)
		return efa_fail(err);
	cq = calloc(1, sizeof(*cq) + ctx->told.sub_cqs_per_cq * sizeof(cq->sub[0]));
	if (!cq)
		return NULL;
	cq->ctx = ctx;
	cq->num_sub = ctx->told.sub_cqs_per_cq;
	cq->mask = efa_pow2up(attr->cqe) - 1;
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) {
		cq->pd = to_epd(attr->parent_domain);
		atomic_fetch_add(&cq->pd->users, 1);
	}
	efa_lock_init(&cq->lock, !one_thread && !(cq->pd && cq->pd->td));
	err = efa_cq_make(ctx, cq, attr, opts);
	if (err) {
		efa_cq_free(ctx, cq);
		return efa_fail(err);
	}
	efa_cq_fill_ops(cq, opts->wc_flags);
	return &cq->vcq.cq_ex;
}

static struct ibv_cq_ex *efa_create_cq_ex(struct ibv_context *ibvctx,
					  struct ibv_cq_init_attr_ex *attr)
{
	static const struct efa_cq_opts none;

	return efa_cq_new(to_ectx(ibvctx), attr, &none);
}

static struct ibv_cq *efa_create_cq(struct ibv_context *ibvctx, int cqe,
				    struct ibv_comp_channel *channel, int vector)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = cqe > 0 ? cqe : 0,
		.channel = channel,
		.comp_vector = vector,
	};
	struct ibv_cq_ex *cq = efa_create_cq_ex(ibvctx, &attr);

	return cq ? ibv_cq_ex_to_cq(cq) : NULL;
}

static int efa_destroy_cq(struct ibv_cq *ibvcq)
{
	int err = ibv_cmd_destroy_cq(ibvcq);

	if (!err)
		efa_cq_free(to_ectx(ibvcq->context), to_ecq(ibvcq));
	return err;
}

/* Each event that was taken makes the next request another one. */
static void efa_cq_event(struct ibv_cq *ibvcq)
{
	struct efa_cq *cq = to_ecq(ibvcq);
	bool locked = efa_lock_once(&cq->lock);

	cq->events++;
	if (locked)
		efa_unlock(&cq->lock);
}

static int efa_req_notify_cq(struct ibv_cq *ibvcq, int solicited_only)
{
	struct efa_cq *cq = to_ecq(ibvcq);
	bool locked;

	if (solicited_only || !cq->db.at)
		return EOPNOTSUPP;
	locked = efa_lock_once(&cq->lock);
	efa_cq_ring(cq, true);
	if (locked)
		efa_unlock(&cq->lock);
	return 0;
}

const struct verbs_context_ops efa_cq_ops = {
	.cq_event = efa_cq_event,
	.create_cq = efa_create_cq,
	.create_cq_ex = efa_create_cq_ex,
	.destroy_cq = efa_destroy_cq,
	.poll_cq = efa_poll_cq,
	.req_notify_cq = efa_req_notify_cq,
};
