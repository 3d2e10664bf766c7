/*
 * Unit tests: the packet ring of the shared memory fabric
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "shm-ring.h"

#define SIZE    EFA_RING_MIN_SIZE
#define MAX_LEN efa_ring_max_packet(SIZE)

typedef struct Ring {
    EfaRingCtl *ctl;
    uint8_t *data;
    EfaRingTx tx;
    EfaRingRx rx;
} Ring;

static void *aligned(size_t size)
{
    void *p = NULL;

    g_assert_cmpint(posix_memalign(&p, 4096, size), ==, 0);
    memset(p, 0, size);
    return p;
}

/* Both indexes start at @start, which peers cannot do but time can. */
static void ring_setup(Ring *r, uint32_t size, uint32_t start)
{
    r->ctl = aligned(sizeof(*r->ctl));
    r->data = aligned(size);
    efa_ring_format(r->ctl);
    efa_ring_tx_init(&r->tx, r->ctl, r->data, size);
    efa_ring_rx_init(&r->rx, r->ctl, r->data, size);
    r->ctl->prod = r->ctl->cons = start;
    r->tx.head = r->tx.cons = start;
    r->rx.head = r->rx.prod = r->rx.published = start;
}

static void ring_teardown(Ring *r)
{
    free(r->ctl);
    free(r->data);
}

static bool put(Ring *r, uint32_t len, uint8_t seed)
{
    uint8_t *p;

    if (efa_ring_reserve(&r->tx, len, &p) != EFA_RING_OK) {
        return false;
    }
    memset(p, seed, len);
    efa_ring_commit(&r->tx, len);
    return true;
}

static void expect(Ring *r, uint32_t len, uint8_t seed)
{
    const uint8_t *p;
    uint32_t got, i;

    g_assert_cmpint(efa_ring_next(&r->rx, &p, &got), ==, EFA_RING_OK);
    g_assert_cmpuint(got, ==, len);
    for (i = 0; i < len; i++) {
        g_assert_cmpuint(p[i], ==, seed);
    }
}

static void expect_status(Ring *r, EfaRingStatus status)
{
    const uint8_t *p;
    uint32_t len;

    g_assert_cmpint(efa_ring_next(&r->rx, &p, &len), ==, status);
}

/* Every size at every position, across the end and index overflow. */
static void test_wrap(void)
{
    static const uint32_t starts[] = { 0, (uint32_t)-SIZE, (uint32_t)-64 };
    Ring r;
    size_t s;

    for (s = 0; s < ARRAY_SIZE(starts); s++) {
        uint32_t len;

        ring_setup(&r, SIZE, starts[s]);
        for (len = 0; len <= MAX_LEN; len++) {
            int i;

            for (i = 0; i < 9; i++) {
                g_assert_true(put(&r, len, len + i));
                g_assert_true(put(&r, MAX_LEN - len, len ^ i));
                expect(&r, len, len + i);
                efa_ring_done(&r.rx);
                expect(&r, MAX_LEN - len, len ^ i);
                efa_ring_done(&r.rx);
                expect_status(&r, EFA_RING_EMPTY);
                efa_ring_publish(&r.rx);
            }
        }
        ring_teardown(&r);
    }
}

static void test_smaller_commit(void)
{
    Ring r;
    uint8_t *p, *q;

    ring_setup(&r, SIZE, 0);
    /* Nothing reserved, too long, and void after the next reservation. */
    efa_ring_commit(&r.tx, 0);
    g_assert_cmpint(efa_ring_reserve(&r.tx, 100, &p), ==, EFA_RING_OK);
    efa_ring_commit(&r.tx, 200);
    g_assert_false(efa_ring_pending(&r.rx));
    g_assert_cmpint(efa_ring_reserve(&r.tx, 300, &q), ==, EFA_RING_OK);
    g_assert_true(p == q);
    memset(q, 7, 10);
    efa_ring_commit(&r.tx, 10);
    efa_ring_commit(&r.tx, 10);
    expect(&r, 10, 7);
    efa_ring_done(&r.rx);
    expect_status(&r, EFA_RING_EMPTY);
    g_assert_cmpuint(r.ctl->prod, ==, 64);
    ring_teardown(&r);
}

