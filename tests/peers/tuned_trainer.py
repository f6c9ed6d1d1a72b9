"""The trainer that a careful user of PyTorch would write for experts of unequal width on a CPU.

    tuned_trainer.py [--size S|M|L] [--precision bf16|fp32] [--threads 1] [--compile] [--rounds 7]

One JSON line with the median tokens/s of a step (forward, backward, clipping, AdamW with fp32
masters) and its share of the yardstick, measured between the steps. What was done for speed:
memory is kept and huge pages are asked for, so that a step faults nothing in; query, key and value
are one product, gate and up are one; rows of an expert are padded to a multiple of 64, so that the
library's kernels are made once per shape; attention goes in blocks of 64 queries; the loss goes in
chunks that turn logits into their gradient; AdamW is one fused call on flat buffers. With --compile
what is not a product goes through torch.compile.
The function is that of reference_model.py (test_tuned_trainer.py).
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import statistics
import sys
import time

MEMORY = {
    # glibc would give large blocks back after every use.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184"
    ":glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
    "THP_MEM_ALLOC_ENABLE": "1",
}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in MEMORY.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MEMORY})

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.autograd import Function  # noqa: E402

from reference_model import ModelConfig  # noqa: E402

ROWS = 64  # experts' rows are padded to a multiple of it; queries of a block of attention
LOSS_ROWS = 128  # of a chunk of the loss: its logits stay in the cache


# What is not a product: passes over memory, which torch.compile fuses.


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale * weight.float()).to(x.dtype)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x [N, S, heads, C]; cosine, sine [S, 1, C / 2], of x's type."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def swiglu(gate_up: Tensor, weight: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up * weight[:, None].to(gate_up.dtype)


def swiglu_backward(
    gate_up: Tensor, weight: Tensor, dhidden: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The hidden layer again, the gradients of gate_up and of weight."""
    gate, up = gate_up.chunk(2, dim=-1)
    column = weight[:, None].to(gate_up.dtype)
    sigmoid = torch.sigmoid(gate)
    silu = gate * sigmoid
    hidden = silu * up
    dweight = (dhidden * hidden).sum(-1, dtype=torch.float32)
    weighted = dhidden * column
    dgate_up = torch.empty_like(gate_up)
    dgate, dup = dgate_up.chunk(2, dim=-1)
    torch.mul(weighted, silu, out=dup)
    torch.mul(weighted.mul_(up), torch.addcmul(sigmoid, silu, 1 - sigmoid), out=dgate)
    return hidden.mul_(column), dgate_up, dweight


def compile_passes() -> None:
    """Replaces the passes above by compiled ones."""
    for name in ("rms_norm", "rotate", "swiglu", "swiglu_backward"):
        globals()[name] = torch.compile(globals()[name], dynamic=True)


