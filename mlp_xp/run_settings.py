"""All that a run is started with, as its config.json holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mlp_xp.data import DataSource
from mlp_xp.errors import InputError
from mlp_xp.training import Config
from mlp_xp.training.logs import LOGS


def read_settings(path: Path) -> dict[str, Any]:
    """The content of a settings file, such as a run's config.json, for RunSettings.from_dict().

    Raises InputError, naming the file, if it can't be read or isn't a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a settings file; it must hold a JSON object")
    return values


@dataclass(frozen=True)
class RunSettings:
    """The data, the settings of the training, and how the run is kept.

    checkpoint_every: how often to save, as `30s`, `5m` or a number of epochs. init_from: the model
    whose weights the run started from; None for new ones. log: the names, in LOGS, of what logs it
    beside metrics.jsonl. notes: what was done to the data, in
    words.
    """

    source: DataSource = field(default_factory=DataSource)
    config: Config = field(default_factory=Config)
    checkpoint_every: str = "60s"
    init_from: str | None = None
    log: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSettings:
        """The settings from the fields of all parts; missing ones get their default.

        Raises InputError for an unknown setting and for a value out of range.
        """
        source = {k: values[k] for k in SOURCE_FIELDS if k in values}
        own = {k: values[k] for k in OWN_FIELDS if k in values}
        for name, value in own.items():
            if not (isinstance(value, str) or (value is None and name == "init_from")):
                raise InputError(f"{name} is {value!r}; it must be a string")
        lists = {name: values.get(name, ()) for name in LIST_FIELDS}
        for name, texts in lists.items():
            if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
                raise InputError(f"{name} is {texts!r}; it must be a list of strings")
        for name in lists["log"]:
            if name not in LOGS:
                raise InputError(f"log is {name!r}; use one of {', '.join(LOGS)}")
        used = {*source, *own, *lists}
        config = Config.from_dict({k: v for k, v in values.items() if k not in used})
        log, notes = (tuple(dict.fromkeys(lists[name])) for name in LIST_FIELDS)
        return cls(DataSource(**source), config, **own, log=log, notes=notes)

    def to_dict(self) -> dict[str, Any]:
        """All fields, with absolute paths, which are valid from any folder."""
        source = asdict(self.source.absolute())
        source |= {"drop": list(source["drop"]), "size": source["size"] and list(source["size"])}
        own = {name: getattr(self, name) for name in OWN_FIELDS}
        own |= {name: list(getattr(self, name)) for name in LIST_FIELDS}
        return {**source, **own, **self.config.to_dict()}


SOURCE_FIELDS = tuple(field.name for field in fields(DataSource))
OWN_FIELDS = ("checkpoint_every", "init_from")
LIST_FIELDS = ("log", "notes")
