/*
 * EFA device model: the accepting half of the shared memory fabric's handshake,
 * and which of two connections is kept
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <poll.h>
#include <sys/socket.h>
#include "fabric-shm.h"

/* Incoming connections that have not said HELLO yet. */
#define SHM_MAX_HALF_OPEN   64

static bool shm_hung_up(int sock)
{
    struct pollfd p = { .fd = sock, .events = POLLRDHUP };

    return poll(&p, 1, 0) > 0 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/*
 * May this HELLO's connection become the link's? If both sides connect at
 * once, both keep the one that the lower GID made.
 */
static EfaShmStatus shm_arbitrate(EfaFabricShm *s, EfaShmLink *l,
                                  const EfaShmHello *hello)
{
    EfaShmConn *old = l->conn;

    if (!old || old->broken || shm_hung_up(old->sock)) {
        return EFA_SHM_OK;
    }
    if (l->link.state == EFA_LINK_UP) {
        /* A restarted peer, or one that has given up this very connection? */
        return hello->instance != l->instance ? EFA_SHM_OK : EFA_SHM_CROSSED;
    }
    return memcmp(&hello->src, &s->fabric.gid, sizeof(EfaGid)) < 0
           ? EFA_SHM_OK : EFA_SHM_CROSSED;
}

/* Take over what came with a HELLO; the descriptors become @conn's or stay. */
static EfaShmStatus shm_take_offer(EfaFabricShm *s, EfaShmConn *conn, int *fds,
                                   unsigned n)
{
    EfaShmStatus status = efa_shm_fds_check(fds, n);

    if (status != EFA_SHM_OK) {
        return status;
    }
    conn->map = efa_shm_region_map(fds[EFA_SHM_FD_REGION]);
    if (!conn->map) {
        return EFA_SHM_BAD_FDS;
    }
    conn->wake_rx = fds[EFA_SHM_FD_WAKE_ACCEPTOR];
    conn->wake_tx = fds[EFA_SHM_FD_WAKE_CONNECTOR];
    fds[EFA_SHM_FD_WAKE_ACCEPTOR] = fds[EFA_SHM_FD_WAKE_CONNECTOR] = -1;
    efa_shm_region_attach(conn->map, false, &conn->tx, &conn->rx);
    return efa_shm_watch_wake(s, conn->wake_rx) ? EFA_SHM_OK
                                                : EFA_SHM_NO_RESOURCES;
}

/* @conn takes the place of what the link had before. */
static void shm_establish(EfaFabricShm *s, EfaShmLink *l, EfaShmConn *conn,
                          uint64_t instance)
{
    EfaLinkDownReason why = EFA_LINK_HANGUP;
    bool was_up;

    if (l->link.state == EFA_LINK_UP) {
        efa_shm_drain_link(s, l, EFA_SHM_RING_SIZE / EFA_RING_ALIGN);
        if (l->conn->broken) {
            why = EFA_LINK_PROTOCOL;
        }
    }
    was_up = efa_shm_detach(s, l);
    l->conn = conn;
    l->instance = instance;
    conn->link = l;
    l->link.state = EFA_LINK_CONNECTING;
    if (was_up) {
        efa_shm_tell_down(s, l, why);
    }
    efa_shm_set_up(s, l);
}

static bool shm_answer(EfaFabricShm *s, EfaShmConn *conn, EfaShmStatus status)
{
    EfaShmAck ack = {
        .magic = EFA_SHM_MAGIC,
        .version = EFA_SHM_VERSION,
        .length = sizeof(ack),
        .status = status,
        .instance = s->instance,
    };

    return efa_shm_send(conn->sock, &ack, sizeof(ack), NULL, 0);
}

static EfaShmStatus shm_judge_hello(EfaFabricShm *s, EfaShmConn *conn,
                                    const EfaShmHello *hello, size_t len,
                                    int *fds, unsigned n, EfaShmLink **l)
{
    EfaShmStatus status = efa_shm_hello_check(hello, len, &s->fabric.gid);

    if (status == EFA_SHM_OK) {
        *l = efa_shm_link_from(efa_shm_link_get(&s->fabric, &hello->src));
        status = *l == &s->overflow ? EFA_SHM_NO_RESOURCES
                                    : shm_arbitrate(s, *l, hello);
    }
    return status == EFA_SHM_OK ? shm_take_offer(s, conn, fds, n) : status;
}

static void shm_half_open_drop(EfaFabricShm *s, EfaShmConn *conn,
                               const char *why)
{
    trace_efa_shm_dropped(why);
    g_queue_remove(&s->half_open, conn);
    efa_shm_conn_close(s, conn);
}

void efa_shm_handle_hello(EfaFabricShm *s, EfaShmConn *conn)
{
    EfaShmHello hello = { 0 };
    EfaShmStatus status;
    EfaShmLink *l = NULL;
    int fds[EFA_SHM_FDS];
    unsigned i, n;
    ssize_t len;

    len = efa_shm_recv(conn->sock, &hello, sizeof(hello), fds, EFA_SHM_FDS, &n);
    if (len < 0 && errno == EAGAIN) {
        return;
    }
    if (len <= 0) {
        shm_half_open_drop(s, conn, "hang-up before the handshake");
    } else {
        status = shm_judge_hello(s, conn, &hello, len, fds, n, &l);
        trace_efa_shm_hello(l ? l->name : "?", status);
        if (status != EFA_SHM_OK && status != EFA_SHM_CROSSED) {
            efa_shm_complain(s, "refused a connection from %s: %s",
                             l ? l->name : "an unknown peer",
                             efa_shm_status_text(status));
        }
        /* Nobody there any more: what the link has now is not disturbed. */
        if (!shm_answer(s, conn, status)) {
            shm_half_open_drop(s, conn, "hang-up during the handshake");
        } else if (status != EFA_SHM_OK) {
            shm_half_open_drop(s, conn, efa_shm_status_text(status));
        } else {
            g_queue_remove(&s->half_open, conn);
            shm_establish(s, l, conn, hello.instance);
        }
    }
    for (i = 0; i < EFA_SHM_FDS; i++) {
        efa_shm_close_fd(&fds[i]);
    }
}

void efa_shm_half_open_scan(EfaFabricShm *s)
{
    GList *node = s->half_open.head;

    while (node) {
        GList *next = node->next;

        efa_shm_handle_hello(s, node->data);
        node = next;
    }
}

/* Out of descriptors: hang up on the caller rather than let it wait. */
static bool shm_turn_away(EfaFabricShm *s)
{
    int sock;

    efa_shm_complain(s, "out of file descriptors, raise `ulimit -n`");
    efa_shm_close_fd(&s->sparefd);
    sock = accept4(s->name.listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        close(sock);
    }
    s->sparefd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return sock >= 0;
}

void efa_shm_accept(EfaFabricShm *s)
{
    for (;;) {
        int sock = accept4(s->name.listenfd, NULL, NULL,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        EfaShmConn *conn;

        if (sock < 0) {
            if (errno == EINTR || errno == ECONNABORTED ||
                ((errno == EMFILE || errno == ENFILE) && shm_turn_away(s))) {
                continue;
            }
            return;
        }
        conn = efa_shm_conn_new(sock);
        g_queue_push_tail(&s->half_open, conn);
        if (!efa_shm_same_user(sock)) {
            shm_answer(s, conn, EFA_SHM_BAD_OWNER);
            shm_half_open_drop(s, conn,
                               efa_shm_status_text(EFA_SHM_BAD_OWNER));
            continue;
        }
        if (!efa_shm_watch_sock(s, conn)) {
            shm_answer(s, conn, EFA_SHM_NO_RESOURCES);
            shm_half_open_drop(s, conn, "cannot watch the socket");
            continue;
        }
        if (s->half_open.length > SHM_MAX_HALF_OPEN) {
            shm_half_open_drop(s, g_queue_peek_head(&s->half_open),
                               "too many unfinished handshakes");
        }
        efa_shm_handle_hello(s, conn);
    }
}
