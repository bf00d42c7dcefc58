"""What a user can cause and mend: one line each, never a traceback."""


class InputError(ValueError):
    """Something given from outside can't be used; the message names what, where and the remedy.

    The command line prints the message on standard error and exits with `status`.
    """

    status = 2


class DeviceError(InputError):
    """A device that was required can't be used."""

    status = 3
