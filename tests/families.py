"""Small pipelines with random weights of other families than SD 1 and 2, built on the spot."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from models import SCHEDULER, tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


def clip_config(tokens: Any, hidden: int = 16, layers: int = 2, **others: Any) -> CLIPTextConfig:
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


def sdxl(unet_channels: int = 9, scored: bool = False, zeros: bool = True, **of_vae: Any) -> Any:
    """SDXL's architecture: two text encoders, a summary of the prompt, and the picture's size in numbers."""
    torch.manual_seed(unet_channels)
    tokens = tokenizer()
    summary, number, numbers = 8, 4, 5 if scored else 6
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=unet_channels,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=16 + 24,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=number,
        projection_class_embeddings_input_dim=summary + numbers * number,
    )
    return StableDiffusionXLInpaintPipeline(
        vae=vae(**of_vae).eval(),
        text_encoder=CLIPTextModel(clip_config(tokens)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokens, 24, projection_dim=summary)).eval(),
        tokenizer=tokens,
        tokenizer_2=tokenizer(),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler.from_config(SCHEDULER | {"timestep_spacing": "leading"}),
        requires_aesthetics_score=scored,
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )
