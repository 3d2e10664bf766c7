/*
 * qtest tier: a QEMU under a test's control
 *
 * The qtest and QMP connections are socket pairs, so there is no socket file
 * to wait for or to leave behind.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "qtest-client.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Where QEMU finds what we give it. */
enum {
    CHILD_BIOS = 10,
    CHILD_QTEST,
    CHILD_QMP,
    CHILD_END,
};

/* The firmware never runs, but the machine insists on one. */
#define BIOS_SIZE   65536
#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

typedef struct Conn {
    int fd;
    GString *in;
} Conn;

struct Vm {
    pid_t pid;
    int said;               /* a file with its standard error */
    Conn qtest;
    Conn qmp;
    GString *held;          /* qtest commands that go with the next one */
    unsigned held_answers;
    GQueue events;
};

static GPtrArray *dirs;

/* ---- the child ---- */

static int memory_file(const char *name, off_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    return fd;
}

static char *file_text(int fd)
{
    struct stat st;
    char *text;
    ssize_t got;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    text = g_malloc(st.st_size + 1);
    got = pread(fd, text, st.st_size, 0);
    g_assert_cmpint(got, ==, st.st_size);
    text[got] = '\0';
    return text;
}

static char **command_line(const char *args)
{
    const char *binary = g_getenv("QTEST_QEMU_BINARY");
    g_autofree char *line = NULL;
    GError *err = NULL;
    char **argv;

    if (!binary || !*binary) {
        g_error("QTEST_QEMU_BINARY is not set: run scripts/test --tier qemu");
    }
    line = g_strdup_printf(
        "%s -machine q35 -accel qtest -nodefaults -no-user-config "
        "-display none -m %u -bios /proc/self/fd/%d "
        "-chardev socket,id=qtest,fd=%d -qtest chardev:qtest -qtest-log none "
        "-chardev socket,id=qmp,fd=%d -mon chardev=qmp,mode=control "
        "-global apic-common.vapic=off "
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off %s",
        binary, VM_RAM_SIZE >> 20, CHILD_BIOS, CHILD_QTEST, CHILD_QMP, args);
    g_shell_parse_argv(line, NULL, &argv, &err);
    g_assert_no_error(err);
    return argv;
}

/* fds[0..2]: its standard streams; then from CHILD_BIOS on. */
static pid_t spawn(const char *args, const int *fds)
{
    g_auto(GStrv) argv = command_line(args);
    pid_t parent = getpid();
    pid_t pid = fork();
    int i;

    g_assert_cmpint(pid, >=, 0);
    if (pid) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    for (i = CHILD_BIOS; i < CHILD_END; i++) {
        /* ours are far above: see far_up() */
        dup2(fds[3 + i - CHILD_BIOS], i);
    }
    for (i = 0; i < 3; i++) {
        dup2(fds[i], i);
    }
    execv(argv[0], argv);
    dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Out of the way of the child's numbers. */
static int far_up(int fd)
{
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 64);

    g_assert_cmpint(up, >=, 64);
    close(fd);
    return up;
}

static void conn_open(Conn *conn, int *theirs)
{
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                    ==, 0);
    conn->fd = far_up(pair[0]);
    conn->in = g_string_new(NULL);
    *theirs = far_up(pair[1]);
}

static void conn_close(Conn *conn)
{
    close(conn->fd);
    g_string_free(conn->in, TRUE);
}

static Vm *vm_spawn(const char *args)
{
    Vm *vm = g_new0(Vm, 1);
    int null = far_up(open("/dev/null", O_RDWR | O_CLOEXEC));
    int bios = far_up(memory_file("bios", BIOS_SIZE));
    int qtest, qmp;

    vm->said = far_up(memory_file("stderr", 0));
    conn_open(&vm->qtest, &qtest);
    conn_open(&vm->qmp, &qmp);
    vm->held = g_string_new(NULL);
    g_queue_init(&vm->events);
    vm->pid = spawn(args, (int[]) { null, vm->said, vm->said, bios, qtest,
                                    qmp });
    close(null);
    close(bios);
    close(qtest);
    close(qmp);
    return vm;
}

static void vm_free(Vm *vm)
{
    conn_close(&vm->qtest);
    conn_close(&vm->qmp);
    close(vm->said);
    g_string_free(vm->held, TRUE);
    g_queue_clear_full(&vm->events, g_free);
    g_free(vm);
}

