"""Kernel statistics by loops over pairs, and derivatives by finite differences: what the losses are tested against."""

import itertools
import math

import numpy as np


def scores(rows=7, columns=3, seed=0, scale=1.0):
    """Generated and data scores, float64."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, columns)) * scale, rng.standard_normal((rows, columns)) * scale + 0.5


def pair_mean(a, b, kernel, exclude=True):
    """The mean of kernel(|a_i - b_j|^2) over pairs, by a double loop."""
    pairs = [(i, j) for i, j in itertools.product(range(len(a)), range(len(b))) if not (exclude and i == j)]
    return sum(kernel(float(np.sum((a[i] - b[j]) ** 2))) for i, j in pairs) / len(pairs)


def gaussian(sigma=1.0):
    return lambda distance: math.exp(-distance / (2 * sigma**2))


def rational_quadratic(alpha, beta=2.0):
    return lambda distance: (1 + distance / (beta * alpha)) ** -alpha


def reference_mmd2(g, x, kernel):
    return pair_mean(g, g, kernel) + pair_mean(x, x, kernel) - 2 * pair_mean(g, x, kernel)


def exponential(beta):
    return lambda distance: math.exp(-beta * distance)


def matched_beta(g, x, omega):
    """Three Newton steps for ``mean exp(-beta D) = omega`` over all pairs."""
    beta = -math.log(omega) / pair_mean(g, x, lambda distance: distance, exclude=False)
    for _ in range(3):
        error = pair_mean(g, x, exponential(beta), exclude=False) - omega
        slope = pair_mean(g, x, lambda distance, b=beta: -distance * math.exp(-b * distance), exclude=False)
        beta -= error / slope
    return beta


def random_mmd2(g, x, omega):
    """R(g, x) of the random-width losses."""
    return reference_mmd2(g, x, exponential(matched_beta(g, x, omega)))


def normal_mmd2(z, omega, ref_normal=1.0, mean=0.0):
    """N(z): as R, from a normal whose expectations are integrals: three Newton steps by numerical slopes."""
    d, radii = z.shape[1], [float(np.sum((row - mean) ** 2)) for row in z]
    variance = ref_normal / (2 * d)

    def cross(beta):
        """E exp(-beta |z - y|^2) for y of that normal, as a product of one-dimensional Gaussian integrals."""
        c = 1 / (1 + 2 * beta * variance)
        return sum(c ** (d / 2) * math.exp(-beta * c * radius) for radius in radii) / len(radii)

    beta = -math.log(omega) / (sum(radii) / len(radii) + ref_normal / 2)
    for _ in range(3):
        slope = (cross(beta + 1e-5) - cross(beta - 1e-5)) / 2e-5
        beta -= (cross(beta) - omega) / slope
    return pair_mean(z, z, exponential(beta)) + (1 / (1 + 4 * beta * variance)) ** (d / 2) - 2 * cross(beta)


def central_differences(function, at, step=1e-5):
    """The gradient of a scalar function of one array."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (float(function(up)) - float(function(down))) / (2 * step)
    return gradient
