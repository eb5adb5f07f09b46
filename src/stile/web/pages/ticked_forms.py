"""What people may do to several runs of an experiment at once: delete, restore, tag. All of them or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.errors import STATUS
from stile.edge.route import Handler
from stile.kernel.errors import Invalid, Missing, StileError
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import experiments, limits, runs
from stile.train.run_values import RunInfo
from stile.web.forms import form_with_many, needed
from stile.web.pages.run_forms import refuse_clients
from stile.web.pages.runs_asked import address, asked
from stile.web.render import post, see_other
from stile.web.words import plural

MOST = 100
"""Most runs of one form."""

DOES = ("delete", "restore", "tags")
"""The last parts of the addresses of the forms."""

_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")
_REFUSAL_LETTERS = 500


async def _delete(call: Call) -> Response:
    _, ids = await _sent(call)

    def work(tx: Tx) -> list[str]:
        found = [each for each in _of_experiment(tx, call, ids) if each.lifecycle == "active"]
        for each in found:
            runs.delete(tx, each.run_id)
        return [each.run_id for each in found]

    return _back(call, await call.write(work), "deleted", undo=True)


async def _restore(call: Call) -> Response:
    fields, ids = await _sent(call)

    def work(tx: Tx) -> list[str]:
        found = [each for each in _of_experiment(tx, call, ids) if each.lifecycle != "active"]
        for each in found:
            runs.restore(tx, each.run_id)
        return [each.run_id for each in found]

    return _back(call, await call.write(work), "restored", keeps_ticks="undo" in fields)


async def _tag(call: Call) -> Response:
    fields, ids = await _sent(call)
    key = needed(fields, "tag_key", "A tag needs a name. Write one.")
    refuse_clients(key)
    value = fields.get("tag_value", "")

    def work(tx: Tx) -> list[str]:
        for each in _of_experiment(tx, call, ids):
            runs.set_tag(tx, each.run_id, key, value)
        return ids

    return _back(call, await call.write(work), f"tagged with {key[:60]}")


async def _sent(call: Call) -> tuple[dict[str, str], list[str]]:
    fields, ids = await form_with_many(call, "run")
    if not ids:
        raise Invalid("No run was ticked. Go back and tick one or more.")
    if len(ids) > MOST:
        raise Invalid(f"{len(ids)} runs are ticked; at most {MOST} are changed at once. Nothing was changed.")
    for each in ids:
        limits.check_run_id(each)
    return fields, ids


def _of_experiment(tx: Tx, call: Call, ids: Sequence[str]) -> list[RunInfo]:
    found = [runs.info(tx, each) for each in ids]
    wanted = call.path("experiment_id")
    for each in found:
        if each.experiment_id != wanted:
            raise Missing(f"The run {each.run_id} is not of this experiment. Nothing was changed.")
    return found


def _back(call: Call, ids: Sequence[str], done: str, *, undo: bool = False, keeps_ticks: bool = False) -> Response:
    """To the search the form was sent from: says what was done, takes the ticks off, offers to undo it."""
    url = address(f"/experiments/{call.path('experiment_id')}", asked(call.request.query_params))
    more = [] if keeps_ticks else [f"done={call.services.ids.hex32()[:12]}"]
    more += [f"undo={','.join(ids)}"] if undo and ids else []
    if more:
        url += ("&" if "?" in url else "?") + "&".join(more)
    said = f"{plural(len(ids), 'run')} {'was' if len(ids) == 1 else 'were'} {done}."
    return see_other(url, said if ids else f"Nothing to change: they were {done} before.")


def _told_in_place(handler: Handler) -> Handler:
    """The handler, whose refusals lead people back to their list; nothing was changed, so the ticks stay on.

    An experiment that does not exist has no list: its refusal stays a page of its own. Programs get the error itself.
    """

    async def told(call: Call) -> Response:
        if "text/html" not in call.request.headers.get("accept", ""):
            return await handler(call)
        experiment_id = call.path("experiment_id")
        await call.read(lambda tx: experiments.get(tx, experiment_id))
        try:
            return await handler(call)
        except StileError as error:
            if STATUS.get(error.code, 500) >= 500:
                raise  # a page of its own says how to ask for help
            url = address(f"/experiments/{experiment_id}", asked(call.request.query_params))
            return see_other(f"{url}{'&' if '?' in url else '?'}refused={quote(error.message[:_REFUSAL_LETTERS])}")

    return told


def refused(call: Call) -> str:
    """Why the last form was refused, to be said above the list; '' when it was not."""
    return call.query("refused")[:_REFUSAL_LETTERS]


def undo(call: Call) -> list[str]:
    """The runs that an address offers to restore, because they have just been deleted; none for anything else."""
    found = [each for each in call.query("undo").split(",") if each]
    return found if len(found) <= MOST and all(_ID.fullmatch(each) for each in found) else []


_R = "/experiments/{experiment_id}/runs"

ROUTES = [
    post(_R + "/delete", Permission.TRACK, _told_in_place(_delete)),
    post(_R + "/restore", Permission.TRACK, _told_in_place(_restore)),
    post(_R + "/tags", Permission.TRACK, _told_in_place(_tag)),
]
