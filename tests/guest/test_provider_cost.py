# SPDX-License-Identifier: GPL-2.0-or-later
"""Our provider is no slower than rdma-core's."""

from efa_emu import provider_cost
from efa_emu.testing import full, timeout

ROUNDS = 7  # of which chance has all on one side in 1 of 128


def test_instructions(env):
    """Each post and each poll takes fewer instructions, and counting again counts the same."""
    cluster = env.up("count", **provider_cost.COUNTING)
    instructions = provider_cost.count(cluster)
    for line in provider_cost.show_instructions(instructions):
        env.say(line)
    assert provider_cost.count(cluster) == instructions
    worse = provider_cost.not_lower(instructions)
    assert not worse, worse
    documented = provider_cost.parse(provider_cost.DOCUMENT.read_text(encoding="utf-8"))
    stale = {row: cost for row, cost in instructions.items() if cost != documented.get(row)}
    assert documented.keys() == instructions.keys() and not stale, ("bench --provider --write has to run again", stale)


def test_judgement(_env):
    """Slower is what the medians and nearly all rounds say; fewer rounds than five can never say that."""
    judge = provider_cost.judge
    assert judge(0.98, [0.5] * 5) == judge(1.2, [0.5] * 9) == provider_cost.NOT_SLOWER
    assert judge(0.97, [0.97] * 5) == judge(0.9, [0.9] * 8 + [1.1]) == provider_cost.SLOWER
    assert judge(0.5, [0.5] * 4) == judge(0.9, [0.9] * 4 + [0.98]) == judge(0.9, [0.9] * 6 + [1, 1]) == \
        provider_cost.UNDECIDED


@full
@timeout(400)
def test_speed(env):
    """Sends and writes between two nodes are not slower."""
    speed = provider_cost.race(env.up("race", **provider_cost.RACING), ROUNDS)
    for line in provider_cost.show_speed(speed):
        env.say(line)
    slower = {name: found for name, found in speed.items() if found["verdict"] == provider_cost.SLOWER}
    assert not slower, slower
