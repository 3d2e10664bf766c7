# SPDX-License-Identifier: GPL-2.0-or-later
"""The program scripts/demo: two virtual machines, each with an EFA device, and real tools that talk between them."""

import argparse
import json
import os
import re
from pathlib import Path

from . import guest, perftest, setup, ui
from .cluster import Cluster
from .perftest import Test

NODES = 2
LIMIT_SECONDS = 120
TESTS = [
    Test("ib_send_lat", "SRD", 64, 2000),
    Test("ib_send_lat", "UD", 64, 2000),
    Test("ib_send_bw", "SRD", 4096, 8000),
    Test("ib_send_bw", "SRD", 8192, 8000),
    Test("ib_send_bw", "UD", 4096, 8000),
]
SHOWN = ("hca_id", "vendor_id", "vendor_part_id", "hw_ver", "state", "max_msg_sz", "GID[")
EPILOG = """\
The machines run Debian with its own kernel, the stock EFA driver built from that kernel's source, rdma-core and
perftest. The first run downloads and builds what is missing, which takes a while; later ones do not.
"""


def main():
    """Run the demonstration; return the exit status."""
    args = _parse()
    perftest.check_writable(args.json)
    setup.run(args.suite, guest.DEFAULT_FLAVOUR)
    with ui.step(f"booting {NODES} virtual machines"):
        cluster = Cluster.up(f"demo-{os.getpid()}", n=NODES, suite=args.suite)
    with cluster:
        _show_machines(cluster)
        results = _show_traffic(cluster)
        ui.note("taking the machines down")
    if args.json:
        args.json.write_text(json.dumps({"results": results}, indent=1) + "\n")
        ui.note(f"results written to {args.json}")
    return 0


def _parse():
    parser = argparse.ArgumentParser(
        prog="demo", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Boot two virtual machines with EFA devices and measure SRD and UD between them.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file too")
    parser.add_argument("--suite", default=guest.DEFAULT_SUITE,
                        help=f"Debian suite of the machines (default: {guest.DEFAULT_SUITE})")
    return parser.parse_args()


def _show_machines(cluster):
    for index in range(NODES):
        shown = cluster.exec(index, "uname -r; ibv_devinfo -v").stdout
        release, *info = shown.splitlines()
        ui.say(f"\nnode{index}: Linux {release}, stock EFA driver; ibv_devinfo:")
        for line in info:
            if line.strip().startswith(SHOWN):
                ui.say("    " + re.sub(r":\s+", ": ", line.strip(), count=1))


def _show_traffic(cluster):
    ui.say(f"\n{'from node1 to node0':24} {'bytes':>6} {'median':>9} {'average':>9} {'99 %':>9}")
    results = []
    for test in TESTS:
        [row] = perftest.run(cluster, test, limit=LIMIT_SECONDS)
        title = f"{test.tool} -c {test.transport}"
        if "t_median" in row:
            value, unit = row["t_median"], "us"
            numbers = f"{row['t_median']:9.1f} {row['t_avg']:9.1f} {row['p99']:9.1f}"
        else:
            value, unit = row["average"], "MiB/s"
            numbers = f"{'':9} {row['average']:9.0f} {'':9}"
        ui.say(f"{title:24} {test.size:6} {numbers} {unit}")
        results.append({"tool": test.tool, "transport": test.transport, "bytes": test.size, "value": value,
                        "unit": unit})
    ui.say("")
    return results
