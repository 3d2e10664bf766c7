/*
 * Unit tests: the shared memory fabric's directory and names, and handshakes,
 * most of them malformed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "shm-harness.h"
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <glib/gstdio.h>
#include "efa-packet.h"

static void test_gid_text(void)
{
    EfaGid g, untouched = *gid(5);
    char *text = efa_gid_to_string(gid(0x102));

    g_assert_cmpstr(text, ==, "fe80::102");
    g_assert_true(efa_gid_parse(text, &g));
    g_assert_true(efa_gid_equal(&g, gid(0x102)));
    g_free(text);
    g = untouched;
    g_assert_false(efa_gid_parse("", &g));
    g_assert_false(efa_gid_parse(NULL, &g));
    g_assert_false(efa_gid_parse("fe80::1::2", &g));
    g_assert_false(efa_gid_parse("10.0.0.1", &g));
    g_assert_false(efa_gid_parse("fe80::1 ", &g));
    g_assert_true(efa_gid_equal(&g, &untouched));
}

/* the directory */

static void check_new_fails(const char *path, const char *what,
                            const char *remedy)
{
    GError *err = NULL;

    g_assert_null(efa_fabric_shm_new(path, gid(1), &node_client, NULL, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, path));
    g_assert_nonnull(strstr(err->message, what));
    g_assert_nonnull(strstr(err->message, remedy));
    g_assert_null(strchr(err->message, '\n'));
    g_error_free(err);
}

static void test_dir(void)
{
    char *missing = g_build_filename(shm_dir, "missing", NULL);
    char *file = g_build_filename(shm_dir, "file", NULL);
    char *open_dir = g_build_filename(shm_dir, "open", NULL);

    check_new_fails(missing, "does not exist", "mkdir -m 0700");
    g_assert_true(g_file_set_contents(file, "x", 1, NULL));
    check_new_fails(file, "not a directory", "mkdir -m 0700");
    g_assert_cmpint(g_mkdir(open_dir, 0700), ==, 0);
    g_assert_cmpint(g_chmod(open_dir, 0755), ==, 0);
    check_new_fails(open_dir, "mode 0755", "chmod 0700");
    g_assert_cmpint(g_chmod(open_dir, 0500), ==, 0);
    check_new_fails(open_dir, "mode 0500", "chmod 0700");
    g_assert_cmpint(g_chmod(open_dir, 0710), ==, 0);
    check_new_fails(open_dir, "mode 0710", "chmod 0700");
    if (geteuid() == 0) {
        g_assert_cmpint(g_chmod(open_dir, 0700), ==, 0);
        g_assert_cmpint(chown(open_dir, 1, 1), ==, 0);
        check_new_fails(open_dir, "belongs to user 1", "mkdir -m 0700");
    }
    g_rmdir(open_dir);
    g_unlink(file);
    g_free(missing);
    g_free(file);
    g_free(open_dir);
}

static void test_long_path(void)
{
    char *saved = shm_dir;
    GString *path = g_string_new(shm_dir);
    Node *a, *b;
    int i;

    for (i = 0; i < 3; i++) {
        g_string_append_c(path, '/');
        g_string_append_printf(path, "%0200d", i);
        g_assert_cmpint(g_mkdir(path->str, 0700), ==, 0);
    }
    shm_dir = path->str;
    node_pair(&a, &b);
    node_free(a);
    node_free(b);
    shm_dir = saved;
    for (i = 0; i < 3; i++) {
        g_assert_cmpint(g_rmdir(path->str), ==, 0);
        g_string_truncate(path, path->len - 201);
    }
    g_string_free(path, TRUE);
}

static void test_duplicate(void)
{
    Node *a = node_new(1);

    check_new_fails(shm_dir, "fe80::1 is already in use", "another one");
    g_assert_true(exists(gid(1), ".sock"));
    g_assert_true(exists(gid(1), ".lock"));
    node_free(a);
    g_assert_false(exists(gid(1), ".sock"));
    g_assert_false(exists(gid(1), ".lock"));
    node_free(node_new(1));
}

/* A dead owner's socket and lock file are nobody's, then replaced. */
static void test_stale(void)
{
    char *lock = path_of(gid(2), ".lock");
    Node *a = node_new(1), *b;

    close(raw_socket(2, true));
    g_assert_true(g_file_set_contents(lock, "", 0, NULL));
    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d0");
    b = node_new(2);
    node_connect(a, 2);
    settle(a, b);
    check_log(a, "u");
    node_free(a);
    node_free(b);
    g_free(lock);
}

