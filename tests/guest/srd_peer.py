# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node, for peers.py: one SRD queue pair, and messages to others whose content the receiver verifies.

It reads commands as lines of JSON, {"op": name, ...}, and answers each with a line of JSON and its number: "{...} #1".
"""

import collections
import json
import os
import select
import struct
import sys
import time

import pyverbs.device as d
import pyverbs.enums as e
import pyverbs.providers.efa.efa_enums as efa_e
from pyverbs.addr import AH, AHAttr, GID, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.providers.efa import efadv
from pyverbs.qp import QPAttr, QPCap, QPInitAttrEx
from pyverbs.wr import SGE, RecvWR, SendWR

QKEY = 0x5eed
SLOT_BYTES = 4096
RECEIVES, WINDOW = 512, 16
TABLE = bytes(range(256)) * (SLOT_BYTES // 256 + 1)
HEAD = struct.Struct("<II")  # sender, sequence number
IS_SEND = 1 << 32  # in the work request's id; the rest is the slot


class Numbers:
    """A set of numbers that come nearly in order, in little memory."""

    def __init__(self):
        self.below, self.others = 0, set()

    def add(self, number):
        """False if it is there already."""
        if number < self.below or number in self.others:
            return False
        self.others.add(number)
        while self.below in self.others:
            self.others.remove(self.below)
            self.below += 1
        return True


class Peer:
    """A queue pair, its buffers, and who is at the other end."""
    RDMA = 0  # operations of the queue pair, besides sends

    def __init__(self, me):
        self.me = me
        self.context = d.Context(name=d.get_device_list()[0].name.decode())
        self.pd, self.cq = PD(self.context), CQ(self.context, 2 * RECEIVES)
        caps = QPCap(max_send_wr=RECEIVES, max_recv_wr=RECEIVES, max_send_sge=1, max_recv_sge=1)
        kind = efadv.EfaQPInitAttr()
        kind.driver_qp_type = efa_e.EFADV_QP_DRIVER_TYPE_SRD
        init = QPInitAttrEx(qp_type=e.IBV_QPT_DRIVER, scq=self.cq, rcq=self.cq, cap=caps, pd=self.pd,
                            comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
                            send_ops_flags=e.IBV_QP_EX_WITH_SEND | self.RDMA)
        self.qp = efadv.SRDQPEx(self.context, init, kind)
        attr = QPAttr(port_num=1)
        attr.qkey, attr.pkey_index = QKEY, 0
        self.qp.to_rts(attr)
        self.receive_mr = self.register(RECEIVES * SLOT_BYTES)
        self.send_mr = self.register(RECEIVES * SLOT_BYTES)
        self.free = collections.deque(range(RECEIVES))
        self.peers = {}
        self.in_slot = {}  # send slot: to whom
        self.next = collections.Counter()
        self.sent, self.received = collections.Counter(), collections.Counter()
        self.errors = collections.Counter()
        self.wrong = []
        self.seen = collections.defaultdict(Numbers)
        for slot in range(RECEIVES):
            self._post_receive(slot)

    def register(self, size):
        """Memory for messages."""
        return MR(self.pd, size, e.IBV_ACCESS_LOCAL_WRITE)

    def hello(self):
        """Where others reach us."""
        return {"gid": self.context.query_gid(1, 0).gid, "qpn": self.qp.qp_num}

    def connect(self, peers):
        """peers: {number: {"gid", "qpn"}}; replaces those it names, and forgets all counts."""
        for number, peer in peers.items():
            route = GlobalRoute(dgid=GID(peer["gid"]))
            self.peers[int(number)] = AH(self.pd, attr=AHAttr(gr=route, is_global=1, port_num=1)), peer["qpn"]
        for counts in (self.next, self.sent, self.received, self.errors, self.seen, self.wrong):
            counts.clear()
        return {}

    def exchange(self, to, count, expect, size, limit):
        """Send count messages to each of to, and receive count from each of expect."""
        deadline = time.monotonic() + limit
        while (any(self.sent[n] < count for n in to) or any(self.received[n] < count for n in expect)) \
                and time.monotonic() < deadline and not self.errors:
            for number in to:
                while self.next[number] < count and self._in_flight(number) < WINDOW:
                    self._send(number, size)
            self._poll()
        return self.counts()

    def stream(self, to, size):
        """Send to one peer until there is an error or another command; answer only when nothing is in flight."""
        said = False
        while not self.errors and not _command_waits():
            while self._in_flight(to) < WINDOW:
                self._send(to, size)
            self._poll()
            if self.sent[to] and not said:
                print("streaming", flush=True)
                said = True
        return self.drain()

    def soak(self, to, size, seconds, window):
        """Send to all of to for so long, say "drained" when nothing is in flight, go on receiving as sink() does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for number in to:
                while self._in_flight(number) < window:
                    self._send(number, size)
            self._poll()
        self.drain()
        print("drained", flush=True)
        return self.sink()

    def sink(self):
        """Receive until another command comes, and then what had arrived by then."""
        while not _command_waits():
            self._poll()
        while self._poll():
            pass
        return self.counts()

    def drain(self):
        """Wait for the end of everything in flight."""
        while self.in_slot:
            self._poll()
        return self.counts()

    def one(self, to, size):
        """Send one message; say how it ended, and after how many seconds."""
        begin = time.monotonic()
        self._send(to, size)
        return {**self.drain(), "seconds": time.monotonic() - begin}

    def counts(self):
        """What has happened since connect(). errors: {EFA's completion status: how many}."""
        return {"sent": self.sent, "received": self.received, "errors": self.errors, "wrong": self.wrong}

    def posted(self):
        """How many messages have been posted for each peer."""
        return self.next

    def _in_flight(self, number):
        return sum(1 for to in self.in_slot.values() if to == number)

    def _send(self, number, size):
        slot = self.free.popleft()
        ah, qpn = self.peers[number]
        self.send_mr.write(_content(self.me, self.next[number], size), size, slot * SLOT_BYTES)
        work = SendWR(wr_id=IS_SEND | slot, num_sge=1, opcode=e.IBV_WR_SEND, send_flags=e.IBV_SEND_SIGNALED,
                      sg=[SGE(self.send_mr.buf + slot * SLOT_BYTES, size, self.send_mr.lkey)])
        work.set_wr_ud(ah, qpn, QKEY)
        self.in_slot[slot] = number
        self.next[number] += 1
        self.qp.post_send(work)

    def _post_receive(self, slot):
        entry = SGE(self.receive_mr.buf + slot * SLOT_BYTES, SLOT_BYTES, self.receive_mr.lkey)
        self.qp.post_recv(RecvWR(wr_id=slot, num_sge=1, sg=[entry]))

    def _poll(self):
        """Handle completions; how many there were."""
        _, completions = self.cq.poll(32)
        for wc in completions:
            slot = wc.wr_id & (IS_SEND - 1)
            if wc.wr_id & IS_SEND:
                number = self.in_slot.pop(slot)
                self.free.append(slot)
                if wc.status == e.IBV_WC_SUCCESS:
                    self.sent[number] += 1
                else:
                    self.errors[wc.vendor_err & 0xff] += 1
            elif wc.status == e.IBV_WC_SUCCESS:
                self._verify(self.receive_mr.read(wc.byte_len, slot * SLOT_BYTES))
                self._post_receive(slot)
        return len(completions)

    def _verify(self, message):
        sender, sequence = HEAD.unpack_from(message)
        if message != _content(sender, sequence, len(message)) or not self.seen[sender].add(sequence):
            self.wrong.append(f"{len(message)} bytes as if message {sequence} of {sender}: {message[:32].hex()}")
        self.received[sender] += 1


def _content(sender, sequence, size):
    start = (sender * 31 + sequence * 7) & 0xff
    return HEAD.pack(sender, sequence) + TABLE[start:start + size - HEAD.size]


def _command_waits():
    return bool(select.select([0], [], [], 0)[0])


def _lines():
    """The lines of standard input, read so that select() tells whether there is more."""
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def main(kind=Peer):
    """Serve commands until the end of the input."""
    peer = kind(int(sys.argv[1]))
    for number, line in enumerate(_lines(), 1):
        command = json.loads(line)
        print(json.dumps(getattr(peer, command.pop("op"))(**command)), f"#{number}", flush=True)


if __name__ == "__main__":
    main()
