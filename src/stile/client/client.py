"""The way in: a client of one server, acting as one person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stile.client import data, reading, tracking
from stile.client.credentials import resolve
from stile.client.scope import listed
from stile.client.session import Session, segment
from stile.client.tracking import Run
from stile.client.use_case import UseCase

if TYPE_CHECKING:
    from stile.client.live_run import LiveRun


class Client:
    """A client of a Stile server. Asks the server nothing until a verb is called.

    Args:
        url: the server; default ``$STILE_URL``, else the last ``stile login``, else the local default.
        token: who is asking; default ``$STILE_TOKEN``, else the one kept for that server; "" for nobody.
        timeout_s: longest wait for one answer.

    Attributes:
        token: what is shown to the server; "" for nothing.
        session: the connection, for requests that have no verb yet.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        credentials = resolve(url, token)
        self.token = credentials.token
        self.session = Session(credentials, timeout_s)

    @property
    def url(self) -> str:
        """The server's address."""
        return self.session.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close kept-alive connections."""
        self.session.close()

    # people and use cases

    def me(self) -> dict[str, Any]:
        """Who the server takes the caller for, and with which roles."""
        answer: dict[str, Any] = self.session.get("/api/v1/me")
        return answer

    def add_person(self, name: str, *, kind: str = "person", display: str = "", **fields: Any) -> dict[str, Any]:
        """Create an account (``kind``: ``person`` or ``service``)."""
        body = {"name": name, "kind": kind, "display": display, **fields}
        answer: dict[str, Any] = self.session.post("/api/v1/people", body)
        return answer

    def people(self) -> list[dict[str, Any]]:
        """Accounts."""
        return listed(self.session.get("/api/v1/people"), "people")

    def create_token(self, person: str, label: str, days: int = 90) -> str:
        """A new token for a person; it is shown this once."""
        answer = self.session.post(f"/api/v1/people/{segment(person)}/tokens", {"label": label, "days": days})
        return str(answer["token"])

    def change_password(self, person: str, password: str) -> None:
        """Give a person a new password; all their sessions end."""
        self.session.put(f"/api/v1/people/{segment(person)}/password", {"password": password})

    def set_disabled(self, person: str, *, disabled: bool) -> None:
        """Shut an account out, or let it in again."""
        self.session.patch(f"/api/v1/people/{segment(person)}", {"disabled": disabled})

    def sign_in_link(self, person: str, minutes: int = 15) -> dict[str, Any]:
        """A link ({"url"}) that signs a person in to the web UI once."""
        path = f"/api/v1/people/{segment(person)}/sign-in-links"
        answer: dict[str, Any] = self.session.post(path, {"minutes": minutes})
        return answer

    def create_use_case(self, name: str, **charter: Any) -> UseCase:
        """Write a new charter (title, problem, decision, users, kpi, harms, tier, segment, positive, solo ...)."""
        self.session.post("/api/v1/use-cases", {"name": name, **charter})
        return UseCase(self.session, name)

    def use_cases(self) -> list[dict[str, Any]]:
        """All charters."""
        return listed(self.session.get("/api/v1/use-cases"), "use-cases")

    def use_case(self, name: str) -> UseCase:
        """A handle on a use case."""
        return UseCase(self.session, name)

    # tracking

    def start_run(
        self, experiment: str, name: str = "", tags: Mapping[str, Any] | None = None, *, parent: Run | str = ""
    ) -> Run:
        """Open a run in an experiment, which is created when it is new; below another one with ``parent``."""
        return tracking.start_run(self.session, experiment, name, tags or {}, parent)

    def run(
        self, experiment: str, name: str = "", tags: Mapping[str, Any] | None = None, *, parent: Run | str = "",
        system_every_s: float = 10.0, code: bool = True, environment: bool = True, most_waiting: int = 1_000_000,
    ) -> LiveRun:  # fmt: skip
        """Open a run that logs in the background; use it as a context manager, or ``end`` it.

        It ends FINISHED, FAILED after an error, KILLED by Ctrl-C, SIGTERM or SIGHUP (unless the program
        handles these itself); in each case everything that was logged is stored or kept in a file.

        Args:
            experiment: its name; it is created when it is new.
            name: the run's name; one is made up when it has none.
            tags: tags of the run.
            parent: the run (or its id) that this one is a part of, such as a sweep.
            system_every_s: how often processor, memory and graphics cards are logged; 0 for never.
            code: keep commit, uncommitted changes and command.
            environment: keep the Python version and all installed packages.
            most_waiting: points that may wait in memory (24 bytes each); while the server is away, the rest goes
                to a file under ``.stile/unsent`` until it is back.
        """
        from stile.client.live_run import begin

        return begin(
            self.session, experiment, name, tags or {}, parent=parent, run_id="", system_every_s=system_every_s,
            code=code, environment=environment, most_waiting=most_waiting,
        )  # fmt: skip

    def resume(
        self, run_id: str, *, system_every_s: float = 10.0, code: bool = True, environment: bool = True,
        most_waiting: int = 1_000_000,
    ) -> LiveRun:  # fmt: skip
        """Go on with a run, such as one that was killed; what was kept of it in this folder is sent first.

        Steps that ``log`` counts by itself go on after the last one. The arguments are those of ``run``.

        Raises:
            Missing: there is no such run.
        """
        from stile.client.live_run import begin

        return begin(
            self.session, "", "", {}, parent="", run_id=run_id, system_every_s=system_every_s, code=code,
            environment=environment, most_waiting=most_waiting,
        )  # fmt: skip

    def send_kept(self, folder: Path | str = ".stile/unsent") -> int:
        """Send what programs had to leave in files because the server was away; how many points.

        Args:
            folder: where the files are, as the programs told: below the folder they were started in.

        Raises:
            Unavailable: the server is still away; nothing is lost.
        """
        from stile.client.kept import send_kept

        return send_kept(self.session, Path(folder))

    def search_runs(
        self, experiment: str, filter: str = "", order_by: Iterable[str] = (), limit: int = 1000
    ) -> list[dict[str, Any]]:
        """Runs of an experiment that match a filter, as flat mappings that ``pandas.DataFrame`` takes as they are.

        Args:
            experiment: its name.
            filter: MLflow's grammar, such as ``metrics.auc > 0.9 and params.model = 'tree'``; "" for all.
            order_by: such as ``["metrics.auc DESC"]``; the newest first by default.
            limit: at most so many.

        Returns:
            ``run_id``, ``name``, ``status``, ``start_time``, ``end_time`` (ms since 1970 UTC), and ``metrics.*``
            (last values), ``params.*``, ``tags.*`` of each.

        Raises:
            Missing: there is no such experiment.
        """
        return reading.search_runs(self.session, experiment, filter, order_by, limit)

    def history(self, run_id: str, metric: str) -> list[dict[str, Any]]:
        """All points of a metric (``step``, ``value``, ``at`` in ms since 1970 UTC), by step."""
        return reading.history(self.session, run_id, metric)

    def artifacts(self, run_id: str) -> list[str]:
        """Paths of a run's files."""
        return list(reading.artifacts(self.session, run_id))

    def get_artifact(self, run_id: str, path: str) -> bytes:
        """The content of a run's file.

        Raises:
            Missing: the run has no such file.
        """
        return reading.get_artifact(self.session, run_id, path)

    # bytes and evidence

    def put_blob(self, content: bytes | Path) -> str:
        """Store bytes, or a file in pieces; returns their digest."""
        return data.put_blob(self.session, content)

    def get_blob(self, digest: str) -> bytes:
        """Stored bytes."""
        return self.session.download(f"/api/v1/blobs/{segment(digest)}")

    def evaluation(self, evaluation_id: str) -> dict[str, Any]:
        """How far an evaluation has come."""
        return data.evaluation(self.session, evaluation_id)

    def evidence(self, digest: str) -> dict[str, Any]:
        """An evidence document."""
        return data.evidence(self.session, digest)

    # promotions and decisions by id

    def promotion(self, promotion_id: str) -> dict[str, Any]:
        """A promotion request with its approvals."""
        answer: dict[str, Any] = self.session.get(f"/api/v1/promotions/{segment(promotion_id)}")
        return answer

    def approve(self, promotion_id: str, role: str, verdict: str, reason: str) -> dict[str, Any]:
        """Say ``yes`` or ``no`` to a promotion, in a role one holds."""
        answer: dict[str, Any] = self.session.post(
            f"/api/v1/promotions/{segment(promotion_id)}/approvals",
            {"role": role, "verdict": verdict, "reason": reason},
        )
        return answer

    def decision(self, decision_id: str) -> dict[str, Any]:
        """A decision with its verdicts, approvals and traces."""
        answer: dict[str, Any] = self.session.get(f"/api/v1/decisions/{segment(decision_id)}")
        return answer

    # live traffic by id

    def prediction(self, prediction_id: str) -> dict[str, Any]:
        """One answer of a gateway."""
        answer: dict[str, Any] = self.session.get(f"/api/v1/predictions/{segment(prediction_id)}")
        return answer

    def why(self, prediction_id: str) -> dict[str, Any]:
        """The chain from one answer up to the vote."""
        answer: dict[str, Any] = self.session.get(f"/api/v1/predictions/{segment(prediction_id)}/why")
        return answer

    def give_feedback(
        self, prediction_id: str, verdict: str, reason: str = "", corrected: Any = None
    ) -> dict[str, Any]:
        """Say what one thinks of an answer, in the use case's own verdicts."""
        body = {"verdict": verdict, "reason": reason}
        if corrected is not None:
            body["corrected"] = corrected
        answer: dict[str, Any] = self.session.post(f"/api/v1/predictions/{segment(prediction_id)}/feedback", body)
        return answer

    def window(self, window_id: str) -> dict[str, Any]:
        """One closed window with its evidence."""
        answer: dict[str, Any] = self.session.get(f"/api/v1/windows/{segment(window_id)}")
        return answer

    def acknowledge(self, alert_id: str, cause: str) -> dict[str, Any]:
        """Own an alert by naming its cause."""
        answer: dict[str, Any] = self.session.post(f"/api/v1/alerts/{segment(alert_id)}/acknowledge", {"cause": cause})
        return answer

    # the board and the ledger

    def move_card(self, card_id: str, **fields: Any) -> dict[str, Any]:
        """Change a card."""
        answer: dict[str, Any] = self.session.patch(f"/api/v1/cards/{segment(card_id)}", fields)
        return answer

    def comment(self, card_id: str, text: str) -> dict[str, Any]:
        """Comment on a card."""
        answer: dict[str, Any] = self.session.post(f"/api/v1/cards/{segment(card_id)}/comments", {"text": text})
        return answer

    def inbox(self) -> list[dict[str, Any]]:
        """What waits for the caller."""
        return listed(self.session.get("/api/v1/inbox"), "inbox")

    def ledger(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Entries of the ledger after a position."""
        return listed(self.session.get("/api/v1/ledger", after=after or None, limit=limit), "entries")

    def verify_ledger(self) -> dict[str, Any]:
        """Have the server check its ledger: size, root, findings."""
        answer: dict[str, Any] = self.session.get("/api/v1/ledger/verify")
        return answer
