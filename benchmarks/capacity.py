"""`python -m benchmarks.capacity`: write the tables of docs/capacity.md anew from the figures in its first table.

Each table stands between `<!-- computed: NAME -->` and `<!-- end -->`; a test compares them with what this writes.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
MACHINES = ((1, 1), (2, 1), (8, 1), (8, 4))
"""Cores, and workers on them."""
NODES = (1, 2, 4)
NODE_CORES = 8
PACKETS_EACH_WAY = 2 * 50
"""Of a talk, a second: two phones, a packet for each 20 ms (RFC 3551, 4.2)."""
PACKET_BYTES = 160 + 12 + 8 + 20
"""A-law of 20 ms, and the headers of RTP, UDP and IPv4."""

Figures = Mapping[str, float]


def figures(page: str) -> dict[str, float]:
    """The figures that all is computed from: the rows with a name and a number."""
    rows = re.findall(r"^\| `([a-z_]+)` \| ([0-9.]+) \|", page, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def asterisk_talk(f: Figures) -> float:
    """Asterisk's processor time for one second of a talk, ms."""
    return (f["asterisk_long"] - f["asterisk_short"]) / (f["long_seconds"] - f["short_seconds"])


def asterisk_call(f: Figures, talk_seconds: float) -> float:
    """Asterisk's for a whole call, ms."""
    return f["asterisk_short"] + asterisk_talk(f) * (talk_seconds - f["short_seconds"])


def service_call(f: Figures, pages: float = 0) -> float:
    """The service's for a call of any length, with so many pages open, ms. No sound passes through the service."""
    return max(f["service_short"], f["service_long"]) + f["service_page"] * pages


def message(f: Figures) -> tuple[float, float, float]:
    """Asterisk's, the service's and the recogniser's for a message of the site's length, ms."""
    longer = f["site_message_seconds"] - f["message_seconds"]
    recogniser = f["recogniser_message"] * f["site_message_seconds"] / f["message_seconds"]
    return f["asterisk_message"] + asterisk_talk(f) * longer, f["service_message"], recogniser


def most_calls(f: Figures, cores: int, workers: int) -> float:
    """Short calls a second, without pages: the machine is full, or each worker's core is."""
    service = service_call(f)
    return f["load"] * 1000 * min(cores / (f["asterisk_short"] + service), workers / service)


def desk(f: Figures, agents: int) -> tuple[float, float, float, float]:
    """Calls a second, talks at once, and the cores that Asterisk and the service need, for agents with a page each."""
    calls = agents * f["busy"] / (f["answer_seconds"] + f["talk_seconds"] + f["wrap_up_seconds"])
    asterisk = calls * asterisk_call(f, f["talk_seconds"]) / 1000
    return calls, calls * f["talk_seconds"], asterisk, calls * service_call(f, agents) / 1000


def most_agents(f: Figures, cores: int, workers: int) -> int:
    """The largest desk that a machine carries."""
    agents = 0
    while True:
        _, _, asterisk, service = desk(f, agents + 1)
        if asterisk + service > f["load"] * cores or service > f["load"] * workers:
            return agents
        agents += 1


def costs(f: Figures) -> list[str]:
    """What the figures say of one second, call or message."""
    asterisk, service, recogniser = message(f)
    rows = [
        ("a second of talk", f"{asterisk_talk(f):.2f} ms", "nothing", ""),
        (
            f"a call of {f['talk_seconds']:g} s, no page open",
            f"{asterisk_call(f, f['talk_seconds']):.0f} ms",
            f"{service_call(f):.1f} ms",
            "",
        ),
        (
            f"a call of {f['talk_seconds']:g} s, 20 pages open",
            f"{asterisk_call(f, f['talk_seconds']):.0f} ms",
            f"{service_call(f, 20):.1f} ms",
            "",
        ),
        (
            f"a message of {f['site_message_seconds']:g} s",
            f"{asterisk:.0f} ms",
            f"{service:.1f} ms",
            f"{recogniser:.0f} ms",
        ),
    ]
    return _table(("", "Asterisk", "service", "recogniser"), rows)


