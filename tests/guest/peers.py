# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests need to let nodes send each other messages that are verified: srd_peer.py from the outside."""

import contextlib
import json
import os
from pathlib import Path

PROGRAM = Path(__file__).with_name("srd_peer.py")
UNRESPONSIVE, UNREACHABLE = "13", "15"  # completion statuses: a peer that has stopped answering, that never did


class Peer:
    """srd_peer.py, or a program built upon it, in a node; ask() it to do what its methods do."""

    def __init__(self, cluster, node, program=PROGRAM):
        self.node = node
        self._asked = 0
        read, self._write = os.pipe()
        self._input = os.fdopen(read, "rb")
        for file in {PROGRAM, program}:
            cluster.put(node, file, f"/tmp/{file.name}")
        self._run = cluster.start(node, ["python3", "-B", f"/tmp/{program.name}", str(node)], self._input)

    def tell(self, op, **arguments):
        """Send a command; answer() waits for its end."""
        self._asked += 1
        os.write(self._write, json.dumps({"op": op, **arguments}).encode() + b"\n")

    def answer(self, limit=60):
        """What the last command has come to."""
        end = f" #{self._asked}\n"
        self.wait_for(end, limit)
        return json.loads(self._run.stdout.split(end)[0].splitlines()[-1])

    def ask(self, op, **arguments):
        """tell() and answer()."""
        self.tell(op, **arguments)
        return self.answer()

    def wait_for(self, text, limit=60):
        """Wait until it has said so."""
        self._run.wait_for(text, limit)

    def end(self):
        """End it, if its node has not."""
        self._run.kill()
        os.close(self._write)
        self._input.close()


@contextlib.contextmanager
def peers_in(cluster, nodes, program=PROGRAM):
    """Peers in these nodes that know of each other."""
    started = {}
    try:
        for node in nodes:
            started[node] = Peer(cluster, node, program)
        introduce(started)
        yield started
    finally:
        for peer in started.values():
            peer.end()


def introduce(peers):
    """Tell these peers, {node: Peer}, of each other; what they have counted begins anew."""
    for peer in peers.values():
        peer.tell("hello")
    hellos = {node: peer.answer() for node, peer in peers.items()}
    for node, peer in peers.items():
        peer.ask("connect", peers={other: hello for other, hello in hellos.items() if other != node})
