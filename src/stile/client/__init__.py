"""The Python SDK: everything a Stile server can do, over HTTP, with nothing heavy imported.

from stile.client import Client

client = Client()                                # STILE_URL, STILE_TOKEN, or what `stile login` kept
with client.start_run("early-detection") as run:
    run.log_params({"c": 1.0})
    run.log_metric("auc", 0.99)
"""

from stile.client.client import Client
from stile.client.tracking import Run
from stile.client.use_case import UseCase

__all__ = ["Client", "Run", "UseCase"]
