"""Parts for the tests of `tickets`."""

import pytest

from tickets.notices import Notices, NoticeSettings


@pytest.fixture
def notices() -> Notices:
    return Notices(NoticeSettings(desk_name="Help Desk", sender="helpdesk@desk.example"))
