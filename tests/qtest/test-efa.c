/*
 * qtest tier: the device at work: probe, reset, messages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define DEVICE      "-device efa,id=efa0,addr=4,gid=fe80::1"
#define SECOND      (1000 * 1000 * 1000ll)
#define MSEC        (1000 * 1000ll)

/* What the last run of a test left would hide what this one does. */
static void fill_tx(End *end, uint8_t seed, uint32_t len)
{
    uint8_t data[DRV_PAGE];
    unsigned i;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = seed + i * 7;
    }
    vm_write(end->e->vm, end->tx, data, len);
}

static void assert_rx(End *from, End *to, uint32_t len)
{
    uint8_t sent[DRV_PAGE], got[DRV_PAGE];
    uint32_t i;

    vm_read(from->e->vm, from->tx, sent, sizeof(sent));
    vm_read(to->e->vm, to->rx, got, sizeof(got));
    g_assert_cmpmem(sent, len, got, len);
    for (i = len; i < sizeof(got); i++) {
        g_assert_cmphex(got[i], ==, 0);
    }
}

static void assert_sent(End *end, uint16_t req_id, EfaCompStatus status)
{
    EfaIoCdesc done = cq_next(end->e, &end->scq);

    g_assert_cmpuint(done.status, ==, status);
    g_assert_cmpuint(done.req_id, ==, req_id);
    g_assert_cmpuint(done.qp_num, ==, end->qpn);
    g_assert_cmpuint(FIELD_EX8(done.flags, CDESC_FLAGS, Q_TYPE), ==,
                     EFA_IO_SEND_QUEUE);
}

static void assert_received(End *end, uint16_t req_id, const End *from,
                            uint32_t len)
{
    EfaIoCdesc done = cq_next(end->e, &end->rcq);

    g_assert_cmpuint(done.status, ==, EFA_IO_COMP_STATUS_OK);
    g_assert_cmpuint(done.req_id, ==, req_id);
    g_assert_cmpuint(done.qp_num, ==, end->qpn);
    g_assert_cmpuint(done.src_qp_num, ==, from->qpn);
    g_assert_cmpuint(done.length, ==, len);
    g_assert_cmpuint(FIELD_EX8(done.flags, CDESC_FLAGS, Q_TYPE), ==,
                     EFA_IO_RECV_QUEUE);
}

/* A device that works can send a message to itself. */
static void assert_works(Efa *e)
{
    End end = end_new(e, NULL);
    uint16_t ah = end_ah(&end, gid_of(1));

    fill_tx(&end, 3, 1000);
    end_recv(&end, 40);
    end_send(&end, 41, ah, end.qpn, 1000);
    assert_received(&end, 40, &end, 1000);
    assert_sent(&end, 41, EFA_IO_COMP_STATUS_OK);
    assert_rx(&end, &end, 1000);
}

/* ---- probe ---- */

static EfaAcqEntry get_feature(Efa *e, uint8_t id)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_GET_FEATURE,
                            .feature_id = id);

    return admin(e, &cmd);
}

#define GET_FEATURE(e, id, attr)                                    \
    do {                                                            \
        EfaAcqEntry done_ = get_feature((e), (id));                 \
                                                                    \
        g_assert_cmpuint(done_.status, ==, EFA_ADMIN_SUCCESS);      \
        memcpy(&(attr), done_.response, sizeof(attr));              \
    } while (0)

