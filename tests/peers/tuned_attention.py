"""Causal attention of the tuned trainer: batched products over blocks of queries.

Twice as fast forward and three times backward as scaled_dot_product_attention is on a CPU in bf16.
Shapes [N * heads, S, C]; the query is divided by the root of C already.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

QUERIES = 128  # of a block: fewer compute less above the diagonal, more are better products


@functools.cache
def future(begin: int, end: int, dtype: torch.dtype) -> Tensor:
    """-inf where a key comes after the query, [1, queries, keys]."""
    is_later = torch.arange(end) > torch.arange(begin, end)[:, None]
    return torch.zeros(is_later.shape, dtype=dtype).masked_fill_(is_later, -math.inf)[None]


def blocks(length: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + QUERIES, length)) for begin in range(0, length, QUERIES)]


def attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What is mixed, and the probabilities of each block for the way back."""
    output, kept = torch.empty_like(query), []
    for begin, end in blocks(query.shape[1]):
        scores = torch.baddbmm(
            future(begin, end, query.dtype), query[:, begin:end], key[:, :end].transpose(1, 2)
        )
        kept.append(scores.softmax(-1))
        output[:, begin:end] = torch.bmm(kept[-1], value[:, :end])
    return output, kept


def attention_backward(
    doutput: Tensor, query: Tensor, key: Tensor, value: Tensor, kept: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    dquery = torch.empty_like(query)
    dkey, dvalue = torch.empty_like(key), torch.empty_like(value)
    # From the last block on: it reaches every key, so that it writes and the others add.
    for (begin, end), probabilities in reversed(list(zip(blocks(query.shape[1]), kept))):
        adds = 0 if end == query.shape[1] else 1
        d = doutput[:, begin:end]
        dvalue[:, :end].baddbmm_(probabilities.transpose(1, 2), d, beta=adds)
        dprobabilities = torch.bmm(d, value[:, :end].transpose(1, 2))
        dscores = torch._softmax_backward_data(dprobabilities, probabilities, -1, key.dtype)
        dquery[:, begin:end] = torch.bmm(dscores, key[:, :end])
        dkey[:, :end].baddbmm_(dscores.transpose(1, 2), query[:, begin:end], beta=adds)
    return dquery, dkey, dvalue
