/*
 * qtest tier: the device behind an IOMMU, which the test programs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define MACHINE "-device intel-iommu -device efa,id=efa0,addr=4,gid=fe80::1"
#define MSEC    (1000 * 1000ll)

/* Intel's specification of VT-d, sections 9 to 11 */
#define IOMMU           0xfed90000ull
#define GCMD            0x18
#define GSTS            0x1c
#define RTADDR          0x20
#define CCMD            0x28
#define FSTS            0x34
#define IOTLB           0xf8
#define SET_ROOT        (1u << 30)
#define TRANSLATE       (1u << 31)
#define FORGET_CONTEXTS (1ull << 63 | 1ull << 61)
#define FORGET_PAGES    (1ull << 63 | 1ull << 60)
#define FAULT_PENDING   2u
#define PRESENT         1
#define READ            1
#define WRITE           2
#define WIDTH_48        2
#define DOMAIN(n)       ((n) << 8)

/* Where the tables lie, behind what the device's driver hands out. */
#define ROOT            0x1000000ull
#define CONTEXTS        (ROOT + 0x1000)
#define LEVEL(n)        (ROOT + 0x1000 * (6 - (n)))     /* 4 to 2 */
#define PAGES           (ROOT + 0x10000)                /* level 1 */
#define MAPPED          (16u << 20)                     /* bytes, from 0 on */
#define OTHER_TX        0x2000000ull
#define OTHER_RX        0x2001000ull

static void iommu_command(Vm *vm, uint32_t bit)
{
    vm_store(vm, IOMMU + GCMD, 4, bit | vm_load(vm, IOMMU + GSTS, 4));
    g_assert_cmphex(vm_load(vm, IOMMU + GSTS, 4) & bit, !=, 0);
}

static void iommu_forget(Vm *vm)
{
    vm_store(vm, IOMMU + CCMD, 8, FORGET_CONTEXTS);
    vm_store(vm, IOMMU + IOTLB, 8, FORGET_PAGES);
}

/* @perm: READ and WRITE, or 0 for a page that is not there. */
static void iommu_map(Vm *vm, uint64_t iova, uint64_t phys, unsigned perm)
{
    vm_store(vm, PAGES + iova / DRV_PAGE * 8, 8, perm ? phys | perm : 0);
    iommu_forget(vm);
}

static void iommu_attach(Efa *e, bool there)
{
    uint64_t entry = CONTEXTS + (e->at.slot << 3) * 16;

    vm_store(e->vm, entry + 8, 8, WIDTH_48 | DOMAIN(1));
    vm_store(e->vm, entry, 8, LEVEL(4) | (there ? PRESENT : 0));
    iommu_forget(e->vm);
}

/* Every page is itself, for the device, until iommu_map() says otherwise. */
static void iommu_enable(Efa *e)
{
    Vm *vm = e->vm;
    unsigned i;

    for (i = 0; i < MAPPED / DRV_PAGE; i++) {
        vm_store_with_next(vm, PAGES + i * 8, 8,
                           i * (uint64_t)DRV_PAGE | READ | WRITE);
    }
    for (i = 0; i < MAPPED / (512 * DRV_PAGE); i++) {
        vm_store(vm, LEVEL(2) + i * 8, 8,
                 (PAGES + i * DRV_PAGE) | READ | WRITE);
    }
    vm_store(vm, LEVEL(3), 8, LEVEL(2) | READ | WRITE);
    vm_store(vm, LEVEL(4), 8, LEVEL(3) | READ | WRITE);
    vm_store(vm, ROOT, 8, CONTEXTS | PRESENT);
    vm_store(vm, IOMMU + RTADDR, 8, ROOT);
    iommu_command(vm, SET_ROOT);
    iommu_attach(e, true);
    iommu_command(vm, TRANSLATE);
}

/* Was there a fault? Forgets it. */
static bool iommu_faulted(Vm *vm)
{
    uint32_t status = vm_load(vm, IOMMU + FSTS, 4);
    uint32_t record = vm_load(vm, IOMMU + 0x22c, 4);

    vm_store(vm, IOMMU + 0x22c, 4, record & 1u << 31);
    vm_store(vm, IOMMU + FSTS, 4, status);
    return status & FAULT_PENDING;
}

