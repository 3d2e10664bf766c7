# SPDX-License-Identifier: GPL-2.0-or-later
"""
The command efa-cluster conformance: rdma-core's own tests, all of them, on EFA devices of every generation.

A test passes, or is skipped for a reason in LACKS, or has failed.

efa-cluster imports this with every command: what only a run takes is imported only there.
"""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from . import TREE, ui
from .cluster import Cluster

PROGRAM = TREE / "guest/suites/rdma-core.py"
DOCUMENT = TREE / "docs/conformance.md"
LIMIT_SECONDS = 300
DOCUMENTED_GENERATIONS = (0, 1, 2, 3)  # those that the document is about
FIND_DEVICE = "cd /sys/class/infiniband && grep -lx 0xefa%d */device/device | cut -d / -f 1"


class Lack(NamedTuple):
    """What an EFA device, up to the generation last, does not have; of the tests named so, reason is what they say."""
    key: str
    what: str
    reason: str
    tests: str = ".*"
    last: int = 99


LACKS = [
    Lack("vendor", "the tests of another vendor's devices", ".*", r"tests\.test_mlx5_.*"),
    Lack("gpu", "needs a GPU", "cuda-python .* must be installed .*|Device /dev/dri/renderD128 is not present"),
    Lack("rc", "no queue pairs of type RC, UC or XRC",
         r"Create QP type \d is not supported|Create [RU]C QP with(out)? (extended )?attrs is not supported|"
         r"Create XRCD is not supported"),
    Lack("rc", "", "Extended QP is not supported on this device", r".*_rc_\w+"),
    Lack("eth", "not an Ethernet device: no raw packets, no flow steering, no RoCE addresses",
         "To Create RAW QP must be done by root on Ethernet link layer|Must be run by root on Ethernet link layer|"
         "Link layer of port=1 is Unspecified , skip RoCE test"),
    Lack("cm", "no network interface, so no RDMA connection manager and no multicast",
         r"Device \w+ doesn't have net interface"),
    Lack("read", "no RDMA read", "Create custom mr with additional access flags 4 is not supported", last=0),
    Lack("write", "no RDMA write", r"Create custom mr with additional access flags 2 is not supported|"
         r"Reg MR with access \(3\) is not supported", last=1),
    Lack("atomic", "no atomic operations",
         r"Atomic operations are not supported|Reg MR with access \(9\) is not supported"),
    Lack("mw", "no memory windows", r"Create memory window of type \d is not supported|"
         "Reg MR with MW access is not supported|Create custom mr with additional access flags 18 is not supported"),
    Lack("flush", "no flush operation", "Create custom mr with additional access flags 258 is not supported"),
    Lack("dm", "no device memory", "Device memory is not supported"),
    Lack("odp", "no on-demand paging", "ODP is not supported - No ODP caps"),
    Lack("pd", "no parent domains", "Parent Domain is not supported on this device"),
    Lack("resize", "completion queues keep their size", "Resize CQ is not supported"),
    Lack("srq", "no shared receive queues", "Create SRQ is not supported"),
    Lack("tm", "no tag matching", "Extended CQ is not supported", r"tests\.test_tag_matching\..*"),
    Lack("gid", "one GID, which is always set: there is no empty one to look at",
         "All gid indices populated, cannot check bad flow"),
]

OUTCOMES = ("passed", "skipped", "failed")
ALL_TESTS = "all"
BEGIN = """\
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by: scripts/efa-cluster conformance --write docs/conformance.md -->
# Conformance

rdma-core's own tests, all of them, on an EFA device of every generation, driven by the stock driver and provider.
A column is a generation, a row a class of tests (or all classes of a file, where none concerns EFA devices).

"""
REASONS = """
Why tests are skipped. A real device shares each of these reasons; a test that is skipped for any other has failed.

| | |
|---|---|
"""


class Table(NamedTuple):
    """Results: software says what ran, rows are {row: {generation: what became of its tests}}."""
    software: str
    rows: dict


class Verdict(NamedTuple):
    """How a test has ended: outcome is passed, skipped or failed; why is a key of LACKS, or says what went wrong."""
    outcome: str
    why: str


# ---- running and judging ----

def run(cluster, index, generation, *names, limit=LIMIT_SECONDS, environment=()):
    """Run the tests of these names, or all, on a node's EFA device of this generation: {test: Verdict}."""
    cluster.put(index, PROGRAM, "/tmp/rdma-core.py")
    device = cluster.exec(index, FIND_DEVICE % generation).stdout.split()[0]
    said = cluster.exec(index, ["env", *environment, "python3", "-B", "/tmp/rdma-core.py", device, *names],
                        timeout=limit).stdout
    return {test: judge(test, outcome, reason, generation) for test, (outcome, reason) in json.loads(said).items()}


def judge(test, outcome, reason, generation):
    """The Verdict on a test that has ended so."""
    if outcome != "skipped":
        return Verdict(outcome, reason)
    key = _lacked(test, reason, generation)
    return Verdict(outcome, key) if key else Verdict("failed", f"skipped for no reason that is known: {reason}")


