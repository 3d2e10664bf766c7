/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * efa-agent: runs commands for the host over virtio-serial ports.
 *
 * One process serves each port whose name begins with "efa.agent."; the first process only supervises them and, being PID 1 of a
 * node, reaps orphans. Its first argument is the node's status ("ready", or what failed); every host that connects is told it.
 * A TCP port and a command may follow: it is run for each connection, as inetd does, so that sshd costs a boot nothing.
 *
 * Protocol: frames {u8 type, u32 length (little endian), payload}, but for NOP, which is the single byte 0.
 *
 *   host to guest                                   guest to host
 *   0x01 HELLO   magic[8], nonce[16]                0x81 HELLO   magic[8], nonce[16], status
 *   0x02 EXEC    argv, each ended by NUL            0x82 STDOUT  bytes
 *   0x03 STDIN   bytes                              0x83 STDERR  bytes
 *   0x04 EOF     -                                  0x84 EXIT    u32 status as from wait(2)
 *   0x05 SIGNAL  u32 number                         0x85 CREDIT  u32 more bytes of STDIN that may be sent
 *                                                   0x86 ERROR   text; ends the command, or the session
 *
 * A port does not tell where one connection ends and the next begins: the guest may sleep through a quick reconnect. So a session
 * begins with HELLO, which aborts whatever went on before. A host which finds that its predecessor died in mid-frame sends
 * FRAME_MAX NOPs first: they complete any half frame and mean nothing beyond. What the guest has still on its way from an old
 * session the new host skips, up to its own nonce.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NOP = 0x00, HELLO = 0x01, EXEC = 0x02, STDIN = 0x03, STDIN_EOF = 0x04, SIGNAL = 0x05,
    HELLO_REPLY = 0x81, STDOUT = 0x82, STDERR = 0x83, EXIT = 0x84, CREDIT = 0x85, ERROR = 0x86,
};

enum {
    HEADER = 5,
    FRAME_MAX = 32768,       /* of a payload */
    CHUNK = 16384,           /* of output sent in one frame */
    WINDOW = 262144,         /* of STDIN under way: it is always taken, so that SIGNAL and HELLO never wait behind it */
    HELLO_SIZE = 24,
    GRACE_MS = 300,          /* for which a session outlives its connection */
    ARGS_MAX = 1024,
    PORTS_MAX = 32,
    OUT_ROOM = 4 * FRAME_MAX, /* child output is read only while less than half is in use; the rest is for control frames */
};

#define PORT_PREFIX "efa.agent."
#define PORT_CLASS "/sys/class/virtio-ports"
static const char magic[9] = "efaagent";

/* What commands have in their environment, beside what init has exported. */
static char *const command_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "TERM=dumb", NULL,
};

/* One port and the command that runs on it, if any. */
static struct {
    const char *status;
    int port;
    int signals;                    /* signalfd of SIGIO and SIGCHLD */
    bool connected;
    int64_t gone_ms;                /* since when there is no host, while its session may yet go on; or 0 */
    bool broken;                    /* malformed input: nothing but a HELLO is understood */
    uint8_t in[HEADER + FRAME_MAX];
    size_t in_len;
    uint8_t out[OUT_ROOM];
    size_t out_len;
    pid_t child;                    /* 0: none */
    int child_in, child_out, child_err; /* -1: closed */
    uint8_t stdin_data[WINDOW];
    size_t stdin_len;
    bool stdin_eof;
} s = { .child_in = -1, .child_out = -1, .child_err = -1 };

static void die(const char *what)
{
    fprintf(stderr, "efa-agent: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* ---- towards the host ---- */

static void send_frame(uint8_t type, const void *payload, uint32_t len)
{
    uint32_t le = htole32(len);

    if (s.out_len + HEADER + len > sizeof(s.out)) {
        return; /* only a host that signals without ever reading gets here */
    }
    s.out[s.out_len] = type;
    memcpy(s.out + s.out_len + 1, &le, sizeof(le));
    memcpy(s.out + s.out_len + HEADER, payload, len);
    s.out_len += HEADER + len;
}

static void send_u32(uint8_t type, uint32_t value)
{
    value = htole32(value);
    send_frame(type, &value, sizeof(value));
}

static void __attribute__((format(printf, 1, 2))) send_error(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    send_frame(ERROR, text, strlen(text));
}

static void flush_out(void)
{
    size_t done = 0;

    while (done < s.out_len) {
        ssize_t n = write(s.port, s.out + done, s.out_len - done);
        if (n <= 0) {
            break; /* no room, or nobody there: poll() and read() tell */
        }
        done += n;
    }
    s.out_len -= done;
    memmove(s.out, s.out + done, s.out_len);
}

/* ---- the command ---- */

static void close_child_fds(void)
{
    close_fd(&s.child_in);
    close_fd(&s.child_out);
    close_fd(&s.child_err);
    s.stdin_len = 0;
    s.stdin_eof = false;
}

static void abort_child(void)
{
    if (s.child) {
        kill(-s.child, SIGKILL);
        waitpid(s.child, NULL, 0);
        s.child = 0;
    }
    close_child_fds();
}

static void __attribute__((noreturn)) run_child(char **argv, const int fds[3], int failure)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0 || chdir("/root") < 0) {
        goto fail;
    }
    execvp(argv[0], argv);
fail:
    if (write(failure, &errno, sizeof(errno)) < 0) {
        _exit(126);
    }
    _exit(127);
}

