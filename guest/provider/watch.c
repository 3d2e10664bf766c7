// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: traces, and explanations of misuse
 *
 * Two variables of the environment ask for it; neither changes what happens, but that request ids
 * of 64 bits, where there is nothing to know a request by, are not used with the second.
 *
 *   EFA_EMU_TRACE=1    or the name of a file: a line for each WQE, doorbell and completion, in the
 *                      words of the device's trace events
 *   EFA_EMU_STRICT=1   a line for each misuse of verbs, with the call that it is in
 *
 * For the latter each request that the device has is on a list, with its buffers. Requests of all
 * queues are there, so one mutex is enough, and a walk through the list good enough.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "efa.h"

#define EFA_GRH_SIZE	40	/* before the payload of a datagram */
#define EFA_SAY_MAX	5	/* lines of one kind */
#define EFA_TEXT_MAX	256
#define EFA_SUM_MAX	(1 << 20)

struct efa_held_buf {
	struct ibv_sge sge;
	uint64_t sum;		/* 0: not known */
};

/* A request that the device has. */
struct efa_held {
	struct list_node entry;
	struct efa_qp *qp;
	struct efa_wq *wq;	/* one of its two */
	uint64_t wr_id;
	uint16_t req_id;
	bool written;		/* the device writes to its buffers */
	int num;
	struct efa_held_buf buf[];
};

unsigned int efa_watched;
static FILE *efa_trace_to;
static pthread_mutex_t efa_watch_mutex = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(efa_held_list);
static LIST_HEAD(efa_mr_list);
static __thread struct {
	const char *fmt;
	char text[EFA_TEXT_MAX];
	uint64_t wr_id;
} efa_reason;

static bool efa_is_set(const char *value)
{
	return value && *value && strcmp(value, "0");
}

static __attribute__((constructor)) void efa_read_env(void)
{
	const char *trace = secure_getenv("EFA_EMU_TRACE");

	if (efa_is_set(secure_getenv("EFA_EMU_STRICT")))
		efa_watched |= EFA_STRICT;
	if (!efa_is_set(trace))
		return;
	efa_trace_to = strcmp(trace, "1") ? fopen(trace, "ae") : stderr;
	if (!efa_trace_to) {
		fprintf(stderr, "efa: EFA_EMU_TRACE: cannot open %s: %s\n", trace, strerror(errno));
		return;
	}
	setvbuf(efa_trace_to, NULL, _IOLBF, 0);
	efa_watched |= EFA_TRACE;
}

/* ---- lines ---- */

/* As QEMU's log has them: process, time, event. */
static void __attribute__((format(printf, 1, 2))) efa_trace(const char *fmt, ...)
{
	struct timespec now;
	va_list args;

	if (!(efa_watched & EFA_TRACE))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	flockfile(efa_trace_to);
	fprintf(efa_trace_to, "%d@%" PRId64 ".%06ld:", getpid(), (int64_t)now.tv_sec,
		now.tv_nsec / 1000);
	va_start(args, fmt);
	vfprintf(efa_trace_to, fmt, args);
	va_end(args);
	putc('\n', efa_trace_to);
	funlockfile(efa_trace_to);
}

/* Of a thousand lines that are alike the first few are enough. */
static bool efa_said_enough(const char *fmt)
{
	static struct { const char *fmt; unsigned int times; } said[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(said) - 1 && said[i].fmt && said[i].fmt != fmt; i++)
		;
	said[i].fmt = fmt;
	return said[i].times++ >= EFA_SAY_MAX;
}

int efa_why(const struct efa_qp *qp, int err, const char *fmt, ...)
{
	va_list args;

	if (efa_watched & EFA_STRICT) {
		va_start(args, fmt);
		vsnprintf(efa_reason.text, sizeof(efa_reason.text), fmt, args);
		va_end(args);
		efa_reason.fmt = fmt;
		efa_reason.wr_id = qp->vqp.qp_ex.wr_id;
	}
	return err;
}

