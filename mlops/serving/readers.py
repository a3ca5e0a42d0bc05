"""Which media type is read how: the doors of `/invocations` and `/predict`."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.schema import ImageSchema, Schema, TableSchema, TextSchema
from mlops.serving import binary, columnar, images, parse, payload, regular, separated, table, text
from mlops.serving.reply import Refused, invalid, malformed
from mlops.serving.request import media_type, parse_media_type
from mlops.serving.rows import Rows, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops.serving.config import Limits
    from mlops.serving.request import Scope

    Reader = Callable[[bytes, Schema, Limits], Rows]

INLINE_BYTES = 1 << 18
"""Larger bodies are read in a thread, so that small ones need not wait."""
_FORM_FIELDS = 512


def _scoring(body: bytes, schema: Schema, limits: Limits) -> Rows:
    if isinstance(schema, ImageSchema):
        found = regular.images(body, schema, limits.rows, ("inputs", "instances"))
        if found is not None:
            return Rows(found, found)
    return payload.scoring(parse.parse(body), schema, limits.rows)


def _predicting(body: bytes, schema: Schema, limits: Limits) -> Rows:
    if isinstance(schema, ImageSchema):
        found = regular.images(body, schema, limits.rows, payload.KEYS["image"][1:])
        if found is not None:
            return Rows(found, found)
    return payload.predicting(parse.parse(body), schema, limits.rows)


def _csv(*, exact: bool) -> Reader:
    return lambda body, schema, limits: separated.read(body, schema, limits.rows, exact=exact)


def _columnar(kind: str, *, exact: bool) -> Reader:
    return lambda body, schema, limits: columnar.read(body, kind, schema, limits.rows, exact=exact)


def _frames(*, exact: bool) -> Mapping[str, Reader]:
    """Return what reads data frames; on `/predict` a column that nobody knows is an error."""
    kinds = {kind: _columnar(kind, exact=exact) for kind in columnar.KINDS}
    return {"text/csv": _csv(exact=exact), **kinds}


def _text(body: bytes, schema: Schema, limits: Limits) -> Rows:
    if isinstance(schema, ImageSchema | TableSchema):
        raise _unsupported(PREDICT, schema)
    del limits
    try:
        content = body.decode()
    except UnicodeDecodeError:
        raise malformed("the text is not UTF-8", remedy="send UTF-8") from None
    return rows(text.texts([content], "text"), schema, single=True)


def _image(body: bytes, schema: Schema, limits: Limits) -> Rows:
    if not isinstance(schema, ImageSchema):
        raise _unsupported(PREDICT, schema)
    pixels = images.decode(body, schema, limits.pixels)[np.newaxis]
    return Rows(pixels, pixels, None, single=True)


IMAGES = ("image/png", "image/jpeg", "image/webp")
INVOCATIONS: Mapping[str, Reader] = {"application/json": _scoring, **_frames(exact=False)}
PREDICT: Mapping[str, Reader] = {
    "application/json": _predicting,
    **dict.fromkeys(IMAGES, _image),
    "application/octet-stream": binary.raw,
    "application/x-npy": binary.npy,
    "text/plain": _text,
    **_frames(exact=True),
}
_KINDS: Mapping[Reader, Any] = {
    _image: ImageSchema, _text: TextSchema,
    binary.raw: ImageSchema | TableSchema, binary.npy: ImageSchema | TableSchema,
}  # fmt: skip
"""Readers that not every kind of examples has."""
_QUICK = (_scoring, _predicting, binary.raw)
FORM = "multipart/form-data"


def quick_of(known: Mapping[str, Reader]) -> Callable[[bytes], Reader | None]:
    """Return what finds the reader of a Content-Type; None unless it holds up nobody."""

    @lru_cache(maxsize=64)
    def find(sent: bytes) -> Reader | None:
        try:
            reader = known.get(parse_media_type(sent))
        except Refused:
            return None
        return reader if reader in _QUICK else None

    return find


def pick(scope: Scope, known: Mapping[str, Reader]) -> Reader | None:
    """Return how a body of the request's media type is read; None: as a form.

    Raises:
        Refused: 415 for any other type.
    """
    kind = media_type(scope)
    reader = known.get(kind)
    if reader is None and kind not in media_types(known):
        raise _unsupported(known)
    return reader


async def read(
    reader: Reader | None, scope: Scope, body: bytes, schema: Schema, limits: Limits
) -> Rows:
    """Read a body, in a thread where it would hold up the others.

    Raises:
        Refused: whatever is wrong with it.
    """
    if reader is None:
        return await _form(scope, body, schema, limits)
    if reader in _QUICK and len(body) < INLINE_BYTES:
        return reader(body, schema, limits)
    return await asyncio.to_thread(reader, body, schema, limits)


async def _form(scope: Scope, body: bytes, schema: Schema, limits: Limits) -> Rows:
    """Read a form: an image file, a text in `text`, or a field per column; and `entity`."""
    from starlette.datastructures import Headers, UploadFile
    from starlette.formparsers import MultiPartParser

    async def stream() -> Any:
        yield body

    try:
        parser = MultiPartParser(
            Headers(scope=scope), stream(), max_files=1, max_fields=_FORM_FIELDS,
            max_part_size=limits.body_bytes,
        )  # fmt: skip
        # The body is in memory: no copy of it goes to a disk, which may be full.
        parser.spool_max_size = limits.body_bytes
        form = await parser.parse()
    except Exception:  # noqa: BLE001 - the parser raises its own and its dependency's errors
        raise malformed("not a valid multipart form", remedy="send one file field") from None
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        content = await files[0].read() if files else None
        # Browsers write a quote in a field's name as HTML tells them to.
        pairs = [
            (name.replace("%22", '"'), part)
            for name, part in form.multi_items()
            if isinstance(part, str)
        ]
    finally:
        await form.close()
    if len({name for name, _ in pairs}) < len(pairs):
        raise invalid("a field stands twice in the form", remedy="send each once")
    fields = dict(pairs)
    entity = parse.entity(fields.pop("entity", None) or None)
    values = await asyncio.to_thread(_from_form, content, fields, schema, limits)
    return rows(values, schema, [entity], single=True)


def _from_form(
    content: bytes | None, fields: dict[str, str], schema: Schema, limits: Limits
) -> Any:
    if isinstance(schema, ImageSchema):
        if content is None:
            raise invalid("the form holds no file", remedy='curl -F "image=@digit.png"')
        return images.decode(content, schema, limits.pixels)[np.newaxis]
    if content is not None:
        raise invalid("the form holds a file; this model takes none", remedy="send fields")
    if isinstance(schema, TableSchema):
        typed = separated.typed(fields, schema)
        return table.from_columns(typed, schema, "form")
    if set(fields) != {"text"}:
        raise invalid('the form must hold one field, "text"', remedy='curl -F "text=…"')
    return text.texts([fields["text"]], "text")


def media_types(known: Mapping[str, Reader], schema: Schema | None = None) -> tuple[str, ...]:
    """Return the media types that a door reads for examples of a schema; None: of any."""
    found = [
        name for name, reader in known.items()
        if schema is None or isinstance(schema, _KINDS.get(reader, Schema))
    ]  # fmt: skip
    return (*found, FORM) if known is PREDICT else tuple(found)


def _unsupported(known: Mapping[str, Reader], schema: Schema | None = None) -> Refused:
    kinds = ", ".join(media_types(known, schema))
    return Refused(415, "unsupported_type", "this Content-Type is not read", remedy=f"send {kinds}")
