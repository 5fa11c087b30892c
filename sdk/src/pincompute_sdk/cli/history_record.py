"""A record of history in a few words; `pin timeline` has the server's own sentences."""

from __future__ import annotations

from pincompute_sdk.generated.models import Decision, Event, Exit, Operation, Revision, State


def kind(record: object) -> str:
    return type(record).__name__.lower()


def author(record: object) -> str:
    return record.author if isinstance(record, Operation | Revision) else ""


def sentence(record: Revision | Decision | State | Exit | Event | Operation) -> str:
    match record:
        case Revision():
            return f"revision {record.revision}"
        case Decision():
            where = ", ".join(f"{row.replicas} in {row.zone}" for row in record.scheduling.placement)
            unplaced = f", {record.scheduling.unplaced} without a place" if record.scheduling.unplaced else ""
            return f"placed: {where or 'nowhere'}{unplaced}"
        case State():
            return f"{record.before} → {record.after}" if record.before else record.after
        case Exit():
            why = f": {record.reason}" if record.reason else ""
            return f"{record.container} of {record.pod} ended with {record.code}{why}"
        case Event():
            times = f" ({record.count}x)" if record.count > 1 else ""
            return f"{record.reason}: {record.message}{times}"
        case Operation():
            return " ".join(
                part for part in (record.verb, record.detail, f"({record.reason})" if record.reason else "") if part
            )
