from pathlib import Path

import pytest
from scripts.conftest import Run


@pytest.mark.parametrize(
    "text",
    [
        "Read [the protocol](docs/PROTOCOL.md#frames), `pirate/model.py` and `setup.cfg`.",
        "An agent is `pirate/0.1.0 linux`; keys are below `/pirate/peers/`; see `~/docs/x.md`.",
        '```sh\npirate get -q "$sha" -o /opt/app.tar || exit  # blocks\n```',
        "```sh\nPIRATE_ETCD=h:1 pirate get 0123abcd \\\n    --timeout 5m > out 2>&1\n```",
        "```console\n$ pirate ls '*.iso' | head -3\nnonsense\n```",
        '```sh\nx="$(pirate hash build.tar | cut -c1-40)"\n```',
        '```sh\nuntil pirate get -q "$s"; do case $? in 4|5) sleep 5;; esac; done\n```',
        "```\npirate frobnicate    is only drawn here\n```",
        "Say `pirate get --if-exists skip`.",
    ],
)
def test_documents_that_agree_pass(text: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "good.md"
    path.write_text(text)
    done = run("scripts/check-docs", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See `docs/NOWHERE.md`.", "there is no docs/NOWHERE.md"),
        ("See [this](nowhere.md).", "there is no nowhere.md"),
        ("As `nowhere.py` says.", "there is no nowhere.py"),
        ("Run scripts/nothing today.", "there is no scripts/nothing"),
        ("```sh\npirate frobnicate\n```", "does not parse"),
        ("```sh\nls\npirate get --no-such-flag\n```", "does not parse"),
        ("```\n$ pirate ls --no-such-flag\n```", "does not parse"),
        ("```sh\nx=$(pirate hash)\n```", "does not parse"),
        ("```sh\npirate get 0123abcd --timeout soon\n```", "does not parse"),
        ("Say `pirate get --no-such-flag`.", "has no flag --no-such-flag"),
        ("TODO: write this", "is left"),
    ],
)
def test_documents_that_do_not_agree_are_named(
    text: str, said: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "bad.md"
    path.write_text(f"first line\n\n{text}\n")
    done = run("scripts/check-docs", path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "bad.md:" in done.stdout
    assert said in done.stdout
