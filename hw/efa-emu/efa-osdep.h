/*
 * EFA device model: what the core needs from outside
 *
 * The core is plain C on GLib. This header is the only place where it meets
 * its surroundings: QEMU's headers when built as part of QEMU, small
 * equivalents when built as the native library (EFA_NATIVE).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_OSDEP_H
#define HW_EFA_OSDEP_H

#ifdef EFA_NATIVE
#include "efa-osdep-native.h"
#else
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/thread.h"
#include "hw/registerfields.h"
#include "qapi/qapi-types-common.h"
#include "trace.h"

typedef QemuMutex EfaLock;
#define efa_lock_init(l)        qemu_mutex_init(l)
#define efa_lock_destroy(l)     qemu_mutex_destroy(l)
#define efa_lock(l)             qemu_mutex_lock(l)
#define efa_trylock(l)          (qemu_mutex_trylock(l) == 0)
#define efa_unlock(l)           qemu_mutex_unlock(l)
#endif

/* The guest did something a driver must not do: log it, never stop. */
#define efa_guest_error(fmt, ...) \
    qemu_log_mask(LOG_GUEST_ERROR, "efa: " fmt "\n", ## __VA_ARGS__)

#define EFA_NSEC_PER_MSEC   1000000LL
#define EFA_NSEC_PER_USEC   1000LL

#endif /* HW_EFA_OSDEP_H */