static void test_full(void)
{
    unsigned n, i;
    Ring r;

    ring_setup(&r, SIZE, 0);
    for (n = 0; put(&r, 100, n); n++) {
    }
    g_assert_cmpuint(n, ==, SIZE / 128);
    g_assert_true(r.tx.want);
    g_assert_cmpuint(r.ctl->want_space, ==, 1);
    g_assert_cmpint(efa_ring_writable(&r.tx), ==, EFA_RING_EMPTY);

    /* The consumer tells when a quarter is free, and not before. */
    for (i = 0; i < n / 4 - 1; i++) {
        expect(&r, 100, i);
        g_assert_false(efa_ring_done(&r.rx));
        g_assert_false(efa_ring_publish(&r.rx));
    }
    g_assert_cmpint(efa_ring_writable(&r.tx), ==, EFA_RING_EMPTY);
    expect(&r, 100, i++);
    g_assert_false(efa_ring_done(&r.rx));
    g_assert_true(efa_ring_publish(&r.rx));
    g_assert_cmpint(efa_ring_writable(&r.tx), ==, EFA_RING_OK);
    g_assert_false(r.tx.want);
    /* The largest packet fits then, wherever the ring stands. */
    g_assert_true(put(&r, MAX_LEN, 1));

    for (; i < n; i++) {
        expect(&r, 100, i);
        efa_ring_done(&r.rx);
    }
    expect(&r, MAX_LEN, 1);
    efa_ring_done(&r.rx);
    expect_status(&r, EFA_RING_EMPTY);
    ring_teardown(&r);
}

/* A large packet does not fit, the ring empties: told although never full. */
static void test_space_when_empty(void)
{
    unsigned n;
    Ring r;

    ring_setup(&r, SIZE, 0);
    for (n = 0; put(&r, MAX_LEN, n); n++) {
    }
    while (n--) {
        const uint8_t *p;
        uint32_t len;

        g_assert_cmpint(efa_ring_next(&r.rx, &p, &len), ==, EFA_RING_OK);
        efa_ring_done(&r.rx);
    }
    efa_ring_publish(&r.rx);
    g_assert_cmpuint(r.ctl->want_space, ==, 0);
    g_assert_cmpint(efa_ring_writable(&r.tx), ==, EFA_RING_OK);
    g_assert_true(put(&r, MAX_LEN, 0));
    ring_teardown(&r);
}

/* The index is published in batches of an eighth. */
static void test_batched_index(void)
{
    unsigned i;
    Ring r;

    ring_setup(&r, SIZE, 0);
    for (i = 0; i < 16; i++) {
        put(&r, 32, i);
    }
    for (i = 0; i < 7; i++) {
        expect(&r, 32, i);
        efa_ring_done(&r.rx);
        g_assert_cmpuint(r.ctl->cons, ==, 0);
    }
    expect(&r, 32, i);
    efa_ring_done(&r.rx);
    g_assert_cmpuint(r.ctl->cons, ==, SIZE / 8);
    ring_teardown(&r);
}

static void test_sleep(void)
{
    Ring r;

    ring_setup(&r, SIZE, 0);
    put(&r, 1, 1);
    /* A new ring's consumer sleeps; it is woken once. */
    g_assert_true(efa_ring_must_wake(&r.tx));
    g_assert_false(efa_ring_must_wake(&r.tx));
    expect(&r, 1, 1);
    efa_ring_done(&r.rx);
    put(&r, 2, 2);
    g_assert_false(efa_ring_must_wake(&r.tx));
    expect(&r, 2, 2);
    efa_ring_done(&r.rx);
    efa_ring_sleep(&r.rx);
    g_assert_false(efa_ring_pending(&r.rx));
    put(&r, 3, 3);
    g_assert_true(efa_ring_pending(&r.rx));
    g_assert_true(efa_ring_must_wake(&r.tx));
    /* Woken by something else meanwhile: the flag goes with the data. */
    efa_ring_sleep(&r.rx);
    expect(&r, 3, 3);
    g_assert_false(efa_ring_must_wake(&r.tx));
    ring_teardown(&r);
}

/* The producer scribbles. */

static void check_bad_prod(uint32_t start, uint32_t prod)
{
    Ring r;

    ring_setup(&r, SIZE, start);
    put(&r, 10, 1);
    expect(&r, 10, 1);
    efa_ring_done(&r.rx);
    qatomic_set(&r.ctl->prod, prod);
    expect_status(&r, EFA_RING_BAD);
    ring_teardown(&r);
}

