"""Whether a model can be scored on a data set: both speak of the same classes, and something is labelled."""

from __future__ import annotations

from collections.abc import Mapping

from segkit.core.data.dataset import Dataset
from segkit.core.errors import InputError, SourceError
from segkit.core.notices import notice

WITHOUT_CLASSES = ", or single_cls=True to score without classes"


def check_names(
    model: Mapping[int, str], data: Mapping[int, str], where: str, otherwise: str = WITHOUT_CLASSES
) -> None:
    """Classes are told apart by their index: as many, in the same order. A model that names none is taken as it is.

    Other names for the same indices are allowed (another language, another spelling) and noted.

    Args:
        model: class names of the model by index.
        data: those of the data set.
        where: the data set, for messages.
        otherwise: what else can be done than to give another data set, as the end of a sentence.

    Raises:
        InputError: there are more or fewer classes, or the same ones in another order.
    """
    if not model:
        return
    if len(model) != len(data):
        raise InputError(
            f"The model has {_counted(model)} and '{where}' has {_counted(data)}: they do not fit together. "
            f"Give the data set that the model was trained on{otherwise}."
        )
    differ = [index for index in sorted(data) if _plain(model.get(index, "")) != _plain(data[index])]
    if not differ:
        return
    index = differ[0]
    said = f"class {index} is '{model.get(index)}' in the model and '{data[index]}' in '{where}'"
    if sorted(map(_plain, model.values())) == sorted(map(_plain, data.values())):
        raise InputError(f"The model and the data set have the same classes in another order: {said}.")
    notice(f"{said}; {len(differ)} of {len(data)} names differ, classes are compared by their index")


def check_objects(dataset: Dataset) -> None:
    """There is something to find.

    Raises:
        SourceError: no object is labelled.
    """
    if not any(len(sample.labels) for sample in dataset):
        raise SourceError(dataset.source, f"nothing to score: no object is labelled in its split '{dataset.split}'")


def _counted(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{name}" for _, name in sorted(names.items())[:3])
    return f"{len(names)} class{'es' if len(names) != 1 else ''} ({shown}{', …' if len(names) > 3 else ''})"


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()
