"""What a Transformer is made of: :class:`ModelConfig` names its parts, and a preset is one such description.

BERT is ``attention="bidirectional", norm_place="post"``; GPT-2 is ``attention="causal", norm_place="pre"``; Llama has
``norm="rms_norm", positions="rotary", activation="silu", gated=True``. All are made of the same block. What a layer
mixes positions by is its ``mixer``: attention, convolution, or both side by side.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from myna.settings import Section, setting

Mixer = Literal["attention", "convolution", "convolution+attention"]
Activation = Literal["gelu", "gelu_tanh", "relu", "squared_relu", "silu", "tanh"]
# Deeper and wider than any model that there is, so that a description of a few bytes can't ask for any memory.
MOST_LAYERS, _WIDEST, _MANY, _ROWS = 1024, 1 << 20, 1 << 16, 1 << 24


class RotaryScaling(Section):
    """Rotary positions stretched beyond the length that was trained: evenly, or as Llama 3.1 does."""

    kind: Literal["linear", "llama3"] = setting("linear", "linear, or llama3: only what turns slowly is stretched")
    factor: float = setting(description="how many times as long", ge=1)
    low_frequency_factor: float = setting(1.0, "llama3: turns in the old length up to which all is stretched", gt=0)
    high_frequency_factor: float = setting(4.0, "llama3: turns in the old length from which nothing is", gt=0)
    original_length: int = setting(8192, "llama3: the length that was trained", gt=0)

    @model_validator(mode="after")
    def _stretches_less_what_turns_more(self) -> RotaryScaling:
        low, high = self.low_frequency_factor, self.high_frequency_factor
        if self.kind == "llama3" and low >= high:
            raise ValueError(f"low_frequency_factor = {low} must be less than high_frequency_factor = {high}")
        return self


class HeadConfig(Section):
    """What stands between the trunk and the output layer of a head."""

    dense: bool = setting(True, "a fully connected layer before the output layer")
    activation: Activation = setting("gelu", "what follows the fully connected layer")
    norm: bool = setting(True, "a norm after that")
    dense_bias: bool = setting(True, "a bias in the fully connected layer")
    output_bias: bool = setting(True, "a bias in the output layer")
    pooling: Literal["first", "mean", "last"] = setting("first", "a text's vector: its first token, mean, last token")
    dropout: float = setting(0.1, "share of what reaches the output layer dropped in training", ge=0, lt=1)
    first_dropout: float = setting(0.0, "share of what reaches the fully connected layer dropped", ge=0, lt=1)


class ModelConfig(Section):
    """A Transformer by its parts. Sizes are counts of units, not bytes."""

    vocabulary_size: int = setting(description="pieces of the tokenizer", gt=0, le=_ROWS)
    hidden_size: int = setting(256, "width of the residual stream", gt=0, le=_WIDEST)
    layers: int = setting(4, "blocks", ge=0, le=MOST_LAYERS)
    decoder_layers: int = setting(
        0, "blocks of the decoder of an encoder-decoder; 0: there is none", ge=0, le=MOST_LAYERS
    )
    heads: int = setting(4, "attention heads of a layer", gt=0, le=_MANY)
    key_value_heads: int | None = setting(
        None, "heads of keys and values, each shared by several; none: heads", gt=0, le=_MANY
    )
    head_size: int | None = setting(None, "channels of a head; none: hidden_size / heads", gt=0, le=_MANY)
    feed_forward_size: int = setting(1024, "width inside the feed-forward network", gt=0, le=_ROWS)
    maximum_length: int = setting(
        512, "positions: the longest piece of a document, special tokens included", gt=1, le=_ROWS
    )

    embedding_size: int | None = setting(
        None, "width of the embeddings, projected to hidden_size; none: as wide", gt=0, le=_WIDEST
    )
    embedding_scale: float = setting(1.0, "what the embeddings of words are multiplied with", gt=0)
    embedding_norm: bool | None = setting(None, "a norm after the embeddings; none: in a post-norm stack")
    segments: int = setting(0, "segment embeddings; 0: none (BERT has 2)", ge=0, le=_MANY)
    tied: bool = setting(True, "a language model's output layer is the embedding matrix")
    output_scale: float = setting(1.0, "what reaches the output layer of a language model is multiplied with", gt=0)

    attention: Literal["bidirectional", "causal", "prefix"] = setting(
        "bidirectional", "which positions a position sees; prefix: the first ones all see, the others only backwards"
    )
    window: int | None = setting(None, "positions seen on each side; none: all", gt=0)
    global_every: int = setting(0, "with a window: every so manieth layer, from the first on, sees all; 0: none", ge=0)
    attention_scale: float | None = setting(None, "what scores are multiplied with; none: 1 / sqrt(head_size)", gt=0)
    query_key_norm: bool = setting(False, "a norm over each head's queries and keys")
    mixer: Mixer | list[Mixer] = setting("attention", "what layers mix positions by: one for all, or one for each")
    kernel_size: int = setting(9, "positions that a convolution sees", gt=0, le=_MANY)
    convolution_ratio: int = setting(2, "convolution+attention: 1/ratio of the heads is attention", gt=1, le=_MANY)
    side_weights: bool = setting(False, "convolution+attention: a learned weight for each side")

    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"] = setting(
        "learned", "how a position is told"
    )
    position_offset: int = setting(
        0, "learned: rows before that of the first position (RoBERTa, BART: 2)", ge=0, le=_ROWS
    )
    rotary_base: float = setting(10000.0, "rotary: the base of the wavelengths", gt=0)
    rotary_local_base: float | None = setting(None, "rotary: the same in layers with a window; none: the same", gt=0)
    rotary_share: float = setting(1.0, "rotary: share of a head's channels that turn", gt=0, le=1)
    rotary_scaling: RotaryScaling | None = setting(None, "rotary: how longer texts are reached")
    relative_buckets: int = setting(32, "relative: classes of distances (T5)", gt=1, le=_MANY)
    relative_distance: int = setting(128, "relative: the distance from which all are alike", gt=1)

    norm: Literal["layer_norm", "rms_norm"] = setting("layer_norm", "the kind of norm")
    norm_place: Literal["post", "pre", "both"] = setting(
        "post", "after each residual sum (BERT), before each part (GPT-2), or before and after each part"
    )
    norm_epsilon: float = setting(1e-12, "added to the variance in a norm", gt=0)
    activation: Activation = setting("gelu", "of the feed-forward network: exact GELU, or its tanh form, …")
    gated: bool = setting(False, "the activation gates a second product: SwiGLU with silu, GeGLU with gelu")
    projection_bias: bool = setting(True, "biases of queries, keys and values")
    output_bias: bool = setting(True, "the bias of a mixer's output layer")
    feed_forward_bias: bool = setting(True, "biases of the feed-forward network")
    norm_bias: bool = setting(True, "biases of layer norms")
    layer_groups: int = setting(0, "so many blocks, shared by the layers in turn (ALBERT: 1); 0: each its own", ge=0)

    dropout: float = setting(0.1, "share of activations dropped in training", ge=0, lt=1)
    embedding_dropout: float | None = setting(None, "the same after the embeddings; none: dropout", ge=0, lt=1)
    attention_dropout: float = setting(0.0, "share of attention dropped: slower, outside the fused kernel", ge=0, lt=1)
    final_dropout: float = setting(0.0, "share dropped after the last norm (T5)", ge=0, lt=1)
    activation_dropout: float = setting(0.0, "share dropped inside the feed-forward network", ge=0, lt=1)
    pointer: bool | None = setting(
        None,
        "an encoder-decoder: a gate lets it copy tokens of the source (arXiv:1704.04368); for fine-tuning",
        "added",
    )
    head: HeadConfig = setting(HeadConfig(), "what stands between the trunk and the output layer")
    initializer: Literal["normal", "depth_scaled", "truncated", "fan_in"] = setting(
        "normal", "BERT's; GPT-2's: 1/sqrt(2 layers) into the residual stream; ModernBERT's; T5's"
    )
    initializer_range: float = setting(0.02, "standard deviation of the initial weights", gt=0)

    @model_validator(mode="after")
    def _parts_go_together(self) -> ModelConfig:
        mixers = set(self.mixer) if isinstance(self.mixer, list) else {self.mixer}
        if self.head_size is None and self.hidden_size % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide hidden_size = {self.hidden_size}")
        if self.heads % self.kv_heads:
            raise ValueError(f"key_value_heads = {self.key_value_heads} does not divide heads = {self.heads}")
        if isinstance(self.mixer, list) and len(self.mixer) != self.layers:
            raise ValueError(f"mixer names {len(self.mixer)} layers, and there are {self.layers}")
        if isinstance(self.mixer, list) and self.decoder_layers > self.layers:
            what = f"mixer names {len(self.mixer)} layers, and the decoder has {self.decoder_layers}"
            raise ValueError(f"{what}: give one for all, or no more decoder_layers than layers")
        if self.layer_groups and (self.layers % self.layer_groups or isinstance(self.mixer, list)):
            raise ValueError(f"layer_groups = {self.layer_groups} must divide layers, all with the same mixer")
        if "convolution+attention" in mixers:
            heads, odd = divmod(self.heads, self.convolution_ratio)
            if odd or self.hidden_size % (2 * max(heads, 1)):
                what = f"convolution_ratio = {self.convolution_ratio} must divide heads = {self.heads}"
                raise ValueError(f"{what}, and what is left half of hidden_size = {self.hidden_size}")
            if self.key_value_heads is not None or self.head_size is not None:
                raise ValueError("convolution+attention takes neither key_value_heads nor head_size")
            if self.positions in ("alibi", "relative"):
                raise ValueError(
                    f'positions = "{self.positions}" tells each head a distance, and is for attention alone'
                )
        if self.attention != "causal" and self.kernel_size % 2 == 0 and mixers != {"attention"}:
            raise ValueError(f"kernel_size = {self.kernel_size} must be odd where a position sees both sides")
        if self.attention == "prefix" and mixers != {"attention"}:
            raise ValueError('attention = "prefix" goes with mixer = "attention" alone')
        if self.positions == "rotary" and (self.turning % 2 or not self.turning):
            raise ValueError(f"rotary positions need an even number of channels, and {self.turning} turn")
        if self.positions == "relative" and not 2 <= self.relative_buckets // 2 < self.relative_distance:
            what = f"relative_buckets = {self.relative_buckets} must be 4 at least, and half of it"
            raise ValueError(f"{what} less than relative_distance = {self.relative_distance}")
        if self.global_every and self.window is None:
            raise ValueError("global_every is for a window; set window too")
        if self.decoder_layers and (self.attention != "bidirectional" or self.layer_groups or self.window):
            raise ValueError('an encoder-decoder has attention = "bidirectional", no window and no layer_groups')
        if self.pointer and not self.decoder_layers:
            raise ValueError("pointer is for an encoder-decoder, which has a source to copy from")
        if self.positions == "sinusoidal" and self.maximum_length * (self.embedding_size or self.hidden_size) > _ROWS:
            raise ValueError(f"maximum_length = {self.maximum_length} is too long for a table of sinusoidal positions")
        if self.initializer == "fan_in" and mixers != {"attention"}:
            raise ValueError('initializer = "fan_in" is for attention alone')
        return self

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    @property
    def head_channels(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.heads if self.head_size is None else self.head_size

    @property
    def turning(self) -> int:
        """Channels of a head that rotary positions turn."""
        return int(self.head_channels * self.rotary_share)

    def mixer_of(self, layer: int) -> str:
        """What a layer mixes positions by."""
        return self.mixer[layer] if isinstance(self.mixer, list) else self.mixer
