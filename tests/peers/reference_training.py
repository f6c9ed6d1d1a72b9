"""Trains the reference model: AdamW with decay on matrices only, clipping, schedule, microbatches.

The step is written out once, in `train_step`. The optimizer is `torch.optim.AdamW`, which
test_reference.py compares with the formula
    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
    p -= lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)
"""

from __future__ import annotations

import dataclasses
import math

import torch

from reference_model import ModelConfig, ReferenceModel
from training_state import TrainingConfig


@dataclasses.dataclass
class StepRecord:
    loss: float  # language modelling only, nats per token, mean over microbatches
    auxiliary: dict[str, float]  # unweighted, summed over layers, mean over microbatches
    grad_norm: float  # before clipping
    learning_rate: float
    routing_margin: float  # smallest over tokens, layers and microbatches


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then constant or cosine down to min_learning_rate_ratio. Steps start at 1."""
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    floor = config.min_learning_rate_ratio
    return config.learning_rate * (floor + (1.0 - floor) * cosine)


def make_optimizer(
    parameters: dict[str, torch.Tensor], config: TrainingConfig
) -> torch.optim.AdamW:
    """Decay on matrices (embedding, router and head included), none on norm weights."""
    matrices = [tensor for tensor in parameters.values() if tensor.dim() >= 2]
    vectors = [tensor for tensor in parameters.values() if tensor.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.epsilon)


class ReferenceTrainer:
    """One process, whole batches. After `train_step` the gradients stay in `gradients` until the
    next step, before clipping."""

    def __init__(
        self,
        model: ModelConfig,
        training: TrainingConfig,
        parameters: dict[str, torch.Tensor],
        dtype: torch.dtype = torch.float64,
    ):
        leaves = {
            name: tensor.to(dtype).clone().requires_grad_() for name, tensor in parameters.items()
        }
        self.training = training
        self.model = ReferenceModel(model, leaves)
        self.optimizer = make_optimizer(leaves, training)
        self.gradients: dict[str, torch.Tensor] = {}
        self.step = 0

    def train_step(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        document_begin: torch.Tensor | None = None,
    ) -> StepRecord:
        """inputs, targets: token ids [G, S] of one global batch; document_begin [G, S]."""
        if document_begin is None:
            document_begin = torch.zeros_like(inputs)
        self.step += 1
        microbatches = self.training.microbatches
        self.optimizer.zero_grad(set_to_none=True)
        losses, auxiliaries, margins = [], [], []
        parts = (t.chunk(microbatches) for t in (inputs, targets, document_begin))
        for microbatch in zip(*parts, strict=True):
            loss, auxiliary, margin = self.model.losses(*microbatch)
            (self.model.objective(loss, auxiliary) / microbatches).backward()
            losses.append(loss.item())
            auxiliaries.append({name: value.item() for name, value in auxiliary.items()})
            margins.append(margin)
        grad_norm = self._clip()
        rate = learning_rate(self.training, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        mean = {
            name: sum(auxiliary[name] for auxiliary in auxiliaries) / microbatches
            for name in auxiliaries[0]
        }
        return StepRecord(sum(losses) / microbatches, mean, grad_norm, rate, min(margins))

    def _clip(self) -> float:
        """g *= clip / max(norm, clip), over all parameters; `gradients` keeps the unclipped."""
        leaves = self.model.parameters
        for tensor in leaves.values():
            if tensor.grad is None:  # an expert of which no router has ever heard
                tensor.grad = torch.zeros_like(tensor)
        self.gradients = {name: tensor.grad.clone() for name, tensor in leaves.items()}
        squares = [gradient.double().square().sum() for gradient in self.gradients.values()]
        norm = torch.stack(squares).sum().sqrt().item()
        clip = self.training.clip_norm
        if clip > 0.0:
            for tensor in leaves.values():
                tensor.grad *= clip / max(norm, clip)
        return norm
