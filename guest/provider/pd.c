// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: protection domains, and those who share nothing with threads
 *
 * A parent domain is a PD of the device with a promise: objects made in it are used by one thread
 * at a time, if it names a thread domain. Their locks are then left out. The device and the kernel
 * know nothing of it.
 */
#include "efa.h"

static struct ibv_pd *efa_alloc_pd(struct ibv_context *ibvctx)
{
	EFA_PAIR(, ib_uverbs_alloc_pd_resp, efa_abi_alloc_pd_resp) resp = {};
	struct efa_pd *pd = calloc(1, sizeof(*pd));
	struct ibv_alloc_pd cmd;

	if (!pd || ibv_cmd_alloc_pd(ibvctx, &pd->ibvpd, &cmd, sizeof(cmd), &resp.ibv,
				    sizeof(resp))) {
		free(pd);
		return NULL;
	}
	pd->pdn = resp.efa.pdn;
	return &pd->ibvpd;
}

static int efa_dealloc_pd(struct ibv_pd *ibvpd)
{
	struct efa_pd *pd = to_epd(ibvpd);
	int err;

	if (atomic_load(&pd->users))
		return EBUSY;
	err = pd->inner ? 0 : ibv_cmd_dealloc_pd(ibvpd);
	if (err)
		return err;
	if (pd->inner)
		atomic_fetch_sub(&pd->inner->users, 1);
	if (pd->td)
		atomic_fetch_sub(&pd->td->users, 1);
	free(pd);
	return 0;
}

static struct ibv_pd *efa_alloc_parent_domain(struct ibv_context *ibvctx,
					      struct ibv_parent_domain_init_attr *attr)
{
	struct efa_pd *pd;

	if (ibv_check_alloc_parent_domain(attr))
		return NULL;
	/* no allocators of the caller's: all memory that the device sees is the kernel's */
	if (!check_comp_mask(attr->comp_mask, IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT))
		return efa_fail(EOPNOTSUPP);
	if (to_epd(attr->pd)->inner)
		return efa_fail(EINVAL);
	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return NULL;
	pd->inner = to_epd(attr->pd);
	pd->pdn = pd->inner->pdn;
	atomic_fetch_add(&pd->inner->users, 1);
	if (attr->td) {
		pd->td = container_of(attr->td, struct efa_td, ibvtd);
		atomic_fetch_add(&pd->td->users, 1);
	}
	ibv_initialize_parent_domain(&pd->ibvpd, &pd->inner->ibvpd);
	return &pd->ibvpd;
}

static struct ibv_td *efa_alloc_td(struct ibv_context *ibvctx, struct ibv_td_init_attr *attr)
{
	struct efa_td *td;

	if (attr->comp_mask)
		return efa_fail(EOPNOTSUPP);
	td = calloc(1, sizeof(*td));
	if (!td)
		return NULL;
	td->ibvtd.context = ibvctx;
	return &td->ibvtd;
}

static int efa_dealloc_td(struct ibv_td *ibvtd)
{
	struct efa_td *td = container_of(ibvtd, struct efa_td, ibvtd);

	if (atomic_load(&td->users))
		return EBUSY;
	free(td);
	return 0;
}

const struct verbs_context_ops efa_pd_ops = {
	.alloc_parent_domain = efa_alloc_parent_domain,
	.alloc_pd = efa_alloc_pd,
	.alloc_td = efa_alloc_td,
	.dealloc_pd = efa_dealloc_pd,
	.dealloc_td = efa_dealloc_td,
};
