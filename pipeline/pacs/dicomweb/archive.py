"""QIDO-RS and WADO-RS: find and fetch (PS3.18 sections 10.4, 10.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import requests
from pydicom.datadict import tag_for_keyword

from pyraseg.pipeline.pacs.dicomweb.multipart import boundary_of, split_parts
from pyraseg.pipeline.pacs.dicomweb.session import ArchiveSession, away, connection_errors
from pyraseg.pipeline.pacs.peers import WebPeer
from pyraseg.pipeline.pacs.query import COUNT, Instance, Query, SeriesAt, whole_uid
from pyraseg.pipeline.pacs.received import SeriesFolder
from pyraseg.transforms.errors import PeerError

__all__ = ["WebArchive"]

PAGE = 1000  # answers asked for at once
LONGEST = 256_000_000  # bytes of a page
CHUNK = 1 << 18
JSON = "application/dicom+json"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class WebArchive:
    """An archive behind DICOMweb."""

    def __init__(self, peer: WebPeer) -> None:
        self._session = ArchiveSession(peer)

    def series(self, query: Query) -> Iterator[SeriesAt]:
        for study in self._find("/studies", query.study, ()):
            if uid := whole_uid(_value(study, "StudyInstanceUID")):
                for series in self._find(f"/studies/{uid}/series", query.series, (COUNT, "Modality")):
                    if own := whole_uid(_value(series, "SeriesInstanceUID")):
                        yield SeriesAt(uid, own, str(_value(series, "Modality") or ""), _count(series))

    def instances(self, series: SeriesAt) -> list[Instance]:
        path = f"/studies/{series.study}/series/{series.series}/instances"
        found = [
            Instance(uid, whole_uid(_value(one, "SOPClassUID")))
            for one in self._find(path, {}, ())
            if (uid := whole_uid(_value(one, "SOPInstanceUID")))
        ]
        return list(dict.fromkeys(found))

    def fetch(self, series: SeriesAt, instances: Sequence[Instance], folder: SeriesFolder) -> None:
        path = f"/studies/{series.study}/series/{series.series}"
        if not len(folder):
            self._fetch(path, folder)
            return
        for one in instances:
            self._fetch(f"{path}/instances/{one.uid}", folder)

    def _fetch(self, path: str, folder: SeriesFolder) -> None:
        """Take every part; those before a fault are kept."""
        with self._session.get(path, AS_STORED) as response:
            chunks = _chunks(response)
            boundary = boundary_of(response.headers.get("Content-Type", ""))
            for part in split_parts(chunks, boundary) if boundary else [chunks]:
                folder.take(part)

    def _find(self, path: str, keys: Mapping[str, str], fields: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The answers, page by page; an archive that knows no pages gives all at once, again and again."""
        offset, seen = 0, set[str]()
        while True:
            asked: list[tuple[str, str]] = [*keys.items(), *(("includefield", name) for name in fields)]
            page = self._page(path, [*asked, ("limit", str(PAGE)), ("offset", str(offset))])
            new = {json.dumps(one, sort_keys=True): one for one in page}
            yield from (one for text, one in new.items() if text not in seen)
            offset += len(page)
            if len(page) < PAGE or seen.issuperset(new):
                return
            seen.update(new)

    def _page(self, path: str, asked: Sequence[tuple[str, str]]) -> list[Mapping[str, Any]]:
        # some archives know wildcards only as themselves, which RFC 3986 allows
        with self._session.get(f"{path}?{urlencode(asked, safe='*?,')}", JSON) as response:
            if response.status_code == 204:
                return []
            content = bytearray()
            for chunk in _chunks(response):
                content += chunk
                if len(content) > LONGEST:
                    remedy = "Narrow the query, for example by StudyDate."
                    raise PeerError("a page of answers", found="one without end", remedy=remedy)
        try:
            page = json.loads(content or b"[]")
        except ValueError as error:
            raise away("an answer that is no JSON") from error
        return [one for one in page if isinstance(one, dict)] if isinstance(page, list) else []


def _chunks(response: requests.Response) -> Iterator[bytes]:
    with connection_errors():
        yield from response.iter_content(CHUNK)


def _value(answer: Mapping[str, Any], keyword: str) -> Any:
    """The first value of an attribute of the DICOM JSON model (PS3.18 Annex F)."""
    element = answer.get(f"{tag_for_keyword(keyword):08X}")
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _count(series: Mapping[str, Any]) -> int | None:
    text = str(_value(series, COUNT) or "")
    return int(text) if text.isdigit() else None
