"""The one exception of this room: something about a table that its owner can put right."""

from condvae.sentences import InputError


class TableError(InputError):
    """A table, or what was asked of it, cannot be used as it is.

    The message is one sentence that names the column (and the row or value, where there is one; data
    rows count from 1) and proposes a remedy, so that it can be shown to a user as it stands. Its parts are
    fields, as `InputError` says: `column`, `row` (from 0), `argument`, `problem`, `remedy` and `values`.

    Example:
        >>> from condvae.tables import Schema
        >>> import pyarrow as pa
        >>> try:
        ...     Schema.infer(pa.table({"a": [1.0, float("inf")]}), target=["a"])
        ... except TableError as error:
        ...     print(error)
        ...     print(error.column, error.row, error.remedy, sep=" | ")
        column 'a', row 2 is infinite; correct the cell or leave it empty (a missing cell is allowed)
        a | 1 | correct the cell or leave it empty (a missing cell is allowed)
    """
