/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA driver: its layers and what they share
 *
 *   verbs     device.c context.c pd.c ah.c mr.c cq.c qp.c kverbs.c stats.c
 *   life      main.c: probe, recovery, removal
 *   commands  cmd.c
 *   queues    admin.c event.c
 *   registers regs.c
 */
#ifndef EFA_H
#define EFA_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <rdma/ib_umem.h>
#include "abi.h"
#include "compat.h"
#include "hw.h"
#include "io.h"

#define EFA_DRV_NAME	"efa_emu"

/* ---- registers ---- */

struct efa_regs {
	void __iomem *base;
	struct mutex lock;		/* one read at a time */
	struct efa_reg_resp *resp;
	dma_addr_t resp_dma;
	u16 seq;
	unsigned int timeout_us;
};

/* ---- admin queues ---- */

enum efa_place {
	EFA_PLACE_FREE,
	EFA_PLACE_WAITING,
	EFA_PLACE_DONE,			/* its issuer has to give it back */
};

/* A place for a command that waits for its completion. */
struct efa_admin_wait {
	struct completion done;
	u16 id;
	enum efa_place state;
	int err;
	struct efa_acq_entry answer;
};

struct efa_admin {
	struct efa_aq_entry *aq;
	struct efa_acq_entry *acq;
	dma_addr_t aq_dma, acq_dma;
	struct semaphore slots;		/* as many as the queue has entries */
	spinlock_t lock;		/* all below */
	bool running;
	u16 sq_count;
	u16 cq_count;
	u8 generation;			/* of command ids */
	unsigned int timeout_ms;
	unsigned int hint_ms;		/* a better timeout, if not 0 */
	struct efa_admin_wait wait[EFA_AQ_DEPTH];
};

struct efa_aenq {
	struct efa_aenq_entry *ring;
	dma_addr_t dma;
	u32 count;
};

struct efa_eq {
	struct efa_dev *dev;
	struct efa_eqe *ring;
	dma_addr_t dma;
	size_t size;
	u16 eqn;
	u16 vector;
	u32 count;
	bool live;
};

/* ---- what the device said of itself ---- */

struct efa_caps {
	u64 page_size_cap;
	u64 features;
	u32 device_caps;
	u32 max_rdma_size;
	__be64 guid;
	unsigned int db_bar;
	u16 link_gbps;
	u32 max_qp, max_sq_depth, max_rq_depth, max_cq, max_cq_depth;
	u32 max_mr, max_mr_pages, max_pd, max_ah, max_llq_size;
	u32 inline_size;
	u16 inline_size_ex, sub_cqs, min_sq_depth, max_tx_batch;
	u16 max_send_sge, max_recv_sge, max_rdma_sge;
	u32 max_eq, max_eq_depth;
	union ib_gid gid;
	u32 mtu;
};

/* Counted by the driver itself, in the order of the statistics. */
enum efa_event_count {
	EFA_SUBMITTED_CMDS,
	EFA_COMPLETED_CMDS,
	EFA_CMDS_ERR,
	EFA_NO_COMPLETION_CMDS,
	EFA_KEEP_ALIVE_RCVD,
	EFA_ALLOC_PD_ERR,
	EFA_CREATE_QP_ERR,
	EFA_CREATE_CQ_ERR,
	EFA_REG_MR_ERR,
	EFA_ALLOC_UCONTEXT_ERR,
	EFA_CREATE_AH_ERR,
	EFA_MMAP_ERR,
	EFA_DEVICE_COUNTS,
};

enum efa_dev_state {
	EFA_DEV_DOWN,		/* not yet, not any more, or given up */
	EFA_DEV_LIVE,
	EFA_DEV_BROKEN,		/* recovery is on its way */
};

enum efa_dying {
	EFA_DYING,		/* recovery is queued or at work */
	EFA_FATAL_EARLY,	/* there was a reason before there was a life */
};

struct efa_dev {
	struct ib_device ibdev;
	struct pci_dev *pdev;
	struct efa_regs regs;
	struct efa_admin admin;
	struct efa_aenq aenq;
	struct efa_eq *eqs;
	unsigned int num_vectors;	/* MSI-X, the admin queues' included */
	unsigned int num_eqs;
	struct efa_caps caps;
	phys_addr_t mem_base, db_base;
	resource_size_t mem_len, db_len;

	/*
	 * What was made in one life of the device is unknown to it in the
	 * next. Held for reading around each command about an object, so that
	 * a life cannot end in between.
	 */
	struct rw_semaphore life_lock;
	unsigned int life;
	enum efa_dev_state state;
	bool removing;
	unsigned int first_held;	/* the device keeps nothing of those before */
	unsigned long dying;		/* bits of enum efa_dying */
	struct work_struct recovery;
	struct workqueue_struct *wq;

