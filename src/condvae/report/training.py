"""How a model was trained, so that it can be trained again."""

import shlex
from typing import Any

from condvae.report.numbers import Table
from condvae.text import count

OPTIONS = {
    "num_members": "--members",
    "num_steps": "--steps",
    "joint": "--joint",
    "latent_size": "--latent-size",
    "test_fraction": "--test-fraction",
    "calibration_fraction": "--calibration-fraction",
    "unknown": "--unknown",
    "objective": "--objective",
    "num_samples": "--num-samples",
    "kl_warmup": "--kl-warmup",
    "kl_cycles": "--kl-cycles",
    "width": "--width",
    "depth": "--depth",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
    "weight_decay": "--weight-decay",
}
"""What `condvae fit` takes; the rest is for Python."""


def words(estimator: Any) -> str:
    """Rows, steps, seconds, versions."""
    last, made = estimator.history_.records[-1] if estimator.history_.records else {}, estimator.provenance_
    said = f"From {count(estimator.num_rows_, 'row')}"
    if last:
        said += f", in {count(int(last['step']), 'step')} and {last['seconds']:.0f} seconds"
    said += (
        f"; {estimator.num_parameters_:,} parameters. Made {made['created']} by condvae {made['condvae']}, "
    )
    said += f"JAX {made['jax']}, Python {made['python']}."
    notes = [*estimator.notes_, *estimator.history_.notes]
    return " ".join([said, *(f"{note[:1].upper()}{note[1:]}." for note in notes)])


def settings(estimator: Any) -> Table:
    """What it was trained with, by name: what was sized from the data, too."""
    chosen = dict(estimator.settings_._asdict())
    parameters = {name: value for name, value in estimator.get_params().items() if name != "progress"}
    parameters |= chosen | {"random_state": estimator.seed_}
    rows = [[name, str(value)] for name, value in sorted(parameters.items())]
    return Table(["setting", "value"], rows, folded="Every setting")


def code(estimator: Any, name: str) -> list[str]:
    """The same in Python and, where its options suffice, on the command line."""
    plain = type(estimator)()
    changed = {
        key: value
        for key, value in estimator.get_params().items()
        if key != "progress" and value != getattr(plain, key)
    }
    changed["random_state"] = estimator.seed_
    given, target = (
        [str(column.name) for column in columns]
        for columns in (estimator.schema_.given, estimator.schema_.target)
    )
    arguments = ", ".join(f"{key}={value!r}" for key, value in changed.items())
    shown = f"table[{given!r}]" if given else "None"
    made = [f"model = ConditionalVAE({arguments})\nmodel.fit({shown}, table[{target!r}])"]
    if set(changed) <= {*OPTIONS, "random_state", "likelihoods"}:
        line = ["condvae", "fit", "TABLE", *(["--given", ",".join(given)] if given else [])]
        line += ["--target", ",".join(target), "--seed", str(estimator.seed_)]
        for key in OPTIONS:
            if key in changed or key == "test_fraction":
                line += [OPTIONS[key], str(getattr(estimator, key))]
        for column, likelihood in changed.get("likelihoods", {}).items():
            line += ["--likelihood", f"{column}={likelihood}"]
        made.append(shlex.join([*line, "--out", name]))
    return made
