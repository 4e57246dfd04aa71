#!/usr/bin/env python3
"""Makes the loss curves of tests/golden/data/loss_curves.safetensors with transformers 4.57.6.

Usage: make_loss_curves.py [FILE]      (scripts/oracle.sh has transformers)

Tiny models start from the weights that make_golden.py left in tests/golden/data and learn to copy. For each of
MODELS, optimizer and data seed, as MODEL.KIND.SEED.NAME:
  input_ids [50, B, S], labels [50, B, T]   int64, a batch a step
  losses [50]                               before each update, with router losses; float32
In switch models each batch routes every token clearly, with the weights of that step: candidates that do not
are passed over, since rounding may decide there.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

import tiny_models
import tiny_training

REQUIRED = "4.57.6"
MODELS = ("t5_1_0", "t5_1_1", "switch_every_block", "switch_every_second")
SEEDS = (1, 2)
STEPS = 50
MARGIN = 2e-4  # between a token's two best experts
ROWS, INPUTS, TARGETS = 4, 11, 6


def load(folder):
    kind = (transformers.SwitchTransformersForConditionalGeneration
            if folder.name.startswith("switch") else transformers.T5ForConditionalGeneration)
    return kind.from_pretrained(folder)


def candidates(seed):
    """Batches to copy: the labels are the beginning of the input."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        # Few ids, so that fifty steps teach something.
        input_ids = torch.randint(3, 13, (ROWS, INPUTS), generator=generator)
        yield input_ids, input_ids[:, :TARGETS].clone()


def clear_batches(model, seed, taken):
    """STEPS batches, also put into `taken`."""
    for batch in candidates(seed):
        if tiny_models.is_switch(model):
            with torch.no_grad():
                output = tiny_models.forward(model, *batch, output_router_logits=True)
            if tiny_models.router_margin(output) < MARGIN:
                continue
        taken.append(batch)
        yield batch
        if len(taken) == STEPS:
            return


def main():
    if transformers.__version__ != REQUIRED:
        raise SystemExit(f"transformers {transformers.__version__} is installed, {REQUIRED} needed")
    torch.set_num_threads(1)
    data = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/data"
    curves = {}
    for name in MODELS:
        for kind in tiny_training.KINDS:
            for seed in SEEDS:
                model, taken = load(data / name), []
                losses, _ = tiny_training.train(model, kind, clear_batches(model, seed, taken),
                                                lambda output: None)
                key = f"{name}.{kind}.{seed}."
                curves[key + "input_ids"] = torch.stack([batch[0] for batch in taken])
                curves[key + "labels"] = torch.stack([batch[1] for batch in taken])
                curves[key + "losses"] = losses
                print(f"{key} {losses[0]:.4f} -> {losses[-1]:.4f}")
    save_file(curves, sys.argv[1] if len(sys.argv) > 1 else data / "loss_curves.safetensors")


if __name__ == "__main__":
    main()
