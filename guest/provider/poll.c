// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA provider: completions
 *
 * The device writes an entry and, last of all, turns its phase bit. Whoever polls looks at that bit
 * alone, and at the rest behind a barrier.
 */
#include "efa.h"

#define EFA_WC_STATUS(name, value, wc) case value: return IBV_WC_##wc;

static enum ibv_wc_status efa_wc_status(uint8_t status)
{
	switch (status) {
	EFA_IO_COMP_STATUSES(EFA_WC_STATUS)
	default:
		return IBV_WC_GENERAL_ERR;
	}
}

static bool efa_is_send(const struct efa_io_cdesc *cd)
{
	return cd->flags & EFA_IO_CDESC_Q_SEND;
}

static bool efa_is_write(const struct efa_io_cdesc *cd)
{
	return efa_io_op_of(cd) == EFA_IO_RDMA_WRITE;
}

/* A read ends as a send does: that is what software for EFA expects. */
static enum ibv_wc_opcode efa_wc_opcode(const struct efa_io_cdesc *cd)
{
	if (efa_is_send(cd))
		return efa_is_write(cd) ? IBV_WC_RDMA_WRITE : IBV_WC_SEND;
	return efa_is_write(cd) ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV;
}

static uint32_t efa_wc_len(const struct efa_io_cdesc *cd)
{
	uint32_t len = le16toh(cd->rx.length);

	if (efa_is_write(cd))
		len |= (uint32_t)le16toh(cd->length_hi) << 16;
	return len;
}

/* The device has numbers, the API has bytes in network order. */
static __be32 efa_wc_imm(const struct efa_io_cdesc *cd)
{
	return htobe32(le32toh(cd->imm));
}

static inline void efa_fill_wc(struct ibv_wc *wc, const struct efa_io_cdesc *cd)
{
	wc->status = efa_wc_status(cd->status);
	wc->vendor_err = cd->status;
	wc->opcode = efa_wc_opcode(cd);
	wc->qp_num = le16toh(cd->qp_num);
	wc->wc_flags = cd->flags & EFA_IO_CDESC_HAS_IMM ? IBV_WC_WITH_IMM : 0;
	if (efa_is_send(cd))
		return;
	wc->imm_data = efa_wc_imm(cd);
	wc->byte_len = efa_wc_len(cd);
	wc->src_qp = le16toh(cd->rx.src_qp_num);
	wc->slid = le16toh(cd->rx.ah);	/* how software learns the number */
	wc->pkey_index = 0;
	wc->sl = 0;
	wc->dlid_path_bits = 0;
}

static uint64_t efa_wide_id(const struct efa_io_cdesc *cd)
{
	return le16toh(cd->req_id) | (uint64_t)le16toh(cd->req_id_ex[0]) << 16 |
	       (uint64_t)le16toh(cd->req_id_ex[1]) << 32 |
	       (uint64_t)le16toh(cd->req_id_ex[2]) << 48;
}

/*
 * The wr_id of the request that the last entry taken of a ring is about; false: there is none. What
 * a QP leaves behind that was destroyed, or was another of the same number, is not of that ring's
 * owner, or older.
 */
static inline bool efa_resolve(struct efa_cq *cq, struct efa_sub_cq *sub,
			       const struct efa_io_cdesc *cd, uint64_t *wr_id)
{
	struct efa_owner *owner = efa_owner(cq->ctx, le16toh(cd->qp_num), efa_is_send(cd));
	uint16_t id = le16toh(cd->req_id);
	struct efa_wq *wq;
	uint64_t found;

	/* Nothing of a queue that enters is read before it is there. */
	if (unlikely(atomic_load_explicit(&owner->from, memory_order_acquire) != sub))
		return false;
	wq = owner->wq;
	if (unlikely(sub->consumed <= wq->since))
		return false;
	if (efa_watches())
		efa_watch_cqe(cq, wq, cd);
	if (wq->wide_ids) {
		*wr_id = efa_wide_id(cd);
		return efa_slots_give(&wq->slots, 0);
	}
	if (unlikely(cd->flags & EFA_IO_CDESC_UNSOLICITED)) {
		*wr_id = 0;	/* no request of ours led to it */
		return true;
	}
	/* read before the id is given back, and is another request's */
	found = wq->wr_id[id & wq->slots.mask];
	if (unlikely(!efa_slots_give(&wq->slots, id)))
		return false;
	*wr_id = found;
	return true;
}

/* ---- the rings ---- */

/* Entry @at of a ring, counted since ever; NULL: it is not written yet. */
static inline const struct efa_io_cdesc *efa_sub_entry(const struct efa_cq *cq,
						       const struct efa_sub_cq *sub, uint64_t at)
{
	const struct efa_io_cdesc *cd = (const struct efa_io_cdesc *)sub->buf + (at & cq->mask);
	uint8_t flags = *(const volatile uint8_t *)&cd->flags;

	return (flags & EFA_IO_CDESC_PHASE) == efa_odd_round(at, cq->mask) ? NULL : cd;
}

uint64_t efa_sub_produced(const struct efa_cq *cq, const struct efa_sub_cq *sub)
{
	uint64_t consumed = sub->consumed, at = consumed;

	while (at - consumed <= cq->mask && efa_sub_entry(cq, sub, at))
		at++;
	return at;
}

/* Of many rings the next one that has an entry, if any has. */
static struct efa_sub_cq *efa_next_sub(struct efa_cq *cq)
{
	struct efa_sub_cq *sub;
	uint16_t i = 0;

	do {
		sub = &cq->sub[cq->next_sub];
		if (++cq->next_sub == cq->num_sub)
			cq->next_sub = 0;
	} while (++i < cq->num_sub && !efa_sub_entry(cq, sub, sub->consumed));
	return sub;
}

