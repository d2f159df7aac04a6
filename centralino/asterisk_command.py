"""`centralino asterisk-conf`: write the files that a site includes into the Asterisk it already runs."""

import tomllib
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from rich.console import Console

import asterisk_conf
from asterisk_conf.render import INCLUDES, Site, render
from centralino.command import ConfigOption, read_settings
from centralino.settings import DEFAULT_FILE, Settings, in_words, where
from centralino.terminal import fail
from ivr.settings import Node

SITE_FIELDS = ("bind", "fallback_spool", "fax_tone", "http_port", "language", "nodes", "phones", "trunks")
"""What a site file may hold. The rest of `Site` comes from the settings, or is for the demo and the tests."""
FROM_SETTINGS = {
    "ari_username": "asterisk.username",
    "ari_password": "asterisk.password",
    "stasis_app": "asterisk.app",
    "workers": "asterisk.worker",
    "fallback_spool": "asterisk.fallback",
    "fax_numbers": "calls.lines[].fax",
    "message_seconds": "calls.message.max_seconds",
    "message_silence_seconds": "calls.message.max_silence_seconds",
}
"""Fields of `Site` and the setting that each is taken from."""
SOUNDS = Path(asterisk_conf.__file__).parent / "sounds"


class SiteError(Exception):
    """The site cannot be described to Asterisk; the text names each field and what is wrong with it."""


def write_asterisk_conf(
    folder: Annotated[Path, typer.Argument(help="Where the files are written, such as /etc/asterisk.")],
    config: ConfigOption = DEFAULT_FILE,
    site: Annotated[
        Path | None, typer.Option("--site", help="Phones, trunks and addresses (TOML); without it, examples.")
    ] = None,
    node: Annotated[str | None, typer.Option("--node", help="Which of several Asterisks (asterisk.nodes).")] = None,
) -> None:
    """Write the files to include into your own Asterisk."""
    settings = read_settings(config)
    try:
        render(folder, describe_site(settings, site, node))
    except SiteError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder} cannot be written: {error.strerror}")
    console = Console(highlight=False, soft_wrap=True)
    for name in INCLUDES:
        console.print(f"written: {folder / name}", markup=False)
    console.print(
        "\nEach file says at its top where it is included. They hold passwords: only their owner may read them, so\n"
        "give them to the user that Asterisk runs as. The prompts are made known to Asterisk by a link:\n"
        f"  ln -s {SOUNDS} ASTERISK_DATA/sounds/centralino",
        markup=False,
    )


def describe_site(settings: Settings, file: Path | None, node: str | None = None) -> Site:
    """Put together what the settings say of Asterisk and what the site file says of phones, trunks and other nodes.

    Raises SiteError with one line for each field that is wrong.
    """
    given = {} if file is None else _read(file)
    if others := sorted(set(given) - set(SITE_FIELDS)):
        lines = [f"{file}: the site makes no sense"]
        for name in others:
            source = FROM_SETTINGS.get(name)
            lines.append(
                f"  {name}: " + (f"comes from the settings ({source})" if source else "there is no such field")
            )
        lines.append(f"  a site file may hold {', '.join(SITE_FIELDS)}")
        raise SiteError("\n".join(lines))
    asterisk = _asterisk_named(settings, node)
    fields = {
        "ari_username": asterisk.username,
        "ari_password": asterisk.password,
        "stasis_app": settings.asterisk.app,
        "workers": bool(settings.asterisk.worker),
        "fallback_spool": asterisk.fallback,
        "fax_numbers": [line.number for line in settings.calls.lines if line.fax],
        "node": node,
        "message_seconds": settings.calls.message.max_seconds,
        "message_silence_seconds": settings.calls.message.max_silence_seconds,
        "language": settings.calls.lines[0].language,
        **_web_server(asterisk.url, given),
        **given,
    }
    try:
        site = Site.model_validate(fields)
    except ValidationError as error:
        lines = ["the site makes no sense"]
        for problem in error.errors(include_url=False):
            name = where(problem["loc"])
            from_settings = bool(name) and problem["loc"][0] not in given
            field = f"settings: {FROM_SETTINGS.get(name, name)}" if from_settings else name or str(file)
            lines.append(f"  {field}: {in_words(problem)}")
        raise SiteError("\n".join(lines)) from None
    described = {one.name for one in site.nodes}
    if file is not None and node is not None and (unlike := described ^ settings.asterisk.served.keys()):
        raise SiteError(
            f"{file}: nodes: every node of the settings (asterisk.nodes) and no other; this differs: "
            + ", ".join(sorted(unlike))
        )
    return site


def _asterisk_named(settings: Settings, node: str | None) -> Node:
    nodes = settings.asterisk.served
    if (node or "") not in nodes:
        there = ", ".join(nodes) if settings.asterisk.nodes else "the settings name none"
        raise SiteError(
            f"there are several nodes, name one with --node: {there}"
            if node is None
            else f"there is no node {node!r}: {there}"
        )
    return nodes[node or ""]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SiteError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise SiteError(f"{file} is not a TOML file in UTF-8: {error}") from error


def _web_server(url: str, given: dict[str, Any]) -> dict[str, Any]:
    """Where Asterisk's web server listens, from the address the service uses for it, unless the site file says so."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    if "bind" in given:
        return {"http_port": port}
    try:
        return {"http_port": port, "bind": IPv4Address("127.0.0.1" if host == "localhost" else host or "")}
    except AddressValueError as error:
        raise SiteError(
            f"settings: asterisk.url: {host!r} is a name; write into the site file (--site) the address of its own at "
            'which Asterisk listens, such as bind = "192.0.2.5"'
        ) from error
