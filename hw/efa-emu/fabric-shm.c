/*
 * EFA device model: the shared memory fabric
 *
 * Peer to peer: each device listens on a unix socket in a directory, named by
 * its GID. Two devices that talk share one region with a ring for each
 * direction; the socket between them then only tells when a peer dies.
 * docs/fabric-shm.md describes it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "fabric-shm.h"
#include "shm-handshake.h"
#include "shm-name.h"

/* Links live as long as the device, so a guest must not make them forever. */
#define SHM_MAX_LINKS       4096
/* Incoming connections that have not said HELLO yet. */
#define SHM_MAX_HALF_OPEN   64
/* Packets taken from one link before the next one's turn. */
#define SHM_QUANTUM         16
/* Under load, look after the sockets every so many polls. */
#define SHM_EVENT_INTERVAL  16
#define SHM_EVENT_BATCH     64
#define SHM_COMPLAINT_USEC  (1000 * 1000)

typedef struct ShmLink ShmLink;

/* One socket and what came with it; replaced when a peer reconnects. */
typedef struct ShmConn {
    int sock;
    int wake_rx;                /* the peer writes, we sleep */
    int wake_tx;                /* we write */
    bool dead;                  /* closed, freed at the end of ->poll() */
    bool broken;                /* the peer wrote nonsense, to be cut */
    EfaShmHeader *map;
    EfaRingTx tx;
    EfaRingRx rx;
    ShmLink *link;              /* NULL until HELLO has arrived */
} ShmConn;

struct ShmLink {
    EfaLink link;
    ShmConn *conn;
    unsigned up_index;          /* in ->up while UP */
    bool dirty;                 /* in ->dirty */
    bool deferred;              /* in ->deferred: an outcome to be told */
    EfaLinkState outcome;
    EfaLinkDownReason why;
    uint64_t instance;          /* the peer's, while UP */
    char name[INET6_ADDRSTRLEN];
};

typedef struct EfaFabricShm {
    EfaFabric fabric;
    EfaShmName name;            /* without ->dir: loopback only */
    int sparefd;                /* given up to refuse when none are left */
    int epfd;
    int kickfd;                 /* wakes ourselves */
    uint64_t instance;
    bool in_poll;
    GHashTable *links;          /* EfaGid -> ShmLink */
    ShmLink overflow;           /* stands for every peer beyond the limit */
    GPtrArray *up;              /* ShmLink; changes only in ->poll() */
    GPtrArray *dirty;           /* committed to since the last ->flush() */
    GPtrArray *deferred;
    GPtrArray *graveyard;       /* ShmConn */
    GQueue half_open;           /* ShmConn, oldest first */
    unsigned turn;              /* whose ring is drained first */
    unsigned polls;             /* since the sockets were looked at */
    int64_t next_complaint;
} EfaFabricShm;

static EfaFabricShm *shm_from(EfaFabric *f)
{
    return container_of(f, EfaFabricShm, fabric);
}

static ShmLink *shm_link_from(EfaLink *link)
{
    return container_of(link, ShmLink, link);
}

static void shm_wake(int fd)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so the sleeper is awake already. */
    if (write(fd, &one, sizeof(one)) < 0) {
        trace_efa_shm_wake_failed(fd, errno);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* For the operator; a peer cannot flood the log. */
static void G_GNUC_PRINTF(2, 3)
shm_complain(EfaFabricShm *s, const char *fmt, ...)
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

static ShmConn *shm_conn_new(int sock)
{
    ShmConn *conn = g_new0(ShmConn, 1);

    conn->sock = sock;
    conn->wake_rx = conn->wake_tx = -1;
    return conn;
}

static void shm_conn_close(EfaFabricShm *s, ShmConn *conn)
{
    if (!conn || conn->dead) {
        return;
    }
    conn->dead = true;
    if (conn->wake_rx >= 0) {
        /* The peer has it open too, so closing would not remove it. */
        epoll_ctl(s->epfd, EPOLL_CTL_DEL, conn->wake_rx, NULL);
    }
    close_fd(&conn->sock);
    close_fd(&conn->wake_rx);
    if (conn->wake_tx != s->kickfd) {
        close_fd(&conn->wake_tx);
    }
    efa_shm_region_unmap(conn->map);
    conn->map = NULL;
    g_ptr_array_add(s->graveyard, conn);
}

static bool shm_epoll_add(EfaFabricShm *s, int fd, uint32_t events, void *ptr)
{
    struct epoll_event ev = { .events = events, .data.ptr = ptr };

    return !epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev);
}

