"""Every name and keyword of `xp` that a run uses exists in the real CuPy.

CuPy can be installed and imported without a GPU; the `cuda` tests check what it computes.
"""

import re
from types import ModuleType

import pytest
import standin
import workout
from surface import SNAPSHOT, Call, Surface, describe


@pytest.fixture(scope="module")
def cupy() -> ModuleType:
    return pytest.importorskip(
        "cupy", reason="CuPy isn't installed, so there is nothing to compare with"
    )


def calls(settings: dict[str, object]) -> set[Call]:
    """Everything that a run uses, on a stand-in that refuses no name."""
    recorder = standin.StandIn(surface=None)
    workout.work(recorder, settings)
    return recorder.trace.calls


def complaints(used: set[Call], surface: Surface) -> list[str]:
    return sorted(filter(None, map(surface.complaint, used)))


@pytest.mark.parametrize("settings", workout.SETTINGS.values(), ids=workout.SETTINGS)
def test_cupy_has_everything_that_a_run_uses(settings, cupy):
    assert complaints(calls(settings), Surface.parse(describe(cupy))) == []


@pytest.mark.parametrize("kind", workout.UNKNOWN_TO_CUPY)
def test_what_cupy_lacks_is_found(kind, cupy, monkeypatch):
    mistake, complaint = workout.UNKNOWN_TO_CUPY[kind]
    workout.plant(monkeypatch, mistake)
    (found,) = complaints(calls({}), Surface.parse(describe(cupy)))
    assert re.search(complaint, found)


def test_the_standin_has_this_cupys_surface(cupy):
    snapshot = SNAPSHOT.read_text(encoding="utf-8")
    if f"# CuPy {cupy.__version__}," not in snapshot:
        pytest.skip(f"the snapshot isn't of CuPy {cupy.__version__}")
    assert describe(cupy) == snapshot


def test_signatures_agree_with_what_cupy_accepts(cupy):
    # These have no signature to read, but CuPy refuses a wrong call before it needs a GPU.
    surface = Surface.parse(describe(cupy))
    for call, refused in (
        (Call("add", 2, ("where",)), lambda: cupy.add(1, 2, where=True)),
        (Call("matmul", 2, ("where",)), lambda: cupy.matmul(1, 2, where=True)),
    ):
        assert surface.complaint(call)
        with pytest.raises(TypeError):
            refused()
    assert not surface.complaint(Call("add", 3, ("dtype",)))
    with pytest.raises(NotImplementedError):
        cupy.maximum.reduce(None)
    assert surface.complaint(Call("maximum.reduce", 1)) == "CuPy has no maximum.reduce"


def test_a_run_uses_what_can_be_checked():
    used = calls({})
    names = {call.name for call in used}
    assert {"maximum", "exp", "arange", "ndarray.sum", "ndarray.__matmul__", "ndarray.T"} <= names
    assert Call("maximum", 2, ("out",)) in used
    assert Call("ndarray.max", 0, ("axis", "keepdims")) in used
