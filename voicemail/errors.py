"""What can go wrong with a message. Each message says what a person can do about it."""


class VoicemailError(Exception):
    """The root of this package's errors."""


class UnusableAudio(VoicemailError):
    """The file holds no speech we can read: empty, not a WAV, or not 8 kHz 16-bit mono."""


class MessageNotFound(VoicemailError):
    """There is no message with this id."""


class NotFiledYet(VoicemailError):
    """A message cannot be filed now (disk full, database away): it stays where it was recorded and is filed later."""


class MessageOver(VoicemailError):
    """The message is no longer being recorded, so it cannot be recorded again."""


class ModelUnavailable(VoicemailError):
    """The speech model is missing or cannot be loaded: install it again, nothing is lost meanwhile."""


class RecogniserFailed(VoicemailError):
    """The recogniser could not read this one message, took too long over it, or stopped in the middle."""


class ModelNotInstalled(VoicemailError):
    """A speech model could not be downloaded or unpacked; the models folder is as it was before."""
