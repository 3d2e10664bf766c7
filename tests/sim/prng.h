/*
 * Simulator: random numbers that are the same everywhere
 *
 * xoshiro256** seeded by splitmix64. Integers only: a seed means the same run
 * on every machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_SIM_PRNG_H
#define EFA_SIM_PRNG_H

typedef struct Rng {
    uint64_t s[4];
} Rng;

static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static inline void rng_seed(Rng *rng, uint64_t seed)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ull;
        rng->s[i] = mix64(seed);
    }
}

static inline uint64_t rng_next(Rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t x = s[1] * 5, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (x << 7 | x >> 57) * 9;
}

/* 0 to @n - 1; 0 for @n = 0 */
static inline uint64_t rng_below(Rng *rng, uint64_t n)
{
    return (unsigned __int128)rng_next(rng) * n >> 64;
}

/* @lo to @hi, both included */
static inline int64_t rng_range(Rng *rng, int64_t lo, int64_t hi)
{
    return lo + rng_below(rng, hi - lo + 1);
}

/* The same, each order of magnitude as likely as the others. */
static inline int64_t rng_magnitude(Rng *rng, int64_t lo, int64_t hi)
{
    int64_t top = lo;
    unsigned doublings = 0;

    while (top < hi) {
        top *= 2;
        doublings++;
    }
    top = lo << rng_below(rng, doublings + 1);
    /* MIN() evaluates its arguments twice */
    top = rng_range(rng, top, 2 * top - 1);
    return MIN(hi, top);
}

/* true @ppm times in a million */
static inline bool rng_ppm(Rng *rng, uint32_t ppm)
{
    return ppm && rng_below(rng, 1000000) < ppm;
}

static inline bool rng_percent(Rng *rng, unsigned percent)
{
    return rng_ppm(rng, percent * 10000);
}

#endif /* EFA_SIM_PRNG_H */
