/*
 * qtest tier: a QEMU under a test's control
 *
 * QEMU runs no guest: the test itself reads and writes memory, ports and
 * configuration space through the qtest protocol, and advances the clock.
 * Every wait has a limit; whatever exceeds it, or a QEMU that ends too early,
 * fails the test. QEMU dies with the test program.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EFA_TEST_QTEST_CLIENT_H
#define EFA_TEST_QTEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

#define VM_RAM_SIZE         (64u << 20)
/* Limit of every wait. */
#define VM_WAIT_SECONDS     15

typedef struct Vm Vm;

/*
 * Start a q35 machine without devices of its own, with @args (words as a
 * shell splits them) behind it.
 */
Vm *vm_start(const char *args, ...) G_GNUC_PRINTF(1, 2);
/* Let it quit: it must do so by itself, with status 0, and without a word. */
void vm_stop(Vm *vm);
/* ... or with lines that match the regular expression @pattern. */
void vm_stop_saying(Vm *vm, const char *pattern);

/* Its threads and open files: what a device must not leave behind. */
unsigned vm_footprint(Vm *vm);

/*
 * Run QEMU with @args behind the same machine, which must end by itself. Its
 * status; what it said, standard output and error, is put into @out.
 */
int vm_run(char **out, const char *args, ...) G_GNUC_PRINTF(2, 3);

/* ---- the machine ---- */
void vm_read(Vm *vm, uint64_t addr, void *buf, size_t len);
void vm_write(Vm *vm, uint64_t addr, const void *buf, size_t len);
/* One access of @size 1, 2, 4 or 8 bytes. */
uint64_t vm_load(Vm *vm, uint64_t addr, unsigned size);
void vm_store(Vm *vm, uint64_t addr, unsigned size, uint64_t value);
/*
 * The same, executed together with the next access: QEMU's main loop comes to
 * nothing else in between, as if a CPU had kept it busy.
 */
void vm_store_with_next(Vm *vm, uint64_t addr, unsigned size, uint64_t value);
/* Let virtual time, which stands still otherwise, pass: @ns or more. */
void vm_clock_step(Vm *vm, int64_t ns);

/*
 * Execute @command with @args, the inside of a JSON object or NULL. The reply
 * as QEMU sent it; free it. vm_qmp_ok() insists on success.
 */
char *vm_qmp(Vm *vm, const char *command, const char *args);
void vm_qmp_ok(Vm *vm, const char *command, const char *args);
/* Wait for event @name, and forget those before it. */
void vm_qmp_event(Vm *vm, const char *name);

/* ---- PCI configuration space, through ports 0xcf8 and 0xcfc ---- */
typedef struct PciAddr {
    uint8_t bus;
    uint8_t slot;
    uint8_t function;
} PciAddr;

uint32_t pci_load(Vm *vm, PciAddr at, unsigned offset, unsigned size);
void pci_store(Vm *vm, PciAddr at, unsigned offset, unsigned size,
               uint32_t value);
/* Offset of capability @id, 0 if the function has none. */
unsigned pci_capability(Vm *vm, PciAddr at, uint8_t id);

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS_DEVICE = 0x0a,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_PRIMARY_BUS = 0x18,
    PCI_MEMORY_BASE = 0x20,
    PCI_PREF_MEMORY_BASE = 0x24,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITY_LIST = 0x34,
    PCI_INTERRUPT_PIN = 0x3d,

    PCI_COMMAND_MEMORY = 2,
    PCI_COMMAND_MASTER = 4,

    PCI_CAP_ID_EXP = 0x10,
    PCI_CAP_ID_MSIX = 0x11,
};

/* ---- a directory of our own, mode 0700 ---- */
char *dir_new(void);
/* Names in it, sorted, separated by blanks; free it. */
char *dir_list(const char *dir);
/* Remove it with what is in it, free @dir. */
void dir_free(char *dir);

/* Evaluate @cond until it is true; fail the test if that takes too long. */
#define wait_until(cond)                                                \
    do {                                                                \
        int64_t until_ = g_get_monotonic_time() +                       \
                         VM_WAIT_SECONDS * G_USEC_PER_SEC;              \
        while (!(cond)) {                                               \
            if (g_get_monotonic_time() > until_) {                      \
                g_error("%s:%d: waited in vain for %s", __FILE__,       \
                        __LINE__, #cond);                               \
            }                                                           \
            g_usleep(100);                                              \
        }                                                               \
    } while (0)

/* ---- a root port that devices are plugged into: bus=rp0 ---- */

#define ROOT_PORT   "-device pcie-root-port,id=rp0,addr=3,chassis=1"
extern const PciAddr behind_port;

/* What firmware does: bus 1, with memory windows for the BARs of device 0. */
void port_set_up(Vm *vm);
void port_power(Vm *vm, bool on);

#endif /* EFA_TEST_QTEST_CLIENT_H */