/* Start argv; returns 0 or an errno. */
static int spawn(char **argv)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, failure[2] = { -1, -1 };
    int error = 0;

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(failure, O_CLOEXEC)
        || (s.child = fork()) < 0) {
        error = errno;
        s.child = 0;
    } else if (s.child == 0) {
        run_child(argv, (const int[]){ in[0], out[1], err[1] }, failure[1]);
    }
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    close_fd(&failure[1]);
    s.child_in = in[1];
    s.child_out = out[0];
    s.child_err = err[0];
    if (!error && read(failure[0], &error, sizeof(error)) != sizeof(error)) {
        error = 0; /* closed by a successful exec */
    }
    close_fd(&failure[0]);
    if (error) {
        abort_child();
        return error;
    }
    fcntl(s.child_in, F_SETFL, O_NONBLOCK);
    fcntl(s.child_out, F_SETFL, O_NONBLOCK);
    fcntl(s.child_err, F_SETFL, O_NONBLOCK);
    return 0;
}

static void start_command(char *args, uint32_t len)
{
    char *argv[ARGS_MAX + 1];
    size_t argc = 0;
    int error;

    if (s.child) {
        send_error("a command is running on this port already");
        return;
    }
    for (char *arg = args; arg < args + len; arg += strlen(arg) + 1) {
        if (argc == ARGS_MAX) {
            send_error("more than %d arguments", ARGS_MAX);
            return;
        }
        argv[argc++] = arg;
    }
    argv[argc] = NULL;
    error = spawn(argv);
    if (error) {
        send_error("cannot run '%s': %s", argv[0], strerror(error));
        return;
    }
    send_u32(CREDIT, WINDOW);
}

static bool relay(int *fd, uint8_t type)
{
    uint8_t buf[CHUNK];
    ssize_t n = read(*fd, buf, sizeof(buf));

    if (n > 0) {
        send_frame(type, buf, n);
        return true;
    }
    if (n == 0 || errno != EAGAIN) {
        close_fd(fd);
    }
    return false;
}

static bool out_has_room(void)
{
    return s.out_len < sizeof(s.out) / 2;
}

static void feed_stdin(void)
{
    ssize_t n = s.child_in >= 0 ? write(s.child_in, s.stdin_data, s.stdin_len) : (ssize_t)s.stdin_len;

    if (n < 0 && errno != EAGAIN) { /* closed by the command: the rest is swallowed */
        close_fd(&s.child_in);
        n = s.stdin_len;
    }
    if (n > 0) {
        s.stdin_len -= n;
        memmove(s.stdin_data, s.stdin_data + n, s.stdin_len);
        send_u32(CREDIT, n);
    }
    if (!s.stdin_len && s.stdin_eof) {
        close_fd(&s.child_in);
    }
}

/*
 * The command's own output is all in the pipes once it has ended. Waiting for their end would wait for daemons that it left
 * behind with the same stdout.
 */
