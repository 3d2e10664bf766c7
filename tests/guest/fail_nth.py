# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node, for test_debug_kernel.py: our driver probes and makes objects, and what it asks the kernel for fails.

An operation is repeated with the first failure in it, the second, and so on, until it gets by without: failures of
allocations, of slabs and of pages, and of copies from and to the process. They count only below the driver's own code.
For each operation a line of JSON tells how many it has reported and how many it could do without.
"""

import contextlib
import itertools
import json
import mmap
import os
import sys
from pathlib import Path

import pyverbs.device as d
import pyverbs.enums as e
import pyverbs.providers.efa.efa_enums as efa_e
from pyverbs.addr import AH, AHAttr, GID, GlobalRoute
from pyverbs.cq import CQ, CompChannel
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.providers.efa import efadv
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr, QPInitAttrEx

DRIVER = Path("/sys/bus/pci/drivers/efa_emu")
DEBUG = Path("/sys/kernel/debug")
FAULTS = {"failslab": ["ignore-gfp-wait"], "fail_usercopy": [],
          "fail_page_alloc": ["ignore-gfp-wait", "ignore-gfp-highmem", "min-order"]}
# How deep a stack is looked at for the driver: the most there is; in probe, such that its registration is not all of
# what fails, since that alone allocates more than a thousand times.
DEPTHS = {"probe": 10, "verbs": 32}
# From where to where the kernel is spared: it warns when it removes files of /proc/irq that it was content not to make;
# what checks DMA mappings ends its service when it gets no memory.
SPARED = {"probe": ("register_handler_proc", "unregister_irq_proc"),
          "verbs": ("debug_dma_mapping_error", "debug_dma_free_pages")}
FAIL_NTH = "/proc/thread-self/fail-nth"
ERRORS = OSError, PyverbsError
COMPLAINTS = "WARNING", "BUG", "Oops", "Call Trace", "DMA-API: "
REGIONS = {"inline": 8 << 10, "a list": 1 << 20, "chunks": 6 << 20}  # sizes, by how the device is told of pages


class Kernel:
    """The kernel's fault injection, and what it says."""

    def __init__(self, what):
        symbols = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
        ours = [int(address, 16) for address, kind, _, *module in symbols if kind in "tT" and module == ["[efa_emu]"]]
        places = {name: f"0x{address}" for address, _, name, *_ in symbols}
        begin, end = (places[name] for name in SPARED[what])
        for kind, switches in FAULTS.items():
            settings = {"stacktrace-depth": DEPTHS[what], "verbose": 0, "reject-start": begin, "reject-end": end,
                        "require-start": min(ours), "require-end": max(ours) + mmap.PAGESIZE,
                        **{switch: 0 if switch == "min-order" else "N" for switch in switches}}
            for name, value in settings.items():
                _write(DEBUG / kind / name, value)
        self._log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._log, 0, os.SEEK_END)

    def fail_each(self, name, operation):
        """Run it, as a context manager, once for each failure and then without one, which it has to survive."""
        counts = {"operation": name, "reported": 0, "done without": 0}
        for number in itertools.count(1):
            failed = None
            _set(number)
            try:
                with operation():
                    pass
            except ERRORS as error:
                failed = error
            happened = _left() == 0
            _set(0)
            self._listen(f"{name}, failure {number}: {failed}")
            if not happened:
                break
            counts["reported" if failed else "done without"] += 1
        if failed:
            raise failed
        print(json.dumps(counts), flush=True)

    def _listen(self, when):
        with contextlib.suppress(BlockingIOError):
            while line := os.read(self._log, 8192).decode(errors="replace"):
                if any(word in line for word in COMPLAINTS):
                    sys.exit(f"{when}\n{line}")


