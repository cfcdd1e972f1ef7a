"""The examples of README.md do what they say: each is run as it stands.

They run in the order of the page, in one folder with checkpoints under the names that examples use
(:data:`FILES`), so a later one may read what an earlier one wrote. Bash blocks run where they begin
with ``kcomplexity``, after an optional ``source .venv/bin/activate``; Python blocks share their
names, and one with ``>>>`` is a doctest. A line ``<!-- not run: why -->`` before a block leaves it
out. ``.ci/run`` runs its own two.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcomplexity.samples import INIT, TRAINED
from tests.torch_files import mapping, save_zip, whole

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: The files of the examples, each one of the embedded samples.
FILES = {
    "model.safetensors": TRAINED,
    "init.safetensors": INIT,
    "trained.safetensors": TRAINED,
    "kcomplexity/samples/digits-trained.safetensors": TRAINED,
    "run/step-000.safetensors": INIT,
    "run/step-200.safetensors": TRAINED,
}
FENCED = re.compile(
    r"(?:^<!-- *(?P<mark>[^\n]*?) *-->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment on the line before it."""

    language: str
    mark: str
    text: str

    @property
    def runs(self) -> bool:
        if self.mark.startswith(("ci:", "not run:")):
            return False
        starts = re.match(r"(#.*\n|\s)*kcomplexity ", self.commands)
        return self.language == "python" or bool(starts)

    @property
    def commands(self) -> str:
        """The text without the line that puts ``kcomplexity`` on the path: it is there already."""
        return self.text.removeprefix("source .venv/bin/activate\n")

    @property
    def title(self) -> str:
        return next(line for line in self.text.splitlines() if line.strip())[:60]


def blocks(page: str, language: str) -> list[Block]:
    fenced = (
        Block(match["language"], match["mark"] or "", match["text"])
        for match in FENCED.finditer(page)
    )
    return [block for block in fenced if block.language == language and block.runs]


def run_bash(block: Block, folder: Path) -> str:
    """Run a block with this checkout's command and return what it prints."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    command = shlex.join([sys.executable, "-W", "error", "-m", "kcomplexity_cli"])
    path = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", f'kcomplexity() {{ {command} "$@"; }}\n{block.commands}'],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block in the current folder; a package that is not installed leaves it out."""
    if ">>> " in block.text:
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        test = doctest.DocTestParser().get_doctest(block.text, names, block.title, "README.md", 0)
        doctest.DebugRunner(optionflags=flags).run(test, clear_globs=False)
        names |= test.globs
        return
    try:
        exec(compile(block.text, "README.md", "exec"), names)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("kcomplexity"):
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    for name, source in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path / name)
    # Nested as a training script saves it, with an average of the weights.
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    parts = {name: mapping({"w": whole(name, weights)}) for name in ("model", "ema")}
    save_zip(path / "model.pt", mapping(parts), {"model": weights, "ema": -weights})
    return path


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    return {"__name__": "readme"}


@pytest.mark.parametrize("block", blocks(README, "bash"), ids=lambda block: block.title)
def test_commands_of_the_readme_end_well(block: Block, folder: Path) -> None:
    run_bash(block, folder)


@pytest.mark.parametrize("block", blocks(README, "python"), ids=lambda block: block.title)
def test_python_of_the_readme_runs(
    block: Block, folder: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run_python(block, names)


# --- the page itself, and what reads it ----------------------------------------------------------


def test_the_second_block_runs_for_who_has_pasted_the_first() -> None:
    first, second = re.findall(r"```bash\n(.+?)```", README, re.DOTALL)[:2]
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    activate, command = second.splitlines()
    assert activate == "source .venv/bin/activate"
    assert (ROOT / command.removeprefix("kcomplexity score ")).is_file()


def test_the_two_commands_that_ci_runs_are_there() -> None:
    marks = [match["mark"] for match in FENCED.finditer(README)]
    assert [mark for mark in marks if mark and mark.startswith("ci:")] == ["ci:demo", "ci:test"]
    assert README.count("```") == 2 * len(marks)


MADE = """
<!-- ci:demo -->
```bash
kcomplexity demo
```
```bash
# What is in it?
kcomplexity inspect model.safetensors |
    cat
```
<!-- not run: needs the network -->
```bash
kcomplexity inspect https://example.org/model.safetensors
```
```bash
pip install kcomplexity
```
```bash
kcomplexity inspect absent.safetensors | cat
```
```python
import kcomplexity as kc

checkpoint = kc.open_checkpoint("model.safetensors")
```
```python
>>> checkpoint.n_weights
31402
```
```python
>>> checkpoint.n_weights
0
```
"""


def test_blocks_are_run_as_they_stand(
    folder: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, absent = blocks(MADE, "bash")
    assert run_bash(shown, folder).startswith("model.safetensors: safetensors, 6 tensors")
    with pytest.raises(AssertionError, match="absent"):
        run_bash(absent, folder)
    opened, right, wrong = blocks(MADE, "python")
    monkeypatch.chdir(folder)
    run_python(opened, names)
    run_python(right, names)
    with pytest.raises(doctest.DocTestFailure):
        run_python(wrong, names)
    names["checkpoint"].close()


def test_a_block_that_needs_what_is_not_installed_is_left_out() -> None:
    (block,) = blocks("```python\nimport no_such_package\n```\n", "python")
    with pytest.raises(pytest.skip.Exception, match="no_such_package is not installed"):
        run_python(block, {})
    (block,) = blocks("```python\nimport kcomplexity.nothing\n```\n", "python")
    with pytest.raises(ModuleNotFoundError):
        run_python(block, {})
