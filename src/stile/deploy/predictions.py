"""Verbs on stored predictions: take in what gateways deliver, and read it back."""

from __future__ import annotations

import msgspec

from stile.deploy import outcome_records, prediction_records
from stile.deploy.deployment import ROLES
from stile.deploy.events import OutcomesRecorded, PredictionsStored
from stile.deploy.prediction import Prediction
from stile.deploy.prediction_records import StoredPrediction
from stile.deploy.shipper import Stored
from stile.deploy.signature import MAX_COLUMNS
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.people import use_cases
from stile.store.database import Tx

MAX_RECORDS = 5_000
_MAX_TEXT = 500


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one gateway's segment, beginning with the one counted ``offset``.

    Attributes:
        columns: column names by the key that records name them by.
    """

    gateway: str
    segment: str
    offset: int
    columns: dict[str, list[str]]
    records: list[Prediction]


def store(tx: Tx, *, use_case: str, delivery: Delivery) -> Stored:
    """Store a delivery exactly once: what is here already is passed over, a gap is refused.

    Raises:
        Missing: no such use case.
        Invalid: a record is not well formed; nothing of the delivery is stored.
        Conflict: records before ``offset`` are missing; ``details["next"]`` says where to begin.
    """
    use_cases.get(tx, use_case)
    check(delivery)
    at = prediction_records.segment_next(tx, use_case, delivery.gateway, delivery.segment)
    if delivery.offset > at:
        raise Conflict(
            f"Records {at} to {delivery.offset - 1} of segment {delivery.segment} are missing. Send from {at}.", next=at
        )
    fresh = delivery.records[at - delivery.offset :]
    if not fresh:
        return Stored(stored=0, next=at)
    used = {record.columns for record in fresh}
    columns = {key: prediction_records.columns_id(tx, key, delivery.columns[key]) for key in used}
    prediction_records.insert(tx, use_case, columns, fresh)
    prediction_records.move_segment(tx, use_case, delivery.gateway, delivery.segment, at + len(fresh))
    answered = [record.id for record in fresh if record.role == "champion"]
    if answered:
        last = prediction_records.last_position(tx, use_case)
        tx.emit(PredictionsStored(use_case=use_case, count=len(answered), position=last))
        known = outcome_records.known_among(tx, use_case, answered)
        if known:  # the truth had overtaken the prediction
            tx.emit(OutcomesRecorded(use_case=use_case, count=len(known), predictions=known[:100]))
    return Stored(stored=len(fresh), next=at + len(fresh))


def check(delivery: Delivery) -> None:
    """Refuse a delivery that is not well formed. Pure.

    Raises:
        Invalid: says which record and why.
    """
    if len(delivery.records) > MAX_RECORDS or delivery.offset < 0:
        raise Invalid(f"A delivery has at most {MAX_RECORDS} records and an offset of at least 0.")
    if not 0 < len(delivery.gateway) <= 100 or not 0 < len(delivery.segment) <= 100:
        raise Invalid("Gateway and segment are names of 1 to 100 characters.")
    for key, names in delivery.columns.items():
        if len(key) > 100 or not 0 < len(names) <= MAX_COLUMNS or len(set(names)) != len(names):
            raise Invalid(f"The columns {key[:40]!r} are not a list of 1 to {MAX_COLUMNS} different names.")
    for place, record in enumerate(delivery.records):
        names = delivery.columns.get(record.columns, [])
        if len(names) != len(record.inputs):
            raise Invalid(f"Record {place}: {len(record.inputs)} inputs for {len(names)} columns ({record.columns!r}).")
        if record.role not in ROLES or record.version < 1:
            raise Invalid(f"Record {place}: the role is one of {', '.join(ROLES)}, the version at least 1.")
        if not record.id.startswith("pred_") or not record.id.isascii() or len(record.id) > 64:
            raise Invalid(f"Record {place}: an id is 'pred_' and at most 59 more characters.")
        if len(record.unit) > _MAX_TEXT or len(record.segment) > _MAX_TEXT:
            raise Invalid(f"Record {place}: unit and segment have at most {_MAX_TEXT} characters.")


def get(tx: Tx, id: str) -> StoredPrediction:
    """The answer given under this id.

    Raises:
        Missing: there is none (yet).
    """
    return everything(tx, id)[0]


def everything(tx: Tx, id: str) -> list[StoredPrediction]:
    """What every version said under this id, the answering one first.

    Raises:
        Missing: there is nothing (yet).
    """
    found = prediction_records.of_id(tx, id)
    if not found:
        raise Missing(
            f"There is no prediction {id[:80]!r} here (yet). A gateway delivers within a second of the answer."
        )
    return found


def window_rows(
    tx: Tx,
    use_case: str,
    *,
    after: int = 0,
    last: int | None = None,
    since: int | None = None,
    until: int | None = None,
    version: int | None = None,
    role: str | None = "champion",
    limit: int = 100_000,
) -> list[StoredPrediction]:
    """Live answers with inputs, scores, accepted outcomes, version and role, in the order they arrived.

    Args:
        tx: the transaction.
        use_case: whose traffic.
        after: positions greater than this.
        last: positions up to and including this.
        since: answered at or after this time, ms since 1970 UTC.
        until: answered before this time.
        version: only of this version.
        role: only in this part; None for all.
        limit: most rows.
    """
    return prediction_records.page(
        tx, use_case, role=role, after=after, last=last, since=since, until=until, version=version, limit=limit
    )
