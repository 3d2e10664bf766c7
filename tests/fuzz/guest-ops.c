/*
 * Fuzzing: what a guest may do, one operation at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "book.h"

/* Their order is that of the numbers in inputs: new ones go to the end. */
enum {
    OP_ADMIN,           /* opcode, variant, changes: a command, rung */
    OP_ADMIN_PUT,       /* the same, not rung */
    OP_AQ_RING,         /* how far ahead of what was put (signed byte) */
    OP_REG,             /* register (in dwords, byte), value (dword) */
    OP_REG_ODD,         /* address (word), size, value (quad) */
    OP_REG_READ,        /* request (dword), address (word), size */
    OP_DOORBELL,        /* address (dword), value (dword) */
    OP_DB_ODD,          /* address (dword), size, value (quad) */
    OP_MEM,             /* page, offset (word), length, bytes */
    OP_LISTS,           /* pages 0 and 1 become a list of pages and a chunk */
    OP_LLQ,             /* offset (dword), length, bytes */
    OP_FAULT,           /* which access from now on fails (0: none) */
    OP_DMA,             /* bus mastering on (bit 0) or off */
    OP_TIME,            /* 2^n ns, n at most 28 */
    OP_RESET,           /* the machine's; bit 0: probed again */
    OP_RUNNING,         /* bit 0 */
    OP_SEND,            /* what, whereto, length (word), changes */
    OP_SQ_RING,         /* end, how far ahead (signed byte) */
    OP_RECV,            /* end, length (word), changes; rung if bit 7 of end */
    OP_ARM,             /* end; bit 1: receive CQ; bit 2: the EQ too */
    OP_FAST,            /* what, key's low byte, length (word), changes */
    OP_NUMBER,
};

QEMU_BUILD_BUG_ON(OP_NUMBER > GUEST_OPS);

static void op_admin(Guest *g, In *in, bool ring)
{
    uint8_t opcode = in_u8(in), v = in_u8(in);
    EfaAqEntry cmd = guest_command(g, opcode, v);

    /* the id and the phase are aq_put()'s */
    in_patch(in, &cmd.common.opcode, sizeof(cmd) - 2);
    if (ring) {
        guest_admin(g, &cmd);
    } else {
        aq_put(g->h, &cmd);
    }
}

static void op_aq_ring(Guest *g, In *in)
{
    int8_t ahead = in_u8(in);

    g->sane &= ahead == 0;
    guest_reg_write(g, A_AQ_PROD_DB, (uint16_t)(g->h->aq_prod + ahead));
}

static void op_reg(Guest *g, In *in)
{
    uint32_t offset = in_u8(in) % (EFA_REGS_END / 4) * 4;

    g->sane &= offset != A_AQ_CAPS && offset != A_ACQ_CAPS &&
               offset != A_AQ_PROD_DB;
    guest_reg_write(g, offset, in_u32(in));
}

/* Accesses that no driver makes: wrong sizes, no register there. */
static void op_reg_odd(Guest *g, In *in)
{
    uint16_t addr = in_u16(in);
    uint8_t size = in_u8(in);
    uint64_t value = in_u64(in);

    if (addr < EFA_REGS_END && size == 4) {
        return;
    }
    efa_core_reg_write(g->h->core, addr, value, size);
}

static void op_reg_read(Guest *g, In *in)
{
    uint32_t request = in_u32(in);
    uint16_t addr = in_u16(in);

    guest_reg_write(g, A_MMIO_REG_READ, request);
    efa_core_reg_read(g->h->core, addr, in_u8(in));
}

static void op_db_odd(Guest *g, In *in)
{
    uint32_t addr = in_u32(in);
    uint8_t size = in_u8(in);

    efa_core_doorbell_write(g->h->core, addr, in_u64(in), size);
}

static void op_mem(Guest *g, In *in)
{
    uint64_t page = guest_page(g, in_u8(in));
    uint16_t offset = in_u16(in) % HOST_PAGE;
    uint8_t len = in_u8(in);

    in_bytes(in, host_ptr(g->h, page + offset), MIN(len, HOST_PAGE - offset));
}

