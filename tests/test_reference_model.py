"""The twin that the kernels are held against is itself held against other programs' numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.files.model_file import open_model
from tests.gguf_writer import random_weights, small_hparams
from tests.reference_model import ReferenceModel, logits, rope, rope_angles, weights_of

PROMPT_T = [1, 9038, 2501, 263, 931]  # " Once upon a time"
GREEDY_T = [
    31326, 31888, 25956, 22796, 672, 10672, 7656, 7016, 24634, 29559, 25376, 16537,
    15645, 27595, 53, 5178, 4324, 22852, 17955, 14110, 3438, 16387, 9474, 24438,
]  # fmt: skip


def test_model_t_says_what_llama_cpp_says(model_t: Path) -> None:
    with open_model(model_t) as file:
        model = ReferenceModel.from_file(file, n_ctx=32)
    last = model.eval(PROMPT_T, 0, 1)[0]
    assert last.argmax() == 31326
    # The known values come from arithmetic in f16 in places.
    assert last.max() == pytest.approx(12.9951, abs=6e-3)
    assert last[:5] == pytest.approx([-3.1356, -1.1333, 5.3414, -0.5822, 3.0803], abs=6e-3)
    said = []
    for pos in range(len(PROMPT_T), len(PROMPT_T) + 24):
        said.append(int(last.argmax()))
        last = model.eval(said[-1:], pos, 1)[0]
    assert said == GREEDY_T


@pytest.mark.parametrize("fmt", ["f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_reference_logits_of_the_kit(kits: Path, fmt: str) -> None:
    with (
        np.load(kits / "logits/reference.npz") as reference,
        open_model(kits / f"logits/model-{fmt}.gguf") as file,
    ):
        made = logits(weights_of(file), file.hparams, reference["tokens"].tolist())
        np.testing.assert_allclose(made, reference[fmt], atol=2e-5)


@pytest.mark.parametrize("n_head_kv", [4, 2, 1])
@pytest.mark.parametrize("chunks", [[7], [3, 4], [1] * 7])
def test_the_cache_changes_nothing(n_head_kv: int, chunks: list[int]) -> None:
    hp = small_hparams(n_head_kv=n_head_kv)
    weights = random_weights(hp)
    tokens = [1, 50, 60, 70, 319, 5, 60]
    model = ReferenceModel(weights, hp, n_ctx=16, dtype=np.float64)
    parts, pos = [], 0
    for n in chunks:
        parts.append(model.eval(tokens[pos : pos + n], pos, n))
        pos += n
    np.testing.assert_allclose(np.concatenate(parts), logits(weights, hp, tokens), atol=1e-5)


def test_a_stop_leaves_what_stands_before() -> None:
    hp = small_hparams()
    weights = random_weights(hp)
    model = ReferenceModel(weights, hp, n_ctx=16, dtype=np.float64)
    model.eval([1, 2, 3], 0, 0)
    model.request_stop()
    with pytest.raises(Stopped):
        model.eval([4, 5], 3, 1)
    model.clear_stop()
    again = model.eval([4, 5], 3, 2)
    np.testing.assert_allclose(again, logits(weights, hp, [1, 2, 3, 4, 5])[3:], atol=1e-5)


def test_a_tied_output_is_the_embedding() -> None:
    hp = small_hparams()
    weights = random_weights(hp)
    tied = {name: w for name, w in weights.items() if name != "output.weight"}
    untied = {**weights, "output.weight": weights["token_embd.weight"]}
    np.testing.assert_array_equal(logits(tied, hp, [1, 5]), logits(untied, hp, [1, 5]))


def test_rope_turns_pairs_by_their_angle() -> None:
    hp = dataclasses.replace(small_hparams(), n_rot=4, rope_freq_base=100.0, rope_freq_scale=0.5)
    angles = rope_angles(hp, np.array([0, 3]), np.array([1.0, 4.0]))
    np.testing.assert_allclose(angles, [[0, 0], [3 * 0.5, 3 * 0.5 * 0.1 / 4]])
    x = np.array([[[1.0, 0, 0, 1, 9]], [[1.0, 0, 0, 1, 9]]])  # one head of 5; the fifth is not turned
    out = rope(x, angles)
    np.testing.assert_array_equal(out[0], x[0])
    a, b = angles[1]
    np.testing.assert_allclose(out[1, 0], [np.cos(a), np.sin(a), -np.sin(b), np.cos(b), 9])


def test_rope_makes_attention_depend_on_distance_alone() -> None:
    hp = small_hparams()
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 1, 1, hp.head_dim))

    def score(i: int, j: int) -> float:
        turned = [rope(x, rope_angles(hp, np.array([pos]))) for x, pos in ((q, i), (k, j))]
        return float((turned[0] * turned[1]).sum())

    assert score(9, 4) == pytest.approx(score(25, 20))
    assert score(9, 4) != pytest.approx(score(9, 5))