/*
 * The next entry that belongs to somebody, as a @wc or, without one, into cq->cur. When the id of
 * its request has been given back, another may be posted and complete in the entry's place.
 */
static inline ALWAYS_INLINE bool efa_next(struct efa_cq *cq, struct ibv_wc *wc, uint64_t *wr_id)
{
	const struct efa_io_cdesc *cd;
	struct efa_sub_cq *sub;

	do {
		sub = likely(cq->num_sub == 1) ? cq->sub : efa_next_sub(cq);
		cd = efa_sub_entry(cq, sub, sub->consumed);
		if (!cd)
			return false;
		/* The phase is read before what it vouches for, payload included. */
		udma_from_device_barrier();
		if (wc)
			efa_fill_wc(wc, cd);
		else
			cq->cur = *cd;
		sub->consumed++;
		cq->consumed++;
	} while (unlikely(!efa_resolve(cq, sub, cd, wr_id)));
	return true;
}

/* ---- classic ---- */

int efa_poll_cq(struct ibv_cq *ibvcq, int num, struct ibv_wc *wc)
{
	struct efa_cq *cq = to_ecq(ibvcq);
	int i = 0;

	efa_lock(&cq->lock);
	while (i < num && efa_next(cq, &wc[i], &wc[i].wr_id))
		i++;
	if (i && cq->db.at)
		efa_cq_ring(cq, false);
	efa_unlock(&cq->lock);
	return i;
}

/* ---- extended ---- */

static inline int efa_next_poll(struct ibv_cq_ex *ex)
{
	struct efa_cq *cq = to_ecq_ex(ex);

	if (!efa_next(cq, NULL, &ex->wr_id))
		return ENOENT;
	ex->status = efa_wc_status(cq->cur.status);
	return 0;
}

static int efa_start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
	struct efa_cq *cq = to_ecq_ex(ex);
	int err;

	if (unlikely(attr->comp_mask))
		return EINVAL;
	efa_lock(&cq->lock);
	err = efa_next_poll(ex);
	if (err)
		efa_unlock(&cq->lock);
	else
		efa_lock_keep(&cq->lock, pthread_self());
	return err;
}

static void efa_end_poll(struct ibv_cq_ex *ex)
{
	struct efa_cq *cq = to_ecq_ex(ex);

	if (cq->db.at)
		efa_cq_ring(cq, false);
	efa_lock_keep(&cq->lock, 0);
	efa_unlock(&cq->lock);
}

/* What @value of the entry @cd is, as a function of the extended API. */
#define EFA_READ(type, field, value) \
	static type efa_read_##field(struct ibv_cq_ex *ex) \
	{ \
		const struct efa_io_cdesc *cd __attribute__((unused)) = &to_ecq_ex(ex)->cur; \
		\
		return value; \
	}

EFA_READ(enum ibv_wc_opcode, opcode, efa_wc_opcode(cd))
EFA_READ(uint32_t, vendor_err, cd->status)
EFA_READ(unsigned int, wc_flags, cd->flags & EFA_IO_CDESC_HAS_IMM ? IBV_WC_WITH_IMM : 0)
EFA_READ(uint32_t, byte_len, efa_is_send(cd) ? 0 : efa_wc_len(cd))
EFA_READ(__be32, imm_data, efa_wc_imm(cd))
EFA_READ(uint32_t, qp_num, le16toh(cd->qp_num))
EFA_READ(uint32_t, src_qp, le16toh(cd->rx.src_qp_num))
EFA_READ(uint32_t, slid, le16toh(cd->rx.ah))
EFA_READ(uint8_t, sl, 0)
EFA_READ(uint8_t, dlid_path_bits, 0)

static int efa_wc_read_sgid(struct efadv_cq *dv, union ibv_gid *sgid)
{
	const struct efa_io_cdesc *cd = &container_of(dv, struct efa_cq, dv)->cur;

	/* whom we know the device names by the address handle */
	if (efa_is_send(cd) || efa_is_write(cd) || le16toh(cd->rx.ah) != EFA_IO_AH_UNKNOWN)
		return -ENOENT;
	memcpy(sgid->raw, cd->src_addr, sizeof(sgid->raw));
	return 0;
}

static bool efa_wc_is_unsolicited(struct efadv_cq *dv)
{
	return container_of(dv, struct efa_cq, dv)->cur.flags & EFA_IO_CDESC_UNSOLICITED;
}

void efa_cq_fill_ops(struct efa_cq *cq, uint64_t efa_flags)
{
	struct ibv_cq_ex *ex = &cq->vcq.cq_ex;

	ex->start_poll = efa_start_poll;
	ex->next_poll = efa_next_poll;
	ex->end_poll = efa_end_poll;
	ex->read_opcode = efa_read_opcode;
	ex->read_vendor_err = efa_read_vendor_err;
	ex->read_wc_flags = efa_read_wc_flags;
	/* whether asked for or not: none of them costs anything */
	ex->read_byte_len = efa_read_byte_len;
	ex->read_imm_data = efa_read_imm_data;
	ex->read_qp_num = efa_read_qp_num;
	ex->read_src_qp = efa_read_src_qp;
	ex->read_slid = efa_read_slid;
	ex->read_sl = efa_read_sl;
	ex->read_dlid_path_bits = efa_read_dlid_path_bits;
	if (efa_flags & EFADV_WC_EX_WITH_SGID)
		cq->dv.wc_read_sgid = efa_wc_read_sgid;
	if (efa_flags & EFADV_WC_EX_WITH_IS_UNSOLICITED)
		cq->dv.wc_is_unsolicited = efa_wc_is_unsolicited;
}
