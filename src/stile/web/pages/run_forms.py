"""What people may change about a run from its page: its name, its note, its tags, whether it is there. Plain forms."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Forbidden, Invalid
from stile.kernel.permission import Permission
from stile.train import runs
from stile.train.run_values import NAME_TAG
from stile.web.forms import form, needed
from stile.web.pages.run_view import HIDDEN, NOTE_TAG
from stile.web.render import post, see_other


async def _name(call: Call) -> Response:
    name = needed(await form(call), "name", "A run needs a name. Write one.")
    return await _set(call, NAME_TAG, name, f"It is called {name[:60]} now.", "")


async def _note(call: Call) -> Response:
    text = (await form(call)).get("note", "")
    return await _set(call, NOTE_TAG, text, "The note was saved.", "note")


async def _tag(call: Call) -> Response:
    fields = await form(call)
    key = needed(fields, "key", "A tag needs a name. Write one.")
    refuse_clients(key)
    return await _set(call, key, fields.get("value", ""), f"The tag {key[:60]} was saved.", "tags")


async def _drop_tag(call: Call) -> Response:
    key = needed(await form(call), "key", "Say which tag to take away.")
    refuse_clients(key)
    run_id = call.path("run_id")
    await call.write(lambda tx: runs.drop_tag(tx, run_id, key))
    return _back(run_id, f"The tag {key[:60]} was taken away.", "tags")


async def _set(call: Call, key: str, value: str, said: str, at: str) -> Response:
    run_id = call.path("run_id")
    # Browsers send lines that end with CRLF; what programs log ends with LF.
    text = value.replace("\r\n", "\n")
    await call.write(lambda tx: runs.set_tag(tx, run_id, key, text))
    return _back(run_id, said, at)


async def _delete(call: Call) -> Response:
    run_id = call.path("run_id")
    await call.write(lambda tx: runs.delete(tx, run_id))
    return _back(run_id, "", "")  # the page itself says that it was deleted


async def _restore(call: Call) -> Response:
    run_id = call.path("run_id")
    await call.write(lambda tx: runs.restore(tx, run_id))
    return _back(run_id, "The run was restored.", "")


def refuse_clients(key: str) -> None:
    """Refuse to change a tag that programs set and rely on.

    Raises:
        Forbidden: it is one of those.
    """
    if key.startswith(HIDDEN):
        raise Forbidden(f"Tags that begin with {' or '.join(HIDDEN)} are set by the clients. Choose another name.")


def _back(run_id: str, said: str, at: str) -> Response:
    if not run_id.isalnum():
        raise Invalid("This is not the id of a run.")
    answer = see_other(f"/runs/{run_id}", said)
    if at:
        answer.headers["location"] += f"#{at}"
    return answer


ROUTES = [
    post("/runs/{run_id}/name", Permission.TRACK, _name),
    post("/runs/{run_id}/note", Permission.TRACK, _note),
    post("/runs/{run_id}/tags", Permission.TRACK, _tag),
    post("/runs/{run_id}/tags/drop", Permission.TRACK, _drop_tag),
    post("/runs/{run_id}/delete", Permission.TRACK, _delete),
    post("/runs/{run_id}/restore", Permission.TRACK, _restore),
]
