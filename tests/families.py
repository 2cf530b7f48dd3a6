"""Small pipelines with random weights of other families than SD 1 and 2, built on the spot."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
    QwenImageInpaintPipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3InpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
    ZImageInpaintPipeline,
    ZImageTransformer2DModel,
)
from models import SCHEDULER, clip_config, tokenizer, vae
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
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
        text_encoder=CLIPTextModel(clip_config(tokens, layers=3)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokens, 24, 3, projection_dim=summary)).eval(),
        tokenizer=tokens,
        tokenizer_2=tokenizer(),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler.from_config(SCHEDULER | {"timestep_spacing": "leading"}),
        requires_aesthetics_score=scored,
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )


def clip(projection: int | None = None) -> Any:
    tokens = tokenizer()
    if projection is None:
        return CLIPTextModel(clip_config(tokens)).eval()
    return CLIPTextModelWithProjection(clip_config(tokens, projection_dim=projection)).eval()


def t5() -> Any:
    config = T5Config(vocab_size=len(tokenizer()), d_model=32, d_kv=8, d_ff=16, num_layers=1, num_heads=4)
    return T5EncoderModel(config).eval()


def flow(**options: Any) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(**({"shift": 3.0} | options))


def sd3(**options: Any) -> Any:
    torch.manual_seed(3)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        pos_embed_max_size=32,
    )
    return StableDiffusion3InpaintPipeline(
        transformer=transformer.eval(),
        scheduler=flow(**options),
        vae=vae(16, shift_factor=0.06).eval(),
        text_encoder=clip(8),
        tokenizer=tokenizer(),
        text_encoder_2=clip(8),
        tokenizer_2=tokenizer(),
        text_encoder_3=None,
        tokenizer_3=None,
    )


def flux(cls: Any = FluxFillPipeline, channels: int = 48) -> Any:
    """Flux Fill, or another Flux pipeline with as many channels as its transformer takes: 16 where it sees no mask."""
    torch.manual_seed(4)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return cls(
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae(4, shift_factor=0.06).eval(),
        text_encoder=clip(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=tokenizer(),
        transformer=transformer.eval(),
    )


def qwen_image() -> Any:
    torch.manual_seed(5)
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen2_5_VLConfig(
        text_config=text
        | {
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer()),
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        },
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
    )
    return QwenImageInpaintPipeline(
        scheduler=flow(use_dynamic_shifting=True, shift_terminal=0.02),
        vae=vae.eval(),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=tokenizer(),
        transformer=transformer.eval(),
    )


def z_image() -> Any:
    torch.manual_seed(6)
    tokens = tokenizer()
    tokens.chat_template = "{{ messages[0]['content'] }}"
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    text = Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokens),
        head_dim=8,
    )
    # The real one leaves these to be loaded.
    for name in ("x_pad_token", "cap_pad_token"):
        torch.nn.init.zeros_(getattr(transformer, name))
    return ZImageInpaintPipeline(
        scheduler=flow(),
        vae=vae(16, shift_factor=0.06).eval(),
        text_encoder=Qwen3Model(text).eval(),
        tokenizer=tokens,
        transformer=transformer.eval(),
    )
