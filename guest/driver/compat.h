/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA driver: what differs between kernels, 6.1 to 7.x
 */
#ifndef EFA_COMPAT_H
#define EFA_COMPAT_H

#include <linux/version.h>
#include <rdma/ib_verbs.h>
#include <rdma/uverbs_ioctl.h>

/* create_cq() is given the attributes, of which its user data are a part. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define EFA_CQ_UDATA		struct uverbs_attr_bundle *attrs
#define EFA_CQ_GET_UDATA	(attrs ? &attrs->driver_udata : NULL)
#else
#define EFA_CQ_UDATA		struct ib_udata *cq_udata
#define EFA_CQ_GET_UDATA	(cq_udata)
#endif

/* User CQs have an operation of their own. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define EFA_HAVE_CREATE_USER_CQ
#define EFA_CQ_GET_BUFFER \
	(attrs && \
	 (uverbs_attr_is_valid(attrs, UVERBS_ATTR_CREATE_CQ_BUFFER_VA) || \
	  uverbs_attr_is_valid(attrs, UVERBS_ATTR_CREATE_CQ_BUFFER_FD)))
#else
#define EFA_CQ_GET_BUFFER	false
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#define ib_umem_get_va		ib_umem_get
#endif

/* Registration may name a handle of how the device reaches the memory. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define EFA_DMAH		struct ib_dmah *dmah,
#define EFA_DMAH_GIVEN		(dmah)
#else
#define EFA_DMAH
#define EFA_DMAH_GIVEN		(NULL)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define EFA_DMABUF_UDATA	struct uverbs_attr_bundle *attrs
#else
#define EFA_DMABUF_UDATA	struct ib_udata *udata
#endif

#endif /* EFA_COMPAT_H */
