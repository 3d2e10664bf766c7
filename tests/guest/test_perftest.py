# SPDX-License-Identifier: GPL-2.0-or-later
"""perftest and ibverbs-utils, as Debian ships them."""

import re

from efa_emu import perftest
from efa_emu.perftest import NO_PEAK, Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2}

MAX_BYTES = 8192  # the largest power of two below what the device takes
UD_MAX_BYTES = 4096  # perftest goes by the MTU that verbs report


def test_devinfo(env):
    """What ibv_devinfo says is what a p5 instance's device says, as far as it concerns send and receive."""
    said = env.exec(0, "ibv_devinfo -v").stdout
    values = dict(re.findall(r"^\s*([\w\[\] ]+?):\s+(\S+)", said, re.M))
    expected = {
        "vendor_id": "0x1d0f", "vendor_part_id": "61346", "hw_ver": "0xEFA2", "phys_port_cnt": "1",
        "state": "PORT_ACTIVE", "max_mtu": "4096", "active_mtu": "4096", "max_qp_wr": "4096", "max_sge": "2",
        "max_srq": "0", "max_mw": "0", "atomic_cap": "ATOMIC_NONE", "gid_tbl_len": "1", "max_pkeys": "1",
        "max_msg_sz": "0x22e0",
    }
    assert {key: values.get(key) for key in expected} == expected, said
    gid = values["GID[  0]"]
    assert gid.replace(":0000:", "::", 1).startswith("fe80:"), gid
    assert env.exec(1, "ibv_devinfo -v").stdout.count(gid) == 0, "two nodes have one GID"


def test_lat_srd(env):
    """Latency over SRD."""
    _lat(env, Test("ib_send_lat", "SRD", 64))


def test_lat_ud(env):
    """Latency over UD."""
    _lat(env, Test("ib_send_lat", "UD", 64))


def test_lat_srd_events(env):
    """Latency over SRD, sleeping until completion events come."""
    _lat(env, Test("ib_send_lat", "SRD", 64, 500, ("-e",)))


def test_lat_ud_events(env):
    """Latency over UD, sleeping until completion events come."""
    _lat(env, Test("ib_send_lat", "UD", 64, 500, ("-e",)))


def test_lat_srd_all_sizes(env):
    """Latency over SRD of all sizes, inline and not."""
    _lat(env, Test("ib_send_lat", "SRD", None, 100))


def test_bw_srd(env):
    """Bandwidth over SRD."""
    _bw(env, Test("ib_send_bw", "SRD", 4096, 5000))


def test_bw_ud(env):
    """Bandwidth over UD, with enough buffers that no datagram is lost."""
    _bw(env, Test("ib_send_bw", "UD", 4096, 4000))


def test_bw_srd_events(env):
    """Bandwidth over SRD, sleeping until completion events come."""
    _bw(env, Test("ib_send_bw", "SRD", 4096, 2000, ("-e",)))


def test_bw_srd_bidirectional(env):
    """Bandwidth over SRD in both directions."""
    _bw(env, Test("ib_send_bw", "SRD", 4096, 2000, ("-b",)))


def test_bw_srd_many_qps(env):
    """Bandwidth over SRD with 16 queue pairs."""
    rows = _bw(env, Test("ib_send_bw", "SRD", 1024, 500, ("-q", "16", NO_PEAK)))
    assert rows[0]["iterations"] == 16 * 500, rows


def test_bw_srd_all_sizes(env):
    """Bandwidth over SRD of all sizes."""
    _bw(env, Test("ib_send_bw", "SRD", None, 500))


def test_write_bw(env):
    """RDMA write of messages that take many packets."""
    _bw(env, Test("ib_write_bw", "SRD", 65536, 1000))


def test_read_bw(env):
    """RDMA read of messages that take many packets."""
    _bw(env, Test("ib_read_bw", "SRD", 65536, 1000))


def test_write_lat(env):
    """RDMA write, found by looking at the last byte."""
    _lat(env, Test("ib_write_lat", "SRD", 64))


def test_read_lat(env):
    """Round trips of RDMA reads."""
    _lat(env, Test("ib_read_lat", "SRD", 64))


def test_write_with_imm(env):
    """RDMA write with immediate data: each consumes a receive request."""
    _bw(env, Test("ib_write_bw", "SRD", 65536, 1000, ("--write_with_imm",)))
    _lat(env, Test("ib_write_lat", "SRD", 64, 500, ("--write_with_imm",)))


def test_write_bw_bidirectional(env):
    """RDMA write in both directions with several queue pairs."""
    _bw(env, Test("ib_write_bw", "SRD", 65536, 200, ("-b", "-q", "4", NO_PEAK)))


@full
@timeout(400)
def test_rdma_all_sizes(env):
    """RDMA of all sizes up to 8 MiB."""
    for tool in ("ib_write_bw", "ib_read_bw", "ib_write_lat", "ib_read_lat"):
        for row in perftest.run(env.cluster, Test(tool, "SRD", None, 20), limit=90):
            env.say(f"{tool}: {row}")


@full
def test_bw_ud_all_sizes(env):
    """Bandwidth over UD of all sizes."""
    _bw(env, Test("ib_send_bw", "UD", None, 500))


@full
def test_bw_ud_bidirectional(env):
    """Bandwidth over UD in both directions."""
    _bw(env, Test("ib_send_bw", "UD", 1024, 4000, ("-b",)))


@full
def test_bw_srd_bidirectional_many_qps(env):
    """Bandwidth over SRD in both directions with 16 queue pairs and events."""
    _bw(env, Test("ib_send_bw", "SRD", 4096, 500, ("-b", "-e", "-q", "16", NO_PEAK)))


@full
@timeout(400)
def test_bw_srd_long(env):
    """A million messages over SRD."""
    rows = _bw(env, Test("ib_send_bw", "SRD", 64, 1000000, (NO_PEAK,)), limit=350)
    assert rows[0]["iterations"] == 1000000, rows


def _lat(env, test):
    for row in _rows(env, test, 60):
        assert 1 < row["t_min"] <= row["t_median"] <= row["t_max"], row
        assert row["t_min"] <= row["t_avg"] <= row["t_max"] and row["p99"] <= row["p999"] <= row["t_max"], row


def _bw(env, test, limit=60):
    rows = _rows(env, test, limit)
    for row in rows:
        assert row["average"] > 0 and row["rate"] > 0, row
        assert NO_PEAK in test.options or row["peak"] > 0, row
    return rows


def _rows(env, test, limit):
    rows = perftest.run(env.cluster, test, limit=limit)
    for row in rows:
        env.say(f"{test.tool} -c {test.transport}: {row}")
    largest = UD_MAX_BYTES if test.transport == "UD" else MAX_BYTES
    sizes = [test.size] if test.size else [1 << i for i in range(1, largest.bit_length())]
    assert [row["bytes"] for row in rows] == sizes, rows
    return rows
