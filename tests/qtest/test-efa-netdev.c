/*
 * qtest tier: the device on QEMU's network layer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"
#include "efa-packet.h"
#include "frame.h"
#include <sys/socket.h>
#include <sys/un.h>

#define MSEC        (1000 * 1000ll)

/* ---- messages ---- */

static void fill_tx(End *end, uint8_t seed, uint32_t len)
{
    uint8_t data[DRV_PAGE];
    unsigned i;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = seed + i * 7 + (i >> 8);
    }
    vm_write(end->e->vm, end->tx, data, len);
}

/* A send from @from to @to, announced; @pump, if any, moves the frames. */
static void exchange(End *from, End *to, uint16_t ah, uint16_t id,
                     uint32_t len, void (*pump)(void *), void *opaque)
{
    uint8_t sent[DRV_PAGE], got[DRV_PAGE];
    bool received = false, completed = false;
    EfaIoCdesc rx, tx;

    fill_tx(from, id, len);
    end_recv(to, id);
    end_send(from, id, ah, to->qpn, len);
    wait_until((pump ? pump(opaque) : (void)0,
                received = received || cq_poll(to->e, &to->rcq, &rx),
                completed = completed || cq_poll(from->e, &from->scq, &tx),
                received && completed));
    g_assert_cmpuint(rx.status, ==, EFA_IO_COMP_STATUS_OK);
    g_assert_cmpuint(rx.req_id, ==, id);
    g_assert_cmpuint(rx.length, ==, len);
    g_assert_cmpuint(tx.status, ==, EFA_IO_COMP_STATUS_OK);
    g_assert_cmpuint(tx.req_id, ==, id);
    vm_read(from->e->vm, from->tx, sent, len);
    vm_read(to->e->vm, to->rx, got, len);
    g_assert_cmpmem(sent, len, got, len);
}

/* Two devices and what an application has on each. */
typedef struct Two {
    Efa *e[2];
    End end[2];
    uint16_t ah[2];         /* to the other */
} Two;

static Two two_new(Vm *a, Vm *b)
{
    Two t = { .e = { efa_new_first(a), a == b
                     ? efa_new(b, (PciAddr) { .slot = 5 }, 1)
                     : efa_new_first(b) } };
    unsigned i;

    for (i = 0; i < 2; i++) {
        efa_probe(t.e[i]);
        t.end[i] = end_new(t.e[i], NULL);
        t.ah[i] = end_ah(&t.end[i], gid_of(2 - i));
    }
    return t;
}

static void two_free(Two *t)
{
    efa_free(t->e[0]);
    efa_free(t->e[1]);
}

/* Of all sizes, there and back. */
static void two_exchange(Two *t, void (*pump)(void *), void *opaque)
{
    static const uint32_t sizes[] = { 8, 400, 1376, 1377, DRV_PAGE };
    unsigned i, id = 1;

    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        exchange(&t->end[0], &t->end[1], t->ah[0], id++, sizes[i], pump,
                 opaque);
        exchange(&t->end[1], &t->end[0], t->ah[1], id++, sizes[i], pump,
                 opaque);
    }
}

/* ---- the test is the wire ---- */

typedef struct Wire {
    char *dir;
    int sock[2];
    unsigned frames[2];     /* that came from a device */
    unsigned lose;          /* the next so many */
    unsigned longest;
    EfaFrameHdr first;      /* of device 0 */
    size_t first_len;
} Wire;

static struct sockaddr_un wire_address(Wire *w, const char *what, unsigned i)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s%u", w->dir, what,
               i);
    return addr;
}

static void wire_open(Wire *w)
{
    unsigned i;

    memset(w, 0, sizeof(*w));
    w->dir = dir_new();
    for (i = 0; i < 2; i++) {
        struct sockaddr_un addr = wire_address(w, "test", i);

        w->sock[i] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(w->sock[i], (struct sockaddr *)&addr,
                             sizeof(addr)), ==, 0);
    }
}

