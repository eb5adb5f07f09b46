"""Where contents are kept: a folder of this machine, or a bucket named by its address.

The address says only which bucket and where in it. Keys, region and endpoint come from the variables
that every tool of that cloud reads (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``,
``AZURE_STORAGE_ACCOUNT_NAME`` ...), so that no secret stands in a settings file or a process list.

Source: the configuration keys of obstore 0.12 (``S3Config``, ``GCSConfig``, ``AzureConfig``).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stile.kernel.errors import Invalid, MissingExtra, StorageFull
from stile.kernel.settings import without_secrets
from stile.store.blobs import BlobStore, LocalBlobs

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

LOCAL = "local"
_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")


def open_blobs(
    artifacts: str, folder: Path, *, plain_http: bool = False, environ: Mapping[str, str] | None = None
) -> BlobStore:
    """The blob store named by ``Settings.artifacts``, ready for use.

    Args:
        artifacts: ``local`` for ``blobs/`` in the data folder, or ``s3://``, ``gs://`` or ``az://`` with
            bucket and prefix.
        folder: the data folder.
        plain_http: an ``http://`` endpoint on another machine is accepted.
        environ: variables; the process's own by default. Only looked at to find the endpoint.

    Raises:
        Invalid: the address is none of these, or leads over plain http to another machine.
        MissingExtra: the library for object stores is not installed.
        Unavailable: the bucket cannot be reached or used.
    """
    if artifacts == LOCAL:
        return LocalBlobs(folder / "blobs")
    spool = folder / "incoming"
    try:
        spool.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFull(f"The data folder cannot take uploads in ({error.strerror}).") from error
    return open_bucket(artifacts, spool=spool, plain_http=plain_http, environ=environ)


def open_bucket(
    artifacts: str,
    *,
    spool: Path | None = None,
    plain_http: bool = False,
    environ: Mapping[str, str] | None = None,
) -> BlobStore:
    """The blob store in a bucket; see ``open_blobs``.

    Args:
        artifacts: ``s3://``, ``gs://`` or ``az://`` with bucket and prefix.
        spool: folder for uploads that do not fit into memory; the system's by default.
        plain_http: an ``http://`` endpoint on another machine is accepted.
        environ: variables; the process's own by default.
    """
    scheme, bucket, prefix = _parts(artifacts)
    allow_http = _plain_http_allowed(scheme, os.environ if environ is None else environ, plain_http)
    try:
        from stile.store.blobs_objects import ObjectBlobs  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtra("obstore", "objects", f"Keeping artifacts in {scheme}://") from error
    found = ObjectBlobs(
        _bucket(scheme, bucket, allow_http=allow_http),
        name=f"{scheme}://{bucket}",
        prefix=f"{prefix}/" if prefix else "",
        spool=spool,
    )
    found.open()
    return found


def _parts(address: str) -> tuple[str, str, str]:
    """(scheme, bucket, prefix) of an address.

    Raises:
        Invalid: it is none.
    """
    shown = without_secrets(address)
    try:
        parts = urlsplit(address)
    except ValueError:
        raise Invalid(f"The artifact store {shown[:80]!r} is no address.") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise Invalid(
            f"The artifact store {shown[:80]!r} is not known. Write local, s3://bucket/prefix, gs://bucket/prefix "
            "or az://container/prefix."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise Invalid(
            f"The artifact store {shown[:80]!r} must name bucket and prefix only. "
            "Give keys and endpoint in the environment, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL."
        )
    segments = [segment for segment in parts.path.split("/") if segment]
    if not _BUCKET.fullmatch(parts.netloc) or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise Invalid(
            f"The artifact store {shown[:80]!r} does not fit: a bucket has 3 to 223 of a-z, 0-9, '.', '_' and '-', "
            "and each part of the prefix starts with a letter or digit."
        )
    return scheme, parts.netloc, "/".join(segments)


def _plain_http_allowed(scheme: str, environ: Mapping[str, str], plain_http: bool) -> bool:
    """Whether requests may go over plain http: only to this machine, or when the operator says so.

    Raises:
        Invalid: the endpoint asks for it and it is not allowed.
    """
    emulator = environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    if scheme == "az" and emulator:
        return True  # always on this machine
    endpoint = next((environ[name] for name in _ENDPOINTS[scheme] if environ.get(name)), "")
    if not endpoint.lower().startswith("http://"):
        return False
    if plain_http or _on_this_machine(urlsplit(endpoint).hostname or ""):
        return True
    raise Invalid(
        f"The endpoint {without_secrets(endpoint)[:80]} speaks plain http, so files and signatures could be read on "
        "the way. Use https, or allow it with STILE_ARTIFACTS_PLAIN_HTTP=true."
    )


def _on_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bucket(scheme: str, bucket: str, *, allow_http: bool) -> ObjectStore:
    from obstore.exceptions import BaseError  # noqa: PLC0415  an extra
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415

    options: ClientConfig = {
        "allow_http": allow_http, "connect_timeout": "5s", "read_timeout": "60s", "timeout": "30min"
    }  # fmt: skip
    retries: RetryConfig = {
        "max_retries": 3,
        "retry_timeout": timedelta(seconds=20),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    try:
        if scheme == "s3":
            return S3Store(bucket, client_options=options, retry_config=retries)
        if scheme == "gs":
            return GCSStore(bucket, client_options=options, retry_config=retries)
        return AzureStore(bucket, client_options=options, retry_config=retries)
    except (BaseError, ValueError) as error:
        raise Invalid(
            f"The artifact store {scheme}://{bucket} cannot be used with the settings in the environment: "
            f"{str(error).splitlines()[0][:200]}. Check the variables of that cloud."
        ) from error
