"""The registry in a real store."""

from __future__ import annotations

import pytest

from stile.govern import aliases, registry, registry_search
from stile.kernel.canonical import digest_of
from stile.kernel.errors import Exists, Forbidden, Guarded, Invalid, Missing
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.store import outbox
from stile.store.sqlite import SqliteDatabase
from stile.train import artifacts, logged_models, runs

A, B, C = (f"sha256:{c * 64}" for c in "abc")


def _bind(db: SqliteDatabase, path: str, digest: str) -> None:
    db.write(lambda tx: artifacts.bind(tx, path=path, digest=digest, size=3, by="ann"))


@pytest.fixture
def logged(db: SqliteDatabase) -> str:
    """The id of a logged model with two files, made in a run."""
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann"))
    model = db.write(lambda tx: logged_models.create(tx, experiment_id="0", by="ann", source_run_id=run.info.run_id))
    for name, digest in (("MLmodel", A), ("data/model.skops", B)):
        _bind(db, f"0/models/{model.model_id}/artifacts/{name}", digest)
    return model.model_id


@pytest.fixture
def model(db: SqliteDatabase, logged: str) -> str:
    """A registered model with two versions of the same files."""
    db.write(lambda tx: registry.create_model(tx, name="m", by="ann"))
    for _ in range(2):
        db.write(lambda tx: registry.create_version(tx, name="m", source=f"models:/{logged}", by="bob"))
    return "m"


def _use_case(db: SqliteDatabase, name: str) -> None:
    charter = Charter(title="T", problem="p", decision="d")
    db.write(lambda tx: use_cases.create(tx, name=name, charter=charter, by="ann"))


def _decide(db: SqliteDatabase, name: str, version: int) -> None:
    columns = (
        "id, scope, kind, subject_digest, policy_digest, evidence_digest, plan, reason, by_name, body, prev_hash, "
        "hash, at, position, use_case, subject_version"
    )
    row = [*[""] * 9, b"", "", "", 0, 0, name, version]
    db.write(lambda tx: tx.run(f"INSERT INTO decisions ({columns}) VALUES ({', '.join('?' * len(row))})", row))


def test_version_is_pinned_by_the_digest_of_its_files(db: SqliteDatabase, model: str, logged: str) -> None:
    version = db.read(lambda tx: registry.version(tx, model, 1))
    assert version.digest == digest_of({"MLmodel": A, "data/model.skops": B})
    assert [(f.path, f.digest) for f in version.files] == [("MLmodel", A), ("data/model.skops", B)]
    assert version.created_by == "bob"
    assert version.model_id == logged
    assert version.run_id


def test_version_stays_as_it_was_when_its_source_changes(db: SqliteDatabase, model: str, logged: str) -> None:
    _bind(db, f"0/models/{logged}/artifacts/MLmodel", C)
    version = db.read(lambda tx: registry.version(tx, model, 1))
    assert [f.digest for f in version.files] == [A, B]
    folder = registry.download_uri(version).removeprefix("mlflow-artifacts:/")
    assert [a.digest for a in db.read(lambda tx: artifacts.listing(tx, folder))] == [A, B]
    for path in (f"{folder}/MLmodel", "registry/9/9/x"):
        with pytest.raises(Forbidden):
            _bind(db, path, C)
        with pytest.raises(Forbidden):
            db.write(lambda tx, path=path: artifacts.remove(tx, path))


def test_version_numbers_are_never_used_again(db: SqliteDatabase, model: str, logged: str) -> None:
    db.write(lambda tx: registry.delete_version(tx, model, 2, by="ann"))
    made = db.write(lambda tx: registry.create_version(tx, name=model, source=f"models:/{logged}", by="ann"))
    assert made.version == 3
    with pytest.raises(Missing):
        db.read(lambda tx: registry.version(tx, model, 2))


