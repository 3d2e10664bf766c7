# SPDX-License-Identifier: GPL-2.0-or-later
"""
Guest kernels: Debian's own, as packaged, with the stock EFA driver of the same source built for exactly that kernel.

Debian leaves the driver out of its configuration, so it is built from the suite's linux-source package in a chroot of
that suite, whose kernel headers carry tools that need that suite's libc. The flavour "debug" is a kernel of our own
configuration, built from that source as well, which watches what drivers do.
"""

import lzma
import os
import re
import shutil
import struct
import subprocess

from . import TREE, cache, chroot, ui

# What differs between suites and flavours; a suite that is not named here uses the default.
IMAGE_PACKAGES = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
HEADER_PACKAGES = {"cloud": "linux-headers-cloud-amd64", "generic": "linux-headers-amd64"}
DEBUG = "debug"
FLAVOURS = (*IMAGE_PACKAGES, DEBUG)
BUILD_PACKAGES = ["bash", "bzip2", "gcc", "kmod", "libc6-dev", "linux-source", "make", "xz-utils"]
# The kernel's configuration and timer constants, objtool; and what our driver is checked with, for this kernel only.
DEBUG_PACKAGES = ["bc", "bison", "flex", "libelf-dev", "sparse"]
DEBUG_CONFIG = TREE / "guest/kernel/debug.config"
SPARSE_OPTIONS = ["C=2", "CF=-Wsparse-error"]

# Modules by stage. A name with a question mark may be missing, where a kernel has it built in or not at all.
BOOT_MODULES = ["virtio_pci?", "virtio_blk", "crc32c_generic?", "ext4?", "overlay", "virtio_console?"]
NODE_MODULES = ["virtio_net", "ib_uverbs", "efa"]
MORE_MODULES = ["ib_umad?", "rdma_ucm?", "rdma_rxe?", "crc32_generic?", "siw?", "udmabuf?", "sch_netem?", "tun?",
                "veth?", "9p?", "9pnet_virtio?", "vfio_pci?", "virtio_rng?", "configs?"]

STOCK_DRIVER = "drivers/infiniband/hw/efa"
OUR_DRIVER = TREE / "guest/driver"
OUR_MODULE = "efa_emu.ko"
OUR_OPTIONS = ["W=1", "KCFLAGS=-Werror", "cmd_checkdoc=", "KERNELDOC=true"]  # header packages have no kernel-doc
# The image's dependencies (an initramfs generator) are of no use here, so it is unpacked and not installed.
FETCH_KERNEL = """
[ ! -e "$1"/boot/vmlinuz-* ] || exit 0
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get install --yes --download-only "$2"
for deb in "$1"/var/cache/apt/archives/linux-image-*.deb "$1"/var/cache/apt/archives/linux-binary-*.deb \
           "$1"/var/cache/apt/archives/linux-modules-*.deb; do
    [ ! -e "$deb" ] || dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$1"
done
"""
# What /mnt/config wants and does not get is an error. string.c is used by the PVH entry, before KASAN has any shadow. In
# the end there is what building modules takes, as in header packages.
BUILD_DEBUG_KERNEL = """
tar -xf /usr/src/linux-source-*.tar.* -C /usr/src
cd /usr/src/linux-source-*/
make -s KCONFIG_ALLCONFIG=/mnt/config allnoconfig
if grep ^CONFIG_ /mnt/config | grep -vxFf .config; then
    echo "the configuration comes out without these" >&2
    exit 1
fi
make -s -j"$1" KASAN_SANITIZE_string.o=n vmlinux modules
make -s modules_install
strip -o "/boot/vmlinux-$(make -s kernelrelease)" vmlinux
find . -name '*.[cSo]' -not -path './scripts/*' -not -path './tools/*' -delete
rm vmlinux
"""


LIST_MODULES = """
mkdir -p all/lib/modules depends
cp -r "/lib/modules/$1" all/lib/modules/
rm -f "all/lib/modules/$1/build" "all/lib/modules/$1/source"
mkdir "all/lib/modules/$1/updates"
cp efa/efa.ko "all/lib/modules/$1/updates/"
depmod -b all "$1"
for name in %s; do
    modprobe -d /mnt/all -S "$1" --show-depends "$name" >"depends/$name" 2>&1 || true
done
""" % " ".join(name.rstrip("?") for name in [*BOOT_MODULES, *NODE_MODULES, *MORE_MODULES])
# Loading is the faster the less there is to read, relocate and verify; BTF is for tracers only.
INDEX_MODULES = """
find modules -name '*.ko' -exec strip --strip-debug --remove-section=.BTF {} +
mkdir -p final/lib/modules
mv modules "final/lib/modules/$1"
cp "/lib/modules/$1/modules.builtin" "/lib/modules/$1/modules.builtin.modinfo" "/lib/modules/$1/modules.order" \
   "final/lib/modules/$1"
depmod -b final "$1"
mv "final/lib/modules/$1" modules
rm -r all depends final efa
"""


