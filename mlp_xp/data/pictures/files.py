"""A picture file, decoded by Pillow, as a row of 8-bit values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp.errors import InputError
from mlp_xp.schema import Picture
from mlp_xp.types import HostArray

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

Size = tuple[int, int]
"""Height and width, in pixels."""


def pillow(path: Path) -> Any:
    """Pillow's module Image. Raises InputError, starting with the path, if it isn't installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            f"{path}: reading pictures needs Pillow: pip install '.[pictures]' in the clone"
        ) from error
    return Image


def decode(file: Path, picture: Picture) -> tuple[HostArray, Size]:
    """A file's row (picture.n_inputs,) uint8, and the size it had.

    Its EXIF orientation is applied, its transparency shows white, and of several frames it is the
    first. 16 bits of gray are refused, as they rarely use the whole range; Pillow reads 16 bits of
    color as the upper 8. Raises InputError, with the path, for all that is no whole picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.is_file():  # to open a pipe would wait for whoever writes into it
            raise InputError(f"{file}: no such file; name a picture")
        with Image.open(file, formats=FORMATS) as image:
            if image.format == "PNG":
                image.verify()  # the checksums, which the decoder ignores
        with Image.open(file, formats=FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{file}: has more than 8 bits a pixel; save it with 8")
            return _row(image, picture)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
        raise InputError(
            f"{file}: larger than {Image.MAX_IMAGE_PIXELS} pixels or memory; make it smaller"
        ) from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{file}: {error.strerror}") from error
        why = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            why = f"no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise InputError(f"{file}: not a picture ({why}); remove it or save it again") from error


def _row(image: Any, picture: Picture) -> tuple[HostArray, Size]:
    """An open picture as a row (picture.n_inputs,) uint8, and the size it had.

    The resize is bilinear over all pixels that a new one covers, as in torchvision. A JPEG is
    first decoded at 1/2, 1/4 or 1/8 if that is still twice the size: it takes a quarter of the
    time for 640 x 480, a tenth for 4000 x 3000.
    """
    from PIL import Image, ImageOps

    whole = image.size
    is_turned = image.getexif().get(0x0112) in (5, 6, 7, 8)  # EXIF orientations on their side
    side = 2 * max(picture.height, picture.width)
    is_jpeg = image.draft(None, (side, side)) is not None
    image.load()
    if image.format != "TIFF":  # load() has turned those, and older Pillows would do so again
        image = ImageOps.exif_transpose(image)
    width, height = (whole[::-1] if is_turned else whole) if is_jpeg else image.size
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "RGBa"):
        colors = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors)
    if image.mode != "L":
        image = image.convert("RGB")
    if image.size != (picture.width, picture.height):
        image = image.resize((picture.width, picture.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.convert("L" if picture.channels == 1 else "RGB"))
    return pixels.reshape(-1), (height, width)
