# SPDX-License-Identifier: GPL-2.0-or-later
"""
Build QEMU with the EFA device in it.

The base is QEMU's source, hooked and configured, one directory in the cache; ninja works in it incrementally, so that
a change of the device costs a few compilations and a link. Each result is a directory of its own, named by base and
device: a running VM is never affected by a later build.
"""

import functools
import platform
import re
import shutil

from . import TREE, apt, cache, meson, ui

SUITE = "trixie"
SERIES = "10.0."
DEVICE = TREE / "hw/efa-emu"
DEVICE_REQUIRED = ("meson.build", "Kconfig", "trace-events")
PROGRAMS = ("qemu-system-x86_64", "qemu-img")
RESULTS_KEPT = 8

HOST_PACKAGES = [
    "dpkg-dev", "gcc", "libc6-dev", "libfdt-dev", "libglib2.0-dev", "libslirp-dev", "libvdeplug-dev", "ninja-build",
    "pkgconf", "python3-distlib", "python3-venv", "zlib1g-dev",
]
RUN_PACKAGES = ["qemu-system-data", "seabios"]

CONFIGURE = [
    f"--python={meson.PYTHON}", "--target-list=x86_64-softmmu", "--without-default-features",
    "--enable-tcg", "--enable-kvm", "--enable-slirp", "--enable-vde", "--enable-tools", "--enable-fdt=system",
    "--enable-trace-backends=log", "--enable-werror", "--disable-install-blobs", "--disable-docs",
    "--disable-download", "--disable-debug-info", "--extra-cflags=-g1",
]

# (file, line, text put behind that line): all that QEMU's own files need to know of the device.
HOOKS = [
    ("hw/meson.build", "subdir('dma')\n", "subdir('efa-emu')\n"),
    ("hw/Kconfig", "source dma/Kconfig\n", "source efa-emu/Kconfig\n"),
    ("meson.build", "    'hw/dma',\n", "    'hw/efa-emu',\n"),
]


def build():
    """Build what is not built yet; return the directory with qemu-system-x86_64 and qemu-img."""
    device, base_inputs = _read_device(), _base_inputs()
    inputs = [base_inputs, device]
    is_new = not cache.path("qemu", inputs).is_dir()
    result = cache.build("qemu", inputs, functools.partial(_build_result, base_inputs, device), "building QEMU")
    if is_new:
        cache.keep_newest("qemu", RESULTS_KEPT)
    return result / "bin"


def binary():
    """The built qemu-system-x86_64."""
    return build() / "qemu-system-x86_64"


def clean():
    """Remove every QEMU from the cache: sources, build trees, results, and the choice of the version."""
    with cache.exclusive("qemu-base"):
        for kind in ("qemu", "qemu-base"):
            cache.remove(cache.root() / kind)
        _version_file().unlink(missing_ok=True)


def _base_inputs():
    return {"version": _version(), "configure": CONFIGURE, "hooks": HOOKS, "machine": platform.machine(),
            "host": [platform.freedesktop_os_release().get(key, "") for key in ("ID", "VERSION_ID")]}


def _version():
    """
    QEMU's newest point release at the time of the first build.

    It is remembered, so that neither a network nor a new point release comes between a developer and the tests.
    """
    file = _version_file()
    if not file.exists():
        apt.require(HOST_PACKAGES, "building QEMU")
        file.write_text(apt.Suite(SUITE).source_version("qemu", SERIES))
    return file.read_text()


def _version_file():
    return cache.root() / "qemu-version"


def _read_device():
    """The device's files, {name: content}, read once, so that the result's name and content agree."""
    files = {str(p.relative_to(DEVICE)): p.read_bytes() for p in sorted(DEVICE.rglob("*"))
             if p.is_file() and not re.search(r"^[.#]|~$", p.name)}
    for name in DEVICE_REQUIRED:
        files.setdefault(name, b"")
    return files


def _unpack_base(version, directory):
    unpacked = apt.Suite(SUITE).fetch_source("qemu", directory, version)
    for archive in directory.glob("qemu_*"):
        archive.unlink()
    for name, anchor, hook in HOOKS:
        file = unpacked / name
        text = file.read_text()
        if text.count("\n" + anchor) != 1:
            raise ui.Fail(f"cannot hook the device into QEMU {version}: {name} does not have the line "
                          f"'{anchor.strip()}' exactly once")
        file.write_text(text.replace("\n" + anchor, "\n" + anchor + hook))


def _build_result(base_inputs, device, directory):
    """Bring the base's build up to date with the device and copy the programs out of it."""
    apt.require(HOST_PACKAGES, "building QEMU")
    base = cache.build("qemu-base", base_inputs, functools.partial(_unpack_base, base_inputs["version"]),
                       f"fetching QEMU {base_inputs['version']}")
    with cache.exclusive("qemu-base"):
        _sync(device, base / "src/hw/efa-emu")
        build_dir = _configured(base)
        _, env = meson.command()
        ui.run(["ninja", "-C", build_dir, *PROGRAMS], _log(), env=env, what="building QEMU",
               progress=r"\[(\d+/\d+)\]")
        bin_dir = directory / "bin"
        bin_dir.mkdir()
        for program in PROGRAMS:
            ui.run(["strip", "-g", "-o", bin_dir / program, build_dir / program], _log())


def _configured(base):
    """Configure has written absolute paths: it works where the tree stays, and a stamp tells that it has ended."""
    build_dir = base / "build"
    stamp = build_dir / "efa-emu-configured"
    if not stamp.exists():
        shutil.rmtree(build_dir, ignore_errors=True)
        build_dir.mkdir()
        _, env = meson.command()
        with ui.step("configuring QEMU"):
            ui.run(["../src/configure", *CONFIGURE], _log(), cwd=build_dir, env=env, append=False,
                   what="configuring QEMU")
        stamp.touch()
    return build_dir


def _sync(device, directory):
    """Make the directory the device's copy; what has not changed keeps its time, so that ninja leaves it alone."""
    present = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    for name in present - device.keys():
        (directory / name).unlink()
    for name, content in device.items():
        file = directory / name
        if name not in present or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _log():
    return cache.log("qemu")