/* eventfds only wake us; edge-triggered, they need no read */
static bool shm_watch_wake(EfaFabricShm *s, int fd)
{
    return shm_epoll_add(s, fd, EPOLLIN | EPOLLET, NULL);
}

static bool shm_watch_sock(EfaFabricShm *s, ShmConn *conn)
{
    return shm_epoll_add(s, conn->sock, EPOLLIN | EPOLLRDHUP, conn);
}

static bool shm_hung_up(int sock)
{
    struct pollfd p = { .fd = sock, .events = POLLRDHUP };

    return poll(&p, 1, 0) > 0 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/* link states */

/* Have ->poll() tell the client. */
static void shm_defer(EfaFabricShm *s, ShmLink *l, EfaLinkState outcome,
                      EfaLinkDownReason why)
{
    l->outcome = outcome;
    l->why = why;
    if (!l->deferred) {
        l->deferred = true;
        g_ptr_array_add(s->deferred, l);
        if (!s->in_poll) {
            shm_wake(s->kickfd);
        }
    }
}

static void shm_undefer(EfaFabricShm *s, ShmLink *l)
{
    if (l->deferred) {
        l->deferred = false;
        g_ptr_array_remove(s->deferred, l);
    }
}

/* Seen outside ->poll() perhaps: no more use of the rings, cut soon. */
static void shm_break(EfaFabricShm *s, ShmLink *l, const char *what)
{
    if (!l->conn->broken) {
        l->conn->broken = true;
        trace_efa_shm_nonsense(l->name, what);
        shm_complain(s, "peer %s wrote nonsense (%s), link cut", l->name, what);
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_PROTOCOL);
    }
}

static void shm_set_up(EfaFabricShm *s, ShmLink *l)
{
    l->up_index = s->up->len;
    g_ptr_array_add(s->up, l);
    l->link.state = EFA_LINK_UP;
    trace_efa_shm_link_up(l->name);
    s->fabric.client->link_up(s->fabric.opaque, &l->link);
}

/* Detach and close the connection, if any; true if the link was UP. */
static bool shm_detach(EfaFabricShm *s, ShmLink *l)
{
    bool was_up = l->link.state == EFA_LINK_UP;

    if (was_up) {
        ShmLink *last = g_ptr_array_index(s->up, s->up->len - 1);

        last->up_index = l->up_index;
        g_ptr_array_remove_index_fast(s->up, l->up_index);
    }
    shm_undefer(s, l);
    shm_conn_close(s, l->conn);
    l->conn = NULL;
    return was_up;
}

static void shm_tell_down(EfaFabricShm *s, ShmLink *l, EfaLinkDownReason why)
{
    trace_efa_shm_link_down(l->name, why);
    s->fabric.client->link_down(s->fabric.opaque, &l->link, why);
}

static void shm_set_down(EfaFabricShm *s, ShmLink *l, EfaLinkDownReason why)
{
    shm_detach(s, l);
    l->link.state = EFA_LINK_DOWN;
    shm_tell_down(s, l, why);
}

/* rings */

/* Deliver up to @max packets of a link that is UP. */
static unsigned shm_drain_link(EfaFabricShm *s, ShmLink *l, unsigned max)
{
    ShmConn *conn = l->conn;
    EfaRingStatus status = EFA_RING_EMPTY;
    const uint8_t *packet;
    unsigned n;
    uint32_t len;

    for (n = 0; n < max && !conn->broken; n++) {
        status = efa_ring_next(&conn->rx, &packet, &len);
        if (status != EFA_RING_OK) {
            break;
        }
        s->fabric.client->receive(s->fabric.opaque, &l->link, packet, len);
        if (efa_ring_done(&conn->rx)) {
            shm_wake(conn->wake_tx);
        }
    }
    if (status == EFA_RING_BAD) {
        shm_break(s, l, "receive ring");
    } else if (efa_ring_publish(&conn->rx)) {
        shm_wake(conn->wake_tx);
    }
    return n;
}

