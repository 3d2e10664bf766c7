// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: memory regions
 *
 * Of processes: pinned memory. Of the kernel: all memory, by DMA addresses.
 */
#include <linux/dma-buf.h>
#include <linux/log2.h>
#include <rdma/uverbs_ioctl.h>
#include "efa.h"
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define UVERBS_MODULE_NAME efa_emu
#include <rdma/uverbs_named_ioctl.h>
#define EFA_HAVE_MR_QUERY
#endif

static struct efa_mr *to_emr(struct ib_mr *ibmr)
{
	return container_of(ibmr, struct efa_mr, ibmr);
}

static int efa_check_access(const struct efa_dev *dev, int access)
{
	int possible = IB_ACCESS_LOCAL_WRITE;

	if (dev->caps.device_caps & EFA_CAP_RDMA_READ)
		possible |= IB_ACCESS_REMOTE_READ;
	if (dev->caps.device_caps & EFA_CAP_RDMA_WRITE)
		possible |= IB_ACCESS_REMOTE_WRITE;
	/* optional flags are wishes */
	return access & ~IB_ACCESS_OPTIONAL & ~possible ? -EOPNOTSUPP : 0;
}

/* Tell the device of the pinned memory of @mr. */
static int efa_register_umem(struct efa_dev *dev, struct efa_pd *pd,
			     struct efa_mr *mr, u64 length, u64 iova,
			     int access)
{
	struct efa_reg_mr_cmd req = {
		.pd = cpu_to_le16(pd->pdn),
		.mr_length = cpu_to_le64(length),
		.iova = cpu_to_le64(iova),
		.permissions = access & (IB_ACCESS_LOCAL_WRITE |
					 IB_ACCESS_REMOTE_READ |
					 IB_ACCESS_REMOTE_WRITE),
	};
	unsigned long page_size;

	page_size = ib_umem_find_best_pgsz(mr->umem,
					   lower_32_bits(dev->caps.page_size_cap),
					   iova);
	if (!page_size)
		return -EOPNOTSUPP;
	req.flags = ilog2(page_size);
	mr->ibmr.length = length;
	return efa_reg_pages(dev, mr->life, mr->umem, page_size, &req,
			     &mr->key);
}

/* All memory, at its DMA addresses, for the kernel. */
static int efa_register_all(struct efa_dev *dev, struct efa_pd *pd,
			    struct efa_mr *mr, int access)
{
	const struct efa_reg_mr_cmd req = {
		.pd = cpu_to_le16(pd->pdn),
		.mr_length = cpu_to_le64(dma_get_mask(&dev->pdev->dev) + 1 ?:
					 U64_MAX),
		.flags = EFA_REG_MR_PHYSICAL,
		.permissions = access & IB_ACCESS_LOCAL_WRITE,
	};

	return efa_reg(dev, mr->life, &req, 0, &mr->key);
}

/* With the memory @umem, which goes if it comes to nothing; NULL: all. */
static struct ib_mr *efa_mr_new(struct ib_pd *ibpd, struct ib_umem *umem,
				u64 length, u64 iova, int access)
{
	struct efa_dev *dev = to_edev(ibpd->device);
	struct efa_pd *pd = to_epd(ibpd);
	struct efa_mr *mr = NULL;
	int err;

	if (IS_ERR(umem)) {
		err = PTR_ERR(umem);
		goto fail;
	}
	err = -ENOMEM;
	mr = kzalloc(sizeof(*mr), GFP_KERNEL);
	if (!mr)
		goto release;
	mr->umem = umem;
	mr->life = pd->life;
	if (umem)
		err = efa_register_umem(dev, pd, mr, length, iova, access);
	else
		err = efa_register_all(dev, pd, mr, access);
	if (err)
		goto release;
	mr->ibmr.lkey = le32_to_cpu(mr->key.l_key);
	mr->ibmr.rkey = le32_to_cpu(mr->key.r_key);
	return &mr->ibmr;

release:
	ib_umem_release(umem);
	kfree(mr);
fail:
	efa_count(dev, EFA_REG_MR_ERR);
	return ERR_PTR(err);
}

/* What no driver knows how to ask for. */
static int efa_check_reg(struct efa_dev *dev, struct ib_udata *udata,
			 const void *dmah, int access)
{
	int err = dmah ? -EOPNOTSUPP : 0;

	if (!err)
		err = efa_no_req(udata);
	if (!err)
		err = efa_check_access(dev, access);
	if (err)
		efa_count(dev, EFA_REG_MR_ERR);
	return err;
}

