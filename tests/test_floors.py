"""The floors of the house: an import goes down, never up, and each library is used on one floor only.

See docs/architecture.md. The sources are read (ast), so that an import inside a function counts too; what is
promised of a start is checked in fresh interpreters.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "alpaca_tui"

# Part of the package -> parts of the package that it may import; "" is alpaca_tui/__init__.py itself.
BOTTOM = {"", "errors", "system", "resources", "log"}
MAY_IMPORT = {
    "": set[str](),
    "errors": set[str](),
    "system": {""},
    "resources": {"", "errors"},
    "log": {"", "system"},
    "files": {*BOTTOM, "files"},
    "kernels": {*BOTTOM, "kernels"},
    "engine": {*BOTTOM, "engine", "files", "kernels"},
    "pipeline": {*BOTTOM, "pipeline", "engine", "files", "kernels"},
    "chat": {*BOTTOM, "chat", "engine"},
    "tui": {*BOTTOM, "tui", "chat", "engine"},
    "commands": {*BOTTOM, "commands", "tui", "chat", "engine", "pipeline", "files"},
    "cli": {*BOTTOM, "commands"},
    "__main__": {"cli"},
}
# Library -> the only parts that may import it.
USED_BY = {
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "textual": {"tui"},
    "rich": {"tui"},
    "markdown_it": {"tui"},
    "pygments": {"tui"},
    "prompt_toolkit": {"commands"},
    "sentencepiece": {"engine"},
    "platformdirs": {"system"},
    "tomlkit": {"chat"},
    "numpy": {"kernels", "files", "engine", "pipeline", "commands"},
}
# What is declared in pyproject.toml -> what it is imported as.
MODULES = {
    "textual": ["textual", "rich"],
    "markdown-it-py": ["markdown_it"],
    "numpy": ["numpy"],
    "numba": ["numba", "llvmlite"],
    "sentencepiece": ["sentencepiece"],
    "platformdirs": ["platformdirs"],
    "pygments": ["pygments"],
    "prompt_toolkit": ["prompt_toolkit"],
    "tomlkit": ["tomlkit"],
}
PROTOCOL = "alpaca_tui.engine.protocol"


@dataclass(frozen=True)
class Import:
    path: Path
    line: int
    module: str  # in full: alpaca_tui.engine.protocol
    at_import_time: bool  # neither inside a function nor under `if TYPE_CHECKING:`

    @property
    def importer(self) -> str:
        return part(".".join(self.path.relative_to(ROOT).with_suffix("").parts))

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def part(module: str) -> str:
    names = [name for name in module.split(".")[1:] if name != "__init__"]
    return names[0] if names else ""


def imports_of(path: Path) -> Iterator[Import]:
    package = path.relative_to(ROOT).parent.parts

    def visit(node: ast.AST, at_import_time: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(path, child.lineno, alias.name, at_import_time)
            elif isinstance(child, ast.ImportFrom):
                base = ".".join(package[: len(package) - child.level + 1]) if child.level else ""
                module = ".".join(filter(None, [base, child.module]))
                for alias in child.names:
                    inside = f"{module}.{alias.name}"
                    known = (ROOT / Path(*inside.split("."))).with_suffix(".py").exists() or (
                        ROOT / Path(*inside.split(".")) / "__init__.py"
                    ).exists()
                    yield Import(path, child.lineno, inside if known else module, at_import_time)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from visit(child, False)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from visit(ast.Module([statement], []), False)
                for statement in child.orelse:
                    yield from visit(ast.Module([statement], []), at_import_time)
            else:
                yield from visit(child, at_import_time)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), True)


IMPORTS = [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]
OURS = [found for found in IMPORTS if found.module.split(".")[0] == "alpaca_tui"]
OTHERS = [found for found in IMPORTS if found.module.split(".")[0] not in {"alpaca_tui", "__future__"}]


def test_the_reader_of_imports_sees_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "alpaca_tui" / "chat" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import numba.core as c\nfrom . import y\nfrom ..engine.protocol import Stats\n"
        "if TYPE_CHECKING:\n    from alpaca_tui import tui\nelse:\n    import a\n"
        "class K:\n    import b\n    def f(self):\n        from c import d\n"
    )
    (path.parent / "y.py").touch()
    assert [(i.importer, i.module, i.at_import_time) for i in imports_of(path)] == [
        ("chat", "numba.core", True),
        ("chat", "alpaca_tui.chat.y", True),
        ("chat", "alpaca_tui.engine.protocol", True),
        ("chat", "alpaca_tui", False),
        ("chat", "a", True),
        ("chat", "b", True),
        ("chat", "c", False),
    ]


def test_every_part_stands_on_a_floor() -> None:
    assert {found.importer for found in IMPORTS} <= set(MAY_IMPORT)


def test_imports_go_down() -> None:
    assert [str(i) for i in OURS if part(i.module) not in MAY_IMPORT[i.importer]] == []


def test_the_face_knows_only_the_engines_protocol() -> None:
    upper = {"chat", "tui", "commands"}
    wrong = [i for i in OURS if i.importer in upper and part(i.module) == "engine" and i.at_import_time]
    assert [str(i) for i in wrong if i.module not in (PROTOCOL, "alpaca_tui.engine")] == []
    from_package = [
        i for i in wrong if i.module == "alpaca_tui.engine"
    ]  # `from alpaca_tui.engine import protocol`
    assert [str(i) for i in from_package if "import protocol" not in i.path.read_text("utf-8")] == []


def test_each_library_is_used_on_its_floor_only() -> None:
    tops = [(i, i.module.split(".")[0]) for i in OTHERS]
    assert [str(i) for i, top in tops if top in USED_BY and i.importer not in USED_BY[top]] == []


def test_nothing_is_imported_that_is_not_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {entry.split(">")[0].split("=")[0] for entry in project["dependencies"]}
    # llvmlite comes with numba, and only together: its version is numba's choice
    allowed = {name for names in MODULES.values() for name in names} | sys.stdlib_module_names
    assert declared == set(MODULES)
    assert [str(i) for i in OTHERS if i.module.split(".")[0] not in allowed] == []


def test_the_protocol_imports_the_standard_library_only() -> None:
    found = imports_of(PACKAGE / "engine" / "protocol.py")
    assert [str(i) for i in found if i.module.split(".")[0] not in sys.stdlib_module_names] == []


# --- in fresh interpreters ---------------------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after running `code`."""
    code = f"{code}\nimport sys; print('LOADED', *sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


