"""What can be chosen for the program itself, in a table: the config file is checked and documented by it."""

from __future__ import annotations

from dataclasses import dataclass

from alpaca_tui.chat.schema import Words

AT_ONCE = Words("at once", "立即")
NEXT_START = Words("when the program starts next", "下次启动时")


@dataclass(frozen=True)
class Preference:
    """A choice. `values` are those there are; empty: a name or a path, such as that of a theme."""

    key: str
    values: tuple[str, ...]
    default: str
    applies: Words
    help: Words


PREFERENCES: tuple[Preference, ...] = (
    Preference(
        "language",
        ("auto", "en", "zh"),
        "auto",
        AT_ONCE,
        Words("Language of the screen. auto: that of the system.", "界面语言。auto：跟随系统。"),
    ),
    Preference(
        "theme",
        (),
        "auto",
        AT_ONCE,
        Words(
            "Name of the colours: one that ships, one of Textual's, or your own. auto: suits the terminal.",
            "配色的名称：自带的、Textual 的，或你自己的。auto：随终端而定。",
        ),
    ),
    Preference(
        "animations",
        ("auto", "on", "off"),
        "auto",
        AT_ONCE,
        Words(
            "Things that glide. auto: not over SSH, nor on the Linux console.",
            "移动时的动画。auto：通过 SSH 或在 Linux 控制台时关闭。",
        ),
    ),
    Preference(
        "enter",
        ("send", "newline"),
        "send",
        AT_ONCE,
        Words(
            "What Enter does in the prompt: send, or newline (then Ctrl+J sends).",
            "输入框里的 Enter：send 发送；newline 换行（此时用 Ctrl+J 发送）。",
        ),
    ),
    Preference(
        "notify",
        ("auto", "off", "bell", "desktop"),
        "auto",
        AT_ONCE,
        Words(
            "What tells that a long reply has ended while the terminal is in the background: the bell, or a "
            "notification of the desktop. auto: the latter where the terminal has it.",
            "终端在后台时，长回答结束后如何提醒：bell 响铃，desktop 桌面通知。"
            "auto：终端支持时用通知，否则响铃。",
        ),
    ),
    Preference(
        "model",
        (),
        "last",
        NEXT_START,
        Words(
            "The model that opens at the start without -m: last (the one used last), guide, or a file.",
            "不带 -m 启动时打开的模型：last（上次用的）、guide（向导），或一个文件。",
        ),
    ),
    Preference(
        "prompt",
        (),
        "alpaca.txt",
        NEXT_START,
        Words(
            "The instruction of a new chat without -f: the name of a file in the prompt library, or a path.",
            "不带 -f 时新对话的指令：提示库里的文件名，或一个路径。",
        ),
    ),
    Preference(
        "format",
        (),
        "auto",
        NEXT_START,
        Words(
            "The format of the turns in a new chat. auto: what goes with the instruction.",
            "新对话各轮的格式。auto：与指令相配的格式。",
        ),
    ),
)
BY_NAME = {preference.key: preference for preference in PREFERENCES}
DEFAULTS = {preference.key: preference.default for preference in PREFERENCES}
