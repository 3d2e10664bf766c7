# SPDX-License-Identifier: GPL-2.0-or-later
"""
Trees of Debian packages made by mmdebstrap, and commands that run in them, as root or as an ordinary user.

A tree is unpacked so that all of it belongs to whoever runs this: no subordinate user ids are left in the cache, and
a user namespace with the one mapping "me is root" is enough to work in it.
"""

import os
import pwd
import shlex
from pathlib import Path

from . import apt, ui

HOST_PACKAGES = ["mmdebstrap", "e2fsprogs", "lz4", "zstd", "xz-utils"]
USER_PACKAGES = ["uidmap"]
EXCLUDED = ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
UNPACK_OPTIONS = ["--no-same-owner", "--same-permissions", "--delay-directory-restore", "--exclude=./dev/*"]
RUN_SCRIPT = 'mount --bind "$1" "$2/mnt"; mount --rbind /proc "$2/proc"; touch "$2/dev/null"; ' \
             'mount --bind /dev/null "$2/dev/null"; exec chroot "$2" env -C /mnt "${@:3}"'


def require(why):
    """Have on this machine what making trees and images takes."""
    apt.require(needed_packages(), why)
    if os.geteuid() != 0:
        _require_subuids()


def needed_packages():
    """The packages of this machine that making trees and images takes."""
    return HOST_PACKAGES + (USER_PACKAGES if os.geteuid() != 0 else [])


def mmdebstrap(suite, packages, tar, log, hooks=()):
    """Make an archive of a minimal system of the suite with the packages in it."""
    source = apt.Suite(suite)
    # without root, mmdebstrap works as other users, to whom the cache and most homes are closed
    temporary = str(tar.parent) if os.geteuid() == 0 else "/var/tmp"
    base = suite.removesuffix("-backports")  # where mmdebstrap finds what is essential
    ui.run(["mmdebstrap", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=essential",
            "--format=tar", '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"',
            f'--aptopt=APT::Default-Release "{suite}"',
            *[f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED],
            *[f"--customize-hook={hook}" for hook in hooks],
            f"--include={','.join(packages)}", base, tar, *source.mmdebstrap_sources()],
           log, env={"TMPDIR": temporary}, what=f"mmdebstrap of Debian {suite}")


def unpack(tar, directory, log):
    """Unpack an archive of mmdebstrap's; all of it will belong to us."""
    directory.mkdir()
    ui.run(["tar", "-C", directory, *UNPACK_OPTIONS, "-xf", tar], log, what="unpacking the tree")


def run(tree, work, cmd, log, what=None):
    """Run a command in a tree, in the directory /mnt, which is the directory work; nothing else is shared."""
    ui.run([*namespace(), "--mount", "bash", "-ec", RUN_SCRIPT, "bash", work, tree, *cmd], log, what=what,
           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})


def namespace():
    """The words before a command that make us root in a user namespace, if we are not root already."""
    return ["unshare", "--map-root-user"] if os.geteuid() != 0 else ["unshare"]


def as_root(cmd):
    """A command's words, such that it sees files of ours as root's."""
    return [*namespace(), *cmd] if os.geteuid() != 0 else list(cmd)


def hook(script, *args):
    """A customize-hook: a shell script that gets the tree as $1 and these arguments behind."""
    return " ".join(["sh", "-ec", shlex.quote(script), "hook", '"$1"', *[shlex.quote(str(a)) for a in args]])


def _require_subuids():
    name = pwd.getpwuid(os.geteuid()).pw_name
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        if not any(line.split(":")[0] in (name, str(os.geteuid())) for line in lines):
            raise ui.Fail(f"{file} has no range for {name}, which mmdebstrap needs; add one with: "
                          f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}")
