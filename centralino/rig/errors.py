"""What can go wrong in the rig of demo, tests and benchmarks.

RigError
+-- AsteriskMissing   there is no Asterisk to run
+-- AsteriskFailed    Asterisk did not start, ended by itself, or refused a command
+-- PhoneFailed       a phone is missing, or did not do what it was told
+-- PostgresMissing   there is no PostgreSQL to run
+-- DovecotMissing    there is no IMAP server to run
+-- DovecotFailed     it did not start
"""


class RigError(RuntimeError):
    """The base of this package's errors; its text tells a person what to do."""


class AsteriskMissing(RigError):
    """No Asterisk 22.4 or later was found: run `make setup`, or put one on the PATH."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AsteriskFailed(RigError):
    """Asterisk did not start or ended by itself; the message holds the end of its log."""


class PhoneFailed(RigError):
    """The phone did not do what it was told; the message says what it answered."""


class PostgresMissing(RigError):
    """No PostgreSQL server is installed: install the package `postgresql`."""


class DovecotMissing(RigError):
    """No IMAP server is installed: install the package `dovecot-imapd`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class DovecotFailed(RigError):
    """Dovecot did not start; the message holds the end of its log."""
