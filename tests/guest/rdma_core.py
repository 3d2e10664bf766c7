# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests, as Debian ships them, judged by what docs/conformance.md says of them."""

from efa_emu import conformance


def run(env, *modules, generation=2, limit=conformance.LIMIT_SECONDS, on=None,
        environment=()):
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


def check_documented(verdicts, generation):
    """All of these verdicts are in the document's column of this generation."""
    rows = documented().rows
    found = conformance.cells(verdicts)
    assert found == {row: rows.get(row, {}).get(generation) for row in found}, found
