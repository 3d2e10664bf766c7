# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad networks: what efa-cluster impair does, and what SRD makes of it."""

import json
import subprocess
import time

from efa_emu import TREE, impair, perftest, ui
from efa_emu.perftest import Test
from efa_emu.testing import timeout
from peers import UNRESPONSIVE, introduce, peers_in

PEER_TIMEOUT_MS = 4000
CLUSTER = {"n": 2, "device": f"peer-timeout-ms={PEER_TIMEOUT_MS}"}

TOOL = TREE / "scripts/efa-cluster"
BAD = ("loss=5%", "duplicate=2%", "reorder=25%")
HEAL_SECONDS = 0.6  # well within the peer timeout


def test_parse(_env):
    """What users write is understood, or refused with a line that helps."""
    assert impair.parse(["loss=5%,reorder=25", "delay=1.5ms", "rate=2gbit", "jitter=50us"]) == {
        "loss": 5, "reorder": 25, "delay-us": 1500, "rate-mbps": 2000, "jitter-us": 50}
    rule = impair.parse(["corrupt=.1%", "partition=in", "seed=7", "limit=10", "rate=1mbit", "delay=1s", "reorder=1",
                         "reorder-by=3ms", "duplicate=100%"])
    assert impair.parse([impair.show(rule).replace(" ", ",")]) == rule, impair.show(rule)
    for text, wanted in (("los=5%", "there are loss, duplicate"), ("loss", "as in loss=5%"), ("loss=101", "0% to 100%"),
                         ("loss=-1%", "0% to 100%"), ("delay=100", "us, ms, s"), ("delay=1.5us", "multiple of 1us"),
                         ("rate=100", "mbit, gbit"), ("partition=up", "none, out, in, both"),
                         ("seed=x", "whole number"), ("loss=1%,loss=2%", "twice"),
                         ("delay=20s", "delay=20s must be 0us to 10s"), ("jitter=10001ms", "0us to 10s"),
                         ("reorder-by=0us", "1us to 10s"), ("rate=1001gbit", "0mbit to 1000000mbit"),
                         ("limit=0", "1 to 4096"), ("limit=4097", "1 to 4096"), ("seed=4294967296", "to 4294967295")):
        try:
            result = impair.parse([text])
        except ui.Fail as e:
            assert wanted in str(e) and "\n" not in str(e), (text, str(e))
        else:
            raise AssertionError(f"{text} was taken as {result}")


def test_replace(_env):
    """A rule takes the place of the one for the same peer, however that is spelled."""
    old = [{"loss": 1}, {"peer": "fe80::2", "loss": 2}]
    assert impair.replace(old, [], {"loss": 3}) == [old[1], {"loss": 3}]
    assert impair.replace(old, ["fe80:0::0:2"], {"loss": 3}) == [old[0], {"peer": "fe80::2", "loss": 3}]
    assert impair.replace(old, ["fe80::3"], {"loss": 3}) == [*old, {"peer": "fe80::3", "loss": 3}]
    assert impair.replace(old, ["fe80::2"], None) == [old[0]]


def test_command(env):
    """The tool sets, shows and clears impairments, of everyone or towards one peer."""
    _impair(env, "all", *BAD, "seed=7")
    _impair(env, "0", "--peer", "1", "delay=2ms", "rate=100mbit")
    shown = _impair(env, "all").stdout
    assert shown.count("loss=5%") == 2 and "delay=2ms rate=100mbit" in shown, shown
    devices = json.loads(_impair(env, "--json", "all").stdout)
    assert [len(device["impair"]) for device in devices] == [2, 1], devices
    assert devices[0]["impair"] == impair.rules(env.cluster, 0), devices
    assert all("lost" in device["stats"] for device in devices), devices
    _impair(env, "node0", "clear", "--peer", env.cluster.gid(1))
    assert len(impair.rules(env.cluster, 0)) == 1
    _impair(env, "all", "--clear")
    assert impair.rules(env.cluster, 0) == impair.rules(env.cluster, 1) == []
    for words, wanted in ((("0", "los=5%"), "'los' is no impairment"), (("7", "loss=5%"), "no node 7"),
                          (("0", "--peer", "7", "loss=5%"), "--peer 7"), (("0", "--nic", "1", "loss=5%"), "--nic 1"),
                          (("0", "clear", "loss=5%"), "'clear' is no impairment"), (("0", "limit=9999"), "limit=9999")):
        assert wanted in _impair(env, *words, status=1).stderr, words


