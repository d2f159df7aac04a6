"""`centralino prompts` with a stand-in for the voice: a small program that writes a tone as long as the text."""

import shlex
import sys
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from centralino.prompts_command import SPEECH_DBFS, measure, prompts_app, read_sound

pytestmark = pytest.mark.contract

VOICE = """
import math, struct, sys, wave
text, output, level = sys.argv[1], sys.argv[2], float(sys.argv[3])
with wave.open(output, "wb") as sound:
    sound.setnchannels(2), sound.setsampwidth(2), sound.setframerate(16000)
    quiet = [0] * 16000
    tone = [int(32000 * level * math.sin(i / 8)) for i in range(800 * len(text))]
    sound.writeframes(b"".join(struct.pack("<hh", s, s) for s in quiet + tone + quiet))
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "own prompts" / "manifest.toml"
    path.parent.mkdir()
    path.write_text(
        'sentences = { hello = { it = "Buongiorno; rm -rf $HOME \\"{output}\\"", en = "Good morning" } }\n'
        'pieces = { three = { it = "tre" } }\n'
        "tones = { beep = { hertz = 1000, milliseconds = 300 } }\n",
        encoding="utf-8",
    )
    return path


def voice(tmp_path: Path, level: float = 0.2) -> str:
    program = tmp_path / "voice.py"
    program.write_text(VOICE)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} {{text}} {{output}} {level}"


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(prompts_app, [str(argument) for argument in arguments])


def test_make_speaks_what_is_missing_levelled_and_trimmed_and_check_is_content(tmp_path: Path, manifest: Path) -> None:
    made = run("make", "--manifest", manifest, "--command", voice(tmp_path))
    assert made.exit_code == 0, made.output
    assert "5 made" in made.output
    assert run("check", "--manifest", manifest).exit_code == 0

    samples = read_sound(manifest.parent / "it/three.wav")
    sound = measure(samples)
    assert abs(sound.speech_dbfs - SPEECH_DBFS) < 0.5
    assert sound.seconds == pytest.approx(0.05 + 0.15 + 0.05, abs=0.08)  # the second of silence on each side is gone
    assert {file.suffix for file in (manifest.parent / "it").iterdir()} == {".wav"}
    assert "5 already there" in run("make", "--manifest", manifest, "--command", voice(tmp_path)).output


def test_the_text_reaches_the_voice_as_one_argument_and_no_shell_reads_it(tmp_path: Path, manifest: Path) -> None:
    heard = tmp_path / "heard"
    program = tmp_path / "listen.py"
    program.write_text(f"import sys; open({str(heard)!r}, 'a').write(repr(sys.argv[1:])); sys.exit('no voice today')")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} <{{text}}> {{language}} {{output}}"
    result = run("make", "--manifest", manifest, "--only", "hello", "--language", "it", "--command", command)
    assert result.exit_code == 1
    assert "it/hello:" in result.output
    assert "no voice today" in result.output
    assert heard.read_text().startswith("""['<Buongiorno; rm -rf $HOME "{output}">', 'it', '/""")


def test_a_voice_that_fails_or_is_silent_leaves_the_old_prompt_as_it_was(tmp_path: Path, manifest: Path) -> None:
    run("make", "--manifest", manifest, "--command", voice(tmp_path))
    before = (manifest.parent / "it/hello.wav").read_bytes()
    broken = (f"{shlex.quote(sys.executable)} -c 0 {{text}} {{output}}", "wrote no sound")
    for command, complaint in [(voice(tmp_path, 0.0), "nothing but silence"), broken]:
        result = run("make", "--manifest", manifest, "--force", "--only", "hello", "--command", command)
        assert result.exit_code == 1
        assert complaint in result.output
        assert (manifest.parent / "it/hello.wav").read_bytes() == before
    assert sorted(f.name for f in (manifest.parent / "it").iterdir()) == ["beep.wav", "hello.wav", "three.wav"]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("pico2wave -w {output}", "must hold {text}"),
        ("say {text}", "must hold {output}"),
        ("no-such-voice {text} {output}", "no-such-voice is not on this machine"),
        ("say '{text} {output}", "open quote"),
    ],
)
def test_a_wrong_command_is_refused_in_clear_words(manifest: Path, command: str, complaint: str) -> None:
    result = run("make", "--manifest", manifest, "--command", command)
    assert result.exit_code == 1
    assert complaint in result.output
    assert not (manifest.parent / "it").exists()


def test_without_sox_make_says_what_to_install(tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = voice(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("make", "--manifest", manifest, "--command", command)
    assert result.exit_code == 1
    assert "install the package sox" in result.output


def test_check_names_each_fault_and_list_shows_it(tmp_path: Path, manifest: Path) -> None:
    run("make", "--manifest", manifest, "--command", voice(tmp_path))
    folder = manifest.parent / "it"
    (folder / "beep.wav").unlink()
    (folder / "hello.wav").write_bytes((folder / "hello.wav").read_bytes()[:-1001])
    (folder / "stray.wav").write_bytes(b"")
    (manifest.parent / "en/beep.wav").write_text("not a sound")
    with wave.open(str(folder / "three.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(3200))
    result = run("check", "--manifest", manifest)
    assert result.exit_code == 1
    for fault in (
        "it/beep: missing",
        "it/hello: is not a WAV file",
        "it/three: is 16000 Hz, 1 channels, 16 bits",
        "it/stray: not in the manifest",
        "en/beep: is not a WAV file that can be played",
        "5 faults",
    ):
        assert fault in result.output
    listed = run("list", "--manifest", manifest, "--language", "it").output
    assert "missing" in listed
    assert "unusable" in listed
    assert "Good morning" not in listed


def test_names_and_manifests_that_do_not_exist_are_refused(tmp_path: Path, manifest: Path) -> None:
    result = run("make", "--manifest", manifest, "--only", "helo", "--command", voice(tmp_path))
    assert result.exit_code == 1
    assert "There is no prompt 'helo'" in result.output
    result = run("list", "--manifest", tmp_path / "nothing.toml")
    assert result.exit_code == 1
    assert "nothing.toml cannot be read" in result.output
