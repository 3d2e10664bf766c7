# SPDX-License-Identifier: GPL-2.0-or-later
"""
The fuzzing programs: a second native build, by clang with its sanitizers, and the seeds that they begin with.

A seed, tests/fuzz/corpus/TARGET/NAME.seed, is words that become bytes:

    send alloc_pd       an operation of that target, or an admin command: a byte, from the enums of the sources
    peer:send           the same operation at the second device
    5 -1 0x1f           a byte
    700w 0x10000l 5q    2, 4, 8 bytes, little-endian
    x0a0b0c             bytes
    # ...               a comment
"""

import argparse
import os
import re
import shutil
from pathlib import Path

from . import TREE, apt, cache, native, ui

BUILD_DIR = native.BUILD_DIR / "fuzz"
SOURCES = TREE / "tests/fuzz"
HOST_PACKAGES = ["clang", "libclang-rt-dev", "llvm"]  # llvm: names instead of addresses in what is found
WIDTHS = {"": 1, "w": 2, "l": 4, "q": 8}
MAX_LEN = 2048
PEER = 0x80
GUEST_OPS = 32  # as in guest.h
OPERATION = re.compile(r"^    (?:OP|WIRE|PEER)_(?!NUMBER)(\w+)(?: = GUEST_OPS)?,", re.M)


def targets():
    """The names of all targets."""
    return sorted(file.stem.removeprefix("fuzz-") for file in SOURCES.glob("fuzz-*.c"))


def build():
    """Configure if need be and compile the programs."""
    apt.require([*native.HOST_PACKAGES, *HOST_PACKAGES], "fuzzing")
    native.build_in(BUILD_DIR, ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"],
                    {"CC": "clang"}, "the fuzzing programs")


def program(target):
    """Where the program of a target is, once it is built."""
    return BUILD_DIR / "tests/fuzz" / f"fuzz-{target}"


def command(target, found, seconds, prefix):
    """
    How a target is run for a while: from its seeds and what is in the directory found, which new inputs are added to.

    An input that makes it fail is written to a file whose name begins with prefix.
    """
    found.mkdir(parents=True, exist_ok=True)
    return [program(target), f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", "-timeout=30", "-print_final_stats=1",
            f"-artifact_prefix={prefix}", found, _seeds(target)]


def _seeds(target):
    """Assemble a target's seeds; return the directory."""
    directory = BUILD_DIR / "seeds" / target
    with cache.exclusive(f"seeds-{cache.digest(str(directory))}"):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        words = _words(target)
        for file in sorted((SOURCES / "corpus" / target).glob("*.seed")):
            (directory / file.stem).write_bytes(_assemble(file, words))
    return directory


def _assemble(file, words):
    text = re.sub(r"#.*", "", file.read_text())
    try:
        return b"".join(_bytes_of(word, words) for word in text.split())
    except (KeyError, ValueError, OverflowError) as e:
        raise ui.Fail(f"{file}: {e} is no operation, command or number") from e


def _bytes_of(word, words):
    if re.fullmatch(r"x([0-9a-f]{2})+", word):
        return bytes.fromhex(word[1:])
    number = re.fullmatch(r"(-?(?:0x[0-9a-f]+|\d+))([wlq]?)", word)
    if number:
        value, width = int(number.group(1), 0), WIDTHS[number.group(2)]
        return (value % (1 << 8 * width) if value < 0 else value).to_bytes(width, "little")
    if word.startswith("peer:"):
        return bytes([PEER | words[word.removeprefix("peer:")]])
    return bytes([words[word]])


def _words(target):
    """{name: number} of the operations of a target and of the admin commands."""
    defs = (TREE / "hw/efa-emu/efa-admin-defs.h").read_text()
    opcodes = re.search(r"typedef enum EfaAdminOpcode \{(.*?)\}", defs, re.S).group(1)
    words = {name.lower(): int(number) for name, number in re.findall(r"EFA_ADMIN_(\w+)\s*= (\d+)", opcodes)}
    own = (SOURCES / f"fuzz-{target}.c").read_text()
    for text in [(SOURCES / "guest-ops.c").read_text(), own] if "guest_op(" in own else [own]:
        for number, name in enumerate(OPERATION.findall(text)):
            words[name.lower()] = number + (GUEST_OPS if "GUEST_OPS," in text else 0)
    return words


def main():
    """The program scripts/fuzz."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the device's native core.")
    parser.add_argument("target", choices=targets())
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for how long (default: 60)")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run this input alone: one that failed, or a seed")
    parser.add_argument("--seed", type=Path, metavar="FILE", help="print this input as the text of a seed")
    options = parser.parse_args()
    if options.seed:
        ui.say(f"x{options.seed.read_bytes().hex()}")
        return 0
    with ui.step("building the fuzzing programs"):
        build()
    if options.input:
        args = [program(options.target), _one(options)]
    else:
        args = command(options.target, BUILD_DIR / "found" / options.target, options.seconds,
                       f"{BUILD_DIR}/{options.target}-")
    os.execv(args[0], [str(arg) for arg in args])


def _one(options):
    if options.input.suffix != ".seed":
        return options.input
    return _seeds(options.target) / options.input.stem
