"""Writes the Asterisk configuration that Centralino needs, from templates and one description of the site.

Two levels, the same templates:

* the `centralino-*.conf` files, which a site `#include`s into the Asterisk it already runs;
* with `Site.private`, a whole configuration around them, for an Asterisk of Centralino's own (demo, tests, benchmarks).
"""

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

INCLUDES = (
    "centralino-extensions.conf",
    "centralino-pjsip.conf",
    "centralino-ari.conf",
    "centralino-http.conf",
    "centralino-modules.conf",
    "centralino-cel.conf",
)
PRIVATE = (
    "asterisk.conf",
    "modules.conf",
    "logger.conf",
    "rtp.conf",
    "musiconhold.conf",
    "cdr.conf",
    "cel.conf",
    "cel_custom.conf",
    "pjsip.conf",
    "sorcery.conf",
    "http.conf",
    "ari.conf",
    "extensions.conf",
    "indications.conf",
)
# What Asterisk asks for at the start; with nothing in them its log is free of complaints.
EMPTY = (
    "acl.conf",
    "ccss.conf",
    "features.conf",
    "manager.conf",
    "pjproject.conf",
    "res_fax.conf",
    "udptl.conf",
    "websocket_client.conf",
    "stasis.conf",
)
BENCHMARKS = ("queues.conf", "voicemail.conf")


def _one_line(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret.isprintable() or secret != secret.strip() or not secret:
        raise ValueError("must be one line of printable characters, without spaces at its ends")
    return value


def _plain_path(path: Path) -> Path:
    # A comma would end an argument in the dialplan; a brace or dollar would start a variable.
    if not path.is_absolute() or not re.fullmatch(r"[\w./+@ -]+", str(path)):
        raise ValueError("must be an absolute path of letters, digits, spaces and ._+@-")
    return path


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}(/[0-9]{1,3})?$")]
Number = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{1,32}$")]
Secret = Annotated[SecretStr, AfterValidator(_one_line)]
PlainPath = Annotated[Path, AfterValidator(_plain_path)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhoneAccount(_Model):
    """One agent's phone: a desk phone (or softphone) on SIP, or the phone in the browser on WebRTC.

    A phone in the browser needs no password: the service makes it one each time a page takes the phone.
    """

    name: Name
    password: Secret | None = None
    kind: Literal["desk", "browser"] = "desk"

    @model_validator(mode="after")
    def _desk_phones_have_passwords(self) -> "PhoneAccount":
        if self.kind == "desk" and self.password is None:
            raise ValueError("a desk phone needs a password")
        return self


class Trunk(_Model):
    """The way to the telephone network: calls come from `addresses`, and Centralino registers when it has a password.

    `line` is the dialled number when the carrier sends none of its own with a registered trunk.
    """

    name: Name
    host: Host
    addresses: list[Address] = Field(min_length=1)
    username: Name | Number | None = None
    password: Secret | None = None
    line: Number | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Trunk":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: give both or neither")
        return self


class SiteNode(_Model):
    """One of several Asterisks beside each other: where the others reach it over SIP, and where it calls them from.

    `host` may have a port. Without `addresses` it is an address, and calls come from there.
    """

    name: Name
    host: Host
    addresses: list[Address] = []

    @property
    def matches(self) -> list[str]:
        """The addresses its calls come from."""
        return self.addresses or [self.host.partition(":")[0]]


class Directories(_Model):
    """Where a private Asterisk finds and keeps its files; the names are those of `asterisk.conf`."""

    etc: PlainPath
    modules: PlainPath
    data: PlainPath
    var: PlainPath
    spool: PlainPath
    log: PlainPath
    run: PlainPath


class Site(_Model):
    """What the templates need to know about one site.

    Recordings made over ARI always go to `recording` under Asterisk's spool directory; `fallback_spool` is where the
    dialplan itself records when the service does not answer, `message_seconds` at most, and until nothing was said for
    `message_silence_seconds`. `anonymous_calls` lets anybody call in without a trunk:
    for demo and tests on the loopback address only. `workers`: several share the calls, each with a Stasis application
    of its own, whose name begins with `stasis_app` and a hyphen. `fax_numbers` are for faxes only; `fax_tone`: on any
    other line a fax is known by its tone. `nodes`: every Asterisk of the site where there are
    several, `node` the name of the one that is described.
    """

    bind: IPv4Address = IPv4Address("127.0.0.1")
    sip_port: Port = 5060
    http_port: Port = 8088
    rtp_first: Port = 10000
    rtp_last: Port = 20000
    ari_username: Name = "centralino"
    ari_password: Secret
    stasis_app: Name = "centralino"
    workers: bool = False
    language: Literal["it", "en"] = "it"
    fallback_spool: PlainPath = Path("/var/spool/asterisk/centralino-fallback")
    message_seconds: int = Field(default=180, ge=1)
    message_silence_seconds: int = Field(default=10, ge=1)
    fax_numbers: list[Number] = []
    fax_tone: bool = True
    phones: list[PhoneAccount] = []
    trunks: list[Trunk] = []
    node: Name | None = None
    nodes: list[SiteNode] = []
    anonymous_calls: bool = False
    benchmarks: bool = False
    private: Directories | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Site":
        names = [phone.name for phone in self.phones] + [trunk.name for trunk in self.trunks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"phones and trunks need different names; used twice: {', '.join(twice)}")
        nodes = [node.name for node in self.nodes]
        if twice := sorted({name for name in nodes if nodes.count(name) > 1}):
            raise ValueError(f"nodes need different names; used twice: {', '.join(twice)}")
        if self.rtp_last <= self.rtp_first:
            raise ValueError("rtp_last must be above rtp_first")
        if self.anonymous_calls and not self.bind.is_loopback:
            raise ValueError("anonymous_calls is for demo and tests: it needs a loopback address in bind")
        if self.benchmarks and self.private is None:
            raise ValueError("benchmarks need a private Asterisk")
        return self

    @property
    def other_nodes(self) -> list[SiteNode]:
        """The Asterisks beside this one."""
        return [node for node in self.nodes if node.name != self.node]


def _as_value(value: object) -> object:
    """Write a value as Asterisk's files want it: secrets in clear, a semicolon not as the start of a comment."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.replace(";", "\\;") if isinstance(value, str) else value


_templates = Environment(
    loader=PackageLoader("asterisk_conf"),
    autoescape=False,  # noqa: S701  # the output is no HTML; `_as_value` and the types above do the escaping
    finalize=_as_value,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(folder: Path, site: Site) -> None:
    """Write the site's configuration files into `folder`, readable by their owner only since they hold passwords.

    Raises OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = INCLUDES + (PRIVATE if site.private else ()) + (BENCHMARKS if site.benchmarks else ())
    texts = {name: _templates.get_template(f"{name}.j2").render(site=site) for name in names}
    if site.private:
        texts |= dict.fromkeys(EMPTY, "; Asterisk's own defaults\n")
    for name, text in texts.items():
        target = folder / name
        target.touch(mode=0o600)
        target.chmod(0o600)
        target.write_text(text, encoding="utf-8")
