/*
 * EFA device model: objects shared by the files of the core
 *
 * Everything here is protected by the core lock.
 *
 *   regs -> admin -> objects (pd uar mr ah cq eq qp) -> sq / rq / cq -> srd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_INTERNAL_H
#define HW_EFA_INTERNAL_H

#include "efa-core.h"
#include "efa-regs.h"
#include "efa-admin-defs.h"
#include "efa-io-defs.h"
#include "efa-packet.h"

/* Messages one doorbell may start before the rest is left to the iothread. */
#define EFA_INLINE_BUDGET       64
/* Packets one pass of efa_core_run() handles before doorbells get a turn. */
#define EFA_RUN_BUDGET          32
/* Passes that may go on receiving before timers are looked at. */
#define EFA_BUSY_RUNS           16
/* Doorbells that may wait for whoever holds the core lock. */
#define EFA_DB_QUEUE            256
/* Admin commands, and pages of regions, after which the rest must wait. */
#define EFA_ADMIN_BUDGET        64
#define EFA_ADMIN_PAGES         (1u << 20)
/* A QP's rnr_retry: for ever. */
#define EFA_RNR_RETRY_INFINITE  7

#define EFA_DMA_ADDR_WIDTH      48
#define EFA_NO_INDEX            UINT32_MAX
/* Descriptors of one receive request. */
#define EFA_MAX_RECV_SGES       16
/* Regions that are registered by work request. */
#define EFA_MAX_FAST_MRS        2047

/* table.c: objects by index; an index is reused as late as possible */
typedef struct EfaTable {
    void **slot;
    uint8_t *gen;           /* bumped whenever an index is given up */
    uint32_t size;
    uint32_t used;
    uint32_t next;
} EfaTable;

void efa_table_init(EfaTable *t, uint32_t size);
void efa_table_destroy(EfaTable *t);
/* The index @obj now has, EFA_NO_INDEX if the table is full. */
uint32_t efa_table_add(EfaTable *t, void *obj);
/* The same, among the indexes that @usable accepts. */
uint32_t efa_table_add_where(EfaTable *t, void *obj,
                             bool (*usable)(void *opaque, uint32_t index),
                             void *opaque);
void *efa_table_get(const EfaTable *t, uint32_t index);
void efa_table_remove(EfaTable *t, uint32_t index);

typedef struct EfaUar {
    uint32_t index;
    uint32_t refs;          /* CQs, QPs and event counters */
} EfaUar;

typedef struct EfaPd {
    uint32_t index;
    uint32_t refs;          /* MRs, AHs and QPs */
    uint32_t fast_mrs;
} EfaPd;

/* A run of pages that are contiguous in DMA address space. */
typedef struct EfaMrRun {
    uint64_t offset;        /* of its first byte, from the first page */
    uint64_t dma;
} EfaMrRun;

typedef struct EfaMr {
    uint32_t index;
    uint32_t key;           /* lkey and rkey */
    EfaPd *pd;
    uint64_t iova;
    uint64_t length;
    uint64_t page_offset;   /* of iova in the first page */
    uint8_t permissions;
    bool physical;          /* address = DMA address */
    bool valid;             /* may be used; always, unless it is fast */
    bool fast;              /* ALLOC_MR's: registered by work request */
    uint32_t max_pages;     /* ... with so many pages at most */
    uint32_t num_runs;
    uint32_t mapped_runs;   /* of these are in core->mr_runs */
    EfaMrRun *runs;         /* sorted by offset */
} EfaMr;

/* Where page addresses, little-endian, are to be had. */
typedef struct EfaPbl {
    enum {
        EFA_PBL_INLINE,     /* in pages[] */
        EFA_PBL_DIRECT,     /* in DMA memory, from addr on */
        EFA_PBL_INDIRECT,   /* in pages named by chunks, the first at addr */
    } form;
    uint64_t pages[EFA_INLINE_PBL_PAGES];
    uint64_t addr;
} EfaPbl;

typedef struct EfaPeer EfaPeer;
typedef struct EfaImpairPath EfaImpairPath;
typedef struct EfaHeldPkt EfaHeldPkt;

typedef struct EfaAh {
    uint32_t index;
    uint32_t refs;          /* one a CREATE_AH */
    EfaPd *pd;
    EfaPeer *peer;
} EfaAh;

typedef struct EfaEq {
    uint32_t index;
    uint64_t base;
    uint32_t depth;
    uint32_t prod;
    uint8_t vector;
    bool completions;       /* completion events are enabled */
    bool armed;
    bool pending;           /* entries were written while not armed */
} EfaEq;

