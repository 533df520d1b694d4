"""How each block format lies in memory for the kernels, and how its codes are read.

Weights are repacked once at load. A tile is 16 rows by 32 columns; lanes of a vector are rows, so nothing is
ever summed across lanes. Of a tensor, first come the codes of all tiles, then their scales: pair of row
groups by pair, block by block, the pair's two tiles side by side, so that a product reads straight on.

- codes: 8 groups of 4 consecutive columns; of a group, 64 bytes, row r's four columns in bytes 4r..4r+3.
  4 bits: byte k*64+i holds group k in its low and group k+4 in its high half (256 bytes a tile).
  5th bits: 64 bytes before them; bit k of byte i belongs to group k. 6 bits: 128 bytes of 2-bit pairs before
  them; byte i of the first 64 holds groups 0..3 in bits 0-1, 2-3, 4-5, 6-7, of the second 64 groups 4..7.
  8 bits: 512 bytes, value + 128. Floats: 32 columns of 16 rows each.
- scales: f16 d of 16 rows; then f16 m where the format has one; q6_K: 2 x 16 i8 scales, then 16 f16 d.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from alpaca_tui.kernels.constants import compile_time
from alpaca_tui.kernels.emit import I8, Emitter, vector

ROWS, COLUMNS = 16, 32


@compile_time
@dataclass(frozen=True)
class TileFormat:
    """A block format as the kernels see it. `code_bytes` and `scale_bytes` are of a tile of 16 x 32."""

    name: str
    code_bytes: int
    scale_bytes: int
    largest: int  # of the unsigned codes; 255: signed + 128; 0: floats
    offset: int = 0  # what is added to a code to get its value
    minimum: bool = False  # the format has a minimum m beside its scale d

    @property
    def is_float(self) -> bool:
        return self.largest == 0


TILE_FORMATS = {
    f.name: f
    for f in (
        TileFormat("q4_0", 256, 32, 15, offset=-8),
        TileFormat("q4_1", 256, 64, 15, minimum=True),
        TileFormat("q5_0", 320, 32, 31, offset=-16),
        TileFormat("q5_1", 320, 64, 31, minimum=True),
        TileFormat("q8_0", 512, 32, 255),
        TileFormat("q6_K", 384, 64, 63, offset=-32),
        TileFormat("f16", 1024, 0, 0),
        TileFormat("bf16", 1024, 0, 0),
        TileFormat("f32", 2048, 0, 0),
    )
}


def load_line(e: Emitter, pointer, offset, vt, ahead: int):
    """A load of codes; also asks for what a stream reads `ahead` bytes later, if that is not 0."""
    if ahead and offset % 64 == 0:
        e.prefetch(pointer, ahead + offset)
    return e.load(pointer, offset, vt)


def codes(e: Emitter, fmt: TileFormat, pointer, ahead: int, rows: int = ROWS, steps=range(8)):
    """Yields code vectors of a tile, a step of four columns each: four bytes for each of `rows` rows."""
    kind = vector(I8, 4 * rows)
    if fmt.largest == 255:
        for k in steps:
            yield load_line(e, pointer, 64 * k, kind, ahead)
        return
    first = fmt.code_bytes - 256  # of the nibbles; what they lack stands before them
    high = [load_line(e, pointer, offset, kind, ahead) for offset in range(0, first, 64)]
    for k in steps:
        nibbles = load_line(e, pointer, first + 64 * (k % 4), kind, ahead if k < 4 else 0)
        code = e.low_nibbles(nibbles) if k < 4 else e.high_nibbles(nibbles)
        if fmt.largest == 31:
            code = e.b.or_(code, e.and_bytes(e.shift_bytes(high[0], 4 - k), 16))
        elif fmt.largest == 63:
            code = e.b.or_(code, e.and_bytes(e.shift_bytes(high[k // 4], 4 - 2 * (k % 4)), 48))
        yield code


@dataclass
class Block:
    """Where one block's inputs are: `i8*` of each row group, of the activations, and their token stride."""

    code: list[ir.Value]
    scale: list[ir.Value]
    quants: ir.Value  # i8 activations of the block
    scales: ir.Value  # f32
    sums: ir.Value  # i32, two a block: of columns 0..15 and 16..31
    floats: ir.Value  # f32 activations
    tokens: int  # computed here
    column: int  # tokens that lie side by side in memory
    ahead: int  # bytes by which to ask for weights ahead of reading them, straight from memory; 0: not at all

    @property
    def alone(self) -> bool:
        """A single token: weights are read once, straight from memory."""
        return self.tokens == 1

    def after(self, e: Emitter, values):
        """`values`, and this block such that it is read after they are computed: see Emitter.in_turn."""
        n = len(self.code)
        pointers = [*self.code, *self.scale, self.quants, self.scales, self.sums, self.floats]
        values, pointers = e.in_turn(values, pointers)
        quants, scales, sums, floats = pointers[2 * n :]
        return values, Block(
            pointers[:n],
            pointers[n : 2 * n],
            quants,
            scales,
            sums,
            floats,
            self.tokens,
            self.column,
            self.ahead,
        )
