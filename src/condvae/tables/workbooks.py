"""Workbooks of spreadsheet programs, of which the first sheet that holds cells is the table."""

import datetime
import io
import zipfile
from collections.abc import Sequence
from typing import Any

from condvae.declared import reason
from condvae.tables.dialects import header_place
from condvae.tables.errors import TableError
from condvae.text import quote

ENDINGS = (".xlsx", ".xlsm", ".xls", ".ods")


def rows_of(data: bytes, source: str) -> tuple[list[str], list[list[str | None]], list[str]]:
    """The names of the columns, the rows as text, and what a user should know of how they were read.

    Args:
        data: the workbook.
        source: the file, for errors.

    Raises:
        TableError: for a workbook that cannot be read, is empty, or where the extra is not installed.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise TableError(
            "{source} is a workbook, which takes the extra 'excel' to read: pip install "
            "'condvae[excel]', or save it as CSV",
            source=source,
        ) from error
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except (CalamineError, OSError, ValueError) as error:
        raise TableError(
            "{source} is not a workbook, or is damaged ({reason})",
            remedy="save it again",
            source=source,
            reason=reason(error),
        ) from error
    sheets = {name: filled for name, rows in sheets.items() if (filled := _filled(rows))}
    if not sheets:
        raise TableError(
            "{source} is empty", remedy="a table needs a row of column names, then rows", source=source
        )
    name, rows = next(iter(sheets.items()))
    notes = []
    if len(sheets) > 1:
        others = ", ".join(map(quote, list(sheets)[1:4])) + (", ..." if len(sheets) > 4 else "")
        notes.append(
            f"{source}: sheet {quote(name)} was read, and not {others}; save another as CSV to use it"
        )
    place = header_place([[cell or "" for cell in row] for row in rows])
    if said := [quote(" ".join(filter(None, row))) for row in rows[:place] if any(row)]:
        notes.append(f"{source}: left out what stands above the table ({said[0]})")
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[place:])]
    names = [(rows[place][i] or "").strip() for i in used]
    return names, [[row[i] for i in used] for row in rows[place + 1 :]], notes


def unpacked_size(data: bytes) -> int:
    """The bytes of a workbook, unpacked, as it states them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return len(data)  # of a kind that is not packed, or no workbook


def _filled(rows: Sequence[Sequence[Any]]) -> list[list[str | None]]:
    """Cells as text, of one number in each row; without empty rows."""
    texts = [[_text(cell) for cell in row] for row in rows]
    texts = [row for row in texts if any(cell is not None for cell in row)]
    width = max(map(len, texts), default=0)
    return [row + [None] * (width - len(row)) for row in texts]


def _text(cell: Any) -> str | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell == cell // 1 and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
