# SPDX-License-Identifier: GPL-2.0-or-later
"""One node: the QEMU command line that makes a virtual machine look like an EC2 instance with EFA devices."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from . import agent

FIRMWARE_DIRS = ["/usr/share/seabios", "/usr/share/qemu"]
NODES_MAX = 1000
NICS_MAX = 32
PATH_MTU_MIN, PATH_MTU_MAX = 576, 65535
GENERATIONS = {0: "c5n.18xlarge", 1: "hpc6a.48xlarge", 2: "p5.48xlarge", 3: "p6-b200.48xlarge", 4: "p6-b300.48xlarge"}
"""Device generations (PCI device ID 0xefa0 + generation), and an instance type that has such a device."""

ACCELS = ("auto", "kvm", "tcg")
DRIVERS = ("stock", "efa-emu")  # Debian's, or ours
PROVIDERS = (*DRIVERS, "efa-emu-asan")  # ... or ours with sanitizers
FABRICS = ("shm", "netdev")
HUB = 0
MACHINE = "q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off"
TCG = "tcg,tb-size=64"
# "rep movsb" and "rep stosb" are loops of single bytes under TCG; without their flags Linux and libc copy by words,
# 4 to 16 times as fast. Five-level page tables only lengthen TLB misses.
CPU = {"tcg": "max,-erms,-fsrm,-fzrm,-fsrs,-fsrc,-la57", "kvm": "host"}
KERNEL_ARGS = [
    "console=ttyS0", "quiet", "loglevel=4", "panic=-1", "tsc=reliable", "no_timer_check", "mitigations=off",
    "random.trust_cpu=on", "cryptomgr.notests", "8250.nr_uarts=1",
]
IOMMU_ARGS = ["intel_iommu=on", "iommu.passthrough=0", "iommu.strict=1"]
FIRST_ROOT_PORT_SLOT = 0x10
FUNCTIONS = 8


class Config(NamedTuple):
    """What a cluster is made of; the same for all its nodes."""
    name: str
    nodes: int = 2
    nics: int = 1
    mem: int = 512
    smp: int = 1
    generation: int = 2
    suite: str = "trixie"
    kernel: str = "cloud"
    driver: str = "stock"  # the EFA driver: Linux's own, or ours
    provider: str = "stock"  # libibverbs' provider for it: rdma-core's, or ours
    kernel_suite: str = ""  # where the kernel comes from; nothing: from suite, as all else
    layers: tuple = ()  # what the image has beside the usual
    accel: str = "tcg"
    trace: tuple = ()
    device: str = ""  # more properties of every EFA device
    impair: str = ""  # what the network does to packets, in the words of efa-cluster impair
    qemu_args: tuple = ()
    fabric: str = "shm"
    iommu: bool = False  # the EFA devices are behind an IOMMU that translates
    path_mtu: int = 0  # of the way between nodes; 0: that of an Ethernet
    # of a cluster that spans hosts:
    group: str = ""  # its name, which others know it by
    only: int = -1  # the node that is here
    uplinks: tuple = ()  # what leads to the others, as -netdev options without id

    @property
    def identity(self):
        """The name that addresses are made of."""
        return self.group or self.name

    @property
    def local(self):
        """The nodes that are on this host."""
        return range(self.nodes) if self.only < 0 else range(self.only, self.only + 1)


class Files(NamedTuple):
    """What is shared by all nodes of a cluster."""
    qemu: Path
    kernel: Path
    initrd: Path
    root: Path
    cluster: Path

    def node(self, index):
        """The directory of one node's sockets and logs."""
        return self.cluster / f"node{index}"

    @property
    def fabric(self):
        """The directory in which the EFA devices find each other."""
        return self.cluster / "fabric"

    @property
    def vde(self):
        """The directory of the Ethernet switch's sockets."""
        return self.cluster / "vde"


def gid(config, node, nic):
    """A device's GID: fe80::/64 with an EUI-64 made of the cluster's name, the node and the device."""
    c = hashlib.sha256(config.identity.encode()).digest()
    return f"fe80::2{c[0]:02x}:{c[1]:02x}ff:fe{node >> 8:02x}:{node & 0xff:02x}{nic:02x}"


def mac(node):
    """The MAC address of a node's Ethernet interface."""
    return f"52:54:00:ef:{node >> 8:02x}:{node & 0xff:02x}"


def command(config, files, index):
    """The exact command that runs a node."""
    here = files.node(index)
    return [
        *machine(files, config.accel, config.mem, config.smp),
        "-name", f"{config.name}/node{index},debug-threads=on", "-pidfile", f"{here}/pid",
        "-initrd", str(files.initrd), "-append", _kernel_command_line(config, index),
        *_smbios(config, index), *_iommu(config), *_console(here), *_disk(files),
        *_network(config, files, index), *_agent(here), *_efa_devices(config, files, index),
        *[word for pattern in config.trace for word in ("-trace", pattern)],
        "-d", "guest_errors,unimp", *config.qemu_args,
    ]


