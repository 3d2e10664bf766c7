// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: protection domains
 */
#include "efa.h"

int efa_alloc_pd(struct ib_pd *ibpd, struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibpd->device);
	struct efa_pd *pd = to_epd(ibpd);
	struct efa_abi_alloc_pd_resp resp = {};
	struct efa_ucontext *uctx = NULL;
	int err;

	if (udata)
		uctx = rdma_udata_to_drv_context(udata, struct efa_ucontext,
						 ibucontext);
	err = efa_no_req(udata);
	if (!err)
		err = efa_new_enter(dev, uctx, &pd->life);
	if (err)
		goto out;
	err = efa_cmd_alloc(dev, EFA_ADMIN_ALLOC_PD, &pd->pdn);
	efa_life_leave(dev);
	if (!err) {
		resp.pdn = pd->pdn;
		err = efa_copy_resp(udata, &resp, sizeof(resp));
		if (err)
			efa_dealloc_pd(ibpd, udata);
	}
out:
	if (err)
		efa_count(dev, EFA_ALLOC_PD_ERR);
	return err;
}

int efa_dealloc_pd(struct ib_pd *ibpd, struct ib_udata *udata)
{
	struct efa_pd *pd = to_epd(ibpd);

	return efa_forget(to_edev(ibpd->device), pd->life, EFA_ADMIN_DEALLOC_PD,
			  pd->pdn, ibpd->uobject);
}
