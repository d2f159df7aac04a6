"""The monthly report of service levels: requests and calls, by line, company, channel and level, with its formulas."""

import csv
import io
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from desk.audit import safe_cell
from desk.queries import line_name
from ivr.config import CallsConfig, Label
from ivr.models import TIMED_OUT
from ivr.report import CallFigures, ReportSettings, call_facts, count_calls, lines_of_calls
from schedules.promises import Clock
from tickets.report import Fact, RequestFigures, Verdict, count, request_facts

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")

Value = int | float | str | None


class NoMonth(ValueError):
    """What was given is no month such as 2026-11."""


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in a time zone."""

    first: date
    zone: ZoneInfo

    @classmethod
    def read(cls, text: str, zone: ZoneInfo) -> "Month":
        """From a text such as 2026-11. Raises `NoMonth`."""
        match = _MONTH.fullmatch(text.strip())
        if match is None or not 1 < int(match[1]) < 9999:
            raise NoMonth(f"{text[:20]!r} is no month: write it as 2026-11")
        return cls(date(int(match[1]), int(match[2]), 1), zone)

    @classmethod
    def before(cls, now: datetime, zone: ZoneInfo) -> "Month":
        """The last month that is over."""
        this = now.astimezone(zone).date().replace(day=1)
        return cls((this - timedelta(days=1)).replace(day=1), zone)

    @property
    def begin(self) -> datetime:
        """Its first moment."""
        return datetime(self.first.year, self.first.month, 1, tzinfo=self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        following = (self.first + timedelta(days=31)).replace(day=1)
        return datetime(following.year, following.month, 1, tzinfo=self.zone)

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"


@dataclass(frozen=True, slots=True)
class Row:
    """One group of the report: by `total`, `line`, `company`, `channel`, `level`, `code`; no name is unknown or none.

    `calls` is None where calls have no such thing. Outcome codes (`code`) are of calls in which an agent talked; their
    name is the code itself.
    """

    by: str
    name: str
    requests: RequestFigures
    calls: CallFigures | None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a month."""

    month: Month
    made_at: datetime
    settings: ReportSettings
    rows: tuple[Row, ...]
    codes: tuple[Label, ...] = ()
    """What the outcome codes are called."""


def service_report(
    session: Session, month: Month, config: CallsConfig, settings: ReportSettings, *, now: datetime
) -> Report:
    """The figures of a month, judged at the time `now`."""
    facts = request_facts(session, month.begin, month.end, now=now)
    calls = call_facts(session, month.begin, month.end)
    lines = lines_of_calls(session, {fact.call_id for fact in facts if fact.call_id is not None})

    def line(fact: Fact) -> str:
        number = lines.get(fact.call_id or "")
        return line_name(config, number) if number is not None else ""

    rows = []
    for by, of_request, of_call in (
        ("total", lambda _: "", lambda _: ""),
        ("line", line, lambda call: line_name(config, call.line)),
        ("company", lambda fact: fact.company or "", lambda call: call.company or ""),
        ("channel", lambda fact: fact.channel, None),
        ("level", lambda fact: str(fact.level), None),
    ):
        requests = count(facts, of_request)
        groups = count_calls(calls, settings, of_call) if of_call is not None else None
        names = {*requests, *(groups or {}), *([""] if by == "total" else [])}
        rows += [
            Row(
                by,
                name,
                requests.get(name) or RequestFigures(),
                None if groups is None else groups.get(name) or CallFigures(),
            )
            for name in sorted(names, key=lambda name: (name == "", name))
        ]
    coded = count_calls((call for call in calls if call.code is not None), settings, lambda call: call.code or "")
    rows += [Row("code", code, RequestFigures(), figures) for code, figures in coded.items()]
    return Report(month, now, settings, tuple(rows), config.outcome_codes)


# ------------------------------------------------------------------------------------------------------- measures


def measures(row: Row) -> dict[str, Value]:
    """Everything that is counted of a group, by its name in the CSV file; shares from 0 to 1, waits in seconds."""
    requests = row.requests
    values: dict[str, Value] = {
        "received": requests.received,
        "solved": requests.solved,
        "cancelled": requests.cancelled,
        "still_open": requests.still_open,
    }
    for clock in Clock:
        values |= {f"{clock}_{verdict}": requests.promises[clock][verdict] for verdict in Verdict}
        values[f"{clock}_share"] = _rounded(requests.share(clock), 4)
    calls = row.calls
    figures: dict[str, Value] = {
        "calls": calls.calls if calls else None,
        "answered": calls.answered if calls else None,
        "answered_in_time": calls.answered_in_time if calls else None,
        "service_level": _rounded(calls.service_level, 4) if calls else None,
        "gave_up_waiting": calls.gave_up_waiting if calls else None,
        "abandoned_share": _rounded(calls.abandoned, 4) if calls else None,
        "gave_up_before": calls.gave_up_before if calls else None,
        "gave_up_short": calls.gave_up_short if calls else None,
        "left_a_message": calls.left_a_message if calls else None,
        "other": calls.other if calls else None,
        "mean_wait": _rounded(calls.mean_wait, 1) if calls else None,
        "wait_half": _rounded(calls.wait(0.5), 1) if calls else None,
        "wait_nine_of_ten": _rounded(calls.wait(0.9), 1) if calls else None,
        "longest_wait": _rounded(calls.wait(1.0), 1) if calls else None,
    }
    return values | figures


