# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in a node, for dmabuf.py: srd_peer.py with all of its memory in DMA-BUFs, and RDMA between them.

A DMA-BUF is a memfd that udmabuf has made one of; it is registered by the driver's command, since pyverbs knows only
those of graphics cards.
"""

import ctypes
import fcntl
import hashlib
import mmap
import os
import struct

import pyverbs.enums as e
import srd_peer
from pyverbs.wr import SGE

RDMA_BYTES = 1 << 20
OFFSET = 3 * mmap.PAGESIZE + 512  # where a region begins in its DMA-BUF
IOVA = 0x5a0000000000 + OFFSET  # chosen by whoever registers, as long as it lies alike in its page
ACCESS = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ

# linux/fcntl.h, linux/udmabuf.h
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2
UDMABUF_CREATE, UDMABUF_FLAGS_CLOEXEC = 0x40187542, 1
# rdma/rdma_user_ioctl_cmds.h, rdma/ib_user_ioctl_cmds.h
RDMA_VERBS_IOCTL = 0xc0181b01
OBJECT_MR, MR_DESTROY, REG_DMABUF_MR = 7, 1, 4
HANDLE, PD_HANDLE, BUF_OFFSET, LENGTH, BUF_IOVA, FD, FLAGS, LKEY, RKEY = range(9)
DRIVER_EFA = 17
MANDATORY = 1
HEAD, ATTRIBUTE = struct.Struct("=HHHHQII"), struct.Struct("=HHHHQ")


class Region:
    """A memory region over a DMA-BUF, with the face of pyverbs' MR; read and written by its memfd's mapping."""

    def __init__(self, context, pd, size):
        memory = os.memfd_create("region", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        total = (OFFSET + size + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
        os.ftruncate(memory, total)
        fcntl.fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK)
        request = bytearray(struct.pack("=IIQQ", memory, UDMABUF_FLAGS_CLOEXEC, 0, total))
        with open("/dev/udmabuf", "rb") as udmabuf:
            self.fd = fcntl.ioctl(udmabuf.fileno(), UDMABUF_CREATE, request)
        self.map = mmap.mmap(memory, total)
        os.close(memory)
        self.context, self.buf, self.size = context, IOVA, size
        self._register(pd)

    def read(self, length, offset):
        """Bytes at an offset in the region."""
        return self.map[OFFSET + offset:OFFSET + offset + length]

    def write(self, data, length, offset):
        """Replace bytes at an offset in the region."""
        self.map[OFFSET + offset:OFFSET + offset + length] = data[:length]

    def destroy(self):
        """Deregister; the memory is still there."""
        _verbs(self.context, MR_DESTROY, [(HANDLE, 0, self.handle)])

    def _register(self, pd):
        keys = bytearray(8)
        at = _address(keys)
        attributes = [(HANDLE, 0, 0), (PD_HANDLE, 0, pd.handle), (BUF_OFFSET, 8, OFFSET), (LENGTH, 8, self.size),
                      (BUF_IOVA, 8, self.buf), (FD, 4, self.fd), (FLAGS, 4, ACCESS), (LKEY, 4, at), (RKEY, 4, at + 4)]
        self.handle = _verbs(self.context, REG_DMABUF_MR, attributes)
        self.lkey, self.rkey = struct.unpack("=II", keys)


class DmaBufPeer(srd_peer.Peer):
    """A peer whose messages lie in DMA-BUFs, and which writes into and reads from those of others."""
    RDMA = e.IBV_QP_EX_WITH_RDMA_WRITE | e.IBV_QP_EX_WITH_RDMA_READ

    def __init__(self, me):
        super().__init__(me)
        self.rdma_mr = self.register(RDMA_BYTES)
        self.remotes = {}

    def register(self, size):
        return Region(self.context, self.pd, size)

    def hello(self):
        return {**super().hello(), "address": self.rdma_mr.buf, "rkey": self.rdma_mr.rkey}

    def connect(self, peers):
        self.remotes = {int(number): (peer["address"], peer["rkey"]) for number, peer in peers.items()}
        return super().connect(peers)

    def fill(self, seed):
        """Write a pattern into the region for RDMA."""
        self.rdma_mr.write(hashlib.shake_128(bytes([seed])).digest(RDMA_BYTES), RDMA_BYTES, 0)
        return {}

    def digest(self, offset, length):
        """Of a place in the region for RDMA, and of the rest of it."""
        before, after = self.rdma_mr.read(offset, 0), self.rdma_mr.read(RDMA_BYTES - offset - length, offset + length)
        parts = {"place": self.rdma_mr.read(length, offset), "rest": before + after}
        return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}

    def rdma(self, kind, to, offset, length):
        """Write to, or read from, the same place of another's region; the completion's status, EFA's."""
        address, rkey = self.remotes[to]
        ah, qpn = self.peers[to]
        self.qp.wr_start()
        self.qp.wr_id, self.qp.wr_flags = 0, e.IBV_SEND_SIGNALED
        {"write": self.qp.wr_rdma_write, "read": self.qp.wr_rdma_read}[kind](rkey, address + offset)
        self.qp.wr_set_ud_addr(ah, qpn, srd_peer.QKEY)
        self.qp.wr_set_sge(SGE(self.rdma_mr.buf + offset, length, self.rdma_mr.lkey))
        self.qp.wr_complete()
        while True:
            for done in self.cq.poll(1)[1]:
                return {"status": done.vendor_err & 0xff if done.status != e.IBV_WC_SUCCESS else 0}

    def destroy(self):
        """Deregister the region for RDMA, whose DMA-BUF and memory stay."""
        self.rdma_mr.destroy()
        return {}


def _address(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _verbs(context, method, attributes):
    """Issue a command of the kernel's; return the first attribute's value, a handle."""
    size = HEAD.size + len(attributes) * ATTRIBUTE.size
    command = bytearray(HEAD.pack(size, OBJECT_MR, method, len(attributes), 0, DRIVER_EFA, 0))
    for number, length, value in attributes:
        command += ATTRIBUTE.pack(number, length, MANDATORY, 0, value)
    fcntl.ioctl(context.cmd_fd, RDMA_VERBS_IOCTL, command)
    return ATTRIBUTE.unpack_from(command, HEAD.size)[-1]


srd_peer.main(DmaBufPeer)
