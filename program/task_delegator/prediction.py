"""FrozenPrediction: a ``dspy.Prediction`` with declared fields that cannot be changed."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

import dspy
from pydantic import BaseModel


@dataclass_transform(kw_only_default=True, frozen_default=True)
class FrozenPrediction(dspy.Prediction):
    """Take the annotated fields of the subclass, by keyword, and keep them.

    Still a ``dspy.Prediction``, so that optimizers, usage tracking and traces take it as it is.
    As in a dataclass, a field with a default may be left out; the default has to be immutable.

    Raises:
        TypeError: a field is unknown, is missing, or is set again.
    """

    _declared: ClassVar[tuple[str, ...]] = ()
    _names: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        """Collect the fields and their defaults."""
        own = [name for name in cls.__annotations__ if not name.startswith("_")]
        cls._declared = tuple(dict.fromkeys((*cls._declared, *own)))
        cls._names = frozenset(cls._declared)
        given = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
        cls._defaults = cls._defaults | given
        for name in given:  # an attribute of the class would hide the instance's value
            delattr(cls, name)

    def __init__(self, **values: Any) -> None:
        given = self._defaults | values
        if given.keys() != self._names:
            raise TypeError(self._fault(given))
        super().__init__({field: given[field] for field in self._declared})

    def _fault(self, given: Mapping[str, Any]) -> str:
        """Return what is wrong with the names of these fields."""
        name = type(self).__name__
        if unknown := given.keys() - self._names:
            return f"{name} has no field {', '.join(sorted(unknown))}"
        return f"{name} needs {', '.join(f for f in self._declared if f not in given)}"

    def __setattr__(self, key: str, value: Any) -> None:
        if not key.startswith("_"):  # DSPy's own, such as the usage it adds to a module's output
            self._refuse(key)
        object.__setattr__(self, key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse(key)

    def __delitem__(self, key: str) -> None:
        self._refuse(key)

    def __delattr__(self, key: str) -> None:
        if not key.startswith("_"):
            self._refuse(key)
        object.__delattr__(self, key)

    def _refuse(self, key: str) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be changed: {key}; use copy({key}=...)")

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.items())
        return f"{type(self).__name__}({shown})"

    def copy(self, **changes: Any) -> Self:
        """Return a copy with other values in some fields."""
        return type(self)(**(dict(self.items()) | changes))

    def with_inputs(self, *keys: str) -> dspy.Example:
        """Return a plain example of the same fields, some of which are inputs."""
        return dspy.Example(base=self).with_inputs(*keys)

    def without(self, *keys: str) -> dspy.Prediction:
        """Return a plain prediction that lacks some of the fields."""
        return dspy.Prediction({k: v for k, v in self.items() if k not in keys})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {key: plain_json(value) for key, value in self.items()}

    def toDict(self) -> dict[str, Any]:  # noqa: N802  # DSPy's name, which MLflow calls
        """Return the fields as plain JSON values."""
        return self.to_dict()


def plain_json(value: Any) -> Any:
    """Return a value as JSON values: dataclasses and predictions by field, sets in order.

    A value that has a ``to_dict`` says itself what is shown of it.
    """
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping | dspy.Prediction):
        return {str(key): plain_json(one) for key, one in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(plain_json(one) for one in value)
    if isinstance(value, list | tuple):
        return [plain_json(one) for one in value]
    return value