static void efa_tell(const char *call, const struct efa_qp *qp, uint64_t wr_id, const char *fmt,
		     const char *text)
{
	if (!efa_said_enough(fmt))
		fprintf(stderr, "efa strict: %s, QP 0x%x, wr_id %" PRIu64 ": %s\n", call,
			qp->vqp.qp.qp_num, wr_id, text);
}

#define efa_say(call, held, fmt, ...) do { \
	static const char fmt_[] = fmt; \
	char text_[EFA_TEXT_MAX]; \
	\
	snprintf(text_, sizeof(text_), fmt_, __VA_ARGS__); \
	efa_tell(call, (held)->qp, (held)->wr_id, fmt_, text_); \
} while (0)

void efa_refused(const struct efa_qp *qp, const char *call, const uint64_t *wr_id)
{
	if (!(efa_watched & EFA_STRICT))
		return;
	pthread_mutex_lock(&efa_watch_mutex);
	efa_tell(call, qp, wr_id ? *wr_id : efa_reason.wr_id, efa_reason.fmt, efa_reason.text);
	pthread_mutex_unlock(&efa_watch_mutex);
}

/* ---- memory regions ---- */

void efa_watch_mr(struct efa_mr *mr)
{
	pthread_mutex_lock(&efa_watch_mutex);
	list_add(&efa_mr_list, &mr->entry);
	pthread_mutex_unlock(&efa_watch_mutex);
}

static bool efa_is_key(const struct efa_mr *mr, const struct efa_qp *qp, uint32_t lkey)
{
	return to_ectx(mr->vmr.ibv_mr.context) == qp->ctx &&
	       (mr->vmr.ibv_mr.lkey & EFA_IO_LKEY_MASK) == lkey;
}

void efa_watch_mr_end(struct efa_mr *mr)
{
	struct efa_held *held;
	int i;

	pthread_mutex_lock(&efa_watch_mutex);
	list_del(&mr->entry);
	list_for_each(&efa_held_list, held, entry)
		for (i = 0; i < held->num; i++)
			if (efa_is_key(mr, held->qp, held->buf[i].sge.lkey))
				efa_say("ibv_dereg_mr", held,
					"lkey 0x%x goes, and the request is not completed",
					held->buf[i].sge.lkey);
	pthread_mutex_unlock(&efa_watch_mutex);
}

static struct efa_mr *efa_mr_of(const struct efa_qp *qp, uint32_t lkey)
{
	struct efa_mr *mr;

	list_for_each(&efa_mr_list, mr, entry)
		if (efa_is_key(mr, qp, lkey))
			return mr;
	return NULL;
}

static bool efa_mr_holds(const struct efa_mr *mr, const struct ibv_sge *sge)
{
	return sge->addr >= mr->iova && sge->length <= mr->length &&
	       sge->addr - mr->iova <= mr->length - sge->length;
}

static void efa_check_mr(const char *call, const struct efa_held *held, const struct ibv_sge *sge)
{
	const struct efa_mr *mr = efa_mr_of(held->qp, sge->lkey);

	if (!mr)
		efa_say(call, held, "lkey 0x%x is no memory region's", sge->lkey);
	else if (mr->pdn != to_epd(held->qp->vqp.qp.pd)->pdn)
		efa_say(call, held, "lkey 0x%x is of another PD", sge->lkey);
	else if (!efa_mr_holds(mr, sge))
		efa_say(call, held, "0x%" PRIx64 " and %u bytes are not in the region of lkey 0x%x",
			sge->addr, sge->length, sge->lkey);
	else if (held->written && !(mr->vmr.access & IBV_ACCESS_LOCAL_WRITE))
		efa_say(call, held, "the region of lkey 0x%x is without IBV_ACCESS_LOCAL_WRITE",
			sge->lkey);
}

