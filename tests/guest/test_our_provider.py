# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own libibverbs provider in place of rdma-core's, on the stock driver and on ours."""

import re
import tempfile
from pathlib import Path

import dmabuf
import libfabric
import rdma_core
from efa_emu import guest, perftest, provider, provider_cost, ui
from efa_emu.perftest import Test
from efa_emu.testing import full, timeout

CLUSTER = provider_cost.RACING
TESTS = (Test("ib_send_lat", "SRD", 64), Test("ib_send_bw", "UD", 1024, 2000), Test("ib_send_bw", "SRD", 8, 2000),
         Test("ib_send_bw", "SRD", 4096, 2000, ("-e",)), Test("ib_write_bw", "SRD", 65536, 500),
         Test("ib_write_bw", "SRD", 65536, 500, ("--write_with_imm",)), Test("ib_read_bw", "SRD", 65536, 500))
DMABUF = Path(__file__).with_name("dmabuf-mr.c")
DIRECT = Path(__file__).with_name("efadv-direct.c")
LEFTOVERS = Path(__file__).with_name("leftovers.py")
SESSION = Path(__file__).with_name("poll_session.py")
MISUSE = Path(__file__).with_name("misuse.py")
EXPLAINED = {
    "nothing": [],
    "long_inline": [("ibv_post_send", 11, "33 bytes of inline data, the queue takes 32"),
                    ("ibv_wr_complete", 12, "40 bytes of inline data, the queue takes 32")],
    "wrong_state": [("ibv_post_send", 21, "the QP is in state 0"), ("ibv_post_recv", 22, "state RESET")],
    "unsignalled": [("ibv_post_send", 31, "SIGNALED")],
    "too_many": [("ibv_post_recv", 41, "the queue has its 16 requests")],
    "wrong_key": [("ibv_post_recv", 51, "no memory region's"), ("ibv_post_recv", 52, "of another PD"),
                  ("ibv_post_recv", 53, "257 bytes are not in the region"),
                  ("ibv_post_recv", 54, "without IBV_ACCESS_LOCAL_WRITE")],
    "used_twice": [("ibv_post_recv", 62, "still in use: wr_id 61 of QP")],
    "written_early": [("ibv_poll_cq", 71, "written to before the request was completed")],
    "small_cq": [("ibv_post_recv", 85, "the CQ may overrun: it takes 4 completions")],
    "no_grh": [("ibv_post_recv", 91, "32 bytes are too few for a datagram")],
    "early_dereg": [("ibv_dereg_mr", 101, "the request is not completed")],
    "end": [],
}
TRACED = ("efa_send_wqe", "efa_sq_doorbell", "efa_rq_doorbell", "efa_cqe")
STRICTER = {"CQ, wrong flags": (95, 0), "depth, longer": (-22, 4096)}  # where ours does not pass over the unknown
SHOW = "ibv_devinfo -v | grep -v guid; ibv_devinfo -l"


def test_used(env):
    """It is ours that is in use; without it, what was there before is there again, and nothing looks different."""
    ours = env.exec(0, f"stat -Lc %d:%i {provider.REPLACED} {provider.IN_GUEST}").stdout.split()
    assert ours[0] == ours[1], ours
    shown = env.exec(0, SHOW).stdout
    assert "PORT_ACTIVE" in shown, shown
    with provider.stock(env.cluster, 0):
        stock = env.exec(0, f"stat -Lc %d:%i {provider.REPLACED}").stdout.split()
        assert stock[0] != ours[0], stock
        assert env.exec(0, SHOW).stdout == shown


