"""Formulas as MathML, made when the site is built: browsers show it without fonts, scripts or a network.

A page writes a formula as GitHub does: LaTeX in a block fenced as `math`, or between dollar signs and backquotes.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`([^`]+)`\$")
_OPERATORS = re.compile(r"\\(E|MMD|mean|softplus)\b")


def rendered(markdown: str) -> str:
    """The Markdown of a page with its formulas as MathML, those of a block on a line each."""
    # Markdown takes a line that begins with <math> for a block, one that begins with <span> for text.
    markdown = _BLOCK.sub(lambda block: "".join(_display(line) for line in block[1].splitlines()), markdown)
    return _INLINE.sub(lambda formula: f"<span>{mathml(formula[1])}</span>", markdown)


def mathml(latex: str, display: str = "inline") -> str:
    """A formula in LaTeX as a `<math>` element; `\\E`, `\\MMD`, `\\mean` and `\\softplus` are operators.

    Args:
      latex: the formula.
      display: "inline", or "block" for a line of its own.
    """
    from latex2mathml.converter import convert

    return convert(_OPERATORS.sub(r"\\operatorname{\1}", latex), display=display)


def _display(line: str) -> str:
    return f'<div class="math">{mathml(line, "block")}</div>\n'