/* Its wait status; it is killed when it takes too long. */
static int vm_reap(Vm *vm)
{
    int64_t until = g_get_monotonic_time() + VM_WAIT_SECONDS * G_USEC_PER_SEC;
    int status;
    pid_t pid;

    while ((pid = waitpid(vm->pid, &status, WNOHANG)) == 0) {
        if (g_get_monotonic_time() > until) {
            kill(vm->pid, SIGKILL);
            waitpid(vm->pid, &status, 0);
            return status;
        }
        g_usleep(1000);
    }
    g_assert_cmpint(pid, ==, vm->pid);
    return status;
}

static void G_GNUC_NORETURN vm_lost(Vm *vm, const char *what)
{
    g_autofree char *said = file_text(vm->said);
    int status;

    kill(vm->pid, SIGKILL);
    waitpid(vm->pid, &status, 0);
    g_error("QEMU: %s (wait status 0x%x); it said:\n%s", what, status, said);
}

/* ---- lines over a connection ---- */

static void conn_send(Vm *vm, Conn *conn, const char *text, size_t len)
{
    while (len) {
        ssize_t sent = send(conn->fd, text, len, MSG_NOSIGNAL);

        if (sent <= 0) {
            vm_lost(vm, "the connection broke");
        }
        text += sent;
        len -= sent;
    }
}

/* The next line without its end, to be freed. */
static char *conn_line(Vm *vm, Conn *conn)
{
    int64_t until = g_get_monotonic_time() + VM_WAIT_SECONDS * G_USEC_PER_SEC;
    size_t seen = 0;

    for (;;) {
        char *end = memchr(conn->in->str + seen, '\n', conn->in->len - seen);
        int64_t left = (until - g_get_monotonic_time()) / 1000;
        struct pollfd p = { .fd = conn->fd, .events = POLLIN };
        char buf[65536];
        ssize_t got;

        if (end) {
            size_t len = end - conn->in->str;
            char *line = g_strndup(conn->in->str, len);

            g_string_erase(conn->in, 0, len + 1);
            return g_strchomp(line);
        }
        seen = conn->in->len;
        if (left <= 0 || poll(&p, 1, left) == 0) {
            vm_lost(vm, "no answer");
        }
        got = recv(conn->fd, buf, sizeof(buf), 0);
        if (got <= 0) {
            vm_lost(vm, "it has ended");
        }
        g_string_append_len(conn->in, buf, got);
    }
}

/* The answer to a qtest command, interrupts left out. */
static char *qtest_answer(Vm *vm, const char *command)
{
    char *line;

    g_string_append(vm->held, command);
    conn_send(vm, &vm->qtest, vm->held->str, vm->held->len);
    g_string_truncate(vm->held, 0);
    while (line = conn_line(vm, &vm->qtest),
           g_str_has_prefix(line, "IRQ") || vm->held_answers) {
        if (g_str_has_prefix(line, "OK")) {
            vm->held_answers--;
        } else if (!g_str_has_prefix(line, "IRQ")) {
            g_error("qtest: a store is answered '%.80s'", line);
        }
        g_free(line);
    }
    return line;
}

/* What follows "OK" in the answer to a qtest command. */
static char *G_GNUC_PRINTF(2, 3) qtest(Vm *vm, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    line = qtest_answer(vm, command);
    if (!g_str_has_prefix(line, "OK")) {
        g_error("qtest: '%.80s' is answered '%.80s'", command, line);
    }
    return g_strdup(line + (line[2] ? 3 : 2));
}

/* ---- QMP ---- */

char *vm_qmp(Vm *vm, const char *command, const char *args)
{
    g_autofree char *text = g_strdup_printf(
        "{\"execute\": \"%s\", \"arguments\": {%s}}\n", command,
        args ? args : "");

    conn_send(vm, &vm->qmp, text, strlen(text));
    for (;;) {
        char *line = conn_line(vm, &vm->qmp);

        if (!strstr(line, "\"event\": ")) {
            return line;
        }
        g_queue_push_tail(&vm->events, line);
    }
}

void vm_qmp_ok(Vm *vm, const char *command, const char *args)
{
    g_autofree char *reply = vm_qmp(vm, command, args);

    if (!g_str_has_prefix(reply, "{\"return\"")) {
        g_error("QMP: %s {%s} is answered %s", command, args ? args : "",
                reply);
    }
}

void vm_qmp_event(Vm *vm, const char *name)
{
    g_autofree char *want = g_strdup_printf("\"event\": \"%s\"", name);
    bool found = false;

    while (!found) {
        char *line = g_queue_pop_head(&vm->events);

        if (!line) {
            line = conn_line(vm, &vm->qmp);
        }
        found = strstr(line, want);
        g_free(line);
    }
}

