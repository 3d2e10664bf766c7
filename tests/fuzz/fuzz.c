/*
 * Fuzzing: what all targets share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fuzz.h"
#include <stdarg.h>

void in_bytes(In *in, void *buf, size_t len)
{
    size_t n = MIN(len, in->left);

    if (n) {
        memcpy(buf, in->p, n);
    }
    memset((uint8_t *)buf + n, 0, len - n);
    in->p += n;
    in->left -= n;
}

#define IN_NUMBER(_bits)                        \
    uint##_bits##_t in_u##_bits(In *in)         \
    {                                           \
        uint##_bits##_t value;                  \
                                                \
        in_bytes(in, &value, sizeof(value));    \
        return value;                           \
    }

IN_NUMBER(8)
IN_NUMBER(16)
IN_NUMBER(32)
IN_NUMBER(64)

static void patch_one(In *in, uint8_t *buf, size_t size)
{
    size_t at = in_u8(in) % size;
    uint8_t kind = in_u8(in) % 12;
    size_t width = MIN((size_t)1 << kind % 4, size - at);
    uint64_t value = 0;

    memcpy(&value, buf + at, width);
    if (kind < 4) {
        in_bytes(in, &value, width);
    } else if (kind < 8) {
        value += (int8_t)in_u8(in);
    } else {
        value ^= 1ull << in_u8(in) % (width * 8);
    }
    memcpy(buf + at, &value, width);
}

unsigned in_patch(In *in, void *buf, size_t size)
{
    unsigned i, n = in_u8(in) % 8;

    for (i = 0; i < n; i++) {
        patch_one(in, buf, size);
    }
    return n;
}

void fuzz_broken(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

/* Freed memory is kept for a while, but not as much of it as usual. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=32:malloc_context_size=12";
}
