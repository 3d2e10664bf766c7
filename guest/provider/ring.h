/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * EFA provider: arithmetic of rings and request ids
 *
 * Data path specification, 2.6, 2.7, 4.1. Nothing here knows verbs: the unit
 * tests use it without a device.
 */
#ifndef EFA_RING_H
#define EFA_RING_H

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

/* Bits of a request id above the slot: the @use-th QP of this number. */
static inline uint16_t efa_generation(uint16_t slot_mask, uint8_t use)
{
	return (uint16_t)(use * (slot_mask + 1u));
}

#endif /* EFA_RING_H */
