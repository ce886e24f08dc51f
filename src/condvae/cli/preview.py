"""The first rows of a table for the eye."""

from typing import Any

from condvae.cli.words import console, count, say, short

MAX_LINES = 20
"""Columns shown at most, where each takes a line."""


def show(table: Any, noun: str, rows: int = 6) -> None:
    """The first rows, one a line; or one column a line, where a line has no room for all the names.

    Args:
        table: an Arrow table.
        noun: what its rows are.
        rows: how many to show.
    """
    from rich.table import Table

    screen, first = console(), table.slice(0, rows)
    cells = {name: [short(value) for value in first[name].to_pylist()] for name in first.column_names}
    across = Table(box=None, pad_edge=False)
    for name in cells:
        across.add_column(name, justify="right")
    for row in zip(*cells.values(), strict=True):
        across.add_row(*row)
    if len(table) > len(first):
        say(f"the first {len(first)} of {count(len(table), noun)}:")
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
