# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin commands that go wrong, one after the other: drivers undo what they had done, and the next attempt succeeds."""

import re

import fault_rounds
from efa_emu.testing import full, timeout

CLUSTER = {"n": 1, "driver": "efa-emu", "generation": 3, "device": f"admin-timeout-ms=300,{fault_rounds.LIMITS}"}
LOAD = {"efa": "modprobe efa", "efa_emu": "insmod /usr/lib/efa/driver/efa_emu.ko"}
LEFT = "grep efa /proc/interrupts /proc/iomem; ls /sys/class/infiniband"
REPORTS = "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|refcount|leak|does not recover' || true"
KEPT = "Cannot allocate memory"  # what comes of a limit of the device


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
