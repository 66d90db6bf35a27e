"""A study of the MMD as a loss, on points and MNIST."""
