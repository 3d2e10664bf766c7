# SPDX-License-Identifier: GPL-2.0-or-later
"""What clusters cost: the time until they are up, and memory."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from efa_emu import bareboot, cluster, perftest
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2}

TRIES = 3
TIMES_BARE = 3  # how much longer two nodes may take than one bare boot of the same kernel
RSS_MAX = 400 * 10**6
MANY = 8
IDLE_SECONDS = 2


def test_boot_time(env):
    """Two nodes are up in little more than the time of a bare boot; the best of a few tries, for the host is busy."""
    files = cluster.prepare(env.cluster.config)
    for number in range(TRIES):
        bare = bareboot.seconds(files)
        begin = time.monotonic()
        env.up(f"b{number}", n=2)
        ours = time.monotonic() - begin
        env.end_extra()
        env.say(f"bare {bare:.2f} s, up -n 2 {ours:.2f} s: {ours / bare:.2f} times")
        if ours <= TIMES_BARE * bare:
            return
    raise AssertionError(f"up -n 2 takes {ours / bare:.2f} times a bare boot")


def test_memory(env):
    """A node's QEMU stays small, after some work too."""
    perftest.run(env.cluster, Test("ib_send_bw", "SRD", 4096, 2000))
    sizes = _rss(env.cluster.name)
    env.say(f"resident: {sizes}")
    assert len(sizes) == 2 and max(sizes) < RSS_MAX, sizes


def test_idle(env):
    """Devices that have talked and do no longer use no processor time."""
    perftest.run(env.cluster, Test("ib_send_lat", "SRD", 64, 500))
    processes = [entry["pid"] for entry in cluster.overview(env.cluster.name)["nodes"]]
    for number in range(TRIES):  # what the test before has left to do may take a moment
        before = [_thread_ticks(pid, "IO efa-") for pid in processes]
        time.sleep(IDLE_SECONDS)  # the time that is looked at
        used = [after - begin for begin, after in zip(before, [_thread_ticks(pid, "IO efa-") for pid in processes])]
        env.say(f"ticks in {IDLE_SECONDS} s: {used}")
        if max(used) == 0:
            return
    raise AssertionError(f"{used} ticks of processor time in {IDLE_SECONDS} s")


@full
@timeout(300)
def test_many_nodes(env):
    """Eight nodes come up, and all of them talk at once."""
    begin = time.monotonic()
    many = env.up("many", n=MANY)
    env.say(f"{MANY} nodes up in {time.monotonic() - begin:.1f} s; resident: {_rss(many.name)}")
    test = Test("ib_send_lat", "SRD", 64, 200)
    with ThreadPoolExecutor(MANY) as pool:
        runs = [pool.submit(perftest.run, many, test, index, (index + 1) % MANY, 200) for index in range(MANY)]
        for run in runs:
            env.say(str(run.result()))
    assert max(_rss(many.name)) < RSS_MAX


def _rss(name):
    return [entry["rss"] for entry in cluster.overview(name)["nodes"]]


def _thread_ticks(pid, name):
    """Processor time of a process's threads whose names begin so; there must be one."""
    ticks = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        comm, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        if comm.startswith(name):
            fields = rest.split()
            ticks.append(int(fields[11]) + int(fields[12]))
    assert ticks, f"process {pid} has no thread {name}*"
    return sum(ticks)