def _write(path, value):
    """Once: what is buffered would be written again after an error."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, str(value).encode())
    finally:
        os.close(file)


def _set(number):
    _write(FAIL_NTH, number)


def _left():
    return int(Path(FAIL_NTH).read_text())


@contextlib.contextmanager
def _bound(address):
    _write(DRIVER / "bind", address)
    try:
        yield
    finally:
        _write(DRIVER / "unbind", address)


def probe(kernel):
    """Bind the driver to its device, again and again."""
    [device] = DRIVER.glob("0*")
    _write(DRIVER / "unbind", device.name)
    kernel.fail_each("probe", lambda: _bound(device.name))
    _write(DRIVER / "bind", device.name)


def verbs(kernel):
    """Make objects of all kinds, and end them."""
    kernel.fail_each("context", _context)
    with _context() as context, PD(context) as pd, CQ(context, 16) as cq:
        kernel.fail_each("query", lambda: _query(context))
        kernel.fail_each("PD", lambda: PD(context))
        kernel.fail_each("AH", lambda: AH(pd, attr=_address(context)))
        for how, size in REGIONS.items():
            kernel.fail_each(f"MR, {how}", lambda size=size: MR(pd, size, e.IBV_ACCESS_LOCAL_WRITE))
        kernel.fail_each("CQ", lambda: CQ(context, 16))
        kernel.fail_each("CQ with events", lambda: _cq_with_events(context))
        kernel.fail_each("QP, UD", lambda: _ud(pd, cq))
        kernel.fail_each("QP, SRD", lambda: _srd(context, pd, cq))
        _fill(context, pd, cq)


def _fill(context, pd, cq):
    """As many objects as the device can have: it has none left of which nobody knows."""
    limits = context.query_device()
    kinds = [(limits.max_pd - 1, lambda: PD(context)), (limits.max_cq - 1, lambda: CQ(context, 16)),
             (limits.max_mr, lambda: MR(pd, mmap.PAGESIZE, e.IBV_ACCESS_LOCAL_WRITE)),
             (limits.max_qp, lambda: _ud(pd, cq))]
    with contextlib.ExitStack() as stack:
        for count, make in kinds:
            for _ in range(count):
                stack.enter_context(make())


def _context():
    return efadv.EfaContext(name=d.get_device_list()[0].name.decode())


@contextlib.contextmanager
def _query(context):
    context.query_device()
    context.query_device_ex()
    context.query_efa_device()
    yield


def _address(context):
    route = GlobalRoute(dgid=GID(context.query_gid(1, 0).gid))
    return AHAttr(gr=route, is_global=1, port_num=1)


@contextlib.contextmanager
def _cq_with_events(context):
    with CompChannel(context) as channel, CQ(context, 16, channel=channel) as cq:
        cq.req_notify()
        yield


@contextlib.contextmanager
def _ud(pd, cq):
    init = QPInitAttr(qp_type=e.IBV_QPT_UD, scq=cq, rcq=cq, cap=_caps())
    with QP(pd, init, _attributes()):
        yield


@contextlib.contextmanager
def _srd(context, pd, cq):
    kind = efadv.EfaQPInitAttr()
    kind.driver_qp_type = efa_e.EFADV_QP_DRIVER_TYPE_SRD
    init = QPInitAttrEx(qp_type=e.IBV_QPT_DRIVER, scq=cq, rcq=cq, cap=_caps(), pd=pd,
                        comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
                        send_ops_flags=e.IBV_QP_EX_WITH_SEND)
    with efadv.SRDQPEx(context, init, kind) as qp:
        qp.to_rts(_attributes())
        qp.query(e.IBV_QP_STATE)
        yield


def _caps():
    return QPCap(max_send_wr=16, max_recv_wr=16, max_send_sge=1, max_recv_sge=1)


def _attributes():
    attr = QPAttr(port_num=1)
    attr.qkey, attr.pkey_index = 0x5eed, 0
    return attr


if __name__ == "__main__":
    {"probe": probe, "verbs": verbs}[sys.argv[1]](Kernel(sys.argv[1]))
