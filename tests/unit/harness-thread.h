/*
 * Unit tests: a device's thread, for the harness itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_HARNESS_THREAD_H
#define EFA_TEST_HARNESS_THREAD_H

#include "harness.h"

/* Real time, ns. */
int64_t host_thread_now(void);
/* There is work, or an earlier deadline. */
void host_thread_kick(Host *h);
void host_thread_stop(Host *h);

#endif /* EFA_TEST_HARNESS_THREAD_H */
