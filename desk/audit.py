"""The audit log: who changed or steered what, when, from where, and what it was before.

It is for changes of the desk itself: agents, directory, hours, queues, closures, agents' states, calls moved by a
supervisor. What happens to a request is in the request's own history. No page and no command changes a line; lines are
deleted when `desk.keep_audit_days` are over.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from desk.models import AuditEntry

ACTS = (
    "agent_added",
    "agent_edited",
    "agent_removed",
    "password_set",
    "company_added",
    "company_edited",
    "companies_imported",
    "contact_added",
    "contact_edited",
    "contact_removed",
    "contacts_imported",
    "area_added",
    "area_edited",
    "group_added",
    "group_edited",
    *(f"{what}_{done}" for what in ("hours", "queue", "line") for done in ("added", "edited", "removed")),
    "closed",
    "closure_ended",
    "presence_set",
    "call_moved",
    "call_listened",
)
"""What there is to be noted."""
COMMAND_LINE = "command line"
"""Who did what was done with `centralino agent`; the source is the user of the machine."""
MOST = 200
"""So many lines at most on one page."""
MOST_EXPORTED = 50_000
_LONGEST = 200
_FORMULA_SIGNS = frozenset("=+-@")


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and from where."""

    actor: str
    source: str


def note(
    session: Session,
    by: By,
    act: str,
    subject: str,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    *,
    now: datetime,
) -> None:
    """Add a line, in the transaction of what it tells. Of `old` and `new` only what differs is kept."""
    before, after = dict(old or {}), dict(new or {})
    if old is not None and new is not None:
        same = {key for key in before.keys() & after.keys() if before[key] == after[key]}
        before, after = ({k: v for k, v in one.items() if k not in same} for one in (before, after))
        if not before and not after:
            return
    session.add(
        AuditEntry(
            at=now,
            actor=by.actor,
            act=act,
            subject=subject[:_LONGEST],
            old=before if old is not None else None,
            new=after if new is not None else None,
            source=by.source[:80],
        )
    )


def entries(
    session: Session,
    *,
    actor: str | None = None,
    act: str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    before_id: int | None = None,
    limit: int = MOST,
) -> Sequence[AuditEntry]:
    """Lines, the latest first; `before_id` goes on where an earlier answer ended."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if actor:
        query = query.where(AuditEntry.actor == actor)
    if act:
        query = query.where(AuditEntry.act == act)
    if begin is not None:
        query = query.where(AuditEntry.at >= begin)
    if end is not None:
        query = query.where(AuditEntry.at < end)
    if before_id is not None:
        query = query.where(AuditEntry.id < before_id)
    return session.scalars(query).all()


def forget_entries(session: Session, keep: timedelta, *, now: datetime) -> None:
    """Delete what is older than it is to be kept."""
    session.execute(delete(AuditEntry).where(AuditEntry.at < now - keep))


def as_csv(lines: Sequence[AuditEntry]) -> str:
    """Lines as a file for spreadsheets; times in UTC, what changed as JSON."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "at", "actor", "act", "subject", "old", "new", "source"])
    for one in lines:
        writer.writerow(
            [
                one.id,
                one.at.isoformat(),
                safe_cell(one.actor),
                one.act,
                safe_cell(one.subject),
                *("" if part is None else json.dumps(part, ensure_ascii=False) for part in (one.old, one.new)),
                safe_cell(one.source),
            ]
        )
    return out.getvalue()


def safe_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula (OWASP, CSV injection): one that looks so gets a ' before it."""
    line = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in text).split())
    return f"'{line}" if unicodedata.normalize("NFKC", line)[:1] in _FORMULA_SIGNS else line
