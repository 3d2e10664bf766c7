/*
 * Fuzzing: what a guest has allowed its device, and whether the device heeds it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_FUZZ_BOOK_H
#define EFA_FUZZ_BOOK_H

#include "guest.h"

/* After a reset: nothing is allowed. */
void book_clear(Guest *g);
/*
 * A guest that gives its completion rings and its admin rings the same memory
 * cannot tell them apart, and neither can we: no check until the next reset.
 */
void book_look_for_overlap(Guest *g);
/* A work request is in a queue: it may allow something. */
void book_wqe(Guest *g, const EfaIoTxWqe *wqe);
/* Host.watch */
void book_access(Host *h, unsigned kind, uint64_t addr, size_t len, bool ok);

#endif /* EFA_FUZZ_BOOK_H */
