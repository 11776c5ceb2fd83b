"""What a run would meet on this machine."""

from __future__ import annotations

from dataclasses import asdict

import click

from . import words
from .options import Session, command
from .options import sandbox as rehearsal

_MARKS = {"ok": "ok", "note": "note", "bad": "BAD"}


@command(
    "doctor",
    "batchgen doctor",
    "batchgen doctor --online     asks the providers too, for free",
    "batchgen doctor --json",
)
@click.option(
    "--offline/--online", default=True, show_default=True, help="Whether to leave the providers alone; asking is free."
)
@rehearsal
def doctor(session: Session, offline: bool, sandbox: bool) -> int:
    """Look at versions, settings, keys, certificates, clock, disk, lock, job table, terminal and open files.

    Ends with the code that a run would end with: 1 disk, clock or table, 4 settings, 5 keys, 12 a newer table.
    """
    from ..app import check, doctor
    from ..errors import BatchgenError
    from .checking import check_document, check_lines

    place = session.place(sandbox=sandbox)
    found = list(doctor.examine(place))
    made = [] if any(one.about == "settings" and one.code for one in found) else doctor.made(place)
    asked: tuple[check.Checked, ...] = ()
    if not offline:
        try:
            asked = check.check(place)
        except BatchgenError as error:
            found.append(doctor.Finding(about="online", says=str(error), verdict="bad", code=error.exit_code))
    found += [doctor.Finding(about="online", says=one.candidate.profile.name, verdict="bad", code=one.exit_code)
              for one in asked if one.exit_code]  # fmt: skip
    code = doctor.gravest(found)
    if session.as_json:
        body = {"schema_version": 1, "exit_code": code, "findings": [asdict(one) for one in found]}
        body |= {"settings": [asdict(one) for one in made]}
        words.document(body | ({} if offline else {"online": check_document(asked)["providers"]}))
        return code
    told = [one for one in found if one.verdict == "bad" or not session.quiet]
    before = None
    for one in told:
        head = one.about if one.about != before else ""
        words.data(f"{_MARKS[one.verdict]:<5} {head:<13} {one.says}")
        before = one.about
    if not session.quiet:
        for setting in made:
            words.data(f"{'':<5} {'set by':<13} {setting.source}: {setting.name} = {setting.value}")
        for line in check_lines(asked) if asked else []:
            words.data(line)
    return code
