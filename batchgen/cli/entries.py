"""The commands: where each is, what it does, and the groups in which --help lists them. Imports none of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command that has not been imported yet."""

    module: str  #: in ``commands``
    attribute: str
    topic: str  #: the help page that explains more
    summary: str  #: the first line of its help


#: The commands by group, those that a first batch needs first.
GROUPS: dict[str, dict[str, Entry]] = {
    "Make images": {
        "init": Entry(
            "init", "init", "manifest", "Create a project: an example that runs at once on simulated providers."
        ),
        "validate": Entry("plan", "validate", "manifest", "Check manifests: every mistake with file, line and column."),
        "plan": Entry("plan", "plan", "runs", "Show what a run would do and cost; sends nothing."),
        "run": Entry("run", "run", "runs", "Make the images; the same command again resumes the batch."),
        "status": Entry("status", "status", "runs", "Show progress, cost and failures on one screen."),
        "retry": Entry("retry", "retry", "causes", "Requeue failed jobs and run them, also with other parameters."),
    },
    "Look at them": {
        "report": Entry(
            "report",
            "report",
            "report",
            "Write a page that shows every picture, what failed and why, and what it cost.",
        ),
        "serve": Entry("serve", "serve", "serve", "Show the page of a batch live: pictures, marks, redo and retry."),
        "marks": Entry("marks", "marks", "marks", "Keep the marks of pictures: import, list or clear."),
        "list": Entry("status", "list_", "runs", "List jobs or runs."),
        "show": Entry("status", "show", "causes", "Show one job: its request, attempts, files and cost."),
        "open": Entry(
            "open",
            "open_",
            "runs",
            "Show the image of a job in the system's viewer; without a job, the newest.",
        ),
        "watch": Entry("watch", "watch", "monitoring", "Follow a run from another terminal."),
        "usage": Entry("usage", "usage", "usage", "Show the ledger by provider, model, day, tag, run, batch or mode."),
        "export": Entry("export", "export", "json", "Print one line per job for other programs; copy the files."),
        "verify": Entry("verify", "verify", "recovery", "Check every delivered file against its hash."),
    },
    "Again, and during a run": {
        "redo": Entry(
            "retry", "redo", "runs", "Make the images of done jobs again: shows the plan, asks, and runs these jobs."
        ),
        "resume": Entry("retry", "resume", "runs", "Resume what the last run left unfinished."),
        "collect": Entry(
            "retry",
            "collect",
            "batches",
            "Collect what providers have finished of batches and remote tasks; sends no new request.",
        ),
        "pause": Entry("control", "pause", "control", "Send nothing more to a provider, also during a run."),
        "unpause": Entry("control", "unpause", "control", "Send to a paused or closed provider again."),
        "limit": Entry("control", "limit", "control", "Change how fast a provider is called, also during a run."),
        "cancel": Entry("control", "cancel", "control", "Cancel jobs, also during a run."),
        "unknown": Entry(
            "unknown",
            "unknown",
            "unknown",
            "Settle calls that may have been charged: list, retry, drop, adopt or settle.",
        ),
    },
    "Look after the project": {
        "doctor": Entry(
            "doctor",
            "doctor",
            "settings",
            "Check what a run needs: versions, settings, keys, disk, lock, job database.",
        ),
        "providers": Entry(
            "providers", "providers", "providers", "Show the providers: list, check keys and balances, models, prices."
        ),
        "schedule": Entry("schedule", "schedule", "cron", "Print a cron line, or a systemd or launchd unit."),
        "clean": Entry("clean", "clean", "recovery", "Show or remove files that are no longer needed."),
        "db": Entry(
            "database", "db", "recovery", "Maintain the job database: path, check, backup, upgrade, vacuum, recover."
        ),
    },
    "Try and learn": {
        "demo": Entry("sandbox", "demo", "sandbox", "Run the demonstration batch on simulated providers."),
        "sandbox": Entry("sandbox", "sandbox", "sandbox", "Serve simulated providers on this machine."),
        "help": Entry("help", "help_", "", "Show a help page, or the help of a command."),
        "schema": Entry("init", "schema", "manifest", "Print the JSON Schema of manifests, for editors."),
        "completion": Entry("help", "completion", "", "Print the completion script for bash, zsh or fish."),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}
ALIASES = {"estimate": "plan", "resume-lane": "unpause"}

#: What people type that is not a command, and the command that does it.
SYNONYMS = {
    **dict.fromkeys(("start", "make", "generate", "create", "go", "exec", "batch"), "run"),
    **dict.fromkeys(("new", "setup", "quickstart", "example"), "init"),
    **dict.fromkeys(("check", "lint", "test"), "validate"),
    **dict.fromkeys(("cost", "costs", "price", "dry-run", "dryrun", "preview", "diff"), "plan"),
    **dict.fromkeys(("prices", "pricing"), "providers prices"),
    **dict.fromkeys(("models", "model"), "providers models"),
    **dict.fromkeys(("ls", "jobs"), "list"),
    **dict.fromkeys(("ui", "web", "gui", "server", "browse", "live"), "serve"),
    **dict.fromkeys(("runs", "history"), "list runs"),
    **dict.fromkeys(("log", "logs", "follow", "tail", "monitor", "progress"), "watch"),
    **dict.fromkeys(("stats", "summary", "info"), "status"),
    **dict.fromkeys(("page", "gallery", "html"), "report"),
    **dict.fromkeys(("mark", "pick", "reject", "cull"), "marks"),
    **dict.fromkeys(("ledger", "spend", "spent", "money", "balance", "bill"), "usage"),
    **dict.fromkeys(("continue", "again", "restart"), "resume"),
    **dict.fromkeys(("stop", "kill", "abort"), "cancel"),
    **dict.fromkeys(("rm", "delete", "remove", "prune", "gc"), "clean"),
    **dict.fromkeys(("key", "keys", "login", "auth"), "help keys"),
    **dict.fromkeys(("config", "settings", "configure"), "help settings"),
    **dict.fromkeys(("cron", "systemd", "launchd"), "schedule"),
    **dict.fromkeys(("docs", "doc", "man", "usage-help"), "help"),
    "version": "--version",
    "view": "show",
    "regenerate": "redo",
}
