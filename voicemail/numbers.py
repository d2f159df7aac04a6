"""Numbers spoken digit by digit or in groups ("tre quattro sette cinquantadue ..."), read into digits.

Conservative on purpose: only a run of number words that gives five digits or more is taken (telephone, ticket and
protocol numbers), a word that may mean something else ends the run, and nothing is corrected. The raw words stay beside
the digits, and a number keyed by the caller counts more.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

FEWEST_DIGITS = 5
"""Shorter runs are times, rooms, dates and prices."""
MOST_DIGITS = 20
"""Longer runs are two numbers said in one breath or nonsense. (E.164 allows 15; protocol numbers may be longer.)"""

_UNITS = ["zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"]
_TEENS = [
    "dieci",
    "undici",
    "dodici",
    "tredici",
    "quattordici",
    "quindici",
    "sedici",
    "diciassette",
    "diciotto",
    "diciannove",
]
_TENS = ["-", "-", "venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"]
_ENGLISH_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_ENGLISH_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_ENGLISH_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spell_italian(number: int) -> str:
    """Write a number from 0 to 999 as one Italian word without accent: 347 is "trecentoquarantasette"."""
    if not 0 <= number <= 999:
        raise ValueError(f"not from 0 to 999: {number}")
    if number < 10:
        return _UNITS[number]
    if number < 20:
        return _TEENS[number - 10]
    if number < 100:
        tens, unit = _TENS[number // 10], number % 10
        if unit in (1, 8):  # ventuno, ventotto
            tens = tens[:-1]
        return tens + (_UNITS[unit] if unit else "")
    hundreds, rest = divmod(number, 100)
    return ("" if hundreds == 1 else _UNITS[hundreds]) + "cento" + (spell_italian(rest) if rest else "")


_ITALIAN = {spell_italian(number): number for number in range(1000)}
# Both forms are heard: centouno and centuno, centootto and centotto, centoottanta and centottanta.
_ITALIAN |= {
    word.replace("centou", "centu").replace("centoo", "cento"): number for word, number in tuple(_ITALIAN.items())
}
_ENGLISH = {
    **{word: number for number, word in enumerate(_ENGLISH_UNITS)},
    **{word: 10 + number for number, word in enumerate(_ENGLISH_TEENS)},
    **{word: 10 * number for number, word in enumerate(_ENGLISH_TENS) if number > 1},
    "oh": 0,
    "fourty": 40,
}
_REPEATS = {"doppio": 2, "doppia": 2, "triplo": 3, "tripla": 3, "double": 2, "triple": 3}
_PLUS = {"più", "plus", "+"}
_DATE = re.compile(r"\b\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})\b")
_WRITTEN = re.compile(r"[^\W_]+|\+|\.(?!\d)|[^\s\w/.-]")
"""Words, and signs that end a run; not those by which numbers are grouped: space, point, stroke, hyphen."""


def numbers_heard(words: Iterable[str], language: str) -> list[str]:
    """The numbers said in `words` (as recognised, any case), each once, in the order they were first said.

    `language` is "it" or "en"; any other gives nothing. A number begins with "+" when "più" or "plus" was said before
    a run of eight digits or more.
    """
    read = _READERS.get(language)
    if read is None:
        return []
    found: list[str] = []
    for plus, run in _runs([word.casefold() for word in words], language):
        digits = read(run)
        if FEWEST_DIGITS <= len(digits) <= MOST_DIGITS:
            number = "+" + digits if plus and len(digits) >= 8 else digits
            if number not in found:
                found.append(number)
    return found


def numbers_written(text: str, language: str) -> list[str]:
    """The numbers in a text that a person wrote down, in digits or in words; as `numbers_heard` gives them.

    Dates are left out.
    """
    return numbers_heard(_WRITTEN.findall(_DATE.sub(";", text)), language)


def _runs(words: Sequence[str], language: str) -> list[tuple[bool, list[str]]]:
    """Stretches of number words, each with whether "plus" was said before it."""
    runs: list[tuple[bool, list[str]]] = []
    current: list[str] = []
    plus = False
    previous = ""
    for word in [*words, ""]:
        if _is_number_word(word, language):
            if not current:
                plus = previous in _PLUS
            current.append(_plain(word))
        elif current:
            runs.append((plus, current))
            current = []
        previous = word
    return runs


def _plain(word: str) -> str:
    """Without accents: ventitré is also written ventitre."""
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _in_digits(word: str) -> bool:
    """Whether somebody wrote the digits; a recogniser never does."""
    return word.isascii() and word.isdecimal()


def _is_number_word(word: str, language: str) -> bool:
    if _in_digits(word):
        return True
    plain = _plain(word)
    if language == "it":
        return plain in _ITALIAN or plain in ("doppio", "doppia", "triplo", "tripla")
    return plain in _ENGLISH or plain in ("hundred", "double", "triple")


def _read_italian(run: Sequence[str]) -> str:
    digits, index = "", 0
    while index < len(run):
        word = run[index]
        if _in_digits(word):
            digits += word
            index += 1
            continue
        if word in _REPEATS:
            index += 1
            if index < len(run) and _ITALIAN.get(run[index], 10) < 10:
                digits += str(_ITALIAN[run[index]]) * _REPEATS[word]
                index += 1
            continue
        value = _ITALIAN[word]
        follower = _ITALIAN.get(run[index + 1], -1) if index + 1 < len(run) else -1
        # "trecento quarantasette" is 347, written apart by the recogniser. But "ottocento nove ..." is the prefix of a
        # free number and then digits, and so is a hundred before a single digit.
        if value >= 100 and value % 100 == 0 and value != 800 and 10 <= follower <= 99:
            value += follower
            index += 1
        digits += str(value)
        index += 1
    return digits


def _read_english(run: Sequence[str]) -> str:
    digits, index = "", 0
    while index < len(run):
        word = run[index]
        follower = _ENGLISH.get(run[index + 1], -1) if index + 1 < len(run) else -1
        if _in_digits(word):
            digits += word
        elif word in _REPEATS:
            if 0 <= follower < 10:
                digits += str(follower) * _REPEATS[word]
                index += 1
        elif word == "hundred":
            digits += "00"  # eight hundred: an eight and two zeros, as they are keyed
        elif _ENGLISH[word] >= 20 and 1 <= follower <= 9:
            digits += str(_ENGLISH[word] + follower)  # forty seven
            index += 1
        else:
            digits += str(_ENGLISH[word])
        index += 1
    return digits


_READERS: dict[str, Callable[[Sequence[str]], str]] = {"it": _read_italian, "en": _read_english}
