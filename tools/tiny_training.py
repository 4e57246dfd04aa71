"""Optimizer steps of a tiny model, for make_golden.py and make_loss_curves.py.

Where torch's AdamW and transformers' Adafactor are defined otherwise than ours (src/train/optimizer.h),
what is stored follows ours, and each difference is taken out here or by a setting:
  absent gradients   an expert that no token chose has no gradient in transformers, and both optimizers
                     then skip it: no decay, no count of the step. Ours sees zeros in the gradient of the
                     stack; so here absent gradients are zeros.
  AdamW decay        torch decays everything that it is given. Ours decays matrices only: two groups.
  GEGLU's wi         transformers has two matrices, wi_0 and wi_1, ours has one, [gate; linear]. Adafactor's
                     row and column means, clipping and scale are per matrix; so here they are joined.
                     Experts are matrices of their own on both sides.
  what is factored   transformers: every matrix. Ours: from min_dim_factored on, 1 for these numbers.
  Adafactor decay    transformers: times the rate relative to the matrix. Ours: times the plain rate. 0.
  Adafactor rate     given from outside (relative_step off); no global clipping of gradients.
The same on both sides: 1e-30 added to squared gradients, the least scale of a parameter (1e-3), clipping of
an update's root mean square at 1, beta2 = 1 - step^-0.8, the scale taken before the update.
"""
import torch
import transformers

import tiny_models

KINDS = ("adamw", "adafactor")
ADAMW = dict(lr=0.01, betas=(0.9, 0.99), eps=1e-8)
DECAY = 0.1
ADAFACTOR = dict(lr=0.01, eps=(1e-30, 1e-3), clip_threshold=1.0, decay_rate=-0.8, beta1=None,
                 weight_decay=0.0, scale_parameter=True, relative_step=False, warmup_init=False)
ENTRIES = 8  # stored of each weight, evenly spaced


class Matrices:
    """A model's parameters as the optimizer moves them: copies, with wi_0 and wi_1 as one."""

    def __init__(self, model):
        named = dict(model.named_parameters())
        self.parts = [[parameter, named[name.replace("wi_0", "wi_1")]]
                      if name.endswith("wi_0.weight") else [parameter]
                      for name, parameter in named.items() if not name.endswith("wi_1.weight")]
        self.all = [torch.nn.Parameter(torch.cat([part.detach() for part in parts]))
                    for parts in self.parts]

    def take_gradients(self):
        for matrix, parts in zip(self.all, self.parts):
            matrix.grad = torch.cat([torch.zeros_like(part) if part.grad is None else part.grad
                                     for part in parts])

    @torch.no_grad()
    def give_values(self):
        for matrix, parts in zip(self.all, self.parts):
            for part, value in zip(parts, matrix.split([len(part) for part in parts])):
                part.copy_(value)


def make_optimizer(kind, matrices):
    if kind == "adafactor":
        return transformers.Adafactor(matrices, **ADAFACTOR)
    return torch.optim.AdamW(
        [dict(params=[m for m in matrices if m.dim() > 1], weight_decay=DECAY),
         dict(params=[m for m in matrices if m.dim() == 1], weight_decay=0.0)], **ADAMW)


def summary(values, before):
    """Some entries of a weight, and the Euclidean norm of all that the steps changed."""
    flat = values.detach().flatten()
    entries = flat[[i * len(flat) // ENTRIES for i in range(ENTRIES)]]
    return torch.cat([entries, (values.detach() - before).norm().view(1)])


def train(model, kind, batches, watch):
    """One step on each of the batches, (input_ids, labels), of which a generator may look at the
    model before each step. `watch` is called with each step's output.

    Returns losses, before each update and with router losses, and weights [P, ENTRIES + 1] as
    summary() makes them, in the order of the names.
    """
    model.train()  # nothing is random: no dropout, no jitter
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    matrices = Matrices(model)
    optimizer = make_optimizer(kind, matrices.all)
    losses = []
    for input_ids, labels in batches:
        model.zero_grad(set_to_none=True)
        output = tiny_models.forward(model, input_ids, labels,
                                     **tiny_models.with_router_losses(model))
        watch(output)
        output.loss.backward()
        losses.append(output.loss.detach())
        matrices.take_gradients()
        optimizer.step()
        matrices.give_values()
    after = dict(model.named_parameters())
    return torch.stack(losses), torch.stack([summary(after[name], before[name])
                                             for name in sorted(after)])
