"""How many agents a waiting line needs: the exact formulas of queueing theory, as pure functions.

Erlang C (M/M/n): callers come at random (Poisson), are served in order by `n` agents in times that are exponential, and
wait as long as it takes. Erlang A (M/M/n+M): the same, but each caller gives up after a patience that is exponential as
well. `load` is the work that arrives, in erlangs: calls an hour times handling seconds, by 3600.

Sources: A. K. Erlang, Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges (1917); R. B. Cooper, Introduction to Queueing Theory (2nd ed. 1981), ch. 3; O. Garnett, A. Mandelbaum and
M. Reiman, Designing a call center with impatient customers (2002); A. Mandelbaum and S. Zeltyn, Service engineering in
action: the Palm/Erlang-A queue (2007).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

_PANELS = 50
"""Panels of Simpson's rule between two marks: the error is far below what a table shows."""
_NEGLIGIBLE = 40.0
"""What is e**40 times less than the largest value of a function adds nothing to its integral."""


@dataclass(frozen=True, slots=True)
class Line:
    """What callers meet in the long run. Shares are from 0 to 1, of all callers."""

    waiting: float
    """Who does not get an agent at once."""
    mean_wait_seconds: float
    """Of all callers, those who are served at once and those who give up too; infinite when the line only grows."""
    within: float
    """The service level: who has an agent within the seconds asked for."""
    abandoned: float
    """Who gives up."""
    occupancy: float
    """The share of their time for which agents are busy."""


def erlang_b(agents: int, load: float) -> float:
    """The probability that all `agents` are busy where nobody waits (Erlang's loss formula).

    By the recursion over agents (Cooper 1981, ch. 3.3), in which nothing overflows and nothing is subtracted.
    """
    blocked = 1.0
    for busy in range(1, agents + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked


def erlang_c(agents: int, load: float, *, handling_seconds: float, within_seconds: float) -> Line:
    """What callers meet who never give up; `load` in erlangs, `handling_seconds` the mean time an agent is busy."""
    if load >= agents:
        return Line(waiting=1.0, mean_wait_seconds=math.inf, within=0.0, abandoned=0.0, occupancy=1.0)
    blocked = erlang_b(agents, load)
    waiting = blocked / (1 - load / agents * (1 - blocked))
    return Line(
        waiting=waiting,
        mean_wait_seconds=waiting * handling_seconds / (agents - load),
        within=1 - waiting * math.exp(-(agents - load) * within_seconds / handling_seconds),
        abandoned=0.0,
        occupancy=load / agents,
    )


def erlang_a(
    agents: int, load: float, *, handling_seconds: float, patience_seconds: float, within_seconds: float
) -> Line:
    """What callers meet who give up after `patience_seconds` in the mean; `agents` may be fewer than the load.

    By the density of the wait that a caller of endless patience would have, (load / handling) * p(agents - 1) * e**g(x)
    at x seconds (Mandelbaum and Zeltyn 2007, sec. 5), whose integrals are found by Simpson's rule; the largest value of
    e**g is taken out of them, so that nothing overflows.
    """
    arrivals, served, leaving = load / handling_seconds, agents / handling_seconds, 1 / patience_seconds

    def exponent(x: float) -> float:
        return -arrivals / leaving * math.expm1(-leaving * x) - served * x

    peak = math.log(arrivals / served) / leaving if arrivals > served else 0.0
    highest, end = exponent(peak), max(peak, handling_seconds)
    while exponent(end) > highest - _NEGLIGIBLE:
        end *= 2
    # Marks lie closer where the function changes faster: at the beginning, and around its peak.
    begin, width = 1 / (arrivals + served + leaving), 1 / math.sqrt(served * leaving)
    spread = [2.0**power for power in range(-3, 40)]
    marks = {begin * far for far in spread} | {peak + side * width * far for far in spread for side in (-1, 0, 1)}
    blocked, free = erlang_b(agents - 1, load), math.exp(-highest)

    def integral(value: Callable[[float], float], to: float) -> float:
        bounds = [0.0, *sorted(mark for mark in marks if 0 < mark < to), to]
        pieces = (_simpson(lambda x: value(x) * math.exp(exponent(x) - highest), *piece) for piece in pairwise(bounds))
        return blocked * arrivals * sum(pieces)

    whole = free + integral(lambda _: 1.0, end)  # all states, in one unit: an agent is free, or callers wait
    waiting = 1 - free / whole
    got_within = integral(lambda x: math.exp(-leaving * x), min(within_seconds, end)) / whole
    abandoned = integral(lambda x: -math.expm1(-leaving * x), end) / whole
    return Line(
        waiting=waiting,
        mean_wait_seconds=abandoned / leaving,  # Little's law: those who leave do so at `leaving` for each who waits
        within=1 - waiting + got_within,
        abandoned=abandoned,
        occupancy=load * (1 - abandoned) / agents,
    )


def _simpson(function: Callable[[float], float], begin: float, end: float) -> float:
    step = (end - begin) / _PANELS
    inner = sum((4 if index % 2 else 2) * function(begin + index * step) for index in range(1, _PANELS))
    return step / 3 * (function(begin) + inner + function(end))
