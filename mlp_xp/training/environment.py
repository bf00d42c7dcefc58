"""What surrounds training: NumPy's warnings, Ctrl-C, and errors within a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

import numpy as np

from mlp_xp.devices import Device
from mlp_xp.devices.blas import tell_of_slow_kernel
from mlp_xp.errors import InputError
from mlp_xp.training.callbacks import Callback

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer


class Interrupts(Callback):
    """Raises KeyboardInterrupt for a Ctrl-C that came since the last call."""

    def __init__(self) -> None:
        self.received = False

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first Ctrl-C; a second one is raised at once."""
        if self.received:
            raise KeyboardInterrupt
        self.received = True

    def check(self) -> None:
        """Raise what was received."""
        if self.received:
            self.received = False
            raise KeyboardInterrupt

    def on_chunk(self, trainer: Trainer) -> None:
        """Between steps, where the run is whole."""
        self.check()

    def on_epoch(self, trainer: Trainer) -> None:
        """The same."""
        self.check()


@contextmanager
def training_environment(device: Device) -> Iterator[Interrupts]:
    """While training runs: no warnings from NumPy, Ctrl-C between steps alone.
    Before it, see tell_of_slow_kernel().

    Yields the callback that raises KeyboardInterrupt there. Ctrl-C stays as it is outside the main
    thread, where Python never raises it, and where a program handles it itself.
    """
    tell_of_slow_kernel(device)
    interrupts = Interrupts()
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interrupts.receive)
    try:
        # What overflows shows in the loss, which is checked.
        with np.errstate(all="ignore"):
            yield interrupts
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.check()


class StepGuard:
    """`with guard:` surrounds each change of a run's state; an error there leaves it broken.

    problem: why the state isn't whole, or None if it is.
    """

    def __init__(self) -> None:
        self.problem: str | None = None

    def check(self) -> None:
        """Raise InputError unless the state is whole: nothing can go on from there."""
        if self.problem is not None:
            raise InputError(self.problem)

    def __enter__(self) -> None:
        # For a signal's handler, or another thread, that saves the run in the meantime.
        self.problem = "a step of this training is under way; save it between steps, in a callback"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.problem = None
        if error is not None:
            why = str(error) or type(error).__name__
            self.problem = (
                f"an error has left this training half changed ({why}); make a new Trainer, and "
                "load_checkpoint() if there is one"
            )
