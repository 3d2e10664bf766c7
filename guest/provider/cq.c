// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: completion queues
 *
 * The rings are the kernel's memory, which the device writes and we only read.
 * A CQ with a channel has a doorbell, by which the process asks for an event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "efa.h"

struct efa_create_cq_cmd {
	struct ibv_create_cq_ex ibv_cmd;
	struct efa_abi_create_cq efa;
};

struct efa_create_cq_resp {
	struct ib_uverbs_ex_create_cq_resp ibv_resp;
	struct efa_abi_create_cq_resp efa;
};

#define EFA_WC_FLAGS	IBV_WC_STANDARD_FLAGS
#define EFA_CQ_MASKS	(IBV_CQ_INIT_ATTR_MASK_FLAGS | \
			 IBV_CQ_INIT_ATTR_MASK_PD)

static int efa_check_cq(const struct efa_context *ctx, const struct ibv_cq_init_attr_ex *attr,
			const struct efa_cq_opts *opts)
{
	if (!check_comp_mask(attr->comp_mask, EFA_CQ_MASKS) ||
	    !check_comp_mask(attr->wc_flags, EFA_WC_FLAGS))
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

static bool efa_cq_needs_lock(const struct ibv_cq_init_attr_ex *attr)
{
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
	    (attr->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED))
		return false;
	return !(attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) || !to_epd(attr->parent_domain)->td;
}

static size_t efa_cq_ring_size(const struct efa_cq *cq)
{
	return (cq->mask + 1) * sizeof(struct efa_io_cdesc);
}

static void *efa_map_nothing(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

static int efa_cq_map(struct efa_context *ctx, struct efa_cq *cq, const struct efa_cq_opts *opts,
		      const struct efa_abi_create_cq_resp *resp)
{
	uint8_t *buf = opts->buffer;
	unsigned int i;

	cq->cqn = resp->cq_idx;
	if (!opts->external) {
		cq->map_size = resp->q_mmap_size;
		buf = cq->map = efa_map(ctx, resp->q_mmap_key, cq->map_size, PROT_READ);
	} else if (!buf) {
		/* A ring that others see: whoever polls here finds nothing. */
		cq->map_size = efa_cq_ring_size(cq) * cq->num_sub;
		buf = cq->map = efa_map_nothing(cq->map_size);
	}
	if (!buf)
		return errno;
	cq->buf = opts->external ? opts->buffer : buf;
	for (i = 0; i < cq->num_sub; i++)
		cq->sub[i].buf = buf + i * efa_cq_ring_size(cq);
	if (!(resp->comp_mask & EFA_ABI_CQ_RESP_DB_OFF))
		return 0;
	cq->db_page = efa_map(ctx, resp->db_mmap_key, ctx->page_size, PROT_WRITE);
	if (!cq->db_page)
		return errno;
	cq->db = (uint8_t *)cq->db_page + resp->db_off;
	return 0;
}

static void efa_cq_free(struct efa_context *ctx, struct efa_cq *cq)
{
	if (cq->db_page)
		munmap(cq->db_page, ctx->page_size);
	if (cq->map)
		munmap(cq->map, cq->map_size);
	efa_lock_destroy(&cq->lock);
	free(cq);
}

static int efa_ask_for_cq(struct efa_context *ctx, struct efa_cq *cq,
			  const struct ibv_cq_init_attr_ex *attr, const struct efa_cq_opts *opts,
			  struct efa_create_cq_resp *resp)
{
	struct efa_create_cq_cmd cmd = {
		.efa.cq_entry_size = sizeof(struct efa_io_cdesc),
		.efa.num_sub_cqs = cq->num_sub,
	};
	struct ibv_cq_init_attr_ex rounded = *attr;
	struct verbs_create_cq_prov_attr *prov = NULL;
	uint32_t cmd_flags = 0;
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
	if (cq->wide_ids)
		cmd.efa.flags |= EFA_ABI_CQ_WITH_64_BIT_ID;
	return ibv_cmd_create_cq_ex(&ctx->vctx.context, &rounded, prov,
				    &cq->vcq, &cmd.ibv_cmd, sizeof(cmd),
				    &resp->ibv_resp, sizeof(*resp), cmd_flags);
}

struct ibv_cq_ex *efa_cq_new(struct efa_context *ctx, struct ibv_cq_init_attr_ex *attr,
			     const struct efa_cq_opts *opts)
{
	struct efa_create_cq_resp resp = {};
	struct efa_cq *cq;
	int err;

	err = efa_check_cq(ctx, attr, opts);
	if (err)
		goto fail;
	cq = calloc(1, sizeof(*cq) + ctx->sub_cqs_per_cq * sizeof(cq->sub[0]));
	err = ENOMEM;
	if (!cq)
		goto fail;
	cq->ctx = ctx;
	cq->num_sub = ctx->sub_cqs_per_cq;
	cq->mask = efa_pow2up(attr->cqe) - 1;
	cq->wide_ids = efa_has(ctx, EFA_ABI_CAP_64_BIT_ID);
	err = efa_lock_init(&cq->lock, efa_cq_needs_lock(attr));
	if (err) {
		free(cq);
		goto fail;
	}
	err = efa_ask_for_cq(ctx, cq, attr, opts, &resp);
	if (err)
		goto free;
	err = efa_cq_map(ctx, cq, opts, &resp.efa);
	if (err) {
		ibv_cmd_destroy_cq(&cq->vcq.cq);
		goto free;
	}
	efa_cq_fill_ops(cq, attr->wc_flags, opts->wc_flags);
	return &cq->vcq.cq_ex;

free:
	efa_cq_free(ctx, cq);
fail:
	errno = err;
	return NULL;
}

struct ibv_cq_ex *efa_create_cq_ex(struct ibv_context *ibvctx, struct ibv_cq_init_attr_ex *attr)
{
	static const struct efa_cq_opts none;

	return efa_cq_new(to_ectx(ibvctx), attr, &none);
}

struct ibv_cq *efa_create_cq(struct ibv_context *ibvctx, int cqe,
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

int efa_destroy_cq(struct ibv_cq *ibvcq)
{
	int err = ibv_cmd_destroy_cq(ibvcq);

	if (!err)
		efa_cq_free(to_ectx(ibvcq->context), to_ecq(ibvcq));
	return err;
}

/* ---- events ---- */

/* Each event that was taken makes the next request another one. */
void efa_cq_event(struct ibv_cq *ibvcq)
{
	struct efa_cq *cq = to_ecq(ibvcq);

	efa_lock(&cq->lock);
	cq->events++;
	efa_unlock(&cq->lock);
}

int efa_req_notify_cq(struct ibv_cq *ibvcq, int solicited_only)
{
	struct efa_cq *cq = to_ecq(ibvcq);

	if (solicited_only || !cq->db)
		return EOPNOTSUPP;
	efa_lock(&cq->lock);
	efa_cq_ring(cq, true);
	efa_unlock(&cq->lock);
	return 0;
}
