"""What the interface knows of the engine: its states, its events, and the few calls it makes.

Imports the standard library only, so that a screen can be painted before NumPy and Numba are there. The
real implementation is `engine.worker.EngineWorker`; tests put a scripted one in its place.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MAX_THREADS = 64  # that evaluate together
CACHE_TYPES = ("f16", "q8_0")  # of keys and values
ROPE_SCALINGS = ("none", "linear", "yarn")


class EngineState(enum.Enum):
    """The one state of the engine: status line, enabled keys and tests all read it."""

    EMPTY = "empty"  # no model loaded yet
    LOADING = "loading"
    COMPILING = "compiling"
    IDLE = "idle"
    PREFILL = "prefill"
    GENERATING = "generating"
    STOPPING = "stopping"
    FAILED = "failed"  # the last load failed; the message says why

    @property
    def busy(self) -> bool:
        return self not in (EngineState.EMPTY, EngineState.IDLE, EngineState.FAILED)


# The samplers in today's order, by the names that llama.cpp has for them; mirostat takes the place of those
# that cut (top_n_sigma to xtc).
SAMPLERS = (
    "penalties", "dry", "top_n_sigma", "top_k", "tfs_z", "typ_p", "top_p", "min_p", "xtc", "temperature",
)  # fmt: skip
DRY_BREAKERS = ("\n", ":", '"', "*")


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. `temp <= 0` is greedy; `seed < 0` takes a new seed for each reply.

    The comment behind a field is the flag of `main` that sets it. With the defaults, what stands below `seed`
    is off, except for `min_p`. `engine.sampling.checked` raises UserError for what is impossible.
    """

    temp: float = 0.8  # --temp
    top_k: int = 40  # --top-k; <= 0: all
    top_p: float = 0.95  # --top-p; 1: off
    repeat_penalty: float = 1.1  # --repeat-penalty; 1: off
    repeat_last_n: int = 64  # --repeat-last-n, for all three penalties; 0: off, -1: the whole context
    seed: int = -1  # --seed

    min_p: float = 0.05  # --min-p; 0: off. A token needs this share of the likeliest one's probability
    tfs_z: float = 1.0  # --tfs; 1: off
    typical_p: float = 1.0  # --typical; 1: off
    top_n_sigma: float = -1.0  # --top-n-sigma; <= 0: off
    xtc_probability: float = 0.0  # --xtc-probability; 0: off
    xtc_threshold: float = 0.1  # --xtc-threshold; above 0.5: off
    dynatemp_range: float = 0.0  # --dynatemp-range; 0: off. The temperature is temp +- this, by entropy
    dynatemp_exponent: float = 1.0  # --dynatemp-exp
    presence_penalty: float = 0.0  # --presence-penalty
    frequency_penalty: float = 0.0  # --frequency-penalty
    penalize_nl: bool = True  # --no-penalize-nl: False, the three penalties leave line ends alone
    dry_multiplier: float = 0.0  # --dry-multiplier; 0: off
    dry_base: float = 1.75  # --dry-base
    dry_allowed_length: int = 2  # --dry-allowed-length
    dry_penalty_last_n: int = -1  # --dry-penalty-last-n; 0: off, -1: the whole context
    dry_sequence_breakers: tuple[str, ...] = DRY_BREAKERS  # --dry-sequence-breaker, repeated; none: ()
    mirostat: int = 0  # --mirostat; 1 or 2, instead of all that cuts
    mirostat_lr: float = 0.1  # --mirostat-lr, eta
    mirostat_ent: float = 5.0  # --mirostat-ent, tau: the surprise aimed at, in bits
    samplers: tuple[str, ...] = SAMPLERS  # --samplers, see `chat.sampler_text`; those not named are off
    logit_bias: tuple[tuple[int, float], ...] = ()  # --logit-bias, repeated
    ignore_eos: bool = False  # --ignore-eos: tokens that end a reply are never chosen
    grammar: str = ""  # --grammar, or the text of --grammar-file: GBNF, whose rule `root` the reply matches
    json_schema: str = ""  # --json-schema: a JSON Schema, as text; {} for any JSON object
    cfg_scale: float = 1.0  # --cfg-scale; 1: off. What to lead away from is `GenerateRequest.negative`


@dataclass(frozen=True)
class Adapter:
    """A LoRA to apply at load: a ggla file of 2023, a folder or file of Hugging Face's, or a GGUF adapter.

    `scale` multiplies its change of the weights; 1 is as it was trained.
    """

    path: Path
    scale: float = 1.0