typedef struct EfaCq {
    uint32_t index;
    EfaUar *uar;
    EfaEq *eq;              /* NULL: no events (any more) */
    uint32_t refs;          /* queues of QPs */
    bool dead;              /* destroyed while QPs were attached */
    uint64_t base;
    uint32_t depth;
    uint32_t entry_size;
    uint16_t num_sub_cqs;
    bool set_src_addr;
    bool req_id_64;         /* send completions have request ids of 64 bits */
    bool db_valid;
    uint16_t produced;      /* entries of all sub-CQs */
    bool armed;
    uint8_t arm_sn;         /* cmd_sn of the arm in force */
    bool fired;             /* an arm has produced an event ... */
    uint8_t fired_sn;       /* ... and had this cmd_sn, ... */
    uint16_t fired_at;      /* ... when so many had been produced */
    uint32_t *prod;         /* by sub-CQ */
} EfaCq;

typedef struct EfaQp EfaQp;
typedef struct EfaCounterUse EfaCounterUse;

typedef struct EfaCounter {
    uint32_t index;
    uint32_t refs;          /* QPs whose events it counts */
    EfaUar *uar;
    uint64_t paddr;
    uint64_t value;
} EfaCounter;

typedef enum EfaTxState {
    EFA_TX_FREE,
    EFA_TX_PENDING,         /* announced, not started: qp->pending */
    EFA_TX_FENCED,          /* lets earlier ones finish: qp->fenced */
    EFA_TX_WAITING,         /* has segments to send: peer->waiting */
    EFA_TX_SENT,            /* waits for answers to its segments */
    EFA_TX_RNR,             /* told "not ready": peer->rnr */
} EfaTxState;

/* One announced send work request, from its doorbell to its completion. */
typedef struct EfaTxMsg {
    GList link;             /* in the queue its state names */
    GList started_link;     /* in qp->started */
    bool started;
    uint32_t order;         /* in which it was announced */
    EfaQp *qp;
    EfaAh *ah;              /* from WAITING on */
    EfaTxState state;
    uint8_t op;             /* EfaIoOp */
    uint32_t number;        /* in its context */
    uint8_t rnr_left;
    uint16_t attempt;       /* how often "not ready" was answered */
    uint32_t length;        /* payload bytes */
    uint32_t seg_first;     /* bytes of its first segment at most ... */
    uint32_t seg_size;      /* ... and of the others */
    uint32_t segs_total;
    uint32_t segs_todo;     /* not in the context's window yet */
    uint32_t segs_open;     /* in the window, not answered */
    uint32_t first_psn;     /* none of the open ones is older */
    int64_t time;           /* RNR: retry at */
    EfaIoTxWqe wqe;
} EfaTxMsg;

struct EfaQp {
    uint32_t index;
    uint16_t num;
    EfaQpType type;
    EfaQpState state;
    EfaPd *pd;
    EfaUar *uar;
    EfaCq *send_cq;
    EfaCq *recv_cq;
    uint16_t send_sub_cq;
    uint16_t recv_sub_cq;
    uint32_t qkey;
    uint32_t sq_psn;
    uint8_t rnr_retry;
    uint8_t sl;

    EfaCounterUse *counters;
    unsigned num_counters;

    /* send queue */
    uint32_t sq_depth;      /* WQEs */
    uint32_t wqe_size;
    bool req_id_64;         /* request ids of 64 bits */
    const uint8_t *llq;
    uint16_t sq_db;         /* producer counter last announced */
    uint32_t outstanding;   /* announced and not completed */
    EfaTxMsg *msgs;         /* sq_depth of them */
    uint32_t msgs_touched;  /* those ever used */
    GQueue free_msgs;
    GQueue pending;
    GQueue started;         /* with the transport, oldest first */
    GQueue fenced;          /* those that wait for all older ones to end */
    uint32_t next_order;
    GList ready_link;       /* in core->ready while there is work to start */
    bool ready;

    /* receive queue */
    bool unsolicited;       /* a write's immediate data takes no request */
    uint64_t rq_base;
    uint32_t rq_descs;      /* ring size */
    uint16_t rq_db;         /* descriptors announced */
    uint16_t rq_head;       /* descriptors consumed */
};

