# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of efa-cluster."""

import argparse
import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import sys
import termios
import threading
import tty

from . import agent, bench, cluster, conformance, link, matrix, node, runtime, span, ui
from .cluster import Cluster

ALL = "all"
ESCAPE = b"\x1d"  # Ctrl-]
EPILOG = """\
examples:
  efa-cluster setup                       build and download what is missing
  efa-cluster up -n 2                     start node0 and node1
  efa-cluster exec 0 -- ibv_devinfo       run a command in node0
  efa-cluster exec all -- uname -r        run it in every node
  efa-cluster down                        stop the nodes, remove every trace
"""

IMPAIR_USAGE = "efa-cluster impair [options] NODE|all [IMPAIRMENT=VALUE … | clear]"
TIMED_OUT = 124  # the status, as of timeout(1)


def main():
    """Run the command that the arguments name; return the exit status."""
    args = _parser().parse_args()
    try:
        return args.run(args) or 0
    except agent.Timeout as e:
        print(f"efa-emu: {e}", file=sys.stderr)
        return TIMED_OUT


def _parser():
    parser = argparse.ArgumentParser(
        prog="efa-cluster", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Clusters of emulated EC2 instances with EFA devices on this machine.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _setup_parser(commands)
    _up_parser(commands)
    _node_parser(commands)
    _exec_parser(commands)
    _copy_parsers(commands)
    _look_parsers(commands)
    _impair_parser(commands)
    _faults_parser(commands)
    _link_parser(commands)
    _down_parser(commands)
    bench.add_parser(commands)
    matrix.add_parser(commands)
    conformance.add_parser(commands)
    return parser


def _add(commands, name, run, text, named=True):
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    if named:
        parser.add_argument("--name", default="default", help="the cluster's name (default: default)")
    return parser


def _add_image_options(parser):
    parser.add_argument("--suite", default="trixie", help="Debian suite of the guests (default: trixie)")
    parser.add_argument("--kernel-suite", default="", metavar="SUITE",
                        help="Debian suite of their kernel and EFA driver (default: that of --suite)")
    parser.add_argument("--kernel", choices=("cloud", "generic", "debug"), default="cloud",
                        help="flavour of Debian's kernel (default: cloud; Soft-RoCE needs generic), or debug: one of "
                             "its source with KASAN, lockdep, kmemleak and more, built at first use")
    parser.add_argument("--with", action="append", default=[], dest="layers", metavar="LAYER",
                        help="an image with more in it: mpi, which is Open MPI and mpi4py; may be repeated")


def _add_driver_option(parser):
    parser.add_argument("--driver", choices=node.DRIVERS, default="stock",
                        help="the nodes' EFA driver: Linux's own, or the one in guest/driver (default: stock)")
    parser.add_argument("--provider", choices=node.PROVIDERS, default="stock",
                        help="libibverbs' EFA provider: rdma-core's, or the one in guest/provider, which "
                             "efa-emu-asan has with sanitizers (default: stock)")


def _setup_parser(commands):
    parser = _add(commands, "setup", _setup, "build and download all that clusters need; run it again to resume", False)
    _add_image_options(parser)
    parser.add_argument("--check", action="store_true", help="only say what is missing; status 1 if anything is")


def _up_parser(commands):
    parser = _add(commands, "up", _up, "start a cluster; return when every EFA port is ACTIVE")
    parser.add_argument("-n", type=int, default=2, metavar="N", help="number of nodes (default: 2)")
    parser.add_argument("--fabric", choices=node.FABRICS, default="shm",
                        help="what carries the EFA devices' packets: shared memory, or Ethernet frames (default: shm)")
    _add_node_options(parser)


def _node_parser(commands):
    parser = _add(commands, "node", _node, "run one node of a cluster that spans hosts, in the foreground")
    span.add_options(parser)
    _add_node_options(parser)


def _add_node_options(parser):
    parser.add_argument("--mem", type=int, default=512, metavar="MIB", help="memory of a node (default: 512)")
    parser.add_argument("--smp", type=int, default=1, metavar="CPUS", help="CPUs of a node (default: 1)")
    parser.add_argument("--nics", type=int, default=1, metavar="K", help="EFA devices of a node (default: 1)")
    parser.add_argument("--generation", type=int, default=2, metavar="G", help="of the devices, 0 to 4 (default: 2)")
    _add_image_options(parser)
    _add_driver_option(parser)
    parser.add_argument("--iommu", action="store_true", help="put the EFA devices behind an IOMMU that translates")
    parser.add_argument("--accel", choices=node.ACCELS, default="tcg",
                        help="how CPUs are emulated (default: tcg; auto uses KVM if it works)")
    parser.add_argument("--device", default="", metavar="PROP=VALUE,…", help="more properties of every EFA device")
    parser.add_argument("--impair", default="", metavar="IMPAIRMENT=VALUE,…",
                        help="what the network does to packets from the start, as loss=5%%,delay=100us; see impair")
    parser.add_argument("--trace", action="append", default=[], metavar="PATTERN",
                        help="trace events to enable, as efa_*; see logs --qemu")
    parser.add_argument("--qemu-args", default="", metavar="ARGS", help="more arguments for QEMU, in one word")
    parser.add_argument("--timeout", type=float, default=cluster.UP_TIMEOUT, metavar="S",
                        help=f"seconds until all must be ready (default: {cluster.UP_TIMEOUT})")
    parser.add_argument("--keep", action="store_true", help="leave a cluster that fails to start as it is")
    parser.add_argument("--dry-run", action="store_true", help="print the exact commands instead of running them")


def _exec_parser(commands):
    parser = _add(commands, "exec", _exec, "run a command in a node, or in all; exit with its status")
    parser.add_argument("--timeout", type=float, metavar="S", help="kill the command after so many seconds")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on (one node only)")
    parser.add_argument("node", metavar="NODE", help="number of a node, or all")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …",
                        help="a program and its arguments; for shell syntax: -- sh -c '…'")


