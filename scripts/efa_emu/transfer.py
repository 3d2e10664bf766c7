# SPDX-License-Identifier: GPL-2.0-or-later
"""Files into and out of nodes, over the agent: a file as it is, a directory as a tar archive."""

import io
import tarfile
import tempfile
from pathlib import Path

from . import agent, ui

TIMEOUT = 600
PUT_FILE = 'd=$1; [ ! -d "$d" ] || d=$d/$2; cat >"$d" && chmod "$3" "$d"'
PUT_TREE = 'mkdir -p "$1" && tar -x -C "$1"'
GET_KIND = 'if [ -d "$1" ]; then echo directory; elif [ -r "$1" ]; then stat -c %a "$1"; else echo missing; fi'


def put(cluster, index, source, target):
    """Copy a file to a path or into a directory of a node, or a directory's content to a directory of a node."""
    if source.is_dir():
        archive = tempfile.TemporaryFile()  # pylint: disable=consider-using-with
        with archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(source, arcname=".", filter=_as_root)
            archive.seek(0)
            _run(cluster, index, ["sh", "-c", PUT_TREE, "put", target], source=archive)
        return
    try:
        with open(source, "rb") as file:
            mode = f"{source.stat().st_mode & 0o777:o}"
            _run(cluster, index, ["sh", "-c", PUT_FILE, "put", target, source.name, mode], source=file)
    except OSError as e:
        raise ui.Fail(f"cannot read {source}: {e.strerror}") from e


def get(cluster, index, source, target):
    """Copy a file out of a node to a path or into a directory, or a directory's content to a directory."""
    kind = _run(cluster, index, ["sh", "-c", GET_KIND, "get", source]).decode().strip()
    if kind == "missing":
        raise ui.Fail(f"{cluster.node_name(index)} has no file {source}")
    try:
        if kind == "directory":
            _get_tree(cluster, index, source, target)
        else:
            _get_file(cluster, index, source, target / Path(source).name if target.is_dir() else target, int(kind, 8))
    except OSError as e:
        raise ui.Fail(f"cannot write {target}: {e.strerror}") from e


def _get_file(cluster, index, source, target, mode):
    with open(target, "wb") as file:
        _run(cluster, index, ["cat", source], sink=file)
    target.chmod(mode)


def _get_tree(cluster, index, source, target):
    data = io.BytesIO()
    _run(cluster, index, ["tar", "-c", "-C", source, "."], sink=data)
    data.seek(0)
    target.mkdir(exist_ok=True)
    with tarfile.open(fileobj=data) as tar:
        tar.extractall(target, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))


def _run(cluster, index, argv, source=None, sink=None):
    output, errors = sink or io.BytesIO(), bytearray()

    def take(kind, data):
        if kind == agent.STDOUT:
            output.write(data)
        else:
            errors.extend(data)
    status = cluster.stream(index, argv, take, source if source is not None else b"", TIMEOUT)
    if status != 0:
        raise ui.Fail(f"{cluster.node_name(index)}: {errors.decode(errors='replace').strip() or f'status {status}'}")
    return b"" if sink else output.getvalue()


def _as_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
