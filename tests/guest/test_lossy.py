# SPDX-License-Identifier: GPL-2.0-or-later
"""The real stack over a bad network: what uses SRD does not notice."""

import contextlib

import rdma_core
from efa_emu import impair, perftest
from efa_emu.perftest import NO_PEAK, Test
from efa_emu.testing import full, timeout
from libfabric import pingpong

CLUSTER = {"n": 2, "impair": "loss=5%,duplicate=2%,reorder=25%"}


@timeout(400)  # much of it is one message at a time: each loss is waited for
def test_rdma_core(env):
    """rdma-core's own SRD tests, over loopback, which is impaired as well."""
    with _lossy(env, 0):
        verdicts = rdma_core.run(env, "test_efa_srd", limit=360)
    rdma_core.check_documented(verdicts, env.cluster.config.generation)


def test_send(env):
    """perftest's sends, of one and of many queue pairs, in both directions, with events."""
    _run(env, Test("ib_send_lat", "SRD", 64, 300), Test("ib_send_bw", "SRD", 4096, 1000),
         Test("ib_send_bw", "SRD", 2048, 300, ("-b", "-e")),
         Test("ib_send_bw", "SRD", 1024, 100, ("-q", "16", NO_PEAK)))


def test_rdma(env):
    """perftest's RDMA, in messages of many packets."""
    _run(env, Test("ib_write_bw", "SRD", 65536, 200), Test("ib_read_bw", "SRD", 65536, 200),
         Test("ib_write_lat", "SRD", 64, 200), Test("ib_read_lat", "SRD", 64, 200),
         Test("ib_write_bw", "SRD", 65536, 100, ("--write_with_imm",)))


def test_libfabric(env):
    """libfabric's reliable datagrams, small and as large as one message."""
    with _lossy(env, 0, 1):
        pingpong(env, "rdm")
        pingpong(env, "rdm", 4096, 100)


@full
@timeout(900)
def test_all_sizes(env):
    """perftest with every size."""
    _run(env, *[Test(tool, "SRD", None, 50) for tool in ("ib_send_bw", "ib_write_bw", "ib_read_bw", "ib_send_lat")])


def _run(env, *tests):
    with _lossy(env, 0, 1):
        for test in tests:
            for row in perftest.run(env.cluster, test, limit=120):
                env.say(f"{test}: {row}")


@contextlib.contextmanager
def _lossy(env, *nodes):
    """Of what these nodes send meanwhile some must be lost, doubled and reordered: else a test would prove nothing."""
    before = [impair.stats(env.cluster, node) for node in nodes]
    yield
    after = [impair.stats(env.cluster, node) for node in nodes]
    struck = {what: sum(now[what] - old[what] for old, now in zip(before, after))
              for what in ("lost", "duplicated", "reordered")}
    env.say(f"packets: {struck}")
    assert min(struck.values()) > 0, struck