static char *wire_netdev(Wire *w, unsigned i)
{
    return g_strdup_printf("-netdev dgram,id=n%u,local.type=unix,"
                           "local.path=%s/qemu%u,remote.type=unix,"
                           "remote.path=%s/test%u", i, w->dir, i, w->dir, i);
}

static void wire_close(Wire *w)
{
    close(w->sock[0]);
    close(w->sock[1]);
    dir_free(w->dir);
}

static void wire_put(Wire *w, unsigned to, const void *frame, size_t len)
{
    struct sockaddr_un addr = wire_address(w, "qemu", to);

    g_assert_cmpint(sendto(w->sock[to], frame, len, 0,
                           (struct sockaddr *)&addr, sizeof(addr)), ==, len);
}

static void wire_pump(void *opaque)
{
    Wire *w = opaque;
    uint8_t frame[65536];
    unsigned i;
    ssize_t n;

    for (i = 0; i < 2; i++) {
        while ((n = recv(w->sock[i], frame, sizeof(frame),
                         MSG_DONTWAIT)) > 0) {
            if (!i && !w->frames[i]) {
                memcpy(&w->first, frame, sizeof(w->first));
                w->first_len = n;
            }
            w->frames[i]++;
            w->longest = MAX(w->longest, n);
            if (w->lose) {
                w->lose--;
            } else {
                wire_put(w, !i, frame, n);
            }
        }
    }
}

/* Two devices of one machine, each with its end of @w. */
static Vm *vm_on_wire(Wire *w)
{
    g_autofree char *n0 = NULL, *n1 = NULL;

    wire_open(w);
    n0 = wire_netdev(w, 0);
    n1 = wire_netdev(w, 1);
    return vm_start("%s %s -device efa,addr=4,gid=fe80::1,netdev=n0 "
                    "-device efa,addr=5,gid=fe80::2,netdev=n1", n0, n1);
}

/* Frames are what the document says, and the only thing there is. */
static void test_dgram(void)
{
    EfaGid g0 = gid_of(1), g1 = gid_of(2);
    EfaMac m0 = efa_mac_from_gid(&g0), m1 = efa_mac_from_gid(&g1);
    Wire w;
    Vm *vm;
    Two t;

    vm = vm_on_wire(&w);
    t = two_new(vm, vm);
    wire_pump(&w);
    g_assert_cmpuint(w.frames[0] + w.frames[1], ==, 0);
    exchange(&t.end[0], &t.end[1], t.ah[0], 100, 8, wire_pump, &w);
    g_assert_cmpuint(w.frames[0], ==, 1);
    g_assert_cmpuint(w.frames[1], ==, 1);
    g_assert_cmpmem(&w.first.src, 6, &m0, 6);
    g_assert_cmpmem(&w.first.dst, 6, &m1, 6);
    g_assert_cmphex(GUINT16_FROM_BE(w.first.ethertype), ==, 0x88b5);
    g_assert_cmphex(w.first.magic, ==, EFA_FRAME_MAGIC);
    g_assert_cmpuint(w.first.total, ==, sizeof(EfaPktHdr) + 8);
    g_assert_cmpuint(w.first_len, ==, sizeof(EfaFrameHdr) + w.first.total);
    two_exchange(&t, wire_pump, &w);
    g_assert_cmpuint(w.longest, ==, 14 + 1500);
    two_free(&t);
    vm_stop(vm);
    wire_close(&w);
}

