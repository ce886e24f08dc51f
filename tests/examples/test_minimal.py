"""The page prints a bound, a score and the truth in their right order, and needs only JAX and optax."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it trains for half a minute

SCRIPT = Path(__file__).parents[2] / "examples" / "minimal.py"


@pytest.fixture(scope="module")
def terms():
    """Name of each printed row -> (mean, standard error), as a reader sees them."""
    run = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^[ +=] (E .+?) +(-?\d+\.\d+) +(\d+\.\d+)$", run.stdout, re.MULTILINE)
    return {name: (float(mean), float(stderr)) for name, mean, stderr in rows}


def test_the_bound_is_below_the_score_and_the_score_below_the_truth(terms):
    elbo, _ = terms["E ELBO(x, θ, φ | c)"]
    score, _ = terms["E log p_θ(x | c)"]
    truth, stderr = terms["E log p(x | c)"]
    assert elbo < score < truth + stderr


def test_the_gaps_are_divergences_and_small(terms):
    """Positive beyond their noise; the best Gaussian, with no z, would be short by 0.84."""
    for name in ("E KL(q_φ(z | x, c) ‖ p_θ(z | x, c))", "E KL(p(x | c) ‖ p_θ(x | c))"):
        gap, stderr = terms[name]
        assert 2 * stderr < gap < 0.2


def test_the_terms_add_up(terms):
    elbo, inference, score, model, truth = (mean for mean, _ in terms.values())
    assert elbo + inference == pytest.approx(score, abs=2e-3)
    assert score + model == pytest.approx(truth, abs=2e-3)


def test_imports_only_jax_optax_and_the_standard_library():
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"jax", "optax"}