def calls(f: Figures) -> list[str]:
    """The fastest short calls."""
    rows = [
        (cores, workers, _beyond(most_calls(f, cores, workers), f["measured_calls_per_second"]))
        for cores, workers in MACHINES
    ]
    return _table(("cores", "workers", "short calls/s"), rows)


def desks(f: Figures) -> list[str]:
    """The largest desk of each machine."""
    rows = []
    for cores, workers in MACHINES:
        agents = most_agents(f, cores, workers)
        rate, talks, asterisk, service = desk(f, agents)
        packets = talks * PACKETS_EACH_WAY
        rows.append(
            (
                cores,
                workers,
                _beyond(agents, f["measured_pages"]),
                f"{rate * 3600:,.0f}",
                _beyond(talks, f["measured_talks"]),
                f"{asterisk:.2f}",
                f"{service:.2f}",
                f"{packets:,.0f}",
                f"{packets * PACKET_BYTES * 8 / 1e6:.0f} Mbit/s",
            )
        )
    heads = ("cores", "workers", "agents, a page each", "calls/h", "talks at once", "cores for Asterisk")
    return _table((*heads, "cores for the service", "RTP packets/s, each way", "that is"), rows)


def nodes(f: Figures) -> list[str]:
    """What several Asterisks carry, as far as processor time goes."""
    rows = []
    for count in NODES:
        rate = count * NODE_CORES * f["load"] * 1000 / asterisk_call(f, f["talk_seconds"])
        rows.append((count, f"{rate * 3600:,.0f}", _beyond(rate * f["talk_seconds"], f["measured_talks"])))
    return _table((f"nodes of {NODE_CORES} cores, Asterisk alone", "calls/h", "talks at once"), rows)


def messages(f: Figures) -> list[str]:
    """The most messages an hour."""
    asterisk, service, recogniser = message(f)
    rows = []
    for cores, workers in MACHINES:
        each = min(cores / (asterisk + service + recogniser), workers / service)
        processes = math.ceil(each * recogniser)
        rows.append((cores, workers, processes, f"{f['load'] * each * 3_600_000:,.0f}"))
    heads = ("cores", "workers", "recogniser processes", f"messages/h of {f['site_message_seconds']:g} s, tiny model")
    return _table(heads, rows)


def recognisers(f: Figures) -> list[str]:
    """What a recogniser process does, by the cost of its model."""
    tiny = f["recogniser_message"] / 1000 / f["message_seconds"]
    rows = [
        (
            name or f"{factor:g}",
            f"{factor * f['site_message_seconds']:.1f} s",
            f"{f['load'] * 3600 / (factor * f['site_message_seconds']):,.0f}",
        )
        for name, factor in ((f"{tiny:.3f} (tiny model, measured)", tiny), ("", 0.1), ("", 0.3), ("", 1.0))
    ]
    return _table(("processor time for a second of sound, s", "for a message", "messages/h of one process"), rows)


def _beyond(value: float, measured: float) -> str:
    """A number, marked where it is larger than what was measured."""
    return f"{value:,.0f}{' †' if value > measured else ''}"


def _table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    lines = [list(heads), ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


TABLES: Mapping[str, Callable[[Figures], list[str]]] = {
    "costs": costs,
    "calls": calls,
    "desks": desks,
    "nodes": nodes,
    "messages": messages,
    "recognisers": recognisers,
}


def computed(page: str) -> str:
    """The page with its tables as its figures have them."""
    given = figures(page)

    def written(match: re.Match[str]) -> str:
        return "\n".join((match[1], *TABLES[match[2]](given), "<!-- end -->"))

    return re.sub(r"(<!-- computed: ([a-z]+) -->)\n.*?<!-- end -->", written, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(computed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
