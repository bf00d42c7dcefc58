"""`python -m mlp_xp`."""

import signal
import sys


def run() -> int:
    """The command line as a program of its own, which Ctrl-C ends at any moment.

    While modules are imported it ends the process at once, since NumPy takes the exception for a
    broken installation; main() restores it. When that is done, nothing is left to interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mlp_xp.cli import main
    from mlp_xp.devices.kernels import choose_kernel

    choose_kernel()
    try:
        try:
            return main()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # after main() had handled its own, or before the line above
        return 130


if __name__ == "__main__":
    sys.exit(run())
