"""Many rows into a table at once, past what SQLAlchemy does for each: the driver's executemany, or COPY.

They are part of the connection's transaction like every other statement. A row costs a third of what it does by
`conn.execute(insert, rows)`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

Convert = Callable[[Any], Any] | None


def load(
    conn: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]], **same: Any
) -> None:
    """Insert `rows`, whose values are in the order of `columns`; a column of `same` has that value in all of them."""
    names, ready = _ready(conn, table, columns, rows, same)
    if not ready:
        return
    if conn.dialect.name == "postgresql":
        _copy(conn, f"COPY {table.name} ({_listed(names)}) FROM STDIN", ready)
    else:
        places = ", ".join("?" * len(names))
        conn.exec_driver_sql(f"INSERT INTO {table.name} ({_listed(names)}) VALUES ({places})", ready)


def load_new(
    conn: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]], **same: Any
) -> None:
    """`load`, where rows whose key is there already are left out."""
    names, ready = _ready(conn, table, columns, rows, same)
    if not ready:
        return
    if conn.dialect.name == "postgresql":
        # COPY knows no conflicts. One array a column, and one statement however many rows.
        arrays = ", ".join(f"%s::{table.c[name].type.compile(conn.dialect)}[]" for name in names)
        values, given = f"SELECT * FROM unnest({arrays})", tuple(map(list, zip(*ready, strict=True)))
        conn.exec_driver_sql(f"INSERT INTO {table.name} ({_listed(names)}) {values} ON CONFLICT DO NOTHING", given)
    else:
        places = ", ".join("?" * len(names))
        insert = f"INSERT OR IGNORE INTO {table.name} ({_listed(names)}) VALUES ({places})"
        conn.exec_driver_sql(insert, ready)


def _ready(
    conn: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    same: Mapping[str, Any],
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Names of columns, and rows as the driver takes them."""
    constants = tuple(_converted(conn, table, name, value) for name, value in same.items())
    converts = [_convert(conn.dialect, table.c[name].type) for name in columns]
    return (*columns, *same), [(*_row(converts, row), *constants) for row in rows]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _row(converts: Sequence[Convert], row: Sequence[Any]) -> Sequence[Any]:
    return [value if convert is None else convert(value) for convert, value in zip(converts, row, strict=True)]


def _converted(conn: sa.Connection, table: sa.Table, name: str, value: Any) -> Any:
    convert = _convert(conn.dialect, table.c[name].type)
    return value if convert is None else convert(value)


@functools.cache
def _convert(dialect: sa.Dialect, kind: sa.types.TypeEngine[Any]) -> Convert:
    """What SQLAlchemy does to a value of this type on its way to the driver; None: nothing."""
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _copy(conn: sa.Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    driver: Any = conn.dialect.dbapi
    cursor: Any = conn.connection.cursor()
    try:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        # As SQLAlchemy would have raised it: whoever tries again knows no driver.
        raise DBAPIError.instance(statement, None, error, driver.Error, hide_parameters=True) from error
    finally:
        cursor.close()
