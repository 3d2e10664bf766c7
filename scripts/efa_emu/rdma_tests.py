# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests, as Debian ships them, in a node: how they are called, and what they print."""

import re

DIRECTORY = "/usr/local/share/rdma-core-tests"


def command(device, modules):
    """The command that runs the tests of these modules, as test_efa_srd; their results go to stderr."""
    names = " ".join(f"tests.{module}" for module in modules)
    return f"cd {DIRECTORY} && python3 tests/run_tests.py --dev {device} -v {names}"


def results(text):
    """{test: "ok", "skipped 'reason'", …}, however much libraries print between a test's name and its result."""
    found, current = {}, None
    for line in text.splitlines():
        begin = re.match(r"\w+ \((tests\.[\w.]+)\)", line)
        current = begin.group(1) if begin else current
        end = re.search(r"(?:^|\.\.\. )(ok|FAIL|ERROR|expected failure|unexpected success|skipped ['\"].*['\"])$", line)
        if end and current:
            found[current] = end.group(1)
            current = None
    return found
