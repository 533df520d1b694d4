"""Perplexity beside llama.cpp: both on the same file and text, and how far apart they are.

    python -m benchmarks.perplexity MODEL... --peer PYTHON -f TEXT [-c 512] [-t 2] [--chunks N]

PYTHON: the interpreter of an environment with llama-cpp-python. Each figure is worked out in a process of its
own. llama.cpp's is made of its logits by the definition of its tools/perplexity: the text in windows of n_ctx
tokens, BOS in place of the first of each, the second half scored. Tokens are compared as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def ours(model: str, text: str, n_ctx: int, n_threads: int, n_chunks: int) -> dict[str, Any]:
    from alpaca_tui.pipeline.perplexity import cut_windows, load_model, measure, read_text

    engine, tokenizer, bos = load_model(Path(model), n_ctx=n_ctx, n_batch=512, n_threads=n_threads)
    ids = list(tokenizer.encode(read_text(Path(text))))
    *_, estimate = measure(engine, cut_windows(ids, n_ctx, bos, n_chunks))
    engine.close()
    return {"ids": ids, "ppl": estimate.ppl, "error": estimate.error}


def peer(model: str, text: str, n_ctx: int, n_threads: int, n_chunks: int) -> dict[str, Any]:
    import llama_cpp  # type: ignore[import-not-found]
    import numpy as np

    llama = llama_cpp.Llama(
        model, n_ctx=n_ctx, n_batch=n_ctx, n_threads=n_threads, logits_all=True, verbose=False
    )
    words = Path(text).read_text(encoding="utf-8").removesuffix("\n")
    ids = llama.tokenize(words.encode(), add_bos=True, special=False)
    losses = []
    n = len(ids) // n_ctx
    for window in range(n if n_chunks < 0 else min(n, n_chunks)):
        tokens = ids[window * n_ctx : (window + 1) * n_ctx]
        llama.reset()
        llama.eval([llama.token_bos(), *tokens[1:]])
        logits = llama.scores[n_ctx // 2 : n_ctx - 1].astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        losses.append(total - logits[np.arange(len(logits)), tokens[n_ctx // 2 + 1 :]])
    nll = np.concatenate(losses)
    ppl = float(np.exp(nll.mean()))
    return {"ids": ids, "ppl": ppl, "error": float(ppl * nll.std() / np.sqrt(len(nll) - 1))}


def run(python: str, who: str, *arguments: object) -> dict[str, Any]:
    command = [python, "-m", "benchmarks.perplexity", "--worker", who, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    if "--worker" in sys.argv:
        who, model, text, *numbers = sys.argv[sys.argv.index("--worker") + 1 :]
        print(json.dumps((ours if who == "ours" else peer)(model, text, *map(int, numbers))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--peer", required=True)
    parser.add_argument("-f", "--file", type=Path, required=True)
    parser.add_argument("-c", "--n-ctx", type=int, default=512)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=-1)
    args = parser.parse_args()
    print(f"{args.file}, windows of {args.n_ctx}")
    print("model                     ours                   llama.cpp  difference  tokens")
    for model in args.models:
        numbers = (model, args.file, args.n_ctx, args.threads, args.chunks)
        mine, theirs = run(sys.executable, "ours", *numbers), run(args.peer, "peer", *numbers)
        same = "the same" if mine["ids"] == theirs["ids"] else "DIFFERENT"
        print(
            f"{model.name:20}  {mine['ppl']:10.4f} ± {mine['error']:8.4f}  {theirs['ppl']:10.4f} ± "
            f"{theirs['error']:8.4f}  {100 * (mine['ppl'] / theirs['ppl'] - 1):+8.4f} %  {same}",
            flush=True,
        )


if __name__ == "__main__":
    main()
