/*
 * qtest tier: the device on its bus, and on QEMU's command line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define DEVICE          "-device efa,id=efa0,addr=4,gid=fe80::1"
#define MEM_64          4           /* type bits of a BAR */
#define MEM_PREFETCH    8

/* ---- identity ---- */

static void check_identity(Efa *e, unsigned generation)
{
    Vm *vm = e->vm;
    uint16_t id = 0xefa0 + generation;

    g_assert_cmphex(pci_load(vm, e->at, PCI_VENDOR_ID, 2), ==, 0x1d0f);
    g_assert_cmphex(pci_load(vm, e->at, PCI_DEVICE_ID, 2), ==, id);
    g_assert_cmphex(pci_load(vm, e->at, PCI_SUBSYSTEM_VENDOR_ID, 2), ==,
                    0x1d0f);
    g_assert_cmphex(pci_load(vm, e->at, PCI_SUBSYSTEM_ID, 2), ==, id);
    g_assert_cmphex(pci_load(vm, e->at, PCI_CLASS_DEVICE, 2), ==, 0x0200);
    g_assert_cmphex(pci_load(vm, e->at, PCI_CLASS_PROG, 1), ==, 0);
    g_assert_cmphex(pci_load(vm, e->at, PCI_HEADER_TYPE, 1), ==, 0);
    g_assert_cmphex(pci_load(vm, e->at, PCI_INTERRUPT_PIN, 1), ==, 0);
}

static void check_capabilities(Efa *e)
{
    unsigned exp = pci_capability(e->vm, e->at, PCI_CAP_ID_EXP);
    unsigned msix = pci_capability(e->vm, e->at, PCI_CAP_ID_MSIX);
    uint32_t table, pba;

    /* On the root complex: an integrated endpoint, able of FLR. */
    g_assert_cmpuint(exp, !=, 0);
    g_assert_cmpuint(pci_load(e->vm, e->at, exp + 2, 2) >> 4 & 15, ==, 9);
    g_assert_cmphex(pci_load(e->vm, e->at, exp + 4, 4) & 1u << 28, !=, 0);
    g_assert_cmpuint(msix, !=, 0);
    g_assert_cmphex(pci_load(e->vm, e->at, msix + MSIX_CONTROL, 2), ==, 31);
    table = pci_load(e->vm, e->at, msix + 4, 4);
    pba = pci_load(e->vm, e->at, msix + 8, 4);
    /* both in BAR 0, apart from the registers and from each other */
    g_assert_cmpuint(table & 7, ==, 0);
    g_assert_cmpuint(pba & 7, ==, 0);
    g_assert_cmpuint(table, >=, EFA_REGS_END);
    g_assert_cmpuint(pba, >=, table + 32 * MSIX_ENTRY_SIZE);
    g_assert_cmpuint(pba, <, EFA_REG_BAR_SIZE);
}

/* Behind a port: 8 lanes of 16 GT/s, as far as software looks for it. */
static void check_link(Efa *e)
{
    unsigned exp = pci_capability(e->vm, e->at, PCI_CAP_ID_EXP);

    g_assert_cmpuint(pci_load(e->vm, e->at, exp + 2, 2) >> 4 & 15, ==, 0);
    g_assert_cmphex(pci_load(e->vm, e->at, exp + 12, 4) & 0x3ff, ==, 0x84);
    g_assert_cmphex(pci_load(e->vm, e->at, exp + 18, 2) & 0x3ff, ==, 0x84);
}

static void check_bars(Efa *e)
{
    const uint32_t type[] = { MEM_64, 0, MEM_64 | MEM_PREFETCH, 0, MEM_64 };
    unsigned i;

    efa_place_bars(e);
    for (i = 0; i < 6; i += 2) {
        g_assert_cmphex(pci_load(e->vm, e->at, PCI_BAR0 + 4 * i, 4) & 15, ==,
                        type[i]);
    }
    g_assert_cmpuint(e->bar_size[0], ==, 16 * 1024);
    g_assert_cmpuint(e->bar_size[2], ==, 64 * 1024 * 1024);
    g_assert_cmpuint(e->bar_size[4], ==, 1024 * 1024);
}