def machine(files, accel, mem, smp):
    """The part of the command that does not depend on what is booted: machine, CPUs, memory, firmware, kernel."""
    return [str(files.qemu), "-nodefaults", "-no-user-config", "-display", "none",
            *[word for path in FIRMWARE_DIRS for word in ("-L", path)],
            "-machine", MACHINE, "-accel", TCG if accel == "tcg" else accel, "-cpu", CPU[accel],
            "-m", str(mem), "-smp", str(smp), "-no-reboot", "-kernel", str(files.kernel)]


def _kernel_command_line(config, index):
    return " ".join([*KERNEL_ARGS, *(IOMMU_ARGS if config.iommu else []),
                     f"efa_node={index}", f"efa_nodes={config.nodes}", f"efa_nics={config.nics}"])


def _smbios(config, index):
    """As on EC2, where software recognizes instances by these strings."""
    digest = hashlib.sha256(f"{config.identity} {index}".encode()).hexdigest()
    uuid = f"ec2{digest[:5]}-{digest[5:9]}-4{digest[9:12]}-a{digest[12:15]}-{digest[15:27]}"
    vendor = "Amazon EC2"
    product = GENERATIONS[config.generation]
    return ["-smbios", f"type=0,vendor={vendor},version=1.0,date=10/16/2017,release=1.0",
            "-smbios", f"type=1,manufacturer={vendor},product={product},version=,serial={uuid},uuid={uuid}",
            "-smbios", f"type=2,manufacturer={vendor},product=,version=,asset=i-0{digest[:16]}",
            "-smbios", f"type=3,manufacturer={vendor},version=,asset={vendor}",
            "-smbios", "type=4,manufacturer=,version=", "-smbios", "type=17,manufacturer="]


def _iommu(config):
    """Before the devices that are to be behind it. Virtio stays outside, since its devices do not ask for it."""
    return ["-device", "intel-iommu"] if config.iommu else []


def _console(here):
    server = "server=on,wait=off"
    return ["-chardev", f"socket,id=console,path={here}/console.sock,{server},logfile={here}/console.log,logappend=off",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,path={here}/qmp.sock,{server}", "-mon", "chardev=qmp,mode=control"]


def _disk(files):
    return ["-blockdev", f"driver=file,node-name=root,filename={files.root},read-only=on,locking=off",
            "-device", "virtio-blk-pci-non-transitional,drive=root,addr=2"]


def _network(config, files, index):
    words = []
    for number, uplink in enumerate(config.uplinks):
        words += ["-netdev", f"{uplink},id=link{number}",
                  "-netdev", f"hubport,hubid={HUB},id=up{number},netdev=link{number}"]
    mtu = f",host_mtu={config.path_mtu}" if config.path_mtu else ""
    return [*words, "-netdev", _plug(config, files, "net"),
            "-device", f"virtio-net-pci-non-transitional,netdev=net,mac={mac(index)},romfile=,addr=3{mtu}"]


def _plug(config, files, name):
    """One more port on the Ethernet: of a hub in QEMU where it leads to other hosts, of a switch otherwise."""
    return f"hubport,hubid={HUB},id={name}" if config.only >= 0 else f"vde,id={name},sock={files.vde}"


def _agent(here):
    words = ["-device", f"virtio-serial-pci-non-transitional,max_ports={agent.PORTS + 1},addr=4"]
    for port in range(agent.PORTS):
        words += ["-chardev", f"socket,id=agent{port},path={agent.socket_path(here, port)},server=on,wait=off",
                  "-device", f"virtserialport,chardev=agent{port},name=efa.agent.{port},nr={port + 1}"]
    return words


def _efa_devices(config, files, index):
    """Each behind a root port of its own, so that each can be unplugged."""
    words = []
    for nic in range(config.nics):
        slot, function = FIRST_ROOT_PORT_SLOT + nic // FUNCTIONS, nic % FUNCTIONS
        many = ",multifunction=on" if config.nics > 1 else ""
        if config.fabric == "netdev":
            words += ["-netdev", _plug(config, files, f"efanet{nic}")]
        words += ["-device", f"pcie-root-port,id=port{nic},chassis={nic + 1},addr={slot:x}.{function}{many}",
                  "-device", _efa_device(config, files, index, nic)]
    return words


def _efa_device(config, files, index, nic):
    more = f",{config.device}" if config.device else ""
    if config.fabric == "netdev":
        way = f"netdev=efanet{nic}" + (f",path-mtu={config.path_mtu}" if config.path_mtu else "")
    else:
        way = f"fabric={files.fabric}"
    plain = f"efa,id=efa{nic},bus=port{nic},{way},gid={gid(config, index, nic)},generation={config.generation}{more}"
    if not config.impair:
        return plain
    from . import impair
    driver, *properties = plain.split(",")
    values = {"driver": driver}
    for text in properties:  # only JSON can say what is a list
        name, _, value = text.partition("=")
        values[name] = _json_value(value)
    values["impair"] = [impair.parse([config.impair])]
    return json.dumps(values, separators=(",", ":"))  # one word, as the plain form is


def _json_value(text):
    try:
        return int(text, 0)
    except ValueError:
        return {"on": True, "off": False}.get(text, text)
