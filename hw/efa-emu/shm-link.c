/*
 * EFA device model: the connections and links of the shared memory fabric, and
 * the connecting half of the handshake
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "fabric-shm.h"

/* Links live as long as the device, so a guest must not make them forever. */
#define SHM_MAX_LINKS       4096
#define SHM_COMPLAINT_USEC  (1000 * 1000)

void efa_shm_wake(int fd)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so the sleeper is awake already. */
    if (write(fd, &one, sizeof(one)) < 0) {
        trace_efa_shm_wake_failed(fd, errno);
    }
}

void efa_shm_close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void efa_shm_complain(EfaFabricShm *s, const char *fmt, ...)
{
    int64_t now = g_get_monotonic_time();
    va_list ap;
    char *text;

    if (now < s->next_complaint) {
        return;
    }
    s->next_complaint = now + SHM_COMPLAINT_USEC;
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_message("efa: fabric %s: %s", s->name.dir ? s->name.dir : "loopback",
              text);
    g_free(text);
}

/* connections */

EfaShmConn *efa_shm_conn_new(int sock)
{
    EfaShmConn *conn = g_new0(EfaShmConn, 1);

    conn->sock = sock;
    conn->wake_rx = conn->wake_tx = -1;
    return conn;
}

void efa_shm_conn_close(EfaFabricShm *s, EfaShmConn *conn)
{
    if (!conn || conn->dead) {
        return;
    }
    conn->dead = true;
    if (conn->wake_rx >= 0) {
        /* The peer has it open too, so closing would not remove it. */
        epoll_ctl(s->epfd, EPOLL_CTL_DEL, conn->wake_rx, NULL);
    }
    efa_shm_close_fd(&conn->sock);
    efa_shm_close_fd(&conn->wake_rx);
    if (conn->wake_tx != s->kickfd) {
        efa_shm_close_fd(&conn->wake_tx);
    }
    efa_shm_region_unmap(conn->map);
    conn->map = NULL;
    g_ptr_array_add(s->graveyard, conn);
}

bool efa_shm_epoll_add(EfaFabricShm *s, int fd, uint32_t events, void *ptr)
{
    struct epoll_event ev = { .events = events, .data.ptr = ptr };

    return !epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev);
}

/* eventfds only wake us; edge-triggered, they need no read */
bool efa_shm_watch_wake(EfaFabricShm *s, int fd)
{
    return efa_shm_epoll_add(s, fd, EPOLLIN | EPOLLET, NULL);
}

bool efa_shm_watch_sock(EfaFabricShm *s, EfaShmConn *conn)
{
    return efa_shm_epoll_add(s, conn->sock, EPOLLIN | EPOLLRDHUP, conn);
}

/* link states */

/* Have ->poll() tell the client. */
static void shm_defer(EfaFabricShm *s, EfaShmLink *l, EfaLinkState outcome,
                      EfaLinkDownReason why)
{
    l->outcome = outcome;
    l->why = why;
    if (!l->deferred) {
        l->deferred = true;
        g_ptr_array_add(s->deferred, l);
        if (!s->in_poll) {
            efa_shm_wake(s->kickfd);
        }
    }
}

static void shm_undefer(EfaFabricShm *s, EfaShmLink *l)
{
    if (l->deferred) {
        l->deferred = false;
        g_ptr_array_remove(s->deferred, l);
    }
}

void efa_shm_break(EfaFabricShm *s, EfaShmLink *l, const char *what)
{
    if (!l->conn->broken) {
        l->conn->broken = true;
        trace_efa_shm_nonsense(l->name, what);
        efa_shm_complain(s, "peer %s wrote nonsense (%s), link cut", l->name,
                         what);
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_PROTOCOL);
    }
}

void efa_shm_set_up(EfaFabricShm *s, EfaShmLink *l)
{
    l->up_index = s->up->len;
    g_ptr_array_add(s->up, l);
    l->link.state = EFA_LINK_UP;
    trace_efa_shm_link_up(l->name);
    s->fabric.client->link_up(s->fabric.opaque, &l->link);
}

bool efa_shm_detach(EfaFabricShm *s, EfaShmLink *l)
{
    bool was_up = l->link.state == EFA_LINK_UP;

    if (was_up) {
        EfaShmLink *last = g_ptr_array_index(s->up, s->up->len - 1);

        last->up_index = l->up_index;
        g_ptr_array_remove_index_fast(s->up, l->up_index);
    }
    shm_undefer(s, l);
    efa_shm_conn_close(s, l->conn);
    l->conn = NULL;
    return was_up;
}

