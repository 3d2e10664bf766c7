# SPDX-License-Identifier: GPL-2.0-or-later
"""
The command efa-cluster bench: SRD of the EFA device against Soft-RoCE and TCP over virtio-net.

Everything runs in the same two machines and takes turns, so that what slows the host down slows all of them down.

efa-cluster imports this with every command: what only a run takes is imported only there.
"""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from . import node, perftest, ui
from .cluster import Cluster
from .perftest import Test

DEFAULT_ROUNDS = 5
DEFAULT_SUITE = node.Config("").suite
LIMIT_SECONDS = 120
KERNEL = "generic"  # cloud kernels have no Soft-RoCE
RXE = "rxe0"
RXE_GID = 1  # its IPv4 address
ADD_RXE = f"modprobe -qa crc32_generic; modprobe rdma_rxe && rdma link add {RXE} type rxe netdev eth0"
DEEP = ("-t", "1024", "-r", "4096", perftest.NO_PEAK)  # queues: both machines' turns on few host CPUs shall not limit
QPERF_PORT = 19765
QPERF_SECONDS = 2
QPERF_UNITS = {"ns": 1e-3, "us": 1, "ms": 1e3, "sec": 1e6, "bytes/sec": 2**-20, "KB/sec": 1e3 / 2**20,
               "MB/sec": 1e6 / 2**20, "GB/sec": 1e9 / 2**20}  # into us and MiB/s


class Sample(NamedTuple):
    """What one run says; p99 is None where the tool does not tell."""
    median: float
    average: float
    p99: float


class Subject(NamedTuple):
    """One thing that is measured: title for the table, and a perftest run or the name of one of qperf's tests."""
    title: str
    test: object
    size: int

    @property
    def is_latency(self):
        """A latency in us, the lower the better; otherwise a bandwidth in MiB/s."""
        return "lat" in (self.test if isinstance(self.test, str) else self.test.tool)


SUBJECTS = {
    "srd_lat_64": Subject("EFA, SRD", Test("ib_send_lat", "SRD", 64, 2000), 64),
    "rxe_ud_lat_64": Subject("Soft-RoCE, UD", Test("ib_send_lat", "UD", 64, 1000, (), RXE, RXE_GID), 64),
    "tcp_lat_64": Subject("TCP", "tcp_lat", 64),
    "srd_bw_4k": Subject("EFA, SRD", Test("ib_send_bw", "SRD", 4096, 20000, DEEP), 4096),
    "rxe_rc_bw_4k": Subject("Soft-RoCE, RC", Test("ib_send_bw", "RC", 4096, 2000, DEEP, RXE, RXE_GID), 4096),
    "tcp_bw_4k": Subject("TCP", "tcp_bw", 4096),
}
RATIOS = {
    "srd_lat_64_vs_rxe_ud": ("srd_lat_64", "rxe_ud_lat_64"),
    "srd_lat_64_vs_tcp": ("srd_lat_64", "tcp_lat_64"),
    "srd_bw_4k_vs_rxe_rc": ("srd_bw_4k", "rxe_rc_bw_4k"),
    "srd_bw_4k_vs_tcp": ("srd_bw_4k", "tcp_bw_4k"),
}


def add_parser(commands):
    """Add the command to those of efa-cluster."""
    parser = commands.add_parser("bench", help="measure SRD against Soft-RoCE and TCP between two machines",
                                 description="Measure SRD against Soft-RoCE and TCP between the same two machines.")
    parser.set_defaults(run=run)
    parser.add_argument("--provider", action="store_true", help="measure our libibverbs provider against rdma-core's "
                        "instead: instructions of each verb, and perftest")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N",
                        help=f"how often everything is measured (default: {DEFAULT_ROUNDS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file too")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="with --provider: write the results there, as docs/provider-cost.md")
    parser.add_argument("--suite", default=DEFAULT_SUITE,
                        help=f"Debian suite of the machines (default: {DEFAULT_SUITE})")


