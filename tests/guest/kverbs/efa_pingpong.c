// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Messages between the kernels of two nodes, by kernel verbs
 *
 * Loaded on both. Each says its queue pair's number in "qpn" and is told the
 * other's, "GID QPN", by writing to "peer"; from then on it answers. "run"
 * takes the name of a test, returns when that has ended, with an error if it
 * has failed, and "result" says how. All in /sys/module/efa_pingpong/parameters.
 */
#include <linux/completion.h>
#include <linux/inet.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <rdma/ib_verbs.h>

#define RECVS		16
#define DEPTH		32
#define GRH		40
#define QKEY		0x1234
#define TIMEOUT		(60 * HZ)

static char *type = "srd";
module_param(type, charp, 0444);
MODULE_PARM_DESC(type, "ud or srd");
static char *poll = "softirq";
module_param(poll, charp, 0444);
MODULE_PARM_DESC(poll, "softirq, workqueue, handler: in the interrupt, or direct: by whoever writes to run");
static unsigned int size = 64;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "bytes of a message");
static bool by_inline;
module_param(by_inline, bool, 0444);
MODULE_PARM_DESC(by_inline, "send what is in the work request itself");
static unsigned int rounds = 1000;
module_param(rounds, uint, 0644);
static unsigned int events;
module_param(events, uint, 0444);
MODULE_PARM_DESC(events, "fatal events so far");
static char result[160];
module_param_string(result, result, sizeof(result), 0444);

/* A buffer, mapped for the device. */
struct buffer {
	struct ib_cqe cqe;
	u8 *mem;
	dma_addr_t dma;
};

struct pingpong {
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct ib_ah *ah;
	u32 peer_qpn;
	struct ib_qp_cap cap;
	struct buffer recv[RECVS], send;
	size_t room;			/* of a buffer */
	size_t offset;			/* of a message in what is received */

	/* of the test that runs */
	bool client;
	bool sent;			/* nothing is on its way */
	u32 next;			/* round to send, if not 0 */
	u32 last;			/* round that was received */
	struct completion done;
	int err;
	struct ib_cqe cqe;		/* of requests that shall fail */
	enum ib_wc_status status;
	unsigned int completions;
};

static struct pingpong *pp;
static DEFINE_MUTEX(lock);		/* pp, and what writers of files do */

static __printf(2, 3) void finish(int err, const char *fmt, ...)
{
	va_list args;

	if (pp->err == -EINPROGRESS) {
		va_start(args, fmt);
		vscnprintf(result, sizeof(result), fmt, args);
		va_end(args);
		pp->err = err;
	}
	complete(&pp->done);
}

static u8 pattern(u32 round, unsigned int i)
{
	return i < 4 ? round >> 8 * i : round * 13 + i * 7;
}

/* ---- messages ---- */

