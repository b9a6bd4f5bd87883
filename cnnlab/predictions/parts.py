"""Parts of a prediction that several processes share: the work of each, and the files that hold its answers.

OUTPUT/parts/00003-of-00016.jsonl     a finished part: a header, a line for each file, and the number of lines
OUTPUT/parts/00003-of-00016.parquet   a finished part in Parquet: the columns of `predictions.parquet`, and `place`
OUTPUT/parts/00003-of-00016.begun/    the journal of an unfinished part, which its process holds by a lock

The header says of which prediction (network, files, options) the answers are a part, so that parts of different ones,
parts that overlap and files that are cut short are found.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.files.atomic import lock, replacing
from cnnlab.files.tables import arrow_table, read_parquet, write_parquet
from cnnlab.predictions.records import columns_of
from cnnlab.tasks import Task
from cnnlab.tasks.task import Record

FOLDER = "parts"
MOST = 99_999  # parts, so that their names have one length
_FILES = 100_000_000  # of a part
_HEADER = b"cnnlab"  # key of the header in the metadata of Parquet
_LINES, _BEGUN = ".jsonl", ".begun"


class Part(NamedTuple):
    """One of several parts, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    @property
    def name(self) -> str:
        """The name of the part's files without suffix."""
        return f"{self.number:05}-of-{self.count:05}"

    def share(self, total: int, batch: int = 1) -> range:
        """Returns the part's share of so many things: consecutive ones, as many as in any other part, or one less.

        Shares are whole batches if each part has four batches or more, so that no batch is computed twice.

        >>> [len(Part(number, 3).share(10)) for number in (1, 2, 3)]
        [3, 3, 4]
        >>> [Part(number, 2).share(70, batch=8) for number in (1, 2)]
        [range(0, 32), range(32, 70)]
        """
        batches = -(-total // batch)
        count, size = (batches, batch) if batches >= 4 * self.count else (total, 1)
        ends = (count * number // self.count * size for number in (self.number - 1, self.number))
        return range(*(min(end, total) for end in ends))


class Answer(NamedTuple):
    """The answer to one file.

    Attributes:
      place: place of the file among all files, from 0.
      records: its records.
      left_out: why the file was left out; None if it was not.
    """

    place: int
    records: list[Record]
    left_out: str | None = None


class Header(NamedTuple):
    """What the file of a part says of itself.

    Attributes:
      part: the part.
      work: what is predicted, by name; equal for all parts of a prediction.
      places: places of the part's files among all files, in order.
      runs: run directories, which may be elsewhere for another part.
    """

    part: Part
    work: Mapping[str, Any]
    places: Sequence[int]
    runs: Sequence[str]


class Finished(NamedTuple):
    """A finished part.

    Attributes:
      header: what it says of itself.
      answers: an answer to each file; in Parquet only of those that were left out.
      table: the columns of the records, and the column `place`; None outside Parquet.
    """

    header: Header
    answers: list[Answer]
    table: Any = None


def parse_part(text: str) -> Part:
    """Returns the part of a text such as `3/16`.

    Raises:
      ValueError: the text is something else, or the number is not one of 1, 2 ... count.

    >>> parse_part("3/16"), str(parse_part("3/16"))
    (Part(number=3, count=16), 'part 3 of 16')
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise ValueError(f"--part must be a number and a count, such as 3/16, found {text!r}")
    part = Part(int(number), int(count))
    if not 1 <= part.number <= part.count <= MOST:
        raise ValueError(f"--part must be one of 1/N to N/N, with N up to {MOST:,}, found {text}")
    return part


def count_in(folder: Path) -> int | None:
    """Returns into how many parts the prediction of a folder is divided; None if no part was begun."""
    names = (path.stem.partition("-of-")[2] for path in sorted(folder.glob("*-of-*")))
    return next((int(count) for count in names if count.isdecimal()), None)


def part_file(folder: Path, part: Part, format: str) -> Path:
    """Returns the file of a finished part of predictions in this format; `folder` is OUTPUT/parts."""
    return folder / f"{part.name}{'.parquet' if format == 'parquet' else _LINES}"


def journal_folder(folder: Path, part: Part) -> Path:
    """Returns the folder of a part's journal, which its process holds."""
    return folder / f"{part.name}{_BEGUN}"


def is_of_a_journal(name: str) -> bool:
    """Returns whether a file of an output is one of a part's journal, by its path there.

    >>> is_of_a_journal("parts/00003-of-00016.begun/answers.jsonl"), is_of_a_journal("predictions.json")
    (True, False)
    """
    return any(folder.endswith(_BEGUN) for folder in name.split("/")[:-1])


@contextlib.contextmanager
def journal(folder: Path, header: Header) -> Iterator[tuple[list[Answer], Any]]:
    """Holds the journal of a part; yields the answers of an earlier call, and a function that adds an answer.

    Raises:
      ValueError: another process holds it, or it belongs to another prediction.
    """
    begun = journal_folder(folder, header.part)
    begun.mkdir(parents=True, exist_ok=True)
    with lock(begun, f"another process predicts {header.part} in {folder}; wait for it, or choose another part"):
        path = begun / f"answers{_LINES}"
        first, *lines = _whole_lines(path) or [None]
        if first is not None:
            check_alike(_header(first), header, path)
        with open(path, "a", encoding="utf-8") as file:

            def add(line: Any) -> None:
                file.write(f"{json.dumps(line)}\n")
                file.flush()

            if first is None:
                add(_plain(header))
            yield [Answer(*line) for line in lines], add


def _whole_lines(path: Path) -> list[Any]:
    """Returns the values of a journal's lines, and removes what a process that was killed left of another line."""
    if not path.exists():
        return []
    values, length = [], 0
    with open(path, "rb") as file:
        for line in file:
            try:
                values.append(json.loads(line))
            except ValueError:
                break
            if not line.endswith(b"\n"):
                values.pop()
                break
            length += len(line)
    os.truncate(path, length)
    return values


def remove_journal(folder: Path, part: Part) -> None:
    """Removes the journal of a part."""
    shutil.rmtree(journal_folder(folder, part), ignore_errors=True)


def write_part(folder: Path, header: Header, answers: Iterable[Answer], task: Task) -> Path:
    """Writes a finished part, whole or not at all, and returns its file."""
    path = part_file(folder, header.part, header.work["format"])
    ordered = sorted(answers, key=lambda answer: answer.place)
    if path.suffix == _LINES:
        lines = [json.dumps(each) for each in (_plain(header), *ordered, {"answers": len(ordered)})]
        with replacing(path) as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
    columns = columns_of([record for answer in ordered for record in answer.records], task)
    places = [answer.place for answer in ordered for _ in answer.records]
    left_out = [answer for answer in ordered if answer.left_out is not None]
    table = arrow_table(columns | {"place": np.array(places, np.int64)})
    text = json.dumps(_plain(header) | {"left_out": left_out, "rows": len(places)})
    write_parquet(path, table.replace_schema_metadata({_HEADER: text.encode()}))
    return path


def finished(folder: Path) -> list[Path]:
    """Returns the files of the finished parts of a folder, in order."""
    return [path for path in sorted(folder.glob("*-of-*")) if path.suffix in (_LINES, ".parquet")]


def read_part(path: Path) -> Finished:
    """Reads a finished part.

    Raises:
      ValueError: the file is cut short, no part, or its name is that of another part.
    """
    found = (_read_table if path.suffix == ".parquet" else _read_lines)(path)
    if found.header.part.name != path.stem:
        raise ValueError(f"{path} holds {found.header.part}, which overlaps with the part of its name; remove it")
    return found


def _read_lines(path: Path) -> Finished:
    cut = ValueError(f"{path} is cut short; remove it and predict this part again")
    try:
        text = path.read_text(encoding="utf-8")
        first, *lines, last = map(json.loads, text.splitlines())
        header, answers = _header(first), [Answer(*line) for line in lines]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise cut from error
    if last != {"answers": len(answers)} or [answer.place for answer in answers] != list(header.places):
        raise cut
    return Finished(header, answers)


def _read_table(path: Path) -> Finished:
    cut = ValueError(f"{path} is cut short or no part; remove it and predict this part again")
    try:
        table = read_parquet(path)
        text = json.loads(table.schema.metadata[_HEADER])
        header, left_out = _header(text), [Answer(*line) for line in text["left_out"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise cut from error
    if len(table) != text["rows"]:
        raise cut
    return Finished(header, left_out, table.replace_schema_metadata(None))


def check_alike(header: Header, other: Header, path: Path) -> None:
    """Raises `ValueError` if two parts belong to different predictions, or overlap; `path` is the file of the first."""
    for name, value in other.work.items():
        if header.work.get(name) != value:
            raise ValueError(
                f"{path} belongs to another prediction: its {name} is {_shown(header.work.get(name))}, here it is "
                f"{_shown(value)}; choose another --output, or remove the old parts"
            )
    if header.part.count != other.part.count:
        both = sorted((header.part, other.part), key=lambda part: part.count)
        raise ValueError(
            f"{both[0]} and {both[1]} overlap (found {path}); remove the parts of one of the two divisions"
        )


def check_neighbours(folder: Path, header: Header) -> None:
    """Raises `ValueError` if another part of the folder, begun or finished, is of another prediction or division."""
    begun = [path / f"answers{_LINES}" for path in sorted(folder.glob("*-of-*.begun"))]
    for path in finished(folder) + begun:
        if header.part.name not in (path.stem, path.parent.stem):
            with contextlib.suppress(_Cut):
                check_alike(_read_header(path), header, path)


class _Cut(ValueError):
    pass


def _read_header(path: Path) -> Header:
    """Reads only the header of a finished part; raises `_Cut` if there is none."""
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return _header(json.loads(parquet.read_schema(path).metadata[_HEADER]))
        with open(path, encoding="utf-8") as file:
            return _header(json.loads(file.readline()))
    except (ImportError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _Cut from error


def digest_of(names: Iterable[str]) -> str:
    """Returns a digest of texts in their order."""
    out = hashlib.sha256()
    for name in names:
        out.update(f"{len(name.encode(errors='surrogatepass'))}:".encode() + name.encode(errors="surrogatepass"))
    return out.hexdigest()


def _plain(header: Header) -> dict[str, Any]:
    return {"part": header.part, "work": header.work, "places": _spans(header.places), "runs": header.runs}


def _header(plain: Mapping[str, Any]) -> Header:
    spans = [range(start, stop) for start, stop in plain["places"]]
    if sum(span.stop - span.start for span in spans) > _FILES:
        raise ValueError(f"a part of more than {_FILES:,} files")
    places = [place for span in spans for place in span]
    if type(plain["work"]["files"]) is not int:
        raise ValueError("a part without the number of files")
    return Header(Part(*plain["part"]), plain["work"], places, plain["runs"])


def _spans(places: Sequence[int]) -> list[list[int]]:
    """Returns numbers in order as spans of consecutive ones, [start, stop].

    >>> _spans([0, 1, 2, 5])
    [[0, 3], [5, 6]]
    """
    out: list[list[int]] = []
    for place in places:
        if out and out[-1][1] == place:
            out[-1][1] += 1
        else:
            out.append([place, place + 1])
    return out


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
