"""Check what `%config` sets: traitlets itself would only log what is wrong."""

from traitlets import Enum, TraitError
from traitlets.config import Config, Configurable

from pgmagic.errors import CellError
from pgmagic.language.suggest import did_you_mean

__all__ = ["check"]


def check(configurable: Configurable, config: Config) -> None:
    """Raise `CellError` for a setting that there is not, or a value that it can't take."""
    owner = type(configurable).__name__
    traits = configurable.traits(config=True)
    for name, value in config.get(owner, {}).items():
        trait = traits.get(name)
        if trait is None:
            raise CellError(
                f"{owner} has no setting {name}{did_you_mean(name, traits)}",
                hint=f"%config {owner} lists the settings",
            )
        if value is None and trait.allow_none:
            continue
        try:
            trait.validate(configurable, value)
        except TraitError:
            takes, near = trait.info(), ""
            if isinstance(trait, Enum):
                takes = " or ".join(trait.values or ())
                near = did_you_mean(str(value), trait.values or ())
            raise CellError(f"{owner}.{name} takes {takes}, not {value!r}{near}") from None
