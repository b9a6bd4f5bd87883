"""Fast forms of convolution, pooling and dropout, and the rules that choose among them (`dispatch`)."""
