"""Configuration of a decoder with experts of unequal width, as `hetmoe export --layout native` writes it."""

from transformers import PretrainedConfig


class HetmoeConfig(PretrainedConfig):
    """expert_widths: hidden units of each expert, the same in every layer. router_kind: "top_k" or "top_p".
    hyper: None, or the small expert beside the mixture: kind ("generated", "shared_adapter", "expert_adapters"), rank
    and, of a generated one, the sizes of the hypernetwork, conditioning, aggregate and gated."""

    model_type = "hetmoe"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=8192,
        hidden_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        qk_norm=False,
        initializer_range=0.02,
        expert_widths=(1024,),
        router_kind="top_k",
        num_experts_per_tok=1,
        router_top_p=1.0,
        norm_topk_prob=True,
        hyper=None,
        use_cache=True,
        tie_word_embeddings=False,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.qk_norm = qk_norm
        self.initializer_range = initializer_range
        self.expert_widths = list(expert_widths)
        self.router_kind = router_kind
        self.num_experts_per_tok = num_experts_per_tok
        self.router_top_p = router_top_p  # not top_p: transformers takes that for one of generation
        self.norm_topk_prob = norm_topk_prob
        self.hyper = hyper
        self.use_cache = use_cache
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
