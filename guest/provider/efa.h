/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: objects of a process, and what files ask of each other
 *
 *   objects   context.c pd.c mr.c ah.c cq.c qp.c
 *   work      send.c recv.c poll.c, over ring.h
 *   efadv     dv.c, and with rdma-core 65 direct.c counter.c
 */
#ifndef EFA_H
#define EFA_H

#include <ccan/array_size.h>
#include <ccan/list.h>
#include <ccan/minmax.h>
#include <infiniband/driver.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <util/compiler.h>
#include <util/mmio.h>
#include <util/util.h>
#include "abi.h"
#include "compat.h"
#include "efadv.h"
#include "io.h"
#include "ring.h"
#include "watch.h"

/* ---- what a process knows of its device ---- */

struct efa_context {
	struct verbs_context vctx;

	/* limits, as the kernel driver told them */
	uint16_t sub_cqs_per_cq;
	uint16_t inline_buf_size, inline_buf_size_ex;
	uint32_t max_llq_size;		/* bytes */
	uint16_t max_tx_batch;		/* units of 64 bytes, 0: no limit */
	uint16_t min_sq_wr;
	uint32_t max_sq_wr, max_rq_wr;	/* WQEs, buffers */
	uint16_t max_sq_sge, max_rq_sge, max_rdma_sge;
	uint32_t max_rdma_size;
	uint32_t device_caps;		/* EFA_ABI_CAP_ */
	uint32_t max_cqe;
	size_t page_size;

	struct efa_owner *owners;	/* two for each QP number */
	uint32_t qp_mask;
};

/*
 * Whose the completions of a QP number are, sends or receives: @wq's, if they
 * come @from that ring. Changed under the lock of its CQ by who has the number
 * of the kernel, so whoever has that lock and comes @from there may use @wq.
 */
struct efa_owner {
	_Atomic(struct efa_sub_cq *) from;	/* NULL: nobody's */
	struct efa_wq *wq;
};

static inline struct efa_owner *efa_owner(const struct efa_context *ctx, uint32_t qpn, bool send)
{
	return &ctx->owners[(qpn & ctx->qp_mask) * 2 + send];
}

static inline struct efa_context *to_ectx(struct ibv_context *ibvctx)
{
	return container_of(ibvctx, struct efa_context, vctx.context);
}

static inline bool efa_has(const struct efa_context *ctx, uint32_t cap)
{
	return ctx->device_caps & cap;
}

/*
 * An argument of efadv, whose @known bytes may grow: a caller of yesterday
 * passes less, but at least @needed, one of tomorrow more, whose end is to be
 * zero, or EINVAL. EOPNOTSUPP: the device is another provider's.
 */
int efa_check_arg(struct ibv_context *ibvctx, const void *arg, size_t needed,
		  size_t known, size_t inlen);

#define EFA_CHECK_ARG(ibvctx, arg, last, inlen) \
	efa_check_arg(ibvctx, arg, offsetofend(typeof(*(arg)), last), \
		      sizeof(*(arg)), inlen)

/* ---- locks ---- */

/* A spinlock that is not there if only one thread uses the object. */
struct efa_lock {
	pthread_spinlock_t spin;
	bool needed;
};

int efa_lock_init(struct efa_lock *lock, bool needed);
void efa_lock_destroy(struct efa_lock *lock);

static inline void efa_lock(struct efa_lock *lock)
{
	if (lock->needed)
		pthread_spin_lock(&lock->spin);
}

static inline void efa_unlock(struct efa_lock *lock)
{
	if (lock->needed)
		pthread_spin_unlock(&lock->spin);
}

/* ---- protection domains ---- */

struct efa_td {
	struct ibv_td ibvtd;
	atomic_uint users;
};

/* One of the device's, or a parent domain around one. */
struct efa_pd {
	struct ibv_pd ibvpd;
	atomic_uint users;		/* parent domains */
	uint16_t pdn;
	struct efa_pd *inner;		/* NULL: not a parent domain */
	struct efa_td *td;		/* one thread for all of its objects */
};

static inline struct efa_pd *to_epd(struct ibv_pd *ibvpd)
{
	return container_of(ibvpd, struct efa_pd, ibvpd);
}

struct efa_ah {
	struct ibv_ah ibvah;
	uint16_t ahn;
};

static inline struct efa_ah *to_eah(struct ibv_ah *ibvah)
{
	return container_of(ibvah, struct efa_ah, ibvah);
}

struct efa_mr {
	struct verbs_mr vmr;
	struct list_node entry;		/* for watch.c */
	uint64_t iova;
};

/* ---- completion queues ---- */

