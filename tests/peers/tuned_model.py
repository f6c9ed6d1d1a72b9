"""The model as a careful user of PyTorch would write it for a CPU: forward and backward by hand.

The function is that of reference_model.py (test_tuned_trainer.py). Query, key and value are one
product, gate and up are one; gradients are written where the optimizer reads them; nothing is
computed twice, and nothing of the size of all logits exists but their gradient.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor

import tuned_passes as passes
from reference_model import ModelConfig
from tuned_attention import attention, attention_backward
from tuned_experts import Routing, experts, experts_backward, routed, routed_backward
from tuned_optimizer import FlatParameters

LOSS_ROWS = 256  # of a chunk of the loss: its logits stay in the cache


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """qkv: rows of query, key, value; gate_up: rows of gate, up."""
    hidden = config.hidden_size
    rows = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"embedding": (config.vocab_size, hidden)}
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}."
        shapes[prefix + "attention_norm"] = (hidden,)
        shapes[prefix + "attention.qkv"] = (rows, hidden)
        shapes[prefix + "attention.output"] = (hidden, config.num_heads * config.head_dim)
        shapes[prefix + "experts_norm"] = (hidden,)
        shapes[prefix + "router"] = (len(config.widths), hidden)
        for expert, width in enumerate(config.widths):
            shapes[f"{prefix}experts.{expert}.gate_up"] = (2 * width, hidden)
            shapes[f"{prefix}experts.{expert}.down"] = (width, hidden)
    shapes["final_norm"] = (hidden,)
    shapes["head"] = (config.vocab_size, hidden)
    return shapes


@dataclasses.dataclass
class Block:
    """What the way back through a block needs."""

    x: Tensor  # [T, D], before attention
    normed: Tensor
    scale: Tensor
    heads: tuple[Tensor, Tensor, Tensor]
    kept: list[Tensor]
    mixed: Tensor
    middle: Tensor  # [T, D], before the experts
    middle_normed: Tensor
    middle_scale: Tensor
    routing: Routing
    rows: Tensor
    gate_ups: list[Tensor]


class Model:
    def __init__(self, config: ModelConfig, length: int, dtype: torch.dtype):
        self.config, self.length = config, length
        self.parameters = FlatParameters(parameter_shapes(config), dtype)
        half = config.head_dim // 2
        angle = torch.outer(
            torch.arange(length).float(),
            config.rope_theta ** (-torch.arange(half).float() / half),
        )[:, None]
        self.cosine, self.sine = angle.cos().to(dtype), angle.sin().to(dtype)
        self.selected = torch.zeros(len(config.widths), dtype=torch.long)  # by the last batch

    def draw(self) -> None:
        """Initial values: norms 1, others normal of deviation 0.02."""
        for master in self.parameters.masters.values():
            master.fill_(1) if master.dim() == 1 else master.normal_(0, 0.02)
        self.parameters.prepare()

    def cut_experts_to(self, widths: tuple[int, ...]) -> None:
        """Zeroes what an expert has beyond its width here: the zeros stay, for their gradients are 0."""
        for name, master in self.parameters.masters.items():
            expert, matrix = name.split(".")[-2:] if "." in name else ("", name)
            if matrix == "gate_up":
                master.view(2, -1, master.shape[1])[:, widths[int(expert)] :] = 0
            elif matrix == "down":
                master[widths[int(expert)] :] = 0
        self.parameters.prepare()

    @torch.no_grad()
    def loss_and_gradients(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of tokens [N, S]; writes all gradients."""
        weights = self.parameters.weights
        self.selected.zero_()
        x = F.embedding(inputs.flatten(), weights["embedding"])
        normed, scale = passes.normed(x, self.weight(0, "attention_norm"), self.config.norm_epsilon)
        blocks = []
        for layer in range(self.config.num_layers):
            block, x, normed, scale = self.forward(layer, x, normed, scale)
            blocks.append(block)
        loss, dnormed = self.loss(normed, targets.flatten())
        dx = self.norm_backward("final_norm", dnormed, torch.zeros_like(x), x, scale)
        for layer in reversed(range(self.config.num_layers)):
            dx = self.backward(layer, blocks.pop(), dx)
        torch.ops.aten.embedding_dense_backward.out(
            dx, inputs.flatten(), weights["embedding"].shape[0], -1, False,
            out=self.parameters.gradients["embedding"],
        )  # fmt: skip
        return loss

    def weight(self, layer: int, name: str) -> Tensor:
        """Of a layer; beyond the last one, the norm after it."""
        if layer == self.config.num_layers:
            return self.parameters.weights["final_norm"]
        return self.parameters.weights[f"layers.{layer}.{name}"]

    def matrices(self, layer: int, tensors: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        prefix = f"layers.{layer}.experts."
        return [
            (tensors[f"{prefix}{expert}.gate_up"], tensors[f"{prefix}{expert}.down"])
            for expert in range(len(self.config.widths))
        ]

    def forward(self, layer: int, x: Tensor, normed: Tensor, scale: Tensor):
        """A block, and what the next one starts from: x, its norm, the norm's scale."""
        config = self.config
        qkv = torch.mm(normed, self.weight(layer, "attention.qkv").T)
        heads = passes.split_heads(
            qkv, self.cosine, self.sine, config.num_heads, config.num_kv_heads
        )
        mixed, kept = attention(*heads)
        mixed = self.merged(mixed)
        middle, middle_normed, middle_scale = passes.added_normed(
            x, torch.mm(mixed, self.weight(layer, "attention.output").T),
            self.weight(layer, "experts_norm"), config.norm_epsilon,
        )  # fmt: skip
        logits = torch.mm(middle_normed.float(), self.weight(layer, "router").float().T)
        routing = routed(logits, config.top_k, config.renormalize)
        self.selected += routing.selected
        rows, out, gate_ups = experts(
            middle_normed, routing, self.matrices(layer, self.parameters.weights)
        )
        block = Block(
            x, normed, scale, heads, kept, mixed, middle, middle_normed, middle_scale, routing,
            rows, gate_ups,
        )  # fmt: skip
        following = self.weight(layer + 1, "attention_norm")
        return block, *passes.picked_normed(
            middle, out, routing.place, following, config.norm_epsilon
        )

    def backward(self, layer: int, block: Block, dy: Tensor) -> Tensor:
        """Of what the block gave -> of what it took."""
        config, gradients = self.config, self.parameters.gradients
        prefix = f"layers.{layer}."
        drows, dweight = experts_backward(
            dy, block.rows, block.gate_ups, block.routing,
            self.matrices(layer, self.parameters.weights), self.matrices(layer, gradients),
        )  # fmt: skip
        dlogits = routed_backward(block.routing, dweight, config.renormalize)
        gradients[prefix + "router"].copy_(torch.mm(dlogits.T, block.middle_normed.float()))
        drouted = torch.mm(dlogits, self.weight(layer, "router").float())
        dmiddle, dnorm = passes.picked_norm_backward(
            drows, block.routing.place, drouted, dy, block.middle, block.middle_scale,
            self.weight(layer, "experts_norm"),
        )  # fmt: skip
        gradients[prefix + "experts_norm"].copy_(dnorm)
        dmixed = torch.mm(dmiddle, self.weight(layer, "attention.output"))
        torch.mm(dmiddle.T, block.mixed, out=gradients[prefix + "attention.output"])
        dheads = attention_backward(self.unmerged(dmixed), *block.heads, block.kept)
        dqkv = passes.split_heads_backward(
            *dheads, self.cosine, self.sine, config.num_heads, config.num_kv_heads
        )
        torch.mm(dqkv.T, block.normed, out=gradients[prefix + "attention.qkv"])
        dnormed = torch.mm(dqkv, self.weight(layer, "attention.qkv"))
        return self.norm_backward(
            prefix + "attention_norm", dnormed, dmiddle, block.x, block.scale
        )

    def norm_backward(
        self, name: str, dnormed: Tensor, dresidual: Tensor, x: Tensor, scale: Tensor
    ) -> Tensor:
        dx, dweight = passes.norm_backward(
            dnormed, dresidual, x, scale, self.parameters.weights[name]
        )
        self.parameters.gradients[name].copy_(dweight)
        return dx

    def merged(self, x: Tensor) -> Tensor:
        """[N * heads, S, C] -> [N * S, heads * C]."""
        by_head = x.view(-1, self.config.num_heads, self.length, self.config.head_dim)
        return by_head.transpose(1, 2).reshape(-1, self.config.num_heads * self.config.head_dim)

    def unmerged(self, x: Tensor) -> Tensor:
        by_token = x.view(-1, self.length, self.config.num_heads, self.config.head_dim)
        return by_token.transpose(1, 2).reshape(-1, self.length, self.config.head_dim)

    def loss(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy and the gradient of x; writes that of the head."""
        head = self.parameters.weights["head"]
        dlogits = x.new_empty(x.shape[0], head.shape[0])
        for begin in range(0, x.shape[0], LOSS_ROWS):
            part = slice(begin, begin + LOSS_ROWS)
            torch.softmax(torch.mm(x[part], head.T), -1, out=dlogits[part])
        of_target = torch.arange(x.shape[0]) * head.shape[0] + targets
        probability = dlogits.view(-1)[of_target]
        loss = -probability.float().clamp_min(math.exp(-80)).log().sum()
        dlogits.view(-1)[of_target] = probability - 1
        share = 1 / x.shape[0]
        torch.mm(dlogits.T, x * share, out=self.parameters.gradients["head"])
        return loss * share, torch.mm(dlogits, head).mul_(share)