static int post_recv(struct buffer *buf)
{
	struct ib_sge sge = {
		.addr = buf->dma,
		.length = pp->room,
		.lkey = pp->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = {
		.wr_cqe = &buf->cqe,
		.sg_list = &sge,
		.num_sge = 1,
	};

	return ib_post_recv(pp->qp, &wr, NULL);
}

/* As it should be; for tests to change. */
static struct ib_ud_wr make_send(struct ib_sge *sge, struct ib_cqe *cqe)
{
	*sge = (struct ib_sge) {
		.addr = by_inline ? (uintptr_t)pp->send.mem : pp->send.dma,
		.length = size,
		.lkey = pp->pd->local_dma_lkey,
	};
	return (struct ib_ud_wr) {
		.wr = {
			.wr_cqe = cqe,
			.sg_list = sge,
			.num_sge = 1,
			.opcode = IB_WR_SEND,
			.send_flags = IB_SEND_SIGNALED |
				      (by_inline ? IB_SEND_INLINE : 0),
		},
		.ah = pp->ah,
		.remote_qpn = pp->peer_qpn,
		.remote_qkey = QKEY,
	};
}

/* The next round, if it is due and the one before is out. */
static void send_next(void)
{
	struct ib_ud_wr ud;
	struct ib_sge sge;
	unsigned int i;
	int err;

	if (!pp->next || !pp->sent)
		return;
	ib_dma_sync_single_for_cpu(pp->dev, pp->send.dma, pp->room,
				   DMA_TO_DEVICE);
	for (i = 0; i < size; i++)
		pp->send.mem[i] = pattern(pp->next, i);
	ib_dma_sync_single_for_device(pp->dev, pp->send.dma, pp->room,
				      DMA_TO_DEVICE);
	ud = make_send(&sge, &pp->send.cqe);
	if (pp->next & 1) {
		ud.wr.opcode = IB_WR_SEND_WITH_IMM;
		ud.wr.ex.imm_data = cpu_to_be32(pp->next);
	}
	pp->next = 0;
	pp->sent = false;
	err = ib_post_send(pp->qp, &ud.wr, NULL);
	if (err)
		finish(err, "ib_post_send: %d", err);
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	if (wc->status) {
		if (wc->status != IB_WC_WR_FLUSH_ERR)
			finish(-EIO, "send: %s", ib_wc_status_msg(wc->status));
		return;
	}
	pp->sent = true;
	send_next();
}

static int check_message(const struct ib_wc *wc, const u8 *mem, u32 round)
{
	unsigned int i;

	if (wc->byte_len != pp->offset + size || wc->src_qp != pp->peer_qpn ||
	    wc->qp != pp->qp || wc->opcode != IB_WC_RECV) {
		finish(-EIO, "round %u: %u bytes from QP %u", round,
		       wc->byte_len, wc->src_qp);
		return -EIO;
	}
	if (!!(wc->wc_flags & IB_WC_WITH_IMM) != (round & 1) ||
	    (round & 1 && be32_to_cpu(wc->ex.imm_data) != round)) {
		finish(-EIO, "round %u: immediate %u", round,
		       be32_to_cpu(wc->ex.imm_data));
		return -EIO;
	}
	for (i = 0; i < size; i++) {
		if (mem[i] == pattern(round, i))
			continue;
		finish(-EIO, "round %u: byte %u is 0x%x", round, i, mem[i]);
		return -EIO;
	}
	return 0;
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct buffer *buf = container_of(wc->wr_cqe, struct buffer, cqe);
	u32 round, expected;
	int err;

	if (wc->status) {
		if (wc->status != IB_WC_WR_FLUSH_ERR)
			finish(-EIO, "receive: %s",
			       ib_wc_status_msg(wc->status));
		pp->completions++;
		return;
	}
	ib_dma_sync_single_for_cpu(pp->dev, buf->dma, pp->room,
				   DMA_FROM_DEVICE);
	round = le32_to_cpup((__le32 *)(buf->mem + pp->offset));
	/* a client begins anew with 1 */
	expected = !pp->client && round == 1 ? 1 : pp->last + 1;
	if (check_message(wc, buf->mem + pp->offset, expected))
		return;
	pp->last = round;
	memset(buf->mem, 0xee, pp->room);
	ib_dma_sync_single_for_device(pp->dev, buf->dma, pp->room,
				      DMA_FROM_DEVICE);
	err = post_recv(buf);
	if (err) {
		finish(err, "ib_post_recv: %d", err);
		return;
	}
	if (pp->client && round == rounds) {
		finish(0, "ok: %u rounds", round);
		return;
	}
	pp->next = round + pp->client;
	send_next();
}

/* ---- tests ---- */

static bool polls_itself(void)
{
	return !strcmp(poll, "direct");
}

/* Until finish(), but not for ever. */
static int wait_until_done(void)
{
	unsigned long end = jiffies + TIMEOUT;

	if (!polls_itself()) {
		if (!wait_for_completion_timeout(&pp->done, TIMEOUT))
			finish(-ETIME, "timeout after round %u", pp->last);
		return pp->err;
	}
	while (!try_wait_for_completion(&pp->done)) {
		if (time_after(jiffies, end))
			finish(-ETIME, "timeout after round %u", pp->last);
		ib_process_cq_direct(pp->cq, -1);
		cond_resched();
	}
	return pp->err;
}

static int run_pingpong(void)
{
	pp->client = true;
	pp->last = 0;
	pp->next = 1;
	send_next();
	return wait_until_done();
}

static void failed_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	pp->status = wc->status;
	pp->completions++;
	finish(0, "%s", ib_wc_status_msg(wc->status));
}

/* One request that is taken, and ends with an error. */
static int run_bad_send(const char *what)
{
	struct ib_ud_wr ud;
	struct ib_sge sge;
	int err;

	ud = make_send(&sge, &pp->cqe);
	if (!strcmp(what, "qpn"))
		ud.remote_qpn ^= 0x155;
	else if (!strcmp(what, "lkey"))
		sge.lkey ^= 0x155;
	else if (!strcmp(what, "qkey"))
		ud.remote_qkey++;
	else
		sge.length = 1 << 20;
	err = ib_post_send(pp->qp, &ud.wr, NULL);
	if (err)
		finish(err, "ib_post_send: %d", err);
	return wait_until_done();
}

