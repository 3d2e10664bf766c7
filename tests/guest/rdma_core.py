# SPDX-License-Identifier: GPL-2.0-or-later
"""Running rdma-core's own tests, as Debian ships them, in a node."""

import re

from efa_emu import perftest, rdma_tests

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


def run(env, *modules, limit=LIMIT_SECONDS):
    """Run the modules' tests; return the names of those that passed."""
    device = perftest.devices(env.cluster, 0)[0]
    # the results go to stderr; what tests print themselves, to stdout
    said = env.exec(0, rdma_tests.command(device, modules), limit=limit).stderr
    results = rdma_tests.results(said)
    ran = re.search(r"^Ran (\d+) tests? in", said, re.M)
    assert ran and int(ran.group(1)) == len(results) > 0, f"{len(results)} results found"
    bad = {name: result for name, result in results.items() if result != "ok" and not _is_expected_skip(result)}
    assert not bad, bad
    return {name.rpartition(".")[2] for name, result in results.items() if result == "ok"}


def _is_expected_skip(result):
    reason = re.fullmatch(r"skipped (['\"])(.*)\1", result)
    return reason and any(re.fullmatch(pattern, reason.group(2)) for pattern in ABSENT)
