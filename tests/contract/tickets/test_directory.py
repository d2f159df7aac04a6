"""The directory as people keep it: entries are changed, merged and removed, and tables are read in."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session, selectinload

from desk import operations as desk_operations
from ivr.models import Call, Phase
from tickets import areas, credentials, directory, levels, operations, queries
from tickets.database import Database
from tickets.directory_import import (
    ImportRefused,
    ImportRow,
    import_companies,
    import_contacts,
    read_companies,
    read_contacts,
)
from tickets.errors import CredentialsRefused, DuplicateEntry, EntryInUse, InvalidInput, NotFound
from tickets.lifecycle import Role
from tickets.models import (
    AREAS,
    Channel,
    Contact,
    ContactRole,
    Credentials,
    Kind,
    Phone,
    Request,
    RequestEvent,
)
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest
from tickets.queries import Confidence

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
TODAY = date(2026, 11, 30)
NOTICES = Notices(NoticeSettings())
WHO: dict[str, Any] = {"actor": "operatore", "now": NOW}


async def contact(database: Database, name: str, **more: Any) -> int:
    return (await database.run(directory.add_contact, name, **more)).id


async def request_of(database: Database, contact_id: int | None, **more: Any) -> Request:
    new = {"kind": Kind.REQUEST, "area": "credentials", "channel": Channel.EMAIL, "subject": "Accesso", **more}
    return await database.run(
        operations.open_request, NewRequest(received_at=NOW, contact_id=contact_id, **new), NOTICES, now=NOW
    )


async def entry(database: Database, contact_id: int) -> Contact:
    def read(session: Session) -> Contact:
        options = (selectinload(Contact.phones), selectinload(Contact.emails))
        return session.scalars(select(Contact).where(Contact.id == contact_id).options(*options)).one()

    return await database.read(read)


async def addresses(database: Database, contact_id: int) -> list[str]:
    return sorted(row.address for row in (await entry(database, contact_id)).emails)


async def events(database: Database, request_id: int) -> list[tuple[str, dict[str, Any]]]:
    query = select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
    return [(one.kind, one.details) for one in await database.read(lambda session: session.scalars(query).all())]


# --- companies and contacts -------------------------------------------------------------------------------------------


async def test_a_company_gets_its_level_0_desk_and_keeps_the_numbers_that_stay(database: Database) -> None:
    company = await database.run(directory.add_company, "ASL Bari", ["080 5842111", "080 5842112"], code="160114")
    kept = company.phones[0].id
    await database.run(
        directory.edit_company,
        company.id,
        {
            "name": "ASL di Bari",
            "level_0_email": "help@asl.bari.example",
            "level_0_phone": "080 584 2000 (int. 7)",
            "level_0_hours": "lun-ven 8-14",
            "phones": ["+39 080 5842111", "0805842113"],
        },
    )
    (found,) = await database.read(queries.companies)
    assert (found.name, found.code, found.level_0_hours) == ("ASL di Bari", "160114", "lun-ven 8-14")
    assert {phone.e164 for phone in found.phones} == {"+390805842111", "+390805842113"}
    assert kept in {phone.id for phone in found.phones}
    assert (await database.read(directory.find_company, "160114")).id == company.id
    assert (await database.read(directory.find_company, "ASL di  Bari")).id == company.id
    await database.run(directory.edit_company, company.id, {"code": "", "level_0_email": None})
    (found,) = await database.read(queries.companies)
    assert (found.code, found.level_0_email) == (None, None)


async def test_no_two_companies_have_one_name_or_code(database: Database) -> None:
    await database.run(directory.add_company, "ASL Bari", code="160114")
    lecce = await database.run(directory.add_company, "ASL Lecce", code="160116")
    for changes in ({"name": "ASL Bari"}, {"code": "160114"}):
        with pytest.raises(DuplicateEntry):
            await database.run(directory.edit_company, lecce.id, changes)
    with pytest.raises(DuplicateEntry):
        await database.run(directory.add_company, "ASL Taranto", code="160114")
    await database.run(directory.edit_company, lecce.id, {"name": "ASL Lecce", "code": "160116"})  # its own


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " \u200b"},
        {"name": "x" * 201},
        {"code": "x" * 41},
        {"level_0_email": "a@b.example\nBcc: c@d.example"},
        {"level_0_phone": "0" * 65},
        {"phones": ["080 5842111", "interno?"]},
        {"id": 7},
    ],
)
async def test_nothing_of_a_bad_change_of_a_company_is_kept(database: Database, changes: dict[str, Any]) -> None:
    company = await database.run(directory.add_company, "ASL Bari")
    with pytest.raises(InvalidInput):
        await database.run(directory.edit_company, company.id, {"level_0_hours": "mai", **changes})
    (found,) = await database.read(queries.companies)
    assert (found.name, found.level_0_hours) == ("ASL Bari", None)


async def test_a_contact_is_changed_field_by_field(database: Database) -> None:
    bari = await database.run(directory.add_company, "ASL Bari")
    lecce = await database.run(directory.add_company, "ASL Lecce")
    anna = await contact(
        database, "Anna Rossi", email="Anna@ASL.example", company_id=bari.id, phones=["0805551234"], role="referent"
    )
    await database.run(directory.edit_contact, anna, {"name": "Anna Rossi Bianchi", "user_code": "RSSNNA"}, **WHO)
    found = await entry(database, anna)
    assert (found.name, found.user_code, found.role) == ("Anna Rossi Bianchi", "RSSNNA", ContactRole.REFERENT)
    await database.run(directory.edit_contact, anna, {"email": "anna.bianchi@asl.example"}, **WHO)
    assert await addresses(database, anna) == ["anna.bianchi@asl.example", "anna@asl.example"]
    await database.run(
        directory.edit_contact, anna, {"emails": ["anna@asl.example", "ANNA@asl.example"], "phones": []}, **WHO
    )
    found = await entry(database, anna)
    assert (found.email, found.phones) == ("anna@asl.example", [])
    assert await addresses(database, anna) == ["anna@asl.example"]
    # who speaks for one company does not speak for the next one
    await database.run(directory.edit_contact, anna, {"company_id": lecce.id}, **WHO)
    assert (await entry(database, anna)).role == ContactRole.USER
    await database.run(directory.edit_contact, anna, {"company_id": bari.id, "role": "level_0"}, **WHO)
    assert (await entry(database, anna)).role == ContactRole.LEVEL_0


async def test_bad_changes_of_a_contact_are_refused(database: Database) -> None:
    await contact(database, "Bruno Neri", user_code="NREBRN")
    anna = await contact(database, "Anna Rossi", user_code="RSSNNA")
    faults: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"user_code": "NREBRN"}, DuplicateEntry),
        ({"company_id": 99}, NotFound),
        ({"role": "boss"}, InvalidInput),
        *(({"language": language}, InvalidInput) for language in ("italiano", "de", "it-IT", "")),
        *(({"phones": [number]}, InvalidInput) for number in ("interno", "7", "123456789012", "+39 1", "00391", "")),
        ({"emails": ["anna"]}, InvalidInput),
        ({"name": ""}, InvalidInput),
        ({"credentials": "active"}, InvalidInput),  # these go their own way
    ]
    for changes, error in faults:
        with pytest.raises(error):
            await database.run(directory.edit_contact, anna, changes, **WHO)
    with pytest.raises(NotFound):
        await database.run(directory.edit_contact, 99, {"name": "Nessuno"}, **WHO)
    assert (await entry(database, anna)).user_code == "RSSNNA"


async def test_only_a_contact_of_nothing_is_removed(database: Database) -> None:
    anna = await contact(database, "Anna Rossi", email="anna@asl.example", phones=["0805551234"])
    bruno = await contact(database, "Bruno Neri")
    carla = await contact(database, "Carla Verdi")
    await request_of(database, anna)
    await database.run(_called_by, "c1", bruno)
    for id_, where in ((anna, "request"), (bruno, "call")):
        with pytest.raises(EntryInUse, match=rf"\({where}\).*merge"):
            await database.run(directory.remove_contact, id_)
    await database.run(directory.remove_contact, carla)
    with pytest.raises(NotFound):
        await database.run(directory.remove_contact, carla)


async def test_two_entries_of_one_person_become_one_with_all_that_was_theirs(database: Database) -> None:
    company = await database.run(directory.add_company, "ASL Bari")
    anna = await contact(database, "Anna Rossi", email="anna@asl.example", phones=["0805551234"])
    other = await contact(
        database,
        "A. Rossi",
        user_code="RSSNNA",
        email="a.rossi@asl.example",
        company_id=company.id,
        role="referent",
        phones=["0805551234", "3331234567"],
    )
    await database.run(credentials.record_training, other, TODAY, today=TODAY, actor="anna", now=NOW)
    opened = await request_of(database, other)
    closed = await request_of(database, other)
    await database.run(operations.close_request, closed.id, NOTICES, solution="Fatto.", actor="anna", now=NOW)
    await database.run(_called_by, "c1", other)
    await database.run(directory.merge_contacts, anna, other, actor="anna", now=NOW)

    found = await entry(database, anna)
    assert (found.name, found.user_code, found.email) == ("Anna Rossi", "RSSNNA", "anna@asl.example")
    assert (found.company_id, found.role, found.trained_on) == (company.id, ContactRole.REFERENT, TODAY)
    assert found.credentials == Credentials.REQUESTED
    assert sorted(phone.e164 for phone in found.phones) == ["+390805551234", "+393331234567"]
    assert await addresses(database, anna) == ["a.rossi@asl.example", "anna@asl.example"]
    requests = await database.read(lambda session: session.scalars(select(Request.contact_id)).all())
    assert requests == [anna, anna]
    assert await database.read(lambda session: session.scalar(select(Call.contact_id))) == anna
    assert await database.read(lambda session: session.scalar(select(func.count()).select_from(Phone))) == 2
    assert (await events(database, opened.id))[-1] == ("edited", {"contact_id": [other, anna]})
    assert (await events(database, closed.id))[-1][0] == "closed"
    with pytest.raises(NotFound):
        await database.run(directory.merge_contacts, anna, other, actor="anna", now=NOW)


async def test_two_log_ins_are_not_merged(database: Database) -> None:
    anna, other = await contact(database, "Anna", user_code="A1"), await contact(database, "Anna", user_code="A2")
    with pytest.raises(InvalidInput, match="A1, A2"):
        await database.run(directory.merge_contacts, anna, other, actor="anna", now=NOW)
    with pytest.raises(InvalidInput, match="same one"):
        await database.run(directory.merge_contacts, anna, anna, actor="anna", now=NOW)


async def test_who_sent_a_mail_is_known_by_the_address(database: Database) -> None:
    company = await database.run(directory.add_company, "ASL Bari", level_0_email="Help@ASL.example")
    await contact(database, "Anna Rossi", email="Anna@asl.example", company_id=company.id)
    for name in ("Bruno Neri", "Carla Verdi"):
        await contact(database, name, email="reparto@asl.example", company_id=company.id)
    for address, confidence, count, reason in (
        ("anna@ASL.example", Confidence.KNOWN, 1, "exact_address"),
        ("reparto@asl.example", Confidence.SEVERAL, 2, "shared_address"),
        ("help@asl.example", Confidence.KNOWN, 0, "level_0_address"),
    ):
        match = await database.read(queries.identify_sender, address)
        assert (match.confidence, len(match.contacts), match.reason) == (confidence, count, reason)
        assert match.company is not None
        assert match.company.id == company.id
    assert (await database.read(queries.identify_sender, "x@y.example")).confidence == Confidence.UNKNOWN
    both = "reparto@asl.example", "anna@asl.example"  # such as From and Reply-To of one mail
    assert (await database.read(queries.identify_sender, *both)).reason == "exact_address"
    named = await database.read(queries.identify_sender, "reparto@asl.example", name="carla verdi")
    assert [one.name for one in named.contacts] == ["Carla Verdi"]


async def test_nobody_in_a_call_is_merged_away_or_removed(database: Database) -> None:
    anna, other = await contact(database, "Anna Rossi"), await contact(database, "A. Rossi")
    await database.run(_called_by, "c1", other, ended=None)
    for step in (
        database.run(desk_operations.merge_contacts, anna, other, actor="anna", now=NOW),
        database.run(desk_operations.remove_contact, other),
    ):
        with pytest.raises(EntryInUse, match="is in a call just now"):
            await step
    await database.run(desk_operations.merge_contacts, other, anna, actor="anna", now=NOW)  # the one who calls stays


def _called_by(session: Session, call_id: str, contact_id: int, ended: datetime | None = NOW) -> None:
    session.add(
        Call(
            id=call_id,
            channel_id=call_id,
            app="centralino",
            line="800",
            contact_id=contact_id,
            language="it",
            phase=Phase.ENDED,
            started_at=NOW,
            ended_at=ended,
        )
    )


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def people(database: Database) -> dict[str, int]:
    bari = await database.run(directory.add_company, "ASL Bari")
    lecce = await database.run(directory.add_company, "ASL Lecce")
    return {
        "anna": await contact(database, "Anna Rossi", company_id=bari.id),
        "alone": await contact(database, "Senza Azienda"),
        "referent": await contact(database, "Rita Capo", company_id=bari.id, role="referent"),
        "colleague": await contact(database, "Carlo Pari", company_id=bari.id, role="level_0"),
        "stranger": await contact(database, "Lia Altrove", company_id=lecce.id, role="referent"),
    }


async def test_a_course_then_the_referents_word_then_a_log_in(database: Database, people: dict[str, int]) -> None:
    anna = people["anna"]
    told: dict[str, Any] = {**WHO, "request_id": (await request_of(database, anna)).id}
    # nobody need ask: the course begins the way
    after = await database.run(credentials.record_training, anna, date(2026, 11, 27), today=TODAY, **told)
    assert (after.credentials, after.trained_on) == (Credentials.REQUESTED, date(2026, 11, 27))
    after = await database.run(credentials.authorise_credentials, anna, people["referent"], **told)
    assert after.credentials == Credentials.AUTHORISED
    with pytest.raises(CredentialsRefused) as refused:
        await database.run(credentials.activate_credentials, anna, **told)
    assert refused.value.reason == "no_user_code"
    after = await database.run(credentials.activate_credentials, anna, "RSSNNA", **told)
    assert (after.credentials, after.user_code) == (Credentials.ACTIVE, "RSSNNA")
    await database.run(credentials.activate_credentials, anna, **told)  # a second time changes nothing
    history = [details for kind, details in await events(database, told["request_id"]) if kind == "credentials"]
    assert [(one["from"], one["to"]) for one in history] == [
        ("none", "requested"),
        ("requested", "authorised"),
        ("authorised", "active"),
    ]
    assert [history[0]["trained_on"], history[1]["referent"]] == ["2026-11-27", "Rita Capo"]
    after = await database.run(credentials.withdraw_credentials, anna, reason="Trasferita.", **told)
    assert (after.credentials, after.trained_on) == (Credentials.NONE, date(2026, 11, 27))


@pytest.mark.parametrize(
    ("before", "by", "reason"),
    [
        ((), "referent", "not_requested"),
        (("request",), "referent", "not_trained"),
        (("train",), "colleague", "not_a_referent"),
        (("train",), "stranger", "another_company"),
        (("train",), "anna", "not_a_referent"),
    ],
)
async def test_nobody_else_and_nothing_sooner_authorises(
    database: Database, people: dict[str, int], before: Sequence[str], by: str, reason: str
) -> None:
    anna = people["anna"]
    if "request" in before:
        await database.run(credentials.request_credentials, anna, **WHO)
        await database.run(credentials.request_credentials, anna, **WHO)
    if "train" in before:
        await database.run(credentials.record_training, anna, TODAY, today=TODAY, **WHO)
    state = (await entry(database, anna)).credentials
    with pytest.raises(CredentialsRefused) as refused:
        await database.run(credentials.authorise_credentials, anna, people[by], **WHO)
    assert refused.value.reason == reason
    assert (await entry(database, anna)).credentials == state


async def test_other_steps_out_of_turn_are_refused(database: Database, people: dict[str, int]) -> None:
    anna = people["anna"]
    with pytest.raises(InvalidInput, match="still to come"):
        await database.run(credentials.record_training, anna, date(2026, 12, 1), today=TODAY, **WHO)
    with pytest.raises(CredentialsRefused, match="only authorised"):
        await database.run(credentials.activate_credentials, anna, "RSSNNA", **WHO)
    with pytest.raises(CredentialsRefused, match="no credentials"):
        await database.run(credentials.withdraw_credentials, anna, reason="No.", **WHO)
    await database.run(credentials.record_training, anna, TODAY, today=TODAY, **WHO)
    with pytest.raises(InvalidInput, match="reason"):
        await database.run(credentials.withdraw_credentials, anna, reason=" ", **WHO)
    await database.run(credentials.authorise_credentials, anna, people["referent"], **WHO)
    with pytest.raises(CredentialsRefused, match="already"):
        await database.run(credentials.request_credentials, anna, **WHO)
    await contact(database, "Bruno", user_code="TAKEN")
    with pytest.raises(DuplicateEntry):
        await database.run(credentials.activate_credentials, anna, "TAKEN", **WHO)
    alone = people["alone"]
    await database.run(credentials.record_training, alone, TODAY, today=TODAY, **WHO)
    with pytest.raises(CredentialsRefused, match="not the referent of the company"):
        await database.run(credentials.authorise_credentials, alone, people["referent"], **WHO)


async def test_a_step_is_told_only_in_a_request_about_it(database: Database, people: dict[str, int]) -> None:
    anna = people["anna"]
    await database.run(areas.add_area, "spid", "Accesso con SPID", "SPID log-in", parent="credentials")
    for request, refused in (
        (await request_of(database, anna, area="use"), "is not about credentials"),
        (await request_of(database, people["stranger"]), "neither of Anna Rossi nor of the same company"),
        (await request_of(database, None), "neither of"),
        (await request_of(database, people["referent"], area="spid"), None),  # asked for by the company's referent
    ):
        step = database.run(credentials.request_credentials, anna, actor="operatore", now=NOW, request_id=request.id)
        if refused is None:
            await step
            assert (await events(database, request.id))[-1][0] == "credentials"
        else:
            with pytest.raises(InvalidInput, match=refused):
                await step
            assert (await entry(database, anna)).credentials == Credentials.NONE


# --- areas and groups -------------------------------------------------------------------------------------------------


async def test_a_site_has_areas_of_its_own_below_the_built_in_ones(database: Database) -> None:
    await database.run(areas.add_area, "cup", "Prenotazioni", "Bookings", parent="application")
    await database.run(areas.add_area, "anagrafe", "Anagrafe", "Registry", parent="application")
    await database.run(areas.add_area, "stampanti", "Stampanti", "Printers", back_to_level_0=True)
    tree, english = [await database.read(areas.area_tree, language) for language in ("it", "en-GB")]
    assert [branch.key for branch in tree] == [*AREAS, "stampanti"]
    assert [below.name for below in tree[0].below] == ["Anagrafe", "Prenotazioni"]
    assert [below.name for below in english[0].below] == [
        "Bookings",
        "Registry",
    ]
    await request_of(database, None, area="cup")

    await database.run(areas.edit_area, "cup", {"name_it": "CUP", "parent": "use"})
    await database.run(areas.edit_area, "anagrafe", {"active": False})
    tree = await database.read(areas.area_tree, "it")
    assert [[below.name for below in branch.below] for branch in tree[:2]] == [[], ["CUP"]]
    with pytest.raises(InvalidInput, match=r"area: is one of application, .*cup"):
        await request_of(database, None, area="anagrafe")
    assert len((await database.read(areas.area_tree, "it", retired=True))[0].below) == 1
    await database.run(areas.edit_area, "anagrafe", {"active": True, "parent": ""})
    assert "anagrafe" in [branch.key for branch in await database.read(areas.area_tree, "it")]


async def test_what_would_break_the_tree_is_refused(database: Database) -> None:
    await database.run(areas.add_area, "cup", "CUP", "CUP", parent="application")
    await database.run(areas.add_area, "altro", "Altro", "Other")
    await database.run(areas.add_area, "vecchio", "Vecchio", "Old")
    await database.run(areas.edit_area, "vecchio", {"active": False})
    before = await database.read(areas.area_tree, "it", retired=True)
    for key, changes, error, words in (
        ("altro", {"parent": "cup"}, InvalidInput, "two storeys"),
        ("application", {"parent": "altro"}, InvalidInput, "two storeys"),
        ("altro", {"parent": "altro"}, InvalidInput, "itself"),
        ("altro", {"parent": "vecchio"}, InvalidInput, "not used any more"),
        ("altro", {"parent": "nessuna"}, NotFound, "no area"),
        ("vecchio", {"parent": "nessuna"}, NotFound, "no area"),
        ("application", {"active": False}, InvalidInput, "built in"),
        ("altro", {"name_it": " "}, InvalidInput, "write a name"),
        ("altro", {"name_en": "x" * 121}, InvalidInput, "120"),
        ("altro", {"key": "b"}, InvalidInput, "cannot be edited"),
        ("nessuna", {"name_it": "X"}, NotFound, "no area"),
    ):
        with pytest.raises(error, match=words):
            await database.run(areas.edit_area, key, changes)
    await database.run(areas.edit_area, "cup", {"parent": "altro"})
    with pytest.raises(InvalidInput, match="retire or move cup first"):
        await database.run(areas.edit_area, "altro", {"active": False})
    await database.run(areas.edit_area, "cup", {"active": False})
    await database.run(areas.edit_area, "altro", {"active": False})
    with pytest.raises(InvalidInput, match="not used any more"):
        await database.run(areas.edit_area, "cup", {"active": True})
    for key in ("Maiuscola", "1a", "a b", "", "a" * 41, "così"):
        with pytest.raises(InvalidInput, match="key"):
            await database.run(areas.add_area, key, "A", "A")
    with pytest.raises(DuplicateEntry):
        await database.run(areas.add_area, "network", "Rete", "Network")
    assert len(before) == len(AREAS) + 2


async def test_a_group_with_open_requests_stays(database: Database) -> None:
    group = await database.run(levels.add_group, "Sistemisti", 2, "sistemisti@desk.example")
    other = await database.run(levels.add_group, "Basi dati", 3)
    request = await request_of(database, None)
    agent: dict[str, Any] = {"actor": "anna", "role": Role.AGENT, "now": NOW}
    await database.run(levels.escalate, request.id, group.id, NOTICES, reason="Serve", handover="Nulla", **agent)
    refused: dict[str, Any]
    for refused in ({"active": False}, {"level": 3}):
        with pytest.raises(EntryInUse, match="1 open request"):
            await database.run(levels.edit_group, group.id, refused)
    changed = await database.run(levels.edit_group, group.id, {"name": "Sistemi", "email": "", "level": 2})
    assert (changed.name, changed.email) == ("Sistemi", None)
    await database.run(levels.hand_back, request.id, NOTICES, note="Fatto", **agent)
    await database.run(levels.edit_group, group.id, {"active": False})
    assert [one.name for one in await database.read(levels.support_groups)] == ["Basi dati"]
    assert len(await database.read(levels.support_groups, retired=True)) == 2
    with pytest.raises(InvalidInput, match="not used any more"):
        await database.run(levels.escalate, request.id, group.id, NOTICES, reason="Serve", handover="Nulla", **agent)
    for refused, error in (
        ({"name": "Sistemi"}, DuplicateEntry),
        ({"level": 1}, InvalidInput),
        ({"email": "x"}, InvalidInput),
        ({"id": 1}, InvalidInput),
    ):
        with pytest.raises(error):
            await database.run(levels.edit_group, other.id, refused)


async def test_an_edit_of_many_fields_is_one_version(database: Database) -> None:
    anna = await contact(database, "Anna Rossi")
    request = await request_of(database, None)
    changes = {"subject": "Nuovo", "area": "use", "contact_id": anna, "description": "Altro"}
    edited = await database.run(operations.edit_request, request.id, changes, actor="anna", now=NOW)
    assert edited.version == request.version + 1


# --- another company --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["edited", "from a table"])
async def test_who_moves_to_another_company_is_authorised_anew_by_its_referent(database: Database, way: str) -> None:
    await database.run(import_companies, read_companies(COMPANIES))
    await database.run(import_contacts, read_contacts(PEOPLE), now=NOW)
    anna = (await database.read(directory.find_contact, "RSSNNA")).id
    bari, lecce = [(await database.read(directory.find_company, code)).id for code in ("160114", "160116")]
    hers = await request_of(database, anna)
    other = await request_of(database, anna, area="use")
    if way == "edited":
        await database.run(directory.edit_contact, anna, {"company_id": lecce}, **WHO)
    else:
        table = read_contacts(rows({"user_code": "RSSNNA", "company_code": "160116"}))
        assert (await database.run(import_contacts, table, now=NOW)).changes[0].fields == (
            *("company", "credentials", "role"),
        )
    found = await entry(database, anna)
    assert (found.credentials, found.trained_on) == (Credentials.REQUESTED, date(2026, 11, 27))
    kind, told = (await events(database, hers.id))[-1]
    assert (kind, told["from"], told["to"], told["company"]) == ("credentials", "active", "requested", "ASL Lecce")
    assert "autorizzate di nuovo" in told["text"]
    assert [kind for kind, _ in await events(database, other.id)] == ["opened"]

    old, new = [
        await contact(database, f"Referente {company}", company_id=company, role="referent")
        for company in (bari, lecce)
    ]
    with pytest.raises(CredentialsRefused):
        await database.run(credentials.authorise_credentials, anna, old, **WHO)
    after = await database.run(credentials.authorise_credentials, anna, new, **WHO)
    assert after.credentials == Credentials.AUTHORISED
    await database.run(directory.edit_contact, anna, {"company_id": lecce, "name": "Anna Neri"}, **WHO)
    assert (await entry(database, anna)).credentials == Credentials.AUTHORISED  # the same company
    await database.run(directory.edit_contact, anna, {"company_id": None}, **WHO)
    assert (await entry(database, anna)).credentials == Credentials.REQUESTED


async def test_credentials_of_another_company_do_not_come_along_with_a_merge(database: Database) -> None:
    await database.run(import_companies, read_companies(COMPANIES))
    await database.run(import_contacts, read_contacts(PEOPLE), now=NOW)
    anna = (await database.read(directory.find_contact, "RSSNNA")).id
    lecce = (await database.read(directory.find_company, "160116")).id
    there = await contact(database, "Anna Rossi", company_id=lecce)
    merged = await database.run(directory.merge_contacts, there, anna, **WHO)
    assert (merged.company_id, merged.credentials) == (lecce, Credentials.REQUESTED)


async def test_a_number_that_a_line_shows_is_kept_as_it_is(database: Database) -> None:
    anna = await contact(database, "Anna Rossi")
    await database.run(directory.assign_phone, anna, "123456789012")
    assert [phone.e164 for phone in (await entry(database, anna)).phones] == ["123456789012"]


# --- tables -----------------------------------------------------------------------------------------------------------


def rows(*cells: dict[str, str]) -> list[ImportRow]:
    return [ImportRow(line, row) for line, row in enumerate(cells, 2)]


COMPANIES = rows(
    {"code": "160114", "name": "ASL Bari", "level_0_email": "help@bari.example", "phones": "080 5842111 | 0805842112"},
    {"code": "160116", "name": "ASL Lecce", "level_0_hours": "lun-ven 8-14"},
)
PEOPLE = rows(
    {"user_code": "RSSNNA", "name": "Anna Rossi", "email": "anna@bari.example", "phones": "080 5551234|333 1234567",
     "company_code": "160114", "role": "referent", "credentials": "active", "trained_on": "27/11/2026"},
    {"user_code": "NREBRN", "name": "Bruno Neri", "emails": "b@lecce.example|B2@lecce.example", "company": "ASL Lecce"},
)  # fmt: skip


async def test_a_table_read_twice_changes_nothing_the_second_time(database: Database) -> None:
    assert (await database.run(import_companies, read_companies(COMPANIES))).added == 2
    result = await database.run(import_contacts, read_contacts(PEOPLE), now=NOW)
    assert (result.added, result.unchanged) == (2, 0)
    anna = await database.read(directory.find_contact, "RSSNNA")
    assert (anna.role, anna.credentials, anna.trained_on) == ("referent", "active", date(2026, 11, 27))
    assert anna.company is not None
    assert anna.company.level_0_email == "help@bari.example"
    assert (await database.read(queries.identify_caller, "3331234567")).contact_id == anna.id
    assert (await database.read(queries.identify_sender, "anna@bari.example")).contact_id == anna.id
    again = [
        await database.run(import_companies, read_companies(COMPANIES)),
        await database.run(import_contacts, read_contacts(PEOPLE), now=NOW),
    ]
    assert [(result.changes, result.unchanged) for result in again] == [([], 2), ([], 2)]


async def test_what_a_cell_says_replaces_and_what_is_empty_stays(database: Database) -> None:
    await database.run(import_companies, read_companies(COMPANIES))
    await database.run(import_contacts, read_contacts(PEOPLE), now=NOW)
    changed = rows(
        {"user_code": "RSSNNA", "name": "", "email": "a.rossi@bari.example", "phones": "0805559999"},
        {"user_code": "NREBRN", "name": "Bruno Neri", "company_code": "160114"},
    )
    preview = await database.read(
        lambda session: import_contacts(session, read_contacts(changed), now=NOW, dry_run=True)
    )
    assert [(change.line, change.name, change.fields) for change in preview.changes] == [
        (2, "Anna Rossi", ("email", "phones")),
        (3, "Bruno Neri", ("company",)),
    ]
    anna = await database.read(directory.find_contact, "RSSNNA")
    assert anna.email == "anna@bari.example"
    await database.run(import_contacts, read_contacts(changed), now=NOW)
    found = await entry(database, anna.id)
    assert (found.name, found.email, len(found.phones)) == ("Anna Rossi", "a.rossi@bari.example", 3)
    assert await addresses(database, anna.id) == ["a.rossi@bari.example", "anna@bari.example"]
    moved = rows({"user_code": "RSSNNA", "company": "ASL Lecce"})
    await database.run(import_contacts, read_contacts(moved), now=NOW)
    found = await entry(database, anna.id)
    assert (found.role, found.credentials) == ("user", "requested")  # a referent speaks for one company
    active = rows({"user_code": "RSSNNA", "company": "ASL Bari", "credentials": "active"})
    await database.run(import_contacts, read_contacts(active), now=NOW)
    assert (await entry(database, anna.id)).credentials == "active"  # as the system that gives them has it


async def test_somebody_added_during_a_call_gets_the_user_code_of_the_table(database: Database) -> None:
    anna = await contact(database, "Anna Rossi", phones=["+39 080 5551234"])
    homonyms = rows(
        {"user_code": "RSSNNA", "name": "Anna Rossi", "phones": "0805551234"},
        {"user_code": "RSSNN2", "name": "Anna Rossi", "phones": "0805551234"},
    )
    result = await database.run(import_contacts, read_contacts(homonyms), now=NOW)
    assert (result.added, len(result.changes)) == (1, 2)
    assert (await database.read(directory.find_contact, "RSSNNA")).id == anna
    await database.run(directory.add_company, "ASL Bari")
    result = await database.run(import_companies, read_companies(COMPANIES))
    assert result.added == 1
    assert (await database.read(directory.find_company, "160114")).name == "ASL Bari"


async def test_one_bad_row_and_nothing_is_taken(database: Database) -> None:
    await database.run(import_companies, read_companies(COMPANIES))
    bad = rows(
        {"user_code": "GOOD", "name": "Giusta"},
        {"user_code": "", "name": "Senza"},
        {"user_code": "GOOD", "name": "Doppia"},
        {"user_code": "A", "name": "A", "phones": "080 5551234|interno"},
        {"user_code": "B", "name": "B", "email": "b@b@b"},
        {"user_code": "C", "name": "C", "company": "ASL Nessuna"},
        {"user_code": "D", "name": "D", "company": "ASL Lecce", "company_code": "160114"},
        {"user_code": "E"},
        {"user_code": "F", "name": "F", "role": "boss"},
        {"user_code": "G", "name": "G", "trained_on": "ieri"},
        {"user_code": "H", "name": "x" * 201},
        {"user_code": "I", "name": "I", "phones": "abc|080 5551234|+39 1", "language": "de", "role": "boss",
         "company": "ASL Nessuna", "trained_on": "ieri"},
        {"user_code": "y" * 65, "name": "x" * 201},
    )  # fmt: skip
    with pytest.raises(ImportRefused) as refused:
        await database.run(import_contacts, read_contacts(bad), now=NOW)
    errors = [(line, str(fault)) for line, fault in refused.value.errors]
    words = dict(errors)
    assert sorted(words) == list(range(3, 15))
    assert sorted(said.partition(":")[0] for line, said in errors if line == 13) == [
        *("company", "language", "phone", "phone", "role", "trained_on")
    ]
    assert [said.partition(":")[0] for line, said in errors if line == 14] == ["name", "user_code"]
    assert "12 rows cannot be taken" in str(refused.value)
    for line, said in (
        (3, "user_code: is needed"),
        (4, "GOOD is in line 2 already"),
        (5, "phone: 'interno' is not a telephone number"),
        (7, "no company 'ASL Nessuna'"),
        (8, "160114 is ASL Bari, not ASL Lecce"),
        (9, "'E' is new"),
        (11, "2026-11-30 or 30/11/2026"),
    ):
        assert said in words[line]
    with pytest.raises(NotFound):
        await database.read(directory.find_contact, "GOOD")
    for table in (
        [{"code": "1", "name": "ASL Bari"}],
        [{"code": "1", "name": "Nuova"}, {"code": "2", "name": "Nuova"}],
        [{"code": "160116", "name": "Nuova"}, {"code": "2", "name": "Nuova"}],
        [{"code": "1"}],
    ):
        with pytest.raises(ImportRefused, match="name:"):
            await database.run(import_companies, read_companies(rows(*table)))
    assert len(await database.read(queries.companies)) == 2


async def test_thousands_of_rows_take_few_statements(database: Database) -> None:
    await database.run(import_companies, read_companies(COMPANIES))
    many = rows(
        *(
            {
                "user_code": f"u{n}",
                "name": f"Utente {n}",
                "email": f"u{n}@bari.example",
                "phones": f"080{5_000_000 + n}",
            }
            for n in range(3000)
        )
    )
    table, statements = read_contacts(many), []
    event.listen(database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert (await database.run(import_contacts, table, now=NOW)).added == 3000
    assert len(statements) < 100
    statements.clear()
    assert (await database.run(import_contacts, table, now=NOW)).unchanged == 3000
    assert len(statements) < 60
