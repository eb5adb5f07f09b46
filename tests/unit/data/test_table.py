from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.data.table import Limits, Table, parse_csv, parse_table, table_of, text_of, to_csv
from stile.kernel.errors import Invalid, MissingExtra, TooLarge


def test_columns_get_their_kind_from_their_cells() -> None:
    table = parse_csv(b"a,b,c,d,e\n1,x,00123,1234567890123456789,\n2.5e3,,7,1,\n,NA,8,2,\n")
    assert table.rows == 3
    assert table.numbers("a").tolist()[:2] == [1, 2500]
    assert math.isnan(table.numbers("a")[2])
    assert table.texts("b").tolist() == ["x", None, "NA"], "NA is a word in a column of words"
    assert table.texts("c").tolist() == ["00123", "7", "8"], "leading zeros are a name, not a number"
    assert table.texts("d")[0] == "1234567890123456789", "digits beyond exactness stay text"
    assert table.is_numeric("e")
    assert table.missing("e").all()


def test_quotes_commas_line_ends_and_marks_are_read_when_csv_is_quoted() -> None:
    table = parse_csv('\ufeffname,says\r\n"a, b","he said ""no"""\r\nc,"two\nlines"\r\n\r\n'.encode())
    assert table.texts("name").tolist() == ["a, b", "c"]
    assert table.texts("says").tolist() == ['he said "no"', "two\nlines"]


BAD = {
    "empty": (b"", "empty"),
    "not text": (b"a\n\xff\xfe", "not UTF-8"),
    "too few cells": (b"a,b\n1,2\n3\n", "Row 2 has 1 cells, but the header names 2"),
    "too many cells": (b"a,b\n1,2,3\n", "Row 1 has 3 cells"),
    "same name": (b"a,a\n1,2\n", "Two columns are named 'a'"),
    "no name": (b"a,\n1,2\n", "Column 2 has no name"),
    "infinity": (b"a\n1\ninf\n", "Row 2, column 'a'"),
    "open quote": (b'a,b\n"1,2\n', "not valid CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_error_names_the_place_when_csv_is_bad(name: str) -> None:
    content, message = BAD[name]
    with pytest.raises(Invalid, match=message):
        parse_csv(content)


def test_tables_beyond_a_limit_are_refused() -> None:
    with pytest.raises(TooLarge):
        parse_csv(b"a\n1\n2\n3\n", limits=Limits(rows=2))
    with pytest.raises(TooLarge):
        parse_csv(b"a,b,c\n1,2,3\n", limits=Limits(columns=2))
    with pytest.raises(TooLarge):
        parse_csv(b"a,b\n1,2\n", limits=Limits(content_bytes=3))
    with pytest.raises(TooLarge):
        parse_csv(b"a,b\n1,2\n3,4\n", limits=Limits(cells=3))


def test_parquet_says_what_to_install_when_polars_is_missing() -> None:
    with pytest.raises((MissingExtra, Invalid), match=r"pip install|not readable"):
        parse_table(b"PAR1 and then nonsense PAR1")


cells = st.one_of(st.none(), st.floats(-1e12, 1e12), st.integers(-5, 5))
words = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    n = draw(st.integers(1, 12))
    texts = draw(st.lists(words, min_size=n, max_size=n))
    return table_of(
        {
            "x": draw(st.lists(cells, min_size=n, max_size=n)),
            "y": draw(st.lists(cells, min_size=n, max_size=n)),
            "w": [None if t is None else f"w{t}" for t in texts],
        }
    )


@settings(max_examples=150)
@given(tables())
def test_content_is_the_same_when_written_and_read_back(table: Table) -> None:
    again = parse_csv(to_csv(table))
    words_lost = table.missing("w").all()  # a column without any value reads back as numbers
    if not words_lost:
        assert again.digest == table.digest
        assert again.row_digests() == table.row_digests()


@given(tables())
def test_digest_ignores_column_order_and_heeds_row_order(table: Table) -> None:
    turned = table.pick(["w", "y", "x"])
    assert turned.digest == table.digest
    assert turned.row_digests() == table.row_digests()
    back = table.take(np.arange(table.rows)[::-1])
    assert back.row_digests() == table.row_digests()[::-1]
    assert (back.digest == table.digest) == (back.row_digests() == table.row_digests())


def test_digest_changes_when_one_cell_or_one_name_changes() -> None:
    base = table_of({"a": [1.0, 2.0], "b": ["x", "y"]})
    assert base.digest != table_of({"a": [1.0, 2.5], "b": ["x", "y"]}).digest
    assert base.digest != table_of({"a": [1.0, 2.0], "c": ["x", "y"]}).digest
    assert base.row_digests()[0] == table_of({"a": [1.0], "b": ["x"]}).row_digests()[0]


def test_one_value_has_one_form() -> None:
    assert table_of({"a": [0.0]}).digest == table_of({"a": [-0.0]}).digest
    assert table_of({"a": [1]}).digest == table_of({"a": [1.0]}).digest == table_of({"a": [True]}).digest
    assert [text_of(v) for v in (1.0, True, 0.5, "x", None, math.nan, "")] == ["1", "1", "0.5", "x", None, None, None]


def test_columns_cannot_be_changed_in_place() -> None:
    table = table_of({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="read-only"):
        table.columns["a"][0] = 9


def test_message_lists_columns_when_one_is_asked_for_that_is_not_there() -> None:
    with pytest.raises(Invalid, match="The table has: a"):
        table_of({"a": [1]}).numbers("b")


cell_text = st.one_of(
    st.sampled_from(["", "NA", "nan", "NaN", " 1", "1 ", "0", "-0", "00", "0.5", ".5", "5.", "1e3", "1_0", "+7", "٣",
                     "x", "1234567890123456", "0x1f", "null", "-", "1e400", "-.5e-2"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(cell_text, min_size=1, max_size=6))
def test_fast_and_careful_reading_agree_for_any_cells(cells: list[str]) -> None:
    import stile.data.table as module

    def read() -> object:
        try:
            column = module._parsed("a", cells)
        except Invalid as error:
            return error.message
        return [text_of(value) for value in column.tolist()], column.dtype

    fast = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_plainly_parsed", lambda _: None)
        assert read() == fast
