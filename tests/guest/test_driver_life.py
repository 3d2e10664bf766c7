# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own kernel driver when others go before it: pages that stay mapped, devices that vanish, sleep."""

import difflib
import json
import re
import tempfile
from pathlib import Path

import our_driver
from efa_emu import guest, node, perftest, ui
from efa_emu.perftest import Test

CLUSTER = {"n": 2, "driver": "efa-emu", "generation": 3, "device": "admin-timeout-ms=500"}
HERE = Path(__file__).parent
# Where errors differ from those of 6.12's stock driver, by intent: its, and ours.
INTENDED = {}
COUNT_SENT = "sent() { cat /sys/class/infiniband/*/ports/1/hw_counters/send_wrs; }"
TRAFFIC = f"""
    {COUNT_SENT}
    ib_send_bw -c SRD -x 0 -D 60 >/tmp/server 2>&1 & server=$!
    until grep -q ':4853 ' /proc/net/tcp*; do sleep 0.01; done      # its port, 18515
    before=$(sent)
    ib_send_bw -c SRD -x 0 -D 60 localhost >/tmp/client 2>&1 & client=$!
    until [ $(sent) -gt $((before + 1000)) ]; do sleep 0.01; done
"""
END_TRAFFIC = """
    kill -9 $server $client || true         # if the error has not ended them yet
    wait $server $client || true
"""
HAVE_OBJECTS = """
import pyverbs.enums as e
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.providers.efa import efadv
from pyverbs.qp import QPCap, QPInitAttrEx
context = Context(name="efa_0")
pd, cq = PD(context), CQ(context, 64)
mr = MR(pd, 8192, e.IBV_ACCESS_LOCAL_WRITE)
init = QPInitAttrEx(qp_type=e.IBV_QPT_DRIVER, scq=cq, rcq=cq, cap=QPCap(max_send_wr=1, max_recv_wr=1), pd=pd,
                    comp_mask=e.IBV_QP_INIT_ATTR_PD)
qp = efadv.SRDQPEx(context, init, efadv.EfaQPInitAttr())
open("/tmp/made", "w").close()
input()
"""
RESOURCES = f"""
    set -e
    rm -f /tmp/made /tmp/end
    mkfifo /tmp/end
    python3 -c '{HAVE_OBJECTS}' </tmp/end & holder=$!
    exec 3>/tmp/end
    until [ -e /tmp/made ]; do sleep 0.01; done
    for what in qp cq mr pd ctx; do rdma res show $what -dd; rdma -jp res show $what -dd; done
    rdma -d dev show; rdma -d link show; rdma -jp -d dev show; rdma system show; devlink dev show
    cd /sys/class/infiniband/efa_0/device/
    ls; ls infiniband infiniband_verbs msi_irqs | sed 's/^[0-9]*$/N/'; ls -d /dev/infiniband/*
    cd /sys/class/infiniband_verbs/uverbs0; cat dev ibdev abi_version
    echo >&3
    wait $holder
    rdma res show
"""
ACPI_OFF = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")  # slots speak for themselves
SLOT = """
    set -e
    address=$(basename /sys/bus/pci/drivers/efa_emu/0*)
    port=$(basename $(dirname $(readlink -f /sys/bus/pci/devices/$address)))
    dmesg -C
"""
CUT_POWER = 'setpci -s "$port" CAP_EXP+18.w=700:700'  # and its lamp goes out: at once the device is no more
# With the slot's interrupt off, and power on again before it comes: Linux learns that nothing is there.
PULL_OUT = 'setpci -s "$port" CAP_EXP+18.w=700:720 CAP_EXP+18.w=0:400 CAP_EXP+18.w=20:20'
PM_TEST = """
    set -e
    dmesg -C
    stdbuf -oL ibv_asyncwatch -d efa_0 >/tmp/events & watch=$!
    until grep -q efa_0 /tmp/events; do sleep 0.01; done
    echo 0 >/sys/module/suspend/parameters/pm_test_delay
    for level in devices core; do
        echo $level >/sys/power/pm_test
        echo mem >/sys/power/state
        ibv_devinfo | grep PORT_ACTIVE
    done
    dmesg | grep recovered
    kill $watch
    cat /tmp/events
"""


