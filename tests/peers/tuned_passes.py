"""What of the tuned trainer is no product: passes over memory, forward and backward.

Each is plain PyTorch; compile_passes() has torch.compile make one loop of it. Arithmetic of 16 bit
tensors is written in their type: compiled code keeps what lies between in fp32 anyway.
T tokens, P rows that experts compute, D hidden size, C head size.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor


def normed(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """RMSNorm of x [T, D], and the scale of each row [T, 1] in fp32."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale * weight.float()).to(x.dtype), scale


def added_normed(x: Tensor, delta: Tensor, weight: Tensor, epsilon: float):
    """x + delta, its RMSNorm, the scale."""
    total = x + delta
    return total, *normed(total, weight, epsilon)


def picked(rows: Tensor, place: Tensor) -> Tensor:
    """rows [P, D], place [T, k] -> the sum of each token's rows."""
    total = rows[place[:, 0]]
    for selection in range(1, place.shape[1]):
        total = total + rows[place[:, selection]]
    return total


def picked_normed(x: Tensor, rows: Tensor, place: Tensor, weight: Tensor, epsilon: float):
    """x + the sum of each token's rows, its RMSNorm, the scale."""
    return added_normed(x, picked(rows, place), weight, epsilon)


def norm_backward(dnormed: Tensor, dresidual: Tensor, x: Tensor, scale: Tensor, weight: Tensor):
    """Gradients of x, dresidual (what reaches x beside the norm) added, and of weight (fp32)."""
    relative = x.float() * scale
    wide = dnormed.float()
    weighted = wide * weight.float()
    along = (weighted * relative).mean(-1, keepdim=True)
    dx = (weighted - relative * along) * scale + dresidual.float()
    return dx.to(x.dtype), (wide * relative).sum(0)