def as_dict(report: Report, language: str) -> dict[str, object]:
    """The report for programs."""
    return {
        "month": str(report.month),
        "timezone": report.month.zone.key,
        "made_at": report.made_at.isoformat(),
        "rows": [{"by": row.by, "name": row.name, **measures(row)} for row in report.rows],
        "formulas": formulas(report, language),
    }


def as_csv(report: Report) -> str:
    """The report as a file for spreadsheets: one line a group, the names of the columns in the first."""
    out = io.StringIO()
    writer = csv.writer(out)
    empty = measures(Row("", "", RequestFigures(), None))
    writer.writerow(["month", "by", "name", *empty])
    for row in report.rows:
        values = ("" if value is None else value for value in measures(row).values())
        writer.writerow([str(report.month), row.by, safe_cell(row.name), *values])
    return out.getvalue()


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


# ---------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table for people: texts only, the first column names the group."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


_WORDS = {
    "it": {
        "title": "Livelli di servizio",
        "made": "elaborato il",
        "requests": "Richieste",
        "calls": "Chiamate",
        "formulas": "Come si contano",
        "total": "in totale",
        "line": "per linea",
        "company": "per azienda",
        "channel": "per canale",
        "level": "per livello",
        "code": "per esito",
        "timed_out": "nessun esito indicato in tempo",
        "all": "tutte",
        "no line": "nessuna linea",
        "no company": "azienda non nota",
        "head requests": (
            "",
            "ricevute",
            "risolte",
            "aperte",
            "annullate",
            "presa in carico entro il termine",
            "prima risposta entro il termine",
            "soluzione entro il termine",
        ),
        "head calls": (
            "",
            "chiamate",
            "risposte",
            "risposte in tempo",
            "abbandonate in attesa",
            "abbandonate prima",
            "abbandonate subito",
            "messaggi",
            "altro",
            "attesa media",
            "attesa 90%",
            "attesa massima",
        ),
        "of": "su",
        "pending": "in corso",
    },
    "en": {
        "title": "Service levels",
        "made": "made on",
        "requests": "Requests",
        "calls": "Calls",
        "formulas": "How it is counted",
        "total": "in all",
        "line": "by line",
        "company": "by company",
        "channel": "by channel",
        "level": "by level",
        "code": "by outcome",
        "timed_out": "no outcome given in time",
        "all": "all",
        "no line": "no line",
        "no company": "company not known",
        "head requests": (
            "",
            "received",
            "solved",
            "open",
            "cancelled",
            "pickup in time",
            "first answer in time",
            "solution in time",
        ),
        "head calls": (
            "",
            "calls",
            "answered",
            "answered in time",
            "gave up waiting",
            "gave up before",
            "gave up at once",
            "messages",
            "other",
            "mean wait",
            "wait 90%",
            "longest wait",
        ),
        "of": "of",
        "pending": "under way",
    },
}
_CHANNELS = {
    "it": {
        "phone": "telefono",
        "voicemail": "segreteria",
        "email": "e-mail",
        "fax": "fax",
        "in_person": "di persona",
        "api": "altro programma",
    },
    "en": {
        "phone": "phone",
        "voicemail": "voicemail",
        "email": "e-mail",
        "fax": "fax",
        "in_person": "in person",
        "api": "another program",
    },
}


def word(key: str, language: str) -> str:
    """A heading of the report."""
    text = _WORDS[language][key]
    return text if isinstance(text, str) else " ".join(text)


def sheets(report: Report, language: str) -> list[Sheet]:
    """The report as tables for people: requests and calls in all, then by line, company, channel, level, outcome."""
    words = _WORDS[language]
    tables = []
    for by in ("total", "line", "company", "channel", "level", "code"):
        rows = [
            replace(row, name=_code(row.name, report, language)) if by == "code" else row
            for row in report.rows
            if row.by == by
        ]
        if not rows:
            continue
        tables.append(
            Sheet(
                f"{words['requests']} {words[by]}",
                tuple(words["head requests"]),
                tuple(_request_row(row, language) for row in rows if row.requests.received or by == "total"),
            )
        )
        called = [(row, row.calls) for row in rows if row.calls is not None and (row.calls.calls or by == "total")]
        if called:
            tables.append(
                Sheet(
                    f"{words['calls']} {words[by]}",
                    tuple(words["head calls"]),
                    tuple(_call_row(row, calls, language) for row, calls in called),
                )
            )
    return [table for table in tables if table.rows]