static void test_bad_prod(void)
{
    static const uint32_t starts[] = { 0, (uint32_t)-64, 64 * 1000 };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(starts); i++) {
        uint32_t s = starts[i];

        check_bad_prod(s, s);                   /* backwards */
        check_bad_prod(s, s + 64 + 1);          /* not aligned */
        check_bad_prod(s, s + 64 + 32);
        check_bad_prod(s, s + SIZE + 64);       /* ignores our index */
        check_bad_prod(s, s + 64 + SIZE + 64);  /* more than a ringful */
        check_bad_prod(s, s + 0x80000000u);
        check_bad_prod(s, s - 64);
    }
}

static void check_bad_record(uint32_t used, uint32_t len, uint32_t kind)
{
    EfaRingRecord *rec;
    Ring r;

    ring_setup(&r, SIZE, 0);
    rec = (EfaRingRecord *)r.data;
    rec->len = len;
    rec->kind = kind;
    r.ctl->prod = used;
    expect_status(&r, EFA_RING_BAD);
    ring_teardown(&r);
}

static void test_bad_record(void)
{
    check_bad_record(64, 0, 0);
    check_bad_record(64, 0, 3);
    check_bad_record(64, 0, 0x100 + EFA_RING_PACKET);
    check_bad_record(64, 57, EFA_RING_PACKET);          /* beyond prod */
    check_bad_record(SIZE, MAX_LEN + 1, EFA_RING_PACKET);
    check_bad_record(SIZE, SIZE, EFA_RING_PACKET);
    check_bad_record(SIZE, UINT32_MAX, EFA_RING_PACKET);
    check_bad_record(SIZE, UINT32_MAX - 7, EFA_RING_PACKET);
    check_bad_record(SIZE, UINT32_MAX - 63, EFA_RING_PACKET);
    check_bad_record(SIZE, SIZE - 8, EFA_RING_PADDING); /* a ringful of it */
}

/* At 64 bytes before the end of the ring. */
static void check_bad_tail(uint32_t used, uint32_t len, uint32_t kind,
                           uint32_t next_kind)
{
    EfaRingRecord *rec;
    Ring r;

    ring_setup(&r, SIZE, SIZE - 64);
    rec = (EfaRingRecord *)(r.data + SIZE - 64);
    rec->len = len;
    rec->kind = kind;
    rec = (EfaRingRecord *)r.data;
    rec->len = 56;
    rec->kind = next_kind;
    r.ctl->prod = SIZE - 64 + used;
    expect_status(&r, EFA_RING_BAD);
    ring_teardown(&r);
}

static void test_bad_tail(void)
{
    check_bad_tail(128, 57, EFA_RING_PACKET, EFA_RING_PACKET);  /* straddles */
    check_bad_tail(64, 56, EFA_RING_PADDING, EFA_RING_PACKET);  /* alone */
    check_bad_tail(128, 55, EFA_RING_PADDING, EFA_RING_PACKET);
    check_bad_tail(128, 0, EFA_RING_PADDING, EFA_RING_PACKET);
    check_bad_tail(128, UINT32_MAX, EFA_RING_PADDING, EFA_RING_PACKET);
    check_bad_tail(128, 56, EFA_RING_PADDING, EFA_RING_PADDING);
    check_bad_tail(128, 56, EFA_RING_PADDING, 0);
}

/* The consumer scribbles. */

static void check_bad_cons(uint32_t cons)
{
    uint8_t *p;
    Ring r;

    ring_setup(&r, SIZE, 0);
    while (put(&r, 56, 1)) {
    }
    r.rx.head = r.rx.published = 64;
    qatomic_set(&r.ctl->cons, 64);
    g_assert_true(put(&r, 56, 1));
    qatomic_set(&r.ctl->cons, cons);
    g_assert_cmpint(efa_ring_reserve(&r.tx, 56, &p), ==, EFA_RING_BAD);
    g_assert_cmpint(efa_ring_writable(&r.tx), ==, EFA_RING_BAD);
    ring_teardown(&r);
}