def test_symbols(env):
    """It offers the functions of rdma-core's, each of the same version, and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        files = {"ours": provider.IN_GUEST, "stock": "/tmp/libefa-stock.so"}
        with provider.stock(env.cluster, 0):
            env.exec(0, f"cp {provider.REPLACED} {files['stock']}")
        symbols = {}
        for whose, path in files.items():
            env.cluster.get(0, path, Path(directory, whose))
            shown = ui.output(["readelf", "--dyn-syms", "--wide", Path(directory, whose)])
            symbols[whose] = set(re.findall(r" (?:GLOBAL|WEAK) +DEFAULT +(?!UND)\S+ (\S+@@\S+)", shown))
    assert symbols["ours"] == symbols["stock"] and len(symbols["ours"]) >= 7, symbols


def test_counts_only_instructions(env):
    """The program that counts instructions does not count anything else."""
    env.cluster.put(0, provider.build_program(env.cluster.config.suite, provider_cost.PROGRAM), provider_cost.IN_GUEST)
    done = env.exec(0, [provider_cost.IN_GUEST], check=False)
    assert done.status == 1 and not done.stdout and "the TSC does not count instructions" in done.stderr, done


def test_abi(_env):
    """Its functions have the stock ones' types, as debug information tells them, in all that these reach."""
    provider.check_abi(guest.DEFAULT_SUITE)


def test_conformance(env):
    """All of rdma-core's own tests end as with its own provider."""
    rdma_core.check_all(env, 3)


def test_both_ours(env):
    """Our provider on our driver."""
    cluster = env.up("both", **{**CLUSTER, "driver": "efa-emu"})
    rdma_core.check_all(env, 3, on=cluster)
    for test in TESTS[:4]:
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(cluster, test, limit=60)}")


def test_perftest(env):
    """Sends, RDMA, immediate data and events between two nodes."""
    for test in TESTS:
        env.say(f"{test.tool} -c {test.transport}: {perftest.run(env.cluster, test, limit=60)}")


def test_libfabric(env):
    """Messages over libfabric."""
    for endpoint in ("rdm", "dgram"):
        libfabric.pingpong(env, endpoint)


def test_dmabuf(env):
    """Memory regions in a DMA-BUF, with the stock provider as with ours."""
    cluster = env.cluster
    dmabuf.load(env, 0)
    cluster.put(0, provider.build_program(cluster.config.suite, DMABUF), "/tmp/dmabuf-mr")
    assert env.exec(0, "EFA_EMU_STRICT=1 /tmp/dmabuf-mr") == ("well\n", "", 0)
    with provider.stock(cluster, 0):
        assert env.exec(0, "/tmp/dmabuf-mr").stdout == "well\n"


def test_sub_cqs(env):
    """Completion queues of two rings, as the first generation has them; it does not wait for a buffer, so all are
    there from the beginning."""
    cluster = env.up("sub", **{**CLUSTER, "generation": 0, "device": "sub-cqs-per-cq=2"})
    rdma_core.run(env, "test_efa_srd", "test_efadv", generation=0, on=cluster)
    env.say(str(perftest.run(cluster, Test("ib_send_bw", "SRD", 4096, 2000, ("-r", "2000")), limit=60)))


def test_poll_session(env):
    """Between ibv_start_poll() and ibv_end_poll() there is no trap."""
    for program in (MISUSE, SESSION):
        env.cluster.put(0, program, f"/tmp/{program.name}")
    assert env.exec(0, f"python3 /tmp/{SESSION.name}", limit=20).stdout == "well\n"


def test_leftovers(env):
    """Completions that a queue pair leaves behind are not those of the next one of its number."""
    _leave_behind(env, driver="stock", generation=3)


def test_leftovers_wide(env):
    """Nor are they if requests have ids of 64 bits, of which the driver of 6.12 does not know."""
    _leave_behind(env, driver="efa-emu", generation=4)


def _leave_behind(env, **options):
    cluster = env.up("few", **{**CLUSTER, "n": 1, "device": "max-qp=2", **options})
    for program in (MISUSE, LEFTOVERS):
        cluster.put(0, program, f"/tmp/{program.name}")
    assert env.exec(0, f"python3 /tmp/{LEFTOVERS.name}", on=cluster).stdout == "well\n"


def test_batches(env):
    """A device that takes few work requests at a time, and never a whole queue."""
    cluster = env.up("few", **{**CLUSTER, "device": "max-tx-batch=3,min-sq-depth=16"})
    rdma_core.run(env, "test_efa_srd", generation=3, on=cluster)
    env.say(str(perftest.run(cluster, Test("ib_send_bw", "SRD", 64, 5000), limit=60)))


