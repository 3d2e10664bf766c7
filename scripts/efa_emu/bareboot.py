# SPDX-License-Identifier: GPL-2.0-or-later
"""
The least a boot can be, a kernel and a busybox init: to measure a node's boot by, and to find out whether KVM works.

/dev/kvm may open, make a virtual machine, and still not run it; only a boot tells.
"""

import os
import select
import subprocess
import tempfile
import time

from . import node, ui

PROBE_SECONDS = 10
READY = b"bare: ready"


def kvm_works(files):
    """Whether a virtual machine runs with KVM here."""
    works = seconds(files, "kvm", PROBE_SECONDS) is not None
    ui.note("KVM works here: using it" if works else "KVM does not work here: using TCG")
    return works


def seconds(files, accel="tcg", limit=60):
    """How long this kernel takes to a bare busybox init, QEMU's own start included; None: it does not get there."""
    from . import guest  # costs time that most commands can do without
    cmd = [*node.machine(files, accel, 512, 1), "-initrd", guest.bare_boot_initrd(),
           "-append", " ".join(node.KERNEL_ARGS), "-serial", "stdio"]
    begin = time.monotonic()
    with tempfile.TemporaryFile() as log, subprocess.Popen([str(word) for word in cmd], stdin=subprocess.DEVNULL,
                                                            stdout=subprocess.PIPE, stderr=log) as child:
        try:
            return time.monotonic() - begin if _await_line(child, begin + limit) else None
        finally:
            child.kill()


def _await_line(child, deadline):
    seen = b""
    while READY not in seen:
        if not select.select([child.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        data = os.read(child.stdout.fileno(), 4096)
        if not data:
            return False
        seen += data
    return True
