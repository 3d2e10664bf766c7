/*
 * EFA device model: the shared memory fabric: its rings, its poll loop, its
 * operations and its creation
 *
 * Peer to peer: each device listens on a unix socket in a directory, named by
 * its GID. Two devices that talk share one region with a ring for each
 * direction; the socket between them then only tells when a peer dies.
 * docs/fabric-shm.md describes it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "fabric-shm.h"

/* Packets taken from one link before the next one's turn. */
#define SHM_QUANTUM         16
/* Under load, look after the sockets every so many polls. */
#define SHM_EVENT_INTERVAL  16
#define SHM_EVENT_BATCH     64

/* rings */

unsigned efa_shm_drain_link(EfaFabricShm *s, EfaShmLink *l, unsigned max)
{
    EfaShmConn *conn = l->conn;
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
            efa_shm_wake(conn->wake_tx);
        }
    }
    if (status == EFA_RING_BAD) {
        efa_shm_break(s, l, "receive ring");
    } else if (efa_ring_publish(&conn->rx)) {
        efa_shm_wake(conn->wake_tx);
    }
    return n;
}

static bool shm_check_writable(EfaFabricShm *s, EfaShmLink *l)
{
    EfaShmConn *conn = l->conn;

    if (!conn->tx.want || conn->broken) {
        return false;
    }
    switch (efa_ring_writable(&conn->tx)) {
    case EFA_RING_OK:
        s->fabric.client->link_writable(s->fabric.opaque, &l->link);
        return true;
    case EFA_RING_BAD:
        efa_shm_break(s, l, "send ring");
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
            EfaShmLink *l = g_ptr_array_index(s->up, s->turn++ % n);
            unsigned got;

            got = efa_shm_drain_link(s, l, MIN(budget, SHM_QUANTUM));
            budget -= got;
            progress |= got > 0;
            progress |= shm_check_writable(s, l);
        }
        any |= progress;
    }
    return any;
}

static void shm_hangup(EfaFabricShm *s, EfaShmLink *l)
{
    /* What the peer sent before it went is there; a ringful at most. */
    if (l->link.state == EFA_LINK_UP) {
        efa_shm_drain_link(s, l, EFA_SHM_RING_SIZE / EFA_RING_ALIGN);
    }
    efa_shm_set_down(s, l, l->conn && l->conn->broken ? EFA_LINK_PROTOCOL
                                                      : EFA_LINK_HANGUP);
}

/* events */

static void shm_handle_up(EfaFabricShm *s, EfaShmConn *conn)
{
    char byte;
    ssize_t len = recv(conn->sock, &byte, 1, MSG_DONTWAIT);

    if (len > 0) {
        efa_shm_break(s, conn->link, "message after the handshake");
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
        EfaShmConn *conn = ev[i].data.ptr;

        if (!conn) {
            continue;
        }
        if (ev[i].data.ptr == &s->name.listenfd) {
            efa_shm_accept(s);
        } else if (conn->dead) {
            continue;
        } else if (!conn->link) {
            efa_shm_handle_hello(s, conn);
        } else if (conn->link->link.state == EFA_LINK_UP) {
            shm_handle_up(s, conn);
        } else {
            efa_shm_handle_ack(s, conn);
        }
    }
    return n == SHM_EVENT_BATCH;
}

/* operations */

static uint8_t *shm_reserve(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricShm *s = efa_shm_from(f);
    EfaShmLink *l = efa_shm_link_from(link);
    uint8_t *packet;

    if (link->state != EFA_LINK_UP || l->conn->broken || len > f->max_packet) {
        return NULL;
    }
    switch (efa_ring_reserve(&l->conn->tx, len, &packet)) {
    case EFA_RING_OK:
        return packet;
    case EFA_RING_BAD:
        efa_shm_break(s, l, "send ring");
        return NULL;
    default:
        trace_efa_shm_no_space(l->name, len);
        return NULL;
    }
}

static void shm_commit(EfaFabric *f, EfaLink *link, size_t len)
{
    EfaFabricShm *s = efa_shm_from(f);
    EfaShmLink *l = efa_shm_link_from(link);

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
    EfaFabricShm *s = efa_shm_from(f);
    unsigned i;

    for (i = 0; i < s->dirty->len; i++) {
        EfaShmLink *l = g_ptr_array_index(s->dirty, i);

        l->dirty = false;
        if (l->link.state == EFA_LINK_UP &&
            efa_ring_must_wake(&l->conn->tx)) {
            trace_efa_shm_wake(l->name);
            efa_shm_wake(l->conn->wake_tx);
        }
    }
    g_ptr_array_set_size(s->dirty, 0);
}

static int shm_fd(EfaFabric *f)
{
    return efa_shm_from(f)->epfd;
}

static bool shm_pending(EfaFabric *f)
{
    EfaFabricShm *s = efa_shm_from(f);
    unsigned i;

    for (i = 0; i < s->up->len; i++) {
        EfaShmLink *l = g_ptr_array_index(s->up, i);
        EfaShmConn *conn = l->conn;

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
        EfaShmLink *l = g_ptr_array_index(s->up, i);

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
    EfaFabricShm *s = efa_shm_from(f);
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
    efa_shm_tell_deferred(s);
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
    EfaFabricShm *s = efa_shm_from(f);
    GHashTableIter iter;
    gpointer value;
    EfaShmConn *conn;

    /* Peers see the hang-up while the name is still ours. */
    g_hash_table_iter_init(&iter, s->links);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        efa_shm_conn_close(s, ((EfaShmLink *)value)->conn);
    }
    while ((conn = g_queue_pop_head(&s->half_open))) {
        efa_shm_conn_close(s, conn);
    }
    g_hash_table_destroy(s->links);
    g_ptr_array_free(s->up, true);
    g_ptr_array_free(s->dirty, true);
    g_ptr_array_free(s->deferred, true);
    g_ptr_array_free(s->graveyard, true);
    efa_shm_name_release(&s->name);
    efa_shm_close_fd(&s->sparefd);
    efa_shm_close_fd(&s->epfd);
    efa_shm_close_fd(&s->kickfd);
    g_free(s);
}

#define SHM_OPS(text)                   \
    {                                   \
        .name = (text),                 \
        .link_get = efa_shm_link_get,   \
        .connect = efa_shm_connect,     \
        .reserve = shm_reserve,         \
        .commit = shm_commit,           \
        .flush = shm_flush,             \
        .fd = shm_fd,                   \
        .pending = shm_pending,         \
        .poll = shm_poll,               \
        .free = shm_free,               \
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
    s->links = g_hash_table_new_full(efa_gid_hash, efa_gid_hash_equal, NULL, g_free);
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
        !efa_shm_watch_wake(s, s->kickfd) ||
        !efa_shm_epoll_add(s, s->name.listenfd, EPOLLIN, &s->name.listenfd)) {
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
    efa_shm_watch_wake(s, s->kickfd);
    return &s->fabric;
}
