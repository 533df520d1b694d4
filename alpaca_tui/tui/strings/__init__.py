"""Every text that a user sees, in one file a language, chosen by the locale.

`en.TEXTS` and `zh.TEXTS` have the same keys and the same `{fields}`; a test holds that.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from importlib import import_module

LANGUAGES = ("en", "zh")


class Strings:
    """The texts of one language: `strings("stopped_note", key="F6")`."""

    def __init__(self, language: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self.use(language)

    def use(self, language: str | None) -> None:
        """Speaks another language from now on; None: that of the locale."""
        self.language = choose(language, self._environ)
        self._texts: dict[str, str] = import_module(f"{__name__}.{self.language}").TEXTS

    def __call__(self, key: str, /, **fields: object) -> str:
        text = self._texts[key]
        return text.format(**fields) if fields else text

    def __contains__(self, key: str) -> bool:
        return key in self._texts


def choose(language: str | None, environ: Mapping[str, str]) -> str:
    """The language asked for, else that of the locale, else English."""
    if language:
        return "zh" if language.lower().startswith(("zh", "chinese")) else "en"
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    name = (locale.getlocale()[0] or "").lower()  # Windows has none of the variables
    return "zh" if name.startswith(("zh", "chinese")) else "en"
