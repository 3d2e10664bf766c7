// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: a process opens the device
 */
#include <stdio.h>
#include <unistd.h>
#include "efa.h"

/* What a driver must tell of device and AH. */
#define EFA_NEEDED	(EFA_ABI_UDATA_QUERY_DEVICE | EFA_ABI_UDATA_CREATE_AH)

EFA_PAIR(efa_query_device_resp, ib_uverbs_ex_query_device_resp, efa_abi_query_device_resp);

static int efa_ask_device(struct efa_context *ctx, const struct ibv_query_device_ex_input *input,
			  struct ibv_device_attr_ex *attr, size_t attr_size,
			  struct efa_query_device_resp *resp)
{
	size_t size = sizeof(*resp);

	return ibv_cmd_query_device_any(&ctx->vctx.context, input, attr, attr_size, &resp->ibv,
					&size);
}

static int efa_query_device_ex(struct ibv_context *ibvctx,
			       const struct ibv_query_device_ex_input *input,
			       struct ibv_device_attr_ex *attr, size_t attr_size)
{
	struct efa_context *ctx = to_ectx(ibvctx);
	struct ibv_device_attr *a = &attr->orig_attr;
	struct efa_query_device_resp resp = {};
	int err = efa_ask_device(ctx, input, attr, attr_size, &resp);
	uint32_t fw = resp.ibv.base.fw_ver;

	if (err)
		return err;
	snprintf(a->fw_ver, sizeof(a->fw_ver), "%u.%u.%u.%u", fw >> 24, fw >> 16 & 0xff,
		 fw >> 8 & 0xff, fw & 0xff);
	a->max_qp_wr = min_t(int, a->max_qp_wr, ctx->told.max_llq_size / EFA_WQE_SIZE);
	return 0;
}

static int efa_query_port(struct ibv_context *ibvctx, uint8_t port, struct ibv_port_attr *attr)
{
	struct ibv_query_port cmd;

	return ibv_cmd_query_port(ibvctx, port, attr, &cmd, sizeof(cmd));
}

static int efa_open(struct efa_context *ctx)
{
	EFA_PAIR(, ibv_get_context, efa_abi_alloc_ucontext) cmd = {
		.efa.supported_caps = EFA_ABI_KNOWS_TX_BATCH | EFA_ABI_KNOWS_MIN_SQ_WR,
	};
	EFA_PAIR(, ib_uverbs_get_context_resp, efa_abi_alloc_ucontext_resp) resp = {};
	struct efa_query_device_resp dev = {};
	struct ibv_device_attr_ex attr;
	int err;

	err = ibv_cmd_get_context(&ctx->vctx, &cmd.ibv, sizeof(cmd), NULL, &resp.ibv, sizeof(resp));
	if (err)
		return err;
	if ((resp.efa.cmds_supp_udata_mask & EFA_NEEDED) != EFA_NEEDED || !resp.efa.sub_cqs_per_cq)
		return EOPNOTSUPP;
	ctx->told = resp.efa;
	ctx->told.inline_buf_size_ex = min_t(uint16_t, EFA_IO_TX_INLINE_WIDE,
		resp.efa.inline_buf_size_ex ?: resp.efa.inline_buf_size);
	err = efa_ask_device(ctx, NULL, &attr, sizeof(attr), &dev);
	if (err)
		return err;
	ctx->dev = dev.efa;
	if (efa_watched & EFA_STRICT)
		ctx->dev.device_caps &= ~EFA_ABI_CAP_64_BIT_ID;	/* it wants slots */
	ctx->max_rdma_sge = attr.orig_attr.max_sge_rd;
	ctx->max_cqe = attr.orig_attr.max_cqe;
	ctx->page_size = sysconf(_SC_PAGESIZE);
	ctx->qp_mask = efa_pow2up(attr.orig_attr.max_qp) - 1;
	ctx->owners = calloc(ctx->qp_mask + 1, 2 * sizeof(*ctx->owners));
	return ctx->owners ? 0 : ENOMEM;
}

static void efa_free_context(struct ibv_context *ibvctx)
{
	struct efa_context *ctx = to_ectx(ibvctx);

	free(ctx->owners);
	verbs_uninit_context(&ctx->vctx);
	free(ctx);
}

static const struct verbs_context_ops efa_context_ops = {
	.free_context = efa_free_context,
	.query_device_ex = efa_query_device_ex,
	.query_port = efa_query_port,
};

static struct verbs_context *efa_alloc_context(struct ibv_device *device, int cmd_fd,
					       void *private_data)
{
	static const struct verbs_context_ops *const ops[] = {
		&efa_context_ops, &efa_pd_ops, &efa_mr_ops, &efa_ah_ops, &efa_cq_ops, &efa_qp_ops,
#if EFA_EFADV >= 7
		&efa_counter_ops,
#endif
	};
	struct efa_context *ctx;
	size_t i;
	int err;

	ctx = verbs_init_and_alloc_context(device, cmd_fd, ctx, vctx, RDMA_DRIVER_EFA);
	if (!ctx)
		return NULL;
	err = efa_open(ctx);
	if (err) {
		efa_free_context(&ctx->vctx.context);
		return efa_fail(err);
	}
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		verbs_set_ops(&ctx->vctx, ops[i]);
	return &ctx->vctx;
}

int efa_map(struct efa_context *ctx, void **map, uint64_t key, size_t size, int prot)
{
	void *at = mmap(NULL, size, prot, MAP_SHARED, ctx->vctx.context.cmd_fd, key);

	if (at == MAP_FAILED)
		return errno;
	*map = at;
	return 0;
}

int efa_map_db(struct efa_context *ctx, struct efa_db *db, uint64_t key, uint32_t offset)
{
	int err = efa_map(ctx, &db->page, key, ctx->page_size, PROT_WRITE);

	if (!err)
		db->at = (uint8_t *)db->page + offset;
	return err;
}

void efa_unmap_db(struct efa_context *ctx, struct efa_db *db)
{
	if (db->page)
		munmap(db->page, ctx->page_size);
}

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
	EFA_PCI(0xefa0), EFA_PCI(0xefa1), EFA_PCI(0xefa2), EFA_PCI(0xefa3), EFA_PCI(0xefa4),
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

int efa_check_arg(struct ibv_context *ibvctx, const void *arg, size_t needed, size_t known,
		  size_t inlen)
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
