"""`goes-lite config` and `goes-lite completion`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from goes_lite.cli import catalog
from tests.cli.cli_kit import goes_lite, notes

TOML = """
profile = "dev"
lock_timeout = 5

[dev]
url = "app.db"

[prod]
url = "postgresql://shop:secret@db.example.org/shop"
bus = "nats://ada:secret@mq.example.org"
"""


def test_config_says_what_would_be_used_from_where(tmp_path: Path) -> None:
    """Nothing is opened, and no password is shown."""
    (tmp_path / "goes.toml").write_text(TOML)

    ran = goes_lite("config", "--json", cwd=tmp_path)
    assert ran.data["profile"] == "dev"
    assert ran.data["profiles"] == ["dev", "prod"]
    assert [(one["name"], one["value"], one["source"]) for one in ran.data["settings"]] == [
        ("url", "app.db", "goes.toml [dev]"), ("lock_timeout", "5", "goes.toml"),
    ]  # fmt: skip
    prod = goes_lite("config", "--profile", "prod", cwd=tmp_path)
    assert "db.example.org" in prod.out
    assert "mq.example.org" in prod.out
    assert "secret" not in prod.out + prod.err
    given = goes_lite("config", "other.db", "--json", cwd=tmp_path).data["settings"]
    assert [(one["value"], one["source"]) for one in given] == [("other.db", "the argument")]
    assert [path.name for path in tmp_path.iterdir()] == ["goes.toml"]


def test_commands_use_the_profile(tmp_path: Path) -> None:
    (tmp_path / "goes.toml").write_text(TOML)
    notes(tmp_path / "app.db")

    assert len(goes_lite("log", "--profile", "dev", "--json", cwd=tmp_path).data) == 4
    assert "did you mean 'dev'?" in goes_lite("log", "--profile", "dve", cwd=tmp_path, code=2).error


def test_config_checks_what_it_connects_to(tmp_path: Path) -> None:
    """Rights, abilities and the bus; writing leaves nothing behind."""
    (tmp_path / "goes.toml").write_text('url = "app.db"\n')
    assert goes_lite("config", "--check", cwd=tmp_path, code=3).error
    notes(tmp_path / "app.db")
    before = (tmp_path / "app.db").read_bytes()

    checks = goes_lite("config", "--check-writing", "--json", cwd=tmp_path).data["checks"]

    assert [(one["name"], one["ok"]) for one in checks] == [
        ("connect", True), ("read", True), ("durability", True), ("abilities", True), ("write", True),
    ]  # fmt: skip
    assert checks[1]["detail"] == "head at position 4"
    assert (tmp_path / "app.db").read_bytes() == before
    assert goes_lite("models", "app.db", "goes:check", "--json", cwd=tmp_path).data == []
    (tmp_path / "goes.toml").write_text('url = "app.db"\nbus = "no-such-bus://host"\n')
    ran = goes_lite("config", "--check", "--json", cwd=tmp_path, code=1)
    assert [one["code"] for one in ran.envelope["findings"]] == ["no-bus"]


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_config_tells_that_it_may_not_write(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    (tmp_path / "app.db").chmod(0o400)

    ran = goes_lite("config", "app.db", "--check-writing", "--json", cwd=tmp_path, code=None)

    assert ran.code in (1, 3)


# --- completion -------------------------------------------------------------------------------------------------------


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers after these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _goes_lite; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    found = subprocess.run(
        ["bash", "--norc", "-c", program], cwd=script.parent, capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path: Path) -> None:
    script = tmp_path / "goes-lite.sh"
    script.write_text(goes_lite("completion", "bash", cwd=tmp_path).out)
    (tmp_path / "shop.db").touch()

    assert set(complete(script, "goes-lite", "")) == {*catalog.rows(), "help", "--help", "--version"}
    assert complete(script, "goes-lite", "tra") == ["trace"]
    assert complete(script, "goes-lite", "parked", "red") == ["redrive"]
    assert complete(script, "goes-lite", "log", "--fol") == ["--follow"]
    assert complete(script, "goes-lite", "parked", "drop", "--dry") == ["--dry-run"]
    assert complete(script, "goes-lite", "log", "sh") == ["shop.db"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_for_other_shells(shell: str, tmp_path: Path) -> None:
    """They know every command; the shell accepts them, if it is installed."""
    script = tmp_path / "script"
    script.write_text(goes_lite("completion", shell, cwd=tmp_path).out)

    for name in catalog.rows():
        assert name in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n" if shell == "zsh" else "--no-execute", script], check=True)


def test_another_shell_is_refused(tmp_path: Path) -> None:
    assert "invalid choice: 'tcsh'" in goes_lite("completion", "tcsh", cwd=tmp_path, code=2).error
