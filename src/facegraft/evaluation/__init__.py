"""How a model is measured: the benchmark and its figures."""