/* The second of two requests is refused; bad_wr must say so. */
static int run_refused_send(const char *what)
{
	const struct ib_send_wr *bad = NULL;
	struct ib_ud_wr good, ud;
	struct ib_sge sge;
	int err;

	good = make_send(&sge, &pp->cqe);
	good.wr.num_sge = 0;
	good.remote_qpn ^= 0x155;
	ud = good;
	good.wr.next = &ud.wr;
	if (!strcmp(what, "opcode"))
		ud.wr.opcode = IB_WR_RDMA_WRITE;
	else if (!strcmp(what, "unsignaled"))
		ud.wr.send_flags = 0;
	else
		ud.wr.num_sge = pp->cap.max_send_sge + 1;
	err = ib_post_send(pp->qp, &good.wr, &bad);
	if (err != -EINVAL || bad != &ud.wr)
		finish(-EIO, "ib_post_send: %d, the wrong request", err);
	wait_until_done();
	scnprintf(result, sizeof(result), "%d", err);
	return pp->err;
}

/* As many as there is room for, and no more; nobody polls meanwhile. */
static int run_full(void)
{
	unsigned int posted = 0, wanted = pp->cap.max_send_wr;
	unsigned long end = jiffies + TIMEOUT;
	struct ib_ud_wr ud;
	struct ib_sge sge;
	int err;

	if (!polls_itself())
		return -EOPNOTSUPP;
	ud = make_send(&sge, &pp->cqe);
	ud.remote_qpn ^= 0x155;
	while (!(err = ib_post_send(pp->qp, &ud.wr, NULL)))
		posted++;
	while (pp->completions < posted && time_before(jiffies, end)) {
		ib_process_cq_direct(pp->cq, -1);
		cond_resched();
	}
	scnprintf(result, sizeof(result), "%u of %u posted, then %d, %u done",
		  posted, wanted, err, pp->completions);
	return err == -ENOMEM && posted == wanted &&
	       pp->completions == posted ? 0 : -EIO;
}

static int modify(enum ib_qp_state state)
{
	struct ib_qp_attr attr = {
		.qp_state = state,
		.port_num = 1,
		.qkey = QKEY,
	};
	int mask = IB_QP_STATE;

	if (state == IB_QPS_INIT)
		mask |= IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_QKEY;
	if (state == IB_QPS_RTS)
		mask |= IB_QP_SQ_PSN;
	return ib_modify_qp(pp->qp, &attr, mask);
}

static int connect(void)
{
	unsigned int i;
	int err;

	err = modify(IB_QPS_INIT);
	for (i = 0; !err && i < RECVS; i++)
		err = post_recv(&pp->recv[i]);
	if (!err)
		err = modify(IB_QPS_RTR);
	if (!err)
		err = modify(IB_QPS_RTS);
	return err;
}

/* All receives are flushed; after a reset the queue pair is as new. */
static int run_drain(void)
{
	int err;

	ib_drain_qp(pp->qp);
	scnprintf(result, sizeof(result), "%u flushed", pp->completions);
	err = modify(IB_QPS_RESET);
	return err ?: connect();
}

/* As many as there is room for. */
static int run_receives(void)
{
	int err, posted = 0;

	while (!(err = post_recv(&pp->recv[0])))
		posted++;
	ib_drain_qp(pp->qp);
	scnprintf(result, sizeof(result), "%d more, then %d, %u flushed",
		  posted, err, pp->completions);
	err = modify(IB_QPS_RESET);
	return err ?: connect();
}

static int run(const char *what)
{
	if (!strcmp(what, "pingpong"))
		return run_pingpong();
	if (!strcmp(what, "full"))
		return run_full();
	if (!strcmp(what, "receives"))
		return run_receives();
	if (!strcmp(what, "drain"))
		return run_drain();
	if (!strcmp(what, "opcode") || !strcmp(what, "unsignaled") ||
	    !strcmp(what, "sges"))
		return run_refused_send(what);
	if (!strcmp(what, "qpn") || !strcmp(what, "lkey") ||
	    !strcmp(what, "qkey") || !strcmp(what, "length"))
		return run_bad_send(what);
	return -EINVAL;
}