/* The faults are what QEMU speaks of, once of each kind. */
static void stop(Vm *vm)
{
    vm_stop_saying(vm, "vtd_|[Ff]ault|Interrupt Mask");
}

static void fill(Vm *vm, uint64_t page, uint8_t seed)
{
    uint8_t data[DRV_PAGE];
    unsigned i;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = seed + i * 5 + (i >> 8);
    }
    vm_write(vm, page, data, sizeof(data));
}

static void assert_same(Vm *vm, uint64_t a, uint64_t b)
{
    uint8_t one[DRV_PAGE], other[DRV_PAGE];

    vm_read(vm, a, one, sizeof(one));
    vm_read(vm, b, other, sizeof(other));
    g_assert_cmpmem(one, sizeof(one), other, sizeof(other));
}

/* The send's status; a receive that ends too. */
static uint8_t exchange(End *end, uint16_t ah, uint16_t id, uint8_t *received)
{
    EfaIoCdesc sent, got;

    end_recv(end, id);
    end_send(end, id, ah, end->qpn, DRV_PAGE);
    sent = cq_next(end->e, &end->scq);
    g_assert_cmpuint(sent.req_id, ==, id);
    if (received) {
        got = cq_next(end->e, &end->rcq);
        g_assert_cmpuint(got.req_id, ==, id);
        *received = got.status;
    }
    return sent.status;
}

static void assert_works(End *end, uint16_t ah, uint16_t id, uint64_t from,
                         uint64_t to)
{
    uint8_t received;

    fill(end->e->vm, from, id);
    g_assert_cmpuint(exchange(end, ah, id, &received), ==, 0);
    g_assert_cmpuint(received, ==, 0);
    assert_same(end->e->vm, from, to);
}

/* Rings, commands and data go where the IOMMU leads them, not elsewhere. */
static void test_translated(void)
{
    Vm *vm = vm_start(MACHINE);
    Efa *e = efa_new_first(vm);
    uint16_t ah;
    End end;

    iommu_enable(e);
    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    assert_works(&end, ah, 1, end.tx, end.rx);
    iommu_map(vm, end.tx, OTHER_TX, READ);
    iommu_map(vm, end.rx, OTHER_RX, READ | WRITE);
    fill(vm, end.rx, 100);
    assert_works(&end, ah, 2, OTHER_TX, OTHER_RX);
    fill(vm, OTHER_TX, 100);
    assert_same(vm, end.rx, OTHER_TX);      /* untouched */
    g_assert_false(iommu_faulted(vm));
    efa_free(e);
    vm_stop(vm);
}

