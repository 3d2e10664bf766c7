# SPDX-License-Identifier: GPL-2.0-or-later
"""EFA over an Ethernet: on one machine's switch, and between hosts."""

import contextlib
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import time

from efa_emu import TREE, perftest, runtime
from efa_emu.cluster import Cluster
from efa_emu.perftest import Test
from efa_emu.testing import Skip, timeout

PEER_TIMEOUT_MS = 3000  # longer than a busy machine stands still
CLUSTER = {"n": 2, "fabric": "netdev", "device": f"peer-timeout-ms={PEER_TIMEOUT_MS}"}

TOOL = TREE / "scripts/efa-cluster"
READY_SECONDS, END_SECONDS = 120, 20
UNRESPONSIVE = 13  # completion status


def test_node_dry_run(env):
    """What efa-cluster node would run: a star around a hub at rank 0, and its devices as the options want them."""
    centre = _links(_dry_run(env, 0))
    assert centre == [(18702, "127.0.0.2", 18703), (18704, "127.0.0.3", 18705)], centre
    for rank, (here, _, there) in enumerate(centre, 1):
        assert _links(_dry_run(env, rank)) == [(there, "127.0.0.1", here)], rank
    assert _links(_dry_run(env, 2, "--base-port", "5000")) == [(5005, "127.0.0.1", 5004)]
    for rank, uplinks in ((0, 2), (1, 1)):
        words = _dry_run(env, rank, "--nics", "2")
        ports = [word for word in words if word.startswith("hubport,hubid=0,")]
        assert len(ports) == uplinks + 1 + 2, ports  # Ethernet and two EFA devices
        assert not any(word.startswith("vde") for word in words), words
        assert len([word for word in words if word.startswith("efa,") and ",path-mtu=1400," in word]) == 2, words

    words = _dry_run(env, 1, "--impair", "loss=5%,delay=100us", "--device", "seed=0x5eed", "--path-mtu", "9000")
    [device] = [json.loads(word) for word in words if word.startswith('{"driver":"efa"')]
    assert device["impair"] == [{"loss": 5, "delay-us": 100}], device
    assert (device["seed"], device["path-mtu"]) == (0x5eed, 9000), device

    for option, value, wanted in (("--impair", "los=5%", "'los' is no impairment"),
                                  ("--impair", "delay=20s", "delay=20s must be 0us to 10s"),
                                  ("--path-mtu", "10", "576 to 65535"), ("--path-mtu", "65536", "576 to 65535"),
                                  ("--netdev", "tap,id=x", "leave the id= out")):
        assert wanted in _dry_run(env, 0, option, value, status=1), (option, value)


def test_ports_are_active(env):
    """The devices are there, with the GIDs that belong to them."""
    for index in range(2):
        said = env.exec(index, "ibv_devinfo -v").stdout
        assert "PORT_ACTIVE" in said and "0xEFA2" in said, said


def test_info_network(env):
    """QEMU knows the device as a network card, whose address is made of the GID."""
    said = env.cluster.qmp(0, "human-monitor-command", **{"command-line": "info network"})
    digits = env.cluster.gid(0).replace("fe80::2", "").replace("ff:fe", ":").replace(":", "")
    address = ":".join(["02", *re.findall("..", digits)])
    assert f"model=efa,macaddr={address}" in said, (address, said)


def test_perftest_srd(env):
    """SRD between the nodes, in one frame and in many."""
    for tool, size in (("ib_send_lat", 64), ("ib_send_lat", 4096), ("ib_send_bw", 64), ("ib_send_bw", 8192)):
        [row] = perftest.run(env.cluster, Test(tool, "SRD", size, 500), 0, 1)
        env.say(f"{tool} {size}: {row}")
        assert row["bytes"] == size, row


def test_perftest_ud(env):
    """Datagrams: one at a time, since nothing makes good what a full switch drops."""
    [row] = perftest.run(env.cluster, Test("ib_send_lat", "UD", 64, 500), 0, 1)
    env.say(f"ib_send_lat 64: {row}")


def test_filter_dump(env):
    """What goes over the wire can be seen with QEMU's means."""
    cluster = env.cluster
    path = cluster.node_dir(0) / "dump.pcap"
    cluster.qmp(0, "object-add", **{"qom-type": "filter-dump", "id": "dump", "netdev": "efanet0", "file": str(path)})
    perftest.run(cluster, Test("ib_send_lat", "SRD", 64, 20), 0, 1)
    cluster.qmp(0, "object-del", id="dump")
    assert path.read_bytes().count(b"\x88\xb5EF") >= 2 * 20


def test_killed_node(env):
    """Nobody tells that a node is dead; its silence does, and ends the other's work with status 13. It can come back."""
    cluster = env.up("killed", **CLUSTER)
    run = perftest.Run(cluster, Test("ib_send_bw", "SRD", 1024, 1000, ("-D", "60")), 1, 0)
    try:
        _await(lambda: _sent(env, cluster, 0) > 1000, 30)
        cluster.kill(1)
        begin = time.monotonic()
        done = run.client.wait(30)
        env.say(f"after {time.monotonic() - begin:.1f} s:\n{done.stdout}{done.stderr}")
        assert done.status != 0
        assert f"syndrom 0x{UNRESPONSIVE:x}" in done.stdout + done.stderr
    finally:
        run.kill()
    # the same GID in another life: new handles reach it
    cluster.restart(1)
    [row] = perftest.run(cluster, Test("ib_send_bw", "SRD", 1024, 500), 1, 0)
    assert row["bytes"] == 1024, row


