"""The functions a script calls: load an engine, inpaint once, run a sweep here or in the background."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tqdm.auto import tqdm

from .engine.base import Cancel, Engine, Event
from .errors import NbInpaintError
from .job import Job, Progress, execute
from .params import Params
from .result import Result
from .study import Study
from .sweep import Sweep

if TYPE_CHECKING:
    from .engine.diffusion import DiffusionEngine
    from .engine.pipelines import PipelineEngine
    from .engine.request import LoraNames

__all__ = ["inpaint", "load_engine", "run", "start"]

_loaded: WeakValueDictionary[Hashable, DiffusionEngine | PipelineEngine] = WeakValueDictionary()
_loading: dict[Hashable, threading.Lock] = {}
_default: list[Engine] = []


def load_engine(
    model: str | Path = "embedded",
    *,
    device: str | None = None,
    dtype: str | None = None,
    safety_checker: bool = True,
    variant: str | None = None,
    vae: str | Path | None = None,
    lora: LoraNames = None,
    config: str | Path | None = None,
    rows: int | None = None,
    compile: bool = False,
    graphs: bool = False,
    offload: bool = False,
    progress: bool = True,
) -> DiffusionEngine | PipelineEngine:
    """Load a model and return the engine that runs it; an engine still in use is returned again at once.

    Stable Diffusion 1, 2 and XL run in one batch; any other model that diffusers can inpaint with runs one grid cell
    after the other, in a `PipelineEngine`.

    Args:
        model: "embedded", a hub id, a diffusers folder, or a `.safetensors` file (of this machine, or as
            owner/name/file on the hub).
        device: "cuda", "mps" or "cpu"; the best one there where None.
        dtype: "float16", "bfloat16", "float32" or "float64"; half precision on accelerators, float32 on CPUs where
            None.
        safety_checker: False turns the checker of a model that has one off.
        variant: A hub variant such as "fp16"; where None, the one that suits `dtype`.
        vae: Another VAE: a folder, a hub id or a single file.
        lora: LoRAs to add to the weights: a name, several, or names with weights as {"name": 0.8}.
        config: For a single file: the folder or hub id of a model of the same kind, whose configuration it takes.
        rows: Rows of one network call at most (a grid cell with guidance needs two); found by measuring where None.
        compile: Compile the blocks of the denoising network: faster once the first calls have taken a minute or more.
        graphs: Replay network calls as CUDA graphs; without effect on other devices.
        offload: Let text encoders and the VAE's encoder leave the device while nothing is encoded.
        progress: False shows no bars.

    Raises:
        ModelError: The model cannot be found, loaded or used; the message says what to do.
    """
    from .engine.models import load
    from .engine.request import Request
    from .engine.runners import Speed, engine_for

    request = Request.of(
        model,
        device=device,
        dtype=dtype,
        safety_checker=safety_checker,
        variant=variant,
        vae=vae,
        lora=lora,
        config=config,
    )
    speed = Speed(rows, compile, graphs, offload)
    key = request.identity, speed
    # Whoever asks for a model that another thread is loading waits for it, instead of loading it as well.
    with _loading.setdefault(key, threading.Lock()):
        engine = _loaded.get(key)
        if engine is None:
            loaded = load(request, progress)
            engine = engine_for(loaded, speed)
            for same in (request, request.with_dtype(loaded.dtype)):
                _loaded[same.identity, speed] = engine
    return engine


def _engine(engine: Engine | None) -> Engine:
    if engine is not None:
        return engine
    if not _default:
        _default.append(load_engine("embedded"))
    return _default[0]


def _hint(engine: Engine, sweep: Sweep) -> None:
    """Warn, once a prompt, about words that the model has never seen and words that it has no room for."""
    recipes = [cell.params for cell in sweep.cells]
    given = {"prompt_hint": [p.prompt for p in recipes], "cut_hint": [p.negative_prompt for p in recipes if p.guided]}
    for name, prompts in given.items():
        hint: Callable[[str], str | None] = getattr(engine, name, lambda prompt: None)
        for prompt in dict.fromkeys(prompts):
            if sentence := hint(prompt):
                warnings.warn(sentence, stacklevel=3)


def inpaint(
    image: Any, mask: Any, params: Params | None = None, *, engine: Engine | None = None, **changes: Any
) -> Result:
    """Inpaint once.

    Args:
        image: Whatever `load_image` takes.
        mask: Whatever `load_mask` takes; as large as the image, white (255) = repaint.
        params: The recipe; the engine's own where None and it has one, which other families than Stable Diffusion do.
        engine: What `load_engine` returned; the embedded model where None.
        **changes: Fields of `Params` that differ from `params`.

    Raises:
        InvalidParams: The recipe is not allowed, or not for this model.
        InvalidImage: The image cannot be read.
        InvalidMask: The mask is empty, unreadable or of another size.
        NbInpaintError: It failed while it ran; the message says why.
    """
    engine = _engine(engine)
    own: Callable[[], Params] = getattr(engine, "default_params", Params)
    sweep = Sweep(image, mask, (params or own()).replace(**changes))
    study = Study(sweep, engine)
    _hint(engine, sweep)
    execute(study, engine, Cancel())
    for failure in study.failures.values():
        raise NbInpaintError(failure.message)
    return study[0]


def run(sweep: Sweep, *, engine: Engine | None = None, store: str | Path | None = None, progress: bool = True) -> Study:
    """Run a sweep here and now, with a progress bar.

    Args:
        sweep: The plan.
        engine: What `load_engine` returned; the embedded model where None.
        store: A folder to keep every result in as it comes; what is there already is not computed again.
        progress: False shows no bar.

    Returns:
        The study. A grid cell that fails keeps its error in `study.failures`, and the others go on.

    Raises:
        InvalidParams: A grid cell's recipe cannot be used with this model; nothing was run.
    """
    engine = _engine(engine)
    study = Study(sweep, engine, store)
    _hint(engine, sweep)
    with tqdm(
        total=sum(study.plans[c.index].evaluations for c in study.missing), unit="step", disable=not progress
    ) as bar:

        def show(event: Event, now: Progress) -> None:
            bar.set_description(now.counted, refresh=False)
            bar.update(now.steps_done - bar.n)

        return execute(study, engine, Cancel(), show)


def start(
    sweep: Sweep,
    *,
    engine: Engine | None = None,
    store: str | Path | None = None,
    listen: Any = None,
) -> Job:
    """Run a sweep in the background.

    Args:
        sweep: The plan.
        engine: What `load_engine` returned; the embedded model where None.
        store: A folder to keep every result in as it comes; what is there already is not computed again.
        listen: Called in the job's thread with every event and the progress after it.

    Returns:
        A job with `.progress`, `.cancel()`, `.result()` and the growing `.study`.

    Raises:
        InvalidParams: A grid cell's recipe cannot be used with this model; nothing was run.
    """
    engine = _engine(engine)
    study = Study(sweep, engine, store)
    _hint(engine, sweep)
    return Job(sweep, engine, study, listen)
