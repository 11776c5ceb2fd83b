"""What the words of a refusal say of a provider's limit.  Pure.

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

_LENGTH = 5000  #: characters searched
_COUNT = r"(?<![-0-9.])([0-9][0-9,]{0,11}(?:\.[0-9]{1,9})?)(?![0-9])(?! too many)"  # "429 Too Many Requests"
_URL = re.compile(r"https?://\S{1,500}")
_LIMIT = re.compile(rf'(?:\blimit(?:ed)?(?: is| of| to| at)?[:=]?[ (]{{0,2}}|"quotaValue": ?"?){_COUNT}', re.IGNORECASE)
_RATE = re.compile(
    rf"{_COUNT} ?(?:(?:input[- ])?(?:images?|requests?|reqs?|calls?) ?(?:per|/)|[RI]P[SMHD]\b|/)", re.IGNORECASE
)
_USED = re.compile(rf"\b(?:used|current):? {_COUNT}", re.IGNORECASE)
_WINDOW = re.compile(rf"(?:\bper|(?-i:Per)|/)[ _-]?([0-9]{{1,4}})?[ _-]?({UNIT})(?-i:(?![a-z]))", re.IGNORECASE)
_SHORT = re.compile(r"\b([RIT])P([SMHD])\b")  # RPM
_SUBJECT = re.compile(
    r"(request|req|call|image|token)s?[ _-]?(?:\([a-z]{1,9}\) ?)?(?:per|/|(?-i:PerModelPer))", re.IGNORECASE
)
_FLIGHT = r"(?:concurren|parallel|simultaneous|in-flight)"
_CONCURRENT = re.compile(
    r"concurren[a-z]{1,3}[ _-](?:requests?[ _-])?(?:limit|quota)"
    r"|(?:too many|maximum|max|limit|limited|exceed(?:s|ed|ing)?|at most|up to|only)\b"
    rf"[^.;,]{{0,40}}{_FLIGHT}"
    rf"|[0-9] {_FLIGHT}",
    re.IGNORECASE,
)
_WIDTH = re.compile(
    rf"{_COUNT} {_FLIGHT}|\b{_FLIGHT}[a-z]{{0,4}}(?: [a-z]{{1,12}}){{0,3}}[:=]? {_COUNT}", re.IGNORECASE
)
_LETTERS = {"r": "requests", "i": "images", "t": "tokens", "c": "requests"}


def limit_of_refusal(
    headers: Mapping[str, str], words: str, codes: frozenset[str] = frozenset()
) -> RateLimitInfo | None:
    """Return what a refusal says of the limit it is about, in its words before its headers; None if nothing.

    *codes* are the codes beside the words, in lower case.  No window is claimed where the words name several.
    """
    text = _URL.sub(" ", f"{' '.join(sorted(codes))} {words}"[:_LENGTH])
    header, windows, units = exhausted_limit(headers), _windows(text), _units(text, codes)
    limit, used = _first(_LIMIT, text) or _first(_RATE, text), _first(_USED, text)
    if _CONCURRENT.search(text):
        clear = not windows and "images" not in units
        return RateLimitInfo(limit=limit or _first(_WIDTH, text), used=used, concurrent=True) if clear else header
    if "tokens" in units:
        return header
    window = windows.pop() if len(windows) == 1 and len(units) < 2 else None
    unit: Unit = "images" if units == {"images"} else "requests"
    if limit and header and window is None and (header.limit, header.unit) == (limit, unit):
        return replace(header, used=used)
    if limit:
        return RateLimitInfo(limit=limit, used=used, window_seconds=window, unit=unit)
    if header and header.window_seconds is None and not header.concurrent:
        return replace(header, window_seconds=window)
    return header


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    """Return the first number that *pattern* finds; None for none, and for nothing."""
    found = pattern.search(text)
    number = next((group for group in found.groups() if group), None) if found else None
    return count(number.replace(",", ""), 1) if number else None


def _windows(text: str) -> set[float]:
    spelt = {float(many or 1) * unit_seconds(unit) for many, unit in _WINDOW.findall(text)}
    return (spelt | {unit_seconds(letter) for _, letter in _SHORT.findall(text)}) - {0.0}


def _units(text: str, codes: frozenset[str]) -> set[str]:
    """Return what is counted: requests, images, tokens."""
    named = {word[0].lower() for word in _SUBJECT.findall(text)} | {
        letter.lower() for letter, _ in _SHORT.findall(text)
    }
    named |= {code.removeprefix("input-")[0] for code in codes & {"tokens", "input-images"}}
    return {_LETTERS[letter] for letter in named}
