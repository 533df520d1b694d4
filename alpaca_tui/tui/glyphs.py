"""Signs that are drawn, apart from text: one place, so that another set can take theirs."""

DOT = "●"
RING = "○"
PIN = "★"
CARET = "▌"
FULL, EMPTY = "▓", "░"
TRACK, KNOB, FILLED = "─", "●", "━"
EDGE_LEFT, EDGE_RIGHT = "▏", "▕"
BEFORE, AFTER = "‹", "›"
STOP = "■"
CUT = "…"
CROSS = "✗"
CHECK = "✓"
MARKED, UNMARKED = "■", "□"
WAIT = "↳"
DASH = "┄"
RELOAD = "↻"
FOLDED, FOLD_OPEN = "▸", "▾"
PICK = "▸"
CHANGED = "•"
LINE_END = "↵"
BULLETS = "•◦▪‣"  # of lists in lists
MESSAGE_BAR, MARKED_BAR = "▎", "█"
HIGHEST = "▔"
LEFT_RIGHT, UP_DOWN = "← →", "↑ ↓"
few = False  # the terminal's font has the signs of old text screens only

# For such a font; the others above are in it.
_FEW = {
    "DOT": "*",
    "RING": "o",
    "PIN": "*",
    "CARET": "_",
    "KNOB": "o",
    "FILLED": "=",
    "EDGE_LEFT": "|",
    "EDGE_RIGHT": "|",
    "BEFORE": "<",
    "AFTER": ">",
    "CUT": "~",
    "CROSS": "x",
    "CHECK": "+",
    "MARKED": "■",
    "UNMARKED": "-",
    "WAIT": ">",
    "DASH": "-",
    "RELOAD": "@",
    "FOLDED": ">",
    "FOLD_OPEN": "v",
    "PICK": ">",
    "MESSAGE_BAR": "▌",
    "HIGHEST": "^",
    "LINE_END": "<",
    "BULLETS": "•o■>",
}
_ALL = {name: globals()[name] for name in _FEW}


def use_few(wanted: bool) -> None:
    """Draws with the signs of old text screens from now on, or with all."""
    globals().update(_FEW if wanted else _ALL, few=wanted)
