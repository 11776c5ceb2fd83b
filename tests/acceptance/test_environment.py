"""Options from the environment and from .env; settings from the user's own file."""

from __future__ import annotations

from pathlib import Path

import click

from batchgen.app import preflight
from batchgen.app.monitoring import hook as finish
from batchgen.app.monitoring import notify
from batchgen.cli import batchgen, environment, settings_file
from batchgen.cli.params import long_name, variables

from .kit import CANARY

JOBS = [{"id": name, "provider": "openai", "quality": "low", "prompt": name} for name in ("a", "b", "c")]


def requests(done):
    assert done.code == 0, done.err
    return done.json["requests"]


def test_flag_wins_over_environment_over_env_files(project):
    path = project.manifest(JOBS)
    plan = ("plan", path, "--json")
    assert requests(project.run(*plan)) == 3
    assert requests(project.run(*plan, BATCHGEN_PLAN_LIMIT="2")) == 2
    assert requests(project.run(*plan, "--limit", "1", BATCHGEN_PLAN_LIMIT="2")) == 1
    assert requests(project.run("estimate", path, BATCHGEN_PLAN_LIMIT="2", BATCHGEN_JSON="1")) == 2
    assert requests(project.run(*plan, BATCHGEN_PLAN_ID="a c")) == 2
    more = project.folder / "more.env"
    more.write_text("BATCHGEN_PLAN_LIMIT=2\n", encoding="utf-8")
    assert requests(project.run("--env-file", more, *plan)) == 2
    assert requests(project.run(*plan, BATCHGEN_ENV_FILE=str(more))) == 2
    assert requests(project.run("--env-file", more, *plan, BATCHGEN_PLAN_LIMIT="1")) == 1
    (project.folder / ".env").write_text("BATCHGEN_PLAN_BUDGET=2\n", encoding="utf-8")
    more.write_text("BATCHGEN_PLAN_BUDGET=3\n", encoding="utf-8")
    caps = [project.run(*words, **said) for words, said in (
        (("plan", path), {}), (("plan", path), {"BATCHGEN_PLAN_BUDGET": "4"}), (("--env-file", more, "plan", path), {}),
    )]  # fmt: skip
    assert [next(cap for cap in "234" if f"budget    ${cap}.00" in done.out) for done in caps] == ["2", "4", "3"]
    wrong = project.run(*plan, BATCHGEN_PLAN_LIMIT="none")
    assert wrong.code == 2


def test_job_database_that_is_typed_wins_over_variables_wherever_it_is_typed(bare):
    def database(*words, **variables):
        done = bare.run(*words, **variables)
        assert done.code == 10, done.err
        return Path(done.err.split("no job database at ")[1].split(":")[0]).name

    typed = ("--db", "typed.db")
    assert database("status", BATCHGEN_DB="set.db") == "set.db"
    assert database("status", *typed, BATCHGEN_DB="set.db") == "typed.db"
    assert database(*typed, "status", BATCHGEN_DB="set.db") == "typed.db"
    assert database(*typed, "status", BATCHGEN_STATUS_DB="set.db") == "typed.db"
    assert database(*typed, "unknown", "list", BATCHGEN_DB="set.db") == "typed.db"
    assert database("unknown", *typed, "list", BATCHGEN_DB="set.db") == "typed.db"
    assert database(*typed, "status", "--db", "last.db", BATCHGEN_DB="set.db") == "last.db"


def test_a_key_and_a_budget_from_the_env_file_are_enough_for_a_run(project, witness):
    path = project.manifest(JOBS)
    del project.env["OPENAI_API_KEY"]
    assert project.run("run", path, "--yes").code == 5
    env = project.folder / ".env"
    env.write_text(f"export OPENAI_API_KEY='{CANARY}'\nBATCHGEN_BUDGET=1\n", encoding="utf-8")
    env.chmod(0o644)
    done = project.run("run", path)
    assert done.code == 0, done.err
    assert len(witness.charges()) == 3
    assert "is readable by everyone" in done.err
    env.chmod(0o600)
    listed = project.run("providers", "list", "--json")
    [openai] = [one for one in listed.json["providers"] if one["name"] == "openai"]
    assert openai["key"] == f"OPENAI_API_KEY in {env}"
    assert "readable" not in listed.err
    env.write_text("no line of a file of variables\n", encoding="utf-8")
    assert project.run("status").code == 4


