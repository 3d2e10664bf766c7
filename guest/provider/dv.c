// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: what libibverbs has no words for
 */
#include <infiniband/cmd_ioctl.h>
#include "efa.h"

int efadv_query_device(struct ibv_context *ibvctx, struct efadv_device_attr *attr, uint32_t inlen)
{
	static const struct {
		uint32_t abi, efadv;
	} caps[] = {
		{ EFA_ABI_CAP_RDMA_READ, EFADV_DEVICE_ATTR_CAPS_RDMA_READ },
		{ EFA_ABI_CAP_RNR_RETRY, EFADV_DEVICE_ATTR_CAPS_RNR_RETRY },
		{ EFA_ABI_CAP_CQ_WITH_SGID, EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID },
		{ EFA_ABI_CAP_RDMA_WRITE, EFADV_DEVICE_ATTR_CAPS_RDMA_WRITE },
		{ EFA_ABI_CAP_UNSOLICITED, EFADV_DEVICE_ATTR_CAPS_UNSOLICITED_WRITE_RECV },
#if EFA_EFADV >= 7
		{ EFA_ABI_CAP_CQ_EXT_MEM, EFADV_DEVICE_ATTR_CAPS_CQ_WITH_EXT_MEM_DMABUF },
		{ EFA_ABI_CAP_COMP_CNTR, EFADV_DEVICE_ATTR_CAPS_COMP_CNTR },
#endif
	};
	struct efa_context *ctx = to_ectx(ibvctx);
	struct efadv_device_attr out = {};
	size_t i;
	int err = EFA_CHECK_OUT(ibvctx, attr, inline_buf_size, inlen);

	if (err)
		return err;
	out.max_sq_wr = ctx->dev.max_sq_wr;
	out.max_rq_wr = ctx->dev.max_rq_wr;
	out.max_sq_sge = ctx->dev.max_sq_sge;
	out.max_rq_sge = ctx->dev.max_rq_sge;
	out.inline_buf_size = ctx->told.inline_buf_size;
#if EFA_EFADV >= 7
	out.inline_buf_size_ex = ctx->told.inline_buf_size_ex;
#endif
	out.max_rdma_size = ctx->dev.max_rdma_size;
	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (efa_has(ctx, caps[i].abi))
			out.device_caps |= caps[i].efadv;
	memcpy(attr, &out, min_t(size_t, inlen, sizeof(out)));
	return 0;
}

int efadv_query_ah(struct ibv_ah *ibvah, struct efadv_ah_attr *attr, uint32_t inlen)
{
	int err = EFA_CHECK_OUT(ibvah->context, attr, ahn, inlen);

	if (err)
		return err;
	memset(attr, 0, min_t(size_t, inlen, sizeof(*attr)));
	attr->ahn = to_eah(ibvah)->ahn;
	return 0;
}

struct ibv_qp *efadv_create_driver_qp(struct ibv_pd *ibvpd, struct ibv_qp_init_attr *attr,
				      uint32_t driver_qp_type)
{
	struct efadv_qp_init_attr efa_attr = { .driver_qp_type = driver_qp_type };
	int err = EFA_CHECK_ARG(ibvpd->context, &efa_attr, driver_qp_type, sizeof(efa_attr));

	return err ? efa_fail(err) : efa_qp_new_in(ibvpd, attr, &efa_attr);
}

static int efa_check_qp_ex(const struct efa_context *ctx, const struct efadv_qp_init_attr *efa_attr)
{
	const uint32_t flags = EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV | EFADV_QP_FLAGS_INLINE_WRITE;

	if (efa_attr->comp_mask || *(const uint8_t *)&efa_attr->reserved)
		return EINVAL;
	if (!check_comp_mask(efa_attr->flags, flags) ||
	    ((efa_attr->flags & EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV) &&
	     !efa_has(ctx, EFA_ABI_CAP_UNSOLICITED)) ||
	    ((efa_attr->flags & EFADV_QP_FLAGS_INLINE_WRITE) &&
	     !efa_has(ctx, EFA_ABI_CAP_RDMA_WRITE)))
		return EOPNOTSUPP;
#if EFA_EFADV >= 7
	if (!check_comp_mask(efa_attr->wr_flags, EFADV_WR_EX_WITH_PROCESSING_HINTS))
		return EOPNOTSUPP;
#endif
	return 0;
}

