/*
 * Unit tests: the admin queue itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

static Host *half_host(void)
{
    EfaConfig cfg = test_config(1);
    Host *h = host_new_raw(&cfg, NULL, NULL);

    host_set_resp(h);
    host_reset_handshake(h);
    return h;
}

/* ---- opcodes, flags, bytes behind the request ---- */

static void test_opcodes(void)
{
    Host *h = host_new(1);
    unsigned op;

    for (op = 0; op < 256; op++) {
        EfaAqEntry cmd = CMD(EfaAqEntry, op);
        EfaAcqEntry cqe = admin(h, &cmd);
        bool counters = op >= 25 && op <= 29;   /* not of this generation */
        bool known = op >= 1 && op <= 20;
        bool fits = counters ? cqe.status == 3
                    : known ? cqe.status != 2 : cqe.status == 2;

        if (!fits) {
            g_error("opcode %u: status %u", op, cqe.status);
        }
    }
    hosts_free();
}

/* Request sizes of 5.0; what is behind them must be zero, all of it. */
static void test_trailing_bytes(void)
{
    static const uint8_t sizes[] = {
        [EFA_ADMIN_MODIFY_QP] = 32, [EFA_ADMIN_QUERY_QP] = 8,
        [EFA_ADMIN_DESTROY_QP] = 8, [EFA_ADMIN_CREATE_AH] = 24,
        [EFA_ADMIN_DESTROY_AH] = 8, [EFA_ADMIN_DEREG_MR] = 8,
        [EFA_ADMIN_CREATE_CQ] = 28, [EFA_ADMIN_DESTROY_CQ] = 8,
        [EFA_ADMIN_GET_STATS] = 20, [EFA_ADMIN_ALLOC_PD] = 4,
        [EFA_ADMIN_DEALLOC_PD] = 8, [EFA_ADMIN_ALLOC_UAR] = 4,
        [EFA_ADMIN_DEALLOC_UAR] = 8, [EFA_ADMIN_CREATE_EQ] = 24,
        [EFA_ADMIN_DESTROY_EQ] = 8, [EFA_ADMIN_ALLOC_MR] = 12,
        [EFA_ADMIN_CREATE_EVENT_COUNTER] = 16,
        [EFA_ADMIN_DESTROY_EVENT_COUNTER] = 8,
        [EFA_ADMIN_ATTACH_EVENT_COUNTER] = 20,
        [EFA_ADMIN_MODIFY_EVENT_COUNTER] = 24,
        [EFA_ADMIN_DETACH_EVENT_COUNTER] = 20,
    };
    EfaConfig cfg = test_config_of(1, 3);
    Host *h = host_new_cfg(&cfg);
    unsigned op, i;

    for (op = 0; op < G_N_ELEMENTS(sizes); op++) {
        for (i = sizes[op]; sizes[op] && i < 64; i++) {
            EfaAqEntry cmd = CMD(EfaAqEntry, op);
            EfaAcqEntry cqe;

            ((uint8_t *)&cmd)[i] = 1;
            cqe = admin(h, &cmd);
            if (cqe.status != EFA_ADMIN_MALFORMED_REQUEST ||
                cqe.extended_status != EFA_EXT_RESERVED_SET) {
                g_error("opcode %u, byte %u: status %u", op, i, cqe.status);
            }
        }
    }
    hosts_free();
}

static void test_flags(void)
{
    Host *h = host_new(1);
    unsigned op, flag;

    for (op = 1; op <= EFA_ADMIN_ALLOC_MR; op++) {
        for (flag = 1; flag < 128; flag <<= 1) {
            EfaAqEntry cmd = CMD(EfaAqEntry, op);
            uint8_t bits = flag << 1;
            bool legal = bits == R_AQ_COMMON_CTRL_DATA_MASK &&
                         (op == EFA_ADMIN_REG_MR ||
                          op == EFA_ADMIN_SET_FEATURE);
            uint8_t status;

            cmd.common.flags = bits;
            status = admin_status(h, &cmd);
            if (!legal && status != EFA_ADMIN_MALFORMED_REQUEST) {
                g_error("opcode %u, flags 0x%x: status %u", op, bits, status);
            }
        }
    }
    hosts_free();
}

