"""Network calls behind one class: padding, compiling and graphs change time and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import box_mask, smooth_image

import nbinpaint as nb
from nbinpaint.engine import network as networks
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import Model, load_model
from nbinpaint.engine.network import Inputs, Network

IMAGE, MASK = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
BASE = nb.Params(prompt="a cat", steps=4, size=32, guidance_scale=3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(random_model: Path) -> Model:
    return load_model(random_model, device="cpu", dtype="float64")


def inputs(rows: int, side: int = 16) -> Inputs:
    generator = torch.Generator().manual_seed(rows)
    double = {"generator": generator, "dtype": torch.float64}
    steps = torch.linspace(0, 999, rows)
    return Inputs(torch.randn(rows, 9, side, side, **double), steps, torch.randn(rows, 12, 16, **double), {})


@torch.inference_mode()
def test_padded_rows_change_nothing(model: Model) -> None:
    plain, padded = Network(model), Network(model)
    padded.row_counts = (4, 8)
    sizes = []
    call = padded._call
    padded._call = lambda given: (sizes.append(len(given.latents)), call(given))[1]  # type: ignore[method-assign]
    for rows in (1, 3, 4, 5, 8, 11):
        out = padded(inputs(rows))
        assert len(out) == rows
        assert torch.allclose(out, plain(inputs(rows)), rtol=0, atol=1e-12)
    assert sizes == [4, 4, 4, 8, 8, 11]


class Graph:
    """Stands in for a captured CUDA graph: computes over the very tensors that it was captured with."""

    captured: list[tuple[int, ...]]

    def __init__(self, network: Network) -> None:
        self.network = network
        self.captured = []

    def __call__(self, still: Inputs) -> Any:
        self.captured.append(tuple(still.latents.shape))
        output = torch.zeros_like(still.latents[:, :4])
        return networks._Graph(still, output, lambda: output.copy_(self.network._call(still)))


@torch.inference_mode()
def test_graphs_are_captured_once_for_each_row_count_and_shape(model: Model) -> None:
    plain, graphs = Network(model), Network(model)
    graphs.row_counts = (4, 8)
    graphs._capture = capture = Graph(graphs)
    kept = []
    for rows, side in ((3, 16), (4, 16), (8, 16), (5, 16), (4, 8), (3, 16), (9, 16)):
        out = graphs(inputs(rows, side))
        kept.append((out, plain(inputs(rows, side))))
    assert capture.captured == [(4, 9, 16, 16), (8, 9, 16, 16), (4, 9, 8, 8)]  # nine rows are too many for any
    # Samplers keep predictions: later replays must not write over earlier ones.
    for out, expected in kept:
        assert torch.allclose(out, expected, rtol=0, atol=1e-12)


def test_graphs_are_without_effect_where_there_are_none(model: Model) -> None:
    network = Network(model, graphs=True)
    assert network.row_counts is None
    assert network.key == Network(model).key


def test_a_whole_run_over_padded_graphs_gives_the_same_pictures(model: Model) -> None:
    sweep = nb.Sweep(
        IMAGE, MASK, BASE, scheduler=["DDIM", "PNDM", "K_EULER"], denoise=[0.5, 1.0], guidance_scale=[1, 4]
    )
    expected = nb.run(sweep, engine=DiffusionEngine(model, rows=6), progress=False)
    engine = DiffusionEngine(model, rows=7)
    engine.network.row_counts = (4, 8)
    engine.network._capture = Graph(engine.network)
    study = nb.run(sweep, engine=engine, progress=False)
    assert not study.failures
    assert [r.raw.tobytes() for r in study] == [r.raw.tobytes() for r in expected]


def test_calls_of_another_kind_have_another_key(model: Model, random_base_model: Path, random_model: Path) -> None:
    keys = {
        Network(model).key,
        Network(load_model(random_model, device="cpu", dtype="float32")).key,
        Network(load_model(random_base_model, device="cpu", dtype="float64")).key,
    }
    torch.set_num_threads(2)
    keys.add(Network(model).key)
    torch.set_num_threads(1)
    assert len(keys) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:`torch.jit.script:DeprecationWarning")
def test_compiled_blocks_compute_the_same_and_are_compiled_once(random_model: Path) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    model = load_model(random_model, device="cpu", dtype="float32")
    counter = CompileCounterWithBackend("aot_eager")
    plain, network = Network(model), Network(model, compile=True, backend=counter)
    compiled = []
    with torch.inference_mode():
        for rows in (6, 4, 1, 7, 2, 12):
            given = inputs(rows).map(lambda t: t.float())
            assert torch.allclose(network(given), plain(given), rtol=0, atol=1e-4)
            compiled.append(counter.frame_count)
    blocks = [m for m in model.pipeline.unet.modules() if type(m).__name__ in networks._COMPILED_BLOCKS]
    assert 0 < compiled[0] <= len(blocks)
    assert compiled == compiled[:1] * len(compiled)  # other row counts compile nothing anew
    # Whoever else uses the model's network finds it as it was, with the same weights.
    assert not any(m._compiled_call_impl for m in model.pipeline.unet.modules())
    ours = dict(network._unet.named_parameters())
    assert all(ours[name] is weight for name, weight in model.pipeline.unet.named_parameters())
