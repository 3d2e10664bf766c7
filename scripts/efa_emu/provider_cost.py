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
from .conformance import software, table_line, table_words
from .perftest import Test

WHOSE = ("stock", "ours")

PROGRAM = TREE / "guest/suites/verbs-cost.c"
IN_GUEST = "/tmp/verbs-cost"
COUNTING = {"n": 1, "generation": 3, "provider": "efa-emu", "qemu_args": ("-icount", "shift=0,sleep=off")}
"""Such a cluster's machine counts instructions. Asleep it would stop for good, so its clock jumps; the host is busy."""

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
DOCUMENT = TREE / "docs/provider-cost.md"
BEGIN = """\
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by: scripts/efa-cluster bench --provider --write docs/provider-cost.md -->
# What verbs cost

Our libibverbs provider ([provider.md](provider.md)) and rdma-core's own, compiled with the same flags, in the same
machines.

"""
INSTRUCTIONS = """
## Instructions

What the process executes from calling the verb to its return, libibverbs and libc included; with `ibv_wr`, from
`ibv_wr_start()` to the return of `ibv_wr_complete()`. QEMU counts them, the same in every run and on every host, and
the guest tests compare. "One thread" asks for a thread domain and single-threaded completion queues, and does without
if refused; "events" are completion queues with a channel.

"""
SPEED = """
## Speed

{machine}.

perftest between two nodes, SRD, medians; the ratio of each round lies in the range given. Who else uses the host shows
in every figure, so tests do not compare these. "Slower" would be a ratio below {least} with more rounds below it than
chance allows ({chance:.0f} %, sign test), "undecided" one below it that chance may have made.

"""
RULE = f"slower: below {LEAST}, and so are more rounds than by chance ({CHANCE * 100:.0f} %, sign test)"


def run(args):
    """Measure, print, and write what --json and --write ask for; return the exit status."""
    name = f"bench-{os.getpid()}"
    with ui.step("counting instructions"), Cluster.up(name, suite=args.suite, **COUNTING) as cluster:
        instructions, what = count(cluster), software(cluster, 0)
    with ui.step("booting two virtual machines"):
        cluster = Cluster.up(name, suite=args.suite, **RACING)
    with cluster:
        results = {"instructions": instructions, "speed": race(cluster, args.rounds), "software": what,
                   "machine": bench.machine(cluster)}
    for line in (*show_instructions(instructions), "", *show_speed(results["speed"])):
        ui.say(line)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    if args.write:
        args.write.write_text(render(results), encoding="utf-8")
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
        yield (f"  {RACES[name].title:25} {found['stock']['median']:8.1f} {found['ours']['median']:8.1f} "
               f"{found['ratio']:6.2f}  {_span(found)}  {found['verdict']}")
    yield RULE


def _span(found):
    return f"{min(found['ratios']):.2f} to {max(found['ratios']):.2f}"


def _compare(subject, rounds):
    import statistics
    found = {whose: bench.summary(subject, [sample for taken in rounds for sample in taken[whose]]) for whose in WHOSE}
    ratio = bench.ratio(subject, found["ours"]["median"], found["stock"]["median"])
    ratios = [bench.ratio(subject, *(statistics.mean(sample.median for sample in taken[whose])
                                     for whose in ("ours", "stock"))) for taken in rounds]
    return {**found, "ratio": ratio, "ratios": ratios, "verdict": judge(ratio, ratios)}


# ---- the document ----

def render(results):
    """The document that shows these results."""
    machine, head = results["machine"], table_line("", *WHOSE, "ours / stock")
    about = f"Host: {machine['cpu']}, {machine['cpus']} CPUs, {machine['accel'].upper()}"
    lines = [head, "|---|---|---|---|"]
    lines += [table_line(row, *[str(cost[whose]) for whose in WHOSE], f"{cost['ours'] / cost['stock']:.2f}")
              for row, cost in results["instructions"].items()]
    lines += [SPEED.format(machine=about, least=LEAST, chance=CHANCE * 100).rstrip("\n"), "",
              table_line("", *WHOSE, "ratio", "of rounds", ""), "|---|---|---|---|---|---|"]
    lines += [table_line(RACES[name].title, *[f"{found[whose]['median']:.1f}" for whose in WHOSE],
                         f"{found['ratio']:.2f}", _span(found), found["verdict"])
              for name, found in results["speed"].items()]
    return "\n".join([f"{BEGIN}{results['software']}\n{INSTRUCTIONS.rstrip()}\n", *lines, ""])


def parse(text):
    """The instructions that a document shows."""
    lines = text.partition(INSTRUCTIONS)[2].partition("\n\n")[0].splitlines()[2:]
    return {row: dict(zip(WHOSE, map(int, costs))) for row, *costs, _ in map(table_words, lines)}
