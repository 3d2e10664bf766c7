# SPDX-License-Identifier: GPL-2.0-or-later
"""
One node of a cluster that spans several hosts: efa-cluster node.

Every host runs the same command with its own rank. What belongs to a node, its GIDs and addresses, follows from the
cluster's name and the rank, so the hosts need not tell each other anything.
"""

import os
import re
import socket
import time

from . import node, ui
from .cluster import Cluster

RANK_VARIABLES = ("EFA_RANK", "SLURM_PROCID", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "JOB_COMPLETION_INDEX")
BASE_PORT = 18700
UDP_PATH_MTU = 1400
"""What fits into a UDP datagram on an Ethernet, with room left for a tunnel beneath."""
RETRY_SECONDS = 1


def add_options(parser):
    """The options that `up` has not."""
    parser.add_argument("--rank", type=int, metavar="R",
                        help=f"which of the hosts this is, from 0 (default: {', '.join(RANK_VARIABLES)})")
    parser.add_argument("--hosts", metavar="HOST,…", help="all hosts, by rank (default: EFA_HOSTS)")
    parser.add_argument("--base-port", type=int, default=BASE_PORT, metavar="P",
                        help=f"first of the UDP ports, two a host (default: {BASE_PORT})")
    parser.add_argument("--netdev", metavar="ARGS",
                        help="another way to the others: what QEMU's -netdev takes, without id, as tap,ifname=tap0")
    parser.add_argument("--path-mtu", type=int, default=0, metavar="BYTES",
                        help=f"what that way carries behind an Ethernet header (default: {UDP_PATH_MTU} for the UDP of "
                             "--hosts, 1500 with --netdev)")


def rank_of(given, hosts):
    """The rank given, or that of the job this is part of."""
    rank, source = given, "--rank"
    for name in RANK_VARIABLES if given is None else ():
        if os.environ.get(name, "").isdigit():
            rank, source = int(os.environ[name]), name
            break
    if rank is None:
        raise ui.Fail(f"which of the hosts is this? Give --rank, or set one of {', '.join(RANK_VARIABLES)}")
    if not 0 <= rank < len(hosts):
        raise ui.Fail(f"{source} {rank}: there are {len(hosts)} hosts, so it must be 0 to {len(hosts) - 1}")
    return rank


def hosts_of(given):
    """The hosts, by rank."""
    text = given if given is not None else os.environ.get("EFA_HOSTS", "")
    hosts = [host for host in re.split(r"[\s,]+", text) if host]
    if not hosts:
        raise ui.Fail("which hosts? Give --hosts HOST,HOST,… in the order of their ranks, or set EFA_HOSTS")
    if len(hosts) > node.NODES_MAX:
        raise ui.Fail(f"{len(hosts)} hosts are too many: at most {node.NODES_MAX}")
    return hosts


def uplinks(rank, hosts, base_port, deadline):
    """
    The links of a host, as -netdev options without id: a star whose centre is rank 0.

    No more, since QEMU's hubs have no spanning tree: what is in a circle goes round for ever. Link j, between ranks 0
    and j, has the ports base + 2 j at rank 0 and base + 2 j + 1 at rank j.
    """
    if not 1 <= base_port <= 65535 - 2 * len(hosts):
        raise ui.Fail(f"--base-port {base_port}: it must be 1 to {65535 - 2 * len(hosts)} with {len(hosts)} hosts")
    links = [(other, base_port + 2 * other, base_port + 2 * other + 1) for other in range(1, len(hosts))] \
        if rank == 0 else [(0, base_port + 2 * rank + 1, base_port + 2 * rank)]
    return tuple(f"dgram,local.type=inet,local.host=0.0.0.0,local.port={here},"
                 f"remote.type=inet,remote.host={_resolve(hosts[other], deadline)},remote.port={there}"
                 for other, here, there in links)


def settings_of(args):
    """What Cluster.up takes beyond what `up` gives it: name, number of nodes, and how they are connected."""
    hosts = hosts_of(args.hosts)
    rank = rank_of(args.rank, hosts)
    if args.netdev:
        links, mtu = (_without_id(args.netdev),), args.path_mtu
    else:
        links, mtu = uplinks(rank, hosts, args.base_port, time.monotonic() + args.timeout), \
            args.path_mtu or UDP_PATH_MTU
    return {"name": f"{args.name}.{rank}", "n": len(hosts), "group": args.name, "only": rank, "uplinks": links,
            "path_mtu": mtu, "fabric": "netdev"}


def run(args, settings):
    """Run this host's node in the foreground until it ends or we are told to end; return the exit status."""
    with Cluster.up(timeout=args.timeout, keep=args.keep, **settings) as cluster:
        rank = cluster.config.only
        ui.say(f"node{rank} of {args.name}: ready; use it with: efa-cluster exec --name {args.name} {rank} -- COMMAND")
        try:
            cluster.await_end()
        except (KeyboardInterrupt, SystemExit):
            ui.note(f"taking node{rank} down")
            return 0
        raise ui.Fail(f"node{rank} has ended:\n{cluster.console_tail(rank)}{cluster.qemu_tail(rank)}".rstrip())


def _without_id(text):
    if re.search(r"(^|,)id=", text):
        raise ui.Fail(f"--netdev {text}: leave the id= out, it is given by efa-cluster")
    return text


def _resolve(host, deadline):
    """An address, since QEMU asks only once: where all start together, a name may be known only later."""
    said = False
    while True:
        try:
            return socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0]
        except OSError as e:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise ui.Fail(f"host '{host}' has no IPv4 address: {e.strerror}") from e
        if not said:
            ui.note(f"waiting for '{host}' to get an address")
            said = True
        time.sleep(RETRY_SECONDS)

