// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: address handles
 *
 * All that a send needs of one is the device's number for it.
 */
#include "efa.h"

static struct ibv_ah *efa_create_ah(struct ibv_pd *ibvpd, struct ibv_ah_attr *attr)
{
	EFA_PAIR(, ib_uverbs_create_ah_resp, efa_abi_create_ah_resp) resp = {};
	struct efa_ah *ah = calloc(1, sizeof(*ah));

	if (!ah || ibv_cmd_create_ah(ibvpd, &ah->ibvah, attr, &resp.ibv, sizeof(resp))) {
		free(ah);
		return NULL;
	}
	ah->ahn = resp.efa.efa_address_handle;
	return &ah->ibvah;
}

static int efa_destroy_ah(struct ibv_ah *ibvah)
{
	int err = ibv_cmd_destroy_ah(ibvah);

	if (!err)
		free(to_eah(ibvah));
	return err;
}

const struct verbs_context_ops efa_ah_ops = {
	.create_ah = efa_create_ah,
	.destroy_ah = efa_destroy_ah,
};
