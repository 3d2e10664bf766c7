# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine around the devices: what software sees that looks for an instance of EC2; their number; their cables."""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import dmabuf
from efa_emu import TREE, cluster, device, impair, link, node, perftest, ui
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout
from libfabric import PORT
from peers import peers_in

NICS, MANY = 4, 32
GENERATION = 3  # its BARs are the largest
CLUSTER = {"n": 2, "nics": NICS, "generation": GENERATION}

TOOL = TREE / "scripts/efa-cluster"
RSS_MAX = 640 * 10**6
DOWN_SECONDS = 0.5  # well within the peer timeout
DMI = "cd /sys/class/dmi/id && grep -s . *; true"  # some of it are directories
SMBIOS_VM_BYTE, SMBIOS_VM = 0x13, 0x10
SHOW_DEVICES = """
cd /sys/class/infiniband && for name in *; do
    d=$(readlink -f $name/device) p=$(dirname $(readlink -f $name/device))
    echo $name $(cat $name/node_guid $d/vendor $d/device $d/class) $p $(ls -d $p/0000:??:??.? | wc -l) $(cat $p/class) \
        $(cut -d" " -f1 $d/current_link_speed) $(cat $d/current_link_width) $(cat $name/ports/1/state)
done
"""
PINGPONG = "fi_pingpong -p efa -e rdm -m tagged -I 10 -S 64"
AENQ_ERROR = "unimplemented"


def test_instance_strings(env):
    """SMBIOS says what it says on EC2 wherever software looks, and nothing of the emulator."""
    seen = [dict(line.split(":", 1) for line in env.exec(index, DMI).stdout.splitlines()) for index in range(2)]
    for dmi in seen:
        for name in ("bios_vendor", "sys_vendor", "board_vendor", "chassis_vendor", "chassis_asset_tag"):
            assert dmi[name] == "Amazon EC2", (name, dmi)
        assert dmi["product_name"] == node.GENERATIONS[GENERATION], dmi
        # cloud-init: both begin so, and are alike
        assert re.fullmatch(r"ec2[0-9a-f]{5}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", dmi["product_uuid"]), dmi
        assert dmi["product_serial"] == dmi["product_uuid"], dmi
        assert re.fullmatch(r"i-[0-9a-f]{17}", dmi["board_asset_tag"]), dmi  # the instance's ID
        assert not re.search("qemu|q35|standard pc|bochs|seabios", "".join(dmi.values()), re.I), dmi
    for name in ("product_uuid", "product_serial", "board_asset_tag"):
        assert seen[0][name] != seen[1][name], (name, seen)


def test_virtual_machine(env):
    """systemd-detect-virt: an instance that SMBIOS calls a virtual machine, not a bare metal one."""
    raw = bytes.fromhex(env.exec(0, "od -An -v -tx1 /sys/firmware/dmi/entries/0-0/raw").stdout)
    assert raw[SMBIOS_VM_BYTE] & SMBIOS_VM, raw.hex()
    tables = bytes.fromhex(env.exec(0, "od -An -v -tx1 /sys/firmware/dmi/tables/DMI").stdout)
    assert b"Amazon EC2" in tables and b"QEMU" not in tables, tables


def test_libfabric_host_id(env):
    """libfabric's efa provider takes the machine's identity from SMBIOS, and tells its peers."""
    server = env.cluster.start(0, PINGPONG)
    try:
        env.cluster.wait_port(0, PORT)
        said = env.exec(1, f"FI_LOG_LEVEL=info {PINGPONG} node0 2>&1").stdout
    finally:
        server.kill()
    for whose, index in (("efa_rdm_ep->host_id", 1), ("Received peer host id", 0)):
        tag = env.exec(index, "cat /sys/class/dmi/id/board_asset_tag").stdout.strip()
        assert f"{whose}: {tag}" in said, (whose, tag)


def test_topology(env):
    """Each EFA device is alone behind a bridge of its own, with a fast link, as NCCL's plugin wants to find it."""
    shown = _devices(env, env.cluster, NICS)
    for _, _, vendor, number, kind, _, behind, bridge, speed, width, *state in shown:
        assert (vendor, number, kind, bridge) == ("0x1d0f", f"0xefa{GENERATION}", "0x020000", "0x060400"), shown
        assert behind == "1" and (speed, width) == ("16.0", "8"), shown
        assert state == ["4:", "ACTIVE"], shown


def test_traffic_across(env):
    """Every device of one node reaches every device of the other, all at once."""
    names = [perftest.devices(env.cluster, index) for index in range(2)]
    with ThreadPoolExecutor(NICS) as pool:
        runs = [pool.submit(_send, env.cluster, names[0][nic], names[1][NICS - 1 - nic]) for nic in range(NICS)]
        for run in runs:
            env.say(str(run.result()))


