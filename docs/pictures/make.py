"""Makes the pictures of docs/report.md and the README: `python docs/pictures/make.py`.

Needs the extras plot, sklearn and table, Playwright, and Chromium; the environment variable
CHROMIUM names it if it isn't on the path. Trains for half a minute.
"""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_diabetes

from mlp_xp.cli import main

HERE = Path(__file__).parent
CHOOSE_THE_BRIGHTEST = """() => {
    const lit = (cell) => Number(cell.style.getPropertyValue("--lit"));
    [...document.querySelectorAll(".draw-units > *")].sort((a, b) => lit(b) - lit(a))[0].click();
}"""
COLORS = 128
"""Few enough that a picture of a page takes a third of the bytes, and nobody sees it."""


def save(png: bytes, name: str) -> None:
    """Write a picture with fewer colors."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


def run(*arguments: str) -> None:
    """A command of mlp_xp."""
    if main(arguments) != 0:
        raise SystemExit(f"{' '.join(arguments)} failed")


def make_pages() -> None:
    """Train in the working directory, and write the reports."""
    run("train", "--quiet", "--out", "mnist")
    data = load_diabetes(scaled=False)
    with Path("diabetes.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[*x, y] for x, y in zip(data.data, data.target, strict=True)]
        csv.writer(file).writerows([[*data.feature_names, "progression"], *rows])
    run("train", "--quiet", "--data", "diabetes.csv", "--out", "diabetes")
    short = ("train", "--quiet", "--epochs", "5", "--validation", "0.1")
    run(*short, "--out", "sgd")
    run(*short, "--optimizer", "adam", "--lr", "0.001", "--out", "adam")
    run("report", "mnist")
    run("report", "diabetes")
    run("report", "sgd", "adam", "--out", "comparison.html")


def show(page: Page, file: str, width: int, height: int = 900) -> None:
    """Open a page in a window of this size."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(Path(file).resolve().as_uri())
    # It would lie over the sections.
    page.add_style_tag(content="nav, #theme { display: none !important } section { border: 0 }")


def draw_three(page: Page) -> None:
    """Draw a 3 with the mouse, as a person would: two bows."""
    canvas = page.locator("#draw-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    bows = [(0.52, 0.32, 0.16, 0.14), (0.52, 0.62, 0.2, 0.17)]  # center and radii of each
    page.mouse.move(box["x"] + 0.36 * box["width"], box["y"] + 0.26 * box["height"])
    page.mouse.down()
    for x, y, across, down in bows:
        for i in range(25):
            angle = math.radians(-130 + 10.5 * i)
            page.mouse.move(
                box["x"] + (x + across * math.cos(angle)) * box["width"],
                box["y"] + (y + down * math.sin(angle)) * box["height"],
            )
    page.mouse.up()


def photograph(page: Page) -> None:
    """Take the pictures of all pages."""
    show(page, "mnist/report.html", 1000, 1330)
    save(page.screenshot(), "report.png")
    save(page.locator("#mistakes").screenshot(), "mistakes.png")
    show(page, "mnist/report.html", 1240)
    draw_three(page)
    page.evaluate(CHOOSE_THE_BRIGHTEST)
    save(page.locator("#draw").screenshot(), "draw.png")
    show(page, "diabetes/report.html", 1000)
    save(page.locator("#learned").screenshot(), "columns.png")
    show(page, "comparison.html", 1000, 1000)
    save(page.screenshot(), "comparison.png")


if __name__ == "__main__":
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(folder)
        make_pages()
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        photograph(browser.new_page(color_scheme="light"))
        os.chdir(HERE)
