"""A throw-away S3 on loopback: moto's server, which speaks the real protocol over real sockets. Needs ``moto[s3]``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

_KEYS = {"AWS_ACCESS_KEY_ID": "stile-test", "AWS_SECRET_ACCESS_KEY": "stile-test", "AWS_REGION": "us-east-1"}
_NUMBERS = count(1)  # servers in one process share their buckets
_FOREIGN = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_SESSION_TOKEN", "AWS_PROFILE")


class LoopbackS3:
    """A running S3; ``environ`` is what leads a program to it."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415  a tool of the tests

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environ = _KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}

    @property
    def client(self) -> Any:
        """A boto3 client of it, for looking behind the scenes."""
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415

        return boto3.client(
            "s3",
            endpoint_url=self.environ["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="stile-test",
            aws_secret_access_key="stile-test",  # noqa: S106  nothing is behind it
        )

    def fresh(self) -> str:
        """The address of a place in a new bucket."""
        bucket = f"bucket-{next(_NUMBERS)}"
        self.client.create_bucket(Bucket=bucket)
        return f"s3://{bucket}/stile"

    def keys(self, address: str) -> list[str]:
        """Every key of a bucket, below the prefix of ``fresh``."""
        found = self.client.list_objects_v2(Bucket=address.split("/")[2]).get("Contents", [])
        return [entry["Key"].removeprefix("stile/") for entry in found]

    def stop(self) -> None:
        """End it; what it held is gone."""
        self._server.stop()


@contextmanager
def loopback_s3() -> Iterator[LoopbackS3]:
    """An S3 for the length of the block, and this process's environment leading to it."""
    running = LoopbackS3()
    before = dict(os.environ)
    for name in _FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(running.environ)
    try:
        yield running
    finally:
        os.environ.clear()
        os.environ.update(before)
        running.stop()
