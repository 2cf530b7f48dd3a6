"""Run: what turns planned grid cells into pictures. Only this package imports torch, diffusers or transformers.

`base` holds the seam, `fake` an engine without a model, `models` loads real ones, and `diffusion` is the engine that
runs them.
"""
