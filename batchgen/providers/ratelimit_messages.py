"""Rate limits stated in the message of a refusal, as in "Limit 5, Used 5, Requested 1".

Sources: OpenAI's messages ("... on input-images per min: Limit 5, Used 5, Requested 1", "on requests per day (RPD)",
and from before 2024 "Limit: 60.000000 / min. Current: 80.000000 / min"), OpenRouter's ("free-models-per-min", with the
number in headers only), Google's (quotaId "GenerateRequestsPerMinutePerProject", quotaValue), New API's code
token_concurrency_limit_reached, where a token is a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..fault import RateLimitInfo
from .ratelimit_headers import Unit, count, exhausted_limit
from .retry_after import UNIT, unit_seconds

_MAX_LENGTH = 5000  #: characters searched
_COUNT = r"(?<![-0-9.])([0-9][0-9,]{0,11}(?:\.[0-9]{1,9})?)(?![0-9])(?! too many)"  # "429 Too Many Requests"
_URL = re.compile(r"https?://\S{1,500}")
_LIMIT = re.compile(rf'(?:\blimit(?:ed)?(?: is| of| to| at)?[:=]?[ (]{{0,2}}|"quotaValue": ?"?){_COUNT}', re.IGNORECASE)
_RATE = re.compile(
    rf"{_COUNT} ?(?:(?:input[- ])?(?:images?|requests?|reqs?|calls?) ?(?:per|/)|[RI]P[SMHD]\b|/)", re.IGNORECASE
)
_USED = re.compile(rf"\b(?:used|current):? {_COUNT}", re.IGNORECASE)
_WINDOW = re.compile(rf"(?:\bper|(?-i:Per)|/)[ _-]?([0-9]{{1,4}})?[ _-]?({UNIT})(?-i:(?![a-z]))", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b([RIT])P([SMHD])\b")  # RPM
_SUBJECT = re.compile(
    r"(request|req|call|image|token)s?[ _-]?(?:\([a-z]{1,9}\) ?)?(?:per|/|(?-i:PerModelPer))", re.IGNORECASE
)
_IN_FLIGHT = r"(?:concurren|parallel|simultaneous|in-flight)"
_CONCURRENT = re.compile(
    r"concurren[a-z]{1,3}[ _-](?:requests?[ _-])?(?:limit|quota)"
    r"|(?:too many|maximum|max|limit|limited|exceed(?:s|ed|ing)?|at most|up to|only)\b"
    rf"[^.;,]{{0,40}}{_IN_FLIGHT}"
    rf"|[0-9] {_IN_FLIGHT}",
    re.IGNORECASE,
)
_CONCURRENCY = re.compile(
    rf"{_COUNT} {_IN_FLIGHT}|\b{_IN_FLIGHT}[a-z]{{0,4}}(?: [a-z]{{1,12}}){{0,3}}[:=]? {_COUNT}", re.IGNORECASE
)
_UNITS = {"r": "requests", "i": "images", "t": "tokens", "c": "requests"}


def limit_of_refusal(
    headers: Mapping[str, str], words: str, codes: frozenset[str] = frozenset()
) -> RateLimitInfo | None:
    """Return the limit that a refusal is about, from its message before its headers; None if neither states one.

    *codes* are the error codes of the refusal, in lower case.
    """
    text = _URL.sub(" ", f"{' '.join(sorted(codes))} {words}"[:_MAX_LENGTH])
    header, windows, units = exhausted_limit(headers), _windows(text), _units(text, codes)
    limit, used = _first(_LIMIT, text) or _first(_RATE, text), _first(_USED, text)
    # A message with several windows or units does not show which of them its number belongs to.
    window = next(iter(windows)) if len(windows) == 1 and len(units) < 2 else None
    unit: Unit = "images" if units == {"images"} else "requests"
    concurrent = _CONCURRENT.search(text) is not None
    same_as_header = header is not None and window is None and (header.limit, header.unit) == (limit, unit)
    match concurrent, limit, header:
        case True, _, _ if not windows and "images" not in units:
            return RateLimitInfo(limit=limit or _first(_CONCURRENCY, text), used=used, concurrent=True)
        case True, _, _:
            return header
        case _ if "tokens" in units:
            return header
        case _, float(), RateLimitInfo() if same_as_header:
            return replace(header, used=used)
        case _, float(), _:
            return RateLimitInfo(limit=limit, used=used, window_seconds=window, unit=unit)
        case _, _, RateLimitInfo(window_seconds=None, concurrent=False):
            return replace(header, window_seconds=window)
        case _:
            return header


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    """Return the first number that *pattern* finds, if it is at least 1."""
    match = pattern.search(text)
    number = next((group for group in match.groups() if group), None) if match else None
    return count(number.replace(",", ""), 1) if number else None


def _windows(text: str) -> set[float]:
    """Return the windows (seconds) that *text* names."""
    windows = {float(number or 1) * unit_seconds(unit) for number, unit in _WINDOW.findall(text)}
    return (windows | {unit_seconds(letter) for _, letter in _ABBREVIATION.findall(text)}) - {0.0}


def _units(text: str, codes: frozenset[str]) -> set[str]:
    """Return what the limits of *text* count: requests, images, tokens."""
    letters = {word[0].lower() for word in _SUBJECT.findall(text)}
    letters |= {letter.lower() for letter, _ in _ABBREVIATION.findall(text)}
    letters |= {code.removeprefix("input-")[0] for code in codes & {"tokens", "input-images"}}
    return {_UNITS[letter] for letter in letters}
