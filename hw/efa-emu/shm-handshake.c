/*
 * EFA device model: how two devices agree on a pair of shared rings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <sys/socket.h>
#include "efa-packet.h"
#include "shm-handshake.h"

#define EFA_SHM_SEALS       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* As many as the kernel passes with one message. */
#define EFA_SHM_SCM_MAX     253

const char *efa_shm_status_text(uint32_t status)
{
    static const char *const text[EFA_SHM_STATUS_MAX] = {
        [EFA_SHM_OK] = "accepted",
        [EFA_SHM_BAD_VERSION] = "different version of efa-emu",
        [EFA_SHM_BAD_MESSAGE] = "malformed handshake",
        [EFA_SHM_BAD_GID] = "wrong GID",
        [EFA_SHM_BAD_FDS] = "wrong descriptors",
        [EFA_SHM_BAD_OWNER] = "owned by another user",
        [EFA_SHM_CROSSED] = "connections crossed",
        [EFA_SHM_NO_RESOURCES] = "out of links, descriptors or memory",
    };

    return status < EFA_SHM_STATUS_MAX ? text[status] : "unknown status";
}

void efa_shm_hello_init(EfaShmHello *hello, const EfaGid *src,
                        const EfaGid *dst, uint64_t instance)
{
    *hello = (EfaShmHello) {
        .magic = EFA_SHM_MAGIC,
        .version = EFA_SHM_VERSION,
        .length = sizeof(*hello),
        .packet_version = EFA_PKT_VERSION,
        .header_size = EFA_SHM_HEADER_SIZE,
        .ring_size = EFA_SHM_RING_SIZE,
        .instance = instance,
        .src = *src,
        .dst = *dst,
    };
}

EfaShmStatus efa_shm_hello_check(const EfaShmHello *hello, size_t len,
                                 const EfaGid *own)
{
    /* The version is judged first: only ours has this length. */
    if (len < offsetof(EfaShmHello, packet_version) ||
        hello->magic != EFA_SHM_MAGIC) {
        return EFA_SHM_BAD_MESSAGE;
    }
    if (hello->version != EFA_SHM_VERSION) {
        return EFA_SHM_BAD_VERSION;
    }
    if (len != sizeof(*hello) || hello->length != sizeof(*hello) ||
        hello->reserved || hello->reserved2) {
        return EFA_SHM_BAD_MESSAGE;
    }
    if (hello->packet_version != EFA_PKT_VERSION ||
        hello->header_size != EFA_SHM_HEADER_SIZE ||
        hello->ring_size != EFA_SHM_RING_SIZE) {
        return EFA_SHM_BAD_VERSION;
    }
    if (!efa_gid_equal(&hello->dst, own) || efa_gid_equal(&hello->src, own)) {
        return EFA_SHM_BAD_GID;
    }
    return EFA_SHM_OK;
}

static bool is_eventfd(int fd)
{
    static const char want[] = "anon_inode:[eventfd]";
    char path[32], target[sizeof(want) + 1];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof(target));
    return n == sizeof(want) - 1 && !memcmp(target, want, n);
}

/* A wake-up must never block, whatever the peer passed. */
static bool check_wake_fd(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK) &&
           (flags & O_ACCMODE) == O_RDWR && is_eventfd(fd);
}

/* Without the seals and the size an access could raise SIGBUS. */
static bool check_region_fd(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & EFA_SHM_SEALS) == EFA_SHM_SEALS &&
           !fstat(fd, &st) && S_ISREG(st.st_mode) &&
           st.st_size == EFA_SHM_REGION_SIZE;
}

EfaShmStatus efa_shm_fds_check(const int *fds, unsigned n)
{
    if (n != EFA_SHM_FDS ||
        !check_region_fd(fds[EFA_SHM_FD_REGION]) ||
        !check_wake_fd(fds[EFA_SHM_FD_WAKE_ACCEPTOR]) ||
        !check_wake_fd(fds[EFA_SHM_FD_WAKE_CONNECTOR])) {
        return EFA_SHM_BAD_FDS;
    }
    return EFA_SHM_OK;
}

