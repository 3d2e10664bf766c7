# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel users of our driver: kverbs/efa_pingpong.c in two nodes."""

import contextlib
import re
from pathlib import Path

import our_driver
from efa_emu import faults, guest, kernel
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2, "driver": "efa-emu", "generation": 3, "device": "admin-timeout-ms=500"}
SOURCE = Path(__file__).with_name("kverbs")
MODULE = "efa_pingpong.ko"
FILES = "/sys/module/efa_pingpong/parameters"
NOTHING = "efa_0: pd 0 cq 0 qp 0 cm_id 0 mr 0 ctx 0"
SELF_TEST = "ib_send_lat -c SRD -x 0 -n 100 & until grep -q ':4853 ' /proc/net/tcp*; do sleep 0.01; done; " \
            "ib_send_lat -c SRD -x 0 -n 100 localhost && wait"
RECOVERIES = "dmesg | grep -c 'recovered, life' || true"


@contextlib.contextmanager
def loaded(env, on=None, kernel_of=(guest.DEFAULT_SUITE, guest.DEFAULT_FLAVOUR), server=None, **options):
    """The module in both nodes, each of which knows the other; node 1, with the options server if given, answers."""
    cluster = on or env.cluster
    module = kernel.build_module(*kernel_of, SOURCE, MODULE, "the test of kernel verbs")
    try:
        for node in (0, 1):
            chosen = {**options, **((server or {}) if node else {})}
            cluster.put(node, module, f"/tmp/{MODULE}")
            env.exec(node, load(chosen), on=cluster)
        introduce(env, cluster)
        yield
    finally:
        for node in (0, 1):
            env.exec(node, "! grep -q efa_pingpong /proc/modules || rmmod efa_pingpong", on=cluster)


def load(options):
    """The command that loads the module."""
    return f"insmod /tmp/{MODULE} " + " ".join(f"{name}={value}" for name, value in options.items())


def introduce(env, cluster):
    """Tell the two of each other."""
    qpns = [env.exec(node, f"cat {FILES}/qpn", on=cluster).stdout.strip() for node in (0, 1)]
    for node in (0, 1):
        env.exec(node, f"echo '{cluster.gid(1 - node)} {qpns[1 - node]}' >{FILES}/peer", on=cluster)


def run(env, what, on=None):
    """What the test of that name has come to."""
    said = env.exec(0, f"echo {what} >{FILES}/run && echo ended; cat {FILES}/result", on=on).stdout
    assert said.startswith("ended\n"), f"{what}: {said}"
    env.say(f"{what}: {said}")
    return said.split("\n")[1]


def check_server(env, on=None):
    """The node that answers has seen nothing wrong."""
    said = env.exec(1, f"cat {FILES}/result", on=on).stdout.strip()
    assert not said, said


def check_clean(env, on=None):
    """Nothing is left of the kernel's objects, and no driver has complained."""
    for node in (0, 1):
        left = env.exec(node, "rdma res show", on=on).stdout
        assert NOTHING in left, left
        log = env.exec(node, "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|efa_(emu|pingpong).*"
                             "(leak|second process|failed)' || true", on=on).stdout
        assert not log, log


def test_pingpong(env):
    """Thousands of messages, UD and SRD, each byte as it should be; completions by interrupt."""
    for options in ({"type": "ud"}, {"type": "srd"}, {"type": "srd", "size": 4096, "poll": "workqueue"},
                    {"type": "srd", "poll": "handler"}, {"type": "ud", "size": 20, "by_inline": "y"},
                    {"type": "srd", "size": 32, "by_inline": "y"}):
        with loaded(env, rounds=2000, **options):
            assert run(env, "pingpong") == "ok: 2000 rounds"
            assert run(env, "pingpong") == "ok: 2000 rounds"
            check_server(env)
    check_clean(env)


def test_polling(env):
    """The same, without interrupts on one side."""
    for kind in ("ud", "srd"):
        with loaded(env, rounds=3000, type=kind, poll="direct", server={"poll": "softirq"}):
            assert run(env, "pingpong") == "ok: 3000 rounds"
            check_server(env)
    check_clean(env)


def test_resources(env):
    """The queues are shown as the kernel's, and go with their user."""
    with loaded(env, type="ud"):  # what the core does not count is SRD
        said = env.exec(0, "rdma res show; rdma res show qp").stdout
        assert re.search(r"efa_0: pd 1 cq 1 qp 1", said) and "comm [efa_pingpong]" in said, said
        run(env, "pingpong")
    check_clean(env)


def test_errors(env):
    """Requests that the device or the driver refuses end with the right error; the queue pair goes on."""
    with loaded(env, type="srd", poll="direct", server={"poll": "softirq"}):
        for what, error in (("qpn", "remote invalid RD request"), ("qkey", "remote invalid RD request"),
                            ("lkey", "local protection error"), ("length", "local length error"), ("opcode", "-22"),
                            ("unsignaled", "-22"), ("sges", "-22"), ("full", "32 of 32 posted, then -12, 32 done")):
            assert run(env, what) == error, what
            assert run(env, "pingpong") == "ok: 1000 rounds", what
        check_server(env)
    check_clean(env)


def test_drain(env):
    """A queue pair in the error state flushes what was posted; after a reset it works again."""
    for options in ({"type": "srd"}, {"type": "ud", "poll": "direct", "server": {"poll": "softirq"}}):
        with loaded(env, **options):
            for what, end in (("drain", "16 flushed"), ("receives", "16 more, then -12, 32 flushed")) * 2:
                assert run(env, what) == end
                assert run(env, "pingpong") == "ok: 1000 rounds"
    check_clean(env)


