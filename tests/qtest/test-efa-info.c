/*
 * qtest tier: the cable, and what the driver has told, as properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

#define DEVICE  "-device efa,id=efa0,addr=4,gid=fe80::1"
#define MSEC    (1000 * 1000ll)

static void assert_link(Vm *vm, const char *want)
{
    g_autofree char *value = prop_get(vm, "link");

    g_assert_cmpstr(value, ==, want);
}

static void enable_notifications(Efa *e)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .feature_id = EFA_ADMIN_AENQ_CONFIG);
    EfaAenqConfig groups = { .enabled_groups = 1u << EFA_ADMIN_NOTIFICATION };

    memcpy(cmd.raw, &groups, sizeof(groups));
    admin_ok(e, &cmd, NULL, 0);
}

static void assert_event(Efa *e, unsigned slot, uint16_t syndrome)
{
    EfaAenqEntry event;

    assert_irq(e, 0);
    vm_read(e->vm, e->aenq + slot * sizeof(event), &event, sizeof(event));
    g_assert_cmphex(event.flags, ==, 1);
    g_assert_cmpuint(event.group, ==, EFA_ADMIN_NOTIFICATION);
    g_assert_cmpuint(event.syndrome, ==, syndrome);
}

/* A message to oneself; it arrives, or does so once the link is on. */
static void exchange(Vm *vm, End *end, uint16_t ah, uint16_t id,
                     void (*plug)(Vm *vm))
{
    EfaIoCdesc c;

    end_recv(end, id);
    end_send(end, id, ah, end->qpn, 100);
    if (plug) {
        vm_clock_step(vm, 500 * MSEC);
        efa_settle(end->e);
        g_assert_false(cq_poll(end->e, &end->scq, &c));
        g_assert_false(cq_poll(end->e, &end->rcq, &c));
        plug(vm);
        vm_clock_step(vm, 2000 * MSEC);
    }
    g_assert_cmpuint(cq_next(end->e, &end->scq).status, ==, 0);
    g_assert_cmpuint(cq_next(end->e, &end->rcq).status, ==, 0);
}

static void plug_property(Vm *vm)
{
    prop_set(vm, "link", "true");
    assert_link(vm, "true");
}

static void test_link(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    g_autofree char *reply = NULL;
    uint16_t ah;
    End end;

    assert_link(vm, "true");
    efa_probe(e);
    enable_notifications(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    exchange(vm, &end, ah, 1, NULL);
    prop_set(vm, "link", "false");
    assert_link(vm, "false");
    assert_event(e, 0, EFA_SYNDROME_LINK_DOWN);
    exchange(vm, &end, ah, 2, plug_property);
    assert_event(e, 1, EFA_SYNDROME_LINK_UP);
    PROP_HAS(vm, "impair-stats", "\"unplugged\": ");
    reply = prop_qmp(vm, "qom-set", "link", "\"sideways\"");
    g_assert_true(g_str_has_prefix(reply, "{\"error\""));
    efa_free(e);
    vm_stop(vm);
}

/* Pulled out from the start. */
static void test_link_start(void)
{
    Vm *vm = vm_start(DEVICE ",link=off");
    Efa *e = efa_new_first(vm);
    End end;

    assert_link(vm, "false");
    efa_probe(e);
    end = end_new(e, NULL);
    exchange(vm, &end, end_ah(&end, gid_of(1)), 1, plug_property);
    efa_free(e);
    vm_stop(vm);
}

static void plug_netdev(Vm *vm)
{
    vm_qmp_ok(vm, "set_link", "\"name\": \"n0\", \"up\": true");
    assert_link(vm, "true");
}

/* QEMU's own command for network interfaces pulls the same cable. */
static void test_set_link(void)
{
    Vm *vm = vm_start("-netdev hubport,id=n0,hubid=0 " DEVICE ",netdev=n0");
    Efa *e = efa_new_first(vm);
    uint16_t ah;
    End end;

    efa_probe(e);
    enable_notifications(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(1));
    vm_qmp_ok(vm, "set_link", "\"name\": \"n0\", \"up\": false");
    assert_link(vm, "false");
    assert_event(e, 0, EFA_SYNDROME_LINK_DOWN);
    exchange(vm, &end, ah, 1, plug_netdev);
    assert_event(e, 1, EFA_SYNDROME_LINK_UP);
    /* either undoes what the other has done */
    vm_qmp_ok(vm, "set_link", "\"name\": \"n0\", \"up\": false");
    exchange(vm, &end, ah, 2, plug_property);
    prop_set(vm, "link", "false");
    exchange(vm, &end, ah, 3, plug_netdev);
    efa_free(e);
    vm_stop(vm);
}

/* ---- host info ---- */

static void assert_untold(Vm *vm)
{
    PROP_HAS(vm, "host-info", "\"os\": \"\"", "\"os-type\": 0",
             "\"kernel\": \"\"", "\"kernel-version\": 0",
             "\"driver-version\": 0", "\"bdf\": \"\"",
             "\"spec-version\": \"\"", "\"flags\": 0");
}

static void tell(Efa *e, uint64_t page, const EfaHostInfo *info)
{
    EfaFeatureCmd cmd = CMD(EfaFeatureCmd, EFA_ADMIN_SET_FEATURE,
                            .common.flags = R_AQ_COMMON_CTRL_DATA_MASK,
                            .feature_id = EFA_ADMIN_HOST_INFO,
                            .control_buffer = { sizeof(*info), page,
                                                page >> 32 });

    vm_write(e->vm, page, info, sizeof(*info));
    admin_ok(e, &cmd, NULL, 0);
}

static void test_host_info(void)
{
    Vm *vm = vm_start(DEVICE);
    Efa *e = efa_new_first(vm);
    EfaHostInfo info = {
        .os_dist_str = "6.12.57+deb13-amd64", .kernel_ver_str = "#1 SMP",
        .kernel_ver = 0x060c39, .driver_ver = 0x03010067, .bdf = 0x0123,
        .spec_ver = 0x0200, .flags = 1,
    };
    g_autofree char *reply = NULL;
    uint64_t page;

    assert_untold(vm);
    efa_probe(e);
    assert_untold(vm);
    page = efa_alloc(e, DRV_PAGE);
    tell(e, page, &info);
    PROP_HAS(vm, "host-info", "\"os\": \"6.12.57+deb13-amd64\"",
             "\"kernel\": \"#1 SMP\"", "\"kernel-version\": 396345",
             "\"driver-version\": 50397287", "\"bdf\": \"01:04.3\"",
             "\"spec-version\": \"2.0\"", "\"flags\": 1");
    /* whatever a guest says, the monitor stays in one piece */
    memset(&info, 0xff, sizeof(info));
    info.os_dist_str[0] = '"';
    tell(e, page, &info);
    PROP_HAS(vm, "host-info", "\"os\": \"\\\"", "\"bdf\": \"ff:1f.7\"",
             "\"flags\": 4294967295");
    efa_reset_handshake(e);
    assert_untold(vm);
    reply = prop_qmp(vm, "qom-set", "host-info", "{}");
    g_assert_true(g_str_has_prefix(reply, "{\"error\""));
    efa_free(e);
    vm_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-info/link", test_link);
    g_test_add_func("/efa-info/link-start", test_link_start);
    g_test_add_func("/efa-info/set-link", test_set_link);
    g_test_add_func("/efa-info/host-info", test_host_info);
    return g_test_run();
}
