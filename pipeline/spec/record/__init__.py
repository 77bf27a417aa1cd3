"""The `record` of the ensemble file, the form of the input, as typed, immutable values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from math import prod
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.batch.tensors import Shape
from pipeline.spec.record.keys import (
    ColumnsKey,
    Key,
    KeyPart,
    PathKey,
    RecordKey,
    column_names,
    outer_keys,
    plain_key,
    written_key,
)
from pipeline.spec.strict_model import Name, StrictModel

DTypeName = Literal[
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
    "string",
    "bytes",
]


class FieldSpec(StrictModel):
    """One field of a record that models read."""

    dtype: DTypeName = Field(
        description="Type of its values. `bytes` is base64 text in JSON and CSV, in any spelling."
    )
    shape: tuple[Annotated[int, Field(ge=0)] | None, ...] = Field(
        default=(),
        description="Axis lengths; [] or absent is a single value. One axis may be `null`: its "
        "length then varies from record to record.",
    )
    name: str | None = Field(
        default=None,
        description="Key of the record that holds it, such as `sepal length (cm)`, taken as it is; "
        "without it, the field's own name. `''` is the column without a name that R and pandas "
        "write for row names.",
    )
    path: tuple[KeyPart, ...] | None = Field(
        default=None,
        min_length=1,
        description="Instead of `name`: keys of objects inside of objects that lead to it, such as "
        "`[user, address, zip]`. JSON, Parquet's structs, Avro's records and BigQuery's "
        "STRUCTs have them.",
    )
    columns: str | tuple[str, ...] | None = Field(
        default=None,
        description="Instead of `name`: the keys of its values, where each has its own: "
        "`pixel{0..783}`, or a list of names and such ranges. As many as `shape` has values, in "
        "row-major order.",
    )
    missing: Literal["dead_letter", "keep"] = Field(
        default="dead_letter",
        description="What becomes of a record without a value of the field: a dead letter, or, "
        "with `keep`, a row that lacks it.",
    )

    @field_validator("shape")
    @classmethod
    def _one_variable_axis(cls, shape: Shape) -> Shape:
        if shape.count(None) > 1:
            raise ValueError(f"only one axis may vary, found {shape.count(None)} of `null`")
        return shape

    @field_validator("columns")
    @classmethod
    def _column_names(cls, columns: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if columns is None else column_names(columns)

    @model_validator(mode="after")
    def _one_place(self) -> FieldSpec:
        given = [key for key in ("name", "path", "columns") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"found the keys {' and '.join(given)}, expected one of them")
        if self.columns is None:
            return self
        count = len(self.columns)
        if not self.shape or None in self.shape:
            raise ValueError(
                f"key 'columns': found {count} names, expected them with a shape of known lengths, "
                f"such as `shape: [{count}]`"
            )
        if prod(n or 0 for n in self.shape) != count:
            raise ValueError(
                f"key 'columns': found {count} names, '{self.columns[0]}' to '{self.columns[-1]}', "
                f"expected {prod(n or 0 for n in self.shape)}, one for each value of the shape "
                f"{[*self.shape]}"
            )
        return self

    @model_validator(mode="after")
    def _list_is_never_missing(self) -> FieldSpec:
        if self.keeps_missing and None in self.shape:
            raise ValueError(
                "key 'missing': `keep` needs a shape without `null`; a list of variable length "
                "that has no values is empty"
            )
        return self

    @property
    def keeps_missing(self) -> bool:
        """Whether a record without a value of the field is a row all the same."""
        return self.missing == "keep"

    @property
    def single(self) -> FieldSpec:
        """What one of its values is."""
        return self.model_copy(update={"shape": (), "columns": None})

    def key(self, field: str) -> Key:
        """Where its value stands in a record.

        Args:
          field: its name.
        """
        if self.columns is not None:
            return ColumnsKey(tuple(self.columns))
        if self.path is not None:
            return plain_key(PathKey(path=self.path))
        return field if self.name is None else self.name


Encoding = Literal["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"]


class CsvSpec(StrictModel):
    """How CSV files are written; other inputs do not look at it."""

    delimiter: str | None = Field(
        default=None,
        description="What stands between two cells, one character such as `;` or, in double "
        'quotes, `"\\t"`. Without it a comma, in `.tsv` files a tab.',
    )
    quote: str | None = Field(
        default='"',
        description="What stands around a cell that has delimiters, line ends or quotes (doubled) "
        "in it; `null`: nothing does, quotes are text.",
    )
    decimal: Literal[".", ","] = Field(
        default=".",
        description="What stands before the fraction of a number. Nothing may stand between "
        "thousands. Lists in cells are JSON, with a point.",
    )
    encoding: Encoding = Field(
        default="utf-8",
        description="Of the text. Dead letters and ids made from a payload have it as UTF-8. "
        "`utf-16` needs a byte order mark.",
    )
    header: bool | tuple[str, ...] = Field(
        default=True,
        description="`true`: line 1 of each file names the columns. A list of names: no file has "
        "such a line, all lines are records. A line 1 of exactly these names is passed over, since "
        "no number can be its name; where each name may be a value, as of fields of text, nobody "
        "can tell, and it is refused. Such a line further below is a dead letter.",
    )
    missing: tuple[str, ...] = Field(
        default=(),
        description="Cells of fields that have no value, such as `['', NA]`. Empty cells of other "
        "fields than text never have one; an empty text is one unless `''` is listed.",
    )

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_sign(cls, sign: str | None) -> str | None:
        if sign is None:
            return sign
        if sign == "\\t":
            raise ValueError(
                r"found a backslash and a t, expected a tab: "
                r'"\t" in double quotes, which only these make one'
            )
        if len(sign) != 1 or not sign.isascii() or sign.isalnum() or sign in "\r\n\0+-":
            raise ValueError(
                f"found {sign!r}, expected one ASCII character that is no letter, digit, sign or "
                "line end"
            )
        return sign

    @field_validator("header")
    @classmethod
    def _names(cls, header: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if header is False or header == ():
            raise ValueError(
                "found no names, expected `true`, if line 1 of each file names the columns, or the "
                "list of the columns' names"
            )
        return header if header is True else tuple(name.strip() for name in header)

    @model_validator(mode="after")
    def _signs_differ(self) -> CsvSpec:
        signs = {"delimiter": self.delimiter or ",", "quote": self.quote, "decimal": self.decimal}
        names = list(signs)
        hint = "" if self.delimiter else "; in files with tabs, .tsv too, name the delimiter: a tab"
        for i, name in enumerate(names):
            for other in names[i + 1 :]:
                if signs[name] == signs[other]:
                    raise ValueError(f"{name} and {other} are both {signs[name]!r}{hint}")
        return self


class RecordSpec(StrictModel):
    """What a record looks like."""

    source: Literal["image", "audio", "raw"] | None = Field(
        default=None,
        description="`image`, `audio`: every input file is a record, an image or a sound; its id "
        "is its path, and the only field, of dtype `bytes`, holds the file. `raw`: records are not "
        "decoded; the only field, of dtype `bytes`, holds a line of a file, a message of a "
        "TFRecord file or of Pub/Sub as it is, for a model that parses it; the id is its hash. "
        "Without it, `--input_format` says what files hold.",
    )
    id: RecordKey | None = Field(
        default=None,
        description="Key of the record that holds its id, or `{path: [user, id]}`: text or "
        "integer; larger integers, decimals and UUIDs are text. Ids are carried, not "
        "deduplicated. Without it, the id is a hash of the payload.",
    )
    csv: CsvSpec | None = Field(
        default=None,
        description="How CSV files are written, where not with commas, a header and UTF-8.",
    )
    fields: dict[Name, FieldSpec] = Field(
        min_length=1, description="The fields that models read, each a column of the batch."
    )

    @model_validator(mode="after")
    def _id_is_never_missing(self) -> RecordSpec:
        for name, spec in self.fields.items():
            if spec.keeps_missing and spec.key(name) == self.id:
                raise ValueError(
                    f"field '{name}' holds the record's id, which may not be missing: leave out "
                    "its key 'missing'"
                )
        return self

    @cached_property
    def key_of(self) -> Mapping[str, Key]:
        """Field -> where a record holds it."""
        return {field: spec.key(field) for field, spec in self.fields.items()}

    @cached_property
    def by_key(self) -> Mapping[Key, FieldSpec]:
        """The fields, each under the place where a record holds it."""
        return {key: self.fields[field] for field, key in self.key_of.items()}

    def outer_keys(self, pass_through: Iterable[RecordKey] = ()) -> tuple[str, ...]:
        """The keys of a record that are read.

        Args:
          pass_through: what predictions repeat besides.
        """
        wanted: list[Key] = [*([] if self.id is None else [self.id]), *self.by_key, *pass_through]
        return tuple(dict.fromkeys(outer for key in wanted for outer in outer_keys(key)))

    @property
    def whole_files(self) -> bool:
        """Whether every file is a record."""
        return self.source in ("image", "audio")

    def encoding(self, format: str) -> str:
        """Of the text in files of a format."""
        return self.csv.encoding if self.csv is not None and format == "csv" else "utf-8"

    @model_validator(mode="after")
    def _keys_differ(self) -> RecordSpec:
        field_of: dict[Key, str] = {}
        for field, whole in self.key_of.items():
            for key in whole.names if isinstance(whole, ColumnsKey) else (whole,):
                if key in field_of:
                    raise ValueError(
                        f"fields '{field_of[key]}' and '{field}' have the key {written_key(key)}, "
                        "expected a key for each; a prepare step such as `cast` makes a second "
                        "column of one field"
                    )
                field_of[key] = field
        meant = None if self.id is None else self.key_meant(self.id)
        if meant is not None:
            raise ValueError(f"id: found the field '{self.id}', expected its key {meant}")
        return self

    def key_meant(self, name: RecordKey) -> str | None:
        """The key, as it is written, of the field that has a name, where no field's key is that."""
        key = self.key_of.get(str(name), name) if isinstance(name, str) else name
        return written_key(key) if key != name and name not in self.parts_of_keys else None

    @cached_property
    def parts_of_keys(self) -> frozenset[Key]:
        """The keys of all fields, and the names of the columns that one has for each value."""
        return frozenset(part for key in self.key_of.values() for part in (key, *_names(key)))

    @model_validator(mode="after")
    def _source_is_one_field(self) -> RecordSpec:
        if self.source is None:
            return self
        if self.id is not None:
            otherwise = "the file's path" if self.whole_files else "a hash of the record"
            raise ValueError(
                f"found the key 'id'; with `source: {self.source}` the id is {otherwise}"
            )
        if self.csv is not None:
            raise ValueError(
                f"found the key 'csv'; with `source: {self.source}` no file is read as CSV"
            )
        if [(field.dtype, field.shape) for field in self.fields.values()] != [("bytes", ())]:
            raise ValueError(
                f"found other fields, expected with `source: {self.source}` exactly one, of dtype "
                f"bytes without a shape, such as `fields: {{{self.source}: {{dtype: bytes}}}}`"
            )
        for key in ("name", "path", "columns"):
            if any(getattr(field, key) is not None for field in self.fields.values()):
                raise ValueError(
                    f"found a field's key '{key}'; `source: {self.source}` has no keys"
                )
        return self


def _names(key: Key) -> tuple[str, ...]:
    return key.names if isinstance(key, ColumnsKey) else ()