struct ib_mr *efa_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			      u64 iova, int access, EFA_DMAH
			      struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibpd->device);
	int err = efa_check_reg(dev, udata, EFA_DMAH_GIVEN, access);

	if (err)
		return ERR_PTR(err);
	return efa_mr_new(ibpd, ib_umem_get_va(ibpd->device, start, length,
					       access & ~IB_ACCESS_OPTIONAL),
			  length, iova, access);
}

struct ib_mr *efa_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				     u64 length, u64 iova, int fd, int access,
				     EFA_DMAH EFA_DMABUF_UDATA)
{
	struct efa_dev *dev = to_edev(ibpd->device);
	struct ib_umem_dmabuf *umem;
	int err = efa_check_reg(dev, NULL, EFA_DMAH_GIVEN, access);

	if (err)
		return ERR_PTR(err);
	umem = ib_umem_dmabuf_get_pinned(ibpd->device, offset, length, fd,
					 access & ~IB_ACCESS_OPTIONAL);
	return efa_mr_new(ibpd, IS_ERR(umem) ? ERR_CAST(umem) : &umem->umem,
			  length, iova, access);
}

struct ib_mr *efa_get_dma_mr(struct ib_pd *ibpd, int access)
{
	/* nobody else is to reach all memory */
	if (access & ~IB_ACCESS_OPTIONAL & ~IB_ACCESS_LOCAL_WRITE)
		return ERR_PTR(-EOPNOTSUPP);
	return efa_mr_new(ibpd, NULL, 0, 0, access);
}

int efa_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct efa_mr *mr = to_emr(ibmr);
	int err = efa_forget(to_edev(ibmr->device), mr->life,
			     EFA_ADMIN_DEREG_MR, ibmr->lkey, ibmr->uobject);

	if (err)
		return err;
	ib_umem_release(mr->umem);
	kfree(mr);
	return 0;
}

#ifdef EFA_HAVE_MR_QUERY
/* The interconnects by which the device reaches the memory, if it says so. */
static int UVERBS_HANDLER(EFA_ABI_METHOD_MR_QUERY)(
	struct uverbs_attr_bundle *attrs)
{
	struct ib_mr *ibmr = uverbs_attr_get_obj(attrs, EFA_ABI_ATTR_MR_HANDLE);
	const struct efa_reg_mr_resp *key = &to_emr(ibmr)->key;
	const struct {
		u16 attr, value;
	} answers[] = {
		{ EFA_ABI_ATTR_MR_VALIDITY, key->validity },
		{ EFA_ABI_ATTR_MR_RECV_IC, key->recv_ic_id },
		{ EFA_ABI_ATTR_MR_RDMA_READ_IC, key->rdma_read_ic_id },
		{ EFA_ABI_ATTR_MR_RDMA_RECV_IC, key->rdma_recv_ic_id },
	};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(answers); i++)
		err = uverbs_copy_to(attrs, answers[i].attr,
				     &answers[i].value, sizeof(u16));
	return err;
}

DECLARE_UVERBS_NAMED_METHOD(EFA_ABI_METHOD_MR_QUERY,
			    UVERBS_ATTR_IDR(EFA_ABI_ATTR_MR_HANDLE,
					    UVERBS_OBJECT_MR,
					    UVERBS_ACCESS_READ, UA_MANDATORY),
			    UVERBS_ATTR_PTR_OUT(EFA_ABI_ATTR_MR_VALIDITY,
						UVERBS_ATTR_TYPE(u16),
						UA_MANDATORY),
			    UVERBS_ATTR_PTR_OUT(EFA_ABI_ATTR_MR_RECV_IC,
						UVERBS_ATTR_TYPE(u16),
						UA_MANDATORY),
			    UVERBS_ATTR_PTR_OUT(EFA_ABI_ATTR_MR_RDMA_READ_IC,
						UVERBS_ATTR_TYPE(u16),
						UA_MANDATORY),
			    UVERBS_ATTR_PTR_OUT(EFA_ABI_ATTR_MR_RDMA_RECV_IC,
						UVERBS_ATTR_TYPE(u16),
						UA_MANDATORY));

ADD_UVERBS_METHODS(efa_mr, UVERBS_OBJECT_MR,
		   &UVERBS_METHOD(EFA_ABI_METHOD_MR_QUERY));

const struct uapi_definition efa_mr_uapi[] = {
	UAPI_DEF_CHAIN_OBJ_TREE(UVERBS_OBJECT_MR, &efa_mr),
	{},
};
#else
const struct uapi_definition efa_mr_uapi[] = {
	{},
};
#endif
