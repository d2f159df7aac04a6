"""Any word of a request finds it, on both databases, as soon as it is stored and as long as it is there."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, text, update
from sqlalchemy.orm import Session

from centralino.rig.history import fill_directory, fill_history
from tickets.database import Database
from tickets.directory import (
    add_company,
    add_contact,
    assign_phone,
    edit_company,
    edit_contact,
    merge_contacts,
)
from tickets.lifecycle import Role
from tickets.models import Channel, Kind, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import (
    NewRequest,
    add_event,
    add_note,
    close_request,
    edit_request,
    merge_into,
    move_request,
    open_request,
    user_replied,
)
from tickets.search import Query, read_query, search, split
from tickets.texts import clean_text
from voicemail.audio import KeptAudio
from voicemail.operations import begin_message, erase_message, file_message, store_transcript
from voicemail.transcript import Transcript, Word

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOSTILE = (
    *(
        "",
        " ",
        "'",
        '"',
        '""',
        "\"'*",
        "*",
        "a*",
        "^a",
        "-",
        "--",
        "a-b",
        "NOT",
        "AND OR NOT",
        "NEAR(a b)",
        "a AND",
        "words:a",
    ),
    *(
        "\x00",
        "a\x00b",
        "\ud800",
        "\ue000",
        "\ue0011",
        "\u202e",
        "()",
        "((((",
        ")",
        ":*",
        "'a':*",
        "a & !b",
        "\\",
        "\\'",
        "%",
        "_",
    ),
    *(
        "{}",
        "${a}",
        "'; DROP TABLE request; --",
        "à" * 5000,
        "a " * 5000,
        "٣٤",
        "ﬁ",
        "½",
        "1e5",
        "0x1f",
        "5.3",
        "-7",
        "𝒜",
        "漢字",
        "й",
        "ǆ",
    ),
    *("x" * 10_000, "'" * 10_000, '" OR "' * 2_000, "\u0301" * 50, "İ", "ß", "ΰ", "\U000e0001", "é́"),
)


async def found(database: Database, typed: str, **asked: Any) -> list[str]:
    """The subjects that a text finds, in their order."""

    def find(session: Session) -> list[str]:
        query = read_query(session, typed)
        if query is None:
            return []
        return [session.get_one(Request, id_).subject for id_ in search(session, query, limit=50, **asked)]

    return await database.read(find)


async def opened(database: Database, notices: Notices, subject: str, **fields: Any) -> Request:
    known: dict[str, Any] = {"kind": Kind.PROBLEM, "area": "application", "channel": Channel.EMAIL, "received_at": NOW}
    return await database.run(open_request, NewRequest(subject=subject, **(known | fields)), notices, now=NOW)


async def closed(database: Database, notices: Notices, request: Request, solution: str = "Fatto") -> None:
    await database.run(close_request, request.id, notices, solution=solution, actor="giulia", now=NOW)


async def test_every_field_finds_it(database: Database, notices: Notices) -> None:
    company = await database.run(add_company, "ASL Bari Ospedale Di Venere")
    person = await database.run(
        add_contact,
        "Nicolò D'Amico",
        user_code="DMCNCL80",
        phones=["080 555 4321"],
        email="nicolo.damico@asl.example",
        company_id=company.id,
    )
    addresses = ["nicolo.damico@asl.example", "reparto@ospedale.example"]
    await database.run(edit_contact, person.id, {"emails": addresses}, actor="a", now=NOW)
    request = await opened(
        database,
        notices,
        "Stampante dell'ospedale ferma",
        description="Il toner è esaurito.\nSecondo piano; stanza n. 12/B (perché?)",
        contact_id=person.id,
        company_id=company.id,
        email="segreteria_2@altra.example",
        phone="+393471234567",
    )
    await opened(database, notices, "Un'altra cosa")
    await database.run(add_note, request.id, "Richiamare dopo pranzo", actor="giulia", now=NOW)
    await database.run(user_replied, request.id, notices, "Adesso lampeggia", now=NOW)
    await closed(database, notices, request, "Cartuccia sostituita")
    ticket = request.ticket or ""
    for typed in (
        *(ticket, ticket[:6], f"{ticket[:3]} {ticket[3:]}", f"{ticket[:3]} {ticket[3:6]}"),
        *(
            "stampante",
            "STAMP",
            "dell'ospedale",
            "dell’ospedale",
            "ospedale",
            "ferma stampante",
            "ospedale, ferma!",
        ),
        *("toner", "è esaurito", "e esaurito", "esauri", "perche", "perché", "PERCHÉ", "12/B", "stanza 12"),
        *("pranzo", "lampeggia", "cartuccia", "toner pranzo cartuccia"),
        *("Nicolò", "nicolo", "NICOLO'", "d'amico", "d amico", "amico", "damico", "nicolo damico", "dmcncl80", "DMC"),
        *("asl", "di venere", "asl toner", "venere nicolo lampeg"),
        *(
            "nicolo.damico@asl.example",
            "damico@asl",
            "segreteria_2@altra.example",
            "reparto@ospedale.example",
            "altra.example",
        ),
        *(
            "+393471234567",
            "393471234567",
            "3471234567",
            "347 1234567",
            "347 123 4567",
            "+39 347 123 4567",
            "0039 347 1234567",
        ),
        *(
            "00393471234567",
            "347",
            "347 123",
            "(347) 123-45-67",
            "0805554321",
            "080 555 4321",
            "080/5554321",
            "+39 080 555 4321",
        ),
    ):
        assert await found(database, typed) == ["Stampante dell'ospedale ferma"], typed
    for typed in ("tampante", "toner mai", "1234567", "asl lecce", "080 555 9999"):
        assert await found(database, typed) == [], typed


async def test_a_transcript_finds_the_request_of_its_message_until_it_is_erased(
    database: Database, notices: Notices
) -> None:
    def leave(session: Session) -> int:
        begin_message(
            session,
            message_id="m1",
            call_id=None,
            line="0805551000",
            language="it",
            caller="+390805551234",
            contact_id=None,
            area="credentials",
            now=NOW,
        )
        kept = KeptAudio(path="m1.wav", sha256="0" * 64, seconds=5.0, speech_seconds=4.0)
        request = file_message(session, "m1", kept, notices, take=1, callback="0995557777", now=NOW)
        assert request is not None
        return request.id

    await database.run(leave)
    words = tuple(Word(word, i, i + 0.5, 0.9) for i, word in enumerate(["non", "riesco", "più", "a", "refertare"]))
    assert await found(database, "refertare") == []
    await database.run(store_transcript, "m1", Transcript(words), now=NOW)
    assert len(await found(database, "refertare piu")) == 1
    assert len(await found(database, "099 555 7777")) == 1
    await database.run(erase_message, "m1", now=NOW)
    assert await found(database, "refertare") == []


async def test_what_changes_is_found_as_it_is_now(database: Database, notices: Notices) -> None:
    asl, ao = [await database.run(add_company, name) for name in ("ASL Bari", "AO Policlinico")]
    anna = await database.run(add_contact, "Anna Bianchi", phones=["0805551111"], company_id=asl.id)
    double = await database.run(add_contact, "Anna B.", phones=["0805552222"], company_id=asl.id)
    request = await opened(database, notices, "Referto", contact_id=anna.id, company_id=asl.id)
    other = await opened(database, notices, "Password", contact_id=double.id, company_id=asl.id)
    await database.run(edit_request, request.id, {"subject": "Cartella", "description": "chiusa"}, actor="a", now=NOW)
    assert (await found(database, "referto"), await found(database, "cartella chiusa")) == ([], ["Cartella"])
    await database.run(edit_request, request.id, {"contact_id": None}, actor="a", now=NOW)
    assert await found(database, "bianchi") == []
    await database.run(edit_request, request.id, {"contact_id": anna.id}, actor="a", now=NOW)
    await database.run(edit_contact, anna.id, {"name": "Anna Verdi"}, actor="a", now=NOW)
    assert (await found(database, "bianchi"), await found(database, "verdi")) == ([], ["Cartella"])
    await database.run(assign_phone, anna.id, "0995553333")
    assert await found(database, "099 555 3333") == ["Cartella"]
    await database.run(edit_company, ao.id, {"name": "Azienda Consorziale"})
    assert await found(database, "consorziale") == []
    await database.run(edit_request, other.id, {"company_id": ao.id}, actor="a", now=NOW)
    assert (await found(database, "consorz"), await found(database, "asl")) == (["Password"], ["Cartella"])
    await database.run(edit_company, ao.id, {"name": "Fondazione Rossini"})
    assert (await found(database, "consorz"), await found(database, "rossini")) == ([], ["Password"])
    await database.run(merge_contacts, anna.id, double.id, actor="a", now=NOW)
    assert await found(database, "verdi") == ["Password", "Cartella"]
    assert await found(database, "0805552222") == ["Password", "Cartella"]
    await database.run(merge_into, other.id, request.id, notices, actor="giulia", now=NOW)
    assert await found(database, "verdi") == ["Cartella", "Password"]  # the one that was merged is closed

    def forget(session: Session) -> None:
        session.execute(delete(RequestEvent).where(RequestEvent.request_id == other.id))
        for table in ("promise", "outbox_mail"):
            session.execute(text(f"DELETE FROM {table} WHERE request_id = :id"), {"id": other.id})
        session.execute(delete(Request).where(Request.id == other.id))

    await database.run(forget)
    assert await found(database, "verdi") == ["Cartella"]


async def test_open_ones_come_before_closed_ones_and_the_newest_first(database: Database, notices: Notices) -> None:
    requests = [await opened(database, notices, f"Stampa {n}") for n in range(6)]
    for request in requests[3:5]:
        await closed(database, notices, request)
    assert await found(database, "stampa") == [f"Stampa {n}" for n in (5, 2, 1, 0, 4, 3)]
    assert await found(database, "stampa", closed=True) == ["Stampa 4", "Stampa 3"]
    assert await found(database, "stampa", closed=False, where=[Request.id < requests[2].id]) == [
        "Stampa 1",
        "Stampa 0",
    ]
    await database.run(
        move_request,
        requests[3].id,
        Status.QUEUED,
        notices,
        actor="giulia",
        role=Role.AGENT,
        now=NOW + timedelta(hours=1),
    )
    assert await found(database, "stampa", closed=True) == ["Stampa 4"]


async def test_a_synthetic_call_is_found_by_nobody(database: Database, notices: Notices) -> None:
    await opened(database, notices, "Vera")

    def make_synthetic(session: Session) -> None:
        values = "kind, area, channel, impact, urgency, level, status, subject, description, language, received_at"
        values += ", opened_at, version"
        session.execute(text(f"INSERT INTO request (id, ticket, {values}) SELECT -5, '899999', {values} FROM request"))
        session.execute(update(Request).where(Request.id == -5).values(subject="Finta"))

    await database.run(make_synthetic)
    assert await found(database, "finta") == []


@pytest.mark.parametrize("typed", HOSTILE, ids=lambda one: repr(one)[:20])
async def test_nothing_that_is_typed_is_an_error(database: Database, notices: Notices, typed: str) -> None:
    await opened(database, notices, "Stampa")
    assert await found(database, typed) in ([], ["Stampa"])


async def test_whatever_a_request_holds_it_is_stored_and_its_own_words_find_it(
    database: Database, notices: Notices
) -> None:
    """Also what an index stumbles over must not keep a request from being filed."""
    for number, words in enumerate(HOSTILE):
        clean = words.replace("\x00", "").encode("utf-8", "replace").decode()
        request = await opened(database, notices, f"Caso {number}", description=f"{clean} segnale{number}x")
        await database.run(add_note, request.id, f"x {words}", actor="giulia", now=NOW)

        def raw(session: Session, request_id: int = request.id, words: str = words) -> None:
            # not as the operations write it, but as it may have come into a database
            add_event(session, session.get_one(Request, request_id), "note", "x", {"text": words}, NOW)
            for odd in ([1, "a\x00b"], "text", 7, None):
                session.add(RequestEvent(request_id=request_id, at=NOW, actor="x", kind="note", details=odd))

        await database.run(raw)
        assert await found(database, f"segnale{number}x") in ([f"Caso {number}"], []), words
    assert await found(database, "caso 1") != []


WRITTEN = st.characters(
    max_codepoint=0x17F, categories=("Lu", "Ll", "Nd", "Po", "Pd", "Ps", "Pe", "Zs", "Sm", "Sc", "Cc")
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(WRITTEN | st.sampled_from("’‘“”«»–—…€·è\u0301"), max_size=40))
@example("0E0A")
@example("codice 12e3x 0E0B, 7e7")
def test_any_word_of_a_text_finds_it(migrated: Session, written: str) -> None:
    """Of what is written in Europe; what stranger signs divide is the databases' own affair."""
    description = clean_text(written)
    migrated.execute(update(Request).where(Request.id == 1).values(description=description))
    for word in split(description):
        query = read_query(migrated, word)
        assert query is not None
        assert search(migrated, query, limit=5) == [1], (description, word)


