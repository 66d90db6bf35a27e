"""The page of the losses: names, sources, formulas, options and defaults, all from the catalogue."""

from __future__ import annotations

_INTRODUCTION = r"""# Losses

Names, options and defaults are those of the catalogue (`mmdgan.losses`) when this page was built.
`python -m mmdgan losses` prints the short form; [Losses, tried](../losses.md) shows six of them at work; [the repulsive
loss](../explanation/repulsive_loss.md) says where they come from.

An option is a flag of `train` (`--sigma 0.5`) and an argument of `mmdgan.losses.get("rep", sigma=0.5)`.

## Notation

Both losses are minimised. Means of `logistic`, `minimax`, `hinge` and `wasserstein` run over all scores.

| symbol | meaning |
|---|---|
| $`s_g, s_x`$ | scores of B generated and B real images, (B, d) |
| $`D_{gg}, D_{xx}, D_{gx}`$ | squared distances of all pairs of scores |
| $`k_\sigma(D)`$ | $`e^{-D / (2 \sigma^2)}`$, the Gaussian kernel |
| $`k_\alpha(D)`$ | $`(1 + D / (\beta \alpha))^{-\alpha}`$, the rational quadratic one |
| $`\E`$ | mean over pairs i ≠ j, in the cross term too; with `biased` over all pairs |
| $`\MMD^2(k)`$ | $`\E k(D_{gg}) + \E k(D_{xx}) - 2 \E k(D_{gx})`$ |
| $`w_0, w_1`$ | `rep_weights`, $`w_0 - w_1 = 1`$; `rep_lambda` λ stands for $`(1 - \lambda, -\lambda)`$ |
| $`b_l, b_u`$ | `lower_bound`, `upper_bound` of squared distances |
| $`R(g, x)`$ | $`\MMD^2`$ of $`e^{-\beta D}`$, with mean ω, drawn from `omega`, over $`D_{gx}`$ |
| $`N(z)`$ | $`\MMD^2`$ between z and a normal, by closed forms; `ref_normal` is the mean squared distance within it |
| $`N_+, N_-`$ | the same with normals around +0.5 and -0.5 |
| $`g', x'`$ | mixed groups: a pair $`(g_i, x_i)`$ changes sides, more often while $`L_G`$ stays above `mix_threshold` |
| $`V`$ | the field of `drift` at a generated score: attraction by data, less repulsion by generated ones |
| $`\tilde{g}, \tilde{x}`$ | scores with Gaussian noise, which grows while $`L_G`$ stays above `mix_threshold` |

The default weights (0, -1) make the critic's loss of `rep` $`\E k(D_{xx}) - \E k(D_{gg})`$. With $`w_1 > 0`$, `rmb` has
$`\max(D_{xx}, b_l)`$ in place of $`\min(D_{xx}, b_u)`$. `rgb` clips β to [0.125, 2]. Options whose
default is "none" stand for another one: `variance` for σ², `rep_lambda` for the weights.

## Variants

A name that ends in `_gp` adds $`w \mean (|\nabla f(\hat{x})| - 1)^2`$ to $`L_D`$: f is the witness function of the
loss's own kernel, $`\hat{x}`$ are points between real and generated images. A name that ends in `_ds` multiplies
$`L_D`$ by $`1 / (1 + w \E |J|^2)`$, J the Jacobian of the critic's scores of real images (`rep_ds` subtracts 1 from
$`L_D`$ first). w is `--penalty_weight`.

"""


def page() -> str:
    """The Markdown of the page."""
    from mmdgan.losses.registry import ENTRIES

    return _INTRODUCTION + "## All losses\n\n" + "\n".join(_section(name) for name in ENTRIES)


def _section(canonical: str) -> str:
    """One loss: its names, formulas, source, options and variants."""
    from mmdgan.losses import registry
    from mmdgan.losses.registry import ENTRIES, SCALE_WEIGHT

    entry, loss = ENTRIES[canonical], registry.get(canonical)
    others = [f"`{name}`" for name in entry.aliases if name]
    of_generator, _, of_critic = entry.formula.partition("; ")
    lines = [f"### {canonical}", "", f"{entry.text}.", ""]
    if entry.formula:
        lines += ["```math", f"L_G = {of_generator}", f"L_D = {of_critic}", "```", ""]
    lines.append(f"- Source: {entry.source}")
    if others:
        lines.append(f"- Other names: {', '.join(others)}")
    options = [f"`{name}` {_shown(value)}" for name, value in entry.options.items()]
    lines.append(f"- Options: {', '.join(options) or 'none'}")
    size = "1 score" if loss.score_size == 1 else f"{loss.score_size} scores"
    lines.append(f"- The critic gives {size} per image unless `--score_size` says otherwise")
    variants = []
    if entry.needs_penalty:
        variants.append(f"the penalty is part of it, w = {entry.penalty_weight:g}")
    elif entry.penalty_weight is not None:
        variants.append(f"`{canonical}_gp`, w = {entry.penalty_weight:g}")
    if entry.scalable:
        variants.append(f"`{canonical}_ds`, w = {SCALE_WEIGHT:g}")
    if variants:
        lines.append(f"- Variants: {'; '.join(variants)}")
    if entry.zero_sum:
        lines.append("- L_D = -L_G without a penalty: one backward pass serves both players")
    if entry.state:
        lines.append(f"- Memory, kept in checkpoints: {', '.join(f'`{name}`' for name in entry.state)}")
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{part:.4g}" for part in value) + ")"
    return "none" if value is None else str(value)
