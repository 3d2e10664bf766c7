// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: a process opens the device
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "efa.h"

struct efa_open_cmd {
	struct ibv_get_context ibv_cmd;
	struct efa_abi_alloc_ucontext efa;
};

struct efa_open_resp {
	struct ib_uverbs_get_context_resp ibv_resp;
	struct efa_abi_alloc_ucontext_resp efa;
};

struct efa_query_device_ex_resp {
	struct ib_uverbs_ex_query_device_resp ibv_resp;
	struct efa_abi_query_device_resp efa;
};

static void efa_free_context(struct ibv_context *ibvctx);

static const struct verbs_context_ops efa_ops = {
	.alloc_parent_domain = efa_alloc_parent_domain,
	.alloc_pd = efa_alloc_pd,
	.alloc_td = efa_alloc_td,
	.cq_event = efa_cq_event,
	.create_ah = efa_create_ah,
	.create_cq = efa_create_cq,
	.create_cq_ex = efa_create_cq_ex,
	.create_qp = efa_create_qp,
	.create_qp_ex = efa_create_qp_ex,
	.dealloc_pd = efa_dealloc_pd,
	.dealloc_td = efa_dealloc_td,
	.dereg_mr = efa_dereg_mr,
	.destroy_ah = efa_destroy_ah,
	.destroy_cq = efa_destroy_cq,
	.destroy_qp = efa_destroy_qp,
	.free_context = efa_free_context,
	.modify_qp = efa_modify_qp,
	.poll_cq = efa_poll_cq,
	.post_recv = efa_post_recv,
	.post_send = efa_post_send,
	.query_device_ex = efa_query_device_ex,
	.query_port = efa_query_port,
	.query_qp = efa_query_qp,
	.query_qp_data_in_order = efa_query_qp_data_in_order,
	.reg_dmabuf_mr = efa_reg_dmabuf_mr,
	.reg_mr = efa_reg_mr,
	.req_notify_cq = efa_req_notify_cq,
#if EFA_EFADV >= 7
	.create_comp_cntr = efa_create_comp_cntr,
	.destroy_comp_cntr = efa_destroy_comp_cntr,
	.inc_comp_cntr = ibv_cmd_inc_comp_cntr,
	.inc_err_comp_cntr = ibv_cmd_inc_err_comp_cntr,
	.qp_attach_comp_cntr = ibv_cmd_qp_attach_comp_cntr,
	.query_comp_cntr_caps = ibv_cmd_query_comp_cntr_caps,
	.read_comp_cntr = efa_read_comp_cntr,
	.read_err_comp_cntr = efa_read_err_comp_cntr,
	.set_comp_cntr = ibv_cmd_set_comp_cntr,
	.set_err_comp_cntr = ibv_cmd_set_err_comp_cntr,
#endif
};

/* What a driver must tell of device and AH. */
#define EFA_NEEDED	(EFA_ABI_UDATA_QUERY_DEVICE | EFA_ABI_UDATA_CREATE_AH)

/* ---- attributes ---- */

static int efa_ask_device(struct efa_context *ctx, const struct ibv_query_device_ex_input *input,
			  struct ibv_device_attr_ex *attr, size_t attr_size,
			  struct efa_query_device_ex_resp *resp)
{
	size_t size = sizeof(*resp);

	memset(resp, 0, sizeof(*resp));
	return ibv_cmd_query_device_any(&ctx->vctx.context, input, attr,
					attr_size, &resp->ibv_resp, &size);
}

int efa_query_device_ex(struct ibv_context *ibvctx, const struct ibv_query_device_ex_input *input,
			struct ibv_device_attr_ex *attr, size_t attr_size)
{
	struct efa_context *ctx = to_ectx(ibvctx);
	struct ibv_device_attr *a = &attr->orig_attr;
	struct efa_query_device_ex_resp resp;
	uint64_t fw;
	int err;

	err = efa_ask_device(ctx, input, attr, attr_size, &resp);
	if (err)
		return err;
	fw = resp.ibv_resp.base.fw_ver;
	snprintf(a->fw_ver, sizeof(a->fw_ver), "%u.%u.%u.%u", (unsigned int)(fw >> 24 & 0xff),
		 (unsigned int)(fw >> 16 & 0xff),
		 (unsigned int)(fw >> 8 & 0xff), (unsigned int)(fw & 0xff));
	a->max_qp_wr = min_t(int, a->max_qp_wr, ctx->max_llq_size / EFA_WQE_SIZE);
	return 0;
}

int efa_query_port(struct ibv_context *ibvctx, uint8_t port, struct ibv_port_attr *attr)
{
	struct ibv_query_port cmd;

	return ibv_cmd_query_port(ibvctx, port, attr, &cmd, sizeof(cmd));
}

/* ---- open and close ---- */

