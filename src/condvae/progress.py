"""A progress bar on anything that takes longer than a moment."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A bar on standard error, gone when the work is done; nothing where no person is watching.

    Args:
        label: what is being counted.
        total: how many there are.
        enabled: whether to show it at all.

    Example:
        >>> from condvae.progress import Progress
        >>> with Progress("rows", 3, enabled=False) as bar:
        ...     bar.advance(3)
    """

    def __init__(self, label: str, total: int, *, enabled: bool):
        self._bar = None
        console = Console(stderr=True)
        if enabled and console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(label, total=total, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more, and show `note` beside the bar."""
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=note)

    def extend(self, count: int) -> None:
        """There are `count` more to do than was known."""
        if self._bar is not None:
            self._bar.update(self._task, total=(self._bar.tasks[self._task].total or 0) + count)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
