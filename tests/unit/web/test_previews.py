"""What of a file is shown, by its name and its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.web.previews import HEAD_BYTES, LARGEST_SHOWN, kind_of, preview


@pytest.mark.parametrize(
    ("path", "size", "kind"),
    [
        ("a/plot.PNG", 10, "image"), ("logo.svg", 10, "image"), ("huge.png", LARGEST_SHOWN + 1, "none"),
        ("report.html", 10, "html"), ("x.vl.json", 10, "graph"), ("config.json", 10, "json"),
        ("big.json", 2 << 20, "text"), ("t.csv", 1 << 30, "table"), ("t.tsv", 10, "table"), ("c.patch", 10, "diff"),
        ("MLmodel", 10, "text"), ("a.b/model.bin", 10, "text"),
    ],
)  # fmt: skip
def test_kind_is_told_by_name_and_size(path: str, size: int, kind: str) -> None:
    assert kind_of(path, size) == kind


@pytest.mark.parametrize("head", [b"\x80\x81\x82", b"ab\0cd", b"\xff\xfe\x41\x00"])
def test_bytes_that_are_no_text_are_only_downloaded(head: bytes) -> None:
    shown = preview("weights.bin", len(head), head)
    assert (shown.kind, shown.text) == ("none", "")
    assert "Download" in shown.note


def test_letter_cut_in_two_at_the_end_does_not_make_a_text_unreadable() -> None:
    text = "ü" * HEAD_BYTES
    shown = preview("a.txt", 2 * HEAD_BYTES, text.encode()[: HEAD_BYTES - 1])
    assert shown.kind == "text"
    assert set(shown.text) == {"ü"}
    assert "Only the first" in shown.note


def test_json_is_set_out_and_broken_json_is_shown_as_it_is() -> None:
    assert preview("a.json", 13, b'{"a":[1,null]}').text == '{\n  "a": [\n    1,\n    null\n  ]\n}'
    assert preview("a.json", 2, b"{x").text == "{x"


def test_columns_of_numbers_are_known() -> None:
    head = b"name,score,rate,none,mixed\na,1,-2.5e-3,,1\nb,,nan,,x\n"
    shown = preview("t.csv", len(head), head)
    assert shown.numbers == [False, True, True, False, False]


def test_table_shows_its_beginning_and_says_what_is_missing() -> None:
    body = "name,score\r\n" + "".join(f'"a, {i}",{i}\r\n' for i in range(500))
    shown = preview("t.csv", len(body), body.encode())
    assert shown.columns == ["name", "score"]
    assert (len(shown.rows), shown.rows[0]) == (50, ["a, 0", "0"])
    assert "first 50 rows" in shown.note
    short = preview("t.tsv", 6, b"a\tb\n1\n")
    assert (short.columns, short.rows, short.note) == (["a", "b"], [["1", ""]], "")


def test_table_with_a_monstrous_field_is_shown_as_text() -> None:
    body = "a,b\n" + "x" * 200_000 + ",1\n"
    assert preview("t.csv", len(body), body.encode()).kind == "text"
    assert preview("t.csv", 0, b"").kind == "text"


@given(st.sampled_from(["a.csv", "a.json", "a.txt", "a.patch", "a"]), st.binary(max_size=400), st.integers(0, 300))
def test_any_bytes_have_a_preview(path: str, head: bytes, more: int) -> None:
    shown = preview(path, len(head) + more, head)
    assert all(len(row) == len(shown.columns) for row in shown.rows)
