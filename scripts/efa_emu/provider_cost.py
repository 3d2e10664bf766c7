# SPDX-License-Identifier: GPL-2.0-or-later
"""
efa-cluster bench --provider: our libibverbs provider against rdma-core's, in the same machines.

Instructions are counted, not sampled: QEMU's clock advances by one for each, and so does the guest's TSC, which
guest/suites/verbs-cost.c reads. They are the same in every run.
"""

import os

from . import TREE, provider, ui
from .cluster import Cluster

PROGRAM = TREE / "guest/suites/verbs-cost.c"
IN_GUEST = "/tmp/verbs-cost"
COUNTING = {"n": 1, "generation": 3, "provider": "efa-emu", "qemu_args": ("-icount", "shift=0,sleep=off")}
"""Such a cluster's machine counts instructions. Asleep it would stop altogether; so its clock jumps instead."""

WHOSE = ("stock", "ours")


def count(cluster):
    """Instructions that verbs cost with either provider, in a cluster of COUNTING: {row: {whose: instructions}}."""
    cluster.put(0, provider.build_program(cluster.config.suite, PROGRAM), IN_GUEST)
    with provider.stock(cluster, 0):
        theirs = _count(cluster)
    ours = _count(cluster)
    return {row: dict(zip(WHOSE, (cost, ours[row]))) for row, cost in theirs.items()}


def not_lower(instructions):
    """The rows in which ours takes more instructions than stock."""
    return {row: cost for row, cost in instructions.items() if cost["ours"] > cost["stock"]}


def run(args):
    """Measure and print; return the exit status."""
    with ui.step("counting instructions"), Cluster.up(f"bench-{os.getpid()}", suite=args.suite, **COUNTING) as cluster:
        instructions = count(cluster)
    for line in show(instructions):
        ui.say(line)
    return 0


def show(instructions):
    """The results as lines of a table."""
    yield f"{'instructions of':36} {'stock':>9} {'ours':>9} {'ours/stock':>11}"
    for row, cost in instructions.items():
        yield f"  {row:34} {cost['stock']:9} {cost['ours']:9} {cost['ours'] / cost['stock']:11.2f}"


def _count(cluster):
    said = cluster.exec(0, [IN_GUEST]).stdout
    return {row: int(cost) for row, cost in (line.split("\t") for line in said.splitlines())}
