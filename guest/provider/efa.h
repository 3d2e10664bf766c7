/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: objects of a process, and what files ask of each other
 *
 *   objects   context.c pd.c mr.c ah.c cq.c qp.c, each with its verbs
 *   work      send.c recv.c poll.c, over ring.h
 *   efadv     dv.c, and with rdma-core 65 direct.c counter.c
 *   help      watch.c
 */
#ifndef EFA_H
#define EFA_H

#include <ccan/array_size.h>
#include <ccan/list.h>
#include <ccan/minmax.h>
#include <errno.h>
#include <infiniband/driver.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <util/compiler.h>
#include <util/mmio.h>
#include <util/udma_barrier.h>
#include <util/util.h>
#include "abi.h"
#include "compat.h"
#include "efadv.h"
#include "io.h"
#include "ring.h"

/* A command to the kernel or its answer: what all providers have, and behind it what is EFA's. */
#define EFA_PAIR(tag, ibv_type, efa_type) \
	struct tag { struct ibv_type ibv; struct efa_type efa; }

static inline void *efa_fail(int err)
{
	errno = err;
	return NULL;
}

/* ---- what a process knows of its device ---- */

struct efa_context {
	struct verbs_context vctx;
	/* limits, as the kernel driver told them */
	struct efa_abi_alloc_ucontext_resp told;
	struct efa_abi_query_device_resp dev;
	uint16_t max_rdma_sge;
	uint32_t max_cqe;
	size_t page_size;
	struct efa_owner *owners;	/* two for each QP number */
	uint32_t qp_mask;
};

#define to_ectx(obj)	container_of(obj, struct efa_context, vctx.context)

static inline bool efa_has(const struct efa_context *ctx, uint32_t cap)
{
	return ctx->dev.device_caps & cap;
}

/*
 * Whose the completions of a QP number are, sends or receives: @wq's, if they come @from that ring.
 * Changed under the lock of its CQ by who has the number of the kernel, so whoever polls that CQ
 * and comes @from there may use @wq.
 */
struct efa_owner {
	_Atomic(struct efa_sub_cq *) from;	/* NULL: nobody's */
	struct efa_wq *wq;
};

static inline struct efa_owner *efa_owner(const struct efa_context *ctx, uint32_t qpn, bool send)
{
	return &ctx->owners[(qpn & ctx->qp_mask) * 2 + send];
}

/* A page or ring by a key of the kernel. */
int efa_map(struct efa_context *ctx, void **map, uint64_t key, size_t size, int prot);

struct efa_db {
	void *at;			/* NULL: there is none */
	void *page;
};

int efa_map_db(struct efa_context *ctx, struct efa_db *db, uint64_t key, uint32_t offset);
void efa_unmap_db(struct efa_context *ctx, struct efa_db *db);

/*
 * A structure of efadv's, whose @known bytes may grow: a caller of yesterday passes less, but at
 * least @needed, one of tomorrow more, or EINVAL. EOPNOTSUPP: the device is another provider's.
 * What is asked for behind @known is to be zero; what is to be told has no end to look at.
 */
int efa_check_arg(struct ibv_context *ibvctx, const void *arg, size_t needed, size_t known,
		  size_t inlen);

#define EFA_CHECK_ARG(ibvctx, arg, last, inlen) \
	efa_check_arg(ibvctx, arg, offsetofend(typeof(*(arg)), last), sizeof(*(arg)), inlen)
#define EFA_CHECK_OUT(ibvctx, arg, last, inlen) \
	efa_check_arg(ibvctx, arg, offsetofend(typeof(*(arg)), last), inlen, inlen)

/* A spinlock that is not there if only one thread uses the object. */
struct efa_lock {
	pthread_spinlock_t spin;
	bool needed;
	_Atomic(pthread_t) keeper;	/* from ibv_start_poll() to _end_poll() */
};

static inline void efa_lock_init(struct efa_lock *lock, bool needed)
{
	lock->needed = needed;
	pthread_spin_init(&lock->spin, PTHREAD_PROCESS_PRIVATE);
}

static inline void efa_lock_keep(struct efa_lock *lock, pthread_t keeper)
{
	atomic_store_explicit(&lock->keeper, keeper, memory_order_relaxed);
}

static inline void efa_lock(struct efa_lock *lock)
{
	if (lock->needed)
		pthread_spin_lock(&lock->spin);
}

/* For what that thread may call between these two as well: whether to unlock it again. */
static inline bool efa_lock_once(struct efa_lock *lock)
{
	if (atomic_load_explicit(&lock->keeper, memory_order_relaxed) == pthread_self())
		return false;
	efa_lock(lock);
	return true;
}

static inline void efa_unlock(struct efa_lock *lock)
{
	if (lock->needed)
		pthread_spin_unlock(&lock->spin);
}

/* ---- protection domains, and what is in them ---- */

struct efa_td {
	struct ibv_td ibvtd;
	atomic_uint users;
};

/* One of the device's, or a parent domain around one. */
struct efa_pd {
	struct ibv_pd ibvpd;
	atomic_uint users;		/* parent domains, QPs and CQs */
	uint16_t pdn;
	struct efa_pd *inner;		/* NULL: not a parent domain */
	struct efa_td *td;		/* one thread for all of its objects */
};

struct efa_ah {
	struct ibv_ah ibvah;
	uint16_t ahn;
};

struct efa_mr {
	struct verbs_mr vmr;
	/* for watch.c */
	struct list_node entry;
	uint64_t iova, length;
	uint16_t pdn;
	bool here;			/* iova is the process's address */
};

