"""Tables in files, read block by block by pyarrow, which is imported when the first is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.memory import BLOCK_BYTES
from mlp_xp.data.values import Numbers, Texts, Values
from mlp_xp.errors import InputError

SUFFIXES = {
    ".csv": "text", ".tsv": "text", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow",
}  # fmt: skip
COMPRESSED = (".gz", ".zst")
INDEX = re.compile(r"__index_level_[0-9]+__")
"""pandas' own name for an index without one, which other tools copy without its metadata."""
STDIN = Path("-")
OTHERS = {
    b"PAR1": ("a Parquet file", "name it .parquet"),
    b"ARROW1": ("an Arrow file", "name it .arrow"),
    b"\x1f\x8b": ("compressed by gzip", "add .gz to its name"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "add .zst to its name"),
    b"PK\3\4": ("an Excel or zip file", "save it as CSV"),
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
}
"""How files start that aren't text in UTF-8: what they are, and what to do."""


def table_format(path: Path) -> str | None:
    """How a table with this name is stored, `text`, `parquet` or `arrow`; None if it isn't one."""
    if path == STDIN:
        return "text"
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        return SUFFIXES.get(suffixes[0]) if len(suffixes) > 1 else None
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def check_text(path: Path) -> None:
    """Raise InputError for a file that isn't text at all, but one of those that are often met."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        start = file.read(8)
    compressed = path.suffix.lower() in COMPRESSED
    for magic, (what, remedy) in OTHERS.items():
        if start.startswith(magic) and not (compressed and "compressed" in what):
            raise InputError(f"{path}: is {what}; {remedy}")


def check_names(names: list[str], path: Path) -> None:
    """Raise InputError if a column has no name, or two have the same."""
    places: dict[str, int] = {}
    for i, name in enumerate(names):
        if name and places.setdefault(name, i) != i:
            raise InputError(
                f"{path}: 2 columns are named {name[:40]!r}, {places[name] + 1} and {i + 1}; "
                "rename one, or leave it out"
            )
    if not names or "" in names:
        where = f"column {names.index('') + 1}" if names else "the table"
        raise InputError(
            f"{path}: {where} has no name; name it, or leave it out if it numbers the rows "
            "(pandas: index=False)"
        )


class TableFile:
    """A table with named columns. names: in their order."""

    names: list[str]
    left_out: Sequence[str] = ()
    """Columns of the file that are none of the table: an index of pandas."""

    def __init__(self, path: Path):
        self.path = path

    def blocks(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Values]]:
        """The rows, block by block: the values of these columns, those in `texts` as texts.

        Raises InputError, naming the place, for what can't be read.
        """
        try:
            with closing(self._batches(columns, texts)) as batches:
                for batch in batches:
                    yield [
                        self._values(batch[k], i in texts, self.names[i])
                        for k, i in enumerate(columns)
                    ]
        except InputError:
            raise
        except _errors() as error:
            raise self._damaged(error) from error

    def _name_columns(self, schema: Any) -> None:
        """The names in an Arrow schema, but those of the index of a pandas table."""
        self.places = _places(schema, self.path)
        self.names = [str(schema.names[place]) for place in self.places]
        index = [str(name) for i, name in enumerate(schema.names) if i not in self.places]
        self.left_out = [f"{name} (pandas' index)" for name in index if not INDEX.fullmatch(name)]

    def place(self, row: int) -> str:
        """Where row `row`, from 0, is in the file, for messages."""
        return f"row {row}"

    def _batches(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Any]]:
        """Arrow arrays of these columns; those in `texts` are needed as texts."""
        raise NotImplementedError

    def _values(self, array: Any, as_text: bool, name: str) -> Values:
        import pyarrow.types as kinds

        if kinds.is_dictionary(array.type):
            array = array.dictionary_decode()
        if is_text(array.type):
            return texts_of(array)
        if not is_number(array.type):
            raise InputError(
                f"{self.path}: column {name!r} is of type {str(array.type)[:40]}; leave it out: "
                f"--drop {name}"
            )
        return texts_of(array.cast("string")) if as_text else numbers_of(array)

    def _damaged(self, error: Exception) -> InputError:
        why = str(error).partition("\n")[0]
        kind = "a parquet" if table_format(self.path) == "parquet" else "an arrow"
        return InputError(f"{self.path}: damaged or not {kind} table ({why}); get it again")

    def _check_errno(self, error: Exception) -> None:
        """Let an error of the file system pass, which isn't one of pyarrow's own."""
        if isinstance(error, OSError) and error.errno:
            raise error


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds text."""
    import pyarrow.types as kinds

    # Of a name alone, since older versions of pyarrow know no string_view.
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or str(kind) == "string_view")