@full
@timeout(400)
def test_sid(env):
    """The rdma-core that is being developed, with what its efadv has more, and libfabric, which writes WQEs itself."""
    cluster = env.up("sid", **{**CLUSTER, "suite": "sid"})
    rdma_core.run(env, "test_efa_srd", "test_efadv", "test_cq_events", "test_qpex", generation=3, on=cluster)
    env.say(str(perftest.run(cluster, TESTS[3], limit=60)))
    provider.check_abi("sid")
    libfabric.pingpong(env, "rdm", on=cluster)
    cluster.put(0, provider.build_program("sid", DIRECT), "/tmp/efadv-direct")
    ours = env.exec(0, "/tmp/efadv-direct", on=cluster).stdout
    env.say(ours)
    for what in ("narrow", "wide", "DMA-BUF"):
        assert f"{what}: 16 of 16 completed, 16 well" in ours, (what, ours)
    with provider.stock(cluster, 0):
        stock = env.exec(0, "/tmp/efadv-direct", on=cluster).stdout
    for question, answers in STRICTER.items():
        assert [f"{question}: {answer}\n" in said for answer, said in zip(answers, (ours, stock))] == [True, True], stock
        stock = stock.replace(f"{question}: {answers[1]}\n", f"{question}: {answers[0]}\n")
    assert ours == stock, stock


def test_strict(env):
    """EFA_EMU_STRICT explains misuse in a line that names the call and the request, and is silent otherwise."""
    env.cluster.put(0, MISUSE, f"/tmp/{MISUSE.name}")
    said = env.exec(0, f"EFA_EMU_STRICT=1 python3 /tmp/{MISUSE.name}").stderr
    env.say(said)
    cases = {part.splitlines()[0]: part.splitlines()[1:] for part in said.split("== ")[1:]}
    assert set(cases) == set(EXPLAINED), cases
    for name, lines in cases.items():
        assert len(lines) == len(EXPLAINED[name]), (name, lines)
        for line, (call, wr_id, text) in zip(lines, EXPLAINED[name]):
            assert re.fullmatch(rf"efa strict: {call}, QP 0x[0-9a-f]+, wr_id {wr_id}: .*{text}.*", line), (name, line)
    assert "strict" not in env.exec(0, f"python3 /tmp/{MISUSE.name}").stderr


def test_strict_conformance(env):
    """rdma-core's tests end the same way while every request is looked at."""
    rdma_core.check_all(env, 3, environment=("EFA_EMU_STRICT=1",))


def test_trace(env):
    """EFA_EMU_TRACE has WQEs, doorbells and completions as the device's trace events have them in QEMU's log."""
    cluster = env.up("trace", **{**CLUSTER, "n": 1, "trace": TRACED})
    cluster.put(0, MISUSE, f"/tmp/{MISUSE.name}")
    env.exec(0, f"EFA_EMU_TRACE=/tmp/trace python3 /tmp/{MISUSE.name} nothing", on=cluster)
    said = env.exec(0, "cat /tmp/trace", on=cluster).stdout.splitlines()
    assert all(re.match(r"\d+@\d+\.\d{6}:efa_\w+ ", line) for line in said), said
    ours = [re.sub(r"^.*?:", "", line) for line in said]
    log = (cluster.node_dir(0) / "qemu.log").read_text().splitlines()
    device = [match[0] for line in log for match in re.finditer(rf"({'|'.join(TRACED)}) .*", line)]
    for event, what, count in (("efa_send_wqe", r"QP \w+ request \w+ ctrl.*", 80),
                               ("efa_sq_doorbell", r"QP \w+: \d+ -> \d+", 80),
                               ("efa_rq_doorbell", r"QP \w+: \d+ -> \d+", 80),
                               ("efa_cqe", r"QP \w+ request \w+ status \d+ flags \w+", 160)):
        seen = [[re.search(what, line)[0] for line in lines if line.startswith(event)] for lines in (ours, device)]
        assert len(seen[0]) == count and sorted(seen[0]) == sorted(seen[1]), (event, *seen)
