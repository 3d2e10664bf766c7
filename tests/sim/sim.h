/*
 * Simulator: a cluster of devices in one process, on a virtual clock
 *
 *   world     the clock, the course of a seed; events: what happens when
 *   network   the fabric between the devices, and what goes wrong in it
 *   host      guest memory and how a driver talks to its device
 *   verbs     objects and queues, as a driver keeps them
 *   node      a host's life: boot, crash, reset
 *   workload  what applications do; faults: what happens to them
 *   check     every completion judged; causes: what may end badly, and why;
 *             account: what was counted
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_SIM_H
#define EFA_SIM_H

#include "efa-osdep.h"
#include "efa-core.h"
#include "efa-regs.h"
#include "efa-admin-defs.h"
#include "efa-io-defs.h"
#include "efa-packet.h"
#include "prng.h"

/* As the driver: this program is for little-endian machines. */
QEMU_BUILD_BUG_ON(G_BYTE_ORDER != G_LITTLE_ENDIAN);

#define SIM_USEC        ((int64_t)1000)
#define SIM_MSEC        ((int64_t)1000000)
#define SIM_SEC         ((int64_t)1000000000)

/* Every node's memory begins here, as its device sees it. */
#define SIM_DMA_BASE    0x4000000000ull
/* What makes an address that the device may use of a DMA address. */
#define SIM_IOVA_SHIFT  0x0120000000000ull
#define SIM_MAX_QPS     4
#define SIM_MAX_SUBS    4
/* Work requests of one queue: bits of a word. */
#define SIM_MAX_DEPTH   64
#define SIM_GRANULE     64
#define SIM_ANY         UINT32_MAX

typedef struct World World;
typedef struct Node Node;
typedef struct SimQp SimQp;
typedef struct SimMsg SimMsg;
typedef struct SimPort SimPort;

/* ---- what is asked for, and what a seed makes of it ---- */

/* What --faults names: X(name, what happens) */
#define SIM_FAULTS(X)                                                   \
    X(loss, "packets are lost")                                         \
    X(dup, "packets come twice")                                        \
    X(hostile, "packets are changed on the way: only memory is checked") \
    X(full, "links have little room, or none for a moment")             \
    X(cut, "partitions: one way, two ways, a node alone")               \
    X(crash, "nodes die, most start again")                             \
    X(reset, "guests reset their device")                               \
    X(qp, "queue pairs destroyed, or put to ERR, with work outstanding") \
    X(ah, "address handles destroyed with work outstanding")            \
    X(mr, "memory deregistered with work outstanding")                  \
    X(rnr, "receives are posted late or not at all")                    \
    X(small, "receive buffers too small or not writable")               \
    X(bad, "bad QPN, Q_Key, AH, keys, lengths, operations")

enum {
#define X(_name, _what) F_INDEX_##_name,
    SIM_FAULTS(X)
#undef X
    SIM_NUM_FAULTS
};
enum {
#define X(_name, _what) F_##_name = 1u << F_INDEX_##_name,
    SIM_FAULTS(X)
#undef X
};

/* Deliberate defects, by which the checks prove that they see something. */
#define SIM_BREAKS(X)                                                   \
    X(corrupt, "the network changes a byte of a payload")               \
    X(twice, "a message is executed twice")                             \
    X(lose_completion, "a completion is lost")                          \
    X(double_completion, "a request completes twice")                   \
    X(false_success, "an error is reported as success")                 \
    X(false_error, "a success is reported as an error")                 \
    X(overrun, "a byte behind a receive buffer is written")             \
    X(forget, "data of an RDMA operation is not written")              \
    X(stray_write, "memory outside of every buffer is written")         \
    X(swallow, "the network drops packets and does not say so")         \
    X(chatter, "a packet goes round for ever")                          \
    X(wrong_ring, "completions are in rings of other queues")           \
    X(unmarked, "completions do not say that they are unsolicited")     \
    X(miscount, "an event counter is not written")                      \
    X(spin, "a device asks to be run for ever")

