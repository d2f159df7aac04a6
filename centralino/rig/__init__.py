"""Real parts on this machine for the demo, the tests and the benchmarks: an Asterisk, phones, a mail server."""
