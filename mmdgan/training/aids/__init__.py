"""Training aids: EMA, augmentation, and what the critic sees."""
