/*
 * Unit tests: a fake host with a driver's habits
 *
 * A Host is one guest with one device: its memory, its interrupts, its clock
 * and what a driver keeps about the queues. Everything is done through
 * registers, doorbells and guest memory, as the Linux driver does it.
 *
 * Functions that end in _ok fail the test when the device refuses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_HARNESS_H
#define EFA_TEST_HARNESS_H

#include "efa-osdep.h"
#include "efa-core.h"
#include "efa-regs.h"
#include "efa-admin-defs.h"
#include "efa-io-defs.h"
#include "efa-packet.h"

/* As the driver: these tests are for little-endian machines. */
QEMU_BUILD_BUG_ON(G_BYTE_ORDER != G_LITTLE_ENDIAN);

#define HOST_MEM_SIZE   (64u << 20)
#define HOST_DMA_BASE   0x7300000000ull     /* DMA address of byte 0 */
#define HOST_PAGE       4096
/* What reg_buf() adds to a DMA address to make an IOVA. */
#define HOST_IOVA_SHIFT 0x0123400000000ull

#define AQ_DEPTH        32
#define AENQ_DEPTH      16
#define QKEY            0x11111111u

/* Accesses a fault can be planted for. */
enum {
    FAULT_READ = 1,
    FAULT_WRITE = 2,
};

typedef struct Wire Wire;

typedef struct Host {
    EfaCore *core;
    EfaConfig cfg;
    EfaFabric *fabric;
    uint8_t *mem;
    uint64_t mem_size;
    uint8_t *llq;
    size_t used;
    GPtrArray *garbage;

    /* the bus */
    bool dma_on;
    bool dma_seen;              /* an access since the test cleared it */
    uint64_t max_read_end;      /* one past the highest byte read */
    uint64_t fault_lo, fault_hi;
    unsigned fault_kinds;
    unsigned fault_hits;        /* accesses that a planted fault has met */
    unsigned fail_at;           /* the n-th access from now fails; 0: none */
    unsigned irqs[256];
    unsigned irqs_forgotten;    /* how often it was told to */
    struct {
        uint64_t addr;
        size_t len;
        bool irq;               /* no write: an interrupt */
    } log[64];                  /* what the guest saw, in order */
    unsigned logged;            /* set to 0 to begin */
    bool deferred;
    bool more;
    bool stopped;               /* nobody watches the fabric */
    int64_t deadline;
    struct HostThread *thread;  /* see host_thread_start() */
    /* Told of every access; @ok: it was made. Optional. */
    void (*watch)(struct Host *h, unsigned kind, uint64_t addr, size_t len,
                  bool ok);
    void *watcher;

    /* the driver's */
    uint64_t resp, aq, acq, aenq;
    uint16_t rr_seq;
    uint16_t aq_prod;
    uint16_t cmd_id;
    uint32_t acq_cons;
    uint32_t aenq_cons;
} Host;

/* ---- hosts ---- */
EfaGid test_gid(unsigned n);
/* Defaults of generation 2, small LLQ, GID fe80::<n>; not checked. */
EfaConfig test_config(unsigned n);
/* ... of another one. */
EfaConfig test_config_of(unsigned n, uint8_t generation);
/*
 * Created, running, nothing set up. @wire: the fabric, NULL for loopback
 * only. @shm_dir: the real shared memory fabric instead.
 */
Host *host_new_raw(const EfaConfig *cfg, Wire *wire, const char *shm_dir);
/* ... with so much memory, which costs nothing before it is used. */
Host *host_new_sized(const EfaConfig *cfg, Wire *wire, const char *shm_dir,
                     uint64_t mem_size);
/* ... and probed as far as the admin queue. */
Host *host_new_cfg(const EfaConfig *cfg);
Host *host_new(unsigned n);
Host *host_new_on(unsigned n, Wire *wire);
void host_free(Host *h);
/* Free every host of the test. */
void hosts_free(void);

/*
 * From now on a thread does what a device's iothread does, in real time; no
 * settle() or advance() any more, nor poll other than by cq_take(). Ends with
 * host_free().
 */
void host_thread_start(Host *h);

extern int64_t host_now;        /* virtual time of all hosts, ns */
extern uint64_t host_epoch;     /* the next life of any device */
/* Let the hosts do what they asked for: deferred work, packets. */
void settle(void);
/* Let time pass, with every timer at its moment. */
void advance(int64_t ns);

uint64_t host_alloc(Host *h, size_t size, size_t align);
void *host_ptr(Host *h, uint64_t dma);
/* Free @p with @h. */
void *host_keep(Host *h, void *p);
/* Every access that touches [addr, addr + len) fails and is counted from 0 on;
 * 0 bytes: none. */
void host_fault(Host *h, unsigned kinds, uint64_t addr, uint64_t len);
unsigned host_irqs(Host *h, unsigned vector);   /* and forget them */

