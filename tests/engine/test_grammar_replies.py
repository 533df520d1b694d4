"""Replies under grammars and with samplers of every kind: through the engine, the worker, and with drafts."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.generation import Context, Reply
from alpaca_tui.engine.grammar.matcher import Grammars
from alpaca_tui.engine.lookup import Account
from alpaca_tui.engine.protocol import Finished, FinishReason, SamplingParams
from alpaca_tui.engine.sampling import Sampler
from alpaca_tui.errors import UserError
from alpaca_tui.resources import guide_model
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, engine_of, text_ids
from tests.engine.harness import GREEDY, request
from tests.engine.test_lookup import Babbler, Eager

DIGITS = replace(GREEDY, grammar='root ::= [0-9]{3} ("." [0-9]+)?')


class Noise(ScriptedModel):
    """Every token is as likely as the next, except for ends, which are not."""

    def after(self, context: list[int]) -> np.ndarray:
        logits = np.random.default_rng(len(context)).standard_normal(self.n_vocab).astype(np.float32)
        logits[EOS] = -20
        return logits


def text(engine: Engine, sampling: SamplingParams | Sampler, **options) -> str:
    return "".join(token.text for token in engine.generate([BOS], sampling, **options))


def test_a_complete_text_ends_the_reply() -> None:
    engine = engine_of(Noise(n_vocab=259))
    said = text(engine, replace(DIGITS, grammar="root ::= [0-9]{3}"), max_tokens=50)
    assert len(said) == 3
    assert said.isdigit()
    assert engine.finish_reason is FinishReason.END
    assert engine.stats.generated_tokens == 3


def test_a_text_that_may_go_on_ends_where_the_model_ends_it() -> None:
    engine = engine_of(ScriptedModel(text_ids("12x4"), n_vocab=259))
    assert text(engine, DIGITS) == "120"  # x cannot come; what may, is equally likely: the lowest id, the end
    assert engine.finish_reason is FinishReason.END
    assert text(engine, DIGITS, max_tokens=2) == "12"
    assert engine.finish_reason is FinishReason.LENGTH
    engine = engine_of(ScriptedModel(text_ids("123"), n_vocab=259))
    assert text(engine, DIGITS) == "123"
    assert engine.finish_reason is FinishReason.END


def test_a_reply_is_continued_within_the_grammar() -> None:
    engine = engine_of(Noise(n_vocab=259))
    said = text(engine, replace(DIGITS, grammar="root ::= [0-9]{3}"), begun="12")
    assert len(said) == 1
    with pytest.raises(UserError, match="does not fit the grammar"):
        text(engine, DIGITS, begun="1x")


def test_a_wrong_grammar_is_told_before_anything_is_evaluated() -> None:
    model = Noise(n_vocab=259)
    with pytest.raises(UserError, match="line 1, column"):
        engine_of(model).generate([BOS], replace(GREEDY, grammar="root ::= ("))
    assert not model.calls


def test_through_the_worker(harness) -> None:
    made = harness(Noise(n_vocab=259))
    made.load()
    made.worker.generate(request("q", sampling=replace(DIGITS, grammar="root ::= [0-9]{4}"), begun="12"))
    assert made.wait_for(Finished).reason is FinishReason.END
    assert len(made.text()) == 2
    made.worker.generate(request("q", sampling=replace(GREEDY, grammar="root ::= root")))
    finished = made.wait_for(Finished, 2)
    assert finished.reason is FinishReason.FAILED
    assert "grammar" in finished.message


def test_a_sampler_goes_on_from_reply_to_reply() -> None:
    params = SamplingParams(seed=3, mirostat=2, temp=1.0)
    engine = engine_of(Noise(n_vocab=259))
    sampler = engine.sampler(params)
    replies = [text(engine, sampler, max_tokens=8) for _ in range(3)]
    assert len(set(replies)) > 1  # else the draws began anew each time
    again = engine.sampler(params)
    assert [text(engine, again, max_tokens=8) for _ in range(3)] == replies
    assert text(engine, params, max_tokens=8) == replies[0]


def test_what_left_the_context_still_counts_as_said() -> None:
    class Flat(ScriptedModel):
        def after(self, context: list[int]) -> np.ndarray:
            logits = np.zeros(self.n_vocab, np.float32)
            logits[50:60] = np.arange(20, 10, -1)
            return logits

    engine = engine_of(Flat(n_ctx=6))
    params = SamplingParams(temp=0.0, repeat_penalty=100.0)
    tokens = [t.id for t in engine.generate([BOS], params, max_tokens=10, refit=lambda said: [BOS, said[-1]])]
    assert tokens == list(range(50, 60))


@pytest.mark.parametrize(
    "fields",
    [
        {"mirostat": 1, "mirostat_ent": 2.0},
        {"mirostat": 2, "mirostat_ent": 1.0},
        {"xtc_probability": 0.5, "xtc_threshold": 0.2},
        {"dry_multiplier": 0.8, "dry_allowed_length": 1, "temp": 0.3},
        {"dynatemp_range": 0.4, "frequency_penalty": 0.2},
        {"typical_p": 0.7, "tfs_z": 0.9, "top_n_sigma": 2.0},
        {"samplers": ("temperature", "top_k", "penalties"), "top_k": 3},
        {"grammar": 'root ::= ("ab" | "cd" | [a-f]{3} ".")+'},
    ],
)
def test_drafts_change_no_token(fields: dict) -> None:
    rng = random.Random(1)
    tokenizer = ByteTokenizer()
    accepted = 0
    for seed in range(6):
        params = SamplingParams(seed=seed, **{"temp": 0.5, "repeat_penalty": 1.0, **fields})
        prompt = [BOS, *text_ids("".join(rng.choices("abcdef", k=30)))]
        results = []
        accounts: list[Account | None] = [None, Eager(3), Eager(17)]
        for account in accounts:
            model = Babbler(n_ctx=200, n_vocab=259)
            sampler = Sampler(params, 259, tokenizer, Grammars(tokenizer).matcher(params))
            reply = Reply(Context(model), tokenizer, prompt, sampler, account=account, max_tokens=80)
            results.append((list(reply), reply.reason))
            accepted += reply.stats.accepted_tokens
        assert results[0] == results[1] == results[2]
    assert accepted


SCHEMA = {
    "type": "object",
    "properties": {
        "key": {"enum": ["Ctrl+C", "Ctrl+Q", "F1"]},
        "times": {"type": "integer", "minimum": 1, "maximum": 20},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
        "ok": {"type": ["boolean", "null"]},
    },
    "required": ["key", "times", "words", "ok"],
}


def test_a_real_model_speaks_json() -> None:
    with Engine.load(guide_model(), n_ctx=256) as engine:
        prompt = engine.tokenizer.encode("How do I quit?")
        for seed in range(4):
            params = Sampling(temp=1.5, top_k=0, top_p=1.0, seed=seed, json_schema=json.dumps(SCHEMA))
            said = "".join(token.text for token in engine.generate(prompt, params, max_tokens=150))
            assert engine.finish_reason is FinishReason.END
            value = json.loads(said)
            assert list(value) == list(SCHEMA["properties"])
            assert value["key"] in SCHEMA["properties"]["key"]["enum"]
            assert 1 <= value["times"] <= 20
            assert len(value["words"]) <= 3
            assert value["ok"] in (True, False, None)
