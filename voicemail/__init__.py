"""Messages: taking one, storing its audio, transcribing it and filing it as a request."""
