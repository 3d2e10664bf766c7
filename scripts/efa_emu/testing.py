# SPDX-License-Identifier: GPL-2.0-or-later
"""
The test runner behind scripts/test: finds the tests of three tiers, runs them, prints a line for each.

native  programs of the native build, meson suite 'native'; then the fuzzing programs, for a while
qemu    the same, meson suite 'qemu': they start the QEMU we built, without a guest (qtest)
guest   functions test_*(env) in tests/guest/test_*.py, run against virtual machines

A program whose meson test has the protocol 'tap' is a GLib test program, and each of its cases is a test.
A guest module shares one cluster among its tests; it may set CLUSTER = {"n": 2, ...}, the arguments of Cluster.up.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import importlib.util
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from . import TREE, apt, chroot, cluster, fuzz, guest, native, qemu, runtime, ui

TIERS = ("native", "qemu", "guest")
GUEST_TESTS = TREE / "tests/guest"
LOGS = native.BUILD_DIR / "test-logs"
GUEST_TIMEOUT_SECONDS = 180
FUZZ_SECONDS = 8  # of each target
FUZZ_SECONDS_FULL = 60
FUZZ_AT_ONCE = 2
CLUSTER_NAME_MAX = 32
TAIL_LINES = 25


class Skip(Exception):
    """Raised by a guest test that cannot run here; the argument says why."""


class TestTimeout(Exception):
    """A guest test took longer than it may."""


def full(function):
    """Mark a guest test that runs only with --full."""
    function.full = True
    return function


def timeout(seconds):
    """Give a guest test this many seconds, its cluster's start not included."""
    def mark(function):
        function.timeout = seconds
        return function
    return mark


@dataclasses.dataclass
class Outcome:
    """How a test ended: status is PASS, FAIL or SKIP; detail is the reason, or a failed test's last output."""
    status: str
    seconds: float
    detail: str = ""


class Report:
    """Prints each outcome as it comes, and counts."""

    def __init__(self):
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}

    def add(self, name, outcome):
        self.counts[outcome.status] += 1
        reason = f"  ({outcome.detail})" if outcome.status == "SKIP" and outcome.detail else ""
        ui.say(f"{outcome.status}  {outcome.seconds:7.2f} s  {name}{reason}")
        if outcome.status == "FAIL":
            for line in outcome.detail.splitlines()[-TAIL_LINES:]:
                ui.say(f"      | {line}")

    def summary(self):
        return "{PASS} passed, {FAIL} failed, {SKIP} skipped".format(**self.counts)

    def good(self):
        return self.counts["FAIL"] == 0 and self.counts["PASS"] > 0


