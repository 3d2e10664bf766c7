/*
 * EFA device model: single-producer, single-consumer packet ring
 *
 * A byte ring of 64-byte-aligned records in memory that is shared with a peer.
 * The peer can write anything anywhere in it at any moment, so each side keeps
 * sizes and its own index privately, reads every shared word once, and judges
 * the copy. docs/fabric-shm.md has the layout.
 *
 * No function here makes a system call: where one says so, the caller wakes the
 * other side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_SHM_RING_H
#define HW_EFA_SHM_RING_H

#define EFA_RING_ALIGN      64u
#define EFA_RING_MIN_SIZE   4096u
#define EFA_RING_MAX_SIZE   (256u * 1024)

/* The control words of one ring, in shared memory; indexes run freely. */
typedef struct EfaRingCtl {
    uint32_t prod;              /* written by the producer only */
    uint8_t pad0[124];
    uint32_t cons;              /* written by the consumer only */
    uint8_t pad1[124];
    uint32_t sleeping;          /* set by the consumer, cleared by either */
    uint8_t pad2[124];
    uint32_t want_space;        /* set by the producer, cleared by either */
    uint8_t pad3[124];
} EfaRingCtl;
QEMU_BUILD_BUG_ON(sizeof(EfaRingCtl) != 512);
QEMU_BUILD_BUG_ON(offsetof(EfaRingCtl, cons) != 128);
QEMU_BUILD_BUG_ON(offsetof(EfaRingCtl, sleeping) != 256);
QEMU_BUILD_BUG_ON(offsetof(EfaRingCtl, want_space) != 384);

/* Precedes every packet; a record never straddles the end of the ring. */
typedef struct EfaRingRecord {
    uint32_t len;               /* of the packet, without this header */
    uint32_t kind;
} EfaRingRecord;
QEMU_BUILD_BUG_ON(sizeof(EfaRingRecord) != 8);

enum {
    EFA_RING_PACKET = 1,
    EFA_RING_PADDING = 2,       /* up to the end of the ring */
};

typedef enum EfaRingStatus {
    EFA_RING_OK,
    EFA_RING_EMPTY,             /* nothing to read, or no room to write */
    EFA_RING_BAD,               /* the other side wrote nonsense */
} EfaRingStatus;

typedef struct EfaRingTx {
    EfaRingCtl *ctl;
    uint8_t *data;
    uint32_t size;
    uint32_t head;              /* as published in ctl->prod */
    uint32_t cons;              /* last good value of ctl->cons */
    uint32_t skip;              /* bytes of padding before the reservation */
    uint32_t reserved;          /* bytes of the reserved record; 0: none */
    bool want;                  /* a reservation failed, space is awaited */
} EfaRingTx;

typedef struct EfaRingRx {
    EfaRingCtl *ctl;
    const uint8_t *data;
    uint32_t size;
    uint32_t head;              /* the next record */
    uint32_t published;         /* as in ctl->cons */
    uint32_t prod;              /* last good value of ctl->prod */
    uint32_t current;           /* bytes of the record handed out */
    bool armed;                 /* we have set ctl->sleeping */
} EfaRingRx;

/*
 * Largest packet for a ring of @size bytes. A record takes at most an eighth of
 * the ring, so with the padding before it at most a quarter: a producer told
 * that a quarter is free can always go on.
 */
static inline uint32_t efa_ring_max_packet(uint32_t size)
{
    return size / 8 - EFA_RING_ALIGN;
}

/* Prepare the zeroed control words of a new ring; its consumer sleeps. */
void efa_ring_format(EfaRingCtl *ctl);

/*
 * Attach one side. @size is a power of two from EFA_RING_MIN_SIZE on, known
 * without looking into the shared memory. Both sides start at index 0.
 */
void efa_ring_tx_init(EfaRingTx *tx, EfaRingCtl *ctl, uint8_t *data,
                      uint32_t size);
void efa_ring_rx_init(EfaRingRx *rx, EfaRingCtl *ctl, const uint8_t *data,
                      uint32_t size);

/*
 * Room for a packet of @len <= efa_ring_max_packet() bytes. After
 * EFA_RING_EMPTY the consumer knows that space is awaited.
 */
EfaRingStatus efa_ring_reserve(EfaRingTx *tx, uint32_t len, uint8_t **packet);

/* Publish the first @len bytes of the reservation; ignored without one. */
void efa_ring_commit(EfaRingTx *tx, uint32_t len);

/* After one or more commits: does the consumer sleep and need to be woken? */
bool efa_ring_must_wake(EfaRingTx *tx);

/*
 * While tx->want: EFA_RING_OK if there is room again (a quarter of the ring, or
 * the consumer says so). Ends the wait in that case.
 */
EfaRingStatus efa_ring_writable(EfaRingTx *tx);

/* The next packet. It stays ours until efa_ring_done(). */
EfaRingStatus efa_ring_next(EfaRingRx *rx, const uint8_t **packet,
                            uint32_t *len);

/*
 * Give the packet's space back. It is published in batches: at the latest
 * efa_ring_publish() does it. Both return true if the producer waits for space
 * and is to be woken.
 */
bool efa_ring_done(EfaRingRx *rx);
bool efa_ring_publish(EfaRingRx *rx);

/* Cheap: has the producer published something? */
static inline bool efa_ring_pending(const EfaRingRx *rx)
{
    return qatomic_read(&rx->ctl->prod) != rx->head;
}

/*
 * Announce that we are going to sleep. The caller issues smp_mb() (one for any
 * number of rings), checks efa_ring_pending(), and only then sleeps.
 */
void efa_ring_sleep(EfaRingRx *rx);

#endif /* HW_EFA_SHM_RING_H */
