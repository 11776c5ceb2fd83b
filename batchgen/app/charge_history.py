"""What earlier runs of a job table found calls to cost, in today's terms."""

from __future__ import annotations

from collections.abc import Mapping

from ..learned_prices import PriceMemory
from ..providers.pricing import charge
from ..providers.profile import Profile, UnknownModel
from ..providers.validation import translate
from ..store.reader import Reader
from ..task import Basis


def found_prices(reader: Reader, profiles: Mapping[str, Profile]) -> PriceMemory:
    """Return what the latest calls to *profiles* were found to cost.

    A price in USD that an answer stated counts as it is; the rest is priced again, by the price lists of today.
    """
    memory = PriceMemory()
    for call in reader.past_calls():
        profile = profiles.get(call.task.provider)
        if profile is None:
            continue
        try:
            _, model = profile.find(call.task.model)
        except UnknownModel:
            continue
        cost = call.charge if call.charge.basis is Basis.REPORTED else charge(call.usage, call.task, model)
        memory.observe(translate(call.task, profile), cost, call.usage.images)
    return memory
