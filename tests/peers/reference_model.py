"""The model of hetmoe in plain PyTorch: slow, short, and independent of every line of C++ here.

Shapes: N sequences, S positions, T = N * S tokens, D hidden_size, V vocab_size, H query heads,
G key/value heads, C head_dim, E experts, h_e width of expert e.
Parameters live in one dictionary under their global names; `parameter_shapes` lists them.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    widths: tuple[int, ...]
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5
    qk_norm: bool = False
    router_kind: str = "top_k"  # or "top_p"
    top_k: int = 2
    top_p: float = 0.6
    renormalize: bool = True
    parameter_penalty: float = 0.0  # weights of the auxiliary losses
    load_balance: float = 0.0
    router_entropy: float = 0.0
    penalty_form: str = "paper"  # or "released_code"


@dataclasses.dataclass
class Routing:
    """What one router decided for T tokens."""

    probabilities: Tensor  # [T, E], sums to 1
    selected: Tensor  # [T, E], bool
    gates: Tensor  # [T, E], 0 where not selected
    margin: float  # smallest change of a probability (or of a running sum) that alters a decision


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Global name -> shape. `down` is stored [h_e, D], the transpose of the usual layout."""
    hidden, head_dim = config.hidden_size, config.head_dim
    query_rows, key_rows = config.num_heads * head_dim, config.num_kv_heads * head_dim
    shapes: dict[str, tuple[int, ...]] = {"embedding": (config.vocab_size, hidden)}
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}."
        shapes[prefix + "attention_norm"] = (hidden,)
        shapes[prefix + "attention.query"] = (query_rows, hidden)
        shapes[prefix + "attention.key"] = (key_rows, hidden)
        shapes[prefix + "attention.value"] = (key_rows, hidden)
        shapes[prefix + "attention.output"] = (hidden, query_rows)
        if config.qk_norm:
            shapes[prefix + "attention.query_norm"] = (head_dim,)
            shapes[prefix + "attention.key_norm"] = (head_dim,)
        shapes[prefix + "experts_norm"] = (hidden,)
        shapes[prefix + "router"] = (len(config.widths), hidden)
        for expert, width in enumerate(config.widths):
            for matrix in ("gate", "up", "down"):
                shapes[f"{prefix}experts.{expert}.{matrix}"] = (width, hidden)
    shapes["final_norm"] = (hidden,)
    shapes["head"] = (config.vocab_size, hidden)
    return shapes


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rotate(x: Tensor, theta: float) -> Tensor:
    """Rotary positions on x [N, heads, S, C]; halves are rotated, as in Hugging Face's LLaMA."""
    positions, half = x.shape[-2], x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half, dtype=x.dtype) / half)
    angles = torch.outer(torch.arange(positions, dtype=x.dtype), frequencies)
    cosine, sine = angles.cos(), angles.sin()
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def select_top_k(probabilities: Tensor, k: int) -> tuple[Tensor, float]:
    """The k largest of each row [T, E]; ties go to the lower expert id."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    selected = torch.zeros_like(probabilities, dtype=torch.bool)
    selected.scatter_(1, order[:, :k], True)
    if k == probabilities.shape[1]:
        return selected, math.inf
    return selected, (ordered[:, k - 1] - ordered[:, k]).min().item()


def select_top_p(probabilities: Tensor, p: float) -> tuple[Tensor, float]:
    """The smallest set of each row [T, E] whose sum reaches p; all if p is never reached."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    running = ordered.cumsum(dim=-1)
    before = torch.cat((torch.zeros_like(running[:, :1]), running[:, :-1]), dim=-1)
    taken = before < p  # an expert is needed while the sum of those before it is short of p
    selected = torch.zeros_like(taken).scatter(1, order, taken)
    # A decision changes when a running sum crosses p or when the last one in and the first one
    # out change places.
    last_in = taken.sum(dim=-1, keepdim=True) - 1
    first_out = (last_in + 1).clamp(max=ordered.shape[1] - 1)
    swap = ordered.gather(1, last_in) - ordered.gather(1, first_out)
    swap[first_out == last_in] = math.inf
    margin = min((running[:, :-1] - p).abs().min().item(), swap.min().item())
    return selected, margin


def route(x: Tensor, router: Tensor, config: ModelConfig) -> Routing:
    probabilities = (x @ router.T).softmax(dim=-1)
    with torch.no_grad():
        if config.router_kind == "top_k":
            selected, margin = select_top_k(probabilities, config.top_k)
        else:
            selected, margin = select_top_p(probabilities, config.top_p)
    gates = probabilities * selected
    if config.renormalize:
        gates = gates / gates.sum(dim=-1, keepdim=True)
    return Routing(probabilities, selected, gates, margin)


def auxiliary_losses(routing: Routing, config: ModelConfig) -> dict[str, Tensor]:
    """Unweighted losses of one layer over the tokens of one global microbatch."""
    probabilities, selected = routing.probabilities, routing.selected.to(routing.gates.dtype)
    widths = torch.tensor(config.widths, dtype=probabilities.dtype)
    experts = len(config.widths)
    mean_probability = probabilities.mean(dim=0)  # P-hat_i
    load = selected.mean(dim=0)  # share of tokens that select expert i, no gradient
    if config.penalty_form == "paper":
        penalty = experts * (load * widths / widths.mean() * mean_probability).sum()
    else:
        # The released code divides by T * k; with Top-P that is the number of selections.
        penalty = (routing.gates * widths).sum() / (selected.sum() * widths.sum())
    log_probabilities = probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
    return {
        "parameter_penalty": penalty,
        "load_balance": experts * (load * mean_probability).sum(),
        "router_entropy": -(probabilities * log_probabilities).sum(dim=-1).mean(),
    }