static void test_bad_cons(void)
{
    check_bad_cons(0);                  /* backwards */
    check_bad_cons(65);                 /* not aligned */
    check_bad_cons(SIZE + 128);         /* ahead of us */
    check_bad_cons(0x80000000u);
    check_bad_cons((uint32_t)-64);
}

/* Random nonsense in the whole of the shared memory: no crash, no overrun. */
static void test_scribble(void)
{
    GRand *rnd = g_rand_new_with_seed(1);
    int round;
    Ring r;

    for (round = 0; round < 20000; round++) {
        const uint8_t *p;
        uint32_t len;
        int i;

        ring_setup(&r, SIZE, 64 * g_rand_int(rnd));
        for (i = 0; i < 8; i++) {
            put(&r, g_rand_int_range(rnd, 0, MAX_LEN), i);
        }
        for (i = 0; i < 4; i++) {
            EfaRingRecord *rec = (EfaRingRecord *)
                (r.data + 64 * g_rand_int_range(rnd, 0, SIZE / 64));

            rec->kind = g_rand_int_range(rnd, 0, 4);
            rec->len = g_rand_boolean(rnd) ? g_rand_int(rnd)
                       : (uint32_t)g_rand_int_range(rnd, 0, SIZE);
        }
        if (g_rand_boolean(rnd)) {
            r.ctl->prod += 64 * g_rand_int_range(rnd, -70, 70);
        }
        for (i = 0; i < 100; i++) {
            if (efa_ring_next(&r.rx, &p, &len) != EFA_RING_OK) {
                break;
            }
            g_assert_true(p >= r.data && p + len <= r.data + SIZE);
            efa_ring_done(&r.rx);
        }
        g_assert_cmpint(i, <, 100);
        ring_teardown(&r);
    }
    g_rand_free(rnd);
}

/* Two threads, no system call between them but the yield. */

#define THREAD_PACKETS  200000

static gpointer producer(gpointer opaque)
{
    Ring *r = opaque;
    uint32_t i;

    for (i = 0; i < THREAD_PACKETS; i++) {
        uint32_t len = 4 + i % 200;
        uint8_t *p;

        while (efa_ring_reserve(&r->tx, len, &p) == EFA_RING_EMPTY) {
            g_thread_yield();
        }
        memset(p, i, len);
        memcpy(p, &i, sizeof(i));
        efa_ring_commit(&r->tx, len);
        efa_ring_must_wake(&r->tx);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *thread;
    uint32_t i = 0;
    Ring r;

    ring_setup(&r, EFA_RING_MAX_SIZE, (uint32_t)-4096);
    thread = g_thread_new("producer", producer, &r);
    while (i < THREAD_PACKETS) {
        const uint8_t *p;
        uint32_t len, seq;

        switch (efa_ring_next(&r.rx, &p, &len)) {
        case EFA_RING_OK:
            memcpy(&seq, p, sizeof(seq));
            g_assert_cmpuint(seq, ==, i);
            g_assert_cmpuint(len, ==, 4 + i % 200);
            g_assert_cmpuint(p[len - 1], ==,
                             len > 4 ? (uint8_t)i : ((uint8_t *)&i)[3]);
            efa_ring_done(&r.rx);
            i++;
            break;
        case EFA_RING_EMPTY:
            efa_ring_publish(&r.rx);
            efa_ring_sleep(&r.rx);
            g_thread_yield();
            break;
        default:
            g_assert_not_reached();
        }
    }
    g_thread_join(thread);
    ring_teardown(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/shm-ring/wrap", test_wrap);
    g_test_add_func("/shm-ring/commit", test_smaller_commit);
    g_test_add_func("/shm-ring/full", test_full);
    g_test_add_func("/shm-ring/space-when-empty", test_space_when_empty);
    g_test_add_func("/shm-ring/batched-index", test_batched_index);
    g_test_add_func("/shm-ring/sleep", test_sleep);
    g_test_add_func("/shm-ring/bad-prod", test_bad_prod);
    g_test_add_func("/shm-ring/bad-record", test_bad_record);
    g_test_add_func("/shm-ring/bad-tail", test_bad_tail);
    g_test_add_func("/shm-ring/bad-cons", test_bad_cons);
    g_test_add_func("/shm-ring/scribble", test_scribble);
    g_test_add_func("/shm-ring/threads", test_threads);
    return g_test_run();
}
