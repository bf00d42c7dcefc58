"""Rows of the data as pictures in PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from mlp_xp.report.findings import Answer
from mlp_xp.report.parts import SmallPicture, share
from mlp_xp.schema import Picture
from mlp_xp.types import HostArray

LEAST_SIDE = 96
"""Pixels of the screen that the shorter side of a small picture takes at least."""


def small_pictures(
    answers: Sequence[Answer], picture: Picture, low: float, high: float
) -> list[SmallPicture]:
    """The rows of these answers as pictures, with what is said of them in words.

    low, high: the values that become black and white.
    """
    factor = max(1, -(-LEAST_SIDE // min(picture.height, picture.width)))
    size = picture.width * factor, picture.height * factor
    return [
        SmallPicture(
            to_png(answer.x, picture, low, high), answer.row, *size, _words(answer), _note(answer)
        )
        for answer in answers
    ]  # fmt: skip


def to_png(x: HostArray, picture: Picture, low: float, high: float) -> str:
    """A row (n_inputs,) as a data URI of a PNG; low becomes black, high white."""
    from PIL import Image

    shape = (picture.height, picture.width, 3)[: 2 + (picture.channels == 3)]
    scaled = (x.reshape(shape).astype(np.float64) - low) / (high - low or 1)
    pixels = np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _words(answer: Answer) -> str:
    given, true = (v if isinstance(v, str) else f"{v:.4g}" for v in (answer.given, answer.true))
    what = f"{answer.target}: " if answer.target else ""
    return what + (given if given == true else f"{given}, not {true}")


def _note(answer: Answer) -> str:
    row = f"row\N{NO-BREAK SPACE}{answer.row:,}"
    if answer.p_given is None or answer.p_true is None:
        return row
    sure = f"{share(answer.p_given, 1)} sure"
    if answer.given != answer.true:
        sure += f", {share(answer.p_true, 1)} for the right one"
    return f"{sure}; {row}"
