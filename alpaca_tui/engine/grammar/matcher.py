"""Which tokens may come next so that the text still matches a grammar."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.grammar import gbnf
from alpaca_tui.engine.grammar.automaton import DEAD, Automaton
from alpaca_tui.engine.grammar.schema import to_gbnf
from alpaca_tui.engine.grammar.trie import Trie
from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Vocabulary
from alpaca_tui.errors import UserError

MAX_MASK_BYTES = 32 << 20  # of masks that are kept
MAX_GRAMMARS = 4  # that are kept
FEW = 6  # times fewer nodes than a level has are looked at one by one
Mask = NDArray[np.bool_]


class Grammars:
    """The grammars in use with one vocabulary; the tree of its tokens is made once, for the first of them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens: TokenTree | None = None
        self._kept: OrderedDict[tuple[str, str], Grammar] = OrderedDict()

    def matcher(self, params: SamplingParams, begun: str = "") -> Matcher | None:
        """A matcher for the grammar or JSON schema of `params`, if it has one, behind the text `begun`.

        Raises UserError for a grammar that is wrong, or that does not match `begun`.
        """
        if not params.grammar and not params.json_schema:
            return None
        if self._tokens is None:
            self._tokens = TokenTree(self._vocabulary)
        key = params.grammar, params.json_schema
        if key not in self._kept:
            text = params.grammar or to_gbnf(params.json_schema)
            self._kept[key] = Grammar(text, self._tokens)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_GRAMMARS:
            self._kept.popitem(last=False)
        return Matcher(self._kept[key], begun.encode("utf-8", "replace"))


