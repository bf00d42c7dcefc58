"""The command `doctor`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlp_xp.cli import add_help, device
from mlp_xp.errors import DeviceError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlp_xp.diagnostics.doctor import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `doctor`."""
    parser.add_argument(
        "--device", action="append", metavar="NAME",
        help="cpu, cuda or cuda:N; may be repeated (cpu and auto)",
    )  # fmt: skip
    device.add_require_device(parser)
    parser.add_argument("--json", action="store_true", help="print the report as a JSON object")
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the report. Raises DeviceError at its end if a device that is needed doesn't work."""
    from mlp_xp.devices.device import cuda_index
    from mlp_xp.diagnostics import doctor

    names = list(dict.fromkeys(arguments.device or ["cpu", "auto"]))
    for name in names:
        if name != "cpu":
            cuda_index(name)  # an unknown name is an error before the report begins
    required = device.is_required(arguments)
    machine = doctor.machine()
    if not arguments.json:
        for label, value in machine.items():
            print(f"{label:13}{printable(str(value))}", flush=True)
    devices: list[dict[str, Any]] = []
    for name in names:
        # For auto the CPU will do, unless a GPU is required.
        needed = name != "auto" or required
        findings = doctor.examine(name)
        made = list(findings) if arguments.json else _print(name, findings, needed=needed)
        devices.append(
            {
                "device": name,
                "works": all(finding.passed is not False for finding in made),
                "needed": needed,
                "findings": [asdict(finding) for finding in made],
            }
        )
    failed = [entry["device"] for entry in devices if entry["needed"] and not entry["works"]]
    if arguments.json:
        report = {"machine": machine, "devices": devices, "works": not failed}
        print(json.dumps(report, indent=2))
    if failed:
        raise DeviceError(f"{' and '.join(failed)} can't be used; the report says why")


def _print(name: str, findings: Iterator[Finding], *, needed: bool) -> list[Finding]:
    """Print each finding on a device as it is made; returns them all."""
    made = []
    for part, members in groupby(findings, key=lambda finding: finding.part):
        print(f"\n{name}: {part}", flush=True)
        for finding in members:
            made.append(finding)
            mark = {None: "    ", True: "pass", False: "FAIL" if needed else "none"}[finding.passed]
            label = f"{finding.name:17}" if finding.name else ""
            print(f"  {mark}  {label}{printable(finding.found)}", flush=True)
    return made
