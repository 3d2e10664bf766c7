# SPDX-License-Identifier: GPL-2.0-or-later
"""
What a node boots: a kernel, an initramfs, and one read-only root image that all nodes share.

The heavy part, a tree of packages, is made once per suite; kernel and our own files are put on top of it in seconds.
"""

import functools
import gzip
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from . import TREE, apt, cache, chroot, kernel, ui

DEFAULT_SUITE = "trixie"
DEFAULT_FLAVOUR = "cloud"
HOST_PACKAGES = ["gcc", "libc6-dev", "openssh-client"]
PACKAGES = [
    "bash", "busybox-static", "ca-certificates", "ethtool", "ibverbs-providers", "ibverbs-utils", "iperf3", "iproute2",
    "iputils-ping", "kmod", "libfabric-bin", "mount", "openssh-client", "openssh-server", "pciutils", "perftest",
    "procps", "python3-minimal", "python3-pyverbs", "qperf", "rdma-core", "strace",
]
LAYERS = {"mpi": ["openmpi-bin", "python3-mpi4py"]}
"""Packages that are large and seldom wanted, by the names that efa-cluster --with takes."""

AGENT = TREE / "guest/agent/efa-agent.c"
INIT = TREE / "guest/init"
CFLAGS = ["-std=gnu11", "-static", "-O2", "-Wall", "-Wextra", "-Werror"]
OUR_DIR = "usr/lib/efa"
RDMA_TESTS = "usr/share/doc/rdma-core/tests"
RDMA_TESTS_UNPACKED = "usr/local/share/rdma-core-tests"
IMAGES_KEPT = 12
FREE_BYTES = 16 << 20  # of the image, which is never written to

SSHD_CONFIG = """\
PermitRootLogin yes
UsePAM no
UseDNS no
PrintMotd no
LogLevel ERROR
"""
SSH_CONFIG = """\
Host *
    LogLevel ERROR
"""
MKE2FS_OPTIONS = ["-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^huge_file,^resize_inode", "-m", "0",
                  "-N", "0", "-E", "lazy_itable_init=1"]


class Image(NamedTuple):
    """Files a node boots from."""
    kernel: Path
    initrd: Path
    root: Path
    release: str


def image(suite=DEFAULT_SUITE, flavour=DEFAULT_FLAVOUR, extra=(), kernel_suite=""):
    """
    Build what is not built yet for this suite, kernel flavour and extra packages of Debian's.

    The kernel comes from the suite kernel_suite if that is named, from the same one otherwise.
    """
    packages = _packages(extra)
    inputs = _image_inputs(suite, flavour, packages, kernel_suite)
    built = kernel.build(kernel_suite or suite, flavour)
    is_new = not cache.path("image", inputs).is_dir()
    tree = _base_tree(suite, packages) if is_new else None
    directory = cache.build("image", inputs, functools.partial(_fill_image, suite, tree, built),
                            f"image of {title(suite, flavour, kernel_suite, extra)}")
    if is_new:
        cache.keep_newest("image", IMAGES_KEPT)
    return Image(built / "vmlinux", directory / "initrd", directory / "root.img", (built / "release").read_text())


def with_ours(made, parts):
    """The Image made with files of ours in its initramfs, {name: directory}: a driver, a provider, for init to use."""
    def build(directory):
        extra = {}
        for name, part in parts.items():
            extra.update({name: None, **{f"{name}/{file.name}": file.read_bytes() for file in sorted(part.iterdir())}})
        (directory / "initrd").write_bytes(made.initrd.read_bytes() + _cpio(extra))
    inputs = [made.initrd.parent.name, {name: part.name for name, part in parts.items()}]
    return made._replace(initrd=cache.build("our-initrd", inputs, build) / "initrd")


def is_built(suite=DEFAULT_SUITE, flavour=DEFAULT_FLAVOUR, extra=(), kernel_suite=""):
    """Whether image() has nothing to do."""
    image_path = cache.path("image", _image_inputs(suite, flavour, _packages(extra), kernel_suite))
    return image_path.is_dir() and kernel.path(kernel_suite or suite, flavour).is_dir()


def title(suite, flavour, kernel_suite="", extra=()):
    """What messages call a guest."""
    origin = f" of {kernel_suite}" if kernel_suite not in ("", suite) else ""
    more = f" and {', '.join(extra)}" if extra else ""
    return f"Debian {suite} with the {flavour} kernel{origin}{more}"


def packages_of(layers):
    """The packages that these layers add to an image."""
    unknown = set(layers) - set(LAYERS)
    if unknown:
        raise ui.Fail(f"--with {', '.join(sorted(unknown))}: it must be {' or '.join(LAYERS)}")
    return [package for layer in layers for package in LAYERS[layer]]


def _packages(extra):
    return sorted({*PACKAGES, *extra})


def _image_inputs(suite, flavour, packages, kernel_suite):
    return [_base_inputs(suite, packages), kernel.path(kernel_suite or suite, flavour).name, AGENT, INIT, CFLAGS,
            SSHD_CONFIG, SSH_CONFIG, MKE2FS_OPTIONS]


def bare_boot_initrd(suite=DEFAULT_SUITE, flavour=DEFAULT_FLAVOUR):
    """
    An initramfs of nothing but a busybox init that prints "bare: ready" on the console: what a boot costs at least.
    """
    tree = _base_tree(suite, _packages(()))
    init = '#!/bin/busybox sh\necho "bare: ready" >/dev/console\nexec /bin/busybox sleep 1000000\n'

    def build(directory):
        busybox = _busybox(tree / "tree").read_bytes()
        entries = {"dev": None, "bin": None, "bin/busybox": busybox, "init": init.encode()}
        (directory / "initrd").write_bytes(_cpio(entries))
    return cache.build("bare-initrd", [tree.name, init], build) / "initrd"