typedef enum SimBreak {
    BREAK_none,
#define X(_name, _what) BREAK_##_name,
    SIM_BREAKS(X)
#undef X
} SimBreak;

typedef struct Options {
    unsigned nodes;             /* 0: the seed draws */
    unsigned peers;             /* 0: the seed draws */
    uint64_t first_seed;
    uint64_t seeds;
    unsigned messages;          /* of each node; 0: by the number of nodes */
    bool faults_given;
    uint32_t faults;            /* with faults_given */
    int64_t size;               /* bytes of a message, -1: the seed draws */
    unsigned most_mib;          /* --footprint fails above, 0: never */
    unsigned least_rate;        /* --bench fails below, packets a second */
    SimBreak defect;
    bool verbose;
} Options;

/* What a seed is about. */
typedef struct Plan {
    unsigned nodes;
    unsigned peers;
    unsigned messages;
    uint32_t faults;
    SimBreak defect;

    /* the network */
    bool announce;              /* peers learn of a death at once (shm) */
    bool fifo;
    unsigned paths;
    int64_t latency, jitter, skew;
    int64_t byte_ps;            /* picoseconds a byte takes, 0: none */
    int64_t wake;               /* from a packet's arrival to its handling */
    uint32_t loss_ppm, dup_ppm, hostile_ppm, refuse_ppm;
    unsigned room;              /* packets under way on a link, 0: no limit */

    /* the devices */
    uint8_t generation;
    uint32_t mtu, rdma_max, reorder;
    int64_t timeout;            /* until a silent peer is given up */
    unsigned num_qps;           /* the last one is UD if there are several */
    unsigned depth;             /* of each queue */
    unsigned sub_cqs;           /* rings of a completion queue */
    bool unsolicited;           /* some QPs take immediate data without a
                                   receive, if the device can */
    uint32_t wqe_size;
    uint32_t seed;

    /* the applications */
    int64_t think;              /* between bursts */
    unsigned burst;
    int64_t size;               /* -1: any */
    unsigned rdma_percent;
    bool finite_rnr;
    bool loopback;              /* a node may be its own peer */
    bool lazy;                  /* receives are refilled at times only */
    bool steady;                /* a completion begins the next message */
    bool recycle;               /* records of finished messages */
    bool in_turn;               /* peers, instead of any */
    bool no_handles;            /* made later */
    unsigned senders;           /* nodes that send, 0: all */
    unsigned active;            /* peers that they send to, 0: all */
    int64_t fault_period;
    unsigned acts;              /* of the fault clock, at most */
} Plan;

/* Draw the plan of @seed. */
void plan_draw(Plan *plan, const Options *opt, uint64_t seed);
/* One without faults or variety, for measurements. */
void plan_quiet(Plan *plan, const Options *opt, unsigned nodes,
                unsigned peers, unsigned messages);
/* Bytes that a send can carry in itself. */
static inline uint32_t plan_inline_max(const Plan *plan)
{
    return plan->wqe_size == EFA_IO_WQE_SIZE_WIDE ? EFA_IO_TX_INLINE_MAX_WIDE
                                                  : EFA_IO_TX_INLINE_MAX;
}
const char *sim_fault_name(unsigned index);

/* ---- the ledger ---- */

typedef enum MsgState {
    MSG_FREE,
    MSG_POSTED,
    MSG_DONE,                   /* completed with status */
    MSG_DROPPED,                /* its QP or node went: no completion */
} MsgState;

