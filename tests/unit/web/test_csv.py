"""CSV files: what a spreadsheet and a program read back is what was written."""

from __future__ import annotations

import asyncio
import csv as reader
import io
import math
from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.responses import StreamingResponse

from stile.kernel.errors import Invalid
from stile.web import csv


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1+1", "\uff1d1", "-", "=", "--1"],
)
def test_text_that_begins_like_a_formula_is_quoted(text: str) -> None:
    read = next(reader.reader(io.StringIO(csv.lines([[text]]).decode(), newline="")))
    assert read == ["'" + text]


@pytest.mark.parametrize("text", ["-5", "+3.5", "-1e-3", "-.5", "plain", "a=b", "a-b", "", "1.5", "'quoted"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert csv.cell(text) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), (True, "true"), (-0.1, "-0.1"), (3, "3"), (math.nan, "nan"), (-math.inf, "-inf"), (1e-300, "1e-300")],
)
def test_values_are_written_in_full(value: csv.Cell, written: str) -> None:
    assert csv.cell(value) == written


def test_any_text_is_read_back() -> None:
    rows = [
        ["a,b", 'say "so"', "two\r\nlines", " space ", "päivä", "x" * 5000, "nul\x00"],
        ["1", "", "", "", "", "", ""],
    ]
    text = csv.lines(rows).decode()
    assert list(reader.reader(io.StringIO(text, newline=""))) == rows
    assert csv.lines([["\ud800"]]) == b"?\r\n", "text that is no Unicode does not stop the file"


def test_answer_is_a_file_with_a_harmless_name() -> None:
    answer = csv.answer('runs of "x"\r\n/../Übung', ["name", "=key"], [["a", 1.5]])
    assert bytes(answer.body) == b"name,'=key\r\na,1.5\r\n"
    assert answer.headers["content-type"].startswith("text/csv")
    disposition = answer.headers["content-disposition"]
    assert 'filename="runs-of-x-..-bung.csv"' in disposition
    assert "\r" not in disposition
    assert "/" not in disposition


def test_stream_sends_page_by_page_and_fails_before_it_begins() -> None:
    async def pages(stop: bool) -> AsyncIterator[Sequence[Sequence[csv.Cell]]]:
        if stop:
            raise Invalid("This cannot be searched.")
        for number in range(3):
            yield [[number, f"run {number}"]]

    async def read() -> bytes:
        answer = await csv.stream("runs", ["n", "name"], pages(False))
        assert isinstance(answer, StreamingResponse)
        return b"".join([part async for part in answer.body_iterator])  # type: ignore[misc]

    assert asyncio.run(read()) == b"n,name\r\n0,run 0\r\n1,run 1\r\n2,run 2\r\n"
    with pytest.raises(Invalid):
        asyncio.run(csv.stream("runs", ["n"], pages(True)))  # type: ignore[arg-type]
