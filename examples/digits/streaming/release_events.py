"""Release events in words, and as marks of the picture."""

from __future__ import annotations

from streaming.history import Line, MarkKind


def described(event: Line) -> str:
    """What happened, for the timeline."""
    outcome, reason = event["event"], event.get("reason", "")
    if outcome == "rejected":
        return f"rejected: {reason}"
    generation = f"generation {event['release']['generation']}"
    if outcome == "accepted":
        return f"accepted as {generation}, verified in {event['verification_secs']:.2f} s"
    if outcome == "rolled_back":
        return f"rolled back to generation {event['rolled_back_to']}, as {generation}"
    if outcome == "activated":
        return f"activated {generation}: {versions(event['release']['models'])}"
    return f"{outcome} {generation}: {reason}"


def mark(event: Line) -> tuple[MarkKind, str]:
    """Its kind and label in the picture."""
    outcome = event["event"]
    if outcome == "rejected":
        return "rejected", "rejected"
    generation = f"generation {event['release']['generation']}"
    if outcome == "rolled_back":
        return "rolled back", f"rolled back to {event['rolled_back_to']}"
    if outcome == "activated":
        return "activated", f"{generation} (forest {event['release']['models']['forest']})"
    return outcome, f"{outcome} as {generation}" if outcome == "accepted" else outcome


def versions(models: dict[str, str]) -> str:
    """The versions of a release, the forest first."""
    return ", ".join(f"{model} {models[model]}" for model in sorted(models, key="forest".__ne__))
