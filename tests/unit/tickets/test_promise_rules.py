"""What a site promises: the rules, first match first, with the customer's own at the end."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schedules.promises import Clock
from tickets.models import Channel, Kind
from tickets.promise_rules import PromiseSettings, Rule

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("channel", [Channel.VOICEMAIL, Channel.EMAIL, Channel.FAX, Channel.API, Channel.PHONE])
def test_without_rules_the_customers_holds_one_working_hour(channel: Channel) -> None:
    rules = PromiseSettings()
    assert rules.target(Clock.PICKUP, Kind.PROBLEM, 3, channel) == HOUR
    assert rules.target(Clock.SOLUTION, Kind.PROBLEM, 3, channel) is None


def test_the_first_rule_that_fits_and_speaks_of_the_clock_counts() -> None:
    rules = PromiseSettings(
        rules=(
            Rule(kinds=(Kind.REQUEST,), solution_minutes=0),
            Rule(priorities=(1,), solution_minutes=60),
            Rule(channels=(Channel.FAX,), pickup_minutes=0, solution_minutes=90),
            Rule(first_answer_minutes=30, solution_minutes=120),
        )
    )

    def minutes(clock: Clock, kind: Kind, priority: int, channel: Channel) -> float | None:
        target = rules.target(clock, kind, priority, channel)
        return None if target is None else target / timedelta(minutes=1)

    assert minutes(Clock.SOLUTION, Kind.REQUEST, 1, Channel.FAX) is None
    assert minutes(Clock.SOLUTION, Kind.PROBLEM, 1, Channel.FAX) == 60
    assert minutes(Clock.SOLUTION, Kind.PROBLEM, 2, Channel.FAX) == 90
    assert minutes(Clock.SOLUTION, Kind.QUESTION, 5, Channel.EMAIL) == 120
    assert minutes(Clock.FIRST_ANSWER, Kind.REQUEST, 1, Channel.PHONE) == 30
    assert minutes(Clock.PICKUP, Kind.PROBLEM, 3, Channel.FAX) is None  # the site's own word goes before the customer's
    assert minutes(Clock.PICKUP, Kind.PROBLEM, 3, Channel.EMAIL) == 60


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rules": [{"kinds": ["pippo"]}]}, "kinds"),
        ({"rules": [{"priorities": [0]}]}, "priorities"),
        ({"rules": [{"priorities": [6]}]}, "priorities"),
        ({"rules": [{"channels": ["telex"]}]}, "channels"),
        ({"rules": [{"pickup_minutes": -1}]}, "pickup_minutes"),
        ({"rules": [{"solution_minutes": 100_001}]}, "solution_minutes"),
        ({"rules": [{"pickup_hours": 1}]}, "pickup_hours"),
        ({"warn_share": 0}, "warn_share"),
        ({"warn_share": 1.1}, "warn_share"),
        ({"warn_minutes_before": 0}, "warn_minutes_before"),
        ({"supervisors": ["capo"]}, "supervisors"),
        ({"agents": {"bruno": "a@b.it\nBcc: c@d.it"}}, "agents"),
        ({"levels": {"4": "a@b.it"}}, "levels"),
        ({"language": "de"}, "language"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_their_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PromiseSettings.model_validate(wrong)
    assert field in [part for error in caught.value.errors() for part in error["loc"]]
