# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node whose device has few QP numbers: completions that nobody polled while their queue pair was there are not
taken for those of its successor, on the same CQ, on another one, or after a reset, nor for its own when it is gone.
"""

import pyverbs.enums as e
from misuse import Side
from pyverbs.cq import CQ
from pyverbs.qp import QPAttr

REQUESTS = 6
DEPTH = 64


def check(side, first):
    """Messages of the queue pair as it is now, and nothing else, complete."""
    expected = set()
    for i in range(REQUESTS):
        side.receive(first + 100 + i, side.sge(8 + i))
        side.send(first + i, side.sge(i))
        expected |= {first + i, first + 100 + i}
    seen = set()
    while len(seen) < len(expected):
        for wc in side.cq.poll(DEPTH)[1]:
            assert wc.status == e.IBV_WC_SUCCESS and wc.qp_num == side.qp.qp_num, (wc.status, wc.qp_num)
            seen.add(wc.wr_id)
    assert seen == expected, (seen, expected)


def succeed(side, numbers):
    """Replace the queue pair by one whose number ends in the same bits."""
    place = side.qp.qp_num % numbers
    side.qp.close()
    side.qp = side.make_qp()
    while side.qp.qp_num % numbers != place:
        side.qp.close()
        side.qp = side.make_qp()
    side.to_rts()


def main():
    """For every way to come after another."""
    side = Side(depth=DEPTH)
    numbers = side.context.query_device().max_qp
    assert numbers == 2, numbers
    for turn in range(20):
        side.fail(1000 * turn, REQUESTS)
        succeed(side, numbers)
        check(side, 1000 * turn + 500)

    old = side.cq
    side.fail(50000, REQUESTS)
    side.cq = CQ(side.context, DEPTH)
    succeed(side, numbers)
    assert old.poll(DEPTH)[0] == 0
    check(side, 51000)

    side.fail(60000, REQUESTS)
    side.qp.modify(QPAttr(qp_state=e.IBV_QPS_RESET), e.IBV_QP_STATE)
    side.to_rts()
    check(side, 61000)

    side.fail(70000, REQUESTS)
    side.qp.close()
    assert side.cq.poll(DEPTH)[0] == 0
    print("well")


main()
