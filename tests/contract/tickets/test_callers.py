"""Who is calling, and what the desk knows of them."""

from datetime import UTC, datetime, timedelta

import pytest

from tickets import directory, operations, queries
from tickets.changes import Change
from tickets.database import Database
from tickets.errors import DuplicateEntry, InvalidInput, NotFound
from tickets.models import Channel, Contact, Kind
from tickets.notices import Notices
from tickets.queries import CallerMatch, Confidence

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


async def identify(database: Database, caller: str | None) -> CallerMatch:
    return await database.read(queries.identify_caller, caller)


@pytest.fixture
async def anna(database: Database) -> Contact:
    company = await database.run(directory.add_company, "ASL Bari", ["080 5842111"])
    return await database.run(
        directory.add_contact,
        "Anna Rossi",
        user_code="rssnna",
        email="anna.rossi@asl.example",
        company_id=company.id,
        phones=["080/5551234", "204"],
    )


@pytest.mark.parametrize("caller", ["0805551234", "+390805551234", "00390805551234", "204"])
async def test_an_exact_number_is_known(database: Database, anna: Contact, caller: str) -> None:
    match = await identify(database, caller)
    assert (match.confidence, match.reason) == (Confidence.KNOWN, "exact_number")
    assert [contact.name for contact in match.contacts] == ["Anna Rossi"]
    assert match.company is not None
    assert match.company.name == "ASL Bari"


@pytest.mark.parametrize("caller", ["805551234", "+41805551234", "+4990805551234"])
async def test_an_equal_ending_is_only_probable(database: Database, anna: Contact, caller: str) -> None:
    match = await identify(database, caller)
    assert (match.confidence, match.reason) == (Confidence.PROBABLE, "number_ending")
    assert [contact.id for contact in match.contacts] == [anna.id]


async def test_a_number_shared_by_several_people_gives_them_all(database: Database, anna: Contact) -> None:
    other = await database.run(directory.add_contact, "Bruno Bianchi", phones=["0805551234"])
    match = await identify(database, "0805551234")
    assert (match.confidence, match.reason) == (Confidence.SEVERAL, "shared_number")
    assert {contact.id for contact in match.contacts} == {anna.id, other.id}
    assert match.company is None  # they are not of one company


async def test_an_exact_number_counts_more_than_an_equal_ending(database: Database, anna: Contact) -> None:
    swiss = await database.run(directory.add_contact, "Beat Meier", phones=["+41 80 555 12 34"])
    match = await identify(database, "0805551234")
    assert [contact.id for contact in match.contacts] == [anna.id]
    match = await identify(database, "+41805551234")
    assert (match.confidence, [contact.id for contact in match.contacts]) == (Confidence.KNOWN, [swiss.id])
    match = await identify(database, "+40805551234")
    assert (match.confidence, match.reason) == (Confidence.SEVERAL, "number_ending")


async def test_a_companys_number_tells_the_company_only(database: Database, anna: Contact) -> None:
    match = await identify(database, "0805842111")
    assert (match.confidence, match.reason, match.contacts) == (Confidence.PROBABLE, "company_number", [])
    assert match.company is not None
    assert match.company.name == "ASL Bari"


@pytest.mark.parametrize("caller", [None, "", "anonymous", "0"])
async def test_a_withheld_number_is_withheld(database: Database, anna: Contact, caller: str | None) -> None:
    match = await identify(database, caller)
    assert match == CallerMatch(Confidence.WITHHELD, reason="withheld")


@pytest.mark.parametrize("caller", ["0999999999", "9" * 200, "'; DROP TABLE phone; --", "x\x00\ud800", "%", "205"])
async def test_anything_else_is_unknown(database: Database, anna: Contact, caller: str) -> None:
    match = await identify(database, caller)
    assert (match.confidence, match.reason) == (Confidence.UNKNOWN, "not_in_directory")


async def test_a_number_assigned_during_a_call_is_recognised_next_time(database: Database, anna: Contact) -> None:
    heard: list[frozenset[Change]] = []
    database.subscribe(heard.append)
    phone = await database.run(directory.assign_phone, anna.id, "333 123 4567")
    assert phone.e164 == "+393331234567"
    assert heard == [frozenset({Change("contact", anna.id)})]
    again = await database.run(directory.assign_phone, anna.id, "+39 3331234567")
    assert again.id == phone.id
    assert (await identify(database, "3331234567")).confidence == Confidence.KNOWN


async def test_the_directory_refuses_doubles_and_nonsense(database: Database, anna: Contact) -> None:
    with pytest.raises(DuplicateEntry, match="ASL Bari"):
        await database.run(directory.add_company, "ASL  Bari")
    with pytest.raises(DuplicateEntry, match="rssnna"):
        await database.run(directory.add_contact, "Altra Rossi", user_code="rssnna")
    with pytest.raises(NotFound, match="no company"):
        await database.run(directory.add_contact, "Carlo Verdi", company_id=99)
    for field in ("phone", "name", "email"):
        with pytest.raises(InvalidInput, match=field):
            await database.run(
                directory.add_contact,
                "" if field == "name" else "Carlo Verdi",
                email="carlo" if field == "email" else None,
                phones=["anonymous"] if field == "phone" else [],
            )
    assert await database.read(queries.contacts, "carlo") == []


@pytest.mark.parametrize(
    "text", ["anna", "ROSSI an", "rssnna", "anna.rossi@asl", "asl bari", "555 1234", "+39 080 5551234", " Rossi  "]
)
async def test_a_contact_is_found_by_any_of_its_words(database: Database, anna: Contact, text: str) -> None:
    await database.run(directory.add_contact, "Bruno Bianchi")
    assert [contact.id for contact in await database.read(queries.contacts, text)] == [anna.id]


@pytest.mark.parametrize("text", ["", " ", "%", "_", "anna%rossi", "\x00", "\\", "'", "x" * 500, "anna bianchi"])
async def test_a_search_text_is_no_pattern(database: Database, anna: Contact, text: str) -> None:
    await database.run(directory.add_contact, "Bruno Bianchi")
    assert await database.read(queries.contacts, text) == []


async def test_a_callers_requests_come_open_first_then_latest(
    database: Database, anna: Contact, notices: Notices
) -> None:
    async def opened(day: int, contact_id: int | None = None, phone: str | None = None) -> int:
        new = operations.NewRequest(
            kind=Kind.QUESTION,
            area="use",
            channel=Channel.PHONE,
            subject=f"giorno {day}",
            received_at=NOW,
            contact_id=contact_id,
            phone=phone,
            actor="bruno",
        )
        return (await database.run(operations.open_request, new, notices, now=NOW + timedelta(days=day))).id

    old_open = await opened(1, anna.id)
    closed = await opened(2, anna.id)
    await database.run(operations.close_request, closed, notices, solution="x", actor="bruno", now=NOW)
    before_known = await opened(3, phone="0805551234")
    new_open = await opened(4, anna.id)
    await opened(5)

    async def of(caller: str | None, limit: int = 20) -> list[int]:
        match = await identify(database, caller)
        return [request.id for request in await database.read(queries.requests_of_caller, match, limit)]

    assert await of("0805551234") == [new_open, before_known, old_open, closed]
    assert await of("0805551234", 2) == [new_open, before_known]
    assert await of("0805842111") == [new_open, old_open, closed]  # of the company
    assert await of(None) == []
    assert await of("0999999999") == []
