import jax
import jax.numpy as jnp
import pytest

from cnnlab.runtime import compile as compiling
from cnnlab.runtime.compile import jit


def square(x):
    return (x * x).sum()


def test_jit_returns_the_value_of_the_function():
    assert jit(square)(jnp.arange(4.0)) == 14


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, lambda f: jax.vmap(f), lambda f: lambda x: jax.lax.map(f, x)])
def test_jit_works_inside_every_transform(transform):
    x = jnp.ones((3, 2)) if transform not in (jax.jit, jax.grad) else jnp.arange(3.0)
    assert jnp.allclose(transform(jit(square))(x), transform(square)(x))


def test_static_argnames_and_donation_pass_through():
    power = jit(lambda x, n: x**n, static_argnames="n")
    assert power(jnp.float32(2), n=3) == 8
    donated = jnp.ones(4)
    jit(lambda x: x + 1, donate_argnums=0)(donated)
    assert donated.is_deleted()


@pytest.mark.cpu_only("only CPUs have compiler options")
def test_a_version_without_the_option_compiles_without_it(monkeypatch):
    monkeypatch.setattr(compiling, "_WITHOUT", {"xla_cpu_no_such_option": ""})
    compiling.compiler_options.cache_clear()
    assert compiling.compiler_options() == {}
    compiling.compiler_options.cache_clear()


@pytest.mark.cpu_only("only CPUs have compiler options")
@pytest.mark.parametrize(
    ("shape", "axes", "large"), [((2000, 500), 0, True), ((2000, 500), 1, False), ((9, 9), 0, False)]
)
def test_large_sums_over_all_axes_but_the_last_are_detected_at_any_depth(shape, axes, large):
    def fn(x):
        return jax.lax.cond(True, lambda x: jax.jit(lambda x: x.sum(axes).sum())(x), lambda x: 0.0, x)

    options = compiling._chosen_options(jax.make_jaxpr(fn)(jnp.ones(shape)).jaxpr)
    assert (options == compiling.compiler_options(large_sums=True)) == large


@pytest.mark.cpu_only("only CPUs have compiler options")
@pytest.mark.parametrize("avx512", [True, False])
def test_programs_may_use_vectors_of_16_where_the_cpu_has_them(avx512, monkeypatch):
    def negative_if_wide(x):
        return compiling.with_wide_vectors(jnp.negative)(x) if compiling.has_wide_vectors() else x

    monkeypatch.setattr(compiling, "_has_avx512", lambda: avx512)
    program, sign = jit(negative_if_wide), -1 if avx512 else 1
    assert program(1) == sign
    assert jax.jit(program)(1) == 1  # the outer jit compiles the program for an unknown width of vectors
    assert jit(lambda x: program(x) + 1)(1) == sign + 1


@pytest.mark.cpu_only("only CPUs have compiler options")
def test_only_a_program_that_wants_vectors_of_16_gets_them():
    def width(fn):
        options = compiling._chosen_options(jax.make_jaxpr(jax.vmap(fn))(jnp.ones(3)).jaxpr)
        return options.get("xla_cpu_prefer_vector_width")

    assert width(jnp.negative) is None
    assert width(compiling.with_wide_vectors(jnp.negative)) == "512"


def test_lower_compiles_ahead_of_time():
    assert jit(square).lower(jnp.arange(3.0)).compile()(jnp.arange(3.0)) == 5


def test_a_program_whose_arguments_are_all_constants_works_inside_a_trace():
    program = jit(square)
    x = jnp.arange(3.0)
    assert jax.jit(lambda: program(x))() == 5
    assert jax.grad(lambda s: s * program(x))(1.0) == 5
    assert jax.eval_shape(lambda: program(x)).shape == ()
