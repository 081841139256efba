"""The JSON files in a folder of recordings: what they hold, and whether one does."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Literal, NotRequired, TypedDict, get_type_hints

from pgmagic.columns.pgtypes import BUILTIN
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError
from pgmagic.language.options import Options
from pgmagic.language.plan import Transaction
from pgmagic.outcome import Kind
from pgmagic.recording.failures import check_failure
from pgmagic.recording.fitting import Misfit, fit
from pgmagic.recording.outcomes import read_type
from pgmagic.recording.question import Question

__all__ = ["FORMAT", "IndexForm", "ReceiptForm", "check_index", "check_receipt"]

FORMAT: Final = 1


class CellForm(TypedDict):
    id: str | None
    number: int | None


class ValueForm(TypedDict):
    name: str
    value: Any


class StatementForm(TypedDict):
    sql: list[str]
    values: list[ValueForm]


class QuestionForm(TypedDict):
    targets: list[str]
    options: dict[str, Any]
    statements: list[StatementForm]


class StepsForm(TypedDict):
    transaction: str
    read_only: list[bool]


class NoticeForm(TypedDict):
    severity: str
    message: str
    sqlstate: NotRequired[str]
    detail: NotRequired[str]
    hint: NotRequired[str]


class PositionForm(TypedDict):
    snapshot: str
    wal: str | None
    at: str


class TypeForm(TypedDict):
    oid: int
    name: str
    schema: NotRequired[str]
    kind: NotRequired[Kind]
    element: NotRequired["TypeForm"]
    labels: NotRequired[list[str]]


class ColumnForm(TypedDict):
    name: str
    type: TypeForm


class FileForm(TypedDict):
    name: str
    sha256: str


class ResultForm(TypedDict):
    tag: str
    notes: list[str]
    columns: NotRequired[list[ColumnForm]]
    rows: NotRequired[int]
    ordered: NotRequired[bool]
    content: NotRequired[str]
    text: NotRequired[Literal[True]]
    file: NotRequired[FileForm]
    exported: NotRequired[int]
    left_out: NotRequired[str]


class AnswerForm(TypedDict):
    outcome: Literal["answered"]
    database: str
    elapsed: float
    notices: list[NoticeForm]
    server_version: str
    position: PositionForm | None
    results: list[ResultForm]


class FailureForm(TypedDict):
    outcome: Literal["failed"]
    database: str
    elapsed: float
    notices: list[NoticeForm]
    error: dict[str, Any]


class VersionForm(TypedDict):
    format: int


class ReceiptForm(VersionForm):
    """One query: what was asked, of whom, and what each database answered."""

    key: str
    occurrence: int
    cell: CellForm
    started: str
    elapsed: float
    sql: list[str]
    fingerprint: str
    question: QuestionForm
    steps: StepsForm
    outcomes: list[AnswerForm | FailureForm]


class IndexForm(TypedDict):
    """What targets meant: whether each database is read only, the groups, the default."""

    databases: dict[str, bool]
    groups: dict[str, list[str]]
    default: str | None


def check_receipt(written: Any) -> ReceiptForm:
    """Raise `Misfit`, which names the place, where JSON is no receipt, or its parts disagree."""
    fit(written, VersionForm)
    if (version := written["format"]) != FORMAT:
        raise Misfit(f"format is {version}, of another pgmagic; this one reads {FORMAT}")
    fit(written, ReceiptForm)
    receipt: ReceiptForm = written
    _check_moment(receipt["started"], "started")
    if receipt["occurrence"] < 1:
        raise Misfit("occurrence is less than 1")
    _check_question(receipt)
    _check_steps(receipt)
    asked = receipt["question"]["targets"]
    if [outcome["database"] for outcome in receipt["outcomes"]] != asked:
        raise Misfit("outcomes are not those of the databases in question.targets")
    for index, outcome in enumerate(receipt["outcomes"]):
        where = f"outcomes[{index}]"
        if outcome["outcome"] == "failed":
            check_failure(outcome["error"], f"{where}.error")
            continue
        if outcome["position"] is not None:
            _check_moment(outcome["position"]["at"], f"{where}.position.at")
        if len(outcome["results"]) != len(receipt["question"]["statements"]):
            raise Misfit(f"{where}.results are not one for each statement")
        for number, result in enumerate(outcome["results"]):
            _check_result(result, f"{where}.results[{number}]")
    return receipt


def check_index(written: Any) -> IndexForm:
    """Raise `Misfit`, which names the place, where JSON is no index of databases."""
    fit(written, IndexForm)
    index: IndexForm = written
    for name in index["databases"]:
        try:
            DatabaseSettings(name=name)
        except SettingsError as error:
            raise Misfit(f"databases: {error.message}") from None
    if index["default"] is not None and index["default"] not in index["databases"]:
        raise Misfit("default names none of the databases")
    return index


def _check_question(receipt: ReceiptForm) -> None:
    question = receipt["question"]
    known = get_type_hints(Options)
    for name, value in question["options"].items():
        if name in known:
            fit(value, known[name], f"question.options.{name}")
    if Question.from_json(question).key != receipt["key"]:
        raise Misfit("question is not the one that key was made of")


def _check_steps(receipt: ReceiptForm) -> None:
    steps = receipt["steps"]
    if steps["transaction"] not in tuple(Transaction):
        raise Misfit(f"steps.transaction is none of {', '.join(Transaction)}")
    if len(steps["read_only"]) != len(receipt["question"]["targets"]):
        raise Misfit("steps.read_only is not one for each of question.targets")


def _check_result(result: ResultForm, where: str) -> None:
    """Check that a result says of its rows all that is needed to read them again."""
    for number, column in enumerate(result.get("columns", ())):
        _check_type(column["type"], f"{where}.columns[{number}].type")
    if result.get("rows", 0) < 0:
        raise Misfit(f"{where}.rows is less than 0")
    for name in _lacking(result):
        if name not in result:
            raise Misfit(f"{where}.{name} is missing")


def _lacking(result: ResultForm) -> Iterator[str]:
    """Give what a result has to have besides the parts that it has."""
    if "left_out" in result:
        return
    if "exported" in result:
        yield "left_out"
    elif "text" in result:
        yield "file"
    elif result.keys() & {"columns", "file", "rows", "ordered", "content"}:
        yield from ("rows", "ordered", "content")
        if result.get("rows") and result.get("columns"):
            yield "file"


def _check_type(type_: TypeForm, where: str) -> None:
    if "element" in type_:
        _check_type(type_["element"], f"{where}.element")
    elif type_.get("kind") in ("array", "domain"):
        raise Misfit(f"{where}.element is missing")
    # The server never renumbers its own; of another one the bytes would be misread.
    known = BUILTIN.get(type_["oid"])
    if known is not None and known != read_type(type_):
        raise Misfit(f"{where} is not that of the oid {type_['oid']}, {known.name}")


def _check_moment(text: str, where: str) -> None:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise Misfit(f"{where} is no moment with its time zone")