static void finish_child(void)
{
    siginfo_t info = { 0 };
    int status;

    if (!s.child || waitid(P_PID, s.child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
        return;
    }
    while (s.child_out >= 0 && out_has_room() && relay(&s.child_out, STDOUT)) {
    }
    while (s.child_err >= 0 && out_has_room() && relay(&s.child_err, STDERR)) {
    }
    if (!out_has_room()) {
        return; /* more may be in the pipes; called again when some of this is sent */
    }
    waitpid(s.child, &status, 0);
    s.child = 0;
    close_child_fds();
    send_u32(EXIT, status);
}

/* ---- from the host ---- */

static void begin_session(const uint8_t *hello)
{
    uint8_t reply[HELLO_SIZE + 256];
    size_t len = strnlen(s.status, sizeof(reply) - HELLO_SIZE);

    abort_child();
    s.broken = false;
    s.out_len = 0;
    memcpy(reply, hello, HELLO_SIZE);
    memcpy(reply + HELLO_SIZE, s.status, len);
    send_frame(HELLO_REPLY, reply, HELLO_SIZE + len);
}

static void signal_child(const uint8_t *payload)
{
    uint32_t number;

    memcpy(&number, payload, sizeof(number));
    if (s.child) {
        kill(-s.child, le32toh(number));
    }
}

static void take_stdin(const uint8_t *payload, uint32_t len)
{
    if (!s.child) {
        return; /* it has just ended */
    }
    memcpy(s.stdin_data + s.stdin_len, payload, len);
    s.stdin_len += len;
    feed_stdin();
}

/* Act on a frame; false if it is malformed. */
static bool handle_frame(uint8_t type, uint8_t *payload, uint32_t len)
{
    switch (type) {
    case HELLO:
        if (len != HELLO_SIZE || memcmp(payload, magic, 8) != 0) {
            return false;
        }
        begin_session(payload);
        return true;
    case EXEC:
        if (len == 0 || payload[len - 1] != '\0') {
            return false;
        }
        start_command((char *)payload, len);
        return true;
    case STDIN:
        if (s.stdin_len + len > WINDOW) {
            return false;
        }
        take_stdin(payload, len);
        return true;
    case STDIN_EOF:
        s.stdin_eof = true;
        feed_stdin();
        return len == 0;
    case SIGNAL:
        if (len != 4) {
            return false;
        }
        signal_child(payload);
        return true;
    default:
        return false;
    }
}

/* The length of the frame or NOP at p, of which `have` bytes are there; 0: not known yet; -1: malformed. */
static ssize_t frame_size(const uint8_t *p, size_t have)
{
    uint32_t len;

    if (p[0] == NOP) {
        return 1;
    }
    if (have < HEADER) {
        return 0;
    }
    memcpy(&len, p + 1, sizeof(len));
    len = le32toh(len);
    return len > FRAME_MAX ? -1 : (ssize_t)(HEADER + len);
}

/* How many bytes of malformed input to skip: up to what is, or could become, a HELLO. */
static size_t skip_to_hello(const uint8_t *p, size_t have)
{
    static const uint8_t start[HEADER + 8] = { HELLO, HELLO_SIZE, 0, 0, 0, 'e', 'f', 'a', 'a', 'g', 'e', 'n', 't' };
    size_t skip = 0;

    while (skip < have && memcmp(p + skip, start, have - skip < sizeof(start) ? have - skip : sizeof(start)) != 0) {
        skip++;
    }
    return skip;
}

static void parse_input(void)
{
    size_t pos = 0;

    while (pos < s.in_len) {
        if (s.broken) {
            pos += skip_to_hello(s.in + pos, s.in_len - pos);
            if (pos == s.in_len) {
                break;
            }
        }
        ssize_t size = frame_size(s.in + pos, s.in_len - pos);
        if (size == 0 || (size > 0 && s.in_len - pos < (size_t)size)) {
            break;
        }
        if (size < 0 || (size > 1 && !handle_frame(s.in[pos], s.in + pos + HEADER, size - HEADER))) {
            send_error("malformed frame of type 0x%02x; reconnect", s.in[pos]);
            abort_child();
            s.broken = true;
            size = 1;
        }
        pos += size;
    }
    s.in_len -= pos;
    memmove(s.in, s.in + pos, s.in_len);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/*
 * The driver tells of data and of connections in different ways: the HELLO of a new connection may be read before the end of the
 * old one, or its own beginning, is known. So a host that seems to be gone is given time to be there after all.
 */
static void set_connected(bool connected)
{
    if (s.connected && !connected) {
        s.gone_ms = now_ms();
    } else if (connected) {
        s.gone_ms = 0;
    }
    s.connected = connected;
}

/* For poll(): until when the session of a host that seems to be gone is kept. */
static int grace_ms(void)
{
    int64_t left = s.gone_ms + GRACE_MS - now_ms();

    return !s.gone_ms ? -1 : left < 0 ? 0 : (int)left;
}

static void end_session(void)
{
    abort_child();
    s.gone_ms = 0;
    s.broken = false;
    s.in_len = s.out_len = 0;
}

static void read_port(void)
{
    ssize_t n = read(s.port, s.in + s.in_len, sizeof(s.in) - s.in_len);

    if (n > 0) {
        set_connected(true);
        s.in_len += n;
        parse_input();
    } else if (n == 0) {
        set_connected(false);
    } else if (errno == EAGAIN) {
        set_connected(true);
    } else if (errno != EINTR) {
        exit(0); /* unplugged */
    }
}

/* ---- one port's loop ---- */

static void serve_once(void)
{
    struct pollfd fds[] = {
        { .fd = s.signals, .events = POLLIN },
        /* poll() reports a host that is not there all the time; SIGIO reports its coming */
        { .fd = s.connected ? s.port : -1, .events = POLLIN | (s.out_len ? POLLOUT : 0) },
        { .fd = s.child && s.stdin_len ? s.child_in : -1, .events = POLLOUT },
        { .fd = out_has_room() ? s.child_out : -1, .events = POLLIN },
        { .fd = out_has_room() ? s.child_err : -1, .events = POLLIN },
    };
    struct signalfd_siginfo info;

    if (poll(fds, sizeof(fds) / sizeof(fds[0]), grace_ms()) < 0) {
        return;
    }
    if (grace_ms() == 0) {
        end_session();
    }
    if (fds[0].revents && read(s.signals, &info, sizeof(info)) < 0) {
        die("signalfd");
    }
    if (fds[2].revents) {
        feed_stdin();
    }
    if (fds[3].revents && s.child_out >= 0) {
        relay(&s.child_out, STDOUT);
    }
    if (fds[4].revents && s.child_err >= 0) {
        relay(&s.child_err, STDERR);
    }
    finish_child();
    read_port();
    flush_out();
    finish_child();
    flush_out();
}

static void __attribute__((noreturn)) serve(const char *device)
{
    sigset_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    s.signals = signalfd(-1, &set, SFD_CLOEXEC);
    s.port = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (s.signals < 0 || s.port < 0 || fcntl(s.port, F_SETOWN, getpid()) < 0
        || fcntl(s.port, F_SETFL, O_NONBLOCK | O_ASYNC) < 0) {
        die(device);
    }
    read_port();
    for (;;) {
        serve_once();
    }
}

/* ---- the supervisor ---- */

static struct worker {
    char port[32];
    pid_t pid;
} workers[PORTS_MAX];

static struct worker *worker_slot(const char *port)
{
    struct worker *unused = NULL;

    for (struct worker *w = workers; w < workers + PORTS_MAX; w++) {
        if (w->pid && strcmp(w->port, port) == 0) {
            return NULL;
        }
        if (!w->pid && !unused) {
            unused = w;
        }
    }
    return unused;
}

static bool is_ours(const char *port)
{
    char path[320], name[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), PORT_CLASS "/%s/name", port);
    f = fopen(path, "re");
    if (!f) {
        return false; /* the name follows the device: there will be another event */
    }
    if (!fgets(name, sizeof(name), f)) {
        name[0] = '\0';
    }
    fclose(f);
    return strncmp(name, PORT_PREFIX, strlen(PORT_PREFIX)) == 0;
}

static void start_worker(const char *port)
{
    struct worker *w = worker_slot(port);
    char device[64];

    if (!w || strlen(port) >= sizeof(w->port) || !is_ours(port)) {
        return;
    }
    strcpy(w->port, port);
    snprintf(device, sizeof(device), "/dev/%s", w->port);
    w->pid = fork();
    if (w->pid == 0) {
        serve(device);
    }
    if (w->pid < 0) {
        w->pid = 0;
    }
}

static void start_workers(void)
{
    DIR *dir = opendir(PORT_CLASS);

    if (!dir) {
        return; /* no driver yet */
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            start_worker(e->d_name);
        }
    }
    closedir(dir);
}

