#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does bench-core run, and is what it says complete? How fast it is does not matter here."""

import json
import math
import subprocess
import sys

WANTED = {("send", 64), ("send", 8192), ("write", 1 << 20), ("read", 1 << 20)}
FIGURES = ("per_second", "ns", "mb_per_second", "memcpy_mb_per_second", "of_memcpy")


def main():
    """The program; its argument is bench-core."""
    shown = subprocess.run([sys.argv[1], "--json", "--seconds", "0.01"], check=True, capture_output=True, text=True,
                           timeout=60).stdout
    report = json.loads(shown)
    rows = report["work_requests"]
    assert {(row["name"], row["bytes"]) for row in rows} == WANTED, rows
    for row in rows:
        assert row["outstanding"] >= 1, row
        assert all(math.isfinite(row[figure]) and row[figure] > 0 for figure in FIGURES), row
        assert math.isclose(row["per_second"] * row["ns"], 1e9, rel_tol=0.01), row
        assert math.isclose(row["mb_per_second"], row["memcpy_mb_per_second"] * row["of_memcpy"], rel_tol=0.05), row
    assert report["admin_commands"]["per_second"] > 0, report


main()
