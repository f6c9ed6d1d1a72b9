"""Facts about the reference itself, each against something that is not the reference."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import unittest

import torch

from make_random_state import CONFIG, with_setting, write_state
from make_reference import projections, train
from random_model import EQUAL, random_parameters, tokens
from reference_model import (
    ModelConfig,
    ReferenceModel,
    Routing,
    auxiliary_losses,
    route,
    select_top_k,
    select_top_p,
)
from reference_training import ReferenceTrainer, learning_rate
from training_state import StateError, TrainingConfig, read_state

TRAINING = TrainingConfig(
    steps=20,
    microbatches=1,
    learning_rate=1e-2,
    warmup_steps=4,
    schedule="cosine",
    min_learning_rate_ratio=0.1,
    beta1=0.9,
    beta2=0.99,
    epsilon=1e-8,
    weight_decay=0.1,
    clip_norm=0.5,
)


class Experts(unittest.TestCase):
    def test_an_expert_of_width_three_is_the_sum_over_its_hidden_units(self) -> None:
        config = dataclasses.replace(EQUAL, widths=(3, 5))
        parameters = random_parameters(config, torch.float64)
        x = torch.randn(config.hidden_size, dtype=torch.float64)
        prefix = "layers.0.experts.0."
        expected = torch.zeros_like(x)
        for unit in range(3):
            gate = parameters[prefix + "gate"][unit] @ x
            up = parameters[prefix + "up"][unit] @ x
            expected += gate / (1 + (-gate).exp()) * up * parameters[prefix + "down"][unit]
        actual = ReferenceModel(config, parameters).expert(x.unsqueeze(0), prefix)[0]
        torch.testing.assert_close(actual, expected)

    def test_unequal_experts_equal_every_token_by_itself(self) -> None:
        config = dataclasses.replace(EQUAL, widths=(3, 5, 8, 13), router_kind="top_p", top_p=0.7)
        parameters = random_parameters(config, torch.float64)
        model = ReferenceModel(config, parameters)
        x = torch.randn(19, config.hidden_size, dtype=torch.float64)
        y, routing = model.mixture(x, "layers.1.")
        for token in range(len(x)):
            expected = sum(
                routing.gates[token, e] * model.expert(x[token], f"layers.1.experts.{e}.")
                for e in range(4)
                if routing.selected[token, e]
            )
            torch.testing.assert_close(y[token], expected)

    def test_positions_never_see_the_future(self) -> None:
        model = ReferenceModel(EQUAL, random_parameters(EQUAL, torch.float64))
        ids = tokens(EQUAL)
        changed = ids.clone()
        changed[:, 10] = (changed[:, 10] + 1) % EQUAL.vocab_size
        difference = (model.forward(ids)[0] - model.forward(changed)[0]).abs().amax(dim=(0, 2))
        self.assertLess(difference[:10].max(), 1e-12)
        self.assertGreater(difference[10:].min(), 0)


    def test_a_document_does_not_see_the_one_before_it(self) -> None:
        model = ReferenceModel(EQUAL, random_parameters(EQUAL, torch.float64))
        ids = tokens(EQUAL)
        begin = torch.zeros_like(ids)
        begin[:, 10:] = 10
        changed = ids.clone()
        changed[:, 9] = (changed[:, 9] + 1) % EQUAL.vocab_size
        logits = model.forward(ids, begin)[0]
        torch.testing.assert_close(model.forward(changed, begin)[0][:, 10:], logits[:, 10:])
        # Rotary positions are relative: the second document alone gives the same.
        torch.testing.assert_close(model.forward(ids[:, 10:])[0], logits[:, 10:])


class Routers(unittest.TestCase):
    def test_top_p_is_the_smallest_set_that_reaches_p(self) -> None:
        probabilities = (torch.randn(500, 6, dtype=torch.float64) * 2).softmax(dim=-1)
        for p in (0.2, 0.6, 0.95):
            selected, _ = select_top_p(probabilities, p)
            for row, taken in zip(probabilities.tolist(), selected.tolist()):
                inside = [value for value, chosen in zip(row, taken) if chosen]
                outside = [value for value, chosen in zip(row, taken) if not chosen]
                self.assertGreaterEqual(sum(inside), p)
                # Taking away even the least member falls short, and no outsider is larger, so no
                # set with fewer members can reach p.
                self.assertLess(sum(inside) - min(inside), p)
                self.assertLessEqual(max(outside, default=0.0), min(inside))

    def test_top_p_with_ties_one_and_a_dominating_expert(self) -> None:
        quarter = torch.full((1, 4), 0.25)
        self.assertEqual(select_top_p(quarter, 0.5)[0].tolist(), [[True, True, False, False]])
        self.assertEqual(select_top_p(quarter, 0.51)[0].tolist(), [[True, True, True, False]])
        self.assertTrue(select_top_p(quarter, 1.0)[0].all())
        self.assertTrue(select_top_p(quarter * 0.9, 1.0)[0].all())  # p is never reached
        dominating = torch.tensor([[0.01, 0.97, 0.01, 0.01]])
        self.assertEqual(select_top_p(dominating, 0.6)[0].tolist(), [[False, True, False, False]])

    def test_top_k_ties_go_to_the_lower_expert(self) -> None:
        tied = torch.tensor([[0.1, 0.3, 0.3, 0.3]])
        self.assertEqual(select_top_k(tied, 2)[0].tolist(), [[False, True, True, False]])
        many = torch.full((1, 300), 1 / 300)  # where an unstable sort shows itself
        self.assertEqual(select_top_k(many, 5)[0].nonzero()[:, 1].tolist(), [0, 1, 2, 3, 4])
        self.assertEqual(select_top_p(many, 0.01)[0].nonzero()[:, 1].tolist(), [0, 1, 2])

    def test_gates_are_renormalised_over_the_selected(self) -> None:
        x, router = torch.randn(40, 8), torch.randn(5, 8)
        renormalized = route(x, router, dataclasses.replace(EQUAL, top_k=2))
        torch.testing.assert_close(renormalized.gates.sum(dim=-1), torch.ones(40))
        raw = route(x, router, dataclasses.replace(EQUAL, top_k=1, renormalize=False))
        torch.testing.assert_close(raw.gates.sum(dim=-1), raw.probabilities.amax(dim=-1))


class AuxiliaryLosses(unittest.TestCase):
    def routing(self, config: ModelConfig) -> Routing:
        logits = torch.randn(50, 8, dtype=torch.float64)
        return route(logits, torch.randn(len(config.widths), 8, dtype=torch.float64), config)

    def test_penalty_at_equal_widths_is_load_balance(self) -> None:
        losses = auxiliary_losses(self.routing(EQUAL), EQUAL)
        torch.testing.assert_close(losses["parameter_penalty"], losses["load_balance"])

    def test_uniform_routing_gives_the_values_worked_out_by_hand(self) -> None:
        # Everyone selects experts 0 and 1 with P = 1/4: L_lb = 4 * 2 * 1/4 = 2,
        # L_pp = 4 * 1/4 * (2 + 4) / mean(2, 4, 6, 8) = 1.2, entropy = ln 4,
        # released code: 1/2 * (2 + 4) / 2 / 20 = 0.075.
        config = dataclasses.replace(EQUAL, widths=(2, 4, 6, 8))
        zeros = torch.zeros(10, 3, dtype=torch.float64)
        routing = route(zeros, torch.zeros(4, 3, dtype=torch.float64), config)
        losses = auxiliary_losses(routing, config)
        self.assertAlmostEqual(losses["load_balance"].item(), 2.0)
        self.assertAlmostEqual(losses["parameter_penalty"].item(), 1.2)
        self.assertAlmostEqual(losses["router_entropy"].item(), 1.3862943611198906)
        released = dataclasses.replace(config, penalty_form="released_code")
        penalty = auxiliary_losses(routing, released)["parameter_penalty"]
        self.assertAlmostEqual(penalty.item(), 0.075)


class Training(unittest.TestCase):
    def test_an_update_is_the_written_out_formula(self) -> None:
        parameters = random_parameters(EQUAL, torch.float64)
        trainer = ReferenceTrainer(EQUAL, TRAINING, parameters)
        masters = {name: tensor.clone() for name, tensor in parameters.items()}
        first = {name: torch.zeros_like(tensor) for name, tensor in masters.items()}
        second = {name: torch.zeros_like(tensor) for name, tensor in masters.items()}
        ids = tokens(EQUAL)
        for step in range(1, 7):
            record = trainer.train_step(ids[:, :-1], ids[:, 1:])
            norm = sum(g.square().sum() for g in trainer.gradients.values()).sqrt()
            self.assertGreater(norm, TRAINING.clip_norm)
            self.assertAlmostEqual(record.grad_norm, norm.item())
            rate = learning_rate(TRAINING, step)
            for name, p in masters.items():
                g = trainer.gradients[name] * TRAINING.clip_norm / norm
                first[name] = 0.9 * first[name] + 0.1 * g
                second[name] = 0.99 * second[name] + 0.01 * g * g
                m, v = first[name] / (1 - 0.9**step), second[name] / (1 - 0.99**step)
                decay = 0.1 if p.dim() == 2 else 0.0
                p -= rate * (m / (v.sqrt() + 1e-8) + decay * p)
                torch.testing.assert_close(trainer.model.parameters[name].detach(), p)

    def test_schedule(self) -> None:
        rates = [learning_rate(TRAINING, step) for step in (1, 2, 4, 12, 20)]
        for rate, expected in zip(rates, (2.5e-3, 5e-3, 1e-2, 5.5e-3, 1e-3)):
            self.assertAlmostEqual(rate, expected)
        at_once = dataclasses.replace(TRAINING, warmup_steps=0, schedule="constant")
        self.assertEqual(learning_rate(at_once, 1), 1e-2)

    def test_microbatches_change_nothing_without_auxiliary_losses(self) -> None:
        parameters = random_parameters(EQUAL, torch.float64)
        ids = tokens(EQUAL, count=4)
        gradients = []
        for microbatches in (1, 2, 4):
            training = dataclasses.replace(TRAINING, microbatches=microbatches)
            trainer = ReferenceTrainer(EQUAL, training, parameters)
            trainer.train_step(ids[:, :-1], ids[:, 1:])
            gradients.append(trainer.gradients)
        for other in gradients[1:]:
            for name, gradient in gradients[0].items():
                torch.testing.assert_close(other[name], gradient)


class StateFolder(unittest.TestCase):
    def setUp(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)

    def test_single_and_double_precision_agree(self) -> None:
        config = with_setting(CONFIG, "model.router.kind=top_p")
        write_state(self.folder, config, steps=20)
        state = read_state(self.folder)
        (exact, gradients), (single, single_gradients) = (
            train(state, dtype) for dtype in (torch.float64, torch.float32)
        )
        self.assertGreater(exact[0].loss - exact[-1].loss, 0.5)
        for one, other in zip(exact, single):
            self.assertAlmostEqual(one.loss, other.loss, delta=1e-4)
        for name, gradient in gradients.items():
            difference = (single_gradients[name] - gradient).norm()
            self.assertLess(difference, 1e-5 * gradient.norm(), name)

    def test_projection_is_the_written_out_sum(self) -> None:
        expected = 2.0 * torch.tensor(1.4).cos() + 3.0 * torch.tensor(1.4 + 0.026).cos()
        actual = projections(torch.tensor([[2.0], [3.0]]))
        self.assertEqual(len(actual), 8)
        self.assertAlmostEqual(actual[1], expected.item(), places=5)

    def test_a_short_file_is_named(self) -> None:
        write_state(self.folder, CONFIG, steps=2)
        path = self.folder / "inputs.i32"
        path.write_bytes(path.read_bytes()[:-4])
        with self.assertRaisesRegex(StateError, r"inputs\.i32: holds 127 values, .* 128"):
            read_state(self.folder)

    def test_documents_are_kept_apart_only_when_asked(self) -> None:
        write_state(self.folder, CONFIG, steps=1)
        self.assertEqual(read_state(self.folder).document_begin.max(), 0)
        config = with_setting(CONFIG, "data.attention_across_documents=false")
        write_state(self.folder, config, steps=1)
        self.assertEqual(read_state(self.folder).document_begin.max(), 8)

    def test_an_unknown_penalty_form_is_named(self) -> None:
        write_state(self.folder, CONFIG, steps=1)
        path = self.folder / "state.json"
        path.write_text(path.read_text().replace('"paper"', '"mine"'))
        with self.assertRaisesRegex(StateError, "penalty_form is 'mine'"):
            read_state(self.folder)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    unittest.main()