def test_alias_moves_are_remembered_and_announced(db: SqliteDatabase, model: str) -> None:
    db.write(lambda tx: registry.set_alias(tx, model, "best", 1, by="ann"))
    db.write(lambda tx: registry.set_alias(tx, model, "best", 2, by="bob"))
    db.write(lambda tx: registry.set_alias(tx, model, "best", 2, by="bob"))
    assert db.read(lambda tx: registry.aliases(tx, model)) == {"best": 2}
    assert db.read(lambda tx: registry.version(tx, model, 2)).aliases == ["best"]
    db.write(lambda tx: registry.delete_version(tx, model, 2, by="eve"))
    assert db.read(lambda tx: registry.aliases(tx, model)) == {}
    history = db.read(lambda tx: registry.alias_history(tx, model))
    assert [(h.previous, h.version, h.by) for h in history] == [(2, 0, "eve"), (1, 2, "bob"), (0, 1, "ann")]
    names = [one.name for one in db.read(lambda tx: outbox.after(tx, 0))]
    assert names.count("AliasMoved") == 3
    assert names.count("VersionRegistered") == 2


@pytest.mark.parametrize("alias", ["latest", "v3", "V12", "", "a b", "a/b", "x" * 256])
def test_alias_is_refused_when_it_could_be_mistaken(db: SqliteDatabase, model: str, alias: str) -> None:
    with pytest.raises(Invalid):
        db.write(lambda tx: registry.set_alias(tx, model, alias, 1, by="ann"))


def test_guarded_alias_is_moved_by_a_decision_only(db: SqliteDatabase, model: str) -> None:
    db.write(lambda tx: registry.set_alias(tx, model, "champion", 1, by="ann"))
    db.write(lambda tx: registry.drop_alias(tx, model, "champion", by="ann"))
    db.write(lambda tx: registry.create_model(tx, name="early-detection", by="ann"))
    db.write(lambda tx: registry.create_version(tx, name="early-detection", source="models:/m/1", by="ann"))
    _use_case(db, "early-detection")
    for alias in aliases.GUARDED:
        with pytest.raises(Guarded, match="http://here"):
            db.write(
                lambda tx, alias=alias: registry.set_alias(tx, "early-detection", alias, 1, by="ann", url="http://here")
            )
    db.write(lambda tx: aliases.set_alias(tx, "early-detection", "champion", 1, "ann", "dec_1"))
    assert db.read(lambda tx: registry.alias_history(tx, "early-detection"))[0].decision == "dec_1"
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.drop_alias(tx, "early-detection", "champion", by="ann"))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.delete_version(tx, "early-detection", 1, by="ann"))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.rename_model(tx, "early-detection", "other"))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.set_stage(tx, "early-detection", 1, "Production"))


def test_aliases_nobody_decided_on_go_when_a_model_becomes_governed(db: SqliteDatabase, logged: str) -> None:
    db.write(lambda tx: registry.create_model(tx, name="early", by="ann"))
    db.write(lambda tx: registry.create_version(tx, name="early", source=f"models:/{logged}", by="bob"))
    for alias in ("champion", "shadow", "mine"):
        db.write(lambda tx, alias=alias: registry.set_alias(tx, "early", alias, 1, by="bob"))
    _use_case(db, "early")
    db.write(lambda tx: aliases.set_alias(tx, "early", "challenger", 1, "ann", "dec_1"))
    assert db.write(lambda tx: registry.begin_to_govern(tx, "early", by="ann")) == ["champion", "shadow"]
    db.write(lambda tx: aliases.drop_alias(tx, "early", "challenger", "ann", "dec_2"))
    assert db.read(lambda tx: registry.aliases(tx, "early")) == {"mine": 1}
    assert [move.alias for move in db.read(lambda tx: registry.alias_history(tx, "early"))][:2] == [
        "challenger",
        "shadow",
    ]


def test_no_model_takes_the_name_of_a_use_case_by_renaming(db: SqliteDatabase, model: str) -> None:
    _use_case(db, "early-detection")
    db.write(lambda tx: registry.set_alias(tx, model, "champion", 1, by="ann"))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.rename_model(tx, model, "early-detection"))