class ReferenceModel:
    """Decoder with a mixture of SwiGLU experts of unequal width in every block.

    `parameters` holds leaf tensors under their global names, all of one floating type, which is
    the type of the whole computation.
    """

    def __init__(self, config: ModelConfig, parameters: dict[str, Tensor]):
        expected = parameter_shapes(config)
        found = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
        if found != expected:
            wrong = sorted(
                name
                for name in expected.keys() | found.keys()
                if expected.get(name) != found.get(name)
            )
            name = wrong[0]
            raise ValueError(
                f"parameter {name}: found shape {found.get(name)}, expected {expected.get(name)}"
                f" ({len(wrong)} parameters differ)"
            )
        self.config = config
        self.parameters = parameters

    def attention(self, x: Tensor, document_begin: Tensor, prefix: str) -> Tensor:
        config, parameters = self.config, self.parameters
        sequences, positions, _ = x.shape

        def heads(name: str, count: int) -> Tensor:  # [N, count, S, C]
            projected = x @ parameters[f"{prefix}attention.{name}"].T
            return projected.view(sequences, positions, count, config.head_dim).transpose(1, 2)

        query = heads("query", config.num_heads)
        key = heads("key", config.num_kv_heads)
        value = heads("value", config.num_kv_heads)
        if config.qk_norm:
            epsilon = config.norm_epsilon
            query = rms_norm(query, parameters[prefix + "attention.query_norm"], epsilon)
            key = rms_norm(key, parameters[prefix + "attention.key_norm"], epsilon)
        query, key = rotate(query, config.rope_theta), rotate(key, config.rope_theta)
        queries_per_key = config.num_heads // config.num_kv_heads
        key = key.repeat_interleave(queries_per_key, dim=1)
        value = value.repeat_interleave(queries_per_key, dim=1)
        scores = query @ key.transpose(-1, -2) / math.sqrt(config.head_dim)
        position = torch.arange(positions)
        future = position > position.unsqueeze(1)  # [query, key]
        foreign = position < document_begin.unsqueeze(-1)  # [N, query, key]
        hidden = (future | foreign).unsqueeze(1)
        mixed = scores.masked_fill(hidden, -math.inf).softmax(dim=-1) @ value
        mixed = mixed.transpose(1, 2).reshape(sequences, positions, -1)
        return mixed @ parameters[prefix + "attention.output"].T

    def expert(self, x: Tensor, prefix: str) -> Tensor:
        gate, up, down = (self.parameters[prefix + name] for name in ("gate", "up", "down"))
        return (F.silu(x @ gate.T) * (x @ up.T)) @ down

    def mixture(self, x: Tensor, prefix: str) -> tuple[Tensor, Routing]:
        """x [T, D] -> sum of the selected experts, weighted by their gates."""
        routing = route(x, self.parameters[prefix + "router"], self.config)
        y = torch.zeros_like(x)
        for expert in range(len(self.config.widths)):
            tokens = routing.selected[:, expert].nonzero().squeeze(1)
            output = self.expert(x[tokens], f"{prefix}experts.{expert}.")
            y = y.index_add(0, tokens, routing.gates[tokens, expert].unsqueeze(1) * output)
        return y, routing

    def forward(
        self, inputs: Tensor, document_begin: Tensor | None = None
    ) -> tuple[Tensor, list[Routing]]:
        """Token ids [N, S] -> logits [N, S, V] and the routing of each layer. Attention reaches
        back to document_begin [N, S] of the query; None: to the start of the row."""
        parameters, epsilon = self.parameters, self.config.norm_epsilon
        if document_begin is None:
            document_begin = torch.zeros_like(inputs)
        x = parameters["embedding"][inputs]
        routings = []
        for layer in range(self.config.num_layers):
            prefix = f"layers.{layer}."
            normed = rms_norm(x, parameters[prefix + "attention_norm"], epsilon)
            x = x + self.attention(normed, document_begin, prefix)
            normed = rms_norm(x, parameters[prefix + "experts_norm"], epsilon)
            mixed, routing = self.mixture(normed.flatten(0, 1), prefix)
            x = x + mixed.view_as(x)
            routings.append(routing)
        x = rms_norm(x, parameters["final_norm"], epsilon)
        return x @ parameters["head"].T, routings

    def losses(
        self, inputs: Tensor, targets: Tensor, document_begin: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], float]:
        """Of one global microbatch: language-model loss (nats per token), auxiliary losses
        (unweighted, summed over layers), smallest routing margin."""
        logits, routings = self.forward(inputs, document_begin)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="mean")
        layers = [auxiliary_losses(routing, self.config) for routing in routings]
        auxiliary = {name: sum(layer[name] for layer in layers) for name in layers[0]}
        return loss, auxiliary, min(routing.margin for routing in routings)

    def objective(self, loss: Tensor, auxiliary: dict[str, Tensor]) -> Tensor:
        """What is minimised: the language-model loss plus the weighted auxiliary losses."""
        return (
            loss
            + self.config.parameter_penalty * auxiliary["parameter_penalty"]
            + self.config.load_balance * auxiliary["load_balance"]
            + self.config.router_entropy * auxiliary["router_entropy"]
        )