/* The id is 12 bits, echoed whatever it is; its upper bits are not. */
static void test_ids(void)
{
    Host *h = host_new(1);
    unsigned id;

    for (id = 0; id < 0x10000; id += 0x333) {
        EfaAqEntry cmd = CMD(EfaAqEntry, 0);
        EfaAcqEntry cqe;

        aq_put(h, &cmd);
        ((EfaAqEntry *)host_ptr(h, h->aq))[(h->aq_prod - 1) % AQ_DEPTH]
            .common.command_id = id;
        aq_ring(h);
        g_assert_true(acq_take(h, &cqe));
        g_assert_cmphex(cqe.command, ==, id & 0xfff);
    }
    hosts_free();
}

/* A failed command answers nothing but its failure. */
static void test_failure_response(void)
{
    static const uint8_t zero[56];
    Host *h = host_new(1);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_DEALLOC_PD, .id = 5);
    EfaAcqEntry cqe = admin(h, &cmd);

    g_assert_cmpuint(cqe.status, ==, 5);
    g_assert_cmpuint(cqe.extended_status, ==, EFA_EXT_UNKNOWN_ID);
    g_assert_cmpmem(cqe.response, 56, zero, 56);
    hosts_free();
}

/* ---- rings ---- */

/* Past the wrap of the 16-bit counters, one at a time and in bursts. */
static void test_wrap(void)
{
    Host *h = host_new(1);
    unsigned done = 0, burst = 1, i;

    while (done < 66000 + 40) {
        uint16_t ids[AQ_DEPTH];

        for (i = 0; i < burst; i++) {
            EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_CREATE_EVENT_COUNTER);

            aq_put(h, &cmd);
            ids[i] = h->cmd_id;
        }
        aq_ring(h);
        for (i = 0; i < burst; i++) {
            EfaAcqEntry cqe;

            g_assert_true(acq_take(h, &cqe));
            g_assert_cmphex(cqe.command, ==, ids[i]);
            g_assert_cmpuint(cqe.status, ==, 3);
            done++;
            g_assert_cmphex(cqe.sq_head_indx, ==, (uint16_t)done);
        }
        {
            EfaAcqEntry cqe;

            g_assert_false(burst < AQ_DEPTH && acq_take(h, &cqe));
        }
        burst = burst % AQ_DEPTH + 1;
    }
    hosts_free();
}

/* What is announced but not written is not executed, nor what is behind. */
static void test_phase(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAqEntry *ring = host_ptr(h, h->aq);
    EfaAcqEntry cqe;

    aq_put(h, &cmd);
    aq_put(h, &cmd);
    aq_put(h, &cmd);
    ring[1].common.flags ^= 1;
    aq_ring(h);
    g_assert_true(acq_take(h, &cqe));
    g_assert_false(acq_take(h, &cqe));
    /* the doorbell again, still wrong; then written, then rung */
    aq_ring(h);
    g_assert_false(acq_take(h, &cqe));
    ring[1].common.flags ^= 1;
    aq_ring(h);
    g_assert_true(acq_take(h, &cqe));
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmpuint(cqe.sq_head_indx, ==, 3);
    hosts_free();
}

static void test_doorbells(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;
    unsigned i, before;

    /* unchanged: nothing */
    aq_ring(h);
    g_assert_false(acq_take(h, &cqe));
    /* upper half ignored (14, 9) */
    aq_put(h, &cmd);
    reg_write(h, A_AQ_PROD_DB, 0xabcd0000 | h->aq_prod);
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmpuint(cqe.status, ==, 0);
    /* several commands, one doorbell */
    for (i = 0; i < AQ_DEPTH; i++) {
        aq_put(h, &cmd);
    }
    aq_ring(h);
    for (i = 0; i < AQ_DEPTH; i++) {
        g_assert_true(acq_take(h, &cqe));
    }
    /* a jump by more than the ring: no more than it is processed */
    before = efa_native_guest_errors();
    reg_write(h, A_AQ_PROD_DB, h->aq_prod + 1000);
    g_assert_cmpuint(efa_native_guest_errors(), >, before);
    for (i = 0; acq_take(h, &cqe); i++) {
        g_assert_cmpuint(i, <, AQ_DEPTH);
    }
    /* and the device is still there */
    host_probe(h);
    alloc_pd_ok(h);
    hosts_free();
}