static void op_lists(Guest *g)
{
    uint64_t *list = host_ptr(g->h, guest_page(g, 0));
    uint64_t *chunk = host_ptr(g->h, guest_page(g, 1));
    unsigned i;

    for (i = 0; i < HOST_PAGE / 8; i++) {
        list[i] = guest_page(g, 2 + i % (GUEST_PAGES - 2));
        chunk[i] = guest_page(g, 0);
    }
    memcpy((uint8_t *)chunk + EFA_CHUNK_LINK_OFFSET, &(EfaCtrlBuffInfo) {
        HOST_PAGE, guest_page(g, 1), guest_page(g, 1) >> 32,
    }, sizeof(EfaCtrlBuffInfo));
}

static void op_llq(Guest *g, In *in)
{
    uint64_t size = efa_config_llq_bar_size(&g->h->cfg);
    uint64_t offset = in_u32(in) % size;
    uint8_t len = in_u8(in);

    g->raw_wqes = true;
    in_bytes(in, g->h->llq + offset, MIN(len, size - offset));
}

static void op_dma(Guest *g, In *in)
{
    g->h->dma_on = in_u8(in) & 1;
    if (g->h->dma_on) {
        efa_core_dma_changed(g->h->core);
    } else {
        g->sane = false;
    }
}

static void op_reset(Guest *g, In *in)
{
    guest_reset(g);
    efa_core_reset(g->h->core);
    if (in_u8(in) & 1) {
        guest_reprobe(g);
    }
}

static void op_running(Guest *g, In *in)
{
    bool on = in_u8(in) & 1;

    g->sane &= on;
    g->h->stopped = !on;
    efa_core_set_running(g->h->core, on);
}

/* The first or the last @len bytes of @buf. */
static Buf part_of(const Buf *buf, uint16_t len, bool last)
{
    Buf part = *buf;

    if (last && len < buf->len) {
        part.iova += buf->len - len;
        part.dma += buf->len - len;
    }
    return part;
}

/*
 * What: bits 2:0 kind, 3 end, 4 immediate data, 5 don't ring. Whereto: bits 1:0
 * address handle, 2 end there, 3 the end of the region, not its beginning.
 */
static EfaIoTxWqe send_wqe(Guest *g, Guest *peer, uint8_t what, uint8_t to,
                           uint16_t len)
{
    static const uint8_t text[EFA_IO_TX_INLINE_MAX_WIDE] = "inline";
    End *e = g->end[what >> 3 & 1], *far = peer->end[to >> 2 & 1];
    Buf mine = part_of(&g->open[what >> 3 & 1], len, to & 8);
    Buf theirs = part_of(&peer->open[to >> 2 & 1], len, to & 8);
    uint16_t ah = g->ah[to & 3], qpn = far->qp->num;
    EfaIoTxWqe wqe;

    switch (what & 7) {
    case 0:
    case 1:
        wqe = wqe_send(len, ah, qpn);
        wqe_inline(&wqe, text, len % (sizeof(text) + 1));
        break;
    case 2:
    case 3:
        wqe = wqe_send(len, ah, qpn);
        wqe_sge(&wqe, &mine, 0, len);
        break;
    case 4:
        wqe = wqe_send(len, ah, qpn);
        wqe_sge(&wqe, &mine, 8, len / 2);
        wqe_sge(&wqe, &e->tx, 8, len - len / 2);
        break;
    case 5:
        wqe = wqe_rdma(EFA_IO_RDMA_READ, len, ah, qpn, &mine, &theirs,
                       len);
        break;
    default:
        wqe = wqe_rdma(EFA_IO_RDMA_WRITE, len, ah, qpn, &mine, &theirs,
                       len);
        if ((what & 7) == 7) {
            wqe_inline(&wqe, text, len % (sizeof(text) + 1));
        }
        break;
    }
    if (what & 16) {
        wqe_imm(&wqe, len);
    }
    return wqe;
}

static void post(Guest *g, Qp *qp, const EfaIoTxWqe *wqe, bool ring)
{
    book_wqe(g, wqe);
    sq_put(qp, wqe);
    if (ring) {
        sq_ring(qp);
    }
}

static void op_send(Guest *g, Guest *peer, In *in)
{
    uint8_t what = in_u8(in), to = in_u8(in);
    uint16_t len = in_u16(in);
    EfaIoTxWqe wqe = send_wqe(g, peer, what, to, len);
    Qp *qp = g->end[what >> 3 & 1]->qp;

    in_patch(in, &wqe, sizeof(wqe));
    post(g, qp, &wqe, !(what & 32));
}

