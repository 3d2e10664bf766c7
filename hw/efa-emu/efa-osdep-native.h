/*
 * EFA device model: equivalents of the QEMU facilities the core uses
 *
 * Same names and meaning as in QEMU, so that one source serves both builds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_OSDEP_NATIVE_H
#define HW_EFA_OSDEP_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <glib.h>

#define QEMU_PACKED                 __attribute__((packed))
#define QEMU_BUILD_BUG_ON(x)        _Static_assert(!(x), #x)
#define ARRAY_SIZE(x)               G_N_ELEMENTS(x)
#define ROUND_UP(n, d)              (((n) + (d) - 1) & ~((__typeof__(n))(d) - 1))
#define DIV_ROUND_UP(n, d)          (((n) + (d) - 1) / (d))
#define QEMU_IS_ALIGNED(n, m)       (((n) % (m)) == 0)
#define container_of(ptr, type, member) \
    ((type *)((char *)(ptr) - offsetof(type, member)))

static inline bool is_power_of_2(uint64_t value)
{
    return value && !(value & (value - 1));
}

static inline int ctz32(uint32_t value)
{
    return value ? __builtin_ctz(value) : 32;
}

static inline int ctz64(uint64_t value)
{
    return value ? __builtin_ctzll(value) : 64;
}

/* as QAPI has it */
typedef enum OnOffAuto {
    ON_OFF_AUTO_AUTO,
    ON_OFF_AUTO_ON,
    ON_OFF_AUTO_OFF,
} OnOffAuto;

/* byte order */
#define cpu_to_le16(x)  GUINT16_TO_LE(x)
#define cpu_to_le32(x)  GUINT32_TO_LE(x)
#define cpu_to_le64(x)  GUINT64_TO_LE(x)
#define le16_to_cpu(x)  GUINT16_FROM_LE(x)
#define le32_to_cpu(x)  GUINT32_FROM_LE(x)
#define le64_to_cpu(x)  GUINT64_FROM_LE(x)
#define cpu_to_be16(x)  GUINT16_TO_BE(x)

/* atomics */
#define smp_mb()                    __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_wmb()                   __atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb()                   __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define qatomic_read(p)             __atomic_load_n(p, __ATOMIC_RELAXED)
#define qatomic_set(p, v)           __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define qatomic_load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define qatomic_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define qatomic_xchg(p, v)          __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)

/* register declarations, after hw/registerfields.h */
#define REG32(reg, addr)                                    \
    enum { A_ ## reg = (addr) };                            \
    enum { R_ ## reg = (addr) / 4 };
#define FIELD(reg, field, shift, length)                    \
    enum { R_ ## reg ## _ ## field ## _SHIFT = (shift)};    \
    enum { R_ ## reg ## _ ## field ## _LENGTH = (length)};  \
    enum { R_ ## reg ## _ ## field ## _MASK =               \
           (int)((length) == 32 ? UINT32_MAX                \
                 : ((1u << ((length) & 31)) - 1) << ((shift) & 31))};

#define EFA_FIELD_EX(storage, reg, field)                   \
    (((storage) >> R_ ## reg ## _ ## field ## _SHIFT) &     \
     (UINT32_MAX >> (32 - R_ ## reg ## _ ## field ## _LENGTH)))
#define FIELD_EX8(storage, reg, field)  EFA_FIELD_EX((uint8_t)(storage), reg, field)
#define FIELD_EX16(storage, reg, field) EFA_FIELD_EX((uint16_t)(storage), reg, field)
#define FIELD_EX32(storage, reg, field) EFA_FIELD_EX((uint32_t)(storage), reg, field)
#define EFA_FIELD_DP(storage, reg, field, val)                  \
    (((storage) & ~(uint32_t)R_ ## reg ## _ ## field ## _MASK) | \
     (((uint32_t)(val) << R_ ## reg ## _ ## field ## _SHIFT) &  \
      (uint32_t)R_ ## reg ## _ ## field ## _MASK))
#define FIELD_DP8(storage, reg, field, val)  ((uint8_t)EFA_FIELD_DP(storage, reg, field, val))
#define FIELD_DP16(storage, reg, field, val) ((uint16_t)EFA_FIELD_DP(storage, reg, field, val))
#define FIELD_DP32(storage, reg, field, val) ((uint32_t)EFA_FIELD_DP(storage, reg, field, val))

/* locking */
typedef GMutex EfaLock;
#define efa_lock_init(l)        g_mutex_init(l)
#define efa_lock_destroy(l)     g_mutex_clear(l)
#define efa_lock(l)             g_mutex_lock(l)
#define efa_trylock(l)          g_mutex_trylock(l)
#define efa_unlock(l)           g_mutex_unlock(l)

/* logging: EFA_LOG=guest_errors in the environment shows what QEMU's -d does */
#define LOG_GUEST_ERROR     1
#define LOG_UNIMP           2
void qemu_log_mask(int mask, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Guest errors reported so far: lets a test assert that a complaint was made. */
unsigned efa_native_guest_errors(void);

/* tracing: generated from trace-events */
#include "efa-trace-native.h"

#endif /* HW_EFA_OSDEP_NATIVE_H */