class Program:
    """A meson test: a GLib test program with many cases, or one program that is one case."""

    def __init__(self, tier, entry):
        self.tier, self.name = tier, entry["name"]
        self.cmd, self.cwd = entry["cmd"], entry.get("workdir") or native.BUILD_DIR
        self.env = {**os.environ, **entry.get("env", {}), "QTEST_QEMU_BINARY": "qemu-system-x86_64"}
        self.silence = entry.get("timeout") or 30
        self.is_glib = entry.get("protocol") == "tap"
        self.full = "full" in _suites(entry)
        self.log = LOGS / tier / f"{self.name}.log"

    def cases(self):
        """{test name: what to pass to the program with -p}"""
        if not self.is_glib:
            return {f"{self.tier}/{self.name}": None}
        listed = ui.output([*self.cmd, "-l"], cwd=self.cwd, env=self.env)
        # GLib of Debian 13 lists them as comments
        return {f"{self.tier}/{self.name}/{path.removeprefix(f'/{self.name}').lstrip('/')}": path
                for path in re.findall(r"^(?:# )?(/\S*)$", listed, re.M)}

    def run(self, wanted, report):
        """Run the wanted cases, as cases() gave them; begin again behind a case that takes the program down."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            if not self.is_glib:
                self._run_one(*wanted, log, report)
                return
            names = {path: name for name, path in wanted.items()}
            while names:
                self._run_glib(names, log, report)

    def _run_one(self, name, log, report):
        begin = time.monotonic()
        with self._started([], log) as child:
            output = "".join(line + "\n" for line in _lines(child, self.silence, log))
            status = {0: "PASS", 77: "SKIP"}.get(child.wait(), "FAIL")
        report.add(name, Outcome(status, time.monotonic() - begin, output if status == "FAIL" else ""))

    def _run_glib(self, names, log, report):
        """
        Run the cases in names; take those with an outcome out of it: one at least.

        A program that dies may or may not have named the case. If the first of them all gets no outcome, it was that.
        """
        select = [arg for path in names for arg in ("-p", path)]
        count = len(names)
        begin, said = time.monotonic(), []
        with self._started(["--tap", "-k", *select], log) as child:
            for line in _lines(child, self.silence, log):
                said.append(line)
                case = re.match(r"(not )?ok (?:\d+ )?(/\S*)(.*)", line)
                if case and case.group(2) in names:
                    now = time.monotonic()
                    report.add(names.pop(case.group(2)), _tap_outcome(case, now - begin, said))
                    begin, said = now, []
            status = child.wait()
        if len(names) == count:
            first = next(iter(names))
            said.append(f"the program ended here with status {status}")
            report.add(names.pop(first), Outcome("FAIL", time.monotonic() - begin, _without_frame(said)))

    @contextlib.contextmanager
    def _started(self, args, log):
        child = subprocess.Popen([*self.cmd, *args], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        log.write(f"+ {' '.join([*self.cmd, *args])}\n".encode())
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()


def _tap_outcome(case, seconds, said):
    if case.group(1):
        return Outcome("FAIL", seconds, _without_frame(said))
    skip = re.search(r"# (?:SKIP|TODO)\s*(.*)", case.group(3))
    return Outcome("SKIP", seconds, skip.group(1)) if skip else Outcome("PASS", seconds)


def _without_frame(said):
    """A case's output without what GLib prints around every case."""
    frame = re.compile(r"TAP version|1\.\.\d|# (random seed|Start of|End of)")
    return "\n".join(line for line in said if not frame.match(line))


