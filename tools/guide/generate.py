"""Turns the facts into questions as people type them (frames, openers, slips, mixed languages) and answers.

`python -m tools.guide.generate 20` prints twenty examples.
"""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass

from tools.guide import facts, forms, heldout, skills
from tools.guide.facts import Facts, Section

SHARE_OUTSIDE = 0.15  # of the questions that skills.py does not make
SHARE_SKILLS = 0.24
SHARE_FORMS = 0.07
COPIES = {"haiku", "story", "sentence", "letters"}  # what has a word of the question in its answer
TAILS = {
    "en": (
        " please",
        " thanks",
        " in alpaca-tui",
        " in this program",
        " here",
        " in the chat",
        " now",
        " then",
        " pls",
        " again",
    ),
    "zh": ("呢", "啊", "呀", "谢谢", "，谢谢", "吗", "嘛", "呢？", "啊？", "来着"),
}
MIXED = {"模型": "model", "回答": "answer", "设置": "settings", "对话": "chat",
         "停止": "stop", "复制": "copy", "退出": "quit", "打开": "open", "温度": "temperature",
         "上下文": "context", "线程": "threads", "帮助": "help", "参数": "flag", "重新生成": "regenerate",
         "继续": "continue", "发送": "send", "换行": "newline", "保存": "save", "导出": "export",
         "量化": "quantize", "合并": "merge", "转换": "convert", "校验": "verify", "主题": "theme",
         "种子": "seed", "文件": "file", "消息": "message", "侧栏": "sidebar", "回复": "reply",
         "默认值": "default", "快捷键": "shortcut", "命令": "command", "剪贴板": "clipboard",
         "删除": "delete", "搜索": "search", "重命名": "rename", "切换": "switch"}  # fmt: skip
MIXED_EN = {"the model": "模型", "a model": "模型", "the answer": "回答", "the reply": "回答",
            "settings": "设置", "stop": "停止", "copy": "复制", "quit": "退出", "open": "打开",
            "temperature": "温度", "help": "帮助", "new chat": "新对话",
            "continue": "继续", "save": "保存"}  # fmt: skip
HAN = re.compile("[一-鿿]")
LATIN_NEXT_TO_HAN = re.compile(r"(?<=[一-鿿])(?=[A-Za-z0-9\-])|(?<=[A-Za-z0-9])(?=[一-鿿])")


@dataclass(frozen=True)
class Turn:
    user: str
    answer: str
    section: str
    lang: str


