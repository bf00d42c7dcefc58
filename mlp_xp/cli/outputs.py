"""Where a command may write a file."""

from __future__ import annotations

import os
from pathlib import Path

from mlp_xp.errors import InputError
from mlp_xp.files import check_file_name


def check_target(out: Path, suffixes: tuple[str, ...]) -> Path:
    """The file that stands for `out`: of a link the one it leads to, so that the link stays.

    Raises InputError if no file can be there, and if there is one with none of the suffixes, as
    that is something else, which a slip would replace.
    """
    target = Path(os.path.realpath(out)) if out.is_symlink() else out
    if target.is_symlink():
        raise InputError(f"{out}: is a link that leads to no file; name another")
    check_file_name(target)
    if target.exists() and not target.name.lower().endswith(suffixes):
        raise InputError(
            f"{target}: exists already, and only {', '.join(suffixes)} files are replaced; name "
            "another"
        )
    return target