def test_decided_version_and_its_files_stay(db: SqliteDatabase, model: str, logged: str) -> None:
    path = f"0/models/{logged}/artifacts/MLmodel"
    db.read(lambda tx: registry.refuse_change(tx, path))
    _decide(db, model, 1)
    for touched in (path, f"0/models/{logged}", "0"):
        with pytest.raises(Guarded, match="decision"):
            db.read(lambda tx, touched=touched: registry.refuse_change(tx, touched))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.delete_version(tx, model, 1, by="ann"))
    with pytest.raises(Guarded):
        db.write(lambda tx: registry.delete_model(tx, model))
    db.write(lambda tx: registry.delete_version(tx, model, 2, by="ann"))


def test_version_a_decision_gave_an_alias_to_stays_when_the_alias_has_moved_on(
    db: SqliteDatabase, model: str, logged: str
) -> None:
    """A challenger is named by a decision about another version."""
    db.write(lambda tx: registry.create_model(tx, name="early", by="ann"))
    for _ in range(3):
        db.write(lambda tx: registry.create_version(tx, name="early", source=f"models:/{logged}", by="ann"))
    _use_case(db, "early")
    for number in (1, 2):
        db.write(lambda tx, number=number: aliases.set_alias(tx, "early", "challenger", number, "ann", "dec_1"))
    for number in (1, 2):
        with pytest.raises(Guarded):
            db.write(lambda tx, number=number: registry.delete_version(tx, "early", number, by="ann"))
    with pytest.raises(Guarded, match="decision"):
        db.read(lambda tx: registry.refuse_change(tx, f"0/models/{logged}/artifacts/MLmodel"))
    db.write(lambda tx: registry.delete_version(tx, "early", 3, by="ann"))


def test_model_of_a_use_case_stays_so_that_no_number_comes_twice(db: SqliteDatabase, model: str) -> None:
    """Evidence, requests and predictions name versions of a use case by number."""
    db.write(lambda tx: registry.create_model(tx, name="early", by="ann"))
    _use_case(db, "early")
    assert db.write(lambda tx: registry.create_version(tx, name="early", source=f"models:/{model}/1", by="ann"))
    with pytest.raises(Guarded, match="use case"):
        db.write(lambda tx: registry.delete_model(tx, "early"))
    db.write(lambda tx: registry.delete_version(tx, "early", 1, by="ann"))
    again = db.write(lambda tx: registry.create_version(tx, name="early", source=f"models:/{model}/1", by="ann"))
    assert again.version == 2


@pytest.mark.parametrize(
    "source", ["/etc/passwd", "file:///etc", "C:\\models", "models:/x@best", "mlflow-artifacts:/../x", "relative", ""]
)
def test_source_is_refused_when_it_is_no_known_address(db: SqliteDatabase, model: str, source: str) -> None:
    with pytest.raises(Invalid):
        db.write(lambda tx: registry.create_version(tx, name=model, source=source, by="ann"))
    assert len(db.read(lambda tx: registry.versions(tx, model))) == 2


def test_remote_source_is_kept_without_a_digest(db: SqliteDatabase, model: str) -> None:
    made = db.write(lambda tx: registry.create_version(tx, name=model, source="s3://bucket/m", by="ann"))
    assert (made.digest, made.files, registry.download_uri(made)) == ("", [], "s3://bucket/m")


def test_run_source_is_resolved_below_the_run(db: SqliteDatabase, model: str) -> None:
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info.run_id
    _bind(db, f"0/{run}/artifacts/model/MLmodel", C)
    made = db.write(lambda tx: registry.create_version(tx, name=model, source=f"runs:/{run}/model", by="ann"))
    assert made.digest == digest_of({"MLmodel": C})
    assert made.run_id == run
    with pytest.raises(Missing):
        db.write(lambda tx: registry.create_version(tx, name=model, source="runs:/nope/model", by="ann"))


def test_rename_keeps_versions_and_aliases(db: SqliteDatabase, model: str) -> None:
    db.write(lambda tx: registry.set_alias(tx, model, "best", 1, by="ann"))
    db.write(lambda tx: registry.create_model(tx, name="taken", by="ann"))
    with pytest.raises(Exists):
        db.write(lambda tx: registry.rename_model(tx, model, "taken"))
    db.write(lambda tx: registry.rename_model(tx, model, "new"))
    assert db.read(lambda tx: registry.by_alias(tx, "new", "best")).version == 1
    assert len(db.read(lambda tx: registry.versions(tx, "new"))) == 2
    with pytest.raises(Missing):
        db.read(lambda tx: registry.model(tx, model))


