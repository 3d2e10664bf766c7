# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scripts of efa-emu share: the cache, Debian packages, QEMU, guests, clusters, tests."""

from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
"""The working tree these scripts belong to."""
