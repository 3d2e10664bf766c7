/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: somebody looks over the shoulder
 *
 * Two variables of the environment ask for it; neither changes what happens.
 *
 *   EFA_EMU_TRACE=1    or the name of a file: a line for each WQE, doorbell and completion, in the
 *                      words of the device's trace events
 *   EFA_EMU_STRICT=1   a line for each misuse of verbs, with the call that it is in
 */
#ifndef EFA_WATCH_H
#define EFA_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <util/compiler.h>

struct efa_cq;
struct efa_io_cdesc;
struct efa_mr;
struct efa_qp;
struct efa_sq;
struct ibv_recv_wr;

enum { EFA_TRACE = 1 << 0, EFA_STRICT = 1 << 1 };

extern unsigned int efa_watched __attribute__((visibility("hidden")));

/* Whatever is called only if this is true may be slow. */
static inline bool efa_watches(void)
{
	return unlikely(efa_watched);
}

void efa_watch_init(void);

void efa_watch_mr(struct efa_mr *mr);
void efa_watch_mr_end(struct efa_mr *mr);

/* Before the doorbell: WQEs, by @call of libibverbs; what is in the ring, up to but not @end. */
void efa_watch_send(struct efa_qp *qp, const char *call, const uint8_t *wqes, uint32_t num);
void efa_watch_recv(struct efa_qp *qp, const struct ibv_recv_wr *wr,
		    const struct ibv_recv_wr *end);
void efa_watch_cqe(struct efa_cq *cq, const struct efa_io_cdesc *cd);
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

#endif /* EFA_WATCH_H */
