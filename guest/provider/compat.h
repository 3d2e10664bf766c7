/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: rdma-core 56
 *
 * All else is written for version 65. EFA_EFADV, which CMake defines, is the version of efadv.h.
 */
#ifndef EFA_COMPAT_H
#define EFA_COMPAT_H

#if EFA_EFADV < 7

#define EFADV_QP_FLAGS_INLINE_WRITE	(1 << 1)

struct verbs_create_cq_prov_attr;

#define ibv_cmd_get_context(ctx, cmd, cmd_size, fds, resp, resp_size) \
	ibv_cmd_get_context(ctx, cmd, cmd_size, resp, resp_size)
#define ibv_cmd_create_cq_ex(ctx, attr, prov, cq, cmd, cmd_size, resp, resp_size, flags) \
	((void)(prov), \
	 ibv_cmd_create_cq_ex(ctx, attr, cq, cmd, cmd_size, resp, resp_size, flags))

#endif

#endif /* EFA_COMPAT_H */
