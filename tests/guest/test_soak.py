# SPDX-License-Identifier: GPL-2.0-or-later
"""Many nodes that talk for long over a bad network: every message is accounted for."""

from efa_emu import impair
from efa_emu.testing import full, timeout
from peers import peers_in

NODES, SECONDS, SIZE, WINDOW = 8, 600, 512, 2
BAD = "loss=2%,duplicate=2%,reorder=10%"
COUNTERS = ("send_wrs", "recv_wrs", "send_bytes", "recv_bytes")


@timeout(120)
def test_all_to_all(env):
    """Four nodes, every one to every other, for some seconds: sent = delivered + failed."""
    _soak(env, env.up("short", n=4, impair=BAD), 5)


@full
@timeout(SECONDS + 300)
def test_all_to_all_for_ten_minutes(env):
    """The same with eight nodes and for long."""
    _soak(env, env.up("long", n=NODES, impair=BAD), SECONDS)


@full
@timeout(SECONDS + 300)
def test_all_to_all_over_ethernet(env):
    """The same with eight nodes on the other fabric, for a minute."""
    _soak(env, env.up("ether", n=NODES, fabric="netdev", impair=BAD), 60)


def _soak(env, cluster, seconds):
    nodes = range(cluster.config.nodes)
    before = [_counters(env, cluster, node) for node in nodes]
    with peers_in(cluster, nodes) as peers:
        for node, peer in peers.items():
            peer.tell("soak", to=[other for other in nodes if other != node], size=SIZE, seconds=seconds,
                      window=WINDOW)
        for peer in peers.values():
            peer.wait_for("drained", seconds + 60)
        # a success says that the message has been placed: there is nothing more to wait for
        counts = [peers[node].ask("counts") for node in nodes]
        posted = [sum(peers[node].ask("posted").values()) for node in nodes]
    after = [_counters(env, cluster, node) for node in nodes]
    for node in nodes:
        mine = counts[node]
        env.say(f"node{node}: {posted[node]} posted, {mine}; {impair.stats(cluster, node)}")
        assert not mine["wrong"] and not mine["errors"], (node, mine)
        assert posted[node] == sum(mine["sent"].values()) > 0, (node, posted[node], mine)
        moved = [new - old for old, new in zip(before[node], after[node])]
        sent, received = moved[:2]
        assert sent == posted[node] and moved[2:] == [sent * SIZE, received * SIZE], (node, moved)
        assert received == sum(counts[other]["sent"][str(node)] for other in nodes if other != node), (node, moved)


def _counters(env, cluster, node):
    paths = [f"/sys/class/infiniband/*/ports/1/hw_counters/{name}" for name in COUNTERS]
    return [int(word) for word in env.exec(node, f"cat {' '.join(paths)}", on=cluster).stdout.split()]
