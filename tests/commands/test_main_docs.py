"""docs/main.md and its translation name every flag that there is, and the defaults of each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alpaca_tui.chat.settings import SETTINGS
from alpaca_tui.commands.compat import DEFAULTS
from alpaca_tui.commands.main_flags import FLAGS
from alpaca_tui.commands.no_meaning import UNUSED
from alpaca_tui.resources import prompts_dir

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGES = ("main.md", "main.zh-CN.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_is_named_and_no_other(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    named = {flag.replace("_", "-") for flag in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text)}
    known = {name for flag in FLAGS for name in flag.names} | {n for u in UNUSED for n in u.names}
    known |= {"-m", "--model", "--tokenizer", "-eps", "--rms-norm-eps", "--no-lookup"}
    known |= {flag for setting in SETTINGS for flag in setting.flags if "_" not in flag}
    assert sorted(known - named) == []
    assert sorted(flag for flag in named - known if flag.startswith("--")) == []


@pytest.mark.parametrize("page", PAGES)
def test_the_defaults_of_each_time(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    rows = {
        row.split("|")[1].strip(): row.split("|")[3:5] for row in text.splitlines() if row.startswith("| `-")
    }
    for flag, key in (("`-c`", "n_ctx"), ("`-b`", "n_batch")):
        assert [int(cell) for cell in rows[flag]] == [d[key] for d in DEFAULTS.values()]
    assert rows["`-n`"][0].strip().startswith(str(DEFAULTS["2023-04"]["n_predict"]))
    assert DEFAULTS["2023-08"]["n_predict"] == -1


def test_every_prompt_says_which_models_it_is_for() -> None:
    text = (prompts_dir() / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in prompts_dir().glob("*.txt"))
    assert re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE) == sorted(files, key=text.index)