/* A received request, checked by the transport, to be executed by a QP. */
typedef struct EfaRxMsg {
    EfaPeer *peer;
    const uint8_t *payload; /* may change while read */
    uint32_t length;
    uint16_t src_qpn;
    uint16_t dst_qpn;
    uint32_t qkey;
    uint32_t imm;
    bool has_imm;
    uint8_t opcode;
    uint32_t psn;
    uint32_t number;        /* of the message in its context */
    EfaPktRdma rdma;        /* RDMA: in host byte order */
} EfaRxMsg;

typedef struct EfaStats {
    uint64_t tx_bytes, tx_pkts, rx_bytes, rx_pkts, rx_drops, qkey_viol;
    uint64_t send_bytes, send_wrs, recv_bytes, recv_wrs;
    uint64_t read_wrs, read_bytes, read_wr_err, read_resp_bytes;
    uint64_t write_wrs, write_bytes, write_wr_err, write_recv_bytes;
    uint64_t retrans_bytes, retrans_pkts, retrans_timeout_events;
    uint64_t unresponsive_remote_events, impaired_remote_conn_events;
    uint64_t bad_doorbells, bad_packets, aenq_drops;
} EfaStats;

/* impair.c */
typedef struct EfaImpairState {
    bool on;                /* there are rules, or packets held */
    EfaImpair cfg;
    EfaImpairStats stats;
    GQueue paths;           /* EfaImpairPath */
    size_t held_bytes;
    int64_t next_at;        /* when the next held packet is due */
    EfaHeldPkt *reserved;   /* not committed */
} EfaImpairState;

/* A ring of the admin interface; counters are free-running. */
typedef struct EfaAdminRing {
    bool live;
    uint64_t base;
    uint16_t depth;
    uint16_t entry_size;
    uint8_t vector;
    uint32_t prod;
    uint32_t cons;
} EfaAdminRing;

typedef struct EfaDoorbell {
    uint32_t addr;
    uint32_t value;
} EfaDoorbell;

struct EfaCore {
    EfaLock lock;
    /*
     * Who wants `lock' waits here first. A mutex alone lets a thread that
     * releases and takes it in a loop starve the others, which hold the BQL.
     */
    EfaLock turn;

    /*
     * Doorbells rung and not acted on, in order. Under a lock of their own,
     * held for a few instructions: a vCPU that rings one holds the BQL and
     * must not wait for the iothread.
     */
    EfaLock db_lock;
    EfaDoorbell db_queue[EFA_DB_QUEUE];
    uint32_t db_head;
    uint32_t db_count;

    EfaConfig cfg;
    const EfaHostOps *ops;
    void *opaque;
    uint8_t *llq;
    uint32_t caps;          /* bit EfaCap */
    bool running;

    /* regs.c */
    uint32_t regs[EFA_REGS_END / 4];
    bool fatal;

    /* admin.c, aenq.c */
    EfaAdminRing aq;
    EfaAdminRing acq;
    EfaAdminRing aenq;
    bool admin_left;        /* commands that a pass left to the next one */
    uint64_t admin_pages;   /* page addresses this pass has walked */
    bool irq_while_masked;
    uint32_t aenq_groups;
    bool link_down;
    bool link_was_down;     /* as the driver was told */
    int64_t keep_alive_at;
    EfaHostInfo host_info;

    /* objects */
    EfaTable uars, pds, mrs, ahs, cqs, eqs, qps, counters;
    EfaTable fast_mrs;      /* those of fast-reg.c */
    uint64_t mr_runs;       /* of all regions: bounds host memory */
    GHashTable *ah_by_dest; /* EfaAh, by PD and GID */
    uint32_t *llq_owner;    /* by QP index: UAR + 1 until DEALLOC_UAR */

    /* sq.c, the transport (efa-srd.h) */
    GQueue ready;           /* QPs with sends to start */
    GHashTable *peers;      /* EfaPeer, by GID */
    int64_t evict_at;       /* no sooner look for peers to forget */
    GQueue active;          /* peers with timers */
    GQueue resume;          /* peers whose waiting messages may go on */
    GQueue acking;          /* peers with answers to send */
    uint32_t rx_ops;        /* EfaRxOp of all peers */
    uint64_t epoch;
    uint32_t last_ctx;      /* context generations given out */
    EfaFabric *fabric;
    GQueue loop;            /* packets to ourselves */
    size_t loop_bytes;
    struct EfaLoopPkt *loop_next;   /* reserved, not committed */
    struct EfaHeld *held;   /* a packet that others may overtake */
    uint32_t random;        /* state of efa_random() */
    uint8_t *tx_buf;        /* what was reserved last */
    uint8_t *rx_copy;       /* EFA_PKT_MAX bytes, on demand */
    EfaImpairState impair;
    EfaFaults faults;
    EfaFaultStats *fault_stats; /* one of each rule */
    int64_t timer_at;
    unsigned busy_runs;     /* that did not look at the timers */

