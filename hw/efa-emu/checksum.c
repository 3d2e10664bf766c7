/*
 * EFA device model: the checksum of a packet
 *
 * CRC-32 of the whole packet with the checksum field zero. No packet is so
 * long that it could miss one, two or three wrong bits; and EFA_PKT_CRC32 has
 * four bits set, so that as many cannot make it EFA_PKT_NO_CHECKSUM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <zlib.h>
#include "efa-packet.h"

#define SUM_AT  offsetof(EfaPktHdr, checksum)
#define SUM_LEN sizeof(uint32_t)

static uint32_t efa_pkt_sum(const uint8_t *pkt, size_t len)
{
    static const uint8_t zero[SUM_LEN];
    uLong sum = crc32(0, pkt, SUM_AT);

    sum = crc32(sum, zero, SUM_LEN);
    return crc32(sum, pkt + SUM_AT + SUM_LEN, len - SUM_AT - SUM_LEN);
}

void efa_pkt_seal(uint8_t *pkt, size_t len)
{
    uint32_t sum;

    pkt[offsetof(EfaPktHdr, checksum_kind)] = EFA_PKT_CRC32;
    sum = cpu_to_le32(efa_pkt_sum(pkt, len));
    memcpy(pkt + SUM_AT, &sum, sizeof(sum));
}

bool efa_pkt_intact(const uint8_t *pkt, size_t len)
{
    uint32_t sum;

    memcpy(&sum, pkt + SUM_AT, sizeof(sum));
    return pkt[offsetof(EfaPktHdr, checksum_kind)] == EFA_PKT_CRC32 &&
           le32_to_cpu(sum) == efa_pkt_sum(pkt, len);
}
