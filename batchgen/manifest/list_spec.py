"""The model of ``from:``, the lists of a job, as its author writes them. Pure values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .fields import Name, Strict, Text, Texts


class From(Strict):
    """A list of rows: each becomes a job."""

    path: Texts = Field(
        description="csv, tsv, xlsx, jsonl or txt file, folder or glob of images, here or in an object store (s3://, "
        "gs://, az://); several are read one after another"
    )
    format: Literal["csv", "tsv", "xlsx", "jsonl", "txt", "folder"] | None = Field(
        None, description="Format of the list; default: by its name"
    )
    sheet: Text | None = Field(None, min_length=1, description="Sheet of a workbook; default: the only one with cells")
    columns: dict[Name, str | None] = Field(
        {}, description="Columns by the parameter or variable they set: {prompt: Product Name}; null: none sets it"
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Character between the cells of a csv file; default: by its header",
    )
    quoting: Literal["csv", "none"] | None = Field(
        None, description="Quotes around cells: removed (csv) or text (none); default: csv for csv, none for tsv"
    )
    where: dict[str, Texts] = Field({}, description="Only rows whose column matches one of these globs")
    exclude: Texts = Field([], description="Globs of files and folders that are left out of a folder of images")
    skip: int = Field(0, ge=0, description="Number of rows to leave out at the start")
    limit: int | None = Field(None, ge=1, description="At most this many rows of each path")
    sample: int | None = Field(None, ge=1, description="This many of those rows at random, the same for the same seed")
    seed: int = Field(0, description="Seed of the sample")


def list_sources(value: object) -> object:
    """Return the value of ``from`` as a list of mappings."""
    items = value if isinstance(value, list) else [value]
    return [{"path": item} if isinstance(item, str) else item for item in items]