void efa_shm_tell_down(EfaFabricShm *s, EfaShmLink *l, EfaLinkDownReason why)
{
    trace_efa_shm_link_down(l->name, why);
    s->fabric.client->link_down(s->fabric.opaque, &l->link, why);
}

void efa_shm_set_down(EfaFabricShm *s, EfaShmLink *l, EfaLinkDownReason why)
{
    efa_shm_detach(s, l);
    l->link.state = EFA_LINK_DOWN;
    efa_shm_tell_down(s, l, why);
}

void efa_shm_tell_deferred(EfaFabricShm *s)
{
    /* A client that reconnects at once must not keep us here. */
    unsigned n = s->deferred->len;

    while (n-- && s->deferred->len) {
        EfaShmLink *l = g_ptr_array_index(s->deferred, 0);

        g_ptr_array_remove_index(s->deferred, 0);
        l->deferred = false;
        if (l->outcome == EFA_LINK_UP) {
            efa_shm_set_up(s, l);
        } else {
            efa_shm_set_down(s, l, l->why);
        }
    }
}

/* the table of links */

/* A link that leads nowhere and that nobody refers to. */
static gboolean shm_link_idle(gpointer key, gpointer value, gpointer opaque)
{
    const EfaShmLink *l = value;

    return l->link.state == EFA_LINK_DOWN && !l->link.client_data &&
           !l->conn && !l->dirty && !l->deferred;
}

EfaLink *efa_shm_link_get(EfaFabric *f, const EfaGid *peer)
{
    EfaFabricShm *s = efa_shm_from(f);
    EfaShmLink *l = g_hash_table_lookup(s->links, peer);

    if (l) {
        return &l->link;
    }
    if (g_hash_table_size(s->links) >= SHM_MAX_LINKS && !s->in_poll) {
        /* A guest may have sent to more addresses than there are peers. */
        g_hash_table_foreach_remove(s->links, shm_link_idle, NULL);
    }
    if (g_hash_table_size(s->links) >= SHM_MAX_LINKS) {
        efa_shm_complain(s, "more than %d peers", SHM_MAX_LINKS);
        return &s->overflow.link;
    }
    l = g_new0(EfaShmLink, 1);
    l->link.peer = *peer;
    inet_ntop(AF_INET6, peer->raw, l->name, sizeof(l->name));
    g_hash_table_insert(s->links, &l->link.peer, l);
    return &l->link;
}

/* connecting */

/* The peer keeps its own connection to us: it must be waiting already. */
static void shm_crossed(EfaFabricShm *s, EfaShmLink *l)
{
    efa_shm_detach(s, l);
    efa_shm_accept(s);
    efa_shm_half_open_scan(s);
    if (l->link.state == EFA_LINK_CONNECTING && !l->conn && !l->deferred) {
        efa_shm_set_down(s, l, EFA_LINK_HANGUP);
    }
}

static void shm_refused(EfaFabricShm *s, EfaShmLink *l, uint32_t status)
{
    trace_efa_shm_refused(l->name, status);
    efa_shm_complain(s, "peer %s refused: %s", l->name,
                     efa_shm_status_text(status));
    efa_shm_set_down(s, l, EFA_LINK_REFUSED);
}

void efa_shm_handle_ack(EfaFabricShm *s, EfaShmConn *conn)
{
    EfaShmLink *l = conn->link;
    EfaShmAck ack = { 0 };
    uint32_t status;
    ssize_t len;

    len = recv(conn->sock, &ack, sizeof(ack), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0) {
        efa_shm_set_down(s, l, EFA_LINK_HANGUP);
        return;
    }
    if (!efa_shm_ack_check(&ack, len, &status)) {
        trace_efa_shm_nonsense(l->name, "handshake");
        efa_shm_complain(s, "peer %s answered nonsense to the handshake",
                         l->name);
        efa_shm_set_down(s, l, EFA_LINK_PROTOCOL);
        return;
    }
    switch (status) {
    case EFA_SHM_OK:
        l->instance = ack.instance;
        efa_shm_set_up(s, l);
        break;
    case EFA_SHM_CROSSED:
        shm_crossed(s, l);
        break;
    default:
        shm_refused(s, l, status);
        break;
    }
}

