"""The options that choose a device, the same for every command."""

from __future__ import annotations

import argparse
import os
import sys

from mlp_xp.backend import Resolution, resolve
from mlp_xp.errors import InputError

REQUIRE = "MLP_XP_REQUIRE_DEVICE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--device and --require-device."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    add_require(parser)


def add_require(parser: argparse.ArgumentParser) -> None:
    """--require-device alone."""
    parser.add_argument(
        "--require-device",
        action="store_true",
        help=f"exit status 3 instead of the CPU where CUDA can't be used; also {REQUIRE}=1",
    )


def required(arguments: argparse.Namespace) -> bool:
    """Whether a fallback is an error. Raises InputError if the environment's word is neither."""
    value = os.environ.get(REQUIRE, "")
    if value not in ("", "0", "1"):
        raise InputError(f"{REQUIRE} is '{value}'; use 1 or 0")
    return arguments.require_device or value == "1"


def choose(arguments: argparse.Namespace) -> Resolution:
    """The backend for --device. A device that was named and can't be used is warned of, always."""
    resolution = resolve(arguments.device, require=required(arguments))
    if resolution.reason and arguments.device != "auto":
        print(
            f"mlp_xp: warning: {arguments.device} can't be used, so this runs on the CPU: "
            f"{resolution.reason}",
            file=sys.stderr,
        )
    return resolution


def announce(resolution: Resolution) -> None:
    """What `auto` took, in one line: a notice, for nothing is wrong. After all input is checked."""
    if resolution.asked == "auto":
        why = f": {resolution.reason}" if resolution.reason else ""
        print(f"device {resolution.backend.device}{why}", file=sys.stderr)
