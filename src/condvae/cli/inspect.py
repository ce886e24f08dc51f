"""`condvae inspect`: what a saved model is of."""

from condvae.cli import describe, inputs
from condvae.cli.options import Json, ModelPath
from condvae.cli.output import note, say, say_json

EXAMPLES = ("condvae inspect model", "condvae inspect model --json")


def inspect(model: ModelPath, as_json: Json = False) -> None:
    """Show the columns of a saved model, how it was trained, and what was measured then."""
    estimator = inputs.load(model)
    if as_json:
        say_json(describe.as_object(estimator, model))
        return
    for sentence in (*estimator.notes_, *estimator.history_.notes):
        note(sentence)
    describe.show(estimator)
    describe.show_details(estimator, model)
    say(describe.verdict(estimator))
