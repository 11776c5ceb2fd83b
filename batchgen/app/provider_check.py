"""Whether the keys work, what is left and which models there are: asked for free."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio

from ..errors import BatchgenError, KeyMissing
from ..fault import ProviderError
from ..files.output import make_private
from ..providers.account import Catalogue, read_catalogue
from ..providers.clock_skew import ClockSkew, read_skew
from ..providers.probe import AccountReport, Answer, KeyVerdict, Probe, check_key, list_models
from ..providers.profile import Profile
from ..sandbox import launch
from ..transport import ProviderClient, Transport
from .config import keys
from .config.keys import Key
from .config.providers import load_profiles, provider_settings
from .project import Project

Value = TypeVar("Value")
#: Tells the seconds since 1970.
Clock = Callable[[], float]

#: Seconds for one question, answer included.
PATIENCE = 20.0

#: Of a key this long, the last four characters tell it from others and give nothing away.
_TELLING = 16

#: What stands for every key in a rehearsal: real ones stay at home.
_ANY_KEY = Key(value="sandbox-rehearsal", source="any key will do in a rehearsal")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckCandidate:
    """One key of one provider, or why there is none."""

    profile: Profile
    variable: str | None = None  #: which of ``api_key_env``; None where no key is needed, or any will do
    key: Key | None = None
    problem: str = ""  #: why there is no key, where one is needed

    @property
    def ends(self) -> str:
        """Return the key's last four characters, or "" where they would give too much of it away."""
        return self.key.value[-4:] if self.variable and self.key and len(self.key.value) >= _TELLING else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderCheck:
    """What was found out about one key; without one nothing was asked."""

    candidate: CheckCandidate
    account: AccountReport | None
    skews: Sequence[ClockSkew] = ()  #: of this machine's clock, by each answer

    @property
    def exit_code(self) -> int:
        """Return 0, or 5 (key missing or refused), 7 (no money left), 8 (out of reach)."""
        if self.account is None:
            return 5
        if self.account.out_of_money:
            return 7
        return {KeyVerdict.REFUSED: 5, KeyVerdict.UNREACHED: 8}.get(self.account.verdict, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderListing:
    """The models of one provider as it lists them, or why it does not."""

    profile: Profile
    answer: Answer
    catalogue: Catalogue | None

    @property
    def exit_code(self) -> int:
        """Return 0, or 5 (key refused), 8 (out of reach)."""
        return {KeyVerdict.REFUSED: 5, KeyVerdict.UNREACHED: 8}.get(self.answer.verdict, 0)


def check(project: Project, names: Sequence[str] = (), now: Clock = time.time) -> tuple[ProviderCheck, ...]:
    """Ask for free about every key of the providers *names*; without names, of all that are configured or have a key.

    *now* is this machine's clock, which their answers are held against.
    Raises UsageError for a name that nobody knows, and KeyMissing where no provider has a key at all.
    """
    with _world(project) as moved:
        candidates = _candidates(project, names, moved)
        asked = [each for each in candidates if not each.problem]
        told = iter(_carried([(each, check_key(each.profile, _secret(each))) for each in asked], now))
        return tuple(
            ProviderCheck(candidate=each, account=account, skews=skews)
            for each in candidates
            for account, skews in [(None, []) if each.problem else next(told)]
        )


def list_provider_models(project: Project, name: str) -> ProviderListing:
    """Ask the provider *name* for its models; raise KeyMissing where it answers nobody without a key."""
    with _world(project) as moved:
        first = _candidates(project, [name], moved)[0]
        listing = first.profile.checks.models
        if first.problem and listing is not None and not listing.public:
            raise KeyMissing(first.problem)
        ((answer, _),) = _carried([(first, list_models(first.profile, _secret(first)))], time.time)
    accepted = answer.verdict is KeyVerdict.ACCEPTED
    return ProviderListing(
        profile=first.profile, answer=answer, catalogue=read_catalogue(answer.document) if accepted else None
    )


def exit_code_of(codes: Sequence[int]) -> int:
    """Return the exit code of several findings: the gravest."""
    return next((code for code in (7, 5, 8) if code in codes), 0)


def keys_of(facts: Profile) -> Sequence[CheckCandidate]:
    """Return each key of a provider, or the one that it lacks."""
    return list(_keys(facts)) or [_keyless(facts)]


def _candidates(project: Project, names: Sequence[str], moved: Callable[[Profile], Profile]) -> list[CheckCandidate]:
    wanted = names or provider_settings(project)
    found: list[CheckCandidate] = []
    for name, facts in load_profiles(project, names).items():
        if project.sandbox:
            found += [CheckCandidate(profile=moved(facts), key=_ANY_KEY)] if name in wanted or facts.api_key_env else []
        else:
            found += list(_keys(facts)) or ([_keyless(facts)] if name in wanted else [])
    if not found:
        variables = ", ".join(facts.api_key_env[0] for facts in load_profiles(project).values() if facts.api_key_env)
        raise KeyMissing(f"no API key is set, so there is nothing to check.  Set one of {variables}")
    return found


def _keys(facts: Profile) -> Iterator[CheckCandidate]:
    """Yield each key that is set, and each that somebody meant to set and that cannot be one."""
    for variable in facts.api_key_env:
        try:
            key = keys.find_key(variable, os.environ)
        except KeyMissing as error:
            yield CheckCandidate(profile=facts, variable=variable, problem=str(error))
        else:
            if key is not None:
                yield CheckCandidate(profile=facts, variable=variable, key=key)


def _keyless(facts: Profile) -> CheckCandidate:
    if not facts.api_key_env:
        return CheckCandidate(profile=facts)
    lacking = keys.missing_key(facts.name, facts.api_key_env)
    return CheckCandidate(profile=facts, variable=facts.api_key_env[0], problem=lacking)


def _secret(candidate: CheckCandidate) -> str:
    return candidate.key.value if candidate.key else ""


@contextmanager
def _world(project: Project) -> Iterator[Callable[[Profile], Profile]]:
    """Yield what moves a profile to where it is asked: in a rehearsal to the sandbox, which runs as long as this."""
    if not project.sandbox:
        yield lambda facts: facts
        return
    make_private(project.state)
    with ExitStack() as parts:
        try:
            sandbox = launch.start(project.state)
        except launch.LaunchError as error:
            raise BatchgenError(str(error)) from error
        if not sandbox.reused:  # one that serves a rehearsal under way goes on
            parts.callback(sandbox.stop)
        yield lambda facts: facts.model_copy(update={"base_url": sandbox.base_url(facts.preset)})


def _carried(
    questions: Sequence[tuple[CheckCandidate, Probe[Value]]], now: Clock
) -> list[tuple[Value, list[ClockSkew]]]:
    """Carry all conversations at once, each on a line of its own.

    Returns in order how they ended, and what their answers say of this machine's clock.
    """
    told: dict[int, tuple[Value, list[ClockSkew]]] = {}

    async def carry(transport: Transport, number: int) -> None:
        told[number] = await _carry(transport.client(str(number)), questions[number][1], now)

    async def carry_all() -> None:
        profiles = {str(number): each.profile for number, (each, _) in enumerate(questions)}
        keys = {str(number): _secret(each) for number, (each, _) in enumerate(questions)}
        async with Transport(profiles, keys) as transport, anyio.create_task_group() as tasks:
            for number in range(len(questions)):
                tasks.start_soon(carry, transport, number)

    if questions:
        anyio.run(carry_all)
    return [told[number] for number in range(len(questions))]


async def _carry(line: ProviderClient, asking: Probe[Value], now: Clock) -> tuple[Value, list[ClockSkew]]:
    """Put each question to the line, and hand back the reply or that none came."""
    skews: list[ClockSkew] = []
    try:
        call = next(asking)
        while True:
            sent = now()
            try:
                reply = await line.ask(call, PATIENCE)
            except ProviderError as error:
                call = asking.throw(error)
            else:
                skew = read_skew(reply.headers, sent, now())
                skews += [skew] if skew else []
                call = asking.send(reply)
    except StopIteration as end:
        answer: Value = end.value
        return answer, skews
