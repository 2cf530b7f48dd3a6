"""Run: what turns planned grid cells into pictures. Only this package imports torch, diffusers or transformers.

`base` holds the seam, `fake` an engine without a model, `models` loads real ones, and `diffusion` is the engine that
runs them.

Loading is spread over `places` (what a name means), `hub` and `weights` (which files), `devices` (where to, in which
number format, and whether it fits), `classes`, `folders` and `checkpoints` (files to a pipeline) and `adapters` (VAE
and LoRA).
"""

import logging

# Set before transformers is imported: it logs a line for each image processor that it takes without torchvision.
logging.getLogger("transformers.utils.import_utils").setLevel(logging.ERROR)
