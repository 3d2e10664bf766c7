# SPDX-License-Identifier: GPL-2.0-or-later
"""Have everything that clusters need: packages of this machine, QEMU, guest images; or say what is missing."""

import os

from . import apt, cache, chroot, cluster, guest, node, qemu, ui


def run(suite, flavour, kernel_suite=""):
    """Install, build and download what is missing. What is there already is not done again."""
    config = cluster.check(node.Config("setup", suite=suite, kernel=flavour, kernel_suite=kernel_suite))
    apt.require(_packages(), "efa-emu")
    files = cluster.prepare(config)
    ui.note(f"all is there: {files.qemu}, {files.root}")


def check(suite, flavour, kernel_suite=""):
    """Print one line per thing; return 1 if anything is missing."""
    cluster.check(node.Config("setup", suite=suite, kernel=flavour, kernel_suite=kernel_suite))
    missing = apt.missing_packages(_packages())
    install = f"sudo apt-get install --no-install-recommends {' '.join(missing)}"
    lines = [("packages of this machine", not missing, install),
             ("KVM", os.access("/dev/kvm", os.R_OK | os.W_OK), "not needed: TCG emulates CPUs, slower")]
    for title, there in _results(suite, flavour, kernel_suite):
        lines.append((title, there, "efa-cluster setup"))
    for title, there, remedy in lines:
        print(f"{title}: {'there' if there else f'missing ({remedy})'}")
    return 0 if all(there for title, there, _ in lines if title != "KVM") else 1


def _packages():
    """What this machine needs, for building and for running."""
    return sorted({*chroot.needed_packages(), *guest.HOST_PACKAGES, *cluster.HOST_PACKAGES, *qemu.HOST_PACKAGES,
                   *qemu.RUN_PACKAGES})


def _results(suite, flavour, kernel_suite):
    built = any((cache.root() / "qemu").glob("*/bin/qemu-system-x86_64"))
    return [("QEMU with the EFA device", built),
            (f"guest image of {guest.title(suite, flavour, kernel_suite)}",
             guest.is_built(suite, flavour, kernel_suite=kernel_suite))]