static void test_identity(void)
{
    unsigned generation;

    for (generation = 0; generation < EFA_NUM_GENERATIONS; generation++) {
        Vm *vm = vm_start(DEVICE ",generation=%u", generation);
        Efa *e = efa_new_first(vm);

        check_identity(e, generation);
        check_capabilities(e);
        check_bars(e);
        efa_probe(e);
        efa_free(e);
        vm_stop(vm);
    }
}

/* The LLQ BAR follows its properties, the MSI-X table too. */
static void test_sizes(void)
{
    const struct {
        unsigned qps, llq, bar, vectors;
    } sizes[] = {
        { 1, 65536, 65536, 1 },
        { 3, 131072, 512 * 1024, 2 },
        { 256, 1 << 21, 512 << 20, 256 },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        unsigned max_eq = sizes[i].vectors - 1;
        Vm *vm = vm_start(DEVICE ",max-qp=%u,max-llq-size=%u,vectors=%u,"
                          "max-eq=%u,max-sq-depth=16", sizes[i].qps,
                          sizes[i].llq, sizes[i].vectors, max_eq);
        Efa *e = efa_new_first(vm);
        unsigned msix = pci_capability(vm, e->at, PCI_CAP_ID_MSIX);

        /* the largest does not fit where the others go */
        e->bar[0] = 0x80000000;
        efa_place_bars(e);
        g_assert_cmpuint(e->bar_size[2], ==, sizes[i].bar);
        g_assert_cmpuint(pci_load(vm, e->at, msix + MSIX_CONTROL, 2), ==,
                         sizes[i].vectors - 1);
        efa_free(e);
        vm_stop(vm);
    }
}

/* ---- accesses ---- */

/* Sizes that are powers of two, at every alignment around @addr. */
#define FOR_EACH_ACCESS(at, size, first, last)              \
    for (size = 1; size <= 8; size *= 2)                    \
        for (at = (first); at <= (last); at++)

/*
 * Registers take aligned 32-bit accesses; others are refused, whatever they
 * touch: reads give ones, writes do nothing.
 */
static void test_access_registers(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    uint64_t base, at;
    unsigned size;

    efa_probe(e);
    base = e->bar[0];
    FOR_EACH_ACCESS(at, size, 0, EFA_REGS_END + 8) {
        uint64_t ones = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
        uint64_t want = ones;

        if (size == 4) {
            want = at == A_VERSION ? 0x00000001 :
                   at == A_CONTROLLER_VERSION ? 0x01000001 :
                   at == A_CAPS ? 0x0000300a :
                   at == A_DEV_STS ? reg_read(e, A_DEV_STS) : ones;
        }
        g_assert_cmphex(vm_load(vm, base + at, size), ==, want);
        if (size != 4 || at % 4) {
            vm_store(vm, base + at, size, UINT64_MAX);
            g_assert_true(reg_answers(e));
            g_assert_cmphex(reg_read(e, A_DEV_STS) & 0x29, ==, 1);
        }
    }
    /* read-only registers and holes */
    for (at = 0; at < EFA_REGS_END; at += 4) {
        if (at == A_VERSION || at == A_CONTROLLER_VERSION || at == A_CAPS ||
            at == A_DEV_STS || at == 0x0c || at == 0x1c || at == 0x30 ||
            at == 0x44 || at == 0x48 || at == 0x50) {
            reg_write(e, at, UINT32_MAX);
            g_assert_cmphex(reg_read(e, A_DEV_STS) & 0x29, ==, 1);
            g_assert_cmphex(reg_read(e, A_CAPS), ==, 0x0000300a);
        }
    }
    /* the MSI-X table and PBA, what lies between, and the end of the BAR */
    pci_store(vm, e->at, e->msix + MSIX_CONTROL, 2, 0);
    FOR_EACH_ACCESS(at, size, e->msix_table - 16, e->msix_table + 48) {
        vm_load(vm, at, size);
        vm_store(vm, at, size, UINT64_MAX);
    }
    FOR_EACH_ACCESS(at, size, e->msix_pba - 16, e->msix_pba + 16) {
        vm_load(vm, at, size);
        vm_store(vm, at, size, UINT64_MAX);
    }
    g_assert_cmphex(vm_load(vm, e->msix_pba, 4), ==, 0);
    FOR_EACH_ACCESS(at, size, base + EFA_REG_BAR_SIZE - 16,
                    base + EFA_REG_BAR_SIZE + 8) {
        vm_load(vm, at, size);
        vm_store(vm, at, size, UINT64_MAX);
    }
    efa_msix_enable(e);
    efa_reset_handshake(e);
    efa_admin_init(e);
    end_new(e, NULL);
    efa_free(e);
    vm_stop(vm);
}

