# SPDX-License-Identifier: GPL-2.0-or-later
"""
Where running clusters keep their files, and which processes are theirs.

A process belongs to a cluster if its environment says so: that holds for every process from its first moment on, needs
no record that a killed tool could fail to write, and never mistakes another's process for ours.
"""

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import NamedTuple

from . import ui

MARK = "EFA_EMU_CLUSTER"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
SOCKET_PATH_MAX = 107
LONGEST_SOCKET = "node9999/console.sock"
END_SECONDS = 10


class Process(NamedTuple):
    """A live process of a cluster."""
    pid: int
    role: str  # "node0", "vde"
    rss: int  # bytes


def base():
    """The directory of all clusters of this user; it is there while one of them is."""
    uid = os.geteuid()
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named and _is_private(named):
        path = Path(named, "efa-emu")
    else:
        path = Path(f"/tmp/efa-emu-{uid}")
    if os.path.lexists(path) and not _is_private(path):
        raise ui.Fail(f"{path} must be a directory that belongs to you alone; remove it, or set XDG_RUNTIME_DIR")
    return path


def directory(name):
    """Where the cluster of this name keeps, or would keep, its files."""
    if not NAME.fullmatch(name):
        raise ui.Fail(f"'{name}' is no name for a cluster: use up to 32 letters, digits, '.', '_' and '-'")
    path = base() / name
    longest = len(os.fsencode(path / LONGEST_SOCKET))
    if longest > SOCKET_PATH_MAX:
        raise ui.Fail(f"{path} is too long for unix sockets by {longest - SOCKET_PATH_MAX} bytes; use a shorter "
                      "--name, or set XDG_RUNTIME_DIR to a shorter path")
    return path


def names():
    """The clusters that run or have left files."""
    here = base()
    there = {p.name for p in here.glob("*") if p.is_dir() and NAME.fullmatch(p.name)}
    marked = {Path(mark).parent.name for mark in _marked().values() if Path(mark).parent.parent == here}
    return sorted(there | marked)


@contextlib.contextmanager
def locked(name, wait=True):
    """Hold the right to start and stop parts of a cluster."""
    fd = _lock(name, wait)
    while not _is_still(base() / f"{name}.lock", fd):  # its last holder has removed the cluster
        os.close(fd)
        fd = _lock(name, wait)
    try:
        yield
    finally:
        os.close(fd)


def _open_lock(name):
    while True:
        here = base()
        try:
            here.mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            raise ui.Fail(f"cannot create {here}: {e.strerror}; set XDG_RUNTIME_DIR to a directory of yours") from e
        with contextlib.suppress(FileNotFoundError):  # another's down has just removed the directory
            return os.open(here / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(name, wait):
    fd = _open_lock(name)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise ui.Fail(f"another efa-cluster is starting or stopping the cluster '{name}'; wait for it, or end "
                              "it") from None
            ui.note(f"waiting for another efa-cluster to let go of the cluster '{name}'")
            fcntl.flock(fd, fcntl.LOCK_EX)
        return fd
    except BaseException:
        os.close(fd)
        raise


def _is_still(path, fd):
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def environment(name, role):
    """What a process of the cluster's carries in its environment."""
    return {**os.environ, MARK: str(directory(name) / role)}


def processes(name):
    """The live processes of a cluster."""
    ours = directory(name)
    return [Process(pid, Path(mark).name, _rss(pid)) for pid, mark in sorted(_marked().items())
            if Path(mark).parent == ours]


def end(name, role=None):
    """Kill the processes of a cluster, or those of one role, and wait until they are gone."""
    victims = []
    for process in processes(name):
        if role in (None, process.role):
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(process.pid)
                if process.pid in _marked():  # still the same process, now that the descriptor holds on to it
                    victims.append((process, fd))
                else:
                    os.close(fd)
    for _, fd in victims:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    for process, fd in victims:
        _await_end(process, fd, deadline)
        os.close(fd)


def remove(name):
    """Remove a cluster's files, the lock included, which the caller holds; its processes have been ended."""
    shutil.rmtree(directory(name), ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(base() / f"{name}.lock")
    with contextlib.suppress(OSError):  # other clusters are there
        base().rmdir()


def _await_end(process, fd, deadline):
    if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
        raise ui.Fail(f"process {process.pid} ({process.role}) does not end although killed; is its disk or NFS server "
                      "stuck?")
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # if it was our own child


def _is_private(path):
    try:
        st = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(st.st_mode) and st.st_uid == os.geteuid() and stat.S_IMODE(st.st_mode) & 0o077 == 0


def _marked():
    """{pid: mark} of all live processes of ours that have one."""
    found = {}
    prefix = f"{MARK}=".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/environ", "rb") as f:  # empty for a zombie
                marks = [v for v in f.read().split(b"\0") if v.startswith(prefix)]
            if marks:
                found[int(entry)] = os.fsdecode(marks[0][len(prefix):])
    return found


def _rss(pid):
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
