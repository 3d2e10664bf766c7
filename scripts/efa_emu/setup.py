# SPDX-License-Identifier: GPL-2.0-or-later
"""Have everything that clusters need: packages of this machine, QEMU, guest images; or say what is missing."""

import os

from . import apt, cache, chroot, cluster, guest, node, qemu, ui


def run(suite, flavour, kernel_suite="", layers=()):
    """Install, build and download what is missing. What is there already is not done again."""
    config = _config(suite, flavour, kernel_suite, layers)
    apt.require(_packages(), "efa-emu")
    files = cluster.prepare(config)
    ui.note(f"all is there: {files.qemu}, {files.root}")


def check(suite, flavour, kernel_suite="", layers=()):
    """Print one line per thing; return 1 if anything is missing."""
    config = _config(suite, flavour, kernel_suite, layers)
    missing = apt.missing_packages(_packages())
    install = f"sudo apt-get install --no-install-recommends {' '.join(missing)}"
    lines = [("packages of this machine", not missing, install),
             ("KVM", os.access("/dev/kvm", os.R_OK | os.W_OK), "not needed: TCG emulates CPUs, slower")]
    remedy = " ".join(["efa-cluster setup", *[f"--with {layer}" for layer in layers]])
    for title, there in _results(config):
        lines.append((title, there, remedy))
    for title, there, remedy in lines:
        print(f"{title}: {'there' if there else f'missing ({remedy})'}")
    return 0 if all(there for title, there, _ in lines if title != "KVM") else 1


def _config(suite, flavour, kernel_suite, layers):
    return cluster.check(node.Config("setup", suite=suite, kernel=flavour, kernel_suite=kernel_suite,
                                     layers=tuple(layers)))


def _packages():
    """What this machine needs, for building and for running."""
    return sorted({*chroot.needed_packages(), *guest.HOST_PACKAGES, *cluster.HOST_PACKAGES, *qemu.HOST_PACKAGES,
                   *qemu.RUN_PACKAGES})


def _results(config):
    built = any((cache.root() / "qemu").glob("*/bin/qemu-system-x86_64"))
    extra = guest.packages_of(config.layers)
    return [("QEMU with the EFA device", built),
            (f"guest image of {guest.title(config.suite, config.kernel, config.kernel_suite, extra)}",
             guest.is_built(config.suite, config.kernel, extra, config.kernel_suite))]