def test_the_users_own_settings_stand_under_those_of_the_project(project):
    own = project.folder / ".config" / "batchgen" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("confirm_above: 7\nproviders: {openai: {limits: {concurrency: 3}}}", encoding="utf-8")
    path = project.manifest(JOBS)
    plan = project.run("plan", path, "--json").json
    assert plan["confirm"]["above_usd"] == "7"
    (project.folder / "batchgen.yaml").write_text("confirm_above: 5\n", encoding="utf-8")
    assert project.run("plan", path, "--json").json["confirm"]["above_usd"] == "5"
    other = project.folder / "other.yaml"
    other.write_text("confirm_above: wrong\n", encoding="utf-8")
    assert project.run("plan", path, "--config", other).code == 4
    assert project.run("plan", path, BATCHGEN_CONFIG=str(other)).code == 4


def test_help_begins_with_examples_and_mistypings_are_understood(project):
    lines = project.run("retry", "--help").out.splitlines()
    assert lines[0].startswith("  batchgen retry ")
    assert any(line.startswith("Usage: batchgen retry") for line in lines)
    assert "did you mean 'status'?" in project.run("staus").err
    assert "--budget" in project.run("run", "m.yaml", "--budgt", "3").err
    assert "retry" in project.run("unknown", "retri").err


def test_misspelled_variable_is_an_error_unknown_one_a_warning(project, witness):
    path = project.manifest(JOBS)
    done = project.run("run", path, "--yes", BATCHGEN_RUN_BUDGT="4")
    assert (done.code, done.out) == (4, "")
    assert "BATCHGEN_RUN_BUDGT: unknown variable (did you mean BATCHGEN_RUN_BUDGET?)" in done.err
    assert not witness.arrived
    env = project.folder / ".env"
    env.write_text("BATCHGEN_STOPAT=06:30\n", encoding="utf-8")
    env.chmod(0o600)
    done = project.run("status")
    assert done.code == 4
    assert f"{env}: BATCHGEN_STOPAT: unknown variable (did you mean BATCHGEN_STOP_AT?)" in done.err
    found = project.run("doctor", "--json").json
    assert [(one["verdict"], one["code"]) for one in found["findings"] if "STOPAT" in one["says"]] == [("bad", 4)]
    assert project.run("help", "environment").code == project.run("completion", "bash").code == 0
    env.unlink()
    said = {"BATCHGEN_FLAVOUR": "vanilla", "BATCHGEN_STUDIO_KEY": CANARY, "BATCHGEN_BUDGET": "1"}
    done = project.run("plan", path, **said, BATCHGEN_RUN_LIMIT="3", BATCHGEN_EXIT_CODE="3", BATCHGEN_COLOR="never")
    assert done.code == 0
    assert done.err == "warning: BATCHGEN_FLAVOUR: unknown variable (batchgen help environment)\n"
    assert "did you mean BATCHGEN_RUN_LIMIT?" in project.run("plan", path, BATCHGEN_LIMIT="3").err
    unknown = project.run("plan", path, BATCHGEN_PROVIDERS_LIST_JSON="1", BATCHGEN_LIST_IDS="a")
    assert (unknown.code, unknown.err) == (0, "")


