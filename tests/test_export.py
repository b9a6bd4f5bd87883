import json
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.export import export_onnx, export_stablehlo


def images(trained, n):
    return np.random.default_rng(0).integers(0, 256, (n, *trained.spec.shape), np.uint8)


def test_an_exported_network_needs_only_jax_and_takes_any_batch_size(run, tmp_path, capsys):
    assert main(["export", str(run), "--output", str(tmp_path / "net.stablehlo")]) == 0
    assert "probs" in capsys.readouterr().out
    description = json.loads((tmp_path / "net.stablehlo.json").read_text())
    assert description["classes"] == ["disc", "square", "triangle"]
    assert description["outputs"] == {"probs": ["B", 3]}
    trained = cnnlab.load(run)
    code = f"""
import jax, numpy as np, sys
program = jax.export.deserialize(bytearray(open({str(tmp_path / "net.stablehlo")!r}, "rb").read()))
assert set(program.platforms) == {{"cpu", "cuda", "tpu"}}
for n in (1, 5):
    x = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 1), np.uint8)
    np.save({str(tmp_path)!r} + f"/{{n}}.npy", program.call(x)["probs"])
assert not any(name.startswith(("cnnlab", "flax")) for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    for n in (1, 5):
        expected = cnnlab.predict(trained, images(trained, n)).probs
        np.testing.assert_allclose(np.load(tmp_path / f"{n}.npy"), expected, atol=1e-5)


def test_an_onnx_model_gives_the_same_probabilities_by_onnxruntime(run):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    trained = cnnlab.load(run)
    session = onnxruntime.InferenceSession(export_onnx(trained), providers=["CPUExecutionProvider"])
    for n in (1, 5):
        x = images(trained, n).astype(np.float32) / 255
        (probs,) = session.run(["probs"], {"images": x})
        np.testing.assert_allclose(probs, cnnlab.predict(trained, x).probs, atol=1e-4)


def test_the_suffix_decides_what_is_exported_and_a_contradiction_is_refused(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    assert main(["export", str(run), "--output", str(tmp_path / "net.onnx")]) == 1
    assert "pip install 'cnnlab[onnx]'" in capsys.readouterr().err
    assert main(["export", str(run), "--kind", "stablehlo", "--output", str(tmp_path / "net.onnx")]) == 1
    assert "net.onnx ends in .onnx, but kind is stablehlo; name it net.stablehlo" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_reads_the_batch_size_as_a_number_is_refused_with_the_cure(run):
    class Flat(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(x.reshape(len(x), -1))

    trained = cnnlab.load(run)
    variables = Flat().init(jax.random.key(0), np.zeros((1, *trained.spec.shape), np.float32))
    own = cnnlab.Trained(variables, Flat(), trained.task, trained.spec)
    with pytest.raises(ValueError, match=r"Flat needs the batch size as a number.*write x.shape\[0\]"):
        export_stablehlo(own)


def test_onnx_without_its_extra_names_the_extra(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    assert main(["export", str(run), "--kind", "onnx", "--output", str(tmp_path / "net.onnx")]) == 1
    assert "pip install 'cnnlab[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()


def test_a_network_of_signals_takes_floats_in_their_own_unit(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(100, 5, (8, 32)).astype(np.float32), np.arange(8) % 2
    splits = {split: {"image": x, "label": y} for split in ("train", "validation")}
    data = cnnlab.data.from_arrays(splits, values="signal", rate=50)
    settings = cnnlab.Experiment(task="auto", training=cnnlab.Training(epochs=1, batch_size=4))
    trained = cnnlab.train(settings, tmp_path / "run", data=data)
    shapes = cnnlab.export.export(trained, tmp_path / "net.stablehlo")
    assert shapes == {"probs": ["B", 2]}
    program = jax.export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    signals = x[:, None, :, None]
    np.testing.assert_allclose(program.call(signals)["probs"], cnnlab.predict(trained, signals).probs, atol=1e-5)
    assert json.loads((tmp_path / "net.stablehlo.json").read_text())["images"]["dtype"] == "float32"


def test_every_kind_of_task_exports():
    for preset in ("shapes-regression", "shapes-segmentation", "shapes-detection"):
        from cnnlab.training.plan import make_plan

        plan = make_plan(cnnlab.presets.get(preset))
        variables = plan.network.init(jax.random.key(0), np.zeros((1, *plan.dataset.spec.shape), np.float32))
        trained = cnnlab.Trained(variables, plan.network, plan.task, plan.dataset.spec)
        program = jax.export.deserialize(bytearray(cnnlab.export.export_stablehlo(trained, platforms=("cpu",))))
        outputs = program.call(images(trained, 3))
        expected = cnnlab.predict(trained, images(trained, 3))
        name = "value" if "value" in outputs else "probs"
        if preset != "shapes-detection":
            np.testing.assert_allclose(outputs[name], expected[name], atol=1e-4)
        assert len(outputs[name]) == 3
