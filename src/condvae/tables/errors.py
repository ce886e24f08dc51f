"""The one exception of this room: something about a table that its owner can put right."""


class TableError(ValueError):
    """A table, or what was asked of it, cannot be used as it is.

    The message is one sentence that names the column (and the row or value, where there is one; data
    rows count from 1) and proposes a remedy, so that it can be shown to a user as it stands.

    Example:
        >>> issubclass(TableError, ValueError)
        True
    """
