"""Image files in a forked child."""

import multiprocessing
import warnings

import numpy as np
from PIL import Image

from cnnlab.data.streaming import ImageFiles


def test_files_that_were_read_once_are_read_in_a_forked_child_too(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    files = ImageFiles(tmp_path, np.array([f"{i}.png" for i in range(4)], object), (8, 8), 1)
    expected = files[:]
    context = multiprocessing.get_context("fork")
    read, write = context.Pipe(duplex=False)

    def child():
        write.send((files[:] == expected).all())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of any fork
        process = context.Process(target=child)
        process.start()
    process.join(20)
    process.kill()
    assert read.poll()
    assert read.recv()
