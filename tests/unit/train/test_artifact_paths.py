"""What an artifact path may be."""

from __future__ import annotations

import pytest

from stile.kernel.errors import Invalid
from stile.train.artifact_paths import checked_location, checked_path, is_remote, ours


@pytest.mark.parametrize(
    "path", ["a", "1/abc/artifacts/model/MLmodel", "a b/ü.txt", "a..b", ".hidden", "100% sure.png", "q95%"]
)
def test_plain_relative_paths_are_taken(path: str) -> None:
    assert checked_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../x", "a/../b", "a/..", "..", ".", "a/./b", "a//b", "a/", "a\\b", "..\\x", "a\x00b",
        "a\nb", "%2e%2e/x", "a%2fb", "a%5Cb", "50%%32e", "C:/x", "c:x", "a" * 2001, "\x7f",
    ],
)  # fmt: skip
def test_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        checked_path(path)


def test_our_addresses_are_told_from_others() -> None:
    assert ours("mlflow-artifacts:/1/x/artifacts") == "1/x/artifacts"
    assert ours("mlflow-artifacts://host/1/x") is None
    assert ours("s3://bucket/x") is None
    with pytest.raises(Invalid):
        ours("mlflow-artifacts:/../x")


@pytest.mark.parametrize("uri", ["s3://b/x", "gs://b/x", "https://h/x", "abfss://c@a/x"])
def test_known_remote_stores_are_recognised(uri: str) -> None:
    assert is_remote(uri)


@pytest.mark.parametrize("uri", ["/tmp/x", "file:///etc", "ftpx://y", "C:\\x", "relative"])
def test_other_addresses_are_not_remote(uri: str) -> None:
    assert not is_remote(uri)


def test_location_in_the_registry_is_refused() -> None:
    with pytest.raises(Invalid):
        checked_location("mlflow-artifacts:/registry/1/1")
