"""A grammar as an automaton that is made while it is used: states, and where each byte leads from them.

A state is the set of all places in the grammar at which the text so far may have arrived, each with what has
to follow once its rule has ended. Places that are alike share what follows, and what follows is shared
between states, so that neither ambiguous nor deeply nested grammars grow beyond bounds (after Tomita's
graph-structured stacks). States are remembered: where a text returns to one, nothing is worked out again.

Everything has a number. A *place* is a symbol of an alternative; a *frame* is a place at which to go on, with
the tail below it; a *tail* is a set of frames, any of which may be what follows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.grammar.rules import Rules, Tokens
from alpaca_tui.errors import UserError

DEAD, END = 0, -1  # the state from which nothing leads on; the place behind the whole text
MAX_STATES = 20_000  # then they are forgotten
MAX_WIDTH = 20_000  # places in a state
MAX_WORK = 500_000  # frames that are looked at for the steps from one state
AMBIGUOUS = "The grammar is too ambiguous: too many of its rules fit the text at once."
EMPTY = frozenset[int]()

Point = tuple[int, int]  # a place before a terminal, and a tail


class Automaton:
    """`start` is the state before any text; `step` leads on from one, `accepts` says where a text may end."""

    def __init__(self, rules: Rules, root: int) -> None:
        """Raises UserError where a rule begins with itself, which could go on for ever without any text."""
        self._flatten(rules)
        self._find_nullable(rules)
        self._order(rules)
        self._divide_bytes(rules)
        self._frames: dict[tuple[int, int], int] = {}
        self._frame: list[tuple[int, int]] = []  # (place, tail)
        self._tails: dict[frozenset[int], int] = {}
        self._tail: list[frozenset[int]] = []
        self._expanded: dict[tuple[int, int], tuple[Point, ...]] = {}
        self._work = 0
        self._forget()
        bottom = self._frame_of(END, self._tail_of(EMPTY))
        self._start = self._closed({}, {root: {bottom}}, bottom)

    # --- the grammar ---------------------------------------------------------------------------------------

    def _flatten(self, rules: Rules) -> None:
        """Numbers the places: those of an alternative follow one another."""
        self._symbol: list[int] = []
        self._is_last: list[bool] = []
        self._begins: list[list[int]] = []  # of each rule: the first places of its alternatives
        for alternatives in rules.alternatives:
            begins = []
            for alternative in alternatives or ():
                if alternative:
                    begins.append(len(self._symbol))
                    self._symbol += alternative
                    self._is_last += [False] * (len(alternative) - 1) + [True]
            self._begins.append(begins)

    def _find_nullable(self, rules: Rules) -> None:
        """Which rules may match the empty text."""
        users: list[list[tuple[int, list[int]]]] = [[] for _ in rules.names]
        empty = []
        for rule, alternatives in enumerate(rules.alternatives):
            for alternative in alternatives or ():
                if all(symbol >= 0 for symbol in alternative):
                    needs = set(alternative)
                    left = [len(needs)]
                    for symbol in needs:
                        users[symbol].append((rule, left))
                    if not needs:
                        empty.append(rule)
        self._nullable = [False] * len(rules.names)
        while empty:
            rule = empty.pop()
            if not self._nullable[rule]:
                self._nullable[rule] = True
                for user, left in users[rule]:
                    left[0] -= 1
                    if left[0] == 0:
                        empty.append(user)

    def _order(self, rules: Rules) -> None:
        """What each rule may begin with, and the rules in an order in which each stands before these."""
        self._terminals: list[list[int]] = []  # of each rule: places of terminals with which it may begin
        self._calls: list[list[tuple[int, int]]] = []  # rules, and the place behind each; END: it is the last
        for rule, begins in enumerate(self._begins):
            terminals, calls = [], []
            for place in begins:
                while True:
                    symbol = self._symbol[place]
                    if symbol < 0:
                        terminals.append(place)
                        break
                    last = self._is_last[place]
                    if not (last and symbol == rule):  # behind all else that is empty: nothing new
                        calls.append((symbol, END if last else place + 1))
                    if last or not self._nullable[symbol]:
                        break
                    place += 1
            self._terminals.append(terminals)
            self._calls.append(calls)
        n_before = [0] * len(self._begins)
        for calls in self._calls:
            for called, _ in calls:
                n_before[called] += 1
        ready = [rule for rule, n in enumerate(n_before) if n == 0]
        self._rank = [0] * len(self._begins)
        for rank, rule in enumerate(ready):  # `ready` grows meanwhile
            self._rank[rule] = rank
            for called, _ in self._calls[rule]:
                n_before[called] -= 1
                if n_before[called] == 0:
                    ready.append(called)
        if len(ready) < len(n_before):
            rule = self._in_a_circle(n_before)
            raise UserError(
                f"The grammar's rule {rules.names[rule]!r} begins with itself (left recursion); write the "
                'repetition as in `list ::= item ("," item)*`.'
            )

    def _in_a_circle(self, n_before: list[int]) -> int:
        """A rule that leads back to itself, of those with others left before them."""
        rule = next(rule for rule, n in enumerate(n_before) if n)
        callers = {called: r for r, calls in enumerate(self._calls) if n_before[r] for called, _ in calls}
        seen: set[int] = set()
        while rule not in seen:
            seen.add(rule)
            rule = callers[rule]
        return rule

    def _divide_bytes(self, rules: Rules) -> None:
        """Classes of bytes that no terminal tells apart, then one for each token that has a terminal."""
        n_bytes = 256
        of_bytes = [t if isinstance(t, int) else 0 for t in rules.terminals] or [0]
        packed = b"".join(bits.to_bytes(32, "little") for bits in of_bytes)
        matches = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(-1, 32), axis=1, bitorder="little")
        _, self.class_of_byte = np.unique(matches, axis=1, return_inverse=True)
        self.class_of_byte = self.class_of_byte.reshape(n_bytes).astype(np.int64)
        n = int(self.class_of_byte.max()) + 1
        tokens = sorted({i for t in rules.terminals if isinstance(t, Tokens) for i in t.ids})
        self.class_of_token = {token: n + i for i, token in enumerate(tokens)}
        self.other_tokens = n + len(tokens)  # the class of all the others
        self.n_classes = n + len(tokens) + 1
        self.has_tokens = bool(tokens)
        first = [int(np.argmax(self.class_of_byte == c)) for c in range(n)]
        self._classes: list[list[int]] = []  # of each terminal
        for terminal, row in zip(rules.terminals, matches, strict=False):
            if isinstance(terminal, Tokens):
                named = {self.class_of_token[i] for i in terminal.ids}
                others = set(range(n, self.n_classes)) - named
                self._classes.append(sorted(others if terminal.negated else named))
            else:
                self._classes.append([c for c in range(n) if row[first[c]]])

    # --- frames, tails and states --------------------------------------------------------------------------

    def _frame_of(self, place: int, tail: int) -> int:
        key = place, tail
        if key not in self._frames:
            self._frames[key] = len(self._frame)
            self._frame.append(key)
        return self._frames[key]

    def _tail_of(self, frames: frozenset[int]) -> int:
        if frames not in self._tails:
            self._tails[frames] = len(self._tail)
            self._tail.append(frames)
        return self._tails[frames]

    def _forget(self) -> None:
        self._state_of: dict[tuple[frozenset[Point], bool], int] = {}
        self._points: list[tuple[frozenset[Point], bool]] = []
        self._steps: dict[tuple[Point, ...], int] = {}
        self.table: NDArray[np.int32] = np.zeros((64, self.n_classes), np.int32)
        self.ready = np.zeros(64, bool)  # states whose row of `table` is worked out
        self.state((frozenset(), False))
        self.ready[DEAD] = True

    @property
    def start(self) -> int:
        return self.state(self._start)

    def state(self, key: tuple[frozenset[Point], bool]) -> int:
        """The number of the state with these points, at which the text may or may not end."""
        if key not in self._state_of:
            number = self._state_of[key] = len(self._points)
            self._points.append(key)
            if number == len(self.ready):
                self.table = np.concatenate([self.table, np.zeros_like(self.table)])
                self.ready = np.concatenate([self.ready, np.zeros_like(self.ready)])
        return self._state_of[key]

    def key(self, state: int) -> tuple[frozenset[Point], bool]:
        """What `state` gives the number of; it outlasts `tidy`."""
        return self._points[state]

    def accepts(self, state: int) -> bool:
        """May the text end here?"""
        return self._points[state][1]

    def is_final(self, state: int) -> bool:
        """Can nothing follow?"""
        return not self._points[state][0]

    def tidy(self) -> bool:
        """Forgets all states where they have become many: numbers of states mean nothing any more."""
        many = len(self._points) > MAX_STATES
        if many:
            self._expanded.clear()
            self._forget()
        return many

    # --- steps ---------------------------------------------------------------------------------------------

    def step(self, state: int, byte: int) -> int:
        """The state behind this byte, perhaps DEAD."""
        self.work_out(state)
        return int(self.table[state, self.class_of_byte[byte]])

    def united(self, a: int, b: int) -> int:
        """The state of being in either."""
        (some, ends), (more, also_ends) = self._points[a], self._points[b]
        tails: dict[int, frozenset[int]] = {}
        for place, tail in some | more:
            tails[place] = tails.get(place, EMPTY) | self._tail[tail]
        points = frozenset((place, self._tail_of(frames)) for place, frames in tails.items())
        return self.state((points, ends or also_ends))

    def work_out(self, state: int) -> None:
        """Fills the state's row of `table`: where each class of bytes, and each token, leads."""
        if self.ready[state]:
            return
        self._work = 0
        points = sorted(self._points[state][0])
        if len(points) > MAX_WIDTH:
            raise UserError(AMBIGUOUS)
        matching: dict[int, int] = {}  # class -> which of the points match it, as bits
        for i, (place, _) in enumerate(points):
            for c in self._classes[~self._symbol[place]]:
                matching[c] = matching.get(c, 0) | 1 << i
        leads: dict[int, int] = {}
        for c, bits in matching.items():
            if bits not in leads:
                leads[bits] = self._behind(tuple(p for i, p in enumerate(points) if bits >> i & 1))
            self.table[state, c] = leads[bits]
        self.ready[state] = True

    def _count(self, n_frames: int) -> None:
        self._work += 1 + n_frames
        if self._work > MAX_WORK:
            raise UserError(AMBIGUOUS)

    def _behind(self, points: tuple[Point, ...]) -> int:
        """The state behind the terminals at these points."""
        place, tail = points[0]
        if len(points) == 1 and not self._is_last[place] and self._symbol[place + 1] < 0:
            return self.state((frozenset([(place + 1, tail)]), False))  # within a literal or a character
        if points not in self._steps:
            reached: dict[int, set[int]] = {}  # places, and the frames that may follow there
            work: list[tuple[int, Iterable[int]]] = []
            for place, tail in points:
                self._leave(place, self._tail[tail], work)
            while work:
                place, frames = work.pop()
                known = reached.setdefault(place, set())
                new = [frame for frame in frames if frame not in known]
                if not new and known:
                    continue
                known.update(new)
                self._count(len(new))
                if place != END and self._symbol[place] >= 0 and self._nullable[self._symbol[place]]:
                    self._leave(place, new, work)
            called: dict[int, set[int]] = {}
            direct: dict[int, set[int]] = {}
            for place, known in reached.items():
                symbol = self._symbol[place] if place != END else -1
                if place == END or symbol < 0:
                    direct[place] = known
                elif self._is_last[place]:
                    called.setdefault(symbol, set()).update(known)
                else:
                    frame = self._frame_of(place + 1, self._tail_of(frozenset(known)))
                    called.setdefault(symbol, set()).add(frame)
            self._steps[points] = self.state(self._closed(direct, called))
        return self._steps[points]

    def _leave(self, place: int, frames: Iterable[int], work: list[tuple[int, Iterable[int]]]) -> None:
        """Goes on behind a place: with the next one, or with what follows its rule."""
        if not self._is_last[place]:
            work.append((place + 1, frames))
        else:
            work += [(at, self._tail[tail]) for at, tail in map(self._frame.__getitem__, frames)]

    def _closed(
        self, direct: dict[int, set[int]], called: dict[int, set[int]], bottom: int | None = None
    ) -> tuple[frozenset[Point], bool]:
        """The key of the state with these places of terminals, and all that the called rules begin with."""
        ends = END in direct or any(bottom in called[r] and self._nullable[r] for r in called)
        tails = {place: set(frames) for place, frames in direct.items() if place != END}
        for rule, frames in called.items():
            for place, tail in self._expand(rule, self._tail_of(frozenset(frames))):
                tails.setdefault(place, set()).update(self._tail[tail])
        return frozenset((place, self._tail_of(frozenset(f))) for place, f in tails.items()), ends

    def _expand(self, rule: int, tail: int) -> tuple[Point, ...]:
        """The places of terminals with which a rule may begin, `tail` being what follows it."""
        key = rule, tail
        if key not in self._expanded:
            pending: dict[int, set[int]] = {rule: set(self._tail[tail])}
            queue = [(self._rank[rule], rule)]
            points: list[Point] = []
            while queue:  # by rank, so that all that may follow a rule is known when its turn comes
                _, this = heapq.heappop(queue)
                self._count(len(pending[this]))
                follows = self._tail_of(frozenset(pending[this]))
                points += [(place, follows) for place in self._terminals[this]]
                for called, behind in self._calls[this]:
                    if called not in pending:
                        pending[called] = set()
                        heapq.heappush(queue, (self._rank[called], called))
                    if behind == END:
                        pending[called] |= self._tail[follows]
                    else:
                        pending[called].add(self._frame_of(behind, follows))
            self._expanded[key] = tuple(points)
        return self._expanded[key]
