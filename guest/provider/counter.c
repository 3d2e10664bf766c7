// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: completion counters
 *
 * Two numbers in memory, of successes and of errors, to which the device adds. Reading is a load;
 * all changes go through the kernel to the device, which holds the truth.
 */
#include <infiniband/cmd_ioctl.h>
#include "efa.h"

enum { EFA_COMP, EFA_ERR, EFA_VALUES };

struct efa_comp_cntr {
	struct ibv_comp_cntr ibvcntr;
	_Atomic(uint64_t) *at[EFA_VALUES];	/* NULL: the process does not see it */
	_Atomic(uint64_t) own[EFA_VALUES];
};

#define to_ecntr(obj)	container_of(obj, struct efa_comp_cntr, ibvcntr)

/* Where one of the two is: for us to read, for the kernel to find. */
static int efa_place(struct efa_comp_cntr *cntr, int which,
		     const struct efadv_memory_location *external,
		     struct ib_uverbs_buffer_desc *desc)
{
	uint8_t *ptr = external ? external->ptr : (uint8_t *)&cntr->own[which];

	desc->type = IB_UVERBS_BUFFER_TYPE_VA;
	desc->addr = (uintptr_t)ptr;
	desc->length = sizeof(uint64_t);
	if (external && external->type == EFADV_MEMORY_LOCATION_DMABUF) {
		desc->type = IB_UVERBS_BUFFER_TYPE_DMABUF;
		desc->fd = external->dmabuf.fd;
		desc->addr = external->dmabuf.offset;
	} else if (!ptr || (external && external->type != EFADV_MEMORY_LOCATION_VA)) {
		return EINVAL;
	}
	if ((uintptr_t)ptr % sizeof(uint64_t) || desc->addr % sizeof(uint64_t))
		return EINVAL;
	cntr->at[which] = (void *)ptr;
	return 0;
}

static int efa_ask_for_counter(struct efa_context *ctx, struct efa_comp_cntr *cntr,
			       const struct efadv_comp_cntr_init_attr *efa_attr)
{
	DECLARE_COMMAND_BUFFER(cmd, UVERBS_OBJECT_COMP_CNTR, UVERBS_METHOD_COMP_CNTR_CREATE,
			       EFA_VALUES);
	struct ib_uverbs_buffer_desc desc[EFA_VALUES] = {};
	uint32_t flags = efa_attr->flags;
	int err;

	err = efa_place(cntr, EFA_COMP, flags & EFADV_COMP_CNTR_INIT_WITH_COMP_EXTERNAL_MEM ?
			&efa_attr->comp_cntr_ext_mem : NULL, &desc[EFA_COMP]);
	err = err ?: efa_place(cntr, EFA_ERR, flags & EFADV_COMP_CNTR_INIT_WITH_ERR_EXTERNAL_MEM ?
			       &efa_attr->err_cntr_ext_mem : NULL, &desc[EFA_ERR]);
	if (err)
		return err;
	fill_attr_in_ptr(cmd, EFA_ABI_ATTR_CNTR_COMP_BUFFER, &desc[EFA_COMP]);
	fill_attr_in_ptr(cmd, EFA_ABI_ATTR_CNTR_ERR_BUFFER, &desc[EFA_ERR]);
	return ibv_cmd_create_comp_cntr(&ctx->vctx.context, &cntr->ibvcntr, cmd);
}

struct ibv_comp_cntr *efadv_create_comp_cntr(struct ibv_context *ibvctx,
					     struct ibv_comp_cntr_init_attr *attr,
					     struct efadv_comp_cntr_init_attr *efa_attr,
					     uint32_t inlen)
{
	const uint32_t flags = EFADV_COMP_CNTR_INIT_WITH_COMP_EXTERNAL_MEM |
			       EFADV_COMP_CNTR_INIT_WITH_ERR_EXTERNAL_MEM;
	struct efa_comp_cntr *cntr;
	int err = EFA_CHECK_ARG(ibvctx, efa_attr, err_cntr_ext_mem, inlen);

	if (!err && (attr->comp_mask || attr->flags || efa_attr->comp_mask))
		err = EINVAL;
	if (!err && (attr->type != IBV_COMP_CNTR_TYPE_WRS ||
		     !check_comp_mask(efa_attr->flags, flags)))
		err = EOPNOTSUPP;
	if (err)
		return efa_fail(err);
	cntr = calloc(1, sizeof(*cntr));
	err = cntr ? efa_ask_for_counter(to_ectx(ibvctx), cntr, efa_attr) : ENOMEM;
	if (!err)
		return &cntr->ibvcntr;
	free(cntr);
	return efa_fail(err);
}

static struct ibv_comp_cntr *efa_create_comp_cntr(struct ibv_context *ibvctx,
						  struct ibv_comp_cntr_init_attr *attr)
{
	struct efadv_comp_cntr_init_attr own = {};

	return efadv_create_comp_cntr(ibvctx, attr, &own, sizeof(own));
}

static int efa_destroy_comp_cntr(struct ibv_comp_cntr *ibvcntr)
{
	int err = ibv_cmd_destroy_comp_cntr(ibvcntr);

	if (!err)
		free(to_ecntr(ibvcntr));
	return err;
}

/* What the device wrote before it counted is there for whoever has seen the count. */
static int efa_read_value(struct ibv_comp_cntr *ibvcntr, int which, uint64_t *value)
{
	struct efa_comp_cntr *cntr = to_ecntr(ibvcntr);

	if (!cntr->at[which])
		return EOPNOTSUPP;
	*value = le64toh(atomic_load_explicit(cntr->at[which], memory_order_acquire));
	return 0;
}

static int efa_read_comp_cntr(struct ibv_comp_cntr *ibvcntr, uint64_t *value)
{
	return efa_read_value(ibvcntr, EFA_COMP, value);
}

static int efa_read_err_comp_cntr(struct ibv_comp_cntr *ibvcntr, uint64_t *value)
{
	return efa_read_value(ibvcntr, EFA_ERR, value);
}

const struct verbs_context_ops efa_counter_ops = {
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
};
