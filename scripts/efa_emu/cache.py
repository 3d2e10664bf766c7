# SPDX-License-Identifier: GPL-2.0-or-later
"""
The cache of heavy results (QEMU, chroots, guest images), outside the tree and safe to delete at any time.

A result is a directory named by a digest of what went into it. It is built in a temporary directory beside and
renamed, under a lock per result: it is there and complete, or not there.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from . import ui

FULL = (errno.ENOSPC, errno.EDQUOT)
LOWEST_LOCK_FD = 100
FULL_BYTES = 16 << 20  # less than this left when a build fails: take it that the disk is full


def root():
    """The cache's directory: $EFA_EMU_CACHE, or efa-emu below the user's cache directory."""
    named = os.environ.get("EFA_EMU_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(named).absolute() if named else Path(base, "efa-emu")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as e:
        raise ui.Fail(f"cannot create the cache directory {path}: {e.strerror}; set EFA_EMU_CACHE to a directory "
                      "you can write to") from e
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ui.Fail(f"the cache directory {path} is not writable; set EFA_EMU_CACHE to one that is")
    return path


def log(name):
    """Where the output of the commands of a build called name goes."""
    return root() / "logs" / f"{name}.log"


def digest(*things):
    """A stable key of nested str, bytes, numbers, Path (the file's or directory's content), list, tuple and dict."""
    h = hashlib.sha256()
    _feed(h, things)
    return h.hexdigest()[:16]


def _feed(h, thing):
    if isinstance(thing, (list, tuple)):
        _tag(h, "list", len(thing))
        for item in thing:
            _feed(h, item)
    elif isinstance(thing, dict):
        _feed(h, sorted(thing.items()))
    elif isinstance(thing, Path) and thing.is_dir():
        _feed(h, {str(p.relative_to(thing)): p for p in thing.rglob("*") if p.is_file()})
    else:
        data = thing.read_bytes() if isinstance(thing, Path) else thing
        data = data if isinstance(data, bytes) else str(data).encode()
        _tag(h, type(thing).__name__ if not isinstance(thing, Path) else "file", len(data))
        h.update(data)


def _tag(h, kind, length):
    h.update(f"{kind} {length}\n".encode())


def path(kind, inputs):
    """Where the result of these inputs is, or will be."""
    return root() / kind / digest(kind, inputs)


def build(kind, inputs, builder, title=None):
    """
    Return the directory with the result for inputs; if it is not there yet, have builder(directory) fill it.

    builder gets an empty temporary directory. A builder that fails, or is interrupted, leaves nothing behind.
    """
    final = path(kind, inputs)
    if not final.is_dir():
        with ui.step(title) if title else contextlib.nullcontext(), _flock(_lock_of(final)):
            _remove_leftovers(final.parent)
            if not final.is_dir():
                _build(final, builder)
    with contextlib.suppress(OSError):
        os.utime(final)  # the mark of its last use, for keep_newest()
    return final


def _build(final, builder):
    with guard_full():
        temp = _temp_of(final)
        remove(temp)
        try:
            temp.mkdir(parents=True)
            builder(temp)
            temp.rename(final)
        except BaseException as e:
            full = is_full(e)
            remove(temp)
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from e
            raise


@contextlib.contextmanager
def guard_full():
    """Turn a full disk, however it shows inside, into one clear line."""
    try:
        yield
    except (OSError, ui.Fail) as e:
        if not is_full(e):
            raise
        raise ui.Fail(f"the disk that holds the cache {root()} is full; free some space there, or set EFA_EMU_CACHE "
                      "to a directory on a larger disk, and run this again") from e


def is_full(error):
    """Whether this error, of ours or of a command we ran, comes from a full disk."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    if not isinstance(error, (OSError, ui.Fail)):
        return False
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(root()).free < FULL_BYTES


@contextlib.contextmanager
def exclusive(name):
    """Hold the lock called name: for builds that work in place, incrementally."""
    with _flock(root() / "locks" / f"{name}.lock"):
        yield


def keep_newest(kind, count):
    """Drop all but the most recently used results of a kind."""
    with exclusive(f"keep-{kind}"):
        results = [p for p in (root() / kind).iterdir() if p.is_dir() and not p.suffix]
        results.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for old in results[count:]:
            with _flock(_lock_of(old)):
                remove(old)


def remove(directory):
    """Remove a tree, mounts of a chroot and files of a user namespace included."""
    _unmount_below(directory)
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except PermissionError:
        _remove_in_namespace(directory)


def _remove_in_namespace(directory):
    """mmdebstrap without root makes files that belong to our subordinate user ids."""
    done = subprocess.run(["mmdebstrap", "--unshare-helper", "rm", "-rf", str(directory)], check=False,
                          capture_output=True, text=True)
    if directory.exists():
        raise ui.Fail(f"cannot remove {directory}; remove it by hand ({done.stderr.strip()})")


def _unmount_below(directory):
    """A killed mmdebstrap may leave /proc or /dev mounted in its chroot: never walk into those."""
    if os.geteuid() != 0:
        return
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        points = [line.split()[4] for line in f]
    real = directory.resolve()
    for point in reversed(points):
        if Path(point).is_relative_to(real):
            subprocess.run(["umount", "--lazy", point], check=True)


def _remove_leftovers(directory):
    """Remove temporary directories whose builder is dead, that is, whose lock is free."""
    for temp in directory.glob("*.tmp"):
        with contextlib.suppress(BlockingIOError), _flock(_lock_of(temp.with_suffix("")), wait=False):
            remove(temp)


def _temp_of(final):
    return final.with_name(final.name + ".tmp")


def _lock_of(final):
    return final.with_name(final.name + ".lock")


@contextlib.contextmanager
def _flock(file, wait=True):
    with guard_full():
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = _open_high(file)
    try:
        _acquire(fd, file, wait)
        others = getattr(ui.held, "locks", ())
        ui.held.locks = (*others, fd)
        try:
            yield
        finally:
            ui.held.locks = others
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a command may have left a child with a copy
    finally:
        os.close(fd)


def _open_high(file):
    """Commands inherit locks, and some shell scripts count on finding descriptors below 10 free."""
    low = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, LOWEST_LOCK_FD)
    finally:
        os.close(low)


def _acquire(fd, file, wait):
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        ui.note(f"waiting for another build ({file.stem})")
        fcntl.flock(fd, fcntl.LOCK_EX)
