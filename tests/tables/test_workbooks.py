"""Workbooks: what is read of them, and the sentence where that cannot be."""

import sys
import zipfile

import pytest

from condvae.tables import TableError, read_file, read_table

TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>"""
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def workbook(path, **sheets):
    """An .xlsx file of some sheets, each a list of rows of numbers and texts."""
    names = list(sheets)
    relations = "".join(
        f'<Relationship Id="r{i}" Type="{RELATION}/worksheet" Target="worksheets/s{i}.xml"/>'
        for i in range(len(names))
    )
    listed = "".join(
        f'<sheet name="{name}" sheetId="{i + 1}" r:id="r{i}"/>' for i, name in enumerate(names)
    )
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r0" Type="{RELATION}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATION}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{relations}</Relationships>'
        )
        for i, rows in enumerate(sheets.values()):
            cells = "".join(
                f'<row r="{r + 1}">'
                + "".join(_cell(chr(65 + c) + str(r + 1), cell) for c, cell in enumerate(row))
                + "</row>"
                for r, row in enumerate(rows)
            )
            archive.writestr(
                f"xl/worksheets/s{i}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>',
            )


def _cell(place, value):
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def test_the_first_sheet_that_holds_cells_is_the_table(tmp_path):
    path = tmp_path / "rows.xlsx"
    rows = [["Survey"], [], ["a", "b", "zip"], [1, "x", "00501"], [2.5, None, "10001"], [3, "n/a", "90210"]]
    workbook(path, empty=[], data=rows, more=[["c"], [1]])
    file = read_file(path)
    assert file.table.to_pydict() == {
        "a": [1.0, 2.5, 3.0],
        "b": ["x", None, None],
        "zip": ["00501", "10001", "90210"],
    }
    assert file.notes == (
        f"'{path}': sheet 'data' was read, and not 'more'; save another as CSV to use it",
        f"'{path}': left out what stands above the table ('Survey')",
    )


def test_a_workbook_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "rows.xlsx"
    workbook(path, empty=[])
    with pytest.raises(TableError, match=r"rows\.xlsx' is empty"):
        read_table(path)
    path.write_bytes(b"no workbook")
    with pytest.raises(TableError, match=r"rows\.xlsx' is not a workbook, or is damaged"):
        read_table(path)
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(
        TableError, match=r"takes the extra 'excel' to read: pip install 'condvae\[excel\]', or"
    ):
        read_table(path)
