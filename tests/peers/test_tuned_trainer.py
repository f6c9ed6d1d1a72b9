"""The tuned trainer computes the function and the gradients of the reference model."""

from __future__ import annotations

import unittest

import torch
from reference_model import ModelConfig, ReferenceModel, parameter_shapes
from tuned_trainer import Model

CONFIG = ModelConfig(
    vocab_size=50,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    widths=(8, 24, 40),
)
LENGTH = 70  # a whole block of queries and a part of one


def parts_of(name: str) -> list[str]:
    """The reference's names of a matrix that the trainer has as one."""
    parts = {"attention.qkv": ["query", "key", "value"], "gate_up": ["gate", "up"]}
    for whole, names in parts.items():
        if name.endswith(whole):
            begin = name.removesuffix(whole.rsplit(".")[-1])
            return [begin + part for part in names]
    return [name]


class TunedTrainer(unittest.TestCase):
    def test_loss_and_gradients_are_those_of_the_reference(self):
        torch.manual_seed(3)
        parameters = {
            name: (torch.randn(shape, dtype=torch.float64) * 0.3).requires_grad_()
            for name, shape in parameter_shapes(CONFIG).items()
        }
        model = Model(CONFIG, LENGTH, torch.float32)
        with torch.no_grad():
            for name, leaf in model.leaves.items():
                leaf.copy_(torch.cat([parameters[part] for part in parts_of(name)]))
        text = torch.randint(CONFIG.vocab_size, (3, LENGTH + 1))
        loss = model.loss(text[:, :-1], text[:, 1:])
        loss.backward()
        expected, _, _ = ReferenceModel(CONFIG, parameters).losses(text[:, :-1], text[:, 1:])
        expected.backward()
        self.assertAlmostEqual(loss.item(), expected.item(), delta=1e-5)
        for name, leaf in model.leaves.items():
            gradient = torch.cat([parameters[part].grad for part in parts_of(name)])
            error = (leaf.grad.double() - gradient).norm() / gradient.norm()
            self.assertLess(error.item(), 1e-4, name)


if __name__ == "__main__":
    unittest.main()