@dataclass(frozen=True)
class RopeOptions:
    """How positions become angles. What is `None` is as the model's file says.

    `freq_base` (10000 for LLaMA; larger: NTK), `freq_scale` multiplies positions (0.5: twice the context),
    `scaling` is one of ROPE_SCALINGS. The others are YaRN's: the context that the model was trained with,
    the share of extrapolation (0 to 1), what the magnitude of attention is multiplied by, and the numbers of
    turns above and below which a dimension is left as it is or interpolated.
    """

    freq_base: float | None = None
    freq_scale: float | None = None
    scaling: str | None = None
    yarn_orig_ctx: int | None = None
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_fast: float | None = None
    yarn_beta_slow: float | None = None


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded. `None` means: chosen by the engine (context of the model, usable cores).

    `loras` are applied in their order. `lora_base` is a model file of the same shape, usually in f16, whose
    weights the LoRAs change in place of the loaded file's own; the result is then stored in the format of the
    loaded file. `saved_states`: what was evaluated is kept in the cache folder, so that a conversation goes
    on later without being evaluated again.
    """

    n_ctx: int | None = None
    n_threads: int | None = None
    n_batch: int = 512
    norm_eps: float | None = None
    tokenizer: Path | None = None
    lookup: bool = True  # evaluate several tokens at once where a reply repeats what stands in the context
    cache_type: str = "f16"  # of CACHE_TYPES
    loras: tuple[Adapter, ...] = ()
    lora_base: Path | None = None
    rope: RopeOptions = RopeOptions()
    saved_states: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """What the screen says of a loaded model. Sizes are bytes."""

    path: Path
    name: str
    description: str  # "llama 7B q4_0, gguf v3"
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_threads: int
    memory: int
    guide: bool = False  # the tiny model that ships with the program


@dataclass(frozen=True)
class ModelHead:
    """What a model file says of itself in its head. `memory` is in bytes, for a context of `n_ctx`."""

    name: str
    size_label: str  # "7B"
    container: str  # "gguf v3"
    quantisation: str  # "q4_0": the format that holds most of the weights
    n_ctx_train: int
    n_ctx: int
    memory: int


@dataclass(frozen=True)
class PromptToken:
    """A token as the model is given it. `text` is what it stands for: of a control token its name, of bytes
    that are only a part of a character their values. `part` is 0 in the prefix, else the number of the turn.
    """

    id: int
    text: str
    part: int
    special: bool = False  # a control token, or bytes: `text` is no text


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt. `tokens`, where known, is used as it is; else `text` is encoded.

    Text never becomes a control token, whatever it says. `bos` puts the model's BOS before it; `eos` puts
    its EOS after it; `space_prefix` puts one space before the text, as llama.cpp does for the prompt but not
    for `-ins` prefixes and user lines.
    """

    text: str
    bos: bool = False
    eos: bool = False
    space_prefix: bool = False
    tokens: tuple[int, ...] | None = None


class WhenFull(enum.Enum):
    """What happens when the context is full."""

    SHIFT = "shift"  # the oldest part leaves, and the rest moves up: nothing is evaluated again
    EVALUATE = "evaluate"  # the oldest part leaves, and the rest is evaluated again, as in 2023
    STOP = "stop"  # the reply ends with FinishReason.CONTEXT, and `Finished.message` says so


