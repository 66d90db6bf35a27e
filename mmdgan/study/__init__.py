"""The MMD GAN study: points in the plane, MNIST, and a report of both."""
