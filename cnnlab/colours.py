"""The colours of figures and of masks, which colour-blind readers can distinguish.

The first seven are Okabe and Ito's (Color Universal Design, 2008). No palette of many colours is safe for everyone; the
others are Tol's muted scheme (Colour Schemes, SRON, 2021), which is the usual compromise.
"""

ORANGE, BLUE, GREEN, PINK, AMBER, SKY, YELLOW = (
    "#d55e00",
    "#0072b2",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#f0e442",
)
GREY = "#999999"

BOXES = (ORANGE, BLUE, GREEN, PINK, AMBER, SKY, YELLOW)
"""Colours of lines and outlines."""

CLASSES = (
    *(BLUE, AMBER, GREEN, PINK, SKY, ORANGE, YELLOW),
    *("#332288", "#882255", "#999933", "#44aa99", "#aa4499", "#117733", "#ddcc77"),
)
"""Colours of the classes of a pixel; further classes begin again with the first."""

RAMP = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
"""Colours of numbers from the smallest to the largest: viridis (van der Walt and Smith, 2015)."""


def of_class(k: int) -> tuple[int, int, int]:
    """Returns the colour of a class, red, green and blue in 0..255.

    >>> of_class(0), of_class(1), of_class(len(CLASSES)) == of_class(0)
    ((0, 114, 178), (230, 159, 0), True)
    """
    red, green, blue = bytes.fromhex(CLASSES[k % len(CLASSES)][1:])
    return red, green, blue
