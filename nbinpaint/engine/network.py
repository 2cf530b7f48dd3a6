"""The denoising network as the batched loop calls it: as it is, with its blocks compiled, or replayed as CUDA graphs.

Compiled blocks and graphs like few row counts: calls are padded up to the next one, and what the padding came to is
thrown away. Rows do not see each other, so padding changes nothing but time.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import platform
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from .models import Model
from .text import Text

__all__ = ["GRAPH_ROWS", "Inputs", "Network", "compiled"]

GRAPH_ROWS = (2, 4, 8, 16, 24, 32, 48, 64)
"""Row counts that graphs are captured for."""
_COMPILED_BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D")
_RECOMPILES = 64
"""More than the differently shaped blocks of any network: past the limit torch runs blocks uncompiled, silently."""


class Inputs(NamedTuple):
    """One call; every tensor has the same number of rows and lies on the model's device.

    Attributes:
        latents: (rows, channels, h, w).
        timesteps: float32 (rows,).
        text: (rows, tokens, channels).
        added: Further conditions by name, each (rows, ...).
    """

    latents: torch.Tensor
    timesteps: torch.Tensor
    text: torch.Tensor
    added: Mapping[str, torch.Tensor]

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        """Return the same with every tensor changed."""
        added = {name: change(value) for name, value in self.added.items()}
        return Inputs(change(self.latents), change(self.timesteps), change(self.text), added)

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What a captured graph depends on."""
        return tuple((tuple(t.shape), t.dtype) for t in (self.latents, self.timesteps, self.text, *self.added.values()))


class _Graph(NamedTuple):
    inputs: Inputs
    output: torch.Tensor
    replay: Callable[[], None]


class Network:
    """Calls the denoising network.

    Args:
        model: The model.
        compile: Compile the blocks that a network repeats; the first calls take a minute or more.
        graphs: Replay whole calls as CUDA graphs; without effect on devices that have none.
        backend: What compiles.

    Attributes:
        compiled: Whether the first calls compile.
        row_counts: The only row counts that are computed, ascending; others are padded. None where any is as good.
    """

    def __init__(self, model: Model, *, compile: bool = False, graphs: bool = False, backend: Any = "inductor") -> None:
        graphs = graphs and model.device.type == "cuda"
        self.compiled = compile
        self.row_counts = GRAPH_ROWS if graphs else None
        self._model = model
        self._unet = compiled(model.pipeline.unet, backend) if compile else model.pipeline.unet
        self._mode = " ".join(["compiled"] * compile + ["graphs"] * graphs) or "eager"
        self._capture = self._capture_cuda if graphs else None
        self._graphs: dict[Any, _Graph] = {}
        self._pool: Any = None

    @property
    def key(self) -> str:
        """Names all that the time of a call depends on, but for its shapes: network, number format, device, mode."""
        config = {k: v for k, v in self._model.pipeline.unet.config.items() if not k.startswith("_")}
        network = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]
        dtype = str(self._model.dtype).removeprefix("torch.")
        return f"{_device_name(self._model.device)}, torch {torch.__version__}, {network}, {dtype}, {self._mode}"

    def padded(self, rows: int) -> int:
        """Return the rows that are computed where so many are asked for."""
        if self.row_counts is not None:
            place = bisect_left(self.row_counts, rows)
            return self.row_counts[place] if place < len(self.row_counts) else rows
        # Code compiled for any number of rows does not hold for a single one.
        return max(rows, 2) if self.compiled else rows

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        """Return the prediction, (rows, channels, h, w)."""
        rows = len(inputs.latents)
        wanted = self.padded(rows)
        if self._capture is not None and wanted in (self.row_counts or ()):
            return self._replay(inputs, wanted)
        if wanted > rows:
            inputs = inputs.map(lambda t: torch.cat([t, t.new_zeros(wanted - rows, *t.shape[1:])]))
        return self._call(inputs)[:rows]

    @torch.inference_mode()
    def probe(self, rows: int, size: tuple[int, int], text: Text) -> None:
        """Make a call of random latents and wait for its end, for measuring.

        Args:
            rows: Rows of the call.
            size: Width and height in pixels.
            text: The text of any grid cell.
        """
        device, factor = self._model.device, self._model.factor
        shape = (rows, self._model.unet_channels, size[1] // factor, size[0] // factor)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, self._model.dtype)
        added = {name: value[:1].repeat(rows, *[1] * (value.ndim - 1)) for name, value in text.added.items()}
        self(Inputs(latents, torch.full((rows,), 500.0, device=device), text.tokens[:1].repeat(rows, 1, 1), added))
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()

    def _call(self, inputs: Inputs) -> torch.Tensor:
        latents = inputs.latents
        if self._model.device.type != "mps":
            latents = latents.contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = self._unet(
            latents,
            inputs.timesteps,
            encoder_hidden_states=inputs.text,
            added_cond_kwargs=dict(inputs.added) or None,
            return_dict=False,
        )[0]
        return out

    def _replay(self, inputs: Inputs, wanted: int) -> torch.Tensor:
        rows = len(inputs.latents)
        key = (wanted, tuple(shape[0][1:] for shape in inputs.shapes))
        graph = self._graphs.get(key)
        if graph is None:
            assert self._capture is not None
            still = inputs.map(lambda t: t.new_zeros(wanted, *t.shape[1:]))
            graph = self._graphs[key] = self._capture(still)
        kept = graph.inputs
        for place, value in (
            (kept.latents, inputs.latents),
            (kept.timesteps, inputs.timesteps),
            (kept.text, inputs.text),
            *((kept.added[name], value) for name, value in inputs.added.items()),
        ):
            place[:rows].copy_(value, non_blocking=True)
        graph.replay()
        # The next replay writes over it, and samplers keep predictions as their history.
        return graph.output[:rows].clone()

    def _capture_cuda(self, inputs: Inputs) -> _Graph:
        """Capture a call over these very tensors; all graphs share memory, since no two run at the same time."""
        with torch.cuda.device(self._model.device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self._call(inputs)
            torch.cuda.current_stream().wait_stream(aside)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Another thread may be decoding: only this one's calls are captured and restricted.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                output = self._call(inputs)
        return _Graph(inputs, output, graph.replay)


def compiled(unet: Any, backend: Any = "inductor") -> Any:
    """Return the same network with its repeated blocks compiled for any number of rows and any size.

    Weights are shared with the original, which stays as it is: whoever else calls it, diffusers' own pipeline among
    them, meets no compiler. Blocks of one shape share their compiled code, so that a network of dozens is compiled in
    the time of a few.
    """
    shared = {id(tensor): tensor for tensor in (*unet.parameters(), *unet.buffers())}
    twin = copy.deepcopy(unet, shared)
    options: dict[str, Any] = {"fullgraph": True, "dynamic": True, "backend": backend}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        options["recompile_limit"] = _RECOMPILES
    else:
        limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
        setattr(torch._dynamo.config, limit, max(_RECOMPILES, getattr(torch._dynamo.config, limit)))
    for block in twin.modules():
        if type(block).__name__ in _COMPILED_BLOCKS:
            block.compile(**options)
    return twin


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{platform.node()}, {platform.machine()} with {torch.get_num_threads()} threads"
    return device.type