/* ---- registers ---- */
void reg_write(Host *h, uint32_t offset, uint32_t value);
void reg_write_pair(Host *h, uint32_t lo, uint64_t value);
/* Readless read; fails the test when no answer comes. */
uint32_t reg_read(Host *h, uint32_t offset);
void host_set_resp(Host *h);
void host_reset_handshake(Host *h);
void host_admin_init(Host *h);
/* All three: what a driver does as far as the admin queue. */
void host_probe(Host *h);
void db_write(Host *h, uint32_t offset, uint32_t value);

/* ---- admin queue ---- */
/* The checksum that entries have from admin version 2 on. */
uint16_t admin_crc(const void *data, size_t len);
/* Write the next AQ entry, id and phase included, without the doorbell. */
void aq_put(Host *h, EfaAqEntry *cmd);
void aq_ring(Host *h);
/* The next completion if there is one. */
bool acq_take(Host *h, EfaAcqEntry *out);
/* One command from start to end: checks id, head index, phase, interrupt. */
EfaAcqEntry admin(Host *h, void *cmd);
uint8_t admin_status(Host *h, void *cmd);
void admin_ok(Host *h, void *cmd, void *resp, size_t resp_len);
bool aenq_take(Host *h, EfaAenqEntry *out);

#define CMD(_type, _opcode, ...) \
    ((_type) { .common = { .opcode = (_opcode) }, __VA_ARGS__ })

uint16_t alloc_pd_ok(Host *h);
uint16_t alloc_uar_ok(Host *h);
uint8_t id_cmd(Host *h, uint8_t opcode, uint16_t id);
uint16_t create_ah_ok(Host *h, uint16_t pd, EfaGid gid);
uint8_t destroy_ah(Host *h, uint16_t pd, uint16_t ah);
uint64_t stat_get(Host *h, EfaStatsType type, unsigned index);
enum { ST_TX_BYTES, ST_TX_PKTS, ST_RX_BYTES, ST_RX_PKTS, ST_RX_DROPS,
       ST_QKEY_VIOL };
enum { ST_RETRANS_BYTES, ST_RETRANS_PKTS, ST_RETRANS_TIMEOUTS,
       ST_UNRESPONSIVE, ST_IMPAIRED };

/* ---- event queues ---- */
typedef struct Eq {
    Host *h;
    uint16_t eqn;
    uint8_t vector;
    uint64_t ring;
    uint16_t depth;
    uint32_t cons;
} Eq;

Eq *create_eq_ok(Host *h, uint16_t depth, uint8_t vector);
void eq_arm(Eq *eq);
/* The CQ of the next event, -1 if there is none. */
int eq_take(Eq *eq);

/* ---- completion queues ---- */
typedef struct Cq {
    Host *h;
    uint16_t idx;
    uint16_t uar;
    uint32_t db;
    bool db_valid;
    uint64_t ring;
    uint16_t depth;
    uint8_t entry_size;
    uint16_t subs;
    uint32_t cons[64];
    uint16_t consumed;
    uint8_t sn;
} Cq;

typedef struct CqOpts {
    uint16_t depth;             /* 256 */
    uint8_t entry_size;         /* 32 */
    bool sgid;
    bool req_id_64;
    Eq *eq;
} CqOpts;

EfaCreateCqCmd cq_cmd(Host *h, uint16_t uar, const CqOpts *opts);
Cq *create_cq_ok(Host *h, uint16_t uar, const CqOpts *opts);
bool cq_poll_sub(Cq *cq, unsigned sub, EfaIoCdesc *out);
bool cq_poll(Cq *cq, EfaIoCdesc *out);
/* cq_poll() of the first sub-CQ, while the device may be writing. */
bool cq_take(Cq *cq, EfaIoCdesc *out);
/* settle(), then poll: there must be an entry; then it is returned. */
EfaIoCdesc cq_next(Cq *cq);
void cq_arm(Cq *cq);
#define assert_cq_empty(cq) do {                                \
        EfaIoCdesc e_;                                          \
        settle();                                               \
        g_assert_false(cq_poll((cq), &e_));                     \
    } while (0)

/* ---- memory regions ---- */
typedef struct Buf {
    uint64_t dma;
    uint64_t iova;
    uint64_t len;
    uint32_t key;
    uint8_t *p;
} Buf;

EfaRegMrCmd mr_cmd(uint16_t pd, uint64_t iova, uint64_t len, uint8_t perm);
/* Registered memory, its IOVA unlike its DMA address. */
Buf reg_buf(Host *h, uint16_t pd, uint64_t len, uint8_t perm);
uint8_t dereg(Host *h, uint32_t key);
#define PERM_LOCAL_WRITE    1
#define PERM_REMOTE_WRITE   2
#define PERM_REMOTE_READ    4

/* ---- queue pairs ---- */
typedef struct Qp {
    Host *h;
    uint32_t handle;
    uint16_t num;
    uint16_t pd;
    uint16_t uar;
    EfaQpType type;
    uint32_t sq_db;
    uint32_t rq_db;
    uint32_t llq;
    uint16_t send_sub;
    uint16_t recv_sub;
    uint64_t rq_ring;
    uint32_t sq_depth;
    uint32_t wqe_size;
    uint32_t rq_descs;
    uint16_t sq_pc;
    uint16_t rq_pc;
    Cq *scq;
    Cq *rcq;
} Qp;

