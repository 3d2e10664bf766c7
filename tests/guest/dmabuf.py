# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages and RDMA between DMA-BUFs of two nodes, registered by the stock driver."""

from pathlib import Path

from peers import peers_in

PROGRAM = Path(__file__).with_name("dmabuf_peer.py")
COUNT = 100
BAD_ADDRESS = 7  # completion status: the key means no region, or not this one
# of the region's MiB: all of it; much, from one odd place on; a byte in a page's middle
PIECES = [(0, 1 << 20), (4097, 300001), (999999, 1)]


def load(env, node):
    """What makes DMA-BUFs of memory."""
    env.exec(node, "test -c /dev/udmabuf || modprobe udmabuf")  # cloud kernels have it built in


def exchange(env):
    """Verified sends both ways, RDMA writes and reads; a region that is gone."""
    for node in range(2):
        load(env, node)
    with peers_in(env.cluster, range(2), PROGRAM) as peers:
        for node, peer in peers.items():
            peer.tell("exchange", to=[1 - node], expect=[1 - node], count=COUNT, size=4096, limit=50)
        for node, peer in peers.items():
            done, expected = peer.answer(), {str(1 - node): COUNT}
            assert done == {"sent": expected, "received": expected, "errors": {}, "wrong": []}, (node, done)
        for kind in ("write", "read"):
            for offset, length in PIECES:
                _transfer(peers, kind, {"offset": offset, "length": length})
        peers[1].ask("destroy")
        assert peers[0].ask("rdma", kind="read", to=1, offset=0, length=8) == {"status": BAD_ADDRESS}


def _transfer(peers, kind, place):
    """One operation of node0's: the target becomes like the source in that place, and stays as it was elsewhere."""
    source, target = (peers[0], peers[1]) if kind == "write" else (peers[1], peers[0])
    source.ask("fill", seed=1)
    target.ask("fill", seed=2)
    wanted, before = source.ask("digest", **place), target.ask("digest", **place)
    assert wanted["place"] != before["place"], (wanted, before)
    assert peers[0].ask("rdma", kind=kind, to=1, **place) == {"status": 0}
    after = target.ask("digest", **place)
    assert after == {"place": wanted["place"], "rest": before["rest"]}, (kind, place, wanted, before, after)