#: What would change which code runs, whom it trusts or where it looks, agree to spend, or choose the jobs.
FORBIDDEN = {
    **dict.fromkeys(("OPENAI_API_KEY_COMMAND", "BATCHGEN_NOTIFY_SECRET_COMMAND"), "touch ran"),
    **dict.fromkeys(("BATCHGEN_ON_FINISH", "BATCHGEN_RUN_ON_FINISH"), "touch ran"),
    **dict.fromkeys(("PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "PATH", "HOME", "XDG_CONFIG_HOME"), "/nowhere"),
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"), "/dev/null"),
    **dict.fromkeys(("BATCHGEN_YES", "BATCHGEN_RUN_YES", "BATCHGEN_ALLOW_NETWORK_STATE"), "1"),
    **dict.fromkeys(("BATCHGEN_CONFIG", "BATCHGEN_ENV_FILE", "BATCHGEN_DB"), "other"),
    **dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT"), "https://elsewhere.example"),
    **dict.fromkeys(("BATCHGEN_RUN_METRICS_FILE", "BATCHGEN_RETRY_LOG_FILE"), "../../outside"),
    **dict.fromkeys(("BATCHGEN_PLAN_ID", "BATCHGEN_UNKNOWN_RETRY_ALL", "BATCHGEN_OUT"), "b"),
}


def test_project_env_file_sets_no_commands_proxies_or_consent(project, witness):
    path = project.manifest(JOBS)
    env = project.folder / ".env"
    lines = [f"{name}={value}" for name, value in FORBIDDEN.items()]
    env.write_text("\n".join([*lines, "BATCHGEN_BUDGET=1", "DATABASE_URL=x", ""]), encoding="utf-8")
    env.chmod(0o600)
    done = project.run("run", path)
    assert done.code == 0, done.err
    assert len(witness.charges()) == len(JOBS)
    assert not (project.folder / "ran").exists()
    [told] = [line for line in done.err.splitlines() if "ignored" in line]
    assert all(name in told for name in FORBIDDEN if name not in project.environment())
    assert "--env-file" in told
    assert "ignored" not in project.run("list", "--env-file", env).err
    assert "DATABASE_URL" not in done.err
    env.write_text("BATCHGEN_YES=1\n", encoding="utf-8")
    again = project.manifest([{"id": "d", "provider": "openai", "prompt": "d"}])
    assert project.run("run", again).code == 6
    done = project.run("--env-file", env, "run", again)
    assert (done.code, "ignored" in done.err) == (0, False)


def test_env_file_sets_what_a_project_file_may_set():
    def looked(command, parent, name):
        ctx = click.Context(command, info_name=name, parent=parent)
        may = settings_file.allowed(command).keys() - {"on_finish", "address"}
        for option in (one for one in command.params if not getattr(one, "hidden", False)):
            for variable in variables(ctx, option):
                assert (environment.fate(variable, "1") == "set") == (long_name(option) in may), variable
                yield variable
        if isinstance(command, click.Group):
            for sub in command.list_commands(ctx):
                yield from looked(command.get_command(ctx, sub), ctx, sub)

    root = click.Context(batchgen, auto_envvar_prefix="BATCHGEN")
    assert len([one for name in batchgen.entries for one in looked(batchgen.get_command(root, name), root, name)]) > 200


def test_key_in_env_file_is_read_only_by_its_provider_name(project, witness):
    studio = {"preset": "openai", "base_url": f"{project.url}/openai", "api_key_env": "STUDIO_SECRET"}
    path = project.manifest([JOBS[0] | {"provider": "studio"}], providers={"studio": studio})
    env = project.folder / ".env"
    env.write_text(f"STUDIO_SECRET={CANARY}\n", encoding="utf-8")
    env.chmod(0o600)
    finish = "sh -c 'env > seen'"
    done = project.run("run", path, "--yes", "--on-finish", finish)
    assert done.code == 0, done.err
    assert len(witness.charges()) == 1
    assert "STUDIO_SECRET" not in (project.folder / "seen").read_text(encoding="utf-8")


def test_what_is_read_elsewhere_is_known():
    assert {*finish.VARIABLES, preflight.ALLOW, notify.SECRET} <= environment.ALWAYS
