"""Runs the command line: `python -m mlp_xp`."""

from mlp_xp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
