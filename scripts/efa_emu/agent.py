# SPDX-License-Identifier: GPL-2.0-or-later
"""
The host's side of the guest agent: commands in a node over one of its virtio-serial ports.

The protocol is described in guest/agent/efa-agent.c. A port serves one command at a time; a lock file per port, next
to its socket, says who has it, and is not empty while a session is open: who finds it so comes after one that died.
"""

import contextlib
import fcntl
import os
import select
import shlex
import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import NamedTuple

from . import ui

PORTS = 8
HELLO, EXEC, STDIN, STDIN_EOF, SIGNAL = 0x01, 0x02, 0x03, 0x04, 0x05
HELLO_REPLY, STDOUT, STDERR, EXIT, CREDIT, ERROR = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
FRAME_MAX = 32768
MAGIC = b"efaagent"
HEADER = struct.Struct("<BI")
KILL_SECONDS = 5
GREET_SECONDS = 60  # the agent answers at once; a command without a time limit must not wait for one that is stuck
NOT_RUN = 127  # the status, as in a shell, of a command that could not be started


class Lost(ui.Fail):
    """The node's end of the connection is gone."""


class Timeout(ui.Fail):
    """A command did not end in time; it has been killed."""


class Result(NamedTuple):
    """What a command left; a status above 128 is 128 plus the signal that ended it."""
    stdout: str
    stderr: str
    status: int


def socket_path(node_dir, port):
    """The unix socket of one of a node's ports."""
    return Path(node_dir, f"a{port}")


