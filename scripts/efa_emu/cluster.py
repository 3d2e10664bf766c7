# SPDX-License-Identifier: GPL-2.0-or-later
"""
Clusters of nodes: start, use, stop.

What only starting takes is imported only there: half of the time of a short exec is Python's start.
"""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from . import agent, node, qmp, runtime, ui
from .agent import Result
from .node import Config, Files

HOST_PACKAGES = ["vde2"]
UP_TIMEOUT = 120
SWITCH_SECONDS = 20
LAST_LINES = 15
AWAIT_LISTENER = "until grep -q ':%04X .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done"


class Cluster:
    """A cluster that runs, or did. As a context manager, it is taken down at the end."""

    def __init__(self, config, files):
        self.config = config
        self.files = files
        self.name = config.name
        self._children = []

    # ---- life ----

    @classmethod
    def up(cls, name="default", n=2, timeout=UP_TIMEOUT, keep=False, **settings):
        """
        Start a cluster of n nodes; return when each of them has every EFA device's port ACTIVE.

        settings are the fields of node.Config. If a node does not get there, say which, and take all down (or keep it).
        """
        config = check(Config(name=name, nodes=n, **settings))
        runtime.directory(name)
        files = prepare(config)
        with runtime.locked(name, wait=False):
            _clear_dead(name)
            config = config._replace(accel=choose_accel(config.accel, files))
            cluster = cls(config, files)
            try:
                cluster._launch(timeout, keep)
            except BaseException:
                if not keep:
                    cluster._end()
                raise
        return cluster

    @classmethod
    def open(cls, name="default", index=None):
        """The cluster of this name, started by whomever; or, of one that spans hosts, the node that is here."""
        if index is not None and not runtime.directory(name).exists() and runtime.directory(f"{name}.{index}").exists():
            name = f"{name}.{index}"
        path = runtime.directory(name) / "cluster.json"
        try:
            saved = json.loads(path.read_text())
        except (OSError, ValueError):
            there = ", ".join(runtime.names()) or "none"
            raise ui.Fail(f"there is no cluster '{name}' (running: {there}); start it with: efa-cluster up --name "
                          f"{name}") from None
        config = Config(**{field: tuple(value) if isinstance(value, list) else value
                           for field, value in saved["config"].items() if field in Config._fields})
        return cls(config, Files(*[Path(p) for p in saved["files"]]))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.down()

    def down(self):
        """End every process of the cluster and remove its files."""
        with runtime.locked(self.name):
            self._end()

    def kill(self, index):
        """End a node as a power failure would."""
        self._check_index(index)
        with runtime.locked(self.name):
            runtime.end(self.name, f"node{index}")

    def restart(self, index, timeout=UP_TIMEOUT):
        """End a node if it runs, and start it again from scratch; return when it is ready."""
        self._check_index(index)
        with runtime.locked(self.name):
            runtime.end(self.name, f"node{index}")
            self._await_ready(index, self._start_node(index), time.monotonic() + timeout)

    def await_end(self):
        """Wait until the nodes that we have started end by themselves."""
        for child in self._children:
            child.wait()

    # ---- use ----

    def exec(self, index, command, timeout=60, check=True, input=None):  # pylint: disable=redefined-builtin
        """Run a command (a string by the guest's shell, or a list of words) in a node; return its Result."""
        output = {agent.STDOUT: bytearray(), agent.STDERR: bytearray()}
        status = self.stream(index, command, lambda kind, data: output[kind].extend(data),
                             input.encode() if isinstance(input, str) else input, timeout)
        result = Result(*[text.decode(errors="replace") for text in output.values()], status)
        if check and status != 0:
            words = command if isinstance(command, str) else shlex.join(command)
            raise ui.Fail(f"'{words}' on {self.node_name(index)} ended with status {status}: "
                          f"{(result.stderr or result.stdout).strip()}")
        return result

    def stream(self, index, command, on_output, source=None, timeout=None, on_start=None):
        """
        Run a command and pass its output on as it comes: on_output(agent.STDOUT or STDERR, bytes).

        on_start(agent.Session) lets another thread send it signals.
        """
        return agent.execute(self.node_dir(index), self.node_name(index), command, on_output, source, timeout, on_start)

    def start(self, index, command, input=None):  # pylint: disable=redefined-builtin
        """Start a command in the background."""
        return agent.Running(self.node_dir(index), self.node_name(index), command, input)

    def wait_port(self, index, port, timeout=30):
        """Wait until something in a node listens on a TCP port: servers that print to a pipe do not say so in time."""
        try:
            self.exec(index, AWAIT_LISTENER % port, timeout)
        except agent.Timeout:
            raise ui.Fail(f"nothing listens on port {port} of {self.node_name(index)} after {timeout:g} s") from None

    def put(self, index, source, target):
        """Copy a file or directory into a node."""
        from . import transfer
        transfer.put(self, index, Path(source), str(target))

    def get(self, index, source, target):
        """Copy a file or directory out of a node."""
        from . import transfer
        transfer.get(self, index, str(source), Path(target))

    def qmp(self, index, command, **arguments):
        """Run a command of QEMU's on a node's monitor."""
        return qmp.execute(self.node_dir(index) / "qmp.sock", self.node_name(index), command, arguments)

    def console_tail(self, index, lines=LAST_LINES):
        """The last lines of a node's console."""
        return _tail(self.node_dir(index) / "console.log", lines)

    def qemu_tail(self, index, lines=LAST_LINES):
        """The last lines that a node's QEMU has written: its errors, and what the guest did wrong."""
        return _tail(self.node_dir(index) / "qemu.log", lines)

    def node_dir(self, index):
        """The directory of a node's sockets and logs."""
        self._check_index(index)
        return self.files.node(index)

    def node_name(self, index):
        """How messages call a node."""
        name = self.config.identity
        return f"node{index}" if name == "default" else f"{name}/node{index}"

    def gid(self, index, nic=0):
        """The GID of a node's EFA device."""
        return node.gid(self.config, index, nic)

    # ---- inside ----

    def _check_index(self, index):
        if not 0 <= index < self.config.nodes:
            raise ui.Fail(f"the cluster '{self.name}' has no node {index}, only 0 to {self.config.nodes - 1}")
        if index not in self.config.local:
            raise ui.Fail(f"node {index} of '{self.config.group}' is on another host; here is node {self.config.only}")

    def _launch(self, timeout, keep):
        import concurrent.futures
        deadline = time.monotonic() + timeout
        self.files.cluster.mkdir(mode=0o700)
        self.files.fabric.mkdir(mode=0o700)
        self._save()
        if self.config.only < 0:
            self._start_switch()
        children = [(index, self._start_node(index)) for index in self.config.local]
        with concurrent.futures.ThreadPoolExecutor(len(children)) as pool:
            waits = [pool.submit(self._await_ready, index, child, deadline) for index, child in children]
            try:
                for wait in concurrent.futures.as_completed(waits):
                    wait.result()
            except BaseException:
                if not keep:
                    runtime.end(self.name)  # else the pool's end would wait for the other nodes
                raise

    def _save(self):
        saved = {"config": self.config._asdict(), "files": [str(f) for f in self.files]}
        temp = self.files.cluster / "cluster.json.tmp"
        temp.write_text(json.dumps(saved, indent=1))
        temp.rename(self.files.cluster / "cluster.json")

    def _start_switch(self):
        """The Ethernet among the nodes. It is a daemon once its sockets are there."""
        log = self.files.cluster / "vde.log"
        with open(log, "wb") as out:
            done = subprocess.run(switch_command(self.config, self.files), env=runtime.environment(self.name, "vde"),
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=SWITCH_SECONDS)
        if done.returncode != 0 or not self.files.vde.is_dir():
            raise ui.Fail(f"vde_switch failed: {_tail(log, 3).strip()}")

    def _start_node(self, index):
        here = self.files.node(index)
        here.mkdir(mode=0o700, exist_ok=True)
        for stale in here.iterdir():
            stale.unlink()
        with open(here / "qemu.log", "wb") as log:
            child = subprocess.Popen(node_command(self.config, self.files, index), start_new_session=True, stdout=log,
                                     stderr=log, stdin=subprocess.DEVNULL,
                                     env=runtime.environment(self.name, f"node{index}"))
        self._children = [c for c in self._children if c.poll() is None] + [child]
        return child

    def _await_ready(self, index, child, deadline):
        name = self.node_name(index)
        try:
            qmp.await_greeting(self.node_dir(index) / "qmp.sock", name, child, deadline)
            status = agent.status(self.node_dir(index), name, deadline - time.monotonic())
        except (agent.Lost, qmp.Ended):
            child.wait()
            status = f"QEMU ended: {_qemu_error(self.qemu_tail(index))}"
        except agent.Timeout:
            status = "not ready in time (--timeout)"
        if status != "ready":
            console = self.console_tail(index).rstrip()
            raise ui.Fail(f"{name}: {status}" + (f"\nits last console lines:\n{console}" if console else ""))

    def _end(self):
        runtime.end(self.name)
        for child in self._children:
            child.wait()
        self._children = []
        runtime.remove(self.name)


