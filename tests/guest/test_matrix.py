# SPDX-License-Identifier: GPL-2.0-or-later
"""The command efa-cluster matrix: Debian's kernels and user spaces on every generation of the device."""

import contextlib
import io
import json
import subprocess
import tempfile
from pathlib import Path

from efa_emu import TREE, matrix, node, runtime, ui
from efa_emu.matrix import Cell, Pair, Row
from efa_emu.testing import full, timeout

TOOL = [TREE / "scripts/efa-cluster", "matrix"]
WIDTH = 80
FULL_SECONDS = 2400


def test_table(_env):
    """The table has a line for each pair and fits a terminal; only what has passed is good."""
    rows = [Row(pair, "6.12.45+deb13-cloud-amd64", "56.1-1", [Cell(g, "write_bw") for g in node.GENERATIONS])
            for pair in matrix.PAIRS]
    rows[0] = Row(Pair("bookworm", "bookworm"), "", "", [Cell(g, result) for g, result in
                                                        enumerate(("passed", "passed", "-", "pyverbs", "up"))])
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        matrix.show(rows)
    head, first, *rest = out.getvalue().splitlines()
    assert head.split()[-5:] == ["0xefa0", "0xefa1", "0xefa2", "0xefa3", "0xefa4"], head
    assert first.split() == ["bookworm", "bookworm", "passed", "passed", "-", "pyverbs", "up"], first
    assert [line.split()[:4] for line in rest[:len(rows) - 1]] == [
        [row.pair.kernel, "6.12", row.pair.user, "56.1"] for row in rows[1:]], rest
    assert max(map(len, [head, first, *rest])) <= WIDTH, out.getvalue()
    assert all(check.name in " ".join(rest[len(rows) - 1:]) for check in matrix.CHECKS), rest

    def is_good(*results):
        return matrix.is_good([Row(rows[0].pair, "", "", [Cell(0, result) for result in results])])
    assert is_good("passed", "-") and not is_good("passed", "up") and not is_good("-", "-")


def test_skipped_tests(_env):
    """A test of rdma-core's that fails, or is skipped or absent where the device must have what it tests, is told."""
    good = "".join(f"{name} (tests.test_efa_srd.Some.{name})\nWhat it does ... ok\n"
                   for name in matrix.TESTS[matrix.SEND])
    read = "test_qp_ex_srd_rdma_read (tests.test_efa_srd.Some.test_qp_ex_srd_rdma_read) ... "
    skipped = f"{good}{read}skipped 'RDMA read is not supported'\n"
    both = {matrix.SEND, matrix.READ}
    matrix.check_tests(skipped, 0, {matrix.SEND})
    matrix.check_tests(f"{good}{read}ok\n", 0, both)
    cases = [(skipped, 0, both, "rdma_read: skipped"), (good, 0, both, "rdma_read: did not run"),
             (f"{good}{read}FAIL\n", 1, {matrix.SEND}, "rdma_read: FAIL"), (good, 1, {matrix.SEND}, "status 1")]
    for said, status, has, named in cases:
        assert named in _complaint(said, status, has), named


def test_trixie(env):
    """The default suite on its default generation."""
    [row] = _run(env, "--only", "trixie", "--generation", "2", limit=170)
    assert row["kernel"].startswith("6.12.") and row["rdma_core"].startswith("56."), row
    assert _results(row) == {2: "passed"}, row


def test_bad_input(env):
    """What there is not is refused by name; and nothing at all is no success."""
    for words, named in ((["--only", "potato"], "potato: matches none of bookworm,"), (["--generation", "2,x"], "2,x"),
                         (["--generation", "9"], "--generation 9"), (["--json", "/proc"], "/proc")):
        done = _tool(env, *words)
        assert done.returncode == 1 and named in done.stderr and len(done.stderr.splitlines()) == 1, (words, done)
    done = _tool(env, "--only", "trixie", "--generation", "4")
    assert done.returncode == 1 and "no driver binds" in done.stdout, done


@full
@timeout(FULL_SECONDS)
def test_bookworm(env):
    """Linux 6.1 and rdma-core 44, with each other and with trixie's."""
    rows = _run(env, "--only", "*bookworm*", limit=FULL_SECONDS - 10)
    assert [(row["kernel_suite"], row["suite"]) for row in rows] == [
        ("bookworm", "bookworm"), ("bookworm", "trixie"), ("trixie", "bookworm")], rows
    for row in rows:
        first_unbound = 3 if row["kernel_suite"] == "bookworm" else 4
        assert _results(row) == {g: "passed" if g < first_unbound else "-" for g in range(5)}, row


@full
@timeout(FULL_SECONDS)
def test_newest(env):
    """The newest kernel with the newest rdma-core, on every generation."""
    [row] = _run(env, "--only", "trixie-backports+sid", limit=FULL_SECONDS - 10)
    assert _results(row) == dict.fromkeys(range(5), "passed"), row


def _complaint(said, status, has):
    try:
        matrix.check_tests(said, status, has)
    except ui.Fail as e:
        return str(e)
    return ""


def _results(row):
    return {cell["generation"]: cell["result"] for cell in row["generations"]}


def _run(env, *words, limit):
    """Run it with --json, to success; return what it writes."""
    before = runtime.names()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "results.json")
        done = _tool(env, *words, "--json", file, limit=limit)
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        env.say(json.dumps(rows, indent=1))
    assert done.returncode == 0, done.returncode
    assert runtime.names() == before
    return rows


def _tool(env, *words, limit=60):
    done = subprocess.run([*TOOL, *words], capture_output=True, text=True, timeout=limit, check=False)
    env.say(f"$ efa-cluster matrix {' '.join(map(str, words))}\n{done.stdout}{done.stderr}[status {done.returncode}]")
    return done
