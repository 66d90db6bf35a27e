"""The MMD GAN study: rows that one command trains and one page compares."""
