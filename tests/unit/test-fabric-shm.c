/*
 * Unit tests: the shared memory fabric
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <glib/gstdio.h>
#include "efa-packet.h"
#include "shm-handshake.h"

/* A device: counts what it is told, and logs it as "u", "d0".."d3", "w". */
typedef struct Node {
    EfaFabric *f;
    GMutex lock;
    GString *log;
    unsigned received;
    uint32_t next_seq;
    size_t last_len;
    uint8_t last[64];
    const EfaGid *reconnect;    /* connect to it at every link_down */
    unsigned make_links;        /* at every packet */
    bool echo;
} Node;

static char *dir;
static unsigned complaints;     /* lines for the operator */

static const EfaGid *gid(unsigned n)
{
    static __thread EfaGid gids[8];
    EfaGid *g = &gids[n % 8];

    *g = (EfaGid) { { 0xfe, 0x80 } };
    g->raw[14] = n >> 8;
    g->raw[15] = n;
    return g;
}

static char *name_of(const EfaGid *g, const char *suffix)
{
    GString *s = g_string_new(NULL);
    size_t i;

    for (i = 0; i < sizeof(g->raw); i++) {
        g_string_append_printf(s, "%02x", g->raw[i]);
    }
    g_string_append(s, suffix);
    return g_string_free(s, FALSE);
}

static char *path_of(const EfaGid *g, const char *suffix)
{
    char *name = name_of(g, suffix);
    char *path = g_build_filename(dir, name, NULL);

    g_free(name);
    return path;
}

static bool exists(const EfaGid *g, const char *suffix)
{
    char *path = path_of(g, suffix);
    bool yes = g_file_test(path, G_FILE_TEST_EXISTS);

    g_free(path);
    return yes;
}

static unsigned count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* the client */

static bool node_send(Node *n, EfaLink *link, const void *data, size_t len)
{
    uint8_t *p = n->f->ops->reserve(n->f, link, len);

    if (p) {
        memcpy(p, data, len);
        n->f->ops->commit(n->f, link, len);
    }
    return p != NULL;
}

static void on_receive(void *opaque, EfaLink *link, const uint8_t *data,
                       size_t len)
{
    Node *n = opaque;
    unsigned i;

    n->received++;
    n->last_len = len;
    memcpy(n->last, data, MIN(len, sizeof(n->last)));
    for (i = 0; i < n->make_links; i++) {
        const EfaGid *peer = gid(1000 + n->received * 10 + i);
        EfaLink *l = n->f->ops->link_get(n->f, peer);

        n->f->ops->connect(n->f, l);
    }
    if (n->echo) {
        node_send(n, link, data, len);
    }
}

static void on_up(void *opaque, EfaLink *link)
{
    Node *n = opaque;

    g_assert_cmpint(link->state, ==, EFA_LINK_UP);
    g_string_append_c(n->log, 'u');
}

static void on_down(void *opaque, EfaLink *link, EfaLinkDownReason why)
{
    Node *n = opaque;

    g_assert_cmpint(link->state, !=, EFA_LINK_UP);
    g_assert_null(n->f->ops->reserve(n->f, link, 10));
    g_string_append_printf(n->log, "d%d", why);
    if (n->reconnect) {
        EfaLink *l = n->f->ops->link_get(n->f, n->reconnect);

        n->reconnect = NULL;
        n->f->ops->connect(n->f, l);
    }
}

static void on_writable(void *opaque, EfaLink *link)
{
    Node *n = opaque;

    g_string_append_c(n->log, 'w');
}

