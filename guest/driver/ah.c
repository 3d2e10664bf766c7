// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: address handles
 *
 * A handle is the device's number for a GID within a protection domain. The
 * device answers the same number to the same question and counts.
 */
#include "efa.h"

int efa_create_ah(struct ib_ah *ibah, struct rdma_ah_init_attr *attr,
		  struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibah->device);
	struct efa_pd *pd = to_epd(ibah->pd);
	struct efa_ah *ah = to_eah(ibah);
	struct efa_create_ah_cmd req = { .pd = cpu_to_le16(pd->pdn) };
	struct efa_abi_create_ah_resp resp = {};
	struct efa_id got;
	int err;

	/* a command sleeps until it is answered */
	if (!(attr->flags & RDMA_CREATE_AH_SLEEPABLE)) {
		err = -EOPNOTSUPP;
		goto out;
	}
	err = efa_no_req(udata);
	if (err)
		goto out;
	ah->life = pd->life;
	err = efa_life_enter(dev, ah->life);
	if (!err) {
		memcpy(req.dest_addr, attr->ah_attr->grh.dgid.raw,
		       sizeof(req.dest_addr));
		err = efa_exec(dev, EFA_ADMIN_CREATE_AH, &req, sizeof(req),
			       &got, sizeof(got));
		efa_life_leave(dev);
	}
	if (!err) {
		ah->ahn = le16_to_cpu(got.id);
		resp.efa_address_handle = ah->ahn;
		err = efa_copy_resp(udata, &resp, sizeof(resp));
		if (err)
			efa_destroy_ah(ibah, RDMA_DESTROY_AH_SLEEPABLE);
	}
out:
	if (err)
		efa_count(dev, EFA_CREATE_AH_ERR);
	return err;
}

int efa_destroy_ah(struct ib_ah *ibah, u32 flags)
{
	struct efa_ah *ah = to_eah(ibah);

	if (!(flags & RDMA_DESTROY_AH_SLEEPABLE))
		return -EOPNOTSUPP;
	return efa_forget(to_edev(ibah->device), ah->life, EFA_ADMIN_DESTROY_AH,
			  ah->ahn | to_epd(ibah->pd)->pdn << 16,
			  ibah->uobject);
}
