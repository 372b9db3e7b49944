"""Class names that pictures must be able to show: hard ones, and many."""

import pytest

any_names = pytest.mark.parametrize(
    "names",
    [
        ["object"],
        ["person", "автомобиль", "犬", "$x_1$ & \n<b>", "नमस्ते", "_a name of very many characters, really"],
        [f"class number {index}" for index in range(80)],
        [str(index) for index in range(500)],
    ],
    ids=["1", "6", "80", "500"],
)
