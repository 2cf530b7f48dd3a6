"""Small models with random weights, of the real architecture's parts, built on the spot."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

# As the scheduler file of SD 1.5's inpainting model has it, keys that other classes read among them.
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}


def tokenizer() -> CLIPTokenizer:
    letters = string.ascii_lowercase
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[], model_max_length=12)


def clip_config(tokens: Any, hidden: int = 16, layers: int = 3, **others: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        **others,
    )


def vae(channels: int = 4, **others: Any) -> AutoencoderKL:
    """Factor 2."""
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=32,
        **others,
    )


def random_pipeline(
    unet_channels: int = 9, prediction: str = "epsilon", text_layers: int = 1
) -> StableDiffusionInpaintPipeline:
    """A pipeline of SD's architecture, about 0.3 M parameters: VAE factor 2, two UNet levels."""
    torch.manual_seed(unet_channels)
    tokens = tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=unet_channels,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    scheduler = DDIMScheduler.from_config(SCHEDULER | {"prediction_type": prediction})
    return StableDiffusionInpaintPipeline(
        vae=vae().eval(),
        text_encoder=CLIPTextModel(clip_config(tokens, layers=text_layers)).eval(),
        tokenizer=tokens,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def random_folder(folder: Path, unet_channels: int = 9) -> Path:
    random_pipeline(unet_channels).save_pretrained(folder)
    return folder