def run(args):
    """Measure, print, and write what --json asks for; return the exit status."""
    if args.rounds < 1:
        raise ui.Fail(f"--rounds {args.rounds}: it must be 1 or more")
    if args.write and not args.provider:
        raise ui.Fail("--write: only with --provider")
    perftest.check_writable(args.json)
    perftest.check_writable(args.write, "--write")
    if args.provider:
        from . import provider_cost
        return provider_cost.run(args)
    with ui.step("booting two virtual machines"):
        cluster = Cluster.up(f"bench-{os.getpid()}", n=2, suite=args.suite, kernel=KERNEL)
    with cluster:
        results = measure(cluster, args.rounds)
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def measure(cluster, rounds):
    """Measure everything so many times, taking turns; return what --json writes."""
    for index in range(2):
        added = cluster.exec(index, ADD_RXE, check=False)
        if added.status != 0:
            raise ui.Fail(f"cannot set up Soft-RoCE on {cluster.node_name(index)}: {added.stderr.strip()}\n"
                          f"{cluster.exec(index, 'dmesg | tail -n 3').stdout}")
    server = cluster.start(0, ["qperf"])
    try:
        cluster.wait_port(0, QPERF_PORT)
        samples = {name: [] for name in SUBJECTS}
        for number in range(rounds):
            with ui.step(f"round {number + 1} of {rounds}"):
                for name, subject in SUBJECTS.items():
                    samples[name].append(sample(cluster, subject))
    finally:
        server.kill()
    values = {name: summary(SUBJECTS[name], taken) for name, taken in samples.items()}
    ratios = {name: ratio(SUBJECTS[ours], values[ours]["median"], values[other]["median"])
              for name, (ours, other) in RATIOS.items()}
    return {"ratios": ratios, "values": values, "machine": machine(cluster)}


def show(results):
    """Print the results as tables."""
    values = results["values"]
    for is_latency, title in ((True, "64 B latency, us"), (False, "4 KiB bandwidth, MiB/s")):
        ui.say(f"\n{title:28} {'median':>9} {'average':>9} {'99 %':>9}")
        for name, subject in SUBJECTS.items():
            if subject.is_latency == is_latency:
                ui.say(f"  {subject.title:26} " + " ".join(
                    f"{values[name][key]:9.1f}" for key in ("median", "average", "p99")))
    ui.say("\nhow much better SRD is, by the medians")
    for name, (_, other) in RATIOS.items():
        what = "latency" if SUBJECTS[other].is_latency else "bandwidth"
        ui.say(f"  {what + ' against ' + SUBJECTS[other].title:36} {results['ratios'][name]:9.1f} x")


def sample(cluster, subject):
    """The Sample of one run between nodes 0 and 1."""
    if isinstance(subject.test, str):
        value = _qperf(cluster, subject)
        return Sample(value, value, None)
    [row] = perftest.run(cluster, subject.test, limit=LIMIT_SECONDS)
    if subject.is_latency:
        return Sample(row["t_median"], row["t_avg"], row["p99"])
    return Sample(row["average"], row["average"], None)


def _qperf(cluster, subject):
    said = cluster.exec(1, ["qperf", "-t", str(QPERF_SECONDS), "-m", str(subject.size), "node0", subject.test],
                        timeout=LIMIT_SECONDS).stdout
    found = re.search(r"(?:latency|bw)\s*=\s*([\d.,]+) (\S+)", said)
    if not found or found.group(2) not in QPERF_UNITS:
        raise ui.Fail(f"cannot read what qperf printed: {said.strip()}")
    return float(found.group(1).replace(",", "")) * QPERF_UNITS[found.group(2)]


def summary(subject, samples):
    """Medians over the rounds. Where a tool tells no p99, it is the round that 99 % of them are no worse than."""
    import statistics
    medians = [taken.median for taken in samples]
    p99s = [taken.p99 for taken in samples if taken.p99 is not None]
    worst_first = sorted(medians, reverse=subject.is_latency)
    return {"median": statistics.median(medians), "average": statistics.mean(taken.average for taken in samples),
            "p99": statistics.median(p99s) if p99s else worst_first[len(worst_first) // 100],
            "unit": "us" if subject.is_latency else "MiB/s", "rounds": medians}


def ratio(subject, ours, other):
    """How many times better a value of ours is than the other."""
    return other / ours if subject.is_latency else ours / other


def machine(cluster):
    """What has measured."""
    import platform
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return {"cpu": cpu.group(1) if cpu else platform.machine(), "cpus": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "accel": cluster.config.accel, "suite": cluster.config.suite,
            "guest_kernel": cluster.exec(0, ["uname", "-r"]).stdout.strip(), "load": os.getloadavg()[0]}