static int set_run(const char *val, const struct kernel_param *kp)
{
	char what[16];
	int err = -ENODEV;

	strscpy(what, val, sizeof(what));
	mutex_lock(&lock);
	if (pp && pp->ah) {
		result[0] = 0;
		reinit_completion(&pp->done);
		pp->err = -EINPROGRESS;
		pp->sent = true;
		pp->completions = 0;
		err = run(strim(what));
		pp->client = false;
		pp->next = 0;
	}
	mutex_unlock(&lock);
	return err;
}

static const struct kernel_param_ops run_ops = { .set = set_run };
module_param_cb(run, &run_ops, NULL, 0200);

/* ---- the peer ---- */

static int set_peer(const char *val, const struct kernel_param *kp)
{
	struct rdma_ah_attr attr = {};
	struct ib_ah *ah;
	union ib_gid gid;
	const char *rest;
	int err = -ENODEV;
	u32 qpn;

	if (!in6_pton(val, -1, gid.raw, ' ', &rest) ||
	    sscanf(rest, "%u", &qpn) != 1)
		return -EINVAL;
	mutex_lock(&lock);
	if (!pp || pp->ah)
		goto out;
	attr.type = rdma_ah_find_type(pp->dev, 1);
	rdma_ah_set_port_num(&attr, 1);
	rdma_ah_set_grh(&attr, &gid, 0, 0, 255, 0);
	ah = rdma_create_ah(pp->pd, &attr, RDMA_CREATE_AH_SLEEPABLE);
	err = PTR_ERR_OR_ZERO(ah);
	if (err)
		goto out;
	pp->peer_qpn = qpn;
	pp->ah = ah;
	err = connect();
out:
	mutex_unlock(&lock);
	return err;
}

static const struct kernel_param_ops peer_ops = { .set = set_peer };
module_param_cb(peer, &peer_ops, NULL, 0200);

static int get_qpn(char *buffer, const struct kernel_param *kp)
{
	int len;

	mutex_lock(&lock);
	len = sysfs_emit(buffer, "%u\n", pp ? pp->qp->qp_num : 0);
	mutex_unlock(&lock);
	return len;
}

static const struct kernel_param_ops qpn_ops = { .get = get_qpn };
module_param_cb(qpn, &qpn_ops, NULL, 0444);

/* ---- objects ---- */

static void on_event(struct ib_event *event, void *context)
{
	if (event->event != IB_EVENT_QP_FATAL)
		return;
	events++;
	finish(-EIO, "fatal event");
}

static int make_buffer(struct buffer *buf, enum dma_data_direction dir,
		       void (*done)(struct ib_cq *cq, struct ib_wc *wc))
{
	buf->cqe.done = done;
	buf->mem = kzalloc(pp->room, GFP_KERNEL);
	if (!buf->mem)
		return -ENOMEM;
	buf->dma = ib_dma_map_single(pp->dev, buf->mem, pp->room, dir);
	if (!ib_dma_mapping_error(pp->dev, buf->dma))
		return 0;
	kfree(buf->mem);
	buf->mem = NULL;
	return -ENOMEM;
}

static void free_buffer(struct buffer *buf, enum dma_data_direction dir)
{
	if (buf->mem)
		ib_dma_unmap_single(pp->dev, buf->dma, pp->room, dir);
	kfree(buf->mem);
}

static void destroy(void)
{
	unsigned int i;

	/* what is posted in the meantime would be to nobody */
	if (!IS_ERR_OR_NULL(pp->qp) && !IS_ERR_OR_NULL(pp->ah))
		ib_drain_qp(pp->qp);
	if (!IS_ERR_OR_NULL(pp->qp))
		ib_destroy_qp(pp->qp);
	if (!IS_ERR_OR_NULL(pp->ah))
		rdma_destroy_ah(pp->ah, RDMA_DESTROY_AH_SLEEPABLE);
	if (!IS_ERR_OR_NULL(pp->cq) && !strcmp(poll, "handler"))
		ib_destroy_cq(pp->cq);
	else if (!IS_ERR_OR_NULL(pp->cq))
		ib_free_cq(pp->cq);
	if (!IS_ERR_OR_NULL(pp->pd))
		ib_dealloc_pd(pp->pd);
	free_buffer(&pp->send, DMA_TO_DEVICE);
	for (i = 0; i < RECVS; i++)
		free_buffer(&pp->recv[i], DMA_FROM_DEVICE);
	kfree(pp);
	pp = NULL;
}