def picked_norm_backward(
    drows: Tensor, place: Tensor, drouted: Tensor, dresidual: Tensor, x: Tensor, scale: Tensor,
    weight: Tensor,
):  # fmt: skip
    """norm_backward where the norm's gradient comes from the experts' rows and the router."""
    dnormed = picked(drows, place).float() + drouted
    return norm_backward(dnormed, dresidual, x, scale, weight)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x [N, S, heads, C]; cosine, sine [S, 1, C / 2]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def split_heads(
    qkv: Tensor, cosine: Tensor, sine: Tensor, heads: int, key_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """qkv [N * S, (heads + 2 key_heads) * C] -> query, key, value [N * heads, S, C], rotated; query
    is divided by the root of C. A key head is repeated for each query head of its group."""
    length, half = cosine.shape[0], cosine.shape[-1]
    parts = qkv.view(-1, length, heads + 2 * key_heads, 2 * half)
    query, key, value = parts.split((heads, key_heads, key_heads), dim=2)
    query = rotated(query, cosine, sine) / math.sqrt(2 * half)
    key = rotated(key, cosine, sine)
    if heads != key_heads:
        key, value = (h.repeat_interleave(heads // key_heads, dim=2) for h in (key, value))
    query, key, value = (
        h.transpose(1, 2).contiguous().view(-1, length, 2 * half) for h in (query, key, value)
    )
    return query, key, value


def split_heads_backward(
    dquery: Tensor, dkey: Tensor, dvalue: Tensor, cosine: Tensor, sine: Tensor, heads: int,
    key_heads: int,
) -> Tensor:  # fmt: skip
    length, half = cosine.shape[0], cosine.shape[-1]
    group = heads // key_heads
    dquery, dkey, dvalue = (
        h.view(-1, heads, length, 2 * half).transpose(1, 2) for h in (dquery, dkey, dvalue)
    )
    if group > 1:
        dkey, dvalue = (h.unflatten(2, (key_heads, group)).sum(3) for h in (dkey, dvalue))
    dquery = rotated(dquery, cosine, -sine) / math.sqrt(2 * half)
    dqkv = torch.cat((dquery, rotated(dkey, cosine, -sine), dvalue), dim=2)
    return dqkv.flatten(2).flatten(0, 1)


def swiglu(gate_up: Tensor, weight: Tensor) -> Tensor:
    """gate_up [P, 2 h], weight [P] -> [P, h]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up * weight[:, None].to(gate_up.dtype)


def swiglu_backward(
    gate_up: Tensor, weight: Tensor, dhidden: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What swiglu gave, the gradients of gate_up and of weight (fp32)."""
    gate, up = gate_up.chunk(2, dim=-1)
    column = weight[:, None].to(gate_up.dtype)
    silu = F.silu(gate)
    hidden = silu * up
    dweight = (dhidden * hidden).sum(-1, dtype=torch.float32)
    weighted = dhidden * column
    dgate = torch.ops.aten.silu_backward(weighted * up, gate)
    return hidden * column, torch.cat((dgate, weighted * silu), dim=-1), dweight


def sum_of_squares(gradient: Tensor, chunk: int) -> Tensor:
    """Of a flat tensor. A chunk in fp32 stays in the cache."""
    total, wide = torch.zeros(()), torch.empty(chunk)
    for part in gradient.split(chunk):
        values = wide[: part.numel()].copy_(part)
        total += torch.dot(values, values)
    return total


def sum_of_squares_in_one_loop(gradient: Tensor, _: int) -> Tensor:
    """The same where it is compiled; gradient consists of whole lines of 1,024."""
    return gradient.view(-1, 1024).float().square().sum(-1).sum()


@dataclasses.dataclass(frozen=True)
class AdamWFactors:
    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8


def adamw(
    factors: AdamWFactors, chunk: int, decay: float, updates: Tensor, divisor: Tensor,
    gradient: Tensor, weight: Tensor, master: Tensor, *moments: Tensor,
) -> None:  # fmt: skip
    """Flat tensors of one length. The gradient is divided by divisor [] first; updates [] counts
    from 1. weight, what products read, may be master itself. A chunk stays in the cache from one
    of the three calls to the next."""
    room = torch.empty(min(chunk, master.numel()))
    for begin in range(0, master.numel(), chunk):
        part = slice(begin, begin + chunk)
        wide = room[: master[part].numel()].copy_(gradient[part])
        torch._fused_adamw_(
            [master[part]], [wide], *([moment[part]] for moment in moments), [], [updates],
            lr=factors.learning_rate, beta1=factors.beta1, beta2=factors.beta2, weight_decay=decay,
            eps=factors.epsilon, amsgrad=False, maximize=False, grad_scale=divisor,
        )  # fmt: skip
        if weight is not master:
            weight[part].copy_(master[part])


def adamw_in_one_loop(
    factors: AdamWFactors, _: int, decay: float, updates: Tensor, divisor: Tensor,
    gradient: Tensor, weight: Tensor, master: Tensor, first: Tensor, second: Tensor,
) -> None:  # fmt: skip
    """The same where it is compiled."""
    wide = gradient.float() / divisor
    mean = first + (1 - factors.beta1) * (wide - first)
    square = second + (1 - factors.beta2) * (wide * wide - second)
    rate = factors.learning_rate / (1 - factors.beta1**updates)
    root = (square / (1 - factors.beta2**updates)).sqrt() + factors.epsilon
    updated = master * (1 - factors.learning_rate * decay) - rate * mean / root
    first.copy_(mean)
    second.copy_(square)
    master.copy_(updated)
    if weight is not master:
        weight.copy_(updated)


OTHERWISE_WHERE_COMPILED = {
    "sum_of_squares": sum_of_squares_in_one_loop,
    "adamw": adamw_in_one_loop,
}
PASSES_OF_FIXED_SHAPE = (
    "normed", "added_normed", "norm_backward", "split_heads", "split_heads_backward",
    "sum_of_squares",
)  # fmt: skip
PASSES_OF_ROWS = ("picked_normed", "picked_norm_backward", "swiglu", "swiglu_backward", "adamw")


def compile_passes() -> None:
    """Replaces the passes of this module by compiled ones, for the whole process."""
    compiled = {
        name: torch.compile(
            OTHERWISE_WHERE_COMPILED.get(name, globals()[name]),
            dynamic=name in PASSES_OF_ROWS,
            fullgraph=True,
        )
        for name in PASSES_OF_FIXED_SHAPE + PASSES_OF_ROWS
    }
    globals().update(compiled)