@timeout(400)
def test_two_hosts(env):
    """efa-cluster node in two network namespaces, which stand for two hosts."""
    name = f"t{os.getpid()}-span"
    with _two_hosts(f"efa{os.getpid()}") as hosts, contextlib.ExitStack() as stack:
        addresses = ",".join(address for _, address in hosts)
        nodes = []
        for rank, (space, _) in enumerate(hosts):
            words = ["ip", "netns", "exec", space, str(TOOL), "node", "--name", name, "--rank", str(rank), "--hosts",
                     addresses]
            nodes.append(stack.enter_context(_foreground(env, words)))
        for rank, node in enumerate(nodes):
            line = _line(node, READY_SECONDS)
            assert line.startswith(f"node{rank} of {name}: ready"), line
        _tool(env, "exec", "--name", name, "1", "--", "ping", "-c", "1", "-W", "5", "node0")
        _tool(env, "impair", "--name", name, "1", "--peer", "0", "loss=1%")
        assert "loss=1%" in _tool(env, "impair", "--name", f"{name}.1", "all")
        _tool(env, "impair", "--name", f"{name}.1", "all", "clear")
        _between_hosts(env, name)
        assert sorted(n for n in runtime.names() if n.startswith(name)) == [f"{name}.0", f"{name}.1"]

        # told to end, one takes its machine down and leaves nothing
        nodes[0].send_signal(signal.SIGTERM)
        assert nodes[0].wait(END_SECONDS) == 0
        assert not runtime.processes(f"{name}.0") and not runtime.directory(f"{name}.0").exists()
        # and one whose machine ends says so
        Cluster.open(name, 1).kill(1)
        assert nodes[1].wait(END_SECONDS) == 1
        assert f"{name}.1" not in runtime.names()


def _between_hosts(env, name):
    client = ["ib_send_bw", "-c", "SRD", "-x", "0", "-s", "8192", "-n", "300", "-F"]
    ends = [Cluster.open(name, rank) for rank in range(2)]
    server = ends[0].start(0, client)
    try:
        ends[0].wait_port(0, perftest.FIRST_PORT)
        done = ends[1].exec(1, [*client, "node0"])
        env.say(done.stdout)
        [row] = perftest.parse(done.stdout)
        assert row["bytes"] == 8192 and server.wait(30).status == 0
    finally:
        server.kill()


@contextlib.contextmanager
def _two_hosts(name):
    """Two network namespaces with a wire between them: [(namespace, address)]."""
    if os.geteuid() != 0:
        raise Skip("making network namespaces takes root")
    if not shutil.which("ip"):
        raise Skip("iproute2 is not installed")
    hosts = [(f"{name}a", "10.79.0.1"), (f"{name}b", "10.79.0.2")]
    with contextlib.ExitStack() as stack:
        try:
            for space, _ in hosts:
                _ip("netns", "add", space)
                stack.callback(_ip, "netns", "del", space)
            (a, _), (b, _) = hosts
            _ip("link", "add", "wire", "netns", a, "type", "veth", "peer", "name", "wire", "netns", b)
            for space, address in hosts:
                _ip("-n", space, "addr", "add", f"{address}/24", "dev", "wire")
                _ip("-n", space, "link", "set", "wire", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as e:
            raise Skip(f"{' '.join(e.cmd)}: {e.stderr.strip()}") from e
        yield hosts


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def _foreground(env, words):
    env.say(f"$ {' '.join(words)}")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
            child.kill()
            env.say(child.stderr.read().decode(errors="replace"))


def _line(child, limit):
    """The first line of a program's output."""
    deadline = time.monotonic() + limit
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while b"\n" not in data:
            assert selector.select(max(0, deadline - time.monotonic())), f"no line within {limit} s"
            more = os.read(child.stdout.fileno(), 4096)
            assert more, f"ended after {data!r}"
            data += more
    return data.decode().splitlines()[0]


def _dry_run(env, rank, *options, status=0):
    """The words of the command of one of three hosts, or what is wrong."""
    words = ["node", "--hosts", "127.0.0.1,127.0.0.2,127.0.0.3", "--rank", str(rank), "--dry-run", *options]
    done = subprocess.run([str(TOOL), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    env.say(f"$ efa-cluster {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert done.returncode == status, done
    return shlex.split(done.stdout.splitlines()[-1]) if status == 0 else done.stderr


def _links(words):
    """What leads to other hosts: [(local port, remote host, remote port)]."""
    pattern = re.compile(r"dgram,.*local\.port=(\d+),.*remote\.host=([\d.]+),remote\.port=(\d+),")
    return [(int(link[1]), link[2], int(link[3])) for link in map(pattern.match, words) if link]


def _tool(env, *words):
    done = subprocess.run([str(TOOL), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    env.say(f"$ efa-cluster {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert done.returncode == 0, done
    return done.stdout


def _sent(env, cluster, index):
    return int(env.exec(index, "cat /sys/class/infiniband/*/ports/1/hw_counters/tx_pkts", on=cluster).stdout)


def _await(condition, limit):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s"