/* Doorbells are written, 32 bits at once; nothing can be read. */
static void test_access_doorbells(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    uint64_t base, at;
    EfaIoCdesc cdesc;
    unsigned size;
    uint16_t ah;
    End end;

    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    end_recv(&end, 1);
    base = e->bar[4];
    /* a WQE lies in the queue: only a doorbell proper may set it off */
    end_send(&end, 2, ah, end.qpn, 8);
    assert_no_irq(e, 0);
    cq_next(e, &end.rcq);
    cq_next(e, &end.scq);
    FOR_EACH_ACCESS(at, size, 0, EFA_DB_PAGE_SIZE + 8) {
        uint64_t ones = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

        /* the end of the send queue's half and of the page, and the start */
        if (at > 32 && at % (EFA_DB_PAGE_SIZE / 2) > 8 &&
            at % (EFA_DB_PAGE_SIZE / 2) < EFA_DB_PAGE_SIZE / 2 - 8) {
            continue;
        }
        g_assert_cmphex(vm_load(vm, base + at, size), ==, ones);
        if (size != 4 || at % 4) {
            vm_store(vm, base + at, size, 0x0002000200020002ull);
        }
    }
    FOR_EACH_ACCESS(at, size, EFA_DB_BAR_SIZE - 16, EFA_DB_BAR_SIZE + 8) {
        vm_load(vm, base + at, size);
        vm_store(vm, base + at, size, UINT64_MAX);
    }
    /* queues of nobody */
    vm_store(vm, base + 8, 4, 1);
    vm_store(vm, base + 12, 4, 1);
    vm_store(vm, base + EFA_DB_PAGE_SIZE + end.sq_db, 4, 1);
    vm_store(vm, base + EFA_DB_PAGE_SIZE - 4, 4, 1u << 31);
    efa_settle(e);
    g_assert_false(cq_poll(e, &end.scq, &cdesc));
    end_recv(&end, 3);
    end_send(&end, 4, ah, end.qpn, 8);
    g_assert_cmpuint(cq_next(e, &end.scq).req_id, ==, 4);
    g_assert_cmpuint(cq_next(e, &end.rcq).req_id, ==, 3);
    efa_free(e);
    vm_stop(vm);
}

/* Send queues are memory: any size and alignment goes. */
static void test_access_llq(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    const uint64_t value = 0x0123456789abcdefull;
    uint64_t base, end, at;
    unsigned size;

    efa_enable(e);
    base = e->bar[2];
    end = base + e->bar_size[2];
    FOR_EACH_ACCESS(at, size, base, base + 16) {
        uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

        vm_store(vm, at, 8, 0);
        vm_store(vm, at, size, value);
        g_assert_cmphex(vm_load(vm, at, 8), ==, value & mask);
        g_assert_cmphex(vm_load(vm, at, size), ==, value & mask);
    }
    FOR_EACH_ACCESS(at, size, end - 16, end + 8) {
        vm_load(vm, at, size);
        vm_store(vm, at, size, value);
        if (at + size <= end) {
            uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

            g_assert_cmphex(vm_load(vm, at, size), ==, value & mask);
        }
    }
    efa_free(e);
    vm_stop(vm);
}

