"""Two tables with several targets of mixed kinds that depend on one another given c.

penguins: four measurements and the sex, given species and island. A penguin's size shows in all four, and
sex with it.

energy: the heating load, with the area of the glazing and its distribution as categories, given the
building's shape and its orientation. A building with more glass needs more heat, and one without has a
distribution of its own, so the three depend on one another given the shape.

Rows with a missing cell in these columns are left out, so that every log p is of a whole row.
"""

from importlib.resources import files
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from uci_peers import data

TARGETS = {
    "penguins": ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"],
    "energy": ["heating_load", "glazing_area", "glazing_distribution"],
}
GIVEN = {
    "penguins": ["species", "island"],
    "energy": ["compactness", "surface", "wall", "roof", "height", "orientation"],
}


def load(name: str, folder: Path) -> tuple[pa.Table, pa.Table]:
    """The conditions and the targets."""
    table = {"penguins": penguins, "energy": energy}[name](folder)
    table = table.select(GIVEN[name] + TARGETS[name]).drop_null()
    return table.select(GIVEN[name]), table.select(TARGETS[name])


def penguins(folder: Path) -> pa.Table:
    with files("condvae").joinpath("data/penguins.csv").open("rb") as file:
        return csv.read_csv(file, convert_options=csv.ConvertOptions(strings_can_be_null=True))


def energy(folder: Path) -> pa.Table:
    X, y = data.load("energy", folder)
    shape, orientation, area, distribution = X[:, :5], X[:, 5], X[:, 6], X[:, 7]
    columns = dict(zip(GIVEN["energy"], shape.T, strict=False))
    for column, values in (
        ("orientation", orientation),
        ("glazing_area", area),
        ("glazing_distribution", distribution),
    ):
        columns[column] = [f"{value:g}" for value in values]  # text, hence a category
    return pa.table({**columns, "heating_load": y})