@pytest.fixture
async def migrated(database: Database, notices: Notices) -> Any:
    await opened(database, notices, "Zero")
    with Session(database.engine) as session:
        yield session


async def test_two_who_add_to_one_request_at_once_are_both_found(database: Database, notices: Notices) -> None:
    requests = [await opened(database, notices, f"Caso {n}") for n in range(5)]
    await asyncio.gather(
        *(database.run(add_note, one.id, f"parola{n}", actor="a", now=NOW) for one in requests for n in range(6))
    )
    for n in range(6):
        assert len(await found(database, f"caso parola{n}")) == 5


async def test_the_index_answers_and_no_table_is_read_whole(database: Database) -> None:
    """Of many rows, each kind of question is answered by an index; so it takes no longer with years of rows."""

    def fill(session: Session) -> None:
        fill_directory(session.connection(), 500)
        fill_history(session.connection(), 3000)
        session.execute(text("UPDATE request SET subject = 'parola' || id"))
        if session.get_bind().dialect.name != "sqlite":
            session.execute(text("ANALYZE request_search"))

    await database.run(fill)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, values))

    def explain(session: Session, query: Query, where: Any) -> list[str]:
        asked.clear()
        search(session, query, where=where, limit=50)
        plans = []
        for statement, values in [one for one in asked if "request_search" in one[0] and "max(" not in one[0]]:
            how = "EXPLAIN QUERY PLAN " if session.get_bind().dialect.name == "sqlite" else "EXPLAIN "
            if how == "EXPLAIN ":
                session.execute(text("SET LOCAL enable_seqscan = off"))
            rows = session.connection().exec_driver_sql(how + statement, values)
            plans.append("\n".join(str(row[-1]) for row in rows))
        return plans

    def look(session: Session) -> None:
        event.listen(database.engine, "before_cursor_execute", note)
        for typed in ("p", "parola123", "parola2999 utente", "azienda stampa"):
            query = read_query(session, typed)
            assert query is not None
            for where in ([], [Request.level == 1]):
                plans = explain(session, query, where)
                assert plans
                for plan in plans:
                    if session.get_bind().dialect.name == "sqlite":
                        assert "request_search VIRTUAL TABLE INDEX" in plan, plan
                        assert "SCAN request\n" not in f"{plan}\n", plan
                    else:
                        assert "Seq Scan on request_search" not in plan, plan
                        assert "ix_request_search" in plan or "pk_request_search" in plan, plan

    await database.read(look)
    assert len(await found(database, "parola2999")) == 1