static void check_attributes(Efa *e)
{
    EfaGid gid = gid_of(1);
    EfaDeviceAttr device;
    EfaQueueAttr1 queue;
    EfaNetworkAttr network;
    EfaEventQueueAttr event;
    EfaHwHints hints, no_hints = { };

    GET_FEATURE(e, EFA_ADMIN_DEVICE_ATTR, device);
    g_assert_cmphex(device.supported_features & 0xfe, ==, 0xfe);
    g_assert_cmphex(device.page_size_cap & (1u << 12), !=, 0);
    g_assert_cmpuint(device.admin_api_version, >=, 1);
    g_assert_cmpuint(device.db_bar, ==, 4);
    GET_FEATURE(e, EFA_ADMIN_QUEUE_ATTR_1, queue);
    g_assert_cmpuint(queue.max_qp, ==, 256);
    g_assert_cmpuint(queue.sub_cqs_per_cq, ==, 1);
    g_assert_cmpuint((uint64_t)queue.max_qp * queue.max_llq_size, <=,
                     e->bar_size[2]);
    g_assert_cmpuint(queue.max_sq_depth, <=,
                     queue.max_llq_size / EFA_IO_WQE_SIZE);
    if (!(device.supported_features & 1u << 9)) {
        g_assert_cmpuint(get_feature(e, 9).status, ==,
                         EFA_ADMIN_UNSUPPORTED_OPCODE);
    }
    GET_FEATURE(e, EFA_ADMIN_NETWORK_ATTR, network);
    g_assert_cmpmem(network.addr, 16, gid.raw, 16);
    g_assert_cmpuint(network.mtu, ==, 8928);
    GET_FEATURE(e, EFA_ADMIN_EVENT_QUEUE_ATTR, event);
    g_assert_cmpuint(event.max_eq, ==, 31);
    g_assert_cmpuint(event.event_bitmask, ==, 1);
    GET_FEATURE(e, EFA_ADMIN_HW_HINTS, hints);
    g_assert_cmpmem(&hints, sizeof(hints), &no_hints, sizeof(no_hints));
    g_assert_cmpuint(get_feature(e, EFA_ADMIN_HOST_INFO).status, ==,
                     EFA_ADMIN_UNSUPPORTED_OPCODE);
}

static void configure_aenq(Efa *e)
{
    EfaAenqConfig aenq;
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);

    GET_FEATURE(e, EFA_ADMIN_AENQ_CONFIG, aenq);
    g_assert_cmphex(aenq.supported_groups & 0x1e, ==, 0x1e);
    g_assert_cmphex(aenq.enabled_groups, ==, 0);
    aenq = (EfaAenqConfig) { .enabled_groups = 0x1e };
    memcpy(cmd.raw, &aenq, sizeof(aenq));
    admin_ok(e, &cmd, NULL, 0);
    GET_FEATURE(e, EFA_ADMIN_AENQ_CONFIG, aenq);
    g_assert_cmphex(aenq.enabled_groups, ==, 0x1e);
}

static void set_host_info(Efa *e)
{
    EfaHostInfo info = { .os_dist_str = "6.12", .spec_ver = 0x0200 };
    uint64_t buffer = efa_alloc(e, sizeof(info));
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_HOST_INFO,
                            .control_buffer = {
                                .length = sizeof(info),
                                .mem_addr_low = buffer,
                                .mem_addr_high = buffer >> 32,
                            });

    cmd.common.flags = R_AQ_COMMON_CTRL_DATA_MASK;
    vm_write(e->vm, buffer, &info, sizeof(info));
    admin_ok(e, &cmd, NULL, 0);
}

/* Another status than 0 and 3 ends the driver's probe. */
static void get_stats(Efa *e)
{
    unsigned type;

    for (type = 0; type <= 5; type++) {
        EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                                 .type = type);
        EfaAcqEntry done = admin(e, &cmd);
        unsigned i;

        g_assert_cmpuint(done.status, ==,
                         type == 5 ? EFA_ADMIN_UNSUPPORTED_OPCODE
                                   : EFA_ADMIN_SUCCESS);
        for (i = 0; i < sizeof(done.response); i++) {
            g_assert_cmphex(done.response[i], ==, 0);
        }
    }
}

static void test_probe(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    unsigned i;
    Eq eq;

    efa_probe(e);
    g_assert_cmpuint(e->rr_seq, ==, 9);
    check_attributes(e);
    configure_aenq(e);
    for (i = 1; i < DRV_VECTORS; i++) {
        eq = eq_create(e, i);
        eq_arm(e, &eq);
        g_assert_cmpint(eq_take(e, &eq), ==, -1);
        assert_no_irq(e, i);
    }
    set_host_info(e);
    get_stats(e);
    /* once more around the ring */
    for (i = 0; i < AQ_DEPTH; i++) {
        EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);

        admin_ok(e, &cmd, NULL, 0);
    }
    assert_no_irq(e, 0);
    efa_free(e);
    vm_stop(vm);
}

