"""A decoder with experts of unequal width: Top-K or Top-P routing, and the small expert of HyperMoE.

Shapes: N sequences, S positions, T tokens of all sequences, D hidden_size, E experts. Experts, and generated ones,
are computed one after another: made to be read and to answer, not for speed.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_hetmoe import HetmoeConfig


class HetmoeRMSNorm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * wide.to(x.dtype)


def rotary_angles(config, position_ids):
    """cos and sin, [N, 1, S, head_dim / 2], fp32."""
    half = config.head_dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=position_ids.device) / half
    angles = position_ids[:, None, :, None].float() * config.rope_theta**-exponents
    return angles.cos(), angles.sin()


def rotate(x, cosine, sine):
    """Turns the halves of x [N, heads, S, head_dim] against each other, as LLaMA's code does."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class HetmoeAttention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        self.queries_per_key = config.num_attention_heads // config.num_key_value_heads
        hidden, query_rows = config.hidden_size, config.num_attention_heads * config.head_dim
        key_rows = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(hidden, query_rows, bias=False)
        self.k_proj = nn.Linear(hidden, key_rows, bias=False)
        self.v_proj = nn.Linear(hidden, key_rows, bias=False)
        self.o_proj = nn.Linear(query_rows, hidden, bias=False)
        norms = config.qk_norm
        self.q_norm = HetmoeRMSNorm(config.head_dim, config.rms_norm_eps) if norms else nn.Identity()
        self.k_norm = HetmoeRMSNorm(config.head_dim, config.rms_norm_eps) if norms else nn.Identity()

    def forward(self, x, rotation, mask, cache):
        shape = (*x.shape[:2], -1, self.head_dim)
        query = rotate(self.q_norm(self.q_proj(x).view(shape)).transpose(1, 2), *rotation)
        key = rotate(self.k_norm(self.k_proj(x).view(shape)).transpose(1, 2), *rotation)
        value = self.v_proj(x).view(shape).transpose(1, 2)
        if cache is not None:
            key, value = cache.update(key, value, self.layer)
        key = key.repeat_interleave(self.queries_per_key, dim=1)
        value = value.repeat_interleave(self.queries_per_key, dim=1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.head_dim**-0.5)
        return self.o_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1))