/* What a buffer holds; 0: it is not for us to know. */
static uint64_t efa_sum(const struct efa_qp *qp, const struct ibv_sge *sge)
{
	const struct efa_mr *mr = efa_mr_of(qp, sge->lkey);
	const uint8_t *p = (const uint8_t *)(uintptr_t)sge->addr;
	uint64_t sum = 0xcbf29ce484222325;	/* FNV-1a */
	uint32_t i;

	if (!mr || !mr->here || !efa_mr_holds(mr, sge) || sge->length > EFA_SUM_MAX)
		return 0;
	for (i = 0; i < sge->length; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum ?: 1;
}

/* ---- requests ---- */

static bool efa_overlap(const struct ibv_sge *a, const struct ibv_sge *b)
{
	return a->lkey == b->lkey && a->length && b->length &&
	       a->addr < b->addr + b->length && b->addr < a->addr + a->length;
}

/* Two may read a buffer at a time; who writes to it is alone. */
static void efa_check_others(const char *call, const struct efa_held *held,
			     const struct ibv_sge *sge)
{
	const struct efa_held *other;
	int i;

	list_for_each(&efa_held_list, other, entry)
		for (i = 0; i < other->num; i++)
			if ((held->written || other->written) && held->qp->ctx == other->qp->ctx &&
			    efa_overlap(sge, &other->buf[i].sge)) {
				efa_say(call, held, "the buffer at 0x%" PRIx64 " is still in use: "
					"wr_id %" PRIu64 " of QP 0x%x is not completed", sge->addr,
					other->wr_id, other->qp->vqp.qp.qp_num);
				return;
			}
}

/* What is wrong with it beside its buffers. */
static void efa_check_request(const char *call, const struct efa_held *held, uint64_t room)
{
	struct efa_cq *cq = held->wq->cq;

	if (held->wq == &held->qp->rq.wq && held->qp->vqp.qp.qp_type == IBV_QPT_UD &&
	    room <= EFA_GRH_SIZE)
		efa_say(call, held, "%" PRIu64 " bytes are too few for a datagram: its payload "
			"comes behind %u bytes for the GRH", room, EFA_GRH_SIZE);
	if (cq->owed++ == cq->mask + 1)
		efa_say(call, held, "the CQ may overrun: it takes %u completions, and more "
			"requests than that are posted and not polled", cq->mask + 1);
}

static void efa_hold(const char *call, struct efa_qp *qp, struct efa_wq *wq, uint16_t req_id,
		     bool written, int num, const struct ibv_sge *sge)
{
	struct efa_held *held = calloc(1, sizeof(*held) + num * sizeof(held->buf[0]));
	uint64_t room = 0;
	int i;

	if (!held)
		return;
	held->qp = qp;
	held->wq = wq;
	held->req_id = req_id;
	held->wr_id = wq->wr_id[req_id];
	held->written = written;
	held->num = num;
	pthread_mutex_lock(&efa_watch_mutex);
	for (i = 0; i < num; i++) {
		struct efa_held_buf *buf = &held->buf[i];

		buf->sge = sge[i];
		buf->sge.lkey &= EFA_IO_LKEY_MASK;
		efa_check_mr(call, held, &buf->sge);
		efa_check_others(call, held, &buf->sge);
		buf->sum = written ? 0 : efa_sum(qp, &buf->sge);
		room += sge[i].length;
	}
	efa_check_request(call, held, room);
	list_add_tail(&efa_held_list, &held->entry);
	pthread_mutex_unlock(&efa_watch_mutex);
}

static void efa_drop(struct efa_held *held)
{
	held->wq->cq->owed--;
	list_del(&held->entry);
	free(held);
}

static void efa_hold_send(struct efa_qp *qp, const char *call, const struct efa_io_tx_wqe *wqe)
{
	enum efa_io_op op = efa_io_tx_op(wqe);
	const struct efa_io_tx_buf_desc *sgl = op == EFA_IO_SEND ? wqe->sgl : &wqe->rdma.local_mem;
	int i, num = wqe->meta.ctrl1 & EFA_IO_TX_INLINE_MSG ? 0 : le16toh(wqe->meta.length);
	struct ibv_sge sge[EFA_IO_TX_MAX_BUFS];

	for (i = 0; i < num; i++)
		sge[i] = (struct ibv_sge) {
			.addr = le64toh(sgl[i].buf_addr),
			.length = le32toh(sgl[i].length),
			.lkey = le32toh(sgl[i].lkey),
		};
	efa_hold(call, qp, &qp->sq.wq, le16toh(wqe->meta.req_id), op == EFA_IO_RDMA_READ, num, sge);
}

void efa_watch_send(struct efa_qp *qp, const char *call, const uint8_t *wqes, uint32_t num)
{
	uint16_t pc = qp->sq.wq.pc;
	uint32_t i;

	efa_trace("efa_sq_doorbell QP 0x%x: %u -> %u", qp->vqp.qp.qp_num, pc, (uint16_t)(pc + num));
	for (i = 0; i < num; i++) {
		const struct efa_io_tx_wqe *wqe = (void *)(wqes + i * qp->sq.wqe_size);

		efa_trace("efa_send_wqe QP 0x%x request 0x%x ctrl 0x%02x%02x AH %u to QP 0x%x",
			  qp->vqp.qp.qp_num, le16toh(wqe->meta.req_id), wqe->meta.ctrl1,
			  wqe->meta.ctrl2, le16toh(wqe->meta.ah), le16toh(wqe->meta.dest_qp_num));
		if (efa_watched & EFA_STRICT)
			efa_hold_send(qp, call, wqe);
	}
}

void efa_watch_recv(struct efa_qp *qp, const struct ibv_recv_wr *wr, uint16_t req_id)
{
	efa_trace("efa_recv_wqe QP 0x%x request 0x%x, %d buffers", qp->vqp.qp.qp_num, req_id,
		  wr->num_sge);
	if (efa_watched & EFA_STRICT)
		efa_hold("ibv_post_recv", qp, &qp->rq.wq, req_id, true, wr->num_sge, wr->sg_list);
}

void efa_watch_rq_db(struct efa_qp *qp, uint16_t before)
{
	efa_trace("efa_rq_doorbell QP 0x%x: %u -> %u", qp->vqp.qp.qp_num, before,
		  (uint16_t)qp->rq.wq.pc);
}

/* A request is completed: are its buffers as they were? */
static void efa_release(struct efa_held *held)
{
	const struct efa_held_buf *buf;
	uint64_t sum;

	for (buf = held->buf; buf < held->buf + held->num; buf++) {
		sum = buf->sum ? efa_sum(held->qp, &buf->sge) : 0;
		if (sum && sum != buf->sum)
			efa_say("ibv_poll_cq", held, "the buffer at 0x%" PRIx64 " was written to "
				"before the request was completed", buf->sge.addr);
	}
	efa_drop(held);
}

void efa_watch_cqe(struct efa_cq *cq, struct efa_wq *wq, const struct efa_io_cdesc *cd)
{
	uint16_t req_id = le16toh(cd->req_id);
	struct efa_held *held;

	efa_trace("efa_cqe CQ %u: QP 0x%x request 0x%x status %u flags 0x%x", cq->cqn,
		  le16toh(cd->qp_num), req_id, cd->status, cd->flags);
	if (cd->flags & EFA_IO_CDESC_UNSOLICITED)
		return;
	pthread_mutex_lock(&efa_watch_mutex);
	list_for_each(&efa_held_list, held, entry)
		if (held->wq == wq && held->req_id == req_id) {
			efa_release(held);
			break;
		}
	pthread_mutex_unlock(&efa_watch_mutex);
}

void efa_watch_cq_db(struct efa_cq *cq, bool arm)
{
	efa_trace("efa_cq_doorbell CQ %u: consumed %u, command %u, arm %d", cq->cqn, cq->consumed,
		  cq->events & EFA_IO_CQ_DB_SN_MASK, arm);
}

void efa_watch_forget(struct efa_qp *qp)
{
	struct efa_held *held, *next;

	pthread_mutex_lock(&efa_watch_mutex);
	list_for_each_safe(&efa_held_list, held, next, entry)
		if (held->qp == qp)
			efa_drop(held);
	pthread_mutex_unlock(&efa_watch_mutex);
}
