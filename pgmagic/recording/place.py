"""Whether answers are recorded or replayed, and in which folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from pgmagic.errors import RecordingError, SettingsError
from pgmagic.language.suggest import did_you_mean

__all__ = ["MODES", "Mode", "folder_to_read", "folder_to_write", "mode_of"]

Mode: TypeAlias = Literal["live", "record", "replay"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
FOLDER: Final = "recordings"


def mode_of(environ: Mapping[str, str], configured: str | None) -> Mode:
    """Read the mode: PGMAGIC_MODE before what the configuration says. Raises `SettingsError`."""
    for origin, said in (("PGMAGIC_MODE", environ.get("PGMAGIC_MODE")), ("mode", configured)):
        if said:
            if said in MODES:
                return said
            near = did_you_mean(said, MODES)
            raise SettingsError(f"{origin} is {' or '.join(MODES)}, not {said!r}{near}")
    return "live"


def folder_to_write(
    environ: Mapping[str, str], configured: Path | None, notebook: Path | None
) -> Path:
    """Say where recordings go.

    Where nobody says: beside the notebook, `NAME.recordings`, or, where its name is not known,
    `recordings` in the working directory.
    """
    if (given := _given(environ, configured)) is not None:
        return given
    if notebook is not None:
        return notebook.with_name(f"{notebook.stem}.{FOLDER}")
    return Path.cwd() / FOLDER


def folder_to_read(
    environ: Mapping[str, str], configured: Path | None, notebook: Path | None
) -> Path:
    """Say where recordings are, also where the notebook's name was known only when it recorded.

    Raises `RecordingError` where there are several folders that it might be.
    """
    if (given := _given(environ, configured)) is not None:
        return given
    own = folder_to_write(environ, configured, notebook)
    here = Path.cwd() / FOLDER
    for folder in (own, here):
        if folder.is_dir():
            return folder
    others = sorted(Path.cwd().glob(f"*.{FOLDER}")) if notebook is None else []
    if len(others) > 1:
        raise RecordingError(
            f"there are recordings of {len(others)} notebooks here, and which one this is, its "
            "program does not tell",
            hint=f"PGMAGIC_RECORDINGS={others[0].name} names the folder",
        )
    return others[0] if others else own


def _given(environ: Mapping[str, str], configured: Path | None) -> Path | None:
    if said := environ.get("PGMAGIC_RECORDINGS"):
        return Path(said).expanduser().absolute()
    return configured
