"""How much of the bare model's speed is left when a folder of pictures is embedded.

    python benchmarks/embed_throughput.py --images FOLDER [--limit 400]

One run of `embed_source` with a randomly initialised checkpoint file. Every few batches it is held, decoding threads included, and the bare
model is timed on a ready tensor; that time does not count for the run. So both figures come from the same minutes of the same machine.
The target is 0.90 or more of the bare model, with flat memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from safetensors.torch import save_file

import cbm  # noqa: F401  (installs the torchvision hook)
from cbm.backbones.architectures import find_architecture
from cbm.backbones.backbone import Backbone
from cbm.backbones.towers import build_model
from cbm.core.progress import Progress
from cbm.embeddings.encode import embed_source
from cbm.images.sources import ImageRecord, ImageSource, Rejected, open_source
from cbm.workspace.workspace import Workspace

RESULTS = Path(__file__).parent / "results"


class Limited:
    """At most `limit` pictures of a source, evenly spread over it."""

    def __init__(self, source: ImageSource, limit: int) -> None:
        self.source, self.step = source, max(1, len(source) // limit)
        self.name, self.kind, self.concept_names, self.notes = source.name, source.kind, source.concept_names, source.notes

    def __len__(self) -> int:
        return -(-len(self.source) // self.step)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        return (pair for number, pair in enumerate(self.source) if number % self.step == 0)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return (record for number, record in enumerate(self.source.records()) if number % self.step == 0)


@dataclass
class Meter:
    """Times the bare model in the pauses of the run, and the run between the pauses."""

    backbone: Backbone
    batch: int
    every: int
    bare_batches: int
    gate: threading.Event = field(default_factory=threading.Event)
    segments: list[dict[str, float]] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)
    paused: float = 0.0
    _since: float = 0.0
    _encoded: float = 0.0

    def start(self) -> None:
        resize = self.backbone.resize

        def gated(image: Any) -> Any:
            self.gate.wait()
            return resize(image)

        self.backbone.resize = gated  # type: ignore[method-assign]
        self.gate.set()
        self.bare()  # warms up
        self._since = time.perf_counter()

    def bare(self) -> float:
        """Images per second of the model alone."""
        size = self.backbone.image_size
        ready = torch.randn(self.batch, 3, size, size, generator=torch.Generator().manual_seed(0))
        started = time.perf_counter()
        for _ in range(self.bare_batches):
            self.backbone.encode_images(ready, batch_size=self.batch)
        return self.bare_batches * self.batch / (time.perf_counter() - started)

    def __call__(self, progress: Progress) -> None:
        encoded = progress.figures["encoded"]
        if encoded - self._encoded < self.every * self.batch:
            return
        now = time.perf_counter()
        run = (encoded - self._encoded) / (now - self._since)
        self.gate.clear()
        bare = self.bare()
        self.gate.set()
        self.segments.append({"encoded": encoded, "run": run, "bare": bare})
        self.memory.append((int(encoded), resident_mebibytes()))
        print(
            f"{int(encoded):6d} pictures  run {run:7.2f}/s  bare {bare:7.2f}/s  ratio {run / bare:.3f}  RSS {self.memory[-1][1]:.0f} MiB",
            flush=True,
        )
        self.paused += time.perf_counter() - now
        self._since, self._encoded = time.perf_counter(), encoded


def resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def random_checkpoint(architecture: str, folder: Path) -> Path:
    """A checkpoint file of random weights, since the speed does not depend on what they are."""
    torch.manual_seed(0)
    model = build_model(find_architecture(architecture), allow_network=False)
    path = folder / f"{architecture}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="folder, table or archive of pictures")
    parser.add_argument("--limit", type=int, default=0, help="only this many of them")
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--every", type=int, default=12, help="batches between two timings of the bare model")
    parser.add_argument("--bare", type=int, default=4, help="batches of one such timing")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    source: Any = open_source(options.images)
    if options.limit and options.limit < len(source):
        source = Limited(source, options.limit)
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = random_checkpoint(options.architecture, Path(temporary))
        backbone = Backbone(options.architecture, str(checkpoint), device=options.device)
        meter = Meter(backbone, options.batch, options.every, options.bare)
        workspace = Workspace(Path(temporary) / "workspace")
        meter.start()
        result = embed_source(workspace, source, backbone, batch_size=options.batch, progress=meter)
        again = time.perf_counter()
        cached = embed_source(workspace, source, backbone, batch_size=options.batch).cached
        again = time.perf_counter() - again
    report(options, result, meter, again, cached)


def report(options: argparse.Namespace, result: Any, meter: Meter, again: float, cached: bool) -> None:
    # Harmonic means: images over seconds, as the whole run counts them.
    bare = statistics.harmonic_mean([segment["bare"] for segment in meter.segments])
    run = result.encoded / (result.seconds - meter.paused)
    ratios = [segment["run"] / segment["bare"] for segment in meter.segments]
    memory = [value for _, value in meter.memory]
    figures = {
        "architecture": options.architecture,
        "threads": torch.get_num_threads(),
        "pictures": result.count,
        "encoded": result.encoded,
        "rejected": len(result.rejected),
        "bare_images_per_second": bare,
        "run_images_per_second": run,
        "ratio": run / bare,
        "median_segment_ratio": statistics.median(ratios),
        "memory_mebibytes": meter.memory,
        "memory_growth_second_half": max(memory) - max(memory[: max(1, len(memory) // 2)]),
        "second_run_seconds": again,
        "second_run_cached": cached,
        "segments": meter.segments,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "embed_throughput.json").write_text(json.dumps(figures, indent=1) + "\n")
    median = statistics.median(ratios)
    print(
        f"\n{options.architecture}, batch {options.batch}, {torch.get_num_threads()} threads, {result.encoded} pictures encoded\n"
        f"  bare model on ready tensors   {bare:8.2f} images/s\n"
        f"  embed_source                  {run:8.2f} images/s\n"
        f"  ratio                         {run / bare:8.3f}   (target 0.90; median of {len(ratios)} segments {median:.3f})\n"
        f"  memory                        {min(memory):.0f} to {max(memory):.0f} MiB, "
        f"second half +{figures['memory_growth_second_half']:.0f}\n"
        f"  the same request again        {again:.1f} s, {'cache hit' if cached else 'NOT a cache hit'}"
    )


if __name__ == "__main__":
    main()