	struct xarray cqs;		/* struct efa_cq, by CQ number */
	struct xarray qps;		/* struct efa_qp, by QP number */
	struct xarray bar_owner;	/* struct efa_ucontext, by page frame */
	struct mutex uctx_lock;
	struct list_head ucontexts;
	struct mutex kernel_lock;
	struct efa_ucontext *kernel_uctx; /* while the kernel has queues */
	atomic64_t counts[EFA_DEVICE_COUNTS];
};

static inline struct efa_dev *to_edev(struct ib_device *ibdev)
{
	return container_of(ibdev, struct efa_dev, ibdev);
}

/*
 * Is this the life still? It does not end before the caller's read-side
 * section of RCU does, within which this is asked.
 */
static inline bool efa_is_alive(struct efa_dev *dev, unsigned int life)
{
	/* the state is new no sooner than the life's number */
	return smp_load_acquire(&dev->state) == EFA_DEV_LIVE &&
	       READ_ONCE(dev->life) == life;
}

static inline void efa_count(struct efa_dev *dev, enum efa_event_count what)
{
	atomic64_inc(&dev->counts[what]);
}

/* ---- verbs objects; life: of the device, in which it was made ---- */

struct efa_ucontext {
	struct ib_ucontext ibucontext;
	struct list_head list;		/* in ucontexts */
	unsigned int life;
	bool stale;			/* opened in an earlier life */
	u16 uar;
	unsigned int users;		/* queues, if it is the kernel's */
	struct xarray maps;		/* f_mapping, by who has BARs mapped */
};

struct efa_pd {
	struct ib_pd ibpd;
	unsigned int life;
	u16 pdn;
};

struct efa_ah {
	struct ib_ah ibah;
	unsigned int life;
	u16 ahn;
};

static inline struct efa_ucontext *to_euctx(struct ib_ucontext *ibucontext)
{
	return container_of(ibucontext, struct efa_ucontext, ibucontext);
}

static inline struct efa_ah *to_eah(struct ib_ah *ibah)
{
	return container_of(ibah, struct efa_ah, ibah);
}

static inline struct efa_pd *to_epd(struct ib_pd *ibpd)
{
	return container_of(ibpd, struct efa_pd, ibpd);
}

struct efa_mr {
	struct ib_mr ibmr;
	struct ib_umem *umem;
	unsigned int life;
	struct efa_reg_mr_resp key;
};

/* Memory that the device shares with a process: pages that outlive us there. */
struct efa_ring {
	void *cpu;
	dma_addr_t dma;
	size_t size;
	enum dma_data_direction dir;
	struct rdma_user_mmap_entry *entry;
};

/* A part of a BAR that a process may map, or the kernel has mapped. */
struct efa_window {
	struct rdma_user_mmap_entry *entry;
	void __iomem *io;
};

struct efa_cq {
	struct ib_cq ibcq;
	unsigned int life;
	struct efa_ring ring;
	struct efa_window db;
	struct efa_eq *eq;		/* NULL: without events */
	u16 idx;
	struct efa_ucontext *uctx;
	unsigned int events;

	/* Of the kernel's. */
	spinlock_t lock;
	struct xarray qps;		/* that it is a CQ of, by QP number */
	u32 *counts;			/* entries taken, of each ring */
	unsigned int consumed;		/* of all */
};

static inline struct efa_cq *to_ecq(struct ib_cq *ibcq)
{
	return container_of(ibcq, struct efa_cq, ibcq);
}

/* One queue of a QP of the kernel. */
struct efa_wq {
	spinlock_t lock;
	u64 *wr_id;			/* slots: of requests at the device */
	unsigned long *busy;		/* bitmap of them */
	u16 depth;			/* of slots */
	u16 generation;			/* upper part of ids */
	u16 mask;			/* entries of the ring - 1 */
	u16 pc;				/* entries written */
};

struct efa_qp {
	struct ib_qp ibqp;
	unsigned int life;
	struct efa_ring rq_ring;
	struct efa_window llq, sq_db, rq_db;
	u32 handle;
	enum ib_qp_state state;
	struct ib_qp_cap cap;
	struct efa_ucontext *uctx;

	/* Of the kernel's. */
	struct efa_wq sq, rq;
	bool signal_all;
};

static inline struct efa_qp *to_eqp(struct ib_qp *ibqp)
{
	return container_of(ibqp, struct efa_qp, ibqp);
}