/* A deep queue, filled at once: some now, the rest soon, all in order. */
static void test_deep(void)
{
    const unsigned depth = 1024;
    Host *h = half_host();
    uint64_t aq = host_alloc(h, depth * 64, 4096);
    uint64_t acq = host_alloc(h, depth * 64, 4096);
    EfaAqEntry *cmd = host_ptr(h, aq);
    EfaAcqEntry *cqe = host_ptr(h, acq);
    unsigned i, lap;

    reg_write_pair(h, A_AQ_BASE_LO, aq);
    reg_write(h, A_AQ_CAPS, 64 << 16 | depth);
    reg_write_pair(h, A_ACQ_BASE_LO, acq);
    reg_write(h, A_ACQ_CAPS, 64 << 16 | depth);
    for (lap = 0; lap < 3; lap++) {
        for (i = 0; i < depth; i++) {
            cmd[i] = CMD(EfaAqEntry, EFA_ADMIN_CREATE_EVENT_COUNTER);
            cmd[i].common.command_id = i;
            cmd[i].common.flags = !(lap & 1);
        }
        reg_write(h, A_AQ_PROD_DB, (lap + 1) * depth);
        settle();
        for (i = 0; i < depth; i++) {
            g_assert_cmpuint(cqe[i].command, ==, i);
            g_assert_cmpuint(cqe[i].flags, ==, !(lap & 1));
            g_assert_cmpuint(cqe[i].sq_head_indx, ==, lap * depth + i + 1);
        }
    }
    /* a reset with most of them to come: they never do */
    for (i = 0; i < depth; i++) {
        cmd[i].common.flags = 0;
    }
    reg_write(h, A_AQ_PROD_DB, 4 * depth);
    reg_write(h, A_DEV_CTL, 1);
    h->dma_seen = false;
    settle();
    g_assert_false(h->dma_seen);
    hosts_free();
}

