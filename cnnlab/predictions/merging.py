"""The parts of a prediction as one: all are there, none overlaps, and their records are those of one process."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnlab.predictions.parts import Answer, Finished, Part, check_alike, finished, journal_folder, read_part
from cnnlab.predictions.records import Record


def read_parts(folder: Path) -> list[Finished]:
    """Reads all parts of a prediction, in order.

    Args:
      folder: OUTPUT/parts.

    Raises:
      ValueError: a part is missing, unfinished, cut short, overlaps with another or belongs to another prediction.
    """
    if not (paths := finished(folder)):
        raise ValueError(f"{folder.parent} holds no finished part; predict all with --part 1/N ... N/N --output DIR")
    found = [read_part(path) for path in paths]
    first = found[0].header
    for path, part in zip(paths, found, strict=True):
        check_alike(part.header, first, path)
    count, total = first.part.count, first.work["files"]
    have = {part.header.part.number for part in found}
    if missing := [number for number in range(1, count + 1) if number not in have]:
        names = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        begun = sum(journal_folder(folder, Part(number, count)).exists() for number in missing)
        unfinished = f", of which {begun} {'is' if begun == 1 else 'are'} unfinished" if begun else ""
        raise ValueError(
            f"{len(missing)} of {count} parts are missing in {folder} ({names}){unfinished}; predict each with --part "
            f"{missing[0]}/{count}"
        )
    places = sorted(place for part in found for place in part.header.places)
    if places != list(range(total)):
        raise ValueError(f"the parts in {folder} overlap or leave files out; remove them and predict them again")
    return found


def merged_records(parts: Sequence[Finished], *, renumber: bool) -> list[Record]:
    """Returns the records of all parts in the order of the files; `renumber` as in `records_of`."""
    answers = sorted((answer for part in parts for answer in part.answers), key=lambda answer: answer.place)
    return records_of(answers, renumber=renumber)


def records_of(answers: Sequence[Answer], *, renumber: bool) -> list[Record]:
    """Returns the records of answers in order.

    Args:
      answers: answers in the order of their places.
      renumber: whether `image_id`, which is the place of a photo from 1, counts only the files that were read.
    """
    gone = [answer.place for answer in answers if answer.left_out is not None] if renumber else []
    return [
        record | {"image_id": record["image_id"] - bisect_left(gone, answer.place)}
        if gone and "image_id" in record
        else record
        for answer in answers
        for record in answer.records
    ]


def merged_table(parts: Sequence[Finished], *, renumber: bool) -> Any:
    """Returns the Arrow table of all parts in the order of the files, as `merged_records` returns their records.

    Whole numbers become decimal ones, and an empty column gets a type, if those of another part need it.

    Raises:
      ValueError: the values of a column have no common type.
    """
    import numpy as np
    import pyarrow

    try:
        table = pyarrow.concat_tables([part.table for part in parts], promote_options="permissive").sort_by("place")
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise ValueError(f"the columns of the parts do not fit ({error}); predict with --format json") from error
    gone = sorted(answer.place for part in parts for answer in part.answers) if renumber else []
    if gone and "image_id" in table.column_names:
        places, numbers = (table[name].to_numpy() for name in ("place", "image_id"))
        shifted = pyarrow.array(numbers - np.searchsorted(gone, places))
        table = table.set_column(table.column_names.index("image_id"), "image_id", shifted)
    return table.drop_columns("place")
