# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin commands that go wrong, one after the other: drivers undo what they had done, and the next attempt succeeds."""

import json
import re
import subprocess

import fault_rounds
import our_driver
from efa_emu import TREE, faults, ui
from efa_emu.testing import full, timeout

CLUSTER = {"n": 1, "driver": "efa-emu", "generation": 3, "device": f"admin-timeout-ms=300,{fault_rounds.LIMITS}"}
LOAD = {"efa": "modprobe efa", "efa_emu": our_driver.LOAD}
LEFT = "grep efa /proc/interrupts /proc/iomem; ls /sys/class/infiniband"
REPORTS = "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|refcount|leak|does not recover' || true"
KEPT = "Cannot allocate memory"  # what comes of a limit of the device


def test_parse(_env):
    """What users write is understood, or refused with a line that helps."""
    assert faults.parse("create-qp,nth=2,status=resource-busy,extended-status=7") == {
        "opcode": "create-qp", "nth": 2, "status": "resource-busy", "extended-status": 7}
    assert faults.parse("any,action=ignore,count=all") == {"action": "ignore", "count": 0}
    for text, wanted in (("nth=2", "must begin with an admin command"), ("", "must begin"),
                         ("any,nht=2", "there are nth"), ("any,nth", "has no value"), ("any,nth=0", "from 1 to"),
                         ("any,nth=1,nth=2", "twice"), ("any,count=-1", "from 1 to"), ("any,action=stop", "lose"),
                         ("any,status=success", "resource-busy"), ("any,extended-status=65536", "0 to 65535"),
                         ("any,action=lose,status=bad-opcode", "only action=status")):
        try:
            result = faults.parse(text)
        except ui.Fail as e:
            assert wanted in str(e) and "\n" not in str(e), (text, str(e))
        else:
            raise AssertionError(f"{text} was taken as {result}")


def test_command(env):
    """The tool sets, shows and clears rules."""
    _tool(env, "0", "create-qp,nth=2,status=resource-busy", "any,action=no-interrupt,nth=1000,count=all")
    env.exec(0, "ibv_devinfo >/dev/null")
    lines = _tool(env, "all").stdout.splitlines()
    assert len(lines) == 3 and re.match(r"node0 +create-qp +0 +0  status=resource-busy,nth=2$", lines[1]), lines
    assert re.match(r"node0 +any +[1-9]\d* +0  action=no-interrupt,nth=1000,count=all$", lines[2]), lines
    [device] = json.loads(_tool(env, "--json", "0").stdout)
    assert device["faults"] == faults.rules(env.cluster, 0) and len(device["stats"]) == 2, device
    for words, wanted in ((("0", "any,nth=0"), "nth=0"), (("7", "any"), "no node 7"), (("0", "--nic", "1"), "--nic 1"),
                          (("0", "clear", "any"), "stands alone"), (("0", "creat-qp"), "opcode=creat-qp")):
        assert wanted in _tool(env, *words, status=1).stderr, words
    assert len(faults.rules(env.cluster, 0)) == 2
    _tool(env, "all", "clear")
    assert faults.rules(env.cluster, 0) == []


