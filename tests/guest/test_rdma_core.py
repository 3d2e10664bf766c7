# SPDX-License-Identifier: GPL-2.0-or-later
"""rdma-core's own tests, as Debian ships them, on an EFA device: each ends well, or is skipped for a reason we know."""

import rdma_core

CLUSTER = {"n": 1}


def test_efa_srd(env):
    """The SRD tests."""
    passed = rdma_core.run(env, "test_efa_srd")
    assert {"test_qp_ex_srd_send", "test_qp_ex_srd_send_imm", "test_qp_ex_srd_old_send", "test_cq_events_srd",
            "test_full_rq_bad_flow", "test_qp_ex_srd_rdma_read", "test_qp_ex_srd_rdma_write",
            "test_qp_ex_srd_rdma_write_with_imm"} <= passed, passed


def test_efadv(env):
    """The provider's own interface: queries, address handles, queue pairs, extended completion queues."""
    passed = rdma_core.run(env, "test_efadv")
    assert {"test_efadv_query", "test_efadv_query_ah", "test_dv_cq_ex_with_sgid"} <= passed, passed


def test_completion_events(env):
    """Completion channels."""
    assert "test_cq_events_ud" in rdma_core.run(env, "test_cq_events")


def test_device(env):
    """Device, port, GID and P_Key queries."""
    assert {"test_query_device", "test_query_port"} <= rdma_core.run(env, "test_device")


def test_objects(env):
    """Protection domains, memory regions, address handles."""
    assert {"test_alloc_pd", "test_create_ah"} <= rdma_core.run(env, "test_pd", "test_mr", "test_addr")


def test_completion_queues(env):
    """Completion queues of both kinds."""
    assert {"test_create_cq", "test_ud_traffic_cq_ex"} <= rdma_core.run(env, "test_cq", "test_cqex")


def test_queue_pairs(env):
    """UD queue pairs, by the old and the new interface."""
    assert {"test_create_ud_qp_with_attr", "test_qp_ex_ud_send"} <= rdma_core.run(env, "test_qp", "test_qpex")
