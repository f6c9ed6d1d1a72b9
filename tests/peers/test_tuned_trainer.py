"""The tuned trainer computes the function, gradients and steps of the reference model."""

from __future__ import annotations

import dataclasses
import unittest

import torch
import tuned_experts
import tuned_passes
from reference_model import ModelConfig, ReferenceModel, parameter_shapes
from tuned_model import Model
from tuned_optimizer import AdamW

CONFIG = ModelConfig(
    vocab_size=50,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    widths=(8, 24, 40),
)
# All experts are selected: in bf16 a token may go to another expert than in the reference.
MILD = dataclasses.replace(CONFIG, top_k=3)
LENGTH = 150  # a whole block of queries and a part of one


def parts_of(name: str) -> list[str]:
    """The reference's names of a matrix that the trainer has as one."""
    parts = {"attention.qkv": ["query", "key", "value"], "gate_up": ["gate", "up"]}
    for whole, names in parts.items():
        if name.endswith(whole):
            begin = name.removesuffix(whole.rsplit(".")[-1])
            return [begin + part for part in names]
    return [name]


def random_parameters(config: ModelConfig) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: (torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3).requires_grad_()
        for name, shape in parameter_shapes(config).items()
    }


@torch.no_grad()
def model_of(config: ModelConfig, parameters: dict[str, torch.Tensor], dtype: torch.dtype) -> Model:
    model = Model(config, LENGTH, dtype)
    for name, master in model.parameters.masters.items():
        master.copy_(torch.cat([parameters[part] for part in parts_of(name)]))
    model.parameters.prepare()
    return model


def text_of(config: ModelConfig) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(config.vocab_size, (3, LENGTH + 1), generator=generator)


def fill(wide: torch.Tensor, narrow: torch.Tensor, parts: int) -> None:
    """Each of `parts` equal parts of the rows of `narrow` to the beginning of that of `wide`."""
    width = narrow.shape[0] // parts
    with torch.no_grad():
        wide.view(parts, -1, *wide.shape[1:])[:, :width] = narrow.view(parts, width, *wide.shape[1:])