/* Data that is not there, or must not be written: a status, and no more. */
static void test_data_faults(void)
{
    Vm *vm = vm_start(MACHINE);
    Efa *e = efa_new_first(vm);
    uint8_t received;
    uint16_t ah;
    End end;

    iommu_enable(e);
    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    iommu_map(vm, end.rx, OTHER_RX, 0);
    g_assert_cmpuint(exchange(&end, ah, 1, &received), ==,
                     EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS);
    g_assert_cmpuint(received, ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
    g_assert_true(iommu_faulted(vm));
    iommu_map(vm, end.rx, OTHER_RX, READ);
    fill(vm, end.tx, 2);
    fill(vm, OTHER_RX, 3);
    fill(vm, OTHER_TX, 3);
    g_assert_cmpuint(exchange(&end, ah, 2, &received), ==,
                     EFA_IO_COMP_STATUS_REMOTE_ERROR_BAD_STATUS);
    g_assert_true(iommu_faulted(vm));
    assert_same(vm, OTHER_RX, OTHER_TX);    /* untouched */
    iommu_map(vm, end.rx, OTHER_RX, READ | WRITE);
    assert_works(&end, ah, 3, end.tx, OTHER_RX);

    iommu_map(vm, end.tx, 0, 0);
    g_assert_cmpuint(exchange(&end, ah, 4, NULL), ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_INVALID_LKEY);
    g_assert_true(iommu_faulted(vm));
    efa_free(e);
    stop(vm);
}

/* As after the driver has given up: everything anew. */
static void start_over(Efa *e)
{
    static const uint8_t zeros[1 << 18];

    reg_write(e, A_DEV_CTL, 1);     /* the fatal error's end */
    efa_set_resp(e);
    reg_write(e, A_DEV_CTL, 0);
    efa_reset_handshake(e);
    vm_write(e->vm, e->mem, zeros, sizeof(zeros));
    e->used = e->resp + DRV_PAGE;
    efa_admin_init(e);
}

/* Rings that are not there: what would stand in them is lost. */
static void test_ring_faults(void)
{
    Vm *vm = vm_start(MACHINE);
    Efa *e = efa_new_first(vm);
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
    EfaIoCdesc c;
    uint16_t ah;
    End end;

    iommu_enable(e);
    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    iommu_map(vm, end.scq.ring, 0, 0);
    end_recv(&end, 1);
    end_send(&end, 1, ah, end.qpn, 8);
    g_assert_cmpuint(cq_next(e, &end.rcq).status, ==, 0);
    wait_until(iommu_faulted(vm));
    g_assert_false(cq_poll(e, &end.scq, &c));
    iommu_map(vm, end.scq.ring, end.scq.ring, READ | WRITE);

    iommu_map(vm, end.rq_ring, 0, 0);
    end_recv(&end, 2);
    end_send(&end, 2, ah, end.qpn, 8);
    wait_until(iommu_faulted(vm));
    iommu_map(vm, end.rq_ring, end.rq_ring, READ | WRITE);

    iommu_map(vm, e->acq, 0, 0);
    aq_post(e, &cmd);
    wait_until(reg_read(e, A_DEV_STS) & R_DEV_STS_FATAL_ERROR_MASK);
    g_assert_true(iommu_faulted(vm));
    iommu_map(vm, e->acq, e->acq, READ | WRITE);

    start_over(e);
    end = end_new(e, NULL);
    assert_works(&end, end_ah(&end, gid_of(1)), 3, end.tx, end.rx);
    efa_free(e);
    stop(vm);
}

/* A device that the IOMMU does not know reaches nothing at all. */
static void test_detached(void)
{
    Vm *vm = vm_start(MACHINE);
    Efa *e = efa_new_first(vm);
    uint64_t seen;
    End end;

    iommu_enable(e);
    iommu_attach(e, false);
    efa_enable(e);
    efa_set_resp(e);
    g_assert_false(reg_answers(e));
    g_assert_true(iommu_faulted(vm));
    iommu_attach(e, true);
    g_assert_true(reg_answers(e));
    efa_probe(e);
    end = end_new(e, NULL);
    assert_works(&end, end_ah(&end, gid_of(1)), 1, end.tx, end.rx);
    iommu_attach(e, false);
    seen = vm_load(vm, end.rx, 8);
    end_recv(&end, 2);
    fill(vm, end.tx, 77);
    end_send(&end, 2, 0, end.qpn, 8);
    vm_clock_step(vm, 10000 * MSEC);
    g_assert_true(iommu_faulted(vm));
    g_assert_cmphex(vm_load(vm, end.rx, 8), ==, seen);
    efa_free(e);
    stop(vm);
}

/* The device has chosen its thread before it could know. */
static void test_order(void)
{
    g_autofree char *said = NULL;

    g_assert_cmpint(vm_run(&said, "-device efa -device intel-iommu"), ==, 1);
    g_assert_nonnull(strstr(said, "before the EFA devices"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-iommu/translated", test_translated);
    g_test_add_func("/efa-iommu/data-faults", test_data_faults);
    g_test_add_func("/efa-iommu/ring-faults", test_ring_faults);
    g_test_add_func("/efa-iommu/detached", test_detached);
    g_test_add_func("/efa-iommu/order", test_order);
    return g_test_run();
}
