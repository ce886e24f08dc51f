"""Sentences for users as data, which each front door writes with its names for arguments."""

import errno
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from condvae.text import quote


@dataclass(frozen=True)
class Argument:
    """An argument of the library, which every front door writes in its way; Python's is `str`.

    Attributes:
        name: what it is called in Python.
        value: `...` for the argument as such, whatever its value.

    Example:
        >>> print(Argument("resume"), Argument("unknown", "other"), Argument("read", {"hp": "text"}))
        resume unknown='other' read={'hp': 'text'}
    """

    name: str
    value: Any = ...

    def __str__(self) -> str:
        return self.name if self.value is ... else f"{self.name}={_in_python(self.value)}"


def _in_python(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{quote(key)}: {quote(item)}' for key, item in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(quote, value))}{',' * (len(value) == 1)})"
    return f"{value:g}" if isinstance(value, float) else quote(value)


Names = Callable[[Argument], str]
"""What a front door calls an argument."""


class _Writer(string.Formatter):
    """Fills in templates: arguments by their names, and with `!q` any value as `quote` writes it."""

    def __init__(self, names: Names):
        self.names = names

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return quote(value) if conversion == "q" else super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Argument):
            return self.names(value)
        return (
            value.written(self.names)
            if isinstance(value, Text)
            else super().format_field(value, format_spec)
        )


class Text(str):
    """A sentence that knows its parts: a string in Python's words, which can be written in others.

    Args:
        template: the sentence, with names in braces for what is filled in, as `str.format` takes them, and
            `{name!q}` for a value in quotation marks. Without values it is not a template, but the
            sentence as it stands.
        values: what is filled in: numbers and texts, arguments, other sentences.

    Example:
        >>> said = Text("column {column!q}: say {read}", column="hp", read=Argument("read", {"hp": "text"}))
        >>> print(said)
        column 'hp': say read={'hp': 'text'}
        >>> said.written(lambda argument: f"--{argument.name}")
        "column 'hp': say --read"
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, /, **values: Any) -> Self:
        self = super().__new__(cls, _Writer(str).vformat(template, (), values) if values else template)
        self.template, self.values = template, values
        return self

    def written(self, names: Names) -> str:
        """The sentence, with arguments called what `names` calls them."""
        return _Writer(names).vformat(self.template, (), self.values) if self.values else str(self)

    def to_json(self) -> Any:
        """Of JSON's types: a string where no argument is named, else the parts."""
        if not any(isinstance(value, Argument | Text) for value in self.values.values()):
            return str(self)
        return {
            "template": self.template,
            "values": {key: _spelled(part) for key, part in self.values.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """What `to_json` gave, or the sentence that an earlier version wrote.

        Example:
            >>> said = Text("lower {rate}", rate=Argument("learning_rate"))
            >>> Text.from_json(said.to_json()).values == said.values
            True
        """
        if isinstance(data, str):
            return cls(data)
        return cls(data["template"], **{key: _parsed(part) for key, part in data["values"].items()})


def _spelled(value: Any) -> Any:
    if isinstance(value, Argument):
        parts = {} if value.value is ... else {"value": value.value}
        return {"argument": value.name, **parts}
    if isinstance(value, Text):
        return {"sentence": value.to_json()}
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _parsed(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    if "sentence" in data:
        return Text.from_json(data["sentence"])
    value = data.get("value", ...)
    return Argument(data["argument"], tuple(value) if isinstance(value, list) else value)


class InputError(ValueError):
    """Something that a user gave cannot be used, as data: what is wrong, with what, and what to do.

    Its message is one sentence, `problem; remedy`, in Python's words; `written` gives it in those of
    another front door.

    Args:
        problem: what is wrong, and `remedy` what to do: templates of `Text`, in which the fields below and
            `values` are filled in. Without any of them they are sentences as they stand.
        column: the column that it is about.
        row: the row, counted from 0 in the table that was given; the sentence counts from 1.
        argument: the argument that it is about, or its name.
        values: what else the sentence says.

    Example:
        >>> error = InputError(
        ...     "column {column!q}, row {row} has the level {level!q}",
        ...     remedy="correct it, or fit with {unknown}",
        ...     column="sex",
        ...     row=6,
        ...     level="x",
        ...     unknown=Argument("unknown", "other"),
        ... )
        >>> print(error)
        column 'sex', row 7 has the level 'x'; correct it, or fit with unknown='other'
        >>> error.column, error.row, error.argument, error.values["level"]
        ('sex', 6, None, 'x')
        >>> error.problem
        "column 'sex', row 7 has the level 'x'"
        >>> error.remedy
        "correct it, or fit with unknown='other'"
    """

    def __init__(
        self,
        problem: str,
        /,
        *,
        remedy: str = "",
        column: Any = None,
        row: int | None = None,
        argument: Argument | str | None = None,
        **values: Any,
    ):
        super().__init__(problem)
        self.column, self.row, self.values = column, row, values
        self.argument = Argument(argument) if isinstance(argument, str) else argument
        self._remedy = remedy

    @property
    def problem(self) -> Text:
        """What is wrong."""
        return self._text(self.args[0])

    @property
    def remedy(self) -> Text:
        """What to do; empty where nothing is proposed apart from the problem."""
        return self._text(self._remedy)

    def _text(self, template: str) -> Text:
        row = None if self.row is None else f"{self.row + 1:,}"
        fields = {"column": self.column, "row": row, "argument": self.argument}
        return Text(
            template, **{key: part for key, part in fields.items() if part is not None}, **self.values
        )

    def written(self, names: Names) -> str:
        """The sentence, with arguments called what `names` calls them."""
        return "; ".join(part.written(names) for part in (self.problem, self.remedy) if part)

    def __str__(self) -> str:
        return self.written(str)


def written(said: str | BaseException, names: Names) -> str:
    """A sentence or an error in the words of a front door; as it stands, where it does not know its parts.

    Example:
        >>> error = OSError(Text("go on with {resume}", resume=Argument("resume", True)))
        >>> written(error, lambda argument: f"--{argument.name}")
        'go on with --resume'
    """
    if isinstance(said, InputError):
        return said.written(names)
    text = said.args[0] if isinstance(said, BaseException) and len(said.args) == 1 else said
    return text.written(names) if isinstance(text, Text) else str(said)


def remedy_of(error: OSError) -> str:
    """What to do about a file that cannot be written: about a full disk, or about its folder.

    Example:
        >>> remedy_of(OSError(errno.ENOSPC, "No space left on device"))
        'make room there, or choose another folder'
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, or choose another folder"
    return "choose a folder that exists and may be written to"
