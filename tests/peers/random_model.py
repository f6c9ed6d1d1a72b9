"""A small model of equal widths with random parameters, for the tests."""

from __future__ import annotations

import torch

from reference_model import ModelConfig, parameter_shapes

EQUAL = ModelConfig(
    vocab_size=61,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    widths=(20,) * 4,
    rope_theta=1000.0,
    top_k=2,
)


def random_parameters(config: ModelConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype) * 0.3 + (len(shape) == 1)
        for name, shape in parameter_shapes(config).items()
    }


def tokens(config: ModelConfig, count: int = 3, positions: int = 17) -> torch.Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.randint(config.vocab_size, (count, positions), generator=generator)
