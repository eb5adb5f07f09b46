from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.deploy.prediction import new_ids
from stile.deploy.prediction_log import PredictionLog, frame, unframe
from stile.deploy.shipper import Batch, Shipper, Stored
from stile.kernel.errors import Conflict, Unavailable

BODIES = st.lists(st.binary(max_size=60).map(lambda b: b'{"columns":"k","b":"' + b.hex().encode() + b'"}'), max_size=8)


@given(BODIES, st.data())
def test_a_torn_tail_costs_only_the_torn_line(bodies: list[bytes], data: st.DataObject) -> None:
    lines = [frame(body) for body in bodies]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    survivors, broken = unframe(whole[:cut])
    complete = sum(len(b"".join(lines[: i + 1])) <= cut for i in range(len(lines)))
    assert survivors == bodies[:complete] and broken == 0


@given(BODIES.filter(bool), st.data())
def test_a_flipped_byte_is_noticed(bodies: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(frame(body) for body in bodies))
    place = data.draw(st.integers(0, len(whole) - 1))
    if whole[place] in b"\n" or whole[place] ^ 1 in b"\n":
        return
    whole[place] ^= 1
    survivors, broken = unframe(bytes(whole))
    assert broken == 1 and len(survivors) == len(bodies) - 1


def test_ids_are_unique_sort_by_time_and_count_on_within_a_request() -> None:
    first = new_ids(500)
    assert first == sorted(first) and len(set(first)) == 500
    assert all(id.startswith("pred_") and len(id) == 31 for id in first)


def test_records_are_read_back_across_segments_and_restarts(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", segment_bytes=200)
    for i in range(20):
        log.append([b'{"n":%d}' % i])
    with pytest.raises(Unavailable, match="Another gateway"):
        PredictionLog(tmp_path / "log")
    log.close()
    log = PredictionLog(tmp_path / "log", strict=True)
    log.append([b'{"n":20}'])
    segments = log.segments()
    assert len(segments) == 3 and [sealed for _, sealed in segments].count(False) == 1
    found = [body for name, _ in segments for body in log.read(name, 0, 1 << 20)[0]]
    assert found == [b'{"n":%d}' % i for i in range(21)]
    log.close()


def test_a_segments_number_is_never_used_again_when_it_was_deleted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log")
    log.append([b"{}"])
    name = log.segments()[0][0]
    with pytest.raises(Unavailable):
        log.delete(name)
    log.close()
    (tmp_path / "log" / "segments" / name).unlink()
    log = PredictionLog(tmp_path / "log")
    assert log.segments()[0][0] > name
    log.close()


class _Server:
    """Keeps records like the server does, and loses answers or itself when told to."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.next: dict[str, int] = {}
        self.script: list[str] = []

    def send(self, batch: Batch) -> Stored:
        step = self.script.pop(0) if self.script else "ok"
        if step == "down":
            raise Unavailable("down")
        at = self.next.get(batch.segment, 0)
        if batch.offset > at:
            raise Conflict("gap", next=at)
        fresh = [bytes(record) for record in batch.records][at - batch.offset :]
        self.stored += fresh
        self.next[batch.segment] = at + len(fresh)
        if step == "answer lost":
            raise Unavailable("answer lost")
        return Stored(stored=len(fresh), next=at + len(fresh))


@given(st.lists(st.sampled_from(["ok", "down", "answer lost", "restart"]), max_size=25))
def test_every_record_arrives_once_whatever_fails(steps: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        server, wrote = _Server(), []
        log = PredictionLog(Path(folder) / "log", segment_bytes=150)
        log.columns("k", ["a"])
        shipper = Shipper(log, "gw", server.send)
        for i, step in enumerate(steps):
            body = b'{"columns":"k","n":%d}' % i
            log.append([body])
            wrote.append(body)
            if step == "restart":
                log.close()
                log = PredictionLog(Path(folder) / "log", segment_bytes=150)
                shipper = Shipper(log, "gw", server.send)
                continue
            server.script = [step]
            try:
                shipper.run_once()
            except Unavailable:
                continue
        server.script = []
        shipper.run_once()
        assert server.stored == wrote
        assert all(not sealed for _, sealed in log.segments())
        log.close()


def test_shipping_begins_again_when_the_server_was_restored_from_an_older_copy(tmp_path: Path) -> None:
    server = _Server()
    log = PredictionLog(tmp_path / "log")
    log.columns("k", ["a"])
    shipper = Shipper(log, "gw", server.send)
    log.append([b'{"columns":"k","n":0}'])
    shipper.run_once()
    server.stored, server.next = [], {}
    log.append([b'{"columns":"k","n":1}'])
    with pytest.raises(Conflict):
        shipper.run_once()
    shipper.run_once()
    assert server.stored == [b'{"columns":"k","n":0}', b'{"columns":"k","n":1}']
    log.close()
