"""The value-chain strip: how each of the five concepts stands in one use case, in one word and one number."""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.data import datasets
from stile.govern import decision_records, policy_records, promotion_records, registry
from stile.govern.history import fold
from stile.monitor import alerts, window_records
from stile.store.database import Tx

Tone = Literal["", "pass", "wait", "fail"]


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One concept of the chain.

    Attributes:
        owner: whose part it is: data science, engineering, or both.
        who: the owner in words.
        number, word: its state.
        tone: ``pass`` when it stands, ``wait`` when somebody must act, ``fail`` when broken, empty when not begun.
    """

    id: str
    name: str
    owner: Literal["ds", "eng", "both"]
    who: str
    number: str
    word: str
    url: str
    tone: Tone = ""


def chain(tx: Tx, use_case: str) -> list[Stop]:
    """How the five concepts stand now."""
    return [
        _data(tx, use_case),
        _train(tx, use_case),
        _govern(tx, use_case),
        _deploy(tx, use_case),
        _monitor(tx, use_case),
    ]


def _data(tx: Tx, use_case: str) -> Stop:
    count = len({version.digest for version in datasets.versions(tx, use_case)})
    return Stop(
        id="data", name="Data", owner="both", who="shared", url=f"/use-cases/{use_case}#data",
        number=str(count or ""), word=_counted(count, "dataset version", "no data yet"), tone="pass" if count else "",
    )  # fmt: skip


def _train(tx: Tx, use_case: str) -> Stop:
    count = len(registry.versions(tx, use_case))
    return Stop(
        id="train", name="Train", owner="ds", who="data science", url=f"/experiments?use_case={use_case}",
        number=str(count or ""), word=_counted(count, "candidate", "nothing registered"), tone="pass" if count else "",
    )  # fmt: skip


def _govern(tx: Tx, use_case: str) -> Stop:
    waiting = len(promotion_records.listing(tx, use_case, only_open=True))
    outlines = decision_records.outlines(tx, use_case)
    decided = len(outlines)
    past = fold((one.kind, one.version) for one in outlines)
    number, word, tone = "", "no policy yet", ""
    if past.held:
        number, word, tone = f"v{past.champion}", "on hold", "wait"
    elif waiting:
        number, word, tone = str(waiting), "waits for a vote" if waiting == 1 else "wait for a vote", "wait"
    elif decided:
        number, word, tone = str(decided), _counted(decided, "decision", ""), "pass"
    elif policy_records.newest(tx, use_case) is not None:
        word = "policy in force"
    return Stop(
        id="govern", name="Govern", owner="both", who="shared", url=f"/models/{use_case}",
        number=number, word=word, tone=tone,  # type: ignore[arg-type]
    )  # fmt: skip


def _deploy(tx: Tx, use_case: str) -> Stop:
    champion = registry.aliases(tx, use_case).get("champion")
    return Stop(
        id="deploy", name="Deploy", owner="eng", who="engineering", url=f"/models/{use_case}#serving",
        number=f"v{champion}" if champion else "", word="answers" if champion else "nothing to serve",
        tone="pass" if champion else "",
    )  # fmt: skip


def _monitor(tx: Tx, use_case: str) -> Stop:
    unresolved = len(alerts.unresolved(tx, use_case))
    newest = window_records.newest(tx, use_case)
    number, word, tone = "", "no live window yet", ""
    if unresolved:
        number, word, tone = str(unresolved), _counted(unresolved, "open alert", ""), "fail"
    elif newest is not None:
        number, word, tone = str(newest.number), _counted(newest.number, "window", "") + ", quiet", "pass"
    return Stop(
        id="monitor", name="Monitor", owner="eng", who="engineering", url=f"/models/{use_case}/monitor",
        number=number, word=word, tone=tone,  # type: ignore[arg-type]
    )  # fmt: skip


def _counted(count: int, one: str, none: str) -> str:
    if not count:
        return none
    return one if count == 1 else one + "s"
