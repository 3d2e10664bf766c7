/*
 * Fuzzing: what all targets share
 *
 * An input is a program: an operation is a byte, and what the operation needs
 * follows it. Nothing is ever refused for its form, so that whatever the
 * fuzzer makes of an input does something. Behind the end there are zeros.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_FUZZ_H
#define EFA_FUZZ_H

#include "efa-osdep.h"

typedef struct In {
    const uint8_t *p;
    size_t left;
} In;

uint8_t in_u8(In *in);
uint16_t in_u16(In *in);
uint32_t in_u32(In *in);
uint64_t in_u64(In *in);
void in_bytes(In *in, void *buf, size_t len);
/*
 * Change @size bytes at @buf as the input says: a byte with the number of
 * changes (its low three bits), then for each of them its offset (a byte), its
 * kind and its value. Kind: 0 to 3: set 1, 2, 4, 8 bytes to what follows,
 * little-endian; 4 to 7: add the signed byte that follows to as many; 8 to 11:
 * toggle the bit that follows. Returns how many changes there were.
 */
unsigned in_patch(In *in, void *buf, size_t size);

/* What must hold whatever the input is. */
#define fuzz_check(what, ...) do {                              \
        if (!(what)) {                                          \
            fuzz_broken(__FILE__, __LINE__, __VA_ARGS__);       \
        }                                                       \
    } while (0)
void G_NORETURN G_GNUC_PRINTF(3, 4)
fuzz_broken(const char *file, int line, const char *fmt, ...);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__asan_default_options(void);

#endif /* EFA_FUZZ_H */