/* A user that has its own idea of how to poll. */
static void on_completion(struct ib_cq *cq, void *context)
{
	struct ib_wc wc;

	do {
		while (ib_poll_cq(cq, 1, &wc) > 0)
			wc.wr_cqe->done(cq, &wc);
	} while (ib_req_notify_cq(cq, IB_CQ_NEXT_COMP |
				      IB_CQ_REPORT_MISSED_EVENTS) > 0);
}

static struct ib_cq *make_cq(void)
{
	/* not a power of two: the driver has to see to that */
	const struct ib_cq_init_attr attr = { .cqe = 2 * DEPTH + 3 };
	struct ib_cq *cq;

	if (polls_itself())
		return ib_alloc_cq(pp->dev, NULL, attr.cqe, 0, IB_POLL_DIRECT);
	if (!strcmp(poll, "softirq"))
		return ib_alloc_cq(pp->dev, NULL, attr.cqe, 0, IB_POLL_SOFTIRQ);
	if (!strcmp(poll, "workqueue"))
		return ib_alloc_cq(pp->dev, NULL, attr.cqe, 0,
				   IB_POLL_WORKQUEUE);
	cq = ib_create_cq(pp->dev, on_completion, NULL, NULL, &attr);
	if (!IS_ERR(cq))
		ib_req_notify_cq(cq, IB_CQ_NEXT_COMP);
	return cq;
}

static int make_queues(void)
{
	struct ib_qp_init_attr attr = {
		.event_handler = on_event,
		.cap = {
			.max_send_wr = DEPTH,
			.max_recv_wr = DEPTH,
			.max_send_sge = 1,
			.max_recv_sge = 1,
			.max_inline_data = by_inline ? size : 0,
		},
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = strcmp(type, "ud") ? IB_QPT_DRIVER : IB_QPT_UD,
	};

	pp->pd = ib_alloc_pd(pp->dev, 0);
	if (IS_ERR(pp->pd))
		return PTR_ERR(pp->pd);
	pp->cq = make_cq();
	if (IS_ERR(pp->cq))
		return PTR_ERR(pp->cq);
	attr.send_cq = pp->cq;
	attr.recv_cq = pp->cq;
	pp->qp = ib_create_qp(pp->pd, &attr);
	if (IS_ERR(pp->qp))
		return PTR_ERR(pp->qp);
	pp->cap = attr.cap;
	return 0;
}

static int add_device(struct ib_device *dev)
{
	unsigned int i;
	int err = -EBUSY;

	mutex_lock(&lock);
	if (pp)
		goto out;
	err = -ENOMEM;
	pp = kzalloc(sizeof(*pp), GFP_KERNEL);
	if (!pp)
		goto out;
	pp->dev = dev;
	pp->offset = strcmp(type, "ud") ? 0 : GRH;
	pp->room = size + GRH;
	pp->sent = true;
	pp->err = -EINPROGRESS;
	pp->cqe.done = failed_send_done;
	init_completion(&pp->done);
	err = make_buffer(&pp->send, DMA_TO_DEVICE, send_done);
	for (i = 0; !err && i < RECVS; i++)
		err = make_buffer(&pp->recv[i], DMA_FROM_DEVICE, recv_done);
	if (!err)
		err = make_queues();
	if (err) {
		pr_err("efa_pingpong: %s: %d\n", dev_name(&dev->dev), err);
		destroy();
	}
out:
	mutex_unlock(&lock);
	return err;
}

static void remove_device(struct ib_device *dev, void *data)
{
	/* whoever waits is to wait no more */
	if (pp && pp->dev == dev)
		finish(-ENODEV, "the device goes");
	mutex_lock(&lock);
	if (pp && pp->dev == dev)
		destroy();
	mutex_unlock(&lock);
}

static struct ib_client client = {
	.name = "efa_pingpong",
	.add = add_device,
	.remove = remove_device,
};

static int __init pingpong_init(void)
{
	if (size < sizeof(u32) || !rounds)
		return -EINVAL;
	return ib_register_client(&client);
}

static void __exit pingpong_exit(void)
{
	ib_unregister_client(&client);
}

module_init(pingpong_init);
module_exit(pingpong_exit);
MODULE_DESCRIPTION("Messages between kernels by kernel verbs");
MODULE_LICENSE("Dual BSD/GPL");
