// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: memory regions, which are the kernel's and the device's
 */
#include "efa.h"

static struct efa_mr *efa_mr_new(struct ibv_pd *ibvpd, uint64_t iova, size_t length, int access)
{
	struct efa_mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	mr->iova = iova;
	mr->length = length;
	mr->pdn = to_epd(ibvpd)->pdn;
	mr->vmr.access = access;	/* libibverbs notes it of some regions only */
	return mr;
}

static struct ibv_mr *efa_mr_made(struct efa_mr *mr, int err)
{
	if (err) {
		free(mr);
		return NULL;
	}
	if (efa_watches())
		efa_watch_mr(mr);
	return &mr->vmr.ibv_mr;
}

static struct ibv_mr *efa_reg_mr(struct ibv_pd *ibvpd, void *addr, size_t length, uint64_t iova,
				 int access)
{
	struct efa_mr *mr = efa_mr_new(ibvpd, iova, length, access);
	struct ib_uverbs_reg_mr_resp resp;
	struct ibv_reg_mr cmd;

	if (!mr)
		return NULL;
	mr->here = (uintptr_t)addr == iova;
	return efa_mr_made(mr, ibv_cmd_reg_mr(ibvpd, addr, length, iova, access, &mr->vmr, &cmd,
					      sizeof(cmd), &resp, sizeof(resp)));
}

static struct ibv_mr *efa_reg_dmabuf_mr(struct ibv_pd *ibvpd, uint64_t offset, size_t length,
					uint64_t iova, int fd, int access)
{
	struct efa_mr *mr = efa_mr_new(ibvpd, iova, length, access);

	return mr ? efa_mr_made(mr, ibv_cmd_reg_dmabuf_mr(ibvpd, offset, length, iova, fd, access,
							  &mr->vmr, NULL)) : NULL;
}

static int efa_dereg_mr(struct verbs_mr *vmr)
{
	struct efa_mr *mr = container_of(vmr, struct efa_mr, vmr);
	int err;

	/* Before another region can have the key. */
	if (efa_watches())
		efa_watch_mr_end(mr);
	err = ibv_cmd_dereg_mr(vmr);
	if (!err)
		free(mr);
	else if (efa_watches())
		efa_watch_mr(mr);
	return err;
}

const struct verbs_context_ops efa_mr_ops = {
	.dereg_mr = efa_dereg_mr,
	.reg_dmabuf_mr = efa_reg_dmabuf_mr,
	.reg_mr = efa_reg_mr,
};
