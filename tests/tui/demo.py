"""`python -m tests.tui.demo [SCENE] [LANGUAGE]`: the chat with the scripted engine, to try it by hand.

Scenes: chat (default), guide, slow, long, fail.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alpaca_tui.chat.settings import Settings
from alpaca_tui.tui.app import AlpacaApp
from tests.tui.samples import CHINESE, LONG, MIXED
from tests.tui.scripted_engine import Realtime, Script

SCENES = {
    "chat": Script(replies=[MIXED, CHINESE], rate=40, load_seconds=2, prefill_seconds=0.5),
    "guide": Script(replies=[CHINESE, MIXED], rate=60, guide=True),
    "slow": Script(
        replies=[MIXED], rate=6, load_seconds=12, compile_seconds=8, prefill_seconds=8, stop_seconds=3
    ),
    "long": Script(replies=[LONG], rate=500, load_seconds=0.2, cut=1),
    "fail": Script(
        load_error="The file broken.gguf is cut off: 3.9 GiB are there, 4.2 GiB are needed; get it again."
    ),
}


def main() -> None:
    scene = sys.argv[1] if len(sys.argv) > 1 else "chat"
    language = sys.argv[2] if len(sys.argv) > 2 else None
    settings = Settings(n_predict=-1)
    app = AlpacaApp(
        lambda: Realtime(SCENES[scene]), Path("scripted-7B-q4_0.gguf"), settings, "Below is …", language
    )
    app.run()


if __name__ == "__main__":
    main()
