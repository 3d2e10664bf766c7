# SPDX-License-Identifier: GPL-2.0-or-later
"""
Our own libibverbs provider, guest/provider, built for a suite's libibverbs.

A provider is a part of rdma-core: what it is made of is internal to it. So rdma-core's source, which the suite's
libraries are of, is unpacked, its own EFA provider taken out but for the public header, and ours built in its place.
"""

import contextlib
import os
import shutil

from . import TREE, apt, cache, chroot, kernel, ui

SOURCE = TREE / "guest/provider"
SHARED = [TREE / "guest/driver" / name for name in ("abi.h", "io.h")]  # which the kernel driver has, too
SUITES = ("trixie", "sid")  # whose rdma-core it is written for
LIBRARY = "libefa.so"
IN_GUEST = "/usr/lib/efa/provider/libefa.so"  # where guest/init finds ours
REPLACED = "/usr/lib/x86_64-linux-gnu/libefa.so.1"  # and what it mounts it over
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
           f"-DCMAKE_C_FLAGS={' '.join(CFLAGS)}", "-DCMAKE_SHARED_LINKER_FLAGS=-Wl,-z,relro -Wl,-z,now"]
STOCK = "providers/efa"
KEPT = ("efadv.h", "man")  # of the stock provider: the interface, and what the build wants beside it


def build(suite):
    """The library for this suite, to take the place of libefa.so.1."""
    suite = suite.removesuffix("-backports")
    if suite not in SUITES:
        raise ui.Fail(f"--provider efa-emu: our provider is for rdma-core of {', '.join(SUITES)}, not of {suite}")
    tree = _chroot(suite, BUILD_PACKAGES, "providers")
    version = apt.Suite(suite).source_version("rdma-core")

    def fill(directory):
        log = kernel.log(suite)
        source = directory / "rdma-core"
        apt.Suite(suite).fetch_original("rdma-core", directory, source, version)
        _replace_provider(source)
        chroot.run(tree, source, ["cmake", "-B", "build", *OPTIONS], log, "configuring rdma-core")
        chroot.run(tree, source, ["ninja", "-C", "build", f"-j{os.cpu_count()}", BUILT], log,
                   "building our EFA provider")
        chroot.run(tree, source, ["strip", "--strip-debug", f"build/{BUILT}"], log)
        shutil.copy(source / "build" / BUILT, directory / LIBRARY)
        cache.remove(source)
    inputs = [version, BUILD_PACKAGES, OPTIONS, *SHARED, *sorted(SOURCE.iterdir())]
    return cache.build("provider", inputs, fill, f"our EFA provider for Debian {suite}") / LIBRARY


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