/* Something else under the peer's name. */
static void test_foreign_socket(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char *path = path_of(gid(2), ".sock");
    Node *a = node_new(1), *b;
    int sock;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d0");
    g_unlink(path);

    sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(addr.sun_path, path);
    g_assert_cmpint(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d2");
    close(sock);

    b = node_new(2);
    node_connect(a, 2);
    settle(a, b);
    check_log(a, "u");
    node_free(a);
    node_free(b);
    g_free(path);
}

/* incoming handshakes */

static void check_refused(Node *n, Raw *r, int status)
{
    unsigned fds = count_fds();

    raw_send(r);
    node_run(n);
    g_assert_cmpint(raw_status(r), ==, status);
    g_assert_true(raw_closed(r));
    check_log(n, "");
    g_assert_cmpuint(count_fds(), ==, fds);
    raw_free(r);
}

static void test_hello_messages(void)
{
    static const size_t offsets[] = {
        offsetof(EfaShmHello, reserved), offsetof(EfaShmHello, reserved2),
        offsetof(EfaShmHello, length),
    };
    Node *n = node_new(1);
    int64_t start = g_get_monotonic_time();
    size_t i;
    Raw r;

    shm_complaints = 0;
    for (i = 1; i < sizeof(EfaShmHello); i++) {
        raw_init(&r, 9, 1);
        r.len = i;
        check_refused(n, &r, EFA_SHM_BAD_MESSAGE);
    }
    raw_init(&r, 9, 1);
    r.len = sizeof(r.hello) + 1;        /* oversized */
    check_refused(n, &r, EFA_SHM_BAD_MESSAGE);
    raw_init(&r, 9, 1);
    r.hello.magic ^= 1;                 /* foreign */
    check_refused(n, &r, EFA_SHM_BAD_MESSAGE);
    for (i = 0; i < ARRAY_SIZE(offsets); i++) {
        raw_init(&r, 9, 1);
        ((uint8_t *)&r.hello)[offsets[i]] ^= 0x80;
        check_refused(n, &r, EFA_SHM_BAD_MESSAGE);
    }

    /* Another version, whatever its length. */
    for (i = 8; i <= sizeof(r.hello) + 32; i += 8) {
        raw_init(&r, 9, 1);
        r.hello.version++;
        r.len = i;
        check_refused(n, &r, EFA_SHM_BAD_VERSION);
    }
    raw_init(&r, 9, 1);
    r.hello.packet_version = EFA_PKT_VERSION + 1;
    check_refused(n, &r, EFA_SHM_BAD_VERSION);
    raw_init(&r, 9, 1);
    r.hello.ring_size /= 2;
    check_refused(n, &r, EFA_SHM_BAD_VERSION);
    raw_init(&r, 9, 1);
    r.hello.header_size *= 2;
    check_refused(n, &r, EFA_SHM_BAD_VERSION);

    raw_init(&r, 9, 1);
    r.hello.dst.raw[15] ^= 4;
    check_refused(n, &r, EFA_SHM_BAD_GID);
    raw_init(&r, 1, 1);
    check_refused(n, &r, EFA_SHM_BAD_GID);

    /* One line a second at most; and it is still well. */
    g_assert_cmpuint(shm_complaints, >=, 1);
    g_assert_cmpint(shm_complaints, <=,
                    1 + (g_get_monotonic_time() - start) / G_USEC_PER_SEC);
    raw_up(&r, n);
    raw_put(&r, "well", 4);
    node_run(n);
    g_assert_cmpmem(n->last, n->last_len, "well", 4);
    raw_free(&r);
    node_free(n);
}

static int plain_memfd(size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

static void raw_set_fd(Raw *r, unsigned i, int fd)
{
    g_assert_cmpint(fd, >=, 0);
    close(r->fds[i]);
    r->fds[i] = fd;
}

static void check_bad_fd(Node *n, unsigned i, int fd)
{
    Raw r;

    raw_init(&r, 9, 1);
    raw_set_fd(&r, i, fd);
    check_refused(n, &r, EFA_SHM_BAD_FDS);
}

static void test_hello_fds(void)
{
    const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const size_t size = EFA_SHM_REGION_SIZE;
    Node *n = node_new(1);
    unsigned i;
    int p[2];
    Raw r;

    for (i = 0; i < 3; i++) {
        raw_init(&r, 9, 1);
        r.nfds = i;
        check_refused(n, &r, EFA_SHM_BAD_FDS);
    }
    for (i = 3; i < 8; i++) {
        raw_init(&r, 9, 1);
        while (r.nfds <= i) {
            r.fds[r.nfds++] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        }
        r.nfds = i + 1;
        if (i < 7) {
            check_refused(n, &r, EFA_SHM_BAD_FDS);
        } else {
            raw_free(&r);
        }
    }

    check_bad_fd(n, 0, open("/dev/zero", O_RDWR | O_CLOEXEC));
    check_bad_fd(n, 0, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    check_bad_fd(n, 0, plain_memfd(size, 0));
    check_bad_fd(n, 0, plain_memfd(size, F_SEAL_SHRINK | F_SEAL_GROW));
    check_bad_fd(n, 0, plain_memfd(size, F_SEAL_GROW | F_SEAL_SEAL));
    check_bad_fd(n, 0, plain_memfd(size, F_SEAL_SHRINK | F_SEAL_SEAL));
    check_bad_fd(n, 0, plain_memfd(size, all | F_SEAL_WRITE));
    check_bad_fd(n, 0, plain_memfd(size - 4096, all));
    check_bad_fd(n, 0, plain_memfd(size + 4096, all));
    check_bad_fd(n, 0, plain_memfd(0, all));

    for (i = 1; i < 3; i++) {
        check_bad_fd(n, i, eventfd(0, EFD_CLOEXEC));    /* would block */
        check_bad_fd(n, i, open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC));
        check_bad_fd(n, i, plain_memfd(4096, 0));
        g_assert_cmpint(pipe2(p, O_NONBLOCK | O_CLOEXEC), ==, 0);
        check_bad_fd(n, i, p[1]);
        close(p[0]);
    }
    raw_up(&r, n);
    raw_free(&r);
    node_free(n);
}

/* Connected and silent, or gone again: bounded, and others get through. */
static void test_half_open(void)
{
    int socks[100];
    Node *n = node_new(1);
    unsigned i, closed = 0, fds = count_fds();
    Raw r;

    for (i = 0; i < 100; i++) {
        socks[i] = raw_socket(1, false);
    }
    node_run(n);
    g_assert_cmpuint(count_fds(), ==, fds + 100 + 64);
    for (i = 0; i < 100; i++) {
        char c;
        bool gone = recv(socks[i], &c, 1, MSG_DONTWAIT) == 0;

        g_assert_true(gone == (i < 36));    /* the oldest */
        closed += gone;
    }
    g_assert_cmpuint(closed, ==, 36);
    raw_up(&r, n);
    raw_free(&r);
    for (i = 0; i < 100; i++) {
        close(socks[i]);
    }
    node_run(n);
    g_assert_cmpuint(count_fds(), ==, fds);
    check_log(n, "d1");
    node_free(n);
}

static void test_out_of_fds(void)
{
    struct rlimit saved, low;
    Node *n = node_new(1);
    int hogs[64], i, h = 0;
    Raw r;

    raw_init(&r, 9, 1);
    getrlimit(RLIMIT_NOFILE, &saved);
    low = saved;
    low.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &low);
    while ((hogs[h] = dup(0)) >= 0) {
        h++;
    }
    /* Turned away, and no end of polling. */
    node_run(n);
    g_assert_true(raw_closed(&r));
    /* Cannot connect either. */
    node_connect(n, 2);
    node_run(n);
    check_log(n, "d2");
    raw_free(&r);

    /* Room for the socket, not for what comes with HELLO. */
    raw_init(&r, 9, 1);
    while ((hogs[h] = dup(0)) >= 0) {
        h++;
    }
    close(hogs[--h]);
    close(hogs[--h]);
    raw_send(&r);
    node_run(n);
    g_assert_cmpint(raw_status(&r), ==, EFA_SHM_BAD_FDS);
    g_assert_true(raw_closed(&r));
    check_log(n, "");
    raw_free(&r);
    for (i = 0; i < h; i++) {
        close(hogs[i]);
    }
    setrlimit(RLIMIT_NOFILE, &saved);
    raw_up(&r, n);
    raw_free(&r);
    node_free(n);
}

/* outgoing handshakes: the test plays the acceptor */

static void check_answer(const void *answer, size_t len, const char *log)
{
    Node *n = node_new(1);
    int server = raw_socket(9, true), sock;
    unsigned fds = count_fds();
    char *path = path_of(gid(9), ".sock");

    node_connect(n, 9);
    sock = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (answer) {
        g_assert_cmpint(send(sock, answer, len, 0), ==, (ssize_t)len);
    } else {
        close(sock);
    }
    node_run(n);
    check_log(n, log);
    if (answer) {
        close(sock);
    }
    node_run(n);
    g_assert_cmpuint(count_fds(), ==, fds);
    close(server);
    node_free(n);
    g_unlink(path);
    g_free(path);
}

static void test_ack_messages(void)
{
    const EfaShmAck good = {
        .magic = EFA_SHM_MAGIC, .version = EFA_SHM_VERSION,
        .length = sizeof(good),
    };
    EfaShmAck ack = good;
    char big[100];
    uint32_t status;
    size_t len;

    check_answer(&ack, sizeof(ack), "u");
    check_answer(NULL, 0, "d1");
    for (len = 1; len < sizeof(ack); len++) {
        check_answer(&ack, len, "d3");
    }
    memset(big, 0, sizeof(big));
    memcpy(big, &ack, sizeof(ack));
    check_answer(big, sizeof(ack) + 1, "d3");
    check_answer(big, sizeof(big), "d3");
    for (status = 1; status < EFA_SHM_STATUS_MAX; status++) {
        ack.status = status;
        check_answer(&ack, sizeof(ack),
                     status == EFA_SHM_CROSSED ? "d1" : "d2");
    }
    ack.status = EFA_SHM_STATUS_MAX;
    check_answer(&ack, sizeof(ack), "d3");
    ack = good;
    ack.magic = 0;
    check_answer(&ack, sizeof(ack), "d3");
    ack = good;
    ack.length++;
    check_answer(&ack, sizeof(ack), "d3");
    ack = good;
    ack.reserved = 1;
    check_answer(&ack, sizeof(ack), "d3");
    ack = good;
    ack.version++;
    check_answer(&ack, sizeof(ack), "d2");
    check_answer(&ack, 12, "d2");
}

/* HELLO as sent; and a connector that waits is not confused by anything. */
static void test_hello_sent(void)
{
    Node *n = node_new(1);
    int server = raw_socket(9, true), sock, fds[3];
    char *path = path_of(gid(9), ".sock");
    EfaGid nine = *gid(9);
    EfaShmHello hello;
    unsigned i, nfds;

    node_connect(n, 9);
    node_run(n);
    check_log(n, "");
    g_assert_null(n->f->ops->reserve(n->f, node_link(n, 9), 1));
    sock = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(efa_shm_recv(sock, &hello, sizeof(hello), fds, 3, &nfds),
                    ==, sizeof(hello));
    g_assert_cmpuint(nfds, ==, 3);
    g_assert_cmpint(efa_shm_hello_check(&hello, sizeof(hello), &nine), ==,
                    EFA_SHM_OK);
    g_assert_cmpint(efa_shm_fds_check(fds, nfds), ==, EFA_SHM_OK);
    g_assert_true(efa_gid_equal(&hello.src, gid(1)));
    for (i = 0; i < 3; i++) {
        g_assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        close(fds[i]);
    }
    close(sock);
    node_run(n);
    check_log(n, "d1");
    close(server);
    node_free(n);
    g_unlink(path);
    g_free(path);
}

/* A second HELLO under a GID that has a living link. */
static void test_second_hello(void)
{
    Node *n = node_new(1);
    Raw r, s;

    raw_up(&r, n);
    /* The same life of the peer: the connection that works is kept. */
    raw_init(&s, 9, 1);
    check_refused(n, &s, EFA_SHM_CROSSED);
    raw_put(&r, "alive", 5);
    node_run(n);
    g_assert_cmpmem(n->last, n->last_len, "alive", 5);
    /* It said nothing and is gone, or it is another life. */
    raw_put(&r, "last words", 10);
    raw_init(&s, 9, 1);
    s.hello.instance++;
    raw_send(&s);
    node_run(n);
    g_assert_cmpint(raw_status(&s), ==, EFA_SHM_OK);
    check_log(n, "d1u");
    g_assert_cmpmem(n->last, n->last_len, "last words", 10);
    g_assert_true(raw_closed(&r));
    raw_free(&r);
    raw_free(&s);
    node_free(n);
}

int main(int argc, char **argv)
{
    shm_test_init(&argc, &argv);
    shm_test_add("/shm-handshake/gid-text", test_gid_text);
    shm_test_add("/shm-handshake/dir", test_dir);
    shm_test_add("/shm-handshake/long-path", test_long_path);
    shm_test_add("/shm-handshake/duplicate", test_duplicate);
    shm_test_add("/shm-handshake/stale", test_stale);
    shm_test_add("/shm-handshake/foreign-socket", test_foreign_socket);
    shm_test_add("/shm-handshake/hello/messages", test_hello_messages);
    shm_test_add("/shm-handshake/hello/fds", test_hello_fds);
    shm_test_add("/shm-handshake/hello/half-open", test_half_open);
    shm_test_add("/shm-handshake/hello/out-of-fds", test_out_of_fds);
    shm_test_add("/shm-handshake/hello/sent", test_hello_sent);
    shm_test_add("/shm-handshake/ack/messages", test_ack_messages);
    shm_test_add("/shm-handshake/second-hello", test_second_hello);
    return g_test_run();
}
