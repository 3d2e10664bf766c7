# SPDX-License-Identifier: GPL-2.0-or-later
"""The EFA devices of running nodes, as QEMU's monitor knows them."""

from . import ui


def get(cluster, index, nic, name):
    """A property of a node's device efaK."""
    return _qom(cluster, "get", index, nic, name)


def put(cluster, index, nic, name, value):
    """Change it."""
    _qom(cluster, "set", index, nic, name, value=value)


def chosen(cluster, nic):
    """The numbers of the devices that --nic means: all of a node's, if it is not given."""
    if nic is None:
        return range(cluster.config.nics)
    if not 0 <= nic < cluster.config.nics:
        raise ui.Fail(f"--nic {nic}: the nodes of '{cluster.name}' have {cluster.config.nics} EFA devices")
    return [nic]


def title(cluster, index, nic):
    """How users are shown a device."""
    return f"node{index}" if cluster.config.nics == 1 else f"node{index}/efa{nic}"


def _qom(cluster, verb, index, nic, name, **value):
    path = f"/machine/peripheral/efa{nic}"
    return cluster.qmp(index, f"qom-{verb}", path=path, property=name, **value)