static void test_polled(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);

    e->polled = true;
    efa_probe(e);
    check_attributes(e);
    assert_works(e);
    assert_no_irq(e, 0);
    efa_free(e);
    vm_stop(vm);
}

/* ---- interrupts ---- */

static void test_msix_mask(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    uint64_t control;
    EfaAcqEntry done;

    efa_probe(e);
    control = e->msix_table + MSIX_VECTOR_CONTROL;
    g_assert_cmphex(vm_load(vm, e->msix_pba, 4), ==, 0);

    /* one vector */
    vm_store(vm, control, 4, 1);
    aq_post(e, &cmd);
    wait_until(acq_take(e, &done));
    wait_until(vm_load(vm, e->msix_pba, 4) == 1);
    assert_no_irq(e, 0);
    vm_store(vm, control, 4, 0);
    assert_irq(e, 0);
    g_assert_cmphex(vm_load(vm, e->msix_pba, 4), ==, 0);

    /* all of them */
    pci_store(vm, e->at, e->msix + MSIX_CONTROL, 2,
              MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK_ALL);
    cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    aq_post(e, &cmd);
    wait_until(acq_take(e, &done));
    wait_until(vm_load(vm, e->msix_pba, 4) == 1);
    assert_no_irq(e, 0);
    pci_store(vm, e->at, e->msix + MSIX_CONTROL, 2, MSIX_CONTROL_ENABLE);
    assert_irq(e, 0);

    /* MSI-X off: no message, no INTx, no harm */
    pci_store(vm, e->at, e->msix + MSIX_CONTROL, 2, 0);
    cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    aq_post(e, &cmd);
    wait_until(acq_take(e, &done));
    assert_no_irq(e, 0);
    pci_store(vm, e->at, e->msix + MSIX_CONTROL, 2, MSIX_CONTROL_ENABLE);
    cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    admin_ok(e, &cmd, NULL, 0);
    efa_free(e);
    vm_stop(vm);
}

