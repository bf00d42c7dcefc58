"""`python -m mlp_xp`: the command line."""

from mlp_xp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
