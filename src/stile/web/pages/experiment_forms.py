"""What people may change about an experiment from its page: its name, its note, whether it is there. Plain forms."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import experiments
from stile.train.experiment_records import Experiment
from stile.web.forms import form, needed
from stile.web.pages.experiments import NOTE_TAG
from stile.web.render import post, see_other


async def _name(call: Call) -> Response:
    id = call.path("experiment_id")
    name = needed(await form(call), "name", "An experiment needs a name. Write one.")

    def work(tx: Tx) -> Experiment:
        experiments.rename(tx, id, name)
        return experiments.get(tx, id)

    return _to(await call.write(work), f"It is called {name[:60]} now.")


async def _note(call: Call) -> Response:
    id = call.path("experiment_id")
    # Browsers send lines that end with CRLF; what programs write ends with LF.
    text = (await form(call)).get("note", "").replace("\r\n", "\n")

    def work(tx: Tx) -> Experiment:
        experiments.set_tag(tx, id, NOTE_TAG, text)
        return experiments.get(tx, id)

    return _to(await call.write(work), "The note was saved.")


async def _delete(call: Call) -> Response:
    id = call.path("experiment_id")

    def work(tx: Tx) -> Experiment:
        experiments.delete(tx, id)
        return experiments.get(tx, id)

    return _to(await call.write(work), "")


async def _restore(call: Call) -> Response:
    id = call.path("experiment_id")

    def work(tx: Tx) -> Experiment:
        experiments.restore(tx, id)
        return experiments.get(tx, id)

    found = await call.write(work)
    return _to(found, f"{found.name[:60]} was restored, with the runs that were deleted with it.")


def _to(experiment: Experiment, said: str) -> Response:
    return see_other(f"/experiments/{experiment.experiment_id}", said)


_E = "/experiments/{experiment_id}"

ROUTES = [
    post(_E + "/name", Permission.TRACK, _name),
    post(_E + "/note", Permission.TRACK, _note),
    post(_E + "/delete", Permission.TRACK, _delete),
    post(_E + "/restore", Permission.TRACK, _restore),
]
