"""What this machine can run, and whether its CPU and GPUs agree; to paste into an issue."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlp_xp.backend import cuda_index
from mlp_xp.cli import device
from mlp_xp.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlp_xp.doctor import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `doctor`."""
    parser.add_argument(
        "--device", action="append", help="cpu, cuda or cuda:N, once for each (cpu and auto)"
    )
    device.add_require(parser)
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(arguments: argparse.Namespace) -> None:
    """Print the report. Raises DeviceError at its end if something asked for doesn't work."""
    from mlp_xp import doctor  # a tenth of what all other commands take to start

    asked = list(dict.fromkeys(arguments.device or ["cpu", "auto"]))
    for name in asked:
        if name != "cpu":
            cuda_index(name)  # an unknown name is told before the report begins
    required = device.required(arguments)
    machine = doctor.machine()
    if not arguments.json:
        for name, value in machine.items():
            print(f"{name:13}{value}", flush=True)
    devices: list[dict[str, Any]] = []
    for name in asked:
        # auto is content with the CPU, unless the GPU is required.
        needed = name != "auto" or required
        made = doctor.examine(name)
        findings = list(made) if arguments.json else _print(name, made, needed=needed)
        devices.append(
            {
                "device": name,
                "works": all(finding.passed for finding in findings),
                "needed": needed,
                "findings": [asdict(finding) for finding in findings],
            }
        )
    failed = [entry["device"] for entry in devices if entry["needed"] and not entry["works"]]
    if arguments.json:
        report = {"machine": machine, "devices": devices, "works": not failed}
        print(json.dumps(report, indent=2))
    if failed:
        raise DeviceError(f"{' and '.join(failed)} can't be used; the report says why")


def _print(name: str, made: Iterator[Finding], *, needed: bool) -> list[Finding]:
    """Examine a device and print each finding as it is made."""
    findings = []
    for part, members in groupby(made, key=lambda finding: finding.part):
        print(f"\n{name}: {part}", flush=True)
        for finding in members:
            findings.append(finding)
            mark = "pass" if finding.passed else "FAIL" if needed else "none"
            if "samples_per_second" in finding.values:
                mark = "    "  # a reading, which can't fail
            label = f"{finding.name:17}" if finding.name else ""
            print(f"  {mark}  {label}{finding.found}", flush=True)
    return findings