def _lacked(test, reason, generation=0):
    for lack in LACKS:
        if generation <= lack.last and re.fullmatch(lack.tests, test) and re.fullmatch(lack.reason, reason):
            return lack.key
    return None


def failures(verdicts):
    """{test: what went wrong}"""
    return {test: verdict.why for test, verdict in verdicts.items() if verdict.outcome == "failed"}


def cells(verdicts):
    """{row: what became of its tests, in a few words}"""
    rows = {}
    for test, verdict in verdicts.items():
        rows.setdefault(_row(test), []).append((test, verdict))
    return {row: _cell(ends) for row, ends in rows.items()}


def software(cluster, index):
    """What the tests run on, in words that stay the same over Debian's point releases."""
    release = cluster.exec(index, ["uname", "-r"]).stdout
    version = cluster.exec(index, ["dpkg-query", "-W", "-f", "${source:Upstream-Version}", "rdma-core"]).stdout
    return f"Debian {cluster.config.suite}: Linux {'.'.join(release.split('.')[:2])}, rdma-core {version}."


def _row(test):
    _, module, group, _ = test.split(".")
    return module if LACKS[0].key == _lacked(test, "") else f"{module}.{group}"


def _cell(ends):
    words = []
    for outcome in OUTCOMES:
        these = [(test, verdict.why) for test, verdict in ends if verdict.outcome == outcome]
        whys = {test.rpartition(".")[2] if outcome == "failed" else why for test, why in these} - {""}
        words += [f"{len(these)} {outcome}" + (f" ({', '.join(sorted(whys))})" if whys else "")] if these else []
    return ", ".join(words)


# ---- the document ----

def render(table):
    """The document that shows these results."""
    generations = sorted({generation for row in table.rows.values() for generation in row})
    lines = [table_line("", *[f"{generation} (0xefa{generation})" for generation in generations]),
             "|---" * (len(generations) + 1) + "|"]
    lines += [table_line(row, *[found.get(generation, "") for generation in generations])
              for row, found in table.rows.items()]
    lines.append(table_line(ALL_TESTS, *[_total(table.rows, generation) for generation in generations]))
    shown = {key for line in lines for keys in re.findall(r"skipped \(([^)]*)\)", line) for key in keys.split(", ")}
    reasons = [table_line(lack.key, lack.what) for lack in LACKS if lack.what and lack.key in shown]
    return "\n".join([f"{BEGIN}{table.software}\n", *lines, f"{REASONS}{reasons[0]}", *reasons[1:], ""])


def parse(text):
    """The results that a document shows."""
    said, _, rest = text.removeprefix(BEGIN).partition("\n\n")
    head, _, *lines = rest.partition("\n\n")[0].splitlines()
    generations = [int(word.split()[0]) for word in table_words(head)[1:]]
    return Table(said, {row: dict(zip(generations, found)) for row, *found in map(table_words, lines[:-1])})


def _total(rows, generation):
    counts = {}
    for found in rows.values():
        for count, outcome in re.findall(r"(\d+) (\w+)", found.get(generation, "")):
            counts[outcome] = counts.get(outcome, 0) + int(count)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if outcome in counts)


def table_line(*words):
    """A line of a table in a document."""
    return f"| {' | '.join(words)} |"


def table_words(line):
    """The words in a line of a table."""
    return [word.strip() for word in line.strip("|").split("|")]


# ---- the command ----

def add_parser(commands):
    """Add the command to efa-cluster."""
    text = "run rdma-core's own tests on devices of every generation, and show or write the table of results"
    parser = commands.add_parser("conformance", help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=main)
    parser.add_argument("--suite", default="trixie", help="Debian suite of the guests (default: trixie)")
    parser.add_argument("--generation", type=int, action="append", metavar="G",
                        help="only this one; may be repeated (default: all that the suite's driver binds)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results there, as docs/conformance.md")


def main(args):
    """Run the command; the status is 1 if a test has failed."""
    from . import kernel
    generations = args.generation or kernel.generations(kernel.build(args.suite, "cloud"))
    bad, table = 0, Table("", {})
    for generation in generations:
        name = f"conformance-{os.getpid()}"
        with ui.step(f"generation {generation}"), Cluster.up(name, n=1, suite=args.suite, generation=generation) as up:
            verdicts = run(up, 0, generation)
            table = Table(software(up, 0), table.rows)
        for row, cell in cells(verdicts).items():
            table.rows.setdefault(row, {})[generation] = cell
        for test, why in failures(verdicts).items():
            bad += 1
            ui.say(f"generation {generation}, {test}: {why}")
        ui.say(f"generation {generation}: {_total(table.rows, generation)}")
    if args.write:
        args.write.write_text(render(table), encoding="utf-8")
    else:
        ui.say(render(table))
    return 1 if bad else 0
