/*
 * qtest tier: what a driver and an application know about the device
 *
 * An Efa is one device in a Vm and the driver's view of it; an End is what a
 * small application makes: a PD, a UAR, CQs, memory and one QP. Everything is
 * done through configuration space, BARs and guest memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_DRIVER_H
#define EFA_TEST_DRIVER_H

#include "efa-osdep.h"
#include "efa-core.h"
#include "efa-regs.h"
#include "efa-admin-defs.h"
#include "efa-io-defs.h"
#include "qtest-client.h"

/* As the driver: these tests are for little-endian machines. */
QEMU_BUILD_BUG_ON(G_BYTE_ORDER != G_LITTLE_ENDIAN);

#define DRV_PAGE        4096
#define DRV_MEM_SIZE    (8u << 20)      /* of each device in guest memory */
/* What an MR adds to the address to make an IOVA. */
#define DRV_IOVA_SHIFT  0x0123400000000ull
#define DRV_VECTORS     4               /* that are set up */
#define DRV_MSI_DATA    0x4d530000u     /* + vector */
#define AQ_DEPTH        32
#define AENQ_DEPTH      16
#define QKEY            0x11111111u

/* MSI-X capability and table */
#define MSIX_CONTROL            2
#define MSIX_CONTROL_ENABLE     0x8000
#define MSIX_CONTROL_MASK_ALL   0x4000
#define MSIX_ENTRY_SIZE         16
#define MSIX_VECTOR_CONTROL     12

typedef struct Efa {
    Vm *vm;
    PciAddr at;
    EfaGid gid;
    uint64_t bar[6];            /* 0: does not exist */
    uint64_t bar_size[6];
    unsigned msix;              /* capability */
    uint64_t msix_table;
    uint64_t msix_pba;

    uint64_t mem, used;         /* guest memory it hands out */
    uint64_t msi;               /* a word a vector: where messages land */
    uint64_t resp, aq, acq, aenq;
    uint16_t rr_seq;
    uint16_t aq_prod;
    uint32_t acq_cons;
    bool polled;                /* admin commands without interrupt */
} Efa;

/*
 * @index distinguishes the devices of a machine: it chooses the memory and
 * where the BARs are put. Nothing is touched before efa_enable().
 */
Efa *efa_new(Vm *vm, PciAddr at, unsigned index);
void efa_free(Efa *e);
/* Slot 4, device number 0. */
Efa *efa_new_first(Vm *vm);

EfaGid gid_of(unsigned n);      /* fe80::<n> */
uint64_t efa_alloc(Efa *e, size_t size);    /* whole pages of zeros */

/* Find and place the BARs, enable memory and bus mastering, set up MSI-X. */
void efa_enable(Efa *e);
void efa_place_bars(Efa *e);
void efa_set_command(Efa *e, uint16_t bits);
void efa_msix_enable(Efa *e);
/* Was vector @v signalled? Waits a bit less than for ever; forgets it. */
#define assert_irq(e, v)                                    \
    wait_until(efa_irq_take((e), (v)))
/* Was it not? Only what was signalled before is certain to be seen. */
#define assert_no_irq(e, v)                                 \
    g_assert_false((efa_settle(e), efa_irq_take((e), (v))))
bool efa_irq_take(Efa *e, unsigned vector);
/* Let the main loop and the device's thread do what they have to. */
void efa_settle(Efa *e);

/* ---- registers ---- */
void reg_write(Efa *e, uint32_t offset, uint32_t value);
uint32_t reg_load(Efa *e, uint32_t offset);     /* with a plain load */
uint32_t reg_read(Efa *e, uint32_t offset);     /* readless */
/* Ask without waiting: is it answered? */
bool reg_answers(Efa *e);
void efa_set_resp(Efa *e);
void efa_reset_handshake(Efa *e);
void efa_admin_init(Efa *e);
/* Everything from enabling to the admin queue. */
void efa_probe(Efa *e);

/* ---- admin queue ---- */
#define CMD(_type, _opcode, ...) \
    ((_type) { .common = { .opcode = (_opcode) }, __VA_ARGS__ })

/* Write the next AQ entry, and ring. @cmd gets its id and phase. */
void aq_post(Efa *e, void *cmd);
bool acq_take(Efa *e, EfaAcqEntry *out);
/* From start to end, by interrupt unless polled. */
EfaAcqEntry admin(Efa *e, void *cmd);
void admin_ok(Efa *e, void *cmd, void *resp, size_t resp_len);

/* ---- event queues, completion queues ---- */
typedef struct Eq {
    uint16_t eqn;
    uint64_t ring;
    uint32_t cons;
} Eq;

#define EQ_DEPTH    512

Eq eq_create(Efa *e, uint8_t vector);
void eq_arm(Efa *e, const Eq *eq);
/* The CQ of the next event, -1 if there is none. */
int eq_take(Efa *e, Eq *eq);

typedef struct Cq {
    uint16_t idx;
    uint32_t db;
    uint64_t ring;
    uint32_t cons;
    uint8_t sn;
} Cq;

#define CQ_DEPTH    64

Cq cq_create(Efa *e, uint16_t uar, const Eq *eq);
void cq_arm(Efa *e, const Cq *cq);
bool cq_poll(Efa *e, Cq *cq, EfaIoCdesc *out);
/* The next completion, which must come. */
EfaIoCdesc cq_next(Efa *e, Cq *cq);

/* ---- an application ---- */
typedef struct End {
    Efa *e;
    uint16_t pd, uar;
    Cq scq, rcq;
    uint32_t qp_handle;
    uint16_t qpn;
    uint32_t sq_db, rq_db, llq;
    uint64_t rq_ring;
    uint16_t sq_pc, rq_pc;
    uint64_t tx, rx;            /* a page each */
    uint32_t tx_key, rx_key;
} End;

#define SQ_DEPTH    16
#define RQ_DESCS    16

/* An SRD QP in RTS; @eq, or NULL, gets the events of the receive CQ. */
End end_new(Efa *e, const Eq *eq);
uint16_t end_ah(End *end, EfaGid gid);
/* Post a receive of the page rx; a send of @len bytes from the page tx. */
void end_recv(End *end, uint16_t req_id);
void end_send(End *end, uint16_t req_id, uint16_t ah, uint16_t dest_qpn,
              uint32_t len);

/* ---- properties of the device whose id is efa0 ---- */
/* The monitor's reply; @value as JSON, or NULL. */
char *prop_qmp(Vm *vm, const char *command, const char *property,
               const char *value);
void prop_set(Vm *vm, const char *property, const char *value);
char *prop_get(Vm *vm, const char *property);   /* as JSON */
/* @property, as JSON, has all of these words in it. */
#define PROP_HAS(vm, property, ...) \
    prop_assert_has(vm, property, (const char *const[]) { __VA_ARGS__, NULL })
void prop_assert_has(Vm *vm, const char *property, const char *const *words);
/* @value is refused, with all of these words in the error. */
#define PROP_REFUSED(vm, property, value, ...) \
    prop_assert_refused(vm, property, value, \
                        (const char *const[]) { __VA_ARGS__, NULL })
void prop_assert_refused(Vm *vm, const char *property, const char *value,
                         const char *const *words);

#endif /* EFA_TEST_DRIVER_H */
