"""Presets: dictionaries of the published networks, a module per data set or family. Copy one and change it.

`python -m mmdgan presets` lists them. The text beneath each has entries: Command, Source, Published score, Classes (for
which parameters are counted), Multiply-adds (for one image, as `mmdgan summary` counts them), and a time: Measured, or
Expected, which is an estimate for a step of 64 images in float32 on 2 cores of an Intel Xeon with AVX-512:

    0.616 s * (G + 2 * C) / (103,481,344 + 2 * 215,810,048)

with G and C the multiply-adds of generator and critic. That is the measured step of cifar10/DCGAN, in proportion; the
four times that were measured at an earlier state of the code (celeba, stl10) are 2.2 to 2.6 times what it gives.
"""
