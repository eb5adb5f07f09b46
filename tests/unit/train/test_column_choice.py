"""The columns chosen when nobody has."""

from __future__ import annotations

from stile.train import column_choice
from stile.train.logged_keys import KeyUse


def _use(key: str, runs: int = 10, *, varies: bool = True) -> KeyUse:
    return KeyUse(key=key, runs=runs, varies=varies)


def test_metrics_of_the_policy_come_first_in_its_order() -> None:
    use = [_use("accuracy"), _use("auc", 2), _use("loss"), _use("recall", 1, varies=False)]
    assert column_choice.metrics(use, ["recall", "auc", "p99_ms"]) == ["recall", "auc", "loss"]


def test_a_split_before_the_name_answers_when_the_name_itself_was_not_logged() -> None:
    use = [_use("test/recall", 5), _use("val_recall", 9), _use("balanced_recall_gap"), _use("auc_train")]
    assert column_choice.metrics(use, ["recall"], most=1) == ["val_recall"]
    assert column_choice.metrics([*use, _use("recall", 1)], ["recall"], most=1) == ["recall"]
    assert column_choice.metrics([_use("roc_auc")], ["auc", "roc_auc"]) == ["roc_auc"]


def test_without_a_policy_those_most_runs_have_and_differ_in() -> None:
    use = [_use("constant", varies=False), _use("rare_auc", 2), _use("seconds"), _use("val_loss"), _use("f1")]
    assert column_choice.metrics(use, []) == ["f1", "val_loss", "seconds"]
    assert column_choice.metrics(use, [], most=5) == ["f1", "val_loss", "seconds", "constant", "rare_auc"]


def test_unseen_data_comes_before_training() -> None:
    use = [_use("train/loss"), _use("valid/auc"), _use("valid/recall")]
    assert column_choice.metrics(use, []) == ["valid/auc", "valid/recall", "train/loss"]


def test_what_the_machine_logs_is_not_chosen() -> None:
    assert column_choice.metrics([_use("system/cpu_utilization_percentage"), _use("auc")], []) == ["auc"]
    assert column_choice.metrics([], ["auc"]) == []


def test_parameters_that_differ() -> None:
    use = [
        _use("same", varies=False),
        _use("seed"),
        _use("depth"),
        _use("lr"),
        _use("rare", 3),
        _use("random_state"),
    ]
    assert column_choice.params(use, most=2) == ["lr", "depth"]
    assert column_choice.params(use, most=9) == ["lr", "depth", "rare", "seed", "random_state"]
    assert column_choice.params([]) == []
    assert column_choice.params([_use("kind", 1, varies=False), _use("lr", 1, varies=False)]) == ["lr", "kind"]


def test_parameters_with_more_values_come_first_and_names_late() -> None:
    def tried(key: str, distinct: int, least: str = "0.1") -> KeyUse:
        return KeyUse(key=key, runs=9, varies=True, distinct=distinct, least=least)

    use = [tried("dir", 9, "/out/1"), tried("hidden", 2, "16"), tried("learning_rate", 5), tried("alpha", 9, "1e-05")]
    assert column_choice.params(use, most=4) == ["alpha", "learning_rate", "hidden", "dir"]
