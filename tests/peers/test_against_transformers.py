"""The reference equals Mixtral and Qwen3-MoE of `transformers`, logits and gradients."""

from __future__ import annotations

import dataclasses
import unittest

import torch
from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from random_model import EQUAL, random_parameters, tokens
from reference_model import ModelConfig, ReferenceModel


def copy_into_transformers(model: torch.nn.Module, parameters: dict[str, torch.Tensor]) -> None:
    """Fills a Mixtral or Qwen3-MoE by its own names; refuses a parameter left over."""
    names = {
        "attention_norm": "input_layernorm.weight",
        "experts_norm": "post_attention_layernorm.weight",
        "attention.query": "self_attn.q_proj.weight",
        "attention.key": "self_attn.k_proj.weight",
        "attention.value": "self_attn.v_proj.weight",
        "attention.output": "self_attn.o_proj.weight",
        "attention.query_norm": "self_attn.q_norm.weight",
        "attention.key_norm": "self_attn.k_norm.weight",
        "router": "mlp.gate.weight",
    }
    state = {
        "model.embed_tokens.weight": parameters["embedding"],
        "model.norm.weight": parameters["final_norm"],
        "lm_head.weight": parameters["head"],
    }
    for name, tensor in parameters.items():
        _, _, rest = name.partition(".")
        layer, _, role = rest.partition(".")
        if role in names:
            state[f"model.layers.{layer}.{names[role]}"] = tensor
    for layer in range(model.config.num_hidden_layers):
        prefix = f"layers.{layer}.experts."
        experts = range(sum(name.startswith(prefix) for name in parameters) // 3)
        stacked = {
            matrix: torch.stack([parameters[f"{prefix}{expert}.{matrix}"] for expert in experts])
            for matrix in ("gate", "up", "down")
        }
        target = f"model.layers.{layer}.mlp.experts."
        state[target + "gate_up_proj"] = torch.cat((stacked["gate"], stacked["up"]), dim=1)
        state[target + "down_proj"] = stacked["down"].transpose(1, 2)
    model.load_state_dict(state, strict=True)


def transformers_arguments(config: ModelConfig) -> dict[str, object]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "num_experts_per_tok": config.top_k,
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": False,
        "attention_dropout": 0.0,
        "sliding_window": None,
        "attn_implementation": "eager",
        "experts_implementation": "eager",
    }


class AgainstTransformers(unittest.TestCase):
    def assert_same_model(self, peer: torch.nn.Module, config: ModelConfig) -> None:
        parameters = random_parameters(config, torch.float32)
        copy_into_transformers(peer, parameters)
        for tensor in parameters.values():
            tensor.requires_grad_()
        ids = tokens(config)
        logits, _ = ReferenceModel(config, parameters).forward(ids)
        peer_logits = peer(ids).logits
        self.assertGreater(peer_logits.std().item(), 0.5)
        torch.testing.assert_close(logits, peer_logits, rtol=1e-5, atol=1e-5)
        logits.square().mean().backward()
        peer_logits.square().mean().backward()
        for mine, theirs in (
            ("embedding", "model.embed_tokens.weight"),
            ("layers.0.router", "model.layers.0.mlp.gate.weight"),
            ("layers.0.attention.key", "model.layers.0.self_attn.k_proj.weight"),
        ):
            gradient, expected = parameters[mine].grad, peer.get_parameter(theirs).grad
            self.assertLess((gradient - expected).norm(), 1e-5 * expected.norm(), mine)

    def test_equal_widths_are_mixtral(self) -> None:
        width = EQUAL.widths[0]
        peer = MixtralForCausalLM(
            MixtralConfig(
                intermediate_size=width,
                num_local_experts=len(EQUAL.widths),
                **transformers_arguments(EQUAL),
            )
        )
        self.assert_same_model(peer, EQUAL)

    def test_normalised_queries_and_keys_are_qwen3(self) -> None:
        for renormalize in (False, True):
            config = dataclasses.replace(
                EQUAL, qk_norm=True, head_dim=12, renormalize=renormalize, norm_epsilon=1e-3
            )
            peer = Qwen3MoeForCausalLM(
                Qwen3MoeConfig(
                    moe_intermediate_size=config.widths[0],
                    num_experts=len(config.widths),
                    norm_topk_prob=renormalize,
                    decoder_sparse_step=1,
                    **transformers_arguments(config),
                )
            )
            self.assert_same_model(peer, config)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    unittest.main()
