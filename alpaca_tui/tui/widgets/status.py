"""The status line: state, speed, context, memory, or progress; then the keys that matter now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from alpaca_tui.engine.protocol import EngineState, Progress, Stats
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.keymap import KeyMap
from alpaca_tui.tui.meter import NEAR, Outlook
from alpaca_tui.tui.strings import Strings

GAUGE, SHORT_GAUGE = 10, 5  # cells
ROOMY = 100  # columns from which on the long gauge is drawn
BAR = 16
MEBI, GIBI = 1 << 20, 1 << 30

# For each state the keys that matter: (id in the key map, action of the app, key of the strings).
Hint = tuple[str, str, str]
STOP: Hint = ("escape", "stop", "key_stop")
CANCEL: Hint = ("interrupt", "interrupt", "key_cancel")
CHATS: Hint = ("chats", "chats", "key_chats")
ANEW: Hint = ("regenerate", "regenerate", "key_regenerate")
GO_ON: Hint = ("continue_reply", "continue_reply", "key_continue")
MODEL: Hint = ("open_model", "open_model", "key_model")
SETTINGS: Hint = ("sidebar", "toggle_sidebar", "key_settings")
PALETTE: Hint = ("command_palette", "command_palette", "key_palette")
HELP: Hint = ("help", "help", "key_help")
QUIT: Hint = ("quit", "quit", "key_quit")
READ: Hint = ("read", "read", "key_read")
FIND: Hint = ("find", "find", "key_find")
ON_A_MESSAGE: Sequence[Hint] = (
    ("read_copy", "read_do('copy')", "hint_copy"),
    ("read_code", "read_do('code')", "hint_code"),
    ("read_edit", "read_do('edit')", "hint_edit"),
    ("read_anew", "read_do('anew')", "hint_anew"),
    ("read_branch", "read_do('branch')", "hint_branch"),
    ("read_delete", "read_do('delete')", "hint_delete"),
    ("read_find", "find", "hint_find"),
    ("escape", "leave_reading", "hint_leave"),
    ("read_undo", "read_do('undo')", "hint_undo"),
)


@dataclass(frozen=True)
class Status:
    """What the line shows. `model` is shown where there is no title line for it; `memory` in bytes."""

    state: EngineState = EngineState.EMPTY
    stats: Stats = field(default_factory=Stats)
    progress: Progress | None = None
    seconds_left: float | None = None
    memory: int = 0
    n_ctx: int = 0
    model: str = ""
    can_continue: bool = False
    talked: bool = False
    keys: KeyMap = field(default_factory=KeyMap)
    speed: float = 0.0  # of the last seconds; 0: that of the whole reply is shown
    outlook: Outlook = Outlook.FITS
    reading: tuple[int, int] | None = None  # the number of the marked message, and how many there are


class StatusBar(Widget):
    DEFAULT_CSS = """
    StatusBar { height: 1; background: $ground; color: $quiet; padding: 0 1; }
    """
    ALLOW_SELECT = False

    status: reactive[Status] = reactive(Status())

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="status")
        self._strings = strings

    def render(self) -> Content:
        return status_line(self.status, self.content_size.width, self._strings)


def status_line(status: Status, width: int, say: Strings) -> Content:
    """The line for `width` cells: of the facts and the keys as many as fit, the first ones first."""
    waiting = status.progress is not None and _shows_progress(status.state)
    facts = _progress_facts(status, say) if waiting else _facts(status, width, say)
    hints = [_hint(hint, status.keys, say) for hint in hints_for(status) if status.keys[hint[0]]]
    left = facts[0]
    more = facts[1:]
    shown: list[Content] = []
    # The first keys are worth more than the last facts; who waits wants one key, and to know how long still.
    first = 1 if waiting else 2
    for share in (hints[:first], more, hints[first:]):
        for piece in share:
            used = left.cell_length + sum(part.cell_length + 2 for part in shown)
            if used + piece.cell_length + 2 > width:
                break
            shown.append(piece)
    chosen_facts = [piece for piece in more if any(piece is part for part in shown)]
    chosen_hints = [piece for piece in hints if any(piece is part for part in shown)]
    line = Content("  ").join([left, *chosen_facts])
    keys = Content("  ").join(chosen_hints)
    space = width - line.cell_length - keys.cell_length
    if space < 0:
        return line.truncate(width, ellipsis=True)
    return line + Content(" " * space) + keys


def hints_for(status: Status) -> Sequence[Hint]:
    if status.reading is not None:
        return ON_A_MESSAGE
    match status.state:
        case EngineState.LOADING | EngineState.COMPILING:
            return (CANCEL, HELP, QUIT)
        case EngineState.PREFILL | EngineState.GENERATING | EngineState.STOPPING:
            return (STOP, ANEW, SETTINGS, HELP)
        case EngineState.EMPTY | EngineState.FAILED:
            return (MODEL, HELP, PALETTE, QUIT)
        case _:
            go_on = (GO_ON,) if status.can_continue else ()
            talk = (ANEW,) if status.talked else ()
            return (*go_on, *talk, HELP, CHATS, SETTINGS, MODEL, PALETTE, READ, FIND, QUIT)


def _hint(hint: Hint, keys: KeyMap, say: Strings) -> Content:
    name, action, text = hint
    return Content.from_markup(f"[$act @click=app.{action}]$key[/] {say(text)}", key=keys.short(name))


def _shows_progress(state: EngineState) -> bool:
    return state in (EngineState.LOADING, EngineState.COMPILING, EngineState.PREFILL)


def _facts(status: Status, width: int, say: Strings) -> list[Content]:
    state, stats = status.state, status.stats
    cells = GAUGE if width >= ROOMY else SHORT_GAUGE
    colour = {EngineState.FAILED: "$loss"}.get(state, "$now" if state.busy else "$act")
    dot = glyphs.RING if state in (EngineState.EMPTY, EngineState.FAILED) else glyphs.DOT
    facts = [Content.styled(dot, colour) + Content.styled(f" {say(f'state_{state.value}')}", "$ink")]
    if status.reading is not None:
        at, total = status.reading
        return [Content.styled(glyphs.MARKED_BAR, "$now") + Content(say("state_reading", at=at, total=total))]
    if status.outlook is Outlook.CUTS:
        facts.append(Content.styled(say("outlook_cuts"), "$now"))
    if speed := status.speed or stats.generate_speed:
        facts.append(Content.styled(say("speed", speed=f"{speed:.1f}"), "$ink"))
    if status.n_ctx:
        facts.append(Content(f"{say('context')} ") + gauge(stats.n_past, status.n_ctx, say, cells))
    if status.outlook is Outlook.NEAR:
        facts.append(Content.styled(say("outlook_near"), "$now"))
    if stats.first_token_seconds >= 0.05:
        facts.append(Content(say("first_token", seconds=f"{stats.first_token_seconds:.1f}")))
    if status.memory:
        facts.append(Content(size_text(status.memory)))
    if stats.prompt_speed:
        facts.append(Content(say("prompt_speed", speed=f"{stats.prompt_speed:.0f}")))
    if status.model:
        facts.insert(1, Content(status.model).truncate(24, ellipsis=True))
    return facts


def _progress_facts(status: Status, say: Strings) -> list[Content]:
    progress = status.progress
    assert progress is not None
    name = {EngineState.COMPILING: "compiling", EngineState.PREFILL: "prefill"}.get(progress.state, "loading")
    head = Content.styled(glyphs.DOT, "$now") + Content.styled(f" {say(f'progress_{name}')} ", "$ink")
    share = progress.done / progress.total if progress.total > 0 else 0.0
    filled = round(min(max(share, 0.0), 1.0) * BAR)
    bar = Content.styled(glyphs.FULL * filled, "$now") + Content.styled(
        glyphs.EMPTY * (BAR - filled), "$rule"
    )
    done, total = amounts(progress)
    facts = [head + bar]
    if status.seconds_left is not None and progress.done < progress.total:
        facts.append(Content(say("progress_left", time=time_text(status.seconds_left, say))))
    facts.append(Content(say("progress_of", done=done, total=total)))
    if progress.state is EngineState.PREFILL:
        facts[-1] += Content(f" {say('tokens')}")
    if progress.what:
        facts.append(Content(progress.what).truncate(32, ellipsis=True))
    return facts


def amounts(progress: Progress) -> tuple[str, str]:
    """Done and total for people: large counts are bytes."""
    if progress.total >= MEBI:
        unit, name, digits = (GIBI, "GiB", 1) if progress.total >= GIBI else (MEBI, "MiB", 0)
        return f"{progress.done / unit:.{digits}f}", f"{progress.total / unit:.{digits}f} {name}"
    return str(progress.done), str(progress.total)


def gauge(used: int, total: int, say: Strings, cells: int = GAUGE) -> Content:
    """How full the context is; near its end in the colour of what is going to happen."""
    share = min(used / total, 1.0) if total else 0.0
    filled = max(round(share * cells), 1 if used else 0)
    colour = "$now" if share >= NEAR else "$act"
    bar = Content.styled(glyphs.FULL * filled, colour) + Content.styled(
        glyphs.EMPTY * (cells - filled), "$rule"
    )
    return bar + Content(" " + say("gauge", used=used, total=total))


def size_text(size: int) -> str:
    return f"{size / GIBI:.1f} GiB" if size >= GIBI else f"{size / MEBI:.0f} MiB"


def time_text(seconds: float, say: Strings) -> str:
    whole = max(round(seconds), 1)
    if whole < 60:
        return say("seconds_short", n=whole)
    return say("minutes_short", m=whole // 60, s=whole % 60)
