"""Tiny random T5 and Switch models of transformers, for make_golden.py, make_loss_curves.py and
check_hf.py.

Sizes are odd on purpose: num_heads * d_kv differs from d_model, and d_ff is a prime.
"""
import torch
from transformers import (MT5Config, MT5ForConditionalGeneration, SwitchTransformersConfig,
                          SwitchTransformersForConditionalGeneration, T5Config,
                          T5ForConditionalGeneration)

SIZES = dict(vocab_size=67, d_model=16, d_kv=5, d_ff=23, num_heads=3, decoder_start_token_id=0,
             dropout_rate=0.0)
SWITCH = dict(SIZES, num_experts=4, expert_capacity=64, router_jitter_noise=0.0)


def t5(**keys):
    return T5ForConditionalGeneration(T5Config(**dict(SIZES, **keys)))


def switch(**keys):
    return SwitchTransformersForConditionalGeneration(
        SwitchTransformersConfig(**dict(SWITCH, **keys)))


# Name -> maker. Layers that are not named by hand are 2 + 2.
MODELS = {
    "t5_1_0": lambda: t5(num_layers=2, num_decoder_layers=3),
    "t5_1_1": lambda: t5(num_layers=2, num_decoder_layers=2, feed_forward_proj="gated-gelu",
                         tie_word_embeddings=False),
    "switch_every_block": lambda: switch(num_layers=2, num_decoder_layers=2,
                                         num_sparse_encoder_layers=2, num_sparse_decoder_layers=2),
    "switch_every_second": lambda: switch(num_layers=2, num_decoder_layers=2,
                                          num_sparse_encoder_layers=1,
                                          num_sparse_decoder_layers=1),
    # Three encoder blocks with a step of 3, decoder with the step given; experts overflow.
    "switch_uneven": lambda: switch(num_layers=3, num_decoder_layers=2, num_sparse_encoder_layers=1,
                                    decoder_sparse_step=1, expert_capacity=3),
    "switch_bf16": lambda: switch(num_layers=2, num_decoder_layers=2, num_sparse_encoder_layers=1,
                                  num_sparse_decoder_layers=1),
}

# Checked live only.
MORE_MODELS = {
    "mt5": lambda: MT5ForConditionalGeneration(
        MT5Config(**dict(SIZES, num_layers=2, num_decoder_layers=2))),
    "switch_untied": lambda: switch(num_layers=4, num_decoder_layers=4, tie_word_embeddings=False,
                                    num_sparse_encoder_layers=1, num_sparse_decoder_layers=2),
}


def make_model(name, seed):
    """The model in evaluation mode, float32; those named bf16 hold values that bfloat16 can."""
    torch.manual_seed(seed)
    model = {**MODELS, **MORE_MODELS}[name]().eval()
    if name.endswith("bf16"):
        model = model.to(torch.bfloat16)
    return model


def make_batch(seed, vocab_size=67, rows=3, inputs=11, targets=6):
    """Ids with padding (0) at the end of later rows: input_ids [B, S], labels [B, T]."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(3, vocab_size, (rows, inputs), generator=generator)
    labels = torch.randint(3, vocab_size, (rows, targets), generator=generator)
    for row in range(1, rows):
        input_ids[row, inputs - 2 * row:] = 0
        labels[row, targets - row:] = 0
    return input_ids, labels


def make_full_batch(seed, vocab_size=67, rows=3, inputs=11, targets=6):
    """The same without padding, and other ids."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return (torch.randint(3, vocab_size, (rows, inputs), generator=generator),
            torch.randint(3, vocab_size, (rows, targets), generator=generator))


def forward(model, input_ids, labels, **keys):
    """transformers' own masks and losses: padding is masked, and -100 in the labels."""
    return model(input_ids=input_ids, attention_mask=(input_ids != 0).long(),
                 labels=labels.masked_fill(labels == 0, -100), **keys)


def is_switch(model):
    return model.config.model_type == "switch_transformers"


def without_router_losses(model):
    return dict(output_router_logits=False) if is_switch(model) else {}


def with_router_losses(model):
    return dict(output_router_logits=True) if is_switch(model) else {}


def router_margin(output):
    """Smallest difference between the two largest probabilities of any token in any router."""
    margin = 1.0
    for layers in (output.encoder_router_logits, output.decoder_router_logits):
        for layer in layers:
            if not isinstance(layer, (tuple, list)) or len(layer) != 2:
                continue
            probabilities = torch.softmax(layer[0].float(), -1)
            if probabilities.dim() < 3:
                continue
            best = probabilities.topk(2, -1).values
            margin = min(margin, (best[..., 0] - best[..., 1]).min().item())
    return margin