def argv_of(command):
    """A string is for the guest's shell, a list is a program and its arguments."""
    return ["/bin/sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]


class Session:
    """One connection to an agent, in which one command runs; a context manager."""

    def __init__(self, node_dir, name):
        self.name = name
        self._buffer = bytearray()
        self._credit = 0
        self._sock = None
        self._sending = threading.Lock()
        self._lock, port, died = _take_port(node_dir, name)
        try:
            self._sock = socket.socket(socket.AF_UNIX)
            self._connect(socket_path(node_dir, port))
            self._nonce = os.urandom(16)
            self._send(bytes(FRAME_MAX if died else 0) + _frame(HELLO, MAGIC + self._nonce))
        except BaseException:
            self.close(clean=False)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close(clean=exc[0] is None)

    def fileno(self):
        """For select(): readable when event() has something new; see also pending()."""
        return self._sock.fileno()

    def close(self, clean=True):
        """Give the port back. After a session that ended early, the agent kills the command."""
        if self._sock:
            self._sock.close()
        if self._lock is not None:
            if clean:
                os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def greet(self, deadline):
        """Wait for the agent's answer; return the node's status. What a former session left is skipped."""
        mark = MAGIC + self._nonce
        while True:
            at = self._buffer.find(mark)
            if at >= HEADER.size:
                _, length = HEADER.unpack_from(self._buffer, at - HEADER.size)
                if len(self._buffer) >= at + length:
                    text = self._buffer[at + len(mark):at + length].decode(errors="replace")
                    del self._buffer[:at + length]
                    return text
            self._receive(deadline)

    def start(self, argv):
        """Ask for a command; events() tell what becomes of it."""
        payload = b"".join(os.fsencode(word) + b"\0" for word in argv)
        if len(payload) > FRAME_MAX:
            raise ui.Fail(f"the command for {self.name} is {len(payload)} bytes long; at most {FRAME_MAX} are possible")
        self._send(_frame(EXEC, payload))

    def event(self, deadline=None):
        """The next (type, payload) from the agent, or None at the deadline."""
        while True:
            if len(self._buffer) >= HEADER.size:
                kind, length = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= HEADER.size + length:
                    payload = bytes(self._buffer[HEADER.size:HEADER.size + length])
                    del self._buffer[:HEADER.size + length]
                    if kind == CREDIT:
                        self._credit += struct.unpack("<I", payload)[0]
                    return kind, payload
            if not self._receive(deadline, patient=True):
                return None

    def has_event(self):
        """Whether event() returns at once."""
        have = len(self._buffer)
        if have >= HEADER.size and have >= HEADER.size + HEADER.unpack_from(self._buffer)[1]:
            return True
        return bool(select.select([self._sock], [], [], 0)[0])

    def stdin_room(self):
        """How many bytes stdin() takes now."""
        return min(self._credit, FRAME_MAX)

    def stdin(self, data):
        """Send some of the command's input; nothing is its end."""
        self._credit -= len(data)
        self._send(_frame(STDIN, data) if data else _frame(STDIN_EOF))

    def signal(self, number):
        """Send a signal to the command's process group."""
        self._send(_frame(SIGNAL, struct.pack("<I", number)))

    def _connect(self, path):
        try:
            self._sock.connect(str(path))
        except OSError as e:
            raise Lost(f"{self.name} does not run ({path}: {e.strerror})") from e

    def _send(self, data):
        try:
            with self._sending:
                self._sock.sendall(data)
        except OSError as e:
            raise Lost(f"{self.name} is gone") from e

    def _receive(self, deadline, patient=False):
        wait = None if deadline is None else max(0, deadline - time.monotonic())
        if not select.select([self._sock], [], [], wait)[0]:
            if patient:
                return False
            raise Timeout(f"{self.name}'s agent does not answer")
        try:
            data = self._sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            raise Lost(f"{self.name} is gone")
        self._buffer += data
        return True


def status(node_dir, name, timeout):
    """Wait until a node's agent serves; return what the node says of itself: "ready", or what failed."""
    with Session(node_dir, name) as session:
        return session.greet(time.monotonic() + timeout)


def execute(node_dir, name, command, on_output, source=None, timeout=None, on_start=None):
    """
    Run a command in a node and return its status.

    on_output(STDOUT or STDERR, bytes) gets its output; source is None, bytes, or a file (to be selected on and read)
    for its input; on_start(session) is called once it is asked for. Raises Timeout once it has been killed for taking
    too long.
    """
    begin = time.monotonic()
    deadline = None if timeout is None else begin + timeout
    argv = argv_of(command)
    with Session(node_dir, name) as session:
        session.start(argv)
        greeted_by = begin + GREET_SECONDS
        session.greet(greeted_by if deadline is None else min(deadline, greeted_by))
        if on_start:
            on_start(session)
        try:
            status_ = _converse(session, on_output, _Source(source), deadline)
        except (KeyboardInterrupt, SystemExit):
            _kill(session)
            raise
        if status_ is None:
            _kill(session)
            raise Timeout(f"'{shlex.join(argv)}' on {name} took longer than {timeout:g} s and was killed")
        return status_


def _converse(session, on_output, source, deadline):
    """Pass output and input on until the command ends; None at the deadline."""
    while True:
        ready = source.wait(session, deadline) if source.sendable(session) else [session]
        if source in ready:
            session.stdin(source.read(session.stdin_room()))
        if session not in ready:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            continue
        event = session.event(deadline)
        if event is None:
            return None
        kind, payload = event
        if kind in (STDOUT, STDERR):
            on_output(kind, payload)
        elif kind == EXIT:
            return _exit_status(payload)
        elif kind == ERROR:
            on_output(STDERR, f"{session.name}: {payload.decode(errors='replace')}\n".encode())
            return NOT_RUN


class _Source:
    """Where a command's input comes from: nothing, bytes, or a file."""

    def __init__(self, source):
        self._data = memoryview(source or b"") if isinstance(source, (bytes, type(None))) else None
        self._file = source if self._data is None else None
        self._ended = False

    def sendable(self, session):
        """Whether there may be something to send, and room for it."""
        return not self._ended and session.stdin_room() > 0

    def wait(self, session, deadline):
        """Which of the session and this has something to read."""
        if session.has_event():
            return [session]
        if self._file is None:
            return [self]
        wait = None if deadline is None else max(0, deadline - time.monotonic())
        readable = select.select([session, self._file], [], [], wait)[0]
        return [self if r is self._file else r for r in readable]

    def read(self, size):
        """At most size bytes, none at the end."""
        if self._file is not None:
            data = os.read(self._file.fileno(), size)
        else:
            data, self._data = bytes(self._data[:size]), self._data[size:]
        self._ended = not data
        return data


def _kill(session):
    """End the command and wait for that, so that the port is free again; if the node hangs, so be it."""
    deadline = time.monotonic() + KILL_SECONDS
    with contextlib.suppress(Lost):
        session.signal(signal.SIGKILL)
        while True:
            event = session.event(deadline)
            if event is None or event[0] in (EXIT, ERROR):
                return


def _exit_status(payload):
    code = os.waitstatus_to_exitcode(struct.unpack("<I", payload)[0])
    return 128 - code if code < 0 else code


def _frame(kind, payload=b""):
    return HEADER.pack(kind, len(payload)) + payload


def _take_port(node_dir, name):
    """Lock a free port; return the lock, the port, and whether its last user died in the middle."""
    if not Path(node_dir).is_dir():
        raise Lost(f"{name} does not exist")
    for port in range(PORTS):
        fd = os.open(Path(node_dir, f"a{port}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        died = os.fstat(fd).st_size > 0
        os.write(fd, b"in use\n")
        return fd, port, died
    raise ui.Fail(f"{PORTS} commands run on {name} already; wait until one of them ends")


class Running:
    """A command that runs in the background; its output is collected as it comes."""

    def __init__(self, node_dir, name, command, source=None):
        self.command = command
        self._changed = threading.Condition()
        self._output = {STDOUT: bytearray(), STDERR: bytearray()}
        self._read = 0
        self._status = None
        self._error = None
        self._session = None
        self._thread = threading.Thread(target=self._run, args=(node_dir, name, command, source), daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._session or self._done())
        if self._error:
            raise self._error

    def _run(self, node_dir, name, command, source):
        status_, error = None, None
        try:
            status_ = execute(node_dir, name, command, self._collect, source, on_start=self._started)
        except (ui.Fail, OSError) as e:
            error = e
        with self._changed:
            self._status, self._error = status_, error
            self._session = None
            self._changed.notify_all()

    def _started(self, session):
        with self._changed:
            self._session = session
            self._changed.notify_all()

    def _collect(self, kind, data):
        with self._changed:
            self._output[kind] += data
            self._changed.notify_all()

    def _done(self):
        return self._status is not None or self._error is not None

    @property
    def stdout(self):
        """All it has printed so far."""
        with self._changed:
            return self._output[STDOUT].decode(errors="replace")

    @property
    def stderr(self):
        """All it has printed on stderr so far."""
        with self._changed:
            return self._output[STDERR].decode(errors="replace")

    def read(self):
        """What it has printed since the last read()."""
        with self._changed:
            new = bytes(self._output[STDOUT][self._read:])
            self._read += len(new)
            return new.decode(errors="replace")

    def wait_for(self, text, timeout=60):
        """Wait until its output, of either kind, contains the text."""
        def there():
            return text.encode() in self._output[STDOUT] or text.encode() in self._output[STDERR] or self._done()
        with self._changed:
            self._changed.wait_for(there, timeout)
        if text not in self.stdout and text not in self.stderr:
            raise ui.Fail(f"'{self.command}' did not print '{text}' within {timeout:g} s, but: "
                          f"{self.stdout}{self.stderr}")

    def running(self):
        """Whether it has not ended."""
        with self._changed:
            return not self._done()

    def wait(self, timeout=60):
        """Wait for its end; return its Result. After a timeout it is killed, and Timeout raised."""
        with self._changed:
            ended = self._changed.wait_for(self._done, timeout)
        if not ended:
            self.kill()
            raise Timeout(f"'{self.command}' took longer than {timeout:g} s and was killed")
        self._thread.join()
        if self._error:
            raise self._error
        return Result(self.stdout, self.stderr, self._status)

    def signal(self, number):
        """Send it a signal."""
        with self._changed:
            if self._session:
                self._session.signal(number)

    def kill(self):
        """Kill it, if it runs, and wait for that; a node that is gone is as good."""
        with contextlib.suppress(Lost):
            self.signal(signal.SIGKILL)
        self._thread.join(KILL_SECONDS)