class Attention(Function):
    """Causal attention in blocks of queries. Shapes [N * heads, S, C]."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ctx.scale = 1 / math.sqrt(query.shape[-1])
        output = torch.empty_like(query)
        kept = []
        for begin in range(0, query.shape[1], ROWS):
            end = min(begin + ROWS, query.shape[1])
            scores = torch.baddbmm(
                Attention.future(begin, end, query.dtype), query[:, begin:end],
                key[:, :end].transpose(1, 2), alpha=ctx.scale,
            )  # fmt: skip
            probabilities = scores.softmax(-1)
            output[:, begin:end] = torch.bmm(probabilities, value[:, :end])
            kept.append(probabilities)
        ctx.save_for_backward(query, key, value, *kept)
        return output

    @staticmethod
    def backward(ctx, doutput: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, *kept = ctx.saved_tensors
        dquery = torch.empty_like(query)
        dkey, dvalue = (torch.zeros_like(key, dtype=torch.float32) for _ in range(2))
        for block, probabilities in enumerate(kept):
            begin, end = block * ROWS, block * ROWS + probabilities.shape[1]
            d = doutput[:, begin:end]
            dvalue[:, :end] += torch.bmm(probabilities.transpose(1, 2), d)
            dprobabilities = torch.bmm(d, value[:, :end].transpose(1, 2))
            dscores = torch._softmax_backward_data(dprobabilities, probabilities, -1, key.dtype)
            dscores.mul_(ctx.scale)
            dquery[:, begin:end] = torch.bmm(dscores, key[:, :end])
            dkey[:, :end] += torch.bmm(dscores.transpose(1, 2), query[:, begin:end])
        return dquery, dkey.to(key.dtype), dvalue.to(key.dtype)

    @staticmethod
    @functools.cache
    def future(begin: int, end: int, dtype: torch.dtype) -> Tensor:
        """-inf where a key comes after the query, [1, queries, keys]."""
        is_later = torch.arange(end) > torch.arange(begin, end)[:, None]
        return torch.zeros(is_later.shape, dtype=dtype).masked_fill_(is_later, -math.inf)[None]


class Experts(Function):
    """Sum over each token's experts. `order` [P] are tokens by expert, each expert's padded by
    token 0 with weight 0; `place` [T, k] says where a token's selections are among them."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, order: Tensor, place: Tensor, counts: list[int],
                *matrices: Tensor) -> Tensor:  # fmt: skip
        rows = x.index_select(0, order)
        out = torch.empty_like(rows)
        gate_ups, begin = [], 0
        for count, gate_up, down in zip(counts, matrices[::2], matrices[1::2]):
            part = slice(begin, begin + count)
            gate_ups.append(rows[part] @ gate_up.T)
            torch.mm(swiglu(gate_ups[-1], weight[part]), down, out=out[part])
            begin += count
        ctx.save_for_backward(rows, weight, place, order, *matrices, *gate_ups)
        ctx.counts = counts
        return Experts.combined(out, place)

    @staticmethod
    def backward(ctx, dy: Tensor):
        rows, weight, place, order, *rest = ctx.saved_tensors
        experts = len(ctx.counts)
        matrices, gate_ups = rest[: 2 * experts], rest[2 * experts :]
        dout = dy.index_select(0, order)
        drows, dweight = torch.empty_like(rows), torch.empty_like(weight)
        gradients, begin = [], 0
        for e, count in enumerate(ctx.counts):
            part = slice(begin, begin + count)
            gate_up, down = matrices[2 * e], matrices[2 * e + 1]
            dhidden = dout[part] @ down.T
            hidden, dgate_up, dweight[part] = swiglu_backward(gate_ups[e], weight[part], dhidden)
            torch.mm(dgate_up, gate_up, out=drows[part])
            gradients += [dgate_up.T @ rows[part], hidden.T @ dout[part]]
            begin += count
        return Experts.combined(drows, place), dweight, None, None, None, *gradients

    @staticmethod
    def combined(rows: Tensor, place: Tensor) -> Tensor:
        picked = rows.index_select(0, place.flatten())
        return picked.view(*place.shape, -1).sum(1)


class Loss(Function):
    """Mean cross entropy; fp32 logits exist for a chunk of rows, their gradient in x's type."""

    @staticmethod
    def forward(ctx, x: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        dlogits = x.new_empty(x.shape[0], head.shape[0])
        loss = torch.zeros((), dtype=torch.float32)
        for begin in range(0, x.shape[0], LOSS_ROWS):
            part = slice(begin, begin + LOSS_ROWS)
            logits = (x[part] @ head.T).float()
            target = targets[part, None]
            log_sum = logits.logsumexp(-1, keepdim=True)
            loss += (log_sum - logits.gather(1, target)).sum()
            logits.sub_(log_sum).exp_().scatter_add_(1, target, -torch.ones_like(log_sum))
            torch.mul(logits, 1 / x.shape[0], out=logits)
            dlogits[part] = logits
        ctx.save_for_backward(dlogits @ head, dlogits.T @ x)
        return loss / x.shape[0]

    @staticmethod
    def backward(ctx, dloss: Tensor):
        dx, dhead = ctx.saved_tensors
        return dx, dhead, None  # dloss is 1: nothing follows the loss


def routed(x: Tensor, router: Tensor, config: ModelConfig):
    """weight, order, place and counts of Experts."""
    probabilities = (x.float() @ router.float().T).softmax(-1)
    gates, chosen = probabilities.topk(config.top_k, dim=-1)
    if config.renormalize:
        gates = gates / gates.sum(-1, keepdim=True)
    with torch.no_grad():
        flat = chosen.flatten()
        by_expert = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=len(config.widths))
        padded = (counts + ROWS - 1) // ROWS * ROWS
        shift = (padded.cumsum(0) - padded) - (counts.cumsum(0) - counts)
        place_sorted = torch.arange(flat.numel()) + shift[flat[by_expert]]
        place = torch.empty_like(flat).scatter_(0, by_expert, place_sorted)
        order = torch.zeros(int(padded.sum()), dtype=torch.long)
        order[place_sorted] = by_expert // config.top_k
    weight = torch.zeros(order.numel()).index_put((place,), gates.flatten())
    return weight, order, place.view_as(chosen), padded.tolist()


