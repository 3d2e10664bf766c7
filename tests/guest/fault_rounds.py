# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests need to let one admin command after the other go wrong: verbs_objects.py from the outside, and probes."""

import contextlib
from pathlib import Path

from efa_emu import faults
from peers import Peer

PROGRAM = Path(__file__).with_name("verbs_objects.py")
# All that verbs_objects.py leads to, and no more objects of a kind than it makes at a time: one that the device has
# kept is missed at once. Pages are small, so that their lists are long.
OBJECTS = ("alloc-uar", "alloc-pd", "reg-mr", "create-cq", "create-qp", "modify-qp", "query-qp", "create-ah",
           "destroy-ah", "destroy-qp", "destroy-cq", "dereg-mr", "dealloc-pd", "dealloc-uar")
LIMITS = "max-pd=1,max-mr=3,max-cq=1,max-qp=1,max-ah=1,page-size-cap=4096"
FORGETS = {"dealloc-uar"}  # the kernel has no way to fail it
MANY = 40  # more commands than any of these sequences has


@contextlib.contextmanager
def objects_in(cluster, node=0):
    """verbs_objects.py in a node."""
    program = Peer(cluster, node, PROGRAM)
    try:
        yield program
    finally:
        program.end()


def each_command(cluster, opcode, action, do, node=0):
    """do(n) with the n-th command of this kind going wrong, for n = 1, 2, … until there is none; yields what it returns."""
    for nth in range(1, MANY):
        rule = {"action": action, "nth": nth, **({"opcode": opcode} if opcode else {})}
        faults.set_rules(cluster, node, 0, [rule])
        result = do(nth)
        [seen] = faults.stats(cluster, node)
        faults.set_rules(cluster, node, 0, [])
        if not seen["fired"]:
            return
        yield nth, result
    raise AssertionError(f"{opcode or 'any command'}: more than {MANY}")
