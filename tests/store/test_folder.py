"""The game day on disk."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from chaosfw.errors import UsageError
from chaosfw.model.record import GameDay, RunLine
from chaosfw.store.folder import GameDayFolder, collect, slug_of, write_line

WALL = 1_795_464_900 * 1_000_000_000


def line(title: str) -> RunLine:
    return RunLine(run=title, folder="runs/x", title=title, test="t", verdict="held", sentence="Held.")


def claim(path: str) -> str:
    """Runs in another process, as an xdist worker does."""
    return GameDayFolder.open(Path(path)).new_run("The shop survives").path.name


def test_a_game_day_is_named_by_utc_time_and_four_characters(tmp_path: Path) -> None:
    day = GameDayFolder.create(tmp_path, wall_ns=WALL)

    stamp, _, letters = day.name.partition("-")

    assert stamp == "20261123T201500Z"
    assert len(letters) == 4
    assert (day.path / "runs").is_dir()


def test_workers_never_share_a_number(tmp_path: Path) -> None:
    day = GameDayFolder.create(tmp_path, wall_ns=WALL)

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        names = list(workers.map(claim, [str(day.path)] * 12))

    assert sorted(name.partition("-")[0] for name in names) == [f"{number:02d}" for number in range(1, 13)]


def test_lines_of_all_runs_are_collected_in_order(tmp_path: Path) -> None:
    day = GameDayFolder.create(tmp_path, wall_ns=WALL)
    first, second, unfinished = (day.new_run(title) for title in ("b", "a", "c"))

    write_line(second.path, line("a"))
    write_line(first.path, line("b"))

    assert [one.title for one in collect(day.path)] == ["b", "a"]
    assert unfinished in day.runs()


def test_gameday_json_is_written_with_the_lines_and_read_back(tmp_path: Path) -> None:
    day = GameDayFolder.create(tmp_path, wall_ns=WALL)
    day.new_run("one").write_line(line("one"))

    day.write(GameDay(name=day.name, started=WALL, seed=7))

    assert day.read() == GameDay(name=day.name, started=WALL, seed=7, runs=(line("one"),))
    assert not [path for path in day.path.iterdir() if path.name.startswith(".gameday")]


def test_latest_points_to_the_newest_and_moves(tmp_path: Path) -> None:
    older, newer = (GameDayFolder.create(tmp_path, wall_ns=WALL + number * 10**9) for number in range(2))

    older.make_latest()
    newer.make_latest()

    assert GameDayFolder.open(tmp_path / "latest") == newer
    assert not (tmp_path / "latest").readlink().is_absolute()


def test_a_folder_that_is_no_game_day_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a game-day folder"):
        GameDayFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("title", "slug"),
    [("The shop survives losing a pod", "the-shop-survives-losing-a-pod"), ("../../etc", "etc"), ("…", "run"), ("x" * 99, "x" * 60)],
)
def test_titles_become_harmless_file_names(title: str, slug: str) -> None:
    assert slug_of(title) == slug
