"""Where a model runs and in which number format: what suits the machine unless a person says otherwise."""

from __future__ import annotations

import warnings
from pathlib import Path

import psutil
import torch

from ..errors import ModelError

__all__ = [
    "check_memory",
    "find_device",
    "find_dtype",
    "free_memory",
    "is_out_of_memory",
    "name_of",
    "out_of_memory",
    "warn_slow",
]

_DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_CGROUP = Path("/sys/fs/cgroup")
_CONTAINER = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def find_device(device: str | torch.device | None) -> torch.device:
    """Return the device to run on; the best one there where None.

    Raises:
        ModelError: It is unknown or not there.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ModelError(f"device={device!r} is unknown; allowed: 'cpu', 'cuda', 'cuda:0', 'mps', ...") from None
    count = torch.cuda.device_count() if found.type == "cuda" else 1
    here = torch.backends.mps.is_available() if found.type == "mps" else (found.index or 0) < count
    if not here:
        raise ModelError(
            f"device={str(device)!r} is not there: PyTorch {torch.__version__} finds {_accelerators()} here; "
            "leave device out, or install a PyTorch build for your accelerator"
        )
    return found


def _accelerators() -> str:
    if count := torch.cuda.device_count():
        return f"{count} CUDA device{'s' * (count > 1)}"
    return "an MPS device" if torch.backends.mps.is_available() else "no accelerator"


def find_dtype(
    dtype: str | torch.dtype | None, device: torch.device, preferred: torch.dtype = torch.float16
) -> torch.dtype:
    """Return the number format of weights and latents.

    Args:
        dtype: By name; None chooses float32 on the CPU and the model's own half precision elsewhere.
        device: Where the model runs.
        preferred: The half precision that the model was made for.

    Raises:
        ModelError: It is unknown, or the device cannot compute in it.
    """
    if dtype is None:
        if device.type == "cpu":
            return torch.float32
        old = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.float16 if old else preferred
    found = _DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ModelError(f"dtype={dtype!r} is unknown; allowed: {', '.join(_DTYPES)}")
    if device.type == "mps" and found == torch.float64:
        raise ModelError("dtype='float64' is not there on MPS; use 'float32', or device='cpu'")
    return found


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes that a device has for weights, None where it does not say."""
    if device.type == "cuda":
        # What PyTorch holds without using it is free for PyTorch.
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + spare
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type == "cpu":
        return min(int(psutil.virtual_memory().available), _container_memory())
    return None


def _container_memory() -> int:
    """Return the free bytes of the container that this runs in; Binder and Colab give less than the machine has."""
    for limit, used, stat in _CONTAINER:
        try:
            top, now = int((_CGROUP / limit).read_text()), int((_CGROUP / used).read_text())
            lines = (_CGROUP / stat).read_text().split("\n")
        except (OSError, ValueError):
            continue
        cached = sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
        return max(0, top - now + cached)
    return 1 << 62


def warn_slow(dtype: torch.dtype, device: torch.device) -> None:
    """Say so where a number format gains nothing on a device."""
    if device.type == "cpu" and dtype == torch.float16:
        warnings.warn(
            "dtype='float16' on the CPU is slow and loses digits for nothing; use 'float32', or 'bfloat16' on a "
            "processor that computes in it",
            stacklevel=2,
        )


def name_of(dtype: torch.dtype) -> str:
    """Return a number format's name, such as "float32"."""
    return str(dtype).removeprefix("torch.")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "Cannot allocate memory")
    )


def check_memory(name: str, need: int, dtype: torch.dtype, device: torch.device) -> None:
    """Refuse a model whose weights alone are larger than the free memory.

    Args:
        name: What people call the model.
        need: Bytes of its weights.
        dtype: Their number format.
        device: Where they are to be.

    Raises:
        ModelError: They do not fit.
    """
    free = free_memory(device)
    if free is not None and need > free:
        raise ModelError(
            f"model={name!r} needs about {_gigabytes(need)} for its weights in {name_of(dtype)}, and {device} has "
            f"{_gigabytes(free)} free: {_less(device)}"
        )


def out_of_memory(name: str, device: torch.device) -> ModelError:
    """Return the error for a model whose loading ran out of memory."""
    free = free_memory(device)
    there = "" if free is None else f", of which {device} has {_gigabytes(free)} free"
    return ModelError(f"model={name!r} needs more memory than there is{there}: {_less(device)}")


def _less(device: torch.device) -> str:
    half = "dtype='bfloat16'" if device.type == "cpu" else "dtype='float16'"
    return f"choose {half} or a smaller model, another device, or delete engines that are no longer needed"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
