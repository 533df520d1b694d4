"""The full-screen chat from its start to its end, with the user's own files and the real engine."""

from __future__ import annotations

import sys
from pathlib import Path

from alpaca_tui import system
from alpaca_tui.chat.config import NAME as CONFIG_NAME
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.formats import ALPACA, PromptFormat
from alpaca_tui.chat.remembered import NAME as REMEMBERED_NAME
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.chat.settings import Settings
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.workshop import Workshop
from alpaca_tui.engine.protocol import ChatEngine
from alpaca_tui.log import log_file
from alpaca_tui.tui import tidy
from alpaca_tui.tui.app import AlpacaApp
from alpaca_tui.tui.keymap import IDS
from alpaca_tui.tui.models import model_at_start
from alpaca_tui.tui.prompting import at_start_or_shipped
from alpaca_tui.tui.quiet import quiet


def run_app(
    *,
    model: Path | None,
    settings: Settings,
    instruction: str | None,
    explicit: frozenset[str],
    language: str | None = None,
    norm_eps: float | None = None,
    tokenizer: Path | None = None,
    workshop: Workshop | None = None,
    config: Config | None = None,
    prompt_name: str = "",
    prompt_format: PromptFormat = ALPACA,
) -> int:
    """Opens the chat and returns the exit code when it is left.

    `config`: instead of the user's own file. `instruction` None: as that has it, and the format with it.
    """
    config = config or Config(system.config_dir() / CONFIG_NAME, IDS)
    settings.use_defaults(config.settings)
    remembered = Remembered(system.data_dir() / REMEMBERED_NAME)
    gone = None
    if model is None:
        model, gone = model_at_start(config, remembered)
    trouble = ""
    if instruction is None:
        instruction, prompt_name, prompt_format, trouble = at_start_or_shipped(config)

    def engine() -> ChatEngine:
        from alpaca_tui.engine.worker import EngineWorker

        return EngineWorker()

    app = AlpacaApp(
        engine,
        model,
        settings,
        instruction,
        language,
        explicit,
        norm_eps=norm_eps,
        tokenizer=tokenizer,
        workshop=workshop,
        archive=Archive(system.data_dir()),
        config=config,
        remembered=remembered,
        prompt_name=prompt_name,
        prompt_format=prompt_format,
    )
    app.trouble_at_start = trouble or (app.strings("start_model_gone", name=gone) if gone else "")
    tidy.begin()
    try:
        with quiet(log_file()):
            result = app.run()
    finally:
        app.close_setup()
        app.session.close()
        if lost := app.end_chats():
            print(lost, file=sys.stderr)
    return result if result is not None else app.return_code or 0
