# SPDX-License-Identifier: GPL-2.0-or-later
"""What the EFA devices of a node have counted."""

import contextlib
import re

FILES = "/sys/class/infiniband/*/ports/1/hw_counters/*"


def read(env, node, on=None):
    """{counter: value}, of all ports of a node's devices together."""
    total = {}
    for name, value in re.findall(r"(\w+):(\d+)$", env.exec(node, f"grep -H . {FILES}", on=on).stdout, re.M):
        total[name] = total.get(name, 0) + int(value)
    return total


@contextlib.contextmanager
def moved(env, node, on=None):
    """Within this, what the counters of a node move by is gathered in a dict, which is filled at the end."""
    before, difference = read(env, node, on), {}
    yield difference
    difference.update({name: value - before[name] for name, value in read(env, node, on).items()})
    env.say(f"node{node}: {difference}")