def _base_tree(suite, packages):
    """The directory of a tree with the packages, nothing of ours in it yet."""
    def build(directory):
        chroot.require("building guest images")
        tar = directory / "tree.tar"
        chroot.mmdebstrap(suite, packages, tar, kernel.log(suite))
        chroot.unpack(tar, directory / "tree", kernel.log(suite))
        tar.unlink()
    return cache.build("guest-tree", _base_inputs(suite, packages), build, f"packages of Debian {suite} for the guests")


def _base_inputs(suite, packages):
    return [suite, packages, chroot.EXCLUDED, chroot.UNPACK_OPTIONS]


def _fill_image(suite, base, built, directory):
    apt.require(HOST_PACKAGES, "building guest images")
    chroot.require("building guest images")
    log = kernel.log(suite)
    root = directory / "tree"
    ui.run(["cp", "-a", "--reflink=auto", base / "tree", root], log)
    _install_ours(root, log)
    _install_modules(root, built)
    _install_ssh(root, log)
    _unpack_rdma_tests(root, log)
    _make_filesystem(root, directory / "root.img", log)
    (directory / "initrd").write_bytes(_initramfs(base / "tree", built))
    cache.remove(root)


def _install_ours(root, log):
    ours = root / OUR_DIR
    ours.mkdir()
    ui.run(["gcc", *CFLAGS, "-s", "-o", ours / "efa-agent", AGENT], log, what="compiling the agent")
    shutil.copy(INIT / "efa-init", ours / "efa-init")
    (ours / "efa-init").chmod(0o755)
    shutil.copy(_busybox(root), ours / "busybox")
    for name in ("proc", "sys", "dev", "run", "tmp", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/motd").write_text("")
    (root / "etc/resolv.conf").write_text("")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt", ignore_errors=True)


def _install_modules(root, built):
    release = (built / "release").read_text()
    target = root / "usr/lib/modules" / release
    shutil.rmtree(root / "usr/lib/modules", ignore_errors=True)
    shutil.copytree(built / "modules", target)
    paths = (built / "node-modules").read_text().splitlines()
    (root / OUR_DIR / "modules").write_text("".join(f"/usr/lib/modules/{release}/{path}\n" for path in paths))


def _install_ssh(root, log):
    """One key pair for root and one host key for all nodes: they trust each other, and nobody else can reach them."""
    for name in ("ssh_host_ed25519_key", "ssh_host_rsa_key", "ssh_host_ecdsa_key"):
        for key in (root / "etc/ssh" / name, root / f"etc/ssh/{name}.pub"):
            key.unlink(missing_ok=True)
    host, user = root / "etc/ssh/ssh_host_ed25519_key", root / "root/.ssh/id_ed25519"
    user.parent.mkdir(mode=0o700, exist_ok=True)
    for key in (host, user):
        ui.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "efa-emu", "-f", key], log)
    public = host.with_suffix(".pub").read_text()
    (root / "etc/ssh/ssh_known_hosts").write_text(f"node*,10.77.*,localhost {public}")
    (user.parent / "authorized_keys").write_text(user.with_suffix(".pub").read_text())
    (root / "etc/ssh/sshd_config.d").mkdir(exist_ok=True)
    (root / "etc/ssh/ssh_config.d").mkdir(exist_ok=True)
    (root / "etc/ssh/sshd_config.d/efa.conf").write_text(SSHD_CONFIG)
    (root / "etc/ssh/ssh_config.d/efa.conf").write_text(SSH_CONFIG)


def _unpack_rdma_tests(root, log):
    """Debian ships rdma-core's tests as documentation, mostly compressed. Python's compiler is slow in a guest."""
    target = root / RDMA_TESTS_UNPACKED
    shutil.copytree(root / RDMA_TESTS, target / "tests")
    for packed in target.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    chroot.run(root, root, ["python3", "-m", "compileall", "-q", f"/{RDMA_TESTS_UNPACKED}"], log)


def _make_filesystem(root, img, log):
    size = sum(p.lstat().st_blocks * 512 for p in root.rglob("*")) + FREE_BYTES
    size = (size + (size >> 5) + 0xfffff) & ~0xfffff
    with open(img, "wb") as f:
        f.truncate(size)
    ui.run(chroot.as_root(["/usr/sbin/mke2fs", *MKE2FS_OPTIONS, "-d", root, img]), log, what="making the root image")
    img.chmod(0o444)


def _busybox(tree):
    for path in ("usr/bin/busybox", "bin/busybox"):
        if (tree / path).is_file():
            return tree / path
    raise ui.Fail(f"no busybox in {tree}; delete that directory and try again")


def _initramfs(tree, built):
    entries = {name: None for name in ("bin", "dev", "lower", "modules", "proc", "root", "rw")}
    entries["bin/busybox"] = _busybox(tree).read_bytes()
    entries["init"] = (INIT / "initramfs-init").read_bytes()
    for i, path in enumerate((built / "boot-modules").read_text().splitlines()):
        entries[f"modules/{i:02}-{Path(path).name}"] = (built / "modules" / path).read_bytes()
    return _cpio(entries)


def _cpio(entries):
    """An initramfs of {path: content, or None for a directory}; uncompressed, since inflating costs more."""
    out = bytearray()
    for inode, (name, content) in enumerate([*entries.items(), ("TRAILER!!!", b"")], 1):
        mode = stat.S_IFDIR | 0o755 if content is None else stat.S_IFREG | 0o755
        content = content or b""
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)