/* Without memory decoding the BARs are not there. */
static void test_decoding(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);

    efa_probe(e);
    g_assert_cmphex(reg_load(e, A_VERSION), ==, 1);
    efa_set_command(e, PCI_COMMAND_MASTER);
    g_assert_cmphex(reg_load(e, A_VERSION), !=, 1);
    reg_write(e, A_DEV_CTL, 1);
    efa_set_command(e, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(reg_read(e, A_DEV_STS) & 9, ==, 1);
    efa_free(e);
    vm_stop(vm);
}

/* ---- the command line ---- */

/* QEMU refuses, with status 1 and one line that has all of @words. */
static void assert_refused(const char *args, const char *const *words)
{
    g_autofree char *said = NULL;
    int status = vm_run(&said, "%s", args);
    size_t i;

    if (status != 1) {
        g_error("%s: status %d; it said:\n%s", args, status, said);
    }
    g_strchomp(said);
    for (i = 0; words[i]; i++) {
        if (!strstr(said, words[i])) {
            g_error("%s: no '%s' in: %s", args, words[i], said);
        }
    }
    if (strchr(said, '\n')) {
        g_error("%s: not one line: %s", args, said);
    }
}

#define REFUSED(args, ...) \
    assert_refused(args, (const char *const[]) { __VA_ARGS__, NULL })

static void test_bad_properties(void)
{
    REFUSED("-device efa,generation=7", "generation=7", "0 to 4");
    REFUSED("-device efa,guid=1:2:3", "guid=1:2:3", "0011:22ff");
    REFUSED("-device efa,inline-write=on", "inline-write=on", "wide-wqe=on");
    REFUSED("-device efa,gid=foo", "gid=foo", "IPv6", "fe80::");
    REFUSED("-device efa,gid=::", "gid=::", "fe80::1");
    REFUSED("-device efa,gid=ff02::1", "gid=ff02::1", "unicast");
    REFUSED("-device efa,vectors=0", "vectors=0", "1 to 256");
    REFUSED("-device efa,vectors=257", "vectors=257", "1 to 256");
    REFUSED("-device efa,vectors=4,max-eq=31", "max-eq=31", "vectors=32");
    REFUSED("-device efa,mtu=8929", "mtu=8929", "256 to 8928");
    REFUSED("-device efa,mtu=255", "mtu=255", "256 to 8928");
    REFUSED("-device efa,max-qp=257", "max-qp=257", "1 to 256");
    REFUSED("-device efa,max-cq-depth=1000", "max-cq-depth=1000",
            "power of two");
    REFUSED("-device efa,max-eq-depth=256", "max-eq-depth=256", "max-cq=512");
    REFUSED("-device efa,max-llq-size=4096", "max-llq-size=4096", "65536");
    REFUSED("-device efa,peer-timeout-ms=0", "peer-timeout-ms=0", "1 to");
    REFUSED("-device efa,mtu=many", "mtu", "many");
    REFUSED("-device efa,colour=red", "colour");
}

static void test_bad_fabric(void)
{
    char *dir = dir_new();
    g_autofree char *file = g_build_filename(dir, "file", NULL);
    g_autofree char *args = NULL, *left = NULL;

    REFUSED("-device efa,fabric=/nonexistent", "fabric", "/nonexistent",
            "mkdir -m 0700");
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    args = g_strdup_printf("-device efa,fabric=%s", file);
    REFUSED(args, file, "not a directory", "mkdir -m 0700");
    unlink(file);

    g_free(args);
    args = g_strdup_printf("-device efa,gid=fe80::7,fabric=%s "
                           "-device efa,gid=fe80::7,fabric=%s", dir, dir);
    REFUSED(args, "fe80::7", dir, "already in use", "another");

    g_free(args);
    g_assert_cmpint(chmod(dir, 0755), ==, 0);
    args = g_strdup_printf("-device efa,fabric=%s", dir);
    REFUSED(args, dir, "0755", "chmod 0700");
    chmod(dir, 0700);
    dir_free(dir);
}

