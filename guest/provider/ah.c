// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: address handles
 *
 * All that a send needs of one is the device's number for it.
 */
#include <stdlib.h>
#include "efa.h"

struct efa_create_ah_resp {
	struct ib_uverbs_create_ah_resp ibv_resp;
	struct efa_abi_create_ah_resp efa;
};

struct ibv_ah *efa_create_ah(struct ibv_pd *ibvpd, struct ibv_ah_attr *attr)
{
	struct efa_create_ah_resp resp = {};
	struct efa_ah *ah = calloc(1, sizeof(*ah));

	if (!ah)
		return NULL;
	if (ibv_cmd_create_ah(ibvpd, &ah->ibvah, attr, &resp.ibv_resp, sizeof(resp))) {
		free(ah);
		return NULL;
	}
	ah->ahn = resp.efa.efa_address_handle;
	return &ah->ibvah;
}

int efa_destroy_ah(struct ibv_ah *ibvah)
{
	int err = ibv_cmd_destroy_ah(ibvah);

	if (!err)
		free(to_eah(ibvah));
	return err;
}