static const EfaFabricClient client = {
    .receive = on_receive,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

static Node *node_new(unsigned id)
{
    Node *n = g_new0(Node, 1);
    GError *err = NULL;

    n->log = g_string_new(NULL);
    g_mutex_init(&n->lock);
    n->f = efa_fabric_shm_new(dir, gid(id), &client, n, &err);
    g_assert_no_error(err);
    g_assert_nonnull(n->f);
    return n;
}

static void node_free(Node *n)
{
    n->f->ops->free(n->f);
    g_string_free(n->log, TRUE);
    g_mutex_clear(&n->lock);
    g_free(n);
}

static EfaLink *node_link(Node *n, unsigned peer)
{
    return n->f->ops->link_get(n->f, gid(peer));
}

static void node_connect(Node *n, unsigned peer)
{
    n->f->ops->connect(n->f, node_link(n, peer));
}

static bool node_awake(Node *n)
{
    struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

/* Poll until it sleeps, as a device's thread does. */
static void node_run(Node *n)
{
    unsigned rounds = 0;

    do {
        while (n->f->ops->poll(n->f, 64)) {
            g_assert_cmpuint(rounds++, <, 100000);
        }
        g_assert_cmpuint(rounds++, <, 100000);
    } while (node_awake(n));
}

static void settle(Node *a, Node *b)
{
    int i;

    for (i = 0; i < 4; i++) {
        node_run(a);
        if (b) {
            node_run(b);
        }
    }
}

static void check_log(Node *n, const char *want)
{
    g_assert_cmpstr(n->log->str, ==, want);
    g_string_set_size(n->log, 0);
}

/* 1 connects to 2. */
static void node_pair(Node **a, Node **b)
{
    *a = node_new(1);
    *b = node_new(2);
    node_connect(*a, 2);
    settle(*a, *b);
    check_log(*a, "u");
    check_log(*b, "u");
}

/* a peer made by hand */

typedef struct Raw {
    EfaShmHello hello;
    size_t len;                 /* of it */
    int sock;
    int fds[8];
    unsigned nfds;
    EfaShmHeader *map;
    EfaRingTx tx;
    EfaRingRx rx;
} Raw;

static int raw_socket(unsigned id, bool server)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char *path = path_of(gid(id), ".sock");
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    if (server) {
        g_assert_cmpint(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), ==,
                        0);
        g_assert_cmpint(listen(sock, 10), ==, 0);
    } else {
        g_assert_cmpint(connect(sock, (struct sockaddr *)&addr, sizeof(addr)),
                        ==, 0);
    }
    g_free(path);
    return sock;
}

