"""Building blocks of the residual networks of `sngan`, `sagan` and `wgan_gp`; there are no presets here.

Sources of the blocks: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, "Improved training of Wasserstein GANs", NeurIPS
2017, appendix; Miyato, Kataoka, Koyama, Yoshida, "Spectral normalization for generative adversarial networks", ICLR
2018, Tables 4 to 6 and Fig. 8; Miyato, Koyama, "cGANs with projection discriminator", ICLR 2018; and their authors'
code (igul222/improved_wgan_training, pfnet-research/sngan_projection).

Where these networks differ from the sources:
    A generator's block lacks the biases of its two convolutions. They would change nothing: batch normalisation takes
    away the first, and the shortcut's bias is added to the same sum as the second.
    Weights begin as this language's rule says (truncated normal for relu), in the sources as Glorot's or He's uniform
    numbers. Batch normalisation has its momentum and epsilon (0.99, 0.001).
    Miyato et al. normalise reshaped kernels: give `--spectral pim` for that; the default is this project's PICO.
"""

from __future__ import annotations

_UP = {"type": "res", "kernel": [3, 3, 1], "act": "relu", "scale": ["unpool", 2]}
_DOWN = {"kernel": [3, 3, 1], "act": "relu", "scale": ["avg", -2]}
_SPECTRAL = {"w_nm": "s"}


def generator(widths: list[int], side: int = 4, *, conditional: bool = False, spectral: bool = False) -> list[dict]:
    """A dense layer, residual blocks that each double the side, batch normalisation, relu, a convolution, tanh.

    Args:
        widths: channels of the smallest images, then those that each block puts out.
        side: of the smallest images.
        conditional: batch normalisation of the blocks has scale and offset per class.
        spectral: spectral normalisation of every kernel.
    """
    more = _SPECTRAL if spectral else {}
    first, *others = widths
    norm = "cbn" if conditional else "bn"
    return [
        {"name": "l1", "op": "d", "out": first * side * side, "out_reshape": [first, side, side], **more},
        *({"name": f"l{index}_up", "out": out, "act_nm": norm, **_UP, **more} for index, out in enumerate(others, 2)),
        {"name": "norm", "op": "i", "act_nm": "bn", "act": "relu"},
        {"name": "image", "out": 3, "act": "tanh", **more},
    ]


def critic(
    widths: list[int],
    side: int,
    halvings: int,
    *,
    conditional: bool = False,
    spectral: bool = True,
    wide: bool = False,
    pool: str = "sum",
) -> list[dict]:
    """Residual blocks without batch normalisation, relu, a pool over all pixels, a dense layer with one score.

    Args:
        widths: channels that each block puts out.
        side: of the images, which must be divisible by 2^halvings.
        halvings: the first so many blocks halve the side.
        conditional: the score has a label projection.
        spectral: spectral normalisation of every kernel, without a multiplier (`--gain` gives one).
        wide: a block's first convolution puts out as many channels as the block, not as it gets.
        pool: 'sum' or 'avg'.
    """
    more = _SPECTRAL if spectral else {}
    layers = [{"name": "l1_ds", "type": "res_v1", "out": widths[0], **_DOWN, **more}]
    for index, (before, out) in enumerate(zip(widths, widths[1:], strict=False), start=2):
        hidden = out if wide else before
        if index <= halvings:
            layers.append({"name": f"l{index}_ds", "type": "res", "out": [hidden, out, out], **_DOWN, **more})
        elif out == before:
            layers.append({"name": f"l{index}", "type": "res_i", "out": out, "act": "relu", **more})
        else:
            block = {"name": f"l{index}", "type": "res", "out": [hidden, out, out], "kernel": [3, 3, 1], "act": "relu"}
            layers.append({**block, **more})
    kernel = side // 2**halvings
    flat = {"kernel": kernel, "padding": "VALID", "bias": None, "out_reshape": [widths[-1]]}
    return [
        *layers,
        {"name": "relu", "op": "i", "act": "relu"},
        {"name": "pool", "op": pool, **flat},
        {"name": "score", "op": "d", "out": 1, **({"type": "project"} if conditional else {}), **more},
    ]


def architecture(side: int, gen: list[dict], dis: list[dict]) -> dict:
    """The dictionary of two such networks, of images of `side` pixels and codes of 128 numbers."""
    return {"input": [(3, side, side)], "code": [(128, "linear")], "generator": gen, "discriminator": dis}
