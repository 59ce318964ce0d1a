"""Parquet files: columns with types of their own."""

from pathlib import Path

import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet

from gossipfl.data.columns import table_columns
from gossipfl.data.conversion import MAX_FEATURE_BYTES
from gossipfl.errors import DataError


def read_parquet(path: Path, name: str) -> tuple[dict[str, pa.ChunkedArray], str]:
    """The columns of a file by name, and a note of what was read.

    Raises DataError when the file is missing, is damaged, or would take too much memory.
    """
    path = path.expanduser()
    if not path.is_file():
        raise DataError(f"{name}: there is no file {path}")
    try:
        file = pyarrow.parquet.ParquetFile(path)
        metadata = file.metadata
        stored = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        # Runs of one value take no place in the file, but in memory: at least the 4 bytes of a float32 for each.
        num_bytes = max(stored, 4 * metadata.num_rows * metadata.num_columns)
        if num_bytes > MAX_FEATURE_BYTES:
            raise DataError(
                f"{name} takes {num_bytes / 2**30:.1f} GiB, more than {MAX_FEATURE_BYTES / 2**30:.0f}: use a part of it"
            )
        table = file.read()
    except (pyarrow.lib.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: {path} is not a readable Parquet file: {str(error)[:200]}") from error
    return table_columns(table, name), f"read as Parquet, columns: {table.num_columns}, rows: {table.num_rows:,}"
