"""Ingestion: updates an index from files, robust against damaged ones."""

from collotype.search.ingest.ingest import Report, ingest
from collotype.search.ingest.limits import Limits, ReadingSettings
from collotype.search.ingest.sources import SourceLedger

__all__ = ["Limits", "ReadingSettings", "Report", "SourceLedger", "ingest"]
