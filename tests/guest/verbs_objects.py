# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node, for faults of commands: one of each verbs object is made, used for a query, and destroyed.

Each round is a process of its own, which leaves to the kernel what it could not destroy. Commands and answers are those
of srd_peer.py.
"""

import json
import os
import signal

import pyverbs.device as d
import pyverbs.enums as e
import pyverbs.providers.efa.efa_enums as efa_e
import srd_peer
from pyverbs.addr import AH, AHAttr, GID, GlobalRoute
from pyverbs.cq import CQ, CompChannel
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.providers.efa import efadv
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QPAttr, QPCap, QPInitAttrEx

PAGES = (1, 100, 2000)  # of 4 KiB: addresses in the command; a list; a list in chunks
LIMIT_SECONDS = 30


class Objects:
    """Makes them when asked to."""

    def __init__(self, me):
        self.me = me

    def round(self):
        """Make, query and destroy; {step: error} of what failed, by the verbs' own word."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            signal.alarm(LIMIT_SECONDS)  # rather a round that failed than a test that hangs
            os.write(write, json.dumps(_round()).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as answer:
            said = answer.read()
        _, status = os.waitpid(child, 0)
        return json.loads(said) if status == 0 else {"process": f"ended with status {status}"}


def _round():
    errors, made = {}, []

    def step(name, function):
        try:
            made.append((name, function()))
            return made[-1][1]
        except (PyverbsRDMAError, OSError) as error:
            errors[name] = str(error)
            raise

    try:
        _make(step)
    except (PyverbsRDMAError, OSError):
        pass
    for name, each in reversed(made):
        if not hasattr(each, "close"):
            continue
        try:
            each.close()
        except (PyverbsRDMAError, OSError) as error:
            errors[f"end of {name}"] = str(error)
            break  # what is left goes with the process
    return errors


def _make(step):
    context = step("context", lambda: d.Context(name=d.get_device_list()[0].name.decode()))
    pd = step("PD", lambda: PD(context))
    for pages in PAGES:
        step(f"MR of {pages} pages", lambda pages=pages: MR(pd, pages * 4096, e.IBV_ACCESS_LOCAL_WRITE))
    channel = step("channel", lambda: CompChannel(context))
    cq = step("CQ", lambda: CQ(context, 64, None, channel))
    qp = step("QP", lambda: _qp(context, pd, cq))
    attr = QPAttr(port_num=1)
    attr.qkey, attr.pkey_index = srd_peer.QKEY, 0
    step("states", lambda: qp.to_rts(attr))
    step("query", lambda: qp.query(e.IBV_QP_STATE))
    gid = context.query_gid(1, 0).gid
    step("AH", lambda: AH(pd, attr=AHAttr(gr=GlobalRoute(dgid=GID(gid)), is_global=1, port_num=1)))


def _qp(context, pd, cq):
    caps = QPCap(max_send_wr=16, max_recv_wr=16, max_send_sge=1, max_recv_sge=1)
    kind = efadv.EfaQPInitAttr()
    kind.driver_qp_type = efa_e.EFADV_QP_DRIVER_TYPE_SRD
    init = QPInitAttrEx(qp_type=e.IBV_QPT_DRIVER, scq=cq, rcq=cq, cap=caps, pd=pd,
                        comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
                        send_ops_flags=e.IBV_QP_EX_WITH_SEND)
    return efadv.SRDQPEx(context, init, kind)


if __name__ == "__main__":
    srd_peer.main(Objects)
