r"""Keys in text from outside, in whichever form they come back.

A server may repeat a key as it was sent, or escaped on the way: ``\/`` and ``\u002f`` of JSON (also within a text that
is JSON itself), ``%2F`` of addresses, ``&#47;`` of HTML. Every place where text from outside is kept or shown hides
all of these forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

#: A shorter text is not treated as a secret: it could be part of other words by chance.
SHORTEST = 8

#: From this length on, a key cannot be part of the base64 of an image by chance.
_LONG = 12
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]*")

#: What every escaped form has.
_SIGNS = (b"\\", b"%", b"&")
#: How often an escape may be escaped again.
_NESTED = 8
#: The most bytes that one character of a key can take: eight backslashes and u002f.
_WIDEST = _NESTED + 5

#: What may come between two characters where a text was wrapped, or put together from pieces.
_BREAK = r"[\s\u200b-\u200d\ufeff]{0,3}"

_KNOWN: set[str] = set()


def register(secrets: Iterable[str]) -> None:
    """Have *secrets* hidden wherever ``known`` is hidden: in logs, messages and stored answers.

    Of a key of the form ``id:secret``, the secret alone is hidden, too.
    """
    for secret in secrets:
        _KNOWN.update(part for part in _parts(secret) if len(part) >= SHORTEST)


def _parts(secret: str) -> tuple[str, ...]:
    """Return a key, and the secret in one of the form ``id:secret``."""
    return tuple(filter(None, (secret, secret.partition(":")[2])))


def known() -> frozenset[str]:
    """Return the keys that were registered."""
    return frozenset(_KNOWN)


def _character(character: str) -> str:
    code = f"{ord(character):02x}"
    hexadecimal = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in code)
    forms = [
        re.escape(character),
        rf"\\{{1,{_NESTED}}}u00{hexadecimal}",
        rf"\\{{1,{_NESTED}}}x{hexadecimal}",
        rf"%(?:25){{0,2}}{hexadecimal}",
        rf"&#(?:0{{0,3}}{ord(character)}|[xX]0{{0,3}}{hexadecimal});",
    ]
    if not character.isalnum():
        forms.insert(1, rf"\\{{1,{_NESTED}}}{re.escape(character)}")
    return f"(?:{'|'.join(forms)})"


@lru_cache(maxsize=64)
def _texts(secret: str) -> re.Pattern[str]:
    return re.compile(_BREAK.join(map(_character, secret)))


@lru_cache(maxsize=64)
def _bytes(secret: str) -> re.Pattern[bytes]:
    return re.compile("".join(map(_character, secret)).encode())


def _asterisks(body: bytes, secret: str) -> bytes:
    if not any(sign in body for sign in _SIGNS):  # the usual body, in a fraction of the time
        return body.replace(secret.encode(), b"*" * len(secret))
    return _bytes(secret).sub(lambda match: b"*" * len(match[0]), body)


def hidden(text: str, secrets: Iterable[str], mark: str | None = "[hidden]") -> str:
    """Return *text* with every form of *secrets* replaced by *mark* (None: by as many asterisks)."""
    # Every form of a key is as long as the key. One with a sign in it is found in no text of letters and digits alone.
    plain = text.isalnum()
    secrets = [secret for secret in secrets if len(text) >= len(secret) and not (plain and not secret.isalnum())]
    for secret in sorted(secrets, key=len, reverse=True):  # a secret may be part of another one
        if len(secret) >= SHORTEST and secret.isascii():
            text = _texts(secret).sub(lambda match: "*" * len(match[0]) if mark is None else mark, text)
        elif len(secret) >= SHORTEST:
            text = text.replace(secret, mark or "*" * len(secret))
    return text


def is_distinctive(secret: str) -> bool:
    """Return whether *secret* can be distinguished from the base64 of an image: it is long, or has other characters."""
    long = len(secret) >= _LONG or (len(secret) >= SHORTEST and not _BASE64.fullmatch(secret))
    return long and secret.isascii()


def blackout(body: bytes, secrets: Iterable[str]) -> bytes:
    """Return *body*, as long as it was, with every form of *secrets* turned into asterisks."""
    for secret in sorted(secrets, key=len, reverse=True):
        if is_distinctive(secret):
            body = _asterisks(body, secret)
    return body


def _overlap(end: bytes, secret: str) -> int:
    """Return how many bytes of *end* are the beginning of *secret*."""
    sizes = range(min(len(secret) - 1, len(end)), 0, -1)
    return next((size for size in sizes if end.endswith(secret[:size].encode())), 0)


class Redactor:
    """Turns every form of a key into asterisks in a body that comes in pieces, wherever it is cut."""

    def __init__(self, secret: str) -> None:
        self._secrets = [part for part in _parts(secret) if is_distinctive(part)]
        self._overlap = _WIDEST * len(secret)
        self.rest = b""

    def add(self, piece: bytes) -> bytes:
        """Take a piece in; return what is safe to hand on. An end that may begin a key is held back."""
        if not self._secrets:
            return piece
        data = self.rest + piece
        for secret in self._secrets:
            data = _asterisks(data, secret)
        upto = len(data) - self._unfinished(data)
        self.rest = data[upto:]
        return data[:upto]

    def _unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* may begin a key; usually none, so that no piece is copied."""
        end = data[-self._overlap :]
        if any(sign in end for sign in _SIGNS):
            return len(end)
        return max(_overlap(end, secret) for secret in self._secrets)

    def end(self) -> bytes:
        """Return what was held back."""
        rest, self.rest = self.rest, b""
        return rest