/* One ring of a CQ. */
struct efa_sub_cq {
	uint8_t *buf;
	uint64_t consumed;		/* since ever */
};

/* What efadv asks for beside what libibverbs does. */
struct efa_cq_opts {
	uint64_t wc_flags;		/* EFADV_WC_EX_ */
	bool external;			/* entries are in a dma-buf */
	int fd;
	uint64_t offset, length;
	uint8_t *buffer;		/* NULL: the process does not see it */
};

struct efa_cq {
	struct verbs_cq vcq;
	struct efadv_cq dv;
	struct efa_lock lock;
	struct efa_context *ctx;
	uint8_t *buf;
	void *map;			/* ours of it */
	size_t map_size;
	uint32_t mask;			/* entries of a ring - 1 */
	uint16_t cqn;
	uint16_t num_sub;
	uint16_t next_sub;		/* where to look first */
	uint16_t consumed;		/* of all rings */
	uint8_t events;			/* taken: the arm sequence number */
	void *db_page;			/* NULL: no doorbell */
	void *db;
	bool wide_ids;			/* sends have request ids of 64 bits */
	uint32_t owed;			/* for watch.c: completions to come */

	/* of the entry that the extended API looks at */
	const struct efa_io_cdesc *cur;

	struct efa_sub_cq sub[];
};

static inline struct efa_cq *to_ecq(struct ibv_cq *ibvcq)
{
	return container_of(ibvcq, struct efa_cq, vcq.cq);
}

static inline struct efa_cq *to_ecq_ex(struct ibv_cq_ex *ibvcqx)
{
	return container_of(ibvcqx, struct efa_cq, vcq.cq_ex);
}

/*
 * With a doorbell: tell what was consumed, and ask for an event if @arm. Under
 * the lock, lest an older index comes after a newer one.
 */
static inline void efa_cq_ring(struct efa_cq *cq, bool arm)
{
	uint32_t value = cq->consumed;

	value |= (cq->events & EFA_IO_CQ_DB_SN_MASK) << EFA_IO_CQ_DB_SN_SHIFT;
	if (arm)
		value |= EFA_IO_CQ_DB_ARM;
	if (efa_watches())
		efa_watch_cq_db(cq, arm);
	mmio_write32(cq->db, value);
}

/* poll.c: functions of the extended API into @cq, for what is wanted */
void efa_cq_fill_ops(struct efa_cq *cq, uint64_t wc_flags, uint64_t efa_flags);
/* poll.c: entries of a ring since ever, those that wait to be polled included */
uint64_t efa_sub_produced(const struct efa_cq *cq, const struct efa_sub_cq *sub);

/* ---- queue pairs ---- */

/* Requests of one queue that the device has. */
struct efa_wq {
	struct efa_lock lock;		/* for who posts; who polls has the CQ's */
	struct efa_slots slots;
	uint64_t *wr_id;		/* by request id */
	struct efa_cq *cq;
	struct efa_sub_cq *sub;		/* of @cq, where completions come */
	uint64_t since;			/* entries of @sub that are older than this queue */
	bool wide_ids;			/* requests have their wr_id for an id */
	uint32_t ring_mask;		/* entries - 1 */
	uint32_t pc;			/* entries written */
	uint32_t max_sge;
	void *db_page;
	void *db;
};

struct efa_sq {
	struct efa_wq wq;
	uint8_t *llq_map;
	size_t llq_size;
	uint8_t *llq;			/* in it */
	uint32_t wqe_size;		/* 64 or 128 */
	uint32_t max_inline, max_inline_rdma;
	uint32_t max_rdma_sge;
	uint32_t max_batch;		/* WQEs to a doorbell */
	unsigned int implied;		/* flags of all requests */

	/* between ibv_wr_start() and _complete(): WQEs that wait */
	uint8_t *staged;
	uint32_t num_staged;
	int err;			/* the first */
	struct efa_io_tx_wqe *cur;	/* the last, NULL: it was refused */
};

struct efa_rq {
	struct efa_wq wq;
	struct efa_io_rx_desc *ring;
	size_t ring_size;
};

struct efa_qp {
	struct verbs_qp vqp;
	struct efa_context *ctx;
	struct efa_sq sq;
	struct efa_rq rq;
#if EFA_EFADV >= 7
	struct efadv_qp dv;
#endif
};

static inline struct efa_qp *to_eqp(struct ibv_qp *ibvqp)
{
	return container_of(ibvqp, struct efa_qp, vqp.qp);
}

static inline struct efa_qp *to_eqp_ex(struct ibv_qp_ex *ibvqpx)
{
	return container_of(ibvqpx, struct efa_qp, vqp.qp_ex);
}