static void test_bus_master(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry done;

    efa_probe(e);
    efa_set_command(e, PCI_COMMAND_MEMORY);
    g_assert_false(reg_answers(e));
    aq_post(e, &cmd);
    assert_no_irq(e, 0);
    g_assert_false(acq_take(e, &done));
    g_assert_cmphex(reg_load(e, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK, ==,
                    0);
    efa_set_command(e, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_irq(e, 0);
    g_assert_true(acq_take(e, &done));
    g_assert_cmpuint(done.status, ==, EFA_ADMIN_SUCCESS);
    g_assert_true(reg_answers(e));
    assert_works(e);
    efa_free(e);
    vm_stop(vm);
}

/* ---- reset ---- */

/* All guest memory of a device, but for what register reads write. */
static GBytes *snapshot(Efa *e)
{
    size_t len = e->used - e->mem;
    uint8_t *data = g_malloc(len);

    vm_read(e->vm, e->mem, data, len);
    memset(data + (e->resp - e->mem), 0, DRV_PAGE);
    return g_bytes_new_take(data, len);
}

static void assert_untouched(Efa *e, GBytes *before)
{
    GBytes *after = snapshot(e);

    g_assert_true(g_bytes_equal(before, after));
    g_bytes_unref(after);
}

/*
 * A command that waits for bus mastering, a send that waits for a receive,
 * one that waits for a device that is not there, receives, an armed CQ and
 * an armed EQ: none of it outlives the moment when RESET_IN_PROGRESS is seen.
 */
static void test_reset_outstanding(void)
{
    char *dir = dir_new();
    Vm *vm = vm_start(DEVICE ",fabric=%s", dir);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    EfaIoCdesc cdesc;
    End idle, busy;
    GBytes *before;
    unsigned v;
    Eq eq;

    efa_probe(e);
    eq = eq_create(e, 1);
    eq_arm(e, &eq);
    idle = end_new(e, NULL);
    busy = end_new(e, &eq);
    fill_tx(&busy, 9, DRV_PAGE);
    end_send(&busy, 1, end_ah(&busy, gid_of(1)), idle.qpn, 64);
    end_send(&busy, 2, end_ah(&busy, gid_of(0x99)), idle.qpn, 64);
    end_recv(&busy, 3);
    cq_arm(e, &busy.rcq);
    vm_clock_step(vm, 50 * MSEC);
    g_assert_false(cq_poll(e, &busy.scq, &cdesc));

    efa_set_command(e, PCI_COMMAND_MEMORY);
    aq_post(e, &cmd);
    reg_write(e, A_DEV_CTL, 1);
    g_assert_cmphex(reg_load(e, A_DEV_STS), ==, 0x9);
    before = snapshot(e);
    efa_set_command(e, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_false(reg_answers(e));

    /* what the driver's processes may still do */
    end_recv(&idle, 4);
    end_send(&busy, 5, 0, idle.qpn, 64);
    cq_arm(e, &busy.rcq);
    eq_arm(e, &eq);
    reg_write(e, A_AQ_PROD_DB, e->aq_prod);
    vm_clock_step(vm, 10 * SECOND);
    efa_settle(e);
    /* less the two work requests that we have just written ourselves */
    vm_write(vm, idle.rq_ring, (uint8_t[16]) { 0 }, 16);
    assert_untouched(e, before);
    for (v = 0; v < DRV_VECTORS; v++) {
        assert_no_irq(e, v);
    }
    g_bytes_unref(before);

    efa_set_resp(e);
    g_assert_cmphex(reg_read(e, A_DEV_STS), ==, 0x9);
    reg_write(e, A_DEV_CTL, 0);
    g_assert_cmphex(reg_read(e, A_DEV_STS) & 0x9, ==, 0x1);
    efa_admin_init(e);
    assert_works(e);
    efa_free(e);
    vm_stop(vm);
    dir_free(dir);
}

/*
 * 3.2: a reset stops interrupts, too, one that was raised just before it
 * included: the driver may have given the vector away.
 */
static void test_reset_irq(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);

    efa_probe(e);
    cmd.common.flags = 1;
    vm_write(vm, e->aq, &cmd, sizeof(cmd));
    vm_store_with_next(vm, e->bar[0] + A_AQ_PROD_DB, 4, 1);
    vm_store_with_next(vm, e->bar[0] + A_DEV_CTL, 4, 1);
    g_assert_cmphex(reg_load(e, A_DEV_STS), ==, 0x9);
    assert_no_irq(e, 0);
    efa_free(e);
    vm_stop(vm);
}

/* The device as power-on leaves it; then bring it up again. */
static void assert_reset_and_recovers(Efa *e, End *old)
{
    EfaQpHandleCmd query = CMD(EfaQpHandleCmd, EFA_ADMIN_QUERY_QP,
                               .qp_handle = old->qp_handle);
    GBytes *before;
    unsigned i;

    g_assert_cmphex(pci_load(e->vm, e->at, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(pci_load(e->vm, e->at, e->msix + MSIX_CONTROL, 2) &
                    (MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK_ALL), ==, 0);
    for (i = 0; i < 6; i++) {
        g_assert_cmphex(pci_load(e->vm, e->at, PCI_BAR0 + 4 * i, 4) & ~15u,
                        ==, 0);
    }
    efa_place_bars(e);
    efa_set_command(e, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(reg_load(e, A_DEV_STS), ==, 0x1);
    g_assert_cmphex(vm_load(e->vm, e->msix_table + MSIX_VECTOR_CONTROL, 4),
                    ==, 1);
    g_assert_false(reg_answers(e));
    before = snapshot(e);
    vm_clock_step(e->vm, SECOND);
    efa_settle(e);
    assert_untouched(e, before);
    g_bytes_unref(before);
    efa_probe(e);
    g_assert_cmpuint(admin(e, &query).status, ==,
                     EFA_ADMIN_ILLEGAL_PARAMETER);
    assert_works(e);
}

static void test_flr(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    unsigned exp;
    End end;

    efa_probe(e);
    end = end_new(e, NULL);
    /* waits for a receive */
    end_send(&end, 1, end_ah(&end, gid_of(1)), end.qpn, 64);
    exp = pci_capability(vm, e->at, PCI_CAP_ID_EXP);
    g_assert_cmpuint(exp, !=, 0);
    /* capable of it; and Initiate, in Device Control */
    g_assert_cmphex(pci_load(vm, e->at, exp + 4, 4) & 1u << 28, !=, 0);
    pci_store(vm, e->at, exp + 8, 2, 1u << 15);
    g_assert_cmphex(pci_load(vm, e->at, exp + 8, 2) & 1u << 15, ==, 0);
    assert_reset_and_recovers(e, &end);
    efa_free(e);
    vm_stop(vm);
}

static void test_system_reset(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    End end;

    efa_probe(e);
    end = end_new(e, NULL);
    end_send(&end, 1, end_ah(&end, gid_of(1)), end.qpn, 64);
    vm_qmp_ok(vm, "system_reset", NULL);
    vm_qmp_event(vm, "RESET");
    assert_reset_and_recovers(e, &end);
    efa_free(e);
    vm_stop(vm);
}

/*
 * DMA never reaches a register, be it the device's own: not a reset by way of
 * a register read's answer, nor doorbells by way of completions.
 */
static void test_dma_to_device(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    uint64_t resp;

    efa_probe(e);
    resp = e->resp;
    e->resp = e->bar[0] + A_DEV_CTL - 4;
    efa_set_resp(e);
    reg_write(e, A_MMIO_REG_READ, A_DEV_STS << 16 | 1);
    e->resp = resp;
    g_assert_cmphex(reg_load(e, A_DEV_STS) & 9, ==, 1);
    efa_set_resp(e);
    g_assert_true(reg_answers(e));

    reg_write(e, A_ACQ_BASE_LO, e->bar[0]);
    reg_write(e, A_ACQ_CAPS, 0x00400020);
    aq_post(e, &cmd);
    assert_no_irq(e, 0);
    g_assert_cmphex(reg_load(e, A_DEV_STS) & 0x29, ==,
                    R_DEV_STS_READY_MASK | R_DEV_STS_FATAL_ERROR_MASK);
    /* which a reset cures */
    reg_write(e, A_DEV_CTL, 1);
    efa_set_resp(e);
    reg_write(e, A_DEV_CTL, 0);
    g_assert_cmphex(reg_read(e, A_DEV_STS) & 0x29, ==, 1);
    efa_admin_init(e);
    assert_works(e);
    efa_free(e);
    vm_stop(vm);
}

/* A stopped machine's memory stands still; what was asked is done later. */
static void test_stop(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaIoCdesc cdesc;
    End end;

    efa_probe(e);
    end = end_new(e, NULL);
    fill_tx(&end, 1, 100);
    end_recv(&end, 1);
    vm_qmp_ok(vm, "stop", NULL);
    end_send(&end, 2, end_ah(&end, gid_of(1)), end.qpn, 100);
    efa_settle(e);
    g_assert_false(cq_poll(e, &end.rcq, &cdesc));
    vm_qmp_ok(vm, "cont", NULL);
    assert_received(&end, 1, &end, 100);
    assert_sent(&end, 2, EFA_IO_COMP_STATUS_OK);
    efa_free(e);
    vm_stop(vm);
}

/* ---- messages ---- */

static void test_loopback(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    unsigned round;
    uint16_t ah;
    End end;
    Eq eq;

    efa_probe(e);
    eq = eq_create(e, 1);
    eq_arm(e, &eq);
    end = end_new(e, &eq);
    ah = end_ah(&end, gid_of(1));
    /* more than one turn of the send queue, the receive queue and the CQs */
    for (round = 0; round < CQ_DEPTH + 3; round++) {
        uint32_t len = 1 + round * 61 % DRV_PAGE;

        cq_arm(e, &end.rcq);
        vm_write(vm, end.rx, (uint8_t[DRV_PAGE]) { 0 }, DRV_PAGE);
        fill_tx(&end, round, len);
        end_recv(&end, round);
        g_assert_false(efa_irq_take(e, 1));
        end_send(&end, 1000 + round, ah, end.qpn, len);
        assert_received(&end, round, &end, len);
        assert_sent(&end, 1000 + round, EFA_IO_COMP_STATUS_OK);
        assert_rx(&end, &end, len);
        /* the completion event */
        assert_irq(e, 1);
        g_assert_cmpint(eq_take(e, &eq), ==, end.rcq.idx);
        g_assert_cmpint(eq_take(e, &eq), ==, -1);
        end.rcq.sn++;
        eq_arm(e, &eq);
    }
    /* not armed: no event */
    end_recv(&end, 1);
    end_send(&end, 2, ah, end.qpn, 10);
    assert_received(&end, 1, &end, 10);
    assert_sent(&end, 2, EFA_IO_COMP_STATUS_OK);
    assert_no_irq(e, 1);
    g_assert_cmpint(eq_take(e, &eq), ==, -1);
    /* nor did a message of the admin queue's come on its own */
    assert_no_irq(e, 0);
    efa_free(e);
    vm_stop(vm);
}

static bool step_until(Efa *e, Cq *cq, EfaIoCdesc *done)
{
    vm_clock_step(e->vm, MSEC);
    return cq_poll(e, cq, done);
}

/* @from has a send to @to under way, whose receive is posted. */
static void assert_exchange(End *from, End *to, uint16_t recv_id,
                            uint16_t send_id, uint32_t len)
{
    Cq rcq = to->rcq;
    EfaIoCdesc done;

    /* the connection is made with the help of timers */
    wait_until(step_until(to->e, &rcq, &done));
    assert_received(to, recv_id, from, len);
    assert_sent(from, send_id, EFA_IO_COMP_STATUS_OK);
    assert_rx(from, to, len);
}

static void test_two_devices(void)
{
    char *dir = dir_new();
    Vm *vm = vm_start("-device efa,addr=4,gid=fe80::1,fabric=%s "
                      "-device efa,addr=5,gid=fe80::2,fabric=%s", dir, dir);
    Efa *ea = efa_new_first(vm);
    Efa *eb = efa_new(vm, (PciAddr) { .slot = 5 }, 1);
    uint16_t ah_b, ah_a;
    EfaIoCdesc done;
    GBytes *before;
    End a, b;

    efa_probe(ea);
    efa_probe(eb);
    a = end_new(ea, NULL);
    b = end_new(eb, NULL);
    ah_b = end_ah(&a, gid_of(2));
    ah_a = end_ah(&b, gid_of(1));
    fill_tx(&a, 5, 3000);
    end_recv(&b, 10);
    end_send(&a, 11, ah_b, b.qpn, 3000);
    assert_exchange(&a, &b, 10, 11, 3000);
    fill_tx(&b, 6, 77);
    end_recv(&a, 20);
    end_send(&b, 21, ah_a, a.qpn, 77);
    assert_exchange(&b, &a, 20, 21, 77);

    /* a receiver that is reset is not written to any more */
    end_recv(&a, 30);
    reg_write(ea, A_DEV_CTL, 1);
    g_assert_cmphex(reg_load(ea, A_DEV_STS), ==, 0x9);
    before = snapshot(ea);
    end_send(&b, 31, ah_a, a.qpn, 77);
    wait_until(step_until(eb, &b.scq, &done));
    g_assert_cmpuint(done.req_id, ==, 31);
    g_assert_cmpuint(done.status, ==, EFA_IO_COMP_STATUS_REMOTE_ERROR_ABORT);
    assert_untouched(ea, before);
    g_bytes_unref(before);

    /* and the two get together again */
    efa_set_resp(ea);
    reg_write(ea, A_DEV_CTL, 0);
    efa_admin_init(ea);
    a = end_new(ea, NULL);
    fill_tx(&b, 7, 99);
    end_recv(&a, 40);
    end_send(&b, 41, ah_a, a.qpn, 99);
    assert_exchange(&b, &a, 40, 41, 99);
    efa_free(ea);
    efa_free(eb);
    vm_stop(vm);
    dir_free(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa/probe", test_probe);
    g_test_add_func("/efa/polled", test_polled);
    g_test_add_func("/efa/msix-mask", test_msix_mask);
    g_test_add_func("/efa/bus-master", test_bus_master);
    g_test_add_func("/efa/reset-outstanding", test_reset_outstanding);
    g_test_add_func("/efa/reset-irq", test_reset_irq);
    g_test_add_func("/efa/flr", test_flr);
    g_test_add_func("/efa/system-reset", test_system_reset);
    g_test_add_func("/efa/dma-to-device", test_dma_to_device);
    g_test_add_func("/efa/stop", test_stop);
    g_test_add_func("/efa/loopback", test_loopback);
    g_test_add_func("/efa/two-devices", test_two_devices);
    return g_test_run();
}
