#!/usr/bin/env python3
"""Makes the golden numbers of tests/golden with transformers 4.57.6 (scripts/oracle.sh has them).

Usage: make_golden.py [FOLDER]      FOLDER: default tests/golden/data

For each tiny random model: a model directory as save_pretrained() leaves it, and expected.safetensors:
  input_ids [B, S], labels [B, T]   int64, 0 is padding
  logits [B, T, V], loss []         float32; the mean cross-entropy, without router losses
  gradient.NAME                     of the loss, for every parameter
  greedy_ids [B, 9]                 generate() without cache, start id included, 0 after EOS
  beam_ids [B, 4, 9]                the same with 4 beams, best first
  beam_scores [B, 4]
and over a batch without padding, because router losses count what a router sees there, and padding sees
other positions in transformers than here:
  full_input_ids, full_labels
  total_loss []                     Switch only: cross-entropy, balance and z-losses
  router_losses [2]                 Switch only: the balance part of it, the z part
  adamw_losses [10]                 of ten steps on this batch (tools/tiny_training.py), total
  adamw_weights [P, 9]              after them, of each parameter in the order of names: 8 entries evenly
                                    spaced, and the norm of what changed
  adafactor_losses, adafactor_weights
"""
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

import tiny_models
import tiny_training

REQUIRED = "4.57.6"
MARGIN = 1e-3  # between a token's two best experts, so that rounding cannot change the choice
TRAINED_MARGIN = 1e-4  # the same at every step of training
STEPS = 10
BEAMS = 4
BEAM_MARGIN = 1e-4  # between the scores of two results


def trained(name, seed, kind):
    """Losses and weights of ten steps, and the least margin on the way."""
    margins = [1.0]
    model = tiny_models.make_model(name, seed).float()

    def watch(output):
        if tiny_models.is_switch(model):
            margins.append(tiny_models.router_margin(output))

    losses, weights = tiny_training.train(
        model, kind, [tiny_models.make_full_batch(seed)] * STEPS, watch)
    return losses, weights, min(margins)


def routes_clearly(name, seed):
    model = tiny_models.make_model(name, seed)
    if not tiny_models.is_switch(model):
        return True
    with torch.no_grad():
        output = tiny_models.forward(model, *tiny_models.make_batch(seed), output_router_logits=True)
    return tiny_models.router_margin(output) > MARGIN and all(
        trained(name, seed, kind)[2] > TRAINED_MARGIN for kind in tiny_training.KINDS)


def choose(name):
    """The first seed whose model decides all its routing clearly."""
    for seed in range(1, 1000):
        if routes_clearly(name, seed):
            return seed
    raise SystemExit(f"{name}: no seed gives clear routing")


def total_losses(model, input_ids, labels):
    """With what the routers add, in transformers' words aux_loss and z_loss."""
    with torch.no_grad():
        output = tiny_models.forward(model, input_ids, labels, output_router_logits=True)
    balance = output.encoder_aux_loss + output.decoder_aux_loss
    z = output.encoder_z_loss + output.decoder_z_loss
    return {"total_loss": output.loss,
            "router_losses": torch.tensor([model.config.router_aux_loss_coef * balance,
                                           model.config.router_z_loss_coef * z])}


def decoded(model, input_ids):
    keys = dict(input_ids=input_ids, attention_mask=(input_ids != 0).long(), max_new_tokens=8,
                do_sample=False, use_cache=False)
    beams = model.generate(num_beams=BEAMS, num_return_sequences=BEAMS, early_stopping=False,
                           length_penalty=1.0, return_dict_in_generate=True, output_scores=True,
                           **keys)
    rows = len(input_ids)
    scores = beams.sequences_scores.view(rows, BEAMS)
    if (scores[:, :-1] - scores[:, 1:]).min() < BEAM_MARGIN:
        raise SystemExit(f"two beams score nearly the same: {scores}")
    return {"greedy_ids": model.generate(num_beams=1, **keys),
            "beam_ids": beams.sequences.view(rows, BEAMS, -1), "beam_scores": scores}


def make(name, folder):
    shutil.rmtree(folder, ignore_errors=True)
    seed = choose(name)
    model = tiny_models.make_model(name, seed)
    input_ids, labels = tiny_models.make_batch(seed)
    full_input_ids, full_labels = tiny_models.make_full_batch(seed)
    with torch.no_grad():  # the first forward pass turns routers to float32, which are saved so then
        tiny_models.forward(model, input_ids, labels)
    model.save_pretrained(folder)
    model = model.float()  # bfloat16 weights are computed with in float32
    output = tiny_models.forward(model, input_ids, labels,
                                 **tiny_models.without_router_losses(model))
    output.loss.backward()
    expected = {"input_ids": input_ids, "labels": labels, "logits": output.logits.detach(),
                "loss": output.loss.detach(), "full_input_ids": full_input_ids,
                "full_labels": full_labels, **decoded(model, input_ids)}
    for parameter_name, parameter in model.named_parameters():
        if parameter.grad is not None:
            expected["gradient." + parameter_name] = parameter.grad
    if tiny_models.is_switch(model):
        expected.update(total_losses(model, full_input_ids, full_labels))
    for kind in tiny_training.KINDS:
        expected[f"{kind}_losses"], expected[f"{kind}_weights"], _ = trained(name, seed, kind)
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
