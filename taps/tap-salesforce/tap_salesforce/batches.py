"""BATCH messages whose files are result pages: the SDK's message, with what a loader can check the files by."""

from dataclasses import dataclass, field

from singer_sdk.helpers._batch import BaseBatchFileEncoding, SDKBatchMessage

from tap_salesforce.pagefiles import PageFile
from tap_salesforce.settings import CSV


@dataclass(slots=True)
class PagesMessage(SDKBatchMessage):  # type: ignore[misc]  # the SDK's types are not followed
    """record_counts: rows of each file in the manifest; time_extracted: when they were asked for."""

    record_counts: list[int] = field(default_factory=list)
    time_extracted: str = ""


def batch_message(stream: str, page: PageFile, *, zipped: bool, version: int | None) -> PagesMessage:
    """What names the file of a page."""
    return PagesMessage(
        stream=stream,
        encoding=BaseBatchFileEncoding(format=CSV, compression="gzip" if zipped else "none"),
        manifest=[page.path.as_uri()],
        version=version,
        record_counts=[page.rows],
        time_extracted=page.extracted.isoformat(),
    )