struct SimMsg {
    uint64_t id;                /* begins its payload; low half: immediate */
    SimQp *qp;
    SimQp *dst;                 /* NULL: addressed to none that exists */
    Node *to;
    SimMsg *copy_of;            /* for a planted duplicate: the original */
    int64_t posted;
    uint32_t len;
    uint32_t to_life;           /* at posting; 0: it was down */
    uint32_t known_life;        /* that our device knew of, 0: none */
    uint32_t exec_life;         /* of the receiver, last execution; 0: none */
    uint32_t expect;            /* statuses that what we planted explains */
    uint16_t req_id;
    uint8_t op;                 /* EfaIoOp */
    uint8_t state;              /* MsgState */
    uint8_t status;
    uint8_t peer;               /* index into qp->node->peers */
    uint8_t big;                /* buffer of an RDMA operation, +1 */
    uint8_t win;                /* its place in to's window, +1 */
    bool has_imm;
    bool unsignaled;
    bool must_fail;
    bool lkey_tx;               /* uses MR_TX */
    bool bad_op;                /* no operation that there is: no event */
};

/* A receive work request. */
typedef struct SimRecv {
    uint16_t req_id;
    uint16_t capacity;
    bool bad;
} SimRecv;

struct SimQp {
    Node *node;
    SimQp *next;                /* in world->all_qps */
    uint32_t life;              /* the node's when it was made */
    uint8_t slot;
    uint8_t type;               /* EfaQpType */
    uint8_t rnr_retry;
    bool closed;                /* no longer receives */
    bool gone;                  /* no completion may come any more */
    bool starving;              /* its receives are not refilled */
    bool unsolicited;
    bool rx_bad;                /* had receives that cannot be written */
    uint16_t num;
    uint32_t handle;
    uint32_t qkey;
    uint32_t sq_db, rq_db, llq, rq_ring;
    uint16_t send_sub, recv_sub;
    uint16_t sq_pc, rq_pc;
    uint16_t sq_rung, rq_rung;
    uint32_t rq_descs;
    uint64_t sent_mask, recv_mask;
    uint32_t least_capacity;    /* of all receives ever posted */
    int64_t empty_at;           /* last time that no receive was posted */
    unsigned unsignaled;
    SimMsg **sent;              /* plan.depth */
    SimRecv *recv;              /* plan.depth */
};

typedef struct SimCq {
    uint16_t idx;
    uint32_t ring;
    uint32_t depth;             /* of each of its rings */
    unsigned subs;
    unsigned last_sub;          /* the ring that was found something in */
    uint32_t cons[SIM_MAX_SUBS];
} SimCq;

/* Event counters of a node: X(name, what it counts, of all its QPs) */
#define SIM_COUNTERS(X)                                                 \
    X(done, QP_EVENTS_SEND_COMP, QP_EVENTS_READ_COMP,                   \
      QP_EVENTS_WRITE_COMP)                                             \
    X(failed, QP_EVENTS_SEND_COMP_ERR, QP_EVENTS_READ_COMP_ERR,         \
      QP_EVENTS_WRITE_COMP_ERR)                                         \
    X(received, QP_EVENTS_RECV_COMP, QP_EVENTS_RECV_COMP,               \
      QP_EVENTS_RECV_COMP)                                              \
    X(spoiled, QP_EVENTS_RECV_COMP_ERR, QP_EVENTS_RECV_COMP_ERR,        \
      QP_EVENTS_RECV_COMP_ERR)                                          \
    X(served, QP_EVENTS_REMOTE_READ_COMP, QP_EVENTS_REMOTE_WRITE_COMP,  \
      QP_EVENTS_REMOTE_WRITE_COMP)

enum {
#define X(_name, ...) COUNT_##_name,
    SIM_COUNTERS(X)
#undef X
    NUM_COUNTERS
};

enum { MR_TX, MR_RX, MR_BIG, MR_WIN, NUM_MRS };

typedef struct SimMr {
    uint32_t key;
    uint32_t offset;
    uint32_t size;
    int64_t lost_at;            /* last deregistration, INT64_MIN: never */
} SimMr;

typedef struct SimPeer {
    Node *node;
    uint16_t ah;
    bool have;
    uint32_t known_life;        /* that a completion told of */
    int64_t made_at, lost_at;   /* the handle, last time */
} SimPeer;