def test_pages(env):
    """Pages of BARs that a process may still have mapped are nobody else's; then they are used again."""
    _install(env, "bar-pages")
    said = env.exec(0, "/tmp/bar-pages").stdout.splitlines()
    assert said == [
        "the same twice: 1 frames shared, content shared",
        "held: 13 frames, a doorbell reads 0xffffffff",  # of the holder's 256 windows 4 are used, and 1 UAR of 256
        "others: 255 contexts, 252 queue pairs, 0 frames shared", "holder: content kept", "others: content kept",
        "afterwards: 4 queue pairs, frames shared: yes", "600 rounds"], said
    _check_log(env)


def test_pages_recovery(env):
    """A reset device's pages are taken from who still has them, and the next one can have all of them."""
    _install(env, "bar-pages")
    said = env.exec(0, f"""
        set -e
        mkfifo /tmp/go
        /tmp/bar-pages recovery </tmp/go >/tmp/said & program=$!
        exec 3>/tmp/go
        until grep -q held: /tmp/said; do sleep 0.01; done
        {our_driver.RESET}
        echo >&3
        status=0
        wait $program || status=$?
        cat /tmp/said
        exit $status
    """).stdout.splitlines()
    assert said == [
        "the same twice: 1 frames shared, content shared",
        "held: 13 frames, a doorbell reads 0xffffffff", "held: 0 frames, a doorbell reads 0x0",
        "others: 256 contexts, 256 queue pairs, 0 frames shared", "holder: content kept", "others: content kept",
        "600 rounds"], said
    _check_log(env)


def test_abi_like_stock(env):
    """Mappings and ioctls that are not as they should be end with the same error as with the stock driver."""
    theirs, ours = (_abi(env, cluster) for cluster in (_stock(env), env.cluster))
    assert len(theirs) > 230, theirs
    for name, error in theirs.items():
        assert error == "ok" or not name.endswith(", as it should be"), (name, error)
    different = {name: (error, ours.get(name)) for name, error in theirs.items() if error != ours.get(name)}
    assert theirs.keys() == ours.keys() and different == INTENDED, different
    _check_log(env)


def _abi(env, cluster):
    _install(env, "uverbs-abi", cluster)
    said = env.exec(0, "/tmp/uverbs-abi", on=cluster).stdout
    return dict(line.rsplit(": ", 1) for line in said.splitlines())


def test_resources_like_stock(env):
    """What a process has is shown as with the stock driver."""
    theirs, ours = (_resources(env, cluster) for cluster in (_stock(env), env.cluster))
    for number in ("lqpn", "cqn", "mrn", "pdn", "ctxn"):
        assert any(f" {number} " in line for line in theirs) and any(f'"{number}"' in line for line in theirs), theirs
    difference = list(difflib.unified_diff(theirs, ours, "stock", "ours", lineterm="", n=0))
    assert not difference, "\n".join(difference)


def _resources(env, cluster):
    said = env.exec(0, RESOURCES, on=cluster).stdout
    for pattern in (r'((?:pid|lqpn|cqn|mrn|pdn|ctxn)"?:?) \d+', r'([lr]key"?:?) (?:0x|")?[0-9a-f]+',
                    r'(guid"?:?) \S+'):
        said = re.sub(pattern, r"\1 X", said)
    return said.splitlines()


def _stock(env):
    return env.up("stock", n=1, generation=3, driver="stock")


def test_unplug(env):
    """A device is unplugged while nodes talk; the next one in its slot works."""
    cluster = env.cluster
    server = cluster.start(0, "ib_send_bw -c SRD -x 0 -D 60")
    cluster.wait_port(0, perftest.FIRST_PORT)
    client = cluster.start(1, "ib_send_bw -c SRD -x 0 -D 60 node0")
    env.exec(1, f"{COUNT_SENT}; until [ $(sent) -gt 1000 ]; do sleep 0.01; done")
    cluster.qmp(0, "device_del", id="efa0")
    _await_unplugged(env, cluster)
    for side in (server, client):
        if side.running():
            side.kill()
    _plug_in(env, cluster)
    env.say(f"{perftest.run(cluster, Test('ib_send_bw', 'SRD', 4096, 1000))}")
    _check_log(env)