class Generator:
    """An endless source of turns; the same seed gives the same ones."""

    def __init__(self, seed: int, million: str = "4") -> None:
        self.rng = random.Random(seed)
        self.facts = {lang: facts.load(lang, million) for lang in facts.LANGUAGES}
        self.names = {lang: list(f.sections) for lang, f in self.facts.items()}
        self.weights = {lang: self._weights(f) for lang, f in self.facts.items()}

    @staticmethod
    def _weights(f: Facts) -> list[float]:
        raw = []
        for section in f.sections.values():
            breadth = sum(4 if kind != "ask" else 1 for kind, _ in section.asks)
            raw.append(
                0.0 if section.name == "outside" else min(2.0, max(0.8, breadth / 8)) * section.rows**-0.35
            )
        inside = sum(raw)
        return [w or inside * SHARE_OUTSIDE / (1 - SHARE_OUTSIDE) for w in raw]

    def turn(self, lang: str | None = None) -> Turn:
        """A question that is not held out, nor much like one that is, and its answer."""
        lang = lang or self.rng.choice(facts.LANGUAGES)
        while True:
            turn = self._any(lang)
            if not heldout.alike(turn.user):
                return turn

    def _any(self, lang: str) -> Turn:
        f = self.facts[lang]
        chance = self.rng.random()
        if chance < SHARE_SKILLS:
            return self.skill(lang)
        if chance < SHARE_SKILLS + SHARE_FORMS:
            return self.form(f)
        name = self.rng.choices(self.names[lang], self.weights[lang])[0]
        return self._turn(f, f.sections[name], self.question(f, f.sections[name]))

    def skill(self, lang: str, name: str = "") -> Turn:
        name, text, answer = skills.example(lang, self.rng, name)
        rng = self.rng
        if rng.random() < 0.06:
            text = rng.choice(self.facts[lang].frames["opener"]) + text
        if lang == "en":
            if rng.random() < 0.1 and name not in COPIES:
                text = self._slip(text)
            if rng.random() < 0.45:
                text = text[:1].upper() + text[1:]
            if rng.random() < 0.04:
                text += rng.choice((" please", ", please", " thanks", " pls"))
        elif rng.random() < 0.3:
            text = LATIN_NEXT_TO_HAN.sub(" ", text)
        if text[-1] not in "?!.=？":
            text += rng.choices(("", "?" if lang == "en" else "？", ".", "!"), (45, 45, 7, 3))[0]
        return Turn(text, answer, f"skill:{name}", lang)

    def form(self, f: Facts) -> Turn:
        rng = self.rng
        other = self.facts["zh" if f.lang == "en" else "en"]
        while True:
            kind = rng.choices(forms.KINDS, (3, 4, 2, 3))[0]
            lists = forms.forms(f.lang).items
            name = rng.choice(list(lists) if kind == "list" else self.names[f.lang])
            section = f.sections[name]
            found = forms.asked(kind, f, other, section, self.question(f, section), rng)
            if found is not None:
                return Turn(*found, f"form:{kind}:{name}", f.lang)

    def follow_up(self, lang: str) -> list[Turn]:
        """Two turns, the second of which leans on the first."""
        f = self.facts[lang]
        pair = self.rng.choice(f.follow)
        first, second = pair.name.split(" > ")
        one = self._turn(f, f.sections[first], self.question(f, f.sections[first]))
        return [one, self._turn(f, f.sections[second], self.question(f, pair))]

    def conversation(self, turns: int) -> list[Turn]:
        """Mostly in one language, with follow-ups here and there."""
        main = self.rng.choice(facts.LANGUAGES)
        talk: list[Turn] = []
        while len(talk) < turns:
            lang = main if self.rng.random() < 0.85 else self.rng.choice(facts.LANGUAGES)
            if self.rng.random() < 0.15:
                talk += self.follow_up(lang)
            else:
                talk.append(self.turn(lang))
        return talk

    def question(self, f: Facts, section: Section) -> str:
        text = self._question(f, section)
        while f.lang == "zh" and not HAN.search(text):  # "quit", "top_k": who types that reads English
            text = self._question(f, section)
        return text

    def _question(self, f: Facts, section: Section) -> str:
        rng = self.rng
        weights = [3.0 if kind in ("do", "what", "key") else 1.0 for kind, _ in section.asks]
        kind, pattern = rng.choices(section.asks, weights)[0]
        text = facts.draw(pattern, rng, f.lists)
        if kind != "ask":
            text = rng.choice(f.frames[kind]).replace("{}", text)
        if section.topic not in ("outside", "talk") and rng.random() < 0.4:
            text = self._reword(text, f)
        elif section.topic != "talk" and rng.random() < 0.04:
            text = self._drop(text, f.lang)
        if section.topic != "talk" and rng.random() < 0.07:
            text = rng.choice(f.frames["before"]) + text
        elif section.topic != "talk" and rng.random() < 0.05:
            text += rng.choice(f.frames["after"])
        return self._spell_en(text, f) if f.lang == "en" else self._spell_zh(text, f)

    def _reword(self, text: str, f: Facts) -> str:
        """With other words for one or two of its own."""
        found = [pair for pair in f.synonyms if pair[0] in text]
        for word, others in self.rng.sample(found, min(len(found), self.rng.choice((1, 1, 2, 3)))):
            edge = r"\b" if f.lang == "en" else ""
            text = re.sub(f"{edge}{re.escape(word)}{edge}", self.rng.choice(others), text, count=1)
        return text

    def _drop(self, text: str, lang: str) -> str:
        """Without one of its words; in Chinese, without one or two characters."""
        if lang == "zh":
            i = self.rng.randrange(len(text))
            return text[:i] + text[i + self.rng.choice((1, 2)) :] or text
        parts = text.split()
        if len(parts) > 4:
            del parts[self.rng.randrange(len(parts))]
        return " ".join(parts)

    def _turn(self, f: Facts, section: Section, user: str) -> Turn:
        return Turn(user, self.rng.choice(section.says), section.name, f.lang)

    def _spell_en(self, text: str, f: Facts) -> str:
        rng = self.rng
        if rng.random() < 0.08:
            text = rng.choice(f.frames["opener"]) + text
        if rng.random() < 0.06:
            text += rng.choice(TAILS["en"])
        if rng.random() < 0.03:
            for latin, han in MIXED_EN.items():
                if latin in text:
                    text = text.replace(latin, han, 1)
                    break
        if rng.random() < 0.2:
            text = self._slip(text)
        if rng.random() < 0.25:
            text = text.replace("'", "")
        if rng.random() < 0.45:
            text = text[:1].upper() + text[1:]
            text = re.sub(r"\bi\b", "I", text)
        if rng.random() < 0.07:
            text = text.upper()
        if text[-1] not in "?!.":
            text += rng.choices(("", "?", ".", "!", "??", " ?"), (40, 48, 6, 2, 2, 2))[0]
        return text

    def _slip(self, text: str) -> str:
        """One slip of the fingers in a plain word of four letters or more."""
        rng = self.rng
        words = list(re.finditer(r"[A-Za-z]{4,}", text))
        if not words:
            return text
        word = rng.choice(words)
        i = rng.randrange(word.start() + 1, word.end() - 1)
        how = rng.randrange(4)
        if how == 0:
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        if how == 1:
            return text[:i] + text[i + 1 :]
        if how == 2:
            return text[:i] + text[i] + text[i:]
        return text[:i] + rng.choice("abcdefghijklmnoprstuvwy") + text[i + 1 :]

    def _spell_zh(self, text: str, f: Facts) -> str:
        rng = self.rng
        if rng.random() < 0.12:
            found = [han for han in MIXED if han in text]
            for han in rng.sample(found, min(len(found), rng.choice((1, 1, 2)))):
                text = text.replace(han, MIXED[han], 1)
        if rng.random() < 0.08:
            text = rng.choice(f.frames["opener"]) + text
        if rng.random() < 0.05 and text[-1] not in "吗呢？。！":
            text += rng.choice(TAILS["zh"])
        if rng.random() < 0.4:
            text = LATIN_NEXT_TO_HAN.sub(" ", text)
        if rng.random() < 0.04 and len(text) > 5:
            i = rng.randrange(1, len(text) - 1)
            text = text[:i] + text[i + 1 :]
        if text[-1] not in "？?！。!~":
            text += rng.choices(("", "？", "?", "。", "！", "??"), (45, 40, 8, 4, 2, 1))[0]
        return text


if __name__ == "__main__":
    source = Generator(seed=1)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        turn = source.turn()
        print(f"[{turn.lang} {turn.section}] {turn.user}\n    {turn.answer}")
