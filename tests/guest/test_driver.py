# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock EFA driver of Debian's kernel: probe, reload, several devices, every generation, statistics."""

import re

from efa_emu import node, perftest
from efa_emu.perftest import Test
from efa_emu.testing import full

NICS = 2
CLUSTER = {"n": 1, "nics": NICS}

RELOADS = 20
AWAIT_PORTS = f'until [ "$(cat /sys/class/infiniband/*/ports/1/state | grep -c ACTIVE)" = {NICS} ]; do sleep 0.05; done'
RELOAD = f"for i in $(seq {RELOADS}); do rmmod efa && modprobe efa || exit; {AWAIT_PORTS}; done"
WARNINGS = "dmesg --level emerg,alert,crit,err,warn"
TAINT_WARN = 1 << 9
LOOPBACK = Test("ib_send_bw", "SRD", 1024, 500)


def test_probe(env):
    """The driver says what it says on EC2, once for each device, and nothing to worry about."""
    said = env.exec(0, "dmesg | grep efa").stdout
    for message in (r"efa 0000:\S+: Setup irq:\d+ name:efa-mgmnt@pci:", r"efa 0000:\S+ efa_\d+: IB device registered"):
        assert len(re.findall(message, said)) == NICS, said
    loud = [line for line in env.exec(0, WARNINGS).stdout.splitlines() if re.search(r"\befa\b", line)]
    assert all("out-of-tree module" in line or "module verification failed" in line for line in loud), loud
    _assert_no_warning(env)


def test_two_devices(env):
    """Two devices in one machine have their own names, ports and GIDs, and SRD works between them, and in each."""
    names = perftest.devices(env.cluster, 0)
    assert len(names) == NICS, names
    for nic, name in enumerate(names):
        said = env.exec(0, f"ibv_devinfo -v -d {name}").stdout
        assert "PORT_ACTIVE" in said, said
        assert _gid(said) == _expanded(env.cluster.gid(0, nic)), said
    for server, client in (names, reversed(names), names[:1] * 2):
        [row] = perftest.Run(env.cluster, LOOPBACK._replace(device=server), 0, 0, client).wait()
        assert row["average"] > 0, row


def test_statistics(env):
    """The counters of the device and of its port move with the work, as rdma statistic shows them."""
    [name, *_] = perftest.devices(env.cluster, 0)
    before = _port_counters(env, name), _device_counters(env, name)
    perftest.run(env.cluster, LOOPBACK._replace(device=name), 0, 0)
    after = _port_counters(env, name), _device_counters(env, name)
    grown = {key: after[0][key] - value for key, value in before[0].items()}
    count, size = LOOPBACK.iterations, LOOPBACK.size
    least = {"send_wrs": count, "recv_wrs": count, "tx_pkts": count, "rx_pkts": count,
             "send_bytes": count * size, "recv_bytes": count * size, "tx_bytes": count * size, "rx_bytes": count * size}
    assert all(grown[key] >= value for key, value in least.items()), grown
    assert grown["rx_drops"] == 0, grown
    assert after[1]["submitted_cmds"] > before[1]["submitted_cmds"], after[1]
    assert after[1]["completed_cmds"] == after[1]["submitted_cmds"], after[1]
    assert after[1]["no_completion_cmds"] == 0, after[1]


def test_reload(env):
    """The driver may be unloaded and loaded again and again, and the device works afterwards."""
    env.exec(0, "dmesg --clear")
    env.exec(0, RELOAD, limit=120)
    said = env.exec(0, "dmesg | grep -c 'IB device registered'").stdout
    assert int(said) == RELOADS * NICS, said
    loud = env.exec(0, WARNINGS).stdout
    assert not loud, loud
    _assert_no_warning(env)
    assert perftest.run(env.cluster, LOOPBACK, 0, 0)[0]["average"] > 0


def test_unload_under_a_program(env):
    """A driver that is in use cannot be unloaded; once the program has been killed, it can, and nothing is left."""
    held = env.cluster.start(0, ["ib_send_bw", "-d", perftest.devices(env.cluster, 0)[0], "-c", "SRD", "-x", "0"])
    try:
        env.cluster.wait_port(0, perftest.FIRST_PORT)
        assert env.exec(0, "rmmod efa", check=False).status != 0
    finally:
        held.kill()
    env.exec(0, f"rmmod efa && modprobe efa && {AWAIT_PORTS}")
    _assert_no_warning(env)


def test_generation_0(env):
    """The first generation, 0xefa0."""
    _check_generation(env, 0)


@full
def test_generation_1(env):
    """The second generation, 0xefa1."""
    _check_generation(env, 1)


@full
def test_generation_3(env):
    """The fourth generation, 0xefa3."""
    _check_generation(env, 3)


def _check_generation(env, generation):
    cluster = env.up(f"g{generation}", n=1, generation=generation)
    said = env.exec(0, "ibv_devinfo -v; lspci -n; cat /sys/class/dmi/id/product_name", on=cluster).stdout
    assert re.search(rf"vendor_part_id:\s+{0xefa0 + generation}\b", said), said
    assert re.search(rf"hw_ver:\s+0xEFA{generation}\b", said), said
    assert f"1d0f:efa{generation}" in said and node.GENERATIONS[generation] in said, said
    assert perftest.run(cluster, LOOPBACK, 0, 0)[0]["average"] > 0


def _assert_no_warning(env):
    """The kernel has not warned, whatever it printed; nor has it printed a trace."""
    taint = int(env.exec(0, "cat /proc/sys/kernel/tainted").stdout)
    assert taint & TAINT_WARN == 0, taint
    assert env.exec(0, "dmesg | grep -E 'Call Trace|BUG:|WARNING:'", check=False).stdout == ""


def _port_counters(env, name):
    said = env.exec(0, f"rdma statistic show link {name}/1").stdout
    return {key: int(value) for key, value in re.findall(r"(\w+) (\d+)\b", said.split("\n", 1)[-1])}


def _device_counters(env, name):
    said = env.exec(0, f"cd /sys/class/infiniband/{name}/hw_counters && grep . *").stdout
    return {key: int(value) for key, value in re.findall(r"^(\w+):(\d+)$", said, re.M)}


def _gid(devinfo):
    return re.search(r"GID\[\s*0\]:\s+(\S+)", devinfo).group(1)


def _expanded(gid):
    head, tail = gid.split("::")
    words = [word.zfill(4) for word in tail.split(":")]
    return ":".join([head, *["0000"] * (7 - len(words)), *words])
