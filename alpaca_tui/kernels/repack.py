"""From a file's blocks to the kernels' tiles: one kernel a format, run by the team at load.

Layouts of 2023 come in here as well: f32 scales are rounded to f16 (today's files hold them so), interleaved
nibbles are put into today's order. Rows that only fill up a row group become zeros.
"""

from __future__ import annotations

from numba import njit

from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import BATCH, COUNTER, STOP, fetch_add
from alpaca_tui.kernels.vectors import f32_at, i64_at, to_f16, u8_at, u16_at, u32_at

# the arguments, after COUNTER and BATCH
SOURCE, ROW_BYTES, N_ROWS, N_BLOCKS, N_GROUPS, N_COLUMNS = 2, 3, 4, 5, 6, 7
CODES, SCALES = 8, 9
WIDE_SCALES, INTERLEAVED = 10, 11  # the file's blocks have f32 scales; byte j holds elements 2j and 2j+1

ROWS = 16


@njit(**OPTIONS)
def tile_index(a, group, block):
    """Where the tile of a row group and a block stands: pairs of row groups go side by side."""
    return (group // 2 * a[N_BLOCKS] + block) * 2 + group % 2


@njit(**OPTIONS)
def clear(a, group, code_bytes, scale_bytes):
    """Zeros for a row group's tiles."""
    for b in range(a[N_BLOCKS]):
        tile = tile_index(a, group, b)
        codes, scales = u8_at(a[CODES] + tile * code_bytes), u8_at(a[SCALES] + tile * scale_bytes)
        for i in range(code_bytes):
            codes[i] = 0
        for i in range(scale_bytes):
            scales[i] = 0


@njit(**OPTIONS)
def next_group(a):
    """The next row group to do, or -1."""
    if i64_at(a[BATCH])[STOP] != 0:
        return -1
    group = fetch_add(a, COUNTER, 1)
    return group if group < a[N_GROUPS] else -1


@njit(**OPTIONS)
def copy_scales(a, source, target, count):
    """d (and m) of a block as f16 at target, 16 rows apart; the bytes they take in the file."""
    out = u16_at(target)
    if a[WIDE_SCALES] != 0:
        wide = f32_at(source)
        for i in range(count):
            out[i * ROWS] = to_f16(wide[i])
        return 4 * count
    narrow = u16_at(source)
    for i in range(count):
        out[i * ROWS] = narrow[i]
    return 2 * count


@njit(**OPTIONS)
def nibbles(a, source, target):
    """16 bytes of nibbles into a tile: byte j holds elements j and j + 16."""
    if a[INTERLEAVED] == 0:
        words, out = u32_at(source), u32_at(target)
        for k in range(4):
            out[k * ROWS] = words[k]
        return
    qs, out8 = u8_at(source), u8_at(target)
    for j in range(16):
        low = qs[j // 2] >> (j % 2 * 4) & 15
        high = qs[8 + j // 2] >> (j % 2 * 4) & 15
        out8[j // 4 * 64 + j % 4] = low | high << 4


@njit(**OPTIONS)
def fifth_bits(source, target):
    """The u32 of 5th bits into a tile's 64 bytes: bit k of byte c belongs to element 4k + c."""
    qs, out = u8_at(source), u8_at(target)
    bits = qs[0] | qs[1] << 8 | qs[2] << 16 | qs[3] << 24
    for c in range(4):
        byte = 0
        for k in range(8):
            byte |= (bits >> (4 * k + c) & 1) << k
        out[c] = byte


@njit(**OPTIONS)
def repack_small(a, block_fixed, code_bytes, n_scales, five):
    """Formats of 4 and 5 bits. block_fixed: a block's bytes without its scales."""
    n = a[N_BLOCKS]
    scale_bytes = n_scales * 2 * ROWS
    block_bytes = block_fixed + n_scales * (4 if a[WIDE_SCALES] != 0 else 2)
    while True:
        group = next_group(a)
        if group < 0:
            break
        if group * ROWS + ROWS > a[N_ROWS]:
            clear(a, group, code_bytes, scale_bytes)
        for r in range(min(ROWS, a[N_ROWS] - group * ROWS)):
            row = a[SOURCE] + (group * ROWS + r) * a[ROW_BYTES]
            for b in range(n):
                source = row + b * block_bytes
                tile = tile_index(a, group, b)
                code = a[CODES] + tile * code_bytes + r * 4
                source += copy_scales(a, source, a[SCALES] + tile * scale_bytes + r * 2, n_scales)
                if five:
                    fifth_bits(source, code)
                    source += 4
                nibbles(a, source, code + code_bytes - 256)


@kernel
def repack_q4_0(a, thread, n_threads):
    repack_small(a, 16, 256, 1, False)


@kernel
def repack_q4_1(a, thread, n_threads):
    repack_small(a, 16, 256, 2, False)


@kernel
def repack_q5_0(a, thread, n_threads):
    repack_small(a, 20, 320, 1, True)


@kernel
def repack_q5_1(a, thread, n_threads):
    repack_small(a, 20, 320, 2, True)


@kernel
def repack_q8_0(a, thread, n_threads):
    n = a[N_BLOCKS]
    block_bytes = 36 if a[WIDE_SCALES] != 0 else 34
    while True:
        group = next_group(a)
        if group < 0:
            break
        if group * ROWS + ROWS > a[N_ROWS]:
            clear(a, group, 512, 32)
        for r in range(min(ROWS, a[N_ROWS] - group * ROWS)):
            row = a[SOURCE] + (group * ROWS + r) * a[ROW_BYTES]
            for b in range(n):
                source = row + b * block_bytes
                tile = tile_index(a, group, b)
                source += copy_scales(a, source, a[SCALES] + tile * 32 + r * 2, 1)
                words, out = u32_at(source), u32_at(a[CODES] + tile * 512 + r * 4)
                for k in range(8):
                    out[k * ROWS] = words[k] ^ 0x80808080  # the signed byte + 128


@njit(**OPTIONS)
def q6_element(block, e):
    """The 6-bit code of element e of a q6_K block: u8 ql[128], u8 qh[64], i8 scales[16], f16 d."""
    half, within = e // 128, e % 128
    quarter, l = within // 32, within % 32  # noqa: E741 - the format's own name
    low = block[half * 64 + quarter % 2 * 32 + l] >> (quarter // 2 * 4) & 15
    high = block[128 + half * 32 + l] >> (quarter * 2) & 3
    return low | high << 4


@kernel
def repack_q6_K(a, thread, n_threads):  # noqa: N802 - the format's name
    n = a[N_BLOCKS]
    while True:
        group = next_group(a)
        if group < 0:
            break
        if group * ROWS + ROWS > a[N_ROWS]:
            clear(a, group, 384, 64)
        for r in range(min(ROWS, a[N_ROWS] - group * ROWS)):
            row = a[SOURCE] + (group * ROWS + r) * a[ROW_BYTES]
            for b in range(n):
                block = u8_at(row + b // 8 * 210)
                tile = tile_index(a, group, b)
                code = u8_at(a[CODES] + tile * 384 + r * 4)
                first = b % 8 * 32
                for k in range(4):
                    for c in range(4):
                        low = q6_element(block, first + 4 * k + c)
                        high = q6_element(block, first + 16 + 4 * k + c)
                        code[128 + k * 64 + c] = low & 15 | (high & 15) << 4
                for half in range(2):
                    for c in range(4):
                        pairs = 0
                        for k in range(4):
                            pairs |= (q6_element(block, first + 16 * half + 4 * k + c) >> 4) << 2 * k
                        code[half * 64 + c] = pairs
                scale = u8_at(a[SCALES] + tile * 64 + r)
                scale[0] = block[192 + b % 8 * 2]
                scale[16] = block[192 + b % 8 * 2 + 1]
                d = u16_at(a[SCALES] + tile * 64 + 32)
                d[r] = block[208] | block[209] << 8


@njit(**OPTIONS)
def transpose(a, pointer_at, width):
    """Floats of `width` bytes: of each row group, column by column, 16 rows side by side."""
    n = a[N_BLOCKS]
    while True:
        group = next_group(a)
        if group < 0:
            break
        rows = min(ROWS, a[N_ROWS] - group * ROWS)
        if rows < ROWS or n * 32 != a[N_COLUMNS]:
            clear(a, group, 32 * ROWS * width, 0)
        for b in range(n):
            out = pointer_at(a[CODES] + tile_index(a, group, b) * 32 * ROWS * width)
            for r in range(rows):
                row = pointer_at(a[SOURCE] + (group * ROWS + r) * a[ROW_BYTES])
                for c in range(min(32, a[N_COLUMNS] - b * 32)):
                    out[c * ROWS + r] = row[b * 32 + c]


@kernel
def repack_f16(a, thread, n_threads):
    transpose(a, u16_at, 2)


@kernel
def repack_bf16(a, thread, n_threads):
    transpose(a, u16_at, 2)


@kernel
def repack_f32(a, thread, n_threads):
    transpose(a, u32_at, 4)
