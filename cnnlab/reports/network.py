"""The section on the network: its layers as a picture and a table, with receptive fields and costs."""

from cnnlab.anatomy.blocks import blocks
from cnnlab.anatomy.table import Summary
from cnnlab.anatomy.text import COLUMNS, cells, totals
from cnnlab.plots.architecture import architecture
from cnnlab.reports.content import Section, Text, table
from cnnlab.reports.pictures import picture


def network_section(layers: Summary) -> Section:
    """Returns the section on a network.

    Args:
      layers: its summary.
    """
    size, output = ("×".join(map(str, shape)) for shape in (layers.input, layers.output))
    caption = (
        "Each solid is the output of a layer: its height and depth grow with rows and columns, its width with the "
        "channels. Blue are convolutions, orange pools, green dense layers, pink joins."
    )
    title = f"{layers.name}: {layers.parameters:,} parameters, {layers.multiply_adds:,} multiply-adds"
    drawing = picture(
        "network", architecture(blocks(layers), title), f"The layers of {layers.name}, from {size} to {output}", caption
    )
    about = (
        "Kernel and stride are in pixels of the layer's input. The field is the receptive field: the number of pixels "
        "of the image along one axis that influence a unit."
    )
    return Section(
        "The network",
        (
            drawing,
            Text(about),
            table(f"Layers of {layers.name}", COLUMNS, [cells(row) for row in layers.rows]),
            table("Cost of one image", ("total", "number"), [(k.strip(), v) for k, v in totals(layers).items()]),
        ),
    )
