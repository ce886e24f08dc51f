"""Sentences and errors as data: what they say at each front door, and what of them is kept."""

import ast
import copy
import json
import pickle
from pathlib import Path

import pytest

import condvae
from condvae.cli.output import as_option, in_options
from condvae.sentences import Argument, InputError, Text, written
from condvae.storage import StorageError, spelled, unspelled
from condvae.tables import TableError

NASTY = [
    "resume=True",
    'unknown="other"',
    "test_fraction=0.1",
    "row 7",
    "{column}",
    "it's",
    "read={'a': 'text'}",
]


def error(**fields):
    return TableError(
        "column {column!q}, row {row} has the level {level!q}",
        remedy="drop it, or fit with {unknown}",
        unknown=Argument("unknown", "other"),
        **fields,
    )


@pytest.mark.parametrize("name", NASTY)
def test_names_and_levels_come_out_as_they_are_at_both_doors(name):
    one = error(column=name, row=1233, level=name)
    said = f"column {name!r}, row 1,234 has the level {name!r}; drop it, or fit with "
    assert str(one) == f"{said}unknown='other'"
    assert in_options(one) == f"{said}--unknown other"
    assert (one.column, one.row, one.values["level"]) == (name, 1233, name)
    plain = InputError(f"column {name!r} is {name}")
    assert str(plain) == in_options(plain) == f"column {name!r} is {name}"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_errors_and_sentences_are_copied_and_pickled(again):
    one = error(column="a", row=2, level="x", argument="read")
    other = again(one)
    assert type(other) is TableError
    assert (str(other), in_options(other)) == (str(one), in_options(one))
    assert (other.column, other.row, other.argument) == ("a", 2, Argument("read"))
    assert (other.problem, other.remedy) == (one.problem, one.remedy)
    text = again(one.remedy)
    assert text.written(as_option) == "drop it, or fit with --unknown other"


def test_a_row_that_is_moved_is_said():
    one = error(column="a", row=2, level="row 3")
    one.row += 65_536
    assert str(one).startswith("column 'a', row 65,539 has the level 'row 3'")


def test_fields_that_an_error_does_not_have():
    one = InputError("it rains")
    assert (one.column, one.row, one.argument, one.values, one.remedy) == (None, None, None, {}, "")
    assert str(InputError("it rains {a lot}; {stay in}")) == "it rains {a lot}; {stay in}"


@pytest.mark.parametrize(
    ("argument", "python", "option"),
    [
        (Argument("num_steps"), "num_steps", "--steps"),
        (Argument("num_steps", 40), "num_steps=40", "--steps 40"),
        (Argument("test_fraction", 0.1), "test_fraction=0.1", "--test-fraction 0.1"),
        (Argument("resume", True), "resume=True", "--resume"),
        (Argument("n", 3), "n=3", "-n 3"),
        (Argument("joint", "latent"), "joint='latent'", "--joint latent"),
        (Argument("read", {"a b": "text"}), "read={'a b': 'text'}", "--read 'a b=text'"),
        (Argument("missing", ("?", "a,b")), "missing=('?', 'a,b')", """--missing '?,"a,b"'"""),
        (Argument("missing", ("it's",)), """missing=("it's",)""", """--missing 'it'"'"'s'"""),
    ],
)
def test_arguments_at_each_door(argument, python, option):
    assert (str(argument), as_option(argument)) == (python, option)


def test_a_sentence_is_a_string_that_goes_into_json_with_its_arguments():
    more = {"read": Argument("read", {"a": "text"}), "missing": Argument("missing", ("?",))}
    inner = Text("go on with {it}", it=Argument("resume"))
    said = Text("{a}: say {read}, {missing} or {inner}", a="{x}", inner=inner, **more)
    assert said == "{x}: say read={'a': 'text'}, missing=('?',) or go on with resume"
    again = unspelled(json.loads(json.dumps(spelled([said, "plain", Text("{n} rows", n=3)]))))
    assert again == [said, "plain", "3 rows"]
    assert again[0].written(as_option) == "{x}: say --read 'a=text', --missing '?' or go on with --resume"


def test_errors_of_any_kind_may_hold_a_sentence():
    one = StorageError(Text("go on with {resume}", resume=Argument("resume", True)))
    assert (str(one), written(one, as_option)) == ("go on with resume=True", "go on with --resume")
    assert written(OSError(2, "no such file"), as_option) == "[Errno 2] no such file"
    assert written("as it stands", as_option) == "as it stands"


CALLS = [
    (path, node)
    for path in Path(condvae.__file__).parent.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call)
]


def named(node, *names):
    return getattr(node.func, "id", getattr(node.func, "attr", "")) in names


def test_templates_hold_nothing_of_the_users():
    """A name with braces in an f-string would be taken for a field."""
    for path, node in CALLS:
        if named(node, "TableError", "InputError", "Text") and [
            k for k in node.keywords if k.arg != "remedy"
        ]:
            templates = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "remedy")]
            calls = [n for one in templates for n in ast.walk(one) if isinstance(n, ast.Call)]
            assert not calls, (path, node.lineno)


# What only Python takes; nothing of the command line sets them.
PYTHON_ONLY = {"index", "unseen", "sample_weight", "X", "y", "free_bits", "conformal", "likelihood"}
PYTHON_ONLY |= {"validation_fraction", "progress"}


def test_every_argument_that_an_error_names_is_an_option():
    import typer

    from condvae.cli.program import app

    commands = typer.main.get_command(app).commands.values()
    options = {option for command in commands for param in command.params for option in param.opts}
    names = {
        value.value
        for _, node in CALLS
        for value in (
            [k.value for k in node.keywords if k.arg == "argument"]
            + (node.args[:1] if named(node, "Argument", "_not_so") else [])
        )
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }
    fit = next(node for path, node in CALLS if path.name == "fit.py" and named(node, "ConditionalVAE"))
    names |= {str(keyword.arg) for keyword in fit.keywords}
    assert {
        name for name in names - PYTHON_ONLY if as_option(Argument(name)).split()[0] not in options
    } == set()