/* Noise on the wire harms nobody. */
static void send_noise(Wire *w)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    EfaGid g0 = gid_of(1);
    EfaFrameHdr hdr = {
        .dst = efa_mac_from_gid(&g0), .ethertype = 0xb588,
        .magic = EFA_FRAME_MAGIC, .version = EFA_FRAME_VERSION,
        .total = 9000, .unit = 1000,
    };
    uint8_t frame[2000];
    unsigned i;

    for (i = 0; i < 2000; i++) {
        size_t j, len = g_rand_int_range(rand, 1, sizeof(frame));

        for (j = 0; j < len; j++) {
            frame[j] = g_rand_int(rand);
        }
        if (i % 4) {
            hdr.id = i;
            hdr.src.raw[5] = i;
            hdr.index = i % 9;
            memcpy(frame, &hdr, MIN(len, sizeof(hdr)));
        }
        wire_put(w, 0, frame, len);
    }
}

static void test_noise_and_loss(void)
{
    EfaIoCdesc done;
    unsigned i;
    Wire w;
    Vm *vm;
    Two t;

    vm = vm_on_wire(&w);
    t = two_new(vm, vm);
    send_noise(&w);
    two_exchange(&t, wire_pump, &w);
    /* lost on the way there, then on the way back: sent again in time */
    for (i = 0; i < 2; i++) {
        end_recv(&t.end[1], 50 + i);
        w.lose = i ? 0 : 1;
        end_send(&t.end[0], 60 + i, t.ah[0], t.end[1].qpn, 64);
        if (i) {
            wait_until((wire_pump(&w), cq_poll(t.e[1], &t.end[1].rcq, &done)));
            continue;
        }
        wait_until((wire_pump(&w), !w.lose));
        g_assert_false(cq_poll(t.e[0], &t.end[0].scq, &done));
        wait_until((vm_clock_step(vm, 50 * MSEC), wire_pump(&w),
                    cq_poll(t.e[1], &t.end[1].rcq, &done)));
    }
    wait_until((wire_pump(&w), cq_poll(t.e[0], &t.end[0].scq, &done)));
    g_assert_cmpuint(done.status, ==, EFA_IO_COMP_STATUS_OK);
    two_free(&t);
    vm_stop(vm);
    wire_close(&w);
}

/* ---- QEMU's own ways ---- */

/* On one hub each sends into the other while it sends itself. */
static void check_hub(unsigned mtu)
{
    char *dir = dir_new();
    Vm *vm = vm_start("-netdev hubport,hubid=0,id=n0 "
                      "-netdev hubport,hubid=0,id=n1 "
                      "-object filter-dump,id=d,netdev=n0,file=%s/pcap "
                      "-device efa,addr=4,gid=fe80::1,netdev=n0,path-mtu=%u "
                      "-device efa,addr=5,gid=fe80::2,netdev=n1,path-mtu=%u",
                      dir, mtu, mtu);
    g_autofree char *path = g_build_filename(dir, "pcap", NULL);
    g_autofree char *net = NULL, *pcap = NULL;
    Two t = two_new(vm, vm);
    gsize len;

    two_exchange(&t, NULL, NULL);
    net = vm_qmp(vm, "human-monitor-command",
                 "\"command-line\": \"info network\"");
    g_assert_nonnull(strstr(net, "model=efa,macaddr=06:a3:60:b1:8e:cd"));
    two_free(&t);
    vm_stop(vm);
    /* filter-dump has seen it: a frame of ours is the first */
    g_assert_true(g_file_get_contents(path, &pcap, &len, NULL));
    g_assert_cmpuint(len, >, 24 + 16 + 60);
    g_assert_cmphex((uint8_t)pcap[24 + 16 + 12], ==, 0x88);
    g_assert_cmphex((uint8_t)pcap[24 + 16 + 13], ==, 0xb5);
    dir_free(dir);
}

static void test_hub(void)
{
    check_hub(1500);
}

static void test_hub_small(void)
{
    check_hub(576);
}

static void test_hub_large(void)
{
    check_hub(65535);
}