/* ---- regs.c ---- */
int efa_regs_init(struct efa_dev *dev);
void efa_reg_write(struct efa_dev *dev, enum efa_reg reg, u32 value);
/* A DMA address into a pair of registers. */
void efa_reg_write_addr(struct efa_dev *dev, enum efa_reg lo, dma_addr_t addr);
int efa_reg_read(struct efa_dev *dev, enum efa_reg reg, u32 *value);
int efa_device_reset(struct efa_dev *dev, enum efa_reset_reason reason);

/* ---- admin.c ---- */
int efa_admin_init(struct efa_dev *dev);
/* Tell the device of the rings; it has just been reset. */
int efa_admin_start(struct efa_dev *dev);
/* No more commands; those under way end with -EIO. */
void efa_admin_stop(struct efa_dev *dev);
/* From the interrupt: completions that have come. */
void efa_admin_poll(struct efa_dev *dev);

struct efa_cmd {
	enum efa_admin_opcode opcode;
	u8 flags;
	const void *req;		/* behind the common header */
	size_t req_len;
	void *resp;
	size_t resp_len;
};

/* Sleeps. 0, or the errno of the device's status. */
int efa_admin_exec(struct efa_dev *dev, const struct efa_cmd *cmd);

/* ---- event.c ---- */
int efa_aenq_init(struct efa_dev *dev);
void efa_aenq_start(struct efa_dev *dev);
void efa_aenq_poll(struct efa_dev *dev);
int efa_eqs_alloc(struct efa_dev *dev);
int efa_eqs_create(struct efa_dev *dev);
irqreturn_t efa_eq_irq(int irq, void *data);

/* ---- cmd.c ---- */
/* A command without buffers: @req is what follows the common header. */
int efa_exec(struct efa_dev *dev, enum efa_admin_opcode opcode,
	     const void *req, size_t req_len, void *resp, size_t resp_len);
int efa_cmd_get_caps(struct efa_dev *dev, struct efa_caps *caps);
int efa_cmd_enable_aenq(struct efa_dev *dev);
void efa_cmd_host_info(struct efa_dev *dev);
/* A PD or UAR. */
int efa_cmd_alloc(struct efa_dev *dev, enum efa_admin_opcode opcode, u16 *id);
/* The end of any object; a number of 16 bits fills the lower half. */
int efa_cmd_free(struct efa_dev *dev, enum efa_admin_opcode opcode,
		 u32 handle);
/* That of one that nobody knows yet: if the device keeps it, it is reset. */
int efa_cmd_undo(struct efa_dev *dev, enum efa_admin_opcode opcode,
		 u32 handle);

/* ---- main.c ---- */
/* Something is wrong with the device: begin a new life of it. */
void efa_schedule_recovery(struct efa_dev *dev);
/*
 * Around commands about an object made in @life: -EIO if the device has
 * forgotten it, else leave with efa_life_leave().
 */
int efa_life_enter(struct efa_dev *dev, unsigned int life);
/* The same to make one; for @uctx, if it is not the first thing of all. */
int efa_new_enter(struct efa_dev *dev, struct efa_ucontext *uctx,
		  unsigned int *life);
void efa_life_leave(struct efa_dev *dev);
/*
 * After a command that ended with @err, before memory goes that the device was
 * told of; outside of the life. A device that does not answer may still write:
 * this waits until it has been reset. 0 if it has forgotten all, else @err.
 */
int efa_settle(struct efa_dev *dev, int err);
/*
 * The end of an object made in @life, outside of it. Unless this fails, the
 * device knows it no more, and its memory can go. It fails only if there is an
 * @owner who can ask again; otherwise a device that refuses is reset.
 */
int efa_forget(struct efa_dev *dev, unsigned int life,
	       enum efa_admin_opcode opcode, u32 handle, const void *owner);

/* ---- context.c ---- */
int efa_alloc_ucontext(struct ib_ucontext *ibucontext, struct ib_udata *udata);
void efa_dealloc_ucontext(struct ib_ucontext *ibucontext);
/* The process's context, or the kernel's, for as long as it has a queue. */
int efa_uctx_get(struct efa_dev *dev, struct ib_udata *udata,
		 struct efa_ucontext **uctx);
void efa_uctx_put(struct efa_dev *dev, struct efa_ucontext *uctx);
int efa_mmap(struct ib_ucontext *ibucontext, struct vm_area_struct *vma);
void efa_mmap_free(struct rdma_user_mmap_entry *rdma_entry);
enum efa_mmap_kind {
	EFA_MMAP_DB,		/* a page of the doorbell BAR */
	EFA_MMAP_LLQ,		/* pages of the memory BAR, write-combining */
	EFA_MMAP_RING,		/* pages of memory */
};
/* A life ends: no process has pages of a BAR any more. */
void efa_take_pages(struct efa_dev *dev);

