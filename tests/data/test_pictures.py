"""Pictures in a folder for each class. The oracles are Pillow and NumPy, used directly."""

import io
import itertools
import os
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from mlp_xp import InputError
from mlp_xp.data import memory, pictures
from mlp_xp.data.pictures import PictureData, is_folder, load, read
from mlp_xp.data.pictures import files as picture_files
from mlp_xp.schema import Picture, Schema

RNG = np.random.default_rng(7)
GRAY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def save(path: Path, pixels: Any = GRAY, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def encoded(pixels: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of two gray pictures each, 6 x 8."""
    for name in ("dogs/b.png", "dogs/a.png", "cats/10.png", "cats/9.png"):
        save(tmp_path / "pets" / name)
    return tmp_path / "pets"


def row(path: Path, channels: int = 3, height: int = 6, width: int = 8) -> np.ndarray:
    """A file's pixels as read() gives them, (height, width, channels)."""
    rows = read([path], Picture(height, width, channels))
    assert rows.dtype == np.uint8
    assert rows.shape == (1, height * width * channels)
    return rows.reshape(height, width, channels)


def test_rows_are_the_pixels_in_the_order_of_names(tmp_path: Path) -> None:
    values = {"cats/10.png": 1, "cats/9.png": 2, "dogs/a.png": 3, "dogs/b.PNG": 4}
    for name in sorted(values, reverse=True):
        save(tmp_path / name, GRAY // 8 + values[name])
    data = load(tmp_path)
    X, y = data.train
    assert X.dtype == np.uint8
    assert y.dtype == np.int64
    np.testing.assert_array_equal(X, [(GRAY // 8 + value).ravel() for value in (1, 2, 3, 4)])
    assert y.tolist() == [0, 0, 1, 1]
    assert data[1:4] == (None, Picture(6, 8, 1), ("cats", "dogs"))
    assert data.notes == ("pictures: 4 of 6 x 8 in gray, 2 classes",)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF", "webp", "gif", "Jpg", "jpeg"])
def test_every_format_gives_the_pixels_that_pillow_has(suffix: str, tmp_path: Path) -> None:
    if suffix == "webp" and not features.check("webp"):
        pytest.skip("Pillow was built without WebP")
    save(
        tmp_path / "cats" / f"a.{suffix}", COLOR, **({"lossless": True} if suffix == "webp" else {})
    )
    save(tmp_path / "dogs" / "b.png", COLOR[::-1])
    with Image.open(tmp_path / "cats" / f"a.{suffix}") as image:
        oracle = np.asarray(image.convert("RGB"))
    if suffix in ("png", "bmp", "tif", "TIFF", "webp"):
        np.testing.assert_array_equal(oracle, COLOR)
    data = load(tmp_path)
    assert data.picture == Picture(6, 8, 3)
    np.testing.assert_array_equal(data.train[0], [oracle.ravel(), COLOR[::-1].ravel()])


def test_a_suffix_may_be_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", encoded(COLOR, "PNG"))
    np.testing.assert_array_equal(row(path), COLOR)


@pytest.mark.parametrize("kind", ["MPO", "PNG", "GIF", "TIFF"])
def test_of_several_frames_the_first_is_read(kind: str, tmp_path: Path) -> None:
    """MPO is what some phones and cameras save as JPEG."""
    frames = {"save_all": True, "append_images": [Image.fromarray(COLOR[::-1])]}
    path = write(tmp_path / "a.jpg", encoded(COLOR, kind, **frames))
    alone = write(tmp_path / "b.jpg", encoded(COLOR, kind.replace("MPO", "JPEG")))
    with Image.open(path) as both, Image.open(alone) as image:
        assert both.n_frames == 2
        np.testing.assert_array_equal(row(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB"])
def test_modes(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOR).convert("RGB")
    image = image.convert("L").convert("LA") if mode == "PA" else image
    image = image.convert(mode) if mode != "LAB" else Image.merge("LAB", image.split())
    path = save(tmp_path / "a.tif", image)
    with Image.open(path) as saved:
        assert saved.mode == mode or mode == "PA"
        np.testing.assert_array_equal(row(path), np.asarray(saved.convert("RGB")))
        np.testing.assert_array_equal(
            row(path, 1)[..., 0], np.asarray(saved.convert("RGB").convert("L"))
        )


def test_an_inverted_cmyk_jpeg_keeps_its_colors(tmp_path: Path) -> None:
    """As Adobe writes them; Pillow saves CMYK so too."""
    flat = Image.new("RGB", (8, 6), (200, 40, 90))
    path = save(tmp_path / "a.jpg", flat.convert("CMYK"), quality=100)
    assert abs(row(path).astype(int) - (200, 40, 90)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "lzw.tif"])
def test_exif_orientation(suffix: str, orientation: int, tmp_path: Path) -> None:
    """NumPy turns the picture, by the table of the EXIF standard."""
    turn: Callable[[np.ndarray], np.ndarray] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    own = {"webp": {"lossless": True}, "lzw.tif": {"compression": "tiff_lzw"}}
    options: dict[str, Any] = own.get(suffix, {})
    path = save(tmp_path / "cats" / f"a.{suffix}", COLOR, exif=exif, **options)
    save(tmp_path / "dogs" / f"a.{suffix}", COLOR, **options)
    with Image.open(tmp_path / "dogs" / f"a.{suffix}") as plain:
        expected = turn(np.asarray(plain))
    np.testing.assert_array_equal(row(path, 3, *expected.shape[:2]), expected)
    if expected.shape[:2] == (8, 6):
        changes = load(tmp_path).notes[0]
        assert changes.endswith("1 were resized from 6 x 8, --size chooses another") or (
            "2 were resized from 8 x 6" in changes
        )


def test_a_large_photo_on_its_side_has_the_size_that_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for name in ("cats", "dogs"):
        save(tmp_path / name / "a.jpg", Image.new("RGB", (403, 301), "red"), exif=exif)
    data = load(tmp_path, (10, 9))
    assert data.picture == Picture(10, 9, 3)
    assert data.notes[0].endswith("; 2 were resized from 403 x 301")


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (6, 8, 1), dtype=np.uint8)
    alpha[0] = 0
    path = save(tmp_path / "a.png", np.concatenate([COLOR, alpha], axis=2))
    mixed = COLOR * (alpha / 255) + 255 * (1 - alpha / 255)
    assert np.abs(row(path) - mixed).max() <= 1
    assert (row(path)[0] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_color_is_white(mode: str, kind: str, tmp_path: Path) -> None:
    if kind == "GIF" and mode not in ("P", "L"):
        pytest.skip("GIF has palettes alone")
    ink = np.zeros((6, 8), dtype=np.uint8)
    ink[2:4] = 255
    image = Image.fromarray(ink).convert(mode)
    clear = {"P": image.convert("P").getpixel((0, 0)), "RGB": (0, 0, 0)}.get(mode, 0)
    path = write(tmp_path / "a.png", encoded(image, kind, transparency=clear))
    assert (row(path) == 255).all()
    plain = write(tmp_path / "b.png", encoded(image, kind))
    np.testing.assert_array_equal(row(plain, 1)[..., 0], ink)


def test_transparency_does_not_darken_what_is_beside_it(tmp_path: Path) -> None:
    """Composed before the resize: the black under what is clear never mixes into the picture."""
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[::2] = 255
    assert (row(save(tmp_path / "a.png", pixels), 3, 4, 4) == 255).all()


@pytest.mark.parametrize(("height", "width"), [(24, 40), (3, 4), (7, 5)])
def test_a_resize_is_that_of_torchvision(height: int, width: int, tmp_path: Path) -> None:
    """Whose Resize, given a picture, is this very call."""
    path = save(tmp_path / "a.png", COLOR)
    oracle = Image.fromarray(COLOR).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(row(path, 3, height, width), np.asarray(oracle))


def test_a_smaller_picture_keeps_the_mean_of_all_pixels(tmp_path: Path) -> None:
    """Without antialiasing, a checkerboard would become all black or all white."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for name in ("a.png", "a.jpg"):
        small = row(save(tmp_path / name, board), 1, 16, 16)
        assert np.abs(small.astype(int) - 127.5).max() < 4, name


def test_a_photo_decoded_at_a_part_of_its_size_is_nearly_the_same(tmp_path: Path) -> None:
    rough = Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    photo = rough.resize((640, 480), Image.Resampling.BICUBIC)
    path = save(tmp_path / "a.jpg", photo, quality=95)
    with Image.open(path) as image:
        whole = image.resize((32, 32), Image.Resampling.BILINEAR)
    error = np.abs(row(path, 3, 32, 32).astype(int) - np.asarray(whole))
    assert error.mean() < 0.5
    assert error.max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_read_and_load_give_the_same_bytes(channels: int, tmp_path: Path) -> None:
    save(tmp_path / "cats" / "a.jpg", Image.fromarray(COLOR).resize((90, 70)))
    save(tmp_path / "cats" / "b.png", np.dstack([COLOR, GRAY]))
    save(tmp_path / "dogs" / "c.gif", GRAY)
    data = load(tmp_path, Picture(9, 11, channels))
    files = [tmp_path / name for name in ("cats/a.jpg", "cats/b.png", "dogs/c.gif")]
    np.testing.assert_array_equal(read(files, data.picture), data.train[0])
    reverse = read(files[::-1], data.picture)
    np.testing.assert_array_equal(reverse, data.train[0][::-1])


def test_gray_found_and_gray_asked_for_are_the_same_bytes(tmp_path: Path) -> None:
    gray = Image.fromarray(GRAY).resize((50, 40), Image.Resampling.BICUBIC)
    save(tmp_path / "cats" / "a.png", gray.convert("RGB"))  # R = G = B
    save(tmp_path / "dogs" / "a.jpg", gray)
    found = load(tmp_path, (20, 20))
    assert found.picture == Picture(20, 20, 1)
    np.testing.assert_array_equal(found.train[0], load(tmp_path, Picture(20, 20)).train[0])
    in_color = load(tmp_path, Picture(20, 20, 3)).train[0]
    np.testing.assert_array_equal(in_color, found.train[0].repeat(3, axis=1))


@pytest.mark.parametrize("channel", [1, 2])
def test_one_colored_pixel_makes_all_of_them_color(channel: int, pets: Path) -> None:
    pixels = np.repeat(GRAY[..., np.newaxis], 3, axis=2)
    pixels[-1, -1, channel] ^= 1
    save(pets / "dogs" / "z.png", pixels)
    assert load(pets).picture == Picture(6, 8, 3)
    assert "in color" in load(pets).notes[0]


def test_without_a_size_small_ones_keep_theirs(tmp_path: Path) -> None:
    for side, kept in ((64, 64), (65, 32)):
        for name in ("cats", "dogs"):
            save(tmp_path / name / "a.png", np.zeros((side, 10), dtype=np.uint8))
        data = load(tmp_path)
        assert data.picture.height == kept
    assert data.picture == Picture(32, 32)
    assert data.notes[0].endswith("2 were resized from 65 x 10, --size chooses another")
    assert load(tmp_path, (65, 10)).picture == Picture(65, 10)


def test_without_a_size_different_ones_become_32_x_32(pets: Path) -> None:
    save(pets / "dogs" / "y.png", np.zeros((1, 30), dtype=np.uint8))
    save(pets / "dogs" / "z.png", np.zeros((20, 31), dtype=np.uint8))
    calls: list[tuple[int, int]] = []
    data = load(pets, progress=lambda done, total: calls.append((done, total)))
    assert data.picture == Picture(32, 32)
    assert data.notes == (
        "pictures: 6 of 32 x 32 in gray, 2 classes; 6 were resized from 1 x 30 to 20 x 31, --size "
        "chooses another",
    )
    assert calls[-6:] == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "Testing"), ("TRAIN", "val"), ("train", "valid"),
     ("train", "Validation"), ("train", None)],
)  # fmt: skip
def test_splits(train: str, test: str | None, tmp_path: Path) -> None:
    for name, value in (("cats", 1), ("dogs", 2)):
        save(tmp_path / train / name / "a.png", np.full((6, 8), value, dtype=np.uint8))
    if test is not None:
        save(tmp_path / test / "dogs" / "a.png", np.full((6, 8), 3, dtype=np.uint8))
    assert is_folder(tmp_path)
    data = load(tmp_path)
    assert data.train[0][:, 0].tolist() == [1, 2]
    assert data.output_names == ("cats", "dogs")
    if test is None:
        assert data.test is None
    else:
        assert data.test is not None
        assert data.test[0][:, 0].tolist() == [3]
        assert data.test[1].tolist() == [1]
        assert data.notes[0].startswith("pictures: 3 (2 for training, 1 for testing) of 6 x 8 in g")


def test_the_test_set_comes_before_the_validation_set(tmp_path: Path) -> None:
    for value, (split, name) in enumerate(itertools.product(("train", "val", "test"), "ab")):
        save(tmp_path / split / name / "a.png", np.full((6, 8), value, dtype=np.uint8))
    (tmp_path / "docs").mkdir()
    data = load(tmp_path)
    assert data.test is not None
    assert data.test[0][:, 0].tolist() == [4, 5]
    assert data.notes[1] == f"pictures: docs, val in {tmp_path} not read"


def test_train_may_be_a_class(tmp_path: Path) -> None:
    for name in ("train", "plane", "test"):
        save(tmp_path / name / "a.png")
    assert load(tmp_path).output_names == ("plane", "test", "train")


def test_hidden_files_are_not_there(pets: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "cats/.a.png", "cats/._9.png", "cats/desktop.ini"):
        write(pets / name, b"?")
    for name in ("__MACOSX/cats/a.png", ".git/a/b.png", "cats/.ipynb_checkpoints/9.png"):
        write(pets / name, b"?")
    write(pets / "README.md", b"Cats and dogs.")
    data = load(pets)
    assert len(data.train[0]) == 4
    assert data.output_names == ("cats", "dogs")
    assert len(data.notes) == 1


def test_other_files_are_said_to_be_unread(pets: Path) -> None:
    for name in ("dogs/notes.txt", "cats/b.heic"):
        write(pets / name, b"?")
    assert load(pets).notes[1] == f"pictures: 2 other files not read, the first {pets}/cats/b.heic"


def test_is_folder(pets: Path, tmp_path: Path) -> None:
    assert is_folder(pets)
    flat = save(tmp_path / "flat" / "a.png").parent
    (tmp_path / "empty" / "cats").mkdir(parents=True)
    hidden = write(tmp_path / "hidden" / "__MACOSX" / "a.png", b"?").parents[1]
    table = write(tmp_path / "table" / "data" / "a.csv", b"a,b\n").parents[1]
    for path in (flat, tmp_path / "empty", hidden, table, flat / "a.png", tmp_path / "none"):
        assert not is_folder(path), path
    assert is_folder(save(tmp_path / "split" / "train" / "x" / "a.WebP").parents[2])


def test_a_model_decides(pets: Path) -> None:
    names = ("birds", "dogs", "cats")
    like = Schema(output_names=names, picture=Picture(4, 5, 3))
    data = load(pets, like=like)
    assert data.picture == like.picture
    assert data.output_names == names
    assert data.train[1].tolist() == [2, 2, 1, 1]
    assert data.train[0].shape == (4, 60)
    assert load(pets, (4, 5), like).picture == load(pets, Picture(4, 5, 3), like).picture
    for size in ((5, 4), Picture(4, 5, 1)):
        with pytest.raises(InputError, match="but the model reads 4 x 5 in color; leave the size"):
            load(pets, size, like)
    with pytest.raises(
        InputError, match=r"pets/dogs: the model has no such class, but birds, cats"
    ):
        load(pets, like=Schema(output_names=("birds", "cats")))


def test_one_class_is_enough_for_a_model(tmp_path: Path) -> None:
    save(tmp_path / "cats" / "a.png")
    data = load(tmp_path, like=Schema(output_names=("birds", "cats")))
    assert data.train[1].tolist() == [1]


def test_a_model_without_names_has_numbers(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        save(tmp_path / name / "a.png")
    data = load(tmp_path, like=Schema())
    assert data.train[1].tolist() == [0, 10, 2]
    assert data.output_names == tuple(map(str, range(11)))
    for name in ("007", "cat", "99999999999"):
        path = save(tmp_path / name / "a.png")
        with pytest.raises(
            InputError, match=f"{name}: the model, whose classes have no names, has"
        ):
            load(tmp_path, like=Schema())
        path.unlink()
        path.parent.rmdir()


def test_order_and_progress_of_two_threads(tmp_path: Path, monkeypatch: Any) -> None:
    """More pictures than a block, two decoded at a time, arrive in their order."""
    monkeypatch.setattr(pictures, "BLOCK", 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for i in range(30):
        save(tmp_path / "abc"[i % 3] / f"{i:02}.png", np.full((6, 8), i, dtype=np.uint8))
    both, decode = threading.Barrier(2), picture_files.decode

    def wait_for_another(*arguments: Any) -> Any:
        both.wait(timeout=60)
        return decode(*arguments)

    monkeypatch.setattr(pictures, "decode", wait_for_another)
    calls: list[tuple[int, int]] = []
    data = load(tmp_path, Picture(6, 8), progress=lambda done, total: calls.append((done, total)))
    assert data.train[0][:, 0].tolist() == [*range(0, 30, 3), *range(1, 30, 3), *range(2, 30, 3)]
    assert calls == [(done, 30) for done in range(1, 31)]


def test_an_interrupt_leaves_no_thread(pets: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        load(pets, progress=interrupt)
    assert threading.active_count() == before


def test_no_pictures_to_read() -> None:
    assert read([], Picture(6, 8)).shape == (0, 48)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


PNG, JPEG = encoded(COLOR, "PNG"), encoded(Image.fromarray(COLOR).resize((80, 60)), "JPEG")
GAVE_UP = r"not a picture \(.+\); remove it or save it again"
NO_FORMAT = r"not a picture \(no BMP, GIF, JPEG, PNG, TIFF or WEBP\); remove it or save it again"
BROKEN_FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", NO_FORMAT),
    "text.png": (b"Once upon a time\n", NO_FORMAT),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", NO_FORMAT),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", NO_FORMAT),
    "zeros.jpg": (bytes(4000), NO_FORMAT),
    "icon.png": (encoded(COLOR, "ICO"), NO_FORMAT),
    "map.png": (encoded(COLOR, "PPM"), NO_FORMAT),
    "head.png": (PNG[:8], NO_FORMAT),
    "half.png": (PNG[: len(PNG) // 2], GAVE_UP),
    "no_end.png": (PNG[:-20], GAVE_UP),
    "checksum.png": (flipped(PNG, 60), GAVE_UP),
    "no_pixels.png": (png(header(8, 6), (b"IEND", b"")), GAVE_UP),
    "not_zlib.png": (png(header(8, 6), (b"IDAT", b"junk"), (b"IEND", b"")), GAVE_UP),
    "no_width.png": (png(header(0, 6), (b"IEND", b"")), GAVE_UP),
    "half.jpg": (JPEG[: len(JPEG) // 2], GAVE_UP),
    "head.jpg": (JPEG[:20], GAVE_UP),
    "half.gif": (encoded(GRAY, "GIF")[:-25], GAVE_UP),
    "half.bmp": (encoded(COLOR, "BMP")[:100], GAVE_UP),
    "half.tif": (encoded(COLOR, "TIFF")[:60], GAVE_UP),
    "half.webp": (encoded(COLOR, "WEBP")[:60], GAVE_UP),
    "bomb.png": (
        png(header(30_000, 30_000), (b"IDAT", b""), (b"IEND", b"")),
        "larger than 89478485 p",
    ),
    "large.png": (
        png(header(10_000, 9_000), (b"IDAT", b""), (b"IEND", b"")),
        "larger than 89478485 p",
    ),
    "16_bits.png": (encoded(GRAY.astype(np.uint16) * 257, "PNG"), "more than 8 bits a pixel; save"),
    "16_bits.tif": (encoded(GRAY.astype(np.uint16), "TIFF"), "more than 8 bits a pixel; save"),
    "32_bits.tif": (encoded(GRAY.astype(np.int32), "TIFF"), "more than 8 bits a pixel; save"),
    "float.tif": (encoded(GRAY.astype(np.float32), "TIFF"), "more than 8 bits a pixel; save"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_named(name: str, pets: Path) -> None:
    content, message = BROKEN_FILES[name]
    path = write(pets / "dogs" / name, content)
    for attempt in (lambda: load(pets, (6, 8)), lambda: read([path], Picture(6, 8))):
        with pytest.raises(InputError, match=message) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()


def test_all_broken_files_are_named(pets: Path) -> None:
    for name in ("cats/11.png", "dogs/11.png", "dogs/c.jpg"):
        write(pets / name, b"?")
    again = r"cats/11.png: not a .+ again; nor can these be read: dogs/11.png, dogs/c.jpg$"
    with pytest.raises(InputError, match=again):
        load(pets)


def test_a_flaw_beside_the_pixels_is_no_reason(tmp_path: Path) -> None:
    """Pillow warns of damaged EXIF data, as many a photo from the web has; tests raise warnings."""
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[0x0110] = "camera"
    path = save(tmp_path / "a.jpg", COLOR, exif=exif)
    content = path.read_bytes()
    at = content.index(b"camera") - 20
    write(path, content[:at] + b"\xff" + content[at + 1 :])
    with pytest.warns(UserWarning, match="Truncated File Read"), Image.open(path) as image:
        image.getexif()
    np.testing.assert_array_equal(row(path), row(save(tmp_path / "b.jpg", COLOR)))


def test_no_memory_to_decode_a_file(pets: Path, monkeypatch: Any) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(picture_files, "_row", fail)
    with pytest.raises(InputError, match=r"9\.png: larger than \d+ pixels or memory; make it sm"):
        read([pets / "cats" / "9.png"], Picture(6, 8))


def test_what_the_system_says(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 300}.png"
    with pytest.raises(InputError, match=r"a\.png: File name too long$"):
        read([path], Picture(6, 8))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(pets: Path) -> None:
    os.mkfifo(pets / "dogs" / "c.png")
    with pytest.raises(InputError, match=r"dogs/c.png: no such file; name a picture"):
        load(pets)


def test_links(pets: Path) -> None:
    (pets / "lions").symlink_to("cats")
    (pets / "dogs" / "c.png").symlink_to(pets / "cats" / "9.png")
    assert load(pets).train[1].tolist() == [0, 0, 1, 1, 1, 2, 2]
    (pets / "loop").symlink_to("loop")
    assert len(load(pets).output_names) == 3
    (pets / "dogs" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"dogs/gone.png: no such file"):
        load(pets)
    (pets / "dogs" / "gone.png").unlink()
    (pets / "dogs" / "again").symlink_to("..")
    with pytest.raises(InputError, match=r"dogs/again: a folder inside a class"):
        load(pets)
    assert is_folder(pets)


def folders(root: Path, *names: str) -> None:
    for name in names:
        if name.endswith("/"):
            (root / name).mkdir(parents=True)
        else:
            save(root / name)


BROKEN_FOLDERS: dict[str, tuple[list[str], str, str]] = {
    "one_class": (["cats/a.png"], "", "has a folder for one class alone; it takes two or more"),
    "empty_class": (["cats/a.png", "dogs/"], "dogs", r"holds no pictures \(.bmp .+\); remove it"),
    "no_folders": ([], "", "holds no folders; it takes one with pictures for each class"),
    "beside": (["a/a.png", "b/a.png", "c.jpg"], "c.jpg", "lies beside the folders of classes"),
    "nested": (["a/a.png", "b/a.png", "b/old/a.png"], "b/old", "a folder inside a class; move its"),
    "deep": (["x/a/a.png", "x/b/a.png"], "x/a", "a folder inside a class"),
    "picture_folder": (["a/a.png", "b/a.png", "b/b.png/"], "b/b.png", "a folder inside a class"),
    "no_train": (["test/a/a.png", "test/b/a.png"], "", "holds test; call one folder train, and"),
    "two_trains": (["train/a/a.png", "training/a/a.png"], "", "holds train, training; call one"),
    "one_trained": (["train/a/a.png", "test/b/a.png"], "train", "has a folder for one class alone"),
    "unknown": (["train/a/a.png", "train/b/a.png", "test/c/a.png"], "test/c",
                "the training set has no such class, but a, b; rename it"),
    "unlabeled": (["train/a/a.png", "train/b/a.png", "test/a.png"], "test",
                  "holds pictures without classes, beside train; move them into folders of cl"),
    "class_beside": (["train/a/a.png", "train/b/a.png", "c/a.png"], "c", "beside train"),
    "in_train": (["train/a/a.png", "train/b/a.png", "train/a.png"], "train/a.png", "lies beside"),
    "in_test": (["train/a/a.png", "train/b/a.png", "test/a/a.png", "test/b.png"], "test/b.png",
                "lies beside the folders"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_FOLDERS)
def test_a_folder_of_which_it_is_not_plain_what_is_meant(name: str, tmp_path: Path) -> None:
    names, where, message = BROKEN_FOLDERS[name]
    folders(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / where}: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "message"),
    [("none", "none: No such file or directory"), ("file", "file: Not a directory"),
     ("", "no such path")],
)  # fmt: skip
def test_what_is_no_folder(path: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "file", b"")
    with pytest.raises(InputError, match=message):
        load(tmp_path / path if path else "")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", os.fsdecode(b"caf\xe9")])
def test_a_class_whose_name_is_no_text(name: str, pets: Path) -> None:
    save(pets / name / "a.png")
    with pytest.raises(InputError, match="a class whose name isn't plain text") as caught:
        load(pets)
    assert str(caught.value).isprintable()


def test_more_than_fits_into_memory(pets: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000)
    assert isinstance(load(pets, Picture(6, 8)), PictureData)
    message = r"pets/cats: needs 0.0 GB of memory, 0.0 GB are free"
    with pytest.raises(InputError, match=message):
        load(pets, Picture(60, 80))
    left = iter([2_000, 2_000, 100])
    monkeypatch.setattr(memory, "available_memory", lambda: next(left))
    with pytest.raises(InputError, match=message):  # the copy of gray values
        load(pets)


def test_without_pillow(pets: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = r"pets/cats/10.png: reading pictures needs Pillow: pip install '.\[pictures\]' in"
    with pytest.raises(InputError, match=message):
        load(pets)
    assert is_folder(pets)