def _copy_parsers(commands):
    parser = _add(commands, "put", _put, "copy a file or directory into a node, or into all")
    parser.add_argument("node", metavar="NODE", help="number of a node, or all")
    parser.add_argument("source", metavar="SRC", help="here")
    parser.add_argument("target", metavar="DST", help="there")
    parser = _add(commands, "get", _get, "copy a file or directory out of a node")
    parser.add_argument("node", metavar="NODE", help="number of a node")
    parser.add_argument("source", metavar="SRC", help="there")
    parser.add_argument("target", metavar="DST", help="here")


def _look_parsers(commands):
    parser = _add(commands, "console", _console, "talk to a node's console (leave with Ctrl-])")
    parser.add_argument("node", metavar="NODE", help="number of a node")
    parser = _add(commands, "logs", _logs, "print what a node's console has shown")
    parser.add_argument("node", metavar="NODE", help="number of a node")
    parser.add_argument("--qemu", action="store_true", help="what QEMU has logged instead")
    parser = _add(commands, "ps", _ps, "list clusters and their nodes", named=False)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser = _add(commands, "qmp", _qmp, "run a command on a node's QEMU monitor and print its JSON answer")
    parser.add_argument("node", metavar="NODE", help="number of a node")
    parser.add_argument("command", metavar="CMD", help="as query-status, qom-get")
    parser.add_argument("arguments", nargs="?", default="{}", metavar="JSON", help="its arguments")


def _impair_parser(commands):
    parser = _add(commands, "impair", _impair,
                  "lose, double, reorder, delay, damage the packets of nodes, or show what is done to them")
    parser.usage = IMPAIR_USAGE
    _add_impair_options(parser)
    parser.add_argument("node", metavar="NODE", help="number of a node, or all")
    settings = parser.add_argument(
        "settings", nargs=argparse.REMAINDER, metavar="IMPAIRMENT=VALUE",
        help="as loss=5%% delay=100us (docs/impair.md has all); clear; nothing shows what is set")
    settings.required = False  # or else it is named as missing where NODE is


def _add_impair_options(parser):
    parser.add_argument("--peer", metavar="NODE|GID", 
                        help="packets to this one only, and from it for partition (default: all)")
    parser.add_argument("--nic", type=int, metavar="K", help="only the node's EFA device efaK (default: all of them)")
    parser.add_argument("--json", action="store_true", help="for programs: the rules and counters of each device")
    parser.add_argument("--clear", action="store_true", help="the same as the word clear")


def _faults_parser(commands):
    parser = _add(commands, "faults", _faults, "make admin commands of nodes' devices go wrong, or show which do")
    parser.add_argument("--nic", type=int, metavar="K", help="only the node's EFA device efaK (default: all of them)")
    parser.add_argument("--json", action="store_true", help="for programs: the rules and counters of each device")
    parser.add_argument("node", metavar="NODE", help="number of a node, or all")
    parser.add_argument("rules", nargs="*", metavar="RULE", help="as create-qp,nth=2,status=resource-busy "
                        "(docs/faults.md has all); clear; nothing shows what is set")


def _link_parser(commands):
    parser = _add(commands, "link", _link, "pull the cables of nodes' EFA devices, put them back, or say how they are")
    parser.add_argument("--nic", type=int, metavar="K", help="only the node's EFA device efaK (default: all of them)")
    parser.add_argument("node", metavar="NODE", help="number of a node, or all")
    parser.add_argument("state", nargs="?", choices=tuple(link.STATES), help="nothing shows what it is")


