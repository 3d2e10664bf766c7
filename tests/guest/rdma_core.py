# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests, as Debian ships them, judged by what docs/conformance.md says of them."""

from efa_emu import conformance

# Our provider has parent domains, though none with allocators; what these tests then do is for RC.
OURS = {"test_parent_domain.ParentDomainTrafficTest": "6 skipped (pd, rc)"}


def run(env, *modules, generation=2, limit=conformance.LIMIT_SECONDS, on=None, environment=()):
    """Run the tests of these modules, or all, on node 0's device of a generation; none may fail. Return the verdicts."""
    names = [f"tests.{module}" for module in modules]
    verdicts = conformance.run(on or env.cluster, 0, generation, *names, limit=limit, environment=environment)
    bad = conformance.failures(verdicts)
    env.say("\n".join(f"{test}: {why}" for test, why in bad.items()))
    assert verdicts and not bad, bad
    return verdicts


def documented():
    """The results that the document shows."""
    return conformance.parse(conformance.DOCUMENT.read_text(encoding="utf-8"))


def check_documented(verdicts, generation, but=()):
    """All of these verdicts are in the document's column of this generation, but for some rows."""
    rows = {row: found.get(generation) for row, found in documented().rows.items()} | dict(but)
    wrong = {row: (cell, rows.get(row)) for row, cell in conformance.cells(verdicts).items() if cell != rows.get(row)}
    assert not wrong, wrong


def check_all(env, generation, on=None, environment=()):
    """The whole suite ends as documented, whosever driver and provider it runs on."""
    verdicts = run(env, generation=generation, on=on, environment=environment)
    check_documented(verdicts, generation, OURS if (on or env.cluster).config.provider != "stock" else ())
    rows = {row for row, found in documented().rows.items() if generation in found}
    assert set(conformance.cells(verdicts)) == rows, rows
