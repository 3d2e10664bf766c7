# SPDX-License-Identifier: GPL-2.0-or-later
"""
One rank of an MPI program, in a node: collective operations whose results are verified, element by element.

Arguments: how often, then sizes in bytes. Rank 0 prints JSON, a list with an entry for each rank: {"node", "wrong", and
by how much counters of its EFA device and of its Ethernet interface have moved meanwhile}.

Buffers are kept to the end. Debian's Open MPI and libfabric do not notice that malloc gives memory back to the kernel
(brk), and would send from pages that were registered for others.
"""

import array
import functools
import json
import platform
import sys
from pathlib import Path

from mpi4py import MPI

COUNTERS = {"efa_tx": "infiniband/efa_0/ports/1/hw_counters/tx_bytes",
            "efa_rx": "infiniband/efa_0/ports/1/hw_counters/rx_bytes",
            "eth_tx": "net/eth0/statistics/tx_bytes", "eth_rx": "net/eth0/statistics/rx_bytes"}
STEP = 1000003
WORLD = MPI.COMM_WORLD
RANK, RANKS = WORLD.Get_rank(), WORLD.Get_size()


def allreduce(count, number):
    """Sum a vector, another in each round, over all ranks; return what is wrong with the result."""
    mine, total = _buffer("mine", count), _buffer("total", count)
    mine[:] = array.array("q", range(RANK * STEP + number, RANK * STEP + number + count))
    WORLD.Allreduce([mine, MPI.INT64_T], [total, MPI.INT64_T], op=MPI.SUM)
    first = STEP * RANKS * (RANKS - 1) // 2 + RANKS * number
    return _differences(total, array.array("q", range(first, first + RANKS * count, RANKS)))


def alltoall(count, number):
    """Send each rank a block, another in each round; return what is wrong with those that came."""
    mine, got = _buffer("to all", count * RANKS), _buffer("from all", count * RANKS)
    expected = array.array("q")
    for other in range(RANKS):
        mine[other * count:(other + 1) * count] = _block(RANK, other, count, number)
        expected.extend(_block(other, RANK, count, number))
    WORLD.Alltoall([mine, count, MPI.INT64_T], [got, count, MPI.INT64_T])
    return _differences(got, expected)


def main(rounds, *sizes):
    """Run all of it; rank 0 prints what has become of it."""
    WORLD.Barrier()
    before = _counters()
    wrong = [f"{operation.__name__} of {size} bytes, round {number}: {difference}" for number in range(rounds)
             for size in sizes for operation in (allreduce, alltoall) for difference in operation(size // 8, number)]
    WORLD.Barrier()
    moved = {name: value - before[name] for name, value in _counters().items()}
    results = WORLD.gather({"node": platform.node(), "wrong": wrong, **moved})
    if RANK == 0:
        print(json.dumps(results))


@functools.lru_cache(maxsize=None)
def _buffer(_purpose, count):
    return array.array("q", bytes(8 * count))


def _block(source, target, count, number):
    first = (source * RANKS + target) * STEP + number
    return array.array("q", range(first, first + count))


def _differences(got, expected):
    if got == expected:
        return []
    wrong = [index for index in range(len(got)) if got[index] != expected[index]]
    return [f"{len(wrong)} elements, {wrong[0]} to {wrong[-1]}; "
            f"the first is {got[wrong[0]]} instead of {expected[wrong[0]]}"]


def _counters():
    return {name: int(Path("/sys/class", path).read_text(encoding="ascii")) for name, path in COUNTERS.items()}


main(*map(int, sys.argv[1:]))
