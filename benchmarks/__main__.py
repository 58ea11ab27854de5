"""
``python -m benchmarks [NAME …]``: one table of everything that has a goal, then the tables of the prober, the fold and the
data plane. With names only those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import dataplane, fold, halt, import_tax, overhead, prober, sandbox, simulated
from benchmarks.table import Row, show

ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "simulated": simulated.rows,
    "import_tax": import_tax.rows,
    "sandbox": sandbox.rows,
    "overhead": overhead.rows,
    "halt": halt.rows,
}
TABLES: dict[str, Callable[[], None]] = {"fold": fold.main, "prober": prober.main, "dataplane": dataplane.main}


def main() -> None:
    wanted = sys.argv[1:] or [*ROWS, *TABLES]
    if unknown := [name for name in wanted if name not in ROWS and name not in TABLES]:
        sys.exit(f"unknown benchmark {unknown[0]!r}; known: {', '.join([*ROWS, *TABLES])}")
    sys.argv[1:] = []  # the single ones read their own sizes from it
    if in_table := [name for name in wanted if name in ROWS]:
        show(row for name in in_table for row in ROWS[name]())
    for name in wanted:
        if name in TABLES:
            print(f"\n{name}\n")
            TABLES[name]()


if __name__ == "__main__":
    main()