static int efa_get_limits(struct efa_context *ctx, uint32_t *max_qp)
{
	struct efa_query_device_ex_resp resp;
	struct ibv_device_attr_ex attr;
	int err;

	err = efa_ask_device(ctx, NULL, &attr, sizeof(attr), &resp);
	if (err)
		return err;
	ctx->max_sq_wr = resp.efa.max_sq_wr;
	ctx->max_rq_wr = resp.efa.max_rq_wr;
	ctx->max_sq_sge = resp.efa.max_sq_sge;
	ctx->max_rq_sge = resp.efa.max_rq_sge;
	ctx->max_rdma_size = resp.efa.max_rdma_size;
	ctx->device_caps = resp.efa.device_caps;
	if (efa_watched & EFA_STRICT)
		ctx->device_caps &= ~EFA_ABI_CAP_64_BIT_ID;	/* it wants slots */
	ctx->max_rdma_sge = attr.orig_attr.max_sge_rd;
	ctx->max_cqe = attr.orig_attr.max_cqe;
	*max_qp = attr.orig_attr.max_qp;
	return 0;
}

static int efa_open(struct efa_context *ctx)
{
	struct efa_open_cmd cmd = {
		.efa.supported_caps = EFA_ABI_KNOWS_TX_BATCH | EFA_ABI_KNOWS_MIN_SQ_WR,
	};
	struct efa_open_resp resp = {};
	uint32_t max_qp;
	int err;

	if (ibv_cmd_get_context(&ctx->vctx, &cmd.ibv_cmd, sizeof(cmd),
				NULL, &resp.ibv_resp, sizeof(resp)))
		return errno;
	if ((resp.efa.cmds_supp_udata_mask & EFA_NEEDED) != EFA_NEEDED)
		return EOPNOTSUPP;
	ctx->sub_cqs_per_cq = resp.efa.sub_cqs_per_cq;
	ctx->inline_buf_size = resp.efa.inline_buf_size;
	ctx->inline_buf_size_ex = resp.efa.inline_buf_size_ex ?:
				  resp.efa.inline_buf_size;
	ctx->max_llq_size = resp.efa.max_llq_size;
	ctx->max_tx_batch = resp.efa.max_tx_batch;
	ctx->min_sq_wr = resp.efa.min_sq_wr;
	ctx->page_size = sysconf(_SC_PAGESIZE);
	err = efa_get_limits(ctx, &max_qp);
	if (err)
		return err;
	ctx->qp_mask = efa_pow2up(max_qp) - 1;
	ctx->owners = calloc(ctx->qp_mask + 1, 2 * sizeof(*ctx->owners));
	return ctx->owners ? 0 : ENOMEM;
}

static struct verbs_context *efa_alloc_context(struct ibv_device *device,
					       int cmd_fd, void *private_data)
{
	struct efa_context *ctx;
	int err;

	efa_watch_init();
	ctx = verbs_init_and_alloc_context(device, cmd_fd, ctx, vctx, RDMA_DRIVER_EFA);
	if (!ctx)
		return NULL;
	err = efa_open(ctx);
	if (err) {
		verbs_uninit_context(&ctx->vctx);
		free(ctx);
		errno = err;
		return NULL;
	}
	verbs_set_ops(&ctx->vctx, &efa_ops);
	return &ctx->vctx;
}

static void efa_free_context(struct ibv_context *ibvctx)
{
	struct efa_context *ctx = to_ectx(ibvctx);

	free(ctx->owners);
	verbs_uninit_context(&ctx->vctx);
	free(ctx);
}

void *efa_map(struct efa_context *ctx, uint64_t key, size_t size, int prot)
{
	void *map = mmap(NULL, size, prot, MAP_SHARED, ctx->vctx.context.cmd_fd, key);

	return map == MAP_FAILED ? NULL : map;
}

/* ---- locks ---- */

int efa_lock_init(struct efa_lock *lock, bool needed)
{
	lock->needed = needed;
	return pthread_spin_init(&lock->spin, PTHREAD_PROCESS_PRIVATE);
}

void efa_lock_destroy(struct efa_lock *lock)
{
	pthread_spin_destroy(&lock->spin);
}

/* ---- the device ---- */

static struct verbs_device *efa_alloc_device(struct verbs_sysfs_dev *sysfs)
{
	return calloc(1, sizeof(struct verbs_device));
}

static void efa_uninit_device(struct verbs_device *device)
{
	free(device);
}

#define EFA_PCI(id)	VERBS_PCI_MATCH(0x1d0f, (id), NULL)

static const struct verbs_match_ent efa_matches[] = {
	VERBS_DRIVER_ID(RDMA_DRIVER_EFA),
	EFA_PCI(0xefa0),
	EFA_PCI(0xefa1),
	EFA_PCI(0xefa2),
	EFA_PCI(0xefa3),
	EFA_PCI(0xefa4),
	{}
};

static const struct verbs_device_ops efa_device_ops = {
	.name = "efa",
	.match_min_abi_version = EFA_ABI_VERSION,
	.match_max_abi_version = EFA_ABI_VERSION,
	.match_table = efa_matches,
	.alloc_device = efa_alloc_device,
	.uninit_device = efa_uninit_device,
	.alloc_context = efa_alloc_context,
};

int efa_check_arg(struct ibv_context *ibvctx, const void *arg, size_t needed,
		  size_t known, size_t inlen)
{
	const uint8_t *p = arg;

	if (verbs_get_device(ibvctx->device)->ops != &efa_device_ops)
		return EOPNOTSUPP;
	if (!arg || inlen < needed)
		return EINVAL;
	for (; known < inlen; known++)
		if (p[known])
			return EINVAL;
	return 0;
}

PROVIDER_DRIVER(efa, efa_device_ops);
