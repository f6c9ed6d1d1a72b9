"""The padded peer computes what unequal experts compute, and its line has what is promised."""

from __future__ import annotations

import unittest
from unittest import mock

import torch

import padded_mixture_speed as peer

WIDTHS = [8, 24, 16, 40]


class PaddedMixture(unittest.TestCase):
    def test_it_is_the_function_of_the_unequal_experts(self) -> None:
        block = peer.padded_block(WIDTHS, 32, 2, "cpu")
        x = torch.randn(37, 32).bfloat16()
        self.assertLess(peer.difference_from_plain(block, WIDTHS, x), peer.TOLERANCE)

    def test_weights_in_the_padding_are_seen_by_the_comparison(self) -> None:
        block = peer.padded_block(WIDTHS, 32, 2, "cpu")
        with torch.no_grad():
            block.experts.gate_up_proj.fill_(0.1)
            block.experts.down_proj.fill_(0.1)
        x = torch.randn(37, 32).bfloat16()
        self.assertGreater(peer.difference_from_plain(block, WIDTHS, x), 10 * peer.TOLERANCE)

    def test_grouped_products_are_what_runs(self) -> None:
        block = peer.padded_block(WIDTHS, 32, 2, "cpu")
        with torch.profiler.profile() as profile:
            block(torch.randn(1, 5, 32).bfloat16())
        self.assertIn("aten::_grouped_mm", {event.key for event in profile.key_averages()})

    def test_the_host_gets_ahead_before_anything_is_timed(self) -> None:
        block = peer.padded_block(WIDTHS, 32, 2, "cpu")
        order: list[str] = []
        block.register_forward_pre_hook(lambda *_: order.append("layer"))
        x = torch.randn(5, 32).bfloat16().requires_grad_()
        with mock.patch.object(peer.Clock, "mark", lambda _: order.append("mark")), \
             mock.patch.object(peer.Clock, "seconds", lambda _: []):
            peer.time_once(block, x, torch.ones(5, 32).bfloat16(), lambda: order.append("ahead"))
        self.assertEqual(order, ["ahead", "mark", "layer", "mark", "mark"])

    def test_the_line_has_the_promised_figures(self) -> None:
        line = peer.measure("cpu", WIDTHS, 32, 2, tokens=64, rounds=2, square=64)
        for part in ("forward", "backward", "forward_and_backward"):
            self.assertGreater(line[part]["flops_per_second"], 0)
            self.assertGreater(line[part]["share_of_square"], 0)
        # 64 tokens, 2 of 4 experts, and the router
        self.assertLess(line["forward"]["flops_per_second"] * line["forward"]["median_seconds"],
                        2.0 * 32 * (3 * 2 * 64 * max(WIDTHS) + 64 * 4))


if __name__ == "__main__":
    unittest.main()