def _down_parser(commands):
    parser = _add(commands, "down", _down, "stop a cluster and remove every trace of it", named=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--name", default="default", help="the cluster's name (default: default)")
    which.add_argument("--all", action="store_true", help="every cluster of this user")


# ---- commands ----

def _setup(args):
    from . import setup
    return (setup.check if args.check else setup.run)(args.suite, args.kernel, args.kernel_suite, args.layers)


def _node_settings(args):
    return {"nics": args.nics, "mem": args.mem, "smp": args.smp, "generation": args.generation, "suite": args.suite,
            "kernel": args.kernel, "kernel_suite": args.kernel_suite, "layers": tuple(args.layers),
            "driver": args.driver, "provider": args.provider, "accel": args.accel, "device": args.device,
            "trace": tuple(args.trace), "impair": args.impair, "iommu": args.iommu,
            "qemu_args": tuple(shlex.split(args.qemu_args))}


def _up(args):
    settings = {"fabric": args.fabric, **_node_settings(args)}
    if args.dry_run:
        return _print_commands(cluster.check(node.Config(name=args.name, nodes=args.n, **settings)))
    up = Cluster.up(name=args.name, n=args.n, timeout=args.timeout, keep=args.keep, **settings)
    print(f"{', '.join(f'node{i}' for i in range(args.n)) if args.n <= 8 else f'node0 to node{args.n - 1}'}: ready")
    return 0 if up else 1


def _node(args):
    settings = {**_node_settings(args), **span.settings_of(args)}
    if not args.dry_run:
        return span.run(args, settings)
    return _print_commands(cluster.check(node.Config(nodes=settings.pop("n"), **settings)))


def _print_commands(config):
    files = cluster.prepare(config)
    config = config._replace(accel=cluster.choose_accel(config.accel, files))
    directories = [files.fabric, *[files.node(index) for index in config.local]]
    print(shlex.join(["mkdir", "-p", "-m", "0700", *[str(d) for d in directories]]))
    if config.only < 0:
        print(shlex.join(cluster.switch_command(config, files)))
    for index in config.local:
        print(shlex.join(cluster.node_command(config, files, index)))


def _target(args):
    """The cluster meant, and the number of the node."""
    index = _index(args.node)
    return Cluster.open(args.name, index), index


def _exec(args):
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise ui.Fail("exec: no command; write it behind --, as in: efa-cluster exec 0 -- ibv_devinfo")
    if args.node != ALL:
        source = sys.stdin.buffer if args.stdin else b""
        target, index = _target(args)
        return target.stream(index, command, _write, source, args.timeout)
    if args.stdin:
        raise ui.Fail("exec --stdin works with one node, not with all")
    return _exec_on_all(Cluster.open(args.name), command, args.timeout)


def _exec_on_all(target, command, timeout):
    from concurrent.futures import ThreadPoolExecutor
    sessions = []
    with ThreadPoolExecutor(len(target.config.local)) as pool:
        runs = [pool.submit(_exec_prefixed, target, index, command, timeout, sessions.append)
                for index in target.config.local]
        try:
            return max(run.result() for run in runs)
        except (KeyboardInterrupt, SystemExit):
            for session in sessions:
                with contextlib.suppress(agent.Lost, OSError):
                    session.signal(signal.SIGKILL)  # else the pool's end would wait for the commands
            raise


def _exec_prefixed(target, index, command, timeout, on_start):
    rest = {agent.STDOUT: b"", agent.STDERR: b""}
    prefix = f"node{index}: ".encode()

    def take(kind, data):
        *lines, rest[kind] = (rest[kind] + data).split(b"\n")
        if lines:
            _write(kind, b"".join(prefix + line + b"\n" for line in lines))
    status = target.stream(index, command, take, b"", timeout, on_start)
    for kind, line in rest.items():
        if line:
            _write(kind, prefix + line + b"\n")
    return status


def _write(kind, data, lock=threading.Lock()):
    stream = sys.stdout.buffer if kind == agent.STDOUT else sys.stderr.buffer
    with lock:
        stream.write(data)
        stream.flush()


def _put(args):
    if args.node == ALL:
        from concurrent.futures import ThreadPoolExecutor
        target = Cluster.open(args.name)
        with ThreadPoolExecutor(len(target.config.local)) as pool:
            list(pool.map(lambda index: target.put(index, args.source, args.target), target.config.local))
    else:
        target, index = _target(args)
        target.put(index, args.source, args.target)


def _get(args):
    target, index = _target(args)
    target.get(index, args.source, args.target)


def _console(args):
    target, index = _target(args)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(target.node_dir(index) / "console.sock"))
        except OSError as e:
            raise ui.Fail(f"{target.node_name(index)} does not run") from e
        interactive = sys.stdin.isatty()
        saved = termios.tcgetattr(0) if interactive else None
        print("[Enter for a shell, Ctrl-] to leave]", file=sys.stderr)
        try:
            if interactive:
                tty.setraw(0)
            _relay_console(sock)
        finally:
            if interactive:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
                print(file=sys.stderr)


