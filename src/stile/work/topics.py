"""What open pages are told when something happened: names of topics, never contents."""

from __future__ import annotations

from stile.kernel.events import Event

_WAITS_FOR_PEOPLE = frozenset({"people", "train", "govern", "deploy", "monitor", "board"})


def topics_of(event: Event) -> list[str]:
    """The topics an event touches.

    Its storey in its use case (``govern:early-detection``; only ``govern`` when it has none), the
    use case (``use-case:early-detection``), and ``inbox`` when somebody may have to act. A page
    listens to the topics of what it shows and asks for itself again when one is announced.
    """
    storey = type(event).__module__.removeprefix("stile.").split(".")[0]
    use_case = getattr(event, "use_case", "")
    topics = [f"{storey}:{use_case}", f"use-case:{use_case}"] if use_case else [storey]
    if storey in _WAITS_FOR_PEOPLE:
        topics.append("inbox")
    return topics