def build_chroot(suite, flavour):
    """The tree in which modules for this kernel are built: compiler, headers, source, and the kernel itself."""
    def fill(directory):
        chroot.require("building guest kernels")
        tar = directory / "tree.tar"
        hooks = [chroot.hook(FETCH_KERNEL, IMAGE_PACKAGES[flavour])] if flavour != DEBUG else []
        chroot.mmdebstrap(suite, _packages(flavour), tar, log(suite), hooks)
        chroot.unpack(tar, directory / "tree", log(suite))
        tar.unlink()
        if flavour == DEBUG:
            _build_debug_kernel(directory, log(suite))
    return cache.build("chroot", _chroot_inputs(suite, flavour), fill,
                       f"chroot of Debian {suite} for {flavour} modules") / "tree"


def _packages(flavour):
    return [*BUILD_PACKAGES, *(DEBUG_PACKAGES if flavour == DEBUG else [HEADER_PACKAGES[flavour]])]


def _chroot_inputs(suite, flavour):
    if flavour not in FLAVOURS:
        raise ui.Fail(f"unknown kernel flavour '{flavour}'; known are {', '.join(FLAVOURS)}")
    common = [chroot.EXCLUDED, chroot.UNPACK_OPTIONS]
    if flavour == DEBUG:
        return [suite, _packages(flavour), DEBUG_CONFIG, BUILD_DEBUG_KERNEL, *common]
    return [suite, BUILD_PACKAGES, HEADER_PACKAGES[flavour], IMAGE_PACKAGES[flavour], FETCH_KERNEL, *common]


def _build_debug_kernel(directory, logfile):
    work = directory / "work"
    work.mkdir()
    shutil.copy(DEBUG_CONFIG, work / "config")
    chroot.run(directory / "tree", work, ["bash", "-ec", BUILD_DEBUG_KERNEL, "bash", str(os.cpu_count())], logfile,
               "building the debug kernel")
    cache.remove(work)


def release_of(tree):
    """The version by which the chroot's kernel calls itself."""
    releases = [p.name for p in (tree / "usr/lib/modules").iterdir() if (p / "kernel").is_dir()]
    if len(releases) != 1:
        raise ui.Fail(f"expected one kernel in {tree}, found {releases}; delete that directory and try again")
    return releases[0]


def build(suite, flavour):
    """
    A directory with the kernel ready to boot and its modules, uncompressed.

    vmlinux (an ELF file with a PVH entry: nothing to inflate in the guest), release, boot-modules and node-modules
    (names in the order in which they load), modules/ (what belongs into /usr/lib/modules/RELEASE).
    """
    if path(suite, flavour).is_dir():
        return path(suite, flavour)
    tree = build_chroot(suite, flavour)

    def fill(directory):
        release = release_of(tree)
        (directory / "release").write_text(release)
        _extract_vmlinux(tree, release, directory / "vmlinux")
        _build_stock_driver(tree, release, directory, log(suite))
        _collect_modules(tree, release, directory, log(suite))
    return cache.build("kernel", _kernel_inputs(suite, flavour), fill,
                       f"stock EFA driver for Debian {suite}'s {flavour} kernel")


def path(suite, flavour):
    """Where build()'s result is, or will be."""
    return cache.path("kernel", _kernel_inputs(suite, flavour))


def generations(built):
    """The generations of the device that the driver in build()'s result binds, by its own word."""
    aliases = (built / "modules/modules.alias").read_text()
    return [int(digit, 16) for digit in sorted(re.findall(r"^alias pci:v00001D0Fd0000EFA(.)sv\S* efa$", aliases, re.M))]


def our_driver(suite, flavour):
    """Build our own driver for this kernel: the module's file, and the generations that it binds."""
    module = build_module(suite, flavour, OUR_DRIVER, OUR_MODULE, "our EFA driver")
    bound = re.findall(rb"alias=pci:v00001D0Fd0000EFA(.)sv", module.read_bytes())
    return module, sorted(int(digit, 16) for digit in bound)


