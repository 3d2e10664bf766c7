# SPDX-License-Identifier: GPL-2.0-or-later
"""
Debian packages of any suite, without touching the machine's own apt: own sources, lists and cache below ours.

The mirror is the one the machine uses, so that a site's mirror and proxy are respected.
"""

import functools
import os
import re
import subprocess
import time
from pathlib import Path

from . import cache, ui

KEYRING_PACKAGE = "debian-archive-keyring"
KEYRINGS = [Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
            Path("/usr/share/keyrings/debian-archive-keyring.pgp")]
LISTS_FRESH_SECONDS = 12 * 3600

# What each suite consists of; a suite ending in -security lies on the security mirror.
SUITES = {
    "bookworm": ["bookworm", "bookworm-updates", "bookworm-security"],
    "bookworm-backports": ["bookworm", "bookworm-updates", "bookworm-security", "bookworm-backports"],
    "trixie": ["trixie", "trixie-updates", "trixie-security"],
    "trixie-backports": ["trixie", "trixie-updates", "trixie-security", "trixie-backports"],
    "sid": ["sid"],
}

CONFIG = """\
Dir::Etc::SourceList "{dir}/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "-";
Dir::Etc::PreferencesParts "-";
Dir::State "{dir}/state";
Dir::State::status "{dir}/status";
Dir::Cache "{dir}/cache";
Dir::Log "{dir}/log";
APT::Default-Release "{suite}";
APT::Sandbox::User "{user}";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


class Suite:
    """One Debian suite, read through a private apt configuration."""

    def __init__(self, name):
        if name not in SUITES:
            raise ui.Fail(f"unknown suite '{name}'; known are {', '.join(SUITES)}")
        self.name = name
        self.dir = cache.root() / "apt" / name
        self.config = self.dir / "apt.conf"
        self.log = cache.log(f"apt-{name}")

    def update(self, force=False):
        """Fetch the package lists, unless they are fresh."""
        with cache.exclusive(f"apt-{self.name}"):
            stamp = self.dir / "updated"
            if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_FRESH_SECONDS:
                return
            with ui.step(f"reading Debian {self.name}'s package lists"), cache.guard_full():
                self._fetch_lists()
            stamp.touch()

    def _fetch_lists(self):
        archive, security = machine_mirrors()
        if security:
            return self._fetch_lists_from((archive, security))
        uri, key = archive
        try:
            return self._fetch_lists_from((archive, (f"{uri}-security", key)))
        except ui.Fail:  # the machine names no security mirror and there is none beside its archive
            return self._fetch_lists_from((archive, None))

    def _fetch_lists_from(self, mirrors):
        self._write(mirrors)
        try:
            ui.run(["apt-get", "-c", self.config, "--error-on=any", "update"], self.log, append=False)
        except ui.Fail as e:
            if "NO_PUBKEY" not in str(e):
                raise
            raise ui.Fail(f"the keys on this machine do not know Debian {self.name}; upgrade the package "
                          f"{KEYRING_PACKAGE} (2023.3+deb12u2 or newer knows trixie): "
                          f"sudo apt-get install {KEYRING_PACKAGE}") from e

    def _write(self, mirrors):
        for sub in ("state/lists/partial", "cache/archives/partial", "log"):
            (self.dir / sub).mkdir(parents=True, exist_ok=True)
        (self.dir / "status").touch()
        user = "root" if os.geteuid() == 0 else ""
        self.config.write_text(CONFIG.format(dir=self.dir, suite=self.name, user=user))
        lines = self._lines("deb", mirrors) + self._lines("deb-src", mirrors)
        (self.dir / "sources.list").write_text("\n".join(lines) + "\n")

    def _lines(self, kind, mirrors):
        archive, security = mirrors
        lines = []
        for part in SUITES[self.name]:
            is_security = part.endswith("-security")
            if is_security and not security:
                continue
            uri, keyring = security if is_security else archive
            stale_ok = " check-valid-until=no" if part == "sid" else ""  # mirrors of sid are often behind
            lines.append(f"{kind} [signed-by={keyring}{stale_ok}] {uri} {part} main")
        return lines

    def mmdebstrap_sources(self):
        """The sources.list lines with which mmdebstrap gets this suite; packages default to this suite's own."""
        self.update()
        lines = (self.dir / "sources.list").read_text().splitlines()
        return [line for line in lines if line.startswith("deb ")]

    def source_versions(self, package):
        """Every version of a source package that the suite offers, newest first."""
        shown = self._offline(["apt-cache", "-c", self.config, "showsrc", "--only-source", package])
        versions = set(re.findall(r"^Version: (\S+)$", shown, re.M))
        if not versions:
            raise ui.Fail(f"Debian {self.name} has no source package {package}")
        return sorted(versions, key=functools.cmp_to_key(compare_versions), reverse=True)

    def source_version(self, package, prefix=""):
        """The newest version of a source package, of those whose upstream part starts with prefix."""
        versions = self.source_versions(package)
        for version in versions:
            if version.split(":")[-1].startswith(prefix):
                return version
        raise ui.Fail(f"Debian {self.name} offers {package} {', '.join(versions)}, but none that starts with {prefix}")

    def fetch_source(self, package, dest, version=None):
        """Download a source package and unpack it, Debian's patches applied; return the unpacked directory."""
        name = f"{package}={version or self.source_version(package)}"
        self._download(["source", "--download-only", "--only-source", name], dest, f"download of the source {name}")
        [dsc] = Path(dest).glob("*.dsc")
        unpacked = Path(dest, "src")
        ui.run(["dpkg-source", "--no-check", "-x", dsc.name, unpacked.name], self.log, cwd=dest,
               what=f"unpacking {dsc.name}")
        return unpacked

    def fetch_original(self, package, dest, unpacked, version):
        """Download the upstream archive of a source package, without Debian's patches, and unpack it."""
        self._download(["source", "--download-only", "--tar-only", f"{package}={version}"], dest,
                       f"download of {package}'s upstream source")
        [archive] = Path(dest).glob("*.orig.tar.*")
        Path(unpacked).mkdir()
        ui.run(["tar", "-C", unpacked, "--strip-components=1", "-xf", archive], self.log, what=f"unpacking {package}")
        archive.unlink()

    def package_version(self, package):
        """The version of a binary package that fetch_deb() would fetch."""
        shown = self._offline(["apt-cache", "-c", self.config, "show", "--no-all-versions", package])
        return re.search(r"^Version: (\S+)$", shown, re.M).group(1)

    def fetch_deb(self, package, dest):
        """Download one binary package, without what it depends on; return the file."""
        before = set(Path(dest).glob("*.deb"))
        self._download(["download", package], dest, f"download of {package}")
        [deb] = set(Path(dest).glob("*.deb")) - before
        return deb

    def _download(self, args, dest, what):
        """Run apt-get in dest; once more with new lists if the mirror has moved on since they were read."""
        self.update()
        cmd = ["apt-get", "-c", self.config, "-q", *args]
        try:
            ui.run(cmd, self.log, cwd=dest, what=what)
        except ui.Fail:
            self.update(force=True)
            ui.run(cmd, self.log, cwd=dest, what=what)

    def _offline(self, cmd):
        self.update()
        return ui.output(cmd, env={"LC_ALL": "C"})


