/*
 * Fuzzing: the shared memory fabric's handshake and rings
 *
 * One device, and peers of which the input plays the other end of the socket
 * and of the rings.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fuzz.h"
#include "../unit/shm-harness.h"
#include "fabric-shm.h"
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define PEERS   4

enum {
    OP_HELLO,       /* peer, its GID, length, three descriptors, changes */
    OP_MESSAGE,     /* peer, length, bytes: on its socket, made if need be */
    OP_CLOSE,       /* peer */
    OP_PUT,         /* peer, length (word), byte: a packet as it should be */
    OP_RECORD,      /* peer, length (dword), kind (dword), step (dword) */
    OP_CONTROL,     /* peer, ring and word, value (dword); bit 7: added */
    OP_SPOIL,       /* peer, offset (dword), length, bytes: of the region */
    OP_TAKE,        /* peer, how many: what the device has sent */
    OP_WAKE,        /* peer */
    OP_CONNECT,     /* GID; bit 7: somebody listens there */
    OP_ACCEPT,      /* GID, peer that it becomes, length, changes: the answer */
    OP_SEND,        /* GID, length (word) */
    OP_POLL,        /* budget */
    OP_ECHO,        /* bit 0 */
};

typedef struct Peer {
    bool used;
    Raw raw;
} Peer;

typedef struct Fuzz {
    Node *n;
    Peer peer[PEERS];
    int server[PEERS];      /* listening as GID 2 + i, or -1 */
} Fuzz;

/* ---- the device's side ---- */

static volatile uint8_t sink;

static void on_receive(void *opaque, EfaLink *link, const uint8_t *data,
                       size_t len)
{
    const EfaRingRx *rx = &efa_shm_link_from(link)->conn->rx;
    Node *n = opaque;
    size_t i;

    fuzz_check(n->polling && link->state == EFA_LINK_UP,
               "a packet outside of poll() or from a link that is not up");
    fuzz_check(len <= n->f->max_packet, "a packet of %zu bytes", len);
    fuzz_check(data >= rx->data && data + len <= rx->data + rx->size,
               "a packet outside of the ring");
    for (i = 0; i < len; i++) {
        sink += data[i];
    }
    if (n->echo) {
        node_send(n, link, data, len);
    }
}

static const EfaFabricClient client = {
    .receive = on_receive,
    .link_up = on_up,
    .link_down = on_down,
    .link_writable = on_writable,
};

/* ---- the peers' ---- */

static void peer_close(Peer *p)
{
    if (p->used) {
        raw_free(&p->raw);
        p->used = false;
    }
}

static Peer *peer_of(Fuzz *f, In *in)
{
    return &f->peer[in_u8(in) % PEERS];
}

/* A descriptor to pass; 0: the right one, as it is. */
static void spoil_fd(Raw *r, unsigned i, uint8_t kind)
{
    int fd = -1;

    switch (kind % 8) {
    case 1:
        fd = eventfd(0, EFD_CLOEXEC);
        break;
    case 2:
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        break;
    case 3:
        fd = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        break;
    case 4:
        fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        break;
    case 5:
        fd = efa_shm_region_new();
        break;
    case 6:
        r->nfds = MIN(r->nfds, i);
        break;
    case 7:
        if (r->nfds >= EFA_SHM_FDS) {   /* one too many */
            r->fds[r->nfds++] = fcntl(r->fds[0], F_DUPFD_CLOEXEC, 3);
        }
        return;
    }
    if (fd >= 0) {
        close(r->fds[i]);
        r->fds[i] = fd;
    }
}

static void op_hello(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint8_t from = in_u8(in) % 8, len = in_u8(in);
    unsigned i;

    peer_close(p);
    raw_init(&p->raw, from, 1);
    p->used = true;
    for (i = 0; i < EFA_SHM_FDS; i++) {
        spoil_fd(&p->raw, i, in_u8(in));
    }
    in_patch(in, &p->raw.hello, sizeof(p->raw.hello));
    p->raw.len = len ? MIN(len, sizeof(p->raw.hello) + 8) : p->raw.len;
    raw_send(&p->raw);
}