#define to_epd(obj)	container_of(obj, struct efa_pd, ibvpd)
#define to_eah(obj)	container_of(obj, struct efa_ah, ibvah)

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
	void *map;			/* of the kernel's memory */
	size_t map_size;
	void *nothing;			/* in place of a ring that we do not see */
	uint32_t mask;			/* entries of a ring - 1 */
	uint16_t cqn;
	uint16_t num_sub;
	uint16_t next_sub;		/* where to look first */
	uint16_t consumed;		/* of all rings */
	uint8_t events;			/* taken: the arm sequence number */
	struct efa_db db;
	struct efa_pd *pd;		/* NULL: in no parent domain */
	uint32_t owed;			/* for watch.c: completions to come */
	struct efa_io_cdesc cur;	/* the last one taken */
	struct efa_sub_cq sub[];
};

#define to_ecq(obj)	 container_of(obj, struct efa_cq, vcq.cq)
#define to_ecq_ex(obj) container_of(obj, struct efa_cq, vcq.cq_ex)

struct ibv_cq_ex *efa_cq_new(struct efa_context *ctx, struct ibv_cq_init_attr_ex *attr,
			     const struct efa_cq_opts *opts);

/* poll.c: functions of the extended API into @cq, with those of EFADV_WC_EX_ that are wanted */
void efa_cq_fill_ops(struct efa_cq *cq, uint64_t efa_flags);
/* poll.c: entries of a ring since ever, those that wait to be polled included */
uint64_t efa_sub_produced(const struct efa_cq *cq, const struct efa_sub_cq *sub);
int efa_poll_cq(struct ibv_cq *ibvcq, int num, struct ibv_wc *wc);

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
	struct efa_db db;
};

struct efa_sq {
	struct efa_wq wq;
	void *llq_map;
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
	struct efa_io_tx_wqe *cur;	/* the last, or @refused if there is none */
	struct efa_io_tx_wqe refused;	/* what is written there is for nobody */
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

#define to_eqp(obj)	 container_of(obj, struct efa_qp, vqp.qp)
#define to_eqp_ex(obj) container_of(obj, struct efa_qp, vqp.qp_ex)

struct ibv_qp *efa_qp_new(struct efa_context *ctx, struct ibv_qp_init_attr_ex *attr,
			  const struct efadv_qp_init_attr *efa_attr);
/* The same for the attributes of yesterday, which are updated. */
struct ibv_qp *efa_qp_new_in(struct ibv_pd *ibvpd, struct ibv_qp_init_attr *attr,
			     const struct efadv_qp_init_attr *efa_attr);
uint16_t efa_wqe_size(uint32_t max_inline, bool inline_write);
/* WQEs of this size that a send queue can have */
uint32_t efa_max_sq_wr(const struct efa_context *ctx, uint16_t wqe_size);

/* send.c, recv.c */
int efa_post_send(struct ibv_qp *ibvqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
void efa_qp_fill_wr_ops(struct efa_qp *qp, uint64_t send_ops);
int efa_post_recv(struct ibv_qp *ibvqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

/* ---- watch.c: somebody looks over the shoulder ---- */

enum { EFA_TRACE = 1 << 0, EFA_STRICT = 1 << 1 };

extern unsigned int efa_watched __attribute__((visibility("hidden")));

/* Whatever is called only if this is true may be slow. */
static inline bool efa_watches(void)
{
	return unlikely(efa_watched);
}

void efa_watch_mr(struct efa_mr *mr);
void efa_watch_mr_end(struct efa_mr *mr);
/* Before the doorbell, to which WQEs are written by @call of libibverbs, or which was @before. */
void efa_watch_send(struct efa_qp *qp, const char *call, const uint8_t *wqes, uint32_t num);
void efa_watch_recv(struct efa_qp *qp, const struct ibv_recv_wr *wr, uint16_t req_id);
void efa_watch_rq_db(struct efa_qp *qp, uint16_t before);
/* Before the request, one of @wq's, is given back. */
void efa_watch_cqe(struct efa_cq *cq, struct efa_wq *wq, const struct efa_io_cdesc *cd);
void efa_watch_cq_db(struct efa_cq *cq, bool arm);
/* Nothing that was posted to @qp will complete. */
void efa_watch_forget(struct efa_qp *qp);

/*
 * Why a request is refused: the thread keeps it until the call tells of it. efa_why() returns @err.
 * @wr_id: NULL if the request is the one that ibv_wr_ was at.
 */
int efa_why(const struct efa_qp *qp, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));
void efa_refused(const struct efa_qp *qp, const char *call, const uint64_t *wr_id)
	__attribute__((cold));

/*
 * With a doorbell: tell what was consumed, and ask for an event if @arm. Under the lock, lest an
 * older index comes after a newer one.
 */
static inline void efa_cq_ring(struct efa_cq *cq, bool arm)
{
	uint32_t value = cq->consumed;

	value |= (cq->events & EFA_IO_CQ_DB_SN_MASK) << EFA_IO_CQ_DB_SN_SHIFT;
	if (arm)
		value |= EFA_IO_CQ_DB_ARM;
	if (efa_watches())
		efa_watch_cq_db(cq, arm);
	mmio_write32(cq->db.at, value);
}

/* the verbs of each kind of object */
extern const struct verbs_context_ops efa_pd_ops, efa_mr_ops, efa_ah_ops, efa_cq_ops, efa_qp_ops,
				      efa_counter_ops;

#endif /* EFA_H */
