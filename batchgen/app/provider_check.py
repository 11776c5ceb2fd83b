"""Checks API keys, balances and model lists with the providers' free endpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from ..errors import KeyMissing
from ..fault import ProviderError
from ..providers.catalogue import Catalogue, read_catalogue
from ..providers.clock_skew import ClockSkew, read_skew
from ..providers.probe import AccountReport, Answer, KeyVerdict, Probe, check_key, list_models
from ..providers.profile import Profile
from ..transport import ProviderClient, Transport
from . import model_lists
from .clock import utc_now
from .config import keys
from .config.keys import Key
from .config.providers import load_profiles, provider_settings
from .project import Project
from .sandbox_providers import addresses

Value = TypeVar("Value")
#: Returns the Unix time.
Clock = Callable[[], float]

#: Seconds for one request and its response.
PATIENCE = 20.0

#: Length from which the last four characters of a key may be shown.
_SHOWABLE = 16

#: The key of every provider in a sandbox run, so that no real key is used.
_ANY_KEY = Key(value=keys.SANDBOX_KEY, source="the sandbox accepts any key")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckCandidate:
    """One key of one provider, or why there is none."""

    profile: Profile
    variable: str | None = None  #: which of ``api_key_env``; None if no key is needed, or any is accepted
    key: Key | None = None
    problem: str = ""  #: why a needed key is missing

    @property
    def ends(self) -> str:
        """Return the last four characters of a key; "" for a short key."""
        return self.key.value[-4:] if self.variable and self.key and len(self.key.value) >= _SHOWABLE else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderCheck:
    """The result for one key; without a key nothing was asked."""

    candidate: CheckCandidate
    account: AccountReport | None
    skews: Sequence[ClockSkew] = ()  #: of this machine's clock, one for each response

    @property
    def exit_code(self) -> int:
        """Return 0, or 5 (key missing or refused), 7 (no money left), 8 (unreachable)."""
        if self.account is None:
            return 5
        if self.account.out_of_money:
            return 7
        return {KeyVerdict.REFUSED: 5, KeyVerdict.UNREACHED: 8}.get(self.account.verdict, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderListing:
    """The models that a provider lists, or why it does not."""

    profile: Profile
    answer: Answer
    catalogue: Catalogue | None

    @property
    def exit_code(self) -> int:
        """Return 0, or 5 (key refused), 8 (unreachable)."""
        return {KeyVerdict.REFUSED: 5, KeyVerdict.UNREACHED: 8}.get(self.answer.verdict, 0)


def check(project: Project, names: Sequence[str] = (), now: Clock = time.time) -> tuple[ProviderCheck, ...]:
    """Check every key of the providers *names*; without names, of all that are configured or have a key.

    *now* is this machine's clock, to be compared with theirs. Raises UsageError for an unknown name, and KeyMissing if
    no provider has a key.
    """
    with addresses(project) as addressed:
        candidates = _candidates(project, names, addressed)
        asked = [each for each in candidates if not each.problem]
        results = iter(_run_all([(each, check_key(each.profile, _secret(each))) for each in asked], now))
        checks = tuple(
            ProviderCheck(candidate=each, account=account, skews=skews)
            for each in candidates
            for account, skews in [(None, []) if each.problem else next(results)]
        )
    if project.state.is_dir():  # A check leaves nothing behind in a folder that is not a project.
        _remember(project, ((each.candidate.profile, each.account.catalogue) for each in checks if each.account))
    return checks


def list_provider_models(project: Project, name: str) -> ProviderListing:
    """Return the models that provider *name* lists; raise KeyMissing if it requires a key for that."""
    with addresses(project) as addressed:
        first = _candidates(project, [name], addressed)[0]
        listing = first.profile.checks.models
        if first.problem and listing is not None and not listing.public:
            raise KeyMissing(first.problem)
        ((answer, _),) = _run_all([(first, list_models(first.profile, _secret(first)))], time.time)
    provider_listing = _listing(first.profile, answer)
    _remember(project, [(first.profile, provider_listing.catalogue)])
    return provider_listing


def check_models(project: Project, names: Sequence[str] = ()) -> tuple[ProviderListing, ...]:
    """Read the model lists of the providers *names*, and remember them for plans.

    Without names: of all that are configured or have a key, or else of those whose list is public. Raises UsageError
    for an unknown name, and KeyMissing if a named provider requires a key for its list.
    """
    with addresses(project) as addressed:
        candidates = list(_listing_candidates(project, names, addressed))
        answers = _run_all([(each, list_models(each.profile, _secret(each))) for each in candidates], time.time)
    pairs = zip(candidates, answers, strict=True)
    listings = tuple(_listing(candidate.profile, answer) for candidate, (answer, _) in pairs)
    _remember(project, ((listing.profile, listing.catalogue) for listing in listings))
    return listings


def _listing_candidates(
    project: Project, names: Sequence[str], addressed: Callable[[Profile], Profile]
) -> Iterator[CheckCandidate]:
    """Yield one key of each provider whose models are asked for, or none where its list is public."""
    try:
        candidates = _candidates(project, names, addressed)
    except KeyMissing:
        candidates = [_without_key(profile) for profile in load_profiles(project).values()]
    first = {candidate.profile.name: candidate for candidate in reversed(candidates)}
    for candidate in reversed(first.values()):
        listing = candidate.profile.checks.models
        if not candidate.problem or (listing is not None and listing.public):
            yield candidate
        elif names:
            raise KeyMissing(candidate.problem)


def _listing(profile: Profile, answer: Answer) -> ProviderListing:
    accepted = answer.verdict is KeyVerdict.ACCEPTED
    catalogue = read_catalogue(answer.document) if accepted else None
    return ProviderListing(profile=profile, answer=answer, catalogue=catalogue)


def _remember(project: Project, lists: Iterable[tuple[Profile, Catalogue | None]]) -> None:
    read = [(profile, catalogue) for profile, catalogue in lists if catalogue is not None]
    model_lists.remember(project.state, read, utc_now(), any_address=project.sandbox)


def exit_code_of(codes: Sequence[int]) -> int:
    """Return the gravest exit code."""
    return next((code for code in (7, 5, 8, 4) if code in codes), 0)


def keys_of(profile: Profile) -> Sequence[CheckCandidate]:
    """Return each key of a provider, or the missing one."""
    return list(_keys(profile)) or [_without_key(profile)]


def _candidates(
    project: Project, names: Sequence[str], addressed: Callable[[Profile], Profile]
) -> list[CheckCandidate]:
    wanted = names or provider_settings(project)
    candidates: list[CheckCandidate] = []
    for name, profile in load_profiles(project, names).items():
        if project.sandbox:
            if name in wanted or profile.api_key_env:
                candidates.append(CheckCandidate(profile=addressed(profile), key=_ANY_KEY))
        else:
            candidates += list(_keys(profile)) or ([_without_key(profile)] if name in wanted else [])
    if not candidates:
        variables = ", ".join(p.api_key_env[0] for p in load_profiles(project).values() if p.api_key_env)
        raise KeyMissing(f"no API key is set, so there is nothing to check. Set one of {variables}")
    return candidates


def _keys(profile: Profile) -> Iterator[CheckCandidate]:
    """Yield each key that is set, valid or not."""
    for variable in profile.api_key_env:
        try:
            key = keys.find_key(variable, os.environ)
        except KeyMissing as error:
            yield CheckCandidate(profile=profile, variable=variable, problem=str(error))
        else:
            if key is not None:
                yield CheckCandidate(profile=profile, variable=variable, key=key)


def _without_key(profile: Profile) -> CheckCandidate:
    if not profile.api_key_env:
        return CheckCandidate(profile=profile)
    problem = keys.missing_key(profile.name, profile.api_key_env)
    return CheckCandidate(profile=profile, variable=profile.api_key_env[0], problem=problem)


def _secret(candidate: CheckCandidate) -> str:
    return candidate.key.value if candidate.key else ""


def _run_all(
    questions: Sequence[tuple[CheckCandidate, Probe[Value]]], now: Clock
) -> list[tuple[Value, list[ClockSkew]]]:
    """Run all conversations concurrently; return in order their results and the clock skew of each response."""
    results: dict[int, tuple[Value, list[ClockSkew]]] = {}

    async def run(transport: Transport, number: int) -> None:
        results[number] = await _run(transport.client(str(number)), questions[number][1], now)

    async def run_all() -> None:
        profiles = {str(number): each.profile for number, (each, _) in enumerate(questions)}
        keys = {str(number): _secret(each) for number, (each, _) in enumerate(questions)}
        async with Transport(profiles, keys) as transport, anyio.create_task_group() as tasks:
            for number in range(len(questions)):
                tasks.start_soon(run, transport, number)

    if questions:
        anyio.run(run_all)
    return [results[number] for number in range(len(questions))]


async def _run(client: ProviderClient, asking: Probe[Value], now: Clock) -> tuple[Value, list[ClockSkew]]:
    """Send each request of a conversation and pass it the reply or the error."""
    skews: list[ClockSkew] = []
    try:
        call = next(asking)
        while True:
            sent = now()
            try:
                reply = await client.ask(call, PATIENCE)
            except ProviderError as error:
                call = asking.throw(error)
            else:
                skew = read_skew(reply.headers, sent, now())
                skews += [skew] if skew else []
                call = asking.send(reply)
    except StopIteration as end:
        answer: Value = end.value
        return answer, skews
