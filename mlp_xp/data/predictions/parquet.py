"""Predictions in Parquet. pyarrow is imported only when a file is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mlp_xp.data.predictions import Header, Ids, Writer, encodable, row_numbers
from mlp_xp.types import HostArray

GROUP_VALUES = 1 << 20
"""Values in a row group of a Parquet file: enough that it compresses, little beside any memory."""


class ParquetWriter(Writer):
    """Row groups of about GROUP_VALUES."""

    def __init__(self, header: Header, file: BinaryIO):
        super().__init__(header)
        self._file = file
        self._writer: Any = None
        self._tables: list[Any] = []
        self._rows = 0

    def write(self, ids: Ids, predictions: HostArray, file: str | Path | None = None) -> None:
        """Write N rows, see Writer; ids of one kind and predictions of one dtype throughout."""
        import pyarrow as pa

        n, K = predictions.shape
        text = n > 0 and isinstance(ids[0], str)
        arrays = [pa.array(list(ids)) if text else pa.array(row_numbers(ids))]
        if self.header.with_file:
            arrays.append(pa.repeat(encodable(str(file)), n))
        chosen = self.header.objective.chosen(predictions)
        if chosen is not None and chosen.ndim == 1:
            # Indices into the names: text takes 1.7 times as long to write.
            names, indices = pa.array(self.output_names), pa.array(chosen.astype("int32"))
            arrays.append(pa.DictionaryArray.from_arrays(indices, names))
        elif chosen is not None:
            arrays += [pa.array(column.astype("int8")) for column in chosen.T]
        # Copied, as the caller may use its array again before these are written.
        arrays += [pa.array(predictions[:, k].copy()) for k in range(K)]
        self._tables.append(pa.Table.from_arrays(arrays, self.columns))
        self._rows += n
        if self._rows * len(self.columns) >= GROUP_VALUES:
            self._flush()

    @contextmanager
    def closing(self) -> Iterator[Writer]:
        """Write the end of the file after the block."""
        try:
            yield self
            if self._tables or self._writer is None:
                self._flush()
            self._writer.close()
        finally:
            if self._writer is not None:
                self._writer.is_open = False  # or it would try again when it is deleted

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        if not self._tables:  # no rows at all
            self.write(range(0), np.empty((0, len(self.output_names)), dtype="float32"), "")
        table = pa.concat_tables(self._tables)
        self._tables, self._rows = [], 0
        if self._writer is None:
            kinds = {field.name: str(field.type) for field in table.schema}
            texts = [name for name, kind in kinds.items() if "string" in kind]
            self._writer = pa.parquet.ParquetWriter(
                self._file,
                table.schema,
                use_dictionary=texts,  # few numbers come twice, and looking for those takes long
                # The numbers of rows grow by one: as differences they take next to no space.
                column_encoding={
                    n: "DELTA_BINARY_PACKED" for n in self.columns[:1] if n not in texts
                },
                store_schema=False,  # or readers would get indices instead of text
            )
        self._writer.write_table(table)
