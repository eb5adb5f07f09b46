"""The list of experiments: counts, last activity, search by name, pages in both directions."""

from __future__ import annotations

import pytest

from stile.kernel.errors import Invalid
from stile.store.sqlite import SqliteDatabase
from stile.train import experiment_list, experiments, runs

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
LATER = 10**14


@pytest.fixture
def filled(db: SqliteDatabase) -> SqliteDatabase:
    def work(tx) -> None:
        for number in range(12):
            id = experiments.create(tx, name=f"Sweep_{number:02}", by="ann").experiment_id
            for index in range(number % 4):
                run = runs.create(tx, experiment_id=id, by="ann", start_time=LATER + number * 10 + index)
                if index == 2:
                    runs.delete(tx, run.info.run_id)
        experiments.delete(tx, "1")

    db.write(work)
    return db


def _page(db: SqliteDatabase, **given: object) -> experiment_list.ListPage:
    return db.read(lambda tx: experiment_list.page(tx, **given))  # type: ignore[arg-type]


def test_last_active_comes_first_with_its_runs_counted(filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _page(filled).experiments
    assert [each.experiment.name for each in found[:3]] == ["Sweep_11", "Sweep_10", "Sweep_09"]
    assert (found[0].runs, found[0].more, found[0].last_run_at) == (2, False, LATER + 111), "deleted runs do not count"
    bare = [each for each in found if not each.runs]
    assert all(each.last_run_at is None for each in bare)
    assert found[-len(bare) :] == bare, "those without runs come after those with newer runs"
    assert len(found) == 12, "a deleted experiment is not listed"
    monkeypatch.setattr(experiment_list, "MOST_COUNTED", 1)
    assert (_page(filled).experiments[0].runs, _page(filled).experiments[0].more) == (1, True)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_pages_lead_on_and_back(filled: SqliteDatabase, size: int) -> None:
    whole = [each.experiment.name for each in _page(filled).experiments]
    pages, after = [], ""
    while not pages or after:
        page = _page(filled, limit=size, after=after)
        pages.append([each.experiment.name for each in page.experiments])
        after, before = page.following, page.preceding
    assert [name for page in pages for name in page] == whole
    back = [pages[-1]]
    while before:
        page = _page(filled, limit=size, before=before)
        back.insert(0, [each.experiment.name for each in page.experiments])
        assert page.following
        before = page.preceding
    assert back == pages


@pytest.mark.parametrize(("text", "expected"), [("sweep", 11), ("_0", 9), ("%", 0), ("!", 0), ("1", 3), ("ault", 1)])
def test_names_are_searched_for_the_very_text(filled: SqliteDatabase, text: str, expected: int) -> None:
    assert len(_page(filled, text=text).experiments) == expected


def test_token_of_another_search_is_refused(filled: SqliteDatabase) -> None:
    token = _page(filled, limit=2).following
    with pytest.raises(Invalid):
        _page(filled, text="sweep", after=token)
