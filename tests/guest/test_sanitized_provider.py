# SPDX-License-Identifier: GPL-2.0-or-later
"""Our provider built with sanitizers, which end a program at the first access or arithmetic that is wrong."""

import rdma_core
import verbs_threads
from efa_emu import perftest
from efa_emu.perftest import Test

CLUSTER = {"n": 2, "smp": 2, "mem": 768, "provider": "efa-emu-asan", "generation": 3}
LEAKS = "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=1"


def test_used(env):
    """All programs have the library that looks after memory, and the provider calls it."""
    said = env.exec(0, "LD_DEBUG=bindings ibv_devinfo 2>&1 >/dev/null | grep 'libefa.*libasan'").stdout
    assert "`__asan_init'" in said and "`calloc'" in said, said


def test_conformance(env):
    """All of rdma-core's tests."""
    rdma_core.check_all(env, 3)


def test_perftest(env):
    """Sends and RDMA between two nodes."""
    for test in (Test("ib_send_bw", "SRD", 4096, 2000), Test("ib_send_bw", "UD", 1024, 1000, ("-e",)),
                 Test("ib_write_bw", "SRD", 65536, 200), Test("ib_read_lat", "SRD", 64, 200)):
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(env.cluster, test, limit=60)}")


def test_threads(env):
    """Threads and forks; nothing is left when all objects have been destroyed."""
    verbs_threads.run(env, 1000, settings=LEAKS)


def test_our_driver(env):
    """Threads on our driver, where requests have ids of 64 bits, and rdma-core's tests of EFA."""
    cluster = env.up("ours", **{**CLUSTER, "n": 1, "driver": "efa-emu", "generation": 4})
    verbs_threads.run(env, 500, settings=LEAKS, on=cluster)
    rdma_core.run(env, "test_efa_srd", "test_efadv", generation=4, on=cluster)


def test_watched_threads(env):
    """The same while every request is looked at, and traced; there is nothing to say but of a full queue."""
    said = verbs_threads.run(env, 200, settings=f"{LEAKS} EFA_EMU_STRICT=1 EFA_EMU_TRACE=/tmp/trace")
    lines = said.stderr.splitlines()
    assert all(line.endswith(": the queue has its 32 requests") for line in lines), said.stderr
    lines = int(env.exec(0, "grep -c 'efa_cqe CQ' /tmp/trace").stdout)
    assert lines >= 2 * verbs_threads.SENDERS * 200, lines
