/*
 * qtest tier: faults of admin commands as properties of the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define DEVICE  "-device efa,id=efa0,addr=4,gid=fe80::1"

static void set(Vm *vm, const char *value)
{
    prop_set(vm, "faults", value);
}

#define refused(_vm, _value, ...) \
    PROP_REFUSED((_vm), "faults", (_value), __VA_ARGS__)

static void test_round_trip(void)
{
    Vm *vm = vm_start(DEVICE);
    g_autofree char *first = NULL, *second = NULL, *none = NULL;

    none = prop_get(vm, "faults");
    g_assert_cmpstr(none, ==, "[]");
    set(vm, "[{}, {\"opcode\": \"create-qp\", \"nth\": 2, \"count\": 0, "
        "\"status\": \"resource-busy\", \"extended-status\": 7}, "
        "{\"opcode\": \"dereg-mr\", \"action\": \"no-interrupt\"}]");
    PROP_HAS(vm, "faults", "\"action\": \"status\"",
             "\"status\": \"unknown-error\"", "\"opcode\": \"create-qp\"",
             "\"nth\": 2", "\"count\": 0", "\"status\": \"resource-busy\"",
             "\"extended-status\": 7", "\"opcode\": \"dereg-mr\"",
             "\"action\": \"no-interrupt\"", "\"nth\": 1", "\"count\": 1");
    PROP_HAS(vm, "fault-stats", "\"seen\": 0", "\"fired\": 0");
    first = prop_get(vm, "faults");
    set(vm, "[]");
    g_free(none);
    none = prop_get(vm, "faults");
    g_assert_cmpstr(none, ==, "[]");
    g_free(none);
    none = prop_get(vm, "fault-stats");
    g_assert_cmpstr(none, ==, "[]");
    set(vm, first);
    second = prop_get(vm, "faults");
    g_assert_cmpstr(first, ==, second);
    vm_stop(vm);
}

static void test_errors(void)
{
    Vm *vm = vm_start(DEVICE);
    g_autofree char *before = NULL, *after = NULL, *hmp = NULL;

    set(vm, "[{\"opcode\": \"alloc-pd\"}]");
    before = prop_get(vm, "faults");
    refused(vm, "[{\"opcod\": \"alloc-pd\"}]", "opcod", "unexpected");
    refused(vm, "[{\"opcode\": \"alloc\"}]", "opcode=alloc", "create-qp");
    refused(vm, "[{\"opcode\": \"\"}]", "opcode=", "create-qp");
    refused(vm, "[{\"opcode\": 5}]", "opcode", "string");
    refused(vm, "[{\"action\": \"explode\"}]", "action", "explode");
    refused(vm, "[{\"status\": \"fine\"}]", "status", "fine");
    refused(vm, "[{}, {\"status\": \"success\"}]", "rule 1", "status=0");
    refused(vm, "[{\"nth\": 0}]", "rule 0", "nth=0");
    refused(vm, "[{\"nth\": -1}]", "nth", "uint32");
    refused(vm, "[{\"extended-status\": 65536}]", "extended-status", "uint16");
    refused(vm, "{}", "faults", "array");
    /* not in the monitor's plain form of values, but in its JSON form */
    hmp = vm_qmp(vm, "human-monitor-command", "\"command-line\": "
                 "\"qom-set /machine/peripheral/efa0 faults 5\"");
    g_assert_nonnull(strstr(hmp, "only JSON"));
    g_free(hmp);
    hmp = vm_qmp(vm, "human-monitor-command", "\"command-line\": \"qom-set "
                 "-j /machine/peripheral/efa0 faults [{'opcode':5}]\"");
    g_assert_nonnull(strstr(hmp, "string"));
    after = prop_get(vm, "faults");
    g_assert_cmpstr(before, ==, after);
    PROP_REFUSED(vm, "fault-stats", "[]", "fault-stats");
    vm_stop(vm);
}

/* At start, in the JSON form of -device, where lists can be written. */
static void test_start(void)
{
    Vm *vm = vm_start("-device '{\"driver\": \"efa\", \"id\": \"efa0\", "
                      "\"gid\": \"fe80::1\", \"faults\": [{\"opcode\": "
                      "\"get-feature\", \"action\": \"ignore\"}]}'");
    g_autofree char *said = NULL;

    PROP_HAS(vm, "faults", "\"opcode\": \"get-feature\"",
             "\"action\": \"ignore\"");
    vm_stop(vm);
    g_assert_cmpint(vm_run(&said, "-device '{\"driver\": \"efa\", "
                           "\"faults\": [{\"nth\": 0}]}'"), ==, 1);
    g_assert_nonnull(strstr(said, "nth=0"));
}

/* Set while the guest runs; the next command of that kind goes wrong. */
static void test_at_work(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaAqEntry pd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAqEntry uar = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_UAR);
    EfaAcqEntry cqe;

    efa_probe(e);
    set(vm, "[{\"opcode\": \"alloc-pd\", \"nth\": 2, "
        "\"status\": \"resource-allocation-failure\"}, "
        "{\"opcode\": \"alloc-uar\", \"action\": \"no-interrupt\"}]");
    admin_ok(e, &pd, NULL, 0);
    g_assert_cmpuint(admin(e, &pd).status, ==,
                     EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE);
    admin_ok(e, &pd, NULL, 0);
    aq_post(e, &uar);
    wait_until(acq_take(e, &cqe));
    g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_SUCCESS);
    assert_no_irq(e, 0);
    PROP_HAS(vm, "fault-stats", "{\"seen\": 3, \"fired\": 1}",
             "{\"seen\": 1, \"fired\": 1}");
    admin_ok(e, &uar, NULL, 0);
    efa_free(e);
    vm_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-faults/round-trip", test_round_trip);
    g_test_add_func("/efa-faults/errors", test_errors);
    g_test_add_func("/efa-faults/start", test_start);
    g_test_add_func("/efa-faults/at-work", test_at_work);
    return g_test_run();
}
