# SPDX-License-Identifier: GPL-2.0-or-later
"""Our kernel driver under a kernel that watches it: KASAN, lockdep, kmemleak, DMA-API debugging, injected failures."""

import json
import re
from pathlib import Path

import our_driver
import rdma_core
import test_kernel_verbs as kernel_verbs
from efa_emu import faults, perftest
from efa_emu.guest import DEFAULT_SUITE
from efa_emu.kernel import DEBUG
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2, "driver": "efa-emu", "kernel": "debug", "generation": 3, "mem": 1024, "timeout": 300,
           "device": "admin-timeout-ms=1500"}
# So few objects that fail_nth.py can have them all: one that is left behind in the device is one too many.
FEW = {**CLUSTER, "n": 1, "device": "admin-timeout-ms=1500,max-pd=4,max-qp=4,max-cq=6,max-mr=6,max-ah=4"}
# Beside what no kernel must say: ODEBUG, sleeps where none may be, hung tasks and workers that make no progress.
COMPLAINTS = r"KASAN: |INFO: |ODEBUG|DMA-API: .*(driver|disabl)|workqueue lockup|sleeping function"
ACTIVE = """
    set -e
    uname -r
    dmesg | grep -E 'kasan: KernelAddressSanitizer initialized|DMA-API: debugging enabled'
    grep 'debug_locks: *1' /proc/lockdep_stats
    grep -c . /sys/kernel/debug/dma-api/dump
    echo scan >/sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/dma-api/disabled
"""
# It reports what it has found lost in two scans, the second of which comes 5 s after it was allocated.
SCAN = """
    file=/sys/kernel/debug/kmemleak
    seconds() { cut -d . -f 1 /proc/uptime; }
    begin=$(seconds)
    while [ $(($(seconds) - begin)) -lt 6 ]; do echo scan >$file; done
    echo scan >$file
    cat $file
"""
# Linux, 6.12 for one, forgets to let go of a process that could not open the device, whatever the device: its method
# GET_CONTEXT frees the context alone.
OF_A_PROCESS = r"\b(copy_process|prepare_exec_creds)\+"
FAIL_NTH = Path(__file__).with_name("fail_nth.py")


@full
@timeout(120)
def test_watching(env):
    """The kernel is the one that watches, and all that watches does so."""
    said = env.exec(0, ACTIVE).stdout
    for text in ("-efa-debug", "KernelAddressSanitizer", "debugging enabled", "debug_locks:"):
        assert text in said, said
    assert said.endswith("\nN\n"), said
    _check(env)


@full
@timeout(600)
def test_conformance(env):
    """rdma-core's tests of EFA devices."""
    verdicts = rdma_core.run(env, "test_efa_srd", "test_efadv", "test_cq_events", "test_mr", generation=3, limit=500)
    rdma_core.check_documented(verdicts, 3)
    _check(env)


@full
@timeout(300)
def test_perftest(env):
    """Sends, RDMA and events between two nodes."""
    for test in (Test("ib_send_lat", "SRD", 64, 100), Test("ib_send_bw", "UD", 4096, 500),
                 Test("ib_send_bw", "SRD", 4096, 500, ("-e",)), Test("ib_write_bw", "SRD", 65536, 100),
                 Test("ib_read_bw", "SRD", 65536, 100)):
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(env.cluster, test, limit=100)}")
    _check(env)


@full
@timeout(600)
def test_lives(env):
    """Loaded again and again, unloaded under traffic, with a device that does not answer."""
    our_driver.reload(env, 10, limit=200)
    our_driver.unload_in_use(env, limit=200)
    our_driver.check_log(env, COMPLAINTS)
    our_driver.recover(env, limit=200)
    _check(env)


@full
@timeout(300)
def test_kernel_verbs(env):
    """Users in the kernel: messages, a drain, and a device that is lost under them."""
    for kind in ("ud", "srd"):
        with kernel_verbs.loaded(env, kernel_of=(DEFAULT_SUITE, DEBUG), type=kind, rounds=300):
            assert kernel_verbs.run(env, "pingpong") == "ok: 300 rounds"
            assert kernel_verbs.run(env, "drain") == "16 flushed"
            faults.set_rules(env.cluster, 0, 0, [{"opcode": "modify-qp", "action": "ignore"}])
    faults.set_rules(env.cluster, 0, 0, [])
    _check(env)


@full
@timeout(900)
def test_failing_probe(env):
    """Whatever probe asks the kernel for and does not get, it undoes what it did, and the next one succeeds."""
    counts = _fail_nth(env, "probe")
    assert counts["probe"]["reported"] > 30, counts


@full
@timeout(900)
def test_failing_verbs(env):
    """The same with objects: an error, and nothing left behind, be it in the driver or in the device."""
    counts = _fail_nth(env, "verbs")
    assert len(counts) > 8 and all(count["reported"] for count in counts.values()), counts


def _fail_nth(env, what):
    """Run that part of fail_nth.py on a machine of its own, where everything works afterwards; return its counts."""
    few = env.up("few", **FEW)
    few.put(0, FAIL_NTH, "/tmp/fail_nth.py")
    said = env.exec(0, ["python3", "-B", "/tmp/fail_nth.py", what], on=few, limit=700).stdout
    env.say(str(perftest.run(few, Test("ib_send_bw", "SRD", 4096, 200), 0, 0, limit=100)))
    _check(env, few)
    return {count["operation"]: count for count in map(json.loads, said.splitlines())}


def _check(env, on=None):
    """Nothing is lost, and nobody complains, on any node."""
    on = on or env.cluster
    for node in on.config.local:
        found = env.exec(node, SCAN, on=on, limit=120).stdout
        lost = [each for each in re.split(r"^(?=unreferenced)", found, flags=re.M) if each]
        assert all(re.search(OF_A_PROCESS, each) for each in lost), found
        our_driver.check_log(env, COMPLAINTS, node, on)