def check(config):
    """Refuse what cannot work, before anything is built or started."""
    limits = [("nodes", "-n", 1, node.NODES_MAX), ("nics", "--nics", 0, node.NICS_MAX), ("mem", "--mem", 192, 1 << 20),
              ("smp", "--smp", 1, 64), ("generation", "--generation", 0, max(node.GENERATIONS))]
    for field, option, low, high in limits:
        value = getattr(config, field)
        if not low <= value <= high:
            raise ui.Fail(f"{option} {value}: it must be {low} to {high}")
    if config.path_mtu and not node.PATH_MTU_MIN <= config.path_mtu <= node.PATH_MTU_MAX:
        raise ui.Fail(f"--path-mtu {config.path_mtu}: it must be {node.PATH_MTU_MIN} to {node.PATH_MTU_MAX}, or 0 for "
                      "the default")
    choices = {"driver": node.DRIVERS, "provider": node.PROVIDERS, "fabric": node.FABRICS}
    for field, known in choices.items():
        value = getattr(config, field)
        if value not in known:
            raise ui.Fail(f"--{field} {value}: it must be {' or '.join(known)}")
    if config.impair:
        from . import impair
        impair.parse([config.impair])  # the same
    from . import apt, guest
    for suite in filter(None, (config.suite, config.kernel_suite)):
        apt.Suite(suite)  # refuses one that does not exist
    guest.packages_of(config.layers)  # the same
    return config


