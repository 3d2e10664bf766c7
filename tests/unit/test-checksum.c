/*
 * Unit tests: the checksum of packets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "spray.h"

/* ---- checksum ---- */

/* Every single bit counts, and so do up to three of them. */
static void test_checksum(void)
{
    static const size_t lens[] = { sizeof(EfaPktHdr), sizeof(EfaPktHdr) + 1,
                                   600, EFA_PKT_MAX };
    uint8_t pkt[EFA_PKT_MAX];
    size_t i, len, bit;
    unsigned n;

    for (i = 0; i < sizeof(pkt); i++) {
        pkt[i] = i * 31 >> 2;
    }
    for (i = 0; i < G_N_ELEMENTS(lens); i++) {
        len = lens[i];
        efa_pkt_seal(pkt, len);
        g_assert_true(efa_pkt_intact(pkt, len));
        efa_pkt_seal(pkt, len);
        g_assert_true(efa_pkt_intact(pkt, len));
        g_assert_false(len > sizeof(EfaPktHdr) &&
                       efa_pkt_intact(pkt, len - 1));
        for (bit = 0; bit < len * 8; bit += len > 600 ? 7 : 1) {
            pkt[bit / 8] ^= 1 << bit % 8;
            g_assert_false(efa_pkt_intact(pkt, len));
            pkt[bit / 8] ^= 1 << bit % 8;
        }
        for (n = 0; n < 2000; n++) {
            size_t a = g_test_rand_int_range(0, len * 8);
            size_t b = g_test_rand_int_range(0, len * 8);
            size_t c = g_test_rand_int_range(0, len * 8);

            pkt[a / 8] ^= 1 << a % 8;
            pkt[b / 8] ^= 1 << b % 8;
            pkt[c / 8] ^= 1 << c % 8;
            g_assert_false(efa_pkt_intact(pkt, len));
            pkt[a / 8] ^= 1 << a % 8;
            pkt[b / 8] ^= 1 << b % 8;
            pkt[c / 8] ^= 1 << c % 8;
        }
        g_assert_true(efa_pkt_intact(pkt, len));
    }
}

/* A datagram for @e, from the ghost that everybody trusts. */
static WirePkt *datagram(End *e)
{
    WirePkt *pkt = ghost_pkt(test_gid(2), test_gid(1), EFA_PKT_UD, 1000);

    pkt->hdr.dst_qpn = e->qp->num;
    pkt_payload(pkt, "datagram", 8);
    return pkt;
}

static void test_receiver(void)
{
    Spray s = spray_new();
    WirePkt *pkt = datagram(s.e);
    size_t bit, bits = pkt->len * 8;

    recv_one(s.e, 1);
    recv_one(s.e, 2);
    recv_one(s.e, 3);
    /* a checksum is looked at if there is one ... */
    efa_pkt_seal(pkt->data, pkt->len);
    for (bit = 0; bit < bits; bit++) {
        WirePkt *copy = wire_dup(pkt);

        copy->data[bit / 8] ^= 1 << bit % 8;
        wire_deliver(s.w, copy);
    }
    g_assert_cmpuint(count_received(s.e), ==, 0);
    g_assert_cmpuint(STAT(s.h, checksum_drops), ==, bits);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 1);
    wire_deliver(s.w, datagram(s.e));
    g_assert_cmpuint(count_received(s.e), ==, 1);
    /* ... and missed where the fabric may do damage */
    s.h->fabric->checksum = true;
    wire_deliver(s.w, datagram(s.e));
    g_assert_cmpuint(count_received(s.e), ==, 0);
    pkt = datagram(s.e);
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 1);
    /* what a checksum is right for is still judged */
    pkt = datagram(s.e);
    pkt->hdr.payload_len = 7;
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    pkt = datagram(s.e);
    pkt->len = sizeof(EfaPktHdr) - 1;
    wire_deliver(s.w, pkt);
    pkt = datagram(s.e);
    pkt->len = sizeof(pkt->data);
    efa_pkt_seal(pkt->data, pkt->len);
    wire_deliver(s.w, pkt);
    g_assert_cmpuint(count_received(s.e), ==, 0);
    spray_free(&s);
}

/* Where the fabric asks for it, all that is sent has a checksum. */
static void test_sender(void)
{
    Spray s = spray_new();
    EfaImpairRule rule = rule_for(0);
    WirePkt *pkt;
    unsigned i;

    post(&s, 2);
    pkt = wire_take(s.w, 0);
    g_assert_cmpuint(pkt->hdr.checksum_kind, ==, EFA_PKT_NO_CHECKSUM);
    g_free(pkt);
    s.h->fabric->checksum = true;
    for (i = 0; i < 3; i++) {
        post(&s, 2);
        advance(MS);
        pkt = wire_take(s.w, 0);
        g_assert_true(efa_pkt_intact(pkt->data, pkt->len));
        g_free(pkt);
        rule.delay_us = i * 10;
        impair(s.h, rule);
    }
    spray_free(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checksum/bits", test_checksum);
    g_test_add_func("/checksum/receiver", test_receiver);
    g_test_add_func("/checksum/sender", test_sender);
    return g_test_run();
}