@dataclass(frozen=True)
class PromptCache:
    """A file that keeps what was evaluated (`--prompt-cache`).

    What it has in common with the prompt is taken from it; a file that is not there is made. It is written
    after the prompt is evaluated, or with `whole` (`--prompt-cache-all`) at the end of the reply with all of
    that; with `read_only` (`--prompt-cache-ro`) never. A file of another model, or a damaged one, ends the
    request with FinishReason.FAILED and a message.
    """

    path: Path
    whole: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class GenerateRequest:
    """One reply to make.

    `prefix` (the instruction) always stays in context; `turns` are the exchanges so far, oldest first, the
    last one being the question to answer (and, to continue a stopped reply, that reply so far). When they do
    not fit, whole oldest turns are left out, and `ContextCut` says from which turn on the model remembers;
    when a reply alone fills the context, the older half of what stands behind the question leaves.

    With `keep`, turns do not count: the first `keep` tokens of prefix and turns stay (< 0: the prefix), and
    of what stands behind these the older half leaves (`--keep`). A BOS in front stays besides.

    With `sampling.cfg_scale` above 1 the reply is led away from what would follow if `negative` stood in the
    place of `prefix` (`--cfg-negative-prompt`). `begun` is the text of a reply that is continued: a grammar
    has matched it already.
    """

    prefix: tuple[Segment, ...]
    turns: tuple[tuple[Segment, ...], ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int = 256  # < 0: until the model ends its reply
    stop: tuple[str, ...] = ()
    n_batch: int | None = None  # None: as loaded
    keep: int | None = None
    when_full: WhenFull = WhenFull.SHIFT
    prompt_cache: PromptCache | None = None
    negative: tuple[Segment, ...] = ()
    begun: str = ""


@dataclass(frozen=True)
class Stats:
    """Numbers of the reply in the making or just made. Speeds are tokens per second; times are seconds."""

    prompt_tokens: int = 0  # of the whole prompt
    reused_tokens: int = 0  # of them, already in the context from last time, or read from disk
    restored_tokens: int = 0  # of these, read from disk
    shifted_tokens: int = 0  # that left the context while the reply was made, without evaluating the rest
    prompt_seconds: float = 0.0
    generated_tokens: int = 0
    generate_seconds: float = 0.0
    sample_seconds: float = 0.0  # of these, for choosing
    first_token_seconds: float = 0.0
    n_past: int = 0  # context used
    n_ctx: int = 0
    seed: int = 0
    drafted_tokens: int = 0  # evaluated in the hope that they come next
    accepted_tokens: int = 0  # of them, those that did
    stop_index: int = -1  # which of the request's `stop` texts ended the reply

    @property
    def prompt_speed(self) -> float:
        evaluated = self.prompt_tokens - self.reused_tokens
        return evaluated / self.prompt_seconds if self.prompt_seconds > 0 else 0.0

    @property
    def generate_speed(self) -> float:
        return self.generated_tokens / self.generate_seconds if self.generate_seconds > 0 else 0.0


# --- events, in the order in which they happen -------------------------------------------------------------


@dataclass(frozen=True)
class StateChanged:
    state: EngineState


@dataclass(frozen=True)
class Progress:
    """How far a load, a compilation or a prefill is. `what` names the item, e.g. a kernel; may be empty."""

    state: EngineState  # LOADING, COMPILING or PREFILL
    done: int
    total: int
    what: str = ""


@dataclass(frozen=True)
class Loaded:
    model: ModelInfo


@dataclass(frozen=True)
class ContextCut:
    """The model's memory now begins at this turn of the request (0: it sees everything).

    Of that turn, counted with the reply in the making, it does not see the tokens from `gap[0]` up to
    `gap[1]`; of whole turns it sees everything.
    """

    first_turn: int
    gap: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class TextChunk:
    """Text that was generated since the last chunk: whole characters only."""

    text: str


class FinishReason(enum.Enum):
    END = "end"  # the model ended its reply
    LENGTH = "length"  # max_tokens reached
    STOPPED = "stopped"  # stop() was called
    STOP_TEXT = "stop_text"  # one of `stop` appeared
    CONTEXT = "context"  # nothing more fits, even after leaving out old turns
    FAILED = "failed"


@dataclass(frozen=True)
class Finished:
    """The reply is over. `tokens` are its token ids (EOS left out), to be sent back as `Segment.tokens`."""

    reason: FinishReason
    stats: Stats
    tokens: tuple[int, ...] = ()
    message: str = ""  # why, when FAILED or CONTEXT


@dataclass(frozen=True)
class LoadFailed:
    message: str


Event = StateChanged | Progress | Loaded | ContextCut | TextChunk | Finished | LoadFailed


class ChatEngine(Protocol):
    """The engine as the interface sees it. No call blocks; what happens comes out of `poll`."""

    @property
    def state(self) -> EngineState: ...

    @property
    def stats(self) -> Stats:
        """Live numbers, cheap to read at any time."""
        ...

    def load(self, path: Path, options: LoadOptions) -> None: ...

    def generate(self, request: GenerateRequest) -> None: ...

    def set_sampling(self, sampling: SamplingParams) -> None:
        """Takes effect with the next token, also in the middle of a reply."""
        ...

    def set_threads(self, n_threads: int) -> None: ...

    def describe(self, path: Path, options: LoadOptions) -> ModelHead:
        """What a model file would be if it were loaded so. Takes a while and may be called from any thread.

        Raises UserError for what is no model.
        """
        ...

    def prompt_tokens(self, request: GenerateRequest) -> Sequence[PromptToken]:
        """The request as the model would be given it, were its context large enough. From any thread.

        Raises UserError where no model is loaded.
        """
        ...

    def stop(self) -> None:
        """End the load, prefill or reply in progress; what was generated stays."""
        ...

    def poll(self) -> Sequence[Event]:
        """Events since the last call, oldest first; consecutive text chunks may come joined."""
        ...

    def close(self) -> None: ...