/*
 * Let the process map a doorbell or a send queue at @offset of its BAR, or a
 * ring, by @key; or map it for the kernel. What was begun is undone with the
 * window, or the ring.
 */
int efa_window_open(struct efa_dev *dev, struct efa_window *win,
		    struct efa_ucontext *uctx, enum efa_mmap_kind kind,
		    u32 offset, size_t size, __u64 *key);
void efa_window_close(struct efa_window *win);
/* @dir: DMA_BIDIRECTIONAL for a kernel user, who shares it by no means. */
int efa_ring_alloc(struct efa_dev *dev, struct efa_ring *ring, size_t size,
		   enum dma_data_direction dir);
int efa_ring_share(struct efa_ring *ring, struct efa_ucontext *uctx,
		   __u64 *key);
void efa_ring_free(struct efa_dev *dev, struct efa_ring *ring);
/* User data that must be ours alone: what we do not know of it is zero. */
int efa_copy_req(struct ib_udata *udata, void *req, size_t len);
/* The same where there is nothing to say, also for kernel users. */
int efa_no_req(struct ib_udata *udata);
int efa_copy_resp(struct ib_udata *udata, const void *resp, size_t len);

/* ---- device.c ---- */
int efa_register(struct efa_dev *dev);
int efa_query_device(struct ib_device *ibdev, struct ib_device_attr *attr,
		     struct ib_udata *udata);

/* ---- kverbs.c: work of kernel users ---- */
/* What a provider would ask for; @attr becomes what there will be. */
int efa_kernel_qp_cmd(struct efa_dev *dev, struct ib_qp_init_attr *attr,
		      struct efa_abi_create_qp *cmd);
int efa_kernel_qp_init(struct efa_qp *qp, const struct efa_abi_create_qp *cmd);
/* Completions find it from now on; behind leave() nobody is at it. */
int efa_kernel_qp_enter(struct efa_qp *qp);
void efa_kernel_qp_leave(struct efa_qp *qp);
/* All that was posted is forgotten. */
void efa_kernel_qp_reset(struct efa_qp *qp);
void efa_kernel_qp_exit(struct efa_qp *qp);
int efa_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		  const struct ib_send_wr **bad);
int efa_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		  const struct ib_recv_wr **bad);
int efa_poll_cq(struct ib_cq *ibcq, int num, struct ib_wc *wc);
int efa_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags notify);

/* ---- pages.c ---- */
/* A registration as it is; the device reads no list any more afterwards. */
int efa_reg(struct efa_dev *dev, unsigned int life,
	    const struct efa_reg_mr_cmd *req, u8 flags,
	    struct efa_reg_mr_resp *resp);
/* Register pinned memory; @req lacks the pages and their number only. */
int efa_reg_pages(struct efa_dev *dev, unsigned int life,
		  struct ib_umem *umem, unsigned long page_size,
		  struct efa_reg_mr_cmd *req,
		  struct efa_reg_mr_resp *resp);

/* ---- pd.c ah.c mr.c cq.c qp.c stats.c ---- */
int efa_alloc_pd(struct ib_pd *ibpd, struct ib_udata *udata);
int efa_dealloc_pd(struct ib_pd *ibpd, struct ib_udata *udata);
int efa_create_ah(struct ib_ah *ibah, struct rdma_ah_init_attr *attr,
		  struct ib_udata *udata);
int efa_destroy_ah(struct ib_ah *ibah, u32 flags);
extern const struct uapi_definition efa_mr_uapi[];
struct ib_mr *efa_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			      u64 iova, int access, EFA_DMAH
			      struct ib_udata *udata);
struct ib_mr *efa_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				     u64 length, u64 iova, int fd, int access,
				     EFA_DMAH EFA_DMABUF_UDATA);
struct ib_mr *efa_get_dma_mr(struct ib_pd *ibpd, int access);
int efa_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata);
int efa_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		  EFA_CQ_UDATA);
int efa_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata);
int efa_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *attr,
		  struct ib_udata *udata);
int efa_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		  struct ib_udata *udata);
int efa_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		 struct ib_qp_init_attr *init);
int efa_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata);
struct rdma_hw_stats *efa_alloc_port_stats(struct ib_device *ibdev, u32 port);
struct rdma_hw_stats *efa_alloc_device_stats(struct ib_device *ibdev);
int efa_get_hw_stats(struct ib_device *ibdev, struct rdma_hw_stats *stats,
		     u32 port, int index);

#endif /* EFA_H */