bool efa_shm_ack_check(const EfaShmAck *ack, size_t len, uint32_t *status)
{
    if (len < offsetof(EfaShmAck, reserved) || ack->magic != EFA_SHM_MAGIC) {
        return false;
    }
    *status = ack->status;
    if (ack->version != EFA_SHM_VERSION) {
        *status = EFA_SHM_BAD_VERSION;
        return true;
    }
    return len == sizeof(*ack) && ack->length == sizeof(*ack) &&
           !ack->reserved && ack->status < EFA_SHM_STATUS_MAX;
}

int efa_shm_region_new(void)
{
    EfaShmHeader *map;
    int fd = memfd_create("efa-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, EFA_SHM_REGION_SIZE) < 0 ||
        fcntl(fd, F_ADD_SEALS, EFA_SHM_SEALS) < 0 ||
        !(map = efa_shm_region_map(fd))) {
        int err = errno;

        close(fd);
        errno = err;
        return -1;
    }
    map->magic = EFA_SHM_MAGIC;
    map->version = EFA_SHM_VERSION;
    efa_ring_format(&map->ring[0]);
    efa_ring_format(&map->ring[1]);
    efa_shm_region_unmap(map);
    return fd;
}

EfaShmHeader *efa_shm_region_map(int fd)
{
    void *map = mmap(NULL, EFA_SHM_REGION_SIZE, PROT_READ | PROT_WRITE,
                     MAP_SHARED, fd, 0);

    return map == MAP_FAILED ? NULL : map;
}

void efa_shm_region_unmap(EfaShmHeader *map)
{
    if (map) {
        munmap(map, EFA_SHM_REGION_SIZE);
    }
}

void efa_shm_region_attach(EfaShmHeader *map, bool connector, EfaRingTx *tx,
                           EfaRingRx *rx)
{
    uint8_t *data = (uint8_t *)map + EFA_SHM_HEADER_SIZE;
    unsigned out = connector ? 0 : 1;
    unsigned in = !out;

    efa_ring_tx_init(tx, &map->ring[out], data + out * EFA_SHM_RING_SIZE,
                     EFA_SHM_RING_SIZE);
    efa_ring_rx_init(rx, &map->ring[in], data + in * EFA_SHM_RING_SIZE,
                     EFA_SHM_RING_SIZE);
}

bool efa_shm_send(int sock, const void *msg, size_t len, const int *fds,
                  unsigned n)
{
    struct iovec iov = { .iov_base = (void *)msg, .iov_len = len };
    union {
        char buf[CMSG_SPACE(EFA_SHM_FDS * sizeof(int))];
        struct cmsghdr align;
    } ctl;
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t ret;

    if (n) {
        struct cmsghdr *cmsg;

        memset(&ctl, 0, sizeof(ctl));
        mh.msg_control = ctl.buf;
        mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&mh);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    }
    do {
        ret = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (ret < 0 && errno == EINTR);
    return ret == (ssize_t)len;
}

/* Every descriptor of @mh ends up in @fds or closed. */
static unsigned take_fds(struct msghdr *mh, int *fds, unsigned max)
{
    struct cmsghdr *cmsg;
    unsigned n = 0;

    for (cmsg = CMSG_FIRSTHDR(mh); cmsg; cmsg = CMSG_NXTHDR(mh, cmsg)) {
        size_t i, count;

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count; i++, n++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            if (n < max) {
                fds[n] = fd;
            } else {
                close(fd);
            }
        }
    }
    /* Some did not fit or could not be installed: never a valid set. */
    return mh->msg_flags & MSG_CTRUNC ? MAX(n, max) + 1 : n;
}

ssize_t efa_shm_recv(int sock, void *msg, size_t size, int *fds, unsigned max,
                     unsigned *n)
{
    struct iovec iov = { .iov_base = msg, .iov_len = size };
    union {
        char buf[CMSG_SPACE(EFA_SHM_SCM_MAX * sizeof(int))];
        struct cmsghdr align;
    } ctl;
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
                         .msg_control = ctl.buf,
                         .msg_controllen = sizeof(ctl.buf) };
    unsigned i;
    ssize_t ret;

    for (i = 0; i < max; i++) {
        fds[i] = -1;
    }
    *n = 0;
    do {
        ret = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0) {
        return ret;
    }
    *n = take_fds(&mh, fds, max);
    return mh.msg_flags & MSG_TRUNC ? (ssize_t)size + 1 : ret;
}