struct Node {
    World *w;
    uint32_t index;
    uint32_t life;              /* grows with each boot and reset */
    uint32_t boots;
    bool up;
    bool run_queued;
    bool polling;
    int64_t changed_at;         /* last boot, crash, reset */
    int64_t timer_at;           /* what the device asked for */
    bool timer_fair;            /* ... and not for at once */
    int64_t timer_queued;       /* earliest timer event under way */
    unsigned idle_runs;         /* since something happened to it */
    EfaCore *core;
    SimPort *port;
    uint8_t *mem;
    uint8_t *llq;
    uint8_t *map;               /* what the device may touch, by granule */

    /* the driver's */
    uint16_t aq_prod, cmd_id;
    uint32_t acq_cons;
    uint16_t rr_seq;
    uint16_t pd, uar;
    uint32_t caps;
    SimCq scq, rcq;
    SimMr mr[NUM_MRS];
    SimQp *qps[SIM_MAX_QPS];
    SimPeer *peers;             /* plan.peers */
    uint64_t big_mask, win_mask;

    /* the application's */
    unsigned left;              /* messages to post */
    bool ticking;
    int64_t pause;              /* until its next tick, on average */
    unsigned handles_lost;
    struct {                    /* in this life of the device */
        uint64_t ok[3], silent[3];      /* by EfaIoOp */
        uint64_t sends_received;
        uint64_t count[NUM_COUNTERS];   /* as its counters should have it */
        uint64_t aimed;         /* RDMA that was addressed to it */
    } seen;
    uint32_t counter[NUM_COUNTERS];     /* handles */
};

/* Where things lie in a node's memory; the same for all. */
typedef struct Layout {
    uint32_t resp, aq, acq, aenq, scq, rcq, rq[SIM_MAX_QPS], counters;
    uint32_t tx, rx, big, win;
    uint32_t tx_stride, rx_stride, big_stride;
    unsigned num_big;
    uint32_t size;              /* a power of two */
    uint32_t llq_size;
} Layout;

typedef struct Totals {
    uint64_t seeds, packets, bytes, lost, doubled, changed, refused, cut;
    uint64_t faults;            /* injected by the fault clock */
    uint64_t planted;           /* requests made to fail */
    uint64_t posted, ok, failed, dropped, silent;
    uint64_t received;
    uint64_t by_status[32];
    uint64_t events;
} Totals;

typedef enum EventKind {
    EV_PACKET,
    EV_RUN,
    EV_TIMER,
    EV_LINK,
    EV_APP,
    EV_BOOT,
    EV_FAULT,
    EV_UNCUT,
    EV_WINDOW,
} EventKind;

#define EV_KIND_BITS    4

typedef struct Event {
    int64_t at;
    uint64_t order;             /* serial number, kind in the low bits */
    void *ref;
} Event;

/* A partition; also kept when it is over, as a cause of failures. */
typedef struct Cut {
    uint32_t a, b;              /* b: SIM_ANY for all others */
    bool forth, back;           /* what is cut: a to b, b to a */
    int64_t from, until;
} Cut;

struct World {
    const Options *opt;
    Plan plan;
    uint64_t seed;
    Rng rng;
    int64_t now;
    Layout layout;
    Node *nodes;
    unsigned *offsets;          /* peers of node i: i + offsets[j] mod nodes */
    unsigned *inverse;          /* of offsets, by index */
    uint8_t *memory;
    size_t memory_size;

    struct Events *events;

    struct Network *net;
    GArray *cuts;               /* Cut */
    unsigned live_cuts;

    GPtrArray *msg_chunks;
    uint32_t num_msgs;
    GArray *free_msgs;          /* uint32_t, only with plan.recycle */
    SimQp *all_qps;
    uint64_t epoch;

    unsigned posting;           /* nodes with messages left */
    bool final;                 /* everything is healed, nothing new comes */
    bool broken;
    bool defect_done;
    char *verdict;
    uint64_t digest;
    Totals t;
};

