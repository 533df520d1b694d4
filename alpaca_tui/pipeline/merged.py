"""A base model with LoRAs merged into it, as a source: computed row by row, nothing kept.

For each LoRA in turn a matrix W becomes f16(f32(W) + delta): one addition in f32 and one rounding, as the
merge scripts of Chinese-LLaMA-Alpaca do it; so LoRAs are not added up before. Rows are in the order that
GGUF has for RoPE, and so are those of B; the result does not depend on that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf
from alpaca_tui.files.block_math import U8
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.stored import to_f32
from alpaca_tui.files.tensors import Tensor
from alpaca_tui.files.vocab import Vocab
from alpaca_tui.pipeline.lora import VOCABULARY, Lora, check_fit, open_lora
from alpaca_tui.pipeline.sources import Source, n_ff_of

F16 = npt.NDArray[np.float16]

# A layer's modules in the order of transformers' state dict of April 2023.
_MODULES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *("mlp.gate_proj", "mlp.down_proj", "mlp.up_proj", "input_layernorm", "post_attention_layernorm"),
)


def state_dict_names(n_layer: int) -> dict[str, str]:
    """GGUF name -> transformers' name of every tensor, in the order of LlamaForCausalLM's state dict."""
    names = ["model.embed_tokens.weight"]
    names += [f"model.layers.{i}.{module}.weight" for i in range(n_layer) for module in _MODULES]
    names += ["model.norm.weight", "lm_head.weight"]
    return {hf.gguf_name(name) or name: name for name in names}


class MergedSource(Source):
    """`base` with `loras` merged in their order, all in f16. Closing it closes them.

    Its vocabulary is that of the last LoRA that has one; without any it is None.
    """

    def __init__(self, base: Source, loras: Sequence[Lora]) -> None:
        """Raises UserError where they do not fit together."""
        self.base, self.loras = base, list(loras)
        shapes = {name: tensor.shape for name, tensor in base.tensors.items()}
        n_vocab = base.hparams.n_vocab
        vocab: Vocab | None = None
        for lora in self.loras:
            check_fit(lora, base.hparams, shapes, n_vocab)
            n_vocab = lora.n_vocab or n_vocab
            vocab = lora.vocab or vocab
        self.paths = [*base.paths, *(path for lora in self.loras for path in lora.checkpoint.paths)]
        self.name = base.name
        self.hparams = replace(base.hparams, n_vocab=n_vocab)
        self.n_mult = multiple_of(base)
        self.vocab = vocab
        f16 = FORMATS["f16"]
        self.tensors = {}
        for name in state_dict_names(self.hparams.n_layer):
            shape = shapes[name]
            if name in VOCABULARY:
                shape = (n_vocab, *shape[1:])
            self.tensors[name] = Tensor(name, shape, f16, ())

    def halves(self, name: str, start: int, stop: int) -> F16:
        """Rows start .. stop of a merged tensor: f16 [stop - start, cols]."""
        loras, rows = self.loras, self._hf_rows(name, start, stop)
        replaced = [i for i, lora in enumerate(loras) if name in lora.whole]
        if replaced:
            loras = loras[replaced[-1] :]
            whole = loras[0].whole[name]
            stored = whole.numpy()[rows] if hf.is_rotated(name) else whole.rows(start, stop)
            if len(whole.shape) == 1:
                stored = whole.numpy()[None]
            values = stored if whole.dtype == "f16" else _halves(to_f32(whole.dtype, stored))
        else:
            fmt, data = self.base.tensors[name].format, self.base.rows(name, start, stop)
            values = data.view("<f2") if fmt.name == "f16" else _halves(fmt.dequantize(data))
        for lora in loras:
            delta = lora.change(name, rows)
            if delta is not None:
                delta += values
                values = _halves(delta)
        return values

    def _hf_rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Where transformers has the rows start .. stop."""
        h = self.hparams
        if not hf.is_rotated(name):
            return np.arange(start, stop)
        n_head = h.n_head if name.endswith("attn_q.weight") else h.n_head_kv
        return hf.paired_rows(self.tensors[name].rows, n_head)[start:stop]

    def rows(self, name: str, start: int, stop: int) -> U8:
        values = np.ascontiguousarray(self.halves(name, start, stop), "<f2")
        return values.view(np.uint8).reshape(stop - start, -1)

    def release(self, name: str) -> None:
        self.base.release(name)
        for lora in self.loras:
            if name in lora.whole:
                lora.whole[name].release()
            if name in lora.pairs:
                lora.pairs[name].a.release()
                lora.pairs[name].b.release()

    def close(self) -> None:
        for lora in self.loras:
            lora.close()
        self.base.close()

    @property
    def tokenizer_folder(self) -> Path | None:
        """The folder of the last LoRA that has a tokenizer; None where none has."""
        return next((lora.folder for lora in reversed(self.loras) if lora.vocab), None)


def multiple_of(base: Source) -> int | None:
    """params.json's multiple_of: a number that leads to the base's n_ff, None where none does.

    A Hugging Face folder does not say it, and several may fit; Meta's are powers of two, so the largest of
    those is taken.
    """
    h, known = base.hparams, base.n_mult
    if known is None or known & (known - 1) == 0:
        return known
    powers = (1 << i for i in range(13, -1, -1))
    return next((n for n in powers if n_ff_of(h.n_embd, n) == h.n_ff), known)


def open_merged(base: Source, folders: Sequence[Path]) -> MergedSource:
    """`base` with the LoRAs in `folders`. Raises UserError, and closes `base`, where that is impossible."""
    if not folders:
        base.close()
        raise UserError("No LoRA was named; give at least one with --lora_model.")
    loras: list[Lora] = []
    try:
        for folder in folders:
            loras.append(open_lora(folder))
        return MergedSource(base, loras)
    except BaseException:
        for lora in loras:
            lora.close()
        base.close()
        raise


def _halves(values: npt.NDArray[np.float32]) -> F16:
    with np.errstate(over="ignore"):  # beyond f16's range is inf, which is counted where it is written
        return values.astype(np.float16)
