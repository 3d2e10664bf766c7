# SPDX-License-Identifier: GPL-2.0-or-later
"""The native build: the device's core as a library, its unit tests and the tools, by the top-level meson.build."""

import json
import shutil

from . import TREE, apt, cache, meson, ui

BUILD_DIR = TREE / "build"
HOST_PACKAGES = ["gcc", "libc6-dev", "libglib2.0-dev", "ninja-build", "pkgconf", "zlib1g-dev"]


def build():
    """Configure if need be and compile everything native; return the build directory."""
    apt.require(HOST_PACKAGES, "the native build")
    program, _ = meson.command()
    with cache.exclusive(f"native-{cache.digest(str(BUILD_DIR))}"):
        _configure([str(word) for word in program])
        ui.run(["ninja", "-C", BUILD_DIR], _log(), append=False, what="the native build")
    return BUILD_DIR


def tests():
    """What `meson introspect --tests` knows: a list of dicts with name, suite, cmd, env, workdir, protocol."""
    program, _ = meson.command()
    return json.loads(ui.output([*program, "introspect", "--tests", BUILD_DIR]))


def _configure(program):
    """Configure from scratch if the last time was interrupted, or done with a Meson or a tree that has moved."""
    stamp = BUILD_DIR / "efa-emu-configured"
    state = json.dumps([program, str(TREE)])
    if stamp.exists() and stamp.read_text() == state:
        return
    shutil.rmtree(BUILD_DIR, ignore_errors=True)
    BUILD_DIR.mkdir()
    ui.run([*program, "setup", BUILD_DIR, TREE], _log(), what="configuring the native build")
    stamp.write_text(state)


def _log():
    return BUILD_DIR / "native.log"
