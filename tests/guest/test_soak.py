# SPDX-License-Identifier: GPL-2.0-or-later
"""Many nodes that talk for long: every message is accounted for."""

import contextlib

from efa_emu.testing import full, timeout
from peer import peers as peers_of

NODES, SECONDS, SIZE, WINDOW = 8, 600, 512, 2
COUNTERS = "cat /sys/class/infiniband/*/ports/1/hw_counters/{send_wrs,recv_wrs,send_bytes,recv_bytes}"


@full
@timeout(SECONDS + 300)
def test_all_to_all_for_ten_minutes(env):
    """Eight nodes, every one to every other, over a network that loses and reorders: sent = delivered + failed."""
    cluster = env.up("soak", n=NODES)
    for node in range(NODES):
        cluster.impair(node, [{"loss": 1.0, "duplicate": 1.0, "reorder": 10.0, "reorder-us": 300}])
    _soak(env, cluster, SECONDS)


def test_all_to_all_for_a_while(env):
    """The same for four nodes and some seconds."""
    cluster = env.up("short", n=4)
    for node in range(4):
        cluster.impair(node, [{"loss": 2.0, "duplicate": 2.0, "reorder": 10.0, "reorder-us": 300}])
    _soak(env, cluster, 10)


def _soak(env, cluster, seconds):
    nodes = range(cluster.config.nodes)
    with contextlib.ExitStack() as stack:
        peers = stack.enter_context(peers_of(cluster, nodes))
        before = [_counters(env, cluster, node) for node in nodes]
        for node, peer in peers.items():
            peer.tell("soak", to=[n for n in nodes if n != node], size=SIZE, seconds=seconds, window=WINDOW)
        for peer in peers.values():
            peer.answer(seconds + 120)
        counts = {}
        for node, peer in peers.items():
            peer.tell("sink")
            counts[node] = peer.ask("counts")
        after = [_counters(env, cluster, node) for node in nodes]
    for node in nodes:
        mine = counts[node]
        env.say(f"node{node}: {mine}")
        sent, posted, failed = sum(mine["sent"].values()), sum(mine["posted"].values()), sum(mine["errors"].values())
        assert posted == sent + failed and sent > 0, (node, mine)
        assert not mine["wrong"] and not mine["errors"], (node, mine)
        for other in nodes:
            if other != node:
                assert mine["sent"].get(str(other), 0) == counts[other]["received"].get(str(node), 0) > 0, (node, other)
        received = sum(mine["received"].values())
        moved = [b - a for a, b in zip(before[node], after[node])]
        assert moved == [sent, received, sent * SIZE, received * SIZE], (node, moved, sent, received)


def _counters(env, cluster, node):
    return [int(word) for word in env.exec(node, ["sh", "-c", COUNTERS], on=cluster).stdout.split()]
