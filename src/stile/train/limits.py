"""What MLflow clients may send: sizes and spellings of names, keys and values.

Source: MLflow's REST API limits (``mlflow.utils.validation``); a client that keeps them there keeps them here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache

from stile.kernel.errors import Invalid

METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
TAGS_PER_BATCH = 100
ITEMS_PER_BATCH = 1000
DATASETS_PER_CALL = 1000
KEY_LENGTH = 250
PARAM_VALUE_LENGTH = 6000
TAG_VALUE_LENGTH = 8000
EXPERIMENT_NAME_LENGTH = 500
EXPERIMENT_TAG_VALUE_LENGTH = 20_000
REGISTRY_TAG_VALUE_LENGTH = 100_000
ALIAS_LENGTH = 255
RUNS_PER_PAGE = 50_000
EXPERIMENTS_PER_SEARCH = 30_000
POINTS_PER_PAGE = 25_000
INT64 = 2**63
_ID_LENGTH = 18  # digits that surely fit 64 bits

_RUN_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)
_KEY = re.compile(r"[\w.\- /:]*")
_ALIAS = re.compile(r"[\w-]*")
_VERSION_LIKE = re.compile(r"[vV]\d+")


def check_run_id(run_id: str) -> None:
    """Refuse what cannot be a run's id."""
    if not _RUN_ID.fullmatch(run_id):
        raise Invalid(f"Invalid run ID: {run_id[:80]!r}.")


@lru_cache(maxsize=4096)  # the same few keys come with every call; a refusal is not remembered
def check_key(kind: str, key: str) -> None:
    """Refuse a metric, param or tag key that is empty, too long, or could be read as a way out of a folder.

    Raises:
        Invalid: says what is wrong with it.
    """
    if not key:
        raise Invalid(f"Missing value for required parameter 'key': a {kind} needs a name.")
    if len(key) > KEY_LENGTH:
        raise Invalid(f"{kind.capitalize()} key exceeds the maximum length of {KEY_LENGTH} characters: {key[:60]!r}...")
    if not _KEY.fullmatch(key):
        raise Invalid(
            f"Invalid {kind} name: {key!r}. Names may only contain letters, digits, underscores (_), dashes (-), "
            "periods (.), spaces ( ), colons (:) and slashes (/)."
        )
    if posixpath.normpath(key) != key or key in (".", "..") or key.startswith(("/", "../")):
        raise Invalid(f"Invalid {kind} name: {key!r}. A name must not be a path that leads elsewhere (//, ./ or ..).")


def check_length(what: str, value: str, limit: int) -> None:
    """Refuse text longer than ``limit`` characters."""
    if len(value) > limit:
        raise Invalid(f"{what} exceeds the maximum length of {limit} characters (it has {len(value)}).")


def cut(value: str, limit: int) -> str:
    """The first ``limit`` characters of a param's or tag's value.

    Longer values are cut rather than refused: clients log long texts unasked (autologging does), and a refusal ends
    the training they were to describe.
    Source: ``MLFLOW_TRUNCATE_LONG_VALUES``, which a genuine server has on.
    """
    return value if len(value) <= limit else value[:limit]


def check_logged_model_name(name: str) -> None:
    """Refuse a logged model's name that could not be a part of a path."""
    if any(character in name for character in "/:.%\"'"):
        raise Invalid(f"Invalid model name: {name[:80]!r}. A name must not contain / : . % \" or '.")
    check_length("Model name", name, KEY_LENGTH)


def check_batch(metrics: int, params: int, tags: int) -> None:
    """Refuse a batch with more items than one call may carry."""
    for kind, count, limit in (
        ("metrics", metrics, METRICS_PER_BATCH),
        ("params", params, PARAMS_PER_BATCH),
        ("tags", tags, TAGS_PER_BATCH),
    ):
        if count > limit:
            raise Invalid(f"A batch logging request can contain at most {limit} {kind}. Got {count} {kind}.")
    total = metrics + params + tags
    if total > ITEMS_PER_BATCH:
        raise Invalid(f"A batch logging request can contain at most {ITEMS_PER_BATCH} items. Got {total} items.")


def experiment_number(experiment_id: str) -> int | None:
    """The number in an experiment's id; None when no experiment can have this id."""
    return int(experiment_id) if experiment_id.isdecimal() and len(experiment_id) <= _ID_LENGTH else None


def experiment_numbers(experiment_ids: Iterable[str]) -> list[int]:
    """The numbers of several experiments, each once, in order; ids that can be no experiment's are left out."""
    return sorted({number for id in experiment_ids if (number := experiment_number(id)) is not None})


def searched_experiments(experiment_ids: Iterable[str]) -> list[int]:
    """As ``experiment_numbers``, for a question that is asked about all of them at once.

    Raises:
        Invalid: they are more than one question can name.
    """
    numbers = experiment_numbers(experiment_ids)
    if len(numbers) > EXPERIMENTS_PER_SEARCH:
        raise Invalid(
            f"A search may name at most {EXPERIMENTS_PER_SEARCH} experiments (there are {len(numbers)}). "
            "Search some at a time."
        )
    return numbers


def check_int64(what: str, value: int) -> None:
    """Refuse a number that does not fit 64 bits."""
    if not -INT64 <= value < INT64:
        raise Invalid(f"{what} does not fit a 64-bit number: {value}.")


def check_time(key: str, at: int) -> None:
    """Refuse a time before 1970."""
    if at < 0:
        raise Invalid(
            f"Invalid value {at} for parameter 'timestamp' of metric {key!r}: milliseconds since 1970 are >= 0."
        )


def check_experiment_name(name: str) -> None:
    """Refuse an experiment name that is empty or too long."""
    if not name.strip():
        raise Invalid("Invalid experiment name: it must not be empty.")
    check_length("Experiment name", name, EXPERIMENT_NAME_LENGTH)


def check_model_name(name: str) -> None:
    """Refuse a registered model name that could not be written in a ``models:/`` address."""
    if not name:
        raise Invalid("Registered model name cannot be empty.")
    if "/" in name or ":" in name:
        raise Invalid(f"Invalid model name: {name!r}. A name must not contain '/' or ':'.")
    check_length("Registered model name", name, 256)


def check_alias(alias: str) -> None:
    """Refuse an alias that is empty, too long, reserved, or looks like a version."""
    if not alias:
        raise Invalid("Registered model alias name cannot be empty.")
    check_length("Registered model alias name", alias, ALIAS_LENGTH)
    if not _ALIAS.fullmatch(alias):
        raise Invalid(f"Invalid alias name: {alias!r}. Use letters, digits, underscores and dashes.")
    if alias.lower() == "latest" or _VERSION_LIKE.fullmatch(alias):
        raise Invalid(f"{alias!r} is reserved and cannot be used as an alias name.")