/* ---- events.c: what happens when; same moment: as it was added ---- */
typedef struct Events Events;
Events *events_new(int64_t now);
void events_free(Events *e);
/* Not before the event that was popped last. */
void events_add(Events *e, int64_t at, EventKind kind, void *ref);
/* The next event, NULL if there is none; valid until the next call. */
const Event *events_peek(Events *e);
void events_pop(Events *e);
/* A guess at the next event, for free. */
const Event *events_soon(const Events *e);
uint64_t events_left(const Events *e);
static inline EventKind event_kind(const Event *ev)
{
    return ev->order & ((1u << EV_KIND_BITS) - 1);
}

/* ---- world.c ---- */
World *world_new(const Options *opt, const Plan *plan, uint64_t seed);
void world_free(World *w);
void world_at(World *w, int64_t at, EventKind kind, void *ref);
/* Events up to @until, or until something is broken or @done says so. */
void world_run(World *w, int64_t until, bool (*done)(World *w));
/* Boot every node and let the applications begin. */
void world_boot(World *w);
/* The course of a seed; false if an invariant broke. */
bool world_play(World *w);
void totals_add(Totals *sum, const Totals *t);
static inline void world_digest(World *w, uint64_t value)
{
    w->digest = (w->digest ^ value) * 0x9e3779b97f4a7c15ull;
    w->digest ^= w->digest >> 29;
}

/* An invariant does not hold: note it (the first one counts). */
void sim_broken(World *w, const Node *node, const SimQp *qp,
                const SimMsg *msg, const char *fmt, ...)
    G_GNUC_PRINTF(5, 6);

/* ---- network.c ---- */
void network_new(World *w);
void network_free(World *w);
EfaFabric *network_attach(Node *node);
void network_packet(World *w, void *pkt);
void network_link_event(World *w, void *note);
/* Is the way from @a to @b cut just now? */
bool network_is_cut(const World *w, const Node *a, const Node *b);
/* Packets lost between the two, either way, since @since: at most 3. */
unsigned network_losses(Node *a, Node *b, int64_t since);
/* Did @a ever receive something from @b in this life? */
bool network_heard(Node *a, Node *b);
EfaGid sim_gid(uint32_t index);

/* ---- host.c ---- */
extern const EfaHostOps host_ops;
#define MAP_WRITE   1
#define MAP_READ    2
void host_allow(Node *n, uint32_t offset, uint32_t len, uint8_t bits);
void host_deny(Node *n, uint32_t offset, uint32_t len, uint8_t bits);
static inline void *host_ptr(Node *n, uint32_t offset)
{
    return n->mem + offset;
}
static inline uint64_t host_dma(uint32_t offset)
{
    return SIM_DMA_BASE + offset;
}
static inline uint64_t host_iova(uint32_t offset)
{
    return SIM_DMA_BASE + SIM_IOVA_SHIFT + offset;
}
void host_doorbell(Node *n, uint32_t offset, uint32_t value);
/* Reset handshake and admin queues, as the driver's probe does it. */
void host_probe(Node *n);
/* One command; its status. @resp may be NULL. */
uint8_t host_admin(Node *n, void *cmd, void *resp, size_t len);
/* The same; a refusal breaks the seed. */
void host_admin_ok(Node *n, void *cmd, void *resp, size_t len);

