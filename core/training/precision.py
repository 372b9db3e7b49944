"""Mixed precision: what a network computes in while its weights stay float32."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from segkit.core.errors import OptionError
from segkit.core.training.arguments import Amp

_TYPES = {Amp.FP16: torch.float16, Amp.BF16: torch.bfloat16}


class Mixed:
    """Computes in half precision where that is asked for; scales losses so that small gradients survive float16."""

    def __init__(self, amp: Amp, device: torch.device) -> None:
        """With "auto" float16 on CUDA and float32 elsewhere.

        Raises:
            OptionError: float16 on a CPU, which has no arithmetic for it.
        """
        if amp is Amp.FP16 and device.type == "cpu":
            raise OptionError.invalid("amp", amp.value, "on a CPU give bf16 or False; fp16 is for GPUs")
        if amp is Amp.AUTO:
            amp = Amp.FP16 if device.type == "cuda" else Amp.OFF
        self.type = _TYPES.get(amp)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.type is torch.float16)

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """For the network's forward pass; losses are made outside."""
        if self.type is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device, dtype=self.type)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], clip: float) -> bool:
        """Make a step with gradients whose norm is at most `clip`.

        Returns:
            False where the gradients are not finite and no step was made. With float16 that is no fault: the step is
            left out, and the next ones have a smaller scale.
        """
        self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
        if not self.scaler.is_enabled() and not norm.isfinite():
            return False
        self.scaler.step(optimizer)
        self.scaler.update()
        return True