HEAVY = {"numba", "llvmlite", "numpy", "textual", "rich", "markdown_it", "sentencepiece", "prompt_toolkit"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--version"],
        ["main", "--help"],
        ["quantize", "--help"],
        ["convert", "--help"],
        ["-m", "no-such-file"],
    ],
)
def test_the_command_line_answers_without_the_libraries(argv: list[str]) -> None:
    assert not loaded_by(f"from alpaca_tui.cli import main; main({argv!r})") & HEAVY


def modules(folder: str) -> list[str]:
    return [f"alpaca_tui.{folder}.{p.stem}" for p in (PACKAGE / folder).glob("*.py") if p.stem != "__init__"]


def test_the_chat_knows_no_screen_and_no_arrays() -> None:
    assert not loaded_by(f"import {', '.join(modules('chat'))}") & HEAVY


def test_the_screen_paints_before_the_engines_libraries_come() -> None:
    found = loaded_by("import alpaca_tui.tui.app")
    assert "textual" in found
    assert not found & {"numba", "llvmlite", "numpy", "sentencepiece"}


def test_the_engines_name_and_protocol_cost_nothing() -> None:
    assert not loaded_by(f"import alpaca_tui.engine, {PROTOCOL}") & HEAVY


def test_files_are_read_without_numba() -> None:
    assert not loaded_by(f"import {', '.join(modules('files'))}") & {"numba", "llvmlite", "textual"}
