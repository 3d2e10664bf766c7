# SPDX-License-Identifier: GPL-2.0-or-later
"""Meson as new as QEMU wants it: the machine's, or trixie's package unpacked in the cache (Debian 12's is too old)."""

import re
import subprocess

from . import apt, cache, ui

NEEDED = (1, 5)
SYSTEM = "/usr/bin/meson"
PYTHON = "/usr/bin/python3"  # the one that Debian's Python packages are for, whatever comes first in PATH


def _system_is_new_enough():
    try:
        shown = subprocess.run([SYSTEM, "--version"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    return tuple(int(n) for n in re.findall(r"\d+", shown)[:2]) >= NEEDED


def _unpacked():
    # Not keyed by the version: which one was offered when it was fetched does not matter, and works offline.
    return cache.build("meson", [NEEDED, "self-contained"], _unpack, "fetching Meson")


def _unpack(directory):
    deb = apt.Suite("trixie").fetch_deb("meson", directory)
    ui.run(["dpkg-deb", "-x", deb, directory], cache.log("meson"))
    deb.unlink()
    # Beside the program it is found without PYTHONPATH, so that a plain `ninja -C build` can run Meson again.
    (directory / "usr/bin/mesonbuild").symlink_to("../lib/python3/dist-packages/mesonbuild")


def command():
    """(argv, environment): how Meson is called; the environment lets QEMU's configure find it as a Python package."""
    if _system_is_new_enough():
        return [PYTHON, SYSTEM], {}
    unpacked = _unpacked()
    return [PYTHON, unpacked / "usr/bin/meson"], {"PYTHONPATH": str(unpacked / "usr/lib/python3/dist-packages")}
