"""Every shape of an answer that a prompt can ask for, in the groups in which they are listed."""

from __future__ import annotations

from .bodies import BODIES, NO_RESULT
from .charges import CHARGED_WITHOUT, COSTS
from .chat import CHAT, CHAT_WITHOUT
from .errors import ERRORS, ERRORS_IN_200
from .framing import FRAMING
from .links import DEAD_LINKS, LINKS
from .pictures import BASE64, FILES, UNUSABLE
from .places import PLACES
from .shape import Draft, Shape
from .text import ERRORS_BESIDE, JSON_TEXT

#: Charged once, with a good picture in it.
GOOD: dict[str, dict[str, Shape]] = {
    "A good picture in JSON that strict readers refuse:": JSON_TEXT,
    "A good picture, and an error beside it:": ERRORS_BESIDE,
    "A good picture, framed or packed in odd ways:": FRAMING,
    "A good picture in a body that is no JSON:": BODIES,
    "A good picture in another place (images):": PLACES,
    "A good picture in another place (chat):": CHAT,
    "A good picture in base64 of another form:": BASE64,
    "A good picture of another kind of file:": FILES,
    "A good picture by an address:": LINKS,
    "A good picture, and what it costs:": COSTS,
}
#: Charged, with nothing that can be used.
CHARGED: dict[str, dict[str, Shape]] = {
    "Charged, without a picture:": {**NO_RESULT, **CHAT_WITHOUT, **CHARGED_WITHOUT},
    "Charged, with a file that cannot be used:": UNUSABLE,
    "Charged, with an address that never works:": DEAD_LINKS,
}
#: Neither made nor charged.
FREE: dict[str, dict[str, Shape]] = {
    "Refused, in words or forms that mislead:": ERRORS,
    "Refused with status 200:": ERRORS_IN_200,
}
GROUPS: dict[str, dict[str, Shape]] = {**GOOD, **CHARGED, **FREE}
SHAPES: dict[str, Shape] = {name: shape for group in GROUPS.values() for name, shape in group.items()}

__all__ = ["CHARGED", "FREE", "GOOD", "GROUPS", "SHAPES", "Draft", "Shape"]
