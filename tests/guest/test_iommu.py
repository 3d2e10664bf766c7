# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes whose IOMMU translates what the EFA devices access: drivers and programs notice nothing."""

import re

import dmabuf
import rdma_core
from efa_emu import perftest
from efa_emu.perftest import Test
from efa_emu.testing import full

MEM = 512
CLUSTER = {"n": 2, "generation": 3, "iommu": True, "mem": MEM, "trace": ("efa_ring_setup", "efa_dma_fault")}
TRANSLATED = ("cat /sys/class/infiniband/*/device/iommu_group/type; "
              "for b in /sys/class/infiniband/*/device/..; do cat $b/iommu_group/type; done")
RELOAD = ("rmmod efa && modprobe efa && "
          "until grep -q ACTIVE /sys/class/infiniband/*/ports/1/state; do sleep 0.05; done")


def test_translation(env):
    """The kernel has the devices behind its IOMMU, and they use addresses that are not those of memory."""
    for node in range(2):
        assert set(env.exec(node, TRANSLATED).stdout.split()) == {"DMA"}
        assert "DMAR: IOMMU enabled" in env.exec(node, "dmesg").stdout
        rings = re.findall(r"efa_ring_setup \w+ at (0x[0-9a-f]+)", env.cluster.qemu_tail(node, 1000))
        assert len(rings) == 3 and all(int(ring, 16) >= MEM << 20 for ring in rings), rings


def test_perftest(env):
    """Sends and RDMA writes."""
    for test in (Test("ib_send_bw", "SRD", 4096, 500), Test("ib_write_bw", "SRD", 1 << 18, 100)):
        [row] = perftest.run(env.cluster, test)
        env.say(f"{test.tool}: {row}")


@full
def test_rdma_core(env):
    """rdma-core's own SRD tests."""
    generation = env.cluster.config.generation
    rdma_core.check_documented(rdma_core.run(env, "test_efa_srd", generation=generation), generation)


def test_dmabuf(env):
    """Verified messages and RDMA between DMA-BUFs, whose pages are mapped for the device one by one."""
    dmabuf.exchange(env)


def test_reload(env):
    """The driver unmaps all it has mapped before, and nothing was ever accessed that was not."""
    env.exec(0, RELOAD)
    perftest.run(env.cluster, Test("ib_send_bw", "SRD", 1024, 500), 0, 0)
    for node in range(2):
        assert "efa_dma_fault" not in env.cluster.qemu_tail(node, 1000)
        assert env.exec(node, "dmesg | grep -E 'DMAR:.*fault|Call Trace|WARNING:'", check=False).stdout == ""
