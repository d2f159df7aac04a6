"""Centralino, the help-desk phone line as one service: the way in (command line, settings, composition root)."""

__version__ = "0.1.0"
