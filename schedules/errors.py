"""What can go wrong with times."""


class ScheduleError(Exception):
    """The base of all errors of this package."""


class NeverOpens(ScheduleError):
    """The calendar has no staffed hour in the next 400 days: correct its weekly hours or its closures."""
