"""Logical paths of artifacts, and what an artifact address may be.

A path is text that names a row, never a place on a disk. It is still kept free of everything
that another program might one day read as a way out: clients join such paths to local folders.
"""

from __future__ import annotations

import re

from stile.kernel.errors import Invalid

SCHEME = "mlflow-artifacts:/"
RESERVED = "registry"
"""First segment of the registry's unchangeable views."""

_LENGTH = 2000
_REFUSED = re.compile(
    r"/|[A-Za-z]:"  # absolute, or of a drive
    r"|.*(?:[\\\x00-\x1f\x7f\ud800-\udfff]|%[0-9A-Fa-f]{2})"  # a percent sign alone is no escape: "100% sure.png"
    r"|(?:.*/)?\.{0,2}(?:/|\Z)",  # a segment that is empty, "." or ".."
    re.DOTALL,
)
_REMOTE = re.compile(
    r"(s3|s3a|s3n|gs|wasbs?|abfss?|r2|b2|hdfs|viewfs|dbfs|https?|sftp|ftp|databricks|azureml|oss)://", re.I
)


def checked_path(path: str, *, empty_allowed: bool = False) -> str:
    """``path`` (already percent-decoded once), or the refusal of it.

    Raises:
        Invalid: it is empty, absolute, too long, has an empty, ``.`` or ``..`` segment, a backslash,
            a percent escape, a drive letter or a control character.
    """
    if not path:
        if empty_allowed:
            return path
        raise Invalid("Invalid path: it must not be empty.")
    if len(path) > _LENGTH or _REFUSED.match(path):
        raise Invalid(f"Invalid path: {path[:100]!r}. Use a plain relative path such as 'model/MLmodel'.")
    return path


def ours(uri: str) -> str | None:
    """The logical path of an ``mlflow-artifacts:/`` address; None for any other address.

    Raises:
        Invalid: it is such an address but its path is not acceptable.
    """
    if not uri.startswith(SCHEME) or uri.startswith(SCHEME + "/"):
        return None
    return checked_path(uri[len(SCHEME) :].rstrip("/"))


def is_remote(uri: str) -> bool:
    """Whether this is an address of a known remote kind: kept as text, never opened here."""
    return _REMOTE.match(uri) is not None


def checked_location(uri: str) -> str:
    """An experiment's artifact location as a client may choose it.

    Raises:
        Invalid: it points into the registry's own part, or cannot be an address at all.
    """
    if any(ord(c) < 32 for c in uri) or len(uri) > _LENGTH:
        raise Invalid("Invalid artifact_location: it is too long or has control characters.")
    path = ours(uri)
    if path is not None and path.split("/")[0] == RESERVED:
        raise Invalid(f"Invalid artifact_location: {SCHEME}{RESERVED} belongs to the model registry.")
    if "?" in uri or "#" in uri:
        raise Invalid("Invalid artifact_location: it must not have a query or a fragment.")
    return uri.rstrip("/") if path is not None else uri


def joined(location: str, *parts: str) -> str:
    """An address below ``location``."""
    return "/".join([location.rstrip("/"), *parts])
