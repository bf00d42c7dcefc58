"""What a user can cause and mend: one line each, never a traceback."""


class InputError(ValueError):
    """Something given from outside can't be used; the message names what, where and the remedy.

    The command line prints the message on standard error and exits with `status`.
    """

    status = 2

    def __init__(self, message: str):
        # Names and values from outside may hold line ends and what a terminal obeys.
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class DeviceError(InputError):
    """A device that was required can't be used, or one failed during a run."""

    status = 3
