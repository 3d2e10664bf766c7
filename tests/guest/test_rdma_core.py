# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests, as Debian ships them, on an EFA device: each ends well, or is skipped for a reason we know."""

import re

from efa_emu import perftest

CLUSTER = {"n": 1}

DIRECTORY = "/usr/local/share/rdma-core-tests"
LIMIT_SECONDS = 150

# What an EFA device does not have. A test that is skipped for any other reason counts as failed.
ABSENT = [
    r"Create QP type \d+ is not supported",  # RC and UC
    r"Create (RC|UC) QP (with|without) (extended )?attrs is not supported",
    r"Create UD QP (with|without) extended attrs is not supported",  # when the test happens to choose creation flags
    r"Extended QP is not supported on this device",  # of type RC
    r"To Create RAW QP must be done by root on Ethernet link layer",
    r"Create XRCD is not supported",
    r"Create memory window of type \d+ is not supported",
    r"Reg MR with MW access is not supported",
    r"Reg MR with access \(\d+\) is not supported",
    r"Create custom mr with additional access flags (18|258) is not supported",  # memory windows, flush
    r"Device memory is not supported",
    r"Resize CQ is not supported",
    r"Device /dev/dri/renderD128 is not present",
    r"All gid indices populated, cannot check bad flow",  # there is one
    r"Link layer of port=1 is Unspecified , skip RoCE test",
]


def test_efa_srd(env):
    """The SRD tests."""
    passed = _run(env, "test_efa_srd")
    assert {"test_qp_ex_srd_send", "test_qp_ex_srd_send_imm", "test_qp_ex_srd_old_send", "test_cq_events_srd",
            "test_full_rq_bad_flow", "test_qp_ex_srd_rdma_read", "test_qp_ex_srd_rdma_write",
            "test_qp_ex_srd_rdma_write_with_imm"} <= passed, passed


def test_efadv(env):
    """The provider's own interface: queries, address handles, queue pairs, extended completion queues."""
    passed = _run(env, "test_efadv")
    assert {"test_efadv_query", "test_efadv_query_ah", "test_dv_cq_ex_with_sgid"} <= passed, passed


def test_completion_events(env):
    """Completion channels."""
    assert "test_cq_events_ud" in _run(env, "test_cq_events")


def test_device(env):
    """Device, port, GID and P_Key queries."""
    assert {"test_query_device", "test_query_port"} <= _run(env, "test_device")


def test_objects(env):
    """Protection domains, memory regions, address handles."""
    assert {"test_alloc_pd", "test_create_ah"} <= _run(env, "test_pd", "test_mr", "test_addr")


def test_completion_queues(env):
    """Completion queues of both kinds."""
    assert {"test_create_cq", "test_ud_traffic_cq_ex"} <= _run(env, "test_cq", "test_cqex")


def test_queue_pairs(env):
    """UD queue pairs, by the old and the new interface."""
    assert {"test_create_ud_qp_with_attr", "test_qp_ex_ud_send"} <= _run(env, "test_qp", "test_qpex")


def _run(env, *modules):
    """Run the modules' tests; return the names of those that passed."""
    device = perftest.devices(env.cluster, 0)[0]
    names = " ".join(f"tests.{module}" for module in modules)
    # the results go to stderr; what tests print themselves, to stdout
    said = env.exec(0, f"cd {DIRECTORY} && python3 tests/run_tests.py --dev {device} -v {names}",
                    limit=LIMIT_SECONDS).stderr
    results = _results(said)
    ran = re.search(r"^Ran (\d+) tests? in", said, re.M)
    assert ran and int(ran.group(1)) == len(results) > 0, f"{len(results)} results found"
    bad = {name: result for name, result in results.items() if result != "ok" and not _is_expected_skip(result)}
    assert not bad, bad
    return {name.rpartition(".")[2] for name, result in results.items() if result == "ok"}


def _is_expected_skip(result):
    reason = re.fullmatch(r"skipped (['\"])(.*)\1", result)
    return reason and any(re.fullmatch(pattern, reason.group(2)) for pattern in ABSENT)


def _results(text):
    """{test: "ok", "skipped 'reason'", …}, however much libraries print between a test's name and its result."""
    results, current = {}, None
    for line in text.splitlines():
        begin = re.match(r"\w+ \((tests\.[\w.]+)\)", line)
        current = begin.group(1) if begin else current
        end = re.search(r"(?:^|\.\.\. )(ok|FAIL|ERROR|expected failure|unexpected success|skipped ['\"].*['\"])$", line)
        if end and current:
            results[current] = end.group(1)
            current = None
    return results