def build_module(suite, flavour, source, name, what):
    """Build the module in the directory source for this kernel; return its file, which is called name."""
    tree = build_chroot(suite, flavour)
    options = [*OUR_OPTIONS, *(SPARSE_OPTIONS if flavour == DEBUG else [])]

    def fill(directory):
        release = release_of(tree)
        work = directory / "driver"
        shutil.copytree(source, work)
        chroot.run(tree, work, ["make", f"-j{os.cpu_count()}", "-C", f"/lib/modules/{release}/build", "M=/mnt",
                                *options, "modules"], log(suite), f"building {what}")
        chroot.run(tree, work, ["strip", "--strip-debug", "--remove-section=.BTF", name], log(suite))
        shutil.copy(work / name, directory)
        cache.remove(work)
    inputs = [_chroot_inputs(suite, flavour), *options, *sorted(source.iterdir())]
    return cache.build("driver", inputs, fill, f"{what} for Debian {suite}'s {flavour} kernel") / name


def _kernel_inputs(suite, flavour):
    return [_chroot_inputs(suite, flavour), BOOT_MODULES, NODE_MODULES, MORE_MODULES, LIST_MODULES, INDEX_MODULES]


def log(suite):
    return cache.log(f"guest-{suite}")


def _extract_vmlinux(tree, release, target):
    if (plain := tree / f"boot/vmlinux-{release}").exists():
        shutil.copy(plain, target)
        return
    places = [tree / f"boot/vmlinuz-{release}", tree / f"usr/lib/modules/{release}/vmlinuz"]
    image = next(place for place in places if place.exists())
    data = image.read_bytes()
    setup_sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    begin = (setup_sectors + 1) * 512 + offset
    target.write_bytes(_inflate(data[begin:begin + length]))


def _inflate(payload):
    """The kernel's compressed payload has its size appended, which the decompressors call garbage."""
    for start, cmd in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]), (b"\x02\x21\x4c\x18", ["lz4", "-dc"]),
                       (b"\xfd7zXZ", ["xz", "-dc", "--single-stream"])):
        if payload.startswith(start):
            done = subprocess.run(cmd, input=payload, capture_output=True, check=False)
            if done.stdout.startswith(b"\x7fELF"):
                return done.stdout
    raise ui.Fail(f"cannot extract the kernel: its payload starts with {payload[:6].hex()}")


def _build_stock_driver(tree, release, directory, logfile):
    """Build the suite's own source of the driver, untouched; return the module."""
    [archive] = [p for p in (tree / "usr/src").glob("linux-source-*.tar.*")]
    top = re.sub(r"\.tar\..*", "", archive.name)
    work = directory / "efa"
    work.mkdir()
    chroot.run(tree, work, ["tar", "-xf", f"/usr/src/{archive.name}", "--strip-components=5", "--wildcards",
                            f"{top}/{STOCK_DRIVER}/*"], logfile, "unpacking the stock driver's source")
    chroot.run(tree, work, ["make", f"-j{os.cpu_count()}", "-C", f"/lib/modules/{release}/build", "M=/mnt",
                            "CONFIG_INFINIBAND_EFA=m", "modules"], logfile, "building the stock EFA driver")


def _collect_modules(tree, release, directory, logfile):
    """Choose the modules on our lists and what they depend on, efa included, inflated and stripped."""
    chroot.run(tree, directory, ["bash", "-ec", LIST_MODULES, "bash", release], logfile, "listing the kernel's modules")
    order = {stage: _load_order(directory, names) for stage, names in
             (("boot", BOOT_MODULES), ("node", NODE_MODULES), ("more", MORE_MODULES))}
    target = directory / "modules"
    for module in {path for paths in order.values() for path in paths}:
        _inflate_module(directory / "all/lib/modules" / release / module, target / _plain(module))
    boot = [_plain(path) for path in order["boot"]]
    node = [_plain(path) for path in order["node"] if _plain(path) not in boot]
    (directory / "boot-modules").write_text("".join(path + "\n" for path in boot))
    (directory / "node-modules").write_text("".join(path + "\n" for path in node))
    chroot.run(tree, directory, ["bash", "-ec", INDEX_MODULES, "bash", release], logfile, "indexing the modules")


def _load_order(directory, names):
    """Paths, below the release's directory, of these modules and of what they depend on, in the order to load them."""
    order = []
    for name in names:
        shown = (directory / "depends" / name.rstrip("?")).read_text()
        paths = re.findall(r"^insmod \S*/lib/modules/[^/]+/(\S+)", shown, re.M)
        if not paths and not name.endswith("?") and "builtin" not in shown:
            raise ui.Fail(f"the kernel has no module {name}")
        order += [path for path in paths if path not in order]
    return order


def _plain(path):
    return re.sub(r"\.(xz|zst|gz)$", "", path)


def _inflate_module(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".xz":
        target.write_bytes(lzma.decompress(source.read_bytes()))
    elif source.suffix == ".ko":
        shutil.copy(source, target)
    else:
        raise ui.Fail(f"cannot inflate the kernel module {source.name}")
