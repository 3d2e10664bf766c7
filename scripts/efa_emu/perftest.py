# SPDX-License-Identifier: GPL-2.0-or-later
"""perftest between two nodes: start the server's side and the client's, read the table that they print."""

import itertools
import os
import re
from typing import NamedTuple

from . import ui

FIRST_PORT = 18515
SHOWN_LINES = 12
DEFAULT_RX_DEPTH = 512
NO_PEAK = "-N"  # perftest looks for the peak in quadratic time: with very many messages that takes longer than they do

# What stands over a column, and what we call it. Each release of perftest writes the rest of the header differently.
COLUMNS = [("#bytes", "bytes"), ("#iterations", "iterations"), ("t_min", "t_min"), ("t_max", "t_max"),
           ("t_typical", "t_median"), ("t_avg", "t_avg"), ("t_stdev", "t_stdev"), (" 99%", "p99"), ("99.9%", "p999"),
           ("BW peak", "peak"), ("BW average", "average"), ("MsgRate", "rate")]

_ports = itertools.count(FIRST_PORT)


class Test(NamedTuple):
    """
    One run: tool is ib_send_lat or another of perftest's, transport what its -c takes, size None for all sizes.

    A UD bandwidth test may have as many iterations as a receive queue has entries.
    """
    tool: str
    transport: str = "SRD"
    size: int = 64
    iterations: int = 1000
    options: tuple = ()
    device: str = ""  # the node's EFA device, if it is not named
    gid_index: int = 0  # None: perftest chooses

    def words(self, device, port):
        """The command line of both sides."""
        size = ["-a"] if self.size is None else ["-s", str(self.size)]
        gid = [] if self.gid_index is None else ["-x", str(self.gid_index)]
        return [self.tool, "-d", device, "-c", self.transport, *gid, *size, "-n", str(self.iterations),
                *self._depths(), "-p", str(port), "-F", *self.options]

    def _depths(self):
        if not self.tool.endswith("_bw"):
            return []
        words = ["-Q", "1"]  # a completion for each message: more do not get on with UD and events
        if self.transport == "UD":
            # A datagram that finds no buffer is lost, and the server waits for it for ever.
            words += ["-r", str(max(self.iterations, DEFAULT_RX_DEPTH))]
        return words


class Run:
    """A test that is under way: the server on one node, the client on another."""

    def __init__(self, cluster, test, server=0, client=1, client_device=""):
        self.test = test
        self._nodes = f"{cluster.node_name(server)} and {cluster.node_name(client)}"
        port = next(_ports)
        self.server = cluster.start(server, test.words(_device(cluster, server, test), port))
        self.client = None
        try:
            cluster.wait_port(server, port)
            words = test.words(client_device or _device(cluster, client, test), port)
            self.client = cluster.start(client, [*words, f"node{server}"])
        except BaseException:
            self.kill()
            raise

    def wait(self, limit=60):
        """Wait until both sides have ended; return the client's rows."""
        try:
            client = self.client.wait(limit)
            server = self.server.wait(limit if client.status == 0 else 1)
        except ui.Fail as e:
            raise ui.Fail(f"{e}\n{self.transcript()}") from e
        finally:
            self.kill()
        if client.status or server.status:
            raise ui.Fail(f"{self.test.tool} ended with status {server.status} on the server and {client.status} on "
                          f"the client\n{self.transcript()}")
        rows = parse(client.stdout)
        if not rows:
            raise ui.Fail(f"{self.test.tool} printed no results\n{self.transcript()}")
        return rows

    def kill(self):
        """End what still runs."""
        for side in (self.client, self.server):
            if side and side.running():
                side.kill()

    def transcript(self):
        """The last lines of both sides, for messages."""
        lines = [f"between {self._nodes}: {' '.join(self.server.command)}"]
        for name, side in (("server", self.server), ("client", self.client)):
            said = f"{side.stdout}{side.stderr}".splitlines()[-SHOWN_LINES:] if side else ["(not started)"]
            lines += [f"  {name} | {line}" for line in said]
        return "\n".join(lines)


def run(cluster, test, server=0, client=1, limit=60):
    """Run a test from beginning to end; return the client's rows, a dict for each message size."""
    return Run(cluster, test, server, client).wait(limit)


def parse(text):
    """The rows of perftest's table: dicts whose keys are those of COLUMNS that it has."""
    rows, names = [], None
    for line in text.splitlines():
        if "#bytes" in line:
            places = sorted((line.index(head), name) for head, name in COLUMNS if head in line)
            names = [name for _, name in places]
        elif names and re.match(r"\s*\d+\s+\d", line):
            values = [float(word) for word in line.split()]
            if len(values) < len(names):
                raise ui.Fail(f"perftest printed {len(values)} values under {len(names)} headings: {line}")
            rows.append(dict(zip(names, values)))
        elif names and line.startswith("---"):
            names = None
    return rows


def devices(cluster, index):
    """The names of a node's EFA devices; udev may have given them others than the driver does."""
    shown = cluster.exec(index, 'for d in /sys/class/infiniband/*; do echo "${d##*/} '
                                '$(readlink "$d/device/driver" || true)"; done').stdout
    return [words[0] for words in map(str.split, shown.splitlines()) if words[-1].endswith(("/efa", "/efa_emu"))]


def check_writable(path, option="--json"):
    """Refuse a file for results that cannot be written: better now than after minutes of work."""
    if path and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise ui.Fail(f"{option} {path}: cannot write there")


def _device(cluster, index, test):
    if test.device:
        return test.device
    found = devices(cluster, index)
    if not found:
        raise ui.Fail(f"{cluster.node_name(index)} has no EFA device")
    return found[0]
