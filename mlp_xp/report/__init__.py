"""Pictures and pages of runs: what was trained, how well it does, and what it learned.

Everything is read from a run's folder alone: reading.py says what there is to tell, figures/ draws
it, sections.py and its like put it into words, and page.py makes a page of it.
"""

from __future__ import annotations

from mlp_xp.lazy import lazy_names

TYPE_CHECKING = False  # as in mlp_xp/__init__.py
if TYPE_CHECKING:
    from mlp_xp.report.page import write_drawing, write_report
    from mlp_xp.report.plots import plot

__all__ = ["plot", "write_drawing", "write_report"]

__getattr__, __dir__ = lazy_names(
    __name__, {"page": ["write_drawing", "write_report"], "plots": ["plot"]}
)