def test_recovery(env):
    """The device is lost while the kernel uses it: it is told, can go, and finds the device well when it comes back."""
    with loaded(env, type="srd", rounds=100000000):
        env.exec(0, f"""
            set -e
            echo pingpong >{FILES}/run 2>/tmp/error & runs=$!
            {our_driver.AWAIT_SENDS}
            {our_driver.RESET}
            if wait $runs; then exit 1; fi
            [ "$(cat {FILES}/events)" = 1 ]
            if echo pingpong >{FILES}/run 2>/dev/null; then exit 1; fi
        """)
        assert env.exec(0, f"cat {FILES}/result").stdout == "ib_post_send: -5\n"
        # what the device had is flushed, and a drain ends, though it has forgotten the queue pair
        env.exec(0, f"echo drain >{FILES}/run 2>/dev/null || true", limit=10)
        assert "flushed" in env.exec(0, f"cat {FILES}/result").stdout
        # somebody else works in the new life, before and after the user of the old one goes
        env.exec(0, SELF_TEST)
        env.exec(0, "rmmod efa_pingpong")
        env.exec(0, SELF_TEST)
    with loaded(env, type="srd", rounds=2000):
        assert run(env, "pingpong") == "ok: 2000 rounds"
    check_clean(env)


@timeout(120)
def test_kept(env):
    """The device refuses to forget an object that the kernel ends: it is reset, and touches memory no more."""
    for opcode in ("destroy-ah", "destroy-qp", "destroy-cq", "dereg-mr", "dealloc-pd"):
        before = int(env.exec(0, RECOVERIES).stdout)
        with loaded(env, type="srd", rounds=1000):
            assert run(env, "pingpong") == "ok: 1000 rounds"
            faults.set_rules(env.cluster, 0, 0, [{"opcode": opcode}])
            env.exec(0, "rmmod efa_pingpong", limit=20)
        [seen] = faults.stats(env.cluster, 0)
        assert seen["fired"] == 1, (opcode, seen)
        assert int(env.exec(0, RECOVERIES).stdout) == before + 1, opcode
    faults.set_rules(env.cluster, 0, 0, [])
    check_clean(env)


@timeout(120)
def test_dead_while_draining(env):
    """The device is lost while the kernel waits for what it had: it comes back as flushed."""
    for opcode, action in (("modify-qp", "ignore"), ("query-qp", "lose")):
        with loaded(env, type="srd", rounds=100000000):
            env.exec(0, f"(echo pingpong >{FILES}/run) 2>/dev/null & {our_driver.AWAIT_SENDS}")
            faults.set_rules(env.cluster, 0, 0, [{"opcode": opcode, "action": action}])
            env.exec(0, "rmmod efa_pingpong", limit=20)
            faults.set_rules(env.cluster, 0, 0, [])
    check_clean(env)


@full
@timeout(600)
def test_other_kernels(env):
    """The oldest kernel and the newest."""
    for suite in ("bookworm", "trixie-backports"):
        cluster = env.up(suite, n=2, generation=2, driver="efa-emu",
                         **({"suite": suite} if suite == "bookworm" else {"kernel_suite": suite}))
        for options in ({"type": "ud"}, {"type": "srd", "poll": "workqueue"}):
            with loaded(env, cluster, (suite, guest.DEFAULT_FLAVOUR), rounds=2000, **options):
                assert run(env, "pingpong", cluster) == "ok: 2000 rounds"
                assert run(env, "drain", cluster) == "16 flushed"
                check_server(env, cluster)
        check_clean(env, cluster)
        cluster.down()


def test_unload(env):
    """The driver goes while the kernel uses its device; the user loses that, and gets it back with the driver."""
    with loaded(env, type="srd", rounds=100000000):
        env.exec(0, f"""
            set -e
            echo pingpong >{FILES}/run 2>/dev/null & runs=$!
            {our_driver.AWAIT_SENDS}
            rmmod efa_emu
            if wait $runs; then exit 1; fi
            [ "$(cat {FILES}/result)" = "the device goes" ]
            if echo pingpong >{FILES}/run 2>/dev/null; then exit 1; fi
            {our_driver.LOAD}
        """)
        env.exec(1, f"rmmod efa_pingpong; {load({'type': 'srd'})}")
        introduce(env, env.cluster)
        env.exec(0, f"echo 2000 >{FILES}/rounds")
        assert run(env, "pingpong") == "ok: 2000 rounds"
    check_clean(env)


def test_unplug(env):
    """The device is pulled out while the kernel uses it."""
    cluster = env.up("unplug", **CLUSTER)
    with loaded(env, cluster, type="srd", rounds=100000000):
        env.exec(0, f"""
            set -e
            (echo pingpong >{FILES}/run || echo failed >/tmp/ended) >/dev/null 2>&1 &
            sent() {{ cat /sys/class/infiniband/*/ports/1/hw_counters/send_wrs; }}
            until [ $(sent) -gt 100 ]; do sleep 0.01; done
        """, on=cluster)
        cluster.qmp(0, "device_del", id="efa0")
        said = env.exec(0, f"""
            until [ -e /tmp/ended ] && ! ls {our_driver.DEVICE} 2>/dev/null; do sleep 0.05; done
            cat /tmp/ended {FILES}/result {FILES}/qpn
        """, on=cluster).stdout.split("\n")
        assert said[:3] == ["failed", "the device goes", "0"], said
        log = env.exec(0, "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace' || true", on=cluster).stdout
        assert not log, log