static int listen_on(const char *tcp_port)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(atoi(tcp_port)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
        || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 64) < 0) {
        die("cannot listen");
    }
    return fd;
}

static void serve_connections(int listener, char **argv)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (fork() == 0) {
            sigset_t none;

            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            setsid();
            dup2(fd, 0);
            dup2(fd, 1);
            execv(argv[0], argv);
            _exit(127);
        }
        close(fd);
    }
}

/* Reap orphans and workers; true if one died that should be replaced (an exit means that its port is gone or unusable). */
static bool reap(void)
{
    bool again = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (struct worker *w = workers; w < workers + PORTS_MAX; w++) {
            if (w->pid == pid) {
                w->pid = 0;
                again |= WIFSIGNALED(status);
            }
        }
    }
    return again;
}

static int open_uevents(void)
{
    struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd < 0 || bind(fd, (struct sockaddr *)&all, sizeof(all)) < 0) {
        die("uevents");
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct signalfd_siginfo info;
    struct pollfd fds[3] = { { .events = POLLIN }, { .events = POLLIN }, { .fd = -1, .events = POLLIN } };
    char event[4096];
    sigset_t set;

    s.status = argc > 1 ? argv[1] : "ready";
    for (char *const *each = command_env; *each; each++) {
        putenv(*each);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    fds[0].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fds[0].fd < 0) {
        die("signalfd");
    }
    fds[1].fd = open_uevents();
    start_workers();
    if (argc > 3) {
        fds[2].fd = listen_on(argv[2]);
    }
    for (;;) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR) {
            die("poll");
        }
        bool again = fds[1].revents != 0;
        while (read(fds[0].fd, &info, sizeof(info)) > 0 || recv(fds[1].fd, event, sizeof(event), 0) > 0) {
        }
        if (fds[2].revents) {
            serve_connections(fds[2].fd, argv + 3);
        }
        if (reap() || again) {
            start_workers();
        }
    }
}
