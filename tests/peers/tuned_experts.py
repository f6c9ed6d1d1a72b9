"""Router and experts of the tuned trainer, forward and backward.

T tokens, k selections each, E experts, P rows: selections ordered by expert, those of an expert
padded to a multiple of ROWS by token 0 with weight 0. So the library, which makes a kernel for
every shape, meets few of them.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import tuned_passes as passes

ROWS = 32


@dataclasses.dataclass
class Routing:
    probabilities: Tensor  # [T, E]
    chosen: Tensor  # [T, k]
    gates: Tensor  # [T, k]
    total: Tensor  # [T, 1], what gates were divided by
    order: Tensor  # [P], token of each row
    place: Tensor  # [T, k], row of each selection
    weight: Tensor  # [P], gate of each row
    counts: list[int]  # [E], rows of each expert, padded
    selected: Tensor  # [E], without the padding


def routed(logits: Tensor, top_k: int, renormalize: bool) -> Routing:
    """logits [T, E] in fp32."""
    probabilities = logits.softmax(-1)
    raw, chosen = probabilities.topk(top_k, dim=-1)
    total = raw.sum(-1, keepdim=True) if renormalize else torch.ones_like(raw[:, :1])
    gates = raw / total
    flat = chosen.flatten()
    by_expert = flat.argsort(stable=True)
    selected = torch.bincount(flat, minlength=logits.shape[1])
    padded = (selected + ROWS - 1) // ROWS * ROWS
    shift = (padded.cumsum(0) - padded) - (selected.cumsum(0) - selected)
    rows = torch.arange(flat.numel()) + shift[flat[by_expert]]
    place = torch.empty_like(flat).scatter_(0, by_expert, rows)
    counts = padded.tolist()
    order = torch.zeros(sum(counts), dtype=torch.long)
    order[rows] = by_expert // top_k
    weight = torch.zeros(order.numel()).index_put_((place,), gates.flatten())
    return Routing(
        probabilities, chosen, gates, total, order, place.view_as(chosen), weight, counts, selected
    )


def routed_backward(routing: Routing, dweight: Tensor, renormalize: bool) -> Tensor:
    """Of the weights of rows [P] -> of the logits."""
    dgates = dweight[routing.place]
    if renormalize:
        dgates = dgates - (dgates * routing.gates).sum(-1, keepdim=True)
    draw = dgates / routing.total
    dprobabilities = torch.zeros_like(routing.probabilities).scatter_(1, routing.chosen, draw)
    return torch._softmax_backward_data(
        dprobabilities, routing.probabilities, -1, dprobabilities.dtype
    )


def experts(x: Tensor, routing: Routing, matrices: list[tuple[Tensor, Tensor]]):
    """x [T, D] -> its rows [P, D], what the experts make of them, and gate and up of each expert.
    An expert's matrices are gate and up [2 h, D] and down [h, D]."""
    rows = x.index_select(0, routing.order)
    out = torch.empty_like(rows)
    gate_ups, begin = [], 0
    for count, (gate_up, down) in zip(routing.counts, matrices):
        part = slice(begin, begin + count)
        gate_ups.append(torch.mm(rows[part], gate_up.T))
        torch.mm(passes.swiglu(gate_ups[-1], routing.weight[part]), down, out=out[part])
        begin += count
    return rows, out, gate_ups


def experts_backward(
    dy: Tensor, rows: Tensor, gate_ups: list[Tensor], routing: Routing,
    matrices: list[tuple[Tensor, Tensor]], gradients: list[tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """dy [T, D] -> the gradients of rows and of the rows' weights; writes those of the matrices."""
    dout = dy.index_select(0, routing.order)
    drows, dweight = torch.empty_like(rows), torch.empty_like(routing.weight)
    begin = 0
    for expert, count in enumerate(routing.counts):
        part = slice(begin, begin + count)
        (gate_up, down), (dgate_up_matrix, ddown) = matrices[expert], gradients[expert]
        dhidden = torch.mm(dout[part], down.T)
        hidden, dgate_up, dweight[part] = passes.swiglu_backward(
            gate_ups[expert], routing.weight[part], dhidden
        )
        torch.mm(dgate_up, gate_up, out=drows[part])
        torch.mm(dgate_up.T, rows[part], out=dgate_up_matrix)
        torch.mm(hidden.T, dout[part], out=ddown)
        begin += count
    return drows, dweight


def prime(tokens: int, hidden: int, matrices: list[tuple[Tensor, Tensor]], top_k: int) -> None:
    """Has the library make its kernels for the row counts that are likely: the first hundred steps
    would do it one by one. Gradients go nowhere."""
    mean = tokens * top_k // len(matrices)
    x = torch.ones(tokens, hidden, dtype=matrices[0][0].dtype)
    gradients = [tuple(torch.empty_like(matrix) for matrix in pair) for pair in matrices]
    none = torch.zeros(0)
    for count in range(mean * 2 // 5 // ROWS * ROWS + ROWS, mean * 9 // 5, ROWS):
        counts = [count] * len(matrices)
        order = torch.zeros(sum(counts), dtype=torch.long)
        weight = torch.zeros(sum(counts))
        routing = Routing(none, none, none, none, order, none, weight, counts, none)
        rows, _, gate_ups = experts(x, routing, matrices)
        experts_backward(x, rows, gate_ups, routing, matrices, gradients)