/* 13.1: configurations that keep the queues off */
static void test_bad_setup(void)
{
    static const struct {
        const char *name;
        uint64_t base;
        uint32_t aq, acq;
        bool acq_first;
        bool works;
    } rows[] = {
        { "good", HOST_DMA_BASE + 0x10000, 0x00400020, 0x00400020, false,
          true },
        { "AQ depth 0", HOST_DMA_BASE + 0x10000, 0x00400000, 0x00400020 },
        { "AQ depth 33", HOST_DMA_BASE + 0x10000, 0x00400021, 0x00400040 },
        { "AQ depth 8192", HOST_DMA_BASE + 0x10000, 0x00402000, 0x00402000 },
        { "AQ entries of 128", HOST_DMA_BASE + 0x10000, 0x00800020,
          0x00400020 },
        { "AQ entries of 0", HOST_DMA_BASE + 0x10000, 0x00000020,
          0x00400020 },
        { "ACQ depth 0", HOST_DMA_BASE + 0x10000, 0x00400020, 0x00400000 },
        { "ACQ entries of 32", HOST_DMA_BASE + 0x10000, 0x00400020,
          0x00200020 },
        { "ACQ smaller", HOST_DMA_BASE + 0x10000, 0x00400020, 0x00400010 },
        { "ACQ smaller, set up first", HOST_DMA_BASE + 0x10000, 0x00400020,
          0x00400010, true },
        { "ACQ larger", HOST_DMA_BASE + 0x10000, 0x00400020, 0x00400040,
          false, true },
        { "vector 32 of 32", HOST_DMA_BASE + 0x10000, 0x00400020,
          0x20400020 },
        { "vector 31 of 32", HOST_DMA_BASE + 0x10000, 0x00400020, 0x1f400020,
          false, true },
        { "no base", 0, 0x00400020, 0x00400020 },
        { "base in mid-word", HOST_DMA_BASE + 0x10004, 0x00400020,
          0x00400020 },
        { "end beyond 48 bits", (1ull << 48) - 1024, 0x00400020,
          0x00400020 },
        { "base beyond 48 bits", 1ull << 48, 0x00400020, 0x00400020 },
        { "base wraps", ~0xfffull, 0x00400020, 0x00400020 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        Host *h = half_host();
        uint64_t acq_base = rows[i].base ? rows[i].base + 0x10000 : 0;
        EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
        unsigned step, before = efa_native_guest_errors();
        bool done;

        h->aq = HOST_DMA_BASE + 0x10000;
        h->acq = HOST_DMA_BASE + 0x20000;
        for (step = 0; step < 2; step++) {
            if (rows[i].acq_first == !step) {
                reg_write_pair(h, A_ACQ_BASE_LO, acq_base);
                reg_write(h, A_ACQ_CAPS, rows[i].acq);
            } else {
                reg_write_pair(h, A_AQ_BASE_LO, rows[i].base);
                reg_write(h, A_AQ_CAPS, rows[i].aq);
            }
        }
        aq_put(h, &cmd);
        h->dma_seen = false;
        aq_ring(h);
        done = ((EfaAcqEntry *)host_ptr(h, h->acq))->flags & 1;
        if (done != rows[i].works || h->dma_seen != rows[i].works) {
            g_error("%s: %s", rows[i].name, done ? "works" : "does not work");
        }
        g_assert_cmpint(efa_native_guest_errors() == before, ==,
                        rows[i].works);
        /* refused at once, not found out later */
        g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK,
                        ==, 0);
        hosts_free();
    }
}

/* Every order of LO and HI; a live queue moves only with its CAPS (14, 8). */
static void test_relatch(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;

    reg_write_pair(h, A_AQ_BASE_LO, 0x1000);
    reg_write_pair(h, A_ACQ_BASE_LO, 0x1000);
    alloc_pd_ok(h);
    /* once more from the start: counters and phases begin anew */
    h->aq = 0;
    h->acq = 0;
    host_admin_init(h);
    aq_put(h, &cmd);
    aq_ring(h);
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmpuint(cqe.sq_head_indx, ==, 1);
    hosts_free();
}

/* ---- interrupts ---- */

static void test_intr_mask(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;
    unsigned i;

    /* polled: complete without an interrupt */
    reg_write(h, A_INTR_MASK, 1);
    for (i = 0; i < 3; i++) {
        aq_put(h, &cmd);
        aq_ring(h);
        g_assert_true(acq_take(h, &cqe));
    }
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    /* one for all that was missed; and none for nothing */
    reg_write(h, A_INTR_MASK, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 1);
    reg_write(h, A_INTR_MASK, 0);
    reg_write(h, A_INTR_MASK, 0xfffffffe);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    reg_write(h, A_INTR_MASK, 1);
    reg_write(h, A_INTR_MASK, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    /* only bit 0 counts; a reset unmasks */
    reg_write(h, A_INTR_MASK, 1);
    aq_put(h, &cmd);
    aq_ring(h);
    host_reset_handshake(h);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    host_admin_init(h);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    alloc_pd_ok(h);
    hosts_free();
}

/* ---- the bus ---- */

/* 14, 42: nothing while mastering is off, everything when it is on again */
static void test_bus_master(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;
    unsigned i;

    h->dma_on = false;
    for (i = 0; i < 5; i++) {
        aq_put(h, &cmd);
        aq_ring(h);
    }
    g_assert_false(acq_take(h, &cqe));
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    h->dma_on = true;
    efa_core_dma_changed(h->core);
    for (i = 0; i < 5; i++) {
        g_assert_true(acq_take(h, &cqe));
        g_assert_cmpuint(cqe.status, ==, 0);
    }
    g_assert_cmpuint(host_irqs(h, 0), ==, 5);
    g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK, ==,
                    0);
    /* told for nothing: nothing happens */
    efa_core_dma_changed(h->core);
    g_assert_false(acq_take(h, &cqe));
    hosts_free();
}

