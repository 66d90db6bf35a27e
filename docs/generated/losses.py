"""The page of the losses: names, sources, options and defaults from the catalogue, formulas from here.

A loss of the catalogue without a formula here, or the other way round, is an error, so that the page is complete.
"""

from __future__ import annotations

FORMULAS = {
    "logistic": ("mean softplus(-s_g)", "mean softplus(s_g) + mean softplus(-s_x)"),
    "minimax": ("-L_D", "mean softplus(s_g) + mean softplus(-s_x)"),
    "hinge": ("-mean s_g", "mean max(1 + s_g, 0) + mean max(1 - s_x, 0)"),
    "wasserstein": ("mean s_x - mean s_g", "mean s_g - mean s_x + w · mean (|∇s(x̂)| - 1)²"),
    "fixed_g": ("Σ_σ MMD²(k_σ)", "-L_G"),
    "fixed_t": ("Σ_α MMD²(k_α)", "-L_G"),
    "mgb": ("MMD²(k_σ)", "-(E k(max(D_gg, b_l)) + E k(max(D_xx, b_l)) - 2 E k(min(D_gx, b_u)))"),
    "rep": ("MMD²(k_σ)", "w0 E k(D_gx) - E k(D_gg) - w1 E k(D_xx);  for (0, -1):  E k(D_xx) - E k(D_gg)"),
    "rmb": (
        "MMD²(k_σ)",
        "w0 E k(D_gx) - E k(max(D_gg, b_l)) - w1 E k(min(D_xx, b_u));  for (0, -1):  "
        "E k(min(D_xx, b_u)) - E k(max(D_gg, b_l));  max(D_xx, b_l) in its place where w1 > 0",
    ),
    "rand_g": ("R(g, x)", "N(x) - R(g, x)"),
    "rgb": (
        "R(g, x), β clipped to [0.125, 2]",
        "2 E k(max(D_xx, 0.125/β)) - E k(max(D_gg, 0.125/β)) - E k(min(D_gx, 2/β))",
    ),
    "sym_rg": ("R(g, x)", "½ (N₊(x) + N₋(g)) - R(g, x), normals around +0.5 and -0.5"),
    "mmd_g_mix": ("Σ_σ MMD²(k_σ)", "-Σ_σ MMD²(k_σ) of the mixed groups"),
    "sgm": ("MMD²(k_σ)", "-MMD²(k_σ) of the mixed groups"),
    "rand_g_mix": ("R(g, x)", "N(x) - R of the mixed groups"),
    "sym_rg_mix": ("R(g, x) + N(g)", "N(x) - R of the mixed groups - N(g)"),
    "ins_noise": ("R of the noisy scores", "N(noisy x) - R of the noisy scores"),
}
"""Loss -> (L_G, L_D), both to be minimised."""

_INTRODUCTION = """# Losses

Names, options and defaults are those of the catalogue (`mmdgan.losses`) when this page was built.
`python -m mmdgan losses` prints the short form; [Losses, tried](../losses.md) shows six of them at work; [the repulsive
loss](../explanation/repulsive_loss.md) says where they come from.

An option is a flag of `train` (`--sigma 0.5`) and an argument of `mmdgan.losses.get("rep", sigma=0.5)`.

## Notation

| symbol | meaning |
|---|---|
| s_g, s_x | scores of B generated and B real images, (B, d) |
| D_gg, D_xx, D_gx | squared distances of all pairs of scores |
| k_σ(D) | exp(-D / (2σ²)), the Gaussian kernel |
| k_α(D) | (1 + D / (βα))^(-α), the rational quadratic one |
| E | mean over pairs i ≠ j, in the cross term too; with `biased` over all pairs |
| MMD²(k) | E k(D_gg) + E k(D_xx) - 2 E k(D_gx) |
| w0, w1 | `rep_weights`, w0 - w1 = 1; `rep_lambda` λ stands for (1 - λ, -λ) |
| b_l, b_u | `lower_bound`, `upper_bound` of squared distances |
| R(g, x) | MMD² of exp(-βD), β such that the mean of this kernel over D_gx is ω, drawn from `omega` |
| N(z) | MMD² between z and a normal, by closed forms; `ref_normal` is the mean squared distance within it |
| mixed groups | a pair (g_i, x_i) changes sides, the more often the longer L_G stays above `mix_threshold` |

Means of `logistic`, `minimax`, `hinge` and `wasserstein` run over all scores. Options whose default is "none" stand for
another one: `variance` for σ², `rep_lambda` for the weights.

## Variants

A name that ends in `_gp` adds w · mean (|∇f(x̂)| - 1)² to L_D: f is the witness function of the loss's own kernel, x̂ are
points between real and generated images. A name that ends in `_ds` multiplies L_D by 1 / (1 + w · E|J|²), J the
Jacobian of the critic's scores of real images (`rep_ds` subtracts 1 from L_D first). w is `--penalty_weight`.

"""


def page() -> str:
    """The Markdown of the page.

    Raises:
      ValueError: the catalogue has a loss without a formula here, or a formula is of no loss.
    """
    from mmdgan.losses.registry import ENTRIES

    if missing := sorted(set(ENTRIES) ^ set(FORMULAS)):
        raise ValueError(f"FORMULAS in docs/generated/losses.py does not agree with the catalogue on {missing}")
    return _INTRODUCTION + "## All losses\n\n" + "\n".join(_section(name) for name in ENTRIES)


def _section(canonical: str) -> str:
    """One loss: its names, formulas, source, options and variants."""
    from mmdgan.losses import registry
    from mmdgan.losses.registry import ENTRIES, SCALE_WEIGHT

    entry, loss = ENTRIES[canonical], registry.get(canonical)
    others = [f"`{name}`" for name in entry.aliases if name]
    lines = [f"### {canonical}", "", f"{entry.text}.", ""]
    lines += [f"- `L_G = {FORMULAS[canonical][0]}`", f"- `L_D = {FORMULAS[canonical][1]}`", f"- Source: {entry.source}"]
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