static void op_message(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint8_t text[96], len = in_u8(in) % sizeof(text);

    in_bytes(in, text, len);
    if (!p->used) {
        raw_init(&p->raw, 2, 1);
        p->used = true;
    }
    send(p->raw.sock, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wake(Peer *p)
{
    eventfd_write(p->raw.fds[EFA_SHM_FD_WAKE_ACCEPTOR], 1);
}

static void op_wake(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);

    if (p->used) {
        wake(p);
    }
}

static void op_put(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint16_t len = in_u16(in) % (efa_ring_max_packet(EFA_SHM_RING_SIZE) + 1);
    uint8_t fill = in_u8(in), *buf;

    if (p->used && efa_ring_reserve(&p->raw.tx, len, &buf) == EFA_RING_OK) {
        memset(buf, fill, len);
        efa_ring_commit(&p->raw.tx, len);
        if (efa_ring_must_wake(&p->raw.tx)) {
            wake(p);
        }
    }
}

static void op_record(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    EfaRingRecord rec;
    EfaRingTx *tx = &p->raw.tx;

    rec.len = in_u32(in);
    rec.kind = in_u32(in);
    if (p->used) {
        memcpy(tx->data + (tx->head & (tx->size - 1)), &rec, sizeof(rec));
        tx->head += in_u32(in);
        tx->head &= ~(EFA_RING_ALIGN - 1);
        tx->ctl->prod = tx->head;
        wake(p);
    }
}

static void op_control(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint8_t which = in_u8(in);
    uint32_t value = in_u32(in), *word;
    EfaRingCtl *ctl;

    if (p->used) {
        ctl = &p->raw.map->ring[which & 1];
        word = (uint32_t *)((uint8_t *)ctl + (which >> 1 & 3) * 128);
        *word = which & 128 ? *word + value : value;
        wake(p);
    }
}

static void op_spoil(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint32_t offset = in_u32(in) % EFA_SHM_REGION_SIZE;
    uint8_t len = in_u8(in);

    if (p->used) {
        in_bytes(in, (uint8_t *)p->raw.map + offset,
                 MIN(len, EFA_SHM_REGION_SIZE - offset));
    }
}

static void op_take(Fuzz *f, In *in)
{
    Peer *p = peer_of(f, in);
    uint8_t n = in_u8(in);
    const uint8_t *data;
    uint32_t len;

    while (p->used && n-- &&
           efa_ring_next(&p->raw.rx, &data, &len) == EFA_RING_OK) {
        if (efa_ring_done(&p->raw.rx)) {
            wake(p);
        }
    }
    if (p->used && efa_ring_publish(&p->raw.rx)) {
        wake(p);
    }
}

static void op_connect(Fuzz *f, In *in)
{
    uint8_t arg = in_u8(in), i = arg % PEERS;

    if (arg & 128 && f->server[i] < 0) {
        f->server[i] = raw_socket(2 + i, true);
        fcntl(f->server[i], F_SETFL, O_NONBLOCK);
    }
    node_connect(f->n, 2 + i);
}

/* What the device offers becomes @p's. */
static bool accept_offer(Peer *p, int server)
{
    Raw *r = &p->raw;
    ssize_t len;
    int fd;

    peer_close(p);
    memset(r, 0, sizeof(*r));
    r->sock = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (r->sock < 0) {
        return false;
    }
    len = efa_shm_recv(r->sock, &r->hello, sizeof(r->hello), r->fds,
                       EFA_SHM_FDS, &r->nfds);
    if (len < 0) {
        close(r->sock);         /* the device has given up already */
        return false;
    }
    fuzz_check(len == sizeof(r->hello) &&
               efa_shm_fds_check(r->fds, r->nfds) == EFA_SHM_OK,
               "an offer of %zd bytes with %u descriptors", len, r->nfds);
    r->map = efa_shm_region_map(r->fds[EFA_SHM_FD_REGION]);
    efa_shm_region_attach(r->map, false, &r->tx, &r->rx);
    /* wake() knows only connectors */
    fd = r->fds[EFA_SHM_FD_WAKE_ACCEPTOR];
    r->fds[EFA_SHM_FD_WAKE_ACCEPTOR] = r->fds[EFA_SHM_FD_WAKE_CONNECTOR];
    r->fds[EFA_SHM_FD_WAKE_CONNECTOR] = fd;
    p->used = true;
    return true;
}

static void op_accept(Fuzz *f, In *in)
{
    int server = f->server[in_u8(in) % PEERS];
    Peer *p = peer_of(f, in);
    uint8_t len = in_u8(in);
    EfaShmAck ack = {
        .magic = EFA_SHM_MAGIC, .version = EFA_SHM_VERSION,
        .length = sizeof(ack), .instance = 77,
    };

    in_patch(in, &ack, sizeof(ack));
    len = len ? MIN(len, sizeof(ack)) : sizeof(ack);
    if (server >= 0 && accept_offer(p, server)) {
        send(p->raw.sock, &ack, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void op_send(Fuzz *f, In *in)
{
    static const uint8_t data[EFA_SHM_RING_SIZE / 8];
    EfaLink *link = node_link(f->n, 2 + in_u8(in) % 8);
    uint16_t len = in_u16(in) % (f->n->f->max_packet + 1);

    node_send(f->n, link, data, len);
    node_flush(f->n);
}

static void fuzz_op(Fuzz *f, In *in)
{
    switch (in_u8(in) & 15) {
    case OP_HELLO:
        op_hello(f, in);
        break;
    case OP_MESSAGE:
        op_message(f, in);
        break;
    case OP_CLOSE:
        peer_close(peer_of(f, in));
        break;
    case OP_PUT:
        op_put(f, in);
        break;
    case OP_RECORD:
        op_record(f, in);
        break;
    case OP_CONTROL:
        op_control(f, in);
        break;
    case OP_SPOIL:
        op_spoil(f, in);
        return;                 /* nobody is told */
    case OP_TAKE:
        op_take(f, in);
        break;
    case OP_WAKE:
        op_wake(f, in);
        break;
    case OP_CONNECT:
        op_connect(f, in);
        break;
    case OP_ACCEPT:
        op_accept(f, in);
        break;
    case OP_SEND:
        op_send(f, in);
        break;
    case OP_POLL:
        node_poll(f->n, in_u8(in));
        return;
    case OP_ECHO:
        f->n->echo = in_u8(in) & 1;
        return;
    }
    node_run(f->n);
}

static void fuzz_end(Fuzz *f)
{
    unsigned i;

    node_free(f->n);
    for (i = 0; i < PEERS; i++) {
        peer_close(&f->peer[i]);
        if (f->server[i] >= 0) {
            g_autofree char *path = path_of(gid(2 + i), ".sock");

            close(f->server[i]);
            g_unlink(path);
        }
    }
}

static void no_complaints(const char *domain, GLogLevelFlags level,
                          const char *text, gpointer opaque)
{
}

static void remove_dir(void)
{
    fuzz_check(g_rmdir(shm_dir) == 0, "something is left in %s", shm_dir);
    g_free(shm_dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, no_complaints, NULL);
    shm_dir = g_dir_make_tmp("efa-fuzz-XXXXXX", NULL);
    fabric_backend = &fabric_shm;
    atexit(remove_dir);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, size };
    unsigned fds = count_fds(), i, left;
    Fuzz f = { };

    for (i = 0; i < PEERS; i++) {
        f.server[i] = -1;
    }
    f.n = node_new(1);
    f.n->f->client = &client;
    while (in.left) {
        fuzz_op(&f, &in);
    }
    node_run(f.n);
    fuzz_end(&f);
    left = count_fds();
    fuzz_check(left == fds, "%u descriptors where there were %u", left, fds);
    return 0;
}
