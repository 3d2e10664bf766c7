/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: arithmetic of rings and request ids
 *
 * Data path specification, 2.6, 2.7, 4.1. Nothing here knows verbs: the unit
 * tests use it without a device.
 */
#ifndef EFA_RING_H
#define EFA_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

static inline uint32_t efa_pow2up(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static inline uint32_t efa_pow2down(uint32_t n)
{
	return n ? 1u << (31 - __builtin_clz(n)) : 0;
}

/*
 * The phase of entry @count of a ring whose entries are @mask + 1, a power of
 * two: how often the ring has been gone round, by its lowest bit. A send queue
 * begins with 0, a completion queue with 1.
 */
static inline bool efa_odd_round(uint32_t count, uint32_t mask)
{
	return count & (mask + 1);
}

/* WQEs that one doorbell may announce. */
static inline uint16_t efa_max_batch(uint16_t max_tx_batch, uint16_t wqe_size,
				     uint16_t min_sq_wr, uint32_t wqe_cnt)
{
	uint32_t batch = max_tx_batch ? max_tx_batch * 64u / wqe_size : UINT16_MAX;

	if (min_sq_wr && batch > wqe_cnt - 1)
		batch = wqe_cnt - 1;
	return batch ? batch : 1;
}

/*
 * The request ids of a queue, from 0. SRD completes in any order, so which are
 * free is kept in a ring: who posts takes at one end, who polls gives back at
 * the other, and neither waits for the other.
 */
struct efa_slots {
	uint16_t *free;
	uint32_t mask;			/* entries of @free - 1 */
	uint32_t count;			/* of ids */
	_Atomic(uint32_t) taken, given;	/* since ever; each is one side's */
};

/* All are free. */
static inline void efa_slots_reset(struct efa_slots *s)
{
	uint32_t i;

	for (i = 0; i < s->count; i++)
		s->free[i] = i;
	atomic_store(&s->taken, 0);
	atomic_store(&s->given, s->count);
}

/* How many can be taken. What the other side did before it gave them is done. */
static inline uint32_t efa_slots_left(const struct efa_slots *s)
{
	return atomic_load_explicit(&s->given, memory_order_acquire) -
	       atomic_load_explicit(&s->taken, memory_order_relaxed);
}

/* Only if there are some left. */
static inline uint16_t efa_slots_take(struct efa_slots *s)
{
	uint32_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);

	atomic_store_explicit(&s->taken, taken + 1, memory_order_relaxed);
	return s->free[taken & s->mask];
}

/* The last @num were not used: they are where they have been. */
static inline void efa_slots_untake(struct efa_slots *s, uint32_t num)
{
	atomic_store_explicit(&s->taken, s->taken - num, memory_order_relaxed);
}

/* False: nothing was taken, or @id is none of these. */
static inline bool efa_slots_give(struct efa_slots *s, uint16_t id)
{
	uint32_t given = atomic_load_explicit(&s->given, memory_order_relaxed);
	uint32_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);
	uint32_t count = s->count;

	if (id >= count || given - taken >= count)
		return false;
	s->free[given & s->mask] = id;
	atomic_store_explicit(&s->given, given + 1, memory_order_release);
	return true;
}

#endif /* EFA_RING_H */
