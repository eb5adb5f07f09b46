"""What happens in the data storey."""

from __future__ import annotations

from stile.kernel.events import Event


class ContractPublished(Event, frozen=True, kw_only=True):
    """A use case has a new version of its data contract."""

    use_case: str
    version: int
    digest: str
    by: str


class DatasetRegistered(Event, frozen=True, kw_only=True):
    """A table kept its contract and became a dataset version."""

    use_case: str
    dataset: str  # its name
    digest: str
    role: str
    rows: int
    by: str
