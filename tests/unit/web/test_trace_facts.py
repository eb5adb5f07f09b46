"""What a trace's metadata says to people."""

from __future__ import annotations

from stile.web.pages.trace_facts import TraceFact, facts

HERE = "/experiments/1/traces"


def test_best_known_comes_first_and_what_stands_elsewhere_is_left_out() -> None:
    metadata = {
        "zone": "north", "mlflow.trace.user": "u1", "mlflow.traceInputs": "{}", "mlflow.source.git.repoURL": "",
        "mlflow.trace.sizeStats": "{}", "mlflow.trace.session": "s 3", "mlflow.own": "x",
    }  # fmt: skip
    found = facts(metadata, HERE)
    assert [(each.name, each.text) for each in found] == [
        ("Session", "s 3"), ("User", "u1"), ("own", "x"), ("zone", "north"),
    ]  # fmt: skip
    assert found[0].url == f"{HERE}?filter=metadata.%60mlflow.trace.session%60%20%3D%20%27s%203%27"
    assert found[2].url == ""


def test_tokens_are_counted_in_words() -> None:
    def said(value: str) -> str:
        return facts({"mlflow.trace.tokenUsage": value}, HERE)[0].text

    assert said('{"input_tokens": 120, "output_tokens": 30, "total_tokens": 150}') == "120 in, 30 out, 150 in all"
    assert said("{broken") == "{broken"
    assert said("[1]") == "[1]"
    assert said('{"input_tokens": "many"}') == '{"input_tokens": "many"}'


def test_value_that_a_filter_cannot_hold_has_no_search() -> None:
    assert facts({"mlflow.trace.user": "o'neill"}, HERE) == [TraceFact(name="User", text="o'neill")]
    assert len(facts({"k": "x" * 900}, HERE)[0].text) == 300