def test_deleted_model_leaves_nothing(db: SqliteDatabase, model: str) -> None:
    db.write(lambda tx: registry.delete_model(tx, model))
    assert db.read(lambda tx: registry.versions(tx, model)) == []
    assert db.read(lambda tx: artifacts.listing(tx, "registry")) == []


def test_search_finds_by_name_tag_and_number_over_pages(db: SqliteDatabase, model: str, logged: str) -> None:
    db.write(lambda tx: registry.set_version_tag(tx, model, 2, "site", "VA"))
    found = db.read(lambda tx: registry_search.search_versions(tx, filter="tags.site = 'VA'"))
    assert [v.version for v in found.versions] == [2]
    found = db.read(lambda tx: registry_search.search_versions(tx, filter="name = 'm' AND version_number < 2"))
    assert [v.version for v in found.versions] == [1]
    for name in ("a", "b", "c"):
        db.write(lambda tx, name=name: registry.create_model(tx, name=name, by="ann", tags={"kind": "x"}))
    names = []
    token = ""
    while True:
        page = db.read(lambda tx, token=token: registry_search.search_models(tx, max_results=2, page_token=token))
        names.extend(each.name for each in page.models)
        token = page.next_page_token
        if not token:
            break
    assert names == ["a", "b", "c", "m"]
    found_models = db.read(
        lambda tx: registry_search.search_models(tx, filter="tags.kind = 'x'", order_by=["name DESC"])
    )
    assert [each.name for each in found_models.models] == ["c", "b", "a"]


def test_search_by_a_tag_is_the_same_however_many_have_it(
    db: SqliteDatabase, model: str, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        db.write(lambda tx: registry.create_version(tx, name=model, source=f"models:/{logged}", by="ann"))
    for number in range(5):
        db.write(lambda tx, number=number: registry.set_version_tag(tx, "m", number + 1, "kind", "tree" * (number % 2)))
    orders = ([], ["version_number ASC"], ["creation_timestamp DESC", "version_number"], ["last_updated_timestamp"])
    for text, wanted in (
        ("tags.kind = 'tree'", [2, 4]),
        ("tags.kind LIKE 'tr%' AND version_number > 2", [4]),
        ("tags.kind != 'tree'", [1, 3, 5]),
        ("tags.kind = 'linear'", []),
    ):
        for few in (0, 2000):
            monkeypatch.setattr(registry_search, "_FEW", few)
            for order in orders:
                found = db.read(
                    lambda tx, text=text, order=order: registry_search.search_versions(tx, filter=text, order_by=order)
                )
                assert sorted(each.version for each in found.versions) == wanted
                if order[:1] == ["version_number ASC"]:
                    assert [each.version for each in found.versions] == wanted


def test_files_are_registered_with_the_run_they_lie_with(db: SqliteDatabase, model: str, logged: str) -> None:
    def create(source: str, run_id: str = "") -> str:
        return db.write(
            lambda tx: registry.create_version(tx, name=model, source=source, by="ann", run_id=run_id).run_id
        )

    one, other = (db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info for _ in range(2))
    maker = db.read(lambda tx: logged_models.get(tx, logged)).source_run_id
    assert create(f"{one.artifact_uri}/model") == one.run_id
    assert create(f"{one.artifact_uri}/model", one.run_id) == one.run_id
    assert create(f"mlflow-artifacts:/0/models/{logged}/artifacts", maker) == maker
    for source in (
        f"{one.artifact_uri}/model",
        f"{one.artifact_uri}/models/m-1/artifacts",  # a folder that only looks like a logged model's
        f"mlflow-artifacts:/0/models/{logged}/artifacts",
        "mlflow-artifacts:/somewhere/else",
    ):
        with pytest.raises(Invalid, match="not in the folder of run"):
            create(source, other.run_id)
