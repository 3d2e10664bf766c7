# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that show and measure: scripts/demo and efa-cluster bench."""

import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from efa_emu import TREE, perftest, runtime
from efa_emu.testing import full, timeout

DEMO = [TREE / "scripts/demo"]
BENCH = [TREE / "scripts/efa-cluster", "bench", "--rounds", "1"]
WIDTH = 80

PERFTEST_LAT = """\
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   \
99% percentile[usec]   99.9% percentile[usec]
 64      1000          13.92          7478.48      29.37    \t       96.51       \t365.78 \t\t2006.59 \t\t7478.48
---------------------------------------------------------------------------------------
"""
PERFTEST_BW = """\
 #bytes     #iterations    BW peak[MiB/sec]    BW average[MiB/sec]   MsgRate[Mpps]
 2          1000             0.21               0.13   \t\t     0.065912
 8192       1000             574.34             377.37 \t\t     0.048304
---------------------------------------------------------------------------------------
"""


def test_parse_perftest(_env):
    """The tables of perftest are understood, and what is none is not."""
    [row] = perftest.parse(f"Send Latency Test\n 12 34\n{PERFTEST_LAT}")
    assert row == {"bytes": 64, "iterations": 1000, "t_min": 13.92, "t_max": 7478.48, "t_median": 29.37, "t_avg": 96.51,
                   "t_stdev": 365.78, "p99": 2006.59, "p999": 7478.48}, row
    rows = perftest.parse(PERFTEST_BW)
    assert [(row["bytes"], row["peak"], row["average"], row["rate"]) for row in rows] == [
        (2, 0.21, 0.13, 0.065912), (8192, 574.34, 377.37, 0.048304)], rows
    assert perftest.parse("Couldn't connect to node0:18515\n") == []


def test_demo(env):
    """The demonstration shows both machines and both transports, and leaves nothing."""
    before = runtime.names()
    said, results = _run(env, DEMO)
    assert max(len(line) for line in said.splitlines()) <= WIDTH, said
    assert said.count("PORT_ACTIVE") == 2, said
    results = results["results"]
    assert {(r["tool"], r["transport"]) for r in results} == {
        ("ib_send_lat", "SRD"), ("ib_send_lat", "UD"), ("ib_send_bw", "SRD"), ("ib_send_bw", "UD")}, results
    assert all(r["value"] > 0 and r["unit"] in ("us", "MiB/s") and r["bytes"] >= 64 for r in results), results
    assert runtime.names() == before


def test_interrupted_demo(env):
    """Ctrl-C in the middle takes the machines down."""
    child = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        name = f"demo-{child.pid}"
        deadline = time.monotonic() + 60
        while len(runtime.processes(name)) < 3 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    env.say(said)
    assert child.returncode == 130 and "Traceback" not in said, (child.returncode, said)
    assert name not in runtime.names() and not runtime.processes(name)


@full
@timeout(900)
def test_bench(env):
    """The comparison with Soft-RoCE and TCP measures what it says."""
    said, results = _run(env, BENCH, limit=800)
    assert max(len(line) for line in said.splitlines()) <= WIDTH, said
    assert {"srd_lat_64_vs_rxe_ud", "srd_bw_4k_vs_rxe_rc", "srd_bw_4k_vs_tcp"} <= set(results["ratios"]), results
    assert all(ratio > 1 for ratio in results["ratios"].values()), results["ratios"]
    assert results["machine"]["cpus"] > 0 and all(value["median"] > 0 for value in results["values"].values()), results


def _run(env, words, limit=150):
    """Run a command with --json; return what it prints, and what it writes."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "results.json")
        done = subprocess.run([*words, "--json", file], capture_output=True, text=True, timeout=limit, check=False)
        env.say(f"{done.stdout}{done.stderr}[status {done.returncode}]")
        assert done.returncode == 0, done.returncode
        return done.stdout, json.loads(file.read_text(encoding="utf-8"))