def test_surprise(env):
    """The device is gone at once, without a word: not noticed yet, or while the driver seeks to recover it."""
    for noticed in ("", "! ibv_devinfo >/dev/null 2>&1; until dmesg | grep -q 'no answer'; do sleep 0.01; done"):
        said = env.exec(0, f"""
            {SLOT}
            {TRAFFIC}
            {CUT_POWER}
            [ "$(setpci -s $address 0.l)" = ffffffff ]
            {noticed}
            begin=$(cut -d. -f1 /proc/uptime)
            echo 1 >/sys/bus/pci/devices/$address/remove
            [ $(cut -d. -f1 /proc/uptime) -lt $((begin + 4)) ]
            ! [ -e /sys/class/infiniband/efa_0 ]
            {END_TRAFFIC}
            setpci -s "$port" CAP_EXP+18.w=0:400
            echo 1 >/sys/bus/pci/rescan
            ibv_devinfo | grep PORT_ACTIVE
        """).stdout
        assert "PORT_ACTIVE" in said, said
    env.say(f"{perftest.run(env.cluster, Test('ib_send_bw', 'SRD', 4096, 1000))}")
    _check_log(env)


def test_surprise_hotplug(env):
    """The device is pulled out of a slot that tells Linux of it; the next one in it works."""
    cluster = env.up("native", n=1, generation=3, driver="efa-emu", device="admin-timeout-ms=500", qemu_args=ACPI_OFF)
    env.exec(0, f"{SLOT} {TRAFFIC} {PULL_OUT}; until ! [ -e /sys/bus/pci/devices/$address ]; do sleep 0.01; done; "
                f"{END_TRAFFIC}", on=cluster)
    _await_unplugged(env, cluster)
    _plug_in(env, cluster)
    _check_log(env, cluster)


def test_sleep(env):
    """Linux's test of sleep, all but the machine's own: who has the device open is told, and it works."""
    cluster = env.up("sleep", n=1, generation=3, driver="efa-emu", kernel="generic")  # the cloud kernel lacks the test
    said = env.exec(0, f"{TRAFFIC} {PM_TEST} {END_TRAFFIC}", on=cluster).stdout
    for life in (1, 2):
        assert f"recovered, life {life}" in said, said
    assert said.count("PORT_ACTIVE") == 2 and said.count("IBV_EVENT_DEVICE_FATAL") == 2, said
    _check_log(env, cluster)


def _await_unplugged(env, cluster):
    env.exec(0, "until ! [ -e /sys/class/infiniband/efa_0 ]; do sleep 0.01; done", on=cluster)
    while any(child["name"] == "efa0" for child in cluster.qmp(0, "qom-list", path="/machine/peripheral")):
        pass


def _plug_in(env, cluster):
    """The device of node 0 anew."""
    words = node.command(cluster.config, cluster.files, 0)
    [word] = [word for word in words if word.startswith(("efa,", '{"driver":"efa"'))]
    if word.startswith("{"):
        device = json.loads(word)
    else:
        device = {"driver": "efa"}
        for text in word.split(",")[1:]:
            name, _, value = text.partition("=")
            device[name] = int(value) if value.isdigit() else value
    cluster.qmp(0, "device_add", **device)
    env.exec(0, "until ibv_devinfo 2>&1 | grep PORT_ACTIVE; do sleep 0.05; done", on=cluster)


def _install(env, program, on=None):
    """Compile one of the programs here, and put it on node 0."""
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory, program)
        ui.run(["gcc", *guest.CFLAGS, "-o", binary, HERE / f"{program}.c"], binary.with_suffix(".log"))
        (on or env.cluster).put(0, binary, f"/tmp/{program}")


def _check_log(env, on=None):
    errors = env.exec(0, "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|efa_emu.*(leak|second process)' || true",
                      on=on).stdout
    assert not errors, errors