@timeout(300)
def test_srd_survives(env):
    """With loss, doubles and reordering perftest and verified messages pass on SRD as ever."""
    _impair(env, "all", *BAD, "corrupt=1%", "seed=7")
    [row] = perftest.run(env.cluster, Test("ib_send_lat", "SRD", 64, 100), limit=120)
    env.say(f"latency: {row}")
    [row] = perftest.run(env.cluster, Test("ib_send_bw", "SRD", 4096, 1000), limit=120)
    env.say(f"bandwidth: {row}")
    with peers_in(env.cluster, range(2)) as peers:
        for node, peer in peers.items():
            peer.tell("exchange", to=[1 - node], expect=[1 - node], count=200, size=2048, limit=50)
        for node, peer in peers.items():
            done = peer.answer()
            expected = {str(1 - node): 200}
            assert done == {"sent": expected, "received": expected, "errors": {}, "wrong": []}, (node, done)
    counts = [impair.stats(env.cluster, node) for node in range(2)]
    env.say(f"packets: {counts}")
    for mine, other in (counts, counts[::-1]):
        assert all(mine[what] > 0 for what in ("lost", "duplicated", "reordered", "corrupted")), mine
        assert mine["corrupted"] >= other["checksum-drops"] > 0, (mine, other)
    _impair(env, "all", "clear")
    perftest.run(env.cluster, Test("ib_send_lat", "SRD", 64, 500))
    after = [impair.stats(env.cluster, node) for node in range(2)]
    assert after == [{**count, "held": 0} for count in counts], (counts, after)


def test_partition_that_heals(env):
    """A partition that ends within the peer timeout is seen as latency, and as nothing else."""
    with peers_in(env.cluster, range(2)) as peers:
        peers[1].tell("sink")
        assert not peers[0].ask("one", to=1, size=64)["errors"]
        _impair(env, "0", "--peer", "1", "partition=both")
        peers[0].tell("one", to=1, size=64)
        _await_partitioned(env.cluster)
        time.sleep(HEAL_SECONDS)  # this is how long it lasts, not what the test waits for
        impair.set_rules(env.cluster, 0, 0, [])  # at once: to start the tool takes long on a busy machine
        done = peers[0].answer()
        env.say(f"{done}")
        assert done["sent"] == {"1": 2} and not done["errors"] and done["seconds"] > HEAL_SECONDS * 0.9, done
        assert peers[1].ask("counts")["received"] == {"0": 2}


def test_partition_that_lasts(env):
    """One that outlasts the timeout, in either direction, ends work with status 13; afterwards all is well again."""
    with peers_in(env.cluster, range(2)) as peers:
        for direction in ("out", "in"):
            peers[1].tell("sink")
            assert not peers[0].ask("one", to=1, size=64)["errors"]
            _impair(env, "0", f"partition={direction}")
            done = peers[0].ask("one", to=1, size=64)
            env.say(f"{direction}: {done}")
            assert done["errors"] == {UNRESPONSIVE: 1}, done
            assert done["seconds"] > PEER_TIMEOUT_MS / 1000 * 0.8, done
            _impair(env, "0", "clear")
            peers[1].ask("counts")
            introduce(peers)
            for node, peer in peers.items():
                peer.tell("exchange", to=[1 - node], expect=[1 - node], count=50, size=512, limit=30)
            for node, peer in peers.items():
                done = peer.answer()
                assert done["sent"] == done["received"] == {str(1 - node): 50} and not done["errors"], (node, done)
            introduce(peers)


def test_from_the_start(env):
    """up --impair is there from the first packet, and a node that is started again has it too."""
    lossy = env.up("lossy", n=1, impair="delay=5ms,seed=3")
    assert impair.rules(lossy, 0)[0]["delay-us"] == 5000, impair.rules(lossy, 0)
    lossy.restart(0)
    assert impair.rules(lossy, 0)[0]["seed"] == 3, impair.rules(lossy, 0)


def _await_partitioned(cluster):
    deadline = time.monotonic() + PEER_TIMEOUT_MS / 1000
    while not impair.stats(cluster, 0)["partitioned"]:
        assert time.monotonic() < deadline, "nothing was lost by the partition"
        time.sleep(0.01)


def _impair(env, *words, status=0):
    done = subprocess.run([TOOL, "impair", "--name", env.cluster.name, *words], capture_output=True, text=True,
                          timeout=60, check=False)
    env.say(f"impair {' '.join(words)}\n{done.stdout}{done.stderr}[status {done.returncode}]")
    assert done.returncode == status, f"status {done.returncode}, not {status}"
    return done
