/*
 * Fuzzing: registers and the admin queue
 *
 * A device as a driver has set it up. Input: the byte of guest_new(), then
 * operations of guest_op(). With bit 7 of the first byte there are queue pairs
 * too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, size };
    uint8_t how = in_u8(&in);
    Guest *g;

    host_now = 1000000000;
    host_epoch = 1000000;
    g = guest_new(1, NULL, how);
    if (how & 128) {
        guest_populate(g);
    }
    while (in.left) {
        guest_op(g, g, in_u8(&in) & (GUEST_OPS - 1), &in);
    }
    settle();
    guest_check(g);
    guest_free(g);
    return 0;
}
