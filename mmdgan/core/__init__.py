"""What every package of mmdgan needs and what knows nothing of GANs."""
