"""What a device can do at most, by its maker's data sheet, and which share of it a program reaches."""

from typing import Literal, NamedTuple

Precision = Literal["bfloat16", "tf32", "float32"]


class Peak(NamedTuple):
    """Largest rates of a device.

    Attributes:
      bfloat16: dense products of bfloat16 in TFLOP/s.
      tf32: dense products of float32 rounded to TF32 in TFLOP/s.
      float32: products of float32 in TFLOP/s.
      bandwidth: TB/s of the device's memory.
      source: the data sheet.
    """

    bfloat16: float
    tf32: float
    float32: float
    bandwidth: float
    source: str


# The sheets of the H100, H200 and L40S give rates of sparse matrices; those of dense ones are half as high.
PEAKS: dict[str, Peak] = {
    "NVIDIA H200": Peak(989.5, 494.5, 67, 4.8, "NVIDIA H200 Tensor Core GPU data sheet, H200 SXM"),
    "NVIDIA H100 80GB HBM3": Peak(989.5, 494.5, 67, 3.35, "NVIDIA H100 Tensor Core GPU data sheet, H100 SXM"),
    "NVIDIA H100 PCIe": Peak(756.5, 378, 51, 2.0, "NVIDIA H100 Tensor Core GPU data sheet, H100 PCIe"),
    "NVIDIA A100-SXM4-80GB": Peak(312, 156, 19.5, 2.039, "NVIDIA A100 Tensor Core GPU data sheet, A100 80GB SXM"),
    "NVIDIA A100-SXM4-40GB": Peak(312, 156, 19.5, 1.555, "NVIDIA A100 Tensor Core GPU data sheet, A100 40GB SXM"),
    "NVIDIA A100 80GB PCIe": Peak(312, 156, 19.5, 1.935, "NVIDIA A100 Tensor Core GPU data sheet, A100 80GB PCIe"),
    "NVIDIA L40S": Peak(362, 183, 91.6, 0.864, "NVIDIA L40S data sheet"),
}
"""Rates by JAX's name of the device."""


def shares(
    kind: str, *, multiply_adds: float, seconds: float, precision: Precision, moved: float | None = None
) -> dict[str, float]:
    """Returns the shares of the peak and of the roofline that a program reaches; none for an unknown device.

    The share of the peak is the arithmetic's shortest time divided by the program's. The share of the roofline
    (Williams et al. 2009) takes the longer of two shortest times: that of the arithmetic and that of the memory.

    Args:
      kind: JAX's name of the device.
      multiply_adds: number of multiply-adds, which are two operations each.
      seconds: time of the program.
      precision: type of the products.
      moved: bytes that the program reads and writes; without them there is no share of the roofline.

    >>> shares("NVIDIA H200", multiply_adds=494.5e12 / 4, seconds=1, precision="tf32", moved=3.6e12)
    {'share of the peak': 0.5, 'share of the roofline': 0.75}
    """
    peak = PEAKS.get(kind)
    if peak is None:
        return {}
    arithmetic = 2 * multiply_adds / (1e12 * getattr(peak, precision))
    result = {"share of the peak": round(arithmetic / seconds, 4)}
    if moved is not None:
        result["share of the roofline"] = round(max(arithmetic, moved / (1e12 * peak.bandwidth)) / seconds, 4)
    return result