static bool shm_check_writable(EfaFabricShm *s, ShmLink *l)
{
    ShmConn *conn = l->conn;

    if (!conn->tx.want || conn->broken) {
        return false;
    }
    switch (efa_ring_writable(&conn->tx)) {
    case EFA_RING_OK:
        s->fabric.client->link_writable(s->fabric.opaque, &l->link);
        return true;
    case EFA_RING_BAD:
        shm_break(s, l, "send ring");
        break;
    default:
        break;
    }
    return false;
}

/* One turn for every link until all are empty or the budget is used up. */
static bool shm_drain(EfaFabricShm *s, unsigned budget)
{
    bool any = false, progress = true;

    /* ->up neither grows nor shrinks here: broken links are cut later. */
    while (progress && budget) {
        unsigned i, n = s->up->len;

        progress = false;
        for (i = 0; i < n && budget; i++) {
            ShmLink *l = g_ptr_array_index(s->up, s->turn++ % n);
            unsigned got;

            got = shm_drain_link(s, l, MIN(budget, SHM_QUANTUM));
            budget -= got;
            progress |= got > 0;
            progress |= shm_check_writable(s, l);
        }
        any |= progress;
    }
    return any;
}

static void shm_hangup(EfaFabricShm *s, ShmLink *l)
{
    /* What the peer sent before it went is there; a ringful at most. */
    if (l->link.state == EFA_LINK_UP) {
        shm_drain_link(s, l, EFA_SHM_RING_SIZE / EFA_RING_ALIGN);
    }
    shm_set_down(s, l, l->conn && l->conn->broken ? EFA_LINK_PROTOCOL
                                                  : EFA_LINK_HANGUP);
}

/* connecting */

static void shm_accept(EfaFabricShm *s);
static void shm_half_open_scan(EfaFabricShm *s);

/* The peer keeps its own connection to us: it must be waiting already. */
static void shm_crossed(EfaFabricShm *s, ShmLink *l)
{
    shm_detach(s, l);
    shm_accept(s);
    shm_half_open_scan(s);
    if (l->link.state == EFA_LINK_CONNECTING && !l->conn && !l->deferred) {
        shm_set_down(s, l, EFA_LINK_HANGUP);
    }
}

static void shm_refused(EfaFabricShm *s, ShmLink *l, uint32_t status)
{
    trace_efa_shm_refused(l->name, status);
    shm_complain(s, "peer %s refused: %s", l->name,
                 efa_shm_status_text(status));
    shm_set_down(s, l, EFA_LINK_REFUSED);
}