/* A ring that faults: FATAL_ERROR, told once, until the next reset. */
static void test_ring_faults(void)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        Host *h = host_new(1);
        EfaFeatureCmd set = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                                .feature_id = EFA_ADMIN_AENQ_CONFIG);
        EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
        EfaAcqEntry cqe;
        EfaAenqEntry a;

        set.raw[4] = 0x1e;
        g_assert_cmpuint(admin_status(h, &set), ==, 0);
        aq_put(h, &cmd);
        if (i == 0) {
            host_fault(h, FAULT_READ, h->aq + 64, 64);
        } else {
            /* the body of the entry, and only its first word */
            host_fault(h, FAULT_WRITE, h->acq + 64 + (i == 1 ? 32 : 0), 4);
        }
        aq_ring(h);
        host_fault(h, 0, 0, 0);
        g_assert_false(acq_take(h, &cqe));
        g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK,
                        !=, 0);
        g_assert_true(aenq_take(h, &a));
        g_assert_cmpuint(a.group, ==, EFA_ADMIN_FATAL_ERROR);
        g_assert_cmpuint(a.syndrome, ==, 0);
        g_assert_false(aenq_take(h, &a));
        /* later commands are answered, with status 6 */
        aq_put(h, &cmd);
        aq_ring(h);
        if (i) {
            h->acq_cons++;      /* that entry is lost */
        }
        g_assert_true(acq_take(h, &cqe));
        g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_UNKNOWN_ERROR);
        host_reset_handshake(h);
        g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK,
                        ==, 0);
        host_admin_init(h);
        alloc_pd_ok(h);
        hosts_free();
    }
}

