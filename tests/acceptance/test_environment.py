"""Options from the environment and from .env; settings from the user's own file."""

from __future__ import annotations

from batchgen.app import finish, ground, notify
from batchgen.cli import variables

from .kit import CANARY

JOBS = [{"id": name, "provider": "openai", "quality": "low", "prompt": name} for name in ("a", "b", "c")]


def requests(done):
    assert done.code == 0, done.err
    return done.json["requests"]


def test_a_flag_goes_before_the_environment_and_that_before_env_files(project):
    path = project.manifest(JOBS)
    plan = ("plan", path, "--json")
    assert requests(project.run(*plan)) == 3
    assert requests(project.run(*plan, BATCHGEN_PLAN_LIMIT="2")) == 2
    assert requests(project.run(*plan, "--limit", "1", BATCHGEN_PLAN_LIMIT="2")) == 1
    assert requests(project.run("estimate", path, BATCHGEN_PLAN_LIMIT="2", BATCHGEN_JSON="1")) == 2
    assert requests(project.run(*plan, BATCHGEN_PLAN_ID="a c")) == 2
    (project.folder / ".env").write_text("BATCHGEN_PLAN_LIMIT=1\n", encoding="utf-8")
    assert requests(project.run(*plan)) == 1
    assert requests(project.run(*plan, BATCHGEN_PLAN_LIMIT="2")) == 2
    more = project.folder / "more.env"
    more.write_text("BATCHGEN_PLAN_LIMIT=2\n", encoding="utf-8")
    assert requests(project.run("--env-file", more, *plan)) == 2
    assert requests(project.run(*plan, BATCHGEN_ENV_FILE=str(more))) == 2
    wrong = project.run(*plan, BATCHGEN_PLAN_LIMIT="none")
    assert wrong.code == 2


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
    assert "everybody may read" in done.err
    env.chmod(0o600)
    listed = project.run("providers", "list", "--json")
    [openai] = [one for one in listed.json["providers"] if one["name"] == "openai"]
    assert openai["key"] == f"OPENAI_API_KEY in {env}"
    assert "everybody" not in listed.err
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
    assert "Did you mean 'status'?" in project.run("staus").err
    assert "--budget" in project.run("run", "m.yaml", "--budgt", "3").err
    assert "retry" in project.run("unknown", "retri").err


def test_a_misspelled_variable_is_an_error_and_a_strange_one_a_warning(project, witness):
    path = project.manifest(JOBS)
    done = project.run("run", path, "--yes", BATCHGEN_RUN_BUDGT="4")
    assert (done.code, done.out) == (4, "")
    assert "BATCHGEN_RUN_BUDGT: batchgen knows no such variable (did you mean BATCHGEN_RUN_BUDGET?)" in done.err
    assert not witness.arrived
    env = project.folder / ".env"
    env.write_text("BATCHGEN_STOPAT=06:30\n", encoding="utf-8")
    env.chmod(0o600)
    done = project.run("status")
    assert done.code == 4
    assert f"{env}: BATCHGEN_STOPAT: batchgen knows no such variable (did you mean BATCHGEN_STOP_AT?)" in done.err
    found = project.run("doctor", "--json").json
    assert [(one["verdict"], one["code"]) for one in found["findings"] if "STOPAT" in one["says"]] == [("bad", 4)]
    assert project.run("help", "environment").code == project.run("completion", "bash").code == 0
    env.unlink()
    said = {"BATCHGEN_FLAVOUR": "vanilla", "BATCHGEN_STUDIO_KEY": CANARY, "BATCHGEN_BUDGET": "1"}
    done = project.run("plan", path, **said, BATCHGEN_RUN_LIMIT="3", BATCHGEN_EXIT_CODE="3", BATCHGEN_COLOR="never")
    assert done.code == 0
    assert done.err == "warning: BATCHGEN_FLAVOUR: batchgen knows no such variable (batchgen help environment)\n"
    assert "did you mean BATCHGEN_RUN_LIMIT?" in project.run("plan", path, BATCHGEN_LIMIT="3").err
    unknown = project.run("plan", path, BATCHGEN_PROVIDERS_LIST_JSON="1", BATCHGEN_LIST_IDS="a")
    assert (unknown.code, unknown.err) == (0, "")


def test_what_is_read_elsewhere_is_known():
    assert {*finish.NAMES, ground.ALLOW, notify.SECRET} <= variables.ALWAYS