/* Two machines, a stream between them. */
static void test_stream(void)
{
    char *dir = dir_new();
    Vm *a = vm_start("-netdev stream,id=n0,server=on,addr.type=unix,"
                     "addr.path=%s/sock "
                     "-device efa,addr=4,gid=fe80::1,netdev=n0", dir);
    Vm *b = vm_start("-netdev stream,id=n0,server=off,addr.type=unix,"
                     "addr.path=%s/sock "
                     "-device efa,addr=4,gid=fe80::2,netdev=n0", dir);
    Two t = two_new(a, b);

    two_exchange(&t, NULL, NULL);
    two_free(&t);
    vm_stop(a);
    vm_stop(b);
    dir_free(dir);
}

/* A machine that stands still gets what came meanwhile when it goes on. */
static void test_stop(void)
{
    g_autofree char *n0 = NULL, *n1 = NULL;
    EfaIoCdesc done;
    Vm *a, *b;
    Wire w;
    Two t;

    wire_open(&w);
    n0 = wire_netdev(&w, 0);
    n1 = wire_netdev(&w, 1);
    a = vm_start("%s -device efa,addr=4,gid=fe80::1,netdev=n0", n0);
    b = vm_start("%s -device efa,addr=4,gid=fe80::2,netdev=n1", n1);
    t = two_new(a, b);
    end_recv(&t.end[1], 1);
    vm_qmp_ok(b, "stop", NULL);
    end_send(&t.end[0], 2, t.ah[0], t.end[1].qpn, 64);
    wait_until((wire_pump(&w), w.frames[0]));
    efa_settle(t.e[1]);
    g_assert_false(cq_poll(t.e[1], &t.end[1].rcq, &done));
    vm_qmp_ok(b, "cont", NULL);
    wait_until((wire_pump(&w), cq_poll(t.e[1], &t.end[1].rcq, &done)));
    wait_until((wire_pump(&w), cq_poll(t.e[0], &t.end[0].scq, &done)));
    g_assert_cmpuint(done.status, ==, EFA_IO_COMP_STATUS_OK);
    /* and the sender, with work that waits for it */
    vm_qmp_ok(a, "stop", NULL);
    end_recv(&t.end[1], 3);
    end_send(&t.end[0], 4, t.ah[0], t.end[1].qpn, 64);
    efa_settle(t.e[0]);
    wire_pump(&w);
    g_assert_false(cq_poll(t.e[1], &t.end[1].rcq, &done));
    vm_qmp_ok(a, "cont", NULL);
    wait_until((wire_pump(&w), cq_poll(t.e[1], &t.end[1].rcq, &done)));
    wait_until((wire_pump(&w), cq_poll(t.e[0], &t.end[0].scq, &done)));
    two_exchange(&t, wire_pump, &w);
    two_free(&t);
    vm_stop(a);
    vm_stop(b);
    wire_close(&w);
}

/* A pulled cable: nothing arrives until it is in again. */
static void test_set_link(void)
{
    Vm *vm = vm_start("-netdev hubport,hubid=0,id=n0 "
                      "-netdev hubport,hubid=0,id=n1 "
                      "-device efa,addr=4,gid=fe80::1,netdev=n0,id=efa0 "
                      "-device efa,addr=5,gid=fe80::2,netdev=n1");
    Two t = two_new(vm, vm);
    EfaIoCdesc done;

    two_exchange(&t, NULL, NULL);
    vm_qmp_ok(vm, "set_link", "\"name\": \"efa0\", \"up\": false");
    end_recv(&t.end[1], 1);
    end_send(&t.end[0], 2, t.ah[0], t.end[1].qpn, 64);
    efa_settle(t.e[0]);
    g_assert_false(cq_poll(t.e[1], &t.end[1].rcq, &done));
    vm_qmp_ok(vm, "set_link", "\"name\": \"efa0\", \"up\": true");
    wait_until((vm_clock_step(vm, 50 * MSEC),
                cq_poll(t.e[1], &t.end[1].rcq, &done)));
    wait_until(cq_poll(t.e[0], &t.end[0].scq, &done));
    g_assert_cmpuint(done.status, ==, EFA_IO_COMP_STATUS_OK);
    two_free(&t);
    vm_stop(vm);
}

