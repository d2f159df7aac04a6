"""`python -m centralino`."""

from centralino.cli import app

app()
