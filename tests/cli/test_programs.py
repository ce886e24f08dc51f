"""Programs kept from one run to the next: where, how many, and what happens to damaged ones."""

import os
import subprocess
import sys
import warnings

import pytest

from condvae.cli import programs


@pytest.fixture
def without_jax(monkeypatch, tmp_path):
    """As at the start of the program: JAX not imported, its variables not set, the user's cache empty."""
    monkeypatch.delitem(sys.modules, "jax")
    for name in list(os.environ):
        if name.startswith("JAX_"):
            monkeypatch.delenv(name)
    # What is set in a test is to be gone after it.
    for name in ("CACHE_DIR", "CACHE_MAX_SIZE"):
        monkeypatch.setenv(f"JAX_COMPILATION_{name}", "")
        monkeypatch.delenv(f"JAX_COMPILATION_{name}")
    for name in ("COMPILE_TIME_SECS", "ENTRY_SIZE_BYTES"):
        monkeypatch.setenv(f"JAX_PERSISTENT_CACHE_MIN_{name}", "")
    root = tmp_path / "condvae" / "programs"
    monkeypatch.setattr(programs, "_root", lambda: root)
    return root


def test_they_are_kept_in_the_users_cache_and_bounded(without_jax):
    folder = programs.keep_programs()
    assert folder is not None
    assert folder.parent == without_jax
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert int(os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"]) == programs.MAX_BYTES


def test_what_users_have_set_is_left_as_it_is(without_jax, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert programs.keep_programs() is None
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
    assert not without_jax.exists()


def test_another_machine_has_another_folder_and_the_oldest_go(without_jax, monkeypatch):
    made = []
    for i in range(programs.MAX_FOLDERS + 2):
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        monkeypatch.setattr(programs, "_kind_of_machine", lambda i=i: f"machine {i}")
        made.append(programs.keep_programs())
        os.utime(made[-1], (i, i))
    # Each is used now, and was so before the time of its making was changed: the first ones are the oldest.
    assert [folder.exists() for folder in made] == [False, False, *[True] * programs.MAX_FOLDERS]


def test_a_home_that_cannot_be_written_keeps_nothing(without_jax):
    without_jax.parent.parent.mkdir(exist_ok=True)
    without_jax.parent.write_text("a file where the folder would be")
    assert programs.keep_programs() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


@pytest.mark.parametrize(("error", "left"), [("zlib.error: cut short", False), ("Timeout: locked", True)])
def test_damaged_ones_go_and_locked_ones_stay_without_a_word(without_jax, error, left):
    folder = programs.keep_programs()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with programs.mended():
            text = f"Error reading persistent compilation cache entry for 'jit_f': {error}"
            warnings.warn(text, UserWarning, stacklevel=1)
    assert folder.exists() == left


def test_a_folder_of_the_users_own_is_never_emptied(without_jax, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with programs.mended():
            text = "Error reading persistent compilation cache entry for 'jit_f': zlib.error"
            warnings.warn(text, UserWarning, stacklevel=1)
    assert tmp_path.exists()


def test_other_warnings_are_sentences_without_the_path_of_a_source(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with programs.mended():
            warnings.warn("begun with JAX 0.9, resumed with JAX 1.0", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "condvae: warning: begun with JAX 0.9, resumed with JAX 1.0\n"


RUN = """
import sys
from condvae.cli import programs
programs.keep_programs()
with programs.mended():
    import jax
    print(int(jax.jit(lambda x: x + 1)(1)))
"""


def test_a_second_run_compiles_nothing_and_a_damaged_folder_is_emptied(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}

    def run():
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout == "2\n"
        assert "cache" not in done.stderr
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")}

    first = run()
    assert first
    assert run() == first
    for path in first:
        path.write_bytes(path.read_bytes()[:20])
    assert run() == {}
    assert set(run()) == set(first)