/* Nobody answers: the work ends when the time is over. */
static void test_silence(void)
{
    Vm *vm = vm_start("-netdev hubport,hubid=0,id=n0 "
                      "-netdev hubport,hubid=0,id=n1 "
                      "-device efa,addr=4,gid=fe80::1,netdev=n0,"
                      "peer-timeout-ms=1000 "
                      "-device efa,addr=5,gid=fe80::2,netdev=n1,id=efa1");
    Two t = two_new(vm, vm);
    EfaIoCdesc done;

    /* never heard of */
    end_send(&t.end[0], 1, end_ah(&t.end[0], gid_of(9)), 1, 64);
    wait_until((vm_clock_step(vm, 50 * MSEC),
                cq_poll(t.e[0], &t.end[0].scq, &done)));
    g_assert_cmpuint(done.status, ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_UNREACH_REMOTE);
    /* was there, and is cut off */
    two_exchange(&t, NULL, NULL);
    vm_qmp_ok(vm, "set_link", "\"name\": \"efa1\", \"up\": false");
    end_send(&t.end[0], 2, t.ah[0], t.end[1].qpn, 64);
    wait_until((vm_clock_step(vm, 50 * MSEC),
                cq_poll(t.e[0], &t.end[0].scq, &done)));
    g_assert_cmpuint(done.status, ==,
                     EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE);
    two_free(&t);
    vm_stop(vm);
}

/* ---- plugging ---- */

/* In and out with work outstanding, the netdev before or after the device. */
static void test_hotplug(void)
{
    static const uint8_t zeros[1 << 18];
    Vm *vm = vm_start(ROOT_PORT);
    unsigned footprint = vm_footprint(vm);
    unsigned round;

    port_set_up(vm);
    for (round = 0; round < 4; round++) {
        uint16_t ah;
        End end;
        Efa *e;

        vm_qmp_ok(vm, "netdev_add", "\"type\": \"dgram\", \"id\": \"n0\", "
                  "\"local\": {\"type\": \"inet\", \"host\": \"127.0.0.1\", "
                  "\"port\": \"0\"}, \"remote\": {\"type\": \"inet\", "
                  "\"host\": \"127.0.0.1\", \"port\": \"9\"}");
        vm_qmp_ok(vm, "device_add", "\"driver\": \"efa\", \"id\": \"efa1\", "
                  "\"bus\": \"rp0\", \"gid\": \"fe80::1\", "
                  "\"netdev\": \"n0\"");
        port_power(vm, true);
        e = efa_new(vm, behind_port, 0);
        vm_write(vm, e->mem, zeros, sizeof(zeros));
        efa_probe(e);
        end = end_new(e, NULL);
        ah = end_ah(&end, gid_of(9));
        end_send(&end, 1, ah, end.qpn, 8);
        if (round % 2) {
            vm_qmp_ok(vm, "netdev_del", "\"id\": \"n0\"");
            end_send(&end, 2, ah, end.qpn, 8);
        }
        vm_qmp_ok(vm, "device_del", "\"id\": \"efa1\"");
        port_power(vm, false);
        vm_qmp_event(vm, "DEVICE_DELETED");
        if (!(round % 2)) {
            vm_qmp_ok(vm, "netdev_del", "\"id\": \"n0\"");
        }
        wait_until(vm_footprint(vm) <= footprint);
        efa_free(e);
    }
    vm_clock_step(vm, 1000 * MSEC);
    vm_stop(vm);
}

/* ---- the command line ---- */

static void assert_refused(const char *args, const char *const *words)
{
    g_autofree char *said = NULL;
    int status = vm_run(&said, "%s", args);
    size_t i;

    g_strchomp(said);
    for (i = 0; words[i]; i++) {
        if (status != 1 || !strstr(said, words[i]) || strchr(said, '\n')) {
            g_error("%s: status %d, looked for one line with '%s' in: %s",
                    args, status, words[i], said);
        }
    }
}

