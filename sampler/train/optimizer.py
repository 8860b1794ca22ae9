"""Muon for matrices and Adam for the rest, with float32 master weights behind bfloat16 parameters.

Muon: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from typing import Any

import torch
from torch import Tensor, nn

MUON_RATE, ADAM_RATE = 0.02, 3e-3
MUON_MOMENTUM = 0.95
ADAM_BETAS, ADAM_EPSILON = (0.9, 0.95), 1e-8


class Optimizer:
    """`step` applies the gradients at `factor` times the base rates and clears them; decay is for matrices only."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = dict(model.named_parameters())
        self.masters = {name: p.detach().float().clone() for name, p in self.parameters.items()}
        self.moments = {name: torch.zeros_like(master) for name, master in self.masters.items()}
        self.squares = {name: torch.zeros_like(master) for name, master in self.masters.items()}
        self.steps = 0
        self.groups: dict[tuple[int, int], list[str]] = {}
        for name, parameter in self.parameters.items():
            if _is_matrix(name, parameter):
                rows, columns = parameter.shape
                self.groups.setdefault((rows, columns), []).append(name)

    @torch.no_grad()
    def step(self, factor: float, weight_decay: float) -> None:
        self.steps += 1
        for names in self.groups.values():
            self._muon(names, factor, weight_decay)
        for name, parameter in self.parameters.items():
            if not _is_matrix(name, parameter):
                self._adam(name, factor)
        for name, parameter in self.parameters.items():
            parameter.copy_(self.masters[name])
            parameter.grad = None

    def _muon(self, names: list[str], factor: float, weight_decay: float) -> None:
        directions = []
        for name in names:
            gradient = self.parameters[name].grad
            assert gradient is not None
            gradient = gradient.float()
            self.moments[name].lerp_(gradient, 1 - MUON_MOMENTUM)
            directions.append(gradient.lerp(self.moments[name], MUON_MOMENTUM))  # Nesterov
        updates = _orthogonal(torch.stack(directions))
        rows, columns = directions[0].shape
        rate = MUON_RATE * factor * max(1.0, rows / columns) ** 0.5
        for name, update in zip(names, updates, strict=True):
            self.masters[name].mul_(1 - MUON_RATE * factor * weight_decay).add_(update, alpha=-rate)

    def _adam(self, name: str, factor: float) -> None:
        gradient = self.parameters[name].grad
        assert gradient is not None
        gradient = gradient.float()
        first, second = ADAM_BETAS
        self.moments[name].lerp_(gradient, 1 - first)
        self.squares[name].lerp_(gradient.square(), 1 - second)
        mean = self.moments[name] / (1 - first**self.steps)
        deviation = (self.squares[name] / (1 - second**self.steps)).sqrt()
        self.masters[name].sub_(ADAM_RATE * factor * mean / (deviation + ADAM_EPSILON))

    def state(self) -> dict[str, Any]:
        return {"masters": self.masters, "moments": self.moments, "squares": self.squares, "steps": self.steps}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        self.masters, self.moments, self.squares = state["masters"], state["moments"], state["squares"]
        self.steps = state["steps"]
        for name, parameter in self.parameters.items():
            parameter.copy_(self.masters[name])


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 2 and name != "embedding"


def _orthogonal(matrices: Tensor) -> Tensor:
    """The orthogonal matrices next to `matrices` [n, rows, columns], by five Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT.float() if tall else x.float()