/* ---- life ---- */

Vm *vm_start(const char *args, ...)
{
    g_autofree char *text = NULL;
    va_list ap;
    Vm *vm;

    va_start(ap, args);
    text = g_strdup_vprintf(args, ap);
    va_end(ap);
    vm = vm_spawn(text);
    g_free(conn_line(vm, &vm->qmp));    /* the greeting */
    vm_qmp_ok(vm, "qmp_capabilities", NULL);
    return vm;
}

/* Only lines of which @pattern, a regular expression, finds a part. */
static bool is_expected(const char *said, const char *pattern)
{
    g_auto(GStrv) lines = g_strsplit(said, "\n", 0);
    unsigned i;

    for (i = 0; lines[i]; i++) {
        if (*lines[i] && !g_regex_match_simple(pattern, lines[i], 0, 0)) {
            return false;
        }
    }
    return true;
}

void vm_stop_saying(Vm *vm, const char *pattern)
{
    g_autofree char *said = NULL;
    int status;

    vm_qmp_ok(vm, "quit", NULL);
    status = vm_reap(vm);
    said = file_text(vm->said);
    if (status || (pattern ? !is_expected(said, pattern) : *said)) {
        g_error("QEMU ended with wait status 0x%x; it said:\n%s", status,
                said);
    }
    vm_free(vm);
}

void vm_stop(Vm *vm)
{
    vm_stop_saying(vm, NULL);
}

static unsigned count_entries(Vm *vm, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", vm->pid, what);
    GDir *d = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(d);
    while (g_dir_read_name(d)) {
        n++;
    }
    g_dir_close(d);
    return n;
}

unsigned vm_footprint(Vm *vm)
{
    return count_entries(vm, "task") + count_entries(vm, "fd");
}

int vm_run(char **out, const char *args, ...)
{
    g_autofree char *text = NULL;
    va_list ap;
    int status;
    Vm *vm;

    va_start(ap, args);
    text = g_strdup_vprintf(args, ap);
    va_end(ap);
    vm = vm_spawn(text);
    status = vm_reap(vm);
    *out = file_text(vm->said);
    vm_free(vm);
    if (!WIFEXITED(status)) {
        g_error("QEMU with '%s' did not end by itself: wait status 0x%x; it "
                "said:\n%s", text, status, *out);
    }
    return WEXITSTATUS(status);
}

/* ---- the machine ---- */

void vm_read(Vm *vm, uint64_t addr, void *buf, size_t len)
{
    g_autofree char *hex = qtest(vm, "read 0x%" PRIx64 " 0x%zx\n", addr, len);
    uint8_t *out = buf;
    size_t i;

    g_assert_cmpuint(strlen(hex), ==, 2 + 2 * len);
    for (i = 0; i < len; i++) {
        out[i] = g_ascii_xdigit_value(hex[2 + 2 * i]) << 4 |
                 g_ascii_xdigit_value(hex[3 + 2 * i]);
    }
}

void vm_write(Vm *vm, uint64_t addr, const void *buf, size_t len)
{
    GString *hex = g_string_sized_new(2 * len + 1);
    const uint8_t *in = buf;
    size_t i;

    for (i = 0; i < len; i++) {
        g_string_append_printf(hex, "%02x", in[i]);
    }
    g_free(qtest(vm, "write 0x%" PRIx64 " 0x%zx 0x%s\n", addr, len, hex->str));
    g_string_free(hex, TRUE);
}

