# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads that share a QP and a CQ, in a process that forks: verbs-threads.c from the outside."""

import re
from pathlib import Path

from efa_emu import provider

SOURCE = Path(__file__).with_name("verbs-threads.c")
SENDERS = 4


def run(env, messages, on=None, settings=""):
    """Run it on node 0, where it accounts for its messages; settings are for a shell to set. Return its Result."""
    cluster = on or env.cluster
    cluster.put(0, provider.build_program(cluster.config.suite, SOURCE), "/tmp/verbs-threads")
    done = env.exec(0, f"{settings} /tmp/verbs-threads {messages}", on=cluster, limit=100)
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert counts["messages"] == SENDERS * messages, counts
    assert all(counts[what] > 1 for what in ("events", "full", "others", "forks")), counts
    return done