class TokenTree:
    """A vocabulary's tokens with text, and those that end a reply."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.n_vocab = vocabulary.n_vocab
        self.ends = np.fromiter(map(vocabulary.is_eog, range(self.n_vocab)), bool, self.n_vocab)
        unknown = getattr(vocabulary, "unk", -1)  # shown as a character, but standing for none
        self.pieces = [
            b"" if self.ends[i] or i == unknown else vocabulary.piece(i) for i in range(self.n_vocab)
        ]
        self.trie = Trie(self.pieces)
        self.has_text = self.trie.node_of > 0
        self._vocabulary = vocabulary

    def token_of(self, text: str) -> int | None:
        """The token of this text, as it stands in the vocabulary; control tokens, too."""
        return getattr(self._vocabulary, "token_of", lambda _: None)(text)


class Grammar:
    """A grammar with the states and masks that were worked out so far."""

    def __init__(self, text: str, tokens: TokenTree) -> None:
        """Raises UserError where `text` is no GBNF, or can match nothing."""
        rules, root = gbnf.parse(text, tokens.token_of)
        self.automaton = Automaton(rules, root)
        named = list(self.automaton.class_of_token)
        if named and max(named) >= tokens.n_vocab:
            raise UserError(
                f"The grammar names token {max(named)}, but this model has 0 to {tokens.n_vocab - 1}."
            )
        self.tokens = tokens
        # of the byte that leads to each node
        self._class = self.automaton.class_of_byte[tokens.trie.byte].astype(np.int32)
        self._masks: OrderedDict[int, Mask] = OrderedDict()
        self._named = np.array(named, np.int64)

    def mask(self, state: int) -> Mask:
        """The tokens with which the text may go on from `state`, or end: bool [n_vocab]."""
        if state in self._masks:
            self._masks.move_to_end(state)
            return self._masks[state]
        mask = self._reached(state)[self.tokens.trie.node_of] != DEAD
        mask[~self.tokens.has_text] = False
        if self.automaton.has_tokens:
            self.automaton.work_out(state)
            leads = self.automaton.table[state]
            by_token = np.full(len(mask), leads[self.automaton.other_tokens] != DEAD)
            by_token[self._named] = leads[list(self.automaton.class_of_token.values())] != DEAD
            mask |= by_token
        if self.automaton.accepts(state):
            mask |= self.tokens.ends
        self._masks[state] = mask
        if len(self._masks) * mask.nbytes > MAX_MASK_BYTES:
            self._masks.popitem(last=False)
        return mask

    def _reached(self, state: int) -> NDArray[np.int32]:
        """The state at each node of the tree, DEAD where it cannot be reached: int32 [n_nodes].

        Level by level: all nodes of a level at once, or the children of those reached where these are few.
        """
        trie = self.tokens.trie
        reached = np.zeros(trie.n_nodes, np.int32)
        reached[0] = state
        nodes = trie.inner[0]
        for level in range(1, len(trie.levels) - 1):
            states = reached[nodes]
            nodes, states = nodes[states != DEAD], states[states != DEAD]
            if not len(nodes):
                break
            self._work_out(states)
            first, end = trie.levels[level : level + 2]
            if len(nodes) * FEW < len(trie.inner[level - 1]):
                counts = trie.n_children[nodes]
                before = np.cumsum(counts) - counts
                children = np.repeat(trie.first_child[nodes] - before, counts) + np.arange(counts.sum())
                reached[children] = self._lead(np.repeat(states, counts), self._class[children])
                nodes = children[trie.n_children[children] > 0]
            else:
                reached[first:end] = self._lead(reached[trie.parent[first:end]], self._class[first:end])
                nodes = trie.inner[level]
        return reached

    def _lead(self, states: NDArray[np.int32], classes: NDArray[np.int32]) -> NDArray[np.int32]:
        return self.automaton.table.ravel().take(states * np.int32(self.automaton.n_classes) + classes)

    def _work_out(self, states: NDArray[np.int32]) -> None:
        """Makes the rows of these states."""
        automaton = self.automaton
        wanted = np.zeros(len(automaton.ready), bool)
        wanted[states] = True
        for each in np.flatnonzero(wanted & ~automaton.ready).tolist():
            automaton.work_out(each)

    def tidy(self) -> None:
        """Forgets states and masks where they have become many."""
        if self.automaton.tidy():
            self._masks.clear()


class Matcher:
    """The progress of one reply through a grammar."""

    def __init__(self, grammar: Grammar, begun: bytes = b"") -> None:
        self._grammar = grammar
        automaton = grammar.automaton
        state = self._after(automaton.start, begun)
        if state == DEAD:
            raise UserError("The reply so far does not fit the grammar; ask anew instead of continuing it.")
        self._key = automaton.key(state)

    @property
    def _state(self) -> int:
        return self._grammar.automaton.state(self._key)

    @property
    def allowed(self) -> Mask:
        """The tokens that may come next, those that end the reply among them: bool [n_vocab]; only to read.

        Raises UserError where the grammar wants what no token spells.
        """
        self._grammar.tidy()
        mask = self._grammar.mask(self._state)
        if not mask.any():
            raise UserError(
                "The grammar cannot be followed further: no token of this model spells what it wants next."
            )
        return mask

    @property
    def complete(self) -> bool:
        """Is the text complete, so that nothing can follow it?"""
        return self._grammar.automaton.is_final(self._state)

    @property
    def may_end(self) -> bool:
        """Is the text complete, whether or not it could go on?"""
        return self._grammar.automaton.accepts(self._state)

    def accept(self, token: int) -> None:
        """Takes a token that was allowed. One that ends the reply changes nothing."""
        grammar, automaton = self._grammar, self._grammar.automaton
        before = self._state
        piece = grammar.tokens.pieces[token]
        state = self._after(before, piece) if piece else DEAD
        if automaton.has_tokens:
            automaton.work_out(before)
            c = automaton.class_of_token.get(token, automaton.other_tokens)
            by_token = int(automaton.table[before, c])
            state = automaton.united(state, by_token) if state and by_token else state or by_token
        if state != DEAD:
            self._key = automaton.key(state)

    def _after(self, state: int, text: bytes) -> int:
        for byte in text:
            if state == DEAD:
                break
            state = self._grammar.automaton.step(state, byte)
        return state