static void test_help(void)
{
    static const char *const properties[] = {
        "generation", "fabric", "gid", "vectors", "mtu", "max-qp",
        "max-sq-depth", "max-rq-depth", "max-cq", "max-cq-depth",
        "sub-cqs-per-cq", "max-send-sges", "max-recv-sges", "max-mr",
        "max-mr-pages", "max-pd", "max-ah", "max-eq", "max-eq-depth",
        "max-llq-size", "link-speed-gbps", "peer-timeout-ms",
        "keep-alive-ms", "netdev", "path-mtu", "impair", "max-rdma-size",
        "reorder", "seed", "guid", "inline-size", "inline-size-ex",
        "page-size-cap", "max-event-counters", "event-counter-max", "max-sl",
        "max-tx-batch", "min-sq-depth", "admin-version", "hint-mmio-read-ms",
        "hint-watchdog-ms", "hint-admin-timeout", "hint-poll-interval-ms",
        "reset-timeout-ms", "admin-timeout-ms", "rdma-read", "rnr-retry",
        "rdma-write", "data-polling-128", "unsolicited-write-recv",
        "wide-wqe", "inline-write", "sq-64-bit-req-id", "event-counters",
        "ext-mem-cq", "service-levels", "network-stats", "feature-mismatch",
        "known-peer", "fast-reg", "unique-ah", "link", "host-info",
    };
    /* PCI devices have these anyway */
    static const char *const inherited =
        "^(acpi-index|addr|busnr|failover_pair_id|multifunction|rombar|"
        "romfile|romsize|x-.*)$";
    g_autofree char *said = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(GHashTable) described = NULL;
    size_t i;

    g_assert_cmpint(vm_run(&said, "-device efa,help"), ==, 0);
    lines = g_strsplit(g_strchomp(said), "\n", 0);
    described = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (i = 1; lines[i]; i++) {
        char *name = g_strndup(lines[i] + 2, strcspn(lines[i], "=") - 2);
        const char *text = strstr(lines[i], " - ");

        if (!g_regex_match_simple(inherited, name, 0, 0) &&
            (!text || !g_ascii_isalnum(text[3]))) {
            g_error("no description: %s", lines[i]);
        }
        g_hash_table_add(described, name);
    }
    for (i = 0; i < ARRAY_SIZE(properties); i++) {
        if (!g_hash_table_contains(described, properties[i])) {
            g_error("'%s' is missing", properties[i]);
        }
    }
}

/* ---- hot-plug ---- */

/*
 * Out while work is outstanding, in again, and again: each time the fabric
 * directory, which shows what is alive, is as empty as before.
 */
