# SPDX-License-Identifier: GPL-2.0-or-later
"""
The command efa-cluster matrix: stock kernels and stock user spaces, by twos, on every generation of the device.

Which generations a kernel's driver binds is what that driver says. Where it does, everything that the device and both
suites have must work: that a test was skipped is no success.

efa-cluster imports this with every command: what only a run takes is imported only there.
"""

import contextlib
import fnmatch
import functools
import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from . import cluster, node, perftest, rdma_tests, ui
from .cluster import Cluster
from .perftest import Test

SEND, READ, WRITE, UNSOLICITED = "send", "read", "write", "unsolicited write"
PERFTEST_RDMA = "RDMA by perftest"
OLD_SUITE = "bookworm"  # whose driver, rdma-core and perftest know nothing of RDMA write on EFA
# perftest takes the old ibv_post_send for devices newer than it is itself, and with that EFA has no RDMA.
PERFTEST_KNOWS = {"bookworm": 1, "trixie": 3, "sid": 3}
PASSED, UNBOUND = "passed", "-"
NOT_BUILT, NOT_UP = "setup", "up"
TEST_MODULES = ("test_efa_srd", "test_efadv")
TESTS = {
    SEND: {"test_qp_ex_srd_send", "test_qp_ex_srd_send_imm", "test_qp_ex_srd_old_send", "test_full_rq_bad_flow",
           "test_efadv_query", "test_efadv_query_ah", "test_dv_cq_ex_with_sgid"},
    READ: {"test_qp_ex_srd_rdma_read"},
    WRITE: {"test_qp_ex_srd_rdma_write", "test_qp_ex_srd_rdma_write_with_imm"},
    UNSOLICITED: {"test_qp_ex_srd_rdma_unsolicited_write_with_imm"},
}
NOT_IN_ALL = TESTS[UNSOLICITED]  # the suites' versions of rdma-core
LIMIT_SECONDS = 150
WIDTH = 79


class Pair(NamedTuple):
    """Where the kernel with its driver comes from, and where the user space does."""
    kernel: str
    user: str

    def __str__(self):
        return "+".join(dict.fromkeys(self))


PAIRS = [Pair("bookworm", "bookworm"), Pair("bookworm", "trixie"), Pair("trixie", "bookworm"), Pair("trixie", "trixie"),
         Pair("trixie-backports", "trixie"), Pair("trixie-backports", "sid"), Pair("sid", "sid")]


class Check(NamedTuple):
    """What must work where there are these abilities: run(cluster, abilities, say) raises Fail if it does not."""
    name: str
    needs: set
    run: object


class Cell(NamedTuple):
    """How it went with one generation: PASSED, UNBOUND, or the name of what failed, and why."""
    generation: int
    result: str
    seconds: float = 0
    detail: str = ""


class Row(NamedTuple):
    """How it went with one pair; its versions are empty if it did not get that far."""
    pair: Pair
    kernel: str
    rdma_core: str
    cells: list


def abilities(pair, generation):
    """What these suites can do with a device of this generation."""
    has = {SEND}
    if generation >= 1:
        has.add(READ)
    if generation >= 2 and OLD_SUITE not in pair:
        has.add(WRITE)
    if generation >= 3 and OLD_SUITE not in pair:
        has.add(UNSOLICITED)
    if generation <= PERFTEST_KNOWS[pair.user]:
        has.add(PERFTEST_RDMA)
    return has


def add_parser(commands):
    """Add the command to those of efa-cluster."""
    text = "try stock kernels and user spaces of several Debian suites on every generation of the device"
    parser = commands.add_parser("matrix", help=text, description=text[0].upper() + text[1:] + ".",
                                 epilog=f"The pairs, kernel+user space: {', '.join(map(str, PAIRS))}. What they need "
                                        "is downloaded and built.")
    parser.set_defaults(run=run)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only these pairs, as bookworm or '*+sid'")
    parser.add_argument("--generation", type=_generations, default=sorted(node.GENERATIONS), metavar="G,…",
                        help="only these generations (default: all of them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file too")