class Model:
    """Leaves in the type of computation; query, key and value rows are one matrix, as gate and up."""

    def __init__(self, config: ModelConfig, length: int, dtype: torch.dtype):
        self.config = config
        hidden = config.hidden_size
        half = config.head_dim // 2
        angle = torch.outer(
            torch.arange(length).float(),
            config.rope_theta ** (-torch.arange(half).float() / half),
        )[:, None]
        self.cosine, self.sine = angle.cos().to(dtype), angle.sin().to(dtype)
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
        self.masters = {
            name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.02
            for name, shape in shapes.items()
        }
        self.leaves = {
            name: master.to(dtype, copy=True).requires_grad_()
            for name, master in self.masters.items()
        }

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Of tokens [N, S]."""
        leaves, config = self.leaves, self.config
        x = F.embedding(inputs.flatten(), leaves["embedding"])
        for layer in range(config.num_layers):
            prefix = f"layers.{layer}."
            normed = rms_norm(x, leaves[prefix + "attention_norm"], config.norm_epsilon)
            x = x + self.attention(normed, prefix, *inputs.shape)
            normed = rms_norm(x, leaves[prefix + "experts_norm"], config.norm_epsilon)
            x = x + self.experts(normed, prefix)
        x = rms_norm(x, leaves["final_norm"], config.norm_epsilon)
        return Loss.apply(x, leaves["head"], targets.flatten())

    def attention(self, x: Tensor, prefix: str, sequences: int, length: int) -> Tensor:
        config = self.config
        qkv = F.linear(x, self.leaves[prefix + "attention.qkv"])
        heads = qkv.view(sequences, length, -1, config.head_dim)
        turned, value = heads.split(
            (config.num_heads + config.num_kv_heads, config.num_kv_heads), dim=2
        )
        turned = rotate(turned, self.cosine, self.sine)
        query, key = turned.split((config.num_heads, config.num_kv_heads), dim=2)
        group = config.num_heads // config.num_kv_heads
        if group > 1:
            key, value = (h.repeat_interleave(group, dim=2) for h in (key, value))
        mixed = Attention.apply(*(h.transpose(1, 2).flatten(0, 1) for h in (query, key, value)))
        mixed = mixed.view(sequences, config.num_heads, length, -1).transpose(1, 2)
        return F.linear(mixed.reshape(x.shape[0], -1), self.leaves[prefix + "attention.output"])

    def experts(self, x: Tensor, prefix: str) -> Tensor:
        weight, order, place, counts = routed(x, self.leaves[prefix + "router"], self.config)
        matrices = [
            self.leaves[f"{prefix}experts.{expert}.{matrix}"]
            for expert in range(len(self.config.widths))
            for matrix in ("gate_up", "down")
        ]
        return Experts.apply(x, weight, order, place, counts, *matrices)


class Optimizer:
    """AdamW on flat fp32 masters: matrices decay, norms do not."""

    def __init__(self, model: Model, learning_rate: float):
        self.model, self.learning_rate = model, learning_rate
        names = sorted(model.masters, key=lambda name: model.masters[name].dim())
        self.names = names
        flat = torch.cat([model.masters[name].flatten() for name in names])
        self.decaying = sum(model.masters[n].numel() for n in names if model.masters[n].dim() == 1)
        self.master, self.gradient = flat, torch.zeros_like(flat)
        self.moments = torch.zeros_like(flat), torch.zeros_like(flat)
        self.updates = torch.zeros(())
        sizes = [model.masters[name].numel() for name in names]
        self.views = [
            [part.view_as(model.masters[name]) for name, part in zip(names, buffer.split(sizes))]
            for buffer in (self.master, self.gradient)
        ]

    def step(self) -> None:
        leaves = [self.model.leaves[name] for name in self.names]
        torch._foreach_copy_(self.views[1], [leaf.grad for leaf in leaves])
        norm = self.gradient.norm()
        self.gradient.mul_(torch.clamp(1.0 / (norm + 1e-6), max=1.0))
        self.updates += 1
        for begin, end, decay in ((0, self.decaying, 0.0), (self.decaying, None, 0.1)):
            arguments = [
                [buffer[begin:end]] for buffer in (self.master, self.gradient, *self.moments)
            ]
            torch._fused_adamw_(
                *arguments, [], [self.updates], lr=self.learning_rate, beta1=0.9, beta2=0.95,
                weight_decay=decay, eps=1e-8, amsgrad=False, maximize=False,
            )  # fmt: skip
        with torch.no_grad():
            torch._foreach_copy_(leaves, self.views[0])
        for leaf in leaves:
            leaf.grad = None


def arithmetic_widths(count: int, mean: int) -> tuple[int, ...]:
    """Of the program: largest over smallest 2.56 (configs: shape arithmetic), multiples of 8."""
    smallest = 2 * mean / 3.56
    step = (2.56 - 1) * smallest / (count - 1)
    return tuple(round((smallest + i * step) / 8) * 8 for i in range(count))


SIZES = {
    "S": dict(hidden=256, layers=4, mean_width=512, vocab=8192, batch=16, length=256),
    "M": dict(hidden=512, layers=6, mean_width=1024, vocab=8192, batch=8, length=256),
    "L": dict(hidden=768, layers=4, mean_width=1536, vocab=32000, batch=4, length=512),
}


def config_of(size: str, widths: tuple[int, ...] | None = None) -> ModelConfig:
    sizes = SIZES[size]
    heads = sizes["hidden"] // 64
    return ModelConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_layers=sizes["layers"],
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=64,
        widths=widths or arithmetic_widths(8, sizes["mean_width"]),
    )


def yardstick_flops_per_second(dtype: torch.dtype) -> float:
    a, b = torch.randn(2048, 1024).to(dtype), torch.randn(1024, 2048).to(dtype)
    torch.mm(a, b)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - begin)
    return 2 * 2048 * 1024 * 2048 / statistics.median(seconds)


def flops_per_token(config: ModelConfig, length: int, mean_active_width: float) -> float:
    hidden = config.hidden_size
    rows = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    attended = config.num_heads * config.head_dim
    attention = 2 * hidden * (rows + attended) + 2 * attended * length
    experts = config.top_k * 6 * hidden * mean_active_width + 2 * hidden * len(config.widths)
    return 3 * (config.num_layers * (attention + experts) + 2 * hidden * config.vocab_size)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="M")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", default="", help="of all experts, with commas (default: unequal)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    if arguments.compile:
        compile_passes()
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    sizes = SIZES[arguments.size]
    widths = tuple(int(width) for width in arguments.widths.split(",") if width) or None
    config = config_of(arguments.size, widths)
    model = Model(config, sizes["length"], dtype)
    optimizer = Optimizer(model, 1e-4)
    speeds, yardsticks = [], []
    tokens = sizes["batch"] * sizes["length"]
    for turn in range(-3, arguments.rounds):
        text = torch.randint(config.vocab_size, (sizes["batch"], sizes["length"] + 1))
        yardstick = yardstick_flops_per_second(dtype)
        begin = time.perf_counter()
        loss = model.loss(text[:, :-1], text[:, 1:])
        loss.backward()
        optimizer.step()
        seconds = time.perf_counter() - begin
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"loss is {loss.item()}")
        if turn >= 0:
            speeds.append(tokens / seconds)
            yardsticks.append(yardstick)
    active = sum(config.widths) / len(config.widths)
    flops = flops_per_token(config, sizes["length"], active)
    print(
        json.dumps(
            {
                "case": "pytorch_tuned" + ("_compiled" if arguments.compile else ""),
                "size": arguments.size,
                "precision": arguments.precision,
                "threads": arguments.threads,
                "widths": config.widths,
                "tokens_per_second": round(statistics.median(speeds), 1),
                "spread": round((max(speeds) - min(speeds)) / statistics.median(speeds), 3),
                "yardstick_flops_per_second": statistics.median(yardsticks),
                "yardstick_ratio": round(
                    statistics.median(s * flops / y for s, y in zip(speeds, yardsticks)), 4
                ),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "versions": {"torch": torch.__version__},
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
