# SPDX-License-Identifier: GPL-2.0-or-later
"""Running libfabric's fi_pingpong between two nodes."""

import re

PORT = 47592


def pingpong(env, endpoint, size=1024, iterations=50, limit=60):
    """Messages over endpoints of this kind (rdm or dgram), contents checked."""
    words = ["fi_pingpong", "-p", "efa", "-e", endpoint, "-I", str(iterations), "-S", str(size), "-c"]
    server = env.cluster.start(0, words)
    try:
        env.cluster.wait_port(0, PORT)
        said = env.exec(1, [*words, "node0"], limit=limit).stdout
        assert server.wait().status == 0, server.stderr
        assert re.search(rf"^\S+\s+{iterations}\s", said, re.M), said
    finally:
        server.kill()
