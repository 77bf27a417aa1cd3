"""tf.Example messages, read without TensorFlow.

Its three message types are declared here at run time, in a pool of their own, so that TensorFlow
may be loaded beside them. Parsing is done by protobuf, which Beam brings: its C code is faster than
any parser in Python and knows all of the wire format.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from pipeline.batch.batch import RecordId
from pipeline.batch.block import Block
from pipeline.batch.names import doubled
from pipeline.errors import RecordError
from pipeline.formats.decoder import RowDecoder, record_id_in
from pipeline.formats.fields import IrregularError
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import ColumnsKey, RecordKey, outer_keys

_WHOLE = "with `source: raw` under `record`, a model gets the whole message instead"
_Field = descriptor_pb2.FieldDescriptorProto
_LISTS = {
    "BytesList": _Field.TYPE_BYTES,
    "FloatList": _Field.TYPE_FLOAT,
    "Int64List": _Field.TYPE_INT64,
}


class TfRecordDecoder(RowDecoder):
    """Decodes blocks of serialised tf.Example messages.

    A feature is a list of floats, integers or bytes; one value is taken for a scalar where the
    field is a scalar, 0 and 1 for booleans where it is a boolean. An empty one is missing where the
    field may lack a value.
    """

    flat_lists = True

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> None:
        super().__init__(record, pass_through)
        fields = [
            (name, spec.single if isinstance(key, ColumnsKey) else spec)
            for key, spec in record.by_key.items()
            for name in outer_keys(key)
        ]
        self._kept = {name for name, spec in fields if spec.keeps_missing}
        self._needed = [name for name in record.outer_keys() if name not in self._kept]
        self._wanted = record.outer_keys(pass_through)
        self._booleans = {name for name, spec in fields if spec.dtype == "bool"}
        self._tensors = {name for name, spec in fields if spec.shape}
        self._only_bytes = [(s.dtype, s.shape) for s in record.by_key.values()] == [("bytes", ())]

    def records(self, block: Block, rows: range) -> list[dict[str, Any]]:
        """See RowDecoder."""
        try:
            return [self.record(block, row) for row in rows]
        except RecordError:
            raise IrregularError from None

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        example, entries = _parsed(block.payloads[row])
        found = example.features.feature
        if len(entries) != len(found):  # of two features of one name, the map has the last
            self._check_single(_names(entries))
        given = self.given(block)
        if not all(name in found or name in given for name in self._wanted):
            _check_kind(example)
        lacks = [name for name in self._needed if name not in found and name not in given]
        if lacks and self._only_bytes:
            has = ", ".join(list(found)[:8]) or "none"
            raise RecordError(
                "missing_field", f"field '{lacks[0]}' is missing; the record has {has}; {_WHOLE}"
            )
        names = found if lacks else filter(found.__contains__, self._wanted)
        return {name: self._value(name, found[name]) for name in names}

    def id_of_unread(self, block: Block, row: int) -> RecordId:
        """See Decoder; of an example that has another feature twice."""
        assert isinstance(self._id, str)
        example, entries = _parsed(block.payloads[row])
        names = _names(entries)
        if self._id in doubled(names):
            return None
        told = dict(self.given(block))
        if self._id in names:
            told[self._id] = self._value(self._id, example.features.feature[self._id])
        return record_id_in(told, self._id)

    def _check_single(self, names: Sequence[str]) -> None:
        twice = next(filter(doubled(names).__contains__, self._wanted), None)
        if twice is not None:
            raise RecordError("doubled_key", f"the example has '{twice}' more than once")

    def extras(self, records: Any) -> Any:
        """See Decoder; bytes are text where they are UTF-8."""
        return super().extras({k: _texts(v) for k, v in record.items()} for record in records)

    def _value(self, name: str, feature: Any) -> Any:
        kind = feature.WhichOneof("kind")
        values: list[Any] = [] if kind is None else list(getattr(feature, kind).value)
        if name == self._id:
            values = _texts(values)
        elif name in self._booleans and set(values) <= {0, 1} and kind == "int64_list":
            values = [value == 1 for value in values]
        if not values and name in self._kept:
            return None
        if len(values) == 1 and name not in self._tensors:
            return values[0]
        return values


def _parsed(payload: bytes) -> tuple[Any, Any]:
    """The example of a record, and the entries of its features, each as often as it comes.

    Raises:
      RecordError: it is none.
    """
    try:
        example = example_class().FromString(payload)
        return example, _names_class().FromString(payload).features.feature
    except DecodeError:
        says = f"the record is not a tf.Example; {_WHOLE}"
        raise RecordError("not_an_example", says) from None


def _names(entries: Any) -> list[str]:
    return [entry.key for entry in entries]


def _check_kind(example: Any) -> None:
    """Makes sure that a message is no other one, which would be read as an Example without values.

    A tf.SequenceExample has what it has of each step in a field of its own. The examples in an
    ExampleListWithContext stand where an Example has its features; what comes out are features
    without a value, whose names are the bytes of a message.

    Raises:
      RecordError: it is.
    """
    features = example.features
    more = any(map(len, map(UnknownFieldSet, (example, features))))
    nested = [
        name.startswith("\n") and feature.WhichOneof("kind") is None
        for name, feature in features.feature.items()
    ]
    if more or (nested and all(nested)):
        raise RecordError(
            "not_an_example",
            "the record lacks what is read, and is no tf.Example: it has what only other messages "
            f"have, such as tf.SequenceExample and ExampleListWithContext; {_WHOLE}",
        )


def _texts(values: Any) -> Any:
    """Bytes as text where they are UTF-8, also in a list."""
    if isinstance(values, list):
        return [_texts(value) for value in values]
    if isinstance(values, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return values.decode()
    return values


@cache
def example_class() -> Any:
    """The message class of tf.Example."""
    file = _proto("example.proto")
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (kind, value_type) in enumerate(_LISTS.items(), start=1):
        values = file.message_type.add(name=kind)
        values.field.add(name="value", number=1, label=_Field.LABEL_REPEATED, type=value_type)
        # BytesList -> bytes_list
        name = f"{kind.removesuffix('List').lower()}_list"
        _add_message(feature, name, number, f".tensorflow.{kind}").oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    _add_message(entry, "value", 2, ".tensorflow.Feature")
    entries = _add_message(features, "feature", 1, ".tensorflow.Features.FeatureEntry")
    entries.label = _Field.LABEL_REPEATED
    return _example(file)


@cache
def _names_class() -> Any:
    """A message class for the same bytes, of the features' names only, each as often as it comes.

    It leaves the values alone, so that it takes a small part of the time of reading them.
    """
    file = _proto("names.proto")
    entry = file.message_type.add(name="FeatureEntry")
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    features = file.message_type.add(name="Features")
    entries = _add_message(features, "feature", 1, ".tensorflow.FeatureEntry")
    entries.label = _Field.LABEL_REPEATED
    return _example(file)


def _proto(name: str) -> Any:
    return descriptor_pb2.FileDescriptorProto(name=name, package="tensorflow", syntax="proto3")


def _example(file: Any) -> Any:
    """The message class of an Example with the features of a file."""
    _add_message(file.message_type.add(name="Example"), "features", 1, ".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _add_message(parent: Any, name: str, number: int, type_name: str) -> Any:
    return parent.field.add(
        name=name,
        number=number,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=type_name,
    )