static int plain_memfd(size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

/* A faultless offer from @from to @to, for the test to spoil. */
static void raw_init(Raw *r, unsigned from, unsigned to)
{
    EfaGid src = *gid(from), dst = *gid(to);

    memset(r, 0, sizeof(*r));
    efa_shm_hello_init(&r->hello, &src, &dst, 4711);
    r->len = sizeof(r->hello);
    r->fds[0] = efa_shm_region_new();
    r->fds[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->fds[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->nfds = 3;
    r->map = efa_shm_region_map(r->fds[0]);
    g_assert_nonnull(r->map);
    efa_shm_region_attach(r->map, true, &r->tx, &r->rx);
    r->sock = raw_socket(to, false);
}

static void raw_set_fd(Raw *r, unsigned i, int fd)
{
    g_assert_cmpint(fd, >=, 0);
    close(r->fds[i]);
    r->fds[i] = fd;
}

static void raw_send(Raw *r)
{
    struct iovec iov = { .iov_base = &r->hello, .iov_len = r->len };
    union {
        char buf[CMSG_SPACE(sizeof(r->fds))];
        struct cmsghdr align;
    } ctl;
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    memset(&ctl, 0, sizeof(ctl));
    if (r->nfds) {
        struct cmsghdr *c;

        mh.msg_control = ctl.buf;
        mh.msg_controllen = CMSG_SPACE(r->nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(r->nfds * sizeof(int));
        memcpy(CMSG_DATA(c), r->fds, r->nfds * sizeof(int));
    }
    g_assert_cmpint(sendmsg(r->sock, &mh, 0), ==, (ssize_t)r->len);
}

static int raw_status(Raw *r)
{
    EfaShmAck ack;
    ssize_t n = recv(r->sock, &ack, sizeof(ack), MSG_DONTWAIT);

    if (n == 0) {
        return -1;
    }
    g_assert_cmpint(n, ==, sizeof(ack));
    g_assert_cmphex(ack.magic, ==, EFA_SHM_MAGIC);
    g_assert_cmpuint(ack.version, ==, EFA_SHM_VERSION);
    g_assert_cmpuint(ack.length, ==, sizeof(ack));
    return ack.status;
}

static bool raw_closed(Raw *r)
{
    char c;

    return recv(r->sock, &c, 1, MSG_DONTWAIT) == 0;
}

static void raw_free(Raw *r)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(r->fds); i++) {
        if (r->fds[i] > 0) {
            close(r->fds[i]);
        }
    }
    close(r->sock);
    efa_shm_region_unmap(r->map);
}

/* Peer 9 is by hand, connected to @n, which is 1. */
static void raw_up(Raw *r, Node *n)
{
    raw_init(r, 9, 1);
    raw_send(r);
    node_run(n);
    g_assert_cmpint(raw_status(r), ==, EFA_SHM_OK);
    check_log(n, "u");
}

static void raw_put(Raw *r, const void *data, size_t len)
{
    uint8_t *p;

    g_assert_cmpint(efa_ring_reserve(&r->tx, len, &p), ==, EFA_RING_OK);
    memcpy(p, data, len);
    efa_ring_commit(&r->tx, len);
    if (efa_ring_must_wake(&r->tx)) {
        uint64_t one = 1;

        g_assert_cmpint(write(r->fds[1], &one, 8), ==, 8);
    }
}

/* the directory */

static void check_new_fails(const char *path, const char *what,
                            const char *remedy)
{
    GError *err = NULL;

    g_assert_null(efa_fabric_shm_new(path, gid(1), &client, NULL, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, path));
    g_assert_nonnull(strstr(err->message, what));
    g_assert_nonnull(strstr(err->message, remedy));
    g_assert_null(strchr(err->message, '\n'));
    g_error_free(err);
}

static void test_dir(void)
{
    char *missing = g_build_filename(dir, "missing", NULL);
    char *file = g_build_filename(dir, "file", NULL);
    char *open_dir = g_build_filename(dir, "open", NULL);

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
    char *saved = dir;
    GString *path = g_string_new(dir);
    Node *a, *b;
    int i;

    for (i = 0; i < 3; i++) {
        g_string_append_c(path, '/');
        g_string_append_printf(path, "%0200d", i);
        g_assert_cmpint(g_mkdir(path->str, 0700), ==, 0);
    }
    dir = path->str;
    node_pair(&a, &b);
    node_free(a);
    node_free(b);
    dir = saved;
    for (i = 0; i < 3; i++) {
        g_assert_cmpint(g_rmdir(path->str), ==, 0);
        g_string_truncate(path, path->len - 201);
    }
    g_string_free(path, TRUE);
}

static void test_duplicate(void)
{
    Node *a = node_new(1);

    check_new_fails(dir, "fe80::1 is already in use", "another one");
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

/* links */

static void test_absent(void)
{
    Node *a = node_new(1);
    EfaLink *l = node_link(a, 2);

    g_assert_true(l == node_link(a, 2));
    g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    node_run(a);
    node_connect(a, 2);
    /* Told by ->poll() only, which its thread is woken for. */
    check_log(a, "");
    g_assert_true(a->f->ops->pending(a->f));
    g_assert_true(node_awake(a));
    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d0");
    g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    node_free(a);
}

static void test_exchange(void)
{
    Node *a, *b;

    node_pair(&a, &b);
    g_assert_false(b->f->ops->pending(b->f));
    g_assert_false(node_awake(b));

    g_assert_true(node_send(a, node_link(a, 2), "hello", 5));
    g_assert_true(b->f->ops->pending(b->f));
    g_assert_false(node_awake(b));
    a->f->ops->flush(a->f);
    g_assert_true(node_awake(b));
    g_assert_true(b->f->ops->poll(b->f, 1));
    g_assert_cmpuint(b->received, ==, 1);
    g_assert_cmpmem(b->last, b->last_len, "hello", 5);
    /* The consumer is awake: nobody need be woken. */
    g_assert_true(node_send(a, node_link(a, 2), "again", 5));
    g_assert_true(b->f->ops->poll(b->f, 64));
    g_assert_cmpuint(b->received, ==, 2);
    node_run(b);
    g_assert_false(node_awake(b));

    b->echo = true;
    g_assert_true(node_send(a, node_link(a, 2), "echo", 4));
    a->f->ops->flush(a->f);
    settle(a, b);
    g_assert_cmpuint(a->received, ==, 1);
    node_free(a);
    node_free(b);
}

static void test_budget(void)
{
    Node *a, *b;
    int i;

    node_pair(&a, &b);
    for (i = 0; i < 100; i++) {
        node_send(a, node_link(a, 2), "x", 1);
    }
    g_assert_true(b->f->ops->poll(b->f, 40));
    g_assert_cmpuint(b->received, ==, 40);
    g_assert_true(b->f->ops->poll(b->f, 0));
    g_assert_cmpuint(b->received, ==, 40);
    node_run(b);
    g_assert_cmpuint(b->received, ==, 100);
    node_free(a);
    node_free(b);
}

static void test_writable(void)
{
    Node *a, *b;
    EfaLink *l;
    uint8_t big[200] = { 0 };
    unsigned n, sent = 0;
    int round;

    node_pair(&a, &b);
    l = node_link(a, 2);
    g_assert_cmpuint(a->f->max_packet, >=, 16 * 1024);
    g_assert_null(a->f->ops->reserve(a->f, l, a->f->max_packet + 1));
    g_assert_nonnull(a->f->ops->reserve(a->f, l, a->f->max_packet));
    for (round = 0; round < 3; round++) {
        for (n = 0; node_send(a, l, big, sizeof(big)); n++) {
        }
        sent += n;
        g_assert_cmpuint(n, >, 700);
        a->f->ops->flush(a->f);
        node_run(a);
        check_log(a, "");
        g_assert_false(node_awake(a));
        /* Not before a quarter is free. */
        b->f->ops->poll(b->f, n / 8);
        g_assert_false(node_awake(a));
        node_run(b);
        g_assert_cmpuint(b->received, ==, sent);
        g_assert_true(node_awake(a));
        g_assert_true(a->f->ops->pending(a->f));
        node_run(a);
        check_log(a, "w");
        g_assert_false(node_awake(a));
    }
    node_free(a);
    node_free(b);
}

/* Both connect before either polls; then in either order, or one at a time. */
static void test_crossed(void)
{
    int order;

    for (order = 0; order < 4; order++) {
        Node *a = node_new(1), *b = node_new(2);

        node_connect(a, 2);
        node_connect(b, 1);
        switch (order) {
        case 0:
            node_run(a);
            break;
        case 1:
            node_run(b);
            break;
        case 2:
            a->f->ops->poll(a->f, 1);
            b->f->ops->poll(b->f, 1);
            break;
        default:
            b->f->ops->poll(b->f, 1);
            a->f->ops->poll(a->f, 1);
            break;
        }
        settle(b, a);
        check_log(a, "u");
        check_log(b, "u");
        b->echo = true;
        g_assert_true(node_send(a, node_link(a, 2), "x", 1));
        a->f->ops->flush(a->f);
        settle(a, b);
        g_assert_cmpuint(b->received, ==, 1);
        g_assert_cmpuint(a->received, ==, 1);
        node_free(b);
        settle(a, NULL);
        check_log(a, "d1");
        node_free(a);
    }
}

/* What was sent before the sender went still arrives. */
static void test_hangup(void)
{
    Node *a, *b;
    EfaLink *l;

    node_pair(&a, &b);
    l = node_link(a, 2);
    g_assert_true(node_send(a, l, "bye", 3));
    node_free(a);
    g_assert_true(node_awake(b));
    settle(b, NULL);
    g_assert_cmpuint(b->received, ==, 1);
    check_log(b, "d1");
    g_assert_false(node_send(b, node_link(b, 1), "x", 1));
    node_connect(b, 1);
    settle(b, NULL);
    check_log(b, "d0");
    node_free(b);
}

/* Restarted with the same GID, seen before and after the old link's end. */
static void test_restart(void)
{
    Node *a, *b;
    int variant;

    for (variant = 0; variant < 4; variant++) {
        node_pair(&a, &b);
        node_free(a);
        if (variant & 1) {
            node_run(b);
            check_log(b, "d1");
        }
        a = node_new(1);
        if (variant & 2) {
            b->reconnect = gid(1);
        }
        node_connect(a, 2);
        settle(b, a);
        check_log(b, variant & 1 ? "u" : "d1u");
        check_log(a, "u");
        g_assert_true(node_send(b, node_link(b, 1), "x", 1));
        b->f->ops->flush(b->f);
        settle(a, b);
        g_assert_cmpuint(a->received, ==, 1);
        node_free(a);
        node_free(b);
    }
}

/* A process that is killed: no goodbye, its name is free again. */
static void test_killed(void)
{
    Node *a = node_new(1), *b;
    int ready[2], status;
    char c;
    pid_t pid;

    g_assert_cmpint(pipe(ready), ==, 0);
    pid = fork();
    if (!pid) {
        Node *child = node_new(2);

        g_assert_cmpint(write(ready[1], "x", 1), ==, 1);
        for (;;) {
            while (child->f->ops->poll(child->f, 64)) {
            }
            g_usleep(1000);
        }
    }
    g_assert_cmpint(read(ready[0], &c, 1), ==, 1);
    node_connect(a, 2);
    while (!a->log->len) {
        node_run(a);
        g_usleep(1000);
    }
    check_log(a, "u");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    node_run(a);
    check_log(a, "d1");
    g_assert_true(exists(gid(2), ".sock"));

    node_connect(a, 2);
    settle(a, NULL);
    check_log(a, "d0");
    b = node_new(2);
    node_connect(b, 1);
    settle(b, a);
    check_log(a, "u");
    check_log(b, "u");
    node_free(a);
    node_free(b);
    close(ready[0]);
    close(ready[1]);
}

/* The peer dies with the connection still in its backlog. */
static void test_dies_unaccepted(void)
{
    Node *a = node_new(1), *b = node_new(2);

    node_connect(a, 2);
    node_free(b);
    settle(a, NULL);
    check_log(a, "d1");

    /* ... and comes back and connects before that was noticed. */
    b = node_new(2);
    node_connect(a, 2);
    node_free(b);
    b = node_new(2);
    node_connect(b, 1);
    settle(a, b);
    settle(a, b);
    g_assert_cmpint(node_link(b, 1)->state, ==,
                    node_link(a, 2)->state);
    node_connect(b, 1);
    settle(a, b);
    g_assert_cmpint(node_link(a, 2)->state, ==, EFA_LINK_UP);
    node_free(a);
    node_free(b);
}

/* Callbacks may make and connect links. */
static void test_callbacks(void)
{
    Node *a, *b;
    int i;

    node_pair(&a, &b);
    b->make_links = 3;
    b->echo = true;
    for (i = 0; i < 20; i++) {
        node_send(a, node_link(a, 2), "x", 1);
    }
    a->f->ops->flush(a->f);
    settle(b, a);
    g_assert_cmpuint(a->received, ==, 20);
    g_assert_cmpuint(b->log->len, ==, 2 * 60);
    node_free(a);
    node_free(b);
}

static void check_self(Node *n)
{
    EfaLink *l = node_link(n, 1);
    unsigned i;

    node_connect(n, 1);
    node_connect(n, 1);
    node_run(n);
    check_log(n, "u");
    g_assert_true(node_send(n, l, "self", 4));
    g_assert_true(n->f->ops->pending(n->f));
    g_assert_false(node_awake(n));
    n->f->ops->flush(n->f);
    g_assert_true(node_awake(n));
    node_run(n);
    g_assert_cmpmem(n->last, n->last_len, "self", 4);
    for (i = 0; node_send(n, l, n, 60); i++) {
    }
    g_assert_cmpuint(i, >, 1000);
    n->f->ops->flush(n->f);
    node_run(n);
    check_log(n, "w");
    g_assert_cmpuint(n->received, ==, i + 1);
    node_connect(n, 3);
    node_run(n);
    check_log(n, "d0");
    node_free(n);
}

static void test_self(void)
{
    Node *n = node_new(1);

    g_assert_cmpstr(n->f->ops->name, ==, "shm");
    check_self(n);
    n = g_new0(Node, 1);
    n->log = g_string_new(NULL);
    n->f = efa_fabric_none_new(gid(1), &client, n);
    g_assert_cmpstr(n->f->ops->name, ==, "none");
    check_self(n);
}

static void test_link_limit(void)
{
    Node *a = node_new(1), *b;
    EfaLink *over;
    unsigned i;

    for (i = 0; i < 4096; i++) {
        EfaLink *link = node_link(a, 100 + i);

        g_assert_true(efa_gid_equal(&link->peer, gid(100 + i)));
        link->client_data = a;
    }
    over = node_link(a, 2);
    g_assert_false(efa_gid_equal(&over->peer, gid(2)));
    a->f->ops->connect(a->f, over);
    settle(a, NULL);
    check_log(a, "d0");
    b = node_new(2);
    node_connect(b, 1);
    settle(a, b);
    check_log(a, "");
    check_log(b, "d2");
    node_free(a);
    node_free(b);
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

    complaints = 0;
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
    g_assert_cmpuint(complaints, >=, 1);
    g_assert_cmpint(complaints, <=,
                    1 + (g_get_monotonic_time() - start) / G_USEC_PER_SEC);
    raw_up(&r, n);
    raw_put(&r, "well", 4);
    node_run(n);
    g_assert_cmpmem(n->last, n->last_len, "well", 4);
    raw_free(&r);
    node_free(n);
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

/* a peer that turns hostile */

typedef enum Scribble {
    SCRIBBLE_PROD,
    SCRIBBLE_PROD_ALIGN,
    SCRIBBLE_RECORD,
    SCRIBBLE_CONS,
    SCRIBBLE_CONS_WAITING,
    SCRIBBLE_MESSAGE,
    SCRIBBLE_CONS_MID_POLL,
    SCRIBBLE_MAX,
} Scribble;

static void check_scribble(Scribble what)
{
    EfaRingCtl *in, *out;
    Node *a, *b;
    EfaLink *l;
    Raw r;

    node_pair(&a, &b);
    raw_up(&r, a);
    l = node_link(a, 9);
    in = &r.map->ring[0];
    out = &r.map->ring[1];
    switch (what) {
    case SCRIBBLE_PROD:
        qatomic_set(&in->prod, 0x40000000);
        break;
    case SCRIBBLE_PROD_ALIGN:
        qatomic_set(&in->prod, 1);
        break;
    case SCRIBBLE_RECORD:
        raw_put(&r, "x", 1);
        ((EfaRingRecord *)((uint8_t *)r.map + EFA_SHM_HEADER_SIZE))->len = 9999;
        break;
    case SCRIBBLE_CONS:
        qatomic_set(&out->cons, (uint32_t)-64);
        while (node_send(a, l, "x", 1)) {
        }
        break;
    case SCRIBBLE_CONS_WAITING:
        while (node_send(a, l, "x", 1)) {
        }
        qatomic_set(&out->cons, 3);
        qatomic_set(&out->want_space, 0);
        break;
    case SCRIBBLE_CONS_MID_POLL:
        a->echo = true;
        while (node_send(a, l, "x", 1)) {
        }
        qatomic_set(&out->cons, 3);
        raw_put(&r, "x", 1);
        raw_put(&r, "x", 1);
        break;
    default:
        g_assert_cmpint(send(r.sock, "x", 1, 0), ==, 1);
        break;
    }
    node_run(a);
    check_log(a, "d3");
    g_assert_cmpint(l->state, ==, EFA_LINK_DOWN);
    g_assert_true(raw_closed(&r));
    a->echo = false;

    /* The other link has not noticed, and this one may come back. */
    g_assert_true(node_send(b, node_link(b, 1), "still", 5));
    g_assert_true(node_send(a, node_link(a, 2), "there", 5));
    a->f->ops->flush(a->f);
    settle(a, b);
    g_assert_cmpmem(a->last, a->last_len, "still", 5);
    g_assert_cmpmem(b->last, b->last_len, "there", 5);
    check_log(a, "");
    check_log(b, "");
    raw_free(&r);
    raw_up(&r, a);
    raw_free(&r);
    node_free(a);
    node_free(b);
}

static void test_scribble(void)
{
    int i;

    for (i = 0; i < SCRIBBLE_MAX; i++) {
        check_scribble(i);
    }
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

/* volume */

#define MILLION     1000000
#define PACKET_LEN  128

static void on_count(void *opaque, EfaLink *link, const uint8_t *data,
                     size_t len)
{
    Node *n = opaque;
    uint32_t seq;

    memcpy(&seq, data, sizeof(seq));
    g_assert_cmpuint(len, ==, PACKET_LEN);
    g_assert_cmpuint(seq, ==, n->next_seq);
    n->next_seq++;
}

static const EfaFabricClient count_client = {
    .receive = on_count,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

static unsigned volume(void)
{
    return g_test_thorough() ? 10 * MILLION : MILLION;
}

static void test_million(void)
{
    uint8_t data[PACKET_LEN] = { 0 };
    Node *a, *b;
    EfaLink *l;
    int64_t t0, t1, tx = 0, rx = 0;
    uint32_t seq = 0, total = volume();

    node_pair(&a, &b);
    b->f->client = &count_client;
    l = node_link(a, 2);
    while (b->next_seq < total) {
        int i;

        t0 = g_get_monotonic_time();
        for (i = 0; i < 256 && seq < total; i++, seq++) {
            memcpy(data, &seq, sizeof(seq));
            g_assert_true(node_send(a, l, data, sizeof(data)));
        }
        a->f->ops->flush(a->f);
        t1 = g_get_monotonic_time();
        tx += t1 - t0;
        while (b->f->ops->pending(b->f)) {
            b->f->ops->poll(b->f, 64);
        }
        rx += g_get_monotonic_time() - t1;
    }
    g_test_message("send %.1f ns, receive %.1f ns a packet",
                   tx * 1e3 / total, rx * 1e3 / total);
    node_free(a);
    node_free(b);
}

/* As a device runs it: every call under its lock, sleep on the descriptor. */

static gpointer receiver(gpointer opaque)
{
    Node *n = opaque;
    bool more = true;

    while (n->next_seq < volume()) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        g_mutex_lock(&n->lock);
        more = n->f->ops->poll(n->f, 64);
        g_mutex_unlock(&n->lock);
    }
    return NULL;
}

static void test_million_threads(void)
{
    uint8_t data[PACKET_LEN] = { 0 };
    Node *a, *b;
    EfaLink *l;
    GThread *thread;
    uint32_t seq = 0, total = volume(), waits = 0;
    int64_t start = g_get_monotonic_time();

    node_pair(&a, &b);
    b->f->client = &count_client;
    l = node_link(a, 2);
    thread = g_thread_new("receiver", receiver, b);
    while (seq < total) {
        bool more, room = true;

        g_mutex_lock(&a->lock);
        while (seq < total && room) {
            memcpy(data, &seq, sizeof(seq));
            room = node_send(a, l, data, sizeof(data));
            seq += room;
            if (!(seq % 32)) {
                a->f->ops->flush(a->f);
            }
        }
        a->f->ops->flush(a->f);
        more = a->f->ops->poll(a->f, 64);
        g_mutex_unlock(&a->lock);
        if (!room && !more) {
            struct pollfd p = { .fd = a->f->ops->fd(a->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
            waits++;
        }
    }
    g_thread_join(thread);
    g_test_message("%.1f ns a packet, %u waits for space",
                   (g_get_monotonic_time() - start) * 1e3 / total, waits);
    node_free(a);
    node_free(b);
}

/* One packet to and fro, both asleep in between: no wake-up may be lost. */

#define PINGS   5000

static void ping_run(Node *n, unsigned until)
{
    bool more = true;

    while (n->received < until) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        g_mutex_lock(&n->lock);
        more = n->f->ops->poll(n->f, 64);
        g_mutex_unlock(&n->lock);
    }
}

static gpointer ponger(gpointer opaque)
{
    ping_run(opaque, PINGS);
    return NULL;
}

static void test_ping_threads(void)
{
    Node *a, *b;
    GThread *thread;
    unsigned i;

    node_pair(&a, &b);
    b->echo = true;
    thread = g_thread_new("ponger", ponger, b);
    for (i = 0; i < PINGS; i++) {
        g_mutex_lock(&a->lock);
        g_assert_true(node_send(a, node_link(a, 2), "ping", 4));
        a->f->ops->flush(a->f);
        g_mutex_unlock(&a->lock);
        ping_run(a, i + 1);
    }
    g_thread_join(thread);
    node_free(a);
    node_free(b);
}

/* Two devices that find each other at the same moment, in any interleaving. */

static gpointer find_other(gpointer opaque)
{
    Node *n = opaque;
    bool more = true;

    n->f->ops->connect(n->f, node_link(n, n->f->gid.raw[15] ^ 3));
    while (!n->log->len) {
        if (!more) {
            struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

            g_assert_cmpint(poll(&p, 1, 10000), ==, 1);
        }
        more = n->f->ops->poll(n->f, 64);
    }
    return NULL;
}

static void test_crossed_threads(void)
{
    int round;

    for (round = 0; round < 200; round++) {
        Node *a = node_new(1), *b = node_new(2);
        GThread *thread = g_thread_new("other", find_other, b);

        if (round % 4) {
            g_usleep(10 * (round % 16));
        }
        find_other(a);
        g_thread_join(thread);
        settle(a, b);
        check_log(a, "u");
        check_log(b, "u");
        node_free(a);
        node_free(b);
    }
}

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

static void on_message(const char *domain, GLogLevelFlags level,
                       const char *text, gpointer opaque)
{
    g_assert_null(strchr(text, '\n'));
    complaints++;
}

/* Every test leaves no descriptor and no file. */

static void run(gconstpointer data)
{
    void (*test)(void) = (void (*)(void))data;
    unsigned fds = count_fds();
    char *sub = g_build_filename(g_get_tmp_dir(), "efa-shm-XXXXXX", NULL);

    g_assert_nonnull(g_mkdtemp(sub));
    dir = sub;
    test();
    g_assert_cmpuint(count_fds(), ==, fds);
    g_assert_cmpint(g_rmdir(sub), ==, 0);
    g_free(sub);
}

#define ADD(path, func) \
    g_test_add_data_func("/fabric-shm/" path, (gconstpointer)(func), run)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, on_message, NULL);
    ADD("gid-text", test_gid_text);
    ADD("dir", test_dir);
    ADD("long-path", test_long_path);
    ADD("duplicate", test_duplicate);
    ADD("stale", test_stale);
    ADD("foreign-socket", test_foreign_socket);
    ADD("absent", test_absent);
    ADD("exchange", test_exchange);
    ADD("budget", test_budget);
    ADD("writable", test_writable);
    ADD("crossed", test_crossed);
    ADD("hangup", test_hangup);
    ADD("restart", test_restart);
    ADD("killed", test_killed);
    ADD("dies-unaccepted", test_dies_unaccepted);
    ADD("callbacks", test_callbacks);
    ADD("self", test_self);
    ADD("link-limit", test_link_limit);
    ADD("hello/messages", test_hello_messages);
    ADD("hello/fds", test_hello_fds);
    ADD("hello/half-open", test_half_open);
    ADD("hello/out-of-fds", test_out_of_fds);
    ADD("hello/sent", test_hello_sent);
    ADD("ack/messages", test_ack_messages);
    ADD("scribble", test_scribble);
    ADD("second-hello", test_second_hello);
    ADD("million", test_million);
    ADD("million-threads", test_million_threads);
    ADD("ping-threads", test_ping_threads);
    ADD("crossed-threads", test_crossed_threads);
    return g_test_run();
}