/* ---- context.c, pd.c, mr.c, ah.c ---- */
int efa_query_device_ex(struct ibv_context *ibvctx, const struct ibv_query_device_ex_input *input,
			struct ibv_device_attr_ex *attr, size_t attr_size);
int efa_query_port(struct ibv_context *ibvctx, uint8_t port, struct ibv_port_attr *attr);
struct ibv_pd *efa_alloc_pd(struct ibv_context *ibvctx);
int efa_dealloc_pd(struct ibv_pd *ibvpd);
struct ibv_td *efa_alloc_td(struct ibv_context *ibvctx, struct ibv_td_init_attr *attr);
int efa_dealloc_td(struct ibv_td *ibvtd);
struct ibv_pd *efa_alloc_parent_domain(struct ibv_context *ibvctx,
				       struct ibv_parent_domain_init_attr *attr);
struct ibv_mr *efa_reg_mr(struct ibv_pd *ibvpd, void *addr, size_t length,
			  uint64_t iova, int access);
struct ibv_mr *efa_reg_dmabuf_mr(struct ibv_pd *ibvpd, uint64_t offset,
				 size_t length, uint64_t iova, int fd, int access);
int efa_dereg_mr(struct verbs_mr *vmr);
struct ibv_ah *efa_create_ah(struct ibv_pd *ibvpd, struct ibv_ah_attr *attr);
int efa_destroy_ah(struct ibv_ah *ibvah);
/* A page or ring by a key of the kernel; NULL and errno. */
void *efa_map(struct efa_context *ctx, uint64_t key, size_t size, int prot);

/* ---- cq.c, poll.c ---- */
struct ibv_cq *efa_create_cq(struct ibv_context *ibvctx, int cqe,
			     struct ibv_comp_channel *channel, int vector);
struct ibv_cq_ex *efa_create_cq_ex(struct ibv_context *ibvctx, struct ibv_cq_init_attr_ex *attr);
struct ibv_cq_ex *efa_cq_new(struct efa_context *ctx, struct ibv_cq_init_attr_ex *attr,
			     const struct efa_cq_opts *opts);
int efa_destroy_cq(struct ibv_cq *ibvcq);
void efa_cq_event(struct ibv_cq *ibvcq);
int efa_req_notify_cq(struct ibv_cq *ibvcq, int solicited_only);
int efa_poll_cq(struct ibv_cq *ibvcq, int num, struct ibv_wc *wc);

/* ---- qp.c ---- */
struct ibv_qp *efa_create_qp(struct ibv_pd *ibvpd, struct ibv_qp_init_attr *attr);
struct ibv_qp *efa_create_qp_ex(struct ibv_context *ibvctx, struct ibv_qp_init_attr_ex *attr);
struct ibv_qp *efa_qp_new(struct efa_context *ctx, struct ibv_qp_init_attr_ex *attr,
			  const struct efadv_qp_init_attr *efa_attr);
int efa_modify_qp(struct ibv_qp *ibvqp, struct ibv_qp_attr *attr, int mask);
int efa_query_qp(struct ibv_qp *ibvqp, struct ibv_qp_attr *attr, int mask,
		 struct ibv_qp_init_attr *init);
int efa_query_qp_data_in_order(struct ibv_qp *ibvqp, enum ibv_wr_opcode op, uint32_t flags);
int efa_destroy_qp(struct ibv_qp *ibvqp);
uint16_t efa_wqe_size(uint32_t max_inline, bool inline_write);
/* WQEs of this size that a send queue can have */
uint32_t efa_max_sq_wr(const struct efa_context *ctx, uint16_t wqe_size);

/* ---- send.c, recv.c ---- */
int efa_post_send(struct ibv_qp *ibvqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
void efa_qp_fill_wr_ops(struct efa_qp *qp, uint64_t send_ops);
void efa_qp_fill_dv_ops(struct efa_qp *qp, uint64_t wr_flags);
int efa_post_recv(struct ibv_qp *ibvqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

#if EFA_EFADV >= 7
/* ---- counter.c ---- */
struct ibv_comp_cntr *efa_create_comp_cntr(struct ibv_context *ibvctx,
					   struct ibv_comp_cntr_init_attr *attr);
int efa_destroy_comp_cntr(struct ibv_comp_cntr *ibvcntr);
int efa_read_comp_cntr(struct ibv_comp_cntr *ibvcntr, uint64_t *value);
int efa_read_err_comp_cntr(struct ibv_comp_cntr *ibvcntr, uint64_t *value);
#endif

#endif /* EFA_H */
