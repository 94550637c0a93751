"""What a group of knobs is: frozen numbers, each of its type and within its range."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Weight = Annotated[float, Field(ge=-1e4, le=1e4)]  # of a feature in a logistic model
ChannelWeight = Annotated[float, Field(ge=0, le=100)]
Probability = Annotated[float, Field(ge=0, le=1)]


class KnobGroup(BaseModel):
    """A frozen group of numbers, each finite, of its type and within its range."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
