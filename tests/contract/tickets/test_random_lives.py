"""Random sequences of everything that is done with requests, beside a small model of what must come of it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets import directory, levels, operations
from tickets.database import Base, Database
from tickets.errors import InvalidInput, MoveRefused, RequestClosed, RequestTaken, TicketsError
from tickets.lifecycle import REOPEN_WITHIN, TRANSITIONS, Role
from tickets.models import CLOSED_STATUSES, Channel, Company, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices, NoticeSettings
from tickets.operations import UNTAKEN, NewRequest

pytestmark = pytest.mark.contract

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
AGENTS = ("anna", "bruno")
SOLVED = (Status.RESOLVED, Status.CLOSED)


@dataclass
class Meant:
    """What a request should be."""

    status: Status
    area: str
    level: int = 1
    holder: str | None = None
    taken: bool = False
    closed_at: datetime | None = None
    parent: int | None = None
    merged_into: int | None = None
    events: int = 1
    mails: int = 1

    @property
    def is_open(self) -> bool:
        return self.status not in CLOSED_STATUSES


class Lives(RuleBasedStateMachine):
    """Each rule does one thing to the database and to the model, and compares whether it was refused."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'lives.db'}")
        Base.metadata.create_all(self.database.engine)
        self.notices = Notices(NoticeSettings())
        self.now = START
        self.meant: dict[int, Meant] = {}

        def prepare(session: Session) -> tuple[int, int]:
            company = directory.add_company(session, "ASL")
            company.level_0_email = "livello0@asl.example"
            return company.id, levels.add_group(session, "Sistemisti", 2).id

        self.company_id, self.group_id = self.run(prepare)

    def teardown(self) -> None:
        self.database.engine.dispose()
        self.folder.cleanup()

    def run(self, operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with Session(self.database.engine.execution_options(writes=True), expire_on_commit=False) as session:
            result = operation(session, *args, **options)
            session.commit()
        return result

    def attempt(self, allowed: bool, operation: Callable[..., Any], *args: Any, **options: Any) -> bool:
        """Do it, and see that it is refused exactly when it must be."""
        refused: TicketsError | None = None
        try:
            self.run(operation, *args, **options)
        except (MoveRefused, InvalidInput, RequestClosed, RequestTaken) as error:
            refused = error
        assert (refused is None) == allowed, f"refused: {refused}" if refused else "should have been refused"
        return refused is None

    def late(self, request: Meant) -> bool:
        return request.closed_at is not None and self.now - request.closed_at > REOPEN_WITHIN

    def moves(self, request: Meant, to: Status, holder: str | None = None, role: Role = Role.AGENT) -> None:
        """What one move does to one request."""
        before = request.status
        if before in CLOSED_STATUSES and to not in CLOSED_STATUSES:
            request.mails += 1  # that it is open again
        stays = role == Role.LEVEL_0 and to == Status.IN_PROGRESS  # at level 0, with the company's own desk
        if to in SOLVED and before not in CLOSED_STATUSES and not request.taken:
            request.events += 1
            request.taken, request.holder = True, None if role == Role.LEVEL_0 else holder
        if to == Status.IN_PROGRESS:
            request.taken, request.holder = True, holder
        if to == Status.QUEUED:
            request.holder = None
        request.status = to
        if request.level == 0 and to in (Status.QUEUED, Status.IN_PROGRESS) and not stays:
            request.level = 1
        if to in CLOSED_STATUSES:
            request.closed_at = request.closed_at or self.now
        else:
            request.closed_at = request.merged_into = None
        request.events += 1

    def tell_doubles(self, request: Meant) -> None:
        """Those merged into it are told how it was solved."""
        id_ = next(id_ for id_, one in self.meant.items() if one is request)
        for double in [one for one in self.meant.values() if one.merged_into == id_]:
            double.events += 1
            double.mails += 1
            self.tell_doubles(double)

    # ------------------------------------------------------------------------------------------------------- rules

    @rule(target=requests, area=st.sampled_from(("use", "network")), count=st.integers(1, 3))
    def open(self, area: str, count: int) -> Any:
        ids = []
        for _ in range(count):
            new = NewRequest(
                kind=Kind.REQUEST,
                area=area,
                channel=Channel.EMAIL,
                subject="x",
                received_at=self.now,
                email="u@asl.example",
                company_id=self.company_id,
            )
            request = self.run(operations.open_request, new, self.notices, now=self.now)
            self.meant[request.id] = Meant(Status.QUEUED, area)
            ids.append(request.id)
        return multiple(*ids)

    @rule(hours=st.integers(1, 100))
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(id_=requests, to=st.sampled_from(Status), role=st.sampled_from(Role), text=st.sampled_from(("", "perché sì")))
    def move(self, id_: int, to: Status, role: Role, text: str) -> None:
        request = self.meant[id_]
        before = request.status
        actor = "anna" if role in (Role.AGENT, Role.SUPERVISOR) else "system"
        allowed = role in TRANSITIONS.get((before, to), ())
        if not request.is_open and to not in CLOSED_STATUSES and self.late(request):
            allowed = False
        needs = to in (Status.PENDING_USER, Status.PENDING_THIRD_PARTY, Status.CANCELLED, *SOLVED)
        if needs and not text and not (before == Status.RESOLVED and to == Status.CLOSED):
            allowed = False
        acting = actor if actor != "system" else None
        holder = (acting or request.holder) if before in UNTAKEN else (request.holder or acting)
        if to == Status.IN_PROGRESS and holder is None and not (role == Role.LEVEL_0 and request.level == 0):
            allowed = False
        options: dict[str, Any] = {"actor": actor, "role": role, "text": text, "now": self.now}
        if not self.attempt(allowed, operations.move_request, id_, to, self.notices, **options):
            return
        below = [child for child in self.meant.values() if child.parent == id_ and child.is_open]
        for one in (request, *(below if to in SOLVED and before not in SOLVED else ())):
            told = to in (Status.PENDING_USER, Status.RESOLVED, Status.CANCELLED) or (to == Status.CLOSED and text)
            self.moves(one, to, actor if to in SOLVED else holder, role)
            one.mails += bool(told)
            if to in SOLVED and text:
                self.tell_doubles(one)

    @rule(id_=requests, actor=st.sampled_from(AGENTS))
    def take(self, id_: int, actor: str) -> None:
        request = self.meant[id_]
        allowed = request.is_open and (request.status in UNTAKEN or request.holder == actor)
        waited = request.status in UNTAKEN
        if self.attempt(allowed, operations.take_in_charge, id_, actor=actor, now=self.now) and waited:
            self.moves(request, Status.IN_PROGRESS, actor)

    @rule(id_=requests)
    def user_replies(self, id_: int) -> None:
        request = self.meant[id_]
        while request.merged_into is not None:
            request = self.meant[request.merged_into]
        allowed = request.is_open or (request.status in SOLVED and not self.late(request))
        if self.attempt(allowed, operations.user_replied, id_, self.notices, "ecco", now=self.now):
            request.events += 1
            if request.status == Status.PENDING_USER or not request.is_open:
                holder = request.holder
                self.moves(request, Status.IN_PROGRESS if holder else Status.QUEUED, holder)

    @rule(id_=requests, other=requests)
    def link(self, id_: int, other: int) -> None:
        child, parent = self.meant[id_], self.meant[other]
        has_children = any(one.parent == id_ and one.is_open for one in self.meant.values())
        allowed = id_ != other and child.is_open and parent.is_open and parent.parent is None and not has_children
        known = child.parent == other
        if self.attempt(allowed, operations.link_child, id_, other, actor="anna", now=self.now) and not known:
            child.parent = other
            child.events += 1
            parent.events += 1

    @rule(id_=requests, other=requests)
    def merge(self, id_: int, other: int) -> None:
        double, kept = self.meant[id_], self.meant[other]
        allowed = id_ != other and double.is_open and kept.is_open
        if not self.attempt(allowed, operations.merge_into, id_, other, self.notices, actor="anna", now=self.now):
            return
        if kept.parent == id_:
            kept.parent = None
            kept.events += 1
            double.events += 1
        above = kept.parent or other
        for child_id, child in self.meant.items():
            if child.parent == id_ and child.is_open and child_id != other:
                child.parent = above
                child.events += 1
                self.meant[above].events += 1
        double.merged_into = other
        self.moves(double, Status.CLOSED, "anna")
        double.mails += 1
        double.events += 1
        kept.events += 1

    @rule(id_=requests, role=st.sampled_from(Role))
    def escalate(self, id_: int, role: Role) -> None:
        request = self.meant[id_]
        allowed = request.is_open and request.level == 1 and role in (Role.AGENT, Role.SUPERVISOR, Role.SYSTEM)
        options: dict[str, Any] = {"reason": "a", "handover": "b", "actor": "anna", "role": role, "now": self.now}
        if self.attempt(allowed, levels.escalate, id_, self.group_id, self.notices, **options):
            request.level, request.holder, request.status = 2, None, Status.QUEUED
            request.events += 1

    @rule(id_=requests)
    def hand_back(self, id_: int) -> None:
        request = self.meant[id_]
        options: dict[str, Any] = {"note": "a", "actor": "anna", "role": Role.AGENT, "now": self.now}
        if self.attempt(request.is_open and request.level == 2, levels.hand_back, id_, self.notices, **options):
            request.level, request.holder, request.status = 1, None, Status.QUEUED
            request.events += 1

    @rule(id_=requests)
    def refer(self, id_: int) -> None:
        request = self.meant[id_]
        allowed = request.is_open and request.level == 1 and request.area == "network"
        options: dict[str, Any] = {"reason": "a", "actor": "anna", "role": Role.AGENT, "now": self.now}
        if self.attempt(allowed, levels.refer_to_level_0, id_, self.notices, **options):
            request.level, request.holder, request.status = 0, None, Status.PENDING_THIRD_PARTY
            request.events += 1
            request.mails += 2

    @rule(id_=requests, role=st.sampled_from(Role))
    def recall(self, id_: int, role: Role) -> None:
        request = self.meant[id_]
        allowed = request.is_open and request.level == 0 and role != Role.USER
        options: dict[str, Any] = {"note": "a", "actor": "anna", "role": role, "now": self.now}
        if self.attempt(allowed, levels.recall, id_, self.notices, **options):
            request.level, request.holder, request.status = 1, None, Status.QUEUED
            request.events += 1

    @rule()
    def the_clock_closes_what_was_resolved(self) -> None:
        options: dict[str, Any] = {"now": self.now, "reopen_within": REOPEN_WITHIN, "limit": 100}
        closed = self.run(operations.close_resolved, self.notices, **options)
        due = [one for one in self.meant.values() if one.status == Status.RESOLVED and self.late(one)]
        assert closed == len(due)
        for one in due:
            self.moves(one, Status.CLOSED)

    # -------------------------------------------------------------------------------------------------- what holds

    @invariant()
    def all_is_as_meant(self) -> None:
        with Session(self.database.engine) as session:
            for row in session.scalars(select(Request)):
                meant = self.meant[row.id]
                assert (row.status, row.level, row.holder) == (meant.status, meant.level, meant.holder), row.ticket
                assert (row.closed_at, row.picked_up_at is not None) == (meant.closed_at, meant.taken)
                assert (row.parent_id, row.merged_into_id) == (meant.parent, meant.merged_into)
                assert (row.group_id is not None) == (meant.level == 2)
                assert row.held_since is not None
                history = session.scalars(
                    select(RequestEvent).where(RequestEvent.request_id == row.id).order_by(RequestEvent.id)
                ).all()
                assert len(history) == meant.events
                stands = [event.details["to"] for event in history if "to" in event.details]
                assert row.status == (stands[-1] if stands else Status.QUEUED)
                mails = session.scalars(select(OutboxMail.id).where(OutboxMail.request_id == row.id)).all()
                assert len(mails) == meant.mails
            assert session.scalars(select(Company)).all()


Lives.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestRandomLives = Lives.TestCase