/* A connected socket, or -1 and the reason. */
static int shm_dial(EfaFabricShm *s, EfaShmLink *l, EfaLinkDownReason *why)
{
    int err, sock = efa_shm_name_dial(&s->name, &l->link.peer);

    if (sock >= 0) {
        if (efa_shm_same_user(sock)) {
            return sock;
        }
        close(sock);
        *why = EFA_LINK_REFUSED;
        efa_shm_complain(s, "peer %s refused: %s", l->name,
                         efa_shm_status_text(EFA_SHM_BAD_OWNER));
        return -1;
    }
    err = errno;
    if (err == ENOENT || err == ECONNREFUSED) {
        *why = EFA_LINK_ABSENT;
    } else if (err == EAGAIN) {
        *why = EFA_LINK_HANGUP;     /* it lives but does not accept */
    } else {
        *why = EFA_LINK_REFUSED;
        efa_shm_complain(s, "cannot reach %s: %s", l->name, g_strerror(err));
    }
    return -1;
}

/* Make the region and the eventfds, and offer them to the peer. */
static bool shm_offer(EfaFabricShm *s, EfaShmLink *l, EfaShmConn *conn)
{
    EfaShmHello hello;
    int fds[EFA_SHM_FDS];
    int region = efa_shm_region_new();
    bool ok = false;
    int err;

    if (region < 0) {
        return false;
    }
    conn->wake_rx = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    conn->wake_tx = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    conn->map = efa_shm_region_map(region);
    if (conn->wake_rx >= 0 && conn->wake_tx >= 0 && conn->map &&
        efa_shm_watch_wake(s, conn->wake_rx) && efa_shm_watch_sock(s, conn)) {
        efa_shm_region_attach(conn->map, true, &conn->tx, &conn->rx);
        efa_shm_hello_init(&hello, &s->fabric.gid, &l->link.peer, s->instance);
        fds[EFA_SHM_FD_REGION] = region;
        fds[EFA_SHM_FD_WAKE_ACCEPTOR] = conn->wake_tx;
        fds[EFA_SHM_FD_WAKE_CONNECTOR] = conn->wake_rx;
        ok = efa_shm_send(conn->sock, &hello, sizeof(hello), fds, EFA_SHM_FDS);
    }
    err = errno;
    close(region);
    errno = err;
    return ok;
}

/* The way to ourselves: one private ring, both ends ours. */
static void shm_connect_self(EfaFabricShm *s, EfaShmLink *l)
{
    void *map = mmap(NULL, EFA_SHM_REGION_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *data;
    EfaShmConn *conn;

    if (map == MAP_FAILED) {
        efa_shm_complain(s, "no memory for the loopback ring");
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_REFUSED);
        return;
    }
    conn = efa_shm_conn_new(-1);
    conn->map = map;
    conn->link = l;
    conn->wake_tx = s->kickfd;
    data = (uint8_t *)map + EFA_SHM_HEADER_SIZE;
    efa_ring_format(&conn->map->ring[0]);
    efa_ring_tx_init(&conn->tx, &conn->map->ring[0], data, EFA_SHM_RING_SIZE);
    efa_ring_rx_init(&conn->rx, &conn->map->ring[0], data, EFA_SHM_RING_SIZE);
    l->conn = conn;
    shm_defer(s, l, EFA_LINK_UP, 0);
}

static void shm_connect_peer(EfaFabricShm *s, EfaShmLink *l)
{
    EfaLinkDownReason why;
    int sock = shm_dial(s, l, &why);

    if (sock < 0) {
        shm_defer(s, l, EFA_LINK_DOWN, why);
        return;
    }
    l->conn = efa_shm_conn_new(sock);
    l->conn->link = l;
    if (!shm_offer(s, l, l->conn)) {
        bool gone = errno == EPIPE || errno == ECONNRESET;

        if (!gone) {
            efa_shm_complain(s, "cannot reach %s: %s", l->name,
                             g_strerror(errno));
        }
        efa_shm_conn_close(s, l->conn);
        l->conn = NULL;
        shm_defer(s, l, EFA_LINK_DOWN,
                  gone ? EFA_LINK_HANGUP : EFA_LINK_REFUSED);
    }
}

void efa_shm_connect(EfaFabric *f, EfaLink *link)
{
    EfaFabricShm *s = efa_shm_from(f);
    EfaShmLink *l = efa_shm_link_from(link);

    if (link->state != EFA_LINK_DOWN) {
        return;
    }
    link->state = EFA_LINK_CONNECTING;
    trace_efa_shm_connect(l->name);
    if (l == &s->overflow) {
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_ABSENT);
    } else if (efa_gid_equal(&link->peer, &f->gid)) {
        shm_connect_self(s, l);
    } else if (!s->name.dir) {
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_ABSENT);
    } else {
        shm_connect_peer(s, l);
    }
}
