"""The vocabulary as a tree of bytes: tokens that begin alike are looked at together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 256  # longer tokens are never allowed by a grammar
Ints = NDArray[np.int64]


class Trie:
    """Node 0 is the root; nodes are numbered level by level, children of one node side by side.

    `levels`: the first node of each level, and the number of all. `first_child`, `n_children`, `parent`: of
    each node. `byte`: the one that leads to a node. `inner`: of each level, the nodes with children.
    `node_of`: the node of each token, 0 for those without text.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        order = sorted((i for i, p in enumerate(pieces) if 0 < len(p) <= MAX_BYTES), key=pieces.__getitem__)
        length = np.array([len(pieces[i]) for i in order], np.int64)
        width = int(length.max(initial=1))
        text = np.frombuffer(b"".join(pieces[i].ljust(width, b"\0") for i in order), np.uint8)
        text = text.reshape(-1, width)
        shared = np.zeros(len(order), np.int64)  # bytes that a token has in common with the one before it
        if len(order) > 1:
            differs = text[1:] != text[:-1]
            shared[1:] = np.where(differs.any(axis=1), differs.argmax(axis=1), width)
            shared[1:] = np.minimum(shared[1:], np.minimum(length[1:], length[:-1]))
        node = np.zeros(len(order), np.int64)  # of the first `depth` bytes
        ends = np.zeros(len(order), np.int64)
        n, self.levels = 1, [0, 1]
        parents, leading = [np.zeros(1, np.int64)], [np.zeros(1, np.uint8)]
        for depth in range(width):
            deep = np.flatnonzero(length > depth)
            begins = shared[deep] <= depth
            begins[:1] = True
            numbers = n - 1 + np.cumsum(begins)
            parents.append(node[deep[begins]])
            leading.append(text[deep[begins], depth])
            node[deep] = numbers
            ends[deep] = np.where(length[deep] == depth + 1, numbers, ends[deep])
            n += int(np.count_nonzero(begins))
            self.levels.append(n)
        self.n_nodes = n
        self.byte = np.concatenate(leading)
        self.parent = np.concatenate(parents)
        self.n_children = np.bincount(self.parent[1:], minlength=n)
        nodes = np.arange(n)
        self.inner = [
            nodes[a:b][self.n_children[a:b] > 0] for a, b in zip(self.levels, self.levels[1:], strict=False)
        ]
        self.first_child = np.cumsum(self.n_children) - self.n_children + 1
        self.node_of = np.zeros(len(pieces), np.int64)
        self.node_of[order] = ends
