/*
 * EFA device model: a device's name in the fabric directory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "shm-name.h"

#define SOCKET_SUFFIX   ".sock"
#define LOCK_SUFFIX     ".lock"
/* 32 hex digits and a suffix */
#define NAME_SIZE       (2 * sizeof(EfaGid) + 6)

static bool G_GNUC_PRINTF(3, 4)
name_fail(GError **errp, int err, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(errp, g_quark_from_static_string("efa-fabric-shm"), err,
                "%s", text);
    g_free(text);
    return false;
}

static void file_name(char *name, const EfaGid *gid, const char *suffix)
{
    size_t i;

    for (i = 0; i < sizeof(gid->raw); i++) {
        snprintf(name + 2 * i, 3, "%02x", gid->raw[i]);
    }
    g_strlcpy(name + 2 * i, suffix, NAME_SIZE - 2 * i);
}

/* Relative to the open directory, whose own path may exceed sun_path. */
static struct sockaddr_un socket_address(const EfaShmName *name,
                                         const EfaGid *gid)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char file[NAME_SIZE];

    file_name(file, gid, SOCKET_SUFFIX);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s",
             name->dirfd, file);
    return addr;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool open_dir(EfaShmName *name, GError **errp)
{
    struct stat st;
    int err;

    name->dirfd = open(name->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (name->dirfd < 0) {
        err = errno;
        switch (err) {
        case ENOENT:
            return name_fail(errp, err, "fabric directory '%s' does not exist; "
                             "create it with 'mkdir -m 0700'", name->dir);
        case ENOTDIR:
            return name_fail(errp, err, "fabric path '%s' is not a directory; "
                             "name one made with 'mkdir -m 0700'", name->dir);
        case EMFILE:
        case ENFILE:
            return name_fail(errp, err, "cannot open fabric directory '%s': "
                             "%s; raise 'ulimit -n'", name->dir,
                             g_strerror(err));
        default:
            return name_fail(errp, err, "cannot open fabric directory '%s': "
                             "%s; use one of your own made with "
                             "'mkdir -m 0700'", name->dir, g_strerror(err));
        }
    }
    if (fstat(name->dirfd, &st) < 0) {
        err = errno;
        return name_fail(errp, err, "cannot examine fabric directory '%s': %s",
                         name->dir, g_strerror(err));
    }
    if (st.st_uid != geteuid()) {
        return name_fail(errp, EPERM, "fabric directory '%s' belongs to user "
                         "%u, not to us (%u); use one of your own made with "
                         "'mkdir -m 0700'", name->dir, (unsigned)st.st_uid,
                         (unsigned)geteuid());
    }
    if ((st.st_mode & 0777) != 0700) {
        return name_fail(errp, EPERM, "fabric directory '%s' has mode %04o "
                         "instead of 0700; run 'chmod 0700' on it", name->dir,
                         (unsigned)st.st_mode & 07777);
    }
    return true;
}

/* One attempt; false with @again if it is to be repeated. */
static bool try_lock(EfaShmName *name, const char *file, bool *again,
                     GError **errp)
{
    struct stat mine, there;
    int err, fd;

    *again = false;
    fd = openat(name->dirfd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0) {
        err = errno;
        return name_fail(errp, err, "cannot create '%s' in fabric directory "
                         "'%s': %s; it must be writable", file, name->dir,
                         g_strerror(err));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        err = errno;
        close(fd);
        if (err == EINTR) {
            *again = true;
            return false;
        }
        if (err == EWOULDBLOCK) {
            char *gid = efa_gid_to_string(&name->gid);

            name_fail(errp, EADDRINUSE, "GID %s is already in use in fabric "
                      "directory '%s'; give this device another one", gid,
                      name->dir);
            g_free(gid);
            return false;
        }
        return name_fail(errp, err, "cannot lock '%s' in fabric directory "
                         "'%s': %s; use a local file system", file, name->dir,
                         g_strerror(err));
    }
    /* Its last owner may have removed it since we opened it. */
    if (fstat(fd, &mine) < 0 || fstatat(name->dirfd, file, &there, 0) < 0 ||
        mine.st_ino != there.st_ino || mine.st_dev != there.st_dev) {
        close(fd);
        *again = true;
        return false;
    }
    name->lockfd = fd;
    return true;
}

static bool lock_name(EfaShmName *name, GError **errp)
{
    char file[NAME_SIZE];
    bool again, ok;

    file_name(file, &name->gid, LOCK_SUFFIX);
    do {
        ok = try_lock(name, file, &again, errp);
    } while (again);
    return ok;
}

static bool listen_name(EfaShmName *name, GError **errp)
{
    struct sockaddr_un addr = socket_address(name, &name->gid);
    char file[NAME_SIZE];

    /* Left by an owner that died: we hold the lock. */
    file_name(file, &name->gid, SOCKET_SUFFIX);
    unlinkat(name->dirfd, file, 0);
    name->listenfd = new_socket();
    if (name->listenfd < 0 ||
        bind(name->listenfd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(name->listenfd, SOMAXCONN) < 0) {
        int err = errno;

        return name_fail(errp, err, "cannot listen on '%s' in fabric directory "
                         "'%s': %s", file, name->dir, g_strerror(err));
    }
    return true;
}

bool efa_shm_name_claim(EfaShmName *name, const char *dir, const EfaGid *gid,
                        GError **errp)
{
    *name = (EfaShmName) {
        .dir = g_strdup(dir),
        .dirfd = -1,
        .lockfd = -1,
        .listenfd = -1,
        .gid = *gid,
    };
    return open_dir(name, errp) && lock_name(name, errp) &&
           listen_name(name, errp);
}

void efa_shm_name_release(EfaShmName *name)
{
    char file[NAME_SIZE];

    if (name->lockfd >= 0) {
        file_name(file, &name->gid, SOCKET_SUFFIX);
        unlinkat(name->dirfd, file, 0);
        file_name(file, &name->gid, LOCK_SUFFIX);
        unlinkat(name->dirfd, file, 0);
    }
    if (name->listenfd >= 0) {
        close(name->listenfd);
    }
    if (name->lockfd >= 0) {
        close(name->lockfd);
    }
    if (name->dirfd >= 0) {
        close(name->dirfd);
    }
    name->listenfd = name->lockfd = name->dirfd = -1;
    g_free(name->dir);
    name->dir = NULL;
}

int efa_shm_name_dial(const EfaShmName *name, const EfaGid *peer)
{
    struct sockaddr_un addr = socket_address(name, peer);
    int sock = new_socket();

    if (sock >= 0 &&
        connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int err = errno;

        close(sock);
        errno = err;
        return -1;
    }
    return sock;
}

bool efa_shm_same_user(int sock)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    return !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
           len == sizeof(cred) && cred.uid == geteuid();
}