def _lines(child, silence, log):
    """Yield a program's output line by line, with a copy to the log; kill it if it says nothing for too long."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(silence):
                os.killpg(child.pid, signal.SIGKILL)
                yield f"killed: silent for {silence} s"
                return
            data = os.read(child.stdout.fileno(), 65536)
            log.write(data)
            log.flush()
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
            if not data:
                if rest:
                    yield rest.decode(errors="replace")
                return


class FuzzTargets:
    """The fuzzing programs, each for a bounded time from the seeds in the tree."""
    tier, full = "native", False

    def __init__(self, is_full):
        self.seconds = FUZZ_SECONDS_FULL if is_full else FUZZ_SECONDS
        self.logs = LOGS / self.tier

    def cases(self):
        """{test name: target}"""
        return {f"{self.tier}/fuzz-{target}": target for target in fuzz.targets()}

    def run(self, wanted, report):
        """Run the wanted targets, some at once."""
        with ui.step("building the fuzzing programs"):
            fuzz.build()
        self.logs.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(FUZZ_AT_ONCE) as pool:
            names = {pool.submit(self._run_one, target): name for name, target in wanted.items()}
            for done in as_completed(names):
                report.add(names[done], done.result())

    def _run_one(self, target):
        found = fuzz.BUILD_DIR / "tested" / target
        shutil.rmtree(found, ignore_errors=True)
        begin = time.monotonic()
        try:
            command = fuzz.command(target, found, self.seconds, f"{self.logs}/fuzz-{target}-")
            ui.run([*command, "-seed=1"], self.logs / f"fuzz-{target}.log", timeout=self.seconds + 120)
        except ui.Fail as e:
            return Outcome("FAIL", time.monotonic() - begin, str(e))
        return Outcome("PASS", time.monotonic() - begin)


class Env:
    """What a guest test gets: its module's cluster, ways to start more, a log."""

    def __init__(self, module, log, is_full, bad_network=""):
        self.full = is_full
        self._impair = bad_network
        self._module, self._log = module, log
        self._options = dict(getattr(module, "CLUSTER", {}))
        self._cluster, self._broken, self._extra = None, None, []

    @property
    def cluster(self):
        """The cluster that the tests of this module share, started when it is first wanted."""
        if self._broken:
            raise ui.Fail(self._broken)
        if not self._cluster:
            try:
                with ui.step(f"the cluster of {self._module.__name__}"):
                    self._cluster = self._up("", self._options)
            except Exception as e:
                self._broken = f"the module's cluster did not start: {e}"
                raise
        return self._cluster

    def up(self, suffix, **options):
        """Start one more cluster, which ends with the test."""
        self._extra.append(self._up(f"-{suffix}", options))
        return self._extra[-1]

    def exec(self, node, command, on=None, limit=60, check=True):
        """Run a command on a node, note it in the log, and unless check is false insist that it succeeds."""
        self.say(f"node{node}$ {command}")
        result = (on or self.cluster).exec(node, command, timeout=limit, check=False)
        self.say(f"{result.stdout}{result.stderr}[status {result.status}]")
        if check and result.status != 0:
            raise AssertionError(f"'{command}' on node {node} ended with status {result.status}")
        return result

    def say(self, text):
        """Add to the test's log, whose end is shown if it fails."""
        self._log.write(text.rstrip("\n") + "\n")
        self._log.flush()

    def say_last_words(self):
        """Add the end of every node's console and QEMU log to the log."""
        for each in filter(None, [self._cluster, *self._extra]):
            for index in each.config.local:
                self.say(f"{each.node_name(index)}, console:\n{each.console_tail(index)}"
                         f"QEMU:\n{each.qemu_tail(index)}")

    def end_extra(self):
        """End the clusters that one test has started."""
        while self._extra:
            self._extra.pop().down()

    def end(self):
        """End every cluster."""
        self.end_extra()
        if self._cluster:
            shared, self._cluster = self._cluster, None
            shared.down()

    def _up(self, suffix, options):
        name = f"t{os.getpid()}-{_short(self._module.__name__)}"[:CLUSTER_NAME_MAX - len(suffix)] + suffix
        return cluster.Cluster.up(name, **{"impair": self._impair, **options})


class GuestModule:
    """One file of guest tests."""
    tier = "guest"

    def __init__(self, file, is_full, bad_network):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.is_full = is_full
        self.bad_network = bad_network
        self.full = False
        self.log = LOGS / "guest" / f"{file.stem}.log"

    def cases(self):
        """{test name: function}, in the order of the file."""
        functions = [f for name, f in vars(self.module).items() if name.startswith("test_") and callable(f)]
        return {f"guest/{_short(self.module.__name__)}/{_short(f.__name__)}": f for f in functions
                if self.is_full or not getattr(f, "full", False)}

    def run(self, wanted, report):
        """Run the wanted tests; one that fails gets the next a new cluster."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "w+", encoding="utf-8", errors="replace") as log:
            env = Env(self.module, log, self.is_full, self.bad_network)
            try:
                for name, function in wanted.items():
                    outcome = self._run_one(name, function, env, log)
                    report.add(name, outcome)
                    if outcome.status == "FAIL":
                        env.end()
            finally:
                env.end()

    def _run_one(self, name, function, env, log):
        log.write(f"=== {name}\n")
        start = log.tell()
        begin = time.monotonic()
        status, detail = "PASS", ""
        try:
            if "CLUSTER" in vars(self.module):
                env.cluster  # its start has a limit of its own, and is not the test's time
                begin = time.monotonic()
            with _alarm(getattr(function, "timeout", GUEST_TIMEOUT_SECONDS)):
                function(env)
        except Skip as e:
            status, detail = "SKIP", str(e)
        except Exception as e:  # whatever a test raises is its failure, not ours
            status = "FAIL"
            env.say_last_words()
            env.say("".join(traceback.format_exception(type(e), e, e.__traceback__.tb_next, limit=3)))
        finally:
            env.end_extra()
        if status == "FAIL":
            log.seek(start)
            detail = log.read()
        return Outcome(status, time.monotonic() - begin, detail)


@contextlib.contextmanager
def _alarm(seconds):
    def ring(_signum, _frame):
        raise TestTimeout(f"the test took longer than {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _end_orphans():
    """End the clusters of test runs that were killed."""
    for name in runtime.names():
        owner = re.match(r"t(\d+)-", name)
        if owner and not Path("/proc", owner.group(1)).exists():
            ui.note(f"taking down {name}, left behind by a test run that was killed")
            cluster.down(name)


def _short(name):
    return name.removeprefix("test_")


def _suites(entry):
    """Meson prefixes a suite with the project's name."""
    return [suite.split(":")[-1] for suite in entry["suite"]]