/*
 * Register (bit 0: invalidate) the region that ALLOC_MR gave last. Bit 1: by
 * the list of OP_LISTS, else one page; bit 3 end, bit 5 don't ring.
 */
static void op_fast(Guest *g, In *in)
{
    uint8_t what = in_u8(in), low = in_u8(in);
    uint16_t len = in_u16(in);
    bool direct = what & 2;
    EfaIoTxWqe wqe = wqe_send(len, 0, 0);

    wqe.meta.ctrl1 |= what & 1 ? EFA_IO_FAST_INV : EFA_IO_FAST_REG;
    wqe.fast_reg = (EfaIoFastReg) {
        .lkey = g->fast_key | low,
        .permissions = PERM_LOCAL_WRITE,
        .flags = 12 | direct << R_FAST_REG_FLAGS_PBL_MODE_SHIFT,
        .iova = g->open[0].iova,
        .mr_length = len,
        .pbl = guest_page(g, direct ? 0 : 2),
    };
    if (what & 1) {
        memset(&wqe.fast_reg.permissions, 0, sizeof(wqe.fast_reg) - 4);
    }
    in_patch(in, &wqe, sizeof(wqe));
    post(g, g->end[what >> 3 & 1]->qp, &wqe, !(what & 32));
}

static void op_sq_ring(Guest *g, In *in)
{
    Qp *qp = g->end[in_u8(in) & 1]->qp;

    db_write(g->h, qp->sq_db, (uint16_t)(qp->sq_pc + (int8_t)in_u8(in)));
}

static void op_recv(Guest *g, In *in)
{
    uint8_t which = in_u8(in);
    End *e = g->end[which & 1];
    uint16_t len = in_u16(in);
    EfaIoRxDesc *desc = (EfaIoRxDesc *)host_ptr(g->h, e->qp->rq_ring) +
                        e->qp->rq_pc % e->qp->rq_descs;

    rq_put(e->qp, len, which & 2 ? &e->rx : &g->open[which & 1], 0, len,
           !(which & 4), !(which & 8));
    in_patch(in, desc, sizeof(*desc));
    if (which & 128) {
        rq_ring(e->qp);
    }
}

static void op_arm(Guest *g, In *in)
{
    uint8_t which = in_u8(in);
    End *e = g->end[which & 1];

    cq_arm(which & 2 ? e->rcq : e->scq);
    if (which & 4) {
        eq_arm(g->eq);
    }
}

void guest_op(Guest *g, Guest *peer, uint8_t op, In *in)
{
    uint32_t addr;

    if (!g->end[0] && op >= OP_SEND) {
        return;
    }
    switch (op) {
    case OP_ADMIN:
        op_admin(g, in, true);
        break;
    case OP_ADMIN_PUT:
        op_admin(g, in, false);
        break;
    case OP_AQ_RING:
        op_aq_ring(g, in);
        break;
    case OP_REG:
        op_reg(g, in);
        break;
    case OP_REG_ODD:
        op_reg_odd(g, in);
        break;
    case OP_REG_READ:
        op_reg_read(g, in);
        break;
    case OP_DOORBELL:
        addr = in_u32(in);
        db_write(g->h, addr, in_u32(in));
        break;
    case OP_DB_ODD:
        op_db_odd(g, in);
        break;
    case OP_MEM:
        op_mem(g, in);
        break;
    case OP_LISTS:
        op_lists(g);
        break;
    case OP_LLQ:
        op_llq(g, in);
        break;
    case OP_FAULT:
        g->h->fail_at = in_u8(in);
        break;
    case OP_DMA:
        op_dma(g, in);
        break;
    case OP_TIME:
        advance(1ll << in_u8(in) % 29);
        break;
    case OP_RESET:
        op_reset(g, in);
        break;
    case OP_RUNNING:
        op_running(g, in);
        break;
    case OP_SEND:
        op_send(g, peer, in);
        break;
    case OP_SQ_RING:
        op_sq_ring(g, in);
        break;
    case OP_RECV:
        op_recv(g, in);
        break;
    case OP_ARM:
        op_arm(g, in);
        break;
    case OP_FAST:
        op_fast(g, in);
        break;
    }
    guest_check(g);
}
