/*
 * EFA device model: single-producer, single-consumer packet ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "shm-ring.h"

static uint32_t record_size(uint32_t len)
{
    return ROUND_UP((uint32_t)sizeof(EfaRingRecord) + len, EFA_RING_ALIGN);
}

void efa_ring_format(EfaRingCtl *ctl)
{
    qatomic_set(&ctl->sleeping, 1);
}

void efa_ring_tx_init(EfaRingTx *tx, EfaRingCtl *ctl, uint8_t *data,
                      uint32_t size)
{
    *tx = (EfaRingTx) { .ctl = ctl, .data = data, .size = size };
}

void efa_ring_rx_init(EfaRingRx *rx, EfaRingCtl *ctl, const uint8_t *data,
                      uint32_t size)
{
    *rx = (EfaRingRx) { .ctl = ctl, .data = data, .size = size };
}

/* Refresh the copy of the consumer's index; it may only move towards ours. */
static bool tx_update(EfaRingTx *tx)
{
    uint32_t cons = qatomic_load_acquire(&tx->ctl->cons);

    if (tx->head - cons > tx->head - tx->cons ||
        !QEMU_IS_ALIGNED(cons, EFA_RING_ALIGN)) {
        return false;
    }
    tx->cons = cons;
    return true;
}

static uint32_t tx_free(const EfaRingTx *tx)
{
    return tx->size - (tx->head - tx->cons);
}

EfaRingStatus efa_ring_reserve(EfaRingTx *tx, uint32_t len, uint8_t **packet)
{
    uint32_t offset = tx->head & (tx->size - 1);
    uint32_t need = record_size(len);
    uint32_t skip = 0;

    tx->reserved = 0;
    if (offset + need > tx->size) {
        skip = tx->size - offset;
        offset = 0;
    }
    if (tx_free(tx) < skip + need) {
        if (!tx_update(tx)) {
            return EFA_RING_BAD;
        }
        if (tx_free(tx) < skip + need) {
            /* Either we see the freed space now or the consumer our flag. */
            tx->want = true;
            qatomic_set(&tx->ctl->want_space, 1);
            smp_mb();
            if (!tx_update(tx)) {
                return EFA_RING_BAD;
            }
            if (tx_free(tx) < skip + need) {
                return EFA_RING_EMPTY;
            }
        }
    }
    tx->skip = skip;
    tx->reserved = need;
    *packet = tx->data + offset + sizeof(EfaRingRecord);
    return EFA_RING_OK;
}

static void tx_write_record(EfaRingTx *tx, uint32_t kind, uint32_t len)
{
    EfaRingRecord *rec = (EfaRingRecord *)
        (tx->data + (tx->head & (tx->size - 1)));

    qatomic_set(&rec->len, len);
    qatomic_set(&rec->kind, kind);
}

void efa_ring_commit(EfaRingTx *tx, uint32_t len)
{
    uint32_t need = record_size(len);

    if (!tx->reserved || need > tx->reserved) {
        return;
    }
    tx->reserved = 0;
    if (tx->skip) {
        tx_write_record(tx, EFA_RING_PADDING,
                        tx->skip - (uint32_t)sizeof(EfaRingRecord));
        tx->head += tx->skip;
    }
    tx_write_record(tx, EFA_RING_PACKET, len);
    tx->head += need;
    qatomic_store_release(&tx->ctl->prod, tx->head);
}

bool efa_ring_must_wake(EfaRingTx *tx)
{
    /* Pairs with the barrier between efa_ring_sleep() and ..._pending(). */
    smp_mb();
    if (!qatomic_read(&tx->ctl->sleeping)) {
        return false;
    }
    qatomic_set(&tx->ctl->sleeping, 0);
    return true;
}

EfaRingStatus efa_ring_writable(EfaRingTx *tx)
{
    bool told = !qatomic_read(&tx->ctl->want_space);

    if (!tx_update(tx)) {
        return EFA_RING_BAD;
    }
    if (!told && tx_free(tx) < tx->size / 4) {
        return EFA_RING_EMPTY;
    }
    tx->want = false;
    qatomic_set(&tx->ctl->want_space, 0);
    return EFA_RING_OK;
}

/* Refresh the copy of the producer's index; all known records are consumed. */
static bool rx_update(EfaRingRx *rx)
{
    uint32_t prod = qatomic_load_acquire(&rx->ctl->prod);

    /* A producer that heeds ctl->cons cannot be a ring ahead of it. */
    if (prod - rx->published > rx->size || prod - rx->head > rx->size ||
        !QEMU_IS_ALIGNED(prod, EFA_RING_ALIGN)) {
        return false;
    }
    rx->prod = prod;
    return true;
}

static EfaRingRecord rx_read_record(const EfaRingRx *rx)
{
    const EfaRingRecord *rec = (const EfaRingRecord *)
        (rx->data + (rx->head & (rx->size - 1)));

    return (EfaRingRecord) {
        .len = qatomic_read(&rec->len),
        .kind = qatomic_read(&rec->kind),
    };
}

EfaRingStatus efa_ring_next(EfaRingRx *rx, const uint8_t **packet,
                            uint32_t *len)
{
    EfaRingRecord rec;
    uint32_t offset, need;

    if (rx->head == rx->prod) {
        if (!rx_update(rx)) {
            return EFA_RING_BAD;
        }
        if (rx->head == rx->prod) {
            return EFA_RING_EMPTY;
        }
    }
    if (rx->armed) {
        rx->armed = false;
        qatomic_set(&rx->ctl->sleeping, 0);
    }

    offset = rx->head & (rx->size - 1);
    rec = rx_read_record(rx);
    if (rec.kind == EFA_RING_PADDING) {
        uint32_t skip = rx->size - offset;

        /* Padding is published together with the packet it makes room for. */
        if (!offset || skip >= rx->prod - rx->head ||
            rec.len != skip - sizeof(rec)) {
            return EFA_RING_BAD;
        }
        rx->head += skip;
        offset = 0;
        rec = rx_read_record(rx);
    }
    if (rec.kind != EFA_RING_PACKET ||
        rec.len > efa_ring_max_packet(rx->size)) {
        return EFA_RING_BAD;
    }
    need = record_size(rec.len);
    if (need > rx->prod - rx->head || offset + need > rx->size) {
        return EFA_RING_BAD;
    }
    rx->current = need;
    *packet = rx->data + offset + sizeof(EfaRingRecord);
    *len = rec.len;
    return EFA_RING_OK;
}

bool efa_ring_done(EfaRingRx *rx)
{
    rx->head += rx->current;
    rx->current = 0;
    return rx->head - rx->published >= rx->size / 8 && efa_ring_publish(rx);
}

bool efa_ring_publish(EfaRingRx *rx)
{
    uint32_t used;

    if (rx->published == rx->head) {
        return false;
    }
    rx->published = rx->head;
    qatomic_store_release(&rx->ctl->cons, rx->head);
    /* Pairs with the barrier of a producer that found no room. */
    smp_mb();
    if (!qatomic_read(&rx->ctl->want_space)) {
        return false;
    }
    used = qatomic_read(&rx->ctl->prod) - rx->head;
    if (used && used > rx->size - rx->size / 4) {
        return false;
    }
    qatomic_set(&rx->ctl->want_space, 0);
    return true;
}

void efa_ring_sleep(EfaRingRx *rx)
{
    /* The producer's late clearing may have hit a flag that we set again. */
    rx->armed = true;
    if (!qatomic_read(&rx->ctl->sleeping)) {
        qatomic_set(&rx->ctl->sleeping, 1);
    }
}
