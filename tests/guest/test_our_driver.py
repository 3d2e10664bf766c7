# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own kernel driver in place of the stock one: rdma-core's tests, perftest, libfabric, and what it does better."""

import difflib
import re
import tempfile
from pathlib import Path

import libfabric
import our_driver
import rdma_core
from efa_emu import guest, perftest, ui
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2, "driver": "efa-emu", "generation": 3, "device": "admin-timeout-ms=500"}
SHOW = """
    ibv_devinfo -v
    rdma dev show; rdma link show; rdma res show; rdma statistic show link efa_0/1 | tr ' ' '\\n' | grep _
    cd /sys/class/infiniband/efa_0
    find . -follow -maxdepth 4 -not -path './device*' -not -path '*subsystem*' -type f 2>/dev/null | sort
    cat node_type fw_ver node_desc /sys/class/infiniband_verbs/*/abi_version
    ls /sys/class/infiniband_verbs/*/
"""
# What newer stock drivers have as well, and 6.12's has not, which also says 100 Gb/s whatever the device does.
NEWER = ("retrans_", "unresponsive_remote_", "impaired_remote_", "active_width", "active_speed")
ERRORS = Path(__file__).with_name("uverbs-errno.c")
# Where errors differ from those of 6.12's stock driver, by intent: its, and ours.
INTENDED = {
    "CREATE_CQ, flag unknown": ("ok", "EINVAL"),  # who asks for what is not done should know
    "CREATE_QP, service level 200": ("EINVAL", "ok"),  # a field that it does not have yet
    "CREATE_QP, receive ring too long": ("ENOMEM", "EINVAL"),  # refused before any memory is sought for it
}


def test_loaded(env):
    """It is ours that drives the device, and the port is as the stock driver has it."""
    said = env.exec(0, "lsmod; ibv_devinfo -v").stdout
    assert re.search(r"^efa_emu\s", said, re.M) and not re.search(r"^efa\s", said, re.M), said
    for text in ("vendor_part_id:\t\t\t61347", "PORT_ACTIVE", "max_msg_sz:\t\t0x22e0", "max_qp_wr:\t\t\t4096"):
        assert text in said, said


def test_looks_like_stock(env):
    """Device, port, resources, counters and sysfs are shown as with the stock driver."""
    stock = env.up("stock", n=1, generation=3, driver="stock")
    theirs, ours = _shown(env, stock), _shown(env, env.cluster)
    assert len(theirs) > 150, theirs
    difference = list(difflib.unified_diff(theirs, ours, "stock", "ours", lineterm="", n=0))
    assert not difference, "\n".join(difference)


def _shown(env, cluster):
    said = cluster.exec(0, SHOW).stdout
    lines = [re.sub(r"[0-9a-f]{4}(:[0-9a-f]{4}){3,}", "GUID", line) for line in said.splitlines()]
    return [line for line in lines if not any(word in line for word in NEWER)]


def test_errors_like_stock(env):
    """A malformed command of the verbs ends with the same error as with the stock driver."""
    stock = env.up("stock", n=1, generation=3, driver="stock")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "uverbs-errno")
        ui.run(["gcc", *guest.CFLAGS, "-o", program, ERRORS], program.with_suffix(".log"))
        theirs, ours = _errors(env, stock, program), _errors(env, env.cluster, program)
    assert len(theirs) > 130, theirs
    for name, error in theirs.items():
        assert error == "ok" or not name.endswith(", as it should be"), (name, error)
    different = {name: (error, ours.get(name)) for name, error in theirs.items() if error != ours.get(name)}
    assert theirs.keys() == ours.keys() and different == INTENDED, different
    our_driver.check_log(env)


def _errors(env, cluster, program):
    cluster.put(0, program, "/tmp/uverbs-errno")
    said = env.exec(0, "/tmp/uverbs-errno", on=cluster).stdout
    return dict(line.rsplit(": ", 1) for line in said.splitlines())


def test_conformance(env):
    """All of rdma-core's own tests end as with the stock driver."""
    rdma_core.check_all(env, 3)


def test_perftest(env):
    """Sends, RDMA, events and many queue pairs between two nodes."""
    for test in (Test("ib_send_lat", "SRD", 64), Test("ib_send_bw", "UD", 4096, 2000),
                 Test("ib_send_bw", "SRD", 4096, 2000, ("-e",)), Test("ib_write_bw", "SRD", 65536, 500),
                 Test("ib_read_bw", "SRD", 65536, 500)):
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(env.cluster, test, limit=60)}")


def test_libfabric(env):
    """Messages over libfabric."""
    libfabric.pingpong(env, "rdm")


@full
@timeout(1800)
def test_other_kernels(env):
    """The oldest kernel and the newest, each with a user space of its time."""
    for name, suites in (("old", {"suite": "bookworm"}), ("new", {"suite": "sid", "kernel_suite": "trixie-backports"})):
        cluster = env.up(name, n=2, generation=2, driver="efa-emu", **suites)
        for test in (Test("ib_send_bw", "SRD", 4096, 2000), Test("ib_send_lat", "UD", 64, 500)):
            env.say(f"{name}, {test.tool}: {perftest.run(cluster, test, limit=60)}")
        libfabric.pingpong(env, "rdm", on=cluster)
        cluster.down()


def test_statistics(env):
    """Counters of port and device move."""
    before = _counters(env)
    env.exec(0, "cd /usr/local/share/rdma-core-tests && "
                "python3 tests/run_tests.py tests.test_efa_srd.QPSRDTestCase.test_qp_ex_srd_rdma_write")
    after = _counters(env)
    moved = {name: after[name] - before[name] for name in after}
    assert moved["rdma_write_bytes"] > 0 and moved["tx_pkts"] > 0 and moved["cmds_err"] == 0, moved
    assert moved["submitted_cmds"] == moved["completed_cmds"] > 20, moved


def _counters(env):
    said = env.exec(0, "cd /sys/class/infiniband/*/ && grep . hw_counters/* ports/1/hw_counters/*").stdout
    return {name: int(value) for name, value in re.findall(r"/(\w+):(\d+)$", said, re.M)}


def test_reload(env):
    """Unloaded and loaded again, a hundred times."""
    our_driver.reload(env, 100, limit=90)
    our_driver.check_log(env)


def test_unload_in_use(env):
    """The driver goes while a program moves data; the program ends, and the next one finds the device well."""
    our_driver.unload_in_use(env)
    our_driver.check_log(env)


def test_recovery(env):
    """A device that does not answer is reset; who had it open is told, and who opens it anew finds it well."""
    our_driver.recover(env)
    our_driver.check_log(env)
