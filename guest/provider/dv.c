// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: what libibverbs has no words for
 *
 * efadv.h is the interface, and grows at the ends of its structures: a caller
 * of yesterday passes a shorter one, one of tomorrow a longer one, whose end
 * is to be zero.
 */
#include <errno.h>
#include <infiniband/cmd_ioctl.h>
#include <string.h>
#include "efa.h"

/* Does a structure of @len bytes reach as far as @member? */
#define EFA_REACHES(_type, _member, _len) \
	((_len) >= offsetofend(_type, _member))

/* Is all of @arg behind @known bytes zero? */
static bool efa_rest_is_zero(const void *arg, size_t known, size_t len)
{
	const uint8_t *p = arg;

	for (; known < len; known++)
		if (p[known])
			return false;
	return true;
}

int efadv_query_device(struct ibv_context *ibvctx,
		       struct efadv_device_attr *attr, uint32_t inlen)
{
	static const struct {
		uint32_t abi, efadv;
	} caps[] = {
		{ EFA_ABI_CAP_RDMA_READ, EFADV_DEVICE_ATTR_CAPS_RDMA_READ },
		{ EFA_ABI_CAP_RNR_RETRY, EFADV_DEVICE_ATTR_CAPS_RNR_RETRY },
		{ EFA_ABI_CAP_CQ_WITH_SGID,
		  EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID },
		{ EFA_ABI_CAP_RDMA_WRITE, EFADV_DEVICE_ATTR_CAPS_RDMA_WRITE },
		{ EFA_ABI_CAP_UNSOLICITED,
		  EFADV_DEVICE_ATTR_CAPS_UNSOLICITED_WRITE_RECV },
	};
	struct efa_context *ctx = efa_ctx_of(ibvctx);
	struct efadv_device_attr out = {};
	size_t i;

	if (!ctx)
		return EOPNOTSUPP;
	if (!EFA_REACHES(typeof(*attr), inline_buf_size, inlen) ||
	    !efa_rest_is_zero(attr, sizeof(*attr), inlen))
		return EINVAL;
	out.max_sq_wr = ctx->max_sq_wr;
	out.max_rq_wr = ctx->max_rq_wr;
	out.max_sq_sge = ctx->max_sq_sge;
	out.max_rq_sge = ctx->max_rq_sge;
	out.inline_buf_size = ctx->inline_buf_size;
	out.max_rdma_size = ctx->max_rdma_size;
	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (efa_has(ctx, caps[i].abi))
			out.device_caps |= caps[i].efadv;
	memcpy(attr, &out, min_t(size_t, inlen, sizeof(out)));
	return 0;
}

int efadv_query_ah(struct ibv_ah *ibvah, struct efadv_ah_attr *attr,
		   uint32_t inlen)
{
	if (!efa_ctx_of(ibvah->context))
		return EOPNOTSUPP;
	if (!EFA_REACHES(typeof(*attr), ahn, inlen) ||
	    !efa_rest_is_zero(attr, sizeof(*attr), inlen))
		return EINVAL;
	memset(attr, 0, min_t(size_t, inlen, sizeof(*attr)));
	attr->ahn = to_eah(ibvah)->ahn;
	return 0;
}

struct ibv_qp *efadv_create_driver_qp(struct ibv_pd *ibvpd,
				      struct ibv_qp_init_attr *attr,
				      uint32_t driver_qp_type)
{
	struct efadv_qp_init_attr efa_attr = {
		.driver_qp_type = driver_qp_type,
	};
	struct efa_context *ctx = efa_ctx_of(ibvpd->context);
	struct ibv_qp_init_attr_ex ex = {};
	struct ibv_qp *qp;

	if (!ctx)
		return NULL;
	if (attr->qp_type != IBV_QPT_DRIVER) {
		errno = EINVAL;
		return NULL;
	}
	memcpy(&ex, attr, sizeof(*attr));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD;
	ex.pd = ibvpd;
	qp = efa_qp_new(ctx, &ex, &efa_attr);
	if (qp)
		memcpy(attr, &ex, sizeof(*attr));
	return qp;
}

