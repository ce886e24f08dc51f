"""The first rows of a table for the eye."""

from typing import Any

from condvae.cli.output import console, say
from condvae.text import count, short

MAX_LINES = 20
"""Columns shown at most, where each takes a line."""


class Seen:
    """The first rows of a table that comes in parts, and how many there were."""

    def __init__(self, shown: int = 6):
        self.shown, self.rows, self.first = shown, 0, None

    def look(self, part: Any) -> None:
        """Count the rows of one more part."""
        self.rows += len(part)
        if self.first is None or len(self.first) < self.shown:
            import pyarrow as pa

            rows = [part] if self.first is None else [self.first, part]
            self.first = pa.concat_tables([table.slice(0, self.shown) for table in rows])
            self.first = self.first.slice(0, self.shown)

    def show(self, noun: str) -> None:
        """Show them, where there are any: rows are `noun`s."""
        if self.first is not None:
            _show(self.first, self.rows, noun)


def show(table: Any, noun: str) -> None:
    """The first rows of a table, of which each is a `noun`."""
    seen = Seen()
    seen.look(table)
    seen.show(noun)


def _show(first: Any, rows: int, noun: str) -> None:
    """The first rows, one a line; or one column a line, where a line has no room for all the names."""
    from rich.table import Table

    screen = console()
    cells = {name: [short(value) for value in first[name].to_pylist()] for name in first.column_names}
    across = Table(box=None, pad_edge=False)
    for name in cells:
        across.add_column(name, justify="right")
    for row in zip(*cells.values(), strict=True):
        across.add_row(*row)
    if rows > len(first):
        say(f"the first {len(first)} of {count(rows, noun)}:")
    if _fits(screen, across):
        screen.print(across)
        return
    shown = dict(list(cells.items())[:MAX_LINES])
    options = [_columns_down(shown, number) for number in range(len(first), 0, -1)]
    screen.print(next((table for table in options if _fits(screen, table)), options[-1]))
    if len(cells) > len(shown):
        say(f"... and {count(len(cells) - len(shown), 'more column')}")


def _fits(screen: Any, table: Any) -> bool:
    from rich.measure import Measurement

    # Measured with all the room there is: within the console's width everything "fits", cut short.
    return Measurement.get(screen, screen.options.update(width=10_000), table).maximum <= screen.width


def _columns_down(cells: dict[str, list[str]], rows: int) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    for _ in range(rows):
        table.add_column(justify="right", overflow="fold")
    for name, row in cells.items():
        table.add_row(name, *row[:rows])
    return table
