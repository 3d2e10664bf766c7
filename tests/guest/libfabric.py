# SPDX-License-Identifier: GPL-2.0-or-later
"""Running libfabric's fi_pingpong between two nodes, or within one."""

import re

PORT = 47592
ALL_SIZES = "all"
LARGEST_DIRECT, LARGEST = 8192, 6 << 20  # of all sizes: 0, powers of two, and between each two one more
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


def pingpong(env, endpoint, size=1024, iterations=50, fabric="", client=1, options=(), environment=(), limit=60,
             on=None):
    """
    Messages over endpoints of this kind (rdm or dgram), contents checked; return the sizes that were sent.

    size is one or ALL_SIZES; without a fabric libfabric prefers efa-direct for rdm, which takes what fits in one packet.
    """
    words = ["env", *environment, "fi_pingpong", "-p", "efa", *(["-f", fabric] if fabric else []), "-e", endpoint,
             "-I", str(iterations), "-S", str(size), "-c", *options]
    cluster = on or env.cluster
    server = cluster.start(0, words)
    try:
        cluster.wait_port(0, PORT)
        said = env.exec(client, [*words, "node0"], on=cluster, limit=limit).stdout
        assert server.wait().status == 0, server.stderr
    finally:
        server.kill()
    rows = re.findall(rf"^([\d.]+)([km]?)\s+{iterations}\s+=?{iterations}\s", said, re.M)
    sizes = [int(float(number) * UNITS[unit]) for number, unit in rows]
    assert sizes == _sizes(endpoint, fabric) if size == ALL_SIZES else sizes == [size], (sizes, said)
    return sizes


def _sizes(endpoint, fabric):
    largest = LARGEST if (endpoint, fabric) == ("rdm", "efa") else LARGEST_DIRECT
    powers = [1 << i for i in range(1, largest.bit_length())]
    return [0, 1, *(size for power in powers for size in (power, power * 3 // 2) if size <= largest)]