EfaCreateQpCmd qp_cmd(Host *h, uint16_t pd, uint16_t uar, EfaQpType type,
                      const Cq *scq, const Cq *rcq, uint32_t sq_depth,
                      uint32_t rq_descs);
/* What @cmd, qp_cmd()'s with changes perhaps, asks for. */
Qp *create_qp_cmd_ok(Host *h, EfaCreateQpCmd *cmd, Cq *scq, Cq *rcq);
Qp *create_qp_ok(Host *h, uint16_t pd, uint16_t uar, EfaQpType type, Cq *scq,
                 Cq *rcq, uint32_t sq_depth, uint32_t rq_descs);
uint8_t qp_modify(Qp *qp, uint32_t mask, EfaQpState state, uint32_t qkey,
                  uint8_t rnr_retry);
/* One state change with what it needs: Q_Key QKEY, PSN 0. */
uint8_t qp_to(Qp *qp, EfaQpState state);
void qp_to_rts(Qp *qp);
EfaQueryQpResp qp_query(Qp *qp);
uint8_t qp_destroy(Qp *qp);

/* A work request; more is set in the fields. */
EfaIoTxWqe wqe_send(uint16_t req_id, uint16_t ah, uint16_t dest_qpn);
void wqe_sge(EfaIoTxWqe *wqe, const Buf *buf, uint64_t offset, uint32_t len);
void wqe_inline(EfaIoTxWqe *wqe, const void *data, uint16_t len);
void wqe_imm(EfaIoTxWqe *wqe, uint32_t imm);
/* RDMA @op of @len bytes; the far side is the start of @remote. */
EfaIoTxWqe wqe_rdma(uint8_t op, uint16_t req_id, uint16_t ah,
                    uint16_t dest_qpn, const Buf *local, const Buf *remote,
                    uint32_t len);
void sq_put(Qp *qp, const EfaIoTxWqe *wqe);
void sq_ring(Qp *qp);
void sq_post(Qp *qp, const EfaIoTxWqe *wqe);    /* put and ring */

void rq_put(Qp *qp, uint16_t req_id, const Buf *buf, uint64_t offset,
            uint16_t len, bool first, bool last);
void rq_ring(Qp *qp);
void rq_post(Qp *qp, uint16_t req_id, const Buf *buf, uint64_t offset,
             uint16_t len);

/* ---- one end of a conversation: all that a small application makes ---- */
typedef struct End {
    Host *h;
    uint16_t pd;
    uint16_t uar;
    Cq *scq;
    Cq *rcq;
    Qp *qp;
    Buf tx;                     /* 64 KiB, local read */
    Buf rx;                     /* 64 KiB, local write */
} End;

/* @type in RTS, 64 WQEs, 64 descriptors, 32-byte completions with SGID */
End *end_new(Host *h, EfaQpType type);

#define COMP_TYPE(e)    FIELD_EX8((e).flags, CDESC_FLAGS, Q_TYPE)

/* ---- a fabric in the test's hands ---- */
typedef struct WirePkt {
    EfaGid src;
    EfaGid dst;
    size_t len;
    union {
        EfaPktHdr hdr;
        uint8_t data[16384];
    };
} WirePkt;

Wire *wire_new(void);
void wire_free(Wire *w);
/* Deliver at once what is sent; off: keep it until the test decides. */
void wire_auto(Wire *w, bool on);
/* Packets each reserve() grants before the link is full; -1: no limit. */
void wire_room(Wire *w, int packets);
/* A GID that answers nothing by itself: the test plays that device. */
void wire_ghost(Wire *w, EfaGid gid);
unsigned wire_count(Wire *w);
/* Take packet @n off the wire; the caller frees or delivers it. */
WirePkt *wire_take(Wire *w, unsigned n);
WirePkt *wire_dup(const WirePkt *pkt);
/* Give @pkt to its addressee, and let it work; frees it. */
void wire_deliver(Wire *w, WirePkt *pkt);
/* Drop all that is under way; how much it was. */
unsigned wire_drop_all(Wire *w);
/* The link between the two breaks, as either sees it. */
void wire_cut(Wire *w, EfaGid a, EfaGid b, EfaLinkDownReason why);
/* @peer has connected to @gid. */
void wire_raise(Wire *w, EfaGid gid, EfaGid peer);
/* What the ghost @src would send: a header with good defaults, no payload. */
WirePkt *ghost_pkt(EfaGid src, EfaGid dst, EfaPktType type, uint64_t epoch);
void pkt_payload(WirePkt *pkt, const void *data, size_t len);
/* The ghost's acknowledgement of @req with @status. */
WirePkt *ghost_ack(const WirePkt *req, uint64_t epoch, uint8_t status);
/* What an ACK of the device says of @psn; -1: nothing. */
int ack_status(const WirePkt *ack, uint32_t psn);

#endif /* EFA_TEST_HARNESS_H */