def _tool(env, *words, status=0):
    done = subprocess.run([TREE / "scripts/efa-cluster", "faults", "--name", env.cluster.name, *words],
                          capture_output=True, text=True, timeout=60, check=False)
    env.say(f"efa-cluster faults {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert done.returncode == status, (words, done.stderr)
    return done


def test_refused(env):
    """Each command about verbs objects is refused once: who asked is told, and no object is left behind."""
    with fault_rounds.objects_in(env.cluster) as objects:
        failed = _rounds(env, objects, "status")
    assert all(failed.values()), [name for name, errors in failed.items() if not errors]
    _check_log(env)


def test_uar_kept(env):
    """A device that does not let go of a process's pages has them until it is reset, and nobody else gets them."""
    with fault_rounds.objects_in(env.cluster) as objects:
        for _ in fault_rounds.each_command(env.cluster, "dealloc-uar", "status", lambda _: objects.ask("round")):
            errors = objects.ask("round")
            assert list(errors) == ["QP"] and KEPT in errors["QP"], errors
    env.exec(0, f"rmmod efa_emu; {LOAD['efa_emu']}")
    with fault_rounds.objects_in(env.cluster) as objects:
        assert not objects.ask("round")
    _check_log(env)


def test_unanswered(env):
    """Each of them is carried out but never answered: the device is reset, and the next process finds it well."""
    with fault_rounds.objects_in(env.cluster) as objects:
        before = _recoveries(env)
        failed = _rounds(env, objects, "lose")
    assert _recoveries(env) == before + len(failed), failed
    for name, errors in failed.items():  # what is destroyed is gone with the reset
        assert errors or re.match("de(stroy|reg|alloc)-", name), name
    _check_log(env)


@full
def test_not_carried_out(env):
    """Each of them is neither carried out nor answered."""
    with fault_rounds.objects_in(env.cluster) as objects:
        before = _recoveries(env)
        failed = _rounds(env, objects, "ignore")
    assert _recoveries(env) == before + len(failed), failed
    _check_log(env)


def test_no_interrupt(env):
    """Each of them is answered without an interrupt: it takes longer, and nothing else."""
    with fault_rounds.objects_in(env.cluster) as objects:
        before = _recoveries(env)
        failed = _rounds(env, objects, "no-interrupt")
    assert not any(failed.values()), failed
    assert _recoveries(env) == before
    _check_log(env)


def _rounds(env, objects, action):
    """A round for each command, and one without a fault after it; {"create-qp 1": what failed}."""
    assert not objects.ask("round")
    failed = {}
    for opcode in fault_rounds.OBJECTS:
        if action == "status" and opcode in fault_rounds.FORGETS:
            continue
        for nth, errors in fault_rounds.each_command(env.cluster, opcode, action, lambda _: objects.ask("round")):
            env.say(f"{action}, {opcode} {nth}: {errors or 'nothing failed'}")
            failed[f"{opcode} {nth}"] = errors
            after = objects.ask("round")
            assert not after, f"after {opcode} {nth}: {after}"
    assert len(failed) >= len(fault_rounds.OBJECTS) - 1, failed
    return failed


def _recoveries(env):
    return int(env.exec(0, "dmesg | grep -c 'recovered, life' || true").stdout)


@timeout(120)
def test_probe(env):
    """Each command of the probe is refused, or never answered: nothing is left, and the driver can be loaded again."""
    for action in ("status", "lose"):
        _probes(env, env.cluster, "efa_emu", action)
    _check_log(env)


@timeout(120)
def test_probe_stock(env):
    """The same with the stock driver, each command refused."""
    stock = env.up("stock", n=1, generation=3)
    _probes(env, stock, "efa", "status")
    said = env.exec(0, REPORTS, on=stock).stdout
    assert not said, said


def _probes(env, cluster, module, action):
    """Load the driver with each command of its probe going wrong."""
    outcomes = {}

    def load(nth):
        env.exec(0, f"{LOAD[module]}; true", on=cluster)
        outcomes[nth] = "0000:" in env.exec(0, f"ls /sys/bus/pci/drivers/{module}", on=cluster).stdout

    env.exec(0, f"rmmod {module}", on=cluster)
    for nth, _ in fault_rounds.each_command(cluster, None, action, load):
        if not outcomes[nth]:
            left = env.exec(0, LEFT, on=cluster).stdout
            assert not left, f"{action}, command {nth}: {left}"
        env.exec(0, f"rmmod {module}", on=cluster)
    env.say(f"{module}, {action}: {outcomes}")
    env.exec(0, f"{LOAD[module]}; ibv_devinfo | grep PORT_ACTIVE", on=cluster)
    assert sum(not bound for bound in outcomes.values()) >= 7, outcomes  # features, AENQ, EQ


def _check_log(env):
    said = env.exec(0, REPORTS).stdout
    assert not said, said
