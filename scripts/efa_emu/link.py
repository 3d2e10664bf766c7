# SPDX-License-Identifier: GPL-2.0-or-later
"""The command efa-cluster link: the cables of EFA devices."""

from . import device

STATES = {"up": True, "down": False}


def is_up(cluster, index, nic=0):
    """Is the cable of a node's device plugged in?"""
    return device.get(cluster, index, nic, "link")


def plug(cluster, index, nic, up):
    """Plug it in, or pull it out."""
    device.put(cluster, index, nic, "link", up)


def run(cluster, nodes, args):
    """efa-cluster link: change the state of links, or show it."""
    for index in nodes:
        for nic in device.chosen(cluster, args.nic):
            if args.state:
                plug(cluster, index, nic, STATES[args.state])
            else:
                state = next(name for name, up in STATES.items() if up == is_up(cluster, index, nic))
                print(f"{device.title(cluster, index, nic)}: {state}")
    return 0
