# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that talk to each other, and nodes that stop doing so."""

import re

from efa_emu import perftest
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout
from peers import UNREACHABLE, UNRESPONSIVE, Peer, introduce, peers_in

NODES = 4
PEER_TIMEOUT_MS = 2000
CLUSTER = {"n": NODES, "device": f"peer-timeout-ms={PEER_TIMEOUT_MS}"}


def test_all_to_all(env):
    """Every ordered pair exchanges messages, all at once, and every byte is verified."""
    count = 100
    with peers_in(env.cluster, range(NODES)) as peers:
        for size in (64, 4096):
            introduce(peers)
            for node, peer in peers.items():
                others = [other for other in range(NODES) if other != node]
                peer.tell("exchange", to=others, expect=others, count=count, size=size, limit=50)
            for node, peer in peers.items():
                done = peer.answer()
                env.say(f"node{node}, {size} bytes: {done}")
                expected = {str(other): count for other in range(NODES) if other != node}
                assert done == {"sent": expected, "received": expected, "errors": {}, "wrong": []}, (node, done)


def test_reloaded_driver(env):
    """What is sent to a node whose driver was loaded again arrives."""
    for _ in range(3):
        assert perftest.run(env.cluster, Test("ib_send_bw", "SRD", 1024, 500))[0]["average"] > 0
        env.exec(0, "rmmod efa && modprobe efa; until ibv_devinfo | grep -q PORT_ACTIVE; do sleep 0.05; done")


def test_killed_node(env):
    """A node that dies in mid-traffic ends its peer's work with status 13 and harms nobody; it can come back."""
    with peers_in(env.cluster, range(NODES)) as peers:
        peers[1].tell("sink")
        peers[3].tell("sink")
        peers[0].tell("stream", to=1, size=1024)
        peers[2].tell("stream", to=3, size=1024)
        for node in (0, 2):
            peers[node].wait_for("streaming")
        env.cluster.kill(1)
        survivor = peers[0].answer()
        env.say(f"node0, whose peer was killed: {survivor}")
        assert survivor["sent"]["1"] > 0 and set(survivor["errors"]) == {UNRESPONSIVE}, survivor
        sender = peers[2].ask("drain")
        receiver = peers[3].ask("counts")
        env.say(f"node2: {sender}\nnode3: {receiver}")
        assert not sender["errors"] and not receiver["wrong"], (sender, receiver)
        assert receiver["received"]["2"] == sender["sent"]["3"] > 0, (sender, receiver)

        env.cluster.restart(1)
        peers[1].end()
        peers[1] = Peer(env.cluster, 1)
        introduce(peers)
        for node, other in ((0, 1), (1, 0)):
            peers[node].tell("exchange", to=[other], expect=[other], count=100, size=512, limit=30)
        for node, other in ((0, 1), (1, 0)):
            done = peers[node].answer()
            assert done["sent"] == done["received"] == {str(other): 100}, (node, done)


def test_absent_node(env):
    """Work for a node that was never there ends with status 15, once the time for it to answer is over."""
    with peers_in(env.cluster, [0]) as peers:
        absent = re.sub(r":0000$", ":ee00", peers[0].ask("hello")["gid"])
        peers[0].ask("connect", peers={9: {"gid": absent, "qpn": 1}})
        done = peers[0].ask("one", to=9, size=64)
        env.say(f"sent to {absent}: {done}")
        assert done["errors"] == {UNREACHABLE: 1}, done
        assert done["seconds"] > PEER_TIMEOUT_MS / 1000 * 0.9, done


@full
@timeout(600)
def test_every_pair_of_nodes_with_perftest(env):
    """perftest between all ordered pairs, one after the other."""
    for server in range(NODES):
        for client in range(NODES):
            if server != client:
                [row] = perftest.run(env.cluster, Test("ib_send_bw", "SRD", 4096, 2000), server, client)
                env.say(f"node{client} to node{server}: {row['average']} MiB/s")
