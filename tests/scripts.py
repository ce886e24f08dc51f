"""Examples, as modules; and the numbers in what they print."""

import importlib.util
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples"


def script(name):
    """The example of that name, imported."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(text):
    """Of each line that ends in numbers, set apart by two spaces or more from its name: the numbers."""
    rows = re.findall(r"^(\S.*?)\s{2,}(-?\d+\.\d+(?:\s+-?\d+\.\d+)*)\s*$", text, re.MULTILINE)
    return {name: [float(number) for number in numbers.split()] for name, numbers in rows}
