/*
 * Fuzzing: a guest that may do anything, and a record of what it has allowed
 *
 * A Guest is a Host of the unit tests that keeps book of every access of its
 * device: writes are held against the rings, regions and answers that the guest
 * has offered and not taken back, completions against the QPs there are, and
 * each admin command that is fetched must be completed before the next one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_FUZZ_GUEST_H
#define EFA_FUZZ_GUEST_H

#include "fuzz.h"
#include "../unit/harness.h"

#define GUEST_PAGES     16      /* for rings, lists and buffers at will */
#define GUEST_ENDS      2       /* SRD and UD */

typedef enum RangeKind {
    RANGE_CQ,
    RANGE_EQ,
    RANGE_MR,
    RANGE_COUNTER,
} RangeKind;

/* DMA addresses that the device may write to. */
typedef struct Range {
    RangeKind kind;
    uint32_t id;
    uint64_t lo, hi;
    uint32_t entry;             /* bytes of one, of a CQ */
} Range;

/* A list of pages that a work request has named. */
typedef struct FastList {
    uint64_t addr;
    uint64_t len;
    uint8_t shift;
} FastList;

typedef struct QpId {
    uint32_t handle;
    uint16_t num;
} QpId;

typedef struct Guest {
    Host *h;
    uint64_t pages;             /* DMA address of GUEST_PAGES pages */
    End *end[GUEST_ENDS];
    Buf open[GUEST_ENDS];       /* 16 KiB with all permissions there are */
    Eq *eq;
    uint16_t ah[4];             /* to test_gid(1..4) */
    uint32_t last_key;
    uint32_t fast_key;          /* of ALLOC_MR, the last one */

    GArray *ranges;             /* Range */
    GArray *qps;                /* QpId */
    GArray *lists;              /* FastList */
    bool raw_wqes;              /* there may be work requests unknown to us */
    uint64_t aq, acq, aenq;     /* rings as last set up, 0: none */
    uint32_t aq_len, acq_len, aenq_len;
    uint32_t aq_entry;
    uint64_t resp;
    uint16_t aq_taken;          /* commands fetched from this ring */
    uint64_t base[3];           /* latched: AQ, ACQ, AENQ */
    EfaAqEntry cmd;             /* fetched and not completed, ... */
    bool cmd_open;              /* ... if there is one */
    GArray *cmd_pages;          /* uint64_t; its list, if it is a REG_MR */
    bool sane;                  /* the admin queue is as a driver has it */
    bool murky;                 /* nothing can be said of writes any more */
} Guest;

/* The first byte of an input: the generation (bits 2:0), and these. */
enum {
    GUEST_REORDER = 0x08,
    GUEST_SUB_CQS = 0x10,
    GUEST_IMPAIR = 0x20,
    GUEST_ADMIN_V2 = 0x40,      /* commands of 128 bytes, with a checksum */
};

Guest *guest_new(unsigned n, Wire *wire, uint8_t how);
/* An SRD and a UD end, registered memory, address handles. */
void guest_populate(Guest *g);
/* With its host. */
void guest_free(Guest *g);
/* What must hold between two operations. */
void guest_check(Guest *g);
/* One of the QPs there are, zeros if there is none. */
QpId guest_qp(Guest *g, uint8_t which);
uint64_t guest_page(Guest *g, uint8_t which);

/* guest-admin.c: a command that makes sense; @v chooses among the variants. */
EfaAqEntry guest_command(Guest *g, uint8_t opcode, uint8_t v);
/* Put it in the AQ and ring; it must be completed if all is in order. */
void guest_admin(Guest *g, EfaAqEntry *cmd);
/* Registers, with the book kept. */
void guest_reg_write(Guest *g, uint32_t offset, uint32_t value);
void guest_reset(Guest *g);
/* Once more what a driver does until it has an admin queue. */
void guest_reprobe(Guest *g);

/* guest-ops.c: one operation of the input on @g, which can reach @peer. */
void guest_op(Guest *g, Guest *peer, uint8_t op, In *in);
/* Numbers for such operations, some not used yet; others follow. */
#define GUEST_OPS   32

#endif /* EFA_FUZZ_GUEST_H */