static char suffix(unsigned size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

uint64_t vm_load(Vm *vm, uint64_t addr, unsigned size)
{
    g_autofree char *value = qtest(vm, "read%c 0x%" PRIx64 "\n", suffix(size),
                                   addr);

    return g_ascii_strtoull(value, NULL, 0);
}

void vm_store(Vm *vm, uint64_t addr, unsigned size, uint64_t value)
{
    g_free(qtest(vm, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", suffix(size),
                 addr, value));
}

void vm_store_with_next(Vm *vm, uint64_t addr, unsigned size, uint64_t value)
{
    g_string_append_printf(vm->held, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n",
                           suffix(size), addr, value);
    vm->held_answers++;
}

/*
 * From deadline to deadline: QEMU would jump over them all at once, too, but
 * sleep in real time for those of a device's thread, which it wakes only at
 * the end. While such a timer is due the clock cannot be advanced.
 */
void vm_clock_step(Vm *vm, int64_t ns)
{
    g_autofree char *begin = qtest(vm, "clock_step 1\n");
    int64_t target = g_ascii_strtoll(begin, NULL, 0) + ns;
    int64_t now = target - ns;

    while (now < target) {
        g_autofree char *line = qtest_answer(vm, "clock_step\n");

        if (g_str_has_prefix(line, "OK")) {
            now = g_ascii_strtoll(line + 3, NULL, 0);
        } else if (strstr(line, "no pending deadline")) {
            g_free(qtest(vm, "clock_step %" PRId64 "\n", target - now));
            now = target;
        } else {
            g_usleep(20);
        }
    }
}

static void pci_select(Vm *vm, PciAddr at, unsigned offset)
{
    g_free(qtest(vm, "outl 0x%x 0x%x\n", PCI_ADDRESS,
                 0x80000000u | at.bus << 16 | at.slot << 11 |
                 at.function << 8 | (offset & 0xfc)));
}

uint32_t pci_load(Vm *vm, PciAddr at, unsigned offset, unsigned size)
{
    g_autofree char *value = NULL;

    pci_select(vm, at, offset);
    value = qtest(vm, "in%c 0x%x\n", suffix(size), PCI_DATA + (offset & 3));
    return g_ascii_strtoull(value, NULL, 0);
}

void pci_store(Vm *vm, PciAddr at, unsigned offset, unsigned size,
               uint32_t value)
{
    pci_select(vm, at, offset);
    g_free(qtest(vm, "out%c 0x%x 0x%x\n", suffix(size),
                 PCI_DATA + (offset & 3), value));
}

unsigned pci_capability(Vm *vm, PciAddr at, uint8_t id)
{
    unsigned cap = pci_load(vm, at, PCI_CAPABILITY_LIST, 1);
    unsigned hops;

    for (hops = 0; cap && hops < 48; hops++) {
        if (pci_load(vm, at, cap, 1) == id) {
            return cap;
        }
        cap = pci_load(vm, at, cap + 1, 1);
    }
    return 0;
}

/* ---- directories ---- */

static void dir_remove(const char *dir)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        unlink(path);
    }
    if (d) {
        g_dir_close(d);
    }
    rmdir(dir);
}

/* A failed assertion, or g_error(), leaves no directory behind either. */
static void dirs_remove_on_failure(int sig)
{
    unsigned i;

    for (i = 0; i < dirs->len; i++) {
        dir_remove(dirs->pdata[i]);
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

char *dir_new(void)
{
    GError *err = NULL;
    char *dir = g_dir_make_tmp(NULL, &err);

    g_assert_no_error(err);
    if (!dirs) {
        dirs = g_ptr_array_new();
        signal(SIGABRT, dirs_remove_on_failure);
        signal(SIGTRAP, dirs_remove_on_failure);
    }
    g_ptr_array_add(dirs, dir);
    return dir;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *dir_list(const char *dir)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GError *err = NULL;
    GDir *d = g_dir_open(dir, 0, &err);
    const char *name;
    char *text;

    g_assert_no_error(err);
    while ((name = g_dir_read_name(d))) {
        g_ptr_array_add(names, g_strdup(name));
    }
    g_dir_close(d);
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    text = g_strjoinv(" ", (char **)names->pdata);
    g_ptr_array_free(names, TRUE);
    return text;
}

void dir_free(char *dir)
{
    g_ptr_array_remove(dirs, dir);
    dir_remove(dir);
    g_free(dir);
}

/* ---- a root port ---- */

#define SLOT_CONTROL    0x18        /* in the PCI Express capability */
#define SLOT_POWER_ON   0x0100      /* indicator on, power on */
#define SLOT_POWER_OFF  0x0700

static const PciAddr root_port = { .slot = 3 };
const PciAddr behind_port = { .bus = 1 };

void port_set_up(Vm *vm)
{
    pci_store(vm, root_port, PCI_PRIMARY_BUS, 4, 0x00010100);
    pci_store(vm, root_port, PCI_MEMORY_BASE, 4, 0xcff0c000);
    pci_store(vm, root_port, PCI_PREF_MEMORY_BASE, 4, 0x0000fff0);
    pci_store(vm, root_port, PCI_COMMAND, 2,
              PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void port_power(Vm *vm, bool on)
{
    unsigned exp = pci_capability(vm, root_port, PCI_CAP_ID_EXP);

    pci_store(vm, root_port, exp + SLOT_CONTROL, 2,
              on ? SLOT_POWER_ON : SLOT_POWER_OFF);
}
