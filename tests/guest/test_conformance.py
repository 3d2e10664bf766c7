# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests on EFA devices: each ends well or is skipped for a reason we know, as docs/conformance.md says."""

import subprocess
import tempfile
from pathlib import Path

import rdma_core
from efa_emu import TREE, conformance
from efa_emu.testing import full, timeout

OTHERS = (0, 1, 3)  # generations beside the default; the tests talk over loopback, which takes no fabric
CLUSTER = {"n": 1, "qemu_args": tuple(word for other in OTHERS for word in ("-device", f"efa,generation={other}"))}


def test_whole_suite(env):
    """All tests, on the default generation, which covers the most."""
    rdma_core.check_all(env, env.cluster.config.generation)


def test_newest_generation(env):
    """All tests, on the one on which our driver and our provider are to end them in the same way."""
    rdma_core.check_all(env, 3)


def test_other_generations(env):
    """What is EFA's own, on the others."""
    for generation in (0, 1):
        verdicts = rdma_core.run(env, "test_efa_srd", "test_efadv", generation=generation)
        rdma_core.check_documented(verdicts, generation)


def test_document(_env):
    """The document is as its program writes it, for every generation, and nothing in it has failed."""
    text = conformance.DOCUMENT.read_text(encoding="utf-8")
    table = conformance.parse(text)
    assert conformance.render(table) == text
    assert all(tuple(found) == conformance.DOCUMENTED_GENERATIONS for found in table.rows.values()), table
    assert "failed (" not in text and table.rows["test_efa_srd.QPSRDTestCase"][2] == "13 passed", text


def test_judgement(_env):
    """A skip counts for what it says, and only up to the generation that lacks the thing."""
    name = "tests.test_efa_srd.QPSRDTestCase.test_qp_ex_srd_rdma_write"
    reason = "Create custom mr with additional access flags 2 is not supported"
    verdicts = [conformance.judge(name, "skipped", reason, generation) for generation in range(4)]
    assert [(v.outcome, v.why) for v in verdicts[:2]] == [("skipped", "write")] * 2, verdicts
    assert [v.outcome for v in verdicts[2:]] == ["failed"] * 2 and reason in verdicts[2].why, verdicts
    rc_only = "Extended QP is not supported on this device"
    assert conformance.judge("tests.test_qpex.QpExTestCase.test_qp_ex_rc_send", "skipped", rc_only, 2).why == "rc"
    ud = conformance.judge("tests.test_qpex.QpExTestCase.test_qp_ex_ud_send", "skipped", rc_only, 2)
    assert conformance.failures({"ud": ud}) == {"ud": ud.why} and rc_only in ud.why, ud
    assert conformance.judge(name, "failed", "why", 2) == ("failed", "why")


@full
@timeout(600)
def test_document_is_what_runs_show(env):
    """efa-cluster conformance writes the same document again."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "conformance.md")
        done = subprocess.run([TREE / "scripts/efa-cluster", "conformance", "--write", file], capture_output=True,
                              text=True, check=False)
        env.say(f"{done.stdout}{done.stderr}[status {done.returncode}]")
        assert done.returncode == 0, done.returncode
        assert file.read_text(encoding="utf-8") == conformance.DOCUMENT.read_text(encoding="utf-8")