static int efa_check_qp_ex(const struct efa_context *ctx,
			   const struct efadv_qp_init_attr *efa_attr,
			   uint32_t inlen)
{
	if (!efa_attr || efa_attr->comp_mask || efa_attr->reserved[0] ||
	    !EFA_REACHES(typeof(*efa_attr), driver_qp_type, inlen) ||
	    !efa_rest_is_zero(efa_attr, sizeof(*efa_attr), inlen))
		return EINVAL;
	if (!check_comp_mask(efa_attr->flags, EFA_QP_FLAGS) ||
	    ((efa_attr->flags & EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV) &&
	     !efa_has(ctx, EFA_ABI_CAP_UNSOLICITED)) ||
	    ((efa_attr->flags & EFA_INLINE_WRITE) &&
	     !efa_has(ctx, EFA_ABI_CAP_RDMA_WRITE)))
		return EOPNOTSUPP;
	return 0;
}

struct ibv_qp *efadv_create_qp_ex(struct ibv_context *ibvctx,
				  struct ibv_qp_init_attr_ex *attr_ex,
				  struct efadv_qp_init_attr *efa_attr,
				  uint32_t inlen)
{
	struct efa_context *ctx = efa_ctx_of(ibvctx);
	struct efadv_qp_init_attr copy = {};
	int err;

	if (!ctx)
		return NULL;
	err = efa_check_qp_ex(ctx, efa_attr, inlen);
	if (err) {
		errno = err;
		return NULL;
	}
	memcpy(&copy, efa_attr, min_t(size_t, inlen, sizeof(copy)));
	return efa_qp_new(ctx, attr_ex, &copy);
}

struct ibv_cq_ex *efadv_create_cq(struct ibv_context *ibvctx,
				  struct ibv_cq_init_attr_ex *attr_ex,
				  struct efadv_cq_init_attr *efa_attr,
				  uint32_t inlen)
{
	struct efa_context *ctx = efa_ctx_of(ibvctx);
	uint64_t flags = EFADV_WC_EX_WITH_SGID |
			 EFADV_WC_EX_WITH_IS_UNSOLICITED;

	if (!ctx)
		return NULL;
	if (!EFA_REACHES(typeof(*efa_attr), wc_flags, inlen) ||
	    !efa_rest_is_zero(efa_attr, sizeof(*efa_attr), inlen) ||
	    efa_attr->comp_mask) {
		errno = EINVAL;
		return NULL;
	}
	if (!check_comp_mask(efa_attr->wc_flags, flags)) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	return efa_cq_new(ctx, attr_ex, efa_attr->wc_flags);
}

struct efadv_cq *efadv_cq_from_ibv_cq_ex(struct ibv_cq_ex *ibvcqx)
{
	return &to_ecq_ex(ibvcqx)->dv;
}

/* The kernel has kept what the device said of the region. */
int efadv_query_mr(struct ibv_mr *ibvmr, struct efadv_mr_attr *attr,
		   uint32_t inlen)
{
	DECLARE_COMMAND_BUFFER(cmd, UVERBS_OBJECT_MR, EFA_ABI_METHOD_MR_QUERY,
			       5);
	struct efadv_mr_attr out = {};
	int err;

	if (!efa_ctx_of(ibvmr->context))
		return EOPNOTSUPP;
	if (!EFA_REACHES(typeof(*attr), rdma_recv_ic_id, inlen) ||
	    !efa_rest_is_zero(attr, sizeof(*attr), inlen))
		return EINVAL;
	fill_attr_in_obj(cmd, EFA_ABI_ATTR_MR_HANDLE, ibvmr->handle);
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_VALIDITY, &out.ic_id_validity,
		      sizeof(out.ic_id_validity));
	fill_attr_out(cmd, EFA_ABI_ATTR_MR_RECV_IC, &out.recv_ic_id,
		      sizeof(out.recv_ic_id));
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