class HetmoeExpert(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class HetmoeMixture(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.gate = nn.Linear(config.hidden_size, len(config.expert_widths), bias=False)
        self.experts = nn.ModuleList(HetmoeExpert(config.hidden_size, width) for width in config.expert_widths)

    def route(self, x):
        """x [T, D] -> probabilities [T, E] and which experts each token selected [T, E]."""
        probabilities = F.linear(x.float(), self.gate.weight.float()).softmax(dim=-1)
        # Stable: of equal probabilities the lower expert comes first.
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        if self.config.router_kind == "top_k":
            taken = torch.zeros_like(ordered, dtype=torch.bool)
            taken[:, : self.config.num_experts_per_tok] = True
        else:  # an expert is needed while those before it do not reach p
            taken = F.pad(ordered.cumsum(dim=-1)[:, :-1], (1, 0)) < self.config.router_top_p
        return probabilities, torch.zeros_like(taken).scatter(1, order, taken)

    def forward(self, x, probabilities, selected):
        gates = probabilities * selected
        if self.config.norm_topk_prob:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        y = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            tokens = selected[:, index].nonzero().squeeze(1)
            y.index_add_(0, tokens, expert(x[tokens]) * gates[tokens, index, None].to(x.dtype))
        return y


class HetmoeAdapters(nn.Module):
    """Free ReLU adapters: one for all tokens, or one per expert, those of the selected experts summed."""

    def __init__(self, config):
        super().__init__()
        self.rank, self.per_expert = config.hyper["rank"], config.hyper["kind"] == "expert_adapters"
        self.count = len(config.expert_widths) if self.per_expert else 1
        self.down = nn.Parameter(torch.empty(self.count * config.hidden_size, self.rank))
        self.up = nn.Parameter(torch.empty(self.count * self.rank, config.hidden_size))
        self.down_bias = nn.Parameter(torch.empty(self.count * self.rank))
        self.up_bias = nn.Parameter(torch.empty(self.count * config.hidden_size))

    def forward(self, x, selected):
        down, up = self.down.view(self.count, -1, self.rank), self.up.view(self.count, self.rank, -1)
        down_bias, up_bias = self.down_bias.view(self.count, -1), self.up_bias.view(self.count, -1)
        y = torch.zeros_like(x)
        for index in range(self.count):
            chosen = selected[:, index] if self.per_expert else selected.any(dim=1)
            tokens = chosen.nonzero().squeeze(1)
            units = F.relu(x[tokens] @ down[index] + down_bias[index])
            y.index_add_(0, tokens, units @ up[index] + up_bias[index])
        return y


class HetmoeEmbedding(nn.Module):
    """HyperMoE's part of one layer: embeddings of its experts, and their way to the hypernetwork."""

    def __init__(self, config):
        super().__init__()
        hyper = config.hyper
        self.embedding = nn.Parameter(torch.empty(len(config.expert_widths), hyper["embedding"]))
        self.process = nn.Linear(hyper["embedding"], hyper["process"])
        self.project = nn.Linear(hyper["process"], hyper["input"])
        self.conditioning, self.aggregate = hyper["conditioning"], hyper["aggregate"]

    def forward(self, sets):
        """Sets of selected experts [U, E] -> [U, input]."""
        members = (sets if self.conditioning == "selected" else ~sets).to(self.embedding.dtype)
        embedding = self.embedding
        if self.aggregate == "centred":
            embedding = embedding - embedding.mean(dim=0)
        if self.aggregate == "mean":
            members = members / members.sum(dim=1, keepdim=True).clamp_min(1)
        return self.project(F.relu(self.process(members @ embedding)))


class HetmoeHypernetwork(nn.Module):
    """Makes the weights of a small expert from a set of experts and the layer; the same in all layers."""

    def __init__(self, config):
        super().__init__()
        hyper, features = config.hyper, config.hidden_size
        self.rank, self.gated = hyper["rank"], hyper["gated"]
        self.layer_embedding = nn.Parameter(torch.empty(config.num_hidden_layers, hyper["layer_embedding"]))
        self.hidden = nn.Linear(hyper["input"] + hyper["layer_embedding"], hyper["hidden"])
        self.down = nn.Linear(hyper["hidden"], features * self.rank)
        self.up = nn.Linear(hyper["hidden"], self.rank * features)
        self.down_bias = nn.Linear(hyper["hidden"], self.rank)
        self.up_bias = nn.Linear(hyper["hidden"], features)

    def forward(self, x, probabilities, selected, embedding, layer):
        """x [T, D] -> [T, D]. Weights depend on a token through its set only: they are made once per set."""
        sets, set_of_token = torch.unique(selected, dim=0, return_inverse=True)
        layer_code = self.layer_embedding[layer].expand(len(sets), -1)
        code = F.relu(self.hidden(torch.cat((embedding(sets), layer_code), dim=1)))
        y = torch.zeros_like(x)
        for index, one in enumerate(code):
            tokens = (set_of_token == index).nonzero().squeeze(1)
            units = F.relu(x[tokens] @ self.down(one).view(-1, self.rank) + self.down_bias(one))
            y[tokens] = units @ self.up(one).view(self.rank, -1) + self.up_bias(one)
        if self.gated:
            y = y * (probabilities * selected).sum(dim=1, keepdim=True).to(y.dtype)
        return y


class HetmoeLayer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer = layer
        self.input_layernorm = HetmoeRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = HetmoeAttention(config, layer)
        self.post_attention_layernorm = HetmoeRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = HetmoeMixture(config)
        self.hyper = None
        if config.hyper is not None:
            generated = config.hyper["kind"] == "generated"
            self.hyper = HetmoeEmbedding(config) if generated else HetmoeAdapters(config)

    def forward(self, x, rotation, mask, cache, hypernetwork):
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask, cache)
        tokens = self.post_attention_layernorm(x).flatten(0, 1)
        probabilities, selected = self.mlp.route(tokens)
        y = self.mlp(tokens, probabilities, selected)
        if hypernetwork is not None:
            y = y + hypernetwork(tokens, probabilities, selected, self.hyper, self.layer)
        elif self.hyper is not None:
            y = y + self.hyper(tokens, selected)
        return x + y.view_as(x)


class HetmoePreTrainedModel(PreTrainedModel):
    config_class = HetmoeConfig
    base_model_prefix = "model"
    _no_split_modules = ["HetmoeLayer"]
    _supports_sdpa = True

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, (HetmoeAdapters, HetmoeEmbedding, HetmoeHypernetwork)):
            for parameter in module.parameters(recurse=False):
                if not getattr(parameter, "_is_hf_initialized", False):
                    nn.init.normal_(parameter, std=self.config.initializer_range)


def attention_mask_of(attention_mask, queries, keys, device):
    """True where a query may look: [N or 1, 1, queries, keys]. attention_mask [N, keys]: 0 for padding. A padded
    position sees itself, so that no row is empty."""
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    mask = (key <= query)[None, None]
    if attention_mask is None or attention_mask.dim() != 2:
        return mask
    return mask & (attention_mask[:, None, None, :keys].bool() | (key == query))


class HetmoeModel(HetmoePreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(HetmoeLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = HetmoeRMSNorm(config.hidden_size, config.rms_norm_eps)
        generated = config.hyper is not None and config.hyper["kind"] == "generated"
        self.hypernetwork = HetmoeHypernetwork(config) if generated else None
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                use_cache=None, **kwargs):
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(past, past + x.shape[1], device=x.device)[None]
        rotation = rotary_angles(self.config, position_ids)
        mask = attention_mask_of(attention_mask, x.shape[1], past + x.shape[1], x.device)
        for layer in self.layers:
            x = layer(x, rotation, mask, past_key_values, self.hypernetwork)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(x), past_key_values=past_key_values)


class HetmoeForCausalLM(HetmoePreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = HetmoeModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                labels=None, use_cache=None, logits_to_keep=0, **kwargs):
        """labels [N, S]: the input ids, -100 where a token does not count; the loss is the mean over the others."""
        outputs = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache)
        logits = self.lm_head(outputs.last_hidden_state[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values)
