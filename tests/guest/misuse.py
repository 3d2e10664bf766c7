# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node: what programs do wrong with verbs, each case under a heading on standard error, after which it is for
the provider to say what was wrong. Nothing here looks at what it says. Arguments are names of cases, if not all.
"""

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
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr, QPInitAttrEx
from pyverbs.wr import SGE, RecvWR, SendWR

QKEY = 0x5eed
LIMIT_SECONDS = 20
SIZE = 256


class Side:
    """A queue pair that can send to itself, and memory."""

    def __init__(self, ud=False, depth=64, to_rts=True):
        self.context = d.Context(name=d.get_device_list()[0].name.decode())
        self.pd, self.cq = PD(self.context), self.make_cq(depth)
        self.qp = self.make_qp(ud)
        if to_rts:
            self.to_rts()
        self.mr = MR(self.pd, 16 * SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        route = GlobalRoute(dgid=GID(self.context.query_gid(1, 0).gid))
        self.ah = AH(self.pd, attr=AHAttr(gr=route, is_global=1, port_num=1))

    def make_cq(self, depth):
        """Where completions come."""
        return CQ(self.context, depth)

    def make_qp(self, ud=False):
        """A queue pair whose completions come to our CQ."""
        caps = QPCap(max_send_wr=16, max_recv_wr=16, max_send_sge=1, max_recv_sge=1, max_inline_data=32)
        if ud:
            return QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=self.cq, rcq=self.cq, cap=caps))
        kind = efadv.EfaQPInitAttr()
        kind.driver_qp_type = efa_e.EFADV_QP_DRIVER_TYPE_SRD
        init = QPInitAttrEx(qp_type=e.IBV_QPT_DRIVER, scq=self.cq, rcq=self.cq, cap=caps, pd=self.pd,
                            comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
                            send_ops_flags=e.IBV_QP_EX_WITH_SEND)
        return efadv.SRDQPEx(self.context, init, kind)

    def to_rts(self):
        """Make the queue pair ready."""
        attr = QPAttr(port_num=1)
        attr.qkey, attr.pkey_index = QKEY, 0
        self.qp.to_rts(attr)

    def sge(self, at=0, size=SIZE, key=None):
        """A piece of the memory, in units of SIZE."""
        return SGE(self.mr.buf + at * SIZE, size, self.mr.lkey if key is None else key)

    def receive(self, wr_id, sge):
        """Post a buffer."""
        self.qp.post_recv(RecvWR(num_sge=1, sg=[sge], wr_id=wr_id))

    def send(self, wr_id, sge, flags=e.IBV_SEND_SIGNALED):
        """Post a message to ourselves."""
        wr = SendWR(wr_id, num_sge=1, sg=[sge], opcode=e.IBV_WR_SEND, send_flags=flags)
        wr.set_wr_ud(self.ah, self.qp.qp_num, QKEY)
        self.qp.post_send(wr)

    def fail(self, first, count):
        """Leave completions in the CQ: requests that are flushed by an error."""
        for i in range(count):
            self.send(first + i, self.sge(i))  # to ourselves, who have no buffer yet
        self.qp.modify(QPAttr(qp_state=e.IBV_QPS_ERR), e.IBV_QP_STATE)

    def wait(self, count):
        """Until as many requests have completed."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while count and time.monotonic() < deadline:
            count -= self.cq.poll()[0]
        assert not count


def refused(call, *args, **kwargs):
    """What must not be done is not done."""
    try:
        call(*args, **kwargs)
    except PyverbsRDMAError:
        return
    raise AssertionError("it was done")


def nothing():
    """Messages as they should be."""
    side = Side()
    for i in range(40):
        side.receive(1000 + i, side.sge(8 + i % 8))
        side.send(i, side.sge(i % 8), e.IBV_SEND_SIGNALED)
        side.send(500 + i, side.sge(i % 8, 32), e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
        side.receive(2000 + i, side.sge(8 + (i + 1) % 8))
        side.wait(4)


def long_inline():
    """More inline data than the queue takes, by both ways to post."""
    side = Side()
    refused(side.send, 11, side.sge(0, 33), e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
    side.qp.wr_start()
    side.qp.wr_id, side.qp.wr_flags = 12, e.IBV_SEND_SIGNALED
    side.qp.wr_send()
    side.qp.wr_set_ud_addr(side.ah, side.qp.qp_num, QKEY)
    side.qp.wr_set_inline_data(side.mr.buf, 40)
    refused(side.qp.wr_complete)


def wrong_state():
    """Requests to a queue pair that nobody has made ready."""
    side = Side(to_rts=False)
    refused(side.send, 21, side.sge())
    refused(side.receive, 22, side.sge())


def unsignalled():
    """A request without a completion."""
    refused(Side().send, 31, Side().sge(), 0)


def too_many():
    """More requests than the queue has room for."""
    side = Side(depth=512)
    for i in range(16):
        side.receive(i, side.sge(i))
    refused(side.receive, 41, side.sge())


def wrong_key():
    """Keys that are none, of another PD, of a place elsewhere, of memory that is not to be written to."""
    side = Side()
    readable = MR(side.pd, SIZE, e.IBV_ACCESS_REMOTE_READ)
    other = MR(PD(side.context), SIZE, e.IBV_ACCESS_LOCAL_WRITE)
    gone = MR(side.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
    key = gone.lkey
    gone.close()
    side.receive(51, side.sge(0, key=key))
    side.receive(52, SGE(other.buf, SIZE, other.lkey))
    side.receive(53, side.sge(15, SIZE + 1))
    side.receive(54, SGE(readable.buf, SIZE, readable.lkey))


def used_twice():
    """One buffer for two requests at a time."""
    side = Side()
    side.receive(61, side.sge(1))
    side.receive(62, SGE(side.mr.buf + SIZE + 100, 8, side.mr.lkey))


def written_early():
    """A message that changes while it is sent: the receiver has no buffer for it yet."""
    side = Side()
    side.mr.write("before", 6)
    side.send(71, side.sge(0))
    side.mr.write("after!", 6)
    side.receive(72, side.sge(1))
    side.wait(2)


def small_cq():
    """More requests than the completion queue has entries."""
    side = Side(depth=4)
    for i in range(5):
        side.receive(81 + i, side.sge(i))


def no_grh():
    """A buffer for datagrams as large as what is sent."""
    side = Side(ud=True)
    side.receive(91, side.sge(0, 32))


def early_dereg():
    """Memory that goes while it is in use."""
    side = Side()
    side.receive(101, side.sge(0))
    side.mr.close()


CASES = (nothing, long_inline, wrong_state, unsignalled, too_many, wrong_key, used_twice, written_early, small_cq, no_grh,
         early_dereg)

if __name__ == "__main__":
    for case in [case for case in CASES if case.__name__ in sys.argv[1:] or not sys.argv[1:]]:
        print(f"== {case.__name__}", file=sys.stderr, flush=True)
        case()
    print("== end", file=sys.stderr, flush=True)
