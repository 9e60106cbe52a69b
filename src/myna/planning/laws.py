"""How much model a text supports, and how far a model gets with it: rules of the literature, as functions.

The law is that of Muennighoff et al. 2023 (arXiv:2305.16264), and Chinchilla's (arXiv:2203.15556) where no text is read
twice: L(N, D) = E + A / N'^α + B / D'^α. D' are the tokens with repeated passes worth ever less (about 4 are nearly as
good as new text), N' the weights, with those beyond what the text supports worth ever less. Its constants are of
English and of models from 7 million weights on; here it only tells which of two sizes is the better, never a loss.
"""

from __future__ import annotations

import math

# Chinchilla's rule: so many tokens for each weight make the most of the arithmetic.
TOKENS_A_WEIGHT = 20
# So many passes over a text are nearly as good as new text.
PASSES = 4
# arXiv:2305.16264, section 4 and appendix: E, A, B, α = β, and how fast repetition and excess weights lose their worth.
_E, _A, _B, _ALPHA = 1.87, 521.0, 1488.0, 0.353
_REPEATS, _EXCESS = 15.4, 5.3


def supported_weights(tokens: float, passes: float = PASSES) -> float:
    """How many weights so many different tokens support, read ``passes`` times."""
    return worth(tokens, tokens * passes) / TOKENS_A_WEIGHT


def worth(different: float, read: float) -> float:
    """What ``read`` tokens of a text of ``different`` ones are worth, in tokens that are never read twice."""
    repeats = max(read / different - 1, 0.0)
    return min(different, read) + different * _REPEATS * -math.expm1(-repeats / _REPEATS)


def predicted_loss(weights: float, different: float, read: float) -> float:
    """The law's loss of a model of so many weights after ``read`` tokens of a text of ``different`` ones."""
    # How many weights the text supports by the law itself, where A / N^α = B / D^α.
    fitting = (_A / _B) ** (1 / _ALPHA) * min(different, read)
    excess = max(weights / fitting - 1, 0.0)
    useful = min(fitting, weights) + fitting * _EXCESS * -math.expm1(-excess / _EXCESS)
    loss: float = _E + _A / useful**_ALPHA + _B / worth(different, read) ** _ALPHA
    return loss
