"""The pickup promise and its sentence."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.errors import NeverOpens
from schedules.hours import Calendar
from schedules.promises import PICKUP, Pause, explain, explain_beside, pickup_promise, reckon, warn_after

pytestmark = pytest.mark.unit

CALENDAR = Calendar(
    weekly={day: ["08:00-13:00", "14:00-18:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")}
)


def rome(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Rome"))


@pytest.mark.parametrize(
    ("received", "italian", "english"),
    [
        (
            "2026-11-20T22:14",
            "ricevuta venerdì 22:14, prossima apertura lunedì 08:00, più un'ora lavorativa: lunedì 09:00",
            "received Friday 22:14, next opening Monday 08:00, plus one working hour: Monday 09:00",
        ),
        (
            "2026-11-20T17:30",
            "ricevuta venerdì 17:30, più un'ora lavorativa: lunedì 08:30",
            "received Friday 17:30, plus one working hour: Monday 08:30",
        ),
    ],
)
def test_a_promise_explains_itself(received: str, italian: str, english: str) -> None:
    promise = pickup_promise(CALENDAR, rome(received))
    assert explain(promise, CALENDAR, "it") == italian
    assert explain(promise, CALENDAR, "en") == english


def test_a_promise_that_reaches_far_names_the_dates() -> None:
    closed = CALENDAR.model_copy(
        update={
            "closures": Calendar.model_validate(
                {"weekly": {}, "closures": [{"name": "ferie", "first": "2026-08-10", "last": "2026-08-21"}]}
            ).closures
        }
    )
    promise = pickup_promise(closed, rome("2026-08-07T19:00"))
    assert explain(promise, closed, "en") == (
        "received Friday 7 August 2026, 19:00, closed Monday 10 August to Friday 21 August (ferie), "
        "next opening Monday 24 August 2026, 08:00, "
        "plus one working hour: Monday 24 August 2026, 09:00"
    )
    assert "lunedì 24 agosto 2026, ore 09:00" in explain(promise, closed, "it")


def test_a_promise_is_kept_in_utc_with_its_reckoning() -> None:
    promise = pickup_promise(CALENDAR, rome("2026-11-20T22:14"))
    assert promise.received_at == datetime(2026, 11, 20, 21, 14, tzinfo=UTC)
    assert promise.counted_from == datetime(2026, 11, 23, 7, tzinfo=UTC)
    assert promise.due_at == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert promise.working == PICKUP
    assert {at.utcoffset() for at in (promise.received_at, promise.counted_from, promise.due_at)} == {
        datetime.now(UTC).utcoffset()
    }


def test_no_promise_is_made_on_a_calendar_that_never_opens() -> None:
    with pytest.raises(NeverOpens, match="nothing can be promised"):
        pickup_promise(Calendar(name="chiuso", weekly={}), rome("2026-11-20T22:14"))


def closed(*closures: tuple[str, str, str]) -> Calendar:
    rows = [{"name": name, "first": first, "last": last} for name, first, last in closures]
    found = Calendar.model_validate({"weekly": {}, "closures": rows}).closures
    return CALENDAR.model_copy(update={"closures": found})


def test_a_time_in_which_the_user_was_asked_moves_the_promise_and_is_told() -> None:
    asked = Pause(rome("2026-11-23T08:30"), rome("2026-11-23T15:00"))
    promise = reckon(CALENDAR, rome("2026-11-20T22:14"), timedelta(hours=1), [asked])
    assert promise.due_at == rome("2026-11-23T15:30")
    assert promise.paused == timedelta(hours=5, minutes=30)
    assert explain(promise, CALENDAR, "en") == (
        "received Friday 22:14, next opening Monday 08:00, plus one working hour, plus 330 working minutes "
        "waiting for the user (from Monday 08:30 to Monday 15:00): Monday 15:30"
    )
    assert "più 330 minuti lavorativi in attesa dell'utente (da lunedì 08:30 a lunedì 15:00)" in explain(
        promise, CALENDAR, "it"
    )


def test_a_pause_outside_the_hours_or_after_the_time_was_used_up_moves_nothing() -> None:
    night = Pause(rome("2026-11-20T22:30"), rome("2026-11-23T07:00"))
    late = Pause(rome("2026-11-23T09:00"), rome("2026-11-23T12:00"))
    promise = reckon(CALENDAR, rome("2026-11-20T22:14"), timedelta(hours=1), [late, night])
    assert (promise.due_at, promise.paused, promise.pauses) == (rome("2026-11-23T09:00"), timedelta(0), ())


def test_many_pauses_are_told_together_and_overlaps_count_once() -> None:
    day = rome("2026-11-23T08:00")
    pauses = [
        Pause(day + timedelta(minutes=30 * n), day + timedelta(minutes=30 * n + 20)) for n in range(4)
    ]  # 20 of each 30 minutes
    promise = reckon(CALENDAR, day, timedelta(minutes=40), [*pauses, pauses[0]])
    assert promise.due_at == day + timedelta(minutes=120)
    assert "plus 80 working minutes waiting for the user (4 times)" in explain(promise, CALENDAR, "en")


def test_holidays_on_the_way_are_told_on_days_with_hours_only() -> None:
    promise = reckon(CALENDAR, rome("2026-12-04T17:30"), timedelta(hours=10))  # Friday; the 8th is a holiday
    assert "closed Tuesday 8 December (Immacolata Concezione)" in explain(promise, CALENDAR, "en")
    assert "chiuso martedì 8 dicembre (Immacolata Concezione)" in explain(promise, CALENDAR, "it")
    on_a_sunday = reckon(closed(("neve", "2026-11-22", "2026-11-22")), rome("2026-11-20T22:14"), PICKUP)
    assert "closed" not in explain(on_a_sunday, closed(("neve", "2026-11-22", "2026-11-22")), "en")


def test_a_closure_entered_after_the_promise_is_shown_beside_what_was_told() -> None:
    told = pickup_promise(CALENDAR, rome("2026-11-20T22:14"))
    snow = closed(("neve", "2026-11-23", "2026-11-24"))
    assert explain(told, CALENDAR, "en").endswith(": Monday 09:00")
    assert explain_beside(told, (), snow, "en") == (
        "in the hours of now it would be: received Friday 22:14, closed Monday 23 November to Tuesday 24 November "
        "(neve), next opening Wednesday 08:00, plus one working hour: Wednesday 09:00"
    )
    assert explain_beside(told, (), CALENDAR, "en") is None
    never = Calendar(weekly={})
    assert explain_beside(told, (), never, "it") == "con gli orari attuali: nessuna apertura"


@pytest.mark.parametrize(
    ("share", "lead", "minutes"), [(0.75, None, 45), (0.75, timedelta(minutes=20), 40), (0.5, timedelta(hours=2), 0)]
)
def test_a_warning_comes_after_a_share_of_the_target_or_a_time_before_its_end(
    share: float, lead: timedelta | None, minutes: int
) -> None:
    assert warn_after(timedelta(hours=1), share=share, lead=lead) == timedelta(minutes=minutes)
