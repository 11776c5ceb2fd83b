"""Shapes of answers that a prompt can ask for, in the groups of the help page."""

from __future__ import annotations

from .bodies import BODIES, NO_RESULT
from .charges import CHARGED_WITHOUT, COSTS
from .chat import CHAT, CHAT_WITHOUT
from .errors import ERRORS, ERRORS_IN_200
from .framing import FRAMING
from .pictures import BASE64, FILES, UNUSABLE
from .places import DEAD_LINKS, LINKS, PLACES
from .shape import Draft, Shape
from .text import ERRORS_BESIDE, JSON_TEXT

#: Charged once, with a good picture.
GOOD: dict[str, dict[str, Shape]] = {
    "A good picture in JSON that strict readers refuse:": JSON_TEXT,
    "A good picture, and an error next to it:": ERRORS_BESIDE,
    "A good picture, with unusual framing or compression:": FRAMING,
    "A good picture in a body that is not JSON:": BODIES,
    "A good picture in another place (images):": PLACES,
    "A good picture in another place (chat):": CHAT,
    "A good picture in another form of base64:": BASE64,
    "A good picture in another file format:": FILES,
    "A good picture at an address:": LINKS,
    "A good picture, and what it costs:": COSTS,
}
#: Charged, without a usable picture.
CHARGED: dict[str, dict[str, Shape]] = {
    "Charged, without a picture:": {**NO_RESULT, **CHAT_WITHOUT, **CHARGED_WITHOUT},
    "Charged, with an unusable file:": UNUSABLE,
    "Charged, with an address that never works:": DEAD_LINKS,
}
#: Not made and not charged.
FREE: dict[str, dict[str, Shape]] = {
    "Refused, with a misleading text or form:": ERRORS,
    "Refused with status 200:": ERRORS_IN_200,
}
GROUPS: dict[str, dict[str, Shape]] = {**GOOD, **CHARGED, **FREE}
SHAPES: dict[str, Shape] = {name: shape for group in GROUPS.values() for name, shape in group.items()}

__all__ = ["CHARGED", "FREE", "GOOD", "GROUPS", "SHAPES", "Draft", "Shape"]
