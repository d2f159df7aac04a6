"""The pickup promise and its sentence."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.errors import NeverOpens
from schedules.hours import Calendar
from schedules.promises import PICKUP, explain, pickup_promise

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
        "received Friday 7 August 2026, 19:00, next opening Monday 24 August 2026, 08:00, "
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
    with pytest.raises(NeverOpens, match="no pickup can be promised"):
        pickup_promise(Calendar(name="chiuso", weekly={}), rome("2026-11-20T22:14"))
