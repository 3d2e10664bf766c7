# SPDX-License-Identifier: GPL-2.0-or-later
"""perftest and ibverbs-utils, as Debian ships them."""

import re

from efa_emu import perftest
from efa_emu.perftest import NO_PEAK, Test
from efa_emu.testing import full, timeout

CLUSTER = {"n": 2}

MAX_BYTES = 8192  # the largest power of two below what the device takes
UD_MAX_BYTES = 4096  # perftest goes by the MTU that verbs report
MAX_POWER = 23  # of two: the largest message of RDMA that perftest sends
INLINE_BYTES = 32
IMM, UNSOLICITED = "--write_with_imm", "--unsolicited_write"
# Latency tests send small messages inline, RDMA writes too, which rdma-core's provider can only from release 57 on.
NOT_INLINE = ("-I", "0")


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


def test_inline(env):
    """Data that lie in the work request, as many as fit there."""
    inline = ("-I", str(INLINE_BYTES))
    for transport in ("SRD", "UD"):
        _lat(env, Test("ib_send_lat", transport, INLINE_BYTES, 500, inline))
        _bw(env, Test("ib_send_bw", transport, INLINE_BYTES, 2000, inline))


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


def test_read_events(env):
    """RDMA read, sleeping until completion events come."""
    _bw(env, Test("ib_read_bw", "SRD", 65536, 500, ("-e",)))
    _lat(env, Test("ib_read_lat", "SRD", 64, 500, ("-e",)))


def test_write_with_imm(env):
    """RDMA write with immediate data: each consumes a receive request."""
    _bw(env, Test("ib_write_bw", "SRD", 65536, 1000, (IMM,)))
    _lat(env, Test("ib_write_lat", "SRD", 64, 500, (IMM,)))


def test_unsolicited_write(env):
    """RDMA write with immediate data that consumes no receive request, which the newest devices offer."""
    cluster = env.up("g3", n=2, generation=3)
    _bw(env, Test("ib_write_bw", "SRD", 65536, 500, (IMM, UNSOLICITED)), on=cluster)
    _bw(env, Test("ib_write_bw", "SRD", 64, 500, (IMM, UNSOLICITED, "-b", "-q", "4", NO_PEAK)), on=cluster)
    _lat(env, Test("ib_write_lat", "SRD", 64, 500, (IMM, UNSOLICITED)), on=cluster)


def test_write_bw_bidirectional(env):
    """RDMA write in both directions with several queue pairs."""
    _bw(env, Test("ib_write_bw", "SRD", 65536, 200, ("-b", "-q", "4", NO_PEAK)))


@full
@timeout(1000)
def test_rdma_all_sizes(env):
    """RDMA of all sizes up to 8 MiB, in one and in both directions, with and without immediate data."""
    for tool, *options in (("ib_write_bw",), ("ib_write_bw", "-b"), ("ib_write_bw", IMM), ("ib_write_bw", IMM, "-b"),
                           ("ib_read_bw",), ("ib_read_bw", "-b"), ("ib_write_lat", *NOT_INLINE),
                           ("ib_write_lat", IMM, *NOT_INLINE), ("ib_read_lat",)):
        rows = perftest.run(env.cluster, Test(tool, "SRD", None, 20, tuple(options)), limit=120)
        env.say("\n".join(f"{tool} {options}: {row}" for row in rows))
        assert [row["bytes"] for row in rows] == [1 << i for i in range(1, MAX_POWER + 1)], rows


@full
@timeout(300)
def test_rdma_many_qps(env):
    """RDMA with 16 queue pairs, in one and in both directions."""
    for tool, *options in (("ib_write_bw",), ("ib_write_bw", IMM), ("ib_read_bw",)):
        for more in ((), ("-b",)):
            [row] = _bw(env, Test(tool, "SRD", 65536, 50, (*options, *more, "-q", "16", NO_PEAK)))
            assert row["iterations"] == 16 * 50, row


@full
@timeout(400)
def test_other_generations(env):
    """What each of the other generations has: sends; RDMA reads; all there is."""
    # The first does not send again when there is no receive request: as many as perftest posts before.
    send, read = Test("ib_send_bw", "SRD", 4096, perftest.DEFAULT_RX_DEPTH), Test("ib_read_bw", "SRD", 65536, 200)
    for generation, tests in ((0, [send]), (1, [send, read]), (3, [send, read, read._replace(tool="ib_write_bw")])):
        cluster = env.up(f"g{generation}", n=2, generation=generation)
        for test in [*tests, Test("ib_send_bw", "UD", 4096, 1000), Test("ib_send_lat", "SRD", 64, 500, ("-e",))]:
            _rows(env, test, 60, on=cluster)
        cluster.down()


@full
@timeout(300)
def test_bw_srd_bidirectional_all_sizes(env):
    """Bandwidth over SRD in both directions, of all sizes, polling and with events."""
    _bw(env, Test("ib_send_bw", "SRD", None, 500, ("-b",)), 120)
    _bw(env, Test("ib_send_bw", "SRD", None, 500, ("-b", "-e")), 120)


@full
@timeout(300)
def test_ud_all_sizes(env):
    """UD of all sizes."""
    _bw(env, Test("ib_send_bw", "UD", None, 500), 120)
    _bw(env, Test("ib_send_bw", "UD", None, 500, ("-b",)), 120)
    _lat(env, Test("ib_send_lat", "UD", None, 100), 120)


@full
def test_bw_ud_many_qps(env):
    """Bandwidth over UD with 16 queue pairs, in one and in both directions, and with events."""
    for more in ((), ("-b",), ("-e",)):
        _bw(env, Test("ib_send_bw", "UD", 1024, 500, (*more, "-q", "16", NO_PEAK)))


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


def _lat(env, test, limit=60, on=None):
    for row in _rows(env, test, limit, on):
        assert 1 < row["t_min"] <= row["t_median"] <= row["t_max"], row
        assert row["t_min"] <= row["t_avg"] <= row["t_max"] and row["p99"] <= row["p999"] <= row["t_max"], row


def _bw(env, test, limit=60, on=None):
    rows = _rows(env, test, limit, on)
    for row in rows:
        assert row["average"] > 0 and row["rate"] > 0, row
        assert NO_PEAK in test.options or row["peak"] > 0, row
    return rows


def _rows(env, test, limit, on=None):
    rows = perftest.run(on or env.cluster, test, limit=limit)
    for row in rows:
        env.say(f"{test.tool} -c {test.transport}: {row}")
    largest = UD_MAX_BYTES if test.transport == "UD" else MAX_BYTES
    sizes = [test.size] if test.size else [1 << i for i in range(1, largest.bit_length())]
    assert [row["bytes"] for row in rows] == sizes, rows
    return rows
