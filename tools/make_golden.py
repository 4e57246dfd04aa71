#!/usr/bin/env python3
"""Makes the golden numbers of tests/golden with transformers 4.57.6 (scripts/oracle.sh has them).

Usage: make_golden.py [FOLDER]      FOLDER: default tests/golden/data

For each tiny random model: a model directory as save_pretrained() leaves it, and expected.safetensors:
  input_ids [B, S], labels [B, T]   int64, 0 is padding
  logits [B, T, V], loss []         float32; the mean cross-entropy, without router losses
  total_loss []                     Switch only: with z and balance losses
  gradient.NAME                     of the loss, for every parameter
  greedy_ids [B, 9]                 generate() without cache, start id included, 0 after EOS
"""
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

import tiny_models

REQUIRED = "4.57.6"
MARGIN = 1e-3  # between a token's two best experts, so that rounding cannot change the choice


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


def choose(name):
    """The first seed whose model decides all its routing clearly."""
    for seed in range(1, 1000):
        model = tiny_models.make_model(name, seed)
        input_ids, labels = tiny_models.make_batch(seed)
        if not tiny_models.is_switch(model):
            return model, input_ids, labels
        with torch.no_grad():
            output = tiny_models.forward(model, input_ids, labels, output_router_logits=True)
        if router_margin(output) > MARGIN:
            return model, input_ids, labels
    raise SystemExit(f"{name}: no seed gives clear routing")


def make(name, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model, input_ids, labels = choose(name)
    model.save_pretrained(folder)
    model = model.float()  # bfloat16 weights are computed with in float32
    output = tiny_models.forward(model, input_ids, labels,
                                 **tiny_models.without_router_losses(model))
    output.loss.backward()
    expected = {"input_ids": input_ids, "labels": labels, "logits": output.logits.detach(),
                "loss": output.loss.detach()}
    for parameter_name, parameter in model.named_parameters():
        if parameter.grad is not None:
            expected["gradient." + parameter_name] = parameter.grad
    if tiny_models.is_switch(model):
        with torch.no_grad():
            expected["total_loss"] = tiny_models.forward(model, input_ids, labels,
                                                         output_router_logits=True).loss
    expected["greedy_ids"] = model.generate(
        input_ids=input_ids, attention_mask=(input_ids != 0).long(), max_new_tokens=8,
        num_beams=1, do_sample=False, use_cache=False)
    save_file({key: value.contiguous() for key, value in expected.items()},
              folder / "expected.safetensors")


def main():
    if transformers.__version__ != REQUIRED:
        raise SystemExit(f"transformers {transformers.__version__} is installed, {REQUIRED} needed")
    torch.set_num_threads(1)
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                        pathlib.Path(__file__).resolve().parent.parent / "tests/golden/data")
    for name in tiny_models.MODELS:
        make(name, root / name)
        size = sum(path.stat().st_size for path in (root / name).iterdir())
        print(f"{name}: {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
