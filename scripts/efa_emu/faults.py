# SPDX-License-Identifier: GPL-2.0-or-later
"""The command efa-cluster faults: which admin commands of nodes' devices go wrong. docs/faults.md is for its users."""

import json
import re

from . import device, ui

ANY = "any"
CLEAR = "clear"
ALL = "all"
ACTIONS = ("status", "ignore", "lose", "no-interrupt")
STATUSES = ("resource-allocation-failure", "bad-opcode", "unsupported-opcode", "malformed-request",
            "illegal-parameter", "unknown-error", "resource-busy")
LARGEST = 0xffffffff
EXAMPLE = "create-qp,nth=2,status=resource-busy"


def parse(text):
    """Turn "create-qp,nth=2" into a rule of the device's property, {"opcode": "create-qp", "nth": 2}."""
    opcode, *words = text.split(",")
    if not opcode or "=" in opcode:
        raise ui.Fail(f"faults: '{text}' must begin with an admin command or '{ANY}', as in {EXAMPLE}")
    rule = {} if opcode == ANY else {"opcode": opcode}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in MEMBERS:
            raise ui.Fail(f"faults: '{name}' is no part of a rule: there are {', '.join(MEMBERS)}")
        if not equals:
            raise ui.Fail(f"faults: '{word}' has no value, as in {EXAMPLE}")
        if name in rule:
            raise ui.Fail(f"faults: {name} is given twice in '{text}'")
        rule[name] = MEMBERS[name](name, value)
    if "status" in rule and rule.get("action", "status") != "status":
        raise ui.Fail(f"faults: '{text}': only action=status has a status")
    return rule


def show(rule):
    """A rule in the words of parse(), without the command and without what has no effect."""
    words = [f"status={rule['status']}" if rule["action"] == "status" else f"action={rule['action']}"]
    if rule["action"] == "status" and rule["extended-status"]:
        words.append(f"extended-status={rule['extended-status']}")
    words.append(f"nth={rule['nth']}")
    if rule["count"] != 1:
        words.append(f"count={rule['count'] or ALL}")
    return ",".join(words)


def _read_choice(choices):
    def read(name, text):
        if text not in choices:
            raise ui.Fail(f"faults: {name}={text} must be one of {', '.join(choices)}")
        return text
    return read


def _read_number(least, most):
    def read(name, text):
        if not re.fullmatch(r"\d+", text) or not least <= int(text) <= most:
            raise ui.Fail(f"faults: {name}={text} must be a whole number from {least} to {most}")
        return int(text)
    return read


def _read_count(name, text):
    return 0 if text == ALL else _read_number(1, LARGEST)(name, text)


MEMBERS = {
    "nth": _read_number(1, LARGEST),
    "count": _read_count,
    "action": _read_choice(ACTIONS),
    "status": _read_choice(STATUSES),
    "extended-status": _read_number(0, 0xffff),
}


def rules(cluster, index, nic=0):
    """The rules of a node's device, as its property has them."""
    return device.get(cluster, index, nic, "faults")


def set_rules(cluster, index, nic, value):
    """Replace them; counting begins anew."""
    device.put(cluster, index, nic, "faults", value)


def stats(cluster, index, nic=0):
    """What each rule has seen: [{"seen": count, "fired": count}]."""
    return device.get(cluster, index, nic, "fault-stats")


def run(cluster, nodes, args):
    """efa-cluster faults: change the rules, or show them."""
    if not args.rules:
        return _show(cluster, nodes, args)
    if CLEAR in args.rules and args.rules != [CLEAR]:
        raise ui.Fail(f"faults: {CLEAR} stands alone: it removes every rule")
    wanted = [] if args.rules == [CLEAR] else [parse(text) for text in args.rules]
    for index in nodes:
        for nic in device.chosen(cluster, args.nic):
            set_rules(cluster, index, nic, wanted)
    return 0


def _show(cluster, nodes, args):
    devices = [{"node": index, "nic": nic, "faults": rules(cluster, index, nic), "stats": stats(cluster, index, nic)}
               for index in nodes for nic in device.chosen(cluster, args.nic)]
    if args.json:
        print(json.dumps(devices, indent=1))
        return 0
    print(f"{'DEVICE':11} {'COMMAND':16} {'SEEN':>6} {'FIRED':>6}  FAULT")
    for entry in devices:
        name = device.title(cluster, entry["node"], entry["nic"])
        for rule, seen in zip(entry["faults"], entry["stats"], strict=True):
            print(f"{name:11} {rule.get('opcode', ANY):16} {seen['seen']:6} {seen['fired']:6}  {show(rule)}")
        if not entry["faults"]:
            print(f"{name:11} {ANY:16} {'':6} {'':6}  none")
    return 0
