# SPDX-License-Identifier: GPL-2.0-or-later
"""
Our own libibverbs provider, guest/provider, built for a suite's libibverbs.

A provider is a part of rdma-core: what it is made of is internal to it. So rdma-core's source, which the suite's
libraries are of, is unpacked, its own EFA provider taken out but for the public header, and ours built in its place.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from . import TREE, apt, cache, chroot, kernel, ui

SOURCE = TREE / "guest/provider"
SHARED = [TREE / "guest/driver" / name for name in ("abi.h", "io.h")]  # which the kernel driver has, too
SUITES = ("trixie", "sid")  # whose rdma-core it is written for
LIBRARY = "libefa.so"
IN_GUEST = "/usr/lib/efa/provider/libefa.so"  # where guest/init finds ours
REPLACED = "/usr/lib/x86_64-linux-gnu/libefa.so.1"  # and what it mounts it over
ENVIRONMENT = "environment"  # beside it: what all programs have in theirs
BUILT = "lib/libefa.so.1"
BUILD_PACKAGES = ["bash", "cmake", "dash", "gcc", "libc6-dev", "libnl-3-dev", "libnl-route-3-dev", "make", "ninja-build",
                  "pkg-config", "python3-minimal"]
PROGRAM_PACKAGES = ["bash", "gcc", "libc6-dev", "libibverbs-dev"]
PROGRAM_CFLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
LIBRARIES = ["-lefa", "-libverbs"]
# As Debian builds rdma-core: what dpkg-buildflags says with hardening=+all. Only so can the two be compared.
CFLAGS = ["-g", "-O2", "-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection", "-D_FORTIFY_SOURCE=2",
          "-Werror"]
OPTIONS = ["-GNinja", "-DCMAKE_BUILD_TYPE=Release", "-DNO_PYVERBS=1", "-DNO_MAN_PAGES=1",
           "-DCMAKE_SHARED_LINKER_FLAGS=-Wl,-z,relro -Wl,-z,now"]
STOCK = "providers/efa"
KEPT = ("efadv.h", "man")  # of the stock provider: the interface, and what the build wants beside it
ABI_PACKAGES = ["abigail-tools", "bash"]


class Sanitizer(NamedTuple):
    """How a provider is built that finds its own mistakes: who loads it has this library from the start."""
    flags: tuple
    library: str
    environment: dict


SANITIZERS = {
    "efa-emu-asan": Sanitizer(
        # what is undefined traps, which the other reports: a runtime of its own would want that of C++
        ("-U_FORTIFY_SOURCE", "-fsanitize=address,undefined", "-fsanitize-trap=undefined", "-fno-omit-frame-pointer"),
        "libasan.so.8",
        # most programs leave memory to their end; nodes are small
        {"ASAN_OPTIONS": "handle_sigill=1:detect_leaks=0:quarantine_size_mb=8"}),
}


def build(suite, whose="efa-emu"):
    """
    The directory of what a node takes for the provider: the library, with debug information, in place of libefa.so.1.

    whose is efa-emu, one of SANITIZERS, or stock: rdma-core's own, made in the same way, to compare with.
    """
    suite = suite.removesuffix("-backports")
    if suite not in SUITES:
        raise ui.Fail(f"--provider {whose}: our provider is for rdma-core of {', '.join(SUITES)}, not of {suite}")
    tree = _chroot(suite, BUILD_PACKAGES, "providers")
    version = apt.Suite(suite).source_version("rdma-core")
    sanitizer = SANITIZERS.get(whose)
    flags = [*CFLAGS, *(sanitizer.flags if sanitizer else ())]

    def fill(directory):
        log = kernel.log(suite)
        source = directory / "rdma-core"
        apt.Suite(suite).fetch_original("rdma-core", directory, source, version)
        if whose != "stock":
            _replace_provider(source)
        chroot.run(tree, source, ["cmake", "-B", "build", *OPTIONS, f"-DCMAKE_C_FLAGS={' '.join(flags)}"], log,
                   "configuring rdma-core")
        chroot.run(tree, source, ["ninja", "-C", "build", f"-j{os.cpu_count()}", BUILT], log,
                   f"building the EFA provider {whose}")
        shutil.copy(source / "build" / BUILT, directory / LIBRARY)
        cache.remove(source)
        if sanitizer:
            _add_sanitizer(sanitizer, tree, directory)
    inputs = [tree.parent.name, version, OPTIONS, flags, sanitizer, *_sources(whose)]
    return cache.build("provider", inputs, fill, f"the EFA provider {whose} for Debian {suite}")


def _sources(whose):
    return [whose] if whose == "stock" else [*SHARED, *sorted(SOURCE.iterdir())]


def _add_sanitizer(sanitizer, tree, directory):
    """Its library, and the environment that a node's programs have with it."""
    shutil.copy(tree / "usr/lib/x86_64-linux-gnu" / sanitizer.library, directory)
    environment = {"LD_PRELOAD": str(Path(IN_GUEST).with_name(sanitizer.library)), **sanitizer.environment}
    (directory / ENVIRONMENT).write_text("".join(f"{name}={value}\n" for name, value in environment.items()))


def check_abi(suite):
    """Fail unless our library has the functions of the stock one, of the same versions and types."""
    built = {whose: build(suite, whose) / LIBRARY for whose in ("stock", "efa-emu")}
    tree = _chroot(suite, ABI_PACKAGES, "ABI checks")

    def fill(directory):
        for whose, library in built.items():
            shutil.copy(library, directory / f"{whose}.so")
        chroot.run(tree, directory, ["abidiff", *(f"{whose}.so" for whose in built)], kernel.log(suite),
                   "comparing our provider's ABI with the stock one's")
    cache.build("abi", [tree.parent.name, *(library.parent.name for library in built.values())], fill)


def build_program(suite, source):
    """A C program for guests of this suite that calls libibverbs; it takes whichever provider is there."""
    tree = _chroot(suite, PROGRAM_PACKAGES, "programs")

    def fill(directory):
        shutil.copy(source, directory)
        chroot.run(tree, directory, ["gcc", *PROGRAM_CFLAGS, "-o", source.stem, source.name, *LIBRARIES],
                   kernel.log(suite), f"compiling {source.name}")
    inputs = [suite, PROGRAM_PACKAGES, PROGRAM_CFLAGS, LIBRARIES, source.name, source]
    return cache.build("program", inputs, fill, f"{source.stem} for Debian {suite}") / source.stem


@contextlib.contextmanager
def stock(cluster, index):
    """In this node of a cluster that has our provider, programs that begin meanwhile have rdma-core's."""
    cluster.exec(index, f"umount $(readlink -f {REPLACED})")
    try:
        yield
    finally:
        cluster.exec(index, f"mount --bind {IN_GUEST} $(readlink -f {REPLACED})")


def _replace_provider(source):
    stock = source / STOCK
    old = stock.with_suffix(".stock")
    stock.rename(old)
    shutil.copytree(SOURCE, stock)
    for header in SHARED:
        shutil.copy(header, stock)
    for name in KEPT:
        (old / name).rename(stock / name)


def _chroot(suite, packages, what):
    def fill(directory):
        chroot.require(f"building {what}")
        tar = directory / "tree.tar"
        chroot.mmdebstrap(suite, packages, tar, kernel.log(suite))
        chroot.unpack(tar, directory / "tree", kernel.log(suite))
        tar.unlink()
    inputs = [suite, packages, chroot.EXCLUDED, chroot.UNPACK_OPTIONS]
    return cache.build("chroot", inputs, fill, f"chroot of Debian {suite} for {what}") / "tree"
