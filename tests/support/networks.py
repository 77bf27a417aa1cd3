"""PyTorch networks that tests import by name, as `module: package.Class` does."""

from typing import NamedTuple

import torch


class PairNetwork(torch.nn.Module):
    """The pair model of :mod:`tests.support.models`."""

    scale: torch.Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))

    def forward(
        self, a: torch.Tensor, b: torch.Tensor, gain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.scale * gain * (a + b), self.scale * (a - b).sum(dim=1)


class TwoLayers(torch.nn.Module):
    """x [4] -> [3], with buffers beside the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.last = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.last(self.norm(self.first(x)).relu())
        return answer


class Wrapped(torch.nn.Module):
    """Has its network under a name that wrappers use, too."""

    def __init__(self) -> None:
        super().__init__()
        self.module = TwoLayers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.module(x)
        return answer


class Repeat(torch.nn.Module):
    """One column -> so many."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, self.columns)


class Named(NamedTuple):
    """Outputs with names."""

    total: torch.Tensor
    gap: torch.Tensor


class ReturnsNamedTuple(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> Named:
        return Named(a + b, a - b)


class ReturnsDict(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"total": a + b, "gap": a - b}


class WorksInPlace(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1.0)


class KeepsOutput(torch.nn.Module):
    """Writes each result into a buffer of its own; returns a part of it, and a view of that."""

    out: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("out", torch.zeros(100, width))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.out[: len(x)]
        out.copy_(2.0 * x)
        return out, out.t().t()


class Power(torch.nn.Module):
    """Takes Python values beside its tensor."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor, exponent: int, mode: str = "plain") -> torch.Tensor:
        assert isinstance(exponent, int)
        powered = self.weight * x**exponent
        return -powered if mode == "negative" else powered


class Halves(torch.nn.Module):
    """Returns bfloat16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x / 2).to(torch.bfloat16)


class NotANetwork:
    pass


class Forks(torch.nn.Module):
    """Computes a network three times, at the same time where it may."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = torch.jit.fork(self.network, x)  # type: ignore[no-untyped-call]
        other = torch.jit.fork(self.network, x)  # type: ignore[no-untyped-call]
        answer: torch.Tensor = self.network(x)
        answer += torch.jit.wait(one) + torch.jit.wait(other)  # type: ignore[no-untyped-call]
        return answer


class Cancels(torch.nn.Module):
    """Returns what it gets, by way of numbers that half precision rounds it off from."""

    def __init__(self) -> None:
        super().__init__()
        self.far = torch.nn.Parameter(torch.tensor(4096.0))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return (input + self.far) - self.far


class TellsItsMode(torch.nn.Module):
    """Whether it is called in inference mode, for each row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x),), torch.is_inference_mode_enabled())


class Spread(torch.nn.Module):
    """Returns its one column, by way of so many."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, self.columns).amax(dim=1, keepdim=True)


class LooksUp(torch.nn.Module):
    """Knows so many words."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(words, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.words(x)
        return answer


class Normalises(torch.nn.Module):
    """In training mode it normalises over its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.norm(self.layer(x))
        return answer


class AlwaysDrops(torch.nn.Module):
    """Drops values in evaluation mode, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, 0.5, True)


class Remembers(torch.nn.Module):
    """Keeps state between calls."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return x + self.seen


class AlongTime(torch.nn.Module):
    """A recurrent network whose first axis is time, as torch.nn.LSTM has it by default."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.lstm(x)[0]
        return answer


class Squeezes(torch.nn.Module):
    """Loses the batch axis with a single row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layer(x)
        return answer.squeeze()


class Finds(torch.nn.Module):
    """For each row as many boxes as it says: a list with one dict a row, as detectors return it."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        found: list[dict[str, torch.Tensor]] = []
        for n in x:
            k = int(n)
            found.append({"boxes": torch.ones(k, 4) * k, "labels": torch.arange(k), "count": n})
        return found


class FindsInTraining(torch.nn.Module):
    """The same with losses before it, as torchvision's scripted detectors have them."""

    def forward(
        self, x: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
        losses: dict[str, torch.Tensor] = {}
        found: list[dict[str, torch.Tensor]] = []
        for n in x:
            found.append({"boxes": torch.ones(int(n), 4)})
        return losses, found


class Pieces(torch.nn.Module):
    """A list with one tensor a row."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for n in x:
            found.append(torch.arange(int(n)))
        return found


class Nested(torch.nn.Module):
    """A nested tensor, which only eager code returns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nested.nested_tensor([torch.arange(int(n)) for n in x])


class Writes(torch.nn.Module):
    """input [4] -> [3]; TorchScript of it writes a file as soon as it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        torch.save(torch.zeros(1), state[0])
        self.path = state[0]
        self.training = state[1]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input[:, :3]
