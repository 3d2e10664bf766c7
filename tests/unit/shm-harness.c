/*
 * Unit tests: devices on the shared memory fabric, and peers made by hand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "shm-harness.h"
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

unsigned shm_complaints;

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

char *path_of(const EfaGid *g, const char *suffix)
{
    char *name = name_of(g, suffix);
    char *path = g_build_filename(shm_dir, name, NULL);

    g_free(name);
    return path;
}

bool exists(const EfaGid *g, const char *suffix)
{
    char *path = path_of(g, suffix);
    bool yes = g_file_test(path, G_FILE_TEST_EXISTS);

    g_free(path);
    return yes;
}

/* a peer made by hand */

int raw_socket(unsigned id, bool server)
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

void raw_init(Raw *r, unsigned from, unsigned to)
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

void raw_send(Raw *r)
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

int raw_status(Raw *r)
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

bool raw_closed(Raw *r)
{
    char c;

    return recv(r->sock, &c, 1, MSG_DONTWAIT) == 0;
}

void raw_free(Raw *r)
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

void raw_up(Raw *r, Node *n)
{
    raw_init(r, 9, 1);
    raw_send(r);
    node_run(n);
    g_assert_cmpint(raw_status(r), ==, EFA_SHM_OK);
    check_log(n, "u");
}

void raw_put(Raw *r, const void *data, size_t len)
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

/* the program */

static void on_message(const char *domain, GLogLevelFlags level,
                       const char *text, gpointer opaque)
{
    g_assert_null(strchr(text, '\n'));
    shm_complaints++;
}

void shm_test_init(int *argc, char ***argv)
{
    g_test_init(argc, argv, NULL);
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, on_message, NULL);
}

void shm_test_add(const char *path, void (*test)(void))
{
    fabric_test_add(&fabric_shm, path, test);
}