/* ---- verbs.c ---- */
void layout_init(Layout *l, const Plan *plan);
void verbs_open(Node *n);               /* PD, UAR, CQs, MRs, attributes */
bool verbs_can(const Node *n, uint8_t op);  /* EfaIoOp */
bool verbs_has_rdma(const Node *n);
bool verbs_has_counters(const Node *n);
void verbs_mr(Node *n, unsigned which); /* register (again) */
void verbs_dereg(Node *n, unsigned which);
void verbs_ah(Node *n, unsigned peer);
void verbs_destroy_ah(Node *n, unsigned peer);
SimQp *verbs_qp(Node *n, unsigned slot);
void verbs_qp_error(SimQp *qp);
/* Destroy it, or, with @reset, let it end in RESET first. */
void verbs_destroy_qp(SimQp *qp, bool reset);
/* Everything of @n's driver is void: forget it. */
void verbs_forget(Node *n);
void verbs_post_send(SimQp *qp, const EfaIoTxWqe *wqe);
void verbs_post_recv(SimQp *qp, unsigned index, uint32_t capacity, bool bad,
                     unsigned pieces);
void verbs_ring(SimQp *qp);
bool verbs_poll(Node *n, SimCq *cq, EfaIoCdesc *out);
/* Counter @index of one type of the device's statistics. */
uint64_t verbs_stat(Node *n, EfaStatsType type, unsigned index);
/* What an event counter says. */
uint64_t verbs_counter(Node *n, unsigned which);
static inline uint32_t tx_buf(const SimQp *qp, unsigned index)
{
    const Layout *l = &qp->node->w->layout;

    return l->tx + (qp->slot * qp->node->w->plan.depth + index) *
           l->tx_stride;
}
static inline uint32_t rx_buf(const SimQp *qp, unsigned index)
{
    const Layout *l = &qp->node->w->layout;

    return l->rx + (qp->slot * qp->node->w->plan.depth + index) *
           l->rx_stride;
}
static inline uint32_t big_buf(const World *w, unsigned index)
{
    return w->layout.big + index * w->layout.big_stride;
}
static inline uint32_t win_buf(const World *w, unsigned index)
{
    return w->layout.win + index * w->layout.big_stride;
}

/* ---- node.c ---- */
void node_init(World *w, uint32_t index);
void node_boot(Node *n);
void node_crash(Node *n);
void node_reset(Node *n);
/* Have its device run after @delay. */
void node_wake(Node *n, int64_t delay);
void node_run(Node *n);
void node_timer(Node *n);
/* Handle the completions that are there. */
void node_poll(Node *n);
/* Those of its receives only; may be called from anywhere. */
void node_drain_receives(Node *n);

/* ---- workload.c ---- */
void workload_tick(Node *n);
void workload_more(Node *n);
void workload_refill(Node *n, bool generous);
/* @m is over: its place in the receiver's window is free, now or soon. */
void workload_window_release(SimMsg *m, bool now);
void workload_window_free(World *w, void *ref);

/* ---- faults.c ---- */
void faults_tick(World *w);
void faults_uncut(World *w, void *cut_number);
/* End all partitions. */
void faults_heal(World *w);

/* ---- check.c ---- */
SimMsg *msg_new(World *w);
SimMsg *msg_by_id(World *w, uint32_t low);
SimMsg *msg_at(World *w, uint32_t slot);
void pattern_fill(uint8_t *p, uint64_t id, uint32_t len);
/* Offset of the first byte that is wrong, or @len. */
uint32_t pattern_check(const uint8_t *p, uint64_t id, uint32_t len);
void check_completion(Node *n, EfaIoCdesc *c, bool receive);
/* No completion is due for @m any more. */
void check_drop(SimMsg *m);

/* ---- account.c ---- */
/* At the end of a seed, when nothing moves any more. */
void check_end(World *w);

/* ---- causes.c ---- */
/* Did something happen to @m that explains @status? */
bool cause_exists(const SimMsg *m, uint8_t status);
/* Was @m's receiver the same, and there, all the time since its posting? */
bool cause_same_life(const SimMsg *m);

/* ---- measure.c ---- */
int measure_bench(const Options *opt);
int measure_footprint(const Options *opt);
int measure_scale(const Options *opt);

/* ---- main.c ---- */
/* The command that repeats @seed, to be freed. */
char *sim_replay(const Options *opt, uint64_t seed);

#endif /* EFA_SIM_H */