static void test_hotplug(void)
{
    static const uint8_t zeros[1 << 18];
    char *dir = dir_new();
    g_autofree char *args = g_strdup_printf(
        "\"driver\": \"efa\", \"id\": \"efa1\", \"bus\": \"rp0\", "
        "\"gid\": \"fe80::1\", \"fabric\": \"%s\"", dir);
    Vm *vm = vm_start(ROOT_PORT);
    unsigned footprint = vm_footprint(vm);
    unsigned round;

    port_set_up(vm);
    g_assert_cmphex(pci_load(vm, behind_port, PCI_VENDOR_ID, 4), ==,
                    UINT32_MAX);
    for (round = 0; round < 3; round++) {
        g_autofree char *full = NULL, *empty = NULL;
        EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_ALLOC_PD);
        uint16_t ah;
        End end;
        Efa *e;

        vm_qmp_ok(vm, "device_add", args);
        port_power(vm, true);
        full = dir_list(dir);
        g_assert_nonnull(strstr(full, ".sock"));
        e = efa_new(vm, behind_port, 0);
        check_identity(e, 2);
        check_link(e);
        /* the last device's leavings */
        vm_write(vm, e->mem, zeros, sizeof(zeros));
        efa_probe(e);
        end = end_new(e, NULL);
        ah = end_ah(&end, gid_of(1));
        end_send(&end, 1, ah, end.qpn, 8);
        end_send(&end, 2, end_ah(&end, gid_of(9)), end.qpn, 8);
        aq_post(e, &cmd);
        vm_qmp_ok(vm, "device_del", "\"id\": \"efa1\"");
        port_power(vm, false);
        vm_qmp_event(vm, "DEVICE_DELETED");
        empty = dir_list(dir);
        g_assert_cmpstr(empty, ==, "");
        g_assert_cmphex(pci_load(vm, behind_port, PCI_VENDOR_ID, 4), ==,
                        UINT32_MAX);
        wait_until(vm_footprint(vm) <= footprint);
        efa_free(e);
    }
    vm_clock_step(vm, 1000 * 1000 * 1000);
    vm_stop(vm);
    dir_free(dir);
}

/* The next device need not wait until nobody looks at the last one's memory. */
static void test_replug_at_once(void)
{
    static const char args[] = "\"driver\": \"efa\", \"id\": \"efa1\", "
                               "\"bus\": \"rp0\"";
    Vm *vm = vm_start(ROOT_PORT);
    unsigned round;

    port_set_up(vm);
    for (round = 0; round < 20; round++) {
        vm_qmp_ok(vm, "device_add", args);
        port_power(vm, true);
        vm_qmp_ok(vm, "device_del", "\"id\": \"efa1\"");
        port_power(vm, false);
    }
    vm_stop(vm);
}

/* A device that cannot be made leaves the machine as it was. */
static void test_hotplug_refused(void)
{
    char *dir = dir_new();
    g_autofree char *args = g_strdup_printf(
        "\"driver\": \"efa\", \"id\": \"efa1\", \"bus\": \"rp0\", "
        "\"gid\": \"fe80::1\", \"fabric\": \"%s\"", dir);
    Vm *vm = vm_start("-device efa,addr=4,gid=fe80::1,fabric=%s " ROOT_PORT,
                      dir);
    g_autofree char *before = dir_list(dir);
    g_autofree char *after = NULL;
    unsigned footprint = vm_footprint(vm);
    unsigned round;

    for (round = 0; round < 3; round++) {
        g_autofree char *reply = vm_qmp(vm, "device_add", args);

        g_assert_nonnull(strstr(reply, "\"error\""));
        g_assert_nonnull(strstr(reply, "fe80::1"));
        g_assert_nonnull(strstr(reply, "already in use"));
    }
    wait_until(vm_footprint(vm) <= footprint);
    after = dir_list(dir);
    g_assert_cmpstr(before, ==, after);
    vm_stop(vm);
    dir_free(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-pci/identity", test_identity);
    g_test_add_func("/efa-pci/sizes", test_sizes);
    g_test_add_func("/efa-pci/access-registers", test_access_registers);
    g_test_add_func("/efa-pci/access-doorbells", test_access_doorbells);
    g_test_add_func("/efa-pci/access-llq", test_access_llq);
    g_test_add_func("/efa-pci/decoding", test_decoding);
    g_test_add_func("/efa-pci/bad-properties", test_bad_properties);
    g_test_add_func("/efa-pci/bad-fabric", test_bad_fabric);
    g_test_add_func("/efa-pci/help", test_help);
    g_test_add_func("/efa-pci/hotplug", test_hotplug);
    g_test_add_func("/efa-pci/replug-at-once", test_replug_at_once);
    g_test_add_func("/efa-pci/hotplug-refused", test_hotplug_refused);
    return g_test_run();
}