def _generations(text):
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ui.Fail(f"--generation {text}: it must be numbers with commas between, as 0,2")
    return sorted({int(word) for word in text.split(",")})


def run(args):
    """Try everything, print the table, and write what --json asks for; return 0 if all has passed."""
    pairs = _chosen(args)
    perftest.check_writable(args.json)
    from . import cache
    log = cache.log(f"matrix-{os.getpid()}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        say = functools.partial(print, file=file, flush=True)
        rows = [_row(pair, args.generation, say) for pair in pairs]
    show(rows)
    if args.json:
        args.json.write_text(json.dumps([_plain(row) for row in rows], indent=1) + "\n")
    if is_good(rows):
        log.unlink()
        return 0
    ui.say(f"the log is {log}" if _results(rows) - {UNBOUND} else "no driver binds any of these generations")
    return 1


def _chosen(args):
    pairs = [pair for pair in PAIRS if fnmatch.fnmatchcase(str(pair), args.only)]
    if not pairs:
        raise ui.Fail(f"--only {args.only}: matches none of {', '.join(map(str, PAIRS))}")
    for generation in args.generation:
        cluster.check(node.Config("matrix", generation=generation))
    return pairs


def _row(pair, generations, say):
    from . import kernel
    config = node.Config(f"matrix-{os.getpid()}", suite=pair.user, kernel_suite=pair.kernel)
    try:
        cluster.prepare(config)
        built = kernel.build(pair.kernel, config.kernel)
    except ui.Fail as e:
        say(f"=== {pair}: {e}")
        ui.note(f"{pair}: {e}")
        return Row(pair, "", "", [Cell(generation, NOT_BUILT, 0, str(e)) for generation in generations])
    bound = kernel.generations(built)
    versions, cells = {}, []
    for generation in generations:
        cells.append(_cell(pair, generation, versions, say) if generation in bound else Cell(generation, UNBOUND))
    return Row(pair, (built / "release").read_text(), versions.get("rdma-core", ""), cells)


def _cell(pair, generation, versions, say):
    """Boot two nodes and try them; learn the versions of their packages."""
    title = f"{pair} on 0xefa{generation}"
    say(f"=== {title}")
    begin = time.monotonic()
    with ui.step(title):
        failed, why = _try(pair, generation, versions, say)
    if failed:
        say(f"{failed} failed: {why}")
        ui.note(f"{title}: {failed} failed: {why.splitlines()[0]}")
    return Cell(generation, failed or PASSED, round(time.monotonic() - begin, 1), why)


def _try(pair, generation, versions, say):
    with contextlib.ExitStack() as stack:
        try:
            nodes = stack.enter_context(Cluster.up(f"matrix-{os.getpid()}", n=2, generation=generation,
                                                   suite=pair.user, kernel_suite=pair.kernel))
            versions.update(_versions(nodes))
        except ui.Fail as e:
            return NOT_UP, str(e)
        failed, why = judge(nodes, abilities(pair, generation), say)
        for index in nodes.config.local if failed else ():
            say(f"{nodes.node_name(index)}, console:\n{nodes.console_tail(index)}QEMU:\n{nodes.qemu_tail(index)}")
        return failed, why


def judge(nodes, has, say):
    """Try all that two nodes with these abilities must be able to do; return what fails first, and why, or "", ""."""
    for check in CHECKS:
        if check.needs <= has:
            say(f"--- {check.name}")
            try:
                check.run(nodes, has, say)
            except ui.Fail as e:
                return check.name, str(e)
    return "", ""


def _versions(nodes):
    said = nodes.exec(0, ["dpkg-query", "-W", "-f", r"${Package} ${Version}\n", "rdma-core"]).stdout
    return dict(line.split() for line in said.splitlines())


def _devinfo(nodes, _has, say):
    for index in nodes.config.local:
        said = nodes.exec(index, ["ibv_devinfo", "-v"]).stdout
        say(said)
        part = re.search(r"vendor_part_id:\s+(\d+)", said)
        if "PORT_ACTIVE" not in said or not part or int(part.group(1)) != 0xefa0 + nodes.config.generation:
            raise ui.Fail(f"{nodes.node_name(index)} has no ACTIVE port of a device 0xefa{nodes.config.generation}")


def _pyverbs(nodes, has, say):
    [device] = perftest.devices(nodes, 0)
    done = nodes.exec(0, rdma_tests.command(device, TEST_MODULES), LIMIT_SECONDS, check=False)
    say(done.stderr)
    check_tests(done.stderr, done.status, has)


def check_tests(said, status, has):
    """Raise Fail unless rdma-core's tests have passed, those of these abilities without being skipped."""
    results = {name.rpartition(".")[2]: result for name, result in rdma_tests.results(said).items()}
    wanted = {test for ability in has for test in TESTS.get(ability, ())}
    bad = {name: result for name, result in results.items()
           if result != "ok" and (name in wanted or not result.startswith("skipped"))}
    bad.update({name: "did not run" for name in wanted - set(results) - NOT_IN_ALL})
    if bad or status != 0:
        raise ui.Fail(f"rdma-core's tests ended with status {status}: "
                      f"{'; '.join(f'{name}: {result}' for name, result in sorted(bad.items()))}")


def _perftest(test, nodes, _has, say):
    say(perftest.run(nodes, test, limit=LIMIT_SECONDS))


def _fi_info(nodes, _has, say):
    said = nodes.exec(0, ["fi_info", "-p", "efa"]).stdout
    say(said)
    absent = [word for word in ("FI_EP_RDM", "FI_EP_DGRAM", "FI_PROTO_EFA") if word not in said]
    if absent:
        raise ui.Fail(f"fi_info does not show {', '.join(absent)}")


CHECKS = [
    Check("devinfo", {SEND}, _devinfo),
    Check("pyverbs", {SEND}, _pyverbs),
    Check("send_bw", {SEND}, functools.partial(_perftest, Test("ib_send_bw", "SRD", 4096, 500))),
    Check("read_bw", {READ, PERFTEST_RDMA}, functools.partial(_perftest, Test("ib_read_bw", "SRD", 65536, 500))),
    Check("write_bw", {WRITE, PERFTEST_RDMA}, functools.partial(_perftest, Test("ib_write_bw", "SRD", 65536, 500))),
    Check("unsol_bw", {UNSOLICITED, PERFTEST_RDMA}, functools.partial(
        _perftest, Test("ib_write_bw", "SRD", 65536, 500, ("--write_with_imm", "--unsolicited_write")))),
    Check("fi_info", {SEND}, _fi_info),
]


def is_good(rows):
    """Whether something has passed, and nothing has failed."""
    results = _results(rows)
    return PASSED in results and results <= {PASSED, UNBOUND}


def _results(rows):
    return {cell.result for row in rows for cell in row.cells}


def show(rows):
    """Print the table."""
    import textwrap

    def line(kernel, user, cells):
        ui.say(f"{kernel:21} {user:13} {' '.join(f'{text:8}' for text in cells)}".rstrip())
    line("kernel", "rdma-core", [f"0xefa{cell.generation}" for cell in rows[0].cells])
    for row in rows:
        line(f"{row.pair.kernel} {_short(row.kernel)}", f"{row.pair.user} {_short(row.rdma_core)}",
             [cell.result for cell in row.cells])
    failures = ", ".join([NOT_BUILT, NOT_UP, *[check.name for check in CHECKS]])
    ui.say(textwrap.fill(f"{UNBOUND}: the driver does not bind that device. Where not all has {PASSED}, what failed "
                         f"first is named, of {failures}.", WIDTH))


def _short(version):
    """6.12.63+deb13-cloud-amd64 is 6.12, and 65.0-1.1 is 65.0."""
    return ".".join(re.findall(r"\d+", version)[:2])


def _plain(row):
    return {"kernel_suite": row.pair.kernel, "suite": row.pair.user, "kernel": row.kernel, "rdma_core": row.rdma_core,
            "generations": [cell._asdict() for cell in row.cells]}
