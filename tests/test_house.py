"""The layers of the house: imports point only downwards, and what must not meet does not."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "condvae"

# From the roof down; a room may import from its own layer's package and from any layer below it.
LAYERS = [
    ["__main__"],
    ["cli"],
    ["report"],
    ["estimator"],
    ["judging"],
    ["table_models"],
    ["testing", "diagnosis"],
    ["bundle"],
    ["training"],
    ["scoring"],
    ["sampling"],
    ["mixture", "linear_gaussian", "architectures"],
    ["objectives"],
    ["model"],
    ["conditionals"],
    ["heads"],
    ["networks"],
    ["distributions"],
    ["vectorise", "plots"],
    ["calibration", "baselines"],
    ["tables", "storage", "runtime"],
    ["sentences"],
    ["declared"],
    ["progress", "observed", "records", "text", "normal_scores", "version", "interruptions"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# Frames are known to tables, the estimator and the command line; JAX to none of these files.
WITHOUT_JAX = {
    "tables",
    "storage",
    "declared",
    "observed",
    "records",
    "text",
    "sentences",
    "version",
    "normal_scores",
    "plots",
    "progress",
    "interruptions",
    "__main__",
    "cli",
    "calibration",
    "baselines",
}
WITHOUT_FRAMES = set(RANK) - {"tables", "table_models", "estimator", "cli"}
FRAMES = {"pandas", "polars", "pyarrow", "narwhals"}
JAX = {"jax", "equinox", "numpyro", "optax", "flowjax", "jaxtyping"}

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; names taken from `condvae` count as rooms."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            if node.module == "condvae":
                modules |= {f"condvae.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downwards(path):
    assert room(path) in RANK, f"{room(path)} has no place in the house: give it a layer here"
    for module in imports(path):
        if not module.startswith("condvae."):
            continue
        target = module.split(".")[1]
        if target in RANK and target != room(path):
            assert RANK[room(path)] < RANK[target], f"{room(path)} must not import {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_frames_and_jax_meet_only_in_the_estimator(path):
    # The command line may look inside a model to describe it; it imports nothing of JAX on its way up.
    top_level = {
        name.split(".")[0]
        for node in ast.parse(path.read_text()).body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    if room(path) in WITHOUT_JAX:
        assert not top_level & JAX
    if room(path) in WITHOUT_FRAMES:
        assert not {name.split(".")[0] for name in imports(path)} & FRAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_room_is_crowded(path):
    assert len(path.read_text().splitlines()) <= 500


def derived(function: ast.FunctionDef) -> dict[tuple[str, int], set[str]]:
    """How others are derived from each key of a function, by `split` or by `fold_in`."""
    events = []
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).startswith("jax.random."):
            how = ast.unparse(node.func).removeprefix("jax.random.")
            if how in ("split", "fold_in"):
                events.append((node.lineno, 0, ast.unparse(node.args[0]), how))
        elif isinstance(node, ast.Assign):
            names = [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
            events += [(node.end_lineno, 1, name, "") for name in names]
    bound, uses = {}, {}
    for _, binds, name, how in sorted(events):
        if binds:
            bound[name] = bound.get(name, 0) + 1
        else:
            uses.setdefault((name, bound.get(name, 0)), set()).add(how)
    return uses


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_key_is_both_split_and_folded_into(path):
    """split(key, n)[i] is fold_in(key, i) in JAX: to do both gives the same key twice."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            for (name, _), ways in derived(node).items():
                assert len(ways) == 1, f"{node.name} (line {node.lineno}) splits {name} and folds into it"


def test_a_key_that_is_both_split_and_folded_into_is_seen():
    both = "def f(key):\n    a, b = jax.random.split(key)\n    return jax.random.fold_in(key, 1)"
    anew = "def f(key):\n    a, key = jax.random.split(key)\n    return jax.random.fold_in(key, 1)"
    ways = [derived(ast.parse(text).body[0]).values() for text in (both, anew)]
    assert [max(map(len, uses)) for uses in ways] == [2, 1]


def test_nothing_on_a_load_path_can_execute_what_it_reads():
    for path in FILES:
        tree = ast.parse(path.read_text())
        called = {
            n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__"}
        assert not imports(path) & {"pickle", "cloudpickle", "joblib", "dill", "marshal", "importlib"}


def test_tests_that_the_documentation_names_exist():
    """`path/test_file.py::test_name`, or `::test_name` of the file named before."""
    missing = []
    for page in (ROOT / "docs").glob("*.md"):
        file = None
        for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", page.read_text()):
            file = ROOT / path if path else file
            if not (path or name):
                continue
            if file is None or not file.exists() or (name and f"def {name}(" not in file.read_text()):
                missing.append((page.name, path, name))
    assert not missing


ACROSS_ROOMS = {
    "conditionals/test_gaps_closed.py": "posteriors, by what they add to a trained bound",
    "estimator/test_in_turn.py": "targets decoded in turn, from frames to answers",
    "estimator/test_likelihoods.py": "likelihoods of targets, from the table to densities in its units",
    "estimator/test_properties.py": "what holds for any rows",
    "fuzz/test_files.py": "damaged models, checkpoints and tables",
    "networks/test_known_truths.py": "encoders and decoders, trained on data whose log p is known",
    "report/test_browser.py": "the page, opened in a browser",
    "test_concepts.py": "a model of every kind of latent, through every objective, score and file",
    "test_house.py": "the layers of the package",
    "test_init.py": "the package as it is imported",
    "test_latents.py": "every kind of latent, through every objective, score, diagnosis and file",
    "test_long_runs.py": "a process that runs for long does not grow",
    "testing/test_known_truths.py": "heads, trained on data whose log p is known",
    "testing/test_latents_as_modules.py": "`check_conditional` on the modules of every latent",
    "testing/test_references.py": "log-densities of every head against SciPy",
    "training/test_streaming.py": "fits of a stream against fits of arrays",
}
"""Tests of several modules together, and what each is about. All others are in the file of their module."""


def test_tests_are_in_the_file_of_the_module_that_they_test():
    folder = ROOT / "tests"
    for path in sorted(folder.rglob("test_*.py")):
        name = path.relative_to(folder)
        if name.parts[0] != "examples" and str(name) not in ACROSS_ROOMS:
            module = SOURCE / name.with_name(name.name.removeprefix("test_"))
            assert module.exists(), f"tests/{name} has no module: move its tests, or list it"
    assert all((folder / name).exists() for name in ACROSS_ROOMS)
    for path in (folder / "examples").glob("test_*.py"):
        assert (ROOT / "examples" / path.name.removeprefix("test_")).exists()
