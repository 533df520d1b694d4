"""The guide's tokenizer: SentencePiece BPE learned from the generated text, with keys and flags whole.

`Ctrl+R`, `--top_k` or `q4_0` are made whole by merges put before the learned ones, not by user-defined
symbols: so they are ordinary BPE pieces, which every program that reads the GGUF file splits in the same way.
"""

from __future__ import annotations

import io
import string
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

from tools.guide.generate import Generator

PROMPT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
INSTRUCTION = "\n\n### Instruction:\n\n"
RESPONSE = "\n\n### Response:\n\n"
UNK, BOS, EOS, N_SPECIAL = 0, 1, 2, 3 + 256
N_VOCAB = 3584
LEARN_FROM = 60_000  # turns
FLAGS = (
    "--temp",
    "--top_k",
    "--top_p",
    "--repeat_penalty",
    "--repeat_last_n",
    "--seed",
    "--help",
    "--version",
)
FORMATS = tuple(f"{q}{x}" for q in "qQ" for x in ("4_0", "4_1", "5_0", "5_1", "8_0", "6_K"))
KEYS = tuple(f"Ctrl+{c}" for c in string.ascii_uppercase) + tuple(f"F{i}" for i in range(1, 10))
WHOLE = ("\n\n###", *KEYS, *FLAGS, *FORMATS, "BF16", "F16", "F32")


def chains(whole: tuple[str, ...]) -> list[str]:
    """The pieces that build each text from left to right: "Ctrl+R" by Ct, Ctr, Ctrl, Ctrl+, Ctrl+R."""
    pieces: dict[str, None] = {}
    for text in whole:
        for stop in range(2, len(text) + 1):
            pieces[text[:stop]] = None
    return list(pieces)


def learn(seed: int = 11) -> bytes:
    """A SentencePiece model of N_VOCAB pieces, learned from the generator's text."""
    source = Generator(seed)
    lines = [PROMPT, "### Instruction:", "### Response:"] * 200
    answers = set()
    for _ in range(LEARN_FROM):
        turn = source.turn()
        lines.append(turn.user)
        answers.add(turn.answer)
    lines += sorted(answers) * 40
    forced = chains(WHOLE)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type="bpe",
        vocab_size=N_VOCAB - len(forced),
        byte_fallback=True,
        split_digits=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        max_sentencepiece_length=12,
        pad_id=-1,
        minloglevel=2,
    )
    model = proto.ModelProto()
    model.ParseFromString(out.getvalue())
    learned = [p.piece for p in model.pieces[N_SPECIAL:] if p.piece not in set(forced)]
    special = [(p.piece, p.score, p.type) for p in model.pieces[:N_SPECIAL]]
    del model.pieces[:]
    for piece, score, kind in special:
        model.pieces.add(piece=piece, score=score, type=kind)
    for rank, piece in enumerate(forced + learned):
        model.pieces.add(piece=piece, score=-float(rank), type=proto.ModelProto.SentencePiece.NORMAL)
    while len(model.pieces) % 64:  # rows the kernels like; never produced, as no text contains them
        model.pieces.add(
            piece=f"<unused{len(model.pieces)}>",
            score=-float(len(model.pieces)),
            type=proto.ModelProto.SentencePiece.UNUSED,
        )
    model.trainer_spec.vocab_size = len(model.pieces)
    return model.SerializeToString()


class Tokenizer:
    """Encodes the chat's segments as the program does: each by itself, a space before the first only."""

    def __init__(self, model: bytes) -> None:
        self.proto = proto.ModelProto()
        self.proto.ParseFromString(model)
        self.proto.normalizer_spec.add_dummy_prefix = False
        self.sp = sentencepiece.SentencePieceProcessor(model_proto=self.proto.SerializeToString())
        self.n_vocab = self.sp.get_piece_size()
        self.prompt = [BOS, *self.encode(" " + PROMPT)]
        self.instruction = [BOS, *self.encode(INSTRUCTION)]
        self.response = self.encode(RESPONSE)

    @classmethod
    def open(cls, path: Path) -> Tokenizer:
        return cls(path.read_bytes())

    @classmethod
    def of_pieces(cls, pieces: list[str], scores: list[float], kinds: list[int]) -> Tokenizer:
        """From what a GGUF file holds; its token types are numbered as SentencePiece's are."""
        model = proto.ModelProto()
        for piece, score, kind in zip(pieces, scores, kinds, strict=True):
            model.pieces.add(piece=piece, score=score, type=kind)
        model.trainer_spec.model_type = proto.TrainerSpec.BPE
        model.trainer_spec.byte_fallback = True
        model.trainer_spec.vocab_size = len(pieces)
        model.normalizer_spec.name = "identity"
        model.normalizer_spec.remove_extra_whitespaces = False
        return cls(model.SerializeToString())

    def encode(self, text: str) -> list[int]:
        return list(self.sp.encode(text))

    def decode(self, ids: list[int]) -> str:
        return str(self.sp.decode(ids))

    def question(self, user: str) -> list[int]:
        """One turn up to where the model answers."""
        return [*self.instruction, *self.encode(user + "\n"), *self.response]

    def answer(self, text: str) -> list[int]:
        return [*self.encode(text), EOS]
