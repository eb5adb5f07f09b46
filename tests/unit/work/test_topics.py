"""Open pages hear of what concerns them."""

from __future__ import annotations

from stile.people.events import UseCaseCreated
from stile.work.topics import topics_of


def test_topics_name_storey_and_use_case_when_an_event_has_one():
    event = UseCaseCreated(use_case="early-detection", by="ana")
    assert topics_of(event) == ["people:early-detection", "use-case:early-detection", "inbox"]
