"""`alpaca-tui verify`: are these the files that they should be, and if not, what is wrong with them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.commands.flags import both_spellings
from alpaca_tui.commands.progress import Bar, size

if TYPE_CHECKING:
    from alpaca_tui.pipeline.diagnose import Finding
    from alpaca_tui.pipeline.digests import TensorDigest
    from alpaca_tui.pipeline.sources import Source
    from alpaca_tui.pipeline.verify import Checked

OK, WRONG = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="FILE|DIR", nargs="+", type=Path, help="what to check")
    parser.add_argument("--expect", metavar="HASH", help="the SHA256 that the file should have")
    parser.add_argument("--tensors", action="store_true", help="a digest of each tensor's values instead")
    parser.add_argument(
        "--against",
        metavar="FILE|DIR",
        type=Path,
        help="compare the weights with those of another model, tensor by tensor, whatever the layouts",
    )
    both_spellings(
        parser,
        ("--lora-model",),
        dest="loras",
        metavar="DIR[,DIR]",
        help="with --against BASE: compare with what these LoRAs make of it",
    )


def run(args: argparse.Namespace) -> int:
    if args.tensors or args.against is not None:
        return _weights(args)
    return _hashes(args)


# --- hashes ------------------------------------------------------------------------------------------------


def _hashes(args: argparse.Namespace) -> int:
    from alpaca_tui.pipeline.verify import verify

    checked: list[Checked] = []
    with Bar() as bar:
        for each in verify(args.paths, args.expect, bar):
            bar.clear()
            _show(each)
            checked.append(each)
        findings = list(_models(checked, bar))
    for finding in findings:
        _show_finding(finding, "")
    wrong = any(each.good is False for each in checked) or any(finding.bad for finding in findings)
    n_good = sum(each.good is True for each in checked)
    n_bad = sum(each.good is False for each in checked)
    unknown = len(checked) - n_good - n_bad
    print(f"{n_good} as published or listed, {n_bad} wrong, {unknown} not in any list")
    return WRONG if wrong else OK


def _show(checked: Checked) -> None:
    print(f"{checked.path} ({size(checked.size)})")
    print(f"  SHA256 {checked.sha256}")
    if checked.published:
        print(f"  ok: {checked.published.text}, as published")
    if checked.listed:
        print(f"  ok: as {checked.listed} says")
    if checked.what and not checked.published:
        print(f"  {checked.what}")
    for finding in checked.findings:
        _show_finding(finding, "  ")


def _show_finding(finding: Finding, indent: str) -> None:
    print(f"{indent}{'WRONG' if finding.bad else 'note'}: {finding.text}", flush=True)


def _models(checked: list[Checked], bar: Bar) -> Iterable[Finding]:
    """What is to be said of the models that the files are parts of."""
    from alpaca_tui.pipeline.diagnose import findings_in, model_file_findings
    from alpaca_tui.system import usable_cores

    published = {each.path: each.published for each in checked if each.published}
    broken = {each.path.parent for each in checked if not each.whole}
    parts = (".pth", ".bin", ".safetensors")
    for folder in dict.fromkeys(each.path.parent for each in checked if each.path.suffix in parts):
        if folder not in broken:
            yield from findings_in(folder, published, usable_cores(), bar)
    for each in checked:
        if each.what.startswith("a model: "):
            yield from model_file_findings(each.path, usable_cores(), bar)


# --- weights -----------------------------------------------------------------------------------------------


def _weights(args: argparse.Namespace) -> int:
    from alpaca_tui.errors import UserError
    from alpaca_tui.pipeline.digests import compare, model_digest
    from alpaca_tui.pipeline.find import open_source
    from alpaca_tui.pipeline.merge import open_for_merge

    if len(args.paths) != 1 or args.expect is not None:
        raise UserError(
            "--tensors and --against look at the weights of one model; name one, without --expect."
        )
    loras = [Path(name.strip()) for name in (args.loras or "").split(",") if name.strip()]
    if loras and args.against is None:
        raise UserError("--lora_model goes with --against BASE, the model that the LoRAs are merged into.")
    first = _digests(open_source(args.paths[0], need_vocab=False))
    if args.tensors:
        for name, digest in first.items():
            print(f"{digest.sha256}  {name}  {'x'.join(map(str, digest.shape))}  {digest.format}")
        print(f"{model_digest(first)}  all weights")
    if args.against is None:
        return OK
    other = open_for_merge(args.against, loras) if loras else open_source(args.against, need_vocab=False)
    found = compare(first, _digests(other))
    print(f"{args.paths[0]} and {args.against}{' with its LoRAs' if loras else ''}: {found.text}")
    return OK if found.equal else WRONG


def _digests(source: Source) -> dict[str, TensorDigest]:
    from alpaca_tui.pipeline.digests import tensor_digests
    from alpaca_tui.system import usable_cores

    with source, Bar() as bar:
        return tensor_digests(source, usable_cores(), bar)
