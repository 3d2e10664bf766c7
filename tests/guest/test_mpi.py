# SPDX-License-Identifier: GPL-2.0-or-later
"""Open MPI, as Debian ships it, over libfabric's efa provider: the image layer mpi."""

import json
from pathlib import Path

from efa_emu.testing import full, timeout

NODES = 4
CLUSTER = {"n": NODES, "layers": ("mpi",)}
PROGRAM = Path(__file__).with_name("mpi_rank.py")
# Debian's configuration switches libfabric off. With these there is nothing else that could carry the data.
OVER_EFA = ["--mca", "pml", "cm", "--mca", "mtl", "ofi", "--mca", "mtl_ofi_provider_include", "efa"]
SIZES = [8, 1024, 65536, 1 << 20]
ROUNDS = 2
ETHERNET_BYTES = 256 << 10  # what the launcher may say meanwhile


@full
@timeout(400)
def test_collectives(env):
    """All-reduce and all-to-all among four nodes: every result is right, and the EFA devices have carried it all."""
    _run(env)


@full
@timeout(400)
def test_without_registration_cache(env):
    """The same, with all data copied to buffers of libfabric's."""
    _run(env, "-x", "FI_EFA_MR_CACHE_ENABLE=0")


def _run(env, *options):
    for node in range(NODES):
        env.cluster.put(node, PROGRAM, "/tmp/mpi_rank.py")
    hosts = ",".join(f"node{node}" for node in range(NODES))
    said = env.exec(0, ["mpirun", "--allow-run-as-root", "-n", str(NODES), "--host", hosts, *OVER_EFA, *options,
                        "python3", "-B", "/tmp/mpi_rank.py", str(ROUNDS), *map(str, SIZES)], limit=300).stdout
    ranks = json.loads(said)
    assert [rank["node"] for rank in ranks] == hosts.split(","), ranks
    # An all-to-all sends each other rank a block; an all-reduce cannot do with less than one from each.
    least = ROUNDS * sum(SIZES) * NODES
    for rank in ranks:
        assert not rank["wrong"], rank
        assert min(rank["efa_tx"], rank["efa_rx"]) >= least, (least, rank)
        assert max(rank["eth_tx"], rank["eth_rx"]) < ETHERNET_BYTES, rank
