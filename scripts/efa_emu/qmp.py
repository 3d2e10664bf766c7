# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's machine protocol: one command at a time."""

import contextlib
import json
import socket
import time
from pathlib import Path

from . import agent, ui

RETRY_SECONDS = 0.01  # there is no event for a socket that begins to listen


class Ended(ui.Fail):
    """The node's QEMU has ended."""


def await_greeting(path, name, child, deadline):
    """Wait until a QEMU just started has made its devices and serves its sockets."""
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Ended(f"{name}'s QEMU ended")
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            sock.connect(str(path))
            with contextlib.suppress(TimeoutError), sock.makefile("rb") as stream:
                _greeting(stream, name)
                return
        time.sleep(RETRY_SECONDS)
    raise agent.Timeout(f"{name}'s QEMU does not answer")


def execute(path, name, command, arguments=None, timeout=30):
    """Run a command on a node's monitor and return what it returns."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
            with sock.makefile("rwb") as stream:
                _greeting(stream, name)
                _ask(stream, name, "qmp_capabilities", {})
                return _ask(stream, name, command, arguments or {})
        except TimeoutError as e:
            raise ui.Fail(f"{name}'s monitor does not answer within {timeout:g} s; does another client hold it?") from e
        except OSError as e:
            raise ui.Fail(f"{name} does not run ({Path(path)}: {e.strerror})") from e


def _greeting(stream, name):
    if not stream.readline().startswith(b'{"QMP"'):
        raise Ended(f"{name} ended")


def _ask(stream, name, command, arguments):
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    for line in stream:
        answer = json.loads(line)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise ui.Fail(f"{name}: {command}: {answer['error']['desc']}")
    if command in ("quit", "system_reset"):
        return {}
    raise Ended(f"{name} ended during {command}")