class TunedTrainer(unittest.TestCase):
    def expect_the_reference(self, config: ModelConfig, dtype: torch.dtype, loss_error: float,
                             gradient_error: float) -> None:  # fmt: skip
        parameters = random_parameters(config)
        model = model_of(config, parameters, dtype)
        text = text_of(config)
        # What was there before must not matter: gradients are written, not added.
        model.parameters.gradient.fill_(7)
        loss = model.loss_and_gradients(text[:, :-1], text[:, 1:])
        expected, _, _ = ReferenceModel(config, parameters).losses(text[:, :-1], text[:, 1:])
        expected.backward()
        self.assertAlmostEqual(loss.item(), expected.item(), delta=loss_error)
        for name, found in model.parameters.gradients.items():
            gradient = torch.cat([parameters[part].grad for part in parts_of(name)])
            error = (found.double() - gradient).norm() / gradient.norm()
            self.assertLess(error.item(), gradient_error, name)

    def test_loss_and_gradients_are_those_of_the_reference(self):
        self.expect_the_reference(CONFIG, torch.float32, 1e-5, 1e-4)

    def test_gates_that_are_not_renormalized_are_those_of_the_reference(self):
        config = dataclasses.replace(CONFIG, renormalize=False, top_k=1)
        self.expect_the_reference(config, torch.float32, 1e-5, 1e-4)

    def test_an_expert_without_tokens_gets_no_gradient(self):
        rows = tuned_experts.ROWS
        routing = tuned_experts.routed(torch.tensor([[-1.0, 1, 2]] * 5), 2, True)
        self.assertEqual(routing.counts, [0, rows, rows])
        self.assertEqual(routing.selected.tolist(), [0, 5, 5])
        matrices = [(torch.randn(16, 4), torch.randn(8, 4)) for _ in range(3)]
        gradients = [tuple(torch.full_like(m, 7) for m in pair) for pair in matrices]
        x = torch.randn(5, 4)
        kept, out, gate_ups = tuned_experts.experts(x, routing, matrices)
        expected = sum(
            gate * (torch.nn.functional.silu(x @ gate_up[:8].T) * (x @ gate_up[8:].T)) @ down
            for gate, (gate_up, down) in zip(torch.tensor([1.0, 2]).softmax(0), matrices[1:])
        )
        found = tuned_passes.picked(out, routing.place)
        self.assertLess((found - expected).norm() / expected.norm(), 1e-5)
        tuned_experts.experts_backward(x, kept, gate_ups, routing, matrices, gradients)
        self.assertEqual([g.abs().max().item() for g in gradients[0]], [0, 0])

    def test_padding_to_the_widest_changes_neither_loss_nor_widths(self):
        parameters = random_parameters(CONFIG)
        padded = dataclasses.replace(CONFIG, widths=(max(CONFIG.widths),) * len(CONFIG.widths))
        narrow = model_of(CONFIG, parameters, torch.float32)
        wide = Model(padded, LENGTH, torch.float32)
        wide.draw()
        for name, master in narrow.parameters.masters.items():
            fill(wide.parameters.masters[name], master, 2 if name.endswith("gate_up") else 1)
        wide.cut_experts_to(CONFIG.widths)
        text = text_of(CONFIG)
        losses = []
        for model in (narrow, wide):
            optimizer = AdamW(model.parameters, 1e-2)
            for _ in range(3):
                losses.append(model.loss_and_gradients(text[:, :-1], text[:, 1:]).item())
                optimizer.step()
        for first, second in zip(losses[:3], losses[3:]):
            self.assertAlmostEqual(first, second, delta=1e-4)
        self.assertEqual(wide.parameters.masters["layers.1.experts.0.down"][8:].abs().max(), 0)

    def test_steps_are_those_of_adamw_with_fp32_masters(self):
        self.expect_the_steps_of_adamw(torch.float32)
        self.expect_the_steps_of_adamw(torch.bfloat16)

    def expect_the_steps_of_adamw(self, dtype: torch.dtype) -> None:
        model = model_of(CONFIG, random_parameters(CONFIG), dtype)
        masters = {name: m.clone() for name, m in model.parameters.masters.items()}
        groups = [[m for m in masters.values() if (m.dim() == 1) == norms] for norms in (True, False)]
        plain = torch.optim.AdamW(
            [dict(params=groups[0], weight_decay=0.0), dict(params=groups[1], weight_decay=0.1)],
            lr=1e-2, betas=(0.9, 0.95), eps=1e-8,
        )  # fmt: skip
        optimizer = AdamW(model.parameters, 1e-2)
        for scale in (3.0, 1e-3):  # clipped, and not
            generator = torch.Generator().manual_seed(9)
            for name, gradient in model.parameters.gradients.items():
                gradient.copy_(torch.randn(gradient.shape, generator=generator) * scale)
                masters[name].grad = gradient.float()
            torch.nn.utils.clip_grad_norm_(masters.values(), 1.0)
            plain.step()
            optimizer.step()
        for name, found in model.parameters.masters.items():
            self.assertLess((found - masters[name]).abs().max().item(), 1e-5, name)
            self.assertTrue(torch.equal(model.parameters.weights[name], found.to(dtype)))

    def test_bf16_stays_near_the_reference(self):
        self.expect_the_reference(MILD, torch.bfloat16, 0.02, 0.05)

    def test_compiled_passes_compute_the_same(self):
        plain = dict(vars(tuned_passes))
        self.addCleanup(vars(tuned_passes).update, plain)
        tuned_passes.compile_passes()
        self.expect_the_reference(CONFIG, torch.float32, 1e-5, 1e-4)
        self.expect_the_steps_of_adamw(torch.float32)
        self.expect_the_steps_of_adamw(torch.bfloat16)


if __name__ == "__main__":
    unittest.main()