def prepare(config):
    """Have everything built that the cluster needs; return its files."""
    from . import apt, guest, kernel, provider, qemu
    apt.require([*HOST_PACKAGES, *qemu.RUN_PACKAGES], "running clusters")
    image = guest.image(config.suite, config.kernel, guest.packages_of(config.layers), config.kernel_suite)
    bound = kernel.generations(image.kernel.parent)
    ours = {}
    if config.driver != "stock":
        module, bound = kernel.our_driver(config.kernel_suite or config.suite, config.kernel)
        ours["driver"] = module.parent
    if config.provider != "stock":
        ours["provider"] = provider.build(config.suite, config.provider)
    if ours:
        image = guest.with_ours(image, ours)
    if config.nics and config.generation not in bound:
        raise ui.Fail(f"--generation {config.generation}: the EFA driver of Linux {image.release} binds generations "
                      f"{bound[0]} to {bound[-1]}; another --kernel-suite may have a newer one")
    return Files(qemu.binary(), image.kernel, image.initrd, image.root, runtime.directory(config.name))


def choose_accel(accel, files):
    """Turn auto into kvm or tcg, by a trial."""
    if accel != "auto":
        return accel
    from . import bareboot
    return "kvm" if bareboot.kvm_works(files) else "tcg"


def node_command(config, files, index):
    """The exact command that runs a node; one that runs in the foreground ends with us, whatever ends us."""
    command = node.command(config, files, index)
    return command if config.only < 0 else ["setpriv", "--pdeathsig", "KILL", "--", *command]


def switch_command(config, files):
    """The exact command that runs the Ethernet switch."""
    of_a_node = 1 + (config.nics if config.fabric == "netdev" else 0)
    return ["vde_switch", "--daemon", "--rcfile", "/dev/null", "--numports", str(config.nodes * of_a_node + 8),
            "--mode", "0600", "--dirmode", "0700", "--sock", str(files.vde),
            "--pidfile", str(files.cluster / "vde.pid")]


def down(name):
    """Take a cluster down, whatever state it is in; False if there was none."""
    if name not in runtime.names():
        return False
    with runtime.locked(name):
        runtime.end(name)
        runtime.remove(name)
    return True


def overview(name):
    """What runs of a cluster, as a dict for JSON."""
    about = {"name": name, "directory": str(runtime.directory(name)), "complete": False, "nodes": []}
    running = {p.role: p for p in runtime.processes(name)}
    with contextlib.suppress(ui.Fail):
        cluster = Cluster.open(name)
        about.update({k: v for k, v in cluster.config._asdict().items() if k not in ("name", "nodes")})
        for index in cluster.config.local:
            process = running.pop(f"node{index}", None)
            about["nodes"].append({"node": index, "running": process is not None, "pid": process and process.pid,
                                   "rss": process and process.rss,
                                   "gids": [cluster.gid(index, nic) for nic in range(cluster.config.nics)]})
        about["complete"] = all(entry["running"] for entry in about["nodes"]) and \
            ("vde" in running or cluster.config.only >= 0)
    about["others"] = [{"role": p.role, "pid": p.pid, "rss": p.rss} for p in running.values()]
    return about


def _clear_dead(name):
    """Make room for a new cluster where an old one has died."""
    if not runtime.directory(name).exists() and not runtime.processes(name):
        return
    if any(p.role.startswith("node") for p in runtime.processes(name)):
        raise ui.Fail(f"the cluster '{name}' is up already; choose another --name, or take it down with: "
                      f"efa-cluster down --name {name}")
    runtime.end(name)
    shutil.rmtree(runtime.directory(name), ignore_errors=True)


def _qemu_error(tail):
    """QEMU's last line, without our frame and without the program and the option that it repeats."""
    last = (tail.strip().splitlines() or ["it said nothing"])[-1].strip("| ")
    return re.sub(r"^\S*qemu-system-x86_64: (-\w+ \S+: )?", "", last)


def _tail(path, lines):
    try:
        text = path.read_bytes()[-65536:].decode(errors="replace").replace("\r", "")
    except OSError:
        return ""
    return "".join(f"  | {line}\n" for line in text.splitlines()[-lines:])