def test_host_info(env):
    """What the stock driver tells of itself is what the monitor shows."""
    release, version, slot = env.exec(0, "uname -r; uname -v; cd /sys/class/infiniband/efa_1/device && "
                                         "basename $(pwd -P)").stdout.splitlines()
    info = device.get(env.cluster, 0, 1, "host-info")
    number = ".".join(str(part) for part in info["kernel-version"].to_bytes(3, "big"))
    assert info["os"] == release and release.startswith(number), info
    assert info["kernel"] and version.startswith(info["kernel"]), info
    assert f"0000:{info['bdf']}" == slot and info["spec-version"] == "2.0", info
    assert info["os-type"] == 0 and info["flags"] & 1, info  # Linux, the kernel's own driver


def test_cable(env):
    """A cable that is out for a moment is seen as latency, and the driver hears of it."""
    env.exec(0, "dmesg --clear")
    with peers_in(env.cluster, range(2)) as peers:
        peers[1].tell("sink")
        assert not peers[0].ask("one", to=1, size=64)["errors"]
        _link(env, "0", "down")
        assert _link(env, "0", "--nic", "1").stdout == "node0/efa1: down\n"
        peers[0].tell("one", to=1, size=64)
        _await_loss(env.cluster)
        time.sleep(DOWN_SECONDS)  # this is how long it lasts, not what the test waits for
        for nic in range(NICS):  # at once: to start the tool takes long on a busy machine
            link.plug(env.cluster, 0, nic, True)
        done = peers[0].answer()
        env.say(f"{done}")
        assert done["sent"] == {"1": 2} and not done["errors"] and done["seconds"] > DOWN_SECONDS * 0.9, done
        assert peers[1].ask("counts")["received"] == {"0": 2}
    assert _link(env, "all").stdout.count(": up\n") == 2 * NICS
    said = env.exec(0, f"dmesg | grep -c {AENQ_ERROR}").stdout
    assert int(said) == 2 * NICS, said  # as the stock driver says of any such event
    for words, wanted in ((("0", "--nic", "9"), "--nic 9"), (("0", "sideways"), "sideways")):
        assert wanted in _link(env, *words, good=False).stderr, words


def test_dmabuf(env):
    """Messages and RDMA between DMA-BUFs."""
    dmabuf.exchange(env)


@full
@timeout(400)
def test_many_devices(env):
    """As many devices in a node as there may be: all ACTIVE in reasonable time and memory, and all of them work."""
    begin = time.monotonic()
    many = env.up("many", n=2, nics=MANY, generation=GENERATION, timeout=300)
    sizes = [entry["rss"] for entry in cluster.overview(many.name)["nodes"]]
    env.say(f"{MANY} devices: up in {time.monotonic() - begin:.1f} s; resident: {sizes}")
    assert max(sizes) < RSS_MAX, sizes
    shown = _devices(env, many, MANY)
    assert all(words[-1] == "ACTIVE" for words in shown), shown
    names = [perftest.devices(many, index) for index in range(2)]
    last = MANY - 1
    for server, client in ((0, last), (last, 0), (MANY // 2, MANY // 2)):
        env.say(str(_send(many, _numbered(names[0])[server], _numbered(names[1])[client])))
    for nic in range(MANY):
        env.say(str(_send(many, _numbered(names[0])[nic], _numbered(names[1])[nic])))


def _devices(env, on, count):
    """What sysfs shows of each device, in words; no two share a GUID or a bridge."""
    shown = [line.split() for line in env.exec(0, SHOW_DEVICES, on=on).stdout.splitlines()]
    assert len(shown) == len({words[1] for words in shown}) == len({words[5] for words in shown}) == count, shown
    return shown


def _numbered(names):
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))


def _send(on, server, client):
    [row] = perftest.Run(on, Test("ib_send_bw", "SRD", 4096, 200, device=server), 0, 1, client).wait()
    assert row["average"] > 0, row
    return server, client, row["average"]


def _await_loss(on):
    deadline = time.monotonic() + 10
    while not impair.stats(on, 0)["unplugged"]:
        if time.monotonic() > deadline:
            raise ui.Fail("nothing was lost while the cable was out")
        time.sleep(0.01)


def _link(env, *words, good=True):
    done = subprocess.run([TOOL, "link", "--name", env.cluster.name, *words], capture_output=True, text=True,
                          timeout=60, check=False)
    env.say(f"link {' '.join(words)}\n{done.stdout}{done.stderr}[status {done.returncode}]")
    assert (done.returncode == 0) == good, done
    return done
