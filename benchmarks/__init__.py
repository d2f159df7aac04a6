"""Speed and load of Centralino, side by side with Asterisk's own `Queue()` and `VoiceMail()`: `make bench`."""
