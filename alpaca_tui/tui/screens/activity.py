"""F8: how fast the replies of this chat came, how full the context got, what the program wrote in its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from alpaca_tui.engine.protocol import Stats
from alpaca_tui.tui import glyphs, plot
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings

EVERY = 0.5  # seconds between looks at what is shown
AROUND = 6
PLOT_ROWS = 4
NUMBERS, LOG = "numbers", "log"
NAME_CELLS = 22


@dataclass(frozen=True)
class Activity:
    """`replies` are the numbers of those on the screen, oldest first; `speeds` those of the one in the making
    or made last, over its time; sizes in bytes."""

    replies: Sequence[Stats] = ()
    speeds: Sequence[float] = ()
    now: Stats | None = None
    n_ctx: int = 0
    memory: int = 0
    model_memory: int = 0
    free_memory: int = 0
    threads: int = 0


class ActivityScreen(Dialog[None]):
    DEFAULT_CSS = """
    ActivityScreen { align: center middle; background: $ground 70%; }
    #activity-box {
        width: 100; max-width: 96%; height: auto; max-height: 100%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #activity-title { height: 1; }
    #activity-scroll { height: auto; margin: 1 0; scrollbar-size-vertical: 1; }
    #activity-text { height: auto; }
    #activity-keys { color: $quiet; height: 1; }
    ActivityScreen.low #activity-box { padding: 0 2; }
    ActivityScreen.low #activity-scroll { margin: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f8", "close", show=False, id="activity_close"),
        Binding("tab,shift+tab,left,right", "turn", show=False, id="activity_turn"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("home,g", "scroll(-100000)", show=False),
        Binding("end,G", "scroll(100000)", show=False),
    ]

    def __init__(
        self, strings: Strings, page: str, look: Callable[[], Activity], log: Callable[[], list[str]]
    ) -> None:
        super().__init__()
        self.page = page
        self._say, self._look, self._log = strings, look, log
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="activity-box"):
            yield Static("", id="activity-title")
            with VerticalScroll(id="activity-scroll", can_focus=False):
                yield Static("", id="activity-text", markup=False)
            yield Static(self._say("activity_keys"), id="activity-keys", markup=False)

    def on_mount(self) -> None:
        self.set_interval(EVERY, self.draw)
        self.draw()
        self.call_after_refresh(self._to_end)

    def on_resize(self, event: events.Resize) -> None:
        low = event.size.height < 20
        self.set_class(low, "low")
        around = 2 if low else AROUND
        self.query_one("#activity-scroll").styles.max_height = max(event.size.height - around, 1)
        self.draw()

    def draw(self) -> None:
        say = self._say
        names = [(NUMBERS, "activity_numbers"), (LOG, "activity_log")]
        title = Content("   ").join(
            Content.from_markup(
                f"[{'bold $act' if page == self.page else '$quiet'} @click=screen.turn]$name[/]",
                name=say(key),
            )
            for page, key in names
        )
        self.query_one("#activity-title", Static).update(title)
        text = self.query_one("#activity-text", Static)
        width = max(min(self.size.width * 96 // 100, 100) - 8, 20)
        if self.page == NUMBERS:
            text.update(numbers(self._look(), width, say))
            return
        lines = self._log()
        if lines != self._lines:
            scroll = self.query_one("#activity-scroll")
            at_end = scroll.scroll_y >= scroll.max_scroll_y
            self._lines = lines
            text.update(log_text(lines, say))
            if at_end:
                self.call_after_refresh(self._to_end)

    def _to_end(self) -> None:
        if self.page == LOG:
            self.query_one("#activity-scroll").scroll_end(animate=False)

    def action_turn(self) -> None:
        self.page = LOG if self.page == NUMBERS else NUMBERS
        self._lines = []
        self.query_one("#activity-scroll").scroll_home(animate=False)
        self.draw()
        self.call_after_refresh(self._to_end)

    def action_scroll(self, rows: int) -> None:
        self.query_one("#activity-scroll").scroll_relative(y=rows, animate=False)

    def action_close(self) -> None:
        self.dismiss()


def log_text(lines: Sequence[str], say: Strings) -> Content:
    if not lines:
        return Content.styled(say("activity_log_empty"), "$quiet")
    return Content("\n").join(
        Content.styled(clean(line), "$loss" if " ERROR " in line else "$now" if " WARNING " in line else "")
        for line in lines
    )


def numbers(a: Activity, width: int, say: Strings) -> Content:
    """The page of numbers: the reply now or last, then all replies of the chat, then the machine."""
    parts: list[Content] = []
    if a.now is not None and a.now.generated_tokens:
        parts.append(_reply(a.now, say))
    if len(a.speeds) > 1:
        parts.append(_plot(say("plot_reply"), a.speeds, width, f"{max(a.speeds):.1f}", "$now"))
    speeds = [s.generate_speed for s in a.replies if s.generated_tokens]
    if len(speeds) > 1:
        parts.append(_plot(say("plot_speeds"), speeds, width, f"{max(speeds):.1f}", "$act"))
    used = [float(s.n_past) for s in a.replies if s.n_ctx]
    if len(used) > 1 and a.n_ctx:
        parts.append(_plot(say("plot_context"), used, width, str(a.n_ctx), "$act", float(a.n_ctx)))
    rows = [
        ("stat_memory", _size(a.memory) if a.memory else ""),
        ("stat_model_memory", _size(a.model_memory) if a.model_memory else ""),
        ("stat_free_memory", _size(a.free_memory) if a.free_memory else ""),
        ("stat_threads", str(a.threads) if a.threads else ""),
        ("stat_replies", str(len(a.replies))),
    ]
    parts.append(_table([(say(key), value) for key, value in rows if value]))
    if not a.replies:
        parts.insert(0, Content.styled(say("activity_empty"), "$quiet"))
    return Content("\n\n").join(parts)


def _reply(stats: Stats, say: Strings) -> Content:
    reused = say("stat_reused", count=stats.reused_tokens) if stats.reused_tokens else ""
    drafted = f"{stats.accepted_tokens} / {stats.drafted_tokens}" if stats.drafted_tokens else ""
    rows = [
        ("stat_speed", say("speed", speed=f"{stats.generate_speed:.1f}")),
        ("stat_generated", str(stats.generated_tokens)),
        ("stat_first", say("seconds", seconds=f"{stats.first_token_seconds:.2f}")),
        ("stat_prompt", f"{stats.prompt_tokens} {reused}".strip()),
        ("stat_prompt_speed", say("speed", speed=f"{stats.prompt_speed:.0f}") if stats.prompt_speed else ""),
        ("stat_context", f"{stats.n_past} / {stats.n_ctx}"),
        ("stat_seed", str(stats.seed)),
        ("stat_drafted", drafted),
    ]
    return _table([(say(key), value) for key, value in rows if value])


def _table(rows: Sequence[tuple[str, str]]) -> Content:
    lines = []
    for name, value in rows:
        head = Content.styled(name, "$quiet")
        lines.append(head + Content(" " * max(NAME_CELLS - head.cell_length, 1)) + Content(value))
    return Content("\n").join(lines)


def _plot(
    title: str, values: Sequence[float], width: int, top: str, colour: str, highest: float = 0.0
) -> Content:
    rows = plot.bars(values, width, PLOT_ROWS, highest, plain=glyphs.few)
    head = Content.styled(title, "$quiet") + Content.styled(f"   {glyphs.HIGHEST} {top}", "$quiet")
    return Content("\n").join([head, *(Content.styled(row, colour) for row in rows)])


def _size(size: int) -> str:
    gibi = 1 << 30
    return f"{size / gibi:.1f} GiB" if size >= gibi else f"{size >> 20} MiB"
