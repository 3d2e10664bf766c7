# SPDX-License-Identifier: GPL-2.0-or-later
"""The command efa-cluster impair: what the network does to the packets of nodes. docs/impair.md is for its users."""

import ipaddress
import json
import re
from fractions import Fraction

from . import device, ui

ALL = "all"
CLEAR = "clear"
PARTITIONS = ("none", "out", "in", "both")
SECONDS = {"us": 1, "ms": 1000, "s": 1000000}
SECONDS_MAX = 10
RATES = {"mbit": 1, "gbit": 1000}
NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"


def parse(words):
    """
    Turn ["loss=5%", "delay=100us"] into a rule of the device's property, {"loss": 5.0, "delay-us": 100}.

    Words may be joined by commas.
    """
    rule = {}
    for word in [part for word in words for part in word.split(",") if part]:
        name, equals, text = word.partition("=")
        if name not in MEMBERS:
            raise ui.Fail(f"impair: '{name}' is no impairment: there are {', '.join(MEMBERS)}")
        if not equals:
            raise ui.Fail(f"impair: '{word}' has no value, as in {name}={MEMBERS[name].example}")
        member = MEMBERS[name]
        if member.key in rule:
            raise ui.Fail(f"impair: {name} is given twice")
        value = member.read(name, text, member.example)
        if member.limits and not member.limits[0] <= value <= member.limits[1]:
            raise ui.Fail(f"impair: {name}={text} must be {' to '.join(map(member.write, member.limits))}")
        rule[member.key] = value
    return rule


def show(rule):
    """A rule in the words of parse(), without what has no effect."""
    words = []
    for name, member in MEMBERS.items():
        value = rule.get(member.key, member.default)
        if name == "reorder-by" and not rule.get("reorder") or name == "limit" and not rule.get("rate-mbps"):
            continue
        if name in ("reorder-by", "limit") or value != member.default:
            words.append(f"{name}={member.write(value)}")
    return " ".join(words) or "nothing"


class Member:
    """One word that parse() understands; key is the device's name for it, limits the least and the most it takes."""

    def __init__(self, key, default, limits, example, read, write):  # pylint: disable=too-many-arguments
        self.key, self.default, self.limits, self.example = key, default, limits, example
        self.read, self.write = read, write


def _read_percent(name, text, example):
    number = re.fullmatch(NUMBER + "%?", text)
    if not number:
        raise ui.Fail(f"impair: {name}={text} must be a percentage from 0% to 100%, as {name}={example}")
    return float(number[1])


def _read_unit(units, what, name, text, example):
    number = re.fullmatch(NUMBER + r"([a-z]+)", text, re.I)
    if not number or number[2].lower() not in units:
        raise ui.Fail(f"impair: {name}={text} must be {what} in {', '.join(units)}, as {name}={example}")
    value = Fraction(number[1]) * units[number[2].lower()]
    if value.denominator != 1:
        raise ui.Fail(f"impair: {name}={text} must be a multiple of 1{next(iter(units))}")
    return value.numerator


def _read_time(name, text, example):
    return _read_unit(SECONDS, "a time", name, text, example)


def _read_rate(name, text, example):
    return _read_unit(RATES, "a bandwidth", name, text, example)


def _read_count(name, text, example):
    if not re.fullmatch(r"\d+", text):
        raise ui.Fail(f"impair: {name}={text} must be a whole number, as {name}={example}")
    return int(text)


def _read_partition(name, text, _example):
    if text not in PARTITIONS:
        raise ui.Fail(f"impair: {name}={text} must be one of {', '.join(PARTITIONS)}")
    return text


def _write_time(value):
    unit = next((unit for unit, factor in reversed(SECONDS.items()) if value % factor == 0), "us")
    return f"{value // SECONDS[unit]}{unit}" if value else "0us"


def _percent(key, example):
    return Member(key, 0, (0, 100), example, _read_percent, lambda value: f"{value:g}%")


def _time(key, default, least, example):
    return Member(key, default, (least, SECONDS_MAX * SECONDS["s"]), example, _read_time, _write_time)