def _units(tiers, is_full, bad_network):
    """Everything that holds tests, in the order in which it runs: what is quick to fail comes first."""
    units = []
    if "native" in tiers or "qemu" in tiers:
        with ui.step("the native build"):
            native.build()
        entries = native.tests()
        units += [Program(tier, entry) for tier in ("native", "qemu") if tier in tiers
                  for entry in entries if tier in _suites(entry)]
    if "native" in tiers:
        units.append(FuzzTargets(is_full))
    if "guest" in tiers:
        sys.path.append(str(GUEST_TESTS))  # for what they share
        units += [GuestModule(file, is_full, bad_network) for file in sorted(GUEST_TESTS.glob("test_*.py"))]
    return [unit for unit in units if is_full or not unit.full]


def _wanted(unit, pattern):
    return {name: case for name, case in unit.cases().items()
            if pattern in name or fnmatch.fnmatchcase(name, pattern)}


def _host_packages(tiers):
    packages = set(native.HOST_PACKAGES)
    if "native" in tiers:
        packages.update(fuzz.HOST_PACKAGES)
    if "qemu" in tiers or "guest" in tiers:
        packages.update(qemu.HOST_PACKAGES, qemu.RUN_PACKAGES)
    if "guest" in tiers:
        packages.update(chroot.needed_packages(), cluster.HOST_PACKAGES, guest.HOST_PACKAGES)
        if os.geteuid() == 0:
            packages.add("iproute2")  # two network namespaces stand for two hosts
    return sorted(packages)


def _parse():
    parser = argparse.ArgumentParser(prog="test", description="Set up and run the tests of efa-emu.")
    parser.add_argument("--tier", action="append", choices=TIERS, help="only this tier; may be repeated")
    parser.add_argument("--only", metavar="PATTERN", default="",
                        help="only tests whose name contains PATTERN, or matches it as a file name pattern")
    parser.add_argument("--list", action="store_true", help="print the names of the tests and run none")
    parser.add_argument("--full", action="store_true", help="run the long tests too")
    parser.add_argument("--impair", metavar="WHAT", default="",
                        help="give the guest tests' clusters a bad network, as loss=5%%,duplicate=2%%,reorder=25%%: "
                             "what uses SRD must pass all the same")
    return parser.parse_args()


def main():
    """The program scripts/test; returns its exit status."""
    options = _parse()
    tiers = options.tier or TIERS
    apt.require(_host_packages(tiers), "the tests")
    units = [(unit, _wanted(unit, options.only)) for unit in _units(tiers, options.full, options.impair)]
    if options.list:
        for _, wanted in units:
            for name in wanted:
                ui.say(name)
        return 0
    shutil.rmtree(LOGS, ignore_errors=True)
    _end_orphans()
    report = Report()
    for unit, wanted in units:
        if wanted:
            _run(unit, wanted, report)
    if sum(report.counts.values()) == 0:
        ui.say("no test was found, or none matches --only")
    elif not report.good():
        ui.say(f"the tests' logs are in {LOGS}")
    ui.say(report.summary())
    return 0 if report.good() else 1


def _run(unit, wanted, report):
    if unit.tier == "qemu":
        unit.env["QTEST_QEMU_BINARY"] = str(qemu.binary())
    unit.run(wanted, report)
