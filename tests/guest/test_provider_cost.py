# SPDX-License-Identifier: GPL-2.0-or-later
"""Our provider is no slower than rdma-core's."""

from efa_emu import provider_cost

CLUSTER = provider_cost.COUNTING


def test_instructions(env):
    """Each verb of the fast path takes as many instructions at most, and counting again counts the same."""
    instructions = provider_cost.count(env.cluster)
    for line in provider_cost.show(instructions):
        env.say(line)
    assert provider_cost.count(env.cluster) == instructions
    worse = provider_cost.not_lower(instructions)
    assert not worse, worse
