"""Fast forms of convolution, pooling and dropout, and the table that chooses among them (`dispatch`)."""
