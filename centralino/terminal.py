"""What the commands write for the person at the terminal."""

from typing import NoReturn

import typer
from rich.console import Console

PIPED_WIDTH = 160
"""Columns where nobody watches: a file or a pipe has no width, and names should stand there whole."""


def terminal() -> Console:
    """Where answers and tables go."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def fail(message: str) -> NoReturn:
    """Say what is wrong, on the error output and never broken into lines, and end the command with code 1."""
    Console(stderr=True, soft_wrap=True).print(message, style="bold red", markup=False, highlight=False)
    raise typer.Exit(1)
