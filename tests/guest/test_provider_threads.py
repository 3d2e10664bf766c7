# SPDX-License-Identifier: GPL-2.0-or-later
"""A program of several threads, which forks meanwhile: each provider on each driver."""

import verbs_threads
from efa_emu import provider

CLUSTER = {"n": 1, "smp": 2, "provider": "efa-emu", "generation": 3}
MESSAGES = 5000  # of each thread


def test_stock_driver(env):
    """With our provider, and with rdma-core's."""
    _check(env, env.cluster)


def test_our_driver(env):
    """The same on our driver."""
    _check(env, env.up("ours", **{**CLUSTER, "driver": "efa-emu"}))


def test_first_generation(env):
    """Completion queues of two rings; with ours alone: rdma-core's has once waited there for ever."""
    cluster = env.up("first", **{**CLUSTER, "generation": 0, "device": "sub-cqs-per-cq=2"})
    verbs_threads.run(env, MESSAGES, on=cluster)


def test_last_generation(env):
    """Requests whose ids are the program's own, of 64 bits."""
    _check(env, env.up("last", **{**CLUSTER, "driver": "efa-emu", "generation": 4}))


def _check(env, cluster):
    verbs_threads.run(env, MESSAGES, on=cluster)
    with provider.stock(cluster, 0):
        verbs_threads.run(env, MESSAGES, on=cluster)