#define REFUSED(args, ...) \
    assert_refused(args, (const char *const[]) { __VA_ARGS__, NULL })
#define HUBPORT "-netdev hubport,hubid=0,id=n0 "

static void test_bad_properties(void)
{
    char *dir = dir_new();
    g_autofree char *both = g_strdup_printf(
        HUBPORT "-device efa,netdev=n0,fabric=%s", dir);

    REFUSED(both, dir, "netdev=n0", "one of them");
    REFUSED("-device efa,netdev=n0", "netdev", "n0", "can't find");
    REFUSED(HUBPORT "-device efa,netdev=n0 -device efa,netdev=n0", "netdev",
            "n0", "in use");
    REFUSED(HUBPORT "-device efa,netdev=n0,path-mtu=575", "path-mtu=575",
            "576 to 65535");
    REFUSED(HUBPORT "-device efa,netdev=n0,path-mtu=65536", "path-mtu=65536",
            "576 to 65535");
    dir_free(dir);
}

/* Unplugged while frames wait in the backend, which then gets rid of them. */
static void test_unplug_pending(void)
{
    static const uint8_t zeros[1 << 18];
    g_autofree char *n0 = NULL;
    unsigned i, before;
    uint16_t ah;
    Wire w;
    End end;
    Efa *e;
    Vm *vm;

    wire_open(&w);
    n0 = wire_netdev(&w, 0);
    vm = vm_start("%s " ROOT_PORT " -device efa,id=efa1,bus=rp0,gid=fe80::1,"
                  "netdev=n0,path-mtu=576", n0);
    port_set_up(vm);
    port_power(vm, true);
    e = efa_new(vm, behind_port, 0);
    vm_write(vm, e->mem, zeros, sizeof(zeros));
    efa_probe(e);
    end = end_new(e, NULL);
    ah = end_ah(&end, gid_of(9));
    /* more frames than a socket takes that nobody reads */
    for (i = 0; i < 12; i++) {
        end_send(&end, i, ah, end.qpn, DRV_PAGE);
        efa_settle(e);
    }
    for (i = 0; i < 30; i++) {
        vm_clock_step(vm, 100 * MSEC);
        efa_settle(e);
    }
    vm_qmp_ok(vm, "device_del", "\"id\": \"efa1\"");
    port_power(vm, false);
    vm_qmp_event(vm, "DEVICE_DELETED");
    /* until the backend has nothing left */
    do {
        uint8_t frame[65536];

        before = w.frames[0];
        while (recv(w.sock[0], frame, sizeof(frame), MSG_DONTWAIT) > 0) {
            w.frames[0]++;
        }
        for (i = 0; i < 10; i++) {
            vm_qmp_ok(vm, "query-status", NULL);
        }
    } while (w.frames[0] != before);
    g_assert_cmpuint(w.frames[0], >, 0);
    efa_free(e);
    vm_stop(vm);
    wire_close(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/efa-netdev/dgram", test_dgram);
    g_test_add_func("/efa-netdev/noise-and-loss", test_noise_and_loss);
    g_test_add_func("/efa-netdev/hub", test_hub);
    g_test_add_func("/efa-netdev/hub-small", test_hub_small);
    g_test_add_func("/efa-netdev/hub-large", test_hub_large);
    g_test_add_func("/efa-netdev/stream", test_stream);
    g_test_add_func("/efa-netdev/stop", test_stop);
    g_test_add_func("/efa-netdev/set-link", test_set_link);
    g_test_add_func("/efa-netdev/silence", test_silence);
    g_test_add_func("/efa-netdev/hotplug", test_hotplug);
    g_test_add_func("/efa-netdev/unplug-pending", test_unplug_pending);
    g_test_add_func("/efa-netdev/bad-properties", test_bad_properties);
    return g_test_run();
}
