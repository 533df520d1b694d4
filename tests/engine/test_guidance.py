"""Guidance: the formula, the second context beside the first, and what happens when it is full or stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.generation import Context
from alpaca_tui.engine.guidance import Guidance
from alpaca_tui.engine.protocol import Finished, FinishReason, SamplingParams, Segment
from alpaca_tui.errors import UserError
from tests.engine.fakes import BOS, ScriptedModel, engine_of, text_ids
from tests.engine.harness import GREEDY, request
from tests.gguf_writer import small_hparams, write_llama


class Hash(ScriptedModel):
    """Logits that hang on the whole context; no end."""

    def after(self, context: list[int]) -> np.ndarray:
        logits = np.full(self.n_vocab, -50, np.float32)
        logits[[*text_ids("abcdefgh"), *range(100, 130)]] = np.random.default_rng(context).standard_normal(38)
        return logits


def log_p(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits.astype(np.float64)).sum())


def expected(prompt: list[int], negative: list[int], n_instead: int, scale: float, n: int) -> list[int]:
    """The greedy reply, by the formula and from both contexts in whole."""
    model, said = Hash(), []
    for _ in range(n):
        p = log_p(model.after([*prompt, *said]))
        q = log_p(model.after([*negative, *prompt[n_instead:], *said]))
        said.append(int((scale * p + (1 - scale) * q).argmax()))
    return said


@pytest.mark.parametrize("n_batch", [1, 3, 64])
def test_a_reply_is_led_away_from_the_other_prompt(n_batch: int) -> None:
    prompt, negative = [BOS, *text_ids("A: say it. B:")], [BOS, *text_ids("worse")]
    engine = engine_of(Hash(n_batch=n_batch))
    for scale, n_instead in ((1.5, 11), (4.0, len(prompt)), (2.0, 0)):
        made = engine.generate(
            prompt, replace(GREEDY, cfg_scale=scale), max_tokens=12, negative=negative, n_instead=n_instead
        )
        assert [token.id for token in made] == expected(prompt, negative, n_instead, scale, 12)
    plain = [token.id for token in engine.generate(prompt, GREEDY, max_tokens=12, negative=negative)]
    assert plain == expected(prompt, negative, 0, 1.0, 12)


def test_the_same_prompt_leads_nowhere() -> None:
    prompt, params = [BOS, *text_ids("abc")], SamplingParams(seed=1, repeat_penalty=1.5)
    engine = engine_of(Hash())
    plain = [token.id for token in engine.generate(prompt, params, max_tokens=20)]
    guided = engine.generate(
        prompt, replace(params, cfg_scale=5.0), max_tokens=20, negative=prompt, n_instead=len(prompt)
    )
    assert [token.id for token in guided] == plain


def test_the_scale_may_change_meanwhile() -> None:
    engine = engine_of(Hash())
    prompt, negative = [BOS, 50, 51], [BOS, 60]
    made = engine.generate(prompt, replace(GREEDY, cfg_scale=3.0), max_tokens=3, negative=negative)
    first = next(made).id
    engine.set_sampling(GREEDY)
    assert [first, next(made).id] == [
        expected(prompt, negative, 0, 3.0, 1)[0],
        int(Hash().after([*prompt, first]).argmax()),
    ]


def test_only_new_tokens_are_evaluated_in_both() -> None:
    model = Hash()
    context = Context(model)
    guidance = Guidance(context, [BOS, 70], [BOS, 50])
    guidance.begin([BOS, 50, 51, 52], 64, lambda: False)
    assert context.tokens == [BOS, 70, 51, 52]
    guidance.follow(53)
    again = Guidance(context, [BOS, 70], [BOS, 50])
    again.begin([BOS, 50, 51, 52, 53, 54], 64, lambda: False)
    assert [call[:2] for call in model.calls] == [((BOS, 70, 51, 52), 0), ((53,), 4), ((54,), 5)]


def test_a_full_second_context_loses_its_older_half() -> None:
    model = Hash(n_ctx=12)
    context = Context(model)
    negative = [BOS, *range(70, 75)]
    guidance = Guidance(context, negative, [BOS])
    guidance.begin([BOS, *range(100, 104)], 64, lambda: False)
    for token in range(104, 130):
        guidance.follow(token)
        assert context.tokens[: len(negative)] == negative
        assert context.tokens[-1] == token
    guidance.begin([BOS, *range(100, 111)], 64, lambda: False)
    assert context.tokens == [*negative, 109, 110]
    with pytest.raises(UserError, match="3 tokens too long"):
        Guidance(context, [BOS] * 13, [])


def test_no_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaca_tui.engine.guidance.available_memory", lambda: 1 << 20)
    model = Hash()
    model.cache_bytes = 3 << 20
    with pytest.raises(UserError, match="second context of 3 MiB, but only 1 MiB"):
        engine_of(model).generate([BOS], replace(GREEDY, cfg_scale=2.0), negative=[BOS])


def test_through_the_worker(harness) -> None:
    made = harness(Hash())
    made.load()
    sampling = replace(GREEDY, cfg_scale=2.0)
    made.worker.generate(request("abc", sampling=sampling, max_tokens=9, negative=(Segment("N", bos=True),)))
    finished = made.wait_for(Finished)
    assert finished.reason is FinishReason.LENGTH
    prompt = [BOS, *text_ids("P"), *text_ids("abc")]
    assert list(finished.tokens) == expected(prompt, [BOS, *text_ids("N")], 2, 2.0, 9)[: len(finished.tokens)]
    assert len(finished.tokens) >= 1


def test_on_real_kernels(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "small.gguf", "q4_0", small_hparams(n_embd=128, n_ff=192, n_layer=3))
    prompt, negative, scale = [1, *range(40, 60)], [1, 7, 8, 9], 2.5
    with Engine.load(path, n_threads=2, n_batch=8) as engine:
        params = Sampling(temp=0.0, repeat_penalty=1.0, cfg_scale=scale)
        said = []
        for token in engine.generate(prompt, params, max_tokens=6, negative=negative, n_instead=5):
            said.append(token.id)
            if len(said) == 2:
                engine.set_threads(3)
            if len(said) == 4:
                engine.set_threads(1)
        for n, token in enumerate(said):
            p = log_p(engine.logits([*prompt, *said[:n]])[-1])
            q = log_p(engine.logits([*negative, *prompt[5:], *said[:n]])[-1])
            guided = scale * p + (1 - scale) * q
            assert guided[token] > guided.max() - 1e-4
        assert len(said) >= 4
