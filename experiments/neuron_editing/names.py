"""Names of methods in the rows of neuron editing."""

ALONE = "percentiles of single features"
EDITING, DEFAULT = "neuron editing, as printed", "neuron editing, ours"
TRUTH = "the truth"
GANS = ("GAN", "ResnetGAN", "CycleGAN")
