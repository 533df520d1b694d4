"""What can be written: containers, the block formats of each, and the types that `quantize` takes.

A container holds what the program of its time wrote into it, and nothing else: ggml, ggmf and ggjt v1 what
llama.cpp of April 2023 had, ggjt v2 that of May, ggjt v3 that of August, GGUF today's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS, BlockFormat


@dataclass(frozen=True)
class Container:
    """`formats`: name of a type -> block format in this container."""

    name: str
    family: str
    version: int
    formats: dict[str, BlockFormat] = field(repr=False)

    @property
    def suffix(self) -> str:
        return ".gguf" if self.family == "gguf" else ".bin"

    def format(self, kind: str) -> BlockFormat:
        """The format of a type here. UserError where the container never held it."""
        fmt = self.formats.get(kind)
        if fmt is None:
            others = [c.name for c in CONTAINERS.values() if kind in c.formats]
            raise UserError(
                f"{self.name} files never held {kind}, only {', '.join(self.formats)}; write it with "
                f"--container {' or '.join(others)}."
            )
        return fmt


def _container(name: str, version: int, formats: str) -> Container:
    """`formats`: each is "name", or "name:format" where the layout was another one then."""
    pairs = [entry.partition(":") for entry in formats.split()]
    return Container(
        name, name.partition("-")[0], version, {kind: FORMATS[fmt or kind] for kind, _, fmt in pairs}
    )


_APRIL = "f32 f16 q4_0:q4_0_v1 q4_1:q4_1_v1"
CONTAINERS = {
    container.name: container
    for container in (
        _container("ggml", 0, _APRIL),
        _container("ggmf", 1, _APRIL),
        _container("ggjt-v1", 1, _APRIL),
        _container("ggjt-v2", 2, "f32 f16 q4_0:q4_0_v2 q4_1:q4_1_v2 q5_0 q5_1 q8_0:q8_0_v1"),
        _container("ggjt-v3", 3, "f32 f16 q4_0 q4_1 q5_0 q5_1 q8_0 q6_K"),
        _container("gguf", 3, "f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q6_K"),
    )
}

# What a file is as a whole: its number in headers and in general.file_type (llama.h's LLAMA_FTYPE_*).
FTYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q6_K": 18, "bf16": 32,
}  # fmt: skip
QUANTIZE_TYPES = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K", "f16", "f32")
FLOATS = ("f32", "f16", "bf16")


def container_of(family: str, version: int) -> Container:
    """The container that an open file is."""
    name = family if family != "ggjt" else f"ggjt-v{version}"
    return CONTAINERS[name]


def container_named(name: str) -> Container:
    """By name, also ggjt_v1 and ggjtv1. UserError for another word."""
    plain = name.lower().replace("_", "-")
    for container in CONTAINERS.values():
        if plain in (container.name, container.name.replace("-", "")):
            return container
    raise UserError(f"There is no container {name!r}; there are {', '.join(CONTAINERS)}.")


def parse_type(text: str) -> str | None:
    """The type that a number or a name stands for, as llama.cpp's quantize reads it: 2, q4_0, Q4_0."""
    for kind in QUANTIZE_TYPES:
        if text.lower() == kind.lower() or text == str(FTYPES[kind]):
            return kind
    return None


def default_output(beside: Path, kind: str, container: Container) -> Path:
    """ggml-model-q4_0.bin (or .gguf) in the folder `beside`."""
    return beside / f"ggml-model-{kind}{container.suffix}"
