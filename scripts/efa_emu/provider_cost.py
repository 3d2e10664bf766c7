# SPDX-License-Identifier: GPL-2.0-or-later
"""
efa-cluster bench --provider: our libibverbs provider against rdma-core's, in the same machines.

Instructions are counted, not sampled: QEMU's clock advances by one for each, and so does the guest's TSC, which
guest/suites/verbs-cost.c reads. They are the same in every run. How fast perftest is between two nodes is another
matter: there, the two take turns.
"""

import contextlib
import json
import os

from . import TREE, bench, perftest, provider, ui
from .bench import Subject
from .cluster import Cluster
from .perftest import Test

WHOSE = ("stock", "ours")

PROGRAM = TREE / "guest/suites/verbs-cost.c"
IN_GUEST = "/tmp/verbs-cost"
COUNTING = {"n": 1, "generation": 3, "provider": "efa-emu", "qemu_args": ("-icount", "shift=0,sleep=off")}
"""Such a cluster's machine counts instructions. Asleep it would stop altogether; so its clock jumps, which keeps the host busy."""

RACING = {"n": 2, "generation": 3, "provider": "efa-emu"}
RACES = {
    "send_lat_64": Subject("ib_send_lat 64 B, us", Test("ib_send_lat", "SRD", 64, 10000), 64),
    "send_bw_4k": Subject("ib_send_bw 4 KiB, MiB/s", Test("ib_send_bw", "SRD", 4096, 100000, bench.DEEP), 4096),
    "write_bw_64k": Subject("ib_write_bw 64 KiB, MiB/s", Test("ib_write_bw", "SRD", 65536, 20000, (perftest.NO_PEAK,)),
                            65536),
}
TURNS = ("stock", "ours", "ours", "stock")  # of a round: neither is always first
UNCOMPARED = "req_notify"  # ours takes the CQ's lock for it, so that no older index overtakes a newer one
LEAST = 0.98
CHANCE = 0.05
NOT_SLOWER, UNDECIDED, SLOWER = "not slower", "undecided", "slower"
RULE = f"slower: below {LEAST}, and so are more rounds than by chance ({CHANCE * 100:.0f} %, sign test)"


def run(args):
    """Measure, print, and write what --json asks for; return the exit status."""
    name = f"bench-{os.getpid()}"
    with ui.step("counting instructions"), Cluster.up(name, suite=args.suite, **COUNTING) as cluster:
        instructions = count(cluster)
    with ui.step("booting two virtual machines"):
        cluster = Cluster.up(name, suite=args.suite, **RACING)
    with cluster:
        results = {"instructions": instructions, "speed": race(cluster, args.rounds), "machine": bench.machine(cluster)}
    for line in (*show_instructions(instructions), "", *show_speed(results["speed"])):
        ui.say(line)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


@contextlib.contextmanager
def using(cluster, whose):
    """Programs that begin meanwhile, on any node of a cluster that has our provider, have it or rdma-core's."""
    with contextlib.ExitStack() as stack:
        for index in cluster.config.local if whose == "stock" else ():
            stack.enter_context(provider.stock(cluster, index))
        yield


# ---- instructions ----

def count(cluster):
    """Instructions that verbs cost with either provider, in a cluster of COUNTING: {row: {whose: instructions}}."""
    cluster.put(0, provider.build_program(cluster.config.suite, PROGRAM), IN_GUEST)
    costs = {}
    for whose in WHOSE:
        with using(cluster, whose):
            said = cluster.exec(0, [IN_GUEST]).stdout
        for row, cost in (line.split("\t") for line in said.splitlines()):
            costs.setdefault(row, {})[whose] = int(cost)
    return costs


def not_lower(instructions):
    """The rows of posts and polls in which ours does not take fewer instructions than stock."""
    return {row: cost for row, cost in instructions.items() if cost["ours"] >= cost["stock"] and UNCOMPARED not in row}


def show_instructions(instructions):
    """The results as lines of a table."""
    yield f"{'instructions of':36} {'stock':>9} {'ours':>9} {'ours/stock':>11}"
    for row, cost in instructions.items():
        yield f"  {row:34} {cost['stock']:9} {cost['ours']:9} {cost['ours'] / cost['stock']:11.2f}"


# ---- speed ----

def race(cluster, rounds):
    """How fast perftest is with either provider in a cluster of RACING; the two take turns."""
    samples = {name: [{whose: [] for whose in WHOSE} for _ in range(rounds)] for name in RACES}
    for number in range(rounds):
        with ui.step(f"round {number + 1} of {rounds}"):
            for name, subject in RACES.items():
                for whose in TURNS:
                    with using(cluster, whose):
                        samples[name][number][whose].append(bench.sample(cluster, subject))
    return {name: _compare(RACES[name], taken) for name, taken in samples.items()}


def judge(ratio, rounds):
    """What the ratio of the medians, and the ratios of the rounds, say; more than 1 is for us."""
    import math
    if ratio >= LEAST:
        return NOT_SLOWER
    # if both were alike but for LEAST, a round would fall on either side as a coin does
    good = sum(each >= LEAST for each in rounds)
    chance = sum(math.comb(len(rounds), heads) for heads in range(good + 1)) / 2 ** len(rounds)
    return SLOWER if chance <= CHANCE else UNDECIDED


def show_speed(speed):
    """The results as lines of a table, and what its verdict means."""
    yield f"{'perftest, SRD':27} {'stock':>8} {'ours':>8} {'ratio':>6}  {'of rounds':12}"
    for name, found in speed.items():
        low, high = min(found["ratios"]), max(found["ratios"])
        yield (f"  {RACES[name].title:25} {found['stock']['median']:8.1f} {found['ours']['median']:8.1f} "
               f"{found['ratio']:6.2f}  {low:.2f} to {high:.2f}  {found['verdict']}")
    yield RULE


def _compare(subject, rounds):
    import statistics
    found = {whose: bench.summary(subject, [sample for taken in rounds for sample in taken[whose]]) for whose in WHOSE}
    ratio = bench.ratio(subject, found["ours"]["median"], found["stock"]["median"])
    ratios = [bench.ratio(subject, *(statistics.mean(sample.median for sample in taken[whose])
                                     for whose in ("ours", "stock"))) for taken in rounds]
    return {**found, "ratio": ratio, "ratios": ratios, "verdict": judge(ratio, ratios)}