MEMBERS = {
    "loss": _percent("loss", "5%"),
    "duplicate": _percent("duplicate", "1%"),
    "reorder": _percent("reorder", "25%"),
    "reorder-by": _time("reorder-us", 200, 1, "200us"),
    "delay": _time("delay-us", 0, 0, "100us"),
    "jitter": _time("jitter-us", 0, 0, "50us"),
    "rate": Member("rate-mbps", 0, (0, 1000000), "100mbit", _read_rate, "{}mbit".format),
    "limit": Member("limit", 1000, (1, 4096), "1000", _read_count, str),
    "corrupt": _percent("corrupt", "0.1%"),
    "partition": Member("partition", "none", None, "both", _read_partition, str),
    "seed": Member("seed", None, (0, 0xffffffff), "7", _read_count, str),
}
"""By the name that users write; in the order in which they are shown."""


# ---- devices ----

def rules(cluster, index, nic=0):
    """The rules of a node's device, as its property has them."""
    return device.get(cluster, index, nic, "impair")


def set_rules(cluster, index, nic, value):
    """Replace them."""
    device.put(cluster, index, nic, "impair", value)


def stats(cluster, index, nic=0):
    """What has happened to a device's packets: {name: count}."""
    return device.get(cluster, index, nic, "impair-stats")


def replace(old, peers, rule):
    """The list of rules old with rule (None: without one) for each GID of peers, or for all peers if there is none."""
    targets = [ipaddress.IPv6Address(gid) for gid in peers] if peers else [None]
    kept = [other for other in old if _peer(other) not in targets]
    if rule is not None:
        kept += [{**({"peer": str(gid)} if gid else {}), **rule} for gid in targets]
    return kept


def _peer(rule):
    return ipaddress.IPv6Address(rule["peer"]) if "peer" in rule else None


# ---- the command ----

def run(cluster, nodes, args):
    """efa-cluster impair: change the rules, or show them."""
    clear = args.clear or args.settings == [CLEAR]
    if clear and args.settings not in ([], [CLEAR]):
        raise ui.Fail(f"impair: {CLEAR} stands alone: it removes every impairment")
    if not clear and not args.settings:
        return _show(cluster, nodes, args)
    rule = None if clear else parse(args.settings)
    for index in nodes:
        for nic in device.chosen(cluster, args.nic):
            _change(cluster, index, nic, args, rule)
    return 0


def _change(cluster, index, nic, args, rule):
    peers = _peers(cluster, args.peer)
    if args.node == ALL:
        peers = [gid for gid in peers if gid != cluster.gid(index, nic)]
    if args.peer and not peers:
        return  # of all nodes, the one that the others are to be impaired towards
    if rule is None and not args.peer:
        set_rules(cluster, index, nic, [])
    else:
        set_rules(cluster, index, nic, replace(rules(cluster, index, nic), peers, rule))


def _peers(cluster, text):
    """The GIDs that --peer means."""
    if text is None:
        return []
    if ":" in text:
        try:
            return [str(ipaddress.IPv6Address(text))]
        except ValueError:
            raise ui.Fail(f"--peer {text} is neither a node nor a GID such as {cluster.gid(0)}") from None
    digits = text.removeprefix("node")
    if not digits.isdigit() or int(digits) >= cluster.config.nodes:
        raise ui.Fail(f"--peer {text} is neither a node of '{cluster.name}' nor a GID such as {cluster.gid(0)}")
    return [cluster.gid(int(digits), nic) for nic in range(cluster.config.nics)]


def _show(cluster, nodes, args):
    devices = [{"node": index, "nic": nic, "impair": rules(cluster, index, nic), "stats": stats(cluster, index, nic)}
               for index in nodes for nic in device.chosen(cluster, args.nic)]
    if args.json:
        print(json.dumps(devices, indent=1))
        return 0
    names = {ipaddress.IPv6Address(cluster.gid(index, nic)): device.title(cluster, index, nic)
             for index in range(cluster.config.nodes) for nic in range(cluster.config.nics)}
    width = max(8, *[len(name) for name in names.values()])
    print(f"{'DEVICE':{width}}  {'PEER':{width}}  IMPAIRMENT")
    for entry in devices:
        name = device.title(cluster, entry["node"], entry["nic"])
        for rule in entry["impair"]:
            peer = names.get(_peer(rule), rule.get("peer", ALL))
            print(f"{name:{width}}  {peer:{width}}  {show(rule)}")
        if not entry["impair"]:
            print(f"{name:{width}}  {ALL:{width}}  none")
        counts = ", ".join(f"{what} {count}" for what, count in entry["stats"].items() if count)
        if counts:
            print(f"{'':{width}}  {'':{width}}  packets: {counts}")
    return 0