/* The answer to our HELLO. */
static void shm_handle_ack(EfaFabricShm *s, ShmConn *conn)
{
    ShmLink *l = conn->link;
    EfaShmAck ack = { 0 };
    uint32_t status;
    ssize_t len;

    len = recv(conn->sock, &ack, sizeof(ack), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0) {
        shm_set_down(s, l, EFA_LINK_HANGUP);
        return;
    }
    if (!efa_shm_ack_check(&ack, len, &status)) {
        trace_efa_shm_nonsense(l->name, "handshake");
        shm_complain(s, "peer %s answered nonsense to the handshake", l->name);
        shm_set_down(s, l, EFA_LINK_PROTOCOL);
        return;
    }
    switch (status) {
    case EFA_SHM_OK:
        l->instance = ack.instance;
        shm_set_up(s, l);
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
static int shm_dial(EfaFabricShm *s, ShmLink *l, EfaLinkDownReason *why)
{
    int err, sock = efa_shm_name_dial(&s->name, &l->link.peer);

    if (sock >= 0) {
        if (efa_shm_same_user(sock)) {
            return sock;
        }
        close(sock);
        *why = EFA_LINK_REFUSED;
        shm_complain(s, "peer %s refused: %s", l->name,
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
        shm_complain(s, "cannot reach %s: %s", l->name, g_strerror(err));
    }
    return -1;
}

/* Make the region and the eventfds, and offer them to the peer. */
static bool shm_offer(EfaFabricShm *s, ShmLink *l, ShmConn *conn)
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
        shm_watch_wake(s, conn->wake_rx) && shm_watch_sock(s, conn)) {
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
static void shm_connect_self(EfaFabricShm *s, ShmLink *l)
{
    void *map = mmap(NULL, EFA_SHM_REGION_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *data;
    ShmConn *conn;

    if (map == MAP_FAILED) {
        shm_complain(s, "no memory for the loopback ring");
        shm_defer(s, l, EFA_LINK_DOWN, EFA_LINK_REFUSED);
        return;
    }
    conn = shm_conn_new(-1);
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

static void shm_connect_peer(EfaFabricShm *s, ShmLink *l)
{
    EfaLinkDownReason why;
    int sock = shm_dial(s, l, &why);

    if (sock < 0) {
        shm_defer(s, l, EFA_LINK_DOWN, why);
        return;
    }
    l->conn = shm_conn_new(sock);
    l->conn->link = l;
    if (!shm_offer(s, l, l->conn)) {
        bool gone = errno == EPIPE || errno == ECONNRESET;

        if (!gone) {
            shm_complain(s, "cannot reach %s: %s", l->name, g_strerror(errno));
        }
        shm_conn_close(s, l->conn);
        l->conn = NULL;
        shm_defer(s, l, EFA_LINK_DOWN,
                  gone ? EFA_LINK_HANGUP : EFA_LINK_REFUSED);
    }
}

static void shm_connect(EfaFabric *f, EfaLink *link)
{
    EfaFabricShm *s = shm_from(f);
    ShmLink *l = shm_link_from(link);

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

/* accepting */

static EfaLink *shm_link_get(EfaFabric *f, const EfaGid *peer);

/*
 * May this HELLO's connection become the link's? If both sides connect at
 * once, both keep the one that the lower GID made.
 */
static EfaShmStatus shm_arbitrate(EfaFabricShm *s, ShmLink *l,
                                  const EfaShmHello *hello)
{
    ShmConn *old = l->conn;

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
static EfaShmStatus shm_take_offer(EfaFabricShm *s, ShmConn *conn, int *fds,
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
    return shm_watch_wake(s, conn->wake_rx) ? EFA_SHM_OK
                                            : EFA_SHM_NO_RESOURCES;
}

/* @conn takes the place of what the link had before. */
static void shm_establish(EfaFabricShm *s, ShmLink *l, ShmConn *conn,
                          uint64_t instance)
{
    EfaLinkDownReason why = EFA_LINK_HANGUP;
    bool was_up;

    if (l->link.state == EFA_LINK_UP) {
        shm_drain_link(s, l, EFA_SHM_RING_SIZE / EFA_RING_ALIGN);
        if (l->conn->broken) {
            why = EFA_LINK_PROTOCOL;
        }
    }
    was_up = shm_detach(s, l);
    l->conn = conn;
    l->instance = instance;
    conn->link = l;
    l->link.state = EFA_LINK_CONNECTING;
    if (was_up) {
        shm_tell_down(s, l, why);
    }
    shm_set_up(s, l);
}

static bool shm_answer(EfaFabricShm *s, ShmConn *conn, EfaShmStatus status)
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

static EfaShmStatus shm_judge_hello(EfaFabricShm *s, ShmConn *conn,
                                    const EfaShmHello *hello, size_t len,
                                    int *fds, unsigned n, ShmLink **l)
{
    EfaShmStatus status = efa_shm_hello_check(hello, len, &s->fabric.gid);

    if (status == EFA_SHM_OK) {
        *l = shm_link_from(shm_link_get(&s->fabric, &hello->src));
        status = *l == &s->overflow ? EFA_SHM_NO_RESOURCES
                                    : shm_arbitrate(s, *l, hello);
    }
    return status == EFA_SHM_OK ? shm_take_offer(s, conn, fds, n) : status;
}

static void shm_half_open_drop(EfaFabricShm *s, ShmConn *conn, const char *why)
{
    trace_efa_shm_dropped(why);
    g_queue_remove(&s->half_open, conn);
    shm_conn_close(s, conn);
}

/* A half-open connection has something to say. */
static void shm_handle_hello(EfaFabricShm *s, ShmConn *conn)
{
    EfaShmHello hello = { 0 };
    EfaShmStatus status;
    ShmLink *l = NULL;
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
            shm_complain(s, "refused a connection from %s: %s",
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
        close_fd(&fds[i]);
    }
}

static void shm_half_open_scan(EfaFabricShm *s)
{
    GList *node = s->half_open.head;

    while (node) {
        GList *next = node->next;

        shm_handle_hello(s, node->data);
        node = next;
    }
}

/* Out of descriptors: hang up on the caller rather than let it wait. */
static bool shm_turn_away(EfaFabricShm *s)
{
    int sock;

    shm_complain(s, "out of file descriptors, raise `ulimit -n`");
    close_fd(&s->sparefd);
    sock = accept4(s->name.listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        close(sock);
    }
    s->sparefd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return sock >= 0;
}

static void shm_accept(EfaFabricShm *s)
{
    for (;;) {
        int sock = accept4(s->name.listenfd, NULL, NULL,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        ShmConn *conn;

        if (sock < 0) {
            if (errno == EINTR || errno == ECONNABORTED ||
                ((errno == EMFILE || errno == ENFILE) && shm_turn_away(s))) {
                continue;
            }
            return;
        }
        conn = shm_conn_new(sock);
        g_queue_push_tail(&s->half_open, conn);
        if (!efa_shm_same_user(sock)) {
            shm_answer(s, conn, EFA_SHM_BAD_OWNER);
            shm_half_open_drop(s, conn,
                               efa_shm_status_text(EFA_SHM_BAD_OWNER));
            continue;
        }
        if (!shm_watch_sock(s, conn)) {
            shm_answer(s, conn, EFA_SHM_NO_RESOURCES);
            shm_half_open_drop(s, conn, "cannot watch the socket");
            continue;
        }
        if (s->half_open.length > SHM_MAX_HALF_OPEN) {
            shm_half_open_drop(s, g_queue_peek_head(&s->half_open),
                               "too many unfinished handshakes");
        }
        shm_handle_hello(s, conn);
    }
}

/* events */

static void shm_handle_up(EfaFabricShm *s, ShmConn *conn)
{
    char byte;
    ssize_t len = recv(conn->sock, &byte, 1, MSG_DONTWAIT);

    if (len > 0) {
        shm_break(s, conn->link, "message after the handshake");
    } else if (!len || (errno != EAGAIN && errno != EINTR)) {
        shm_hangup(s, conn->link);
    }
}

/* True if there may be more. */
static bool shm_handle_events(EfaFabricShm *s)
{
    struct epoll_event ev[SHM_EVENT_BATCH];
    int i, n = epoll_wait(s->epfd, ev, SHM_EVENT_BATCH, 0);

    for (i = 0; i < n; i++) {
        ShmConn *conn = ev[i].data.ptr;

        if (!conn) {
            continue;
        }
        if (ev[i].data.ptr == &s->name.listenfd) {
            shm_accept(s);
        } else if (conn->dead) {
            continue;
        } else if (!conn->link) {
            shm_handle_hello(s, conn);
        } else if (conn->link->link.state == EFA_LINK_UP) {
            shm_handle_up(s, conn);
        } else {
            shm_handle_ack(s, conn);
        }
    }
    return n == SHM_EVENT_BATCH;
}

static void shm_tell_deferred(EfaFabricShm *s)
{
    /* A client that reconnects at once must not keep us here. */
    unsigned n = s->deferred->len;

    while (n-- && s->deferred->len) {
        ShmLink *l = g_ptr_array_index(s->deferred, 0);

        g_ptr_array_remove_index(s->deferred, 0);
        l->deferred = false;
        if (l->outcome == EFA_LINK_UP) {
            shm_set_up(s, l);
        } else {
            shm_set_down(s, l, l->why);
        }
    }
}

/* operations */

static guint shm_gid_hash(gconstpointer key)
{
    uint64_t half[2];

    memcpy(half, key, sizeof(half));
    half[0] = (half[0] ^ half[1]) * 0x9e3779b97f4a7c15ull;
    return half[0] >> 32;
}

static gboolean shm_gid_equal(gconstpointer a, gconstpointer b)
{
    return efa_gid_equal(a, b);
}

/* A link that leads nowhere and that nobody refers to. */
static gboolean shm_link_idle(gpointer key, gpointer value, gpointer opaque)
{
    const ShmLink *l = value;

    return l->link.state == EFA_LINK_DOWN && !l->link.client_data &&
           !l->conn && !l->dirty && !l->deferred;
}

static EfaLink *shm_link_get(EfaFabric *f, const EfaGid *peer)
{
    EfaFabricShm *s = shm_from(f);
    ShmLink *l = g_hash_table_lookup(s->links, peer);

    if (l) {
        return &l->link;
    }
    if (g_hash_table_size(s->links) >= SHM_MAX_LINKS && !s->in_poll) {
        /* A guest may have sent to more addresses than there are peers. */
        g_hash_table_foreach_remove(s->links, shm_link_idle, NULL);
    }
    if (g_hash_table_size(s->links) >= SHM_MAX_LINKS) {
        shm_complain(s, "more than %d peers", SHM_MAX_LINKS);
        return &s->overflow.link;
    }
    l = g_new0(ShmLink, 1);
    l->link.peer = *peer;
    inet_ntop(AF_INET6, peer->raw, l->name, sizeof(l->name));
    g_hash_table_insert(s->links, &l->link.peer, l);
    return &l->link;
}

static uint8_t *shm_reserve(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricShm *s = shm_from(f);
    ShmLink *l = shm_link_from(link);
    uint8_t *packet;

    if (link->state != EFA_LINK_UP || l->conn->broken || len > f->max_packet) {
        return NULL;
    }
    switch (efa_ring_reserve(&l->conn->tx, len, &packet)) {
    case EFA_RING_OK:
        return packet;
    case EFA_RING_BAD:
        shm_break(s, l, "send ring");
        return NULL;
    default:
        trace_efa_shm_no_space(l->name, len);
        return NULL;
    }
}

static void shm_commit(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricShm *s = shm_from(f);
    ShmLink *l = shm_link_from(link);

    if (link->state != EFA_LINK_UP || len > f->max_packet) {
        return;
    }
    efa_ring_commit(&l->conn->tx, len);
    if (!l->dirty) {
        l->dirty = true;
        g_ptr_array_add(s->dirty, l);
    }
}

static void shm_flush(EfaFabric *f)
{
    EfaFabricShm *s = shm_from(f);
    unsigned i;

    for (i = 0; i < s->dirty->len; i++) {
        ShmLink *l = g_ptr_array_index(s->dirty, i);

        l->dirty = false;
        if (l->link.state == EFA_LINK_UP &&
            efa_ring_must_wake(&l->conn->tx)) {
            trace_efa_shm_wake(l->name);
            shm_wake(l->conn->wake_tx);
        }
    }
    g_ptr_array_set_size(s->dirty, 0);
}

static int shm_fd(EfaFabric *f)
{
    return shm_from(f)->epfd;
}

static bool shm_pending(EfaFabric *f)
{
    EfaFabricShm *s = shm_from(f);
    unsigned i;

    for (i = 0; i < s->up->len; i++) {
        ShmLink *l = g_ptr_array_index(s->up, i);
        ShmConn *conn = l->conn;

        if (efa_ring_pending(&conn->rx) ||
            (conn->tx.want && !qatomic_read(&conn->tx.ctl->want_space))) {
            return true;
        }
    }
    return s->deferred->len > 0;
}

static void shm_arm(EfaFabricShm *s)
{
    unsigned i;

    for (i = 0; i < s->up->len; i++) {
        ShmLink *l = g_ptr_array_index(s->up, i);

        efa_ring_sleep(&l->conn->rx);
    }
    /* Either we see what was committed until now or the peers our flags. */
    smp_mb();
}

/*
 * Returns true, with no sleep announced, whenever packets were delivered: a
 * caller that wants to spin on ->pending() does so before it calls again.
 */
static bool shm_poll(EfaFabric *f, unsigned budget)
{
    EfaFabricShm *s = shm_from(f);
    bool more;

    if (s->in_poll) {
        return true;
    }
    s->in_poll = true;
    more = shm_drain(s, budget);
    if (!more || ++s->polls >= SHM_EVENT_INTERVAL) {
        s->polls = 0;
        more |= shm_handle_events(s);
    }
    shm_tell_deferred(s);
    shm_flush(f);
    if (!more) {
        shm_arm(s);
        more = shm_pending(f);
    }
    g_ptr_array_set_size(s->graveyard, 0);
    s->in_poll = false;
    return more;
}

static void shm_free(EfaFabric *f)
{
    EfaFabricShm *s = shm_from(f);
    GHashTableIter iter;
    gpointer value;
    ShmConn *conn;

    /* Peers see the hang-up while the name is still ours. */
    g_hash_table_iter_init(&iter, s->links);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        shm_conn_close(s, ((ShmLink *)value)->conn);
    }
    while ((conn = g_queue_pop_head(&s->half_open))) {
        shm_conn_close(s, conn);
    }
    g_hash_table_destroy(s->links);
    g_ptr_array_free(s->up, true);
    g_ptr_array_free(s->dirty, true);
    g_ptr_array_free(s->deferred, true);
    g_ptr_array_free(s->graveyard, true);
    efa_shm_name_release(&s->name);
    close_fd(&s->sparefd);
    close_fd(&s->epfd);
    close_fd(&s->kickfd);
    g_free(s);
}

#define SHM_OPS(text)               \
    {                               \
        .name = (text),             \
        .link_get = shm_link_get,   \
        .connect = shm_connect,     \
        .reserve = shm_reserve,     \
        .commit = shm_commit,       \
        .flush = shm_flush,         \
        .fd = shm_fd,               \
        .pending = shm_pending,     \
        .poll = shm_poll,           \
        .free = shm_free,           \
    }

static const EfaFabricOps shm_ops = SHM_OPS("shm");
static const EfaFabricOps loopback_ops = SHM_OPS("none");

/* creation */

/* Not listening yet. */
static EfaFabricShm *shm_alloc(const EfaFabricOps *ops, const EfaGid *gid,
                               const EfaFabricClient *client, void *opaque)
{
    EfaFabricShm *s = g_new0(EfaFabricShm, 1);

    s->fabric.ops = ops;
    s->fabric.client = client;
    s->fabric.opaque = opaque;
    s->fabric.gid = *gid;
    s->fabric.max_packet = efa_ring_max_packet(EFA_SHM_RING_SIZE);
    s->name.dirfd = s->name.lockfd = s->name.listenfd = -1;
    s->sparefd = -1;
    s->epfd = epoll_create1(EPOLL_CLOEXEC);
    s->kickfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->instance = (uint64_t)g_random_int() << 32 | g_random_int();
    s->links = g_hash_table_new_full(shm_gid_hash, shm_gid_equal, NULL, g_free);
    s->up = g_ptr_array_new();
    s->dirty = g_ptr_array_new();
    s->deferred = g_ptr_array_new();
    s->graveyard = g_ptr_array_new_with_free_func(g_free);
    g_queue_init(&s->half_open);
    g_strlcpy(s->overflow.name, "(too many peers)", sizeof(s->overflow.name));
    return s;
}

EfaFabric *efa_fabric_shm_new(const char *dir, const EfaGid *gid,
                              const EfaFabricClient *client, void *opaque,
                              GError **errp)
{
    EfaFabricShm *s = shm_alloc(&shm_ops, gid, client, opaque);
    char *text;

    s->sparefd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!efa_shm_name_claim(&s->name, dir, gid, errp)) {
        shm_free(&s->fabric);
        return NULL;
    }
    if (s->epfd < 0 || s->kickfd < 0 || s->sparefd < 0 ||
        !shm_watch_wake(s, s->kickfd) ||
        !shm_epoll_add(s, s->name.listenfd, EPOLLIN, &s->name.listenfd)) {
        g_set_error(errp, g_quark_from_static_string("efa-fabric-shm"), EMFILE,
                    "fabric directory '%s': out of file descriptors; raise "
                    "'ulimit -n'", dir);
        shm_free(&s->fabric);
        return NULL;
    }
    text = efa_gid_to_string(gid);
    trace_efa_shm_listen(dir, text);
    g_free(text);
    return &s->fabric;
}

EfaFabric *efa_fabric_loopback_new(const EfaGid *gid,
                                   const EfaFabricClient *client, void *opaque)
{
    EfaFabricShm *s = shm_alloc(&loopback_ops, gid, client, opaque);

    /* Should that fail, ->pending() tells all the same. */
    shm_watch_wake(s, s->kickfd);
    return &s->fabric;
}
