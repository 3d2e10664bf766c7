/*
 * qtest tier: impairments as properties of the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define DEVICE  "-device efa,id=efa0,addr=4,gid=fe80::1"
#define MSEC    (1000 * 1000ll)

static void set(Vm *vm, const char *value)
{
    prop_set(vm, "impair", value);
}

#define refused(_vm, _value, ...) \
    PROP_REFUSED((_vm), "impair", (_value), __VA_ARGS__)

static void test_round_trip(void)
{
    Vm *vm = vm_start(DEVICE);
    g_autofree char *first = NULL, *second = NULL, *none = NULL;

    none = prop_get(vm, "impair");
    g_assert_cmpstr(none, ==, "[]");
    set(vm, "[{\"loss\": 5, \"duplicate\": 1.5, \"reorder\": 25, "
        "\"reorder-us\": 300, \"seed\": 7}, {\"peer\": \"fe80::2\", "
        "\"partition\": \"both\"}, {\"peer\": \"fe80::3\", \"corrupt\": 0.1, "
        "\"delay-us\": 100, \"jitter-us\": 50, \"rate-mbps\": 1000, "
        "\"limit\": 64}]");
    PROP_HAS(vm, "impair", "\"loss\": 5", "\"duplicate\": 1.5", "\"reorder\": 25",
        "\"reorder-us\": 300", "\"seed\": 7", "\"peer\": \"fe80::2\"",
        "\"partition\": \"both\"", "\"partition\": \"none\"",
        "\"peer\": \"fe80::3\"", "\"corrupt\": 0.1", "\"delay-us\": 100",
        "\"jitter-us\": 50", "\"rate-mbps\": 1000", "\"limit\": 64",
        "\"limit\": 1000");
    first = prop_get(vm, "impair");
    set(vm, "[]");
    g_free(none);
    none = prop_get(vm, "impair");
    g_assert_cmpstr(none, ==, "[]");
    set(vm, first);
    second = prop_get(vm, "impair");
    g_assert_cmpstr(first, ==, second);
    vm_stop(vm);
}

static void test_errors(void)
{
    Vm *vm = vm_start(DEVICE);
    g_autofree char *before = NULL, *after = NULL, *reply = NULL;

    set(vm, "[{\"loss\": 5}]");
    before = prop_get(vm, "impair");
    refused(vm, "[{\"los\": 5}]", "los", "unexpected");
    refused(vm, "[{\"loss\": 101}]", "loss=101", "0 to 100");
    refused(vm, "[{}, {\"peer\": \"fe80::2\", \"limit\": 0}]",
            "rule 1", "limit=0");
    refused(vm, "[{\"loss\": \"5\"}]", "loss", "number");
    refused(vm, "[{\"delay-us\": 1.5}]", "impair[0].delay-us", "uint64");
    refused(vm, "[{\"delay-us\": -1}]", "delay-us", "uint32");
    refused(vm, "[{\"peer\": \"node1\"}]", "peer=node1", "fe80::");
    refused(vm, "[{\"peer\": 5}]", "peer", "string");
    refused(vm, "[{\"partition\": \"sideways\"}]", "partition", "sideways");
    refused(vm, "{\"loss\": 5}", "impair", "array");
    refused(vm, "[5]", "impair", "object");
    refused(vm, "[{\"loss\": 1}, {\"loss\": 2}]", "rule 1", "all peers");
    after = prop_get(vm, "impair");
    g_assert_cmpstr(before, ==, after);
    reply = prop_qmp(vm, "qom-set", "impair-stats", "{}");
    g_assert_true(g_str_has_prefix(reply, "{\"error\""));
    vm_stop(vm);
}

/* At start, in the JSON form of -device, where lists can be written. */
static void test_start(void)
{
    Vm *vm = vm_start("-device '{\"driver\": \"efa\", \"id\": \"efa0\", "
                      "\"gid\": \"fe80::1\", \"impair\": [{\"loss\": 5}, "
                      "{\"peer\": \"fe80::2\", \"rate-mbps\": 10}]}'");
    g_autofree char *said = NULL;

    PROP_HAS(vm, "impair", "\"loss\": 5", "\"peer\": \"fe80::2\"",
        "\"rate-mbps\": 10");
    vm_stop(vm);
    g_assert_cmpint(vm_run(&said, "-device '{\"driver\": \"efa\", "
                           "\"impair\": [{\"loss\": 200}]}'"), ==, 1);
    g_assert_nonnull(strstr(said, "loss=200"));
}

/* What is set at run time acts on the next message. */
static void test_at_work(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    End end;
    uint16_t ah;
    EfaIoCdesc c;

    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    set(vm, "[{\"delay-us\": 1000}]");
    end_recv(&end, 1);
    end_send(&end, 2, ah, end.qpn, 100);
    PROP_HAS(vm, "impair-stats", "\"held\": 1", "\"delayed\": 1", "\"lost\": 0");
    efa_settle(e);
    g_assert_false(cq_poll(e, &end.rcq, &c));
    /* there, and back again */
    vm_clock_step(vm, MSEC);
    g_assert_cmpuint(cq_next(e, &end.rcq).status, ==, 0);
    wait_until(({
        g_autofree char *stats = prop_get(vm, "impair-stats");
        strstr(stats, "\"delayed\": 2") != NULL;
    }));
    vm_clock_step(vm, MSEC);
    g_assert_cmpuint(cq_next(e, &end.scq).status, ==, 0);
    PROP_HAS(vm, "impair-stats", "\"held\": 0");

    /* clearing sets free what is held */
    set(vm, "[{\"delay-us\": 10000000}]");
    end_recv(&end, 3);
    end_send(&end, 4, ah, end.qpn, 100);
    PROP_HAS(vm, "impair-stats", "\"held\": 1");
    set(vm, "[]");
    g_assert_cmpuint(cq_next(e, &end.rcq).status, ==, 0);
    g_assert_cmpuint(cq_next(e, &end.scq).status, ==, 0);
    efa_free(e);
    vm_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-impair/round-trip", test_round_trip);
    g_test_add_func("/efa-impair/errors", test_errors);
    g_test_add_func("/efa-impair/start", test_start);
    g_test_add_func("/efa-impair/at-work", test_at_work);
    return g_test_run();
}
