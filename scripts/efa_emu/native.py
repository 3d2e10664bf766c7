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
    build_in(BUILD_DIR, [], {}, "the native build")
    return BUILD_DIR


def build_in(directory, options, env, what):
    """Configure a build directory if need be, with Meson's options and an environment, and compile in it."""
    program, _ = meson.command()
    with cache.exclusive(f"native-{cache.digest(str(directory))}"):
        _configure(directory, [*map(str, program), "setup", *options], env, what)
        ui.run(["ninja", "-C", directory], _log(directory), append=False, what=what)


def tests():
    """What `meson introspect --tests` knows: a list of dicts with name, suite, cmd, env, workdir, protocol."""
    program, _ = meson.command()
    return json.loads(ui.output([*program, "introspect", "--tests", BUILD_DIR]))


def _configure(directory, setup, env, what):
    """Configure from scratch if the last time was interrupted, or done otherwise or with a tree that has moved."""
    stamp = directory / "efa-emu-configured"
    state = json.dumps([setup, env, str(TREE)])
    if stamp.exists() and stamp.read_text() == state:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    ui.run([*setup, directory, TREE], _log(directory), env=env, what=f"configuring {what}")
    stamp.write_text(state)


def _log(directory):
    return directory / "native.log"
