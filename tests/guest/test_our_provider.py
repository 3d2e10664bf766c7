# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own libibverbs provider in place of rdma-core's, on the stock driver and on ours."""

import re
import tempfile
from pathlib import Path

import libfabric
import rdma_core
from efa_emu import perftest, provider, ui
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2, "provider": "efa-emu", "generation": 3}
TESTS = (Test("ib_send_lat", "SRD", 64), Test("ib_send_bw", "UD", 1024, 2000), Test("ib_send_bw", "SRD", 8, 2000),
         Test("ib_send_bw", "SRD", 4096, 2000, ("-e",)), Test("ib_write_bw", "SRD", 65536, 500),
         Test("ib_write_bw", "SRD", 65536, 500, ("--write_with_imm",)), Test("ib_read_bw", "SRD", 65536, 500))
SHOW = "ibv_devinfo -v | grep -v guid; ibv_devinfo -l"


def test_used(env):
    """It is ours that is in use; without it, what was there before is there again, and nothing looks different."""
    ours = env.exec(0, f"stat -Lc %d:%i {provider.REPLACED} {provider.IN_GUEST}").stdout.split()
    assert ours[0] == ours[1], ours
    shown = env.exec(0, SHOW).stdout
    assert "PORT_ACTIVE" in shown, shown
    with provider.stock(env.cluster, 0):
        stock = env.exec(0, f"stat -Lc %d:%i {provider.REPLACED}").stdout.split()
        assert stock[0] != ours[0], stock
        assert env.exec(0, SHOW).stdout == shown


def test_symbols(env):
    """It offers the functions of rdma-core's, each of the same version, and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        files = {"ours": provider.IN_GUEST, "stock": "/tmp/libefa-stock.so"}
        with provider.stock(env.cluster, 0):
            env.exec(0, f"cp {provider.REPLACED} {files['stock']}")
        symbols = {}
        for whose, path in files.items():
            env.cluster.get(0, path, Path(directory, whose))
            shown = ui.output(["readelf", "--dyn-syms", "--wide", Path(directory, whose)])
            symbols[whose] = set(re.findall(r" (?:GLOBAL|WEAK) +DEFAULT +(?!UND)\S+ (\S+@@\S+)", shown))
    assert symbols["ours"] == symbols["stock"] and len(symbols["ours"]) >= 7, symbols


def test_conformance(env):
    """rdma-core's own tests of EFA devices, and of what they share with others, end as with its own provider."""
    _conformance(env)


def test_both_ours(env):
    """Our provider on our driver."""
    cluster = env.up("both", **{**CLUSTER, "driver": "efa-emu"})
    _conformance(env, on=cluster)
    for test in TESTS[:4]:
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(cluster, test, limit=60)}")


def _conformance(env, **where):
    verdicts = rdma_core.run(env, "test_efa_srd", "test_efadv", "test_cq_events", "test_mr", "test_pd", "test_addr",
                             "test_cq", "test_qp", "test_qpex", generation=3, **where)
    rdma_core.check_documented(verdicts, 3)


@full
@timeout(400)
def test_conformance_whole(env):
    """All of rdma-core's tests."""
    rdma_core.check_documented(rdma_core.run(env, generation=3), 3)


def test_perftest(env):
    """Sends, RDMA, immediate data and events between two nodes."""
    for test in TESTS:
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(env.cluster, test, limit=60)}")


def test_libfabric(env):
    """Messages over libfabric."""
    for endpoint in ("rdm", "dgram"):
        libfabric.pingpong(env, endpoint)


def test_sub_cqs(env):
    """Completion queues of two rings, as the first generation has them; it does not wait for a buffer, so all are
    there from the beginning."""
    cluster = env.up("sub", **{**CLUSTER, "generation": 0, "device": "sub-cqs-per-cq=2"})
    rdma_core.run(env, "test_efa_srd", "test_efadv", generation=0, on=cluster)
    env.say(str(perftest.run(cluster, Test("ib_send_bw", "SRD", 4096, 2000, ("-r", "2000")), limit=60)))


def test_batches(env):
    """A device that takes few work requests at a time, and never a whole queue."""
    cluster = env.up("few", **{**CLUSTER, "device": "max-tx-batch=3,min-sq-depth=16"})
    rdma_core.run(env, "test_efa_srd", generation=3, on=cluster)
    env.say(str(perftest.run(cluster, Test("ib_send_bw", "SRD", 64, 5000), limit=60)))


@full
@timeout(400)
def test_sid(env):
    """The rdma-core that is being developed, with what its efadv has more, and libfabric, which writes WQEs itself."""
    cluster = env.up("sid", **{**CLUSTER, "suite": "sid"})
    rdma_core.run(env, "test_efa_srd", "test_efadv", "test_cq_events", "test_qpex", generation=3, on=cluster)
    env.say(str(perftest.run(cluster, TESTS[3], limit=60)))
