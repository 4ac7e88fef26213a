"""The connector of S3-compatible buckets. Requests are signed by botocore and sent as all outgoing calls are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Answer
from workloads.documents.sources.connector import Connector, FetchedItem, ItemPage, Json, ListedItem
from workloads.documents.sources.reading_xml import read_elements

PAGE_KEYS = 1_000
_MAX_LISTING_BYTES = 8 * 1024 * 1024
_OBJECT, _NEXT, _IS_CUT = "Contents", "NextContinuationToken", "IsTruncated"
# An answer of a bucket that is reached by another address.
_ELSEWHERE = frozenset({301, 302, 307, 308})
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "bucket": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z"},
        "region": {"type": "string", "pattern": r"^[a-z0-9-]{1,40}\Z", "default": "us-east-1"},
        "endpoint": {"type": "string", "format": "uri", "maxLength": 500},
        "path_style": {"type": "boolean", "default": False},
        "prefix": {"type": "string", "maxLength": 1_000},
        "suffixes": {
            "type": "array",
            "maxItems": 20,
            "items": {"type": "string", "minLength": 1, "maxLength": 20},
        },
        "access_key": {"type": "string", "pattern": r"^[!-~]{1,128}\Z"},
    },
    "required": ["bucket"],
    "additionalProperties": False,
}


class S3Connector(Connector):
    """The objects of a bucket. The version of an object is its ETag."""

    name = "s3"
    schema = SCHEMA
    credentials = ("secret_key",)

    def list_items(self, cursor: Any) -> ItemPage:
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "max-keys": str(PAGE_KEYS),
            "prefix": self.config.get("prefix", ""),
        }
        if cursor:
            query["continuation-token"] = str(cursor)
        answer = self._get(f"{self._root}/?{urlencode(query, quote_via=quote)}", is_listing=True)
        if answer.status != 200:
            raise _listing_error(answer)
        if answer.is_cut:
            raise PermanentError("The listing of the bucket is too large.", code="bucket_invalid")
        items, found = [], {_IS_CUT: "", _NEXT: ""}
        for name, texts in read_elements(answer.body, frozenset({_OBJECT, *found})):
            if name in found:
                found[name] = texts[""]
            elif self._is_wanted(key := unquote_plus(texts.get("Key", ""))):
                items.append(ListedItem(key, texts.get("ETag", "").strip('"')))
        is_cut = found[_IS_CUT] == "true"
        if not found[_IS_CUT] or (is_cut and found[_NEXT] in ("", cursor)):
            raise PermanentError("The answer is not a listing of a bucket.", code="bucket_invalid")
        return ItemPage(items, found[_NEXT] if is_cut else None)

    def fetch(self, item: ListedItem) -> FetchedItem:
        answer = self._get(f"{self._root}/{quote(item.key, safe='/~')}")
        if answer.status != 200:
            code = {403: "access_denied", 404: "item_missing"}.get(answer.status, f"http_{answer.status}")
            raise PermanentError(f"The object was answered with {answer.status}.", code=code)
        return FetchedItem(item.key.rsplit("/", 1)[-1], answer.body)

    @property
    def _root(self) -> str:
        """Return the URL of the bucket, without a slash at the end."""
        bucket, region = self.config["bucket"], self.config.get("region", "us-east-1")
        scheme, _, host = self.config.get("endpoint", f"https://s3.{region}.amazonaws.com").partition("://")
        host = host.rstrip("/")
        return f"{scheme}://{host}/{bucket}" if self.config.get("path_style") else f"{scheme}://{bucket}.{host}"

    def _is_wanted(self, key: str) -> bool:
        suffixes = tuple(suffix.lower() for suffix in self.config.get("suffixes", ()))
        # A key that ends with a slash is a folder.
        return bool(key) and not key.endswith("/") and (not suffixes or key.lower().endswith(suffixes))

    def _get(self, url: str, *, is_listing: bool = False) -> Answer:
        headers = self._signed(url)
        if is_listing:
            return self.calls.get(url, headers=headers.items(), max_bytes=_MAX_LISTING_BYTES)
        return self.calls.get_file(url, headers=headers.items())

    def _signed(self, url: str) -> Mapping[str, str]:
        """Return the headers that sign a request; none for a bucket that everyone may read."""
        if not (secret := self.calls.credential("secret_key", url)):
            return {}
        try:
            from botocore.auth import S3SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.credentials import Credentials
        except ImportError as error:
            raise PermanentError(
                "Buckets need boto3: pip install django-storages[s3].", code="boto3_missing"
            ) from error
        request = AWSRequest("GET", url)
        credentials = Credentials(self.config.get("access_key", ""), secret)
        S3SigV4Auth(credentials, "s3", self.config.get("region", "us-east-1")).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}


def _listing_error(answer: Answer) -> PermanentError:
    if answer.status == 404:
        return PermanentError("There is no such bucket.", code="bucket_missing")
    if answer.status in (401, 403):
        return PermanentError("The bucket refuses the credentials.", code="credentials_refused")
    if answer.status in _ELSEWHERE:
        return PermanentError("The bucket is in another region or at another address.", code="bucket_elsewhere")
    return PermanentError(f"The bucket answered {answer.status}.", code="bucket_invalid")
