"""float32 on a graphics card is float32, whichever threads compute at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from segkit.core.model.devices import exact

CUDA = torch.device("cuda:0")


@pytest.fixture
def switch() -> Iterator[None]:
    """torch's switch for the shorter mantissa, on as it comes."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, True
    yield
    torch.backends.cudnn.allow_tf32 = before


def test_a_thread_that_leaves_first_does_not_change_the_numbers_of_the_other(switch: None) -> None:
    one, other = exact(CUDA, torch.float32), exact(CUDA, torch.float32)
    one.__enter__()
    other.__enter__()
    assert not torch.backends.cudnn.allow_tf32
    one.__exit__(None, None, None)
    assert not torch.backends.cudnn.allow_tf32
    other.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32


def test_the_switch_is_turned_back_after_an_error(switch: None) -> None:
    with pytest.raises(RuntimeError, match="memory"), exact(CUDA, torch.float32):
        raise RuntimeError("out of memory")
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float32), ("cuda", torch.float16)])
def test_nothing_is_switched_where_it_means_nothing(switch: None, device: str, dtype: torch.dtype) -> None:
    with exact(torch.device(device), dtype):
        assert torch.backends.cudnn.allow_tf32