def is_number(kind: Any) -> bool:
    """Whether an Arrow type can be a number, which a date and a boolean can."""
    import pyarrow.types as kinds

    return bool(
        kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)
        or kinds.is_decimal(kind) or kinds.is_date(kind) or kinds.is_timestamp(kind)
        or kinds.is_null(kind)
    )  # fmt: skip


def numbers_of(array: Any) -> Numbers:
    """An Arrow array of numbers, booleans or dates."""
    import pyarrow as pa

    kind = "number"
    if pa.types.is_boolean(array.type):
        kind = "boolean"
    elif pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        # In milliseconds: nanoseconds end in the year 2262.
        array, kind = array.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()), "date"
    array = array.cast(pa.float64(), safe=False)
    values = array.to_numpy(zero_copy_only=False)
    return Numbers(values / 86_400_000 if kind == "date" else values, kind)


def texts_of(array: Any) -> Texts:
    """An Arrow array of texts, without the spaces around them; an empty one is missing."""
    import pyarrow.compute as pc

    distinct, codes = coded(array)
    return numbered(pc.utf8_trim_whitespace(distinct).to_pylist(), codes)


def coded(array: Any) -> tuple[Any, NDArray[np.int64]]:
    """The different values of an Arrow array, and the place of each among them, -1 for a null."""
    encoded = array.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return encoded.dictionary, codes.astype(np.int64)


def numbered(texts: Sequence[str | None], codes: NDArray[np.int64]) -> Texts:
    """Texts by the place of each in `texts`, where some may be the same, and others missing."""
    levels: dict[str, int] = {}
    places = [levels.setdefault(text, len(levels)) if text else -1 for text in texts]
    return Texts(np.array([*places, -1], dtype=np.int64)[codes], list(levels))


def _errors() -> tuple[type[Exception], ...]:
    """What pyarrow raises for a file that it can't read."""
    import pyarrow as pa

    return (OSError, ValueError, TypeError, LookupError, NotImplementedError, pa.ArrowException)


class ParquetTable(TableFile):
    """Parquet."""

    def __init__(self, path: Path):
        super().__init__(path)
        import pyarrow.parquet

        try:
            self.file = pyarrow.parquet.ParquetFile(open_binary(path))
        except _errors() as error:
            self._check_errno(error)
            raise self._damaged(error) from error
        self._name_columns(self.file.schema_arrow)

    def _batches(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Any]]:
        n_rows = max(1, BLOCK_BYTES // (8 * len(columns)))
        for batch in self.file.iter_batches(n_rows):
            yield [batch.column(self.places[i]) for i in columns]


class ArrowTable(TableFile):
    """Arrow's own format, which is Feather's too, as a file or as a stream."""

    def __init__(self, path: Path):
        super().__init__(path)
        import pyarrow as pa

        try:
            source = open_binary(path)
            try:
                self.file: Any = pa.ipc.open_file(source)
            except pa.ArrowInvalid:
                source.seek(0)
                self.file = pa.ipc.open_stream(source).read_all()
        except _errors() as error:
            self._check_errno(error)
            raise self._damaged(error) from error
        self._name_columns(self.file.schema)

    def _batches(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Any]]:
        if hasattr(self.file, "num_record_batches"):
            batches = (self.file.get_batch(k) for k in range(self.file.num_record_batches))
        else:
            batches = iter(self.file.to_batches())
        for batch in batches:
            batch.validate(full=True)  # what a damaged file claims could crash the process
            yield [batch.column(self.places[i]) for i in columns]


def open_binary(path: Path) -> Any:
    """The bytes of a file at any place: decompressed in memory, if it is compressed as a whole."""
    import pyarrow as pa

    if path.suffix.lower() not in COMPRESSED:
        return pa.OSFile(str(path))
    with pa.input_stream(str(path), compression="detect") as stream:
        return pa.BufferReader(stream.read())


def _places(schema: Any, path: Path) -> list[int]:
    """Where in the file the columns are: all that it stores but the index of a pandas table.

    pandas says in the file's metadata which columns it takes for the index when it reads them back.
    """
    text = (schema.metadata or {}).get(b"pandas", b"{}")
    try:
        index = json.loads(text).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):  # no JSON, no object, or nested too deeply
        index = None
    if not isinstance(index, list):
        raise InputError(
            f"{path}: what pandas noted about its columns is damaged; write the file again"
        )
    return [
        place
        for place, name in enumerate(schema.names)
        if name not in index and not INDEX.fullmatch(name)
    ]
