"""The denoiser's parts: UNet, text encoder, noise schedule, and the loss that trains them."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.tokens import LENGTH

WIDTHS = (32, 64, 128, 160)
TEXT_WIDTH = 128


def build_unet() -> UNet2DConditionModel:
    """8.5 million parameters; only the two lowest levels read the prompt."""
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=9,
        out_channels=4,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=[width // 32 for width in WIDTHS],  # diffusers takes the number of heads here
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    ).to(memory_format=torch.channels_last)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A two-layer CLIP text model over the domain's own tokens."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=TEXT_WIDTH * 3,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule with v-prediction; latents are never clipped."""
    # `skip_prk_steps` is not DDIM's: PNDM reads it, made from this configuration.
    return DDIMScheduler.from_config(
        {
            "num_train_timesteps": 1000,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "prediction_type": "v_prediction",
            "timestep_spacing": "leading",
        }
    )


def split_parameters(unet: nn.Module, text: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Weight matrices for Muon, and what AdamW does better: norms, embeddings, first and last convolution."""
    apart = {id(unet.conv_in.weight), id(unet.conv_out.weight)}
    apart |= {id(p) for name, p in text.named_parameters() if "embedding" in name}
    every = [*unet.parameters(), *text.parameters()]
    matrices = [p for p in every if p.ndim >= 2 and id(p) not in apart]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in every if id(p) not in chosen]


def loss(
    unet: nn.Module,
    text: nn.Module,
    alphas: Tensor,
    latents: tuple[Tensor, Tensor, Tensor],
    ids: Tensor,
    steps: Tensor,
    outside: float = 0.15,
) -> Tensor:
    """Velocity error of one noised batch, mostly inside the mask, noisy steps weighted by a cut-off SNR."""
    whole, blanked, mask = latents
    kept = alphas[steps][:, None, None, None]
    noise = torch.randn_like(whole)
    noised = kept.sqrt() * whole + (1 - kept).sqrt() * noise
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * whole
    inputs = torch.cat([noised, mask, blanked], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        told = text(ids).last_hidden_state
        guess = unet(inputs, steps, told, return_dict=False)[0]
    where = outside + (1 - outside) * mask
    error = ((guess.float() - velocity).square() * where).mean((1, 2, 3)) / where.mean((1, 2, 3))
    snr = (alphas[steps] / (1 - alphas[steps])) + 1
    return (error * snr.clamp(max=5) / snr).mean()
