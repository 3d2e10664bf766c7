# SPDX-License-Identifier: GPL-2.0-or-later
"""libfabric's efa provider, as Debian ships it: both of its fabrics, both kinds of endpoints, over the network and not."""

import re

from counters import moved
from efa_emu.testing import full, timeout
from libfabric import ALL_SIZES, pingpong

CLUSTER = {"n": 2}
MIB = 1 << 20
ITERATIONS = 10
NO_RDMA = "FI_EFA_USE_DEVICE_RDMA=0"
NO_SHM = "FI_EFA_ENABLE_SHM_TRANSFER=0"


def test_endpoints(env):
    """fi_info finds reliable datagrams of both fabrics, and plain ones."""
    said = env.exec(0, "fi_info -p efa").stdout
    found = re.findall(r"fabric: (\S+)\s+domain: (\S+)\s+version: \S+\s+type: (\S+)\s+protocol: FI_PROTO_EFA", said)
    assert found == [("efa-direct", "efa_0-rdm", "FI_EP_RDM"), ("efa", "efa_0-rdm", "FI_EP_RDM"),
                     ("efa", "efa_0-dgrm", "FI_EP_DGRAM")], said


def test_rdm(env):
    """Reliable datagrams up to 1 MiB, which libfabric makes of sends and, from where that pays on, RDMA reads."""
    for size in (64, 16384):
        pingpong(env, "rdm", size, fabric="efa")
    with moved(env, 0) as counters:
        pingpong(env, "rdm", MIB, ITERATIONS, "efa")
    assert counters["rdma_read_bytes"] >= (ITERATIONS - 1) * MIB, counters  # the first may go before the two know


def test_rdm_without_rdma(env):
    """The same of sends alone."""
    with moved(env, 0) as counters:
        pingpong(env, "rdm", MIB, ITERATIONS, "efa", environment=[NO_RDMA])
    assert counters["rdma_read_bytes"] == counters["rdma_read_resp_bytes"] == 0, counters
    assert min(counters["send_bytes"], counters["recv_bytes"]) >= ITERATIONS * MIB, counters


def test_rdm_tagged(env):
    """Messages that are matched by tags."""
    for size in (64, 65536):
        pingpong(env, "rdm", size, ITERATIONS, "efa", options=["-m", "tagged"])


def test_rdm_direct(env):
    """Reliable datagrams that are SRD messages, one for one."""
    for size in (64, 8192):
        with moved(env, 0) as counters:
            pingpong(env, "rdm", size, fabric="efa-direct")
        assert counters["send_bytes"] >= 50 * size and counters["rdma_read_wrs"] == 0, counters


def test_dgram(env):
    """Datagrams, which run over UD."""
    for size in (64, 8192):
        pingpong(env, "dgram", size)


def test_within_a_node(env):
    """Two endpoints of one node: over shared memory of libfabric's, and over the device's loopback."""
    count = 3
    with moved(env, 0) as counters:
        pingpong(env, "rdm", MIB, count, "efa", client=0)
    assert counters["tx_bytes"] < MIB, counters
    with moved(env, 0) as counters:
        pingpong(env, "rdm", MIB, count, "efa", client=0, environment=[NO_SHM])
    assert min(counters["tx_bytes"], counters["rx_bytes"]) >= 2 * count * MIB, counters
    pingpong(env, "rdm", 4096, ITERATIONS, "efa-direct", client=0)
    pingpong(env, "dgram", 4096, ITERATIONS, client=0)


@full
@timeout(400)
def test_all_sizes(env):
    """All sizes up to 6 MiB, or to what fits in a packet."""
    pingpong(env, "rdm", ALL_SIZES, ITERATIONS, "efa", limit=150)
    pingpong(env, "rdm", ALL_SIZES, ITERATIONS, "efa", options=["-m", "tagged"], environment=[NO_RDMA], limit=150)
    pingpong(env, "rdm", ALL_SIZES, ITERATIONS, "efa-direct")
    pingpong(env, "dgram", ALL_SIZES, ITERATIONS)


@full
@timeout(400)
def test_other_generations(env):
    """Reliable datagrams between devices without RDMA, with reads only, and with all there is."""
    for generation in (0, 1, 3):
        cluster = env.up(f"g{generation}", n=2, generation=generation)
        for fabric, size in (("efa", 64), ("efa", MIB), ("efa-direct", 4096)):
            pingpong(env, "rdm", size, ITERATIONS, fabric, on=cluster)
        pingpong(env, "dgram", 4096, on=cluster)
        cluster.down()
