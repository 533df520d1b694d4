"""KL divergence: the base file's layout, the figures against their formulas, and damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.pipeline import divergence as dv
from alpaca_tui.pipeline.perplexity import Windows

N_VOCAB = 37


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 4, (14, N_VOCAB)).astype(np.float32)


@pytest.fixture
def windows() -> Windows:
    return Windows(np.random.default_rng(2).integers(0, N_VOCAB, (2, 16)).astype(np.int32), bos=1)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def write(path: Path, windows: Windows, logits: np.ndarray) -> Path:
    with dv.base_writer(path, windows, N_VOCAB) as add:
        add(logits[:5], windows.targets(0)[:5])
        add(logits[5:], windows.targets(1))
    return path


def test_layout(tmp_path: Path, logits: np.ndarray, windows: Windows) -> None:
    data = write(tmp_path / "base.bin", windows, logits).read_bytes()
    assert len(data) == dv.base_size(windows, N_VOCAB) == 20 + 4 * 32 + 14 * 2 * (38 + 4)
    assert data[:8] == b"_logits_" and struct.unpack_from("<3i", data, 8) == (16, N_VOCAB, 2)
    assert np.array_equal(np.frombuffer(data, "<i4", 32, 20).reshape(2, 16), windows.tokens)
    record = data[148 + 84 * 5 : 148 + 84 * 6]
    scale, low = struct.unpack_from("<2f", record)
    row = logits[5]
    top, bottom = row.max(), max(row.min(), row.max() - 16)
    assert scale == pytest.approx((top - bottom) / 65535, rel=1e-6)
    assert low == pytest.approx(log_softmax(logits)[5].min(), abs=1e-5) or top - row.min() > 16
    q = np.frombuffer(record, "<u2", N_VOCAB, 8)
    assert q.max() == 65535 and q[row.argmin()] == 0
    assert record[-2:] == b"\0\0"


def test_log_probabilities_come_back(tmp_path: Path, logits: np.ndarray, windows: Windows) -> None:
    file = dv.BaseFile(write(tmp_path / "base.bin", windows, logits))
    assert (file.n_ctx, file.n_vocab, file.n_chunk) == (16, N_VOCAB, 2)
    found = np.concatenate([file.next(3), file.next(11)])
    exact = log_softmax(logits)
    near = logits > logits.max(axis=1, keepdims=True) - 15.9
    assert np.abs(found - exact)[near].max() < 2e-4
    assert not near.all()
    assert (found[~near] < -14).all()


def test_constant_logits_have_no_scale() -> None:
    found = dv.unpack(dv.pack(np.full((2, 8), 3, np.float32)), 8)
    assert np.allclose(found, -np.log(8))


def test_a_model_is_no_distance_from_itself(tmp_path: Path, logits: np.ndarray, windows: Windows) -> None:
    file = dv.BaseFile(write(tmp_path / "base.bin", windows, logits))
    found = dv.Divergence()
    found.add(logits, file.next(14), np.concatenate([windows.targets(0), windows.targets(1)]))
    s = found.statistics()
    assert abs(s["kld_mean"][0]) < 1e-4 and s["kld_100"] < 1e-3
    assert s["same_top"] == (1.0, 0.0)
    assert s["ppl_ratio"][0] == pytest.approx(1, abs=1e-4)
    assert s["correlation"] == pytest.approx(1, abs=1e-3)
    assert s["p_diff_rms"][0] < 1e-4


def test_figures_against_their_formulas(logits: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    base = logits + rng.normal(0, 1, logits.shape).astype(np.float32)
    base[0, 3] = -60  # so improbable that it does not count
    targets = rng.integers(0, N_VOCAB, 14).astype(np.int32)
    found = dv.Divergence()
    log_q, log_p = log_softmax(logits), log_softmax(base)
    for where in (slice(0, 4), slice(4, 14)):
        found.add(logits[where], log_p[where].astype(np.float32), targets[where])
    s = found.statistics()
    kld = np.where(log_p > -16, np.exp(log_p) * (log_p - log_q), 0).sum(axis=1)
    rows = np.arange(14)
    nll, nll_base = -log_q[rows, targets], -log_p[rows, targets]
    diff = np.exp(-nll) - np.exp(-nll_base)
    assert s["kld_mean"] == pytest.approx((kld.mean(), kld.std() / 13**0.5), rel=1e-4)
    assert (s["kld_100"], s["kld_50"], s["kld_0"]) == pytest.approx(
        (kld.max(), np.median(kld), kld.min()), rel=1e-4, abs=2e-6
    )
    assert s["p_diff_mean"] == pytest.approx((diff.mean(), diff.std() / 13**0.5), rel=1e-4)
    assert s["p_diff_rms"][0] == pytest.approx(np.sqrt((diff**2).mean()), rel=1e-4)
    assert s["ppl"][0] == pytest.approx(np.exp(nll.mean()), rel=1e-4)
    assert s["ppl_base"][0] == pytest.approx(np.exp(nll_base.mean()), rel=1e-4)
    assert s["correlation"] == pytest.approx(np.corrcoef(nll, nll_base)[0, 1], rel=1e-3)
    spread = np.std(nll - nll_base) / 13**0.5
    assert s["log_ppl_ratio"] == pytest.approx(((nll - nll_base).mean(), spread), rel=1e-3)
    same = (logits.argmax(1) == base.argmax(1)).mean()
    assert s["same_top"][0] == pytest.approx(same)


def test_damaged_files(tmp_path: Path, logits: np.ndarray, windows: Windows) -> None:
    whole = write(tmp_path / "base.bin", windows, logits).read_bytes()
    head = struct.Struct("<8s3i")
    cases = {
        "holds no log-probabilities": [b"", b"_logits", b"GGUF" + whole[4:]],
        "incomplete": [whole[:-1], whole[:100], whole[:20]],
        "impossible numbers": [head.pack(b"_logits_", *n) + whole[20:]
                               for n in ((0, 37, 2), (16, -1, 2), (16, 37, 0), (2**31 - 1, 37, 2))],
        "outside of its own vocabulary": [whole[:20] + struct.pack("<i", 37) + whole[24:]],
    }  # fmt: skip
    for message, contents in cases.items():
        for content in contents:
            path = tmp_path / "x.bin"
            path.write_bytes(content)
            with pytest.raises(UserError, match=message):
                dv.BaseFile(path)
    with pytest.raises(UserError, match="cannot be read"):
        dv.BaseFile(tmp_path / "absent")


def test_an_interrupted_file_is_not_there(tmp_path: Path, windows: Windows) -> None:
    with pytest.raises(KeyboardInterrupt), dv.base_writer(tmp_path / "base.bin", windows, N_VOCAB):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