    EfaStats stats;
};

static inline bool efa_can(const EfaCore *core, EfaCap cap)
{
    return core->caps >> cap & 1;
}

/* A DMA address that an interface splits into two dwords. */
static inline uint64_t efa_addr64(uint32_t low_le, uint32_t high_le)
{
    return le32_to_cpu(low_le) | (uint64_t)le32_to_cpu(high_le) << 32;
}

/* ---- host access: core.c ---- */
bool efa_dma_read(EfaCore *core, uint64_t addr, void *buf, size_t len);
bool efa_dma_write(EfaCore *core, uint64_t addr, const void *buf, size_t len);
/*
 * Write @len bytes of which the dword at @publish (byte offset) makes the
 * entry valid: that one goes last, everything else before it.
 */
bool efa_dma_publish(EfaCore *core, uint64_t addr, const void *entry,
                     size_t len, size_t publish);
int64_t efa_now(EfaCore *core);
void efa_defer(EfaCore *core);
/* Have efa_core_run() look at the timers at @deadline at the latest. */
void efa_timer_at(EfaCore *core, int64_t deadline);
/* The next number of the device's own sequence. */
uint32_t efa_random(EfaCore *core);
/* Is [addr, addr + len) a range the device can address? */
bool efa_dma_range_ok(uint64_t addr, uint64_t len);

/* ---- regs.c ---- */
/* What the register at @addr holds; all ones where there is none to read. */
uint32_t efa_reg_value(EfaCore *core, uint32_t addr);
void efa_reg_write(EfaCore *core, uint32_t addr, uint32_t value);
/* What a guest reset and a device reset share: objects, queues, work. */
void efa_reset_locked(EfaCore *core);

/* ---- admin.c ---- */
typedef struct EfaAdminCmd {
    EfaAqEntry req;             /* the copy that is judged */
    uint8_t resp[56];           /* zero-filled */
    EfaAdminExtStatus ext;
    const char *name;
} EfaAdminCmd;

typedef EfaAdminStatus (*EfaAdminHandler)(EfaCore *core, EfaAdminCmd *cmd);

void efa_admin_doorbell(EfaCore *core, uint16_t prod);
void efa_admin_run(EfaCore *core);
void efa_admin_unmask(EfaCore *core);
void efa_admin_irq(EfaCore *core, uint8_t vector);
/* Note why a command is refused, for the log, the trace and the guest. */
EfaAdminStatus G_GNUC_PRINTF(4, 5)
efa_admin_fail(EfaAdminCmd *cmd, EfaAdminStatus status, EfaAdminExtStatus ext,
               const char *fmt, ...);

/* ---- faults.c ---- */
/* @faults is legal; what the rules have seen begins anew. */
void efa_faults_set(EfaCore *core, const EfaFaults *faults);
void efa_faults_destroy(EfaCore *core);
/* Count a command; the rule by which it goes wrong, or NULL. */
const EfaFaultRule *efa_fault_for(EfaCore *core, uint8_t opcode);

/* ---- aenq.c ---- */
void efa_aenq_post(EfaCore *core, EfaAenqGroup group, uint16_t syndrome);
void efa_aenq_configure(EfaCore *core, uint32_t groups);
/* Emit what is due; the next deadline. */
int64_t efa_aenq_timer(EfaCore *core, int64_t now);

