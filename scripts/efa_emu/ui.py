# SPDX-License-Identifier: GPL-2.0-or-later
"""How the scripts talk to their user: progress lines, one-line errors, commands with logs."""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time

LOG_TAIL_LINES = 15
LOG_TAIL_WIDTH = 200
KILL_GRACE_SECONDS = 5
PROGRESS_SECONDS = 30

_start = time.monotonic()
_lock = threading.Lock()
_open_step = None  # the step whose line has no newline yet

held = threading.local()
"""
held.locks: file descriptors of the locks this thread holds. Commands inherit them: should we be killed, the lock is
free only when the last of them has ended too.
"""


class Fail(Exception):
    """Something the user can act on: one clear line that names the thing and the remedy."""


def note(text):
    """Print one line of progress."""
    global _open_step
    with _lock:
        print(("\n" if _open_step else "") + _stamp() + text, file=sys.stderr, flush=True)
        _open_step = None


def say(text):
    """Print one line of the program's proper output."""
    global _open_step
    with _lock:
        if _open_step:
            print(file=sys.stderr, flush=True)
            _open_step = None
        print(text, flush=True)


@contextlib.contextmanager
def step(title):
    """Announce a long step; its time is added to the same line, or to a new one if others printed meanwhile."""
    global _open_step
    me = object()
    begin = time.monotonic()
    with _lock:
        print(("\n" if _open_step else "") + f"{_stamp()}{title} … ", end="", file=sys.stderr, flush=True)
        _open_step = me
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        took = f"{outcome} {time.monotonic() - begin:.0f} s"
        with _lock:
            if _open_step is me:
                print(took, file=sys.stderr, flush=True)
                _open_step = None
            else:
                print(("\n" if _open_step else "") + f"{_stamp()}{title}: {took}", file=sys.stderr, flush=True)
                _open_step = None


def _stamp():
    return f"[{time.monotonic() - _start:4.0f} s] "


def run(cmd, log, cwd=None, env=None, append=True, timeout=None, what=None, progress=None):
    """
    Run a command with its output in the file log; on failure raise Fail with the log's tail and its path.

    env is added to our own environment. The command is killed with all its children when we are interrupted,
    and told to end by the kernel should we die without a chance to do that. progress is a pattern with one group:
    its newest match in the output is shown every now and then.
    """
    cmd = [str(c) for c in cmd]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab" if append else "wb") as out:
        out.write(f"+ {' '.join(cmd)}\n".encode())
        out.flush()
        begin = out.tell()
        status = _supervise(cmd, out, cwd, env, timeout, _progress_of(log, begin, progress))
    if status != 0:
        reason = "took too long" if status is None else f"failed with status {status}"
        raise Fail(f"{what or cmd[0]} {reason}; log: {log}\n{_tail(log, begin)}")


def output(cmd, cwd=None, env=None, timeout=60):
    """Run a short command and return what it prints; raise Fail with its error output if it fails."""
    done = subprocess.run([str(c) for c in cmd], cwd=cwd, env={**os.environ, **(env or {})}, timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Fail(f"{cmd[0]} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main(fn):
    """Run fn() as a program: a Fail is one line and exit 1, an interrupt ends without a traceback."""
    def terminate(signum, _frame):
        raise SystemExit(128 + signum)
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGHUP, terminate)
    try:
        sys.exit(fn())
    except Fail as e:
        print(f"efa-emu: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("efa-emu: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)


def _supervise(cmd, out, cwd, env, timeout, report):
    """Return the exit status, or None after a timeout; whatever happens, no child is left."""
    try:
        child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *cmd], cwd=cwd, start_new_session=True,
                                 env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, pass_fds=getattr(held, "locks", ()))
    except FileNotFoundError as e:
        raise Fail(f"{e.filename} is missing (Debian package util-linux)") from e
    deadline = time.monotonic() + (timeout or math.inf)
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(min(PROGRESS_SECONDS, deadline - time.monotonic()))
            report()
        return None
    finally:
        _end(child)


def _progress_of(log, begin, pattern):
    def report():
        matches = re.findall(pattern, _since(log, begin)) if pattern else []
        if matches:
            note(f"  {matches[-1]}")
    return report


def _end(child):
    """End what is left of a child's session: politely first, since tools remove their half-written files."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None and sig == signal.SIGKILL:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(KILL_GRACE_SECONDS)


def _since(log, begin):
    with open(log, "rb") as f:
        f.seek(begin)
        return f.read().decode(errors="replace")


def _tail(log, begin):
    return "\n".join("  | " + line[:LOG_TAIL_WIDTH] for line in _since(log, begin).splitlines()[-LOG_TAIL_LINES:])