def _code(code: str, report: Report, language: str) -> str:
    """What an outcome code is called; one that the site has given up shows as it is."""
    if code == TIMED_OUT:
        return word(TIMED_OUT, language)
    label = next((label for label in report.codes if label.code == code), None)
    return code if label is None else label.en if language == "en" else label.it


def formulas(report: Report, language: str) -> list[str]:
    """How the figures are counted, one sentence each."""
    short, within = f"{report.settings.short_seconds:g}", f"{report.settings.answered_within_seconds:g}"
    if language == "it":
        return [
            "Le richieste sono quelle ricevute nel mese; le chiamate quelle iniziate nel mese.",
            "Entro il termine = mantenute / (mantenute + mancate). Mantenuta: fatta entro il termine. Mancata: fatta "
            "dopo, oppure non fatta e il termine è passato. In corso o annullate non contano.",
            "Il termine si conta nell'orario presidiato, e si ferma solo mentre si attende l'utente.",
            f"Risposte in tempo = risposte entro {within} s / (risposte + abbandonate in attesa).",
            f"Abbandonate = abbandonate in attesa / (risposte + abbandonate in attesa). Chi riaggancia entro {short} s "
            "è contato a parte (abbandonate subito).",
            "Per esito: le chiamate in cui un operatore ha parlato, con l'ultimo esito indicato.",
            "Attesa: dall'ingresso in coda alla risposta, di chi ha avuto risposta. Attesa 90%: il valore che nove "
            "chiamanti su dieci non superano (rango più vicino).",
        ]
    return [
        "Requests are those received in the month; calls those begun in the month.",
        "In time = kept / (kept + missed). Kept: done by the due time. Missed: done later, or not done and the due "
        "time has passed. What is under way or was cancelled does not count.",
        "The due time is counted in staffed hours, and stands still only while the user is waited for.",
        f"Answered in time = answered within {within} s / (answered + gave up waiting).",
        f"Abandoned = gave up waiting / (answered + gave up waiting). Who hangs up within {short} s is counted apart "
        "(gave up at once).",
        "By outcome: calls in which an agent talked, with the last outcome that was given.",
        "Wait: from joining the waiting line to the answer, of those who were answered. Wait 90%: what nine callers "
        "of ten did not exceed (nearest rank).",
    ]


def _name(row: Row, language: str) -> str:
    words = _WORDS[language]
    if row.by == "total":
        return str(words["all"])
    if row.by == "channel":
        return _CHANNELS[language].get(row.name, row.name)
    return row.name or str(words["no line"] if row.by == "line" else words["no company"])


def _request_row(row: Row, language: str) -> tuple[str, ...]:
    figures = row.requests
    numbers = (figures.received, figures.solved, figures.still_open, figures.cancelled)
    return (_name(row, language), *map(str, numbers), *(_kept(figures, clock, language) for clock in Clock))


def _kept(figures: RequestFigures, clock: Clock, language: str) -> str:
    share, verdicts = figures.share(clock), figures.promises[clock]
    pending = f" (+{verdicts[Verdict.PENDING]} {word('pending', language)})" if verdicts[Verdict.PENDING] else ""
    if share is None:
        return f"-{pending}"
    kept = verdicts[Verdict.KEPT]
    return f"{_percent(share, language)} ({kept} {word('of', language)} {kept + verdicts[Verdict.MISSED]}){pending}"


def _call_row(row: Row, calls: CallFigures, language: str) -> tuple[str, ...]:
    def share(number: int, of_all: float | None) -> str:
        return f"{number} ({_percent(of_all, language)})" if of_all is not None else str(number)

    return (
        _name(row, language),
        str(calls.calls),
        str(calls.answered),
        share(calls.answered_in_time, calls.service_level),
        share(calls.gave_up_waiting, calls.abandoned),
        str(calls.gave_up_before),
        str(calls.gave_up_short),
        str(calls.left_a_message),
        str(calls.other),
        *(_seconds(wait) for wait in (calls.mean_wait, calls.wait(0.9), calls.wait(1.0))),
    )


def _percent(share: float, language: str) -> str:
    text = f"{100 * share:.1f}%"
    return text.replace(".", ",") if language == "it" else text


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