def _relay_console(sock):
    while True:
        ready, _, _ = select.select([0, sock], [], [])
        if sock in ready:
            data = sock.recv(65536)
            if not data:
                return
            _write(agent.STDOUT, data)
        if 0 in ready:
            data = os.read(0, 65536)
            sock.sendall(data.split(ESCAPE)[0])
            if not data or ESCAPE in data:
                return


def _logs(args):
    target, index = _target(args)
    path = target.node_dir(index) / ("qemu.log" if args.qemu else "console.log")
    try:
        with open(path, "rb") as log:
            shutil.copyfileobj(log, sys.stdout.buffer)
    except FileNotFoundError:
        raise ui.Fail(f"there is no {path}") from None


def _ps(args):
    clusters = [cluster.overview(name) for name in runtime.names()]
    if args.json:
        print(json.dumps(clusters, indent=1))
        return
    print(f"{'CLUSTER':20} {'NODE':6} {'STATE':8} {'PID':>8} {'RSS MiB':>8}  {'EFA':12} GUEST")
    for about in clusters:
        efa = f"{about['nics']} x 0xefa{about['generation']}" if "nics" in about else ""
        suites = "+".join(dict.fromkeys(filter(None, (about.get("kernel_suite"), about.get("suite")))))
        for entry in about["nodes"]:
            state = "running" if entry["running"] else "dead"
            print(f"{about['name']:20} {entry['node']:<6} {state:8} {entry['pid'] or '-':>8} "
                  f"{(entry['rss'] or 0) >> 20:>8}  {efa:12} {suites}")
        for entry in about["others"] if not about["complete"] else []:
            print(f"{about['name']:20} {entry['role']:<6} {'left':8} {entry['pid']:>8} {entry['rss'] >> 20:>8}")
        if not about["nodes"] and not about["others"]:
            print(f"{about['name']:20} {'-':6} dead")


def _qmp(args):
    try:
        arguments = json.loads(args.arguments)
    except ValueError as e:
        raise ui.Fail(f"qmp: '{args.arguments}' is not JSON: {e}") from e
    if not isinstance(arguments, dict):
        raise ui.Fail(f"qmp: the arguments must be a JSON object, not {args.arguments}")
    target, index = _target(args)
    print(json.dumps(target.qmp(index, args.command, **arguments), indent=1))


def _faults(args):
    from . import faults
    index = None if args.node == ALL else _index(args.node)
    target = Cluster.open(args.name, index)
    return faults.run(target, target.config.local if index is None else [index], args)


def _impair(args):
    from . import impair
    rest = argparse.ArgumentParser(prog=f"efa-cluster impair {args.node}", usage=IMPAIR_USAGE)
    rest.add_argument("--name", default="default", help="the cluster's name (default: default)")
    _add_impair_options(rest)
    rest.add_argument("settings", nargs="*", metavar="IMPAIRMENT=VALUE", help=f"{', '.join(impair.MEMBERS)}; or clear")
    words = vars(args).pop("settings")
    args = rest.parse_intermixed_args(words, args)  # options may stand behind NODE, which argparse alone cannot do
    index = None if args.node == ALL else _index(args.node)
    target = Cluster.open(args.name, index)
    return impair.run(target, target.config.local if index is None else [index], args)


def _link(args):
    index = None if args.node == ALL else _index(args.node)
    target = Cluster.open(args.name, index)
    return link.run(target, target.config.local if index is None else [index], args)


def _down(args):
    if args.all:
        for name in runtime.names():
            cluster.down(name)
        return
    here = [name for name in runtime.names() if re.fullmatch(rf"{re.escape(args.name)}(\.\d+)?", name)]
    for name in here:
        cluster.down(name)
    if not here:
        raise ui.Fail(f"there is no cluster '{args.name}' (running: {', '.join(runtime.names()) or 'none'})")


def _index(text):
    digits = text.removeprefix("node")
    if not digits.isdigit():
        raise ui.Fail(f"'{text}' is no node: give its number, as 0 or node0, or for some commands all")
    return int(digits)