/* Reset with commands waiting: they are forgotten. */
static void test_reset_waiting(void)
{
    Host *h = host_new(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;

    h->dma_on = false;
    aq_put(h, &cmd);
    aq_ring(h);
    reg_write(h, A_DEV_CTL, 1);
    h->dma_on = true;
    h->dma_seen = false;
    efa_core_dma_changed(h->core);
    g_assert_false(h->dma_seen);
    host_set_resp(h);
    reg_write(h, A_DEV_CTL, 0);
    g_assert_false(acq_take(h, &cqe));
    host_admin_init(h);
    g_assert_cmpuint(alloc_pd_ok(h), ==, 0);
    hosts_free();
}

/* Random commands: always answered, whatever they hold. */
static void test_fuzz(void)
{
    Host *h = host_new(1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(815);
    unsigned i, j;

    for (i = 0; i < 20000; i++) {
        EfaAqEntry cmd = CMD(EfaAqEntry, g_rand_int_range(rand, 0, 24));
        unsigned n = g_rand_int_range(rand, 0, 12);

        for (j = 0; j < n; j++) {
            unsigned at = g_rand_int_range(rand, 3, 64);

            ((uint8_t *)&cmd)[at] = g_rand_int_range(rand, 0, 3)
                                    ? g_rand_int(rand) % 9
                                    : g_rand_int(rand);
        }
        cmd.common.flags &= g_rand_int_range(rand, 0, 4) ? 7 : 0xff;
        g_assert_cmpuint(admin_status(h, &cmd), <=, 7);
        if (g_rand_int_range(rand, 0, 50) == 0) {
            db_write(h, g_rand_int(rand) & 0xffc, g_rand_int(rand));
        }
    }
    hosts_free();
}

/* ---- versions of the protocol (12.4) ---- */

static void test_versions(void)
{
    unsigned version;

    g_assert_cmphex(admin_crc("123456789", 9), ==, 0xb4c8);
    for (version = 1; version <= 3; version++) {
        EfaConfig cfg = test_config(1);
        EfaIoTxWqe wqe;
        Host *h;
        End *e;

        cfg.admin_version = version;
        h = host_new_cfg(&cfg);
        g_assert_cmphex(reg_read(h, A_VERSION), ==, version);
        /* all that it takes to send, and more than a lap of the rings */
        e = end_new(h, EFA_QP_TYPE_SRD);
        wqe = wqe_send(1, create_ah_ok(h, e->pd, test_gid(1)), e->qp->num);
        wqe_inline(&wqe, "x", 1);
        rq_post(e->qp, 1, &e->rx, 0, 8);
        sq_post(e->qp, &wqe);
        g_assert_cmpuint(cq_next(e->scq).status, ==, 0);
        while (h->aq_prod < 3 * AQ_DEPTH) {
            reg_buf(h, e->pd, 5 * HOST_PAGE, 0);
        }
        g_assert_cmpuint(id_cmd(h, EFA_ADMIN_DEALLOC_PD, e->pd), ==, 7);
        hosts_free();
    }
}

/* A command of 128 bytes that is damaged, or has more than we know. */
static void test_bad_wide(void)
{
    EfaConfig cfg = test_config(1);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAqEntryV2 *slot;
    EfaAcqEntry cqe;
    unsigned i;
    Host *h;

    cfg.admin_version = 3;
    h = host_new_cfg(&cfg);
    for (i = 0; i < 4; i++) {
        slot = (EfaAqEntryV2 *)host_ptr(h, h->aq) + h->aq_prod;
        aq_put(h, &cmd);
        if (i < 2) {
            slot->checksum ^= i ? 0x8000 : 1;
        } else {
            slot->payload[i == 2 ? 60 : 115] = 1;
            slot->checksum = 0;
            slot->checksum = admin_crc(slot, sizeof(*slot));
        }
        aq_ring(h);
        g_assert_true(acq_take(h, &cqe));
        g_assert_cmphex(cqe.command, ==, h->cmd_id);
        g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_MALFORMED_REQUEST);
    }
    alloc_pd_ok(h);
    hosts_free();
}

/* The size of entries is the version's. */
static void test_entry_sizes(void)
{
    unsigned version;

    for (version = 1; version <= 3; version++) {
        EfaConfig cfg = test_config(1);
        Host *h;

        cfg.admin_version = version;
        h = host_new_cfg(&cfg);
        reg_write(h, A_AQ_CAPS, 128 << 16 | AQ_DEPTH);
        g_assert_cmpint(h->core->aq.live, ==, version == 3);
        reg_write(h, A_AQ_CAPS, 64 << 16 | AQ_DEPTH);
        g_assert_true(h->core->aq.live);
        reg_write(h, A_AQ_CAPS, 96 << 16 | AQ_DEPTH);
        g_assert_false(h->core->aq.live);
        hosts_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/admin/opcodes", test_opcodes);
    g_test_add_func("/admin/trailing-bytes", test_trailing_bytes);
    g_test_add_func("/admin/flags", test_flags);
    g_test_add_func("/admin/ids", test_ids);
    g_test_add_func("/admin/failure-response", test_failure_response);
    g_test_add_func("/admin/wrap", test_wrap);
    g_test_add_func("/admin/phase", test_phase);
    g_test_add_func("/admin/doorbells", test_doorbells);
    g_test_add_func("/admin/deep", test_deep);
    g_test_add_func("/admin/bad-setup", test_bad_setup);
    g_test_add_func("/admin/relatch", test_relatch);
    g_test_add_func("/admin/intr-mask", test_intr_mask);
    g_test_add_func("/admin/bus-master", test_bus_master);
    g_test_add_func("/admin/ring-faults", test_ring_faults);
    g_test_add_func("/admin/reset-waiting", test_reset_waiting);
    g_test_add_func("/admin/fuzz", test_fuzz);
    g_test_add_func("/admin/versions", test_versions);
    g_test_add_func("/admin/bad-wide", test_bad_wide);
    g_test_add_func("/admin/entry-sizes", test_entry_sizes);
    return g_test_run();
}
