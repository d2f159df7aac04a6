"""What can go wrong with a message. Each message says what a person can do about it."""

from tickets.errors import Edit


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


class NothingToCorrect(VoicemailError):
    """The message has no audio (any more): without it nobody can say which words are right."""


class TranscriptChanged(VoicemailError):
    """Somebody else corrected the transcript since it was read: look at `edits`, read it again, repeat the change."""

    def __init__(self, message_id: str, edits: tuple[Edit, ...]) -> None:
        super().__init__(f"the transcript of message {message_id} was corrected meanwhile: read it again")
        self.edits = edits


class NotToBeFiled(VoicemailError):
    """The message is still being recorded: it is filed by itself when it is over."""


class ModelUnavailable(VoicemailError):
    """The speech model is missing or cannot be loaded: install it again, nothing is lost meanwhile."""


class RecogniserFailed(VoicemailError):
    """The recogniser could not read this one message, took too long over it, or stopped in the middle."""


class ModelNotInstalled(VoicemailError):
    """A speech model could not be downloaded or unpacked; the models folder is as it was before."""