struct ibv_qp *efadv_create_qp_ex(struct ibv_context *ibvctx, struct ibv_qp_init_attr_ex *attr_ex,
				  struct efadv_qp_init_attr *efa_attr, uint32_t inlen)
{
	struct efa_context *ctx = to_ectx(ibvctx);
	struct efadv_qp_init_attr copy = {};
	int err = EFA_CHECK_ARG(ibvctx, efa_attr, driver_qp_type, inlen);

	if (!err) {
		memcpy(&copy, efa_attr, min_t(size_t, inlen, sizeof(copy)));
		err = efa_check_qp_ex(ctx, &copy);
	}
	if (err)
		return efa_fail(err);
	return efa_qp_new(ctx, attr_ex, &copy);
}

static int efa_take_cq_opts(const struct efadv_cq_init_attr *attr, struct efa_cq_opts *opts)
{
	const uint64_t wc_flags = EFADV_WC_EX_WITH_SGID | EFADV_WC_EX_WITH_IS_UNSOLICITED;

	if (attr->comp_mask)
		return EINVAL;
	if (!check_comp_mask(attr->wc_flags, wc_flags))
		return EOPNOTSUPP;
	opts->wc_flags = attr->wc_flags;
#if EFA_EFADV >= 7
	if (!check_comp_mask(attr->flags, EFADV_CQ_INIT_FLAGS_EXT_MEM_DMABUF))
		return EOPNOTSUPP;
	if (attr->flags) {
		opts->external = true;
		opts->buffer = attr->ext_mem_dmabuf.buffer;
		opts->length = attr->ext_mem_dmabuf.length;
		opts->offset = attr->ext_mem_dmabuf.offset;
		opts->fd = attr->ext_mem_dmabuf.fd;
	}
#endif
	return 0;
}

struct ibv_cq_ex *efadv_create_cq(struct ibv_context *ibvctx, struct ibv_cq_init_attr_ex *attr_ex,
				  struct efadv_cq_init_attr *efa_attr, uint32_t inlen)
{
	struct efadv_cq_init_attr copy = {};
	struct efa_cq_opts opts = {};
	struct ibv_cq_ex *cq;
	int err = EFA_CHECK_ARG(ibvctx, efa_attr, wc_flags, inlen);

	if (!err) {
		memcpy(&copy, efa_attr, min_t(size_t, inlen, sizeof(copy)));
		err = efa_take_cq_opts(&copy, &opts);
	}
	if (err)
		return efa_fail(err);
	cq = efa_cq_new(to_ectx(ibvctx), attr_ex, &opts);
	if (cq)
		verbs_init_cq(ibv_cq_ex_to_cq(cq), ibvctx, attr_ex->channel, attr_ex->cq_context);
	return cq;
}

struct efadv_cq *efadv_cq_from_ibv_cq_ex(struct ibv_cq_ex *ibvcqx)
{
	return &to_ecq_ex(ibvcqx)->dv;
}

/* The kernel has kept what the device said of the region. */
int efadv_query_mr(struct ibv_mr *ibvmr, struct efadv_mr_attr *attr, uint32_t inlen)
{
	DECLARE_COMMAND_BUFFER(cmd, UVERBS_OBJECT_MR, EFA_ABI_METHOD_MR_QUERY, 5);
	struct efadv_mr_attr out = {};
	int err = EFA_CHECK_OUT(ibvmr->context, attr, rdma_recv_ic_id, inlen);

	if (err)
		return err;
	fill_attr_in_obj(cmd, EFA_ABI_ATTR_MR_HANDLE, ibvmr->handle);
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_VALIDITY, &out.ic_id_validity,
		      sizeof(out.ic_id_validity));
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_RECV_IC, &out.recv_ic_id, sizeof(out.recv_ic_id));
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_RDMA_READ_IC, &out.rdma_read_ic_id,
		      sizeof(out.rdma_read_ic_id));
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_RDMA_RECV_IC, &out.rdma_recv_ic_id,
		      sizeof(out.rdma_recv_ic_id));
	err = execute_ioctl(ibvmr->context, cmd);
	if (err)
		return err;
	memcpy(attr, &out, min_t(size_t, inlen, sizeof(out)));
	return 0;
}
