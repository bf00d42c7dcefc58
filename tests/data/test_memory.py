"""How much memory there is, and rows of files that are read ahead."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_xp import InputError, load_data
from mlp_xp.data import memory, npz


def test_large_arrays_are_refused_before_they_fill_the_memory(tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "t.npz", X=np.zeros((1000, 10)), y=np.zeros(1000, dtype=int))
    monkeypatch.setattr(memory, "available_memory", lambda: 79_999)
    with pytest.raises(InputError, match=r"t\.npz: x: needs .* GB of memory"):
        load_data(tmp_path / "t.npz")


def test_room_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory.available_memory() < 1e15


@given(begin=st.integers(0, 10**5), size=st.integers(1, 10**5),
       rows=st.lists(st.integers(0, 10**7), min_size=1, max_size=5))  # fmt: skip
def test_spans_are_the_pages_that_hold_the_rows(begin: int, size: int, rows: list[int]) -> None:
    for row, (start, length) in zip(
        rows, memory.page_spans(begin, size, np.array(rows)), strict=True
    ):
        first = begin + row * size
        assert start % mmap.PAGESIZE == 0
        assert 0 <= first - start < mmap.PAGESIZE
        assert start + length == first + size


def test_reading_ahead_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    X = np.arange(60_000, dtype=np.float32).reshape(1000, 60)
    np.save(tmp_path / "X.npy", X)
    mapped, rows = npz.map_array(tmp_path / "X.npy"), np.array([999, 0, 5])
    for array in (mapped, np.asarray(mapped), mapped[10:].reshape(-1, 60), X):
        before = array[-1].tolist()
        memory.read_ahead(array, rows[1:])
        assert array[-1].tolist() == before