/* ---- features.c ---- */
EfaAdminStatus efa_cmd_get_feature(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_set_feature(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_get_stats(EfaCore *core, EfaAdminCmd *cmd);

/* ---- objects.c: UAR, PD, AH ---- */
EfaAdminStatus efa_cmd_alloc_pd(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_dealloc_pd(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_alloc_uar(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_dealloc_uar(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_create_ah(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_destroy_ah(EfaCore *core, EfaAdminCmd *cmd);
void efa_objects_init(EfaCore *core);
void efa_objects_destroy(EfaCore *core);
/* Destroy every object; their numbers stay used up for a while. */
void efa_objects_reset(EfaCore *core);
/* The AH number by which @pd knows @peer, EFA_IO_NO_AH if it does not. */
uint16_t efa_ah_reverse(EfaCore *core, const EfaPd *pd, EfaPeer *peer);

/* ---- mr.c ---- */
EfaAdminStatus efa_cmd_reg_mr(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_dereg_mr(EfaCore *core, EfaAdminCmd *cmd);
void efa_mr_free(EfaCore *core, EfaMr *mr);
/*
 * The region that @pd may use under @key for [addr, addr + len), or NULL.
 * @perm: bits of REG_MR permissions that are needed.
 */
EfaMr *efa_mr_find(EfaCore *core, const EfaPd *pd, uint32_t key,
                   uint64_t addr, uint64_t len, uint8_t perm);
/* The range must lie in @mr, see efa_mr_find(). false: DMA fault. */
bool efa_mr_read(EfaCore *core, const EfaMr *mr, uint64_t addr, void *buf,
                 size_t len);
bool efa_mr_write(EfaCore *core, const EfaMr *mr, uint64_t addr,
                  const void *buf, size_t len);
/* Permissions that a region of this device may have. */
uint8_t efa_mr_permissions(const EfaCore *core);
/* Pages of 1 << @shift bytes that a region touches. */
uint64_t efa_mr_count_pages(uint64_t iova, uint64_t length, uint8_t shift);
/* Map the pages of @mr, which has iova and length. @cmd: who asks. */
EfaAdminStatus efa_mr_map(EfaCore *core, EfaAdminCmd *cmd, EfaMr *mr,
                          uint8_t shift, const EfaPbl *pbl);
void efa_mr_unmap(EfaCore *core, EfaMr *mr);
/* May there be another region? */
bool efa_mr_room(const EfaCore *core);

/* ---- fast-reg.c ---- */
EfaAdminStatus efa_cmd_alloc_mr(EfaCore *core, EfaAdminCmd *cmd);
/* The region that @key, whatever the consumer's bits of it, is about. */
EfaMr *efa_fast_mr_of(const EfaCore *core, uint32_t key);
/* FAST_REG or FAST_INV of a QP of @pd; the status it completes with. */
EfaCompStatus efa_fast_execute(EfaCore *core, const EfaPd *pd, uint8_t op,
                               const EfaIoFastReg *req);
/* What a FAST_REG costs, in messages. */
unsigned efa_fast_cost(const EfaIoFastReg *req);

/* ---- eq.c ---- */
EfaAdminStatus efa_cmd_create_eq(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_destroy_eq(EfaCore *core, EfaAdminCmd *cmd);
void efa_eq_doorbell(EfaCore *core, uint32_t value);
void efa_eq_post(EfaCore *core, EfaEq *eq, const EfaCq *cq);

/* ---- cq.c ---- */
EfaAdminStatus efa_cmd_create_cq(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_destroy_cq(EfaCore *core, EfaAdminCmd *cmd);
void efa_cq_doorbell(EfaCore *core, EfaCq *cq, uint32_t value);
/* Complete: sets the phase, notifies if armed. */
void efa_cq_post(EfaCore *core, EfaCq *cq, uint16_t sub_cq,
                 EfaIoCdesc *cdesc);
/* No DMA and no event for it any more, whoever still refers to it. */
void efa_cq_free(EfaCore *core, EfaCq *cq);
void efa_cq_get(EfaCq *cq);
void efa_cq_put(EfaCore *core, EfaCq *cq);

/* ---- qp.c ---- */
EfaAdminStatus efa_cmd_create_qp(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_modify_qp(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_query_qp(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_destroy_qp(EfaCore *core, EfaAdminCmd *cmd);
void efa_qp_free(EfaCore *core, EfaQp *qp);
/* The live QP with that full number, or NULL. */
EfaQp *efa_qp_by_num(EfaCore *core, uint16_t num);
/*
 * The one that the driver's handle names: its number, so that the handle of a
 * former QP does not name one that has its window and doorbells.
 */
EfaQp *efa_qp_by_handle(EfaCore *core, uint32_t handle);
/* A ring rule was broken: the QP goes to ERR and flushes. */
void efa_qp_fatal(EfaCore *core, EfaQp *qp, const char *why);
static inline bool efa_qp_can_receive(const EfaQp *qp)
{
    return qp->state >= EFA_QP_STATE_RTR && qp->state <= EFA_QP_STATE_SQE;
}

/* ---- counters.c ---- */
EfaAdminStatus efa_cmd_create_event_counter(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_destroy_event_counter(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_attach_event_counter(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_modify_event_counter(EfaCore *core, EfaAdminCmd *cmd);
EfaAdminStatus efa_cmd_detach_event_counter(EfaCore *core, EfaAdminCmd *cmd);
void efa_counter_free(EfaCore *core, EfaCounter *counter);
/* @event, a bit of QP_EVENTS, has happened to @qp. */
void efa_counter_event(EfaCore *core, EfaQp *qp, uint32_t event);
/* Does anybody count it? */
bool efa_counter_wants(const EfaQp *qp, uint32_t event);
/* @qp goes. */
void efa_counters_detach(EfaQp *qp);

/* ---- sq.c ---- */
void efa_sq_doorbell(EfaCore *core, EfaQp *qp, uint16_t prod);
/* Start up to @budget announced sends of all QPs. */
void efa_sq_run(EfaCore *core, unsigned budget);
void efa_sq_mark_ready(EfaCore *core, EfaQp *qp);
/* Write the completion (if asked for) and give the message back. */
void efa_sq_complete(EfaCore *core, EfaTxMsg *msg, EfaCompStatus status);
/* Give up all announced work, with completions or without. */
void efa_sq_flush(EfaCore *core, EfaQp *qp, bool completions);
/* End the work that uses @ah. */
void efa_sq_flush_ah(EfaCore *core, EfaAh *ah);
/*
 * Copy @length bytes from @offset of the payload of @msg to @buf; OK or the
 * local error it must end with.
 */
EfaCompStatus efa_sq_gather(EfaCore *core, const EfaTxMsg *msg,
                            uint32_t offset, uint32_t length, uint8_t *buf);
/* The other way, for an RDMA read. */
EfaCompStatus efa_sq_scatter(EfaCore *core, const EfaTxMsg *msg,
                             uint32_t offset, uint32_t length,
                             const uint8_t *buf);

/* ---- rq.c ---- */
void efa_rq_doorbell(EfaCore *core, EfaQp *qp, uint16_t prod);
void efa_rq_flush(EfaCore *core, EfaQp *qp);
/*
 * Place a message in the receive queue of @qp and complete it there.
 * @grh: EFA_UD_GRH_SIZE bytes to put in front, or NULL. Returns the status
 * for the requester; REMOTE_ERROR_RNR if no buffer is posted.
 */
EfaCompStatus efa_rq_deliver(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg,
                             const uint8_t *grh);
/*
 * For an RDMA write with immediate data: consume the oldest receive request,
 * whose buffers stay as they are. OK or the status for the requester.
 */
EfaCompStatus efa_rq_take(EfaCore *core, EfaQp *qp, uint16_t *req_id);
/*
 * Complete the request so taken. On a QP that is unsolicited none was: then
 * @req_id is 0 and the completion says so.
 */
void efa_rq_notify(EfaCore *core, EfaQp *qp, const EfaRxMsg *msg,
                   uint16_t req_id, EfaCompStatus status);

/*
 * Hand a complete packet to the fabric, or to ourselves; false if there is no
 * room or no link. After want of room efa_impair_writable() follows.
 */
bool efa_net_pass(EfaCore *core, EfaPeer *peer, const uint8_t *data,
                  size_t len);

/* ---- impair.c: a network worse than the fabric ---- */
void efa_impair_init(EfaCore *core);
void efa_impair_destroy(EfaCore *core);
/* A checked list: begins anew. */
void efa_impair_set(EfaCore *core, const EfaImpair *impair);
/*
 * As efa_net_reserve(), if core->impair.on: false if @peer has no rule.
 * commit() or cancel() what then is in core->impair.reserved.
 */
bool efa_impair_reserve(EfaCore *core, EfaPeer *peer, size_t len,
                        uint8_t **buf);
void efa_impair_commit(EfaCore *core, EfaPeer *peer, size_t len);
void efa_impair_cancel(EfaCore *core);
/* Is what comes from @peer lost? Counts it. */
bool efa_impair_blocks_input(EfaCore *core, EfaPeer *peer, size_t len);
/* Pass on held packets that are due. */
void efa_impair_run(EfaCore *core, unsigned budget);
/* Could efa_impair_run() go on at once? */
bool efa_impair_due(const EfaCore *core);
/* ... and if not, when? */
int64_t efa_impair_timer(const EfaCore *core);
/* There may be room again in the fabric. */
void efa_impair_writable(EfaCore *core, EfaPeer *peer);
/* Drop what is held for @peer. */
void efa_impair_drop(EfaCore *core, EfaPeer *peer);
/* @peer goes. */
void efa_impair_forget(EfaCore *core, EfaPeer *peer);

#endif /* HW_EFA_INTERNAL_H */
