# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node: what may be done between ibv_start_poll() and ibv_end_poll(). The completion at hand stays as it is when
another is written to its place in the ring, and queue pairs of that CQ can be made, reset and destroyed.
"""

import pyverbs.enums as e
from misuse import Side
from pyverbs.cq import CQEX, CqInitAttrEx, PollCqAttr
from pyverbs.qp import QPAttr

DEPTH = 16  # of the CQ, and of the send queue: it may be full of completions


class ExtendedSide(Side):
    """One that polls by the extended API."""

    def make_cq(self, depth):
        return CQEX(self.context, CqInitAttrEx(cqe=depth, wc_flags=e.IBV_WC_STANDARD_FLAGS))


def main():
    """A ring that is full, and one more request as soon as one is taken out."""
    side = ExtendedSide(depth=DEPTH)
    side.fail(100, DEPTH)
    full, cq = side.qp, side.cq
    side.qp = side.make_qp()
    side.to_rts()

    assert cq.start_poll(PollCqAttr()) == 0
    side.fail(200, 1)
    assert (cq.wr_id, cq.read_qp_num(), cq.status) == (100, full.qp_num, e.IBV_WC_WR_FLUSH_ERR), cq.read_qp_num()
    another = side.make_qp()
    another.close()
    side.qp.modify(QPAttr(qp_state=e.IBV_QPS_RESET), e.IBV_QP_STATE)  # what was posted to it is forgotten
    seen = [cq.wr_id]
    while cq.poll_next() == 0:
        seen.append(cq.wr_id)
    cq.end_poll()
    assert seen == list(range(100, 100 + DEPTH)), seen
    print("well")


main()
