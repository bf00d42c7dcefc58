"""The options that select a device, the same for every command."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from mlp_xp.cli import note, tell
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from mlp_xp.devices import Device

REQUIRE = "MLP_XP_REQUIRE_DEVICE"
"""The environment variable that does the same as --require-device."""


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Add --device and --require-device."""
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (auto)"
    )
    add_require_device(parser)


def add_require_device(parser: argparse._ActionsContainer) -> None:
    """Add --require-device."""
    parser.add_argument(
        "--require-device",
        action="store_true",
        help=f"fail without CUDA; also {REQUIRE}=1",
    )


def is_required(arguments: argparse.Namespace) -> bool:
    """Whether a fallback to the CPU is an error.

    Raises InputError if the environment variable is neither 1 nor 0.
    """
    value = os.environ.get(REQUIRE, "")
    if value not in ("", "0", "1"):
        raise InputError(f"{REQUIRE} is '{value}'; use 1 or 0")
    return arguments.require_device or value == "1"


def select(arguments: argparse.Namespace, place: int = 0) -> Device:
    """The device for --device. Prints a warning if a named one can't be used.

    place: this process's number among those on its host that train together.
    """
    from mlp_xp.devices.device import get_device, gpu_of_place

    device = get_device(gpu_of_place(arguments.device, place), require=is_required(arguments))
    if device.fallback_reason and device.requested != "auto":
        tell(
            f"warning: {device.requested} can't be used, so this runs on the CPU: "
            f"{device.fallback_reason}"
        )
    return device


def announce(device: Device, batch_size: int | None = None) -> None:
    """Print which device `auto` selected, and why; a device that was named isn't announced."""
    if device.requested != "auto":
        return
    reason = f": {device.fallback_reason}" if device.fallback_reason else ""
    if not device.on_host and batch_size == 1:
        reason = "; steps of one row are probably faster with --device cpu"
    note(f"device {device.name}{reason}")
