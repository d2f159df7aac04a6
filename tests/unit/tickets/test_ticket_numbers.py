"""Ticket numbers that survive dictation and keypads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.ticket_numbers import read_ticket_number, ticket_number

pytestmark = pytest.mark.unit

ids = st.integers(1, 99_999_899_999)


@given(ids)
def test_a_ticket_number_is_read_back(request_id: int) -> None:
    ticket = ticket_number(request_id)
    assert ticket.isdigit()
    assert 7 <= len(ticket) <= 12
    assert read_ticket_number(ticket) == ticket
    assert not ticket.startswith("0")


@given(ids, ids)
def test_no_two_requests_share_a_number(one: int, other: int) -> None:
    assert (ticket_number(one) == ticket_number(other)) is (one == other)


@given(ids, st.data())
def test_one_wrong_digit_is_noticed(request_id: int, data: st.DataObject) -> None:
    ticket = ticket_number(request_id)
    place = data.draw(st.integers(0, len(ticket) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != ticket[place]]))
    assert read_ticket_number(ticket[:place] + wrong + ticket[place + 1 :]) is None


@given(ids, st.data())
def test_two_swapped_digits_are_noticed(request_id: int, data: st.DataObject) -> None:
    ticket = ticket_number(request_id)
    place = data.draw(st.integers(0, len(ticket) - 2))
    swapped = ticket[:place] + ticket[place + 1] + ticket[place] + ticket[place + 2 :]
    assert read_ticket_number(swapped) in (None, ticket)
    if swapped != ticket:
        assert read_ticket_number(swapped) is None


def test_it_is_found_in_the_ways_people_write_it() -> None:
    ticket = ticket_number(17)
    spaced = f"{ticket[:3]} {ticket[3:6]} {ticket[6:]}"
    for text in (ticket, f" {ticket} \n", spaced, f"{ticket[:3]}-{ticket[3:]}", f"#{ticket}", f"RdS n. {ticket}"):
        assert read_ticket_number(text) == ticket
    for text in (f"ticket {spaced}", f"TICKET: {ticket}", f"nr {ticket}", f"n° {ticket}"):
        assert read_ticket_number(text) == ticket


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading(text: str) -> None:
    ticket = read_ticket_number(text)
    assert ticket is None or (ticket.isascii() and ticket.isdigit() and 7 <= len(ticket) <= 12)


@pytest.mark.parametrize("text", ["", "0", "0000000", "9" * 40, "080 5551234 oggi", "-", "ticket"])
def test_what_is_no_ticket_number_is_none(text: str) -> None:
    assert read_ticket_number(text) is None