def compare_versions(a, b):
    """-1, 0 or 1, by Debian's rules."""
    def is_(relation):
        return subprocess.run(["dpkg", "--compare-versions", a, relation, b], check=False).returncode == 0
    return 0 if is_("eq") else (-1 if is_("lt") else 1)


def machine_mirrors():
    """The mirrors this machine's apt uses for Debian: (archive, keyring), and the same of security or None."""
    archive = security = None
    for uri, suites, signed_by in _machine_sources():
        found = (uri.rstrip("/"), signed_by if signed_by.startswith("/") and Path(signed_by).exists() else keyring())
        if any(s.endswith("-security") for s in suites):
            security = security or found
        else:
            archive = archive or found
    if not archive:
        raise ui.Fail("apt on this machine names no Debian archive; add one to /etc/apt/sources.list")
    return archive, security


def keyring():
    """The file with the keys of the Debian archive."""
    for file in KEYRINGS:
        if file.exists():
            return str(file)
    raise ui.Fail(f"the keys of the Debian archive are missing: sudo apt-get install {KEYRING_PACKAGE}")


def _machine_sources():
    """(URI, suites, Signed-By) of every source in the machine's apt that is Debian's own archive."""
    etc = Path("/etc/apt")
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(errors="replace")
        parse = _parse_deb822 if file.suffix == ".sources" else _parse_one_line
        yield from (source for source in parse(text) if _is_debian(*source))


def _is_debian(uri, suites, signed_by):
    """Third parties use Debian's suite names too: the address or the key must be Debian's as well."""
    ours = any(re.match(r"(bookworm|trixie|forky|sid|unstable|testing|stable|oldstable)(-security|-updates)?$", s)
               for s in suites)
    usable = re.match(r"(https?|ftp|mirror\+\w+|tor\+https?):", uri)
    by_name = re.search(r"/debian(-security)?(/|\.list|$)", uri)
    return bool(ours and usable and (by_name or "debian-archive" in signed_by))


def _parse_one_line(text):
    for match in re.finditer(r"^\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#\n]*)", text, re.M):
        options, uri, suite, components = match.groups()
        signed_by = re.search(r"signed-by=(\S+)", options or "")
        if "main" in components.split():
            yield uri, [suite], signed_by.group(1) if signed_by else ""


def _parse_deb822(text):
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for stanza in re.split(r"\n\s*\n", text):
        fields = {k.lower(): v.strip() for k, v in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.M)}
        on = fields.get("enabled", "yes").lower() not in ("no", "false")
        if on and "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split():
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("suites", "").split(), fields.get("signed-by", "")


def missing_packages(names):
    """Those of the packages that are not installed on this machine."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names], check=False,
                              capture_output=True, text=True)
    except FileNotFoundError as e:
        raise ui.Fail("this machine has no dpkg-query; Debian 12 or 13 is needed") from e
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def require(names, why):
    """Install what is missing if we are root; otherwise fail with the line that does it."""
    missing = missing_packages(names)
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise ui.Fail(f"packages are missing for {why}; install them with:\n"
                      f"  sudo apt-get install --no-install-recommends {' '.join(missing)}")
    with ui.step(f"installing for {why}: {' '.join(missing)}"), cache.exclusive("apt-machine"):
        log = cache.log("apt-machine")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            ui.run(install, log, env=quiet)
        except ui.Fail:  # no lists yet, or older than the mirror
            ui.run(["apt-get", "update"], log, env=quiet)
            ui.run(install, log, env=quiet)
