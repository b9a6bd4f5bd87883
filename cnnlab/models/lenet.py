"""Introductory networks: a linear and a dense one, LeNet5, and two networks of Keras examples."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.blocks import Conv, dropout, flatten, max_pool, spatial_dropout


class Linear(nn.Module):
    """One dense layer on the flattened pixels, which is multinomial logistic regression."""

    num_classes: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(flatten(x))


class Dense(nn.Module):
    """A feed-forward baseline on the flattened pixels, which does not know which pixels are neighbours.

    Attributes:
      num_classes: number of outputs of the last layer.
      features: units of each hidden dense layer.
      dropout: dropout rate after each hidden layer.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    features: tuple[int, ...] = (128,)
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        x = flatten(x)
        for i, features in enumerate(self.features, 1):
            x = nn.relu(nn.Dense(features, dtype=self.dtype, name=f"dense{i}")(x))
            x = dropout(self.dropout, deterministic=deterministic, name=f"dropout{i}")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name=f"dense{len(self.features) + 1}")(x)


class LeNet5(nn.Module):
    """LeNet5: two convolutions with pooling and three dense layers.

    It has 61,706 parameters for 28x28x1 and 10 classes. This is the form taught today, with ReLU, max pooling and
    softmax instead of the paper's tanh, trained subsampling and radial basis functions. The first convolution pads
    28x28 digits by 2 pixels to the paper's 32x32.

    Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), 1998, figure 2.

    Attributes:
      num_classes: number of outputs of the last layer.
      dropout: dropout rate after each of the two hidden dense layers.
      spatial_dropout: share of feature maps that are dropped after each pooling.
      dtype: type of the computation; parameters stay float32.

    >>> import jax.numpy as jnp
    >>> net = LeNet5(num_classes=10)
    >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    61706
    """

    num_classes: int
    dropout: float = 0.0
    spatial_dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        x = nn.relu(Conv(6, (5, 5), padding=2, dtype=self.dtype, name="conv1")(x))
        x = max_pool(x)
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout1")(x)
        x = nn.relu(Conv(16, (5, 5), padding="VALID", dtype=self.dtype, name="conv2")(x))
        x = max_pool(x)
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout2")(x)
        x = flatten(x)
        x = nn.relu(nn.Dense(120, dtype=self.dtype, name="dense1")(x))
        x = dropout(self.dropout, deterministic=deterministic, name="dropout1")(x)
        x = nn.relu(nn.Dense(84, dtype=self.dtype, name="dense2")(x))
        x = dropout(self.dropout, deterministic=deterministic, name="dropout2")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense3")(x)


class KerasMNIST(nn.Module):
    """The network of the Keras example for MNIST: two convolutions, a pooling and two dense layers.

    It has 1,199,882 parameters for 28x28x1 and 10 classes.

    Attributes:
      num_classes: number of outputs of the last layer.
      dropout: dropout rate before the last layer.
      conv_dropout: dropout rate after the pooling.
      spatial: whether the dropout after the pooling drops whole feature maps instead of single activations.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    dropout: float = 0.5
    conv_dropout: float = 0.25
    spatial: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        x = nn.relu(Conv(32, (3, 3), padding="VALID", dtype=self.dtype, name="conv1")(x))
        x = nn.relu(Conv(64, (3, 3), padding="VALID", dtype=self.dtype, name="conv2")(x))
        x = max_pool(x)
        x = _conv_dropout(self, deterministic, "dropout1")(x)
        x = flatten(x)
        x = nn.relu(nn.Dense(128, dtype=self.dtype, name="dense1")(x))
        x = dropout(self.dropout, deterministic=deterministic, name="dropout2")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense2")(x)


class KerasVGG(nn.Module):
    """The network of the VGG-like Keras example: two blocks of two convolutions and a pooling, and two dense layers.

    It has 7,998,250 parameters for 100x100x3 and 10 classes.

    Attributes:
      num_classes: number of outputs of the last layer.
      dropout: dropout rate before the last layer.
      conv_dropout: dropout rate after each pooling.
      spatial: whether the dropout after a pooling drops whole feature maps instead of single activations.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    dropout: float = 0.5
    conv_dropout: float = 0.25
    spatial: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        for block, features in ((1, 32), (2, 64)):
            for layer in (2 * block - 1, 2 * block):
                x = nn.relu(Conv(features, (3, 3), padding="VALID", dtype=self.dtype, name=f"conv{layer}")(x))
            x = max_pool(x)
            x = _conv_dropout(self, deterministic, f"dropout{block}")(x)
        x = flatten(x)
        x = nn.relu(nn.Dense(256, dtype=self.dtype, name="dense1")(x))
        x = dropout(self.dropout, deterministic=deterministic, name="dropout3")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense2")(x)


def _conv_dropout(network: KerasMNIST | KerasVGG, deterministic: bool, name: str) -> nn.Dropout:
    axes = (1, 2) if network.spatial else ()
    return dropout(network.conv_dropout, deterministic=deterministic, name=name, axes=axes)
